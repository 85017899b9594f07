#include "harness.h"

#include <string.h>

enum { OUTPUTS = 3 };

/* What an encoder gives, and its parameters. */
static mmcl_status use(world *w, const mmcl_encoder *encoder)
{
    const mmcl_matrix rows = fixture_rows(0), read = fixture_read(w, 1);
    float             codes[ROWS * OUTPUTS];
    size_t            inputs, outputs;
    mmcl_status       status;
    TRY(w, CALL(mmcl_encoder_shape)(encoder, &inputs, &outputs));
    CHECK(inputs == COLS && outputs == OUTPUTS);
    TRY(w, CALL(mmcl_encoder_forward)(encoder, &rows, codes, 0));
    harness_note(w, codes, sizeof codes);
    TRY(w, CALL(mmcl_encoder_forward)(encoder, &read, codes, 0));
    harness_note(w, codes, sizeof codes);
    CHECK(CALL(mmcl_encoder_size)(encoder) > 0);
    for (size_t i = 0; i < CALL(mmcl_encoder_parameter_count)(encoder); i++) {
        mmcl_parameter tensor = {.struct_size = sizeof tensor};
        TRY(w, CALL(mmcl_encoder_parameter)(encoder, i, &tensor));
        harness_note(w, tensor.data, tensor.rows * tensor.cols * sizeof *tensor.data);
    }
end:
    return status;
}

static mmcl_status create(world *w, mmcl_encoder **encoder, mmcl_geometry geometry)
{
    const uint64_t       hidden[] = {9, 9};
    mmcl_encoder_options options  = {.struct_size = sizeof options, .hidden = hidden, .hidden_count = 2, .inputs = COLS,
                                     .outputs = OUTPUTS, .geometry = geometry, .learn_geometry = 1, .residual = 1, .input_map = 1};
    mmcl_status          status;
    MAKE(w, *encoder, CALL(mmcl_encoder_create)(encoder, w->context, &options));
    TRY(w, CALL(mmcl_encoder_get_options)(*encoder, &options));
    CHECK(options.hidden_count == 2 && options.hidden[1] == 9);
end:
    return status;
}

static mmcl_status train(world *w, const char *argument)
{
    const mmcl_matrix read = fixture_read(w, 0);
    float             codes[ROWS * OUTPUTS], gradient[4096], inputs[ROWS * COLS];
    const double      turn[OUTPUTS * OUTPUTS] = {0, 1, 0, 0, 0, 1, 1, 0, 0};
    double            matrix[COLS * COLS] = {0};
    mmcl_encoder     *encoder = NULL, *twin = NULL;
    mmcl_workspace   *workspace = NULL;
    mmcl_status       status;
    if ((status = create(w, &encoder, strcmp(argument, "box") == 0 ? MMCL_GEOMETRY_BOX : MMCL_GEOMETRY_SPHERE)) != MMCL_OK)
        goto end;
    for (size_t i = 0; i < COLS; i++)
        matrix[i * COLS + i] = 1 + (double) i;
    TRY(w, CALL(mmcl_encoder_set_input)(encoder, NULL, matrix));
    MAKE(w, workspace, CALL(mmcl_workspace_create)(&workspace, encoder, ROWS));
    TRY(w, CALL(mmcl_workspace_forward)(workspace, &read, codes, 0));
    CHECK(CALL(mmcl_encoder_size)(encoder) <= sizeof gradient / sizeof *gradient);
    TRY(w, CALL(mmcl_workspace_backward)(workspace, codes, 0, gradient, inputs));
    harness_note(w, gradient, CALL(mmcl_encoder_size)(encoder) * sizeof *gradient);
    harness_note(w, inputs, sizeof inputs);
    MAKE(w, twin, CALL(mmcl_encoder_clone)(&twin, encoder));
    TRY(w, CALL(mmcl_encoder_compose)(twin, NULL, turn));
    status = use(w, twin);
end:
    CALL(mmcl_workspace_destroy)(workspace);
    CALL(mmcl_encoder_destroy)(twin);
    CALL(mmcl_encoder_destroy)(encoder);
    return status;
}

static mmcl_status save_load(world *w, const char *argument)
{
    mmcl_encoder *encoder = NULL, *loaded = NULL;
    mmcl_sink     sink = sink_of(w);
    mmcl_status   status;
    (void) argument;
    if ((status = create(w, &encoder, MMCL_GEOMETRY_BOX)) != MMCL_OK)
        goto end;
    TRY(w, CALL(mmcl_encoder_save)(encoder, path_of(w, "encoder.npz")));
    MAKE(w, loaded, CALL(mmcl_encoder_load)(&loaded, w->context, path_of(w, "encoder.npz"), NULL));
    if ((status = use(w, loaded)) != MMCL_OK)
        goto end;
    CALL(mmcl_encoder_destroy)(loaded);
    loaded = NULL;
    TRY(w, (sink = sink_of(w), CALL(mmcl_encoder_save_to)(encoder, &sink)));
    const mmcl_stream       stream  = stream_of(w);
    const mmcl_open_options options = {.struct_size = sizeof options, .stream = &stream};
    MAKE(w, loaded, CALL(mmcl_encoder_load)(&loaded, w->context, "stream", &options));
    status = use(w, loaded);
end:
    CALL(mmcl_encoder_destroy)(loaded);
    CALL(mmcl_encoder_destroy)(encoder);
    return status;
}

static mmcl_status represent(void *user, const mmcl_encoder_rows *rows, float *out)
{
    for (uint64_t i = 0; i < rows->rows * OUTPUTS; i++)
        out[i] = rows->inputs[i / OUTPUTS * COLS + i % OUTPUTS];
    return harness_strikes(user, FAULT_CALLBACK) ? MMCL_E_IO : MMCL_OK;
}

static mmcl_status host(world *w, const char *argument)
{
    const mmcl_host_encoder table   = {.struct_size = sizeof table, .user = w, .inputs = COLS, .outputs = OUTPUTS, .chunk = 20,
                                       .represent = represent};
    const mmcl_matrix       rows    = fixture_rows(0);
    mmcl_encoder           *encoder = NULL;
    float                   codes[ROWS * OUTPUTS];
    mmcl_status             status;
    (void) argument;
    MAKE(w, encoder, CALL(mmcl_encoder_create_host)(&encoder, w->context, &table));
    TRY(w, CALL(mmcl_encoder_forward)(encoder, &rows, codes, 0));
    harness_note(w, codes, sizeof codes);
end:
    CALL(mmcl_encoder_destroy)(encoder);
    return status;
}

const scenario scenarios_encoder[] = {
    {"train sphere", train, "sphere"},
    {"train box", train, "box"},
    {"save and load", save_load, NULL},
    {"host encoder", host, NULL},
    {0},
};
