/* What a cache adds to the scores of rows, in tiles on the stack; and the linear block that goes with it. */
#include "classify/cache.h"

#include "classify/cache_kernels.h"
#include "linalg/blas.h"
#include "linalg/convert.h"
#include "transform/transform.h"

#include <math.h>
#include <string.h>

#define SEEN_FLOATS 16384 /* 64 KiB of rows as keys are kept: at least one */
#define TILE_FLOATS 8192  /* 32 KiB of affinities */
#define FEW_ROWS 2        /* up to so many, products row by row are faster than those of matrices */

static_assert(SEEN_FLOATS >= MMCL_MAX_COLUMNS && MMCL_MAX_COLUMNS % MMCL__KEY_PAD == 0, "a tile holds a row");
static_assert(2 * TILE_FLOATS >= MMCL_MAX_COLUMNS, "a tile holds half a row");

/* ------------------------------------------------------------------------------------------------------ affinities --- */

/* A tile of rows as keys are kept. */
struct seen {
    size_t n, stride;
    float  lo[SEEN_FLOATS / MMCL__KEY_PAD], hi[SEEN_FLOATS / MMCL__KEY_PAD]; /* of each row's affinities, for min_max */
    float  u[SEEN_FLOATS] __attribute__((aligned(64)));
    float  scale[SEEN_FLOATS / MMCL__KEY_PAD]; /* of each row's code, where keys are integers */
    int16_t code[SEEN_FLOATS] __attribute__((aligned(64)));
};

/* Puts even columns before odd ones, as mmcl__cache_kernels.dots_narrow takes a row; `scratch` [TILE_FLOATS]. */
static void split_columns(size_t width, float *row, float *scratch)
{
    for (size_t i = 0; i < width / 2; i++) {
        scratch[i] = row[2 * i + 1];
        row[i]     = row[2 * i];
    }
    memcpy(row + width / 2, scratch, width / 2 * sizeof *row);
}

/* out [rows, count] of keys from ... from + count - 1. */
static void affinities(const mmcl__cache *cache, const struct seen *seen, size_t from, size_t count, float *out)
{
    const mmcl__cache_kernels *kernels = mmcl__cache_kernel();
    const size_t               width = cache->stride;
    for (size_t i = 0; i < seen->n && cache->narrow != NULL; i++)
        kernels->dots_narrow(width, count, seen->u + i * seen->stride, cache->narrow + from * (width / 2), out + i * count);
    for (size_t i = 0; i < seen->n && cache->coarse != NULL; i++)
        kernels->dots_coarse(width, count, seen->code + i * width, seen->scale[i], cache->coarse + from * width, cache->steps + from, out + i * count);
    if (cache->narrow != NULL || cache->coarse != NULL)
        return;
    for (size_t i = 0; i < seen->n && seen->n <= FEW_ROWS; i++)
        kernels->dots(width, count, seen->u + i * seen->stride, cache->key + from * width, out + i * count);
    if (seen->n > FEW_ROWS)
        mmcl__gemm_f32(false, true, seen->n, count, width, 1, seen->u, seen->stride, cache->key + from * width, width, 0, out, count);
}

static void set_ranges(const mmcl__cache *cache, struct seen *seen, size_t block, float *tile)
{
    for (size_t i = 0; i < seen->n; i++) {
        seen->lo[i] = INFINITY;
        seen->hi[i] = -INFINITY;
    }
    for (size_t from = 0, count; from < cache->keys; from += count) {
        count = MMCL__MIN(block, cache->keys - from);
        affinities(cache, seen, from, count, tile);
        for (size_t i = 0; i < seen->n; i++)
            for (size_t j = 0; j < count; j++) {
                seen->lo[i] = fminf(seen->lo[i], tile[i * count + j]);
                seen->hi[i] = fmaxf(seen->hi[i], tile[i * count + j]);
            }
    }
}

/* values = w exp(-beta (1 - a)) of one row with the keys of a block. */
static void decay(const mmcl__cache *cache, const struct seen *seen, size_t i, size_t from, size_t count, float *values)
{
    float beta = (float) cache->beta, factor = beta, shift = -beta;
    if (cache->min_max) {
        float range = seen->hi[i] - seen->lo[i];
        factor      = range > 0 ? beta / range : 0;
        shift       = range > 0 ? -factor * seen->hi[i] : 0;
    }
    mmcl__cache_kernel()->decay(count, factor, shift, cache->weights != NULL ? cache->weights + from : NULL, values);
}

/* Adds the sums over a block of keys, the first of which belongs to class k. */
static void add_sums(const mmcl__cache *cache, size_t from, size_t count, size_t k, const float *values, float *scores)
{
    const float alpha = (float) cache->alpha;
    for (size_t j = from; j < from + count; k++) {
        size_t end = MMCL__MIN(cache->starts[k + 1], from + count);
        float  sum[4] = {0};
        for (; j + 4 <= end; j += 4)
            for (int l = 0; l < 4; l++)
                sum[l] += values[j - from + (size_t) l];
        for (; j < end; j++)
            sum[0] += values[j - from];
        scores[k] += alpha * ((sum[0] + sum[1]) + (sum[2] + sum[3]));
    }
}

static mmcl_status add_tile(const mmcl__cache *cache, const float *rows, size_t n, size_t columns, float *scores, size_t stride)
{
    struct seen  seen;
    float        tile[TILE_FLOATS] __attribute__((aligned(64)));
    const size_t block = TILE_FLOATS / n;
    size_t       k     = 0;
    seen.n             = n;
    seen.stride        = columns;
    MMCL__TRY(mmcl__cache_see(cache, rows, n, seen.u, columns));
    for (size_t i = 0; i < n && cache->narrow != NULL; i++)
        split_columns(cache->stride, seen.u + i * columns, tile);
    for (size_t i = 0; i < n && cache->coarse != NULL; i++)
        seen.scale[i] = mmcl__code_row(cache->stride, seen.u + i * columns, seen.code + i * cache->stride);
    if (cache->min_max)
        set_ranges(cache, &seen, block, tile);
    for (size_t from = 0, count; from < cache->keys; from += count) {
        count = MMCL__MIN(block, cache->keys - from);
        while (cache->starts[k + 1] <= from)
            k++;
        affinities(cache, &seen, from, count, tile);
        for (size_t i = 0; i < n; i++) {
            decay(cache, &seen, i, from, count, tile + i * count);
            add_sums(cache, from, count, k, tile + i * count, scores + i * stride);
        }
    }
    return MMCL_OK;
}

/* ------------------------------------------------------------------------------------------------------- attention --- */

/* Adds eta scale text[k] . t(x) for n rows; products of unit rows need no largest exponent taken away. */
static void add_attention(const mmcl__cache *cache, const float *rows, size_t n, float *scores, size_t stride)
{
    const size_t d = cache->inputs, block = TILE_FLOATS / n;
    float        mean[SEEN_FLOATS] __attribute__((aligned(64))), tile[TILE_FLOATS] __attribute__((aligned(64)));
    float        all[SEEN_FLOATS / MMCL__KEY_PAD] = {0};
    for (size_t from = 0, count; from < cache->classes; from += count) {
        count             = MMCL__MIN(block, cache->classes - from);
        const float *text = cache->text_f32 + from * d;
        mmcl__gemm_f32(false, true, n, count, d, 1, rows, d, text, d, 0, tile, count);
        mmcl__cache_kernel()->decay(n * count, 1, 0, NULL, tile);
        for (size_t i = 0; i < n; i++)
            for (size_t k = 0; k < count; k++)
                all[i] += tile[i * count + k];
        mmcl__gemm_f32(false, false, n, d, count, 1, tile, count, text, d, from > 0 ? 1 : 0, mean, d);
    }
    for (size_t from = 0, count; from < cache->classes; from += count) {
        count = MMCL__MIN(block, cache->classes - from);
        mmcl__gemm_f32(false, true, n, count, d, (float) (cache->eta * cache->scale), mean, d, cache->text_f32 + from * d, d, 0, tile, count);
        for (size_t i = 0; i < n; i++)
            for (size_t k = 0; k < count; k++)
                scores[i * stride + from + k] += tile[i * count + k] / all[i];
    }
}

mmcl_status mmcl__cache_add_scores(const mmcl__cache *cache, const float *rows, size_t n, float *scores, size_t stride)
{
    const size_t columns = mmcl__cache_columns(cache), most = MMCL__MIN(SEEN_FLOATS / MMCL__MAX(columns, cache->inputs), SEEN_FLOATS / MMCL__KEY_PAD);
    for (size_t first = 0, count; first < n; first += count) {
        count = MMCL__MIN(most, n - first);
        MMCL__TRY(add_tile(cache, rows + first * cache->inputs, count, columns, scores + first * stride, stride));
        if (cache->text_f32 != NULL && cache->eta != 0)
            add_attention(cache, rows + first * cache->inputs, count, scores + first * stride, stride);
    }
    return MMCL_OK;
}

/* ---------------------------------------------------------------------------------------------------- linear block --- */

#define VISUAL_ROWS 64 /* at a time */

mmcl_status mmcl__cache_visual(mmcl_context *context, size_t classes, size_t inputs, const double *text, size_t n, const float *raw,
                               double *visual)
{
    double     *rows = mmcl__alloc(context, VISUAL_ROWS * inputs, sizeof *rows), *p = mmcl__alloc(context, VISUAL_ROWS * classes, sizeof *p);
    double     *all    = mmcl__calloc(context, classes, sizeof *all);
    mmcl_status status = rows != NULL && p != NULL && all != NULL ? MMCL_OK : MMCL_E_NOMEM;
    for (size_t first = 0, count; first < n && status == MMCL_OK; first += count) {
        count = MMCL__MIN((size_t) VISUAL_ROWS, n - first);
        mmcl__convert()->f32_to_f64(count * inputs, raw + first * inputs, rows);
        mmcl__gemm_f64(false, true, classes, count, inputs, 1, text, inputs, rows, inputs, 0, p, count);
        for (size_t k = 0; k < classes; k++)
            for (size_t j = 0; j < count; j++)
                all[k] += p[k * count + j] = exp(p[k * count + j]);
        mmcl__gemm_f64(false, false, classes, inputs, count, 1, p, count, rows, inputs, first > 0 ? 1 : 0, visual, inputs);
    }
    for (size_t k = 0; k < classes && status == MMCL_OK; k++)
        mmcl__scale_f64(inputs, 1 / all[k], visual + k * inputs);
    mmcl__free(context, rows, VISUAL_ROWS * inputs, sizeof *rows);
    mmcl__free(context, p, VISUAL_ROWS * classes, sizeof *p);
    mmcl__free(context, all, classes, sizeof *all);
    return status;
}

mmcl_status mmcl__cache_linear(const mmcl__cache *cache, double *weights)
{
    const size_t  size = cache->classes * cache->inputs;
    const double *base = cache->base != NULL ? cache->base : cache->text;
    mmcl_status   status = mmcl__cache_visual(cache->context, cache->classes, cache->inputs, cache->text, cache->keys, cache->raw, weights);
    for (size_t i = 0; i < size && status == MMCL_OK; i++)
        weights[i] = cache->scale * (base[i] + cache->gamma * weights[i]);
    return status;
}
