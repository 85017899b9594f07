/* What the tests of files share: a folder of their own, a context that must end without leaks, files from bytes. */
#ifndef TEST_IO_SUPPORT_H
#define TEST_IO_SUPPORT_H

#include <mmcl/mmcl.h>

#include "suite.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static mmcl_context *context;
static char          folder[64];
static uint64_t      live_bytes; /* of the context alone */

static inline void set_up(void)
{
    strcpy(folder, "/tmp/mmcl-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    mmcl_memory_info memory = {.struct_size = sizeof memory};
    ck_assert_int_eq(mmcl_context_create(&context, NULL), MMCL_OK);
    ck_assert_int_eq(mmcl_context_memory(context, &memory), MMCL_OK);
    live_bytes = memory.live_bytes;
}

/* A path in the test's folder; a few may be in use at a time. */
static inline const char *in_folder(const char *name)
{
    static char paths[4][320];
    static int  turn;
    turn = (turn + 1) % 4;
    snprintf(paths[turn], sizeof paths[turn], "%s/%s", folder, name);
    return paths[turn];
}

/* Entries of the test's folder, and with `clear` none afterwards. */
static inline int folder_count(int clear)
{
    int            count = 0;
    DIR           *dir   = opendir(folder);
    struct dirent *entry;
    while ((entry = readdir(dir)) != NULL)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            count++;
            if (clear)
                remove(in_folder(entry->d_name));
        }
    closedir(dir);
    return count;
}

static inline void tear_down(void)
{
    mmcl_memory_info memory = {.struct_size = sizeof memory};
    folder_count(1);
    rmdir(folder);
    ck_assert_int_eq(mmcl_context_memory(context, &memory), MMCL_OK);
    ck_assert_uint_eq(memory.live_blocks, 1);
    ck_assert_uint_eq(memory.live_bytes, live_bytes);
    mmcl_context_destroy(context);
}

static inline void save_bytes(const char *path, const void *bytes, size_t count)
{
    FILE *file = fopen(path, "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(bytes, 1, count, file), count);
    fclose(file);
}

/* All of a file; released with free(). */
static inline unsigned char *load_bytes(const char *path, size_t *count)
{
    FILE *file = fopen(path, "rb");
    ck_assert_ptr_nonnull(file);
    fseek(file, 0, SEEK_END);
    *count = (size_t) ftell(file);
    rewind(file);
    unsigned char *bytes = malloc(*count + 1);
    ck_assert_uint_eq(fread(bytes, 1, *count, file), *count);
    fclose(file);
    return bytes;
}

/* A stream over bytes in memory, which fails after `reads_left` reads. */
typedef struct memory_stream {
    const unsigned char *bytes;
    size_t               count;
    int                  reads_left;
} memory_stream;

static inline mmcl_status read_memory(void *user, uint64_t offset, void *buffer, size_t bytes)
{
    memory_stream *stream = user;
    ck_assert(bytes <= stream->count && offset <= stream->count - bytes);
    if (stream->reads_left-- <= 0)
        return -1000;
    memcpy(buffer, stream->bytes + offset, bytes);
    return MMCL_OK;
}

static inline mmcl_stream stream_of(memory_stream *memory)
{
    return (mmcl_stream){.struct_size = sizeof(mmcl_stream), .user = memory, .size = memory->count, .read_at = read_memory};
}

/* An allocator that gives `most` blocks, and knows how many bytes are out. */
typedef struct limited {
    size_t allocations, most, live;
} limited;

static inline void *limited_alloc(void *user, size_t size, size_t align)
{
    limited *limit = user;
    if (limit->allocations++ >= limit->most)
        return NULL;
    limit->live += size;
    return aligned_alloc(align, (size + align - 1) / align * align);
}

static inline void limited_free(void *user, void *block, size_t size, size_t align)
{
    (void) align;
    ((limited *) user)->live -= size;
    free(block);
}

static inline mmcl_context *scarce_context(limited *limit, size_t most)
{
    const mmcl_allocator allocator = {
        .struct_size = sizeof allocator, .user = limit, .alloc = limited_alloc, .free = limited_free};
    const mmcl_context_options options = {.struct_size = sizeof options, .allocator = &allocator};
    mmcl_context              *scarce;
    *limit = (limited){.most = most};
    ck_assert_int_eq(mmcl_context_create(&scarce, &options), MMCL_OK);
    return scarce;
}

#define ck_assert_ok(expression)                                                                                                 \
    do {                                                                                                                         \
        mmcl_status ok_status_ = (expression);                                                                                   \
        ck_assert_msg(ok_status_ == MMCL_OK, "%s: %d: %s", #expression, ok_status_, mmcl_context_message(context));              \
    } while (0)

#define ck_assert_message(part)                                                                                                  \
    ck_assert_msg(strstr(mmcl_context_message(context), part) != NULL, "'%s' lacks '%s'", mmcl_context_message(context), part)

static inline int run_suite(const char *name, const TTest *const *tests, size_t count)
{
    Suite *suite = suite_create(name);
    TCase *tcase = tcase_create(name);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_set_timeout(tcase, 120);
    for (size_t i = 0; i < count; i++)
        tcase_add_test(tcase, tests[i]);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}

#endif
