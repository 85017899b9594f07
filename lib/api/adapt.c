/* Edge of adapt.h: validate, import options, call, map. */
#include "classify/adapt.h"

#include "api/labelled.h"
#include "classify/cache.h"
#include "classify/classify.h"
#include "classify/logreg.h"
#include "classify/online.h"
#include "classify/protocol.h"
#include "transform/transform.h"

#include <string.h>

static const char *const names[] = {
    [MMCL_METHOD_ZEROSHOT] = "zeroshot", [MMCL_METHOD_NCM] = "ncm",
    [MMCL_METHOD_PROBE] = "probe",       [MMCL_METHOD_PROBE_L1] = "probe-l1",
    [MMCL_METHOD_PROBE_EN] = "probe-en", [MMCL_METHOD_PROBE_ARD] = "probe-ard",
    [MMCL_METHOD_PROBE_ZS] = "probe-zs", [MMCL_METHOD_CLAP] = "clap",
    [MMCL_METHOD_LPP] = "lpp",           [MMCL_METHOD_TIP] = "tip",
    [MMCL_METHOD_TIP_F] = "tip-f",       [MMCL_METHOD_APE] = "ape",
    [MMCL_METHOD_APE_T] = "ape-t",       [MMCL_METHOD_CLIP_ADAPTER] = "clip-adapter",
    [MMCL_METHOD_TASKRES] = "taskres",   [MMCL_METHOD_CCA] = "cca",
    [MMCL_METHOD_CCA_FT] = "cca-ft",     [MMCL_METHOD_CROSSMODAL] = "crossmodal",
    [MMCL_METHOD_WISE_FT] = "wise-ft",   [MMCL_METHOD_KERNEL_RIDGE] = "kernel-ridge",
};
enum { METHODS = sizeof names / sizeof *names }; /* 0 is none */

const char *mmcl_method_name(mmcl_method method)
{
    return method > 0 && method < METHODS ? names[method] : NULL;
}

mmcl_status mmcl_method_parse(mmcl_method *out, const char *name)
{
    if (out == NULL)
        return MMCL_E_INVAL;
    *out = 0;
    for (mmcl_method method = 1; name != NULL && method < METHODS; method++)
        if (strcmp(name, names[method]) == 0)
            *out = method;
    return *out != 0 ? MMCL_OK : MMCL_E_INVAL;
}

uint32_t mmcl_method_needs_text(mmcl_method method)
{
    const mmcl__head *head = mmcl__head_of(method);
    return head != NULL && head->needs_text;
}

/* ---------------------------------------------------------------------------------------------------------- fitting --- */

/* Rows that may be absent. */
static mmcl_status check_set(mmcl_context *context, const mmcl_labelled *rows, size_t classes, size_t cols, const char *name,
                             const char *features_name)
{
    if (rows->features.rows == 0)
        return MMCL_OK;
    MMCL__TRY(mmcl__check_labelled(context, rows, name, features_name));
    MMCL__TRY(mmcl__check_width(context, &rows->features, cols, features_name));
    return mmcl__labels_check(context, rows, classes, name);
}

static mmcl_status check_data(mmcl_context *context, const mmcl_adapt_data *data)
{
    const mmcl_transform *transform = data->transform;
    size_t                cols = data->train.features.rows > 0 ? data->train.features.cols : data->text.features.cols;
    MMCL__TRY(mmcl__check_classes(context, data->classes));
    MMCL__TRY(check_set(context, &data->train, data->classes, cols, "train", "train.features"));
    MMCL__TRY(check_set(context, &data->val, data->classes, cols, "val", "val.features"));
    MMCL__TRY(check_set(context, &data->text, data->classes, cols, "text", "text.features"));
    if (transform != NULL && !transform->fitted)
        return mmcl__fail(context, MMCL_E_STATE, "transform: not fitted");
    if (transform != NULL && transform->inputs != cols)
        return mmcl__fail(context, MMCL_E_INVAL, "transform: %zu columns in, expected %zu as the rows have", transform->inputs, cols);
    return MMCL_OK;
}

/* A number that may be 0, for which a default or a search stands. */
static mmcl_status check_number(mmcl_context *context, double value, const char *name)
{
    if (!isfinite(value) || value < 0)
        return mmcl__fail(context, MMCL_E_INVAL, "%s: %g, expected a positive number, or 0 for the default", name, value);
    return MMCL_OK;
}

static mmcl_status check_numbers(mmcl_context *context, const mmcl_adapt_options *ours)
{
    const struct {
        const char *name;
        double      value;
    } numbers[] = {
        {"learning_rate", ours->learning_rate}, {"weight_decay", ours->weight_decay}, {"logit_scale", ours->logit_scale},
        {"c", ours->c},                         {"alpha", ours->alpha},               {"beta", ours->beta},
        {"gamma", ours->gamma},                 {"eta", ours->eta},                   {"ratio", ours->ratio},
        {"alpha_start", ours->alpha_start},     {"gamma_start", ours->gamma_start},   {"eta_start", ours->eta_start},
        {"alpha_range", ours->alpha_range},     {"beta_range", ours->beta_range},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        MMCL__TRY(check_number(context, numbers[i].value, numbers[i].name));
    if (ours->ratio > 1)
        return mmcl__fail(context, MMCL_E_INVAL, "ratio: %g, expected at most 1", ours->ratio);
    return MMCL_OK;
}

static mmcl_status resolve(mmcl_context *context, mmcl_adapt_options *ours, const mmcl_adapt_options *theirs)
{
    MMCL__TRY(mmcl__import(context, ours, sizeof *ours, MMCL__V1(mmcl_adapt_options, reserved), theirs, "mmcl_adapt_options"));
    MMCL__TRY(check_numbers(context, ours));
    MMCL__TRY(mmcl__check_seed(context, ours->seed));
    MMCL__TRY(mmcl__check_protocol(context, ours->protocol));
    if (ours->clap > MMCL_CLAP_ADAPTIVE)
        return mmcl__fail(context, MMCL_E_INVAL, "clap: %u is unknown", ours->clap);
    if (ours->check_norms > 1)
        return mmcl__fail(context, MMCL_E_INVAL, "check_norms: %u, expected 0 or 1", ours->check_norms);
    if (ours->narrow_keys > MMCL_KEYS_INT8)
        return mmcl__fail(context, MMCL_E_INVAL, "narrow_keys: %u, expected one of MMCL_KEYS_*, 0 to 2", ours->narrow_keys);
    if (ours->reserved != 0)
        return mmcl__fail(context, MMCL_E_ABI, "mmcl_adapt_options: reserved is set");
    ours->logit_scale    = mmcl__or_default(ours->logit_scale, 100);
    ours->max_iterations = ours->max_iterations != 0 ? ours->max_iterations : MMCL__DEFAULT_ITERATIONS;
    return mmcl__check_solver(context, mmcl__or_default(ours->tolerance, MMCL__DEFAULT_TOLERANCE), ours->precision);
}

mmcl_status mmcl_adapt_fit(mmcl_classifier **out, mmcl_context *context, mmcl_method method, const mmcl_adapt_data *data,
                           const mmcl_adapt_options *options, mmcl_adapt_info *info)
{
    if (out == NULL || context == NULL)
        return MMCL_E_INVAL;
    *out = NULL;
    mmcl_adapt_data    rows;
    mmcl_adapt_options ours;
    mmcl_adapt_info    result = {.struct_size = sizeof result};
    if (mmcl_method_name(method) == NULL)
        return mmcl__fail(context, MMCL_E_INVAL, "method: %d is unknown", (int) method);
    if (data == NULL)
        return mmcl__fail(context, MMCL_E_INVAL, "data: NULL");
    MMCL__TRY(mmcl__import(context, &rows, sizeof rows, MMCL__V1(mmcl_adapt_data, transform), data, "mmcl_adapt_data"));
    MMCL__TRY(resolve(context, &ours, options));
    MMCL__CHECK_INFO(context, info, mmcl_adapt_info, flags);
    MMCL__TRY(check_data(context, &rows));
    MMCL__TRY(mmcl__adapt_fit(out, context, method, &rows, &ours, &result));
    return info != NULL ? mmcl__export(context, info, &result, sizeof result, MMCL__V1(mmcl_adapt_info, flags), "mmcl_adapt_info")
                        : MMCL_OK;
}

/* --------------------------------------------------------------------------------------------------- more shots later --- */

mmcl_status mmcl_classifier_copy(mmcl_classifier **out, mmcl_context *context, const mmcl_classifier *classifier)
{
    if (out == NULL || context == NULL)
        return MMCL_E_INVAL;
    *out = NULL;
    if (classifier == NULL)
        return mmcl__fail(context, MMCL_E_INVAL, "classifier: NULL");
    return mmcl__classifier_clone(out, context, classifier);
}

static mmcl_status check_cache(const mmcl_classifier *classifier)
{
    return classifier->cache != NULL
               ? MMCL_OK
               : mmcl__fail(classifier->context, MMCL_E_INVAL, "classifier: has no cache of keys, expected tip, tip-f, ape, ape-t, cca or cca-ft");
}

mmcl_status mmcl_classifier_add_shots(mmcl_classifier *classifier, const mmcl_labelled *shots)
{
    if (classifier == NULL)
        return MMCL_E_INVAL;
    mmcl_context *context = classifier->context;
    if (shots == NULL)
        return mmcl__fail(context, MMCL_E_INVAL, "shots: NULL");
    MMCL__TRY(check_cache(classifier));
    MMCL__TRY(mmcl__check_labelled(context, shots, "shots", "shots.features"));
    MMCL__TRY(mmcl__check_width(context, &shots->features, classifier->inputs, "shots.features"));
    MMCL__TRY(mmcl__labels_check(context, shots, classifier->classes, "shots"));
    return mmcl__online_add_shots(classifier, shots);
}

mmcl_status mmcl_classifier_add_class(mmcl_classifier *classifier, const mmcl_matrix *prompts)
{
    if (classifier == NULL)
        return MMCL_E_INVAL;
    mmcl_context *context = classifier->context;
    MMCL__TRY(check_cache(classifier));
    if ((prompts != NULL) != (classifier->weights != NULL))
        return mmcl__fail(context, MMCL_E_INVAL, prompts == NULL ? "prompts: NULL, expected the text of the new class, as the head has some"
                                                                 : "prompts: given, expected NULL, as the head has no text");
    if (classifier->classes >= MMCL__CACHE_SCORES)
        return mmcl__fail(context, MMCL_E_INVAL, "classifier: has %zu classes, the most that a head with a cache can have", classifier->classes);
    if (prompts != NULL) {
        MMCL__TRY(mmcl__matrix_check(context, prompts, "prompts"));
        MMCL__TRY(mmcl__check_width(context, prompts, classifier->inputs, "prompts"));
        if (prompts->rows == 0)
            return mmcl__fail(context, MMCL_E_INVAL, "prompts: no rows, expected one or more");
    }
    return mmcl__online_add_class(classifier, prompts);
}

/* -------------------------------------------------------------------------------------------------------- protocol --- */

static mmcl_status resolve_fewshot(mmcl_context *context, mmcl_fewshot_options *ours, mmcl_adapt_options *head, const mmcl_fewshot_options *theirs)
{
    MMCL__TRY(mmcl__import(context, ours, sizeof *ours, MMCL__V1(mmcl_fewshot_options, reserved), theirs, "mmcl_fewshot_options"));
    MMCL__TRY(mmcl__check_shots(context, ours->shots));
    MMCL__TRY(mmcl__check_protocol(context, ours->protocol));
    MMCL__TRY(mmcl__check_seed(context, ours->seed));
    if (ours->reserved != 0)
        return mmcl__fail(context, MMCL_E_ABI, "mmcl_fewshot_options: reserved is set");
    MMCL__TRY(resolve(context, head, ours->head));
    head->protocol = ours->protocol;
    head->seed     = head->seed != 0 ? head->seed : ours->seed;
    return MMCL_OK;
}

mmcl_status mmcl_fewshot_run(mmcl_classifier **out, mmcl_context *context, mmcl_method method, const mmcl_fewshot_data *data,
                             mmcl_transform *transform, const mmcl_fewshot_options *options, mmcl_adapt_info *info,
                             mmcl_fewshot_result *result, double *domain_accuracy)
{
    mmcl_fewshot_data    ours;
    mmcl_fewshot_options resolved;
    mmcl_adapt_options   head;
    mmcl_adapt_info      fitted = {.struct_size = sizeof fitted};
    mmcl_fewshot_result  found  = {.struct_size = sizeof found};
    if (out != NULL)
        *out = NULL;
    if (context == NULL)
        return MMCL_E_INVAL;
    if (mmcl_method_name(method) == NULL)
        return mmcl__fail(context, MMCL_E_INVAL, "method: %d is unknown", (int) method);
    if (data == NULL || options == NULL)
        return mmcl__fail(context, MMCL_E_INVAL, "%s: NULL", data == NULL ? "data" : "options");
    MMCL__TRY(mmcl__import(context, &ours, sizeof ours, MMCL__V1(mmcl_fewshot_data, fixed), data, "mmcl_fewshot_data"));
    MMCL__TRY(resolve_fewshot(context, &resolved, &head, options));
    MMCL__CHECK_INFO(context, info, mmcl_adapt_info, flags);
    MMCL__CHECK_INFO(context, result, mmcl_fewshot_result, reserved);
    MMCL__TRY(mmcl__check_fewshot(context, &ours));
    if (transform != NULL && transform->fitted)
        MMCL__TRY(mmcl__check_width(context, &ours.train.features, transform->inputs, "train.features"));
    MMCL__TRY(mmcl__adapt_run(out, context, method, &ours, transform, &resolved, &head, &fitted, &found, domain_accuracy));
    if (info != NULL)
        MMCL__TRY(mmcl__export(context, info, &fitted, sizeof fitted, MMCL__V1(mmcl_adapt_info, flags), "mmcl_adapt_info"));
    return result != NULL ? mmcl__export(context, result, &found, sizeof found, MMCL__V1(mmcl_fewshot_result, reserved), "mmcl_fewshot_result")
                          : MMCL_OK;
}
