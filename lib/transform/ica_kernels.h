/*
 * Contrast functions over a tile of estimated sources, for both precisions: kernels per instruction set and reference twins.
 *
 * y [rows, cols] is replaced by psi(y); cols is a power of two, at most MMCL__ICA_LINE. Column sums over the tile are added to slope [cols]
 * (of psi'(y)) and, where not NULL, to density [cols] (of -log p(y), up to a constant). Where not NULL, curvature and square [rows, cols]
 * receive psi'(y) and y^2.
 *
 *            psi(y)                 psi'(y)                          -log p(y)
 *   logcosh  tanh(a y)              a (1 - psi^2)                    |y| + log(1 + exp(-2 a |y|)) / a
 *   exp      y exp(-a y^2 / 2)      (1 - a y^2) exp(-a y^2 / 2)      -exp(-a y^2 / 2) / a
 *   cube     y^3                    3 y^2                            y^4 / 4
 */
#ifndef MMCL_TRANSFORM_ICA_KERNELS_H
#define MMCL_TRANSFORM_ICA_KERNELS_H

#include "linalg/isa.h"

#include <stddef.h>

/* Values that the kernels handle in one go. */
#define MMCL__ICA_LINE 64

typedef void (*mmcl__psi_f32)(size_t rows, size_t cols, float alpha, float *y, float *slope, float *density, float *curvature,
                              float *square);
typedef void (*mmcl__psi_f64)(size_t rows, size_t cols, double alpha, double *y, double *slope, double *density, double *curvature,
                              double *square);

/* Indexed by mmcl_ica_contrast. */
typedef struct mmcl__ica_kernels {
    mmcl__psi_f32 f32[3];
    mmcl__psi_f64 f64[3];
} mmcl__ica_kernels;

MMCL__ISA_TABLE(mmcl__ica_kernels, mmcl__ica)
extern const mmcl__ica_kernels mmcl__ica_reference;

#endif
