/* Numbers in files, byte by byte, and UTF-8. */
#ifndef MMCL_IO_BYTES_H
#define MMCL_IO_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Little-endian numbers at any alignment. */
static inline uint64_t mmcl__get_le(const unsigned char *at, size_t bytes)
{
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; i++)
        value |= (uint64_t) at[i] << (8 * i);
    return value;
}

static inline unsigned char *mmcl__put_le(unsigned char *at, uint64_t value, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        at[i] = (unsigned char) (value >> (8 * i));
    return at + bytes;
}

static inline bool mmcl__big_endian(void)
{
    const uint16_t one = 1;
    unsigned char  first;
    memcpy(&first, &one, 1);
    return first == 0;
}

/* Turns the byte order of n elements of `size` bytes. */
static inline void mmcl__swap(unsigned char *elements, size_t n, size_t size)
{
    for (size_t i = 0; i < n; i++, elements += size)
        for (size_t low = 0, high = size - 1; low < high; low++, high--) {
            unsigned char byte = elements[low];
            elements[low]      = elements[high];
            elements[high]     = byte;
        }
}

static inline bool mmcl__is_unicode(uint32_t code)
{
    return code <= 0x10ffff && (code < 0xd800 || code > 0xdfff);
}

/* A UTF-8 decoder that takes a byte at a time; zeroed at first. */
typedef struct mmcl__utf8 {
    uint32_t code;    /* complete when `left` is 0 */
    uint32_t minimum; /* the first code point that needs as many bytes: refuses overlong forms */
    uint32_t left;    /* bytes that are still to come */
} mmcl__utf8;

/* False when `byte` cannot be the next one. */
static inline bool mmcl__utf8_push(mmcl__utf8 *state, unsigned char byte)
{
    if (state->left > 0) {
        if ((byte & 0xc0) != 0x80)
            return false;
        state->code = state->code << 6 | (byte & 0x3f);
        return --state->left > 0 || (state->code >= state->minimum && mmcl__is_unicode(state->code));
    }
    if (byte < 0x80)
        *state = (mmcl__utf8){.code = byte};
    else if ((byte & 0xe0) == 0xc0)
        *state = (mmcl__utf8){.code = byte & 0x1f, .minimum = 0x80, .left = 1};
    else if ((byte & 0xf0) == 0xe0)
        *state = (mmcl__utf8){.code = byte & 0x0f, .minimum = 0x800, .left = 2};
    else if ((byte & 0xf8) == 0xf0)
        *state = (mmcl__utf8){.code = byte & 0x07, .minimum = 0x10000, .left = 3};
    else
        return false;
    return true;
}

/* Writes `code`, which is valid, to `out` [4]; returns the bytes it took. */
static inline size_t mmcl__utf8_encode(uint32_t code, unsigned char *out)
{
    static const unsigned char lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    if (code < 0x80) {
        out[0] = (unsigned char) code;
        return 1;
    }
    size_t bytes = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = bytes - 1; i > 0; i--, code >>= 6)
        out[i] = (unsigned char) (0x80 | (code & 0x3f));
    out[0] = (unsigned char) (lead[bytes] | code);
    return bytes;
}

/* Code points in `bytes` of UTF-8; SIZE_MAX when it is not valid UTF-8 or holds a 0. */
static inline size_t mmcl__utf8_length(const char *text, size_t bytes)
{
    mmcl__utf8 state = {0};
    size_t     length = 0;
    for (size_t i = 0; i < bytes; i++) {
        if (text[i] == '\0' || !mmcl__utf8_push(&state, (unsigned char) text[i]))
            return SIZE_MAX;
        length += state.left == 0;
    }
    return state.left == 0 ? length : SIZE_MAX;
}

#endif
