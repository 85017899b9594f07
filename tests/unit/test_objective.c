#include <mmcl/mmcl.h>

#include "contrast/objective_reference.h"
#include "core/rng.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS = 3 };

static mmcl_context *contexts[THREADS]; /* of 1, 2, 3 threads */

#define OK_ON(context, call) ck_assert_msg((call) == MMCL_OK, "%s: %s", #call, mmcl_context_message(context))
#define OK(call) OK_ON(contexts[0], call)

static void setup(void)
{
    for (uint32_t i = 0; i < THREADS; i++) {
        const mmcl_context_options options = {.struct_size = sizeof options, .threads = i + 1};
        ck_assert_int_eq(mmcl_context_create(&contexts[i], &options), MMCL_OK);
    }
}

static void teardown(void)
{
    for (size_t i = 0; i < THREADS; i++)
        mmcl_context_destroy(contexts[i]);
}

/* ----------------------------------------------------------------------------------------------------------------- data --- */

/* Pairs x, t [n, d] with t = x + noise, both `offset` away from the origin. */
typedef struct pairs {
    size_t      n, d;
    float      *x, *t, *dx, *dt;
    double     *ref_dx, *ref_dt, *logits;
    int64_t    *groups;
    mmcl_matrix x_view, t_view;
} pairs;

static pairs make_pairs(size_t n, size_t d, double size, double noise, double offset, size_t classes)
{
    mmcl__numpy_rng rng;
    pairs           p = {.n = n, .d = d};
    mmcl__numpy_seed(&rng, (uint32_t) (n + d));
    p.x      = malloc(4 * n * d * sizeof *p.x);
    p.t      = p.x + n * d;
    p.dx     = p.t + n * d;
    p.dt     = p.dx + n * d;
    p.ref_dx = malloc((2 * n * d + 2 * n * n) * sizeof *p.ref_dx);
    p.ref_dt = p.ref_dx + n * d;
    p.logits = p.ref_dt + n * d;
    p.groups = malloc(n * sizeof *p.groups);
    for (size_t i = 0; i < n * d; i++) {
        double value = size * mmcl__numpy_normal(&rng);
        p.x[i]       = (float) (offset + value);
        p.t[i]       = (float) (offset + value + noise * mmcl__numpy_normal(&rng));
    }
    for (size_t i = 0; i < n; i++)
        p.groups[i] = (int64_t) (i * i % (classes > 0 ? classes : n));
    p.x_view = (mmcl_matrix){.data = p.x, .rows = n, .cols = d};
    p.t_view = (mmcl_matrix){.data = p.t, .rows = n, .cols = d};
    return p;
}

static void free_pairs(pairs *p)
{
    free(p->x);
    free(p->ref_dx);
    free(p->groups);
}

/* ------------------------------------------------------------------------------------------------------- against float64 --- */

typedef struct kind {
    const char            *name;
    mmcl_objective_options options;
    double                 scale, bias;
    double                 size, noise, offset; /* of the data */
    uint64_t               blocks;
    size_t                 classes;             /* 0: no groups */
} kind;

#define OPTIONS(...) {.struct_size = sizeof(mmcl_objective_options), __VA_ARGS__}

/* Gradients of pairs that are told apart by more than exp(-70) vanish in float32's range, whatever computes them. */
#define VANISHING 1e-30

static double distance(size_t n, const float *a, const double *b, double *largest)
{
    double square = 0, total = 0;
    *largest = 0;
    for (size_t i = 0; i < n; i++) {
        square += (a[i] - b[i]) * (a[i] - b[i]);
        total += b[i] * b[i];
        *largest = fmax(*largest, fabs(a[i] - b[i]));
    }
    return sqrt(square) / fmax(sqrt(total), VANISHING / 1e-5);
}

static double highest(size_t n, const double *b)
{
    double top = VANISHING / 1e-5;
    for (size_t i = 0; i < n; i++)
        top = fmax(top, fabs(b[i]));
    return top;
}

static double relative(double a, double b)
{
    return fabs(a - b) / fmax(fabs(b), VANISHING / 1e-5);
}

#define NEAR(what, a, b, tolerance)                                                                                    \
    ck_assert_msg((isnan(a) && isnan(b)) || fabs((a) - (b)) <= (tolerance), "%s, %zu x %zu: " what " %.9g, expected %.9g", k->name, \
                  p->n, p->d, a, b)

static void compare(const kind *k, const pairs *p, const mmcl__reference_result *want, const mmcl_objective_info *got, double scale_slope,
                    double bias_slope)
{
    double largest, error = distance(p->n * p->d, p->dx, p->ref_dx, &largest), loss = want->info.loss;
    ck_assert_msg(error < 1e-5, "%s, %zu x %zu: dx is off by %g", k->name, p->n, p->d, error);
    ck_assert_msg(largest < 1e-5 * highest(p->n * p->d, p->ref_dx), "%s, %zu x %zu: an element of dx is off by %g", k->name, p->n, p->d, largest);
    error = distance(p->n * p->d, p->dt, p->ref_dt, &largest);
    ck_assert_msg(error < 1e-5, "%s, %zu x %zu: dt is off by %g", k->name, p->n, p->d, error);
    ck_assert_msg(relative(got->loss, loss) < 1e-5, "%s, %zu x %zu: loss %.9g, expected %.9g", k->name, p->n, p->d, got->loss, loss);
    /* A sum of terms of the size of loss times logit, which cancel. */
    double terms = 0.1 * fmin(loss, 1) * fmax(1, fabs(want->info.alignment));
    NEAR("dlog_scale", scale_slope, want->dlog_scale, 1e-5 * fmax(fabs(want->dlog_scale), terms) + VANISHING);
    NEAR("dbias", bias_slope, want->dbias, 1e-5 * fabs(want->dbias));
    NEAR("alignment", got->alignment, want->info.alignment, 1e-5 * fabs(want->info.alignment));
    NEAR("accuracy_x", got->accuracy_x, want->info.accuracy_x, 1e-12);
    NEAR("accuracy_t", got->accuracy_t, want->info.accuracy_t, 1e-12);
    if (k->options.loss == MMCL_LOSS_SIGLIP)
        return;
    NEAR("entropy_x", got->entropy_x, want->info.entropy_x, 1e-5 * fmax(1, fabs(want->info.entropy_x)));
    NEAR("entropy_t", got->entropy_t, want->info.entropy_t, 1e-5 * fmax(1, fabs(want->info.entropy_t)));
    if (k->options.sides != MMCL_SIDES_T2X)
        NEAR("loss_x", got->loss_x, want->info.loss_x, 1e-5 * fmax(fabs(want->info.loss_x), VANISHING));
    if (k->options.sides != MMCL_SIDES_X2T)
        NEAR("loss_t", got->loss_t, want->info.loss_t, 1e-5 * fmax(fabs(want->info.loss_t), VANISHING));
}

/* Similarities are sums over the dimensions: without this, more of them would leave nothing to learn. */
static double scale_of(const kind *k, size_t d)
{
    return k->options.similarity == MMCL_SIMILARITY_COSINE || d <= 10 ? k->scale : k->scale * 10 / (double) d;
}

/* One kind of objective at one shape: against the definition, and the same bits for every number of threads and any cache. */
static void try_kind(const kind *k, size_t n, size_t d)
{
    pairs                  p = make_pairs(n, d, k->size, k->noise, k->offset, k->classes);
    mmcl_objective_options options = k->options;
    float                 *first = malloc(2 * n * d * sizeof *first);
    const mmcl_objective_input input = {.struct_size = sizeof input, .x = &p.x_view, .t = &p.t_view, .scale = scale_of(k, d), .bias = k->bias,
                                        .groups = k->classes > 0 ? p.groups : NULL,
                                        .blocks = k->blocks > 0 && n % k->blocks == 0 && n > k->blocks ? k->blocks : 0};
    double                 slopes[2], by_scale;
    mmcl_objective_info    info = {.struct_size = sizeof info}, kept = {0};
    mmcl_objective_output  output = {.struct_size = sizeof output, .dx = p.dx, .dt = p.dt, .dscale = &by_scale, .dlog_scale = &slopes[0], .dbias = &slopes[1]};
    mmcl__reference_result want   = {.dx = p.ref_dx, .dt = p.ref_dt};
    mmcl__objective_reference(&options, &input, p.logits, &want);
    for (size_t threads = 0; threads < THREADS + 2; threads++) {
        mmcl_context   *context = contexts[threads % THREADS];
        mmcl_objective *objective;
        options.cache_bytes = threads < THREADS ? 0 : threads == THREADS ? 100000 : 100000000;
        OK_ON(context, mmcl_objective_create(&objective, context, &options));
        OK_ON(context, mmcl_objective_evaluate(objective, &input, &output, &info));
        mmcl_objective_destroy(objective);
        info.seconds = 0;
        info.cached  = 0;
        if (threads == 0) {
            compare(k, &p, &want, &info, slopes[0], slopes[1]);
            ck_assert_double_eq_tol(by_scale * input.scale, slopes[0], 1e-12 * fabs(slopes[0]));
            memcpy(first, p.dx, 2 * n * d * sizeof *first);
            kept = info;
        }
        ck_assert_mem_eq(first, p.dx, 2 * n * d * sizeof *first);
        ck_assert_mem_eq(&kept, &info, sizeof kept);
    }
    free(first);
    free_pairs(&p);
}

static const kind kinds[] = {
    {"dot", OPTIONS(0), 1, 0, 0.5, 0.5, 0, 0, 0},
    {"dot, offset", OPTIONS(0), 1, 0, 0.3, 0.3, 0.5, 0, 0},
    {"dot, almost solved", OPTIONS(0), 4, 0, 1, 0.1, 0, 0, 0},
    {"dot, hard", OPTIONS(0), 0.2, 0, 3, 3, 0, 0, 0},
    {"dot, summed", OPTIONS(.summed = 1), 1, 0, 0.5, 0.5, 0, 0, 0},
    {"dot, x2t", OPTIONS(.sides = MMCL_SIDES_X2T), 1, 0, 0.5, 0.5, 0, 0, 0},
    {"dot, t2x", OPTIONS(.sides = MMCL_SIDES_T2X), 1, 0, 0.5, 0.5, 0, 0, 0},
    {"dot, mean", OPTIONS(.normalizer = MMCL_NORMALIZER_MEAN), 1, 0, 0.5, 0.5, 0, 0, 0},
    {"dot, negatives", OPTIONS(.normalizer = MMCL_NORMALIZER_MEAN_NEGATIVES), 1, 0, 0.5, 0.5, 0, 0, 0},
    {"dot, groups", OPTIONS(0), 1, 0, 0.5, 0.5, 0, 0, 7},
    {"dot, groups, negatives", OPTIONS(.normalizer = MMCL_NORMALIZER_MEAN_NEGATIVES), 1, 0, 0.5, 0.5, 0, 0, 9},
    {"dot, blocks", OPTIONS(0), 1, 0, 0.5, 0.5, 0, 5, 0},
    {"dot, blocks, groups", OPTIONS(0), 1, 0, 0.5, 0.5, 0, 2, 20},
    {"cosine, 1", OPTIONS(.similarity = MMCL_SIMILARITY_COSINE), 1, 0, 2, 1, 0.1, 0, 0},
    {"cosine, 100", OPTIONS(.similarity = MMCL_SIMILARITY_COSINE), 100, 0, 2, 3, 0, 0, 0},
    {"cosine, 100, solved", OPTIONS(.similarity = MMCL_SIMILARITY_COSINE), 100, 0, 2, 0.2, 0, 0, 0},
    {"cosine, 300", OPTIONS(.similarity = MMCL_SIMILARITY_COSINE), 300, 0, 2, 3, 0, 0, 0},
    {"squared", OPTIONS(.similarity = MMCL_SIMILARITY_SQUARED_L2), 0.5, 0, 1, 0.5, 0, 0, 0},
    {"squared, far away", OPTIONS(.similarity = MMCL_SIMILARITY_SQUARED_L2), 0.5, 0, 1, 0.5, 30, 0, 0},
    {"squared, hard", OPTIONS(.similarity = MMCL_SIMILARITY_SQUARED_L2), 2, 0, 1, 2, 0, 0, 0},
    {"l1", OPTIONS(.similarity = MMCL_SIMILARITY_L1), 1, 0, 1, 0.5, 0, 0, 0},
    {"l1, 20", OPTIONS(.similarity = MMCL_SIMILARITY_L1), 20, 0, 0.3, 0.3, 0, 0, 0},
    {"l1, groups", OPTIONS(.similarity = MMCL_SIMILARITY_L1), 1, 0, 1, 0.5, 0, 0, 5},
    {"l1, blocks", OPTIONS(.similarity = MMCL_SIMILARITY_L1), 1, 0, 1, 0.5, 0, 10, 0},
    {"lp 1.5", OPTIONS(.similarity = MMCL_SIMILARITY_LP, .exponent = 1.5), 1, 0, 1, 0.5, 0, 0, 0},
    {"lp 3", OPTIONS(.similarity = MMCL_SIMILARITY_LP, .exponent = 3), 1, 0, 1, 0.5, 0, 0, 0},
    {"lp 4", OPTIONS(.similarity = MMCL_SIMILARITY_LP, .exponent = 4), 0.3, 0, 1, 0.5, 0, 0, 0},
    {"lp 2", OPTIONS(.similarity = MMCL_SIMILARITY_LP, .exponent = 2), 1, 0, 1, 0.5, 0, 0, 0},
    {"siglip", OPTIONS(.loss = MMCL_LOSS_SIGLIP), 1, -3, 0.5, 0.5, 0, 0, 0},
    {"siglip, cosine", OPTIONS(.loss = MMCL_LOSS_SIGLIP, .similarity = MMCL_SIMILARITY_COSINE), 10, -10, 1, 0.5, 0, 0, 0},
    {"siglip, groups, blocks", OPTIONS(.loss = MMCL_LOSS_SIGLIP), 1, -1, 0.5, 0.5, 0, 2, 7},
    {"siglip, l1", OPTIONS(.loss = MMCL_LOSS_SIGLIP, .similarity = MMCL_SIMILARITY_L1), 2, 3, 0.5, 0.2, 0, 0, 0},
};

START_TEST(equals_the_definition)
{
    const struct {
        size_t n, d;
    } shapes[] = {{2, 1}, {5, 3}, {30, 10}, {130, 10}, {700, 10}, {100, 47}, {60, 64}, {600, 64}, {270, 512}};
    /* The cosine of one dimension is a sign, without a gradient. */
    for (size_t i = kinds[_i].options.similarity == MMCL_SIMILARITY_COSINE; i < sizeof shapes / sizeof *shapes; i++)
        try_kind(&kinds[_i], shapes[i].n, shapes[i].d);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("objective");
    TCase *tests = tcase_create("objective");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, equals_the_definition, 0, sizeof kinds / sizeof *kinds);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
