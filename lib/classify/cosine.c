#include "classify/cosine.h"

#include "linalg/blas.h"

#include <math.h>
#include <string.h>

/* State of a training. */
struct run {
    const mmcl__cosine *training;
    size_t              weights; /* classes * cols */
    mmcl__descent       descent;
    mmcl__optimizer     optimizer;
    mmcl__keeper        keeper;
    double             *parameters; /* [weights + classes] scaled unit weights; intercepts 0 */
    double             *gradient;   /* the same size */
    double              loss;
};

/* parameters = logit_scale (base + share z) at unit length. */
static void effective(const struct run *run)
{
    const mmcl__cosine *training = run->training;
    const mmcl__adapt  *adapt    = training->adapt;
    size_t              d        = adapt->cols;
    for (size_t k = 0; k < adapt->classes; k++) {
        double       *w = run->parameters + k * d;
        const double *z = training->z + k * d;
        for (size_t j = 0; j < d; j++)
            w[j] = (training->base != NULL ? training->base[k * d + j] : 0) + training->share * z[j];
        double length = sqrt(mmcl__dot_f64(d, w, w));
        mmcl__scale_f64(d, length != 0 ? adapt->options->logit_scale / length : 0, w);
    }
}

/* The gradient of z from that of v = s u, u = w / |w|: share s / |w| (g - u (u . g)). */
static void pull_back(const struct run *run)
{
    const mmcl__cosine *training = run->training;
    const mmcl__adapt  *adapt    = training->adapt;
    size_t              d        = adapt->cols;
    double              s        = adapt->options->logit_scale;
    for (size_t k = 0; k < adapt->classes; k++) {
        const double *v = run->parameters + k * d, *z = training->z + k * d;
        double       *g = run->gradient + k * d, length = 0;
        for (size_t j = 0; j < d; j++) {
            double w = (training->base != NULL ? training->base[k * d + j] : 0) + training->share * z[j];
            length += w * w;
        }
        mmcl__axpy_f64(d, -mmcl__dot_f64(d, v, g) / (s * s), v, g);
        mmcl__scale_f64(d, length != 0 ? training->share * s / sqrt(length) : 0, g);
    }
}

static mmcl_status step(struct run *run, double rate)
{
    const mmcl__cosine *training = run->training;
    effective(run);
    MMCL__TRY(mmcl__descent_gradient(&run->descent, run->parameters, run->gradient, &run->loss));
    pull_back(run);
    if (training->penalty != NULL)
        training->penalty(training->user, training->z, run->gradient, &run->loss);
    mmcl__optimizer_step(&run->optimizer, rate, run->gradient, training->z);
    return MMCL_OK;
}

static mmcl_status epochs(struct run *run, mmcl__operation *operation)
{
    const mmcl__cosine *training = run->training;
    size_t              steps    = mmcl__batches_count(&run->descent.batches);
    for (uint64_t epoch = 0; epoch < training->epochs; epoch++) {
        double sum = 0;
        for (size_t i = 0; i < steps; i++) {
            MMCL__TRY(step(run, mmcl__epoch_rate(training->rate, epoch, training->epochs)));
            sum += run->loss;
        }
        if (training->after_epoch != NULL)
            training->after_epoch(training->user, training->z);
        run->loss = sum / (double) steps;
        if (run->keeper.judge || epoch + 1 == training->epochs) {
            effective(run);
            MMCL__TRY(mmcl__keeper_offer(&run->keeper, run->parameters, epoch + 1));
        }
        MMCL__TRY(mmcl__tick(operation, epoch + 1, run->loss));
    }
    return MMCL_OK;
}

static mmcl_status open(struct run *run)
{
    const mmcl__cosine *training = run->training;
    mmcl__adapt        *adapt    = training->adapt;
    MMCL__TRY(mmcl__descent_open(&run->descent, adapt, (size_t) MMCL__MIN(training->batch, SIZE_MAX)));
    MMCL__TRY(mmcl__optimizer_open(&run->optimizer, adapt->context, &training->rule, run->weights));
    MMCL__TRY(mmcl__keeper_open(&run->keeper, adapt, training->judge));
    run->parameters = mmcl__calloc(adapt->context, run->weights + adapt->classes, sizeof *run->parameters);
    run->gradient   = mmcl__calloc(adapt->context, run->weights + adapt->classes, sizeof *run->gradient);
    return run->parameters != NULL && run->gradient != NULL ? MMCL_OK : MMCL_E_NOMEM;
}

static void release(struct run *run)
{
    const mmcl__adapt *adapt = run->training->adapt;
    mmcl__free(adapt->context, run->parameters, run->weights + adapt->classes, sizeof *run->parameters);
    mmcl__free(adapt->context, run->gradient, run->weights + adapt->classes, sizeof *run->gradient);
    mmcl__keeper_close(&run->keeper);
    mmcl__optimizer_close(&run->optimizer);
    mmcl__descent_close(&run->descent);
}

static void report(const struct run *run)
{
    const mmcl__cosine *training = run->training;
    mmcl_adapt_info    *info     = training->adapt->info;
    info->learning_rate          = training->rate;
    info->weight_decay           = training->rule.decay;
    info->objective              = run->loss;
    info->epoch                  = run->keeper.epoch;
    info->iterations             = run->optimizer.steps;
    info->stop                   = MMCL_STOP_ITERATIONS;
    info->flags |= run->keeper.judge ? MMCL_ADAPT_EPOCH_ON_VAL : 0;
}

mmcl_status mmcl__cosine_train(const mmcl__cosine *training, double *weights)
{
    mmcl__adapt    *adapt = training->adapt;
    struct run      run   = {.training = training, .weights = adapt->classes * adapt->cols,
                             .descent = {.context = adapt->context, .train = &adapt->train},
                             .optimizer = {.context = adapt->context}, .keeper = {.adapt = adapt}};
    mmcl__operation operation;
    mmcl__begin(&operation, adapt->context, "gradient descent", training->epochs);
    mmcl_status status = open(&run);
    if (status == MMCL_OK)
        status = epochs(&run, &operation);
    if (status == MMCL_OK) {
        memcpy(weights, run.keeper.best, (run.weights + adapt->classes) * sizeof *weights);
        report(&run);
    }
    release(&run);
    return mmcl__end(&operation, status);
}

/* ---------------------------------------------------------------------------------------------------------- heads --- */

void mmcl__cosine_options(mmcl__cosine *training)
{
    const mmcl_adapt_options *options = training->adapt->options;
    training->epochs     = mmcl__or(options->epochs, training->epochs);
    training->batch      = mmcl__or(options->batch, training->batch);
    training->rate       = options->learning_rate > 0 ? options->learning_rate : training->rate;
    training->rule.decay = options->weight_decay > 0 ? options->weight_decay : training->rule.decay;
}

mmcl__cosine mmcl__cosine_sgd(mmcl__adapt *adapt, double *z)
{
    mmcl__cosine training = {.adapt = adapt, .share = 1, .z = z, .rule = {.momentum = 0.9, .decay = 5e-4}, .rate = 1e-3, .epochs = 300,
                             .batch = 256};
    mmcl__cosine_options(&training);
    return training;
}

mmcl_status mmcl__cosine_head(const mmcl__cosine *training, mmcl_classifier **out)
{
    const mmcl__adapt *adapt   = training->adapt;
    size_t             weights = adapt->classes * adapt->cols;
    double            *trained = mmcl__alloc(adapt->context, weights + adapt->classes, sizeof *trained);
    if (trained == NULL)
        return MMCL_E_NOMEM;
    mmcl_status status = mmcl__cosine_train(training, trained);
    if (status == MMCL_OK)
        status = mmcl__adapt_linear(adapt, trained, NULL, out);
    mmcl__free(adapt->context, trained, weights + adapt->classes, sizeof *trained);
    return status;
}
