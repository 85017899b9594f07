/* The handle of the objective: its options, the workspace, and the course of an evaluation. */
#include "contrast/state.h"

#include "linalg/matrix.h"

#include <mmcl/transform.h>

#include <math.h>
#include <string.h>

#define MOST_EXPONENT 16.0
#define MOST_ROWS INT32_MAX
#define SCALE_LEAST 1e-30
#define SCALE_MOST 1e30

/* --------------------------------------------------------------------------------------------------------------- options --- */

static mmcl_status check_bounds(mmcl_context *context, const mmcl_objective_options *o)
{
    if (!(o->min_scale >= 0 && o->min_scale < INFINITY) || !(o->max_scale >= 0 && o->max_scale < INFINITY))
        return mmcl__fail(context, MMCL_E_INVAL, "min_scale, max_scale: %g and %g, expected positive numbers, or 0 for none",
                          o->min_scale, o->max_scale);
    if (o->max_scale > 0 && o->min_scale > o->max_scale)
        return mmcl__fail(context, MMCL_E_INVAL, "min_scale: %g is above max_scale %g", o->min_scale, o->max_scale);
    return MMCL_OK;
}

static mmcl_status check_exponent(mmcl_context *context, const mmcl_objective_options *o)
{
    if (o->similarity != MMCL_SIMILARITY_LP && o->exponent != 0)
        return mmcl__fail(context, MMCL_E_INVAL, "exponent: %g, but only MMCL_SIMILARITY_LP has one; expected 0", o->exponent);
    if (o->similarity == MMCL_SIMILARITY_LP && !(o->exponent >= 1 && o->exponent <= MOST_EXPONENT))
        return mmcl__fail(context, MMCL_E_INVAL, "exponent: %g, expected 1 to %g (below 1 the derivative has no bound where x = t)",
                          o->exponent, MOST_EXPONENT);
    return MMCL_OK;
}

static mmcl_status check_comm(mmcl_context *context, const mmcl_comm *comm)
{
    if (comm->size == 0 || comm->rank >= comm->size)
        return mmcl__fail(context, MMCL_E_INVAL, "comm: rank %u of %u", comm->rank, comm->size);
    if (comm->size > 1 && (comm->all_reduce == NULL || comm->all_gather == NULL || comm->ring_shift == NULL))
        return mmcl__fail(context, MMCL_E_INVAL, "comm: all_reduce, all_gather or ring_shift is NULL");
    return MMCL_OK;
}

#define CHOICE(field, last)                                                                                            \
    if (o->field < 0 || o->field > (last))                                                                             \
    return mmcl__fail(context, MMCL_E_INVAL, #field ": %d, expected 0 to %d", o->field, (last))

static mmcl_status check_options(mmcl_context *context, const mmcl_objective_options *o)
{
    CHOICE(similarity, MMCL_SIMILARITY_LP);
    CHOICE(loss, MMCL_LOSS_SIGLIP);
    CHOICE(sides, MMCL_SIDES_T2X);
    CHOICE(normalizer, MMCL_NORMALIZER_MEAN_NEGATIVES);
    if (o->summed > 1 || o->reserved != 0)
        return mmcl__fail(context, MMCL_E_INVAL, "summed, reserved: %u and %u, expected 0 or 1, and 0", o->summed, o->reserved);
    if (o->loss == MMCL_LOSS_SIGLIP && (o->sides != 0 || o->normalizer != 0 || o->summed != 0))
        return mmcl__fail(context, MMCL_E_INVAL, "loss: SigLIP has neither sides nor a normalizer nor a sum; expected all three 0");
    if (o->sides != MMCL_SIDES_BOTH && o->summed != 0)
        return mmcl__fail(context, MMCL_E_INVAL, "summed: 1, but sides names one; expected 0");
    if (o->rows > MOST_ROWS || o->cols > MMCL_MAX_COLUMNS || (o->rows == 0) != (o->cols == 0))
        return mmcl__fail(context, MMCL_E_INVAL, "rows, cols: %llu and %llu, expected both or neither, up to %d and %d",
                          (unsigned long long) o->rows, (unsigned long long) o->cols, MOST_ROWS, MMCL_MAX_COLUMNS);
    MMCL__TRY(check_bounds(context, o));
    return check_exponent(context, o);
}

static mmcl_status import_comm(mmcl_objective *objective)
{
    objective->comm = (mmcl_comm){.struct_size = sizeof objective->comm, .size = 1};
    if (objective->options.comm == NULL)
        return MMCL_OK;
    MMCL__TRY(mmcl__import(objective->context, &objective->comm, sizeof objective->comm, MMCL__V1(mmcl_comm, size),
                           objective->options.comm, "mmcl_comm"));
    return check_comm(objective->context, &objective->comm);
}

mmcl_status mmcl__objective_create(mmcl_objective **out, mmcl_context *context, const mmcl_objective_options *options)
{
    MMCL__TRY(check_options(context, options));
    mmcl_objective *objective = mmcl__calloc(context, 1, sizeof *objective);
    if (objective == NULL)
        return MMCL_E_NOMEM;
    objective->context = context;
    objective->options = *options;
    mmcl_status status = import_comm(objective);
    objective->options.comm = NULL;
    if (status == MMCL_OK)
        objective->creeds = mmcl__calloc(context, objective->comm.size, sizeof *objective->creeds);
    if (status == MMCL_OK && objective->creeds == NULL)
        status = MMCL_E_NOMEM;
    if (status == MMCL_OK && options->rows > 0)
        status = mmcl__objective_reserve(objective, options->rows, options->cols);
    if (status != MMCL_OK) {
        mmcl__objective_destroy(objective);
        return status;
    }
    *out = objective;
    return MMCL_OK;
}

void mmcl__objective_destroy(mmcl_objective *objective)
{
    if (objective == NULL)
        return;
    mmcl__free(objective->context, objective->creeds, objective->comm.size, sizeof *objective->creeds);
    mmcl__free(objective->context, objective->arena, objective->arena_bytes, 1);
    mmcl__free(objective->context, objective->cache, objective->cache_floats, sizeof(float));
    mmcl__free(objective->context, objective, 1, sizeof *objective);
}

const mmcl_objective_options *mmcl__objective_options(const mmcl_objective *objective)
{
    return &objective->options;
}

mmcl_context *mmcl__objective_context(const mmcl_objective *objective)
{
    return objective->context;
}

/* ------------------------------------------------------------------------------------------------------------------ plan --- */

#define PRODUCT_DIMS 48    /* from here on a tile is a matrix product; below, BLAS spends its time on packing */
#define PRODUCT_BAND 512   /* its tiles */
#define CHUNK_FLOATS 16384 /* of rows that a task outside the tiles takes */

static size_t divide(size_t a, size_t b)
{
    return (a + b - 1) / b;
}

static int term_of(const mmcl_objective_options *options)
{
    const int    terms[] = {MMCL__TERM_DOT, MMCL__TERM_DOT, MMCL__TERM_SQUARE, MMCL__TERM_ABS};
    const double p = options->exponent;
    if (options->similarity != MMCL_SIMILARITY_LP)
        return terms[options->similarity];
    return p == 1 ? MMCL__TERM_ABS : p == 2 ? MMCL__TERM_SQUARE : p == 3 ? MMCL__TERM_CUBE : p == 4 ? MMCL__TERM_FOURTH : MMCL__TERM_POWER;
}

/*
 * How many bands: as few as keep a tile in the cache that its passes need, but enough for the threads of a round, as long as
 * tiles stay worth a task; an even number, which two threads share. By the shape alone.
 */
static size_t bands_of(const mmcl__evaluation *e)
{
    size_t most = e->product ? PRODUCT_BAND : e->dims <= 16 ? 256 : e->dims <= 64 ? 128 : 64, least = e->product ? 128 : 64;
    size_t bands = divide(e->batch, most), wanted = MMCL__MIN(divide(8, e->batches), e->batch / least);
    bands = MMCL__MAX(MMCL__MAX(bands, wanted), 1);
    return bands > 1 && bands % 2 == 1 && bands < e->batch ? bands + 1 : bands;
}

/* The shape of the work; `dense`: x and t can be read where they are. */
static void plan(mmcl__evaluation *e, mmcl_objective *objective, size_t rows, size_t dims, size_t batches, bool dense_x, bool dense_t)
{
    const mmcl_objective_options *options = &objective->options;
    bool                          alone   = objective->comm.size == 1 || batches > 1;
    e->objective      = objective;
    e->context        = objective->context;
    e->kernels        = mmcl__contrast_kernel();
    e->rows           = rows;
    e->dims           = dims;
    e->batches        = batches;
    e->batch          = rows / batches;
    e->members        = alone ? e->batch : e->batch * objective->comm.size;
    e->count          = (double) rows * objective->comm.size;
    e->term           = term_of(options);
    e->exponent       = (float) options->exponent;
    e->product        = (e->term == MMCL__TERM_DOT || e->term == MMCL__TERM_SQUARE) && dims >= PRODUCT_DIMS;
    e->cosine         = options->similarity == MMCL_SIMILARITY_COSINE;
    e->squared        = e->product && e->term == MMCL__TERM_SQUARE;
    e->sigmoid        = options->loss == MMCL_LOSS_SIGLIP;
    e->negatives_only = options->normalizer == MMCL_NORMALIZER_MEAN_NEGATIVES;
    e->copy_x         = !dense_x || e->cosine || e->squared;
    e->copy_t         = !dense_t || (e->product && (e->cosine || e->squared || !alone));
    e->bands          = bands_of(e);
    e->band           = divide(e->batch, e->bands);
    e->width          = divide(e->band, MMCL__CONTRAST_PAD) * MMCL__CONTRAST_PAD;
    e->chunk          = MMCL__MAX(1, MMCL__MIN(256, CHUNK_FLOATS / dims));
    e->chunks         = divide(rows, e->chunk);
}

/* ------------------------------------------------------------------------------------------------------------- workspace --- */

typedef struct arena {
    unsigned char *base; /* NULL: only counts */
    size_t         used;
} arena;

static void *carve(arena *a, size_t count, size_t size)
{
    void *at = a->base != NULL ? a->base + a->used : NULL;
    a->used += divide(count * size, MMCL__ALIGN) * MMCL__ALIGN;
    return at;
}

#define CARVE(pointer, count) ((pointer) = carve(a, (count), sizeof *(pointer)))

static void carve_block(mmcl__evaluation *e, arena *a, mmcl__block *block, bool with_t, bool with_dt)
{
    size_t floats = e->product ? e->rows * e->dims : e->batches * e->bands * e->dims * e->width;
    if (with_t)
        CARVE(block->t, floats);
    if (with_dt)
        CARVE(block->dt, floats);
    CARVE(block->fields, MMCL__FIELDS * e->rows);
    CARVE(block->labels, e->rows);
}

static void carve_scratch(mmcl__evaluation *e, arena *a)
{
    size_t workers = mmcl__width(e->context);
    CARVE(e->scratch, workers);
    for (size_t i = 0; i < workers; i++) {
        mmcl__scratch s;
        CARVE(s.tile, (e->product ? e->band : MMCL__STRIP) * e->width);
        CARVE(s.col_top, e->width);
        CARVE(s.col_sum, e->width);
        CARVE(s.row_top, MMCL__STRIP);
        CARVE(s.factor, MMCL__STRIP);
        CARVE(s.row_sum, MMCL__STRIP);
        CARVE(s.totals, 3 * MMCL__STRIP);
        CARVE(s.values, MMCL__STRIP * e->width);
        CARVE(s.places, 2 * MMCL__STRIP * e->width);
        CARVE(s.rows, e->chunk * e->dims);
        if (a->base != NULL)
            e->scratch[i] = s;
    }
}

static void carve_all(mmcl__evaluation *e, arena *a, bool with_dt)
{
    bool   travels = e->objective->comm.size > 1 && e->batches == 1;
    float *rows_x = NULL;
    if (e->copy_x)
        e->rows_x = CARVE(rows_x, e->rows * e->dims);
    carve_block(e, a, &e->block, !e->product || e->copy_t, with_dt && (!e->product || travels));
    if (travels)
        carve_block(e, a, &e->other, true, with_dt);
    CARVE(e->fields, MMCL__FIELDS * e->rows);
    CARVE(e->labels, e->rows);
    CARVE(e->own, e->rows);
    CARVE(e->own_g, e->rows);
    CARVE(e->moment, e->rows);
    CARVE(e->inverse_x, e->rows);
    CARVE(e->inverse_t, e->rows);
    CARVE(e->centre, e->dims);
    CARVE(e->square_x, e->rows + MMCL__CONTRAST_PAD);
    CARVE(e->square_t, e->rows + MMCL__CONTRAST_PAD);
    CARVE(e->origin, e->rows + MMCL__CONTRAST_PAD);
    CARVE(e->row_weight, e->rows + MMCL__CONTRAST_PAD);
    CARVE(e->col_origin, e->rows + MMCL__CONTRAST_PAD);
    CARVE(e->col_weight, e->rows + MMCL__CONTRAST_PAD);
    CARVE(e->col_ratio, e->rows + MMCL__CONTRAST_PAD);
    CARVE(e->band_top, e->batches * e->bands);
    CARVE(e->band_low, e->batches * e->bands);
    CARVE(e->sums, 8 * e->chunks);
    CARVE(e->bad, 4 * e->chunks);
    carve_scratch(e, a);
}

static mmcl_status grow(mmcl_objective *objective, size_t bytes)
{
    if (bytes <= objective->arena_bytes)
        return MMCL_OK;
    unsigned char *larger = mmcl__alloc(objective->context, bytes, 1);
    if (larger == NULL)
        return MMCL_E_NOMEM;
    mmcl__free(objective->context, objective->arena, objective->arena_bytes, 1);
    objective->arena       = larger;
    objective->arena_bytes = bytes;
    return MMCL_OK;
}

/* The kernels read as far as the padding, whose values do not count but have to be numbers. */
static void clear_padding(const mmcl__evaluation *e)
{
    float *const padded[] = {e->square_x, e->square_t, e->origin, e->row_weight, e->col_origin, e->col_weight, e->col_ratio};
    for (size_t i = 0; i < sizeof padded / sizeof *padded; i++)
        memset(padded[i], 0, (e->rows + MMCL__CONTRAST_PAD) * sizeof **padded);
    if (!e->product)
        memset(e->block.t, 0, e->batches * e->bands * e->dims * e->width * sizeof *e->block.t);
}

static mmcl_status take_workspace(mmcl__evaluation *e, bool with_dt)
{
    arena count = {0};
    carve_all(e, &count, with_dt);
    MMCL__TRY(grow(e->objective, count.used));
    arena a = {.base = e->objective->arena};
    carve_all(e, &a, with_dt);
    return MMCL_OK;
}

/* Tiles that the budget admits; only those of products are worth it. */
static mmcl_status take_cache(mmcl__evaluation *e)
{
    mmcl_objective *objective = e->objective;
    uint32_t        steps     = e->batches > 1 ? 1 : objective->comm.size;
    size_t          tile = e->band * e->width, tiles = (size_t) steps * e->batches * e->bands * e->bands;
    uint64_t        most = objective->options.cache_bytes / (tile * sizeof(float));
    e->cached = 0;
    if (!e->product || e->sigmoid || !e->gradients || most == 0)
        return MMCL_OK;
    tiles = (size_t) MMCL__MIN((uint64_t) tiles, most);
    if (tiles * tile > objective->cache_floats) {
        float *cache = mmcl__alloc(objective->context, tiles * tile, sizeof *cache);
        if (cache == NULL)
            return MMCL_E_NOMEM;
        mmcl__free(objective->context, objective->cache, objective->cache_floats, sizeof(float));
        objective->cache        = cache;
        objective->cache_floats = tiles * tile;
    }
    e->cache  = objective->cache;
    e->cached = tiles;
    return MMCL_OK;
}

mmcl_status mmcl__objective_reserve(mmcl_objective *objective, size_t rows, size_t cols)
{
    mmcl__evaluation e = {.gradients = true};
    plan(&e, objective, rows, cols, 1, true, true);
    arena count = {0};
    carve_all(&e, &count, true);
    MMCL__TRY(grow(objective, count.used));
    return take_cache(&e);
}

/* ------------------------------------------------------------------------------------------------------------ evaluation --- */

static mmcl_status find_scale(mmcl__evaluation *e, double *unbounded)
{
    const mmcl_objective_options *options = &e->objective->options;
    const mmcl_objective_input   *input   = e->input;
    double                        scale   = (input->scale == 0 ? 1 : input->scale) * exp(input->log_scale);
    if (!(input->scale >= 0 && input->scale < INFINITY))
        return mmcl__fail(e->context, MMCL_E_INVAL, "scale: %g, expected a positive number", input->scale);
    if (!isfinite(input->log_scale))
        return mmcl__fail(e->context, MMCL_E_INVAL, "log_scale: %g, expected a number", input->log_scale);
    if (!isfinite(input->bias) || (input->bias != 0 && !e->sigmoid))
        return mmcl__fail(e->context, MMCL_E_INVAL, "bias: %g, expected a number%s", input->bias,
                          e->sigmoid ? "" : ", which is 0 unless the loss is SigLIP");
    *unbounded = scale;
    if (options->max_scale > 0)
        scale = fmin(scale, options->max_scale);
    scale = fmax(scale, options->min_scale);
    if (!(scale >= SCALE_LEAST && scale <= SCALE_MOST))
        return mmcl__fail(e->context, MMCL_E_INVAL, "scale * exp(log_scale): %g, expected %g to %g", scale, SCALE_LEAST, SCALE_MOST);
    e->scale = scale;
    e->bias  = input->bias;
    return MMCL_OK;
}

static mmcl_status check_shape(mmcl_context *context, const mmcl_objective_input *input)
{
    MMCL__TRY(mmcl__matrix_check(context, input->x, "x"));
    MMCL__TRY(mmcl__matrix_check(context, input->t, "t"));
    const mmcl_matrix *x = input->x, *t = input->t;
    uint64_t           blocks = MMCL__MAX(input->blocks, 1);
    if (x->rows != t->rows || x->cols != t->cols)
        return mmcl__fail(context, MMCL_E_INVAL, "t: %zu rows of %zu columns, expected %zu of %zu as in x", t->rows, t->cols, x->rows,
                          x->cols);
    if (x->rows > MOST_ROWS)
        return mmcl__fail(context, MMCL_E_INVAL, "x: %zu rows, expected at most %d", x->rows, MOST_ROWS);
    if (blocks > 1 && (blocks > x->rows || x->rows % blocks != 0))
        return mmcl__fail(context, MMCL_E_INVAL, "blocks: %llu, expected a divisor of the %zu rows", (unsigned long long) blocks, x->rows);
    for (size_t i = 0; input->groups != NULL && i < x->rows; i++)
        if (input->groups[i] < 0 || input->groups[i] > INT32_MAX)
            return mmcl__fail(context, MMCL_E_INVAL, "groups: label %lld in row %zu (counted from 0), expected 0 to %d",
                              (long long) input->groups[i], i, INT32_MAX);
    return MMCL_OK;
}

static mmcl_status check_members(const mmcl__evaluation *e)
{
    if (e->members < 2)
        return mmcl__fail(e->context, MMCL_E_INVAL, "x: batches of %zu row%s, expected at least 2", e->members, e->members == 1 ? "" : "s");
    return MMCL_OK;
}

static bool is_dense(const mmcl_matrix *m)
{
    return m->data != NULL && m->dtype == MMCL_F32 && !m->swapped && m->col_stride <= 1 && (uintptr_t) m->data % sizeof(float) == 0;
}

static size_t stride_of(const mmcl_matrix *m)
{
    return m->row_stride != 0 ? m->row_stride : m->cols;
}

/* T2X is X2T with the sides exchanged: from here on there is only one of them. */
static mmcl_status orient(mmcl__evaluation *e, const mmcl_objective_output *out)
{
    const mmcl_objective_input *input = e->input;
    bool   turned    = e->objective->options.sides == MMCL_SIDES_T2X;
    size_t dx_stride = out->dx_stride != 0 ? out->dx_stride : input->x->cols, dt_stride = out->dt_stride != 0 ? out->dt_stride : input->x->cols;
    if (dx_stride < input->x->cols || dt_stride < input->x->cols)
        return mmcl__fail(e->context, MMCL_E_INVAL, "%s: %zu, expected at least the %zu columns",
                          dx_stride < input->x->cols ? "dx_stride" : "dt_stride", MMCL__MIN(dx_stride, dt_stride), input->x->cols);
    e->x            = turned ? input->t : input->x;
    e->t            = turned ? input->x : input->t;
    e->dx           = turned ? out->dt : out->dx;
    e->dt           = turned ? out->dx : out->dt;
    e->dx_stride    = turned ? dt_stride : dx_stride;
    e->t_out_stride = turned ? dx_stride : dt_stride;
    e->gradients    = out->dx != NULL || out->dt != NULL || out->dscale != NULL || out->dlog_scale != NULL || out->dbias != NULL;
    return MMCL_OK;
}

static mmcl_status check_input(mmcl__evaluation *e, const mmcl_objective_output *output, double *unbounded)
{
    mmcl_objective *objective = e->objective;
    e->context = objective->context;
    e->sigmoid = objective->options.loss == MMCL_LOSS_SIGLIP;
    MMCL__TRY(check_shape(e->context, e->input));
    MMCL__TRY(find_scale(e, unbounded));
    MMCL__TRY(orient(e, output));
    plan(e, objective, e->x->rows, e->x->cols, (size_t) MMCL__MAX(e->input->blocks, 1), is_dense(e->x), is_dense(e->t));
    MMCL__TRY(check_members(e));
    double side = objective->options.sides != MMCL_SIDES_BOTH || objective->options.summed || e->sigmoid ? 1 : 0.5;
    e->weight_x = side / e->count;
    e->weight_t = objective->options.sides != MMCL_SIDES_BOTH || e->sigmoid ? 0 : e->weight_x;
    MMCL__TRY(take_workspace(e, e->dt != NULL));
    return take_cache(e);
}

/* Where rows and gradients lie that are not in the workspace. */
static void place(mmcl__evaluation *e)
{
    e->x_stride = e->t_stride = e->dt_stride = e->dims;
    if (!e->copy_x) {
        e->rows_x   = e->x->data;
        e->x_stride = stride_of(e->x);
    }
    if (e->product && !e->copy_t) {
        e->block.t  = (float *) e->t->data; /* only read */
        e->t_stride = stride_of(e->t);
    }
    bool travels = e->objective->comm.size > 1 && e->batches == 1;
    if (e->dt == NULL)
        e->block.dt = e->other.dt = NULL;
    else if (e->product && !travels) {
        e->block.dt  = e->dt;
        e->dt_stride = e->t_out_stride;
    }
    if (e->input->groups == NULL)
        e->labels = e->block.labels = e->other.labels = NULL;
    for (size_t i = 0; e->labels != NULL && i < e->rows; i++)
        e->labels[i] = e->block.labels[i] = (int32_t) e->input->groups[i];
    clear_padding(e);
}

static mmcl_status agree(mmcl__evaluation *e, mmcl_status status)
{
    const mmcl_comm   *comm = &e->objective->comm;
    const mmcl__creed *all  = e->objective->creeds;
    mmcl__creed        mine = {.failed = status != MMCL_OK};
    if (comm->size == 1)
        return status;
    if (status == MMCL_OK)
        mine = (mmcl__creed){.rows    = e->rows,
                             .cols    = e->dims,
                             .blocks  = e->batches,
                             .groups  = e->labels != NULL,
                             .results = (uint64_t) (e->gradients + 2 * (e->dt != NULL) + 4 * (e->dx != NULL)),
                             .scale   = e->scale,
                             .bias    = e->bias};
    if (comm->all_gather(comm->user, &mine, e->objective->creeds, sizeof mine) != 0)
        return mmcl__fail(e->context, MMCL_E_CALLBACK, "comm: all_gather failed");
    for (size_t i = 0; status == MMCL_OK && i < comm->size; i++)
        if (memcmp(&all[i], &mine, sizeof mine) != 0)
            return mmcl__fail(e->context, MMCL_E_INVAL,
                              all[i].failed ? "comm: the input of rank %zu was refused"
                                            : "comm: rank %zu has another shape, scale or bias, or wants other results",
                              i);
    return status;
}

static mmcl_status passes(mmcl__evaluation *e, double *moment, double *weight)
{
    if (!e->sigmoid) {
        MMCL__TRY(mmcl__contrast_forward(e));
        MMCL__TRY(mmcl__contrast_settle(e));
        if (!e->gradients)
            return MMCL_OK;
        MMCL__TRY(mmcl__contrast_prepare_rows(e));
        MMCL__TRY(mmcl__contrast_backward(e));
    } else {
        MMCL__TRY(mmcl__contrast_backward(e));
        MMCL__TRY(mmcl__contrast_settle(e));
    }
    return mmcl__contrast_finish(e, moment, weight);
}

static mmcl_status prepare(mmcl__evaluation *e, const mmcl_objective_output *output, double *unbounded)
{
    MMCL__TRY(check_input(e, output, unbounded));
    place(e);
    return mmcl__contrast_load(e);
}

static mmcl_status evaluate(mmcl__evaluation *e, const mmcl_objective_output *output)
{
    double      unbounded = 0, moment = 0, weight = 0;
    mmcl_status status = prepare(e, output, &unbounded);
    MMCL__TRY(agree(e, status));
    MMCL__TRY(mmcl__contrast_pair(e));
    if (e->operation != NULL)
        e->operation->total = e->bands * (e->batches > 1 ? 1 : e->objective->comm.size) * (e->sigmoid || !e->gradients ? 1 : 2);
    MMCL__TRY(passes(e, &moment, &weight));
    if ((unbounded > e->scale && moment < 0) || (unbounded < e->scale && moment > 0))
        moment = 0;
    if (output->dscale != NULL)
        *output->dscale = moment / e->scale;
    if (output->dlog_scale != NULL)
        *output->dlog_scale = moment;
    if (output->dbias != NULL)
        *output->dbias = e->sigmoid ? weight / e->scale : 0;
    return MMCL_OK;
}

static void swap(double *a, double *b)
{
    double kept = *a;
    *a = *b;
    *b = kept;
}

static void report(const mmcl__evaluation *e, mmcl_objective_info *info)
{
    info->scale  = e->scale;
    info->rows   = (uint64_t) e->count;
    info->cached = e->cached;
    if (e->objective->options.sides != MMCL_SIDES_T2X)
        return;
    swap(&info->loss_x, &info->loss_t);
    swap(&info->entropy_x, &info->entropy_t);
    swap(&info->accuracy_x, &info->accuracy_t);
}

mmcl_status mmcl__objective_evaluate(mmcl_objective *objective, const mmcl_objective_input *input,
                                     const mmcl_objective_output *output, mmcl_objective_info *info)
{
    mmcl_context    *context = objective->context;
    mmcl__operation  operation;
    double           began = mmcl__seconds();
    mmcl__evaluation e = {.objective = objective, .context = context, .input = input, .info = info};
    bool             outermost = context->operation == NULL;
    if (outermost) {
        mmcl__begin(&operation, context, "objective", 0);
        e.operation = &operation;
    }
    mmcl_status status = evaluate(&e, output);
    if (status == MMCL_OK) {
        report(&e, info);
        info->seconds = mmcl__seconds() - began;
    }
    return outermost ? mmcl__end(&operation, status) : status;
}
