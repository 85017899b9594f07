#include "classify/kernel.h"

#include "linalg/blas.h"

#include <math.h>
#include <string.h>

mmcl_status mmcl__kernel_create(mmcl__kernel **out, mmcl_context *context, size_t keys, size_t cols, double sharpness, const float *key)
{
    mmcl__kernel *kernel = mmcl__calloc(context, 1, sizeof *kernel);
    if (kernel == NULL)
        return MMCL_E_NOMEM;
    *kernel     = (mmcl__kernel){.context = context, .keys = keys, .cols = cols, .sharpness = sharpness};
    kernel->key = mmcl__alloc(context, keys * cols, sizeof *kernel->key);
    if (kernel->key == NULL) {
        mmcl__kernel_destroy(kernel);
        return MMCL_E_NOMEM;
    }
    if (key != NULL)
        memcpy(kernel->key, key, keys * cols * sizeof *key);
    *out = kernel;
    return MMCL_OK;
}

void mmcl__kernel_destroy(mmcl__kernel *kernel)
{
    if (kernel == NULL)
        return;
    mmcl__free(kernel->context, kernel->key, kernel->keys * kernel->cols, sizeof *kernel->key);
    mmcl__free(kernel->context, kernel, 1, sizeof *kernel);
}

void mmcl__kernel_apply(const mmcl__kernel *kernel, const float *rows, size_t n, float *out)
{
    const size_t keys = kernel->keys, cols = kernel->cols;
    mmcl__gemm_f32(false, true, n, keys, cols, 1, rows, cols, kernel->key, cols, 0, out, keys);
    for (size_t i = 0; i < n * keys; i++)
        out[i] = (float) exp(kernel->sharpness * ((double) out[i] - 1));
}
