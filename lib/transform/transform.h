/* The chain of steps: what is fitted, and the program that apply runs. Owner of struct mmcl_transform. */
#ifndef MMCL_TRANSFORM_TRANSFORM_H
#define MMCL_TRANSFORM_TRANSFORM_H

#include "core/core.h"
#include "linalg/matrix.h"

#include <mmcl/transform.h>

#define MMCL__MAX_STEPS 64

/* One step. The pointers are NULL until fitted, and where the kind has none: centring has a mean alone, normalising nothing. */
typedef struct mmcl__step {
    mmcl_step_options options;  /* options.start is owned: [components, components] */
    mmcl_step_info    info;     /* of the fit */
    double           *mean;     /* [inputs] */
    double           *matrix;   /* [components, inputs] */
    double           *variance; /* [components] share of the input's variance */
    double           *spectrum; /* [inputs] eigenvalues of the input's covariance; discriminants: of total over within */
    double           *weights;  /* [components] factors of relevance */
} mmcl__step;

typedef enum mmcl__stage_kind {
    MMCL__STAGE_AFFINE, /* y = (x - mean) matrix^T */
    MMCL__STAGE_UNIT,   /* rows at unit length */
    MMCL__STAGE_POWER,  /* sign(x) |x|^exponent */
    MMCL__STAGE_SCALE,  /* a factor for each column */
    MMCL__STAGE_BESIDE  /* no map: here another chain starts from the rows themselves */
} mmcl__stage_kind;

/* Neighbouring affine steps folded into one map, or one other step. Both precisions are kept: float32 maps rows, float64 serves fits. */
typedef struct mmcl__stage {
    mmcl__stage_kind kind;
    size_t           inputs, outputs;
    double           exponent;
    bool    identity;   /* matrix is NULL: rows can be mapped in place */
    float  *mean_f32;   /* [inputs] */
    float  *matrix_f32; /* [outputs, inputs] */
    double *mean_f64;
    double *matrix_f64;
    float  *weights_f32; /* [outputs] */
    double *weights_f64;
} mmcl__stage;

/* Whether steps of this kind fold with their neighbours, and whether they have a map of their own. */
static inline bool mmcl__step_is_affine(mmcl_step_kind kind)
{
    return (kind >= MMCL_STEP_PCA && kind <= MMCL_STEP_ICA) || kind == MMCL_STEP_CENTER || kind == MMCL_STEP_DISCRIMINANTS;
}

static inline bool mmcl__step_has_map(mmcl_step_kind kind)
{
    return mmcl__step_is_affine(kind) && kind != MMCL_STEP_CENTER;
}

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
mmcl_status mmcl__transform_set_step(mmcl_transform *transform, size_t step, const mmcl_step_options *options);

/* Appends the steps of a SPEC. */
mmcl_status mmcl__transform_parse(mmcl_transform *transform, const char *spec);

/*
 * Builds the stages from steps whose mean, matrix and info are filled in, for rows of `inputs` columns, and marks the chain as
 * fitted. Checks that widths follow from step to step, and that within a run of affine steps only the first has a mean other
 * than 0, which is what fitting gives and what folding relies on. On error the chain is unfitted.
 */
mmcl_status mmcl__transform_finish(mmcl_transform *transform, size_t inputs);

/* Takes back everything that a fit has put in. */
void mmcl__transform_unfit(mmcl_transform *transform);

/* A copy of a fitted chain in another context. */
mmcl_status mmcl__transform_clone(mmcl_transform **out, mmcl_context *context, const mmcl_transform *transform);

/* Both fitted, the second as wide as the first's outputs, no more than MMCL__MAX_STEPS steps in all. */
mmcl_status mmcl__transform_join(mmcl_transform **out, mmcl_context *context, const mmcl_transform *first, const mmcl_transform *second);

mmcl_status mmcl__transform_fit(mmcl_transform *transform, const mmcl_matrix *parts, size_t n_parts, const mmcl_fit_options *options);
mmcl_status mmcl__transform_fit_moments(mmcl_transform *transform, const mmcl_moments *moments);
mmcl_status mmcl__transform_estimate(const mmcl_transform *transform, size_t rows, size_t cols, const mmcl_fit_options *options,
                                     uint64_t *bytes);

/* Concurrent on const; allocates nothing, sets no message. `bad` (may be NULL) receives the place of a NaN or infinity. */
mmcl_status mmcl__transform_apply(const mmcl_transform *transform, const mmcl_matrix *rows, float *out, size_t out_stride,
                                  mmcl__place *bad);

mmcl_status mmcl__transform_inverse(const mmcl_transform *transform, const mmcl_matrix *rows, float *out, size_t out_stride);

/* The stage of an affine run, folded from `n_steps` steps; allocates its maps. */
mmcl_status mmcl__stage_fold(mmcl_context *context, mmcl__stage *stage, const mmcl__step *steps, size_t n_steps, size_t inputs);

/* The stage of one step that is not affine, for rows of `inputs` columns; allocates what it holds. */
mmcl_status mmcl__stage_of(mmcl_context *context, mmcl__stage *stage, const mmcl__step *step, size_t inputs);
void        mmcl__stage_release(mmcl_context *context, mmcl__stage *stage);

/*
 * Sends `rows` rows through the stages: `a` holds them (dense, widths of the first stage) and is overwritten, `b` is a second
 * buffer of the same size, rows * (the largest width); the result goes to out, `stride` elements a row, which overlaps neither.
 */
void mmcl__stages_run_f32(const mmcl__stage *stages, size_t n_stages, size_t rows, size_t cols, float *a, float *b, float *out,
                          size_t stride);
void mmcl__stages_run_f64(const mmcl__stage *stages, size_t n_stages, size_t rows, size_t cols, double *a, double *b, double *out,
                          size_t stride);

/* out = rows of in [rows, cols] at unit length, `stride` elements a row; `out` may be `in`. A row of zeros stays. */
void mmcl__unit_rows_f32(size_t rows, size_t cols, const float *in, float *out, size_t stride);
void mmcl__unit_rows_f64(size_t rows, size_t cols, const double *in, double *out, size_t stride);

/* How many of the stages come before the next chain that stands beside them. */
size_t mmcl__chain_length(const mmcl__stage *stages, size_t n_stages);

/* Largest width from the rows to the end of the stages. */
size_t mmcl__stages_width(const mmcl__stage *stages, size_t n_stages, size_t cols);

/* The pseudo-inverse [inputs, outputs] of a matrix [outputs, inputs] of full row rank. */
mmcl_status mmcl__pseudo_inverse(mmcl_context *context, size_t outputs, size_t inputs, const double *matrix, double *out);

#endif
