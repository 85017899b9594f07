/* CLIP-Adapter's residual bottleneck, a block in front of a linear one. Owner of struct mmcl__bottleneck. */
#ifndef MMCL_CLASSIFY_BOTTLENECK_H
#define MMCL_CLASSIFY_BOTTLENECK_H

#include "core/core.h"

/* A row f becomes ratio ReLU(up ReLU(down f)) + (1 - ratio) f, at unit length. */
typedef struct mmcl__bottleneck {
    mmcl_context *context;
    size_t        cols, hidden; /* hidden at most cols */
    double        ratio;
    float        *down;         /* [hidden, cols] */
    float        *up;           /* [cols, hidden] */
} mmcl__bottleneck;

/* Matrices are copied; NULL: left for the caller to fill in. */
mmcl_status mmcl__bottleneck_create(mmcl__bottleneck **out, mmcl_context *context, size_t cols, size_t hidden, double ratio, const float *down,
                                    const float *up);
void        mmcl__bottleneck_destroy(mmcl__bottleneck *bottleneck);

/* out [n, cols] of rows [n, cols], which do not overlap; n cols at most MMCL__BOTTLENECK_FLOATS. Allocates nothing; as many floats of stack. */
#define MMCL__BOTTLENECK_FLOATS ((size_t) 16384)
void mmcl__bottleneck_apply(const mmcl__bottleneck *bottleneck, const float *rows, size_t n, float *out);

#endif
