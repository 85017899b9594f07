#include "classify/blocks.h"

#include "linalg/blas.h"
#include "linalg/convert.h"
#include "linalg/vecmath.h"

#include <math.h>
#include <string.h>

#define FACTOR_BYTES ((size_t) 48 << 20) /* of memory for all factors */
#define SIDE_MOST 512                    /* rows that a class keeps, or columns that are factored directly */
#define BLOCK 16                         /* classes that a task looks at */
#define TILE 128                         /* rows at a time */
#define SLIGHT 0.05                      /* curvature that is not worth a row of its own; the penalty's is 1 */

static size_t axes_of(const mmcl__blocks *blocks)
{
    return blocks->rotation->axes;
}

static size_t classes_of(const mmcl__blocks *blocks)
{
    return blocks->softmax->classes;
}

/* ------------------------------------------------------------------------------------------------------- workspace --- */

static bool allocate(mmcl__blocks *blocks)
{
    mmcl_context *context = blocks->context;
    size_t        k = classes_of(blocks), columns = axes_of(blocks) + 1;
    blocks->index   = mmcl__alloc(context, k * blocks->most, sizeof *blocks->index);
    blocks->curve   = mmcl__alloc(context, k * blocks->most, sizeof *blocks->curve);
    blocks->kept    = mmcl__calloc(context, k, sizeof *blocks->kept);
    blocks->rest    = mmcl__calloc(context, k, sizeof *blocks->rest);
    blocks->factors = mmcl__alloc(context, k * blocks->side * blocks->side, sizeof *blocks->factors);
    blocks->narrow  = mmcl__alloc(context, k * columns, sizeof *blocks->narrow);
    blocks->scratch = mmcl__alloc(context, blocks->workers * blocks->scratch_size, sizeof *blocks->scratch);
    return blocks->index != NULL && blocks->curve != NULL && blocks->kept != NULL && blocks->rest != NULL && blocks->factors != NULL &&
           blocks->narrow != NULL && blocks->scratch != NULL;
}

mmcl_status mmcl__blocks_open(mmcl__blocks *blocks, mmcl_context *context, const mmcl__rotation *rotation, const mmcl__softmax *softmax,
                              const double *counts, bool intercept)
{
    size_t rows = rotation->rows, columns = rotation->axes + 1, side = SIDE_MOST, classes = softmax->classes;
    *blocks = (mmcl__blocks){.context = context, .rotation = rotation, .softmax = softmax, .counts = counts,
                             .intercept = intercept, .workers = mmcl__width(context)};
    while (side > 1 && classes * side * side > FACTOR_BYTES / sizeof(double))
        side--;
    /* Many rows on few columns are summed into the columns' square. */
    blocks->most = MMCL__MIN(rows, columns <= side ? 16 * columns : side);
    blocks->side = MMCL__MIN(blocks->most, columns);
    /* Gathered rows or a tile of scores and rows; then two vectors for an application. */
    blocks->scratch_size = MMCL__MAX(MMCL__MAX(blocks->side, TILE) * columns, TILE * (BLOCK + columns)) + 2 * (columns + blocks->most);
    if (allocate(blocks))
        return MMCL_OK;
    mmcl__blocks_close(blocks);
    return MMCL_E_NOMEM;
}

void mmcl__blocks_close(mmcl__blocks *blocks)
{
    mmcl_context *context = blocks->context;
    if (blocks->softmax == NULL)
        return;
    size_t k = classes_of(blocks), columns = axes_of(blocks) + 1;
    mmcl__free(context, blocks->index, k * blocks->most, sizeof *blocks->index);
    mmcl__free(context, blocks->curve, k * blocks->most, sizeof *blocks->curve);
    mmcl__free(context, blocks->kept, k, sizeof *blocks->kept);
    mmcl__free(context, blocks->rest, k, sizeof *blocks->rest);
    mmcl__free(context, blocks->factors, k * blocks->side * blocks->side, sizeof *blocks->factors);
    mmcl__free(context, blocks->narrow, k * columns, sizeof *blocks->narrow);
    mmcl__free(context, blocks->scratch, blocks->workers * blocks->scratch_size, sizeof *blocks->scratch);
    *blocks = (mmcl__blocks){.context = context};
}

/* ------------------------------------------------------------------------------------------------- choosing the rows --- */

struct refresh {
    mmcl__blocks *blocks;
    size_t        limit;  /* rows a class */
    float         slight; /* q below it is left to the rest */
};

/* A heap of the rows kept so far, the least q on top. */
static void sift_down(size_t n, int32_t *index, float *curve)
{
    for (size_t i = 0, child; (child = 2 * i + 1) < n; i = child) {
        child += child + 1 < n && curve[child + 1] < curve[child];
        if (curve[i] <= curve[child])
            return;
        float   q = curve[i];
        int32_t r = index[i];
        curve[i] = curve[child], index[i] = index[child];
        curve[child] = q, index[child] = r;
    }
}

static void sift_up(size_t i, int32_t *index, float *curve)
{
    for (size_t parent; i > 0 && curve[parent = (i - 1) / 2] > curve[i]; i = parent) {
        float   q = curve[i];
        int32_t r = index[i];
        curve[i] = curve[parent], index[i] = index[parent];
        curve[parent] = q, index[parent] = r;
    }
}

static void offer(const struct refresh *refresh, size_t k, size_t row, float q)
{
    mmcl__blocks *blocks = refresh->blocks;
    int32_t      *index  = blocks->index + k * blocks->most;
    float        *curve  = blocks->curve + k * blocks->most;
    size_t        n      = blocks->kept[k];
    blocks->rest[k] += (double) q;
    if (!(q > refresh->slight) || (n == refresh->limit && q <= curve[0]))
        return;
    size_t place = n < refresh->limit ? n : 0;
    index[place] = (int32_t) row;
    curve[place] = q;
    if (place == n && n < refresh->limit) {
        blocks->kept[k] = n + 1;
        sift_up(n, index, curve);
    } else
        sift_down(n, index, curve);
}

/* Rows first ... of the tile as float32: in place, or narrowed into `room`. */
static const float *narrow_rows(const mmcl__blocks *blocks, size_t first, size_t n, float *room)
{
    size_t axes = axes_of(blocks);
    if (blocks->rotation->stored == MMCL_PRECISION_F32)
        return (const float *) blocks->rotation->x + first * axes;
    mmcl__convert()->f64_to_f32(n * axes, (const double *) blocks->rotation->x + first * axes, room);
    return room;
}

/* q of the rows of a tile for classes from ... from + count - 1, whose scores are given without intercept. */
static void offer_tile(const struct refresh *refresh, size_t first, size_t n, size_t from, size_t count, float *scores)
{
    const mmcl__softmax *softmax = refresh->blocks->softmax;
    const float         *bias    = refresh->blocks->narrow + softmax->classes * axes_of(refresh->blocks) + from;
    for (size_t i = 0; i < n; i++) {
        float *s = scores + i * count, origin = (float) softmax->normalisers[first + i];
        for (size_t k = 0; k < count; k++) {
            float p = mmcl__exp_f32(fminf(s[k] + bias[k] - origin, 0.0f));
            s[k]    = p * (1.0f - p);
        }
        size_t y = (size_t) softmax->labels[first + i];
        if (y >= from && y < from + count) {
            double loss = softmax->losses[first + i];
            s[y - from] = (float) (exp(-loss) * -expm1(-loss));
        }
        for (size_t k = 0; k < count; k++)
            offer(refresh, from + k, first + i, s[k]);
    }
}

static void choose_rows(const struct refresh *refresh, size_t from, size_t count, double *scratch)
{
    mmcl__blocks *blocks = refresh->blocks;
    size_t        axes = axes_of(blocks), rows = blocks->rotation->rows;
    float        *scores = (float *) scratch, *room = scores + TILE * BLOCK;
    for (size_t k = from; k < from + count; k++) {
        blocks->kept[k] = 0;
        blocks->rest[k] = 0;
    }
    for (size_t i = 0, n; i < rows; i += n) {
        n = MMCL__MIN((size_t) TILE, rows - i);
        mmcl__gemm_f32(false, true, n, count, axes, 1, narrow_rows(blocks, i, n, room), axes, blocks->narrow + from * axes, axes, 0, scores,
                       count);
        offer_tile(refresh, i, n, from, count, scores);
    }
    for (size_t k = from; k < from + count; k++) {
        for (size_t r = 0; r < blocks->kept[k]; r++)
            blocks->rest[k] -= (double) blocks->curve[k * blocks->most + r];
        blocks->rest[k] = fmax(blocks->rest[k], 0);
    }
}

/* ------------------------------------------------------------------------------------------------------------ factors --- */

static double element(const mmcl__blocks *blocks, size_t row, size_t column)
{
    const mmcl__rotation *rotation = blocks->rotation;
    if (column == rotation->axes)
        return 1;
    return rotation->stored == MMCL_PRECISION_F32 ? (double) ((const float *) rotation->x)[row * rotation->axes + column]
                                                  : ((const double *) rotation->x)[row * rotation->axes + column];
}

/* The diagonal of a block without its kept rows. The intercept has no penalty: a thousandth of its whole curvature stands in. */
static double diagonal(const mmcl__blocks *blocks, size_t k, size_t column)
{
    const mmcl__rotation *rotation = blocks->rotation;
    if (column < rotation->axes)
        return 1 + blocks->c * blocks->rest[k] / (double) rotation->rows * rotation->scatter[column];
    double all = blocks->rest[k];
    for (size_t r = 0; r < blocks->kept[k]; r++)
        all += (double) blocks->curve[k * blocks->most + r];
    return blocks->c * fmax(blocks->rest[k] + 1e-3 * all, 1e-10 * (double) rotation->rows);
}

/* 1 / diagonal into `out` [axes + 1]; 0 for an intercept that is held. */
static void inverse_diagonal(const mmcl__blocks *blocks, size_t k, double *out)
{
    size_t axes = axes_of(blocks);
    for (size_t j = 0; j <= axes; j++)
        out[j] = 1 / diagonal(blocks, k, j);
    if (!blocks->intercept)
        out[axes] = 0;
}

/* I / (c q) + X~ D^-1 X~^T over the kept rows. `gathered` [columns, kept]. */
static void fill_outer(const mmcl__blocks *blocks, size_t k, const double *inverse, double *gathered, double *factor)
{
    size_t         kept = blocks->kept[k], columns = axes_of(blocks) + 1;
    const int32_t *index = blocks->index + k * blocks->most;
    for (size_t j = 0; j < columns; j++) {
        double root = sqrt(inverse[j]);
        for (size_t r = 0; r < kept; r++)
            gathered[j * kept + r] = root * element(blocks, (size_t) index[r], j);
    }
    memset(factor, 0, kept * kept * sizeof *factor);
    mmcl__syrk_f64(kept, columns, gathered, kept, factor, kept);
    for (size_t r = 0; r < kept; r++)
        factor[r * kept + r] += 1 / (blocks->c * (double) blocks->curve[k * blocks->most + r]);
}

/* D + c X~^T q X~ over the kept rows, for more of them than columns. `gathered` [TILE, columns]. */
static void fill_inner(const mmcl__blocks *blocks, size_t k, double *gathered, double *factor)
{
    size_t kept = blocks->kept[k], columns = axes_of(blocks) + 1;
    memset(factor, 0, columns * columns * sizeof *factor);
    for (size_t first = 0, n; first < kept; first += n) {
        n = MMCL__MIN((size_t) TILE, kept - first);
        for (size_t r = 0; r < n; r++) {
            size_t at = k * blocks->most + first + r;
            double root = sqrt(blocks->c * (double) blocks->curve[at]);
            for (size_t j = 0; j < columns; j++)
                gathered[r * columns + j] = root * element(blocks, (size_t) blocks->index[at], j);
            if (!blocks->intercept)
                gathered[r * columns + columns - 1] = 0;
        }
        mmcl__syrk_f64(columns, n, gathered, columns, factor, columns);
    }
    for (size_t j = 0; j < columns; j++)
        factor[j * columns + j] += diagonal(blocks, k, j);
}

static bool is_inner(const mmcl__blocks *blocks, size_t k)
{
    return blocks->kept[k] > axes_of(blocks) + 1;
}

static void factor_class(mmcl__blocks *blocks, size_t k, double *scratch)
{
    size_t  columns = axes_of(blocks) + 1, order = MMCL__MIN(blocks->kept[k], columns);
    double *factor = blocks->factors + k * blocks->side * blocks->side, *inverse = scratch + blocks->scratch_size - columns;
    if (order == 0)
        return;
    inverse_diagonal(blocks, k, inverse);
    if (is_inner(blocks, k))
        fill_inner(blocks, k, scratch, factor);
    else
        fill_outer(blocks, k, inverse, scratch, factor);
    if (mmcl__cholesky(order, factor))
        return;
    for (size_t r = 0; r < blocks->kept[k]; r++) /* only rounding brings this about: the diagonal must do */
        blocks->rest[k] += (double) blocks->curve[k * blocks->most + r];
    blocks->kept[k] = 0;
}

static void refresh_classes(void *argument, size_t task, uint32_t worker)
{
    const struct refresh *refresh = argument;
    mmcl__blocks         *blocks  = refresh->blocks;
    size_t                from = task * BLOCK, count = MMCL__MIN((size_t) BLOCK, classes_of(blocks) - from);
    double               *scratch = blocks->scratch + worker * blocks->scratch_size;
    choose_rows(refresh, from, count, scratch);
    for (size_t k = from; k < from + count; k++)
        factor_class(blocks, k, scratch);
}

mmcl_status mmcl__blocks_refresh(mmcl__blocks *blocks, double c, const double *parameters, double spread, size_t rows)
{
    const mmcl__rotation *rotation = blocks->rotation;
    struct refresh        refresh  = {.blocks = blocks, .limit = MMCL__MIN(rows, blocks->most)};
    refresh.slight = (float) (SLIGHT / (c * fmax(rotation->largest * rotation->largest, 1e-30)));
    blocks->c      = c;
    if (refresh.slight >= 0.25f) { /* no q is larger: the penalty rules, and the spread is split by the classes' rows */
        for (size_t k = 0; k < classes_of(blocks); k++) {
            blocks->kept[k] = 0;
            blocks->rest[k] = spread * blocks->counts[k] / (double) rotation->rows;
        }
        return MMCL_OK;
    }
    mmcl__convert()->f64_to_f32(classes_of(blocks) * (rotation->axes + 1), parameters, blocks->narrow);
    return mmcl__parallel(blocks->context, (classes_of(blocks) + BLOCK - 1) / BLOCK, refresh_classes, &refresh);
}

/* ---------------------------------------------------------------------------------------------------------- products --- */

struct product {
    mmcl__blocks *blocks;
    const double *in;
    double       *out;
};

/* t = X~ v and v = X~^T t over the kept rows of class k. */
static void kept_times(const mmcl__blocks *blocks, size_t k, const double *v, double *t)
{
    size_t axes = axes_of(blocks);
    for (size_t r = 0; r < blocks->kept[k]; r++) {
        size_t row = (size_t) blocks->index[k * blocks->most + r];
        t[r]       = v[axes];
        if (blocks->rotation->stored == MMCL_PRECISION_F32)
            t[r] += mmcl__softmax_kernel()->dot(axes, (const float *) blocks->rotation->x + row * axes, v);
        else
            t[r] += mmcl__dot_f64(axes, (const double *) blocks->rotation->x + row * axes, v);
    }
}

static void kept_sum(const mmcl__blocks *blocks, size_t k, const double *t, double *v)
{
    size_t axes = axes_of(blocks);
    memset(v, 0, (axes + 1) * sizeof *v);
    for (size_t r = 0; r < blocks->kept[k]; r++) {
        size_t row = (size_t) blocks->index[k * blocks->most + r];
        v[axes] += t[r];
        if (blocks->rotation->stored == MMCL_PRECISION_F32)
            mmcl__softmax_kernel()->axpy(axes, t[r], (const float *) blocks->rotation->x + row * axes, v);
        else
            mmcl__axpy_f64(axes, t[r], (const double *) blocks->rotation->x + row * axes, v);
    }
}

static void apply_class(mmcl__blocks *blocks, size_t k, const double *in, double *out, double *scratch)
{
    size_t        axes = axes_of(blocks), weights = classes_of(blocks) * axes;
    double       *v = scratch, *t = v + axes + 1, *sum = t + blocks->most, *inverse = sum + axes + 1;
    const double *factor = blocks->factors + k * blocks->side * blocks->side;
    inverse_diagonal(blocks, k, inverse);
    memcpy(v, in + k * axes, axes * sizeof *v);
    v[axes] = blocks->intercept ? in[weights + k] : 0;
    if (is_inner(blocks, k))
        mmcl__solve_factor(axes + 1, factor, v);
    else {
        for (size_t j = 0; j <= axes; j++)
            v[j] *= inverse[j];
        if (blocks->kept[k] > 0) {
            kept_times(blocks, k, v, t);
            mmcl__solve_factor(blocks->kept[k], factor, t);
            kept_sum(blocks, k, t, sum);
            for (size_t j = 0; j <= axes; j++)
                v[j] -= inverse[j] * sum[j];
        }
    }
    memcpy(out + k * axes, v, axes * sizeof *v);
    out[weights + k] = blocks->intercept ? v[axes] : 0;
}

static void apply_classes(void *argument, size_t task, uint32_t worker)
{
    const struct product *product = argument;
    mmcl__blocks         *blocks  = product->blocks;
    size_t                from = task * BLOCK, end = MMCL__MIN(from + BLOCK, classes_of(blocks));
    for (size_t k = from; k < end; k++)
        apply_class(blocks, k, product->in, product->out, blocks->scratch + worker * blocks->scratch_size);
}

mmcl_status mmcl__blocks_apply(mmcl__blocks *blocks, const double *in, double *out)
{
    struct product product = {.blocks = blocks, .in = in, .out = out};
    return mmcl__parallel(blocks->context, (classes_of(blocks) + BLOCK - 1) / BLOCK, apply_classes, &product);
}
