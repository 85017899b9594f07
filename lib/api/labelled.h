/* Checks of arguments that several files of the edge share: labelled rows and what belongs to them. */
#ifndef MMCL_API_LABELLED_H
#define MMCL_API_LABELLED_H

#include "core/core.h"

#include <mmcl/classify.h>

#include <math.h>

#define MMCL__MAX_CLASSES ((size_t) 1 << 24)

#define MMCL__DEFAULT_TOLERANCE 1e-7
#define MMCL__DEFAULT_ITERATIONS 1000

/* `name` and `features_name` are the argument's, for messages. Labels are not looked at: mmcl__labels_check does that. */
mmcl_status mmcl__check_labelled(mmcl_context *context, const mmcl_labelled *rows, const char *name, const char *features_name);
mmcl_status mmcl__check_width(mmcl_context *context, const mmcl_matrix *matrix, size_t cols, const char *name);
mmcl_status mmcl__check_classes(mmcl_context *context, size_t classes);
mmcl_status mmcl__check_shots(mmcl_context *context, uint64_t shots);
mmcl_status mmcl__check_seed(mmcl_context *context, uint64_t seed);
mmcl_status mmcl__check_protocol(mmcl_context *context, mmcl_protocol protocol);

/* All of a data set; imported. */
mmcl_status mmcl__check_fewshot(mmcl_context *context, const mmcl_fewshot_data *data);

/* Of the solvers of logistic regression; nothing is 0 any more. */
mmcl_status mmcl__check_solver(mmcl_context *context, double tolerance, mmcl_precision precision);

static inline bool mmcl__positive(double value)
{
    return isfinite(value) && value > 0;
}

static inline double mmcl__or_default(double value, double fallback)
{
    return value != 0 ? value : fallback;
}

#endif
