#include "classify/descent.h"

#include "classify/classify.h"
#include "linalg/convert.h"

#include <math.h>
#include <string.h>

/* ------------------------------------------------------------------------------------------------------- optimisers --- */

#define BETA1 0.9
#define BETA2 0.999
#define WARM_RATE 1e-5

mmcl_status mmcl__optimizer_open(mmcl__optimizer *optimizer, mmcl_context *context, const mmcl__rule *rule, size_t size)
{
    *optimizer = (mmcl__optimizer){.context = context, .rule = *rule, .size = size};
    optimizer->first  = mmcl__calloc(context, size, sizeof *optimizer->first);
    optimizer->second = mmcl__calloc(context, rule->adam ? size : 0, sizeof *optimizer->second);
    if (optimizer->first != NULL && optimizer->second != NULL)
        return MMCL_OK;
    mmcl__optimizer_close(optimizer);
    return MMCL_E_NOMEM;
}

void mmcl__optimizer_close(mmcl__optimizer *optimizer)
{
    mmcl_context *context = optimizer->context;
    mmcl__free(context, optimizer->first, optimizer->size, sizeof *optimizer->first);
    mmcl__free(context, optimizer->second, optimizer->rule.adam ? optimizer->size : 0, sizeof *optimizer->second);
    *optimizer = (mmcl__optimizer){.context = context};
}

static void adam(mmcl__optimizer *optimizer, double rate, const double *restrict gradient, double *restrict parameters)
{
    double step  = rate / (1 - pow(BETA1, (double) optimizer->steps));
    double whole = 1 / (1 - pow(BETA2, (double) optimizer->steps)), epsilon = optimizer->rule.epsilon;
    double *restrict first = optimizer->first, *restrict second = optimizer->second;
    for (size_t i = 0; i < optimizer->size; i++) {
        first[i]  = BETA1 * first[i] + (1 - BETA1) * gradient[i];
        second[i] = BETA2 * second[i] + (1 - BETA2) * gradient[i] * gradient[i];
        parameters[i] -= step * first[i] / (sqrt(whole * second[i]) + epsilon);
    }
}

static void sgd(mmcl__optimizer *optimizer, double rate, const double *restrict gradient, double *restrict parameters)
{
    double *restrict velocity = optimizer->first;
    for (size_t i = 0; i < optimizer->size; i++) {
        velocity[i] = optimizer->rule.momentum * velocity[i] + gradient[i];
        parameters[i] -= rate * velocity[i];
    }
}

void mmcl__optimizer_step(mmcl__optimizer *optimizer, double rate, double *gradient, double *parameters)
{
    const mmcl__rule *rule = &optimizer->rule;
    optimizer->steps++;
    for (size_t i = 0; i < optimizer->size && rule->decay > 0; i++)
        if (rule->decoupled)
            parameters[i] *= 1 - rate * rule->decay;
        else
            gradient[i] += rule->decay * parameters[i];
    if (rule->adam)
        adam(optimizer, rate, gradient, parameters);
    else
        sgd(optimizer, rate, gradient, parameters);
}

double mmcl__cosine_rate(double rate, uint64_t step, uint64_t steps)
{
    return 0.5 * rate * (1 + cos(M_PI * (double) step / (double) steps));
}

double mmcl__epoch_rate(double rate, uint64_t epoch, uint64_t epochs)
{
    return epoch == 0 ? WARM_RATE : mmcl__cosine_rate(rate, epoch - 1, epochs);
}

/* ----------------------------------------------------------------------------------------------------- minibatches --- */

mmcl_status mmcl__batches_open(mmcl__batches *batches, mmcl_context *context, size_t rows, size_t batch, bool drop, uint32_t seed)
{
    *batches = (mmcl__batches){.context = context, .rows = rows, .batch = MMCL__MIN(batch, rows), .at = rows, .drop = drop,
                               .whole = rows <= batch && !drop};
    mmcl__numpy_seed(&batches->rng, seed);
    batches->order   = mmcl__alloc(context, rows, sizeof *batches->order);
    batches->scratch = mmcl__alloc(context, rows, sizeof *batches->scratch);
    if (batches->order == NULL || batches->scratch == NULL) {
        mmcl__batches_close(batches);
        return MMCL_E_NOMEM;
    }
    for (size_t i = 0; i < rows; i++)
        batches->order[i] = i;
    return MMCL_OK;
}

void mmcl__batches_close(mmcl__batches *batches)
{
    mmcl__free(batches->context, batches->order, batches->rows, sizeof *batches->order);
    mmcl__free(batches->context, batches->scratch, batches->rows, sizeof *batches->scratch);
    batches->order = batches->scratch = NULL;
}

const size_t *mmcl__batches_next(mmcl__batches *batches, size_t *n)
{
    size_t needed = batches->drop ? batches->batch : 1;
    if (batches->at + needed > batches->rows) {
        if (!batches->whole)
            mmcl__numpy_choice(&batches->rng, batches->rows, batches->rows, batches->scratch, batches->order);
        batches->at = 0;
    }
    const size_t *picks = batches->order + batches->at;
    *n                  = MMCL__MIN(batches->batch, batches->rows - batches->at);
    batches->at += *n;
    return picks;
}

size_t mmcl__batches_count(const mmcl__batches *batches)
{
    return (batches->rows + batches->batch - 1) / batches->batch;
}

/* -------------------------------------------------------------------------------------------------------- gradient --- */

static mmcl_status open_batch(mmcl__descent *descent, const mmcl__adapt *adapt)
{
    const mmcl__rowset *train   = descent->train;
    mmcl_context       *context = descent->context;
    bool                whole   = descent->batches.whole;
    if (!whole) {
        descent->x      = mmcl__alloc(context, descent->batch * train->cols, sizeof *descent->x);
        descent->labels = mmcl__alloc(context, descent->batch, sizeof *descent->labels);
        if (descent->x == NULL || descent->labels == NULL)
            return MMCL_E_NOMEM;
    }
    MMCL__TRY(mmcl__softmax_open(&descent->softmax, context, descent->batch, train->cols, adapt->classes,
                                 whole ? train->x : descent->x, MMCL_PRECISION_F32, whole ? train->labels : descent->labels));
    descent->softmax.penalty = 0;
    return MMCL_OK;
}

mmcl_status mmcl__descent_open(mmcl__descent *descent, const mmcl__adapt *adapt, size_t batch)
{
    const mmcl__rowset *train = &adapt->train;
    *descent = (mmcl__descent){.context = adapt->context, .train = train, .batch = MMCL__MIN(batch, train->rows),
                               .precision = adapt->options->precision};
    MMCL__TRY(mmcl__batches_open(&descent->batches, adapt->context, train->rows, batch, false, (uint32_t) adapt->options->seed));
    mmcl_status status = open_batch(descent, adapt);
    if (status != MMCL_OK)
        mmcl__descent_close(descent);
    return status;
}

void mmcl__descent_close(mmcl__descent *descent)
{
    mmcl_context *context = descent->context;
    if (descent->softmax.context != NULL)
        mmcl__softmax_close(&descent->softmax);
    mmcl__free(context, descent->x, descent->batch * descent->train->cols, sizeof *descent->x);
    mmcl__free(context, descent->labels, descent->batch, sizeof *descent->labels);
    mmcl__batches_close(&descent->batches);
    descent->x      = NULL;
    descent->labels = NULL;
}

static void gather(mmcl__descent *descent, const size_t *picks, size_t n)
{
    const mmcl__rowset *train = descent->train;
    for (size_t i = 0; i < n; i++) {
        memcpy(descent->x + i * train->cols, train->x + picks[i] * train->cols, train->cols * sizeof *train->x);
        descent->labels[i] = train->labels[picks[i]];
    }
    mmcl__softmax_limit(&descent->softmax, n);
}

static mmcl_status diverged(mmcl_context *context)
{
    return mmcl__fail(context, MMCL_E_NUMERIC, "the training diverges: the learning rate is too high");
}

mmcl_status mmcl__descent_gradient(mmcl__descent *descent, const double *parameters, double *gradient, double *loss)
{
    mmcl__softmax_value value;
    size_t              n;
    const size_t       *picks = mmcl__batches_next(&descent->batches, &n);
    if (descent->x != NULL)
        gather(descent, picks, n);
    MMCL__TRY(mmcl__softmax_pass(&descent->softmax, descent->precision, 1 / (double) n, parameters, gradient, &value));
    *loss = value.objective;
    return isfinite(*loss) ? MMCL_OK : diverged(descent->context);
}

/* ------------------------------------------------------------------------------------------------------- best epoch --- */

static size_t parameters_of(const mmcl__adapt *adapt)
{
    return adapt->classes * (adapt->cols + 1);
}

mmcl_status mmcl__keeper_open(mmcl__keeper *keeper, mmcl__adapt *adapt, bool judge)
{
    *keeper = (mmcl__keeper){.adapt = adapt, .judge = judge && adapt->val.rows > 0, .accuracy = -1};
    keeper->best = mmcl__calloc(adapt->context, parameters_of(adapt), sizeof *keeper->best);
    return keeper->best != NULL ? MMCL_OK : MMCL_E_NOMEM;
}

void mmcl__keeper_close(mmcl__keeper *keeper)
{
    mmcl__free(keeper->adapt->context, keeper->best, parameters_of(keeper->adapt), sizeof *keeper->best);
    keeper->best = NULL;
}

mmcl_status mmcl__keeper_offer(mmcl__keeper *keeper, const double *parameters, uint64_t epoch)
{
    const mmcl__adapt *adapt    = keeper->adapt;
    double             accuracy = keeper->accuracy;
    if (!mmcl__convert()->finite_f64(parameters_of(adapt), parameters))
        return diverged(adapt->context);
    if (keeper->judge)
        MMCL__TRY(mmcl__adapt_judge(adapt, parameters, parameters + adapt->classes * adapt->cols, &accuracy));
    bool better = !keeper->judge || accuracy > keeper->accuracy || (keeper->last_wins && accuracy == keeper->accuracy);
    if (!better)
        return MMCL_OK;
    memcpy(keeper->best, parameters, parameters_of(adapt) * sizeof *parameters);
    keeper->accuracy = accuracy;
    keeper->epoch    = epoch;
    return MMCL_OK;
}
