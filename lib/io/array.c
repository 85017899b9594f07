#include "io/array.h"

#include "io/bytes.h"

#include <stdio.h>
#include <zlib.h>

#define PIECE 8192 /* bytes that pass through the stack at a time */

/* ---------------------------------------------------------------------------------------------------------- opening --- */

static mmcl_status name_array(mmcl_array *array, const char *key)
{
    const char *file = array->file->name, *colon = key[0] != '\0' ? ":" : "";
    size_t      bytes = strlen(file) + strlen(colon) + strlen(key) + 1;
    array->name       = mmcl__alloc(array->context, bytes, 1);
    if (array->name == NULL)
        return MMCL_E_NOMEM;
    snprintf(array->name, bytes, "%s%s%s", file, colon, key);
    return MMCL_OK;
}

/* Reads a stored member once through, for its checksum. */
static mmcl_status verify(const mmcl_array *array, const mmcl__member *member)
{
    unsigned char piece[8 * PIECE];
    uLong         crc = 0;
    for (uint64_t done = 0; done < member->stored;) {
        size_t take = (size_t) MMCL__MIN(member->stored - done, sizeof piece);
        MMCL__TRY(mmcl__file_read(array->file, member->start + done, piece, take));
        crc = crc32_z(crc, piece, take);
        done += take;
    }
    if (crc != member->crc)
        return mmcl__fail(array->context, MMCL_E_FORMAT, "%s: wrong checksum: the file is damaged", array->name);
    return MMCL_OK;
}

/* A .npy in the file: its header is read, its elements stay where they are. */
static mmcl_status open_stored(mmcl_array *array, const mmcl__member *member)
{
    unsigned char prefix[MMCL__NPY_PREFIX];
    size_t        bytes;
    MMCL__TRY(mmcl__file_read(array->file, member->start, prefix, (size_t) MMCL__MIN(member->bytes, sizeof prefix)));
    MMCL__TRY(mmcl__npy_header_bytes(array->context, array->name, prefix, member->bytes, &bytes));
    unsigned char *header = mmcl__alloc(array->context, bytes, 1);
    if (header == NULL)
        return MMCL_E_NOMEM;
    mmcl_status status = mmcl__file_read(array->file, member->start, header, bytes);
    if (status == MMCL_OK)
        status = mmcl__npy_parse(array->context, array->name, header, bytes, member->bytes, &array->layout);
    mmcl__free(array->context, header, bytes, 1);
    array->layout.start += member->start;
    return status;
}

static mmcl_status open_deflated(mmcl_array *array, mmcl_archive *archive, const mmcl__member *member)
{
    size_t bytes;
    if (member->bytes > SIZE_MAX)
        return mmcl__fail(array->context, MMCL_E_NOMEM, "%s: does not fit in memory", array->name);
    array->owned_bytes = (size_t) member->bytes;
    array->owned       = mmcl__alloc(array->context, array->owned_bytes, 1);
    if (array->owned == NULL)
        return MMCL_E_NOMEM;
    MMCL__TRY(mmcl__inflate(archive, member, array->owned));
    MMCL__TRY(mmcl__npy_header_bytes(array->context, array->name, array->owned, member->bytes, &bytes));
    MMCL__TRY(mmcl__npy_parse(array->context, array->name, array->owned, bytes, member->bytes, &array->layout));
    array->data                   = array->owned + array->layout.start;
    array->layout.info.compressed = 1;
    return MMCL_OK;
}

static mmcl_status open_member(mmcl_array *array, mmcl_archive *archive, const mmcl__member *member)
{
    MMCL__TRY(name_array(array, member->key));
    if (member->deflated)
        return open_deflated(array, archive, member);
    if (member->checked)
        MMCL__TRY(verify(array, member));
    if (member->tensor)
        array->layout = member->layout;
    else
        MMCL__TRY(open_stored(array, member));
    if (array->layout.info.dtype < 0)
        return mmcl__fail(array->context, MMCL_E_UNSUPPORTED,
                          "%s: its element type, or more than 8 dimensions, are not supported", array->name);
    if (array->file->map != NULL) {
        array->data               = array->file->map + array->layout.start;
        array->layout.info.mapped = 1;
    }
    return MMCL_OK;
}

mmcl_status mmcl__array_create(mmcl_array **out, mmcl_archive *archive, const mmcl__member *member)
{
    mmcl_array *array = mmcl__calloc(archive->context, 1, sizeof *array);
    if (array == NULL)
        return MMCL_E_NOMEM;
    array->context     = archive->context;
    array->file        = mmcl__file_share(archive->file);
    mmcl_status status = open_member(array, archive, member);
    if (status != MMCL_OK) {
        mmcl__array_destroy(array);
        return status;
    }
    *out = array;
    return MMCL_OK;
}

void mmcl__array_destroy(mmcl_array *array)
{
    if (array == NULL)
        return;
    mmcl__free(array->context, array->owned, array->owned_bytes, 1);
    if (array->name != NULL)
        mmcl__free(array->context, array->name, strlen(array->name) + 1, 1);
    mmcl__file_release(array->file);
    mmcl__free(array->context, array, 1, sizeof *array);
}

/* Opens `path` for the one array `key`; the archive is closed again. */
static mmcl_status open_one(mmcl_array **out, mmcl_context *context, const char *path, const char *key,
                            const mmcl_open_options *options)
{
    mmcl_archive       *archive;
    const mmcl__member *member;
    MMCL__TRY(mmcl__archive_open(&archive, context, path, options));
    mmcl_status status = mmcl__archive_select(archive, key, &member);
    if (status == MMCL_OK)
        status = mmcl__array_create(out, archive, member);
    mmcl__archive_destroy(archive);
    return status;
}

mmcl_status mmcl__array_open(mmcl_array **out, mmcl_context *context, const char *name, const mmcl_open_options *options)
{
    const char *colon = strrchr(name, ':');
    if (colon == NULL || colon == name || (options->stream == NULL && mmcl__file_exists(name)))
        return open_one(out, context, name, "", options);
    char *path = mmcl__strdup(context, name);
    if (path == NULL)
        return MMCL_E_NOMEM;
    path[colon - name] = '\0';
    mmcl_status status = open_one(out, context, path, colon + 1, options);
    path[colon - name] = ':';
    mmcl__free(context, path, strlen(name) + 1, 1);
    return status;
}

/* --------------------------------------------------------------------------------------------------------- elements --- */

/* Bytes first ... first + count - 1 of the elements; without a message. */
static mmcl_status fetch(const mmcl_array *array, uint64_t first, size_t count, void *out)
{
    if (array->data == NULL)
        return mmcl__file_fetch(array->file, array->layout.start + first, out, count);
    if (count > 0)
        memcpy(out, array->data + first, count);
    return MMCL_OK;
}

static mmcl_status fetch_elements(const mmcl_array *array, uint64_t first, size_t count, void *out)
{
    const mmcl_array_info *info = &array->layout.info;
    size_t                 size = (size_t) info->element_bytes;
    MMCL__TRY(fetch(array, first * size, count * size, out));
    if (info->swapped)
        mmcl__swap(out, count, size);
    return MMCL_OK;
}

mmcl_status mmcl__array_read(const mmcl_array *array, uint64_t first, size_t count, void *out)
{
    const mmcl_array_info *info = &array->layout.info;
    size_t                 size = (size_t) info->element_bytes;
    if (array->data == NULL)
        MMCL__TRY(mmcl__file_read(array->file, array->layout.start + first * size, out, count * size));
    else
        MMCL__TRY(fetch(array, first * size, count * size, out));
    if (info->swapped)
        mmcl__swap(out, count, size);
    return MMCL_OK;
}

static uint64_t rows_of(const mmcl_array_info *info)
{
    return info->dimensions > 0 ? info->shape[0] : 1;
}

static uint64_t cols_of(const mmcl_array_info *info)
{
    return info->dimensions > 1 ? info->shape[1] : 1;
}

/* mmcl_read_rows_fn of row-major elements. */
static mmcl_status read_rows(void *user, size_t first, size_t n_rows, void *out)
{
    const mmcl_array *array = user;
    size_t            cols  = (size_t) cols_of(&array->layout.info);
    return fetch_elements(array, (uint64_t) first * cols, n_rows * cols, out);
}

/* mmcl_read_rows_fn of column-major elements: gathers each column's part. */
static mmcl_status read_columns(void *user, size_t first, size_t n_rows, void *out)
{
    const mmcl_array *array = user;
    unsigned char     piece[PIECE];
    size_t            size = (size_t) array->layout.info.element_bytes, cols = (size_t) cols_of(&array->layout.info);
    for (size_t col = 0; col < cols; col++)
        for (size_t done = 0; done < n_rows;) {
            size_t         count = MMCL__MIN(n_rows - done, sizeof piece / size);
            unsigned char *to    = (unsigned char *) out + (done * cols + col) * size;
            MMCL__TRY(fetch_elements(array, col * rows_of(&array->layout.info) + first + done, count, piece));
            for (size_t i = 0; i < count; i++)
                memcpy(to + i * cols * size, piece + i * size, size);
            done += count;
        }
    return MMCL_OK;
}

mmcl_status mmcl__array_matrix(const mmcl_array *array, mmcl_matrix *out)
{
    const mmcl_array_info *info = &array->layout.info;
    bool is_float = info->dtype == MMCL_F32 || info->dtype == MMCL_F64 || info->dtype == MMCL_F16 || info->dtype == MMCL_BF16;
    if (!is_float || info->dimensions < 1 || info->dimensions > 2 || rows_of(info) > SIZE_MAX || cols_of(info) > SIZE_MAX)
        return MMCL_E_INVAL;
    bool columns = info->fortran && rows_of(info) > 1 && cols_of(info) > 1;
    *out         = (mmcl_matrix){.rows = (size_t) rows_of(info), .cols = (size_t) cols_of(info), .dtype = info->dtype};
    /* Row-major elements off their alignment are copied in rows, which is faster than taking them one by one. */
    if (array->data == NULL || (!columns && !info->swapped && (uintptr_t) array->data % info->element_bytes != 0)) {
        out->read      = columns ? read_columns : read_rows;
        out->read_user = (void *) array;
        return MMCL_OK;
    }
    out->data    = array->data;
    out->swapped = info->swapped;
    if (columns) {
        out->row_stride = 1;
        out->col_stride = out->rows;
    }
    return MMCL_OK;
}

/* ----------------------------------------------------------------------------------------------------------- labels --- */

/* An integer at `at`; false when it is beyond int64. */
static bool integer_at(const unsigned char *at, mmcl_dtype dtype, int64_t *out)
{
    uint64_t bits = 0;
    size_t   size = mmcl_dtype_size(dtype);
    memcpy((unsigned char *) &bits + (mmcl__big_endian() ? sizeof bits - size : 0), at, size);
    bool     is_signed = dtype == MMCL_I8 || dtype == MMCL_I16 || dtype == MMCL_I32 || dtype == MMCL_I64;
    unsigned shift     = (unsigned) (64 - 8 * size);
    *out               = is_signed ? (int64_t) (bits << shift) >> shift : (int64_t) bits;
    if (dtype == MMCL_BOOL)
        *out = bits != 0;
    return is_signed || bits <= INT64_MAX;
}

/* Where element `i` of the storage stands when rows come one after the other. */
static size_t row_major(const mmcl_array_info *info, size_t i)
{
    size_t rows = (size_t) rows_of(info), cols = (size_t) cols_of(info);
    return info->fortran && info->dimensions == 2 ? i % rows * cols + i / rows : i;
}

mmcl_status mmcl__array_labels(const mmcl_array *array, int64_t *out, size_t count)
{
    const mmcl_array_info *info = &array->layout.info;
    unsigned char          piece[PIECE];
    if (info->dtype < MMCL_I8 || info->dtype > MMCL_BOOL)
        return mmcl__fail(array->context, MMCL_E_INVAL, "%s: %s elements, expected integers", array->name,
                          mmcl_dtype_name(info->dtype));
    if (info->dimensions > 2 || info->elements != count)
        return mmcl__fail(array->context, MMCL_E_INVAL, "%s: %llu elements in %u dimensions, expected %zu in one or two",
                          array->name, (unsigned long long) info->elements, info->dimensions, count);
    size_t size = (size_t) info->element_bytes, most = sizeof piece / size;
    for (size_t done = 0; done < count; done += most) {
        size_t take = MMCL__MIN(most, count - done);
        MMCL__TRY(mmcl__array_read(array, done, take, piece));
        for (size_t i = 0; i < take; i++)
            if (!integer_at(piece + i * size, info->dtype, &out[row_major(info, done + i)]))
                return mmcl__fail(array->context, MMCL_E_INVAL, "%s: element %zu is beyond the range of int64", array->name,
                                  done + i);
    }
    return MMCL_OK;
}

/* ------------------------------------------------------------------------------------------------------------ texts --- */

/* A text that is being decoded: zeros only fill it up at the end. */
typedef struct text {
    mmcl__utf8 utf8;
    bool       ended;
    char      *out;
    size_t     capacity, used;
} text;

static bool put_code(text *t, uint32_t code)
{
    unsigned char bytes[4];
    if (code == 0) {
        t->ended = true;
        return true;
    }
    if (t->ended || !mmcl__is_unicode(code))
        return false;
    size_t n = mmcl__utf8_encode(code, bytes);
    if (t->used + n < t->capacity)
        memcpy(t->out + t->used, bytes, n);
    t->used += n;
    return true;
}

static bool put_piece(text *t, const mmcl_array *array, const unsigned char *piece, size_t bytes)
{
    bool swapped = array->layout.info.swapped != 0, big = mmcl__big_endian() != swapped;
    if (!array->layout.utf32) {
        for (size_t i = 0; i < bytes; i++)
            if (!mmcl__utf8_push(&t->utf8, piece[i]) || (t->utf8.left == 0 && !put_code(t, t->utf8.code)))
                return false;
        return true;
    }
    for (size_t i = 0; i < bytes; i += 4) {
        uint32_t code = (uint32_t) mmcl__get_le(piece + i, 4);
        if (!put_code(t, big ? __builtin_bswap32(code) : code))
            return false;
    }
    return true;
}

mmcl_status mmcl__array_string(const mmcl_array *array, size_t index, char *out, size_t capacity, size_t *needed)
{
    const mmcl_array_info *info = &array->layout.info;
    unsigned char          piece[PIECE];
    text                   t = {.out = out, .capacity = capacity};
    if (info->dtype != MMCL_STR)
        return mmcl__fail(array->context, MMCL_E_INVAL, "%s: %s elements, expected texts", array->name,
                          mmcl_dtype_name(info->dtype));
    if (index >= info->elements)
        return mmcl__fail(array->context, MMCL_E_INVAL, "index: %zu, but %s holds %llu texts", index, array->name,
                          (unsigned long long) info->elements);
    uint64_t begin = index * info->element_bytes;
    for (uint64_t done = 0; done < info->element_bytes;) {
        size_t take = (size_t) MMCL__MIN(info->element_bytes - done, sizeof piece);
        if (array->data == NULL)
            MMCL__TRY(mmcl__file_read(array->file, array->layout.start + begin + done, piece, take));
        else
            memcpy(piece, array->data + begin + done, take);
        if (!put_piece(&t, array, piece, take))
            return mmcl__fail(array->context, MMCL_E_FORMAT, "%s: text %zu is not valid Unicode", array->name, index);
        done += take;
    }
    if (t.utf8.left > 0)
        return mmcl__fail(array->context, MMCL_E_FORMAT, "%s: text %zu is not valid Unicode", array->name, index);
    if (needed != NULL)
        *needed = t.used + 1;
    if (capacity > 0 && capacity < t.used + 1)
        return mmcl__fail(array->context, MMCL_E_INVAL, "capacity: %zu bytes, text %zu of %s takes %zu", capacity, index,
                          array->name, t.used + 1);
    if (capacity > 0)
        out[t.used] = '\0';
    return MMCL_OK;
}
