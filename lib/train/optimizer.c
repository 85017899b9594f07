/* Adam (Kingma and Ba 2015) with decoupled weight decay (Loshchilov and Hutter 2019), K-FAC with momentum, the schedule, averages. */
#include "train/trainer.h"

#include <math.h>

double mmcl__train_rate(const mmcl_trainer *trainer)
{
    const mmcl_trainer_options *options = &trainer->options;
    double                      step = (double) trainer->state.step, warmup = (double) options->warmup;
    if (step < warmup)
        return options->rate * (step + 1) / warmup;
    if (options->steps == 0)
        return options->rate;
    double length = fmax((double) options->steps - warmup, 1), done = fmin((step - warmup) / length, 1);
    return options->rate * (options->floor + (1 - options->floor) * 0.5 * (1 + cos(M_PI * done)));
}

/* Shrinks weight matrices; biases and geometries are left alone. */
static void decay(const mmcl_encoder *encoder, double share)
{
    for (size_t i = 0; i < encoder->n_tensors && share > 0; i++) {
        const mmcl__tensor *tensor = &encoder->tensors[i];
        float              *at     = encoder->parameters + tensor->offset;
        for (size_t j = 0; tensor->decays && j < tensor->rows * tensor->cols; j++)
            at[j] -= (float) share * at[j];
    }
}

/* Moments with their bias corrected at step t, from 1. */
static void adam(const mmcl_trainer_options *options, uint64_t t, size_t n, const float *gradient, double factor, double rate,
                 float *restrict first, float *restrict second, float *restrict parameters)
{
    float beta1 = (float) options->beta1, beta2 = (float) options->beta2, scale = (float) factor, epsilon = (float) options->epsilon;
    float step  = (float) (rate / (1 - pow(options->beta1, (double) t)));
    float whole = (float) (1 / (1 - pow(options->beta2, (double) t)));
    for (size_t i = 0; i < n; i++) {
        float g   = scale * gradient[i];
        first[i]  = beta1 * first[i] + (1 - beta1) * g;
        second[i] = beta2 * second[i] + (1 - beta2) * g * g;
        parameters[i] -= step * first[i] / (sqrtf(whole * second[i]) + epsilon);
    }
}

static mmcl_status kfac(const mmcl_trainer *trainer, mmcl__train_side *side, double rate, double factor)
{
    const mmcl_trainer_options *options = &trainer->options;
    const mmcl_encoder         *encoder = side->encoder;
    uint64_t                    step    = trainer->state.step;
    mmcl__kfac_average(&side->kfac, side->workspace, fmin(options->factor_decay, (double) step / (double) (step + 1)));
    if (step % options->refresh == 0 || (step < options->refresh && (step & (step - 1)) == 0)) /* early factors change fast */
        MMCL__TRY(mmcl__kfac_refresh(&side->kfac, options->damping));
    double along = rate * rate * mmcl__kfac_precondition(&side->kfac, side->gradient), trust = options->trust;
    float  beta = (float) options->beta1, share = (1 - beta) * (float) (factor * (along > trust ? sqrt(trust / along) : 1));
    for (size_t i = 0; i < mmcl__encoder_trainable(encoder); i++) {
        side->first[i] = beta * side->first[i] + share * side->gradient[i];
        encoder->parameters[i] -= (float) rate * side->first[i];
    }
    return MMCL_OK;
}

/* The averages follow closely at first, when there is little to average. */
static void average(const mmcl_trainer *trainer, mmcl__train_side *side)
{
    double step = (double) trainer->state.step, keep = fmin(trainer->options.average, (1 + step) / (10 + step));
    float *mean = side->average->parameters;
    for (size_t i = 0; i < mmcl__encoder_trainable(side->encoder); i++)
        mean[i] = (float) keep * mean[i] + (float) (1 - keep) * side->encoder->parameters[i];
}

void mmcl__train_update(const mmcl_trainer *trainer, mmcl__train_side *side, double rate, double factor)
{
    const mmcl_trainer_options *options = &trainer->options;
    const mmcl_encoder         *encoder = side->encoder;
    side->status                        = MMCL_OK;
    if (!side->frozen && side->workspace != NULL) {
        decay(encoder, rate * options->decay);
        if (options->optimizer == MMCL_OPTIMIZER_KFAC)
            side->status = kfac(trainer, side, rate, factor);
        else
            adam(options, trainer->state.step + 1, mmcl__encoder_trainable(encoder), side->gradient, factor, rate, side->first, side->second,
                 encoder->parameters);
    }
    if (side->average != NULL)
        average(trainer, side);
}

void mmcl__train_update_scale(mmcl_trainer *trainer, double slope, double bias_slope, double factor)
{
    const double       slopes[2] = {slope, bias_slope}, beta1 = 0.9, beta2 = 0.99, t = (double) trainer->state.step + 1;
    mmcl__train_state *state = &trainer->state;
    double            *values[2] = {&state->log_scale, &state->bias};
    for (int i = 0; i < 2; i++) {
        state->scale_first[i]  = beta1 * state->scale_first[i] + (1 - beta1) * slopes[i];
        state->scale_second[i] = beta2 * state->scale_second[i] + (1 - beta2) * slopes[i] * slopes[i];
        double first = state->scale_first[i] / (1 - pow(beta1, t)), second = state->scale_second[i] / (1 - pow(beta2, t));
        *values[i] -= trainer->options.scale_rate * factor * first / (sqrt(second) + 1e-8);
    }
}
