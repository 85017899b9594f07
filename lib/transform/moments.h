/* Count, mean and scatter of rows: accumulated in one streaming pass. Owner of struct mmcl_moments. */
#ifndef MMCL_TRANSFORM_MOMENTS_H
#define MMCL_TRANSFORM_MOMENTS_H

#include "transform/source.h"

struct mmcl_moments {
    mmcl_context *context;
    size_t        cols;
    uint64_t      count;
    double       *mean;    /* [cols] */
    double       *scatter; /* [cols, cols] upper triangle of sum (x - mean)(x - mean)^T */
    double        epsilon; /* largest relative rounding of the elements seen */
};

mmcl_status mmcl__moments_create(mmcl_moments **out, mmcl_context *context, size_t cols);
void        mmcl__moments_destroy(mmcl_moments *moments);

/* Adds all rows of a source; nothing is added on error. */
mmcl_status mmcl__moments_add(mmcl_moments *moments, const mmcl__source *source);

/* Adds what `other` has seen. Allocates nothing. */
void mmcl__moments_merge(mmcl_moments *moments, const mmcl_moments *other);

/* Peak bytes of mmcl__moments_add beyond the accumulator itself. */
uint64_t mmcl__moments_bytes(size_t rows, size_t cols, size_t width, uint32_t threads);

#endif
