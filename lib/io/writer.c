#include "io/writer.h"

#include "io/bytes.h"
#include "io/safetensors.h"
#include "linalg/convert.h"

#include <math.h>
#include <zlib.h>

/* -------------------------------------------------------------------------------------------------------- the handle --- */

static bool ends_with(const char *path, const char *ending)
{
    size_t length = strlen(path), tail = strlen(ending);
    return length > tail && strcmp(path + length - tail, ending) == 0;
}

static mmcl_status create(mmcl_writer **out, mmcl_context *context, mmcl__format format, const char *path, bool in_memory)
{
    mmcl_writer *writer = mmcl__calloc(context, 1, sizeof *writer);
    if (writer == NULL)
        return MMCL_E_NOMEM;
    writer->context    = context;
    writer->format     = format;
    mmcl_status status = in_memory ? mmcl__output_open_memory(&writer->output, context, path)
                                   : mmcl__output_open(&writer->output, context, path);
    if (status == MMCL_OK && format == MMCL__FORMAT_SAFETENSORS) {
        static const unsigned char room[MMCL__SAFETENSORS_ROOM] = {0};
        status = mmcl__output_write(&writer->output, 0, room, sizeof room);
    }
    if (status != MMCL_OK) {
        mmcl__writer_destroy(writer);
        return status;
    }
    *out = writer;
    return MMCL_OK;
}

mmcl_status mmcl__writer_create(mmcl_writer **out, mmcl_context *context, const char *path)
{
    if (ends_with(path, ".npy"))
        return create(out, context, MMCL__FORMAT_NPY, path, false);
    if (ends_with(path, ".npz"))
        return create(out, context, MMCL__FORMAT_NPZ, path, false);
    if (ends_with(path, ".safetensors"))
        return create(out, context, MMCL__FORMAT_SAFETENSORS, path, false);
    return mmcl__fail(context, MMCL_E_INVAL, "path: '%s' ends neither in .npy nor in .npz nor in .safetensors", path);
}

mmcl_status mmcl__writer_create_model(mmcl_writer **out, mmcl_context *context, const char *path)
{
    return create(out, context, MMCL__FORMAT_NPZ, path != NULL ? path : "model", path == NULL);
}

void mmcl__writer_destroy(mmcl_writer *writer)
{
    if (writer == NULL)
        return;
    for (size_t i = 0; i < writer->count; i++)
        mmcl__free(writer->context, writer->entries[i].key, strlen(writer->entries[i].key) + 1, 1);
    mmcl__free(writer->context, writer->entries, writer->capacity, sizeof *writer->entries);
    mmcl__output_close(&writer->output);
    mmcl__free(writer->context, writer, 1, sizeof *writer);
}

/* --------------------------------------------------------------------------------------------------- array by array --- */

/* FNV-1a, folded to the number of buckets. */
static size_t bucket_of(const char *key)
{
    uint32_t hash = 2166136261u;
    for (; *key != '\0'; key++)
        hash = (hash ^ (unsigned char) *key) * 16777619u;
    return (hash ^ hash >> 8 ^ hash >> 16 ^ hash >> 24) & 0xff;
}

static mmcl_status check_key(const mmcl_writer *writer, const char *key)
{
    if (writer->format == MMCL__FORMAT_NPY)
        return writer->count == 0 ? MMCL_OK : mmcl__fail(writer->context, MMCL_E_INVAL, "%s: a .npy takes exactly one array",
                                                         writer->output.path);
    if (key == NULL || key[0] == '\0')
        return mmcl__fail(writer->context, MMCL_E_INVAL, "key: missing, expected the array's name in %s", writer->output.path);
    if (strlen(key) > 4096 || mmcl__utf8_length(key, strlen(key)) == SIZE_MAX || strcmp(key, "__metadata__") == 0)
        return mmcl__fail(writer->context, MMCL_E_INVAL, "key: '%.80s', expected UTF-8 of at most 4096 bytes, not __metadata__", key);
    for (size_t i = writer->buckets[bucket_of(key)]; i > 0; i = writer->entries[i - 1].next)
        if (strcmp(writer->entries[i - 1].key, key) == 0)
            return mmcl__fail(writer->context, MMCL_E_INVAL, "key: '%.80s' has been written before", key);
    return MMCL_OK;
}

static mmcl_status check_type(const mmcl_writer *writer, mmcl_dtype dtype)
{
    bool fine = writer->format == MMCL__FORMAT_SAFETENSORS ? mmcl__safetensors_type(dtype) != NULL
                                                           : dtype != MMCL_BF16 && (dtype == MMCL_STR || mmcl_dtype_size(dtype) > 0);
    if (!fine)
        return mmcl__fail(writer->context, MMCL_E_INVAL, "dtype: %s (%d) cannot be written to %s", mmcl_dtype_name(dtype), dtype,
                          writer->output.path);
    return MMCL_OK;
}

static mmcl_status check_ready(const mmcl_writer *writer)
{
    if (writer->broken || writer->committed)
        return mmcl__fail(writer->context, MMCL_E_STATE, "%s: %s", writer->output.path,
                          writer->broken ? "an earlier write failed" : "has been committed before");
    return MMCL_OK;
}

static mmcl_status reserve_entry(mmcl_writer *writer)
{
    if (writer->count < writer->capacity)
        return MMCL_OK;
    size_t       capacity = writer->capacity > 0 ? 2 * writer->capacity : 8;
    mmcl__entry *grown    = mmcl__alloc(writer->context, capacity, sizeof *grown);
    if (grown == NULL)
        return MMCL_E_NOMEM;
    if (writer->count > 0)
        memcpy(grown, writer->entries, writer->count * sizeof *grown);
    mmcl__free(writer->context, writer->entries, writer->capacity, sizeof *grown);
    writer->entries  = grown;
    writer->capacity = capacity;
    return MMCL_OK;
}

/* What comes before the elements. */
static mmcl_status write_head(mmcl_writer *writer, mmcl__entry *entry, uint64_t elements_bytes)
{
    unsigned char header[MMCL__NPY_MAX_HEADER];
    size_t        bytes = writer->format != MMCL__FORMAT_SAFETENSORS ? mmcl__npy_format(&entry->info, header) : 0;
    entry->begin = entry->start = writer->output.size;
    if (writer->format == MMCL__FORMAT_NPZ)
        MMCL__TRY(mmcl__zip_begin(writer, entry, bytes + elements_bytes));
    entry->end = entry->start + bytes + elements_bytes;
    return mmcl__writer_append(writer, header, bytes);
}

mmcl_status mmcl__writer_begin(mmcl_writer *writer, const char *key, const mmcl_array_info *info)
{
    mmcl__layout layout = {.info = *info};
    MMCL__TRY(check_ready(writer));
    MMCL__TRY(check_key(writer, key));
    MMCL__TRY(check_type(writer, info->dtype));
    if (!mmcl__layout_measure(&layout) || layout.bytes > INT64_MAX / 2)
        return mmcl__fail(writer->context, MMCL_E_INVAL, "%s: an array of more bytes than a file can hold", writer->output.path);
    MMCL__TRY(reserve_entry(writer));
    mmcl__entry *entry = &writer->entries[writer->count];
    *entry             = (mmcl__entry){.info = layout.info, .key = mmcl__strdup(writer->context, key != NULL ? key : "")};
    if (entry->key == NULL)
        return MMCL_E_NOMEM;
    size_t *bucket = &writer->buckets[bucket_of(entry->key)];
    entry->next    = *bucket;
    *bucket        = ++writer->count;
    writer->broken = true; /* until the array is complete */
    return write_head(writer, entry, layout.bytes);
}

mmcl_status mmcl__writer_append(mmcl_writer *writer, const void *bytes, size_t count)
{
    mmcl__entry *entry = &writer->entries[writer->count - 1];
    if (writer->format == MMCL__FORMAT_NPZ && count > 0)
        entry->crc = (uint32_t) crc32_z(entry->crc, bytes, count);
    return mmcl__output_write(&writer->output, writer->output.size, bytes, count);
}

mmcl_status mmcl__writer_end(mmcl_writer *writer)
{
    mmcl__entry *entry = &writer->entries[writer->count - 1];
    assert(writer->output.size == entry->end);
    if (writer->format == MMCL__FORMAT_NPZ)
        MMCL__TRY(mmcl__zip_end(writer, entry));
    writer->broken = false;
    return MMCL_OK;
}

/* Elements in the byte order of the format: safetensors is little endian, a .npy says which it is. */
static mmcl_status append_elements(mmcl_writer *writer, unsigned char *elements, size_t count, size_t size)
{
    if (writer->format == MMCL__FORMAT_SAFETENSORS && mmcl__big_endian())
        mmcl__swap(elements, count, size);
    return mmcl__writer_append(writer, elements, count * size);
}

mmcl_status mmcl__writer_put(mmcl_writer *writer, const char *key, mmcl_dtype dtype, uint32_t dimensions, const uint64_t *shape,
                             const void *elements)
{
    mmcl_array_info info = {.dtype = dtype, .element_bytes = mmcl_dtype_size(dtype), .dimensions = dimensions};
    unsigned char   piece[8192];
    for (uint32_t i = 0; i < dimensions; i++)
        info.shape[i] = shape[i];
    MMCL__TRY(mmcl__writer_begin(writer, key, &info));
    size_t total = (size_t) writer->entries[writer->count - 1].info.elements, size = (size_t) info.element_bytes;
    for (size_t done = 0, take; done < total; done += take) {
        take = MMCL__MIN(total - done, sizeof piece / size);
        memcpy(piece, (const unsigned char *) elements + done * size, take * size);
        MMCL__TRY(append_elements(writer, piece, take, size));
    }
    return mmcl__writer_end(writer);
}

/* ---------------------------------------------------------------------------------------------------------- matrices --- */

#define TILE 262144 /* bytes of the rows that are converted and written at a time, if a row is not longer */

/* Rows of `matrix` as they are, but side by side and in the machine's byte order. */
static mmcl_status gather(const mmcl_matrix *matrix, size_t first, size_t n_rows, unsigned char *out)
{
    size_t size = mmcl_dtype_size(matrix->dtype), cols = matrix->cols;
    size_t down = matrix->row_stride != 0 ? matrix->row_stride : cols, across = matrix->col_stride != 0 ? matrix->col_stride : 1;
    if (matrix->data == NULL)
        return matrix->read(matrix->read_user, first, n_rows, out) == MMCL_OK ? MMCL_OK : MMCL_E_CALLBACK;
    for (size_t i = 0; i < n_rows; i++) {
        const unsigned char *row = (const unsigned char *) matrix->data + (first + i) * down * size;
        unsigned char       *to  = out + i * cols * size;
        if (across == 1)
            memcpy(to, row, cols * size);
        else
            for (size_t j = 0; j < cols; j++)
                memcpy(to + j * size, row + j * across * size, size);
    }
    if (matrix->swapped)
        mmcl__swap(out, n_rows * cols, size);
    return MMCL_OK;
}

/*
 * Rounds to odd: what follows, a rounding to 16 bits, then gives the same as a single rounding would (Boldo and Melquiond 2008,
 * "Emulation of FMA and correctly rounded sums: proved algorithms using rounding to odd").
 */
static float round_to_odd(double value)
{
    float    near = (float) value;
    uint32_t bits;
    memcpy(&bits, &near, sizeof bits);
    if ((double) near == value || value != value || (bits & 1))
        return near;
    if ((bits & 0x7f800000) == 0x7f800000) /* beyond float32, hence beyond what follows */
        return near;
    bits += ((double) near < value) == (value > 0) ? 1 : -1u; /* the neighbour on the other side of the value has an odd last bit */
    memcpy(&near, &bits, sizeof near);
    return near;
}

/* One element of any float type as float32, rounded to odd where it has to be. */
static float narrow(const unsigned char *at, mmcl_dtype dtype)
{
    double   wide;
    float    value;
    uint16_t half;
    switch (dtype) {
    case MMCL_F64: memcpy(&wide, at, sizeof wide); return round_to_odd(wide);
    case MMCL_F32: memcpy(&value, at, sizeof value); return value;
    default:       memcpy(&half, at, sizeof half); return dtype == MMCL_F16 ? mmcl__f16_to_f32(half) : mmcl__bf16_to_f32(half);
    }
}

static void convert(size_t n, const unsigned char *in, mmcl_dtype from, unsigned char *out, mmcl_dtype to)
{
    const mmcl__convert_kernels *kernels = mmcl__convert();
    size_t                       size    = mmcl_dtype_size(from);
    if (from == MMCL_F64 && to == MMCL_F32)
        kernels->f64_to_f32(n, (const double *) in, (float *) out);
    else if (from == MMCL_F32 && to == MMCL_F64)
        kernels->f32_to_f64(n, (const float *) in, (double *) out);
    else if (from == MMCL_F16 && to == MMCL_F32)
        kernels->f16_to_f32(n, (const uint16_t *) in, (float *) out);
    else
        for (size_t i = 0; i < n; i++) {
            float value = narrow(in + i * size, from);
            switch (to) {
            case MMCL_F16:  ((uint16_t *) out)[i] = mmcl__f32_to_f16(value); break;
            case MMCL_BF16: ((uint16_t *) out)[i] = mmcl__f32_to_bf16(value); break;
            case MMCL_F32:  ((float *) out)[i] = value; break;
            default:        ((double *) out)[i] = value;
            }
        }
}

static bool is_float(mmcl_dtype dtype)
{
    return dtype == MMCL_F32 || dtype == MMCL_F64 || dtype == MMCL_F16 || dtype == MMCL_BF16;
}

static mmcl_status check_matrix(const mmcl_writer *writer, const mmcl_matrix *matrix, mmcl_dtype dtype)
{
    mmcl_context *context = writer->context;
    size_t        row, size = mmcl_dtype_size(matrix->dtype);
    if (size == 0 || mmcl_dtype_size(dtype) == 0)
        return mmcl__fail(context, MMCL_E_INVAL, "matrix: element type %d to be written as %d, expected numbers", matrix->dtype, dtype);
    if (dtype != matrix->dtype && !(is_float(dtype) && is_float(matrix->dtype)))
        return mmcl__fail(context, MMCL_E_INVAL, "dtype: %s, but the matrix holds %s, which are not converted", mmcl_dtype_name(dtype),
                          mmcl_dtype_name(matrix->dtype));
    if (matrix->data == NULL && matrix->read == NULL && matrix->rows > 0 && matrix->cols > 0)
        return mmcl__fail(context, MMCL_E_INVAL, "matrix: neither data nor read is set");
    if (!mmcl__mul(matrix->cols, 2 * sizeof(double), &row))
        return mmcl__fail(context, MMCL_E_INVAL, "matrix: rows of %zu columns do not fit in memory", matrix->cols);
    return MMCL_OK;
}

/* `tile` has room for `most` rows as they are, `converted` for the same as they are written (it may be the same block). */
static mmcl_status write_tiles(mmcl_writer *writer, const mmcl_matrix *matrix, mmcl_dtype dtype, size_t most, unsigned char *tile,
                               unsigned char *converted)
{
    mmcl__operation operation;
    mmcl_status     status = MMCL_OK;
    mmcl__begin(&operation, writer->context, "write", matrix->rows);
    for (size_t first = 0; first < matrix->rows && status == MMCL_OK; first += most) {
        size_t n = MMCL__MIN(most, matrix->rows - first);
        status   = gather(matrix, first, n, tile);
        if (status == MMCL_E_CALLBACK)
            status = mmcl__fail(writer->context, status, "matrix: the read callback failed at row %zu", first);
        if (status == MMCL_OK && converted != tile)
            convert(n * matrix->cols, tile, matrix->dtype, converted, dtype);
        if (status == MMCL_OK)
            status = append_elements(writer, converted, n * matrix->cols, mmcl_dtype_size(dtype));
        if (status == MMCL_OK)
            status = mmcl__tick(&operation, first + n, NAN);
    }
    return mmcl__end(&operation, status);
}

mmcl_status mmcl__writer_add(mmcl_writer *writer, const char *key, const mmcl_matrix *matrix, mmcl_dtype dtype)
{
    mmcl_context *context = writer->context;
    MMCL__TRY(check_matrix(writer, matrix, dtype));
    size_t widest = MMCL__MAX(mmcl_dtype_size(matrix->dtype), mmcl_dtype_size(dtype)), row = MMCL__MAX(matrix->cols * widest, 1);
    size_t most = MMCL__MAX(TILE / row, 1), parts = matrix->dtype == dtype ? 1 : 2;

    const mmcl_array_info info = {
        .dtype = dtype, .element_bytes = mmcl_dtype_size(dtype), .dimensions = 2, .shape = {matrix->rows, matrix->cols}};
    MMCL__TRY(mmcl__writer_begin(writer, key, &info));
    if (matrix->rows == 0 || matrix->cols == 0)
        return mmcl__writer_end(writer);
    unsigned char *tile = mmcl__alloc(context, parts * most, row);
    if (tile == NULL)
        return MMCL_E_NOMEM;
    mmcl_status status = write_tiles(writer, matrix, dtype, most, tile, tile + (parts - 1) * most * row);
    mmcl__free(context, tile, parts * most, row);
    return status == MMCL_OK ? mmcl__writer_end(writer) : status;
}

/* -------------------------------------------------------------------------------------------------------------- texts --- */

/* Code points of the longest text, at least 1: numpy has no texts of width 0. */
static mmcl_status measure_texts(const mmcl_writer *writer, const char *const *texts, size_t count, size_t *widest)
{
    *widest = 1;
    for (size_t i = 0; i < count; i++) {
        size_t length = texts[i] != NULL ? mmcl__utf8_length(texts[i], strlen(texts[i])) : SIZE_MAX;
        if (length == SIZE_MAX)
            return mmcl__fail(writer->context, MMCL_E_INVAL, "texts[%zu]: %s, expected UTF-8", i, texts[i] != NULL ? "not UTF-8" : "NULL");
        *widest = MMCL__MAX(*widest, length);
    }
    return MMCL_OK;
}

/* One text as UTF-32, filled up with zeros to `width` characters. */
static mmcl_status append_text(mmcl_writer *writer, const char *text, size_t width)
{
    uint32_t   piece[1024];
    mmcl__utf8 state = {0};
    while (width > 0) {
        size_t n = MMCL__MIN(width, sizeof piece / sizeof *piece);
        for (size_t i = 0; i < n; i++) {
            state.code = 0;
            while (*text != '\0' && mmcl__utf8_push(&state, (unsigned char) *text++) && state.left > 0)
                continue;
            piece[i] = state.code;
        }
        MMCL__TRY(mmcl__writer_append(writer, piece, n * sizeof *piece));
        width -= n;
    }
    return MMCL_OK;
}

mmcl_status mmcl__writer_add_strings(mmcl_writer *writer, const char *key, const char *const *texts, size_t count)
{
    size_t width;
    if (writer->format == MMCL__FORMAT_SAFETENSORS)
        return mmcl__fail(writer->context, MMCL_E_INVAL, "%s: .safetensors has no texts", writer->output.path);
    MMCL__TRY(measure_texts(writer, texts, count, &width));
    const mmcl_array_info info = {.dtype = MMCL_STR, .element_bytes = 4 * (uint64_t) width, .dimensions = 1, .shape = {count}};
    MMCL__TRY(mmcl__writer_begin(writer, key, &info));
    for (size_t i = 0; i < count; i++)
        MMCL__TRY(append_text(writer, texts[i], width));
    return mmcl__writer_end(writer);
}

/* ------------------------------------------------------------------------------------------------------------- commit --- */

static mmcl_status finish(mmcl_writer *writer)
{
    if (writer->format == MMCL__FORMAT_NPZ)
        MMCL__TRY(mmcl__zip_finish(writer));
    if (writer->format == MMCL__FORMAT_SAFETENSORS)
        MMCL__TRY(mmcl__safetensors_finish(writer));
    return mmcl__output_commit(&writer->output);
}

mmcl_status mmcl__writer_commit(mmcl_writer *writer)
{
    MMCL__TRY(check_ready(writer));
    if (writer->count == 0)
        return mmcl__fail(writer->context, MMCL_E_STATE, "%s: nothing has been added", writer->output.path);
    writer->broken = true;
    MMCL__TRY(finish(writer));
    writer->broken    = false;
    writer->committed = true;
    return MMCL_OK;
}
