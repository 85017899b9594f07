/* What all few-shot heads share, and the heads that are not trained. */
#include "adapt_support.h"

static const char *const names[] = {"zeroshot", "ncm",          "probe",   "probe-l1", "probe-en", "probe-ard",  "probe-zs",
                                    "clap",     "lpp",          "tip",     "tip-f",    "ape",      "ape-t",      "clip-adapter",
                                    "taskres",  "cca",          "cca-ft",  "crossmodal", "wise-ft", "kernel-ridge"};
enum { METHODS = sizeof names / sizeof *names };

START_TEST(names_and_methods)
{
    for (mmcl_method method = 1; method <= METHODS; method++) {
        mmcl_method parsed;
        ck_assert_str_eq(mmcl_method_name(method), names[method - 1]);
        OK(mmcl_method_parse(&parsed, names[method - 1]));
        ck_assert_int_eq(parsed, method);
    }
    const mmcl_method none[] = {0, -1, METHODS + 1, INT32_MAX, INT32_MIN};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        ck_assert_ptr_null(mmcl_method_name(none[i]));
        ck_assert_uint_eq(mmcl_method_needs_text(none[i]), 0);
    }
    mmcl_method parsed = 3;
    ck_assert_int_eq(mmcl_method_parse(&parsed, "zero-shot"), MMCL_E_INVAL);
    ck_assert_int_eq(parsed, 0);
    ck_assert_int_eq(mmcl_method_parse(&parsed, NULL), MMCL_E_INVAL);
    ck_assert_int_eq(mmcl_method_parse(NULL, "ncm"), MMCL_E_INVAL);
    ck_assert_uint_eq(mmcl_method_needs_text(MMCL_METHOD_CLAP), 1);
    ck_assert_uint_eq(mmcl_method_needs_text(MMCL_METHOD_TIP), 0);
}
END_TEST

/* ------------------------------------------------------------------------------------------------------- closed forms --- */

static void unit(double *row, size_t n)
{
    double square = 0;
    for (size_t j = 0; j < n; j++)
        square += row[j] * row[j];
    for (size_t j = 0; j < n; j++)
        row[j] /= sqrt(square);
}

/* The text's class weights: unit means of unit prompts. */
static void class_text(double w[K][D])
{
    memset(w, 0, K * sizeof *w);
    for (size_t i = 0; i < PROMPTS; i++)
        for (size_t j = 0; j < D; j++)
            w[text_y[i]][j] += (double) text_x[i * D + j];
    for (size_t k = 0; k < K; k++)
        unit(w[k], D);
}

/* out [k] = (row - mean) matrix^T at unit length. */
static void map_unit(const double *mean, const double *matrix, size_t k, const double *row, double *out)
{
    for (size_t c = 0; c < k; c++) {
        out[c] = 0;
        for (size_t j = 0; j < D; j++)
            out[c] += matrix[c * D + j] * (row[j] - mean[j]);
    }
    unit(out, k);
}

static void check_zeroshot(const mmcl_transform *transform, const float *out)
{
    double w[K][D], mean[D] = {0}, matrix[D * D] = {0}, gap[D] = {0}, seen[K][D], x[D], y[D];
    size_t k = D;
    class_text(w);
    for (size_t j = 0; j < D; j++)
        matrix[j * D + j] = 1;
    if (transform != NULL) {
        OK(mmcl_transform_shape(transform, NULL, &k));
        OK(mmcl_transform_affine(transform, mean, matrix));
        for (size_t i = 0; i < N * D; i++)
            gap[i % D] += (double) train_x[i] / N;
        for (size_t i = 0; i < K * D; i++)
            gap[i % D] -= w[i / D][i % D] / K;
    }
    for (size_t c = 0; c < K; c++) {
        for (size_t j = 0; j < D; j++)
            x[j] = w[c][j] + gap[j];
        map_unit(mean, matrix, k, x, seen[c]);
    }
    for (size_t i = 0; i < M; i++) {
        for (size_t j = 0; j < D; j++)
            x[j] = (double) val_x[i * D + j];
        map_unit(mean, matrix, k, x, y);
        for (size_t c = 0; c < K; c++) {
            double score = 0;
            for (size_t j = 0; j < k; j++)
                score += 50 * seen[c][j] * y[j];
            ck_assert_double_eq_tol((double) out[i * K + c], score, 2e-4);
        }
    }
}

START_TEST(zeroshot_is_the_cosine_to_the_text)
{
    const mmcl_adapt_options options = {.struct_size = sizeof options, .logit_scale = 50};
    mmcl_adapt_info          info;
    float                    out[M * K];
    const char *const        specs[] = {NULL, "whiten:4", "center+pca:7"};
    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
        mmcl_transform  *transform = specs[i] != NULL ? transform_of(specs[i]) : NULL;
        mmcl_adapt_data  data      = all_data(transform);
        mmcl_classifier *head      = fit_head(MMCL_METHOD_ZEROSHOT, &data, &options, &info);
        OK(mmcl_classifier_scores(head, &data.val.features, out, 0));
        check_zeroshot(transform, out);
        ck_assert_double_gt(info.val_accuracy, 0.3);
        ck_assert_uint_eq(info.flags, 0);
        ck_assert(isnan(info.c) && isnan(info.alpha) && info.epoch == 0);
        mmcl_classifier_destroy(head);
        mmcl_transform_destroy(transform);
    }
}
END_TEST

/* Lengths do not matter to a cosine; that they were off is told, or refused. */
START_TEST(rows_off_unit_length)
{
    static float     longer[M * D];
    float            out[M * K], expected[M * K];
    mmcl_adapt_data  data = all_data(NULL);
    mmcl_adapt_info  info;
    mmcl_classifier *head = fit_head(MMCL_METHOD_ZEROSHOT, &data, NULL, NULL), *other;
    OK(mmcl_classifier_scores(head, &data.val.features, expected, 0));
    for (size_t i = 0; i < M * D; i++)
        longer[i] = 8 * val_x[i];
    data.val.features.data = longer;
    other = fit_head(MMCL_METHOD_ZEROSHOT, &data, NULL, &info);
    ck_assert_uint_eq(info.flags, MMCL_ADAPT_NORMALIZED);
    OK(mmcl_classifier_scores(other, &data.val.features, out, 0));
    for (size_t i = 0; i < M * K; i++)
        ck_assert_float_eq_tol(out[i], expected[i], 1e-4f);
    mmcl_classifier_destroy(other);
    const mmcl_adapt_options strict = {.struct_size = sizeof strict, .check_norms = 1};
    ck_assert_int_eq(mmcl_adapt_fit(&other, context, MMCL_METHOD_ZEROSHOT, &data, &strict, NULL), MMCL_E_INVAL);
    ck_assert_ptr_nonnull(strstr(mmcl_context_message(context), "val.features: row 0 has length 8"));
    other = fit_head(MMCL_METHOD_NCM, &data, &strict, &info); /* takes rows as they are */
    mmcl_classifier_destroy(other);
    memset(longer, 0, D * sizeof *longer);
    ck_assert_int_eq(mmcl_adapt_fit(&other, context, MMCL_METHOD_ZEROSHOT, &data, NULL, NULL), MMCL_E_NUMERIC);
    mmcl_classifier_destroy(head);
}
END_TEST

/* The class of the nearest mean, by distance, in the transform's space. */
static void check_ncm(const mmcl_transform *transform, size_t k, const int64_t *answers)
{
    float         train[N * D], val[M * D];
    double        means[K][D] = {{0}};
    mmcl_labelled rows[2]     = {rows_of(train_x, train_y, N), rows_of(val_x, val_y, M)};
    memcpy(train, train_x, sizeof train);
    memcpy(val, val_x, sizeof val);
    if (transform != NULL) {
        OK(mmcl_transform_apply(transform, &rows[0].features, train, 0));
        OK(mmcl_transform_apply(transform, &rows[1].features, val, 0));
    }
    for (size_t i = 0; i < N; i++)
        for (size_t j = 0; j < k; j++)
            means[train_y[i]][j] += (double) train[i * k + j] / SHOTS;
    for (size_t i = 0; i < M; i++) {
        double best = INFINITY;
        size_t near = 0;
        for (size_t c = 0; c < K; c++) {
            double distance = 0;
            for (size_t j = 0; j < k; j++)
                distance += pow((double) val[i * k + j] - means[c][j], 2);
            near = distance < best ? c : near;
            best = fmin(best, distance);
        }
        ck_assert_int_eq(answers[i], (int64_t) near);
    }
}

START_TEST(ncm_is_the_nearest_mean)
{
    int64_t           answers[M];
    const char *const specs[] = {NULL, "whiten:4", "ica:5"};
    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
        mmcl_transform  *transform = specs[i] != NULL ? transform_of(specs[i]) : NULL;
        mmcl_adapt_data  data      = all_data(transform);
        mmcl_classifier *head      = fit_head(MMCL_METHOD_NCM, &data, NULL, NULL);
        size_t           k = D, inputs, classes;
        if (transform != NULL)
            OK(mmcl_transform_shape(transform, NULL, &k));
        OK(mmcl_classifier_shape(head, &inputs, &classes));
        ck_assert(inputs == D && classes == K);
        OK(mmcl_classifier_predict(head, &data.val.features, NULL, answers));
        check_ncm(transform, k, answers);
        mmcl_classifier_destroy(head);
        mmcl_transform_destroy(transform);
    }
}
END_TEST

START_TEST(weights_of_linear_heads_alone)
{
    double           weights[K * D], objective;
    mmcl_transform  *transform = transform_of("whiten:4");
    mmcl_adapt_data  data = all_data(NULL), mapped = all_data(transform);
    mmcl_classifier *heads[3] = {fit_head(MMCL_METHOD_NCM, &data, NULL, NULL), fit_head(MMCL_METHOD_ZEROSHOT, &data, NULL, NULL),
                                 fit_head(MMCL_METHOD_NCM, &mapped, NULL, NULL)},
                    *none;
    OK(mmcl_classifier_weights(heads[0], weights, NULL));
    for (size_t j = 0; j < D; j++) {
        double mean = 0;
        for (size_t i = 0; i < N; i += K)
            mean += (double) train_x[i * D + j] / SHOTS;
        ck_assert_double_eq_tol(weights[j], mean, 1e-12);
    }
    for (int i = 1; i < 3; i++) {
        ck_assert_int_eq(mmcl_classifier_weights(heads[i], weights, NULL), MMCL_E_UNSUPPORTED);
        ck_assert_int_eq(mmcl_logreg_objective(heads[i], &data.train, 1, &objective), MMCL_E_UNSUPPORTED);
        ck_assert_int_eq(mmcl_logreg_fit(&none, context, &data.train, K, NULL, heads[i], NULL), MMCL_E_UNSUPPORTED);
    }
    for (int i = 0; i < 3; i++)
        mmcl_classifier_destroy(heads[i]);
    mmcl_transform_destroy(transform);
}
END_TEST

/* --------------------------------------------------------------------------------------------------------- all heads --- */

typedef struct kept {
    unsigned char bytes[1 << 17];
    size_t        count;
} kept;

static mmcl_status keep(void *user, const void *bytes, size_t count)
{
    kept *k = user;
    ck_assert_uint_le(k->count + count, sizeof k->bytes);
    memcpy(k->bytes + k->count, bytes, count);
    k->count += count;
    return MMCL_OK;
}

static mmcl_status give(void *user, uint64_t offset, void *buffer, size_t bytes)
{
    memcpy(buffer, ((const kept *) user)->bytes + offset, bytes);
    return MMCL_OK;
}

/* A head in a pipeline, saved and loaded: the same scores bit for bit, for all rows at once. */
static void check_file(const mmcl_classifier *head, const float *expected)
{
    static kept             k;
    const mmcl_matrix       rows = {.data = val_x, .rows = M, .cols = D};
    float                   scores[M * K];
    int64_t                 answers[M];
    const mmcl_sink         sink = {.struct_size = sizeof sink, .user = &k, .write = keep};
    mmcl_pipeline          *made, *loaded;
    k.count = 0;
    OK(mmcl_pipeline_create(&made, context, NULL, head, NULL));
    OK(mmcl_pipeline_save_to(made, &sink));
    mmcl_pipeline_destroy(made);
    const mmcl_stream       stream  = {.struct_size = sizeof stream, .user = &k, .size = k.count, .read_at = give};
    const mmcl_open_options options = {.struct_size = sizeof options, .stream = &stream};
    OK(mmcl_pipeline_load(&loaded, context, "head", &options));
    OK(mmcl_pipeline_predict(loaded, &rows, answers, scores));
    ck_assert_mem_eq(scores, expected, sizeof scores);
    for (size_t i = 0; i < M; i++) {
        size_t best = 0;
        for (size_t c = 1; c < K; c++)
            best = scores[i * K + c] > scores[i * K + best] ? c : best;
        ck_assert_int_eq(answers[i], (int64_t) best);
    }
    mmcl_pipeline_destroy(loaded);
}

static void check_one_by_one(const mmcl_classifier *head, const float *expected)
{
    for (size_t i = 0; i < M; i++) {
        const mmcl_matrix row = {.data = val_x + i * D, .rows = 1, .cols = D};
        float             scores[K];
        OK(mmcl_classifier_scores(head, &row, scores, 0));
        for (size_t c = 0; c < K; c++)
            ck_assert_float_eq_tol(scores[c], expected[i * K + c], 1e-4f * (1 + fabsf(expected[i * K + c])));
    }
}

START_TEST(every_head_serves_as_a_classifier)
{
    mmcl_method       method  = _i + 1;
    const char *const specs[] = {NULL, "ica:4", "center+normalize"};
    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
        mmcl_transform  *transform = specs[i] != NULL ? transform_of(specs[i]) : NULL;
        mmcl_adapt_data  data      = all_data(transform);
        mmcl_adapt_info  info      = {.struct_size = sizeof info};
        float            scores[M * K];
        double           accuracy;
        mmcl_classifier *head;
        mmcl_status      status = mmcl_adapt_fit(&head, context, method, &data, NULL, &info);
        if (status == MMCL_E_UNSUPPORTED) {
            ck_assert_ptr_null(head);
            ck_assert_ptr_nonnull(strstr(mmcl_context_message(context), mmcl_method_name(method)));
            mmcl_transform_destroy(transform);
            continue;
        }
        ck_assert_msg(status == MMCL_OK, "%s: %s", names[method - 1], mmcl_context_message(context));
        OK(mmcl_classifier_scores(head, &data.val.features, scores, 0));
        OK(mmcl_classifier_accuracy(head, &data.val, NULL, &accuracy));
        ck_assert_double_eq(accuracy, info.val_accuracy);
        ck_assert_msg(accuracy > 0.4, "%s, %s: %g", names[method - 1], specs[i] != NULL ? specs[i] : "raw", accuracy);
        check_file(head, scores);
        check_one_by_one(head, scores);
        mmcl_classifier_destroy(head);
        mmcl_transform_destroy(transform);
    }
}
END_TEST

/* -------------------------------------------------------------------------------------------------------- bad input --- */

static void refused(mmcl_method method, const mmcl_adapt_data *data, const mmcl_adapt_options *options, mmcl_status expected,
                    const char *text)
{
    mmcl_classifier *head = (void *) context;
    ck_assert_int_eq(mmcl_adapt_fit(&head, context, method, data, options, NULL), expected);
    ck_assert_ptr_null(head);
    ck_assert_msg(strstr(mmcl_context_message(context), text) != NULL, "'%s' lacks '%s'", mmcl_context_message(context), text);
}

START_TEST(wrong_data)
{
    mmcl_adapt_data good = all_data(NULL), bad;
    int64_t         labels[M];
    refused(MMCL_METHOD_NCM, NULL, NULL, MMCL_E_INVAL, "data: NULL");
    refused(99, &good, NULL, MMCL_E_INVAL, "method: 99");
    bad = good, bad.classes = 1;
    refused(MMCL_METHOD_NCM, &bad, NULL, MMCL_E_INVAL, "classes: 1");
    bad = good, bad.classes = K + 1;
    refused(MMCL_METHOD_NCM, &bad, NULL, MMCL_E_NUMERIC, "train: class 5 has no rows");
    refused(MMCL_METHOD_ZEROSHOT, &bad, NULL, MMCL_E_NUMERIC, "text: class 5 has no rows");
    bad = good, bad.text.features.rows = 0;
    refused(MMCL_METHOD_ZEROSHOT, &bad, NULL, MMCL_E_INVAL, "text: no rows");
    bad = good, bad.train.features.rows = 0;
    refused(MMCL_METHOD_NCM, &bad, NULL, MMCL_E_INVAL, "train: no rows");
    bad = good, bad.text.features.cols = D - 1;
    refused(MMCL_METHOD_NCM, &bad, NULL, MMCL_E_INVAL, "text.features: 11 columns, expected 12");
    bad = good, bad.val.features.cols = D - 1;
    refused(MMCL_METHOD_NCM, &bad, NULL, MMCL_E_INVAL, "val.features: 11 columns, expected 12");
    memcpy(labels, val_y, sizeof labels);
    labels[7] = K;
    bad = good, bad.val.labels = labels;
    refused(MMCL_METHOD_NCM, &bad, NULL, MMCL_E_INVAL, "val.labels[7] is 5");
    bad = good, bad.train.labels = NULL;
    refused(MMCL_METHOD_NCM, &bad, NULL, MMCL_E_INVAL, "train.labels: NULL");
    const float before = train_x[3 * D + 2];
    train_x[3 * D + 2] = NAN;
    refused(MMCL_METHOD_NCM, &good, NULL, MMCL_E_NUMERIC, "train.features");
    train_x[3 * D + 2] = before;
    mmcl_transform *transform;
    OK(mmcl_transform_create_spec(&transform, context, "whiten:3"));
    bad = all_data(transform);
    refused(MMCL_METHOD_NCM, &bad, NULL, MMCL_E_STATE, "transform: not fitted");
    const mmcl_matrix narrow = {.data = train_x, .rows = N, .cols = D - 2};
    OK(mmcl_transform_fit(transform, &narrow, 1, NULL));
    refused(MMCL_METHOD_NCM, &bad, NULL, MMCL_E_INVAL, "transform: 10 columns in, expected 12");
    mmcl_transform_destroy(transform);
    ck_assert_int_eq(mmcl_adapt_fit(NULL, context, MMCL_METHOD_NCM, &good, NULL, NULL), MMCL_E_INVAL);
}
END_TEST

START_TEST(wrong_options)
{
    const mmcl_adapt_data    data = all_data(NULL);
    const mmcl_adapt_options base = {.struct_size = sizeof base};
    mmcl_adapt_options       bad;
#define REFUSED(member, value, text)                                                                                   \
    bad        = base;                                                                                                 \
    bad.member = (value);                                                                                              \
    refused(MMCL_METHOD_NCM, &data, &bad, MMCL_E_INVAL, text)
    REFUSED(c, -1, "c: -1");
    REFUSED(alpha, NAN, "alpha:");
    REFUSED(beta, INFINITY, "beta: inf");
    REFUSED(gamma, -1e-3, "gamma:");
    REFUSED(eta, -1, "eta:");
    REFUSED(ratio, 1.5, "ratio: 1.5, expected at most 1");
    REFUSED(logit_scale, -100, "logit_scale:");
    REFUSED(learning_rate, -1, "learning_rate:");
    REFUSED(weight_decay, -1, "weight_decay:");
    REFUSED(tolerance, -1, "tolerance:");
    REFUSED(seed, UINT64_C(1) << 32, "seed:");
    REFUSED(protocol, 2, "protocol: 2");
    REFUSED(clap, 2, "clap: 2");
    REFUSED(precision, 2, "precision: 2");
    REFUSED(check_norms, 2, "check_norms: 2");
    REFUSED(narrow_keys, 3, "narrow_keys: 3");
#undef REFUSED
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("adapt");
    TCase *tcase = tcase_create("adapt");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, names_and_methods);
    tcase_add_test(tcase, zeroshot_is_the_cosine_to_the_text);
    tcase_add_test(tcase, rows_off_unit_length);
    tcase_add_test(tcase, ncm_is_the_nearest_mean);
    tcase_add_test(tcase, weights_of_linear_heads_alone);
    tcase_add_loop_test(tcase, every_head_serves_as_a_classifier, 0, METHODS);
    tcase_add_test(tcase, wrong_data);
    tcase_add_test(tcase, wrong_options);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
