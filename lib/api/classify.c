/* Edge of classify.h: validate, import options, call, map. */
#include "api/labelled.h"
#include "classify/classify.h"
#include "classify/logreg.h"
#include "classify/pipeline.h"
#include "classify/protocol.h"
#include "classify/shots.h"
#include "transform/transform.h"

#include <math.h>
#include <string.h>

/* ------------------------------------------------------------------------------------------------------- arguments --- */

mmcl_status mmcl__check_labelled(mmcl_context *context, const mmcl_labelled *rows, const char *name, const char *features_name)
{
    if (rows == NULL)
        return mmcl__fail(context, MMCL_E_INVAL, "%s: NULL", name);
    MMCL__TRY(mmcl__matrix_check(context, &rows->features, features_name));
    if (rows->features.rows == 0)
        return mmcl__fail(context, MMCL_E_INVAL, "%s: no rows", name);
    if (rows->labels == NULL)
        return mmcl__fail(context, MMCL_E_INVAL, "%s.labels: NULL", name);
    return MMCL_OK;
}

mmcl_status mmcl__check_width(mmcl_context *context, const mmcl_matrix *matrix, size_t cols, const char *name)
{
    if (matrix->cols != cols)
        return mmcl__fail(context, MMCL_E_INVAL, "%s: %zu columns, expected %zu", name, matrix->cols, cols);
    return MMCL_OK;
}

mmcl_status mmcl__check_classes(mmcl_context *context, size_t classes)
{
    if (classes < 2 || classes > MMCL__MAX_CLASSES)
        return mmcl__fail(context, MMCL_E_INVAL, "classes: %zu, expected 2 to %zu", classes, MMCL__MAX_CLASSES);
    return MMCL_OK;
}

mmcl_status mmcl__check_shots(mmcl_context *context, uint64_t shots)
{
    if (shots == 0 || shots > SIZE_MAX / 2)
        return mmcl__fail(context, MMCL_E_INVAL, "shots: %llu, expected at least 1", (unsigned long long) shots);
    return MMCL_OK;
}

mmcl_status mmcl__check_seed(mmcl_context *context, uint64_t seed)
{
    if (seed > UINT32_MAX)
        return mmcl__fail(context, MMCL_E_INVAL, "seed: %llu, expected less than 2^32", (unsigned long long) seed);
    return MMCL_OK;
}

mmcl_status mmcl__check_protocol(mmcl_context *context, mmcl_protocol protocol)
{
    if (protocol != MMCL_PROTOCOL_STRICT && protocol != MMCL_PROTOCOL_PAPER)
        return mmcl__fail(context, MMCL_E_INVAL, "protocol: %d is unknown", (int) protocol);
    return MMCL_OK;
}

static mmcl_status check_linear(mmcl_context *context, const mmcl_classifier *classifier, const char *name)
{
    if (!mmcl__classifier_is_linear(classifier))
        return mmcl__fail(context, MMCL_E_UNSUPPORTED, "%s: a head with other parts than weights, expected a linear one", name);
    return MMCL_OK;
}

mmcl_status mmcl__check_solver(mmcl_context *context, double tolerance, mmcl_precision precision)
{
    if (!mmcl__positive(tolerance))
        return mmcl__fail(context, MMCL_E_INVAL, "tolerance: %g, expected a positive number", tolerance);
    if (precision != MMCL_PRECISION_F32 && precision != MMCL_PRECISION_F64)
        return mmcl__fail(context, MMCL_E_INVAL, "precision: %d is unknown", (int) precision);
    return MMCL_OK;
}

/* --------------------------------------------------------------------------------------------- logistic regression --- */

mmcl_status mmcl_logreg_fit(mmcl_classifier **out, mmcl_context *context, const mmcl_labelled *train, size_t classes,
                            const mmcl_logreg_options *options, const mmcl_classifier *start, mmcl_logreg_info *info)
{
    if (out == NULL || context == NULL)
        return MMCL_E_INVAL;
    *out = NULL;
    mmcl_logreg_options ours;
    mmcl_logreg_info    result = {.struct_size = sizeof result};
    MMCL__TRY(mmcl__import(context, &ours, sizeof ours, MMCL__V1(mmcl_logreg_options, precision), options, "mmcl_logreg_options"));
    MMCL__CHECK_INFO(context, info, mmcl_logreg_info, reserved);
    ours.c              = mmcl__or_default(ours.c, 1);
    ours.tolerance      = mmcl__or_default(ours.tolerance, MMCL__DEFAULT_TOLERANCE);
    ours.max_iterations = ours.max_iterations != 0 ? ours.max_iterations : MMCL__DEFAULT_ITERATIONS;
    if (!mmcl__positive(ours.c))
        return mmcl__fail(context, MMCL_E_INVAL, "c: %g, expected a positive number", ours.c);
    if (ours.no_intercept > 1)
        return mmcl__fail(context, MMCL_E_INVAL, "no_intercept: %u, expected 0 or 1", ours.no_intercept);
    MMCL__TRY(mmcl__check_solver(context, ours.tolerance, ours.precision));
    MMCL__TRY(mmcl__check_classes(context, classes));
    MMCL__TRY(mmcl__check_labelled(context, train, "train", "train.features"));
    if (start != NULL)
        MMCL__TRY(check_linear(context, start, "start"));
    MMCL__TRY(mmcl__logreg_fit(out, context, train, classes, &ours, start, &result));
    return info != NULL ? mmcl__export(context, info, &result, sizeof result, MMCL__V1(mmcl_logreg_info, reserved), "mmcl_logreg_info")
                        : MMCL_OK;
}

mmcl_status mmcl_logreg_objective(const mmcl_classifier *classifier, const mmcl_labelled *train, double c, double *objective)
{
    if (classifier == NULL || objective == NULL)
        return MMCL_E_INVAL;
    mmcl_context *context = classifier->context;
    if (!mmcl__positive(c))
        return mmcl__fail(context, MMCL_E_INVAL, "c: %g, expected a positive number", c);
    MMCL__TRY(check_linear(context, classifier, "classifier"));
    MMCL__TRY(mmcl__check_labelled(context, train, "train", "train.features"));
    MMCL__TRY(mmcl__check_width(context, &train->features, classifier->inputs, "train.features"));
    return mmcl__logreg_objective(classifier, train, c, objective);
}

#define MAX_FITS 65536 /* bounds what a grid and its steps may ask for */

static mmcl_status resolve_search(mmcl_context *context, mmcl_search_options *ours, const mmcl_search_options *theirs)
{
    MMCL__TRY(mmcl__import(context, ours, sizeof *ours, MMCL__V1(mmcl_search_options, reserved), theirs, "mmcl_search_options"));
    if ((ours->grid == NULL) != (ours->grid_count == 0))
        return mmcl__fail(context, MMCL_E_INVAL, "grid: give both grid and grid_count, or neither");
    if (ours->grid == NULL) {
        ours->grid       = mmcl__coop_grid;
        ours->grid_count = MMCL__COOP_GRID;
    }
    ours->steps          = ours->steps != 0 ? ours->steps : MMCL__COOP_STEPS;
    ours->tolerance      = mmcl__or_default(ours->tolerance, MMCL__DEFAULT_TOLERANCE);
    ours->max_iterations = ours->max_iterations != 0 ? ours->max_iterations : MMCL__DEFAULT_ITERATIONS;
    if (ours->grid_count > MAX_FITS || ours->steps > MAX_FITS)
        return mmcl__fail(context, MMCL_E_INVAL, "grid_count and steps: more than %d", MAX_FITS);
    for (size_t i = 0; i < ours->grid_count; i++)
        if (!mmcl__positive(ours->grid[i]) || !mmcl__positive(ours->grid[i] * 10))
            return mmcl__fail(context, MMCL_E_INVAL, "grid[%zu]: %g, expected a positive number", i, ours->grid[i]);
    if (ours->reserved != 0)
        return mmcl__fail(context, MMCL_E_ABI, "mmcl_search_options: reserved is set");
    return mmcl__check_solver(context, ours->tolerance, ours->precision);
}

mmcl_status mmcl_logreg_search(mmcl_classifier **out, mmcl_context *context, const mmcl_labelled *train, const mmcl_labelled *val,
                               size_t classes, const mmcl_search_options *options, mmcl_search_info *info)
{
    if (out == NULL || context == NULL)
        return MMCL_E_INVAL;
    *out = NULL;
    mmcl_search_options ours;
    mmcl_search_info    result = {.struct_size = sizeof result};
    MMCL__TRY(resolve_search(context, &ours, options));
    MMCL__CHECK_INFO(context, info, mmcl_search_info, seconds);
    MMCL__TRY(mmcl__check_classes(context, classes));
    MMCL__TRY(mmcl__check_labelled(context, train, "train", "train.features"));
    MMCL__TRY(mmcl__check_labelled(context, val, "val", "val.features"));
    MMCL__TRY(mmcl__check_width(context, &val->features, train->features.cols, "val.features"));
    MMCL__TRY(mmcl__logreg_search(out, context, train, val, classes, &ours, &result));
    return info != NULL ? mmcl__export(context, info, &result, sizeof result, MMCL__V1(mmcl_search_info, seconds), "mmcl_search_info")
                        : MMCL_OK;
}

/* ----------------------------------------------------------------------------------------------------- classifiers --- */

static mmcl_status check_finite(mmcl_context *context, const double *values, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(values[i]) || !isfinite((float) values[i]))
            return mmcl__fail(context, MMCL_E_NUMERIC, "%s[%zu] is %g, expected a finite float32", name, i, values[i]);
    return MMCL_OK;
}

mmcl_status mmcl_classifier_create_linear(mmcl_classifier **out, mmcl_context *context, size_t classes, size_t inputs,
                                          const double *weights, const double *intercepts)
{
    if (out == NULL || context == NULL)
        return MMCL_E_INVAL;
    *out = NULL;
    if (classes == 0 || classes > MMCL__MAX_CLASSES || inputs == 0 || inputs > MMCL_MAX_COLUMNS)
        return mmcl__fail(context, MMCL_E_INVAL, "%zu classes of %zu inputs, expected 1 to %zu of 1 to %d", classes, inputs,
                          MMCL__MAX_CLASSES, MMCL_MAX_COLUMNS);
    if (weights == NULL)
        return mmcl__fail(context, MMCL_E_INVAL, "weights: NULL");
    MMCL__TRY(check_finite(context, weights, classes * inputs, "weights"));
    if (intercepts != NULL)
        MMCL__TRY(check_finite(context, intercepts, classes, "intercepts"));
    return mmcl__classifier_create(out, context, classes, inputs, weights, intercepts);
}

void mmcl_classifier_destroy(mmcl_classifier *classifier)
{
    mmcl__classifier_destroy(classifier);
}

mmcl_status mmcl_classifier_shape(const mmcl_classifier *classifier, size_t *inputs, size_t *classes)
{
    if (classifier == NULL)
        return MMCL_E_INVAL;
    if (inputs != NULL)
        *inputs = classifier->inputs;
    if (classes != NULL)
        *classes = classifier->classes;
    return MMCL_OK;
}

mmcl_status mmcl_classifier_weights(const mmcl_classifier *classifier, double *weights, double *intercepts)
{
    if (classifier == NULL)
        return MMCL_E_INVAL;
    if (!mmcl__classifier_is_linear(classifier))
        return MMCL_E_UNSUPPORTED;
    if (weights != NULL)
        memcpy(weights, classifier->weights, classifier->classes * classifier->inputs * sizeof *weights);
    if (intercepts != NULL)
        memcpy(intercepts, classifier->intercepts, classifier->classes * sizeof *intercepts);
    return MMCL_OK;
}

static bool fits(const mmcl_matrix *rows, size_t cols)
{
    return mmcl__matrix_check(NULL, rows, "rows") == MMCL_OK && rows->cols == cols;
}

static bool mask_is_empty(const uint8_t *mask, size_t classes)
{
    return mask != NULL && memchr(mask, 1, classes) == NULL;
}

mmcl_status mmcl_classifier_scores(const mmcl_classifier *classifier, const mmcl_matrix *rows, float *out, size_t out_stride)
{
    if (classifier == NULL || out == NULL || !fits(rows, classifier->inputs) ||
        (out_stride != 0 && out_stride < classifier->classes))
        return MMCL_E_INVAL;
    mmcl__wanted   wanted   = {.scores = out, .stride = out_stride != 0 ? out_stride : classifier->classes};
    mmcl__features features = mmcl__features_of(rows);
    return mmcl__classify(classifier, &features, &wanted);
}

mmcl_status mmcl_classifier_predict(const mmcl_classifier *classifier, const mmcl_matrix *rows, const uint8_t *mask, int64_t *out)
{
    if (classifier == NULL || out == NULL || !fits(rows, classifier->inputs) || mask_is_empty(mask, classifier->classes))
        return MMCL_E_INVAL;
    mmcl__wanted   wanted   = {.mask = mask, .classes = out};
    mmcl__features features = mmcl__features_of(rows);
    return mmcl__classify(classifier, &features, &wanted);
}

static bool labels_in_range(const mmcl_labelled *rows, size_t classes)
{
    for (size_t i = 0; i < rows->features.rows; i++)
        if (rows->labels[i] < 0 || (uint64_t) rows->labels[i] >= classes)
            return false;
    return true;
}

mmcl_status mmcl_classifier_accuracy(const mmcl_classifier *classifier, const mmcl_labelled *test, const uint8_t *mask,
                                     double *accuracy)
{
    if (classifier == NULL || test == NULL || accuracy == NULL || !fits(&test->features, classifier->inputs) ||
        test->features.rows == 0 || test->labels == NULL || !labels_in_range(test, classifier->classes) ||
        mask_is_empty(mask, classifier->classes))
        return MMCL_E_INVAL;
    mmcl__wanted   wanted   = {.mask = mask, .labels = test->labels};
    mmcl__features features = mmcl__features_of(&test->features);
    MMCL__TRY(mmcl__classify(classifier, &features, &wanted));
    *accuracy = (double) wanted.correct / (double) test->features.rows;
    return MMCL_OK;
}

static mmcl_status resolve_evaluate(mmcl_context *context, mmcl_evaluate_options *ours, const mmcl_evaluate_options *theirs)
{
    MMCL__TRY(mmcl__import(context, ours, sizeof *ours, MMCL__V1(mmcl_evaluate_options, seed), theirs, "mmcl_evaluate_options"));
    if (!(ours->confidence >= 0 && ours->confidence < 1))
        return mmcl__fail(context, MMCL_E_INVAL, "confidence: %g, expected 0 to below 1", ours->confidence);
    if (ours->temperature != 0 && !mmcl__positive(ours->temperature))
        return mmcl__fail(context, MMCL_E_INVAL, "temperature: %g, expected a positive number, or 0 for 1", ours->temperature);
    if (ours->bins > 65536)
        return mmcl__fail(context, MMCL_E_INVAL, "bins: %u, expected at most 65536", ours->bins);
    ours->confidence  = mmcl__or_default(ours->confidence, 0.95);
    ours->temperature = mmcl__or_default(ours->temperature, 1);
    ours->bins        = ours->bins != 0 ? ours->bins : 15;
    return MMCL_OK;
}

mmcl_status mmcl_classifier_evaluate(const mmcl_classifier *classifier, const mmcl_labelled *test, const uint8_t *mask,
                                     const mmcl_evaluate_options *options, mmcl_evaluation *out)
{
    if (classifier == NULL)
        return MMCL_E_INVAL;
    mmcl_context         *context = classifier->context;
    mmcl_evaluate_options ours;
    mmcl_evaluation       found = {.struct_size = sizeof found};
    MMCL__TRY(resolve_evaluate(context, &ours, options));
    if (out == NULL)
        return mmcl__fail(context, MMCL_E_INVAL, "out: NULL");
    MMCL__CHECK_INFO(context, out, mmcl_evaluation, calibration_high);
    MMCL__TRY(mmcl__check_labelled(context, test, "test", "test.features"));
    MMCL__TRY(mmcl__check_width(context, &test->features, classifier->inputs, "test.features"));
    MMCL__TRY(mmcl__labels_check(context, test, classifier->classes, "test"));
    if (mask_is_empty(mask, classifier->classes))
        return mmcl__fail(context, MMCL_E_INVAL, "mask: it holds no class");
    MMCL__TRY(mmcl__evaluate(classifier, test, mask, &ours, &found));
    return mmcl__export(context, out, &found, sizeof found, MMCL__V1(mmcl_evaluation, calibration_high), "mmcl_evaluation");
}

/* ----------------------------------------------------------------------------------------------------------- shots --- */

mmcl_status mmcl_shot_sampler_create(mmcl_shot_sampler **out, mmcl_context *context, uint64_t seed)
{
    if (out == NULL || context == NULL)
        return MMCL_E_INVAL;
    *out = NULL;
    MMCL__TRY(mmcl__check_seed(context, seed));
    mmcl_shot_sampler *sampler = mmcl__calloc(context, 1, sizeof *sampler);
    if (sampler == NULL)
        return MMCL_E_NOMEM;
    sampler->context = context;
    mmcl__numpy_seed(&sampler->rng, (uint32_t) seed);
    *out = sampler;
    return MMCL_OK;
}

void mmcl_shot_sampler_destroy(mmcl_shot_sampler *sampler)
{
    if (sampler != NULL)
        mmcl__free(sampler->context, sampler, 1, sizeof *sampler);
}

mmcl_status mmcl_shot_sampler_draw(mmcl_shot_sampler *sampler, const int64_t *labels, size_t count, size_t classes, size_t shots,
                                   int64_t *out)
{
    if (sampler == NULL)
        return MMCL_E_INVAL;
    mmcl_context *context = sampler->context;
    size_t        drawn;
    if (labels == NULL || out == NULL)
        return mmcl__fail(context, MMCL_E_INVAL, "%s: NULL", labels == NULL ? "labels" : "out");
    if (classes == 0 || classes > MMCL__MAX_CLASSES || shots == 0 || count > UINT32_MAX)
        return mmcl__fail(context, MMCL_E_INVAL, "%zu classes, %zu shots of %zu rows, expected 1 to %zu, at least 1, below 2^32",
                          classes, shots, count, MMCL__MAX_CLASSES);
    mmcl_labelled rows = {.features = {.rows = count}, .labels = labels};
    MMCL__TRY(mmcl__labels_check(context, &rows, classes, "rows"));
    return mmcl__shots_draw(sampler, labels, count, classes, shots, false, "labels", out, &drawn);
}

/* -------------------------------------------------------------------------------------------------------- protocol --- */

static mmcl_status check_domain(mmcl_context *context, const mmcl_domain *domain, size_t cols, size_t classes)
{
    const char *name = domain->name != NULL ? domain->name : "domain";
    MMCL__TRY(mmcl__check_labelled(context, &domain->rows, name, name));
    MMCL__TRY(mmcl__check_width(context, &domain->rows.features, cols, name));
    if (mask_is_empty(domain->mask, classes))
        return mmcl__fail(context, MMCL_E_INVAL, "%s: the mask holds no class", name);
    return mmcl__labels_check(context, &domain->rows, classes, name);
}

static mmcl_status check_pool(mmcl_context *context, const mmcl_fewshot_data *data)
{
    if ((data->pool == NULL) != (data->pool_parts == 0))
        return mmcl__fail(context, MMCL_E_INVAL, "pool: give both pool and pool_parts, or neither");
    for (size_t i = 0; i < data->pool_parts; i++) {
        MMCL__TRY(mmcl__matrix_check(context, &data->pool[i], "pool"));
        MMCL__TRY(mmcl__check_width(context, &data->pool[i], data->train.features.cols, "pool"));
    }
    return MMCL_OK;
}

mmcl_status mmcl__check_fewshot(mmcl_context *context, const mmcl_fewshot_data *data)
{
    size_t cols = data->train.features.cols;
    MMCL__TRY(mmcl__check_classes(context, data->classes));
    MMCL__TRY(mmcl__check_labelled(context, &data->train, "train", "train.features"));
    MMCL__TRY(mmcl__check_labelled(context, &data->val, "val", "val.features"));
    MMCL__TRY(mmcl__check_width(context, &data->val.features, cols, "val.features"));
    MMCL__TRY(mmcl__labels_check(context, &data->train, data->classes, "train"));
    MMCL__TRY(mmcl__labels_check(context, &data->val, data->classes, "val"));
    if (data->test.features.rows > 0) {
        MMCL__TRY(mmcl__check_labelled(context, &data->test, "test", "test.features"));
        MMCL__TRY(mmcl__check_width(context, &data->test.features, cols, "test.features"));
        MMCL__TRY(mmcl__labels_check(context, &data->test, data->classes, "test"));
    }
    if (data->text.features.rows > 0) {
        MMCL__TRY(mmcl__check_labelled(context, &data->text, "text", "text.features"));
        MMCL__TRY(mmcl__check_width(context, &data->text.features, cols, "text.features"));
        MMCL__TRY(mmcl__labels_check(context, &data->text, data->classes, "text"));
    }
    if (data->domain_count > 0 && data->domains == NULL)
        return mmcl__fail(context, MMCL_E_INVAL, "domains: NULL");
    for (size_t i = 0; i < data->domain_count; i++)
        MMCL__TRY(check_domain(context, &data->domains[i], cols, data->classes));
    if (data->fixed > 1)
        return mmcl__fail(context, MMCL_E_INVAL, "fixed: %llu, expected 0 or 1", (unsigned long long) data->fixed);
    return check_pool(context, data);
}

static mmcl_status resolve_probe(mmcl_context *context, mmcl_probe_options *ours, mmcl_search_options *search,
                                 const mmcl_probe_options *theirs)
{
    MMCL__TRY(mmcl__import(context, ours, sizeof *ours, MMCL__V1(mmcl_probe_options, reserved), theirs, "mmcl_probe_options"));
    MMCL__TRY(resolve_search(context, search, ours->search));
    ours->search = search;
    MMCL__TRY(mmcl__check_shots(context, ours->shots));
    MMCL__TRY(mmcl__check_protocol(context, ours->protocol));
    if (ours->reserved != 0)
        return mmcl__fail(context, MMCL_E_ABI, "mmcl_probe_options: reserved is set");
    return mmcl__check_seed(context, ours->seed);
}

mmcl_status mmcl_probe_run(mmcl_classifier **out, mmcl_context *context, const mmcl_fewshot_data *data, mmcl_transform *transform,
                           const mmcl_probe_options *options, mmcl_probe_result *result, double *domain_accuracy)
{
    if (out != NULL)
        *out = NULL;
    if (context == NULL)
        return MMCL_E_INVAL;
    if (data == NULL || transform == NULL || options == NULL)
        return mmcl__fail(context, MMCL_E_INVAL, "%s: NULL", data == NULL ? "data" : transform == NULL ? "transform" : "options");
    mmcl_fewshot_data   ours;
    mmcl_probe_options  resolved;
    mmcl_search_options search;
    mmcl_probe_result   found = {.struct_size = sizeof found};
    MMCL__TRY(mmcl__import(context, &ours, sizeof ours, MMCL__V1(mmcl_fewshot_data, fixed), data, "mmcl_fewshot_data"));
    MMCL__TRY(resolve_probe(context, &resolved, &search, options));
    MMCL__CHECK_INFO(context, result, mmcl_probe_result, seconds);
    MMCL__TRY(mmcl__check_fewshot(context, &ours));
    MMCL__TRY(mmcl__probe_run(out, context, &ours, transform, &resolved, &found, domain_accuracy));
    return result != NULL
               ? mmcl__export(context, result, &found, sizeof found, MMCL__V1(mmcl_probe_result, seconds), "mmcl_probe_result")
               : MMCL_OK;
}

/* ------------------------------------------------------------------------------------------------------- pipelines --- */

mmcl_status mmcl_pipeline_create(mmcl_pipeline **out, mmcl_context *context, const mmcl_transform *transform,
                                 const mmcl_classifier *classifier, const char *const *class_names)
{
    if (out == NULL || context == NULL)
        return MMCL_E_INVAL;
    *out = NULL;
    if (classifier == NULL)
        return mmcl__fail(context, MMCL_E_INVAL, "classifier: NULL");
    if (transform != NULL && !transform->fitted)
        return mmcl__fail(context, MMCL_E_STATE, "transform: not fitted");
    if (transform != NULL && transform->outputs != classifier->inputs)
        return mmcl__fail(context, MMCL_E_INVAL, "classifier: %zu inputs, expected the transform's %zu outputs", classifier->inputs,
                          transform->outputs);
    for (size_t k = 0; class_names != NULL && k < classifier->classes; k++)
        if (class_names[k] == NULL)
            return mmcl__fail(context, MMCL_E_INVAL, "class_names[%zu]: NULL", k);
    return mmcl__pipeline_create(out, context, transform, classifier, class_names);
}

void mmcl_pipeline_destroy(mmcl_pipeline *pipeline)
{
    mmcl__pipeline_destroy(pipeline);
}

const mmcl_transform *mmcl_pipeline_transform(const mmcl_pipeline *pipeline)
{
    return pipeline != NULL ? pipeline->transform : NULL;
}

const mmcl_classifier *mmcl_pipeline_classifier(const mmcl_pipeline *pipeline)
{
    return pipeline != NULL ? pipeline->classifier : NULL;
}

const char *mmcl_pipeline_class_name(const mmcl_pipeline *pipeline, size_t index)
{
    return pipeline != NULL && pipeline->names != NULL && index < pipeline->classifier->classes ? pipeline->names[index] : NULL;
}

mmcl_status mmcl_pipeline_predict(const mmcl_pipeline *pipeline, const mmcl_matrix *rows, int64_t *classes, float *scores)
{
    if (pipeline == NULL ||
        !fits(rows, pipeline->transform != NULL ? pipeline->transform->inputs : pipeline->classifier->inputs))
        return MMCL_E_INVAL;
    mmcl__wanted   wanted   = {.classes = classes, .scores = scores, .stride = pipeline->classifier->classes};
    mmcl__features features = mmcl__features_through(pipeline->transform, rows);
    return mmcl__classify(pipeline->classifier, &features, &wanted);
}
