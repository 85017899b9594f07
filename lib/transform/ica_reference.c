/* Readable twins of the kernels of ICA: the formulas in float64, with the C library's functions. */
#include "transform/ica_kernels.h"
#include "transform/ica_products.h"

#include <math.h>

typedef struct point {
    double psi, slope, density;
} point;

static point logcosh_at(double y, double alpha)
{
    double t = tanh(alpha * y);
    return (point){t, alpha * (1 - t * t), fabs(y) + log1p(exp(-2 * alpha * fabs(y))) / alpha};
}

static point exp_at(double y, double alpha)
{
    double e = exp(-alpha * y * y / 2);
    return (point){y * e, (1 - alpha * y * y) * e, -e / alpha};
}

static point cube_at(double y, double alpha)
{
    (void) alpha;
    return (point){y * y * y, 3 * y * y, y * y * y * y / 4};
}

#define TWIN(name, REAL, at)                                                                                           \
    static void name(size_t rows, size_t cols, REAL alpha, REAL *y, REAL *slope, REAL *density, REAL *curvature, REAL *square) \
    {                                                                                                                  \
        for (size_t i = 0; i < rows * cols; i++) {                                                                     \
            point p = at((double) y[i], (double) alpha);                                                               \
            slope[i % cols] += (REAL) p.slope;                                                                         \
            if (density != NULL)                                                                                       \
                density[i % cols] += (REAL) p.density;                                                                 \
            if (curvature != NULL) {                                                                                   \
                curvature[i] = (REAL) p.slope;                                                                         \
                square[i]    = y[i] * y[i];                                                                            \
            }                                                                                                          \
            y[i] = (REAL) p.psi;                                                                                       \
        }                                                                                                              \
    }

TWIN(logcosh_f32, float, logcosh_at)
TWIN(exp_f32, float, exp_at)
TWIN(cube_f32, float, cube_at)
TWIN(logcosh_f64, double, logcosh_at)
TWIN(exp_f64, double, exp_at)
TWIN(cube_f64, double, cube_at)

const mmcl__ica_kernels mmcl__ica_reference = {{logcosh_f32, exp_f32, cube_f32}, {logcosh_f64, exp_f64, cube_f64}};

/* Where element (i, j) of n rows lies in pieces or panels of `width` columns. */
static size_t place(size_t n, size_t width, size_t i, size_t j)
{
    return (j / width * n + i) * width + j % width;
}

#define WIDTH 4

#define PRODUCTS(REAL, NAME)                                                                                           \
    static void NAME(pack)(size_t m, size_t k, const double *w, REAL *panels)                                          \
    {                                                                                                                  \
        size_t padded = MMCL__ICA_IN_PIECES(k);                                                                        \
        for (size_t i = 0; i < (m + WIDTH - 1) / WIDTH * WIDTH; i++)                                                   \
            for (size_t j = 0; j < padded; j++)                                                                        \
                panels[place(padded, WIDTH, j, i)] = i < m && j < k ? (REAL) w[i * k + j] : 0;                         \
    }                                                                                                                  \
    static void NAME(project)(size_t n, size_t k, const REAL *x, const REAL *panel, REAL *y, const void *ahead, size_t bytes) \
    {                                                                                                                  \
        (void) ahead, (void) bytes;                                                                                    \
        for (size_t i = 0; i < n; i++)                                                                                 \
            for (size_t j = 0; j < WIDTH; j++) {                                                                       \
                double sum = 0;                                                                                        \
                for (size_t p = 0; p < k; p++)                                                                         \
                    sum += (double) x[place(n, MMCL__ICA_PIECE, i, p)] * (double) panel[p * WIDTH + j];                \
                y[i * WIDTH + j] = (REAL) sum;                                                                         \
            }                                                                                                          \
    }                                                                                                                  \
    static void NAME(correlate)(size_t n, size_t k, size_t piece, const REAL *x, const REAL *y, bool add, REAL *out)   \
    {                                                                                                                  \
        for (size_t j = 0; j < k; j++)                                                                                 \
            for (size_t p = 0; p < WIDTH; p++) {                                                                       \
                double sum = add ? (double) out[j * WIDTH + p] : 0;                                                    \
                for (size_t i = 0; i < n; i++)                                                                         \
                    sum += (double) x[place(n, piece, i, j)] * (double) y[i * WIDTH + p];                              \
                out[j * WIDTH + p] = (REAL) sum;                                                                       \
            }                                                                                                          \
    }

#define F32(x) x##_f32
#define F64(x) x##_f64
PRODUCTS(float, F32)
PRODUCTS(double, F64)

const mmcl__ica_product_kernels mmcl__ica_products_reference = {{WIDTH, pack_f32, project_f32, correlate_f32},
                                                                {WIDTH, pack_f64, project_f64, correlate_f64}};
