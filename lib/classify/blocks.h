/*
 * Inverses of the objective's curvature within each class: the preconditioner of the probe's solvers. With x~ = (x, 1) and
 * q = p_k (1 - p_k), the block of class k is diag(1, 0) + c sum_i q_i x~_i x~_i^T. The rows of largest q are taken exactly, the others as
 * their mean along the principal axes; so a block is a diagonal plus a few rows, and is inverted by Woodbury's formula, or directly
 * where there are more rows than columns.
 */
#ifndef MMCL_CLASSIFY_BLOCKS_H
#define MMCL_CLASSIFY_BLOCKS_H

#include "classify/rotation.h"
#include "classify/softmax.h"

typedef struct mmcl__blocks {
    mmcl_context         *context;
    const mmcl__rotation *rotation;
    const mmcl__softmax  *softmax; /* its labels, and the rows' losses of its last pass */
    const double         *counts;  /* [classes] rows of each */
    bool                  intercept;
    double                c;
    size_t                most;    /* rows that a class may keep */
    size_t                side;    /* of the largest factor: min(most, axes + 1) */
    int32_t              *index;   /* [classes, most] kept rows */
    float                *curve;   /* [classes, most] their q */
    size_t               *kept;    /* [classes] how many */
    double               *rest;    /* [classes] sum of q over the other rows */
    double               *factors; /* [classes, side, side] upper Cholesky factors */
    float                *narrow;  /* [classes, axes + 1] the parameters of a refresh, rounded */
    double               *scratch; /* [workers, scratch_size] */
    size_t                scratch_size, workers;
} mmcl__blocks;

mmcl_status mmcl__blocks_open(mmcl__blocks *blocks, mmcl_context *context, const mmcl__rotation *rotation, const mmcl__softmax *softmax,
                              const double *counts, bool intercept);
void        mmcl__blocks_close(mmcl__blocks *blocks);

/* Rebuilds the blocks at `parameters`, where the softmax's last pass found `spread`; at most `rows` rows a class. Allocates nothing. */
mmcl_status mmcl__blocks_refresh(mmcl__blocks *blocks, double c, const double *parameters, double spread, size_t rows);

/* out = the inverse blocks times in; both in the order of solutions, weights before intercepts. Allocates nothing. */
mmcl_status mmcl__blocks_apply(mmcl__blocks *blocks, const double *in, double *out);

#endif
