/* Networks: parameters in one vector, forward over rows on the stack, and the workspace of a training pass. */
#ifndef MMCL_NN_ENCODER_H
#define MMCL_NN_ENCODER_H

#include "core/core.h"
#include "linalg/matrix.h"
#include "nn/kernels.h"

#include <mmcl/encoder.h>

#define MMCL__MAX_TENSORS (2 * (MMCL_MAX_HIDDEN + 1) + 4)
#define MMCL__MAX_WIDTH 16384

typedef struct mmcl__tensor {
    char   name[24];
    size_t rows, cols, offset;
    bool   decays; /* a weight matrix: what weight decay is for */
    bool   hidden; /* a weight between two layers of units, neither the first nor the last */
} mmcl__tensor;

struct mmcl_encoder {
    mmcl_context        *context;
    mmcl_host_encoder    host;    /* represent NULL: a network of ours */
    mmcl_encoder_options options; /* resolved; hidden points at widths + 1 */
    size_t               layers;  /* products: hidden layers and one */
    uint64_t             widths[MMCL_MAX_HIDDEN + 2]; /* [layers + 1] inputs, hidden widths, outputs */
    mmcl__tensor         tensors[MMCL__MAX_TENSORS];
    size_t               n_tensors;
    size_t               size;    /* elements of `parameters` */
    float               *parameters;
};

static inline bool mmcl__encoder_is_host(const mmcl_encoder *encoder)
{
    return encoder->host.represent != NULL;
}

/* Weight [widths[layer + 1], widths[layer]] and bias of a layer; geometry tensors. In `vector`, which is laid out as the parameters. */
static inline float *mmcl__encoder_weight(const mmcl_encoder *encoder, float *vector, size_t layer)
{
    return vector + encoder->tensors[2 * layer].offset;
}
static inline float *mmcl__encoder_bias(const mmcl_encoder *encoder, float *vector, size_t layer)
{
    return vector + encoder->tensors[2 * layer + 1].offset;
}
static inline float *mmcl__encoder_geometry(const mmcl_encoder *encoder, float *vector, size_t index)
{
    return vector + encoder->tensors[2 * encoder->layers + index].offset;
}

/* -mean and matrix of the map before the first layer, where there is one. */
static inline float *mmcl__encoder_shift(const mmcl_encoder *encoder)
{
    return encoder->parameters + encoder->tensors[encoder->n_tensors - 2].offset;
}
static inline float *mmcl__encoder_matrix(const mmcl_encoder *encoder)
{
    return encoder->parameters + encoder->tensors[encoder->n_tensors - 1].offset;
}

/* Does hidden layer `layer` add its input? */
static inline bool mmcl__encoder_skips(const mmcl_encoder *encoder, size_t layer)
{
    return encoder->options.residual && layer + 1 < encoder->layers && encoder->widths[layer] == encoder->widths[layer + 1];
}

/* `options` and `host` are imported; their ranges are checked here. */
mmcl_status mmcl__encoder_create(mmcl_encoder **out, mmcl_context *context, const mmcl_encoder_options *options);
mmcl_status mmcl__encoder_create_host(mmcl_encoder **out, mmcl_context *context, const mmcl_host_encoder *host);
mmcl_status mmcl__encoder_clone(mmcl_encoder **out, const mmcl_encoder *encoder);
void        mmcl__encoder_destroy(mmcl_encoder *encoder);
mmcl_status mmcl__encoder_compose(mmcl_encoder *encoder, const double *mean, const double *matrix);

mmcl_status mmcl__encoder_set_input(mmcl_encoder *encoder, const double *mean, const double *matrix);

/* Elements of the parameters that training may change come first: their number. */
size_t mmcl__encoder_trainable(const mmcl_encoder *encoder);

/* MMCL_E_NUMERIC and a message that names the tensor, when a parameter is not finite. `vector` is laid out as the parameters. */
mmcl_status mmcl__encoder_check(const mmcl_encoder *encoder, const float *vector, const char *name);

mmcl_status mmcl__encoder_forward(const mmcl_encoder *encoder, const mmcl_matrix *rows, float *out, size_t stride);

/* Calls the host for all chunks of a batch. `rows` gives inputs, indices, step and batch. */
mmcl_status mmcl__host_represent(const mmcl_encoder *encoder, const mmcl_encoder_rows *rows, float *out);
mmcl_status mmcl__host_learn(const mmcl_encoder *encoder, const mmcl_encoder_rows *rows, const float *gradient);

/* y -> f by the geometry of the parameters: y [rows, outputs], out with a stride. */
void mmcl__geometry_forward(const mmcl_encoder *encoder, size_t rows, const float *y, float *out, size_t stride);

/* dy from df; the gradients of the geometry's own parameters, if any, are added to their place in `gradients`. */
void mmcl__geometry_backward(const mmcl_encoder *encoder, size_t rows, const float *y, const float *df, size_t stride, float *dy,
                             float *gradients);

/* -------------------------------------------------------------------------------------------------------- workspace --- */

/*
 * A batch is cut into lanes, by its number of rows alone. A lane is taken through all layers, a tile of rows at a time, and has
 * gradient sums of its own, which are added in lane order: no result depends on who ran which lane.
 */
struct mmcl_workspace {
    const mmcl_encoder *encoder;
    size_t              capacity;  /* rows */
    size_t              most;      /* lanes for which there is room */
    size_t              rows;      /* of the present batch; 0: none */
    mmcl__lanes         lanes;     /* of the present batch */
    float              *block;     /* all that follows */
    size_t              block_size;
    float              *raw;       /* [capacity, inputs] the rows: what the map before the first layer begins from, else inputs[0] */
    float              *inputs[MMCL_MAX_HIDDEN + 1]; /* [layers] of [capacity, widths[l]]: what enters each product */
    float              *saved[MMCL_MAX_HIDDEN];      /* [layers - 1] of [capacity, widths[l + 1]]: what the derivative is made from;
                                                        the next layer's input where that serves */
    float              *y;         /* [capacity, outputs] before the geometry */
    float              *gradients; /* [most, size] */
    float              *statistics; /* [most, statistics_size] sums over the rows of a lane, or NULL: for each layer
                                       [h, 1]^T [h, 1] of what enters it and dz^T dz */
    size_t              statistics_size;
    float              *scratch;   /* [workers, 2, MMCL__TILE, widest] */
    size_t              widest;
};

#define MMCL__TILE 256 /* rows taken through all layers together */

mmcl_status mmcl__workspace_create(mmcl_workspace **out, const mmcl_encoder *encoder, size_t rows, bool statistics);
void        mmcl__workspace_destroy(mmcl_workspace *workspace);

/* Where a layer's statistics begin: first those of its inputs [k + 1, k + 1], then those of its gradients [m, m]. */
size_t mmcl__workspace_statistics(const mmcl_encoder *encoder, size_t layer);

/* Begins a batch; inputs go to workspace->raw. */
void mmcl__workspace_begin(mmcl_workspace *workspace, size_t rows);

/* One lane of the batch. `out`, `df` and `dx` are those of the whole batch; dx (may be NULL) is [rows, inputs]. */
void mmcl__workspace_forward_lane(mmcl_workspace *workspace, size_t lane, float *out, size_t stride);
void mmcl__workspace_backward_lane(mmcl_workspace *workspace, size_t lane, const float *df, size_t stride, float *dx,
                                   uint32_t worker);

/* out [count] = the lanes' sums of parameters first ... first + count - 1. */
void mmcl__workspace_sum(const mmcl_workspace *workspace, size_t first, size_t count, float *out);

/* All of it over the context's threads. */
mmcl_status mmcl__workspace_forward(mmcl_workspace *workspace, const mmcl_matrix *rows, float *out, size_t stride);
mmcl_status mmcl__workspace_backward(mmcl_workspace *workspace, const float *df, size_t stride, float *parameters, float *dx);

#endif
