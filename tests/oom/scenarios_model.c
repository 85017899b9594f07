#include "harness.h"

#include <string.h>

enum { LATENT = 4, PRIVATE_X = 2, PRIVATE_T = 1, PAIRS = 200 };

static const double correlations[LATENT * LATENT] = {1, 0.5, 0, 0, 0.5, 1, 0, 0, 0, 0, 1, -0.25, 0, 0, -0.25, 1};

static const mmcl_model_options settings[] = {
    {.struct_size = sizeof *settings, .space = MMCL_SPACE_SPHERE},
    {.struct_size = sizeof *settings, .space = MMCL_SPACE_BOX, .coupling = MMCL_DIST_GENNORM, .correlation_matrix = correlations},
    {.struct_size = sizeof *settings, .space = MMCL_SPACE_REAL, .direction = MMCL_DIRECTION_SYMMETRIC, .mixing = MMCL_MIXING_IDENTITY},
};

/* Everything that a model can tell. */
static mmcl_status note_model(world *w, const mmcl_model *model)
{
    float              x[PAIRS * 6], t[PAIRS * 5], z[PAIRS * LATENT], m[PAIRS * PRIVATE_X], again[PAIRS * 6];
    double             layer[36], condition;
    mmcl_model_info    info    = {.struct_size = sizeof info};
    mmcl_model_options options = {.struct_size = sizeof options};
    const mmcl_samples out     = {.struct_size = sizeof out, .x = x, .t = t, .z_x = z, .m_x = m, .rows = PAIRS};
    const mmcl_matrix  rows    = {.data = x, .rows = PAIRS, .cols = 6}, read = fixture_read(w, 0);
    mmcl_status        status;
    TRY(w, CALL(mmcl_model_get_info)(model, &info));
    harness_note(w, &info, sizeof info);
    TRY(w, CALL(mmcl_model_get_options)(model, &options));
    CHECK(options.latent == LATENT);
    if (info.layers > 0)
        TRY(w, CALL(mmcl_model_layer)(model, MMCL_SIDE_X, 1, layer, &condition));
    TRY(w, CALL(mmcl_model_sample)(model, 1, 2, &out));
    harness_note(w, x, sizeof x);
    harness_note(w, t, sizeof t);
    TRY(w, CALL(mmcl_model_mix)(model, MMCL_SIDE_X, PAIRS, z, m, again));
    CHECK(memcmp(x, again, sizeof x) == 0);
    TRY(w, CALL(mmcl_model_unmix)(model, MMCL_SIDE_X, &rows, z, m));
    harness_note(w, z, sizeof z);
    TRY(w, CALL(mmcl_model_unmix)(model, MMCL_SIDE_X, &read, z, NULL)); /* COLS happens to be the width */
    harness_note(w, z, ROWS * LATENT * sizeof *z);
end:
    return status;
}

static mmcl_status create(world *w, const char *argument, mmcl_model **model)
{
    mmcl_model_options options = settings[*argument - '0'];
    mmcl_status        status;
    options.latent          = LATENT;
    options.private_x       = PRIVATE_X;
    options.private_t       = PRIVATE_T;
    options.condition_draws = 3000; /* two rounds */
    MAKE(w, *model, CALL(mmcl_model_create)(model, w->context, &options));
end:
    return status;
}

static mmcl_status sample(world *w, const char *argument)
{
    mmcl_model *model  = NULL;
    mmcl_status status = create(w, argument, &model);
    if (status == MMCL_OK)
        status = note_model(w, model);
    CALL(mmcl_model_destroy)(model);
    return status;
}

static mmcl_status save_load(world *w, const char *argument)
{
    mmcl_model *model = NULL, *loaded = NULL;
    mmcl_sink   sink   = sink_of(w);
    mmcl_status status = create(w, argument, &model);
    if (status != MMCL_OK)
        goto end;
    TRY(w, CALL(mmcl_model_save)(model, path_of(w, "lpcm.npz")));
    MAKE(w, loaded, CALL(mmcl_model_load)(&loaded, w->context, path_of(w, "lpcm.npz"), NULL));
    if ((status = note_model(w, loaded)) != MMCL_OK)
        goto end;
    CALL(mmcl_model_destroy)(loaded);
    loaded = NULL;
    TRY(w, (sink = sink_of(w), CALL(mmcl_model_save_to)(model, &sink)));
    const mmcl_stream       stream  = stream_of(w);
    const mmcl_open_options options = {.struct_size = sizeof options, .stream = &stream};
    MAKE(w, loaded, CALL(mmcl_model_load)(&loaded, w->context, "stream", &options));
    status = note_model(w, loaded);
end:
    CALL(mmcl_model_destroy)(loaded);
    CALL(mmcl_model_destroy)(model);
    return status;
}

const scenario scenarios_model[] = {
    {"model on the sphere", sample, "0"},
    {"model in a box", sample, "1"},
    {"model on R^d", sample, "2"},
    {"model saved and loaded", save_load, "1"},
    {"model without mixing saved and loaded", save_load, "2"},
    {0},
};
