/* From the gradients of a step to new parameters. */
#include "train/trainer.h"

#include "linalg/blas.h"

#include <math.h>
#include <string.h>

/* ------------------------------------------------------------------------------------------------- completing work --- */

struct complete {
    mmcl__task     task;
    void          *argument;
    unsigned char *done;
};

static void complete_task(void *argument, size_t i, uint32_t worker)
{
    struct complete *c = argument;
    c->task(c->argument, i, worker);
    c->done[i] = 1;
}

mmcl_status mmcl__complete(mmcl_trainer *trainer, size_t n, mmcl__task task, void *argument)
{
    struct complete complete = {.task = task, .argument = argument, .done = trainer->done};
    assert(n <= trainer->n_done);
    memset(trainer->done, 0, n);
    mmcl_status status = mmcl__parallel(trainer->context, n, complete_task, &complete);
    for (size_t i = 0; i < n && status != MMCL_OK; i++)
        if (!trainer->done[i])
            task(argument, i, 0);
    return status;
}

/* -------------------------------------------------------------------------------------------------------- gradients --- */

static void sum_task(void *argument, size_t i, uint32_t worker)
{
    mmcl_trainer      *trainer = argument;
    const mmcl__piece *piece   = &trainer->pieces[i];
    mmcl__side        *side    = &trainer->sides[piece->side];
    (void) worker;
    mmcl__workspace_sum(side->workspace, piece->first, piece->count, side->gradient + piece->first);
    trainer->squares[i] = mmcl__update()->squares(piece->count, side->gradient + piece->first);
}

mmcl_status mmcl__gradients_sum(mmcl_trainer *trainer, double *square)
{
    *square = 0;
    MMCL__TRY(mmcl__parallel(trainer->context, trainer->n_pieces, sum_task, trainer));
    for (size_t i = 0; i < trainer->n_pieces; i++)
        *square += trainer->squares[i];
    return MMCL_OK;
}

/* ---------------------------------------------------------------------------------------------------------- schedule --- */

double mmcl__schedule(const mmcl_trainer_options *options, uint64_t step)
{
    const double pi = 3.14159265358979323846;
    if (step < options->warmup)
        return (double) (step + 1) / (double) options->warmup;
    if (options->steps == 0)
        return 1;
    if (step >= options->steps)
        return options->floor;
    double way = (double) (step - options->warmup) / (double) (options->steps - options->warmup);
    return options->floor + (1 - options->floor) * 0.5 * (1 + cos(pi * way));
}

/* ----------------------------------------------------------------------------------------------------------- updates --- */

struct apply {
    mmcl_trainer *trainer;
    double        clip, part; /* part of the new parameters in the average */
    double        relative;   /* of the rate, by the schedule */
};

/*
 * Adam as Kingma and Ba (2015) rearrange it: p -= rate / (1 - b1^k) m / (sqrt(v / (1 - b2^k)) + epsilon), k counting from 1. Decay is
 * decoupled: p -= rate decay p.
 */
static void adam(const struct apply *apply, const mmcl__piece *piece, double rate)
{
    const mmcl_trainer_options *options = &apply->trainer->options;
    mmcl__side                 *side    = &apply->trainer->sides[piece->side];
    double                      k = (double) apply->trainer->step + 1, b1 = options->beta1, b2 = options->beta2;
    double                      shrink = piece->decays ? rate * options->decay : 0;
    size_t                      at     = piece->first;
    mmcl__update()->adam(piece->count, (float) apply->clip, (float) b1, (float) b2, (float) (rate / (1 - pow(b1, k))),
                         (float) (1 / sqrt(1 - pow(b2, k))), (float) options->epsilon, (float) shrink, side->gradient + at,
                         side->first + at, side->second + at, side->encoder->parameters + at);
}

static void apply_task(void *argument, size_t i, uint32_t worker)
{
    const struct apply         *apply   = argument;
    mmcl_trainer               *trainer = apply->trainer;
    const mmcl_trainer_options *options = &trainer->options;
    const mmcl__piece          *piece   = &trainer->pieces[i];
    mmcl__side                 *side    = &trainer->sides[piece->side];
    size_t                      at      = piece->first;
    double                      rate    = options->rate * apply->relative;
    (void) worker;
    if (options->optimizer == MMCL_OPTIMIZER_ADAM)
        adam(apply, piece, rate);
    else if (options->optimizer == MMCL_OPTIMIZER_KFAC && !piece->layer)
        adam(apply, piece, options->scale_rate * apply->relative);
    else /* K-FAC's directions have been clipped already */
        mmcl__update()->momentum(piece->count, options->optimizer == MMCL_OPTIMIZER_KFAC ? 1 : (float) apply->clip,
                                 (float) options->beta1, (float) rate, piece->decays ? (float) (rate * options->decay) : 0,
                                 side->gradient + at, side->first + at, side->encoder->parameters + at);
    if (side->average != NULL)
        mmcl__update()->blend(piece->count, (float) apply->part, side->encoder->parameters + at, side->average->parameters + at);
}

mmcl_status mmcl__update_apply(mmcl_trainer *trainer, double clip)
{
    const mmcl_trainer_options *options = &trainer->options;
    double                      k       = (double) trainer->step + 1;
    /* early on the average forgets faster, so that the start does not linger: keep at most k / (k + 9) */
    struct apply apply = {.trainer  = trainer,
                          .clip     = clip,
                          .part     = 1 - fmin(options->average, k / (k + 9)),
                          .relative = mmcl__schedule(options, trainer->step)};
    mmcl_status  first = options->optimizer == MMCL_OPTIMIZER_KFAC ? mmcl__kfac_apply(trainer, clip) : MMCL_OK;
    mmcl_status  then  = mmcl__complete(trainer, trainer->n_pieces, apply_task, &apply);
    return first != MMCL_OK ? first : then;
}
