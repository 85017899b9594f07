/* The softmax with its residuals, in forms that the compiler vectorises. */
#include "classify/softmax.h"

#include <math.h>
#include <string.h>

/*
 * exp(x) for x <= 0: x = k ln 2 + r with |r| <= ln(2) / 2, a Taylor polynomial for exp(r), and k added to the exponent. ln 2 is
 * taken in two parts, the first with few enough bits for k times it to be exact. Adding 1.5 * 2^23 (2^52) rounds to an integer,
 * which then stands in the low bits. Below the clamp the result stays at the clamp's, which is as good as 0 here.
 */
static inline float exp_f32(float x)
{
    x           = x < -86.0f ? -86.0f : x;
    float    k  = x * 0x1.715476p+0f + 0x1.8p23f, r, p;
    uint32_t shift, bits;
    memcpy(&shift, &k, sizeof shift);
    k -= 0x1.8p23f;
    r = x - k * 0x1.63p-1f;
    r = r + k * 0x1.bd0106p-13f;
    p = 1.0f / 5040;
    p = p * r + 1.0f / 720;
    p = p * r + 1.0f / 120;
    p = p * r + 1.0f / 24;
    p = p * r + 1.0f / 6;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    memcpy(&bits, &p, sizeof bits);
    bits += shift << 23;
    memcpy(&p, &bits, sizeof p);
    return p;
}

static inline double exp_f64(double x)
{
    x           = x < -700.0 ? -700.0 : x;
    double   k  = x * 0x1.71547652b82fep+0 + 0x1.8p52, r, p;
    uint64_t shift, bits;
    memcpy(&shift, &k, sizeof shift);
    k -= 0x1.8p52;
    r = x - k * 0x1.62e42feep-1;
    r = r - k * 0x1.a39ef35793c76p-33;
    p = 1.0 / 6227020800;
    p = p * r + 1.0 / 479001600;
    p = p * r + 1.0 / 39916800;
    p = p * r + 1.0 / 3628800;
    p = p * r + 1.0 / 362880;
    p = p * r + 1.0 / 40320;
    p = p * r + 1.0 / 5040;
    p = p * r + 1.0 / 720;
    p = p * r + 1.0 / 120;
    p = p * r + 1.0 / 24;
    p = p * r + 1.0 / 6;
    p = p * r + 0.5;
    p = p * r + 1.0;
    p = p * r + 1.0;
    memcpy(&bits, &p, sizeof bits);
    bits += shift << 52;
    memcpy(&p, &bits, sizeof p);
    return p;
}

#define REAL float
#define LANES 16
#define EXP exp_f32
#define KERNEL(name) name##_f32
#include "classify/softmax_row.h"
#undef REAL
#undef LANES
#undef EXP
#undef KERNEL

#define REAL double
#define LANES 8
#define EXP exp_f64
#define KERNEL(name) name##_f64
#include "classify/softmax_row.h"

const mmcl__softmax_kernels MMCL__ISA_NAME(mmcl__softmax_kernel) = {softmax_f32, softmax_f64};
