/* Writes files of any of the formats. Owner of struct mmcl_writer. */
#ifndef MMCL_IO_WRITER_H
#define MMCL_IO_WRITER_H

#include "io/npy.h"
#include "io/output.h"

typedef enum mmcl__format { MMCL__FORMAT_NPY, MMCL__FORMAT_NPZ, MMCL__FORMAT_SAFETENSORS } mmcl__format;

/* An array that has been written, or is being written. */
typedef struct mmcl__entry {
    char           *key;   /* owned */
    mmcl_array_info info;
    uint64_t        begin; /* where it begins in the output: its local header in a zip */
    uint64_t        start; /* where its content begins: the .npy in a zip, the elements otherwise */
    uint64_t        end;   /* behind its content */
    uint32_t        crc;   /* of the content so far */
    size_t          next;  /* 1 + the index of another entry in the same bucket; 0: none */
} mmcl__entry;

struct mmcl_writer {
    mmcl_context *context;
    mmcl__format  format;
    mmcl__output  output;
    mmcl__entry  *entries; /* [capacity] */
    size_t        count, capacity;
    size_t        buckets[256]; /* 1 + the index of the last entry whose key hashes to this; 0: none */
    bool          broken;    /* something failed half way */
    bool          committed;
};

mmcl_status mmcl__writer_create(mmcl_writer **out, mmcl_context *context, const char *path);

/* An .npz whatever its ending; path NULL: in memory, writer->output.memory [writer->output.size] after the commit. */
mmcl_status mmcl__writer_create_model(mmcl_writer **out, mmcl_context *context, const char *path);
void        mmcl__writer_destroy(mmcl_writer *writer);

/* Arrays: the description, the elements in any number of parts, the end. `info` needs dtype, element_bytes and shape. */
mmcl_status mmcl__writer_begin(mmcl_writer *writer, const char *key, const mmcl_array_info *info);
mmcl_status mmcl__writer_append(mmcl_writer *writer, const void *bytes, size_t count);
mmcl_status mmcl__writer_end(mmcl_writer *writer);

/* All three at once, for elements in memory. */
mmcl_status mmcl__writer_put(mmcl_writer *writer, const char *key, mmcl_dtype dtype, uint32_t dimensions, const uint64_t *shape,
                             const void *elements);

mmcl_status mmcl__writer_add(mmcl_writer *writer, const char *key, const mmcl_matrix *matrix, mmcl_dtype dtype);
mmcl_status mmcl__writer_add_strings(mmcl_writer *writer, const char *key, const char *const *texts, size_t count);
mmcl_status mmcl__writer_commit(mmcl_writer *writer);

/* The formats that need a frame around the arrays. */
mmcl_status mmcl__zip_begin(mmcl_writer *writer, mmcl__entry *entry, uint64_t bytes);
mmcl_status mmcl__zip_end(mmcl_writer *writer, mmcl__entry *entry);
mmcl_status mmcl__zip_finish(mmcl_writer *writer);

#define MMCL__SAFETENSORS_ROOM 4096 /* bytes kept free at the beginning for the header, which is known only at the end */
mmcl_status mmcl__safetensors_finish(mmcl_writer *writer);

#endif
