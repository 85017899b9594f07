/* The readable twins: float64 inside, formulas as they stand in the header. */
#include "nn/kernels.h"

#include <math.h>

static double logistic(double z)
{
    return 1 / (1 + exp(-z));
}

static double gelu_inner(double z)
{
    return tanh(sqrt(2 / acos(-1.0)) * (z + 0.044715 * z * z * z));
}

static double value(mmcl_activation kind, double slope, double z)
{
    switch (kind) {
    case MMCL_ACTIVATION_LEAKY_RELU:
        return z < 0 ? slope * z : z;
    case MMCL_ACTIVATION_RELU:
        return z < 0 ? 0 : z;
    case MMCL_ACTIVATION_TANH:
        return tanh(z);
    case MMCL_ACTIVATION_GELU:
        return z / 2 * (1 + gelu_inner(z));
    case MMCL_ACTIVATION_SILU:
        return z * logistic(z);
    default:
        return z;
    }
}

static double derivative(mmcl_activation kind, double slope, double saved)
{
    double t, s;
    switch (kind) {
    case MMCL_ACTIVATION_LEAKY_RELU:
        return saved < 0 ? slope : 1;
    case MMCL_ACTIVATION_RELU:
        return saved > 0;
    case MMCL_ACTIVATION_TANH:
        return 1 - saved * saved;
    case MMCL_ACTIVATION_GELU:
        t = gelu_inner(saved);
        return (1 + t) / 2 + saved / 2 * (1 - t * t) * sqrt(2 / acos(-1.0)) * (1 + 3 * 0.044715 * saved * saved);
    case MMCL_ACTIVATION_SILU:
        s = logistic(saved);
        return s * (1 + saved * (1 - s));
    default:
        return 1;
    }
}

static bool saves_argument(mmcl_activation kind)
{
    return kind == MMCL_ACTIVATION_GELU || kind == MMCL_ACTIVATION_SILU;
}

static void activate(mmcl_activation kind, float slope, size_t rows, size_t width, const float *bias, float *z, const float *skip,
                     float *saved, float *out)
{
    for (size_t i = 0; i < rows * width; i++) {
        float v = z[i] + bias[i % width], a = (float) value(kind, slope, v);
        if (saved != NULL)
            saved[i] = saves_argument(kind) ? v : a;
        out[i] = skip != NULL ? a + skip[i] : a;
    }
}

static void deactivate(mmcl_activation kind, float slope, size_t rows, size_t width, const float *saved, const float *dh, float *dz,
                       float *db)
{
    for (size_t i = 0; i < rows * width; i++) {
        dz[i] = (float) (dh[i] * derivative(kind, slope, saved[i]));
        db[i % width] += dz[i];
    }
}

static void add_bias(size_t rows, size_t width, const float *bias, float *y)
{
    for (size_t i = 0; i < rows * width; i++)
        y[i] += bias[i % width];
}

static void sum_columns(size_t rows, size_t width, const float *dy, float *db)
{
    for (size_t i = 0; i < rows * width; i++)
        db[i % width] += dy[i];
}

static double length(size_t n, const float *y)
{
    double square = 0;
    for (size_t j = 0; j < n; j++)
        square += (double) y[j] * y[j];
    return sqrt(square);
}

static void sphere(size_t rows, size_t width, float radius, const float *y, float *out, size_t stride)
{
    for (size_t i = 0; i < rows; i++) {
        double norm = length(width, y + i * width);
        for (size_t j = 0; j < width; j++)
            out[i * stride + j] = norm > 0 ? (float) (radius * y[i * width + j] / norm) : 0;
    }
}

static double sphere_back(size_t rows, size_t width, float radius, const float *y, const float *df, size_t stride, float *dy)
{
    double total = 0;
    for (size_t i = 0; i < rows; i++) {
        double norm = length(width, y + i * width), along = 0;
        for (size_t j = 0; j < width && norm > 0; j++)
            along += y[i * width + j] / norm * df[i * stride + j];
        total += radius * along;
        for (size_t j = 0; j < width; j++)
            dy[i * width + j] =
                norm > 0 ? (float) (radius / norm * (df[i * stride + j] - along * y[i * width + j] / norm)) : 0;
    }
    return total;
}

static void box(size_t rows, size_t width, const float *lower, const float *upper, const float *y, float *out, size_t stride)
{
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < width; j++)
            out[i * stride + j] = (float) (lower[j] + ((double) upper[j] - lower[j]) * logistic(y[i * width + j]));
}

static void box_back(size_t rows, size_t width, const float *lower, const float *upper, const float *y, const float *df,
                     size_t stride, float *dy, float *dlower, float *dupper)
{
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < width; j++) {
            double s = logistic(y[i * width + j]), g = df[i * stride + j];
            dy[i * width + j] = (float) (g * ((double) upper[j] - lower[j]) * s * (1 - s));
            dlower[j] += (float) ((1 - s) * g);
            dupper[j] += (float) (s * g);
        }
}

static void add(size_t n, const float *in, float *out)
{
    for (size_t i = 0; i < n; i++)
        out[i] += in[i];
}

const mmcl__nn_kernels mmcl__nn_reference = {activate, deactivate, add_bias, sum_columns, sphere, sphere_back, box, box_back, add};
