#include "metrics/metrics.h"

#include <math.h>

static void no_assignment(const mmcl__metric *m, const mmcl_metric_details *details)
{
    for (size_t j = 0; j < m->d; j++) {
        if (details->per_factor != NULL)
            details->per_factor[j] = 0;
        if (details->assignment != NULL)
            details->assignment[j] = UINT64_MAX;
    }
}

/* score: |correlation|, a row a factor, or a row a code where these are fewer. */
static void correlate(mmcl__metric *m, bool by_factor, double *matrix)
{
    const mmcl__joint *on = &m->part[MMCL__EVALUATE];
    const double      *s  = on->scatter;
    size_t             k = m->k, d = m->d, p = m->p;
    for (size_t i = 0; i < k; i++)
        for (size_t j = 0; j < d; j++) {
            double size = sqrt(s[i * p + i]) * sqrt(s[(k + j) * p + k + j]);
            double corr = mmcl__metric_constant(m, on, i) ? 0 : fmax(-1, fmin(1, s[i * p + k + j] / size));
            m->score[by_factor ? j * k + i : i * d + j] = fabs(corr);
            if (matrix != NULL)
                matrix[i * d + j] = corr;
        }
}

double mmcl__metric_mcc(mmcl__metric *m, const mmcl_metric_details *details)
{
    bool    by_factor = m->d <= m->k;
    size_t  rows = by_factor ? m->d : m->k, cols = by_factor ? m->k : m->d, *out = m->index + 3 * (m->p + 1);
    double  sum = 0;
    correlate(m, by_factor, details->matrix);
    mmcl__assign(rows, cols, m->score, m->work, m->index, out);
    no_assignment(m, details);
    for (size_t r = 0; r < rows; r++) {
        size_t factor = by_factor ? r : out[r], code = by_factor ? out[r] : r;
        double corr   = m->score[r * cols + out[r]];
        sum += corr;
        if (details->per_factor != NULL)
            details->per_factor[factor] = corr;
        if (details->assignment != NULL)
            details->assignment[factor] = code;
    }
    return sum / (double) m->d;
}
