/* Shots and classes that a head with a cache gets later. Each call makes the new head beside the old one and then exchanges them. */
#include "classify/online.h"

#include "classify/cache.h"
#include "classify/classify.h"
#include "linalg/blas.h"
#include "transform/transform.h"

#include <math.h>
#include <string.h>

/* weights [classes, inputs] of the linear block that goes with `cache`; `text` is the unit row of a class that is new, or NULL. */
static mmcl_status fill_weights(const mmcl_classifier *head, const mmcl__cache *cache, const double *text, double *weights)
{
    const size_t d = head->width, size = head->classes * d;
    if (cache->text != NULL)
        return mmcl__cache_linear(cache, weights);
    memcpy(weights, head->weights, size * sizeof *weights);
    for (size_t i = 0; i < d && text != NULL; i++)
        weights[size + i] = cache->scale * text[i];
    return MMCL_OK;
}

/* Gives the head a cache in the place of its own, which it takes over in any case. */
static mmcl_status exchange(mmcl_classifier *head, mmcl__cache *cache, const double *text)
{
    mmcl_context    *context = head->context;
    const size_t     size    = cache->classes * head->width;
    mmcl_classifier *fresh   = NULL;
    double          *weights = head->weights != NULL ? mmcl__alloc(context, size, sizeof *weights) : NULL;
    mmcl_status      status  = head->weights == NULL || weights != NULL ? MMCL_OK : MMCL_E_NOMEM;
    if (status == MMCL_OK && weights != NULL)
        status = fill_weights(head, cache, text, weights);
    if (status == MMCL_OK)
        status = mmcl__classifier_create(&fresh, context, cache->classes, head->width, weights, NULL);
    mmcl__free(context, weights, size, sizeof *weights);
    if (status != MMCL_OK) {
        mmcl__cache_destroy(cache);
        return status;
    }
    mmcl_classifier held = *head;
    fresh->unit_rows     = head->unit_rows;
    fresh->cache         = cache;
    *head                = *fresh;
    *fresh               = held;
    mmcl__classifier_destroy(fresh);
    return MMCL_OK;
}

/* Rows at unit length in a new block. */
static mmcl_status take_unit_rows(mmcl_context *context, const mmcl_matrix *rows, const char *name, float **out)
{
    mmcl__place bad;
    float      *x = mmcl__alloc(context, rows->rows * rows->cols, sizeof *x);
    if (x == NULL)
        return MMCL_E_NOMEM;
    mmcl_status status = mmcl__read_f32(rows, 0, rows->rows, x, &bad);
    if (status != MMCL_OK)
        mmcl__read_failed(context, status, name, SIZE_MAX, &bad);
    else
        mmcl__unit_rows_f32(rows->rows, rows->cols, x, x, rows->cols);
    for (size_t i = 0; i < rows->rows && status == MMCL_OK; i++) {
        size_t j = 0;
        while (j < rows->cols && x[i * rows->cols + j] == 0)
            j++;
        if (j == rows->cols)
            status = mmcl__fail(context, MMCL_E_NUMERIC, "%s: row %zu is zero and has no direction", name, i);
    }
    if (status == MMCL_OK)
        *out = x;
    else
        mmcl__free(context, x, rows->rows * rows->cols, sizeof *x);
    return status;
}

/* Takes the grown copy of the head's cache over, or lets it go where growing has failed. */
static mmcl_status adopt(mmcl_classifier *head, mmcl__cache *grown, mmcl_status status, const double *text)
{
    if (status == MMCL_OK)
        return exchange(head, grown, text);
    mmcl__cache_destroy(grown);
    return status;
}

static mmcl_status add_rows(mmcl_classifier *head, size_t n, const float *x, const int32_t *labels)
{
    mmcl__cache *cache;
    MMCL__TRY(mmcl__cache_copy(&cache, head->context, head->cache));
    return adopt(head, cache, mmcl__cache_add(cache, n, x, labels), NULL);
}

mmcl_status mmcl__online_add_shots(mmcl_classifier *head, const mmcl_labelled *shots)
{
    mmcl_context *context = head->context;
    const size_t  n = shots->features.rows;
    float        *x = NULL;
    int32_t      *labels = mmcl__alloc(context, n, sizeof *labels);
    mmcl_status   status = labels != NULL ? take_unit_rows(context, &shots->features, "shots.features", &x) : MMCL_E_NOMEM;
    for (size_t i = 0; i < n && status == MMCL_OK; i++)
        labels[i] = (int32_t) shots->labels[i];
    if (status == MMCL_OK)
        status = add_rows(head, n, x, labels);
    mmcl__free(context, x, x != NULL ? n * head->inputs : 0, sizeof *x);
    mmcl__free(context, labels, n, sizeof *labels);
    return status;
}

/* text [inputs]: the unit mean of unit rows. */
static mmcl_status average(mmcl_context *context, size_t n, size_t d, const float *x, double *text)
{
    memset(text, 0, d * sizeof *text);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < d; j++)
            text[j] += (double) x[i * d + j];
    double length = sqrt(mmcl__dot_f64(d, text, text));
    if (!(length > 0))
        return mmcl__fail(context, MMCL_E_NUMERIC, "prompts: they cancel out");
    mmcl__scale_f64(d, 1 / length, text);
    return MMCL_OK;
}

static mmcl_status add_class(mmcl_classifier *head, const double *text)
{
    mmcl__cache *cache;
    MMCL__TRY(mmcl__cache_copy(&cache, head->context, head->cache));
    return adopt(head, cache, mmcl__cache_add_class(cache, text), text);
}

mmcl_status mmcl__online_add_class(mmcl_classifier *head, const mmcl_matrix *prompts)
{
    mmcl_context *context = head->context;
    const size_t  d = head->inputs;
    float        *x = NULL;
    if (prompts == NULL)
        return add_class(head, NULL);
    double     *text   = mmcl__alloc(context, d, sizeof *text);
    mmcl_status status = text != NULL ? take_unit_rows(context, prompts, "prompts", &x) : MMCL_E_NOMEM;
    if (status == MMCL_OK)
        status = average(context, prompts->rows, d, x, text);
    if (status == MMCL_OK)
        status = add_class(head, text);
    mmcl__free(context, x, x != NULL ? prompts->rows * d : 0, sizeof *x);
    mmcl__free(context, text, d, sizeof *text);
    return status;
}
