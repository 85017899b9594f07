/* What `mmcl probe` was asked for and what it found; owned by probe.c, reported by probe_report.c. */
#ifndef MMCL_CLI_PROBE_H
#define MMCL_CLI_PROBE_H

#include "dataset.h"
#include "steps.h"

#include <stdio.h>

typedef struct probe_settings {
    common_settings common;
    count_list      shots;
    text_list       transforms;
    const char     *pool, *save, *plot;
    uint64_t        seeds;    /* 0: one */
    int32_t         protocol; /* index of the choice: mmcl_protocol */
} probe_settings;

/* One fit: a data set, a number of shots, a transform, a seed. */
typedef struct probe_row {
    size_t            data, transform; /* indices */
    uint64_t          shots, seed;
    mmcl_probe_result result;
    double           *domains; /* [domain_count of the data set] */
    step_list         steps;
    bool              reused; /* the transform had been fitted for an earlier row, on the same pool */
} probe_row;

typedef struct probe_run {
    cli_session          *session;
    const probe_settings *settings;
    dataset              *data; /* [data_count] */
    size_t                data_count;
    const char          **specs; /* [spec_count] */
    size_t                spec_count;
    features              pool;
    size_t               *left_out; /* [data_count] rows of the pool that each data set leaves out */
    probe_row            *rows;     /* [row_count] the seeds of one group next to each other */
    size_t                row_count, rows_planned;
    size_t                best; /* row whose pipeline is saved */
    double                seconds;
} probe_run;

/* The search that every row runs; the options' members are all set. */
extern const mmcl_search_options probe_search;

/* The heading of the table, and a line for the rows of one group (one row, or the seeds of one setting). */
void probe_print_heading(const probe_run *run);
void probe_print_group(const probe_run *run, const probe_row *rows, size_t count);

void probe_write_json(const void *run, json_writer *out); /* a probe_run, as output_json passes it on */
void probe_write_plot(const probe_run *run, FILE *file);

/* Seeds of each setting. */
static inline size_t probe_seeds(const probe_settings *settings)
{
    return settings->seeds > 0 ? (size_t) settings->seeds : 1;
}

#endif
