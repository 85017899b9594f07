/* Where a file is written to: a new file that takes its name at the end, or memory of the context. */
#ifndef MMCL_IO_OUTPUT_H
#define MMCL_IO_OUTPUT_H

#include "core/core.h"

typedef struct mmcl__output {
    mmcl_context  *context;
    char          *path;       /* as given, for messages */
    char          *name;       /* the file's name in `folder`; NULL in memory */
    int            folder;     /* descriptor of the folder: a host that changes its own meanwhile does no harm. -1 in memory */
    int            descriptor; /* of the new file; -1 in memory, and when it is closed */
    char           temporary[40];
    unsigned char *memory;     /* [capacity] */
    size_t         capacity;
    uint64_t       size;       /* bytes so far */
} mmcl__output;

/* Begins a new file beside `path`. Symbolic links are followed: what they point at is replaced, and they stay. */
mmcl_status mmcl__output_open(mmcl__output *output, mmcl_context *context, const char *path);
mmcl_status mmcl__output_open_memory(mmcl__output *output, mmcl_context *context, const char *name);

/* Writes at any place, in memory up to `size`, which grows as needed; reads back what has been written. */
mmcl_status mmcl__output_write(mmcl__output *output, uint64_t offset, const void *bytes, size_t count);
mmcl_status mmcl__output_read(mmcl__output *output, uint64_t offset, void *bytes, size_t count);

/* Flushes the new file to the disk and gives it its name. In memory: nothing. */
mmcl_status mmcl__output_commit(mmcl__output *output);

/* Removes a file that has not been committed; releases everything. Fine on what was never opened, when zeroed. */
void mmcl__output_close(mmcl__output *output);

#endif
