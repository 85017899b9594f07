/* Mutual information of codes and factors, by plug-in estimates from joint counts. */
#include "metrics/metrics.h"

#include <math.h>
#include <string.h>

mmcl_status mmcl__counts_prepare(mmcl__metric *m)
{
    mmcl__counts *c = &m->counts;
    size_t        size;
    MMCL__TRY(mmcl__bins_prepare(m));
    if (!mmcl__mul(c->bins, c->levels, &size) || !mmcl__mul(size, m->k, &size))
        return mmcl__fail(m->context, MMCL_E_NOMEM, "bins: %zu of a code times %zu of all factors times %zu codes", c->bins, c->levels, m->k);
    c->table = mmcl__alloc(m->context, size, sizeof(double));
    return c->table == NULL ? MMCL_E_NOMEM : MMCL_OK;
}

void mmcl__counts_close(mmcl__metric *m)
{
    mmcl__counts *c = &m->counts;
    mmcl__free(m->context, c->table, m->k * c->bins * c->levels, sizeof(double));
    mmcl__bins_close(m);
}

static void visit_counts(mmcl__metric *m, mmcl__part part, size_t n)
{
    mmcl__counts *c = &m->counts;
    (void) part;
    for (size_t r = 0; r < n; r++) {
        for (size_t j = 0; j < m->p; j++)
            c->bin[j] = mmcl__bin_of(m, j, m->tile[r * m->p + j]);
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
