#include "classify/softmax.h"

#include "linalg/blas.h"
#include "linalg/convert.h"

#include <string.h>

#define TILE_SCORES ((size_t) 1 << 18) /* floats of a tile's scores: 1 MiB, which a core's second-level cache holds */
#define TILE_LEAST 32
#define TILE_MOST 512
#define LANE_LEAST 400                 /* rows that are worth a gradient of their own */
#define FLUSH_ROWS 2048                /* rows whose gradient is summed in float32 before it is added in float64 */
#define CHUNK ((size_t) 1 << 14)       /* parameters that a task of the reduction takes */

static size_t weights_of(const mmcl__softmax *softmax)
{
    return softmax->classes * softmax->inputs;
}

size_t mmcl__softmax_size(const mmcl__softmax *softmax)
{
    return softmax->classes * (softmax->inputs + 1);
}

static size_t chunks_of(const mmcl__softmax *softmax)
{
    return (mmcl__softmax_size(softmax) + CHUNK - 1) / CHUNK;
}

/* ------------------------------------------------------------------------------------------------------ workspace --- */

/* A worker's scratch: the scores and their change along a direction, the column sums, a tile of rows that has to be widened. */
static size_t scratch_size(const mmcl__softmax *softmax)
{
    size_t wide = MMCL__MAX(softmax->tile / 2, 1);
    return 2 * wide * softmax->classes + softmax->classes + (softmax->stored == MMCL_PRECISION_F32 ? wide * softmax->inputs : 0);
}

/* The partition of the rows, of which no smaller number of rows has more lanes. */
static mmcl__lanes lanes_of(const mmcl__softmax *softmax, size_t rows)
{
    mmcl__lanes lanes = mmcl__lanes_of(rows, mmcl__softmax_size(softmax) * (sizeof(double) + sizeof(float)));
    lanes.count       = MMCL__MIN(lanes.count, (rows + LANE_LEAST - 1) / LANE_LEAST);
    return lanes;
}

static bool allocate(mmcl__softmax *softmax)
{
    mmcl_context *context = softmax->context;
    size_t        size = mmcl__softmax_size(softmax), lanes = softmax->lanes.count;
    softmax->narrow  = mmcl__alloc(context, size, sizeof *softmax->narrow);
    softmax->scratch = mmcl__alloc(context, softmax->workers * softmax->scratch_size, sizeof *softmax->scratch);
    softmax->sums    = mmcl__alloc(context, lanes * size, sizeof *softmax->sums);
    softmax->parts   = mmcl__alloc(context, lanes * weights_of(softmax), sizeof *softmax->parts);
    softmax->totals  = mmcl__alloc(context, lanes * 2, sizeof *softmax->totals);
    softmax->squares = mmcl__alloc(context, chunks_of(softmax), sizeof *softmax->squares);
    softmax->losses  = mmcl__alloc(context, softmax->capacity, sizeof *softmax->losses);
    softmax->normalisers = mmcl__alloc(context, softmax->capacity, sizeof *softmax->normalisers);
    return softmax->narrow != NULL && softmax->scratch != NULL && softmax->sums != NULL && softmax->parts != NULL &&
           softmax->totals != NULL && softmax->squares != NULL && softmax->losses != NULL && softmax->normalisers != NULL;
}

mmcl_status mmcl__softmax_open(mmcl__softmax *softmax, mmcl_context *context, size_t rows, size_t inputs, size_t classes,
                               const void *x, mmcl_precision stored, const int32_t *labels)
{
    *softmax = (mmcl__softmax){.context = context, .rows = rows, .inputs = inputs, .classes = classes, .x = x, .stored = stored,
                               .labels = labels, .capacity = rows, .penalty = 1, .workers = mmcl__width(context)};
    size_t share = TILE_SCORES / classes / TILE_LEAST * TILE_LEAST;
    softmax->tile  = MMCL__MIN(MMCL__MAX(share, TILE_LEAST), TILE_MOST);
    softmax->lanes = lanes_of(softmax, rows);
    softmax->scratch_size = scratch_size(softmax);
    if (allocate(softmax))
        return MMCL_OK;
    mmcl__softmax_close(softmax);
    return MMCL_E_NOMEM;
}

void mmcl__softmax_limit(mmcl__softmax *softmax, size_t rows)
{
    assert(rows <= softmax->capacity);
    softmax->rows  = rows;
    softmax->lanes = lanes_of(softmax, rows);
}

void mmcl__softmax_close(mmcl__softmax *softmax)
{
    mmcl_context *context = softmax->context;
    size_t        size = mmcl__softmax_size(softmax), lanes = lanes_of(softmax, softmax->capacity).count;
    mmcl__free(context, softmax->narrow, size, sizeof *softmax->narrow);
    mmcl__free(context, softmax->scratch, softmax->workers * softmax->scratch_size, sizeof *softmax->scratch);
    mmcl__free(context, softmax->sums, lanes * size, sizeof *softmax->sums);
    mmcl__free(context, softmax->parts, lanes * weights_of(softmax), sizeof *softmax->parts);
    mmcl__free(context, softmax->totals, lanes * 2, sizeof *softmax->totals);
    mmcl__free(context, softmax->squares, chunks_of(softmax), sizeof *softmax->squares);
    mmcl__free(context, softmax->losses, softmax->capacity, sizeof *softmax->losses);
    mmcl__free(context, softmax->normalisers, softmax->capacity, sizeof *softmax->normalisers);
    *softmax = (mmcl__softmax){.context = context};
}

/* ----------------------------------------------------------------------------------------------------------- lanes --- */

struct pass {
    mmcl__softmax *softmax;
    double         c;
    const double  *parameters;
    const double  *direction; /* of the curvature; its sums and products take the gradient's place */
    double        *gradient;
};

static void add_f32(size_t n, const float *restrict in, double *restrict out)
{
    for (size_t i = 0; i < n; i++)
        out[i] += (double) in[i];
}

static double sum_of(size_t n, const double *values)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += values[i];
    return sum;
}

static void lane_f32(void *argument, size_t lane, uint32_t worker)
{
    const struct pass *pass    = argument;
    mmcl__softmax     *softmax = pass->softmax;
    size_t             d = softmax->inputs, k = softmax->classes, weights = weights_of(softmax);
    size_t             first = mmcl__lane_begin(&softmax->lanes, lane), end = mmcl__lane_begin(&softmax->lanes, lane + 1);
    double            *sums = softmax->sums + lane * mmcl__softmax_size(softmax), *totals = softmax->totals + 2 * lane;
    float             *part = softmax->parts + lane * weights, *scores = (float *) (softmax->scratch + worker * softmax->scratch_size);
    float             *columns = scores + softmax->tile * k;
    memset(sums, 0, mmcl__softmax_size(softmax) * sizeof *sums);
    totals[0] = totals[1] = 0;
    for (size_t i = first, n, pending = 0; i < end; i += n) {
        n              = MMCL__MIN(softmax->tile, end - i);
        const float *x = (const float *) softmax->x + i * d;
        mmcl__gemm_f32(false, true, n, k, d, 1, x, d, softmax->narrow, d, 0, scores, k);
        memset(columns, 0, k * sizeof *columns);
        mmcl__softmax_kernel()->f32(n, k, softmax->labels + i, softmax->narrow + weights, scores, columns,
                                    softmax->losses + i, softmax->normalisers + i, &totals[1]);
        mmcl__gemm_f32(true, false, k, d, n, 1, scores, k, x, d, pending > 0, part, d);
        add_f32(k, columns, sums + weights);
        pending += n;
        if (pending >= FLUSH_ROWS || i + n == end) {
            add_f32(weights, part, sums);
            pending = 0;
        }
    }
    totals[0] = sum_of(end - first, softmax->losses + first);
}

void mmcl__probability_changes(size_t rows, size_t classes, const int32_t *labels, const double *residuals, const double *bias,
                               double *changes, double *column_sums)
{
    for (size_t i = 0; i < rows; i++) {
        const double *p = residuals + i * classes;
        double       *t = changes + i * classes, mean = 0;
        size_t        y = (size_t) labels[i];
        double        origin = t[y] + bias[y];
        for (size_t j = 0; j < classes; j++)
            t[j] += bias[j] - origin;
        t[y] = 0;
        for (size_t j = 0; j < classes; j++)
            mean += p[j] * t[j];
        for (size_t j = 0; j < classes; j++)
            t[j] = p[j] * (t[j] - mean);
        t[y] = -(1 + p[y]) * mean;
        for (size_t j = 0; j < classes; j++)
            column_sums[j] += t[j];
    }
}

static void lane_f64(void *argument, size_t lane, uint32_t worker)
{
    const struct pass *pass    = argument;
    mmcl__softmax     *softmax = pass->softmax;
    size_t             d = softmax->inputs, k = softmax->classes, weights = weights_of(softmax), tile = MMCL__MAX(softmax->tile / 2, 1);
    size_t             first = mmcl__lane_begin(&softmax->lanes, lane), end = mmcl__lane_begin(&softmax->lanes, lane + 1);
    double            *sums = softmax->sums + lane * mmcl__softmax_size(softmax), *totals = softmax->totals + 2 * lane;
    double            *scores = softmax->scratch + worker * softmax->scratch_size, *changes = scores + tile * k;
    double            *columns = changes + tile * k, *wide = columns + k;
    bool               curvature = pass->direction != NULL;
    memset(sums, 0, mmcl__softmax_size(softmax) * sizeof *sums);
    totals[0] = totals[1] = 0;
    for (size_t i = first, n; i < end; i += n) {
        n               = MMCL__MIN(tile, end - i);
        const double *x = (const double *) softmax->x + i * d;
        if (softmax->stored == MMCL_PRECISION_F32) {
            mmcl__convert()->f32_to_f64(n * d, (const float *) softmax->x + i * d, wide);
            x = wide;
        }
        mmcl__gemm_f64(false, true, n, k, d, 1, x, d, pass->parameters, d, 0, scores, k);
        mmcl__softmax_kernel()->f64(n, k, softmax->labels + i, pass->parameters + weights, scores, curvature ? columns : sums + weights,
                                    softmax->losses + i, softmax->normalisers + i, &totals[1]);
        if (curvature) {
            mmcl__gemm_f64(false, true, n, k, d, 1, x, d, pass->direction, d, 0, changes, k);
            mmcl__probability_changes(n, k, softmax->labels + i, scores, pass->direction + weights, changes, sums + weights);
        }
        mmcl__gemm_f64(true, false, k, d, n, 1, curvature ? changes : scores, k, x, d, 1, sums, d);
    }
    totals[0] = sum_of(end - first, softmax->losses + first);
}

/* ------------------------------------------------------------------------------------------------------- reduction --- */

/* gradient = c sum over lanes + the penalty's share (its gradient, or its curvature times the direction), for one chunk. */
static void reduce(void *argument, size_t chunk, uint32_t worker)
{
    (void) worker;
    const struct pass   *pass    = argument;
    const mmcl__softmax *softmax = pass->softmax;
    size_t size = mmcl__softmax_size(softmax), first = chunk * CHUNK, end = MMCL__MIN(first + CHUNK, size);
    size_t penalised = MMCL__MAX(MMCL__MIN(weights_of(softmax), end), first);
    double *restrict gradient = pass->gradient;
    const double *restrict penalty = pass->direction != NULL ? pass->direction : pass->parameters;
    memcpy(gradient + first, softmax->sums + first, (end - first) * sizeof *gradient);
    for (size_t lane = 1; lane < softmax->lanes.count; lane++) {
        const double *restrict sums = softmax->sums + lane * size;
        for (size_t p = first; p < end; p++)
            gradient[p] += sums[p];
    }
    for (size_t p = first; p < end; p++)
        gradient[p] *= pass->c;
    for (size_t p = first; p < penalised; p++)
        gradient[p] += softmax->penalty * penalty[p];
    softmax->squares[chunk] = mmcl__dot_f64(penalised - first, pass->parameters + first, pass->parameters + first);
}

mmcl_status mmcl__softmax_curvature(mmcl__softmax *softmax, double c, const double *parameters, const double *direction, double *out)
{
    struct pass pass = {.softmax = softmax, .c = c, .parameters = parameters, .direction = direction, .gradient = out};
    MMCL__TRY(mmcl__parallel(softmax->context, softmax->lanes.count, lane_f64, &pass));
    return mmcl__parallel(softmax->context, chunks_of(softmax), reduce, &pass);
}

mmcl_status mmcl__softmax_pass(mmcl__softmax *softmax, mmcl_precision precision, double c, const double *parameters,
                               double *gradient, mmcl__softmax_value *value)
{
    struct pass pass   = {.softmax = softmax, .c = c, .parameters = parameters, .gradient = gradient};
    bool        narrow = precision == MMCL_PRECISION_F32 && softmax->stored == MMCL_PRECISION_F32;
    if (narrow)
        mmcl__convert()->f64_to_f32(mmcl__softmax_size(softmax), parameters, softmax->narrow);
    MMCL__TRY(mmcl__parallel(softmax->context, softmax->lanes.count, narrow ? lane_f32 : lane_f64, &pass));
    MMCL__TRY(mmcl__parallel(softmax->context, chunks_of(softmax), reduce, &pass));
    double loss = 0, spread = 0, squares = 0;
    for (size_t lane = 0; lane < softmax->lanes.count; lane++) {
        loss += softmax->totals[2 * lane];
        spread += softmax->totals[2 * lane + 1];
    }
    for (size_t chunk = 0; chunk < chunks_of(softmax); chunk++)
        squares += softmax->squares[chunk];
    *value = (mmcl__softmax_value){.objective = c * loss + 0.5 * softmax->penalty * squares, .spread = spread};
    return MMCL_OK;
}
