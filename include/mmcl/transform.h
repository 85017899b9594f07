/*
 * Fitted post-processing of representations: centring, L2 normalisation, PCA, whitening, ICA, weights and directions learnt from near
 * neighbours, chains of them, and chains side by side.
 *
 * Neighbouring affine steps fold into a single map x -> (x - mean) B^T, whatever their number. Fitting streams over the rows:
 * memory beyond the inputs is O(d^2) plus tiles plus the row cache that mmcl_fit_options bounds.
 * Formulas with their sources: doc/numerics.md.
 */
#ifndef MMCL_TRANSFORM_H
#define MMCL_TRANSFORM_H

#include <mmcl/base.h>
#include <mmcl/context.h>
#include <mmcl/io.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mmcl_transform mmcl_transform; /* a chain of steps, fitted or not; immutable once fitted */
typedef struct mmcl_moments   mmcl_moments;   /* count, mean and scatter matrix of rows seen so far */

/* Columns that a transform may have at most. */
#define MMCL_MAX_COLUMNS 16384

/* -------------------------------------------------------------------------------------------------------- steps --- */

typedef int32_t mmcl_step_kind;

#define MMCL_STEP_CENTER    ((mmcl_step_kind) 1) /* subtracts the column means */
#define MMCL_STEP_NORMALIZE ((mmcl_step_kind) 2) /* divides each row by its L2 norm; a zero row stays zero. Nothing is fitted */
#define MMCL_STEP_PCA       ((mmcl_step_kind) 3) /* scores on the leading principal components */
#define MMCL_STEP_WHITEN    ((mmcl_step_kind) 4) /* the same scores at population variance 1 (not ZCA) */
#define MMCL_STEP_ICA       ((mmcl_step_kind) 5) /* whitening followed by an independent component analysis */
#define MMCL_STEP_POWER     ((mmcl_step_kind) 6) /* sign(x) |x|^exponent of each element: damps large ones. Nothing is fitted */
/* Each column times (its variance / its variance between near neighbours)^(exponent / 2): what neighbours agree on counts more. */
#define MMCL_STEP_RELEVANCE ((mmcl_step_kind) 7)
/* Scores on the leading directions of total over between-neighbour covariance, at between-neighbour variance 1. */
#define MMCL_STEP_DISCRIMINANTS ((mmcl_step_kind) 8)
/* Starts another chain, from the rows themselves: the columns of all chains stand side by side, in their order. */
#define MMCL_STEP_BESIDE    ((mmcl_step_kind) 9)

typedef int32_t mmcl_ica_algorithm;

#define MMCL_ICA_FASTICA           ((mmcl_ica_algorithm) 0) /* all components at once, symmetric decorrelation */
#define MMCL_ICA_FASTICA_DEFLATION ((mmcl_ica_algorithm) 1) /* one component after the other */
#define MMCL_ICA_PICARD            ((mmcl_ica_algorithm) 2) /* Picard-O: L-BFGS over rotations of the whitened rows */
#define MMCL_ICA_PICARD_FREE       ((mmcl_ica_algorithm) 3) /* Picard without the orthogonality constraint */

typedef int32_t mmcl_ica_contrast;

#define MMCL_CONTRAST_LOGCOSH ((mmcl_ica_contrast) 0) /* psi(u) = tanh(alpha u) */
#define MMCL_CONTRAST_EXP     ((mmcl_ica_contrast) 1) /* psi(u) = u exp(-alpha u^2 / 2) */
#define MMCL_CONTRAST_CUBE    ((mmcl_ica_contrast) 2) /* psi(u) = u^3 */

/* Density family that Picard assumes for a component. FastICA needs none: both kinds are fixed points of its update. */
typedef int32_t mmcl_ica_density;

#define MMCL_DENSITY_AUTO  ((mmcl_ica_density) 0) /* per component, from the data (extended). Not to be trusted on unit-norm rows */
#define MMCL_DENSITY_SUPER ((mmcl_ica_density) 1) /* every component super-Gaussian */
#define MMCL_DENSITY_SUB   ((mmcl_ica_density) 2) /* every component sub-Gaussian */

typedef int32_t mmcl_ica_scale;

#define MMCL_SCALE_UNIT      ((mmcl_ica_scale) 0) /* components of population variance 1 */
#define MMCL_SCALE_ARBITRARY ((mmcl_ica_scale) 1) /* population variance 1/n, as scikit-learn before 1.3 by default */

typedef int32_t mmcl_component_order;

#define MMCL_ORDER_FITTED   ((mmcl_component_order) 0) /* PCA, whitening: by variance; ICA: as the solver leaves them */
#define MMCL_ORDER_VARIANCE ((mmcl_component_order) 1) /* by variance explained in the input, largest first */
#define MMCL_ORDER_NEGENTROPY ((mmcl_component_order) 2) /* by |mean log cosh y - the Gaussian value|, largest first; ICA only */

typedef int32_t mmcl_component_sign;

#define MMCL_SIGN_FITTED  ((mmcl_component_sign) 0) /* PCA, whitening: first loading not negative; ICA: as the solver leaves it */
#define MMCL_SIGN_LOADING ((mmcl_component_sign) 1) /* the loading of largest magnitude is positive */
#define MMCL_SIGN_SKEW    ((mmcl_component_sign) 2) /* the component's third moment is positive; ICA only */

typedef int32_t mmcl_precision;

#define MMCL_PRECISION_F32 ((mmcl_precision) 0) /* float32 products of tiles, float64 sums */
#define MMCL_PRECISION_F64 ((mmcl_precision) 1) /* float64 throughout */

/* One step. All zero except struct_size and kind gives the defaults. */
typedef struct mmcl_step_options {
    size_t               struct_size;
    const double        *start;          /* ICA: initial unmixing matrix [components, components], row-major, copied; NULL: drawn */
    uint64_t             components;     /* 0: as many as the input has columns; more than its rank is an error */
    uint64_t             start_seed;     /* ICA: the start is numpy's RandomState(start_seed).normal(size=(k, k)) */
    uint64_t             max_iterations; /* 0: FastICA 200 (for each component in deflation), Picard 500 */
    double               tolerance;      /* 0: FastICA 1e-4 on the change of direction, Picard 1e-7 on the gradient */
    double               alpha;          /* of the contrast; 0: 1 (Picard's exp: 0.1). Log cosh: from 1 to 2 for FastICA */
    mmcl_step_kind       kind;
    mmcl_ica_algorithm   algorithm;
    mmcl_ica_contrast    contrast;
    mmcl_ica_density     density;
    mmcl_ica_scale       scale;
    mmcl_component_order order;
    mmcl_component_sign  sign;
    mmcl_precision       precision;
    uint32_t             clip_components; /* 1: more components than the rank means the rank, with a warning to the log */
    uint32_t             lbfgs_memory;    /* Picard: pairs kept; 0: 7 */
    double               exponent;        /* power: 0 means 0.8; relevance: 0 means 2; at most 100 */
    double               shrinkage;       /* discriminants: of the between-neighbour covariance towards a multiple of the identity; 0: 0.1 */
    uint32_t             neighbours;      /* relevance, discriminants: looked at around each row; 0: 3; at most 64 */
    uint32_t             reserved;        /* 0 */
} mmcl_step_options;

typedef int32_t mmcl_stop_reason;

#define MMCL_STOP_CLOSED_FORM ((mmcl_stop_reason) 0) /* nothing to iterate */
#define MMCL_STOP_TOLERANCE   ((mmcl_stop_reason) 1) /* converged */
#define MMCL_STOP_ITERATIONS  ((mmcl_stop_reason) 2) /* the limit came first: a result, with a warning to the log */
#define MMCL_STOP_NO_PROGRESS ((mmcl_stop_reason) 3) /* the line search found nothing lower: the limit of the arithmetic */

/*
 * What fitting a step found. In the residual, e_i is the sign of mean psi'(y_i) - mean psi(y_i) y_i: with it, 0 is where FastICA and
 * Picard-O both stand still (all e are 1 when log cosh finds only super-Gaussian components).
 */
typedef struct mmcl_step_info {
    size_t           struct_size;
    uint64_t         rows;               /* rows seen */
    uint64_t         inputs;             /* columns in */
    uint64_t         components;         /* columns out */
    uint64_t         rank;               /* numerical rank of the step's input; 0 where it was not needed */
    uint64_t         iterations;         /* of the solver; deflation: the largest over the components */
    uint64_t         passes;             /* over all rows, those of the line search among them */
    uint64_t         super_gaussian;     /* ICA: components found or assumed super-Gaussian; the rest are sub-Gaussian */
    double           residual;           /* ICA: max |G - G^T| / 2 with G = mean e psi(y) y^T at unit variance, e = +-1 (below); else 0 */
    double           explained_variance; /* share of the input's variance in the components, 0 to 1 */
    double           seconds;
    mmcl_step_kind   kind;
    mmcl_stop_reason stop;
} mmcl_step_info;

/* ------------------------------------------------------------------------------------------------------ building --- */

/* An empty chain, which leaves rows as they are. Thread class: exclusive. Allocates: the handle. */
MMCL_API MMCL_CHECK mmcl_status mmcl_transform_create(mmcl_transform **out, mmcl_context *context);

/*
 * A chain from text: steps joined by "+", each one of raw, center, normalize, pca:K, whiten:K,
 * ica:K[:fastica|:deflation|:picard|:picard-free][:logcosh|:exp|:cube][:auto|:super|:sub], power:EXPONENT,
 * relevance:EXPONENT[:NEIGHBOURS] and discriminants:K[:SHRINKAGE]. ":K" and the like may be left out. Chains joined by "/" stand side
 * by side: "normalize+ica:64/normalize+ica:128" has 192 columns.
 * Thread class: exclusive. Errors: MMCL_E_INVAL (the message quotes the part that was not understood), MMCL_E_NOMEM.
 */
MMCL_API MMCL_CHECK mmcl_status mmcl_transform_create_spec(mmcl_transform **out, mmcl_context *context, const char *spec);

/* Ends the handle. NULL is fine. Thread class: exclusive. */
MMCL_API void mmcl_transform_destroy(mmcl_transform *transform);

/*
 * Appends a step to a chain that is not fitted yet (at most 64). Thread class: exclusive. Allocates: a copy of `start`.
 * Errors: MMCL_E_INVAL (an option out of its range), MMCL_E_STATE (fitted already), MMCL_E_ABI, MMCL_E_NOMEM.
 */
MMCL_API MMCL_CHECK mmcl_status mmcl_transform_add(mmcl_transform *transform, const mmcl_step_options *step);

/* Steps in the chain. Thread class: concurrent on const. */
MMCL_API size_t mmcl_transform_count(const mmcl_transform *transform);

/*
 * The options of a step, so that they can be shown or changed. `out->struct_size` must be set; `out->start` borrows.
 * Thread class: concurrent on const. Errors: MMCL_E_INVAL, MMCL_E_ABI.
 */
MMCL_API MMCL_CHECK mmcl_status mmcl_transform_get_step(const mmcl_transform *transform, size_t step, mmcl_step_options *out);

/*
 * Replaces the options of a step of a chain that is not fitted yet; errors as mmcl_transform_add. Thread class: exclusive.
 */
MMCL_API MMCL_CHECK mmcl_status mmcl_transform_set_step(mmcl_transform *transform, size_t step, const mmcl_step_options *options);

/*
 * A fitted chain that runs `first` and then `second`, both fitted and copied; at most 64 steps in all. So modalities that were centred by
 * means of their own can share what was fitted on all of them: join the centring of each with the shared chain.
 * Thread class: exclusive. Allocates: the handle. Errors: MMCL_E_STATE (not fitted), MMCL_E_UNSUPPORTED (either has chains side by side),
 * MMCL_E_INVAL (columns that do not follow, too many
 * steps), MMCL_E_NUMERIC (the mean of `second` cannot be carried back through a map of `first` whose rows are dependent), MMCL_E_NOMEM.
 */
MMCL_API MMCL_CHECK mmcl_status mmcl_transform_join(mmcl_transform **out, mmcl_context *context, const mmcl_transform *first,
                                                    const mmcl_transform *second);

/* ------------------------------------------------------------------------------------------------------- fitting --- */

typedef struct mmcl_fit_options {
    size_t   struct_size;
    uint64_t cache_bytes; /* whitened rows that ICA may keep between passes, instead of computing them again; 0: 128 MiB */
} mmcl_fit_options;

/*
 * Fits every step on the rows of `parts` [n_parts], taken one after the other as if they were stacked; all have the same
 * number of columns. Chains without a normalisation between affine steps read the rows once for their moments; ICA then
 * passes over them once an iteration. On error the handle stays unfitted and usable.
 * Relevance and discriminants look for neighbours by the cosine of the step's rows (discriminants: of their leading whitened components, as
 * many as are wanted), among all rows or, of more than 32,768, an even sample: time grows with the square of that number.
 * Not converging is a result: see mmcl_step_info.stop.
 * Thread class: exclusive. Allocates: O(d^2), tiles and the row cache (mmcl_transform_estimate); all but the maps is released.
 * Errors: MMCL_E_INVAL (no rows, different widths, more components than columns), MMCL_E_NUMERIC (NaN or infinity, with
 * part, row and column; more components than the rank, with the largest number possible), MMCL_E_STATE (fitted already),
 * MMCL_E_CANCELLED, MMCL_E_CALLBACK, MMCL_E_NOMEM.
 */
MMCL_API MMCL_CHECK mmcl_status mmcl_transform_fit(mmcl_transform *transform, const mmcl_matrix *parts, size_t n_parts,
                                                   const mmcl_fit_options *options);

/*
 * Fits a chain of centring, PCA and whitening from moments alone. MMCL_E_UNSUPPORTED for a chain with ICA, relevance or discriminants, with a
 * normalisation or a power before the last fitted step, or with another beside it: those need the rows. Otherwise as mmcl_transform_fit.
 */
MMCL_API MMCL_CHECK mmcl_status mmcl_transform_fit_moments(mmcl_transform *transform, const mmcl_moments *moments);

/*
 * Peak bytes that mmcl_transform_fit will take from the allocator for `rows` rows of `cols` columns, within a few percent from
 * above. BLAS keeps buffers of its own beside it.
 * Thread class: concurrent on const. Allocates nothing. Errors: MMCL_E_INVAL, MMCL_E_ABI.
 */
MMCL_API MMCL_CHECK mmcl_status mmcl_transform_estimate(const mmcl_transform *transform, size_t rows, size_t cols,
                                                        const mmcl_fit_options *options, uint64_t *bytes);

/*
 * 1 when fitted, otherwise 0. A chain of raw and normalize steps counts as fitted only after a fit, which sets its width.
 * Thread class: concurrent on const.
 */
MMCL_API uint32_t mmcl_transform_is_fitted(const mmcl_transform *transform);

/* Columns in and out of a fitted chain (either pointer may be NULL). Errors: MMCL_E_STATE. Thread class: concurrent on const. */
MMCL_API MMCL_CHECK mmcl_status mmcl_transform_shape(const mmcl_transform *transform, size_t *inputs, size_t *outputs);

/* Result of a fitted step. `out->struct_size` must be set. Thread class: concurrent on const. Errors: INVAL, STATE, ABI. */
MMCL_API MMCL_CHECK mmcl_status mmcl_transform_step_result(const mmcl_transform *transform, size_t step, mmcl_step_info *out);

typedef int32_t mmcl_step_field;

#define MMCL_FIELD_MEAN       ((mmcl_step_field) 1) /* [inputs] mean of the step's input */
#define MMCL_FIELD_COMPONENTS ((mmcl_step_field) 2) /* [components, inputs] the step's map B: y = (x - mean) B^T */
#define MMCL_FIELD_MIXING     ((mmcl_step_field) 3) /* [inputs, components] its pseudo-inverse */
#define MMCL_FIELD_VARIANCE   ((mmcl_step_field) 4) /* [components] share of the step's input variance that each explains */
#define MMCL_FIELD_SPECTRUM   ((mmcl_step_field) 5) /* [inputs] eigenvalues, descending: of the input's population covariance;
                                                       discriminants: ratios of total to between-neighbour variance */
#define MMCL_FIELD_WEIGHTS    ((mmcl_step_field) 6) /* [components] factors of relevance */

/*
 * Copies a field of a fitted affine step into `out` [capacity], row-major. *needed (may be NULL) receives its element count; a
 * capacity of 0 only asks. Thread class: exclusive. Allocates: scratch for MMCL_FIELD_MIXING.
 * Errors: MMCL_E_INVAL (unknown field, the step has none such, capacity too small), MMCL_E_STATE, MMCL_E_NOMEM.
 */
MMCL_API MMCL_CHECK mmcl_status mmcl_transform_field(const mmcl_transform *transform, size_t step, mmcl_step_field field,
                                                     double *out, size_t capacity, size_t *needed);

/* ------------------------------------------------------------------------------------------------------ applying --- */

/*
 * out[i] = chain(rows[i]): `out` [rows->rows, outputs] float32, `out_stride` elements apart (0: outputs). A row's result does
 * not depend on the other rows of the call only up to the rounding of the BLAS library.
 * Thread class: concurrent on const. Allocates nothing; uses about 160 KiB of stack.
 * Errors: MMCL_E_STATE, MMCL_E_INVAL (wrong number of columns, out_stride too small), MMCL_E_NUMERIC (NaN or infinity),
 * MMCL_E_CALLBACK.
 */
MMCL_API MMCL_CHECK mmcl_status mmcl_transform_apply(const mmcl_transform *transform, const mmcl_matrix *rows, float *out,
                                                     size_t out_stride);

/*
 * The least-squares way back: `out` [rows->rows, inputs] float32. For PCA, whitening and ICA with fewer components than
 * inputs it gives the projection of the row on the components' span.
 * Thread class: exclusive. Allocates: the inverse map, released again.
 * Errors: MMCL_E_UNSUPPORTED (the chain normalises rows: their lengths are gone), otherwise as mmcl_transform_apply.
 */
MMCL_API MMCL_CHECK mmcl_status mmcl_transform_inverse(const mmcl_transform *transform, const mmcl_matrix *rows, float *out,
                                                       size_t out_stride);

/*
 * The whole chain as one map y = (x - mean) B^T: `mean` [inputs], `matrix` [outputs, inputs].
 * Thread class: concurrent on const. Allocates nothing.
 * Errors: MMCL_E_UNSUPPORTED (the chain normalises rows), MMCL_E_STATE.
 */
MMCL_API MMCL_CHECK mmcl_status mmcl_transform_affine(const mmcl_transform *transform, double *mean, double *matrix);

/* ------------------------------------------------------------------------------------------------ save and load --- */

/*
 * Writes a fitted chain to a model file (doc/formats.md: an .npz that numpy opens, with a format number). An existing file is
 * replaced only when the new one is complete.
 * Thread class: exclusive. Errors: MMCL_E_STATE, MMCL_E_IO, MMCL_E_NOMEM.
 */
MMCL_API MMCL_CHECK mmcl_status mmcl_transform_save(const mmcl_transform *transform, const char *path);

/* The same into a host's sink. Errors: also MMCL_E_CALLBACK. */
MMCL_API MMCL_CHECK mmcl_status mmcl_transform_save_to(const mmcl_transform *transform, const mmcl_sink *sink);

/*
 * Reads a chain back, fitted; it applies bit for bit as the one that was saved. `options` may be NULL, or give a stream.
 * Thread class: exclusive. Errors: as mmcl_archive_open; MMCL_E_VERSION (written by a newer library), MMCL_E_FORMAT (damaged,
 * or a model of another kind).
 */
MMCL_API MMCL_CHECK mmcl_status mmcl_transform_load(mmcl_transform **out, mmcl_context *context, const char *path,
                                                    const mmcl_open_options *options);

/* ------------------------------------------------------------------------------------------------------- moments --- */

/*
 * An empty accumulator for rows of `cols` columns. Thread class: exclusive. Allocates: 8 cols^2 bytes.
 * Errors: MMCL_E_INVAL, MMCL_E_NOMEM.
 */
MMCL_API MMCL_CHECK mmcl_status mmcl_moments_create(mmcl_moments **out, mmcl_context *context, size_t cols);

/* Ends the handle. NULL is fine. Thread class: exclusive. */
MMCL_API void mmcl_moments_destroy(mmcl_moments *moments);

/*
 * Adds rows. On error nothing is added. Thread class: exclusive. Allocates: tiles and scatter matrices, released again.
 * Errors: as mmcl_transform_fit.
 */
MMCL_API MMCL_CHECK mmcl_status mmcl_moments_update(mmcl_moments *moments, const mmcl_matrix *rows);

/*
 * Adds what `other` has seen, as if its rows had been given to `moments` (Chan, Golub and LeVeque 1979). Both may belong to
 * different contexts. Thread class: exclusive for `moments`. Allocates nothing. Errors: MMCL_E_INVAL (different widths).
 */
MMCL_API MMCL_CHECK mmcl_status mmcl_moments_merge(mmcl_moments *moments, const mmcl_moments *other);

/*
 * Reads count, mean [cols] and population covariance [cols, cols]; any pointer may be NULL. Thread class: concurrent on const.
 * Errors: MMCL_E_STATE (mean or covariance of no rows).
 */
MMCL_API MMCL_CHECK mmcl_status mmcl_moments_get(const mmcl_moments *moments, uint64_t *count, double *mean, double *covariance);

#ifdef __cplusplus
}
#endif

#endif
