/* An encoder on new rows, tile by tile on the stack; the host's encoder in chunks; the output geometries. */
#include "nn/encoder.h"

#include "linalg/blas.h"

#include <math.h>
#include <string.h>

#define STACK_FLOATS 32768 /* 128 KiB for each of two buffers */

_Static_assert(STACK_FLOATS >= MMCL__MAX_WIDTH, "a row has to fit on the stack");

/* -------------------------------------------------------------------------------------------------------- geometry --- */

static float radius_of(const mmcl_encoder *encoder)
{
    return expf(*mmcl__encoder_geometry(encoder, encoder->parameters, 0));
}

void mmcl__geometry_forward(const mmcl_encoder *encoder, size_t rows, const float *y, float *out, size_t stride)
{
    size_t n = (size_t) encoder->options.outputs;
    switch (encoder->options.geometry) {
    case MMCL_GEOMETRY_SPHERE:
        mmcl__nn()->sphere(rows, n, radius_of(encoder), y, out, stride);
        break;
    case MMCL_GEOMETRY_BOX:
        mmcl__nn()->box(rows, n, mmcl__encoder_geometry(encoder, encoder->parameters, 0),
                        mmcl__encoder_geometry(encoder, encoder->parameters, 1), y, out, stride);
        break;
    default:
        for (size_t i = 0; i < rows; i++)
            memcpy(out + i * stride, y + i * n, n * sizeof *out);
    }
}

void mmcl__geometry_backward(const mmcl_encoder *encoder, size_t rows, const float *y, const float *df, size_t stride, float *dy,
                             float *gradients)
{
    size_t n = (size_t) encoder->options.outputs;
    double along;
    switch (encoder->options.geometry) {
    case MMCL_GEOMETRY_SPHERE:
        along = mmcl__nn()->sphere_back(rows, n, radius_of(encoder), y, df, stride, dy);
        *mmcl__encoder_geometry(encoder, gradients, 0) += (float) along;
        break;
    case MMCL_GEOMETRY_BOX:
        mmcl__nn()->box_back(rows, n, mmcl__encoder_geometry(encoder, encoder->parameters, 0),
                             mmcl__encoder_geometry(encoder, encoder->parameters, 1), y, df, stride, dy,
                             mmcl__encoder_geometry(encoder, gradients, 0), mmcl__encoder_geometry(encoder, gradients, 1));
        break;
    default:
        for (size_t i = 0; i < rows; i++)
            memcpy(dy + i * n, df + i * stride, n * sizeof *dy);
    }
}

/* --------------------------------------------------------------------------------------------------------- forward --- */

struct forward {
    const mmcl_encoder *encoder;
    const mmcl_matrix  *rows;
    float              *out;
    size_t              stride, tile;
    atomic_int          status; /* the first failure */
};

/* x [n, inputs] in `a`, through all layers, to out. */
static void run_tile(const mmcl_encoder *encoder, size_t n, float *a, float *b, float *out, size_t stride)
{
    const mmcl_encoder_options *options = &encoder->options;
    if (options->input_map) {
        size_t d = (size_t) options->inputs;
        float *mapped = b;
        mmcl__nn()->add_bias(n, d, mmcl__encoder_shift(encoder), a);
        mmcl__gemm_f32(false, true, n, d, d, 1, a, d, mmcl__encoder_matrix(encoder), d, 0, b, d);
        b = a;
        a = mapped;
    }
    for (size_t l = 0; l < encoder->layers; l++) {
        size_t k = (size_t) encoder->widths[l], m = (size_t) encoder->widths[l + 1];
        float *bias = mmcl__encoder_bias(encoder, encoder->parameters, l), *swap = a;
        mmcl__gemm_f32(false, true, n, m, k, 1, a, k, mmcl__encoder_weight(encoder, encoder->parameters, l), k, 0, b, m);
        if (l + 1 < encoder->layers)
            mmcl__nn()->activate(options->activation, (float) options->slope, n, m, bias, b, mmcl__encoder_skips(encoder, l) ? a : NULL,
                                 NULL, b);
        else
            mmcl__nn()->add_bias(n, m, bias, b);
        a = b;
        b = swap;
    }
    mmcl__geometry_forward(encoder, n, a, out, stride);
}

static void forward_task(void *argument, size_t i, uint32_t worker)
{
    struct forward *f     = argument;
    size_t          first = i * f->tile, n = MMCL__MIN(f->tile, f->rows->rows - first);
    float           a[STACK_FLOATS], b[STACK_FLOATS];
    (void) worker;
    mmcl_status status = mmcl__read_f32(f->rows, first, n, a, NULL);
    if (status == MMCL_OK)
        run_tile(f->encoder, n, a, b, f->out + first * f->stride, f->stride);
    else
        atomic_store_explicit(&f->status, status, memory_order_relaxed);
}

static mmcl_status forward_host(const mmcl_encoder *encoder, const mmcl_matrix *rows, float *out, size_t stride);

mmcl_status mmcl__encoder_forward(const mmcl_encoder *encoder, const mmcl_matrix *rows, float *out, size_t stride)
{
    if (mmcl__encoder_is_host(encoder))
        return forward_host(encoder, rows, out, stride);
    size_t widest = 1;
    for (size_t l = 0; l <= encoder->layers; l++)
        widest = MMCL__MAX(widest, (size_t) encoder->widths[l]);
    struct forward forward = {.encoder = encoder, .rows = rows, .out = out, .stride = stride};
    forward.tile           = MMCL__MIN(MMCL__TILE, STACK_FLOATS / widest);
    atomic_init(&forward.status, MMCL_OK);
    mmcl__blas_enter(encoder->context->blas_policy);
    mmcl_status status = mmcl__parallel(encoder->context, (rows->rows + forward.tile - 1) / forward.tile, forward_task, &forward);
    mmcl__blas_leave(encoder->context->blas_policy);
    return status != MMCL_OK ? status : (mmcl_status) atomic_load_explicit(&forward.status, memory_order_relaxed);
}

/* ------------------------------------------------------------------------------------------------------------ host --- */

/* Calls one of the host's two functions for each chunk of the batch. */
static mmcl_status each_chunk(const mmcl_encoder *encoder, const mmcl_encoder_rows *batch, float *out, const float *gradient)
{
    const mmcl_host_encoder *host = &encoder->host;
    for (uint64_t first = 0; first < batch->batch; first += host->chunk) {
        mmcl_encoder_rows rows = *batch;
        rows.struct_size       = sizeof rows;
        rows.first             = first;
        rows.rows              = MMCL__MIN(host->chunk, batch->batch - first);
        rows.inputs            = host->inputs > 0 && batch->inputs != NULL ? batch->inputs + first * host->inputs : NULL;
        rows.indices           = batch->indices != NULL ? batch->indices + first : NULL;
        mmcl_status status     = gradient != NULL ? host->learn(host->user, &rows, gradient + first * host->outputs)
                                                  : host->represent(host->user, &rows, out + first * host->outputs);
        if (status != MMCL_OK)
            return MMCL_E_CALLBACK;
    }
    return MMCL_OK;
}

mmcl_status mmcl__host_represent(const mmcl_encoder *encoder, const mmcl_encoder_rows *rows, float *out)
{
    return each_chunk(encoder, rows, out, NULL);
}

mmcl_status mmcl__host_learn(const mmcl_encoder *encoder, const mmcl_encoder_rows *rows, const float *gradient)
{
    return encoder->host.learn != NULL ? each_chunk(encoder, rows, NULL, gradient) : MMCL_OK;
}

/* Rows with gaps or of another type go through the stack, in chunks that fit there. */
static mmcl_status forward_host(const mmcl_encoder *encoder, const mmcl_matrix *rows, float *out, size_t stride)
{
    const mmcl_host_encoder *host = &encoder->host;
    float                    inputs[STACK_FLOATS], outputs[STACK_FLOATS];
    size_t                   k = (size_t) host->inputs, n = (size_t) host->outputs;
    size_t                   tile = (size_t) MMCL__MIN(host->chunk, STACK_FLOATS / MMCL__MAX(MMCL__MAX(k, n), 1));
    for (size_t first = 0; first < rows->rows; first += tile) {
        mmcl_encoder_rows chunk = {.struct_size = sizeof chunk,
                                   .inputs      = k > 0 ? inputs : NULL,
                                   .step        = UINT64_MAX,
                                   .first       = first,
                                   .rows        = MMCL__MIN(tile, rows->rows - first),
                                   .batch       = rows->rows};
        if (k > 0)
            MMCL__TRY(mmcl__read_f32(rows, first, (size_t) chunk.rows, inputs, NULL));
        if (host->represent(host->user, &chunk, outputs) != MMCL_OK)
            return MMCL_E_CALLBACK;
        for (size_t i = 0; i < chunk.rows; i++)
            memcpy(out + (first + i) * stride, outputs + i * n, n * sizeof *out);
    }
    return MMCL_OK;
}
