/* Model files with their checksums made right: what can be loaded has to apply, and to save. */
#include "fuzz.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static mmcl_status discard(void *user, const void *bytes, size_t count)
{
    (void) bytes;
    *(size_t *) user += count;
    return MMCL_OK;
}

/* A file in memory. */
typedef struct written {
    uint8_t *bytes;
    size_t   count;
} written;

static mmcl_status keep(void *user, const void *bytes, size_t count)
{
    written *file = user;
    file->bytes = realloc(file->bytes, file->count + count + 1);
    memcpy(file->bytes + file->count, bytes, count);
    file->count += count;
    return MMCL_OK;
}

static void use_transform(const mmcl_transform *transform)
{
    size_t          inputs, outputs, saved = 0;
    const mmcl_sink sink = {.struct_size = sizeof sink, .user = &saved, .write = discard};
    if (mmcl_transform_shape(transform, &inputs, &outputs) != MMCL_OK)
        abort();
    float      *in = calloc(3 * inputs, sizeof *in), *out = calloc(3 * outputs, sizeof *out);
    mmcl_matrix rows = {.data = in, .rows = 3, .cols = inputs};
    if (mmcl_transform_apply(transform, &rows, out, outputs) != MMCL_OK || mmcl_transform_save_to(transform, &sink) != MMCL_OK)
        abort();
    free(in);
    free(out);
}

static float *some_rows(size_t count, size_t columns)
{
    float *rows = malloc(count * columns * sizeof *rows);
    for (size_t i = 0; i < count * columns; i++)
        rows[i] = (float) ((i * 7 + 3) % 11) / 11 - 0.4f;
    return rows;
}

/* Where rows may be zero behind a transform, or overflow there, that is all that may be wrong with them. */
static bool predict(const mmcl_pipeline *pipeline, const mmcl_matrix *rows, int64_t *classes, float *scores)
{
    mmcl_status status = mmcl_pipeline_predict(pipeline, rows, classes, scores);
    if (status != MMCL_OK && status != MMCL_E_NUMERIC)
        abort();
    return status == MMCL_OK;
}

/* What was saved loads again, and scores the same. */
static void use_saved(mmcl_context *context, const mmcl_pipeline *pipeline, const mmcl_matrix *rows, const float *scores, size_t classes)
{
    written         file = {0};
    const mmcl_sink sink = {.struct_size = sizeof sink, .user = &file, .write = keep};
    fuzz_input      input;
    mmcl_pipeline  *again;
    if (mmcl_pipeline_save_to(pipeline, &sink) != MMCL_OK)
        abort();
    fuzz_input_init(&input, file.bytes, file.count);
    if (mmcl_pipeline_load(&again, context, "saved", &input.options) != MMCL_OK)
        abort();
    float *same = calloc(rows->rows * classes, sizeof *same);
    if (scores != NULL && (!predict(again, rows, NULL, same) || memcmp(scores, same, rows->rows * classes * sizeof *same) != 0))
        abort();
    mmcl_pipeline_destroy(again);
    free(same);
    free(file.bytes);
}

static bool may_be(mmcl_status status)
{
    if (status != MMCL_OK && status != MMCL_E_INVAL && status != MMCL_E_NUMERIC && status != MMCL_E_NOMEM)
        abort();
    return status == MMCL_OK;
}

/* Shots and a class for heads with a cache; the others refuse them. */
static void grow(mmcl_context *context, const mmcl_classifier *head)
{
    size_t           inputs, classes;
    mmcl_classifier *copy;
    mmcl_status      status = mmcl_classifier_copy(&copy, context, head);
    if (!may_be(status))
        return;
    if (mmcl_classifier_shape(copy, &inputs, &classes) != MMCL_OK)
        abort();
    float              *data   = some_rows(2, inputs);
    const int64_t       labels[] = {0, (int64_t) classes - 1};
    const mmcl_labelled shots  = {.features = {.data = data, .rows = 2, .cols = inputs}, .labels = labels};
    float              *scores = calloc(2 * (classes + 1), sizeof *scores);
    bool                grown  = may_be(mmcl_classifier_add_shots(copy, &shots));
    grown |= may_be(mmcl_classifier_add_class(copy, NULL)) || may_be(mmcl_classifier_add_class(copy, &shots.features));
    if (mmcl_classifier_shape(copy, NULL, &classes) != MMCL_OK || (grown && !may_be(mmcl_classifier_scores(copy, &shots.features, scores, 0))))
        abort();
    mmcl_classifier_destroy(copy);
    free(scores);
    free(data);
}

static void use_pipeline(mmcl_context *context, const mmcl_pipeline *pipeline)
{
    size_t                 inputs, classes;
    int64_t                classes_of[3];
    const mmcl_transform  *transform = mmcl_pipeline_transform(pipeline);
    const mmcl_classifier *head      = mmcl_pipeline_classifier(pipeline);
    if (mmcl_classifier_shape(head, &inputs, &classes) != MMCL_OK ||
        (transform != NULL && mmcl_transform_shape(transform, &inputs, NULL) != MMCL_OK))
        abort();
    float      *in = some_rows(3, inputs), *scores = calloc(3 * classes, sizeof *scores);
    mmcl_matrix rows = {.data = in, .rows = 3, .cols = inputs};
    bool        fine = predict(pipeline, &rows, classes_of, scores);
    for (size_t i = 0; i < classes; i++)
        (void) mmcl_pipeline_class_name(pipeline, i);
    use_saved(context, pipeline, &rows, fine ? scores : NULL, classes);
    grow(context, head);
    free(in);
    free(scores);
}

static void use_model(const mmcl_model *model)
{
    size_t          saved = 0;
    mmcl_model_info info  = {.struct_size = sizeof info};
    const mmcl_sink sink  = {.struct_size = sizeof sink, .user = &saved, .write = discard};
    if (mmcl_model_get_info(model, &info) != MMCL_OK || mmcl_model_save_to(model, &sink) != MMCL_OK)
        abort();
    float             *x = calloc(20 * info.width_x, sizeof *x), *z = calloc(20 * info.latent, sizeof *z);
    const mmcl_samples out = {.struct_size = sizeof out, .x = x, .z_x = z, .rows = 20};
    if (mmcl_model_sample(model, 1, 2, &out) != MMCL_OK)
        abort();
    const mmcl_matrix rows = {.data = x, .rows = 20, .cols = info.width_x};
    mmcl_status       status = mmcl_model_unmix(model, MMCL_SIDE_X, &rows, z, NULL);
    if (status != MMCL_OK && status != MMCL_E_NUMERIC) /* huge elements of a mixing overflow */
        abort();
    free(x);
    free(z);
}

/* Pairs that hold nothing of interest. */
static mmcl_status fill(void *user, const mmcl_pairs *pairs)
{
    (void) user;
    for (uint64_t i = 0; i < 2 * pairs->rows; i++)
        pairs->x[i] = pairs->t[i] = (float) ((i * 7 + pairs->step) % 11) / 11;
    return MMCL_OK;
}

/* The training that the corpus has checkpoints of: what can be resumed has to run, unless its numbers overflow, and to be saved again. */
static void use_checkpoint(mmcl_context *context, const mmcl_open_options *options)
{
    size_t                     saved   = 0;
    const uint64_t             hidden  = 2;
    const mmcl_encoder_options shape   = {.struct_size = sizeof shape, .hidden = &hidden, .hidden_count = 1, .inputs = 2, .outputs = 2};
    const mmcl_source          source  = {.struct_size = sizeof source, .fill = fill};
    const mmcl_sink            sink    = {.struct_size = sizeof sink, .user = &saved, .write = discard};
    const mmcl_trainer_options ours    = {.struct_size = sizeof ours, .batch = 4, .cell = 2, .pool = 8, .average = 0.5, .optimizer = MMCL_OPTIMIZER_KFAC,
                                          .learn_scale = 1};
    mmcl_encoder              *x = NULL, *t = NULL;
    mmcl_objective            *objective = NULL;
    mmcl_trainer              *trainer   = NULL;
    mmcl_train_info            info      = {.struct_size = sizeof info};
    if (mmcl_encoder_create(&x, context, &shape) != MMCL_OK || mmcl_encoder_create(&t, context, &shape) != MMCL_OK ||
        mmcl_objective_create(&objective, context, NULL) != MMCL_OK ||
        mmcl_trainer_create(&trainer, context, x, t, objective, &source, &ours) != MMCL_OK)
        abort();
    if (mmcl_trainer_resume(trainer, "input", options) == MMCL_OK) {
        if (mmcl_trainer_get_info(trainer, &info) != MMCL_OK || mmcl_trainer_save_to(trainer, &sink) != MMCL_OK)
            abort();
        mmcl_status status = mmcl_trainer_run(trainer, info.step + 3, &info);
        bool        scaled = info.scale >= 1e-30 && info.scale <= 1e30; /* which the objective asks for; huge moments leave it */
        if (status != MMCL_OK && status != MMCL_E_NUMERIC && (status != MMCL_E_INVAL || scaled))
            abort();
    }
    mmcl_trainer_destroy(trainer);
    mmcl_objective_destroy(objective);
    mmcl_encoder_destroy(t);
    mmcl_encoder_destroy(x);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    fuzz_input      input;
    mmcl_transform *transform;
    mmcl_pipeline  *pipeline;
    mmcl_model     *model;
    uint8_t        *repaired = fuzz_repaired(bytes, count);
    mmcl_context   *context  = fuzz_begin();
    fuzz_input_init(&input, repaired, count);
    if (mmcl_transform_load(&transform, context, "input", &input.options) == MMCL_OK)
        use_transform(transform);
    mmcl_transform_destroy(transform);
    if (mmcl_pipeline_load(&pipeline, context, "input", &input.options) == MMCL_OK)
        use_pipeline(context, pipeline);
    mmcl_pipeline_destroy(pipeline);
    if (mmcl_model_load(&model, context, "input", &input.options) == MMCL_OK)
        use_model(model);
    mmcl_model_destroy(model);
    use_checkpoint(context, &input.options);
    fuzz_end(context);
    free(repaired);
    return 0;
}
