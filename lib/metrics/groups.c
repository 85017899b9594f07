/* Metrics that hold a factor fixed: rows are grouped by its classes. */
#include "metrics/metrics.h"

#include "core/rng.h"
#include "core/sorted.h"

#include <math.h>
#include <string.h>

/* Rows of every class of every factor, each as often as it weighs: those of level l are row[begin[l]] ... row[begin[l + 1] - 1]. */
struct groups {
    size_t  count; /* rows, in all for one factor */
    size_t *begin; /* [levels + 1] */
    size_t *row;   /* [d, count] */
    size_t *drawn; /* [count] all rows */
};

static void close_groups(mmcl__metric *m, struct groups *g)
{
    mmcl__free(m->context, g->begin, m->counts.levels + 1, sizeof *g->begin);
    mmcl__free(m->context, g->row, m->d * g->count, sizeof *g->row);
    mmcl__free(m->context, g->drawn, g->count, sizeof *g->drawn);
}

static mmcl_status open_groups(mmcl__metric *m, struct groups *g)
{
    const mmcl__sample *s = &m->sample;
    size_t              n = 0, before = 0;
    g->count = (size_t) m->part[MMCL__EVALUATE].weight;
    g->begin = mmcl__calloc(m->context, m->counts.levels + 1, sizeof *g->begin);
    g->row   = mmcl__alloc(m->context, m->d * g->count, sizeof *g->row);
    g->drawn = mmcl__alloc(m->context, g->count, sizeof *g->drawn);
    if (g->begin == NULL || g->row == NULL || g->drawn == NULL)
        return MMCL_E_NOMEM;
    for (size_t i = 0; i < s->total; i++)
        for (double copies = s->weight[i]; copies > 0; copies--) {
            g->drawn[n++] = i;
            for (size_t j = 0; j < m->d; j++)
                g->begin[m->counts.first[j] + s->classes[i * m->d + j]]++;
        }
    for (size_t l = 0; l <= m->counts.levels; l++) { /* counts to beginnings */
        size_t count = g->begin[l];
        g->begin[l]  = before;
        before += count;
    }
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < m->d; j++)
            g->row[g->begin[m->counts.first[j] + s->classes[g->drawn[i] * m->d + j]]++] = g->drawn[i];
    for (size_t l = m->counts.levels; l > 0; l--) /* each beginning has moved on to the next one's */
        g->begin[l] = g->begin[l - 1];
    g->begin[0] = 0;
    return MMCL_OK;
}

/* ------------------------------------------------------------------------------------------------- FactorVAE's score --- */

#define BATCH  64
#define VOTES  10000 /* that teach the classifier, and half as many that judge it (Locatello et al. 2019) */
#define PRUNED 0.05  /* of the largest deviation of a code */

/* The code that varies least, against its variance in all rows, in a batch with one factor fixed. */
static size_t vote(const mmcl__metric *m, const struct groups *g, uint64_t number, size_t factor, const double *variance)
{
    const mmcl__sample *s    = &m->sample;
    uint64_t            seed = m->options->seed;
    size_t              fixed = 0, best = 0, size = 0, level;
    double             *mean = m->work, least = INFINITY;
    for (uint32_t try = 0; size < BATCH && try < 64; try++) { /* a class by its share of the rows; one that is too small counts for nothing */
        fixed = g->drawn[(size_t) (mmcl__philox_uniform(seed, number, try, 4) * (double) g->count)];
        level = m->counts.first[factor] + s->classes[fixed * m->d + factor];
        size  = g->begin[level + 1] - g->begin[level];
    }
    if (size < BATCH)
        return SIZE_MAX;
    const size_t *rows = g->row + g->begin[level];
    double       *square = mean + m->k;
    memset(mean, 0, 2 * m->k * sizeof *mean);
    for (uint32_t i = 0; i < BATCH; i++) {
        const double *row = s->rows + rows[(size_t) (mmcl__philox_uniform(seed, number, i, 5) * (double) size)] * m->p;
        for (size_t c = 0; c < m->k; c++) {
            double at    = row[c] - m->part[MMCL__EVALUATE].mean[c], off = at - mean[c];
            mean[c] += off / (i + 1);
            square[c] += off * (at - mean[c]);
        }
    }
    for (size_t c = 0; c < m->k; c++)
        if (variance[c] > 0 && square[c] / (BATCH - 1) / variance[c] < least) {
            least = square[c] / (BATCH - 1) / variance[c];
            best  = c;
        }
    return best;
}

/* variance [k]: of the codes, 0 for those that hardly vary. */
static void take_variances(const mmcl__metric *m, double *variance)
{
    const mmcl__joint *on   = &m->part[MMCL__EVALUATE];
    double             most = 0;
    for (size_t c = 0; c < m->k; c++) {
        variance[c] = mmcl__metric_constant(m, on, c) ? 0 : on->scatter[c * m->p + c] / (on->weight - 1);
        most        = fmax(most, variance[c]);
    }
    for (size_t c = 0; c < m->k; c++)
        if (variance[c] < PRUNED * PRUNED * most)
            variance[c] = 0;
}

/* Votes of each code for each factor go to m->map [k, d]; then the share of new votes that the majorities tell right. */
static mmcl_status take_votes(mmcl__metric *m, const struct groups *g, const double *variance, double *value)
{
    size_t d = m->d, right = 0;
    memset(m->map, 0, m->k * d * sizeof *m->map);
    for (uint64_t number = 0; number < VOTES + VOTES / 2; number++) {
        size_t factor = (size_t) (mmcl__philox_uniform(m->options->seed, number, 0, 3) * (double) d), best = 0;
        size_t code = vote(m, g, number, factor, variance);
        if (code == SIZE_MAX)
            return mmcl__fail(m->context, MMCL_E_NUMERIC,
                              "factors: column %zu has hardly a class with %d rows, which the FactorVAE score compares; give more rows or fewer bins",
                              factor, BATCH);
        if (number < VOTES) {
            m->map[code * d + factor]++;
            continue;
        }
        for (size_t j = 1; j < d; j++)
            best = m->map[code * d + j] > m->map[code * d + best] ? j : best;
        right += best == factor;
    }
    *value = (double) right / (VOTES / 2);
    return MMCL_OK;
}

mmcl_status mmcl__metric_factor_vae(mmcl__metric *m, const mmcl_metric_details *details, double *value)
{
    struct groups g = {0};
    double       *variance = m->values;
    if (m->d < 2)
        return mmcl__fail(m->context, MMCL_E_INVAL, "factors: 1 column, expected at least 2 for the FactorVAE score");
    take_variances(m, variance);
    mmcl_status status = open_groups(m, &g);
    if (status == MMCL_OK)
        status = take_votes(m, &g, variance, value);
    if (status == MMCL_OK && details->matrix != NULL)
        memcpy(details->matrix, m->map, m->k * m->d * sizeof *m->map);
    close_groups(m, &g);
    return status;
}

/* ----------------------------------------------------------------------------------------------------------- IRS --- */

#define PERCENTILE 0.99

/* Quantile of |code - its mean| over rows; `values` and `order` [2 n] are scratch. */
static double deviation(const mmcl__metric *m, const size_t *rows, size_t n, size_t code, double *values, uint32_t *order)
{
    const mmcl__sample *s    = &m->sample;
    double              mean = 0;
    for (size_t i = 0; i < n; i++)
        mean += s->rows[rows[i] * m->p + code] / (double) n;
    for (size_t i = 0; i < n; i++)
        values[i] = fabs(s->rows[rows[i] * m->p + code] - mean);
    mmcl__sorted_order(n, values, order, order + n);
    double at = PERCENTILE * (double) (n - 1);
    size_t i  = (size_t) at, next = MMCL__MIN(i + 1, n - 1);
    return values[order[i]] + (at - (double) i) * (values[order[next]] - values[order[i]]);
}

/* Robustness of one code to each factor: 1 - mean deviation with the factor fixed over the largest without, to m->map. */
static double resist(mmcl__metric *m, const struct groups *g, size_t code, double *values, uint32_t *order)
{
    const mmcl__joint *on   = &m->part[MMCL__EVALUATE];
    double             most = 0;
    for (size_t i = 0; i < g->count; i++)
        most = fmax(most, fabs(m->sample.rows[g->drawn[i] * m->p + code] - on->mean[code]));
    for (size_t j = 0; j < m->d; j++) {
        double sum = 0, seen = 0;
        for (size_t l = m->counts.first[j]; l < m->counts.first[j + 1]; l++) {
            size_t n = g->begin[l + 1] - g->begin[l];
            sum += n > 0 ? deviation(m, g->row + g->begin[l], n, code, values, order) : 0;
            seen += n > 0;
        }
        m->map[code * m->d + j] = 1 - sum / seen / most;
    }
    return most;
}

static mmcl_status resist_all(mmcl__metric *m, const struct groups *g, double *values, uint32_t *order, double *value)
{
    double sum = 0, mass = 0;
    memset(m->map, 0, m->k * m->d * sizeof *m->map);
    for (size_t c = 0; c < m->k; c++) {
        if (mmcl__metric_constant(m, &m->part[MMCL__EVALUATE], c))
            continue;
        MMCL__TRY(mmcl__check_cancel(m->context));
        double most = resist(m, g, c, values, order), best = m->map[c * m->d];
        for (size_t j = 1; j < m->d; j++)
            best = fmax(best, m->map[c * m->d + j]);
        sum += most * best;
        mass += most;
    }
    *value = sum / mass;
    return MMCL_OK;
}

mmcl_status mmcl__metric_irs(mmcl__metric *m, const mmcl_metric_details *details, double *value)
{
    struct groups g      = {0};
    mmcl_status   status = open_groups(m, &g);
    double       *values = status == MMCL_OK ? mmcl__alloc(m->context, g.count, sizeof *values) : NULL;
    uint32_t     *order  = values != NULL ? mmcl__alloc(m->context, 2 * g.count, sizeof *order) : NULL;
    if (status == MMCL_OK)
        status = order == NULL ? MMCL_E_NOMEM : resist_all(m, &g, values, order, value);
    if (status == MMCL_OK && details->matrix != NULL)
        memcpy(details->matrix, m->map, m->k * m->d * sizeof *m->map);
    mmcl__free(m->context, values, g.count, sizeof *values);
    mmcl__free(m->context, order, 2 * g.count, sizeof *order);
    close_groups(m, &g);
    return status;
}
