/* The latent partial causal model: every distribution against closed forms. */
#include "lpcm_support.h"

/* ------------------------------------------------------------------------------------------------------ statistics --- */

typedef struct latents {
    mmcl_model *model;
    size_t      d;
    float      *z_x, *z_t, *m_x, *m_t;
} latents;

/* N rows of a model without a mixing. */
static latents draw(mmcl_model_options options)
{
    options.mixing    = MMCL_MIXING_IDENTITY;
    options.latent    = options.latent != 0 ? options.latent : 3;
    latents l         = {.model = make(options), .d = options.latent};
    l.z_x             = malloc(N * l.d * sizeof(float));
    l.z_t             = malloc(N * l.d * sizeof(float));
    l.m_x             = malloc(N * (options.private_x + 1) * sizeof(float));
    l.m_t             = malloc(N * (options.private_t + 1) * sizeof(float));
    mmcl_samples out  = {.struct_size = sizeof out, .z_x = l.z_x, .z_t = l.z_t, .m_x = l.m_x, .m_t = l.m_t, .rows = N};
    ck_assert_int_eq(mmcl_model_sample(l.model, 5, 1, &out), MMCL_OK);
    return l;
}

static void done(latents l)
{
    free(l.z_x);
    free(l.z_t);
    free(l.m_x);
    free(l.m_t);
    mmcl_model_destroy(l.model);
}

/* KS of column `column` of values [N, cols] against a distribution function. */
static double ks_of(const float *values, size_t cols, size_t column, double (*cdf)(double x, const double *p), const double *p)
{
    double *u = malloc(N * sizeof *u);
    for (size_t i = 0; i < N; i++)
        u[i] = cdf((double) values[i * cols + column], p);
    double result = ks(u, N);
    free(u);
    return result;
}

/* The same of z_t given z_x (conditional distribution function), over the rows whose z_x lies in [low, high]. */
static double ks_given(const float *given, const float *values, size_t cols, double low, double high,
                       double (*cdf)(double x, double given, const double *p), const double *p)
{
    double *u = malloc(N * cols * sizeof *u);
    size_t  n = 0;
    for (size_t i = 0; i < N * cols; i++)
        if ((double) given[i] >= low && (double) given[i] <= high)
            u[n++] = cdf((double) values[i], (double) given[i], p);
    double result = ks(u, n);
    free(u);
    return result;
}

static double correlation(const float *a, size_t a_cols, size_t i, const float *b, size_t b_cols, size_t j)
{
    double sa = 0, sb = 0, aa = 0, bb = 0, ab = 0;
    for (size_t r = 0; r < N; r++) {
        double x = (double) a[r * a_cols + i], y = (double) b[r * b_cols + j];
        sa += x;
        sb += y;
        aa += x * x;
        bb += y * y;
        ab += x * y;
    }
    return (ab - sa * sb / N) / sqrt((aa - sa * sa / N) * (bb - sb * sb / N));
}

static double uniform_cdf(double x, const double *p) /* p: lower, upper */
{
    return (x - p[0]) / (p[1] - p[0]);
}
static double normal_cdf(double x, const double *p) /* p: standard deviation */
{
    return erfc(-x / p[0] / sqrt(2)) / 2;
}
static double laplace_cdf(double x, const double *p) /* p: lambda */
{
    return x < 0 ? exp(x / p[0]) / 2 : 1 - exp(-x / p[0]) / 2;
}

/* Integral of exp(-|u|^beta) from 0 to t, by Simpson's rule; beta above 1. */
static double gennorm_integral(double t, double beta)
{
    const int steps = 128;
    t               = fmin(t, pow(40, 1 / beta)); /* nothing is left beyond */
    double h = t / steps, sum = 0;
    for (int i = 0; i <= steps; i++)
        sum += (i == 0 || i == steps ? 1 : i % 2 ? 4 : 2) * exp(-pow(i * h, beta));
    return sum * h / 3;
}
static double gennorm_cdf(double x, const double *p) /* p: scale, beta */
{
    double half = gennorm_integral(fabs(x) / p[0], p[1]) / tgamma(1 + 1 / p[1]) / 2;
    return x < 0 ? 0.5 - half : 0.5 + half;
}

/* ---------------------------------------------------------------------------------------------------------- sphere --- */

/* I_(d/2)(kappa) / I_(d/2 - 1)(kappa), the mean of z_x.z_t, by its continued fraction from the back. */
static double mean_resultant(double d, double kappa)
{
    double ratio = 0;
    for (int k = 200000; k >= 1; k--)
        ratio = 1 / (2 * (d / 2 - 1 + k) / kappa + ratio);
    return ratio;
}

static const double kappas[] = {1e-3, 0.1, 1, 10, 100, 1e3, 1e4, 1e5};
static const uint32_t dimensions[] = {2, 3, 10, 64};

START_TEST(vmf_has_its_mean_resultant_length)
{
    const uint32_t d = dimensions[_i / 8];
    const double   kappa = kappas[_i % 8], a = mean_resultant(d, kappa);
    latents        l = draw((mmcl_model_options){.latent = d, .coupling_scale = kappa});
    double         sum = 0, square = 0;
    for (size_t i = 0; i < N; i++) {
        double distance = 0, length = 0; /* 1 - w from the difference: nothing cancels for large kappa */
        for (size_t j = 0; j < d; j++) {
            double x = (double) l.z_x[i * d + j], t = (double) l.z_t[i * d + j];
            distance += (x - t) * (x - t) / 2;
            length += t * t;
        }
        ck_assert_double_eq_tol(length, 1, 2e-6);
        sum += distance;
        square += distance * distance;
    }
    double variance = 1 - a * a - (d - 1) * a / kappa, error = (sum / N - (1 - a)) / sqrt(variance / N);
    double spread = (square / N - sum / N * sum / N) / variance;
    if (kappa > 1e3) /* 1 - A^2 - ... cancels: the limit is a gamma distribution's */
        error = (sum / N - (1 - a)) / ((1 - a) * sqrt(2.0 / (d - 1) / N));
    ck_assert_msg(fabs(error) < 4, "d %u kappa %g: mean 1 - w %g, expected %g: %g standard errors", d, kappa, sum / N, 1 - a, error);
    ck_assert_msg(kappa > 1e3 || (spread > 0.95 && spread < 1.05), "d %u kappa %g: variance %g of what it should be", d, kappa, spread);
    done(l);
}
END_TEST

/* On S^2 the cosine's distribution function is closed: (exp(-kappa (1 - w)) - exp(-2 kappa)) / (1 - exp(-2 kappa)). */
START_TEST(vmf_on_the_ordinary_sphere)
{
    const double kappa = kappas[_i];
    latents      l     = draw((mmcl_model_options){.coupling_scale = kappa});
    double      *u     = malloc(N * sizeof *u);
    const double unit[] = {-1, 1};
    for (size_t i = 0; i < N; i++) {
        double distance = 0;
        for (size_t j = 0; j < 3; j++)
            distance += pow((double) l.z_x[3 * i + j] - (double) l.z_t[3 * i + j], 2) / 2;
        u[i] = fmin(1, (exp(-kappa * distance) - exp(-2 * kappa)) / -expm1(-2 * kappa));
    }
    ck_assert_double_lt(ks(u, N), CRITICAL);
    for (size_t j = 0; j < 3; j++) { /* Archimedes: each coordinate is uniform, on both sides */
        ck_assert_double_lt(ks_of(l.z_x, 3, j, uniform_cdf, unit), CRITICAL);
        ck_assert_double_lt(ks_of(l.z_t, 3, j, uniform_cdf, unit), CRITICAL);
    }
    free(u);
    done(l);
}
END_TEST

/* The tangent part of z_t on S^1 goes either way, on S^9 has no preferred direction. */
START_TEST(vmf_is_isotropic_around_z_x)
{
    latents l     = draw((mmcl_model_options){.latent = 10});
    double  sum = 0, square = 0;
    for (size_t i = 0; i < N; i++) { /* a fixed tangent at z_x: z_x with its first two coordinates turned, the rest left out */
        const float *x = l.z_x + 10 * i, *t = l.z_t + 10 * i;
        double       length = hypot((double) x[0], (double) x[1]);
        double       v      = ((double) x[0] * (double) t[1] - (double) x[1] * (double) t[0]) / length;
        sum += v;
        square += v * v;
    }
    double variance = mean_resultant(10, 10) / 10; /* E (1 - w^2) / (d - 1) = A / kappa */
    ck_assert_double_lt(fabs(sum / N) / sqrt(variance / N), 4);
    ck_assert_double_eq_tol(square / N / variance, 1, 0.03);
    done(l);
}
END_TEST

/* Projected couplings and marginals: what the projection leaves can be undone by a ratio of coordinates. */
START_TEST(projected_marginals)
{
    latents l = draw((mmcl_model_options){.latent = 2, .marginal = MMCL_DIST_NORMAL, .center = MMCL_CENTER_ORIGIN, .correlation = 0});
    const float *z = l.z_x;
    double      *u = malloc(N * sizeof *u);
    for (size_t i = 0; i < N; i++)
        u[i] = (atan2((double) z[2 * i + 1], (double) z[2 * i]) + PI) / (2 * PI);
    ck_assert_double_lt(ks(u, N), CRITICAL);
    done(l);
    /* Around e_1: P(z_1 > 0) = P(1 + n > 0) for any scale-1 distribution, and the direction's mean is along e_1. */
    for (mmcl_distribution kind = MMCL_DIST_NORMAL; kind <= MMCL_DIST_GENNORM; kind++) {
        const double one[] = {1, 3};
        l                  = draw((mmcl_model_options){.marginal = kind});
        double positive = 0, mean = 0, expected = kind == MMCL_DIST_NORMAL    ? normal_cdf(1, one)
                                                  : kind == MMCL_DIST_LAPLACE ? laplace_cdf(1, one)
                                                                              : gennorm_cdf(1, one);
        for (size_t i = 0; i < N; i++) {
            positive += l.z_x[3 * i] > 0;
            mean += (double) l.z_x[3 * i + 1];
        }
        ck_assert_double_eq_tol(positive / N, expected, 4 * sqrt(expected * (1 - expected) / N));
        ck_assert_double_lt(fabs(mean / N), 4 * 0.6 / sqrt(N));
        done(l);
    }
    free(u);
}
END_TEST

/* A projected normal coupling of small scale: angles are those of the tangent plane, chi-squared with d - 1 degrees. */
START_TEST(projected_couplings)
{
    static const double variances[] = {[MMCL_DIST_NORMAL] = 1, [MMCL_DIST_LAPLACE] = 2};
    const double        scale       = 1e-3;
    for (mmcl_distribution kind = MMCL_DIST_NORMAL; kind <= MMCL_DIST_GENNORM; kind++) {
        latents l        = draw((mmcl_model_options){.latent = 10, .coupling = kind, .coupling_scale = scale});
        double  square   = 0;
        double  variance = kind == MMCL_DIST_GENNORM ? tgamma(1) / tgamma(1.0 / 3) : variances[kind];
        for (size_t i = 0; i < 10 * N; i++)
            square += pow((double) l.z_x[i] - (double) l.z_t[i], 2);
        ck_assert_double_eq_tol(square / N / (9 * variance * scale * scale), 1, 0.02);
        done(l);
    }
}
END_TEST

/* ------------------------------------------------------------------------------------------------------------- box --- */

/* Distribution functions of the truncated couplings on [0, 1]; p: scale and exponent. */
static double truncated_laplace(double x, double given, const double *p)
{
    double left = -expm1(-given / p[0]), right = -expm1(-(1 - given) / p[0]);
    return (left + (x < given ? expm1(-(given - x) / p[0]) : -expm1(-(x - given) / p[0]))) / (left + right);
}
static double truncated_normal(double x, double given, const double *p)
{
    double s = p[0] * sqrt(2), left = erf(given / s), right = erf((1 - given) / s);
    return (left + erf((x - given) / s)) / (left + right);
}
static double truncated_gennorm(double x, double given, const double *p)
{
    double left = gennorm_integral(given / p[0], p[1]), right = gennorm_integral((1 - given) / p[0], p[1]);
    double part = gennorm_integral(fabs(x - given) / p[0], p[1]);
    return (left + (x < given ? -part : part)) / (left + right);
}

static const double box_scales[] = {1e-3, 0.05, 0.5, 20};

START_TEST(box_couplings_are_exact_up_to_the_walls)
{
    double (*const cdfs[])(double, double, const double *) = {truncated_laplace, truncated_normal, truncated_gennorm};
    const mmcl_distribution kinds[] = {MMCL_DIST_LAPLACE, MMCL_DIST_NORMAL, MMCL_DIST_GENNORM};
    const double            p[]     = {box_scales[_i % 4], 3}, unit[] = {0, 1};
    latents                 l       = draw((mmcl_model_options){.space          = MMCL_SPACE_BOX,
                                                                .coupling       = kinds[_i / 4],
                                                                .coupling_scale = p[0]});
    double (*cdf)(double, double, const double *) = cdfs[_i / 4];
    ck_assert_double_lt(ks_of(l.z_x, 3, 1, uniform_cdf, unit), CRITICAL);
    if (p[0] >= 0.05) /* float32 latents have no more than 6 digits of a distance of 1e-3 */
        ck_assert_double_lt(ks_given(l.z_x, l.z_t, 3, 0, 0.03, cdf, p), CRITICAL);
    ck_assert_double_lt(ks_given(l.z_x, l.z_t, 3, 0, 1, cdf, p), CRITICAL);
    ck_assert_double_lt(ks_given(l.z_x, l.z_t, 3, 0.97, 1, cdf, p), CRITICAL);
    ck_assert_double_lt(ks_given(l.z_x, l.z_t, 3, 0.45, 0.55, cdf, p), CRITICAL);
    done(l);
}
END_TEST

/* p: lambda. The marginal 2 - exp(-x / lambda) - exp(-(1 - x) / lambda), integrated. */
static double symmetric_cdf(double x, const double *p)
{
    double l = p[0], at = 2 * x + l * expm1(-x / l) - l * (exp(-(1 - x) / l) - exp(-1 / l));
    return at / (2 + 2 * l * expm1(-1 / l));
}

START_TEST(box_symmetric_marginals)
{
    const double p[] = {_i == 0 ? 0.05 : 0.3, 3};
    latents      l   = draw((mmcl_model_options){.space = MMCL_SPACE_BOX, .direction = MMCL_DIRECTION_SYMMETRIC, .coupling_scale = p[0]});
    for (size_t j = 0; j < 3; j++) {
        ck_assert_double_lt(ks_of(l.z_x, 3, j, symmetric_cdf, p), CRITICAL);
        ck_assert_double_lt(ks_of(l.z_t, 3, j, symmetric_cdf, p), CRITICAL);
    }
    ck_assert_double_lt(ks_given(l.z_x, l.z_t, 3, 0, 1, truncated_laplace, p), CRITICAL);
    ck_assert_double_lt(ks_given(l.z_t, l.z_x, 3, 0, 1, truncated_laplace, p), CRITICAL);
    done(l);
    /* Drawn x to t instead, z_t is not distributed as z_x: the test above can fail. */
    l = draw((mmcl_model_options){.space = MMCL_SPACE_BOX, .coupling_scale = p[0]});
    ck_assert_double_gt(ks_of(l.z_x, 3, 0, symmetric_cdf, p), CRITICAL);
    done(l);
    l = draw((mmcl_model_options){
        .space = MMCL_SPACE_BOX, .direction = MMCL_DIRECTION_SYMMETRIC, .coupling = MMCL_DIST_GENNORM, .coupling_scale = p[0]});
    ck_assert_double_lt(ks_given(l.z_x, l.z_t, 3, 0, 1, truncated_gennorm, p), CRITICAL);
    ck_assert_double_lt(ks_given(l.z_t, l.z_x, 3, 0, 1, truncated_gennorm, p), CRITICAL);
    done(l);
}
END_TEST

static double marginal_normal_box(double x, const double *p)
{
    return truncated_normal((x + 2) / 5, 0.5, (const double[]){p[0] / 5});
}
static double marginal_laplace_box(double x, const double *p)
{
    return truncated_laplace((x + 2) / 5, 0.5, (const double[]){p[0] / 5});
}
static double marginal_gennorm_box(double x, const double *p)
{
    return truncated_gennorm((x + 2) / 5, 0.5, (const double[]){p[0] / 5, p[1]});
}

START_TEST(box_marginals)
{
    const double p[] = {1.25, 3}; /* the default scale: a quarter of the side */
    double (*const cdfs[])(double, const double *) = {[MMCL_DIST_NORMAL]  = marginal_normal_box,
                                                      [MMCL_DIST_LAPLACE] = marginal_laplace_box,
                                                      [MMCL_DIST_GENNORM] = marginal_gennorm_box};
    for (mmcl_distribution kind = MMCL_DIST_NORMAL; kind <= MMCL_DIST_GENNORM; kind++)
        for (int dependent = 0; dependent < 2; dependent++) {
            latents l = draw((mmcl_model_options){
                .space = MMCL_SPACE_BOX, .marginal = kind, .lower = -2, .upper = 3, .correlation = dependent ? 0.5 : 0});
            for (size_t j = 0; j < 3; j++)
                ck_assert_double_lt(ks_of(l.z_x, 3, j, cdfs[kind], p), CRITICAL);
            ck_assert_double_eq_tol(correlation(l.z_x, 3, 0, l.z_x, 3, 2), dependent ? 0.48 : 0, 0.03);
            done(l);
        }
}
END_TEST

START_TEST(copula_of_uniform_components)
{
    const double matrix[] = {1, 0.6, -0.3, 0.6, 1, 0.1, -0.3, 0.1, 1}, unit[] = {0, 1};
    latents      l        = draw((mmcl_model_options){.space = MMCL_SPACE_BOX, .correlation_matrix = matrix});
    for (size_t i = 0; i < 3; i++) {
        ck_assert_double_lt(ks_of(l.z_x, 3, i, uniform_cdf, unit), CRITICAL);
        for (size_t j = 0; j < i; j++) /* of uniform marginals: 6 / pi asin(rho / 2) */
            ck_assert_double_eq_tol(correlation(l.z_x, 3, i, l.z_x, 3, j), 6 / PI * asin(matrix[3 * i + j] / 2), 4 / sqrt(N));
    }
    done(l);
}
END_TEST

/* ------------------------------------------------------------------------------------------------------------ R^d --- */

START_TEST(real_marginals_and_couplings)
{
    double (*const cdfs[])(double, const double *) = {
        [MMCL_DIST_NORMAL] = normal_cdf, [MMCL_DIST_LAPLACE] = laplace_cdf, [MMCL_DIST_GENNORM] = gennorm_cdf};
    const mmcl_distribution kind = MMCL_DIST_NORMAL + _i % 3;
    const double            p[] = {1.7, _i < 3 ? 3 : 0.7}, q[] = {0.05, p[1]}; /* Simpson's rule does not like beta below 1 at 0 */
    if (kind == MMCL_DIST_GENNORM && _i >= 3)
        return;
    latents l = draw((mmcl_model_options){.space          = MMCL_SPACE_REAL,
                                          .marginal       = kind,
                                          .coupling       = kind,
                                          .marginal_scale = p[0],
                                          .correlation    = _i < 3 ? 0 : 0.6});
    for (size_t j = 0; j < 3; j++)
        ck_assert_double_lt(ks_of(l.z_x, 3, j, cdfs[kind], p), CRITICAL);
    ck_assert_double_eq_tol(correlation(l.z_x, 3, 0, l.z_x, 3, 1), _i < 3 ? 0 : 0.6, 0.025);
    for (size_t i = 0; i < 3 * N; i++)
        l.z_t[i] -= l.z_x[i];
    for (size_t j = 0; j < 3; j++)
        ck_assert_double_lt(ks_of(l.z_t, 3, j, cdfs[kind], q), CRITICAL);
    ck_assert_double_lt(fabs(correlation(l.z_x, 3, 0, l.z_t, 3, 0)), 4 / sqrt(N));
    done(l);
}
END_TEST

/* The table of a marginal on a grid: p0(x) times the integral of p0(t) kernel(x - t), each exp(-(|u| / scale)^beta). */
typedef struct pairwise {
    double s0, b0, s, b, reach;
    double cdf[2001];
} pairwise;

static void tabulate(pairwise *p)
{
    double h = 2 * p->reach / 2000, sum = 0, before = 0;
    for (int i = 0; i <= 2000; i++) {
        double x = -p->reach + i * h, inner = 0;
        for (int j = 0; j <= 2000; j++) {
            double t = -p->reach + j * h;
            inner += exp(-pow(fabs(t) / p->s0, p->b0) - pow(fabs(x - t) / p->s, p->b));
        }
        inner *= exp(-pow(fabs(x) / p->s0, p->b0));
        sum += i > 0 ? (inner + before) / 2 : 0;
        before    = inner;
        p->cdf[i] = sum;
    }
    for (int i = 0; i <= 2000; i++)
        p->cdf[i] /= sum;
}

static double pairwise_cdf(double x, const double *argument)
{
    const pairwise *p  = (const void *) argument;
    double          at = fmin(fmax((x + p->reach) / (2 * p->reach) * 2000, 0), 1999.999);
    return p->cdf[(int) at] + (at - floor(at)) * (p->cdf[(int) at + 1] - p->cdf[(int) at]);
}

START_TEST(real_symmetric_pairs)
{
    static pairwise cases[] = {{1.4142135623730951, 2, 0.7071067811865476, 2, 6, {0}}, {1, 1, 3, 3, 14, {0}}, {1, 3, 0.5, 1, 2.2, {0}}};
    const mmcl_distribution kinds[] = {MMCL_DIST_NORMAL, MMCL_DIST_NORMAL, MMCL_DIST_LAPLACE,
                                       MMCL_DIST_GENNORM, MMCL_DIST_GENNORM, MMCL_DIST_LAPLACE};
    pairwise *p = &cases[_i];
    latents   l = draw((mmcl_model_options){.space          = MMCL_SPACE_REAL,
                                            .direction      = MMCL_DIRECTION_SYMMETRIC,
                                            .marginal       = kinds[2 * _i],
                                            .coupling       = kinds[2 * _i + 1],
                                            .marginal_scale = 1,
                                            .coupling_scale = _i == 0 ? 0.5 : p->s});
    tabulate(p);
    for (size_t j = 0; j < 3; j++) {
        ck_assert_double_lt(ks_of(l.z_x, 3, j, pairwise_cdf, (const double *) p), CRITICAL);
        ck_assert_double_lt(ks_of(l.z_t, 3, j, pairwise_cdf, (const double *) p), CRITICAL);
    }
    if (_i == 0) /* Gaussian with precision [[1 + 4, -4], [-4, 1 + 4]] */
        ck_assert_double_eq_tol(correlation(l.z_x, 3, 0, l.z_t, 3, 0), 0.8, 4 * 0.36 / sqrt(N));
    done(l);
}
END_TEST

/* ------------------------------------------------------------------------------------- private latents, directions --- */

START_TEST(private_latents)
{
    const double one[] = {1}, box[] = {-1, 3};
    latents      l     = draw((mmcl_model_options){.private_x = 2, .private_t = 1});
    ck_assert_double_lt(ks_of(l.m_x, 2, 0, normal_cdf, one), CRITICAL);
    ck_assert_double_lt(ks_of(l.m_x, 2, 1, normal_cdf, one), CRITICAL);
    ck_assert_double_lt(ks_of(l.m_t, 1, 0, normal_cdf, one), CRITICAL);
    ck_assert_double_lt(fabs(correlation(l.m_x, 2, 0, l.m_t, 1, 0)), 4 / sqrt(N));
    for (size_t j = 0; j < 3; j++)
        ck_assert_double_lt(fabs(correlation(l.m_x, 2, 0, l.z_x, 3, j)), 4 / sqrt(N));
    done(l);
    l = draw((mmcl_model_options){.space = MMCL_SPACE_BOX, .lower = -1, .upper = 3, .private_x = 1, .private_t = 2});
    ck_assert_double_lt(ks_of(l.m_x, 1, 0, uniform_cdf, box), CRITICAL);
    ck_assert_double_lt(ks_of(l.m_t, 2, 1, uniform_cdf, box), CRITICAL);
    done(l);
}
END_TEST

START_TEST(private_latents_that_follow_z)
{
    for (mmcl_space space = MMCL_SPACE_SPHERE; space <= MMCL_SPACE_REAL; space++)
        for (int full = 0; full < 2; full++) {
            double  s = full ? 1 : 0.6, expected = space == MMCL_SPACE_BOX ? s / hypot(s, 1 - s) : s, square = 0;
            latents l = draw((mmcl_model_options){.space              = space,
                                                  .marginal           = space == MMCL_SPACE_REAL ? MMCL_DIST_LAPLACE : 0,
                                                  .private_x          = 5,
                                                  .private_t          = 1,
                                                  .private_dependence = s});
            ck_assert_double_eq_tol(correlation(l.m_x, 5, 1, l.z_x, 3, 1), expected, 0.02);
            ck_assert_double_eq_tol(correlation(l.m_x, 5, 4, l.z_x, 3, 1), expected, 0.02);
            ck_assert_double_eq_tol(correlation(l.m_t, 1, 0, l.z_t, 3, 0), expected, 0.02);
            ck_assert_double_lt(fabs(correlation(l.m_x, 5, 0, l.z_x, 3, 1)), 4 / sqrt(N));
            for (size_t i = 0; i < N; i++)
                square += (double) l.m_x[5 * i] * (double) l.m_x[5 * i];
            if (space != MMCL_SPACE_BOX)
                ck_assert_double_eq_tol(square / N, 1, 0.05);
            done(l);
        }
}
END_TEST

START_TEST(directions)
{
    const mmcl_model_options base[] = {{.latent = 4}, {.latent = 4, .space = MMCL_SPACE_BOX}, {.latent = 4, .space = MMCL_SPACE_REAL}};
    mmcl_model_options       options = base[_i];
    latents                  forward = draw(options);
    options.direction                = MMCL_DIRECTION_T2X;
    latents backward                 = draw(options);
    ck_assert_mem_eq(forward.z_x, backward.z_t, N * 4 * sizeof(float));
    ck_assert_mem_eq(forward.z_t, backward.z_x, N * 4 * sizeof(float));
    options.direction = MMCL_DIRECTION_MIXED;
    latents mixed     = draw(options);
    size_t  forwards  = 0, repeats = 0, before = 2;
    for (size_t i = 0; i < N; i++) {
        bool is = memcmp(mixed.z_x + 4 * i, forward.z_x + 4 * i, 16) == 0;
        ck_assert(is || memcmp(mixed.z_x + 4 * i, backward.z_x + 4 * i, 16) == 0);
        ck_assert_mem_eq(mixed.z_t + 4 * i, (is ? forward : backward).z_t + 4 * i, 16);
        forwards += is;
        repeats += is == before;
        before = is;
    }
    ck_assert_double_eq_tol((double) forwards / N, 0.5, 2 / sqrt(N));
    ck_assert_double_eq_tol((double) repeats / N, 0.5, 2 / sqrt(N));
    if (_i == 0) { /* the kernel is symmetric already */
        options.direction = MMCL_DIRECTION_SYMMETRIC;
        latents symmetric = draw(options);
        ck_assert_mem_eq(forward.z_t, symmetric.z_t, N * 4 * sizeof(float));
        done(symmetric);
    }
    done(forward);
    done(backward);
    done(mixed);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("lpcm");
    TCase *t = tcase_create("lpcm");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 120);
    tcase_add_loop_test(t, vmf_has_its_mean_resultant_length, 0, 32);
    tcase_add_loop_test(t, vmf_on_the_ordinary_sphere, 0, 8);
    tcase_add_test(t, vmf_is_isotropic_around_z_x);
    tcase_add_test(t, projected_marginals);
    tcase_add_test(t, projected_couplings);
    tcase_add_loop_test(t, box_couplings_are_exact_up_to_the_walls, 0, 12);
    tcase_add_loop_test(t, box_symmetric_marginals, 0, 2);
    tcase_add_test(t, box_marginals);
    tcase_add_test(t, copula_of_uniform_components);
    tcase_add_loop_test(t, real_marginals_and_couplings, 0, 6);
    tcase_add_loop_test(t, real_symmetric_pairs, 0, 3);
    tcase_add_test(t, private_latents);
    tcase_add_test(t, private_latents_that_follow_z);
    tcase_add_loop_test(t, directions, 0, 3);
    suite_add_tcase(s, t);
    return s;
}

int main(void)
{
    return run_suite(suite());
}
