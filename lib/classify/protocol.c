#include "classify/protocol.h"

#include "classify/classify.h"
#include "classify/logreg.h"
#include "classify/pipeline.h"
#include "classify/shots.h"
#include "transform/transform.h"

#include <math.h>
#include <string.h>

#define VAL_SHOTS ((size_t) 4) /* validation rows a class, at most (CoOp) */

/* Drawn rows, in a matrix of their own: float64 where the source has it, otherwise float32, which holds the other types exactly. */
struct rows {
    size_t     count, capacity, cols;
    mmcl_dtype dtype;
    int64_t   *index, *labels; /* [capacity] */
    void      *data;           /* [capacity, cols] */
};

/* Mapped rows, as the classifier sees them. */
struct mapped {
    float        *data;
    size_t        rows, cols;
    mmcl_labelled view;
};

struct probe {
    mmcl_context             *context;
    const mmcl_fewshot_data  *data;
    mmcl_transform           *transform;
    const mmcl_probe_options *options;
    mmcl_probe_result        *result;
    struct rows               train_rows, val_rows; /* train_rows is empty for a fixed draw */
    mmcl_labelled             train, val;           /* the draw */
    struct mapped             mapped_train, mapped_val;
};

/* ------------------------------------------------------------------------------------------------------------ draws --- */

static void release_rows(mmcl_context *context, struct rows *rows)
{
    mmcl__free(context, rows->index, rows->capacity, sizeof *rows->index);
    mmcl__free(context, rows->labels, rows->capacity, sizeof *rows->labels);
    mmcl__free(context, rows->data, rows->capacity * rows->cols, mmcl_dtype_size(rows->dtype));
}

static mmcl_status gather(mmcl_context *context, struct rows *rows, const mmcl_labelled *from, const char *name)
{
    size_t stride = rows->cols * mmcl_dtype_size(rows->dtype);
    for (size_t i = 0; i < rows->count; i++) {
        mmcl__place bad;
        size_t      row = (size_t) rows->index[i];
        char       *out = (char *) rows->data + i * stride;
        mmcl_status status = rows->dtype == MMCL_F64 ? mmcl__read_f64(&from->features, row, 1, (double *) out, &bad)
                                                     : mmcl__read_f32(&from->features, row, 1, (float *) out, &bad);
        if (status != MMCL_OK)
            return mmcl__read_failed(context, status, name, SIZE_MAX, &bad);
        rows->labels[i] = from->labels[row];
    }
    return MMCL_OK;
}

/* Draws `shots` rows a class; `view` receives them. What was allocated stays with `rows`, also on error. */
static mmcl_status draw(struct probe *probe, mmcl_shot_sampler *sampler, const mmcl_labelled *from, size_t shots, bool skip_empty,
                        const char *name, struct rows *rows)
{
    size_t capacity;
    if (!mmcl__mul(probe->data->classes, shots, &capacity))
        return mmcl__fail(probe->context, MMCL_E_INVAL, "shots: %zu for %zu classes do not fit in memory", shots,
                          probe->data->classes);
    *rows = (struct rows){.capacity = capacity, .cols = from->features.cols,
                          .dtype = from->features.dtype == MMCL_F64 ? MMCL_F64 : MMCL_F32};
    rows->index  = mmcl__alloc(probe->context, capacity, sizeof *rows->index);
    rows->labels = mmcl__alloc(probe->context, capacity, sizeof *rows->labels);
    if (rows->index == NULL || rows->labels == NULL)
        return MMCL_E_NOMEM;
    return mmcl__shots_draw(sampler, from->labels, from->features.rows, probe->data->classes, shots, skip_empty, name, rows->index,
                            &rows->count);
}

static mmcl_status take(struct probe *probe, struct rows *rows, const mmcl_labelled *from, const char *name, mmcl_labelled *view)
{
    rows->data = mmcl__alloc(probe->context, rows->capacity * rows->cols, mmcl_dtype_size(rows->dtype));
    if (rows->data == NULL)
        return MMCL_E_NOMEM;
    MMCL__TRY(gather(probe->context, rows, from, name));
    *view = (mmcl_labelled){
        .features = {.data = rows->data, .rows = rows->count, .cols = rows->cols, .dtype = rows->dtype}, .labels = rows->labels};
    return MMCL_OK;
}

/* All train rows first, then all val rows, from one stream; a fixed draw leaves the stream to val alone. */
static mmcl_status draw_shots(struct probe *probe)
{
    const mmcl_fewshot_data *data    = probe->data;
    mmcl_shot_sampler        sampler = {.context = probe->context};
    size_t                   shots   = (size_t) probe->options->shots;
    mmcl__numpy_seed(&sampler.rng, (uint32_t) probe->options->seed);
    probe->train = data->train;
    if (!data->fixed)
        MMCL__TRY(draw(probe, &sampler, &data->train, shots, false, "train", &probe->train_rows));
    MMCL__TRY(draw(probe, &sampler, &data->val, MMCL__MIN(shots, VAL_SHOTS), true, "val", &probe->val_rows));
    if (!data->fixed)
        MMCL__TRY(take(probe, &probe->train_rows, &data->train, "train.features", &probe->train));
    MMCL__TRY(take(probe, &probe->val_rows, &data->val, "val.features", &probe->val));
    if (probe->val_rows.count == 0)
        return mmcl__fail(probe->context, MMCL_E_NUMERIC, "val: no class has rows");
    return MMCL_OK;
}

/* -------------------------------------------------------------------------------------------------------- transform --- */

/* Sets clip_components of every step, keeping what was there in `kept`; or puts it back. */
static void swap_clipping(mmcl_transform *transform, uint32_t *kept)
{
    for (size_t i = 0; i < transform->n_steps; i++) {
        uint32_t before                               = transform->steps[i].options.clip_components;
        transform->steps[i].options.clip_components   = kept[i];
        kept[i]                                       = before;
    }
}

static mmcl_status fit_transform(struct probe *probe)
{
    const mmcl_fewshot_data *data     = probe->data;
    const mmcl_matrix        shots[2] = {probe->train.features, probe->val.features}, *parts = shots;
    bool                     paper    = probe->options->protocol == MMCL_PROTOCOL_PAPER;
    size_t                   n_parts  = paper ? 2 : 1;
    uint32_t                 clip[MMCL__MAX_STEPS];
    double                   began = mmcl__seconds();
    if (data->pool != NULL) {
        parts   = data->pool;
        n_parts = data->pool_parts;
    }
    for (size_t i = 0; i < MMCL__MAX_STEPS; i++)
        clip[i] = 1;
    if (paper)
        swap_clipping(probe->transform, clip);
    mmcl_status status = mmcl__transform_fit(probe->transform, parts, n_parts, probe->options->fit);
    if (paper)
        swap_clipping(probe->transform, clip);
    for (size_t i = 0; i < n_parts; i++)
        probe->result->transform_rows += parts[i].rows;
    probe->result->transform_seconds = mmcl__seconds() - began;
    return status;
}

static mmcl_status map_rows(struct probe *probe, const mmcl_labelled *from, const char *name, struct mapped *mapped)
{
    size_t      cols = probe->transform->outputs, rows = from->features.rows;
    mmcl__place bad  = {0, 0};
    *mapped          = (struct mapped){.rows = rows, .cols = cols};
    mapped->data     = mmcl__alloc(probe->context, rows * cols, sizeof *mapped->data);
    if (mapped->data == NULL)
        return MMCL_E_NOMEM;
    mapped->view = (mmcl_labelled){.features = {.data = mapped->data, .rows = rows, .cols = cols}, .labels = from->labels};
    mmcl_status status = mmcl__transform_apply(probe->transform, &from->features, mapped->data, cols, &bad);
    return status == MMCL_OK ? MMCL_OK : mmcl__read_failed(probe->context, status, name, SIZE_MAX, &bad);
}

/* ------------------------------------------------------------------------------------------------------------ tests --- */

static mmcl_status measure(struct probe *probe, const mmcl_classifier *classifier, const mmcl_labelled *rows, const uint8_t *mask,
                           const char *name, double *accuracy)
{
    mmcl__features features = mmcl__features_through(probe->transform, &rows->features);
    return mmcl__accuracy(probe->context, classifier, &features, rows->labels, mask, name, accuracy);
}

static mmcl_status measure_all(struct probe *probe, const mmcl_classifier *classifier, double *domain_accuracy)
{
    const mmcl_fewshot_data *data = probe->data;
    probe->result->test_accuracy  = (double) NAN;
    if (data->test.features.rows > 0)
        MMCL__TRY(measure(probe, classifier, &data->test, NULL, "test.features", &probe->result->test_accuracy));
    for (size_t i = 0; i < data->domain_count && domain_accuracy != NULL; i++) {
        const mmcl_domain *domain = &data->domains[i];
        MMCL__TRY(measure(probe, classifier, &domain->rows, domain->mask, domain->name != NULL ? domain->name : "domain",
                          &domain_accuracy[i]));
    }
    return MMCL_OK;
}

/* ------------------------------------------------------------------------------------------------------------- all --- */

static mmcl_status search(struct probe *probe, mmcl_classifier **classifier)
{
    mmcl_probe_result *result = probe->result;
    mmcl_search_info   info   = {.struct_size = sizeof info};
    MMCL__TRY(map_rows(probe, &probe->train, "train.features", &probe->mapped_train));
    MMCL__TRY(map_rows(probe, &probe->val, "val.features", &probe->mapped_val));
    MMCL__TRY(mmcl__logreg_search(classifier, probe->context, &probe->mapped_train.view, &probe->mapped_val.view,
                                  probe->data->classes, probe->options->search, &info));
    result->c              = info.c;
    result->val_accuracy   = info.val_accuracy;
    result->fits           = info.fits;
    result->passes         = info.passes;
    result->train_rows     = probe->mapped_train.rows;
    result->val_rows       = probe->mapped_val.rows;
    result->components     = probe->transform->outputs;
    result->search_seconds = info.seconds;
    return MMCL_OK;
}

static mmcl_status run(struct probe *probe, mmcl__operation *operation, mmcl_classifier **classifier, double *domain_accuracy)
{
    MMCL__TRY(draw_shots(probe));
    MMCL__TRY(fit_transform(probe));
    mmcl_status status = mmcl__tick(operation, 1, (double) NAN);
    if (status == MMCL_OK)
        status = search(probe, classifier);
    if (status == MMCL_OK)
        status = mmcl__tick(operation, 2, (double) NAN);
    if (status == MMCL_OK)
        status = measure_all(probe, *classifier, domain_accuracy);
    if (status != MMCL_OK)
        mmcl__transform_unfit(probe->transform);
    return status;
}

mmcl_status mmcl__probe_run(mmcl_classifier **out, mmcl_context *context, const mmcl_fewshot_data *data, mmcl_transform *transform,
                            const mmcl_probe_options *options, mmcl_probe_result *result, double *domain_accuracy)
{
    struct probe     probe = {.context = context, .data = data, .transform = transform, .options = options, .result = result};
    mmcl_classifier *classifier = NULL;
    mmcl__operation  operation;
    double           began = mmcl__seconds();
    mmcl__begin(&operation, context, "probe", 3);
    mmcl_status status = run(&probe, &operation, &classifier, domain_accuracy);
    release_rows(context, &probe.train_rows);
    release_rows(context, &probe.val_rows);
    mmcl__free(context, probe.mapped_train.data, probe.mapped_train.rows * probe.mapped_train.cols, sizeof(float));
    mmcl__free(context, probe.mapped_val.data, probe.mapped_val.rows * probe.mapped_val.cols, sizeof(float));
    result->seconds = mmcl__seconds() - began;
    if (status == MMCL_OK && out != NULL)
        *out = classifier;
    else
        mmcl__classifier_destroy(classifier);
    return mmcl__end(&operation, status);
}
