/* Edge of transform.h: validate, call, map. */
#include "transform/moments.h"
#include "transform/transform.h"

#include "linalg/blas.h"

#include <string.h>

#define STEP_V1 MMCL__V1(mmcl_step_options, lbfgs_memory)
#define INFO_V1 MMCL__V1(mmcl_step_info, stop)

/* -------------------------------------------------------------------------------------------------------- building --- */

mmcl_status mmcl_transform_create(mmcl_transform **out, mmcl_context *context)
{
    if (out == NULL || context == NULL)
        return MMCL_E_INVAL;
    *out = NULL;
    return mmcl__transform_create(out, context);
}

mmcl_status mmcl_transform_create_spec(mmcl_transform **out, mmcl_context *context, const char *spec)
{
    MMCL__TRY(mmcl_transform_create(out, context));
    mmcl_status status = spec == NULL ? mmcl__fail(context, MMCL_E_INVAL, "spec: NULL, expected text such as \"ica:128\"")
                                      : mmcl__transform_parse(*out, spec);
    if (status != MMCL_OK) {
        mmcl__transform_destroy(*out);
        *out = NULL;
    }
    return status;
}

void mmcl_transform_destroy(mmcl_transform *transform)
{
    mmcl__transform_destroy(transform);
}

mmcl_status mmcl_transform_add(mmcl_transform *transform, const mmcl_step_options *step)
{
    return transform == NULL ? MMCL_E_INVAL : mmcl__transform_add(transform, step);
}

mmcl_status mmcl_transform_set_step(mmcl_transform *transform, size_t step, const mmcl_step_options *options)
{
    return transform == NULL ? MMCL_E_INVAL : mmcl__transform_set_step(transform, step, options);
}

size_t mmcl_transform_count(const mmcl_transform *transform)
{
    return transform != NULL ? transform->n_steps : 0;
}

mmcl_status mmcl_transform_get_step(const mmcl_transform *transform, size_t step, mmcl_step_options *out)
{
    if (transform == NULL || out == NULL || step >= transform->n_steps)
        return MMCL_E_INVAL;
    return mmcl__export(NULL, out, &transform->steps[step].options, sizeof *out, STEP_V1, "mmcl_step_options");
}

static bool has_chains(const mmcl_transform *transform)
{
    return mmcl__chain_length(transform->stages, transform->n_stages) < transform->n_stages;
}

mmcl_status mmcl_transform_join(mmcl_transform **out, mmcl_context *context, const mmcl_transform *first, const mmcl_transform *second)
{
    if (out == NULL || context == NULL)
        return MMCL_E_INVAL;
    *out = NULL;
    if (first == NULL || second == NULL)
        return mmcl__fail(context, MMCL_E_INVAL, "%s: NULL", first == NULL ? "first" : "second");
    if (!first->fitted || !second->fitted)
        return mmcl__fail(context, MMCL_E_STATE, "%s: not fitted", first->fitted ? "second" : "first");
    if (has_chains(first) || has_chains(second))
        return mmcl__fail(context, MMCL_E_UNSUPPORTED, "%s: chains side by side cannot be joined to another", has_chains(first) ? "first" : "second");
    if (second->inputs != first->outputs)
        return mmcl__fail(context, MMCL_E_INVAL, "second: takes %zu columns, but first gives %zu", second->inputs, first->outputs);
    if (first->n_steps + second->n_steps > MMCL__MAX_STEPS)
        return mmcl__fail(context, MMCL_E_INVAL, "first and second: %zu steps in all, expected at most %d", first->n_steps + second->n_steps,
                          MMCL__MAX_STEPS);
    return mmcl__transform_join(out, context, first, second);
}

/* --------------------------------------------------------------------------------------------------------- fitting --- */

mmcl_status mmcl_transform_fit(mmcl_transform *transform, const mmcl_matrix *parts, size_t n_parts, const mmcl_fit_options *options)
{
    return transform == NULL ? MMCL_E_INVAL : mmcl__transform_fit(transform, parts, n_parts, options);
}

mmcl_status mmcl_transform_fit_moments(mmcl_transform *transform, const mmcl_moments *moments)
{
    if (transform == NULL)
        return MMCL_E_INVAL;
    if (moments == NULL)
        return mmcl__fail(transform->context, MMCL_E_INVAL, "moments: NULL");
    return mmcl__transform_fit_moments(transform, moments);
}

mmcl_status mmcl_transform_estimate(const mmcl_transform *transform, size_t rows, size_t cols, const mmcl_fit_options *options,
                                    uint64_t *bytes)
{
    mmcl_fit_options ours;
    if (transform == NULL || bytes == NULL || rows == 0 || cols == 0 || cols > MMCL_MAX_COLUMNS)
        return MMCL_E_INVAL;
    MMCL__TRY(mmcl__import(NULL, &ours, sizeof ours, MMCL__V1(mmcl_fit_options, cache_bytes), options, "mmcl_fit_options"));
    return mmcl__transform_estimate(transform, rows, cols, &ours, bytes);
}

uint32_t mmcl_transform_is_fitted(const mmcl_transform *transform)
{
    return transform != NULL && transform->fitted;
}

mmcl_status mmcl_transform_shape(const mmcl_transform *transform, size_t *inputs, size_t *outputs)
{
    if (transform == NULL)
        return MMCL_E_INVAL;
    if (!transform->fitted)
        return MMCL_E_STATE;
    if (inputs != NULL)
        *inputs = transform->inputs;
    if (outputs != NULL)
        *outputs = transform->outputs;
    return MMCL_OK;
}

mmcl_status mmcl_transform_step_result(const mmcl_transform *transform, size_t step, mmcl_step_info *out)
{
    if (transform == NULL || out == NULL || step >= transform->n_steps)
        return MMCL_E_INVAL;
    if (!transform->fitted)
        return MMCL_E_STATE;
    return mmcl__export(NULL, out, &transform->steps[step].info, sizeof *out, INFO_V1, "mmcl_step_info");
}

static mmcl_status mixing(const mmcl_transform *transform, const mmcl__step *step, double *out)
{
    mmcl__blas_enter(transform->context->blas_policy);
    mmcl_status status =
        mmcl__pseudo_inverse(transform->context, step->info.components, step->info.inputs, step->matrix, out);
    mmcl__blas_leave(transform->context->blas_policy);
    return status;
}

mmcl_status mmcl_transform_field(const mmcl_transform *transform, size_t index, mmcl_step_field field, double *out, size_t capacity,
                                 size_t *needed)
{
    if (transform == NULL)
        return MMCL_E_INVAL;
    mmcl_context *context = transform->context;
    if (!transform->fitted)
        return mmcl__fail(context, MMCL_E_STATE, "transform: not fitted");
    if (index >= transform->n_steps)
        return mmcl__fail(context, MMCL_E_INVAL, "step: %zu, the chain has %zu", index, transform->n_steps);
    const mmcl__step *step  = &transform->steps[index];
    size_t            d = step->info.inputs, k = step->info.components;
    const struct {
        const double *values;
        size_t        count;
    } fields[] = {[MMCL_FIELD_MEAN] = {step->mean, d},
                  [MMCL_FIELD_COMPONENTS] = {step->matrix, k * d},
                  [MMCL_FIELD_MIXING] = {step->matrix, k * d},
                  [MMCL_FIELD_VARIANCE] = {step->variance, k},
                  [MMCL_FIELD_SPECTRUM] = {step->spectrum, d},
                  [MMCL_FIELD_WEIGHTS] = {step->weights, k}};
    if (field < MMCL_FIELD_MEAN || field > MMCL_FIELD_WEIGHTS || fields[field].values == NULL)
        return mmcl__fail(context, MMCL_E_INVAL, "field: step %zu has no field %d", index, field);
    size_t count = fields[field].count;
    if (needed != NULL)
        *needed = count;
    if (capacity == 0 && needed != NULL)
        return MMCL_OK;
    if (out == NULL || capacity < count)
        return mmcl__fail(context, MMCL_E_INVAL, "capacity: %zu, expected at least %zu", capacity, count);
    if (field == MMCL_FIELD_MIXING)
        return mixing(transform, step, out);
    memcpy(out, fields[field].values, count * sizeof *out);
    return MMCL_OK;
}

/* -------------------------------------------------------------------------------------------------------- applying --- */

mmcl_status mmcl_transform_apply(const mmcl_transform *transform, const mmcl_matrix *rows, float *out, size_t out_stride)
{
    if (transform == NULL)
        return MMCL_E_INVAL;
    if (!transform->fitted)
        return MMCL_E_STATE;
    MMCL__TRY(mmcl__matrix_check(NULL, rows, "rows"));
    out_stride = out_stride != 0 ? out_stride : transform->outputs;
    if ((out == NULL && rows->rows > 0) || out_stride < transform->outputs || rows->cols != transform->inputs)
        return MMCL_E_INVAL;
    mmcl__blas_enter(transform->context->blas_policy);
    mmcl_status status = mmcl__transform_apply(transform, rows, out, out_stride, NULL);
    mmcl__blas_leave(transform->context->blas_policy);
    return status;
}

mmcl_status mmcl_transform_inverse(const mmcl_transform *transform, const mmcl_matrix *rows, float *out, size_t out_stride)
{
    if (transform == NULL)
        return MMCL_E_INVAL;
    mmcl_context *context = transform->context;
    if (!transform->fitted)
        return mmcl__fail(context, MMCL_E_STATE, "transform: not fitted");
    MMCL__TRY(mmcl__matrix_check(context, rows, "rows"));
    for (size_t i = 0; i < transform->n_stages; i++)
        if (transform->stages[i].kind != MMCL__STAGE_AFFINE)
            return mmcl__fail(context, MMCL_E_UNSUPPORTED, "transform: has a step that is not affine, as a normalisation, so there is no way back");
    if (rows->cols != transform->outputs)
        return mmcl__fail(context, MMCL_E_INVAL, "rows: %zu columns, expected %zu", rows->cols, transform->outputs);
    out_stride = out_stride != 0 ? out_stride : transform->inputs;
    if ((out == NULL && rows->rows > 0) || out_stride < transform->inputs)
        return mmcl__fail(context, MMCL_E_INVAL, "out: NULL or out_stride %zu, expected at least %zu", out_stride, transform->inputs);
    mmcl__blas_enter(context->blas_policy);
    mmcl_status status = mmcl__transform_inverse(transform, rows, out, out_stride);
    mmcl__blas_leave(context->blas_policy);
    return status;
}

mmcl_status mmcl_transform_affine(const mmcl_transform *transform, double *mean, double *matrix)
{
    if (transform == NULL || mean == NULL || matrix == NULL)
        return MMCL_E_INVAL;
    if (!transform->fitted)
        return MMCL_E_STATE;
    size_t             d     = transform->inputs;
    const mmcl__stage *stage = &transform->stages[0];
    if (transform->n_stages > 1 || (transform->n_stages == 1 && stage->kind != MMCL__STAGE_AFFINE))
        return MMCL_E_UNSUPPORTED;
    bool identity = transform->n_stages == 0 || stage->identity;
    memset(mean, 0, d * sizeof *mean);
    if (transform->n_stages == 1)
        memcpy(mean, stage->mean_f64, d * sizeof *mean);
    if (!identity) {
        memcpy(matrix, stage->matrix_f64, d * stage->outputs * sizeof *matrix);
        return MMCL_OK;
    }
    memset(matrix, 0, d * d * sizeof *matrix);
    for (size_t i = 0; i < d; i++)
        matrix[i * d + i] = 1;
    return MMCL_OK;
}

/* --------------------------------------------------------------------------------------------------------- moments --- */

mmcl_status mmcl_moments_create(mmcl_moments **out, mmcl_context *context, size_t cols)
{
    if (out == NULL || context == NULL)
        return MMCL_E_INVAL;
    *out = NULL;
    if (cols == 0 || cols > MMCL_MAX_COLUMNS)
        return mmcl__fail(context, MMCL_E_INVAL, "cols: %zu, expected 1 to %d", cols, MMCL_MAX_COLUMNS);
    return mmcl__moments_create(out, context, cols);
}

void mmcl_moments_destroy(mmcl_moments *moments)
{
    mmcl__moments_destroy(moments);
}

mmcl_status mmcl_moments_update(mmcl_moments *moments, const mmcl_matrix *rows)
{
    if (moments == NULL)
        return MMCL_E_INVAL;
    mmcl_context *context = moments->context;
    mmcl__rows    joined;
    MMCL__TRY(mmcl__matrix_check(context, rows, "rows"));
    if (rows->cols != moments->cols)
        return mmcl__fail(context, MMCL_E_INVAL, "rows: %zu columns, expected %zu", rows->cols, moments->cols);
    MMCL__TRY(mmcl__rows_open(context, &joined, rows, 1, "rows"));
    mmcl__source    source = {.rows = &joined, .cols = moments->cols};
    mmcl__operation operation;
    mmcl__begin(&operation, context, "moments", 1);
    mmcl_status status = mmcl__end(&operation, mmcl__moments_add(moments, &source));
    mmcl__rows_close(context, &joined);
    return status;
}

mmcl_status mmcl_moments_merge(mmcl_moments *moments, const mmcl_moments *other)
{
    if (moments == NULL || other == NULL)
        return MMCL_E_INVAL;
    if (moments->cols != other->cols)
        return mmcl__fail(moments->context, MMCL_E_INVAL, "other: %zu columns, expected %zu", other->cols, moments->cols);
    mmcl__moments_merge(moments, other);
    return MMCL_OK;
}

mmcl_status mmcl_moments_get(const mmcl_moments *moments, uint64_t *count, double *mean, double *covariance)
{
    if (moments == NULL)
        return MMCL_E_INVAL;
    if (moments->count == 0 && (mean != NULL || covariance != NULL))
        return MMCL_E_STATE;
    size_t cols = moments->cols;
    if (count != NULL)
        *count = moments->count;
    if (mean != NULL)
        memcpy(mean, moments->mean, cols * sizeof *mean);
    for (size_t i = 0; i < cols && covariance != NULL; i++)
        for (size_t j = 0; j < cols; j++)
            covariance[i * cols + j] = moments->scatter[MMCL__MIN(i, j) * cols + MMCL__MAX(i, j)] / (double) moments->count;
    return MMCL_OK;
}
