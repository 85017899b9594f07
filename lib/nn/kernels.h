/*
 * What lies between the products of a network: bias with activation, and the output geometries, forward and backward. Matrices are
 * row-major [rows, width] without gaps except where a stride is given.
 */
#ifndef MMCL_NN_KERNELS_H
#define MMCL_NN_KERNELS_H

#include "linalg/isa.h"

#include <mmcl/encoder.h>

#include <stdbool.h>

typedef struct mmcl__nn_kernels {
    /*
     * z [rows, width] += bias [width]; out = act(z), plus skip [rows, width] unless NULL. `out` may be z. `saved` (NULL: not wanted)
     * receives what the derivative is computed from: act(z) for the ReLUs and tanh, z itself for GELU and SiLU.
     */
    void (*activate)(mmcl_activation kind, float slope, size_t rows, size_t width, const float *bias, float *z, const float *skip,
                     float *saved, float *out);
    /* dz = dh * act'(z), from `saved`; db [width] += the sums of its columns. `dz` may be dh. */
    void (*deactivate)(mmcl_activation kind, float slope, size_t rows, size_t width, const float *saved, const float *dh, float *dz,
                       float *db);
    /* y [rows, width] += bias [width]; db [width] += the column sums of dy. */
    void (*add_bias)(size_t rows, size_t width, const float *bias, float *y);
    void (*sum_columns)(size_t rows, size_t width, const float *dy, float *db);
    /* out = radius y / |y|; backward dy = radius / |y| (df - u (u . df)) with u = y / |y|, and the sum of f . df = d loss / d log radius. */
    void (*sphere)(size_t rows, size_t width, float radius, const float *y, float *out, size_t stride);
    double (*sphere_back)(size_t rows, size_t width, float radius, const float *y, const float *df, size_t stride, float *dy);
    /* out = lower + (upper - lower) s, s = sigmoid(y); dy = df (upper - lower) s (1 - s); dlower += (1 - s) df; dupper += s df. */
    void (*box)(size_t rows, size_t width, const float *lower, const float *upper, const float *y, float *out, size_t stride);
    void (*box_back)(size_t rows, size_t width, const float *lower, const float *upper, const float *y, const float *df,
                     size_t stride, float *dy, float *dlower, float *dupper);
    /* out [n] += in [n] */
    void (*add)(size_t n, const float *in, float *out);
} mmcl__nn_kernels;

MMCL__ISA_TABLE(mmcl__nn_kernels, mmcl__nn)
extern const mmcl__nn_kernels mmcl__nn_reference;

#endif
