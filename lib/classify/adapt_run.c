/* A head of adapt.h in the few-shot protocol, and what the authors' programs let it see. */
#include "classify/adapt.h"
#include "classify/protocol.h"
#include "transform/transform.h"

#include <math.h>

struct adaptation {
    mmcl_method               method;
    const mmcl_adapt_options *options;
    mmcl_adapt_info          *info;
    mmcl_fewshot_result      *result;
};

/* Rows that choose hyper-parameters and epochs under the paper's protocol. */
static const mmcl_labelled *chooser(const mmcl__fewshot *run, mmcl_method method)
{
    switch (method) {
    case MMCL_METHOD_TIP:
    case MMCL_METHOD_APE:
    case MMCL_METHOD_APE_T:
    case MMCL_METHOD_CCA:     return &run->data->val; /* the whole split */
    case MMCL_METHOD_TIP_F:
    case MMCL_METHOD_CCA_FT:  return run->data->test.features.rows > 0 ? &run->data->test : &run->data->val;
    default:                  return &run->val;
    }
}

static mmcl_status fit(mmcl__fewshot *run, mmcl_classifier **classifier)
{
    const struct adaptation *a      = run->user;
    bool                     paper  = run->protocol == MMCL_PROTOCOL_PAPER;
    const mmcl_labelled     *val    = paper ? chooser(run, a->method) : &run->val;
    mmcl_adapt_data          data   = {.struct_size = sizeof data, .classes = run->data->classes, .train = run->train, .val = *val,
                                       .text = run->data->text, .transform = run->transform};
    a->result->train_rows = run->train.features.rows;
    a->result->val_rows   = val->features.rows;
    a->result->components = run->transform != NULL ? run->transform->outputs : run->train.features.cols;
    if (paper && val == &run->data->test)
        a->result->leaks |= MMCL_LEAK_CHOICE_ON_TEST;
    if (paper && run->transform != NULL && !run->given && run->data->pool == NULL)
        a->result->leaks |= MMCL_LEAK_TRANSFORM_ON_VAL;
    return mmcl__adapt_fit(classifier, run->context, a->method, &data, a->options, a->info);
}

mmcl_status mmcl__adapt_run(mmcl_classifier **out, mmcl_context *context, mmcl_method method, const mmcl_fewshot_data *data,
                            mmcl_transform *transform, const mmcl_fewshot_options *options, const mmcl_adapt_options *head,
                            mmcl_adapt_info *info, mmcl_fewshot_result *result, double *domain_accuracy)
{
    struct adaptation adaptation = {.method = method, .options = head, .info = info, .result = result};
    mmcl__fewshot     run        = {.context = context, .data = data, .transform = transform, .fit = options->fit, .shots = options->shots,
                                    .seed = options->seed, .protocol = options->protocol, .head = fit, .user = &adaptation};
    mmcl_status status        = mmcl__fewshot_run(out, &run, mmcl_method_name(method), domain_accuracy);
    result->transform_rows    = run.transform_rows;
    result->transform_seconds = run.transform_seconds;
    result->test_accuracy     = run.test_accuracy;
    result->seconds           = run.seconds;
    return status;
}
