/* Metrics that the joint moments of codes and factors determine. */
#ifndef MMCL_METRICS_METRICS_H
#define MMCL_METRICS_METRICS_H

#include "core/core.h"

#include <mmcl/metrics.h>

#define MMCL__METRIC_TILE ((size_t) 256) /* rows that are read at once */

/* Weighted sums over rows; columns are the codes [k], then the factors [d]: p = k + d. */
typedef struct mmcl__joint {
    double  weight;
    double *mean, *scatter; /* [p], [p, p] */
} mmcl__joint;

typedef enum mmcl__part { MMCL__FIT, MMCL__EVALUATE } mmcl__part;

typedef struct mmcl__metric {
    mmcl_context              *context;
    const mmcl_matrix         *codes, *factors;
    const mmcl_metric_options *options;
    size_t                     n, k, d, p;
    double                     epsilon;    /* of the codes' type */
    mmcl__joint                part[2];    /* without a holdout both are one */
    double                    *block;      /* everything below, and the parts */
    double                    *tile, *read, *weights;
    double                    *square, *basis, *values; /* [max(k, d)^2] twice, [p] */
    double                    *map, *product, *score;   /* [k, d] each */
    double                    *work;       /* [2 (p + 2)] */
    double                    *samples;    /* [resamples] */
    size_t                    *index;      /* [4 (p + 1)] */
} mmcl__metric;

/* Arguments are checked; buffers of `details` may be NULL. */
mmcl_status mmcl__metric_evaluate(mmcl_context *context, mmcl_metric_kind kind, const mmcl_matrix *codes, const mmcl_matrix *factors,
                                  const mmcl_metric_options *options, mmcl_metric_result *result, const mmcl_metric_details *details);

/* Gathers the moments of a part. `draw` 0: the rows as they are, otherwise the draw-th bootstrap resample. */
mmcl_status mmcl__metric_gather(mmcl__metric *m, mmcl__part part, uint32_t draw);
/* A column whose spread is what rounding of its mean makes. */
bool mmcl__metric_constant(const mmcl__metric *m, const mmcl__joint *joint, size_t column);

/*
 * One metric each, from the moments in m->part. MMCL_E_NUMERIC without a message when the moments leave it undefined; the callers
 * have seen to the reasons that have one.
 */
mmcl_status mmcl__metric_r2(mmcl__metric *m, double *value, double *per_factor);
mmcl_status mmcl__metric_cca(mmcl__metric *m, double *value);
mmcl_status mmcl__metric_orthogonality(mmcl__metric *m, double *value);
mmcl_status mmcl__metric_permutation(mmcl__metric *m, double *value);
double      mmcl__metric_cka(const mmcl__metric *m);
double      mmcl__metric_mcc(mmcl__metric *m, const mmcl_metric_details *details);

/*
 * Gives each of `rows` rows another of `cols` >= rows columns such that the sum of score [rows, cols] is largest: shortest augmenting
 * paths (Jonker and Volgenant 1987). work [2 (rows + cols + 2)], index [3 (cols + 1)]; out [rows].
 */
void mmcl__assign(size_t rows, size_t cols, const double *score, double *work, size_t *index, size_t *out);

#endif
