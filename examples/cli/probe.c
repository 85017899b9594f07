/* mmcl probe: the few-shot linear probe on one or more data sets and transforms. */
#include "probe.h"

#include "memory.h"
#include "output.h"
#include "pool.h"

#include <stdlib.h>
#include <string.h>

static const char *const protocols[] = {"strict", "paper", NULL};

static const cli_option options[] = {
    {"shots", OPTION_COUNTS, offsetof(probe_settings, shots), "N[,N...]", "training rows a class (default: 1,2,4,8,16)", NULL, 1,
     1000000},
    {"transform", OPTION_LIST, offsetof(probe_settings, transforms), "SPEC", "may be given several times (default: raw)", NULL, 0, 0},
    {"pool", OPTION_TEXT, offsetof(probe_settings, pool), "A", "unlabelled rows that the transforms are fitted on", NULL, 0, 0},
    {"protocol", OPTION_CHOICE, offsetof(probe_settings, protocol), NULL, "what a transform may see (default: strict)", protocols, 0,
     0},
    {"seeds", OPTION_COUNT, offsetof(probe_settings, seeds), "N", "seeds SEED ... SEED+N-1, with mean and deviation", NULL, 1, 100000},
    {"save", OPTION_TEXT, offsetof(probe_settings, save), "PIPELINE", "write the row that is best on val, for mmcl predict", NULL, 0,
     0},
    {"plot", OPTION_TEXT, offsetof(probe_settings, plot), "F.svg", "draw accuracy over shots, one line a transform", NULL, 0, 0},
    {0},
};

/* CoOp's search, written out so that the JSON can tell it. */
static const double        search_grid[] = {1e6, 1e4, 1e2, 1, 1e-2, 1e-4, 1e-6};
const mmcl_search_options probe_search  = {.struct_size    = sizeof probe_search,
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
    probe_run      run;
    pool_view     *pools;      /* [data_count] */
    size_t        *same_pool;  /* [data_count] first data set that leaves out the same rows */
    pool_fit      *fits;       /* [data_count, spec_count] */
    mmcl_pipeline *pipeline;   /* of the best row so far, where one is saved */
} work_state;

/* The library's view of a data set, its rows seen through a transform where one is fitted already. */
typedef struct borrowed_data {
    mmcl_fewshot_data data;
    mmcl_domain      *domains;
    rows_applied      train, val, test, *tests;
} borrowed_data;

/* ------------------------------------------------------------------------------------------------------- preparing --- */

static int check_settings(const probe_settings *s, const text_list *operands)
{
    const char *outputs[] = {s->common.json, s->save, s->plot};
    for (size_t i = 0; i < 3; i++)
        for (size_t j = 0; j < i; j++)
            if (outputs[i] != NULL && outputs[j] != NULL && strcmp(outputs[i], outputs[j]) == 0)
                return terminal_fail(EXIT_USAGE, "two outputs have the same name: %s", outputs[i]);
    if (s->save != NULL && operands->count > 1)
        return terminal_fail(EXIT_USAGE, "--save needs a single DATA; %zu are given", operands->count);
    if (s->common.seed + probe_seeds(s) - 1 > UINT32_MAX)
        return terminal_fail(EXIT_USAGE, "--seed %llu with --seeds %llu: the last seed must be below 2^32",
                             (unsigned long long) s->common.seed, (unsigned long long) s->seeds);
    return EXIT_OK;
}

/* A chain from a SPEC; one that is not understood is bad usage. Under the paper's protocol components are clipped to the rank. */
static int create_transform(probe_run *run, size_t spec, mmcl_transform **out)
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

/* Whether anything is learnt from rows: raw and normalize need no pool. */
static bool learns(const mmcl_transform *transform)
{
    for (size_t i = 0; i < mmcl_transform_count(transform); i++) {
        mmcl_step_options step = {.struct_size = sizeof step};
        if (mmcl_transform_get_step(transform, i, &step) == MMCL_OK && step.kind != MMCL_STEP_NORMALIZE && step.kind != 0)
            return true;
    }
    return false;
}

static int check_specs(probe_run *run)
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
static count_list shots_of(const probe_run *run, const dataset *data)
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

static int open_data(probe_run *run, const text_list *operands)
{
    run->data     = memory_array(operands->count, sizeof *run->data);
    run->left_out = memory_array(operands->count, sizeof *run->left_out);
    for (size_t i = 0; i < operands->count; i++) {
        run->data_count = i + 1;
        TRY(dataset_open(run->session, operands->items[i], &run->data[i]));
        count_list shots = shots_of(run, &run->data[i]);
        int        code  = check_shots(&run->data[i], &shots);
        run->rows_planned += shots.count * run->spec_count * probe_seeds(run->settings);
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
    probe_run *run = &w->run;
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

/* `rows` for the library, through `fitted` where it is not NULL. */
static int borrow_rows(cli_session *session, const labelled_rows *rows, const mmcl_transform *fitted, rows_applied *applied,
                       mmcl_labelled *out)
{
    *out = (mmcl_labelled){.features = rows->x.view, .labels = rows->y};
    if (rows->x.array == NULL || fitted == NULL)
        return EXIT_OK;
    TRY(rows_applied_init(applied, session, fitted, &rows->x.view, rows->x.name));
    out->features = applied->view;
    return EXIT_OK;
}

static int borrow_data(cli_session *session, const dataset *data, uint64_t shots, const mmcl_transform *fitted, borrowed_data *out)
{
    bool                 fixed;
    const labelled_rows *train = dataset_train(data, shots, &fixed);
    out->domains               = memory_array(data->domain_count, sizeof *out->domains);
    out->tests                 = memory_array(data->domain_count, sizeof *out->tests);
    out->data = (mmcl_fewshot_data){.struct_size  = sizeof out->data,
                                    .classes      = data->classes,
                                    .domains      = out->domains,
                                    .domain_count = data->domain_count,
                                    .fixed        = fixed};
    TRY(borrow_rows(session, train, fitted, &out->train, &out->data.train));
    TRY(borrow_rows(session, &data->val, fitted, &out->val, &out->data.val));
    TRY(borrow_rows(session, &data->test, fitted, &out->test, &out->data.test));
    for (size_t i = 0; i < data->domain_count; i++) {
        out->domains[i] = (mmcl_domain){.name = data->domains[i].name, .mask = data->domains[i].mask};
        TRY(borrow_rows(session, &data->domains[i].rows, fitted, &out->tests[i], &out->domains[i].rows));
    }
    return EXIT_OK;
}

/* Keeps the pipeline of the row that is best on val; of equal ones the first. */
static int keep_best(work_state *w, const probe_row *row, const mmcl_transform *transform, const mmcl_classifier *classifier)
{
    probe_run *run = &w->run;
    if (run->settings->save == NULL)
        return EXIT_OK;
    if (w->pipeline != NULL && row->result.val_accuracy <= run->rows[run->best].result.val_accuracy)
        return EXIT_OK;
    mmcl_pipeline_destroy(w->pipeline);
    const dataset *data   = &run->data[row->data];
    mmcl_status    status = mmcl_pipeline_create(&w->pipeline, run->session->context, transform, classifier,
                                                 (const char *const *) data->class_names);
    run->best             = (size_t) (row - run->rows);
    return status == MMCL_OK ? EXIT_OK : session_fail(run->session, status, run->settings->save);
}

/* Runs the probe with `transform`, which is fitted by it unless `fit` has been. */
static int run_fitted(work_state *w, probe_row *row, mmcl_transform *transform, const pool_fit *fit)
{
    probe_run         *run        = &w->run;
    const dataset     *data       = &run->data[row->data];
    mmcl_classifier   *classifier = NULL;
    borrowed_data      borrowed   = {0};
    mmcl_probe_options probe      = {.struct_size = sizeof probe,
                                     .search      = &probe_search,
                                     .shots       = row->shots,
                                     .seed        = row->seed,
                                     .protocol    = run->settings->protocol};
    row->result.struct_size = sizeof row->result;
    row->domains            = memory_array(data->domain_count, sizeof *row->domains);
    int code = borrow_data(run->session, data, row->shots, fit != NULL ? fit->transform : NULL, &borrowed);
    if (code == EXIT_OK) {
        mmcl_status status =
            mmcl_probe_run(&classifier, run->session->context, &borrowed.data, transform, &probe, &row->result, row->domains);
        if (status != MMCL_OK)
            code = session_fail(run->session, status, data->path);
    }
    const mmcl_transform *used = fit != NULL ? fit->transform : transform;
    if (code == EXIT_OK) {
        row->steps = steps_of(used);
        code       = keep_best(w, row, used, classifier);
    }
    mmcl_classifier_destroy(classifier);
    free(borrowed.domains);
    free(borrowed.tests);
    return code;
}

/* On the pool a transform is fitted once and the probe sees its output; otherwise it is part of the probe. */
static int run_row(work_state *w, probe_row *row)
{
    probe_run      *run       = &w->run;
    mmcl_transform *transform = NULL;
    pool_fit       *fit       = NULL;
    TRY(create_transform(run, row->transform, &transform));
    if (w->pools != NULL && learns(transform)) {
        TRY(fit_on_pool(w, row->data, transform, row->transform, &fit, &row->reused));
        transform          = NULL;
        mmcl_status status = mmcl_transform_create(&transform, run->session->context);
        if (status != MMCL_OK)
            return session_fail(run->session, status, NULL);
    }
    int code = run_fitted(w, row, transform, fit);
    mmcl_transform_destroy(transform);
    if (code == EXIT_OK && fit != NULL) {
        row->result.transform_seconds = fit->seconds;
        row->result.transform_rows    = fit->rows;
        row->result.seconds += row->reused ? 0 : fit->seconds;
    }
    return code;
}

/* --------------------------------------------------------------------------------------------------------- all rows --- */

static int run_group(work_state *w, size_t data, uint64_t shots, size_t spec)
{
    probe_run *run   = &w->run;
    size_t     seeds = probe_seeds(run->settings), first = run->row_count;
    for (size_t i = 0; i < seeds; i++) {
        probe_row *row = &run->rows[run->row_count];
        *row = (probe_row){.data = data, .transform = spec, .shots = shots, .seed = run->settings->common.seed + i};
        terminal_stage("[%zu/%zu] %s, %llu shots, %s", run->row_count + 1, run->rows_planned, run->data[data].name,
                       (unsigned long long) shots, run->specs[spec]);
        run->row_count++; /* what it holds is freed with the others, whether it succeeds or not */
        TRY(run_row(w, row));
    }
    terminal_clear();
    terminal_flush_notes();
    if (run->settings->common.json == NULL || strcmp(run->settings->common.json, "-") != 0) {
        if (first == 0)
            probe_print_heading(run);
        probe_print_group(run, &run->rows[first], seeds);
    }
    return EXIT_OK;
}

static int run_all(work_state *w)
{
    probe_run *run   = &w->run;
    double     begin = session_seconds();
    for (size_t i = 0; i < run->data_count; i++) {
        count_list shots = shots_of(run, &run->data[i]);
        int        code  = EXIT_OK;
        for (size_t j = 0; j < shots.count; j++)
            for (size_t k = 0; k < run->spec_count && code == EXIT_OK; k++)
                code = run_group(w, i, shots.items[j], k);
        free(shots.items);
        TRY(code);
    }
    run->seconds = session_seconds() - begin;
    return EXIT_OK;
}

static int write_results(work_state *w, text_output *json, text_output *plot)
{
    probe_run *run = &w->run;
    if (run->settings->save != NULL) {
        mmcl_status status = mmcl_pipeline_save(w->pipeline, run->settings->save);
        if (status != MMCL_OK)
            return session_fail(run->session, status, run->settings->save);
    }
    if (plot->file != NULL) {
        probe_write_plot(run, plot->file);
        TRY(output_commit(plot));
    }
    return output_json(json, probe_write_json, run);
}

static int work(work_state *w, const text_list *operands, text_output *json, text_output *plot)
{
    probe_run *run = &w->run;
    TRY(check_settings(run->settings, operands));
    TRY(check_specs(run));
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
    probe_run *run = &w->run;
    for (size_t i = 0; i < run->row_count; i++)
        free(run->rows[i].domains);
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
    free(w->pools);
    free(w->same_pool);
    free(w->fits);
}

static int probe(cli_session *session, const void *given, const text_list *operands)
{
    work_state  w    = {.run = {.session = session, .settings = given}};
    text_output json = {0}, plot = {0};
    int         code = work(&w, operands, &json, &plot);
    output_discard(&json);
    output_discard(&plot);
    free_state(&w);
    return code;
}

const cli_command probe_command = {
    .name     = "probe",
    .summary  = "few-shot linear probe: accuracy over shots and transforms",
    .synopsis = "DATA... [--shots N,N...] [--transform SPEC]... [--pool A] [--protocol strict|paper]\n"
                "       [--seeds N] [--save PIPELINE] [--plot F.svg]",
    .text     = "Fits a logistic regression on a few rows a class, chooses C on at most 4 val rows a class as CoOp does, and\n"
                "measures the test sets. SPEC is described in `mmcl help disentangle`.\n"
                "\n"
                "DATA is one .npz with val_x val_y test_x test_y and train_x train_y (shots are drawn from it) or fixed draws\n"
                "shotN_x shotN_y, which win; optionally classnames, and further test sets test_NAME_x test_NAME_y\n"
                "[classes_NAME]. Or a folder with train.npz, val.npz and test.npz of feature_list and label_list.\n"
                "\n"
                "strict: a transform sees the few-shot rows, or the pool alone where --pool is given; rows of the pool that\n"
                "are equal to a val or test row are left out. paper: it sees the few-shot and val rows, or all of the pool,\n"
                "and components are clipped to the rank. A transform is fitted on the pool once and used for all its rows.",
    .example  = "mmcl probe pets.npz --shots 1,4,16 --transform raw --transform whiten:256+normalize \\\n"
                "             --pool pool.npy --plot pets.svg --save pets-pipeline.npz --json pets.json",
    .options        = options,
    .settings_size  = sizeof(probe_settings),
    .operands_least = 1,
    .operands_most  = SIZE_MAX,
    .operands       = "at least one DATA",
    .run            = probe,
};
