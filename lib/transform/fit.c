/*
 * Fitting a chain. A run of affine steps needs the moments of its input once: those of each step's output follow from its own
 * (mean 0, covariance B C B^T). A normalisation ends the run, and the next one reads the rows again through what is fitted.
 */
#include "transform/ica.h"
#include "transform/moments.h"
#include "transform/neighbours.h"

#include "core/rng.h"
#include "linalg/blas.h"

#include <float.h>
#include <math.h>
#include <string.h>

struct fit {
    mmcl_transform  *transform;
    mmcl_context    *context;
    mmcl__operation *operation;
    mmcl__rows      *rows;        /* NULL: moments alone */
    uint64_t         cache_bytes;
    size_t           run;         /* first step of the current run of affine steps */
    mmcl__stage      stages[MMCL__MAX_STEPS]; /* everything before that run */
    size_t           n_stages;
    size_t           run_inputs;  /* columns at the start of the run */
    size_t           cols;        /* columns of the next step's input */
    double          *mean;        /* [cols] of that input; NULL: not known */
    double          *covariance;  /* [cols, cols] population covariance, full */
    double           epsilon;     /* relative rounding of the data */
};

static void forget_moments(struct fit *fit)
{
    mmcl__free(fit->context, fit->mean, fit->cols, sizeof(double));
    mmcl__free(fit->context, fit->covariance, fit->cols * fit->cols, sizeof(double));
    fit->mean = fit->covariance = NULL;
}

static mmcl_status take_moments(struct fit *fit, const mmcl_moments *moments)
{
    size_t cols     = fit->cols;
    fit->mean       = mmcl__alloc(fit->context, cols, sizeof(double));
    fit->covariance = mmcl__alloc(fit->context, cols * cols, sizeof(double));
    if (fit->mean == NULL || fit->covariance == NULL)
        return MMCL_E_NOMEM;
    memcpy(fit->mean, moments->mean, cols * sizeof(double));
    for (size_t i = 0; i < cols; i++)
        for (size_t j = i; j < cols; j++)
            fit->covariance[i * cols + j] = moments->scatter[i * cols + j] / (double) moments->count;
    mmcl__symmetrize(cols, fit->covariance, cols);
    fit->epsilon = moments->epsilon;
    return MMCL_OK;
}

static mmcl__source source_of(const struct fit *fit)
{
    return (mmcl__source){.rows = fit->rows, .stages = fit->stages, .n_stages = fit->n_stages, .cols = fit->run_inputs};
}

/* Moments of the rows at the start of a run. */
static mmcl_status read_moments(struct fit *fit)
{
    mmcl_moments *moments;
    mmcl__source  source = source_of(fit);
    MMCL__TRY(mmcl__moments_create(&moments, fit->context, fit->cols));
    mmcl_status status = mmcl__moments_add(moments, &source);
    if (status == MMCL_OK)
        status = take_moments(fit, moments);
    mmcl__moments_destroy(moments);
    return status;
}

/* --------------------------------------------------------------------------------------------------------- spectral --- */

/*
 * Directions whose eigenvalue is below this are rounding: of the stored elements, whose relative error enters squared, or of the
 * eigenvalue solver, whose error is absolute.
 */
static double rank_tolerance(const struct fit *fit, double largest)
{
    return largest * fmax(fit->epsilon * fit->epsilon, 16 * (double) fit->cols * DBL_EPSILON);
}

static size_t rank_of(const struct fit *fit, const double *values)
{
    size_t rank = 0;
    while (rank < fit->cols && values[rank] > rank_tolerance(fit, values[0]))
        rank++;
    return rank;
}

static mmcl_status choose_components(struct fit *fit, mmcl__step *step, size_t rank, size_t index)
{
    uint64_t wanted = step->options.components != 0 ? step->options.components : fit->cols;
    bool     clip   = step->options.clip_components;
    if (wanted > fit->cols && !clip)
        return mmcl__fail(fit->context, MMCL_E_INVAL, "step %zu: %llu components of %zu columns, expected at most %zu", index,
                          (unsigned long long) wanted, fit->cols, fit->cols);
    if (wanted > rank && (rank == 0 || !clip))
        return mmcl__fail(fit->context, MMCL_E_NUMERIC, "step %zu: %llu components, but the %llu rows have rank %zu: at most %zu are possible",
                          index, (unsigned long long) wanted, (unsigned long long) step->info.rows, rank, rank);
    if (wanted > rank) {
        mmcl__log(fit->context, MMCL_LOG_WARNING, "step %zu: %llu components clipped to the rank %zu", index,
                  (unsigned long long) wanted, rank);
        wanted = rank;
    }
    step->info.components = wanted;
    return MMCL_OK;
}

/* Turns a row of loadings as the sign convention has it. A first loading of 0 counts as positive. */
static double sign_of(const mmcl_step_options *options, const double *row, size_t cols)
{
    if (options->sign != MMCL_SIGN_LOADING)
        return row[0] < 0 ? -1 : 1;
    size_t at = 0;
    for (size_t j = 1; j < cols; j++)
        if (fabs(row[j]) > fabs(row[at]))
            at = j;
    return row[at] < 0 ? -1 : 1;
}

/*
 * Leading eigenvectors of the covariance as rows of step->matrix, scaled to unit variance where asked: spectrum, rank, components,
 * mean and shares of variance are filled in.
 */
static mmcl_status fit_spectral(struct fit *fit, mmcl__step *step, size_t index, bool whiten)
{
    mmcl_context *context = fit->context;
    size_t        cols    = fit->cols;
    step->mean            = mmcl__alloc(context, cols, sizeof(double));
    step->spectrum        = mmcl__alloc(context, cols, sizeof(double));
    double *vectors       = mmcl__alloc(context, cols * cols, sizeof(double));
    mmcl_status status    = step->mean == NULL || step->spectrum == NULL || vectors == NULL ? MMCL_E_NOMEM : MMCL_OK;
    if (status == MMCL_OK) {
        memcpy(step->mean, fit->mean, cols * sizeof(double));
        memcpy(vectors, fit->covariance, cols * cols * sizeof(double));
        status = mmcl__eigsym(context, cols, vectors, step->spectrum);
    }
    if (status == MMCL_OK) {
        step->info.rank = rank_of(fit, step->spectrum);
        status          = choose_components(fit, step, step->info.rank, index);
    }
    size_t k = step->info.components;
    if (status == MMCL_OK) {
        step->matrix   = mmcl__alloc(context, k * cols, sizeof(double));
        step->variance = mmcl__alloc(context, k, sizeof(double));
        status         = step->matrix == NULL || step->variance == NULL ? MMCL_E_NOMEM : MMCL_OK;
    }
    double total = 0;
    for (size_t j = 0; j < cols && status == MMCL_OK; j++)
        total += step->spectrum[j] = fmax(step->spectrum[j], 0);
    for (size_t i = 0; i < k && status == MMCL_OK; i++) {
        const double *row   = vectors + i * cols;
        double        scale = sign_of(&step->options, row, cols) * (whiten ? 1 / sqrt(step->spectrum[i]) : 1);
        step->variance[i]   = step->spectrum[i] / total;
        step->info.explained_variance += step->variance[i];
        for (size_t j = 0; j < cols; j++)
            step->matrix[i * cols + j] = scale * row[j];
    }
    mmcl__free(context, vectors, cols * cols, sizeof(double));
    return status;
}

/* -------------------------------------------------------------------------------------------------------------- ICA --- */

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

static mmcl_status solve_ica(struct fit *fit, mmcl__step *step, mmcl__ica_rows *rows, double *w)
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
static mmcl_status compose(struct fit *fit, mmcl__step *step, const double *w)
{
    size_t  k = step->info.components, cols = fit->cols;
    double *product = mmcl__alloc(fit->context, k * cols, sizeof *product);
    if (product == NULL)
        return MMCL_E_NOMEM;
    double scale = step->options.scale == MMCL_SCALE_ARBITRARY ? 1 / sqrt((double) step->info.rows) : 1;
    mmcl__gemm_f64(false, false, k, cols, k, scale, w, k, step->matrix, cols, 0, product, cols);
    for (size_t i = 0; i < k && step->options.sign == MMCL_SIGN_LOADING; i++)
        mmcl__scale_f64(cols, sign_of(&step->options, product + i * cols, cols), product + i * cols);
    mmcl__free(fit->context, step->matrix, k * cols, sizeof(double));
    step->matrix = product;
    return MMCL_OK;
}

/* `w` [k, k], then two vectors [k]. */
static mmcl_status fit_unmixing(struct fit *fit, mmcl__step *step, const mmcl__stage *whitening, double *w)
{
    size_t         k      = step->info.components;
    mmcl__source   source = source_of(fit);
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
static mmcl_status fit_ica(struct fit *fit, mmcl__step *step, size_t index)
{
    mmcl_component_sign sign = step->options.sign;
    step->options.sign       = MMCL_SIGN_FITTED;
    mmcl_status status       = fit_spectral(fit, step, index, true);
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

/* ------------------------------------------------------------------------------------------------------- neighbours --- */

/* The run of affine steps so far becomes a stage, for the rows of the step `index` to be read through. */
static mmcl_status push_run(struct fit *fit, size_t index)
{
    if (index == fit->run)
        return MMCL_OK;
    MMCL__TRY(mmcl__stage_fold(fit->context, &fit->stages[fit->n_stages], fit->transform->steps + fit->run, index - fit->run, fit->run_inputs));
    fit->n_stages++;
    return MMCL_OK;
}

static void pop_run(struct fit *fit, size_t index)
{
    if (index > fit->run)
        mmcl__stage_release(fit->context, &fit->stages[--fit->n_stages]);
}

/* weights = (variance / variance between neighbours)^(exponent / 2); a column that does not vary keeps its 0. */
static mmcl_status weigh(struct fit *fit, const mmcl__step *step, size_t index, const double *within, double *weights)
{
    for (size_t j = 0; j < fit->cols; j++) {
        if (weights[j] > 0 && !(within[j] > 0))
            return mmcl__fail(fit->context, MMCL_E_NUMERIC, "step %zu: column %zu is the same in all %u neighbours of each row: are there copies of rows?",
                              index, j, step->options.neighbours);
        weights[j] = weights[j] > 0 ? pow(weights[j] / within[j], step->options.exponent / 2) : 0;
    }
    return MMCL_OK;
}

/* The rows of the step are those after all stages so far. */
static mmcl_status fit_relevance(struct fit *fit, mmcl__step *step, size_t index)
{
    mmcl__source source = {.rows = fit->rows, .stages = fit->stages, .n_stages = fit->n_stages, .cols = fit->cols};
    double      *within = mmcl__alloc(fit->context, fit->cols, sizeof *within);
    step->weights       = mmcl__alloc(fit->context, fit->cols, sizeof *step->weights);
    mmcl_status status  = within == NULL || step->weights == NULL ? MMCL_E_NOMEM : MMCL_OK;
    if (status == MMCL_OK)
        status = mmcl__neighbour_variance(fit->context, &source, step->options.neighbours, within, step->weights);
    if (status == MMCL_OK)
        status = weigh(fit, step, index, within, step->weights);
    mmcl__free(fit->context, within, fit->cols, sizeof *within);
    step->info.passes++;
    return status;
}

/*
 * step->matrix = the leading directions of total over within, which is shrunk and then replaced by scratch; both [d, d].
 * With within = V L V^T and A = V L^-1/2, these are A times the leading eigenvectors of A^T total A (Fukunaga 1990, chapter 10).
 */
static mmcl_status discriminate(struct fit *fit, mmcl__step *step, size_t index, double *within, double *half, double *ratios)
{
    size_t d = fit->cols, k = step->info.components;
    double trace = 0, shrinkage = step->options.shrinkage, all = 0;
    for (size_t j = 0; j < d; j++)
        trace += within[j * d + j];
    if (!(trace > 0))
        return mmcl__fail(fit->context, MMCL_E_NUMERIC, "step %zu: all %u neighbours of each row are equal to it: are there copies of rows?", index,
                          step->options.neighbours);
    mmcl__scale_f64(d * d, 1 - shrinkage, within);
    for (size_t j = 0; j < d; j++)
        within[j * d + j] += shrinkage * trace / (double) d;
    MMCL__TRY(mmcl__eigsym(fit->context, d, within, step->spectrum));
    for (size_t i = 0; i < d; i++) /* the rows of `within` are A^T from here on */
        mmcl__scale_f64(d, 1 / sqrt(step->spectrum[i]), within + i * d);
    mmcl__gemm_f64(false, false, d, d, d, 1, within, d, fit->covariance, d, 0, half, d);
    mmcl__gemm_f64(false, true, d, d, d, 1, half, d, within, d, 0, ratios, d);
    mmcl__symmetrize(d, ratios, d);
    MMCL__TRY(mmcl__eigsym(fit->context, d, ratios, step->spectrum));
    mmcl__gemm_f64(false, false, k, d, d, 1, ratios, d, within, d, 0, step->matrix, d);
    step->info.explained_variance = 0;
    for (size_t i = 0; i < d; i++)
        all += step->spectrum[i] = fmax(step->spectrum[i], 0);
    for (size_t i = 0; i < k; i++) {
        step->variance[i] = step->spectrum[i] / all;
        step->info.explained_variance += step->variance[i];
        mmcl__scale_f64(d, sign_of(&step->options, step->matrix + i * d, d), step->matrix + i * d);
    }
    return MMCL_OK;
}

static mmcl_status fit_discriminants(struct fit *fit, mmcl__step *step, size_t index)
{
    mmcl_context *context = fit->context;
    size_t        cells   = fit->cols * fit->cols;
    mmcl__stage   keys;
    MMCL__TRY(fit_spectral(fit, step, index, true));
    MMCL__TRY(mmcl__stage_fold(context, &keys, step, 1, fit->cols));
    double     *within = mmcl__alloc(context, 3 * cells, sizeof *within);
    mmcl_status status = within == NULL ? MMCL_E_NOMEM : push_run(fit, index);
    if (status == MMCL_OK) {
        mmcl__source source = {.rows = fit->rows, .stages = fit->stages, .n_stages = fit->n_stages, .cols = fit->cols};
        status = mmcl__neighbour_covariance(context, &source, &keys, step->options.neighbours, within);
        pop_run(fit, index);
    }
    if (status == MMCL_OK)
        status = discriminate(fit, step, index, within, within + cells, within + 2 * cells);
    mmcl__free(context, within, 3 * cells, sizeof *within);
    mmcl__stage_release(context, &keys);
    step->info.passes++;
    return status;
}

/* ------------------------------------------------------------------------------------------------------------ chain --- */

/* The moments of the step's output take the place of those of its input. */
static mmcl_status propagate(struct fit *fit, const mmcl__step *step)
{
    mmcl_context *context = fit->context;
    size_t        cols = fit->cols, k = step->info.components;
    memset(fit->mean, 0, cols * sizeof(double));
    if (step->matrix == NULL)
        return MMCL_OK;
    double *half = mmcl__alloc(context, k * cols, sizeof *half), *full = mmcl__alloc(context, k * k, sizeof *full);
    double *mean = mmcl__calloc(context, k, sizeof *mean);
    mmcl_status status = half == NULL || full == NULL || mean == NULL ? MMCL_E_NOMEM : MMCL_OK;
    if (status == MMCL_OK) {
        mmcl__gemm_f64(false, false, k, cols, cols, 1, step->matrix, cols, fit->covariance, cols, 0, half, cols);
        mmcl__gemm_f64(false, true, k, k, cols, 1, half, cols, step->matrix, cols, 0, full, k);
        mmcl__symmetrize(k, full, k);
        forget_moments(fit);
        fit->cols       = k;
        fit->mean       = mean;
        fit->covariance = full;
    } else {
        mmcl__free(context, full, k * k, sizeof *full);
        mmcl__free(context, mean, k, sizeof *mean);
    }
    mmcl__free(context, half, k * cols, sizeof *half);
    return status;
}

/* A step that is not affine ends the run, and is a stage of its own. */
static mmcl_status end_run(struct fit *fit, mmcl__step *step, size_t index)
{
    step->info.explained_variance = 1;
    MMCL__TRY(push_run(fit, index));
    if (step->options.kind == MMCL_STEP_RELEVANCE)
        MMCL__TRY(fit_relevance(fit, step, index));
    MMCL__TRY(mmcl__stage_of(fit->context, &fit->stages[fit->n_stages], step, fit->cols));
    fit->n_stages++;
    forget_moments(fit);
    fit->run        = index + 1;
    fit->run_inputs = fit->cols;
    return MMCL_OK;
}

static void release_stages(struct fit *fit)
{
    for (size_t i = 0; i < fit->n_stages; i++)
        mmcl__stage_release(fit->context, &fit->stages[i]);
    fit->n_stages = 0;
}

/* Another chain begins, from the rows themselves. */
static void start_chain(struct fit *fit, mmcl__step *step, size_t index)
{
    forget_moments(fit);
    release_stages(fit);
    fit->cols = fit->run_inputs = step->info.inputs = step->info.components = fit->rows->cols;
    fit->run                      = index + 1;
    step->info.explained_variance = 1;
}

static mmcl_status fit_center(struct fit *fit, mmcl__step *step)
{
    step->info.explained_variance = 1;
    if ((step->mean = mmcl__alloc(fit->context, fit->cols, sizeof(double))) == NULL)
        return MMCL_E_NOMEM;
    memcpy(step->mean, fit->mean, fit->cols * sizeof(double));
    return MMCL_OK;
}

static mmcl_status fit_step(struct fit *fit, mmcl__step *step, size_t index)
{
    double began = mmcl__seconds();
    step->info.kind   = step->options.kind;
    step->info.inputs = step->info.components = fit->cols;
    MMCL__TRY(mmcl__tick(fit->operation, index, NAN));
    if (step->options.kind == MMCL_STEP_BESIDE) {
        start_chain(fit, step, index);
        return MMCL_OK;
    }
    if (!mmcl__step_is_affine(step->options.kind)) {
        MMCL__TRY(end_run(fit, step, index));
        step->info.seconds = mmcl__seconds() - began;
        return MMCL_OK;
    }
    if (fit->mean == NULL) {
        MMCL__TRY(read_moments(fit));
        step->info.passes++;
    }
    mmcl_status status = MMCL_OK;
    switch (step->options.kind) {
    case MMCL_STEP_CENTER: status = fit_center(fit, step); break;
    case MMCL_STEP_ICA:    status = fit_ica(fit, step, index); break;
    case MMCL_STEP_DISCRIMINANTS: status = fit_discriminants(fit, step, index); break;
    default:               status = fit_spectral(fit, step, index, step->options.kind == MMCL_STEP_WHITEN); break;
    }
    MMCL__TRY(status);
    step->info.seconds = mmcl__seconds() - began;
    return propagate(fit, step);
}

static mmcl_status fit_chain(struct fit *fit, size_t cols, uint64_t n_rows)
{
    mmcl_transform *transform = fit->transform;
    mmcl__operation operation;
    mmcl__begin(&operation, fit->context, "fit", transform->n_steps);
    fit->operation  = &operation;
    fit->cols       = fit->run_inputs = cols;
    mmcl_status status = MMCL_OK;
    for (size_t i = 0; i < transform->n_steps && status == MMCL_OK; i++) {
        transform->steps[i].info      = (mmcl_step_info){.struct_size = sizeof(mmcl_step_info), .rows = n_rows};
        status = fit_step(fit, &transform->steps[i], i);
    }
    forget_moments(fit);
    release_stages(fit);
    if (status == MMCL_OK)
        status = mmcl__transform_finish(transform, cols);
    if (status == MMCL_OK)
        status = mmcl__tick(&operation, transform->n_steps, NAN);
    if (status != MMCL_OK)
        mmcl__transform_unfit(transform);
    return mmcl__end(&operation, status);
}

static mmcl_status check_unfitted(const mmcl_transform *transform)
{
    if (transform->fitted)
        return mmcl__fail(transform->context, MMCL_E_STATE, "transform: fitted already");
    return MMCL_OK;
}

mmcl_status mmcl__transform_fit(mmcl_transform *transform, const mmcl_matrix *parts, size_t n_parts, const mmcl_fit_options *options)
{
    mmcl_context    *context = transform->context;
    mmcl_fit_options ours;
    mmcl__rows       rows;
    MMCL__TRY(check_unfitted(transform));
    MMCL__TRY(mmcl__import(context, &ours, sizeof ours, MMCL__V1(mmcl_fit_options, cache_bytes), options, "mmcl_fit_options"));
    MMCL__TRY(mmcl__rows_open(context, &rows, parts, n_parts, "parts"));
    struct fit  fit    = {.transform = transform, .context = context, .rows = &rows, .cache_bytes = ours.cache_bytes};
    mmcl_status status = rows.rows == 0 ? mmcl__fail(context, MMCL_E_INVAL, "parts: no rows, expected at least one")
                                        : fit_chain(&fit, rows.cols, rows.rows);
    mmcl__rows_close(context, &rows);
    return status;
}

mmcl_status mmcl__transform_fit_moments(mmcl_transform *transform, const mmcl_moments *moments)
{
    mmcl_context *context = transform->context;
    bool          normalized = false;
    MMCL__TRY(check_unfitted(transform));
    for (size_t i = 0; i < transform->n_steps; i++) {
        mmcl_step_kind kind = transform->steps[i].options.kind;
        bool           free = kind == MMCL_STEP_NORMALIZE || kind == MMCL_STEP_POWER; /* nothing to fit */
        if (!(free || (kind <= MMCL_STEP_WHITEN && !normalized)))
            return mmcl__fail(context, MMCL_E_UNSUPPORTED, "transform: step %zu needs the rows, moments do not suffice", i);
        normalized |= free;
    }
    if (moments->count == 0)
        return mmcl__fail(context, MMCL_E_INVAL, "moments: of no rows, expected at least one");
    struct fit fit = {.transform = transform, .context = context, .cols = moments->cols};
    mmcl_status status = take_moments(&fit, moments);
    if (status != MMCL_OK)
        forget_moments(&fit);
    return status == MMCL_OK ? fit_chain(&fit, moments->cols, moments->count) : status;
}

/* --------------------------------------------------------------------------------------------------------- estimate --- */

/* Largest of what the phases of a step hold at once, beside the maps that stay. */
static uint64_t step_bytes(const mmcl_step_options *step, size_t rows, size_t cols, size_t k, size_t width, uint64_t cache_bytes,
                           uint32_t threads)
{
    uint64_t d = cols, moments = 8 * (d * d + d) + mmcl__moments_bytes(rows, cols, width, threads);
    uint64_t spectral = 8 * (d * d + d) + 8 * d * d + 8 * (2 * d * d + 6 * d + 1) + 4 * (5 * d + 3);
    uint64_t most     = MMCL__MAX(moments + 8 * (d * d + d), spectral);
    if (step->kind == MMCL_STEP_DISCRIMINANTS)
        return MMCL__MAX(most, 8 * 3 * d * d + 8 * (d * d + d) + 8 * (k * d + d) + 12 * (k * d + d) +
                                   MMCL__MAX(mmcl__neighbour_bytes(rows, cols, k, step->neighbours, MMCL__MAX(width, cols), threads),
                                             8 * (2 * d * d + 6 * d + 1) + 4 * (5 * d + 3)));
    if (step->kind != MMCL_STEP_ICA)
        return most;
    bool     free_form = step->algorithm == MMCL_ICA_PICARD_FREE, picard = free_form || step->algorithm == MMCL_ICA_PICARD;
    uint64_t cells = (uint64_t) k * k;
    uint64_t solver = 8 * (picard ? (8 + 2 * (uint64_t) step->lbfgs_memory + 1) * cells : 2 * cells + 5 * cells);
    uint64_t maps   = 12 * (k * d + d) + 8 * (k * d + 2 * d + k) + 8 * (cells + 2 * (uint64_t) k); /* stage, step, unmixing */
    return MMCL__MAX(most, 8 * (d * d + d) + maps + solver +
                               mmcl__ica_rows_bytes(rows, k, cols, width, step->precision, cache_bytes, free_form, threads));
}

mmcl_status mmcl__transform_estimate(const mmcl_transform *transform, size_t rows, size_t cols, const mmcl_fit_options *options,
                                     uint64_t *bytes)
{
    uint64_t cache = options != NULL ? options->cache_bytes : 0, kept = 0, most = 0;
    size_t   width = 0, inputs = cols;
    for (size_t i = 0; i < transform->n_steps; i++) {
        const mmcl_step_options *step = &transform->steps[i].options;
        bool                     maps = mmcl__step_has_map(step->kind);
        uint32_t                 threads = mmcl__width(transform->context);
        if (step->kind == MMCL_STEP_BESIDE) {
            cols  = inputs;
            width = 0;
            continue;
        }
        size_t k = maps && step->components != 0 ? MMCL__MIN(step->components, cols) : cols;
        if (!mmcl__step_is_affine(step->kind))
            width = MMCL__MAX(width, cols); /* from here on rows pass through stages */
        if (step->kind == MMCL_STEP_RELEVANCE)
            most = MMCL__MAX(most, kept + mmcl__neighbour_bytes(rows, cols, cols, step->neighbours, width, threads));
        else if (mmcl__step_is_affine(step->kind))
            most = MMCL__MAX(most, kept + step_bytes(step, rows, cols, k, width, cache, threads));
        kept += 8 * (2 * (uint64_t) cols + k) + (maps ? 8 * (uint64_t) k * cols : 0);
        kept += maps ? 12 * (uint64_t) k * cols : 12 * (uint64_t) cols; /* its share of the stages */
        cols = k;
    }
    uint64_t sum = MMCL__MAX(most, kept);
    *bytes       = sum + sum / 64 + 16384; /* the margin covers the small blocks that are not worth a formula */
    return MMCL_OK;
}
