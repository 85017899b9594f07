/* CoOp's linear probe in the few-shot protocol: rows through the transform, then the search for C. */
#include "classify/classify.h"
#include "classify/logreg.h"
#include "classify/protocol.h"
#include "transform/transform.h"

/* Mapped rows, as the classifier sees them. */
struct mapped {
    float        *data;
    size_t        rows, cols;
    mmcl_labelled view;
};

struct probe {
    const mmcl_search_options *options;
    mmcl_probe_result         *result;
    struct mapped              train, val;
};

static mmcl_status map_rows(mmcl__fewshot *run, const mmcl_labelled *from, const char *name, struct mapped *mapped)
{
    size_t      cols = run->transform->outputs, rows = from->features.rows;
    mmcl__place bad  = {0, 0};
    *mapped          = (struct mapped){.rows = rows, .cols = cols};
    mapped->data     = mmcl__alloc(run->context, rows * cols, sizeof *mapped->data);
    if (mapped->data == NULL)
        return MMCL_E_NOMEM;
    mapped->view = (mmcl_labelled){.features = {.data = mapped->data, .rows = rows, .cols = cols}, .labels = from->labels};
    mmcl_status status = mmcl__transform_apply(run->transform, &from->features, mapped->data, cols, &bad);
    return status == MMCL_OK ? MMCL_OK : mmcl__read_failed(run->context, status, name, SIZE_MAX, &bad);
}

static mmcl_status search(mmcl__fewshot *run, mmcl_classifier **classifier)
{
    struct probe      *probe  = run->user;
    mmcl_probe_result *result = probe->result;
    mmcl_search_info   info   = {.struct_size = sizeof info};
    MMCL__TRY(map_rows(run, &run->train, "train.features", &probe->train));
    MMCL__TRY(map_rows(run, &run->val, "val.features", &probe->val));
    MMCL__TRY(mmcl__logreg_search(classifier, run->context, &probe->train.view, &probe->val.view, run->data->classes, probe->options, &info));
    result->c              = info.c;
    result->val_accuracy   = info.val_accuracy;
    result->fits           = info.fits;
    result->passes         = info.passes;
    result->train_rows     = probe->train.rows;
    result->val_rows       = probe->val.rows;
    result->components     = run->transform->outputs;
    result->search_seconds = info.seconds;
    return MMCL_OK;
}

mmcl_status mmcl__probe_run(mmcl_classifier **out, mmcl_context *context, const mmcl_fewshot_data *data, mmcl_transform *transform,
                            const mmcl_probe_options *options, mmcl_probe_result *result, double *domain_accuracy)
{
    struct probe  probe = {.options = options->search, .result = result};
    mmcl__fewshot run   = {.context = context, .data = data, .transform = transform, .fit = options->fit, .shots = options->shots,
                           .seed = options->seed, .protocol = options->protocol, .mapped = true, .head = search, .user = &probe};
    mmcl_status status = mmcl__fewshot_run(out, &run, "probe", domain_accuracy);
    mmcl__free(context, probe.train.data, probe.train.rows * probe.train.cols, sizeof(float));
    mmcl__free(context, probe.val.data, probe.val.rows * probe.val.cols, sizeof(float));
    result->transform_rows    = run.transform_rows;
    result->transform_seconds = run.transform_seconds;
    result->test_accuracy     = run.test_accuracy;
    result->seconds           = run.seconds;
    return status;
}
