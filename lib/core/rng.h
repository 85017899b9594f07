/* Random numbers: a counter-based generator for the library's own draws, and numpy's legacy stream for replaying published ones. */
#ifndef MMCL_CORE_RNG_H
#define MMCL_CORE_RNG_H

#include "core/core.h"

/*
 * Philox4x32-10 (Salmon et al., SC 2011): four 32-bit words as a pure function of key and counter, so any part of any stream can
 * be made again, on any thread.
 */
void mmcl__philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

/* Uniform on [0, 1) with 53 bits, from (seed, row, purpose, stream). */
double mmcl__philox_uniform(uint64_t seed, uint64_t row, uint32_t purpose, uint32_t stream);

/* Poisson(1) of the same number: how often a bootstrap sample holds a row. */
double mmcl__philox_poisson(uint64_t seed, uint64_t row, uint32_t purpose, uint32_t stream);

/* numpy.random.RandomState(seed): MT19937 with the polar method for normals. */
typedef struct mmcl__numpy_rng {
    uint32_t state[624];
    uint32_t position;
    uint32_t has_spare;
    double   spare; /* the second normal of a pair */
} mmcl__numpy_rng;

void   mmcl__numpy_seed(mmcl__numpy_rng *rng, uint32_t seed);
double mmcl__numpy_uniform(mmcl__numpy_rng *rng); /* random_sample: [0, 1), 53 bits */
double mmcl__numpy_normal(mmcl__numpy_rng *rng);  /* standard normal */

/* choice(n, count, replace=False): the first `count` of a permutation of 0 ... n - 1. `scratch` [n]. */
void mmcl__numpy_choice(mmcl__numpy_rng *rng, size_t n, size_t count, size_t *scratch, size_t *out);

/* choice(n, count, replace=True). */
void mmcl__numpy_choice_repeat(mmcl__numpy_rng *rng, size_t n, size_t count, size_t *out);

#endif
