/*
 * One step. All that can fail comes before the first change of what a checkpoint holds; the changes themselves complete whatever
 * happens, so that the trainer always stands behind a whole number of steps.
 */
#include "train/trainer.h"

#include <math.h>
#include <string.h>

/* ------------------------------------------------------------------------------------------------- through encoders --- */

static size_t lanes_of(const mmcl__side *side)
{
    return side->workspace != NULL ? side->workspace->lanes.count : 0;
}

/* The lanes of both sides are the tasks of one region. */
static void forward_task(void *argument, size_t i, uint32_t worker)
{
    mmcl_trainer *trainer = argument;
    size_t        first   = lanes_of(&trainer->sides[0]);
    mmcl__side   *side    = &trainer->sides[i >= first];
    (void) worker;
    mmcl__workspace_forward_lane(side->workspace, i < first ? i : i - first, side->f, side->outputs);
}

static size_t trained_lanes(const mmcl__side *side)
{
    return side->frozen ? 0 : lanes_of(side);
}

static void backward_task(void *argument, size_t i, uint32_t worker)
{
    mmcl_trainer *trainer = argument;
    size_t        first   = trained_lanes(&trainer->sides[0]);
    mmcl__side   *side    = &trainer->sides[i >= first];
    mmcl__workspace_backward_lane(side->workspace, i < first ? i : i - first, side->df, side->outputs, NULL, worker);
}

/* What a host encoder is told of the batch. */
static mmcl_encoder_rows host_rows(const mmcl_trainer *trainer, const mmcl__side *side)
{
    return (mmcl_encoder_rows){.inputs  = side->inputs > 0 ? side->x : NULL,
                               .indices = trainer->order != NULL ? trainer->batch_indices : trainer->indices,
                               .step    = trainer->step,
                               .batch   = trainer->options.batch};
}

static mmcl_status represent(mmcl_trainer *trainer)
{
    for (size_t i = 0; i < 2; i++) {
        mmcl__side *side = &trainer->sides[i];
        if (side->workspace != NULL)
            mmcl__workspace_begin(side->workspace, (size_t) trainer->options.batch);
        const mmcl_encoder_rows rows = host_rows(trainer, side);
        if (side->workspace == NULL && mmcl__host_represent(side->encoder, &rows, side->f) != MMCL_OK)
            return mmcl__fail(trainer->context, MMCL_E_CALLBACK, "encoder %c: represent failed at step %llu", "xt"[i],
                              (unsigned long long) trainer->step);
    }
    return mmcl__parallel(trainer->context, lanes_of(&trainer->sides[0]) + lanes_of(&trainer->sides[1]), forward_task, trainer);
}

static mmcl_status learn(mmcl_trainer *trainer)
{
    for (size_t i = 0; i < 2; i++) {
        mmcl__side             *side = &trainer->sides[i];
        const mmcl_encoder_rows rows = host_rows(trainer, side);
        if (side->workspace == NULL && !side->frozen && mmcl__host_learn(side->encoder, &rows, side->df) != MMCL_OK)
            return mmcl__fail(trainer->context, MMCL_E_CALLBACK, "encoder %c: learn failed at step %llu", "xt"[i],
                              (unsigned long long) trainer->step);
    }
    return mmcl__parallel(trainer->context, trained_lanes(&trainer->sides[0]) + trained_lanes(&trainer->sides[1]), backward_task,
                          trainer);
}

/* ------------------------------------------------------------------------------------------------------- objective --- */

static mmcl_status evaluate(mmcl_trainer *trainer, mmcl_objective_info *info, double *dscale, double *dbias)
{
    mmcl__side       *x = &trainer->sides[0], *t = &trainer->sides[1];
    size_t            rows = (size_t) trainer->options.batch;
    const mmcl_matrix views[2] = {{.data = x->f, .rows = rows, .cols = x->outputs}, {.data = t->f, .rows = rows, .cols = t->outputs}};
    const mmcl_objective_input  input  = {.struct_size = sizeof input,
                                          .x           = &views[0],
                                          .t           = &views[1],
                                          .groups      = trainer->order != NULL ? trainer->batch_groups : trainer->groups,
                                          .log_scale   = trainer->scale.value,
                                          .bias        = trainer->bias.value,
                                          .blocks      = trainer->options.block > 0 ? rows / trainer->options.block : 0};
    const mmcl_objective_output output = {.struct_size = sizeof output,
                                          .dx          = x->df,
                                          .dt          = t->df,
                                          .dlog_scale  = dscale,
                                          .dbias       = dbias};
    mmcl_objective *objective = trainer->objective;
    if (trainer->one_sided[0] != NULL && trainer->options.pool_axis == MMCL_POOL_NEAR)
        objective = trainer->one_sided[mmcl__pool_side(trainer)];
    return mmcl__objective_evaluate(objective, &input, &output, info);
}

/* ------------------------------------------------------------------------------------------------------------ step --- */

/* Adam for log scale and bias. */
static void scalar_step(const mmcl_trainer *trainer, mmcl__scalar *scalar, double gradient)
{
    const double b1 = 0.9, b2 = 0.99, k = (double) trainer->step + 1;
    double       rate = trainer->options.scale_rate * mmcl__schedule(&trainer->options, trainer->step);
    scalar->first     = b1 * scalar->first + (1 - b1) * gradient;
    scalar->second    = b2 * scalar->second + (1 - b2) * gradient * gradient;
    scalar->value -= rate * (scalar->first / (1 - pow(b1, k))) / (sqrt(scalar->second / (1 - pow(b2, k))) + 1e-8);
}

static mmcl_status not_finite(mmcl_trainer *trainer, const char *what)
{
    return mmcl__fail(trainer->context, MMCL_E_NUMERIC, "step %llu: %s is not finite; the parameters are those before this step",
                      (unsigned long long) trainer->step, what);
}

/* From the gradients on nothing fails but the host, after everything has been done. */
static mmcl_status commit(mmcl_trainer *trainer, double loss, double norm, double dscale, double dbias)
{
    const mmcl_trainer_options *options = &trainer->options;
    double                      clip    = options->clip > 0 && norm > options->clip ? options->clip / norm : 1;
    double                      rate    = options->rate * mmcl__schedule(options, trainer->step);
    for (size_t i = 0; i < 2; i++) { /* before ours, so that a refusal leaves ours as they were */
        const mmcl_host_encoder *host = &trainer->sides[i].encoder->host;
        if (trainer->sides[i].workspace == NULL && !trainer->sides[i].frozen && host->update != NULL &&
            host->update(host->user, trainer->step, rate) != MMCL_OK)
            return mmcl__fail(trainer->context, MMCL_E_CALLBACK, "encoder %c: update failed at step %llu", "xt"[i],
                              (unsigned long long) trainer->step);
    }
    mmcl_status status = mmcl__update_apply(trainer, clip);
    if (options->learn_scale)
        scalar_step(trainer, &trainer->scale, dscale);
    if (options->learn_bias)
        scalar_step(trainer, &trainer->bias, dbias);
    trainer->scale.value = fmin(fmax(trainer->scale.value, trainer->low), trainer->high);
    trainer->smooth      = isnan(trainer->smooth) ? loss : trainer->smooth + 0.01 * (loss - trainer->smooth);
    trainer->step++;
    trainer->info.loss          = loss;
    trainer->info.gradient_norm = norm;
    trainer->info.rate          = rate;
    return status == MMCL_OK ? status : mmcl__fail(trainer->context, status, "executor: its run failed");
}

static mmcl_status step(mmcl_trainer *trainer)
{
    mmcl_context       *context = trainer->context;
    mmcl_objective_info info    = {.struct_size = sizeof info};
    double              square, dscale = 0, dbias = 0;
    mmcl_status         status = mmcl__batch_load(trainer);
    if (status == MMCL_OK)
        status = represent(trainer);
    if (status == MMCL_OK) {
        status = evaluate(trainer, &info, &dscale, &dbias);
        if (status == MMCL_E_NUMERIC) {
            char why[sizeof context->message];
            memcpy(why, context->message, sizeof why);
            return mmcl__fail(context, status, "step %llu: the loss is not finite; the parameters are those before this step (%.300s)",
                              (unsigned long long) trainer->step, why);
        }
        MMCL__TRY(status);
        if (!isfinite(info.loss))
            return not_finite(trainer, "the loss");
        status = learn(trainer);
    }
    if (status == MMCL_OK)
        status = mmcl__gradients_sum(trainer, &square);
    if (status != MMCL_OK) /* of the executor, which has no message of its own; others do */
        return status == MMCL_E_CALLBACK && context->executor.run != NULL && context->message[0] == '\0'
                   ? mmcl__fail(context, status, "executor: its run failed")
                   : status;
    if (!isfinite(square) || !isfinite(dscale) || !isfinite(dbias))
        return not_finite(trainer, "a gradient");
    return commit(trainer, info.loss, sqrt(square), dscale, dbias);
}

/* ------------------------------------------------------------------------------------------------------------- run --- */

static const mmcl_encoder *judged(const mmcl__side *side)
{
    return side->average != NULL ? side->average : side->encoder;
}

static void describe(mmcl_trainer *trainer, double began, uint64_t first, uint64_t until)
{
    mmcl_train_info *info = &trainer->info;
    info->step            = trainer->step;
    info->smooth_loss     = trainer->smooth;
    info->scale           = exp(trainer->scale.value);
    info->bias            = trainer->bias.value;
    info->seconds         = mmcl__seconds() - began;
    info->seconds_left    = trainer->step > first ? info->seconds / (double) (trainer->step - first) * (double) (until - trainer->step) : NAN;
    uint64_t per_epoch    = trainer->source.rows / trainer->draw;
    info->epoch           = trainer->source.rows > 0 ? trainer->step / (trainer->draw / trainer->options.batch) / per_epoch : 0;
}

static mmcl_status steps(mmcl_trainer *trainer, mmcl__operation *operation, double began, uint64_t until)
{
    const mmcl_trainer_options *options = &trainer->options;
    uint64_t                    first   = trainer->step;
    while (trainer->step < until) {
        MMCL__TRY(mmcl__check_cancel(trainer->context));
        MMCL__TRY(step(trainer));
        describe(trainer, began, first, until);
        if (options->evaluate != NULL && options->evaluate_every > 0 && trainer->step % options->evaluate_every == 0 &&
            options->evaluate(options->evaluate_user, &trainer->info, judged(&trainer->sides[0]), judged(&trainer->sides[1])) != 0) {
            trainer->info.stopped = 1;
            return MMCL_OK;
        }
        MMCL__TRY(mmcl__tick(operation, trainer->step, trainer->info.loss));
    }
    return MMCL_OK;
}

mmcl_status mmcl__trainer_run(mmcl_trainer *trainer, uint64_t until)
{
    mmcl__operation operation;
    double          began = mmcl__seconds();
    trainer->info.stopped = 0;
    describe(trainer, began, trainer->step, MMCL__MAX(until, trainer->step));
    mmcl__begin(&operation, trainer->context, "train", until);
    return mmcl__end(&operation, steps(trainer, &operation, began, until));
}
