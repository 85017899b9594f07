#include "metrics/metrics.h"

#include "linalg/matrix.h"

#include <math.h>

static size_t square(size_t k, size_t d)
{
    return MMCL__MAX(k, d) * MMCL__MAX(k, d);
}

static size_t block_size(const mmcl__metric *m)
{
    size_t k = m->k, d = m->d, p = m->p;
    size_t rows = (MMCL__METRIC_TILE + 1) * p + MMCL__METRIC_TILE * (MMCL__MAX(k, d) + 1);
    return rows + 2 * (p + p * p) + 2 * square(k, d) + p + 3 * k * d + 2 * (p + 2) + m->options->resamples;
}

static mmcl_status open_metric(mmcl__metric *m)
{
    size_t k = m->k, d = m->d, p = m->p;
    m->block = mmcl__calloc(m->context, block_size(m), sizeof(double));
    m->index = mmcl__alloc(m->context, 4 * (p + 1), sizeof(size_t));
    if (m->block == NULL || m->index == NULL)
        return MMCL_E_NOMEM;
    double *at = m->block;
    for (int i = 0; i < 2; i++, at += p + p * p)
        m->part[i] = (mmcl__joint){.mean = at, .scatter = at + p};
    m->tile    = at;
    m->read    = m->tile + (MMCL__METRIC_TILE + 1) * p;
    m->weights = m->read + MMCL__METRIC_TILE * MMCL__MAX(k, d);
    m->square  = m->weights + MMCL__METRIC_TILE;
    m->basis   = m->square + square(k, d);
    m->values  = m->basis + square(k, d);
    m->map     = m->values + p;
    m->product = m->map + k * d;
    m->score   = m->product + k * d;
    m->work    = m->score + k * d;
    m->samples = m->work + 2 * (p + 2);
    return MMCL_OK;
}

static void close_metric(mmcl__metric *m)
{
    mmcl__free(m->context, m->block, block_size(m), sizeof(double));
    mmcl__free(m->context, m->index, 4 * (m->p + 1), sizeof(size_t));
}

static bool degenerate(const mmcl__metric *m, const mmcl__joint *joint)
{
    size_t varying = 0;
    for (size_t j = 0; j < m->d; j++)
        if (mmcl__metric_constant(m, joint, m->k + j))
            return true;
    for (size_t i = 0; i < m->k; i++)
        varying += !mmcl__metric_constant(m, joint, i);
    return joint->weight < 3 || varying == 0;
}

/* Says what makes the moments degenerate. */
static mmcl_status check_columns(const mmcl__metric *m, mmcl__part part)
{
    const mmcl__joint *joint   = &m->part[part];
    size_t             varying = 0;
    if (joint->weight < 3)
        return mmcl__fail(m->context, MMCL_E_INVAL, "holdout: leaves %g rows to %s, expected at least 3", joint->weight,
                          part == MMCL__EVALUATE ? "evaluate" : "fit");
    for (size_t j = 0; j < m->d; j++)
        if (mmcl__metric_constant(m, joint, m->k + j))
            return mmcl__fail(m->context, MMCL_E_NUMERIC, "factors: column %zu is constant (counted from 0), so nothing is defined for it",
                              j);
    for (size_t i = 0; i < m->k; i++)
        varying += !mmcl__metric_constant(m, joint, i);
    if (varying == 0)
        return mmcl__fail(m->context, MMCL_E_NUMERIC, "codes: all %zu columns are constant", m->k);
    if (varying < m->k)
        mmcl__log(m->context, MMCL_LOG_WARNING, "codes: %zu of %zu columns are constant", m->k - varying, m->k);
    return MMCL_OK;
}

static mmcl_status measure(mmcl__metric *m, mmcl_metric_kind kind, const mmcl_metric_details *details, double *value)
{
    switch (kind) {
    case MMCL_METRIC_R2: return mmcl__metric_r2(m, value, details->per_factor);
    case MMCL_METRIC_MCC: *value = mmcl__metric_mcc(m, details); return MMCL_OK;
    case MMCL_METRIC_CKA: *value = mmcl__metric_cka(m); return MMCL_OK;
    case MMCL_METRIC_CCA: return mmcl__metric_cca(m, value);
    case MMCL_METRIC_ORTHOGONALITY_DEFECT: return mmcl__metric_orthogonality(m, value);
    default: return mmcl__metric_permutation(m, value);
    }
}

/* Puts `value` in its place among n ascending ones. */
static void insert(double *sorted, size_t n, double value)
{
    for (; n > 0 && sorted[n - 1] > value; n--)
        sorted[n] = sorted[n - 1];
    sorted[n] = value;
}

/* Quantile of sorted values, linear between neighbours. */
static double quantile(const double *sorted, size_t n, double share)
{
    double at = share * (double) (n - 1);
    size_t i  = MMCL__MIN((size_t) at, n - 1), next = MMCL__MIN(i + 1, n - 1);
    return sorted[i] + (at - (double) i) * (sorted[next] - sorted[i]);
}

/* A resample in which the metric is undefined is left out. */
static mmcl_status bootstrap(mmcl__metric *m, mmcl_metric_kind kind, mmcl_metric_result *result, mmcl__operation *operation)
{
    const mmcl_metric_details nothing = {0};
    size_t                    counted = 0;
    for (uint32_t draw = 1; draw <= m->options->resamples; draw++) {
        MMCL__TRY(mmcl__metric_gather(m, MMCL__EVALUATE, draw));
        if (m->options->holdout == 0)
            m->part[MMCL__FIT] = m->part[MMCL__EVALUATE];
        if (degenerate(m, &m->part[MMCL__EVALUATE]))
            continue;
        double      value  = NAN;
        mmcl_status status = measure(m, kind, &nothing, &value);
        if (status != MMCL_OK && status != MMCL_E_NUMERIC)
            return status;
        if (status == MMCL_OK)
            insert(m->samples, counted++, value);
        MMCL__TRY(mmcl__tick(operation, draw, NAN));
    }
    if (counted == 0)
        return mmcl__fail(m->context, MMCL_E_NUMERIC, "resamples: the metric is undefined in each of %u", m->options->resamples);
    double tail = (1 - (m->options->confidence > 0 ? m->options->confidence : 0.95)) / 2;
    result->low       = quantile(m->samples, counted, tail);
    result->high      = quantile(m->samples, counted, 1 - tail);
    result->resamples = counted;
    return MMCL_OK;
}

static mmcl_status solve(mmcl__metric *m, mmcl_metric_kind kind, mmcl_metric_result *result, const mmcl_metric_details *details,
                         mmcl__operation *operation)
{
    MMCL__TRY(open_metric(m));
    MMCL__TRY(mmcl__metric_gather(m, MMCL__FIT, 0));
    MMCL__TRY(check_columns(m, MMCL__FIT));
    if (m->options->holdout > 0) {
        MMCL__TRY(mmcl__metric_gather(m, MMCL__EVALUATE, 0));
        MMCL__TRY(check_columns(m, MMCL__EVALUATE));
    } else {
        m->part[MMCL__EVALUATE] = m->part[MMCL__FIT];
    }
    MMCL__TRY(measure(m, kind, details, &result->value));
    result->rows = (uint64_t) m->part[MMCL__EVALUATE].weight;
    result->low = result->high = result->value;
    return m->options->resamples > 0 ? bootstrap(m, kind, result, operation) : MMCL_OK;
}

mmcl_status mmcl__metric_evaluate(mmcl_context *context, mmcl_metric_kind kind, const mmcl_matrix *codes, const mmcl_matrix *factors,
                                  const mmcl_metric_options *options, mmcl_metric_result *result, const mmcl_metric_details *details)
{
    mmcl__metric m = {.context = context, .codes = codes, .factors = factors, .options = options, .n = codes->rows, .k = codes->cols,
                      .d = factors->cols, .p = codes->cols + factors->cols, .epsilon = mmcl__dtype_epsilon(codes->dtype)};
    mmcl__operation operation;
    mmcl__begin(&operation, context, "metric", options->resamples > 0 ? options->resamples : 1);
    mmcl_status status = solve(&m, kind, result, details, &operation);
    close_metric(&m);
    return mmcl__end(&operation, status);
}
