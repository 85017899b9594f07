/*
 * How many rows a cache head gets right at every pair of a grid of hyper-parameters, at once and exactly: the counts are those of the
 * float64 twin below, while nearly all of the work is done in float32. A row is right on an interval of alphas; float32 gives it
 * with bounds of its error, and what lies between the bounds is settled in float64 among the classes that are in question.
 */
#ifndef MMCL_CLASSIFY_GRID_H
#define MMCL_CLASSIFY_GRID_H

#include "core/core.h"

/*
 * score of class k = weights[k] . x + eta text[k] . t(x) + alpha sum over its keys of key_weight exp(-beta (1 - a)), a = u . key, with
 * t(x) = sum_k softmax_k(text[k] . x) text[k]. With min_max, a is brought to 0 ... 1 over all keys of the row; where all are equal
 * it is 1. Keys are sorted by class: those of class k are starts[k] ... starts[k + 1] - 1.
 */
typedef struct mmcl__grid {
    mmcl_context  *context;
    size_t         rows, classes, inputs;
    const float   *x;           /* [rows, inputs] */
    const int32_t *labels;      /* [rows] */
    const double  *weights;     /* [classes, inputs]; NULL: none */
    const double  *text;        /* [classes, inputs]; NULL: no such term */
    double         eta;
    size_t         width, keys;
    const float   *u;           /* [rows, u_stride], of width columns */
    size_t         u_stride;
    const float   *key;         /* [keys, key_stride], of width columns */
    size_t         key_stride;
    const float   *key_weights; /* [keys]; NULL: 1 */
    const size_t  *starts;      /* [classes + 1] */
    bool           min_max;
} mmcl__grid;

/* The i-th of `count` betas is first + i step. */
typedef struct mmcl__grid_axis {
    double first, step;
    size_t count;
} mmcl__grid_axis;

static inline double mmcl__grid_at(const mmcl__grid_axis *axis, size_t i)
{
    return axis->first + (double) i * axis->step;
}

/* counts [betas, alphas] = rows whose label is the first class of highest score. */
mmcl_status mmcl__grid_counts(const mmcl__grid *grid, const mmcl__grid_axis *betas, const mmcl__grid_axis *alphas, uint64_t *counts);

/*
 * The same over gammas and etas at one beta and alpha: the score is weights . x + gamma visual[k] . x + eta text[k] . t(x) + the
 * cache's term; grid->eta is not looked at. counts [gammas, etas].
 */
mmcl_status mmcl__grid_attention_counts(const mmcl__grid *grid, double beta, double alpha, const double *visual,
                                        const mmcl__grid_axis *gammas, const mmcl__grid_axis *etas, uint64_t *counts);

/* The first place of the highest count. */
size_t mmcl__grid_best(size_t n, const uint64_t *counts);

/* ------------------------------------------------------------------------------------------------- in float64 alone --- */

/*
 * One row in float64: what settles the close cases, and what the readable twin is made of. Values are worked out when first asked
 * for. Terms of equal classes are equal bit for bit.
 */
typedef struct mmcl__grid_row {
    const mmcl__grid *grid;
    size_t            row;
    double            lo, hi;    /* of the row's affinities, for min_max */
    double           *affinity;  /* [keys] */
    double           *linear;    /* [classes] weights . x */
    double           *attention; /* [classes] text . t(x) */
    double           *mean;      /* [inputs] t(x) */
    uint8_t          *known;     /* [classes] bits: what of the above is there */
    bool              has_range, has_mean;
} mmcl__grid_row;

mmcl_status mmcl__grid_row_open(mmcl__grid_row *row, const mmcl__grid *grid);
void        mmcl__grid_row_close(mmcl__grid_row *row);

void   mmcl__grid_row_set(mmcl__grid_row *row, size_t index);
double mmcl__grid_row_linear(mmcl__grid_row *row, size_t k);
double mmcl__grid_row_attention(mmcl__grid_row *row, size_t k);
double mmcl__grid_row_sum(mmcl__grid_row *row, size_t k, double beta);
double mmcl__grid_row_affinity(mmcl__grid_row *row, size_t key); /* as it is, without min_max */

/* The product of float32 and float64 vectors in float64, in an order of its own. */
double mmcl__grid_dot(size_t n, const float *a, const double *b);

/* The readable twins: every score of every row at every pair. */
mmcl_status mmcl__grid_counts_reference(const mmcl__grid *grid, const mmcl__grid_axis *betas, const mmcl__grid_axis *alphas,
                                        uint64_t *counts);
mmcl_status mmcl__grid_attention_reference(const mmcl__grid *grid, double beta, double alpha, const double *visual,
                                           const mmcl__grid_axis *gammas, const mmcl__grid_axis *etas, uint64_t *counts);

#endif
