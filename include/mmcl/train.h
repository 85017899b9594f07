/*
 * Training of two encoders with the contrastive objective: batches of pairs from a model, from arrays or from the host, an
 * optimiser with its schedule, averaged weights, evaluation, checkpoints.
 *
 * A step: draw the batch of (seed, step); f_x and f_t of its rows; the objective with its gradients; back through both encoders;
 * clip; update. Everything is a function of options, start and step number, so a run that is stopped and resumed, on any number
 * of threads, ends with the same bits as one that was not. Formulas with their sources: doc/training.md.
 */
#ifndef MMCL_TRAIN_H
#define MMCL_TRAIN_H

#include <mmcl/base.h>
#include <mmcl/context.h>
#include <mmcl/encoder.h>
#include <mmcl/io.h>
#include <mmcl/model.h>
#include <mmcl/objective.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mmcl_trainer mmcl_trainer;

/* -------------------------------------------------------------------------------------------------------- source --- */

/* A batch that the host fills: x [rows, inputs of f_x], t [rows, inputs of f_t]; NULL for a host encoder that has no inputs. */
typedef struct mmcl_pairs {
    size_t   struct_size;
    float   *x;
    float   *t;
    int64_t *groups; /* [rows]; NULL unless the source says grouped */
    uint64_t seed;
    uint64_t step;
    uint64_t rows;
} mmcl_pairs;

/* Fills a batch (a pool, where there are hard batches), always the same for the same seed and step. On the thread that called in. */
typedef mmcl_status (*mmcl_pairs_fn)(void *user, const mmcl_pairs *pairs);

/*
 * Where pairs come from: exactly one of model, x with t, fill, and rows. What it points at has to live as long as the trainer.
 *
 * From arrays, every epoch takes each row at most once, in an order that is a function of seed and epoch alone (a Feistel network
 * over the row numbers); the rows that do not fill a last batch are left out of that epoch.
 */
typedef struct mmcl_source {
    size_t             struct_size;
    const mmcl_model  *model;
    const mmcl_matrix *x;         /* with t: as many rows. Any float type; may be mapped or read through a callback */
    const mmcl_matrix *t;
    const int64_t     *groups;    /* arrays: [rows]; pairs of one group count as positives of each other. NULL: none */
    mmcl_pairs_fn      fill;
    void              *fill_user;
    uint64_t           rows;      /* instead of x and t: the number of rows, for host encoders that know them by index */
    uint32_t           grouped;   /* 1: fill also fills groups */
    uint32_t           reserved;  /* 0 */
} mmcl_source;

/* ------------------------------------------------------------------------------------------------------- options --- */

typedef int32_t mmcl_optimizer;

#define MMCL_OPTIMIZER_ADAM ((mmcl_optimizer) 0) /* with decay: AdamW (Loshchilov and Hutter 2019) */
#define MMCL_OPTIMIZER_SGD  ((mmcl_optimizer) 1) /* with momentum beta1 */
#define MMCL_OPTIMIZER_KFAC ((mmcl_optimizer) 2) /* layers by Kronecker-factored curvature (Martens and Grosse 2015) with momentum
                                                    beta1; a learned geometry by Adam at scale_rate */

typedef int32_t mmcl_pool_axis;

#define MMCL_POOL_NEAR   ((mmcl_pool_axis) 0) /* blocks of pairs whose representations lie close together */
#define MMCL_POOL_RANDOM ((mmcl_pool_axis) 1) /* blocks of pairs as they were drawn */

/* How a run stands. Losses are NaN before the first step. Members are appended in later versions. */
typedef struct mmcl_train_info {
    size_t   struct_size;
    uint64_t step;            /* steps done, since the beginning of the training */
    double   loss;            /* of the last step */
    double   smooth_loss;     /* exponential average of the loss, over about 100 steps */
    double   gradient_norm;   /* of the last step, before clipping */
    double   rate;            /* of the last step */
    double   scale;           /* logit scale after the last step */
    double   bias;            /* logit bias after the last step */
    double   seconds;         /* that this call has taken so far */
    double   seconds_left;    /* to the end of this call, at the rate of its steps so far; NaN before the first */
    uint64_t epoch;           /* arrays: epochs begun, from 0 */
    uint32_t stopped;         /* 1: the evaluation callback asked to stop */
    uint32_t reserved;
} mmcl_train_info;

/*
 * Called every evaluate_every steps with the encoders to judge: those with averaged weights when averaging is on. It may call
 * what is concurrent on const, for these encoders among others, and anything of another context. 0 goes on; 1 ends the run, which
 * is then a success with info.stopped 1.
 */
typedef int32_t (*mmcl_evaluate_fn)(void *user, const mmcl_train_info *info, const mmcl_encoder *x, const mmcl_encoder *t);

/*
 * All zero except struct_size and batch gives the defaults.
 *
 * Hard batches: with `block` above 0, pairs are drawn a pool at a time. One side of the pool, x and t by turns, is encoded as the
 * encoders stand, and its rows are split at the median of the coordinate of largest variance (times a random factor from 0.7 to
 * 1.3), again and again, until cells have `block` rows. The cells, shuffled, make up the batches, and each cell is contrasted in
 * itself. Cells that were made from x choose among the x of the cell for each t, and the other way round: the loss is one-sided,
 * because then the best critic within a cell is the best critic of the whole, whatever the cells (doc/training.md).
 */
typedef struct mmcl_trainer_options {
    size_t           struct_size;
    mmcl_evaluate_fn evaluate;
    void            *evaluate_user;
    uint64_t         batch;          /* pairs of a step; at least 2 */
    uint64_t         block;          /* pairs that are contrasted with each other; divides batch. 0: the whole batch */
    uint64_t         pool;           /* with block: pairs drawn and sorted together, block times a power of two and a multiple of
                                        batch; 0: 512 blocks, or batch where that is more */
    uint64_t         seed;           /* of the batches */
    uint64_t         steps;          /* length of the schedule; 0: the rate stays after the warm-up */
    uint64_t         warmup;         /* steps over which the rate rises linearly */
    uint64_t         evaluate_every; /* 0: never */
    uint64_t         refresh;        /* K-FAC: steps from one inversion to the next; 0: 40 */
    double           rate;           /* 0: Adam 1e-3, SGD 0.1, K-FAC 5e-3 */
    double           floor;          /* the cosine ends at this share of the rate, 0 to 1 */
    double           beta1;          /* 0: 0.9 */
    double           beta2;          /* 0: 0.999 */
    double           epsilon;        /* 0: 1e-8 */
    double           damping;        /* K-FAC: relative to the mean eigenvalues of both factors; 0: 1e-4 */
    double           memory;         /* K-FAC: share of the old statistics that a step keeps; 0: 0.98 */
    double           decay;          /* decoupled weight decay of weight matrices, times the rate */
    double           clip;           /* largest 2-norm of the gradient of all parameters; 0: any */
    double           average;        /* weight averaging: share of the old average that a step keeps, such as 0.999; 0: none */
    double           scale;          /* logit scale (1 / temperature) at the start; 0: 1. Its bounds are the objective's */
    double           scale_rate;     /* Adam's rate for log scale and bias, with the same schedule; 0: 3e-3 */
    double           bias;           /* logit bias at the start */
    uint32_t         learn_scale;    /* 1: learned */
    uint32_t         learn_bias;     /* 1: learned; for the SigLIP loss */
    mmcl_optimizer   optimizer;
    mmcl_pool_axis   pool_axis;
    uint32_t         freeze_x;       /* 1: f_x is not updated */
    uint32_t         freeze_t;
} mmcl_trainer_options;

/* ------------------------------------------------------------------------------------------------------ training --- */

/*
 * A trainer at step 0. Encoders, objective and source stay the caller's and must outlive it; the encoders' parameters are updated
 * in place. Thread class: exclusive. Allocates: all that steps need, which then allocate nothing.
 * Errors: MMCL_E_INVAL (a batch below 2 or above the objective's rows, widths of encoders and source that do not fit, the same
 * encoder twice, an option out of range), MMCL_E_ABI, MMCL_E_NOMEM.
 */
MMCL_API MMCL_CHECK mmcl_status mmcl_trainer_create(mmcl_trainer **out, mmcl_context *context, mmcl_encoder *x, mmcl_encoder *t,
                                                    mmcl_objective *objective, const mmcl_source *source,
                                                    const mmcl_trainer_options *options);

/* Ends the handle. NULL is fine. Thread class: exclusive. */
MMCL_API void mmcl_trainer_destroy(mmcl_trainer *trainer);

/*
 * Trains until `until` steps have been done since the beginning; nothing when they have been. Sends a progress event each step.
 * `info` may be NULL; otherwise info->struct_size must be set, and it is filled in after an error too. After an error the trainer
 * and its encoders stand as after the last complete step, and a repeated call goes on from there, as if nothing had happened.
 * Thread class: exclusive. Allocates nothing.
 * Errors: MMCL_E_NUMERIC (the loss or a gradient is not finite: the message names the step, the parameters are those before it; or
 * NaN in the source), MMCL_E_CANCELLED, MMCL_E_CALLBACK, MMCL_E_ABI.
 */
MMCL_API MMCL_CHECK mmcl_status mmcl_trainer_run(mmcl_trainer *trainer, uint64_t until, mmcl_train_info *info);

/* How the training stands. `out->struct_size` must be set. Thread class: concurrent on const. Errors: MMCL_E_INVAL, MMCL_E_ABI. */
MMCL_API MMCL_CHECK mmcl_status mmcl_trainer_get_info(const mmcl_trainer *trainer, mmcl_train_info *out);

/*
 * The encoder of a side (0: x, 1: t) with averaged weights; without averaging, the encoder itself. It belongs to the trainer.
 * NULL for another side. Thread class: concurrent on const.
 */
MMCL_API const mmcl_encoder *mmcl_trainer_average(const mmcl_trainer *trainer, uint32_t side);

/* --------------------------------------------------------------------------------------------------- checkpoints --- */

/*
 * Writes parameters, moments, averages, scale and step number. It goes to a new file beside `path` that is flushed to the disk
 * before it takes the name, so that the previous checkpoint survives a full disk or a power cut.
 * Thread class: exclusive. Allocates: the writer. Errors: MMCL_E_IO, MMCL_E_NUMERIC (a parameter is not finite), MMCL_E_NOMEM.
 */
MMCL_API MMCL_CHECK mmcl_status mmcl_trainer_save(const mmcl_trainer *trainer, const char *path);

/* The same into a host's sink. Errors: also MMCL_E_CALLBACK. */
MMCL_API MMCL_CHECK mmcl_status mmcl_trainer_save_to(const mmcl_trainer *trainer, const mmcl_sink *sink);

/*
 * Puts trainer and encoders where the checkpoint was. The trainer must have been created with encoders of the same shape and the
 * same optimiser, batch, block and seed. On error nothing has changed. `options` may be NULL, or give a stream.
 * Thread class: exclusive. Allocates: a copy of the state, released again.
 * Errors: as mmcl_archive_open; MMCL_E_FORMAT (damaged, truncated, or not a checkpoint), MMCL_E_VERSION, MMCL_E_INVAL (of another
 * architecture or other options: the message names what differs).
 */
MMCL_API MMCL_CHECK mmcl_status mmcl_trainer_resume(mmcl_trainer *trainer, const char *path, const mmcl_open_options *options);

#ifdef __cplusplus
}
#endif

#endif
