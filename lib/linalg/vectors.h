/*
 * Vectors of LANES neighbouring numbers, as an extension that GCC and Clang share, for files under `isa_sources`: how many lanes there are depends
 * on the instruction set that the file is compiled for. The names have no prefix, as nothing here is seen outside such a file.
 */
#ifndef MMCL_LINALG_VECTORS_H
#define MMCL_LINALG_VECTORS_H

#include <stdint.h>

#if defined(__AVX512F__)
#define LANES 16
#elif defined(__AVX__)
#define LANES 8
#else
#define LANES 4
#endif

typedef float    vec __attribute__((vector_size(4 * LANES)));
typedef int32_t  ivec __attribute__((vector_size(4 * LANES)));
typedef uint32_t uvec __attribute__((vector_size(4 * LANES)));                               /* where wrapping round is meant */
typedef float    loose __attribute__((vector_size(4 * LANES), aligned(4), may_alias));       /* anywhere in memory */
typedef uint32_t loose_uvec __attribute__((vector_size(4 * LANES), aligned(4), may_alias)); /* likewise */

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")

INLINE vec load(const float *at)
{
    return *(const loose *) at;
}

INLINE void store(float *at, vec value)
{
    *(loose *) at = value;
}

#endif
