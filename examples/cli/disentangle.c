/* mmcl disentangle: fits, saves and applies a transform. */
#include "memory.h"
#include "output.h"
#include "rows.h"
#include "session.h"
#include "signs.h"
#include "steps.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct settings {
    common_settings common;
    text_list       fit;
    const char     *transform, *save, *model, *apply, *out;
    double          tolerance;
    uint64_t        max_iterations, start_seed, cache_bytes;
    int32_t         precision, order, sign; /* indices of the choices are the library's values */
} settings;

static const char *const precisions[] = {"f32", "f64", NULL};
static const char *const orders[]     = {"fitted", "variance", "negentropy", NULL};
static const char *const signs[]      = {"fitted", "loading", "skew", NULL};

static const cli_option options[] = {
    {"fit", OPTION_PARTS, offsetof(settings, fit), "A[,B...]", "arrays to fit on, as if they were stacked", NULL, 0, 0},
    {"transform", OPTION_TEXT, offsetof(settings, transform), "SPEC", "what to fit, such as whiten:256+normalize", NULL, 0, 0},
    {"save", OPTION_TEXT, offsetof(settings, save), "MODEL", "write the fitted transform", NULL, 0, 0},
    {"model", OPTION_TEXT, offsetof(settings, model), "MODEL", "use a saved transform instead of fitting one", NULL, 0, 0},
    {"apply", OPTION_TEXT, offsetof(settings, apply), "A", "array to transform", NULL, 0, 0},
    {"out", OPTION_TEXT, offsetof(settings, out), "FILE", "where the result goes: .npy, .npz or .safetensors", NULL, 0, 0},
    {"tolerance", OPTION_REAL, offsetof(settings, tolerance), "X", "ICA: when to stop (default: fastica 1e-4, picard 1e-7)", NULL, 0,
     0},
    {"max-iterations", OPTION_COUNT, offsetof(settings, max_iterations), "N", "ICA: at most (default: fastica 200, picard 500)", NULL,
     1, UINT32_MAX},
    {"start-seed", OPTION_COUNT, offsetof(settings, start_seed), "N", "ICA: start from RandomState(N) (default: 0)", NULL, 0,
     UINT32_MAX},
    {"precision", OPTION_CHOICE, offsetof(settings, precision), NULL, "of products (default: f32; sums are f64)", precisions, 0, 0},
    {"order", OPTION_CHOICE, offsetof(settings, order), NULL, "of the components of the last fitted step", orders, 0, 0},
    {"component-sign", OPTION_CHOICE, offsetof(settings, sign), NULL, "of the components of the last fitted step", signs, 0, 0},
    {"cache-bytes", OPTION_COUNT, offsetof(settings, cache_bytes), "N", "whitened rows kept between passes (default: 128 MiB)", NULL,
     1, UINT64_MAX},
    {0},
};

/* What the run has made so far; zeroed members are not there. */
typedef struct run {
    cli_session    *session;
    const settings *settings;
    mmcl_transform *transform;
    features       *parts; /* [settings->fit.count] */
    uint64_t        estimated_bytes;
    mmcl_writer    *writer;
    features        source;
    double          fit_seconds, apply_seconds;
    signs_check     signs;
} run;

static int check_settings(const settings *s)
{
    if (s->fit.count > 0 && s->model != NULL)
        return terminal_fail(EXIT_USAGE, "--fit and --model exclude each other");
    if (s->fit.count == 0 && s->model == NULL)
        return terminal_fail(EXIT_USAGE, "--fit A --transform SPEC, or --model MODEL, is needed");
    if (s->fit.count > 0 && s->transform == NULL)
        return terminal_fail(EXIT_USAGE, "--fit needs --transform SPEC");
    if (s->model != NULL && s->transform != NULL)
        return terminal_fail(EXIT_USAGE, "--model brings its own transform: --transform goes with --fit");
    if (s->model != NULL && s->save != NULL)
        return terminal_fail(EXIT_USAGE, "--model is a saved transform already: --save goes with --fit");
    if (s->model != NULL && s->apply == NULL)
        return terminal_fail(EXIT_USAGE, "--model needs --apply A --out FILE");
    if ((s->apply == NULL) != (s->out == NULL))
        return terminal_fail(EXIT_USAGE, "--apply and --out go together");
    if (s->save != NULL && s->out != NULL && strcmp(s->save, s->out) == 0)
        return terminal_fail(EXIT_USAGE, "--save and --out name the same file %s", s->out);
    return EXIT_OK;
}

/* ----------------------------------------------------------------------------------------------------------- fitting --- */

/* The options from the command line on top of the SPEC's: those of the solver on every ICA, order and sign on the last fitted step. */
static int set_steps(run *r)
{
    const settings *s     = r->settings;
    size_t          count = mmcl_transform_count(r->transform), last = count;
    for (size_t i = 0; i < count; i++) {
        mmcl_step_options step   = {.struct_size = sizeof step};
        mmcl_status       status = mmcl_transform_get_step(r->transform, i, &step);
        if (status == MMCL_OK && step.kind == MMCL_STEP_ICA) {
            step.tolerance      = s->tolerance;
            step.max_iterations = s->max_iterations;
            step.start_seed     = s->start_seed;
        }
        step.precision = s->precision;
        if (status == MMCL_OK)
            status = mmcl_transform_set_step(r->transform, i, &step);
        if (status != MMCL_OK)
            return session_fail(r->session, status, s->transform);
        last = steps_have_components(step.kind) ? i : last;
    }
    if (s->order == 0 && s->sign == 0)
        return EXIT_OK;
    if (last == count)
        return terminal_fail(EXIT_USAGE, "--order and --component-sign need a step with components: pca, whiten, ica or discriminants");
    mmcl_step_options step   = {.struct_size = sizeof step};
    mmcl_status       status = mmcl_transform_get_step(r->transform, last, &step);
    step.order               = s->order;
    step.sign                = s->sign;
    if (status == MMCL_OK)
        status = mmcl_transform_set_step(r->transform, last, &step);
    return status == MMCL_OK ? EXIT_OK : session_fail(r->session, status, s->transform);
}

static int open_parts(run *r, size_t *rows)
{
    const text_list *names = &r->settings->fit;
    r->parts               = memory_array(names->count, sizeof *r->parts);
    for (size_t i = 0; i < names->count; i++) {
        TRY(features_open(r->session, names->items[i], &r->parts[i]));
        if (r->parts[i].view.cols != r->parts[0].view.cols)
            return terminal_fail(EXIT_ERROR, "%s: it has %zu columns; %s has %zu", r->parts[i].name, r->parts[i].view.cols,
                                 r->parts[0].name, r->parts[0].view.cols);
        *rows += r->parts[i].view.rows;
    }
    return EXIT_OK;
}

static int fit(run *r)
{
    const settings  *s    = r->settings;
    size_t           rows = 0;
    mmcl_fit_options fit  = {.struct_size = sizeof fit, .cache_bytes = s->cache_bytes};
    mmcl_status      status = mmcl_transform_create_spec(&r->transform, r->session->context, s->transform);
    if (status == MMCL_E_INVAL)
        return terminal_fail(EXIT_USAGE, "--transform: %s", mmcl_context_message(r->session->context));
    if (status != MMCL_OK)
        return session_fail(r->session, status, NULL);
    TRY(set_steps(r));
    TRY(open_parts(r, &rows));
    mmcl_matrix *views = memory_array(s->fit.count, sizeof *views);
    for (size_t i = 0; i < s->fit.count; i++)
        views[i] = r->parts[i].view;
    double begin = session_seconds();
    status       = mmcl_transform_estimate(r->transform, rows, views[0].cols, &fit, &r->estimated_bytes);
    if (status == MMCL_OK || status == MMCL_E_INVAL) /* the fit tells better what does not fit together */
        status = mmcl_transform_fit(r->transform, views, s->fit.count, &fit);
    r->fit_seconds = session_seconds() - begin;
    free(views);
    if (status != MMCL_OK)
        return session_fail(r->session, status, s->fit.count == 1 ? r->parts[0].name : "--fit");
    TRY(signs_of_chain(r->session, r->transform, r->parts, s->fit.count, &r->signs));
    if (s->save == NULL)
        return EXIT_OK;
    status = mmcl_transform_save(r->transform, s->save);
    return status == MMCL_OK ? EXIT_OK : session_fail(r->session, status, s->save);
}

static int load(run *r)
{
    mmcl_status status = mmcl_transform_load(&r->transform, r->session->context, r->settings->model, NULL);
    return status == MMCL_OK ? EXIT_OK : session_fail(r->session, status, r->settings->model);
}

/* ---------------------------------------------------------------------------------------------------------- applying --- */

/* Before the fit, so that what is wrong with the files shows before the work. */
static int prepare_apply(run *r)
{
    if (r->settings->apply == NULL)
        return EXIT_OK;
    TRY(output_check("out", r->settings->out));
    mmcl_status status = mmcl_writer_create(&r->writer, r->session->context, r->settings->out);
    if (status != MMCL_OK)
        return session_fail(r->session, status, r->settings->out);
    return features_open(r->session, r->settings->apply, &r->source);
}

/* The writer takes the rows tile by tile, and each tile is transformed as it asks for it. */
static int apply(run *r)
{
    if (r->settings->apply == NULL)
        return EXIT_OK;
    double       begin = session_seconds();
    rows_applied rows;
    TRY(rows_applied_init(&rows, r->session, r->transform, &r->source.view, r->source.name));
    rows.report = true;
    terminal_stage("applying");
    mmcl_status status = mmcl_writer_add(r->writer, "x", &rows.view, MMCL_F32);
    if (status == MMCL_OK)
        status = mmcl_writer_commit(r->writer);
    r->apply_seconds = session_seconds() - begin;
    return status == MMCL_OK ? EXIT_OK : session_fail(r->session, status, r->settings->out);
}

/* ------------------------------------------------------------------------------------------------------------ report --- */

static void write_settings(json_writer *out, const run *r)
{
    const settings *s = r->settings;
    json_open_list(out, "fit");
    for (size_t i = 0; i < s->fit.count; i++)
        json_text(out, NULL, s->fit.items[i]);
    json_close(out);
    json_text(out, "transform", s->transform);
    json_text(out, "model", s->model);
    json_text(out, "save", s->save);
    json_text(out, "apply", s->apply);
    json_text(out, "out", s->out);
    json_count(out, "cache_bytes", s->cache_bytes);
    steps_write_options(out, "options", r->transform);
}

static void write_json(const void *run_of, json_writer *out)
{
    const run *r = run_of;
    size_t           inputs = 0, outputs = 0;
    mmcl_memory_info memory = {.struct_size = sizeof memory};
    step_list        steps  = steps_of(r->transform);
    session_open_json(r->session, out, "disentangle");
    write_settings(out, r);
    if (mmcl_transform_shape(r->transform, &inputs, &outputs) == MMCL_OK) {
        json_count(out, "inputs", inputs);
        json_count(out, "outputs", outputs);
    }
    steps_write_json(out, "steps", &steps);
    signs_json(&r->signs, out);
    if (r->settings->fit.count > 0)
        json_count(out, "estimated_bytes", r->estimated_bytes);
    if (mmcl_context_memory(r->session->context, &memory) == MMCL_OK)
        json_count(out, "peak_bytes", memory.peak_bytes);
    json_real(out, "fit_seconds", r->fit_seconds);
    if (r->settings->apply != NULL) {
        json_count(out, "applied_rows", r->source.view.rows);
        json_real(out, "apply_seconds", r->apply_seconds);
    }
    json_real(out, "seconds", r->fit_seconds + r->apply_seconds);
    json_close(out);
}

static void print_report(const run *r)
{
    size_t    outputs = 0;
    step_list steps   = steps_of(r->transform);
    steps_print(&steps);
    if (r->settings->save != NULL)
        printf("saved %s\n", r->settings->save);
    if (r->settings->out != NULL && mmcl_transform_shape(r->transform, NULL, &outputs) == MMCL_OK)
        printf("wrote %s: %zu rows of %zu columns\n", r->settings->out, r->source.view.rows, outputs);
}

static int work(run *r, text_output *json)
{
    TRY(output_open(json, "json", r->settings->common.json));
    TRY(output_check("save", r->settings->save));
    TRY(prepare_apply(r));
    TRY(r->settings->model != NULL ? load(r) : fit(r));
    TRY(apply(r));
    terminal_clear();
    terminal_flush_notes();
    if (json->file != stdout)
        print_report(r);
    return output_json(json, write_json, r);
}

static int disentangle(cli_session *session, const void *given, const text_list *operands)
{
    const settings *s = given;
    (void) operands;
    TRY(check_settings(s));
    run         r    = {.session = session, .settings = s};
    text_output json = {0};
    int         code = work(&r, &json);
    output_discard(&json);
    mmcl_writer_destroy(r.writer);
    features_close(&r.source);
    for (size_t i = 0; r.parts != NULL && i < s->fit.count; i++)
        features_close(&r.parts[i]);
    free(r.parts);
    mmcl_transform_destroy(r.transform);
    return code;
}

const cli_command disentangle_command = {
    .name     = "disentangle",
    .summary  = "fit, save and apply a transform: PCA, whitening, ICA",
    .synopsis = "--fit A[,B...] --transform SPEC [--save MODEL] [--apply A --out FILE]\n"
                "       mmcl disentangle --model MODEL --apply A --out FILE",
    .text     = "Fits a transform on feature rows and tells how each step went. Rows are streamed: files larger than the\n"
                "memory are fine.\n"
                "\n"
                "SPEC joins steps by +: raw, center, normalize, pca:K, whiten:K,\n"
                "ica:K[:fastica|:deflation|:picard|:picard-free][:logcosh|:exp|:cube][:auto|:super|:sub],\n"
                "power:P, relevance:E[:N] and discriminants:K[:S]. Chains joined by / stand side by side.\n"
                "ica:K is centring, whitening to K columns and ICA at unit variance; whiten:K gives the K leading components\n"
                "at population variance 1. The start of ICA does not depend on --seed, but on --start-seed.\n"
                "power:P is sign(x) |x|^P. relevance:E weights each column by (variance / variance between a row and its N near\n"
                "neighbours)^(E/2); discriminants:K are the K directions where that ratio is largest.\n"
                "On rows of norm 1, fixed signs of the contrast are tried beside automatic ones, and a note tells when they find more.\n"
                "\n"
                "Arrays are named FILE (.npy), FILE.npz:KEY or FILE.safetensors:KEY; float16, float32 and float64 are read.\n"
                "The result of --apply is float32, under the key x. Not converging is a result, not an error: see `stopped by`.",
    .example  = "mmcl disentangle --fit pool.npy --transform whiten:256+normalize --save model.npz \\\n"
                "                   --apply test.npz:test_x --out white.npy --json fit.json",
    .options       = options,
    .settings_size = sizeof(settings),
    .run           = disentangle,
};
