/* What `mmcl align` found: table and JSON. */
#include "align.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *const modes[] = {"raw", "shared", "separate"};

typedef struct summary {
    double mean, deviation; /* over the splits, ddof 0 */
} summary;

/* Of the double at `offset` in the scores of each split. */
static summary summarise(const align_run *run, align_mode mode, size_t spec, size_t offset)
{
    double sum = 0, squares = 0, count = (double) run->split_count;
    for (int pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < run->split_count; i++) {
            double value;
            memcpy(&value, (const char *) align_scores_of(run, mode, spec, i) + offset, sizeof value);
            if (pass == 0)
                sum += value / count;
            else
                squares += (value - sum) * (value - sum) / count;
        }
    return (summary){.mean = sum, .deviation = sqrt(squares)};
}

static const struct score {
    const char *key, *heading;
    size_t      offset;
    bool        percent, components; /* components: of matched ones, which raw rows lack */
} scores[] = {
    {"recall_1_xt", "R@1 x to t", offsetof(align_scores, recall[0][0]), true, false},
    {"recall_1_tx", "R@1 t to x", offsetof(align_scores, recall[0][1]), true, false},
    {"recall_5_xt", "R@5 x to t", offsetof(align_scores, recall[1][0]), true, false},
    {"recall_5_tx", "R@5 t to x", offsetof(align_scores, recall[1][1]), true, false},
    {"recall_10_xt", NULL, offsetof(align_scores, recall[2][0]), true, false},
    {"recall_10_tx", NULL, offsetof(align_scores, recall[2][1]), true, false},
    {"median_rank_xt", NULL, offsetof(align_scores, median[0]), false, false},
    {"median_rank_tx", NULL, offsetof(align_scores, median[1]), false, false},
    {"correlation", "correlation", offsetof(align_scores, correlation), false, true},
    {"aligned", "aligned", offsetof(align_scores, aligned), false, true},
};
#define SCORES (sizeof scores / sizeof *scores)

static void print_line(const align_run *run, align_mode mode, size_t spec, int width)
{
    printf("%-*s %-9s", width, mode == ALIGN_RAW ? "-" : run->specs[spec], modes[mode]);
    for (size_t i = 0; i < SCORES; i++) {
        char text[48] = "-";
        if (scores[i].heading == NULL)
            continue;
        summary s = summarise(run, mode, spec, scores[i].offset);
        if (mode != ALIGN_RAW || !scores[i].components)
            snprintf(text, sizeof text, "%.2f (%.2f)", s.mean * (scores[i].percent ? 100 : 1), s.deviation * (scores[i].percent ? 100 : 1));
        printf(" %14s", text);
    }
    printf("\n");
}

void align_print(const align_run *run)
{
    size_t width = strlen("transform");
    for (size_t i = 0; i < run->spec_count; i++)
        width = strlen(run->specs[i]) > width ? strlen(run->specs[i]) : width;
    printf("%zu pairs fit, %zu judge; mean (deviation) over %zu splits; R@ in %%\n", run->fitted, run->sides[0].rows - run->fitted, run->split_count);
    printf("%-*s %-9s", (int) width, "transform", "fit");
    for (size_t i = 0; i < SCORES; i++)
        if (scores[i].heading != NULL)
            printf(" %14s", scores[i].heading);
    printf("\n");
    print_line(run, ALIGN_RAW, 0, (int) width);
    for (size_t i = 0; i < run->spec_count; i++) {
        print_line(run, ALIGN_SHARED, i, (int) width);
        print_line(run, ALIGN_SEPARATE, i, (int) width);
    }
}

static void write_line(const align_run *run, align_mode mode, size_t spec, json_writer *out)
{
    json_open_object(out, NULL);
    json_text(out, "transform", mode == ALIGN_RAW ? NULL : run->specs[spec]);
    json_text(out, "fit", modes[mode]);
    json_count(out, "components", mode == ALIGN_RAW ? run->sides[0].cols : run->components[spec]);
    for (size_t i = 0; i < SCORES; i++) {
        if (mode == ALIGN_RAW && scores[i].components)
            continue;
        summary s = summarise(run, mode, spec, scores[i].offset);
        json_open_object(out, scores[i].key);
        json_real(out, "mean", s.mean);
        json_real(out, "std", s.deviation);
        json_close(out);
    }
    json_close(out);
}

void align_write_json(const void *given, json_writer *out)
{
    const align_run *run = given;
    session_open_json(run->session, out, "align");
    json_text(out, "x", run->sides[0].name);
    json_text(out, "t", run->sides[1].name);
    json_count(out, "pairs", run->sides[0].rows);
    json_count(out, "columns", run->sides[0].cols);
    json_count(out, "fit_pairs", run->fitted);
    json_count(out, "splits", run->split_count);
    json_open_list(out, "rows");
    write_line(run, ALIGN_RAW, 0, out);
    for (size_t i = 0; i < run->spec_count; i++) {
        write_line(run, ALIGN_SHARED, i, out);
        write_line(run, ALIGN_SEPARATE, i, out);
    }
    json_close(out);
    json_real(out, "seconds", run->seconds);
    json_close(out);
}
