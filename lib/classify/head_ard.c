/*
 * The probe with a relevance for each input: w_kj is normal with variance s_j^2 for every class k, and s_j^2 is what the evidence of the shots says
 * (automatic relevance determination: MacKay 1992, Neal 1996, with MacKay's fixed point). At the weights of highest posterior, inputs scaled by s so
 * that the penalty is 1/2 |W'|^2 at C = 1:
 *
 *     s_j^2 <- s_j^2 sum_k w'_kj^2 / g_j,    g_j = classes (1 - [A^-1]_jj),    A = X'^T D X' + 1
 *
 * D is diagonal with the mean over the classes of p (1 - p): one matrix stands for the classes' blocks of the second derivative, and what couples
 * the blocks is left out. The relevances are then scaled to a mean square of 1, and C is found as for the plain probe.
 */
#include "classify/head_probe.h"
#include "classify/logreg.h"
#include "linalg/blas.h"

#include <math.h>
#include <string.h>

#define ROUNDS 10
#define SETTLED 0.05    /* largest change of log s^2 that ends them */
#define FLOOR 1e-8      /* least s^2, of the largest one */
#define RELEVANT 1e-4   /* s^2 above this share of the largest count as used */

struct ard {
    mmcl__adapt  *adapt;
    double       *square;        /* [cols] s^2 */
    float        *train, *val;   /* scaled rows */
    double       *curvature;     /* [cols, cols] A, then its inverse */
    double       *scores;        /* [rows, classes] */
    double       *weighted;      /* [rows, cols] sqrt(D) X' */
    double       *columns;       /* [classes] scratch of the softmax */
    double       *losses;        /* [2 rows] likewise */
};

static size_t block_of(const mmcl__adapt *adapt)
{
    size_t n = adapt->train.rows, d = adapt->cols;
    return d + d * d + n * adapt->classes + n * d + adapt->classes + 2 * n;
}

static void place(struct ard *ard, double *block)
{
    size_t n = ard->adapt->train.rows, d = ard->adapt->cols;
    ard->square    = block;
    ard->curvature = ard->square + d;
    ard->scores    = ard->curvature + d * d;
    ard->weighted  = ard->scores + n * ard->adapt->classes;
    ard->columns   = ard->weighted + n * d;
    ard->losses    = ard->columns + ard->adapt->classes;
    for (size_t j = 0; j < d; j++)
        ard->square[j] = 1;
}

static void scale_rows(const struct ard *ard, const mmcl__rowset *from, float *out)
{
    for (size_t i = 0; i < from->rows; i++)
        for (size_t j = 0; j < from->cols; j++)
            out[i * from->cols + j] = (float) ((double) from->x[i * from->cols + j] * sqrt(ard->square[j]));
}

/* weighted = sqrt(mean over the classes of p (1 - p)) X', at the weights of `fitted`. */
static void weigh_rows(struct ard *ard, const mmcl_classifier *fitted)
{
    const mmcl__rowset *train = &ard->adapt->train;
    size_t              n = train->rows, d = train->cols, classes = ard->adapt->classes;
    double              spread = 0;
    for (size_t i = 0; i < n * d; i++)
        ard->weighted[i] = (double) ard->train[i];
    memset(ard->columns, 0, classes * sizeof *ard->columns);
    mmcl__gemm_f64(false, true, n, classes, d, 1, ard->weighted, d, fitted->weights, d, 0, ard->scores, classes);
    mmcl__softmax_kernel()->f64(n, classes, train->labels, fitted->intercepts, ard->scores, ard->columns, ard->losses, ard->losses + n,
                                &spread);
    for (size_t i = 0; i < n; i++) {
        double mean = 0;
        for (size_t k = 0; k < classes; k++) {
            double residual = fabs(ard->scores[i * classes + k]); /* p, or 1 - p of the label's class */
            mean += residual * (1 - residual) / (double) classes;
        }
        mmcl__scale_f64(d, sqrt(mean), ard->weighted + i * d);
    }
}

/* By how much MacKay's step multiplies s_j^2. */
static double factor_of(const struct ard *ard, const mmcl_classifier *fitted, size_t j)
{
    size_t d = ard->adapt->cols, classes = ard->adapt->classes;
    double known = fmax((double) classes * (1 - ard->curvature[j * d + j]), 1e-9 * (double) classes), sum = 0;
    for (size_t k = 0; k < classes; k++)
        sum += fitted->weights[k * d + j] * fitted->weights[k * d + j];
    return sum / known;
}

/* The step; returns the largest change of log s^2 among inputs that matter. */
static double update(struct ard *ard, const mmcl_classifier *fitted)
{
    size_t d = ard->adapt->cols;
    double change = 0, largest = 0;
    for (size_t j = 0; j < d; j++)
        largest = fmax(largest, ard->square[j] * factor_of(ard, fitted, j));
    for (size_t j = 0; j < d; j++) {
        double factor  = factor_of(ard, fitted, j);
        ard->square[j] = fmax(ard->square[j] * factor, FLOOR * largest);
        change         = fmax(change, ard->square[j] > RELEVANT * largest ? fabs(log(factor)) : 0);
    }
    return change;
}

static mmcl_status round_of(struct ard *ard, double *change)
{
    mmcl__adapt              *adapt   = ard->adapt;
    size_t                    n = adapt->train.rows, d = adapt->cols;
    const mmcl_labelled       rows    = {.features = {.data = ard->train, .rows = n, .cols = d}, .labels = adapt->data->train.labels};
    const mmcl_logreg_options options = {.struct_size = sizeof options, .c = 1, .tolerance = adapt->options->tolerance,
                                         .max_iterations = adapt->options->max_iterations, .precision = adapt->options->precision};
    mmcl_logreg_info          info    = {.struct_size = sizeof info};
    mmcl_classifier          *fitted;
    scale_rows(ard, &adapt->train, ard->train);
    MMCL__TRY(mmcl__logreg_fit(&fitted, adapt->context, &rows, adapt->classes, &options, NULL, &info));
    weigh_rows(ard, fitted);
    mmcl__gemm_f64(true, false, d, d, n, 1, ard->weighted, d, ard->weighted, d, 0, ard->curvature, d);
    for (size_t j = 0; j < d; j++)
        ard->curvature[j * d + j] += 1;
    mmcl_status status = mmcl__invert_spd(adapt->context, d, ard->curvature);
    if (status == MMCL_OK)
        *change = update(ard, fitted);
    mmcl__classifier_destroy(fitted);
    return status;
}

/* Mean square 1. */
static void finish(struct ard *ard)
{
    size_t d = ard->adapt->cols;
    double mean = 0, largest = 0;
    for (size_t j = 0; j < d; j++) {
        mean += ard->square[j] / (double) d;
        largest = fmax(largest, ard->square[j]);
    }
    for (size_t j = 0; j < d; j++)
        ard->adapt->info->inputs_used += ard->square[j] > RELEVANT * largest;
    mmcl__scale_f64(d, 1 / mean, ard->square);
}

static mmcl_status head(struct ard *ard, mmcl_classifier **out)
{
    mmcl__adapt     *adapt = ard->adapt;
    mmcl_classifier *fitted;
    scale_rows(ard, &adapt->train, ard->train);
    scale_rows(ard, &adapt->val, ard->val);
    MMCL__TRY(mmcl__probe_fit(adapt, ard->train, ard->val, &fitted));
    for (size_t i = 0; i < adapt->classes * adapt->cols; i++)
        fitted->weights[i] *= sqrt(ard->square[i % adapt->cols]);
    mmcl_status status = mmcl__adapt_linear(adapt, fitted->weights, fitted->intercepts, out);
    mmcl__classifier_destroy(fitted);
    return status;
}

static mmcl_status fit(struct ard *ard, mmcl_classifier **out)
{
    mmcl__operation operation;
    mmcl_status     status = MMCL_OK;
    double          change = INFINITY;
    mmcl__begin(&operation, ard->adapt->context, "relevances", ROUNDS);
    for (uint64_t i = 0; i < ROUNDS && change > SETTLED && status == MMCL_OK; i++) {
        status = round_of(ard, &change);
        if (status == MMCL_OK)
            status = mmcl__tick(&operation, i + 1, change);
    }
    status = mmcl__end(&operation, status);
    MMCL__TRY(status);
    finish(ard);
    return head(ard, out);
}

mmcl_status mmcl__head_probe_ard(mmcl__adapt *adapt, mmcl_classifier **out)
{
    size_t      size = block_of(adapt), d = adapt->cols;
    double     *block  = mmcl__alloc(adapt->context, size, sizeof *block);
    struct ard  ard    = {.adapt = adapt, .train = mmcl__alloc(adapt->context, adapt->train.rows * d, sizeof *ard.train),
                          .val = mmcl__alloc(adapt->context, adapt->val.rows * d, sizeof *ard.val)};
    mmcl_status status = MMCL_E_NOMEM;
    if (block != NULL && ard.train != NULL && ard.val != NULL) {
        place(&ard, block);
        status = fit(&ard, out);
    }
    mmcl__free(adapt->context, block, size, sizeof *block);
    mmcl__free(adapt->context, ard.train, adapt->train.rows * d, sizeof *ard.train);
    mmcl__free(adapt->context, ard.val, adapt->val.rows * d, sizeof *ard.val);
    return status;
}
