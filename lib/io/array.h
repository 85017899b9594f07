/* Arrays taken from an archive. Owner of struct mmcl_array. */
#ifndef MMCL_IO_ARRAY_H
#define MMCL_IO_ARRAY_H

#include "io/archive.h"

struct mmcl_array {
    mmcl_context        *context;
    mmcl__file          *file;        /* shared: an array outlives its archive */
    char                *name;        /* FILE:KEY, for messages */
    mmcl__layout         layout;      /* `start` counts from the beginning of the file, or of `owned` */
    const unsigned char *data;        /* the elements in `owned` or in the map; NULL: read from the file */
    unsigned char       *owned;       /* [owned_bytes] an inflated member, or NULL */
    size_t               owned_bytes;
};

mmcl_status mmcl__array_create(mmcl_array **out, mmcl_archive *archive, const mmcl__member *member);
void        mmcl__array_destroy(mmcl_array *array);

/* Opens FILE or FILE:KEY. */
mmcl_status mmcl__array_open(mmcl_array **out, mmcl_context *context, const char *name, const mmcl_open_options *options);

/* A view of a float array; INVAL without a message. */
mmcl_status mmcl__array_matrix(const mmcl_array *array, mmcl_matrix *out);

/* Elements first ... first + count - 1 of an array of numbers, in the order of the file, in the byte order of the machine. */
mmcl_status mmcl__array_read(const mmcl_array *array, uint64_t first, size_t count, void *out);

mmcl_status mmcl__array_labels(const mmcl_array *array, int64_t *out, size_t count);
mmcl_status mmcl__array_string(const mmcl_array *array, size_t index, char *out, size_t capacity, size_t *needed);

#endif
