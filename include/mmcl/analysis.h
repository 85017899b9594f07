/* Can the components be trusted? ICA from many starts and on resampled rows, its components clustered. */
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
 * similarities, 8 runs components inputs bytes for the maps; with a bootstrap 8 bytes a row.
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

#ifdef __cplusplus
}
#endif

#endif
