/* How well representations tell latents: linear R2 and mean correlation coefficient. */
#ifndef MMCL_CLI_SCORES_H
#define MMCL_CLI_SCORES_H

#include <stddef.h>

/*
 * Mean over the columns of `targets` [rows, k] of R2, from a linear regression with intercept on `codes` [rows, d]: fitted on the first
 * half of the rows, judged on the second. May be below 0 there.
 */
double scores_r2(size_t rows, const float *codes, size_t d, const float *targets, size_t k);

/* |Pearson correlation| of every code with every target, over the second half of the rows: out [d, k]. */
void scores_correlations(size_t rows, const float *codes, size_t d, const float *targets, size_t k, double *out);

/* Mean of matched entries of correlations [n, n] under the best one-to-one assignment (Hungarian method). order [n] (may be NULL): the
   code that goes with each target. */
double scores_mcc(size_t n, const double *correlations, size_t *order);

#endif
