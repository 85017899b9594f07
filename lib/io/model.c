/* The frame of a model file, and the files of chains. What is in them: model_transform.c and model_pipeline.c. */
#include "io/model.h"

#include "io/model_parts.h"

#include <mmcl/version.h>

#include <string.h>

/* ---------------------------------------------------------------------------------------------------------- writing --- */

mmcl_status mmcl__model_begin(mmcl_writer **out, mmcl_context *context, const char *kind, const mmcl__model_target *target)
{
    const int32_t     format[] = {MMCL__MODEL_MAJOR, MMCL__MODEL_MINOR};
    const char *const library  = mmcl_version_string();
    mmcl_writer      *writer;
    MMCL__TRY(mmcl__writer_create_model(&writer, context, target->path));
    mmcl_status status = mmcl__writer_put(writer, "format", MMCL_I32, 1, &(uint64_t){2}, format);
    if (status == MMCL_OK)
        status = mmcl__writer_add_strings(writer, "kind", &kind, 1);
    if (status == MMCL_OK)
        status = mmcl__writer_add_strings(writer, "library", &library, 1);
    if (status == MMCL_OK)
        *out = writer;
    else
        mmcl__writer_destroy(writer);
    return status;
}

mmcl_status mmcl__model_end(mmcl_writer *writer, const mmcl__model_target *target, mmcl_status status)
{
    if (status == MMCL_OK)
        status = mmcl__writer_commit(writer);
    const mmcl__output *output = &writer->output;
    if (status == MMCL_OK && target->path == NULL &&
        target->sink->write(target->sink->user, output->memory, (size_t) output->size) != MMCL_OK)
        status = mmcl__fail(writer->context, MMCL_E_CALLBACK, "sink: its write failed");
    mmcl__writer_destroy(writer);
    return status;
}

mmcl_status mmcl__transform_save(const mmcl_transform *transform, const mmcl__model_target *target)
{
    mmcl_writer *writer;
    if (!transform->fitted)
        return mmcl__fail(transform->context, MMCL_E_STATE, "transform: not fitted, there is nothing to save");
    MMCL__TRY(mmcl__model_begin(&writer, transform->context, "transform", target));
    return mmcl__model_end(writer, target, mmcl__model_put_transform(writer, "", transform));
}

/* ---------------------------------------------------------------------------------------------------------- reading --- */

mmcl_status mmcl__model_damaged(const mmcl_archive *archive, const char *key, const char *what)
{
    return mmcl__fail(archive->context, MMCL_E_FORMAT, "%s: not a valid model file: '%s' %s", archive->file->name, key, what);
}

mmcl_status mmcl__model_invalid(const mmcl_archive *archive, mmcl_status status)
{
    char why[sizeof archive->context->message];
    if (status != MMCL_E_INVAL && status != MMCL_E_NUMERIC && status != MMCL_E_STATE)
        return status;
    strcpy(why, archive->context->message);
    return mmcl__fail(archive->context, MMCL_E_FORMAT, "%s: not a valid model file: %s", archive->file->name, why);
}

mmcl_status mmcl__model_array(mmcl_array **out, mmcl_archive *archive, const char *key, mmcl_dtype dtype, uint32_t dimensions)
{
    const mmcl__member *member = mmcl__archive_find(archive, key);
    if (member == NULL)
        return mmcl__model_damaged(archive, key, "is missing");
    MMCL__TRY(mmcl__array_create(out, archive, member));
    const mmcl_array_info *info = &(*out)->layout.info;
    if (info->dtype == dtype && info->dimensions == dimensions && (!info->fortran || dimensions < 2))
        return MMCL_OK;
    mmcl__array_destroy(*out);
    *out = NULL;
    return mmcl__model_damaged(archive, key, "has another type or shape than it should");
}

mmcl_status mmcl__model_take(mmcl_archive *archive, const char *key, mmcl_dtype dtype, size_t count, void *out)
{
    mmcl_array *array;
    MMCL__TRY(mmcl__model_array(&array, archive, key, dtype, 1));
    mmcl_status status = array->layout.info.elements < count ? mmcl__model_damaged(archive, key, "has too few elements")
                                                             : mmcl__array_read(array, 0, count, out);
    mmcl__array_destroy(array);
    return status;
}

mmcl_status mmcl__model_take_values(mmcl_archive *archive, const char *key, uint32_t dimensions, size_t rows, size_t cols,
                                    double **out)
{
    mmcl_array *array;
    MMCL__TRY(mmcl__model_array(&array, archive, key, MMCL_F64, dimensions));
    const mmcl_array_info *info   = &array->layout.info;
    double                *values = NULL;
    mmcl_status            status = MMCL_OK;
    if (info->shape[0] != rows || (dimensions == 2 && info->shape[1] != cols))
        status = mmcl__model_damaged(archive, key, "has another shape than it should");
    else if ((values = mmcl__alloc(archive->context, rows * cols, sizeof *values)) == NULL)
        status = MMCL_E_NOMEM;
    else
        status = mmcl__array_read(array, 0, rows * cols, values);
    if (status == MMCL_OK && !mmcl__convert()->finite_f64(rows * cols, values))
        status = mmcl__model_damaged(archive, key, "holds NaN or infinity");
    mmcl__array_destroy(array);
    if (status == MMCL_OK)
        *out = values;
    else
        mmcl__free(archive->context, values, rows * cols, sizeof *values);
    return status;
}

/* Reads `format` and `kind`, and compares them with what is expected. */
static mmcl_status check_frame(mmcl_archive *archive, const char *expected)
{
    int32_t     format[2];
    char        kind[16] = "";
    mmcl_array *array;
    const char *name = archive->file->name;
    MMCL__TRY(mmcl__model_take(archive, "format", MMCL_I32, 2, format));
    if (format[0] > MMCL__MODEL_MAJOR)
        return mmcl__fail(archive->context, MMCL_E_VERSION,
                          "%s: a model file of format %d.%d, this library reads formats up to %d", name, format[0], format[1],
                          MMCL__MODEL_MAJOR);
    if (format[0] < 1 || format[1] < 0)
        return mmcl__model_damaged(archive, "format", "is no version");
    MMCL__TRY(mmcl__model_array(&array, archive, "kind", MMCL_STR, 1));
    size_t      needed = 0;
    mmcl_status status = mmcl__array_string(array, 0, kind, 0, &needed);
    if (status == MMCL_OK && needed <= sizeof kind)
        status = mmcl__array_string(array, 0, kind, sizeof kind, NULL);
    mmcl__array_destroy(array);
    MMCL__TRY(mmcl__model_invalid(archive, status));
    if (strcmp(kind, expected) != 0)
        return mmcl__fail(archive->context, MMCL_E_FORMAT, "%s: a model of kind '%s', expected a %s", name, kind, expected);
    return MMCL_OK;
}

mmcl_status mmcl__model_open(mmcl_archive **out, mmcl_context *context, const char *path, const mmcl_open_options *options,
                             const char *kind)
{
    MMCL__TRY(mmcl__archive_open(out, context, path, options));
    mmcl_status status = check_frame(*out, kind);
    if (status != MMCL_OK)
        mmcl__archive_destroy(*out);
    return status;
}

mmcl_status mmcl__transform_load(mmcl_transform **out, mmcl_context *context, const char *path, const mmcl_open_options *options)
{
    mmcl_archive *archive;
    MMCL__TRY(mmcl__model_open(&archive, context, path, options, "transform"));
    mmcl_status status = mmcl__model_take_transform(out, archive, "");
    mmcl__archive_destroy(archive);
    return status;
}
