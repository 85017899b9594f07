#include "harness.h"

#include <string.h>

enum { BATCH = 16, OUTPUTS = 2 };

static mmcl_status fill(void *user, const mmcl_pairs *pairs)
{
    for (uint64_t i = 0; i < pairs->rows; i++)
        for (size_t j = 0; j < COLS; j++) {
            size_t at                  = (size_t) ((i + pairs->step * 5) % ROWS) * COLS + j;
            pairs->x[i * COLS + j]     = fixture_x[0][at];
            pairs->t[i * COLS + j]     = fixture_x[0][at] + fixture_x[1][at] / 8;
        }
    return harness_strikes(user, FAULT_CALLBACK) ? MMCL_E_IO : MMCL_OK;
}

static int32_t evaluate(void *user, const mmcl_train_info *info, const mmcl_encoder *x, const mmcl_encoder *t)
{
    world            *w    = user;
    const mmcl_matrix rows = fixture_rows(0);
    float             codes[ROWS * OUTPUTS];
    CHECK(info->step % 2 == 0);
    CHECK(mmcl_encoder_forward(x, &rows, codes, 0) == MMCL_OK);
    harness_note(w, codes, sizeof codes);
    CHECK(mmcl_encoder_forward(t, &rows, codes, 0) == MMCL_OK);
    harness_note(w, codes, sizeof codes);
    return 0;
}

static mmcl_status train(world *w, const char *argument)
{
    const uint64_t       hidden[2] = {5, 5};
    bool                 arrays = strcmp(argument, "arrays") == 0, cells = strcmp(argument, "cells") == 0;
    mmcl_encoder_options shape  = {.struct_size = sizeof shape, .hidden = hidden, .hidden_count = 2, .inputs = COLS, .outputs = OUTPUTS};
    const mmcl_matrix    rows[2] = {fixture_rows(0), fixture_rows(1)};
    const mmcl_source    source = {.struct_size = sizeof source, .x = arrays ? &rows[0] : NULL, .t = arrays ? &rows[1] : NULL,
                                   .fill = arrays ? NULL : fill, .fill_user = w};
    mmcl_trainer_options options = {.struct_size = sizeof options, .batch = BATCH, .evaluate_every = 2, .evaluate = evaluate, .evaluate_user = w,
                                    .average = 0.9, .learn_scale = 1, .optimizer = arrays ? MMCL_OPTIMIZER_ADAM : MMCL_OPTIMIZER_KFAC,
                                    .cell = cells ? 4 : 0, .pool = cells ? 2 * BATCH : 0};
    mmcl_encoder        *encoders[2] = {NULL, NULL};
    mmcl_objective      *objective   = NULL;
    mmcl_trainer        *trainer     = NULL;
    mmcl_train_info      info        = {.struct_size = sizeof info};
    mmcl_status          status;
    for (int i = 0; i < 2; i++) {
        shape.seed = (uint64_t) i;
        MAKE(w, encoders[i], CALL(mmcl_encoder_create)(&encoders[i], w->context, &shape));
    }
    MAKE(w, objective, CALL(mmcl_objective_create)(&objective, w->context, NULL));
    MAKE(w, trainer, CALL(mmcl_trainer_create)(&trainer, w->context, encoders[0], encoders[1], objective, &source, &options));
    TRY(w, CALL(mmcl_trainer_run)(trainer, 6, &info));
    CHECK(info.step == 6);
    TRY(w, CALL(mmcl_trainer_get_info)(trainer, &info));
    harness_note(w, &info.loss, sizeof info.loss);
    CHECK(CALL(mmcl_trainer_average)(trainer, 0) != encoders[0]);
    const mmcl_matrix judged = fixture_rows(1);
    float             codes[ROWS * OUTPUTS];
    TRY(w, CALL(mmcl_encoder_forward)(CALL(mmcl_trainer_average)(trainer, 1), &judged, codes, 0));
    harness_note(w, codes, sizeof codes);
end:
    CALL(mmcl_trainer_destroy)(trainer);
    CALL(mmcl_objective_destroy)(objective);
    CALL(mmcl_encoder_destroy)(encoders[1]);
    CALL(mmcl_encoder_destroy)(encoders[0]);
    return status;
}

/* A run that writes checkpoints, one into a sink, and another training that goes on from either. */
static mmcl_status checkpoint(world *w, const char *argument)
{
    const uint64_t       hidden    = 4;
    const bool           streamed  = strcmp(argument, "stream") == 0;
    mmcl_encoder_options shape     = {.struct_size = sizeof shape, .hidden = &hidden, .hidden_count = 1, .inputs = COLS, .outputs = OUTPUTS};
    const mmcl_source    source    = {.struct_size = sizeof source, .fill = fill, .fill_user = w};
    mmcl_trainer_options options   = {.struct_size = sizeof options, .batch = BATCH, .average = 0.9, .optimizer = MMCL_OPTIMIZER_KFAC,
                                      .cell = 4, .pool = 2 * BATCH, .checkpoint_every = 3};
    mmcl_encoder        *encoders[4] = {NULL, NULL, NULL, NULL};
    mmcl_objective      *objective   = NULL;
    mmcl_trainer        *trainers[2] = {NULL, NULL};
    mmcl_train_info      info        = {.struct_size = sizeof info};
    mmcl_sink            sink        = sink_of(w);
    mmcl_status          status;
    char                 path[512];
    strcpy(path, path_of(w, "checkpoint.npz"));
    options.checkpoint = path;
    MAKE(w, objective, CALL(mmcl_objective_create)(&objective, w->context, NULL));
    for (int i = 0; i < 4; i++) {
        shape.seed = (uint64_t) i;
        MAKE(w, encoders[i], CALL(mmcl_encoder_create)(&encoders[i], w->context, &shape));
    }
    for (int i = 0; i < 2; i++)
        MAKE(w, trainers[i], CALL(mmcl_trainer_create)(&trainers[i], w->context, encoders[2 * i], encoders[2 * i + 1], objective, &source, &options));
    TRY(w, CALL(mmcl_trainer_run)(trainers[0], 4, NULL));
    TRY(w, CALL(mmcl_trainer_run)(trainers[0], 5, NULL));
    if (streamed) {
        TRY(w, (sink = sink_of(w), CALL(mmcl_trainer_save_to)(trainers[0], &sink)));
        const mmcl_stream       stream = stream_of(w);
        const mmcl_open_options from   = {.struct_size = sizeof from, .stream = &stream};
        TRY(w, CALL(mmcl_trainer_resume)(trainers[1], "stream", &from));
    } else {
        TRY(w, CALL(mmcl_trainer_save)(trainers[0], path));
        TRY(w, CALL(mmcl_trainer_resume)(trainers[1], path, NULL));
    }
    for (int i = 0; i < 2; i++) {
        TRY(w, CALL(mmcl_trainer_run)(trainers[i], 9, &info));
        CHECK(info.step == 9);
        harness_note(w, &info.loss, sizeof info.loss);
    }
    for (size_t i = 0; i < CALL(mmcl_encoder_parameter_count)(encoders[0]); i++) {
        mmcl_parameter one = {.struct_size = sizeof one}, two = one;
        TRY(w, CALL(mmcl_encoder_parameter)(encoders[0], i, &one));
        TRY(w, CALL(mmcl_encoder_parameter)(encoders[2], i, &two));
        CHECK(memcmp(one.data, two.data, one.rows * one.cols * sizeof *one.data) == 0);
        harness_note(w, one.data, one.rows * one.cols * sizeof *one.data);
    }
end:
    for (int i = 0; i < 2; i++)
        CALL(mmcl_trainer_destroy)(trainers[i]);
    CALL(mmcl_objective_destroy)(objective);
    for (int i = 0; i < 4; i++)
        CALL(mmcl_encoder_destroy)(encoders[i]);
    return status;
}

const scenario scenarios_train[] = {
    {"callback", train, "callback"},
    {"arrays", train, "arrays"},
    {"cells", train, "cells"},
    {"checkpoint in a file", checkpoint, "file"},
    {"checkpoint in a stream", checkpoint, "stream"},
    {0},
};
