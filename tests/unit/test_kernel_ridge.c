/* Kernel ridge regression against a twin in plain loops. */
#include "adapt_support.h"

/* Solves a x = b by elimination without pivots, for a symmetric positive definite a [N, N] and b [N, K]. */
static void eliminate(double a[N][N], double b[N][K])
{
    for (size_t p = 0; p < N; p++)
        for (size_t i = 0; i < N; i++) {
            double factor = i != p ? a[i][p] / a[p][p] : 0;
            for (size_t j = p; j < N && factor != 0; j++)
                a[i][j] -= factor * a[p][j];
            for (size_t k = 0; k < K && factor != 0; k++)
                b[i][k] -= factor * b[p][k];
        }
    for (size_t i = 0; i < N; i++)
        for (size_t k = 0; k < K; k++)
            b[i][k] /= a[i][i];
}

/* out [n, D] = rows through the transform (NULL: as they are) at unit length, `width` columns. */
static void see(const mmcl_transform *transform, const float *rows, size_t n, size_t width, double *out)
{
    static float      mapped[M * D];
    const mmcl_matrix view = {.data = rows, .rows = n, .cols = D};
    memcpy(mapped, rows, n * D * sizeof *rows);
    if (transform != NULL)
        OK(mmcl_transform_apply(transform, &view, mapped, width));
    for (size_t i = 0; i < n; i++) {
        double square = 0;
        for (size_t j = 0; j < width; j++)
            square += (double) mapped[i * width + j] * (double) mapped[i * width + j];
        for (size_t j = 0; j < width; j++)
            out[i * D + j] = (double) mapped[i * width + j] / sqrt(square);
    }
}

static double kernel_of(double beta, const double *a, const double *b, size_t width)
{
    double cosine = 0;
    for (size_t j = 0; j < width; j++)
        cosine += a[j] * b[j];
    return exp(beta * (cosine - 1));
}

/* Largest difference of scores [M, K] to the twin's. */
static double distance(const mmcl_transform *transform, size_t width, double beta, double c, double alpha, const float *scores)
{
    double        lengths[K] = {0}; /* of the sums of a class's shots in the space of the kernel, squared */
    static double gram[N][N], values[N][K], shots[N * D], val[M * D];
    double        most = 0;
    see(transform, train_x, N, width, shots);
    see(transform, val_x, M, width, val);
    for (size_t i = 0; i < N; i++) {
        for (size_t j = 0; j < N; j++)
            gram[i][j] = kernel_of(beta, shots + i * D, shots + j * D, width) + (i == j ? 1 / c : 0);
        for (size_t k = 0; k < K; k++)
            values[i][k] = (size_t) train_y[i] == k;
    }
    for (size_t i = 0; i < N; i++)
        for (size_t j = 0; j < N; j++)
            if (train_y[i] == train_y[j])
                lengths[train_y[i]] += gram[i][j] - (i == j ? 1 / c : 0);
    eliminate(gram, values);
    for (size_t i = 0; i < N; i++)
        values[i][train_y[i]] += alpha / sqrt(lengths[train_y[i]]);
    for (size_t i = 0; i < M; i++)
        for (size_t k = 0; k < K; k++) {
            double score = 0;
            for (size_t j = 0; j < N; j++)
                score += kernel_of(beta, val + i * D, shots + j * D, width) * values[j][k];
            most = fmax(most, fabs(score - (double) scores[i * K + k]));
        }
    return most;
}

START_TEST(scores_are_those_of_the_formula)
{
    const char *const specs[] = {NULL, "whiten:5", "ica:4"};
    const double      triples[][3] = {{0, 0, 0}, {0.5, 3, 2}, {7, 100, 1e-6}}; /* beta, c and alpha; 0: the defaults, 2, 10 and 0.3 */
    float             scores[M * K];
    for (size_t s = 0; s < sizeof specs / sizeof *specs; s++)
        for (size_t p = 0; p < sizeof triples / sizeof *triples; p++) {
            const mmcl_adapt_options options = {.struct_size = sizeof options, .beta = triples[p][0], .c = triples[p][1], .alpha = triples[p][2]};
            size_t                   width   = D;
            mmcl_adapt_info          info    = {.struct_size = sizeof info};
            mmcl_transform          *transform = specs[s] != NULL ? transform_of(specs[s]) : NULL;
            mmcl_adapt_data          data      = all_data(transform);
            const mmcl_matrix        val       = data.val.features;
            data.val.features.rows = data.text.features.rows = 0;
            if (transform != NULL)
                OK(mmcl_transform_shape(transform, NULL, &width));
            mmcl_classifier *head = fit_head(MMCL_METHOD_KERNEL_RIDGE, &data, &options, &info);
            OK(mmcl_classifier_scores(head, &val, scores, 0));
            ck_assert_double_eq(info.beta, triples[p][0] > 0 ? triples[p][0] : 2);
            ck_assert_double_eq(info.c, triples[p][1] > 0 ? triples[p][1] : 10);
            ck_assert_double_eq(info.alpha, triples[p][2] > 0 ? triples[p][2] : 0.3);
            ck_assert_uint_eq(info.flags & MMCL_ADAPT_PARAMETERS_ON_VAL, 0);
            ck_assert_double_lt(distance(transform, width, info.beta, info.c, info.alpha, scores), 2e-5);
            mmcl_classifier_destroy(head);
            mmcl_transform_destroy(transform);
        }
}
END_TEST

/* Which val rows the head with a fixed pair has right. */
static void right_rows(const mmcl_adapt_data *data, double beta, double c, int32_t right[M])
{
    const mmcl_adapt_options options = {.struct_size = sizeof options, .beta = beta, .c = c};
    mmcl_adapt_info          info    = {.struct_size = sizeof info};
    mmcl_classifier         *head    = fit_head(MMCL_METHOD_KERNEL_RIDGE, data, &options, &info);
    float                    scores[M * K];
    OK(mmcl_classifier_scores(head, &data->val.features, scores, 0));
    ck_assert_uint_eq(info.flags & MMCL_ADAPT_PARAMETERS_ON_VAL, 0);
    for (size_t i = 0; i < M; i++) {
        int64_t best = 0;
        for (int64_t k = 1; k < K; k++)
            best = scores[i * K + k] > scores[i * K + best] ? k : best;
        right[i] = best == data->val.labels[i];
    }
    mmcl_classifier_destroy(head);
}

/* The rule in plain loops: the defaults stay unless a pair is right on more val rows by more than the root of how many rows the two differ on. */
static void choose(mmcl_adapt_data data, double *chosen_beta, double *chosen_c)
{
    const double     betas[] = {2, 1, 4}, ridges[] = {10, 3, 30, 100};
    int32_t          right[M], defaults[M];
    mmcl_adapt_info  info = {.struct_size = sizeof info};
    mmcl_classifier *head = fit_head(MMCL_METHOD_KERNEL_RIDGE, &data, NULL, &info);
    double           best = 0, beta = 2, c = 10;
    ck_assert(info.flags & MMCL_ADAPT_PARAMETERS_ON_VAL);
    mmcl_classifier_destroy(head);
    right_rows(&data, 2, 10, defaults);
    for (size_t p = 0; p < 12; p++) {
        double gain = 0, differ = 0;
        right_rows(&data, betas[p / 4], ridges[p % 4], right);
        for (size_t i = 0; i < M; i++) {
            gain += right[i] - defaults[i];
            differ += right[i] != defaults[i];
        }
        if (gain - sqrt(differ) > best) {
            best = gain - sqrt(differ);
            beta = betas[p / 4];
            c    = ridges[p % 4];
        }
    }
    ck_assert_double_eq(info.beta, beta);
    ck_assert_double_eq(info.c, c);
    *chosen_beta = beta;
    *chosen_c    = c;
}

START_TEST(val_rows_have_to_tell_against_the_defaults)
{
    const mmcl_adapt_options sharp = {.struct_size = sizeof sharp, .beta = 4, .c = 100};
    mmcl_adapt_data          data  = all_data(NULL);
    double                   beta, c;
    int64_t                  labels[M];
    choose(data, &beta, &c);
    mmcl_classifier *head = fit_head(MMCL_METHOD_KERNEL_RIDGE, &data, &sharp, NULL);
    OK(mmcl_classifier_predict(head, &data.val.features, NULL, labels));
    mmcl_classifier_destroy(head);
    data.val.labels = labels; /* of which beta 4, c 100 has every one right */
    choose(data, &beta, &c);
    ck_assert(beta != 2 || c != 10);
}
END_TEST

/* With a large c and a sharp kernel every shot is right: the values interpolate the labels. */
START_TEST(shots_are_interpolated)
{
    const mmcl_adapt_options options = {.struct_size = sizeof options, .beta = 20, .c = 1e8};
    mmcl_adapt_data          data    = all_data(NULL);
    double                   accuracy;
    data.val.features.rows = 0;
    mmcl_classifier *head  = fit_head(MMCL_METHOD_KERNEL_RIDGE, &data, &options, NULL);
    OK(mmcl_classifier_accuracy(head, &data.train, NULL, &accuracy));
    ck_assert_double_eq(accuracy, 1);
    ck_assert_int_ne(mmcl_classifier_weights(head, NULL, NULL), MMCL_OK); /* not linear */
    mmcl_classifier_destroy(head);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("kernel_ridge");
    TCase *tcase = tcase_create("kernel_ridge");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, scores_are_those_of_the_formula);
    tcase_add_test(tcase, val_rows_have_to_tell_against_the_defaults);
    tcase_add_test(tcase, shots_are_interpolated);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
