/* Encoders: kernels against their twins, gradients against finite differences of a float64 network, forms of use, files, refusals. */
#include "suite.h"
#include "io_support.h"

#include "nn/encoder.h"

#include <math.h>

#define ck_assert_fails(status, expected, text)                                                                        \
    do {                                                                                                               \
        ck_assert_int_eq(status, expected);                                                                            \
        ck_assert_msg(strstr(mmcl_context_message(context), text) != NULL, "message: %s", mmcl_context_message(context)); \
    } while (0)

static double noise(uint64_t i)
{
    uint64_t z = (i + 1) * 0x9E3779B97F4A7C15u;
    z          = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z          = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return (double) ((z ^ (z >> 31)) >> 11) * 0x1p-52 - 1;
}

static void fill(float *values, size_t n, uint64_t seed, double scale)
{
    for (size_t i = 0; i < n; i++)
        values[i] = (float) (scale * noise(seed * 1000003 + i));
}

/* --------------------------------------------------------------------------------------------------------- kernels --- */

static void near(const float *a, const float *b, size_t n, double tolerance)
{
    for (size_t i = 0; i < n; i++)
        if (!(fabs((double) a[i] - b[i]) <= tolerance * (1 + fabs((double) b[i])))) /* an assertion for each would take longer than the rest */
            ck_abort_msg("[%zu] %g, expected %g", i, (double) a[i], (double) b[i]);
}

START_TEST(kernels_equal_reference)
{
    const mmcl__nn_kernels *fast = mmcl__nn(), *slow = &mmcl__nn_reference;
    enum { MOST = 7 * 37 };
    float z[MOST + 1], skip[MOST], bias[64], a[2][MOST + 1], s[2][MOST + 1], sums[4][64 + 1];
    for (size_t width = 1; width <= 37; width++)
        for (size_t rows = 0; rows <= 7; rows += 1 + width % 3)
            for (mmcl_activation kind = 0; kind <= MMCL_ACTIVATION_IDENTITY; kind++) {
                size_t n = rows * width;
                fill(z, n, width, width % 2 ? 4 : 40);
                fill(skip, n, width + 1, 1);
                fill(bias, width, width + 2, 1);
                memset(sums, 0, sizeof sums);
                a[0][n] = a[1][n] = s[0][n] = s[1][n] = sums[0][width] = sums[1][width] = 7;
                fast->activate(kind, 0.2f, rows, width, bias, z, rows % 2 ? skip : NULL, s[0], a[0]);
                slow->activate(kind, 0.2f, rows, width, bias, z, rows % 2 ? skip : NULL, s[1], a[1]);
                near(a[0], a[1], n + 1, 1e-6);
                near(s[0], s[1], n + 1, 1e-6);
                fast->activate(kind, 0.2f, rows, width, bias, z, rows % 2 ? skip : NULL, NULL, a[0]);
                near(a[0], a[1], n + 1, 1e-6);
                fast->deactivate(kind, 0.2f, rows, width, s[1], skip, a[0], sums[0]);
                slow->deactivate(kind, 0.2f, rows, width, s[1], skip, a[1], sums[1]);
                near(a[0], a[1], n + 1, 1e-6);
                near(sums[0], sums[1], width + 1, 1e-5);
            }
}
END_TEST

START_TEST(geometries_equal_reference)
{
    const mmcl__nn_kernels *fast = mmcl__nn(), *slow = &mmcl__nn_reference;
    enum { ROWS = 5, MOST = ROWS * 40 };
    float y[MOST], df[MOST], out[2][MOST], lower[40], upper[40], sums[4][41];
    for (size_t width = 1; width <= 37; width++) {
        size_t stride = width + 3;
        fill(y, ROWS * width, width, 3);
        memset(y + width, 0, width * sizeof *y); /* a row of zeros */
        y[0] = width % 2 ? 1e-25f : 1e25f;       /* squares that leave the range of float32 */
        fill(df, MOST, width + 1, 1);
        for (size_t j = 0; j < width; j++) {
            lower[j] = (float) noise(j) - 2;
            upper[j] = (float) noise(j + 50) + 2;
        }
        memset(out, 0, sizeof out);
        fast->sphere(ROWS, width, 1.5f, y, out[0], stride);
        slow->sphere(ROWS, width, 1.5f, y, out[1], stride);
        near(out[0], out[1], MOST, 1e-6);
        ck_assert(out[0][stride] == 0);
        y[0]        = 1;
        double fast_sum = fast->sphere_back(ROWS, width, 1.5f, y, df, stride, out[0]);
        double slow_sum = slow->sphere_back(ROWS, width, 1.5f, y, df, stride, out[1]);
        near(out[0], out[1], MOST, 1e-5);
        ck_assert(fabs(fast_sum - slow_sum) < 1e-5);
        fast->box(ROWS, width, lower, upper, y, out[0], stride);
        slow->box(ROWS, width, lower, upper, y, out[1], stride);
        near(out[0], out[1], MOST, 1e-6);
        memset(sums, 0, sizeof sums);
        fast->box_back(ROWS, width, lower, upper, y, df, stride, out[0], sums[0], sums[1]);
        slow->box_back(ROWS, width, lower, upper, y, df, stride, out[1], sums[2], sums[3]);
        near(out[0], out[1], MOST, 1e-5);
        near(sums[0], sums[2], 41, 1e-5);
        near(sums[1], sums[3], 41, 1e-5);
    }
}
END_TEST

/* ------------------------------------------------------------------------------------------------ the float64 twin --- */

static double act(const mmcl_encoder_options *options, double z)
{
    switch (options->activation) {
    case MMCL_ACTIVATION_LEAKY_RELU:
        return z < 0 ? options->slope * z : z;
    case MMCL_ACTIVATION_RELU:
        return z < 0 ? 0 : z;
    case MMCL_ACTIVATION_TANH:
        return tanh(z);
    case MMCL_ACTIVATION_GELU:
        return z / 2 * (1 + tanh(sqrt(2 / acos(-1.0)) * (z + 0.044715 * z * z * z)));
    case MMCL_ACTIVATION_SILU:
        return z / (1 + exp(-z));
    default:
        return z;
    }
}

/* What the twin needs to know of an encoder, asked for once. */
typedef struct twin {
    mmcl_encoder_options options;
    size_t               tensors;
    mmcl_parameter       tensor[16];
} twin;

static twin twin_of(const mmcl_encoder *encoder)
{
    twin shape = {.options = {.struct_size = sizeof shape.options}, .tensors = mmcl_encoder_parameter_count(encoder)};
    ck_assert_ok(mmcl_encoder_get_options(encoder, &shape.options));
    ck_assert_uint_le(shape.tensors, 16);
    for (size_t i = 0; i < shape.tensors; i++) {
        shape.tensor[i].struct_size = sizeof shape.tensor[i];
        ck_assert_ok(mmcl_encoder_parameter(encoder, i, &shape.tensor[i]));
    }
    return shape;
}

/* One row through the network, written from the formulas of encoder.h alone. `p` has the layout of the parameters. */
static void twin_row(const twin *shape, const double *p, const double *x, double *out)
{
    const mmcl_encoder_options *options = &shape->options;
    const mmcl_parameter       *tensor  = shape->tensor;
    double                      h[64], z[64], square = 0;
    memcpy(h, x, options->inputs * sizeof *h);
    if (options->input_map) {
        const mmcl_parameter b = tensor[shape->tensors - 2], w = tensor[shape->tensors - 1];
        for (size_t i = 0; i < options->inputs; i++) {
            h[i] = 0;
            for (size_t j = 0; j < options->inputs; j++)
                h[i] += p[w.offset + i * w.cols + j] * (x[j] + p[b.offset + j]);
        }
    }
    for (size_t l = 0; l <= options->hidden_count; l++) {
        const mmcl_parameter w = tensor[2 * l], b = tensor[2 * l + 1];
        for (size_t i = 0; i < w.rows; i++) {
            z[i] = p[b.offset + i];
            for (size_t j = 0; j < w.cols; j++)
                z[i] += p[w.offset + i * w.cols + j] * h[j];
            if (l < options->hidden_count)
                z[i] = act(options, z[i]) + (options->residual && w.rows == w.cols ? h[i] : 0);
        }
        memcpy(h, z, sizeof h);
    }
    const double *geometry = p + tensor[2 * options->hidden_count + 2 < shape->tensors ? 2 * options->hidden_count + 2 : 0].offset;
    for (size_t j = 0; j < options->outputs; j++)
        square += h[j] * h[j];
    for (size_t j = 0; j < options->outputs; j++) {
        out[j] = h[j];
        if (options->geometry == MMCL_GEOMETRY_SPHERE)
            out[j] = exp(geometry[0]) * h[j] / sqrt(square);
        if (options->geometry == MMCL_GEOMETRY_BOX) {
            double lower = geometry[j], upper = p[tensor[2 * options->hidden_count + 3].offset + j];
            out[j]       = lower + (upper - lower) / (1 + exp(-h[j]));
        }
    }
}

/* sum_ij c_ij f_ij: its gradient is what backward gives for df = c. */
static double twin_loss(const twin *shape, const double *p, const double *x, const float *c, size_t rows)
{
    size_t outputs = shape->options.outputs;
    double out[64], sum = 0;
    for (size_t i = 0; i < rows; i++) {
        twin_row(shape, p, x + i * shape->options.inputs, out);
        for (size_t j = 0; j < outputs; j++)
            sum += c[i * outputs + j] * out[j];
    }
    return sum;
}

static mmcl_encoder *make(mmcl_context *in, const uint64_t *hidden, size_t count, mmcl_encoder_options options)
{
    mmcl_encoder *encoder;
    options.struct_size  = sizeof options;
    options.hidden       = hidden;
    options.hidden_count = count;
    options.inputs       = options.inputs != 0 ? options.inputs : 5;
    options.outputs      = options.outputs != 0 ? options.outputs : 3;
    options.seed         = options.seed != 0 ? options.seed : 11;
    ck_assert_int_eq(mmcl_encoder_create(&encoder, in, &options), MMCL_OK);
    mmcl_parameter parameter = {.struct_size = sizeof parameter};
    for (size_t i = 1; i <= 2 * count + 1; i += 2) { /* biases other than zero */
        ck_assert_ok(mmcl_encoder_parameter(encoder, i, &parameter));
        fill(parameter.data, parameter.rows, i, 0.3);
    }
    return encoder;
}

/* Difference quotient by element `at` of `values`. */
static double quotient(const twin *shape, double *p, double *x, const float *c, size_t rows, double *at)
{
    const double h = 1e-6, kept = *at;
    *at         = kept + h;
    double more = twin_loss(shape, p, x, c, rows);
    *at         = kept - h;
    double less = twin_loss(shape, p, x, c, rows);
    *at         = kept;
    return (more - less) / (2 * h);
}

static void check_gradients(const mmcl_encoder *encoder, size_t rows, bool fixed)
{
    size_t          size = mmcl_encoder_size(encoder), inputs, outputs, tensors = mmcl_encoder_parameter_count(encoder);
    const twin      shape = twin_of(encoder);
    mmcl_workspace *workspace;
    ck_assert_ok(mmcl_encoder_shape(encoder, &inputs, &outputs));
    float  *x = calloc(rows * inputs, 4), *c = calloc(rows * outputs, 4), *out = calloc(rows * outputs, 4), *dp = calloc(size, 4);
    float  *dx = calloc(rows * inputs, 4), *plain = calloc(rows * outputs, 4);
    double *p = calloc(size, 8), *wide = calloc(rows * inputs, 8), row[64], scale = 0;
    fill(x, rows * inputs, 1, 1.5);
    fill(c, rows * outputs, 2, 1);
    for (size_t i = 0; i < rows * inputs; i++)
        wide[i] = x[i];
    for (size_t i = 0; i < size; i++)
        p[i] = encoder->parameters[i];
    mmcl_matrix view = {.data = x, .rows = rows, .cols = inputs};
    ck_assert_ok(mmcl_workspace_create(&workspace, encoder, rows + 3));
    ck_assert_ok(mmcl_workspace_forward(workspace, &view, out, 0));
    ck_assert_ok(mmcl_encoder_forward(encoder, &view, plain, 0));
    ck_assert_ok(mmcl_workspace_backward(workspace, c, 0, dp, dx));
    near(out, plain, rows * outputs, 1e-5);
    for (size_t i = 0; i < rows; i++) {
        twin_row(&shape, p, wide + i * inputs, row);
        for (size_t j = 0; j < outputs; j++)
            ck_assert(fabs(out[i * outputs + j] - row[j]) < 1e-5 * (1 + fabs(row[j])));
    }
    for (size_t i = 0; i < size; i++)
        scale = fmax(scale, fabs((double) dp[i]));
    for (size_t t = 0; t < tensors; t++) {
        const mmcl_parameter tensor = shape.tensor[t];
        bool frozen = strncmp(tensor.name, "input", 5) == 0 || (fixed && strncmp(tensor.name, "layer", 5) != 0);
        for (size_t i = tensor.offset; i < tensor.offset + tensor.rows * tensor.cols; i++) {
            double expected = frozen ? 0 : quotient(&shape, p, wide, c, rows, &p[i]);
            ck_assert_msg(fabs(dp[i] - expected) < 2e-5 * scale + 1e-5 * fabs(expected), "%s: %g, expected %g of %g", tensor.name,
                          (double) dp[i], expected, scale);
        }
    }
    for (size_t i = 0; i < rows * inputs; i++) { /* which only its own row depends on */
        size_t own      = i / inputs;
        double expected = quotient(&shape, p, wide + own * inputs, c + own * outputs, 1, &wide[i]);
        ck_assert_msg(fabs(dx[i] - expected) < 1e-4 * (0.1 + fabs(expected)), "input: %g, expected %g", (double) dx[i], expected);
    }
    mmcl_workspace_destroy(workspace);
    free(x), free(c), free(out), free(dp), free(dx), free(plain), free(p), free(wide);
}

START_TEST(gradients_equal_difference_quotients)
{
    const uint64_t hidden[] = {7, 7, 4, 4, 5};
    for (mmcl_activation activation = 0; activation <= MMCL_ACTIVATION_IDENTITY; activation++)
        for (mmcl_geometry geometry = 0; geometry <= MMCL_GEOMETRY_BOX; geometry++)
            for (uint32_t variant = 0; variant < 8; variant++) {
                mmcl_encoder_options options = {.activation     = activation,
                                                .geometry       = geometry,
                                                .slope          = 0.2,
                                                .radius         = 1.5,
                                                .lower          = -1,
                                                .upper          = 2,
                                                .learn_geometry = variant & 1,
                                                .residual       = variant >> 1 & 1,
                                                .input_map      = variant >> 2};
                mmcl_encoder        *encoder = make(context, hidden, 5, options);
                double mean[5], matrix[25];
                for (size_t i = 0; i < 25; i++) {
                    matrix[i]   = noise(i);
                    mean[i % 5] = noise(i + 100);
                }
                if (options.input_map)
                    ck_assert_ok(mmcl_encoder_set_input(encoder, mean, matrix));
                else
                    ck_assert_fails(mmcl_encoder_set_input(encoder, mean, matrix), MMCL_E_STATE, "input_map");
                check_gradients(encoder, 5, !options.learn_geometry);
                mmcl_encoder_destroy(encoder);
            }
}
END_TEST

START_TEST(gradients_of_many_lanes_and_odd_shapes)
{
    const uint64_t        five[] = {5}, many[] = {3};
    mmcl_encoder_options linear = {.outputs = 4}, skip = {.residual = 1, .activation = MMCL_ACTIVATION_TANH};
    mmcl_encoder        *a = make(context, NULL, 0, linear), *b = make(context, five, 1, skip), *c = make(context, many, 1, skip);
    check_gradients(a, 1, false);
    check_gradients(b, 6, false);   /* the first layer adds the input itself */
    check_gradients(c, 611, false); /* four lanes of unequal length */
    mmcl_encoder_destroy(a);
    mmcl_encoder_destroy(b);
    mmcl_encoder_destroy(c);
}
END_TEST

/* --------------------------------------------------------------------------------------------------------- threads --- */

static mmcl_status count_blocks(mmcl_context *in, uint64_t *blocks)
{
    mmcl_memory_info memory = {.struct_size = sizeof memory};
    mmcl_status      status = mmcl_context_memory(in, &memory);
    *blocks                 = memory.total_blocks;
    return status;
}

START_TEST(any_thread_count_gives_the_same_bits)
{
    enum { N = 1500, D = 20 };
    const uint64_t hidden[] = {40, 40};
    static float   x[N * D], c[N * 3], out[3][N * 3], plain[3][N * 3], dx[3][N * D];
    float         *dp[3];
    uint64_t       before, after;
    fill(x, N * D, 1, 1);
    fill(c, N * 3, 2, 1);
    for (uint32_t threads = 1; threads <= 3; threads++) {
        mmcl_context        *own;
        mmcl_context_options options = {.struct_size = sizeof options, .threads = threads};
        mmcl_workspace      *workspace;
        mmcl_matrix          rows = {.data = x, .rows = N, .cols = D};
        ck_assert_int_eq(mmcl_context_create(&own, &options), MMCL_OK);
        mmcl_encoder *encoder = make(own, hidden, 2, (mmcl_encoder_options){.inputs = D, .geometry = MMCL_GEOMETRY_SPHERE, .learn_geometry = 1});
        float        *sums = dp[threads - 1] = calloc(mmcl_encoder_size(encoder), sizeof *sums);
        ck_assert_int_eq(mmcl_workspace_create(&workspace, encoder, N), MMCL_OK);
        ck_assert_int_eq(count_blocks(own, &before), MMCL_OK);
        ck_assert_int_eq(mmcl_workspace_forward(workspace, &rows, out[threads - 1], 0), MMCL_OK);
        ck_assert_int_eq(mmcl_workspace_backward(workspace, c, 0, sums, dx[threads - 1]), MMCL_OK);
        ck_assert_int_eq(mmcl_encoder_forward(encoder, &rows, plain[threads - 1], 0), MMCL_OK);
        ck_assert_int_eq(count_blocks(own, &after), MMCL_OK);
        ck_assert_uint_eq(before, after); /* none of them allocates */
        ck_assert_mem_eq(sums, dp[0], mmcl_encoder_size(encoder) * sizeof *sums);
        ck_assert_mem_eq(out[threads - 1], out[0], sizeof out[0]);
        ck_assert_mem_eq(plain[threads - 1], plain[0], sizeof plain[0]);
        ck_assert_mem_eq(dx[threads - 1], dx[0], sizeof dx[0]);
        mmcl_workspace_destroy(workspace);
        mmcl_encoder_destroy(encoder);
        mmcl_context_destroy(own);
    }
    for (size_t i = 0; i < 3; i++)
        free(dp[i]);
}
END_TEST

/* ---------------------------------------------------------------------------------------------------- use and files --- */

START_TEST(start_keeps_variance)
{
    enum { N = 2000, D = 64 };
    const uint64_t hidden[] = {256, 256, 256};
    static float   x[N * D], out[N * 32];
    for (mmcl_activation activation = 0; activation <= MMCL_ACTIVATION_IDENTITY; activation++) {
        mmcl_encoder        *encoder;
        mmcl_encoder_options options = {.struct_size = sizeof options, .hidden = hidden, .hidden_count = 3, .inputs = D, .outputs = 32,
                                        .seed = 3, .activation = activation};
        double               square = 0;
        fill(x, N * D, 5, sqrt(3)); /* variance 1 */
        ck_assert_ok(mmcl_encoder_create(&encoder, context, &options));
        ck_assert_ok(mmcl_encoder_forward(encoder, &(mmcl_matrix){.data = x, .rows = N, .cols = D}, out, 0));
        for (size_t i = 0; i < N * 32; i++)
            square += (double) out[i] * out[i];
        ck_assert_msg(square / (N * 32) > 0.3 && square / (N * 32) < 3, "activation %d: %g", (int) activation, square / (N * 32));
        mmcl_encoder_destroy(encoder);
    }
}
END_TEST

START_TEST(composition_is_exact)
{
    const uint64_t hidden[] = {6};
    enum { N = 40, D = 5, K = 3 };
    const double turn[K * K] = {0.36, 0.48, -0.8, -0.8, 0.6, 0, 0.48, 0.64, 0.6}, mean[K] = {0.5, -1, 2};
    float        x[N * D], before[N * K], after[N * K];
    mmcl_matrix  rows = {.data = x, .rows = N, .cols = D};
    fill(x, N * D, 1, 1);
    for (mmcl_geometry geometry = 0; geometry <= MMCL_GEOMETRY_BOX; geometry++) {
        mmcl_encoder *encoder = make(context, hidden, 1, (mmcl_encoder_options){.geometry = geometry});
        const double *shift   = geometry == MMCL_GEOMETRY_SPHERE ? NULL : mean;
        ck_assert_ok(mmcl_encoder_forward(encoder, &rows, before, 0));
        ck_assert_ok(mmcl_encoder_compose(encoder, shift, turn));
        ck_assert_ok(mmcl_encoder_forward(encoder, &rows, after, 0));
        for (size_t i = 0; i < N; i++)
            for (size_t j = 0; j < K; j++) {
                double expected = 0;
                for (size_t k = 0; k < K; k++) {
                    double y = before[i * K + k]; /* in a box: what enters the sigmoid */
                    y        = geometry == MMCL_GEOMETRY_BOX ? log(y / (1 - y)) : y;
                    expected += turn[j * K + k] * (y - (shift != NULL ? mean[k] : 0));
                }
                expected = geometry == MMCL_GEOMETRY_BOX ? 1 / (1 + exp(-expected)) : expected;
                ck_assert_msg(fabs(after[i * K + j] - expected) < 1e-5, "geometry %d: %g, expected %g", (int) geometry,
                              (double) after[i * K + j], expected);
            }
        if (geometry == MMCL_GEOMETRY_SPHERE) {
            const double stretch[K * K] = {2, 0, 0, 0, 1, 0, 0, 0, 1};
            ck_assert_fails(mmcl_encoder_compose(encoder, NULL, stretch), MMCL_E_UNSUPPORTED, "orthogonal");
            ck_assert_fails(mmcl_encoder_compose(encoder, mean, turn), MMCL_E_UNSUPPORTED, "orthogonal");
        }
        mmcl_encoder_destroy(encoder);
    }
}
END_TEST

START_TEST(loaded_encodes_as_saved)
{
    const uint64_t hidden[] = {7, 7};
    float          x[20 * 5], a[20 * 3], b[20 * 3];
    mmcl_matrix    rows = {.data = x, .rows = 20, .cols = 5};
    fill(x, 100, 1, 1);
    for (mmcl_geometry geometry = 0; geometry <= MMCL_GEOMETRY_BOX; geometry++) {
        mmcl_encoder_options options = {.geometry = geometry, .residual = 1, .activation = MMCL_ACTIVATION_SILU, .seed = UINT64_MAX,
                                        .learn_geometry = 1, .lower = -2, .upper = 3, .radius = 2, .input_map = 1};
        mmcl_encoder_options first = {.struct_size = sizeof first}, second = {.struct_size = sizeof second};
        mmcl_encoder        *encoder = make(context, hidden, 2, options), *loaded, *copy;
        ck_assert_ok(mmcl_encoder_save(encoder, in_folder("encoder")));
        ck_assert_ok(mmcl_encoder_load(&loaded, context, in_folder("encoder"), NULL));
        ck_assert_ok(mmcl_encoder_clone(&copy, encoder));
        ck_assert_ok(mmcl_encoder_forward(encoder, &rows, a, 0));
        ck_assert_ok(mmcl_encoder_forward(loaded, &rows, b, 0));
        ck_assert_mem_eq(a, b, sizeof a);
        ck_assert_ok(mmcl_encoder_forward(copy, &rows, b, 0));
        ck_assert_mem_eq(a, b, sizeof a);
        ck_assert_ok(mmcl_encoder_get_options(encoder, &first));
        ck_assert_ok(mmcl_encoder_get_options(loaded, &second));
        ck_assert(first.hidden != second.hidden);
        ck_assert_mem_eq(first.hidden, second.hidden, 2 * sizeof *first.hidden);
        first.hidden = second.hidden = NULL;
        ck_assert_mem_eq(&first, &second, sizeof first);
        mmcl_encoder_destroy(encoder);
        mmcl_encoder_destroy(loaded);
        mmcl_encoder_destroy(copy);
    }
}
END_TEST

START_TEST(damaged_files_are_refused)
{
    const uint64_t hidden[] = {7};
    mmcl_encoder  *encoder = make(context, hidden, 1, (mmcl_encoder_options){.geometry = MMCL_GEOMETRY_BOX}), *loaded;
    size_t         count;
    ck_assert_ok(mmcl_encoder_save(encoder, in_folder("whole")));
    unsigned char *bytes = load_bytes(in_folder("whole"), &count);
    for (size_t cut = 0; cut < count; cut += 37) { /* truncated anywhere */
        save_bytes(in_folder("cut"), bytes, cut);
        ck_assert_int_eq(mmcl_encoder_load(&loaded, context, in_folder("cut"), NULL), MMCL_E_FORMAT);
        ck_assert_ptr_null(loaded);
    }
    for (size_t at = 0; at < count; at += 11) { /* a flipped byte: refused, or in a place that does not matter */
        bytes[at] ^= 0x55;
        save_bytes(in_folder("flipped"), bytes, count);
        if (mmcl_encoder_load(&loaded, context, in_folder("flipped"), NULL) == MMCL_OK) {
            ck_assert_mem_eq(loaded->parameters, encoder->parameters, encoder->size * sizeof(float));
            mmcl_encoder_destroy(loaded);
        }
        bytes[at] ^= 0x55;
    }
    mmcl_transform *transform;
    ck_assert_fails(mmcl_transform_load(&transform, context, in_folder("whole"), NULL), MMCL_E_FORMAT, "a model of kind 'encoder'");
    encoder->parameters[0] = NAN;
    ck_assert_fails(mmcl_encoder_save(encoder, in_folder("nan")), MMCL_E_NUMERIC, "'layer0/weight' holds NaN");
    free(bytes);
    mmcl_encoder_destroy(encoder);
}
END_TEST

/* ------------------------------------------------------------------------------------------------------------ host --- */

struct host {
    uint64_t calls, rows, most;
};

static mmcl_status double_them(void *user, const mmcl_encoder_rows *rows, float *out)
{
    struct host *host = user;
    ck_assert(rows->first + rows->rows <= rows->batch && rows->step == UINT64_MAX && rows->indices == NULL);
    ck_assert_uint_eq(rows->first, host->rows);
    host->calls++;
    host->rows += rows->rows;
    host->most = rows->rows > host->most ? rows->rows : host->most;
    for (size_t i = 0; i < rows->rows * 4; i++)
        out[i] = 2 * rows->inputs[i];
    return host->rows > 60 ? -77 : MMCL_OK;
}

START_TEST(host_encoders_are_called_in_chunks)
{
    struct host       host = {0};
    mmcl_host_encoder options = {.struct_size = sizeof options, .user = &host, .inputs = 4, .outputs = 4, .chunk = 16, .represent = double_them};
    mmcl_encoder     *encoder;
    mmcl_workspace   *workspace;
    float             x[64 * 4], out[64 * 5] = {0};
    mmcl_matrix       rows = {.data = x, .rows = 50, .cols = 4};
    fill(x, 256, 1, 1);
    ck_assert_ok(mmcl_encoder_create_host(&encoder, context, &options));
    ck_assert_ok(mmcl_encoder_forward(encoder, &rows, out, 5));
    ck_assert_uint_eq(host.calls, 4);
    ck_assert_uint_eq(host.most, 16);
    for (size_t i = 0; i < 50; i++)
        for (size_t j = 0; j < 5; j++)
            ck_assert(out[i * 5 + j] == (j < 4 ? 2 * x[i * 4 + j] : 0));
    rows.rows = 64;
    host.rows = 0;
    ck_assert_int_eq(mmcl_encoder_forward(encoder, &rows, out, 5), MMCL_E_CALLBACK);
    ck_assert_uint_eq(mmcl_encoder_parameter_count(encoder) + mmcl_encoder_size(encoder), 0);
    ck_assert_fails(mmcl_encoder_save(encoder, in_folder("host")), MMCL_E_UNSUPPORTED, "host encoder");
    ck_assert_fails(mmcl_workspace_create(&workspace, encoder, 10), MMCL_E_UNSUPPORTED, "host encoder");
    mmcl_encoder_destroy(encoder);
    options.represent = NULL;
    ck_assert_fails(mmcl_encoder_create_host(&encoder, context, &options), MMCL_E_INVAL, "represent");
}
END_TEST

/* -------------------------------------------------------------------------------------------------------- refusals --- */

static void refused(mmcl_encoder_options options, const char *text)
{
    mmcl_encoder *encoder = (void *) &options;
    options.struct_size   = sizeof options;
    ck_assert_fails(mmcl_encoder_create(&encoder, context, &options), MMCL_E_INVAL, text);
    ck_assert_ptr_null(encoder);
}

START_TEST(bad_input_is_named)
{
    const uint64_t       wide[] = {4, 20000};
    mmcl_encoder_options good   = {.inputs = 5, .outputs = 3}, o;
    refused((mmcl_encoder_options){.outputs = 3}, "inputs: 0");
    refused((mmcl_encoder_options){.inputs = 3}, "outputs: 0");
    o = good, o.hidden = wide, o.hidden_count = 2, refused(o, "hidden[1]: 20000");
    o = good, o.hidden_count = 2, refused(o, "hidden: NULL");
    o = good, o.hidden = wide, o.hidden_count = 65, refused(o, "hidden_count: 65");
    o = good, o.activation = 9, refused(o, "activation: 9");
    o = good, o.geometry = -1, refused(o, "geometry: -1");
    o = good, o.slope = -0.1, refused(o, "slope: -0.1");
    o = good, o.slope = NAN, refused(o, "slope: nan");
    o = good, o.gain = -1, refused(o, "gain: -1");
    o = good, o.radius = INFINITY, refused(o, "radius: inf");
    o = good, o.lower = 2, o.upper = 1, refused(o, "lower and upper: 2 and 1");
    o = good, o.input_map = 2, refused(o, "input_map: 2");
    o = good, o.residual = 2, refused(o, "residual: 2");
    o = good, o.outputs = 1, o.geometry = MMCL_GEOMETRY_SPHERE, refused(o, "a sphere needs at least 2");

    mmcl_encoder   *encoder = make(context, NULL, 0, good);
    mmcl_workspace *workspace;
    float           x[50] = {0}, out[50];
    mmcl_matrix     rows = {.data = x, .rows = 5, .cols = 4};
    ck_assert_fails(mmcl_workspace_create(&workspace, encoder, 0), MMCL_E_INVAL, "rows: 0");
    ck_assert_ok(mmcl_workspace_create(&workspace, encoder, 6));
    ck_assert_fails(mmcl_workspace_backward(workspace, x, 0, out, NULL), MMCL_E_STATE, "no forward yet");
    ck_assert_int_eq(mmcl_encoder_forward(encoder, &rows, out, 0), MMCL_E_INVAL);
    ck_assert_fails(mmcl_workspace_forward(workspace, &rows, out, 0), MMCL_E_INVAL, "rows: 4 columns, expected 5");
    rows.cols = 5;
    ck_assert_fails(mmcl_workspace_forward(workspace, &rows, out, 2), MMCL_E_INVAL, "out_stride: 2");
    rows.rows = 7;
    ck_assert_fails(mmcl_workspace_forward(workspace, &rows, out, 0), MMCL_E_INVAL, "7 rows, expected 1 to 6");
    rows.rows = 5;
    x[12]     = INFINITY;
    ck_assert_fails(mmcl_workspace_forward(workspace, &rows, out, 0), MMCL_E_NUMERIC, "row 2");
    ck_assert_int_eq(mmcl_encoder_forward(encoder, &rows, out, 0), MMCL_E_NUMERIC);
    ck_assert_fails(mmcl_workspace_backward(workspace, x, 0, out, NULL), MMCL_E_STATE, "no forward yet");
    mmcl_workspace_destroy(workspace);
    mmcl_encoder_destroy(encoder);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("encoder");
    TCase *tests = tcase_create("encoder");
    suite_add_tcase(suite, tests);
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, kernels_equal_reference);
    tcase_add_test(tests, geometries_equal_reference);
    tcase_add_test(tests, gradients_equal_difference_quotients);
    tcase_add_test(tests, gradients_of_many_lanes_and_odd_shapes);
    tcase_add_test(tests, any_thread_count_gives_the_same_bits);
    tcase_add_test(tests, start_keeps_variance);
    tcase_add_test(tests, composition_is_exact);
    tcase_add_test(tests, loaded_encodes_as_saved);
    tcase_add_test(tests, damaged_files_are_refused);
    tcase_add_test(tests, host_encoders_are_called_in_chunks);
    tcase_add_test(tests, bad_input_is_named);
    return suite_run(suite);
}
