/* Size-tagged structs: old callers with new libraries and the reverse. */
#include "core/core.h"

#include <string.h>

static bool has_nonzero(const unsigned char *bytes, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        if (bytes[i] != 0)
            return true;
    return false;
}

static size_t tag_of(const void *structure)
{
    size_t size;
    memcpy(&size, structure, sizeof size);
    return size;
}

mmcl_status mmcl__import(mmcl_context *context, void *ours, size_t ours_size, size_t v1_size, const void *theirs, const char *name)
{
    memset(ours, 0, ours_size);
    if (theirs == NULL)
        return MMCL_OK;
    size_t size = tag_of(theirs);
    if (size < v1_size || size > 65536)
        return mmcl__fail(context, MMCL_E_ABI, "%s: struct_size is %zu, expected sizeof(%s), at least %zu", name, size, name,
                          v1_size);
    memcpy(ours, theirs, MMCL__MIN(size, ours_size));
    memcpy(ours, &ours_size, sizeof ours_size);
    if (has_nonzero(theirs, ours_size, size))
        return mmcl__fail(context, MMCL_E_ABI, "%s: sets a field that this version of the library does not know", name);
    return MMCL_OK;
}

mmcl_status mmcl__export(mmcl_context *context, void *theirs, const void *ours, size_t ours_size, size_t v1_size, const char *name)
{
    size_t size = tag_of(theirs);
    if (size < v1_size || size > 65536) {
        if (context == NULL)
            return MMCL_E_ABI;
        return mmcl__fail(context, MMCL_E_ABI, "%s: struct_size is %zu, expected sizeof(%s), at least %zu", name, size, name,
                          v1_size);
    }
    memset(theirs, 0, size);
    memcpy(theirs, ours, MMCL__MIN(size, ours_size));
    memcpy(theirs, &size, sizeof size);
    return MMCL_OK;
}
