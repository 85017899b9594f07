#include "linalg/isa.h"

#ifdef MMCL__HAVE_X86
#include <cpuid.h>

/* Asked by hand where __builtin_cpu_supports does not know it, which takes a microsecond or more on a virtual machine. */
static int has_f16c(void)
{
#if defined __GNUC__ && !defined __clang__ && __GNUC__ >= 11
    return __builtin_cpu_supports("f16c");
#else
    unsigned a, b, c, d;
    return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
#endif
}
#endif

int mmcl__isa(void)
{
#ifdef MMCL__HAVE_X86
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl"))
        return 2;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c())
        return 1;
#endif
    return 0;
}
