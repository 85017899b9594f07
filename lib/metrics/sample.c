/* Rows that an estimator sees, in memory. */
#include "metrics/metrics.h"

#include <string.h>

static void visit_count(mmcl__metric *m, mmcl__part part, size_t n)
{
    m->sample.count[part] += n;
}

static void visit_rows(mmcl__metric *m, mmcl__part part, size_t n)
{
    mmcl__sample *s = &m->sample;
    memcpy(s->rows + (s->first[part] + s->count[part]) * m->p, m->tile, n * m->p * sizeof(double));
    s->count[part] += n;
}

static mmcl_status pass(mmcl__metric *m, void (*visit)(mmcl__metric *m, mmcl__part part, size_t n))
{
    m->sample.count[MMCL__FIT] = m->sample.count[MMCL__EVALUATE] = 0;
    MMCL__TRY(mmcl__metric_pass(m, MMCL__FIT, 0, visit));
    return m->options->holdout > 0 ? mmcl__metric_pass(m, MMCL__EVALUATE, 0, visit) : MMCL_OK;
}

mmcl_status mmcl__sample_prepare(mmcl__metric *m)
{
    mmcl__sample *s = &m->sample;
    MMCL__TRY(pass(m, visit_count));
    s->total                 = s->count[MMCL__FIT] + s->count[MMCL__EVALUATE];
    s->first[MMCL__EVALUATE] = m->options->holdout > 0 ? s->count[MMCL__FIT] : 0;
    size_t size;
    if (!mmcl__mul(s->total, m->p, &size) || s->total > UINT32_MAX / 2)
        return mmcl__fail(m->context, MMCL_E_NOMEM, "most_rows: %zu rows of %zu columns", s->total, m->p);
    s->rows   = mmcl__alloc(m->context, size, sizeof(double));
    s->weight = mmcl__alloc(m->context, s->total, sizeof(double));
    if (s->rows == NULL || s->weight == NULL)
        return MMCL_E_NOMEM;
    MMCL__TRY(pass(m, visit_rows));
    if (m->options->holdout == 0)
        s->count[MMCL__EVALUATE] = s->count[MMCL__FIT];
    return MMCL_OK;
}

mmcl_status mmcl__sample_prepare_classes(mmcl__metric *m)
{
    mmcl__sample *s = &m->sample;
    MMCL__TRY(mmcl__sample_prepare(m));
    MMCL__TRY(mmcl__bins_prepare(m));
    s->classes = mmcl__alloc(m->context, s->total * m->d, sizeof *s->classes);
    if (s->classes == NULL)
        return MMCL_E_NOMEM;
    for (size_t i = 0; i < s->total; i++)
        for (size_t j = 0; j < m->d; j++)
            s->classes[i * m->d + j] = (uint32_t) mmcl__bin_of(m, m->k + j, s->rows[i * m->p + m->k + j]);
    return MMCL_OK;
}

void mmcl__sample_close(mmcl__metric *m)
{
    mmcl__sample *s = &m->sample;
    mmcl__free(m->context, s->rows, s->total * m->p, sizeof(double));
    mmcl__free(m->context, s->weight, s->total, sizeof(double));
    mmcl__free(m->context, s->classes, s->total * m->d, sizeof *s->classes);
    mmcl__free(m->context, s->fitted, s->fitted_count, sizeof(double));
}

static void add_tile(mmcl__metric *m, mmcl__part part, size_t first, size_t last)
{
    const mmcl__sample *s    = &m->sample;
    size_t              kept = 0;
    for (size_t i = first; i < last; i++) {
        if (s->weight[i] == 0)
            continue;
        memcpy(m->tile + kept * m->p, s->rows + i * m->p, m->p * sizeof(double));
        m->weights[kept++] = s->weight[i];
    }
    if (kept > 0)
        mmcl__metric_moments_add(m, part, kept);
}

mmcl_status mmcl__sample_gather(mmcl__metric *m, mmcl__part part, uint32_t draw)
{
    mmcl__sample *s    = &m->sample;
    size_t        from = s->first[part], end = from + s->count[part];
    s->stale = s->stale || part == MMCL__FIT || m->options->holdout == 0;
    for (size_t i = from; i < end; i++)
        s->weight[i] = mmcl__metric_redraw(m, draw, i);
    mmcl__metric_moments_begin(m, part);
    for (size_t first = from; first < end; first += MMCL__METRIC_TILE)
        add_tile(m, part, first, MMCL__MIN(first + MMCL__METRIC_TILE, end));
    mmcl__metric_moments_end(m, part);
    return mmcl__check_cancel(m->context);
}

mmcl_status mmcl__sample_keep(mmcl__metric *m, size_t count)
{
    mmcl__sample *s = &m->sample;
    if (s->fitted != NULL)
        return MMCL_OK;
    s->fitted_count = count;
    s->fitted       = mmcl__alloc(m->context, count, sizeof(double));
    return s->fitted == NULL ? MMCL_E_NOMEM : MMCL_OK;
}
