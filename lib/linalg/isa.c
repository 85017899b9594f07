#include "linalg/isa.h"

#include <stdatomic.h>

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

static int best_set(void)
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

/* Asked once: in a virtual machine each CPUID leaves for the host, some 20 microseconds. Threads that race here store the same. */
int mmcl__isa(void)
{
    static atomic_int known; /* the set plus one */
    int               set = atomic_load_explicit(&known, memory_order_relaxed);
    if (set == 0) {
        set = best_set() + 1;
        atomic_store_explicit(&known, set, memory_order_relaxed);
    }
    return set - 1;
}
