/* Readable twins of the cache's kernels: one product or exponential after the other, in float64. */
#include "classify/cache_kernels.h"

#include "linalg/convert.h"

#include <float.h>
#include <math.h>
#include <string.h>

/*
 * The upper half of the odd column's word is the one that, with the lower half as it is, comes nearest to the column. Where that would
 * make a subnormal number, which some processors multiply slowly, it is the least normal one.
 */
uint32_t mmcl__narrow_pair(float even, float odd)
{
    const uint32_t low = mmcl__f32_to_bf16(even), bits = mmcl__bits_of_f32(odd), size = bits & 0x7fffffffu;
    uint32_t       high = size + 0x8000u > low ? (size + 0x8000u - low) >> 16 : 0;
    if (high < 0x80 && low != 0)
        high = 0x80;
    return (bits & 0x80000000u) | high << 16 | low;
}

float mmcl__code_key(size_t width, const float *key, int8_t *code)
{
    float most = 0;
    for (size_t i = 0; i < width; i++)
        most = fmaxf(most, fabsf(key[i]));
    const float step = most / 127;
    for (size_t i = 0; i < width; i++)
        code[i] = step >= FLT_MIN ? (int8_t) lrintf(key[i] / step) : 0;
    return step >= FLT_MIN ? step : 0;
}

/* Largest code and sum of codes: with 127 in the key they are just below 2^31. */
float mmcl__code_row(size_t width, const float *row, int16_t *code)
{
    float most[16] = {0}, all[16] = {0}; /* lanes that a compiler can put side by side */
    for (size_t i = 0; i < width; i += 16)
        for (size_t l = 0; l < 16; l++) {
            float size = fabsf(row[i + l]);
            most[l]    = size > most[l] ? size : most[l];
            all[l] += size;
        }
    for (size_t l = 1; l < 16; l++) {
        most[0] = fmaxf(most[0], most[l]);
        all[0] += all[l];
    }
    const float steps = fminf(32767 / most[0], 0x1p24f / all[0]), fine = steps >= FLT_MIN && steps <= 1 / FLT_MIN ? steps : 0;
    for (size_t i = 0; i < width; i++) {
        float x = row[i] * fine;
        code[i] = (int16_t) (int32_t) (x < 0 ? x - 0.5f : x + 0.5f);
    }
    return fine > 0 ? 1 / fine : 0;
}

static void dots(size_t width, size_t n, const float *row, const float *keys, float *out)
{
    for (size_t j = 0; j < n; j++) {
        double sum = 0;
        for (size_t i = 0; i < width; i++)
            sum += (double) row[i] * (double) keys[j * width + i];
        out[j] = (float) sum;
    }
}

static void dots_narrow(size_t width, size_t n, const float *row, const uint32_t *keys, float *out)
{
    for (size_t j = 0; j < n; j++) {
        double sum = 0;
        for (size_t i = 0; i < width / 2; i++) {
            uint32_t pair = keys[j * (width / 2) + i];
            sum += (double) row[i] * (double) mmcl__bf16_to_f32((uint16_t) (pair & 0xffff));
            sum += (double) row[width / 2 + i] * (double) mmcl__f32_of_bits(pair);
        }
        out[j] = (float) sum;
    }
}

static void dots_coarse(size_t width, size_t n, const int16_t *row, float scale, const int8_t *keys, const float *steps, float *out)
{
    for (size_t j = 0; j < n; j++) {
        int64_t sum = 0;
        for (size_t i = 0; i < width; i++)
            sum += row[i] * keys[j * width + i];
        out[j] = scale * steps[j] * (float) sum;
    }
}

static void decay(size_t n, float factor, float shift, const float *weights, float *values)
{
    for (size_t j = 0; j < n; j++)
        values[j] = (float) ((weights != NULL ? (double) weights[j] : 1) *
                             exp(fmin(fmax((double) factor * (double) values[j] + (double) shift, -87), 88)));
}

static void sums(size_t keys, size_t stride, const float *affinity, const float *weights, const float *scale, const float *offset,
                 const mmcl__grid_betas *betas, float *out)
{
    for (size_t b = 0; b < betas->count; b++)
        for (size_t l = 0; l < MMCL__GRID_LANES; l++) {
            double beta = (double) betas->first + (double) b * (double) betas->step, sum = 0;
            for (size_t j = 0; j < keys; j++)
                sum += (weights != NULL ? (double) weights[j] : 1) *
                       exp(beta * ((double) affinity[j * stride + l] * (double) scale[l] + (double) offset[l]));
            out[b * MMCL__GRID_LANES + l] = (float) sum;
        }
}

static void narrow(double ahead, double gap, float *lo, float *hi)
{
    if (gap >= 0)
        *hi = fminf(*hi, (float) (-ahead / gap));
    else
        *lo = fmaxf(*lo, (float) (-ahead / gap));
}

static void bounds(const mmcl__grid_betas *betas, const float *ahead, const float *error, const float *sums, const float *own,
                   const mmcl__grid_bounds *into)
{
    for (size_t b = 0; b < betas->count; b++)
        for (size_t l = 0; l < MMCL__GRID_LANES; l++) {
            size_t at   = b * MMCL__GRID_LANES + l;
            double beta = (double) betas->first + (double) b * (double) betas->step;
            double relative = beta * (double) betas->slope[l] + (double) betas->constant + (double) b * (double) betas->growth;
            double gap = (double) sums[at] - (double) own[at], slack = relative * ((double) sums[at] + (double) own[at]) + 1e-30;
            narrow((double) ahead[l] + (double) error[l], gap + slack, &into->sure_lo[at], &into->sure_hi[at]);
            narrow((double) ahead[l] - (double) error[l], gap - slack, &into->may_lo[at], &into->may_hi[at]);
        }
}

const mmcl__cache_kernels mmcl__cache_reference = {dots, dots_narrow, dots_coarse, decay, sums, bounds};
