/* Edge of io.h: validate, import options, call. */
#include "io/array.h"
#include "io/writer.h"

#include <string.h>

/* ----------------------------------------------------------------------------------------------------------- archives --- */

mmcl_status mmcl_archive_open(mmcl_archive **out, mmcl_context *context, const char *path, const mmcl_open_options *options)
{
    mmcl__open_options ours;
    if (out != NULL)
        *out = NULL;
    if (context == NULL)
        return MMCL_E_INVAL;
    if (out == NULL || path == NULL)
        return mmcl__fail(context, MMCL_E_INVAL, "%s: NULL", out == NULL ? "out" : "path");
    MMCL__TRY(mmcl__open_options_import(context, &ours, options));
    return mmcl__archive_open(out, context, path, &ours.options);
}

void mmcl_archive_destroy(mmcl_archive *archive)
{
    mmcl__archive_destroy(archive);
}

size_t mmcl_archive_count(const mmcl_archive *archive)
{
    return archive != NULL ? archive->count : 0;
}

const char *mmcl_archive_key(const mmcl_archive *archive, size_t index)
{
    return archive != NULL && index < archive->count ? archive->members[index].key : NULL;
}

uint32_t mmcl_archive_has(const mmcl_archive *archive, const char *key)
{
    return archive != NULL && key != NULL && mmcl__archive_find(archive, key) != NULL;
}

/* ------------------------------------------------------------------------------------------------------------- arrays --- */

mmcl_status mmcl_archive_array(mmcl_array **out, mmcl_archive *archive, const char *key)
{
    const mmcl__member *member;
    if (out != NULL)
        *out = NULL;
    if (archive == NULL)
        return MMCL_E_INVAL;
    if (out == NULL)
        return mmcl__fail(archive->context, MMCL_E_INVAL, "out: NULL");
    MMCL__TRY(mmcl__archive_select(archive, key, &member));
    return mmcl__array_create(out, archive, member);
}

mmcl_status mmcl_array_open(mmcl_array **out, mmcl_context *context, const char *name, const mmcl_open_options *options)
{
    mmcl__open_options ours;
    if (out != NULL)
        *out = NULL;
    if (context == NULL)
        return MMCL_E_INVAL;
    if (out == NULL || name == NULL)
        return mmcl__fail(context, MMCL_E_INVAL, "%s: NULL", out == NULL ? "out" : "name");
    MMCL__TRY(mmcl__open_options_import(context, &ours, options));
    return mmcl__array_open(out, context, name, &ours.options);
}

void mmcl_array_destroy(mmcl_array *array)
{
    mmcl__array_destroy(array);
}

mmcl_status mmcl_array_get_info(const mmcl_array *array, mmcl_array_info *out)
{
    if (array == NULL || out == NULL)
        return MMCL_E_INVAL;
    return mmcl__export(NULL, out, &array->layout.info, sizeof *out, MMCL__V1(mmcl_array_info, compressed), "mmcl_array_info");
}

mmcl_status mmcl_array_matrix(const mmcl_array *array, mmcl_matrix *out)
{
    if (array == NULL || out == NULL)
        return MMCL_E_INVAL;
    return mmcl__array_matrix(array, out);
}

mmcl_status mmcl_array_labels(const mmcl_array *array, int64_t *out, size_t count)
{
    if (array == NULL)
        return MMCL_E_INVAL;
    if (out == NULL && count > 0)
        return mmcl__fail(array->context, MMCL_E_INVAL, "out: NULL");
    return mmcl__array_labels(array, out, count);
}

mmcl_status mmcl_array_string(const mmcl_array *array, size_t index, char *out, size_t capacity, size_t *needed)
{
    if (array == NULL)
        return MMCL_E_INVAL;
    if (out == NULL && capacity > 0)
        return mmcl__fail(array->context, MMCL_E_INVAL, "out: NULL with a capacity of %zu", capacity);
    return mmcl__array_string(array, index, out, capacity, needed);
}

/* ------------------------------------------------------------------------------------------------------------ writers --- */

mmcl_status mmcl_writer_create(mmcl_writer **out, mmcl_context *context, const char *path)
{
    if (out != NULL)
        *out = NULL;
    if (context == NULL)
        return MMCL_E_INVAL;
    if (out == NULL || path == NULL)
        return mmcl__fail(context, MMCL_E_INVAL, "%s: NULL", out == NULL ? "out" : "path");
    return mmcl__writer_create(out, context, path);
}

mmcl_status mmcl_writer_add(mmcl_writer *writer, const char *key, const mmcl_matrix *matrix, mmcl_dtype dtype)
{
    if (writer == NULL)
        return MMCL_E_INVAL;
    if (matrix == NULL)
        return mmcl__fail(writer->context, MMCL_E_INVAL, "matrix: NULL");
    return mmcl__writer_add(writer, key, matrix, dtype);
}

mmcl_status mmcl_writer_add_labels(mmcl_writer *writer, const char *key, const int64_t *labels, size_t count)
{
    if (writer == NULL)
        return MMCL_E_INVAL;
    if (labels == NULL && count > 0)
        return mmcl__fail(writer->context, MMCL_E_INVAL, "labels: NULL");
    return mmcl__writer_put(writer, key, MMCL_I64, 1, &(uint64_t){count}, labels);
}

mmcl_status mmcl_writer_add_strings(mmcl_writer *writer, const char *key, const char *const *texts, size_t count)
{
    if (writer == NULL)
        return MMCL_E_INVAL;
    if (texts == NULL && count > 0)
        return mmcl__fail(writer->context, MMCL_E_INVAL, "texts: NULL");
    return mmcl__writer_add_strings(writer, key, texts, count);
}

mmcl_status mmcl_writer_commit(mmcl_writer *writer)
{
    return writer != NULL ? mmcl__writer_commit(writer) : MMCL_E_INVAL;
}

void mmcl_writer_destroy(mmcl_writer *writer)
{
    mmcl__writer_destroy(writer);
}
