/* The products of a pass, compiled once per instruction set. */
#include "transform/ica_products.h"

/* Bytes of a vector register. */
#if defined __AVX512F__
#define VECTOR 64
#elif defined __AVX__
#define VECTOR 32
#else
#define VECTOR 16
#endif

#define HEIGHT 6  /* rows of a block of the result: with two registers for each, twelve sums are under way, enough to hide a multiply-add's latency */
#define PIECE MMCL__ICA_PIECE
#define CACHE_LINE 64

#define INLINE static inline __attribute__((always_inline))

#define REAL float
#define NAME(x) x##_f32
#include "transform/ica_products_tmpl.h"
#undef REAL
#undef NAME

#define REAL double
#define NAME(x) x##_f64
#include "transform/ica_products_tmpl.h"

#define WIDTH(type) (2 * VECTOR / sizeof(type))

const mmcl__ica_product_kernels MMCL__ISA_NAME(mmcl__ica_products) = {{WIDTH(float), pack_f32, project_f32, correlate_f32},
                                                                      {WIDTH(double), pack_f64, project_f64, correlate_f64}};
