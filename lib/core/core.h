/*
 * What every other folder stands on: the context, memory through it, messages, progress, threads, checked sizes, option import.
 */
#ifndef MMCL_CORE_CORE_H
#define MMCL_CORE_CORE_H

#include <mmcl/base.h>
#include <mmcl/context.h>

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>

/* Returns a failing status unchanged to the caller: the message is set once, where the failure began. */
#define MMCL__TRY(expression)                                                                                          \
    do {                                                                                                               \
        mmcl_status try_status_ = (expression);                                                                        \
        if (try_status_ != MMCL_OK)                                                                                    \
            return try_status_;                                                                                        \
    } while (0)

#define MMCL__MIN(a, b) ((a) < (b) ? (a) : (b))
#define MMCL__MAX(a, b) ((a) > (b) ? (a) : (b))

/* ------------------------------------------------------------------------------------------------------ context --- */

typedef struct mmcl__pool      mmcl__pool;
typedef struct mmcl__operation mmcl__operation;

/* Run around every outermost operation; filled in by the layer that knows the BLAS library. */
typedef struct mmcl__hooks {
    void (*enter)(mmcl_blas_policy policy);
    void (*leave)(mmcl_blas_policy policy);
} mmcl__hooks;

struct mmcl_context {
    mmcl_allocator    allocator;
    mmcl_executor     executor; /* the host's, or run == NULL */
    mmcl__pool       *pool;     /* the library's own threads, or NULL */
    mmcl_log_fn       log;
    void             *log_user;
    mmcl_progress_fn  progress;
    void             *progress_user;
    mmcl_memory_info  memory;
    mmcl__operation  *operation; /* innermost running */
    mmcl__hooks       hooks;
    mmcl_blas_policy  blas_policy;
    atomic_int        cancelled;
    atomic_flag       busy;      /* threads are at work for some call */
    char              message[512];
};

mmcl_status mmcl__context_create(mmcl_context **out, const mmcl_context_options *options, mmcl__hooks hooks);
void        mmcl__context_destroy(mmcl_context *context);

/* Sets the message and returns `status`. `context` NULL, in functions that may run concurrently: status only. */
mmcl_status mmcl__fail(mmcl_context *context, mmcl_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Sends one line to the host's log, if there is one. */
void mmcl__log(mmcl_context *context, mmcl_log_level level, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* ------------------------------------------------------------------------------------------------------- memory --- */

/* Every block is aligned for the widest vector registers. */
#define MMCL__ALIGN 64

/* NULL when there is no memory (message set); also for sizes that overflow. `count` * `size` may be 0: then one byte. */
void *mmcl__alloc(mmcl_context *context, size_t count, size_t size);
void *mmcl__calloc(mmcl_context *context, size_t count, size_t size);

/* Takes back what mmcl__alloc(context, count, size) gave; NULL is fine. */
void mmcl__free(mmcl_context *context, void *block, size_t count, size_t size);

/*
 * A context for work that allocates, to be used by one task at a time: of one thread, its memory a piece of the parent's that is taken, and
 * given back, by the caller. It has no message but its own, no log and no hooks; its progress is for whoever opens it to set.
 */
typedef struct mmcl__annex {
    mmcl_context  context;
    mmcl_context *parent;
    char         *room;
    size_t        size, used, count;
    struct {
        size_t begin;
        bool   held;
    } blocks[16]; /* in the order of their places; what has been given back goes when nothing is held behind it */
} mmcl__annex;

/* What a block of `bytes` takes of the room, at most. */
#define MMCL__ANNEX_BYTES(bytes) (((uint64_t) (bytes) + MMCL__ALIGN - 1) / MMCL__ALIGN * MMCL__ALIGN)

mmcl_status mmcl__annex_open(mmcl__annex *annex, mmcl_context *parent, size_t bytes);
void        mmcl__annex_close(mmcl__annex *annex);

/* Duplicates `text`; released with mmcl__free(context, copy, strlen(copy) + 1, 1). */
char *mmcl__strdup(mmcl_context *context, const char *text);

/* a * b and a + b into *out; false on overflow. */
static inline bool mmcl__mul(size_t a, size_t b, size_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}
static inline bool mmcl__add(size_t a, size_t b, size_t *out)
{
    return !__builtin_add_overflow(a, b, out);
}

/* ------------------------------------------------------------------------------------------------------ options --- */

/*
 * Copies a size-tagged struct of the caller's into `ours` [ours_size]: fields that the caller's version lacks stay zero; a struct
 * below `v1_size` or with a nonzero tail beyond ours is refused. `theirs` NULL gives all zero. `name` is for the message.
 */
mmcl_status mmcl__import(mmcl_context *context, void *ours, size_t ours_size, size_t v1_size, const void *theirs, const char *name);

/* Copies as much of `ours` as the caller's struct has room for, keeping its struct_size. */
mmcl_status mmcl__export(mmcl_context *context, void *theirs, const void *ours, size_t ours_size, size_t v1_size, const char *name);

/* Bytes of `type` up to and with `last`, the last field of its first version: frozen once released. */
#define MMCL__V1(type, last) (offsetof(type, last) + sizeof(((type *) 0)->last))

/* The result struct of a call is written only when it has a size that we know; so this is looked at before the work. */
#define MMCL__CHECK_INFO(context, info, type, last)                                                                          \
    do {                                                                                                               \
        if ((info) != NULL && (info)->struct_size < MMCL__V1(type, last))                                              \
            return mmcl__fail(context, MMCL_E_ABI, #type ": struct_size is %zu, expected at least %zu", (info)->struct_size,  \
                              MMCL__V1(type, last));                                                                   \
    } while (0)

/* --------------------------------------------------------------------------------------------------- operations --- */

/*
 * A long operation, on the stack of the function that runs it. Operations nest: inner ones report their own steps, and only
 * the outermost one sends the final event and runs the hooks.
 */
struct mmcl__operation {
    mmcl_context    *context;
    mmcl__operation *outer;
    const char      *name;
    uint64_t         step, total;
    double           value;
    double           began; /* mmcl__seconds() */
};

void mmcl__begin(mmcl__operation *operation, mmcl_context *context, const char *name, uint64_t total);

/* Reports `step` steps done; MMCL_E_CANCELLED when the host wants to stop. */
mmcl_status mmcl__tick(mmcl__operation *operation, uint64_t step, double value);

/* MMCL_E_CANCELLED when the host wants to stop, without an event: for work between steps. */
mmcl_status mmcl__check_cancel(mmcl_context *context);

/* Ends the operation and returns `status`. */
mmcl_status mmcl__end(mmcl__operation *operation, mmcl_status status);

/* Monotonic clock. */
double mmcl__seconds(void);

/* ------------------------------------------------------------------------------------------------------ threads --- */

/*
 * Calls task(argument, i, worker) once for each i < n, spread over the context's threads; worker < mmcl__width(context) is
 * unique among the calls that run at the same time. Tasks neither allocate nor set messages. Callers that overlap (calls of
 * class "concurrent on const") run on their own thread, as worker 0.
 *
 * What a task computes must depend on i alone, never on worker or width: this is what makes results equal for any thread count.
 */
typedef void (*mmcl__task)(void *argument, size_t i, uint32_t worker);

mmcl_status mmcl__parallel(const mmcl_context *context, size_t n, mmcl__task task, void *argument);

uint32_t mmcl__width(const mmcl_context *context);

/* True when the calling thread is worker 0 of every mmcl__parallel: with threads of the library's own. */
bool mmcl__works_itself(const mmcl_context *context);

mmcl_status mmcl__pool_create(mmcl__pool **out, mmcl_context *context, uint32_t threads);
void        mmcl__pool_destroy(mmcl__pool *pool, mmcl_context *context);
uint32_t    mmcl__pool_threads(const mmcl__pool *pool);
void        mmcl__pool_run(mmcl__pool *pool, uint32_t n, void (*task)(void *, uint32_t), void *argument);

/*
 * Fixed partition of `n` items into lanes, whatever the number of threads: lane i holds items lane_begin(i) ... lane_begin(i + 1)
 * - 1. Each lane sums on its own and the sums are added in lane order. `bytes` is what a lane's sums take.
 */
typedef struct mmcl__lanes {
    size_t n, count;
} mmcl__lanes;

mmcl__lanes   mmcl__lanes_of(size_t n, size_t bytes);
static inline size_t mmcl__lane_begin(const mmcl__lanes *lanes, size_t lane)
{
    size_t share = lanes->n / lanes->count, rest = lanes->n % lanes->count;
    return lane * share + MMCL__MIN(lane, rest);
}

#endif
