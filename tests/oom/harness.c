/* The allocator, the callbacks and the rules of the sweeps. */
#include "harness.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *current = "";
static fault       current_fault;
static uint64_t    current_at;
static int         failures;

void harness_fail(const char *file, int line, const char *text)
{
    static const char *const names[] = {"no fault", "allocation", "allocations from", "verdict", "cancel", "executor", "callback"};
    fprintf(stderr, "%s, %s %llu: %s:%d: %s\n", current, names[current_fault], (unsigned long long) current_at, file, line, text);
    if (++failures > 40)
        exit(1);
}

/* ------------------------------------------------------------------------------------------------------- coverage --- */

static struct called {
    const char *name;
} called[512];
static size_t n_called;

void harness_called(const char *name)
{
    for (size_t i = 0; i < n_called; i++)
        if (strcmp(called[i].name, name) == 0)
            return;
    called[n_called++].name = name;
}

/* Every name of the list file must have been called. */
static void check_coverage(const char *list)
{
    char  line[128];
    FILE *file = fopen(list, "r");
    CHECK(file != NULL);
    for (size_t i; file != NULL && fgets(line, sizeof line, file) != NULL;) {
        line[strcspn(line, "\n")] = '\0';
        for (i = 0; i < n_called && strcmp(called[i].name, line) != 0; i++)
            ;
        if (i == n_called) {
            fprintf(stderr, "no scenario calls %s\n", line);
            failures++;
        }
    }
    if (file != NULL)
        fclose(file);
}

/* ------------------------------------------------------------------------------------------------------ allocator --- */

/* Lies before each block. The block's own last byte is followed by a canary. */
struct header {
    size_t         size, align;
    void          *base;
    uint64_t       magic;
    struct header *next, *previous;
};

#define MAGIC UINT64_C(0x6d6d636c6865616d)
#define CANARY 16

static struct header blocks = {.next = &blocks, .previous = &blocks};
static size_t        live_blocks, live_bytes;
static unsigned char garbage; /* new blocks are filled with a byte that changes: results must not depend on it */
static bool          leave;   /* new blocks as they are: valgrind then knows that nothing has been written there */
static pthread_t     caller;

static void *count_alloc(void *user, size_t size, size_t align)
{
    world *w = user;
    CHECK(size > 0 && align > 0 && (align & (align - 1)) == 0);
    CHECK(pthread_equal(caller, pthread_self()));
    if (harness_strikes(w, FAULT_ALLOC) || harness_strikes(w, FAULT_ALLOC_FROM))
        return NULL;
    char *base = malloc(size + align + sizeof(struct header) + CANARY);
    if (base == NULL)
        abort();
    uintptr_t      start  = ((uintptr_t) base + sizeof(struct header) + align - 1) & ~(uintptr_t) (align - 1);
    struct header *header = malloc(sizeof *header);
    if (header == NULL)
        abort();
    *header = (struct header){.size = size, .align = align, .base = base, .magic = MAGIC, .next = blocks.next, .previous = &blocks};
    blocks.next->previous = header;
    blocks.next           = header;
    memcpy((char *) start - sizeof header, &header, sizeof header);
    if (!leave)
        memset((void *) start, garbage += 37, size);
    memset((char *) start + size, 0x5c, CANARY);
    live_blocks++;
    live_bytes += size;
    return (void *) start;
}

static void count_free(void *user, void *block, size_t size, size_t align)
{
    (void) user;
    CHECK(block != NULL && pthread_equal(caller, pthread_self()));
    struct header *header;
    memcpy(&header, (char *) block - sizeof header, sizeof header);
    CHECK(header->magic == MAGIC && header->size == size && header->align == align);
    for (size_t i = 0; i < CANARY; i++)
        CHECK(((unsigned char *) block)[header->size + i] == 0x5c);
    header->previous->next = header->next;
    header->next->previous = header->previous;
    live_blocks--;
    live_bytes -= header->size;
    header->magic = 0;
    memset(block, 0xdd, header->size);
    free(header->base);
    free(header);
}

/* ------------------------------------------------------------------------------------------------------ callbacks --- */

bool harness_strikes(world *w, fault kind)
{
    if (!w->armed || w->fault != kind)
        return false;
    uint64_t point = w->points++;
    bool     now   = kind == FAULT_ALLOC_FROM ? point >= w->at : point == w->at;
    w->fired |= now;
    return now;
}

static int32_t on_progress(void *user, const mmcl_progress *progress)
{
    world *w = user;
    CHECK(progress->struct_size == sizeof *progress && progress->operation != NULL && progress->seconds >= 0);
    CHECK(progress->total == 0 || progress->step <= progress->total);
    CHECK(w->finals == 0); /* nothing follows the final event */
    w->events++;
    if (progress->finished) {
        w->finals++;
        w->final_status = progress->status;
        return 1; /* has no meaning any more */
    }
    CHECK(progress->status == MMCL_OK);
    if (harness_strikes(w, FAULT_CANCEL))
        mmcl_context_cancel(w->context);
    return harness_strikes(w, FAULT_VERDICT) ? 7 : 0;
}

/* Lends "threads": runs the tasks one after the other, from the last to the first. */
static int32_t on_run(void *user, uint32_t n, void (*task)(void *argument, uint32_t i), void *argument)
{
    CHECK(n >= 1 && n <= 3);
    for (uint32_t i = n; i-- > 0;)
        task(argument, i);
    return harness_strikes(user, FAULT_EXECUTOR) ? 5 : 0;
}

static mmcl_status on_write(void *user, const void *bytes, size_t n)
{
    world *w = user;
    if (harness_strikes(w, FAULT_CALLBACK))
        return -77;
    if (w->n_sunk + n > w->sunk_capacity) {
        w->sunk_capacity = 2 * (w->n_sunk + n);
        w->sunk          = realloc(w->sunk, w->sunk_capacity);
        if (w->sunk == NULL)
            abort();
    }
    if (n > 0)
        memcpy(w->sunk + w->n_sunk, bytes, n);
    w->n_sunk += n;
    return MMCL_OK;
}

static mmcl_status on_read_at(void *user, uint64_t offset, void *buffer, size_t bytes)
{
    world *w = user;
    CHECK(offset <= w->n_sunk && bytes <= w->n_sunk - offset);
    if (harness_strikes(w, FAULT_CALLBACK))
        return -78;
    if (bytes > 0)
        memcpy(buffer, w->sunk + offset, bytes);
    return MMCL_OK;
}

mmcl_sink sink_of(world *w)
{
    w->n_sunk = 0;
    return (mmcl_sink){.struct_size = sizeof(mmcl_sink), .user = w, .write = on_write};
}

mmcl_stream stream_of(world *w)
{
    return (mmcl_stream){.struct_size = sizeof(mmcl_stream), .user = w, .size = w->n_sunk, .read_at = on_read_at};
}

/* ------------------------------------------------------------------------------------------------------- fixtures --- */

float   fixture_x[2][ROWS * COLS];
int64_t fixture_labels[ROWS];

/* Cubes of uniform numbers, mixed, with the classes apart in two columns. */
static void fill_fixtures(void)
{
    uint32_t state = 12345;
    for (int set = 0; set < 2; set++)
        for (int i = 0; i < ROWS; i++) {
            double source[COLS];
            for (int j = 0; j < COLS; j++) {
                state            = state * 1664525u + 1013904223u;
                const double u   = (double) (state >> 8) / (1 << 23) - 1;
                source[j]        = u * u * u + 0.3 * u;
            }
            fixture_labels[i] = i % CLASSES;
            for (int j = 0; j < COLS; j++)
                fixture_x[set][i * COLS + j] = (float) (source[j] + 0.4 * source[(j + 1) % COLS] - 0.2 * source[(j + 2) % COLS] +
                                                        0.5 * (j == i % CLASSES) + 0.1 * j);
        }
}

mmcl_matrix fixture_rows(int set)
{
    return (mmcl_matrix){.data = fixture_x[set], .rows = ROWS, .cols = COLS};
}

mmcl_labelled fixture_labelled(int set)
{
    return (mmcl_labelled){.features = fixture_rows(set), .labels = fixture_labels};
}

static int    read_set;

static mmcl_status on_read_rows(void *user, size_t first, size_t n, void *out)
{
    CHECK(first + n <= ROWS);
    if (harness_strikes(user, FAULT_CALLBACK))
        return -79;
    memcpy(out, fixture_x[read_set] + first * COLS, n * COLS * sizeof(float));
    return MMCL_OK;
}

mmcl_matrix fixture_read(world *w, int set)
{
    read_set = set;
    return (mmcl_matrix){.rows = ROWS, .cols = COLS, .read = on_read_rows, .read_user = w};
}

const char *path_of(const world *w, const char *name)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", w->folder, name);
    return path;
}

void harness_note(world *w, const void *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        w->digest = (w->digest ^ ((const unsigned char *) bytes)[i]) * UINT64_C(0x100000001b3);
}

/* ---------------------------------------------------------------------------------------------------------- calls --- */

void harness_before(world *w)
{
    w->events = w->finals = 0;
}

static mmcl_status status_of(fault kind)
{
    static const mmcl_status statuses[] = {MMCL_OK,          MMCL_E_NOMEM,    MMCL_E_NOMEM,   MMCL_E_CANCELLED,
                                           MMCL_E_CANCELLED, MMCL_E_CALLBACK, MMCL_E_CALLBACK};
    return statuses[kind];
}

bool harness_after(world *w, mmcl_status status, bool repeatable)
{
    if (w->events > 0)
        CHECK(w->finals == 1 && w->final_status == status);
    if (status == MMCL_OK)
        return false;
    if (status != status_of(w->fault) || !w->fired)
        fprintf(stderr, "status %d: %s\n", (int) status, w->context != NULL ? mmcl_context_message(w->context) : "");
    CHECK(status == status_of(w->fault));
    CHECK(w->fired);
    if (w->first == MMCL_OK)
        w->first = status;
    if (w->context != NULL && status != MMCL_E_CALLBACK) /* functions that may run concurrently leave no message */
        CHECK(mmcl_context_message(w->context)[0] != '\0' && strchr(mmcl_context_message(w->context), '\n') == NULL);
    if (w->fault == FAULT_CANCEL)
        mmcl_context_cancel_clear(w->context);
    if (!repeatable || !w->armed || w->fault == FAULT_ALLOC_FROM)
        return false;
    w->armed = false; /* the repeated call, and what follows it, is left in peace */
    return true;
}

/* --------------------------------------------------------------------------------------------------------- sweeps --- */

static char folder[] = "/tmp/mmcl-sweep-XXXXXX";

/* Runs a scenario once more; the digest of its results. */
static uint64_t run_once(world *w, const scenario *s, mmcl_status *status)
{
    size_t before = live_blocks;
    w->digest     = UINT64_C(0xcbf29ce484222325);
    *status       = s->run(w, s->argument);
    CHECK(live_blocks == before); /* nothing leaked */
    return w->digest;
}

/* One run with fault k. False when the fault met nothing to strike. */
static bool run_pass(const scenario *s, fault kind, uint64_t at, uint64_t *reference)
{
    world                w         = {.folder = folder, .fault = kind, .at = at};
    const mmcl_allocator allocator = {sizeof allocator, &w, count_alloc, count_free};
    const mmcl_executor  executor  = {.struct_size = sizeof executor, .user = &w, .run = on_run, .width = 3};
    mmcl_context_options options   = {.struct_size = sizeof options, .allocator = &allocator, .progress = on_progress,
                                      .progress_user = &w, .executor = kind == FAULT_EXECUTOR ? &executor : NULL};
    mmcl_status status;
    current       = s->name;
    current_fault = kind;
    current_at    = at;
    w.allocator   = &allocator;
    caller        = pthread_self();
    CHECK(mmcl_context_create(&w.context, &options) == MMCL_OK);
    w.armed         = true;
    uint64_t digest = run_once(&w, s, &status);
    w.armed         = false;
    mmcl_context_cancel_clear(w.context);
    if (kind == FAULT_NONE)
        *reference = digest;
    /* A flag that is raised during the last event of an operation may come too late for it. */
    if (w.fired && !(kind == FAULT_CANCEL && status == MMCL_OK))
        CHECK(w.first == status_of(kind));
    if (status == MMCL_OK)
        CHECK(digest == *reference);
    if (status != MMCL_OK || kind == FAULT_NONE) {
        CHECK(kind == FAULT_NONE ? status == MMCL_OK : w.fired);
        w.n_sunk = 0;
        CHECK(run_once(&w, s, &status) == *reference && status == MMCL_OK);
    }
    mmcl_context_destroy(w.context);
    CHECK(live_blocks == 0 && live_bytes == 0);
    free(w.sunk);
    return w.fired;
}

/* Faults below this are tried one by one, those beyond it ever more sparsely. A sanitizer makes each several times as dear. */
#ifdef __SANITIZE_ADDRESS__
#define DENSE 15
#else
#define DENSE 100
#endif

static void sweep(const scenario *s, fault first, fault last)
{
    uint64_t reference;
    run_pass(s, FAULT_NONE, 0, &reference);
    for (fault kind = first; kind <= last; kind++)
        for (uint64_t k = 0; run_pass(s, kind, k, &reference); k += k < DENSE ? 1 : k / 10)
            if (failures > 0)
                return; /* what went wrong once goes wrong for every later k */
}

static void sweep_table(const scenario *table, const char *only, fault first, fault last)
{
    for (const scenario *s = table; s->name != NULL; s++)
        if (only == NULL || strcmp(only, s->name) == 0)
            sweep(s, first, last);
}

/* usage: sweep allocation|cancel|callback|coverage|plain SYMBOLS.LIST [SCENARIO]; "plain" has no faults, for valgrind */
int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        fault       first, last;
    } kinds[] = {{"allocation", FAULT_ALLOC, FAULT_ALLOC_FROM},
                 {"cancel", FAULT_VERDICT, FAULT_CANCEL},
                 {"callback", FAULT_EXECUTOR, FAULT_CALLBACK},
                 {"coverage", FAULT_ALLOC, FAULT_NONE},
                 {"plain", FAULT_ALLOC, FAULT_NONE}};
    const scenario *const tables[] = {scenarios_context, scenarios_io, scenarios_transform, scenarios_classify, scenarios_model,
                                      scenarios_encoder, scenarios_objective, scenarios_train, scenarios_metrics, scenarios_analysis, scenarios_adapt};
    if (argc < 3)
        return 2;
    if (mkdtemp(folder) == NULL)
        return 1;
    fill_fixtures();
    const char *only = argc > 3 ? argv[3] : NULL;
    bool        known = false;
    leave             = strcmp(argv[1], "plain") == 0;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(argv[1], kinds[i].name) == 0) {
            known = true;
            for (size_t t = 0; t < sizeof tables / sizeof *tables; t++)
                sweep_table(tables[t], only, kinds[i].first, kinds[i].last);
        }
    if (strcmp(argv[1], "coverage") == 0)
        check_coverage(argv[2]);
    char command[64];
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command) != 0 || !known || failures > 0;
}
