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

static double uniform(uint64_t seed, size_t row, uint32_t purpose)
{
    uint32_t counter[4] = {(uint32_t) row, (uint32_t) ((uint64_t) row >> 32), purpose, 1}, word[4];
    uint32_t key[2]     = {(uint32_t) seed, (uint32_t) (seed >> 32)};
    mmcl__philox(counter, key, word);
    return ((word[0] >> 5) * 67108864.0 + (word[1] >> 6)) / 9007199254740992.0;
}

/* Poisson(1) by inversion. */
static double poisson(double u)
{
    double p = exp(-1), sum = p, k = 0;
    while (u >= sum && p > 1e-17) {
        p /= ++k;
        sum += p;
    }
    return k;
}

/* Rows of the part, with weights, move to the front of the tile; how many they are. */
static size_t select_rows(mmcl__metric *m, mmcl__part part, uint32_t draw, size_t first, size_t n)
{
    const mmcl_metric_options *o = m->options;
    size_t                     kept = 0;
    for (size_t i = 0; i < n; i++) {
        bool   out    = o->holdout > 0 && uniform(o->seed, first + i, 0) < o->holdout;
        double weight = draw == 0 ? 1 : poisson(uniform(o->seed, first + i, draw));
        if ((o->holdout > 0 && out != (part == MMCL__EVALUATE)) || weight == 0)
            continue;
        if (kept != i)
            memcpy(m->tile + kept * m->p, m->tile + i * m->p, m->p * sizeof(double));
        m->weights[kept++] = weight;
    }
    return kept;
}

/* Adds n rows of the tile, centred on their own mean (Chan, Golub and LeVeque 1979). */
static void add_rows(const mmcl__metric *m, mmcl__joint *sum, size_t n)
{
    size_t  p    = m->p;
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

mmcl_status mmcl__metric_gather(mmcl__metric *m, mmcl__part part, uint32_t draw)
{
    mmcl__joint *joint = &m->part[part];
    joint->weight      = 0;
    memset(joint->mean, 0, m->p * sizeof(double));
    memset(joint->scatter, 0, m->p * m->p * sizeof(double));
    for (size_t first = 0; first < m->n; first += MMCL__METRIC_TILE) {
        size_t n = MMCL__MIN(MMCL__METRIC_TILE, m->n - first);
        MMCL__TRY(mmcl__check_cancel(m->context));
        MMCL__TRY(fetch(m, m->codes, "codes", first, n, 0));
        MMCL__TRY(fetch(m, m->factors, "factors", first, n, m->k));
        n = select_rows(m, part, draw, first, n);
        if (n > 0)
            add_rows(m, joint, n);
    }
    mmcl__symmetrize(m->p, joint->scatter, m->p);
    return MMCL_OK;
}

bool mmcl__metric_constant(const mmcl__metric *m, const mmcl__joint *joint, size_t column)
{
    double spread = sqrt(joint->scatter[column * m->p + column] / joint->weight);
    return !(spread > 1e-14 * fabs(joint->mean[column]));
}
