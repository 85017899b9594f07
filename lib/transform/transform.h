/* The chain of steps: what is fitted, and the program that apply runs. Owner of struct mmcl_transform. */
#ifndef MMCL_TRANSFORM_TRANSFORM_H
#define MMCL_TRANSFORM_TRANSFORM_H

#include "core/core.h"
#include "linalg/matrix.h"

#include <mmcl/transform.h>

#define MMCL__MAX_STEPS 16

/* One step. The pointers are NULL until fitted, and where the kind has none: centring has a mean alone, normalising nothing. */
typedef struct mmcl__step {
    mmcl_step_options options;  /* options.start is owned: [components, components] */
    mmcl_step_info    info;     /* of the fit */
    double           *mean;     /* [inputs] */
    double           *matrix;   /* [components, inputs] */
    double           *variance; /* [components] share of the input's variance */
    double           *spectrum; /* [inputs] eigenvalues of the input's covariance */
} mmcl__step;

/* Neighbouring affine steps folded into one map, in the precision in which rows are mapped; or a normalisation. */
typedef struct mmcl__stage {
    size_t inputs, outputs;
    bool   normalize;
    float *mean;   /* [inputs]; NULL: 0 */
    float *matrix; /* [outputs, inputs]; NULL: identity */
} mmcl__stage;

struct mmcl_transform {
    mmcl_context *context;
    size_t        n_steps, n_stages;
    size_t        inputs, outputs; /* 0 until fitted */
    bool          fitted;
    mmcl__step    steps[MMCL__MAX_STEPS];
    mmcl__stage   stages[MMCL__MAX_STEPS];
};

/* An unfitted, empty chain; released by mmcl__transform_destroy, which takes any stage of construction. */
mmcl_status mmcl__transform_create(mmcl_transform **out, mmcl_context *context);
void        mmcl__transform_destroy(mmcl_transform *transform);

/* Appends a step, its options checked and resolved and `start` copied. */
mmcl_status mmcl__transform_add(mmcl_transform *transform, const mmcl_step_options *step);

/* Appends the steps of a SPEC. */
mmcl_status mmcl__transform_parse(mmcl_transform *transform, const char *spec);

/*
 * Builds the stages from steps whose mean, matrix and info are filled in, for rows of `inputs` columns, and marks the chain as
 * fitted. On error the chain is unfitted.
 */
mmcl_status mmcl__transform_finish(mmcl_transform *transform, size_t inputs);

/* Takes back everything that a fit has put in. */
void mmcl__transform_unfit(mmcl_transform *transform);

/* A copy of a fitted chain in another context. */
mmcl_status mmcl__transform_clone(mmcl_transform **out, mmcl_context *context, const mmcl_transform *transform);

mmcl_status mmcl__transform_fit(mmcl_transform *transform, const mmcl_matrix *parts, size_t n_parts, const mmcl_fit_options *options);

/* Concurrent on const; allocates nothing, sets no message. `bad` (may be NULL) receives the place of a NaN or infinity. */
mmcl_status mmcl__transform_apply(const mmcl_transform *transform, const mmcl_matrix *rows, float *out, size_t out_stride,
                                  mmcl__place *bad);

#endif
