/* What every subcommand shares: the common options, the library's context, Ctrl-C, and the mapping of its errors. */
#ifndef MMCL_CLI_SESSION_H
#define MMCL_CLI_SESSION_H

#include "args.h"
#include "json.h"
#include "terminal.h"

#include <mmcl/mmcl.h>

#include <stdatomic.h>

/* The first member of every subcommand's settings. */
typedef struct common_settings {
    const char *json;
    uint64_t    threads; /* 0: all cores online */
    uint64_t    seed;
    bool        quiet;
} common_settings;

extern const cli_option common_options[];

typedef struct cli_session {
    const common_settings *common;
    mmcl_context          *context;
    atomic_flag            failed;         /* a callback has told why it failed */
    char                   failure[512];   /* and this is why; "" when none has */
} cli_session;

/* A subcommand. */
typedef struct cli_command {
    const char   *name;
    const char   *summary;  /* half a line */
    const char   *synopsis; /* operands and main options */
    const char   *text;     /* what it does, in paragraphs */
    const char   *example;
    const cli_option *options;
    size_t        settings_size;
    size_t        operands_least, operands_most;
    const char   *operands; /* what they are called in an error */
    int (*run)(cli_session *session, const void *settings, const text_list *operands);
} cli_command;

extern const cli_command identify_command, train_command, encode_command, disentangle_command, probe_command, adapt_command,
    predict_command, metrics_command, analyse_command, align_command, info_command;

/* Creates the context, with `common->threads` threads. Returns an exit code. */
int  session_begin(cli_session *session, const common_settings *common);
void session_end(cli_session *session);

/* Threads that work. */
uint32_t session_threads(const cli_session *session);

/* Ctrl-C was pressed. */
bool session_interrupted(void);

/* The line for a call of the library that failed and left its message in the context; `where` may be NULL. Returns an exit code. */
int session_fail(cli_session *session, mmcl_status status, const char *where);

/* The same for the functions that leave no message. */
int session_fail_status(cli_session *session, mmcl_status status, const char *where);

/* From a callback: remembers why it fails, and returns `status`. Only the first of several threads is heard. */
mmcl_status session_callback_failed(cli_session *session, mmcl_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Opens the object and writes what every subcommand's begins with. */
void session_open_json(const cli_session *session, json_writer *out, const char *subcommand);

/* Seconds on a clock that only goes forward. */
double session_seconds(void);

#endif
