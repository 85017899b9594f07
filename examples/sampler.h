/* A small source of synthetic features for the examples: independent Laplace sources, mixed by a random matrix. */
#ifndef SAMPLER_H
#define SAMPLER_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>

typedef struct sampler {
    uint64_t state;
} sampler;

/* Steele, Lea and Flood's SplitMix64 (2014). */
static inline uint64_t sample_bits(sampler *s)
{
    uint64_t z = s->state += 0x9e3779b97f4a7c15U;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9U;
    z = (z ^ z >> 27) * 0x94d049bb133111ebU;
    return z ^ z >> 31;
}

/* Uniform on (0, 1). */
static inline double sample_uniform(sampler *s)
{
    return ((double) (sample_bits(s) >> 11) + 0.5) / 9007199254740992.0;
}

/* Laplace with variance 1, by the inverse of its distribution function. */
static inline double sample_laplace(sampler *s)
{
    double u = sample_uniform(s) - 0.5;
    return (u < 0 ? 1 : -1) * log(1 - 2 * fabs(u)) / sqrt(2);
}

/* `out` [rows, cols] = sources [rows, n_sources] times mixing [n_sources, cols], n_sources at most 64. */
static inline void sample_mixed(sampler *s, const float *mixing, size_t n_sources, size_t rows, size_t cols, float *out)
{
    for (size_t i = 0; i < rows; i++) {
        double source[64];
        for (size_t k = 0; k < n_sources; k++)
            source[k] = sample_laplace(s);
        for (size_t j = 0; j < cols; j++) {
            double sum = 0;
            for (size_t k = 0; k < n_sources; k++)
                sum += source[k] * (double) mixing[k * cols + j];
            out[i * cols + j] = (float) sum;
        }
    }
}

/* Entries uniform on (-1, 1). */
static inline void sample_matrix(sampler *s, size_t count, float *out)
{
    for (size_t i = 0; i < count; i++)
        out[i] = (float) (2 * sample_uniform(s) - 1);
}

#endif
