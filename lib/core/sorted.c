#include "core/sorted.h"

#include "core/core.h"

#include <string.h>

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

/* Stable merge of runs of doubling length. */
void mmcl__sorted_order(size_t n, const double *value, uint32_t *order, uint32_t *spare)
{
    uint32_t *from = order, *to = spare;
    for (size_t i = 0; i < n; i++)
        order[i] = (uint32_t) i;
    for (size_t run = 1; run < n; run *= 2) {
        for (size_t begin = 0; begin < n; begin += 2 * run) {
            size_t middle = MMCL__MIN(begin + run, n), end = MMCL__MIN(begin + 2 * run, n), a = begin, b = middle;
            for (size_t i = begin; i < end; i++)
                to[i] = b >= end || (a < middle && value[from[a]] <= value[from[b]]) ? from[a++] : from[b++];
        }
        uint32_t *swap = from;
        from = to, to = swap;
    }
    if (from != order)
        memcpy(order, from, n * sizeof *order);
}
