#include "metrics/metrics.h"

#include "core/rng.h"
#include "linalg/blas.h"
#include "linalg/matrix.h"

#include <math.h>
#include <string.h>

static mmcl_status fetch(mmcl__metric *m, const mmcl_matrix *matrix, const char *name, size_t first, size_t n, size_t offset)
{
    mmcl__place bad;
    mmcl_status status = mmcl__read_f64(matrix, first, n, m->read, &bad);
    if (status != MMCL_OK)
        return mmcl__read_failed(m->context, status, name, SIZE_MAX, &bad);
    for (size_t i = 0; i < n; i++)
        memcpy(m->tile + i * m->p + offset, m->read + i * matrix->cols, matrix->cols * sizeof(double));
    return MMCL_OK;
}

double mmcl__metric_weight(const mmcl__metric *m, mmcl__part part, uint32_t draw, size_t row)
{
    const mmcl_metric_options *o = m->options;
    if (o->holdout > 0 && (mmcl__philox_uniform(o->seed, row, 0, 1) < o->holdout) != (part == MMCL__EVALUATE))
        return 0;
    if (m->share < 1 && !(mmcl__philox_uniform(o->seed, row, 0, 2) < m->share))
        return 0;
    return mmcl__metric_redraw(m, draw, row);
}

double mmcl__metric_redraw(const mmcl__metric *m, uint32_t draw, size_t row)
{
    if (draw == 0)
        return 1;
    if ((m->kind->flags & MMCL__DISTINCT_ROWS) != 0)
        return mmcl__philox_uniform(m->options->seed, row, draw, 1) < 0.5;
    return mmcl__philox_poisson(m->options->seed, row, draw, 1);
}

/* Rows of the part, with weights, move to the front of the tile; how many they are. */
static size_t select_rows(mmcl__metric *m, mmcl__part part, uint32_t draw, size_t first, size_t n)
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        double weight = mmcl__metric_weight(m, part, draw, first + i);
        if (weight == 0)
            continue;
        if (kept != i)
            memcpy(m->tile + kept * m->p, m->tile + i * m->p, m->p * sizeof(double));
        m->weights[kept++] = weight;
    }
    return kept;
}

mmcl_status mmcl__metric_pass(mmcl__metric *m, mmcl__part part, uint32_t draw, void (*visit)(mmcl__metric *m, mmcl__part part, size_t n))
{
    for (size_t first = 0; first < m->n; first += MMCL__METRIC_TILE) {
        size_t n = MMCL__MIN(MMCL__METRIC_TILE, m->n - first);
        MMCL__TRY(mmcl__check_cancel(m->context));
        MMCL__TRY(fetch(m, m->codes, "codes", first, n, 0));
        MMCL__TRY(fetch(m, m->factors, "factors", first, n, m->k));
        n = select_rows(m, part, draw, first, n);
        if (n > 0)
            visit(m, part, n);
    }
    return MMCL_OK;
}

/* The rows are centred on their own mean (Chan, Golub and LeVeque 1979). */
void mmcl__metric_moments_add(mmcl__metric *m, mmcl__part part, size_t n)
{
    mmcl__joint *sum = &m->part[part];
    size_t       p   = m->p;
    double *tile = m->tile, *mean = tile + MMCL__METRIC_TILE * p, weight = 0;
    memset(mean, 0, p * sizeof *mean);
    for (size_t i = 0; i < n; i++)
        weight += m->weights[i];
    for (size_t i = 0; i < n; i++)
        mmcl__axpy_f64(p, m->weights[i] / weight, tile + i * p, mean);
    for (size_t i = 0; i < n; i++) {
        mmcl__axpy_f64(p, -1, mean, tile + i * p);
        if (m->weights[i] != 1)
            mmcl__scale_f64(p, sqrt(m->weights[i]), tile + i * p);
    }
    mmcl__axpy_f64(p, -1, sum->mean, mean);
    double total = sum->weight + weight, between = sum->weight * weight / total;
    for (size_t i = 0; i < p && between > 0; i++)
        mmcl__axpy_f64(p - i, between * mean[i], mean + i, sum->scatter + i * p + i);
    mmcl__syrk_f64(p, n, tile, p, sum->scatter, p);
    mmcl__axpy_f64(p, weight / total, mean, sum->mean);
    sum->weight = total;
}

void mmcl__metric_moments_begin(mmcl__metric *m, mmcl__part part)
{
    mmcl__joint *joint = &m->part[part];
    joint->weight      = 0;
    memset(joint->mean, 0, m->p * sizeof(double));
    memset(joint->scatter, 0, m->p * m->p * sizeof(double));
}

void mmcl__metric_moments_end(mmcl__metric *m, mmcl__part part)
{
    mmcl__symmetrize(m->p, m->part[part].scatter, m->p);
}

mmcl_status mmcl__metric_moments(mmcl__metric *m, mmcl__part part, uint32_t draw)
{
    mmcl__metric_moments_begin(m, part);
    MMCL__TRY(mmcl__metric_pass(m, part, draw, mmcl__metric_moments_add));
    mmcl__metric_moments_end(m, part);
    return MMCL_OK;
}

bool mmcl__metric_constant(const mmcl__metric *m, const mmcl__joint *joint, size_t column)
{
    double spread = sqrt(joint->scatter[column * m->p + column] / joint->weight);
    return !(spread > 1e-14 * fabs(joint->mean[column]));
}
