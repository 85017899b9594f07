/* Multinomial logistic regression on rows that were rotated once, for any number of C. */
#ifndef MMCL_CLASSIFY_LOGREG_H
#define MMCL_CLASSIFY_LOGREG_H

#include "classify/blocks.h"
#include "classify/classifier.h"
#include "classify/lbfgs.h"
#include "classify/rotation.h"
#include "classify/softmax.h"

/* The problem and the solver's state. Solutions are in rotated coordinates: weights [classes, axes], then intercepts [classes]. */
typedef struct mmcl__logreg {
    mmcl_context  *context;
    size_t         classes;
    bool           intercept;
    mmcl__rotation rotation;
    int32_t       *labels; /* [rows] */
    double        *counts; /* [classes] rows of each class */
    mmcl__softmax  softmax;
    mmcl__blocks   blocks;
    mmcl__lbfgs    lbfgs;
    double        *vectors; /* [7, size] */
} mmcl__logreg;

/* Checks labels; options are resolved (nothing is 0). `train` needs a matrix that mmcl__matrix_check has passed. */
mmcl_status mmcl__logreg_open(mmcl__logreg *logreg, mmcl_context *context, const mmcl_labelled *train, size_t classes,
                              bool intercept, mmcl_precision precision);
void        mmcl__logreg_close(mmcl__logreg *logreg);

/* Elements of a solution. */
size_t mmcl__logreg_size(const mmcl__logreg *logreg);

/* A start without weights: intercepts at the classes' log frequencies. */
void mmcl__logreg_cold_start(const mmcl__logreg *logreg, double *solution);

/* Between original and rotated coordinates. */
mmcl_status mmcl__logreg_import(const mmcl__logreg *logreg, const mmcl_classifier *start, double *solution);
mmcl_status mmcl__logreg_export(const mmcl__logreg *logreg, const double *solution, mmcl_classifier **out);

/* Minimises from `solution` and leaves the optimum there. */
mmcl_status mmcl__logreg_solve(mmcl__logreg *logreg, const mmcl_logreg_options *options, double *solution, mmcl_logreg_info *info);

/* Open, one solve, export. */
mmcl_status mmcl__logreg_fit(mmcl_classifier **out, mmcl_context *context, const mmcl_labelled *train, size_t classes,
                             const mmcl_logreg_options *options, const mmcl_classifier *start, mmcl_logreg_info *info);

/* The objective in float64 at a classifier's weights, on the rows as they are. */
mmcl_status mmcl__logreg_objective(const mmcl_classifier *classifier, const mmcl_labelled *train, double c, double *objective);

/* CoOp's candidates for C, in its order, and its bisections. */
#define MMCL__COOP_GRID 7
#define MMCL__COOP_STEPS 8
extern const double mmcl__coop_grid[MMCL__COOP_GRID];

mmcl_status mmcl__logreg_search(mmcl_classifier **out, mmcl_context *context, const mmcl_labelled *train, const mmcl_labelled *val,
                                size_t classes, const mmcl_search_options *options, mmcl_search_info *info);

/* Every label in 0 ... classes - 1; `name` is for the message. */
mmcl_status mmcl__labels_check(mmcl_context *context, const mmcl_labelled *rows, size_t classes, const char *name);

#endif
