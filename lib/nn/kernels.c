/* Activations and geometries in forms that the compiler vectorises. Readable twin: kernels_ref.c. */
#include "nn/kernels.h"

#include "linalg/vecmath.h"

#include <math.h>

/* ------------------------------------------------------------------------------------------- elementary functions --- */

static inline float sigmoid(float z)
{
    float e = mmcl__exp_f32(z < 0 ? z : -z), s = 1.0f / (1.0f + e);
    return z < 0 ? e * s : s;
}

/*
 * For small |z| Lambert's continued fraction z / (1 + q / (3 + q / (5 + q / (7 + q / 9)))), q = z^2, as a quotient of polynomials,
 * whose error below 0.6 is under the rounding; else from e^-2|z|.
 */
static inline float hyperbolic_tangent(float z)
{
    float a = fabsf(z), q = z * z, e = mmcl__exp_f32(-2.0f * a);
    float small = z * (945.0f + q * (105.0f + q)) / (945.0f + q * (420.0f + 15.0f * q)), large = (1.0f - e) / (1.0f + e);
    return a < 0.6f ? small : z < 0 ? -large : large;
}

#define GELU_A 0.7978845608f /* sqrt(2 / pi) */
#define GELU_B 0.044715f

static inline float leaky(float z, float slope)
{
    return z < 0 ? slope * z : z;
}

static inline float relu(float z, float slope)
{
    (void) slope;
    return z < 0 ? 0 : z;
}

static inline float tangent(float z, float slope)
{
    (void) slope;
    return hyperbolic_tangent(z);
}

static inline float gelu(float z, float slope)
{
    (void) slope;
    return 0.5f * z * (1.0f + hyperbolic_tangent(GELU_A * (z + GELU_B * z * z * z)));
}

static inline float silu(float z, float slope)
{
    (void) slope;
    return z * sigmoid(z);
}

static inline float identity(float z, float slope)
{
    (void) slope;
    return z;
}

/* Derivatives, from what `activate` saved. */
static inline float leaky_slope(float s, float slope)
{
    return s < 0 ? slope : 1.0f;
}

static inline float relu_slope(float s, float slope)
{
    (void) slope;
    return s > 0 ? 1.0f : 0.0f;
}

static inline float tangent_slope(float s, float slope)
{
    (void) slope;
    return 1.0f - s * s;
}

static inline float gelu_slope(float z, float slope)
{
    (void) slope;
    float t = hyperbolic_tangent(GELU_A * (z + GELU_B * z * z * z));
    return 0.5f * (1.0f + t) + 0.5f * z * (1.0f - t * t) * GELU_A * (1.0f + 3.0f * GELU_B * z * z);
}

static inline float silu_slope(float z, float slope)
{
    (void) slope;
    float s = sigmoid(z);
    return s * (1.0f + z * (1.0f - s));
}

static inline float identity_slope(float s, float slope)
{
    (void) s;
    (void) slope;
    return 1.0f;
}

/* ----------------------------------------------------------------------------------------------------- activations --- */

/* One loop for each activation, so that none branches inside. `SAVED` is the value the derivative needs. */
#define FORWARD(act, SAVED)                                                                                            \
    for (size_t i = 0; i < rows; i++) {                                                                                \
        const float *restrict b = bias;                                                                                \
        float *row = z + i * width, *to = out + i * width;                                                             \
        if (saved != NULL) {                                                                                           \
            float *restrict keep = saved + i * width;                                                                  \
            for (size_t j = 0; j < width; j++) {                                                                       \
                float v = row[j] + b[j], a = act(v, slope);                                                            \
                keep[j] = SAVED;                                                                                       \
                to[j]   = a;                                                                                           \
                (void) a;                                                                                              \
            }                                                                                                          \
        } else {                                                                                                       \
            for (size_t j = 0; j < width; j++)                                                                         \
                to[j] = act(row[j] + b[j], slope);                                                                     \
        }                                                                                                              \
    }                                                                                                                  \
    break

static void activate(mmcl_activation kind, float slope, size_t rows, size_t width, const float *bias, float *z, const float *skip,
                     float *saved, float *out)
{
    switch (kind) {
    case MMCL_ACTIVATION_LEAKY_RELU:
        FORWARD(leaky, a);
    case MMCL_ACTIVATION_RELU:
        FORWARD(relu, a);
    case MMCL_ACTIVATION_TANH:
        FORWARD(tangent, a);
    case MMCL_ACTIVATION_GELU:
        FORWARD(gelu, v);
    case MMCL_ACTIVATION_SILU:
        FORWARD(silu, v);
    default:
        FORWARD(identity, a);
    }
    if (skip != NULL)
        for (size_t i = 0; i < rows * width; i++)
            out[i] += skip[i];
}

#define BACKWARD(act_slope)                                                                                            \
    for (size_t i = 0; i < rows; i++) {                                                                                \
        const float *s = saved + i * width, *in = dh + i * width;                                                      \
        float       *to = dz + i * width, *restrict sum = db;                                                          \
        for (size_t j = 0; j < width; j++) {                                                                           \
            float g = in[j] * act_slope(s[j], slope);                                                                  \
            to[j]   = g;                                                                                               \
            sum[j] += g;                                                                                               \
        }                                                                                                              \
    }                                                                                                                  \
    break

static void deactivate(mmcl_activation kind, float slope, size_t rows, size_t width, const float *saved, const float *dh, float *dz,
                       float *db)
{
    switch (kind) {
    case MMCL_ACTIVATION_LEAKY_RELU:
        BACKWARD(leaky_slope);
    case MMCL_ACTIVATION_RELU:
        BACKWARD(relu_slope);
    case MMCL_ACTIVATION_TANH:
        BACKWARD(tangent_slope);
    case MMCL_ACTIVATION_GELU:
        BACKWARD(gelu_slope);
    case MMCL_ACTIVATION_SILU:
        BACKWARD(silu_slope);
    default:
        BACKWARD(identity_slope);
    }
}

static void add_bias(size_t rows, size_t width, const float *bias, float *y)
{
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < width; j++)
            y[i * width + j] += bias[j];
}

static void add(size_t n, const float *in, float *out)
{
    for (size_t i = 0; i < n; i++)
        out[i] += in[i];
}

static void sum_columns(size_t rows, size_t width, const float *dy, float *db)
{
    for (size_t i = 0; i < rows; i++)
        add(width, dy + i * width, db);
}

/* ------------------------------------------------------------------------------------------------------ geometries --- */

/* In eight lanes, so that it becomes vector code without reordering the sum. */
static inline float dot(size_t n, const float *a, const float *b)
{
    float  lanes[8] = {0}, sum = 0;
    size_t j        = 0;
    for (; j + 8 <= n; j += 8)
        for (size_t l = 0; l < 8; l++)
            lanes[l] += a[j + l] * b[j + l];
    for (; j < n; j++)
        sum += a[j] * b[j];
    for (size_t l = 0; l < 8; l++)
        sum += lanes[l];
    return sum;
}

/* 1 / |y|, and 0 for a row of zeros. A row whose squares leave the range of float32 is scaled first. */
static inline float inverse_norm(size_t n, const float *y)
{
    float square = dot(n, y, y);
    if (square > 1e-30f && square < 1e30f)
        return 1.0f / sqrtf(square);
    double wide = 0;
    for (size_t j = 0; j < n; j++)
        wide += (double) y[j] * y[j];
    return wide > 0 ? (float) (1 / sqrt(wide)) : 0;
}

static void sphere(size_t rows, size_t width, float radius, const float *y, float *out, size_t stride)
{
    for (size_t i = 0; i < rows; i++) {
        const float *row = y + i * width;
        float        by  = radius * inverse_norm(width, row);
        for (size_t j = 0; j < width; j++)
            out[i * stride + j] = by * row[j];
    }
}

static double sphere_back(size_t rows, size_t width, float radius, const float *y, const float *df, size_t stride, float *dy)
{
    double total = 0;
    for (size_t i = 0; i < rows; i++) {
        const float *row = y + i * width, *g = df + i * stride;
        float        inverse = inverse_norm(width, row), along = inverse * dot(width, row, g), by = radius * inverse;
        total += (double) radius * along;
        for (size_t j = 0; j < width; j++)
            dy[i * width + j] = by * (g[j] - along * inverse * row[j]);
    }
    return total;
}

static void box(size_t rows, size_t width, const float *lower, const float *upper, const float *y, float *out, size_t stride)
{
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < width; j++)
            out[i * stride + j] = lower[j] + (upper[j] - lower[j]) * sigmoid(y[i * width + j]);
}

static void box_back(size_t rows, size_t width, const float *lower, const float *upper, const float *y, const float *df,
                     size_t stride, float *dy, float *dlower, float *dupper)
{
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < width; j++) {
            float z = y[i * width + j], s = sigmoid(z), rest = sigmoid(-z), g = df[i * stride + j];
            dy[i * width + j] = g * (upper[j] - lower[j]) * s * rest;
            dlower[j] += rest * g;
            dupper[j] += s * g;
        }
}

const mmcl__nn_kernels MMCL__ISA_NAME(mmcl__nn) = {activate, deactivate, add_bias,    sum_columns, sphere,
                                                   sphere_back, box,     box_back, add};
