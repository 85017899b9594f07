#include "metrics/metrics.h"

#include "linalg/blas.h"

#include <math.h>
#include <string.h>

/* m->map [k, d] = correlations of the codes with the factors. */
static void correlate(mmcl__metric *m)
{
    const mmcl__joint *on = &m->part[MMCL__EVALUATE];
    const double      *s  = on->scatter;
    size_t             k = m->k, d = m->d, p = m->p;
    for (size_t i = 0; i < k; i++)
        for (size_t j = 0; j < d; j++) {
            double size      = sqrt(s[i * p + i]) * sqrt(s[(k + j) * p + k + j]);
            m->map[i * d + j] = mmcl__metric_constant(m, on, i) ? 0 : fmax(-1, fmin(1, s[i * p + k + j] / size));
        }
}

/* Mean of |m->map [codes, d]| over the optimal assignment; a row of the score is a factor, or a code where these are fewer. */
static double assign(mmcl__metric *m, size_t codes, const mmcl_metric_details *details)
{
    size_t d         = m->d;
    bool   by_factor = d <= codes;
    size_t rows = by_factor ? d : codes, cols = by_factor ? codes : d, *out = m->index + 3 * (MMCL__MAX(m->k, d) + d + 1);
    double sum = 0;
    for (size_t i = 0; i < codes; i++)
        for (size_t j = 0; j < d; j++)
            m->score[by_factor ? j * codes + i : i * d + j] = fabs(m->map[i * d + j]);
    mmcl__assign(rows, cols, m->score, m->work, m->index, out);
    for (size_t j = 0; j < d; j++) {
        if (details->per_factor != NULL)
            details->per_factor[j] = 0;
        if (details->assignment != NULL)
            details->assignment[j] = UINT64_MAX;
    }
    for (size_t r = 0; r < rows; r++) {
        size_t factor = by_factor ? r : out[r], code = by_factor ? out[r] : r;
        double corr   = m->score[r * cols + out[r]];
        sum += corr;
        if (details->per_factor != NULL)
            details->per_factor[factor] = corr;
        if (details->assignment != NULL)
            details->assignment[factor] = code;
    }
    return sum / (double) d;
}

mmcl_status mmcl__metric_mcc(mmcl__metric *m, const mmcl_metric_details *details, double *value)
{
    correlate(m);
    if (details->matrix != NULL)
        memcpy(details->matrix, m->map, m->k * m->d * sizeof(double));
    *value = assign(m, m->k, details);
    return MMCL_OK;
}

/* With predictions B^T x: their covariance with the factors is B^T S_xz, their variances are those of B^T S_xx B. */
mmcl_status mmcl__metric_mcc_weak(mmcl__metric *m, const mmcl_metric_details *details, double *value)
{
    const double *s = m->part[MMCL__EVALUATE].scatter;
    size_t        k = m->k, d = m->d, p = m->p, rank;
    MMCL__TRY(mmcl__metric_regress(m, &rank));
    if (m->options->holdout == 0 && (double) rank + 1 >= m->part[MMCL__FIT].weight)
        return mmcl__fail(m->context, MMCL_E_NUMERIC, "codes: %zu independent columns and an intercept fit any %zu rows; give more rows",
                          rank, m->n);
    mmcl__gemm_f64(false, false, k, d, k, 1, s, p, m->map, d, 0, m->product, d);
    for (size_t i = 0; i < d; i++) {
        double sum = 0;
        for (size_t r = 0; r < k; r++)
            sum += m->map[r * d + i] * m->product[r * d + i];
        m->values[i] = sum;
    }
    mmcl__gemm_f64(true, false, d, d, k, 1, m->map, d, s + k, p, 0, m->square, d);
    for (size_t i = 0; i < d; i++)
        for (size_t j = 0; j < d; j++) {
            double size       = sqrt(m->values[i]) * sqrt(s[(k + j) * p + k + j]);
            m->map[i * d + j] = size > 0 ? fmax(-1, fmin(1, m->square[i * d + j] / size)) : 0;
        }
    *value = assign(m, d, details);
    return MMCL_OK;
}

double mmcl__metric_gap(const mmcl__metric *m, const double *score, const double *unit, double *per_factor)
{
    double sum = 0;
    for (size_t j = 0; j < m->d; j++) {
        double first = 0, second = 0;
        for (size_t i = 0; i < m->k; i++) {
            double at = score[i * m->d + j];
            second    = fmax(second, fmin(first, at));
            first     = fmax(first, at);
        }
        double gap = (first - second) / (unit != NULL ? unit[j] : 1);
        sum += gap;
        if (per_factor != NULL)
            per_factor[j] = gap;
    }
    return sum / (double) m->d;
}

mmcl_status mmcl__metric_sap(mmcl__metric *m, const mmcl_metric_details *details, double *value)
{
    correlate(m);
    for (size_t i = 0; i < m->k * m->d; i++)
        m->map[i] *= m->map[i];
    if (details->matrix != NULL)
        memcpy(details->matrix, m->map, m->k * m->d * sizeof(double));
    *value = mmcl__metric_gap(m, m->map, NULL, details->per_factor);
    return MMCL_OK;
}
