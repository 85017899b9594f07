/* Training passes. */
#include "nn/encoder.h"

#include "linalg/blas.h"

#include <math.h>
#include <string.h>

#define LANE_ROWS 128                        /* rows of a lane at least, where the batch has more */
#define MOST_LANES ((size_t) 16)
#define LANE_BUDGET ((size_t) 64 << 20)      /* bytes for the lanes' sums, where two lanes do not take more */

/* --------------------------------------------------------------------------------------------------------- lifetime --- */

static size_t lanes_for(const mmcl_encoder *encoder, size_t rows)
{
    size_t budget = MMCL__MAX((size_t) 2, LANE_BUDGET / (encoder->size * sizeof(float)));
    return MMCL__MIN(MMCL__MIN(MOST_LANES, budget), MMCL__MAX((size_t) 1, rows / LANE_ROWS));
}

/* Is the derivative's basis another matrix than what enters the next layer? */
static bool keeps_apart(const mmcl_encoder *encoder, size_t layer)
{
    mmcl_activation kind = encoder->options.activation;
    return kind == MMCL_ACTIVATION_GELU || kind == MMCL_ACTIVATION_SILU || mmcl__encoder_skips(encoder, layer);
}

/* Adds up sizes in multiples of 16 elements; overflow makes the total SIZE_MAX. */
static void claim(size_t *total, size_t rows, size_t cols)
{
    size_t n;
    if (!mmcl__mul(rows, cols, &n) || !mmcl__add(n, 15, &n) || !mmcl__add(*total, n / 16 * 16, total))
        *total = SIZE_MAX;
}

static float *take(float **at, size_t rows, size_t cols)
{
    float *block = *at;
    *at += (rows * cols + 15) / 16 * 16;
    return block;
}

size_t mmcl__workspace_statistics(const mmcl_encoder *encoder, size_t layer)
{
    size_t at = 0;
    for (size_t l = 0; l < layer; l++) {
        size_t k = (size_t) encoder->widths[l] + 1, m = (size_t) encoder->widths[l + 1];
        at += k * k + m * m;
    }
    return at;
}

static size_t block_size(const mmcl_workspace *w)
{
    const mmcl_encoder *encoder = w->encoder;
    size_t              total   = 0;
    for (size_t l = 0; l < encoder->layers; l++)
        claim(&total, w->capacity, (size_t) encoder->widths[l]);
    for (size_t l = 0; l + 1 < encoder->layers; l++)
        if (keeps_apart(encoder, l))
            claim(&total, w->capacity, (size_t) encoder->widths[l + 1]);
    claim(&total, w->capacity, (size_t) encoder->options.outputs);
    claim(&total, w->most, encoder->size);
    claim(&total, w->most, w->statistics_size);
    claim(&total, encoder->options.input_map ? w->capacity : 0, (size_t) encoder->options.inputs);
    claim(&total, 2 * (size_t) mmcl__width(encoder->context) * MMCL__TILE, w->widest);
    return total;
}

static void hand_out(mmcl_workspace *w)
{
    const mmcl_encoder *encoder = w->encoder;
    float              *at      = w->block;
    for (size_t l = 0; l < encoder->layers; l++)
        w->inputs[l] = take(&at, w->capacity, (size_t) encoder->widths[l]);
    for (size_t l = 0; l + 1 < encoder->layers; l++)
        w->saved[l] = keeps_apart(encoder, l) ? take(&at, w->capacity, (size_t) encoder->widths[l + 1]) : w->inputs[l + 1];
    w->y         = take(&at, w->capacity, (size_t) encoder->options.outputs);
    w->gradients = take(&at, w->most, encoder->size);
    w->statistics = w->statistics_size > 0 ? take(&at, w->most, w->statistics_size) : NULL;
    w->raw        = encoder->options.input_map ? take(&at, w->capacity, (size_t) encoder->options.inputs) : w->inputs[0];
    w->scratch    = at;
}

mmcl_status mmcl__workspace_create(mmcl_workspace **out, const mmcl_encoder *encoder, size_t rows, bool statistics)
{
    mmcl_context   *context = encoder->context;
    mmcl_workspace *w       = mmcl__calloc(context, 1, sizeof *w);
    if (w == NULL)
        return MMCL_E_NOMEM;
    w->encoder  = encoder;
    w->capacity = rows;
    w->most     = lanes_for(encoder, rows);
    w->statistics_size = statistics ? mmcl__workspace_statistics(encoder, encoder->layers) : 0;
    for (size_t l = 0; l <= encoder->layers; l++)
        w->widest = MMCL__MAX(w->widest, (size_t) encoder->widths[l]);
    w->block_size = block_size(w);
    w->block      = mmcl__alloc(context, w->block_size, sizeof *w->block);
    if (w->block == NULL) {
        mmcl__workspace_destroy(w);
        return MMCL_E_NOMEM;
    }
    hand_out(w);
    *out = w;
    return MMCL_OK;
}

void mmcl__workspace_destroy(mmcl_workspace *workspace)
{
    if (workspace == NULL)
        return;
    mmcl_context *context = workspace->encoder->context;
    mmcl__free(context, workspace->block, workspace->block_size, sizeof *workspace->block);
    mmcl__free(context, workspace, 1, sizeof *workspace);
}

void mmcl__workspace_begin(mmcl_workspace *workspace, size_t rows)
{
    workspace->rows  = rows;
    workspace->lanes = (mmcl__lanes){.n = rows, .count = lanes_for(workspace->encoder, rows)};
}

/* ----------------------------------------------------------------------------------------------------------- lanes --- */

/* Rows first ... first + n - 1 through all layers. */
static void forward_tile(mmcl_workspace *w, size_t first, size_t n, float *out, size_t stride)
{
    const mmcl_encoder         *encoder = w->encoder;
    const mmcl_encoder_options *options = &encoder->options;
    float                      *parameters = encoder->parameters;
    if (options->input_map) {
        size_t d   = (size_t) options->inputs;
        float *raw = w->raw + first * d;
        mmcl__nn()->add_bias(n, d, mmcl__encoder_shift(encoder), raw);
        mmcl__gemm_f32(false, true, n, d, d, 1, raw, d, mmcl__encoder_matrix(encoder), d, 0, w->inputs[0] + first * d, d);
    }
    for (size_t l = 0; l < encoder->layers; l++) {
        size_t k = (size_t) encoder->widths[l], m = (size_t) encoder->widths[l + 1];
        bool   last = l + 1 == encoder->layers;
        float *in = w->inputs[l] + first * k, *to = last ? w->y + first * m : w->inputs[l + 1] + first * m;
        float *bias = mmcl__encoder_bias(encoder, parameters, l);
        mmcl__gemm_f32(false, true, n, m, k, 1, in, k, mmcl__encoder_weight(encoder, parameters, l), k, 0, to, m);
        if (last)
            mmcl__nn()->add_bias(n, m, bias, to);
        else
            mmcl__nn()->activate(options->activation, (float) options->slope, n, m, bias, to,
                                 mmcl__encoder_skips(encoder, l) ? in : NULL,
                                 keeps_apart(encoder, l) ? w->saved[l] + first * m : NULL, to);
    }
    mmcl__geometry_forward(encoder, n, w->y + first * (size_t) options->outputs, out + first * stride, stride);
}

void mmcl__workspace_forward_lane(mmcl_workspace *workspace, size_t lane, float *out, size_t stride)
{
    size_t end = mmcl__lane_begin(&workspace->lanes, lane + 1);
    for (size_t first = mmcl__lane_begin(&workspace->lanes, lane); first < end; first += MMCL__TILE)
        forward_tile(workspace, first, MMCL__MIN(MMCL__TILE, end - first), out, stride);
}

/* Adds a tile to a layer's statistics; h [n, k], dz [n, m]. */
static void add_statistics(float *sums, size_t n, size_t k, size_t m, const float *h, const float *dz)
{
    mmcl__gemm_f32(true, false, k, k, n, 1, h, k, h, k, 1, sums, k + 1);
    mmcl__nn()->sum_columns(n, k, h, sums + k * (k + 1));
    for (size_t j = 0; j < k; j++)
        sums[j * (k + 1) + k] = sums[k * (k + 1) + j];
    sums[k * (k + 1) + k] += (float) n;
    mmcl__gemm_f32(true, false, m, m, n, 1, dz, m, dz, m, 1, sums + (k + 1) * (k + 1), m);
}

/*
 * The tile's gradients, added to `sums`. With dz [n, m] of a layer at hand: dW [m, k] += dz^T h, and what goes on down is
 * dh [n, k] = dz W, plus what a skip passes around the layer. `a` and `b` [n, widest] take turns.
 */
static void backward_tile(mmcl_workspace *w, size_t first, size_t n, const float *df, size_t stride, float *dx, float *sums,
                          float *statistics, float *a, float *b)
{
    const mmcl_encoder         *encoder = w->encoder;
    const mmcl_encoder_options *options = &encoder->options;
    size_t                      outputs = (size_t) options->outputs;
    mmcl__geometry_backward(encoder, n, w->y + first * outputs, df + first * stride, stride, a, sums);
    for (size_t l = encoder->layers; l-- > 0;) {
        size_t k = (size_t) encoder->widths[l], m = (size_t) encoder->widths[l + 1];
        bool   last = l + 1 == encoder->layers, skips = mmcl__encoder_skips(encoder, l);
        float *dz = skips ? b : a, *dh = skips ? a : b, *db = mmcl__encoder_bias(encoder, sums, l);
        if (last)
            mmcl__nn()->sum_columns(n, m, a, db);
        else
            mmcl__nn()->deactivate(options->activation, (float) options->slope, n, m, w->saved[l] + first * m, a, dz, db);
        mmcl__gemm_f32(true, false, m, k, n, 1, dz, m, w->inputs[l] + first * k, k, 1, mmcl__encoder_weight(encoder, sums, l), k);
        if (statistics != NULL)
            add_statistics(statistics + mmcl__workspace_statistics(encoder, l), n, k, m, w->inputs[l] + first * k, dz);
        if (l == 0 && dx == NULL)
            break;
        const float *weight = mmcl__encoder_weight(encoder, encoder->parameters, l);
        mmcl__gemm_f32(false, false, n, k, m, 1, dz, m, weight, k, skips ? 1 : 0, dh, k);
        if (l == 0 && options->input_map)
            mmcl__gemm_f32(false, false, n, k, k, 1, dh, k, mmcl__encoder_matrix(encoder), k, 0, dx + first * k, k);
        else if (l == 0)
            memcpy(dx + first * k, dh, n * k * sizeof *dx);
        a = dh;
        b = dz;
    }
}

void mmcl__workspace_backward_lane(mmcl_workspace *workspace, size_t lane, const float *df, size_t stride, float *dx,
                                   uint32_t worker)
{
    const mmcl_encoder *encoder = workspace->encoder;
    float              *sums    = workspace->gradients + lane * encoder->size;
    size_t              cells = MMCL__TILE * workspace->widest, end = mmcl__lane_begin(&workspace->lanes, lane + 1);
    float              *a = workspace->scratch + worker * 2 * cells;
    memset(sums, 0, encoder->size * sizeof *sums);
    float *statistics = workspace->statistics != NULL ? workspace->statistics + lane * workspace->statistics_size : NULL;
    if (statistics != NULL)
        memset(statistics, 0, workspace->statistics_size * sizeof *statistics);
    for (size_t first = mmcl__lane_begin(&workspace->lanes, lane); first < end; first += MMCL__TILE)
        backward_tile(workspace, first, MMCL__MIN(MMCL__TILE, end - first), df, stride, dx, sums, statistics,
                      a, a + cells);
}

void mmcl__workspace_sum(const mmcl_workspace *workspace, size_t first, size_t count, float *out)
{
    size_t size = workspace->encoder->size, fixed = mmcl__encoder_trainable(workspace->encoder);
    memcpy(out, workspace->gradients + first, count * sizeof *out);
    for (size_t lane = 1; lane < workspace->lanes.count; lane++)
        mmcl__nn()->add(count, workspace->gradients + lane * size + first, out);
    for (size_t i = fixed > first ? fixed - first : 0; i < count; i++)
        out[i] = 0;
}

/* ------------------------------------------------------------------------------------------------------ whole passes --- */

struct pass {
    mmcl_workspace *workspace;
    const float    *df;
    float          *out, *dx;
    size_t          stride;
};

static void forward_task(void *argument, size_t lane, uint32_t worker)
{
    struct pass *pass = argument;
    (void) worker;
    mmcl__workspace_forward_lane(pass->workspace, lane, pass->out, pass->stride);
}

static void backward_task(void *argument, size_t lane, uint32_t worker)
{
    struct pass *pass = argument;
    mmcl__workspace_backward_lane(pass->workspace, lane, pass->df, pass->stride, pass->dx, worker);
}

#define SUM_CHUNK ((size_t) 16384)

static void sum_task(void *argument, size_t i, uint32_t worker)
{
    struct pass *pass = argument;
    (void) worker;
    size_t first = i * SUM_CHUNK;
    mmcl__workspace_sum(pass->workspace, first, MMCL__MIN(SUM_CHUNK, pass->workspace->encoder->size - first), pass->out + first);
}

mmcl_status mmcl__workspace_forward(mmcl_workspace *workspace, const mmcl_matrix *rows, float *out, size_t stride)
{
    mmcl_context *context = workspace->encoder->context;
    struct pass   pass    = {.workspace = workspace, .out = out, .stride = stride};
    mmcl__place   bad     = {0, 0};
    workspace->rows       = 0;
    MMCL__TRY(mmcl__read_failed(context, mmcl__read_f32(rows, 0, rows->rows, workspace->raw, &bad), "rows", SIZE_MAX, &bad));
    mmcl__workspace_begin(workspace, rows->rows);
    mmcl__blas_enter(context->blas_policy);
    mmcl_status status = mmcl__parallel(context, workspace->lanes.count, forward_task, &pass);
    mmcl__blas_leave(context->blas_policy);
    if (status != MMCL_OK)
        workspace->rows = 0;
    return status == MMCL_OK ? status : mmcl__fail(context, status, "executor: its run failed");
}

mmcl_status mmcl__workspace_backward(mmcl_workspace *workspace, const float *df, size_t stride, float *parameters, float *dx)
{
    mmcl_context *context = workspace->encoder->context;
    struct pass   pass    = {.workspace = workspace, .df = df, .stride = stride, .dx = dx, .out = parameters};
    mmcl__blas_enter(context->blas_policy);
    mmcl_status status = mmcl__parallel(context, workspace->lanes.count, backward_task, &pass);
    if (status == MMCL_OK && parameters != NULL)
        status = mmcl__parallel(context, (workspace->encoder->size + SUM_CHUNK - 1) / SUM_CHUNK, sum_task, &pass);
    mmcl__blas_leave(context->blas_policy);
    return status == MMCL_OK ? status : mmcl__fail(context, status, "executor: its run failed");
}
