/* Draws of rows per class, as numpy's RandomState makes them. */
#ifndef MMCL_CLASSIFY_SHOTS_H
#define MMCL_CLASSIFY_SHOTS_H

#include "core/core.h"
#include "core/rng.h"

#include <mmcl/classify.h>

struct mmcl_shot_sampler {
    mmcl_context   *context;
    mmcl__numpy_rng rng;
};

/*
 * `shots` row indices of each class, classes ascending, into out [classes * shots]; *drawn of them. A class without rows is an
 * error, or is left out with a warning to the log where `skip_empty` is set. Labels are in 0 ... classes - 1.
 */
mmcl_status mmcl__shots_draw(mmcl_shot_sampler *sampler, const int64_t *labels, size_t count, size_t classes, size_t shots,
                             bool skip_empty, const char *name, int64_t *out, size_t *drawn);

#endif
