/*
 * FastICA (Hyvarinen 1999; Hyvarinen and Oja 2000): w+ = mean psi(w x) x - mean psi'(w x) w, all rows at once with symmetric
 * decorrelation, or one after the other.
 */
#include "transform/ica.h"

#include "linalg/blas.h"

#include <math.h>
#include <string.h>

double mmcl__skewness(size_t k, const double *g)
{
    double most = 0;
    for (size_t i = 0; i < k; i++)
        for (size_t j = 0; j < i; j++)
            most = fmax(most, fabs(g[i * k + j] - g[j * k + i]) / 2);
    return most;
}

mmcl_status mmcl__ica_gradient(const mmcl_context *context, size_t k, const double *psi_x, const double *w, double *g)
{
    return mmcl__square_gemm(context, false, true, k, psi_x, w, g);
}

/* The cube grows faster than the score of any super-Gaussian density, so its sign is the other way round. */
bool mmcl__is_super(mmcl_ica_contrast contrast, double slope, double psi_y)
{
    return (slope > psi_y) == (contrast != MMCL_CONTRAST_CUBE);
}

/* gram [k, k], scaled [k, k] and values [k] are scratch. */
static mmcl_status decorrelate(mmcl_context *context, size_t k, double *w, double *gram, double *scaled, double *values)
{
    MMCL__TRY(mmcl__square_gemm(context, false, true, k, w, w, gram));
    MMCL__TRY(mmcl__eigsym(context, k, gram, values));
    if (values[k - 1] <= 0)
        return mmcl__fail(context, MMCL_E_NUMERIC, "the rows of the unmixing matrix are linearly dependent");
    /* With the eigenvectors as rows of V: (W W^T)^(-1/2) W = V^T diag(1 / sqrt(values)) V W. */
    MMCL__TRY(mmcl__square_gemm(context, false, false, k, gram, w, scaled));
    for (size_t i = 0; i < k; i++)
        mmcl__scale_f64(k, 1 / sqrt(values[i]), scaled + i * k);
    return mmcl__square_gemm(context, true, false, k, gram, scaled, w);
}

mmcl_status mmcl__decorrelate(mmcl_context *context, size_t k, double *w)
{
    size_t      count = 2 * k * k + k;
    double     *block = mmcl__alloc(context, count, sizeof *block);
    mmcl_status status =
        block == NULL ? MMCL_E_NOMEM : decorrelate(context, k, w, block, block + k * k, block + 2 * k * k);
    mmcl__free(context, block, count, sizeof *block);
    return status;
}

/* ------------------------------------------------------------------------------------------------------- symmetric --- */

/* next = psi_x - diag(slope) w, for m rows. */
static void update(size_t m, size_t k, const mmcl__ica_stats *stats, const double *w, double *next)
{
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < k; j++)
            next[i * k + j] = stats->psi_x[i * k + j] - stats->slope[i] * w[i * k + j];
}

/* How far the rows have turned: max | |<next_i, w_i>| - 1 |. */
static double turned(size_t m, size_t k, const double *next, const double *w)
{
    double most = 0;
    for (size_t i = 0; i < m; i++)
        most = fmax(most, fabs(fabs(mmcl__dot_f64(k, next + i * k, w + i * k)) - 1));
    return most;
}

mmcl_status mmcl__ica_examine(mmcl__ica_problem *problem, mmcl__ica_rows *rows, mmcl__ica_stats *stats, double *g)
{
    const mmcl_step_options *options = problem->options;
    size_t                   k       = rows->k;
    MMCL__TRY(mmcl__ica_pass(rows, problem->w, k, options->contrast, options->alpha, stats));
    MMCL__TRY(mmcl__ica_gradient(rows->context, k, stats->psi_x, problem->w, g));
    problem->super_gaussian = 0;
    for (size_t i = 0; i < k; i++) {
        problem->super_gaussian += mmcl__is_super(options->contrast, stats->slope[i], g[i * k + i]);
        if (stats->slope[i] < g[i * k + i])
            mmcl__scale_f64(k, -1, g + i * k);
    }
    problem->residual = mmcl__skewness(k, g);
    return MMCL_OK;
}

static mmcl_status symmetric_loop(mmcl__ica_problem *problem, mmcl__ica_rows *rows, mmcl__ica_stats *stats, double *next)
{
    const mmcl_step_options *options = problem->options;
    size_t                   k       = rows->k;
    MMCL__TRY(mmcl__decorrelate(rows->context, k, problem->w));
    problem->stop = MMCL_STOP_ITERATIONS;
    while (problem->iterations < options->max_iterations && problem->stop == MMCL_STOP_ITERATIONS) {
        MMCL__TRY(mmcl__ica_pass(rows, problem->w, k, options->contrast, options->alpha, stats));
        update(k, k, stats, problem->w, next);
        MMCL__TRY(mmcl__decorrelate(rows->context, k, next));
        double change = turned(k, k, next, problem->w);
        memcpy(problem->w, next, k * k * sizeof *next);
        problem->iterations++;
        if (change < options->tolerance)
            problem->stop = MMCL_STOP_TOLERANCE;
        MMCL__TRY(mmcl__tick(problem->operation, problem->iterations, change));
    }
    return mmcl__ica_examine(problem, rows, stats, next);
}

/* ------------------------------------------------------------------------------------------------------- deflation --- */

static double normalize(size_t k, double *w)
{
    double length = sqrt(mmcl__dot_f64(k, w, w));
    for (size_t i = 0; i < k && length > 0; i++)
        w[i] /= length;
    return length;
}

/* One classical Gram-Schmidt sweep against the rows found before. */
static void deflate(size_t k, size_t found, const double *w, double *row)
{
    double coefficient[64];
    for (size_t first = 0; first < found; first += 64) {
        size_t count = MMCL__MIN(64, found - first);
        for (size_t i = 0; i < count; i++)
            coefficient[i] = mmcl__dot_f64(k, w + (first + i) * k, row);
        for (size_t i = 0; i < count; i++)
            mmcl__axpy_f64(k, -coefficient[i], w + (first + i) * k, row);
    }
}

/* The rows below `row` are found; `row` holds its start and receives the component. */
static mmcl_status find_row(mmcl__ica_problem *problem, mmcl__ica_rows *rows, mmcl__ica_stats *stats, size_t row, double *next)
{
    const mmcl_step_options *options = problem->options;
    size_t                   k       = rows->k;
    double                  *w       = problem->w + row * k, change = INFINITY;
    normalize(k, w);
    for (uint64_t i = 1; i <= options->max_iterations && change >= options->tolerance; i++) {
        MMCL__TRY(mmcl__ica_pass(rows, w, 1, options->contrast, options->alpha, stats));
        update(1, k, stats, w, next);
        deflate(k, row, problem->w, next);
        if (!(normalize(k, next) > 0))
            return mmcl__fail(rows->context, MMCL_E_NUMERIC, "deflation: component %zu vanished after projection", row);
        change = turned(1, k, next, w);
        memcpy(w, next, k * sizeof *next);
        problem->iterations = MMCL__MAX(problem->iterations, i);
        MMCL__TRY(mmcl__check_cancel(rows->context));
    }
    if (change >= options->tolerance)
        problem->stop = MMCL_STOP_ITERATIONS;
    return mmcl__tick(problem->operation, row + 1, change);
}

static mmcl_status deflation_loop(mmcl__ica_problem *problem, mmcl__ica_rows *rows, mmcl__ica_stats *stats, double *next)
{
    problem->stop = MMCL_STOP_TOLERANCE;
    for (size_t row = 0; row < rows->k; row++)
        MMCL__TRY(find_row(problem, rows, stats, row, next));
    return mmcl__ica_examine(problem, rows, stats, next);
}

/* ---------------------------------------------------------------------------------------------------------- shared --- */

typedef mmcl_status (*loop)(mmcl__ica_problem *, mmcl__ica_rows *, mmcl__ica_stats *, double *);

static mmcl_status with_scratch(mmcl__ica_problem *problem, mmcl__ica_rows *rows, loop run)
{
    size_t  k = rows->k, count = 2 * k * k + k;
    double *block = mmcl__alloc(rows->context, count, sizeof *block);
    if (block == NULL)
        return MMCL_E_NOMEM;
    mmcl__ica_stats stats  = {.psi_x = block, .slope = block + 2 * k * k};
    mmcl_status     status = run(problem, rows, &stats, block + k * k);
    mmcl__free(rows->context, block, count, sizeof *block);
    return status;
}

mmcl_status mmcl__fastica_symmetric(mmcl__ica_problem *problem, mmcl__ica_rows *rows)
{
    return with_scratch(problem, rows, symmetric_loop);
}

mmcl_status mmcl__fastica_deflation(mmcl__ica_problem *problem, mmcl__ica_rows *rows)
{
    return with_scratch(problem, rows, deflation_loop);
}
