/* Contexts for tasks that allocate. */
#include "core/core.h"

#include <string.h>

static void *annex_alloc(void *user, size_t size, size_t align)
{
    mmcl__annex *annex = user;
    size_t       most = sizeof annex->blocks / sizeof *annex->blocks, begin = annex->used;
    assert(align == MMCL__ALIGN);
    (void) align;
    if (size > annex->size - begin || annex->count == most)
        return NULL;
    annex->used = MMCL__MIN(annex->size, (size_t) MMCL__ANNEX_BYTES(begin + size));
    annex->blocks[annex->count].begin  = begin;
    annex->blocks[annex->count++].held = true;
    return annex->room + begin;
}

static void annex_free(void *user, void *block, size_t size, size_t align)
{
    (void) size;
    (void) align;
    mmcl__annex *annex = user;
    for (size_t i = annex->count; i-- > 0;)
        if (annex->room + annex->blocks[i].begin == block) {
            annex->blocks[i].held = false;
            break;
        }
    while (annex->count > 0 && !annex->blocks[annex->count - 1].held)
        annex->used = annex->blocks[--annex->count].begin;
}

mmcl_status mmcl__annex_open(mmcl__annex *annex, mmcl_context *parent, size_t bytes)
{
    memset(annex, 0, sizeof *annex);
    annex->room = mmcl__alloc(parent, bytes, 1);
    if (annex->room == NULL)
        return MMCL_E_NOMEM;
    annex->parent                = parent;
    annex->size                  = bytes;
    annex->context.allocator     = (mmcl_allocator){sizeof(mmcl_allocator), annex, annex_alloc, annex_free};
    annex->context.blas_policy   = parent->blas_policy;
    atomic_init(&annex->context.cancelled, 0);
    atomic_flag_clear(&annex->context.busy);
    return MMCL_OK;
}

void mmcl__annex_close(mmcl__annex *annex)
{
    if (annex->room != NULL) {
        assert(annex->count == 0);
        mmcl__free(annex->parent, annex->room, annex->size, 1);
    }
    annex->room = NULL;
}
