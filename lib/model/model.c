#include "model/model.h"

#include <math.h>
#include <string.h>

/* ------------------------------------------------------------------------------------------------------ correlation --- */

static mmcl_status not_definite(mmcl_context *context)
{
    return mmcl__fail(context, MMCL_E_INVAL, "correlation_matrix: not positive definite");
}

static mmcl_status check_matrix(mmcl_context *context, size_t n, const double *matrix)
{
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++) {
            double value = matrix[i * n + j];
            if (!isfinite(value) || fabs(value) > 1 + 1e-12 || (i == j && fabs(value - 1) > 1e-12))
                return mmcl__fail(context, MMCL_E_INVAL, "correlation_matrix[%zu, %zu]: %g, expected %s", i, j, value,
                                  i == j ? "1" : "a number from -1 to 1");
            if (fabs(value - matrix[j * n + i]) > 1e-12)
                return mmcl__fail(context, MMCL_E_INVAL, "correlation_matrix: not symmetric: [%zu, %zu] is %g, [%zu, %zu] is %g", i, j,
                                  value, j, i, matrix[j * n + i]);
        }
    return MMCL_OK;
}

/* factor = the lower Cholesky factor of matrix. A pivot at the level of rounding is no correlation that anyone means. */
static mmcl_status factorize(mmcl_context *context, size_t n, const double *matrix, double *factor)
{
    memset(factor, 0, n * n * sizeof *factor);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j <= i; j++) {
            double sum = matrix[i * n + j];
            for (size_t k = 0; k < j; k++)
                sum -= factor[i * n + k] * factor[j * n + k];
            if (i == j && sum < 1e-12)
                return not_definite(context);
            factor[i * n + j] = i == j ? sqrt(sum) : sum / factor[j * n + j];
        }
    return MMCL_OK;
}

static mmcl_status set_correlation(mmcl_model *model, const mmcl_model_options *options)
{
    size_t n = options->latent;
    if (options->correlation_matrix == NULL && options->correlation == 0)
        return MMCL_OK;
    model->correlation = mmcl__alloc(model->context, n * n, sizeof(double));
    model->cholesky    = mmcl__alloc(model->context, n * n, sizeof(double));
    if (model->correlation == NULL || model->cholesky == NULL)
        return MMCL_E_NOMEM;
    for (size_t i = 0; i < n * n; i++)
        model->correlation[i] = options->correlation_matrix != NULL ? options->correlation_matrix[i]
                                : i % (n + 1) == 0                  ? 1
                                                                    : options->correlation;
    MMCL__TRY(check_matrix(model->context, n, model->correlation));
    return factorize(model->context, n, model->correlation, model->cholesky);
}

/* ---------------------------------------------------------------------------------------------------------- sampler --- */

static double beta_of(mmcl_distribution kind, double beta)
{
    return kind == MMCL_DIST_NORMAL ? 2 : kind == MMCL_DIST_LAPLACE ? 1 : beta;
}

static mmcl_status set_line(mmcl_model *model, mmcl__line *line, mmcl__tail *tail, mmcl_distribution kind, double scale, double beta)
{
    *line = (mmcl__line){.kind = kind, .scale = kind == MMCL_DIST_NORMAL ? scale * sqrt(2) : scale, .deviation = scale};
    if (kind == MMCL_DIST_UNIFORM || kind == MMCL_DIST_VMF)
        return MMCL_OK;
    MMCL__TRY(mmcl__tail_create(tail, model->context, beta_of(kind, beta)));
    line->tail = tail;
    return MMCL_OK;
}

static void set_vmf(mmcl__sampler *sampler, double kappa, double n)
{
    sampler->kappa        = kappa;
    sampler->b            = n / (2 * kappa + hypot(2 * kappa, n)); /* the form without cancellation; n = d - 1 */
    sampler->log_half_b   = log1p(sampler->b) - log(2);
    sampler->cosine_shift = 2 * sampler->b / (1 + sampler->b);
}

static double variance_of(const mmcl__line *line)
{
    if (line->kind == MMCL_DIST_NORMAL)
        return line->deviation * line->deviation;
    double a = 1 / line->tail->beta;
    return line->scale * line->scale * exp(lgamma(3 * a) - lgamma(a));
}

/* Weights of own draw and of z in a private latent: see mmcl_samples. */
static void set_dependence(mmcl__sampler *sampler, double strength)
{
    double scale = 1;
    if (sampler->space == MMCL_SPACE_SPHERE)
        scale = sqrt((double) sampler->latent);
    if (sampler->space == MMCL_SPACE_REAL)
        scale = 1 / sqrt(variance_of(&sampler->marginal));
    sampler->dependence = strength;
    sampler->follow     = strength * scale;
    sampler->own        = sampler->space == MMCL_SPACE_BOX ? 1 - strength : sqrt((1 - strength) * (1 + strength));
}

static mmcl_status set_sampler(mmcl_model *model)
{
    const mmcl_model_options *o = &model->options;
    mmcl__sampler            *s = &model->sampler;
    const bool                symmetric = o->direction == MMCL_DIRECTION_SYMMETRIC;
    *s = (mmcl__sampler){.latent        = o->latent,
                         .private_x     = o->private_x,
                         .private_t     = o->private_t,
                         .space         = o->space,
                         .direction     = o->direction,
                         .coupling_kind = o->coupling,
                         .cholesky      = model->cholesky,
                         .center        = o->center == MMCL_CENTER_E1,
                         .lower         = o->lower,
                         .upper         = o->upper};
    MMCL__TRY(set_line(model, &s->marginal, &model->tails[0], o->marginal, o->marginal_scale, o->marginal_beta));
    MMCL__TRY(set_line(model, &s->coupling, &model->tails[1], o->coupling, o->coupling_scale, o->coupling_beta));
    if (model->cholesky != NULL)
        MMCL__TRY(mmcl__tail_create(&model->tails[2], model->context, 2));
    s->normal_tail         = &model->tails[2];
    const mmcl__line *line = symmetric ? &s->coupling : &s->marginal;
    s->half_mass           = line->tail != NULL ? -expm1(-mmcl__tail_h(line->tail, (o->upper - o->lower) / 2 / line->scale)) : 1;
    s->propose_pairs       = s->coupling.deviation > s->marginal.deviation;
    set_vmf(s, o->coupling_scale, (double) o->latent - 1);
    set_dependence(s, o->private_dependence);
    return MMCL_OK;
}

/* ------------------------------------------------------------------------------------------------------------ model --- */

static mmcl_status set_mixing(mmcl_model *model, mmcl_side side, mmcl__mixing *given)
{
    const mmcl_model_options *o      = &model->options;
    mmcl__mixing             *mixing = &model->mixing[side];
    if (given != NULL) {
        *mixing = *given;
        *given  = (mmcl__mixing){0};
    } else {
        size_t layers = o->mixing == MMCL_MIXING_MLP ? o->layers : 0;
        MMCL__TRY(mmcl__mixing_create(mixing, model->context, mmcl__model_width(model, side), layers, o->slope));
        if (layers > 0)
            MMCL__TRY(mmcl__mixing_draw(mixing, side == MMCL_SIDE_X ? o->mixing_seed_x : o->mixing_seed_t, (uint32_t) side,
                                        o->condition_draws, o->condition_bound, side == MMCL_SIDE_X ? "mixing x" : "mixing t"));
    }
    return mixing->layers > 0 ? mmcl__mixing_finish(mixing) : MMCL_OK;
}

static mmcl_status build(mmcl_model *model, const mmcl_model_options *options, mmcl__mixing *mixing)
{
    model->options = *options;
    model->kernels = mmcl__sample();
    MMCL__TRY(set_correlation(model, options));
    model->options.correlation_matrix = options->correlation_matrix != NULL ? model->correlation : NULL;
    MMCL__TRY(set_sampler(model));
    mmcl__operation operation; /* around those of the two mixings: one final event for the call */
    mmcl__begin(&operation, model->context, "model", 2);
    mmcl_status status = set_mixing(model, MMCL_SIDE_X, mixing);
    if (status == MMCL_OK)
        status = set_mixing(model, MMCL_SIDE_T, mixing != NULL ? mixing + 1 : NULL);
    return mmcl__end(&operation, status);
}

mmcl_status mmcl__model_create(mmcl_model **out, mmcl_context *context, const mmcl_model_options *options, mmcl__mixing *mixing)
{
    mmcl_model *model  = mmcl__calloc(context, 1, sizeof *model);
    mmcl_status status = MMCL_E_NOMEM;
    if (model != NULL) {
        model->context = context;
        status         = build(model, options, mixing);
    }
    for (int side = 0; side < 2 && mixing != NULL; side++)
        if (status != MMCL_OK && mixing[side].context != NULL)
            mmcl__mixing_destroy(&mixing[side]);
    if (status == MMCL_OK)
        *out = model;
    else
        mmcl__model_destroy(model);
    return status;
}

void mmcl__model_destroy(mmcl_model *model)
{
    if (model == NULL)
        return;
    mmcl_context *context = model->context;
    size_t        n       = model->options.latent;
    for (int i = 0; i < 2; i++)
        mmcl__mixing_destroy(&model->mixing[i]);
    for (int i = 0; i < 3; i++)
        mmcl__tail_destroy(&model->tails[i], context);
    mmcl__free(context, model->correlation, n * n, sizeof(double));
    mmcl__free(context, model->cholesky, n * n, sizeof(double));
    mmcl__free(context, model, 1, sizeof *model);
}
