/* Text files that take the place of old ones only when complete. */
#ifndef MMCL_CLI_OUTPUT_H
#define MMCL_CLI_OUTPUT_H

#include "json.h"

#include <stdio.h>

/* A text file being written. All zero: none. */
typedef struct text_output {
    FILE *file;
    char *path;      /* where it goes; NULL for standard output */
    char *temporary; /* its name until then; NULL when written in place (standard output, devices, pipes) */
} text_output;

/*
 * Begins `path` ("-": standard output; NULL: nothing) and finds out at once whether it can be written. `option` names it in errors.
 * Returns an exit code.
 */
int output_open(text_output *out, const char *option, const char *path);

/* Finishes the file and gives it its name. Returns an exit code. */
int output_commit(text_output *out);

/* Writes what `write` makes of `run` and finishes the file; nothing where none was asked for. Returns an exit code. */
int output_json(text_output *out, void (*write)(const void *run, json_writer *json), const void *run);

/* Without a commit before, what was at the path stays. Fine to call on a zeroed or committed output. */
void output_discard(text_output *out);

/* Whether the library will be able to write `path` (NULL: nothing to ask): found out before the work begins. Returns an exit code. */
int output_check(const char *option, const char *path);

#endif
