/* Element-wise updates, in forms that the compiler vectorises. Readable twin: update_ref.c. */
#include "train/trainer.h"

#include <math.h>

/* Sixteen sums side by side, so that it becomes vector code without reordering; each chunk of 1024 ends in float64. */
static double squares(size_t n, const float *g)
{
    double total = 0;
    for (size_t first = 0; first < n; first += 1024) {
        float  sums[16] = {0};
        size_t end = MMCL__MIN(n, first + 1024), i = first;
        for (; i + 16 <= end; i += 16)
            for (size_t l = 0; l < 16; l++)
                sums[l] += g[i + l] * g[i + l];
        for (; i < end; i++)
            sums[i % 16] += g[i] * g[i];
        for (size_t l = 0; l < 16; l++)
            total += sums[l];
    }
    return total;
}

static void adam(size_t n, float c, float b1, float b2, float rate, float root, float epsilon, float shrink, const float *restrict g,
                 float *restrict m, float *restrict v, float *restrict p)
{
    for (size_t i = 0; i < n; i++) {
        float gi = c * g[i];
        m[i]     = b1 * m[i] + (1 - b1) * gi;
        v[i]     = b2 * v[i] + (1 - b2) * gi * gi;
        p[i] -= rate * m[i] / (sqrtf(v[i]) * root + epsilon) + shrink * p[i];
    }
}

static void momentum(size_t n, float c, float b1, float rate, float shrink, const float *restrict g, float *restrict m,
                     float *restrict p)
{
    for (size_t i = 0; i < n; i++) {
        m[i] = b1 * m[i] + c * g[i];
        p[i] -= rate * m[i] + shrink * p[i];
    }
}

static void blend(size_t n, float part, const float *restrict p, float *restrict average)
{
    for (size_t i = 0; i < n; i++)
        average[i] += part * (p[i] - average[i]);
}

const mmcl__update_kernels MMCL__ISA_NAME(mmcl__update) = {squares, adam, momentum, blend};
