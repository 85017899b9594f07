/* The walk over the tiles of logits, forward and backward. */
#include "contrast/state.h"

#include "linalg/blas.h"

#include <math.h>
#include <string.h>

#define NOTHING MMCL__CONTRAST_NOTHING
#define FAR 35.0 /* how much larger one exponent may be than another that stands for both; the kernels cut at twice that */

typedef struct tile {
    mmcl__evaluation *e;
    mmcl__scratch    *scratch;
    size_t            row, rows, col, cols; /* this rank's rows, the block's columns */
    size_t            band_x, band_t;       /* over all batches */
    bool              first;                /* nothing has been added to its gradients yet */
    bool              own;                  /* the partners of its rows are among its columns, in order */
    float            *d;                    /* [rows, width] all of it, when it comes from a product */
    float            *t, *dt;               /* its columns */
    size_t            n_positives;
} tile;

static tile tile_of(mmcl__evaluation *e, size_t index, uint32_t worker)
{
    size_t batch = index / e->bands, i = index % e->bands, j = (i + e->round) % e->bands;
    tile   t = {.e       = e,
                .scratch = &e->scratch[worker],
                .row     = mmcl__band_begin(e, batch, i),
                .col     = mmcl__band_begin(e, batch, j),
                .band_x  = batch * e->bands + i,
                .band_t  = batch * e->bands + j,
                .first   = e->step == 0 && e->round == 0,
                .own     = e->step == 0 && i == j};
    t.rows = mmcl__band_begin(e, batch, i + 1) - t.row;
    t.cols = mmcl__band_begin(e, batch, j + 1) - t.col;
    size_t at = e->product ? t.col * e->t_stride : t.band_t * e->dims * e->width;
    t.t       = e->block.t + at;
    t.dt      = e->block.dt == NULL ? NULL : e->block.dt + (e->product ? t.col * e->dt_stride : at);
    return t;
}

/* ------------------------------------------------------------------------------------------------------ logits of a tile --- */

/* D by a product; true when the cache had it. */
static void multiply(tile *t, size_t index)
{
    mmcl__evaluation *e = t->e;
    size_t            slot = ((size_t) e->step * e->bands + e->round) * e->batches * e->bands + index;
    bool              kept = slot < e->cached;
    t->d = kept ? e->cache + slot * e->band * e->width : t->scratch->tile;
    if (kept && e->backward)
        return;
    mmcl__gemm_f32(false, true, t->rows, t->cols, e->dims, e->squared ? 2 : 1, e->rows_x + t->row * e->x_stride, e->x_stride, t->t,
                   e->t_stride, 0, t->d, e->width);
    for (size_t i = 0; i < t->rows; i++)
        for (size_t j = t->cols; j < e->width; j++)
            t->d[i * e->width + j] = 0;
    if (e->squared)
        e->kernels->add(t->rows, e->width, t->d, e->width, e->square_x + t->row, e->square_t + t->col);
}

/* Takes the entries of positives out of a strip, and remembers them. */
static void take_positives(tile *t, size_t first, size_t rows, float *d)
{
    const mmcl__evaluation *e = t->e;
    const int32_t          *labels = e->block.labels + t->col;
    for (size_t i = 0; i < rows; i++) {
        const int32_t label = e->labels[t->row + first + i];
        for (size_t j = 0; j < t->cols; j += MMCL__CONTRAST_PAD) {
            size_t  n = MMCL__MIN(MMCL__CONTRAST_PAD, t->cols - j);
            int32_t any = 0;
            for (size_t l = 0; l < n; l++)
                any |= labels[j + l] == label;
            for (size_t l = 0; any && l < n; l++)
                if (labels[j + l] == label && !(t->own && first + i == j + l)) {
                    t->scratch->values[t->n_positives]          = d[i * e->width + j + l];
                    t->scratch->places[2 * t->n_positives]      = (int32_t) i;
                    t->scratch->places[2 * t->n_positives++ + 1] = (int32_t) (j + l);
                    d[i * e->width + j + l]                     = NOTHING;
                }
        }
    }
}

/* Rows first ... first + rows - 1 of D, without padding, own pairs and positives; *own [rows] receives the own pairs' D. */
static float *strip_of(tile *t, size_t first, size_t rows, float *own)
{
    mmcl__evaluation *e = t->e;
    float            *d = e->product ? t->d + first * e->width : t->scratch->tile;
    if (!e->product)
        e->kernels->similarity[e->term](rows, e->width, e->dims, e->exponent, e->rows_x + (t->row + first) * e->x_stride, e->x_stride,
                                        t->t, e->width, d, e->width);
    for (size_t i = 0; i < rows; i++) {
        for (size_t j = t->cols; j < e->width; j++)
            d[i * e->width + j] = NOTHING;
        if (t->own) {
            float *at = &d[i * e->width + first + i];
            if (own != NULL)
                own[i] = *at;
            *at = NOTHING;
        }
    }
    t->n_positives = 0;
    if (e->labels != NULL)
        take_positives(t, first, rows, d);
    return d;
}

/* ------------------------------------------------------------------------------------------------------------ forward --- */

/* exp(top) * sum += exp(other_top) * other_sum */
static void merge(double *top, double *sum, double other_top, double other_sum)
{
    if (other_sum == 0)
        return;
    if (other_top > *top) {
        *sum = *sum * exp(*top - other_top) + other_sum;
        *top = other_top;
    } else {
        *sum += other_sum * exp(other_top - *top);
    }
}

static double *field_x(const tile *t, int field)
{
    return t->e->fields + field * t->e->rows + t->row;
}

static double *field_t(const tile *t, int field)
{
    return t->e->block.fields + field * t->e->rows + t->col;
}

static void raise(double *value, double other)
{
    *value = other > *value ? other : *value;
}

static void count_positives(const tile *t, size_t first)
{
    const mmcl__evaluation *e = t->e;
    for (size_t n = 0; n < t->n_positives; n++) {
        size_t i = first + (size_t) t->scratch->places[2 * n], j = (size_t) t->scratch->places[2 * n + 1];
        double d = t->scratch->values[n], s = e->scale * d;
        merge(&field_x(t, MMCL__POSITIVE_TOP)[i], &field_x(t, MMCL__POSITIVE_SUM)[i], s, 1);
        merge(&field_t(t, MMCL__POSITIVE_TOP)[j], &field_t(t, MMCL__POSITIVE_SUM)[j], s, 1);
        field_x(t, MMCL__POSITIVE_TOTAL)[i] += d;
        field_t(t, MMCL__POSITIVE_TOTAL)[j] += d;
        field_x(t, MMCL__POSITIVE_COUNT)[i] += 1;
        field_t(t, MMCL__POSITIVE_COUNT)[j] += 1;
        raise(&field_x(t, MMCL__BEST_POSITIVE)[i], d);
        raise(&field_t(t, MMCL__BEST_POSITIVE)[j], d);
    }
}

static void best_of_strip(tile *t, size_t first, size_t rows, const float *d, const float *own)
{
    t->e->kernels->tops(rows, t->e->width, d, t->e->width, t->scratch->row_top, t->scratch->col_top);
    for (size_t i = 0; i < rows; i++) {
        raise(&field_x(t, MMCL__BEST_NEGATIVE)[first + i], t->scratch->row_top[i]);
        if (t->own) {
            raise(&field_x(t, MMCL__BEST_POSITIVE)[first + i], own[i]);
            raise(&field_t(t, MMCL__BEST_POSITIVE)[first + i], own[i]);
        }
    }
    count_positives(t, first);
}

/*
 * Sums of exponentials of a strip. A row's exponentials are relative to its own largest entry; in the sums of the columns they count
 * exp(that - *origin) times, where *origin moves when a row lies too far above it.
 */
static void sums_of_strip(tile *t, size_t first, size_t rows, const float *d, double *origin)
{
    mmcl__evaluation *e = t->e;
    mmcl__scratch    *scratch = t->scratch;
    for (size_t i = 0; i < rows; i++) {
        double top = e->scale * scratch->row_top[i];
        if (scratch->row_top[i] == NOTHING) {
            scratch->factor[i] = 0;
            continue;
        }
        if (!(top - *origin <= FAR)) {
            double shrink = exp(*origin - top);
            for (size_t j = 0; j < e->width && *origin > -INFINITY; j++)
                scratch->col_sum[j] *= (float) shrink;
            for (size_t r = 0; r < i; r++)
                scratch->factor[r] *= (float) shrink;
            *origin = top;
        }
        scratch->factor[i] = (float) exp(top - *origin);
    }
    e->kernels->sums(rows, e->width, (float) e->scale, d, e->width, scratch->row_top, scratch->factor, scratch->row_sum,
                     scratch->col_sum);
    for (size_t i = 0; i < rows; i++)
        if (scratch->row_top[i] != NOTHING)
            merge(&field_x(t, MMCL__NEGATIVE_TOP)[first + i], &field_x(t, MMCL__NEGATIVE_SUM)[first + i],
                  e->scale * scratch->row_top[i], scratch->row_sum[i]);
}

/* A column whose entries are all so far below those of the tile that its sum has lost its digits: taken by itself. */
static bool is_lost(const tile *t, size_t j, double origin)
{
    return t->scratch->col_top[j] != NOTHING && t->e->scale * t->scratch->col_top[j] < origin - FAR;
}

static void sum_lost_columns(tile *t, double origin)
{
    mmcl__evaluation *e = t->e;
    for (size_t j = 0; j < t->cols; j++)
        if (is_lost(t, j, origin))
            t->scratch->col_sum[j] = 0;
    for (size_t first = 0; first < t->rows; first += MMCL__STRIP) {
        size_t       rows = MMCL__MIN(MMCL__STRIP, t->rows - first);
        const float *d    = strip_of(t, first, rows, NULL);
        for (size_t j = 0; j < t->cols; j++)
            for (size_t i = 0; is_lost(t, j, origin) && i < rows; i++)
                t->scratch->col_sum[j] += (float) exp(e->scale * (d[i * e->width + j] - t->scratch->col_top[j]));
    }
}

static void merge_columns(tile *t, double origin)
{
    bool any = false;
    for (size_t j = 0; j < t->cols; j++)
        any |= is_lost(t, j, origin);
    if (any)
        sum_lost_columns(t, origin);
    for (size_t j = 0; j < t->cols; j++) {
        double top = is_lost(t, j, origin) ? t->e->scale * t->scratch->col_top[j] : origin;
        if (t->scratch->col_top[j] != NOTHING)
            merge(&field_t(t, MMCL__NEGATIVE_TOP)[j], &field_t(t, MMCL__NEGATIVE_SUM)[j], top, t->scratch->col_sum[j]);
    }
}

static void best_of_columns(tile *t)
{
    for (size_t j = 0; j < t->cols; j++)
        raise(&field_t(t, MMCL__BEST_NEGATIVE)[j], t->scratch->col_top[j]);
}

static void clear_columns(tile *t)
{
    for (size_t j = 0; j < t->e->width; j++) {
        t->scratch->col_top[j] = NOTHING;
        t->scratch->col_sum[j] = 0;
    }
}

static void forward_tile(void *argument, size_t index, uint32_t worker)
{
    tile   t      = tile_of(argument, index, worker);
    double origin = -INFINITY;
    float  own[MMCL__STRIP];
    if (t.e->product)
        multiply(&t, index);
    if (t.e->product && t.e->labels != NULL && t.d != t.scratch->tile) /* positives are taken out of strips: not of the cache */
        t.d = memcpy(t.scratch->tile, t.d, t.rows * t.e->width * sizeof *t.d);
    clear_columns(&t);
    for (size_t first = 0; first < t.rows; first += MMCL__STRIP) {
        size_t rows = MMCL__MIN(MMCL__STRIP, t.rows - first);
        float *d    = strip_of(&t, first, rows, own);
        best_of_strip(&t, first, rows, d, own);
        sums_of_strip(&t, first, rows, d, &origin);
    }
    best_of_columns(&t);
    merge_columns(&t, origin);
}

/* ----------------------------------------------------------------------------------------------------------- backward --- */

/* The own part of g for a positive that is not the own partner. */
static double positive_g(const tile *t, size_t i, size_t j, double s)
{
    const mmcl__evaluation *e = t->e;
    if (e->sigmoid)
        return -e->scale * e->weight_x / (1 + exp(s + e->bias));
    double share_x = -1 / (1 + field_x(t, MMCL__POSITIVE_COUNT)[i]), share_t = -1 / (1 + field_t(t, MMCL__POSITIVE_COUNT)[j]);
    if (!e->negatives_only) {
        share_x += exp(s - field_x(t, MMCL__LOG_NORM)[i]);
        share_t += exp(s - field_t(t, MMCL__LOG_NORM)[j]);
    }
    return e->scale * (e->weight_x * share_x + e->weight_t * share_t);
}

static void put_positives(tile *t, size_t first, float *d)
{
    mmcl__evaluation *e = t->e;
    for (size_t n = 0; n < t->n_positives; n++) {
        size_t row = (size_t) t->scratch->places[2 * n], j = (size_t) t->scratch->places[2 * n + 1], i = first + row;
        double value = t->scratch->values[n], g = positive_g(t, i, j, e->scale * value);
        d[row * e->width + j] = (float) g;
        field_x(t, MMCL__WEIGHT_SUM)[i] += g;
        e->moment[t->row + i] += g * value;
        if (e->sigmoid) {
            double s = e->scale * value + e->bias;
            field_x(t, MMCL__NEGATIVE_SUM)[i] += fmax(-s, 0) + log1p(exp(-fabs(s)));
        }
    }
}

/* D of a strip becomes g = scale dL/dS, weights and moments are added up. */
static void weigh_softmax(tile *t, size_t first, size_t rows, float *d)
{
    mmcl__evaluation *e = t->e;
    mmcl__scratch    *scratch = t->scratch;
    size_t            row = t->row + first;
    double            low = e->band_low[t->band_t];
    if (e->weight_t == 0 || e->band_top[t->band_x] - low <= FAR) {
        for (size_t i = 0; i < rows; i++)
            scratch->factor[i] = e->weight_t == 0 ? 0 : (float) (e->scale * e->weight_t * exp(e->scale * e->origin[row + i] - low));
        e->kernels->softmax(rows, e->width, (float) e->scale, d, e->width, e->origin + row, e->row_weight + row, scratch->factor,
                            e->col_ratio + t->col, scratch->totals);
    } else {
        e->kernels->softmax_two(rows, e->width, (float) e->scale, d, e->width, e->origin + row, e->row_weight + row,
                                e->col_origin + t->col, e->col_weight + t->col, scratch->totals);
    }
    for (size_t i = 0; i < rows; i++) {
        double weight = scratch->totals[2 * i];
        field_x(t, MMCL__WEIGHT_SUM)[first + i] += weight;
        e->moment[row + i] += scratch->totals[2 * i + 1] + weight * e->origin[row + i];
    }
}

static void weigh_sigmoid(tile *t, size_t first, size_t rows, float *d)
{
    mmcl__evaluation *e = t->e;
    e->kernels->sigmoid(rows, e->width, (float) e->scale, (float) e->bias, (float) (e->scale * e->weight_x), d, e->width,
                        t->scratch->totals);
    for (size_t i = 0; i < rows; i++) {
        field_x(t, MMCL__WEIGHT_SUM)[first + i] += t->scratch->totals[3 * i];
        e->moment[t->row + first + i] += t->scratch->totals[3 * i + 1];
        field_x(t, MMCL__NEGATIVE_SUM)[first + i] += t->scratch->totals[3 * i + 2];
    }
}

/* Gradients of a strip, where they do not come from products. */
static void descend(tile *t, size_t first, size_t rows, const float *g)
{
    mmcl__evaluation *e  = t->e;
    float            *dx = e->dx == NULL ? NULL : e->dx + (t->row + first) * e->dx_stride;
    for (size_t i = 0; t->first && dx != NULL && i < rows; i++)
        memset(dx + i * e->dx_stride, 0, e->dims * sizeof *dx);
    if (dx != NULL || t->dt != NULL)
        e->kernels->gradient[e->term](rows, e->width, e->dims, e->exponent, e->rows_x + (t->row + first) * e->x_stride, e->x_stride,
                                      t->t, e->width, g, e->width, dx, e->dx_stride, t->dt, e->width);
}

static void descend_by_products(tile *t)
{
    mmcl__evaluation *e = t->e;
    float             alpha = e->squared ? 2 : 1, beta = t->first ? 0 : 1;
    if (e->dx != NULL)
        mmcl__gemm_f32(false, false, t->rows, e->dims, t->cols, alpha, t->d, e->width, t->t, e->t_stride, beta,
                       e->dx + t->row * e->dx_stride, e->dx_stride);
    if (t->dt != NULL)
        mmcl__gemm_f32(true, false, t->cols, e->dims, t->rows, alpha, t->d, e->width, e->rows_x + t->row * e->x_stride, e->x_stride,
                       beta, t->dt, e->dt_stride);
}

static void backward_tile(void *argument, size_t index, uint32_t worker)
{
    tile              t = tile_of(argument, index, worker);
    mmcl__evaluation *e = t.e;
    float             own[MMCL__STRIP];
    if (e->product)
        multiply(&t, index);
    clear_columns(&t);
    if (!e->product && t.first && t.dt != NULL)
        memset(t.dt, 0, e->dims * e->width * sizeof *t.dt);
    for (size_t first = 0; first < t.rows; first += MMCL__STRIP) {
        size_t rows = MMCL__MIN(MMCL__STRIP, t.rows - first);
        float *d    = strip_of(&t, first, rows, own);
        if (e->sigmoid) {
            best_of_strip(&t, first, rows, d, own);
            weigh_sigmoid(&t, first, rows, d);
        } else {
            weigh_softmax(&t, first, rows, d);
        }
        put_positives(&t, first, d);
        if (e->squared)
            e->kernels->column_sums(rows, e->width, d, e->width, t.scratch->col_sum);
        if (!e->product)
            descend(&t, first, rows, d);
    }
    if (e->sigmoid)
        best_of_columns(&t);
    for (size_t j = 0; e->squared && j < t.cols; j++)
        field_t(&t, MMCL__WEIGHT_SUM)[j] += t.scratch->col_sum[j];
    if (e->product)
        descend_by_products(&t);
}

/* --------------------------------------------------------------------------------------------------------------- walk --- */

static mmcl_status shift_one(mmcl__evaluation *e, void **here, void **there, size_t bytes)
{
    void *kept = *here;
    if (kept == NULL)
        return MMCL_OK;
    if (e->objective->comm.ring_shift(e->objective->comm.user, kept, *there, bytes) != 0)
        return mmcl__fail(e->context, MMCL_E_CALLBACK, "comm: ring_shift failed");
    *here  = *there;
    *there = kept;
    return MMCL_OK;
}

#define SHIFT(member, bytes) MMCL__TRY(shift_one(e, (void **) &e->block.member, (void **) &e->other.member, bytes))

static mmcl_status shift(mmcl__evaluation *e)
{
    size_t floats = e->product ? e->rows * e->dims : e->batches * e->bands * e->dims * e->width;
    SHIFT(t, floats * sizeof(float));
    SHIFT(fields, MMCL__FIELDS * e->rows * sizeof(double));
    SHIFT(labels, e->rows * sizeof(int32_t));
    if (e->backward)
        SHIFT(dt, floats * sizeof(float));
    return MMCL_OK;
}

static mmcl_status walk(mmcl__evaluation *e, mmcl__task task)
{
    mmcl_context *context = e->context;
    uint32_t      steps   = e->batches > 1 ? 1 : e->objective->comm.size; /* batches of their own do not travel */
    for (e->step = 0; e->step < steps; e->step++) {
        e->owner = (e->objective->comm.rank + e->step) % e->objective->comm.size;
        if (e->squared || e->backward)
            MMCL__TRY(mmcl__contrast_prepare_columns(e));
        for (e->round = 0; e->round < e->bands; e->round++) {
            MMCL__TRY(mmcl__parallel(context, e->batches * e->bands, task, e));
            if (e->operation != NULL)
                MMCL__TRY(mmcl__tick(e->operation, e->operation->step + 1, NAN));
            else if (e->objective->comm.size == 1)
                MMCL__TRY(mmcl__check_cancel(context));
        }
        if (steps > 1)
            MMCL__TRY(shift(e));
    }
    return MMCL_OK;
}

mmcl_status mmcl__contrast_forward(mmcl__evaluation *e)
{
    e->backward = false;
    return walk(e, forward_tile);
}

mmcl_status mmcl__contrast_backward(mmcl__evaluation *e)
{
    e->backward = true;
    return walk(e, backward_tile);
}
