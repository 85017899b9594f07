/* Branch-free forms of the conversions, for the compiler to vectorise. */
#include "linalg/convert.h"

#include <string.h>

/*
 * Exponent and fraction move into place and the bias is mended by a product with 2^112, which also normalises subnormals; the
 * largest exponent (infinity, NaN) is then forced back to all ones.
 */
static void f16_to_f32(size_t n, const uint16_t *restrict in, float *restrict out)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t magnitude = (uint32_t) (in[i] & 0x7fff) << 13, bits;
        float    value;
        memcpy(&value, &magnitude, sizeof value);
        value *= 0x1p112f;
        memcpy(&bits, &value, sizeof bits);
        bits |= (magnitude >= 0x0f800000u) ? 0x7f800000u : 0;
        bits |= (uint32_t) (in[i] & 0x8000) << 16;
        memcpy(&out[i], &bits, sizeof bits);
    }
}

static void f32_to_f64(size_t n, const float *restrict in, double *restrict out)
{
    for (size_t i = 0; i < n; i++)
        out[i] = in[i];
}

static void f64_to_f32(size_t n, const double *restrict in, float *restrict out)
{
    for (size_t i = 0; i < n; i++)
        out[i] = (float) in[i];
}

static bool finite_f32(size_t n, const float *in)
{
    uint32_t bad = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &in[i], sizeof bits);
        bad |= (bits & 0x7f800000u) == 0x7f800000u;
    }
    return bad == 0;
}

static bool finite_f64(size_t n, const double *in)
{
    uint64_t bad = 0;
    for (size_t i = 0; i < n; i++) {
        uint64_t bits;
        memcpy(&bits, &in[i], sizeof bits);
        bad |= (bits & 0x7ff0000000000000u) == 0x7ff0000000000000u;
    }
    return bad == 0;
}

const mmcl__convert_kernels MMCL__ISA_NAME(mmcl__convert) = {f16_to_f32, f32_to_f64, f64_to_f32, finite_f32, finite_f64};
