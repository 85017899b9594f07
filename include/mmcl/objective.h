/*
 * The multimodal contrastive objective: loss and gradients for paired representations x [rows, cols] and t [rows, cols], row i of
 * one belonging to row i of the other. Where the representations come from is the host's business: it gives matrices and gets the
 * gradients with respect to them back, to carry on with in its own network (the contract of GradCache, Gao et al. 2021).
 *
 * S_ij = s sim(x_i, t_j) with the logit scale s = 1 / temperature. The rows-by-rows matrix S is never stored: it passes by in
 * tiles, forward for the normalisers and once more for the gradients. Formulas with their sources: doc/numerics.md.
 */
#ifndef MMCL_OBJECTIVE_H
#define MMCL_OBJECTIVE_H

#include <mmcl/base.h>
#include <mmcl/context.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mmcl_objective mmcl_objective; /* the options and the workspace of evaluations */

/* ------------------------------------------------------------------------------------------------- communication --- */

typedef int32_t mmcl_reduction;

#define MMCL_REDUCE_SUM ((mmcl_reduction) 0)
#define MMCL_REDUCE_MAX ((mmcl_reduction) 1)

/*
 * How processes that share a batch talk to each other, filled in by the host. All ranks make the same calls in the same order,
 * from the thread that called into the library. A nonzero answer reaches the caller as MMCL_E_CALLBACK.
 */
typedef struct mmcl_comm {
    size_t struct_size;
    void  *user;
    /* values [count] become their sum or maximum over all ranks, with the same bits on each. */
    int32_t (*all_reduce)(void *user, double *values, size_t count, mmcl_reduction reduction);
    /* received [size * bytes]: what rank 0, 1, ... sent, one after the other. */
    int32_t (*all_gather)(void *user, const void *sent, void *received, size_t bytes);
    /* Sends to rank (rank + size - 1) % size and receives from rank (rank + 1) % size; the buffers do not overlap. */
    int32_t (*ring_shift)(void *user, const void *sent, void *received, size_t bytes);
    uint32_t rank;
    uint32_t size; /* at least 1 */
} mmcl_comm;

/* ------------------------------------------------------------------------------------------------------- options --- */

typedef int32_t mmcl_similarity;

#define MMCL_SIMILARITY_DOT        ((mmcl_similarity) 0) /* x . t */
#define MMCL_SIMILARITY_COSINE     ((mmcl_similarity) 1) /* x . t / (|x| |t|); the gradient goes through the norms */
#define MMCL_SIMILARITY_SQUARED_L2 ((mmcl_similarity) 2) /* -sum (x - t)^2 */
#define MMCL_SIMILARITY_L1         ((mmcl_similarity) 3) /* -sum |x - t|; its derivative at 0 is 0 */
#define MMCL_SIMILARITY_LP         ((mmcl_similarity) 4) /* -sum |x - t|^p, p = exponent */

typedef int32_t mmcl_contrastive_loss;

#define MMCL_LOSS_INFONCE ((mmcl_contrastive_loss) 0) /* softmax cross-entropy over the batch (van den Oord et al. 2018) */
#define MMCL_LOSS_SIGLIP  ((mmcl_contrastive_loss) 1) /* a sigmoid for each pair, with a bias (Zhai et al. 2023) */

typedef int32_t mmcl_sides;

#define MMCL_SIDES_BOTH ((mmcl_sides) 0) /* L_x and L_t: half their sum, or their sum with `summed` */
#define MMCL_SIDES_X2T  ((mmcl_sides) 1) /* L_x alone: each row of x looks for its t */
#define MMCL_SIDES_T2X  ((mmcl_sides) 2) /* L_t alone */

/* What L_x = mean_i (R_i - S_ii) has for R_i; the same over columns for L_t. B is the number of rows of a batch. */
typedef int32_t mmcl_normalizer;

#define MMCL_NORMALIZER_SUM            ((mmcl_normalizer) 0) /* log sum_j exp S_ij, the positive among them */
#define MMCL_NORMALIZER_MEAN           ((mmcl_normalizer) 1) /* log mean_j exp S_ij: the sum's minus log B */
#define MMCL_NORMALIZER_MEAN_NEGATIVES ((mmcl_normalizer) 2) /* log mean of exp S_ij over the negatives alone, j != i */

/* All zero except struct_size gives the defaults: the symmetric InfoNCE of dot products, halved. */
typedef struct mmcl_objective_options {
    size_t                struct_size;
    const mmcl_comm      *comm;        /* copied; NULL: this process alone */
    uint64_t              rows;        /* workspace is taken at creation for this shape; 0: at the first evaluation. A larger */
    uint64_t              cols;        /* one makes it grow, a smaller one allocates nothing */
    uint64_t              cache_bytes; /* tiles of S that may be kept between the passes instead of computed again; 0: none */
    double                exponent;    /* p of MMCL_SIMILARITY_LP, 1 to 16; 0 with the others */
    double                min_scale;   /* bounds of s; 0: none */
    double                max_scale;
    mmcl_similarity       similarity;
    mmcl_contrastive_loss loss;
    mmcl_sides            sides;       /* MMCL_LOSS_SIGLIP has but one, which MMCL_SIDES_BOTH stands for */
    mmcl_normalizer       normalizer;
    uint32_t              summed;      /* 1: L_x + L_t instead of half of it */
    uint32_t              reserved;    /* 0 */
} mmcl_objective_options;

/*
 * Creates an objective. `options` may be NULL.
 * Thread class: exclusive. Allocates: the handle, and the workspace when rows and cols are given.
 * Errors: MMCL_E_INVAL (an option out of its range, options that exclude each other), MMCL_E_ABI, MMCL_E_NOMEM.
 */
MMCL_API MMCL_CHECK mmcl_status mmcl_objective_create(mmcl_objective **out, mmcl_context *context,
                                                      const mmcl_objective_options *options);

/* Ends the handle. NULL is fine. Thread class: exclusive. */
MMCL_API void mmcl_objective_destroy(mmcl_objective *objective);

/*
 * The options in use; comm is NULL. `out->struct_size` must be set.
 * Thread class: concurrent on const. Allocates nothing. Errors: MMCL_E_INVAL, MMCL_E_ABI.
 */
MMCL_API MMCL_CHECK mmcl_status mmcl_objective_get_options(const mmcl_objective *objective, mmcl_objective_options *out);

/* ---------------------------------------------------------------------------------------------------- evaluation --- */

/*
 * s = scale * exp(log_scale): give the one that is being learnt. Outside min_scale ... max_scale, s counts as the bound that it
 * has crossed, and its derivatives are 0 where a step of descent would lead further out.
 */
typedef struct mmcl_objective_input {
    size_t             struct_size;
    const mmcl_matrix *x;         /* [rows, cols], at least 2 rows; dense float32 is read in place */
    const mmcl_matrix *t;         /* [rows, cols] */
    const int64_t     *groups;    /* [rows] 0 ... 2^31 - 1: pairs of one label are positives, with targets uniform over them; */
                                  /* NULL: every row is its own group */
    double             scale;     /* above 0; 0: 1 */
    double             log_scale;
    double             bias;      /* SigLIP's b: S_ij = s sim + b */
    uint64_t           blocks;    /* 0 or 1: one batch, over all ranks. More: equal runs of consecutive rows of this rank, each */
                                  /* a batch of its own; the loss is their mean */
} mmcl_objective_input;

/*
 * Gradients of the loss; NULL for those that are not wanted. The buffers do not overlap the inputs or each other, and hold
 * nothing of meaning after an error. With several ranks: derivatives of the loss of all with respect to this rank's rows, so that
 * a host sums (and does not average) what it makes of them; dscale, dlog_scale and dbias are the same on every rank.
 */
typedef struct mmcl_objective_output {
    size_t  struct_size;
    float  *dx;         /* [rows, cols] */
    float  *dt;         /* [rows, cols] */
    size_t  dx_stride;  /* floats from one row to the next; 0: cols */
    size_t  dt_stride;
    double *dscale;     /* dL/ds */
    double *dlog_scale; /* dL/d log s = s dL/ds */
    double *dbias;      /* dL/db; 0 for MMCL_LOSS_INFONCE */
} mmcl_objective_output;

/*
 * What came beside the gradients. As the batch B grows, L_x + L_t - 2 log B tends to 2 alignment + entropy_x + entropy_t: the
 * first term draws pairs together, the other two spread the representations (Liu et al. 2026; Wang and Isola 2020).
 * NaN stands for what the loss did not compute.
 */
typedef struct mmcl_objective_info {
    size_t   struct_size;
    double   loss;
    double   loss_x;     /* L_x and L_t; NaN for SigLIP and for the side left out */
    double   loss_t;
    double   alignment;  /* mean over the pairs of -S_ii */
    double   entropy_x;  /* mean_i log mean_j exp S_ij, and mean_j log mean_i exp S_ij, positives among them */
    double   entropy_t;
    double   accuracy_x; /* share of the rows of x with a positive above every negative; of the rows of t */
    double   accuracy_t;
    double   scale;      /* s as it was used */
    double   seconds;
    uint64_t rows;       /* of all ranks */
    uint64_t cached;     /* tiles that the memory budget kept */
} mmcl_objective_info;

/*
 * Evaluates loss and gradients. `output` and `info` may be NULL (set struct_size where not). The same bits for any number of
 * threads and any cache_bytes. Reports progress as operation "objective" when it is not part of a longer one.
 * Thread class: exclusive. Allocates nothing once an evaluation of this shape, or a larger one, has been made or options.rows and
 * options.cols announced it (the cache is filled up to cache_bytes by the first evaluation that has use for it).
 * Errors: MMCL_E_INVAL (fewer than 2 rows a batch, x and t of different shape, blocks that do not divide the rows, a label out
 * of range, a scale that is not positive and finite, buffers too narrow, ranks that disagree), MMCL_E_NUMERIC (NaN or infinity in
 * x or t, with row and column; a zero row under MMCL_SIMILARITY_COSINE; a row without negatives under
 * MMCL_NORMALIZER_MEAN_NEGATIVES; a loss that is not finite), MMCL_E_CALLBACK, MMCL_E_CANCELLED, MMCL_E_ABI, MMCL_E_NOMEM.
 */
MMCL_API MMCL_CHECK mmcl_status mmcl_objective_evaluate(mmcl_objective *objective, const mmcl_objective_input *input,
                                                        const mmcl_objective_output *output, mmcl_objective_info *info);

#ifdef __cplusplus
}
#endif

#endif
