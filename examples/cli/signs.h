/* Rows of norm 1, and whether the sign of ICA's contrast may be chosen automatically on them. */
#ifndef MMCL_CLI_SIGNS_H
#define MMCL_CLI_SIGNS_H

#include "rows.h"

typedef struct signs_check {
    bool            done;
    mmcl_signs_info info;
} signs_check;

/* Counts rows whose norm is 1, to the rounding of float16. Returns an exit code. */
int signs_unit_rows(cli_session *session, const features *rows, size_t *count);

/* Tries `step` and fixed signs on `parts` [count]; notes it when fixed ones find more. Returns an exit code. */
int signs_run(cli_session *session, const mmcl_matrix *parts, size_t count, const mmcl_step_options *step, const char *name,
              signs_check *out);

/* As it stands before the fit of `transform`, when that has an ICA with automatic signs on rows of norm 1; nothing otherwise. */
int signs_of_chain(cli_session *session, const mmcl_transform *transform, const features *parts, size_t count, signs_check *out);

/* "super" or "sub"; NULL where automatic signs may be trusted, or nothing was tried. */
const char *signs_advice(const signs_check *check);

/* An object "signs", where something was tried. */
void signs_json(const signs_check *check, json_writer *out);

#endif
