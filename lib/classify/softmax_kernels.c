/* The softmax with its residuals, in forms that the compiler vectorises. */
#include "classify/softmax.h"

#include "linalg/vecmath.h"

#include <math.h>

#define REAL float
#define LANES 16
#define EXP mmcl__exp_f32
#define KERNEL(name) name##_f32
#include "classify/softmax_row.h"
#undef REAL
#undef LANES
#undef EXP
#undef KERNEL

#define REAL double
#define LANES 8
#define EXP mmcl__exp_f64
#define KERNEL(name) name##_f64
#include "classify/softmax_row.h"

static double dot(size_t n, const float *restrict row, const double *restrict vector)
{
    double sum[LANES * 2] = {0}, total = 0;
    size_t j              = 0;
    for (; j + LANES * 2 <= n; j += LANES * 2)
        for (int l = 0; l < LANES * 2; l++)
            sum[l] += (double) row[j + l] * vector[j + l];
    for (; j < n; j++)
        sum[0] += (double) row[j] * vector[j];
    for (int l = 0; l < LANES * 2; l++)
        total += sum[l];
    return total;
}

static void axpy(size_t n, double factor, const float *restrict row, double *restrict vector)
{
    for (size_t j = 0; j < n; j++)
        vector[j] += factor * (double) row[j];
}

const mmcl__softmax_kernels MMCL__ISA_NAME(mmcl__softmax_kernel) = {softmax_f32, softmax_f64, dot, axpy};
