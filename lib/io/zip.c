/* Reads the table of contents of a zip file, and checks it against the file. */
#include "io/zip.h"

#include "io/archive.h"
#include "io/bytes.h"

/* Deflate's best: 258 bytes from 2 bits. */
#define MAX_DEFLATE_RATIO 1032

typedef struct directory {
    uint64_t entries, bytes, offset;
} directory;

static mmcl_status damaged(const mmcl_archive *archive, const char *what)
{
    return mmcl__fail(archive->context, MMCL_E_FORMAT, "%s: damaged zip: %s", archive->file->name, what);
}

static mmcl_status refused(const mmcl_archive *archive, const char *what)
{
    return mmcl__fail(archive->context, MMCL_E_UNSUPPORTED, "%s: %s", archive->file->name, what);
}

/* ------------------------------------------------------------------------------------------------ end of directory --- */

/* Offset of the end record: the one whose comment ends with the file. */
static mmcl_status find_end(mmcl_archive *archive, unsigned char *record, uint64_t *offset)
{
    unsigned char tail[1024 + MMCL__ZIP_END_BYTES - 1];
    uint64_t      size = archive->file->size, lowest = size > MMCL__ZIP_END_BYTES + 65535 ? size - MMCL__ZIP_END_BYTES - 65535 : 0;
    for (uint64_t end = size; end >= lowest + MMCL__ZIP_END_BYTES;) {
        size_t take = (size_t) MMCL__MIN(end - lowest, sizeof tail);
        MMCL__TRY(mmcl__file_read(archive->file, end - take, tail, take));
        for (size_t at = take - MMCL__ZIP_END_BYTES + 1; at-- > 0;) {
            *offset = end - take + at;
            if (mmcl__get_le(tail + at, 4) == MMCL__ZIP_END &&
                *offset + MMCL__ZIP_END_BYTES + mmcl__get_le(tail + at + 20, 2) == size) {
                memcpy(record, tail + at, MMCL__ZIP_END_BYTES);
                return MMCL_OK;
            }
        }
        end -= take - (MMCL__ZIP_END_BYTES - 1);
    }
    return damaged(archive, "no end record: truncated");
}

/* Replaces what the end record says by the zip64 end record, if there is one. *end becomes where the directory has to end. */
static mmcl_status read_zip64_end(mmcl_archive *archive, directory *central, uint64_t *end)
{
    unsigned char locator[MMCL__ZIP64_LOCATOR_BYTES], record[MMCL__ZIP64_END_BYTES];
    if (*end < sizeof locator + sizeof record)
        return MMCL_OK;
    uint64_t at = *end - sizeof locator;
    MMCL__TRY(mmcl__file_read(archive->file, at, locator, sizeof locator));
    if (mmcl__get_le(locator, 4) != MMCL__ZIP64_LOCATOR)
        return MMCL_OK;
    uint64_t offset = mmcl__get_le(locator + 8, 8);
    if (mmcl__get_le(locator + 4, 4) != 0 || mmcl__get_le(locator + 16, 4) > 1)
        return refused(archive, "a zip over several files");
    if (offset > at - sizeof record)
        return damaged(archive, "the zip64 end record lies outside the file");
    MMCL__TRY(mmcl__file_read(archive->file, offset, record, sizeof record));
    uint64_t bytes = mmcl__get_le(record + 4, 8);
    if (mmcl__get_le(record, 4) != MMCL__ZIP64_END || bytes != at - offset - 12)
        return damaged(archive, "no zip64 end record where its locator says");
    if (mmcl__get_le(record + 16, 4) != 0 || mmcl__get_le(record + 20, 4) != 0 ||
        mmcl__get_le(record + 24, 8) != mmcl__get_le(record + 32, 8))
        return refused(archive, "a zip over several files");
    *central = (directory){mmcl__get_le(record + 32, 8), mmcl__get_le(record + 40, 8), mmcl__get_le(record + 48, 8)};
    *end     = offset;
    return MMCL_OK;
}

static mmcl_status find_directory(mmcl_archive *archive, directory *central)
{
    unsigned char record[MMCL__ZIP_END_BYTES];
    uint64_t      end;
    MMCL__TRY(find_end(archive, record, &end));
    if (mmcl__get_le(record + 4, 4) != 0 || mmcl__get_le(record + 8, 2) != mmcl__get_le(record + 10, 2))
        return refused(archive, "a zip over several files");
    directory small = {mmcl__get_le(record + 10, 2), mmcl__get_le(record + 12, 4), mmcl__get_le(record + 16, 4)};
    *central        = small;
    MMCL__TRY(read_zip64_end(archive, central, &end));
    if ((small.entries != 0xffff && small.entries != central->entries) ||
        (small.bytes != 0xffffffff && small.bytes != central->bytes) ||
        (small.offset != 0xffffffff && small.offset != central->offset))
        return damaged(archive, "the two end records differ");
    if (central->offset > end || central->bytes != end - central->offset)
        return damaged(archive, "the directory does not end where the end record begins");
    if (central->entries > central->bytes / MMCL__ZIP_CENTRAL_BYTES)
        return damaged(archive, "more entries than its directory has room for");
    return MMCL_OK;
}

/* --------------------------------------------------------------------------------------------------------- entries --- */

/* Finds the zip64 part of an extra field; NULL when there is none. False when the field is malformed. */
static bool find_zip64(const unsigned char *extra, size_t bytes, const unsigned char **found, size_t *found_bytes)
{
    *found = NULL;
    while (bytes >= 4) {
        size_t id = (size_t) mmcl__get_le(extra, 2), length = (size_t) mmcl__get_le(extra + 2, 2);
        if (length > bytes - 4)
            return false;
        if (id == MMCL__ZIP_EXTRA_ZIP64) {
            *found       = extra + 4;
            *found_bytes = length;
            return true;
        }
        extra += 4 + length;
        bytes -= 4 + length;
    }
    return bytes == 0;
}

/* Replaces the values that are at their maximum by those of the zip64 extra field, which holds these alone, in this order. */
static bool widen(const unsigned char *extra, size_t extra_bytes, uint64_t **values, size_t n)
{
    const unsigned char *wide;
    size_t               left = 0;
    if (!find_zip64(extra, extra_bytes, &wide, &left))
        return false;
    for (size_t i = 0; i < n; i++) {
        if (*values[i] != 0xffffffff || wide == NULL)
            continue;
        if (left < 8)
            return false;
        *values[i] = mmcl__get_le(wide, 8);
        wide += 8;
        left -= 8;
    }
    return true;
}

/* An entry of the central directory, and what the local header has to repeat. */
typedef struct entry {
    mmcl__member member;
    const char  *name;
    size_t       name_bytes;
    uint32_t     flags, method;
} entry;

static mmcl_status check_entry(mmcl_archive *archive, const entry *e, uint64_t disk)
{
    const mmcl__member *member = &e->member;
    if (disk != 0)
        return refused(archive, "a zip over several files");
    if (e->flags & MMCL__ZIP_FLAG_ENCRYPTED)
        return refused(archive, "an encrypted zip");
    if (e->method != MMCL__ZIP_STORED && e->method != MMCL__ZIP_DEFLATED)
        return refused(archive, "a zip entry that is neither stored nor deflated");
    if (memchr(e->name, '\0', e->name_bytes) != NULL)
        return damaged(archive, "an entry has a 0 in its name");
    if (!member->deflated && member->bytes != member->stored)
        return damaged(archive, "a stored entry has two different sizes");
    if (member->deflated && member->bytes / MAX_DEFLATE_RATIO > member->stored)
        return damaged(archive, "an entry declares a size that its bytes cannot inflate to");
    return MMCL_OK;
}

/* Reads the entry at *at, and moves *at behind it. */
static mmcl_status read_entry(mmcl_archive *archive, const unsigned char **at, const unsigned char *end, entry *e)
{
    const unsigned char *from = *at;
    size_t               left = (size_t) (end - from);
    if (left < MMCL__ZIP_CENTRAL_BYTES || mmcl__get_le(from, 4) != MMCL__ZIP_CENTRAL)
        return damaged(archive, "no directory entry where one has to be");
    size_t name = (size_t) mmcl__get_le(from + 28, 2), extra = (size_t) mmcl__get_le(from + 30, 2),
           comment = (size_t) mmcl__get_le(from + 32, 2);
    if (name + extra + comment > left - MMCL__ZIP_CENTRAL_BYTES)
        return damaged(archive, "a directory entry is cut off");
    uint64_t stored = mmcl__get_le(from + 20, 4), bytes = mmcl__get_le(from + 24, 4), begin = mmcl__get_le(from + 42, 4);
    if (!widen(from + MMCL__ZIP_CENTRAL_BYTES + name, extra, (uint64_t *[]){&bytes, &stored, &begin}, 3))
        return damaged(archive, "a malformed extra field");
    *e = (entry){
        .member     = {.begin = begin, .stored = stored, .bytes = bytes, .crc = (uint32_t) mmcl__get_le(from + 16, 4), .checked = true},
        .name       = (const char *) from + MMCL__ZIP_CENTRAL_BYTES,
        .name_bytes = name,
        .flags      = (uint32_t) mmcl__get_le(from + 8, 2),
        .method     = (uint32_t) mmcl__get_le(from + 10, 2),
    };
    e->member.deflated = e->method == MMCL__ZIP_DEFLATED;
    *at                = from + MMCL__ZIP_CENTRAL_BYTES + name + extra + comment;
    return check_entry(archive, e, mmcl__get_le(from + 34, 2));
}

/* Sizes and checksum, which an entry with a data descriptor may leave 0. */
static bool local_agrees(const entry *e, const unsigned char *local, const unsigned char *extra, size_t extra_bytes)
{
    const mmcl__member *member = &e->member;
    uint64_t            crc = mmcl__get_le(local + 14, 4), stored = mmcl__get_le(local + 18, 4), bytes = mmcl__get_le(local + 22, 4);
    if (!widen(extra, extra_bytes, (uint64_t *[]){&bytes, &stored}, 2))
        return false;
    if ((e->flags & MMCL__ZIP_FLAG_DESCRIPTOR) && crc == 0 && stored == 0 && bytes == 0)
        return true;
    return crc == member->crc && stored == member->stored && bytes == member->bytes;
}

/* Checks the local header against the directory's entry, and finds where the content starts. */
static mmcl_status read_local(mmcl_archive *archive, entry *e, unsigned char *scratch)
{
    mmcl__file    *file = archive->file;
    unsigned char *text = scratch + MMCL__ZIP_LOCAL_BYTES;
    MMCL__TRY(mmcl__file_read(file, e->member.begin, scratch, MMCL__ZIP_LOCAL_BYTES));
    size_t name = (size_t) mmcl__get_le(scratch + 26, 2), extra = (size_t) mmcl__get_le(scratch + 28, 2);
    if (mmcl__get_le(scratch, 4) != MMCL__ZIP_LOCAL || name != e->name_bytes)
        return damaged(archive, "an entry lacks its local header");
    MMCL__TRY(mmcl__file_read(file, e->member.begin + MMCL__ZIP_LOCAL_BYTES, text, name + extra));
    if (memcmp(text, e->name, name) != 0 || mmcl__get_le(scratch + 6, 2) != e->flags ||
        mmcl__get_le(scratch + 8, 2) != e->method || !local_agrees(e, scratch, text + name, extra))
        return damaged(archive, "a local header differs from the directory");
    e->member.start = e->member.begin + MMCL__ZIP_LOCAL_BYTES + name + extra;
    if (e->member.stored > file->size - e->member.start)
        return damaged(archive, "an entry reaches beyond the end of the file");
    return MMCL_OK;
}

/* The name without ".npy", in place; NULL for an entry that is no array. */
static const char *key_of(entry *e)
{
    if (e->name_bytes < 4 || memcmp(e->name + e->name_bytes - 4, ".npy", 4) != 0)
        return NULL;
    char *key              = (char *) e->name;
    key[e->name_bytes - 4] = '\0';
    return key;
}

/* `scratch` takes the longest local header. */
static mmcl_status read_entries(mmcl_archive *archive, const directory *central, unsigned char *scratch)
{
    const unsigned char *at = (const unsigned char *) archive->block, *end = at + archive->block_bytes;
    for (uint64_t i = 0; i < central->entries; i++) {
        entry e;
        MMCL__TRY(read_entry(archive, &at, end, &e));
        MMCL__TRY(read_local(archive, &e, scratch));
        e.member.key = key_of(&e);
        MMCL__TRY(mmcl__archive_append(archive, &e.member));
    }
    return at == end ? MMCL_OK : damaged(archive, "its directory is longer than its entries");
}

static mmcl_status check_gap(mmcl_archive *archive, const mmcl__member *before, const mmcl__member *after, uint64_t end)
{
    if (before != NULL && before->start + before->stored > (after != NULL ? after->begin : end))
        return damaged(archive, "entries overlap");
    return MMCL_OK;
}

static void drop_others(mmcl_archive *archive)
{
    size_t kept = 0;
    for (size_t i = 0; i < archive->count; i++)
        if (archive->members[i].key != NULL)
            archive->members[kept++] = archive->members[i];
    archive->count = kept;
}

mmcl_status mmcl__zip_read(mmcl_archive *archive)
{
    const size_t scratch_bytes = MMCL__ZIP_LOCAL_BYTES + 2 * 65535;
    directory    central = {0};
    MMCL__TRY(find_directory(archive, &central));
    MMCL__TRY(mmcl__archive_load_block(archive, central.offset, central.bytes));
    unsigned char *scratch = mmcl__alloc(archive->context, scratch_bytes, 1);
    if (scratch == NULL)
        return MMCL_E_NOMEM;
    mmcl_status status = read_entries(archive, &central, scratch);
    mmcl__free(archive->context, scratch, scratch_bytes, 1);
    MMCL__TRY(status);
    MMCL__TRY(mmcl__archive_visit_gaps(archive, central.offset, check_gap));
    drop_others(archive);
    return MMCL_OK;
}
