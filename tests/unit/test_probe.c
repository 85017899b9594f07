/* mmcl_probe_run and mmcl_fewshot_run: what each protocol draws, fits and measures, against the same done by hand. */
#include <mmcl/mmcl.h>

#include "suite.h"

#include <check.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { K = 4, D = 7, TRAIN = 60, VAL = 40, TEST = 120, POOL = 90, SHOTS = 3 };

static mmcl_context *context;
static float         train_x[TRAIN * D], val_x[VAL * D], test_x[TEST * D], pool_x[POOL * D];
static int64_t       train_y[TRAIN], val_y[VAL], test_y[TEST];

#define OK(call) ck_assert_msg((call) == MMCL_OK, "%s: %s", #call, mmcl_context_message(context))

static double uniform(uint32_t *state)
{
    *state = *state * 1664525 + 1013904223;
    return (double) (*state >> 8) / 16777216 - 0.5;
}

/* Classes lie apart in some columns, and so near each other that no probe is perfect. */
static void fill(uint32_t seed, size_t rows, float *x, int64_t *y)
{
    for (size_t i = 0; i < rows; i++) {
        size_t k = (i * 7 + i / 5) % K;
        for (size_t j = 0; j < D; j++)
            x[i * D + j] = (float) (2 + (j % K == k ? 0.8 : 0) + 1.6 * uniform(&seed) * (1 + 0.2 * (double) j));
        if (y != NULL)
            y[i] = (int64_t) k;
    }
}

static void setup(void)
{
    ck_assert_int_eq(mmcl_context_create(&context, NULL), MMCL_OK);
    fill(1, TRAIN, train_x, train_y);
    fill(2, VAL, val_x, val_y);
    fill(3, TEST, test_x, test_y);
    fill(4, POOL, pool_x, NULL);
}

static void teardown(void)
{
    mmcl_context_destroy(context);
}

static mmcl_labelled rows_of(const float *x, const int64_t *y, size_t rows)
{
    return (mmcl_labelled){.features = {.data = x, .rows = rows, .cols = D}, .labels = y};
}

static mmcl_fewshot_data all_data(void)
{
    return (mmcl_fewshot_data){.struct_size = sizeof(mmcl_fewshot_data), .classes = K, .train = rows_of(train_x, train_y, TRAIN),
                               .val = rows_of(val_x, val_y, VAL), .test = rows_of(test_x, test_y, TEST)};
}

static mmcl_probe_options options_of(mmcl_protocol protocol)
{
    return (mmcl_probe_options){.struct_size = sizeof(mmcl_probe_options), .shots = SHOTS, .seed = 11, .protocol = protocol};
}

static mmcl_transform *transform_of(const char *spec)
{
    mmcl_transform *transform;
    OK(mmcl_transform_create_spec(&transform, context, spec));
    return transform;
}

/* ------------------------------------------------------------------------------------------------------ by hand --- */

/* Drawn rows of a set, in an array of their own. */
struct drawn {
    float   x[K * SHOTS * D];
    int64_t y[K * SHOTS];
};

static void draw(mmcl_shot_sampler *sampler, const float *x, const int64_t *y, size_t rows, struct drawn *out)
{
    int64_t index[K * SHOTS];
    OK(mmcl_shot_sampler_draw(sampler, y, rows, K, SHOTS, index));
    for (size_t i = 0; i < K * SHOTS; i++) {
        memcpy(out->x + i * D, x + (size_t) index[i] * D, D * sizeof *x);
        out->y[i] = y[index[i]];
    }
}

/* The draw of seed 11; `fixed` leaves the stream to the val rows. */
static void draw_both(bool fixed, struct drawn *train, struct drawn *val)
{
    mmcl_shot_sampler *sampler;
    OK(mmcl_shot_sampler_create(&sampler, context, 11));
    if (!fixed)
        draw(sampler, train_x, train_y, TRAIN, train);
    draw(sampler, val_x, val_y, VAL, val);
    mmcl_shot_sampler_destroy(sampler);
}

static mmcl_labelled mapped(const mmcl_transform *transform, const mmcl_labelled *rows, float *room)
{
    size_t outputs;
    OK(mmcl_transform_shape(transform, NULL, &outputs));
    OK(mmcl_transform_apply(transform, &rows->features, room, 0));
    return (mmcl_labelled){.features = {.data = room, .rows = rows->features.rows, .cols = outputs}, .labels = rows->labels};
}

/* Runs the probe and the same by hand with a transform fitted on `parts`; everything has to agree to the last bit. */
static void compare(const mmcl_fewshot_data *data, mmcl_protocol protocol, const char *spec, const char *by_hand_spec, const mmcl_labelled *train,
                    const mmcl_labelled *val, const mmcl_matrix *parts, size_t n_parts)
{
    static float       room[3][TEST * D];
    mmcl_probe_options options = options_of(protocol);
    mmcl_probe_result  result  = {.struct_size = sizeof result};
    mmcl_search_info   info    = {.struct_size = sizeof info};
    mmcl_transform    *theirs = transform_of(spec), *ours = transform_of(by_hand_spec);
    mmcl_classifier   *probed, *searched;
    double             weights[2][K * D], intercepts[2][K], accuracy;
    size_t             fitted_on = 0, inputs, classes;
    OK(mmcl_probe_run(&probed, context, data, theirs, &options, &result, NULL));
    OK(mmcl_transform_fit(ours, parts, n_parts, NULL));
    mmcl_labelled train_in = mapped(ours, train, room[0]), val_in = mapped(ours, val, room[1]), test_in = mapped(ours, &data->test, room[2]);
    OK(mmcl_logreg_search(&searched, context, &train_in, &val_in, K, NULL, &info));
    OK(mmcl_classifier_accuracy(searched, &test_in, NULL, &accuracy));
    OK(mmcl_classifier_shape(probed, &inputs, &classes));
    OK(mmcl_classifier_weights(probed, weights[0], intercepts[0]));
    OK(mmcl_classifier_weights(searched, weights[1], intercepts[1]));
    for (size_t i = 0; i < n_parts; i++)
        fitted_on += parts[i].rows;
    ck_assert_uint_eq(inputs, train_in.features.cols);
    ck_assert_uint_eq(classes, K);
    ck_assert_mem_eq(weights[0], weights[1], K * inputs * sizeof(double));
    ck_assert_mem_eq(intercepts[0], intercepts[1], sizeof intercepts[0]);
    ck_assert_double_eq(result.c, info.c);
    ck_assert_double_eq(result.val_accuracy, info.val_accuracy);
    ck_assert_double_eq(result.test_accuracy, accuracy);
    ck_assert_uint_eq(result.fits, info.fits);
    ck_assert_uint_eq(result.train_rows, train->features.rows);
    ck_assert_uint_eq(result.val_rows, val->features.rows);
    ck_assert_uint_eq(result.transform_rows, fitted_on);
    ck_assert_uint_eq(result.components, inputs);
    mmcl_classifier_destroy(probed);
    mmcl_classifier_destroy(searched);
    mmcl_transform_destroy(theirs);
    mmcl_transform_destroy(ours);
}

START_TEST(strict_fits_on_the_shots_alone)
{
    struct drawn      train, val;
    mmcl_fewshot_data data = all_data();
    draw_both(false, &train, &val);
    mmcl_labelled shots = rows_of(train.x, train.y, K * SHOTS), judged = rows_of(val.x, val.y, K * SHOTS);
    compare(&data, MMCL_PROTOCOL_STRICT, "whiten:5", "whiten:5", &shots, &judged, &shots.features, 1);
    compare(&data, MMCL_PROTOCOL_STRICT, "raw", "raw", &shots, &judged, &shots.features, 1);
}
END_TEST

START_TEST(paper_fits_on_shots_and_val)
{
    struct drawn      train, val;
    mmcl_fewshot_data data = all_data();
    draw_both(false, &train, &val);
    mmcl_labelled shots = rows_of(train.x, train.y, K * SHOTS), judged = rows_of(val.x, val.y, K * SHOTS);
    mmcl_matrix   parts[2] = {shots.features, judged.features};
    compare(&data, MMCL_PROTOCOL_PAPER, "whiten:5", "whiten:5", &shots, &judged, parts, 2);
}
END_TEST

START_TEST(a_pool_replaces_the_shots)
{
    struct drawn      train, val;
    mmcl_fewshot_data data  = all_data();
    mmcl_matrix       pool[2] = {{.data = pool_x, .rows = 50, .cols = D}, {.data = pool_x + 50 * D, .rows = POOL - 50, .cols = D}};
    data.pool               = pool;
    data.pool_parts         = 2;
    draw_both(false, &train, &val);
    mmcl_labelled shots = rows_of(train.x, train.y, K * SHOTS), judged = rows_of(val.x, val.y, K * SHOTS);
    compare(&data, MMCL_PROTOCOL_STRICT, "whiten:5+normalize", "whiten:5+normalize", &shots, &judged, pool, 2);
    compare(&data, MMCL_PROTOCOL_PAPER, "whiten:5+normalize", "whiten:5+normalize", &shots, &judged, pool, 2);
}
END_TEST

/* A fixed draw is taken as it is, and val rows come from a fresh stream. */
START_TEST(fixed_draws_leave_the_stream_to_val)
{
    struct drawn      none, val;
    mmcl_fewshot_data data = all_data();
    data.fixed             = 1;
    draw_both(true, &none, &val);
    mmcl_labelled judged = rows_of(val.x, val.y, K * SHOTS);
    compare(&data, MMCL_PROTOCOL_STRICT, "whiten:5", "whiten:5", &data.train, &judged, &data.train.features, 1);
}
END_TEST

/* Six rows less their mean have rank 5. */
START_TEST(paper_clips_what_strict_refuses)
{
    mmcl_fewshot_data  data    = all_data();
    mmcl_probe_options options = options_of(MMCL_PROTOCOL_STRICT);
    mmcl_probe_result  result  = {.struct_size = sizeof result};
    mmcl_transform    *transform = transform_of("whiten:7");
    mmcl_classifier   *made      = (mmcl_classifier *) context;
    options.shots                = 1;
    data.classes                 = K;
    ck_assert_int_eq(mmcl_probe_run(&made, context, &data, transform, &options, &result, NULL), MMCL_E_NUMERIC);
    ck_assert_ptr_null(made);
    ck_assert_msg(strstr(mmcl_context_message(context), "3") != NULL, "%s", mmcl_context_message(context));
    options.protocol = MMCL_PROTOCOL_PAPER; /* the same transform: a failure leaves it unfitted */
    OK(mmcl_probe_run(NULL, context, &data, transform, &options, &result, NULL));
    ck_assert_uint_eq(result.transform_rows, 2 * K);
    ck_assert_uint_le(result.components, D);
    ck_assert_uint_ge(result.components, 4);
    mmcl_transform_destroy(transform);
    transform = transform_of("whiten:7");
    options.protocol = MMCL_PROTOCOL_PAPER;
    mmcl_labelled four = rows_of(train_x, train_y, 4);
    four.labels        = (const int64_t[]){0, 1, 2, 3};
    data.train = data.val = four; /* 8 rows, each twice: rank 3 */
    data.fixed = 1;
    OK(mmcl_probe_run(NULL, context, &data, transform, &options, &result, NULL));
    ck_assert_uint_eq(result.components, 3);
    mmcl_transform_destroy(transform);
}
END_TEST

START_TEST(domains_count_their_classes_only)
{
    const uint8_t      mask[K] = {1, 0, 1, 0};
    float              some_x[TEST * D], room[TEST * D];
    int64_t            some_y[TEST];
    size_t             some = 0;
    mmcl_fewshot_data  data = all_data();
    mmcl_probe_options options = options_of(MMCL_PROTOCOL_STRICT);
    mmcl_transform    *transform = transform_of("whiten:5");
    mmcl_classifier   *made;
    double             accuracy[2], expected[2];
    for (size_t i = 0; i < TEST; i++)
        if (mask[test_y[i]]) {
            memcpy(some_x + some * D, test_x + i * D, D * sizeof *test_x);
            some_y[some++] = test_y[i];
        }
    const mmcl_domain domains[2] = {{.name = "masked", .rows = rows_of(some_x, some_y, some), .mask = mask},
                                    {.name = "whole", .rows = rows_of(some_x, some_y, some)}};
    data.domains      = domains;
    data.domain_count = 2;
    OK(mmcl_probe_run(&made, context, &data, transform, &options, NULL, accuracy));
    mmcl_labelled in = mapped(transform, &domains[0].rows, room);
    OK(mmcl_classifier_accuracy(made, &in, mask, &expected[0]));
    OK(mmcl_classifier_accuracy(made, &in, NULL, &expected[1]));
    ck_assert_double_eq(accuracy[0], expected[0]);
    ck_assert_double_eq(accuracy[1], expected[1]);
    ck_assert_double_gt(accuracy[0], accuracy[1]); /* two classes are easier than four */
    mmcl_classifier_destroy(made);
    mmcl_transform_destroy(transform);
}
END_TEST

START_TEST(no_test_set_is_no_number)
{
    mmcl_fewshot_data  data    = all_data();
    mmcl_probe_options options = options_of(MMCL_PROTOCOL_STRICT);
    mmcl_probe_result  result  = {.struct_size = sizeof result};
    mmcl_transform    *transform = transform_of("raw");
    data.test          = (mmcl_labelled){.labels = NULL};
    OK(mmcl_probe_run(NULL, context, &data, transform, &options, &result, NULL));
    ck_assert(isnan(result.test_accuracy));
    mmcl_transform_destroy(transform);
}
END_TEST

/* A class without val rows is left out of the judgement; one without train rows is an error. */
START_TEST(empty_classes)
{
    mmcl_fewshot_data  data    = all_data();
    mmcl_probe_options options = options_of(MMCL_PROTOCOL_STRICT);
    mmcl_probe_result  result  = {.struct_size = sizeof result};
    mmcl_transform    *transform = transform_of("raw");
    for (size_t i = 0; i < VAL; i++)
        val_y[i] = val_y[i] == 2 ? 1 : val_y[i];
    OK(mmcl_probe_run(NULL, context, &data, transform, &options, &result, NULL));
    ck_assert_uint_eq(result.val_rows, (K - 1) * SHOTS);
    mmcl_transform_destroy(transform);
    transform = transform_of("raw");
    for (size_t i = 0; i < TRAIN; i++)
        train_y[i] = train_y[i] == 3 ? 1 : train_y[i];
    ck_assert_int_eq(mmcl_probe_run(NULL, context, &data, transform, &options, &result, NULL), MMCL_E_NUMERIC);
    ck_assert_ptr_nonnull(strstr(mmcl_context_message(context), "class 3"));
    data.fixed = 1;
    ck_assert_int_eq(mmcl_probe_run(NULL, context, &data, transform, &options, &result, NULL), MMCL_E_NUMERIC);
    ck_assert_ptr_nonnull(strstr(mmcl_context_message(context), "class 3"));
    mmcl_transform_destroy(transform);
}
END_TEST

/* -------------------------------------------------------------------------------------------------------- refusals --- */

static void refused(const mmcl_fewshot_data *data, const mmcl_probe_options *options, const char *spec, mmcl_status status, const char *text)
{
    mmcl_transform  *transform = transform_of(spec);
    mmcl_classifier *made      = (mmcl_classifier *) context;
    ck_assert_int_eq(mmcl_probe_run(&made, context, data, transform, options, NULL, NULL), status);
    ck_assert_ptr_null(made);
    ck_assert_msg(strstr(mmcl_context_message(context), text) != NULL, "\"%s\" lacks \"%s\"", mmcl_context_message(context), text);
    ck_assert_msg(strchr(mmcl_context_message(context), '\n') == NULL, "more than one line: %s", mmcl_context_message(context));
    mmcl_transform_destroy(transform);
}

START_TEST(options_are_checked)
{
    mmcl_fewshot_data data = all_data();
#define REFUSED(field, value, status, text)                                                                            \
    do {                                                                                                               \
        mmcl_probe_options options = options_of(MMCL_PROTOCOL_STRICT);                                                 \
        options.field              = (value);                                                                          \
        refused(&data, &options, "raw", status, text);                                                                 \
    } while (0)
    REFUSED(shots, 0, MMCL_E_INVAL, "shots: 0");
    REFUSED(seed, (uint64_t) 1 << 32, MMCL_E_INVAL, "seed: 4294967296");
    REFUSED(protocol, (mmcl_protocol) 7, MMCL_E_INVAL, "protocol: 7");
    REFUSED(reserved, 1, MMCL_E_ABI, "reserved");
    REFUSED(struct_size, 3, MMCL_E_ABI, "struct_size");
    REFUSED(shots, (uint64_t) 1 << 62, MMCL_E_INVAL, "shots");
    mmcl_search_options search = {.struct_size = sizeof search, .tolerance = -1};
    REFUSED(search, &search, MMCL_E_INVAL, "tolerance: -1");
    const double grid[] = {1, -2};
    search              = (mmcl_search_options){.struct_size = sizeof search, .grid = grid, .grid_count = 2};
    REFUSED(search, &search, MMCL_E_INVAL, "grid[1]: -2");
    search.grid = NULL;
    REFUSED(search, &search, MMCL_E_INVAL, "grid");
#undef REFUSED
}
END_TEST

START_TEST(data_are_checked)
{
    const mmcl_probe_options options = options_of(MMCL_PROTOCOL_STRICT);
    const uint8_t            none[K] = {0};
    const mmcl_matrix        narrow  = {.data = pool_x, .rows = 9, .cols = D - 1};
    mmcl_domain              domain  = {.name = "sketches", .rows = rows_of(test_x, test_y, TEST), .mask = none};
#define REFUSED(change, status, text)                                                                                  \
    do {                                                                                                               \
        mmcl_fewshot_data data = all_data();                                                                           \
        change;                                                                                                        \
        refused(&data, &options, "raw", status, text);                                                                 \
    } while (0)
    REFUSED(data.classes = 1, MMCL_E_INVAL, "classes: 1");
    REFUSED(data.classes = K - 1, MMCL_E_INVAL, "train.labels[");
    REFUSED(data.fixed = 2, MMCL_E_INVAL, "fixed: 2");
    REFUSED(data.struct_size = 5, MMCL_E_ABI, "struct_size");
    REFUSED(data.train.labels = NULL, MMCL_E_INVAL, "train.labels");
    REFUSED(data.train.features.rows = 0, MMCL_E_INVAL, "train: no rows");
    REFUSED(data.val.features.rows = 0, MMCL_E_INVAL, "val: no rows");
    REFUSED(data.val.features.cols = D - 1, MMCL_E_INVAL, "val.features: 6 columns, expected 7");
    REFUSED(data.test.features.cols = D - 1, MMCL_E_INVAL, "test.features: 6 columns, expected 7");
    REFUSED(data.pool_parts = 1, MMCL_E_INVAL, "pool");
    REFUSED((data.pool = &narrow, data.pool_parts = 1), MMCL_E_INVAL, "pool: 6 columns, expected 7");
    REFUSED(data.domain_count = 1, MMCL_E_INVAL, "domains: NULL");
    REFUSED((data.domains = &domain, data.domain_count = 1), MMCL_E_INVAL, "sketches: the mask holds no class");
    domain.mask                = NULL;
    domain.rows.features.cols  = D - 1;
    REFUSED((data.domains = &domain, data.domain_count = 1), MMCL_E_INVAL, "sketches: 6 columns");
    domain.rows = rows_of(test_x, test_y, TEST);
    test_y[8]   = K;
    REFUSED((data.domains = &domain, data.domain_count = 1, data.test.features.rows = 0), MMCL_E_INVAL, "sketches.labels[8] is 4, expected 0 to 3");
    REFUSED((void) data, MMCL_E_INVAL, "test.labels[8] is 4, expected 0 to 3");
    test_y[8] = 0;
    val_y[5]  = -1;
    REFUSED((void) data, MMCL_E_INVAL, "val.labels[5] is -1, expected 0 to 3");
#undef REFUSED
}
END_TEST

START_TEST(rows_are_checked)
{
    mmcl_probe_options options = options_of(MMCL_PROTOCOL_STRICT);
    mmcl_fewshot_data  data    = all_data();
    mmcl_matrix        pool    = {.data = pool_x, .rows = POOL, .cols = D};
    test_x[9 * D + 2] = NAN;
    refused(&data, &options, "raw", MMCL_E_NUMERIC, "test.features");
    ck_assert_ptr_nonnull(strstr(mmcl_context_message(context), "row 9"));
    test_x[9 * D + 2] = 0;
    pool_x[4 * D + 1] = INFINITY;
    data.pool         = &pool;
    data.pool_parts   = 1;
    refused(&data, &options, "whiten:3", MMCL_E_NUMERIC, "row 4");
    data.pool_parts = 0;
    data.pool       = NULL;
    data.fixed      = 1;
    train_x[6 * D]  = NAN;
    refused(&data, &options, "raw", MMCL_E_NUMERIC, "train.features");
    ck_assert_ptr_nonnull(strstr(mmcl_context_message(context), "row 6"));
    train_x[6 * D] = 0;
    refused(&data, &options, "whiten:8", MMCL_E_INVAL, "8");
}
END_TEST

/* A head through the protocol is the head fitted by hand on the draw, transform and all. */
START_TEST(heads_see_the_same_draw)
{
    struct drawn train, val;
    draw_both(false, &train, &val);
    mmcl_labelled        train_rows = rows_of(train.x, train.y, K * SHOTS), val_rows = rows_of(val.x, val.y, K * SHOTS);
    mmcl_fewshot_data    data       = all_data();
    mmcl_fewshot_options options    = {.struct_size = sizeof options, .shots = SHOTS, .seed = 11};
    mmcl_fewshot_result  result  = {.struct_size = sizeof result};
    mmcl_adapt_info      info    = {.struct_size = sizeof info};
    mmcl_classifier     *run, *by_hand;
    float                scores[2][TEST * K];
    double               accuracy;
    mmcl_transform      *theirs = transform_of("whiten:3"), *ours = transform_of("whiten:3");
    OK(mmcl_fewshot_run(&run, context, MMCL_METHOD_NCM, &data, theirs, &options, &info, &result, NULL));
    OK(mmcl_transform_fit(ours, &train_rows.features, 1, NULL));
    mmcl_adapt_data hand = {.struct_size = sizeof hand, .classes = K, .train = train_rows, .val = val_rows, .transform = ours};
    OK(mmcl_adapt_fit(&by_hand, context, MMCL_METHOD_NCM, &hand, NULL, NULL));
    OK(mmcl_classifier_scores(run, &data.test.features, scores[0], 0));
    OK(mmcl_classifier_scores(by_hand, &data.test.features, scores[1], 0));
    OK(mmcl_classifier_accuracy(by_hand, &data.test, NULL, &accuracy));
    ck_assert_mem_eq(scores[0], scores[1], sizeof scores[0]);
    ck_assert_double_eq(result.test_accuracy, accuracy);
    ck_assert_uint_eq(result.train_rows, K * SHOTS);
    ck_assert_uint_eq(result.components, 3);
    ck_assert_uint_eq(result.transform_rows, K * SHOTS);
    ck_assert_uint_eq(result.leaks, 0);
    mmcl_classifier_destroy(run);
    OK(mmcl_fewshot_run(&run, context, MMCL_METHOD_NCM, &data, ours, &options, &info, &result, NULL)); /* fitted: as it is */
    ck_assert_uint_eq(result.transform_rows, 0);
    ck_assert_double_eq(result.test_accuracy, accuracy);
    options.protocol = MMCL_PROTOCOL_PAPER;
    mmcl_transform *paper = transform_of("whiten:3");
    OK(mmcl_fewshot_run(NULL, context, MMCL_METHOD_NCM, &data, paper, &options, &info, &result, NULL));
    ck_assert_uint_eq(result.leaks, MMCL_LEAK_TRANSFORM_ON_VAL);
    ck_assert_uint_eq(result.transform_rows, 2 * K * SHOTS);
    ck_assert_int_eq(mmcl_fewshot_run(NULL, context, MMCL_METHOD_ZEROSHOT, &data, NULL, &options, NULL, NULL, NULL), MMCL_E_INVAL);
    ck_assert_msg(strstr(mmcl_context_message(context), "zeroshot starts from them") != NULL, "%s", mmcl_context_message(context));
    mmcl_classifier_destroy(run);
    mmcl_classifier_destroy(by_hand);
    mmcl_transform_destroy(theirs);
    mmcl_transform_destroy(ours);
    mmcl_transform_destroy(paper);
}
END_TEST

START_TEST(missing_arguments)
{
    mmcl_fewshot_data  data    = all_data();
    mmcl_probe_options options = options_of(MMCL_PROTOCOL_STRICT);
    mmcl_transform    *transform = transform_of("raw");
    mmcl_probe_result  short_result = {.struct_size = 8};
    ck_assert_int_eq(mmcl_probe_run(NULL, NULL, &data, transform, &options, NULL, NULL), MMCL_E_INVAL);
    ck_assert_int_eq(mmcl_probe_run(NULL, context, NULL, transform, &options, NULL, NULL), MMCL_E_INVAL);
    ck_assert_str_eq(mmcl_context_message(context), "data: NULL");
    ck_assert_int_eq(mmcl_probe_run(NULL, context, &data, NULL, &options, NULL, NULL), MMCL_E_INVAL);
    ck_assert_str_eq(mmcl_context_message(context), "transform: NULL");
    ck_assert_int_eq(mmcl_probe_run(NULL, context, &data, transform, NULL, NULL, NULL), MMCL_E_INVAL);
    ck_assert_str_eq(mmcl_context_message(context), "options: NULL");
    ck_assert_int_eq(mmcl_probe_run(NULL, context, &data, transform, &options, &short_result, NULL), MMCL_E_ABI);
    mmcl_transform_destroy(transform);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("probe");
    TCase *tcase = tcase_create("probe");
    tcase_set_timeout(tcase, 120);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, strict_fits_on_the_shots_alone);
    tcase_add_test(tcase, paper_fits_on_shots_and_val);
    tcase_add_test(tcase, a_pool_replaces_the_shots);
    tcase_add_test(tcase, fixed_draws_leave_the_stream_to_val);
    tcase_add_test(tcase, paper_clips_what_strict_refuses);
    tcase_add_test(tcase, domains_count_their_classes_only);
    tcase_add_test(tcase, no_test_set_is_no_number);
    tcase_add_test(tcase, empty_classes);
    tcase_add_test(tcase, options_are_checked);
    tcase_add_test(tcase, data_are_checked);
    tcase_add_test(tcase, rows_are_checked);
    tcase_add_test(tcase, heads_see_the_same_draw);
    tcase_add_test(tcase, missing_arguments);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
