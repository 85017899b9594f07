#include "harness.h"

#include <string.h>

static mmcl_status note_classifier(world *w, const mmcl_classifier *head, const mmcl_labelled *test)
{
    const uint8_t mask[CLASSES] = {1, 0, 1};
    size_t        inputs, classes;
    double        weights[CLASSES * COLS], intercepts[CLASSES], accuracy, objective;
    float         scores[ROWS * CLASSES];
    int64_t       answers[ROWS];
    mmcl_status   status;
    TRY(w, CALL(mmcl_classifier_shape)(head, &inputs, &classes));
    CHECK(classes == CLASSES && inputs <= COLS);
    TRY(w, CALL(mmcl_classifier_weights)(head, weights, intercepts));
    harness_note(w, weights, CLASSES * inputs * sizeof *weights);
    harness_note(w, intercepts, sizeof intercepts);
    TRY(w, CALL(mmcl_classifier_scores)(head, &test->features, scores, 0));
    harness_note(w, scores, sizeof scores);
    TRY(w, CALL(mmcl_classifier_predict)(head, &test->features, mask, answers));
    harness_note(w, answers, sizeof answers);
    TRY(w, CALL(mmcl_classifier_accuracy)(head, test, NULL, &accuracy));
    harness_note(w, &accuracy, sizeof accuracy);
    TRY(w, CALL(mmcl_logreg_objective)(head, test, 2, &objective));
    harness_note(w, &objective, sizeof objective);
end:
    return status;
}

static mmcl_status logreg(world *w, const char *wide)
{
    const mmcl_labelled       train   = {.features = fixture_read(w, 0), .labels = fixture_labels}, test = fixture_labelled(1);
    const mmcl_logreg_options options = {.struct_size = sizeof options, .c = 0.5,
                                         .precision = wide != NULL ? MMCL_PRECISION_F64 : MMCL_PRECISION_F32};
    mmcl_logreg_info          info    = {.struct_size = sizeof info};
    mmcl_classifier          *cold = NULL, *warm = NULL;
    mmcl_status               status;
    MAKE(w, cold, CALL(mmcl_logreg_fit)(&cold, w->context, &train, CLASSES, NULL, NULL, &info));
    harness_note(w, &info.objective, sizeof info.objective);
    MAKE(w, warm, CALL(mmcl_logreg_fit)(&warm, w->context, &train, CLASSES, &options, cold, NULL));
    status = note_classifier(w, warm, &test);
end:
    CALL(mmcl_classifier_destroy)(warm);
    CALL(mmcl_classifier_destroy)(cold);
    return status;
}

static void on_fitted(void *user, const mmcl_logreg_info *info, const mmcl_classifier *head, double val_accuracy)
{
    CHECK(head != NULL && info->c > 0 && val_accuracy >= 0 && val_accuracy <= 1);
    ++*(uint64_t *) user;
}

static mmcl_status search(world *w, const char *argument)
{
    const mmcl_labelled       train = fixture_labelled(0), val = fixture_labelled(1);
    const double              grid[]  = {100, 1, 0.01};
    uint64_t                  seen    = 0;
    const mmcl_search_options options = {.struct_size = sizeof options, .grid = grid, .grid_count = 3, .steps = 2,
                                         .fitted = on_fitted, .fitted_user = &seen};
    mmcl_search_info          info    = {.struct_size = sizeof info};
    mmcl_classifier          *head    = NULL;
    mmcl_status               status;
    (void) argument;
    MAKE(w, head, (seen = 0, CALL(mmcl_logreg_search)(&head, w->context, &train, &val, CLASSES, &options, &info)));
    CHECK(seen == info.fits && info.c > 0);
    harness_note(w, &info.c, sizeof info.c);
    status = note_classifier(w, head, &val);
end:
    CALL(mmcl_classifier_destroy)(head);
    return status;
}

static mmcl_status sampler(world *w, const char *argument)
{
    mmcl_shot_sampler *shots = NULL;
    int64_t            rows[CLASSES * 20];
    mmcl_status        status;
    (void) argument;
    MAKE(w, shots, CALL(mmcl_shot_sampler_create)(&shots, w->context, 7));
    TRY(w, CALL(mmcl_shot_sampler_draw)(shots, fixture_labels, ROWS, CLASSES, 4, rows));
    harness_note(w, rows, CLASSES * 4 * sizeof *rows);
    TRY(w, CALL(mmcl_shot_sampler_draw)(shots, fixture_labels, ROWS, CLASSES, 20, rows)); /* more than a class has */
    harness_note(w, rows, sizeof rows);
end:
    CALL(mmcl_shot_sampler_destroy)(shots);
    return status;
}

static mmcl_status probe(world *w, const char *paper)
{
    const uint8_t       mask[CLASSES] = {1, 1, 0};
    int64_t             two[ROWS];
    mmcl_matrix         pool    = fixture_read(w, 1);
    mmcl_domain         domain  = {.name = "other", .rows = {.features = fixture_rows(1), .labels = two}, .mask = mask};
    mmcl_fewshot_data   data    = {.struct_size = sizeof data, .classes = CLASSES, .train = fixture_labelled(0),
                                   .val = fixture_labelled(1), .test = fixture_labelled(1), .domains = &domain, .domain_count = 1,
                                   .pool = paper != NULL ? NULL : &pool, .pool_parts = paper != NULL ? 0 : 1};
    const double        grid[]  = {100, 1};
    mmcl_search_options search_options = {.struct_size = sizeof search_options, .grid = grid, .grid_count = 2, .steps = 1};
    mmcl_probe_options  options = {.struct_size = sizeof options, .search = &search_options, .shots = 6, .seed = 1,
                                   .protocol = paper != NULL ? MMCL_PROTOCOL_PAPER : MMCL_PROTOCOL_STRICT};
    mmcl_probe_result   result  = {.struct_size = sizeof result};
    double              domain_accuracy;
    mmcl_transform     *transform = NULL;
    mmcl_classifier    *head      = NULL;
    mmcl_status         status;
    for (int i = 0; i < ROWS; i++)
        two[i] = fixture_labels[i] % 2;
    MAKE(w, transform, CALL(mmcl_transform_create_spec)(&transform, w->context, "ica:3"));
    MAKE(w, head, CALL(mmcl_probe_run)(&head, w->context, &data, transform, &options, &result, &domain_accuracy));
    CHECK(CALL(mmcl_transform_is_fitted)(transform) == 1 && result.components == 3);
    harness_note(w, &result.c, sizeof result.c);
    harness_note(w, &result.test_accuracy, sizeof result.test_accuracy);
    harness_note(w, &domain_accuracy, sizeof domain_accuracy);
end:
    CALL(mmcl_classifier_destroy)(head);
    CALL(mmcl_transform_destroy)(transform);
    return status;
}

/* ------------------------------------------------------------------------------------------------------ pipelines --- */

static mmcl_status note_pipeline(world *w, const mmcl_pipeline *pipeline)
{
    const mmcl_matrix rows = fixture_rows(1);
    int64_t           answers[ROWS];
    float             scores[ROWS * CLASSES];
    mmcl_status       status;
    CHECK(CALL(mmcl_pipeline_transform)(pipeline) != NULL && CALL(mmcl_pipeline_classifier)(pipeline) != NULL);
    CHECK(strcmp(CALL(mmcl_pipeline_class_name)(pipeline, 1), "b") == 0);
    CHECK(CALL(mmcl_pipeline_class_name)(pipeline, CLASSES) == NULL);
    TRY(w, CALL(mmcl_pipeline_predict)(pipeline, &rows, answers, scores));
    harness_note(w, answers, sizeof answers);
    harness_note(w, scores, sizeof scores);
end:
    return status;
}

static mmcl_status load_pipeline(world *w, const char *path, const mmcl_open_options *options)
{
    mmcl_pipeline *loaded = NULL;
    mmcl_status    status;
    MAKE(w, loaded, CALL(mmcl_pipeline_load)(&loaded, w->context, path, options));
    status = note_pipeline(w, loaded);
end:
    CALL(mmcl_pipeline_destroy)(loaded);
    return status;
}

static mmcl_status use_pipeline(world *w, const mmcl_transform *transform, const mmcl_classifier *head)
{
    const char *const names[CLASSES] = {"a", "b", "c"};
    mmcl_pipeline    *pipeline       = NULL;
    mmcl_sink         sink;
    mmcl_status       status;
    MAKE(w, pipeline, CALL(mmcl_pipeline_create)(&pipeline, w->context, transform, head, names));
    if ((status = note_pipeline(w, pipeline)) != MMCL_OK)
        goto end;
    TRY(w, CALL(mmcl_pipeline_save)(pipeline, path_of(w, "pipeline.npz")));
    if ((status = load_pipeline(w, path_of(w, "pipeline.npz"), NULL)) != MMCL_OK)
        goto end;
    TRY(w, (sink = sink_of(w), CALL(mmcl_pipeline_save_to)(pipeline, &sink)));
    const mmcl_stream       stream  = stream_of(w);
    const mmcl_open_options options = {.struct_size = sizeof options, .stream = &stream};
    status                          = load_pipeline(w, "stream", &options);
end:
    CALL(mmcl_pipeline_destroy)(pipeline);
    return status;
}

static mmcl_status pipeline(world *w, const char *argument)
{
    const mmcl_matrix rows        = fixture_rows(0);
    const double      weights[12] = {1, 2, 3, 4, -4, 3, -2, 1, 0.5, -1, 0, 1}, intercepts[CLASSES] = {0, 0.1, -0.1};
    mmcl_transform   *transform   = NULL;
    mmcl_classifier  *head        = NULL;
    mmcl_status       status;
    (void) argument;
    MAKE(w, transform, CALL(mmcl_transform_create_spec)(&transform, w->context, "whiten:4+normalize"));
    TRY(w, CALL(mmcl_transform_fit)(transform, &rows, 1, NULL));
    MAKE(w, head, CALL(mmcl_classifier_create_linear)(&head, w->context, CLASSES, 4, weights, intercepts));
    status = use_pipeline(w, transform, head);
end:
    CALL(mmcl_classifier_destroy)(head);
    CALL(mmcl_transform_destroy)(transform);
    return status;
}

const scenario scenarios_classify[] = {
    {"logreg", logreg, NULL},
    {"logreg in float64", logreg, "wide"},
    {"search", search, NULL},
    {"shots", sampler, NULL},
    {"probe", probe, NULL},
    {"probe, paper", probe, "paper"},
    {"pipeline", pipeline, NULL},
    {0},
};
