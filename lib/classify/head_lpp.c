/*
 * LP++ (Huang et al., CVPR 2024): scores x . (w_k + alpha_k t_k) + b_k without a temperature. w starts from the class sums, b from 0 and alpha from
 * 250 times the mean over classes of the mean x . t_k of their shots. Full-batch SGD with momentum at a rate of 4 rows / lambda_max(X^T X);
 * alpha follows every tenth epoch at rows / (4 max_k sum_i (x_i . t_k)^2). Under MMCL_PROTOCOL_PAPER alpha's gradient piles up over all epochs
 * and the last of equally good epochs is kept, as in the authors' program.
 */
#include "classify/descent.h"

#include "linalg/blas.h"

#include <math.h>
#include <string.h>

#define EPOCHS 300
#define ALPHA_EVERY 10

struct lpp {
    mmcl__adapt    *adapt;
    size_t          weights;
    bool            paper;
    mmcl__descent   descent;
    mmcl__optimizer optimizer;
    mmcl__keeper    keeper;
    double         *parameters; /* [weights + classes] w, b */
    double         *joined;     /* the same with w + alpha t */
    double         *gradient;   /* the same size */
    double         *alpha, *alpha_gradient; /* [classes] */
    double          rate, alpha_rate, loss;
};

/* ------------------------------------------------------------------------------------------------------------ start --- */

/* Sums of x . t_k over all rows, squared, and over the class's own shots; w = class sums. */
static void visit_rows(struct lpp *lpp, double *squares, double *own, double *shots)
{
    const mmcl__rowset *train = &lpp->adapt->train;
    size_t              d     = train->cols;
    for (size_t i = 0; i < train->rows; i++) {
        const float *x = train->x + i * d;
        size_t       y = (size_t) train->labels[i];
        shots[y]++;
        for (size_t j = 0; j < d; j++)
            lpp->parameters[y * d + j] += (double) x[j];
        for (size_t k = 0; k < lpp->adapt->classes; k++) {
            double product = mmcl__softmax_kernel()->dot(d, x, lpp->adapt->text + k * d);
            squares[k] += product * product;
            own[k] += k == y ? product : 0;
        }
    }
}

/* Largest eigenvalue of X^T X, or of X X^T where that is smaller. */
static mmcl_status largest_eigenvalue(const mmcl__adapt *adapt, double *value)
{
    const mmcl__rowset *train = &adapt->train;
    size_t              n = train->rows, d = train->cols, size = MMCL__MIN(n, d);
    double             *wide = mmcl__alloc(adapt->context, n * d, sizeof *wide), *gram = mmcl__calloc(adapt->context, size * size, sizeof *gram);
    double             *values = mmcl__alloc(adapt->context, size, sizeof *values);
    mmcl_status         status = wide != NULL && gram != NULL && values != NULL ? MMCL_OK : MMCL_E_NOMEM;
    if (status == MMCL_OK) {
        for (size_t i = 0; i < n * d; i++)
            wide[i] = (double) train->x[i];
        mmcl__gemm_f64(n > d, n <= d, size, size, MMCL__MAX(n, d), 1, wide, d, wide, d, 0, gram, size);
        status = mmcl__eigsym(adapt->context, size, gram, values);
    }
    if (status == MMCL_OK)
        *value = values[0];
    mmcl__free(adapt->context, wide, n * d, sizeof *wide);
    mmcl__free(adapt->context, gram, size * size, sizeof *gram);
    mmcl__free(adapt->context, values, size, sizeof *values);
    return status;
}

/* `scratch` [3 classes], zero. */
static mmcl_status start(struct lpp *lpp, double *scratch)
{
    const mmcl__adapt *adapt   = lpp->adapt;
    size_t             classes = adapt->classes;
    double            *squares = scratch, *own = scratch + classes, *shots = own + classes, top = 0, mean = 0, largest;
    visit_rows(lpp, squares, own, shots);
    for (size_t k = 0; k < classes; k++) {
        top = fmax(top, squares[k]);
        mean += own[k] / shots[k] / (double) classes;
    }
    for (size_t k = 0; k < classes; k++)
        lpp->alpha[k] = 250 * mean;
    MMCL__TRY(largest_eigenvalue(adapt, &largest));
    double given    = adapt->options->learning_rate;
    lpp->rate       = given > 0 ? given : 4 * (double) adapt->train.rows / largest;
    lpp->alpha_rate = (double) adapt->train.rows / (4 * top);
    return MMCL_OK;
}

/* --------------------------------------------------------------------------------------------------------- training --- */

static void join(const struct lpp *lpp)
{
    size_t d = lpp->adapt->cols;
    memcpy(lpp->joined, lpp->parameters, (lpp->weights + lpp->adapt->classes) * sizeof *lpp->joined);
    for (size_t k = 0; k < lpp->adapt->classes; k++)
        mmcl__axpy_f64(d, lpp->alpha[k], lpp->adapt->text + k * d, lpp->joined + k * d);
}

/* With v = w + alpha t, the gradient of alpha_k is that of v_k along t_k. */
static void update_alpha(struct lpp *lpp, uint64_t epoch)
{
    size_t d = lpp->adapt->cols;
    for (size_t k = 0; k < lpp->adapt->classes; k++) {
        double slope = mmcl__dot_f64(d, lpp->gradient + k * d, lpp->adapt->text + k * d);
        lpp->alpha_gradient[k] = slope + (lpp->paper ? lpp->alpha_gradient[k] : 0);
    }
    if (epoch % ALPHA_EVERY == 0)
        mmcl__axpy_f64(lpp->adapt->classes, -lpp->alpha_rate, lpp->alpha_gradient, lpp->alpha);
}

static mmcl_status train(struct lpp *lpp, uint64_t epochs, mmcl__operation *operation)
{
    for (uint64_t epoch = 1; epoch <= epochs; epoch++) {
        join(lpp);
        MMCL__TRY(mmcl__descent_gradient(&lpp->descent, lpp->joined, lpp->gradient, &lpp->loss));
        update_alpha(lpp, epoch);
        mmcl__optimizer_step(&lpp->optimizer, lpp->rate, lpp->gradient, lpp->parameters);
        if (lpp->keeper.judge || epoch == epochs) {
            join(lpp);
            MMCL__TRY(mmcl__keeper_offer(&lpp->keeper, lpp->joined, epoch));
        }
        MMCL__TRY(mmcl__tick(operation, epoch, lpp->loss));
    }
    return MMCL_OK;
}

static void report(const struct lpp *lpp)
{
    mmcl_adapt_info *info = lpp->adapt->info;
    info->learning_rate   = lpp->rate;
    info->objective       = lpp->loss;
    info->epoch           = lpp->keeper.epoch;
    info->iterations      = lpp->optimizer.steps;
    info->stop            = MMCL_STOP_ITERATIONS;
    info->flags |= (lpp->keeper.judge ? MMCL_ADAPT_EPOCH_ON_VAL : 0) | (lpp->paper ? MMCL_ADAPT_AS_RELEASED : 0);
}

static mmcl_status open(struct lpp *lpp, double *block)
{
    mmcl__adapt     *adapt = lpp->adapt;
    const mmcl__rule rule  = {.momentum = 0.9, .decay = adapt->options->weight_decay};
    size_t           all = lpp->weights + adapt->classes;
    lpp->parameters     = block;
    lpp->joined         = block + all;
    lpp->gradient       = block + 2 * all;
    lpp->alpha          = block + 3 * all;
    lpp->alpha_gradient = lpp->alpha + adapt->classes;
    MMCL__TRY(mmcl__descent_open(&lpp->descent, adapt, adapt->train.rows));
    MMCL__TRY(mmcl__optimizer_open(&lpp->optimizer, adapt->context, &rule, all));
    MMCL__TRY(mmcl__keeper_open(&lpp->keeper, adapt, true));
    lpp->keeper.last_wins = lpp->paper;
    return start(lpp, lpp->alpha_gradient + adapt->classes);
}

static mmcl_status fit(struct lpp *lpp, double *block, mmcl_classifier **out)
{
    mmcl__operation operation;
    uint64_t        epochs = mmcl__or(lpp->adapt->options->epochs, EPOCHS);
    mmcl__begin(&operation, lpp->adapt->context, "gradient descent", epochs);
    mmcl_status status = open(lpp, block);
    if (status == MMCL_OK)
        status = train(lpp, epochs, &operation);
    if (status == MMCL_OK) {
        report(lpp);
        status = mmcl__adapt_linear(lpp->adapt, lpp->keeper.best, lpp->keeper.best + lpp->weights, out);
    }
    return mmcl__end(&operation, status);
}

mmcl_status mmcl__head_lpp(mmcl__adapt *adapt, mmcl_classifier **out)
{
    struct lpp lpp   = {.adapt = adapt, .weights = adapt->classes * adapt->cols, .paper = adapt->options->protocol == MMCL_PROTOCOL_PAPER,
                        .descent = {.context = adapt->context, .train = &adapt->train}, .optimizer = {.context = adapt->context},
                        .keeper = {.adapt = adapt}};
    size_t     size  = 3 * (lpp.weights + adapt->classes) + 5 * adapt->classes;
    double    *block = mmcl__calloc(adapt->context, size, sizeof *block);
    if (block == NULL)
        return MMCL_E_NOMEM;
    mmcl_status status = fit(&lpp, block, out);
    mmcl__keeper_close(&lpp.keeper);
    mmcl__optimizer_close(&lpp.optimizer);
    mmcl__descent_close(&lpp.descent);
    mmcl__free(adapt->context, block, size, sizeof *block);
    return status;
}
