/*
 * Gradient-boosted regression trees (Friedman 2001), as scikit-learn's GradientBoostingRegressor and -Classifier have them by default:
 * 100 stages of trees of depth 3, learning rate 0.1, all rows and columns; squared error, or the deviance of two or more classes with
 * one Newton step a leaf. Of splits whose gains agree to 1e-9 the first column's first counts. Splits lie half-way
 * between values.
 */
#ifndef MMCL_METRICS_BOOSTING_H
#define MMCL_METRICS_BOOSTING_H

#include "core/core.h"

/* Row i: columns at rows + i stride, its target, and its weight (0: not there). */
typedef struct mmcl__boost_rows {
    size_t          n, k, stride;
    const double   *rows, *weight;
    const double   *target;  /* [n], `target_stride` apart; NULL with classes */
    size_t          target_stride;
    const uint32_t *classes; /* [n], `target_stride` apart: below `count`; NULL with targets */
    size_t          count;
} mmcl__boost_rows;

/*
 * Fits on `fit` and predicts for the n rows of `other` [n, k], `stride` apart as well: values, or classes of `fit`. importance [k]:
 * how much the splits of each column lower the squared error, in all trees; sum 1, or 0 when nothing was split.
 */
mmcl_status mmcl__boost(mmcl_context *context, const mmcl__boost_rows *fit, size_t n, const double *other, double *predicted,
                        double *importance);

#endif
