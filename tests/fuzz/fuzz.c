#include "fuzz.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define MEMORY_LIMIT ((size_t) 256 << 20)

typedef struct limit {
    size_t live;
} limit;

static limit memory;

static void *limited_alloc(void *user, size_t size, size_t align)
{
    limit *l = user;
    if (size > MEMORY_LIMIT - l->live)
        return NULL;
    void *block = aligned_alloc(align, (size + align - 1) / align * align);
    l->live += block != NULL ? size : 0;
    return block;
}

static void limited_free(void *user, void *block, size_t size, size_t align)
{
    (void) align;
    ((limit *) user)->live -= size;
    free(block);
}

static void must(int condition)
{
    if (!condition)
        abort(); /* what a fuzzer takes for a finding */
}

mmcl_context *fuzz_begin(void)
{
    const mmcl_allocator allocator = {
        .struct_size = sizeof allocator, .user = &memory, .alloc = limited_alloc, .free = limited_free};
    const mmcl_context_options options = {.struct_size = sizeof options, .allocator = &allocator, .blas_policy = MMCL_BLAS_LEAVE};
    mmcl_context              *context;
    must(mmcl_context_create(&context, &options) == MMCL_OK);
    return context;
}

void fuzz_end(mmcl_context *context)
{
    must(strlen(mmcl_context_message(context)) < 512);
    mmcl_context_destroy(context);
    must(memory.live == 0);
}

static mmcl_status read_input(void *user, uint64_t offset, void *buffer, size_t bytes)
{
    const fuzz_input *input = user;
    must(offset <= input->count && bytes <= input->count - offset);
    memcpy(buffer, input->bytes + offset, bytes);
    return MMCL_OK;
}

void fuzz_input_init(fuzz_input *input, const uint8_t *bytes, size_t count)
{
    *input         = (fuzz_input){.bytes = bytes, .count = count};
    input->stream  = (mmcl_stream){.struct_size = sizeof input->stream, .user = input, .size = count, .read_at = read_input};
    input->options = (mmcl_open_options){.struct_size = sizeof input->options, .stream = &input->stream};
}

/* ----------------------------------------------------------------------------------------------------------- arrays --- */

static void take_rows(const mmcl_array *array)
{
    mmcl_matrix matrix;
    if (mmcl_array_matrix(array, &matrix) != MMCL_OK || matrix.rows == 0 || matrix.cols == 0)
        return;
    size_t size = mmcl_dtype_size(matrix.dtype), n = matrix.rows < 3 ? matrix.rows : 3;
    if (matrix.read != NULL) {
        unsigned char *rows = malloc(n * matrix.cols * size);
        must(matrix.read(matrix.read_user, matrix.rows - n, n, rows) == MMCL_OK);
        free(rows);
        return;
    }
    size_t down   = matrix.row_stride != 0 ? matrix.row_stride : matrix.cols,
           across = matrix.col_stride != 0 ? matrix.col_stride : 1;
    volatile unsigned char last;
    last = ((const unsigned char *) matrix.data)[((matrix.rows - 1) * down + (matrix.cols - 1) * across + 1) * size - 1];
    (void) last;
}

static void take_elements(const mmcl_array *array)
{
    mmcl_array_info info = {.struct_size = sizeof info};
    char            text[64];
    size_t          needed;
    must(mmcl_array_get_info(array, &info) == MMCL_OK);
    take_rows(array);
    if (info.dtype == MMCL_STR)
        for (size_t i = 0; i < info.elements && i < 100; i++)
            if (mmcl_array_string(array, i, text, sizeof text, &needed) == MMCL_OK)
                must(strlen(text) == needed - 1);
    if (info.dtype >= MMCL_I8 && info.dtype <= MMCL_BOOL && info.elements < (1u << 24)) {
        int64_t *labels = malloc((size_t) info.elements * sizeof *labels + 1);
        (void) !mmcl_array_labels(array, labels, (size_t) info.elements);
        free(labels);
    }
}

void fuzz_arrays(const uint8_t *bytes, size_t count)
{
    fuzz_input    input;
    mmcl_archive *archive;
    mmcl_context *context = fuzz_begin();
    fuzz_input_init(&input, bytes, count);
    if (mmcl_archive_open(&archive, context, "input", &input.options) == MMCL_OK) {
        for (size_t i = 0; i < mmcl_archive_count(archive); i++) {
            mmcl_array *array;
            const char *key = mmcl_archive_key(archive, i);
            must(mmcl_archive_has(archive, key));
            if (mmcl_archive_array(&array, archive, key) == MMCL_OK)
                take_elements(array);
            mmcl_array_destroy(array);
        }
        mmcl_archive_destroy(archive);
    }
    fuzz_end(context);
}

/* -------------------------------------------------------------------------------------------------------- checksums --- */

static size_t number(const uint8_t *at, size_t bytes)
{
    size_t value = 0;
    for (size_t i = bytes; i-- > 0;)
        value = value << 8 | at[i];
    return value;
}

static void put_checksum(uint8_t *at, uint32_t crc)
{
    for (size_t i = 0; i < 4; i++)
        at[i] = (uint8_t) (crc >> (8 * i));
}

/* `central` is a directory entry's 46 bytes. */
static void repair(uint8_t *bytes, size_t count, uint8_t *central)
{
    size_t local = number(central + 42, 4), stored = number(central + 20, 4);
    if (number(central + 10, 2) != 0 || local > count || count - local < 30 || memcmp(bytes + local, "PK\3\4", 4) != 0)
        return;
    size_t start = local + 30 + number(bytes + local + 26, 2) + number(bytes + local + 28, 2);
    if (start > count || stored > count - start)
        return;
    uint32_t crc = (uint32_t) crc32_z(0, bytes + start, stored);
    put_checksum(central + 16, crc);
    put_checksum(bytes + local + 14, crc);
}

uint8_t *fuzz_repaired(const uint8_t *bytes, size_t count)
{
    uint8_t *copy = malloc(count + 1);
    if (count > 0)
        memcpy(copy, bytes, count);
    for (size_t at = 0; at + 46 <= count; at++)
        if (memcmp(copy + at, "PK\1\2", 4) == 0)
            repair(copy, count, copy + at);
    return copy;
}
