#include "harness.h"

#include <string.h>

static mmcl_status stability(world *w, const char *argument)
{
    const mmcl_matrix            parts[] = {fixture_rows(0), fixture_read(w, 1)};
    const mmcl_step_options      step    = {.struct_size = sizeof step, .kind = MMCL_STEP_ICA, .components = 3, .max_iterations = 5};
    const mmcl_stability_options options = {
        .struct_size = sizeof options, .step = &step, .runs = 3, .bootstrap = strcmp(argument, "bootstrap") == 0};
    mmcl_stability     *stability = NULL;
    mmcl_transform     *transform = NULL;
    mmcl_stability_info info      = {.struct_size = sizeof info};
    double              index[3];
    mmcl_status         status;
    TRY(w, CALL(mmcl_stability_create)(&stability, w->context, parts, 2, &options));
    TRY(w, CALL(mmcl_stability_get_info)(stability, &info));
    TRY(w, CALL(mmcl_stability_field)(stability, MMCL_STABILITY_INDEX, index, 3, NULL));
    harness_note(w, index, sizeof index);
    TRY(w, CALL(mmcl_stability_transform)(stability, -2, &transform));
end:
    CALL(mmcl_transform_destroy)(transform);
    CALL(mmcl_stability_destroy)(stability);
    return status;
}

/* Threads of a context of its own take a run each, from memory that the calling thread took for them. */
static mmcl_status side_by_side(world *w, const char *unused)
{
    (void) unused;
    const mmcl_context_options   two    = {.struct_size = sizeof two, .allocator = w->allocator, .threads = 2};
    const mmcl_matrix            rows   = fixture_rows(0);
    const mmcl_step_options      step   = {.struct_size = sizeof step, .kind = MMCL_STEP_ICA, .components = 3, .max_iterations = 5,
                                           .algorithm = MMCL_ICA_PICARD};
    const mmcl_stability_options options = {.struct_size = sizeof options, .step = &step, .runs = 3};
    mmcl_context                *own = NULL, *outer = w->context;
    mmcl_stability              *stability = NULL;
    double                       index[3];
    mmcl_status                  status;
    w->context = NULL; /* the message of a context that was not born cannot be read */
    MAKE(w, own, CALL(mmcl_context_create)(&own, &two));
    w->context = own;
    TRY(w, CALL(mmcl_stability_create)(&stability, own, &rows, 1, &options));
    TRY(w, CALL(mmcl_stability_field)(stability, MMCL_STABILITY_INDEX, index, 3, NULL));
    harness_note(w, index, sizeof index);
end:
    CALL(mmcl_stability_destroy)(stability);
    CALL(mmcl_context_destroy)(w->context == own ? own : NULL);
    w->context = outer;
    return status;
}

static mmcl_status axes(world *w, const char *argument)
{
    const mmcl_matrix       parts[] = {fixture_rows(0), fixture_read(w, 1)};
    const mmcl_step_options step    = {.struct_size = sizeof step, .kind = MMCL_STEP_ICA, .components = 2, .max_iterations = 5};
    const mmcl_axes_options options = {.struct_size = sizeof options, .step = &step, .rotations = 3};
    mmcl_axes_info          info    = {.struct_size = sizeof info};
    mmcl_status             status;
    (void) argument;
    TRY(w, CALL(mmcl_axes_test)(w->context, parts, 2, &options, &info));
    harness_note(w, &info, sizeof info);
end:
    return status;
}

static mmcl_status signs(world *w, const char *argument)
{
    const mmcl_matrix        parts[] = {fixture_rows(0), fixture_read(w, 1)};
    const mmcl_step_options  step    = {.struct_size = sizeof step, .kind = MMCL_STEP_ICA, .components = 2, .max_iterations = 5};
    const mmcl_signs_options options = {.struct_size = sizeof options, .step = &step, .most_rows = 60};
    mmcl_signs_info          info    = {.struct_size = sizeof info};
    mmcl_status              status;
    (void) argument;
    TRY(w, CALL(mmcl_signs_test)(w->context, parts, 2, &options, &info));
    harness_note(w, &info, sizeof info);
end:
    return status;
}

static mmcl_status parallel(world *w, const char *argument)
{
    const mmcl_matrix           rows    = fixture_rows(0);
    const mmcl_parallel_options options = {.struct_size = sizeof options, .draws = 3};
    mmcl_moments               *moments = NULL;
    uint64_t                    components;
    double                      values[COLS], thresholds[COLS];
    mmcl_status                 status;
    (void) argument;
    TRY(w, CALL(mmcl_moments_create)(&moments, w->context, COLS));
    TRY(w, CALL(mmcl_moments_update)(moments, &rows));
    TRY(w, CALL(mmcl_parallel_analysis)(moments, &options, &components, values, thresholds));
    harness_note(w, values, sizeof values);
    harness_note(w, thresholds, sizeof thresholds);
end:
    CALL(mmcl_moments_destroy)(moments);
    return status;
}

static mmcl_status retrieval(world *w, const char *argument)
{
    const mmcl_matrix   x = fixture_rows(0), t = fixture_read(w, 1);
    mmcl_retrieval_info info = {.struct_size = sizeof info};
    double              ranks[2 * ROWS];
    mmcl_status         status;
    (void) argument;
    TRY(w, CALL(mmcl_retrieval)(w->context, &x, &t, &info, ranks));
    harness_note(w, &info, sizeof info);
    harness_note(w, ranks, sizeof ranks);
end:
    return status;
}

const scenario scenarios_analysis[] = {
    {"axes against random rotations", axes, NULL},
    {"automatic and fixed signs", signs, NULL},
    {"parallel analysis", parallel, NULL},
    {"retrieval across modalities", retrieval, NULL},
    {"stability over starts", stability, "starts"},
    {"stability over starts, side by side", side_by_side, NULL},
    {"stability over resampled rows", stability, "bootstrap"},
    {0},
};
