/* Bytes at an offset, whether they come from a file or from a host's stream. Shared by an archive and the arrays taken from it. */
#ifndef MMCL_IO_FILE_H
#define MMCL_IO_FILE_H

#include "core/core.h"

#include <mmcl/io.h>

#include <pthread.h>

typedef struct mmcl__file {
    mmcl_context        *context;
    char                *name;       /* for messages */
    uint64_t             size;
    const unsigned char *map;        /* [size], or NULL */
    int                  descriptor; /* -1 for a stream */
    mmcl_stream          stream;
    pthread_mutex_t      lock;       /* one call of the stream at a time */
    size_t               references;
} mmcl__file;

/* Options as the library sees them: `options.stream` is NULL or points at `stream`. */
typedef struct mmcl__open_options {
    mmcl_open_options options;
    mmcl_stream       stream;
} mmcl__open_options;

mmcl_status mmcl__open_options_import(mmcl_context *context, mmcl__open_options *ours, const mmcl_open_options *theirs);

/* Opens `path`, or the stream in `options` (never NULL, imported). Released when the last reference is. */
mmcl_status mmcl__file_open(mmcl__file **out, mmcl_context *context, const char *path, const mmcl_open_options *options);
mmcl__file *mmcl__file_share(mmcl__file *file);
void        mmcl__file_release(mmcl__file *file);

/* 1 when there is something at `path`, whatever it is. */
bool mmcl__file_exists(const char *path);

/* Fills `buffer`. Concurrent on const, without a message: MMCL_E_IO (also when the file has become shorter), MMCL_E_CALLBACK. */
mmcl_status mmcl__file_fetch(const mmcl__file *file, uint64_t offset, void *buffer, size_t bytes);

/* The same, with a message. */
mmcl_status mmcl__file_read(mmcl__file *file, uint64_t offset, void *buffer, size_t bytes);

/* Sets the message "name: what: reason of the system's `error`" and returns `status`. */
mmcl_status mmcl__fail_system(mmcl_context *context, mmcl_status status, const char *name, const char *what, int error);

#endif
