/* A strict reader of JSON (RFC 8259), as far as the header of .safetensors needs: objects, arrays, strings, whole numbers. */
#ifndef MMCL_IO_JSON_H
#define MMCL_IO_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct mmcl__json {
    char *at, *end;
} mmcl__json;

/* Each moves over white space and what it takes, and gives false when something else comes. */
bool mmcl__json_take(mmcl__json *json, char punctuation);
bool mmcl__json_number(mmcl__json *json, uint64_t *out);

/* Decodes a string in place, where it gets a final 0. Refuses a 0 within, and what is not valid Unicode. */
bool mmcl__json_string(mmcl__json *json, const char **out);

/* True at the end of the text. */
bool mmcl__json_finished(mmcl__json *json);

/*
 * Steps through an object or array, whose opening bracket has been taken: true before each item; false after the closing
 * bracket, or when neither comes, which *valid tells apart. *first is true at first.
 */
bool mmcl__json_next(mmcl__json *json, char closing, bool *first, bool *valid);

#endif
