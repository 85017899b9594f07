/*
 * Few-shot heads on frozen features: one call fits any of them and gives an ordinary classifier.
 * What each head computes, with its defaults and its source: doc/heads.md.
 */
#ifndef MMCL_ADAPT_H
#define MMCL_ADAPT_H

#include <mmcl/classify.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ------------------------------------------------------------------------------------------------------ methods --- */

typedef int32_t mmcl_method;

#define MMCL_METHOD_ZEROSHOT     ((mmcl_method) 1)  /* text alone: cosine to each class's mean prompt */
#define MMCL_METHOD_NCM          ((mmcl_method) 2)  /* nearest class mean */
#define MMCL_METHOD_PROBE        ((mmcl_method) 3)  /* multinomial logistic regression, L2 */
#define MMCL_METHOD_PROBE_L1     ((mmcl_method) 4)  /* the same with an L1 penalty */
#define MMCL_METHOD_PROBE_EN     ((mmcl_method) 5)  /* elastic net: L1 and L2 */
#define MMCL_METHOD_PROBE_ARD    ((mmcl_method) 6)  /* L2 with a weight of its own for each input, estimated from the shots */
#define MMCL_METHOD_PROBE_ZS     ((mmcl_method) 7)  /* linear probe that starts from the text */
#define MMCL_METHOD_CLAP         ((mmcl_method) 8)  /* the same, held near the text class by class */
#define MMCL_METHOD_LPP          ((mmcl_method) 9)  /* LP++: visual prototypes blended with text by a factor a class */
#define MMCL_METHOD_TIP          ((mmcl_method) 10) /* Tip-Adapter: a cache of the shots beside the text */
#define MMCL_METHOD_TIP_F        ((mmcl_method) 11) /* Tip-Adapter-F: its keys trained */
#define MMCL_METHOD_APE          ((mmcl_method) 12) /* a cache on selected channels */
#define MMCL_METHOD_APE_T        ((mmcl_method) 13) /* the same, trained */
#define MMCL_METHOD_CLIP_ADAPTER ((mmcl_method) 14) /* a residual bottleneck before the text */
#define MMCL_METHOD_TASKRES      ((mmcl_method) 15) /* a residual on the text's weights */
#define MMCL_METHOD_CCA          ((mmcl_method) 16) /* Causal CLIP Adapter: cache on independent components, cross attention */
#define MMCL_METHOD_CCA_FT       ((mmcl_method) 17) /* the same, trained */
#define MMCL_METHOD_CROSSMODAL   ((mmcl_method) 18) /* linear probe on shots and prompts alike */
#define MMCL_METHOD_WISE_FT      ((mmcl_method) 19) /* a blend of the text's weights and of trained ones */
#define MMCL_METHOD_KERNEL_RIDGE ((mmcl_method) 20) /* kernel ridge regression of the labels on cosines to the shots */

/*
 * Name of a method, such as "probe-l1"; NULL when there is no such method. The values above follow each other without gaps.
 * Thread class: any thread. Static storage.
 */
MMCL_API const char *mmcl_method_name(mmcl_method method);

/* The method of a name. Thread class: any thread. Errors: MMCL_E_INVAL (NULL, no such name; *out is then 0). */
MMCL_API MMCL_CHECK mmcl_status mmcl_method_parse(mmcl_method *out, const char *name);

/* 1 when the method cannot do without text, otherwise 0. Thread class: any thread. */
MMCL_API uint32_t mmcl_method_needs_text(mmcl_method method);

/* ------------------------------------------------------------------------------------------------------- fitting --- */

/* What a head is fitted on: raw rows throughout. Borrowed for the call. */
typedef struct mmcl_adapt_data {
    size_t                struct_size;
    size_t                classes;
    mmcl_labelled         train;     /* the shots; every class needs one, except for zeroshot without a transform */
    mmcl_labelled         val;       /* what chooses hyper-parameters and epochs; rows 0: none, the defaults are kept */
    mmcl_labelled         text;      /* prompts, one or more a class; rows 0: none */
    const mmcl_transform *transform; /* fitted, for what the visual side sees; NULL: none */
} mmcl_adapt_data;

typedef uint32_t mmcl_clap_constraint;

#define MMCL_CLAP_L2       ((mmcl_clap_constraint) 0) /* the penalty's factors stay */
#define MMCL_CLAP_ADAPTIVE ((mmcl_clap_constraint) 1) /* an outer step of the augmented Lagrangian an epoch */

/*
 * What a head predicts with where it has a cache of keys. Fewer bits mean less to read for each row; how far scores move is in
 * doc/caches.md. The float32 keys stay beside them, for keys and classes that are added later.
 */
typedef uint32_t mmcl_key_type;

#define MMCL_KEYS_F32  ((mmcl_key_type) 0)
#define MMCL_KEYS_BF16 ((mmcl_key_type) 1) /* bfloat16 */
#define MMCL_KEYS_INT8 ((mmcl_key_type) 2) /* multiples of 1/127 of the key's largest column */

/*
 * All zero except struct_size is the defaults. Of c, alpha, beta, gamma, eta and ratio, 0 means: chosen on the val rows where
 * there are any, otherwise the method's default; any other value is kept. Fields that a method does not have are ignored.
 */
typedef struct mmcl_adapt_options {
    size_t   struct_size;
    uint64_t seed;           /* of minibatches and random initial weights, below 2^32 */
    uint64_t epochs;         /* 0: the method's */
    uint64_t batch;          /* rows of a minibatch, all of them when there are no more; 0: the method's */
    uint64_t channels;       /* of APE; 0: its default */
    uint64_t max_iterations; /* of the probes' solvers; 0: 1000 */
    double   tolerance;      /* of the same, as in mmcl_logreg_options; 0: 1e-7 */
    double   learning_rate;  /* 0: the method's */
    double   weight_decay;   /* 0: the method's */
    double   logit_scale;    /* that cosines to the text are multiplied with; 0: 100 */
    double   c;              /* of the probes; of kernel-ridge, whose ridge is 1 / c (default 10) */
    double   alpha;          /* share of the cache; of CLAP's penalty (0: 100); of the class means in kernel-ridge (0: 0.3) */
    double   beta;           /* sharpness of the cache's affinity, of kernel-ridge's kernel (default 2) */
    double   gamma;          /* CCA: visual attention; APE: sharpness of the cache's values */
    double   eta;            /* CCA: textual attention */
    double   ratio;          /* share of CLIP-Adapter's bottleneck, TaskRes' residual, WiSE-FT's trained weights, elastic net's L1 */
    double   alpha_start;    /* where alpha, gamma and eta are while a head is trained, and around which gamma and eta are */
    double   gamma_start;    /* searched; 0: 1.17, 1e-3 and 1e-3, the authors' values for ImageNet */
    double   eta_start;
    double   alpha_range;    /* grid of the cache: alpha = 0.1 + j (range - 0.1) / 20, j < 20; 0: 3 */
    double   beta_range;     /* beta = 0.1 + i (range - 0.1) / 200, i < 200; 0: 7 */
    mmcl_protocol        protocol; /* PAPER: as the authors' programs do where that differs from what their papers say */
    mmcl_clap_constraint clap;
    mmcl_precision       precision; /* of the probes' products */
    uint32_t             check_norms; /* 1: where a head works on cosines, rows off unit length by over 1e-2 are an error */
    mmcl_key_type        narrow_keys; /* what heads with a cache predict with */
    uint32_t             reserved;    /* 0 */
} mmcl_adapt_options;

/* What was done: bits of mmcl_adapt_info.flags. */
#define MMCL_ADAPT_NORMALIZED        ((uint32_t) 1) /* rows off unit length by more than 1e-2 were scaled to it */
#define MMCL_ADAPT_PARAMETERS_ON_VAL ((uint32_t) 2) /* val rows chose hyper-parameters: a leak where they are test rows */
#define MMCL_ADAPT_EPOCH_ON_VAL      ((uint32_t) 4) /* val rows chose the epoch: likewise */
#define MMCL_ADAPT_AS_RELEASED       ((uint32_t) 8) /* the authors' program differs from their paper, and was followed */

/* Result. Numbers that the method does not have are NaN. */
typedef struct mmcl_adapt_info {
    size_t           struct_size;
    double           c;
    double           alpha;
    double           beta;
    double           gamma;
    double           eta;
    double           ratio;
    double           objective;    /* what the solver or the last epoch came down to, on the shots */
    double           gap;          /* of a solver: bound of (objective - optimum) / optimum */
    double           learning_rate;
    double           weight_decay;
    double           val_accuracy; /* 0 to 1; NaN without val rows */
    double           seconds;
    uint64_t         epoch;        /* after which the weights were taken; 0 for heads without epochs */
    uint64_t         iterations;   /* of the solver or the optimiser, in all fits */
    uint64_t         inputs_used;  /* columns with a weight other than 0, or channels of APE; 0 for other heads */
    mmcl_stop_reason stop;
    uint32_t         flags;
} mmcl_adapt_info;

/*
 * Fits a head. The classifier takes raw rows: the transform, where there is one, becomes part of it. Heads that work on cosines
 * (all but ncm, probe, probe-l1, probe-en and probe-ard) first scale rows and prompts to unit length. `options` and `info` may
 * be NULL.
 * Thread class: exclusive. Allocates: O((rows + classes) * columns); all but the head is released.
 * Errors: MMCL_E_INVAL (a label out of range, different widths, no text where the method needs it, an option out of range, rows
 * not of unit length under check_norms), MMCL_E_NUMERIC (NaN, infinity, a class without shots or prompts, a zero row where
 * cosines are taken), MMCL_E_STATE (transform not fitted), MMCL_E_UNSUPPORTED (a method that this version knows only by name),
 * MMCL_E_CANCELLED, MMCL_E_CALLBACK, MMCL_E_ABI, MMCL_E_NOMEM. *out is NULL on error.
 */
MMCL_API MMCL_CHECK mmcl_status mmcl_adapt_fit(mmcl_classifier **out, mmcl_context *context, mmcl_method method,
                                               const mmcl_adapt_data *data, const mmcl_adapt_options *options,
                                               mmcl_adapt_info *info);

/* ------------------------------------------------------------------------------------------------- more shots later --- */

/*
 * A copy of a head, such as one that a pipeline lends, to add shots or classes to.
 * Thread class: exclusive for `context`, concurrent on const for `classifier`. Errors: MMCL_E_INVAL (NULL), MMCL_E_NOMEM.
 */
MMCL_API MMCL_CHECK mmcl_status mmcl_classifier_copy(mmcl_classifier **out, mmcl_context *context, const mmcl_classifier *classifier);

/*
 * Adds shots with labels 0 ... classes - 1 to a head with a cache (tip, tip-f, ape, ape-t, cca, cca-ft) without fitting it again: its
 * alpha, beta, gamma, eta, channels and what was trained stay. Scores are then those, bit for bit, of the head that has had these shots
 * from the start, behind the others of their class, with the same numbers. Shots of trained heads come in as they would be before
 * training; cca-ft takes them through its adapter. On error the head is as it was.
 * Thread class: exclusive, also for the head. Allocates: a second head while it works.
 * Errors: MMCL_E_INVAL (no cache, other width, a label out of range), MMCL_E_NUMERIC (NaN, infinity, a zero row), MMCL_E_CALLBACK,
 * MMCL_E_NOMEM.
 */
MMCL_API MMCL_CHECK mmcl_status mmcl_classifier_add_shots(mmcl_classifier *classifier, const mmcl_labelled *shots);

/*
 * Adds a class, whose label is the number of classes so far; it has no shots until mmcl_classifier_add_shots brings some. `prompts` are
 * its text, one row or more: NULL for heads without text. Otherwise as mmcl_classifier_add_shots, errors and all.
 * Thread class: exclusive, also for the head. Allocates: a second head while it works.
 */
MMCL_API MMCL_CHECK mmcl_status mmcl_classifier_add_class(mmcl_classifier *classifier, const mmcl_matrix *prompts);

/* ------------------------------------------------------------------------------------------------------ protocol --- */

/* All zero except struct_size and shots gives the defaults. */
typedef struct mmcl_fewshot_options {
    size_t                    struct_size;
    const mmcl_adapt_options *head; /* its protocol is the one below, and its seed, when 0, the one below too; NULL: defaults */
    const mmcl_fit_options   *fit;  /* NULL: defaults */
    uint64_t                  shots;
    uint64_t                  seed; /* of the draws, below 2^32 */
    mmcl_protocol             protocol;
    uint32_t                  reserved; /* 0 */
} mmcl_fewshot_options;

/* What the protocol let rows see that a deployment would not have: bits of mmcl_fewshot_result.leaks. */
#define MMCL_LEAK_TRANSFORM_ON_VAL ((uint32_t) 1) /* the transform was fitted on val rows too */
#define MMCL_LEAK_CHOICE_ON_TEST   ((uint32_t) 2) /* test rows chose hyper-parameters or the epoch */

typedef struct mmcl_fewshot_result {
    size_t   struct_size;
    double   test_accuracy;     /* 0 to 1; NaN when there is no test set */
    double   transform_seconds;
    double   seconds;           /* all of it */
    uint64_t train_rows;
    uint64_t val_rows;          /* that chose */
    uint64_t transform_rows;    /* that the transform was fitted on here; 0 when it was fitted before */
    uint64_t components;        /* columns that the visual side saw */
    uint32_t leaks;
    uint32_t reserved;
} mmcl_fewshot_result;

/*
 * A head in the few-shot protocol: draws the shots and min(shots, 4) val rows a class, fits `transform` (NULL: none; one that is
 * fitted already is taken as it is; otherwise it is fitted on return) as mmcl_probe_run does, fits the head, and measures every
 * test set. `out` (may be NULL) receives the classifier, which takes raw rows. `info` and `result` may be NULL, and so may
 * `domain_accuracy` [domain_count].
 *
 * STRICT: the drawn val rows alone choose. PAPER: as the authors' programs do: the whole val split chooses for tip, ape, ape-t and
 * cca; test rows choose for tip-f and cca-ft, which is told in result.leaks.
 * Thread class: exclusive. Errors: as mmcl_probe_run and mmcl_adapt_fit.
 */
MMCL_API MMCL_CHECK mmcl_status mmcl_fewshot_run(mmcl_classifier **out, mmcl_context *context, mmcl_method method,
                                                 const mmcl_fewshot_data *data, mmcl_transform *transform,
                                                 const mmcl_fewshot_options *options, mmcl_adapt_info *info,
                                                 mmcl_fewshot_result *result, double *domain_accuracy);

#ifdef __cplusplus
}
#endif

#endif
