/*
 * Fitting a chain. A run of affine steps needs the moments of its input once: those of each step's output follow from its own
 * (mean 0, covariance B C B^T). A normalisation ends the run, and the next one reads the rows again through what is fitted.
 */
#include "transform/fit.h"
#include "transform/moments.h"

#include "linalg/blas.h"

#include <math.h>
#include <string.h>

static void forget_moments(mmcl__fit *fit)
{
    mmcl__free(fit->context, fit->mean, fit->cols, sizeof(double));
    mmcl__free(fit->context, fit->covariance, fit->cols * fit->cols, sizeof(double));
    fit->mean = fit->covariance = NULL;
}

static mmcl_status take_moments(mmcl__fit *fit, const mmcl_moments *moments)
{
    size_t cols     = fit->cols;
    fit->mean       = mmcl__alloc(fit->context, cols, sizeof(double));
    fit->covariance = mmcl__alloc(fit->context, cols * cols, sizeof(double));
    if (fit->mean == NULL || fit->covariance == NULL)
        return MMCL_E_NOMEM;
    memcpy(fit->mean, moments->mean, cols * sizeof(double));
    for (size_t i = 0; i < cols; i++)
        for (size_t j = i; j < cols; j++)
            fit->covariance[i * cols + j] = moments->scatter[i * cols + j] / (double) moments->count;
    mmcl__symmetrize(cols, fit->covariance, cols);
    fit->epsilon = moments->epsilon;
    return MMCL_OK;
}

mmcl__source mmcl__fit_source(const mmcl__fit *fit)
{
    size_t cols = fit->n_stages > 0 ? fit->stages[fit->n_stages - 1].outputs : fit->rows->cols;
    return (mmcl__source){.rows = fit->rows, .stages = fit->stages, .n_stages = fit->n_stages, .cols = cols};
}

/* Moments of the rows at the start of a run. */
static mmcl_status read_moments(mmcl__fit *fit)
{
    mmcl_moments *moments;
    mmcl__source  source = mmcl__fit_source(fit);
    MMCL__TRY(mmcl__moments_create(&moments, fit->context, fit->cols));
    mmcl_status status = mmcl__moments_add(moments, &source);
    if (status == MMCL_OK)
        status = take_moments(fit, moments);
    mmcl__moments_destroy(moments);
    return status;
}

mmcl_status mmcl__fit_push_run(mmcl__fit *fit, size_t index)
{
    if (index == fit->run)
        return MMCL_OK;
    MMCL__TRY(mmcl__stage_fold(fit->context, &fit->stages[fit->n_stages], fit->transform->steps + fit->run, index - fit->run, fit->run_inputs));
    fit->n_stages++;
    return MMCL_OK;
}

void mmcl__fit_pop_run(mmcl__fit *fit, size_t index)
{
    if (index > fit->run)
        mmcl__stage_release(fit->context, &fit->stages[--fit->n_stages]);
}

/* ------------------------------------------------------------------------------------------------------------ chain --- */

/* The moments of the step's output take the place of those of its input. */
static mmcl_status propagate(mmcl__fit *fit, const mmcl__step *step)
{
    mmcl_context *context = fit->context;
    size_t        cols = fit->cols, k = step->info.components;
    memset(fit->mean, 0, cols * sizeof(double));
    if (step->matrix == NULL)
        return MMCL_OK;
    double *half = mmcl__alloc(context, k * cols, sizeof *half), *full = mmcl__alloc(context, k * k, sizeof *full);
    double *mean = mmcl__calloc(context, k, sizeof *mean);
    mmcl_status status = half == NULL || full == NULL || mean == NULL ? MMCL_E_NOMEM : MMCL_OK;
    if (status == MMCL_OK) {
        mmcl__gemm_f64(false, false, k, cols, cols, 1, step->matrix, cols, fit->covariance, cols, 0, half, cols);
        mmcl__gemm_f64(false, true, k, k, cols, 1, half, cols, step->matrix, cols, 0, full, k);
        mmcl__symmetrize(k, full, k);
        forget_moments(fit);
        fit->cols       = k;
        fit->mean       = mean;
        fit->covariance = full;
    } else {
        mmcl__free(context, full, k * k, sizeof *full);
        mmcl__free(context, mean, k, sizeof *mean);
    }
    mmcl__free(context, half, k * cols, sizeof *half);
    return status;
}

/* A step that is not affine ends the run, and is a stage of its own. */
static mmcl_status end_run(mmcl__fit *fit, mmcl__step *step, size_t index)
{
    step->info.explained_variance = 1;
    MMCL__TRY(mmcl__fit_push_run(fit, index));
    if (step->options.kind == MMCL_STEP_RELEVANCE)
        MMCL__TRY(mmcl__fit_relevance(fit, step, index));
    MMCL__TRY(mmcl__stage_of(fit->context, &fit->stages[fit->n_stages], step, fit->cols));
    fit->n_stages++;
    forget_moments(fit);
    fit->run        = index + 1;
    fit->run_inputs = fit->cols;
    return MMCL_OK;
}

static void release_stages(mmcl__fit *fit)
{
    for (size_t i = 0; i < fit->n_stages; i++)
        mmcl__stage_release(fit->context, &fit->stages[i]);
    fit->n_stages = 0;
}

/* Another chain begins, from the rows themselves. */
static void start_chain(mmcl__fit *fit, mmcl__step *step, size_t index)
{
    forget_moments(fit);
    release_stages(fit);
    fit->cols = fit->run_inputs = step->info.inputs = step->info.components = fit->rows->cols;
    fit->run                      = index + 1;
    step->info.explained_variance = 1;
}

static mmcl_status fit_center(mmcl__fit *fit, mmcl__step *step)
{
    step->info.explained_variance = 1;
    if ((step->mean = mmcl__alloc(fit->context, fit->cols, sizeof(double))) == NULL)
        return MMCL_E_NOMEM;
    memcpy(step->mean, fit->mean, fit->cols * sizeof(double));
    return MMCL_OK;
}

static mmcl_status fit_step(mmcl__fit *fit, mmcl__step *step, size_t index)
{
    double began = mmcl__seconds();
    step->info.kind   = step->options.kind;
    step->info.inputs = step->info.components = fit->cols;
    MMCL__TRY(mmcl__tick(fit->operation, index, NAN));
    if (step->options.kind == MMCL_STEP_BESIDE) {
        start_chain(fit, step, index);
        return MMCL_OK;
    }
    if (!mmcl__step_is_affine(step->options.kind)) {
        MMCL__TRY(end_run(fit, step, index));
        step->info.seconds = mmcl__seconds() - began;
        return MMCL_OK;
    }
    if (fit->mean == NULL) {
        MMCL__TRY(read_moments(fit));
        step->info.passes++;
    }
    mmcl_status status = MMCL_OK;
    switch (step->options.kind) {
    case MMCL_STEP_CENTER: status = fit_center(fit, step); break;
    case MMCL_STEP_ICA:    status = mmcl__fit_ica(fit, step, index); break;
    case MMCL_STEP_DISCRIMINANTS: status = mmcl__fit_discriminants(fit, step, index); break;
    default:               status = mmcl__fit_spectral(fit, step, index, step->options.kind == MMCL_STEP_WHITEN); break;
    }
    MMCL__TRY(status);
    step->info.seconds = mmcl__seconds() - began;
    return propagate(fit, step);
}

static mmcl_status fit_chain(mmcl__fit *fit, size_t cols, uint64_t n_rows)
{
    mmcl_transform *transform = fit->transform;
    mmcl__operation operation;
    mmcl__begin(&operation, fit->context, "fit", transform->n_steps);
    fit->operation  = &operation;
    fit->cols       = fit->run_inputs = cols;
    mmcl_status status = MMCL_OK;
    for (size_t i = 0; i < transform->n_steps && status == MMCL_OK; i++) {
        transform->steps[i].info      = (mmcl_step_info){.struct_size = sizeof(mmcl_step_info), .rows = n_rows};
        status = fit_step(fit, &transform->steps[i], i);
    }
    forget_moments(fit);
    release_stages(fit);
    if (status == MMCL_OK)
        status = mmcl__transform_finish(transform, cols);
    if (status == MMCL_OK)
        status = mmcl__tick(&operation, transform->n_steps, NAN);
    if (status != MMCL_OK)
        mmcl__transform_unfit(transform);
    return mmcl__end(&operation, status);
}

static mmcl_status check_unfitted(const mmcl_transform *transform)
{
    if (transform->fitted)
        return mmcl__fail(transform->context, MMCL_E_STATE, "transform: fitted already");
    return MMCL_OK;
}

mmcl_status mmcl__transform_fit(mmcl_transform *transform, const mmcl_matrix *parts, size_t n_parts, const mmcl_fit_options *options)
{
    mmcl_context    *context = transform->context;
    mmcl_fit_options ours;
    mmcl__rows       rows;
    MMCL__TRY(check_unfitted(transform));
    MMCL__TRY(mmcl__import(context, &ours, sizeof ours, MMCL__V1(mmcl_fit_options, cache_bytes), options, "mmcl_fit_options"));
    MMCL__TRY(mmcl__rows_open(context, &rows, parts, n_parts, "parts"));
    mmcl__fit  fit    = {.transform = transform, .context = context, .rows = &rows, .cache_bytes = ours.cache_bytes};
    mmcl_status status = rows.rows == 0 ? mmcl__fail(context, MMCL_E_INVAL, "parts: no rows, expected at least one")
                                        : fit_chain(&fit, rows.cols, rows.rows);
    mmcl__rows_close(context, &rows);
    return status;
}

mmcl_status mmcl__transform_fit_moments(mmcl_transform *transform, const mmcl_moments *moments)
{
    mmcl_context *context = transform->context;
    bool          normalized = false;
    MMCL__TRY(check_unfitted(transform));
    for (size_t i = 0; i < transform->n_steps; i++) {
        mmcl_step_kind kind = transform->steps[i].options.kind;
        bool           free = kind == MMCL_STEP_NORMALIZE || kind == MMCL_STEP_POWER; /* nothing to fit */
        if (!(free || (kind <= MMCL_STEP_WHITEN && !normalized)))
            return mmcl__fail(context, MMCL_E_UNSUPPORTED, "transform: step %zu needs the rows, moments do not suffice", i);
        normalized |= free;
    }
    if (moments->count == 0)
        return mmcl__fail(context, MMCL_E_INVAL, "moments: of no rows, expected at least one");
    mmcl__fit fit = {.transform = transform, .context = context, .cols = moments->cols};
    mmcl_status status = take_moments(&fit, moments);
    if (status != MMCL_OK)
        forget_moments(&fit);
    return status == MMCL_OK ? fit_chain(&fit, moments->cols, moments->count) : status;
}
