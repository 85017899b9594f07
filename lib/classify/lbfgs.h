/*
 * Directions of limited-memory BFGS (Nocedal 1980) with an initial matrix H0 that the caller applies. The two-loop recursion is carried out on inner
 * products of the stored vectors (Chen, Wang and Zhou, NIPS 2014), so that an iteration sweeps over the memory twice, in parallel.
 */
#ifndef MMCL_CLASSIFY_LBFGS_H
#define MMCL_CLASSIFY_LBFGS_H

#include "core/core.h"

#define MMCL__LBFGS_PAIRS 10

/* out = H0 in; H0 is symmetric and positive definite. */
typedef mmcl_status (*mmcl__lbfgs_apply)(void *argument, const double *in, double *out);

typedef struct mmcl__lbfgs {
    mmcl_context *context;
    size_t        size;             /* of the vectors */
    size_t        chunks;
    size_t        count, newest;    /* pairs held; slot of the last */
    double       *steps, *changes;  /* [pairs, size] s = x' - x and y = g' - g */
    double       *images;           /* [pairs, size] H0 y */
    double       *image, *next;     /* [size] H0 g of the present gradient; room for the next one */
    mmcl__lbfgs_apply apply;
    void         *argument;
    double       *partial;          /* [chunks, 3 pairs] */
    double        sy[MMCL__LBFGS_PAIRS][MMCL__LBFGS_PAIRS];  /* s_i . y_j */
    double        ydy[MMCL__LBFGS_PAIRS][MMCL__LBFGS_PAIRS]; /* y_i . H0 y_j */
} mmcl__lbfgs;

mmcl_status mmcl__lbfgs_open(mmcl__lbfgs *lbfgs, mmcl_context *context, size_t size, mmcl__lbfgs_apply apply, void *argument);
void        mmcl__lbfgs_close(mmcl__lbfgs *lbfgs);

/* Forgets all pairs. */
void mmcl__lbfgs_forget(mmcl__lbfgs *lbfgs);

/* After a change of H0 (`changed`), or of the gradient without a push: brings what is stored up to it. */
mmcl_status mmcl__lbfgs_refresh(mmcl__lbfgs *lbfgs, const double *gradient, bool changed);

/* Adds s = length * direction and y = after - before; a pair without positive curvature is left out. */
mmcl_status mmcl__lbfgs_push(mmcl__lbfgs *lbfgs, double length, const double *direction, const double *before, const double *after);

/* direction = -H gradient, for the gradient of the last push or refresh; *slope = gradient . direction. */
mmcl_status mmcl__lbfgs_direction(mmcl__lbfgs *lbfgs, const double *gradient, double *direction, double *slope);

#endif
