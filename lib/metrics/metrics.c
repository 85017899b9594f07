#include "metrics/metrics.h"

#include "core/sorted.h"
#include "linalg/matrix.h"

#include <math.h>

#define MATCHED (MMCL__TAKES_PER_FACTOR | MMCL__TAKES_MATRIX | MMCL__TAKES_ASSIGNMENT)
#define BINNED  (MMCL__TAKES_BINS | MMCL__TAKES_DISCRETE)

/* Rows that an estimator looks at without the option (Locatello et al. 2019 train on 10,000). */
enum { TREE_ROWS = 10000, KERNEL_ROWS = 2000, GROUP_ROWS = 100000 };

static const mmcl__metric_kind kinds[] = {
    [MMCL_METRIC_R2]                   = {NULL, mmcl__metric_moments, mmcl__metric_r2, MMCL__TAKES_HOLDOUT | MMCL__TAKES_PER_FACTOR, 0},
    [MMCL_METRIC_MCC]                  = {NULL, mmcl__metric_moments, mmcl__metric_mcc, MATCHED, 0},
    [MMCL_METRIC_CKA]                  = {NULL, mmcl__metric_moments, mmcl__metric_cka, 0, 0},
    [MMCL_METRIC_CCA]                  = {NULL, mmcl__metric_moments, mmcl__metric_cca, 0, 0},
    [MMCL_METRIC_ORTHOGONALITY_DEFECT] = {NULL, mmcl__metric_moments, mmcl__metric_orthogonality, 0, 0},
    [MMCL_METRIC_PERMUTATION_DEFECT]   = {NULL, mmcl__metric_moments, mmcl__metric_permutation, 0, 0},
    [MMCL_METRIC_MCC_SPEARMAN]         = {mmcl__ranks_prepare, mmcl__ranks_gather, mmcl__metric_mcc, MATCHED, 0},
    [MMCL_METRIC_MCC_WEAK]             = {NULL, mmcl__metric_moments, mmcl__metric_mcc_weak, MMCL__TAKES_HOLDOUT | MMCL__TAKES_PER_FACTOR, 0},
    [MMCL_METRIC_SVCCA]                = {NULL, mmcl__metric_moments, mmcl__metric_svcca, 0, 0},
    [MMCL_METRIC_PROCRUSTES]           = {NULL, mmcl__metric_moments, mmcl__metric_procrustes, 0, 0},
    [MMCL_METRIC_CKA_DEBIASED]         = {NULL, mmcl__norms_gather, mmcl__metric_cka_debiased, MMCL__DISTINCT_ROWS, 0},
    [MMCL_METRIC_MIG]                  = {mmcl__counts_prepare, mmcl__counts_gather, mmcl__metric_mig,
                                          BINNED | MMCL__TAKES_PER_FACTOR | MMCL__TAKES_MATRIX | MMCL__CENTRED, 0},
    [MMCL_METRIC_MODULARITY]           = {mmcl__counts_prepare, mmcl__counts_gather, mmcl__metric_modularity,
                                          BINNED | MMCL__TAKES_MATRIX | MMCL__CENTRED, 0},
    [MMCL_METRIC_SAP]                  = {NULL, mmcl__metric_moments, mmcl__metric_sap, MMCL__TAKES_PER_FACTOR | MMCL__TAKES_MATRIX, 0},
    [MMCL_METRIC_DCI_DISENTANGLEMENT]  = {mmcl__dci_prepare, mmcl__sample_gather, mmcl__metric_disentanglement,
                                          MMCL__TAKES_DISCRETE | MMCL__TAKES_MATRIX, TREE_ROWS},
    [MMCL_METRIC_DCI_COMPLETENESS]     = {mmcl__dci_prepare, mmcl__sample_gather, mmcl__metric_completeness,
                                          MMCL__TAKES_DISCRETE | MMCL__TAKES_MATRIX | MMCL__TAKES_PER_FACTOR, TREE_ROWS},
    [MMCL_METRIC_DCI_INFORMATIVENESS]  = {mmcl__dci_prepare, mmcl__sample_gather, mmcl__metric_informativeness,
                                          MMCL__TAKES_DISCRETE | MMCL__TAKES_HOLDOUT | MMCL__TAKES_PER_FACTOR, TREE_ROWS},
    [MMCL_METRIC_EXPLICITNESS]         = {mmcl__sample_prepare_classes, mmcl__sample_gather, mmcl__metric_explicitness,
                                          BINNED | MMCL__TAKES_HOLDOUT | MMCL__TAKES_PER_FACTOR, TREE_ROWS},
    [MMCL_METRIC_FACTOR_VAE]           = {mmcl__sample_prepare_classes, mmcl__sample_gather, mmcl__metric_factor_vae,
                                          BINNED | MMCL__TAKES_MATRIX, GROUP_ROWS},
    [MMCL_METRIC_IRS]                  = {mmcl__sample_prepare_classes, mmcl__sample_gather, mmcl__metric_irs,
                                          BINNED | MMCL__TAKES_MATRIX, GROUP_ROWS},
    [MMCL_METRIC_R2_KERNEL]            = {mmcl__sample_prepare, mmcl__sample_gather, mmcl__metric_r2_kernel,
                                          MMCL__TAKES_HOLDOUT | MMCL__NEEDS_HOLDOUT | MMCL__TAKES_PER_FACTOR, KERNEL_ROWS},
    [MMCL_METRIC_SAP_DISCRETE]         = {mmcl__sample_prepare_classes, mmcl__sample_gather, mmcl__metric_sap_discrete,
                                          MMCL__LABELS | MMCL__TAKES_DISCRETE | MMCL__TAKES_HOLDOUT | MMCL__TAKES_PER_FACTOR |
                                              MMCL__TAKES_MATRIX, TREE_ROWS},
};

const mmcl__metric_kind *mmcl__metric_kind_of(mmcl_metric_kind kind)
{
    bool known = kind > 0 && (size_t) kind < sizeof kinds / sizeof *kinds;
    return known ? &kinds[kind] : NULL;
}

static size_t square(size_t k, size_t d)
{
    return MMCL__MAX(k, d) * MMCL__MAX(k, d);
}

static size_t block_size(const mmcl__metric *m)
{
    size_t k = m->k, d = m->d, p = m->p, most = MMCL__MAX(k, d);
    size_t rows = (MMCL__METRIC_TILE + 1) * p + MMCL__METRIC_TILE * (most + 1);
    return rows + 2 * (p + p * p) + 2 * square(k, d) + p + 3 * most * d + 2 * (most + d + 2) + m->options->resamples;
}

static mmcl_status open_metric(mmcl__metric *m)
{
    size_t k = m->k, d = m->d, p = m->p, most = MMCL__MAX(k, d);
    m->block = mmcl__calloc(m->context, block_size(m), sizeof(double));
    m->index = mmcl__alloc(m->context, 4 * (most + d + 1), sizeof(size_t));
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
    m->product = m->map + most * d;
    m->score   = m->product + most * d;
    m->work    = m->score + most * d;
    m->samples = m->work + 2 * (most + d + 2);
    return MMCL_OK;
}

static void close_metric(mmcl__metric *m)
{
    mmcl__free(m->context, m->block, block_size(m), sizeof(double));
    mmcl__free(m->context, m->index, 4 * (MMCL__MAX(m->k, m->d) + m->d + 1), sizeof(size_t));
    mmcl__ranks_close(m);
    mmcl__counts_close(m);
    mmcl__sample_close(m);
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

static double mean(const double *values, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += values[i];
    return sum / (double) n;
}

/* A resample in which the metric is undefined is left out. */
static mmcl_status bootstrap(mmcl__metric *m, mmcl_metric_result *result, mmcl__operation *operation)
{
    const mmcl_metric_details nothing = {0};
    size_t                    counted = 0;
    for (uint32_t draw = 1; draw <= m->options->resamples; draw++) {
        MMCL__TRY(m->kind->gather(m, MMCL__EVALUATE, draw));
        if (m->options->holdout == 0)
            m->part[MMCL__FIT] = m->part[MMCL__EVALUATE];
        if (degenerate(m, &m->part[MMCL__EVALUATE]))
            continue;
        double      value  = NAN;
        mmcl_status status = m->kind->measure(m, &nothing, &value);
        if (status != MMCL_OK && status != MMCL_E_NUMERIC)
            return status;
        if (status == MMCL_OK)
            mmcl__sorted_insert(m->samples, counted++, value);
        MMCL__TRY(mmcl__tick(operation, draw, NAN));
    }
    if (counted == 0)
        return mmcl__fail(m->context, MMCL_E_NUMERIC, "resamples: the metric is undefined in each of %u", m->options->resamples);
    double tail = (1 - (m->options->confidence > 0 ? m->options->confidence : 0.95)) / 2;
    double shift      = (m->kind->flags & MMCL__CENTRED) != 0 ? result->value - mean(m->samples, counted) : 0;
    result->low       = mmcl__sorted_quantile(m->samples, counted, tail) + shift;
    result->high      = mmcl__sorted_quantile(m->samples, counted, 1 - tail) + shift;
    result->resamples = counted;
    return MMCL_OK;
}

static mmcl_status solve(mmcl__metric *m, mmcl_metric_result *result, const mmcl_metric_details *details, mmcl__operation *operation)
{
    MMCL__TRY(open_metric(m));
    if (m->kind->prepare != NULL)
        MMCL__TRY(m->kind->prepare(m));
    MMCL__TRY(m->kind->gather(m, MMCL__FIT, 0));
    MMCL__TRY(check_columns(m, MMCL__FIT));
    if (m->options->holdout > 0) {
        MMCL__TRY(m->kind->gather(m, MMCL__EVALUATE, 0));
        MMCL__TRY(check_columns(m, MMCL__EVALUATE));
    } else {
        m->part[MMCL__EVALUATE] = m->part[MMCL__FIT];
    }
    MMCL__TRY(m->kind->measure(m, details, &result->value));
    result->rows = (uint64_t) m->part[MMCL__EVALUATE].weight;
    result->low = result->high = result->value;
    return m->options->resamples > 0 ? bootstrap(m, result, operation) : MMCL_OK;
}

mmcl_status mmcl__metric_evaluate(mmcl_context *context, mmcl_metric_kind kind, const mmcl_matrix *codes, const mmcl_matrix *factors,
                                  const mmcl_metric_options *options, mmcl_metric_result *result, const mmcl_metric_details *details)
{
    mmcl__metric m = {.context = context, .codes = codes, .factors = factors, .options = options, .kind = mmcl__metric_kind_of(kind),
                      .n = codes->rows, .k = codes->cols,
                      .d = factors->cols, .p = codes->cols + factors->cols, .epsilon = mmcl__dtype_epsilon(codes->dtype), .share = 1};
    uint64_t        most = m.kind->most_rows > 0 && options->most_rows > 0 ? options->most_rows : m.kind->most_rows;
    m.discrete           = options->discrete != 0 || (m.kind->flags & MMCL__LABELS) != 0;
    if (most > 0 && most < m.n)
        m.share = (double) most / (double) m.n;
    mmcl__operation operation;
    mmcl__begin(&operation, context, "metric", options->resamples > 0 ? options->resamples : 1);
    mmcl_status status = solve(&m, result, details, &operation);
    close_metric(&m);
    return mmcl__end(&operation, status);
}
