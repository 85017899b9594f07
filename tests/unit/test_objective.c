#include <mmcl/mmcl.h>

#include "suite.h"
#include "contrast/kernels.h"
#include "contrast/objective_reference.h"
#include "core/rng.h"

#include <check.h>
#include <math.h>
#include <pthread.h>
#include <stdbool.h>
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
    {"cosine, 30, solved", OPTIONS(.similarity = MMCL_SIMILARITY_COSINE), 30, 0, 2, 0.5, 0, 0, 0},
    {"cosine, 300", OPTIONS(.similarity = MMCL_SIMILARITY_COSINE), 300, 0, 2, 20, 0, 0, 0},
    {"squared", OPTIONS(.similarity = MMCL_SIMILARITY_SQUARED_L2), 0.5, 0, 1, 0.5, 0, 0, 0},
    {"squared, far away", OPTIONS(.similarity = MMCL_SIMILARITY_SQUARED_L2), 0.5, 0, 1, 0.5, 30, 0, 0},
    {"squared, hard", OPTIONS(.similarity = MMCL_SIMILARITY_SQUARED_L2), 2, 0, 1, 2, 0, 0, 0},
    {"l1", OPTIONS(.similarity = MMCL_SIMILARITY_L1), 1, 0, 1, 0.5, 0, 0, 0},
    {"l1, 20", OPTIONS(.similarity = MMCL_SIMILARITY_L1), 20, 0, 0.3, 0.6, 0, 0, 0},
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
    } shapes[] = {{2, 1}, {5, 3}, {30, 10}, {130, 10}, {330, 10}, {100, 47}, {60, 64}, {400, 64}, {140, 300}};
    /* The cosine of one dimension is a sign, without a gradient. */
    for (size_t i = kinds[_i].options.similarity == MMCL_SIMILARITY_COSINE; i < sizeof shapes / sizeof *shapes; i++) {
        const size_t n = shapes[i].n, d = shapes[i].d;
        bool         slow = kinds[_i].options.exponent != floor(kinds[_i].options.exponent); /* minutes under a sanitizer */
        if (!slow || n * n * d < 4000000)
            try_kind(&kinds[_i], n, d);
    }
}
END_TEST

/* --------------------------------------------------------------------------------------------------- finite differences --- */

typedef struct probe {
    mmcl_objective      *objective;
    mmcl_objective_input input;
} probe;

static double loss_of(const probe *at)
{
    mmcl_objective_info info = {.struct_size = sizeof info};
    OK(mmcl_objective_evaluate(at->objective, &at->input, NULL, &info));
    return info.loss;
}

#define STEP (1.0 / 64)

/* The derivative of the loss by *narrow or *wide (the other is NULL), from four evaluations: its error is of fourth order in the step. */
static double difference(const probe *at, float *narrow, double *wide)
{
    const double moves[] = {1, -1, 2, -2, 0};
    double       losses[5], kept = narrow != NULL ? (double) *narrow : *wide;
    for (int m = 0; m < 5; m++) { /* the last puts it back */
        if (narrow != NULL)
            *narrow = (float) (kept + moves[m] * STEP);
        else
            *wide = kept + moves[m] * STEP;
        losses[m] = loss_of(at);
    }
    return (8 * (losses[0] - losses[1]) - (losses[2] - losses[3])) / (12 * STEP);
}

/* Coordinates on grids that are a quarter apart, so that no step crosses a kink of |x - t|. */
static void put_on_grids(pairs *p)
{
    for (size_t i = 0; i < p->n * p->d; i++) {
        size_t a = i * i + 3 * i + i / 7, b = i * i * 5 + i / 3;
        p->x[i]  = (float) (a % 4) / 2 - 0.75f;
        p->t[i]  = i % p->d == 0 ? (b % 2 == 0 ? 0.5f : -0.5f) : (float) (b % 3) / 2 - 0.5f;
    }
}

START_TEST(equals_difference_quotients)
{
    enum { N = 10, D = 3 };
    const kind *k = &kinds[_i];
    pairs       p = make_pairs(N, D, 1, 1, 0, k->classes);
    double      slopes[2], wanted[2], largest = 0;
    probe       at = {.input = {.struct_size = sizeof at.input, .x = &p.x_view, .t = &p.t_view, .scale = 0.7, .bias = k->bias / 4,
                                .groups = k->classes > 0 ? p.groups : NULL, .blocks = k->blocks < N ? k->blocks : 0}};
    const mmcl_objective_output output = {.struct_size = sizeof output, .dx = p.dx, .dt = p.dt, .dlog_scale = &slopes[0], .dbias = &slopes[1]};
    put_on_grids(&p);
    OK(mmcl_objective_create(&at.objective, contexts[0], &k->options));
    OK(mmcl_objective_evaluate(at.objective, &at.input, &output, NULL));
    for (size_t i = 0; i < 2 * N * D; i++) /* dt lies behind dx, as t behind x */
        largest = fmax(largest, fabs((double) p.dx[i]));
    for (size_t i = 0; i < 2 * N * D; i++) {
        double quotient = difference(&at, &p.x[i], NULL);
        ck_assert_msg(fabs(p.dx[i] - quotient) < 1e-3 * largest, "%s, d%c[%zu]: %g, difference quotient %g", k->name, i < N * D ? 'x' : 't',
                      i % (N * D), (double) p.dx[i], quotient);
    }
    wanted[0] = difference(&at, NULL, &at.input.log_scale);
    wanted[1] = k->options.loss == MMCL_LOSS_SIGLIP ? difference(&at, NULL, &at.input.bias) : 0;
    for (int i = 0; i < 2; i++)
        ck_assert_msg(fabs(slopes[i] - wanted[i]) < 1e-3 * fmax(largest, fabs(wanted[i])), "%s, %s: %g, difference quotient %g", k->name,
                      i == 0 ? "dlog_scale" : "dbias", slopes[i], wanted[i]);
    mmcl_objective_destroy(at.objective);
    free_pairs(&p);
}
END_TEST

/* ---------------------------------------------------------------------------------------------------------- the kernels --- */

/* Fast kernels and their twins on the same strip, of every number of rows up to 9. */
static void near_all(const char *what, size_t n, const float *a, const float *b, float size)
{
    for (size_t i = 0; i < n; i++)
        if (!(fabsf(a[i] - b[i]) <= 4e-6f * size))
            ck_abort_msg("%s[%zu]: %.9g, expected %.9g", what, i, (double) a[i], (double) b[i]);
}

enum { R = 9, W = 48, K = 7 };

START_TEST(kernels_equal_reference)
{
    const mmcl__contrast_kernels *fast = mmcl__contrast_kernel(), *slow = &mmcl__contrast_kernel_reference;
    mmcl__numpy_rng               rng;
    float                         x[R * K], t[K * W], row[R], col[W], d[2][R * W + 1], dx[2][R * K + 1], dt[2][K * W + 1], top[2][R], tops[2][W];
    float                         totals[2][3 * R];
    mmcl__numpy_seed(&rng, 3);
    for (size_t i = 0; i < R * K; i++)
        x[i] = (float) mmcl__numpy_normal(&rng);
    for (size_t i = 0; i < K * W; i++)
        t[i] = i % 11 == 0 && i / W < R ? x[i / W] : (float) mmcl__numpy_normal(&rng);
    for (size_t i = 0; i < R; i++)
        row[i] = 0.5f + (float) mmcl__numpy_uniform(&rng);
    for (size_t j = 0; j < W; j++)
        col[j] = 0.5f + (float) mmcl__numpy_uniform(&rng);
    for (int term = 0; term < MMCL__TERMS; term++)
        for (size_t rows = 1; rows <= R; rows++) {
            for (int k = 0; k < 2; k++) {
                const mmcl__contrast_kernels *use = k == 0 ? fast : slow;
                memset(d[k], 0, sizeof d[k]);
                memset(dx[k], 0, sizeof dx[k]);
                memset(dt[k], 0, sizeof dt[k]);
                d[k][rows * W] = dx[k][rows * K] = dt[k][K * W] = 77; /* canaries */
                use->similarity[term](rows, W, K, 2.5f, x, K, t, W, d[k], W);
                use->gradient[term](rows, W, K, 2.5f, x, K, t, W, d[0], W, dx[k], K, dt[k], W);
                use->gradient[term](rows, W, K, 2.5f, x, K, t, W, d[0], W, NULL, K, dt[k], W);
                use->gradient[term](rows, W, K, 2.5f, x, K, t, W, d[0], W, dx[k], K, NULL, W);
                ck_assert(d[k][rows * W] == 77 && dx[k][rows * K] == 77 && dt[k][K * W] == 77);
            }
            float size = 0;
            for (size_t i = 0; i < R * K; i++)
                size = fmaxf(size, fabsf(dx[1][i]));
            near_all("d", rows * W, d[0], d[1], 300);
            near_all("dx", rows * K, dx[0], dx[1], 2 * size);
            near_all("dt", K * W, dt[0], dt[1], 2 * size);
        }
    for (size_t rows = 1; rows <= R; rows++)
        for (int which = 0; which < 3; which++) {
            for (int k = 0; k < 2; k++) {
                const mmcl__contrast_kernels *use = k == 0 ? fast : slow;
                float                         sum[R], sums[W] = {0};
                fast->similarity[MMCL__TERM_ABS](R, W, K, 0, x, K, t, W, d[k], W);
                d[k][3] = MMCL__CONTRAST_NOTHING;
                for (size_t j = 0; j < W; j++)
                    tops[k][j] = MMCL__CONTRAST_NOTHING;
                use->tops(rows, W, d[k], W, top[k], tops[k]);
                use->sums(rows, W, 3, d[k], W, top[k], row, sum, sums);
                memcpy(totals[k], sum, rows * sizeof *sum);
                for (size_t j = 0; j < W; j++)
                    tops[k][j] += sums[j];
                if (which == 0)
                    use->softmax(rows, W, 3, d[k], W, top[k], row, row, col, totals[k] + R);
                else if (which == 1)
                    use->softmax_two(rows, W, 3, d[k], W, top[k], row, tops[k], col, totals[k] + R);
                else
                    use->sigmoid(rows, W, 2, 5, 0.5f, d[k], W, totals[k]);
                use->add(rows, W, d[k], W, row, col);
                use->column_sums(rows, W, d[k], W, tops[k]);
            }
            near_all("top", rows, top[0], top[1], 1);
            near_all("g", rows * W, d[0], d[1], 3);
            near_all("totals", which == 2 ? 3 * rows : rows, totals[0], totals[1], 100);
            near_all("columns", W, tops[0], tops[1], 30);
        }
}
END_TEST

/* --------------------------------------------------------------------------------------------------------- ways of calling --- */

START_TEST(steady_state_allocates_nothing)
{
    pairs                       p = make_pairs(300, 20, 1, 1, 0, 0);
    const mmcl_objective_options options = OPTIONS(.rows = 300, .cols = 20);
    mmcl_objective             *objective;
    mmcl_memory_info            before = {.struct_size = sizeof before}, after = before;
    mmcl_objective_input        input = {.struct_size = sizeof input, .x = &p.x_view, .t = &p.t_view};
    const mmcl_objective_output output = {.struct_size = sizeof output, .dx = p.dx, .dt = p.dt};
    OK_ON(contexts[1], mmcl_objective_create(&objective, contexts[1], &options));
    OK_ON(contexts[1], mmcl_context_memory(contexts[1], &before));
    for (int i = 0; i < 3; i++, p.x_view.rows = p.t_view.rows -= 10)
        OK_ON(contexts[1], mmcl_objective_evaluate(objective, &input, &output, NULL));
    OK_ON(contexts[1], mmcl_context_memory(contexts[1], &after));
    ck_assert_uint_eq(before.total_blocks, after.total_blocks);
    mmcl_objective_destroy(objective);
    free_pairs(&p);
}
END_TEST

static void refuse(const mmcl_objective_options *options, mmcl_objective_input input, mmcl_status want, const char *text)
{
    mmcl_objective *objective = NULL;
    mmcl_status     status    = mmcl_objective_create(&objective, contexts[0], options);
    if (status == MMCL_OK)
        status = mmcl_objective_evaluate(objective, &input, NULL, NULL);
    else
        ck_assert_ptr_null(objective);
    ck_assert_msg(status == want && strstr(mmcl_context_message(contexts[0]), text) != NULL, "%d, expected %d with \"%s\": %s", status,
                  want, text, mmcl_context_message(contexts[0]));
    mmcl_objective_destroy(objective);
}

START_TEST(bad_input_is_named)
{
    pairs                        p = make_pairs(6, 3, 1, 1, 0, 0);
    const mmcl_objective_options plain = OPTIONS(0), cosine = OPTIONS(.similarity = MMCL_SIMILARITY_COSINE),
                                 negatives = OPTIONS(.normalizer = MMCL_NORMALIZER_MEAN_NEGATIVES);
    const mmcl_objective_input   good = {.struct_size = sizeof good, .x = &p.x_view, .t = &p.t_view};
    mmcl_objective_input         in   = good;
    const mmcl_objective_options bad[] = {OPTIONS(.similarity = MMCL_SIMILARITY_LP, .exponent = 0.5), OPTIONS(.exponent = 2),
                                          OPTIONS(.min_scale = 3, .max_scale = 2), OPTIONS(.max_scale = -1), OPTIONS(.similarity = 9),
                                          OPTIONS(.loss = MMCL_LOSS_SIGLIP, .sides = MMCL_SIDES_X2T), OPTIONS(.rows = 4)};
    const char *const            texts[] = {"exponent: 0.5", "exponent: 2", "min_scale: 3", "-1", "similarity: 9", "SigLIP", "rows, cols"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        refuse(&bad[i], good, MMCL_E_INVAL, texts[i]);
    in.scale = -1, refuse(&plain, in, MMCL_E_INVAL, "scale: -1"), in = good;
    in.log_scale = NAN, refuse(&plain, in, MMCL_E_INVAL, "log_scale"), in = good;
    in.bias = 1, refuse(&plain, in, MMCL_E_INVAL, "bias: 1"), in = good;
    in.blocks = 4, refuse(&plain, in, MMCL_E_INVAL, "blocks: 4"), in = good;
    in.blocks = 6, refuse(&plain, in, MMCL_E_INVAL, "batches of 1 row"), in = good;
    p.groups[4] = -2;
    in.groups = p.groups, refuse(&plain, in, MMCL_E_INVAL, "groups: label -2 in row 4");
    memset(p.groups, 0, p.n * sizeof *p.groups);
    refuse(&negatives, in, MMCL_E_NUMERIC, "no negatives"), in = good;
    p.t_view.rows = 5, refuse(&plain, in, MMCL_E_INVAL, "t: 5 rows"), p.t_view.rows = 6;
    p.x_view.rows = p.t_view.rows = 1, refuse(&plain, in, MMCL_E_INVAL, "batches of 1 row"), p.x_view.rows = p.t_view.rows = 6;
    p.t[3 * 2 + 1] = NAN;
    refuse(&plain, in, MMCL_E_NUMERIC, "t: NaN or infinity in row 2, column 1");
    p.t[3 * 2 + 1] = 0;
    memset(p.x + 3 * 5, 0, 3 * sizeof *p.x);
    refuse(&cosine, in, MMCL_E_NUMERIC, "x: row 5");
    free_pairs(&p);
}
END_TEST

START_TEST(bounds_hold_the_scale)
{
    pairs                        p = make_pairs(40, 4, 1, 3, 0, 0);
    const mmcl_objective_options options = OPTIONS(.min_scale = 0.5, .max_scale = 2);
    const double                 asked[] = {0.1, 1, 5};
    for (size_t i = 0; i < 3; i++) {
        mmcl_objective       *objective;
        double                slope = NAN;
        mmcl_objective_info   info = {.struct_size = sizeof info};
        mmcl_objective_input  input = {.struct_size = sizeof input, .x = &p.x_view, .t = &p.t_view, .log_scale = log(asked[i])};
        mmcl_objective_output output = {.struct_size = sizeof output, .dlog_scale = &slope};
        OK(mmcl_objective_create(&objective, contexts[0], &options));
        OK(mmcl_objective_evaluate(objective, &input, &output, &info));
        ck_assert_double_eq_tol(info.scale, fmax(0.5, fmin(2, asked[i])), 1e-12);
        ck_assert(asked[i] > 2 ? slope >= 0 : asked[i] < 0.5 ? slope <= 0 : slope != 0);
        mmcl_objective_destroy(objective);
    }
    free_pairs(&p);
}
END_TEST

/* ---------------------------------------------------------------------------------------------------------------- ranks --- */

enum { RANKS = 3 };

/* A communicator of threads in this process. */
typedef struct ring {
    pthread_barrier_t barrier;
    const void       *sent[RANKS];
    double            values[RANKS][4096];
} ring;

typedef struct member {
    ring                        *ring;
    uint32_t                     rank;
    const pairs                 *p;
    const mmcl_objective_options *options;
    const mmcl_objective_input  *input;
    double                       slopes[2];
    mmcl_objective_info          info;
    mmcl_status                  status;
} member;

static int32_t all_reduce(void *user, double *values, size_t count, mmcl_reduction reduction)
{
    member *m = user;
    memcpy(m->ring->values[m->rank], values, count * sizeof *values);
    pthread_barrier_wait(&m->ring->barrier);
    for (size_t i = 0; i < count; i++) {
        values[i] = m->ring->values[0][i];
        for (size_t r = 1; r < RANKS; r++)
            values[i] = reduction == MMCL_REDUCE_SUM ? values[i] + m->ring->values[r][i] : fmax(values[i], m->ring->values[r][i]);
    }
    pthread_barrier_wait(&m->ring->barrier);
    return 0;
}

static int32_t all_gather(void *user, const void *sent, void *received, size_t bytes)
{
    member *m = user;
    m->ring->sent[m->rank] = sent;
    pthread_barrier_wait(&m->ring->barrier);
    for (size_t r = 0; r < RANKS; r++)
        memcpy((char *) received + r * bytes, m->ring->sent[r], bytes);
    pthread_barrier_wait(&m->ring->barrier);
    return 0;
}

static int32_t ring_shift(void *user, const void *sent, void *received, size_t bytes)
{
    member *m = user;
    m->ring->sent[m->rank] = sent;
    pthread_barrier_wait(&m->ring->barrier);
    memcpy(received, m->ring->sent[(m->rank + 1) % RANKS], bytes);
    pthread_barrier_wait(&m->ring->barrier);
    return 0;
}

static void *run_rank(void *argument)
{
    member                *m = argument;
    const mmcl_comm        comm = {.struct_size = sizeof comm, .user = m, .all_reduce = all_reduce, .all_gather = all_gather,
                                   .ring_shift = ring_shift, .rank = m->rank, .size = RANKS};
    mmcl_objective_options options = *m->options;
    size_t                 n = m->p->n / RANKS, at = m->rank * n * m->p->d;
    mmcl_matrix            x = {.data = m->p->x + at, .rows = n, .cols = m->p->d}, t = {.data = m->p->t + at, .rows = n, .cols = m->p->d};
    mmcl_objective_input   input = *m->input;
    mmcl_objective_output  output = {.struct_size = sizeof output, .dx = m->p->dx + at, .dt = m->p->dt + at,
                                    .dlog_scale = &m->slopes[0], .dbias = &m->slopes[1]};
    mmcl_objective        *objective = NULL;
    options.comm = &comm;
    input.x = &x;
    input.t = &t;
    input.groups = input.groups == NULL ? NULL : input.groups + m->rank * n;
    m->info.struct_size = sizeof m->info;
    m->status = mmcl_objective_create(&objective, contexts[m->rank], &options);
    if (m->status == MMCL_OK)
        m->status = mmcl_objective_evaluate(objective, &input, &output, &m->info);
    mmcl_objective_destroy(objective);
    return NULL;
}

static const size_t rank_shapes[][2] = {{60, 5}, {90, 64}, {390, 10}};

START_TEST(ranks_share_a_batch)
{
    const kind *k = &kinds[_i];
    if (k->blocks > 0 || k->options.similarity == MMCL_SIMILARITY_LP)
        return;
    for (size_t s = 0; s < sizeof rank_shapes / sizeof *rank_shapes; s++) {
        pairs                  p = make_pairs(rank_shapes[s][0], rank_shapes[s][1], k->size, k->noise, k->offset, k->classes);
        ring                  *shared = malloc(sizeof *shared);
        pthread_t              threads[RANKS];
        member                 members[RANKS];
        mmcl__reference_result want = {.dx = p.ref_dx, .dt = p.ref_dt};
        mmcl_objective_input   input = {.struct_size = sizeof input, .x = &p.x_view, .t = &p.t_view, .scale = scale_of(k, p.d), .bias = k->bias,
                                         .groups = k->classes > 0 ? p.groups : NULL};
        mmcl__objective_reference(&k->options, &input, p.logits, &want);
        pthread_barrier_init(&shared->barrier, NULL, RANKS);
        for (uint32_t r = 0; r < RANKS; r++) {
            members[r] = (member){.ring = shared, .rank = r, .p = &p, .options = &k->options, .input = &input};
            pthread_create(&threads[r], NULL, run_rank, &members[r]);
        }
        for (uint32_t r = 0; r < RANKS; r++)
            pthread_join(threads[r], NULL);
        for (uint32_t r = 0; r < RANKS; r++) {
            OK_ON(contexts[r], members[r].status);
            ck_assert(members[r].info.loss == members[0].info.loss && members[r].slopes[0] == members[0].slopes[0]);
        }
        compare(k, &p, &want, &members[0].info, members[0].slopes[0], members[0].slopes[1]);
        pthread_barrier_destroy(&shared->barrier);
        free(shared);
        free_pairs(&p);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("objective");
    TCase *tests = tcase_create("objective");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, equals_the_definition, 0, sizeof kinds / sizeof *kinds);
    tcase_add_loop_test(tests, equals_difference_quotients, 0, sizeof kinds / sizeof *kinds);
    TCase *ways = tcase_create("ways");
    tcase_add_checked_fixture(ways, setup, teardown);
    tcase_set_timeout(ways, 120);
    tcase_add_test(ways, kernels_equal_reference);
    tcase_add_test(ways, steady_state_allocates_nothing);
    tcase_add_test(ways, bad_input_is_named);
    tcase_add_test(ways, bounds_hold_the_scale);
    tcase_add_loop_test(ways, ranks_share_a_batch, 0, sizeof kinds / sizeof *kinds);
    suite_add_tcase(suite, tests);
    suite_add_tcase(suite, ways);
    return suite_run(suite);
}
