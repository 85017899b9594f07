/* Standard error: the one line of an error, notes, and progress. Every line of the command there comes from this file. */
#ifndef MMCL_CLI_TERMINAL_H
#define MMCL_CLI_TERMINAL_H

#include <stdbool.h>
#include <stdint.h>

/* What the command returns to the shell. */
enum { EXIT_OK = 0, EXIT_ERROR = 1, EXIT_USAGE = 2, EXIT_SIGNAL = 128 /* plus its number: Ctrl-C gives 130 */ };

#define TRY(expression)                                                                                                          \
    do {                                                                                                                         \
        int try_code = (expression);                                                                                             \
        if (try_code != EXIT_OK)                                                                                                 \
            return try_code;                                                                                                     \
    } while (0)

/* Names the subcommand in errors. */
void terminal_begin(const char *subcommand);

/* Without progress and notes. */
void terminal_silence(void);

/* Prints "mmcl SUBCOMMAND: ..." as exactly one line, whatever the text holds, and returns `code`. */
int terminal_fail(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Keeps a line that terminal_flush_notes prints; an error drops it, so that its own line stands alone. */
void terminal_note(const char *format, ...) __attribute__((format(printf, 1, 2)));
void terminal_flush_notes(void);

/* What the progress shown next belongs to, such as "[2/5] ucf101, 4 shots". */
void terminal_stage(const char *format, ...) __attribute__((format(printf, 1, 2)));

/*
 * Shows how far `operation` has come: a bar on a terminal, otherwise a line every few seconds. `total` 0: unknown; `value` NaN: none.
 */
void terminal_progress(const char *operation, uint64_t step, uint64_t total, double value);

/* Removes the bar, so that other output can follow. */
void terminal_clear(void);

/* Clears the bar and frees what the module holds. */
void terminal_end(void);

#endif
