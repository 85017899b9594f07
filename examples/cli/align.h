/* What `mmcl align` was asked for and what it found; owned by align.c, reported by align_report.c. */
#ifndef MMCL_CLI_ALIGN_H
#define MMCL_CLI_ALIGN_H

#include "rows.h"

typedef struct align_settings {
    common_settings common;
    const char     *inputs[2];
    text_list       transforms;
    uint64_t        fit_pairs, splits; /* 0: the defaults */
} align_settings;

typedef enum align_mode { ALIGN_RAW, ALIGN_SHARED, ALIGN_SEPARATE } align_mode;

/* Of one split; [0]: rows of x look among those of t. */
typedef struct align_scores {
    double recall[3][2]; /* at 1, 5, 10 */
    double median[2];
    double correlation, aligned;
} align_scores;

typedef struct align_side {
    char  *name;
    size_t rows, cols;
    float *data; /* [rows, cols] */
} align_side;

typedef struct align_run {
    cli_session          *session;
    const align_settings *settings;
    align_side            sides[2];
    size_t                fitted; /* pairs of a split that fit */
    char                **specs;  /* [spec_count] */
    size_t               *components;
    size_t                spec_count, split_count;
    align_scores         *scores; /* [2 spec_count + 1, split_count]: raw, then shared and separate of each SPEC */
    double                seconds;
} align_run;

static inline align_scores *align_scores_of(const align_run *run, align_mode mode, size_t spec, size_t split)
{
    size_t line = mode == ALIGN_RAW ? 0 : 2 * spec + (size_t) mode;
    return &run->scores[line * run->split_count + split];
}

void align_print(const align_run *run);
void align_write_json(const void *run, json_writer *out); /* an align_run, as output_json passes it on */

#endif
