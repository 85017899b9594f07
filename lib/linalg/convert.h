/* Element conversion, and the check for NaN and infinity: kernels per instruction set, with reference twins. */
#ifndef MMCL_LINALG_CONVERT_H
#define MMCL_LINALG_CONVERT_H

#include "linalg/isa.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct mmcl__convert_kernels {
    void (*f16_to_f32)(size_t n, const uint16_t *in, float *out);
    void (*f32_to_f64)(size_t n, const float *in, double *out);
    void (*f64_to_f32)(size_t n, const double *in, float *out);
    bool (*finite_f32)(size_t n, const float *in);
    bool (*finite_f64)(size_t n, const double *in);
} mmcl__convert_kernels;

MMCL__ISA_TABLE(mmcl__convert_kernels, mmcl__convert)
extern const mmcl__convert_kernels mmcl__convert_reference;

/* The bits of a number, and back. */
static inline uint32_t mmcl__bits_of_f32(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}
static inline float mmcl__f32_of_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* One element each; exact, subnormals and NaN included. The way to 16 bits rounds to nearest, ties to even. */
float    mmcl__f16_to_f32(uint16_t half);
float    mmcl__bf16_to_f32(uint16_t half);
uint16_t mmcl__f32_to_f16(float value);
uint16_t mmcl__f32_to_bf16(float value);

#endif
