/* Can the components be trusted? Their stability over starts and samples, whether there are axes at all, and how many. */
#ifndef MMCL_ANALYSIS_H
#define MMCL_ANALYSIS_H

#include <mmcl/base.h>
#include <mmcl/context.h>
#include <mmcl/transform.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * ICASSO (Himberg, Hyvarinen and Esposito 2004): an ICA is repeated, the components of all runs are compared by the |correlation| of
 * what they give on the rows, and average linkage puts them into as many clusters as a run has components. A component that every
 * start finds makes a tight cluster far from the others; one that depends on the start, or on the sample, does not.
 */
typedef struct mmcl_stability mmcl_stability;

/* All zero except struct_size gives the defaults. */
typedef struct mmcl_stability_options {
    size_t                   struct_size;
    const mmcl_step_options *step;        /* the ICA to repeat; its start is not used. NULL: Picard to a tolerance of 1e-4 */
    uint64_t                 runs;        /* at least 2; 0: 20. Runs times components: at most 16384 */
    uint64_t                 seed;        /* run r starts from numpy's RandomState(seed + r) */
    uint64_t                 cache_bytes; /* as in mmcl_fit_options */
    uint32_t                 bootstrap;   /* 1: each run sees as many rows as there are, drawn with replacement; whitening is part of it */
    uint32_t                 reserved;
} mmcl_stability_options;

typedef struct mmcl_stability_info {
    size_t   struct_size;
    uint64_t rows, inputs;
    uint64_t components; /* of a run, and clusters */
    uint64_t runs;
    uint64_t converged;  /* runs that stopped by the tolerance */
    uint64_t passes;     /* over all rows, of all runs */
    double   mean_index; /* of the clusters' stability indices */
    double   seconds;
} mmcl_stability_info;

/*
 * Runs the analysis on `parts` [n_parts], taken as if they were stacked. Not converging is a result: see `converged`.
 * Thread class: exclusive. Allocates: as a fit of the step (mmcl_transform_estimate), 8 (runs components)^2 bytes for the
 * similarities, 8 runs components inputs bytes for the maps; with a bootstrap 8 bytes a row. Without one, each of the library's own
 * threads takes a run, with working memory of its own (about 8 (12 + 2 lbfgs_memory) components^2 bytes, and sums over the rows).
 * Errors: as mmcl_transform_fit; MMCL_E_INVAL also for a step that is no ICA, one run, or too many components in all.
 */
MMCL_API MMCL_CHECK mmcl_status mmcl_stability_create(mmcl_stability **out, mmcl_context *context, const mmcl_matrix *parts,
                                                      size_t n_parts, const mmcl_stability_options *options);

/* Ends the handle. NULL is fine. Thread class: exclusive. */
MMCL_API void mmcl_stability_destroy(mmcl_stability *stability);

/* `out->struct_size` must be set. Thread class: concurrent on const. Errors: MMCL_E_INVAL, MMCL_E_ABI. */
MMCL_API MMCL_CHECK mmcl_status mmcl_stability_get_info(const mmcl_stability *stability, mmcl_stability_info *out);

typedef int32_t mmcl_stability_field_kind;

/*
 * [components] stability index I_q, descending, at most 1: the mean similarity within the cluster, each member's 1 with itself
 * included, less the mean similarity of its members with all others.
 */
#define MMCL_STABILITY_INDEX   ((mmcl_stability_field_kind) 1)
#define MMCL_STABILITY_SIZE    ((mmcl_stability_field_kind) 2) /* [components] members of each cluster; `runs` where each run has one */
#define MMCL_STABILITY_MATRIX  ((mmcl_stability_field_kind) 3) /* [components, inputs] map of the centrotype: the member most similar to all */
#define MMCL_STABILITY_MEAN    ((mmcl_stability_field_kind) 4) /* [inputs] mean of the rows: y = (x - mean) B^T */
#define MMCL_STABILITY_CLUSTER ((mmcl_stability_field_kind) 5) /* [runs, components] the cluster that each run's component is in */

/*
 * Copies a field into `out` [capacity], row-major; clusters are numbered by descending index. *needed (may be NULL) receives the element
 * count; a capacity of 0 only asks. Thread class: concurrent on const. Errors: MMCL_E_INVAL.
 */
MMCL_API MMCL_CHECK mmcl_status mmcl_stability_field(const mmcl_stability *stability, mmcl_stability_field_kind field, double *out,
                                                     size_t capacity, size_t *needed);

/*
 * A fitted transform to the centrotypes whose index is at least `least` (they are not exactly uncorrelated), in its own right: it
 * outlives the analysis. Thread class: exclusive. Allocates: the handle. Errors: MMCL_E_INVAL (no centrotype reaches `least`: the
 * message names the largest index), MMCL_E_NOMEM.
 */
MMCL_API MMCL_CHECK mmcl_status mmcl_stability_transform(const mmcl_stability *stability, double least, mmcl_transform **out);

/* ---------------------------------------------------------------------------------------------------------- axes --- */

/* All zero except struct_size gives the defaults. */
typedef struct mmcl_axes_options {
    size_t                   struct_size;
    const mmcl_step_options *step;        /* the ICA; its start is not used. NULL: Picard to a tolerance of 1e-4 */
    uint64_t                 rotations;   /* random ones to compare with, at least 2; 0: 50 */
    uint64_t                 seed;        /* of the split, the start and the rotations */
    uint64_t                 cache_bytes; /* as in mmcl_fit_options */
    double                   holdout;     /* share of rows that judge, below 1; 0: 0.5 */
} mmcl_axes_options;

/*
 * A contrast is the mean over components of (mean log cosh y - its value for a standard normal)^2, Hyvarinen's (1998) approximation
 * of negentropy up to a factor, on rows that no fit has seen, whitened as the others are.
 */
typedef struct mmcl_axes_info {
    size_t   struct_size;
    uint64_t fitted_rows, judged_rows;
    uint64_t components;
    uint64_t rotations;
    double   contrast;         /* of the axes that ICA found */
    double   principal;        /* of the principal axes, whitened */
    double   random_mean;      /* of random rotations of them */
    double   random_deviation;
    double   score;            /* (contrast - max(principal, random_mean)) / random_deviation */
    uint32_t converged;        /* 1: ICA stopped by its tolerance */
    uint32_t reserved;
} mmcl_axes_info;

/*
 * Are there axes for ICA to find? If the whitened representations look the same in every rotation, as latents uniform on a sphere do
 * whatever orthogonal map contrastive learning has put before them, then axes fitted on one part of the rows are no better on the
 * other than random ones: the score is a standard normal variable. Independent latents, as in a convex body, make it large.
 * Thread class: exclusive. Allocates: as a fit of the step, and 8 bytes a row; released again.
 * Errors: as mmcl_transform_fit; MMCL_E_INVAL also for a step that is no ICA, one rotation, a holdout of 1 or above.
 */
MMCL_API MMCL_CHECK mmcl_status mmcl_axes_test(mmcl_context *context, const mmcl_matrix *parts, size_t n_parts,
                                               const mmcl_axes_options *options, mmcl_axes_info *info);

/* --------------------------------------------------------------------------------------------------------- signs --- */

/* All zero except struct_size gives the defaults. */
typedef struct mmcl_signs_options {
    size_t                   struct_size;
    const mmcl_step_options *step;        /* the ICA with automatic signs; its start is not used. NULL: Picard to a tolerance of 1e-4 */
    uint64_t                 seed;        /* of the start and the rotations */
    uint64_t                 cache_bytes; /* as in mmcl_fit_options */
    double                   margin;      /* how many times the automatic contrast a fixed one has to be; 0: 1.5; at least 1. It also
                                             has to lie above it by twice the contrast of random rotations */
    uint64_t                 most_rows;   /* about how many are drawn, one by one, where there are more; 0: 10,000; 10 a column at least */
} mmcl_signs_options;

/* A contrast is the mean over components of |mean log cosh y - reference|, on the rows that were fitted, whitened. */
typedef struct mmcl_signs_info {
    size_t           struct_size;
    uint64_t         rows;
    uint64_t         components;
    double           automatic;      /* of the step as it is */
    double           super_gaussian; /* of Picard with every component super-Gaussian, and sub-Gaussian */
    double           sub_gaussian;
    double           random;         /* of random rotations */
    double           reference;      /* mean log cosh y over random rotations */
    uint32_t         converged;      /* how many of the three fits */
    mmcl_ica_density advice;         /* AUTO: the step may be trusted; else what finds more */
} mmcl_signs_info;

/*
 * May the sign of the contrast be chosen automatically? On rows of unit norm, cross-cumulants of super-Gaussian latents are negative, and
 * FastICA and the extended Picard turn to sub-Gaussian axes that mean nothing, with every sign of success. There the axes of fixed signs
 * stand further off from random rotations, and the advice is theirs. Random rotations are the reference, and not a normal variable,
 * because on a sphere every direction is sub-Gaussian.
 * Thread class: exclusive. Allocates: as a fit of the step, and 8 bytes a row; released again.
 * Errors: as mmcl_transform_fit; MMCL_E_INVAL also for a step that is no ICA or has fixed signs, one component, a margin below 1.
 */
MMCL_API MMCL_CHECK mmcl_status mmcl_signs_test(mmcl_context *context, const mmcl_matrix *parts, size_t n_parts,
                                                const mmcl_signs_options *options, mmcl_signs_info *info);

/* ------------------------------------------------------------------------------------------------------- how many --- */

/* All zero except struct_size gives the defaults. */
typedef struct mmcl_parallel_options {
    size_t   struct_size;
    uint64_t seed;
    double   quantile; /* of the draws that an eigenvalue has to exceed, below 1; 0: 0.95 */
    uint64_t draws;    /* 0: 20 */
} mmcl_parallel_options;

/*
 * Parallel analysis (Horn 1965): *components is how many leading eigenvalues of the covariance exceed those of as many rows whose
 * columns have the same variances but nothing in common; 0 is possible. Their covariance is drawn as D^(1/2) (I + E / sqrt(n)) D^(1/2),
 * E symmetric, normal, of variance 1 and 2 on the diagonal, which is the limit for many rows. `eigenvalues` [cols] and `thresholds`
 * [cols], both descending, may be NULL. A chain's own data give moments by mmcl_moments_update.
 * Thread class: exclusive. Allocates: O(cols^2 + draws cols), released again.
 * Errors: MMCL_E_INVAL (a quantile of 1 or above, more than 1000 draws), MMCL_E_STATE (no rows), MMCL_E_NUMERIC, MMCL_E_NOMEM.
 */
MMCL_API MMCL_CHECK mmcl_status mmcl_parallel_analysis(const mmcl_moments *moments, const mmcl_parallel_options *options,
                                                       uint64_t *components, double *eigenvalues, double *thresholds);

/* ----------------------------------------------------------------------------------------------- both modalities --- */

/* Where the partner of a row comes among all rows of the other side. [0]: rows of x look among those of t; [1]: the other way. */
typedef struct mmcl_retrieval_info {
    size_t   struct_size;
    uint64_t pairs;
    double   recall_1[2];             /* share of rows whose partner is first, 0 to 1 */
    double   recall_5[2];             /* ... among the first 5 */
    double   recall_10[2];            /* ... among the first 10 */
    double   median_rank[2];          /* 1 is best; of an even number the mean of the middle two */
    double   mean_reciprocal_rank[2]; /* 1 is best */
} mmcl_retrieval_info;

/*
 * Cross-modal retrieval by cosine: row i of `x` [n, d] belongs to row i of `t` [n, d]. The rank of a partner is 1 + how many rows are
 * more similar + half of those that are as similar, to 1e-12. A row of zeros is similar to nothing: cosine 0. `ranks` [2, n] (may be NULL)
 * receives the ranks. Float64; the n x n similarities are taken in tiles and never held.
 * Thread class: exclusive. Allocates: 16 n d bytes and a tile a thread, released again.
 * Errors: MMCL_E_INVAL (different shapes, no rows), MMCL_E_NUMERIC (NaN or infinity), MMCL_E_CANCELLED, MMCL_E_ABI, MMCL_E_NOMEM.
 */
MMCL_API MMCL_CHECK mmcl_status mmcl_retrieval(mmcl_context *context, const mmcl_matrix *x, const mmcl_matrix *t, mmcl_retrieval_info *info,
                                               double *ranks);

#ifdef __cplusplus
}
#endif

#endif
