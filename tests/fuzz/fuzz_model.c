/* Model files with their checksums made right: what can be loaded has to apply, and to save. */
#include "fuzz.h"

#include <stdlib.h>

static mmcl_status discard(void *user, const void *bytes, size_t count)
{
    (void) bytes;
    *(size_t *) user += count;
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

static void use_pipeline(const mmcl_pipeline *pipeline)
{
    size_t                inputs, classes;
    int64_t               classes_of[3];
    const mmcl_transform *transform = mmcl_pipeline_transform(pipeline);
    if (mmcl_classifier_shape(mmcl_pipeline_classifier(pipeline), &inputs, &classes) != MMCL_OK ||
        (transform != NULL && mmcl_transform_shape(transform, &inputs, NULL) != MMCL_OK))
        abort();
    float      *in = calloc(3 * inputs, sizeof *in), *scores = calloc(3 * classes, sizeof *scores);
    mmcl_matrix rows = {.data = in, .rows = 3, .cols = inputs};
    if (mmcl_pipeline_predict(pipeline, &rows, classes_of, scores) != MMCL_OK)
        abort();
    for (size_t i = 0; i < classes; i++)
        (void) mmcl_pipeline_class_name(pipeline, i);
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
        use_pipeline(pipeline);
    mmcl_pipeline_destroy(pipeline);
    if (mmcl_model_load(&model, context, "input", &input.options) == MMCL_OK)
        use_model(model);
    mmcl_model_destroy(model);
    fuzz_end(context);
    free(repaired);
    return 0;
}
