/*
 * Classifiers on representations: the few-shot linear probe, its search for C, and pipelines of transform and classifier.
 */
#ifndef MMCL_CLASSIFY_H
#define MMCL_CLASSIFY_H

#include <mmcl/base.h>
#include <mmcl/context.h>
#include <mmcl/transform.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mmcl_classifier   mmcl_classifier;   /* a head: features in, class scores out; immutable once fitted */
typedef struct mmcl_shot_sampler mmcl_shot_sampler; /* draws of rows per class, as numpy's RandomState makes them */
typedef struct mmcl_pipeline     mmcl_pipeline;     /* transform, classifier and class names in one */

/* Rows with a class each: labels[i] in 0 ... classes - 1 belongs to row i of `features`. Borrowed for the call. Frozen layout. */
typedef struct mmcl_labelled {
    mmcl_matrix    features;
    const int64_t *labels; /* [features.rows] */
} mmcl_labelled;

/* -------------------------------------------------------------------------------------------- logistic regression --- */

/*
 * Multinomial logistic regression: minimises C sum_i -log p(label_i | x_i) + 1/2 |W|^2 over weights W [classes, inputs] and
 * intercepts, which are not penalised (the objective of scikit-learn's LogisticRegression).
 */
typedef struct mmcl_logreg_options {
    size_t   struct_size;
    double   c;              /* 0: 1 */
    double   tolerance;      /* stop when an upper bound of (objective - optimum) / optimum is below it; 0: 1e-7 */
    uint64_t max_iterations; /* 0: 1000 */
    uint32_t no_intercept;   /* 1: no intercept */
    mmcl_precision precision; /* F32: float32 products while they are exact enough, float64 for the last digits */
} mmcl_logreg_options;

typedef struct mmcl_logreg_info {
    size_t           struct_size;
    double           c;
    double           objective;     /* at the solution */
    double           gradient_norm; /* its gradient's 2-norm there */
    double           gap;           /* estimate of (objective - optimum) / optimum */
    uint64_t         iterations;
    uint64_t         passes;        /* over the rows */
    double           seconds;
    mmcl_stop_reason stop;
    uint32_t         reserved;      /* 0 */
} mmcl_logreg_info;

/*
 * Fits on `train` with labels 0 ... classes - 1; every class needs a row. `start` (may be NULL) is a fitted classifier of the
 * same shape to begin from: a warm start changes the time, not the solution. `info` may be NULL.
 * Thread class: exclusive. Allocates: O((classes + inputs) * inputs + rows * min(rows, inputs)) and at most 48 MiB
 * of preconditioner, all but the weights released.
 * Errors: MMCL_E_INVAL (label out of range, classes < 2, C not positive), MMCL_E_NUMERIC (NaN, infinity, a class without rows),
 * MMCL_E_CANCELLED, MMCL_E_CALLBACK, MMCL_E_ABI, MMCL_E_NOMEM. *out is NULL on error.
 */
MMCL_API MMCL_CHECK mmcl_status mmcl_logreg_fit(mmcl_classifier **out, mmcl_context *context, const mmcl_labelled *train,
                                                size_t classes, const mmcl_logreg_options *options,
                                                const mmcl_classifier *start, mmcl_logreg_info *info);

/*
 * The objective that mmcl_logreg_fit minimises, evaluated in float64 on `train` at the weights of `classifier`.
 * Thread class: exclusive. Allocates: a tile. Errors: as mmcl_logreg_fit; MMCL_E_UNSUPPORTED as mmcl_classifier_weights.
 */
MMCL_API MMCL_CHECK mmcl_status mmcl_logreg_objective(const mmcl_classifier *classifier, const mmcl_labelled *train, double c,
                                                      double *objective);

/* Options of the search for C. All zero except struct_size gives CoOp's search. */
typedef struct mmcl_search_options {
    size_t        struct_size;
    const double *grid;           /* [grid_count] candidates, tried in this order; NULL: 1e6, 1e4, 1e2, 1, 1e-2, 1e-4, 1e-6 */
    uint64_t      grid_count;
    uint64_t      steps;          /* bisections of the bracket [C0 / 10, 10 C0]; 0: 8 */
    double        tolerance;      /* of each fit; as mmcl_logreg_options */
    uint64_t      max_iterations; /* of each fit */
    void        (*fitted)(void *user, const mmcl_logreg_info *info, const mmcl_classifier *classifier, double val_accuracy);
    void         *fitted_user;    /* `fitted` (may be NULL) sees every fit */
    mmcl_precision precision;
    uint32_t      reserved;       /* 0 */
} mmcl_search_options;

typedef struct mmcl_search_info {
    size_t   struct_size;
    double   c;            /* chosen */
    double   val_accuracy; /* at the chosen C, 0 to 1 */
    uint64_t fits;         /* distinct values of C that were fitted */
    uint64_t passes;       /* over the training rows, in all fits */
    double   seconds;
} mmcl_search_info;

/*
 * CoOp's search: the first C of the grid with the best accuracy on `val`, then a bisection of the bracket around it in log C.
 * Each C is fitted once, starting from the nearest C that was fitted before. *out is the chosen classifier.
 * Thread class: exclusive. Errors: as mmcl_logreg_fit.
 */
MMCL_API MMCL_CHECK mmcl_status mmcl_logreg_search(mmcl_classifier **out, mmcl_context *context, const mmcl_labelled *train,
                                                   const mmcl_labelled *val, size_t classes, const mmcl_search_options *options,
                                                   mmcl_search_info *info);

/* ---------------------------------------------------------------------------------------------------- classifiers --- */

/*
 * A linear classifier from given weights [classes, inputs] and intercepts [classes] (NULL: 0), copied.
 * Thread class: exclusive. Errors: MMCL_E_INVAL, MMCL_E_NUMERIC, MMCL_E_NOMEM.
 */
MMCL_API MMCL_CHECK mmcl_status mmcl_classifier_create_linear(mmcl_classifier **out, mmcl_context *context, size_t classes,
                                                              size_t inputs, const double *weights, const double *intercepts);

/* Ends the handle. NULL is fine. Thread class: exclusive. */
MMCL_API void mmcl_classifier_destroy(mmcl_classifier *classifier);

/* Inputs and classes (either pointer may be NULL). Thread class: concurrent on const. Errors: MMCL_E_INVAL. */
MMCL_API MMCL_CHECK mmcl_status mmcl_classifier_shape(const mmcl_classifier *classifier, size_t *inputs, size_t *classes);

/*
 * Copies weights [classes, inputs] and intercepts [classes]; either may be NULL. Thread class: concurrent on const.
 * Errors: MMCL_E_INVAL, MMCL_E_UNSUPPORTED (a head whose scores are not weights times raw rows plus intercepts: a cache, an
 * adapter, a transform, rows scaled to unit length).
 */
MMCL_API MMCL_CHECK mmcl_status mmcl_classifier_weights(const mmcl_classifier *classifier, double *weights, double *intercepts);

/*
 * Class scores (logits) of each row into `out` [rows->rows, classes] float32, `out_stride` elements apart (0: classes).
 * Thread class: concurrent on const. Allocates nothing; uses about 160 KiB of stack.
 * Errors: MMCL_E_INVAL (wrong number of columns), MMCL_E_NUMERIC (NaN or infinity), MMCL_E_CALLBACK.
 */
MMCL_API MMCL_CHECK mmcl_status mmcl_classifier_scores(const mmcl_classifier *classifier, const mmcl_matrix *rows, float *out,
                                                       size_t out_stride);

/*
 * The class of highest score of each row into `out` [rows->rows]; ties go to the lower class. `mask` [classes] (may be NULL)
 * holds 1 for the classes that may be answered. Otherwise as mmcl_classifier_scores; MMCL_E_INVAL also for an empty mask.
 */
MMCL_API MMCL_CHECK mmcl_status mmcl_classifier_predict(const mmcl_classifier *classifier, const mmcl_matrix *rows,
                                                        const uint8_t *mask, int64_t *out);

/*
 * Share of rows that mmcl_classifier_predict gets right, 0 to 1. Labels may be any of 0 ... classes - 1.
 * Otherwise as mmcl_classifier_predict.
 */
MMCL_API MMCL_CHECK mmcl_status mmcl_classifier_accuracy(const mmcl_classifier *classifier, const mmcl_labelled *test,
                                                         const uint8_t *mask, double *accuracy);

/* All zero except struct_size gives the defaults. */
typedef struct mmcl_evaluate_options {
    size_t   struct_size;
    double   confidence;  /* of the interval, below 1; 0: 0.95 */
    double   temperature; /* that scores are divided by before the softmax; 0: 1 */
    uint32_t bins;        /* of the calibration error; 0: 15 (Guo et al. 2017) */
    uint32_t resamples;   /* bootstrap: how often the rows are weighted anew, by Poisson(1); 0: none */
    uint64_t seed;        /* of the resamples */
} mmcl_evaluate_options;

typedef struct mmcl_evaluation {
    size_t   struct_size;
    uint64_t rows;
    double   accuracy;          /* 0 to 1 */
    double   low, high;         /* its interval: Wilson's (1927), or with resamples the percentile one (Efron 1979) */
    double   calibration_error; /* expected, 0 to 1: mean over rows of |accuracy - mean confidence| of their bin */
    double   mean_confidence;   /* softmax probability of the answer */
    double   loss;              /* mean -log probability of the label; infinity when the mask forbids one */
    double   calibration_low;   /* percentile interval of the calibration error, moved by the distance from the resamples' mean to it, as rows */
    double   calibration_high;  /* that repeat raise it, and not below 0; both are the error itself without resamples */
} mmcl_evaluation;

/*
 * Accuracy, its interval and calibration on `test`. Probabilities are the softmax of the scores, over the classes that `mask` [classes] allows
 * (NULL: all). Whether scores are log-probabilities is the head's affair: those of a nearest class mean are not.
 * Thread class: exclusive. Allocates: 24 bytes a row, 8 a bin and 16 a resample, released again.
 * Errors: MMCL_E_INVAL (no rows, a wrong number of columns, a label out of range, an empty mask, an option out of range), MMCL_E_NUMERIC,
 * MMCL_E_CALLBACK, MMCL_E_CANCELLED (between resamples), MMCL_E_ABI, MMCL_E_NOMEM.
 */
MMCL_API MMCL_CHECK mmcl_status mmcl_classifier_evaluate(const mmcl_classifier *classifier, const mmcl_labelled *test, const uint8_t *mask,
                                                         const mmcl_evaluate_options *options, mmcl_evaluation *out);

/* ---------------------------------------------------------------------------------------------------------- shots --- */

/*
 * A stream equal to numpy.random.RandomState(seed), for replaying published draws. `seed` is below 2^32.
 * Thread class: exclusive. Allocates: the handle (about 2.5 KiB).
 */
MMCL_API MMCL_CHECK mmcl_status mmcl_shot_sampler_create(mmcl_shot_sampler **out, mmcl_context *context, uint64_t seed);

/* Ends the handle. NULL is fine. Thread class: exclusive. */
MMCL_API void mmcl_shot_sampler_destroy(mmcl_shot_sampler *sampler);

/*
 * Draws `shots` rows of each class, classes ascending, as RandomState.choice(rows of the class, shots, replace=False) does; a
 * class with fewer rows is drawn with replacement. `out` [classes * shots] receives row indices; classes without rows are an
 * error. Successive calls go on in the same stream.
 * Thread class: exclusive. Allocates: scratch. Errors: MMCL_E_INVAL, MMCL_E_NUMERIC (a class without rows), MMCL_E_NOMEM.
 */
MMCL_API MMCL_CHECK mmcl_status mmcl_shot_sampler_draw(mmcl_shot_sampler *sampler, const int64_t *labels, size_t count,
                                                       size_t classes, size_t shots, int64_t *out);

/* ------------------------------------------------------------------------------------------------------- protocol --- */

typedef int32_t mmcl_protocol;

#define MMCL_PROTOCOL_STRICT ((mmcl_protocol) 0) /* the transform sees the few-shot train rows, or the pool alone where given */
#define MMCL_PROTOCOL_PAPER  ((mmcl_protocol) 1) /* it sees the few-shot train and val rows, as the authors' programs do */

/* A further test set. `mask` [classes] (NULL: all) holds 1 for the classes that it may contain. Frozen layout. */
typedef struct mmcl_domain {
    const char    *name;
    mmcl_labelled  rows;
    const uint8_t *mask;
} mmcl_domain;

/* A few-shot data set. Borrowed for the call. */
typedef struct mmcl_fewshot_data {
    size_t             struct_size;
    size_t             classes;
    mmcl_labelled      train;      /* shots are drawn from here, or taken as they are when `fixed` is set */
    mmcl_labelled      val;        /* min(shots, 4) rows a class are drawn from here */
    mmcl_labelled      test;       /* may be empty (rows 0) */
    const mmcl_domain *domains;    /* [domain_count] */
    size_t             domain_count;
    const mmcl_matrix *pool;       /* [pool_parts] unlabelled rows for the transform's fit; NULL: none */
    size_t             pool_parts;
    uint64_t           fixed;      /* 1: `train` is the draw already */
    mmcl_labelled      text;       /* prompts, any number a class; may be empty (rows 0). mmcl_fewshot_run alone looks at them */
} mmcl_fewshot_data;

typedef struct mmcl_probe_options {
    size_t                     struct_size;
    const mmcl_search_options *search; /* NULL: CoOp's */
    const mmcl_fit_options    *fit;    /* NULL: defaults */
    uint64_t                   shots;
    uint64_t                   seed;   /* of the draws, below 2^32 */
    mmcl_protocol              protocol;
    uint32_t                   reserved; /* 0 */
} mmcl_probe_options;

typedef struct mmcl_probe_result {
    size_t   struct_size;
    double   c;
    double   val_accuracy;    /* 0 to 1 */
    double   test_accuracy;   /* NaN when there is no test set */
    uint64_t fits;
    uint64_t passes;
    uint64_t train_rows;
    uint64_t val_rows;
    uint64_t transform_rows;  /* rows that the transform was fitted on */
    uint64_t components;      /* columns that the classifier saw */
    double   transform_seconds;
    double   search_seconds;
    double   seconds;         /* all of it */
} mmcl_probe_result;

/*
 * The few-shot linear probe: draws the shots, fits `transform` by the protocol (one that is fitted already is taken as it is), searches
 * C on the drawn val rows, and measures every test set. Under MMCL_PROTOCOL_PAPER components are clipped to the rank, as the
 * authors' programs do. `domain_accuracy` [domain_count] may be NULL; `out` (may be NULL) receives the classifier.
 * Thread class: exclusive. Errors: as the functions that it joins.
 */
MMCL_API MMCL_CHECK mmcl_status mmcl_probe_run(mmcl_classifier **out, mmcl_context *context, const mmcl_fewshot_data *data,
                                               mmcl_transform *transform, const mmcl_probe_options *options,
                                               mmcl_probe_result *result, double *domain_accuracy);

/* ------------------------------------------------------------------------------------------------------ pipelines --- */

/*
 * Joins a fitted transform (NULL: none), a classifier and class names [classes] (NULL: none). Copies all three.
 * Thread class: exclusive. Errors: MMCL_E_INVAL (shapes that do not fit), MMCL_E_STATE (transform not fitted), MMCL_E_NOMEM.
 */
MMCL_API MMCL_CHECK mmcl_status mmcl_pipeline_create(mmcl_pipeline **out, mmcl_context *context, const mmcl_transform *transform,
                                                     const mmcl_classifier *classifier, const char *const *class_names);

/* Ends the handle. NULL is fine. Thread class: exclusive. */
MMCL_API void mmcl_pipeline_destroy(mmcl_pipeline *pipeline);

/* Its parts, borrowed: the transform (NULL when there is none) and the classifier. Thread class: concurrent on const. */
MMCL_API const mmcl_transform  *mmcl_pipeline_transform(const mmcl_pipeline *pipeline);
MMCL_API const mmcl_classifier *mmcl_pipeline_classifier(const mmcl_pipeline *pipeline);

/* Name of a class; NULL when there are no names or no such class. Lives with the pipeline. Thread class: concurrent on const. */
MMCL_API const char *mmcl_pipeline_class_name(const mmcl_pipeline *pipeline, size_t index);

/*
 * Classes of raw rows, and their scores where `scores` [rows->rows, classes] is not NULL (either output may be NULL).
 * Thread class: concurrent on const. Allocates nothing; uses up to 450 KiB of stack. Errors: as mmcl_transform_apply.
 */
MMCL_API MMCL_CHECK mmcl_status mmcl_pipeline_predict(const mmcl_pipeline *pipeline, const mmcl_matrix *rows, int64_t *classes,
                                                      float *scores);

/* Save and load, as mmcl_transform_save, mmcl_transform_save_to and mmcl_transform_load. */
MMCL_API MMCL_CHECK mmcl_status mmcl_pipeline_save(const mmcl_pipeline *pipeline, const char *path);
MMCL_API MMCL_CHECK mmcl_status mmcl_pipeline_save_to(const mmcl_pipeline *pipeline, const mmcl_sink *sink);
MMCL_API MMCL_CHECK mmcl_status mmcl_pipeline_load(mmcl_pipeline **out, mmcl_context *context, const char *path,
                                                   const mmcl_open_options *options);

#ifdef __cplusplus
}
#endif

#endif
