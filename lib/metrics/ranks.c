/* Spearman's correlation is Pearson's of the ranks: these take the place of the values before moments are gathered. */
#include "metrics/metrics.h"

#include "core/sorted.h"

#define FIRST ((uint32_t) 1 << 31)

static void visit_values(mmcl__metric *m, mmcl__part part, size_t n)
{
    (void) part;
    for (size_t i = 0; i < n; i++, m->index[0]++)
        for (size_t j = 0; j < m->p; j++)
            m->ranks.rank[j * m->n + m->index[0]] = m->tile[i * m->p + j];
}

mmcl_status mmcl__ranks_prepare(mmcl__metric *m)
{
    size_t n = m->n, size;
    if (n >= FIRST)
        return mmcl__fail(m->context, MMCL_E_INVAL, "codes: %zu rows, expected below 2^31 for ranks", n);
    if (!mmcl__mul(n, m->p + 1, &size))
        return mmcl__fail(m->context, MMCL_E_NOMEM, "codes: %zu rows are too many for their ranks", n);
    m->ranks.rank  = mmcl__alloc(m->context, n * m->p, sizeof(double));
    m->ranks.order = mmcl__alloc(m->context, size, sizeof(uint32_t));
    if (m->ranks.rank == NULL || m->ranks.order == NULL)
        return MMCL_E_NOMEM;
    m->index[0] = 0; /* rows that came so far */
    MMCL__TRY(mmcl__metric_pass(m, MMCL__FIT, 0, visit_values));
    for (size_t j = 0; j < m->p; j++) {
        uint32_t     *order = m->ranks.order + j * n;
        const double *value = m->ranks.rank + j * n;
        MMCL__TRY(mmcl__check_cancel(m->context));
        mmcl__sorted_order(n, value, order, m->ranks.order + m->p * n);
        for (size_t i = n; i-- > 0;)
            if (i == 0 || value[order[i]] != value[order[i - 1]])
                order[i] |= FIRST;
    }
    return MMCL_OK;
}

/* Mean ranks of rows that count as often as they weigh: w rows behind `before` others have (2 before + w + 1) / 2. */
static void rank_column(const mmcl__metric *m, size_t column, const double *weight)
{
    size_t          n     = m->n;
    double         *rank  = m->ranks.rank + column * n, before = 0;
    const uint32_t *order = m->ranks.order + column * n;
    for (size_t begin = 0, end; begin < n; begin = end) {
        double here = weight[order[begin] & ~FIRST];
        for (end = begin + 1; end < n && (order[end] & FIRST) == 0; end++)
            here += weight[order[end]];
        for (size_t i = begin; i < end; i++)
            rank[order[i] & ~FIRST] = before + (here + 1) / 2;
        before += here;
    }
}

static void add_tile(mmcl__metric *m, mmcl__part part, const double *weight, size_t first, size_t n)
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        if (weight[first + i] == 0)
            continue;
        for (size_t j = 0; j < m->p; j++)
            m->tile[kept * m->p + j] = m->ranks.rank[j * m->n + first + i];
        m->weights[kept++] = weight[first + i];
    }
    if (kept > 0)
        mmcl__metric_moments_add(m, part, kept);
}

mmcl_status mmcl__ranks_gather(mmcl__metric *m, mmcl__part part, uint32_t draw)
{
    double *weight = mmcl__alloc(m->context, m->n, sizeof *weight);
    if (weight == NULL)
        return MMCL_E_NOMEM;
    for (size_t i = 0; i < m->n; i++)
        weight[i] = mmcl__metric_weight(m, part, draw, i);
    for (size_t j = 0; j < m->p; j++)
        rank_column(m, j, weight);
    mmcl__metric_moments_begin(m, part);
    for (size_t first = 0; first < m->n; first += MMCL__METRIC_TILE)
        add_tile(m, part, weight, first, MMCL__MIN(MMCL__METRIC_TILE, m->n - first));
    mmcl__metric_moments_end(m, part);
    mmcl__free(m->context, weight, m->n, sizeof *weight);
    return mmcl__check_cancel(m->context);
}

void mmcl__ranks_close(mmcl__metric *m)
{
    mmcl__free(m->context, m->ranks.rank, m->n * m->p, sizeof(double));
    mmcl__free(m->context, m->ranks.order, m->n * (m->p + 1), sizeof(uint32_t));
}
