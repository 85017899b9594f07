#include "classify/classify.h"

#include "classify/bottleneck.h"
#include "classify/cache.h"
#include "classify/cache_kernels.h"
#include "classify/kernel.h"
#include "linalg/blas.h"
#include "transform/transform.h"

#include <math.h>
#include <string.h>

#define ROW_FLOATS 24576   /* 96 KiB of rows: at least one of MMCL_MAX_COLUMNS */
#define SCORE_FLOATS 12288 /* 48 KiB of scores */
#define TILE_MOST 128      /* rows */

/* The same for heads with more than a linear block, whose rows are there twice: as they came, and mapped. */
#define SHAPED_ROW_FLOATS 16384 /* 64 KiB */

static_assert(ROW_FLOATS >= MMCL_MAX_COLUMNS && SHAPED_ROW_FLOATS >= MMCL_MAX_COLUMNS, "a tile holds a row");
static_assert(SHAPED_ROW_FLOATS <= MMCL__BOTTLENECK_FLOATS, "a bottleneck takes a tile");
static_assert(MMCL__CACHE_SCORES >= SCORE_FLOATS, "a cache takes all classes at once");

static mmcl_status read_rows(const mmcl__features *features, size_t first, size_t n, float *out, mmcl__place *bad)
{
    return mmcl__read_f32(features->rows, first, n, out, bad);
}

mmcl__features mmcl__features_of(const mmcl_matrix *rows)
{
    return (mmcl__features){.read = read_rows, .rows = rows};
}

/* One call: the tiles are its tasks, and the failure in the lowest row is the one reported. */
struct job {
    const mmcl_classifier *classifier;
    const mmcl__features    *features;
    mmcl__wanted          *wanted;
    size_t                 tile, block; /* rows and classes at a time */
    mmcl__task             run;
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

/* out [n, count] = keep out + linear scores of classes from ... from + count - 1. */
static void score_block(const mmcl_classifier *classifier, const float *rows, size_t n, size_t from, size_t count, float keep,
                        float *out)
{
    size_t       d    = classifier->width;
    const float *bias = classifier->intercepts_f32 + from;
    const float *weights = classifier->weights_f32 + from * d;
    if (n == 1 && keep == 0 && d % MMCL__KEY_PAD == 0) /* what a BLAS does for one row is slow */
        mmcl__cache_kernel()->dots(d, count, rows, weights, out);
    else
        mmcl__gemm_f32(false, true, n, count, d, 1, rows, d, weights, d, keep, out, count);
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

/* One tile of rows and its answers so far. */
struct tile {
    size_t first, n;
    float  best[TILE_MOST];
    size_t answer[TILE_MOST];
    double peak[TILE_MOST], sum[TILE_MOST]; /* largest score / temperature, and the sum of exp(score / temperature - peak) */
    double own[TILE_MOST];                  /* the label's; -infinity: it is not among the mask's */
};

/* The sums of the softmax so far, over blocks taken in order. */
static void update_softmax(const mmcl__wanted *wanted, struct tile *tile, size_t from, size_t count, const float *scores)
{
    for (size_t i = 0; i < tile->n; i++) {
        size_t label = wanted->labels != NULL ? (size_t) wanted->labels[tile->first + i] : SIZE_MAX;
        for (size_t k = 0; k < count; k++) {
            double score = (double) scores[i * count + k] / wanted->temperature;
            if (wanted->mask != NULL && !wanted->mask[from + k])
                continue;
            if (score > tile->peak[i]) {
                tile->sum[i] *= exp(tile->peak[i] - score);
                tile->peak[i] = score;
            }
            tile->sum[i] += exp(score - tile->peak[i]);
            if (from + k == label)
                tile->own[i] = score;
        }
    }
}

static void open_tile(const struct job *job, size_t index, struct tile *tile)
{
    tile->first = index * job->tile;
    tile->n     = MMCL__MIN(job->tile, job->features->rows->rows - tile->first);
    for (size_t i = 0; i < tile->n; i++) {
        tile->answer[i] = SIZE_MAX;
        tile->peak[i] = tile->own[i] = -INFINITY;
        tile->sum[i]                 = 0;
    }
}

static bool read_tile(struct job *job, const struct tile *tile, float *rows)
{
    mmcl__place bad    = {0, 0};
    mmcl_status status = job->features->read(job->features, tile->first, tile->n, rows, &bad);
    if (status != MMCL_OK)
        fail(job, tile->first, status, &bad);
    return status == MMCL_OK;
}

/* Scores [n, count] of classes from ... from + count - 1 are there. */
static void take_scores(const struct job *job, struct tile *tile, size_t from, size_t count, const float *scores)
{
    const mmcl__wanted *wanted = job->wanted;
    if (wanted->scores != NULL)
        for (size_t i = 0; i < tile->n; i++)
            memcpy(wanted->scores + (tile->first + i) * wanted->stride + from, scores + i * count, count * sizeof *scores);
    update_best(wanted, tile->n, from, count, scores, tile->best, tile->answer);
    if (wanted->confidence != NULL)
        update_softmax(wanted, tile, from, count, scores);
}

static void close_tile(struct job *job, const struct tile *tile)
{
    const mmcl__wanted *wanted  = job->wanted;
    size_t              correct = 0;
    for (size_t i = 0; i < tile->n; i++) {
        if (wanted->classes != NULL)
            wanted->classes[tile->first + i] = (int64_t) tile->answer[i];
        if (wanted->confidence != NULL)
            wanted->confidence[tile->first + i] = 1 / tile->sum[i];
        if (wanted->surprise != NULL)
            wanted->surprise[tile->first + i] = log(tile->sum[i]) + tile->peak[i] - tile->own[i];
        correct += wanted->labels != NULL && wanted->labels[tile->first + i] == (int64_t) tile->answer[i];
    }
    atomic_fetch_add_explicit(&job->correct, correct, memory_order_relaxed);
}

static void linear_tile(void *argument, size_t index, uint32_t worker)
{
    (void) worker;
    struct job            *job        = argument;
    const mmcl_classifier *classifier = job->classifier;
    float                  rows[ROW_FLOATS] __attribute__((aligned(64))), scores[SCORE_FLOATS] __attribute__((aligned(64)));
    struct tile            tile;
    open_tile(job, index, &tile);
    if (!read_tile(job, &tile, rows))
        return;
    for (size_t from = 0, count; from < classifier->classes; from += count) {
        count = MMCL__MIN(job->block, classifier->classes - from);
        score_block(classifier, rows, tile.n, from, count, 0, scores);
        take_scores(job, &tile, from, count, scores);
    }
    close_tile(job, &tile);
}

/* The rows through the map, where there is one, in `mapped`. NULL when the job has failed. */
static const float *map_tile(struct job *job, const struct tile *tile, const float *rows, float *mapped)
{
    const mmcl_classifier *classifier = job->classifier;
    if (classifier->map == NULL)
        return rows;
    mmcl_matrix view   = {.data = rows, .rows = tile->n, .cols = classifier->inputs};
    mmcl__place bad    = {0, 0};
    size_t      cols   = classifier->kernel != NULL ? classifier->kernel->cols : classifier->width;
    mmcl_status status = mmcl__transform_apply(classifier->map, &view, mapped, cols, &bad);
    if (status != MMCL_OK) {
        bad.row += tile->first;
        fail(job, tile->first, status, &bad);
        return NULL;
    }
    if (classifier->unit_mapped)
        mmcl__unit_rows_f32(tile->n, cols, mapped, mapped, cols);
    return mapped;
}

/* Adds the cache's part to the scores of all classes; false when the job has failed. */
static bool add_cache(struct job *job, const struct tile *tile, const float *rows, float *scores)
{
    const mmcl_classifier *classifier = job->classifier;
    const mmcl__place      place      = {tile->first, 0};
    mmcl_status            status = mmcl__cache_add_scores(classifier->cache, rows, tile->n, scores, classifier->classes);
    if (status != MMCL_OK)
        fail(job, tile->first, status, &place);
    return status == MMCL_OK;
}

static void shaped_tile(void *argument, size_t index, uint32_t worker)
{
    (void) worker;
    struct job            *job        = argument;
    const mmcl_classifier *classifier = job->classifier;
    float                  rows[SHAPED_ROW_FLOATS] __attribute__((aligned(64))), mapped[SHAPED_ROW_FLOATS] __attribute__((aligned(64)));
    float                  scores[MMCL__CACHE_SCORES] __attribute__((aligned(64)));
    struct tile            tile;
    open_tile(job, index, &tile);
    if (!read_tile(job, &tile, rows))
        return;
    if (classifier->unit_rows)
        mmcl__unit_rows_f32(tile.n, classifier->inputs, rows, rows, classifier->inputs);
    const float *x = map_tile(job, &tile, rows, mapped);
    if (x != NULL && classifier->kernel != NULL) { /* into the buffer that does not hold x: a head with a kernel or a bottleneck has no cache */
        float *kernels = x == rows ? mapped : rows;
        mmcl__kernel_apply(classifier->kernel, x, tile.n, kernels);
        x = kernels;
    }
    if (x != NULL && classifier->bottleneck != NULL) {
        float *bent = x == rows ? mapped : rows;
        mmcl__bottleneck_apply(classifier->bottleneck, x, tile.n, bent);
        x = bent;
    }
    for (size_t from = 0, count; x != NULL && from < classifier->classes; from += count) {
        count = MMCL__MIN(job->block, classifier->classes - from);
        if (classifier->weights != NULL)
            score_block(classifier, x, tile.n, from, count, 0, scores);
        else
            memset(scores, 0, tile.n * count * sizeof *scores);
        if (classifier->cache != NULL && !add_cache(job, &tile, rows, scores))
            return;
        take_scores(job, &tile, from, count, scores);
    }
    if (x != NULL)
        close_tile(job, &tile);
}

/* Rows and classes at a time. */
static void shape_job(struct job *job)
{
    const mmcl_classifier *classifier = job->classifier;
    size_t                 columns    = MMCL__MAX(classifier->inputs, classifier->width);
    bool                   linear     = mmcl__classifier_is_linear(classifier);
    if (classifier->kernel != NULL)
        columns = MMCL__MAX(columns, classifier->kernel->cols);
    job->tile = MMCL__MAX(MMCL__MIN((size_t) TILE_MOST, (linear ? ROW_FLOATS : SHAPED_ROW_FLOATS) / columns), 1);
    if (classifier->cache != NULL)
        job->tile = MMCL__MAX(MMCL__MIN(job->tile, MMCL__CACHE_SCORES / classifier->classes), 1);
    job->block = (linear ? SCORE_FLOATS : MMCL__CACHE_SCORES) / job->tile;
    job->run   = linear ? linear_tile : shaped_tile;
}

mmcl_status mmcl__classify(const mmcl_classifier *classifier, const mmcl__features *features, mmcl__wanted *wanted)
{
    const mmcl_context *context = classifier->context;
    struct job          job = {.classifier = classifier, .features = features, .wanted = wanted, .failed_row = SIZE_MAX};
    shape_job(&job);
    atomic_init(&job.correct, 0);
    atomic_flag_clear(&job.lock);
    mmcl__blas_enter(context->blas_policy);
    mmcl_status status = mmcl__parallel(context, (features->rows->rows + job.tile - 1) / job.tile, job.run, &job);
    mmcl__blas_leave(context->blas_policy);
    wanted->correct = atomic_load(&job.correct);
    return job.failed_row != SIZE_MAX ? job.status : status;
}

mmcl_status mmcl__accuracy(mmcl_context *context, const mmcl_classifier *classifier, const mmcl__features *features,
                           const int64_t *labels, const uint8_t *mask, const char *name, double *accuracy)
{
    mmcl__wanted wanted = {.mask = mask, .labels = labels};
    size_t       rows   = features->rows->rows;
    mmcl_status  status = mmcl__classify(classifier, features, &wanted);
    if (status != MMCL_OK)
        return mmcl__read_failed(context, status, name, SIZE_MAX, &wanted.bad);
    *accuracy = rows > 0 ? (double) wanted.correct / (double) rows : (double) NAN;
    return MMCL_OK;
}
