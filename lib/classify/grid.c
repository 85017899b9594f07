#include "classify/grid.h"

#include "classify/cache_kernels.h"
#include "linalg/blas.h"

#include <math.h>
#include <string.h>

#define LANES MMCL__GRID_LANES
#define TILE 128                   /* rows of a task; a multiple of LANES */
#define TILE_BYTES ((size_t) 1 << 26) /* of affinities that a worker may hold: fewer rows where keys are many */
#define UNIT 0x1p-24               /* rounding of float32 */
#define MOST_EXPONENT 50.0         /* of a key's term, above which a row is left to float64 */

/* What a worker computes in. */
struct worker {
    mmcl__grid_row exact;
    float         *affinity; /* [keys, tile] */
    double        *x;        /* [tile, inputs] the rows; then, where there is such a term, t(x) */
    double        *linear;   /* [classes, tile] scores without the cache */
    double        *slope;    /* [classes, tile] what eta is multiplied with */
    double        *visual;   /* [classes, tile] what gamma is multiplied with */
    float         *sums;     /* [points, LANES] of a class; points are the betas, or the gammas */
    float         *own;      /* the same of each lane's own class */
    float         *bounds;   /* [4, points, LANES] */
    float         *column;   /* [keys] affinities of the row that `exact` is at */
    float         *terms;    /* [keys] their exponentials */
    float         *totals;   /* [classes] the sums of these */
    size_t         totals_row;
    double         totals_beta;
    uint64_t      *counts;   /* [points, along] */
};

/* One search. `along` is the axis on which bounds are taken: alphas, or etas. */
struct search {
    const mmcl__grid      *grid;
    const mmcl__grid_axis *points, *along;
    const double          *visual;      /* NULL: betas and alphas are searched */
    double                 beta, alpha; /* otherwise fixed */
    double                 key_norm;    /* the largest of a key */
    double                 weight_norm; /* the largest of a class's weights, text and visual terms at their largest factor */
    double                 top_weight;  /* log of the largest key weight, at least 0 */
    size_t                 tile, first; /* rows of a tile; the tile that a batch begins with */
    struct worker         *workers;
    uint32_t               n_workers;
};

/* LANES rows of a tile. */
struct group {
    size_t           row, at, n;      /* the first of all rows and of the tile, and how many there are */
    float            scale[LANES], offset[LANES];
    mmcl__grid_betas betas;
    bool             wild[LANES];     /* only float64 is safe */
};

/* ---------------------------------------------------------------------------------------------------------- a tile --- */

static double norm_f32(size_t n, const float *x)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double) x[i] * (double) x[i];
    return sqrt(sum);
}

static double norm_f64(size_t n, const double *x)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += x[i] * x[i];
    return sqrt(sum);
}

/* t(x) of the tile's rows in the place of the rows; `scratch` [classes, tile]. */
static void attend(const mmcl__grid *grid, size_t tile, size_t n, double *x, double *scratch)
{
    const size_t classes = grid->classes, d = grid->inputs;
    mmcl__gemm_f64(false, true, classes, n, d, 1, grid->text, d, x, d, 0, scratch, tile);
    for (size_t i = 0; i < n; i++) {
        double top = -INFINITY, all = 0;
        for (size_t k = 0; k < classes; k++)
            top = fmax(top, scratch[k * tile + i]);
        for (size_t k = 0; k < classes; k++)
            all += scratch[k * tile + i] = exp(scratch[k * tile + i] - top);
        for (size_t k = 0; k < classes; k++)
            scratch[k * tile + i] /= all;
    }
    mmcl__gemm_f64(true, false, n, d, classes, 1, scratch, tile, grid->text, d, 0, x, d);
}

/* The terms of the tile's scores without the cache, in float64. */
static void fill_terms(const struct search *search, struct worker *worker, size_t first, size_t n)
{
    const mmcl__grid *grid = search->grid;
    const size_t      d = grid->inputs, classes = grid->classes, tile = search->tile;
    for (size_t i = 0; i < n * d && worker->x != NULL; i++)
        worker->x[i] = (double) grid->x[first * d + i];
    if (grid->weights != NULL)
        mmcl__gemm_f64(false, true, classes, n, d, 1, grid->weights, d, worker->x, d, 0, worker->linear, tile);
    else
        memset(worker->linear, 0, classes * tile * sizeof *worker->linear);
    if (search->visual != NULL)
        mmcl__gemm_f64(false, true, classes, n, d, 1, search->visual, d, worker->x, d, 0, worker->visual, tile);
    if (grid->text == NULL)
        return;
    attend(grid, tile, n, worker->x, worker->slope);
    mmcl__gemm_f64(false, true, classes, n, d, 1, grid->text, d, worker->x, d, 0, worker->slope, tile);
    if (search->visual == NULL)
        for (size_t k = 0; k < classes; k++)
            for (size_t i = 0; i < n; i++)
                worker->linear[k * tile + i] += grid->eta * worker->slope[k * tile + i];
}

/* The affinities of all keys with the tile's rows; lanes beyond the last row are 0. */
static void fill_affinity(const struct search *search, struct worker *worker, size_t first, size_t n)
{
    const mmcl__grid *grid = search->grid;
    const size_t      tile = search->tile, end = (n + LANES - 1) / LANES * LANES;
    mmcl__gemm_f32(false, true, grid->keys, n, grid->width, 1, grid->key, grid->key_stride, grid->u + first * grid->u_stride, grid->u_stride, 0,
                   worker->affinity, tile);
    for (size_t j = 0; j < grid->keys && n < end; j++)
        memset(worker->affinity + j * tile + n, 0, (end - n) * sizeof(float));
}

/*
 * What float32 knows about the rows of a group. An affinity is off by at most width UNIT |u| |key|, whatever the order of summing; a
 * beta times it, and the exponential of it, by a few roundings more; each step of beta adds a rounding of the product and the error of
 * the factor.
 */
static void set_group(const struct search *search, struct worker *worker, struct group *group)
{
    const mmcl__grid *grid = search->grid;
    const size_t      tile = search->tile;
    float             lo[LANES], hi[LANES];
    size_t            longest = 0;
    for (int l = 0; l < LANES; l++) {
        lo[l] = INFINITY;
        hi[l] = -INFINITY;
    }
    for (size_t j = 0; j < grid->keys; j++)
        for (int l = 0; l < LANES; l++) {
            float a = worker->affinity[j * tile + group->at + (size_t) l];
            lo[l]   = a < lo[l] ? a : lo[l];
            hi[l]   = a > hi[l] ? a : hi[l];
        }
    for (size_t k = 0; k < grid->classes; k++)
        longest = MMCL__MAX(longest, grid->starts[k + 1] - grid->starts[k]);
    double last = search->visual != NULL ? search->beta : mmcl__grid_at(search->points, search->points->count - 1);
    for (size_t l = 0; l < LANES; l++) {
        double norm  = l < group->n ? norm_f32(grid->width, grid->u + (group->row + l) * grid->u_stride) : 0;
        double error = ((double) grid->width + 2) * UNIT * norm * search->key_norm, range = (double) hi[l] - (double) lo[l], top;
        group->scale[l]  = grid->min_max ? (float) (1 / range) : 1;
        group->offset[l] = grid->min_max ? -hi[l] * group->scale[l] : -1;
        top              = (double) hi[l] * (double) group->scale[l] + (double) group->offset[l];
        error            = grid->min_max ? (4 * error + 4 * UNIT * (fabs((double) hi[l]) + fabs((double) lo[l]))) / range + 4 * UNIT : error + 4 * UNIT;
        group->betas.slope[l] = (float) (error + 8 * UNIT * (2 + norm * search->key_norm * (double) group->scale[l]));
        group->wild[l]        = !(error < 0.01) || !(fabs(last) * fmax(top, 0) + search->top_weight < MOST_EXPONENT);
    }
    group->betas.constant = (float) (((double) longest + 24) * UNIT);
    group->betas.growth   = (float) (8 * UNIT);
}

/* --------------------------------------------------------------------------------------------------- in float64 --- */

/* The exact range of a row's affinities, of which those may be the ends that float32 sees within its error of them. */
static void set_range(const struct search *search, struct worker *worker)
{
    const mmcl__grid *grid = search->grid;
    mmcl__grid_row   *row  = &worker->exact;
    double            norm = norm_f32(grid->width, grid->u + row->row * grid->u_stride);
    float             lo = INFINITY, hi = -INFINITY, error = (float) (2.1 * ((double) grid->width + 2) * UNIT * norm * search->key_norm);
    row->lo = INFINITY;
    row->hi = -INFINITY;
    for (size_t j = 0; j < grid->keys; j++) {
        lo = fminf(lo, worker->column[j]);
        hi = fmaxf(hi, worker->column[j]);
    }
    for (size_t j = 0; j < grid->keys; j++)
        if (!(worker->column[j] > lo + error) || !(worker->column[j] < hi - error)) {
            double a = mmcl__grid_row_affinity(row, j);
            row->lo  = fmin(row->lo, a);
            row->hi  = fmax(row->hi, a);
        }
    row->has_range = true;
}

/* Makes a row the one that float64 works on. */
static void begin_row(const struct search *search, struct worker *worker, size_t index, size_t at)
{
    if (worker->exact.row == index)
        return;
    mmcl__grid_row_set(&worker->exact, index);
    for (size_t j = 0; j < search->grid->keys; j++)
        worker->column[j] = worker->affinity[j * search->tile + at];
    if (search->grid->min_max)
        set_range(search, worker);
}

/* The score of a class at a point of the grid. */
static double score(const struct search *search, mmcl__grid_row *row, size_t k, double point, double along)
{
    const mmcl__grid *grid = search->grid;
    if (search->visual == NULL)
        return mmcl__grid_row_linear(row, k) + grid->eta * mmcl__grid_row_attention(row, k) + along * mmcl__grid_row_sum(row, k, point);
    double seen = mmcl__grid_dot(grid->inputs, grid->x + row->row * grid->inputs, search->visual + k * grid->inputs);
    return mmcl__grid_row_linear(row, k) + point * seen + along * mmcl__grid_row_attention(row, k) +
           search->alpha * mmcl__grid_row_sum(row, k, search->beta);
}

/* Whether class k answers before the label's: the first of the highest scores wins. */
static bool overtakes(const struct search *search, mmcl__grid_row *row, size_t k, double label_score, double point, double along)
{
    double s = score(search, row, k, point, along);
    return s > label_score || (s == label_score && k < (size_t) search->grid->labels[row->row]);
}


/* The sums of all classes at one beta, of the row that float64 works on. */
static void fill_totals(const struct search *search, struct worker *worker, const struct group *group, size_t lane, double beta)
{
    const mmcl__grid *grid  = search->grid;
    const float       scale = group->scale[lane], offset = group->offset[lane];
    if (worker->totals_row == worker->exact.row && worker->totals_beta == beta)
        return;
    memcpy(worker->terms, worker->column, grid->keys * sizeof *worker->terms);
    mmcl__cache_kernel()->decay(grid->keys, (float) beta * scale, (float) beta * offset, grid->key_weights, worker->terms);
    for (size_t k = 0; k < grid->classes; k++) {
        double sum = 0;
        for (size_t j = grid->starts[k]; j < grid->starts[k + 1]; j++)
            sum += (double) worker->terms[j];
        worker->totals[k] = (float) sum;
    }
    worker->totals_row  = worker->exact.row;
    worker->totals_beta = beta;
}

/* Settles one pair of the grid in float64, among the classes that float32 does not rule out. */
static bool settle(const struct search *search, struct worker *worker, const struct group *group, size_t lane, double point, double along)
{
    const mmcl__grid *grid = search->grid;
    mmcl__grid_row   *row  = &worker->exact;
    const bool        attention = search->visual != NULL;
    const double      beta = attention ? search->beta : point, factor = attention ? search->alpha : along;
    begin_row(search, worker, group->row + lane, group->at + lane);
    fill_totals(search, worker, group, lane, beta);
    const size_t tile = search->tile, at = group->at + lane, label = (size_t) grid->labels[row->row];
    const double own = score(search, row, label, point, along), own_sum = (double) worker->totals[label];
    const double relative = beta * (double) group->betas.slope[lane] + (double) group->betas.constant;
    for (size_t k = 0; k < grid->classes; k++) {
        size_t here = k * tile + at, there = label * tile + at;
        double sum = (double) worker->totals[k], ahead = worker->linear[here] - worker->linear[there];
        if (attention)
            ahead += point * (worker->visual[here] - worker->visual[there]) + along * (worker->slope[here] - worker->slope[there]);
        double slack = fabs(factor) * (relative * (sum + own_sum) + 1e-30) + 1e-12 * search->weight_norm;
        if (k != label && (group->wild[lane] || ahead + factor * (sum - own_sum) + slack >= 0) &&
            overtakes(search, row, k, own, point, along))
            return false;
    }
    return true;
}

/* A bound as far down (or up, `by` negative) as its division may have rounded. */
static double moved(float bound, double by)
{
    return (double) bound * (bound > 0 ? 1 - by : 1 + by);
}

/* Counts the points along the axis where a lane is right, for the `b`-th beta or gamma. */
static void count_lane(const struct search *search, struct worker *worker, const struct group *group, size_t lane, size_t b)
{
    const mmcl__grid_axis *along   = search->along;
    const size_t           at      = b * LANES + lane, plane = search->points->count * LANES;
    const double           sure_lo = moved(worker->bounds[at], -1e-6), sure_hi = moved(worker->bounds[plane + at], 1e-6);
    const double           may_lo = moved(worker->bounds[2 * plane + at], 1e-6), may_hi = moved(worker->bounds[3 * plane + at], -1e-6);
    for (size_t j = 0; j < along->count; j++) {
        double value = mmcl__grid_at(along, j);
        bool   wild = group->wild[lane], right = !wild && value > sure_lo && value < sure_hi;
        if (!right && (wild || (value >= may_lo && value <= may_hi)))
            right = settle(search, worker, group, lane, mmcl__grid_at(search->points, b), value);
        worker->counts[b * along->count + j] += right;
    }
}

/* ------------------------------------------------------------------------------------------------------- the bounds --- */

static void clear_bounds(const struct search *search, struct worker *worker)
{
    size_t plane = search->points->count * LANES;
    for (size_t i = 0; i < plane; i++) {
        worker->bounds[i] = worker->bounds[2 * plane + i] = -INFINITY;
        worker->bounds[plane + i] = worker->bounds[3 * plane + i] = INFINITY;
    }
}

static mmcl__grid_bounds bounds_at(const struct search *search, const struct worker *worker, size_t point)
{
    size_t plane = search->points->count * LANES;
    float *at    = worker->bounds + point * LANES;
    return (mmcl__grid_bounds){at, at + plane, at + 2 * plane, at + 3 * plane};
}

/* The sums of class k over the group's rows, at each beta. */
static void class_sums(const struct search *search, const struct worker *worker, const struct group *group, size_t k, float *out)
{
    const mmcl__grid *grid  = search->grid;
    const size_t      first = grid->starts[k];
    mmcl__cache_kernel()->sums(grid->starts[k + 1] - first, search->tile, worker->affinity + first * search->tile + group->at,
                               grid->key_weights != NULL ? grid->key_weights + first : NULL, group->scale, group->offset, &group->betas, out);
}

/* The sums of each lane's own class. */
static void own_sums(const struct search *search, const struct worker *worker, const struct group *group)
{
    const int32_t *labels = search->grid->labels + group->row;
    memset(worker->own, 0, group->betas.count * LANES * sizeof *worker->own);
    for (size_t l = 0; l < group->n; l++) {
        if (l == 0 || labels[l] != labels[l - 1])
            class_sums(search, worker, group, (size_t) labels[l], worker->sums);
        for (size_t b = 0; b < group->betas.count; b++)
            worker->own[b * LANES + l] = worker->sums[b * LANES + l];
    }
}

/* How far class k is ahead of the label of a lane in a term; 0 for lanes without a row. */
static double gap_of(const struct search *search, const struct group *group, const double *term, size_t k, size_t lane)
{
    if (lane >= group->n)
        return 0;
    const double *at = term + group->at + lane;
    return at[k * search->tile] - at[(size_t) search->grid->labels[group->row + lane] * search->tile];
}

/* A score ahead in float32 with its error; a label is left far behind itself. */
static void set_ahead(const struct search *search, const struct group *group, size_t k, size_t lane, double gap, double error, float *ahead,
                      float *errors)
{
    bool own     = lane >= group->n || (size_t) search->grid->labels[group->row + lane] == k;
    ahead[lane]  = own ? -INFINITY : (float) gap;
    errors[lane] = (float) (error + 4 * UNIT * fabs(gap) + 1e-12 * search->weight_norm);
}

/* Betas and alphas: the sums at all betas, and one gap without the cache. */
static void bound_alphas(const struct search *search, struct worker *worker, struct group *group, size_t k)
{
    float             ahead[LANES], error[LANES];
    mmcl__grid_bounds bounds = bounds_at(search, worker, 0);
    class_sums(search, worker, group, k, worker->sums);
    for (size_t l = 0; l < LANES; l++)
        set_ahead(search, group, k, l, gap_of(search, group, worker->linear, k, l), 0, ahead, error);
    mmcl__cache_kernel()->bounds(&group->betas, ahead, error, worker->sums, worker->own, &bounds);
}

/* Gammas and etas: everything but the cache's sums is known in float64, and a score is linear in both. */
static void bound_etas(const struct search *search, struct worker *worker, struct group *group, size_t k)
{
    float  ahead[LANES], error[LANES], up[LANES], down[LANES];
    double fixed[LANES], visual[LANES], spread[LANES];
    class_sums(search, worker, group, k, worker->sums);
    mmcl__grid_betas exact = {.count = 1, .constant = (float) (4 * UNIT)};
    for (size_t l = 0; l < LANES; l++) {
        double sum = (double) worker->sums[l], own = (double) worker->own[l], slope = gap_of(search, group, worker->slope, k, l);
        fixed[l]   = gap_of(search, group, worker->linear, k, l) + search->alpha * (sum - own);
        visual[l]  = gap_of(search, group, worker->visual, k, l);
        spread[l]  = fabs(search->alpha) * ((search->beta * (double) group->betas.slope[l] + (double) group->betas.constant) * (sum + own));
        up[l]      = slope > 0 ? (float) slope : 0;
        down[l]    = slope < 0 ? (float) -slope : 0;
    }
    for (size_t g = 0; g < search->points->count; g++) {
        mmcl__grid_bounds bounds = bounds_at(search, worker, g);
        for (size_t l = 0; l < LANES; l++)
            set_ahead(search, group, k, l, fixed[l] + mmcl__grid_at(search->points, g) * visual[l], spread[l], ahead, error);
        mmcl__cache_kernel()->bounds(&exact, ahead, error, up, down, &bounds);
    }
}

static void search_group(const struct search *search, struct worker *worker, struct group *group)
{
    const bool attention = search->visual != NULL;
    group->betas.first   = (float) (attention ? search->beta : search->points->first);
    group->betas.step    = (float) (attention ? 0 : search->points->step);
    group->betas.count   = attention ? 1 : search->points->count;
    clear_bounds(search, worker);
    own_sums(search, worker, group);
    for (size_t k = 0; k < search->grid->classes; k++)
        (attention ? bound_etas : bound_alphas)(search, worker, group, k);
    for (size_t l = 0; l < group->n; l++)
        for (size_t b = 0; b < search->points->count; b++)
            count_lane(search, worker, group, l, b);
}

static void search_tile(void *argument, size_t i, uint32_t index)
{
    const struct search *search = argument;
    struct worker       *worker = &search->workers[index];
    size_t               first = (search->first + i) * search->tile, n = MMCL__MIN(search->tile, search->grid->rows - first);
    fill_terms(search, worker, first, n);
    fill_affinity(search, worker, first, n);
    for (size_t at = 0; at < n; at += LANES) {
        struct group group = {.row = first + at, .at = at, .n = MMCL__MIN((size_t) LANES, n - at)};
        set_group(search, worker, &group);
        search_group(search, worker, &group);
    }
}

/* --------------------------------------------------------------------------------------------------------- workers --- */

/* Each block of a worker, for making and for taking back. */
static void each_block(const struct search *search, struct worker *worker, void (*visit)(mmcl_context *, void **, size_t, size_t))
{
    const mmcl__grid *grid    = search->grid;
    mmcl_context     *context = grid->context;
    const size_t      terms = grid->classes * search->tile, points = search->points->count * LANES;
    visit(context, (void **) &worker->affinity, grid->keys * search->tile, sizeof *worker->affinity);
    visit(context, (void **) &worker->x, search->tile * grid->inputs, sizeof *worker->x);
    visit(context, (void **) &worker->linear, terms, sizeof *worker->linear);
    visit(context, (void **) &worker->slope, grid->text != NULL ? terms : 0, sizeof *worker->slope);
    visit(context, (void **) &worker->visual, search->visual != NULL ? terms : 0, sizeof *worker->visual);
    visit(context, (void **) &worker->sums, points, sizeof *worker->sums);
    visit(context, (void **) &worker->own, points, sizeof *worker->own);
    visit(context, (void **) &worker->bounds, 4 * points, sizeof *worker->bounds);
    visit(context, (void **) &worker->column, grid->keys, sizeof *worker->column);
    visit(context, (void **) &worker->terms, grid->keys, sizeof *worker->terms);
    visit(context, (void **) &worker->totals, grid->classes, sizeof *worker->totals);
    visit(context, (void **) &worker->counts, search->points->count * search->along->count, sizeof *worker->counts);
}

static void make_block(mmcl_context *context, void **block, size_t count, size_t size)
{
    *block = mmcl__calloc(context, count, size);
}

static void take_block(mmcl_context *context, void **block, size_t count, size_t size)
{
    mmcl__free(context, *block, count, size);
}

static void close_workers(struct search *search)
{
    for (uint32_t w = 0; w < search->n_workers && search->workers != NULL; w++) {
        each_block(search, &search->workers[w], take_block);
        mmcl__grid_row_close(&search->workers[w].exact);
    }
    mmcl__free(search->grid->context, search->workers, search->n_workers, sizeof *search->workers);
}

static mmcl_status open_workers(struct search *search)
{
    mmcl_context *context = search->grid->context;
    search->n_workers     = mmcl__width(context);
    search->workers       = mmcl__calloc(context, search->n_workers, sizeof *search->workers);
    for (uint32_t w = 0; w < search->n_workers && search->workers != NULL; w++) {
        struct worker *worker = &search->workers[w];
        worker->totals_row    = SIZE_MAX;
        each_block(search, worker, make_block);
        if (worker->affinity == NULL || worker->x == NULL || worker->linear == NULL || worker->slope == NULL || worker->visual == NULL ||
            worker->sums == NULL || worker->own == NULL || worker->bounds == NULL || worker->column == NULL || worker->terms == NULL ||
            worker->totals == NULL || worker->counts == NULL)
            return MMCL_E_NOMEM;
        MMCL__TRY(mmcl__grid_row_open(&worker->exact, search->grid));
    }
    return search->workers != NULL ? MMCL_OK : MMCL_E_NOMEM;
}

/* ------------------------------------------------------------------------------------------------------- the search --- */

/* The sizes that bounds of errors are made of, and how many rows a worker holds. */
static void measure(struct search *search)
{
    const mmcl__grid *grid = search->grid;
    double            eta = search->visual != NULL ? mmcl__grid_at(search->along, search->along->count - 1) : grid->eta;
    double            gamma = search->visual != NULL ? mmcl__grid_at(search->points, search->points->count - 1) : 0;
    for (size_t j = 0; j < grid->keys; j++) {
        search->key_norm = fmax(search->key_norm, norm_f32(grid->width, grid->key + j * grid->key_stride));
        if (grid->key_weights != NULL)
            search->top_weight = fmax(search->top_weight, log(fmax((double) grid->key_weights[j], 1)));
    }
    for (size_t k = 0; k < grid->classes; k++) {
        double size = grid->weights != NULL ? norm_f64(grid->inputs, grid->weights + k * grid->inputs) : 0;
        size += grid->text != NULL ? fabs(eta) * norm_f64(grid->inputs, grid->text + k * grid->inputs) : 0;
        size += search->visual != NULL ? fabs(gamma) * norm_f64(grid->inputs, search->visual + k * grid->inputs) : 0;
        search->weight_norm = fmax(search->weight_norm, size);
    }
    for (search->tile = TILE; search->tile > LANES && search->tile * grid->keys * sizeof(float) > TILE_BYTES;)
        search->tile /= 2;
}

/* Batches of tiles, so that the host hears of it and may stop. */
static mmcl_status run_tiles(struct search *search)
{
    mmcl__operation operation;
    mmcl_status     status = MMCL_OK;
    const size_t    rows = search->grid->rows, tiles = (rows + search->tile - 1) / search->tile, batch = 4 * (size_t) search->n_workers;
    mmcl__begin(&operation, search->grid->context, "search", rows);
    for (search->first = 0; search->first < tiles && status == MMCL_OK; search->first += batch) {
        size_t n = MMCL__MIN(batch, tiles - search->first);
        status   = mmcl__parallel(search->grid->context, n, search_tile, search);
        if (status == MMCL_OK)
            status = mmcl__tick(&operation, MMCL__MIN((search->first + n) * search->tile, rows), 0);
    }
    return mmcl__end(&operation, status);
}

static mmcl_status run_search(struct search *search, uint64_t *counts)
{
    const size_t n = search->points->count * search->along->count;
    measure(search);
    memset(counts, 0, n * sizeof *counts);
    mmcl_status status = open_workers(search);
    if (status == MMCL_OK)
        status = run_tiles(search);
    for (uint32_t w = 0; w < search->n_workers && status == MMCL_OK; w++)
        for (size_t i = 0; i < n; i++)
            counts[i] += search->workers[w].counts[i];
    close_workers(search);
    return status;
}

mmcl_status mmcl__grid_counts(const mmcl__grid *grid, const mmcl__grid_axis *betas, const mmcl__grid_axis *alphas, uint64_t *counts)
{
    struct search search = {.grid = grid, .points = betas, .along = alphas};
    return run_search(&search, counts);
}

mmcl_status mmcl__grid_attention_counts(const mmcl__grid *grid, double beta, double alpha, const double *visual,
                                        const mmcl__grid_axis *gammas, const mmcl__grid_axis *etas, uint64_t *counts)
{
    struct search search = {.grid = grid, .points = gammas, .along = etas, .visual = visual, .beta = beta, .alpha = alpha};
    return run_search(&search, counts);
}
