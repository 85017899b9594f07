/* Readable twins of the conversion kernels, and the conversions of single elements. */
#include "linalg/convert.h"

#include <math.h>
#include <string.h>

float mmcl__f16_to_f32(uint16_t half)
{
    int   exponent = half >> 10 & 31, fraction = half & 1023;
    float sign = half >> 15 ? -1.0f : 1.0f;
    if (exponent == 31)
        return fraction ? NAN : sign * INFINITY;
    if (exponent == 0)
        return sign * ldexpf((float) fraction, -24);
    return sign * ldexpf((float) (fraction + 1024), exponent - 25);
}

float mmcl__bf16_to_f32(uint16_t half)
{
    return mmcl__f32_of_bits((uint32_t) half << 16);
}

uint16_t mmcl__f32_to_bf16(float value)
{
    uint32_t bits = mmcl__bits_of_f32(value);
    if (isnan(value))
        return (uint16_t) (bits >> 16 | 0x40);
    return (uint16_t) ((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

uint16_t mmcl__f32_to_f16(float value)
{
    uint32_t bits = mmcl__bits_of_f32(value), sign = bits >> 16 & 0x8000;
    float    size = fabsf(value);
    if (isnan(value))
        return (uint16_t) (sign | 0x7e00);
    if (size >= 65520.0f) /* half way to the first number that binary16 lacks */
        return (uint16_t) (sign | 0x7c00);
    /* Scaled so that binary16's last place is 1, where rint rounds ties to even. */
    int exponent;
    frexpf(size, &exponent);
    exponent      = exponent < -13 || size == 0 ? -13 : exponent; /* subnormals share the smallest exponent */
    uint32_t code = (uint32_t) rintf(ldexpf(size, 11 - exponent)); /* 0 ... 2048 */
    return (uint16_t) (sign | (code + ((uint32_t) (exponent + 13) << 10)));
}

static void f16_to_f32(size_t n, const uint16_t *in, float *out)
{
    for (size_t i = 0; i < n; i++)
        out[i] = mmcl__f16_to_f32(in[i]);
}

static void f32_to_f64(size_t n, const float *in, double *out)
{
    for (size_t i = 0; i < n; i++)
        out[i] = in[i];
}

static void f64_to_f32(size_t n, const double *in, float *out)
{
    for (size_t i = 0; i < n; i++)
        out[i] = (float) in[i];
}

static bool finite_f32(size_t n, const float *in)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(in[i]))
            return false;
    return true;
}

static bool finite_f64(size_t n, const double *in)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(in[i]))
            return false;
    return true;
}

const mmcl__convert_kernels mmcl__convert_reference = {f16_to_f32, f32_to_f64, f64_to_f32, finite_f32, finite_f64};
