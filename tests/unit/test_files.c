/* Model files: saved and loaded, damaged, hostile. */
#include "io_support.h"

#include "io/writer.h"

#include <math.h>

#define ROWS 200
#define COLS 5

static float       data[ROWS * COLS];
static mmcl_matrix rows = {.data = data, .rows = ROWS, .cols = COLS};

static void make_data(void)
{
    uint32_t state = 12345;
    for (size_t i = 0; i < ROWS * COLS; i++) {
        state   = state * 1664525u + 1013904223u;
        float u = (float) (state >> 8) / 16777216.0f - 0.5f;
        data[i] = u * u * u * (float) (1 + i % COLS) + (i % COLS > 0 ? 0.5f * data[i - 1] : 0.25f);
    }
}

static mmcl_transform *fit(const char *spec)
{
    mmcl_transform *transform;
    ck_assert_ok(mmcl_transform_create_spec(&transform, context, spec));
    ck_assert_ok(mmcl_transform_fit(transform, &rows, 1, NULL));
    return transform;
}

/* A sink that keeps what it gets, and fails when `fails` is set. */
typedef struct kept {
    unsigned char *bytes;
    size_t         count;
    int            fails;
} kept;

static mmcl_status keep(void *user, const void *bytes, size_t count)
{
    kept *k = user;
    if (k->fails)
        return -5;
    k->bytes = realloc(k->bytes, k->count + count);
    memcpy(k->bytes + k->count, bytes, count);
    k->count += count;
    return MMCL_OK;
}

static mmcl_sink sink_of(kept *k)
{
    return (mmcl_sink){.struct_size = sizeof(mmcl_sink), .user = k, .write = keep};
}

static kept save_transform(const mmcl_transform *transform)
{
    kept      k    = {0};
    mmcl_sink sink = sink_of(&k);
    ck_assert_ok(mmcl_transform_save_to(transform, &sink));
    return k;
}

static mmcl_status load_transform(mmcl_transform **out, const unsigned char *bytes, size_t count)
{
    memory_stream memory = {bytes, count, 1 << 30};
    mmcl_stream   stream = stream_of(&memory);
    return mmcl_transform_load(out, context, "bytes",
                               &(mmcl_open_options){.struct_size = sizeof(mmcl_open_options), .stream = &stream});
}

static const char *const specs[] = {
    "raw",         "center", "normalize",        "pca:3",
    "whiten:4",    "ica:3",  "ica:2:picard:exp", "center+normalize+pca:4+whiten:3+normalize",
    "pca:4+ica:2",
};

START_TEST(loaded_applies_as_saved)
{
    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
        mmcl_transform *transform             = fit(specs[i]), *loaded;
        float           expected[ROWS * COLS] = {0}, got[ROWS * COLS] = {0};
        const char     *path = in_folder("model");
        kept            k    = save_transform(transform);
        ck_assert_ok(mmcl_transform_apply(transform, &rows, expected, COLS));
        ck_assert_ok(mmcl_transform_save(transform, path));
        for (int way = 0; way < 3; way++) {
            mmcl_open_options options = {.struct_size = sizeof options, .access = way == 1 ? MMCL_ACCESS_READ : MMCL_ACCESS_MAP};
            ck_assert_ok(way == 2 ? load_transform(&loaded, k.bytes, k.count)
                                  : mmcl_transform_load(&loaded, context, path, &options));
            ck_assert_ok(mmcl_transform_apply(loaded, &rows, got, COLS));
            ck_assert_mem_eq(got, expected, sizeof got);
            kept again = save_transform(loaded); /* options, results and fields, all of them */
            ck_assert_uint_eq(again.count, k.count);
            ck_assert_mem_eq(again.bytes, k.bytes, k.count);
            free(again.bytes);
            mmcl_transform_destroy(loaded);
        }
        free(k.bytes);
        mmcl_transform_destroy(transform);
    }
}
END_TEST

START_TEST(a_given_start_is_kept)
{
    const double      start[4] = {1, 0.5, -0.25, 2};
    mmcl_step_options step     = {.struct_size    = sizeof step,
                                  .kind           = MMCL_STEP_ICA,
                                  .components     = 2,
                                  .start          = start,
                                  .max_iterations = UINT64_MAX,
                                  .tolerance      = 0.5,
                                  .order          = MMCL_ORDER_VARIANCE,
                                  .sign           = MMCL_SIGN_SKEW};
    mmcl_step_options back     = {.struct_size = sizeof back};
    mmcl_transform   *transform, *loaded;
    ck_assert_ok(mmcl_transform_create(&transform, context));
    ck_assert_ok(mmcl_transform_add(transform, &step));
    ck_assert_ok(mmcl_transform_fit(transform, &rows, 1, NULL));
    kept k = save_transform(transform);
    ck_assert_ok(load_transform(&loaded, k.bytes, k.count));
    ck_assert_int_eq(mmcl_transform_get_step(loaded, 0, &back), MMCL_OK);
    ck_assert_mem_eq(back.start, start, sizeof start);
    ck_assert(back.max_iterations == UINT64_MAX && back.tolerance == 0.5 && back.order == MMCL_ORDER_VARIANCE);
    free(k.bytes);
    mmcl_transform_destroy(loaded);
    mmcl_transform_destroy(transform);
}
END_TEST

START_TEST(what_cannot_be_saved)
{
    mmcl_transform *transform, *loaded;
    kept            k    = {.fails = 1};
    mmcl_sink       sink = sink_of(&k);
    ck_assert_ok(mmcl_transform_create_spec(&transform, context, "pca:2"));
    ck_assert_int_eq(mmcl_transform_save(transform, in_folder("model")), MMCL_E_STATE);
    ck_assert_ok(mmcl_transform_fit(transform, &rows, 1, NULL));
    ck_assert_int_eq(mmcl_transform_save(transform, in_folder("none/model")), MMCL_E_IO);
    ck_assert_int_eq(mmcl_transform_save(transform, folder), MMCL_E_IO);
    ck_assert_int_eq(mmcl_transform_save(transform, NULL), MMCL_E_INVAL);
    ck_assert_int_eq(mmcl_transform_save_to(transform, &sink), MMCL_E_CALLBACK);
    ck_assert_int_eq(mmcl_transform_save_to(transform, NULL), MMCL_E_INVAL);
    sink.write = NULL;
    ck_assert_int_eq(mmcl_transform_save_to(transform, &sink), MMCL_E_INVAL);
    ck_assert_int_eq(mmcl_transform_load(&loaded, context, in_folder("model"), NULL), MMCL_E_NOTFOUND);
    ck_assert_int_eq(mmcl_transform_load(&loaded, context, folder, NULL), MMCL_E_IO);
    ck_assert_ptr_null(loaded);
    mmcl_transform_destroy(transform);
}
END_TEST

START_TEST(truncated_model)
{
    mmcl_transform *transform = fit("pca:2+normalize"), *loaded;
    kept            k         = save_transform(transform);
    for (size_t length = 0; length < k.count; length++) {
        unsigned char *part = malloc(length + 1);
        memcpy(part, k.bytes, length);
        ck_assert_int_eq(load_transform(&loaded, part, length), MMCL_E_FORMAT);
        ck_assert_ptr_null(loaded);
        free(part);
    }
    free(k.bytes);
    mmcl_transform_destroy(transform);
}
END_TEST

START_TEST(flipped_bit_in_model)
{
    mmcl_transform *transform = fit("whiten:2"), *loaded;
    kept            k         = save_transform(transform);
    size_t          refused   = 0;
    for (size_t bit = 0; bit < 8 * k.count; bit++) {
        unsigned char mask = (unsigned char) (1 << bit % 8);
        k.bytes[bit / 8] ^= mask;
        mmcl_status status = load_transform(&loaded, k.bytes, k.count);
        k.bytes[bit / 8] ^= mask;
        if (status == MMCL_OK) {
            kept again = save_transform(loaded);
            ck_assert_uint_eq(again.count, k.count);
            ck_assert_mem_eq(again.bytes, k.bytes, k.count);
            free(again.bytes);
            mmcl_transform_destroy(loaded);
        } else {
            refused++;
            ck_assert_ptr_null(loaded);
        }
    }
    ck_assert_uint_gt(refused, 4 * k.count); /* the rest is padding, time stamps and what is not read */
    free(k.bytes);
    mmcl_transform_destroy(transform);
}
END_TEST

/* ------------------------------------------------------------------------------------------------- hostile models --- */

/* A member of a hand-made model, whose check has to find what is wrong with it. */
typedef struct part {
    const char *key;
    mmcl_dtype  dtype;
    uint32_t    dimensions;
    uint64_t    shape[2];
    const void *elements;
} part;

#define WHOLE(name, ...)                                                                                                         \
    {                                                                                                                            \
        name, MMCL_I64, 1, {sizeof((int64_t[]){__VA_ARGS__}) / 8}, (const int64_t[])                                             \
        {                                                                                                                        \
            __VA_ARGS__                                                                                                          \
        }                                                                                                                        \
    }
#define REAL(name, ...)                                                                                                          \
    {                                                                                                                            \
        name, MMCL_F64, 1, {sizeof((double[]){__VA_ARGS__}) / 8}, (const double[])                                               \
        {                                                                                                                        \
            __VA_ARGS__                                                                                                          \
        }                                                                                                                        \
    }
#define REAL2(name, n, m, ...)                                                                                                   \
    {                                                                                                                            \
        name, MMCL_F64, 2, {n, m}, (const double[])                                                                              \
        {                                                                                                                        \
            __VA_ARGS__                                                                                                          \
        }                                                                                                                        \
    }
#define HALF(name, n)                                                                                                            \
    {                                                                                                                            \
        name, MMCL_I32, 1, {n}, (const int32_t[])                                                                                \
        {                                                                                                                        \
            1, 0                                                                                                                 \
        }                                                                                                                        \
    }

/* pca:1 of two columns. */
static const part sound[] = {
    {"format", MMCL_I32, 1, {2}, (const int32_t[]){1, 0}},
    WHOLE("columns", 2, 1),
    WHOLE("steps", 1),
    WHOLE("step0/options", 3, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 200, 7),
    REAL("step0/tuning", 1e-4, 1),
    WHOLE("step0/info", 10, 2, 1, 2, 0, 1, 0, 0),
    REAL("step0/measures", 0, 0.5, 0.1),
    REAL("step0/mean", 0.5, 0.25),
    REAL2("step0/matrix", 1, 2, 0.6, 0.8),
    REAL("step0/variance", 0.5),
    REAL("step0/spectrum", 2, 1),
};
#define N_SOUND (sizeof sound / sizeof *sound)

/* Writes the sound model with `wrong` (may be NULL) in place of the part of that key, or beside the others; loads it. */
static mmcl_status load_with(const part *wrong, const char *without, const char *kind)
{
    const char     *path = in_folder("hand.npz");
    mmcl_writer    *writer;
    mmcl_transform *loaded;
    int             replaced = 0;
    ck_assert_ok(mmcl_writer_create(&writer, context, path));
    for (size_t i = 0; i < N_SOUND; i++) {
        const part *p = &sound[i];
        if (wrong != NULL && strcmp(wrong->key, p->key) == 0) {
            p        = wrong;
            replaced = 1;
        }
        if (without == NULL || strcmp(without, p->key) != 0)
            ck_assert_ok(mmcl__writer_put(writer, p->key, p->dtype, p->dimensions, p->shape, p->elements));
    }
    if (wrong != NULL && !replaced)
        ck_assert_ok(mmcl__writer_put(writer, wrong->key, wrong->dtype, wrong->dimensions, wrong->shape, wrong->elements));
    if (kind != NULL)
        ck_assert_ok(mmcl_writer_add_strings(writer, "kind", &kind, 1));
    ck_assert_ok(mmcl_writer_commit(writer));
    mmcl_writer_destroy(writer);
    mmcl_status status = mmcl_transform_load(&loaded, context, path, NULL);
    ck_assert((status == MMCL_OK) == (loaded != NULL));
    mmcl_transform_destroy(loaded);
    return status;
}

static const part wrong_parts[] = {
    WHOLE("columns", 3, 1),
    WHOLE("columns", 2, 2),
    WHOLE("columns", 0, 1),
    WHOLE("columns", INT64_MAX, 1),
    WHOLE("columns", 2),
    REAL("columns", 2, 1),
    WHOLE("steps", -1),
    WHOLE("steps", 17),
    WHOLE("steps", INT64_MIN),
    WHOLE("steps", 2), /* step1 is missing */
    WHOLE("step0/options", 3, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 200),
    WHOLE("step0/options", 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 200, 7),
    WHOLE("step0/options", 6, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 200, 7),
    WHOLE("step0/options", 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 200, 7), /* a normalisation with a matrix */
    WHOLE("step0/options", 3, 99999, 0, 0, 0, 0, 0, 0, 0, 0, 0, 200, 7),
    WHOLE("step0/options", 3, 1, 0, 0, 0, 0, 7, 0, 0, 0, 0, 200, 7),
    WHOLE("step0/options", 3, 1, 0, 0, 0, 0, 0, -1, 0, 0, 0, 200, 7),
    WHOLE("step0/options", 5, 1, 9, 0, 0, 0, 0, 0, 0, 0, 0, 200, 7),
    WHOLE("step0/options", 0x100000003, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 200, 7),
    WHOLE("step0/info", 10, 3, 1, 2, 0, 1, 0, 0),
    WHOLE("step0/info", 10, 2, 2, 2, 0, 1, 0, 0),
    WHOLE("step0/info", 10, 2, 3, 2, 0, 1, 0, 0),
    WHOLE("step0/info", 10, 2, 0, 2, 0, 1, 0, 0),
    WHOLE("step0/info", 10, -2, 1, 2, 0, 1, 0, 0),
    WHOLE("step0/info", 10, 1 << 30, 1 << 30, 2, 0, 1, 0, 0),
    WHOLE("step0/info", 10, 2, 1, 2, 0, 1, 0, 4),
    REAL("step0/mean", 0.5),
    REAL("step0/mean", 0.5, NAN),
    REAL2("step0/mean", 1, 2, 0.5, 0.25),
    REAL2("step0/matrix", 2, 1, 0.6, 0.8),
    REAL2("step0/matrix", 1, 2, INFINITY, 0.8),
    REAL("step0/matrix", 0.6, 0.8),
    REAL("step0/variance", 0.5, 0.5),
    REAL("step0/spectrum", 2),
    REAL2("step0/start", 1, 1, 1), /* only ICA has one */
    {"format", MMCL_I32, 1, {2}, (const int32_t[]){0, 0}},
    {"format", MMCL_I32, 1, {2}, (const int32_t[]){-1, 0}},
    {"format", MMCL_I32, 1, {1}, (const int32_t[]){1}},
    {"format", MMCL_I64, 1, {2}, (const int64_t[]){1, 0}},
};

START_TEST(hostile_models)
{
    ck_assert_ok(load_with(NULL, NULL, "transform"));
    for (size_t i = 0; i < sizeof wrong_parts / sizeof *wrong_parts; i++) {
        mmcl_status status = load_with(&wrong_parts[i], NULL, "transform");
        ck_assert_msg(status == MMCL_E_FORMAT, "part %zu (%s): %d", i, wrong_parts[i].key, status);
    }
    for (size_t i = 0; i < N_SOUND; i++) {
        int optional = strcmp(sound[i].key, "step0/variance") == 0 || strcmp(sound[i].key, "step0/spectrum") == 0;
        ck_assert_int_eq(load_with(NULL, sound[i].key, "transform"), optional ? MMCL_OK : MMCL_E_FORMAT);
    }
    ck_assert_int_eq(load_with(NULL, NULL, NULL), MMCL_E_FORMAT);
    ck_assert_int_eq(load_with(NULL, NULL, "pipeline"), MMCL_E_FORMAT);
    ck_assert_message("'pipeline', expected a transform");
    ck_assert_int_eq(load_with(NULL, NULL, "a kind with a very long name"), MMCL_E_FORMAT);
}
END_TEST

START_TEST(other_versions)
{
    const part newer_major = {"format", MMCL_I32, 1, {2}, (const int32_t[]){2, 1}};
    const part newer_minor = {"format", MMCL_I32, 1, {2}, (const int32_t[]){1, 9}};
    const part longer      = WHOLE("step0/options", 3, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 200, 7, 1, 2, 3);
    const part unknown     = HALF("step0/more", 2);
    ck_assert_int_eq(load_with(&newer_major, NULL, "transform"), MMCL_E_VERSION);
    ck_assert_message("format 2.1, this library reads formats up to 1");
    ck_assert_ok(load_with(&newer_minor, NULL, "transform"));
    ck_assert_ok(load_with(&longer, NULL, "transform"));
    ck_assert_ok(load_with(&unknown, NULL, "transform"));
}
END_TEST

/* -------------------------------------------------------------------------------------------------------- pipelines --- */

static const char *const class_names[3] = {"cat", "caf\xc3\xa9", ""};

static mmcl_pipeline *make_pipeline(const char *spec, size_t inputs, int named)
{
    double           weights[3 * COLS], intercepts[3] = {0.1, -0.2, 0.3};
    mmcl_classifier *head;
    mmcl_pipeline   *pipeline;
    mmcl_transform  *transform = spec != NULL ? fit(spec) : NULL;
    for (size_t i = 0; i < 3 * inputs; i++)
        weights[i] = sin((double) i);
    ck_assert_ok(mmcl_classifier_create_linear(&head, context, 3, inputs, weights, intercepts));
    ck_assert_ok(mmcl_pipeline_create(&pipeline, context, transform, head, named ? class_names : NULL));
    mmcl_classifier_destroy(head);
    mmcl_transform_destroy(transform);
    return pipeline;
}

static kept save_pipeline(const mmcl_pipeline *pipeline)
{
    kept      k    = {0};
    mmcl_sink sink = sink_of(&k);
    ck_assert_ok(mmcl_pipeline_save_to(pipeline, &sink));
    return k;
}

static mmcl_status load_pipeline(mmcl_pipeline **out, const unsigned char *bytes, size_t count)
{
    memory_stream           memory  = {bytes, count, 1 << 30};
    mmcl_stream             stream  = stream_of(&memory);
    const mmcl_open_options options = {.struct_size = sizeof options, .stream = &stream};
    return mmcl_pipeline_load(out, context, "bytes", &options);
}

START_TEST(pipeline_predicts_as_saved)
{
    for (int i = 0; i < 4; i++) {
        mmcl_pipeline *pipeline = make_pipeline(i < 2 ? "whiten:4+normalize" : NULL, i < 2 ? 4 : COLS, i % 2), *loaded;
        int64_t        expected[ROWS], got[ROWS];
        float          scores[ROWS * 3], again[ROWS * 3];
        const char    *path = in_folder("pipeline");
        kept           k    = save_pipeline(pipeline);
        size_t         count;
        ck_assert_ok(mmcl_pipeline_predict(pipeline, &rows, expected, scores));
        ck_assert_ok(mmcl_pipeline_save(pipeline, path));
        unsigned char *bytes = load_bytes(path, &count);
        ck_assert(count == k.count && memcmp(bytes, k.bytes, count) == 0);
        ck_assert_ok(mmcl_pipeline_load(&loaded, context, path, NULL));
        ck_assert_ok(mmcl_pipeline_predict(loaded, &rows, got, again));
        ck_assert_mem_eq(got, expected, sizeof got);
        ck_assert_mem_eq(again, scores, sizeof scores);
        for (size_t c = 0; c < 3; c++)
            if (i % 2)
                ck_assert_str_eq(mmcl_pipeline_class_name(loaded, c), class_names[c]);
            else
                ck_assert_ptr_null(mmcl_pipeline_class_name(loaded, c));
        free(bytes);
        free(k.bytes);
        mmcl_pipeline_destroy(loaded);
        mmcl_pipeline_destroy(pipeline);
    }
}
END_TEST

START_TEST(damaged_pipeline)
{
    mmcl_pipeline  *pipeline = make_pipeline("pca:2", 2, 1), *loaded;
    mmcl_transform *transform;
    kept            k = save_pipeline(pipeline);
    ck_assert_int_eq(load_transform(&transform, k.bytes, k.count), MMCL_E_FORMAT);
    for (size_t length = 0; length < k.count; length++)
        ck_assert_int_eq(load_pipeline(&loaded, k.bytes, length), MMCL_E_FORMAT);
    for (size_t i = 0; i < 2 * k.count; i++) {
        unsigned char mask = (unsigned char) (i % 2 ? 0xff : 1 << i / 2 % 8);
        k.bytes[i / 2] ^= mask;
        mmcl_status status = load_pipeline(&loaded, k.bytes, k.count);
        k.bytes[i / 2] ^= mask;
        if (status != MMCL_OK) {
            ck_assert_ptr_null(loaded);
            continue;
        }
        kept again = save_pipeline(loaded);
        ck_assert(again.count == k.count && memcmp(again.bytes, k.bytes, k.count) == 0);
        free(again.bytes);
        mmcl_pipeline_destroy(loaded);
    }
    free(k.bytes);
    mmcl_pipeline_destroy(pipeline);
}
END_TEST

START_TEST(memory_that_fails)
{
    mmcl_pipeline *pipeline = make_pipeline("center+pca:2+normalize", 2, 1);
    const char    *path     = in_folder("pipeline");
    mmcl_status    status   = MMCL_E_NOMEM;
    ck_assert_ok(mmcl_pipeline_save(pipeline, path));
    mmcl_pipeline_destroy(pipeline);
    for (size_t most = 1; status != MMCL_OK; most++) {
        limited        limit;
        kept           k      = {0};
        mmcl_sink      sink   = sink_of(&k);
        mmcl_context  *scarce = scarce_context(&limit, most);
        mmcl_pipeline *loaded = NULL;
        status                = mmcl_pipeline_load(&loaded, scarce, path, NULL);
        ck_assert((status == MMCL_OK) == (loaded != NULL));
        if (status == MMCL_OK)
            status = mmcl_pipeline_save_to(loaded, &sink);
        ck_assert(status == MMCL_OK || (status == MMCL_E_NOMEM && k.count == 0));
        mmcl_pipeline_destroy(loaded);
        mmcl_context_destroy(scarce);
        free(k.bytes);
        ck_assert_uint_eq(limit.live, 0);
        ck_assert_uint_lt(most, 1000);
    }
}
END_TEST

static const char *const numpy_models[] = {"pca", "ica", "two", "pipeline", "head"};

START_TEST(models_that_numpy_wrote)
{
    for (size_t i = 0; i < sizeof numpy_models / sizeof *numpy_models; i++) {
        char            path[512];
        mmcl_transform *transform = NULL;
        mmcl_pipeline  *pipeline  = NULL;
        snprintf(path, sizeof path, TEST_DATA "/../../fuzz/corpus/model/%s", numpy_models[i]);
        if (i < 3)
            ck_assert_ok(mmcl_transform_load(&transform, context, path, NULL));
        else
            ck_assert_ok(mmcl_pipeline_load(&pipeline, context, path, NULL));
        mmcl_transform_destroy(transform);
        mmcl_pipeline_destroy(pipeline);
    }
}
END_TEST

START_TEST(other_files_are_no_models)
{
    mmcl_transform *loaded;
    ck_assert_int_eq(mmcl_transform_load(&loaded, context, TEST_DATA "/io/stored.npz", NULL), MMCL_E_FORMAT);
    ck_assert_message("'format' is missing");
    ck_assert_int_eq(mmcl_transform_load(&loaded, context, TEST_DATA "/io/v1.npy", NULL), MMCL_E_FORMAT);
    ck_assert_int_eq(mmcl_transform_load(&loaded, context, TEST_DATA "/io/tensors.safetensors", NULL), MMCL_E_FORMAT);
    ck_assert_int_eq(mmcl_transform_load(NULL, context, TEST_DATA "/io/v1.npy", NULL), MMCL_E_INVAL);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        loaded_applies_as_saved,    a_given_start_is_kept, what_cannot_be_saved, truncated_model,
        flipped_bit_in_model,       hostile_models,        other_versions,       other_files_are_no_models,
        pipeline_predicts_as_saved, damaged_pipeline,      memory_that_fails,    models_that_numpy_wrote,
    };
    make_data();
    return run_suite("model", tests, sizeof tests / sizeof *tests);
}
