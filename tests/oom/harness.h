/*
 * Fault sweeps: a scenario, which is a short use of the library, runs again and again with its k-th allocation (progress event,
 * executor run, callback) failing, for every k, until a run meets no fault. Each faulty run must report the status that the
 * fault calls for, set no output, lose no memory and leave its handles usable: the failed call, repeated on the same handles,
 * gives bit for bit what an undisturbed run gives.
 */
#ifndef TESTS_OOM_HARNESS_H
#define TESTS_OOM_HARNESS_H

#include <mmcl/mmcl.h>

#include <stdbool.h>

typedef enum fault {
    FAULT_NONE,
    FAULT_ALLOC,       /* allocation k fails, the next ones succeed; the call is repeated */
    FAULT_ALLOC_FROM,  /* allocation k and all that follow fail; nothing is repeated */
    FAULT_VERDICT,     /* the progress callback asks to stop at event k */
    FAULT_CANCEL,      /* mmcl_context_cancel during event k */
    FAULT_EXECUTOR,    /* run k of the host's executor reports failure */
    FAULT_CALLBACK,    /* call k of read, read_at or write fails */
} fault;

typedef struct world world;

typedef struct scenario {
    const char *name;
    mmcl_status (*run)(world *w, const char *argument);
    const char *argument;
} scenario;

/* Tables, each closed by a scenario without a name. */
extern const scenario scenarios_context[], scenarios_io[], scenarios_transform[], scenarios_classify[], scenarios_model[],
    scenarios_encoder[], scenarios_objective[], scenarios_train[],
    scenarios_metrics[], scenarios_analysis[], scenarios_adapt[];

/* What a run sees. */
struct world {
    mmcl_context        *context;
    const mmcl_allocator *allocator; /* the one that counts and fails */
    const char          *folder;     /* for files */
    fault                fault;
    uint64_t             at;         /* k, counted from 0 */
    uint64_t             points;     /* places met so far where this kind of fault could strike */
    bool                 armed, fired;
    mmcl_status          first;      /* the first failure that a call reported */
    uint64_t             digest;     /* of all results */
    uint64_t             events, finals;  /* progress events of the present call */
    mmcl_status          final_status;
    unsigned char       *sunk;       /* bytes that the sink holds */
    size_t               n_sunk, sunk_capacity;
};

void harness_fail(const char *file, int line, const char *text);

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            harness_fail(__FILE__, __LINE__, #condition);                                                              \
    } while (0)

/* Names an exported function and records that it was called. */
#define CALL(function) (harness_called(#function), function)
void harness_called(const char *name);

void harness_before(world *w);
/* Judges the outcome of a call; true when it has to be repeated. */
bool harness_after(world *w, mmcl_status status, bool repeatable);

/* A call that may fail: on success goes on, on failure leaves for `end`. Expects a variable `status`. */
#define TRY_(w, call, repeatable)                                                                                      \
    do {                                                                                                               \
        do {                                                                                                           \
            harness_before(w);                                                                                         \
            status = (call);                                                                                           \
        } while (harness_after(w, status, repeatable));                                                                \
        if (status != MMCL_OK)                                                                                         \
            goto end;                                                                                                  \
    } while (0)
#define TRY(w, call) TRY_(w, call, true)
/* For calls that a failure may leave half done, such as those of a writer: the whole scenario is repeated instead. */
#define ONCE(w, call) TRY_(w, call, false)

/* A call that makes a handle: `out` must be NULL after a failure, whatever it was before. */
#define MAKE(w, out, call)                                                                                             \
    do {                                                                                                               \
        do {                                                                                                           \
            (out) = (void *) (w);                                                                                      \
            harness_before(w);                                                                                         \
            status = (call);                                                                                           \
            CHECK((status == MMCL_OK) == ((out) != NULL));                                                             \
        } while (harness_after(w, status, true));                                                                      \
        if (status != MMCL_OK)                                                                                         \
            goto end;                                                                                                  \
    } while (0)

/* Adds results to the digest. */
void harness_note(world *w, const void *bytes, size_t n);

/* True when a callback of the host has to fail now. */
bool harness_strikes(world *w, fault kind);

/* Callbacks that fail on command. `sink_of` begins with an empty sink; `stream_of` reads what the sink has taken. */
mmcl_sink   sink_of(world *w);
mmcl_stream stream_of(world *w);

/* Features [ROWS, COLS] of CLASSES classes in a mixture of skewed sources; labels [ROWS]. A second set for validation. */
enum { ROWS = 48, COLS = 6, CLASSES = 3 };
extern float   fixture_x[2][ROWS * COLS];
extern int64_t fixture_labels[ROWS];
mmcl_matrix    fixture_rows(int set);
mmcl_labelled  fixture_labelled(int set);
/* The same rows through a read callback. Several at once may not be in use. */
mmcl_matrix fixture_read(world *w, int set);

/* folder/name, in a static buffer that the next call overwrites. */
const char *path_of(const world *w, const char *name);

#endif
