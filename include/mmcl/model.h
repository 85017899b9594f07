/*
 * The latent partial causal model: x = g_x(z_x, m_x), t = g_t(z_t, m_t), with coupled latents z_x - z_t joined by an undirected
 * edge, private latents m_x and m_t, and invertible mixings g_x and g_t. It gives paired samples whose latents are known.
 *
 * A sample is a pure function of (model, seed, step, row): any part of any batch can be made again, in any order, on any number
 * of threads. Formulas with their sources: doc/numerics.md.
 */
#ifndef MMCL_MODEL_H
#define MMCL_MODEL_H

#include <mmcl/base.h>
#include <mmcl/context.h>
#include <mmcl/io.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mmcl_model mmcl_model; /* immutable once created */

/* Coupled and private latents of a side that a model may have at most, together. */
#define MMCL_MAX_LATENTS 512

/* Where the coupled latents live. */
typedef int32_t mmcl_space;

#define MMCL_SPACE_SPHERE ((mmcl_space) 0) /* the unit hypersphere S^(d-1) */
#define MMCL_SPACE_BOX    ((mmcl_space) 1) /* [lower, upper]^d */
#define MMCL_SPACE_REAL   ((mmcl_space) 2) /* R^d */

/*
 * Marginals and couplings. A scale S is a standard deviation (normal), the scale of exp(-|u| / S) (Laplace) or that of
 * exp(-(|u| / S)^beta) (generalised normal), per coordinate.
 *   on the sphere  normal, Laplace and generalised normal are drawn in R^d around a centre and divided by their length
 *   in a box       they are truncated to the box, per coordinate and exactly
 */
typedef int32_t mmcl_distribution;

#define MMCL_DIST_DEFAULT ((mmcl_distribution) 0) /* marginal: uniform, normal on R^d; coupling: VMF, box: Laplace, R^d: normal */
#define MMCL_DIST_UNIFORM ((mmcl_distribution) 1) /* marginal on the sphere or in a box */
#define MMCL_DIST_NORMAL  ((mmcl_distribution) 2)
#define MMCL_DIST_LAPLACE ((mmcl_distribution) 3)
#define MMCL_DIST_GENNORM ((mmcl_distribution) 4)
#define MMCL_DIST_VMF     ((mmcl_distribution) 5) /* coupling on the sphere: von Mises-Fisher, exp(kappa z_x . z_t) */

/* Where a non-uniform marginal on the sphere is centred before the projection. In a box it is the middle, in R^d the origin. */
typedef int32_t mmcl_marginal_center;

#define MMCL_CENTER_E1     ((mmcl_marginal_center) 0) /* (1, 0, ..., 0) */
#define MMCL_CENTER_ORIGIN ((mmcl_marginal_center) 1) /* no mean direction: the axes are what tells the components apart */

/* In which order the pair is drawn: the model's edge is undirected, and so is what can be learnt from it. */
typedef int32_t mmcl_direction;

#define MMCL_DIRECTION_X2T       ((mmcl_direction) 0) /* z_x from the marginal, z_t given z_x */
#define MMCL_DIRECTION_T2X       ((mmcl_direction) 1) /* z_t from the marginal, z_x given z_t */
#define MMCL_DIRECTION_MIXED     ((mmcl_direction) 2) /* one or the other for each row, by a fair coin */
/*
 * From a density that is symmetric in z_x and z_t. Box: p(z_x, z_t) proportional to the coupling's kernel on the square, whose
 * marginal is neither uniform nor an option. R^d: p0(z_x) p0(z_t) kernel(z_x - z_t), p0 the marginal. Sphere: the uniform
 * marginal with a von Mises-Fisher or normal coupling, where the order makes no difference; refused with others, whose projected
 * kernel is not symmetric.
 */
#define MMCL_DIRECTION_SYMMETRIC ((mmcl_direction) 3)

typedef int32_t mmcl_mixing_kind;

#define MMCL_MIXING_MLP      ((mmcl_mixing_kind) 0) /* square layers without biases, leaky ReLU between them, not after the last */
#define MMCL_MIXING_IDENTITY ((mmcl_mixing_kind) 1) /* x = (z_x, m_x) */

/*
 * Which side of a pair. Everything that one side draws for itself (its mixing, its private latents) differs from what the other
 * draws, with equal seeds too.
 */
typedef int32_t mmcl_side;

#define MMCL_SIDE_X ((mmcl_side) 0)
#define MMCL_SIDE_T ((mmcl_side) 1)

/*
 * All zero except struct_size gives: 10 coupled latents on the sphere, uniform, coupled by a von Mises-Fisher density of kappa
 * 10, no private latents, mixings of 3 layers.
 */
typedef struct mmcl_model_options {
    size_t struct_size;
    /* [latent, latent] row-major, copied: correlations of a Gaussian copula that joins the components of the marginal (on a
       uniform sphere: of the normals before the projection); NULL: `correlation` between all pairs */
    const double        *correlation_matrix;
    double               correlation;        /* above -1 / (latent - 1), below 1 */
    double               lower, upper;       /* of the box; both 0: 0 and 1 */
    double               marginal_scale;     /* 0: 1; in a box: a quarter of its side */
    double               marginal_beta;      /* exponent of a generalised normal, 0.25 to 32; 0: 3 */
    double               coupling_scale;     /* VMF: kappa, 0: 10. Others: 0: 0.05; in a box: 0.05 of its side */
    double               coupling_beta;      /* as marginal_beta */
    double               private_dependence; /* 0 to 1: how far private latents follow z (mmcl_samples); the model assumes 0 */
    double               slope;              /* of the leaky ReLU, above 0 and at most 1; 0: 0.2 */
    double               condition_bound;    /* 0: each layer is the best of condition_draws random matrices; otherwise the first
                                                whose condition number is at most this (at least 1) */
    uint64_t             condition_draws;    /* 0: 25,000 */
    uint64_t             mixing_seed_x;
    uint64_t             mixing_seed_t;
    uint32_t             latent;             /* d, coupled latents of a side; 0: 10. At least 2 on the sphere */
    uint32_t             private_x;          /* private latents of a side; 0: none */
    uint32_t             private_t;
    uint32_t             layers;             /* of a mixing, at most 16; 0: 3 */
    mmcl_space           space;
    mmcl_distribution    marginal;
    mmcl_distribution    coupling;
    mmcl_marginal_center center;
    mmcl_direction       direction;
    mmcl_mixing_kind     mixing;
} mmcl_model_options;

/* What a model has come to. */
typedef struct mmcl_model_info {
    size_t   struct_size;
    uint64_t latent;
    uint64_t private_x, private_t;
    uint64_t width_x, width_t;         /* columns of x and t: latent + private */
    uint64_t layers;                   /* of each mixing; 0 for the identity */
    double   condition_x, condition_t; /* the largest condition number (2-norm) among the layers; 1 for the identity */
} mmcl_model_info;

/*
 * Builds a model. Each layer of a mixing is a square matrix with entries from U(-1, 1) whose columns are scaled to length 1,
 * chosen by its condition number; the result depends on seed, side, width and the condition options alone. At 15 columns 25,000
 * draws for each of six layers take a fraction of a second; the time grows with the third power of the width. `options` may be
 * NULL.
 * Thread class: exclusive. Allocates: the handle; scratch of 128 width^2 bytes a thread, released again.
 * Errors: MMCL_E_INVAL (d below 2 on the sphere, a uniform marginal on R^d, a scale that is not positive, a correlation matrix
 * that is not symmetric and positive definite with a diagonal of 1, a coupling that the space does not have, a condition bound
 * that none of the draws meets, with the best found ...), MMCL_E_CANCELLED, MMCL_E_CALLBACK, MMCL_E_ABI, MMCL_E_NOMEM.
 */
MMCL_API MMCL_CHECK mmcl_status mmcl_model_create(mmcl_model **out, mmcl_context *context, const mmcl_model_options *options);

/* Ends the handle. NULL is fine. Thread class: exclusive. */
MMCL_API void mmcl_model_destroy(mmcl_model *model);

/*
 * Widths and condition numbers. `out->struct_size` must be set.
 * Thread class: concurrent on const. Errors: MMCL_E_INVAL, MMCL_E_ABI.
 */
MMCL_API MMCL_CHECK mmcl_status mmcl_model_get_info(const mmcl_model *model, mmcl_model_info *out);

/*
 * The options with all defaults filled in; `out->correlation_matrix` borrows from the model, and is NULL where none
 * was given. `out->struct_size` must be set.
 * Thread class: concurrent on const. Errors: MMCL_E_INVAL, MMCL_E_ABI.
 */
MMCL_API MMCL_CHECK mmcl_status mmcl_model_get_options(const mmcl_model *model, mmcl_model_options *out);

/*
 * Layer `layer` of a mixing, h -> matrix h: `matrix` [width, width] row-major and its condition number; either may be NULL.
 * Thread class: concurrent on const. Errors: MMCL_E_INVAL (also: no such layer).
 */
MMCL_API MMCL_CHECK mmcl_status mmcl_model_layer(const mmcl_model *model, mmcl_side side, size_t layer, double *matrix,
                                                 double *condition);

/* ------------------------------------------------------------------------------------------------------ sampling --- */

/*
 * Rows first_row ... first_row + rows - 1 of a batch. Each buffer that is not NULL is filled, row-major without gaps. x and t are
 * the mixings of the very float32 latents that the other buffers receive.
 *
 * Private latents are standard normal, uniform in [lower, upper] for a box. With a private dependence s, m_j becomes
 * sqrt(1 - s^2) m_j + s z'_j, z' being component j mod d of the same side's z, scaled to mean square 1 (sphere: of the uniform;
 * R^d: of the marginal); in a box (1 - s) m_j + s z_(j mod d).
 */
typedef struct mmcl_samples {
    size_t   struct_size;
    float   *x;   /* [rows, width_x] */
    float   *t;   /* [rows, width_t] */
    float   *z_x; /* [rows, latent] */
    float   *z_t; /* [rows, latent] */
    float   *m_x; /* [rows, private_x] */
    float   *m_t; /* [rows, private_t] */
    size_t   rows;
    uint64_t first_row; /* first_row + rows is at most 2^32 */
} mmcl_samples;

/*
 * Fills `out` from batch `step` of `seed`; different seeds or steps give independent batches. Uses the context's threads.
 * Thread class: concurrent on const. Allocates nothing; takes up to 320 KiB of stack.
 * Errors: MMCL_E_INVAL, MMCL_E_ABI, MMCL_E_CALLBACK (the host's executor failed).
 */
MMCL_API MMCL_CHECK mmcl_status mmcl_model_sample(const mmcl_model *model, uint64_t seed, uint64_t step, const mmcl_samples *out);

/*
 * Applies a side's mixing to latents of the caller's: `z` [rows, latent] and `m` [rows, private] (NULL where there are none),
 * float32 row-major without gaps, to `out` [rows, width]; the same bits as mmcl_model_sample gives for these latents.
 * Thread class: concurrent on const. Allocates nothing; stack as above. Errors: MMCL_E_INVAL, MMCL_E_CALLBACK.
 */
MMCL_API MMCL_CHECK mmcl_status mmcl_model_mix(const mmcl_model *model, mmcl_side side, size_t rows, const float *z,
                                               const float *m, float *out);

/*
 * The way back: observations of a side to its latents, in float64. `z` [rows, latent] and `m` [rows, private], float32; either
 * may be NULL.
 * Thread class: concurrent on const. Allocates nothing; stack as above.
 * Errors: MMCL_E_INVAL (wrong number of columns), MMCL_E_NUMERIC (NaN or infinity), MMCL_E_CALLBACK.
 */
MMCL_API MMCL_CHECK mmcl_status mmcl_model_unmix(const mmcl_model *model, mmcl_side side, const mmcl_matrix *observations,
                                                 float *z, float *m);

/* ------------------------------------------------------------------------------------------------ save and load --- */

/*
 * Writes the model to a model file (doc/formats.md), mixings included. An existing file is replaced only when the new one is
 * complete.
 * Thread class: exclusive. Errors: MMCL_E_IO, MMCL_E_NOMEM.
 */
MMCL_API MMCL_CHECK mmcl_status mmcl_model_save(const mmcl_model *model, const char *path);

/* The same into a host's sink. Thread class: exclusive. Errors: also MMCL_E_CALLBACK. */
MMCL_API MMCL_CHECK mmcl_status mmcl_model_save_to(const mmcl_model *model, const mmcl_sink *sink);

/*
 * Reads a model back; it samples bit for bit as the one that was saved. `options` may be NULL, or give a stream.
 * Thread class: exclusive.
 * Errors: as mmcl_archive_open; MMCL_E_VERSION (written by a newer library), MMCL_E_FORMAT (damaged, or a model of another kind).
 */
MMCL_API MMCL_CHECK mmcl_status mmcl_model_load(mmcl_model **out, mmcl_context *context, const char *path,
                                                const mmcl_open_options *options);

#ifdef __cplusplus
}
#endif

#endif
