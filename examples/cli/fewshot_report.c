/* What `mmcl probe` and `mmcl adapt` found: table, JSON and plot. */
#include "fewshot.h"

#include "memory.h"
#include "svg.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------------------------------------------------- statistics --- */

typedef struct summary {
    double mean, deviation; /* ddof 0 */
} summary;

/* Which accuracy of a row: val, test, or a further test set's. */
typedef enum accuracy_kind { ACCURACY_VAL, ACCURACY_TEST, ACCURACY_DOMAIN } accuracy_kind;

static double accuracy_of(const fewshot_row *row, accuracy_kind kind, size_t domain)
{
    if (kind == ACCURACY_DOMAIN)
        return row->domains[domain];
    return kind == ACCURACY_VAL ? row->val_accuracy : row->result.test_accuracy;
}

static summary summarise(const fewshot_row *rows, size_t count, accuracy_kind kind, size_t domain)
{
    double sum = 0, squares = 0;
    for (size_t i = 0; i < count; i++)
        sum += accuracy_of(&rows[i], kind, domain);
    double mean = sum / (double) count;
    for (size_t i = 0; i < count; i++) {
        double difference = accuracy_of(&rows[i], kind, domain) - mean;
        squares += difference * difference;
    }
    return (summary){.mean = mean, .deviation = sqrt(squares / (double) count)};
}

/* ------------------------------------------------------------------------------------------------------------ table --- */

#define LONG_SPEC 48 /* columns */

static int name_width(const fewshot_run *run)
{
    size_t width = strlen("dataset");
    for (size_t i = 0; i < run->data_count; i++)
        width = strlen(run->data[i].name) > width ? strlen(run->data[i].name) : width;
    return (int) width;
}

/* A SPEC, or a number where it is too long for a column. */
typedef struct label {
    char text[LONG_SPEC + 1];
} label;

static label label_of(const fewshot_run *run, size_t spec)
{
    label out;
    if (strlen(run->specs[spec]) <= LONG_SPEC)
        snprintf(out.text, sizeof out.text, "%s", run->specs[spec]);
    else
        snprintf(out.text, sizeof out.text, "transform %zu", spec + 1);
    return out;
}

static int spec_width(const fewshot_run *run)
{
    size_t width = strlen("transform");
    for (size_t i = 0; i < run->spec_count; i++)
        width = strlen(label_of(run, i).text) > width ? strlen(label_of(run, i).text) : width;
    return (int) width;
}

/* `mmcl probe` has one method, whose hyper-parameter is C. */
static bool is_probe(const fewshot_run *run)
{
    return run->methods[0] == FEWSHOT_PROBE;
}

static int method_width(const fewshot_run *run)
{
    size_t width = strlen("method");
    for (size_t i = 0; i < run->method_count && !is_probe(run); i++)
        width = strlen(mmcl_method_name(run->methods[i])) > width ? strlen(mmcl_method_name(run->methods[i])) : width;
    return (int) width;
}

/* Hyper-parameters of a head; NaN: it has none such, or nothing was chosen. */
typedef struct hyper {
    const char *key;
    double      value;
} hyper;

enum { HYPERS = 6 };

static void hypers_of(const fewshot_row *row, hyper out[HYPERS])
{
    const mmcl_adapt_info *h = &row->head;
    const hyper all[HYPERS]  = {{"C", row->method == FEWSHOT_PROBE ? row->probe.c : h->c}, {"alpha", h->alpha}, {"beta", h->beta}, {"gamma", h->gamma},
                                {"eta", h->eta}, {"ratio", h->ratio}};
    memcpy(out, all, sizeof all);
}

/* "alpha 1.17 beta 3.4" */
static void tell_chosen(const fewshot_row *row, char *out, size_t capacity)
{
    hyper  all[HYPERS];
    size_t length = 0;
    *out          = 0;
    hypers_of(row, all);
    for (int i = 0; i < HYPERS; i++)
        if (!isnan(all[i].value) && length < capacity)
            length += (size_t) snprintf(out + length, capacity - length, "%s%s %.3g", length > 0 ? " " : "", all[i].key, all[i].value);
    if (row->head.epoch > 0 && length < capacity)
        snprintf(out + length, capacity - length, "%sepoch %llu", length > 0 ? " " : "", (unsigned long long) row->head.epoch);
}

#define CHOSEN 36 /* columns */

void fewshot_print_heading(const fewshot_run *run)
{
    for (size_t i = 0; i < run->spec_count; i++)
        if (strlen(run->specs[i]) > LONG_SPEC)
            printf("%s: %s\n", label_of(run, i).text, run->specs[i]);
    printf("%-*s %5s  %-*s", name_width(run), "dataset", "shots", spec_width(run), "transform");
    if (is_probe(run))
        printf(" %10s", "C");
    else
        printf("  %-*s %-*s", method_width(run), "method", CHOSEN, "chosen");
    printf(" %8s", "val %");
    printf(fewshot_seeds(run->settings) > 1 ? " %14s %9s\n" : " %8s %9s\n", "test %", "seconds");
}

static void format_percent(char *out, size_t capacity, summary value, size_t count)
{
    if (isnan(value.mean))
        snprintf(out, capacity, "-");
    else if (count > 1)
        snprintf(out, capacity, "%.2f (%.2f)", 100 * value.mean, 100 * value.deviation);
    else
        snprintf(out, capacity, "%.2f", 100 * value.mean);
}

void fewshot_print_group(const fewshot_run *run, const fewshot_row *rows, size_t count)
{
    const dataset *data = &run->data[rows->data];
    char           chosen[96] = "", test[48];
    double         seconds = 0, mean = 0;
    for (size_t i = 0; i < count; i++)
        seconds += rows[i].result.seconds;
    printf("%-*s %5llu  %-*s", name_width(run), data->name, (unsigned long long) rows->shots, spec_width(run),
           label_of(run, rows->transform).text);
    if (count == 1 && is_probe(run))
        snprintf(chosen, sizeof chosen, "%.4g", rows->probe.c);
    else if (count == 1)
        tell_chosen(rows, chosen, sizeof chosen);
    if (is_probe(run))
        printf(" %10s", chosen);
    else
        printf("  %-*s %-*s", method_width(run), fewshot_method(rows), CHOSEN, chosen);
    format_percent(test, sizeof test, summarise(rows, count, ACCURACY_TEST, 0), count);
    printf(" %8.2f %*s %9.2f", 100 * summarise(rows, count, ACCURACY_VAL, 0).mean, fewshot_seeds(run->settings) > 1 ? 14 : 8, test, seconds);
    for (size_t i = 0; i < data->domain_count; i++) {
        format_percent(test, sizeof test, summarise(rows, count, ACCURACY_DOMAIN, i), count);
        printf("  %s %s", data->domains[i].name, test);
        for (size_t j = 0; j < count; j++)
            mean += 100 * rows[j].domains[i] / (double) (count * data->domain_count);
    }
    if (data->domain_count > 1)
        printf("  mean %.2f", mean);
    printf("\n");
    fflush(stdout);
}

/* ------------------------------------------------------------------------------------------------------------- JSON --- */

/* What only the probe with its search has. */
static void write_search(const mmcl_probe_result *probe, json_writer *out)
{
    json_real(out, "search_seconds", probe->search_seconds);
    json_count(out, "fits", probe->fits);
    json_count(out, "passes", probe->passes);
}

/* What only the heads of adapt have. */
static void write_head(const fewshot_row *row, json_writer *out)
{
    static const char *const leaks[] = {"transform saw val rows", "test rows chose"};
    json_count(out, "epoch", row->head.epoch);
    json_count(out, "iterations", row->head.iterations);
    json_count(out, "inputs_used", row->head.inputs_used);
    json_real(out, "fit_seconds", row->head.seconds);
    json_flag(out, "normalized", row->head.flags & MMCL_ADAPT_NORMALIZED);
    json_flag(out, "as_released", row->head.flags & MMCL_ADAPT_AS_RELEASED);
    json_open_list(out, "leaks");
    for (unsigned i = 0; i < sizeof leaks / sizeof *leaks; i++)
        if (row->result.leaks >> i & 1)
            json_text(out, NULL, leaks[i]);
    json_close(out);
}

/* "test_low" ... of the test set, "low_NAME" ... of a further one. */
static void write_evaluation(const mmcl_evaluation *e, const char *domain, json_writer *out)
{
    const hyper all[] = {{"low", e->low}, {"high", e->high}, {"ece", e->calibration_error}, {"loss", e->loss}};
    for (int i = 0; i < 4 && e->rows > 0; i++) {
        char *key = domain != NULL ? memory_format("%s_%s", all[i].key, domain) : memory_format("test_%s", all[i].key);
        json_real(out, key, all[i].value);
        free(key);
    }
}

static void write_evaluations(const fewshot_run *run, const fewshot_row *row, json_writer *out)
{
    const dataset *data = &run->data[row->data];
    double         sum  = 0;
    write_evaluation(&row->evaluations[0], NULL, out);
    for (size_t i = 0; i < data->domain_count; i++) {
        write_evaluation(&row->evaluations[1 + i], data->domains[i].name, out);
        sum += row->domains[i];
    }
    if (data->domain_count > 0)
        json_real(out, "accuracy_mean", sum / (double) data->domain_count);
}

static void write_key(const fewshot_run *run, const fewshot_row *row, json_writer *out)
{
    json_text(out, "dataset", run->data[row->data].name);
    json_count(out, "shots", row->shots);
    json_text(out, "transform", run->specs[row->transform]);
    if (fewshot_method(row) != NULL)
        json_text(out, "method", fewshot_method(row));
    json_text(out, "protocol", fewshot_protocols[run->settings->protocol]);
}

static void write_row(const fewshot_run *run, const fewshot_row *row, json_writer *out)
{
    const dataset             *data   = &run->data[row->data];
    const mmcl_fewshot_result *result = &row->result;
    hyper                      all[HYPERS];
    json_open_object(out, NULL);
    write_key(run, row, out);
    json_count(out, "seed", row->seed);
    hypers_of(row, all);
    for (int i = 0; i < (is_probe(run) ? 1 : HYPERS); i++)
        json_real(out, all[i].key, all[i].value);
    json_real(out, "val_accuracy", row->val_accuracy);
    json_real(out, "test_accuracy", result->test_accuracy);
    for (size_t i = 0; i < data->domain_count; i++) {
        char *key = memory_format("accuracy_%s", data->domains[i].name);
        json_real(out, key, row->domains[i]);
        free(key);
    }
    if (row->evaluations != NULL)
        write_evaluations(run, row, out);
    json_real(out, "seconds", result->seconds);
    json_real(out, "transform_seconds", result->transform_seconds);
    json_flag(out, "transform_reused", row->reused);
    json_count(out, "components", result->components);
    json_count(out, "train_rows", result->train_rows);
    json_count(out, "val_rows", result->val_rows);
    json_count(out, "transform_rows", result->transform_rows);
    if (is_probe(run))
        write_search(&row->probe, out);
    else
        write_head(row, out);
    steps_write_json(out, "steps", &row->steps);
    json_close(out);
}

static void write_summary(json_writer *out, const char *name, summary value)
{
    char *mean = memory_format("%s_mean", name), *deviation = memory_format("%s_std", name);
    json_real(out, mean, value.mean);
    json_real(out, deviation, value.deviation);
    free(mean);
    free(deviation);
}

static void write_group(const fewshot_run *run, const fewshot_row *rows, size_t count, json_writer *out)
{
    const dataset *data = &run->data[rows->data];
    json_open_object(out, NULL);
    write_key(run, rows, out);
    json_count(out, "seeds", count);
    write_summary(out, "val_accuracy", summarise(rows, count, ACCURACY_VAL, 0));
    write_summary(out, "test_accuracy", summarise(rows, count, ACCURACY_TEST, 0));
    for (size_t i = 0; i < data->domain_count; i++) {
        char *name = memory_format("accuracy_%s", data->domains[i].name);
        write_summary(out, name, summarise(rows, count, ACCURACY_DOMAIN, i));
        free(name);
    }
    json_close(out);
}

static void write_data(const fewshot_run *run, json_writer *out)
{
    json_open_list(out, "data");
    for (size_t i = 0; i < run->data_count; i++) {
        const dataset *data = &run->data[i];
        json_open_object(out, NULL);
        json_text(out, "dataset", data->name);
        json_text(out, "file", data->path);
        json_count(out, "columns", data->columns);
        json_count(out, "classes", data->classes);
        json_count(out, "pool_rows_left_out", run->left_out[i]);
        json_close(out);
    }
    json_close(out);
}

static void write_grid(json_writer *out)
{
    json_open_object(out, "search");
    json_open_list(out, "grid");
    for (uint64_t i = 0; i < fewshot_search.grid_count; i++)
        json_real(out, NULL, fewshot_search.grid[i]);
    json_close(out);
    json_count(out, "steps", fewshot_search.steps);
    json_real(out, "tolerance", fewshot_search.tolerance);
    json_count(out, "max_iterations", fewshot_search.max_iterations);
    json_close(out);
}

static void write_settings(const fewshot_run *run, json_writer *out)
{
    const fewshot_settings *s = run->settings;
    json_count(out, "seeds", fewshot_seeds(s));
    json_text(out, "protocol", fewshot_protocols[s->protocol]);
    json_open_list(out, "shots");
    for (size_t i = 0; i < s->shots.count; i++)
        json_count(out, NULL, s->shots.items[i]);
    json_close(out);
    json_open_list(out, "transforms");
    for (size_t i = 0; i < run->spec_count; i++)
        json_text(out, NULL, run->specs[i]);
    json_close(out);
    if (!is_probe(run)) {
        json_open_list(out, "methods");
        for (size_t i = 0; i < run->method_count; i++)
            json_text(out, NULL, mmcl_method_name(run->methods[i]));
        json_close(out);
        json_text(out, "text", s->text);
        json_real(out, "logit_scale", s->logit_scale > 0 ? s->logit_scale : 100);
    }
    json_text(out, "pool", s->pool);
    json_count(out, "pool_rows", run->pool.view.rows);
    json_text(out, "save", s->save);
    json_text(out, "plot", s->plot);
    if (is_probe(run))
        write_grid(out);
    write_data(run, out);
}

void fewshot_write_json(const void *given, json_writer *out)
{
    const fewshot_run *run = given;
    size_t seeds = fewshot_seeds(run->settings);
    session_open_json(run->session, out, is_probe(run) ? "probe" : "adapt");
    write_settings(run, out);
    json_open_list(out, "rows");
    for (size_t i = 0; i < run->row_count; i++)
        write_row(run, &run->rows[i], out);
    json_close(out);
    json_open_list(out, "groups");
    for (size_t i = 0; seeds > 1 && i + seeds <= run->row_count; i += seeds)
        write_group(run, &run->rows[i], seeds, out);
    json_close(out);
    if (run->settings->save != NULL)
        json_count(out, "saved_row", run->best);
    json_real(out, "seconds", run->seconds);
    json_close(out);
}

/* ------------------------------------------------------------------------------------------------------------- plot --- */

/* The points of one line: groups of one data set, one transform and one method, shots ascending as they were run. */
static plot_line collect_line(const fewshot_run *run, size_t data, size_t transform, mmcl_method method)
{
    size_t      seeds  = fewshot_seeds(run->settings), count = 0;
    plot_point *points = memory_array(run->row_count / seeds, sizeof *points);
    bool        test   = run->data[data].test.x.array != NULL;
    for (size_t i = 0; i + seeds <= run->row_count; i += seeds) {
        const fewshot_row *rows = &run->rows[i];
        if (rows->data != data || rows->transform != transform || rows->method != method)
            continue;
        summary value   = summarise(rows, seeds, test ? ACCURACY_TEST : ACCURACY_DOMAIN, 0);
        points[count++] = (plot_point){.x = (double) rows->shots, .y = value.mean, .spread = seeds > 1 ? value.deviation : 0};
    }
    return (plot_line){.points = points, .count = count};
}

/* What a line is called: the transform, and the method where there are several. */
static char *line_name(const fewshot_run *run, size_t line)
{
    label spec = label_of(run, line / run->method_count);
    return is_probe(run) ? memory_text(spec.text) : memory_format("%s, %s", mmcl_method_name(run->methods[line % run->method_count]), spec.text);
}

void fewshot_write_plot(const fewshot_run *run, FILE *file)
{
    size_t      count  = run->spec_count * run->method_count;
    plot_panel *panels = memory_array(run->data_count, sizeof *panels);
    plot_line  *lines  = memory_array(run->data_count * count, sizeof *lines);
    char      **titles = memory_array(run->data_count, sizeof *titles), **names = memory_array(count, sizeof *names);
    for (size_t j = 0; j < count; j++)
        names[j] = line_name(run, j);
    for (size_t i = 0; i < run->data_count; i++) {
        const dataset *data = &run->data[i];
        bool           test = data->test.x.array != NULL;
        titles[i] = test ? memory_text(data->name) : memory_format("%s, test set %s", data->name, data->domains[0].name);
        panels[i] = (plot_panel){.title = titles[i], .lines = &lines[i * count]};
        for (size_t j = 0; j < count; j++)
            lines[i * count + j] = collect_line(run, i, j / run->method_count, run->methods[j % run->method_count]);
    }
    char *title = memory_format("Few-shot %s, %s protocol%s%s", is_probe(run) ? "linear probe" : "heads", fewshot_protocols[run->settings->protocol],
                                run->settings->pool != NULL ? ", transforms fitted on a pool" : "",
                                fewshot_seeds(run->settings) > 1 ? ", mean and standard deviation over seeds" : "");
    svg_write(file, &(svg_plot){.title = title, .x_label = "shots (training rows a class)", .y_label = "test accuracy, %",
                            .panels = panels, .panel_count = run->data_count, .names = (const char *const *) names, .line_count = count});
    for (size_t i = 0; i < run->data_count * count; i++)
        free((void *) lines[i].points);
    for (size_t i = 0; i < run->data_count; i++)
        free(titles[i]);
    for (size_t j = 0; j < count; j++)
        free(names[j]);
    free(title);
    free(names);
    free(titles);
    free(lines);
    free(panels);
}
