#include "io/archive.h"

#include "io/bytes.h"

#include <stdio.h>

/* ------------------------------------------------------------------------------------------------- sorted members --- */

typedef bool (*less_fn)(const mmcl__member *a, const mmcl__member *b);

static bool less_key(const mmcl__member *a, const mmcl__member *b)
{
    return strcmp(a->key, b->key) < 0;
}

static bool less_begin(const mmcl__member *a, const mmcl__member *b)
{
    return a->begin < b->begin || (a->begin == b->begin && a->stored < b->stored);
}

static void sift(const mmcl__member *members, size_t *order, size_t from, size_t count, less_fn less)
{
    for (size_t child; (child = 2 * from + 1) < count; from = child) {
        if (child + 1 < count && less(&members[order[child]], &members[order[child + 1]]))
            child++;
        if (!less(&members[order[from]], &members[order[child]]))
            return;
        size_t swap  = order[from];
        order[from]  = order[child];
        order[child] = swap;
    }
}

/* Heapsort: qsort of the C library may allocate. NULL when there is no memory. */
static size_t *sorted_members(const mmcl_archive *archive, less_fn less)
{
    size_t *order = mmcl__alloc(archive->context, archive->count, sizeof *order);
    if (order == NULL)
        return NULL;
    for (size_t i = 0; i < archive->count; i++)
        order[i] = i;
    for (size_t i = archive->count / 2; i-- > 0;)
        sift(archive->members, order, i, archive->count, less);
    for (size_t last = archive->count; last-- > 1;) {
        size_t swap = order[0];
        order[0]    = order[last];
        order[last] = swap;
        sift(archive->members, order, 0, last, less);
    }
    return order;
}

mmcl_status mmcl__archive_visit_gaps(mmcl_archive *archive, uint64_t end, mmcl__visit_gap visit)
{
    size_t *order = sorted_members(archive, less_begin);
    if (order == NULL)
        return MMCL_E_NOMEM;
    mmcl_status         status = MMCL_OK;
    const mmcl__member *before = NULL;
    for (size_t i = 0; i <= archive->count && status == MMCL_OK; i++) {
        const mmcl__member *after = i < archive->count ? &archive->members[order[i]] : NULL;
        status                    = visit(archive, before, after, end);
        before                    = after;
    }
    mmcl__free(archive->context, order, archive->count, sizeof *order);
    return status;
}

static mmcl_status sort_by_key(mmcl_archive *archive)
{
    archive->sorted = sorted_members(archive, less_key);
    if (archive->sorted == NULL)
        return MMCL_E_NOMEM;
    for (size_t i = 1; i < archive->count; i++) {
        const char *key = archive->members[archive->sorted[i]].key;
        if (strcmp(archive->members[archive->sorted[i - 1]].key, key) == 0)
            return mmcl__fail(archive->context, MMCL_E_FORMAT, "%s: holds '%s' twice", archive->file->name, key);
    }
    return MMCL_OK;
}

/* ---------------------------------------------------------------------------------------------------------- building --- */

mmcl_status mmcl__archive_load_block(mmcl_archive *archive, uint64_t offset, uint64_t bytes)
{
    mmcl__file *file = archive->file;
    if (offset > file->size || bytes > file->size - offset)
        return mmcl__fail(file->context, MMCL_E_FORMAT, "%s: truncated: a table of %llu bytes in a file of %llu bytes", file->name,
                          (unsigned long long) bytes, (unsigned long long) file->size);
    archive->block = mmcl__alloc(archive->context, (size_t) bytes, 1);
    if (archive->block == NULL)
        return MMCL_E_NOMEM;
    archive->block_bytes = (size_t) bytes;
    return mmcl__file_read(file, offset, archive->block, (size_t) bytes);
}

mmcl_status mmcl__archive_append(mmcl_archive *archive, const mmcl__member *member)
{
    if (archive->count == archive->capacity) {
        size_t        capacity = archive->capacity > 0 ? 2 * archive->capacity : 8;
        mmcl__member *grown    = mmcl__alloc(archive->context, capacity, sizeof *grown);
        if (grown == NULL)
            return MMCL_E_NOMEM;
        if (archive->count > 0)
            memcpy(grown, archive->members, archive->count * sizeof *grown);
        mmcl__free(archive->context, archive->members, archive->capacity, sizeof *grown);
        archive->members  = grown;
        archive->capacity = capacity;
    }
    archive->members[archive->count++] = *member;
    return MMCL_OK;
}

/* A .npy is an archive of one array without a name. */
static mmcl_status npy_read(mmcl_archive *archive)
{
    uint64_t size = archive->file->size;
    return mmcl__archive_append(archive, &(mmcl__member){.key = "", .stored = size, .bytes = size});
}

static mmcl_status read_contents(mmcl_archive *archive)
{
    mmcl__file   *file    = archive->file;
    unsigned char head[9] = {0};
    MMCL__TRY(mmcl__file_read(file, 0, head, (size_t) MMCL__MIN(file->size, sizeof head)));
    if (memcmp(head, MMCL__NPY_MAGIC, 6) == 0)
        return npy_read(archive);
    if (memcmp(head, "PK\3\4", 4) == 0 || memcmp(head, "PK\5\6", 4) == 0) /* the latter: a zip without entries */
        return mmcl__zip_read(archive);
    if (head[8] == '{')
        return mmcl__safetensors_read(archive);
    return mmcl__fail(file->context, MMCL_E_FORMAT, "%s: %s, expected .npy, .npz or .safetensors", file->name,
                      file->size == 0 ? "is empty" : "is of another format");
}

mmcl_status mmcl__archive_open(mmcl_archive **out, mmcl_context *context, const char *path, const mmcl_open_options *options)
{
    mmcl_archive *archive = mmcl__calloc(context, 1, sizeof *archive);
    if (archive == NULL)
        return MMCL_E_NOMEM;
    archive->context   = context;
    mmcl_status status = mmcl__file_open(&archive->file, context, path, options);
    if (status == MMCL_OK)
        status = read_contents(archive);
    if (status == MMCL_OK)
        status = sort_by_key(archive);
    if (status != MMCL_OK) {
        mmcl__archive_destroy(archive);
        return status;
    }
    *out = archive;
    return MMCL_OK;
}

void mmcl__archive_destroy(mmcl_archive *archive)
{
    if (archive == NULL)
        return;
    mmcl__free(archive->context, archive->sorted, archive->count, sizeof *archive->sorted);
    mmcl__free(archive->context, archive->members, archive->capacity, sizeof *archive->members);
    mmcl__free(archive->context, archive->block, archive->block_bytes, 1);
    mmcl__file_release(archive->file);
    mmcl__free(archive->context, archive, 1, sizeof *archive);
}

/* ----------------------------------------------------------------------------------------------------------- finding --- */

const mmcl__member *mmcl__archive_find(const mmcl_archive *archive, const char *key)
{
    size_t low = 0, high = archive->count;
    while (low < high) {
        size_t              middle = low + (high - low) / 2;
        const mmcl__member *member = &archive->members[archive->sorted[middle]];
        int                 order  = strcmp(key, member->key);
        if (order == 0)
            return member;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

/* The keys, as far as they fit into `out`. */
static void list_keys(const mmcl_archive *archive, char *out, size_t capacity)
{
    int used = 0;
    out[0]   = '\0';
    for (size_t i = 0; i < archive->count; i++) {
        int wrote = snprintf(out + used, capacity - (size_t) used, "%s%s", i > 0 ? ", " : "", archive->members[i].key);
        if ((size_t) (used + wrote) + sizeof ", ..." > capacity) {
            snprintf(out + used, capacity - (size_t) used, "%s", i > 0 ? ", ..." : "...");
            return;
        }
        used += wrote;
    }
}

mmcl_status mmcl__archive_select(const mmcl_archive *archive, const char *key, const mmcl__member **out)
{
    char        keys[320];
    bool        any  = key == NULL || key[0] == '\0';
    const char *name = archive->file->name;
    *out             = any && archive->count == 1 ? &archive->members[0] : mmcl__archive_find(archive, any ? "" : key);
    if (*out != NULL)
        return MMCL_OK;
    list_keys(archive, keys, sizeof keys);
    if (archive->count == 0)
        return mmcl__fail(archive->context, MMCL_E_NOTFOUND, "%s: holds no arrays", name);
    if (any)
        return mmcl__fail(archive->context, MMCL_E_NOTFOUND, "%s: holds %zu arrays, name one by its key: %s", name, archive->count, keys);
    if (archive->members[0].key[0] == '\0')
        return mmcl__fail(archive->context, MMCL_E_NOTFOUND, "%s: no array '%.80s': a .npy holds a single array without a key", name, key);
    return mmcl__fail(archive->context, MMCL_E_NOTFOUND, "%s: no array '%.80s', there are: %s", name, key, keys);
}
