#include "classify/pipeline.h"

#include "transform/transform.h"

#include <string.h>

/* Rows first ... of a matrix, as a matrix. */
struct window {
    const mmcl_matrix *rows;
    size_t             first;
};

static mmcl_status read_window(void *user, size_t first, size_t n, void *out)
{
    const struct window *window = user;
    return window->rows->read(window->rows->read_user, window->first + first, n, out);
}

static mmcl_status read_mapped(const mmcl__features *features, size_t first, size_t n, float *out, mmcl__place *bad)
{
    const mmcl_matrix *rows   = features->rows;
    struct window      window = {.rows = rows, .first = first};
    mmcl_matrix        part   = *rows;
    size_t             stride = rows->row_stride != 0 ? rows->row_stride : rows->cols;
    part.rows                 = n;
    if (rows->data != NULL)
        part.data = (const char *) rows->data + first * stride * mmcl_dtype_size(rows->dtype);
    part.read          = rows->data == NULL ? read_window : NULL;
    part.read_user     = &window;
    mmcl_status status = mmcl__transform_apply(features->transform, &part, out, features->transform->outputs, bad);
    bad->row += first;
    return status;
}

mmcl__features mmcl__features_through(const mmcl_transform *transform, const mmcl_matrix *rows)
{
    mmcl__features features = mmcl__features_of(rows);
    if (transform != NULL) {
        features.transform = transform;
        features.read      = read_mapped;
    }
    return features;
}

/* ------------------------------------------------------------------------------------------------------- life cycle --- */

void mmcl__pipeline_destroy(mmcl_pipeline *pipeline)
{
    if (pipeline == NULL)
        return;
    mmcl_context *context = pipeline->context;
    size_t        classes = pipeline->classifier != NULL ? pipeline->classifier->classes : 0;
    for (size_t k = 0; pipeline->names != NULL && k < classes; k++)
        if (pipeline->names[k] != NULL)
            mmcl__free(context, pipeline->names[k], strlen(pipeline->names[k]) + 1, 1);
    mmcl__free(context, pipeline->names, classes, sizeof *pipeline->names);
    mmcl__transform_destroy(pipeline->transform);
    mmcl__classifier_destroy(pipeline->classifier);
    mmcl__free(context, pipeline, 1, sizeof *pipeline);
}

static mmcl_status copy_names(mmcl_pipeline *pipeline, const char *const *names)
{
    size_t classes  = pipeline->classifier->classes;
    pipeline->names = mmcl__calloc(pipeline->context, classes, sizeof *pipeline->names);
    if (pipeline->names == NULL)
        return MMCL_E_NOMEM;
    for (size_t k = 0; k < classes; k++) {
        pipeline->names[k] = mmcl__strdup(pipeline->context, names[k]);
        if (pipeline->names[k] == NULL)
            return MMCL_E_NOMEM;
    }
    return MMCL_OK;
}

/* Fills an empty pipeline; what was made stays in it, also on error. */
static mmcl_status fill(mmcl_pipeline *pipeline, const mmcl_transform *transform, const mmcl_classifier *head,
                        const char *const *names)
{
    MMCL__TRY(mmcl__classifier_clone(&pipeline->classifier, pipeline->context, head));
    if (transform != NULL)
        MMCL__TRY(mmcl__transform_clone(&pipeline->transform, pipeline->context, transform));
    return names != NULL ? copy_names(pipeline, names) : MMCL_OK;
}

mmcl_status mmcl__pipeline_create(mmcl_pipeline **out, mmcl_context *context, const mmcl_transform *transform,
                                  const mmcl_classifier *classifier, const char *const *names)
{
    mmcl_pipeline *pipeline = mmcl__calloc(context, 1, sizeof *pipeline);
    if (pipeline == NULL)
        return MMCL_E_NOMEM;
    pipeline->context  = context;
    mmcl_status status = fill(pipeline, transform, classifier, names);
    if (status != MMCL_OK)
        mmcl__pipeline_destroy(pipeline);
    else
        *out = pipeline;
    return status;
}
