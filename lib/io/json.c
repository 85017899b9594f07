#include "io/json.h"

#include "io/bytes.h"

static void skip_space(mmcl__json *json)
{
    while (json->at < json->end && (*json->at == ' ' || *json->at == '\t' || *json->at == '\n' || *json->at == '\r'))
        json->at++;
}

bool mmcl__json_take(mmcl__json *json, char punctuation)
{
    skip_space(json);
    if (json->at == json->end || *json->at != punctuation)
        return false;
    json->at++;
    return true;
}

bool mmcl__json_finished(mmcl__json *json)
{
    skip_space(json);
    return json->at == json->end;
}

bool mmcl__json_next(mmcl__json *json, char closing, bool *first, bool *valid)
{
    *valid = true;
    if (mmcl__json_take(json, closing))
        return false;
    *valid = *first || mmcl__json_take(json, ',');
    *first = false;
    return *valid;
}

bool mmcl__json_number(mmcl__json *json, uint64_t *out)
{
    skip_space(json);
    const char *begin = json->at;
    for (*out = 0; json->at < json->end && *json->at >= '0' && *json->at <= '9'; json->at++)
        if (__builtin_mul_overflow(*out, 10, out) || __builtin_add_overflow(*out, (uint64_t) (*json->at - '0'), out))
            return false;
    return json->at == begin + 1 || (json->at > begin && *begin != '0');
}

/* Four hexadecimal digits. */
static bool take_hex(mmcl__json *json, uint32_t *out)
{
    *out = 0;
    if (json->end - json->at < 4)
        return false;
    for (int i = 0; i < 4; i++) {
        char     c     = *json->at++;
        uint32_t digit = c >= '0' && c <= '9'   ? (uint32_t) (c - '0')
                         : c >= 'a' && c <= 'f' ? (uint32_t) (c - 'a' + 10)
                         : c >= 'A' && c <= 'F' ? (uint32_t) (c - 'A' + 10)
                                                : 16;
        if (digit == 16)
            return false;
        *out = *out << 4 | digit;
    }
    return true;
}

/* What follows \u: one UTF-16 unit, or a pair of surrogates. */
static bool take_unicode(mmcl__json *json, uint32_t *code)
{
    uint32_t low;
    if (!take_hex(json, code))
        return false;
    if (*code < 0xd800 || *code > 0xdbff)
        return *code != 0 && mmcl__is_unicode(*code);
    if (json->end - json->at < 2 || json->at[0] != '\\' || json->at[1] != 'u')
        return false;
    json->at += 2;
    if (!take_hex(json, &low) || low < 0xdc00 || low > 0xdfff)
        return false;
    *code = 0x10000 + ((*code - 0xd800) << 10 | (low - 0xdc00));
    return true;
}

/* What follows a backslash. */
static bool take_escape(mmcl__json *json, uint32_t *code)
{
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    if (json->at == json->end || *json->at == '\0')
        return false;
    char c = *json->at++;
    if (c == 'u')
        return take_unicode(json, code);
    const char *found = strchr(names, c);
    if (found == NULL)
        return false;
    *code = (unsigned char) values[found - names];
    return true;
}

bool mmcl__json_string(mmcl__json *json, const char **out)
{
    if (!mmcl__json_take(json, '"'))
        return false;
    char *begin = json->at, *to = begin; /* an escape is never shorter than what it stands for */
    while (json->at < json->end) {
        uint32_t code;
        char     c = *json->at++;
        if (c == '"') {
            *to  = '\0';
            *out = begin;
            return mmcl__utf8_length(begin, (size_t) (to - begin)) != SIZE_MAX;
        }
        if ((unsigned char) c < 0x20)
            return false;
        if (c != '\\') {
            *to++ = c;
            continue;
        }
        if (!take_escape(json, &code))
            return false;
        to += mmcl__utf8_encode(code, (unsigned char *) to);
    }
    return false;
}
