#include "args.h"

#include "memory.h"
#include "terminal.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_NAMES  128
#define NAME_WIDTH 32 /* longer words are compared by their beginning only */

/* ----------------------------------------------------------------------------------------------------- suggestions --- */

/* Edits (insert, delete, replace, swap of neighbours) that turn `a` into `b`: the restricted Damerau-Levenshtein distance. */
static size_t edit_distance(const char *a, const char *b)
{
    size_t rows[3][NAME_WIDTH + 1];
    size_t n = strnlen(a, NAME_WIDTH), m = strnlen(b, NAME_WIDTH);
    size_t *before = rows[0], *last = rows[1], *current = rows[2];
    for (size_t j = 0; j <= m; j++)
        before[j] = last[j] = j;
    for (size_t i = 1; i <= n; i++) {
        current[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t best = last[j - 1] + (a[i - 1] != b[j - 1]);
            best        = last[j] + 1 < best ? last[j] + 1 : best;
            best        = current[j - 1] + 1 < best ? current[j - 1] + 1 : best;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && before[j - 2] + 1 < best)
                best = before[j - 2] + 1;
            current[j] = best;
        }
        size_t *reused = before;
        before = last, last = current, current = reused;
    }
    return last[m];
}

const char *args_nearest(const char *wrong, const char *const *names)
{
    const char *nearest = NULL;
    size_t      least   = 2 + strlen(wrong) / 3; /* more edits than this are another word */
    for (; *names != NULL; names++) {
        bool   beginning = strlen(wrong) >= 2 && strncmp(wrong, *names, strlen(wrong)) == 0;
        size_t distance  = beginning ? 1 : edit_distance(wrong, *names);
        if (distance < least && distance < strlen(*names)) {
            least   = distance;
            nearest = *names;
        }
    }
    return nearest;
}

/* --------------------------------------------------------------------------------------------------------- numbers --- */

/* Digits only, nothing after them, within the bounds. */
static bool read_count(const char *text, size_t length, uint64_t least, uint64_t most, uint64_t *out)
{
    uint64_t value = 0;
    for (size_t i = 0; i < length; i++) {
        unsigned digit = (unsigned) (text[i] - '0');
        if (digit > 9 || value > (UINT64_MAX - digit) / 10)
            return false;
        value = 10 * value + digit;
    }
    *out = value;
    return length > 0 && value >= least && value <= most;
}

static size_t digits_at(const char *text)
{
    return strspn(text, "0123456789");
}

/* A decimal number with nothing after it: neither hexadecimal nor "inf", whatever strtod would take. */
static bool read_positive(const char *text, double *out)
{
    size_t whole = digits_at(text), at = whole, fraction = 0;
    if (text[at] == '.') {
        fraction = digits_at(text + at + 1);
        at += 1 + fraction;
    }
    if (whole + fraction == 0)
        return false;
    if (text[at] == 'e' || text[at] == 'E') {
        at += 1 + (text[at + 1] == '-' || text[at + 1] == '+');
        size_t exponent = digits_at(text + at);
        if (exponent == 0)
            return false;
        at += exponent;
    }
    *out = strtod(text, NULL);
    return text[at] == '\0' && *out > 0 && isfinite(*out);
}

/* ----------------------------------------------------------------------------------------------------------- lists --- */

void text_list_add(text_list *list, const char *text, size_t length)
{
    list->items                = memory_grow(list->items, list->count + 1, sizeof *list->items);
    list->items[list->count++] = memory_format("%.*s", (int) length, text);
}

void text_list_free(text_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i]);
    free(list->items);
    *list = (text_list){0};
}

/* --------------------------------------------------------------------------------------------------------- reading --- */

static int bad_value(const cli_option *option, const char *value, const char *expected)
{
    return terminal_fail(EXIT_USAGE, "--%s %s: expected %s", option->name, value, expected);
}

static int bad_count(const cli_option *option, const char *value)
{
    char expected[96];
    if (option->most == UINT64_MAX)
        snprintf(expected, sizeof expected, "a whole number, at least %llu", (unsigned long long) option->least);
    else
        snprintf(expected, sizeof expected, "a whole number from %llu to %llu", (unsigned long long) option->least,
                 (unsigned long long) option->most);
    return bad_value(option, value, expected);
}

static int set_choice(const cli_option *option, const char *value, int32_t *out)
{
    char expected[256] = "";
    for (int32_t i = 0; option->choices[i] != NULL; i++) {
        if (strcmp(option->choices[i], value) == 0) {
            *out = i;
            return EXIT_OK;
        }
        size_t used = strlen(expected);
        snprintf(expected + used, sizeof expected - used, "%s%s", i > 0 ? ", " : "one of ", option->choices[i]);
    }
    return bad_value(option, value, expected);
}

/* Items between commas; an empty one is refused. */
static int set_parts(const cli_option *option, const char *value, void *target)
{
    const char *item = value;
    for (;;) {
        size_t length = strcspn(item, ",");
        if (length == 0)
            return bad_value(option, value, "no empty item between the commas");
        if (option->kind == OPTION_PARTS) {
            text_list_add(target, item, length);
        } else {
            count_list *list = target;
            uint64_t    count;
            if (!read_count(item, length, option->least, option->most, &count))
                return bad_count(option, value);
            list->items                = memory_grow(list->items, list->count + 1, sizeof *list->items);
            list->items[list->count++] = count;
        }
        if (item[length] == '\0')
            return EXIT_OK;
        item += length + 1;
    }
}

static int set_value(const cli_option *option, const char *value, void *target)
{
    switch (option->kind) {
    case OPTION_FLAG: *(bool *) target = true; return EXIT_OK;
    case OPTION_TEXT: *(const char **) target = value; return *value != '\0' ? EXIT_OK : bad_value(option, "\"\"", option->argument);
    case OPTION_LIST: text_list_add(target, value, strlen(value)); return EXIT_OK;
    case OPTION_PARTS: return set_parts(option, value, target);
    case OPTION_COUNTS: {
        count_list *list = target;
        list->count      = 0; /* the last one given counts */
        return set_parts(option, value, target);
    }
    case OPTION_COUNT:
        return read_count(value, strlen(value), option->least, option->most, target) ? EXIT_OK : bad_count(option, value);
    case OPTION_REAL: return read_positive(value, target) ? EXIT_OK : bad_value(option, value, "a number above 0, such as 1e-4");
    case OPTION_CHOICE: return set_choice(option, value, target);
    }
    return EXIT_USAGE;
}

static const cli_option *find(const cli_option *const *tables, const char *name, size_t length)
{
    for (; *tables != NULL; tables++)
        for (const cli_option *option = *tables; option->name != NULL; option++)
            if (strlen(option->name) == length && memcmp(option->name, name, length) == 0)
                return option;
    return NULL;
}

static int unknown_option(const cli_option *const *tables, const char *given, size_t length)
{
    const char *names[MAX_NAMES];
    size_t      count = 0;
    for (; *tables != NULL; tables++)
        for (const cli_option *option = *tables; option->name != NULL && count + 2 < MAX_NAMES; option++)
            names[count++] = option->name;
    names[count++]      = "help";
    names[count]        = NULL;
    char       *wrong   = memory_format("%.*s", (int) length, given);
    const char *nearest = args_nearest(wrong + strspn(wrong, "-"), names);
    int         code    = nearest != NULL
                              ? terminal_fail(EXIT_USAGE, "unknown option %s; did you mean --%s?", wrong, nearest)
                              : terminal_fail(EXIT_USAGE, "unknown option %s; --help lists the options", wrong);
    free(wrong);
    return code;
}

static int parse_option(const cli_option *const *tables, int argc, char **argv, int *at, void *settings)
{
    const char   *given  = argv[*at];
    size_t        length = strcspn(given, "=");
    const cli_option *option = given[1] == '-' ? find(tables, given + 2, length - 2) : NULL;
    const char   *value  = given[length] == '=' ? given + length + 1 : NULL;
    if (option == NULL)
        return unknown_option(tables, given, length);
    if (option->kind == OPTION_FLAG && value != NULL)
        return terminal_fail(EXIT_USAGE, "--%s takes no value", option->name);
    if (option->kind != OPTION_FLAG && value == NULL) {
        if (*at + 1 >= argc || strncmp(argv[*at + 1], "--", 2) == 0)
            return terminal_fail(EXIT_USAGE, "--%s needs a value", option->name);
        value = argv[++*at];
    }
    return set_value(option, value, (char *) settings + option->offset);
}

int args_parse(const cli_option *const *tables, int argc, char **argv, void *settings, text_list *operands, bool *help)
{
    bool options = true;
    *help        = false;
    for (int i = 0; i < argc; i++) {
        if (options && strcmp(argv[i], "--") == 0)
            options = false;
        else if (options && (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0))
            *help = true;
        else if (options && argv[i][0] == '-' && argv[i][1] != '\0')
            TRY(parse_option(tables, argc, argv, &i, settings));
        else
            text_list_add(operands, argv[i], strlen(argv[i]));
    }
    return EXIT_OK;
}

void args_free(const cli_option *const *tables, void *settings)
{
    for (; *tables != NULL; tables++) {
        for (const cli_option *option = *tables; option->name != NULL; option++) {
            void *target = (char *) settings + option->offset;
            if (option->kind == OPTION_LIST || option->kind == OPTION_PARTS)
                text_list_free(target);
            else if (option->kind == OPTION_COUNTS)
                free(((count_list *) target)->items);
        }
    }
}

/* ------------------------------------------------------------------------------------------------------------ help --- */

void args_print_help(const cli_option *const *tables)
{
    for (; *tables != NULL; tables++) {
        for (const cli_option *option = *tables; option->name != NULL; option++) {
            char left[96];
            int  used = snprintf(left, sizeof left, "--%s", option->name);
            if (option->argument != NULL)
                snprintf(left + used, sizeof left - (size_t) used, " %s", option->argument);
            for (size_t i = 0; option->choices != NULL && option->choices[i] != NULL; i++)
                used += snprintf(left + used, sizeof left - (size_t) used, "%s%s", i > 0 ? "|" : " ", option->choices[i]);
            printf("  %-28s %s\n", left, option->help);
        }
    }
}
