/* The L2 probe on the rows of a fit, or on others of the same shape. */
#ifndef MMCL_CLASSIFY_HEAD_PROBE_H
#define MMCL_CLASSIFY_HEAD_PROBE_H

#include "classify/adapt.h"

/* A plain linear classifier on rows that stand for the head's own, `train` [train.rows, cols] and `val` [val.rows, cols]. Fills in `info`. */
mmcl_status mmcl__probe_fit(mmcl__adapt *adapt, const float *train, const float *val, mmcl_classifier **out);

#endif
