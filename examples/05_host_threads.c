/* The host lends its threads: an executor instead of threads of the library's own, with the same bits as a single thread. */
#include <mmcl/mmcl.h>

#include "sampler.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 6000, COLS = 32, SOURCES = 8, WIDTH = 2 };

typedef struct job {
    void   (*task)(void *arg, uint32_t i);
    void    *arg;
    uint32_t i;
} job;

static void *run_job(void *user)
{
    job *j = user;
    j->task(j->arg, j->i);
    return NULL;
}

/* A real host hands the tasks to its pool; here each gets a thread, and one that cannot be started runs at once. */
static int32_t run(void *user, uint32_t n, void (*task)(void *arg, uint32_t i), void *arg)
{
    pthread_t threads[WIDTH];
    job       jobs[WIDTH];
    int       started[WIDTH];
    size_t   *calls = user;
    ++*calls;
    for (uint32_t i = 0; i < n; i++) {
        jobs[i]    = (job){task, arg, i};
        started[i] = pthread_create(&threads[i], NULL, run_job, &jobs[i]) == 0;
        if (!started[i])
            task(arg, i);
    }
    for (uint32_t i = 0; i < n; i++)
        if (started[i])
            pthread_join(threads[i], NULL);
    return 0;
}

/* Fits ICA and transforms the first rows. */
static mmcl_status work(const mmcl_context_options *options, const mmcl_matrix *rows, float *out)
{
    mmcl_context   *context = NULL;
    mmcl_transform *ica     = NULL;
    mmcl_matrix     first   = *rows;
    first.rows              = 100;
    mmcl_status status      = mmcl_context_create(&context, options);
    if (status == MMCL_OK)
        status = mmcl_transform_create_spec(&ica, context, "ica:8");
    if (status == MMCL_OK)
        status = mmcl_transform_fit(ica, rows, 1, NULL);
    if (status == MMCL_OK)
        status = mmcl_transform_apply(ica, &first, out, 0);
    mmcl_transform_destroy(ica);
    mmcl_context_destroy(context);
    return status;
}

int main(void)
{
    static float         features[ROWS * COLS], mixing[SOURCES * COLS], lent[100 * SOURCES], alone[100 * SOURCES];
    size_t               calls    = 0;
    mmcl_executor        executor = {.struct_size = sizeof executor, .user = &calls, .run = run, .width = WIDTH};
    mmcl_context_options options  = {.struct_size = sizeof options, .executor = &executor};
    mmcl_matrix          rows     = {.data = features, .rows = ROWS, .cols = COLS};
    sampler              s        = {5};

    sample_matrix(&s, SOURCES * COLS, mixing);
    sample_mixed(&s, mixing, SOURCES, ROWS, COLS, features);
    if (work(&options, &rows, lent) != MMCL_OK || work(NULL, &rows, alone) != MMCL_OK)
        return EXIT_FAILURE;
    int equal = memcmp(lent, alone, sizeof lent) == 0;
    printf("the executor was called %zu times; same bits as one thread: %s\n", calls, equal ? "yes" : "no");
    return equal && calls > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
