#include "json.h"

#include "memory.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INDENTED 2 /* depths up to this one stand on lines of their own; deeper ones on one line */

static void put(json_writer *out, const char *bytes, size_t count)
{
    if (out->length + count + 1 > out->capacity) {
        out->capacity = 2 * (out->length + count) + 256;
        out->text     = memory_grow(out->text, out->capacity, 1);
    }
    memcpy(out->text + out->length, bytes, count);
    out->length += count;
    out->text[out->length] = '\0';
}

static void put_text(json_writer *out, const char *text)
{
    put(out, text, strlen(text));
}

static void put_line_break(json_writer *out)
{
    if (out->depth > INDENTED) {
        put_text(out, " ");
        return;
    }
    put_text(out, "\n");
    for (unsigned i = 0; i < out->depth; i++)
        put_text(out, "  ");
}

/* Bytes of the UTF-8 character at `text`, 0 when it is none (overlong forms and surrogates are none). */
static size_t utf8_bytes(const unsigned char *text)
{
    if (text[0] < 0x80)
        return 1;
    size_t   bytes = text[0] >= 0xf0 ? 4 : text[0] >= 0xe0 ? 3 : 2;
    uint32_t code  = text[0] & (0xffU >> (bytes + 1));
    for (size_t i = 1; i < bytes; i++) {
        if ((text[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (text[i] & 0x3f);
    }
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    bool surrogate = code >= 0xd800 && code <= 0xdfff;
    return text[0] < 0xc0 || text[0] > 0xf4 || code < least[bytes] || code > 0x10ffff || surrogate ? 0 : bytes;
}

static void put_quoted(json_writer *out, const char *value)
{
    put_text(out, "\"");
    for (const unsigned char *c = (const unsigned char *) value; *c != '\0';) {
        size_t bytes = utf8_bytes(c);
        char   escape[8];
        if (bytes == 0) {
            put_text(out, "\\ufffd");
            bytes = 1;
        } else if (*c == '"' || *c == '\\') {
            put(out, (const char[]){'\\', (char) *c}, 2);
        } else if (*c < 0x20 || *c == 0x7f) {
            snprintf(escape, sizeof escape, "\\u%04x", *c);
            put_text(out, escape);
        } else {
            put(out, (const char *) c, bytes);
        }
        c += bytes;
    }
    put_text(out, "\"");
}

/* What has to stand before a value: comma, line break, key. */
static void begin_value(json_writer *out, const char *key)
{
    if (out->depth > 0) {
        if (out->filled[out->depth])
            put_text(out, ",");
        if (out->depth <= INDENTED || out->filled[out->depth])
            put_line_break(out);
    }
    out->filled[out->depth] = true;
    if (key != NULL) {
        put_quoted(out, key);
        put_text(out, ": ");
    }
}

static void open_with(json_writer *out, const char *key, const char *opening, char closing)
{
    begin_value(out, key);
    put_text(out, opening);
    out->depth++;
    assert(out->depth < JSON_DEPTH);
    out->filled[out->depth]  = false;
    out->closing[out->depth] = closing;
}

void json_open_object(json_writer *out, const char *key)
{
    open_with(out, key, "{", '}');
}

void json_open_list(json_writer *out, const char *key)
{
    open_with(out, key, "[", ']');
}

void json_close(json_writer *out)
{
    assert(out->depth > 0);
    char closing = out->closing[out->depth];
    bool broken  = out->filled[out->depth] && out->depth <= INDENTED;
    out->depth--;
    if (broken)
        put_line_break(out);
    put(out, &closing, 1);
    if (out->depth == 0)
        put_text(out, "\n");
}

void json_text(json_writer *out, const char *key, const char *value)
{
    begin_value(out, key);
    if (value != NULL)
        put_quoted(out, value);
    else
        put_text(out, "null");
}

void json_count(json_writer *out, const char *key, uint64_t value)
{
    char digits[24];
    snprintf(digits, sizeof digits, "%" PRIu64, value);
    begin_value(out, key);
    put_text(out, digits);
}

void json_integer(json_writer *out, const char *key, int64_t value)
{
    char digits[24];
    snprintf(digits, sizeof digits, "%" PRId64, value);
    begin_value(out, key);
    put_text(out, digits);
}

void json_real(json_writer *out, const char *key, double value)
{
    char digits[32] = "null";
    for (int precision = 1; isfinite(value) && precision <= 17; precision++) {
        snprintf(digits, sizeof digits, "%.*g", precision, value);
        if (strtod(digits, NULL) == value)
            break;
    }
    begin_value(out, key);
    put_text(out, digits);
}

void json_flag(json_writer *out, const char *key, bool value)
{
    begin_value(out, key);
    put_text(out, value ? "true" : "false");
}

void json_free(json_writer *out)
{
    free(out->text);
    *out = (json_writer){0};
}
