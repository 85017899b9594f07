/* The contrast kernels for one precision: REAL, NAME(x), EXP, LOG are set by the file that includes this one. */

/* psi, psi' and -log p at y: the last as density + log(factor) / alpha, since a product of factors takes one logarithm for many rows. */
typedef struct NAME(point) {
    REAL psi, slope, density, factor;
} NAME(point);

/* The exponential e that psi at y is made of, and what is made of it. */
static inline REAL NAME(logcosh_term)(REAL y, REAL alpha)
{
    return EXP(-2 * alpha * (y < 0 ? -y : y));
}

static inline NAME(point) NAME(logcosh_at)(REAL y, REAL e, REAL alpha)
{
    REAL size = y < 0 ? -y : y, r = 1 / (1 + e), t = (1 - e) * r;
    return (NAME(point)){y < 0 ? -t : t, 4 * alpha * e * r * r, size, 1 + e};
}

static inline REAL NAME(exp_term)(REAL y, REAL alpha)
{
    return EXP(-alpha * y * y / 2);
}

static inline NAME(point) NAME(exp_at)(REAL y, REAL e, REAL alpha)
{
    return (NAME(point)){y * e, (1 - alpha * y * y) * e, -e / alpha, 1};
}

static inline REAL NAME(cube_term)(REAL y, REAL alpha)
{
    (void) y, (void) alpha;
    return 0;
}

static inline NAME(point) NAME(cube_at)(REAL y, REAL e, REAL alpha)
{
    (void) e, (void) alpha;
    return (NAME(point)){y * y * y, 3 * y * y, y * y * y * y / 4, 1};
}

/*
 * Rows behind one another are lines of LINE values, value j of which belongs to column j % cols. A line is done in two loops: each is
 * a short chain of dependent operations, of which the processor has several under way, where one loop would be a chain too long for
 * that. A product of FOLD factors, each from 1 to 2, neither overflows nor loses more than the sum of as many logarithms would. What is
 * not asked for is dropped by the compiler, since every call below has constant flags.
 */
#define LINE MMCL__ICA_LINE
#define FOLD 64
#define LINES(kind, from, to, count, with_density, with_tiles)                                                         \
    {                                                                                                                  \
        REAL slopes[LINE] = {0}, densities[LINE] = {0}, factors[LINE], terms[LINE];                                    \
        for (size_t j = 0; j < LINE && (with_density); j++)                                                            \
            factors[j] = 1;                                                                                            \
        for (size_t i = from; i < (to); i++) {                                                                         \
            REAL *restrict line = y + i * LINE;                                                                        \
            for (size_t j = 0; j < (count); j++)                                                                       \
                terms[j] = NAME(kind##_term)(line[j], alpha);                                                          \
            for (size_t j = 0; j < (count); j++) {                                                                     \
                NAME(point) p = NAME(kind##_at)(line[j], terms[j], alpha);                                             \
                slopes[j] += p.slope;                                                                                  \
                if (with_density) {                                                                                    \
                    densities[j] += p.density;                                                                         \
                    factors[j] *= p.factor;                                                                            \
                }                                                                                                      \
                if (with_tiles) {                                                                                      \
                    curvature[i * LINE + j] = p.slope;                                                                 \
                    square[i * LINE + j]    = line[j] * line[j];                                                       \
                }                                                                                                      \
                line[j] = p.psi;                                                                                       \
            }                                                                                                          \
        }                                                                                                              \
        for (size_t j = 0; j < (count); j++) {                                                                         \
            slope[j & (cols - 1)] += slopes[j];                                                                        \
            if (with_density)                                                                                          \
                density[j & (cols - 1)] += densities[j] + LOG(factors[j]) / alpha;                                     \
        }                                                                                                              \
    }

#define ROWS(kind, with_density, with_tiles)                                                                           \
    {                                                                                                                  \
        size_t lines = rows * cols / LINE, rest = rows * cols % LINE;                                                  \
        for (size_t first = 0; first < lines; first += FOLD)                                                           \
            LINES(kind, first, (lines - first < FOLD ? lines : first + FOLD), LINE, with_density, with_tiles)          \
        if (rest > 0)                                                                                                  \
            LINES(kind, lines, lines + 1, rest, with_density, with_tiles)                                              \
    }

#define KERNEL(kind)                                                                                                   \
    static void NAME(kind)(size_t rows, size_t cols, REAL alpha, REAL *restrict y, REAL *restrict slope, REAL *restrict density, \
                           REAL *restrict curvature, REAL *restrict square)                                            \
    {                                                                                                                  \
        if (curvature != NULL)                                                                                         \
            ROWS(kind, true, true)                                                                                     \
        else if (density != NULL)                                                                                      \
            ROWS(kind, true, false)                                                                                    \
        else                                                                                                           \
            ROWS(kind, false, false)                                                                                   \
    }

KERNEL(logcosh)
KERNEL(exp)
KERNEL(cube)

#undef LINE
#undef FOLD
#undef LINES
#undef ROWS
#undef KERNEL
