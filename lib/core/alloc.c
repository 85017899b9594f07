/* Memory: the only file of the library that calls the C library's heap. */
#include "core/core.h"

#include <stdlib.h>
#include <string.h>

static void *default_alloc(void *user, size_t size, size_t align)
{
    (void) user;
    size_t rounded;
    if (!mmcl__add(size, align - 1, &rounded))
        return NULL;
    return aligned_alloc(align, rounded / align * align);
}

static void default_free(void *user, void *block, size_t size, size_t align)
{
    (void) user;
    (void) size;
    (void) align;
    free(block);
}

const mmcl_allocator mmcl__default_allocator = {sizeof(mmcl_allocator), NULL, default_alloc, default_free};

static size_t block_size(size_t count, size_t size)
{
    size_t bytes;
    if (!mmcl__mul(count, size, &bytes))
        return SIZE_MAX;
    return bytes > 0 ? bytes : 1;
}

void *mmcl__alloc(mmcl_context *context, size_t count, size_t size)
{
    size_t bytes = block_size(count, size);
    void  *block = bytes < SIZE_MAX / 2 ? context->allocator.alloc(context->allocator.user, bytes, MMCL__ALIGN) : NULL;
    if (block == NULL) {
        mmcl__fail(context, MMCL_E_NOMEM, "out of memory: %zu x %zu bytes were refused", count, size);
        return NULL;
    }
    mmcl_memory_info *memory = &context->memory;
    memory->live_bytes += bytes;
    memory->live_blocks++;
    memory->total_blocks++;
    memory->peak_bytes = MMCL__MAX(memory->peak_bytes, memory->live_bytes);
    return block;
}

void *mmcl__calloc(mmcl_context *context, size_t count, size_t size)
{
    void *block = mmcl__alloc(context, count, size);
    if (block != NULL)
        memset(block, 0, block_size(count, size));
    return block;
}

void mmcl__free(mmcl_context *context, void *block, size_t count, size_t size)
{
    if (block == NULL)
        return;
    size_t bytes = block_size(count, size);
    assert(context->memory.live_bytes >= bytes && context->memory.live_blocks > 0);
    context->memory.live_bytes -= bytes;
    context->memory.live_blocks--;
    context->allocator.free(context->allocator.user, block, bytes, MMCL__ALIGN);
}

char *mmcl__strdup(mmcl_context *context, const char *text)
{
    size_t bytes = strlen(text) + 1;
    char  *copy  = mmcl__alloc(context, bytes, 1);
    if (copy != NULL)
        memcpy(copy, text, bytes);
    return copy;
}
