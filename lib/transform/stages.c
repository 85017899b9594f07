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

static mmcl_status check_step(mmcl_context *context, const mmcl__step *step, size_t index, size_t width)
{
    const mmcl_step_info *info = &step->info;
    bool                  mapped = step->options.kind >= MMCL_STEP_PCA;
    if (info->inputs != width || info->components == 0 || info->components > MMCL_MAX_COLUMNS ||
        (!mapped && info->components != width) || (step->options.kind != MMCL_STEP_NORMALIZE && step->mean == NULL) ||
        mapped != (step->matrix != NULL))
        return mmcl__fail(context, MMCL_E_INVAL, "step %zu does not fit the %zu columns before it", index, width);
    return MMCL_OK;
}

static mmcl_status fold_all(mmcl_transform *transform, size_t inputs)
{
    mmcl_context *context = transform->context;
    size_t        width   = inputs;
    for (size_t i = 0; i < transform->n_steps;) {
        mmcl__stage *stage = &transform->stages[transform->n_stages];
        size_t       first = i, start = width;
        for (; i < transform->n_steps && transform->steps[i].options.kind != MMCL_STEP_NORMALIZE; i++) {
            MMCL__TRY(check_step(context, &transform->steps[i], i, width));
            width = transform->steps[i].info.components;
        }
        if (i > first) {
            MMCL__TRY(mmcl__stage_fold(context, stage, transform->steps + first, i - first, start));
        } else {
            MMCL__TRY(check_step(context, &transform->steps[i], i, width));
            *stage = (mmcl__stage){.inputs = width, .outputs = width, .normalize = true, .identity = true};
            i++;
        }
        transform->n_stages++;
    }
    transform->inputs  = inputs;
    transform->outputs = width;
    return MMCL_OK;
}

mmcl_status mmcl__transform_finish(mmcl_transform *transform, size_t inputs)
{
    mmcl_status status = inputs == 0 || inputs > MMCL_MAX_COLUMNS
                             ? mmcl__fail(transform->context, MMCL_E_INVAL, "%zu columns, expected 1 to %d", inputs, MMCL_MAX_COLUMNS)
                             : fold_all(transform, inputs);
    if (status != MMCL_OK)
        mmcl__transform_unfit(transform);
    transform->fitted = status == MMCL_OK;
    return status;
}

/* -------------------------------------------------------------------------------------------------------- running --- */

#define REAL float
#define NAME(x) x##_f32
#include "transform/stages_tmpl.h"
#undef REAL
#undef NAME

#define REAL double
#define NAME(x) x##_f64
#include "transform/stages_tmpl.h"

size_t mmcl__stages_width(const mmcl__stage *stages, size_t n_stages, size_t cols)
{
    for (size_t s = 0; s < n_stages; s++)
        cols = MMCL__MAX(cols, stages[s].outputs);
    return cols;
}
