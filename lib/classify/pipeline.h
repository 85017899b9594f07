/* Features that pass through a fitted transform on their way to a head. */
#ifndef MMCL_CLASSIFY_PIPELINE_H
#define MMCL_CLASSIFY_PIPELINE_H

#include "classify/classify.h"

/* `transform` NULL: rows as they are. */
mmcl__features mmcl__features_through(const mmcl_transform *transform, const mmcl_matrix *rows);

#endif
