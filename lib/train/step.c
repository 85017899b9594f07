/* One step, and the loop over steps. */
#include "train/trainer.h"

#include "linalg/blas.h"

#include <math.h>
#include <string.h>

#define CHUNK ((size_t) 16384) /* parameters that a task of the reduction takes */

/* ----------------------------------------------------------------------------------------------------------- tasks --- */

/* Lanes of both sides in one sequence: first those of x. Host encoders have none. */
struct lane {
    mmcl__train_side *side;
    size_t            index;
};

static size_t lanes_of(const mmcl__train_side *side)
{
    return side->workspace != NULL ? side->workspace->lanes.count : 0;
}

static struct lane lane_of(mmcl_trainer *trainer, size_t i)
{
    size_t first = lanes_of(&trainer->sides[0]);
    return i < first ? (struct lane){&trainer->sides[0], i} : (struct lane){&trainer->sides[1], i - first};
}

static void forward_task(void *argument, size_t i, uint32_t worker)
{
    (void) worker;
    struct lane lane = lane_of(argument, i);
    mmcl__workspace_forward_lane(lane.side->workspace, lane.index, lane.side->out, lane.side->outputs);
}

static void backward_task(void *argument, size_t i, uint32_t worker)
{
    struct lane lane = lane_of(argument, i);
    if (!lane.side->frozen)
        mmcl__workspace_backward_lane(lane.side->workspace, lane.index, lane.side->slope, lane.side->outputs, NULL, worker);
}

static size_t chunks_of(const mmcl__train_side *side)
{
    return side->workspace != NULL && !side->frozen ? (side->encoder->size + CHUNK - 1) / CHUNK : 0;
}

static void sum_task(void *argument, size_t i, uint32_t worker)
{
    mmcl_trainer     *trainer = argument;
    size_t            first   = chunks_of(&trainer->sides[0]);
    mmcl__train_side *side    = &trainer->sides[i < first ? 0 : 1];
    size_t            begin   = (i < first ? i : i - first) * CHUNK;
    (void) worker;
    mmcl__workspace_sum(side->workspace, begin, MMCL__MIN(CHUNK, side->encoder->size - begin), side->gradient + begin);
}

/* ----------------------------------------------------------------------------------------------------------- parts --- */

static mmcl_encoder_rows host_rows(const mmcl_trainer *trainer, const mmcl__train_side *side)
{
    return (mmcl_encoder_rows){.struct_size = sizeof(mmcl_encoder_rows), .inputs = side->inputs > 0 ? side->rows : NULL,
                               .indices = trainer->indices, .step = trainer->state.step, .rows = trainer->options.batch,
                               .batch = trainer->options.batch};
}

static mmcl_status draw_batch(mmcl_trainer *trainer)
{
    if (trainer->cells.pool > 0)
        return mmcl__cells_batch(trainer);
    float *rows[2];
    for (int s = 0; s < 2; s++)
        rows[s] = trainer->sides[s].inputs > 0 ? trainer->sides[s].rows : NULL;
    return mmcl__source_fill(trainer, trainer->state.step, (size_t) trainer->options.batch, rows[0], rows[1], trainer->groups,
                             trainer->indices);
}

static mmcl_status forward(mmcl_trainer *trainer)
{
    for (int s = 0; s < 2; s++) {
        mmcl__train_side *side = &trainer->sides[s];
        if (side->workspace != NULL) {
            mmcl__workspace_begin(side->workspace, (size_t) trainer->options.batch);
        } else {
            const mmcl_encoder_rows rows = host_rows(trainer, side);
            if (mmcl__host_represent(side->encoder, &rows, side->out) != MMCL_OK)
                return mmcl__fail(trainer->context, MMCL_E_CALLBACK, "host encoder %s: represent failed at step %llu", s == 0 ? "x" : "t",
                                  (unsigned long long) trainer->state.step);
        }
    }
    return mmcl__parallel(trainer->context, lanes_of(&trainer->sides[0]) + lanes_of(&trainer->sides[1]), forward_task, trainer);
}

static mmcl_status contrast(mmcl_trainer *trainer, double *loss, double *scale_slope, double *bias_slope)
{
    const mmcl__train_side    *x = &trainer->sides[0], *t = &trainer->sides[1];
    size_t                     batch = (size_t) trainer->options.batch, steps = trainer->cells.pool / batch;
    const mmcl_matrix          rows[2] = {{.data = x->out, .rows = batch, .cols = x->outputs}, {.data = t->out, .rows = batch, .cols = t->outputs}};
    const mmcl_objective_input input   = {.struct_size = sizeof input, .x = &rows[0], .t = &rows[1], .groups = trainer->groups,
                                          .log_scale = trainer->state.log_scale, .bias = trainer->state.bias,
                                          .blocks = trainer->options.cell != 0 ? batch / trainer->options.cell : 0};
    const mmcl_objective_output output = {.struct_size = sizeof output, .dx = x->slope, .dt = t->slope, .dlog_scale = scale_slope,
                                          .dbias = bias_slope};
    mmcl_objective_info         info   = {.struct_size = sizeof info};
    mmcl_objective *objective = trainer->cells.pool > 0 ? trainer->anchored[trainer->state.step / steps % 2] : trainer->objective;
    mmcl_status     status    = mmcl__objective_evaluate(objective, &input, &output, &info);
    if (status == MMCL_E_NUMERIC || (status == MMCL_OK && !isfinite(info.loss)))
        return mmcl__fail(trainer->context, MMCL_E_NUMERIC, "the loss is not finite at step %llu; the encoders stand as before it",
                          (unsigned long long) trainer->state.step);
    *loss = info.loss;
    return status;
}

static mmcl_status backward(mmcl_trainer *trainer)
{
    for (int s = 0; s < 2; s++) {
        mmcl__train_side *side = &trainer->sides[s];
        if (side->workspace != NULL || side->frozen)
            continue;
        const mmcl_encoder_rows rows = host_rows(trainer, side);
        if (mmcl__host_learn(side->encoder, &rows, side->slope) != MMCL_OK)
            return mmcl__fail(trainer->context, MMCL_E_CALLBACK, "host encoder %s: learn failed at step %llu", s == 0 ? "x" : "t",
                              (unsigned long long) trainer->state.step);
    }
    MMCL__TRY(mmcl__parallel(trainer->context, lanes_of(&trainer->sides[0]) + lanes_of(&trainer->sides[1]), backward_task, trainer));
    return mmcl__parallel(trainer->context, chunks_of(&trainer->sides[0]) + chunks_of(&trainer->sides[1]), sum_task, trainer);
}

/* 2-norm of the gradient of all parameters here. */
static mmcl_status gradient_norm(const mmcl_trainer *trainer, double *norm)
{
    double square = 0;
    for (int s = 0; s < 2; s++) {
        const mmcl__train_side *side = &trainer->sides[s];
        for (size_t i = 0; side->gradient != NULL && !side->frozen && i < side->encoder->size; i++)
            square += (double) side->gradient[i] * (double) side->gradient[i];
    }
    *norm = sqrt(square);
    return isfinite(square) ? MMCL_OK
                            : mmcl__fail(trainer->context, MMCL_E_NUMERIC, "a gradient is not finite at step %llu; the encoders stand as before it",
                                         (unsigned long long) trainer->state.step);
}

static mmcl_status update_hosts(const mmcl_trainer *trainer, double rate)
{
    for (int s = 0; s < 2; s++) {
        const mmcl__train_side  *side = &trainer->sides[s];
        const mmcl_host_encoder *host = &side->encoder->host;
        if (side->workspace != NULL || side->frozen || host->update == NULL)
            continue;
        if (host->update(host->user, trainer->state.step, rate) != MMCL_OK)
            return mmcl__fail(trainer->context, MMCL_E_CALLBACK, "host encoder %s: update failed at step %llu", s == 0 ? "x" : "t",
                              (unsigned long long) trainer->state.step);
    }
    return MMCL_OK;
}

/* ------------------------------------------------------------------------------------------------------------ step --- */

static mmcl_status step(mmcl_trainer *trainer)
{
    mmcl__train_state *state = &trainer->state;
    double             loss = NAN, norm, scale_slope = 0, bias_slope = 0, rate = mmcl__train_rate(trainer);
    MMCL__TRY(draw_batch(trainer));
    MMCL__TRY(forward(trainer));
    MMCL__TRY(contrast(trainer, &loss, &scale_slope, &bias_slope));
    MMCL__TRY(backward(trainer));
    MMCL__TRY(gradient_norm(trainer, &norm));
    MMCL__TRY(update_hosts(trainer, rate));
    double clip = trainer->options.clip, factor = clip > 0 && norm > clip ? clip / norm : 1;
    for (int s = 0; s < 2; s++) /* here, not in tasks: an executor that fails half way would leave one side a step ahead */
        mmcl__train_update(trainer, &trainer->sides[s], rate, factor);
    for (int s = 0; s < 2; s++)
        if (trainer->sides[s].status != MMCL_OK)
            return mmcl__fail(trainer->context, trainer->sides[s].status, "a curvature factor of encoder %s is not positive at step %llu",
                              s == 0 ? "x" : "t", (unsigned long long) state->step);
    if (trainer->options.learn_scale)
        mmcl__train_update_scale(trainer, scale_slope, bias_slope, rate / trainer->options.rate);
    state->loss          = loss;
    state->smooth_loss   = isnan(state->smooth_loss) ? loss : 0.99 * state->smooth_loss + 0.01 * loss;
    state->gradient_norm = norm;
    state->rate          = rate;
    state->step++;
    return MMCL_OK;
}

void mmcl__trainer_info(const mmcl_trainer *trainer, mmcl_train_info *info)
{
    const mmcl__train_state *state = &trainer->state;
    *info = (mmcl_train_info){.struct_size = sizeof *info, .step = state->step, .loss = state->loss, .smooth_loss = state->smooth_loss,
                              .gradient_norm = state->gradient_norm, .rate = state->rate, .scale = exp(state->log_scale),
                              .bias = state->bias, .seconds_left = NAN, .epoch = mmcl__source_epoch(trainer, state->step)};
}

/* Asks the host's opinion where it is due; true in *stop when it has had enough. */
static void evaluate(const mmcl_trainer *trainer, const mmcl_train_info *info, bool *stop)
{
    const mmcl_trainer_options *options = &trainer->options;
    if (options->evaluate == NULL || options->evaluate_every == 0 || info->step % options->evaluate_every != 0)
        return;
    const mmcl_encoder *judged[2];
    for (int s = 0; s < 2; s++)
        judged[s] = trainer->sides[s].average != NULL ? trainer->sides[s].average : trainer->sides[s].encoder;
    *stop = options->evaluate(options->evaluate_user, info, judged[0], judged[1]) != 0;
}

static mmcl_status run(mmcl_trainer *trainer, mmcl__operation *operation, uint64_t until, mmcl_train_info *info)
{
    uint64_t first = trainer->state.step;
    double   began = mmcl__seconds();
    bool     stop  = false;
    mmcl__trainer_info(trainer, info);
    while (trainer->state.step < until && !stop) {
        MMCL__TRY(mmcl__tick(operation, trainer->state.step, trainer->state.smooth_loss));
        MMCL__TRY(step(trainer));
        mmcl__trainer_info(trainer, info);
        info->seconds      = mmcl__seconds() - began;
        info->seconds_left = info->seconds / (double) (info->step - first) * (double) (until - info->step);
        evaluate(trainer, info, &stop);
        info->stopped = stop;
        MMCL__TRY(mmcl__trainer_checkpoint(trainer));
    }
    return MMCL_OK;
}

mmcl_status mmcl__trainer_run(mmcl_trainer *trainer, uint64_t until, mmcl_train_info *info)
{
    mmcl__operation operation;
    mmcl__begin(&operation, trainer->context, "training", until);
    return mmcl__end(&operation, run(trainer, &operation, until, info));
}
