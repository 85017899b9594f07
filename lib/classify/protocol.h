/*
 * The few-shot protocol around any head: shots and val rows are drawn, the transform is fitted, the head, and all test sets are measured.
 * CoOp's probe and the heads of adapt.h each bring a fit of their own.
 */
#ifndef MMCL_CLASSIFY_PROTOCOL_H
#define MMCL_CLASSIFY_PROTOCOL_H

#include "core/core.h"

#include <mmcl/adapt.h>

typedef struct mmcl__fewshot {
    mmcl_context            *context;
    const mmcl_fewshot_data *data;
    mmcl_transform          *transform; /* NULL: none */
    const mmcl_fit_options  *fit;
    uint64_t                 shots, seed;
    mmcl_protocol            protocol;
    bool                     mapped;    /* the classifier takes rows through the transform; otherwise raw ones */
    mmcl_status (*head)(struct mmcl__fewshot *run, mmcl_classifier **out); /* fits on train and val */
    void                    *user;      /* the head's own */
    /* set on the way */
    bool                     given;     /* the transform was fitted before, and stays as it is */
    mmcl_labelled            train, val; /* the draw, raw */
    uint64_t                 transform_rows;
    double                   transform_seconds, seconds, test_accuracy;
} mmcl__fewshot;

/* `out` may be NULL. A transform that was fitted here is unfitted again on error. */
mmcl_status mmcl__fewshot_run(mmcl_classifier **out, mmcl__fewshot *run, const char *name, double *domain_accuracy);

/* `data` is checked by the caller; options are resolved, options->search among them. */
mmcl_status mmcl__probe_run(mmcl_classifier **out, mmcl_context *context, const mmcl_fewshot_data *data, mmcl_transform *transform,
                            const mmcl_probe_options *options, mmcl_probe_result *result, double *domain_accuracy);

/* The same for a head; `transform` may be NULL or fitted. */
mmcl_status mmcl__adapt_run(mmcl_classifier **out, mmcl_context *context, mmcl_method method, const mmcl_fewshot_data *data,
                            mmcl_transform *transform, const mmcl_fewshot_options *options, const mmcl_adapt_options *head,
                            mmcl_adapt_info *info, mmcl_fewshot_result *result, double *domain_accuracy);

#endif
