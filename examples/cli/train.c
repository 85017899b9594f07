/* mmcl train: two encoders on paired arrays. mmcl encode: applies one of them. */
#include "memory.h"
#include "output.h"
#include "rows.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const geometries[] = {"sphere", "box", "none", NULL};
static const mmcl_geometry geometry_of[] = {MMCL_GEOMETRY_SPHERE, MMCL_GEOMETRY_BOX, MMCL_GEOMETRY_NONE};
static const char *const optimizers[] = {"adam", "kfac", NULL};
static const mmcl_optimizer optimizer_of[] = {MMCL_OPTIMIZER_ADAM, MMCL_OPTIMIZER_KFAC};
static const char *const sides[] = {"x", "t", NULL};

typedef struct train_settings {
    common_settings common;
    const char     *x, *t, *out, *checkpoint, *resume;
    count_list      widths;
    uint64_t        outputs, batch, steps, checkpoint_every;
    double          rate, temperature;
    int32_t         geometry, optimizer;
} train_settings;

#define AT(member) offsetof(train_settings, member)

static const cli_option train_options[] = {
    {"x", OPTION_TEXT, AT(x), "A", "observations of one modality, a row a pair", NULL, 0, 0},
    {"t", OPTION_TEXT, AT(t), "A", "those of the other: row i belongs to row i of x", NULL, 0, 0},
    {"out", OPTION_TEXT, AT(out), "MODEL", "writes MODEL.x.npz and MODEL.t.npz", NULL, 0, 0},
    {"widths", OPTION_COUNTS, AT(widths), "W[,W...]", "hidden layers of the encoders (default: 256,256)", NULL, 1, 16384},
    {"outputs", OPTION_COUNT, AT(outputs), "D", "columns of the representations (default: 64)", NULL, 1, 16384},
    {"geometry", OPTION_CHOICE, AT(geometry), NULL, "of the representations (default: sphere); the others are compared by L1", geometries, 0, 0},
    {"batch", OPTION_COUNT, AT(batch), "N", "pairs of a step (default: 256, or all rows where there are fewer)", NULL, 2, 1 << 20},
    {"steps", OPTION_COUNT, AT(steps), "N", "length of the schedule (default: 5000)", NULL, 1, 1000000000},
    {"rate", OPTION_REAL, AT(rate), "R", "learning rate (default: 0.001; kfac: 0.05)", NULL, 0, 0},
    {"temperature", OPTION_REAL, AT(temperature), "T", "at the start; it is learnt on the sphere (default: 0.07; others: 1)", NULL, 0, 0},
    {"optimizer", OPTION_CHOICE, AT(optimizer), NULL, "(default: adam)", optimizers, 0, 0},
    {"checkpoint", OPTION_TEXT, AT(checkpoint), "FILE", "writes all that the training needs to go on here", NULL, 0, 0},
    {"checkpoint-every", OPTION_COUNT, AT(checkpoint_every), "N", "steps from one checkpoint to the next (default: 1000); the last is at the end", NULL,
     1, 1000000000},
    {"resume", OPTION_TEXT, AT(resume), "FILE", "goes on from a checkpoint; the other options have to be those of then", NULL, 0, 0},
    {0},
};

typedef struct training {
    cli_session          *session;
    const train_settings *settings;
    features              x, t;
    mmcl_encoder         *encoders[2];
    mmcl_objective       *objective;
    mmcl_trainer         *trainer;
    char                 *paths[2]; /* of the encoders */
    uint64_t              steps, batch;
    mmcl_train_info       info;
} training;

#define CALL(run, call, where)                                                                                                   \
    do {                                                                                                                         \
        mmcl_status call_status = (call);                                                                                        \
        if (call_status != MMCL_OK)                                                                                              \
            return session_fail((run)->session, call_status, where);                                                             \
    } while (0)

static int check_settings(training *run)
{
    const train_settings *s = run->settings;
    if (s->x == NULL || s->t == NULL || s->out == NULL)
        return terminal_fail(EXIT_USAGE, "--%s is needed", s->x == NULL ? "x" : s->t == NULL ? "t" : "out");
    static const char *const endings[] = {".x.npz", ".t.npz"};
    for (int i = 0; i < 2; i++) {
        run->paths[i] = memory_format("%s%s", s->out, endings[i]);
        TRY(output_check("out", run->paths[i]));
        if (s->checkpoint != NULL && strcmp(s->checkpoint, run->paths[i]) == 0)
            return terminal_fail(EXIT_USAGE, "--checkpoint and --out: the same name %s", s->checkpoint);
    }
    if (s->checkpoint_every > 0 && s->checkpoint == NULL)
        return terminal_fail(EXIT_USAGE, "--checkpoint-every needs --checkpoint FILE");
    return output_check("checkpoint", s->checkpoint);
}

static int open_pairs(training *run)
{
    const train_settings *s = run->settings;
    TRY(features_open(run->session, s->x, &run->x));
    TRY(features_open(run->session, s->t, &run->t));
    if (run->x.view.rows != run->t.view.rows)
        return terminal_fail(EXIT_ERROR, "%s has %zu rows, %s has %zu: pairs need as many of both", run->x.name, run->x.view.rows, run->t.name,
                             run->t.view.rows);
    if (run->x.view.rows < 2)
        return terminal_fail(EXIT_ERROR, "%s: %zu rows, at least 2 pairs are needed", run->x.name, run->x.view.rows);
    run->batch = s->batch > 0 ? s->batch : run->x.view.rows < 256 ? run->x.view.rows : 256;
    if (run->batch > run->x.view.rows)
        return terminal_fail(EXIT_ERROR, "--batch %llu: %s has %zu rows", (unsigned long long) run->batch, run->x.name, run->x.view.rows);
    run->steps = s->steps > 0 ? s->steps : 5000;
    return EXIT_OK;
}

static int make_encoders(training *run)
{
    static const uint64_t default_widths[] = {256, 256};
    const train_settings *s = run->settings;
    for (int side = 0; side < 2; side++) {
        const mmcl_encoder_options options = {.struct_size  = sizeof options,
                                              .hidden       = s->widths.count > 0 ? s->widths.items : default_widths,
                                              .hidden_count = s->widths.count > 0 ? s->widths.count : 2,
                                              .inputs       = (side == 0 ? &run->x : &run->t)->view.cols,
                                              .outputs      = s->outputs > 0 ? s->outputs : 64,
                                              .seed         = 2 * s->common.seed + (uint64_t) side,
                                              .geometry     = geometry_of[s->geometry]};
        CALL(run, mmcl_encoder_create(&run->encoders[side], run->session->context, &options), NULL);
    }
    return EXIT_OK;
}

static int make_trainer(training *run)
{
    const train_settings        *s         = run->settings;
    const bool                   sphere    = geometry_of[s->geometry] == MMCL_GEOMETRY_SPHERE;
    const mmcl_source            source    = {.struct_size = sizeof source, .x = &run->x.view, .t = &run->t.view};
    const mmcl_objective_options objective = {.struct_size = sizeof objective,
                                              .similarity  = sphere ? MMCL_SIMILARITY_DOT : MMCL_SIMILARITY_L1,
                                              .max_scale   = sphere ? 100 : 0};
    const mmcl_trainer_options options = {.struct_size = sizeof options,
                                          .batch       = run->batch,
                                          .seed        = s->common.seed,
                                          .steps       = run->steps,
                                          .warmup      = run->steps / 20 < 200 ? run->steps / 20 : 200,
                                          .rate        = s->rate,
                                          .scale       = s->temperature > 0 ? 1 / s->temperature : sphere ? 1 / 0.07 : 1,
                                          .learn_scale = sphere,
                                          .optimizer   = optimizer_of[s->optimizer],
                                          .checkpoint  = s->checkpoint,
                                          .checkpoint_every = s->checkpoint == NULL ? 0 : s->checkpoint_every > 0 ? s->checkpoint_every : 1000};
    CALL(run, mmcl_objective_create(&run->objective, run->session->context, &objective), NULL);
    CALL(run, mmcl_trainer_create(&run->trainer, run->session->context, run->encoders[0], run->encoders[1], run->objective, &source, &options),
         NULL);
    if (s->resume != NULL)
        CALL(run, mmcl_trainer_resume(run->trainer, s->resume, NULL), s->resume);
    return EXIT_OK;
}

static int run_steps(training *run)
{
    run->info = (mmcl_train_info){.struct_size = sizeof run->info};
    terminal_stage("training");
    mmcl_status status = mmcl_trainer_run(run->trainer, run->steps, &run->info);
    if (run->settings->checkpoint != NULL && (status == MMCL_OK || status == MMCL_E_CANCELLED)) /* where it ends, or was interrupted */
        CALL(run, mmcl_trainer_save(run->trainer, run->settings->checkpoint), run->settings->checkpoint);
    CALL(run, status, NULL);
    for (int side = 0; side < 2; side++)
        CALL(run, mmcl_encoder_save(run->encoders[side], run->paths[side]), run->paths[side]);
    return EXIT_OK;
}

static void write_json(const void *given, json_writer *out)
{
    const training *run = given;
    const train_settings *s = run->settings;
    size_t                outputs = 0;
    session_open_json(run->session, out, "train");
    json_text(out, "x", run->x.name);
    json_text(out, "t", run->t.name);
    json_text(out, "out", s->out);
    json_count(out, "rows", run->x.view.rows);
    json_count(out, "inputs_x", run->x.view.cols);
    json_count(out, "inputs_t", run->t.view.cols);
    if (mmcl_encoder_shape(run->encoders[0], NULL, &outputs) == MMCL_OK)
        json_count(out, "outputs", outputs);
    json_text(out, "geometry", geometries[s->geometry]);
    json_text(out, "optimizer", optimizers[s->optimizer]);
    json_count(out, "batch", run->batch);
    json_count(out, "steps", run->info.step);
    json_real(out, "final_loss", run->info.smooth_loss);
    json_real(out, "scale", run->info.scale);
    json_real(out, "seconds", run->info.seconds);
    json_close(out);
}

static int work(training *run, text_output *json)
{
    TRY(check_settings(run));
    TRY(output_open(json, "json", run->settings->common.json));
    TRY(open_pairs(run));
    TRY(make_encoders(run));
    TRY(make_trainer(run));
    TRY(run_steps(run));
    terminal_clear();
    terminal_flush_notes();
    if (run->settings->common.json == NULL || strcmp(run->settings->common.json, "-") != 0)
        printf("%zu pairs, %llu steps of %llu: loss %.4f (untrained: %.4f), scale %.3g\nwrote %s and %s\n", run->x.view.rows,
               (unsigned long long) run->info.step, (unsigned long long) run->batch, run->info.smooth_loss, log((double) run->batch),
               run->info.scale, run->paths[0], run->paths[1]);
    return output_json(json, write_json, run);
}

static int train(cli_session *session, const void *given, const text_list *operands)
{
    training    run  = {.session = session, .settings = given};
    text_output json = {0};
    (void) operands;
    int code = work(&run, &json);
    output_discard(&json);
    mmcl_trainer_destroy(run.trainer);
    mmcl_objective_destroy(run.objective);
    mmcl_encoder_destroy(run.encoders[0]);
    mmcl_encoder_destroy(run.encoders[1]);
    features_close(&run.x);
    features_close(&run.t);
    for (int i = 0; i < 2; i++)
        free(run.paths[i]);
    return code;
}

const cli_command train_command = {
    .name     = "train",
    .summary  = "trains two encoders on paired arrays, by the contrastive objective",
    .synopsis = "--x A --t A --out MODEL [--widths W,W] [--outputs D] [--geometry sphere|box|none]\n"
                "       [--batch N] [--steps N] [--optimizer adam|kfac] [--checkpoint FILE [--checkpoint-every N]] [--resume FILE]",
    .text     = "Row i of x and row i of t are a pair. Every epoch takes each pair once, in an order of its own. The encoders are\n"
                "written to MODEL.x.npz and MODEL.t.npz, for mmcl encode. A training that is interrupted by Ctrl-C writes its\n"
                "checkpoint first; resumed from there it ends with the same bits as one that was left alone.",
    .example  = "mmcl train --x features.npz:image --t features.npz:text --out pair --widths 256,256 --outputs 64",
    .options       = train_options,
    .settings_size = sizeof(train_settings),
    .operands      = "no operands",
    .run           = train,
};

/* ---------------------------------------------------------------------------------------------------------- encoding --- */

typedef struct encode_settings {
    common_settings common;
    const char     *in, *out;
    int32_t         side;
} encode_settings;

static const cli_option encode_options[] = {
    {"side", OPTION_CHOICE, offsetof(encode_settings, side), NULL, "which encoder of MODEL (default: x)", sides, 0, 0},
    {"in", OPTION_TEXT, offsetof(encode_settings, in), "A", "observations", NULL, 0, 0},
    {"out", OPTION_TEXT, offsetof(encode_settings, out), "FILE", "where the representations go (.npy, .npz, .safetensors)", NULL, 0, 0},
    {0},
};

typedef struct encoding {
    cli_session       *session;
    const mmcl_encoder *encoder;
    const features    *source;
} encoding;

/* A tile of representations, as the writer asks for it. */
static mmcl_status read_encoded(void *user, size_t first, size_t count, void *out)
{
    const encoding *e = user;
    rows_slice      slice;
    rows_slice_init(&slice, &e->source->view, first, count);
    mmcl_status status = mmcl_encoder_forward(e->encoder, &slice.view, out, 0);
    if (status == MMCL_OK || session_interrupted())
        return status;
    return session_callback_failed(e->session, status, "%s: rows %zu to %zu: %s", e->source->name, first, first + count - 1,
                                   mmcl_status_string(status));
}

static int encode_rows(cli_session *session, const encode_settings *s, const mmcl_encoder *encoder, features *source, text_output *json)
{
    size_t       inputs = 0, outputs = 0;
    mmcl_writer *writer = NULL;
    encoding     e      = {.session = session, .encoder = encoder, .source = source};
    mmcl_status  status = mmcl_encoder_shape(encoder, &inputs, &outputs);
    double       began  = session_seconds();
    if (status != MMCL_OK)
        return session_fail_status(session, status, NULL);
    if (source->view.cols != inputs)
        return terminal_fail(EXIT_ERROR, "%s: %zu columns, the encoder takes %zu", source->name, source->view.cols, inputs);
    const mmcl_matrix rows = {.rows = source->view.rows, .cols = outputs, .read = read_encoded, .read_user = &e};
    status                 = mmcl_writer_create(&writer, session->context, s->out);
    if (status == MMCL_OK)
        status = mmcl_writer_add(writer, "x", &rows, MMCL_F32);
    if (status == MMCL_OK)
        status = mmcl_writer_commit(writer);
    int code = status == MMCL_OK ? EXIT_OK : session_fail(session, status, s->out);
    mmcl_writer_destroy(writer);
    TRY(code);
    if (s->common.json == NULL || strcmp(s->common.json, "-") != 0)
        printf("wrote %s: %zu rows of %zu columns\n", s->out, rows.rows, outputs);
    if (json->file == NULL)
        return EXIT_OK;
    json_writer text = {0};
    session_open_json(session, &text, "encode");
    json_text(&text, "in", source->name);
    json_text(&text, "out", s->out);
    json_text(&text, "side", sides[s->side]);
    json_count(&text, "rows", rows.rows);
    json_count(&text, "inputs", inputs);
    json_count(&text, "outputs", outputs);
    json_real(&text, "seconds", session_seconds() - began);
    json_close(&text);
    fputs(text.text, json->file);
    json_free(&text);
    return output_commit(json);
}

static int encode(cli_session *session, const void *given, const text_list *operands)
{
    const encode_settings *s = given;
    if (s->in == NULL || s->out == NULL)
        return terminal_fail(EXIT_USAGE, "--%s is needed", s->in == NULL ? "in" : "out");
    mmcl_encoder *encoder = NULL;
    features      source  = {0};
    text_output   json    = {0};
    char         *path    = memory_format("%s.%s.npz", operands->items[0], sides[s->side]);
    int           code    = output_check("out", s->out);
    if (code == EXIT_OK)
        code = output_open(&json, "json", s->common.json);
    if (code == EXIT_OK) {
        mmcl_status status = mmcl_encoder_load(&encoder, session->context, path, NULL);
        code               = status == MMCL_OK ? features_open(session, s->in, &source) : session_fail(session, status, path);
    }
    if (code == EXIT_OK)
        code = encode_rows(session, s, encoder, &source, &json);
    output_discard(&json);
    features_close(&source);
    mmcl_encoder_destroy(encoder);
    free(path);
    return code;
}

const cli_command encode_command = {
    .name     = "encode",
    .summary  = "applies a trained encoder: array in, array out",
    .synopsis = "MODEL --side x|t --in A --out FILE",
    .text     = "MODEL is what mmcl train --out was given: the encoder is read from MODEL.x.npz or MODEL.t.npz.",
    .example  = "mmcl encode pair --side t --in captions.npy --out codes.npy",
    .options        = encode_options,
    .settings_size  = sizeof(encode_settings),
    .operands_least = 1,
    .operands_most  = 1,
    .operands       = "one MODEL",
    .run            = encode,
};
