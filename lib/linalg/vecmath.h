/*
 * Elementary functions as straight-line code that compilers vectorise. Accurate to a few units in the last place over the stated
 * ranges; meant for files under `isa_sources`.
 */
#ifndef MMCL_LINALG_VECMATH_H
#define MMCL_LINALG_VECMATH_H

#include <stdint.h>
#include <string.h>

/*
 * exp(x) for x <= 88 (f32) or 709 (f64); arguments below -87 or -708 count as those. x = n ln 2 + r: adding 1.5 * 2^(mantissa
 * bits) leaves n in the low bits of the sum, from where a shift puts it into the exponent. The polynomial is Taylor's, whose
 * remainder for |r| <= ln 2 / 2 is below the rounding.
 */
static inline float mmcl__exp_f32(float x)
{
    const float magic = 0x1.8p23f;
    x                 = x < -87.0f ? -87.0f : x;
    float    shifted = x * 0x1.715476p+0f + magic, n = shifted - magic;
    float    r = (x - n * 0x1.62e4p-1f) - n * 0x1.7f7d1cp-20f; /* ln 2 in two parts, the first exact in products with n */
    float    p = 1.0f / 5040;
    uint32_t bits, exponent;
    p = p * r + 1.0f / 720;
    p = p * r + 1.0f / 120;
    p = p * r + 1.0f / 24;
    p = p * r + 1.0f / 6;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    memcpy(&bits, &p, sizeof bits);
    memcpy(&exponent, &shifted, sizeof exponent);
    bits += exponent << 23;
    memcpy(&p, &bits, sizeof p);
    return p;
}

static inline double mmcl__exp_f64(double x)
{
    const double magic = 0x1.8p52;
    x                  = x < -708.0 ? -708.0 : x;
    double   shifted = x * 0x1.71547652b82fep+0 + magic, n = shifted - magic;
    double   r = (x - n * 0x1.62e42fee00000p-1) - n * 0x1.a39ef35793c76p-33;
    double   p = 1.0 / 6227020800.0;
    uint64_t bits, exponent;
    p = p * r + 1.0 / 479001600.0;
    p = p * r + 1.0 / 39916800.0;
    p = p * r + 1.0 / 3628800.0;
    p = p * r + 1.0 / 362880.0;
    p = p * r + 1.0 / 40320.0;
    p = p * r + 1.0 / 5040.0;
    p = p * r + 1.0 / 720.0;
    p = p * r + 1.0 / 120.0;
    p = p * r + 1.0 / 24.0;
    p = p * r + 1.0 / 6.0;
    p = p * r + 0.5;
    p = p * r + 1.0;
    p = p * r + 1.0;
    memcpy(&bits, &p, sizeof bits);
    memcpy(&exponent, &shifted, sizeof exponent);
    bits += exponent << 52;
    memcpy(&p, &bits, sizeof p);
    return p;
}

#endif
