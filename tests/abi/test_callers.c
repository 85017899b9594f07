/*
 * Callers that were compiled against another version: their structs are shorter or longer than the library's. The sizes of the
 * first version are numbers here, because they are compiled into programs that are not rebuilt.
 */
#include <mmcl/mmcl.h>

#include <check.h>
#include <stdlib.h>
#include <string.h>

static mmcl_context   *context;
static mmcl_transform *transform;

static float         x[12 * 3];
static int64_t       labels[12];
static mmcl_matrix   rows;
static mmcl_labelled train;

static void *std_alloc(void *user, size_t size, size_t align)
{
    (void) user;
    return aligned_alloc(align, (size + align - 1) / align * align);
}

static void std_free(void *user, void *block, size_t size, size_t align)
{
    (void) user;
    (void) size;
    (void) align;
    free(block);
}

static void setup(void)
{
    for (int i = 0; i < 36; i++)
        x[i] = (float) (i * i % 17);
    for (int i = 0; i < 12; i++)
        labels[i] = i % 2;
    rows  = (mmcl_matrix){.data = x, .rows = 12, .cols = 3};
    train = (mmcl_labelled){.features = rows, .labels = labels};
    ck_assert_int_eq(mmcl_context_create(&context, NULL), MMCL_OK);
    ck_assert_int_eq(mmcl_transform_create_spec(&transform, context, "pca:2"), MMCL_OK);
    ck_assert_int_eq(mmcl_transform_fit(transform, &rows, 1, NULL), MMCL_OK);
}

static void teardown(void)
{
    mmcl_transform_destroy(transform);
    mmcl_context_destroy(context);
}

/* ---------------------------------------------------------------------------------------- one use of each struct --- */

static mmcl_status use_context_options(void *options)
{
    mmcl_context *made;
    mmcl_status   status = mmcl_context_create(&made, options);
    ck_assert((made != NULL) == (status == MMCL_OK));
    mmcl_context_destroy(made);
    return status;
}

static mmcl_status use_allocator(void *allocator)
{
    const mmcl_context_options options = {.struct_size = sizeof options, .allocator = allocator};
    return use_context_options((void *) &options);
}

static mmcl_status use_executor(void *executor)
{
    const mmcl_context_options options = {.struct_size = sizeof options, .executor = executor};
    return use_context_options((void *) &options);
}

static mmcl_status use_memory_info(void *out)
{
    return mmcl_context_memory(context, out);
}

static mmcl_status use_allocator_out(void *out)
{
    return mmcl_context_allocator(context, out);
}

static mmcl_status use_open_options(void *options)
{
    mmcl_archive *archive;
    mmcl_status   status = mmcl_archive_open(&archive, context, "/nonexistent/file.npy", options);
    ck_assert_ptr_null(archive);
    return status == MMCL_E_NOTFOUND ? MMCL_OK : status; /* the options were fine */
}

static mmcl_status no_bytes(void *user, uint64_t offset, void *buffer, size_t bytes)
{
    (void) user;
    (void) offset;
    memset(buffer, 0, bytes);
    return MMCL_OK;
}

static mmcl_status use_stream(void *stream)
{
    const mmcl_open_options options = {.struct_size = sizeof options, .stream = stream};
    mmcl_archive           *archive;
    mmcl_status             status = mmcl_archive_open(&archive, context, "zeros", &options);
    return status == MMCL_E_FORMAT ? MMCL_OK : status;
}

static mmcl_status swallow(void *user, const void *bytes, size_t n)
{
    (void) user;
    (void) bytes;
    (void) n;
    return MMCL_OK;
}

static mmcl_status use_sink(void *sink)
{
    return mmcl_transform_save_to(transform, sink);
}

static mmcl_status use_step_options(void *step)
{
    mmcl_transform *chain;
    ck_assert_int_eq(mmcl_transform_create(&chain, context), MMCL_OK);
    mmcl_status status = mmcl_transform_add(chain, step);
    ck_assert_uint_eq(mmcl_transform_count(chain), status == MMCL_OK);
    if (status == MMCL_OK)
        status = mmcl_transform_set_step(chain, 0, step);
    mmcl_transform_destroy(chain);
    return status;
}

static mmcl_status use_step_options_out(void *out)
{
    return mmcl_transform_get_step(transform, 0, out);
}

static mmcl_status use_step_info(void *out)
{
    return mmcl_transform_step_result(transform, 0, out);
}

static mmcl_status use_fit_options(void *options)
{
    mmcl_transform *chain;
    uint64_t        bytes;
    ck_assert_int_eq(mmcl_transform_create_spec(&chain, context, "whiten:2"), MMCL_OK);
    mmcl_status status = mmcl_transform_fit(chain, &rows, 1, options);
    mmcl_status other  = mmcl_transform_estimate(chain, 12, 3, options, &bytes);
    ck_assert(status == MMCL_OK ? other == MMCL_OK : other != MMCL_OK);
    mmcl_transform_destroy(chain);
    return status;
}

static mmcl_status fit_head(const mmcl_logreg_options *options, mmcl_logreg_info *info)
{
    mmcl_classifier *head;
    mmcl_status      status = mmcl_logreg_fit(&head, context, &train, 2, options, NULL, info);
    ck_assert((head != NULL) == (status == MMCL_OK));
    mmcl_classifier_destroy(head);
    return status;
}

static mmcl_status use_logreg_options(void *options)
{
    return fit_head(options, NULL);
}

static mmcl_status use_logreg_info(void *info)
{
    return fit_head(NULL, info);
}

static mmcl_status search(const mmcl_search_options *options, mmcl_search_info *info)
{
    mmcl_classifier *head;
    mmcl_status      status = mmcl_logreg_search(&head, context, &train, &train, 2, options, info);
    ck_assert((head != NULL) == (status == MMCL_OK));
    mmcl_classifier_destroy(head);
    return status;
}

static mmcl_status use_search_options(void *options)
{
    return search(options, NULL);
}

static mmcl_status use_search_info(void *info)
{
    return search(NULL, info);
}

static mmcl_status probe(const void *data, const void *options, void *result)
{
    const mmcl_fewshot_data  own_data    = {.struct_size = sizeof own_data, .classes = 2, .train = train, .val = train};
    const mmcl_probe_options own_options = {.struct_size = sizeof own_options, .shots = 4};
    mmcl_transform          *raw;
    ck_assert_int_eq(mmcl_transform_create_spec(&raw, context, "raw"), MMCL_OK);
    mmcl_status status = mmcl_probe_run(NULL, context, data != NULL ? data : &own_data, raw,
                                        options != NULL ? options : &own_options, result, NULL);
    mmcl_transform_destroy(raw);
    return status;
}

static mmcl_status use_fewshot_data(void *data)
{
    return probe(data, NULL, NULL);
}

static mmcl_status use_probe_options(void *options)
{
    return probe(NULL, options, NULL);
}

static mmcl_status use_probe_result(void *result)
{
    return probe(NULL, NULL, result);
}

static mmcl_status adapt(const void *data, const void *options, mmcl_adapt_info *info)
{
    const mmcl_adapt_data own  = {.struct_size = sizeof own, .classes = 2, .train = train};
    mmcl_classifier      *head;
    mmcl_status           status = mmcl_adapt_fit(&head, context, MMCL_METHOD_NCM, data != NULL ? data : &own, options, info);
    ck_assert((head != NULL) == (status == MMCL_OK));
    mmcl_classifier_destroy(head);
    return status;
}

static mmcl_status use_adapt_data(void *data)
{
    return adapt(data, NULL, NULL);
}

static mmcl_status use_adapt_options(void *options)
{
    return adapt(NULL, options, NULL);
}

static mmcl_status use_adapt_info(void *info)
{
    return adapt(NULL, NULL, info);
}

/* -------------------------------------------------------------------------------------------------------- callers --- */

static int32_t run_tasks(void *user, uint32_t n, void (*task)(void *argument, uint32_t i), void *argument)
{
    (void) user;
    for (uint32_t i = 0; i < n; i++)
        task(argument, i);
    return 0;
}

/* Valid contents for the structs that cannot be all zero. */
static void fill(const char *name, void *bytes)
{
    if (strcmp(name, "mmcl_allocator") == 0)
        memcpy(bytes, &(mmcl_allocator){.alloc = std_alloc, .free = std_free}, sizeof(mmcl_allocator));
    if (strcmp(name, "mmcl_executor") == 0)
        memcpy(bytes, &(mmcl_executor){.run = run_tasks, .width = 1}, sizeof(mmcl_executor));
    if (strcmp(name, "mmcl_stream") == 0)
        memcpy(bytes, &(mmcl_stream){.size = 64, .read_at = no_bytes}, sizeof(mmcl_stream));
    if (strcmp(name, "mmcl_sink") == 0)
        memcpy(bytes, &(mmcl_sink){.write = swallow}, sizeof(mmcl_sink));
    if (strcmp(name, "mmcl_step_options") == 0)
        memcpy(bytes, &(mmcl_step_options){.kind = MMCL_STEP_PCA}, sizeof(mmcl_step_options));
    if (strcmp(name, "mmcl_fewshot_data") == 0)
        memcpy(bytes, &(mmcl_fewshot_data){.classes = 2, .train = train, .val = train}, sizeof(mmcl_fewshot_data));
    if (strcmp(name, "mmcl_adapt_data") == 0)
        memcpy(bytes, &(mmcl_adapt_data){.classes = 2, .train = train}, sizeof(mmcl_adapt_data));
    if (strcmp(name, "mmcl_probe_options") == 0)
        memcpy(bytes, &(mmcl_probe_options){.shots = 4}, sizeof(mmcl_probe_options));
}

static const struct tagged {
    const char *name;
    size_t      first; /* sizeof in the first version */
    mmcl_status (*use)(void *);
    int         out;   /* the library writes it */
} structs[] = {
    {"mmcl_context_options", 64, use_context_options, 0}, {"mmcl_allocator", 32, use_allocator, 0},
    {"mmcl_executor", 32, use_executor, 0},               {"mmcl_allocator", 32, use_allocator_out, 1},
    {"mmcl_memory_info", 40, use_memory_info, 1},         {"mmcl_open_options", 24, use_open_options, 0},
    {"mmcl_stream", 32, use_stream, 0},                   {"mmcl_sink", 24, use_sink, 0},
    {"mmcl_step_options", 96, use_step_options, 0},       {"mmcl_step_options", 96, use_step_options_out, 1},
    {"mmcl_step_info", 96, use_step_info, 1},             {"mmcl_fit_options", 16, use_fit_options, 0},
    {"mmcl_logreg_options", 40, use_logreg_options, 0},   {"mmcl_logreg_info", 72, use_logreg_info, 1},
    {"mmcl_search_options", 72, use_search_options, 0},   {"mmcl_search_info", 48, use_search_info, 1},
    {"mmcl_fewshot_data", 272, use_fewshot_data, 0},      {"mmcl_probe_options", 48, use_probe_options, 0},
    {"mmcl_probe_result", 104, use_probe_result, 1},      {"mmcl_adapt_data", 240, use_adapt_data, 0},
    {"mmcl_adapt_options", 192, use_adapt_options, 0},    {"mmcl_adapt_info", 136, use_adapt_info, 1},
};
enum { STRUCTS = sizeof structs / sizeof *structs, ROOM = 1024 };

/* A caller whose struct takes `size` bytes and is followed by memory that is none of the library's business. */
static mmcl_status call(const struct tagged *s, size_t size, size_t set)
{
    _Alignas(16) unsigned char bytes[ROOM];
    memset(bytes, 0, sizeof bytes);
    if (!s->out)
        fill(s->name, bytes);
    memcpy(bytes, &size, sizeof size);
    memset(bytes + size, 0xee, sizeof bytes - size);
    if (set != 0)
        bytes[set] = 1;
    mmcl_status status = s->use(bytes);
    for (size_t i = size; i < sizeof bytes; i++)
        ck_assert_msg(bytes[i] == 0xee, "%s: byte %zu behind the struct was written", s->name, i);
    size_t tag;
    memcpy(&tag, bytes, sizeof tag);
    ck_assert_uint_eq(tag, size);
    return status;
}

START_TEST(first_version_works)
{
    ck_assert_int_eq(call(&structs[_i], structs[_i].first, 0), MMCL_OK);
}
END_TEST

START_TEST(longer_with_zero_tail_works)
{
    ck_assert_int_eq(call(&structs[_i], ROOM - 64, 0), MMCL_OK);
}
END_TEST

START_TEST(unknown_field_in_use_is_refused)
{
    if (!structs[_i].out) {
        ck_assert_int_eq(call(&structs[_i], ROOM - 64, ROOM - 65), MMCL_E_ABI);
        ck_assert_int_eq(call(&structs[_i], ROOM - 64, 512), MMCL_E_ABI);
    }
}
END_TEST

START_TEST(too_short_is_refused)
{
    ck_assert_int_eq(call(&structs[_i], 8, 0), MMCL_E_ABI);
    ck_assert_int_eq(call(&structs[_i], structs[_i].first - 1, 0), MMCL_E_ABI);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("callers");
    TCase *tcase = tcase_create("callers");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, first_version_works, 0, STRUCTS);
    tcase_add_loop_test(tcase, longer_with_zero_tail_works, 0, STRUCTS);
    tcase_add_loop_test(tcase, unknown_field_in_use_is_refused, 0, STRUCTS);
    tcase_add_loop_test(tcase, too_short_is_refused, 0, STRUCTS);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
