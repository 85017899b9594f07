/* The program that maps rows: folding steps into stages, and running them over a tile. */
#include "transform/transform.h"

#include "linalg/blas.h"
#include "linalg/convert.h"

#include <math.h>
#include <string.h>

/* -------------------------------------------------------------------------------------------------------- folding --- */

void mmcl__stage_release(mmcl_context *context, mmcl__stage *stage)
{
    size_t cells = stage->outputs * stage->inputs;
    mmcl__free(context, stage->mean_f32, stage->inputs, sizeof(float));
    mmcl__free(context, stage->mean_f64, stage->inputs, sizeof(double));
    mmcl__free(context, stage->matrix_f32, cells, sizeof(float));
    mmcl__free(context, stage->matrix_f64, cells, sizeof(double));
    mmcl__free(context, stage->weights_f32, stage->outputs, sizeof(float));
    mmcl__free(context, stage->weights_f64, stage->outputs, sizeof(double));
    *stage = (mmcl__stage){0};
}

static bool any_nonzero(const double *values, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (values[i] != 0)
            return true;
    return false;
}

/* *product [step's components, inputs] = step's matrix times *product, which is replaced; NULL stands for the identity. */
static mmcl_status multiply(mmcl_context *context, const mmcl__step *step, size_t inputs, double **product, size_t *height)
{
    size_t components = step->info.components, width = step->info.inputs;
    if (step->matrix == NULL)
        return MMCL_OK;
    double *next = mmcl__alloc(context, components * inputs, sizeof *next);
    if (next == NULL)
        return MMCL_E_NOMEM;
    if (*product == NULL)
        memcpy(next, step->matrix, components * inputs * sizeof *next);
    else
        mmcl__gemm_f64(false, false, components, inputs, width, 1, step->matrix, width, *product, inputs, 0, next, inputs);
    mmcl__free(context, *product, *height * inputs, sizeof *next);
    *product = next;
    *height  = components;
    return MMCL_OK;
}

mmcl_status mmcl__stage_fold(mmcl_context *context, mmcl__stage *stage, const mmcl__step *steps, size_t n_steps, size_t inputs)
{
    *stage             = (mmcl__stage){.inputs = inputs, .outputs = inputs, .identity = true};
    mmcl_status status = MMCL_OK;
    for (size_t i = 0; i < n_steps && status == MMCL_OK; i++) {
        if (i > 0 && any_nonzero(steps[i].mean, steps[i].info.inputs))
            status = mmcl__fail(context, MMCL_E_INVAL, "step %zu of an affine run has a mean of its own", i);
        else
            status = multiply(context, &steps[i], inputs, &stage->matrix_f64, &stage->outputs);
    }
    stage->identity = stage->matrix_f64 == NULL;
    size_t cells    = stage->identity ? 0 : stage->outputs * inputs;
    if (status == MMCL_OK) {
        stage->mean_f64 = mmcl__alloc(context, inputs, sizeof(double));
        stage->mean_f32 = mmcl__alloc(context, inputs, sizeof(float));
        if (cells > 0)
            stage->matrix_f32 = mmcl__alloc(context, cells, sizeof(float));
        if (stage->mean_f64 == NULL || stage->mean_f32 == NULL || (cells > 0 && stage->matrix_f32 == NULL))
            status = MMCL_E_NOMEM;
    }
    if (status != MMCL_OK) {
        mmcl__stage_release(context, stage);
        return status;
    }
    memcpy(stage->mean_f64, steps[0].mean, inputs * sizeof(double));
    mmcl__convert()->f64_to_f32(inputs, stage->mean_f64, stage->mean_f32);
    if (cells > 0)
        mmcl__convert()->f64_to_f32(cells, stage->matrix_f64, stage->matrix_f32);
    return MMCL_OK;
}

static mmcl__stage_kind stage_kind(mmcl_step_kind kind)
{
    switch (kind) {
    case MMCL_STEP_NORMALIZE: return MMCL__STAGE_UNIT;
    case MMCL_STEP_POWER:     return MMCL__STAGE_POWER;
    case MMCL_STEP_RELEVANCE: return MMCL__STAGE_SCALE;
    case MMCL_STEP_BESIDE:    return MMCL__STAGE_BESIDE;
    default:                  return MMCL__STAGE_AFFINE;
    }
}

mmcl_status mmcl__stage_of(mmcl_context *context, mmcl__stage *stage, const mmcl__step *step, size_t inputs)
{
    *stage = (mmcl__stage){.kind = stage_kind(step->options.kind), .inputs = inputs, .outputs = inputs, .identity = true,
                           .exponent = step->options.exponent};
    if (stage->kind != MMCL__STAGE_SCALE)
        return MMCL_OK;
    stage->weights_f32 = mmcl__alloc(context, inputs, sizeof(float));
    stage->weights_f64 = mmcl__alloc(context, inputs, sizeof(double));
    if (stage->weights_f32 == NULL || stage->weights_f64 == NULL) {
        mmcl__stage_release(context, stage);
        return MMCL_E_NOMEM;
    }
    memcpy(stage->weights_f64, step->weights, inputs * sizeof(double));
    mmcl__convert()->f64_to_f32(inputs, stage->weights_f64, stage->weights_f32);
    return MMCL_OK;
}

static mmcl_status check_step(mmcl_context *context, const mmcl__step *step, size_t index, size_t width)
{
    const mmcl_step_info *info = &step->info;
    mmcl_step_kind        kind = step->options.kind;
    bool                  mapped = mmcl__step_has_map(kind);
    if (info->inputs != width || info->components == 0 || info->components > MMCL_MAX_COLUMNS ||
        (!mapped && info->components != width) || mmcl__step_is_affine(kind) != (step->mean != NULL) ||
        mapped != (step->matrix != NULL) || (kind == MMCL_STEP_RELEVANCE) != (step->weights != NULL))
        return mmcl__fail(context, MMCL_E_INVAL, "step %zu does not fit the %zu columns before it", index, width);
    return MMCL_OK;
}

static mmcl_status fold_all(mmcl_transform *transform, size_t inputs)
{
    mmcl_context *context = transform->context;
    size_t        width = inputs, beside = 0; /* columns of this chain so far, and of those before it */
    for (size_t i = 0; i < transform->n_steps;) {
        mmcl__stage *stage = &transform->stages[transform->n_stages];
        size_t       first = i, start = width;
        for (; i < transform->n_steps && mmcl__step_is_affine(transform->steps[i].options.kind); i++) {
            MMCL__TRY(check_step(context, &transform->steps[i], i, width));
            width = transform->steps[i].info.components;
        }
        if (i > first) {
            MMCL__TRY(mmcl__stage_fold(context, stage, transform->steps + first, i - first, start));
        } else {
            if (transform->steps[i].options.kind == MMCL_STEP_BESIDE) {
                beside += width;
                width = inputs;
            }
            MMCL__TRY(check_step(context, &transform->steps[i], i, width));
            MMCL__TRY(mmcl__stage_of(context, stage, &transform->steps[i++], width));
        }
        transform->n_stages++;
    }
    if (beside + width > MMCL_MAX_COLUMNS)
        return mmcl__fail(context, MMCL_E_INVAL, "transform: %zu columns side by side, expected at most %d", beside + width, MMCL_MAX_COLUMNS);
    transform->inputs  = inputs;
    transform->outputs = beside + width;
    return MMCL_OK;
}

mmcl_status mmcl__transform_finish(mmcl_transform *transform, size_t inputs)
{
    mmcl__blas_enter(transform->context->blas_policy); /* a copy or a loaded chain gets the bits that the fit got */
    mmcl_status status = inputs == 0 || inputs > MMCL_MAX_COLUMNS
                             ? mmcl__fail(transform->context, MMCL_E_INVAL, "%zu columns, expected 1 to %d", inputs, MMCL_MAX_COLUMNS)
                             : fold_all(transform, inputs);
    mmcl__blas_leave(transform->context->blas_policy);
    if (status != MMCL_OK)
        mmcl__transform_unfit(transform);
    transform->fitted = status == MMCL_OK;
    return status;
}

/* -------------------------------------------------------------------------------------------------------- running --- */

#define REAL float
#define NAME(x) x##_f32
#define POW powf
#include "transform/stages_tmpl.h"
#undef REAL
#undef NAME
#undef POW

#define REAL double
#define NAME(x) x##_f64
#define POW pow
#include "transform/stages_tmpl.h"

size_t mmcl__chain_length(const mmcl__stage *stages, size_t n_stages)
{
    size_t length = 0;
    while (length < n_stages && stages[length].kind != MMCL__STAGE_BESIDE)
        length++;
    return length;
}

size_t mmcl__stages_width(const mmcl__stage *stages, size_t n_stages, size_t cols)
{
    for (size_t s = 0; s < n_stages; s++)
        cols = MMCL__MAX(cols, stages[s].outputs);
    return cols;
}
