#include "classify/adapt.h"

#include "classify/classify.h"
#include "classify/logreg.h"
#include "linalg/blas.h"
#include "transform/transform.h"

#include <math.h>
#include <string.h>

#define NORM_TOLERANCE 1e-2 /* a row's length may be off 1 by this without being told */

/* In the order of mmcl_method. */
static const mmcl__head heads[] = {
    /*                                            cosine mapped needs_text needs_shots keeps_prompts */
    [MMCL_METHOD_ZEROSHOT]     = {mmcl__head_zeroshot, true, true, true, false, false},
    [MMCL_METHOD_NCM]          = {mmcl__head_ncm, false, true, false, true, false},
    [MMCL_METHOD_PROBE]        = {mmcl__head_probe, false, true, false, true, false},
    [MMCL_METHOD_PROBE_L1]     = {mmcl__head_probe_l1, false, true, false, true, false},
    [MMCL_METHOD_PROBE_EN]     = {mmcl__head_probe_en, false, true, false, true, false},
    [MMCL_METHOD_PROBE_ARD]    = {mmcl__head_probe_ard, false, true, false, true, false},
    [MMCL_METHOD_PROBE_ZS]     = {mmcl__head_probe_zs, true, true, true, true, false},
    [MMCL_METHOD_CLAP]         = {mmcl__head_clap, true, true, true, true, false},
    [MMCL_METHOD_LPP]          = {mmcl__head_lpp, true, true, true, true, false},
    [MMCL_METHOD_TIP]          = {mmcl__head_tip, true, false, false, true, false},
    [MMCL_METHOD_TIP_F]        = {mmcl__head_tip_f, true, false, false, true, false},
    [MMCL_METHOD_APE]          = {mmcl__head_ape, true, false, true, true, false},
    [MMCL_METHOD_APE_T]        = {mmcl__head_ape_t, true, false, true, true, false},
    [MMCL_METHOD_CLIP_ADAPTER] = {mmcl__head_clip_adapter, true, true, true, true, false},
    [MMCL_METHOD_TASKRES]      = {mmcl__head_taskres, true, true, true, true, false},
    [MMCL_METHOD_CCA]          = {mmcl__head_cca, true, false, false, true, false},
    [MMCL_METHOD_CCA_FT]       = {mmcl__head_cca_ft, true, false, false, true, false},
    [MMCL_METHOD_CROSSMODAL]   = {mmcl__head_crossmodal, true, true, true, true, true},
    [MMCL_METHOD_WISE_FT]      = {mmcl__head_wise_ft, true, true, true, true, false},
    [MMCL_METHOD_KERNEL_RIDGE] = {mmcl__head_kernel_ridge, true, true, false, true, false},
};

const mmcl__head *mmcl__head_of(mmcl_method method)
{
    return method >= 1 && (size_t) method < sizeof heads / sizeof *heads ? &heads[method] : NULL;
}

/* ------------------------------------------------------------------------------------------------------------ rows --- */

static void release_rows(mmcl_context *context, mmcl__rowset *set)
{
    mmcl__free(context, set->x, set->rows * set->cols, sizeof *set->x);
    mmcl__free(context, set->labels, set->rows, sizeof *set->labels);
    *set = (mmcl__rowset){0};
}

/* Scales rows to unit length; says so, or refuses, where one was off by more than a little. */
static mmcl_status unit_rows(mmcl__adapt *adapt, const mmcl__rowset *set, const char *name)
{
    for (size_t i = 0; i < set->rows; i++) {
        double square = 0;
        for (size_t j = 0; j < set->cols; j++)
            square += (double) set->x[i * set->cols + j] * (double) set->x[i * set->cols + j];
        if (square == 0)
            return mmcl__fail(adapt->context, MMCL_E_NUMERIC, "%s: row %zu is zero and has no direction", name, i);
        if (fabs(sqrt(square) - 1) <= NORM_TOLERANCE)
            continue;
        if (adapt->options->check_norms)
            return mmcl__fail(adapt->context, MMCL_E_INVAL, "%s: row %zu has length %g, expected 1 within %g", name, i, sqrt(square),
                              NORM_TOLERANCE);
        if (!(adapt->info->flags & MMCL_ADAPT_NORMALIZED))
            mmcl__log(adapt->context, MMCL_LOG_INFO, "%s: row %zu has length %g; rows are scaled to unit length", name, i, sqrt(square));
        adapt->info->flags |= MMCL_ADAPT_NORMALIZED;
    }
    mmcl__unit_rows_f32(set->rows, set->cols, set->x, set->x, set->cols);
    return MMCL_OK;
}

/* Copies rows; what was allocated stays with `set`, also on error. */
static mmcl_status take_rows(mmcl__adapt *adapt, const mmcl_labelled *from, const char *name, mmcl__rowset *set)
{
    mmcl_context *context = adapt->context;
    mmcl__place   bad;
    *set        = (mmcl__rowset){.rows = from->features.rows, .cols = adapt->inputs};
    set->x      = mmcl__alloc(context, set->rows * set->cols, sizeof *set->x);
    set->labels = mmcl__alloc(context, set->rows, sizeof *set->labels);
    if (set->x == NULL || set->labels == NULL)
        return MMCL_E_NOMEM;
    for (size_t i = 0; i < set->rows; i++)
        set->labels[i] = (int32_t) from->labels[i];
    mmcl_status status = mmcl__read_f32(&from->features, 0, set->rows, set->x, &bad);
    if (status != MMCL_OK)
        return mmcl__read_failed(context, status, name, SIZE_MAX, &bad);
    return mmcl__head_of(adapt->method)->cosine ? unit_rows(adapt, set, name) : MMCL_OK;
}

static mmcl_status map_rows(const mmcl__adapt *adapt, mmcl__rowset *set, const char *name)
{
    const mmcl_transform *transform = adapt->data->transform;
    mmcl_matrix           view      = {.data = set->x, .rows = set->rows, .cols = set->cols};
    mmcl__place           bad;
    float                *mapped = mmcl__alloc(adapt->context, set->rows * transform->outputs, sizeof *mapped);
    if (mapped == NULL)
        return MMCL_E_NOMEM;
    mmcl_status status = mmcl__transform_apply(transform, &view, mapped, transform->outputs, &bad);
    if (mmcl__head_of(adapt->method)->cosine)
        mmcl__unit_rows_f32(set->rows, transform->outputs, mapped, mapped, transform->outputs);
    mmcl__free(adapt->context, set->x, set->rows * set->cols, sizeof *set->x);
    set->x    = mapped;
    set->cols = transform->outputs;
    return status == MMCL_OK ? MMCL_OK : mmcl__read_failed(adapt->context, status, name, SIZE_MAX, &bad);
}

/* ------------------------------------------------------------------------------------------------------------ text --- */

static mmcl_status unit_class(const mmcl__adapt *adapt, size_t k, double *row)
{
    double length = sqrt(mmcl__dot_f64(adapt->inputs, row, row));
    if (!(length > 0))
        return mmcl__fail(adapt->context, MMCL_E_NUMERIC, "text: the prompts of class %zu cancel out, or there are none", k);
    mmcl__scale_f64(adapt->inputs, 1 / length, row);
    return MMCL_OK;
}

/* text [classes, inputs] = the unit mean of each class's unit prompts. */
static mmcl_status average_prompts(mmcl__adapt *adapt, const mmcl__rowset *prompts)
{
    size_t d = adapt->inputs;
    adapt->text = mmcl__calloc(adapt->context, adapt->classes * d, sizeof *adapt->text);
    if (adapt->text == NULL)
        return MMCL_E_NOMEM;
    for (size_t i = 0; i < prompts->rows; i++)
        for (size_t j = 0; j < d; j++)
            adapt->text[(size_t) prompts->labels[i] * d + j] += (double) prompts->x[i * d + j];
    for (size_t k = 0; k < adapt->classes; k++)
        MMCL__TRY(unit_class(adapt, k, adapt->text + k * d));
    return MMCL_OK;
}

static mmcl_status take_text(mmcl__adapt *adapt)
{
    mmcl__rowset prompts = {0};
    mmcl_status  status  = take_rows(adapt, &adapt->data->text, "text.features", &prompts);
    if (status == MMCL_OK)
        status = average_prompts(adapt, &prompts);
    if (mmcl__head_of(adapt->method)->keeps_prompts)
        adapt->prompts = prompts;
    else
        release_rows(adapt->context, &prompts);
    return status;
}

/* Text in the place of the images: its own mean taken away, that of the unit train rows put there. `rows` [classes, inputs]. */
static void move_text(const mmcl__adapt *adapt, double *mean, float *rows)
{
    size_t d = adapt->inputs, classes = adapt->classes;
    memset(mean, 0, d * sizeof *mean);
    for (size_t i = 0; i < adapt->train.rows; i++)
        for (size_t j = 0; j < d; j++)
            mean[j] += (double) adapt->train.x[i * d + j] / (double) adapt->train.rows;
    for (size_t k = 0; k < classes; k++)
        mmcl__axpy_f64(d, -1 / (double) classes, adapt->text + k * d, mean);
    for (size_t k = 0; k < classes; k++)
        for (size_t j = 0; j < d; j++)
            rows[k * d + j] = (float) (adapt->text[k * d + j] + mean[j]);
}

/* Replaces the text by T(text - its mean + mean of the train rows), at unit length. `train` is not mapped yet. */
static mmcl_status map_text(mmcl__adapt *adapt)
{
    mmcl_context *context = adapt->context;
    size_t        classes = adapt->classes, d = adapt->inputs, k = adapt->data->transform->outputs;
    double       *mean    = mmcl__alloc(context, d, sizeof *mean);
    double       *mapped  = mmcl__alloc(context, classes * k, sizeof *mapped);
    mmcl__rowset  set     = {.rows = classes, .cols = d, .x = mmcl__alloc(context, classes * d, sizeof *set.x)};
    mmcl_status   status  = mean != NULL && mapped != NULL && set.x != NULL ? MMCL_OK : MMCL_E_NOMEM;
    if (status == MMCL_OK) {
        move_text(adapt, mean, set.x);
        for (size_t i = 0; i < adapt->prompts.rows * d; i++)
            adapt->prompts.x[i] = (float) ((double) adapt->prompts.x[i] + mean[i % d]);
        status = map_rows(adapt, &set, "text.features");
        if (status == MMCL_OK && adapt->prompts.rows > 0)
            status = map_rows(adapt, &adapt->prompts, "text.features");
    }
    mmcl__free(context, adapt->text, classes * d, sizeof *adapt->text);
    adapt->text = mapped;
    for (size_t i = 0; i < classes * k && status == MMCL_OK; i++)
        mapped[i] = (double) set.x[i];
    release_rows(context, &set);
    mmcl__free(context, mean, d, sizeof *mean);
    if (status != MMCL_OK) {
        mmcl__free(context, mapped, classes * k, sizeof *mapped);
        adapt->text = NULL;
    }
    return status;
}

/* ------------------------------------------------------------------------------------------------------ the whole fit --- */

static mmcl_status check_classes(const mmcl__adapt *adapt, const mmcl_labelled *rows, const char *name)
{
    uint8_t    *seen   = mmcl__calloc(adapt->context, adapt->classes, sizeof *seen);
    mmcl_status status = MMCL_OK;
    if (seen == NULL)
        return MMCL_E_NOMEM;
    for (size_t i = 0; i < rows->features.rows; i++)
        seen[rows->labels[i]] = 1;
    const uint8_t *missing = memchr(seen, 0, adapt->classes);
    if (missing != NULL)
        status = mmcl__fail(adapt->context, MMCL_E_NUMERIC, "%s: class %zu has no rows", name, (size_t) (missing - seen));
    mmcl__free(adapt->context, seen, adapt->classes, sizeof *seen);
    return status;
}

static mmcl_status check_rows(const mmcl__adapt *adapt, const mmcl__head *head)
{
    const mmcl_adapt_data *data = adapt->data;
    bool                   map  = head->mapped && data->transform != NULL;
    if (head->needs_text && data->text.features.rows == 0)
        return mmcl__fail(adapt->context, MMCL_E_INVAL, "text: no rows, expected one or more a class (%s starts from them)",
                          mmcl_method_name(adapt->method));
    if (data->train.features.rows == 0 && (head->needs_shots || map))
        return mmcl__fail(adapt->context, MMCL_E_INVAL, "train: no rows, expected one or more a class");
    if (head->needs_shots)
        MMCL__TRY(check_classes(adapt, &data->train, "train"));
    return data->text.features.rows > 0 ? check_classes(adapt, &data->text, "text") : MMCL_OK;
}

/* Whether the head looks at text where there is some. */
static bool sees_text(const mmcl__adapt *adapt, const mmcl__head *head)
{
    return head->cosine && adapt->data->text.features.rows > 0;
}

static mmcl_status open(mmcl__adapt *adapt, const mmcl__head *head)
{
    const mmcl_adapt_data *data = adapt->data;
    MMCL__TRY(check_rows(adapt, head));
    if (data->train.features.rows > 0)
        MMCL__TRY(take_rows(adapt, &data->train, "train.features", &adapt->train));
    if (data->val.features.rows > 0)
        MMCL__TRY(take_rows(adapt, &data->val, "val.features", &adapt->val));
    if (sees_text(adapt, head))
        MMCL__TRY(take_text(adapt));
    if (!head->mapped || data->transform == NULL)
        return MMCL_OK;
    if (adapt->text != NULL)
        MMCL__TRY(map_text(adapt));
    adapt->cols = data->transform->outputs;
    MMCL__TRY(map_rows(adapt, &adapt->train, "train.features"));
    return adapt->val.rows > 0 ? map_rows(adapt, &adapt->val, "val.features") : MMCL_OK;
}

static void release(mmcl__adapt *adapt)
{
    release_rows(adapt->context, &adapt->train);
    release_rows(adapt->context, &adapt->val);
    release_rows(adapt->context, &adapt->prompts);
    mmcl__free(adapt->context, adapt->text, adapt->classes * adapt->cols, sizeof *adapt->text);
}

static mmcl_status measure(const mmcl__adapt *adapt, const mmcl_classifier *classifier)
{
    const mmcl_labelled *val      = &adapt->data->val;
    mmcl__features       features = mmcl__features_of(&val->features);
    if (val->features.rows == 0)
        return MMCL_OK;
    return mmcl__accuracy(adapt->context, classifier, &features, val->labels, NULL, "val.features", &adapt->info->val_accuracy);
}

static mmcl_status fit(mmcl__adapt *adapt, const mmcl__head *head, mmcl_classifier **out)
{
    MMCL__TRY(open(adapt, head));
    MMCL__TRY(mmcl__check_cancel(adapt->context));
    MMCL__TRY(head->fit(adapt, out));
    return measure(adapt, *out);
}

static mmcl_adapt_info no_info(void)
{
    const double none = (double) NAN;
    return (mmcl_adapt_info){.struct_size = sizeof(mmcl_adapt_info), .c = none, .alpha = none, .beta = none, .gamma = none, .eta = none,
                             .ratio = none, .objective = none, .gap = none, .learning_rate = none, .weight_decay = none,
                             .val_accuracy = none, .stop = MMCL_STOP_CLOSED_FORM};
}

mmcl_status mmcl__adapt_fit(mmcl_classifier **out, mmcl_context *context, mmcl_method method, const mmcl_adapt_data *data,
                            const mmcl_adapt_options *options, mmcl_adapt_info *info)
{
    const mmcl__head *head       = mmcl__head_of(method);
    mmcl_classifier  *classifier = NULL;
    mmcl__operation   operation;
    mmcl__adapt       adapt = {.context = context, .method = method, .data = data, .options = options, .info = info,
                               .classes = data->classes};
    if (head->fit == NULL)
        return mmcl__fail(context, MMCL_E_UNSUPPORTED, "method: '%s' is not in this version", mmcl_method_name(method));
    *info        = no_info();
    adapt.inputs = adapt.cols = data->train.features.rows > 0 ? data->train.features.cols : data->text.features.cols;
    double began = mmcl__seconds();
    mmcl__begin(&operation, context, mmcl_method_name(method), 0);
    mmcl_status status = fit(&adapt, head, &classifier);
    release(&adapt);
    info->seconds = mmcl__seconds() - began;
    if (status == MMCL_OK)
        *out = classifier;
    else
        mmcl__classifier_destroy(classifier);
    return mmcl__end(&operation, status);
}

mmcl_status mmcl__adapt_linear(const mmcl__adapt *adapt, const double *weights, const double *intercepts, mmcl_classifier **out)
{
    const mmcl__head *head = mmcl__head_of(adapt->method);
    mmcl_classifier  *made;
    MMCL__TRY(mmcl__classifier_create(&made, adapt->context, adapt->classes, adapt->cols, weights, intercepts));
    made->unit_rows    = head->cosine;
    mmcl_status status = MMCL_OK;
    if (head->mapped && adapt->data->transform != NULL)
        status = mmcl__classifier_set_map(made, adapt->data->transform, head->cosine);
    if (status == MMCL_OK)
        *out = made;
    else
        mmcl__classifier_destroy(made);
    return status;
}

mmcl_status mmcl__adapt_judge(const mmcl__adapt *adapt, const double *weights, const double *intercepts, double *accuracy)
{
    const mmcl_matrix rows     = {.data = adapt->val.x, .rows = adapt->val.rows, .cols = adapt->val.cols};
    mmcl__features    features = mmcl__features_of(&rows);
    mmcl_classifier  *judged;
    MMCL__TRY(mmcl__classifier_create(&judged, adapt->context, adapt->classes, adapt->cols, weights, intercepts));
    mmcl_status status = mmcl__accuracy(adapt->context, judged, &features, adapt->data->val.labels, NULL, "val.features", accuracy);
    mmcl__classifier_destroy(judged);
    return status;
}
