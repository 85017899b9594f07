/* The softmax with its residuals, in forms that the compiler vectorises. */
#include "classify/softmax.h"

#include "linalg/vecmath.h"

#include <math.h>

#define REAL float
#define LANES 16
#define EXP mmcl__exp_f32
#define KERNEL(name) name##_f32
#include "classify/softmax_row.h"
#undef REAL
#undef LANES
#undef EXP
#undef KERNEL

#define REAL double
#define LANES 8
#define EXP mmcl__exp_f64
#define KERNEL(name) name##_f64
#include "classify/softmax_row.h"

const mmcl__softmax_kernels MMCL__ISA_NAME(mmcl__softmax_kernel) = {softmax_f32, softmax_f64};
