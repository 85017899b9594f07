/* Heads and pipelines. Owner of struct mmcl_classifier and struct mmcl_pipeline. */
#ifndef MMCL_CLASSIFY_CLASSIFIER_H
#define MMCL_CLASSIFY_CLASSIFIER_H

#include "core/core.h"
#include "linalg/matrix.h"

#include <mmcl/classify.h>

/* A linear head. Weights are kept in float64, as fitted; scores are taken with the float32 copy. */
struct mmcl_classifier {
    mmcl_context *context;
    size_t        inputs, classes;
    double       *weights;        /* [classes, inputs] */
    double       *intercepts;     /* [classes] */
    float        *weights_f32;    /* the same */
    float        *intercepts_f32;
};

struct mmcl_pipeline {
    mmcl_context    *context;
    mmcl_transform  *transform;  /* NULL: none */
    mmcl_classifier *classifier;
    char           **names;      /* [classes], or NULL */
};

/* Weights are copied; `intercepts` NULL means 0. */
mmcl_status mmcl__classifier_create(mmcl_classifier **out, mmcl_context *context, size_t classes, size_t inputs,
                                    const double *weights, const double *intercepts);
void        mmcl__classifier_destroy(mmcl_classifier *classifier);

/* Takes ownership of nothing: copies transform, classifier and names. */
mmcl_status mmcl__pipeline_create(mmcl_pipeline **out, mmcl_context *context, const mmcl_transform *transform,
                                  const mmcl_classifier *classifier, const char *const *names);
void        mmcl__pipeline_destroy(mmcl_pipeline *pipeline);

#endif
