/*
 * The two products of a pass, for both precisions: kernels per instruction set and reference twins.
 *
 * Both take y in panels, `width` columns with their rows behind one another: a panel is small enough for the first-level cache, where it
 * is made, has its contrast taken and is used up before the next. Of x both read single values, so that one layout serves both: pieces,
 * MMCL__ICA_PIECE columns with their rows behind one another.
 */
#ifndef MMCL_TRANSFORM_ICA_PRODUCTS_H
#define MMCL_TRANSFORM_ICA_PRODUCTS_H

#include "linalg/isa.h"

#include <stdbool.h>
#include <stddef.h>

#define MMCL__ICA_PIECE 6
#define MMCL__ICA_WIDEST 32 /* panel of any instruction set */

/* Columns of x in pieces and of y in panels, those included that only fill up the last; there x is 0. */
#define MMCL__ICA_IN_PIECES(k) (((k) + MMCL__ICA_PIECE - 1) / MMCL__ICA_PIECE * MMCL__ICA_PIECE)
#define MMCL__ICA_IN_PANELS(m) (((m) + MMCL__ICA_WIDEST - 1) / MMCL__ICA_WIDEST * MMCL__ICA_WIDEST)

/* panels = W [m, k], each panel [IN_PIECES(k), width], filled up by zeros. */
typedef void (*mmcl__ica_pack_f32)(size_t m, size_t k, const double *w, float *panels);
typedef void (*mmcl__ica_pack_f64)(size_t m, size_t k, const double *w, double *panels);

/* y [n, width] = x W^T for x [n, k] in pieces and one panel of W. Meanwhile the `bytes` from `ahead` on, which come next, are fetched into the cache. */
typedef void (*mmcl__ica_project_f32)(size_t n, size_t k, const float *x, const float *panel, float *y, const void *ahead, size_t bytes);
typedef void (*mmcl__ica_project_f64)(size_t n, size_t k, const double *x, const double *panel, double *y, const void *ahead, size_t bytes);

/* out [k, width] = x^T y for a panel y [n, width] and x [n, k] in pieces `piece` columns wide, added to out where `add`. */
typedef void (*mmcl__ica_correlate_f32)(size_t n, size_t k, size_t piece, const float *x, const float *y, bool add, float *out);
typedef void (*mmcl__ica_correlate_f64)(size_t n, size_t k, size_t piece, const double *x, const double *y, bool add, double *out);

typedef struct mmcl__ica_products_f32 {
    size_t                  width;
    mmcl__ica_pack_f32      pack;
    mmcl__ica_project_f32   project;
    mmcl__ica_correlate_f32 correlate;
} mmcl__ica_products_f32;

typedef struct mmcl__ica_products_f64 {
    size_t                  width;
    mmcl__ica_pack_f64      pack;
    mmcl__ica_project_f64   project;
    mmcl__ica_correlate_f64 correlate;
} mmcl__ica_products_f64;

typedef struct mmcl__ica_product_kernels {
    mmcl__ica_products_f32 f32;
    mmcl__ica_products_f64 f64;
} mmcl__ica_product_kernels;

MMCL__ISA_TABLE(mmcl__ica_product_kernels, mmcl__ica_products)
extern const mmcl__ica_product_kernels mmcl__ica_products_reference;

#endif
