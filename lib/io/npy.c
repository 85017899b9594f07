#include "io/npy.h"

#include "io/bytes.h"

#include <stdio.h>

#define MAX_HEADER_TEXT 65536

bool mmcl__layout_measure(mmcl__layout *layout)
{
    mmcl_array_info *info = &layout->info;
    info->elements        = 1;
    for (uint32_t i = 0; i < info->dimensions; i++)
        if (info->shape[i] == 0)
            info->elements = 0;
    for (uint32_t i = 0; i < info->dimensions && info->elements > 0; i++)
        if (__builtin_mul_overflow(info->elements, info->shape[i], &info->elements))
            return false;
    return !__builtin_mul_overflow(info->elements, info->element_bytes, &layout->bytes);
}

mmcl_status mmcl__npy_header_bytes(mmcl_context *context, const char *name, const unsigned char *prefix, uint64_t total, size_t *out)
{
    if (total < MMCL__NPY_PREFIX || memcmp(prefix, MMCL__NPY_MAGIC, 6) != 0)
        return mmcl__fail(context, MMCL_E_FORMAT, "%s: does not begin with the magic number of .npy", name);
    if (prefix[6] < 1 || prefix[6] > 3 || prefix[7] != 0)
        return mmcl__fail(context, MMCL_E_UNSUPPORTED, "%s: .npy version %d.%d, expected 1.0, 2.0 or 3.0", name, prefix[6], prefix[7]);
    size_t width = prefix[6] == 1 ? 2 : 4, text = (size_t) mmcl__get_le(prefix + 8, width);
    if (8 + width + text > total)
        return mmcl__fail(context, MMCL_E_FORMAT, "%s: truncated: a header of %zu bytes in a .npy of %llu bytes", name, text,
                          (unsigned long long) total);
    if (text > MAX_HEADER_TEXT)
        return mmcl__fail(context, MMCL_E_UNSUPPORTED, "%s: a .npy header of %zu bytes, expected at most %d", name, text,
                          MAX_HEADER_TEXT);
    *out = 8 + width + text;
    return MMCL_OK;
}

/* ------------------------------------------------------------------------------------------- the Python dictionary --- */

/* Reads a subset of Python's literals: what numpy writes, and nothing else. */
typedef struct parser {
    mmcl_context *context;
    const char   *name;
    const char   *at, *end;
} parser;

static void skip_space(parser *p)
{
    while (p->at < p->end && (*p->at == ' ' || *p->at == '\n' || *p->at == '\t' || *p->at == '\r'))
        p->at++;
}

static bool take(parser *p, char expected)
{
    skip_space(p);
    if (p->at == p->end || *p->at != expected)
        return false;
    p->at++;
    return true;
}

static bool take_word(parser *p, const char *word)
{
    size_t length = strlen(word);
    skip_space(p);
    if ((size_t) (p->end - p->at) < length || memcmp(p->at, word, length) != 0)
        return false;
    p->at += length;
    return true;
}

static mmcl_status malformed(const parser *p, const char *expected)
{
    return mmcl__fail(p->context, MMCL_E_FORMAT, "%s: malformed .npy header, expected %s", p->name, expected);
}

/* A quoted text without escapes; it stays where it is. */
static bool take_text(parser *p, const char **text, size_t *length)
{
    skip_space(p);
    if (p->at == p->end || (*p->at != '\'' && *p->at != '"'))
        return false;
    char        quote = *p->at++;
    const char *begin = p->at;
    while (p->at < p->end && *p->at != quote && *p->at != '\\')
        p->at++;
    *text   = begin;
    *length = (size_t) (p->at - begin);
    return take(p, quote);
}

static bool take_number(parser *p, uint64_t *out)
{
    skip_space(p);
    const char *begin = p->at;
    for (*out = 0; p->at < p->end && *p->at >= '0' && *p->at <= '9'; p->at++)
        if (__builtin_mul_overflow(*out, 10, out) || __builtin_add_overflow(*out, (uint64_t) (*p->at - '0'), out))
            return false;
    return p->at > begin;
}

static mmcl_status take_shape(parser *p, mmcl_array_info *info)
{
    bool comma = true;
    if (!take(p, '('))
        return malformed(p, "a tuple as shape");
    while (!take(p, ')')) {
        uint64_t length;
        if (!comma || !take_number(p, &length))
            return malformed(p, "whole numbers in the shape");
        take(p, 'L'); /* as Python 2 wrote them */
        if (info->dimensions == sizeof info->shape / sizeof *info->shape)
            return mmcl__fail(p->context, MMCL_E_UNSUPPORTED, "%s: more than 8 dimensions", p->name);
        info->shape[info->dimensions++] = length;
        comma                           = take(p, ',');
    }
    if (info->dimensions == 1 && !comma)
        return malformed(p, "a comma after a single dimension");
    return MMCL_OK;
}

static mmcl_dtype numeric_type(char kind, uint64_t bytes)
{
    static const struct {
        char       kind;
        uint8_t    bytes;
        mmcl_dtype dtype;
    } types[] = {
        {'f', 2, MMCL_F16}, {'f', 4, MMCL_F32}, {'f', 8, MMCL_F64}, {'b', 1, MMCL_BOOL}, {'i', 1, MMCL_I8},  {'i', 2, MMCL_I16},
        {'i', 4, MMCL_I32}, {'i', 8, MMCL_I64}, {'u', 1, MMCL_U8},  {'u', 2, MMCL_U16},  {'u', 4, MMCL_U32}, {'u', 8, MMCL_U64},
    };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (types[i].kind == kind && types[i].bytes == bytes)
            return types[i].dtype;
    return -1;
}

static mmcl_status unsupported(const parser *p, const char *descr, size_t length)
{
    return mmcl__fail(p->context, MMCL_E_UNSUPPORTED, "%s: elements of numpy type '%.*s', expected floats of 2 to 8 bytes, integers, "
                      "booleans or texts", p->name, (int) MMCL__MIN(length, 40), descr);
}

/* An element type such as '<f4'. */
static mmcl_status parse_descr(const parser *outer, const char *descr, size_t length, mmcl__layout *out)
{
    parser           p    = {outer->context, outer->name, descr, descr + length};
    mmcl_array_info *info = &out->info;
    char             order = length > 0 ? *p.at++ : '\0', kind = length > 1 ? *p.at++ : '\0';
    uint64_t         count;
    if (kind == 'O' || order == 'O')
        return mmcl__fail(p.context, MMCL_E_UNSUPPORTED, "%s: an object array: pickled Python objects are refused, as loading them "
                          "can run code", p.name);
    if (strchr("<>|=", order) == NULL || length < 3 || !take_number(&p, &count) || p.at != p.end)
        return unsupported(&p, descr, length);
    bool text     = kind == 'S' || kind == 'U';
    info->dtype   = text ? MMCL_STR : numeric_type(kind, count);
    out->utf32    = kind == 'U';
    info->swapped = (order == '>' && !mmcl__big_endian()) || (order == '<' && mmcl__big_endian());
    if (info->dtype < 0 || (order == '|' && count > 1 && kind != 'S'))
        return unsupported(&p, descr, length);
    if (text && (count == 0 || count > UINT32_MAX))
        return mmcl__fail(p.context, MMCL_E_UNSUPPORTED, "%s: texts of %llu characters", p.name, (unsigned long long) count);
    info->element_bytes = out->utf32 ? 4 * count : count;
    if (info->element_bytes == 1 || kind == 'S')
        info->swapped = 0;
    return MMCL_OK;
}

static mmcl_status take_descr(parser *p, mmcl__layout *out)
{
    const char *descr;
    size_t      length;
    skip_space(p);
    if (p->at < p->end && (*p->at == '[' || *p->at == '('))
        return mmcl__fail(p->context, MMCL_E_UNSUPPORTED, "%s: a structured array, expected elements of a single type", p->name);
    if (!take_text(p, &descr, &length))
        return malformed(p, "a quoted descr");
    return parse_descr(p, descr, length, out);
}

static mmcl_status take_order(parser *p, mmcl__layout *out)
{
    if (take_word(p, "True"))
        out->info.fortran = 1;
    else if (!take_word(p, "False"))
        return malformed(p, "True or False as fortran_order");
    return MMCL_OK;
}

static mmcl_status parse_dictionary(parser *p, mmcl__layout *out)
{
    bool descr = false, order = false, shape = false, comma = true;
    if (!take(p, '{'))
        return malformed(p, "a dictionary");
    while (!take(p, '}')) {
        const char *key;
        size_t      length;
        if (!comma || !take_text(p, &key, &length) || !take(p, ':'))
            return malformed(p, "keys in quotes");
        bool *seen = length == 5 && memcmp(key, "descr", 5) == 0            ? &descr
                     : length == 13 && memcmp(key, "fortran_order", 13) == 0 ? &order
                     : length == 5 && memcmp(key, "shape", 5) == 0          ? &shape
                                                                            : NULL;
        if (seen == NULL || *seen)
            return malformed(p, "each of descr, fortran_order and shape once");
        *seen = true;
        MMCL__TRY(seen == &descr ? take_descr(p, out) : seen == &order ? take_order(p, out) : take_shape(p, &out->info));
        comma = take(p, ',');
    }
    skip_space(p);
    if (!descr || !order || !shape || p->at != p->end)
        return malformed(p, "exactly descr, fortran_order and shape");
    return MMCL_OK;
}

mmcl_status mmcl__npy_parse(mmcl_context *context, const char *name, const unsigned char *header, size_t header_bytes,
                            uint64_t total, mmcl__layout *out)
{
    parser p = {context, name, (const char *) header + (header[6] == 1 ? 10 : 12), (const char *) header + header_bytes};
    *out     = (mmcl__layout){.info.struct_size = sizeof out->info, .start = header_bytes};
    MMCL__TRY(parse_dictionary(&p, out));
    uint64_t follow = total - header_bytes;
    if (!mmcl__layout_measure(out) || out->bytes > follow)
        return mmcl__fail(context, MMCL_E_FORMAT, "%s: truncated: the shape declares more elements than the %llu bytes that follow "
                          "the .npy header hold", name, (unsigned long long) follow);
    if (out->bytes < follow)
        return mmcl__fail(context, MMCL_E_FORMAT, "%s: %llu bytes follow the elements that the .npy header declares", name,
                          (unsigned long long) (follow - out->bytes));
    return MMCL_OK;
}

/* --------------------------------------------------------------------------------------------------------- writing --- */

static int format_descr(const mmcl_array_info *info, char *out, size_t capacity)
{
    const char order = info->element_bytes == 1 ? '|' : mmcl__big_endian() ? '>' : '<';
    if (info->dtype == MMCL_STR)
        return snprintf(out, capacity, "%cU%llu", mmcl__big_endian() ? '>' : '<', (unsigned long long) info->element_bytes / 4);
    static const char kinds[] = {[MMCL_F32] = 'f', [MMCL_F64] = 'f', [MMCL_F16] = 'f', [MMCL_I8] = 'i',  [MMCL_U8] = 'u',
                                 [MMCL_I16] = 'i', [MMCL_U16] = 'u', [MMCL_I32] = 'i', [MMCL_U32] = 'u', [MMCL_I64] = 'i',
                                 [MMCL_U64] = 'u', [MMCL_BOOL] = 'b'};
    return snprintf(out, capacity, "%c%c%u", order, kinds[info->dtype], (unsigned) info->element_bytes);
}

size_t mmcl__npy_format(const mmcl_array_info *info, unsigned char *out)
{
    char descr[32], text[MMCL__NPY_MAX_HEADER];
    format_descr(info, descr, sizeof descr);
    int used = snprintf(text, sizeof text, "{'descr': '%s', 'fortran_order': False, 'shape': (", descr);
    for (uint32_t i = 0; i < info->dimensions; i++)
        used += snprintf(text + used, sizeof text - (size_t) used, "%s%llu", i > 0 ? ", " : "", (unsigned long long) info->shape[i]);
    used += snprintf(text + used, sizeof text - (size_t) used, "%s), }", info->dimensions == 1 ? "," : "");

    size_t total = (10 + (size_t) used + 1 + 63) / 64 * 64; /* numpy aligns the elements to 64 bytes and ends with a newline */
    memcpy(out, MMCL__NPY_MAGIC "\x01\x00", 8);
    mmcl__put_le(out + 8, total - 10, 2);
    memset(out + 10, ' ', total - 10);
    memcpy(out + 10, text, (size_t) used);
    out[total - 1] = '\n';
    return total;
}
