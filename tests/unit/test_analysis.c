#include <mmcl/mmcl.h>

#include "fixture.h"
#include "analysis/analysis.h"
#include "core/rng.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --------------------------------------------------------------------------------------------------------- linkage --- */

enum { MOST = 60 };

/* Merges the two most similar clusters, by the mean over all pairs of their items, until `wanted` are left. */
static void naive_linkage(size_t n, const float *similarity, size_t wanted, uint32_t *label)
{
    for (size_t i = 0; i < n; i++)
        label[i] = (uint32_t) i;
    for (size_t left = n; left > wanted; left--) {
        double   best = -1;
        uint32_t a = 0, b = 0;
        for (uint32_t p = 0; p < n; p++)
            for (uint32_t q = p + 1; q < n; q++) {
                double sum = 0, count = 0;
                for (size_t i = 0; i < n; i++)
                    for (size_t j = 0; j < n; j++)
                        if (label[i] == p && label[j] == q)
                            sum += (double) similarity[i * n + j], count++;
                if (count > 0 && sum / count > best)
                    best = sum / count, a = p, b = q;
            }
        for (size_t i = 0; i < n; i++)
            if (label[i] == b)
                label[i] = a;
    }
}

START_TEST(linkage_equals_its_definition)
{
    mmcl__numpy_rng rng;
    mmcl__numpy_seed(&rng, 4);
    for (size_t n = 2; n <= MOST; n += 1 + n / 4)
        for (size_t wanted = 1; wanted <= n; wanted += 1 + wanted / 2) {
            float    similarity[MOST * MOST], worn[MOST * MOST];
            uint32_t label[MOST], expected[MOST];
            for (size_t i = 0; i < n; i++)
                for (size_t j = 0; j <= i; j++)
                    similarity[i * n + j] = similarity[j * n + i] = (float) mmcl__numpy_uniform(&rng);
            memcpy(worn, similarity, n * n * sizeof *worn);
            OK(mmcl__average_linkage(context, n, worn, wanted, label));
            naive_linkage(n, similarity, wanted, expected);
            for (size_t i = 0; i < n; i++) {
                ck_assert_uint_lt(label[i], wanted);
                for (size_t j = 0; j < n; j++)
                    ck_assert_msg((label[i] == label[j]) == (expected[i] == expected[j]), "%zu items, %zu clusters: %zu and %zu", n, wanted, i, j);
            }
        }
}
END_TEST

/* ------------------------------------------------------------------------------------------------------- stability --- */

enum { N = 4000, D = 8, SOURCES = 5 };

static double rows[N * D], sources[N * D];

/* Five Laplace or uniform sources and three normal ones, mixed. */
static mmcl_matrix mixed_rows(void)
{
    mmcl__numpy_rng rng;
    double          mixing[D * D];
    mmcl__numpy_seed(&rng, 11);
    for (size_t i = 0; i < D * D; i++)
        mixing[i] = mmcl__numpy_normal(&rng);
    for (size_t i = 0; i < N; i++)
        for (size_t j = 0; j < D; j++) {
            double u = 2 * mmcl__numpy_uniform(&rng) - 1, normal = mmcl__numpy_normal(&rng);
            sources[i * D + j] = j >= SOURCES ? normal : j % 2 == 0 ? copysign(log1p(-fabs(u)), u) : u;
        }
    for (size_t i = 0; i < N; i++)
        for (size_t c = 0; c < D; c++) {
            rows[i * D + c] = 3;
            for (size_t j = 0; j < D; j++)
                rows[i * D + c] += sources[i * D + j] * mixing[j * D + c];
        }
    return (mmcl_matrix){.data = rows, .rows = N, .cols = D, .dtype = MMCL_F64};
}

static mmcl_stability *analyse(const mmcl_matrix *matrix, mmcl_ica_algorithm algorithm, uint32_t bootstrap, double index[D], double size[D])
{
    mmcl_stability              *stability;
    const mmcl_step_options      step    = {.struct_size = sizeof step, .kind = MMCL_STEP_ICA, .algorithm = algorithm,
                                            .tolerance = 1e-5, .max_iterations = 300};
    const mmcl_stability_options options = {.struct_size = sizeof options, .step = &step, .runs = 8, .seed = 3, .bootstrap = bootstrap};
    mmcl_stability_info          info    = {.struct_size = sizeof info};
    OK(mmcl_stability_create(&stability, context, matrix, 1, &options));
    OK(mmcl_stability_get_info(stability, &info));
    ck_assert(info.rows == N && info.inputs == D && info.components == D && info.runs == 8);
    OK(mmcl_stability_field(stability, MMCL_STABILITY_INDEX, index, D, NULL));
    OK(mmcl_stability_field(stability, MMCL_STABILITY_SIZE, size, D, NULL));
    return stability;
}

/* Every start finds the sources that are not normal, and resampled rows move only the normal ones. */
START_TEST(sources_are_stable_and_noise_is_not)
{
    mmcl_matrix matrix = mixed_rows();
    for (mmcl_ica_algorithm algorithm = MMCL_ICA_FASTICA; algorithm <= MMCL_ICA_PICARD; algorithm += MMCL_ICA_PICARD) {
        double          index[D], size[D];
        mmcl_transform *transform;
        float          *codes = malloc(N * SOURCES * sizeof *codes);
        mmcl_stability *stability = analyse(&matrix, algorithm, 1, index, size);
        for (size_t c = 0; c < D; c++) {
            ck_assert_msg(c < SOURCES ? index[c] > 0.9 : index[c] < 0.75, "component %zu: index %g", c, index[c]);
            ck_assert(c == 0 || index[c] <= index[c - 1]);
            ck_assert(c >= SOURCES || size[c] == 8);
        }
        OK(mmcl_stability_transform(stability, 0.9, &transform));
        mmcl_stability_destroy(stability);
        OK(mmcl_transform_apply(transform, &matrix, codes, 0));
        const mmcl_matrix  coded = {.data = codes, .rows = N, .cols = SOURCES};
        const mmcl_matrix  truth = {.data = sources, .rows = N, .cols = SOURCES, .row_stride = D, .dtype = MMCL_F64};
        mmcl_metric_result mcc = {.struct_size = sizeof mcc};
        OK(mmcl_metric_evaluate(context, MMCL_METRIC_MCC, &coded, &truth, NULL, &mcc, NULL));
        ck_assert_double_gt(mcc.value, 0.99);
        mmcl_transform_destroy(transform);
        free(codes);
    }
}
END_TEST

/* Without resampling, starts alone: the same again from the same seed, and for another number of threads, which then take a start each. */
START_TEST(same_seed_same_bits)
{
    mmcl_matrix   matrix = mixed_rows();
    mmcl_context *first = context, *threaded;
    double        index[2][D], size[2][D], cluster[2][8 * D], maps[2][D * D];
    OK(mmcl_context_create(&threaded, &(mmcl_context_options){.struct_size = sizeof(mmcl_context_options), .threads = 3}));
    for (int i = 0; i < 2; i++) {
        context = i == 0 ? first : threaded;
        mmcl_stability *stability = analyse(&matrix, (mmcl_ica_algorithm) _i, 0, index[i], size[i]);
        size_t          needed;
        OK(mmcl_stability_field(stability, MMCL_STABILITY_CLUSTER, NULL, 0, &needed));
        ck_assert_uint_eq(needed, 8 * D);
        OK(mmcl_stability_field(stability, MMCL_STABILITY_CLUSTER, cluster[i], needed, NULL));
        OK(mmcl_stability_field(stability, MMCL_STABILITY_MATRIX, maps[i], D * D, NULL));
        for (size_t j = 0; j < needed; j++)
            ck_assert(cluster[i][j] >= 0 && cluster[i][j] < D);
        mmcl_stability_destroy(stability);
    }
    context = first;
    mmcl_context_destroy(threaded);
    ck_assert(memcmp(index[0], index[1], sizeof *index) == 0 && memcmp(cluster[0], cluster[1], sizeof *cluster) == 0);
    ck_assert(memcmp(maps[0], maps[1], sizeof *maps) == 0);
}
END_TEST

/* Stops at the third event of the runs: by the flag, or by a verdict. */
struct watcher {
    mmcl_context *context;
    bool          flag;
    size_t        events, finals;
    mmcl_status   outcome;
};

static int32_t watch(void *user, const mmcl_progress *progress)
{
    struct watcher *watcher = user;
    if (strcmp(progress->operation, "stability") != 0) /* the whitening before them */
        return 0;
    watcher->finals += progress->finished;
    watcher->outcome = progress->status;
    if (progress->finished || ++watcher->events < 3)
        return 0;
    if (watcher->flag)
        mmcl_context_cancel(watcher->context);
    return !watcher->flag;
}

START_TEST(side_by_side_stops_when_told)
{
    mmcl_matrix                  matrix  = mixed_rows();
    const mmcl_step_options      step    = {.struct_size = sizeof step, .kind = MMCL_STEP_ICA, .algorithm = MMCL_ICA_PICARD, .tolerance = 1e-9};
    const mmcl_stability_options options = {.struct_size = sizeof options, .step = &step, .runs = 8};
    mmcl_stability              *stability;
    mmcl_context                *threaded;
    OK(mmcl_context_create(&threaded, &(mmcl_context_options){.struct_size = sizeof(mmcl_context_options), .threads = 2}));
    struct watcher watcher = {.context = threaded, .flag = _i == 0};
    mmcl_context_set_progress(threaded, watch, &watcher);
    ck_assert_int_eq(mmcl_stability_create(&stability, threaded, &matrix, 1, &options), MMCL_E_CANCELLED);
    ck_assert_ptr_null(stability);
    ck_assert_ptr_nonnull(strstr(mmcl_context_message(threaded), watcher.flag ? "mmcl_context_cancel" : "progress callback"));
    ck_assert(watcher.events == 3 && watcher.finals == 1 && watcher.outcome == MMCL_E_CANCELLED);
    mmcl_context_destroy(threaded);
}
END_TEST

/* ------------------------------------------------------------------------------------------------------------ axes --- */

enum { LATENT = 8, SAMPLES = 4000 };

/* Latents of a model under a random rotation, each row at norm 1, as a contrastive encoder gives them. */
static double axes_score(mmcl_space space, uint64_t seed)
{
    static float             z[SAMPLES * LATENT], x[SAMPLES * LATENT];
    double                   q[LATENT * LATENT];
    mmcl__numpy_rng          rng;
    mmcl_model              *model;
    const mmcl_model_options options = {.struct_size = sizeof options, .space = space, .latent = LATENT, .mixing = MMCL_MIXING_IDENTITY};
    const mmcl_samples       samples = {.struct_size = sizeof samples, .rows = SAMPLES, .z_x = z};
    const mmcl_matrix        matrix  = {.data = x, .rows = SAMPLES, .cols = LATENT};
    const mmcl_axes_options  how     = {.struct_size = sizeof how, .seed = seed};
    mmcl_axes_info           info    = {.struct_size = sizeof info};
    OK(mmcl_model_create(&model, context, &options));
    OK(mmcl_model_sample(model, seed, 0, &samples));
    mmcl_model_destroy(model);
    mmcl__numpy_seed(&rng, (uint32_t) seed);
    for (size_t i = 0; i < LATENT * LATENT; i++)
        q[i] = mmcl__numpy_normal(&rng);
    ck_assert_int_eq(mmcl__decorrelate(context, LATENT, q), MMCL_OK);
    for (size_t r = 0; r < SAMPLES; r++) {
        double y[LATENT] = {0}, square = 0;
        for (size_t i = 0; i < LATENT; i++) {
            for (size_t j = 0; j < LATENT; j++)
                y[i] += q[i * LATENT + j] * ((double) z[r * LATENT + j] - (space == MMCL_SPACE_BOX ? 0.5 : 0));
            square += y[i] * y[i];
        }
        for (size_t i = 0; i < LATENT; i++)
            x[r * LATENT + i] = (float) (y[i] / sqrt(square));
    }
    OK(mmcl_axes_test(context, &matrix, 1, &how, &info));
    ck_assert(info.fitted_rows + info.judged_rows == SAMPLES && info.components == LATENT && info.rotations == 50 && info.converged == 1);
    ck_assert(info.random_deviation > 0 && info.contrast > 0);
    return info.score;
}

/* The norm gives nothing away: what differs is whether the whitened rows look the same in every rotation. */
START_TEST(boxes_have_axes_and_spheres_have_none)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        double box = axes_score(MMCL_SPACE_BOX, seed), sphere = axes_score(MMCL_SPACE_SPHERE, seed);
        ck_assert_msg(box > 4, "box, seed %d: score %g", (int) seed, box);
        ck_assert_msg(sphere < 4, "sphere, seed %d: score %g", (int) seed, sphere);
    }
}
END_TEST

/* Three directions stand out of unit noise; of noise alone none does. */
START_TEST(parallel_analysis_counts_what_stands_out)
{
    mmcl__numpy_rng rng;
    mmcl__numpy_seed(&rng, 8);
    for (size_t wanted = 0; wanted <= 3; wanted += 3) {
        mmcl_moments *moments;
        uint64_t      components;
        double        values[D], thresholds[D];
        for (size_t i = 0; i < N; i++) {
            double common[3];
            for (size_t k = 0; k < 3; k++)
                common[k] = mmcl__numpy_normal(&rng);
            for (size_t j = 0; j < D; j++)
                rows[i * D + j] = mmcl__numpy_normal(&rng) + (wanted > 0 ? 0.6 * common[j % 3] : 0);
        }
        const mmcl_matrix matrix = {.data = rows, .rows = N, .cols = D, .dtype = MMCL_F64};
        OK(mmcl_moments_create(&moments, context, D));
        OK(mmcl_moments_update(moments, &matrix));
        OK(mmcl_parallel_analysis(moments, NULL, &components, values, thresholds));
        ck_assert_uint_eq(components, wanted);
        for (size_t i = 1; i < D; i++)
            ck_assert(values[i] <= values[i - 1] && thresholds[i] <= thresholds[i - 1]);
        double edge = (1 + sqrt((double) D / N)) * (1 + sqrt((double) D / N)); /* Marchenko and Pastur's, for columns of variance 1 */
        ck_assert_double_eq_tol(thresholds[0] / (wanted > 0 ? 1.36 : 1), edge, 0.05);
        mmcl_moments_destroy(moments);
    }
}
END_TEST

static void refused(mmcl_status want, const char *words, mmcl_stability_options options, size_t n_rows, const mmcl_step_options *step)
{
    mmcl_matrix     matrix    = mixed_rows();
    mmcl_stability *stability = (mmcl_stability *) &matrix;
    matrix.rows               = n_rows;
    options.struct_size       = sizeof options;
    options.step              = step;
    ck_assert_int_eq(mmcl_stability_create(&stability, context, &matrix, 1, &options), want);
    ck_assert_msg(strstr(mmcl_context_message(context), words) != NULL, "%s", mmcl_context_message(context));
    ck_assert_ptr_null(stability);
}

START_TEST(bad_input_is_named)
{
    const mmcl_step_options whiten = {.struct_size = sizeof whiten, .kind = MMCL_STEP_WHITEN},
                            many   = {.struct_size = sizeof many, .kind = MMCL_STEP_ICA, .components = D + 1};
    refused(MMCL_E_INVAL, "runs: 1, expected 2", (mmcl_stability_options){.runs = 1}, N, NULL);
    refused(MMCL_E_INVAL, "bootstrap: 2", (mmcl_stability_options){.bootstrap = 2}, N, NULL);
    refused(MMCL_E_INVAL, "kind 4, expected an ICA step", (mmcl_stability_options){0}, N, &whiten);
    refused(MMCL_E_INVAL, "9 components of 8 columns", (mmcl_stability_options){0}, N, &many);
    refused(MMCL_E_INVAL, "runs: 3000 times 8 components", (mmcl_stability_options){.runs = 3000}, N, NULL);
    refused(MMCL_E_INVAL, "no rows", (mmcl_stability_options){0}, 0, NULL);
    double            index[D], size[D];
    mmcl_matrix       matrix = mixed_rows();
    mmcl_axes_options axes   = {.struct_size = sizeof axes, .rotations = 1};
    mmcl_axes_info    found  = {.struct_size = sizeof found, .score = 42};
    ck_assert_int_eq(mmcl_axes_test(context, &matrix, 1, &axes, &found), MMCL_E_INVAL);
    ck_assert_msg(strstr(mmcl_context_message(context), "rotations: 1") != NULL, "%s", mmcl_context_message(context));
    axes = (mmcl_axes_options){.struct_size = sizeof axes, .holdout = 1e-9};
    ck_assert_int_eq(mmcl_axes_test(context, &matrix, 1, &axes, &found), MMCL_E_INVAL);
    ck_assert_msg(strstr(mmcl_context_message(context), "leaves one side empty") != NULL, "%s", mmcl_context_message(context));
    axes = (mmcl_axes_options){.struct_size = sizeof axes, .holdout = 2e-3};
    ck_assert_int_eq(mmcl_axes_test(context, &matrix, 1, &axes, &found), MMCL_E_NUMERIC);
    ck_assert_msg(strstr(mmcl_context_message(context), "lower rank") != NULL, "%s", mmcl_context_message(context));
    ck_assert_double_eq(found.score, 42);
    mmcl_stability *stability = analyse(&matrix, MMCL_ICA_PICARD, 0, index, size);
    mmcl_transform *transform;
    ck_assert_int_eq(mmcl_stability_transform(stability, 1.5, &transform), MMCL_E_INVAL);
    ck_assert_msg(strstr(mmcl_context_message(context), "least: 1.5") != NULL, "%s", mmcl_context_message(context));
    ck_assert_int_eq(mmcl_stability_field(stability, 77, index, D, NULL), MMCL_E_INVAL);
    ck_assert_int_eq(mmcl_stability_field(stability, MMCL_STABILITY_INDEX, index, D - 1, NULL), MMCL_E_INVAL);
    mmcl_stability_destroy(stability);
}
END_TEST

/* ------------------------------------------------------------------------------------------------------- retrieval --- */

static double cosine(const float *a, const float *b, size_t d)
{
    double ab = 0, aa = 0, bb = 0;
    for (size_t j = 0; j < d; j++)
        ab += (double) a[j] * (double) b[j], aa += (double) a[j] * (double) a[j], bb += (double) b[j] * (double) b[j];
    return aa > 0 && bb > 0 ? ab / sqrt(aa) / sqrt(bb) : 0;
}

static double naive_rank(const float *from, const float *among, size_t n, size_t d, size_t i)
{
    double rank = 0.5, own = cosine(from + i * d, among + i * d, d);
    for (size_t j = 0; j < n; j++) {
        double more = cosine(from + i * d, among + j * d, d) - own;
        rank += more > 1e-12 ? 1 : more >= -1e-12 ? 0.5 : 0;
    }
    return rank;
}

START_TEST(retrieval_equals_its_definition)
{
    enum { n = 300, d = 5 };
    static float        x[n * d], t[n * d];
    static double       ranks[2 * n];
    mmcl__numpy_rng     rng;
    mmcl_retrieval_info info = {.struct_size = sizeof info};
    mmcl__numpy_seed(&rng, 8);
    for (size_t i = 0; i < n * d; i++) {
        x[i] = (float) mmcl__numpy_normal(&rng);
        t[i] = x[i] + 0.5f * (float) mmcl__numpy_normal(&rng);
    }
    for (size_t j = 0; j < d; j++) {
        t[7 * d + j]   = 3 * t[200 * d + j]; /* two partners that look the same */
        x[100 * d + j] = 0;                  /* and one that looks like nothing */
    }
    const mmcl_matrix sides[2] = {{.data = x, .rows = n, .cols = d}, {.data = t, .rows = n, .cols = d}};
    OK(mmcl_retrieval(context, &sides[0], &sides[1], &info, ranks));
    ck_assert_uint_eq(info.pairs, n);
    for (size_t side = 0; side < 2; side++) {
        double first = 0, ten = 0, reciprocal = 0;
        for (size_t i = 0; i < n; i++) {
            double rank = naive_rank(side == 0 ? x : t, side == 0 ? t : x, n, d, i);
            ck_assert_msg(rank == ranks[side * n + i], "side %zu, row %zu: %g, expected %g", side, i, ranks[side * n + i], rank);
            first += rank <= 1, ten += rank <= 10, reciprocal += 1 / rank / n;
        }
        ck_assert_double_eq_tol(info.recall_1[side], first / n, 1e-12);
        ck_assert_double_eq_tol(info.recall_10[side], ten / n, 1e-12);
        ck_assert_double_eq_tol(info.mean_reciprocal_rank[side], reciprocal, 1e-12);
        size_t below = 0, above = 0;
        for (size_t i = 0; i < n; i++)
            below += ranks[side * n + i] < info.median_rank[side], above += ranks[side * n + i] > info.median_rank[side];
        ck_assert(below <= n / 2 && above <= n / 2);
    }
    OK(mmcl_retrieval(context, &sides[0], &sides[0], &info, NULL));
    ck_assert_double_gt(info.recall_1[0], 0.99); /* all but the row of zeros find themselves */
    ck_assert_double_lt(info.recall_1[0], 1);
    const mmcl_matrix other = {.data = t, .rows = n - 1, .cols = d};
    info.median_rank[0]     = 42;
    ck_assert_int_eq(mmcl_retrieval(context, &sides[0], &other, &info, NULL), MMCL_E_INVAL);
    ck_assert_msg(strstr(mmcl_context_message(context), "t: 299 rows of 5 columns, expected 300 of 5") != NULL, "%s", mmcl_context_message(context));
    x[3 * d + 1] = NAN;
    ck_assert_int_eq(mmcl_retrieval(context, &sides[1], &sides[0], &info, NULL), MMCL_E_NUMERIC);
    ck_assert_msg(strstr(mmcl_context_message(context), "t: NaN or infinity in row 3, column 1") != NULL, "%s", mmcl_context_message(context));
    ck_assert_double_eq(info.median_rank[0], 42);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("analysis");
    TCase *tests = tcase_create("analysis");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, linkage_equals_its_definition);
    tcase_add_test(tests, sources_are_stable_and_noise_is_not);
    tcase_add_loop_test(tests, same_seed_same_bits, 0, 4);
    tcase_add_loop_test(tests, side_by_side_stops_when_told, 0, 2);
    tcase_add_test(tests, boxes_have_axes_and_spheres_have_none);
    tcase_add_test(tests, parallel_analysis_counts_what_stands_out);
    tcase_add_test(tests, retrieval_equals_its_definition);
    tcase_add_test(tests, bad_input_is_named);
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
