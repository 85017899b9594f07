#include "classify/rotation.h"

#include "linalg/blas.h"
#include "linalg/convert.h"

#include <math.h>
#include <string.h>

#define TILE 128   /* rows read at a time */
#define BLOCK 64   /* rows of the Gram matrix that a task computes */

/* What the tasks of one sweep over the rows share. */
struct sweep {
    mmcl__rotation    *rotation;
    const mmcl_matrix *rows;
    mmcl__lanes        lanes;
    double            *tiles;   /* [width, TILE * (inputs + capacity)] */
    double            *scatter; /* [lanes, inputs, inputs] */
    double            *norms;   /* [lanes] */
    double            *centred; /* [rows, inputs], for n < d */
    double            *gram;    /* [rows, rows] */
    atomic_int         status;
};

static size_t tile_size(const mmcl__rotation *rotation)
{
    return TILE * (rotation->inputs + rotation->capacity);
}

/* Centred rows first ... first + n - 1 into out [n, inputs]. */
static mmcl_status read_centred(const mmcl__rotation *rotation, const mmcl_matrix *rows, size_t first, size_t n, double *out)
{
    MMCL__TRY(mmcl__read_f64(rows, first, n, out, NULL));
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < rotation->inputs; j++)
            out[i * rotation->inputs + j] -= rotation->mean[j];
    return MMCL_OK;
}

/* Runs `task` over the lanes; the rows were readable and finite before, so only the host's read can fail. */
static mmcl_status run(struct sweep *sweep, mmcl__task task)
{
    mmcl_context *context = sweep->rotation->context;
    atomic_init(&sweep->status, MMCL_OK);
    MMCL__TRY(mmcl__parallel(context, sweep->lanes.count, task, sweep));
    if (atomic_load(&sweep->status) != MMCL_OK)
        return mmcl__fail(context, MMCL_E_CALLBACK, "the read callback failed, or its answer changed between reads");
    return MMCL_OK;
}

/* ------------------------------------------------------------------------------------------------------------ mean --- */

/* Also the one place that looks for NaN and infinity, so that the message can name it. */
static mmcl_status find_mean(mmcl__rotation *rotation, const mmcl_matrix *rows, bool center, double *tile, const char *name)
{
    mmcl__place bad;
    size_t      d = rotation->inputs;
    memset(rotation->mean, 0, d * sizeof *rotation->mean);
    for (size_t i = 0, n; i < rotation->rows; i += n) {
        n                  = MMCL__MIN((size_t) TILE, rotation->rows - i);
        mmcl_status status = mmcl__read_f64(rows, i, n, tile, &bad);
        if (status != MMCL_OK)
            return mmcl__read_failed(rotation->context, status, name, SIZE_MAX, &bad);
        for (size_t r = 0; center && r < n; r++)
            mmcl__axpy_f64(d, 1, tile + r * d, rotation->mean);
    }
    for (size_t j = 0; j < d; j++)
        rotation->mean[j] /= (double) rotation->rows;
    return MMCL_OK;
}

/* ------------------------------------------------------------------------------------------ axes of many rows, n >= d --- */

static void scatter_lane(void *argument, size_t lane, uint32_t worker)
{
    struct sweep *sweep = argument;
    size_t        d = sweep->rotation->inputs, end = mmcl__lane_begin(&sweep->lanes, lane + 1);
    double       *tile = sweep->tiles + worker * tile_size(sweep->rotation), *scatter = sweep->scatter + lane * d * d;
    memset(scatter, 0, d * d * sizeof *scatter);
    for (size_t i = mmcl__lane_begin(&sweep->lanes, lane), n; i < end; i += n) {
        n = MMCL__MIN((size_t) TILE, end - i);
        if (read_centred(sweep->rotation, sweep->rows, i, n, tile) != MMCL_OK) {
            atomic_store(&sweep->status, MMCL_E_CALLBACK);
            return;
        }
        mmcl__syrk_f64(d, n, tile, d, scatter, d);
    }
}

/* Axes above the rounding of the spectrum; the largest come first. */
static size_t count_axes(const mmcl__rotation *rotation, size_t most, double floor)
{
    size_t axes = 0;
    while (axes < most && rotation->scatter[axes] > floor * rotation->scatter[0] && rotation->scatter[axes] > 0)
        axes++;
    return axes;
}

static mmcl_status axes_from_scatter(struct sweep *sweep)
{
    mmcl__rotation *rotation = sweep->rotation;
    size_t          d = rotation->inputs, size = d * d;
    sweep->lanes   = mmcl__lanes_of(rotation->rows, size * sizeof(double));
    size_t lanes   = sweep->lanes.count;
    sweep->scatter = mmcl__alloc(rotation->context, lanes * size, sizeof *sweep->scatter);
    if (sweep->scatter == NULL)
        return MMCL_E_NOMEM;
    mmcl_status status = run(sweep, scatter_lane);
    if (status == MMCL_OK) {
        memcpy(rotation->basis, sweep->scatter, size * sizeof *rotation->basis);
        for (size_t lane = 1; lane < lanes; lane++)
            for (size_t i = 0; i < d; i++)
                mmcl__axpy_f64(d, 1, sweep->scatter + lane * size + i * d, rotation->basis + i * d);
    }
    mmcl__free(rotation->context, sweep->scatter, lanes * size, sizeof *sweep->scatter);
    if (status == MMCL_OK)
        status = mmcl__eigsym(rotation->context, d, rotation->basis, rotation->scatter);
    if (status == MMCL_OK)
        rotation->axes = count_axes(rotation, d, (double) d * 0x1p-52);
    return status;
}

/* ------------------------------------------------------------------------------------------- axes of few rows, n < d --- */

static void gram_block(void *argument, size_t block, uint32_t worker)
{
    (void) worker;
    struct sweep *sweep = argument;
    size_t        n = sweep->rotation->rows, d = sweep->rotation->inputs, first = block * BLOCK;
    size_t        height = MMCL__MIN((size_t) BLOCK, n - first);
    const double *x      = sweep->centred;
    mmcl__gemm_f64(false, true, height, n - first, d, 1, x + first * d, d, x + first * d, d, 0, sweep->gram + first * n + first, n);
}

static mmcl_status read_all(struct sweep *sweep)
{
    const mmcl__rotation *rotation = sweep->rotation;
    for (size_t i = 0, n; i < rotation->rows; i += n) {
        n                  = MMCL__MIN((size_t) TILE, rotation->rows - i);
        mmcl_status status = read_centred(rotation, sweep->rows, i, n, sweep->centred + i * rotation->inputs);
        if (status != MMCL_OK)
            return mmcl__fail(rotation->context, status, "the read callback failed, or its answer changed between reads");
    }
    return MMCL_OK;
}

/*
 * One step of Newton and Schulz towards the nearest orthonormal basis, V^T <- (3 I - V^T V) V^T / 2: axes of small variance come
 * out of the Gram matrix skewed by about epsilon times the ratio of the variances. `scratch` [axes, axes + inputs].
 */
static void straighten(mmcl__rotation *rotation, double *scratch)
{
    size_t  r = rotation->axes, d = rotation->inputs;
    double *product = scratch, *copy = scratch + r * r;
    mmcl__gemm_f64(false, true, r, r, d, -0.5, rotation->basis, d, rotation->basis, d, 0, product, r);
    for (size_t i = 0; i < r; i++)
        product[i * r + i] += 1.5;
    memcpy(copy, rotation->basis, r * d * sizeof *copy);
    mmcl__gemm_f64(false, false, r, d, r, 1, product, r, copy, d, 0, rotation->basis, d);
}

/* V^T = S^-1 U^T X from the eigenvectors U of X X^T = U S^2 U^T. */
static mmcl_status axes_from_gram(struct sweep *sweep)
{
    mmcl__rotation *rotation = sweep->rotation;
    size_t          n = rotation->rows, d = rotation->inputs;
    MMCL__TRY(read_all(sweep));
    MMCL__TRY(mmcl__parallel(rotation->context, (n + BLOCK - 1) / BLOCK, gram_block, sweep));
    MMCL__TRY(mmcl__eigsym(rotation->context, n, sweep->gram, rotation->scatter));
    rotation->axes = count_axes(rotation, n, 1e-13);
    for (size_t i = 0; i < rotation->axes; i++)
        for (size_t j = 0; j < n; j++)
            sweep->gram[i * n + j] /= sqrt(rotation->scatter[i]);
    mmcl__gemm_f64(false, false, rotation->axes, d, n, 1, sweep->gram, n, sweep->centred, d, 0, rotation->basis, d);
    size_t  scratch_size = rotation->axes * (rotation->axes + d);
    double *scratch      = mmcl__alloc(rotation->context, scratch_size, sizeof *scratch);
    if (scratch == NULL)
        return MMCL_E_NOMEM;
    straighten(rotation, scratch);
    straighten(rotation, scratch);
    mmcl__free(rotation->context, scratch, scratch_size, sizeof *scratch);
    return MMCL_OK;
}

static mmcl_status axes_of_few(struct sweep *sweep)
{
    mmcl__rotation *rotation = sweep->rotation;
    mmcl_context   *context  = rotation->context;
    size_t          n = rotation->rows, d = rotation->inputs;
    sweep->centred     = mmcl__alloc(context, n * d, sizeof *sweep->centred);
    sweep->gram        = mmcl__alloc(context, n * n, sizeof *sweep->gram);
    mmcl_status status = sweep->centred != NULL && sweep->gram != NULL ? axes_from_gram(sweep) : MMCL_E_NOMEM;
    mmcl__free(context, sweep->centred, n * d, sizeof *sweep->centred);
    mmcl__free(context, sweep->gram, n * n, sizeof *sweep->gram);
    return status;
}

/* ------------------------------------------------------------------------------------------------------------ rows --- */

static void rotate_lane(void *argument, size_t lane, uint32_t worker)
{
    struct sweep   *sweep    = argument;
    mmcl__rotation *rotation = sweep->rotation;
    size_t          d = rotation->inputs, r = rotation->axes, end = mmcl__lane_begin(&sweep->lanes, lane + 1);
    double         *tile = sweep->tiles + worker * tile_size(rotation), *turned = tile + TILE * d;
    sweep->norms[lane]   = 0;
    for (size_t i = mmcl__lane_begin(&sweep->lanes, lane), n; i < end; i += n) {
        n = MMCL__MIN((size_t) TILE, end - i);
        if (read_centred(rotation, sweep->rows, i, n, tile) != MMCL_OK) {
            atomic_store(&sweep->status, MMCL_E_CALLBACK);
            return;
        }
        mmcl__gemm_f64(false, true, n, r, d, 1, tile, d, rotation->basis, d, 0, turned, r);
        for (size_t k = 0; k < n; k++)
            sweep->norms[lane] = fmax(sweep->norms[lane], mmcl__dot_f64(r, turned + k * r, turned + k * r));
        if (rotation->stored == MMCL_PRECISION_F32)
            mmcl__convert()->f64_to_f32(n * r, turned, (float *) rotation->x + i * r);
        else
            memcpy((double *) rotation->x + i * r, turned, n * r * sizeof *turned);
    }
}

static size_t element_size(const mmcl__rotation *rotation)
{
    return rotation->stored == MMCL_PRECISION_F32 ? sizeof(float) : sizeof(double);
}

static mmcl_status rotate_rows(struct sweep *sweep)
{
    mmcl__rotation *rotation = sweep->rotation;
    rotation->x              = mmcl__alloc(rotation->context, rotation->rows * rotation->axes, element_size(rotation));
    if (rotation->x == NULL)
        return MMCL_E_NOMEM;
    double norms[64];
    sweep->lanes = mmcl__lanes_of(rotation->rows, 1);
    assert(sweep->lanes.count <= sizeof norms / sizeof *norms);
    sweep->norms = norms;
    MMCL__TRY(run(sweep, rotate_lane));
    for (size_t lane = 0; lane < sweep->lanes.count; lane++)
        rotation->largest = fmax(rotation->largest, sqrt(norms[lane]));
    if (rotation->largest > 1e15)
        return mmcl__fail(rotation->context, MMCL_E_NUMERIC, "rows of norm %g are out of range, expected at most 1e15: scale them",
                          rotation->largest);
    return MMCL_OK;
}

static mmcl_status build(struct sweep *sweep, bool center, const char *name)
{
    mmcl__rotation *rotation = sweep->rotation;
    MMCL__TRY(find_mean(rotation, sweep->rows, center, sweep->tiles, name));
    MMCL__TRY(rotation->rows < rotation->inputs ? axes_of_few(sweep) : axes_from_scatter(sweep));
    return rotate_rows(sweep);
}

mmcl_status mmcl__rotation_open(mmcl__rotation *rotation, mmcl_context *context, const mmcl_matrix *rows, bool center,
                                mmcl_precision stored, const char *name)
{
    size_t n = rows->rows, d = rows->cols, capacity = MMCL__MIN(n, d), width = mmcl__width(context);
    *rotation = (mmcl__rotation){.context = context, .rows = n, .inputs = d, .stored = stored, .capacity = capacity};
    rotation->mean    = mmcl__alloc(context, d, sizeof *rotation->mean);
    rotation->basis   = mmcl__alloc(context, capacity * d, sizeof *rotation->basis);
    rotation->scatter = mmcl__alloc(context, capacity, sizeof *rotation->scatter);
    struct sweep sweep = {.rotation = rotation, .rows = rows};
    sweep.tiles        = mmcl__alloc(context, width * tile_size(rotation), sizeof *sweep.tiles);
    mmcl_status status = MMCL_E_NOMEM;
    if (rotation->mean != NULL && rotation->basis != NULL && rotation->scatter != NULL && sweep.tiles != NULL)
        status = build(&sweep, center, name);
    mmcl__free(context, sweep.tiles, width * tile_size(rotation), sizeof *sweep.tiles);
    if (status != MMCL_OK)
        mmcl__rotation_close(rotation);
    return status;
}

void mmcl__rotation_close(mmcl__rotation *rotation)
{
    mmcl_context *context = rotation->context;
    mmcl__free(context, rotation->mean, rotation->inputs, sizeof *rotation->mean);
    mmcl__free(context, rotation->basis, rotation->capacity * rotation->inputs, sizeof *rotation->basis);
    mmcl__free(context, rotation->scatter, rotation->capacity, sizeof *rotation->scatter);
    mmcl__free(context, rotation->x, rotation->rows * rotation->axes, element_size(rotation));
    *rotation = (mmcl__rotation){.context = context};
}
