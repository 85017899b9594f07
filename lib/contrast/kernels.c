/*
 * The contrastive kernels, compiled once per instruction set: vectors of LANES neighbouring columns, as an extension that GCC and
 * Clang share. Rows are taken four (two, where exponentials need the registers) at a time, so that what belongs to a column is
 * loaded and stored once for them; the number of rows is a constant wherever an inner function is inlined.
 */
#include "contrast/kernels.h"

#include "linalg/vectors.h"

#include <stdbool.h>
#include <stdint.h>

#ifdef __SSE__
#include <immintrin.h>
#endif

INLINE vec splat(float value)
{
    return value - (vec){0};
}

INLINE vec pick(ivec mask, vec yes, vec no)
{
    return (vec) ((mask & (ivec) yes) | (~mask & (ivec) no));
}

/* The larger of both; b where a is NaN. C has no ?: for vectors, and no compiler makes one instruction of the masks. */
INLINE vec largest(vec a, vec b)
{
#if defined(__AVX512F__)
    return (vec) _mm512_max_ps((__m512) a, (__m512) b);
#elif defined(__AVX__)
    return (vec) _mm256_max_ps((__m256) a, (__m256) b);
#elif defined(__SSE__)
    return (vec) _mm_max_ps((__m128) a, (__m128) b);
#else
    return pick(a > b, a, b);
#endif
}

/* Halves are added to each other until one element is left. */
INLINE float total(vec value)
{
    float sum[LANES];
    store(sum, value);
    UNROLL
    for (int width = LANES / 2; width > 0; width /= 2)
        for (int l = 0; l < width; l++)
            sum[l] += sum[l + width];
    return sum[0];
}

INLINE float highest(vec value)
{
    float top[LANES];
    store(top, value);
    UNROLL
    for (int width = LANES / 2; width > 0; width /= 2)
        for (int l = 0; l < width; l++)
            top[l] = top[l] > top[l + width] ? top[l] : top[l + width];
    return top[0];
}

/*
 * 2^y for y <= 126; 0 below `cut`, and for NaN. y = n + f with |f| <= 1/2: adding 1.5 * 2^23 leaves n in the low bits, from where
 * a shift puts it into the exponent. The polynomial was fitted to the least largest relative error, 1.9e-9.
 */
INLINE vec exp2_above(vec y, float cut)
{
    const vec magic = splat(0x1.8p23f);
    vec       shifted = y + magic, f = y - (shifted - magic), p = splat(0x1.41d324p-13f);
    p = p * f + 0x1.5f456ap-10f;
    p = p * f + 0x1.3b2dbcp-7f;
    p = p * f + 0x1.c6aed4p-5f;
    p = p * f + 0x1.ebfbdap-3f;
    p = p * f + 0x1.62e430p-1f;
    p = p * f + 1.0f;
    return (vec) (((uvec) p + ((uvec) shifted << 23)) & (uvec) (y > cut));
}

#define LOG2_E 0x1.715476p+0f
#define CUT2 (MMCL__CONTRAST_CUT * LOG2_E)

/* log2 of a normal a > 0: a = 2^n m with sqrt(1/2) <= m < sqrt(2), then 2 artanh((m - 1) / (m + 1)) / ln 2 by its odd series. */
INLINE vec log2_of(vec a)
{
    ivec bits = (ivec) a, n = (bits - 0x3f3504f3) >> 23;
    vec  m = (vec) (bits - (n << 23)), u = (m - 1.0f) / (m + 1.0f), q = u * u, p = splat(2.885390082f / 11);
    p = p * q + 2.885390082f / 9;
    p = p * q + 2.885390082f / 7;
    p = p * q + 2.885390082f / 5;
    p = p * q + 2.885390082f / 3;
    p = p * q + 2.885390082f;
    return __builtin_convertvector(n, vec) + u * p;
}

/* a^p for a >= 0; 0 for what is too small to be told from it. */
INLINE vec power_of(vec a, float p)
{
    vec small = splat(1e-37f), y = p * log2_of(largest(a, small));
    return (vec) ((ivec) exp2_above(pick(y < 126.0f, y, splat(126.0f)), -125.0f) & (ivec) (a > small));
}

INLINE vec absolute(vec a)
{
    return (vec) ((ivec) a & 0x7fffffff);
}

/* |a| with the sign of b, for a >= 0. */
INLINE vec with_sign(vec a, vec b)
{
    return (vec) ((ivec) a | ((ivec) b & INT32_MIN));
}

/* What a dimension adds to minus the similarity, and g times its derivative by x, for each kind of term; v = x - t. */
#define NAME(x) x##_square
#define TERM(v) (v) * (v)
#define SLOPE(g, v) (2.0f * (g)) * (v)
#include "contrast/kernels_tmpl.h"

#define NAME(x) x##_abs
#define TERM(v) absolute(v)
#define SLOPE(g, v) (vec) (((ivec) (g) ^ ((ivec) (v) & INT32_MIN)) & (ivec) ((v) != 0.0f))
#include "contrast/kernels_tmpl.h"

#define NAME(x) x##_cube
#define TERM(v) absolute(v) * ((v) * (v))
#define SLOPE(g, v) (3.0f * (g)) * (absolute(v) * (v))
#include "contrast/kernels_tmpl.h"

#define NAME(x) x##_fourth
#define TERM(v) ((v) * (v)) * ((v) * (v))
#define SLOPE(g, v) (4.0f * (g)) * ((v) * ((v) * (v)))
#include "contrast/kernels_tmpl.h"

#define NAME(x) x##_power
#define TERM(v) power_of(absolute(v), p)
#define SLOPE(g, v) (p * (g)) * with_sign(power_of(absolute(v), p - 1.0f), v)
#include "contrast/kernels_tmpl.h"

#define DOT
#define NAME(x) x##_dot
#include "contrast/kernels_tmpl.h"
#undef DOT

/* -------------------------------------------------------------------------------------------------------- softmax --- */

/* Calls `function` for four (two) rows at a time, then for the rest one by one. */
#define BY(most, function, ...)                                                                                        \
    do {                                                                                                               \
        size_t i = 0;                                                                                                  \
        for (; i + (most) <= rows; i += (most))                                                                        \
            function(most, i, __VA_ARGS__);                                                                            \
        for (; i < rows; i++)                                                                                          \
            function(1, i, __VA_ARGS__);                                                                               \
    } while (0)

INLINE void tops_of(const int n, size_t first, size_t cols, const float *d, size_t d_stride, float *row_top, float *col_top)
{
    vec top[4];
    d += first * d_stride;
    UNROLL
    for (int r = 0; r < n; r++)
        top[r] = load(d + r * d_stride);
    for (size_t j = 0; j < cols; j += LANES) {
        vec best = load(col_top + j);
        UNROLL
        for (int r = 0; r < n; r++) {
            vec value = load(d + r * d_stride + j);
            top[r]    = largest(value, top[r]);
            best      = largest(value, best);
        }
        store(col_top + j, best);
    }
    UNROLL
    for (int r = 0; r < n; r++)
        row_top[first + r] = highest(top[r]);
}

static void tops(size_t rows, size_t cols, const float *d, size_t d_stride, float *row_top, float *col_top)
{
    BY(4, tops_of, cols, d, d_stride, row_top, col_top);
}

INLINE void sums_of(const int n, size_t first, size_t cols, float scale, const float *d, size_t d_stride, const float *row_top,
                    const float *factor, float *row_sum, float *col_sum)
{
    vec sum[2] = {{0}};
    d += first * d_stride;
    for (size_t j = 0; j < cols; j += LANES) {
        vec column = load(col_sum + j);
        UNROLL
        for (int r = 0; r < n; r++) {
            vec e = exp2_above(scale * (load(d + r * d_stride + j) - row_top[first + r]), CUT2);
            sum[r] += e;
            column += factor[first + r] * e;
        }
        store(col_sum + j, column);
    }
    UNROLL
    for (int r = 0; r < n; r++)
        row_sum[first + r] = total(sum[r]);
}

static void sums(size_t rows, size_t cols, float scale, const float *d, size_t d_stride, const float *row_top, const float *factor,
                 float *row_sum, float *col_sum)
{
    BY(2, sums_of, cols, scale * LOG2_E, d, d_stride, row_top, factor, row_sum, col_sum);
}

INLINE void softmax_of(const int n, size_t first, size_t cols, float scale, float *d, size_t d_stride, const float *origin,
                       const float *row, const float *both, const float *col, float *totals)
{
    vec sum[2] = {{0}}, moment[2] = {{0}};
    d += first * d_stride;
    for (size_t j = 0; j < cols; j += LANES) {
        vec column = load(col + j);
        UNROLL
        for (int r = 0; r < n; r++) {
            vec rise = load(d + r * d_stride + j) - origin[first + r];
            vec g    = exp2_above(scale * rise, CUT2) * (row[first + r] + both[first + r] * column);
            store(d + r * d_stride + j, g);
            sum[r] += g;
            moment[r] += g * rise;
        }
    }
    UNROLL
    for (int r = 0; r < n; r++) {
        totals[2 * (first + r)]     = total(sum[r]);
        totals[2 * (first + r) + 1] = total(moment[r]);
    }
}

static void softmax(size_t rows, size_t cols, float scale, float *d, size_t d_stride, const float *origin, const float *row,
                    const float *both, const float *col, float *totals)
{
    BY(2, softmax_of, cols, scale * LOG2_E, d, d_stride, origin, row, both, col, totals);
}

INLINE void softmax_two_of(const int n, size_t first, size_t cols, float scale, float *d, size_t d_stride, const float *origin,
                           const float *row, const float *col_origin, const float *col, float *totals)
{
    vec sum[1] = {{0}}, moment[1] = {{0}};
    d += first * d_stride;
    for (size_t j = 0; j < cols; j += LANES)
        for (int r = 0; r < n; r++) {
            vec value = load(d + r * d_stride + j), rise = value - origin[first + r];
            vec g = exp2_above(scale * rise, CUT2) * row[first + r] +
                    exp2_above(scale * (value - load(col_origin + j)), CUT2) * load(col + j);
            store(d + r * d_stride + j, g);
            sum[r] += g;
            moment[r] += g * rise;
        }
    totals[2 * first]     = total(sum[0]);
    totals[2 * first + 1] = total(moment[0]);
}

static void softmax_two(size_t rows, size_t cols, float scale, float *d, size_t d_stride, const float *origin, const float *row,
                        const float *col_origin, const float *col, float *totals)
{
    for (size_t i = 0; i < rows; i++)
        softmax_two_of(1, i, cols, scale * LOG2_E, d, d_stride, origin, row, col_origin, col, totals);
}

/* -------------------------------------------------------------------------------------------------------- sigmoid --- */

/* log(1 + e) for 0 <= e <= 1: 2 artanh(u) with u = e / (2 + e) <= 1/3, by its odd series. */
INLINE vec log1p_of(vec e)
{
    vec u = e / (2.0f + e), q = u * u, p = splat(1.0f / 15);
    UNROLL
    for (int i = 13; i >= 1; i -= 2)
        p = p * q + 1.0f / (float) i;
    return 2.0f * u * p;
}

static void sigmoid(size_t rows, size_t cols, float scale, float bias, float weight, float *d, size_t d_stride, float *totals)
{
    for (size_t i = 0; i < rows; i++, d += d_stride) {
        vec sum = {0}, moment = {0}, loss = {0}, zero = {0};
        for (size_t j = 0; j < cols; j += LANES) {
            vec value = load(d + j), s = scale * value + bias, e = exp2_above(-LOG2_E * absolute(s), CUT2);
            vec g     = weight * (pick(s > 0.0f, zero + 1.0f, e) / (1.0f + e));
            store(d + j, g);
            sum += g;
            moment += g * value;
            loss += largest(s, zero) + log1p_of(e);
        }
        totals[3 * i]     = total(sum);
        totals[3 * i + 1] = total(moment);
        totals[3 * i + 2] = total(loss);
    }
}

/* ------------------------------------------------------------------------------------------------------ the others --- */

static void add(size_t rows, size_t cols, float *d, size_t d_stride, const float *row, const float *col)
{
    for (size_t i = 0; i < rows; i++, d += d_stride)
        for (size_t j = 0; j < cols; j += LANES)
            store(d + j, load(d + j) + (row[i] + load(col + j)));
}

INLINE void column_sums_of(const int n, size_t first, size_t cols, const float *g, size_t g_stride, float *into)
{
    g += first * g_stride;
    for (size_t j = 0; j < cols; j += LANES) {
        vec sum = load(into + j);
        UNROLL
        for (int r = 0; r < n; r++)
            sum += load(g + r * g_stride + j);
        store(into + j, sum);
    }
}

static void column_sums(size_t rows, size_t cols, const float *g, size_t g_stride, float *into)
{
    BY(4, column_sums_of, cols, g, g_stride, into);
}

const mmcl__contrast_kernels MMCL__ISA_NAME(mmcl__contrast_kernel) = {
    {similarity_dot, similarity_square, similarity_abs, similarity_cube, similarity_fourth, similarity_power},
    {gradient_dot, gradient_square, gradient_abs, gradient_cube, gradient_fourth, gradient_power},
    tops,
    sums,
    softmax,
    softmax_two,
    sigmoid,
    add,
    column_sums,
};
