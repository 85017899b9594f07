/* Steps and chains before the fit: options checked and resolved, chains built, copied and released. */
#include "transform/transform.h"

#include "linalg/blas.h"
#include "linalg/convert.h"

#include <math.h>
#include <string.h>

/* --------------------------------------------------------------------------------------------------------- options --- */

static bool is_picard(const mmcl_step_options *step)
{
    return step->algorithm == MMCL_ICA_PICARD || step->algorithm == MMCL_ICA_PICARD_FREE;
}

static double default_alpha(const mmcl_step_options *step)
{
    return is_picard(step) && step->contrast == MMCL_CONTRAST_EXP ? 0.1 : 1.0;
}

static mmcl_status check_ica(mmcl_context *context, const mmcl_step_options *step)
{
    if (step->algorithm < MMCL_ICA_FASTICA || step->algorithm > MMCL_ICA_PICARD_FREE)
        return mmcl__fail(context, MMCL_E_INVAL, "algorithm: %d, expected an MMCL_ICA_ value", step->algorithm);
    if (step->contrast < MMCL_CONTRAST_LOGCOSH || step->contrast > MMCL_CONTRAST_CUBE)
        return mmcl__fail(context, MMCL_E_INVAL, "contrast: %d, expected an MMCL_CONTRAST_ value", step->contrast);
    if (step->density < MMCL_DENSITY_AUTO || step->density > MMCL_DENSITY_SUB)
        return mmcl__fail(context, MMCL_E_INVAL, "density: %d, expected an MMCL_DENSITY_ value", step->density);
    if (step->scale < MMCL_SCALE_UNIT || step->scale > MMCL_SCALE_ARBITRARY)
        return mmcl__fail(context, MMCL_E_INVAL, "scale: %d, expected an MMCL_SCALE_ value", step->scale);
    if (step->precision < MMCL_PRECISION_F32 || step->precision > MMCL_PRECISION_F64)
        return mmcl__fail(context, MMCL_E_INVAL, "precision: %d, expected an MMCL_PRECISION_ value", step->precision);
    if (!(step->alpha > 0) || !isfinite(step->alpha) ||
        (!is_picard(step) && step->contrast == MMCL_CONTRAST_LOGCOSH && (step->alpha < 1 || step->alpha > 2)))
        return mmcl__fail(context, MMCL_E_INVAL, "alpha: %g, expected 1 to 2 for FastICA's log cosh, otherwise above 0", step->alpha);
    if (!(step->tolerance > 0))
        return mmcl__fail(context, MMCL_E_INVAL, "tolerance: %g, expected above 0", step->tolerance);
    if (step->start_seed > UINT32_MAX)
        return mmcl__fail(context, MMCL_E_INVAL, "start_seed: %llu, expected below 2^32", (unsigned long long) step->start_seed);
    if (step->lbfgs_memory > 64)
        return mmcl__fail(context, MMCL_E_INVAL, "lbfgs_memory: %u, expected at most 64", step->lbfgs_memory);
    return MMCL_OK;
}

/* What power, relevance and discriminants need, their defaults filled in. */
static mmcl_status resolve_shaping(mmcl_context *context, mmcl_step_options *step)
{
    bool relevance = step->kind == MMCL_STEP_RELEVANCE, discriminants = step->kind == MMCL_STEP_DISCRIMINANTS;
    if (step->exponent == 0 && (relevance || step->kind == MMCL_STEP_POWER))
        step->exponent = relevance ? 2 : 0.8;
    if (step->shrinkage == 0 && discriminants)
        step->shrinkage = 0.1;
    if (step->neighbours == 0 && (relevance || discriminants))
        step->neighbours = 3;
    if (!(step->exponent >= 0 && step->exponent <= 100))
        return mmcl__fail(context, MMCL_E_INVAL, "exponent: %g, expected above 0 and at most 100", step->exponent);
    if (!(step->shrinkage >= 0 && step->shrinkage <= 1))
        return mmcl__fail(context, MMCL_E_INVAL, "shrinkage: %g, expected above 0 and at most 1", step->shrinkage);
    if (step->neighbours > 64)
        return mmcl__fail(context, MMCL_E_INVAL, "neighbours: %u, expected at most 64", step->neighbours);
    return MMCL_OK;
}

/* The caller's options with every zero that means "default" replaced, and checked. */
static mmcl_status resolve(mmcl_context *context, mmcl_step_options *step, const mmcl_step_options *theirs)
{
    if (theirs == NULL)
        return mmcl__fail(context, MMCL_E_INVAL, "step: NULL, expected options with a kind");
    MMCL__TRY(mmcl__import(context, step, sizeof *step, MMCL__V1(mmcl_step_options, lbfgs_memory), theirs, "mmcl_step_options"));
    bool ica = step->kind == MMCL_STEP_ICA;
    if (step->kind < MMCL_STEP_CENTER || step->kind > MMCL_STEP_BESIDE)
        return mmcl__fail(context, MMCL_E_INVAL, "kind: %d, expected an MMCL_STEP_ value", step->kind);
    if (step->components > MMCL_MAX_COLUMNS)
        return mmcl__fail(context, MMCL_E_INVAL, "components: %llu, expected at most %d", (unsigned long long) step->components,
                          MMCL_MAX_COLUMNS);
    if (step->order < MMCL_ORDER_FITTED || step->order > (ica ? MMCL_ORDER_NEGENTROPY : MMCL_ORDER_VARIANCE))
        return mmcl__fail(context, MMCL_E_INVAL, "order: %d, expected an MMCL_ORDER_ value that the step knows", step->order);
    if (step->sign < MMCL_SIGN_FITTED || step->sign > (ica ? MMCL_SIGN_SKEW : MMCL_SIGN_LOADING))
        return mmcl__fail(context, MMCL_E_INVAL, "sign: %d, expected an MMCL_SIGN_ value that the step knows", step->sign);
    if (step->start != NULL && (!ica || step->components == 0))
        return mmcl__fail(context, MMCL_E_INVAL, "start: given, expected only for an ICA step with components set");
    if (step->max_iterations == 0)
        step->max_iterations = is_picard(step) ? 500 : 200;
    if (step->tolerance == 0)
        step->tolerance = is_picard(step) ? 1e-7 : 1e-4;
    if (step->alpha == 0)
        step->alpha = default_alpha(step);
    if (step->lbfgs_memory == 0)
        step->lbfgs_memory = 7;
    return ica ? check_ica(context, step) : resolve_shaping(context, step);
}

/* ----------------------------------------------------------------------------------------------------------- steps --- */

static void free_start(mmcl_context *context, mmcl__step *step)
{
    mmcl__free(context, (void *) step->options.start, step->options.components * step->options.components, sizeof(double));
    step->options.start = NULL;
}

/* `step` owns a copy of options->start afterwards. */
static mmcl_status set_options(mmcl_context *context, mmcl__step *step, const mmcl_step_options *options)
{
    double *copy = NULL;
    if (options->start != NULL) {
        size_t cells = options->components * options->components;
        if ((copy = mmcl__alloc(context, cells, sizeof *copy)) == NULL)
            return MMCL_E_NOMEM;
        memcpy(copy, options->start, cells * sizeof *copy);
        if (!mmcl__convert()->finite_f64(cells, copy)) {
            mmcl__free(context, copy, cells, sizeof *copy);
            return mmcl__fail(context, MMCL_E_NUMERIC, "start: holds NaN or infinity");
        }
    }
    free_start(context, step);
    step->options       = *options;
    step->options.start = copy;
    return MMCL_OK;
}

static void unfit_step(mmcl_context *context, mmcl__step *step)
{
    size_t inputs = step->info.inputs, components = step->info.components;
    mmcl__free(context, step->mean, inputs, sizeof(double));
    mmcl__free(context, step->matrix, components * inputs, sizeof(double));
    mmcl__free(context, step->variance, components, sizeof(double));
    mmcl__free(context, step->spectrum, inputs, sizeof(double));
    mmcl__free(context, step->weights, components, sizeof(double));
    step->mean = step->matrix = step->variance = step->spectrum = step->weights = NULL;
    step->info = (mmcl_step_info){0};
}

mmcl_status mmcl__transform_create(mmcl_transform **out, mmcl_context *context)
{
    mmcl_transform *transform = mmcl__calloc(context, 1, sizeof *transform);
    if (transform == NULL)
        return MMCL_E_NOMEM;
    transform->context = context;
    *out               = transform;
    return MMCL_OK;
}

void mmcl__transform_unfit(mmcl_transform *transform)
{
    for (size_t i = 0; i < transform->n_steps; i++)
        unfit_step(transform->context, &transform->steps[i]);
    for (size_t i = 0; i < MMCL__MAX_STEPS; i++)
        mmcl__stage_release(transform->context, &transform->stages[i]);
    transform->n_stages = transform->inputs = transform->outputs = 0;
    transform->fitted = false;
}

void mmcl__transform_destroy(mmcl_transform *transform)
{
    if (transform == NULL)
        return;
    mmcl__transform_unfit(transform);
    for (size_t i = 0; i < transform->n_steps; i++)
        free_start(transform->context, &transform->steps[i]);
    mmcl__free(transform->context, transform, 1, sizeof *transform);
}

mmcl_status mmcl__transform_add(mmcl_transform *transform, const mmcl_step_options *theirs)
{
    mmcl_context     *context = transform->context;
    mmcl_step_options options;
    if (transform->fitted)
        return mmcl__fail(context, MMCL_E_STATE, "transform: fitted already, so no step can be added");
    if (transform->n_steps == MMCL__MAX_STEPS)
        return mmcl__fail(context, MMCL_E_INVAL, "transform: a chain has at most %d steps", MMCL__MAX_STEPS);
    MMCL__TRY(resolve(context, &options, theirs));
    MMCL__TRY(set_options(context, &transform->steps[transform->n_steps], &options));
    transform->n_steps++;
    return MMCL_OK;
}

mmcl_status mmcl__transform_set_step(mmcl_transform *transform, size_t step, const mmcl_step_options *theirs)
{
    mmcl_context     *context = transform->context;
    mmcl_step_options options;
    if (transform->fitted)
        return mmcl__fail(context, MMCL_E_STATE, "transform: fitted already, so no step can be changed");
    if (step >= transform->n_steps)
        return mmcl__fail(context, MMCL_E_INVAL, "step: %zu, the chain has %zu", step, transform->n_steps);
    MMCL__TRY(resolve(context, &options, theirs));
    return set_options(context, &transform->steps[step], &options);
}

/* ------------------------------------------------------------------------------------------------------------ copy --- */

static mmcl_status copy_values(mmcl_context *context, double **out, const double *from, size_t count)
{
    if (from == NULL)
        return MMCL_OK;
    if ((*out = mmcl__alloc(context, count, sizeof **out)) == NULL)
        return MMCL_E_NOMEM;
    memcpy(*out, from, count * sizeof **out);
    return MMCL_OK;
}

static mmcl_status copy_step(mmcl_context *context, mmcl__step *to, const mmcl__step *from)
{
    MMCL__TRY(set_options(context, to, &from->options));
    to->info      = from->info; /* first: the sizes tell how much there is to release */
    size_t inputs = from->info.inputs, components = from->info.components;
    MMCL__TRY(copy_values(context, &to->mean, from->mean, inputs));
    MMCL__TRY(copy_values(context, &to->matrix, from->matrix, components * inputs));
    MMCL__TRY(copy_values(context, &to->variance, from->variance, components));
    MMCL__TRY(copy_values(context, &to->weights, from->weights, components));
    return copy_values(context, &to->spectrum, from->spectrum, inputs);
}

/* Appends copies of all steps. */
static mmcl_status copy_steps(mmcl_transform *copy, const mmcl_transform *from)
{
    for (size_t i = 0; i < from->n_steps; i++)
        MMCL__TRY(copy_step(copy->context, &copy->steps[copy->n_steps++], &from->steps[i]));
    return MMCL_OK;
}

static mmcl_status finish_copy(mmcl_transform **out, mmcl_transform *copy, mmcl_status status, size_t inputs)
{
    if (status == MMCL_OK)
        status = mmcl__transform_finish(copy, inputs);
    if (status != MMCL_OK)
        mmcl__transform_destroy(copy);
    else
        *out = copy;
    return status;
}

mmcl_status mmcl__transform_clone(mmcl_transform **out, mmcl_context *context, const mmcl_transform *transform)
{
    mmcl_transform *copy;
    MMCL__TRY(mmcl__transform_create(&copy, context));
    return finish_copy(out, copy, copy_steps(copy, transform), transform->inputs);
}

/* ------------------------------------------------------------------------------------------------------------ join --- */

/* step->mean += what the step's map takes to step[1].mean, which becomes 0; a mean is as wide as its step's input. */
static mmcl_status carry_mean(mmcl_context *context, mmcl__step *step)
{
    size_t  inputs = step->info.inputs, components = step->info.components;
    double *next = step[1].mean, *inverse;
    if (step->matrix == NULL) {
        mmcl__axpy_f64(inputs, 1, next, step->mean);
    } else {
        if ((inverse = mmcl__alloc(context, inputs * components, sizeof *inverse)) == NULL)
            return MMCL_E_NOMEM;
        mmcl_status status = mmcl__pseudo_inverse(context, components, inputs, step->matrix, inverse);
        if (status == MMCL_OK)
            mmcl__gemm_f64(false, true, 1, inputs, components, 1, next, components, inverse, components, 1, step->mean, inputs);
        mmcl__free(context, inverse, inputs * components, sizeof *inverse);
        MMCL__TRY(status);
    }
    memset(next, 0, components * sizeof *next);
    return MMCL_OK;
}

/* Folding wants a mean at the beginning of an affine run alone, so the one at the seam goes back to where its run begins. */
static mmcl_status mend_seam(mmcl_transform *joined, size_t seam)
{
    if (seam == joined->n_steps || !mmcl__step_is_affine(joined->steps[seam].options.kind))
        return MMCL_OK;
    for (size_t i = seam; i > 0 && mmcl__step_is_affine(joined->steps[i - 1].options.kind); i--)
        MMCL__TRY(carry_mean(joined->context, &joined->steps[i - 1]));
    return MMCL_OK;
}

mmcl_status mmcl__transform_join(mmcl_transform **out, mmcl_context *context, const mmcl_transform *first, const mmcl_transform *second)
{
    mmcl_transform *joined;
    MMCL__TRY(mmcl__transform_create(&joined, context));
    mmcl_status status = copy_steps(joined, first);
    if (status == MMCL_OK)
        status = copy_steps(joined, second);
    if (status == MMCL_OK) {
        mmcl__blas_enter(context->blas_policy);
        status = mend_seam(joined, first->n_steps);
        mmcl__blas_leave(context->blas_policy);
    }
    return finish_copy(out, joined, status, first->inputs);
}
