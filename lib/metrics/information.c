/* Mutual information of codes and factors, by plug-in estimates from joint counts. */
#include "metrics/metrics.h"

#include <math.h>
#include <string.h>

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

static mmcl_status check_labels(mmcl__metric *m)
{
    m->work[0] = 0;
    MMCL__TRY(mmcl__metric_pass(m, MMCL__FIT, 0, visit_labels));
    if (m->work[0] > 0)
        return mmcl__fail(m->context, MMCL_E_NUMERIC, "factors: column %g holds values that are not whole, but discrete is 1", m->work[0] - 1);
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
        bool   labels = j >= m->k && m->options->discrete != 0;
        size_t levels = labels ? (size_t) span + 1 : c->bins;
        c->step[j]    = labels ? 1 : span / (double) c->bins;
        if (j < m->k)
            continue;
        c->first[j - m->k] = c->levels;
        c->levels += levels;
    }
    c->first[m->d] = c->levels;
}

mmcl_status mmcl__counts_prepare(mmcl__metric *m)
{
    mmcl__counts *c = &m->counts;
    size_t        size;
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
    MMCL__TRY(mmcl__metric_pass(m, MMCL__FIT, 0, visit_range));
    if (m->options->discrete != 0)
        MMCL__TRY(check_labels(m));
    lay_out(m);
    if (!mmcl__mul(c->bins, c->levels, &size) || !mmcl__mul(size, m->k, &size))
        return mmcl__fail(m->context, MMCL_E_NOMEM, "bins: %zu of a code times %zu of all factors times %zu codes", c->bins, c->levels, m->k);
    c->table = mmcl__alloc(m->context, size, sizeof(double));
    return c->table == NULL ? MMCL_E_NOMEM : MMCL_OK;
}

void mmcl__counts_close(mmcl__metric *m)
{
    mmcl__counts *c = &m->counts;
    mmcl__free(m->context, c->table, m->k * c->bins * c->levels, sizeof(double));
    mmcl__free(m->context, c->bin, m->p, sizeof(size_t));
    mmcl__free(m->context, c->first, m->d + 1, sizeof(size_t));
    mmcl__free(m->context, c->step, m->p, sizeof(double));
    mmcl__free(m->context, c->least, m->p, sizeof(double));
}

static size_t bin_of(const mmcl__metric *m, size_t column, double value)
{
    const mmcl__counts *c    = &m->counts;
    size_t              most = column < m->k ? c->bins : c->first[column - m->k + 1] - c->first[column - m->k];
    double              at   = c->step[column] > 0 ? (value - c->least[column]) / c->step[column] : 0;
    return MMCL__MIN((size_t) at, most - 1); /* the largest value lies in the last bin */
}

static void visit_counts(mmcl__metric *m, mmcl__part part, size_t n)
{
    mmcl__counts *c = &m->counts;
    (void) part;
    for (size_t r = 0; r < n; r++) {
        for (size_t j = 0; j < m->p; j++)
            c->bin[j] = bin_of(m, j, m->tile[r * m->p + j]);
        for (size_t i = 0; i < m->k; i++) {
            double *row = c->table + (i * c->bins + c->bin[i]) * c->levels;
            for (size_t j = 0; j < m->d; j++)
                row[c->first[j] + c->bin[m->k + j]] += m->weights[r];
        }
    }
}

mmcl_status mmcl__counts_gather(mmcl__metric *m, mmcl__part part, uint32_t draw)
{
    MMCL__TRY(mmcl__metric_moments(m, part, draw));
    memset(m->counts.table, 0, m->k * m->counts.bins * m->counts.levels * sizeof(double));
    return mmcl__metric_pass(m, part, draw, visit_counts);
}

static double term(double share)
{
    return share > 0 ? share * log(share) : 0;
}

/* m->map [k, d] = mutual information, m->values [d] = entropies of the factors: I = sum p log p over the table less both margins. */
static void inform(mmcl__metric *m)
{
    const mmcl__counts *c      = &m->counts;
    double              weight = m->part[MMCL__EVALUATE].weight;
    for (size_t i = 0; i < m->k; i++)
        for (size_t j = 0; j < m->d; j++) {
            double joint = 0, code = 0, factor = 0;
            for (size_t b = 0; b < c->bins; b++) {
                double margin = 0;
                for (size_t l = c->first[j]; l < c->first[j + 1]; l++) {
                    double share = c->table[(i * c->bins + b) * c->levels + l] / weight;
                    joint += term(share);
                    margin += share;
                }
                code += term(margin);
            }
            for (size_t l = c->first[j]; l < c->first[j + 1]; l++) {
                double margin = 0;
                for (size_t b = 0; b < c->bins; b++)
                    margin += c->table[(i * c->bins + b) * c->levels + l] / weight;
                factor += term(margin);
            }
            m->map[i * m->d + j] = fmax(joint - code - factor, 0);
            m->values[j]         = -factor;
        }
}

static void copy_matrix(const mmcl__metric *m, const mmcl_metric_details *details)
{
    if (details->matrix != NULL)
        memcpy(details->matrix, m->map, m->k * m->d * sizeof(double));
}

mmcl_status mmcl__metric_mig(mmcl__metric *m, const mmcl_metric_details *details, double *value)
{
    inform(m);
    for (size_t j = 0; j < m->d; j++)
        if (!(m->values[j] > 0))
            return MMCL_E_NUMERIC; /* a resample with one value of a factor */
    copy_matrix(m, details);
    *value = mmcl__metric_gap(m, m->map, m->values, details->per_factor);
    return MMCL_OK;
}

mmcl_status mmcl__metric_modularity(mmcl__metric *m, const mmcl_metric_details *details, double *value)
{
    size_t k = m->k, d = m->d;
    double sum = 0;
    if (d < 2)
        return mmcl__fail(m->context, MMCL_E_INVAL, "factors: 1 column, expected at least 2 for modularity");
    inform(m);
    for (size_t i = 0; i < k; i++) {
        double most = 0, squares = 0;
        for (size_t j = 0; j < d; j++) {
            double square = m->map[i * d + j] * m->map[i * d + j];
            most          = fmax(most, square);
            squares += square;
        }
        sum += most > 0 ? 1 - (squares - most) / (most * (double) (d - 1)) : 0;
    }
    copy_matrix(m, details);
    *value = sum / (double) k;
    return MMCL_OK;
}
