/*
 * What near neighbours tell about rows without labels: rows that lie close are likely to be of one kind, so what varies between them is
 * nuisance. Of many rows an even sample of at most MMCL__NEIGHBOUR_ROWS is looked at, so that time and memory stay bounded.
 */
#ifndef MMCL_TRANSFORM_NEIGHBOURS_H
#define MMCL_TRANSFORM_NEIGHBOURS_H

#include "transform/source.h"

#define MMCL__NEIGHBOUR_ROWS 32768

/* near [rows, count] = the other rows of the highest cosine to each unit row of rows [rows, cols], nearest first; rows > count. */
mmcl_status mmcl__nearest(mmcl_context *context, size_t rows, size_t cols, const float *unit, size_t count, uint32_t *near);

/* within [cols] = variance between neighbours, and total [cols] = variance, of each column of the source. Neighbours are sought in it. */
mmcl_status mmcl__neighbour_variance(mmcl_context *context, const mmcl__source *source, size_t count, double *within, double *total);

/*
 * within [cols, cols] = covariance between neighbours of the source's rows: the mean of d d^T / 2 over the differences d of a row and
 * its neighbours, which are sought in the rows that `keys` makes of the source's.
 */
mmcl_status mmcl__neighbour_covariance(mmcl_context *context, const mmcl__source *source, const mmcl__stage *keys, size_t count,
                                       double *within);

/* Peak bytes of either, for a source of `cols` columns that passes through `width` and keys of `key_cols`. */
uint64_t mmcl__neighbour_bytes(size_t rows, size_t cols, size_t key_cols, size_t count, size_t width, uint32_t threads);

#endif
