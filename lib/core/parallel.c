/* Threads: the library's own pool or the host's executor, and the fixed split of work that keeps results independent of both. */
#define _GNU_SOURCE /* sched_getaffinity */
#include "core/core.h"

#include <pthread.h>
#include <sched.h>
#include <unistd.h>

/*
 * A round is announced by one word: how many threads take part in its low half, 0 when the pool ends, and a count of the rounds
 * in its high half. Who takes part may read the task until it has returned, since the next round waits for it.
 */
struct mmcl__pool {
    pthread_mutex_t  mutex; /* only of those who sleep, and who wakes them */
    pthread_cond_t   work, done;
    void           (*task)(void *, uint32_t);
    void            *argument;
    _Atomic uint64_t round;
    _Atomic uint32_t running; /* workers of this round that have not returned */
    uint32_t         threads; /* the caller's among them */
    uint32_t         started;
    bool             spins;
    struct worker {
        mmcl__pool *pool;
        pthread_t   thread;
        uint32_t    index;
    } worker[];
};

/* Tasks use up to 450 KiB; the host's thread-local storage and the runtime of a sanitizer come out of the same piece. */
#define STACK_BYTES ((size_t) 2 << 20)

/* The rounds of a small step follow within this time; being put to sleep and woken for each would take as long as the work. */
#define SPIN_SECONDS 50e-6
#define SPIN_PAUSES 32 /* between two looks at the clock */

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Waits until `ready`, but not for long: the caller looks again under the mutex. */
static void spin(mmcl__pool *pool, bool (*ready)(mmcl__pool *, uint64_t), uint64_t seen)
{
    if (!pool->spins || ready(pool, seen))
        return;
    for (double end = mmcl__seconds() + SPIN_SECONDS; mmcl__seconds() < end;)
        for (int i = 0; i < SPIN_PAUSES; i++) {
            relax();
            if (ready(pool, seen))
                return;
        }
}

static bool has_begun(mmcl__pool *pool, uint64_t seen)
{
    return atomic_load_explicit(&pool->round, memory_order_acquire) != seen;
}

static bool has_ended(mmcl__pool *pool, uint64_t unused)
{
    (void) unused;
    return atomic_load_explicit(&pool->running, memory_order_acquire) == 0;
}

static void wait_until(mmcl__pool *pool, pthread_cond_t *condition, bool (*ready)(mmcl__pool *, uint64_t), uint64_t seen)
{
    spin(pool, ready, seen);
    if (ready(pool, seen))
        return;
    pthread_mutex_lock(&pool->mutex);
    while (!ready(pool, seen))
        pthread_cond_wait(condition, &pool->mutex);
    pthread_mutex_unlock(&pool->mutex);
}

/* The next round, in which `wanted` threads take part. */
static void announce(mmcl__pool *pool, uint32_t wanted)
{
    uint64_t count = (atomic_load_explicit(&pool->round, memory_order_relaxed) >> 32) + 1;
    pthread_mutex_lock(&pool->mutex);
    atomic_store_explicit(&pool->round, count << 32 | wanted, memory_order_release);
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->mutex);
}

static void *worker_main(void *argument)
{
    struct worker *worker = argument;
    mmcl__pool    *pool   = worker->pool;
    uint64_t       round  = 0;
    for (;;) {
        wait_until(pool, &pool->work, has_begun, round);
        round = atomic_load_explicit(&pool->round, memory_order_acquire);
        uint32_t wanted = (uint32_t) round;
        if (wanted == 0)
            return NULL;
        if (worker->index >= wanted)
            continue;
        pool->task(pool->argument, worker->index);
        if (atomic_fetch_sub_explicit(&pool->running, 1, memory_order_acq_rel) == 1) {
            pthread_mutex_lock(&pool->mutex);
            pthread_cond_signal(&pool->done);
            pthread_mutex_unlock(&pool->mutex);
        }
    }
}

/* Threads that wait awake must not keep those from a core that work. */
static bool has_cores(uint32_t threads)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
#ifdef CPU_COUNT
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0)
        cores = CPU_COUNT(&set);
#endif
    return cores >= (long) threads;
}

static size_t pool_bytes(uint32_t threads)
{
    return sizeof(mmcl__pool) + threads * sizeof(struct worker);
}

mmcl_status mmcl__pool_create(mmcl__pool **out, mmcl_context *context, uint32_t threads)
{
    mmcl__pool *pool = mmcl__calloc(context, pool_bytes(threads), 1);
    if (pool == NULL)
        return MMCL_E_NOMEM;
    pool->threads = threads;
    pool->spins   = has_cores(threads);
    pool->started = 1; /* worker 0 is whoever calls */
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->work, NULL);
    pthread_cond_init(&pool->done, NULL);
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    int failed = 0;
    for (uint32_t i = 1; i < threads && !failed; i++) {
        pool->worker[i] = (struct worker){.pool = pool, .index = i};
        failed          = pthread_create(&pool->worker[i].thread, &attributes, worker_main, &pool->worker[i]);
        pool->started += !failed;
    }
    pthread_attr_destroy(&attributes);
    if (failed) {
        mmcl__pool_destroy(pool, context);
        return MMCL_E_NOMEM;
    }
    *out = pool;
    return MMCL_OK;
}

void mmcl__pool_destroy(mmcl__pool *pool, mmcl_context *context)
{
    if (pool == NULL)
        return;
    announce(pool, 0);
    for (uint32_t i = 1; i < pool->started; i++)
        pthread_join(pool->worker[i].thread, NULL);
    pthread_cond_destroy(&pool->work);
    pthread_cond_destroy(&pool->done);
    pthread_mutex_destroy(&pool->mutex);
    mmcl__free(context, pool, pool_bytes(pool->threads), 1);
}

uint32_t mmcl__pool_threads(const mmcl__pool *pool)
{
    return pool->threads;
}

void mmcl__pool_run(mmcl__pool *pool, uint32_t n, void (*task)(void *, uint32_t), void *argument)
{
    pool->task     = task;
    pool->argument = argument;
    atomic_store_explicit(&pool->running, n - 1, memory_order_relaxed);
    announce(pool, n);
    task(argument, 0);
    wait_until(pool, &pool->done, has_ended, 0);
}

/* ---------------------------------------------------------------------------------------------------------- tasks --- */

struct claim {
    mmcl__task    task;
    void         *argument;
    size_t        n;
    atomic_size_t next;
};

static void work(void *argument, uint32_t worker)
{
    struct claim *claim = argument;
    size_t        i;
    while ((i = atomic_fetch_add_explicit(&claim->next, 1, memory_order_relaxed)) < claim->n)
        claim->task(claim->argument, i, worker);
}

uint32_t mmcl__width(const mmcl_context *context)
{
    if (context->executor.run != NULL)
        return context->executor.width;
    return context->pool != NULL ? mmcl__pool_threads(context->pool) : 1;
}

bool mmcl__works_itself(const mmcl_context *context)
{
    return context->executor.run == NULL;
}

mmcl_status mmcl__parallel(const mmcl_context *context, size_t n, mmcl__task task, void *argument)
{
    struct claim claim = {.task = task, .argument = argument, .n = n};
    atomic_init(&claim.next, 0);
    uint32_t width = (uint32_t) MMCL__MIN(n, mmcl__width(context));
    /* Several threads may be here for one context, in calls of class "concurrent on const": the flag is theirs to share. */
    atomic_flag *busy = (atomic_flag *) &context->busy;
    if (width < 2 || atomic_flag_test_and_set_explicit(busy, memory_order_acquire)) {
        work(&claim, 0);
        return MMCL_OK;
    }
    mmcl_status status = MMCL_OK;
    if (context->executor.run == NULL)
        mmcl__pool_run(context->pool, width, work, &claim);
    else if (context->executor.run(context->executor.user, width, work, &claim) != 0)
        status = MMCL_E_CALLBACK;
    atomic_flag_clear_explicit(busy, memory_order_release);
    return status;
}

/*
 * Enough lanes for the threads of a large machine, few enough that their sums stay small beside the inputs; a power of two, so that
 * two, four and eight threads get equal shares.
 */
mmcl__lanes mmcl__lanes_of(size_t n, size_t bytes)
{
    const size_t most = 16, least = 2, budget = (size_t) 32 << 20;
    size_t       count = most;
    while (count > least && count > budget / MMCL__MAX(bytes, 1))
        count /= 2;
    return (mmcl__lanes){.n = n, .count = MMCL__MAX(1, MMCL__MIN(count, n))};
}
