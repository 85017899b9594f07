#include <mmcl/mmcl.h>

#include "../parity/metrics_golden.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static mmcl_context *context;

static void setup(void)
{
    ck_assert_int_eq(mmcl_context_create(&context, NULL), MMCL_OK);
}

static void teardown(void)
{
    mmcl_context_destroy(context);
}

#define OK(call) ck_assert_msg((call) == MMCL_OK, "%s: %s", #call, mmcl_context_message(context))

static mmcl_matrix f64(const double *data, size_t rows, size_t cols)
{
    return (mmcl_matrix){.data = data, .rows = rows, .cols = cols, .dtype = MMCL_F64};
}

static double evaluate(mmcl_metric_kind kind, const mmcl_matrix *codes, const mmcl_matrix *factors, double holdout)
{
    mmcl_metric_options options = {.struct_size = sizeof options, .holdout = holdout};
    double              value   = NAN;
    OK(mmcl_metric_evaluate(context, kind, codes, factors, &options, &value, NULL));
    return value;
}

START_TEST(equals_scikit_learn)
{
    mmcl_matrix         codes = f64(metrics_codes, METRICS_ROWS, METRICS_CODES), factors = f64(metrics_factors, METRICS_ROWS, METRICS_FACTORS);
    double              r2[METRICS_CODES], value;
    mmcl_metric_details details = {.struct_size = sizeof details, .per_factor = r2};
    OK(mmcl_metric_evaluate(context, MMCL_METRIC_R2, &codes, &factors, NULL, &value, &details));
    for (int j = 0; j < METRICS_FACTORS; j++)
        ck_assert_double_eq_tol(r2[j], metrics_r2[j], 1e-10);
    OK(mmcl_metric_evaluate(context, MMCL_METRIC_R2, &factors, &codes, NULL, &value, &details));
    for (int j = 0; j < METRICS_CODES; j++)
        ck_assert_double_eq_tol(r2[j], metrics_r2_reverse[j], 1e-10);
    ck_assert_double_eq_tol(evaluate(MMCL_METRIC_MCC, &codes, &factors, 0), metrics_mcc[0], 1e-10);
    ck_assert_double_eq_tol(evaluate(MMCL_METRIC_MCC, &factors, &codes, 0), metrics_mcc[1], 1e-10);
}
END_TEST

enum { N = 500, D = 4 };

static double noise(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (double) (*state >> 11) / 9007199254740992.0 - 0.5;
}

START_TEST(extremes)
{
    static double z[N * D], codes[N * (D + 2)], other[N * D];
    uint64_t      state = 1, assignment[D];
    double        value, matrix[(D + 2) * D];
    for (int i = 0; i < N; i++) {
        for (int j = 0; j < D; j++) {
            z[i * D + j]     = noise(&state);
            other[i * D + j] = noise(&state);
        }
        for (int j = 0; j < D; j++)
            codes[i * (D + 2) + (j + 1) % D] = 7 - (j + 1) * z[i * D + j];
        codes[i * (D + 2) + D]     = 0.1; /* constant */
        codes[i * (D + 2) + D + 1] = codes[i * (D + 2)] + codes[i * (D + 2) + 1];
    }
    mmcl_matrix         factors = f64(z, N, D), perfect = f64(codes, N, D + 2), random = f64(other, N, D), two = f64(z, N, 2);
    mmcl_metric_details details = {.struct_size = sizeof details, .matrix = matrix, .assignment = assignment};
    two.row_stride              = D;
    ck_assert_double_eq_tol(evaluate(MMCL_METRIC_R2, &perfect, &factors, 0), 1, 1e-12);
    ck_assert_double_eq_tol(evaluate(MMCL_METRIC_R2, &perfect, &factors, 0.5), 1, 1e-12);
    OK(mmcl_metric_evaluate(context, MMCL_METRIC_MCC, &perfect, &factors, NULL, &value, &details));
    ck_assert_double_eq_tol(value, 1, 1e-12);
    for (int j = 0; j < D; j++) {
        ck_assert_uint_eq(assignment[j], (j + 1) % D);
        ck_assert_double_eq_tol(matrix[((j + 1) % D) * D + j], -1, 1e-12);
        ck_assert_double_eq(matrix[D * D + j], 0);
    }
    ck_assert_double_lt(evaluate(MMCL_METRIC_R2, &random, &factors, 0), 0.05);
    ck_assert_double_lt(fabs(evaluate(MMCL_METRIC_R2, &random, &factors, 0.5)), 0.1);
    ck_assert_double_lt(evaluate(MMCL_METRIC_MCC, &random, &factors, 0), 0.15);
    ck_assert_double_eq_tol(evaluate(MMCL_METRIC_MCC, &two, &factors, 0), 0.5, 1e-12);
}
END_TEST

static void refused(mmcl_status status, const char *words, mmcl_metric_kind kind, mmcl_matrix codes, mmcl_matrix factors)
{
    double value = 42;
    ck_assert_int_eq(mmcl_metric_evaluate(context, kind, &codes, &factors, NULL, &value, NULL), status);
    ck_assert_msg(strstr(mmcl_context_message(context), words) != NULL, "%s", mmcl_context_message(context));
    ck_assert_double_eq(value, 42);
}

START_TEST(bad_input_is_named)
{
    double      c[] = {1, 5, 2, 3, 3, 3, 4, 9}, f[] = {1, 1, 2, 1, 4, 1, 9, 1}, nan[] = {1, 5, 2, NAN, 3, 3, 4, 9};
    mmcl_matrix codes = f64(c, 4, 2), factors = f64(f, 4, 2), first = f64(f, 4, 1);
    first.row_stride = 2;
    refused(MMCL_E_NUMERIC, "factors: column 1 is constant", MMCL_METRIC_MCC, codes, factors);
    refused(MMCL_E_NUMERIC, "codes: NaN or infinity in row 1, column 1", MMCL_METRIC_R2, f64(nan, 4, 2), first);
    refused(MMCL_E_INVAL, "expected 4 as in codes", MMCL_METRIC_R2, codes, f64(f, 3, 1));
    refused(MMCL_E_INVAL, "at least 3", MMCL_METRIC_R2, f64(c, 2, 2), f64(f, 2, 1));
    refused(MMCL_E_NUMERIC, "all 1 columns are constant", MMCL_METRIC_MCC, f64((double[]){1, 1, 1}, 3, 1), f64(c, 3, 1));
    refused(MMCL_E_NUMERIC, "fit any 3 rows", MMCL_METRIC_R2, f64((double[]){1, 5, 2, 3, 7, 3}, 3, 2), f64((double[]){1, 0, 2}, 3, 1));
    refused(MMCL_E_INVAL, "kind: 77", 77, codes, first);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("metrics");
    TCase *tests = tcase_create("metrics");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, equals_scikit_learn);
    tcase_add_test(tests, extremes);
    tcase_add_test(tests, bad_input_is_named);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
