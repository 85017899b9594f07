/*
 * What can be said of components: their stability over repeated ICA (runs -> maps -> similarities -> clusters), whether there are axes
 * to find, how many there are. Owner of struct mmcl_stability.
 */
#ifndef MMCL_ANALYSIS_ANALYSIS_H
#define MMCL_ANALYSIS_ANALYSIS_H

#include "transform/ica.h"
#include "transform/moments.h"

#include <mmcl/analysis.h>

/* Rows of others by their numbers, read through a view. */
typedef struct mmcl__drawn {
    const mmcl__rows *rows;
    size_t           *index;
    bool              wide; /* read as float64 */
} mmcl__drawn;

/* A view of the first `count` rows that drawn->index names, whenever it is read; `drawn` has to live as long. */
mmcl_matrix mmcl__drawn_view(mmcl__drawn *drawn, size_t count);

/* The whitening before an ICA of `components`, from moments; 0: as many as the rank, which `clip` allows for other numbers too. */
mmcl_status mmcl__fit_whitening(const mmcl_moments *moments, uint64_t components, bool clip, mmcl_transform **out);

/* numpy's RandomState(seed).normal(size=count), where an ICA starts. */
void mmcl__draw_normal(uint32_t seed, size_t count, double *out);

#define MMCL__MOST_ITEMS ((size_t) 16384)

struct mmcl_stability {
    mmcl_context          *context;
    mmcl_stability_options options; /* resolved; step points at `step` */
    mmcl_step_options      step;    /* resolved; start is NULL */
    mmcl_stability_info    info;
    size_t                 runs, k, cols, items; /* items = runs k */
    double                *mean;    /* [cols] */
    double                *maps;    /* [items, cols]: item r k + i is component i of run r */
    uint32_t              *cluster; /* [items] by descending index */
    uint32_t              *centre;  /* [k] item that is the cluster's centrotype */
    uint64_t              *size;    /* [k] */
    double                *index;   /* [k] */
};

/* `options` are imported, with a step that has been resolved. */
mmcl_status mmcl__stability_create(mmcl_stability **out, mmcl_context *context, const mmcl__rows *rows,
                                   const mmcl_stability_options *options, const mmcl_step_options *step);
void        mmcl__stability_destroy(mmcl_stability *stability);
mmcl_status mmcl__stability_transform(const mmcl_stability *stability, double least, mmcl_transform **out);

/* Options are imported and resolved, with a step that has been; what they say is in analysis.h. */
mmcl_status mmcl__axes_test(mmcl_context *context, const mmcl__rows *rows, const mmcl_axes_options *options,
                            const mmcl_step_options *step, mmcl_axes_info *info);
mmcl_status mmcl__signs_test(mmcl_context *context, const mmcl__rows *rows, const mmcl_signs_options *options,
                             const mmcl_step_options *step, mmcl_signs_info *info);
mmcl_status mmcl__parallel_analysis(const mmcl_moments *moments, const mmcl_parallel_options *options, uint64_t *components,
                                    double *eigenvalues, double *thresholds);

/* Shapes agree and there are rows; `ranks` [2, n] may be NULL. */
mmcl_status mmcl__retrieval(mmcl_context *context, const mmcl_matrix *x, const mmcl_matrix *t, mmcl_retrieval_info *info, double *ranks);

/*
 * Average linkage of n items by similarity [n, n], which it overwrites (its diagonal is not looked at), down to `wanted` clusters; label [n]
 * = 0 ... wanted - 1, in the order of their first items. Chains of nearest neighbours (Murtagh 1983) find the merges in O(n^2), which
 * are then taken from the most similar on; ties go to the first. Allocates O(n).
 */
mmcl_status mmcl__average_linkage(mmcl_context *context, size_t n, float *similarity, size_t wanted, uint32_t *label);

#endif
