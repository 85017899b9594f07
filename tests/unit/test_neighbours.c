/* Steps that learn from near neighbours, and chains side by side. */
#include <mmcl/mmcl.h>

#include "fixture.h"
#include "core/rng.h"
#include "transform/neighbours.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REFUSED(call, expected, text)                                                                                  \
    ck_assert_int_eq(call, expected);                                                                                  \
    ck_assert_msg(strstr(mmcl_context_message(context), text) != NULL, "\"%s\" lacks \"%s\"", mmcl_context_message(context), text)

static mmcl_matrix dense(const float *x, size_t rows, size_t cols)
{
    return (mmcl_matrix){.data = x, .rows = rows, .cols = cols};
}

/* Groups of five rows: the first half of the columns tells the groups apart, the others vary within a group as well. */
static float *grouped(size_t n, size_t d)
{
    mmcl__numpy_rng rng;
    float          *x = malloc(n * d * sizeof *x);
    double          centre[64];
    mmcl__numpy_seed(&rng, 5);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < d; j++) {
            if (i % 5 == 0)
                centre[j] = mmcl__numpy_normal(&rng);
            x[i * d + j] = (float) (0.3 + centre[j] + (j < d / 2 ? 0.1 : 0.3) * mmcl__numpy_normal(&rng));
        }
    return x;
}

static mmcl_transform *fitted(const char *spec, const float *x, size_t n, size_t d)
{
    mmcl_transform *t;
    mmcl_matrix     rows = dense(x, n, d);
    OK(mmcl_transform_create_spec(&t, context, spec));
    OK(mmcl_transform_fit(t, &rows, 1, NULL));
    return t;
}

/* Columns of the codes in *outputs. */
static float *apply(const mmcl_transform *t, const float *x, size_t n, size_t *outputs)
{
    size_t inputs;
    OK(mmcl_transform_shape(t, &inputs, outputs));
    float      *codes = malloc(n * *outputs * sizeof *codes);
    mmcl_matrix rows  = dense(x, n, inputs);
    OK(mmcl_transform_apply(t, &rows, codes, 0));
    return codes;
}

static double *field_of(const mmcl_transform *t, size_t step, mmcl_step_field field)
{
    size_t count;
    OK(mmcl_transform_field(t, step, field, NULL, 0, &count));
    double *values = malloc(count * sizeof *values);
    OK(mmcl_transform_field(t, step, field, values, count, NULL));
    return values;
}

/* --------------------------------------------------------------------------------------------------------- twins --- */

static double cosine(const double *a, const double *b, size_t d)
{
    double ab = 0, aa = 0, bb = 0;
    for (size_t j = 0; j < d; j++) {
        ab += a[j] * b[j];
        aa += a[j] * a[j];
        bb += b[j] * b[j];
    }
    return ab / sqrt(aa * bb);
}

/* The definition: `count` other rows of the highest cosine, one after the other. */
static void nearest(const double *keys, size_t n, size_t d, size_t count, uint32_t *near)
{
    for (size_t i = 0; i < n; i++)
        for (size_t c = 0; c < count; c++) {
            double best = -2;
            for (size_t j = 0; j < n; j++) {
                bool taken = j == i;
                for (size_t k = 0; k < c; k++)
                    taken |= near[i * count + k] == j;
                double s = taken ? -3 : cosine(keys + i * d, keys + j * d, d);
                if (s > best) {
                    best                = s;
                    near[i * count + c] = (uint32_t) j;
                }
            }
        }
}

static double *widened(const float *x, size_t count)
{
    double *out = malloc(count * sizeof *out);
    for (size_t i = 0; i < count; i++)
        out[i] = (double) x[i];
    return out;
}

/* Covariance between neighbours [d, d] of x, sought in keys. */
static double *between(const double *x, size_t n, size_t d, const uint32_t *near, size_t count)
{
    double *c = calloc(d * d, sizeof *c);
    for (size_t i = 0; i < n * count; i++) {
        const double *row = x + i / count * d, *other = x + near[i] * d;
        for (size_t a = 0; a < d; a++)
            for (size_t b = 0; b < d; b++)
                c[a * d + b] += (row[a] - other[a]) * (row[b] - other[b]) / (double) (2 * n * count);
    }
    return c;
}

static double *covariance(const double *x, size_t n, size_t d)
{
    double *c = calloc(d * d, sizeof *c), mean[64] = {0};
    for (size_t i = 0; i < n * d; i++)
        mean[i % d] += x[i] / (double) n;
    for (size_t i = 0; i < n; i++)
        for (size_t a = 0; a < d; a++)
            for (size_t b = 0; b < d; b++)
                c[a * d + b] += (x[i * d + a] - mean[a]) * (x[i * d + b] - mean[b]) / (double) n;
    return c;
}

/* b^T c a. */
static double form(const double *b, const double *c, const double *a, size_t d)
{
    double sum = 0;
    for (size_t i = 0; i < d; i++)
        for (size_t j = 0; j < d; j++)
            sum += b[i] * c[i * d + j] * a[j];
    return sum;
}

/* --------------------------------------------------------------------------------------------------------- tests --- */

START_TEST(neighbours_equal_the_definition)
{
    enum { n = 1500, d = 8, count = 4 }; /* several blocks of queries and of candidates */
    float    *x = grouped(n, d);
    double   *keys = widened(x, n * d);
    uint32_t *ours = malloc(n * count * sizeof *ours), *theirs = malloc(n * count * sizeof *theirs);
    mmcl__unit_rows_f32(n, d, x, x, d);
    OK(mmcl__nearest(context, n, d, x, count, ours));
    nearest(keys, n, d, count, theirs);
    for (size_t i = 0; i < n * count; i++) /* rows that are equally near up to rounding may change places */
        ck_assert(ours[i] == theirs[i] || fabs(cosine(keys + i / count * d, keys + ours[i] * d, d) -
                                               cosine(keys + i / count * d, keys + theirs[i] * d, d)) < 1e-6);
    free(x);
    free(keys);
    free(ours);
    free(theirs);
}
END_TEST

START_TEST(power_keeps_signs)
{
    const float x[] = {-4, 0, 9, 2.25F};
    size_t      outputs;
    mmcl_transform *t = fitted("power:0.5", x, 2, 2);
    float          *y = apply(t, x, 2, &outputs);
    const float     expected[] = {-2, 0, 3, 1.5F};
    for (size_t i = 0; i < 4; i++)
        ck_assert_float_eq_tol(y[i], expected[i], 1e-6F);
    mmcl_step_options step = {.struct_size = sizeof step};
    OK(mmcl_transform_get_step(t, 0, &step));
    ck_assert_double_eq(step.exponent, 0.5);
    mmcl_transform_destroy(t);
    free(y);
}
END_TEST

START_TEST(relevance_is_the_ratio_of_variances)
{
    enum { n = 600, d = 6, count = 4 };
    float          *x = grouped(n, d);
    double         *rows = widened(x, n * d);
    uint32_t       *near = malloc(n * count * sizeof *near);
    mmcl_transform *t = fitted("relevance:1.5:4", x, n, d);
    size_t          outputs;
    float          *y = apply(t, x, n, &outputs);
    nearest(rows, n, d, count, near);
    double *within = between(rows, n, d, near, count), *total = covariance(rows, n, d), *weights = field_of(t, 0, MMCL_FIELD_WEIGHTS);
    for (size_t j = 0; j < d; j++)
        ck_assert_double_eq_tol(weights[j], pow(total[j * d + j] / within[j * d + j], 0.75), 1e-4 * weights[j]);
    ck_assert_double_gt(weights[0], 1.5 * weights[d - 1]); /* groups differ in the first columns */
    for (size_t i = 0; i < n * d; i++)
        ck_assert_float_eq_tol(y[i], (float) (rows[i] * weights[i % d]), 1e-4F);
    mmcl_transform_destroy(t);
    free(x), free(rows), free(near), free(y), free(within), free(total), free(weights);
}
END_TEST

/* Directions at between-neighbour variance 1, uncorrelated in both covariances, the ratios descending; the last inequality: none is missed. */
START_TEST(discriminants_diagonalise_both_covariances)
{
    enum { n = 500, d = 6, k = 4, count = 3 };
    float          *x = grouped(n, d);
    double         *rows = widened(x, n * d), trace = 0;
    mmcl_transform *white = fitted("whiten:4", x, n, d), *t = fitted("discriminants:4:0.2", x, n, d);
    size_t          outputs;
    float          *keys = apply(white, x, n, &outputs);
    double         *wide = widened(keys, n * k);
    uint32_t       *near = malloc(n * count * sizeof *near);
    nearest(wide, n, k, count, near);
    double *within = between(rows, n, d, near, count), *total = covariance(rows, n, d);
    double *map = field_of(t, 0, MMCL_FIELD_COMPONENTS), *ratios = field_of(t, 0, MMCL_FIELD_SPECTRUM);
    for (size_t j = 0; j < d; j++)
        trace += within[j * d + j];
    for (size_t i = 0; i < d * d; i++)
        within[i] = 0.8 * within[i] + (i % (d + 1) == 0 ? 0.2 * trace / d : 0);
    for (size_t a = 0; a < k; a++)
        for (size_t b = 0; b < k; b++) {
            ck_assert_double_eq_tol(form(map + a * d, within, map + b * d, d), a == b, 1e-4);
            ck_assert_double_eq_tol(form(map + a * d, total, map + b * d, d), a == b ? ratios[a] : 0, 1e-3);
        }
    for (size_t a = 1; a < d; a++)
        ck_assert_double_le(ratios[a], ratios[a - 1]);
    for (size_t j = 0; j < d; j++) /* the largest ratio is one of all directions */
        ck_assert_double_le(total[j * d + j] / within[j * d + j], ratios[0] * (1 + 1e-4));
    mmcl_transform_destroy(white);
    mmcl_transform_destroy(t);
    free(x), free(rows), free(keys), free(wide), free(near), free(within), free(total), free(map), free(ratios);
}
END_TEST

/* A discriminant behind other affine steps sees their outputs. */
START_TEST(discriminants_follow_affine_steps)
{
    enum { n = 400, d = 6 };
    float          *x = grouped(n, d);
    size_t          outputs;
    mmcl_transform *first = fitted("center+pca:5", x, n, d), *both = fitted("center+pca:5+discriminants:3", x, n, d);
    float          *scores = apply(first, x, n, &outputs);
    mmcl_transform *second = fitted("discriminants:3", scores, n, 5);
    float          *expected = apply(second, scores, n, &outputs), *y = apply(both, x, n, &outputs);
    for (size_t i = 0; i < n * 3; i++)
        ck_assert_float_eq_tol(y[i], expected[i], 2e-3F);
    mmcl_transform_destroy(first);
    mmcl_transform_destroy(second);
    mmcl_transform_destroy(both);
    free(x), free(scores), free(expected), free(y);
}
END_TEST

#define MANY "normalize+whiten:3+power:0.8+relevance+normalize/raw/center+ica:2+normalize/discriminants:4+normalize"

START_TEST(chains_stand_side_by_side)
{
    enum { n = 300, d = 6, columns = 3 + 6 + 2 + 4 };
    static const char *const chains[] = {"normalize+whiten:3+power:0.8+relevance+normalize", "raw", "center+ica:2+normalize",
                                         "discriminants:4+normalize"};
    float          *x = grouped(n, d);
    mmcl_transform *t = fitted(MANY, x, n, d);
    size_t          outputs, at = 0;
    float          *y = apply(t, x, n, &outputs);
    ck_assert_uint_eq(outputs, columns);
    for (size_t c = 0; c < 4; c++) {
        size_t          own;
        mmcl_transform *one = fitted(chains[c], x, n, d);
        float          *expected = apply(one, x, n, &own);
        for (size_t i = 0; i < n * own; i++)
            ck_assert_float_eq(y[i / own * columns + at + i % own], expected[i]);
        at += own;
        mmcl_transform_destroy(one);
        free(expected);
    }
    mmcl_step_info info = {.struct_size = sizeof info};
    OK(mmcl_transform_step_result(t, 5, &info));
    ck_assert_int_eq(info.kind, MMCL_STEP_BESIDE);
    ck_assert_uint_eq(info.inputs, d);
    mmcl_transform_destroy(t);
    free(x), free(y);
}
END_TEST

START_TEST(files_keep_every_kind)
{
    enum { n = 300, d = 6 };
    float          *x = grouped(n, d);
    mmcl_transform *t = fitted(MANY, x, n, d), *loaded, *copy;
    const char     *path = "test_neighbours.npz";
    size_t          outputs;
    OK(mmcl_transform_save(t, path));
    OK(mmcl_transform_load(&loaded, context, path, NULL));
    OK(mmcl__transform_clone(&copy, context, t));
    float *y = apply(t, x, n, &outputs), *again = apply(loaded, x, n, &outputs), *third = apply(copy, x, n, &outputs);
    ck_assert_int_eq(memcmp(y, again, n * outputs * sizeof *y), 0);
    ck_assert_int_eq(memcmp(y, third, n * outputs * sizeof *y), 0);
    for (size_t i = 0; i < mmcl_transform_count(t); i++) {
        mmcl_step_options ours = {.struct_size = sizeof ours}, theirs = ours;
        OK(mmcl_transform_get_step(t, i, &ours));
        OK(mmcl_transform_get_step(loaded, i, &theirs));
        ck_assert(memcmp(&ours, &theirs, sizeof ours) == 0);
    }
    mmcl_transform_destroy(t);
    mmcl_transform_destroy(loaded);
    mmcl_transform_destroy(copy);
    free(x), free(y), free(again), free(third);
    remove(path);
}
END_TEST

static mmcl_context *with_threads(uint32_t threads)
{
    mmcl_context        *own;
    mmcl_context_options options = {.struct_size = sizeof options, .threads = threads};
    ck_assert_int_eq(mmcl_context_create(&own, &options), MMCL_OK);
    return own;
}

START_TEST(bits_do_not_depend_on_threads)
{
    enum { n = 2000, d = 12, columns = 8 };
    float       *x = grouped(n, d), codes[2][columns * 100];
    mmcl_matrix  rows = dense(x, n, d), some = dense(x, 100, d);
    for (uint32_t threads = 1; threads <= 3; threads += 2) {
        mmcl_context   *own = with_threads(threads);
        mmcl_transform *t;
        ck_assert_int_eq(mmcl_transform_create_spec(&t, own, "normalize+whiten:4+relevance/discriminants:4"), MMCL_OK);
        ck_assert_int_eq(mmcl_transform_fit(t, &rows, 1, NULL), MMCL_OK);
        ck_assert_int_eq(mmcl_transform_apply(t, &some, codes[threads / 2], 0), MMCL_OK);
        mmcl_transform_destroy(t);
        mmcl_context_destroy(own);
    }
    ck_assert_int_eq(memcmp(codes[0], codes[1], sizeof codes[0]), 0);
    free(x);
}
END_TEST

/* Of many rows an even sample is looked at: the same as fitting on that sample. */
START_TEST(many_rows_are_sampled)
{
    enum { n = MMCL__NEIGHBOUR_ROWS + 10, d = 4, half = n / 2 };
    float *x = grouped(n, d), *even = malloc(half * d * sizeof *even);
    for (size_t i = 0; i < half; i++)
        memcpy(even + i * d, x + 2 * i * d, d * sizeof *even);
    mmcl_transform *all = fitted("relevance", x, n, d), *sample = fitted("relevance", even, half, d);
    double         *ours = field_of(all, 0, MMCL_FIELD_WEIGHTS), *theirs = field_of(sample, 0, MMCL_FIELD_WEIGHTS);
    for (size_t j = 0; j < d; j++)
        ck_assert_double_eq(ours[j], theirs[j]);
    mmcl_transform_destroy(all);
    mmcl_transform_destroy(sample);
    free(x), free(even), free(ours), free(theirs);
}
END_TEST

START_TEST(estimate_bounds_the_peak)
{
    static const char *const specs[] = {"whiten:30+normalize+relevance", "discriminants:20", "normalize+pca:30+discriminants:20/whiten:10"};
    enum { n = 6000, d = 48 };
    float      *x = grouped(n, d);
    mmcl_matrix rows = dense(x, n, d);
    for (size_t c = 0; c < 3; c++) {
        mmcl_context    *own = with_threads(2);
        mmcl_memory_info memory = {.struct_size = sizeof memory};
        mmcl_transform  *t;
        uint64_t         bytes, before;
        ck_assert_int_eq(mmcl_transform_create_spec(&t, own, specs[c]), MMCL_OK);
        ck_assert_int_eq(mmcl_context_memory(own, &memory), MMCL_OK);
        before = memory.live_bytes;
        ck_assert_int_eq(mmcl_transform_estimate(t, n, d, NULL, &bytes), MMCL_OK);
        ck_assert_int_eq(mmcl_transform_fit(t, &rows, 1, NULL), MMCL_OK);
        ck_assert_int_eq(mmcl_context_memory(own, &memory), MMCL_OK);
        double ratio = (double) bytes / (double) (memory.peak_bytes - before);
        ck_assert_msg(ratio >= 1 && ratio < 1.25, "%s: estimate is %.3f of the peak", specs[c], ratio);
        mmcl_transform_destroy(t);
        mmcl_context_destroy(own);
    }
    free(x);
}
END_TEST

static void spec_refused(const char *spec, const char *text)
{
    mmcl_transform *t;
    REFUSED(mmcl_transform_create_spec(&t, context, spec), MMCL_E_INVAL, text);
    ck_assert_ptr_null(t);
}

static void fit_refused(const char *spec, const mmcl_matrix *rows, mmcl_status status, const char *text)
{
    mmcl_transform *t;
    OK(mmcl_transform_create_spec(&t, context, spec));
    REFUSED(mmcl_transform_fit(t, rows, 1, NULL), status, text);
    ck_assert_uint_eq(mmcl_transform_is_fitted(t), 0);
    mmcl_transform_destroy(t);
}

START_TEST(bad_input_is_named)
{
    enum { n = 60, d = 4 };
    float       *x = grouped(n, d), copies[40 * d];
    mmcl_matrix  rows = dense(x, n, d), few = dense(x, 3, d), same = dense(copies, 40, d);
    spec_refused("power:0", "\"0\" means nothing after power");
    spec_refused("power:0.5:2", "\"2\" means nothing after power");
    spec_refused("power:1e3", "\"1e3\" means nothing after power");
    spec_refused("power:1000", "exponent: 1000, expected above 0 and at most 100");
    spec_refused("relevance:2:65", "neighbours: 65, expected at most 64");
    spec_refused("relevance:2:3:4", "\"4\" means nothing after relevance");
    spec_refused("discriminants:4:1.5", "shrinkage: 1.5, expected above 0 and at most 1");
    spec_refused("whiten:2/", "unknown step \"\"");
    spec_refused("whiten:2/whitn:3", "unknown step \"whitn\"");
    fit_refused("relevance", &few, MMCL_E_INVAL, "3 rows, expected more than the 3 neighbours of each");
    fit_refused("discriminants:5", &rows, MMCL_E_INVAL, "5 components of 4 columns");
    for (size_t i = 0; i < 40; i++)
        memcpy(copies + i * d, x + i / 4 * d, d * sizeof *x);
    fit_refused("relevance", &same, MMCL_E_NUMERIC, "are there copies of rows?");
    fit_refused("discriminants:2", &same, MMCL_E_NUMERIC, "are there copies of rows?");
    x[n * d - 1] = 1e10F;
    fit_refused("power:9+relevance", &rows, MMCL_E_NUMERIC, "overflows on its way through the steps");
    fit_refused("normalize+discriminants:2/power:9+discriminants:2", &rows, MMCL_E_NUMERIC, "");
    x[n * d - 1] = NAN;
    fit_refused("normalize/relevance", &rows, MMCL_E_NUMERIC, "row 59, column 3");
    free(x);
}
END_TEST

START_TEST(constant_columns_get_no_weight)
{
    enum { n = 60, d = 4 };
    float *x = grouped(n, d);
    for (size_t i = 0; i < n; i++)
        x[i * d + 2] = 0.5F;
    mmcl_transform *t = fitted("relevance", x, n, d);
    double         *weights = field_of(t, 0, MMCL_FIELD_WEIGHTS);
    ck_assert_double_eq(weights[2], 0);
    ck_assert_double_gt(weights[1], 0);
    mmcl_transform_destroy(t);
    free(x), free(weights);
}
END_TEST

START_TEST(what_cannot_be_is_refused)
{
    enum { n = 60, d = 4 };
    static const char *const specs[] = {"relevance", "discriminants:2", "center/center", "power+center"};
    float          *x = grouped(n, d), back[n * d];
    double          mean[d], matrix[d * d];
    mmcl_matrix     rows = dense(x, n, d);
    mmcl_moments   *moments;
    OK(mmcl_moments_create(&moments, context, d));
    OK(mmcl_moments_update(moments, &rows));
    for (size_t i = 0; i < 4; i++) {
        mmcl_transform *t;
        OK(mmcl_transform_create_spec(&t, context, specs[i]));
        REFUSED(mmcl_transform_fit_moments(t, moments), MMCL_E_UNSUPPORTED, "moments do not suffice");
        mmcl_transform_destroy(t);
    }
    mmcl_transform *pair = fitted("center/center", x, n, d), *one = fitted("center", x, n, d), *joined;
    REFUSED(mmcl_transform_join(&joined, context, one, pair), MMCL_E_UNSUPPORTED, "second: chains side by side");
    REFUSED(mmcl_transform_inverse(pair, &(mmcl_matrix){.data = x, .rows = 1, .cols = 8}, back, 0),
            MMCL_E_UNSUPPORTED, "no way back");
    ck_assert_int_eq(mmcl_transform_affine(pair, mean, matrix), MMCL_E_UNSUPPORTED);
    mmcl_moments_destroy(moments);
    mmcl_transform_destroy(pair);
    mmcl_transform_destroy(one);
    free(x);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("neighbours");
    TCase *tcase = tcase_create("neighbours");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, neighbours_equal_the_definition);
    tcase_add_test(tcase, power_keeps_signs);
    tcase_add_test(tcase, relevance_is_the_ratio_of_variances);
    tcase_add_test(tcase, discriminants_diagonalise_both_covariances);
    tcase_add_test(tcase, discriminants_follow_affine_steps);
    tcase_add_test(tcase, chains_stand_side_by_side);
    tcase_add_test(tcase, files_keep_every_kind);
    tcase_add_test(tcase, bits_do_not_depend_on_threads);
    tcase_add_test(tcase, many_rows_are_sampled);
    tcase_add_test(tcase, estimate_bounds_the_peak);
    tcase_add_test(tcase, bad_input_is_named);
    tcase_add_test(tcase, constant_columns_get_no_weight);
    tcase_add_test(tcase, what_cannot_be_is_refused);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
