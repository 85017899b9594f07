/* The contrast kernels for one precision: REAL, NAME(x), EXP, LOG are set by the file that includes this one. */

/* psi, psi' and -log p at y: the last as density + log(factor) / alpha, since a product of factors takes one logarithm for many rows. */
typedef struct NAME(point) {
    REAL psi, slope, density, factor;
} NAME(point);

static inline NAME(point) NAME(logcosh_at)(REAL y, REAL alpha)
{
    REAL size = y < 0 ? -y : y, e = EXP(-2 * alpha * size), r = 1 / (1 + e), t = (1 - e) * r;
    return (NAME(point)){y < 0 ? -t : t, 4 * alpha * e * r * r, size, 1 + e};
}

static inline NAME(point) NAME(exp_at)(REAL y, REAL alpha)
{
    REAL e = EXP(-alpha * y * y / 2);
    return (NAME(point)){y * e, (1 - alpha * y * y) * e, -e / alpha, 1};
}

static inline NAME(point) NAME(cube_at)(REAL y, REAL alpha)
{
    (void) alpha;
    return (NAME(point)){y * y * y, 3 * y * y, y * y * y * y / 4, 1};
}

/*
 * Columns first ... first + BLOCK - 1, at most; their sums stay in registers or near them. A product of FOLD factors, each from 1 to 2,
 * neither overflows nor loses more than the sum of as many logarithms would. What is not asked for is dropped by the compiler, since
 * every call below has constant flags.
 */
#define BLOCK 64
#define FOLD 64
#define COLUMNS(at, count, with_density, with_tiles)                                                                   \
    for (size_t from = 0; from < rows; from += FOLD) {                                                                 \
        REAL   slopes[BLOCK] = {0}, densities[BLOCK] = {0}, factors[BLOCK];                                            \
        size_t to = rows - from < FOLD ? rows : from + FOLD;                                                           \
        for (size_t j = 0; j < BLOCK && (with_density); j++)                                                           \
            factors[j] = 1;                                                                                            \
        for (size_t i = from; i < to; i++) {                                                                           \
            REAL *restrict row = y + i * cols + first;                                                                 \
            for (size_t j = 0; j < (count); j++) {                                                                     \
                NAME(point) p = at(row[j], alpha);                                                                     \
                slopes[j] += p.slope;                                                                                  \
                if (with_density) {                                                                                    \
                    densities[j] += p.density;                                                                         \
                    factors[j] *= p.factor;                                                                            \
                }                                                                                                      \
                if (with_tiles) {                                                                                      \
                    curvature[i * cols + first + j] = p.slope;                                                         \
                    square[i * cols + first + j]    = row[j] * row[j];                                                 \
                }                                                                                                      \
                row[j] = p.psi;                                                                                        \
            }                                                                                                          \
        }                                                                                                              \
        for (size_t j = 0; j < (count); j++) {                                                                         \
            slope[first + j] += slopes[j];                                                                             \
            if (with_density)                                                                                          \
                density[first + j] += densities[j] + LOG(factors[j]) / alpha;                                          \
        }                                                                                                              \
    }

#define ROWS(at, with_density, with_tiles)                                                                             \
    for (size_t first = 0; first < cols; first += BLOCK) {                                                             \
        size_t count = cols - first < BLOCK ? cols - first : BLOCK;                                                    \
        if (count == BLOCK)                                                                                            \
            COLUMNS(at, BLOCK, with_density, with_tiles)                                                               \
        else                                                                                                           \
            COLUMNS(at, count, with_density, with_tiles)                                                               \
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

#undef BLOCK
#undef FOLD
#undef COLUMNS
#undef ROWS
#undef KERNEL
