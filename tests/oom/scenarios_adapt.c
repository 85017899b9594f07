#include "harness.h"

#include <string.h>

/* Two prompts a class, in the first rows of the second set. */
static mmcl_adapt_data data_of(world *w, const mmcl_transform *transform)
{
    mmcl_adapt_data data = {.struct_size = sizeof data, .classes = CLASSES, .train = fixture_labelled(0), .val = fixture_labelled(1),
                            .text = fixture_labelled(1), .transform = transform};
    data.train.features     = fixture_read(w, 0);
    data.text.features.rows = 2 * CLASSES;
    return data;
}

static mmcl_status note_head(world *w, const mmcl_classifier *head)
{
    const mmcl_matrix rows = fixture_rows(1);
    float             scores[ROWS * CLASSES];
    mmcl_status       status;
    TRY(w, CALL(mmcl_classifier_scores)(head, &rows, scores, 0));
    harness_note(w, scores, sizeof scores);
end:
    return status;
}

/* Copies, saves and loads the head with all that belongs to it. */
static mmcl_status through_a_file(world *w, const mmcl_classifier *head)
{
    mmcl_pipeline *made = NULL, *loaded = NULL;
    mmcl_status    status;
    MAKE(w, made, CALL(mmcl_pipeline_create)(&made, w->context, NULL, head, NULL));
    TRY(w, CALL(mmcl_pipeline_save)(made, path_of(w, "head.npz")));
    MAKE(w, loaded, CALL(mmcl_pipeline_load)(&loaded, w->context, path_of(w, "head.npz"), NULL));
    status = note_head(w, CALL(mmcl_pipeline_classifier)(loaded));
end:
    CALL(mmcl_pipeline_destroy)(loaded);
    CALL(mmcl_pipeline_destroy)(made);
    return status;
}

static mmcl_status adapt(world *w, const char *name)
{
    const mmcl_matrix  rows      = fixture_rows(0);
    mmcl_adapt_options options   = {.struct_size = sizeof options, .epochs = 2, .batch = 20, .c = 1};
    mmcl_adapt_info    info      = {.struct_size = sizeof info};
    mmcl_transform    *transform = NULL;
    mmcl_classifier   *head      = NULL;
    mmcl_method        method;
    mmcl_status        status;
    MAKE(w, transform, CALL(mmcl_transform_create_spec)(&transform, w->context, "whiten:3"));
    TRY(w, CALL(mmcl_transform_fit)(transform, &rows, 1, NULL));
    const mmcl_adapt_data data = data_of(w, transform);
    TRY(w, CALL(mmcl_method_parse)(&method, name));
    CHECK(strcmp(CALL(mmcl_method_name)(method), name) == 0 && CALL(mmcl_method_needs_text)(method) <= 1);
    MAKE(w, head, CALL(mmcl_adapt_fit)(&head, w->context, method, &data, &options, &info));
    harness_note(w, &info.val_accuracy, sizeof info.val_accuracy);
    status = note_head(w, head);
    if (status == MMCL_OK && (method == MMCL_METHOD_ZEROSHOT || method == MMCL_METHOD_TIP || method == MMCL_METHOD_CCA || method == MMCL_METHOD_KERNEL_RIDGE ||
                              method == MMCL_METHOD_CLIP_ADAPTER)) /* one of each kind */
        status = through_a_file(w, head);
end:
    CALL(mmcl_classifier_destroy)(head);
    CALL(mmcl_transform_destroy)(transform);
    return status;
}

/* A head with a cache that gets a class and shots later. */
static mmcl_status grow(world *w, const char *int8)
{
    mmcl_adapt_options  options = {.struct_size = sizeof options, .alpha = 1, .beta = 2, .gamma = 0.1, .eta = 0.1,
                                   .narrow_keys = int8 != NULL ? MMCL_KEYS_INT8 : MMCL_KEYS_BF16};
    mmcl_adapt_data     data    = data_of(w, NULL);
    mmcl_matrix         prompts = fixture_rows(1);
    const mmcl_labelled shots   = fixture_labelled(1);
    mmcl_classifier    *head = NULL, *copy = NULL;
    size_t              classes = 0;
    mmcl_status         status;
    prompts.rows = 2;
    MAKE(w, head, CALL(mmcl_adapt_fit)(&head, w->context, MMCL_METHOD_CCA, &data, &options, NULL));
    MAKE(w, copy, CALL(mmcl_classifier_copy)(&copy, w->context, head));
    TRY(w, CALL(mmcl_classifier_add_shots)(copy, &shots));
    status = note_head(w, copy);
    if (status != MMCL_OK)
        goto end;
    TRY(w, CALL(mmcl_classifier_add_class)(copy, &prompts));
    TRY(w, CALL(mmcl_classifier_shape)(copy, NULL, &classes));
    CHECK(classes == CLASSES + 1);
    status = through_a_file(w, head);
end:
    CALL(mmcl_classifier_destroy)(copy);
    CALL(mmcl_classifier_destroy)(head);
    return status;
}

static mmcl_status fewshot(world *w, const char *paper)
{
    const mmcl_domain    domain = {.name = "shifted", .rows = fixture_labelled(1)};
    mmcl_fewshot_data    data   = {.struct_size = sizeof data, .classes = CLASSES, .train = fixture_labelled(0), .val = fixture_labelled(1),
                                   .test = fixture_labelled(1), .domains = &domain, .domain_count = 1, .text = fixture_labelled(1)};
    mmcl_fewshot_options options = {.struct_size = sizeof options, .shots = 3, .seed = 1,
                                    .protocol = paper != NULL ? MMCL_PROTOCOL_PAPER : MMCL_PROTOCOL_STRICT};
    mmcl_adapt_info      info      = {.struct_size = sizeof info};
    mmcl_fewshot_result  result    = {.struct_size = sizeof result};
    mmcl_transform      *transform = NULL;
    mmcl_classifier     *head      = NULL;
    double               accuracy;
    mmcl_status          status;
    MAKE(w, transform, CALL(mmcl_transform_create_spec)(&transform, w->context, "whiten:3"));
    MAKE(w, head, CALL(mmcl_fewshot_run)(&head, w->context, MMCL_METHOD_NCM, &data, transform, &options, &info, &result, &accuracy));
    harness_note(w, &accuracy, sizeof accuracy);
    harness_note(w, &result.test_accuracy, sizeof accuracy);
    mmcl_evaluation       evaluation = {.struct_size = sizeof evaluation};
    mmcl_evaluate_options resampled  = {.struct_size = sizeof resampled, .resamples = 3};
    TRY(w, CALL(mmcl_classifier_evaluate)(head, &data.test, NULL, &resampled, &evaluation));
    harness_note(w, &evaluation, sizeof evaluation);
    status = note_head(w, head);
end:
    CALL(mmcl_classifier_destroy)(head);
    CALL(mmcl_transform_destroy)(transform);
    return status;
}

const scenario scenarios_adapt[] = {
    {"zeroshot", adapt, "zeroshot"},
    {"ncm", adapt, "ncm"},
    {"probe-l1", adapt, "probe-l1"},
    {"probe-ard", adapt, "probe-ard"},
    {"tip", adapt, "tip"},
    {"tip-f", adapt, "tip-f"},
    {"ape", adapt, "ape"},
    {"ape-t", adapt, "ape-t"},
    {"cca", adapt, "cca"},
    {"cca-ft", adapt, "cca-ft"},
    {"shots and classes added", grow, NULL},
    {"shots and classes added, keys in 8 bits", grow, "int8"},
    {"few shots", fewshot, NULL},
    {"few shots, paper", fewshot, "paper"},
    {"probe-zs", adapt, "probe-zs"},
    {"clap", adapt, "clap"},
    {"lpp", adapt, "lpp"},
    {"taskres", adapt, "taskres"},
    {"clip-adapter", adapt, "clip-adapter"},
    {"wise-ft", adapt, "wise-ft"},
    {"crossmodal", adapt, "crossmodal"},
    {"kernel-ridge", adapt, "kernel-ridge"},
    {0},
};
