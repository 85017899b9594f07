/*
 * Directions of limited-memory BFGS (Nocedal 1980) with a diagonal initial matrix. The two-loop recursion is carried out on inner
 * products of the stored vectors (Chen, Wang and Zhou, NIPS 2014), so that an iteration sweeps over the memory twice, in parallel.
 */
#ifndef MMCL_CLASSIFY_LBFGS_H
#define MMCL_CLASSIFY_LBFGS_H

#include "core/core.h"

#define MMCL__LBFGS_PAIRS 10

typedef struct mmcl__lbfgs {
    mmcl_context *context;
    size_t        size;             /* of the vectors */
    size_t        chunks;
    size_t        count, newest;    /* pairs held; slot of the last */
    double       *steps, *changes;  /* [pairs, size] s = x' - x and y = g' - g */
    double       *inverse_diagonal; /* [size] D; after writing it, call mmcl__lbfgs_rescale */
    double       *partial;          /* [chunks, 3 pairs] */
    double        sy[MMCL__LBFGS_PAIRS][MMCL__LBFGS_PAIRS];  /* s_i . y_j */
    double        ydy[MMCL__LBFGS_PAIRS][MMCL__LBFGS_PAIRS]; /* y_i . D y_j */
} mmcl__lbfgs;

mmcl_status mmcl__lbfgs_open(mmcl__lbfgs *lbfgs, mmcl_context *context, size_t size);
void        mmcl__lbfgs_close(mmcl__lbfgs *lbfgs);

/* Forgets all pairs. */
void mmcl__lbfgs_forget(mmcl__lbfgs *lbfgs);

/* Brings the products of the stored pairs up to a changed inverse_diagonal. */
mmcl_status mmcl__lbfgs_rescale(mmcl__lbfgs *lbfgs);

/* Adds s = length * direction and y = after - before; a pair without positive curvature is left out. */
mmcl_status mmcl__lbfgs_push(mmcl__lbfgs *lbfgs, double length, const double *direction, const double *before, const double *after);

/* direction = -H gradient; *slope = gradient . direction. */
mmcl_status mmcl__lbfgs_direction(mmcl__lbfgs *lbfgs, const double *gradient, double *direction, double *slope);

#endif
