/* Training of class weights that are scored by their cosine to a row: what probe-zs, clap, taskres and wise-ft have in common. */
#ifndef MMCL_CLASSIFY_COSINE_H
#define MMCL_CLASSIFY_COSINE_H

#include "classify/descent.h"

/*
 * Scores logit_scale x . w_k / |w_k| with w = base + share z; z is trained. The mean cross-entropy of minibatches and a penalty are
 * driven down, at the rate of mmcl__epoch_rate.
 */
typedef struct mmcl__cosine {
    mmcl__adapt  *adapt;
    const double *base;  /* [classes, cols]; NULL: 0 */
    double        share;
    double       *z;     /* [classes, cols] where the training starts, and ends */
    mmcl__rule    rule;
    double        rate;
    uint64_t      epochs, batch;
    bool          judge; /* the best epoch on val; otherwise the last */
    void        (*penalty)(void *user, const double *z, double *gradient, double *loss); /* adds to both; NULL: none */
    void        (*after_epoch)(void *user, const double *z);                             /* NULL: nothing */
    void         *user;
} mmcl__cosine;

/* `weights` [classes * (cols + 1)] receives logit_scale w / |w| and intercepts of 0. Fills in what `info` says of a training. */
mmcl_status mmcl__cosine_train(const mmcl__cosine *training, double *weights);

/* Of the options: learning rate, weight decay, epochs and batch where they are given. */
void mmcl__cosine_options(mmcl__cosine *training);

/*
 * SGD as the authors of ZS-LP and CLAP have it. Their rate of 0.1 is for text rows as long as the encoder makes them: the same steps on rows L times
 * shorter are a rate L^2 times smaller. 1e-3 is that for L = 10; 0.1 on unit rows throws the text's start away.
 */
mmcl__cosine mmcl__cosine_sgd(mmcl__adapt *adapt, double *z);

/* Trains, and makes the head. */
mmcl_status mmcl__cosine_head(const mmcl__cosine *training, mmcl_classifier **out);

#endif
