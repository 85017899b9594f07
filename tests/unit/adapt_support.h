/* Classes of features with prompts, in a modality gap, for the tests of few-shot heads. */
#ifndef TESTS_UNIT_ADAPT_SUPPORT_H
#define TESTS_UNIT_ADAPT_SUPPORT_H

#include <mmcl/mmcl.h>

#include "core/rng.h"
#include "suite.h"

#include <math.h>
#include <string.h>

enum { SHOTS = 6, K = 5, D = 12, N = K * SHOTS, M = K * 40, PROMPTS = 2 * K };

static mmcl_context *context;
static float         train_x[N * D], val_x[M * D], text_x[PROMPTS * D];
static int64_t       train_y[N], val_y[M], text_y[PROMPTS];

#define OK(call) ck_assert_msg((call) == MMCL_OK, "%s: %s", #call, mmcl_context_message(context))

static void unit_row(float *row)
{
    double square = 0;
    for (size_t j = 0; j < D; j++)
        square += (double) row[j] * (double) row[j];
    for (size_t j = 0; j < D; j++)
        row[j] = (float) ((double) row[j] / sqrt(square));
}

/* Unit rows around their class's centre and a mean of the modality. */
static void fill_rows(mmcl__numpy_rng *rng, const double *centres, double noise, double offset, size_t n, float *rows, int64_t *labels)
{
    for (size_t i = 0; i < n; i++) {
        labels[i] = (int64_t) (i % K);
        for (size_t j = 0; j < D; j++)
            rows[i * D + j] = (float) (centres[i % K * D + j] + noise * mmcl__numpy_normal(rng) + (j == 0 ? offset : 0));
        unit_row(rows + i * D);
    }
}

static void setup(void)
{
    mmcl__numpy_rng rng;
    double          centres[K * D];
    ck_assert_int_eq(mmcl_context_create(&context, NULL), MMCL_OK);
    mmcl__numpy_seed(&rng, 11);
    for (size_t i = 0; i < K * D; i++)
        centres[i] = mmcl__numpy_normal(&rng);
    fill_rows(&rng, centres, 1, 3, N, train_x, train_y);
    fill_rows(&rng, centres, 1, 3, M, val_x, val_y);
    fill_rows(&rng, centres, 0.6, -3, PROMPTS, text_x, text_y);
}

static void teardown(void)
{
    mmcl_context_destroy(context);
}

static inline mmcl_labelled rows_of(const float *data, const int64_t *labels, size_t n)
{
    return (mmcl_labelled){.features = {.data = data, .rows = n, .cols = D}, .labels = labels};
}

static inline mmcl_adapt_data all_data(const mmcl_transform *transform)
{
    return (mmcl_adapt_data){.struct_size = sizeof(mmcl_adapt_data), .classes = K, .train = rows_of(train_x, train_y, N),
                             .val = rows_of(val_x, val_y, M), .text = rows_of(text_x, text_y, PROMPTS), .transform = transform};
}

/* Fitted on the train rows. */
static inline mmcl_transform *transform_of(const char *spec)
{
    const mmcl_matrix rows = {.data = train_x, .rows = N, .cols = D};
    mmcl_transform   *made;
    OK(mmcl_transform_create_spec(&made, context, spec));
    OK(mmcl_transform_fit(made, &rows, 1, NULL));
    return made;
}

static inline mmcl_classifier *fit_head(mmcl_method method, const mmcl_adapt_data *data, const mmcl_adapt_options *options,
                                        mmcl_adapt_info *info)
{
    mmcl_classifier *head;
    if (info != NULL)
        info->struct_size = sizeof *info;
    OK(mmcl_adapt_fit(&head, context, method, data, options, info));
    return head;
}

/* Runs the tests of a program. */
static inline int run_suite(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}

#endif
