/* The table of contents of a file of any of the formats. Owner of struct mmcl_archive. */
#ifndef MMCL_IO_ARCHIVE_H
#define MMCL_IO_ARCHIVE_H

#include "io/file.h"
#include "io/npy.h"

/* What one entry of a file holds, and where. */
typedef struct mmcl__member {
    const char  *key;      /* in the archive's block; NULL for an entry that is no array, kept to find overlaps */
    uint64_t     begin;    /* of all that belongs to the entry in the file, such as its local header in a zip */
    uint64_t     start;    /* of its content */
    uint64_t     stored;   /* bytes of its content in the file */
    uint64_t     bytes;    /* the same after inflating */
    uint32_t     crc;
    bool         checked;  /* `crc` is known */
    bool         deflated;
    bool         tensor;   /* bare elements as `layout` says; otherwise a .npy */
    mmcl__layout layout;   /* dtype -1: a type that is not supported */
} mmcl__member;

struct mmcl_archive {
    mmcl_context *context;
    mmcl__file   *file;
    mmcl__member *members;     /* [capacity], in the order of the file's table */
    size_t        count, capacity;
    size_t       *sorted;      /* [count] members by key */
    char         *block;       /* [block_bytes] the file's table, which the keys lie in */
    size_t        block_bytes;
};

mmcl_status mmcl__archive_open(mmcl_archive **out, mmcl_context *context, const char *path, const mmcl_open_options *options);
void        mmcl__archive_destroy(mmcl_archive *archive);

/* NULL when there is none. */
const mmcl__member *mmcl__archive_find(const mmcl_archive *archive, const char *key);

/* "" or NULL is the only array. MMCL_E_NOTFOUND with the keys there are in the message. */
mmcl_status mmcl__archive_select(const mmcl_archive *archive, const char *key, const mmcl__member **out);

/* For the readers of the formats: reads `bytes` at `offset` into a new block; appends a member; checks that none overlap. */
mmcl_status mmcl__archive_load_block(mmcl_archive *archive, uint64_t offset, uint64_t bytes);
mmcl_status mmcl__archive_append(mmcl_archive *archive, const mmcl__member *member);

/* Calls `visit` for neighbouring members (NULL at both ends) in the order of their `begin`. */
typedef mmcl_status (*mmcl__visit_gap)(mmcl_archive *archive, const mmcl__member *before, const mmcl__member *after, uint64_t end);
mmcl_status mmcl__archive_visit_gaps(mmcl_archive *archive, uint64_t end, mmcl__visit_gap visit);

/* The readers: fill in the table of contents of archive->file. */
mmcl_status mmcl__zip_read(mmcl_archive *archive);
mmcl_status mmcl__safetensors_read(mmcl_archive *archive);

/* Inflates the content of a member into `out` [member->bytes], and checks length and checksum. */
mmcl_status mmcl__inflate(mmcl_archive *archive, const mmcl__member *member, unsigned char *out);

#endif
