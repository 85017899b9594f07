#include "session.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MAX_THREADS 256 /* of a context */

const cli_option common_options[] = {
    {"json", OPTION_TEXT, offsetof(common_settings, json), "FILE", "write one JSON object to FILE (-: standard output)", NULL, 0, 0},
    {"threads", OPTION_COUNT, offsetof(common_settings, threads), "N", "threads that work (default: all cores online)", NULL, 1,
     MAX_THREADS},
    {"seed", OPTION_COUNT, offsetof(common_settings, seed), "N", "seed of what is drawn at random (default: 1)", NULL, 0, UINT32_MAX},
    {"quiet", OPTION_FLAG, offsetof(common_settings, quiet), NULL, "no progress and no notes on standard error", NULL, 0, 0},
    {0},
};

/* What the signal handler needs: a handler has no argument of its own. */
static mmcl_context *volatile to_cancel;
static volatile sig_atomic_t interrupted; /* the signal; 0: none came */

static void on_interrupt(int signal)
{
    interrupted = signal;
    if (to_cancel != NULL)
        mmcl_context_cancel(to_cancel);
}

/* The second signal finds the system's own handling again, and ends the process at once. One that is ignored stays ignored. */
static void handle(int signal)
{
    struct sigaction action = {.sa_handler = on_interrupt, .sa_flags = (int) SA_RESETHAND}, before;
    if (sigaction(signal, &action, &before) == 0 && before.sa_handler == SIG_IGN)
        sigaction(signal, &before, NULL);
}

bool session_interrupted(void)
{
    return interrupted != 0;
}

static int32_t on_progress(void *user, const mmcl_progress *progress)
{
    (void) user;
    if (!progress->finished)
        terminal_progress(progress->operation, progress->step, progress->total, progress->value);
    return 0;
}

static void on_log(void *user, mmcl_log_level level, const char *text)
{
    (void) user;
    terminal_note("%s%s", level == MMCL_LOG_WARNING ? "warning: " : "", text);
}

int session_begin(cli_session *session, const common_settings *common)
{
    session->common     = common;
    session->failure[0] = '\0';
    atomic_flag_clear(&session->failed);
    if (common->quiet)
        terminal_silence();
    long     cores   = sysconf(_SC_NPROCESSORS_ONLN);
    uint32_t online  = cores < 1 ? 1 : cores > MAX_THREADS ? MAX_THREADS : (uint32_t) cores;
    mmcl_context_options options = {
        .struct_size = sizeof options,
        .log         = on_log,
        .progress    = on_progress,
        .threads     = common->threads > 0 ? (uint32_t) common->threads : online,
    };
    mmcl_status status = mmcl_context_create(&session->context, &options);
    if (status != MMCL_OK)
        return terminal_fail(EXIT_ERROR, "cannot start with %u threads: %s", options.threads, mmcl_status_string(status));
    to_cancel = session->context;
    handle(SIGINT);
    handle(SIGTERM);
    return EXIT_OK;
}

void session_end(cli_session *session)
{
    to_cancel = NULL;
    mmcl_context_destroy(session->context);
    session->context = NULL;
}

uint32_t session_threads(const cli_session *session)
{
    return mmcl_context_threads(session->context);
}

/* `where` and `why`, without saying the same name twice. */
static int fail_with(mmcl_status status, const char *where, const char *why)
{
    if (interrupted || status == MMCL_E_CANCELLED)
        return terminal_fail(EXIT_SIGNAL + (interrupted ? interrupted : SIGINT), "interrupted");
    if (where == NULL || strstr(why, where) != NULL)
        return terminal_fail(EXIT_ERROR, "%s", why);
    return terminal_fail(EXIT_ERROR, "%s: %s", where, why);
}

int session_fail(cli_session *session, mmcl_status status, const char *where)
{
    if (session->failure[0] != '\0')
        return fail_with(status, NULL, session->failure);
    const char *message = mmcl_context_message(session->context);
    return fail_with(status, where, message[0] != '\0' && status != MMCL_E_NOMEM ? message : mmcl_status_string(status));
}

int session_fail_status(cli_session *session, mmcl_status status, const char *where)
{
    if (session->failure[0] != '\0')
        return fail_with(status, NULL, session->failure);
    return fail_with(status, where, mmcl_status_string(status));
}

mmcl_status session_callback_failed(cli_session *session, mmcl_status status, const char *format, ...)
{
    if (atomic_flag_test_and_set(&session->failed))
        return status;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(session->failure, sizeof session->failure, format, arguments);
    va_end(arguments);
    return status;
}

void session_open_json(const cli_session *session, json_writer *out, const char *subcommand)
{
    json_open_object(out, NULL);
    json_text(out, "command", subcommand);
    json_text(out, "version", mmcl_version_string());
    json_count(out, "threads", session_threads(session));
    json_count(out, "seed", session->common->seed);
}

double session_seconds(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double) time.tv_sec + 1e-9 * (double) time.tv_nsec;
}
