/* What `mmcl probe` and `mmcl adapt` were asked for and what they found; owned by fewshot.c, reported by fewshot_report.c. */
#ifndef MMCL_CLI_FEWSHOT_H
#define MMCL_CLI_FEWSHOT_H

#include "dataset.h"
#include "steps.h"

#include <stdio.h>

typedef struct fewshot_settings {
    common_settings common;
    count_list      shots;
    text_list       transforms;
    const char     *pool, *save, *plot;
    uint64_t        seeds;    /* 0: one */
    text_list       methods;  /* adapt alone, as all below */
    const char     *text;     /* prompts from outside */
    double          logit_scale;
    int32_t         protocol; /* index of the choice: mmcl_protocol */
} fewshot_settings;

#define FEWSHOT_PROBE ((mmcl_method) 0) /* the probe with CoOp's search for C, which `mmcl probe` runs */

/* One fit: a data set, a number of shots, a transform, a method, a seed. */
typedef struct fewshot_row {
    size_t              data, transform; /* indices */
    mmcl_method         method;
    uint64_t            shots, seed;
    mmcl_probe_result   probe; /* of FEWSHOT_PROBE */
    mmcl_adapt_info     head;  /* of the other methods */
    mmcl_fewshot_result result;
    double              val_accuracy;
    double             *domains;     /* [domain_count of the data set] accuracies */
    mmcl_evaluation    *evaluations; /* [1 + domain_count] of the test set and of the domains; NULL for FEWSHOT_PROBE */
    step_list           steps;
    bool                reused; /* the transform had been fitted for an earlier row, on the same pool */
} fewshot_row;

typedef struct fewshot_run {
    cli_session          *session;
    const fewshot_settings *settings;
    dataset              *data; /* [data_count] */
    size_t                data_count;
    const char          **specs; /* [spec_count] */
    size_t                spec_count;
    mmcl_method          *methods; /* [method_count] */
    size_t                method_count;
    features              pool;
    size_t               *left_out; /* [data_count] rows of the pool that each data set leaves out */
    fewshot_row            *rows;     /* [row_count] the seeds of one group next to each other */
    size_t                row_count, rows_planned;
    size_t                best; /* row whose pipeline is saved */
    double                seconds;
} fewshot_run;

/* The search that every row runs; the options' members are all set. */
extern const mmcl_search_options fewshot_search;

/* The heading of the table, and a line for the rows of one group (one row, or the seeds of one setting). */
void fewshot_print_heading(const fewshot_run *run);
void fewshot_print_group(const fewshot_run *run, const fewshot_row *rows, size_t count);

void fewshot_write_json(const void *run, json_writer *out); /* a fewshot_run, as output_json passes it on */
void fewshot_write_plot(const fewshot_run *run, FILE *file);

/* Runs `mmcl probe` or `mmcl adapt` over data sets, shots, transforms, methods and seeds. Returns an exit code. */
int fewshot_command(cli_session *session, const fewshot_settings *settings, const text_list *operands);

/* Options that both share. */
#define FEWSHOT_AT(member) offsetof(fewshot_settings, member)
#define FEWSHOT_OPTIONS                                                                                                                      \
    {"shots", OPTION_COUNTS, FEWSHOT_AT(shots), "N[,N...]", "training rows a class (default: 1,2,4,8,16)", NULL, 1, 1000000},                 \
        {"transform", OPTION_LIST, FEWSHOT_AT(transforms), "SPEC", "may be given several times (default: raw)", NULL, 0, 0},                  \
        {"pool", OPTION_TEXT, FEWSHOT_AT(pool), "A", "unlabelled rows that the transforms are fitted on", NULL, 0, 0},                        \
        {"protocol", OPTION_CHOICE, FEWSHOT_AT(protocol), NULL, "what may be seen (default: strict)", fewshot_protocols, 0, 0},              \
        {"seeds", OPTION_COUNT, FEWSHOT_AT(seeds), "N", "seeds SEED ... SEED+N-1, with mean and deviation", NULL, 1, 100000},                 \
        {"save", OPTION_TEXT, FEWSHOT_AT(save), "PIPELINE", "write the row that is best on val, for mmcl predict", NULL, 0, 0},               \
        {"plot", OPTION_TEXT, FEWSHOT_AT(plot), "F.svg", "draw accuracy over shots, one line a transform and method", NULL, 0, 0}

extern const char *const fewshot_protocols[];

/* Name of a row's method; NULL for FEWSHOT_PROBE. */
static inline const char *fewshot_method(const fewshot_row *row)
{
    return row->method != FEWSHOT_PROBE ? mmcl_method_name(row->method) : NULL;
}

/* Seeds of each setting. */
static inline size_t fewshot_seeds(const fewshot_settings *settings)
{
    return settings->seeds > 0 ? (size_t) settings->seeds : 1;
}

#endif
