/*
 * What is computed over a strip of a tile of similarities D [rows, cols]: kernels per instruction set and their readable twins.
 * cols is a multiple of MMCL__CONTRAST_PAD; entries that do not count hold MMCL__CONTRAST_NOTHING. Logits are S = scale D.
 */
#ifndef MMCL_CONTRAST_KERNELS_H
#define MMCL_CONTRAST_KERNELS_H

#include "linalg/isa.h"

#include <stddef.h>

#define MMCL__CONTRAST_PAD 16
#define MMCL__CONTRAST_NOTHING (-1e30f)
#define MMCL__CONTRAST_CUT (-70.0f) /* exp of less counts as 0: what is left out is below the rounding of any sum here */

/* Similarities as sums over dimensions. */
enum {
    MMCL__TERM_DOT,     /* x t */
    MMCL__TERM_SQUARE,  /* -(x - t)^2 */
    MMCL__TERM_ABS,     /* -|x - t| */
    MMCL__TERM_CUBE,    /* -|x - t|^3 */
    MMCL__TERM_FOURTH,  /* -(x - t)^4 */
    MMCL__TERM_POWER,   /* -|x - t|^p */
    MMCL__TERMS
};

/* x [rows, dims] row-major; t and dt [dims, cols] one dimension after the other. */
typedef void (*mmcl__similarity_kernel)(size_t rows, size_t cols, size_t dims, float p, const float *x, size_t x_stride,
                                        const float *t, size_t t_stride, float *d, size_t d_stride);
/* dx += sum_j g_ij dD_ij/dx_i, dt += sum_i g_ij dD_ij/dt_j; either may be NULL. */
typedef void (*mmcl__gradient_kernel)(size_t rows, size_t cols, size_t dims, float p, const float *x, size_t x_stride,
                                      const float *t, size_t t_stride, const float *g, size_t g_stride, float *dx, size_t dx_stride,
                                      float *dt, size_t dt_stride);

typedef struct mmcl__contrast_kernels {
    mmcl__similarity_kernel similarity[MMCL__TERMS];
    mmcl__gradient_kernel   gradient[MMCL__TERMS];
    /* row_top = max_j d_ij; col_top = max(col_top, max_i d_ij). */
    void (*tops)(size_t rows, size_t cols, const float *d, size_t d_stride, float *row_top, float *col_top);
    /* e_ij = exp(scale (d_ij - row_top_i)): row_sum_i = sum_j e_ij; col_sum_j += sum_i factor_i e_ij. */
    void (*sums)(size_t rows, size_t cols, float scale, const float *d, size_t d_stride, const float *row_top, const float *factor,
                 float *row_sum, float *col_sum);
    /*
     * d_ij becomes g_ij = e_ij (row_i + both_i col_j) with e_ij = exp(scale (d_ij - origin_i)); totals [rows, 2] = sum_j g_ij and
     * sum_j g_ij (d_ij - origin_i).
     */
    void (*softmax)(size_t rows, size_t cols, float scale, float *d, size_t d_stride, const float *origin, const float *row,
                    const float *both, const float *col, float *totals);
    /* The same with g_ij = e_ij row_i + exp(scale (d_ij - col_origin_j)) col_j: for origins too far apart for one exponential. */
    void (*softmax_two)(size_t rows, size_t cols, float scale, float *d, size_t d_stride, const float *origin, const float *row,
                        const float *col_origin, const float *col, float *totals);
    /* d_ij becomes g_ij = weight / (1 + exp(-(scale d_ij + bias))); totals [rows, 3]: g, g d, log(1 + exp(scale d + bias)). */
    void (*sigmoid)(size_t rows, size_t cols, float scale, float bias, float weight, float *d, size_t d_stride, float *totals);
    /* d_ij += row_i + col_j */
    void (*add)(size_t rows, size_t cols, float *d, size_t d_stride, const float *row, const float *col);
    /* sums_j += sum_i g_ij */
    void (*column_sums)(size_t rows, size_t cols, const float *g, size_t g_stride, float *sums);
} mmcl__contrast_kernels;

MMCL__ISA_TABLE(mmcl__contrast_kernels, mmcl__contrast_kernel)
extern const mmcl__contrast_kernels mmcl__contrast_kernel_reference;

#endif
