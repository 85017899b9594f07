/* What the heads share that are trained by gradient descent: minibatches, the gradient of the cross-entropy, optimisers, rates, the best epoch. */
#ifndef MMCL_CLASSIFY_DESCENT_H
#define MMCL_CLASSIFY_DESCENT_H

#include "classify/adapt.h"
#include "classify/softmax.h"
#include "core/rng.h"

/* ------------------------------------------------------------------------------------------------------- optimisers --- */

/* SGD with momentum, or Adam (Kingma and Ba 2015), in the forms of torch.optim. */
typedef struct mmcl__rule {
    bool   adam;
    bool   decoupled; /* the decay shrinks parameters (AdamW) instead of adding to the gradient */
    double momentum;  /* of SGD; Adam has 0.9 and 0.999 */
    double epsilon;   /* of Adam */
    double decay;
} mmcl__rule;

typedef struct mmcl__optimizer {
    mmcl_context *context;
    mmcl__rule    rule;
    size_t        size;
    uint64_t      steps;
    double       *first, *second; /* [size] velocity, or Adam's moments */
} mmcl__optimizer;

mmcl_status mmcl__optimizer_open(mmcl__optimizer *optimizer, mmcl_context *context, const mmcl__rule *rule, size_t size);
void        mmcl__optimizer_close(mmcl__optimizer *optimizer);

/* Moves `parameters` [size] against `gradient`, which is overwritten. */
void mmcl__optimizer_step(mmcl__optimizer *optimizer, double rate, double *gradient, double *parameters);

/* rate / 2 (1 + cos(pi step / steps)). */
double mmcl__cosine_rate(double rate, uint64_t step, uint64_t steps);

/* The same by epochs behind a first one at 1e-5, which the cosine does not count (as Dassl's schedule). */
double mmcl__epoch_rate(double rate, uint64_t epoch, uint64_t epochs);

/* ----------------------------------------------------------------------------------------------------- minibatches --- */

/*
 * Slices of permutations of the rows, a new one drawn when the present one is used up. Without `drop`, the last slice may be shorter, and
 * rows that fit into one batch are taken in their order, nothing drawn; with it, every batch is full.
 */
typedef struct mmcl__batches {
    mmcl_context   *context;
    size_t          rows, batch, at;
    bool            drop, whole;
    mmcl__numpy_rng rng;
    size_t         *order, *scratch; /* [rows] */
} mmcl__batches;

mmcl_status mmcl__batches_open(mmcl__batches *batches, mmcl_context *context, size_t rows, size_t batch, bool drop, uint32_t seed);
void        mmcl__batches_close(mmcl__batches *batches);

/* The rows of the next batch, and how many they are. */
const size_t *mmcl__batches_next(mmcl__batches *batches, size_t *n);

/* Batches of a pass over the rows. */
size_t mmcl__batches_count(const mmcl__batches *batches);

/* -------------------------------------------------------------------------------------------------------- gradient --- */

/* Mean cross-entropy of minibatches of the train rows. Parameters are weights [classes, cols], then intercepts [classes]. */
typedef struct mmcl__descent {
    mmcl_context       *context;
    const mmcl__rowset *train;
    size_t              batch;  /* rows at most */
    mmcl_precision      precision;
    mmcl__batches       batches;
    mmcl__softmax       softmax;
    float              *x;      /* [batch, cols] the batch; NULL: all rows where they are */
    int32_t            *labels; /* [batch] */
} mmcl__descent;

mmcl_status mmcl__descent_open(mmcl__descent *descent, const mmcl__adapt *adapt, size_t batch);
void        mmcl__descent_close(mmcl__descent *descent);

/* Of the next batch. */
mmcl_status mmcl__descent_gradient(mmcl__descent *descent, const double *parameters, double *gradient, double *loss);

/* ------------------------------------------------------------------------------------------------------- best epoch --- */

/* The weights of highest val accuracy so far, the first of equal ones, or the last where `last_wins`; without `judge` the latest ones. */
typedef struct mmcl__keeper {
    mmcl__adapt *adapt;
    bool         judge, last_wins;
    double      *best; /* [classes * (cols + 1)] weights, intercepts */
    double       accuracy;
    uint64_t     epoch;
} mmcl__keeper;

/* Judges only where there are val rows and `judge` says so. */
mmcl_status mmcl__keeper_open(mmcl__keeper *keeper, mmcl__adapt *adapt, bool judge);
void        mmcl__keeper_close(mmcl__keeper *keeper);
/* `epoch` counts from 1. */
mmcl_status mmcl__keeper_offer(mmcl__keeper *keeper, const double *parameters, uint64_t epoch);

/* The options' number, or the method's. */
static inline uint64_t mmcl__or(uint64_t value, uint64_t fallback)
{
    return value != 0 ? value : fallback;
}

#endif
