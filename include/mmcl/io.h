/*
 * Arrays in files: .npy (versions 1 to 3), .npz (stored and deflated, zip64) and .safetensors, read and written.
 *
 * The readers trust nothing: every declared size is checked against the file before anything is allocated, checksums are
 * verified, pickled objects are refused. A file is replaced only when the new one is complete.
 */
#ifndef MMCL_IO_H
#define MMCL_IO_H

#include <mmcl/base.h>
#include <mmcl/context.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mmcl_archive mmcl_archive; /* an opened file of any of the formats; a .npy counts as an archive of one array */
typedef struct mmcl_array   mmcl_array;   /* one array of it */
typedef struct mmcl_writer  mmcl_writer;  /* a file being written */

typedef int32_t mmcl_access;

#define MMCL_ACCESS_MAP  ((mmcl_access) 0) /* memory map where the layout allows, otherwise as READ */
#define MMCL_ACCESS_READ ((mmcl_access) 1) /* positioned reads: a file that shrinks meanwhile gives an error, not SIGBUS */

typedef struct mmcl_open_options {
    size_t             struct_size;
    const mmcl_stream *stream; /* copied; read from here instead of from a file. The path then only names it in messages. Called by
                                  one thread at a time, but by any that reads the array, while the archive or an array of it lives */
    mmcl_access        access;
    uint32_t           reserved; /* 0 */
} mmcl_open_options;

typedef struct mmcl_array_info {
    size_t      struct_size;
    uint64_t    shape[8];      /* the first `dimensions` entries count, slowest-varying first */
    uint64_t    elements;      /* the product of the shape */
    uint64_t    element_bytes; /* bytes of one element; of the whole fixed-width text for MMCL_STR */
    uint32_t    dimensions;    /* 0 for a scalar */
    mmcl_dtype  dtype;
    uint32_t    fortran;       /* 1: the first index varies fastest in the file */
    uint32_t    swapped;       /* 1: the file has the other byte order than this machine */
    uint32_t    mapped;        /* 1: elements are read through a memory map */
    uint32_t    compressed;    /* 1: deflated in the archive, and inflated into memory when opened */
} mmcl_array_info;

/* ----------------------------------------------------------------------------------------------------- reading --- */

/*
 * Opens a file and reads its table of contents. `options` may be NULL. The format is told by content, not by name.
 * Thread class: exclusive. Allocates: the table of contents.
 * Errors: MMCL_E_NOTFOUND (no such file), MMCL_E_IO (a directory, no permission), MMCL_E_FORMAT (damaged, or none of the
 * formats), MMCL_E_UNSUPPORTED (such as an encrypted zip), MMCL_E_CALLBACK (the stream failed), MMCL_E_NOMEM.
 */
MMCL_API MMCL_CHECK mmcl_status mmcl_archive_open(mmcl_archive **out, mmcl_context *context, const char *path,
                                                  const mmcl_open_options *options);

/* Closes the file. NULL is fine. Arrays taken from it stay valid. Thread class: exclusive. */
MMCL_API void mmcl_archive_destroy(mmcl_archive *archive);

/* Number of arrays. Thread class: concurrent on const. */
MMCL_API size_t mmcl_archive_count(const mmcl_archive *archive);

/*
 * Key of array `index`, without ".npy"; "" for the only array of a .npy file; NULL beyond the last. Lives with the archive.
 * Thread class: concurrent on const.
 */
MMCL_API const char *mmcl_archive_key(const mmcl_archive *archive, size_t index);

/* 1 when the archive holds `key`, otherwise 0. Thread class: concurrent on const. */
MMCL_API uint32_t mmcl_archive_has(const mmcl_archive *archive, const char *key);

/*
 * Opens the array `key` ("" or NULL: the only one). A deflated member is inflated into memory and its checksum verified; a
 * stored one is mapped or read in place, its checksum verified at once.
 * Thread class: exclusive. Allocates: the array, and its elements when they cannot be read in place.
 * Errors: MMCL_E_NOTFOUND (the message lists the keys there are), MMCL_E_FORMAT (truncated, wrong checksum), MMCL_E_UNSUPPORTED
 * (object arrays, complex numbers, more than 8 dimensions), MMCL_E_IO, MMCL_E_CALLBACK, MMCL_E_NOMEM.
 */
MMCL_API MMCL_CHECK mmcl_status mmcl_archive_array(mmcl_array **out, mmcl_archive *archive, const char *key);

/*
 * Opens one array by name: "FILE", "FILE.npz:KEY" or "FILE.safetensors:KEY". A file that exists under the whole name wins over
 * the split at the last colon. Errors as mmcl_archive_open and mmcl_archive_array.
 * Thread class: exclusive.
 */
MMCL_API MMCL_CHECK mmcl_status mmcl_array_open(mmcl_array **out, mmcl_context *context, const char *name,
                                                const mmcl_open_options *options);

/* Closes the array. NULL is fine. Views of it end here. Thread class: exclusive. */
MMCL_API void mmcl_array_destroy(mmcl_array *array);

/* Shape, type and layout. `out->struct_size` must be set. Thread class: concurrent on const. Errors: MMCL_E_INVAL, MMCL_E_ABI. */
MMCL_API MMCL_CHECK mmcl_status mmcl_array_get_info(const mmcl_array *array, mmcl_array_info *out);

/*
 * A view of a float array of two dimensions (or of one: a single column) for fit, apply and the like. It borrows from the
 * array. Where the elements lie in memory and on their alignment, the view points at them; otherwise it reads through the array.
 * Thread class: concurrent on const. Allocates nothing.
 * Errors: MMCL_E_INVAL (not a float type, or more than two dimensions).
 */
MMCL_API MMCL_CHECK mmcl_status mmcl_array_matrix(const mmcl_array *array, mmcl_matrix *out);

/*
 * Copies an integer (or boolean) array of one dimension, or of two, row by row, into `out` [count].
 * Thread class: exclusive. Allocates nothing.
 * Errors: MMCL_E_INVAL (`count` is not the number of elements, not an integer type, or a value beyond int64).
 */
MMCL_API MMCL_CHECK mmcl_status mmcl_array_labels(const mmcl_array *array, int64_t *out, size_t count);

/*
 * Copies text `index` of an MMCL_STR array as UTF-8 with a final 0 into `out` [capacity]. *needed (may be NULL) receives the
 * bytes it takes, the final 0 included; a capacity of 0 only asks.
 * Thread class: exclusive. Allocates nothing. Errors: MMCL_E_INVAL (not text, index beyond the end, capacity too small),
 * MMCL_E_FORMAT (not valid Unicode).
 */
MMCL_API MMCL_CHECK mmcl_status mmcl_array_string(const mmcl_array *array, size_t index, char *out, size_t capacity,
                                                  size_t *needed);

/* ----------------------------------------------------------------------------------------------------- writing --- */

/*
 * Begins a file; the ending .npy, .npz or .safetensors selects the format. Everything goes to a new file beside `path`, which
 * takes its name in mmcl_writer_commit: until then, and after any failure, what was at `path` is untouched.
 * Thread class: exclusive. Allocates: the writer.
 * Errors: MMCL_E_INVAL (unknown ending), MMCL_E_IO (the folder is missing or not writable, `path` is a directory), MMCL_E_NOMEM.
 */
MMCL_API MMCL_CHECK mmcl_status mmcl_writer_create(mmcl_writer **out, mmcl_context *context, const char *path);

/*
 * Appends `matrix` [rows, cols], converted to `dtype` (MMCL_F32, MMCL_F64, MMCL_F16 or MMCL_BF16, the last only for
 * safetensors; an integer matrix keeps its own type, which `dtype` must then name). Rows are taken in tiles, so a view with
 * `read` may compute them as they are written. `key` is ignored for .npy, which takes exactly one array.
 * Thread class: exclusive. Errors: MMCL_E_INVAL (key missing or used before, dtype: the writer stays usable), MMCL_E_IO,
 * MMCL_E_CALLBACK, MMCL_E_CANCELLED, MMCL_E_NOMEM, MMCL_E_STATE (after a commit, or after one of the others).
 */
MMCL_API MMCL_CHECK mmcl_status mmcl_writer_add(mmcl_writer *writer, const char *key, const mmcl_matrix *matrix, mmcl_dtype dtype);

/* Appends labels [count] as int64. Otherwise as mmcl_writer_add. */
MMCL_API MMCL_CHECK mmcl_status mmcl_writer_add_labels(mmcl_writer *writer, const char *key, const int64_t *labels, size_t count);

/*
 * Appends `count` UTF-8 texts as a fixed-width Unicode array. Not for safetensors, which has no text.
 * Otherwise as mmcl_writer_add; MMCL_E_INVAL also for text that is not UTF-8.
 */
MMCL_API MMCL_CHECK mmcl_status mmcl_writer_add_strings(mmcl_writer *writer, const char *key, const char *const *texts, size_t count);

/*
 * Finishes the file, flushes it to the disk and gives it its name. After an error the old file is still there.
 * Thread class: exclusive. Errors: MMCL_E_STATE (nothing added, committed before, or an earlier error), MMCL_E_IO.
 */
MMCL_API MMCL_CHECK mmcl_status mmcl_writer_commit(mmcl_writer *writer);

/* Ends the writer; without a commit the new file is removed. NULL is fine. Thread class: exclusive. */
MMCL_API void mmcl_writer_destroy(mmcl_writer *writer);

#ifdef __cplusplus
}
#endif

#endif
