/* The ICA step: whitening, a solver from its start, and the order, sign and scale of what it finds. */
#include "transform/fit.h"
#include "transform/ica.h"

#include "core/rng.h"
#include "linalg/blas.h"

#include <math.h>
#include <string.h>

/* The start: the caller's, or numpy's RandomState(seed).normal(size=(k, k)). */
static void fill_start(const mmcl_step_options *options, size_t k, double *w)
{
    mmcl__numpy_rng rng;
    if (options->start != NULL && options->components == k) {
        memcpy(w, options->start, k * k * sizeof *w);
        return;
    }
    mmcl__numpy_seed(&rng, (uint32_t) options->start_seed);
    for (size_t i = 0; i < k * k; i++)
        w[i] = mmcl__numpy_normal(&rng);
}

/* Share of the input's variance that each source explains: the squared length of its column in the mixing matrix. */
static void source_variance(const mmcl__step *whitening, const double *w, double *share)
{
    size_t k = whitening->info.components;
    for (size_t i = 0; i < k; i++) {
        share[i] = 0;
        for (size_t j = 0; j < k; j++) /* column i of K^+ W^T, with K^+ orthogonal columns of squared length lambda_j */
            share[i] += w[i * k + j] * w[i * k + j] * whitening->variance[j];
    }
}

static void swap_values(double *a, double *b, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        double kept = a[i];
        a[i]        = b[i];
        b[i]        = kept;
    }
}

/* Rows of w by descending key; `third` follows. Selection keeps equal keys in their order well enough for k rows. */
static void sort_rows(size_t k, double *w, double *key, double *third)
{
    for (size_t i = 0; i + 1 < k; i++) {
        size_t best = i;
        for (size_t j = i + 1; j < k; j++)
            if (key[j] > key[best])
                best = j;
        if (best != i) {
            swap_values(key + i, key + best, 1);
            swap_values(third + i, third + best, 1);
            swap_values(w + i * k, w + best * k, k);
        }
    }
}

/* Order, as the options have it, and the sign by skewness; that by loadings needs the whole map and comes later. */
static mmcl_status arrange(const mmcl_step_options *options, const mmcl__step *whitening, mmcl__ica_rows *rows, double *w, double *key,
                           double *third)
{
    size_t k = rows->k;
    memset(third, 0, k * sizeof *third);
    if (options->order == MMCL_ORDER_NEGENTROPY || options->sign == MMCL_SIGN_SKEW)
        MMCL__TRY(mmcl__ica_describe(rows, w, k, third, key));
    if (options->order == MMCL_ORDER_VARIANCE)
        source_variance(whitening, w, key);
    for (size_t i = 0; i < k && options->order == MMCL_ORDER_NEGENTROPY; i++)
        key[i] = fabs(key[i] - MMCL__GAUSSIAN_LOGCOSH);
    if (options->order != MMCL_ORDER_FITTED)
        sort_rows(k, w, key, third);
    for (size_t i = 0; i < k && options->sign == MMCL_SIGN_SKEW; i++)
        if (third[i] < 0)
            mmcl__scale_f64(k, -1, w + i * k);
    return MMCL_OK;
}

static const struct {
    const char *name;
    mmcl_status (*solve)(mmcl__ica_problem *, mmcl__ica_rows *);
} solvers[] = {[MMCL_ICA_FASTICA]           = {"fastica", mmcl__fastica_symmetric},
               [MMCL_ICA_FASTICA_DEFLATION] = {"fastica, deflation", mmcl__fastica_deflation},
               [MMCL_ICA_PICARD]            = {"picard", mmcl__picard},
               [MMCL_ICA_PICARD_FREE]       = {"picard, free", mmcl__picard}};

mmcl_status mmcl__ica_solve(mmcl__ica_problem *problem, mmcl__ica_rows *rows)
{
    const mmcl_step_options *options   = problem->options;
    bool                     deflation = options->algorithm == MMCL_ICA_FASTICA_DEFLATION;
    mmcl__operation          operation;
    mmcl__begin(&operation, rows->context, solvers[options->algorithm].name, deflation ? rows->k : options->max_iterations);
    problem->operation = &operation;
    return mmcl__end(&operation, solvers[options->algorithm].solve(problem, rows));
}

static mmcl_status solve_ica(mmcl__fit *fit, mmcl__step *step, mmcl__ica_rows *rows, double *w)
{
    const mmcl_step_options *options = &step->options;
    mmcl__ica_problem        problem = {.options = options, .w = w};
    fill_start(options, rows->k, w);
    MMCL__TRY(mmcl__ica_solve(&problem, rows));
    step->info.iterations     = problem.iterations;
    step->info.stop           = problem.stop;
    step->info.residual       = problem.residual;
    step->info.super_gaussian = problem.super_gaussian;
    if (problem.stop == MMCL_STOP_ITERATIONS)
        mmcl__log(fit->context, MMCL_LOG_WARNING, "%s: not converged after %llu iterations, residual %.3g; more iterations or a "
                  "larger tolerance may help", solvers[options->algorithm].name, (unsigned long long) problem.iterations,
                  problem.residual);
    return MMCL_OK;
}

/* step->matrix = W times the whitening map that it holds, scaled and signed as the options have it. */
static mmcl_status compose(mmcl__fit *fit, mmcl__step *step, const double *w)
{
    size_t  k = step->info.components, cols = fit->cols;
    double *product = mmcl__alloc(fit->context, k * cols, sizeof *product);
    if (product == NULL)
        return MMCL_E_NOMEM;
    double scale = step->options.scale == MMCL_SCALE_ARBITRARY ? 1 / sqrt((double) step->info.rows) : 1;
    mmcl__gemm_f64(false, false, k, cols, k, scale, w, k, step->matrix, cols, 0, product, cols);
    for (size_t i = 0; i < k && step->options.sign == MMCL_SIGN_LOADING; i++)
        mmcl__scale_f64(cols, mmcl__loading_sign(&step->options, product + i * cols, cols), product + i * cols);
    mmcl__free(fit->context, step->matrix, k * cols, sizeof(double));
    step->matrix = product;
    return MMCL_OK;
}

/* `w` [k, k], then two vectors [k]. */
static mmcl_status fit_unmixing(mmcl__fit *fit, mmcl__step *step, const mmcl__stage *whitening, double *w)
{
    size_t         k      = step->info.components;
    mmcl__source   source = mmcl__fit_source(fit);
    mmcl__ica_rows rows;
    double        *key = w + k * k, *third = key + k;
    MMCL__TRY(mmcl__ica_rows_open(&rows, fit->context, &source, whitening, step->options.precision, fit->cache_bytes,
                                  step->options.algorithm == MMCL_ICA_PICARD_FREE));
    mmcl_status status = solve_ica(fit, step, &rows, w);
    if (status == MMCL_OK)
        status = arrange(&step->options, step, &rows, w, key, third);
    step->info.passes += rows.passes;
    mmcl__ica_rows_close(&rows);
    if (status != MMCL_OK)
        return status;
    source_variance(step, w, key);
    memcpy(step->variance, key, k * sizeof *key);
    return compose(fit, step, w);
}

/* Sees to it that the whitening within an ICA step has the sign that its published twins start from, whatever the step's own. */
mmcl_status mmcl__fit_ica(mmcl__fit *fit, mmcl__step *step, size_t index)
{
    mmcl_component_sign sign = step->options.sign;
    step->options.sign       = MMCL_SIGN_FITTED;
    mmcl_status status       = mmcl__fit_spectral(fit, step, index, true);
    step->options.sign       = sign;
    MMCL__TRY(status);
    mmcl_context *context = fit->context;
    size_t        k = step->info.components, count = k * k + 2 * k;
    mmcl__stage   whitening;
    MMCL__TRY(mmcl__stage_fold(context, &whitening, fit->transform->steps + fit->run, index + 1 - fit->run, fit->run_inputs));
    double *w = mmcl__alloc(context, count, sizeof *w);
    status    = w == NULL ? MMCL_E_NOMEM : fit_unmixing(fit, step, &whitening, w);
    mmcl__free(context, w, count, sizeof *w);
    mmcl__stage_release(context, &whitening);
    return status;
}
