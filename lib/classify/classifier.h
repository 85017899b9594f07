/* Heads and pipelines. Owner of struct mmcl_classifier and struct mmcl_pipeline. */
#ifndef MMCL_CLASSIFY_CLASSIFIER_H
#define MMCL_CLASSIFY_CLASSIFIER_H

#include "core/core.h"
#include "linalg/matrix.h"

#include <mmcl/classify.h>

typedef struct mmcl__cache  mmcl__cache;  /* keys and values of shots: cache.h */
typedef struct mmcl__kernel mmcl__kernel; /* kernels at the shots: kernel.h */
typedef struct mmcl__bottleneck mmcl__bottleneck; /* CLIP-Adapter's: bottleneck.h */

/*
 * A head: the sum of the blocks that it has. Rows come in as they are, are scaled to unit length where `unit_rows` says so, and go
 * to the cache; and through the map, scaled again where `unit_mapped` says so, and through the bottleneck or the kernel to the linear
 * block. Weights are kept in float64, as fitted; scores are taken with the float32 copy.
 */
struct mmcl_classifier {
    mmcl_context   *context;
    size_t          inputs, classes;
    bool            unit_rows, unit_mapped;
    mmcl_transform *map;            /* owned; NULL: none */
    mmcl__kernel   *kernel;         /* owned; NULL: none. A head has a cache or a kernel, not both */
    mmcl__bottleneck *bottleneck;   /* owned; NULL: none. Likewise */
    size_t          width;          /* columns that the linear block sees */
    double         *weights;        /* [classes, width]; NULL: no linear block */
    double         *intercepts;     /* [classes] */
    float          *weights_f32;    /* the same */
    float          *intercepts_f32;
    mmcl__cache    *cache;          /* owned; NULL: none */
};

struct mmcl_pipeline {
    mmcl_context    *context;
    mmcl_transform  *transform;  /* NULL: none */
    mmcl_classifier *classifier;
    char           **names;      /* [classes], or NULL */
};

/* A linear head, or an empty one where `weights` is NULL. Weights are copied; `intercepts` NULL means 0. */
mmcl_status mmcl__classifier_create(mmcl_classifier **out, mmcl_context *context, size_t classes, size_t inputs,
                                    const double *weights, const double *intercepts);
void        mmcl__classifier_destroy(mmcl_classifier *classifier);

/* Puts a copy of a fitted transform before the linear block, or the kernel, whose columns are the transform's. */
mmcl_status mmcl__classifier_set_map(mmcl_classifier *classifier, const mmcl_transform *map, bool unit_mapped);

mmcl_status mmcl__classifier_clone(mmcl_classifier **out, mmcl_context *context, const mmcl_classifier *classifier);

/* Whether scores are weights times rows plus intercepts, and nothing else. */
bool mmcl__classifier_is_linear(const mmcl_classifier *classifier);

/* Takes ownership of nothing: copies transform, classifier and names. */
mmcl_status mmcl__pipeline_create(mmcl_pipeline **out, mmcl_context *context, const mmcl_transform *transform,
                                  const mmcl_classifier *classifier, const char *const *names);
void        mmcl__pipeline_destroy(mmcl_pipeline *pipeline);

#endif
