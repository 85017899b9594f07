#include <mmcl/mmcl.h>

#include "fixture.h"
#include "../parity/metrics_golden.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static mmcl_matrix f64(const double *data, size_t rows, size_t cols)
{
    return (mmcl_matrix){.data = data, .rows = rows, .cols = cols, .dtype = MMCL_F64};
}

static double evaluate(mmcl_metric_kind kind, const mmcl_matrix *codes, const mmcl_matrix *factors, double holdout)
{
    mmcl_metric_options options = {.struct_size = sizeof options, .holdout = holdout};
    mmcl_metric_result  result  = {.struct_size = sizeof result};
    OK(mmcl_metric_evaluate(context, kind, codes, factors, &options, &result, NULL));
    ck_assert_double_eq(result.low, result.value);
    ck_assert_double_eq(result.high, result.value);
    ck_assert_uint_eq(result.resamples, 0);
    return result.value;
}

START_TEST(equals_scikit_learn)
{
    mmcl_matrix         codes = f64(metrics_codes, METRICS_ROWS, METRICS_CODES), factors = f64(metrics_factors, METRICS_ROWS, METRICS_FACTORS);
    double              r2[METRICS_CODES];
    mmcl_metric_result  result  = {.struct_size = sizeof result};
    mmcl_metric_details details = {.struct_size = sizeof details, .per_factor = r2};
    OK(mmcl_metric_evaluate(context, MMCL_METRIC_R2, &codes, &factors, NULL, &result, &details));
    for (int j = 0; j < METRICS_FACTORS; j++)
        ck_assert_double_eq_tol(r2[j], metrics_r2[j], 1e-10);
    OK(mmcl_metric_evaluate(context, MMCL_METRIC_R2, &factors, &codes, NULL, &result, &details));
    for (int j = 0; j < METRICS_CODES; j++)
        ck_assert_double_eq_tol(r2[j], metrics_r2_reverse[j], 1e-10);
    const struct {
        mmcl_metric_kind kind;
        const double    *expected;
    } both_ways[] = {{MMCL_METRIC_MCC, metrics_mcc},
                     {MMCL_METRIC_CKA, metrics_cka},
                     {MMCL_METRIC_CCA, metrics_cca},
                     {MMCL_METRIC_ORTHOGONALITY_DEFECT, metrics_orthogonality},
                     {MMCL_METRIC_PERMUTATION_DEFECT, metrics_permutation},
                     {MMCL_METRIC_MCC_SPEARMAN, metrics_spearman},
                     {MMCL_METRIC_MCC_WEAK, metrics_weak},
                     {MMCL_METRIC_SVCCA, metrics_svcca},
                     {MMCL_METRIC_PROCRUSTES, metrics_procrustes},
                     {MMCL_METRIC_CKA_DEBIASED, metrics_debiased_cka},
                     {MMCL_METRIC_SAP, metrics_sap},
                     {MMCL_METRIC_MIG, metrics_mig},
                     {MMCL_METRIC_MODULARITY, metrics_modularity}};
    for (size_t i = 0; i < sizeof both_ways / sizeof *both_ways; i++) {
        ck_assert_double_eq_tol(evaluate(both_ways[i].kind, &codes, &factors, 0), both_ways[i].expected[0], 1e-10);
        ck_assert_double_eq_tol(evaluate(both_ways[i].kind, &factors, &codes, 0), both_ways[i].expected[1], 1e-10);
    }
}
END_TEST

START_TEST(information_equals_scikit_learn)
{
    mmcl_matrix codes = f64(metrics_codes, METRICS_ROWS, METRICS_CODES), factors = f64(metrics_factors, METRICS_ROWS, METRICS_FACTORS);
    mmcl_matrix labels = f64(metrics_labels, METRICS_ROWS, METRICS_FACTORS);
    double      matrix[METRICS_CODES * METRICS_FACTORS], gaps[METRICS_FACTORS];
    mmcl_metric_details details = {.struct_size = sizeof details, .matrix = matrix, .per_factor = gaps};
    mmcl_metric_options options = {.struct_size = sizeof options, .bins = 5, .discrete = 1};
    mmcl_metric_result  result  = {.struct_size = sizeof result};
    OK(mmcl_metric_evaluate(context, MMCL_METRIC_MIG, &codes, &factors, NULL, &result, &details));
    for (int i = 0; i < METRICS_CODES * METRICS_FACTORS; i++)
        ck_assert_double_eq_tol(matrix[i], metrics_information[i], 1e-10);
    ck_assert_double_eq_tol((gaps[0] + gaps[1] + gaps[2]) / 3, result.value, 1e-14);
    OK(mmcl_metric_evaluate(context, MMCL_METRIC_MIG, &codes, &labels, &options, &result, NULL));
    ck_assert_double_eq_tol(result.value, metrics_mig_labels[0], 1e-10);
    OK(mmcl_metric_evaluate(context, MMCL_METRIC_MODULARITY, &codes, &labels, &options, &result, NULL));
    ck_assert_double_eq_tol(result.value, metrics_modularity_labels[0], 1e-10);
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
    double        matrix[(D + 2) * D];
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
    mmcl_metric_result  result  = {.struct_size = sizeof result};
    two.row_stride              = D;
    ck_assert_double_eq_tol(evaluate(MMCL_METRIC_R2, &perfect, &factors, 0), 1, 1e-12);
    ck_assert_double_eq_tol(evaluate(MMCL_METRIC_R2, &perfect, &factors, 0.5), 1, 1e-12);
    OK(mmcl_metric_evaluate(context, MMCL_METRIC_MCC, &perfect, &factors, NULL, &result, &details));
    ck_assert_double_eq_tol(result.value, 1, 1e-12);
    ck_assert_uint_eq(result.rows, N);
    for (int j = 0; j < D; j++) {
        ck_assert_uint_eq(assignment[j], (j + 1) % D);
        ck_assert_double_eq_tol(matrix[((j + 1) % D) * D + j], -1, 1e-12);
        ck_assert_double_eq(matrix[D * D + j], 0);
    }
    ck_assert_double_lt(evaluate(MMCL_METRIC_R2, &random, &factors, 0), 0.05);
    ck_assert_double_lt(fabs(evaluate(MMCL_METRIC_R2, &random, &factors, 0.5)), 0.1);
    ck_assert_double_lt(evaluate(MMCL_METRIC_MCC, &random, &factors, 0), 0.15);
    ck_assert_double_eq_tol(evaluate(MMCL_METRIC_MCC, &two, &factors, 0), 0.5, 1e-12);
    for (mmcl_metric_kind kind = MMCL_METRIC_CKA; kind <= MMCL_METRIC_CCA; kind++) {
        ck_assert_double_eq_tol(evaluate(kind, &factors, &factors, 0), 1, 1e-12);
        ck_assert_double_lt(evaluate(kind, &random, &factors, 0), 0.2);
    }
    ck_assert_double_eq_tol(evaluate(MMCL_METRIC_CCA, &perfect, &factors, 0), 1, 1e-10);
    ck_assert_double_eq_tol(evaluate(MMCL_METRIC_MCC_SPEARMAN, &perfect, &factors, 0), 1, 1e-12);
    ck_assert_double_eq_tol(evaluate(MMCL_METRIC_MCC_WEAK, &perfect, &factors, 0.5), 1, 1e-12);
    ck_assert_double_eq_tol(evaluate(MMCL_METRIC_SVCCA, &factors, &factors, 0), 1, 1e-10);
    ck_assert_double_eq_tol(evaluate(MMCL_METRIC_CKA_DEBIASED, &factors, &factors, 0), 1, 1e-12);
    ck_assert_double_lt(evaluate(MMCL_METRIC_PROCRUSTES, &factors, &factors, 0), 1e-12);
    ck_assert_double_gt(evaluate(MMCL_METRIC_PROCRUSTES, &random, &factors, 0), 0.95);
    ck_assert_double_lt(fabs(evaluate(MMCL_METRIC_CKA_DEBIASED, &random, &factors, 0)), 0.02);
    ck_assert_double_gt(evaluate(MMCL_METRIC_MIG, &factors, &factors, 0), 0.7);
    ck_assert_double_gt(evaluate(MMCL_METRIC_MODULARITY, &factors, &factors, 0), 0.95);
    ck_assert_double_gt(evaluate(MMCL_METRIC_SAP, &factors, &factors, 0), 0.95);
    for (mmcl_metric_kind kind = MMCL_METRIC_MIG; kind <= MMCL_METRIC_SAP; kind += 2)
        ck_assert_double_lt(evaluate(kind, &random, &factors, 0), 0.05);
}
END_TEST

/* A rotation of the factors has no orthogonality defect, scaled axes have no permutation defect, and each has the other. */
START_TEST(defects_tell_the_theorems_apart)
{
    static double z[N * 2], rotated[N * 2], scaled[N * 2];
    const double  c = cos(M_PI / 4);
    uint64_t      state = 7;
    for (int i = 0; i < N; i++) {
        double a = noise(&state), b = noise(&state);
        z[2 * i] = a, z[2 * i + 1] = b;
        rotated[2 * i] = 3 * c * (a - b), rotated[2 * i + 1] = 3 * c * (a + b);
        scaled[2 * i] = -3 * b, scaled[2 * i + 1] = 5 + a;
    }
    mmcl_matrix factors = f64(z, N, 2), turned = f64(rotated, N, 2), axes = f64(scaled, N, 2);
    ck_assert_double_le(evaluate(MMCL_METRIC_ORTHOGONALITY_DEFECT, &turned, &factors, 0), 1e-6);
    ck_assert_double_eq_tol(evaluate(MMCL_METRIC_PERMUTATION_DEFECT, &turned, &factors, 0), 0.5, 0.05);
    ck_assert_double_le(evaluate(MMCL_METRIC_PERMUTATION_DEFECT, &axes, &factors, 0), 1e-12);
    ck_assert_double_eq_tol(evaluate(MMCL_METRIC_ORTHOGONALITY_DEFECT, &axes, &factors, 0), sqrt(1 - 16.0 / 20), 1e-6);
}
END_TEST

/* The spread of a correlation r over resamples, for normal variables: (1 - r^2) / sqrt(n). */
START_TEST(intervals_have_the_width_of_theory)
{
    static double z[N], y[N];
    uint64_t      state = 3;
    for (int i = 0; i < N; i++) {
        double sum[2] = {0, 0};
        for (int j = 0; j < 24; j++)
            sum[j % 2] += noise(&state);
        z[i] = sum[0], y[i] = 0.6 * sum[0] + 0.8 * sum[1];
    }
    mmcl_matrix         codes = f64(y, N, 1), factors = f64(z, N, 1);
    mmcl_metric_options options = {.struct_size = sizeof options, .resamples = 400, .confidence = 0.9};
    mmcl_metric_result  result = {.struct_size = sizeof result}, again = {.struct_size = sizeof again};
    OK(mmcl_metric_evaluate(context, MMCL_METRIC_MCC, &codes, &factors, &options, &result, NULL));
    OK(mmcl_metric_evaluate(context, MMCL_METRIC_MCC, &codes, &factors, &options, &again, NULL));
    ck_assert(memcmp(&result, &again, sizeof result) == 0);
    ck_assert_double_eq_tol((result.high - result.low) / 2 / 1.645, (1 - result.value * result.value) / sqrt(N), 0.006);
    ck_assert_double_lt(result.low, result.value);
    ck_assert_double_gt(result.high, result.value);
    ck_assert_uint_eq(result.resamples, 400);
    for (mmcl_metric_kind kind = MMCL_METRIC_R2; kind <= MMCL_METRIC_SAP; kind++) {
        if (kind == MMCL_METRIC_MODULARITY || kind == MMCL_METRIC_PERMUTATION_DEFECT || kind == MMCL_METRIC_ORTHOGONALITY_DEFECT)
            continue; /* of one factor: nothing, or always 0 */
        options.holdout = kind == MMCL_METRIC_R2 || kind == MMCL_METRIC_MCC_WEAK ? 0.5 : 0;
        OK(mmcl_metric_evaluate(context, kind, &codes, &factors, &options, &result, NULL));
        ck_assert_uint_eq(result.resamples, 400);
        ck_assert_msg(result.low < result.value && result.value < result.high, "kind %d: %g, %g to %g", kind, result.value, result.low,
                      result.high);
    }
}
END_TEST

/* For evenly spread values ranks are almost the values. */
START_TEST(intervals_of_ranks_are_as_wide_as_of_values)
{
    static double z[N], y[N];
    uint64_t      state = 9;
    for (int i = 0; i < N; i++) {
        z[i] = floor(20 * noise(&state));
        y[i] = z[i] + floor(10 * noise(&state));
    }
    mmcl_matrix         codes = f64(y, N, 1), factors = f64(z, N, 1);
    mmcl_metric_options options = {.struct_size = sizeof options, .resamples = 300};
    mmcl_metric_result  ranks = {.struct_size = sizeof ranks}, plain = {.struct_size = sizeof plain};
    OK(mmcl_metric_evaluate(context, MMCL_METRIC_MCC_SPEARMAN, &codes, &factors, &options, &ranks, NULL));
    OK(mmcl_metric_evaluate(context, MMCL_METRIC_MCC, &codes, &factors, &options, &plain, NULL));
    ck_assert_double_eq_tol(ranks.high - ranks.low, plain.high - plain.low, 0.2 * (plain.high - plain.low));
}
END_TEST

static void refused(mmcl_status status, const char *words, mmcl_metric_kind kind, mmcl_matrix codes, mmcl_matrix factors)
{
    mmcl_metric_result result = {.struct_size = sizeof result, .value = 42};
    ck_assert_int_eq(mmcl_metric_evaluate(context, kind, &codes, &factors, NULL, &result, NULL), status);
    ck_assert_msg(strstr(mmcl_context_message(context), words) != NULL, "%s", mmcl_context_message(context));
    ck_assert_double_eq(result.value, 42);
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
    refused(MMCL_E_INVAL, "expected at least 2 for modularity", MMCL_METRIC_MODULARITY, codes, first);
    refused(MMCL_E_NUMERIC, "expected at least 4", MMCL_METRIC_CKA_DEBIASED, f64(c, 3, 2), f64((double[]){1, 0, 2}, 3, 1));
    refused(MMCL_E_NUMERIC, "fit any 3 rows", MMCL_METRIC_MCC_WEAK, f64((double[]){1, 5, 2, 3, 7, 3}, 3, 2), f64((double[]){1, 0, 2}, 3, 1));
    refused(MMCL_E_NUMERIC, "factors: 2 columns, but only 1", MMCL_METRIC_ORTHOGONALITY_DEFECT, codes,
            f64((double[]){1, 2, 2, 4, 5, 10, 3, 6}, 4, 2));
}
END_TEST

START_TEST(options_that_a_metric_lacks_are_named)
{
    double              c[] = {1, 5, 2, 3, 3, 3, 4, 9}, f[] = {0.5, 1, 2, 4}, wide[] = {0, 1, 2, 70000}, buffer[8];
    uint64_t            assignment[1];
    mmcl_matrix         codes = f64(c, 4, 2), factors = f64(f, 4, 1), spread = f64(wide, 4, 1);
    mmcl_metric_details details[] = {{.per_factor = buffer}, {.matrix = buffer}, {.assignment = assignment}, {0}, {0}, {0}, {0}, {0}, {0}, {0}, {0}};
    mmcl_metric_options options[] = {{0}, {0}, {0}, {.holdout = 0.5}, {.bins = 10}, {.discrete = 1}, {.bins = 1}, {.discrete = 2}, {.bins = 65537},
                                     {.discrete = 1},
                                     {.discrete = 1}};
    const mmcl_metric_kind kinds[] = {MMCL_METRIC_CKA, MMCL_METRIC_MCC_WEAK, MMCL_METRIC_SAP, MMCL_METRIC_MIG, MMCL_METRIC_MCC, MMCL_METRIC_SAP,
                                      MMCL_METRIC_MIG, MMCL_METRIC_MIG, MMCL_METRIC_MIG, MMCL_METRIC_MIG, MMCL_METRIC_MIG};
    const char *const      words[] = {"per_factor", "matrix", "assignment", "holdout: 0.5", "bins: 10", "discrete: 1", "bins: 1, expected 2",
                                      "discrete: 2", "bins: 65537", "column 0 holds values that are not whole", "spans 70001 classes"};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        mmcl_metric_result result = {.struct_size = sizeof result};
        options[i].struct_size    = sizeof *options;
        details[i].struct_size    = sizeof *details;
        ck_assert_int_ne(mmcl_metric_evaluate(context, kinds[i], &codes, i == 10 ? &spread : &factors, &options[i], &result, &details[i]), MMCL_OK);
        ck_assert_msg(strstr(mmcl_context_message(context), words[i]) != NULL, "%zu: %s", i, mmcl_context_message(context));
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("metrics");
    TCase *tests = tcase_create("metrics");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, equals_scikit_learn);
    tcase_add_test(tests, extremes);
    tcase_add_test(tests, defects_tell_the_theorems_apart);
    tcase_add_test(tests, intervals_have_the_width_of_theory);
    tcase_add_test(tests, information_equals_scikit_learn);
    tcase_add_test(tests, intervals_of_ranks_are_as_wide_as_of_values);
    tcase_add_test(tests, options_that_a_metric_lacks_are_named);
    tcase_add_test(tests, bad_input_is_named);
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
