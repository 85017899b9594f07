#include "metrics/metrics.h"

#include "core/rng.h"
#include "linalg/blas.h"
#include "linalg/matrix.h"

#include <math.h>
#include <string.h>

#define TILE 256

/* Sums over the rows of one part: columns are the codes [k], then the factors [d]. */
struct joint {
    double  count;
    double *mean, *scatter; /* [p], [p, p]; the upper triangle until the end of the pass */
};

struct problem {
    mmcl_context      *context;
    const mmcl_matrix *codes, *factors;
    size_t             n, k, d, p;
    double            *block;      /* everything below */
    double            *tile, *read;
    double            *r, *values, *b, *t, *score, *work;
    size_t            *index;
    struct joint       part[2];    /* fit, evaluation */
    double             epsilon;
};

static size_t block_size(size_t k, size_t d)
{
    size_t p = k + d;
    return 2 * (p + p * p) + (TILE + 1) * p + TILE * MMCL__MAX(k, d) + k * k + k + 3 * k * d + 2 * (p + 2);
}

static mmcl_status open_problem(struct problem *q)
{
    size_t k = q->k, d = q->d, p = q->p;
    q->block = mmcl__calloc(q->context, block_size(k, d), sizeof(double));
    q->index = mmcl__alloc(q->context, 4 * (p + 1), sizeof(size_t));
    if (q->block == NULL || q->index == NULL)
        return MMCL_E_NOMEM;
    double *at = q->block;
    for (int i = 0; i < 2; i++, at += p + p * p)
        q->part[i] = (struct joint){.mean = at, .scatter = at + p};
    q->tile   = at;
    q->read   = q->tile + (TILE + 1) * p;
    q->r      = q->read + TILE * MMCL__MAX(k, d);
    q->values = q->r + k * k;
    q->b      = q->values + k;
    q->t      = q->b + k * d;
    q->score  = q->t + k * d;
    q->work   = q->score + k * d;
    return MMCL_OK;
}

static void close_problem(struct problem *q)
{
    mmcl__free(q->context, q->block, block_size(q->k, q->d), sizeof(double));
    mmcl__free(q->context, q->index, 4 * (q->p + 1), sizeof(size_t));
}

static mmcl_status fetch(struct problem *q, const mmcl_matrix *matrix, const char *name, size_t first, size_t n, size_t offset)
{
    mmcl__place bad;
    mmcl_status status = mmcl__read_f64(matrix, first, n, q->read, &bad);
    if (status != MMCL_OK)
        return mmcl__read_failed(q->context, status, name, SIZE_MAX, &bad);
    for (size_t i = 0; i < n; i++)
        memcpy(q->tile + i * q->p + offset, q->read + i * matrix->cols, matrix->cols * sizeof(double));
    return MMCL_OK;
}

/* Adds n rows of the tile, centred on their own mean (Chan, Golub and LeVeque 1979). */
static void add_rows(struct joint *sum, double *tile, size_t n, size_t p)
{
    double *mean = tile + TILE * p, total = sum->count + (double) n, weight = sum->count * (double) n / total;
    memset(mean, 0, p * sizeof *mean);
    for (size_t i = 0; i < n; i++)
        mmcl__axpy_f64(p, 1 / (double) n, tile + i * p, mean);
    for (size_t i = 0; i < n; i++)
        mmcl__axpy_f64(p, -1, mean, tile + i * p);
    mmcl__axpy_f64(p, -1, sum->mean, mean);
    for (size_t i = 0; i < p && weight > 0; i++)
        mmcl__axpy_f64(p - i, weight * mean[i], mean + i, sum->scatter + i * p + i);
    mmcl__syrk_f64(p, n, tile, p, sum->scatter, p);
    mmcl__axpy_f64(p, (double) n / total, mean, sum->mean);
    sum->count = total;
}

static bool held_out(uint64_t seed, size_t row, double share)
{
    uint32_t counter[4] = {(uint32_t) row, (uint32_t) ((uint64_t) row >> 32), 0, 1}, word[4];
    uint32_t key[2]     = {(uint32_t) seed, (uint32_t) (seed >> 32)};
    mmcl__philox(counter, key, word);
    return ((word[0] >> 5) * 67108864.0 + (word[1] >> 6)) / 9007199254740992.0 < share;
}

/* Rows of one part move to the front of the tile, and how many they are is returned. */
static size_t gather(struct problem *q, const mmcl_metric_options *options, size_t first, size_t n, bool out)
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        if (held_out(options->seed, first + i, options->holdout) == out)
            memmove(q->tile + kept++ * q->p, q->tile + i * q->p, q->p * sizeof(double));
    return kept;
}

static mmcl_status pass(struct problem *q, const mmcl_metric_options *options, bool out)
{
    for (size_t first = 0; first < q->n; first += TILE) {
        size_t n = MMCL__MIN(TILE, q->n - first);
        MMCL__TRY(mmcl__check_cancel(q->context));
        MMCL__TRY(fetch(q, q->codes, "codes", first, n, 0));
        MMCL__TRY(fetch(q, q->factors, "factors", first, n, q->k));
        if (options->holdout > 0)
            n = gather(q, options, first, n, out);
        if (n > 0)
            add_rows(&q->part[out], q->tile, n, q->p);
    }
    if (q->part[out].count < 3)
        return mmcl__fail(q->context, MMCL_E_INVAL, "holdout: leaves %g rows to %s, expected at least 3", q->part[out].count,
                          out ? "evaluate" : "fit");
    mmcl__symmetrize(q->p, q->part[out].scatter, q->p);
    return MMCL_OK;
}

/* A column whose spread is what rounding of its mean makes. */
static bool constant(const struct problem *q, const struct joint *part, size_t column)
{
    double spread = sqrt(part->scatter[column * q->p + column] / part->count);
    return !(spread > 1e-14 * fabs(part->mean[column]));
}

static mmcl_status check_columns(const struct problem *q, const struct joint *part)
{
    size_t varying = 0;
    for (size_t j = 0; j < q->d; j++)
        if (constant(q, part, q->k + j))
            return mmcl__fail(q->context, MMCL_E_NUMERIC, "factors: column %zu is constant (counted from 0), so nothing is defined for it", j);
    for (size_t i = 0; i < q->k; i++)
        varying += !constant(q, part, i);
    if (varying == 0)
        return mmcl__fail(q->context, MMCL_E_NUMERIC, "codes: all %zu columns are constant", q->k);
    if (varying < q->k)
        mmcl__log(q->context, MMCL_LOG_WARNING, "codes: %zu of %zu columns are constant", q->k - varying, q->k);
    return MMCL_OK;
}

/* ------------------------------------------------------------------------------------------------------------- R^2 --- */

/* Coefficients b [k, d] of minimal norm for codes at variance 1, by the eigenvectors of their correlations; *rank of these. */
static mmcl_status regress(struct problem *q, size_t *rank)
{
    const double *s = q->part[0].scatter;
    size_t        k = q->k, d = q->d, p = q->p;
    double       *scale = q->work;
    for (size_t i = 0; i < k; i++)
        scale[i] = constant(q, &q->part[0], i) ? 0 : 1 / sqrt(s[i * p + i]);
    for (size_t i = 0; i < k; i++) {
        for (size_t j = 0; j < k; j++)
            q->r[i * k + j] = s[i * p + j] * scale[i] * scale[j];
        for (size_t j = 0; j < d; j++)
            q->b[i * d + j] = s[i * p + k + j] * scale[i];
    }
    MMCL__TRY(mmcl__eigsym(q->context, k, q->r, q->values));
    double cut = 4 * (double) k * fmax(q->epsilon * q->epsilon, 0x1p-52) * q->values[0];
    mmcl__gemm_f64(false, false, k, d, k, 1, q->r, k, q->b, d, 0, q->t, d);
    for (*rank = 0; *rank < k && q->values[*rank] > cut; ++*rank)
        mmcl__scale_f64(d, 1 / q->values[*rank], q->t + *rank * d);
    mmcl__gemm_f64(true, false, k, d, *rank, 1, q->r, k, q->t, d, 0, q->b, d);
    for (size_t i = 0; i < k; i++)
        mmcl__scale_f64(d, scale[i], q->b + i * d);
    return MMCL_OK;
}

/* SSE on the evaluated rows from their moments: S_yy - 2 b^T S_xy + b^T S_xx b + n (offset of the means)^2. */
static mmcl_status r2(struct problem *q, const mmcl_metric_options *options, double *value, double *per_factor)
{
    bool                split = options->holdout > 0;
    const struct joint *fit = &q->part[0], *on = &q->part[split];
    size_t              k = q->k, d = q->d, p = q->p, rank;
    MMCL__TRY(regress(q, &rank));
    if (!split && (double) rank + 1 >= fit->count)
        return mmcl__fail(q->context, MMCL_E_NUMERIC, "codes: %zu independent columns and an intercept fit any %zu rows; give more rows",
                          rank, q->n);
    mmcl__gemm_f64(false, false, k, d, k, 1, on->scatter, p, q->b, d, 0, q->t, d);
    *value = 0;
    for (size_t j = 0; j < d; j++) {
        double total = on->scatter[(k + j) * p + k + j], error = total, offset = on->mean[k + j] - fit->mean[k + j];
        for (size_t i = 0; i < k; i++) {
            double b = q->b[i * d + j];
            error += b * (q->t[i * d + j] - 2 * on->scatter[i * p + k + j]);
            offset -= b * (on->mean[i] - fit->mean[i]);
        }
        double score = 1 - fmax(error + on->count * offset * offset, 0) / total;
        *value += score / (double) d;
        if (per_factor != NULL)
            per_factor[j] = score;
    }
    return MMCL_OK;
}

/* ------------------------------------------------------------------------------------------------------------- MCC --- */

static void mcc(struct problem *q, double *value, const mmcl_metric_details *details)
{
    const double *s    = q->part[0].scatter;
    size_t        k = q->k, d = q->d, p = q->p;
    bool          wide = d <= k; /* rows of the assignment are the factors, or the codes where these are fewer */
    size_t       *out  = q->index + 3 * (p + 1), rows = wide ? d : k;
    for (size_t i = 0; i < k; i++)
        for (size_t j = 0; j < d; j++) {
            double size = sqrt(s[i * p + i]) * sqrt(s[(k + j) * p + k + j]);
            double corr = constant(q, &q->part[0], i) ? 0 : fmax(-1, fmin(1, s[i * p + k + j] / size));
            q->score[wide ? j * k + i : i * d + j] = fabs(corr);
            if (details->matrix != NULL)
                details->matrix[i * d + j] = corr;
        }
    mmcl__assign(rows, wide ? k : d, q->score, q->work, q->index, out);
    for (size_t j = 0; j < d; j++) {
        if (details->per_factor != NULL)
            details->per_factor[j] = 0;
        if (details->assignment != NULL)
            details->assignment[j] = UINT64_MAX;
    }
    *value = 0;
    for (size_t r = 0; r < rows; r++) {
        size_t factor = wide ? r : out[r], code = wide ? out[r] : r;
        double corr = q->score[r * (wide ? k : d) + out[r]];
        *value += corr / (double) d;
        if (details->per_factor != NULL)
            details->per_factor[factor] = corr;
        if (details->assignment != NULL)
            details->assignment[factor] = code;
    }
}

static mmcl_status solve(struct problem *q, mmcl_metric_kind kind, const mmcl_metric_options *options, double *value,
                         const mmcl_metric_details *details)
{
    MMCL__TRY(open_problem(q));
    MMCL__TRY(pass(q, options, false));
    MMCL__TRY(check_columns(q, &q->part[0]));
    if (options->holdout > 0) {
        MMCL__TRY(pass(q, options, true));
        MMCL__TRY(check_columns(q, &q->part[1]));
    }
    if (kind == MMCL_METRIC_R2)
        return r2(q, options, value, details->per_factor);
    mcc(q, value, details);
    return MMCL_OK;
}

mmcl_status mmcl__metric(mmcl_context *context, mmcl_metric_kind kind, const mmcl_matrix *codes, const mmcl_matrix *factors,
                         const mmcl_metric_options *options, double *value, const mmcl_metric_details *details)
{
    struct problem q = {.context = context, .codes = codes, .factors = factors, .n = codes->rows, .k = codes->cols, .d = factors->cols,
                        .p = codes->cols + factors->cols, .epsilon = mmcl__dtype_epsilon(codes->dtype)};
    mmcl__operation operation;
    mmcl__begin(&operation, context, "metric", 1);
    mmcl_status status = solve(&q, kind, options, value, details);
    close_problem(&q);
    return mmcl__end(&operation, status);
}
