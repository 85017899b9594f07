/* The contrast kernels for one precision: REAL, NAME(x), EXP, LOG1P are set by the file that includes this one. */

/* psi, psi' and -log p at y. */
typedef struct NAME(point) {
    REAL psi, slope, density;
} NAME(point);

static inline NAME(point) NAME(logcosh_at)(REAL y, REAL alpha)
{
    REAL size = y < 0 ? -y : y, e = EXP(-2 * alpha * size), r = 1 / (1 + e), t = (1 - e) * r;
    return (NAME(point)){y < 0 ? -t : t, 4 * alpha * e * r * r, size + LOG1P(e) / alpha};
}

static inline NAME(point) NAME(exp_at)(REAL y, REAL alpha)
{
    REAL e = EXP(-alpha * y * y / 2);
    return (NAME(point)){y * e, (1 - alpha * y * y) * e, -e / alpha};
}

static inline NAME(point) NAME(cube_at)(REAL y, REAL alpha)
{
    (void) alpha;
    return (NAME(point)){y * y * y, 3 * y * y, y * y * y * y / 4};
}

/* What is not asked for is dropped by the compiler, since every call below has constant flags. */
#define ROWS(at, with_density, with_tiles)                                                                             \
    for (size_t i = 0; i < rows; i++, y += cols) {                                                                     \
        for (size_t j = 0; j < cols; j++) {                                                                            \
            NAME(point) p = at(y[j], alpha);                                                                           \
            slope[j] += p.slope;                                                                                       \
            if (with_density)                                                                                          \
                density[j] += p.density;                                                                               \
            if (with_tiles) {                                                                                          \
                curvature[i * cols + j] = p.slope;                                                                     \
                square[i * cols + j]    = y[j] * y[j];                                                                 \
            }                                                                                                          \
            y[j] = p.psi;                                                                                              \
        }                                                                                                              \
    }

#define KERNEL(name, at)                                                                                               \
    static void name(size_t rows, size_t cols, REAL alpha, REAL *restrict y, REAL *restrict slope, REAL *restrict density, \
                     REAL *restrict curvature, REAL *restrict square)                                                  \
    {                                                                                                                  \
        if (curvature != NULL)                                                                                         \
            ROWS(at, true, true)                                                                                       \
        else if (density != NULL)                                                                                      \
            ROWS(at, true, false)                                                                                      \
        else                                                                                                           \
            ROWS(at, false, false)                                                                                     \
    }

KERNEL(NAME(logcosh), NAME(logcosh_at))
KERNEL(NAME(exp), NAME(exp_at))
KERNEL(NAME(cube), NAME(cube_at))

#undef ROWS
#undef KERNEL
