/* Everything. */
#ifndef MMCL_MMCL_H
#define MMCL_MMCL_H

#include <mmcl/base.h>
#include <mmcl/version.h>
#include <mmcl/context.h>
#include <mmcl/io.h>
#include <mmcl/transform.h>
#include <mmcl/classify.h>
#include <mmcl/adapt.h>
#include <mmcl/model.h>
#include <mmcl/encoder.h>
#include <mmcl/objective.h>
#include <mmcl/train.h>
#include <mmcl/metrics.h>
#include <mmcl/analysis.h>

#endif
