/* What the files of `mmcl analyse` share. */
#ifndef MMCL_CLI_ANALYSE_H
#define MMCL_CLI_ANALYSE_H

#include "rows.h"
#include "session.h"
#include "signs.h"

#include <stdio.h>

#define MEANING_CLASSES 4   /* that are told of each end of a component */
#define MEANING_STEPS   41  /* of a traversal */
#define MEANING_REACH   8.0 /* its ends, in standard deviations of the component */
#define MEANINGS_SHOWN  6   /* components whose traversal is drawn */

/* Classes far out on a component, outermost first. */
typedef struct meaning_end {
    size_t classes[MEANING_CLASSES];
    double activations[MEANING_CLASSES]; /* the class mean's, in standard deviations of the component */
    size_t count;
} meaning_end;

typedef struct meaning {
    meaning_end high, low;
    meaning_end met;                                  /* classes that the mean row, moved along the component, looks most like */
    double      path[MEANING_CLASSES][MEANING_STEPS]; /* their probabilities on the way */
} meaning;

typedef struct analysis {
    cli_session        *session;
    features            rows;
    size_t              unit_rows;            /* rows of norm 1 */
    double             *spectrum, *thresholds; /* [columns] variances of directions, and what unrelated columns would show */
    uint64_t            standing, components;  /* above the thresholds; analysed */
    uint64_t            wanted;                /* of the recommendation; the analysed ones are the leading of them */
    uint64_t            signal, held;          /* directions above a noise floor; those that hold 90 % of the variance */
    signs_check         signs;                /* of the contrast, on rows of norm 1 alone */
    mmcl_axes_info      axes;
    mmcl_stability_info stability;
    double             *index; /* [components] descending */
    char              **class_names; /* [class_count], or NULL */
    size_t              class_count;
    meaning            *meanings; /* [components], or NULL: no classes were given */
    char               *advice;
    const char         *reason;
    double              seconds;
} analysis;

/* Tells components by the classes of the data set at `path`: the means of its val rows. Returns an exit code. */
int  analyse_classes(analysis *a, const mmcl_stability *stability, const char *path);
void analyse_classes_free(analysis *a);
void analyse_classes_json(const analysis *a, json_writer *out);

/* The components that say most: stable ones on which some class lies far out. `shown` [MEANINGS_SHOWN]. */
void analyse_classes_shown(const analysis *a, size_t *shown, size_t *count);

/* One page of HTML with the findings and their pictures, complete in itself. */
void analyse_write_report(FILE *file, const analysis *a);

#endif
