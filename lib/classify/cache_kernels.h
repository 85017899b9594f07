/* Kernels of caches of keys, built once per instruction set, with their readable twins in cache_reference.c. */
#ifndef MMCL_CLASSIFY_CACHE_KERNELS_H
#define MMCL_CLASSIFY_CACHE_KERNELS_H

#include "linalg/isa.h"

#include <stddef.h>
#include <stdint.h>

/* Rows that a search takes side by side. */
#define MMCL__GRID_LANES 16

/* Keys are padded with zeros to a multiple of this many columns. */
#define MMCL__KEY_PAD 32

/* Betas first, first + step, ... and the relative error of the sums at each: beta slope[lane] + constant + i growth. */
typedef struct mmcl__grid_betas {
    size_t count;
    float  first, step;
    float  slope[MMCL__GRID_LANES];
    float  constant, growth;
} mmcl__grid_betas;

/*
 * For each beta and lane, the alphas at which the label's class has the highest score: lo < alpha < hi. Those between `sure` are right
 * whatever the rounding, those outside of `may` are wrong. Each [betas, MMCL__GRID_LANES].
 */
typedef struct mmcl__grid_bounds {
    float *sure_lo, *sure_hi, *may_lo, *may_hi;
} mmcl__grid_bounds;

typedef struct mmcl__cache_kernels {
    /* out[j] = row . keys[j]; width is a multiple of MMCL__KEY_PAD, keys lie `width` apart. */
    void (*dots)(size_t width, size_t n, const float *row, const float *keys, float *out);

    /*
     * The same with keys of 16 bits a column: the low half of word i is column 2 i in bfloat16, the whole word, as a float32, is column
     * 2 i + 1, so that nothing has to be masked out (mmcl__narrow_pair). The row comes as its even columns and then its odd ones.
     */
    void (*dots_narrow)(size_t width, size_t n, const float *row, const uint32_t *keys, float *out);

    /*
     * The same with keys and the row as integers: out[j] = scale steps[j] sum_i row[i] keys[j][i], where no sum of |row[i] keys[j][i]| reaches
     * 2^31 (mmcl__code_key, mmcl__code_row).
     */
    void (*dots_coarse)(size_t width, size_t n, const int16_t *row, float scale, const int8_t *keys, const float *steps, float *out);

    /* values[j] = weights[j] exp(factor values[j] + shift); weights NULL: 1. */
    void (*decay)(size_t n, float factor, float shift, const float *weights, float *values);

    /*
     * sums [betas, lanes] = sum_j w_j exp(beta (a_j scale + offset)) over the keys of a class; affinity [keys, lanes], `stride`
     * apart; scale and offset [lanes]; weights [keys] or NULL.
     */
    void (*sums)(size_t keys, size_t stride, const float *affinity, const float *weights, const float *scale, const float *offset,
                 const mmcl__grid_betas *betas, float *sums);

    /*
     * Narrows the bounds by one class: ahead [lanes] its score without the cache less the label's, known to +-error [lanes]; its sums
     * and those of the label's class [betas, lanes].
     */
    void (*bounds)(const mmcl__grid_betas *betas, const float *ahead, const float *error, const float *sums, const float *own,
                   const mmcl__grid_bounds *bounds);
} mmcl__cache_kernels;

MMCL__ISA_TABLE(mmcl__cache_kernels, mmcl__cache_kernel)
extern const mmcl__cache_kernels mmcl__cache_reference;

/* The word of two neighbouring columns, each off by at most half a step of bfloat16 (2^-8 of it). */
uint32_t mmcl__narrow_pair(float even, float odd);

/* A key [width] as multiples, -127 ... 127, of the step that is returned; 0 for a key too small for one. */
float mmcl__code_key(size_t width, const float *key, int8_t *code);

/* A row [width], a multiple of MMCL__KEY_PAD, as multiples of the scale that is returned, as fine as `dots_coarse` allows with any key. */
float mmcl__code_row(size_t width, const float *row, int16_t *code);

#endif
