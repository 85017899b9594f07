/* A fit under way, which the steps share: fit.c walks the chain, a file for each family of steps fits them. */
#ifndef MMCL_TRANSFORM_FIT_H
#define MMCL_TRANSFORM_FIT_H

#include "transform/source.h"

typedef struct mmcl__fit {
    mmcl_transform  *transform;
    mmcl_context    *context;
    mmcl__operation *operation;
    mmcl__rows      *rows;        /* NULL: moments alone */
    uint64_t         cache_bytes;
    size_t           run;         /* first step of the current run of affine steps */
    mmcl__stage      stages[MMCL__MAX_STEPS]; /* everything before that run */
    size_t           n_stages;
    size_t           run_inputs;  /* columns at the start of the run */
    size_t           cols;        /* columns of the next step's input */
    double          *mean;        /* [cols] of that input; NULL: not known */
    double          *covariance;  /* [cols, cols] population covariance, full */
    double           epsilon;     /* relative rounding of the data */
} mmcl__fit;

/* The rows behind all stages so far: at the start of the current run, or at its end once that is pushed. */
mmcl__source mmcl__fit_source(const mmcl__fit *fit);

/* The run of affine steps before step `index` becomes a stage, for the rows of that step to be read through; pop takes it back. */
mmcl_status mmcl__fit_push_run(mmcl__fit *fit, size_t index);
void        mmcl__fit_pop_run(mmcl__fit *fit, size_t index);

/*
 * Leading eigenvectors of the covariance as rows of step->matrix, scaled to unit variance where asked: spectrum, rank, components,
 * mean and shares of variance are filled in.
 */
mmcl_status mmcl__fit_spectral(mmcl__fit *fit, mmcl__step *step, size_t index, bool whiten);

/* The factor that turns a row of loadings as the sign convention has it. A first loading of 0 counts as positive. */
double mmcl__loading_sign(const mmcl_step_options *options, const double *row, size_t cols);

mmcl_status mmcl__fit_ica(mmcl__fit *fit, mmcl__step *step, size_t index);
mmcl_status mmcl__fit_discriminants(mmcl__fit *fit, mmcl__step *step, size_t index);

/* Unlike the others for rows behind all stages so far: relevance is no affine step. */
mmcl_status mmcl__fit_relevance(mmcl__fit *fit, mmcl__step *step, size_t index);

#endif
