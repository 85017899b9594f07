#include "transform/neighbours.h"

#include "linalg/blas.h"
#include "linalg/convert.h"

#include <math.h>
#include <string.h>

#define QUERIES 256     /* rows whose neighbours are sought at a time */
#define CANDIDATES 1024 /* rows that they are compared with at a time */
#define ROUND 16        /* blocks of queries between looks at the cancel flag */
#define READ 256        /* rows read at a time */

/* Rows of the sample, the unit rows that neighbours are sought in, and what was found. */
typedef struct sample {
    mmcl_context *context;
    size_t        rows, cols, key_cols, count;
    float        *values; /* [rows, cols] */
    float        *keys;   /* [rows, key_cols] */
    uint32_t     *near;   /* [rows, count] */
} sample;

static size_t stride_of(size_t rows)
{
    return (rows + MMCL__NEIGHBOUR_ROWS - 1) / MMCL__NEIGHBOUR_ROWS;
}

static size_t sampled(size_t rows)
{
    size_t stride = stride_of(rows);
    return (rows + stride - 1) / stride;
}

/* --------------------------------------------------------------------------------------------------------- search --- */

struct search {
    size_t       rows, cols, count, first; /* first block of this round */
    const float *unit;
    float       *scratch; /* [workers, QUERIES * CANDIDATES] */
    float       *best;    /* [rows, count] cosines, descending */
    uint32_t    *near;
};

/* Puts a row among the `count` best so far; of equal ones the earlier stays ahead. */
static void insert(size_t count, float *best, uint32_t *near, float cosine, size_t row)
{
    size_t at = count - 1;
    for (; at > 0 && cosine > best[at - 1]; at--) {
        best[at] = best[at - 1];
        near[at] = near[at - 1];
    }
    best[at] = cosine;
    near[at] = (uint32_t) row;
}

static void compare(const struct search *s, size_t query, size_t first, size_t n, const float *cosines)
{
    float    *best = s->best + query * s->count;
    uint32_t *near = s->near + query * s->count;
    for (size_t j = 0; j < n; j++)
        if (cosines[j] > best[s->count - 1] && first + j != query)
            insert(s->count, best, near, cosines[j], first + j);
}

static void search_block(void *argument, size_t block, uint32_t worker)
{
    const struct search *s       = argument;
    float               *cosines = s->scratch + (size_t) worker * QUERIES * CANDIDATES;
    size_t               from = (s->first + block) * QUERIES, n = MMCL__MIN((size_t) QUERIES, s->rows - from);
    for (size_t i = from * s->count; i < (from + n) * s->count; i++)
        s->best[i] = -INFINITY;
    for (size_t first = 0; first < s->rows; first += CANDIDATES) {
        size_t m = MMCL__MIN((size_t) CANDIDATES, s->rows - first);
        mmcl__gemm_f32(false, true, n, m, s->cols, 1, s->unit + from * s->cols, s->cols, s->unit + first * s->cols, s->cols, 0, cosines, m);
        for (size_t i = 0; i < n; i++)
            compare(s, from + i, first, m, cosines + i * m);
    }
}

static mmcl_status search_all(mmcl_context *context, struct search *s)
{
    size_t blocks = (s->rows + QUERIES - 1) / QUERIES;
    for (; s->first < blocks; s->first += ROUND) {
        MMCL__TRY(mmcl__check_cancel(context));
        MMCL__TRY(mmcl__parallel(context, MMCL__MIN((size_t) ROUND, blocks - s->first), search_block, s));
    }
    return MMCL_OK;
}

mmcl_status mmcl__nearest(mmcl_context *context, size_t rows, size_t cols, const float *unit, size_t count, uint32_t *near)
{
    assert(rows > count && count > 0);
    struct search s     = {.rows = rows, .cols = cols, .count = count, .unit = unit, .near = near};
    size_t        share = (size_t) mmcl__width(context) * QUERIES * CANDIDATES;
    s.scratch           = mmcl__alloc(context, share, sizeof *s.scratch);
    s.best              = mmcl__alloc(context, rows * count, sizeof *s.best);
    mmcl_status status  = s.scratch == NULL || s.best == NULL ? MMCL_E_NOMEM : search_all(context, &s);
    mmcl__free(context, s.scratch, share, sizeof *s.scratch);
    mmcl__free(context, s.best, rows * count, sizeof *s.best);
    return status;
}

/* --------------------------------------------------------------------------------------------------------- sample --- */

static void close_sample(sample *s)
{
    mmcl__free(s->context, s->values, s->rows * s->cols, sizeof *s->values);
    mmcl__free(s->context, s->keys, s->rows * s->key_cols, sizeof *s->keys);
    mmcl__free(s->context, s->near, s->rows * s->count, sizeof *s->near);
}

/* Every stride-th row; where that is each row, many at a time. */
static mmcl_status read_values(sample *s, const mmcl__source *source)
{
    size_t        stride = stride_of(source->rows->rows), chunk = stride == 1 ? READ : 1;
    size_t        cells   = mmcl__source_scratch(source, chunk);
    float        *scratch = mmcl__alloc(s->context, cells, sizeof *scratch);
    mmcl__trouble trouble = {0};
    mmcl_status   status  = scratch == NULL ? MMCL_E_NOMEM : MMCL_OK;
    for (size_t i = 0; i < s->rows && status == MMCL_OK; i += chunk) {
        size_t n = MMCL__MIN(chunk, s->rows - i);
        float *values = s->values + i * s->cols;
        if (!mmcl__source_read_f32(source, i * stride, n, values, scratch, &trouble))
            status = mmcl__source_failed(s->context, &trouble);
        else if (!mmcl__convert()->finite_f32(n * s->cols, values)) /* the rows were, so the steps before this one have overflowed */
            status = mmcl__fail(s->context, MMCL_E_NUMERIC, "parts: row %zu or one behind it overflows on its way through the steps", i * stride);
        else if (i % READ == 0)
            status = mmcl__check_cancel(s->context);
    }
    mmcl__free(s->context, scratch, cells, sizeof *scratch);
    return status;
}

/* Unit rows of what `stage` makes of the values; NULL: of the values themselves. */
static mmcl_status make_keys(sample *s, const mmcl__stage *stage)
{
    size_t cells = READ * s->cols;
    float *tile  = mmcl__alloc(s->context, cells, sizeof *tile);
    if (tile == NULL)
        return MMCL_E_NOMEM;
    for (size_t i = 0; i < s->rows; i += READ) {
        size_t n    = MMCL__MIN((size_t) READ, s->rows - i);
        float *keys = s->keys + i * s->key_cols;
        memcpy(tile, s->values + i * s->cols, n * s->cols * sizeof *tile);
        mmcl__stages_run_f32(stage, stage != NULL, n, s->cols, tile, tile, keys, s->key_cols);
        mmcl__unit_rows_f32(n, s->key_cols, keys, keys, s->key_cols);
    }
    mmcl__free(s->context, tile, cells, sizeof *tile);
    return MMCL_OK;
}

static mmcl_status open_sample(sample *s, mmcl_context *context, const mmcl__source *source, const mmcl__stage *stage, size_t count)
{
    *s = (sample){.context = context, .rows = sampled(source->rows->rows), .cols = source->cols, .count = count,
                  .key_cols = stage != NULL ? stage->outputs : source->cols};
    if (s->rows <= count)
        return mmcl__fail(context, MMCL_E_INVAL, "parts: %zu rows, expected more than the %zu neighbours of each", s->rows, count);
    s->values = mmcl__alloc(context, s->rows * s->cols, sizeof *s->values);
    s->keys   = mmcl__alloc(context, s->rows * s->key_cols, sizeof *s->keys);
    s->near   = mmcl__alloc(context, s->rows * count, sizeof *s->near);
    mmcl_status status = s->values == NULL || s->keys == NULL || s->near == NULL ? MMCL_E_NOMEM : read_values(s, source);
    if (status == MMCL_OK)
        status = make_keys(s, stage);
    if (status == MMCL_OK)
        status = mmcl__nearest(context, s->rows, s->key_cols, s->keys, count, s->near);
    if (status != MMCL_OK)
        close_sample(s);
    return status;
}

/* ----------------------------------------------------------------------------------------------------- statistics --- */

static void variances(const sample *s, double *within, double *total)
{
    size_t  cols = s->cols;
    double *mean = within; /* of the distance to the first row, which is 0 and no rounding where a column is constant; until `within` is filled */
    memset(mean, 0, cols * sizeof *mean);
    memset(total, 0, cols * sizeof *total);
    for (size_t i = 0; i < s->rows; i++)
        for (size_t j = 0; j < cols; j++)
            mean[j] += ((double) s->values[i * cols + j] - (double) s->values[j]) / (double) s->rows;
    for (size_t i = 0; i < s->rows; i++)
        for (size_t j = 0; j < cols; j++) {
            double apart = (double) s->values[i * cols + j] - (double) s->values[j] - mean[j];
            total[j] += apart * apart / (double) s->rows;
        }
    memset(within, 0, cols * sizeof *within);
    for (size_t i = 0; i < s->rows * s->count; i++) {
        const float *row = s->values + i / s->count * cols, *other = s->values + s->near[i] * cols;
        for (size_t j = 0; j < cols; j++) {
            double apart = (double) row[j] - (double) other[j];
            within[j] += apart * apart;
        }
    }
    mmcl__scale_f64(cols, 0.5 / (double) (s->rows * s->count), within);
}

mmcl_status mmcl__neighbour_variance(mmcl_context *context, const mmcl__source *source, size_t count, double *within, double *total)
{
    sample s;
    MMCL__TRY(open_sample(&s, context, source, NULL, count));
    variances(&s, within, total);
    close_sample(&s);
    return MMCL_OK;
}

/* Differences first ... first + n - 1, of all rows with all their neighbours, into out [n, cols]. */
static void differences(const sample *s, size_t first, size_t n, double *out)
{
    for (size_t i = 0; i < n; i++) {
        size_t       pair = first + i;
        const float *row = s->values + pair / s->count * s->cols, *other = s->values + s->near[pair] * s->cols;
        for (size_t j = 0; j < s->cols; j++)
            out[i * s->cols + j] = (double) row[j] - (double) other[j];
    }
}

static mmcl_status covariance(const sample *s, double *within)
{
    size_t  cols = s->cols, pairs = s->rows * s->count, cells = READ * cols;
    double *tile = mmcl__alloc(s->context, cells, sizeof *tile);
    if (tile == NULL)
        return MMCL_E_NOMEM;
    mmcl_status status = MMCL_OK;
    memset(within, 0, cols * cols * sizeof *within);
    for (size_t first = 0; first < pairs && status == MMCL_OK; first += READ) {
        size_t n = MMCL__MIN((size_t) READ, pairs - first);
        differences(s, first, n, tile);
        mmcl__syrk_f64(cols, n, tile, cols, within, cols);
        status = mmcl__check_cancel(s->context);
    }
    mmcl__free(s->context, tile, cells, sizeof *tile);
    mmcl__scale_f64(cols * cols, 0.5 / (double) pairs, within);
    mmcl__symmetrize(cols, within, cols);
    return status;
}

mmcl_status mmcl__neighbour_covariance(mmcl_context *context, const mmcl__source *source, const mmcl__stage *keys, size_t count,
                                       double *within)
{
    sample s;
    MMCL__TRY(open_sample(&s, context, source, keys, count));
    mmcl_status status = covariance(&s, within);
    close_sample(&s);
    return status;
}

uint64_t mmcl__neighbour_bytes(size_t rows, size_t cols, size_t key_cols, size_t count, size_t width, uint32_t threads)
{
    uint64_t n = sampled(rows), kept = n * (4 * ((uint64_t) cols + key_cols) + 4 * (uint64_t) count);
    uint64_t reading = 4 * 2 * (uint64_t) READ * width, keys = 4 * (uint64_t) READ * cols;
    uint64_t seeking = 4 * ((uint64_t) threads * QUERIES * CANDIDATES + n * count), after = 8 * (uint64_t) READ * cols;
    return kept + MMCL__MAX(MMCL__MAX(reading, keys), MMCL__MAX(seeking, after));
}
