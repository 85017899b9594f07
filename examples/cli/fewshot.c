/* Few-shot heads on one or more data sets and transforms: what `mmcl probe` and `mmcl adapt` run. */
#include "fewshot.h"

#include "memory.h"
#include "output.h"
#include "pool.h"

#include <stdlib.h>
#include <string.h>

const char *const fewshot_protocols[] = {"strict", "paper", NULL};

/* CoOp's search, written out so that the JSON can tell it. */
static const double        search_grid[] = {1e6, 1e4, 1e2, 1, 1e-2, 1e-4, 1e-6};
const mmcl_search_options fewshot_search  = {.struct_size    = sizeof fewshot_search,
                                           .grid           = search_grid,
                                           .grid_count     = sizeof search_grid / sizeof *search_grid,
                                           .steps          = 8,
                                           .tolerance      = 1e-7,
                                           .max_iterations = 1000};

static const uint64_t default_shots[] = {1, 2, 4, 8, 16};

/* A transform that was fitted on the pool once, for all rows that use it. */
typedef struct pool_fit {
    mmcl_transform *transform; /* NULL: not yet */
    uint64_t        rows;
    double          seconds;
} pool_fit;

typedef struct work_state {
    fewshot_run      run;
    pool_view     *pools;      /* [data_count] */
    size_t        *same_pool;  /* [data_count] first data set that leaves out the same rows */
    pool_fit      *fits;       /* [data_count, spec_count] */
    mmcl_pipeline *pipeline;   /* of the best row so far, where one is saved */
} work_state;

/* The library's view of a data set. */
typedef struct borrowed_data {
    mmcl_fewshot_data data;
    mmcl_domain      *domains;
} borrowed_data;

/* ------------------------------------------------------------------------------------------------------- preparing --- */

static int check_settings(const fewshot_settings *s, const text_list *operands)
{
    const char *outputs[] = {s->common.json, s->save, s->plot};
    for (size_t i = 0; i < 3; i++)
        for (size_t j = 0; j < i; j++)
            if (outputs[i] != NULL && outputs[j] != NULL && strcmp(outputs[i], outputs[j]) == 0)
                return terminal_fail(EXIT_USAGE, "two outputs have the same name: %s", outputs[i]);
    if (s->save != NULL && operands->count > 1)
        return terminal_fail(EXIT_USAGE, "--save needs a single DATA; %zu are given", operands->count);
    if (s->common.seed + fewshot_seeds(s) - 1 > UINT32_MAX)
        return terminal_fail(EXIT_USAGE, "--seed %llu with --seeds %llu: the last seed must be below 2^32",
                             (unsigned long long) s->common.seed, (unsigned long long) s->seeds);
    return EXIT_OK;
}

/* A chain from a SPEC; one that is not understood is bad usage. Under the paper's protocol components are clipped to the rank. */
static int create_transform(fewshot_run *run, size_t spec, mmcl_transform **out)
{
    mmcl_status status = mmcl_transform_create_spec(out, run->session->context, run->specs[spec]);
    if (status == MMCL_E_INVAL)
        return terminal_fail(EXIT_USAGE, "--transform: %s", mmcl_context_message(run->session->context));
    for (size_t i = 0; status == MMCL_OK && i < mmcl_transform_count(*out); i++) {
        mmcl_step_options step = {.struct_size = sizeof step};
        status                 = mmcl_transform_get_step(*out, i, &step);
        step.clip_components   = run->settings->protocol == MMCL_PROTOCOL_PAPER;
        if (status == MMCL_OK)
            status = mmcl_transform_set_step(*out, i, &step);
    }
    return status == MMCL_OK ? EXIT_OK : session_fail(run->session, status, run->specs[spec]);
}

/* Whether anything is learnt from rows: raw, normalize and power need no pool. */
static bool learns(const mmcl_transform *transform)
{
    for (size_t i = 0; i < mmcl_transform_count(transform); i++) {
        mmcl_step_options step = {.struct_size = sizeof step};
        if (mmcl_transform_get_step(transform, i, &step) == MMCL_OK && step.kind != MMCL_STEP_NORMALIZE && step.kind != MMCL_STEP_POWER &&
            step.kind != MMCL_STEP_BESIDE)
            return true;
    }
    return false;
}

static int check_specs(fewshot_run *run)
{
    const text_list *given = &run->settings->transforms;
    run->spec_count        = given->count > 0 ? given->count : 1;
    run->specs             = memory_array(run->spec_count, sizeof *run->specs);
    for (size_t i = 0; i < run->spec_count; i++) {
        mmcl_transform *trial = NULL;
        run->specs[i]         = given->count > 0 ? given->items[i] : "raw";
        int code              = create_transform(run, i, &trial);
        mmcl_transform_destroy(trial);
        TRY(code);
    }
    return EXIT_OK;
}

/* Numbers of shots for a data set: those asked for, or those of the defaults and of the fixed draws that it can give. */
static count_list shots_of(const fewshot_run *run, const dataset *data)
{
    count_list list = {0};
    if (run->settings->shots.count > 0 || data->train.x.array != NULL) {
        bool given = run->settings->shots.count > 0;
        list.count = given ? run->settings->shots.count : sizeof default_shots / sizeof *default_shots;
        list.items = memory_array(list.count, sizeof *list.items);
        memcpy(list.items, given ? run->settings->shots.items : default_shots, list.count * sizeof *list.items);
        return list;
    }
    list.count = data->fixed_count;
    list.items = memory_array(list.count, sizeof *list.items);
    for (size_t i = 0; i < list.count; i++)
        list.items[i] = data->fixed[i].shots;
    return list;
}

/* Every number of shots must be there, with a row for each class. */
static int check_shots(const dataset *data, const count_list *shots)
{
    for (size_t i = 0; i < shots->count; i++) {
        bool                 fixed;
        const labelled_rows *train = dataset_train(data, shots->items[i], &fixed);
        if (train == NULL)
            return terminal_fail(EXIT_ERROR, "%s: neither shot%llu_x nor train_x for %llu shots", data->path,
                                 (unsigned long long) shots->items[i], (unsigned long long) shots->items[i]);
        TRY(dataset_check_classes(data, train));
    }
    return EXIT_OK;
}

/* Without --method: the probe. A method that needs text needs it in every data set. */
static int check_methods(fewshot_run *run)
{
    const text_list *given = &run->settings->methods;
    run->method_count      = given->count > 0 ? given->count : 1;
    run->methods           = memory_array(run->method_count, sizeof *run->methods);
    for (size_t i = 0; i < given->count; i++) {
        const char *names[64] = {0};
        if (mmcl_method_parse(&run->methods[i], given->items[i]) == MMCL_OK)
            continue;
        for (int method = 1; method < 63 && mmcl_method_name(method) != NULL; method++)
            names[method - 1] = mmcl_method_name(method);
        const char *nearest = args_nearest(given->items[i], names);
        return terminal_fail(EXIT_USAGE, "--method: unknown method %s%s%s%s", given->items[i], nearest != NULL ? "; did you mean " : "",
                             nearest != NULL ? nearest : "; mmcl help adapt lists them", nearest != NULL ? "?" : "");
    }
    return EXIT_OK;
}

static int check_text(const fewshot_run *run, const dataset *data)
{
    for (size_t i = 0; i < run->method_count; i++)
        if (mmcl_method_needs_text(run->methods[i]) && data->text.x.array == NULL)
            return terminal_fail(EXIT_ERROR, "%s: %s starts from text, and there is neither text_x nor --text", data->path,
                                 mmcl_method_name(run->methods[i]));
    return EXIT_OK;
}

static int open_data(fewshot_run *run, const text_list *operands)
{
    run->data     = memory_array(operands->count, sizeof *run->data);
    run->left_out = memory_array(operands->count, sizeof *run->left_out);
    for (size_t i = 0; i < operands->count; i++) {
        run->data_count = i + 1;
        TRY(dataset_open(run->session, operands->items[i], &run->data[i]));
        if (run->settings->text != NULL)
            TRY(dataset_set_text(run->session, &run->data[i], run->settings->text));
        TRY(check_text(run, &run->data[i]));
        count_list shots = shots_of(run, &run->data[i]);
        int        code  = check_shots(&run->data[i], &shots);
        run->rows_planned += shots.count * run->spec_count * run->method_count * fewshot_seeds(run->settings);
        free(shots.items);
        TRY(code);
    }
    run->rows = memory_array(run->rows_planned, sizeof *run->rows);
    return EXIT_OK;
}

/* ------------------------------------------------------------------------------------------------------------- pool --- */

static bool same_rows(const pool_view *a, const pool_view *b)
{
    return a->rows.count == b->rows.count &&
           (a->rows.count == 0 || memcmp(a->left_out, b->left_out, a->rows.count * sizeof *a->left_out) == 0);
}

/* What each data set may use of the pool: under the strict protocol nothing that it is validated or tested with. */
static int open_pool(work_state *w)
{
    fewshot_run *run = &w->run;
    if (run->settings->pool == NULL)
        return EXIT_OK;
    TRY(features_open(run->session, run->settings->pool, &run->pool));
    w->pools     = memory_array(run->data_count, sizeof *w->pools);
    w->same_pool = memory_array(run->data_count, sizeof *w->same_pool);
    w->fits      = memory_array(run->data_count * run->spec_count, sizeof *w->fits);
    for (size_t i = 0; i < run->data_count; i++) {
        if (run->settings->protocol == MMCL_PROTOCOL_STRICT)
            TRY(pool_without(run->session, &run->pool, &run->data[i], &w->pools[i]));
        else
            rows_without_init(&w->pools[i].rows, &run->pool.view, NULL, 0);
        run->left_out[i] = w->pools[i].rows.count;
        while (!same_rows(&w->pools[w->same_pool[i]], &w->pools[i]))
            w->same_pool[i]++;
    }
    return EXIT_OK;
}

/* The transform fitted on the pool, now or for an earlier row. */
static int fit_on_pool(work_state *w, size_t data, mmcl_transform *unfitted, size_t spec, pool_fit **out, bool *reused)
{
    size_t    first = w->same_pool[data];
    pool_fit *fit   = &w->fits[first * w->run.spec_count + spec];
    *out            = fit;
    *reused         = fit->transform != NULL;
    if (*reused) {
        mmcl_transform_destroy(unfitted);
        return EXIT_OK;
    }
    double      begin  = session_seconds();
    mmcl_status status = mmcl_transform_fit(unfitted, &w->pools[first].rows.view, 1, NULL);
    fit->seconds       = session_seconds() - begin;
    fit->rows          = w->pools[first].rows.view.rows;
    if (status == MMCL_OK) {
        fit->transform = unfitted;
        return EXIT_OK;
    }
    mmcl_transform_destroy(unfitted);
    return session_fail(w->run.session, status, w->run.pool.name);
}

/* ---------------------------------------------------------------------------------------------------------- one row --- */

static mmcl_labelled borrow_rows(const labelled_rows *rows)
{
    return (mmcl_labelled){.features = rows->x.view, .labels = rows->y};
}

static void borrow_data(const dataset *data, uint64_t shots, borrowed_data *out)
{
    bool                 fixed;
    const labelled_rows *train = dataset_train(data, shots, &fixed);
    out->domains               = memory_array(data->domain_count, sizeof *out->domains);
    out->data = (mmcl_fewshot_data){.struct_size  = sizeof out->data,
                                    .classes      = data->classes,
                                    .train        = borrow_rows(train),
                                    .val          = borrow_rows(&data->val),
                                    .test         = borrow_rows(&data->test),
                                    .domains      = out->domains,
                                    .domain_count = data->domain_count,
                                    .fixed        = fixed,
                                    .text         = borrow_rows(&data->text)};
    for (size_t i = 0; i < data->domain_count; i++)
        out->domains[i] = (mmcl_domain){.name = data->domains[i].name, .mask = data->domains[i].mask, .rows = borrow_rows(&data->domains[i].rows)};
}

/* Keeps the pipeline of the row that is best on val; of equal ones the first. */
static int keep_best(work_state *w, const fewshot_row *row, const mmcl_transform *transform, const mmcl_classifier *classifier)
{
    fewshot_run *run = &w->run;
    if (run->settings->save == NULL)
        return EXIT_OK;
    if (w->pipeline != NULL && !(row->val_accuracy > run->rows[run->best].val_accuracy))
        return EXIT_OK;
    mmcl_pipeline_destroy(w->pipeline);
    const dataset *data   = &run->data[row->data];
    mmcl_status    status = mmcl_pipeline_create(&w->pipeline, run->session->context, transform, classifier,
                                                 (const char *const *) data->class_names);
    run->best             = (size_t) (row - run->rows);
    return status == MMCL_OK ? EXIT_OK : session_fail(run->session, status, run->settings->save);
}

/* The probe's classifier takes mapped rows. */
static mmcl_status run_probe(fewshot_run *run, fewshot_row *row, const mmcl_fewshot_data *data, mmcl_transform *transform, mmcl_classifier **out)
{
    const mmcl_probe_options options = {.struct_size = sizeof options, .search = &fewshot_search, .shots = row->shots, .seed = row->seed,
                                        .protocol = run->settings->protocol};
    mmcl_probe_result       *found   = &row->probe;
    found->struct_size               = sizeof *found;
    mmcl_status status = mmcl_probe_run(out, run->session->context, data, transform, &options, found, row->domains);
    row->result = (mmcl_fewshot_result){.test_accuracy = found->test_accuracy, .transform_seconds = found->transform_seconds, .seconds = found->seconds,
                                        .train_rows = found->train_rows, .val_rows = found->val_rows, .transform_rows = found->transform_rows,
                                        .components = found->components};
    row->val_accuracy = found->val_accuracy;
    return status;
}

static mmcl_status run_head(fewshot_run *run, fewshot_row *row, const mmcl_fewshot_data *data, mmcl_transform *transform, mmcl_classifier **out)
{
    const mmcl_adapt_options   head    = {.struct_size = sizeof head, .logit_scale = run->settings->logit_scale};
    const mmcl_fewshot_options options = {.struct_size = sizeof options, .head = &head, .shots = row->shots, .seed = row->seed,
                                          .protocol = run->settings->protocol};
    row->head.struct_size   = sizeof row->head;
    row->result.struct_size = sizeof row->result;
    mmcl_transform *used    = mmcl_transform_count(transform) > 0 ? transform : NULL; /* raw rows need no map */
    mmcl_status     status  = mmcl_fewshot_run(out, run->session->context, row->method, data, used, &options, &row->head, &row->result, row->domains);
    row->val_accuracy       = row->head.val_accuracy;
    return status;
}

/* Intervals and calibration on every test set, by a classifier of raw rows. */
static mmcl_status evaluate(fewshot_row *row, const mmcl_fewshot_data *data, const mmcl_classifier *classifier)
{
    mmcl_status status = MMCL_OK;
    row->evaluations   = memory_array(1 + data->domain_count, sizeof *row->evaluations);
    for (size_t i = 0; i <= data->domain_count && status == MMCL_OK; i++) {
        const mmcl_labelled *test = i == 0 ? &data->test : &data->domains[i - 1].rows;
        row->evaluations[i].struct_size = sizeof row->evaluations[i];
        if (test->features.rows > 0)
            status = mmcl_classifier_evaluate(classifier, test, i == 0 ? NULL : data->domains[i - 1].mask, NULL, &row->evaluations[i]);
    }
    return status;
}

/* Fits the head, and `transform` with it unless it has been fitted. */
static int run_fitted(work_state *w, fewshot_row *row, mmcl_transform *transform)
{
    fewshot_run     *run        = &w->run;
    const dataset   *data       = &run->data[row->data];
    bool             probe      = row->method == FEWSHOT_PROBE;
    mmcl_classifier *classifier = NULL;
    borrowed_data    borrowed;
    row->domains = memory_array(data->domain_count, sizeof *row->domains);
    borrow_data(data, row->shots, &borrowed);
    mmcl_status status = (probe ? run_probe : run_head)(run, row, &borrowed.data, transform, &classifier);
    if (status == MMCL_OK && !probe)
        status = evaluate(row, &borrowed.data, classifier);
    int code = status == MMCL_OK ? EXIT_OK : session_fail(run->session, status, data->path);
    if (code == EXIT_OK) {
        row->steps = steps_of(transform);
        code       = keep_best(w, row, probe ? transform : NULL, classifier);
    }
    mmcl_classifier_destroy(classifier);
    free(borrowed.domains);
    return code;
}

/* On the pool a transform is fitted once for all rows that use it; otherwise with each row. */
static int run_row(work_state *w, fewshot_row *row)
{
    fewshot_run    *run       = &w->run;
    mmcl_transform *transform = NULL;
    pool_fit       *fit       = NULL;
    TRY(create_transform(run, row->transform, &transform));
    if (w->pools == NULL || !learns(transform)) {
        int code = run_fitted(w, row, transform);
        mmcl_transform_destroy(transform);
        return code;
    }
    TRY(fit_on_pool(w, row->data, transform, row->transform, &fit, &row->reused));
    TRY(run_fitted(w, row, fit->transform));
    row->result.transform_seconds = fit->seconds;
    row->result.transform_rows    = fit->rows;
    row->result.seconds += row->reused ? 0 : fit->seconds;
    return EXIT_OK;
}

/* --------------------------------------------------------------------------------------------------------- all rows --- */

static int run_group(work_state *w, size_t data, uint64_t shots, size_t spec, mmcl_method method)
{
    fewshot_run *run   = &w->run;
    size_t     seeds = fewshot_seeds(run->settings), first = run->row_count;
    for (size_t i = 0; i < seeds; i++) {
        fewshot_row *row = &run->rows[run->row_count];
        *row = (fewshot_row){.data = data, .transform = spec, .method = method, .shots = shots, .seed = run->settings->common.seed + i};
        const char *name = fewshot_method(row);
        terminal_stage("[%zu/%zu] %s, %llu shots, %s%s%s", run->row_count + 1, run->rows_planned, run->data[data].name, (unsigned long long) shots,
                       run->specs[spec], name != NULL ? ", " : "", name != NULL ? name : "");
        run->row_count++; /* what it holds is freed with the others, whether it succeeds or not */
        TRY(run_row(w, row));
    }
    terminal_clear();
    terminal_flush_notes();
    if (run->settings->common.json == NULL || strcmp(run->settings->common.json, "-") != 0) {
        if (first == 0)
            fewshot_print_heading(run);
        fewshot_print_group(run, &run->rows[first], seeds);
    }
    return EXIT_OK;
}

static int run_all(work_state *w)
{
    fewshot_run *run   = &w->run;
    double     begin = session_seconds();
    for (size_t i = 0; i < run->data_count; i++) {
        count_list shots = shots_of(run, &run->data[i]);
        int        code  = EXIT_OK;
        for (size_t j = 0; j < shots.count; j++)
            for (size_t k = 0; k < run->spec_count * run->method_count && code == EXIT_OK; k++)
                code = run_group(w, i, shots.items[j], k / run->method_count, run->methods[k % run->method_count]);
        free(shots.items);
        TRY(code);
    }
    run->seconds = session_seconds() - begin;
    return EXIT_OK;
}

static int write_results(work_state *w, text_output *json, text_output *plot)
{
    fewshot_run *run = &w->run;
    if (run->settings->save != NULL) {
        mmcl_status status = mmcl_pipeline_save(w->pipeline, run->settings->save);
        if (status != MMCL_OK)
            return session_fail(run->session, status, run->settings->save);
    }
    if (plot->file != NULL) {
        fewshot_write_plot(run, plot->file);
        TRY(output_commit(plot));
    }
    return output_json(json, fewshot_write_json, run);
}

static int work(work_state *w, const text_list *operands, text_output *json, text_output *plot)
{
    fewshot_run *run = &w->run;
    TRY(check_settings(run->settings, operands));
    TRY(check_specs(run));
    TRY(check_methods(run));
    TRY(output_open(json, "json", run->settings->common.json));
    TRY(output_open(plot, "plot", run->settings->plot));
    TRY(output_check("save", run->settings->save));
    TRY(open_data(run, operands));
    TRY(open_pool(w));
    TRY(run_all(w));
    return write_results(w, json, plot);
}

static void free_state(work_state *w)
{
    fewshot_run *run = &w->run;
    for (size_t i = 0; i < run->row_count; i++)
        free(run->rows[i].domains);
    for (size_t i = 0; i < run->row_count; i++)
        free(run->rows[i].evaluations);
    for (size_t i = 0; w->pools != NULL && i < run->data_count; i++)
        pool_view_free(&w->pools[i]);
    for (size_t i = 0; w->fits != NULL && i < run->data_count * run->spec_count; i++)
        mmcl_transform_destroy(w->fits[i].transform);
    for (size_t i = 0; i < run->data_count; i++)
        dataset_close(&run->data[i]);
    mmcl_pipeline_destroy(w->pipeline);
    features_close(&run->pool);
    free(run->rows);
    free(run->data);
    free(run->left_out);
    free(run->specs);
    free(run->methods);
    free(w->pools);
    free(w->same_pool);
    free(w->fits);
}

int fewshot_command(cli_session *session, const fewshot_settings *settings, const text_list *operands)
{
    work_state  w    = {.run = {.session = session, .settings = settings}};
    text_output json = {0}, plot = {0};
    int         code = work(&w, operands, &json, &plot);
    output_discard(&json);
    output_discard(&plot);
    free_state(&w);
    return code;
}

