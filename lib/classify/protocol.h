/* CoOp's few-shot protocol around a transform and the search for C. */
#ifndef MMCL_CLASSIFY_PROTOCOL_H
#define MMCL_CLASSIFY_PROTOCOL_H

#include "core/core.h"

#include <mmcl/classify.h>

/* `data` is checked by the caller; options are resolved, options->search among them. */
mmcl_status mmcl__probe_run(mmcl_classifier **out, mmcl_context *context, const mmcl_fewshot_data *data, mmcl_transform *transform,
                            const mmcl_probe_options *options, mmcl_probe_result *result, double *domain_accuracy);

#endif
