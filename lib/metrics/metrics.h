/* Linear R^2 and mean correlation coefficient from joint moments of codes and factors. */
#ifndef MMCL_METRICS_METRICS_H
#define MMCL_METRICS_METRICS_H

#include "core/core.h"

#include <mmcl/metrics.h>

/* Arguments are checked; buffers of `details` may be NULL. */
mmcl_status mmcl__metric(mmcl_context *context, mmcl_metric_kind kind, const mmcl_matrix *codes, const mmcl_matrix *factors,
                         const mmcl_metric_options *options, double *value, const mmcl_metric_details *details);

/*
 * Gives each of `rows` rows another of `cols` >= rows columns such that the sum of score [rows, cols] is largest: shortest augmenting
 * paths (Jonker and Volgenant 1987). work [2 (rows + cols + 2)], index [3 (cols + 1)]; out [rows].
 */
void mmcl__assign(size_t rows, size_t cols, const double *score, double *work, size_t *index, size_t *out);

#endif
