/* mmcl info: what is in a file. */
#include "memory.h"
#include "output.h"
#include "session.h"
#include "steps.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct settings {
    common_settings common;
} settings;

static const cli_option options[] = {{0}};

/* What a checkpoint tells about its training. */
typedef struct checkpoint {
    bool    there;
    int64_t step;
    double  loss;
    char   *widths[2]; /* "96-16-4" by side; NULL for a host's encoder */
} checkpoint;

typedef struct run {
    cli_session          *session;
    const char           *path;
    mmcl_archive         *archive;
    mmcl_array_info      *arrays;    /* [count] */
    size_t                count;
    mmcl_pipeline        *pipeline;  /* when the file is one */
    mmcl_transform       *own;       /* when the file is a model */
    const mmcl_transform *transform; /* the model, or the pipeline's; NULL: none */
    checkpoint            checkpoint;
} run;

static int read_arrays(run *r)
{
    r->count  = mmcl_archive_count(r->archive);
    r->arrays = memory_array(r->count, sizeof *r->arrays);
    for (size_t i = 0; i < r->count; i++) {
        mmcl_array *array  = NULL;
        const char *key    = mmcl_archive_key(r->archive, i);
        mmcl_status status = mmcl_archive_array(&array, r->archive, key);
        r->arrays[i]       = (mmcl_array_info){.struct_size = sizeof r->arrays[i]};
        if (status != MMCL_OK)
            return session_fail(r->session, status, r->path);
        status = mmcl_array_get_info(array, &r->arrays[i]);
        mmcl_array_destroy(array);
        if (status != MMCL_OK)
            return session_fail_status(r->session, status, r->path);
    }
    return EXIT_OK;
}

/* A pipeline, a model, or neither: only a damaged or newer one of them is an error. */
static int read_model(run *r)
{
    mmcl_context *context = r->session->context;
    mmcl_status   status  = mmcl_pipeline_load(&r->pipeline, context, r->path, NULL);
    if (status == MMCL_OK)
        r->transform = mmcl_pipeline_transform(r->pipeline);
    else
        status = mmcl_transform_load(&r->own, context, r->path, NULL);
    if (r->own != NULL)
        r->transform = r->own;
    if (status == MMCL_E_VERSION || status == MMCL_E_NOMEM)
        return session_fail(r->session, status, r->path);
    return EXIT_OK;
}

/* The array of a key, NULL where there is none. */
static mmcl_array *array_of(const run *r, const char *key)
{
    mmcl_array *array = NULL;
    return mmcl_archive_has(r->archive, key) && mmcl_archive_array(&array, r->archive, key) == MMCL_OK ? array : NULL;
}

/* "96-16-4", NULL where there is no such array of whole numbers. */
static char *read_widths(const run *r, const char *key)
{
    int64_t         widths[MMCL_MAX_HIDDEN + 2];
    mmcl_array_info info  = {.struct_size = sizeof info};
    mmcl_array     *array = array_of(r, key);
    char           *text  = NULL;
    if (array != NULL && mmcl_array_get_info(array, &info) == MMCL_OK && info.elements <= MMCL_MAX_HIDDEN + 2 &&
        mmcl_array_labels(array, widths, (size_t) info.elements) == MMCL_OK)
        for (size_t i = 0; i < info.elements; i++) {
            char *longer = memory_format("%s%s%lld", i > 0 ? text : "", i > 0 ? "-" : "", (long long) widths[i]);
            free(text);
            text = longer;
        }
    mmcl_array_destroy(array);
    return text;
}

/* The first of some real numbers. */
static bool read_first(const run *r, const char *key, double *out)
{
    mmcl_matrix view;
    mmcl_array *array = array_of(r, key);
    bool        found = array != NULL && mmcl_array_matrix(array, &view) == MMCL_OK && view.dtype == MMCL_F64 && view.rows > 0;
    if (found && view.data != NULL)
        memcpy(out, view.data, sizeof *out);
    else if (found)
        found = view.read(view.read_user, 0, 1, out) == MMCL_OK;
    mmcl_array_destroy(array);
    return found;
}

static void read_checkpoint(run *r)
{
    checkpoint *c        = &r->checkpoint;
    char        kind[16] = "";
    mmcl_array *array    = array_of(r, "kind");
    if (array == NULL || mmcl_array_string(array, 0, kind, sizeof kind, NULL) != MMCL_OK)
        kind[0] = '\0';
    mmcl_array_destroy(array);
    if (strcmp(kind, "checkpoint") != 0)
        return;
    array    = array_of(r, "step");
    c->there = array != NULL && mmcl_array_labels(array, &c->step, 1) == MMCL_OK && read_first(r, "state", &c->loss);
    mmcl_array_destroy(array);
    c->widths[0] = read_widths(r, "x/widths");
    c->widths[1] = read_widths(r, "t/widths");
}

static const char *kind_of(const run *r)
{
    if (r->pipeline != NULL)
        return "pipeline";
    if (r->checkpoint.there)
        return "checkpoint";
    return r->own != NULL ? "transform" : "arrays";
}

static void print_array(const char *key, const mmcl_array_info *info)
{
    char shape[160] = "scalar";
    int  used       = 0;
    for (uint32_t i = 0; i < info->dimensions && used < 140; i++)
        used += snprintf(shape + used, sizeof shape - (size_t) used, "%s%llu", i > 0 ? " x " : "", (unsigned long long) info->shape[i]);
    printf("  %-20s %-10s %-22s%s%s%s%s\n", key[0] != '\0' ? key : "(the array)", mmcl_dtype_name(info->dtype), shape,
           info->fortran ? " column-major" : "", info->swapped ? " other byte order" : "", info->mapped ? " mapped" : "",
           info->compressed ? " compressed" : "");
}

static void print_report(const run *r)
{
    size_t    inputs = 0, outputs = 0, classes = 0;
    step_list steps = steps_of(r->transform);
    if (r->pipeline != NULL && mmcl_classifier_shape(mmcl_pipeline_classifier(r->pipeline), &inputs, &classes) == MMCL_OK)
        printf("%s: pipeline, %zu classes%s, classifier on %zu columns\n", r->path, classes,
               mmcl_pipeline_class_name(r->pipeline, 0) != NULL ? " with names" : "", inputs);
    else
        printf("%s: %s\n", r->path, kind_of(r));
    if (r->checkpoint.there) {
        const char *const *widths = (const char *const *) r->checkpoint.widths;
        printf("step %lld, loss %.4f, encoder x %s, encoder t %s\n", (long long) r->checkpoint.step, r->checkpoint.loss,
               widths[0] != NULL ? widths[0] : "of a host", widths[1] != NULL ? widths[1] : "of a host");
    }
    if (r->transform != NULL && mmcl_transform_shape(r->transform, &inputs, &outputs) == MMCL_OK) {
        printf("transform from %zu to %zu columns:\n", inputs, outputs);
        steps_print(&steps);
    }
    printf("%zu array%s:\n", r->count, r->count == 1 ? "" : "s");
    for (size_t i = 0; i < r->count; i++)
        print_array(mmcl_archive_key(r->archive, i), &r->arrays[i]);
}

static void write_array(json_writer *out, const char *key, const mmcl_array_info *info)
{
    json_open_object(out, NULL);
    json_text(out, "key", key);
    json_text(out, "dtype", mmcl_dtype_name(info->dtype));
    json_open_list(out, "shape");
    for (uint32_t i = 0; i < info->dimensions; i++)
        json_count(out, NULL, info->shape[i]);
    json_close(out);
    json_count(out, "element_bytes", info->element_bytes);
    json_flag(out, "fortran", info->fortran != 0);
    json_flag(out, "swapped", info->swapped != 0);
    json_flag(out, "mapped", info->mapped != 0);
    json_flag(out, "compressed", info->compressed != 0);
    json_close(out);
}

static void write_json(const void *run_of, json_writer *out)
{
    const run *r = run_of;
    size_t    inputs = 0, outputs = 0, classes = 0;
    step_list steps = steps_of(r->transform);
    session_open_json(r->session, out, "info");
    json_text(out, "file", r->path);
    json_text(out, "kind", kind_of(r));
    json_open_list(out, "arrays");
    for (size_t i = 0; i < r->count; i++)
        write_array(out, mmcl_archive_key(r->archive, i), &r->arrays[i]);
    json_close(out);
    if (r->pipeline != NULL && mmcl_classifier_shape(mmcl_pipeline_classifier(r->pipeline), &inputs, &classes) == MMCL_OK) {
        json_count(out, "classifier_inputs", inputs);
        json_count(out, "classes", classes);
        json_open_list(out, "classnames");
        for (size_t i = 0; i < classes && mmcl_pipeline_class_name(r->pipeline, i) != NULL; i++)
            json_text(out, NULL, mmcl_pipeline_class_name(r->pipeline, i));
        json_close(out);
    }
    if (r->transform != NULL && mmcl_transform_shape(r->transform, &inputs, &outputs) == MMCL_OK) {
        json_count(out, "inputs", inputs);
        json_count(out, "outputs", outputs);
        steps_write_json(out, "steps", &steps);
    }
    if (r->checkpoint.there) {
        json_count(out, "step", (uint64_t) r->checkpoint.step);
        json_real(out, "loss", r->checkpoint.loss);
        for (int side = 0; side < 2; side++)
            if (r->checkpoint.widths[side] != NULL)
                json_text(out, side == 0 ? "widths_x" : "widths_t", r->checkpoint.widths[side]);
    }
    json_close(out);
}

static int work(run *r, const char *json_path, text_output *json)
{
    TRY(output_open(json, "json", json_path));
    mmcl_status status = mmcl_archive_open(&r->archive, r->session->context, r->path, NULL);
    if (status != MMCL_OK)
        return session_fail(r->session, status, r->path);
    TRY(read_arrays(r));
    TRY(read_model(r));
    read_checkpoint(r);
    terminal_flush_notes();
    if (json->file != stdout)
        print_report(r);
    return output_json(json, write_json, r);
}

static int info(cli_session *session, const void *given, const text_list *operands)
{
    const settings *s    = given;
    run             r    = {.session = session, .path = operands->items[0]};
    text_output     json = {0};
    int             code = work(&r, s->common.json, &json);
    output_discard(&json);
    mmcl_archive_destroy(r.archive);
    mmcl_pipeline_destroy(r.pipeline);
    mmcl_transform_destroy(r.own);
    free(r.arrays);
    free(r.checkpoint.widths[0]);
    free(r.checkpoint.widths[1]);
    return code;
}

const cli_command info_command = {
    .name     = "info",
    .summary  = "what is in an array, archive, model or pipeline file",
    .synopsis = "FILE",
    .text     = "Shows the arrays of an .npy, .npz or .safetensors file with their types and shapes, for a saved transform or\n"
                "pipeline its steps and classes, for a checkpoint its step, loss and encoders. Every array is read once, so damage is found.",
    .example  = "mmcl info features.npz",
    .options        = options,
    .settings_size  = sizeof(settings),
    .operands_least = 1,
    .operands_most  = 1,
    .operands       = "one FILE",
    .run            = info,
};
