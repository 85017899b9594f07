/* What .npz and .safetensors put around the arrays. */
#include "io/bytes.h"
#include "io/safetensors.h"
#include "io/writer.h"
#include "io/zip.h"

#include <stdio.h>

/* --------------------------------------------------------------------------------------------------------------- zip --- */

#define ALIGNMENT   64         /* of the content, so that a map of it is aligned too */
#define LIMIT_32    0xffffffffu /* values from here on take the zip64 form */
#define DOS_DATE    0x0021u    /* 1980-01-01: the same arrays give the same file at any time */
#define MADE_BY     0x032du    /* Unix, format version 4.5 */
#define MODE        0100644u

static bool is_ascii(const char *text)
{
    while (*text != '\0')
        if ((unsigned char) *text++ >= 0x80)
            return false;
    return true;
}

/* The fields that local header and directory share, from "version needed" to the length of the extra field. */
static unsigned char *put_shared(unsigned char *at, const mmcl__entry *entry, size_t extra)
{
    uint64_t bytes = entry->end - entry->start;
    uint32_t small = (uint32_t) MMCL__MIN(bytes, LIMIT_32);
    at             = mmcl__put_le(at, bytes >= LIMIT_32 || entry->begin >= LIMIT_32 ? 45 : 20, 2);
    at             = mmcl__put_le(at, is_ascii(entry->key) ? 0 : MMCL__ZIP_FLAG_UTF8, 2);
    at             = mmcl__put_le(at, MMCL__ZIP_STORED, 2);
    at             = mmcl__put_le(at, 0, 2);
    at             = mmcl__put_le(at, DOS_DATE, 2);
    at             = mmcl__put_le(at, entry->crc, 4);
    at             = mmcl__put_le(at, small, 4);
    at             = mmcl__put_le(at, small, 4);
    at             = mmcl__put_le(at, strlen(entry->key) + 4, 2);
    return mmcl__put_le(at, extra, 2);
}

static unsigned char *put_name(unsigned char *at, const char *key)
{
    size_t length = strlen(key);
    memcpy(at, key, length);
    memcpy(at + length, ".npy", 4);
    return at + length + 4;
}

/* The zip64 extra field: sizes and offset (UINT64_MAX: not among them), those that need it. Returns behind it. */
static unsigned char *put_zip64(unsigned char *at, uint64_t bytes, uint64_t offset)
{
    size_t sizes = bytes >= LIMIT_32 ? 16 : 0, offsets = offset != UINT64_MAX && offset >= LIMIT_32 ? 8 : 0;
    if (sizes + offsets == 0)
        return at;
    at = mmcl__put_le(at, MMCL__ZIP_EXTRA_ZIP64, 2);
    at = mmcl__put_le(at, sizes + offsets, 2);
    if (sizes > 0) {
        at = mmcl__put_le(at, bytes, 8);
        at = mmcl__put_le(at, bytes, 8);
    }
    return offsets > 0 ? mmcl__put_le(at, offset, 8) : at;
}

/* Fills up to the next multiple of ALIGNMENT by an extra field. */
static unsigned char *put_padding(unsigned char *at, uint64_t position)
{
    size_t fixed = 6, padding = (size_t) ((ALIGNMENT - (position + fixed) % ALIGNMENT) % ALIGNMENT);
    at           = mmcl__put_le(at, MMCL__ZIP_EXTRA_PADDING, 2);
    at           = mmcl__put_le(at, 2 + padding, 2);
    at           = mmcl__put_le(at, ALIGNMENT, 2);
    memset(at, 0, padding);
    return at + padding;
}

#define MAX_RECORD (MMCL__ZIP_CENTRAL_BYTES + 4096 + 4 + 28 + 6 + ALIGNMENT)

mmcl_status mmcl__zip_begin(mmcl_writer *writer, mmcl__entry *entry, uint64_t bytes)
{
    unsigned char record[MAX_RECORD];
    entry->end           = entry->start + bytes;
    unsigned char *name  = record + MMCL__ZIP_LOCAL_BYTES, *extra = put_name(name, entry->key);
    unsigned char *wide  = put_zip64(extra, bytes, UINT64_MAX), *end = put_padding(wide, entry->begin + (uint64_t) (wide - record));
    put_shared(mmcl__put_le(record, MMCL__ZIP_LOCAL, 4), entry, (size_t) (end - extra));
    entry->start = entry->begin + (uint64_t) (end - record);
    return mmcl__output_write(&writer->output, entry->begin, record, (size_t) (end - record));
}

/* The checksum is known only now. */
mmcl_status mmcl__zip_end(mmcl_writer *writer, mmcl__entry *entry)
{
    unsigned char crc[4];
    mmcl__put_le(crc, entry->crc, sizeof crc);
    return mmcl__output_write(&writer->output, entry->begin + 14, crc, sizeof crc);
}

static mmcl_status write_directory_entry(mmcl_writer *writer, const mmcl__entry *entry)
{
    unsigned char  record[MAX_RECORD];
    unsigned char *extra = put_name(record + MMCL__ZIP_CENTRAL_BYTES, entry->key);
    unsigned char *end   = put_zip64(extra, entry->end - entry->start, entry->begin);
    unsigned char *at    = mmcl__put_le(mmcl__put_le(record, MMCL__ZIP_CENTRAL, 4), MADE_BY, 2);
    at                   = put_shared(at, entry, (size_t) (end - extra));
    at                   = mmcl__put_le(at, 0, 2 + 2 + 2); /* comment, disk, internal attributes */
    at                   = mmcl__put_le(at, MODE << 16, 4);
    mmcl__put_le(at, MMCL__MIN(entry->begin, LIMIT_32), 4);
    return mmcl__output_write(&writer->output, writer->output.size, record, (size_t) (end - record));
}

mmcl_status mmcl__zip_finish(mmcl_writer *writer)
{
    unsigned char  records[MMCL__ZIP64_END_BYTES + MMCL__ZIP64_LOCATOR_BYTES + MMCL__ZIP_END_BYTES], *at = records;
    mmcl__output  *output = &writer->output;
    const uint64_t begin = output->size, count = writer->count;
    for (size_t i = 0; i < writer->count; i++)
        MMCL__TRY(write_directory_entry(writer, &writer->entries[i]));
    const uint64_t end = output->size, bytes = end - begin;
    if (count >= 0xffff || begin >= LIMIT_32 || bytes >= LIMIT_32) {
        at = mmcl__put_le(mmcl__put_le(at, MMCL__ZIP64_END, 4), MMCL__ZIP64_END_BYTES - 12, 8);
        at = mmcl__put_le(mmcl__put_le(at, MADE_BY, 2), 45, 2);
        at = mmcl__put_le(at, 0, 8); /* disks */
        at = mmcl__put_le(mmcl__put_le(at, count, 8), count, 8);
        at = mmcl__put_le(mmcl__put_le(at, bytes, 8), begin, 8);
        at = mmcl__put_le(mmcl__put_le(at, MMCL__ZIP64_LOCATOR, 4), 0, 4);
        at = mmcl__put_le(mmcl__put_le(at, end, 8), 1, 4);
    }
    uint64_t entries = MMCL__MIN(count, 0xffff);
    at = mmcl__put_le(mmcl__put_le(at, MMCL__ZIP_END, 4), 0, 4);
    at = mmcl__put_le(mmcl__put_le(at, entries, 2), entries, 2);
    at = mmcl__put_le(mmcl__put_le(at, MMCL__MIN(bytes, LIMIT_32), 4), MMCL__MIN(begin, LIMIT_32), 4);
    at = mmcl__put_le(at, 0, 2); /* comment */
    return mmcl__output_write(output, end, records, (size_t) (at - records));
}

/* ------------------------------------------------------------------------------------------------------- safetensors --- */

/* Writes `key` as the inside of a JSON string; returns its length. `out` may be NULL. */
static size_t put_escaped(const char *key, char *out)
{
    size_t used = 0;
    for (; *key != '\0'; key++) {
        char   piece[8];
        bool   control = (unsigned char) *key < 0x20, quoted = *key == '"' || *key == '\\';
        size_t length  = control ? 6 : quoted ? 2 : 1;
        snprintf(piece, sizeof piece, control ? "\\u%04x" : quoted ? "\\%c" : "%c", *key);
        if (out != NULL)
            memcpy(out + used, piece, length);
        used += length;
    }
    return used;
}

/* Describes one tensor; returns the length. `out` NULL only measures. */
static size_t put_tensor(const mmcl__entry *entry, uint64_t base, bool first, char *out)
{
    char   rest[320];
    size_t used = (size_t) snprintf(rest, sizeof rest, "\":{\"dtype\":\"%s\",\"shape\":[", mmcl__safetensors_type(entry->info.dtype));
    for (uint32_t i = 0; i < entry->info.dimensions; i++)
        used += (size_t) snprintf(rest + used, sizeof rest - used, "%s%llu", i > 0 ? "," : "",
                                  (unsigned long long) entry->info.shape[i]);
    used += (size_t) snprintf(rest + used, sizeof rest - used, "],\"data_offsets\":[%llu,%llu]}",
                              (unsigned long long) (entry->start - base), (unsigned long long) (entry->end - base));
    size_t key = put_escaped(entry->key, out != NULL ? out + 2 : NULL);
    if (out != NULL) {
        memcpy(out, first ? "{\"" : ",\"", 2);
        memcpy(out + 2 + key, rest, used);
    }
    return 2 + key + used;
}

/* Moves all elements `by` bytes towards the end, from the last to the first. */
static mmcl_status move_elements(mmcl__output *output, uint64_t by)
{
    unsigned char piece[65536];
    for (uint64_t end = output->size; end > MMCL__SAFETENSORS_ROOM;) {
        size_t take = (size_t) MMCL__MIN(end - MMCL__SAFETENSORS_ROOM, sizeof piece);
        MMCL__TRY(mmcl__output_read(output, end - take, piece, take));
        MMCL__TRY(mmcl__output_write(output, end - take + by, piece, take));
        end -= take;
    }
    return MMCL_OK;
}

mmcl_status mmcl__safetensors_finish(mmcl_writer *writer)
{
    mmcl__output *output = &writer->output;
    uint64_t      room   = MMCL__SAFETENSORS_ROOM;
    size_t        bytes = 8 + 1, used = 8;
    for (size_t i = 0; i < writer->count; i++)
        bytes += put_tensor(&writer->entries[i], room, i == 0, NULL);
    if (bytes > room) {
        uint64_t grown = (bytes + MMCL__SAFETENSORS_ROOM - 1) / MMCL__SAFETENSORS_ROOM * MMCL__SAFETENSORS_ROOM;
        MMCL__TRY(move_elements(output, grown - room));
        room = grown;
    }
    char *header = mmcl__alloc(writer->context, (size_t) room, 1);
    if (header == NULL)
        return MMCL_E_NOMEM;
    memset(header, ' ', (size_t) room);
    mmcl__put_le((unsigned char *) header, room - 8, 8);
    for (size_t i = 0; i < writer->count; i++)
        used += put_tensor(&writer->entries[i], MMCL__SAFETENSORS_ROOM, i == 0, header + used);
    header[used]       = '}';
    mmcl_status status = mmcl__output_write(output, 0, header, (size_t) room);
    mmcl__free(writer->context, header, (size_t) room, 1);
    return status;
}
