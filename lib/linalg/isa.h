/*
 * Kernels built once per instruction set. A file listed under `isa_sources` in lib/meson.build is compiled several times, with
 * MMCL__ISA naming the set; it defines one table MMCL__ISA_NAME(table), and its readable twin lives in a plain file. Which
 * table to use is settled at run time by mmcl__isa().
 */
#ifndef MMCL_LINALG_ISA_H
#define MMCL_LINALG_ISA_H

#define MMCL__ISA_PASTE_(name, isa) name##_##isa
#define MMCL__ISA_PASTE(name, isa) MMCL__ISA_PASTE_(name, isa)
#define MMCL__ISA_NAME(name) MMCL__ISA_PASTE(name, MMCL__ISA)

/* Index of the best set that this machine has and this build holds: 0 base, 1 AVX2 with FMA and F16C, 2 AVX-512 (F, BW, DQ, VL). */
int mmcl__isa(void);

/* Declares the variants of a table and a function `name()` that picks one. */
#ifdef MMCL__HAVE_X86
#define MMCL__ISA_TABLE(type, name)                                                                                    \
    extern const type name##_base, name##_avx2, name##_avx512;                                                         \
    static inline const type *name(void)                                                                               \
    {                                                                                                                  \
        const type *const variants[] = {&name##_base, &name##_avx2, &name##_avx512};                                   \
        return variants[mmcl__isa()];                                                                                  \
    }
#else
#define MMCL__ISA_TABLE(type, name)                                                                                    \
    extern const type         name##_base;                                                                             \
    static inline const type *name(void)                                                                               \
    {                                                                                                                  \
        return &name##_base;                                                                                           \
    }
#endif

#endif
