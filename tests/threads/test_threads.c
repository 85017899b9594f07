/*
 * The promises of doc/threading.md: contexts are independent, calls of class "concurrent on const" may share a handle, and
 * results do not depend on who lends how many threads.
 */
#include <mmcl/mmcl.h>

#include <check.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ROWS = 3001, COLS = 20, CLASSES = 4, OUTPUTS = 6 };

static float   x[ROWS * COLS];
static int64_t labels[ROWS];

/* Cubes of uniform numbers, mixed, with the classes a little apart. */
static void fill(void)
{
    uint32_t state = 1;
    float    source[COLS];
    for (int i = 0; i < ROWS; i++) {
        labels[i] = i % CLASSES;
        for (int j = 0; j < COLS; j++) {
            state         = state * 1664525u + 1013904223u;
            const float u = (float) (state >> 8) / (1 << 23) - 1;
            source[j]     = u * u * u + 0.2f * u;
        }
        for (int j = 0; j < COLS; j++)
            x[i * COLS + j] = source[j] + 0.5f * source[(j + 1) % COLS] - 0.25f * source[(j + 5) % COLS] + 0.3f * (j == labels[i]);
    }
}

static mmcl_matrix rows_of(void)
{
    return (mmcl_matrix){.data = x, .rows = ROWS, .cols = COLS};
}

/* All results of a job: a transform, what it makes of the rows, and a head on that. */
typedef struct results {
    float   codes[ROWS * OUTPUTS];
    float   scores[ROWS * CLASSES];
    int64_t answers[ROWS];
    double  components[OUTPUTS * COLS];
    double  weights[CLASSES * OUTPUTS];
    double  objective;
} results;

typedef struct handles {
    mmcl_context    *context;
    mmcl_transform  *transform;
    mmcl_classifier *head;
    mmcl_pipeline   *pipeline;
} handles;

static void close_handles(handles *h)
{
    mmcl_pipeline_destroy(h->pipeline);
    mmcl_classifier_destroy(h->head);
    mmcl_transform_destroy(h->transform);
    mmcl_context_destroy(h->context);
}

/* What calls of class "concurrent on const" answer. */
static mmcl_status ask(const handles *h, results *r)
{
    const mmcl_matrix rows = rows_of();
    mmcl_status       status;
    if ((status = mmcl_transform_apply(h->transform, &rows, r->codes, 0)) != MMCL_OK ||
        (status = mmcl_pipeline_predict(h->pipeline, &rows, r->answers, r->scores)) != MMCL_OK)
        return status;
    return mmcl_classifier_weights(h->head, r->weights, NULL);
}

static mmcl_status run_job(const mmcl_context_options *options, handles *h, results *r)
{
    const mmcl_matrix rows  = rows_of();
    mmcl_labelled     train = {.features = {.data = r->codes, .rows = ROWS, .cols = OUTPUTS}, .labels = labels};
    mmcl_status       status;
    memset(h, 0, sizeof *h);
    if ((status = mmcl_context_create(&h->context, options)) != MMCL_OK ||
        (status = mmcl_transform_create_spec(&h->transform, h->context, "pca:12+ica:6")) != MMCL_OK ||
        (status = mmcl_transform_fit(h->transform, &rows, 1, NULL)) != MMCL_OK ||
        (status = mmcl_transform_apply(h->transform, &rows, r->codes, 0)) != MMCL_OK ||
        (status = mmcl_transform_field(h->transform, 1, MMCL_FIELD_COMPONENTS, r->components, OUTPUTS * COLS, NULL)) != MMCL_OK ||
        (status = mmcl_logreg_fit(&h->head, h->context, &train, CLASSES, NULL, NULL, NULL)) != MMCL_OK ||
        (status = mmcl_logreg_objective(h->head, &train, 1, &r->objective)) != MMCL_OK ||
        (status = mmcl_pipeline_create(&h->pipeline, h->context, h->transform, h->head, NULL)) != MMCL_OK)
        return status;
    return ask(h, r);
}

static results serial; /* the job on one thread */

static void setup(void)
{
    handles h;
    fill();
    ck_assert_int_eq(run_job(NULL, &h, &serial), MMCL_OK);
    close_handles(&h);
}

/* ------------------------------------------------------------------------------------------------- independence --- */

static void *job_main(void *argument)
{
    handles  h;
    results *r      = calloc(1, sizeof *r);
    int     *failed = argument;
    *failed         = r == NULL || run_job(NULL, &h, r) != MMCL_OK || memcmp(r, &serial, sizeof *r) != 0;
    close_handles(&h);
    free(r);
    return NULL;
}

START_TEST(contexts_are_independent)
{
    pthread_t threads[3];
    int       failed[3] = {1, 1, 1};
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, job_main, &failed[i]), 0);
    for (int i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
        ck_assert_int_eq(failed[i], 0);
    }
}
END_TEST

struct asker {
    const handles *h;
    int            failed;
};

static void *ask_main(void *argument)
{
    struct asker *asker = argument;
    results      *r     = malloc(sizeof *r);
    for (int round = 0; round < 3 && r != NULL && !asker->failed; round++) {
        memcpy(r, &serial, sizeof *r);
        memset(r->codes, 0, sizeof r->codes);
        memset(r->scores, 0, sizeof r->scores);
        memset(r->answers, 0, sizeof r->answers);
        asker->failed = ask(asker->h, r) != MMCL_OK || memcmp(r, &serial, sizeof *r) != 0;
    }
    free(r);
    return NULL;
}

/* Loops over contexts of 1 and 2 threads. */
START_TEST(const_calls_share_a_handle)
{
    const mmcl_context_options options = {.struct_size = sizeof options, .threads = (uint32_t) _i};
    static results             r;
    handles                    h;
    pthread_t                  threads[4];
    struct asker               askers[4];
    ck_assert_int_eq(run_job(&options, &h, &r), MMCL_OK);
    for (int i = 0; i < 4; i++) {
        askers[i] = (struct asker){.h = &h};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, ask_main, &askers[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        ck_assert_int_eq(askers[i].failed, 0);
    }
    ck_assert_str_eq(mmcl_context_message(h.context), "");
    close_handles(&h);
}
END_TEST

/* -------------------------------------------------------------------------------------------------- bit identity --- */

static void equal_to_serial(const mmcl_context_options *options)
{
    static results r;
    handles        h;
    memset(&r, 0, sizeof r);
    ck_assert_int_eq(run_job(options, &h, &r), MMCL_OK);
    ck_assert_mem_eq(r.components, serial.components, sizeof r.components);
    ck_assert_mem_eq(r.weights, serial.weights, sizeof r.weights);
    ck_assert_mem_eq(&r, &serial, sizeof r);
    close_handles(&h);
}

START_TEST(any_thread_count_gives_the_same_bits)
{
    equal_to_serial(&(mmcl_context_options){.struct_size = sizeof(mmcl_context_options), .threads = (uint32_t) _i});
}
END_TEST

static int32_t run_reversed(void *user, uint32_t n, void (*task)(void *argument, uint32_t i), void *argument)
{
    ++*(unsigned *) user;
    for (uint32_t i = n; i-- > 0;)
        task(argument, i);
    return 0;
}

START_TEST(reversed_executor_gives_the_same_bits)
{
    unsigned                   runs     = 0;
    const mmcl_executor        executor = {.struct_size = sizeof executor, .user = &runs, .run = run_reversed, .width = (uint32_t) _i};
    const mmcl_context_options options  = {.struct_size = sizeof options, .executor = &executor};
    equal_to_serial(&options);
    ck_assert(_i == 1 || runs > 0); /* the work did go through it */
}
END_TEST

/* -------------------------------------------------------------------------------------------------- cancellation --- */

static void *cancel_main(void *context)
{
    mmcl_context_cancel(context);
    return NULL;
}

struct canceller {
    mmcl_context *context;
    bool          started;
};

static int32_t cancel_from_elsewhere(void *user, const mmcl_progress *progress)
{
    struct canceller *c = user;
    pthread_t         thread;
    if (!progress->finished && !c->started) {
        c->started = true;
        if (pthread_create(&thread, NULL, cancel_main, c->context) == 0)
            pthread_join(thread, NULL);
    }
    return 0;
}

START_TEST(another_thread_cancels)
{
    struct canceller           c       = {0};
    const mmcl_context_options options = {.struct_size = sizeof options, .threads = 2, .progress = cancel_from_elsewhere,
                                          .progress_user = &c};
    const mmcl_matrix          rows    = rows_of();
    mmcl_transform            *transform;
    ck_assert_int_eq(mmcl_context_create(&c.context, &options), MMCL_OK);
    ck_assert_int_eq(mmcl_transform_create_spec(&transform, c.context, "ica:6"), MMCL_OK);
    ck_assert_int_eq(mmcl_transform_fit(transform, &rows, 1, NULL), MMCL_E_CANCELLED);
    mmcl_context_cancel_clear(c.context);
    ck_assert_int_eq(mmcl_transform_fit(transform, &rows, 1, NULL), MMCL_OK);
    mmcl_transform_destroy(transform);
    mmcl_context_destroy(c.context);
}
END_TEST

/* A child may make a context of its own, whatever threads its parent had. */
START_TEST(a_forked_child_starts_afresh)
{
    const mmcl_context_options options = {.struct_size = sizeof options, .threads = 2};
    static results             r;
    handles                    h;
    int                        status;
    ck_assert_int_eq(run_job(&options, &h, &r), MMCL_OK);
    pid_t child = fork();
    if (child == 0) {
        handles own;
        memset(&r, 0, sizeof r);
        _exit(run_job(&options, &own, &r) != MMCL_OK || memcmp(&r, &serial, sizeof r) != 0);
    }
    ck_assert(child > 0 && waitpid(child, &status, 0) == child);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    close_handles(&h);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("threads");
    TCase *tcase = tcase_create("threads");
    tcase_add_unchecked_fixture(tcase, setup, NULL);
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, contexts_are_independent);
    tcase_add_loop_test(tcase, const_calls_share_a_handle, 1, 3);
    tcase_add_loop_test(tcase, any_thread_count_gives_the_same_bits, 2, 5);
    tcase_add_loop_test(tcase, reversed_executor_gives_the_same_bits, 1, 4);
    tcase_add_test(tcase, another_thread_cancels);
#ifndef __SANITIZE_THREAD__ /* which does not follow a fork */
    tcase_add_test(tcase, a_forked_child_starts_afresh);
#endif
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
