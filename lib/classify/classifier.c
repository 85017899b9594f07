#include "classify/classifier.h"

#include "classify/cache.h"
#include "classify/bottleneck.h"
#include "classify/kernel.h"
#include "linalg/convert.h"
#include "transform/transform.h"

#include <string.h>

void mmcl__classifier_destroy(mmcl_classifier *classifier)
{
    if (classifier == NULL)
        return;
    mmcl_context *context = classifier->context;
    size_t        size    = classifier->classes * classifier->width;
    mmcl__free(context, classifier->weights, size, sizeof *classifier->weights);
    mmcl__free(context, classifier->intercepts, classifier->classes, sizeof *classifier->intercepts);
    mmcl__free(context, classifier->weights_f32, size, sizeof *classifier->weights_f32);
    mmcl__free(context, classifier->intercepts_f32, classifier->classes, sizeof *classifier->intercepts_f32);
    mmcl__transform_destroy(classifier->map);
    mmcl__cache_destroy(classifier->cache);
    mmcl__kernel_destroy(classifier->kernel);
    mmcl__bottleneck_destroy(classifier->bottleneck);
    mmcl__free(context, classifier, 1, sizeof *classifier);
}

/* Room for the weights, in both precisions. */
static bool allocate(mmcl_classifier *classifier)
{
    mmcl_context *context = classifier->context;
    size_t        size, classes = classifier->classes;
    if (!mmcl__mul(classes, classifier->width, &size))
        size = SIZE_MAX;
    classifier->weights        = mmcl__alloc(context, size, sizeof *classifier->weights);
    classifier->intercepts     = mmcl__calloc(context, classes, sizeof *classifier->intercepts);
    classifier->weights_f32    = mmcl__alloc(context, size, sizeof *classifier->weights_f32);
    classifier->intercepts_f32 = mmcl__alloc(context, classes, sizeof *classifier->intercepts_f32);
    return classifier->weights != NULL && classifier->intercepts != NULL && classifier->weights_f32 != NULL &&
           classifier->intercepts_f32 != NULL;
}

static mmcl_status take_weights(mmcl_classifier *classifier, const double *weights, const double *intercepts)
{
    size_t size = classifier->classes * classifier->width;
    if (!allocate(classifier))
        return MMCL_E_NOMEM;
    memcpy(classifier->weights, weights, size * sizeof *weights);
    if (intercepts != NULL)
        memcpy(classifier->intercepts, intercepts, classifier->classes * sizeof *intercepts);
    mmcl__convert()->f64_to_f32(size, classifier->weights, classifier->weights_f32);
    mmcl__convert()->f64_to_f32(classifier->classes, classifier->intercepts, classifier->intercepts_f32);
    return MMCL_OK;
}

mmcl_status mmcl__classifier_create(mmcl_classifier **out, mmcl_context *context, size_t classes, size_t inputs,
                                    const double *weights, const double *intercepts)
{
    mmcl_classifier *classifier = mmcl__calloc(context, 1, sizeof *classifier);
    if (classifier == NULL)
        return MMCL_E_NOMEM;
    *classifier = (mmcl_classifier){.context = context, .inputs = inputs, .classes = classes, .width = inputs};
    mmcl_status status = weights != NULL ? take_weights(classifier, weights, intercepts) : MMCL_OK;
    if (status == MMCL_OK)
        *out = classifier;
    else
        mmcl__classifier_destroy(classifier);
    return status;
}

mmcl_status mmcl__classifier_set_map(mmcl_classifier *classifier, const mmcl_transform *map, bool unit_mapped)
{
    assert(classifier->map == NULL && map->outputs == (classifier->kernel != NULL ? classifier->kernel->cols : classifier->width));
    MMCL__TRY(mmcl__transform_clone(&classifier->map, classifier->context, map));
    classifier->inputs      = map->inputs;
    classifier->unit_mapped = unit_mapped;
    return MMCL_OK;
}

/* Gives a new head the blocks of `from` beside the linear one. */
static mmcl_status copy_blocks(mmcl_classifier *classifier, const mmcl_classifier *from)
{
    const mmcl__kernel     *kernel     = from->kernel;
    const mmcl__bottleneck *bottleneck = from->bottleneck;
    classifier->unit_rows      = from->unit_rows;
    classifier->inputs         = from->inputs;
    if (kernel != NULL)
        MMCL__TRY(mmcl__kernel_create(&classifier->kernel, classifier->context, kernel->keys, kernel->cols, kernel->sharpness, kernel->key));
    if (bottleneck != NULL)
        MMCL__TRY(mmcl__bottleneck_create(&classifier->bottleneck, classifier->context, bottleneck->cols, bottleneck->hidden, bottleneck->ratio,
                                          bottleneck->down, bottleneck->up));
    if (from->map != NULL)
        MMCL__TRY(mmcl__classifier_set_map(classifier, from->map, from->unit_mapped));
    return from->cache != NULL ? mmcl__cache_copy(&classifier->cache, classifier->context, from->cache) : MMCL_OK;
}

mmcl_status mmcl__classifier_clone(mmcl_classifier **out, mmcl_context *context, const mmcl_classifier *classifier)
{
    mmcl_classifier *copy;
    MMCL__TRY(mmcl__classifier_create(&copy, context, classifier->classes, classifier->width, classifier->weights,
                                      classifier->intercepts));
    mmcl_status status = copy_blocks(copy, classifier);
    if (status == MMCL_OK)
        *out = copy;
    else
        mmcl__classifier_destroy(copy);
    return status;
}

bool mmcl__classifier_is_linear(const mmcl_classifier *classifier)
{
    return classifier->weights != NULL && !classifier->unit_rows && classifier->map == NULL && classifier->cache == NULL && classifier->kernel == NULL &&
           classifier->bottleneck == NULL;
}
