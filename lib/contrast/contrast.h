/*
 * The contrastive objective, below the edge of the library: the same as mmcl_objective_evaluate on option structs that have been
 * imported. What the tiles compute: tile.h; the walk over them: passes.c.
 */
#ifndef MMCL_CONTRAST_CONTRAST_H
#define MMCL_CONTRAST_CONTRAST_H

#include "core/core.h"

#include <mmcl/objective.h>

/* Checks `options` (imported; never NULL) and makes the handle. */
mmcl_status mmcl__objective_create(mmcl_objective **out, mmcl_context *context, const mmcl_objective_options *options);
void        mmcl__objective_destroy(mmcl_objective *objective);

const mmcl_objective_options *mmcl__objective_options(const mmcl_objective *objective);

/* The context that the handle was born from. */
mmcl_context *mmcl__objective_context(const mmcl_objective *objective);

/* Takes the workspace for a shape now, so that evaluations up to it allocate nothing. */
mmcl_status mmcl__objective_reserve(mmcl_objective *objective, size_t rows, size_t cols);

/* `output` and `info` are never NULL here; struct_size is not looked at. */
mmcl_status mmcl__objective_evaluate(mmcl_objective *objective, const mmcl_objective_input *input,
                                     const mmcl_objective_output *output, mmcl_objective_info *info);

#endif
