#include <mmcl/mmcl.h>

#include "suite.h"
#include "linalg/blas.h"
#include "train/trainer.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LATENT = 3, PRIVATE = 1, WIDTH = LATENT + PRIVATE };

#define OK(call) ck_assert_msg((call) == MMCL_OK, "%s: %s", #call, mmcl_context_message(run->context))

/* Two encoders, a sampler and a trainer, on a context of their own. */
typedef struct fixture {
    mmcl_context        *context;
    mmcl_model          *model;
    mmcl_encoder        *encoders[2];
    mmcl_objective      *objective;
    mmcl_trainer        *trainer;
    mmcl_trainer_options options;
    uint64_t             events, stop_at; /* progress events; the one that asks to stop */
} fixture;

static int32_t count(void *user, const mmcl_progress *progress)
{
    fixture *r = user;
    r->events += !progress->finished;
    return r->stop_at != 0 && r->events == r->stop_at;
}

static void begin(fixture *run, uint32_t threads, mmcl_trainer_options options)
{
    const uint64_t             hidden[2] = {24, 24};
    const mmcl_context_options own   = {.struct_size = sizeof own, .threads = threads, .progress = count, .progress_user = run};
    const mmcl_model_options   world = {.struct_size = sizeof world, .latent = LATENT, .private_x = PRIVATE, .private_t = PRIVATE,
                                        .condition_draws = 200};
    *run = (struct fixture){.options = options};
    ck_assert_int_eq(mmcl_context_create(&run->context, &own), MMCL_OK);
    OK(mmcl_model_create(&run->model, run->context, &world));
    OK(mmcl_objective_create(&run->objective, run->context, NULL));
    for (uint64_t i = 0; i < 2; i++) {
        const mmcl_encoder_options shape = {.struct_size = sizeof shape, .hidden = hidden, .hidden_count = 2, .inputs = WIDTH, .outputs = LATENT,
                                            .seed = i, .slope = 0.2, .geometry = MMCL_GEOMETRY_SPHERE};
        OK(mmcl_encoder_create(&run->encoders[i], run->context, &shape));
    }
    const mmcl_source source = {.struct_size = sizeof source, .model = run->model};
    OK(mmcl_trainer_create(&run->trainer, run->context, run->encoders[0], run->encoders[1], run->objective, &source, &run->options));
    run->events = 0;
}

static void end(fixture *run)
{
    mmcl_trainer_destroy(run->trainer);
    mmcl_objective_destroy(run->objective);
    mmcl_encoder_destroy(run->encoders[0]);
    mmcl_encoder_destroy(run->encoders[1]);
    mmcl_model_destroy(run->model);
    mmcl_context_destroy(run->context);
}

static mmcl_trainer_options options_of(mmcl_optimizer optimizer)
{
    return (mmcl_trainer_options){.struct_size = sizeof(mmcl_trainer_options), .batch = 128, .steps = 1500, .warmup = 50, .optimizer = optimizer,
                                  .scale = 5, .learn_scale = 1, .floor = 0.001, .rate = optimizer == MMCL_OPTIMIZER_ADAM ? 5e-3 : 0.05};
}

/* Mean share of the variance of z_x that a linear regression on f_x(x) explains, on 4096 fresh rows. */
static double score(fixture *run)
{
    enum { N = 4096, K = LATENT + 1 };
    static float x[N * WIDTH], z[N * LATENT], codes[N * LATENT];
    const mmcl_samples samples = {.struct_size = sizeof samples, .x = x, .z_x = z, .rows = N};
    const mmcl_matrix  rows    = {.data = x, .rows = N, .cols = WIDTH};
    double             gram[K * K] = {0}, cross[K * LATENT] = {0}, solved[K * LATENT], sums[LATENT] = {0}, squares[LATENT] = {0}, total = 0;
    OK(mmcl_model_sample(run->model, 12345, 0, &samples));
    OK(mmcl_encoder_forward(run->encoders[0], &rows, codes, 0));
    for (size_t i = 0; i < N; i++) {
        double h[K] = {[LATENT] = 1};
        for (size_t j = 0; j < LATENT; j++)
            h[j] = (double) codes[i * LATENT + j];
        for (size_t a = 0; a < K; a++) {
            for (size_t b = 0; b < K; b++)
                gram[a * K + b] += h[a] * h[b];
            for (size_t b = 0; b < LATENT; b++)
                cross[a * LATENT + b] += h[a] * (double) z[i * LATENT + b];
        }
        for (size_t b = 0; b < LATENT; b++) {
            sums[b] += (double) z[i * LATENT + b];
            squares[b] += (double) z[i * LATENT + b] * (double) z[i * LATENT + b];
        }
    }
    memcpy(solved, cross, sizeof cross);
    OK(mmcl__solve_spd(run->context, K, LATENT, gram, solved));
    for (size_t b = 0; b < LATENT; b++) {
        double explained = -sums[b] * sums[b] / N;
        for (size_t a = 0; a < K; a++)
            explained += solved[a * LATENT + b] * cross[a * LATENT + b];
        total += explained / (squares[b] - sums[b] * sums[b] / N);
    }
    return total / LATENT;
}

START_TEST(training_recovers_the_latents)
{
    fixture r, *run = &r;
    begin(run, 2, options_of(_i == 0 ? MMCL_OPTIMIZER_ADAM : MMCL_OPTIMIZER_KFAC));
    double          before = score(run);
    mmcl_train_info info   = {.struct_size = sizeof info};
    OK(mmcl_trainer_run(run->trainer, 1500, &info));
    ck_assert_uint_eq(info.step, 1500);
    double after = score(run), least = _i == 0 ? 0.85 : 0.95;
    ck_assert_msg(after > least && after > before, "R2 %g before, %g after, expected %g", before, after, least);
    end(run);
}
END_TEST

/* Parameters of both encoders after some steps. */
static float *parameters(fixture *run)
{
    size_t size = run->encoders[0]->size;
    float *copy = malloc(2 * size * sizeof *copy);
    for (size_t s = 0; s < 2; s++)
        memcpy(copy + s * size, run->encoders[s]->parameters, size * sizeof *copy);
    return copy;
}

static float *after(uint32_t threads, mmcl_trainer_options options, uint64_t interrupt)
{
    fixture r, *run = &r;
    begin(run, threads, options);
    if (interrupt > 0) {
        run->stop_at = interrupt;
        ck_assert_int_eq(mmcl_trainer_run(run->trainer, 30, NULL), MMCL_E_CANCELLED);
        run->stop_at = 0;
    }
    OK(mmcl_trainer_run(run->trainer, 30, NULL));
    float *result = parameters(run);
    end(run);
    return result;
}

START_TEST(threads_and_interruptions_change_no_bit)
{
    mmcl_trainer_options options = options_of(_i < 2 ? MMCL_OPTIMIZER_KFAC : MMCL_OPTIMIZER_ADAM);
    if (_i == 1) {
        options.cell = 32;
        options.pool = 1024;
    }
    options.batch = 512;
    float *one = after(1, options, 0), *two = after(2, options, 0), *three = after(3, options, 0), *broken = after(2, options, 14);
    fixture shape, *run = &shape;
    begin(run, 1, options);
    size_t bytes = 2 * run->encoders[0]->size * sizeof *one;
    end(run);
    ck_assert_mem_eq(one, two, bytes);
    ck_assert_mem_eq(one, three, bytes);
    ck_assert_mem_eq(one, broken, bytes);
    free(one), free(two), free(three), free(broken);
}
END_TEST

START_TEST(steady_steps_allocate_nothing)
{
    fixture          r, *run = &r;
    mmcl_memory_info first = {.struct_size = sizeof first}, last = first;
    mmcl_trainer_options options = options_of(_i / 2 == 0 ? MMCL_OPTIMIZER_KFAC : MMCL_OPTIMIZER_ADAM);
    options.cell    = _i % 2 == 1 ? 32 : 0;
    options.clip    = 1;
    options.average = 0.99;
    begin(run, 2, options);
    OK(mmcl_trainer_run(run->trainer, 1, NULL));
    OK(mmcl_context_memory(run->context, &first));
    OK(mmcl_trainer_run(run->trainer, 100, NULL));
    OK(mmcl_context_memory(run->context, &last));
    ck_assert_uint_eq(first.total_blocks, last.total_blocks);
    end(run);
}
END_TEST

START_TEST(cells_are_a_partition_into_neighbours)
{
    enum { N = 1024, D = 2, CELL = 32 };
    static float    codes[N * D], values[N];
    static uint32_t order[N], again[N];
    unsigned char   seen[N] = {0};
    for (size_t i = 0; i < N; i++) {
        codes[i * D]     = (float) (i % 32);
        codes[i * D + 1] = (float) (i / 32);
    }
    mmcl__cells_split(N, D, CELL, codes, 7, 3, values, order);
    mmcl__cells_split(N, D, CELL, codes, 7, 3, values, again);
    ck_assert_mem_eq(order, again, sizeof order);
    for (size_t c = 0; c < N / CELL; c++) {
        float low[D] = {INFINITY, INFINITY}, high[D] = {-INFINITY, -INFINITY};
        for (size_t i = 0; i < CELL; i++) {
            uint32_t row = order[c * CELL + i];
            ck_assert_uint_lt(row, N);
            ck_assert_uint_eq(seen[row]++, 0);
            for (size_t j = 0; j < D; j++) {
                low[j]  = fminf(low[j], codes[row * D + j]);
                high[j] = fmaxf(high[j], codes[row * D + j]);
            }
        }
        /* 32 points of a grid in a box of at most 8 x 8, ties at the cuts apart. */
        ck_assert_float_le((high[0] - low[0] + 1) * (high[1] - low[1] + 1), 64);
    }
}
END_TEST

START_TEST(epochs_are_permutations)
{
    const uint64_t sizes[] = {1, 2, 3, 5, 64, 65, 1000};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (uint64_t epoch = 0; epoch < 2; epoch++) {
            unsigned char seen[1000] = {0};
            for (uint64_t i = 0; i < sizes[s]; i++) {
                uint64_t row = mmcl__shuffled(9, epoch, sizes[s], i);
                ck_assert_uint_lt(row, sizes[s]);
                ck_assert_uint_eq(seen[row]++, 0);
            }
        }
    bool differs = false;
    for (uint64_t i = 0; i < 64; i++)
        differs |= mmcl__shuffled(9, 0, 64, i) != mmcl__shuffled(9, 1, 64, i);
    ck_assert(differs);
}
END_TEST

START_TEST(a_loss_that_is_not_finite_keeps_the_last_state)
{
    fixture              r, *run = &r;
    mmcl_trainer_options options = options_of(MMCL_OPTIMIZER_ADAM);
    mmcl_train_info      info    = {.struct_size = sizeof info};
    begin(run, 1, options);
    OK(mmcl_trainer_run(run->trainer, 3, NULL));
    run->encoders[0]->parameters[0] = INFINITY;
    float *before = parameters(run), *later;
    ck_assert_int_eq(mmcl_trainer_run(run->trainer, 9, &info), MMCL_E_NUMERIC);
    ck_assert_ptr_nonnull(strstr(mmcl_context_message(run->context), "step 3"));
    ck_assert_uint_eq(info.step, 3);
    later = parameters(run);
    ck_assert_mem_eq(before, later, 2 * run->encoders[0]->size * sizeof *before);
    free(before), free(later);
    end(run);
}
END_TEST

START_TEST(bad_input_is_named)
{
    fixture r, *run = &r;
    begin(run, 1, options_of(MMCL_OPTIMIZER_ADAM));
    float             few[3 * WIDTH] = {0};
    const mmcl_matrix three = {.data = few, .rows = 3, .cols = WIDTH}, two = {.data = few, .rows = 2, .cols = WIDTH};
    const mmcl_source model = {.struct_size = sizeof model, .model = run->model}, none = {.struct_size = sizeof none},
                      uneven = {.struct_size = sizeof uneven, .x = &three, .t = &two}, small = {.struct_size = sizeof small, .x = &three, .t = &three};
    const struct {
        const mmcl_source   *source;
        mmcl_trainer_options options;
        const char          *text;
    } cases[] = {
        {&none, {.batch = 8}, "source: 0 of model"},
        {&uneven, {.batch = 2}, "x has 3 rows and t 2"},
        {&small, {.batch = 8}, "batch: 8, the source has 3 rows"},
        {&model, {.batch = 1}, "batch: 1"},
        {&model, {.batch = 8, .cell = 3}, "cell: 3"},
        {&model, {.batch = 8, .pool = 64}, "pool: 64 without cell"},
        {&model, {.batch = 8, .cell = 4, .pool = 12}, "pool: 12"},
        {&model, {.batch = 8, .rate = -1}, "rate: -1"},
        {&model, {.batch = 8, .rate = NAN}, "rate: nan"},
        {&model, {.batch = 8, .beta1 = 1}, "beta1: 1"},
        {&model, {.batch = 8, .average = 1}, "average: 1"},
        {&model, {.batch = 8, .optimizer = 9}, "optimizer: 9"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mmcl_trainer        *trainer = (void *) run;
        mmcl_trainer_options options = cases[i].options;
        options.struct_size          = sizeof options;
        ck_assert_int_eq(mmcl_trainer_create(&trainer, run->context, run->encoders[0], run->encoders[1], run->objective, cases[i].source, &options),
                         MMCL_E_INVAL);
        ck_assert_ptr_null(trainer);
        ck_assert_msg(strstr(mmcl_context_message(run->context), cases[i].text) != NULL, "'%s' lacks '%s'",
                      mmcl_context_message(run->context), cases[i].text);
    }
    mmcl_trainer              *trainer;
    const mmcl_trainer_options plain = {.struct_size = sizeof plain, .batch = 8};
    ck_assert_int_eq(mmcl_trainer_create(&trainer, run->context, run->encoders[0], run->encoders[0], run->objective, &model, &plain), MMCL_E_INVAL);
    ck_assert_ptr_nonnull(strstr(mmcl_context_message(run->context), "the same"));
    end(run);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("train");
    TCase *tests = tcase_create("train");
    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, training_recovers_the_latents, 0, 2);
    tcase_add_loop_test(tests, threads_and_interruptions_change_no_bit, 0, 3);
    tcase_add_loop_test(tests, steady_steps_allocate_nothing, 0, 4);
    tcase_add_test(tests, cells_are_a_partition_into_neighbours);
    tcase_add_test(tests, epochs_are_permutations);
    tcase_add_test(tests, a_loss_that_is_not_finite_keeps_the_last_state);
    tcase_add_test(tests, bad_input_is_named);
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
