/*
 * Multinomial logistic regression with an L1 or elastic-net penalty: minimises C sum_i -log p(label_i | x_i) + r |W|_1 + (1 - r) / 2 |W|^2 with
 * free intercepts. Newton's method in the orthant that weights and slopes point into (after Andrew and Gao 2007, and Byrd, Chin, Nocedal and Oztoprak
 * 2012), until a duality gap says how far the optimum is.
 */
#ifndef MMCL_CLASSIFY_SPARSE_H
#define MMCL_CLASSIFY_SPARSE_H

#include "classify/sparse_face.h"

typedef struct mmcl__sparse {
    mmcl_context  *context;
    size_t         rows, inputs, classes;
    double         c, r;       /* may change between solves */
    double        *x;          /* [rows, inputs] less the columns' means, which the intercepts take up */
    double        *mean;       /* [inputs] */
    mmcl__softmax  softmax;    /* of x: the loss and the square part of the penalty */
    mmcl__face     face;
    uint8_t       *free;       /* [classes, inputs] weights that a step may change */
    uint8_t       *whole;      /* [inputs in use] whether every class's is free */
    double        *vectors;    /* those below, one after the other */
    double        *solution;   /* weights [classes, inputs], intercepts [classes]; where the next solve begins */
    double        *gradient;   /* there, of what is smooth */
    double        *slope;      /* there, of all: the least element of the subdifferential */
    double        *trial, *trial_gradient;
    double        *start, *step, *residual, *image, *search, *product; /* in the face's coordinates */
    double         objective, gap;
    double         damping;    /* of the next step, relative to the mean second derivatives */
    uint64_t       iterations; /* in all solves */
} mmcl__sparse;

/* Begins at w = 0 and intercepts the classes' log frequencies. Every class has rows. */
mmcl_status mmcl__sparse_open(mmcl__sparse *sparse, mmcl_context *context, const mmcl__rowset *train, size_t classes, double r);
void        mmcl__sparse_close(mmcl__sparse *sparse);

/* Elements of a solution. */
size_t mmcl__sparse_size(const mmcl__sparse *sparse);

/* Moves a solution's intercepts from x to the rows as they came. */
void mmcl__sparse_export(const mmcl__sparse *sparse, const double *solution, double *out);

/* The C below which w stays 0. Needs the state that open leaves. */
mmcl_status mmcl__sparse_least_c(mmcl__sparse *sparse, double *least);

/* Until the gap, relative to the objective, is below `tolerance`. */
mmcl_status mmcl__sparse_solve(mmcl__sparse *sparse, double tolerance, uint64_t max_iterations, mmcl_stop_reason *stop);

#endif
