#include <mmcl/mmcl.h>

#include "suite.h"
#include "../parity/logreg_golden.h"
#include "classify/blocks.h"
#include "classify/softmax.h"
#include "core/rng.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { N = 120, M = 2000, D = 12, K = 6 };

static mmcl_context *context;
static float         x[N * D], test_x[M * D];
static int64_t       y[N], test_y[M];

#define OK(call) ck_assert_msg((call) == MMCL_OK, "%s: %s", #call, mmcl_context_message(context))

static void fill(mmcl__numpy_rng *rng, const double *centres, size_t n, float *rows, int64_t *labels)
{
    for (size_t i = 0; i < n; i++) {
        labels[i] = (int64_t) (i % K);
        for (size_t j = 0; j < D; j++)
            rows[i * D + j] = (float) (3 + exp(-0.3 * (double) j) * (centres[(i % K) * D + j] + mmcl__numpy_normal(rng)));
    }
}

static void setup(void)
{
    mmcl__numpy_rng rng;
    double          centres[K * D];
    ck_assert_int_eq(mmcl_context_create(&context, NULL), MMCL_OK);
    mmcl__numpy_seed(&rng, 5);
    for (size_t i = 0; i < K * D; i++)
        centres[i] = mmcl__numpy_normal(&rng);
    fill(&rng, centres, N, x, y);
    fill(&rng, centres, M, test_x, test_y);
}

static void teardown(void)
{
    mmcl_context_destroy(context);
}

static mmcl_labelled rows_of(const float *data, const int64_t *labels, size_t n, size_t d)
{
    return (mmcl_labelled){.features = {.data = data, .rows = n, .cols = d}, .labels = labels};
}

static mmcl_classifier *fit(const mmcl_labelled *train, double c, const mmcl_classifier *start, mmcl_logreg_info *info)
{
    const mmcl_logreg_options options = {.struct_size = sizeof options, .c = c, .tolerance = 1e-9};
    mmcl_classifier          *made;
    info->struct_size = sizeof *info;
    OK(mmcl_logreg_fit(&made, context, train, K, &options, start, info));
    return made;
}

START_TEST(kernels_equal_reference)
{
    for (size_t classes = 2; classes < 40; classes += 5) {
        enum { rows = 9 };
        float   a[2][rows * 40], sums[2][40] = {{0}}, bias[40];
        double  b[2][rows * 40], wide_sums[2][40] = {{0}}, wide_bias[40], loss[4][9], normaliser[4][9], spread[4] = {0};
        int32_t labels[rows];
        for (size_t i = 0; i < rows * classes; i++)
            a[0][i] = a[1][i] = (float) (b[0][i] = b[1][i] = (double) (float) (30 * sin((double) (i * i))));
        for (size_t j = 0; j < classes; j++)
            bias[j] = (float) (wide_bias[j] = (double) j / 8);
        for (int32_t i = 0; i < rows; i++)
            labels[i] = i % (int32_t) classes;
        const mmcl__softmax_kernels *sets[2] = {mmcl__softmax_kernel(), &mmcl__softmax_reference};
        for (int v = 0; v < 2; v++) {
            sets[v]->f32(rows, classes, labels, bias, a[v], sums[v], loss[v], normaliser[v], &spread[v]);
            sets[v]->f64(rows, classes, labels, wide_bias, b[v], wide_sums[v], loss[2 + v], normaliser[2 + v], &spread[2 + v]);
        }
        for (size_t i = 0; i < rows * classes; i++) {
            ck_assert_float_eq_tol(a[0][i], a[1][i], 1e-5f);
            ck_assert_double_eq_tol(b[0][i], b[1][i], 1e-13);
        }
        for (size_t i = 0; i < rows; i++) {
            ck_assert_double_eq_tol(loss[0][i], loss[1][i], 1e-5 * (1 + loss[1][i]));
            ck_assert_double_eq_tol(loss[2][i], loss[3][i], 1e-12 * (1 + loss[3][i]));
            ck_assert_double_eq_tol(normaliser[0][i], normaliser[1][i], 1e-5 * (1 + fabs(normaliser[1][i])));
            ck_assert_double_eq_tol(normaliser[2][i], normaliser[3][i], 1e-12 * (1 + fabs(normaliser[3][i])));
        }
        ck_assert_double_eq_tol(spread[2], spread[3], 1e-12 * (1 + spread[3]));
    }
}
END_TEST

/* H v against the difference of gradients, for scores of every size. */
START_TEST(curvature_is_the_change_of_the_gradient)
{
    enum { rows = 900, size = K * (D + 1) };
    static float   wide[rows * D];
    static int32_t labels[rows];
    mmcl__softmax  softmax;
    mmcl__softmax_value value;
    for (size_t i = 0; i < rows * D; i++)
        wide[i] = test_x[i] - 3;
    for (size_t i = 0; i < rows; i++)
        labels[i] = (int32_t) test_y[i];
    OK(mmcl__softmax_open(&softmax, context, rows, D, K, wide, MMCL_PRECISION_F32, labels));
    for (double scale = 0.01; scale < 20; scale *= 10) {
        double at[size], along[size], up[size], down[size], product[size], difference = 0, norm = 0, h = 1e-5;
        for (size_t i = 0; i < size; i++) {
            at[i]    = scale * sin((double) i * 1.7);
            along[i] = cos((double) (i * i));
        }
        OK(mmcl__softmax_curvature(&softmax, 3, at, along, product));
        for (size_t i = 0; i < size; i++)
            at[i] += h * along[i];
        OK(mmcl__softmax_pass(&softmax, MMCL_PRECISION_F64, 3, at, up, &value));
        for (size_t i = 0; i < size; i++)
            at[i] -= 2 * h * along[i];
        OK(mmcl__softmax_pass(&softmax, MMCL_PRECISION_F64, 3, at, down, &value));
        for (size_t i = 0; i < size; i++) {
            double wrong = product[i] - (up[i] - down[i]) / (2 * h);
            difference += wrong * wrong;
            norm += product[i] * product[i];
        }
        ck_assert_double_lt(sqrt(difference / norm), 1e-7);
    }
    mmcl__softmax_close(&softmax);
}
END_TEST

/* The blocks times their inverses, for fewer rows than columns (Woodbury) and for more, with every row kept. */
static void blocks_invert(size_t rows, mmcl_precision stored, double tolerance)
{
    enum { size = K * (D + 1) };
    const double        c = 1e4;
    mmcl__rotation      rotation;
    mmcl__softmax       softmax;
    mmcl__blocks        blocks;
    mmcl__softmax_value value;
    mmcl_matrix         view = {.data = x, .rows = rows, .cols = D};
    int32_t             labels[N];
    double              counts[K] = {0}, at[size], in[size], out[size], gradient[size];
    for (size_t i = 0; i < rows; i++) {
        labels[i] = (int32_t) y[i];
        counts[y[i]]++;
    }
    OK(mmcl__rotation_open(&rotation, context, &view, true, stored, "rows"));
    OK(mmcl__softmax_open(&softmax, context, rows, rotation.axes, K, rotation.x, stored, labels));
    OK(mmcl__blocks_open(&blocks, context, &rotation, &softmax, counts, true));
    size_t axes = rotation.axes, weights = K * axes;
    for (size_t i = 0; i < weights + K; i++) {
        at[i] = 0.2 * sin((double) i * 1.7);
        in[i] = cos((double) (i * i));
    }
    OK(mmcl__softmax_pass(&softmax, stored, c, at, gradient, &value));
    OK(mmcl__blocks_refresh(&blocks, c, at, value.spread, rows));
    OK(mmcl__blocks_apply(&blocks, in, out));
    for (size_t k = 0; k < K; k++) {
        double back[D + 1] = {0}, all = 0;
        ck_assert_uint_eq(blocks.kept[k], rows);
        for (size_t i = 0; i < rows; i++) {
            double row[D + 1], score[K], sum = 0, along = 0;
            for (size_t j = 0; j < axes; j++)
                row[j] = stored == MMCL_PRECISION_F32 ? (double) ((float *) rotation.x)[i * axes + j] : ((double *) rotation.x)[i * axes + j];
            row[axes] = 1;
            for (size_t l = 0; l < K; l++) {
                score[l] = at[weights + l];
                for (size_t j = 0; j < axes; j++)
                    score[l] += at[l * axes + j] * row[j];
                sum += exp(score[l]);
            }
            double p = exp(score[k]) / sum, q = p * (1 - p);
            all += q;
            for (size_t j = 0; j <= axes; j++)
                along += row[j] * (j < axes ? out[k * axes + j] : out[weights + k]);
            for (size_t j = 0; j <= axes; j++)
                back[j] += c * q * along * row[j];
        }
        for (size_t j = 0; j < axes; j++) /* the penalty; the intercept has a thousandth of its curvature in its stead */
            ck_assert_double_eq_tol(back[j] + out[k * axes + j], in[k * axes + j], tolerance);
        ck_assert_double_eq_tol(back[axes] + 1e-3 * c * all * out[weights + k], in[weights + k], tolerance);
    }
    mmcl__blocks_close(&blocks);
    mmcl__softmax_close(&softmax);
    mmcl__rotation_close(&rotation);
}

START_TEST(blocks_are_inverse_curvatures)
{
    blocks_invert(10, MMCL_PRECISION_F32, 1e-3);
    blocks_invert(10, MMCL_PRECISION_F64, 1e-3);
    blocks_invert(N, MMCL_PRECISION_F32, 1e-3);
    blocks_invert(N, MMCL_PRECISION_F64, 1e-3);
}
END_TEST

/* The objective written out in float64. */
static double objective(const double *w, const double *b, double c)
{
    double loss = 0, penalty = 0;
    for (size_t i = 0; i < N; i++) {
        double score[K], sum = 0;
        for (size_t k = 0; k < K; k++) {
            score[k] = b[k];
            for (size_t j = 0; j < D; j++)
                score[k] += w[k * D + j] * (double) x[i * D + j];
        }
        for (size_t k = 0; k < K; k++)
            sum += k == (size_t) y[i] ? 0 : exp(score[k] - score[y[i]]);
        loss += log1p(sum);
    }
    for (size_t i = 0; i < K * D; i++)
        penalty += w[i] * w[i] / 2;
    return c * loss + penalty;
}

START_TEST(no_neighbour_is_lower)
{
    mmcl_labelled train = rows_of(x, y, N, D);
    for (double c = 1e-6; c < 1e7; c *= 100) {
        mmcl_logreg_info info;
        mmcl_classifier *made = fit(&train, c, NULL, &info);
        double           w[K * D], b[K], direct, value;
        OK(mmcl_classifier_weights(made, w, b));
        OK(mmcl_logreg_objective(made, &train, c, &value));
        direct = objective(w, b, c);
        ck_assert_double_eq_tol(value, direct, 1e-10 * direct);
        ck_assert_double_eq_tol(info.objective, direct, 1e-6 * direct);
        ck_assert_int_ne(info.stop, MMCL_STOP_ITERATIONS);
        /* Central differences: at the optimum f(p +- h) exceeds f(p), and the slope is a vanishing part of f. */
        for (size_t i = 0; i < K * D + K; i++) {
            double *p = i < K * D ? &w[i] : &b[i - K * D], kept = *p, h = 1e-4 * (1 + fabs(kept));
            *p        = kept + h;
            double up = objective(w, b, c);
            *p        = kept - h;
            double down = objective(w, b, c);
            *p          = kept;
            ck_assert_double_gt(up + down - 2 * direct, -1e-12 * direct);
            /* What a step along p alone could still gain; the penalty's curvature is 1. */
            double slope = (up - down) / (2 * h), curvature = (up + down - 2 * direct) / (h * h);
            ck_assert_double_lt(slope * slope / (2 * fmax(curvature, 1)), 1e-6 * direct);
        }
        mmcl_classifier_destroy(made);
    }
}
END_TEST

/* One problem of tests/parity/make_logreg_golden.py: objectives within 1e-6 of the optimum, and every test row decided alike. */
static void equals_golden(const int8_t *rows, const int8_t *test, const double *optima, const char *const *answers, size_t n, size_t d,
                          size_t classes)
{
    float   *train_x = malloc(n * d * sizeof *train_x), *golden_test = malloc(LOGREG_TEST * d * sizeof *golden_test);
    int64_t *labels = malloc(n * sizeof *labels), answer[LOGREG_TEST];
    for (size_t i = 0; i < n * d; i++)
        train_x[i] = (float) rows[i] / 16;
    for (size_t i = 0; i < LOGREG_TEST * d; i++)
        golden_test[i] = (float) test[i] / 16;
    for (size_t i = 0; i < n; i++)
        labels[i] = (int64_t) (i % classes);
    mmcl_labelled train = rows_of(train_x, labels, n, d);
    mmcl_matrix   asked = {.data = golden_test, .rows = LOGREG_TEST, .cols = d};
    for (size_t g = 0; g < LOGREG_GRID; g++) {
        const mmcl_logreg_options options = {.struct_size = sizeof options, .c = logreg_grid[g]};
        mmcl_logreg_info          info    = {.struct_size = sizeof info};
        mmcl_classifier          *made;
        double                    value;
        OK(mmcl_logreg_fit(&made, context, &train, classes, &options, NULL, &info));
        ck_assert_int_eq(info.stop, MMCL_STOP_TOLERANCE);
        OK(mmcl_logreg_objective(made, &train, logreg_grid[g], &value));
        ck_assert_double_eq_tol(value / optima[g], 1, 1e-6);
        OK(mmcl_classifier_predict(made, &asked, NULL, answer));
        for (size_t i = 0; i < LOGREG_TEST; i++)
            ck_assert_msg(answer[i] == answers[g][i] - '0', "C = %g: row %zu is of class %d, not %c", logreg_grid[g], i, (int) answer[i],
                          answers[g][i]);
        mmcl_classifier_destroy(made);
    }
    free(train_x), free(golden_test), free(labels);
}

START_TEST(optima_equal_scikit_learn)
{
    equals_golden(overlapping_rows, overlapping_test, overlapping_optima, overlapping_answers, 160, 6, 4);
    equals_golden(separable_rows, separable_test, separable_optima, separable_answers, 48, 30, 8);
}
END_TEST

START_TEST(warm_starts_change_nothing)
{
    mmcl_labelled    train = rows_of(x, y, N, D);
    mmcl_logreg_info cold_info, warm_info, other;
    mmcl_classifier *start = fit(&train, 10, NULL, &other), *cold = fit(&train, 1000, NULL, &cold_info),
                    *warm = fit(&train, 1000, start, &warm_info);
    ck_assert_double_eq_tol(cold_info.objective, warm_info.objective, 1e-7 * cold_info.objective);
    mmcl_classifier_destroy(start);
    mmcl_classifier_destroy(cold);
    mmcl_classifier_destroy(warm);
}
END_TEST

START_TEST(rotations_change_no_decision)
{
    mmcl_transform *whiten, *ica;
    mmcl_matrix     pool = {.data = test_x, .rows = M, .cols = D};
    float          *a = malloc(M * 8 * sizeof *a), *b = malloc(M * 8 * sizeof *b), train_a[N * 8], train_b[N * 8];
    int64_t        *first = malloc(M * sizeof *first), *second = malloc(M * sizeof *second);
    OK(mmcl_transform_create_spec(&whiten, context, "whiten:8"));
    OK(mmcl_transform_create_spec(&ica, context, "ica:8"));
    OK(mmcl_transform_fit(whiten, &pool, 1, NULL));
    OK(mmcl_transform_fit(ica, &pool, 1, NULL));
    mmcl_labelled raw = rows_of(x, y, N, D), white = rows_of(train_a, y, N, 8), unmixed = rows_of(train_b, y, N, 8);
    OK(mmcl_transform_apply(whiten, &pool, a, 0));
    OK(mmcl_transform_apply(ica, &pool, b, 0));
    OK(mmcl_transform_apply(whiten, &raw.features, train_a, 0));
    OK(mmcl_transform_apply(ica, &raw.features, train_b, 0));
    for (double c = 1e-6; c < 1e7; c *= 100) {
        mmcl_logreg_info info;
        mmcl_classifier *on_white = fit(&white, c, NULL, &info), *on_ica = fit(&unmixed, c, NULL, &info);
        mmcl_matrix      rows_a = {.data = a, .rows = M, .cols = 8}, rows_b = {.data = b, .rows = M, .cols = 8};
        size_t           differ = 0;
        OK(mmcl_classifier_predict(on_white, &rows_a, NULL, first));
        OK(mmcl_classifier_predict(on_ica, &rows_b, NULL, second));
        for (size_t i = 0; i < M; i++)
            differ += first[i] != second[i];
        ck_assert_msg(differ <= M / 1000, "C = %g: %zu of %d decisions differ", c, differ, M);
        mmcl_classifier_destroy(on_white);
        mmcl_classifier_destroy(on_ica);
    }
    mmcl_transform_destroy(whiten);
    mmcl_transform_destroy(ica);
    free(a), free(b), free(first), free(second);
}
END_TEST

START_TEST(search_and_threads)
{
    double weights[2][K * D];
    for (uint32_t threads = 1; threads <= 2; threads++) {
        const mmcl_context_options options = {.struct_size = sizeof options, .threads = threads};
        mmcl_context     *own;
        mmcl_classifier  *made;
        mmcl_search_info  info = {.struct_size = sizeof info};
        mmcl_labelled     train = rows_of(x, y, N, D), val = rows_of(test_x, test_y, 60, D);
        double            accuracy;
        ck_assert_int_eq(mmcl_context_create(&own, &options), MMCL_OK);
        ck_assert_int_eq(mmcl_logreg_search(&made, own, &train, &val, K, NULL, &info), MMCL_OK);
        ck_assert_uint_eq(info.fits, 15);
        ck_assert_int_eq(mmcl_classifier_accuracy(made, &val, NULL, &accuracy), MMCL_OK);
        ck_assert_double_eq(accuracy, info.val_accuracy);
        ck_assert_int_eq(mmcl_classifier_weights(made, weights[threads - 1], NULL), MMCL_OK);
        mmcl_classifier_destroy(made);
        mmcl_context_destroy(own);
    }
    ck_assert_mem_eq(weights[0], weights[1], sizeof weights[0]);
}
END_TEST

START_TEST(shots_equal_numpy)
{
    /* RandomState(3): for c in (0, 1): choice(where(labels == c), 2, replace=False), labels = [0, 1, 0, 0, 1, 1, 0, 1]. */
    const int64_t      labels[8] = {0, 1, 0, 0, 1, 1, 0, 1};
    mmcl_shot_sampler *sampler;
    int64_t            drawn[4];
    size_t             indices[4], scratch[4];
    mmcl__numpy_rng    rng;
    mmcl__numpy_seed(&rng, 3);
    mmcl__numpy_choice(&rng, 4, 2, scratch, indices);
    mmcl__numpy_choice(&rng, 4, 2, scratch, indices + 2);
    const int64_t where[2][4] = {{0, 2, 3, 6}, {1, 4, 5, 7}};
    OK(mmcl_shot_sampler_create(&sampler, context, 3));
    OK(mmcl_shot_sampler_draw(sampler, labels, 8, 2, 2, drawn));
    for (size_t i = 0; i < 4; i++)
        ck_assert_int_eq(drawn[i], where[i / 2][indices[i]]);
    ck_assert_int_eq(mmcl_shot_sampler_draw(sampler, labels, 8, 3, 2, drawn), MMCL_E_NUMERIC);
    mmcl_shot_sampler_destroy(sampler);
}
END_TEST

static void refused(mmcl_labelled train, size_t classes, double c, mmcl_status status, const char *text)
{
    const mmcl_logreg_options options = {.struct_size = sizeof options, .c = c};
    mmcl_classifier          *made    = (mmcl_classifier *) context;
    ck_assert_int_eq(mmcl_logreg_fit(&made, context, &train, classes, &options, NULL, NULL), status);
    ck_assert_ptr_null(made);
    ck_assert_msg(strstr(mmcl_context_message(context), text) != NULL, "\"%s\" lacks \"%s\"", mmcl_context_message(context), text);
}

START_TEST(bad_input_is_named)
{
    mmcl_labelled train = rows_of(x, y, N, D);
    refused(train, K, -1, MMCL_E_INVAL, "-1");
    refused(train, 1, 1, MMCL_E_INVAL, "1");
    refused(train, K - 1, 1, MMCL_E_INVAL, "5");
    refused(train, K + 1, 1, MMCL_E_NUMERIC, "6");
    y[7] = -3;
    refused(train, K, 1, MMCL_E_INVAL, "-3");
    y[7]         = 1;
    x[9 * D + 4] = NAN;
    refused(train, K, 1, MMCL_E_NUMERIC, "row 9, column 4");
}
END_TEST

/* Softmax of a row's scores among the mask's classes, done naively. */
static void naive_softmax(const float *scores, const uint8_t *mask, double temperature, size_t label, size_t *answer, double *confidence, double *loss)
{
    double sum = 0;
    *answer    = SIZE_MAX;
    for (size_t k = 0; k < K; k++)
        if (mask[k] && (*answer == SIZE_MAX || scores[k] > scores[*answer]))
            *answer = k;
    for (size_t k = 0; k < K; k++)
        sum += mask[k] ? exp(((double) scores[k] - (double) scores[*answer]) / temperature) : 0;
    *confidence = 1 / sum;
    *loss       = log(sum) - ((double) scores[label] - (double) scores[*answer]) / temperature;
}

START_TEST(evaluation_equals_its_definition)
{
    enum { BINS = 7 };
    static float                scores[M * K];
    const uint8_t               mask[K] = {1, 1, 0, 1, 1, 1};
    const mmcl_labelled         train = rows_of(x, y, N, D);
    static float                kept_x[M * D];
    static int64_t              kept_y[M];
    size_t                      n = 0;
    mmcl_logreg_info            info;
    mmcl_classifier            *made    = fit(&train, 10, NULL, &info);
    const mmcl_evaluate_options options = {.struct_size = sizeof options, .temperature = 2.5, .bins = BINS};
    mmcl_evaluation             found   = {.struct_size = sizeof found};
    for (size_t i = 0; i < M; i++)
        if (mask[test_y[i]]) {
            memcpy(kept_x + n * D, test_x + i * D, D * sizeof *x);
            kept_y[n++] = test_y[i];
        }
    const mmcl_labelled test = rows_of(kept_x, kept_y, n, D);
    OK(mmcl_classifier_scores(made, &test.features, scores, 0));
    OK(mmcl_classifier_evaluate(made, &test, mask, &options, &found));
    double right = 0, losses = 0, confidences = 0, in_bin[BINS] = {0}, gap[BINS] = {0}, error = 0;
    for (size_t i = 0; i < n; i++) {
        size_t answer, bin = 0;
        double confidence, loss;
        naive_softmax(scores + i * K, mask, 2.5, (size_t) kept_y[i], &answer, &confidence, &loss);
        while (bin + 1 < BINS && confidence > (double) (bin + 1) / BINS)
            bin++;
        in_bin[bin]++;
        gap[bin] += (answer == (size_t) kept_y[i]) - confidence;
        right += answer == (size_t) kept_y[i], losses += loss, confidences += confidence;
    }
    for (size_t b = 0; b < BINS; b++)
        error += in_bin[b] > 0 ? in_bin[b] / (double) n * fabs(gap[b] / in_bin[b]) : 0;
    ck_assert_uint_eq(found.rows, n);
    ck_assert_double_eq_tol(found.accuracy, right / (double) n, 1e-12);
    ck_assert_double_eq_tol(found.loss, losses / (double) n, 1e-9);
    ck_assert_double_eq_tol(found.mean_confidence, confidences / (double) n, 1e-9);
    ck_assert_double_eq_tol(found.calibration_error, error, 1e-9);
    ck_assert_double_gt(error, 0.01);
    OK(mmcl_classifier_evaluate(made, &train, mask, NULL, &found)); /* labels that the mask forbids */
    ck_assert(isinf(found.loss));
    mmcl_classifier_destroy(made);
}
END_TEST

/* Wilson 1927: 10 of 40 at 95 %: 0.1419 to 0.4019; 40 of 40: 0.9124 to 1 (both by the closed form). */
START_TEST(intervals_equal_the_closed_form)
{
    const double     weights[2] = {1, -1};
    float            rows[40];
    int64_t          labels[40];
    mmcl_classifier *sign;
    mmcl_evaluation  found = {.struct_size = sizeof found};
    OK(mmcl_classifier_create_linear(&sign, context, 2, 1, weights, NULL));
    for (int right = 10; right <= 40; right += 30) {
        for (int i = 0; i < 40; i++) {
            rows[i]   = 1;
            labels[i] = i < right ? 0 : 1;
        }
        const mmcl_labelled test = rows_of(rows, labels, 40, 1);
        OK(mmcl_classifier_evaluate(sign, &test, NULL, NULL, &found));
        ck_assert_double_eq_tol(found.low, right == 10 ? 0.1419 : 0.9124, 1e-4);
        ck_assert_double_eq_tol(found.high, right == 10 ? 0.4019 : 1, 1e-4);
        ck_assert_double_eq_tol(found.calibration_error, fabs(right / 40.0 - 1 / (1 + exp(-2))), 1e-6); /* one bin holds all */
    }
    const mmcl_labelled               test    = rows_of(rows, labels, 40, 1), none = rows_of(rows, labels, 0, 1);
    const mmcl_evaluate_options       hot     = {.struct_size = sizeof hot, .temperature = -1};
    const uint8_t                     empty[2] = {0, 0};
    ck_assert_int_eq(mmcl_classifier_evaluate(sign, &test, NULL, &hot, &found), MMCL_E_INVAL);
    ck_assert_msg(strstr(mmcl_context_message(context), "temperature: -1") != NULL, "%s", mmcl_context_message(context));
    ck_assert_int_eq(mmcl_classifier_evaluate(sign, &none, NULL, NULL, &found), MMCL_E_INVAL);
    ck_assert_int_eq(mmcl_classifier_evaluate(sign, &test, empty, NULL, &found), MMCL_E_INVAL);
    rows[7] = NAN;
    ck_assert_int_eq(mmcl_classifier_evaluate(sign, &test, NULL, NULL, &found), MMCL_E_NUMERIC);
    ck_assert_msg(strstr(mmcl_context_message(context), "row 7, column 0") != NULL, "%s", mmcl_context_message(context));
    mmcl_classifier_destroy(sign);
}
END_TEST

static int ascending(const void *a, const void *b)
{
    const double left = *(const double *) a, right = *(const double *) b;
    return (left > right) - (left < right);
}

static double naive_quantile(const double *sorted, size_t n, double share)
{
    const double place = share * (double) (n - 1);
    const size_t below = (size_t) place, above = below + 1 < n ? below + 1 : below;
    return sorted[below] + (place - (double) below) * (sorted[above] - sorted[below]);
}

/* 60 rows of three confidences, which fall into bins of their own: what every resample holds can be counted. */
START_TEST(bootstrap_equals_its_definition)
{
    enum { ROWS = 60, DRAWS = 400 };
    const double                weights[2] = {1, 0};
    float                       rows[ROWS];
    int64_t                     labels[ROWS];
    mmcl_classifier            *sign;
    const mmcl_evaluate_options options = {.struct_size = sizeof options, .confidence = 0.8, .resamples = DRAWS, .seed = 5};
    mmcl_evaluation             found = {.struct_size = sizeof found}, wilson = {.struct_size = sizeof wilson};
    double                      accuracies[DRAWS], errors[DRAWS], mean = 0;
    OK(mmcl_classifier_create_linear(&sign, context, 2, 1, weights, NULL));
    for (int i = 0; i < ROWS; i++) {
        rows[i]   = (float) (i % 3 + 1);
        labels[i] = i % 5 == 0; /* class 0 is answered */
    }
    for (uint32_t draw = 0; draw < DRAWS; draw++) {
        double held[3] = {0}, right[3] = {0};
        for (size_t i = 0; i < ROWS; i++) {
            const double weight = mmcl__philox_poisson(5, i, draw + 1, 1);
            held[i % 3] += weight;
            right[i % 3] += labels[i] == 0 ? weight : 0;
        }
        const double all = held[0] + held[1] + held[2];
        errors[draw]     = 0;
        for (int b = 0; b < 3; b++)
            errors[draw] += fabs(held[b] / (1 + exp(-(b + 1.0))) - right[b]) / all;
        accuracies[draw] = (right[0] + right[1] + right[2]) / all;
        mean += errors[draw] / DRAWS;
    }
    qsort(accuracies, DRAWS, sizeof *accuracies, ascending);
    qsort(errors, DRAWS, sizeof *errors, ascending);
    const mmcl_labelled test = rows_of(rows, labels, ROWS, 1);
    OK(mmcl_classifier_evaluate(sign, &test, NULL, &options, &found));
    ck_assert_double_eq_tol(found.low, naive_quantile(accuracies, DRAWS, 0.1), 1e-12);
    ck_assert_double_eq_tol(found.high, naive_quantile(accuracies, DRAWS, 0.9), 1e-12);
    ck_assert_double_eq_tol(found.calibration_low, fmax(naive_quantile(errors, DRAWS, 0.1) + found.calibration_error - mean, 0), 1e-6);
    ck_assert_double_eq_tol(found.calibration_high, naive_quantile(errors, DRAWS, 0.9) + found.calibration_error - mean, 1e-6);
    const mmcl_evaluate_options closed = {.struct_size = sizeof closed, .confidence = 0.8};
    OK(mmcl_classifier_evaluate(sign, &test, NULL, &closed, &wilson));
    ck_assert_double_eq_tol(wilson.low, found.low, 0.03);
    ck_assert_double_eq_tol(wilson.high, found.high, 0.03);
    ck_assert(wilson.calibration_low == wilson.calibration_error && wilson.calibration_high == wilson.calibration_error);
    mmcl_classifier_destroy(sign);
}
END_TEST

START_TEST(masks_and_ties)
{
    const double     w[3] = {1, 1, 2};
    const float      row  = 1;
    mmcl_matrix      rows = {.data = &row, .rows = 1, .cols = 1};
    mmcl_classifier *made;
    int64_t          class;
    OK(mmcl_classifier_create_linear(&made, context, 3, 1, w, NULL));
    OK(mmcl_classifier_predict(made, &rows, NULL, &class));
    ck_assert_int_eq(class, 2);
    OK(mmcl_classifier_predict(made, &rows, (const uint8_t[]){1, 1, 0}, &class));
    ck_assert_int_eq(class, 0);
    ck_assert_int_eq(mmcl_classifier_predict(made, &rows, (const uint8_t[]){0, 0, 0}, &class), MMCL_E_INVAL);
    mmcl_classifier_destroy(made);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("classify");
    TCase *tcase = tcase_create("classify");
    tcase_set_timeout(tcase, 120);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, kernels_equal_reference);
    tcase_add_test(tcase, curvature_is_the_change_of_the_gradient);
    tcase_add_test(tcase, blocks_are_inverse_curvatures);
    tcase_add_test(tcase, no_neighbour_is_lower);
    tcase_add_test(tcase, optima_equal_scikit_learn);
    tcase_add_test(tcase, warm_starts_change_nothing);
    tcase_add_test(tcase, rotations_change_no_decision);
    tcase_add_test(tcase, search_and_threads);
    tcase_add_test(tcase, shots_equal_numpy);
    tcase_add_test(tcase, bad_input_is_named);
    tcase_add_test(tcase, evaluation_equals_its_definition);
    tcase_add_test(tcase, intervals_equal_the_closed_form);
    tcase_add_test(tcase, bootstrap_equals_its_definition);
    tcase_add_test(tcase, masks_and_ties);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
