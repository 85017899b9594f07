/* Kernels of caches: products of a row with keys, decaying exponentials, and sums over keys for many betas at a time. */
#include "classify/cache_kernels.h"

#include "linalg/vecmath.h"
#include "linalg/vectors.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#if defined __AVX2__
#include <immintrin.h>
#endif

typedef float   quad __attribute__((vector_size(16)));
typedef int32_t int_quad __attribute__((vector_size(16)));

#define EACH_LANE for (int l = 0; l < MMCL__GRID_LANES; l++)

#define LINE 16  /* floats or words of a cache line */
#define CODES 64 /* keys' codes of one */

static_assert(LINE % LANES == 0 && MMCL__KEY_PAD == 2 * LINE && MMCL__GRID_LANES % LANES == 0, "padding and lanes are whole vectors");

/* ------------------------------------------------------------------------------------------------------- products --- */

INLINE float total(vec sums)
{
    quad parts[LANES / 4], all = {0};
    memcpy(parts, &sums, sizeof parts);
    UNROLL
    for (int l = 0; l < LANES / 4; l++)
        all += parts[l];
    return (all[0] + all[2]) + (all[1] + all[3]);
}

/*
 * One row with `count` keys; several at a time share what is loaded of the row, and two sums for each hide the latency of additions.
 * The keys behind them are asked for early: a processor's own prefetching begins anew on each page.
 */
INLINE void dots_of(size_t width, int count, const float *row, const float *keys, float *out)
{
    vec sums[4][LINE / LANES] = {{{0}}};
    for (size_t i = 0; i < width; i += LINE) {
        UNROLL
        for (int j = 0; j < count; j++) {
            __builtin_prefetch(keys + (size_t) (count + j) * width + i);
            UNROLL
            for (int v = 0; v < LINE / LANES; v++)
                sums[j][v] += load(row + i + v * LANES) * load(keys + (size_t) j * width + i + v * LANES);
        }
    }
    UNROLL
    for (int j = 0; j < count; j++) {
        vec all = sums[j][0];
        UNROLL
        for (int v = 1; v < LINE / LANES; v++)
            all += sums[j][v];
        out[j] = total(all);
    }
}

static void dots(size_t width, size_t n, const float *row, const float *keys, float *out)
{
    size_t j = 0;
    for (; j + 4 <= n; j += 4)
        dots_of(width, 4, row, keys + j * width, out + j);
    for (; j < n; j++)
        dots_of(width, 1, row, keys + j * width, out + j);
}

INLINE void dots_narrow_of(size_t width, int count, const float *row, const uint32_t *keys, float *out)
{
    const size_t half = width / 2;
    vec          even[4] = {{0}}, odd[4] = {{0}};
    for (size_t i = 0; i < half; i += LINE) {
        UNROLL
        for (int j = 0; j < count; j++)
            __builtin_prefetch(keys + (size_t) (count + j) * half + i);
        UNROLL
        for (int v = 0; v < LINE; v += LANES) {
            vec x = load(row + i + (size_t) v), y = load(row + half + i + (size_t) v);
            UNROLL
            for (int j = 0; j < count; j++) {
                uvec pair = *(const loose_uvec *) (keys + (size_t) j * half + i + v);
                even[j] += x * (vec) (pair << 16);
                odd[j] += y * (vec) pair;
            }
        }
    }
    UNROLL
    for (int j = 0; j < count; j++)
        out[j] = total(even[j] + odd[j]);
}

static void dots_narrow(size_t width, size_t n, const float *row, const uint32_t *keys, float *out)
{
    size_t j = 0;
    for (; j + 4 <= n; j += 4)
        dots_narrow_of(width, 4, row, keys + j * (width / 2), out + j);
    for (; j < n; j++)
        dots_narrow_of(width, 1, row, keys + j * (width / 2), out + j);
}

/* Products of neighbours, added in pairs. */
INLINE ivec multiply(const int16_t *row, const int8_t *key)
{
#if defined __AVX512BW__
    return (ivec) _mm512_madd_epi16(_mm512_loadu_si512(row), _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *) key)));
#elif defined __AVX2__
    return (ivec) _mm256_madd_epi16(_mm256_loadu_si256((const __m256i *) row), _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *) key)));
#else
    ivec out;
    UNROLL
    for (int l = 0; l < LANES; l++)
        out[l] = row[2 * l] * key[2 * l] + row[2 * l + 1] * key[2 * l + 1];
    return out;
#endif
}

INLINE int32_t whole(ivec sums)
{
    int_quad parts[LANES / 4], all = {0};
    memcpy(parts, &sums, sizeof parts);
    UNROLL
    for (int l = 0; l < LANES / 4; l++)
        all += parts[l];
    return (all[0] + all[2]) + (all[1] + all[3]);
}

INLINE void dots_coarse_of(size_t width, int count, const int16_t *row, float scale, const int8_t *keys, const float *steps, float *out)
{
    ivec sums[4] = {{0}};
    for (size_t i = 0; i < width; i += MMCL__KEY_PAD) {
        if (i % CODES == 0)
            UNROLL
            for (int j = 0; j < count; j++)
                __builtin_prefetch(keys + (size_t) (count + j) * width + i);
        UNROLL
        for (size_t v = i; v < i + MMCL__KEY_PAD; v += 2 * LANES)
            UNROLL
            for (int j = 0; j < count; j++)
                sums[j] += multiply(row + v, keys + (size_t) j * width + v);
    }
    UNROLL
    for (int j = 0; j < count; j++)
        out[j] = scale * steps[j] * (float) whole(sums[j]);
}

static void dots_coarse(size_t width, size_t n, const int16_t *row, float scale, const int8_t *keys, const float *steps, float *out)
{
    size_t j = 0;
    for (; j + 4 <= n; j += 4)
        dots_coarse_of(width, 4, row, scale, keys + j * width, steps + j, out + j);
    for (; j < n; j++)
        dots_coarse_of(width, 1, row, scale, keys + j * width, steps + j, out + j);
}

static void decay(size_t n, float factor, float shift, const float *restrict weights, float *restrict values)
{
    for (size_t j = 0; j < n; j++) {
        float x   = factor * values[j] + shift;
        values[j] = mmcl__exp_f32(x < 88.0f ? x : 88.0f);
    }
    for (size_t j = 0; weights != NULL && j < n; j++)
        values[j] *= weights[j];
}

/* --------------------------------------------------------------------------------------------------------- search --- */

/*
 * exp(beta u) for equally spaced betas is a geometric sequence, so that each beta costs a product: e starts at the first and goes on by
 * the factor d. They stay in registers, or next to them, through all betas.
 */
INLINE void sums_of(int count, const float *e0, const float *d0, size_t betas, float *sums)
{
    vec e[8], d[8];
    UNROLL
    for (int j = 0; j < count; j++) {
        e[j] = load(e0 + j * MMCL__GRID_LANES);
        d[j] = load(d0 + j * MMCL__GRID_LANES);
    }
    for (size_t b = 0; b < betas; b++) {
        vec sum = load(sums + b * MMCL__GRID_LANES), more = {0};
        UNROLL
        for (int j = 0; j < count; j += 2) {
            sum += e[j];
            e[j] *= d[j];
            if (j + 1 < count) {
                more += e[j + 1];
                e[j + 1] *= d[j + 1];
            }
        }
        store(sums + b * MMCL__GRID_LANES, sum + more);
    }
}

static void sums(size_t keys, size_t stride, const float *affinity, const float *weights, const float *scale, const float *offset,
                 const mmcl__grid_betas *betas, float *out)
{
    float  e[8 * MMCL__GRID_LANES] __attribute__((aligned(64))), d[8 * MMCL__GRID_LANES] __attribute__((aligned(64)));
    size_t count;
    memset(out, 0, betas->count * MMCL__GRID_LANES * sizeof *out);
    for (size_t j = 0; j < keys; j += count) {
        count = keys - j >= 8 ? 8 : keys - j >= 4 ? 4 : 1;
        for (size_t k = 0; k < count; k++) {
            const float *a = affinity + (j + k) * stride;
            float        w = weights != NULL ? weights[j + k] : 1;
            EACH_LANE {
                float u                      = a[l] * scale[l] + offset[l];
                e[k * MMCL__GRID_LANES + l] = w * mmcl__exp_f32(betas->first * u);
                d[k * MMCL__GRID_LANES + l] = mmcl__exp_f32(betas->step * u);
            }
        }
        for (size_t l = 0; l < MMCL__GRID_LANES; l += LANES)
            if (count == 8)
                sums_of(8, e + l, d + l, betas->count, out + l);
            else if (count == 4)
                sums_of(4, e + l, d + l, betas->count, out + l);
            else
                sums_of(1, e + l, d + l, betas->count, out + l);
    }
}

/*
 * The class overtakes the label's where ahead + alpha gap > 0, gap the difference of the sums: at alphas above -ahead / gap for a
 * positive gap, below it for a negative one. Taken once with both at the upper end of their errors and once at the lower; what underflows in a sum
 * is below the slack's last term.
 */
INLINE void narrow(float ahead, float gap, float *lo, float *hi)
{
    float at = -ahead / gap;
    float up = gap >= 0 ? at : INFINITY, down = gap < 0 ? at : -INFINITY;
    *hi = up < *hi ? up : *hi;
    *lo = down > *lo ? down : *lo;
}

static void bounds(const mmcl__grid_betas *betas, const float *restrict ahead, const float *restrict error, const float *restrict sums,
                   const float *restrict own, const mmcl__grid_bounds *into)
{
    for (size_t b = 0; b < betas->count; b++) {
        const size_t at   = b * MMCL__GRID_LANES;
        const float  beta = betas->first + (float) b * betas->step, fixed = betas->constant + (float) b * betas->growth;
        float *restrict sure_lo = into->sure_lo + at, *restrict sure_hi = into->sure_hi + at;
        float *restrict may_lo = into->may_lo + at, *restrict may_hi = into->may_hi + at;
        EACH_LANE {
            float gap = sums[at + l] - own[at + l], slack = (beta * betas->slope[l] + fixed) * (sums[at + l] + own[at + l]) + 1e-30f;
            narrow(ahead[l] + error[l], gap + slack, &sure_lo[l], &sure_hi[l]);
            narrow(ahead[l] - error[l], gap - slack, &may_lo[l], &may_hi[l]);
        }
    }
}

const mmcl__cache_kernels MMCL__ISA_NAME(mmcl__cache_kernel) = {dots, dots_narrow, dots_coarse, decay, sums, bounds};
