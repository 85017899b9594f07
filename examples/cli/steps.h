/* What fitting the steps of a transform found, as JSON and as a table. */
#ifndef MMCL_CLI_STEPS_H
#define MMCL_CLI_STEPS_H

#include "session.h"

#define MAX_STEPS 64 /* in a chain */

typedef struct step_list {
    mmcl_step_info items[MAX_STEPS];
    size_t         count;
} step_list;

/* The results of the fitted steps of `transform` (NULL: none). */
step_list steps_of(const mmcl_transform *transform);

/* Whether a step of this kind has a number of components of its own. */
bool steps_have_components(mmcl_step_kind kind);

/* A list `key` with one object a step. */
void steps_write_json(json_writer *out, const char *key, const step_list *steps);

/* One line a step, with a heading, to standard output. */
void steps_print(const step_list *steps);

/* A list `key` with the options of the steps; a 0 stands for the default of the library, as in mmcl_step_options. */
void steps_write_options(json_writer *out, const char *key, const mmcl_transform *transform);

#endif
