/* Readable twins of the contrastive kernels: one entry after the other, exponentials and sums in float64. */
#include "contrast/kernels.h"

#include <math.h>

/* ---------------------------------------------------------------------------------------------------- similarities --- */

static double power_of(int term, double p)
{
    const double powers[] = {[MMCL__TERM_SQUARE] = 2, [MMCL__TERM_ABS] = 1, [MMCL__TERM_CUBE] = 3, [MMCL__TERM_FOURTH] = 4};
    return term == MMCL__TERM_POWER ? p : powers[term];
}

static void similarity(int term, size_t rows, size_t cols, size_t dims, float p, const float *x, size_t x_stride, const float *t,
                       size_t t_stride, float *d, size_t d_stride)
{
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < cols; j++) {
            double sum = 0;
            for (size_t k = 0; k < dims; k++) {
                double a = x[i * x_stride + k], b = t[k * t_stride + j];
                sum += term == MMCL__TERM_DOT ? a * b : -pow(fabs(a - b), power_of(term, p));
            }
            d[i * d_stride + j] = (float) sum;
        }
}

static double sign(double value)
{
    return (value > 0) - (value < 0);
}

static void gradient(int term, size_t rows, size_t cols, size_t dims, float p, const float *x, size_t x_stride, const float *t,
                     size_t t_stride, const float *g, size_t g_stride, float *dx, size_t dx_stride, float *dt, size_t dt_stride)
{
    for (size_t i = 0; i < rows; i++)
        for (size_t k = 0; k < dims; k++) {
            double sum = 0;
            for (size_t j = 0; j < cols; j++) {
                double a = x[i * x_stride + k], b = t[k * t_stride + j], weight = g[i * g_stride + j], by_x = b, by_t = a;
                if (term != MMCL__TERM_DOT) {
                    double power = power_of(term, p);
                    by_x = a != b ? -power * pow(fabs(a - b), power - 1) * sign(a - b) : 0;
                    by_t = -by_x;
                }
                sum += weight * by_x;
                if (dt != NULL)
                    dt[k * dt_stride + j] += (float) (weight * by_t);
            }
            if (dx != NULL)
                dx[i * dx_stride + k] += (float) sum;
        }
}

#define TWIN(name, term)                                                                                               \
    static void similarity_##name(size_t rows, size_t cols, size_t dims, float p, const float *x, size_t x_stride,     \
                                  const float *t, size_t t_stride, float *d, size_t d_stride)                          \
    {                                                                                                                  \
        similarity(term, rows, cols, dims, p, x, x_stride, t, t_stride, d, d_stride);                                  \
    }                                                                                                                  \
    static void gradient_##name(size_t rows, size_t cols, size_t dims, float p, const float *x, size_t x_stride,       \
                                const float *t, size_t t_stride, const float *g, size_t g_stride, float *dx,           \
                                size_t dx_stride, float *dt, size_t dt_stride)                                         \
    {                                                                                                                  \
        gradient(term, rows, cols, dims, p, x, x_stride, t, t_stride, g, g_stride, dx, dx_stride, dt, dt_stride);      \
    }

TWIN(dot, MMCL__TERM_DOT)
TWIN(square, MMCL__TERM_SQUARE)
TWIN(abs, MMCL__TERM_ABS)
TWIN(cube, MMCL__TERM_CUBE)
TWIN(fourth, MMCL__TERM_FOURTH)
TWIN(power, MMCL__TERM_POWER)

/* -------------------------------------------------------------------------------------------------------- softmax --- */

static double exponential(float scale, float d, float origin)
{
    double x = (double) scale * (d - origin);
    return x > (double) MMCL__CONTRAST_CUT ? exp(x) : 0;
}

static void tops(size_t rows, size_t cols, const float *d, size_t d_stride, float *row_top, float *col_top)
{
    for (size_t i = 0; i < rows; i++) {
        row_top[i] = d[i * d_stride];
        for (size_t j = 0; j < cols; j++) {
            row_top[i] = fmaxf(row_top[i], d[i * d_stride + j]);
            col_top[j] = fmaxf(col_top[j], d[i * d_stride + j]);
        }
    }
}

static void sums(size_t rows, size_t cols, float scale, const float *d, size_t d_stride, const float *row_top, const float *factor,
                 float *row_sum, float *col_sum)
{
    for (size_t i = 0; i < rows; i++) {
        double sum = 0;
        for (size_t j = 0; j < cols; j++) {
            double e = exponential(scale, d[i * d_stride + j], row_top[i]);
            sum += e;
            col_sum[j] += (float) (factor[i] * e);
        }
        row_sum[i] = (float) sum;
    }
}

static void softmax(size_t rows, size_t cols, float scale, float *d, size_t d_stride, const float *origin, const float *row,
                    const float *both, const float *col, float *totals)
{
    for (size_t i = 0; i < rows; i++) {
        double total = 0, moment = 0;
        for (size_t j = 0; j < cols; j++) {
            float *at = &d[i * d_stride + j];
            double g  = exponential(scale, *at, origin[i]) * ((double) row[i] + (double) both[i] * col[j]);
            total += g;
            moment += g * (*at - origin[i]);
            *at = (float) g;
        }
        totals[2 * i]     = (float) total;
        totals[2 * i + 1] = (float) moment;
    }
}

static void softmax_two(size_t rows, size_t cols, float scale, float *d, size_t d_stride, const float *origin, const float *row,
                        const float *col_origin, const float *col, float *totals)
{
    for (size_t i = 0; i < rows; i++) {
        double total = 0, moment = 0;
        for (size_t j = 0; j < cols; j++) {
            float *at = &d[i * d_stride + j];
            double g  = exponential(scale, *at, origin[i]) * row[i] + exponential(scale, *at, col_origin[j]) * col[j];
            total += g;
            moment += g * (*at - origin[i]);
            *at = (float) g;
        }
        totals[2 * i]     = (float) total;
        totals[2 * i + 1] = (float) moment;
    }
}

/* -------------------------------------------------------------------------------------------------------- sigmoid --- */

static void sigmoid(size_t rows, size_t cols, float scale, float bias, float weight, float *d, size_t d_stride, float *totals)
{
    for (size_t i = 0; i < rows; i++) {
        double total = 0, moment = 0, loss = 0;
        for (size_t j = 0; j < cols; j++) {
            float *at = &d[i * d_stride + j];
            double s = (double) scale * *at + bias, e = fabs(s) < -(double) MMCL__CONTRAST_CUT ? exp(-fabs(s)) : 0;
            double g = weight * (s > 0 ? 1 / (1 + e) : e / (1 + e));
            loss += fmax(s, 0) + log1p(e);
            total += g;
            moment += g * *at;
            *at = (float) g;
        }
        totals[3 * i]     = (float) total;
        totals[3 * i + 1] = (float) moment;
        totals[3 * i + 2] = (float) loss;
    }
}

/* ------------------------------------------------------------------------------------------------------ the others --- */

static void add(size_t rows, size_t cols, float *d, size_t d_stride, const float *row, const float *col)
{
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < cols; j++)
            d[i * d_stride + j] += row[i] + col[j];
}

static void column_sums(size_t rows, size_t cols, const float *g, size_t g_stride, float *sums)
{
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < cols; j++)
            sums[j] += g[i * g_stride + j];
}

const mmcl__contrast_kernels mmcl__contrast_kernel_reference = {
    {similarity_dot, similarity_square, similarity_abs, similarity_cube, similarity_fourth, similarity_power},
    {gradient_dot, gradient_square, gradient_abs, gradient_cube, gradient_fourth, gradient_power},
    tops,
    sums,
    softmax,
    softmax_two,
    sigmoid,
    add,
    column_sums,
};
