/* Deflated content, through zlib with the context's memory. */
#include "io/archive.h"

#include <zlib.h>

/* zlib does not give the size back on free: it is kept in front of the block, where it leaves the alignment as it is. */
static voidpf zlib_alloc(voidpf context, uInt count, uInt size)
{
    size_t bytes;
    if (!mmcl__mul(count, size, &bytes) || !mmcl__add(bytes, MMCL__ALIGN, &bytes))
        return Z_NULL;
    unsigned char *block = mmcl__alloc(context, bytes, 1);
    if (block == NULL)
        return Z_NULL;
    *(size_t *) block = bytes;
    return block + MMCL__ALIGN;
}

static void zlib_free(voidpf context, voidpf address)
{
    unsigned char *block = (unsigned char *) address - MMCL__ALIGN;
    mmcl__free(context, block, *(size_t *) block, 1);
}

static mmcl_status damaged(const mmcl_archive *archive, const mmcl__member *member, const char *what)
{
    return mmcl__fail(archive->context, MMCL_E_FORMAT, "%s: '%s': %s", archive->file->name, member->key, what);
}

/* Feeds the member to `z` in pieces until its stream ends. */
static mmcl_status run(mmcl_archive *archive, const mmcl__member *member, z_stream *z, unsigned char *out)
{
    unsigned char piece[16384];
    uint64_t      read = 0, left = member->bytes;
    int           result = Z_OK;
    z->next_out          = out;
    while (result == Z_OK) {
        if (z->avail_in == 0 && read < member->stored) {
            z->next_in  = piece;
            z->avail_in = (uInt) MMCL__MIN(member->stored - read, sizeof piece);
            MMCL__TRY(mmcl__file_read(archive->file, member->start + read, piece, z->avail_in));
            read += z->avail_in;
        }
        if (z->avail_out == 0) {
            z->avail_out = (uInt) MMCL__MIN(left, 1u << 30);
            left -= z->avail_out;
        }
        result = inflate(z, Z_NO_FLUSH); /* Z_BUF_ERROR: it needs more bytes or more room than there are */
    }
    if (result == Z_MEM_ERROR)
        return MMCL_E_NOMEM;
    if (result != Z_STREAM_END)
        return damaged(archive, member, "damaged deflated data");
    if (left > 0 || z->avail_out > 0 || z->avail_in > 0 || read < member->stored)
        return damaged(archive, member, "inflates to a size that it does not declare");
    if (crc32_z(0, out, (size_t) member->bytes) != member->crc)
        return damaged(archive, member, "wrong checksum");
    return MMCL_OK;
}

mmcl_status mmcl__inflate(mmcl_archive *archive, const mmcl__member *member, unsigned char *out)
{
    z_stream z      = {.zalloc = zlib_alloc, .zfree = zlib_free, .opaque = archive->context};
    int      result = inflateInit2(&z, -MAX_WBITS); /* without a zlib header */
    if (result == Z_MEM_ERROR)
        return MMCL_E_NOMEM;
    if (result != Z_OK)
        return mmcl__fail(archive->context, MMCL_E_UNSUPPORTED, "%s: zlib %s is of another version", archive->file->name, zlibVersion());
    mmcl_status status = run(archive, member, &z, out);
    inflateEnd(&z);
    return status;
}
