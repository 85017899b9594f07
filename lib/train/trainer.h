/* The trainer: state of a run and its step. Owner of struct mmcl_trainer. */
#ifndef MMCL_TRAIN_TRAINER_H
#define MMCL_TRAIN_TRAINER_H

#include "contrast/contrast.h"
#include "model/model.h"
#include "nn/encoder.h"

#include <mmcl/train.h>

#define MMCL__UPDATE_CHUNK ((size_t) 16384) /* elements that a task updates at most */

/* Elements first ... first + count - 1 of a side's parameters, all of one tensor: what one task updates. */
typedef struct mmcl__piece {
    uint32_t side;
    bool     decays;
    bool     layer; /* weight or bias of a layer, not geometry */
    size_t   first, count;
} mmcl__piece;

/* Kronecker factors: for each layer the mean of [h, 1]^T [h, 1] and of n dz^T dz, laid out as a workspace's statistics. */
typedef struct mmcl__kfac {
    float  *factors;  /* [size] exponential averages */
    float  *inverses; /* [size] of the damped factors */
    size_t  size;
    float  *packed;   /* [2, packed_size] per layer [out, in + 1]: gradients with the bias as last column, before and after */
    size_t  packed_size;
    double *scratch;  /* [workers, largest factor] */
    size_t  largest;
} mmcl__kfac;

typedef struct mmcl__side {
    mmcl_encoder   *encoder;
    mmcl_encoder   *average;   /* NULL: no averaging, or a host encoder */
    mmcl_workspace *workspace; /* NULL: a host encoder */
    bool            frozen;
    size_t          inputs, outputs, size;
    float          *x;         /* [batch, inputs] the batch: the workspace's, or `own` */
    float          *own;       /* [batch, inputs] for a host encoder */
    float          *pool;      /* [pool, inputs] or NULL */
    float          *f, *df;    /* [batch, outputs] */
    float          *gradient;  /* [size], as are the optimiser's moments */
    float          *first, *second;
    mmcl__kfac      kfac;
} mmcl__side;

/* Adam for a single number. */
typedef struct mmcl__scalar {
    double value, first, second;
} mmcl__scalar;

struct mmcl_trainer {
    mmcl_context        *context;
    mmcl_trainer_options options; /* resolved */
    mmcl_source          source;
    mmcl_matrix          arrays[2];
    mmcl_objective      *objective;
    mmcl_objective      *one_sided[2]; /* for cells made from x, and from t; NULL without hard batches */
    mmcl__side           sides[2];
    double               low, high;    /* bounds of the log scale */

    /* what a checkpoint holds, beside encoders, averages, moments and factors */
    uint64_t     step;
    mmcl__scalar scale, bias;          /* scale.value is its logarithm */
    double       smooth;               /* average of the loss, NaN at first */
    uint64_t     pool_number;          /* of the pool that `order` sorts; UINT64_MAX: none */
    uint32_t    *order;                /* [pool] */

    /* batches */
    size_t    draw;                    /* rows drawn together: pool or batch */
    uint64_t  drawn;                   /* number of the draw that the buffers hold; UINT64_MAX: none */
    uint64_t *indices, *batch_indices; /* [draw], [batch] for arrays */
    int64_t  *groups, *batch_groups;   /* [draw], [batch] or NULL */
    float    *pool_f;                  /* [pool, outputs] */
    float    *keys;                    /* [pool] */

    mmcl__piece   *pieces;
    size_t         n_pieces;
    double        *squares;            /* [n_pieces] */
    unsigned char *done;               /* [n_done] tasks of a region that must complete */
    size_t         n_done;
    mmcl_train_info info;
};

/* `options` and `source` are imported. */
mmcl_status mmcl__trainer_create(mmcl_trainer **out, mmcl_context *context, mmcl_encoder *x, mmcl_encoder *t,
                                 mmcl_objective *objective, const mmcl_source *source, const mmcl_trainer_options *options);
void        mmcl__trainer_destroy(mmcl_trainer *trainer);
mmcl_status mmcl__trainer_run(mmcl_trainer *trainer, uint64_t until);

/* The rate of step `step` (from 0) relative to that of the options: linear warm-up, then a cosine down to the floor. */
double mmcl__schedule(const mmcl_trainer_options *options, uint64_t step);

/* ---------------------------------------------------------------------------------------------------------- batches --- */

/* Fills x, indices and groups of the batch of trainer->step. Changes no state that a checkpoint holds but the pool's order. */
mmcl_status mmcl__batch_load(mmcl_trainer *trainer);

/* Which side the present pool was sorted by. */
static inline uint32_t mmcl__pool_side(const mmcl_trainer *trainer)
{
    return (uint32_t) (trainer->pool_number & 1);
}

/* Position `at` of a random order of 0 ... n - 1, as a function of seed and epoch alone. */
uint64_t mmcl__shuffled(uint64_t n, uint64_t seed, uint64_t epoch, uint64_t at);

/* Encodes and sorts the present pool into trainer->order. */
mmcl_status mmcl__pool_sort(mmcl_trainer *trainer, uint64_t number);

/* ----------------------------------------------------------------------------------------------------------- updates --- */

typedef struct mmcl__update_kernels {
    double (*squares)(size_t n, const float *g);
    /* m = b1 m + (1 - b1) c g, v = b2 v + (1 - b2) (c g)^2, p -= rate m / (sqrt(v) root + epsilon) + shrink p */
    void (*adam)(size_t n, float c, float b1, float b2, float rate, float root, float epsilon, float shrink, const float *g, float *m,
                 float *v, float *p);
    /* m = b1 m + c g, p -= rate m + shrink p */
    void (*momentum)(size_t n, float c, float b1, float rate, float shrink, const float *g, float *m, float *p);
    /* average += (1 - keep) (p - average) */
    void (*blend)(size_t n, float part, const float *p, float *average);
} mmcl__update_kernels;

MMCL__ISA_TABLE(mmcl__update_kernels, mmcl__update)
extern const mmcl__update_kernels mmcl__update_reference;

/* Gradients of both sides into their vectors, and the square of their common norm. */
mmcl_status mmcl__gradients_sum(mmcl_trainer *trainer, double *square);

/* One optimiser's step with gradients times `clip`. Completes whatever the executor does; the status tells what it did. */
mmcl_status mmcl__update_apply(mmcl_trainer *trainer, double clip);

/* n tasks that complete even if the host's executor fails: what it left undone is done here, on this thread. */
mmcl_status mmcl__complete(mmcl_trainer *trainer, size_t n, mmcl__task task, void *argument);

/* Factors and inverses from this step's statistics; the gradients of layers become K-FAC's directions. */
mmcl_status mmcl__kfac_open(mmcl_trainer *trainer, mmcl__side *side);
void        mmcl__kfac_close(mmcl_trainer *trainer, mmcl__side *side);
mmcl_status mmcl__kfac_apply(mmcl_trainer *trainer, double clip);

#endif
