/*
 * The .npy format: a magic number, a version, and the array's description as a Python dictionary in text.
 * numpy.lib.format documents it.
 */
#ifndef MMCL_IO_NPY_H
#define MMCL_IO_NPY_H

#include "core/core.h"

#include <mmcl/io.h>

#define MMCL__NPY_MAGIC  "\x93NUMPY"
#define MMCL__NPY_PREFIX 12 /* bytes that are enough to know how long the header is */

/* How the elements of an array lie in a file. */
typedef struct mmcl__layout {
    mmcl_array_info info;
    bool            utf32; /* MMCL_STR: 4-byte characters; otherwise single bytes */
    uint64_t        start; /* offset of the first element: in the .npy, or in the file */
    uint64_t        bytes; /* of all elements */
} mmcl__layout;

/* Derives `elements` and `bytes` from shape and element size; false when they overflow. */
bool mmcl__layout_measure(mmcl__layout *layout);

/*
 * Bytes of a .npy's header, everything before the first element, from its first min(12, total) bytes. `name` names the file in
 * messages, `total` is the size of the .npy.
 */
mmcl_status mmcl__npy_header_bytes(mmcl_context *context, const char *name, const unsigned char *prefix, uint64_t total,
                                   size_t *out);

/* Reads a header [header_bytes], and checks that the elements it declares are all that follows. */
mmcl_status mmcl__npy_parse(mmcl_context *context, const char *name, const unsigned char *header, size_t header_bytes,
                            uint64_t total, mmcl__layout *out);

#define MMCL__NPY_MAX_HEADER 384 /* bytes that mmcl__npy_format takes at most */

/* Writes the header of an array of this machine's byte order; returns its length, a multiple of 64. */
size_t mmcl__npy_format(const mmcl_array_info *info, unsigned char *out);

#endif
