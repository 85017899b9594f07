#include "terminal.h"

#include "memory.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BAR_INTERVAL  0.1 /* seconds between two drawings of the bar */
#define LINE_INTERVAL 5.0 /* seconds between two lines where there is no terminal */
#define BAR_CELLS     24

/* Standard error is one per process, and so is what has been drawn on it. */
static struct {
    char   subcommand[32];
    char   stage[128];
    bool   silent, bar, drawn;
    double last;
    char **notes;
    size_t note_count;
} front;

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double) time.tv_sec + 1e-9 * (double) time.tv_nsec;
}

void terminal_begin(const char *subcommand)
{
    const char *kind = getenv("TERM");
    snprintf(front.subcommand, sizeof front.subcommand, "%s", subcommand);
    front.bar  = isatty(STDERR_FILENO) && kind != NULL && strcmp(kind, "dumb") != 0;
    front.last = now();
}

void terminal_silence(void)
{
    front.silent = true;
}

void terminal_clear(void)
{
    if (front.drawn)
        fputs("\r\033[K", stderr);
    front.drawn = false;
}

static void put_line(const char *head, const char *text)
{
    terminal_clear();
    fputs(head, stderr);
    for (const char *c = text; *c != '\0'; c++)
        fputc((unsigned char) *c < 0x20 || *c == 0x7f ? ' ' : *c, stderr);
    fputc('\n', stderr);
}

int terminal_fail(int code, const char *format, ...)
{
    char    head[48], text[2048];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    snprintf(head, sizeof head, "mmcl%s%s: ", front.subcommand[0] != '\0' ? " " : "", front.subcommand);
    put_line(head, text);
    return code;
}

void terminal_note(const char *format, ...)
{
    char    text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    front.notes                     = memory_grow(front.notes, front.note_count + 1, sizeof *front.notes);
    front.notes[front.note_count++] = memory_text(text);
}

void terminal_flush_notes(void)
{
    for (size_t i = 0; i < front.note_count; i++) {
        if (!front.silent)
            put_line("note: ", front.notes[i]);
        free(front.notes[i]);
    }
    front.note_count = 0;
}

void terminal_stage(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(front.stage, sizeof front.stage, format, arguments);
    va_end(arguments);
}

static void draw_bar(const char *text, uint64_t step, uint64_t total)
{
    char cells[BAR_CELLS + 1];
    memset(cells, ' ', BAR_CELLS);
    cells[BAR_CELLS] = '\0';
    if (total > 0)
        memset(cells, '#', (size_t) (BAR_CELLS * fmin(1, (double) step / (double) total)));
    fprintf(stderr, "\r[%s] %.50s\033[K", cells, text); /* within 80 columns */
    fflush(stderr);
    front.drawn = true;
}

void terminal_progress(const char *operation, uint64_t step, uint64_t total, double value)
{
    double time = now();
    if (front.silent || time - front.last < (front.bar ? BAR_INTERVAL : LINE_INTERVAL))
        return;
    front.last = time;
    char of[32] = "", at[40] = "", text[256];
    if (total > 0)
        snprintf(of, sizeof of, "/%llu", (unsigned long long) total);
    if (!isnan(value))
        snprintf(at, sizeof at, ", at %.3g", value);
    snprintf(text, sizeof text, "%s%s%s %llu%s%s", front.stage, front.stage[0] != '\0' ? ": " : "", operation,
             (unsigned long long) step, of, at);
    if (front.bar)
        draw_bar(text, step, total);
    else
        put_line("", text);
}

void terminal_end(void)
{
    terminal_clear();
    for (size_t i = 0; i < front.note_count; i++)
        free(front.notes[i]);
    free(front.notes);
    front.notes      = NULL;
    front.note_count = 0;
}
