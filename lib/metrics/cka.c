/* Linear centred kernel alignment, from moments and squared norms of rows. */
#include "metrics/metrics.h"

#include "linalg/blas.h"

#include <math.h>

/* Squared Frobenius norm of the scatter of columns from `a` on with columns from `b` on. */
static double square_norm(const mmcl__metric *m, size_t a, size_t rows, size_t b, size_t cols)
{
    const double *s   = m->part[MMCL__EVALUATE].scatter;
    double        sum = 0;
    for (size_t i = 0; i < rows; i++)
        sum += mmcl__dot_f64(cols, s + (a + i) * m->p + b, s + (a + i) * m->p + b);
    return sum;
}

mmcl_status mmcl__metric_cka(mmcl__metric *m, const mmcl_metric_details *details, double *value)
{
    size_t k = m->k, d = m->d;
    (void) details;
    double cross = sqrt(square_norm(m, 0, k, k, d));
    *value       = cross / sqrt(square_norm(m, 0, k, 0, k)) * (cross / sqrt(square_norm(m, k, d, k, d)));
    return MMCL_OK;
}

static void visit_norms(mmcl__metric *m, mmcl__part part, size_t n)
{
    const double *mean = m->part[part].mean;
    for (size_t i = 0; i < n; i++) {
        double k = 0, z = 0;
        for (size_t j = 0; j < m->p; j++) {
            double at = m->tile[i * m->p + j] - mean[j];
            *(j < m->k ? &k : &z) += at * at;
        }
        m->norms.k += k;
        m->norms.z += z;
        m->norms.kk += k * k;
        m->norms.kz += k * z;
        m->norms.zz += z * z;
    }
}

mmcl_status mmcl__norms_gather(mmcl__metric *m, mmcl__part part, uint32_t draw)
{
    MMCL__TRY(mmcl__metric_moments(m, part, draw));
    m->norms = (mmcl__norms){0};
    return mmcl__metric_pass(m, part, draw, visit_norms);
}

/*
 * n (n - 3) times the unbiased HSIC of linear kernels K and L without their diagonals k and l. Centring adds a_i + a_j + c off the diagonal,
 * which the estimator does not see; for centred rows K 1 = 0, so the sums over K without its diagonal are sums over k.
 */
static double hsic(double n, double cross, double products, double k, double l)
{
    return cross - products + k * l / ((n - 1) * (n - 2)) - 2 / (n - 2) * products;
}

mmcl_status mmcl__metric_cka_debiased(mmcl__metric *m, const mmcl_metric_details *details, double *value)
{
    const mmcl__norms *s = &m->norms;
    size_t             k = m->k, d = m->d;
    double             n = m->part[MMCL__EVALUATE].weight;
    (void) details;
    if (n < 4)
        return mmcl__fail(m->context, MMCL_E_NUMERIC, "codes: %g rows, expected at least 4 for the unbiased estimator", n);
    double codes   = hsic(n, square_norm(m, 0, k, 0, k), s->kk, s->k, s->k);
    double factors = hsic(n, square_norm(m, k, d, k, d), s->zz, s->z, s->z);
    double cross   = hsic(n, square_norm(m, 0, k, k, d), s->kz, s->k, s->z);
    if (!(codes > 0 && factors > 0))
        return mmcl__fail(m->context, MMCL_E_NUMERIC, "%s: the unbiased HSIC with itself is not positive, so the alignment is undefined",
                          codes > 0 ? "factors" : "codes");
    *value = cross / sqrt(codes) / sqrt(factors);
    return MMCL_OK;
}
