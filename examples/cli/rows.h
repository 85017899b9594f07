/* Matrices of features: opened with a name for messages, cut into slices, read through a transform, rows left out. */
#ifndef MMCL_CLI_ROWS_H
#define MMCL_CLI_ROWS_H

#include "session.h"

/* A feature array. All zero: none, with 0 rows. */
typedef struct features {
    mmcl_array *array;
    mmcl_matrix view;
    char       *name; /* "FILE:KEY", for messages */
} features;

/* Opens "FILE" or "FILE:KEY" as a matrix of floats. Returns an exit code. */
int features_open(cli_session *session, const char *name, features *out);

/* Opens array `key` of an archive; `path` is the archive's name. Returns an exit code. */
int features_from(cli_session *session, mmcl_archive *archive, const char *path, const char *key, features *out);

void features_close(features *rows);

/* A window on rows of another matrix; the storage has to live as long as the view. */
typedef struct rows_slice {
    mmcl_matrix        view;
    const mmcl_matrix *source;
    size_t             first;
} rows_slice;

void rows_slice_init(rows_slice *out, const mmcl_matrix *source, size_t first, size_t count);

/* Rows first ... first + count - 1 as float32, whatever type they have; `out` [count, cols]. */
mmcl_status rows_read(cli_session *session, const mmcl_matrix *rows, size_t first, size_t count, float *out);

/* A matrix without some rows of another. */
typedef struct rows_without {
    mmcl_matrix        view;
    const mmcl_matrix *source;
    const size_t      *left_out; /* [count] ascending */
    size_t             count;
} rows_without;

void rows_without_init(rows_without *out, const mmcl_matrix *source, const size_t *left_out, size_t count);

/* A matrix seen through a fitted transform, computed as it is read. */
typedef struct rows_applied {
    mmcl_matrix           view;
    cli_session          *session;
    const mmcl_transform *transform;
    const mmcl_matrix    *source;
    const char           *name;   /* of the source, for messages */
    bool                  report; /* shows progress */
} rows_applied;

/* Refuses a source of another width than the transform's. Returns an exit code. */
int rows_applied_init(rows_applied *out, cli_session *session, const mmcl_transform *transform, const mmcl_matrix *source,
                      const char *name);

#endif
