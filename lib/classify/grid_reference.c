/* One row of a grid in float64, and the readable twins of the searches. */
#include "classify/grid.h"

#include <math.h>
#include <string.h>

enum { LINEAR = 1, ATTENTION = 2, AFFINITY = 4 };

double mmcl__grid_dot(size_t n, const float *a, const double *b)
{
    double sum[8] = {0};
    size_t i      = 0;
    for (; i + 8 <= n; i += 8)
        for (int l = 0; l < 8; l++)
            sum[l] += (double) a[i + l] * b[i + l];
    for (; i < n; i++)
        sum[0] += (double) a[i] * b[i];
    return ((sum[0] + sum[4]) + (sum[1] + sum[5])) + ((sum[2] + sum[6]) + (sum[3] + sum[7]));
}

static double dot_f32(size_t n, const float *a, const float *b)
{
    double sum[8] = {0};
    size_t i      = 0;
    for (; i + 8 <= n; i += 8)
        for (int l = 0; l < 8; l++)
            sum[l] += (double) a[i + l] * (double) b[i + l];
    for (; i < n; i++)
        sum[0] += (double) a[i] * (double) b[i];
    return ((sum[0] + sum[4]) + (sum[1] + sum[5])) + ((sum[2] + sum[6]) + (sum[3] + sum[7]));
}

mmcl_status mmcl__grid_row_open(mmcl__grid_row *row, const mmcl__grid *grid)
{
    mmcl_context *context = grid->context;
    *row = (mmcl__grid_row){.grid = grid, .row = SIZE_MAX};
    row->affinity  = mmcl__alloc(context, grid->keys, sizeof *row->affinity);
    row->linear    = mmcl__alloc(context, grid->classes, sizeof *row->linear);
    row->attention = mmcl__alloc(context, grid->classes, sizeof *row->attention);
    row->mean      = mmcl__alloc(context, grid->inputs, sizeof *row->mean);
    row->known     = mmcl__alloc(context, grid->classes, sizeof *row->known);
    if (row->affinity != NULL && row->linear != NULL && row->attention != NULL && row->mean != NULL && row->known != NULL)
        return MMCL_OK;
    mmcl__grid_row_close(row);
    return MMCL_E_NOMEM;
}

void mmcl__grid_row_close(mmcl__grid_row *row)
{
    const mmcl__grid *grid = row->grid;
    if (grid == NULL)
        return;
    mmcl__free(grid->context, row->affinity, grid->keys, sizeof *row->affinity);
    mmcl__free(grid->context, row->linear, grid->classes, sizeof *row->linear);
    mmcl__free(grid->context, row->attention, grid->classes, sizeof *row->attention);
    mmcl__free(grid->context, row->mean, grid->inputs, sizeof *row->mean);
    mmcl__free(grid->context, row->known, grid->classes, sizeof *row->known);
    row->grid = NULL;
}

void mmcl__grid_row_set(mmcl__grid_row *row, size_t index)
{
    if (row->row == index)
        return;
    row->row       = index;
    row->has_range = row->has_mean = false;
    memset(row->known, 0, row->grid->classes);
}

double mmcl__grid_row_linear(mmcl__grid_row *row, size_t k)
{
    const mmcl__grid *grid = row->grid;
    if (grid->weights == NULL)
        return 0;
    if (!(row->known[k] & LINEAR))
        row->linear[k] = mmcl__grid_dot(grid->inputs, grid->x + row->row * grid->inputs, grid->weights + k * grid->inputs);
    row->known[k] |= LINEAR;
    return row->linear[k];
}

/* t(x); the products with the text pass through `attention`, which is filled in anew afterwards. */
static void set_mean(mmcl__grid_row *row)
{
    const mmcl__grid *grid = row->grid;
    const size_t      d    = grid->inputs;
    double           *p = row->attention, top = -INFINITY, all = 0;
    for (size_t k = 0; k < grid->classes; k++) {
        p[k] = mmcl__grid_dot(d, grid->x + row->row * d, grid->text + k * d);
        top  = fmax(top, p[k]);
    }
    memset(row->mean, 0, d * sizeof *row->mean);
    for (size_t k = 0; k < grid->classes; k++)
        all += p[k] = exp(p[k] - top);
    for (size_t k = 0; k < grid->classes; k++)
        for (size_t i = 0; i < d; i++)
            row->mean[i] += p[k] / all * grid->text[k * d + i];
    row->has_mean = true;
}

double mmcl__grid_row_attention(mmcl__grid_row *row, size_t k)
{
    const mmcl__grid *grid = row->grid;
    if (grid->text == NULL)
        return 0;
    if (!row->has_mean)
        set_mean(row);
    if (!(row->known[k] & ATTENTION)) {
        double sum = 0;
        for (size_t i = 0; i < grid->inputs; i++)
            sum += row->mean[i] * grid->text[k * grid->inputs + i];
        row->attention[k] = sum;
    }
    row->known[k] |= ATTENTION;
    return row->attention[k];
}

double mmcl__grid_row_affinity(mmcl__grid_row *row, size_t key)
{
    const mmcl__grid *grid = row->grid;
    return dot_f32(grid->width, grid->u + row->row * grid->u_stride, grid->key + key * grid->key_stride);
}

static void set_affinity(mmcl__grid_row *row, size_t k)
{
    const mmcl__grid *grid = row->grid;
    for (size_t j = grid->starts[k]; j < grid->starts[k + 1] && !(row->known[k] & AFFINITY); j++)
        row->affinity[j] = mmcl__grid_row_affinity(row, j);
    row->known[k] |= AFFINITY;
}

static void set_range(mmcl__grid_row *row)
{
    row->lo = INFINITY;
    row->hi = -INFINITY;
    for (size_t k = 0; k < row->grid->classes; k++)
        set_affinity(row, k);
    for (size_t j = 0; j < row->grid->keys; j++) {
        row->lo = fmin(row->lo, row->affinity[j]);
        row->hi = fmax(row->hi, row->affinity[j]);
    }
    row->has_range = true;
}

double mmcl__grid_row_sum(mmcl__grid_row *row, size_t k, double beta)
{
    const mmcl__grid *grid = row->grid;
    double            sum  = 0;
    if (grid->min_max && !row->has_range)
        set_range(row);
    set_affinity(row, k);
    for (size_t j = grid->starts[k]; j < grid->starts[k + 1]; j++) {
        double a = row->affinity[j];
        if (grid->min_max)
            a = row->hi > row->lo ? (a - row->lo) / (row->hi - row->lo) : 1;
        sum += (grid->key_weights != NULL ? (double) grid->key_weights[j] : 1) * exp(-beta * (1 - a));
    }
    return sum;
}

size_t mmcl__grid_best(size_t n, const uint64_t *counts)
{
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        if (counts[i] > counts[best])
            best = i;
    return best;
}

/* Whether `label` is the first of the highest scores. */
static bool is_right(size_t n, const double *scores, size_t label)
{
    size_t best = 0;
    for (size_t k = 1; k < n; k++)
        if (scores[k] > scores[best])
            best = k;
    return best == label;
}

mmcl_status mmcl__grid_counts_reference(const mmcl__grid *grid, const mmcl__grid_axis *betas, const mmcl__grid_axis *alphas,
                                        uint64_t *counts)
{
    mmcl__grid_row row;
    double        *scores = mmcl__alloc(grid->context, grid->classes, sizeof *scores);
    mmcl_status    status = scores != NULL ? mmcl__grid_row_open(&row, grid) : MMCL_E_NOMEM;
    memset(counts, 0, betas->count * alphas->count * sizeof *counts);
    for (size_t i = 0; i < grid->rows && status == MMCL_OK; i++) {
        mmcl__grid_row_set(&row, i);
        for (size_t b = 0; b < betas->count; b++)
            for (size_t j = 0; j < alphas->count; j++) {
                for (size_t k = 0; k < grid->classes; k++)
                    scores[k] = mmcl__grid_row_linear(&row, k) + grid->eta * mmcl__grid_row_attention(&row, k) +
                                mmcl__grid_at(alphas, j) * mmcl__grid_row_sum(&row, k, mmcl__grid_at(betas, b));
                counts[b * alphas->count + j] += is_right(grid->classes, scores, (size_t) grid->labels[i]);
            }
    }
    if (status == MMCL_OK)
        mmcl__grid_row_close(&row);
    mmcl__free(grid->context, scores, grid->classes, sizeof *scores);
    return status;
}

mmcl_status mmcl__grid_attention_reference(const mmcl__grid *grid, double beta, double alpha, const double *visual,
                                           const mmcl__grid_axis *gammas, const mmcl__grid_axis *etas, uint64_t *counts)
{
    mmcl__grid_row row;
    const size_t   d      = grid->inputs;
    double        *scores = mmcl__alloc(grid->context, grid->classes, sizeof *scores);
    mmcl_status    status = scores != NULL ? mmcl__grid_row_open(&row, grid) : MMCL_E_NOMEM;
    memset(counts, 0, gammas->count * etas->count * sizeof *counts);
    for (size_t i = 0; i < grid->rows && status == MMCL_OK; i++) {
        mmcl__grid_row_set(&row, i);
        for (size_t g = 0; g < gammas->count; g++)
            for (size_t h = 0; h < etas->count; h++) {
                for (size_t k = 0; k < grid->classes; k++)
                    scores[k] = mmcl__grid_row_linear(&row, k) +
                                mmcl__grid_at(gammas, g) * mmcl__grid_dot(d, grid->x + i * d, visual + k * d) +
                                mmcl__grid_at(etas, h) * mmcl__grid_row_attention(&row, k) + alpha * mmcl__grid_row_sum(&row, k, beta);
                counts[g * etas->count + h] += is_right(grid->classes, scores, (size_t) grid->labels[i]);
            }
    }
    if (status == MMCL_OK)
        mmcl__grid_row_close(&row);
    mmcl__free(grid->context, scores, grid->classes, sizeof *scores);
    return status;
}
