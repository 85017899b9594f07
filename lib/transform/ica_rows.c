/* Whitened rows and the pass over them. */
#include "transform/ica.h"

#include "transform/ica_kernels.h"
#include "transform/ica_products.h"

#include <math.h>
#include <string.h>

#define TILE 192          /* rows: x of a tile stays in the second-level cache */
#define FLUSH 8           /* tiles summed in float32 before the sum goes to float64 */
#define ROUND_TILES 1024  /* between looks at the cancel flag */
#define DEFAULT_CACHE ((uint64_t) 128 << 20)

struct pass {
    const mmcl__ica_rows *rows;
    const void           *w; /* W [m, k], packed, in the precision */
    size_t                m;
    mmcl_ica_contrast     contrast;
    double                alpha;
    bool                  density, curvature;
};

/* A lane's sums: slope and density [IN_PANELS(k)], then for each panel of y psi_x [k, width], then for each panel second [m, width]. */
struct sums {
    double *slope, *density, *psi_x, *second;
};

static struct sums sums_of(const mmcl__ica_rows *rows, size_t lane)
{
    size_t      m = MMCL__ICA_IN_PANELS(rows->k);
    struct sums sums;
    sums.slope   = rows->sums + lane * rows->sums_share;
    sums.density = sums.slope + m;
    sums.psi_x   = sums.density + m;
    sums.second  = sums.psi_x + m * rows->k;
    return sums;
}

#define REAL float
#define NAME(x) x##_f32
#define PSI f32
#include "transform/ica_rows_tmpl.h"
#undef REAL
#undef NAME
#undef PSI

#define REAL double
#define NAME(x) x##_f64
#define PSI f64
#include "transform/ica_rows_tmpl.h"

static size_t real_size(mmcl_precision precision)
{
    return precision == MMCL_PRECISION_F64 ? sizeof(double) : sizeof(float);
}

/* ------------------------------------------------------------------------------------------------------------ life --- */

static size_t share_of(size_t k, size_t cols, size_t source_scratch, bool curvature)
{
    size_t m = MMCL__ICA_IN_PANELS(k), extra = curvature ? m : 0;
    size_t own = TILE * (MMCL__ICA_WIDEST + k + MMCL__ICA_IN_PIECES(k) + cols) + 2 * m + m * k + extra * (k + 2 * TILE);
    return (own + source_scratch + 15) / 16 * 16; /* every worker's share starts aligned */
}

static size_t sums_share_of(size_t k, bool curvature)
{
    return MMCL__ICA_IN_PANELS(k) * (2 + k * (curvature ? 2 : 1));
}

/* Elements of packed W. */
static size_t w_cells(size_t k)
{
    return MMCL__ICA_IN_PANELS(k) * MMCL__ICA_IN_PIECES(k);
}

/* The row sums of k x k matrices are many beside a tile's work: fewer lanes than for moments. */
static mmcl__lanes lanes_for(size_t n, size_t k, bool curvature)
{
    return mmcl__lanes_of((n + TILE - 1) / TILE, 2 * sums_share_of(k, curvature) * sizeof(double));
}

/* Whole tiles, or everything. */
static size_t rows_in_cache(size_t n, size_t k, mmcl_precision precision, uint64_t cache_bytes)
{
    uint64_t budget = cache_bytes != 0 ? cache_bytes : DEFAULT_CACHE, fit = budget / (MMCL__ICA_IN_PIECES(k) * real_size(precision));
    return fit >= n ? n : (size_t) (fit / TILE * TILE);
}

/* What passes write to. */
static mmcl_status allocate(mmcl__ica_rows *rows)
{
    mmcl_context *context = rows->context;
    size_t        size    = real_size(rows->precision);
    rows->trouble         = mmcl__calloc(context, rows->lanes.count, sizeof *rows->trouble);
    rows->scratch         = mmcl__alloc(context, mmcl__width(context) * rows->share, size);
    rows->sums            = mmcl__alloc(context, rows->lanes.count * rows->sums_share, sizeof *rows->sums);
    rows->w               = mmcl__alloc(context, w_cells(rows->k), size);
    if (rows->cache == NULL || rows->trouble == NULL || rows->scratch == NULL || rows->sums == NULL || rows->w == NULL) {
        mmcl__ica_rows_close(rows);
        return MMCL_E_NOMEM;
    }
    return MMCL_OK;
}

mmcl_status mmcl__ica_rows_open(mmcl__ica_rows *rows, mmcl_context *context, const mmcl__source *source, const mmcl__stage *whitening,
                                mmcl_precision precision, uint64_t cache_bytes, bool curvature)
{
    *rows        = (mmcl__ica_rows){.context = context, .source = source, .whitening = whitening, .n = source->rows->rows,
                                    .k = whitening->outputs, .precision = precision, .curvature = curvature};
    rows->cached     = rows_in_cache(rows->n, rows->k, precision, cache_bytes);
    rows->lanes      = lanes_for(rows->n, rows->k, curvature);
    rows->share      = share_of(rows->k, source->cols, mmcl__source_scratch(source, TILE), curvature);
    rows->sums_share = sums_share_of(rows->k, curvature);
    rows->cache      = mmcl__alloc(context, rows->cached * MMCL__ICA_IN_PIECES(rows->k), real_size(precision));
    MMCL__TRY(allocate(rows));
    mmcl_status status = mmcl__pass(context, &rows->lanes, ROUND_TILES,
                                    precision == MMCL_PRECISION_F64 ? fill_cache_f64 : fill_cache_f32, rows, rows->trouble);
    if (status != MMCL_OK)
        mmcl__ica_rows_close(rows);
    return status;
}

void mmcl__ica_rows_close(mmcl__ica_rows *rows)
{
    mmcl_context *context = rows->context;
    size_t        size    = real_size(rows->precision);
    if (!rows->shares)
        mmcl__free(context, rows->cache, rows->cached * MMCL__ICA_IN_PIECES(rows->k), size);
    mmcl__free(context, rows->trouble, rows->lanes.count, sizeof *rows->trouble);
    mmcl__free(context, rows->scratch, mmcl__width(context) * rows->share, size);
    mmcl__free(context, rows->sums, rows->lanes.count * rows->sums_share, sizeof *rows->sums);
    mmcl__free(context, rows->w, w_cells(rows->k), size);
    rows->cache = rows->trouble = rows->scratch = rows->sums = rows->w = NULL;
}

mmcl_status mmcl__ica_rows_share(mmcl__ica_rows *view, const mmcl__ica_rows *rows, mmcl_context *context)
{
    *view         = *rows;
    view->context = context;
    view->shares  = true;
    view->passes  = 0;
    return allocate(view);
}

uint64_t mmcl__ica_annex_bytes(const mmcl__ica_rows *rows, const mmcl_step_options *options)
{
    uint64_t size = real_size(rows->precision), k = rows->k, cells = k * k;
    uint64_t passes = MMCL__ANNEX_BYTES(rows->lanes.count * sizeof *rows->trouble) + MMCL__ANNEX_BYTES(rows->share * size) +
                      MMCL__ANNEX_BYTES(rows->lanes.count * rows->sums_share * sizeof(double)) + MMCL__ANNEX_BYTES(w_cells(rows->k) * size);
    /* Picard's matrices, or FastICA's fewer; beside them a decorrelation with its eigenvalue solver, more than the solve of a step; the tails of blocks. */
    uint64_t solver = sizeof(double) * ((8 + 2 * options->lbfgs_memory) * cells + 4 * k + options->lbfgs_memory + 4 * cells + 16 * k) + 16 * MMCL__ALIGN;
    return passes + solver;
}

uint64_t mmcl__ica_rows_bytes(size_t n, size_t k, size_t cols, size_t width, mmcl_precision precision, uint64_t cache_bytes,
                              bool curvature, uint32_t threads)
{
    uint64_t    size  = real_size(precision), cached = rows_in_cache(n, k, precision, cache_bytes);
    mmcl__lanes lanes = lanes_for(n, k, curvature);
    return size * (cached * MMCL__ICA_IN_PIECES(k) + threads * (uint64_t) share_of(k, cols, 2 * TILE * width, curvature) +
                   (uint64_t) w_cells(k)) +
           sizeof(double) * lanes.count * (uint64_t) sums_share_of(k, curvature) + lanes.count * sizeof(mmcl__trouble);
}

/* ------------------------------------------------------------------------------------------------------------ pass --- */

static void lane_clear(void *argument, size_t lane, uint32_t worker)
{
    (void) worker;
    mmcl__ica_rows *rows = argument;
    memset(rows->sums + lane * rows->sums_share, 0, rows->sums_share * sizeof *rows->sums);
}

static void lane_total(void *argument, size_t i, uint32_t worker)
{
    (void) worker;
    mmcl__ica_rows *rows  = argument;
    size_t          begin = i * rows->k, end = MMCL__MIN(begin + rows->k, rows->sums_share);
    for (size_t lane = 1; lane < rows->lanes.count; lane++)
        for (size_t j = begin; j < end; j++)
            rows->sums[j] += rows->sums[lane * rows->sums_share + j];
}

/* Runs `visit` over all tiles and adds the lanes' sums up, in lane order, into the first one's. */
static mmcl_status run(mmcl__ica_rows *rows, struct pass *pass, const double *w, mmcl__visit visit_f32_, mmcl__visit visit_f64_)
{
    bool wide = rows->precision == MMCL_PRECISION_F64;
    if (wide)
        mmcl__ica_products()->f64.pack(pass->m, rows->k, w, rows->w);
    else
        mmcl__ica_products()->f32.pack(pass->m, rows->k, w, rows->w);
    pass->rows = rows;
    pass->w    = rows->w;
    MMCL__TRY(mmcl__parallel(rows->context, rows->lanes.count, lane_clear, rows));
    MMCL__TRY(mmcl__pass(rows->context, &rows->lanes, ROUND_TILES, wide ? visit_f64_ : visit_f32_, pass, rows->trouble));
    rows->passes++;
    return mmcl__parallel(rows->context, (rows->sums_share + rows->k - 1) / rows->k, lane_total, rows);
}

static void means(const double *sums, size_t count, size_t n, double *out)
{
    for (size_t i = 0; i < count && out != NULL; i++)
        out[i] = sums[i] / (double) n;
}

/* The same for sums [count, width] in each panel; out [m, count]. */
static void panel_means(const mmcl__ica_rows *rows, const double *sums, size_t m, size_t count, double *out)
{
    size_t width = rows->precision == MMCL_PRECISION_F64 ? mmcl__ica_products()->f64.width : mmcl__ica_products()->f32.width;
    for (size_t i = 0; i < m; i++) {
        const double *panel = sums + i / width * width * count + i % width;
        for (size_t j = 0; j < count; j++)
            out[i * count + j] = panel[j * width] / (double) rows->n;
    }
}

mmcl_status mmcl__ica_pass(mmcl__ica_rows *rows, const double *w, size_t m, mmcl_ica_contrast contrast, double alpha,
                           mmcl__ica_stats *stats)
{
    struct pass pass = {.m = m, .contrast = contrast, .alpha = alpha, .density = stats->density != NULL,
                        .curvature = stats->curvature != NULL};
    assert(!pass.curvature || (rows->curvature && pass.density));
    MMCL__TRY(run(rows, &pass, w, visit_f32, visit_f64));
    struct sums sums = sums_of(rows, 0);
    panel_means(rows, sums.psi_x, m, rows->k, stats->psi_x);
    means(sums.slope, m, rows->n, stats->slope);
    means(sums.density, m, rows->n, stats->density);
    if (pass.curvature)
        panel_means(rows, sums.second, m, m, stats->curvature);
    return MMCL_OK;
}

mmcl_status mmcl__ica_describe(mmcl__ica_rows *rows, const double *w, size_t m, double *third, double *logcosh)
{
    struct pass pass = {.m = m};
    MMCL__TRY(run(rows, &pass, w, describe_f32, describe_f64));
    struct sums sums = sums_of(rows, 0);
    means(sums.slope, m, rows->n, third);
    means(sums.density, m, rows->n, logcosh);
    return MMCL_OK;
}
