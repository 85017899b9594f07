/* Bins of equal width, and classes that whole numbers name. */
#include "metrics/metrics.h"

#include <math.h>

#define DEFAULT_BINS 20
#define MOST_LEVELS  65536

static void visit_range(mmcl__metric *m, mmcl__part part, size_t n)
{
    double *least = m->counts.least, *most = m->counts.step;
    (void) part;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < m->p; j++) {
            double at = m->tile[i * m->p + j];
            least[j]  = fmin(least[j], at);
            most[j]   = fmax(most[j], at);
        }
}

/* Whole numbers only: m->work[0] becomes 1 + the first column with another value. */
static void visit_labels(mmcl__metric *m, mmcl__part part, size_t n)
{
    (void) part;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < m->d; j++)
            if (m->tile[i * m->p + m->k + j] != rint(m->tile[i * m->p + m->k + j]) && m->work[0] == 0)
                m->work[0] = 1 + (double) j;
}

static mmcl_status over_all_rows(mmcl__metric *m, void (*visit)(mmcl__metric *m, mmcl__part part, size_t n))
{
    MMCL__TRY(mmcl__metric_pass(m, MMCL__FIT, 0, visit));
    return m->options->holdout > 0 ? mmcl__metric_pass(m, MMCL__EVALUATE, 0, visit) : MMCL_OK;
}

static mmcl_status check_labels(mmcl__metric *m)
{
    m->work[0] = 0;
    MMCL__TRY(over_all_rows(m, visit_labels));
    if (m->work[0] > 0)
        return mmcl__fail(m->context, MMCL_E_NUMERIC,
                          "factors: column %g holds values that are not whole, expected whole numbers that name classes", m->work[0] - 1);
    for (size_t j = m->k; j < m->p; j++)
        if (m->counts.step[j] - m->counts.least[j] >= MOST_LEVELS)
            return mmcl__fail(m->context, MMCL_E_NUMERIC, "factors: column %zu spans %g classes, expected at most %d", j - m->k,
                              m->counts.step[j] - m->counts.least[j] + 1, MOST_LEVELS);
    return MMCL_OK;
}

/* From least and largest values to bins. */
static void lay_out(mmcl__metric *m)
{
    mmcl__counts *c = &m->counts;
    c->levels       = 0;
    for (size_t j = 0; j < m->p; j++) {
        double span   = c->step[j] - c->least[j];
        bool   labels = j >= m->k && m->discrete;
        size_t levels = labels ? (size_t) span + 1 : c->bins;
        c->step[j]    = labels ? 1 : span / (double) c->bins;
        if (j < m->k)
            continue;
        c->first[j - m->k] = c->levels;
        c->levels += levels;
    }
    c->first[m->d] = c->levels;
}

/* Lays out the bins of all columns, from the rows that fit and those that evaluate. */
mmcl_status mmcl__bins_prepare(mmcl__metric *m)
{
    mmcl__counts *c = &m->counts;
    c->bins  = m->options->bins > 0 ? m->options->bins : DEFAULT_BINS;
    c->least = mmcl__alloc(m->context, m->p, sizeof(double));
    c->step  = mmcl__alloc(m->context, m->p, sizeof(double));
    c->first = mmcl__alloc(m->context, m->d + 1, sizeof(size_t));
    c->bin   = mmcl__alloc(m->context, m->p, sizeof(size_t));
    if (c->least == NULL || c->step == NULL || c->first == NULL || c->bin == NULL)
        return MMCL_E_NOMEM;
    for (size_t j = 0; j < m->p; j++) {
        c->least[j] = INFINITY;
        c->step[j]  = -INFINITY;
    }
    MMCL__TRY(over_all_rows(m, visit_range));
    if (m->discrete)
        MMCL__TRY(check_labels(m));
    lay_out(m);
    return MMCL_OK;
}

void mmcl__bins_close(mmcl__metric *m)
{
    mmcl__counts *c = &m->counts;
    mmcl__free(m->context, c->bin, m->p, sizeof(size_t));
    mmcl__free(m->context, c->first, m->d + 1, sizeof(size_t));
    mmcl__free(m->context, c->step, m->p, sizeof(double));
    mmcl__free(m->context, c->least, m->p, sizeof(double));
}

size_t mmcl__bin_of(const mmcl__metric *m, size_t column, double value)
{
    const mmcl__counts *c    = &m->counts;
    size_t              most = column < m->k ? c->bins : c->first[column - m->k + 1] - c->first[column - m->k];
    double              at   = c->step[column] > 0 ? (value - c->least[column]) / c->step[column] : 0;
    return MMCL__MIN((size_t) at, most - 1); /* the largest value lies in the last bin */
}
