/* Matrix views: checked once at the edge of the library, then read in tiles of float32 or float64. */
#ifndef MMCL_LINALG_MATRIX_H
#define MMCL_LINALG_MATRIX_H

#include "core/core.h"

/* Where a tile could not be read. */
typedef struct mmcl__place {
    size_t row, col;
} mmcl__place;

/*
 * Checks that a view describes features: rows may be 0, columns 1 ... MMCL_MAX_COLUMNS, a float type, strides without overflow,
 * data or read. `name` names the argument in the message. `context` NULL: status only.
 */
mmcl_status mmcl__matrix_check(mmcl_context *context, const mmcl_matrix *matrix, const char *name);

/*
 * out [n_rows, cols] row-major without gaps = rows first ... first + n_rows - 1. MMCL_E_NUMERIC at the first NaN or infinity,
 * whose place goes to `bad` (may be NULL); MMCL_E_CALLBACK when the host's read failed. Allocates nothing, sets no message;
 * takes up to 128 KiB of stack for a `read` in float64 that has to become float32.
 */
mmcl_status mmcl__read_f32(const mmcl_matrix *matrix, size_t first, size_t n_rows, float *out, mmcl__place *bad);
mmcl_status mmcl__read_f64(const mmcl_matrix *matrix, size_t first, size_t n_rows, double *out, mmcl__place *bad);

/* Message for what the two above return: `name` is the argument, `part` its index or SIZE_MAX. Returns `status`. */
mmcl_status mmcl__read_failed(mmcl_context *context, mmcl_status status, const char *name, size_t part, const mmcl__place *bad);

/* Relative rounding of the stored elements, such as 2^-11 for float16: below it a direction's spread is noise. */
double mmcl__dtype_epsilon(mmcl_dtype dtype);

/* Several matrices of one width read as if stacked. `starts` [n + 1] holds the first row of each. */
typedef struct mmcl__rows {
    const mmcl_matrix *parts;
    size_t             n_parts;
    size_t            *starts; /* [n_parts + 1] */
    size_t             rows, cols;
} mmcl__rows;

/* Checks the parts and joins them; allocates `starts`. `name` is for messages. */
mmcl_status mmcl__rows_open(mmcl_context *context, mmcl__rows *rows, const mmcl_matrix *parts, size_t n_parts, const char *name);
void        mmcl__rows_close(mmcl_context *context, mmcl__rows *rows);

/* As mmcl__read_f32 and _f64, over the stack; `bad_part` (may be NULL) receives the part where it failed. */
mmcl_status mmcl__rows_read_f32(const mmcl__rows *rows, size_t first, size_t n_rows, float *out, size_t *bad_part, mmcl__place *bad);
mmcl_status mmcl__rows_read_f64(const mmcl__rows *rows, size_t first, size_t n_rows, double *out, size_t *bad_part, mmcl__place *bad);

#endif
