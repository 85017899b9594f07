/* What `mmcl probe` found: table, JSON and plot. */
#include "probe.h"

#include "memory.h"
#include "svg.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const protocols[] = {"strict", "paper"};

/* ------------------------------------------------------------------------------------------------------- statistics --- */

typedef struct summary {
    double mean, deviation; /* ddof 0 */
} summary;

/* Which accuracy of a row: val, test, or a further test set's. */
typedef enum accuracy_kind { ACCURACY_VAL, ACCURACY_TEST, ACCURACY_DOMAIN } accuracy_kind;

static double accuracy_of(const probe_row *row, accuracy_kind kind, size_t domain)
{
    if (kind == ACCURACY_DOMAIN)
        return row->domains[domain];
    return kind == ACCURACY_VAL ? row->result.val_accuracy : row->result.test_accuracy;
}

static summary summarise(const probe_row *rows, size_t count, accuracy_kind kind, size_t domain)
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

static int name_width(const probe_run *run)
{
    size_t width = strlen("dataset");
    for (size_t i = 0; i < run->data_count; i++)
        width = strlen(run->data[i].name) > width ? strlen(run->data[i].name) : width;
    return (int) width;
}

static int spec_width(const probe_run *run)
{
    size_t width = strlen("transform");
    for (size_t i = 0; i < run->spec_count; i++)
        width = strlen(run->specs[i]) > width ? strlen(run->specs[i]) : width;
    return (int) width;
}

void probe_print_heading(const probe_run *run)
{
    printf("%-*s %5s  %-*s %10s %8s", name_width(run), "dataset", "shots", spec_width(run), "transform", "C", "val %");
    printf(probe_seeds(run->settings) > 1 ? " %14s %9s\n" : " %8s %9s\n", "test %", "seconds");
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

void probe_print_group(const probe_run *run, const probe_row *rows, size_t count)
{
    const dataset *data = &run->data[rows->data];
    char           c[32] = "", test[48];
    double         seconds = 0;
    for (size_t i = 0; i < count; i++)
        seconds += rows[i].result.seconds;
    if (count == 1)
        snprintf(c, sizeof c, "%.4g", rows->result.c);
    format_percent(test, sizeof test, summarise(rows, count, ACCURACY_TEST, 0), count);
    printf("%-*s %5llu  %-*s %10s %8.2f %*s %9.2f", name_width(run), data->name, (unsigned long long) rows->shots, spec_width(run),
           run->specs[rows->transform], c, 100 * summarise(rows, count, ACCURACY_VAL, 0).mean, probe_seeds(run->settings) > 1 ? 14 : 8,
           test, seconds);
    for (size_t i = 0; i < data->domain_count; i++) {
        format_percent(test, sizeof test, summarise(rows, count, ACCURACY_DOMAIN, i), count);
        printf("  %s %s", data->domains[i].name, test);
    }
    printf("\n");
    fflush(stdout);
}

/* ------------------------------------------------------------------------------------------------------------- JSON --- */

static void write_row(const probe_run *run, const probe_row *row, json_writer *out)
{
    const dataset           *data   = &run->data[row->data];
    const mmcl_probe_result *result = &row->result;
    json_open_object(out, NULL);
    json_text(out, "dataset", data->name);
    json_count(out, "shots", row->shots);
    json_text(out, "transform", run->specs[row->transform]);
    json_text(out, "protocol", protocols[run->settings->protocol]);
    json_count(out, "seed", row->seed);
    json_real(out, "C", result->c);
    json_real(out, "val_accuracy", result->val_accuracy);
    json_real(out, "test_accuracy", result->test_accuracy);
    for (size_t i = 0; i < data->domain_count; i++) {
        char *key = memory_format("accuracy_%s", data->domains[i].name);
        json_real(out, key, row->domains[i]);
        free(key);
    }
    json_real(out, "seconds", result->seconds);
    json_real(out, "transform_seconds", result->transform_seconds);
    json_flag(out, "transform_reused", row->reused);
    json_real(out, "search_seconds", result->search_seconds);
    json_count(out, "components", result->components);
    json_count(out, "fits", result->fits);
    json_count(out, "passes", result->passes);
    json_count(out, "train_rows", result->train_rows);
    json_count(out, "val_rows", result->val_rows);
    json_count(out, "transform_rows", result->transform_rows);
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

static void write_group(const probe_run *run, const probe_row *rows, size_t count, json_writer *out)
{
    const dataset *data = &run->data[rows->data];
    json_open_object(out, NULL);
    json_text(out, "dataset", data->name);
    json_count(out, "shots", rows->shots);
    json_text(out, "transform", run->specs[rows->transform]);
    json_text(out, "protocol", protocols[run->settings->protocol]);
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

static void write_data(const probe_run *run, json_writer *out)
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

static void write_settings(const probe_run *run, json_writer *out)
{
    const probe_settings *s = run->settings;
    json_count(out, "seeds", probe_seeds(s));
    json_text(out, "protocol", protocols[s->protocol]);
    json_open_list(out, "shots");
    for (size_t i = 0; i < s->shots.count; i++)
        json_count(out, NULL, s->shots.items[i]);
    json_close(out);
    json_open_list(out, "transforms");
    for (size_t i = 0; i < run->spec_count; i++)
        json_text(out, NULL, run->specs[i]);
    json_close(out);
    json_text(out, "pool", s->pool);
    json_count(out, "pool_rows", run->pool.view.rows);
    json_text(out, "save", s->save);
    json_text(out, "plot", s->plot);
    json_open_object(out, "search");
    json_open_list(out, "grid");
    for (uint64_t i = 0; i < probe_search.grid_count; i++)
        json_real(out, NULL, probe_search.grid[i]);
    json_close(out);
    json_count(out, "steps", probe_search.steps);
    json_real(out, "tolerance", probe_search.tolerance);
    json_count(out, "max_iterations", probe_search.max_iterations);
    json_close(out);
    write_data(run, out);
}

void probe_write_json(const void *given, json_writer *out)
{
    const probe_run *run = given;
    size_t seeds = probe_seeds(run->settings);
    session_open_json(run->session, out, "probe");
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

/* The points of one line: groups of one data set and one transform, shots ascending as they were run. */
static plot_line collect_line(const probe_run *run, size_t data, size_t transform)
{
    size_t      seeds  = probe_seeds(run->settings), count = 0;
    plot_point *points = memory_array(run->row_count / seeds, sizeof *points);
    bool        test   = run->data[data].test.x.array != NULL;
    for (size_t i = 0; i + seeds <= run->row_count; i += seeds) {
        const probe_row *rows = &run->rows[i];
        if (rows->data != data || rows->transform != transform)
            continue;
        summary value   = summarise(rows, seeds, test ? ACCURACY_TEST : ACCURACY_DOMAIN, 0);
        points[count++] = (plot_point){.x = (double) rows->shots, .y = value.mean, .spread = seeds > 1 ? value.deviation : 0};
    }
    return (plot_line){.points = points, .count = count};
}

void probe_write_plot(const probe_run *run, FILE *file)
{
    plot_panel *panels = memory_array(run->data_count, sizeof *panels);
    plot_line  *lines  = memory_array(run->data_count * run->spec_count, sizeof *lines);
    char      **titles = memory_array(run->data_count, sizeof *titles);
    for (size_t i = 0; i < run->data_count; i++) {
        const dataset *data = &run->data[i];
        bool           test = data->test.x.array != NULL;
        titles[i] = test ? memory_text(data->name) : memory_format("%s, test set %s", data->name, data->domains[0].name);
        panels[i] = (plot_panel){.title = titles[i], .lines = &lines[i * run->spec_count]};
        for (size_t j = 0; j < run->spec_count; j++)
            lines[i * run->spec_count + j] = collect_line(run, i, j);
    }
    char *title = memory_format("Few-shot linear probe, %s protocol%s%s", protocols[run->settings->protocol],
                                run->settings->pool != NULL ? ", transforms fitted on a pool" : "",
                                probe_seeds(run->settings) > 1 ? ", mean and standard deviation over seeds" : "");
    svg_write(file, &(svg_plot){.title = title, .x_label = "shots (training rows a class)", .y_label = "test accuracy, %",
                            .panels = panels, .panel_count = run->data_count, .names = run->specs, .line_count = run->spec_count});
    for (size_t i = 0; i < run->data_count * run->spec_count; i++)
        free((void *) lines[i].points);
    for (size_t i = 0; i < run->data_count; i++)
        free(titles[i]);
    free(title);
    free(titles);
    free(lines);
    free(panels);
}
