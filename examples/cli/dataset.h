/* A few-shot data set: one .npz, or the folder of train.npz, val.npz and test.npz that CoOp's scripts write. */
#ifndef MMCL_CLI_DATASET_H
#define MMCL_CLI_DATASET_H

#include "rows.h"

/* Rows with their classes. All zero: none. */
typedef struct labelled_rows {
    features x;
    int64_t *y;
} labelled_rows;

/* Training rows that are a draw already. */
typedef struct fixed_draw {
    uint64_t      shots;
    labelled_rows rows;
} fixed_draw;

/* A further test set. */
typedef struct test_domain {
    char         *name;
    labelled_rows rows;
    uint8_t      *mask; /* [classes] 1: may occur; NULL: all may */
} test_domain;

typedef struct dataset {
    char         *path, *name;
    size_t        columns, classes;
    char        **class_names; /* [classes], or NULL */
    labelled_rows train, val, test, text; /* text: prompts, any number a class */
    fixed_draw   *fixed; /* [fixed_count] by ascending shots */
    size_t        fixed_count;
    test_domain  *domains; /* [domain_count] */
    size_t        domain_count;
} dataset;

/* Reads and checks everything but the features' values. Returns an exit code. */
int  dataset_open(cli_session *session, const char *path, dataset *out);
void dataset_close(dataset *data);

/*
 * Replaces the prompts by those at "FILE:KEY", one row a class in order; a KEY that ends with _x brings labels in a KEY that ends with _y,
 * where the file has one. Returns an exit code.
 */
int dataset_set_text(cli_session *session, dataset *data, const char *name);

/*
 * Training rows for so many shots: a fixed draw where there is one (*fixed set), otherwise the rows to draw from; NULL when there
 * are neither.
 */
const labelled_rows *dataset_train(const dataset *data, uint64_t shots, bool *fixed);

/* Refuses a class without rows in `rows`. Returns an exit code. */
int dataset_check_classes(const dataset *data, const labelled_rows *rows);

#endif
