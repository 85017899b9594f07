/*
 * Rows in the coordinates of their principal axes, null axes left out. The objective of L2-regularised logistic regression is
 * invariant to a rotation of the rows and, with a free intercept, to centring them; along principal axes its curvature is close
 * to diagonal, and n rows span no more than n - 1 of them.
 */
#ifndef MMCL_CLASSIFY_ROTATION_H
#define MMCL_CLASSIFY_ROTATION_H

#include "core/core.h"
#include "linalg/matrix.h"

#include <mmcl/transform.h>

typedef struct mmcl__rotation {
    mmcl_context  *context;
    size_t         rows, inputs, axes;
    mmcl_precision stored;
    double        *mean;    /* [inputs]; 0 when the rows are not centred */
    double        *basis;   /* [axes, inputs] orthonormal rows V^T */
    double        *scatter; /* [axes] sum of squares along each axis */
    void          *x;       /* [rows, axes] V^T (row - mean), in the type `stored` */
    double         largest; /* norm of the longest row of x */
    size_t         capacity; /* axes that `basis` and `scatter` have room for */
} mmcl__rotation;

/* `name` is the argument's, for messages. Errors: MMCL_E_NUMERIC (NaN, infinity), MMCL_E_CALLBACK, MMCL_E_NOMEM. */
mmcl_status mmcl__rotation_open(mmcl__rotation *rotation, mmcl_context *context, const mmcl_matrix *rows, bool center,
                                mmcl_precision stored, const char *name);
void        mmcl__rotation_close(mmcl__rotation *rotation);

#endif
