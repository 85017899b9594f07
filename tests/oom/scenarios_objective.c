#include "harness.h"

/* Rows of the two fixture sets as pairs; results that a run of the objective gives, apart from the time. */
static mmcl_status evaluate(world *w, mmcl_objective *objective, const mmcl_objective_input *input)
{
    float                       dx[ROWS * COLS], dt[ROWS * COLS];
    double                      slopes[3];
    const mmcl_objective_output output = {.struct_size = sizeof output,
                                          .dx          = dx,
                                          .dt          = dt,
                                          .dscale      = &slopes[0],
                                          .dlog_scale  = &slopes[1],
                                          .dbias       = &slopes[2]};
    mmcl_objective_info info = {.struct_size = sizeof info};
    mmcl_status         status;
    TRY(w, CALL(mmcl_objective_evaluate)(objective, input, &output, &info));
    info.seconds = 0;
    harness_note(w, dx, sizeof dx);
    harness_note(w, dt, sizeof dt);
    harness_note(w, slopes, sizeof slopes);
    harness_note(w, &info, sizeof info);
end:
    return status;
}

static const mmcl_objective_options options[] = {
    {.struct_size = sizeof *options},
    {.struct_size = sizeof *options, .rows = ROWS, .cols = COLS, .similarity = MMCL_SIMILARITY_COSINE, .max_scale = 50},
    {.struct_size = sizeof *options, .similarity = MMCL_SIMILARITY_L1, .sides = MMCL_SIDES_T2X},
    {.struct_size = sizeof *options, .loss = MMCL_LOSS_SIGLIP},
};

/* Twice on one handle: dense rows, then rows through a callback, with groups and blocks. */
static mmcl_status run(world *w, const char *argument)
{
    mmcl_matrix            x = fixture_rows(0), t = fixture_rows(1), read = fixture_read(w, 1);
    mmcl_objective        *objective = NULL;
    mmcl_objective_options used      = {.struct_size = sizeof used};
    mmcl_objective_input   input     = {.struct_size = sizeof input, .x = &x, .t = &t, .scale = 0.1};
    mmcl_status            status;
    MAKE(w, objective, CALL(mmcl_objective_create)(&objective, w->context, &options[argument[0] - '0']));
    TRY(w, CALL(mmcl_objective_get_options)(objective, &used));
    harness_note(w, &used.similarity, sizeof used.similarity);
    if ((status = evaluate(w, objective, &input)) != MMCL_OK)
        goto end;
    input.t      = &read;
    input.groups = fixture_labels;
    input.blocks = 2;
    status       = evaluate(w, objective, &input);
end:
    CALL(mmcl_objective_destroy)(objective);
    return status;
}

const scenario scenarios_objective[] = {
    {"dot", run, "0"},
    {"cosine", run, "1"},
    {"l1", run, "2"},
    {"siglip", run, "3"},
    {0},
};
