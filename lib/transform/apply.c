/* A fitted chain on new rows, and the way back. */
#include "transform/transform.h"

#include "linalg/blas.h"

#include <string.h>

#define STACK_FLOATS 16384 /* 64 KiB for each of two buffers */

_Static_assert(STACK_FLOATS >= MMCL_MAX_COLUMNS, "a row has to fit on the stack");

/* One of the chains that stand side by side. */
static mmcl_status apply_chain(const mmcl__stage *stages, size_t n_stages, size_t inputs, const mmcl_matrix *rows, float *out, size_t out_stride,
                               mmcl__place *bad)
{
    float  a[STACK_FLOATS], b[STACK_FLOATS];
    size_t tile = MMCL__MIN(64, STACK_FLOATS / mmcl__stages_width(stages, n_stages, inputs));
    for (size_t first = 0; first < rows->rows; first += tile) {
        size_t n = MMCL__MIN(tile, rows->rows - first);
        MMCL__TRY(mmcl__read_f32(rows, first, n, a, bad));
        mmcl__stages_run_f32(stages, n_stages, n, inputs, a, b, out + first * out_stride, out_stride);
    }
    return MMCL_OK;
}

mmcl_status mmcl__transform_apply(const mmcl_transform *transform, const mmcl_matrix *rows, float *out, size_t out_stride,
                                  mmcl__place *bad)
{
    const mmcl__stage *stages = transform->stages, *end = stages + transform->n_stages;
    for (;; stages++) {
        size_t length = mmcl__chain_length(stages, (size_t) (end - stages));
        MMCL__TRY(apply_chain(stages, length, transform->inputs, rows, out, out_stride, bad));
        if ((stages += length) == end)
            return MMCL_OK;
        out += length > 0 ? stages[-1].outputs : transform->inputs;
    }
}

/* B^+ = B^T (B B^T)^-1. */
mmcl_status mmcl__pseudo_inverse(mmcl_context *context, size_t outputs, size_t inputs, const double *matrix, double *out)
{
    double *gram = mmcl__alloc(context, outputs * outputs, sizeof *gram);
    double *solved = mmcl__alloc(context, outputs * inputs, sizeof *solved);
    mmcl_status status = MMCL_E_NOMEM;
    if (gram != NULL && solved != NULL) {
        mmcl__gemm_f64(false, true, outputs, outputs, inputs, 1, matrix, inputs, matrix, inputs, 0, gram, outputs);
        memcpy(solved, matrix, outputs * inputs * sizeof *solved);
        status = mmcl__solve_spd(context, outputs, inputs, gram, solved);
    }
    for (size_t i = 0; i < outputs && status == MMCL_OK; i++)
        for (size_t j = 0; j < inputs; j++)
            out[j * outputs + i] = solved[i * inputs + j];
    mmcl__free(context, gram, outputs * outputs, sizeof *gram);
    mmcl__free(context, solved, outputs * inputs, sizeof *solved);
    return status;
}

/* out = rows times inverse^T plus mean, a tile at a time. */
static mmcl_status map_back(const mmcl__stage *stage, const double *inverse, const mmcl_matrix *rows, double *tile, float *out,
                            size_t out_stride, mmcl__place *bad)
{
    enum { TILE = 64 };
    size_t  k = stage->outputs, d = stage->inputs;
    double *back = tile + TILE * k;
    for (size_t first = 0; first < rows->rows; first += TILE) {
        size_t n = MMCL__MIN((size_t) TILE, rows->rows - first);
        MMCL__TRY(mmcl__read_f64(rows, first, n, tile, bad));
        if (inverse != NULL)
            mmcl__gemm_f64(false, true, n, d, k, 1, tile, k, inverse, k, 0, back, d);
        else
            memcpy(back, tile, n * d * sizeof *back);
        for (size_t i = 0; i < n; i++)
            for (size_t j = 0; j < d; j++)
                out[(first + i) * out_stride + j] = (float) (back[i * d + j] + stage->mean_f64[j]);
    }
    return MMCL_OK;
}

mmcl_status mmcl__transform_inverse(const mmcl_transform *transform, const mmcl_matrix *rows, float *out, size_t out_stride)
{
    mmcl_context      *context = transform->context;
    const mmcl__stage *stage   = &transform->stages[0];
    mmcl__place        bad     = {0, 0};
    if (transform->n_stages == 0)
        return mmcl__read_failed(context, mmcl__transform_apply(transform, rows, out, out_stride, &bad), "rows", SIZE_MAX, &bad);
    size_t  cells = stage->identity ? 0 : stage->inputs * stage->outputs, tile_cells = 64 * (stage->inputs + stage->outputs);
    double *inverse = cells > 0 ? mmcl__alloc(context, cells, sizeof *inverse) : NULL;
    double *tile    = mmcl__alloc(context, tile_cells, sizeof *tile);
    mmcl_status status = tile == NULL || (cells > 0 && inverse == NULL) ? MMCL_E_NOMEM : MMCL_OK;
    if (status == MMCL_OK && cells > 0)
        status = mmcl__pseudo_inverse(context, stage->outputs, stage->inputs, stage->matrix_f64, inverse);
    if (status == MMCL_OK)
        status = mmcl__read_failed(context, map_back(stage, inverse, rows, tile, out, out_stride, &bad), "rows", SIZE_MAX, &bad);
    mmcl__free(context, inverse, cells, sizeof *inverse);
    mmcl__free(context, tile, tile_cells, sizeof *tile);
    return status;
}
