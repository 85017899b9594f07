#include "nn/encoder.h"

#include "core/rng.h"
#include "linalg/blas.h"
#include "linalg/convert.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* --------------------------------------------------------------------------------------------------------- options --- */

static mmcl_status check_width(mmcl_context *context, const char *name, uint64_t width)
{
    if (width < 1 || width > MMCL__MAX_WIDTH)
        return mmcl__fail(context, MMCL_E_INVAL, "%s: %llu, expected 1 to %d", name, (unsigned long long) width, MMCL__MAX_WIDTH);
    return MMCL_OK;
}

static mmcl_status check_widths(mmcl_context *context, const mmcl_encoder_options *options)
{
    char name[32];
    MMCL__TRY(check_width(context, "inputs", options->inputs));
    MMCL__TRY(check_width(context, "outputs", options->outputs));
    if (options->hidden_count > MMCL_MAX_HIDDEN)
        return mmcl__fail(context, MMCL_E_INVAL, "hidden_count: %llu, expected at most %d",
                          (unsigned long long) options->hidden_count, MMCL_MAX_HIDDEN);
    if (options->hidden_count > 0 && options->hidden == NULL)
        return mmcl__fail(context, MMCL_E_INVAL, "hidden: NULL, expected %llu widths", (unsigned long long) options->hidden_count);
    for (size_t i = 0; i < options->hidden_count; i++) {
        snprintf(name, sizeof name, "hidden[%zu]", i);
        MMCL__TRY(check_width(context, name, options->hidden[i]));
    }
    return MMCL_OK;
}

static bool finite_f32(double value)
{
    return isfinite(value) && isfinite((float) value);
}

static mmcl_status check_geometry(mmcl_context *context, mmcl_encoder_options *ours)
{
    if (ours->geometry < MMCL_GEOMETRY_NONE || ours->geometry > MMCL_GEOMETRY_BOX)
        return mmcl__fail(context, MMCL_E_INVAL, "geometry: %d is unknown", (int) ours->geometry);
    ours->radius = ours->radius != 0 ? ours->radius : 1;
    if (!finite_f32(ours->radius) || (float) ours->radius <= 0)
        return mmcl__fail(context, MMCL_E_INVAL, "radius: %g, expected a positive number", ours->radius);
    if (ours->lower == 0 && ours->upper == 0)
        ours->upper = 1;
    if (!finite_f32(ours->lower) || !finite_f32(ours->upper) || (float) ours->lower >= (float) ours->upper)
        return mmcl__fail(context, MMCL_E_INVAL, "lower and upper: %g and %g, expected a lower below the upper", ours->lower,
                          ours->upper);
    if (ours->geometry == MMCL_GEOMETRY_SPHERE && ours->outputs < 2)
        return mmcl__fail(context, MMCL_E_INVAL, "outputs: 1, a sphere needs at least 2");
    return MMCL_OK;
}

static mmcl_status resolve(mmcl_context *context, mmcl_encoder_options *ours)
{
    MMCL__TRY(check_widths(context, ours));
    MMCL__TRY(check_geometry(context, ours));
    if (ours->activation < MMCL_ACTIVATION_LEAKY_RELU || ours->activation > MMCL_ACTIVATION_IDENTITY)
        return mmcl__fail(context, MMCL_E_INVAL, "activation: %d is unknown", (int) ours->activation);
    ours->slope = ours->slope != 0 ? ours->slope : 0.01;
    if (!(ours->slope > 0 && ours->slope <= 1)) /* of a positive slope, the sign of the output tells that of the argument */
        return mmcl__fail(context, MMCL_E_INVAL, "slope: %g, expected more than 0 and at most 1", ours->slope);
    ours->gain = ours->gain != 0 ? ours->gain : 1;
    if (!(ours->gain > 0 && ours->gain <= 1e3))
        return mmcl__fail(context, MMCL_E_INVAL, "gain: %g, expected more than 0 and at most 1000", ours->gain);
    if (ours->input_map > 1)
        return mmcl__fail(context, MMCL_E_INVAL, "input_map: %u, expected 0 or 1", ours->input_map);
    if (ours->reserved != 0)
        return mmcl__fail(context, MMCL_E_ABI, "mmcl_encoder_options: reserved is set");
    if (ours->learn_geometry > 1 || ours->residual > 1)
        return mmcl__fail(context, MMCL_E_INVAL, "%s: %u, expected 0 or 1", ours->residual > 1 ? "residual" : "learn_geometry",
                          ours->residual > 1 ? ours->residual : ours->learn_geometry);
    return MMCL_OK;
}

/* --------------------------------------------------------------------------------------------------------- tensors --- */

#define STEP 16 /* every tensor begins at a multiple of so many elements */

static void add_tensor(mmcl_encoder *encoder, const char *name, size_t rows, size_t cols)
{
    mmcl__tensor *tensor = &encoder->tensors[encoder->n_tensors++];
    *tensor              = (mmcl__tensor){.rows = rows, .cols = cols, .offset = encoder->size};
    snprintf(tensor->name, sizeof tensor->name, "%s", name);
    encoder->size += (rows * cols + STEP - 1) / STEP * STEP; /* at most 65 times 2^28: no overflow */
}

static void lay_out(mmcl_encoder *encoder)
{
    const mmcl_encoder_options *options = &encoder->options;
    char                        name[24];
    for (size_t i = 0; i < encoder->layers; i++) {
        snprintf(name, sizeof name, "layer%zu/weight", i);
        add_tensor(encoder, name, (size_t) encoder->widths[i + 1], (size_t) encoder->widths[i]);
        encoder->tensors[encoder->n_tensors - 1].decays = true;
        encoder->tensors[encoder->n_tensors - 1].hidden = i > 0 && i + 1 < encoder->layers;
        snprintf(name, sizeof name, "layer%zu/bias", i);
        add_tensor(encoder, name, (size_t) encoder->widths[i + 1], 1);
    }
    if (options->geometry == MMCL_GEOMETRY_SPHERE)
        add_tensor(encoder, "radius/log", 1, 1);
    if (options->geometry == MMCL_GEOMETRY_BOX) {
        add_tensor(encoder, "lower", (size_t) options->outputs, 1);
        add_tensor(encoder, "upper", (size_t) options->outputs, 1);
    }
    if (options->input_map) {
        add_tensor(encoder, "input/shift", (size_t) options->inputs, 1);
        add_tensor(encoder, "input/matrix", (size_t) options->inputs, (size_t) options->inputs);
    }
}

/* Variance 1 / fan_in keeps that of a linear layer; the factor makes up for what the activation takes (He et al. 2015). */
static double activation_gain(const mmcl_encoder_options *options)
{
    switch (options->activation) {
    case MMCL_ACTIVATION_LEAKY_RELU:
        return sqrt(2 / (1 + options->slope * options->slope));
    case MMCL_ACTIVATION_RELU:
    case MMCL_ACTIVATION_GELU:
    case MMCL_ACTIVATION_SILU:
        return sqrt(2);
    case MMCL_ACTIVATION_TANH:
        return 5.0 / 3;
    default:
        return 1;
    }
}

static void draw_weights(mmcl_encoder *encoder, size_t layer)
{
    const mmcl_encoder_options *options = &encoder->options;
    const mmcl__tensor         *tensor  = &encoder->tensors[2 * layer];
    const uint32_t key[2] = {(uint32_t) options->seed, (uint32_t) (options->seed >> 32)};
    float         *weight = encoder->parameters + tensor->offset;
    double         factor = layer + 1 < encoder->layers ? activation_gain(options) : 1;
    double         bound  = options->gain * factor * sqrt(3 / (double) tensor->cols);
    uint32_t       words[4];
    for (size_t i = 0; i < tensor->rows * tensor->cols; i++) {
        if (i % 4 == 0) {
            const uint32_t counter[4] = {(uint32_t) (i / 4), 0, (uint32_t) layer, 0x656e6331u}; /* the last: this use of the key */
            mmcl__philox(counter, key, words);
        }
        weight[i] = (float) (bound * (((double) words[i % 4] + 0.5) * 0x1p-31 - 1));
    }
}

static void fill_geometry(mmcl_encoder *encoder)
{
    const mmcl_encoder_options *options = &encoder->options;
    if (options->geometry == MMCL_GEOMETRY_SPHERE)
        *mmcl__encoder_geometry(encoder, encoder->parameters, 0) = (float) log(options->radius);
    for (size_t j = 0; j < options->outputs && options->geometry == MMCL_GEOMETRY_BOX; j++) {
        mmcl__encoder_geometry(encoder, encoder->parameters, 0)[j] = (float) options->lower;
        mmcl__encoder_geometry(encoder, encoder->parameters, 1)[j] = (float) options->upper;
    }
}

/* -------------------------------------------------------------------------------------------------------- lifetime --- */

/* Everything but the values of the parameters, which are zero. */
static mmcl_status create_shape(mmcl_encoder **out, mmcl_context *context, const mmcl_encoder_options *options)
{
    mmcl_encoder *encoder = mmcl__calloc(context, 1, sizeof *encoder);
    if (encoder == NULL)
        return MMCL_E_NOMEM;
    encoder->context   = context;
    encoder->options   = *options;
    encoder->layers    = (size_t) options->hidden_count + 1;
    encoder->widths[0] = options->inputs;
    for (size_t i = 0; i < options->hidden_count; i++)
        encoder->widths[i + 1] = options->hidden[i];
    encoder->widths[encoder->layers] = options->outputs;
    encoder->options.struct_size     = sizeof encoder->options;
    encoder->options.hidden          = options->hidden_count > 0 ? encoder->widths + 1 : NULL;
    lay_out(encoder);
    encoder->parameters = mmcl__calloc(context, encoder->size, sizeof *encoder->parameters);
    if (encoder->parameters == NULL) {
        mmcl__encoder_destroy(encoder);
        return MMCL_E_NOMEM;
    }
    *out = encoder;
    return MMCL_OK;
}

mmcl_status mmcl__encoder_create(mmcl_encoder **out, mmcl_context *context, const mmcl_encoder_options *options)
{
    mmcl_encoder_options ours = *options;
    MMCL__TRY(resolve(context, &ours));
    MMCL__TRY(create_shape(out, context, &ours));
    for (size_t i = 0; i < (*out)->layers; i++)
        draw_weights(*out, i);
    fill_geometry(*out);
    for (size_t i = 0; i < ours.inputs && ours.input_map; i++)
        mmcl__encoder_matrix(*out)[i * ((size_t) ours.inputs + 1)] = 1;
    return MMCL_OK;
}

mmcl_status mmcl__encoder_create_host(mmcl_encoder **out, mmcl_context *context, const mmcl_host_encoder *host)
{
    if (host->represent == NULL)
        return mmcl__fail(context, MMCL_E_INVAL, "represent: NULL");
    if (host->inputs > 0)
        MMCL__TRY(check_width(context, "inputs", host->inputs));
    MMCL__TRY(check_width(context, "outputs", host->outputs));
    mmcl_encoder *encoder = mmcl__calloc(context, 1, sizeof *encoder);
    if (encoder == NULL)
        return MMCL_E_NOMEM;
    encoder->context         = context;
    encoder->host            = *host;
    encoder->host.chunk      = host->chunk != 0 ? host->chunk : 1024;
    encoder->options.inputs  = host->inputs;
    encoder->options.outputs = host->outputs;
    *out                     = encoder;
    return MMCL_OK;
}

mmcl_status mmcl__encoder_clone(mmcl_encoder **out, const mmcl_encoder *encoder)
{
    if (mmcl__encoder_is_host(encoder))
        return mmcl__encoder_create_host(out, encoder->context, &encoder->host);
    MMCL__TRY(create_shape(out, encoder->context, &encoder->options));
    memcpy((*out)->parameters, encoder->parameters, encoder->size * sizeof *encoder->parameters);
    return MMCL_OK;
}

void mmcl__encoder_destroy(mmcl_encoder *encoder)
{
    if (encoder == NULL)
        return;
    mmcl__free(encoder->context, encoder->parameters, encoder->size, sizeof *encoder->parameters);
    mmcl__free(encoder->context, encoder, 1, sizeof *encoder);
}

size_t mmcl__encoder_trainable(const mmcl_encoder *encoder)
{
    size_t n = encoder->options.learn_geometry ? encoder->n_tensors - (encoder->options.input_map ? 2 : 0) : 2 * encoder->layers;
    return n < encoder->n_tensors ? encoder->tensors[n].offset : encoder->size;
}

mmcl_status mmcl__encoder_set_input(mmcl_encoder *encoder, const double *mean, const double *matrix)
{
    size_t n = (size_t) encoder->options.inputs;
    for (size_t i = 0; i < n * n; i++)
        if (!finite_f32(matrix[i]) || (i < n && mean != NULL && !finite_f32(mean[i])))
            return mmcl__fail(encoder->context, MMCL_E_NUMERIC, "%s: holds NaN, infinity or what float32 cannot",
                              finite_f32(matrix[i]) ? "mean" : "matrix");
    for (size_t i = 0; i < n * n; i++)
        mmcl__encoder_matrix(encoder)[i] = (float) matrix[i];
    for (size_t i = 0; i < n; i++)
        mmcl__encoder_shift(encoder)[i] = mean != NULL ? -(float) mean[i] : 0;
    return MMCL_OK;
}

mmcl_status mmcl__encoder_check(const mmcl_encoder *encoder, const float *vector, const char *name)
{
    for (size_t i = 0; i < encoder->n_tensors; i++) {
        const mmcl__tensor *tensor = &encoder->tensors[i];
        if (!mmcl__convert()->finite_f32(tensor->rows * tensor->cols, vector + tensor->offset))
            return mmcl__fail(encoder->context, MMCL_E_NUMERIC, "%s: '%s' holds NaN or infinity", name, tensor->name);
    }
    return MMCL_OK;
}

/* ----------------------------------------------------------------------------------------------------- composition --- */

static bool is_orthogonal(size_t n, const double *matrix)
{
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j <= i; j++)
            if (!(fabs(mmcl__dot_f64(n, matrix + i * n, matrix + j * n) - (i == j)) <= 1e-6))
                return false;
    return true;
}

static mmcl_status check_map(const mmcl_encoder *encoder, const double *mean, const double *matrix)
{
    const mmcl__convert_kernels *convert = mmcl__convert();
    size_t                       n       = (size_t) encoder->options.outputs;
    if (!convert->finite_f64(n * n, matrix) || (mean != NULL && !convert->finite_f64(n, mean)))
        return mmcl__fail(encoder->context, MMCL_E_NUMERIC, "%s: holds NaN or infinity",
                          convert->finite_f64(n * n, matrix) ? "mean" : "matrix");
    if (encoder->options.geometry == MMCL_GEOMETRY_SPHERE && (mean != NULL || !is_orthogonal(n, matrix)))
        return mmcl__fail(encoder->context, MMCL_E_UNSUPPORTED,
                          "matrix: only an orthogonal one without a mean passes through the projection to the sphere");
    return MMCL_OK;
}

/* `wide` [n, cols + 1] of the layer: weights, and b - mean behind them; `product` is matrix times that. */
static mmcl_status compose(mmcl_encoder *encoder, const double *mean, const double *matrix, double *wide, double *product)
{
    size_t last = encoder->layers - 1, n = (size_t) encoder->options.outputs, cols = (size_t) encoder->widths[last];
    float *weight = mmcl__encoder_weight(encoder, encoder->parameters, last), *bias = mmcl__encoder_bias(encoder, encoder->parameters, last);
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < cols; j++)
            wide[i * (cols + 1) + j] = weight[i * cols + j];
        wide[i * (cols + 1) + cols] = bias[i] - (mean != NULL ? mean[i] : 0);
    }
    mmcl__gemm_f64(false, false, n, cols + 1, n, 1, matrix, n, wide, cols + 1, 0, product, cols + 1);
    for (size_t i = 0; i < n * (cols + 1); i++)
        if (!finite_f32(product[i]))
            return mmcl__fail(encoder->context, MMCL_E_NUMERIC, "matrix: the composed layer leaves the range of float32");
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < cols; j++)
            weight[i * cols + j] = (float) product[i * (cols + 1) + j];
        bias[i] = (float) product[i * (cols + 1) + cols];
    }
    return MMCL_OK;
}

mmcl_status mmcl__encoder_compose(mmcl_encoder *encoder, const double *mean, const double *matrix)
{
    mmcl_context *context = encoder->context;
    MMCL__TRY(check_map(encoder, mean, matrix));
    size_t  cells = (size_t) encoder->options.outputs * ((size_t) encoder->widths[encoder->layers - 1] + 1);
    double *wide = mmcl__alloc(context, cells, sizeof *wide), *product = mmcl__alloc(context, cells, sizeof *product);
    mmcl_status status = MMCL_E_NOMEM;
    if (wide != NULL && product != NULL) {
        mmcl__blas_enter(context->blas_policy);
        status = compose(encoder, mean, matrix, wide, product);
        mmcl__blas_leave(context->blas_policy);
    }
    mmcl__free(context, wide, cells, sizeof *wide);
    mmcl__free(context, product, cells, sizeof *product);
    return status;
}
