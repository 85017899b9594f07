/* Heads with a cache of keys: scores against the formulas in float64, files, and keys and classes added later. */
#include "adapt_support.h"

#include "classify/classifier.h"

#include <stdlib.h>
#include <unistd.h>

/* ------------------------------------------------------------------------------------------------- the formulas --- */

/* What a head computes, for one row, in float64 and one key after the other. */
struct formula {
    const mmcl_transform *transform;
    bool                  unit, min_max, text;
    double                scale, alpha, beta, gamma, eta;
};

static void see(const struct formula *formula, const float *row, size_t *width, double *out)
{
    float             mapped[D];
    const mmcl_matrix view = {.data = row, .rows = 1, .cols = D};
    double            square = 0;
    *width                   = D;
    memcpy(mapped, row, sizeof mapped);
    if (formula->transform != NULL) {
        OK(mmcl_transform_shape(formula->transform, NULL, width));
        OK(mmcl_transform_apply(formula->transform, &view, mapped, 0));
    }
    for (size_t j = 0; j < *width; j++)
        square += (double) mapped[j] * (double) mapped[j];
    for (size_t j = 0; j < *width; j++)
        out[j] = (double) mapped[j] / (formula->unit ? sqrt(square) : 1);
}

static double product(const double *a, const double *b, size_t n)
{
    double sum = 0;
    for (size_t j = 0; j < n; j++)
        sum += a[j] * b[j];
    return sum;
}

static void class_texts(double *out)
{
    memset(out, 0, K * D * sizeof *out);
    for (size_t i = 0; i < PROMPTS; i++)
        for (size_t j = 0; j < D; j++)
            out[(size_t) text_y[i] * D + j] += (double) text_x[i * D + j];
    for (size_t k = 0; k < K; k++) {
        double length = sqrt(product(out + k * D, out + k * D, D));
        for (size_t j = 0; j < D; j++)
            out[k * D + j] /= length;
    }
}

/* The mean of `rows` [n, D], weighted by exp(weight). */
static void weighted_mean(const double *rows, size_t n, const double *weight, double *out)
{
    double all = 0;
    memset(out, 0, D * sizeof *out);
    for (size_t i = 0; i < n; i++) {
        all += exp(weight[i]);
        for (size_t j = 0; j < D; j++)
            out[j] += exp(weight[i]) * rows[i * D + j];
    }
    for (size_t j = 0; j < D; j++)
        out[j] /= all;
}

static void text_scores(const struct formula *formula, const double *f, const double *texts, double *out)
{
    double shots[N * D], weight[N], mean[D];
    for (size_t i = 0; i < N * D; i++)
        shots[i] = (double) train_x[i];
    for (size_t k = 0; k < K; k++) {
        for (size_t i = 0; i < N; i++)
            weight[i] = product(shots + i * D, texts + k * D, D);
        weighted_mean(shots, N, weight, mean);
        out[k] = formula->scale * (product(f, texts + k * D, D) + formula->gamma * product(f, mean, D));
    }
    for (size_t k = 0; k < K; k++)
        weight[k] = product(f, texts + k * D, D);
    weighted_mean(texts, K, weight, mean);
    for (size_t k = 0; k < K; k++)
        out[k] += formula->scale * formula->eta * product(mean, texts + k * D, D);
}

static void formula_scores(const struct formula *formula, const float *row, double *out)
{
    double f[D], u[D], key[D], affinity[N], texts[K * D], lo = INFINITY, hi = -INFINITY;
    size_t width;
    for (size_t j = 0; j < D; j++)
        f[j] = (double) row[j];
    see(formula, row, &width, u);
    for (size_t i = 0; i < N; i++) {
        see(formula, train_x + i * D, &width, key);
        affinity[i] = product(u, key, width);
        lo          = fmin(lo, affinity[i]);
        hi          = fmax(hi, affinity[i]);
    }
    memset(out, 0, K * sizeof *out);
    class_texts(texts);
    if (formula->text)
        text_scores(formula, f, texts, out);
    for (size_t i = 0; i < N; i++) {
        double a = formula->min_max ? (affinity[i] - lo) / (hi - lo) : affinity[i];
        out[train_y[i]] += formula->alpha * exp(-formula->beta * (1 - a));
    }
}

static void assert_formula(const mmcl_classifier *head, const struct formula *formula)
{
    float             scores[M * K], single[K];
    const mmcl_matrix rows = {.data = val_x, .rows = M, .cols = D};
    OK(mmcl_classifier_scores(head, &rows, scores, 0));
    for (size_t i = 0; i < M; i++) {
        double            want[K];
        const mmcl_matrix row = {.data = val_x + i * D, .rows = 1, .cols = D};
        formula_scores(formula, val_x + i * D, want);
        OK(mmcl_classifier_scores(head, &row, single, 0));
        for (size_t k = 0; k < K; k++) {
            ck_assert_double_eq_tol((double) scores[i * K + k], want[k], 2e-5 * (1 + fabs(want[k])));
            ck_assert_double_eq_tol((double) single[k], want[k], 2e-5 * (1 + fabs(want[k])));
        }
    }
}

/* ------------------------------------------------------------------------------------------------------------ heads --- */

/* Without val rows, so that the options and the defaults decide. */
static mmcl_adapt_data without_val(const mmcl_transform *transform, bool text)
{
    mmcl_adapt_data data = all_data(transform);
    data.val.features.rows = 0;
    if (!text)
        data.text.features.rows = 0;
    return data;
}

static void assert_same_scores(const mmcl_classifier *a, const mmcl_classifier *b)
{
    float             scores[2][M * (K + 1)];
    size_t            classes;
    const mmcl_matrix rows = {.data = val_x, .rows = M, .cols = D};
    OK(mmcl_classifier_shape(a, NULL, &classes));
    OK(mmcl_classifier_scores(a, &rows, scores[0], 0));
    OK(mmcl_classifier_scores(b, &rows, scores[1], 0));
    ck_assert_mem_eq(scores[0], scores[1], M * classes * sizeof(float));
}

/* A pipeline of the head in a file, and what comes of loading it. */
static mmcl_status save_and_load(const mmcl_classifier *head, mmcl_pipeline **loaded)
{
    mmcl_pipeline *made;
    char           path[] = "/tmp/mmcl-test-cache-XXXXXX";
    int            file   = mkstemp(path);
    ck_assert_int_ge(file, 0);
    close(file);
    OK(mmcl_pipeline_create(&made, context, NULL, head, NULL));
    OK(mmcl_pipeline_save(made, path));
    mmcl_status status = mmcl_pipeline_load(loaded, context, path, NULL);
    mmcl_pipeline_destroy(made);
    unlink(path);
    return status;
}

/* What is loaded scores as what was saved, bit for bit. */
static void through_a_file(const mmcl_classifier *head)
{
    mmcl_pipeline *loaded;
    OK(save_and_load(head, &loaded));
    assert_same_scores(head, mmcl_pipeline_classifier(loaded));
    mmcl_pipeline_destroy(loaded);
}

START_TEST(scores_follow_the_formulas)
{
    const bool       cca = _i & 1, text = _i & 2;
    mmcl_transform  *transform = _i & 4 ? transform_of("whiten:6") : NULL;
    mmcl_adapt_data  data = without_val(transform, text);
    mmcl_adapt_info  info;
    mmcl_adapt_options options = {.struct_size = sizeof options, .gamma_start = 0.3, .eta_start = 0.7};
    struct formula   formula = {.transform = transform, .unit = !cca, .min_max = cca, .text = text, .scale = 100, .alpha = text ? 1.17 : 1, .beta = 1,
                                .gamma = cca ? 0.3 : 0, .eta = cca ? 0.7 : 0};
    mmcl_classifier *head = fit_head(cca ? MMCL_METHOD_CCA : MMCL_METHOD_TIP, &data, &options, &info);
    ck_assert_double_eq(info.beta, 1);
    ck_assert_double_eq(info.alpha, formula.alpha);
    ck_assert(isnan(info.gamma) == !(cca && text));
    assert_formula(head, &formula);
    through_a_file(head);
    mmcl_classifier_destroy(head);
    options = (mmcl_adapt_options){.struct_size = sizeof options, .alpha = 2.5, .beta = 5.5, .logit_scale = 20, .gamma = 0.2, .eta = 0.1};
    formula.alpha = text ? 2.5 : 1;
    formula.beta  = 5.5;
    formula.scale = 20;
    formula.gamma = cca ? 0.2 : 0;
    formula.eta   = cca ? 0.1 : 0;
    head          = fit_head(cca ? MMCL_METHOD_CCA : MMCL_METHOD_TIP, &data, &options, &info);
    assert_formula(head, &formula);
    mmcl_classifier_destroy(head);
    mmcl_transform_destroy(transform);
}
END_TEST

/* Rows of the val set right by the formula. */
static size_t right_of(const struct formula *formula)
{
    size_t right = 0;
    for (size_t i = 0; i < M; i++) {
        double scores[K];
        size_t best = 0;
        formula_scores(formula, val_x + i * D, scores);
        for (size_t k = 1; k < K; k++)
            best = scores[k] > scores[best] ? k : best;
        right += best == (size_t) val_y[i];
    }
    return right;
}

START_TEST(tip_takes_the_first_best_pair)
{
    mmcl_adapt_data    data    = all_data(NULL);
    mmcl_adapt_info    info;
    mmcl_adapt_options options = {.struct_size = sizeof options, .beta = 3, .logit_scale = 5};
    mmcl_classifier   *head    = fit_head(MMCL_METHOD_TIP, &data, &options, &info);
    struct formula     formula = {.unit = true, .text = true, .scale = 5, .beta = 3};
    size_t             most = 0, best = 0;
    for (size_t j = 0; j < 20; j++) {
        formula.alpha = 0.1 + (double) j * (3 - 0.1) / 20;
        size_t right  = right_of(&formula);
        if (right > most) {
            most = right;
            best = j;
        }
    }
    ck_assert_double_eq_tol(info.alpha, 0.1 + (double) best * (3 - 0.1) / 20, 1e-12);
    ck_assert_double_eq_tol(info.val_accuracy, (double) most / M, 1e-12);
    ck_assert_uint_eq(info.flags, MMCL_ADAPT_PARAMETERS_ON_VAL);
    mmcl_classifier_destroy(head);
}
END_TEST

START_TEST(cca_searches_in_two_stages)
{
    mmcl_adapt_data    data    = all_data(NULL);
    mmcl_adapt_info    info;
    mmcl_adapt_options options = {.struct_size = sizeof options, .beta = 3, .alpha = 1.3, .logit_scale = 5, .gamma_start = 0.5, .eta = 0.25,
                                  .protocol = _i == 0 ? MMCL_PROTOCOL_STRICT : MMCL_PROTOCOL_PAPER};
    mmcl_classifier   *head    = fit_head(MMCL_METHOD_CCA, &data, &options, &info);
    struct formula     formula = {.min_max = true, .text = true, .scale = 5, .beta = 3, .alpha = 1.3, .gamma = _i == 0 ? 0.5 : 0,
                                  .eta = _i == 0 ? 0.25 : 0};
    size_t             most  = right_of(&formula);
    double             gamma = 0.5, eta = 0.25, more = _i == 0 ? 1 : 5;
    for (size_t j = 0; j < 100; j++) {
        formula.gamma = more * (0.1 + (double) j * (2.5 - 0.1) / 99);
        formula.eta   = more * 0.25;
        size_t right  = right_of(&formula);
        if (right > most) {
            most  = right;
            gamma = formula.gamma;
            eta   = formula.eta;
        }
    }
    ck_assert_double_eq_tol(info.gamma, gamma, 1e-12);
    ck_assert_double_eq_tol(info.eta, eta, 1e-12);
    ck_assert_uint_eq(info.flags, MMCL_ADAPT_PARAMETERS_ON_VAL | (_i == 0 ? 0 : MMCL_ADAPT_AS_RELEASED));
    formula.gamma = gamma;
    formula.eta   = eta;
    assert_formula(head, &formula);
    mmcl_classifier_destroy(head);
}
END_TEST

/* ----------------------------------------------------------------------------------------------------- added later --- */

static const char *const growing[] = {"tip", "ape", "cca"};

/* Numbers fixed, so that both ways have the same. */
static const mmcl_adapt_options fixed_options = {.struct_size = sizeof(mmcl_adapt_options), .alpha = 1.5, .beta = 4, .gamma = 0.3, .eta = 0.2};

START_TEST(shots_added_equal_shots_from_the_start)
{
    mmcl_method        method;
    const bool         text = _i < 3;
    mmcl_transform    *transform = _i % 2 ? transform_of("whiten:6") : NULL;
    mmcl_adapt_data    data = without_val(transform, text), half = data;
    mmcl_adapt_options options = fixed_options;
    mmcl_labelled      rest = rows_of(train_x + 2 * K * D, train_y + 2 * K, N - 2 * K), one;
    mmcl_classifier   *copy;
    options.narrow_keys = (mmcl_key_type) (_i % 3);
    OK(mmcl_method_parse(&method, growing[_i % 3]));
    if (method == MMCL_METHOD_APE && !text) {
        mmcl_transform_destroy(transform);
        return;
    }
    if (method == MMCL_METHOD_APE && transform != NULL) { /* the channels depend on the mean of the shots that there are */
        mmcl_transform_destroy(transform);
        half.transform = data.transform = transform = NULL;
    }
    half.train.features.rows = 2 * K;
    mmcl_classifier *all = fit_head(method, &data, &options, NULL), *grown = fit_head(method, &half, &options, NULL);
    OK(mmcl_classifier_copy(&copy, context, grown));
    OK(mmcl_classifier_add_shots(grown, &rest));
    assert_same_scores(all, grown);
    for (size_t i = 2 * K; i < N; i++) {
        one = rows_of(train_x + i * D, train_y + i, 1);
        OK(mmcl_classifier_add_shots(copy, &one));
    }
    assert_same_scores(all, copy);
    through_a_file(grown);
    mmcl_classifier_destroy(copy);
    mmcl_classifier_destroy(all);
    mmcl_classifier_destroy(grown);
    mmcl_transform_destroy(transform);
}
END_TEST

START_TEST(classes_added_equal_classes_from_the_start)
{
    const bool        text = _i & 1;
    const mmcl_method method = _i & 2 ? MMCL_METHOD_CCA : MMCL_METHOD_TIP;
    float             few_x[(K - 1) * SHOTS * D], last_x[SHOTS * D], few_text[2 * (K - 1) * D], last_text[2 * D];
    int64_t           few_y[(K - 1) * SHOTS], last_y[SHOTS], few_text_y[2 * (K - 1)];
    size_t            few = 0, last = 0, classes;
    for (size_t i = 0; i < N; i++) {
        const bool is_last = train_y[i] == K - 1;
        memcpy(is_last ? last_x + last * D : few_x + few * D, train_x + i * D, D * sizeof(float));
        if (is_last)
            last_y[last++] = train_y[i];
        else
            few_y[few++] = train_y[i];
    }
    for (size_t i = 0, a = 0, b = 0; i < PROMPTS; i++)
        if (text_y[i] == K - 1) {
            memcpy(last_text + b++ * D, text_x + i * D, D * sizeof(float));
        } else {
            memcpy(few_text + a * D, text_x + i * D, D * sizeof(float));
            few_text_y[a++] = text_y[i];
        }
    mmcl_adapt_data data = without_val(NULL, text), fewer = data;
    fewer.classes        = K - 1;
    fewer.train          = rows_of(few_x, few_y, few);
    if (text)
        fewer.text = rows_of(few_text, few_text_y, 2 * (K - 1));
    const mmcl_matrix   prompts = {.data = last_text, .rows = 2, .cols = D};
    const mmcl_labelled shots   = rows_of(last_x, last_y, last);
    mmcl_classifier    *all = fit_head(method, &data, &fixed_options, NULL), *grown = fit_head(method, &fewer, &fixed_options, NULL);
    ck_assert_int_eq(mmcl_classifier_add_shots(grown, &shots), MMCL_E_INVAL);
    ck_assert_int_eq(mmcl_classifier_add_class(grown, text ? NULL : &prompts), MMCL_E_INVAL);
    OK(mmcl_classifier_add_class(grown, text ? &prompts : NULL));
    OK(mmcl_classifier_shape(grown, NULL, &classes));
    ck_assert_uint_eq(classes, K);
    OK(mmcl_classifier_add_shots(grown, &shots));
    assert_same_scores(all, grown);
    mmcl_classifier_destroy(all);
    mmcl_classifier_destroy(grown);
}
END_TEST

START_TEST(only_caches_grow)
{
    mmcl_adapt_data     data = all_data(NULL);
    const mmcl_labelled one = rows_of(train_x, train_y, 1), narrow = {.features = {.data = train_x, .rows = 1, .cols = D - 1}, .labels = train_y};
    const float         zero[D] = {0};
    const mmcl_labelled none = rows_of(zero, train_y, 1);
    mmcl_classifier    *head = fit_head(MMCL_METHOD_NCM, &data, NULL, NULL);
    ck_assert_int_eq(mmcl_classifier_add_shots(head, &one), MMCL_E_INVAL);
    ck_assert_int_eq(mmcl_classifier_add_class(head, NULL), MMCL_E_INVAL);
    mmcl_classifier_destroy(head);
    head = fit_head(MMCL_METHOD_TIP, &data, NULL, NULL);
    ck_assert_int_eq(mmcl_classifier_add_shots(head, NULL), MMCL_E_INVAL);
    ck_assert_int_eq(mmcl_classifier_add_shots(head, &narrow), MMCL_E_INVAL);
    ck_assert_int_eq(mmcl_classifier_add_shots(head, &none), MMCL_E_NUMERIC);
    ck_assert_int_eq(mmcl_classifier_add_shots(NULL, &one), MMCL_E_INVAL);
    mmcl_classifier_destroy(head);
}
END_TEST

/* Files of heads that no fit makes: growing them would read or write what is not there. */
START_TEST(caches_that_do_not_fit_are_refused)
{
    mmcl_adapt_data  data      = without_val(NULL, true);
    mmcl_transform  *transform = transform_of("whiten:6");
    mmcl_classifier *head      = fit_head(MMCL_METHOD_CCA, &data, NULL, NULL), *bare;
    mmcl_pipeline   *loaded;
    OK(mmcl__classifier_create(&bare, context, K, D, NULL, NULL)); /* text in the cache, none in the head */
    bare->unit_rows = true;
    bare->cache     = head->cache;
    ck_assert_int_eq(save_and_load(bare, &loaded), MMCL_E_FORMAT);
    bare->cache = NULL;
    mmcl_classifier_destroy(bare);
    OK(mmcl__classifier_create(&bare, context, K, 6, head->weights, NULL)); /* a map in front of the text */
    OK(mmcl__classifier_set_map(bare, transform, false));
    bare->unit_rows = true;
    bare->cache     = head->cache;
    ck_assert_int_eq(save_and_load(bare, &loaded), MMCL_E_FORMAT);
    bare->cache = NULL;
    mmcl_classifier_destroy(bare);
    mmcl_classifier_destroy(head);
    mmcl_transform_destroy(transform);
}
END_TEST

/* Rows that are all alike to the keys: CCA's range is nothing, and every key counts in full. */
START_TEST(constant_affinities_count_in_full)
{
    float              same[K * D], scores[K];
    mmcl_adapt_data    data = without_val(NULL, false);
    const mmcl_matrix  row  = {.data = val_x, .rows = 1, .cols = D};
    mmcl_adapt_options options = {.struct_size = sizeof options, .beta = 3};
    for (size_t k = 0; k < K; k++)
        memcpy(same + k * D, train_x, D * sizeof *same);
    data.train            = rows_of(same, train_y, K);
    mmcl_classifier *head = fit_head(MMCL_METHOD_CCA, &data, &options, NULL);
    OK(mmcl_classifier_scores(head, &row, scores, 0));
    for (size_t k = 0; k < K; k++)
        ck_assert_float_eq_tol(scores[k], 1, 1e-6f);
    mmcl_classifier_destroy(head);
}
END_TEST

/* bfloat16 keeps 8 bits of a column, int8 7 of the largest: scores move by little, and through a file not at all. */
START_TEST(narrow_keys_score_almost_the_same)
{
    mmcl_adapt_data    data = without_val(NULL, true);
    mmcl_adapt_options options = fixed_options;
    float              scores[2][M * K];
    const mmcl_matrix  rows = {.data = val_x, .rows = M, .cols = D};
    mmcl_classifier   *wide = fit_head(MMCL_METHOD_TIP, &data, &options, NULL);
    options.narrow_keys     = (mmcl_key_type) _i;
    mmcl_classifier *narrow = fit_head(MMCL_METHOD_TIP, &data, &options, NULL);
    OK(mmcl_classifier_scores(wide, &rows, scores[0], 0));
    OK(mmcl_classifier_scores(narrow, &rows, scores[1], 0));
    ck_assert_mem_ne(scores[0], scores[1], sizeof scores[0]);
    for (size_t i = 0; i < M * K; i++)
        ck_assert_float_eq_tol(scores[0][i], scores[1][i], 0.05f);
    through_a_file(narrow);
    mmcl_classifier_destroy(narrow);
    mmcl_classifier_destroy(wide);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cache");
    TCase *heads = tcase_create("heads");
    tcase_add_checked_fixture(heads, setup, teardown);
    tcase_add_loop_test(heads, scores_follow_the_formulas, 0, 8);
    tcase_add_test(heads, tip_takes_the_first_best_pair);
    tcase_add_loop_test(heads, cca_searches_in_two_stages, 0, 2);
    TCase *later = tcase_create("later");
    tcase_add_checked_fixture(later, setup, teardown);
    tcase_add_loop_test(later, shots_added_equal_shots_from_the_start, 0, 6);
    tcase_add_loop_test(later, classes_added_equal_classes_from_the_start, 0, 4);
    tcase_add_test(later, only_caches_grow);
    tcase_add_test(later, caches_that_do_not_fit_are_refused);
    tcase_add_test(heads, constant_affinities_count_in_full);
    tcase_add_loop_test(heads, narrow_keys_score_almost_the_same, 1, 3);
    suite_add_tcase(suite, heads);
    suite_add_tcase(suite, later);
    return suite_run(suite);
}
