/* Kernels at given rows, the block in front of a linear one that makes it kernel regression. Owner of struct mmcl__kernel. */
#ifndef MMCL_CLASSIFY_KERNEL_H
#define MMCL_CLASSIFY_KERNEL_H

#include "core/core.h"

/* A row u becomes exp(-sharpness (1 - u . key_j)), one number for each key. */
typedef struct mmcl__kernel {
    mmcl_context *context;
    size_t        keys, cols;
    double        sharpness;
    float        *key;       /* [keys, cols] */
} mmcl__kernel;

/* Keys are copied; NULL: left for the caller to fill in. */
mmcl_status mmcl__kernel_create(mmcl__kernel **out, mmcl_context *context, size_t keys, size_t cols, double sharpness, const float *key);
void        mmcl__kernel_destroy(mmcl__kernel *kernel);

/* out [n, keys] of rows [n, cols]. Allocates nothing. */
void mmcl__kernel_apply(const mmcl__kernel *kernel, const float *rows, size_t n, float *out);

#endif
