/* The readable twins of update_kernels.c, with float64 inside. */
#include "train/trainer.h"

#include <math.h>

static double squares(size_t n, const float *g)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double) g[i] * g[i];
    return sum;
}

static void adam(size_t n, float c, float b1, float b2, float rate, float root, float epsilon, float shrink, const float *g, float *m,
                 float *v, float *p)
{
    for (size_t i = 0; i < n; i++) {
        double gi = (double) c * g[i], first = (double) b1 * m[i] + (1.0 - b1) * gi, second = (double) b2 * v[i] + (1.0 - b2) * gi * gi;
        p[i] = (float) (p[i] - rate * first / (sqrt(second) * root + epsilon) - (double) shrink * p[i]);
        m[i] = (float) first;
        v[i] = (float) second;
    }
}

static void momentum(size_t n, float c, float b1, float rate, float shrink, const float *g, float *m, float *p)
{
    for (size_t i = 0; i < n; i++) {
        double first = (double) b1 * m[i] + (double) c * g[i];
        p[i]         = (float) (p[i] - rate * first - (double) shrink * p[i]);
        m[i]         = (float) first;
    }
}

static void blend(size_t n, float part, const float *p, float *average)
{
    for (size_t i = 0; i < n; i++)
        average[i] = (float) (average[i] + (double) part * ((double) p[i] - average[i]));
}

const mmcl__update_kernels mmcl__update_reference = {squares, adam, momentum, blend};
