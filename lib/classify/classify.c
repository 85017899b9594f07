#include "classify/classify.h"

#include "linalg/blas.h"

#include <math.h>
#include <string.h>

#define ROW_FLOATS 24576   /* 96 KiB of rows: at least one of MMCL_MAX_COLUMNS */
#define SCORE_FLOATS 12288 /* 48 KiB of scores */
#define TILE_MOST 128      /* rows */

static_assert(ROW_FLOATS >= MMCL_MAX_COLUMNS, "a tile holds a row");

static mmcl_status read_rows(const mmcl__source *source, size_t first, size_t n, float *out, mmcl__place *bad)
{
    return mmcl__read_f32(source->rows, first, n, out, bad);
}

mmcl__source mmcl__source_of(const mmcl_matrix *rows)
{
    return (mmcl__source){.read = read_rows, .rows = rows};
}

/* One call: the tiles are its tasks, and the failure in the lowest row is the one reported. */
struct job {
    const mmcl_classifier *classifier;
    const mmcl__source    *source;
    mmcl__wanted          *wanted;
    size_t                 tile, block; /* rows and classes at a time */
    atomic_size_t          correct;
    atomic_flag            lock;        /* guards what follows */
    size_t                 failed_row;
    mmcl_status            status;
};

static void fail(struct job *job, size_t first, mmcl_status status, const mmcl__place *bad)
{
    while (atomic_flag_test_and_set_explicit(&job->lock, memory_order_acquire)) {
    }
    if (first < job->failed_row) {
        job->failed_row  = first;
        job->status      = status;
        job->wanted->bad = *bad;
    }
    atomic_flag_clear_explicit(&job->lock, memory_order_release);
}

/* Scores [n, count] of classes from ... from + count - 1. */
static void score_block(const mmcl_classifier *classifier, const float *rows, size_t n, size_t from, size_t count, float *out)
{
    size_t       d    = classifier->inputs;
    const float *bias = classifier->intercepts_f32 + from;
    mmcl__gemm_f32(false, true, n, count, d, 1, rows, d, classifier->weights_f32 + from * d, d, 0, out, count);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < count; k++)
            out[i * count + k] += bias[k];
}

/* The first class of highest score so far, over blocks taken in order. */
static void update_best(const mmcl__wanted *wanted, size_t n, size_t from, size_t count, const float *scores, float *best,
                        size_t *answer)
{
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < count; k++)
            if ((wanted->mask == NULL || wanted->mask[from + k]) && (answer[i] == SIZE_MAX || scores[i * count + k] > best[i])) {
                best[i]   = scores[i * count + k];
                answer[i] = from + k;
            }
}

static void answer_rows(struct job *job, size_t first, size_t n, const size_t *answer)
{
    const mmcl__wanted *wanted  = job->wanted;
    size_t              correct = 0;
    for (size_t i = 0; i < n; i++) {
        if (wanted->classes != NULL)
            wanted->classes[first + i] = (int64_t) answer[i];
        correct += wanted->labels != NULL && wanted->labels[first + i] == (int64_t) answer[i];
    }
    atomic_fetch_add_explicit(&job->correct, correct, memory_order_relaxed);
}

static void classify_tile(void *argument, size_t tile, uint32_t worker)
{
    (void) worker;
    struct job            *job        = argument;
    const mmcl_classifier *classifier = job->classifier;
    mmcl__wanted          *wanted     = job->wanted;
    size_t                 first = tile * job->tile, n = MMCL__MIN(job->tile, job->source->rows->rows - first);
    float                  rows[ROW_FLOATS] __attribute__((aligned(64))), scores[SCORE_FLOATS] __attribute__((aligned(64))), best[TILE_MOST];
    size_t                 answer[TILE_MOST];
    mmcl__place            bad    = {0, 0};
    mmcl_status            status = job->source->read(job->source, first, n, rows, &bad);
    if (status != MMCL_OK) {
        fail(job, first, status, &bad);
        return;
    }
    for (size_t i = 0; i < n; i++)
        answer[i] = SIZE_MAX;
    for (size_t from = 0, count; from < classifier->classes; from += count) {
        count = MMCL__MIN(job->block, classifier->classes - from);
        score_block(classifier, rows, n, from, count, scores);
        if (wanted->scores != NULL)
            for (size_t i = 0; i < n; i++)
                memcpy(wanted->scores + (first + i) * wanted->stride + from, scores + i * count, count * sizeof *scores);
        update_best(wanted, n, from, count, scores, best, answer);
    }
    answer_rows(job, first, n, answer);
}

mmcl_status mmcl__classify(const mmcl_classifier *classifier, const mmcl__source *source, mmcl__wanted *wanted)
{
    const mmcl_context *context = classifier->context;
    size_t              tile    = MMCL__MAX(MMCL__MIN((size_t) TILE_MOST, ROW_FLOATS / classifier->inputs), 1);
    struct job          job     = {.classifier = classifier, .source = source, .wanted = wanted, .tile = tile,
                                   .block = SCORE_FLOATS / tile, .failed_row = SIZE_MAX};
    atomic_init(&job.correct, 0);
    atomic_flag_clear(&job.lock);
    mmcl__blas_enter(context->blas_policy);
    mmcl_status status = mmcl__parallel(context, (source->rows->rows + tile - 1) / tile, classify_tile, &job);
    mmcl__blas_leave(context->blas_policy);
    wanted->correct = atomic_load(&job.correct);
    return job.failed_row != SIZE_MAX ? job.status : status;
}

mmcl_status mmcl__accuracy(mmcl_context *context, const mmcl_classifier *classifier, const mmcl__source *source,
                           const int64_t *labels, const uint8_t *mask, const char *name, double *accuracy)
{
    mmcl__wanted wanted = {.mask = mask, .labels = labels};
    size_t       rows   = source->rows->rows;
    mmcl_status  status = mmcl__classify(classifier, source, &wanted);
    if (status != MMCL_OK)
        return mmcl__read_failed(context, status, name, SIZE_MAX, &wanted.bad);
    *accuracy = rows > 0 ? (double) wanted.correct / (double) rows : (double) NAN;
    return MMCL_OK;
}
