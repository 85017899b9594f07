/*
 * Multinomial logistic regression with an L1 or elastic-net penalty: minimises C sum_i -log p(label_i | x_i) + r |W|_1 + (1 - r) / 2 |W|^2 with
 * free intercepts. One class after the other takes a proximal Newton step on its active inputs (Friedman, Hastie and Tibshirani 2010, with a line
 * search), until a duality gap says how far the optimum is.
 */
#ifndef MMCL_CLASSIFY_SPARSE_H
#define MMCL_CLASSIFY_SPARSE_H

#include "classify/adapt.h"

typedef struct mmcl__sparse {
    mmcl_context  *context;
    size_t         rows, inputs, classes;
    double         c, r;        /* may change between solves */
    double        *x;           /* [inputs, rows] a column of the data after the other */
    const int32_t *labels;      /* [rows] */
    double        *w, *b;       /* [classes, inputs], [classes] the solution, and where the next solve begins */
    double        *z, *e;       /* [classes, rows] scores; exp(score - top of the row) */
    double        *top, *sum;   /* [rows] largest score at the last refresh; sum of e over the classes */
    double        *gradient;    /* [classes, inputs] C (p - y)^T X at the last check */
    uint8_t       *active;      /* [classes, inputs] */
    double        *work;        /* [5 rows + 2 inputs] of a class's step */
    size_t        *list;        /* [inputs] */
    double         objective, gap;
    uint64_t       cycles;      /* in all solves */
} mmcl__sparse;

/* Begins at w = 0 and b the classes' log frequencies. */
mmcl_status mmcl__sparse_open(mmcl__sparse *sparse, mmcl_context *context, const mmcl__rowset *train, size_t classes, double r);
void        mmcl__sparse_close(mmcl__sparse *sparse);

/* The C below which w stays 0. Needs the state that open leaves. */
double mmcl__sparse_least_c(mmcl__sparse *sparse);

/* Until the gap, relative to the objective, is below `tolerance`. */
mmcl_status mmcl__sparse_solve(mmcl__sparse *sparse, double tolerance, uint64_t max_cycles, mmcl_stop_reason *stop);

/* Brings scores, gradient, objective and gap up to w and b. */
void mmcl__sparse_check(mmcl__sparse *sparse);

#endif
