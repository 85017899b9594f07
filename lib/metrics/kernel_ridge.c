/*
 * R^2 of kernel ridge regression: kernel exp(-gamma |x - x'|^2) over codes at variance 1, factors at mean 0 and variance 1 so that no
 * intercept is missed, alpha and gamma chosen for each factor by the mean R^2 over three folds of the rows that fit.
 */
#include "metrics/metrics.h"

#include "linalg/blas.h"

#include <math.h>
#include <string.h>

#define FOLDS  3
#define ALPHAS 4
#define GAMMAS 4

static const double alphas[ALPHAS] = {1, 0.1, 0.01, 0.001};

/* 10^-2, 10^-2/3, 10^2/3, 10^2. */
static double gamma_of(size_t g)
{
    return pow(10, -2 + 4 * (double) g / (GAMMAS - 1));
}

struct ridge {
    mmcl__metric *m;
    size_t        n;      /* rows that fit; row i is in fold i mod FOLDS */
    double       *x, *y;  /* [n, k], [n, d] standardised */
    double       *square; /* [n, n] squared distances */
    double       *system; /* [n, n] */
    double       *kernel; /* [n] one row */
    double       *coef;   /* [n, d] */
    double       *score;  /* [ALPHAS, GAMMAS, d] */
    double       *code;   /* [k] of a row that evaluates */
    double       *sums;   /* [4, d] */
};

static mmcl_status open_ridge(struct ridge *r)
{
    mmcl__metric *m = r->m;
    size_t        n = r->n, cells;
    if (!mmcl__mul(n, n, &cells))
        return mmcl__fail(m->context, MMCL_E_NOMEM, "most_rows: %zu rows that fit", n);
    r->x      = mmcl__alloc(m->context, n * m->k, sizeof(double));
    r->y      = mmcl__alloc(m->context, n * m->d, sizeof(double));
    r->square = mmcl__alloc(m->context, cells, sizeof(double));
    r->system = mmcl__alloc(m->context, cells, sizeof(double));
    r->kernel = mmcl__alloc(m->context, n, sizeof(double));
    r->coef   = mmcl__alloc(m->context, n * m->d, sizeof(double));
    r->score  = mmcl__calloc(m->context, ALPHAS * GAMMAS * m->d, sizeof(double));
    r->code   = mmcl__alloc(m->context, m->k, sizeof(double));
    r->sums   = mmcl__alloc(m->context, 4 * m->d, sizeof(double));
    bool all  = r->x != NULL && r->y != NULL && r->square != NULL && r->system != NULL && r->kernel != NULL && r->coef != NULL &&
               r->score != NULL && r->code != NULL && r->sums != NULL;
    return all ? MMCL_OK : MMCL_E_NOMEM;
}

static void close_ridge(struct ridge *r)
{
    mmcl__metric *m = r->m;
    size_t        n = r->n;
    mmcl__free(m->context, r->x, n * m->k, sizeof(double));
    mmcl__free(m->context, r->y, n * m->d, sizeof(double));
    mmcl__free(m->context, r->square, n * n, sizeof(double));
    mmcl__free(m->context, r->system, n * n, sizeof(double));
    mmcl__free(m->context, r->kernel, n, sizeof(double));
    mmcl__free(m->context, r->coef, n * m->d, sizeof(double));
    mmcl__free(m->context, r->score, ALPHAS * GAMMAS * m->d, sizeof(double));
    mmcl__free(m->context, r->code, m->k, sizeof(double));
    mmcl__free(m->context, r->sums, 4 * m->d, sizeof(double));
}

/* 0 for a constant column. */
static double deviation_of(const mmcl__metric *m, size_t column)
{
    const mmcl__joint *fit = &m->part[MMCL__FIT];
    return mmcl__metric_constant(m, fit, column) ? 0 : sqrt(fit->scatter[column * m->p + column] / fit->weight);
}

static void standardise(const mmcl__metric *m, const double *row, size_t first, size_t count, double *out)
{
    for (size_t i = 0; i < count; i++) {
        double deviation = deviation_of(m, first + i);
        out[i]           = deviation > 0 ? (row[first + i] - m->part[MMCL__FIT].mean[first + i]) / deviation : 0;
    }
}

static double distance(size_t k, const double *a, const double *b)
{
    double sum = 0;
    for (size_t i = 0; i < k; i++)
        sum += (a[i] - b[i]) * (a[i] - b[i]);
    return sum;
}

static void distances_of_row(void *argument, size_t i, uint32_t worker)
{
    struct ridge *r = argument;
    (void) worker;
    for (size_t j = 0; j < r->n; j++)
        r->square[i * r->n + j] = distance(r->m->k, r->x + i * r->m->k, r->x + j * r->m->k);
}

static mmcl_status take_rows(struct ridge *r)
{
    const mmcl__metric *m    = r->m;
    const double       *rows = m->sample.rows + m->sample.first[MMCL__FIT] * m->p;
    for (size_t i = 0; i < r->n; i++) {
        standardise(m, rows + i * m->p, 0, m->k, r->x + i * m->k);
        standardise(m, rows + i * m->p, m->k, m->d, r->y + i * m->d);
    }
    return mmcl__parallel(m->context, r->n, distances_of_row, r);
}

/* Coefficients of the rows outside of `fold` (FOLDS: of all), in their order; *count of them. */
static mmcl_status solve(struct ridge *r, double alpha, double gamma, size_t fold, size_t *count)
{
    size_t n = r->n, d = r->m->d, row = 0, kept = fold < FOLDS ? n - (n - fold + FOLDS - 1) / FOLDS : n;
    for (size_t i = 0; i < n; i++) {
        if (i % FOLDS == fold)
            continue;
        size_t col = 0;
        for (size_t j = 0; j < n; j++)
            if (j % FOLDS != fold) {
                if (col >= row)
                    r->system[row * kept + col] = exp(-gamma * r->square[i * n + j]) + (row == col ? alpha : 0);
                col++;
            }
        memcpy(r->coef + row++ * d, r->y + i * d, d * sizeof(double));
    }
    *count = kept;
    MMCL__TRY(mmcl__check_cancel(r->m->context));
    return mmcl__solve_spd(r->m->context, kept, d, r->system, r->coef);
}

/* R^2 of a fold, as predicted from the others, added to score [d]. */
static void judge_fold(struct ridge *r, double gamma, size_t fold, double *score)
{
    size_t  n = r->n, d = r->m->d;
    double *predicted = r->sums, *mean = predicted + d, *square = mean + d, *error = square + d, count = 0;
    memset(r->sums, 0, 4 * d * sizeof(double));
    for (size_t i = fold; i < n; i += FOLDS, count++)
        mmcl__axpy_f64(d, 1, r->y + i * d, mean);
    for (size_t i = fold; i < n; i += FOLDS) {
        size_t row = 0;
        memset(predicted, 0, d * sizeof(double));
        for (size_t j = 0; j < n; j++)
            if (j % FOLDS != fold)
                mmcl__axpy_f64(d, exp(-gamma * r->square[i * n + j]), r->coef + row++ * d, predicted);
        for (size_t c = 0; c < d; c++) {
            double y = r->y[i * d + c];
            error[c] += (y - predicted[c]) * (y - predicted[c]);
            square[c] += (y - mean[c] / count) * (y - mean[c] / count);
        }
    }
    for (size_t c = 0; c < d; c++)
        score[c] += square[c] > 0 ? 1 - error[c] / square[c] : 0;
}

static mmcl_status search(struct ridge *r)
{
    for (size_t a = 0; a < ALPHAS; a++)
        for (size_t g = 0; g < GAMMAS; g++)
            for (size_t fold = 0; fold < FOLDS; fold++) {
                size_t count;
                MMCL__TRY(solve(r, alphas[a], gamma_of(g), fold, &count));
                judge_fold(r, gamma_of(g), fold, r->score + (a * GAMMAS + g) * r->m->d);
            }
    return MMCL_OK;
}

/* The first best place on the grid, alpha before gamma. */
static size_t best_of(const struct ridge *r, size_t factor)
{
    size_t best = 0, d = r->m->d;
    for (size_t i = 1; i < ALPHAS * GAMMAS; i++)
        if (r->score[i * d + factor] > r->score[best * d + factor])
            best = i;
    return best;
}

/* Predictions [d, count] of the factors for which `place` is best, in their own units. */
static mmcl_status predict(struct ridge *r, size_t place, double *out)
{
    mmcl__metric       *m = r->m;
    const mmcl__sample *s = &m->sample;
    size_t              first = s->first[MMCL__EVALUATE], count = s->count[MMCL__EVALUATE], d = m->d, kept, wanted = 0;
    double              gamma = gamma_of(place % GAMMAS);
    for (size_t j = 0; j < d; j++)
        wanted += best_of(r, j) == place;
    if (wanted == 0)
        return MMCL_OK;
    MMCL__TRY(solve(r, alphas[place / GAMMAS], gamma, FOLDS, &kept));
    for (size_t i = 0; i < count; i++) {
        double *predicted = r->sums;
        memset(predicted, 0, d * sizeof(double));
        standardise(m, s->rows + (first + i) * m->p, 0, m->k, r->code);
        for (size_t row = 0; row < r->n; row++)
            mmcl__axpy_f64(d, exp(-gamma * distance(m->k, r->code, r->x + row * m->k)), r->coef + row * d, predicted);
        for (size_t j = 0; j < d; j++)
            if (best_of(r, j) == place)
                out[j * count + i] = m->part[MMCL__FIT].mean[m->k + j] + deviation_of(m, m->k + j) * predicted[j];
    }
    return MMCL_OK;
}

static mmcl_status fit(struct ridge *r)
{
    MMCL__TRY(open_ridge(r));
    MMCL__TRY(take_rows(r));
    MMCL__TRY(search(r));
    for (size_t place = 0; place < ALPHAS * GAMMAS; place++)
        MMCL__TRY(predict(r, place, r->m->sample.fitted));
    return MMCL_OK;
}

mmcl_status mmcl__metric_r2_kernel(mmcl__metric *m, const mmcl_metric_details *details, double *value)
{
    mmcl__sample      *s  = &m->sample;
    const mmcl__joint *on = &m->part[MMCL__EVALUATE];
    size_t             n  = s->count[MMCL__EVALUATE], first = s->first[MMCL__EVALUATE];
    MMCL__TRY(mmcl__sample_keep(m, m->d * n));
    if (s->stale) {
        struct ridge r      = {.m = m, .n = s->count[MMCL__FIT]};
        mmcl_status  status = fit(&r);
        close_ridge(&r);
        MMCL__TRY(status);
        s->stale = false;
    }
    *value = 0;
    for (size_t j = 0; j < m->d; j++) {
        double error = 0, score;
        size_t at    = m->k + j;
        for (size_t i = 0; i < n; i++) {
            double miss = s->rows[(first + i) * m->p + at] - s->fitted[j * n + i];
            error += s->weight[first + i] * miss * miss;
        }
        score = 1 - error / on->scatter[at * m->p + at];
        *value += score / (double) m->d;
        if (details->per_factor != NULL)
            details->per_factor[j] = score;
    }
    return MMCL_OK;
}
