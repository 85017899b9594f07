#include "rows.h"

#include "memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---------------------------------------------------------------------------------------------------------- opening --- */

/* The view of an opened array, or the line that says why there is none. Takes the array over. */
static int as_features(cli_session *session, mmcl_array *array, char *name, features *out)
{
    mmcl_array_info info = {.struct_size = sizeof info};
    out->array           = array;
    out->name            = name;
    mmcl_status status   = mmcl_array_get_info(array, &info);
    if (status == MMCL_OK && info.dimensions != 2) {
        int code = terminal_fail(EXIT_ERROR, "%s: features need 2 dimensions, rows and columns; it has %u", name, info.dimensions);
        features_close(out);
        return code;
    }
    if (status == MMCL_OK)
        status = mmcl_array_matrix(array, &out->view);
    if (status == MMCL_E_INVAL) {
        int code = terminal_fail(EXIT_ERROR, "%s: features must be float16, float32 or float64, not %s", name,
                                 mmcl_dtype_name(info.dtype));
        features_close(out);
        return code;
    }
    if (status == MMCL_OK)
        return EXIT_OK;
    int code = session_fail_status(session, status, name);
    features_close(out);
    return code;
}

int features_open(cli_session *session, const char *name, features *out)
{
    mmcl_array *array = NULL;
    mmcl_status status = mmcl_array_open(&array, session->context, name, NULL);
    if (status != MMCL_OK)
        return session_fail(session, status, name);
    return as_features(session, array, memory_text(name), out);
}

int features_from(cli_session *session, mmcl_archive *archive, const char *path, const char *key, features *out)
{
    mmcl_array *array  = NULL;
    mmcl_status status = mmcl_archive_array(&array, archive, key);
    if (status != MMCL_OK)
        return session_fail(session, status, path);
    return as_features(session, array, memory_format("%s:%s", path, key), out);
}

void features_close(features *rows)
{
    mmcl_array_destroy(rows->array);
    free(rows->name);
    *rows = (features){0};
}

/* --------------------------------------------------------------------------------------------------------- slices --- */

static mmcl_status read_slice(void *user, size_t first, size_t count, void *out)
{
    const rows_slice *slice = user;
    return slice->source->read(slice->source->read_user, slice->first + first, count, out);
}

void rows_slice_init(rows_slice *out, const mmcl_matrix *source, size_t first, size_t count)
{
    *out           = (rows_slice){.view = *source, .source = source, .first = first};
    out->view.rows = count;
    if (source->data == NULL) {
        out->view.read      = read_slice;
        out->view.read_user = out;
        return;
    }
    size_t stride  = source->row_stride != 0 ? source->row_stride : source->cols;
    out->view.data = (const char *) source->data + first * stride * mmcl_dtype_size(source->dtype);
}

/* A chain without steps copies rows, and says what is wrong with them. */
mmcl_status rows_read(cli_session *session, const mmcl_matrix *rows, size_t first, size_t count, float *out)
{
    mmcl_transform *copy = NULL;
    rows_slice      slice;
    mmcl_status     status = mmcl_transform_create(&copy, session->context);
    rows_slice_init(&slice, rows, first, count);
    if (status == MMCL_OK)
        status = mmcl_transform_fit(copy, &slice.view, 1, NULL);
    if (status == MMCL_OK)
        status = mmcl_transform_apply(copy, &slice.view, out, 0);
    mmcl_transform_destroy(copy);
    return status;
}

/* Copies one element, in the machine's byte order. */
static void copy_element(char *out, const char *in, size_t bytes, bool swapped)
{
    for (size_t i = 0; i < bytes; i++)
        out[i] = in[swapped ? bytes - 1 - i : i];
}

/* Rows `first` ... of a matrix, dense and in the machine's byte order, as a read callback gives them. */
static mmcl_status read_dense(const mmcl_matrix *source, size_t first, size_t count, char *out)
{
    if (source->data == NULL)
        return source->read(source->read_user, first, count, out);
    size_t bytes      = mmcl_dtype_size(source->dtype);
    size_t row_stride = source->row_stride != 0 ? source->row_stride : source->cols;
    size_t col_stride = source->col_stride != 0 ? source->col_stride : 1;
    for (size_t i = 0; i < count; i++, out += source->cols * bytes) {
        const char *row = (const char *) source->data + (first + i) * row_stride * bytes;
        if (col_stride == 1 && !source->swapped) {
            memcpy(out, row, source->cols * bytes);
            continue;
        }
        for (size_t j = 0; j < source->cols; j++)
            copy_element(out + j * bytes, row + j * col_stride * bytes, bytes, source->swapped != 0);
    }
    return MMCL_OK;
}

/* How many of the left-out rows stand before row `row` of what remains. */
static size_t left_out_before(const rows_without *rows, size_t row)
{
    size_t low = 0, high = rows->count; /* left_out[i] - i is the number of remaining rows before left_out[i] */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (rows->left_out[middle] - middle <= row)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static mmcl_status read_without(void *user, size_t first, size_t count, void *out)
{
    const rows_without *rows  = user;
    size_t              bytes = rows->source->cols * mmcl_dtype_size(rows->source->dtype);
    char               *next  = out;
    while (count > 0) {
        size_t skipped = left_out_before(rows, first);
        size_t run     = skipped < rows->count ? rows->left_out[skipped] - skipped - first : count;
        run            = run < count ? run : count;
        mmcl_status status = read_dense(rows->source, first + skipped, run, next);
        if (status != MMCL_OK)
            return status;
        first += run;
        count -= run;
        next += run * bytes;
    }
    return MMCL_OK;
}

void rows_without_init(rows_without *out, const mmcl_matrix *source, const size_t *left_out, size_t count)
{
    *out = (rows_without){.view = *source, .source = source, .left_out = left_out, .count = count};
    if (count == 0)
        return;
    out->view = (mmcl_matrix){.rows      = source->rows - count,
                              .cols      = source->cols,
                              .read      = read_without,
                              .read_user = out,
                              .dtype     = source->dtype};
}

/* -------------------------------------------------------------------------------------------------------- applying --- */

/* The first row of the slice that the transform refuses: functions that run concurrently cannot name it. */
static size_t refused_row(const rows_applied *rows, size_t first, size_t count, float *out)
{
    for (size_t i = 0; i < count; i++) {
        rows_slice row;
        rows_slice_init(&row, rows->source, first + i, 1);
        if (mmcl_transform_apply(rows->transform, &row.view, out, 0) != MMCL_OK)
            return first + i;
    }
    return first;
}

static mmcl_status read_applied(void *user, size_t first, size_t count, void *out)
{
    rows_applied *rows = user;
    if (session_interrupted())
        return MMCL_E_CANCELLED;
    rows_slice slice;
    rows_slice_init(&slice, rows->source, first, count);
    mmcl_status status = mmcl_transform_apply(rows->transform, &slice.view, out, 0);
    if (status == MMCL_E_NUMERIC)
        return session_callback_failed(rows->session, status, "%s: row %zu holds NaN or infinity", rows->name,
                                       refused_row(rows, first, count, out));
    if (status != MMCL_OK)
        return session_callback_failed(rows->session, status, "%s: %s", rows->name, mmcl_status_string(status));
    if (rows->report)
        terminal_progress("rows", first + count, rows->view.rows, NAN);
    return MMCL_OK;
}

int rows_applied_init(rows_applied *out, cli_session *session, const mmcl_transform *transform, const mmcl_matrix *source,
                      const char *name)
{
    size_t      inputs = 0, outputs = 0;
    mmcl_status status = mmcl_transform_shape(transform, &inputs, &outputs);
    if (status != MMCL_OK)
        return session_fail_status(session, status, "the transform");
    if (source->cols != inputs)
        return terminal_fail(EXIT_ERROR, "%s: it has %zu columns; the transform takes %zu", name, source->cols, inputs);
    *out = (rows_applied){
        .view = {.rows = source->rows, .cols = outputs, .read_user = out, .read = read_applied, .dtype = MMCL_F32},
        .session = session, .transform = transform, .source = source, .name = name};
    return EXIT_OK;
}
