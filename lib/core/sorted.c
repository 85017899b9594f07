#include "core/sorted.h"

#include "core/core.h"

void mmcl__sorted_insert(double *sorted, size_t n, double value)
{
    for (; n > 0 && sorted[n - 1] > value; n--)
        sorted[n] = sorted[n - 1];
    sorted[n] = value;
}

double mmcl__sorted_quantile(const double *sorted, size_t n, double share)
{
    double at = share * (double) (n - 1);
    size_t i  = MMCL__MIN((size_t) at, n - 1), next = MMCL__MIN(i + 1, n - 1);
    return sorted[i] + (at - (double) i) * (sorted[next] - sorted[i]);
}
