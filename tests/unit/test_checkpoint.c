/* Checkpoints: a training that goes on from one equals an uninterrupted one; whatever does not fit is refused, and nothing is lost. */
#include "io_support.h"

#include "io/array.h"
#include "io/writer.h"
#include "train/trainer.h"

#include <math.h>
#include <signal.h>
#include <sys/resource.h>

enum { LATENT = 3, WIDTH = 4, BATCH = 32, POOL = 4 * BATCH, STEPS = 22, ROWS = 96 };

/* How a training is set up. Zero is a default that each test changes. */
typedef struct setup {
    mmcl_trainer_options   options;
    mmcl_objective_options objective;
    mmcl_encoder_options   shape;
    int                    source; /* 0: model, 1: arrays, 2: fill, 3: arrays with groups, 4: fewer rows */
    int                    hosted; /* 1: t is a host's encoder */
    uint32_t               threads;
} setup;

/* A training on a context of its own, and the host's encoder: a bias of its own. */
typedef struct training {
    mmcl_context   *context;
    mmcl_model     *model;
    mmcl_encoder   *encoders[2];
    mmcl_objective *objective;
    mmcl_trainer   *trainer;
    float           shift[LATENT], slope[LATENT];
} training;

static float   pairs[2][ROWS * WIDTH];
static int64_t groups[ROWS];

static mmcl_status fill(void *user, const mmcl_pairs *out)
{
    (void) user;
    for (uint64_t i = 0; i < out->rows * WIDTH; i++) {
        out->x[i] = sinf((float) (out->step * 1000 + i));
        out->t[i] = out->x[i] + 0.1f * cosf((float) i);
    }
    return MMCL_OK;
}

static mmcl_status represent(void *user, const mmcl_encoder_rows *rows, float *out)
{
    const training *t = user;
    for (uint64_t i = 0; i < rows->rows; i++)
        for (size_t j = 0; j < LATENT; j++)
            out[i * LATENT + j] = rows->inputs[i * WIDTH + j] + t->shift[j];
    return MMCL_OK;
}

static mmcl_status learn(void *user, const mmcl_encoder_rows *rows, const float *gradient)
{
    training *t = user;
    for (size_t j = 0; j < LATENT; j++)
        t->slope[j] = 0;
    for (uint64_t i = 0; i < rows->rows; i++)
        for (size_t j = 0; j < LATENT; j++)
            t->slope[j] += gradient[i * LATENT + j];
    return MMCL_OK;
}

static mmcl_status update(void *user, uint64_t step, double rate)
{
    training *t = user;
    (void) step;
    for (size_t j = 0; j < LATENT; j++)
        t->shift[j] -= (float) rate * t->slope[j];
    return MMCL_OK;
}

#define OK(t, call) ck_assert_msg((call) == MMCL_OK, "%s: %s", #call, mmcl_context_message((t)->context))

static void make_pairs(void)
{
    for (size_t i = 0; i < ROWS * WIDTH; i++) {
        pairs[0][i] = sinf((float) (i * i % 977));
        pairs[1][i] = pairs[0][i] + 0.2f * cosf((float) (i % 31));
        groups[i / WIDTH] = (int64_t) (i / WIDTH % 40);
    }
}

static void make_encoder(training *t, const setup *with, uint64_t side)
{
    static const uint64_t   hidden[] = {6, 6};
    mmcl_encoder_options    shape    = with->shape;
    const mmcl_host_encoder host     = {.struct_size = sizeof host, .user = t, .inputs = WIDTH, .outputs = LATENT, .chunk = 9, .represent = represent,
                                        .learn = learn, .update = update};
    shape.struct_size = sizeof shape;
    shape.inputs      = WIDTH;
    shape.outputs     = LATENT;
    shape.seed        = side;
    if (shape.hidden == NULL) {
        shape.hidden       = hidden;
        shape.hidden_count = 2;
    }
    if (with->hosted && side == 1)
        OK(t, mmcl_encoder_create_host(&t->encoders[side], t->context, &host));
    else
        OK(t, mmcl_encoder_create(&t->encoders[side], t->context, &shape));
}

static void begin(training *t, const setup *with)
{
    const size_t               rows    = with->source == 4 ? ROWS - 8 : ROWS;
    const mmcl_context_options own     = {.struct_size = sizeof own, .threads = with->threads};
    const mmcl_model_options   world   = {.struct_size = sizeof world, .latent = LATENT, .private_x = 1, .private_t = 1, .condition_draws = 50};
    const mmcl_matrix          x       = {.data = pairs[0], .rows = rows, .cols = WIDTH}, y = {.data = pairs[1], .rows = rows, .cols = WIDTH};
    const bool                 arrays  = with->source == 1 || with->source >= 3;
    mmcl_objective_options     objective = with->objective;
    mmcl_trainer_options       options = with->options;
    mmcl_source                source  = {.struct_size = sizeof source, .x = arrays ? &x : NULL, .t = arrays ? &y : NULL,
                                          .groups = with->source == 3 ? groups : NULL, .fill = with->source == 2 ? fill : NULL};
    *t = (training){0};
    ck_assert_int_eq(mmcl_context_create(&t->context, &own), MMCL_OK);
    OK(t, mmcl_model_create(&t->model, t->context, &world));
    objective.struct_size = sizeof objective;
    OK(t, mmcl_objective_create(&t->objective, t->context, &objective));
    make_encoder(t, with, 0);
    make_encoder(t, with, 1);
    source.model        = with->source == 0 ? t->model : NULL;
    options.struct_size = sizeof options;
    options.batch       = options.batch > 0 ? options.batch : BATCH;
    OK(t, mmcl_trainer_create(&t->trainer, t->context, t->encoders[0], t->encoders[1], t->objective, &source, &options));
}

static void end(training *t)
{
    mmcl_trainer_destroy(t->trainer);
    mmcl_objective_destroy(t->objective);
    mmcl_encoder_destroy(t->encoders[0]);
    mmcl_encoder_destroy(t->encoders[1]);
    mmcl_model_destroy(t->model);
    mmcl_context_destroy(t->context);
}

/* ------------------------------------------------------------------------------------------------------ as bytes --- */

typedef struct blob {
    unsigned char *bytes;
    size_t         count;
} blob;

static mmcl_status keep(void *user, const void *bytes, size_t count)
{
    blob *b = user;
    if (b->bytes != NULL)
        return -7;
    b->bytes = malloc(count);
    b->count = count;
    memcpy(b->bytes, bytes, count);
    return MMCL_OK;
}

static blob save(const training *t)
{
    blob            b    = {0};
    const mmcl_sink sink = {.struct_size = sizeof sink, .user = &b, .write = keep};
    OK(t, mmcl_trainer_save_to(t->trainer, &sink));
    return b;
}

static mmcl_status resume_after(training *t, const unsigned char *bytes, size_t count, int reads)
{
    memory_stream           memory  = {bytes, count, reads};
    const mmcl_stream       stream  = stream_of(&memory);
    const mmcl_open_options options = {.struct_size = sizeof options, .stream = &stream};
    return mmcl_trainer_resume(t->trainer, "bytes", &options);
}

static mmcl_status resume(training *t, const unsigned char *bytes, size_t count)
{
    return resume_after(t, bytes, count, 1 << 30);
}

static bool same(blob a, blob b)
{
    return a.count == b.count && memcmp(a.bytes, b.bytes, a.count) == 0;
}

/* The checkpoint and, lest one that forgets them passes, the averages. */
static blob outcome(const training *t)
{
    blob b = save(t);
    for (uint32_t s = 0; s < 2; s++) {
        const mmcl_encoder *average = mmcl_trainer_average(t->trainer, s);
        size_t              bytes   = average->size * sizeof(float);
        b.bytes                     = realloc(b.bytes, b.count + bytes);
        if (bytes > 0)
            memcpy(b.bytes + b.count, average->parameters, bytes);
        b.count += bytes;
    }
    return b;
}

static bool stands_at(const training *t, blob expected)
{
    blob now  = save(t);
    bool here = same(now, expected);
    free(now.bytes);
    return here;
}

/* ------------------------------------------------------------------------------------------------------ going on --- */

static const uint64_t one_layer[] = {5};

static const setup setups[] = {
    {.options = {.learn_scale = 1, .average = 0.9, .warmup = 4, .steps = 40, .decay = 0.01}},
    {.options = {.optimizer = MMCL_OPTIMIZER_KFAC, .refresh = 5, .learn_scale = 1, .average = 0.9}},
    {.options = {.optimizer = MMCL_OPTIMIZER_KFAC, .cell = 8, .pool = POOL, .refresh = 6, .learn_scale = 1, .clip = 0.5}},
    {.options = {.cell = 16, .pool = POOL, .average = 0.5}, .source = 2},
    {.options = {.learn_scale = 1, .bias = -2, .freeze_x = 1, .average = 0.9}, .objective = {.loss = MMCL_LOSS_SIGLIP}, .source = 1},
    {.options = {.optimizer = MMCL_OPTIMIZER_KFAC, .freeze_t = 1, .seed = UINT64_MAX}, .source = 3},
    {.shape = {.geometry = MMCL_GEOMETRY_BOX, .learn_geometry = 1, .residual = 1, .input_map = 1}, .objective = {.similarity = MMCL_SIMILARITY_L1}},
    {.options = {.learn_scale = 1, .average = 0.9}, .hosted = 1, .source = 2},
};
enum { N_SETUPS = sizeof setups / sizeof *setups };

static void disturb(training *t)
{
    for (int s = 0; s < 2; s++)
        for (size_t i = 0; i < t->encoders[s]->size; i++)
            t->encoders[s]->parameters[i] = 0.5f * t->encoders[s]->parameters[i] + 0.01f;
}

/* Runs to `stop`, gives up there and goes on in another training, which may have been used before, on other threads. */
static blob broken_off(setup with, uint64_t stop, uint64_t used)
{
    training first, second;
    with.threads = 2;
    begin(&first, &with);
    OK(&first, mmcl_trainer_run(first.trainer, stop, NULL));
    blob middle = save(&first);
    with.threads = 3;
    begin(&second, &with);
    disturb(&second);
    OK(&second, mmcl_trainer_run(second.trainer, used, NULL));
    OK(&second, resume(&second, middle.bytes, middle.count));
    memcpy(second.shift, first.shift, sizeof second.shift); /* the host restores its own */
    ck_assert(stands_at(&second, middle));
    mmcl_train_info info = {.struct_size = sizeof info};
    OK(&second, mmcl_trainer_get_info(second.trainer, &info));
    ck_assert_uint_eq(info.step, stop);
    OK(&second, mmcl_trainer_run(second.trainer, STEPS, NULL));
    blob last = outcome(&second);
    end(&first);
    end(&second);
    free(middle.bytes);
    return last;
}

START_TEST(resumed_equals_uninterrupted)
{
    make_pairs();
    for (size_t i = 0; i < N_SETUPS; i++) {
        const uint64_t stops[] = {0, 1, 4, 7, 16, 21}; /* pools begin at multiples of 4 */
        setup          with    = setups[i];
        training       whole;
        with.threads = 1;
        begin(&whole, &with);
        OK(&whole, mmcl_trainer_run(whole.trainer, STEPS, NULL));
        blob expected = outcome(&whole);
        end(&whole);
        for (size_t j = 0; j < sizeof stops / sizeof *stops; j++) {
            blob got = broken_off(with, stops[j], j % 2 == 0 ? 0 : 9);
            ck_assert_msg(same(got, expected), "setup %zu, stopped at %llu", i, (unsigned long long) stops[j]);
            free(got.bytes);
        }
        free(expected.bytes);
    }
}
END_TEST

START_TEST(views_of_parameters_stay_valid)
{
    training       t;
    mmcl_parameter view = {.struct_size = sizeof view};
    begin(&t, &setups[0]);
    OK(&t, mmcl_trainer_run(t.trainer, 3, NULL));
    OK(&t, mmcl_encoder_parameter(t.encoders[0], 0, &view));
    blob        there = save(&t);
    const float value = view.data[0];
    OK(&t, mmcl_trainer_run(t.trainer, 9, NULL));
    ck_assert(view.data[0] != value);
    OK(&t, resume(&t, there.bytes, there.count));
    ck_assert(view.data[0] == value);
    free(there.bytes);
    end(&t);
}
END_TEST

/* ------------------------------------------------------------------------------------------------------ refusals --- */

typedef struct refusal {
    setup       with;
    const char *text;
} refusal;

static const refusal refusals[] = {
    {{.options = {.optimizer = MMCL_OPTIMIZER_KFAC}}, "optimizer is adam there, kfac here"},
    {{.source = 1}, "source is a model there, arrays here"},
    {{.source = 2}, "source is a model there, a host's callback here"},
    {{.hosted = 1, .source = 0}, "encoder t is a network there, a host's encoder here"},
    {{.options = {.batch = 64}}, "batch is 32 there, 64 here"},
    {{.options = {.cell = 8, .pool = POOL}}, "cell is 0 there, 8 here"},
    {{.options = {.seed = 5}}, "seed is 0 there, 5 here"},
    {{.options = {.steps = 50}}, "steps is 0 there, 50 here"},
    {{.options = {.rate = 0.5}}, "rate is 0.001"},
    {{.options = {.average = 0.5}}, "average is 0 there, 0.5 here"},
    {{.options = {.freeze_t = 1}}, "freeze_t is 0 there, 1 here"},
    {{.options = {.learn_scale = 1}}, "learn_scale is 0 there, 1 here"},
    {{.objective = {.similarity = MMCL_SIMILARITY_L1}}, "similarity is dot there, L1 here"},
    {{.objective = {.loss = MMCL_LOSS_SIGLIP}}, "loss is InfoNCE there, SigLIP here"},
    {{.objective = {.max_scale = 100}}, "max_scale is 0 there, 100 here"},
    {{.shape = {.hidden = one_layer, .hidden_count = 1}}, "encoder x: widths is 4-6-6-3 there, 4-5-3 here"},
    {{.shape = {.geometry = MMCL_GEOMETRY_BOX}}, "encoder x: geometry is none there, box here"},
    {{.shape = {.activation = MMCL_ACTIVATION_TANH}}, "encoder x: activation is leaky ReLU there, tanh here"},
    {{.shape = {.slope = 0.25}}, "encoder x: slope is 0.01"},
};
enum { N_REFUSALS = sizeof refusals / sizeof *refusals };

START_TEST(other_trainings_are_named)
{
    training plain, other;
    make_pairs();
    begin(&plain, &(setup){0});
    OK(&plain, mmcl_trainer_run(plain.trainer, 2, NULL));
    blob there = save(&plain);
    for (size_t i = 0; i < N_REFUSALS; i++) {
        begin(&other, &refusals[i].with);
        OK(&other, mmcl_trainer_run(other.trainer, 1, NULL));
        blob before = save(&other);
        ck_assert_int_eq(resume(&other, there.bytes, there.count), MMCL_E_INVAL);
        const char *message = mmcl_context_message(other.context);
        ck_assert_msg(strstr(message, refusals[i].text) != NULL, "'%s' lacks '%s'", message, refusals[i].text);
        ck_assert_ptr_nonnull(strstr(message, "bytes: a checkpoint of another training"));
        ck_assert(stands_at(&other, before));
        free(before.bytes);
        end(&other);
    }
    free(there.bytes);
    end(&plain);
}
END_TEST

START_TEST(arrays_of_other_size_are_named)
{
    training t;
    make_pairs();
    begin(&t, &(setup){.source = 1});
    blob there = save(&t);
    end(&t);
    begin(&t, &(setup){.source = 4});
    ck_assert_int_eq(resume(&t, there.bytes, there.count), MMCL_E_INVAL);
    ck_assert_ptr_nonnull(strstr(mmcl_context_message(t.context), "source rows is 96 there, 88 here"));
    end(&t);
    begin(&t, &(setup){.source = 3});
    ck_assert_int_eq(resume(&t, there.bytes, there.count), MMCL_E_INVAL);
    ck_assert_ptr_nonnull(strstr(mmcl_context_message(t.context), "source groups is 0 there, 1 here"));
    end(&t);
    free(there.bytes);
}
END_TEST

START_TEST(options_and_arguments_are_named)
{
    training             t;
    mmcl_trainer        *trainer = (void *) &t;
    mmcl_trainer_options options = {.struct_size = sizeof options, .batch = 8, .checkpoint = "somewhere"};
    begin(&t, &(setup){0});
    const mmcl_source source = {.struct_size = sizeof source, .model = t.model};
    ck_assert_int_eq(mmcl_trainer_create(&trainer, t.context, t.encoders[0], t.encoders[1], t.objective, &source, &options), MMCL_E_INVAL);
    ck_assert_ptr_nonnull(strstr(mmcl_context_message(t.context), "checkpoint_every: 0"));
    ck_assert_ptr_null(trainer);
    options.checkpoint       = NULL;
    options.checkpoint_every = 5;
    ck_assert_int_eq(mmcl_trainer_create(&trainer, t.context, t.encoders[0], t.encoders[1], t.objective, &source, &options), MMCL_E_INVAL);
    ck_assert_ptr_nonnull(strstr(mmcl_context_message(t.context), "checkpoint: NULL"));
    options.struct_size = offsetof(mmcl_trainer_options, checkpoint); /* of a caller who does not know them */
    ck_assert_int_eq(mmcl_trainer_create(&trainer, t.context, t.encoders[0], t.encoders[1], t.objective, &source, &options), MMCL_OK);
    mmcl_trainer_destroy(trainer);
    ck_assert_int_eq(mmcl_trainer_save(NULL, "x"), MMCL_E_INVAL);
    ck_assert_int_eq(mmcl_trainer_save(t.trainer, NULL), MMCL_E_INVAL);
    ck_assert_int_eq(mmcl_trainer_save_to(t.trainer, NULL), MMCL_E_INVAL);
    ck_assert_int_eq(mmcl_trainer_save_to(NULL, NULL), MMCL_E_INVAL);
    ck_assert_int_eq(mmcl_trainer_resume(NULL, "x", NULL), MMCL_E_INVAL);
    ck_assert_int_eq(mmcl_trainer_resume(t.trainer, NULL, NULL), MMCL_E_INVAL);
    ck_assert_int_eq(mmcl_trainer_resume(t.trainer, in_folder("nothing"), NULL), MMCL_E_NOTFOUND);
    OK(&t, mmcl_encoder_save(t.encoders[0], in_folder("encoder.npz")));
    ck_assert_int_eq(mmcl_trainer_resume(t.trainer, in_folder("encoder.npz"), NULL), MMCL_E_FORMAT);
    ck_assert_ptr_nonnull(strstr(mmcl_context_message(t.context), "kind 'encoder', expected a checkpoint"));
    end(&t);
}
END_TEST

START_TEST(what_is_not_finite_is_not_written)
{
    training t;
    blob     b    = {0};
    mmcl_sink sink = {.struct_size = sizeof sink, .user = &b, .write = keep};
    begin(&t, &(setup){0});
    t.trainer->sides[1].second[3] = INFINITY;
    ck_assert_int_eq(mmcl_trainer_save_to(t.trainer, &sink), MMCL_E_NUMERIC);
    ck_assert_ptr_nonnull(strstr(mmcl_context_message(t.context), "encoder t: 'second' of its optimiser"));
    t.encoders[0]->parameters[0] = NAN;
    ck_assert_int_eq(mmcl_trainer_save_to(t.trainer, &sink), MMCL_E_NUMERIC);
    ck_assert_ptr_nonnull(strstr(mmcl_context_message(t.context), "encoder x: 'layer0/weight'"));
    ck_assert_ptr_null(b.bytes);
    end(&t);
}
END_TEST

/* ------------------------------------------------------------------------------------------------ damaged files --- */

/* A training whose checkpoint has every kind of part, and another stand of it. */
static void begin_damage(training *t, blob *there, blob *here)
{
    begin(t, &setups[1 + 1]);
    OK(t, mmcl_trainer_run(t->trainer, 6, NULL));
    *there = save(t);
    OK(t, mmcl_trainer_run(t->trainer, 9, NULL));
    *here = save(t);
    ck_assert(!same(*there, *here));
}

static void end_damage(training *t, blob *there, blob *here)
{
    OK(t, resume(t, there->bytes, there->count));
    ck_assert(stands_at(t, *there));
    free(there->bytes);
    free(here->bytes);
    end(t);
}

START_TEST(truncated_files_change_nothing)
{
    training t;
    blob     there, here;
    begin_damage(&t, &there, &here);
    for (size_t count = 0; count < there.count; count += count < 200 || count + 200 > there.count ? 1 : 37) {
        ck_assert_int_eq(resume(&t, there.bytes, count), MMCL_E_FORMAT);
        ck_assert_ptr_nonnull(strstr(mmcl_context_message(t.context), "bytes: "));
    }
    ck_assert(stands_at(&t, here));
    end_damage(&t, &there, &here);
}
END_TEST

/* Each is refused, or lies where nothing is read from. */
START_TEST(flipped_bits_never_pass)
{
    training t;
    blob     there, here;
    size_t   passed = 0, tried = 0;
    begin_damage(&t, &there, &here);
    for (size_t i = 0; i < there.count; i += 3, tried++) {
        there.bytes[i] ^= (unsigned char) (1 << i % 8);
        mmcl_status status = resume(&t, there.bytes, there.count);
        there.bytes[i] ^= (unsigned char) (1 << i % 8);
        ck_assert_msg(stands_at(&t, status == MMCL_OK ? there : here), "byte %zu", i);
        if (status != MMCL_OK)
            continue;
        passed++;
        OK(&t, resume(&t, here.bytes, here.count));
    }
    ck_assert_msg(passed < tried / 3, "%zu of %zu passed", passed, tried);
    end_damage(&t, &there, &here);
}
END_TEST

START_TEST(reads_that_fail_change_nothing)
{
    training    t;
    blob        there, here;
    mmcl_status status = MMCL_E_CALLBACK;
    begin_damage(&t, &there, &here);
    int reads = 0;
    for (; status != MMCL_OK; reads++) {
        status = resume_after(&t, there.bytes, there.count, reads);
        ck_assert(status == MMCL_OK || status == MMCL_E_CALLBACK);
        ck_assert(stands_at(&t, status == MMCL_OK ? there : here));
    }
    ck_assert_int_gt(reads, 20);
    end_damage(&t, &there, &here);
}
END_TEST

/* The checkpoint again, with right checksums, after `change` on array `key`; a change of NULL leaves the array out. */
typedef void (*change_fn)(void *elements, size_t bytes);

static blob rewritten(training *t, blob from, const char *key, change_fn change)
{
    memory_stream           memory  = {from.bytes, from.count, 1 << 30};
    const mmcl_stream       stream  = stream_of(&memory);
    const mmcl_open_options options = {.struct_size = sizeof options, .stream = &stream};
    const char *const       kind = "checkpoint", *const library = "0.1.0";
    mmcl_archive           *archive;
    mmcl_writer            *writer;
    blob                    out = {0};
    OK(t, mmcl_archive_open(&archive, t->context, "bytes", &options));
    OK(t, mmcl__writer_create_model(&writer, t->context, NULL));
    for (size_t i = 0; i < mmcl_archive_count(archive); i++) {
        const char *name = mmcl_archive_key(archive, i);
        mmcl_array *array;
        if (strcmp(name, "kind") == 0 || strcmp(name, "library") == 0 || (strcmp(name, key) == 0 && change == NULL))
            continue;
        OK(t, mmcl_archive_array(&array, archive, name));
        const mmcl_array_info *info  = &array->layout.info;
        void                  *bytes = malloc((size_t) (info->elements * info->element_bytes));
        OK(t, mmcl__array_read(array, 0, (size_t) info->elements, bytes));
        if (strcmp(name, key) == 0)
            change(bytes, (size_t) (info->elements * info->element_bytes));
        OK(t, mmcl__writer_put(writer, name, info->dtype, info->dimensions, info->shape, bytes));
        free(bytes);
        mmcl_array_destroy(array);
    }
    if (strcmp(key, "kind") != 0)
        OK(t, mmcl__writer_add_strings(writer, "kind", &kind, 1));
    OK(t, mmcl__writer_add_strings(writer, "library", &library, 1));
    OK(t, mmcl__writer_commit(writer));
    ck_assert_int_eq(keep(&out, writer->output.memory, (size_t) writer->output.size), MMCL_OK);
    mmcl_writer_destroy(writer);
    mmcl_archive_destroy(archive);
    return out;
}

static void put_last_nan(void *elements, size_t bytes)
{
    const float nan = NAN;
    memcpy((char *) elements + bytes - sizeof nan, &nan, sizeof nan);
}

static void put_last_nan64(void *elements, size_t bytes)
{
    const double nan = NAN;
    memcpy((char *) elements + bytes - sizeof nan, &nan, sizeof nan);
}

static void put_ones(void *elements, size_t bytes)
{
    memset(elements, 0xff, bytes);
}

static void put_version(void *elements, size_t bytes)
{
    const int32_t version[] = {2, 0};
    (void) bytes;
    memcpy(elements, version, sizeof version);
}

static void leave(void *elements, size_t bytes)
{
    (void) elements, (void) bytes;
}

START_TEST(hostile_values_are_named)
{
    static const struct {
        const char *key;
        change_fn   change;
        mmcl_status status;
        const char *text;
    } cases[] = {
        {"format", put_version, MMCL_E_VERSION, "format 2.0, this library reads formats up to 1"},
        {"format", NULL, MMCL_E_FORMAT, "'format' is missing"},
        {"kind", NULL, MMCL_E_FORMAT, "'kind' is missing"},
        {"options", NULL, MMCL_E_FORMAT, "'options' is missing"},
        {"numbers", NULL, MMCL_E_FORMAT, "'numbers' is missing"},
        {"numbers", put_last_nan64, MMCL_E_INVAL, "max_scale is "},
        {"step", put_ones, MMCL_E_FORMAT, "'step' is negative"},
        {"step", NULL, MMCL_E_FORMAT, "'step' is missing"},
        {"state", put_last_nan64, MMCL_E_FORMAT, "'state' has a value out of range"},
        {"order", put_ones, MMCL_E_FORMAT, "'order' has a value out of range"},
        {"order", NULL, MMCL_E_FORMAT, "'order' is missing"},
        {"x/widths", NULL, MMCL_E_FORMAT, "'x/widths' is missing"},
        {"x/layer1/bias", put_last_nan, MMCL_E_FORMAT, "'x/layer1/bias' holds NaN"},
        {"t/layer0/weight", NULL, MMCL_E_FORMAT, "'t/layer0/weight' is missing"},
        {"t/first/layer0/weight", put_last_nan, MMCL_E_FORMAT, "'t/first/layer0/weight' holds NaN"},
        {"t/first/layer2/bias", NULL, MMCL_E_FORMAT, "'t/first/layer2/bias' is missing"},
        {"t/factors", put_last_nan, MMCL_E_FORMAT, "'t/factors' holds NaN"},
        {"t/inverses", NULL, MMCL_E_FORMAT, "'t/inverses' is missing"},
    };
    training t;
    blob     there, here;
    begin_damage(&t, &there, &here);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        blob bad = rewritten(&t, there, cases[i].key, cases[i].change);
        ck_assert_int_eq(resume(&t, bad.bytes, bad.count), cases[i].status);
        const char *message = mmcl_context_message(t.context);
        ck_assert_msg(strstr(message, cases[i].text) != NULL, "'%s' lacks '%s'", message, cases[i].text);
        ck_assert(stands_at(&t, here));
        free(bad.bytes);
    }
    blob good = rewritten(&t, there, "step", leave);
    OK(&t, resume(&t, good.bytes, good.count));
    ck_assert(stands_at(&t, there));
    free(good.bytes);
    end_damage(&t, &there, &here);
}
END_TEST

/* ---------------------------------------------------------------------------------------------------- while it runs --- */

static setup periodic(const char *path)
{
    setup with                    = setups[2];
    with.options.checkpoint       = path;
    with.options.checkpoint_every = 5;
    return with;
}

static bool file_is(const char *path, blob expected)
{
    size_t         count;
    unsigned char *bytes = load_bytes(path, &count);
    bool           equal = same((blob){bytes, count}, expected);
    free(bytes);
    return equal;
}

START_TEST(runs_write_checkpoints)
{
    training t, plain;
    char     path[320];
    snprintf(path, sizeof path, "%s", in_folder("run.npz"));
    setup with = periodic(path);
    begin(&t, &with);
    memset(path, 'x', 8); /* the trainer has a copy */
    OK(&t, mmcl_trainer_run(t.trainer, 4, NULL));
    ck_assert_int_eq(folder_count(0), 0);
    OK(&t, mmcl_trainer_run(t.trainer, 13, NULL));
    ck_assert_int_eq(folder_count(0), 1);
    begin(&plain, &setups[2]);
    OK(&plain, mmcl_trainer_run(plain.trainer, 10, NULL));
    blob ten = save(&plain);
    ck_assert(file_is(in_folder("run.npz"), ten));
    OK(&plain, mmcl_trainer_save(plain.trainer, in_folder("saved")));
    ck_assert(file_is(in_folder("saved"), ten));
    OK(&t, mmcl_trainer_resume(t.trainer, in_folder("run.npz"), NULL));
    ck_assert(stands_at(&t, ten));
    free(ten.bytes);
    end(&plain);
    end(&t);
}
END_TEST

static void limit_files(rlim_t bytes)
{
    struct rlimit limit;
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* A disk that is full after any number of bytes: the old file stays, the new one leaves nothing behind, and the run can go on. */
START_TEST(a_full_disk_costs_nothing)
{
    training    t;
    const char *path = in_folder("run.npz");
    setup       with = periodic(path);
    begin(&t, &with);
    OK(&t, mmcl_trainer_run(t.trainer, 6, NULL));
    size_t count;
    blob   five = {load_bytes(path, &count), 0};
    five.count  = count;
    signal(SIGXFSZ, SIG_IGN);
    for (size_t bytes = 0; bytes < count; bytes += count / 23) {
        mmcl_train_info info = {.struct_size = sizeof info};
        OK(&t, resume(&t, five.bytes, five.count));
        limit_files(bytes);
        mmcl_status status = mmcl_trainer_run(t.trainer, 12, &info), again = mmcl_trainer_save(t.trainer, path);
        limit_files(RLIM_INFINITY);
        ck_assert_int_eq(status, MMCL_E_IO);
        ck_assert_int_eq(again, MMCL_E_IO);
        ck_assert_ptr_nonnull(strstr(mmcl_context_message(t.context), "cannot be written"));
        ck_assert_uint_eq(info.step, 10);
        ck_assert(file_is(path, five));
        ck_assert_int_eq(folder_count(0), 1);
    }
    OK(&t, mmcl_trainer_run(t.trainer, STEPS, NULL));
    training whole;
    begin(&whole, &setups[2]);
    OK(&whole, mmcl_trainer_run(whole.trainer, STEPS, NULL));
    blob expected = save(&whole);
    ck_assert(stands_at(&t, expected));
    free(expected.bytes);
    free(five.bytes);
    end(&whole);
    end(&t);
}
END_TEST

START_TEST(places_that_cannot_be_written_are_named)
{
    training t;
    setup    with = periodic(in_folder("missing/run.npz"));
    begin(&t, &with);
    mmcl_train_info info = {.struct_size = sizeof info};
    ck_assert_int_lt(mmcl_trainer_run(t.trainer, 12, &info), 0);
    ck_assert_ptr_nonnull(strstr(mmcl_context_message(t.context), "missing/run.npz"));
    ck_assert_uint_eq(info.step, 5);
    ck_assert_int_eq(mmcl_trainer_save(t.trainer, folder), MMCL_E_IO);
    blob      full = {.bytes = (void *) &t};
    mmcl_sink sink = {.struct_size = sizeof sink, .user = &full, .write = keep};
    ck_assert_int_eq(mmcl_trainer_save_to(t.trainer, &sink), MMCL_E_CALLBACK);
    end(&t);
}
END_TEST

static int32_t stop_at_eight(void *user, const mmcl_progress *progress)
{
    (void) user;
    return !progress->finished && progress->step == 8;
}

START_TEST(a_cancelled_run_leaves_its_last_checkpoint)
{
    training    t;
    const char *path = in_folder("run.npz");
    setup       with = periodic(path);
    begin(&t, &with);
    mmcl_context_set_progress(t.context, stop_at_eight, NULL);
    ck_assert_int_eq(mmcl_trainer_run(t.trainer, STEPS, NULL), MMCL_E_CANCELLED);
    mmcl_context_set_progress(t.context, NULL, NULL);
    blob eight = save(&t);
    OK(&t, mmcl_trainer_resume(t.trainer, path, NULL));
    mmcl_train_info info = {.struct_size = sizeof info};
    OK(&t, mmcl_trainer_get_info(t.trainer, &info));
    ck_assert_uint_eq(info.step, 5);
    OK(&t, mmcl_trainer_run(t.trainer, 8, NULL));
    ck_assert(stands_at(&t, eight));
    free(eight.bytes);
    end(&t);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        resumed_equals_uninterrupted,
        views_of_parameters_stay_valid,
        other_trainings_are_named,
        arrays_of_other_size_are_named,
        options_and_arguments_are_named,
        what_is_not_finite_is_not_written,
        truncated_files_change_nothing,
        flipped_bits_never_pass,
        reads_that_fail_change_nothing,
        hostile_values_are_named,
        runs_write_checkpoints,
        a_full_disk_costs_nothing,
        places_that_cannot_be_written_are_named,
        a_cancelled_run_leaves_its_last_checkpoint,
    };
    return run_suite("checkpoint", tests, sizeof tests / sizeof *tests);
}
