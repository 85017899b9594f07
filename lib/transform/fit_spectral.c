/* Principal components, whitened or not. */
#include "transform/fit.h"

#include "linalg/blas.h"

#include <float.h>
#include <math.h>
#include <string.h>

/*
 * Directions whose eigenvalue is below this are rounding: of the stored elements, whose relative error enters squared, or of the
 * eigenvalue solver, whose error is absolute.
 */
static double rank_tolerance(const mmcl__fit *fit, double largest)
{
    return largest * fmax(fit->epsilon * fit->epsilon, 16 * (double) fit->cols * DBL_EPSILON);
}

static size_t rank_of(const mmcl__fit *fit, const double *values)
{
    size_t rank = 0;
    while (rank < fit->cols && values[rank] > rank_tolerance(fit, values[0]))
        rank++;
    return rank;
}

static mmcl_status choose_components(mmcl__fit *fit, mmcl__step *step, size_t rank, size_t index)
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

double mmcl__loading_sign(const mmcl_step_options *options, const double *row, size_t cols)
{
    if (options->sign != MMCL_SIGN_LOADING)
        return row[0] < 0 ? -1 : 1;
    size_t at = 0;
    for (size_t j = 1; j < cols; j++)
        if (fabs(row[j]) > fabs(row[at]))
            at = j;
    return row[at] < 0 ? -1 : 1;
}

mmcl_status mmcl__fit_spectral(mmcl__fit *fit, mmcl__step *step, size_t index, bool whiten)
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
        double        scale = mmcl__loading_sign(&step->options, row, cols) * (whiten ? 1 / sqrt(step->spectrum[i]) : 1);
        step->variance[i]   = step->spectrum[i] / total;
        step->info.explained_variance += step->variance[i];
        for (size_t j = 0; j < cols; j++)
            step->matrix[i * cols + j] = scale * row[j];
    }
    mmcl__free(context, vectors, cols * cols, sizeof(double));
    return status;
}
