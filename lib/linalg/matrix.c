#include "linalg/matrix.h"

#include "linalg/convert.h"

#include <mmcl/transform.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

static bool is_float(mmcl_dtype dtype)
{
    return dtype == MMCL_F32 || dtype == MMCL_F64 || dtype == MMCL_F16 || dtype == MMCL_BF16;
}

double mmcl__dtype_epsilon(mmcl_dtype dtype)
{
    switch (dtype) {
    case MMCL_F64:  return 0x1p-53;
    case MMCL_F16:  return 0x1p-11;
    case MMCL_BF16: return 0x1p-8;
    default:        return 0x1p-24;
    }
}

#define FAIL(...) (context != NULL ? mmcl__fail(context, MMCL_E_INVAL, __VA_ARGS__) : MMCL_E_INVAL)

mmcl_status mmcl__matrix_check(mmcl_context *context, const mmcl_matrix *matrix, const char *name)
{
    if (matrix == NULL)
        return FAIL("%s: NULL, expected a matrix", name);
    if (!is_float(matrix->dtype))
        return FAIL("%s: %s elements, expected float16, bfloat16, float32 or float64", name, mmcl_dtype_name(matrix->dtype));
    if (matrix->cols == 0 || matrix->cols > MMCL_MAX_COLUMNS)
        return FAIL("%s: %zu columns, expected 1 to %d", name, matrix->cols, MMCL_MAX_COLUMNS);
    if (matrix->data == NULL && matrix->read == NULL && matrix->rows > 0)
        return FAIL("%s: neither data nor read is set", name);
    if (matrix->row_stride != 0 && matrix->row_stride < matrix->cols && (matrix->col_stride == 0 || matrix->col_stride == 1) &&
        matrix->rows > 1)
        return FAIL("%s: row_stride %zu is below the %zu columns", name, matrix->row_stride, matrix->cols);
    size_t across, down, last, bytes, row_stride = matrix->row_stride != 0 ? matrix->row_stride : matrix->cols;
    if (!mmcl__mul(matrix->rows, row_stride, &down) ||
        !mmcl__mul(matrix->cols, MMCL__MAX(matrix->col_stride, 1), &across) || !mmcl__add(down, across, &last) ||
        !mmcl__mul(last, 16, &bytes))
        return FAIL("%s: %zu rows of %zu columns do not fit in memory", name, matrix->rows, matrix->cols);
    return MMCL_OK;
}

#undef FAIL

/* ------------------------------------------------------------------------------------------------- single elements --- */

static uint64_t load(const unsigned char *at, size_t size, bool swapped)
{
    uint64_t bits = 0;
    for (size_t i = 0; i < size; i++) /* little endian is the order that the shifts below assume */
        bits |= (uint64_t) at[swapped ? size - 1 - i : i] << (8 * i);
    return bits;
}

static bool big_endian(void)
{
    const uint16_t one = 1;
    unsigned char  first;
    memcpy(&first, &one, 1);
    return first == 0;
}

static double element(const unsigned char *at, mmcl_dtype dtype, bool swapped)
{
    uint64_t bits = load(at, mmcl_dtype_size(dtype), swapped != big_endian());
    uint32_t low  = (uint32_t) bits;
    double   wide;
    float    narrow;
    switch (dtype) {
    case MMCL_F16:  return mmcl__f16_to_f32((uint16_t) bits);
    case MMCL_BF16: return mmcl__bf16_to_f32((uint16_t) bits);
    case MMCL_F64:  memcpy(&wide, &bits, sizeof wide); return wide;
    default:        memcpy(&narrow, &low, sizeof narrow); return narrow;
    }
}

/* ----------------------------------------------------------------------------------------------------------- runs --- */

/* n neighbouring elements in the machine's order; `in` may be unaligned (a mapped file) but not overlap `out` ahead of itself. */
static void run_f32(size_t n, const void *in, mmcl_dtype dtype, float *out)
{
    switch (dtype) {
    case MMCL_F32: memmove(out, in, n * sizeof *out); break;
    case MMCL_F16: mmcl__convert()->f16_to_f32(n, in, out); break;
    case MMCL_F64: mmcl__convert()->f64_to_f32(n, in, out); break;
    default:
        for (size_t i = 0; i < n; i++)
            out[i] = (float) element((const unsigned char *) in + 2 * i, dtype, false);
    }
}

static void halves_to_f64(size_t n, const uint16_t *in, double *out)
{
    float piece[256];
    for (size_t i = 0; i < n; i += sizeof piece / sizeof *piece) {
        size_t count = MMCL__MIN(sizeof piece / sizeof *piece, n - i);
        mmcl__convert()->f16_to_f32(count, in + i, piece);
        mmcl__convert()->f32_to_f64(count, piece, out + i);
    }
}

static void run_f64(size_t n, const void *in, mmcl_dtype dtype, double *out)
{
    switch (dtype) {
    case MMCL_F16: halves_to_f64(n, in, out); break;
    case MMCL_F64: memmove(out, in, n * sizeof *out); break;
    case MMCL_F32: mmcl__convert()->f32_to_f64(n, in, out); break;
    default:
        for (size_t i = 0; i < n; i++)
            out[i] = element((const unsigned char *) in + 2 * i, dtype, false);
    }
}

static bool aligned(const void *data, mmcl_dtype dtype)
{
    return (uintptr_t) data % mmcl_dtype_size(dtype) == 0;
}

/* True when rows can be taken as runs of native, aligned elements. */
static bool plain(const mmcl_matrix *matrix)
{
    return !matrix->swapped && matrix->col_stride <= 1 && aligned(matrix->data, matrix->dtype);
}

static const unsigned char *row_at(const mmcl_matrix *matrix, size_t row)
{
    size_t stride = matrix->row_stride != 0 ? matrix->row_stride : matrix->cols;
    return (const unsigned char *) matrix->data + row * stride * mmcl_dtype_size(matrix->dtype);
}

static double at(const mmcl_matrix *matrix, size_t row, size_t col)
{
    size_t step = MMCL__MAX(matrix->col_stride, 1) * mmcl_dtype_size(matrix->dtype);
    return element(row_at(matrix, row) + col * step, matrix->dtype, matrix->swapped);
}

/* ---------------------------------------------------------------------------------------------------------- tiles --- */

/* A read of float64 rows that have to become float32: a row at a time through the stack. */
__attribute__((noinline)) static mmcl_status narrow_rows(const mmcl_matrix *matrix, size_t first, size_t n_rows, float *out)
{
    double row[MMCL_MAX_COLUMNS];
    for (size_t i = 0; i < n_rows; i++) {
        if (matrix->read(matrix->read_user, first + i, 1, row) != MMCL_OK)
            return MMCL_E_CALLBACK;
        run_f32(matrix->cols, row, MMCL_F64, out + i * matrix->cols);
    }
    return MMCL_OK;
}

/* Where elements of `size` bytes have to be put at the end of a buffer of n wider ones, to be widened front to back in place. */
static void *tail(void *out, size_t n, size_t out_size, size_t size)
{
    return (unsigned char *) out + n * (out_size - size);
}

/* Widens n elements that lie at the tail of `out`, in pieces through the stack: a kernel may not overlap its own output. */
static void widen(size_t n, const unsigned char *in, mmcl_dtype dtype, void *out, bool to_f64)
{
    unsigned char piece[1024];
    size_t        size = mmcl_dtype_size(dtype), most = sizeof piece / size;
    for (size_t i = 0; i < n; i += most) {
        size_t count = MMCL__MIN(most, n - i);
        memcpy(piece, in + i * size, count * size);
        if (to_f64)
            run_f64(count, piece, dtype, (double *) out + i);
        else
            run_f32(count, piece, dtype, (float *) out + i);
    }
}

static mmcl_status read_callback(const mmcl_matrix *matrix, size_t first, size_t n_rows, void *out, bool to_f64)
{
    size_t n = n_rows * matrix->cols, size = mmcl_dtype_size(matrix->dtype), out_size = to_f64 ? sizeof(double) : sizeof(float);
    if (size > out_size)
        return narrow_rows(matrix, first, n_rows, out);
    void *in = tail(out, n, out_size, size);
    if (matrix->read(matrix->read_user, first, n_rows, in) != MMCL_OK)
        return MMCL_E_CALLBACK;
    if (size < out_size)
        widen(n, in, matrix->dtype, out, to_f64);
    return MMCL_OK;
}

static mmcl_status not_finite(size_t index, size_t first, size_t cols, mmcl__place *bad)
{
    if (bad != NULL)
        *bad = (mmcl__place){.row = first + index / cols, .col = index % cols};
    return MMCL_E_NUMERIC;
}

mmcl_status mmcl__read_f32(const mmcl_matrix *matrix, size_t first, size_t n_rows, float *out, mmcl__place *bad)
{
    size_t cols = matrix->cols;
    if (matrix->data == NULL)
        MMCL__TRY(read_callback(matrix, first, n_rows, out, false));
    else if (plain(matrix))
        for (size_t i = 0; i < n_rows; i++)
            run_f32(cols, row_at(matrix, first + i), matrix->dtype, out + i * cols);
    else
        for (size_t i = 0; i < n_rows; i++)
            for (size_t j = 0; j < cols; j++)
                out[i * cols + j] = (float) at(matrix, first + i, j);
    if (mmcl__convert()->finite_f32(n_rows * cols, out))
        return MMCL_OK;
    size_t index = 0;
    while (isfinite(out[index]))
        index++;
    return not_finite(index, first, cols, bad);
}

mmcl_status mmcl__read_f64(const mmcl_matrix *matrix, size_t first, size_t n_rows, double *out, mmcl__place *bad)
{
    size_t cols = matrix->cols;
    if (matrix->data == NULL)
        MMCL__TRY(read_callback(matrix, first, n_rows, out, true));
    else if (plain(matrix))
        for (size_t i = 0; i < n_rows; i++)
            run_f64(cols, row_at(matrix, first + i), matrix->dtype, out + i * cols);
    else
        for (size_t i = 0; i < n_rows; i++)
            for (size_t j = 0; j < cols; j++)
                out[i * cols + j] = at(matrix, first + i, j);
    if (mmcl__convert()->finite_f64(n_rows * cols, out))
        return MMCL_OK;
    size_t index = 0;
    while (isfinite(out[index]))
        index++;
    return not_finite(index, first, cols, bad);
}

mmcl_status mmcl__read_failed(mmcl_context *context, mmcl_status status, const char *name, size_t part, const mmcl__place *bad)
{
    char which[32] = "";
    if (part != SIZE_MAX)
        snprintf(which, sizeof which, "[%zu]", part);
    if (status == MMCL_E_NUMERIC)
        return mmcl__fail(context, status, "%s%s: NaN or infinity in row %zu, column %zu (counted from 0)", name, which, bad->row,
                          bad->col);
    if (status == MMCL_E_CALLBACK)
        return mmcl__fail(context, status, "%s%s: the read callback failed", name, which);
    return status;
}

/* ---------------------------------------------------------------------------------------------------------- stack --- */

mmcl_status mmcl__rows_open(mmcl_context *context, mmcl__rows *rows, const mmcl_matrix *parts, size_t n_parts, const char *name)
{
    *rows = (mmcl__rows){0};
    if (parts == NULL || n_parts == 0)
        return mmcl__fail(context, MMCL_E_INVAL, "%s: no matrices, expected at least one", name);
    size_t total = 0;
    for (size_t i = 0; i < n_parts; i++) {
        MMCL__TRY(mmcl__matrix_check(context, &parts[i], name));
        if (parts[i].cols != parts[0].cols)
            return mmcl__fail(context, MMCL_E_INVAL, "%s[%zu]: %zu columns, expected %zu as in %s[0]", name, i, parts[i].cols,
                              parts[0].cols, name);
        if (!mmcl__add(total, parts[i].rows, &total))
            return mmcl__fail(context, MMCL_E_INVAL, "%s: too many rows", name);
    }
    size_t *starts = mmcl__alloc(context, n_parts + 1, sizeof *starts);
    if (starts == NULL)
        return MMCL_E_NOMEM;
    starts[0] = 0;
    for (size_t i = 0; i < n_parts; i++)
        starts[i + 1] = starts[i] + parts[i].rows;
    *rows = (mmcl__rows){.parts = parts, .n_parts = n_parts, .starts = starts, .rows = total, .cols = parts[0].cols};
    return MMCL_OK;
}

void mmcl__rows_close(mmcl_context *context, mmcl__rows *rows)
{
    mmcl__free(context, rows->starts, rows->n_parts + 1, sizeof *rows->starts);
    *rows = (mmcl__rows){0};
}

/* The part that holds row `row`. */
static size_t part_of(const mmcl__rows *rows, size_t row)
{
    size_t low = 0, high = rows->n_parts - 1;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (rows->starts[middle + 1] <= row)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static mmcl_status read_stack(const mmcl__rows *rows, size_t first, size_t n_rows, void *out, bool to_f64, size_t *bad_part,
                              mmcl__place *bad)
{
    for (size_t done = 0; done < n_rows;) {
        size_t             part = part_of(rows, first + done), from = first + done - rows->starts[part];
        const mmcl_matrix *matrix = &rows->parts[part];
        size_t             count  = MMCL__MIN(n_rows - done, matrix->rows - from);
        mmcl_status        status = to_f64 ? mmcl__read_f64(matrix, from, count, (double *) out + done * rows->cols, bad)
                                           : mmcl__read_f32(matrix, from, count, (float *) out + done * rows->cols, bad);
        if (status != MMCL_OK) {
            if (bad_part != NULL)
                *bad_part = part;
            return status;
        }
        done += count;
    }
    return MMCL_OK;
}

mmcl_status mmcl__rows_read_f32(const mmcl__rows *rows, size_t first, size_t n_rows, float *out, size_t *bad_part, mmcl__place *bad)
{
    return read_stack(rows, first, n_rows, out, false, bad_part, bad);
}

mmcl_status mmcl__rows_read_f64(const mmcl__rows *rows, size_t first, size_t n_rows, double *out, size_t *bad_part, mmcl__place *bad)
{
    return read_stack(rows, first, n_rows, out, true, bad_part, bad);
}
