#include "classify/protocol.h"

#include "classify/classify.h"
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

/* The rows that were drawn; train is empty for a fixed draw. */
struct draws {
    struct rows train, val;
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
static mmcl_status draw(mmcl__fewshot *run, mmcl_shot_sampler *sampler, const mmcl_labelled *from, size_t shots, bool skip_empty,
                        const char *name, struct rows *rows)
{
    size_t capacity;
    if (!mmcl__mul(run->data->classes, shots, &capacity))
        return mmcl__fail(run->context, MMCL_E_INVAL, "shots: %zu for %zu classes do not fit in memory", shots,
                          run->data->classes);
    *rows = (struct rows){.capacity = capacity, .cols = from->features.cols,
                          .dtype = from->features.dtype == MMCL_F64 ? MMCL_F64 : MMCL_F32};
    rows->index  = mmcl__alloc(run->context, capacity, sizeof *rows->index);
    rows->labels = mmcl__alloc(run->context, capacity, sizeof *rows->labels);
    if (rows->index == NULL || rows->labels == NULL)
        return MMCL_E_NOMEM;
    return mmcl__shots_draw(sampler, from->labels, from->features.rows, run->data->classes, shots, skip_empty, name, rows->index,
                            &rows->count);
}

static mmcl_status take(mmcl__fewshot *run, struct rows *rows, const mmcl_labelled *from, const char *name, mmcl_labelled *view)
{
    rows->data = mmcl__alloc(run->context, rows->capacity * rows->cols, mmcl_dtype_size(rows->dtype));
    if (rows->data == NULL)
        return MMCL_E_NOMEM;
    MMCL__TRY(gather(run->context, rows, from, name));
    *view = (mmcl_labelled){
        .features = {.data = rows->data, .rows = rows->count, .cols = rows->cols, .dtype = rows->dtype}, .labels = rows->labels};
    return MMCL_OK;
}

/* All train rows first, then all val rows, from one stream; a fixed draw leaves the stream to val alone. */
static mmcl_status draw_shots(mmcl__fewshot *run, struct draws *draws)
{
    const mmcl_fewshot_data *data    = run->data;
    mmcl_shot_sampler        sampler = {.context = run->context};
    size_t                   shots   = (size_t) run->shots;
    mmcl__numpy_seed(&sampler.rng, (uint32_t) run->seed);
    run->train = data->train;
    if (!data->fixed)
        MMCL__TRY(draw(run, &sampler, &data->train, shots, false, "train", &draws->train));
    MMCL__TRY(draw(run, &sampler, &data->val, MMCL__MIN(shots, VAL_SHOTS), true, "val", &draws->val));
    if (!data->fixed)
        MMCL__TRY(take(run, &draws->train, &data->train, "train.features", &run->train));
    MMCL__TRY(take(run, &draws->val, &data->val, "val.features", &run->val));
    if (draws->val.count == 0)
        return mmcl__fail(run->context, MMCL_E_NUMERIC, "val: no class has rows");
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

static mmcl_status fit_transform(mmcl__fewshot *run)
{
    const mmcl_fewshot_data *data     = run->data;
    const mmcl_matrix        shots[2] = {run->train.features, run->val.features}, *parts = shots;
    bool                     paper    = run->protocol == MMCL_PROTOCOL_PAPER;
    size_t                   n_parts  = paper ? 2 : 1;
    uint32_t                 clip[MMCL__MAX_STEPS];
    double                   began = mmcl__seconds();
    if (run->transform == NULL || run->given)
        return MMCL_OK;
    if (data->pool != NULL) {
        parts   = data->pool;
        n_parts = data->pool_parts;
    }
    for (size_t i = 0; i < MMCL__MAX_STEPS; i++)
        clip[i] = 1;
    if (paper)
        swap_clipping(run->transform, clip);
    mmcl_status status = mmcl__transform_fit(run->transform, parts, n_parts, run->fit);
    if (paper)
        swap_clipping(run->transform, clip);
    for (size_t i = 0; i < n_parts; i++)
        run->transform_rows += parts[i].rows;
    run->transform_seconds = mmcl__seconds() - began;
    return status;
}

/* ------------------------------------------------------------------------------------------------------------ tests --- */

static mmcl_status measure(const mmcl__fewshot *run, const mmcl_classifier *classifier, const mmcl_labelled *rows, const uint8_t *mask,
                           const char *name, double *accuracy)
{
    mmcl__features features = mmcl__features_through(run->mapped ? run->transform : NULL, &rows->features);
    return mmcl__accuracy(run->context, classifier, &features, rows->labels, mask, name, accuracy);
}

static mmcl_status measure_all(mmcl__fewshot *run, const mmcl_classifier *classifier, double *domain_accuracy)
{
    const mmcl_fewshot_data *data = run->data;
    run->test_accuracy            = (double) NAN;
    if (data->test.features.rows > 0)
        MMCL__TRY(measure(run, classifier, &data->test, NULL, "test.features", &run->test_accuracy));
    for (size_t i = 0; i < data->domain_count && domain_accuracy != NULL; i++) {
        const mmcl_domain *domain = &data->domains[i];
        MMCL__TRY(measure(run, classifier, &domain->rows, domain->mask, domain->name != NULL ? domain->name : "domain",
                          &domain_accuracy[i]));
    }
    return MMCL_OK;
}

/* ------------------------------------------------------------------------------------------------------------- all --- */

static mmcl_status run_all(mmcl__fewshot *run, struct draws *draws, mmcl__operation *operation, mmcl_classifier **classifier,
                           double *domain_accuracy)
{
    MMCL__TRY(draw_shots(run, draws));
    MMCL__TRY(fit_transform(run));
    mmcl_status status = mmcl__tick(operation, 1, (double) NAN);
    if (status == MMCL_OK)
        status = run->head(run, classifier);
    if (status == MMCL_OK)
        status = mmcl__tick(operation, 2, (double) NAN);
    if (status == MMCL_OK)
        status = measure_all(run, *classifier, domain_accuracy);
    if (status != MMCL_OK && run->transform != NULL && !run->given)
        mmcl__transform_unfit(run->transform);
    return status;
}

mmcl_status mmcl__fewshot_run(mmcl_classifier **out, mmcl__fewshot *run, const char *name, double *domain_accuracy)
{
    mmcl_classifier *classifier = NULL;
    struct draws     draws      = {{0}, {0}};
    mmcl__operation  operation;
    double           began = mmcl__seconds();
    run->given             = run->transform != NULL && run->transform->fitted;
    mmcl__begin(&operation, run->context, name, 3);
    mmcl_status status = run_all(run, &draws, &operation, &classifier, domain_accuracy);
    release_rows(run->context, &draws.train);
    release_rows(run->context, &draws.val);
    run->seconds = mmcl__seconds() - began;
    if (status == MMCL_OK && out != NULL)
        *out = classifier;
    else
        mmcl__classifier_destroy(classifier);
    return mmcl__end(&operation, status);
}
