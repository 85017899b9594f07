#include "core/rng.h"

#include <math.h>
#include <string.h>

void mmcl__philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t c[4], k0 = key[0], k1 = key[1];
    memcpy(c, counter, sizeof c);
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t) 0xD2511F53u * c[0], p1 = (uint64_t) 0xCD9E8D57u * c[2];
        uint32_t c1 = c[1], c3 = c[3];
        c[0] = (uint32_t) (p1 >> 32) ^ c1 ^ k0;
        c[1] = (uint32_t) p1;
        c[2] = (uint32_t) (p0 >> 32) ^ c3 ^ k1;
        c[3] = (uint32_t) p0;
        k0 += 0x9E3779B9u; /* the golden ratio and sqrt(3) - 1, as the paper's key schedule */
        k1 += 0xBB67AE85u;
    }
    memcpy(out, c, sizeof c);
}

double mmcl__philox_uniform(uint64_t seed, uint64_t row, uint32_t purpose, uint32_t stream)
{
    uint32_t counter[4] = {(uint32_t) row, (uint32_t) (row >> 32), purpose, stream}, word[4];
    uint32_t key[2]     = {(uint32_t) seed, (uint32_t) (seed >> 32)};
    mmcl__philox(counter, key, word);
    return ((word[0] >> 5) * 67108864.0 + (word[1] >> 6)) / 9007199254740992.0;
}

/* By inversion. */
double mmcl__philox_poisson(uint64_t seed, uint64_t row, uint32_t purpose, uint32_t stream)
{
    double u = mmcl__philox_uniform(seed, row, purpose, stream), p = exp(-1), sum = p, k = 0;
    while (u >= sum && p > 1e-17) {
        p /= ++k;
        sum += p;
    }
    return k;
}

/* ------------------------------------------------------------------------------------------------ numpy's legacy --- */

#define MT_N 624
#define MT_M 397

void mmcl__numpy_seed(mmcl__numpy_rng *rng, uint32_t seed)
{
    rng->state[0] = seed;
    for (uint32_t i = 1; i < MT_N; i++)
        rng->state[i] = 1812433253u * (rng->state[i - 1] ^ (rng->state[i - 1] >> 30)) + i;
    rng->position  = MT_N;
    rng->has_spare = 0;
    rng->spare     = 0;
}

static uint32_t twist(uint32_t upper, uint32_t lower)
{
    uint32_t mixed = (upper & 0x80000000u) | (lower & 0x7fffffffu);
    return (mixed >> 1) ^ ((lower & 1) ? 0x9908b0dfu : 0);
}

static uint32_t next_word(mmcl__numpy_rng *rng)
{
    uint32_t *mt = rng->state;
    if (rng->position == MT_N) {
        for (int i = 0; i < MT_N; i++)
            mt[i] = mt[(i + MT_M) % MT_N] ^ twist(mt[i], mt[(i + 1) % MT_N]);
        rng->position = 0;
    }
    uint32_t y = mt[rng->position++];
    y ^= y >> 11;
    y ^= (y << 7) & 0x9d2c5680u;
    y ^= (y << 15) & 0xefc60000u;
    return y ^ (y >> 18);
}

double mmcl__numpy_uniform(mmcl__numpy_rng *rng)
{
    uint32_t a = next_word(rng) >> 5, b = next_word(rng) >> 6;
    return (a * 67108864.0 + b) / 9007199254740992.0;
}

double mmcl__numpy_normal(mmcl__numpy_rng *rng)
{
    if (rng->has_spare) {
        rng->has_spare = 0;
        return rng->spare;
    }
    double x, y, r;
    do {
        x = 2.0 * mmcl__numpy_uniform(rng) - 1.0;
        y = 2.0 * mmcl__numpy_uniform(rng) - 1.0;
        r = x * x + y * y;
    } while (r >= 1.0 || r == 0.0);
    double scale   = sqrt(-2.0 * log(r) / r);
    rng->spare     = scale * x;
    rng->has_spare = 1;
    return scale * y;
}

/* Uniform on 0 ... max, by masking and rejection; one 32-bit word a try (numpy takes two above 2^32, which no array here needs). */
static size_t next_index(mmcl__numpy_rng *rng, size_t max)
{
    uint32_t mask = (uint32_t) max, value;
    for (int shift = 1; shift < 32; shift *= 2)
        mask |= mask >> shift;
    do
        value = next_word(rng) & mask;
    while (value > max);
    return value;
}

void mmcl__numpy_choice(mmcl__numpy_rng *rng, size_t n, size_t count, size_t *scratch, size_t *out)
{
    assert(count <= n && n <= UINT32_MAX);
    for (size_t i = 0; i < n; i++)
        scratch[i] = i;
    for (size_t i = n; i-- > 1;) {
        size_t j = next_index(rng, i), kept = scratch[j];
        scratch[j] = scratch[i];
        scratch[i] = kept;
    }
    memcpy(out, scratch, count * sizeof *out);
}

void mmcl__numpy_choice_repeat(mmcl__numpy_rng *rng, size_t n, size_t count, size_t *out)
{
    assert(n > 0 && n <= UINT32_MAX);
    for (size_t i = 0; i < count; i++)
        out[i] = n > 1 ? next_index(rng, n - 1) : 0;
}
