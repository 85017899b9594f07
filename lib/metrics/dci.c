/* Disentanglement, completeness and informativeness (Eastwood and Williams 2018), by gradient-boosted trees. */
#include "metrics/boosting.h"
#include "metrics/metrics.h"

#include <math.h>
#include <string.h>

#define SOFTEN 1e-11 /* on importances before their entropy (Locatello et al. 2019) */

/* The boosted fit of every factor: m->map [k, d] = importances; predictions for the rows that evaluate to sample.fitted [d, count]. */
static mmcl_status fit_factors(mmcl__metric *m)
{
    mmcl__sample *s     = &m->sample;
    size_t        fit   = s->first[MMCL__FIT], on = s->first[MMCL__EVALUATE], n = s->count[MMCL__EVALUATE], most = 0;
    double       *share = m->work;
    for (size_t j = 0; j < m->d && m->discrete; j++)
        most = MMCL__MAX(most, m->counts.first[j + 1] - m->counts.first[j]);
    if (most > MMCL__MOST_CLASSES)
        return mmcl__fail(m->context, MMCL_E_NUMERIC, "factors: a column spans %zu classes, expected at most %d for boosted trees", most,
                          MMCL__MOST_CLASSES);
    MMCL__TRY(mmcl__sample_keep(m, m->d * n));
    for (size_t j = 0; j < m->d && s->stale; j++) {
        mmcl__boost_rows rows = {.n = s->count[MMCL__FIT], .k = m->k, .stride = m->p, .rows = s->rows + fit * m->p, .weight = s->weight + fit};
        rows.target_stride    = m->discrete ? m->d : m->p;
        if (m->discrete) {
            rows.classes = s->classes + fit * m->d + j;
            rows.count   = m->counts.first[j + 1] - m->counts.first[j];
        } else {
            rows.target = s->rows + fit * m->p + m->k + j;
        }
        MMCL__TRY(mmcl__boost(m->context, &rows, n, s->rows + on * m->p, s->fitted + j * n, share));
        for (size_t i = 0; i < m->k; i++)
            m->map[i * m->d + j] = share[i];
    }
    s->stale = false;
    return MMCL_OK;
}

mmcl_status mmcl__dci_prepare(mmcl__metric *m)
{
    return m->discrete ? mmcl__sample_prepare_classes(m) : mmcl__sample_prepare(m);
}

/* 1 - entropy of n shares, `step` apart, to base n. `total` is their sum. */
static double concentration(const double *share, size_t n, size_t step, double total)
{
    double sum = 0, whole = total + (double) n * SOFTEN;
    for (size_t i = 0; i < n; i++) {
        double p = (share[i * step] + SOFTEN) / whole;
        sum -= p * log(p);
    }
    return 1 - sum / log((double) n);
}

/* Mean of the concentrations of `lines` lines of m->map, each weighted by its mass; where there is no mass at all, 0. */
static double mean_concentration(const mmcl__metric *m, bool of_codes, double *each)
{
    size_t lines = of_codes ? m->k : m->d, n = of_codes ? m->d : m->k, step = of_codes ? 1 : m->d, next = of_codes ? m->d : 1;
    double sum = 0, mass = 0;
    for (size_t l = 0; l < lines; l++) {
        const double *line  = m->map + l * next;
        double        total = 0;
        for (size_t i = 0; i < n; i++)
            total += line[i * step];
        double value = concentration(line, n, step, total);
        sum += total * value;
        mass += total;
        if (each != NULL)
            each[l] = value;
    }
    return mass > 0 ? sum / mass : 0;
}

static void copy_importances(const mmcl__metric *m, const mmcl_metric_details *details)
{
    if (details->matrix != NULL)
        memcpy(details->matrix, m->map, m->k * m->d * sizeof(double));
}

mmcl_status mmcl__metric_disentanglement(mmcl__metric *m, const mmcl_metric_details *details, double *value)
{
    if (m->d < 2)
        return mmcl__fail(m->context, MMCL_E_INVAL, "factors: 1 column, expected at least 2 for disentanglement");
    MMCL__TRY(fit_factors(m));
    copy_importances(m, details);
    *value = mean_concentration(m, true, NULL);
    return MMCL_OK;
}

mmcl_status mmcl__metric_completeness(mmcl__metric *m, const mmcl_metric_details *details, double *value)
{
    if (m->k < 2)
        return mmcl__fail(m->context, MMCL_E_INVAL, "codes: 1 column, expected at least 2 for completeness");
    MMCL__TRY(fit_factors(m));
    copy_importances(m, details);
    *value = mean_concentration(m, false, details->per_factor);
    return MMCL_OK;
}

/* Share of the weight that is predicted right, or R^2. */
static double judge(const mmcl__metric *m, size_t factor)
{
    const mmcl__sample *s     = &m->sample;
    const mmcl__joint  *on    = &m->part[MMCL__EVALUATE];
    size_t              first = s->first[MMCL__EVALUATE], n = s->count[MMCL__EVALUATE];
    const double       *predicted = s->fitted + factor * n;
    double              right = 0, error = 0;
    for (size_t i = 0; i < n; i++) {
        double weight = s->weight[first + i], miss;
        if (m->discrete) {
            right += s->classes[(first + i) * m->d + factor] == (uint32_t) predicted[i] ? weight : 0;
            continue;
        }
        miss = s->rows[(first + i) * m->p + m->k + factor] - predicted[i];
        error += weight * miss * miss;
    }
    size_t at = m->k + factor;
    return m->discrete ? right / on->weight : 1 - error / on->scatter[at * m->p + at];
}

mmcl_status mmcl__metric_informativeness(mmcl__metric *m, const mmcl_metric_details *details, double *value)
{
    MMCL__TRY(fit_factors(m));
    *value = 0;
    for (size_t j = 0; j < m->d; j++) {
        double score = judge(m, j);
        *value += score / (double) m->d;
        if (details->per_factor != NULL)
            details->per_factor[j] = score;
    }
    return MMCL_OK;
}
