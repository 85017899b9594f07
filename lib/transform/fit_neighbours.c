/* Steps that learn from near neighbours. */
#include "transform/fit.h"
#include "transform/neighbours.h"

#include "linalg/blas.h"

#include <math.h>

/* weights = (variance / variance between neighbours)^(exponent / 2); a column that does not vary keeps its 0. */
static mmcl_status weigh(mmcl__fit *fit, const mmcl__step *step, size_t index, const double *within, double *weights)
{
    for (size_t j = 0; j < fit->cols; j++) {
        if (weights[j] > 0 && !(within[j] > 0))
            return mmcl__fail(fit->context, MMCL_E_NUMERIC, "step %zu: column %zu is the same in all %u neighbours of each row: are there copies of rows?",
                              index, j, step->options.neighbours);
        weights[j] = weights[j] > 0 ? pow(weights[j] / within[j], step->options.exponent / 2) : 0;
    }
    return MMCL_OK;
}

mmcl_status mmcl__fit_relevance(mmcl__fit *fit, mmcl__step *step, size_t index)
{
    mmcl__source source = mmcl__fit_source(fit);
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
static mmcl_status discriminate(mmcl__fit *fit, mmcl__step *step, size_t index, double *within, double *half, double *ratios)
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
        mmcl__scale_f64(d, mmcl__loading_sign(&step->options, step->matrix + i * d, d), step->matrix + i * d);
    }
    return MMCL_OK;
}

mmcl_status mmcl__fit_discriminants(mmcl__fit *fit, mmcl__step *step, size_t index)
{
    mmcl_context *context = fit->context;
    size_t        cells   = fit->cols * fit->cols;
    mmcl__stage   keys;
    MMCL__TRY(mmcl__fit_spectral(fit, step, index, true));
    MMCL__TRY(mmcl__stage_fold(context, &keys, step, 1, fit->cols));
    double     *within = mmcl__alloc(context, 3 * cells, sizeof *within);
    mmcl_status status = within == NULL ? MMCL_E_NOMEM : mmcl__fit_push_run(fit, index);
    if (status == MMCL_OK) {
        mmcl__source source = mmcl__fit_source(fit);
        status = mmcl__neighbour_covariance(context, &source, &keys, step->options.neighbours, within);
        mmcl__fit_pop_run(fit, index);
    }
    if (status == MMCL_OK)
        status = discriminate(fit, step, index, within, within + cells, within + 2 * cells);
    mmcl__free(context, within, 3 * cells, sizeof *within);
    mmcl__stage_release(context, &keys);
    step->info.passes++;
    return status;
}
