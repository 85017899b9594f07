#include "classify/bottleneck.h"

#include "linalg/blas.h"
#include "transform/transform.h"

#include <string.h>

mmcl_status mmcl__bottleneck_create(mmcl__bottleneck **out, mmcl_context *context, size_t cols, size_t hidden, double ratio, const float *down,
                                    const float *up)
{
    mmcl__bottleneck *made = mmcl__calloc(context, 1, sizeof *made);
    if (made == NULL)
        return MMCL_E_NOMEM;
    *made      = (mmcl__bottleneck){.context = context, .cols = cols, .hidden = hidden, .ratio = ratio};
    made->down = mmcl__alloc(context, hidden * cols, sizeof *made->down);
    made->up   = mmcl__alloc(context, cols * hidden, sizeof *made->up);
    if (made->down == NULL || made->up == NULL) {
        mmcl__bottleneck_destroy(made);
        return MMCL_E_NOMEM;
    }
    if (down != NULL)
        memcpy(made->down, down, hidden * cols * sizeof *down);
    if (up != NULL)
        memcpy(made->up, up, cols * hidden * sizeof *up);
    *out = made;
    return MMCL_OK;
}

void mmcl__bottleneck_destroy(mmcl__bottleneck *bottleneck)
{
    if (bottleneck == NULL)
        return;
    size_t cells = bottleneck->hidden * bottleneck->cols;
    mmcl__free(bottleneck->context, bottleneck->down, cells, sizeof *bottleneck->down);
    mmcl__free(bottleneck->context, bottleneck->up, cells, sizeof *bottleneck->up);
    mmcl__free(bottleneck->context, bottleneck, 1, sizeof *bottleneck);
}

void mmcl__bottleneck_apply(const mmcl__bottleneck *b, const float *rows, size_t n, float *out)
{
    float hidden[MMCL__BOTTLENECK_FLOATS] __attribute__((aligned(64)));
    float ratio = (float) b->ratio;
    mmcl__gemm_f32(false, true, n, b->hidden, b->cols, 1, rows, b->cols, b->down, b->cols, 0, hidden, b->hidden);
    for (size_t i = 0; i < n * b->hidden; i++)
        hidden[i] = hidden[i] > 0 ? hidden[i] : 0;
    mmcl__gemm_f32(false, true, n, b->cols, b->hidden, 1, hidden, b->hidden, b->up, b->hidden, 0, out, b->cols);
    for (size_t i = 0; i < n * b->cols; i++)
        out[i] = ratio * (out[i] > 0 ? out[i] : 0) + (1 - ratio) * rows[i];
    mmcl__unit_rows_f32(n, b->cols, out, out, b->cols);
}
