/* Rows as a later step sees them: the input's rows, sent through the stages in front of it. */
#ifndef MMCL_TRANSFORM_SOURCE_H
#define MMCL_TRANSFORM_SOURCE_H

#include "transform/transform.h"

typedef struct mmcl__source {
    const mmcl__rows  *rows;
    const mmcl__stage *stages;
    size_t             n_stages;
    size_t             cols; /* after the stages */
} mmcl__source;

/* Where reading a tile failed: which part of the input, and where in it. */
typedef struct mmcl__trouble {
    mmcl_status status;
    size_t      part;
    mmcl__place place;
} mmcl__trouble;

/* Elements of scratch that reading `n` rows takes. */
size_t mmcl__source_scratch(const mmcl__source *source, size_t n);

/* Rows first ... first + n - 1 into out [n, cols]. False on failure, with `trouble` filled in. */
bool mmcl__source_read_f32(const mmcl__source *source, size_t first, size_t n, float *out, float *scratch, mmcl__trouble *trouble);
bool mmcl__source_read_f64(const mmcl__source *source, size_t first, size_t n, double *out, double *scratch, mmcl__trouble *trouble);

/* The message for a failure. Returns its status. */
mmcl_status mmcl__source_failed(mmcl_context *context, const mmcl__trouble *trouble);

/*
 * A pass over `tiles` tiles, split into lanes that do not depend on the number of threads. `visit(argument, lane, first, last,
 * worker)` handles the tiles first ... last - 1 of a lane, in order, in one call or several: between calls the host is asked
 * whether to go on. `trouble` [lanes] is looked at after each round; the first lane with a failure ends the pass.
 */
typedef void (*mmcl__visit)(void *argument, size_t lane, size_t first, size_t last, uint32_t worker);

mmcl_status mmcl__pass(mmcl_context *context, const mmcl__lanes *lanes, size_t round_tiles, mmcl__visit visit, void *argument,
                       const mmcl__trouble *trouble);

#endif
