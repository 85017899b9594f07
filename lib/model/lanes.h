/*
 * Arithmetic on blocks of rows: lane l of a block holds row l. Straight-line loops over a fixed number of lanes, which compilers
 * vectorise without remainders, so that what a row gets does not depend on the lane that it is in. For files under `isa_sources`.
 */
#ifndef MMCL_MODEL_LANES_H
#define MMCL_MODEL_LANES_H

#include "linalg/vecmath.h"

#include <math.h>
#include <stddef.h>

#define MMCL__LANES 16

#define MMCL__EACH_LANE for (int l = 0; l < MMCL__LANES; l++)

static inline uint64_t mmcl__bits_of(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline double mmcl__of_bits(uint64_t bits)
{
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/*
 * log(x) for normal x > 0: x = 2^n m with sqrt(1/2) <= m < sqrt(2), log m = 2 artanh(s) with s = (m - 1) / (m + 1), |s| <= 0.172;
 * the odd series is cut where its next term is below the rounding. Relative accuracy also near 1, where m - 1 is exact.
 */
static inline double mmcl__log_f64(double x)
{
    const uint64_t shifted  = mmcl__bits_of(x) + (0x3ff0000000000000u - 0x3fe6a09e667f3bcdu); /* sqrt(1/2) to 1: the exponent turns there */
    const double   exponent = mmcl__of_bits((shifted >> 52) | 0x4330000000000000u) - (0x1p52 + 1023);
    const double   m        = mmcl__of_bits((shifted & 0x000fffffffffffffu) + 0x3fe6a09e667f3bcdu);
    const double   s = (m - 1.0) / (m + 1.0), q = s * s;
    double         p = 1.0 / 21;
    p                = p * q + 1.0 / 19;
    p                = p * q + 1.0 / 17;
    p                = p * q + 1.0 / 15;
    p                = p * q + 1.0 / 13;
    p                = p * q + 1.0 / 11;
    p                = p * q + 1.0 / 9;
    p                = p * q + 1.0 / 7;
    p                = p * q + 1.0 / 5;
    p                = p * q + 1.0 / 3;
    p                = p * q;
    return exponent * 0x1.62e42fefa39efp-1 + 2.0 * (s + s * p);
}

/* log(1 - x) for 0 <= x < 1; the second term restores what rounding 1 - x has lost. */
static inline double mmcl__log1m_f64(double x)
{
    const double w = 1.0 - x;
    return mmcl__log_f64(w) + ((1.0 - w) - x) / w;
}

/* 1 - exp(-x) for x >= 0, in relative accuracy: with -x = n ln 2 + r it is (1 - 2^n) - 2^n (exp(r) - 1). */
static inline double mmcl__mass_f64(double x)
{
    const double magic = 0x1.8p52;
    x                  = x > 700.0 ? 700.0 : x;
    const double shifted = -x * 0x1.71547652b82fep+0 + magic, n = shifted - magic;
    const double r     = (-x - n * 0x1.62e42fee00000p-1) - n * 0x1.a39ef35793c76p-33;
    const double scale = mmcl__of_bits(0x3ff0000000000000u + (mmcl__bits_of(shifted) << 52));
    double       p     = 1.0 / 6227020800.0;
    p                  = p * r + 1.0 / 479001600.0;
    p                  = p * r + 1.0 / 39916800.0;
    p                  = p * r + 1.0 / 3628800.0;
    p                  = p * r + 1.0 / 362880.0;
    p                  = p * r + 1.0 / 40320.0;
    p                  = p * r + 1.0 / 5040.0;
    p                  = p * r + 1.0 / 720.0;
    p                  = p * r + 1.0 / 120.0;
    p                  = p * r + 1.0 / 24.0;
    p                  = p * r + 1.0 / 6.0;
    p                  = p * r + 0.5;
    p                  = p * r * r + r;
    return (1.0 - scale) - scale * p;
}

/* Cosine and sine of 2 pi u, 0 <= u < 1: the nearest quarter turn, and Taylor's polynomials for the rest, at most pi / 4. */
static inline void mmcl__turn_f64(double u, double *cosine, double *sine)
{
    const double magic = 0x1.8p52, shifted = 4.0 * u + magic;
    const double r = (4.0 * u - (shifted - magic)) * 0x1.921fb54442d18p+0, q = r * r;
    double       c = 1.0 / 20922789888000.0, s = 1.0 / 355687428096000.0;
    c = c * q - 1.0 / 87178291200.0;
    c = c * q + 1.0 / 479001600.0;
    c = c * q - 1.0 / 3628800.0;
    c = c * q + 1.0 / 40320.0;
    c = c * q - 1.0 / 720.0;
    c = c * q + 1.0 / 24.0;
    c = c * q - 0.5;
    c = c * q + 1.0;
    s = s * q - 1.0 / 1307674368000.0;
    s = s * q + 1.0 / 6227020800.0;
    s = s * q - 1.0 / 39916800.0;
    s = s * q + 1.0 / 362880.0;
    s = s * q - 1.0 / 5040.0;
    s = s * q + 1.0 / 120.0;
    s = s * q - 1.0 / 6.0;
    s = s * q * r + r;
    const uint64_t quarter = mmcl__bits_of(shifted);
    const uint64_t odd = 0 - (quarter & 1), sign_c = ((quarter + 1) & 2) << 62, sign_s = (quarter & 2) << 62;
    const uint64_t bits_c = mmcl__bits_of(c), bits_s = mmcl__bits_of(s);
    *cosine = mmcl__of_bits(((bits_s & odd) | (bits_c & ~odd)) ^ sign_c);
    *sine   = mmcl__of_bits(((bits_c & odd) | (bits_s & ~odd)) ^ sign_s);
}

#endif
