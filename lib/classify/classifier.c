#include "classify/classifier.h"

#include "linalg/convert.h"

#include <string.h>

void mmcl__classifier_destroy(mmcl_classifier *classifier)
{
    if (classifier == NULL)
        return;
    mmcl_context *context = classifier->context;
    size_t        size    = classifier->classes * classifier->inputs;
    mmcl__free(context, classifier->weights, size, sizeof *classifier->weights);
    mmcl__free(context, classifier->intercepts, classifier->classes, sizeof *classifier->intercepts);
    mmcl__free(context, classifier->weights_f32, size, sizeof *classifier->weights_f32);
    mmcl__free(context, classifier->intercepts_f32, classifier->classes, sizeof *classifier->intercepts_f32);
    mmcl__free(context, classifier, 1, sizeof *classifier);
}

/* Room for the weights, in both precisions. */
static bool allocate(mmcl_classifier *classifier)
{
    mmcl_context *context = classifier->context;
    size_t        size, classes = classifier->classes;
    if (!mmcl__mul(classes, classifier->inputs, &size))
        size = SIZE_MAX;
    classifier->weights        = mmcl__alloc(context, size, sizeof *classifier->weights);
    classifier->intercepts     = mmcl__calloc(context, classes, sizeof *classifier->intercepts);
    classifier->weights_f32    = mmcl__alloc(context, size, sizeof *classifier->weights_f32);
    classifier->intercepts_f32 = mmcl__alloc(context, classes, sizeof *classifier->intercepts_f32);
    return classifier->weights != NULL && classifier->intercepts != NULL && classifier->weights_f32 != NULL &&
           classifier->intercepts_f32 != NULL;
}

mmcl_status mmcl__classifier_create(mmcl_classifier **out, mmcl_context *context, size_t classes, size_t inputs,
                                    const double *weights, const double *intercepts)
{
    mmcl_classifier *classifier = mmcl__calloc(context, 1, sizeof *classifier);
    if (classifier == NULL)
        return MMCL_E_NOMEM;
    *classifier = (mmcl_classifier){.context = context, .inputs = inputs, .classes = classes};
    if (!allocate(classifier)) {
        mmcl__classifier_destroy(classifier);
        return MMCL_E_NOMEM;
    }
    memcpy(classifier->weights, weights, classes * inputs * sizeof *weights);
    if (intercepts != NULL)
        memcpy(classifier->intercepts, intercepts, classes * sizeof *intercepts);
    mmcl__convert()->f64_to_f32(classes * inputs, classifier->weights, classifier->weights_f32);
    mmcl__convert()->f64_to_f32(classes, classifier->intercepts, classifier->intercepts_f32);
    *out = classifier;
    return MMCL_OK;
}
