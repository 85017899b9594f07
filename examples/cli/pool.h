/* The unlabelled rows that a transform is fitted on, without those that the data set is validated or tested with. */
#ifndef MMCL_CLI_POOL_H
#define MMCL_CLI_POOL_H

#include "dataset.h"

/* The part of the pool that one data set may use. */
typedef struct pool_view {
    rows_without rows;
    size_t      *left_out; /* [rows.count] ascending */
} pool_view;

/*
 * Looks up every row of `pool`, as float32 values, among the val and test rows of `data`, and leaves out those that are equal to
 * one. Memory: 8 bytes a val or test row. Returns an exit code.
 */
int  pool_without(cli_session *session, const features *pool, const dataset *data, pool_view *out);
void pool_view_free(pool_view *view);

#endif
