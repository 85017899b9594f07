#include "transform/moments.h"

#include "linalg/blas.h"

#include <string.h>

#define TILE 256
#define ROUND_TILES 256 /* 64 Ki rows between looks at the cancel flag */

mmcl_status mmcl__moments_create(mmcl_moments **out, mmcl_context *context, size_t cols)
{
    mmcl_moments *moments = mmcl__calloc(context, 1, sizeof *moments);
    if (moments == NULL)
        return MMCL_E_NOMEM;
    moments->context = context;
    moments->cols    = cols;
    moments->mean    = mmcl__calloc(context, cols, sizeof *moments->mean);
    moments->scatter = mmcl__calloc(context, cols * cols, sizeof *moments->scatter);
    if (moments->mean == NULL || moments->scatter == NULL) {
        mmcl__moments_destroy(moments);
        return MMCL_E_NOMEM;
    }
    *out = moments;
    return MMCL_OK;
}

void mmcl__moments_destroy(mmcl_moments *moments)
{
    if (moments == NULL)
        return;
    mmcl_context *context = moments->context;
    mmcl__free(context, moments->mean, moments->cols, sizeof *moments->mean);
    mmcl__free(context, moments->scatter, moments->cols * moments->cols, sizeof *moments->scatter);
    mmcl__free(context, moments, 1, sizeof *moments);
}

/*
 * Pairwise update of Chan, Golub and LeVeque (1979): scatter = A + B + (n_a n_b / n) d d^T with d the difference of the means.
 * The mean difference is added row by row, so that no scratch is needed.
 */
void mmcl__moments_merge(mmcl_moments *moments, const mmcl_moments *other)
{
    if (other->count == 0)
        return;
    size_t cols = moments->cols;
    double a = (double) moments->count, b = (double) other->count, weight = a * b / (a + b);
    for (size_t i = 0; i < cols; i++) {
        double        d   = other->mean[i] - moments->mean[i];
        double       *row = moments->scatter + i * cols;
        const double *add = other->scatter + i * cols;
        for (size_t j = i; j < cols; j++)
            row[j] += add[j] + weight * d * (other->mean[j] - moments->mean[j]);
    }
    for (size_t i = 0; i < cols; i++)
        moments->mean[i] += (other->mean[i] - moments->mean[i]) * (b / (a + b));
    moments->count += other->count;
    moments->epsilon = MMCL__MAX(moments->epsilon, other->epsilon);
}

/* ----------------------------------------------------------------------------------------------------------- pass --- */

struct pass {
    const mmcl__source *source;
    mmcl_moments       *lanes;   /* [lanes] */
    mmcl__trouble      *trouble; /* [lanes] */
    double             *scratch; /* a share for each worker: a tile, its mean, and what the source needs */
    size_t              share;
};

/* Adds a tile [n, cols], which is centred in place: sums of n values near each other lose nothing in float64. */
static void add_tile(mmcl_moments *sum, double *tile, size_t n, double *mean)
{
    size_t cols = sum->cols;
    memset(mean, 0, cols * sizeof *mean);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < cols; j++)
            mean[j] += tile[i * cols + j];
    for (size_t j = 0; j < cols; j++)
        mean[j] /= (double) n;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < cols; j++)
            tile[i * cols + j] -= mean[j];
    double before = (double) sum->count, weight = before * (double) n / (before + (double) n);
    for (size_t j = 0; j < cols; j++)
        mean[j] -= sum->mean[j]; /* the difference of the means from here on */
    for (size_t i = 0; i < cols && weight > 0; i++)
        mmcl__axpy_f64(cols - i, weight * mean[i], mean + i, sum->scatter + i * cols + i);
    mmcl__syrk_f64(cols, n, tile, cols, sum->scatter, cols);
    mmcl__axpy_f64(cols, (double) n / (before + (double) n), mean, sum->mean);
    sum->count += n;
}

static void visit(void *argument, size_t lane, size_t first, size_t last, uint32_t worker)
{
    struct pass *pass = argument;
    size_t       rows = pass->source->rows->rows, cols = pass->source->cols;
    double      *tile = pass->scratch + worker * pass->share, *mean = tile + TILE * cols, *scratch = mean + cols;
    for (size_t t = first; t < last; t++) {
        size_t from = t * TILE, n = MMCL__MIN(TILE, rows - from);
        if (!mmcl__source_read_f64(pass->source, from, n, tile, scratch, &pass->trouble[lane]))
            return;
        add_tile(&pass->lanes[lane], tile, n, mean);
    }
}

static size_t share_of(const mmcl__source *source)
{
    return (TILE + 1) * source->cols + mmcl__source_scratch(source, TILE);
}

static mmcl__lanes lanes_for(size_t rows, size_t cols)
{
    return mmcl__lanes_of((rows + TILE - 1) / TILE, cols * cols * sizeof(double));
}

/* The lanes' accumulators share one block: mean and scatter of each, behind one another. */
static void place_lanes(mmcl_moments *lanes, size_t count, size_t cols, double *block)
{
    for (size_t i = 0; i < count; i++)
        lanes[i] = (mmcl_moments){
            .cols = cols, .mean = block + i * (cols + cols * cols), .scatter = block + i * (cols + cols * cols) + cols};
}

mmcl_status mmcl__moments_add(mmcl_moments *moments, const mmcl__source *source)
{
    mmcl_context *context = moments->context;
    size_t        cols = source->cols, cells = cols + cols * cols;
    mmcl__lanes   lanes = lanes_for(source->rows->rows, cols);
    uint32_t      width = mmcl__width(context);
    struct pass   pass  = {.source = source, .share = share_of(source)};
    pass.lanes          = mmcl__calloc(context, lanes.count, sizeof *pass.lanes);
    pass.trouble        = mmcl__calloc(context, lanes.count, sizeof *pass.trouble);
    pass.scratch        = mmcl__alloc(context, width * pass.share, sizeof(double));
    double     *block   = mmcl__calloc(context, lanes.count * cells, sizeof *block);
    mmcl_status status  = MMCL_E_NOMEM;
    if (pass.lanes != NULL && pass.trouble != NULL && pass.scratch != NULL && block != NULL) {
        place_lanes(pass.lanes, lanes.count, cols, block);
        status = source->rows->rows == 0 ? MMCL_OK : mmcl__pass(context, &lanes, ROUND_TILES, visit, &pass, pass.trouble);
    }
    if (status == MMCL_OK) {
        for (size_t i = 0; i < lanes.count; i++)
            mmcl__moments_merge(moments, &pass.lanes[i]);
        for (size_t i = 0; i < source->rows->n_parts; i++)
            moments->epsilon = MMCL__MAX(moments->epsilon, mmcl__dtype_epsilon(source->rows->parts[i].dtype));
    }
    mmcl__free(context, pass.lanes, lanes.count, sizeof *pass.lanes);
    mmcl__free(context, pass.trouble, lanes.count, sizeof *pass.trouble);
    mmcl__free(context, pass.scratch, width * pass.share, sizeof(double));
    mmcl__free(context, block, lanes.count * cells, sizeof *block);
    return status;
}

uint64_t mmcl__moments_bytes(size_t rows, size_t cols, size_t width, uint32_t threads)
{
    mmcl__lanes lanes = lanes_for(rows, cols);
    uint64_t    share = (uint64_t) (TILE + 1) * cols + (width > 0 ? 2ull * TILE * width : 0);
    return sizeof(double) * (lanes.count * ((uint64_t) cols + (uint64_t) cols * cols) + threads * share) +
           lanes.count * (sizeof(mmcl_moments) + sizeof(mmcl__trouble));
}
