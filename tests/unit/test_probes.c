/* The probes without text: L2, L1, elastic net, relevances. */
#include "adapt_support.h"

#include "classify/sparse_face.h"
#include "linalg/blas.h"

/* Weights and intercepts of a head fitted at a given C. */
typedef struct solution {
    double w[K * D], b[K];
} solution;

static solution solve(mmcl_method method, const mmcl_adapt_data *data, double c, double ratio, double tolerance, mmcl_adapt_info *info)
{
    const mmcl_adapt_options options = {.struct_size = sizeof options, .c = c, .ratio = ratio, .tolerance = tolerance,
                                        .max_iterations = 20000, .precision = MMCL_PRECISION_F64};
    mmcl_classifier         *head    = fit_head(method, data, &options, info);
    solution                 s;
    OK(mmcl_classifier_weights(head, s.w, s.b));
    mmcl_classifier_destroy(head);
    return s;
}

/* C times the loss; gradient [K, D + 1] of it by weights and intercepts. */
static double loss(const solution *s, double c, double gradient[K * (D + 1)])
{
    double sum = 0;
    memset(gradient, 0, K * (D + 1) * sizeof *gradient);
    for (size_t i = 0; i < N; i++) {
        double z[K], top = -INFINITY, total = 0;
        for (size_t k = 0; k < K; k++) {
            z[k] = s->b[k];
            for (size_t j = 0; j < D; j++)
                z[k] += s->w[k * D + j] * (double) train_x[i * D + j];
            top = fmax(top, z[k]);
        }
        for (size_t k = 0; k < K; k++)
            total += exp(z[k] - top);
        sum += c * (top + log(total) - z[train_y[i]]);
        for (size_t k = 0; k < K; k++) {
            double r = c * (exp(z[k] - top) / total - ((int64_t) k == train_y[i]));
            gradient[k * (D + 1) + D] += r;
            for (size_t j = 0; j < D; j++)
                gradient[k * (D + 1) + j] += r * (double) train_x[i * D + j];
        }
    }
    return sum;
}

static double objective(const solution *s, double c, double ratio)
{
    double gradient[K * (D + 1)], sum = loss(s, c, gradient);
    for (size_t p = 0; p < K * D; p++)
        sum += ratio * fabs(s->w[p]) + 0.5 * (1 - ratio) * s->w[p] * s->w[p];
    return sum;
}

/* 0 in the subdifferential, weight by weight. */
static void check_optimal(const solution *s, double c, double ratio, double tolerance)
{
    double gradient[K * (D + 1)];
    loss(s, c, gradient);
    for (size_t k = 0; k < K; k++) {
        ck_assert_double_eq_tol(gradient[k * (D + 1) + D], 0, tolerance * c);
        for (size_t j = 0; j < D; j++) {
            double w = s->w[k * D + j], g = gradient[k * (D + 1) + j] + (1 - ratio) * w;
            if (w == 0)
                ck_assert_double_le(fabs(g), ratio + tolerance);
            else
                ck_assert_double_eq_tol(g, w > 0 ? -ratio : ratio, tolerance);
        }
    }
}

START_TEST(sparse_solutions_are_optimal)
{
    const double          cs[] = {0.3, 3, 100}, ratios[] = {1, 0.9, 0.3};
    const mmcl_adapt_data data = all_data(NULL);
    for (size_t i = 0; i < 9; i++) {
        double          ratio = ratios[i / 3], c = cs[i % 3];
        mmcl_adapt_info info;
        solution        s = solve(ratio == 1 ? MMCL_METHOD_PROBE_L1 : MMCL_METHOD_PROBE_EN, &data, c, ratio, 1e-8, &info);
        ck_assert_double_le(info.gap, 1e-8);
        ck_assert_int_eq(info.stop, MMCL_STOP_TOLERANCE);
        ck_assert_double_eq_tol(info.objective, objective(&s, c, ratio), 1e-9 * info.objective);
        check_optimal(&s, c, ratio, 2e-3);
    }
}
END_TEST

/* What is called a gap is never less than the distance to the optimum, and shrinks as it is told to. */
START_TEST(gaps_are_bounds)
{
    const mmcl_adapt_data data = all_data(NULL);
    for (int r = 0; r < 2; r++) {
        mmcl_method     method = r ? MMCL_METHOD_PROBE_EN : MMCL_METHOD_PROBE_L1;
        double          ratio  = r ? 0.5 : 1;
        mmcl_adapt_info info;
        solution        exact = solve(method, &data, 30, ratio, 1e-11, &info);
        double          least = objective(&exact, 30, ratio);
        for (double tolerance = 0.3; tolerance > 1e-8; tolerance /= 10) {
            solution s = solve(method, &data, 30, ratio, tolerance, &info);
            ck_assert_double_le(info.gap, tolerance);
            ck_assert_double_ge(info.gap * info.objective, objective(&s, 30, ratio) - least - 1e-9 * least);
        }
    }
}
END_TEST

START_TEST(strong_penalties_leave_nothing)
{
    const mmcl_adapt_data data = all_data(NULL);
    mmcl_adapt_info       info;
    solution              s = solve(MMCL_METHOD_PROBE_L1, &data, 1e-3, 0, 1e-8, &info);
    for (size_t p = 0; p < K * D; p++)
        ck_assert_double_eq(s.w[p], 0);
    ck_assert_uint_eq(info.inputs_used, 0);
    s = solve(MMCL_METHOD_PROBE_L1, &data, 10, 0, 1e-8, &info);
    size_t nonzero = 0;
    for (size_t p = 0; p < K * D; p++)
        nonzero += s.w[p] != 0;
    ck_assert(nonzero > 0 && nonzero < K * D && info.inputs_used <= D && info.inputs_used > 0);
}
END_TEST

/* A little L1 in the elastic net is nearly the L2 probe. */
START_TEST(elastic_net_goes_to_l2)
{
    const mmcl_adapt_data data = all_data(NULL);
    mmcl_adapt_info       info;
    solution              l2 = solve(MMCL_METHOD_PROBE, &data, 2, 0, 1e-12, &info), en = solve(MMCL_METHOD_PROBE_EN, &data, 2, 1e-6, 1e-12, &info);
    for (size_t p = 0; p < K * D; p++)
        ck_assert_double_eq_tol(en.w[p], l2.w[p], 1e-4);
}
END_TEST

/* ------------------------------------------------------------------------------------------- the face of a sparse step --- */

enum { ROWS = 21, INPUTS = 90, CLASSES = 7, FACE = CLASSES * (INPUTS + 1) };

static double  face_x[ROWS * INPUTS];
static int32_t face_labels[ROWS];

/* Columns of mean 0. */
static void make_rows(mmcl__numpy_rng *rng)
{
    for (size_t j = 0; j < INPUTS; j++) {
        double mean = 0;
        for (size_t i = 0; i < ROWS; i++)
            mean += (face_x[i * INPUTS + j] = mmcl__numpy_normal(rng)) / ROWS;
        for (size_t i = 0; i < ROWS; i++)
            face_x[i * INPUTS + j] -= mean;
    }
    for (size_t i = 0; i < ROWS; i++)
        face_labels[i] = (int32_t) (i % CLASSES);
}

/* A face on which a weight in `every` is free, expanded at small weights. */
static void open_face(mmcl__face *face, mmcl__numpy_rng *rng, size_t every, double ridge, double *start)
{
    uint8_t free[CLASSES * INPUTS];
    double  point[FACE];
    make_rows(rng);
    OK(mmcl__face_open(face, context, ROWS, INPUTS, CLASSES, face_x, face_labels));
    for (size_t p = 0; p < CLASSES * INPUTS; p++)
        free[p] = p % every == 0;
    for (size_t p = 0; p < FACE; p++)
        point[p] = 0.2 * mmcl__numpy_normal(rng);
    mmcl__face_choose(face, free);
    mmcl__face_gather(face, point, start);
    OK(mmcl__face_expand(face, 3, ridge, 0, start));
}

/* By lists, where one weight in 19 is free, and by matrix products; some weights are pinned afterwards. */
START_TEST(products_equal_their_reference)
{
    const size_t every[] = {1, 2, 19};
    for (size_t e = 0; e < 3; e++) {
        mmcl__face      face;
        mmcl__numpy_rng rng;
        double          v[FACE], start[FACE], fast[FACE], slow[FACE], scale = 0;
        mmcl__numpy_seed(&rng, (uint32_t) e);
        open_face(&face, &rng, every[e], 0.3, start);
        size_t size = mmcl__face_size(&face);
        for (size_t p = 0; p < size; p++)
            v[p] = p >= CLASSES * face.used || face.free[p] ? mmcl__numpy_normal(&rng) : 0;
        for (size_t p = 0; p < CLASSES * face.used; p += 5)
            face.free[p] = 0;
        OK(mmcl__face_product(&face, v, fast));
        mmcl__face_product_reference(&face, v, slow);
        for (size_t p = 0; p < size; p++)
            scale = fmax(scale, fabs(slow[p]));
        for (size_t p = 0; p < size; p++)
            ck_assert_double_eq_tol(fast[p], slow[p], 1e-12 * scale);
        mmcl__face_close(&face);
    }
}
END_TEST

/* With one class's parameters alone the classes are not coupled: what is left to differ is the intercept's bit of ridge in a large block. */
START_TEST(preconditioners_invert_within_classes)
{
    for (size_t every = 1; every < 9; every += 7) { /* 90 weights a class with the rows that a block keeps, then 12 */
        mmcl__face      face;
        mmcl__numpy_rng rng;
        double          v[FACE], start[FACE], image[FACE], back[FACE], most = 0;
        mmcl__numpy_seed(&rng, 5);
        open_face(&face, &rng, every, 0.3, start);
        for (size_t k = 0; k < CLASSES; k++) {
            size_t size = mmcl__face_size(&face), from = k * face.used, end = from + face.used, intercept = CLASSES * face.used + k;
            for (size_t p = 0; p < size; p++)
                v[p] = (p >= from && p < end && face.free[p]) || p == intercept ? mmcl__numpy_normal(&rng) : 0;
            mmcl__face_product_reference(&face, v, image);
            for (size_t p = 0; p < size; p++)
                image[p] = (p >= from && p < end) || p == intercept ? image[p] : 0;
            OK(mmcl__face_precondition(&face, image, back));
            for (size_t p = 0; p < size; p++)
                most = fmax(most, fabs(back[p] - v[p]));
        }
        ck_assert_double_le(most, every == 1 ? 0.03 : 1e-6);
        mmcl__face_close(&face);
    }
}
END_TEST

START_TEST(probe_is_the_search)
{
    const mmcl_adapt_data data = all_data(NULL);
    mmcl_adapt_info       info;
    mmcl_search_info      found = {.struct_size = sizeof found};
    mmcl_classifier      *head  = fit_head(MMCL_METHOD_PROBE, &data, NULL, &info), *searched;
    double                w[2][K * D], b[2][K];
    OK(mmcl_logreg_search(&searched, context, &data.train, &data.val, K, NULL, &found));
    OK(mmcl_classifier_weights(head, w[0], b[0]));
    OK(mmcl_classifier_weights(searched, w[1], b[1]));
    ck_assert_mem_eq(w[0], w[1], sizeof w[0]);
    ck_assert_mem_eq(b[0], b[1], sizeof b[0]);
    ck_assert_double_eq(info.c, found.c);
    ck_assert_uint_eq(info.flags, MMCL_ADAPT_PARAMETERS_ON_VAL);
    mmcl_classifier_destroy(searched);
    mmcl_classifier_destroy(head);
}
END_TEST

/* Share of squared weights on inputs that say nothing. */
static double share_of_noise(mmcl_method method, const mmcl_adapt_data *data, mmcl_adapt_info *info)
{
    solution s     = solve(method, data, 1, 0, 0, info);
    double   noise = 0, all = 0;
    for (size_t p = 0; p < K * D; p++) {
        all += s.w[p] * s.w[p];
        noise += p % D >= 5 ? s.w[p] * s.w[p] : 0;
    }
    return noise / all;
}

START_TEST(relevances_find_the_inputs_that_matter)
{
    mmcl_adapt_data data = all_data(NULL);
    mmcl_adapt_info info;
    mmcl__numpy_rng rng;
    mmcl__numpy_seed(&rng, 9);
    for (size_t i = 0; i < N * D; i++) /* the class is in the first five inputs, the others are noise */
        train_x[i] = (float) (mmcl__numpy_normal(&rng) + ((int64_t) (i % D) == train_y[i / D] ? 3 : 0));
    data.val.features.rows = 0;
    double plain = share_of_noise(MMCL_METHOD_PROBE, &data, &info), ard = share_of_noise(MMCL_METHOD_PROBE_ARD, &data, &info);
    ck_assert_double_lt(ard, 0.2 * plain);
    ck_assert(info.inputs_used >= 5 && info.inputs_used < D);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("probes");
    TCase *tcase = tcase_create("probes");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, sparse_solutions_are_optimal);
    tcase_add_test(tcase, gaps_are_bounds);
    tcase_add_test(tcase, strong_penalties_leave_nothing);
    tcase_add_test(tcase, elastic_net_goes_to_l2);
    tcase_add_test(tcase, products_equal_their_reference);
    tcase_add_test(tcase, preconditioners_invert_within_classes);
    tcase_add_test(tcase, probe_is_the_search);
    tcase_add_test(tcase, relevances_find_the_inputs_that_matter);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
