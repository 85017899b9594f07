#include <mmcl/mmcl.h>

#include "fixture.h"
#include "../parity/ica_golden.h"
#include "core/rng.h"
#include "transform/transform.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static mmcl_transform *make(const char *spec)
{
    mmcl_transform *t;
    OK(mmcl_transform_create_spec(&t, context, spec));
    return t;
}

/* Changes options of the last step of a chain. */
static mmcl_step_options last_step(const mmcl_transform *t)
{
    mmcl_step_options step = {.struct_size = sizeof step};
    OK(mmcl_transform_get_step(t, mmcl_transform_count(t) - 1, &step));
    return step;
}

static mmcl_step_info last_info(const mmcl_transform *t)
{
    mmcl_step_info info = {.struct_size = sizeof info};
    OK(mmcl_transform_step_result(t, mmcl_transform_count(t) - 1, &info));
    return info;
}

static double *components_of(const mmcl_transform *t, mmcl_step_field field)
{
    size_t  count, step = mmcl_transform_count(t) - 1;
    OK(mmcl_transform_field(t, step, field, NULL, 0, &count));
    double *values = malloc(count * sizeof *values);
    OK(mmcl_transform_field(t, step, field, values, count, NULL));
    return values;
}

/* Mixed sources: Laplace where the column is even, uniform where odd (`kind` 'l' or 'u' makes them all the same). */
static float *mixed(size_t n, size_t d, char kind)
{
    mmcl__numpy_rng rng;
    mmcl__numpy_seed(&rng, 3);
    float  *x = calloc(n * d, sizeof *x);
    double *mixing = malloc(d * d * sizeof *mixing);
    for (size_t i = 0; i < d * d; i++)
        mixing[i] = mmcl__numpy_normal(&rng);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < d; j++) {
            double u = mmcl__numpy_uniform(&rng) - 0.5, source = u * sqrt(12);
            if (kind == 'l' || (kind != 'u' && j % 2 == 0))
                source = (u < 0 ? 1 : -1) * log(1 - 2 * fabs(u)) / sqrt(2);
            for (size_t c = 0; c < d; c++)
                x[i * d + c] += (float) (source * mixing[j * d + c]);
        }
    free(mixing);
    return x;
}

static mmcl_matrix dense(const void *data, size_t rows, size_t cols)
{
    return (mmcl_matrix){.data = data, .rows = rows, .cols = cols};
}

static mmcl_matrix golden_matrix(void)
{
    return (mmcl_matrix){.data = golden_x, .rows = GOLDEN_ROWS, .cols = GOLDEN_COLS, .dtype = MMCL_F64};
}

/* ------------------------------------------------------------------------------------------------------------ specs --- */

START_TEST(specs)
{
    const char *good[] = {"raw", "center", "pca:3", "whiten", "ica:4:picard:exp:super", "pca:500+ica:160", "normalize+whiten:2+normalize"};
    const size_t steps[] = {0, 1, 1, 1, 1, 2, 3};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        mmcl_transform *t = make(good[i]);
        ck_assert_uint_eq(mmcl_transform_count(t), steps[i]);
        mmcl_transform_destroy(t);
    }
    const char *bad[] = {"", "+", "pca:", "pca:0", "pca:x", "pca:3:4", "pca:3:logcosh", "Ica:3", "ica:3:fast", "raw:3", "ica:3+", "ica:99999999999999999999"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        mmcl_transform *t = (mmcl_transform *) context;
        ck_assert_int_eq(mmcl_transform_create_spec(&t, context, bad[i]), MMCL_E_INVAL);
        ck_assert_ptr_null(t);
        ck_assert_ptr_nonnull(strstr(mmcl_context_message(context), bad[i]));
    }
}
END_TEST

START_TEST(options_out_of_range)
{
    mmcl_transform   *t = make("raw");
    mmcl_step_options base = {.struct_size = sizeof base, .kind = MMCL_STEP_ICA, .components = 2}, step;
    double            start[4] = {1, 0, 0, NAN};
#define REFUSED(field, value, status)                                                                                  \
    step       = base;                                                                                                 \
    step.field = value;                                                                                                \
    ck_assert_int_eq(mmcl_transform_add(t, &step), status)
    REFUSED(kind, 10, MMCL_E_INVAL);
    REFUSED(algorithm, -1, MMCL_E_INVAL);
    REFUSED(contrast, 3, MMCL_E_INVAL);
    REFUSED(density, 7, MMCL_E_INVAL);
    REFUSED(scale, 2, MMCL_E_INVAL);
    REFUSED(order, 3, MMCL_E_INVAL);
    REFUSED(sign, -2, MMCL_E_INVAL);
    REFUSED(precision, 2, MMCL_E_INVAL);
    REFUSED(alpha, 2.5, MMCL_E_INVAL);
    REFUSED(alpha, NAN, MMCL_E_INVAL);
    REFUSED(tolerance, -1, MMCL_E_INVAL);
    REFUSED(start_seed, (uint64_t) 1 << 32, MMCL_E_INVAL);
    REFUSED(components, MMCL_MAX_COLUMNS + 1, MMCL_E_INVAL);
    REFUSED(start, start, MMCL_E_NUMERIC);
    REFUSED(struct_size, 8, MMCL_E_ABI);
    ck_assert_uint_eq(mmcl_transform_count(t), 0);
    for (int i = 0; i < MMCL__MAX_STEPS; i++)
        OK(mmcl_transform_add(t, &base));
    ck_assert_int_eq(mmcl_transform_add(t, &base), MMCL_E_INVAL);
    mmcl_transform_destroy(t);
}
END_TEST

/* ---------------------------------------------------------------------------------------------------------- moments --- */

START_TEST(moments_equal_the_definition)
{
    enum { n = 1500, d = 5 };
    float        *x = mixed(n, d, 'm');
    double        mean[d], covariance[d * d], expected[d * d] = {0}, center[d] = {0};
    mmcl_moments *whole, *half;
    for (size_t i = 0; i < n * d; i++)
        x[i] += 1000; /* far from 0, where sums of squares would lose digits */
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < d; j++)
            center[j] += (double) x[i * d + j] / n;
    for (size_t i = 0; i < n; i++)
        for (size_t a = 0; a < d; a++)
            for (size_t b = 0; b < d; b++)
                expected[a * d + b] += ((double) x[i * d + a] - center[a]) * ((double) x[i * d + b] - center[b]) / n;
    mmcl_matrix all = dense(x, n, d), first = dense(x, 700, d), rest = dense(x + 700 * d, n - 700, d);
    OK(mmcl_moments_create(&whole, context, d));
    OK(mmcl_moments_create(&half, context, d));
    ck_assert_int_eq(mmcl_moments_get(whole, NULL, mean, NULL), MMCL_E_STATE);
    for (int pass = 0; pass < 2; pass++) {
        uint64_t count;
        if (pass == 0) {
            OK(mmcl_moments_update(whole, &all));
        } else {
            mmcl_moments_destroy(whole);
            OK(mmcl_moments_create(&whole, context, d));
            OK(mmcl_moments_update(whole, &first));
            OK(mmcl_moments_update(half, &rest));
            OK(mmcl_moments_merge(whole, half));
        }
        OK(mmcl_moments_get(whole, &count, mean, covariance));
        ck_assert_uint_eq(count, n);
        for (size_t i = 0; i < d; i++)
            ck_assert_double_eq_tol(mean[i], center[i], 1e-9);
        for (size_t i = 0; i < d * d; i++)
            ck_assert_double_eq_tol(covariance[i], expected[i], 1e-9 * fabs(expected[0]));
    }
    x[703 * d + 2] = NAN;
    ck_assert_int_eq(mmcl_moments_update(half, &rest), MMCL_E_NUMERIC);
    uint64_t count;
    OK(mmcl_moments_get(half, &count, NULL, NULL));
    ck_assert_uint_eq(count, n - 700);
    ck_assert_ptr_nonnull(strstr(mmcl_context_message(context), "row 3, column 2"));
    mmcl_moments_destroy(whole);
    mmcl_moments_destroy(half);
    free(x);
}
END_TEST

/* --------------------------------------------------------------------------------------------------------- spectral --- */

static void check_white(const float *y, size_t n, size_t k, double tolerance)
{
    for (size_t a = 0; a < k; a++)
        for (size_t b = 0; b < k; b++) {
            double mean = 0, product = 0;
            for (size_t i = 0; i < n; i++) {
                mean += (double) y[i * k + a] / (double) n;
                product += (double) y[i * k + a] * (double) y[i * k + b] / (double) n;
            }
            ck_assert_double_eq_tol(mean, 0, tolerance);
            ck_assert_double_eq_tol(product, a == b, tolerance);
        }
}

START_TEST(whitening_whitens)
{
    enum { n = 900, d = 7, k = 4 };
    float          *x = mixed(n, d, 'm'), y[n * k];
    mmcl_matrix     rows = dense(x, n, d);
    mmcl_transform *t    = make("whiten:4");
    OK(mmcl_transform_fit(t, &rows, 1, NULL));
    OK(mmcl_transform_apply(t, &rows, y, 0));
    check_white(y, n, k, 1e-5);
    mmcl_step_info info = last_info(t);
    double        *share = components_of(t, MMCL_FIELD_VARIANCE), total = 0;
    for (int i = 0; i < k; i++)
        total += share[i];
    ck_assert_double_eq_tol(info.explained_variance, total, 1e-12);
    ck_assert(total > 0 && total < 1 && info.rank == d && info.components == k && info.stop == MMCL_STOP_CLOSED_FORM);
    free(share);
    mmcl_transform_destroy(t);
    free(x);
}
END_TEST

START_TEST(pca_equals_scikit_learn)
{
    mmcl_matrix     rows = golden_matrix();
    mmcl_transform *t    = make("pca");
    OK(mmcl_transform_fit(t, &rows, 1, NULL));
    double *spectrum = components_of(t, MMCL_FIELD_SPECTRUM);
    for (int i = 0; i < GOLDEN_COLS; i++)
        ck_assert_double_eq_tol(spectrum[i], golden_pca_variance[i], 1e-11 * golden_pca_variance[0]);
    free(spectrum);
    mmcl_transform_destroy(t);
}
END_TEST

START_TEST(parts_and_moments_give_the_same_map)
{
    enum { n = 1100, d = 6 };
    float          *x    = mixed(n, d, 'm');
    mmcl_matrix     all  = dense(x, n, d), parts[3] = {dense(x, 10, d), dense(x + 10 * d, 500, d), dense(x + 510 * d, n - 510, d)};
    mmcl_transform *a = make("center+pca:5+whiten:3"), *b = make("center+pca:5+whiten:3"), *c = make("center+pca:5+whiten:3");
    mmcl_moments   *moments;
    OK(mmcl_transform_fit(a, &all, 1, NULL));
    OK(mmcl_transform_fit(b, parts, 3, NULL));
    OK(mmcl_moments_create(&moments, context, d));
    OK(mmcl_moments_update(moments, &all));
    OK(mmcl_transform_fit_moments(c, moments));
    double mean[3][d], map[3][3 * d];
    OK(mmcl_transform_affine(a, mean[0], map[0]));
    OK(mmcl_transform_affine(b, mean[1], map[1]));
    OK(mmcl_transform_affine(c, mean[2], map[2]));
    ck_assert_mem_eq(map[0], map[1], sizeof map[0]);
    ck_assert_mem_eq(map[0], map[2], sizeof map[0]);
    float y[30], direct[30]; /* the folded map against apply */
    mmcl_matrix few = dense(x, 10, d);
    OK(mmcl_transform_apply(a, &few, y, 0));
    for (size_t i = 0; i < 10; i++)
        for (size_t j = 0; j < 3; j++) {
            double sum = 0;
            for (size_t q = 0; q < d; q++)
                sum += ((double) x[i * d + q] - mean[0][q]) * map[0][j * d + q];
            direct[i * 3 + j] = (float) sum;
            ck_assert_float_eq_tol(y[i * 3 + j], direct[i * 3 + j], 1e-5f);
        }
    mmcl_transform *ica = make("ica:2");
    ck_assert_int_eq(mmcl_transform_fit_moments(ica, moments), MMCL_E_UNSUPPORTED);
    mmcl_transform_destroy(ica);
    mmcl_moments_destroy(moments);
    mmcl_transform_destroy(a);
    mmcl_transform_destroy(b);
    mmcl_transform_destroy(c);
    free(x);
}
END_TEST

START_TEST(chains_equal_their_steps_one_by_one)
{
    enum { n = 800, d = 6, k = 3 };
    float          *x = mixed(n, d, 'm'), *a = malloc(n * d * 4), *b = malloc(n * d * 4), *whole = malloc(n * k * 4);
    mmcl_matrix     rows  = dense(x, n, d), at = rows;
    mmcl_transform *chain = make("normalize+pca:4+normalize+whiten:3+normalize");
    const char     *one_by_one[] = {"normalize", "pca:4", "normalize", "whiten:3", "normalize"};
    OK(mmcl_transform_fit(chain, &rows, 1, NULL));
    OK(mmcl_transform_apply(chain, &rows, whole, 0));
    for (int s = 0; s < 5; s++) {
        mmcl_transform *t = make(one_by_one[s]);
        size_t          width;
        OK(mmcl_transform_fit(t, &at, 1, NULL));
        OK(mmcl_transform_shape(t, NULL, &width));
        float *to = s % 2 ? b : a;
        OK(mmcl_transform_apply(t, &at, to, 0));
        at = dense(to, n, width);
        mmcl_transform_destroy(t);
    }
    const float *last = at.data;
    for (size_t i = 0; i < n * k; i++)
        ck_assert_float_eq_tol(fabsf(whole[i]), fabsf(last[i]), 2e-4f);
    double mean[d], map[k * d];
    ck_assert_int_eq(mmcl_transform_affine(chain, mean, map), MMCL_E_UNSUPPORTED);
    ck_assert_int_eq(mmcl_transform_inverse(chain, &at, a, 0), MMCL_E_UNSUPPORTED);
    mmcl_transform_destroy(chain);
    free(x);
    free(a);
    free(b);
    free(whole);
}
END_TEST

START_TEST(joined_chains_equal_one_after_the_other)
{
    enum { n = 400, d = 6 };
    static const struct { const char *first, *second; } pairs[] = {
        {"center", "whiten:3"}, {"raw", "ica:2"}, {"pca:5", "pca:4+whiten:2"}, {"whiten:4+normalize", "center+normalize"}, {"center+pca:4", "center"}};
    float      *x = mixed(n, d, 'm'), *other = mixed(n, d, 'q'), between[n * d], expected[n * d], got[n * d];
    mmcl_matrix rows = dense(x, n, d), elsewhere = dense(other, n, d);
    for (size_t p = 0; p < sizeof pairs / sizeof *pairs; p++) {
        mmcl_transform *first = make(pairs[p].first), *second = make(pairs[p].second), *joined;
        size_t          middle, width;
        OK(mmcl_transform_fit(first, &elsewhere, 1, NULL)); /* so that the second has a mean of its own */
        OK(mmcl_transform_shape(first, NULL, &middle));
        OK(mmcl_transform_apply(first, &rows, between, 0));
        mmcl_matrix inner = dense(between, n, middle);
        OK(mmcl_transform_fit(second, &inner, 1, NULL));
        OK(mmcl_transform_apply(second, &inner, expected, 0));
        OK(mmcl_transform_join(&joined, context, first, second));
        OK(mmcl_transform_shape(joined, NULL, &width));
        ck_assert_uint_eq(mmcl_transform_count(joined), mmcl_transform_count(first) + mmcl_transform_count(second));
        OK(mmcl_transform_apply(joined, &rows, got, 0));
        for (size_t i = 0; i < n * width; i++)
            ck_assert_msg(fabsf(got[i] - expected[i]) < 1e-3f, "%s, %s: [%zu] %g and %g", pairs[p].first, pairs[p].second, i, (double) got[i],
                          (double) expected[i]);
        mmcl_transform_destroy(first);
        mmcl_transform_destroy(second);
        mmcl_transform_destroy(joined);
    }
    mmcl_transform *narrow = make("pca:2"), *unfitted = make("center"), *joined = narrow;
    OK(mmcl_transform_fit(narrow, &rows, 1, NULL));
    ck_assert_int_eq(mmcl_transform_join(&joined, context, narrow, unfitted), MMCL_E_STATE);
    ck_assert_ptr_null(joined);
    ck_assert_int_eq(mmcl_transform_join(&joined, context, narrow, narrow), MMCL_E_INVAL);
    ck_assert_msg(strstr(mmcl_context_message(context), "takes 6 columns, but first gives 2") != NULL, "%s", mmcl_context_message(context));
    mmcl_transform_destroy(narrow);
    mmcl_transform_destroy(unfitted);
    free(x);
    free(other);
}
END_TEST

START_TEST(inverse_projects)
{
    enum { n = 400, d = 5 };
    float          *x = mixed(n, d, 'm'), y[n * d], back[n * d], again[n * d];
    mmcl_matrix     rows = dense(x, n, d);
    const char     *chains[] = {"ica", "whiten:3", "center", "raw"};
    for (int s = 0; s < 4; s++) {
        mmcl_transform *t = make(chains[s]);
        size_t          k;
        OK(mmcl_transform_fit(t, &rows, 1, NULL));
        OK(mmcl_transform_shape(t, NULL, &k));
        OK(mmcl_transform_apply(t, &rows, y, 0));
        mmcl_matrix codes = dense(y, n, k);
        OK(mmcl_transform_inverse(t, &codes, back, 0));
        if (k == d)
            for (size_t i = 0; i < n * d; i++)
                ck_assert_float_eq_tol(back[i], x[i], 1e-4f);
        mmcl_matrix projected = dense(back, n, d);
        OK(mmcl_transform_apply(t, &projected, again, 0));
        for (size_t i = 0; i < n * k; i++)
            ck_assert_float_eq_tol(again[i], y[i], 1e-4f);
        mmcl_transform_destroy(t);
    }
    free(x);
}
END_TEST

/* -------------------------------------------------------------------------------------------------------------- ICA --- */

/* Smallest |cosine| between corresponding rows. */
static double worst_cosine(const double *a, const double *b, size_t k, size_t d)
{
    double worst = 1;
    for (size_t i = 0; i < k; i++) {
        double aa = 0, bb = 0, ab = 0;
        for (size_t j = 0; j < d; j++) {
            aa += a[i * d + j] * a[i * d + j];
            bb += b[i * d + j] * b[i * d + j];
            ab += a[i * d + j] * b[i * d + j];
        }
        worst = fmin(worst, fabs(ab) / sqrt(aa * bb));
    }
    return worst;
}

START_TEST(fastica_equals_scikit_learn)
{
    const double *golden[6] = {golden_parallel_logcosh,  golden_parallel_exp,  golden_parallel_cube,
                               golden_deflation_logcosh, golden_deflation_exp, golden_deflation_cube};
    for (int i = 0; i < 6; i++)
        for (int precision = 0; precision < 2; precision++) {
            mmcl_transform   *t    = make("ica:4");
            mmcl_step_options step = last_step(t);
            mmcl_matrix       rows = golden_matrix();
            step.algorithm         = i / 3 == 0 ? MMCL_ICA_FASTICA : MMCL_ICA_FASTICA_DEFLATION;
            step.contrast          = i % 3;
            step.tolerance         = 1e-6;
            step.max_iterations    = 1000;
            step.precision         = precision;
            OK(mmcl_transform_set_step(t, 0, &step));
            OK(mmcl_transform_fit(t, &rows, 1, NULL));
            double *components = components_of(t, MMCL_FIELD_COMPONENTS);
            double  tolerance  = precision == MMCL_PRECISION_F64 ? 1e-7 : 2e-2;
            if (precision == MMCL_PRECISION_F64) {
                ck_assert_uint_eq(last_info(t).iterations, golden_iterations[i]);
                for (int j = 0; j < GOLDEN_COMPONENTS * GOLDEN_COLS; j++) /* signs and scale too */
                    ck_assert_double_eq_tol(components[j], golden[i][j], tolerance);
            }
            ck_assert_double_gt(worst_cosine(components, golden[i], GOLDEN_COMPONENTS, GOLDEN_COLS), 0.9999);
            free(components);
            mmcl_transform_destroy(t);
        }
}
END_TEST

START_TEST(arbitrary_scale_and_mixing_equal_scikit_learn)
{
    mmcl_transform   *t    = make("ica:4");
    mmcl_step_options step = last_step(t);
    mmcl_matrix       rows = golden_matrix();
    step.tolerance = 1e-6, step.max_iterations = 1000, step.precision = MMCL_PRECISION_F64, step.scale = MMCL_SCALE_ARBITRARY;
    OK(mmcl_transform_set_step(t, 0, &step));
    OK(mmcl_transform_fit(t, &rows, 1, NULL));
    double *components = components_of(t, MMCL_FIELD_COMPONENTS), *mixing = components_of(t, MMCL_FIELD_MIXING);
    for (int j = 0; j < GOLDEN_COMPONENTS * GOLDEN_COLS; j++) {
        ck_assert_double_eq_tol(components[j], golden_arbitrary[j], 1e-8);
        ck_assert_double_eq_tol(mixing[j], golden_mixing[j], 1e-5);
    }
    free(components);
    free(mixing);
    mmcl_transform_destroy(t);
}
END_TEST

/* Every solver finds the unmixing of `kind` sources: B A is a scaled permutation. Returns iterations. */
static void recovers(const char *spec, char kind)
{
    enum { n = 6000, d = 5 };
    float          *x    = mixed(n, d, kind);
    mmcl_matrix     rows = dense(x, n, d);
    mmcl_transform *t    = make(spec);
    OK(mmcl_transform_fit(t, &rows, 1, NULL));
    double         *components = components_of(t, MMCL_FIELD_COMPONENTS), mixing[d * d];
    mmcl__numpy_rng rng;
    mmcl__numpy_seed(&rng, 3);
    for (size_t i = 0; i < d * d; i++)
        mixing[i] = mmcl__numpy_normal(&rng);
    for (size_t i = 0; i < d; i++) {
        double most = 0, total = 0;
        for (size_t j = 0; j < d; j++) {
            double gain = 0;
            for (size_t c = 0; c < d; c++)
                gain += components[i * d + c] * mixing[j * d + c];
            most = fmax(most, gain * gain);
            total += gain * gain;
        }
        ck_assert_msg(most / total > 0.99, "%s, %c: component %zu holds %.3f of one source", spec, kind, i, most / total);
    }
    ck_assert_msg(last_info(t).stop != MMCL_STOP_ITERATIONS, "%s did not converge", spec);
    ck_assert_double_lt(last_info(t).residual, 1e-2);
    free(components);
    mmcl_transform_destroy(t);
    free(x);
}

START_TEST(solvers_recover_the_sources)
{
    const char *any[] = {"ica:5", "ica:5:exp", "ica:5:cube", "ica:5:deflation", "ica:5:picard", "ica:5:picard:exp", "ica:5:picard:cube", "ica:5:picard-free"};
    for (size_t i = 0; i < sizeof any / sizeof *any; i++) {
        recovers(any[i], 'm');
        recovers(any[i], 'l');
        recovers(any[i], 'u');
    }
    recovers("ica:5:picard:super", 'l');
    recovers("ica:5:picard:sub", 'u');
    recovers("ica:5:picard-free:super", 'l');
    recovers("ica:5:picard-free:sub", 'u');
}
END_TEST

/* A tolerance that the arithmetic cannot reach ends where it stops to help, near the optimum, and not at the limit. */
START_TEST(picard_stops_where_nothing_helps)
{
    const char *const solvers[] = {"ica:5:picard", "ica:5:picard:super", "ica:5:picard-free:super"};
    float            *x = mixed(3000, 5, 'l');
    mmcl_matrix       rows = dense(x, 3000, 5);
    for (size_t i = 0; i < 2 * sizeof solvers / sizeof *solvers; i++) {
        mmcl_transform   *t    = make(solvers[i / 2]);
        mmcl_step_options step = last_step(t);
        step.tolerance         = 1e-18;
        step.max_iterations    = 100000;
        step.precision         = i % 2 == 0 ? MMCL_PRECISION_F32 : MMCL_PRECISION_F64;
        OK(mmcl_transform_set_step(t, 0, &step));
        OK(mmcl_transform_fit(t, &rows, 1, NULL));
        mmcl_step_info info = last_info(t);
        ck_assert_msg(info.stop == MMCL_STOP_NO_PROGRESS && info.iterations < 1000, "%s, precision %d: stop %d after %d iterations",
                      solvers[i / 2], (int) step.precision, (int) info.stop, (int) info.iterations);
        double most = step.precision == MMCL_PRECISION_F32 ? 1e-4 : 1e-7;
        if (step.algorithm == MMCL_ICA_PICARD) /* the free one's optimum is not uncorrelated, which the residual is about */
            ck_assert_msg(info.residual < most, "%s, precision %d: residual %g", solvers[i / 2], (int) step.precision, info.residual);
        mmcl_transform_destroy(t);
    }
    free(x);
}
END_TEST

START_TEST(order_and_sign)
{
    enum { n = 3000, d = 4 };
    float *x = mixed(n, d, 'm'), y[n * d];
    for (size_t i = 0; i < n * d; i++)
        x[i] = x[i] > 0 ? x[i] * x[i] : x[i]; /* skewed */
    mmcl_matrix rows = dense(x, n, d);
    for (int order = 0; order < 3; order++)
        for (int sign = 0; sign < 3; sign++) {
            mmcl_transform   *t    = make("ica");
            mmcl_step_options step = last_step(t);
            step.order = order, step.sign = sign;
            OK(mmcl_transform_set_step(t, 0, &step));
            OK(mmcl_transform_fit(t, &rows, 1, NULL));
            OK(mmcl_transform_apply(t, &rows, y, 0));
            check_white(y, n, d, 1e-4);
            double *share = components_of(t, MMCL_FIELD_VARIANCE), *map = components_of(t, MMCL_FIELD_COMPONENTS), key[d], total = 0;
            for (size_t j = 0; j < d; j++) {
                double third = 0, logcosh = 0, most = 0;
                for (size_t i = 0; i < n; i++) {
                    double v = y[i * d + j];
                    third += v * v * v;
                    logcosh += log(cosh(v)) / n;
                }
                for (size_t c = 0; c < d; c++)
                    most = fabs(map[j * d + c]) > fabs(most) ? map[j * d + c] : most;
                if (sign == MMCL_SIGN_SKEW)
                    ck_assert_double_gt(third, 0);
                if (sign == MMCL_SIGN_LOADING)
                    ck_assert_double_gt(most, 0);
                key[j] = order == MMCL_ORDER_VARIANCE ? share[j] : fabs(logcosh - 0.374567207491438);
                if (order != MMCL_ORDER_FITTED && j > 0)
                    ck_assert_double_ge(key[j - 1], key[j] - 1e-6);
                total += share[j];
            }
            ck_assert_double_eq_tol(total, 1, 1e-9);
            free(share);
            free(map);
            mmcl_transform_destroy(t);
        }
    free(x);
}
END_TEST

/* ------------------------------------------------------------------------------------------------------- invariance --- */

static mmcl_context *with_threads(uint32_t threads)
{
    const mmcl_context_options options = {.struct_size = sizeof options, .threads = threads};
    mmcl_context              *made;
    ck_assert_int_eq(mmcl_context_create(&made, &options), MMCL_OK);
    return made;
}

START_TEST(bits_do_not_depend_on_threads_or_cache)
{
    enum { n = 9000, d = 20 };
    float       *x    = mixed(n, d, 'm');
    mmcl_matrix  rows = dense(x, n, d);
    const char  *chains[] = {"whiten:9", "ica:9", "pca:15+ica:9:picard", "normalize+ica:6:picard-free", "ica:5:deflation"};
    const struct { uint32_t threads; uint64_t cache; } runs[] = {{1, 0}, {2, 0}, {3, 1}, {2, 100000}};
    for (size_t s = 0; s < sizeof chains / sizeof *chains; s++) {
        float first[40], other[40];
        for (size_t r = 0; r < sizeof runs / sizeof *runs; r++) {
            mmcl_context    *own = with_threads(runs[r].threads);
            mmcl_transform  *t;
            mmcl_fit_options fit = {.struct_size = sizeof fit, .cache_bytes = runs[r].cache};
            mmcl_matrix      few = dense(x, 4, d);
            ck_assert_int_eq(mmcl_transform_create_spec(&t, own, chains[s]), MMCL_OK);
            ck_assert_int_eq(mmcl_transform_fit(t, &rows, 1, &fit), MMCL_OK);
            memset(r == 0 ? first : other, 0, sizeof first);
            ck_assert_int_eq(mmcl_transform_apply(t, &few, r == 0 ? first : other, 0), MMCL_OK);
            if (r > 0)
                ck_assert_msg(memcmp(first, other, sizeof first) == 0, "%s: run %zu has other bits", chains[s], r);
            mmcl_transform_destroy(t);
            mmcl_context_destroy(own);
        }
    }
    free(x);
}
END_TEST

START_TEST(estimate_bounds_the_peak)
{
    const struct { size_t n, d; const char *spec; } cases[] = {
        {20000, 40, "ica:30"}, {3000, 200, "whiten:50"}, {5000, 100, "pca:80+ica:60:picard"}, {4000, 64, "normalize+ica:32:picard-free"}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        mmcl_context    *own  = with_threads(2);
        float           *x    = mixed(cases[c].n, cases[c].d, 'l');
        mmcl_matrix      rows = dense(x, cases[c].n, cases[c].d);
        mmcl_memory_info memory = {.struct_size = sizeof memory};
        mmcl_transform  *t;
        uint64_t         bytes, before;
        ck_assert_int_eq(mmcl_transform_create_spec(&t, own, cases[c].spec), MMCL_OK);
        for (size_t i = 0; i < mmcl_transform_count(t); i++) {
            mmcl_step_options step = {.struct_size = sizeof step};
            ck_assert_int_eq(mmcl_transform_get_step(t, i, &step), MMCL_OK);
            step.max_iterations = 3;
            ck_assert_int_eq(mmcl_transform_set_step(t, i, &step), MMCL_OK);
        }
        ck_assert_int_eq(mmcl_context_memory(own, &memory), MMCL_OK);
        before = memory.live_bytes;
        ck_assert_int_eq(mmcl_transform_estimate(t, rows.rows, rows.cols, NULL, &bytes), MMCL_OK);
        ck_assert_int_eq(mmcl_transform_fit(t, &rows, 1, NULL), MMCL_OK);
        ck_assert_int_eq(mmcl_context_memory(own, &memory), MMCL_OK);
        double ratio = (double) bytes / (double) (memory.peak_bytes - before);
        ck_assert_msg(ratio >= 1 && ratio < 1.25, "%s: estimate is %.3f of the peak", cases[c].spec, ratio);
        mmcl_transform_destroy(t);
        mmcl_context_destroy(own);
        free(x);
    }
}
END_TEST

/* -------------------------------------------------------------------------------------------------------- bad input --- */

static void refused(const char *spec, const mmcl_matrix *parts, size_t n, mmcl_status status, const char *text)
{
    mmcl_transform *t = make(spec);
    ck_assert_int_eq(mmcl_transform_fit(t, parts, n, NULL), status);
    ck_assert_msg(strstr(mmcl_context_message(context), text) != NULL, "message \"%s\" lacks \"%s\"", mmcl_context_message(context), text);
    ck_assert_uint_eq(mmcl_transform_is_fitted(t), 0);
    mmcl_transform_destroy(t);
}

START_TEST(bad_input_is_named)
{
    enum { n = 50, d = 6 };
    float      *x = mixed(n, d, 'm'), line[n * 2];
    mmcl_matrix rows = dense(x, n, d), two[2] = {rows, dense(x, 10, d - 1)}, none = dense(x, 0, d);
    refused("pca:7", &rows, 1, MMCL_E_INVAL, "7 components of 6 columns");
    refused("pca:2", NULL, 0, MMCL_E_INVAL, "no matrices");
    refused("pca:2", &none, 1, MMCL_E_INVAL, "no rows");
    refused("pca:2", two, 2, MMCL_E_INVAL, "parts[1]: 5 columns, expected 6");
    mmcl_matrix wide = dense(x, 4, d);
    refused("whiten:4", &wide, 1, MMCL_E_NUMERIC, "the 4 rows have rank 3: at most 3 are possible");
    for (size_t i = 0; i < n; i++) {
        line[2 * i]     = (float) i;
        line[2 * i + 1] = (float) i * 0.1f;
    }
    mmcl_matrix flat = dense(line, n, 2);
    refused("ica:2", &flat, 1, MMCL_E_NUMERIC, "rank 1: at most 1");
    float constant[8] = {3, 3, 3, 3, 3, 3, 3, 3};
    mmcl_matrix same = dense(constant, 4, 2);
    refused("whiten:1", &same, 1, MMCL_E_NUMERIC, "rank 0");
    mmcl_matrix integers = {.data = x, .rows = n, .cols = d, .dtype = MMCL_I32};
    refused("pca:2", &integers, 1, MMCL_E_INVAL, "int32 elements");
    x[17 * d + 3] = INFINITY;
    refused("ica:3", &rows, 1, MMCL_E_NUMERIC, "parts[0]: NaN or infinity in row 17, column 3");
    free(x);
}
END_TEST

START_TEST(clipping_is_told)
{
    enum { n = 5, d = 8 };
    float            *x = mixed(n, d, 'm');
    mmcl_matrix       rows = dense(x, n, d);
    mmcl_transform   *t    = make("whiten:20");
    mmcl_step_options step = last_step(t);
    step.clip_components   = 1;
    OK(mmcl_transform_set_step(t, 0, &step));
    OK(mmcl_transform_fit(t, &rows, 1, NULL));
    ck_assert_uint_eq(last_info(t).components, n - 1);
    ck_assert_int_eq(mmcl_transform_fit(t, &rows, 1, NULL), MMCL_E_STATE);
    ck_assert_int_eq(mmcl_transform_add(t, &step), MMCL_E_STATE);
    float y[n * (n - 1)];
    mmcl_matrix narrow = dense(x, n, d - 1);
    ck_assert_int_eq(mmcl_transform_apply(t, &narrow, y, 0), MMCL_E_INVAL);
    x[3] = NAN;
    ck_assert_int_eq(mmcl_transform_apply(t, &rows, y, 0), MMCL_E_NUMERIC);
    mmcl_transform_destroy(t);
    free(x);
}
END_TEST

static int32_t stop_at(void *user, const mmcl_progress *progress)
{
    int *left = user;
    return !progress->finished && --*left < 0;
}

START_TEST(cancelled_fits_can_be_run_again)
{
    enum { n = 2000, d = 6 };
    float          *x    = mixed(n, d, 'm'), y[2][4 * 3];
    mmcl_matrix     rows = dense(x, n, d), few = dense(x, 4, d);
    mmcl_transform *plain = make("normalize+ica:3"), *t = make("normalize+ica:3");
    OK(mmcl_transform_fit(plain, &rows, 1, NULL));
    OK(mmcl_transform_apply(plain, &few, y[0], 0));
    for (int at = 0;; at++) {
        int left = at;
        mmcl_context_set_progress(context, stop_at, &left);
        mmcl_status status = mmcl_transform_fit(t, &rows, 1, NULL);
        if (status == MMCL_OK)
            break;
        ck_assert_int_eq(status, MMCL_E_CANCELLED);
        ck_assert_uint_eq(mmcl_transform_is_fitted(t), 0);
        ck_assert_int_lt(at, 1000);
    }
    mmcl_context_set_progress(context, NULL, NULL);
    OK(mmcl_transform_apply(t, &few, y[1], 0));
    ck_assert_mem_eq(y[0], y[1], sizeof y[0]);
    mmcl_transform_destroy(plain);
    mmcl_transform_destroy(t);
    free(x);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("transform");
    TCase *tcase = tcase_create("transform");
    tcase_set_timeout(tcase, 120);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, specs);
    tcase_add_test(tcase, options_out_of_range);
    tcase_add_test(tcase, moments_equal_the_definition);
    tcase_add_test(tcase, whitening_whitens);
    tcase_add_test(tcase, pca_equals_scikit_learn);
    tcase_add_test(tcase, parts_and_moments_give_the_same_map);
    tcase_add_test(tcase, chains_equal_their_steps_one_by_one);
    tcase_add_test(tcase, joined_chains_equal_one_after_the_other);
    tcase_add_test(tcase, inverse_projects);
    tcase_add_test(tcase, fastica_equals_scikit_learn);
    tcase_add_test(tcase, arbitrary_scale_and_mixing_equal_scikit_learn);
    tcase_add_test(tcase, solvers_recover_the_sources);
    tcase_add_test(tcase, picard_stops_where_nothing_helps);
    tcase_add_test(tcase, order_and_sign);
    tcase_add_test(tcase, bits_do_not_depend_on_threads_or_cache);
    tcase_add_test(tcase, estimate_bounds_the_peak);
    tcase_add_test(tcase, bad_input_is_named);
    tcase_add_test(tcase, clipping_is_told);
    tcase_add_test(tcase, cancelled_fits_can_be_run_again);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
