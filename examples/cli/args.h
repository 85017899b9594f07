/* Options and operands of a subcommand, read by a table. */
#ifndef MMCL_CLI_ARGS_H
#define MMCL_CLI_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How a value is read, and the type of the settings' member that receives it. */
typedef enum option_kind {
    OPTION_FLAG,   /* no value; bool */
    OPTION_TEXT,   /* const char *: borrowed from the command line */
    OPTION_LIST,   /* text_list; may be given several times */
    OPTION_PARTS,  /* text_list; a comma separates items, and it may be given several times */
    OPTION_COUNT,  /* uint64_t within [least, most] */
    OPTION_COUNTS, /* count_list; a comma separates items, each within [least, most] */
    OPTION_REAL,   /* double above 0 */
    OPTION_CHOICE, /* int32_t: index into `choices` */
} option_kind;

typedef struct text_list {
    char **items;
    size_t count;
} text_list;

typedef struct count_list {
    uint64_t *items;
    size_t    count;
} count_list;

typedef struct cli_option {
    const char        *name;     /* without "--"; NULL ends a table */
    option_kind        kind;
    size_t             offset;   /* of the member in the settings */
    const char        *argument; /* name of the value in the help; NULL: `choices` */
    const char        *help;
    const char *const *choices;  /* ends with NULL */
    uint64_t           least, most;
} cli_option;

/*
 * Reads `argc` arguments into `settings` by `tables` (ends with NULL), and what is no option into `operands`. "--opt value" and
 * "--opt=value" are the same; "--" ends the options. *help is set for --help. Returns an exit code: EXIT_USAGE with its line printed.
 */
int args_parse(const cli_option *const *tables, int argc, char **argv, void *settings, text_list *operands, bool *help);

/* Frees what args_parse put into `settings`. */
void args_free(const cli_option *const *tables, void *settings);

/* Frees the items. */
void text_list_free(text_list *list);

/* Appends a copy of `text` [length]. */
void text_list_add(text_list *list, const char *text, size_t length);

/* Prints the options, one a line. */
void args_print_help(const cli_option *const *tables);

/* The name in `names` (ends with NULL) that `wrong` was probably meant to be; NULL when none is near. */
const char *args_nearest(const char *wrong, const char *const *names);

#endif
