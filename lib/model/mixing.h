/* Invertible mixings: square layers chosen by their condition numbers. */
#ifndef MMCL_MODEL_MIXING_H
#define MMCL_MODEL_MIXING_H

#include "core/core.h"
#include "linalg/isa.h"

/* Layers h -> matrix h, leaky ReLU between them. Without layers it is the identity. */
typedef struct mmcl__mixing {
    mmcl_context *context;
    size_t        width, layers;
    double        slope;
    double       *matrices;   /* [layers, width, width] */
    double       *inverses;   /* the same shape */
    float        *matrices32; /* the same shape: what is applied */
    double       *conditions; /* [layers] */
} mmcl__mixing;

/* What tells one family of random matrices from another. */
typedef struct mmcl__mixing_source {
    uint64_t seed;
    uint32_t side, layer;
} mmcl__mixing_source;

/* Room for `layers` matrices, not filled in. */
mmcl_status mmcl__mixing_create(mmcl__mixing *out, mmcl_context *context, size_t width, size_t layers, double slope);
void        mmcl__mixing_destroy(mmcl__mixing *mixing);

/* Draws the matrices: an operation. `bound` 0: the best of `draws`, otherwise the first at or below it. `name` is for messages. */
mmcl_status mmcl__mixing_draw(mmcl__mixing *mixing, uint64_t seed, uint32_t side, uint64_t draws, double bound, const char *name);

/* Inverses, float32 copies and condition numbers from the matrices. MMCL_E_NUMERIC when one is singular. */
mmcl_status mmcl__mixing_finish(mmcl__mixing *mixing);

/* Draw `index` of a family: out [n, n], entries from U(-1, 1), columns of length 1. */
void mmcl__mixing_matrix(size_t n, const mmcl__mixing_source *source, uint32_t index, double *out);

/* Condition number of a [n, n] in the 2-norm, by one-sided Jacobi rotations; destroys a. Infinite when singular. */
double mmcl__condition(size_t n, double *a);

/* Draws that a kernel looks at together. */
#define MMCL__MIXING_LANES 8

typedef struct mmcl__mixing_kernels {
    /*
     * bounds[i] is at most the condition number of draw first + i of the family, and mostly close to it: what is above the best so
     * far need not be looked at. `scratch` [2, n + 1, n, MMCL__MIXING_LANES]. Draws above `limit` may get a coarser bound.
     */
    void (*bound)(size_t n, const mmcl__mixing_source *source, uint32_t first, double limit, double *scratch,
                  double bounds[MMCL__MIXING_LANES]);
} mmcl__mixing_kernels;

MMCL__ISA_TABLE(mmcl__mixing_kernels, mmcl__mixing_bounds)
extern const mmcl__mixing_kernels mmcl__mixing_bounds_reference; /* the condition number itself */

#endif
