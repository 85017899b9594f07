/* What the files of `mmcl analyse` share. */
#ifndef MMCL_CLI_ANALYSE_H
#define MMCL_CLI_ANALYSE_H

#include "rows.h"
#include "session.h"

#include <stdio.h>

typedef struct analysis {
    cli_session        *session;
    features            rows;
    size_t              unit_rows;            /* rows of norm 1 */
    double             *spectrum, *thresholds; /* [columns] variances of directions, and what unrelated columns would show */
    uint64_t            standing, components;  /* above the thresholds; analysed */
    mmcl_axes_info      axes;
    mmcl_stability_info stability;
    double             *index; /* [components] descending */
    char               *advice;
    const char         *reason;
    double              seconds;
} analysis;

/* One page of HTML with the findings and their pictures, complete in itself. */
void analyse_write_report(FILE *file, const analysis *a);

#endif
