/* Writes one JSON value into memory. Keys are NULL inside lists. */
#ifndef MMCL_CLI_JSON_H
#define MMCL_CLI_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JSON_DEPTH 16

typedef struct json_writer {
    char    *text; /* ends with 0 */
    size_t   length, capacity;
    unsigned depth;
    char     closing[JSON_DEPTH];
    bool     filled[JSON_DEPTH]; /* something stands at this depth already, so a comma comes next */
} json_writer;

void json_open_object(json_writer *out, const char *key);
void json_open_list(json_writer *out, const char *key);
void json_close(json_writer *out);

void json_text(json_writer *out, const char *key, const char *value); /* NULL: null; bytes that are not UTF-8 become U+FFFD */
void json_count(json_writer *out, const char *key, uint64_t value);
void json_integer(json_writer *out, const char *key, int64_t value);
void json_real(json_writer *out, const char *key, double value); /* the shortest digits that read back as `value`; NaN and infinity: null */
void json_flag(json_writer *out, const char *key, bool value);

void json_free(json_writer *out);

#endif
