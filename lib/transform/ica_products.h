/*
 * The two products of a pass, for both precisions: kernels per instruction set and reference twins.
 *
 * A general product packs both operands at each call, which for tiles this small is a tenth of the time. Here W is packed once a
 * pass, `project` reads x where it lies, and `correlate` copies it, and y, in strips that suit one another.
 */
#ifndef MMCL_TRANSFORM_ICA_PRODUCTS_H
#define MMCL_TRANSFORM_ICA_PRODUCTS_H

#include "linalg/isa.h"

#include <stdbool.h>
#include <stddef.h>

/* Elements of packed W [m, k], and of the scratch that `correlate` takes, for any instruction set. */
#define MMCL__ICA_PANELS(m, k) (((m) + 31) / 32 * 32 * (k))
#define MMCL__ICA_SCRATCH(n, m) ((n) * (((m) + 5) / 6 * 6 + 32))

/* panels = W [m, k] in the order that `project` reads it. */
typedef void (*mmcl__ica_pack_f32)(size_t m, size_t k, const double *w, float *panels);
typedef void (*mmcl__ica_pack_f64)(size_t m, size_t k, const double *w, double *panels);

/* y [n, m] = x [n, k] W^T. */
typedef void (*mmcl__ica_project_f32)(size_t n, size_t m, size_t k, const float *x, const float *panels, float *y);
typedef void (*mmcl__ica_project_f64)(size_t n, size_t m, size_t k, const double *x, const double *panels, double *y);

/* out [m, k] = y^T x for y [n, m] and x [n, k], added to out where `add`. */
typedef void (*mmcl__ica_correlate_f32)(size_t n, size_t m, size_t k, const float *y, const float *x, bool add, float *out,
                                        float *scratch);
typedef void (*mmcl__ica_correlate_f64)(size_t n, size_t m, size_t k, const double *y, const double *x, bool add, double *out,
                                        double *scratch);

typedef struct mmcl__ica_products_f32 {
    mmcl__ica_pack_f32      pack;
    mmcl__ica_project_f32   project;
    mmcl__ica_correlate_f32 correlate;
} mmcl__ica_products_f32;

typedef struct mmcl__ica_products_f64 {
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
