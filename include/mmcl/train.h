/*
 * Training of two encoders with the contrastive objective: batches of pairs from a model, from arrays or from the host, an
 * optimiser with its schedule, averaged weights, evaluation.
 *
 * A step: draw the batch of (seed, step); f_x and f_t of its rows; the objective with its gradients; back through both encoders;
 * clip; update. Everything is a function of options, start and step number, so a run that is interrupted and goes on, on any number
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

/* Fills a batch, always the same for the same seed and step. On the thread that called into the library. */
typedef mmcl_status (*mmcl_pairs_fn)(void *user, const mmcl_pairs *pairs);

/*
 * Where pairs come from: exactly one of model, x with t, and fill. What it points at has to live as long as the trainer.
 *
 * From arrays, every epoch takes each row at most once, in an order that is a function of seed and epoch alone (a Feistel network
 * over the row numbers); the rows that do not fill a last batch are left out of that epoch.
 */
typedef struct mmcl_source {
    size_t                   struct_size;
    const mmcl_model        *model;
    const mmcl_matrix       *x;       /* with t: as many rows. Any float type; may be mapped or read through a callback */
    const mmcl_matrix       *t;
    const int64_t           *groups;  /* arrays: [rows]; pairs of one group count as positives of each other. NULL: none */
    mmcl_pairs_fn            fill;
    void                    *fill_user;
    uint32_t                 grouped; /* 1: fill also fills groups */
    uint32_t                 reserved; /* 0 */
} mmcl_source;

/* ------------------------------------------------------------------------------------------------------- options --- */

typedef int32_t mmcl_optimizer;

#define MMCL_OPTIMIZER_ADAM ((mmcl_optimizer) 0) /* with decay: AdamW (Loshchilov and Hutter 2019) */
#define MMCL_OPTIMIZER_KFAC ((mmcl_optimizer) 1) /* momentum on Kronecker-factored natural gradients (Martens and Grosse 2015) */

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
 * Hard cells: with `cell` set, pairs are drawn `pool` at a time; one side of the pool is embedded by the present encoder (x for even pools, t
 * for odd ones) and split again and again at the median of the widest coordinate, until cells hold `cell` pairs. A batch is then batch /
 * cell cells, each contrasted within itself, and by the loss of the other side alone: every row of the side that was not embedded looks for
 * its partner among the embedded rows of its cell. As p(x | t, cell) / p(x | cell) is proportional to p(x | t) / p(x) for any cell that is a
 * function of x alone, the critic that is best within cells is the one that is best over all pairs, while its negatives are as close as
 * neighbours are. Begin without cells: they are only as good as the encoders.
 */
typedef struct mmcl_trainer_options {
    size_t           struct_size;
    mmcl_evaluate_fn evaluate;
    void            *evaluate_user;
    uint64_t         batch;          /* pairs of a step; at least 2 */
    uint64_t         cell;           /* pairs of a cell, at least 2, a divisor of batch; 0: each batch is contrasted as a whole */
    uint64_t         pool;           /* pairs of a pool, a multiple of batch; 0: 256 batches. Only with cell */
    uint64_t         seed;           /* of the batches */
    uint64_t         steps;          /* length of the schedule; 0: the rate stays after the warm-up */
    uint64_t         warmup;         /* steps over which the rate rises linearly */
    uint64_t         evaluate_every; /* 0: never */
    uint64_t         refresh;        /* K-FAC: steps from one inversion of the factors to the next; 0: 40 */
    double           rate;           /* 0: Adam 1e-3, K-FAC 0.05 */
    double           floor;          /* the cosine ends at this share of the rate, 0 to 1 */
    double           beta1;          /* of the momentum; 0: 0.9 */
    double           beta2;          /* Adam; 0: 0.999 */
    double           epsilon;        /* Adam; 0: 1e-8 */
    double           factor_decay;   /* K-FAC: share of the old factors that a step keeps; 0: 0.98 */
    double           damping;        /* K-FAC: of the factors, relative to their mean eigenvalue; 0: 0.03 */
    double           trust;          /* K-FAC: a step longer than this, by rate^2 times gradient times step, is shortened to it; 0: 0.1 */
    double           decay;          /* decoupled weight decay of weight matrices, times the rate */
    double           clip;           /* largest 2-norm of the gradient of all parameters; 0: any */
    double           average;        /* weight averaging: share of the old average that a step keeps, such as 0.999; 0: none */
    double           scale;          /* logit scale (1 / temperature) at the start; 0: 1 */
    double           scale_rate;     /* Adam's rate for the log scale and the bias, with the same schedule; 0: 3e-3 */
    double           bias;           /* logit bias at the start, for the SigLIP loss */
    uint32_t         learn_scale;    /* 1: learned, within the objective's bounds; the bias too where the loss has one */
    mmcl_optimizer   optimizer;
    uint32_t         freeze_x;       /* 1: f_x is not updated */
    uint32_t         freeze_t;
    const char      *checkpoint;     /* copied; a run writes a checkpoint here every checkpoint_every steps; NULL: none */
    uint64_t         checkpoint_every;
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
 * and its encoders stand as after the last complete step, and a repeated call goes on from there, as if nothing had happened. A
 * checkpoint that cannot be written ends the run, too; the one before stays.
 * Thread class: exclusive. Allocates nothing, but while a checkpoint is written.
 * Errors: MMCL_E_NUMERIC (the loss or a gradient is not finite: the message names the step, the parameters are those before it; or
 * NaN in the source), MMCL_E_CANCELLED, MMCL_E_CALLBACK, MMCL_E_ABI; of a checkpoint: as mmcl_trainer_save.
 */
MMCL_API MMCL_CHECK mmcl_status mmcl_trainer_run(mmcl_trainer *trainer, uint64_t until, mmcl_train_info *info);

/* How the training stands. `out->struct_size` must be set. Thread class: concurrent on const. Errors: MMCL_E_INVAL, MMCL_E_ABI. */
MMCL_API MMCL_CHECK mmcl_status mmcl_trainer_get_info(const mmcl_trainer *trainer, mmcl_train_info *out);

/*
 * The encoder of a side (0: x, 1: t) with averaged weights; without averaging, the encoder itself. It belongs to the trainer.
 * NULL for another side. Thread class: concurrent on const.
 */
MMCL_API const mmcl_encoder *mmcl_trainer_average(const mmcl_trainer *trainer, uint32_t side);

/* ----------------------------------------------------------------------------------------------------- checkpoints --- */

/*
 * Writes all that the training goes on from: parameters of both encoders, moments, curvature factors, averages, state (doc/formats.md). An
 * existing file is replaced only when the new one is complete and on the disk. What a host encoder holds is the host's to save.
 * Thread class: exclusive. Allocates: the table of contents. Errors: MMCL_E_NUMERIC (something of it is not finite), MMCL_E_IO, MMCL_E_NOMEM.
 */
MMCL_API MMCL_CHECK mmcl_status mmcl_trainer_save(const mmcl_trainer *trainer, const char *path);

/* The same into a host's sink, by way of memory. Errors: also MMCL_E_CALLBACK. */
MMCL_API MMCL_CHECK mmcl_status mmcl_trainer_save_to(const mmcl_trainer *trainer, const mmcl_sink *sink);

/*
 * Puts trainer and encoders where those that wrote the checkpoint stood; runs then give the same bits as if there had been no interruption,
 * on any number of threads. The trainer has to be created with the same options, objective and source as then, and with encoders of the same
 * options; what the parameters are does not matter. evaluate, evaluate_every, checkpoint and checkpoint_every may differ. That the source gives
 * the same pairs, and that host encoders stand at the same step, is the caller's to see to. `options` may be NULL, or give a stream.
 * After an error trainer and encoders are as before.
 * Thread class: exclusive. Allocates: a second copy of what is read, until the call ends.
 * Errors: MMCL_E_INVAL (a checkpoint of another training: the message names what differs and both values), otherwise as mmcl_transform_load.
 */
MMCL_API MMCL_CHECK mmcl_status mmcl_trainer_resume(mmcl_trainer *trainer, const char *path, const mmcl_open_options *options);

#ifdef __cplusplus
}
#endif

#endif
