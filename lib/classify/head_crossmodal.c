/*
 * Cross-modal linear probe (Lin et al., CVPR 2023): every step takes as many prompts as shots, with class weights that start from the text. Rate,
 * decay and batch are the first best on val, epoch included; without val the first of each and the last epoch.
 */
#include "classify/descent.h"

#include "linalg/blas.h"

#include <math.h>
#include <string.h>

#define EPOCH_STEPS 100
#define EPOCHS 128
#define WARM_STEPS 50
#define WARM_RATE 1e-5

static const double   rates[]   = {1e-3, 1e-4}, decays[] = {0, 0.01, 1e-4};
static const uint64_t batches[] = {8, 32};

/* One training of the grid. */
struct crossmodal {
    mmcl__adapt    *adapt;
    size_t          weights, batch; /* rows of a step */
    double          rate, decay;
    mmcl__batches   shots, prompts;
    mmcl__softmax   softmax;
    mmcl__optimizer optimizer;
    mmcl__keeper   *keeper;
    float          *x;              /* [batch, cols] */
    int32_t        *labels;         /* [batch] */
    double         *w, *scaled, *gradient; /* [weights + classes] */
    double          loss;
};

static mmcl_status open(struct crossmodal *run, size_t half)
{
    mmcl__adapt     *adapt = run->adapt;
    mmcl_context    *context = adapt->context;
    const mmcl__rule rule    = {.adam = true, .decoupled = true, .epsilon = 1e-8, .decay = run->decay};
    uint32_t         seed    = (uint32_t) adapt->options->seed;
    run->batch               = MMCL__MIN(half, adapt->train.rows) + MMCL__MIN(half, adapt->prompts.rows);
    MMCL__TRY(mmcl__batches_open(&run->shots, context, adapt->train.rows, half, true, seed));
    MMCL__TRY(mmcl__batches_open(&run->prompts, context, adapt->prompts.rows, half, true, seed + 1));
    MMCL__TRY(mmcl__optimizer_open(&run->optimizer, context, &rule, run->weights));
    run->x      = mmcl__alloc(context, run->batch * adapt->cols, sizeof *run->x);
    run->labels = mmcl__alloc(context, run->batch, sizeof *run->labels);
    run->w      = mmcl__calloc(context, 3 * (run->weights + adapt->classes), sizeof *run->w);
    if (run->x == NULL || run->labels == NULL || run->w == NULL)
        return MMCL_E_NOMEM;
    run->scaled   = run->w + run->weights + adapt->classes;
    run->gradient = run->scaled + run->weights + adapt->classes;
    memcpy(run->w, adapt->text, run->weights * sizeof *run->w);
    MMCL__TRY(mmcl__softmax_open(&run->softmax, context, run->batch, adapt->cols, adapt->classes, run->x, MMCL_PRECISION_F32, run->labels));
    run->softmax.penalty = 0;
    return MMCL_OK;
}

static void release(struct crossmodal *run)
{
    mmcl__adapt  *adapt   = run->adapt;
    mmcl_context *context = adapt->context;
    if (run->softmax.context != NULL)
        mmcl__softmax_close(&run->softmax);
    mmcl__optimizer_close(&run->optimizer);
    mmcl__free(context, run->x, run->batch * adapt->cols, sizeof *run->x);
    mmcl__free(context, run->labels, run->batch, sizeof *run->labels);
    mmcl__free(context, run->w, 3 * (run->weights + adapt->classes), sizeof *run->w);
    mmcl__batches_close(&run->prompts);
    mmcl__batches_close(&run->shots);
}

/* The next rows of one side, behind the `at` that are there; returns how many there are then. */
static size_t gather(struct crossmodal *run, mmcl__batches *side, const mmcl__rowset *from, size_t at)
{
    size_t        n, d = from->cols;
    const size_t *picks = mmcl__batches_next(side, &n);
    for (size_t i = 0; i < n; i++) {
        memcpy(run->x + (at + i) * d, from->x + picks[i] * d, d * sizeof *run->x);
        run->labels[at + i] = from->labels[picks[i]];
    }
    return at + n;
}

static double rate_of(double rate, uint64_t step, uint64_t steps)
{
    if (step < WARM_STEPS)
        return step == 0 ? WARM_RATE : rate * (double) step / WARM_STEPS;
    return mmcl__cosine_rate(rate, step - WARM_STEPS, steps);
}

static void scale(struct crossmodal *run)
{
    memcpy(run->scaled, run->w, run->weights * sizeof *run->w);
    mmcl__scale_f64(run->weights, run->adapt->options->logit_scale, run->scaled);
}

static mmcl_status step(struct crossmodal *run, double rate)
{
    mmcl__adapt        *adapt = run->adapt;
    mmcl__softmax_value value;
    size_t n = gather(run, &run->prompts, &adapt->prompts, gather(run, &run->shots, &adapt->train, 0));
    scale(run);
    MMCL__TRY(mmcl__softmax_pass(&run->softmax, adapt->options->precision, 1 / (double) n, run->scaled, run->gradient, &value));
    run->loss = value.objective;
    mmcl__scale_f64(run->weights, adapt->options->logit_scale, run->gradient);
    mmcl__optimizer_step(&run->optimizer, rate, run->gradient, run->w);
    return MMCL_OK;
}

/* Notes what the keeper's weights come from when they are this run's. */
static mmcl_status offer(struct crossmodal *run, uint64_t epoch)
{
    mmcl_adapt_info *info   = run->adapt->info;
    double           before = run->keeper->accuracy;
    scale(run);
    MMCL__TRY(mmcl__keeper_offer(run->keeper, run->scaled, epoch));
    if (run->keeper->judge && run->keeper->accuracy == before)
        return MMCL_OK;
    info->learning_rate = run->rate;
    info->weight_decay  = run->decay;
    info->objective     = run->loss;
    info->epoch         = epoch;
    return MMCL_OK;
}

static mmcl_status train(struct crossmodal *run, uint64_t epochs)
{
    mmcl__operation operation;
    mmcl_status     status = MMCL_OK;
    mmcl__begin(&operation, run->adapt->context, "gradient descent", epochs);
    for (uint64_t epoch = 0; epoch < epochs && status == MMCL_OK; epoch++) {
        for (uint64_t i = 0; i < EPOCH_STEPS && status == MMCL_OK; i++)
            status = step(run, rate_of(run->rate, epoch * EPOCH_STEPS + i, epochs * EPOCH_STEPS));
        if (status == MMCL_OK && (run->keeper->judge || epoch + 1 == epochs))
            status = offer(run, epoch + 1);
        if (status == MMCL_OK)
            status = mmcl__tick(&operation, epoch + 1, run->loss);
    }
    run->adapt->info->iterations += run->optimizer.steps;
    return mmcl__end(&operation, status);
}

static mmcl_status try_one(mmcl__adapt *adapt, mmcl__keeper *keeper, double rate, double decay, uint64_t batch)
{
    mmcl_context     *context = adapt->context;
    struct crossmodal run     = {.adapt = adapt, .weights = adapt->classes * adapt->cols, .rate = rate, .decay = decay, .keeper = keeper,
                                 .shots = {.context = context}, .prompts = {.context = context}, .optimizer = {.context = context}};
    mmcl_status status = open(&run, (size_t) MMCL__MAX(batch / 2, 1));
    if (status == MMCL_OK)
        status = train(&run, mmcl__or(adapt->options->epochs, EPOCHS));
    release(&run);
    return status;
}

/* The grid without what the options fix; its first point alone where nothing judges. */
static mmcl_status try_all(mmcl__adapt *adapt, mmcl__keeper *keeper)
{
    const mmcl_adapt_options *given = adapt->options;
    size_t n_rates = given->learning_rate > 0 || !keeper->judge ? 1 : 2, n_decays = given->weight_decay > 0 || !keeper->judge ? 1 : 3;
    size_t n_batches = given->batch > 0 || !keeper->judge ? 1 : 2;
    for (size_t r = 0; r < n_rates; r++)
        for (size_t d = 0; d < n_decays; d++)
            for (size_t b = 0; b < n_batches; b++)
                MMCL__TRY(try_one(adapt, keeper, given->learning_rate > 0 ? given->learning_rate : rates[r],
                                  given->weight_decay > 0 ? given->weight_decay : decays[d], given->batch > 0 ? given->batch : batches[b]));
    adapt->info->stop = MMCL_STOP_ITERATIONS;
    adapt->info->flags |= keeper->judge ? MMCL_ADAPT_EPOCH_ON_VAL : 0;
    adapt->info->flags |= n_rates * n_decays * n_batches > 1 ? MMCL_ADAPT_PARAMETERS_ON_VAL : 0;
    return MMCL_OK;
}

mmcl_status mmcl__head_crossmodal(mmcl__adapt *adapt, mmcl_classifier **out)
{
    mmcl__keeper keeper;
    MMCL__TRY(mmcl__keeper_open(&keeper, adapt, true));
    mmcl_status status = try_all(adapt, &keeper);
    if (status == MMCL_OK)
        status = mmcl__adapt_linear(adapt, keeper.best, NULL, out);
    mmcl__keeper_close(&keeper);
    return status;
}
