/* What an evaluation does row by row around the tiles: reading, pairs and their own terms, normalisers, the last of the gradients. */
#include "contrast/state.h"

#include "linalg/convert.h"
#include "linalg/matrix.h"

#include <math.h>
#include <string.h>

#define ZERO_ROW (UINT64_MAX - 1) /* stands for the column where a row has no direction */
#define CENTRE_ROWS 256

mmcl_status mmcl__contrast_reduce(mmcl__evaluation *e, double *values, size_t count)
{
    const mmcl_comm *comm = &e->objective->comm;
    if (comm->size > 1 && comm->all_reduce(comm->user, values, count, MMCL_REDUCE_SUM) != 0)
        return mmcl__fail(e->context, MMCL_E_CALLBACK, "comm: all_reduce failed");
    return MMCL_OK;
}

static size_t chunk_rows(const mmcl__evaluation *e, size_t index)
{
    return MMCL__MIN(e->chunk, e->rows - index * e->chunk);
}

/* ------------------------------------------------------------------------------------------------------------ reading --- */

static const float *place_of(const mmcl_matrix *matrix, size_t row)
{
    return (const float *) matrix->data + row * (matrix->row_stride != 0 ? matrix->row_stride : matrix->cols);
}

/* Rows of a matrix as dense float32 in `out`, or checked where they are. Leaves in bad [2] where they are not finite. */
static void read_rows(const mmcl_matrix *matrix, bool copy, size_t first, size_t rows, float *out, uint64_t *bad)
{
    mmcl__place place  = {0};
    mmcl_status status = MMCL_OK;
    if (copy) {
        status = mmcl__read_f32(matrix, first, rows, out, &place);
    } else {
        for (size_t i = first; i < first + rows && status == MMCL_OK; i++) {
            const float *row = place_of(matrix, i);
            if (mmcl__convert()->finite_f32(matrix->cols, row))
                continue;
            status = MMCL_E_NUMERIC;
            place  = (mmcl__place){.row = i};
            while (isfinite(row[place.col]))
                place.col++;
        }
    }
    bad[0] = status == MMCL_OK ? UINT64_MAX : status == MMCL_E_NUMERIC ? place.row : ZERO_ROW;
    bad[1] = place.col;
}

static void normalise(size_t first, size_t rows, size_t dims, float *values, double *inverse, uint64_t *bad)
{
    for (size_t i = 0; i < rows; i++, values += dims) {
        double square = 0;
        for (size_t k = 0; k < dims; k++)
            square += (double) values[k] * values[k];
        if (square == 0 && bad[0] == UINT64_MAX) {
            bad[0] = first + i;
            bad[1] = ZERO_ROW;
        }
        inverse[first + i] = square > 0 ? 1 / sqrt(square) : 0;
        for (size_t k = 0; k < dims; k++)
            values[k] = (float) (values[k] * inverse[first + i]);
    }
}

/* Rows into the layout that the kernels take, one dimension of a band after the other. */
static void pack(mmcl__evaluation *e, size_t first, size_t rows, const float *values, size_t stride)
{
    for (size_t i = 0; i < rows; i++) {
        float *to = e->block.t + mmcl__packed(e, first + i);
        for (size_t k = 0; k < e->dims; k++)
            to[k * e->width] = values[i * stride + k];
    }
}

static void clear_fields(double *fields, size_t all, size_t first, size_t rows)
{
    const double start[MMCL__FIELDS] = {[MMCL__NEGATIVE_TOP]  = -INFINITY,
                                        [MMCL__POSITIVE_TOP]  = -INFINITY,
                                        [MMCL__BEST_NEGATIVE] = (double) MMCL__CONTRAST_NOTHING,
                                        [MMCL__BEST_POSITIVE] = (double) MMCL__CONTRAST_NOTHING};
    for (size_t field = 0; field < MMCL__FIELDS; field++)
        for (size_t i = first; i < first + rows; i++)
            fields[field * all + i] = start[field];
}

static void load_chunk(void *argument, size_t index, uint32_t worker)
{
    mmcl__evaluation *e = argument;
    size_t            first = index * e->chunk, rows = chunk_rows(e, index);
    uint64_t         *bad = e->bad + 4 * index;
    float            *x = (float *) e->rows_x + first * e->x_stride; /* written only where it is a copy */
    read_rows(e->x, e->copy_x, first, rows, x, bad);
    if (e->cosine)
        normalise(first, rows, e->dims, x, e->inverse_x, bad);
    bool   copy = e->copy_t || (!e->product && e->cosine);
    float *t    = e->product ? e->block.t + first * e->t_stride : e->scratch[worker].rows;
    read_rows(e->t, copy, first, rows, t, bad + 2);
    if (e->cosine)
        normalise(first, rows, e->dims, t, e->inverse_t, bad + 2);
    if (!e->product && copy)
        pack(e, first, rows, t, e->dims);
    else if (!e->product)
        pack(e, first, rows, place_of(e->t, first), e->t->row_stride != 0 ? e->t->row_stride : e->dims);
    clear_fields(e->fields, e->rows, first, rows);
    clear_fields(e->block.fields, e->rows, first, rows);
    for (size_t i = first; i < first + rows; i++)
        e->moment[i] = 0;
}

static mmcl_status complain(mmcl__evaluation *e, const uint64_t *bad, const char *name)
{
    if (bad[0] == UINT64_MAX)
        return MMCL_OK;
    if (bad[0] == ZERO_ROW)
        return mmcl__read_failed(e->context, MMCL_E_CALLBACK, name, SIZE_MAX, NULL);
    if (bad[1] == ZERO_ROW)
        return mmcl__fail(e->context, MMCL_E_NUMERIC, "%s: row %llu (counted from 0) is zero and has no cosine with another", name,
                          (unsigned long long) bad[0]);
    const mmcl__place place = {.row = bad[0], .col = bad[1]};
    return mmcl__read_failed(e->context, MMCL_E_NUMERIC, name, SIZE_MAX, &place);
}

/* Any point near the rows will do: distances do not change, and the rounding of |x|^2 + |t|^2 - 2 x.t shrinks with the norms. */
static mmcl_status find_centre(mmcl__evaluation *e)
{
    size_t step = (e->rows + CENTRE_ROWS - 1) / CENTRE_ROWS, count = 0;
    for (size_t k = 0; k < e->dims; k++)
        e->centre[k] = 0;
    for (size_t i = 0; i < e->rows; i += step, count += 2)
        for (size_t k = 0; k < e->dims; k++)
            e->centre[k] += (double) e->rows_x[i * e->x_stride + k] + e->block.t[i * e->t_stride + k];
    MMCL__TRY(mmcl__contrast_reduce(e, e->centre, e->dims));
    for (size_t k = 0; k < e->dims; k++)
        e->centre[k] /= (double) count * e->objective->comm.size;
    return MMCL_OK;
}

static void centre_chunk(void *argument, size_t index, uint32_t worker)
{
    mmcl__evaluation *e = argument;
    (void) worker;
    for (size_t i = index * e->chunk, end = i + chunk_rows(e, index); i < end; i++) {
        float *x = (float *) e->rows_x + i * e->x_stride, *t = e->block.t + i * e->t_stride;
        double square = 0;
        for (size_t k = 0; k < e->dims; k++) {
            x[k] = (float) (x[k] - e->centre[k]);
            t[k] = (float) (t[k] - e->centre[k]);
            square += (double) x[k] * x[k];
        }
        e->square_x[i] = (float) -square;
    }
}

/* -------------------------------------------------------------------------------------------------------- own pairs --- */

static double power_of(const mmcl__evaluation *e)
{
    const double powers[MMCL__TERMS] = {2, 2, 1, 3, 4, (double) e->exponent};
    return powers[e->term];
}

static double similarity(const mmcl__evaluation *e, const float *x, const float *t, size_t t_step)
{
    double sum = 0, p = power_of(e);
    for (size_t k = 0; k < e->dims; k++) {
        double a = x[k], b = t[k * t_step], v = fabs(a - b);
        switch (e->term) {
        case MMCL__TERM_DOT:    sum += a * b; break;
        case MMCL__TERM_SQUARE: sum -= v * v; break;
        case MMCL__TERM_ABS:    sum -= v; break;
        default:                sum -= pow(v, p);
        }
    }
    return sum;
}

/* Row `i` of t in the layout of the block, and the distance between its dimensions. */
static size_t own_t(const mmcl__evaluation *e, size_t i, size_t *step)
{
    *step = e->product ? 1 : e->width;
    return e->product ? i * e->t_stride : mmcl__packed(e, i);
}

static void pair_chunk(void *argument, size_t index, uint32_t worker)
{
    mmcl__evaluation *e = argument;
    (void) worker;
    for (size_t i = index * e->chunk, end = i + chunk_rows(e, index), step; i < end; i++) {
        size_t at = own_t(e, i, &step);
        e->own[i] = similarity(e, e->rows_x + i * e->x_stride, e->block.t + at, step);
    }
}

mmcl_status mmcl__contrast_load(mmcl__evaluation *e)
{
    MMCL__TRY(mmcl__parallel(e->context, e->chunks, load_chunk, e));
    for (size_t side = 0; side < 2; side++)
        for (size_t i = 0; i < e->chunks; i++)
            MMCL__TRY(complain(e, e->bad + 4 * i + 2 * side, (side == 0) == (e->x == e->input->x) ? "x" : "t"));
    return MMCL_OK;
}

mmcl_status mmcl__contrast_pair(mmcl__evaluation *e)
{
    if (e->squared) {
        MMCL__TRY(find_centre(e));
        MMCL__TRY(mmcl__parallel(e->context, e->chunks, centre_chunk, e));
    }
    return mmcl__parallel(e->context, e->chunks, pair_chunk, e);
}

/* -------------------------------------------------------------------------------------------------------- normalisers --- */

static double softplus(double x)
{
    return fmax(x, 0) + log1p(exp(-fabs(x)));
}

/* log(exp a + exp b) */
static double log_add(double a, double b)
{
    double top = fmax(a, b);
    return top == -INFINITY ? top : top + log1p(exp(-fabs(a - b)));
}

typedef struct outcome {
    double loss, entropy, share; /* share: dL_x/dS_ii of the row's loss */
    bool   hit;
} outcome;

/* From the sums over a row (or column) to its normaliser, loss and own share. */
static outcome settle(const mmcl__evaluation *e, double *fields, size_t i)
{
    double *f[MMCL__FIELDS];
    for (size_t field = 0; field < MMCL__FIELDS; field++)
        f[field] = fields + field * e->rows + i;
    double own = e->scale * e->own[i], members = (double) e->members, count = 1 + *f[MMCL__POSITIVE_COUNT];
    double negative = *f[MMCL__NEGATIVE_TOP] + log(*f[MMCL__NEGATIVE_SUM]); /* -inf when there are none */
    double others = log_add(negative, *f[MMCL__POSITIVE_TOP] + log(*f[MMCL__POSITIVE_SUM])), all = log_add(own, others);
    double target = (own + e->scale * *f[MMCL__POSITIVE_TOTAL]) / count;
    double shift  = e->negatives_only ? log(members - count) : e->objective->options.normalizer == MMCL_NORMALIZER_MEAN ? log(members) : 0;
    *f[MMCL__LOG_NORM] = e->negatives_only ? negative : all;
    outcome result = {.loss    = *f[MMCL__LOG_NORM] - target,
                      .entropy = all - log(members),
                      .share   = -1 / count,
                      .hit     = *f[MMCL__BEST_POSITIVE] > *f[MMCL__BEST_NEGATIVE]};
    if (!e->negatives_only && count == 1) { /* both stay exact when the pair is almost certain */
        result.loss  = softplus(others - own);
        result.share = -1 / (1 + exp(own - others));
    } else if (!e->negatives_only) {
        result.share += exp(own - all);
    }
    result.loss -= shift;
    return result;
}

static void settle_chunk(void *argument, size_t index, uint32_t worker)
{
    mmcl__evaluation *e = argument;
    double           *sums = e->sums + 8 * index;
    (void) worker;
    memset(sums, 0, 8 * sizeof *sums);
    for (size_t i = index * e->chunk, end = i + chunk_rows(e, index); i < end; i++) {
        const double *fields = e->fields + i;
        double        target = e->scale * (e->own[i] + fields[MMCL__POSITIVE_TOTAL * e->rows]) / (1 + fields[MMCL__POSITIVE_COUNT * e->rows]);
        if (e->sigmoid) {
            double s = e->scale * e->own[i] + e->bias, *t = e->block.fields + i;
            sums[0] += fields[MMCL__NEGATIVE_SUM * e->rows] + softplus(-s);
            sums[5] += fields[MMCL__BEST_POSITIVE * e->rows] > fields[MMCL__BEST_NEGATIVE * e->rows];
            sums[6] += t[MMCL__BEST_POSITIVE * e->rows] > t[MMCL__BEST_NEGATIVE * e->rows];
            e->own_g[i] = -e->scale * e->weight_x / (1 + exp(s));
        } else {
            outcome x = settle(e, e->fields, i), t = settle(e, e->block.fields, i);
            sums[0] += x.loss;
            sums[1] += t.loss;
            sums[3] += x.entropy;
            sums[4] += t.entropy;
            sums[5] += x.hit;
            sums[6] += t.hit;
            e->own_g[i] = e->scale * (e->weight_x * x.share + e->weight_t * t.share);
        }
        sums[2] -= target + e->bias;
    }
}

/* The first row that has no negatives. */
static mmcl_status check_negatives(mmcl__evaluation *e)
{
    for (size_t i = 0; e->negatives_only && i < e->rows; i++)
        if (e->fields[MMCL__NEGATIVE_SUM * e->rows + i] == 0)
            return mmcl__fail(e->context, MMCL_E_NUMERIC,
                              "groups: row %zu (counted from 0) has no negatives, and the mean over them no value", i);
    return MMCL_OK;
}

mmcl_status mmcl__contrast_settle(mmcl__evaluation *e)
{
    mmcl_objective_info *info = e->info;
    double               total[8] = {0};
    MMCL__TRY(check_negatives(e));
    MMCL__TRY(mmcl__parallel(e->context, e->chunks, settle_chunk, e));
    for (size_t i = 0; i < e->chunks; i++)
        for (size_t k = 0; k < 8; k++)
            total[k] += e->sums[8 * i + k];
    MMCL__TRY(mmcl__contrast_reduce(e, total, 8));
    for (size_t k = 0; k < 8; k++)
        total[k] /= e->count;
    info->loss       = e->sigmoid ? total[0] : e->count * (e->weight_x * total[0] + e->weight_t * total[1]);
    info->loss_x     = e->sigmoid ? NAN : total[0];
    info->loss_t     = e->sigmoid || e->weight_t == 0 ? NAN : total[1];
    info->alignment  = total[2];
    info->entropy_x  = e->sigmoid ? NAN : total[3];
    info->entropy_t  = e->sigmoid ? NAN : total[4];
    info->accuracy_x = total[5];
    info->accuracy_t = total[6];
    if (!isfinite(info->loss))
        return mmcl__fail(e->context, MMCL_E_NUMERIC, "the loss is not finite: similarities times the scale %g leave the range of float32",
                          e->scale);
    return MMCL_OK;
}

/* ------------------------------------------------------------------------------------------------- weights of the softmax --- */

static void prepare_row_band(void *argument, size_t index, uint32_t worker)
{
    mmcl__evaluation *e = argument;
    const double     *norm = e->fields + MMCL__LOG_NORM * e->rows;
    size_t            first = mmcl__band_begin(e, index / e->bands, index % e->bands);
    size_t            end   = mmcl__band_begin(e, index / e->bands, index % e->bands + 1);
    (void) worker;
    e->band_top[index] = -INFINITY;
    for (size_t i = first; i < end; i++) {
        e->origin[i]       = (float) (norm[i] / e->scale);
        e->row_weight[i]   = (float) (e->scale * e->weight_x * exp(e->scale * e->origin[i] - norm[i]));
        e->band_top[index] = fmax(e->band_top[index], norm[i]);
    }
}

mmcl_status mmcl__contrast_prepare_rows(mmcl__evaluation *e)
{
    return mmcl__parallel(e->context, e->batches * e->bands, prepare_row_band, e);
}

static void prepare_column_band(void *argument, size_t index, uint32_t worker)
{
    mmcl__evaluation *e = argument;
    const double     *norm = e->block.fields + MMCL__LOG_NORM * e->rows;
    size_t            first = mmcl__band_begin(e, index / e->bands, index % e->bands);
    size_t            end   = mmcl__band_begin(e, index / e->bands, index % e->bands + 1);
    double            low = INFINITY;
    (void) worker;
    for (size_t j = first; e->squared && j < end; j++) {
        const float *t = e->block.t + j * e->t_stride;
        double       square = 0;
        for (size_t k = 0; k < e->dims; k++)
            square += (double) t[k] * t[k];
        e->square_t[j] = (float) -square;
    }
    if (!e->backward || e->sigmoid)
        return;
    for (size_t j = first; j < end; j++)
        low = fmin(low, norm[j]);
    e->band_low[index] = low;
    for (size_t j = first; j < end; j++) {
        e->col_ratio[j]  = (float) exp(low - norm[j]);
        e->col_origin[j] = (float) (norm[j] / e->scale);
        e->col_weight[j] = (float) (e->scale * e->weight_t * exp(e->scale * e->col_origin[j] - norm[j]));
    }
}

mmcl_status mmcl__contrast_prepare_columns(mmcl__evaluation *e)
{
    return mmcl__parallel(e->context, e->batches * e->bands, prepare_column_band, e);
}

/* -------------------------------------------------------------------------------------------------- last of the gradients --- */

/* dD/dx; by t it is the same with a and b exchanged. */
static double slope(const mmcl__evaluation *e, double power, double a, double b)
{
    double v = a - b;
    switch (e->term) {
    case MMCL__TERM_DOT:    return b;
    case MMCL__TERM_SQUARE: return -2 * v;
    case MMCL__TERM_ABS:    return (v < 0) - (v > 0);
    default:                return v == 0 ? 0 : (v < 0 ? power : -power) * pow(fabs(v), power - 1);
    }
}

/*
 * into [dims] (may be where `sum` is) = the gradient by row a, with the share of its partner b; `weight` is the sum of g in its row.
 * With rows u = a / |a|, dL/da = (dL/du - u (u . dL/du)) / |a|.
 */
static void finish_row(const mmcl__evaluation *e, double g, double weight, double inverse, const float *a, size_t a_step,
                       const float *b, size_t b_step, const float *sum, size_t sum_step, float *into)
{
    double power = power_of(e), along = 0;
    for (size_t k = 0; k < e->dims; k++) {
        double value = sum[k * sum_step] + g * slope(e, power, a[k * a_step], b[k * b_step]);
        if (e->squared)
            value -= 2 * weight * a[k * a_step];
        along += value * a[k * a_step];
        into[k] = (float) value;
    }
    for (size_t k = 0; e->cosine && k < e->dims; k++)
        into[k] = (float) ((into[k] - along * a[k * a_step]) * inverse);
}

static void finish_chunk(void *argument, size_t index, uint32_t worker)
{
    mmcl__evaluation *e = argument;
    (void) worker;
    double *sums = e->sums + 8 * index, moment = 0, weight = 0;
    for (size_t i = index * e->chunk, end = i + chunk_rows(e, index), step; i < end; i++) {
        size_t        at = own_t(e, i, &step);
        const float  *x = e->rows_x + i * e->x_stride, *t = e->block.t + at;
        const double *sum_x = e->fields + MMCL__WEIGHT_SUM * e->rows, *sum_t = e->block.fields + MMCL__WEIGHT_SUM * e->rows;
        float        *dx = e->dx == NULL ? NULL : e->dx + i * e->dx_stride, *dt = e->dt == NULL ? NULL : e->dt + i * e->t_out_stride;
        if (dx != NULL)
            finish_row(e, e->own_g[i], sum_x[i], e->cosine ? e->inverse_x[i] : 1, x, 1, t, step, dx, 1, dx);
        if (dt != NULL)
            finish_row(e, e->own_g[i], sum_t[i], e->cosine ? e->inverse_t[i] : 1, t, step, x, 1,
                       e->block.dt + (e->product ? i * e->dt_stride : at), step, dt);
        moment += e->moment[i] + e->own_g[i] * e->own[i];
        weight += sum_x[i] + e->own_g[i];
    }
    sums[0] = moment;
    sums[1] = weight;
}

mmcl_status mmcl__contrast_finish(mmcl__evaluation *e, double *moment, double *weight)
{
    double total[2] = {0};
    MMCL__TRY(mmcl__parallel(e->context, e->chunks, finish_chunk, e));
    for (size_t i = 0; i < e->chunks; i++)
        for (size_t k = 0; k < 2; k++)
            total[k] += e->sums[8 * i + k];
    MMCL__TRY(mmcl__contrast_reduce(e, total, 2));
    *moment = total[0];
    *weight = total[1];
    return MMCL_OK;
}
