/* mmcl predict: classes and scores of new rows by a saved pipeline. */
#include "memory.h"
#include "output.h"
#include "rows.h"
#include "session.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TILE 1024 /* rows predicted at a time */

typedef struct settings {
    common_settings common;
    const char     *in, *out;
} settings;

static const cli_option options[] = {
    {"in", OPTION_TEXT, offsetof(settings, in), "A", "array of feature rows", NULL, 0, 0},
    {"out", OPTION_TEXT, offsetof(settings, out), "FILE", "write there instead: .npz, .safetensors, or .npy (classes only)", NULL, 0, 0},
    {0},
};

typedef struct run {
    cli_session    *session;
    const settings *settings;
    mmcl_pipeline  *pipeline;
    size_t          classes;
    features        rows;
    int64_t        *answers; /* [rows] */
    float          *best;    /* [rows] score of the answer */
    double          seconds;
} run;

/* Scores of `count` rows into `scores`, with their answers; the library's answer comes without a message, so this finds the row. */
static mmcl_status predict_rows(run *r, size_t first, size_t count, float *scores)
{
    rows_slice slice;
    rows_slice_init(&slice, &r->rows.view, first, count);
    if (session_interrupted())
        return MMCL_E_CANCELLED;
    mmcl_status status = mmcl_pipeline_predict(r->pipeline, &slice.view, r->answers + first, scores);
    if (status == MMCL_E_NUMERIC) {
        size_t bad = 0;
        for (; bad + 1 < count; bad++) {
            rows_slice_init(&slice, &r->rows.view, first + bad, 1);
            if (mmcl_pipeline_predict(r->pipeline, &slice.view, r->answers + first + bad, scores) != MMCL_OK)
                break;
        }
        return session_callback_failed(r->session, status, "%s: row %zu holds NaN or infinity", r->rows.name, first + bad);
    }
    for (size_t i = 0; status == MMCL_OK && i < count; i++)
        r->best[first + i] = scores[i * r->classes + (size_t) r->answers[first + i]];
    terminal_progress("rows", first + count, r->rows.view.rows, NAN);
    return status;
}

static mmcl_status read_scores(void *user, size_t first, size_t count, void *out)
{
    return predict_rows(user, first, count, out);
}

static int predict_all(run *r)
{
    float *scores = memory_array(TILE * r->classes, sizeof *scores);
    int    code   = EXIT_OK;
    for (size_t first = 0; first < r->rows.view.rows && code == EXIT_OK; first += TILE) {
        size_t      count  = r->rows.view.rows - first < TILE ? r->rows.view.rows - first : TILE;
        mmcl_status status = predict_rows(r, first, count, scores);
        if (status != MMCL_OK)
            code = session_fail_status(r->session, status, r->rows.name);
    }
    free(scores);
    return code;
}

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), tail = strlen(end);
    return length >= tail && strcmp(text + length - tail, end) == 0;
}

/* The class names into an .npz, where the pipeline has some. */
static mmcl_status add_names(const run *r, mmcl_writer *writer)
{
    if (mmcl_pipeline_class_name(r->pipeline, 0) == NULL || !ends_with(r->settings->out, ".npz"))
        return MMCL_OK;
    const char **names = memory_array(r->classes, sizeof *names);
    for (size_t i = 0; i < r->classes; i++)
        names[i] = mmcl_pipeline_class_name(r->pipeline, i);
    mmcl_status status = mmcl_writer_add_strings(writer, "classnames", names, r->classes);
    free(names);
    return status;
}

/* The answers are there once the writer has asked for all scores. */
static int write_arrays(run *r, mmcl_writer *writer)
{
    mmcl_matrix scores = {.rows = r->rows.view.rows, .cols = r->classes, .read = read_scores, .read_user = r, .dtype = MMCL_F32};
    mmcl_status status = MMCL_OK;
    if (ends_with(r->settings->out, ".npy"))
        TRY(predict_all(r));
    else
        status = mmcl_writer_add(writer, "scores", &scores, MMCL_F32);
    if (status == MMCL_OK)
        status = mmcl_writer_add_labels(writer, "classes", r->answers, r->rows.view.rows);
    if (status == MMCL_OK)
        status = add_names(r, writer);
    if (status == MMCL_OK)
        status = mmcl_writer_commit(writer);
    return status == MMCL_OK ? EXIT_OK : session_fail(r->session, status, r->settings->out);
}

static void print_answers(const run *r)
{
    for (size_t i = 0; i < r->rows.view.rows; i++) {
        const char *name = mmcl_pipeline_class_name(r->pipeline, (size_t) r->answers[i]);
        printf("%" PRId64 "\t%s%s%.6g\n", r->answers[i], name != NULL ? name : "", name != NULL ? "\t" : "", (double) r->best[i]);
    }
}

static void write_json(const void *run_of, json_writer *out)
{
    const run *r = run_of;
    session_open_json(r->session, out, "predict");
    json_text(out, "in", r->settings->in);
    json_text(out, "out", r->settings->out);
    json_count(out, "rows", r->rows.view.rows);
    json_count(out, "classes", r->classes);
    json_real(out, "seconds", r->seconds);
    json_open_list(out, "predictions");
    for (size_t i = 0; r->settings->out == NULL && i < r->rows.view.rows; i++) {
        const char *name = mmcl_pipeline_class_name(r->pipeline, (size_t) r->answers[i]);
        json_open_object(out, NULL);
        json_integer(out, "class", r->answers[i]);
        if (name != NULL)
            json_text(out, "name", name);
        json_real(out, "score", (double) r->best[i]);
        json_close(out);
    }
    json_close(out);
    json_close(out);
}

static int open_inputs(run *r, const char *path)
{
    size_t      inputs = 0;
    mmcl_status status = mmcl_pipeline_load(&r->pipeline, r->session->context, path, NULL);
    if (status != MMCL_OK)
        return session_fail(r->session, status, path);
    status = mmcl_classifier_shape(mmcl_pipeline_classifier(r->pipeline), &inputs, &r->classes);
    if (status == MMCL_OK && mmcl_pipeline_transform(r->pipeline) != NULL)
        status = mmcl_transform_shape(mmcl_pipeline_transform(r->pipeline), &inputs, NULL);
    if (status != MMCL_OK)
        return session_fail_status(r->session, status, path);
    TRY(features_open(r->session, r->settings->in, &r->rows));
    if (r->rows.view.cols != inputs)
        return terminal_fail(EXIT_ERROR, "%s: it has %zu columns; %s takes %zu", r->rows.name, r->rows.view.cols, path, inputs);
    r->answers = memory_array(r->rows.view.rows, sizeof *r->answers);
    r->best    = memory_array(r->rows.view.rows, sizeof *r->best);
    return EXIT_OK;
}

static int work(run *r, const char *path, text_output *json, mmcl_writer **writer)
{
    TRY(output_open(json, "json", r->settings->common.json));
    TRY(output_check("out", r->settings->out));
    TRY(open_inputs(r, path));
    if (r->settings->out != NULL) {
        mmcl_status status = mmcl_writer_create(writer, r->session->context, r->settings->out);
        if (status != MMCL_OK)
            return session_fail(r->session, status, r->settings->out);
    }
    double begin = session_seconds();
    TRY(r->settings->out != NULL ? write_arrays(r, *writer) : predict_all(r));
    r->seconds = session_seconds() - begin;
    terminal_clear();
    terminal_flush_notes();
    if (r->settings->out == NULL && json->file != stdout)
        print_answers(r);
    return output_json(json, write_json, r);
}

static int predict(cli_session *session, const void *given, const text_list *operands)
{
    const settings *s = given;
    if (s->in == NULL)
        return terminal_fail(EXIT_USAGE, "--in A is needed");
    run          r      = {.session = session, .settings = s};
    text_output  json   = {0};
    mmcl_writer *writer = NULL;
    int          code   = work(&r, operands->items[0], &json, &writer);
    output_discard(&json);
    mmcl_writer_destroy(writer);
    features_close(&r.rows);
    mmcl_pipeline_destroy(r.pipeline);
    free(r.answers);
    free(r.best);
    return code;
}

const cli_command predict_command = {
    .name     = "predict",
    .summary  = "classes and scores of new rows, by a saved pipeline",
    .synopsis = "PIPELINE --in A [--out FILE]",
    .text     = "PIPELINE is a file that `mmcl probe --save` wrote. One line a row: the number of the class, its name where the\n"
                "pipeline has names, and its score (the logit), with tabs between.\n"
                "\n"
                "With --out nothing is printed; an .npz receives scores [rows, classes], classes [rows] and classnames, a\n"
                ".safetensors file scores and classes, an .npy the classes alone.",
    .example  = "mmcl predict pets.npz --in new.npy > classes.tsv",
    .options        = options,
    .settings_size  = sizeof(settings),
    .operands_least = 1,
    .operands_most  = 1,
    .operands       = "one PIPELINE",
    .run            = predict,
};
