#include "metrics/metrics.h"

#include "linalg/blas.h"

#include <math.h>
#include <string.h>

/*
 * Eigenvectors, as rows of m->square [n, n], and m->values of the correlations of n columns from `first` on; scale [n] receives 1 /
 * root of each scatter, 0 for a constant column.
 */
static mmcl_status decompose(mmcl__metric *m, const mmcl__joint *joint, size_t first, size_t n, double *scale, size_t *rank)
{
    const double *s = joint->scatter + first * m->p + first;
    for (size_t i = 0; i < n; i++)
        scale[i] = mmcl__metric_constant(m, joint, first + i) ? 0 : 1 / sqrt(s[i * m->p + i]);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++)
            m->square[i * n + j] = s[i * m->p + j] * scale[i] * scale[j];
    MMCL__TRY(mmcl__eigsym(m->context, n, m->square, m->values));
    double cut = 4 * (double) n * fmax(m->epsilon * m->epsilon, 0x1p-52) * m->values[0];
    for (*rank = 0; *rank < n && m->values[*rank] > cut;)
        ++*rank;
    return MMCL_OK;
}

/* The norm that is minimal is that for codes at variance 1. */
mmcl_status mmcl__metric_regress(mmcl__metric *m, size_t *rank)
{
    const mmcl__joint *fit = &m->part[MMCL__FIT];
    size_t             k = m->k, d = m->d;
    double            *scale = m->work;
    MMCL__TRY(decompose(m, fit, 0, k, scale, rank));
    for (size_t i = 0; i < k; i++)
        for (size_t j = 0; j < d; j++)
            m->map[i * d + j] = fit->scatter[i * m->p + k + j] * scale[i];
    mmcl__gemm_f64(false, false, *rank, d, k, 1, m->square, k, m->map, d, 0, m->product, d);
    for (size_t i = 0; i < *rank; i++)
        mmcl__scale_f64(d, 1 / m->values[i], m->product + i * d);
    mmcl__gemm_f64(true, false, k, d, *rank, 1, m->square, k, m->product, d, 0, m->map, d);
    for (size_t i = 0; i < k; i++)
        mmcl__scale_f64(d, scale[i], m->map + i * d);
    return MMCL_OK;
}

/* SSE on the evaluated rows from their moments: S_yy - 2 b^T S_xy + b^T S_xx b + weight (offset of the means)^2. */
mmcl_status mmcl__metric_r2(mmcl__metric *m, const mmcl_metric_details *details, double *value)
{
    const mmcl__joint *fit = &m->part[MMCL__FIT], *on = &m->part[MMCL__EVALUATE];
    size_t             k = m->k, d = m->d, p = m->p, rank;
    MMCL__TRY(mmcl__metric_regress(m, &rank));
    if (m->options->holdout == 0 && (double) rank + 1 >= fit->weight)
        return mmcl__fail(m->context, MMCL_E_NUMERIC, "codes: %zu independent columns and an intercept fit any %zu rows; give more rows",
                          rank, m->n);
    mmcl__gemm_f64(false, false, k, d, k, 1, on->scatter, p, m->map, d, 0, m->product, d);
    *value = 0;
    for (size_t j = 0; j < d; j++) {
        double total = on->scatter[(k + j) * p + k + j], error = total, offset = on->mean[k + j] - fit->mean[k + j];
        for (size_t i = 0; i < k; i++) {
            double b = m->map[i * d + j];
            error += b * (m->product[i * d + j] - 2 * on->scatter[i * p + k + j]);
            offset -= b * (on->mean[i] - fit->mean[i]);
        }
        double score = 1 - fmax(error + on->weight * offset * offset, 0) / total;
        *value += score / (double) d;
        if (details->per_factor != NULL)
            details->per_factor[j] = score;
    }
    return MMCL_OK;
}

static double norm(const double *a, size_t stride, size_t rows, size_t cols)
{
    double sum = 0;
    for (size_t i = 0; i < rows; i++)
        sum += mmcl__dot_f64(cols, a + i * stride, a + i * stride);
    return sqrt(sum);
}

/* `out` [rank, n] times n columns from `first` on, centred, has unit scatter. */
static mmcl_status whiten(mmcl__metric *m, const mmcl__joint *joint, size_t first, size_t n, double *out, size_t *rank)
{
    double *scale = m->work;
    MMCL__TRY(decompose(m, joint, first, n, scale, rank));
    for (size_t r = 0; r < *rank; r++)
        for (size_t i = 0; i < n; i++)
            out[r * n + i] = m->square[r * n + i] * scale[i] / sqrt(m->values[r]);
    return MMCL_OK;
}

/* Overwrites m->square and m->values. */
static mmcl_status sum_singular_values(mmcl__metric *m, size_t rows, size_t cols, const double *a, double *sum)
{
    bool   tall = rows >= cols;
    size_t n    = tall ? cols : rows;
    mmcl__gemm_f64(tall, !tall, n, n, tall ? rows : cols, 1, a, cols, a, cols, 0, m->square, n);
    MMCL__TRY(mmcl__eigsym(m->context, n, m->square, m->values));
    *sum = 0;
    for (size_t i = 0; i < n; i++)
        *sum += sqrt(fmax(m->values[i], 0));
    return MMCL_OK;
}

/* As whiten, onto the leading principal components that hold `share` of the variance. */
static mmcl_status whiten_leading(mmcl__metric *m, const mmcl__joint *joint, size_t first, size_t n, double *out, size_t *rank)
{
    const double share = 0.99;
    double       total = 0, held = 0;
    for (size_t i = 0; i < n; i++)
        memcpy(m->square + i * n, joint->scatter + (first + i) * m->p + first, n * sizeof(double));
    MMCL__TRY(mmcl__eigsym(m->context, n, m->square, m->values));
    for (size_t i = 0; i < n; i++)
        total += m->values[i];
    for (*rank = 0; *rank < n && held < share * total && m->values[*rank] > 0; ++*rank) {
        held += m->values[*rank];
        for (size_t i = 0; i < n; i++)
            out[*rank * n + i] = m->square[*rank * n + i] / sqrt(m->values[*rank]);
    }
    return MMCL_OK;
}

typedef mmcl_status (*whitener)(mmcl__metric *m, const mmcl__joint *joint, size_t first, size_t n, double *out, size_t *rank);

/* The canonical correlations are the singular values of W_x S_xz W_z^T for whitening maps W. */
static mmcl_status mean_canonical(mmcl__metric *m, whitener map_of, double *value)
{
    const mmcl__joint *on = &m->part[MMCL__EVALUATE];
    size_t             k = m->k, d = m->d, p = m->p, rank_x, rank_z;
    double            *basis = m->basis;
    MMCL__TRY(map_of(m, on, 0, k, basis, &rank_x));
    mmcl__gemm_f64(false, false, rank_x, d, k, 1, basis, k, on->scatter + k, p, 0, m->product, d);
    MMCL__TRY(map_of(m, on, k, d, basis, &rank_z));
    mmcl__gemm_f64(false, true, rank_x, rank_z, d, 1, m->product, d, basis, d, 0, m->map, rank_z);
    MMCL__TRY(sum_singular_values(m, rank_x, rank_z, m->map, value));
    *value = fmin(*value / (double) MMCL__MIN(rank_x, rank_z), 1);
    return MMCL_OK;
}

mmcl_status mmcl__metric_cca(mmcl__metric *m, const mmcl_metric_details *details, double *value)
{
    (void) details;
    return mean_canonical(m, whiten, value);
}

mmcl_status mmcl__metric_svcca(mmcl__metric *m, const mmcl_metric_details *details, double *value)
{
    (void) details;
    return mean_canonical(m, whiten_leading, value);
}

mmcl_status mmcl__metric_procrustes(mmcl__metric *m, const mmcl_metric_details *details, double *value)
{
    const double *s = m->part[MMCL__EVALUATE].scatter;
    size_t        k = m->k, d = m->d, p = m->p;
    double        nuclear, codes = 0, factors = 0;
    (void) details;
    for (size_t i = 0; i < k; i++)
        memcpy(m->product + i * d, s + i * p + k, d * sizeof(double));
    MMCL__TRY(sum_singular_values(m, k, d, m->product, &nuclear));
    for (size_t i = 0; i < p; i++)
        *(i < k ? &codes : &factors) += s[i * p + i];
    *value = fmax(1 - nuclear / codes * (nuclear / factors), 0);
    return MMCL_OK;
}

/* map [k, d]: the least-squares map from the factors to the codes. */
static mmcl_status regress_on_factors(mmcl__metric *m)
{
    const mmcl__joint *on = &m->part[MMCL__EVALUATE];
    size_t             k = m->k, d = m->d, p = m->p, rank;
    double            *basis = m->basis;
    MMCL__TRY(whiten(m, on, k, d, basis, &rank));
    if (rank < d)
        return mmcl__fail(m->context, MMCL_E_NUMERIC, "factors: %zu columns, but only %zu are linearly independent", d, rank);
    mmcl__gemm_f64(false, true, k, d, d, 1, on->scatter + k, p, basis, d, 0, m->product, d);
    mmcl__gemm_f64(false, false, k, d, d, 1, m->product, d, basis, d, 0, m->map, d);
    return MMCL_OK;
}

mmcl_status mmcl__metric_orthogonality(mmcl__metric *m, const mmcl_metric_details *details, double *value)
{
    (void) details;
    size_t k = m->k, d = m->d;
    double sum, size;
    MMCL__TRY(regress_on_factors(m));
    MMCL__TRY(sum_singular_values(m, k, d, m->map, &sum));
    size = norm(m->map, d, k, d);
    if (!(size > 0))
        return mmcl__fail(m->context, MMCL_E_NUMERIC, "codes: uncorrelated with every factor, so the map is 0");
    *value = sqrt(fmax(1 - sum / size * (sum / size) / (double) MMCL__MIN(k, d), 0));
    return MMCL_OK;
}

mmcl_status mmcl__metric_permutation(mmcl__metric *m, const mmcl_metric_details *details, double *value)
{
    (void) details;
    const mmcl__joint *on = &m->part[MMCL__EVALUATE];
    size_t             k = m->k, d = m->d, p = m->p, *out = m->index + 3 * (MMCL__MAX(k, d) + d + 1);
    bool               wide = d <= k;
    double             total = 0, kept = 0;
    MMCL__TRY(regress_on_factors(m));
    for (size_t i = 0; i < k; i++) {
        double *row = m->map + i * d, size;
        for (size_t j = 0; j < d; j++)
            row[j] *= sqrt(on->scatter[(k + j) * p + k + j]);
        size = mmcl__metric_constant(m, on, i) ? 0 : norm(row, d, 1, d);
        for (size_t j = 0; j < d; j++) {
            double share = size > 0 ? row[j] / size * (row[j] / size) : 0;
            m->score[wide ? j * k + i : i * d + j] = share;
            total += share;
        }
    }
    if (!(total > 0))
        return mmcl__fail(m->context, MMCL_E_NUMERIC, "codes: uncorrelated with every factor, so the map is 0");
    size_t rows = wide ? d : k, cols = wide ? k : d;
    mmcl__assign(rows, cols, m->score, m->work, m->index, out);
    for (size_t r = 0; r < rows; r++)
        kept += m->score[r * cols + out[r]];
    *value = fmax(1 - kept / total, 0);
    return MMCL_OK;
}
