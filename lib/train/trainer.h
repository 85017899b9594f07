/*
 * The training loop. Data flow of a step: source -> batch -> encoders -> objective -> gradients -> optimiser; each part is a file.
 * Owner of struct mmcl_trainer.
 */
#ifndef MMCL_TRAIN_TRAINER_H
#define MMCL_TRAIN_TRAINER_H

#include "contrast/contrast.h"
#include "io/model.h"
#include "model/model.h"
#include "nn/encoder.h"
#include "nn/kfac.h"

#include <mmcl/train.h>

/* One of the two encoders, with what training it takes. */
typedef struct mmcl__train_side {
    mmcl_encoder   *encoder;
    mmcl_workspace *workspace; /* NULL for a host encoder */
    size_t          inputs, outputs;
    bool            frozen;
    float          *rows;      /* [batch, inputs] of a host encoder; otherwise the workspace's */
    float          *out;       /* [batch, outputs] representations */
    float          *slope;     /* [batch, outputs] gradient by them */
    float          *gradient;  /* [encoder->size] */
    float          *first;     /* [encoder->size] momentum */
    float          *second;    /* [encoder->size] Adam's squares; NULL for K-FAC */
    mmcl__kfac      kfac;
    mmcl_encoder   *average;   /* NULL: none */
    mmcl_status     status;    /* of the update */
} mmcl__train_side;

/* Pairs that are drawn together and cut into cells. */
typedef struct mmcl__cells {
    size_t    pool;     /* pairs; 0: no cells */
    uint64_t  index;    /* of the pool at hand, and whether its pairs and its order are there */
    bool      drawn, ordered;
    float    *rows[2];  /* [pool, inputs] by side */
    float    *codes;    /* [pool, most outputs] of the side that is embedded */
    float    *values;   /* [pool] of a coordinate */
    uint32_t *order;    /* [pool] */
} mmcl__cells;

/* What a checkpoint holds beside vectors. */
typedef struct mmcl__train_state {
    uint64_t step;
    double   loss, smooth_loss, gradient_norm, rate;
    double   log_scale, bias;
    double   scale_first[2], scale_second[2]; /* Adam's moments of log scale and bias */
} mmcl__train_state;

struct mmcl_trainer {
    mmcl_context        *context;
    mmcl_trainer_options options; /* resolved; checkpoint points at `checkpoint` */
    char                *checkpoint; /* owned; NULL: none */
    mmcl_source          source;  /* imported; x and t point at `arrays` */
    mmcl_matrix          arrays[2];
    mmcl_objective      *objective;
    mmcl_objective      *anchored[2]; /* by the side that is embedded: the loss of the other side alone. With cells */
    mmcl__train_side     sides[2];
    mmcl__cells          cells;
    int64_t             *groups; /* [batch]; NULL: none */
    uint64_t            *indices; /* [batch] rows of the arrays; NULL for other sources */
    mmcl__train_state    state;
};

/* `options` and `source` are imported. */
mmcl_status mmcl__trainer_create(mmcl_trainer **out, mmcl_context *context, mmcl_encoder *x, mmcl_encoder *t,
                                 mmcl_objective *objective, const mmcl_source *source, const mmcl_trainer_options *options);
void        mmcl__trainer_destroy(mmcl_trainer *trainer);
mmcl_status mmcl__trainer_run(mmcl_trainer *trainer, uint64_t until, mmcl_train_info *info);
void        mmcl__trainer_info(const mmcl_trainer *trainer, mmcl_train_info *info);

/* ------------------------------------------------------------------------------------------------------- checkpoint --- */

mmcl_status mmcl__trainer_save(const mmcl_trainer *trainer, const mmcl__model_target *target);

/* All of the file is read and checked before any of it takes effect. `options` is imported. */
mmcl_status mmcl__trainer_resume(mmcl_trainer *trainer, const char *path, const mmcl_open_options *options);

/* Writes the checkpoint of the options where the present step is due for one. */
mmcl_status mmcl__trainer_checkpoint(const mmcl_trainer *trainer);

/* ------------------------------------------------------------------------------------------------------------ batch --- */

/* Pairs `rows` of draw `step` into x [rows, inputs] and t; groups and indices may be NULL. */
mmcl_status mmcl__source_fill(const mmcl_trainer *trainer, uint64_t step, size_t rows, float *x, float *t, int64_t *groups,
                              uint64_t *indices);

/* Number of the epoch that a draw lies in; 0 for sources without epochs. */
uint64_t mmcl__source_epoch(const mmcl_trainer *trainer, uint64_t step);

/* Position `position` of a permutation of 0 ... n - 1 that follows from seed and epoch. */
uint64_t mmcl__shuffled(uint64_t seed, uint64_t epoch, uint64_t n, uint64_t position);

/* The batch of the present step into the sides' inputs, from cells. */
mmcl_status mmcl__cells_batch(mmcl_trainer *trainer);

/*
 * order [n] = a permutation of 0 ... n - 1 whose runs of `cell` are the cells of codes [n, d], in random order. values [n] is scratch. A
 * function of codes, seed and index alone.
 */
void mmcl__cells_split(size_t n, size_t d, size_t cell, const float *codes, uint64_t seed, uint64_t index, float *values,
                       uint32_t *order);

/* -------------------------------------------------------------------------------------------------------- optimiser --- */

/* The schedule's rate for the present step. */
double mmcl__train_rate(const mmcl_trainer *trainer);

/* Updates a side's parameters from its gradient, which it overwrites; the outcome goes to side->status. */
void mmcl__train_update(const mmcl_trainer *trainer, mmcl__train_side *side, double rate, double factor);

/* One step of Adam on log scale and bias. */
void mmcl__train_update_scale(mmcl_trainer *trainer, double slope, double bias_slope, double factor);

#endif
