/* A long fit that reports how far it is, and that another thread stops. */
#include <mmcl/mmcl.h>

#include "sampler.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>

enum { ROWS = 4000, COLS = 24 };

typedef struct watch {
    mmcl_context *context;
    sem_t         seen, cancelled;
    unsigned      events, final_events;
} watch;

/* A host would draw a bar here; a nonzero answer would stop the fit, too. */
static int32_t on_progress(void *user, const mmcl_progress *progress)
{
    watch *w = user;
    w->events++;
    w->final_events += progress->finished;
    if (progress->finished)
        printf("last event: %s\n", mmcl_status_string(progress->status));
    if (w->events == 3) { /* waits here only so that this example always goes the same way */
        printf("%s: %llu of at most %llu steps\n", progress->operation, (unsigned long long) progress->step,
               (unsigned long long) progress->total);
        sem_post(&w->seen);
        sem_wait(&w->cancelled);
    }
    return 0;
}

/* Somebody pressed a button. */
static void *press_cancel(void *user)
{
    watch *w = user;
    sem_wait(&w->seen);
    mmcl_context_cancel(w->context);
    sem_post(&w->cancelled);
    return NULL;
}

int main(void)
{
    static float         features[ROWS * COLS];
    watch                w       = {0};
    mmcl_context_options options = {.struct_size = sizeof options, .progress = on_progress, .progress_user = &w};
    mmcl_matrix          rows    = {.data = features, .rows = ROWS, .cols = COLS};
    mmcl_transform      *ica     = NULL;
    sampler              s       = {4};
    pthread_t            thread;

    sample_matrix(&s, ROWS * COLS, features);
    if (mmcl_context_create(&w.context, &options) != MMCL_OK || mmcl_transform_create_spec(&ica, w.context, "ica:24") != MMCL_OK)
        return EXIT_FAILURE;
    sem_init(&w.seen, 0, 0);
    sem_init(&w.cancelled, 0, 0);
    if (pthread_create(&thread, NULL, press_cancel, &w) != 0)
        return EXIT_FAILURE;
    mmcl_status first = mmcl_transform_fit(ica, &rows, 1, NULL);
    sem_post(&w.seen); /* had the fit failed early, the other thread would still wait */
    pthread_join(thread, NULL);
    unsigned final_events = w.final_events;

    mmcl_context_cancel_clear(w.context); /* the handle is as before the fit, so it can be tried again */
    mmcl_context_set_progress(w.context, NULL, NULL);
    mmcl_status second = mmcl_transform_fit(ica, &rows, 1, NULL);
    printf("first: %s; second: %s\n", mmcl_status_string(first), mmcl_status_string(second));
    mmcl_transform_destroy(ica);
    mmcl_context_destroy(w.context);
    return first == MMCL_E_CANCELLED && second == MMCL_OK && final_events == 1 ? EXIT_SUCCESS : EXIT_FAILURE;
}
