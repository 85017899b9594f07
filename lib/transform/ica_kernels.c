/* The contrast kernels, compiled once per instruction set. */
#include "transform/ica_kernels.h"

#include "linalg/vecmath.h"

#include <math.h>
#include <stdbool.h>

#define REAL float
#define NAME(x) x##_f32
#define EXP mmcl__exp_f32
#define LOG logf
#include "transform/ica_kernels_tmpl.h"
#undef REAL
#undef NAME
#undef EXP
#undef LOG

#define REAL double
#define NAME(x) x##_f64
#define EXP mmcl__exp_f64
#define LOG log
#include "transform/ica_kernels_tmpl.h"

const mmcl__ica_kernels MMCL__ISA_NAME(mmcl__ica) = {{logcosh_f32, exp_f32, cube_f32}, {logcosh_f64, exp_f64, cube_f64}};
