/*
 * The loss around a point, to second order, in the weights that a step may change (the free ones) and all intercepts. Vectors on the face are
 * [classes, used] followed by the intercepts [classes], used the inputs on which some class is free; they are 0 where nothing is free.
 */
#ifndef MMCL_CLASSIFY_SPARSE_FACE_H
#define MMCL_CLASSIFY_SPARSE_FACE_H

#include "classify/adapt.h"
#include "classify/softmax.h"

typedef struct mmcl__face {
    mmcl_context  *context;
    size_t         rows, inputs, classes, workers;
    const double  *x;          /* [rows, inputs] columns of mean 0 */
    const int32_t *labels;     /* [rows] */
    double        *scatter;    /* [inputs] mean squares of the columns */
    size_t         used;
    size_t        *input;      /* [used] which they are */
    uint8_t       *free;       /* [classes, used] */
    double        *columns;    /* [rows, used] of x */
    double        *transposed; /* [inputs, rows] all of x */
    double        *turned;     /* [classes, rows] scratch of sparse products */
    double        *residuals;  /* [rows, classes] p - y */
    double        *changes;    /* [rows, classes] of the probabilities along a vector */
    double        *sums;       /* [lanes, classes] */
    double        *losses;     /* [2 rows] */
    double         c;          /* second derivative: c that of the losses + the ridges on the weights */
    double        *ridges;     /* [used] */
    double         spread;     /* mean over the classes of c sum_i p (1 - p) */
    size_t         parameters; /* free ones and intercepts, when the face was chosen */
    size_t        *count;      /* [classes] those of each class */
    size_t        *place;      /* [classes, inputs + 1] which they are; the last is the intercept, `used` */
    double        *blocks;     /* [classes, block_size] */
    size_t         block_size;
    double        *scratch;    /* [workers, scratch_size] */
    size_t         scratch_size;
    uint32_t      *order;      /* [workers, 2 rows] */
} mmcl__face;

mmcl_status mmcl__face_open(mmcl__face *face, mmcl_context *context, size_t rows, size_t inputs, size_t classes, const double *x,
                            const int32_t *labels);
void        mmcl__face_close(mmcl__face *face);

/* Elements of a vector on the face. */
size_t mmcl__face_size(const mmcl__face *face);

/* Takes the inputs for which `free` [classes, inputs] has an entry. */
void mmcl__face_choose(mmcl__face *face, const uint8_t *free);

/* From a solution's order to the face's, and `out` += share of the vector. */
void mmcl__face_gather(const mmcl__face *face, const double *solution, double *out);
void mmcl__face_add(const mmcl__face *face, double share, const double *vector, double *out);

/* Expands the loss around `start`, a vector on the face. The ridge of an input: `ridge` + `damping` times its mean second derivative. */
mmcl_status mmcl__face_expand(mmcl__face *face, double c, double ridge, double damping, const double *start);

/* out = second derivative times v. */
mmcl_status mmcl__face_product(mmcl__face *face, const double *v, double *out);

/* The same, readable: entry by entry from the probabilities. Its scratch is the product's. */
void mmcl__face_product_reference(mmcl__face *face, const double *v, double *out);

/* out = about the inverse of the second derivative times v: exact within classes that are free in few inputs, where the classes are not coupled. */
mmcl_status mmcl__face_precondition(mmcl__face *face, const double *v, double *out);

#endif
