/* Explicitness (Ridgeway and Mozer 2018): how well a linear classifier ranks the rows of each class of a factor. */
#include "metrics/metrics.h"

#include "classify/logreg.h"
#include "core/sorted.h"
#include "linalg/blas.h"

#include <math.h>

/* A factor's training rows: each as often as it weighs, codes standardised, classes counted among those that occur. */
struct problem {
    size_t    n, count; /* rows, classes */
    double   *rows;     /* [n, k] */
    int64_t  *labels;   /* [n] */
    uint32_t *names;    /* [levels] class of each place, then place of each class */
    size_t    levels;
};

static void close_problem(mmcl__metric *m, struct problem *p)
{
    mmcl__free(m->context, p->rows, p->n * m->k, sizeof *p->rows);
    mmcl__free(m->context, p->labels, p->n, sizeof *p->labels);
    mmcl__free(m->context, p->names, 2 * p->levels, sizeof *p->names);
}

/* Codes at mean 0 and variance 1 over the rows that fit; a constant one is 0. */
static void standardise(const mmcl__metric *m, const double *row, double *out)
{
    const mmcl__joint *fit = &m->part[MMCL__FIT];
    for (size_t i = 0; i < m->k; i++)
        out[i] = mmcl__metric_constant(m, fit, i) ? 0 : (row[i] - fit->mean[i]) / sqrt(fit->scatter[i * m->p + i] / fit->weight);
}

static mmcl_status open_problem(mmcl__metric *m, size_t factor, struct problem *p)
{
    const mmcl__sample *s     = &m->sample;
    size_t              first = s->first[MMCL__FIT], end = first + s->count[MMCL__FIT], at = 0;
    p->n      = (size_t) m->part[MMCL__FIT].weight;
    p->levels = m->counts.first[factor + 1] - m->counts.first[factor];
    p->rows   = mmcl__alloc(m->context, p->n * m->k, sizeof *p->rows);
    p->labels = mmcl__alloc(m->context, p->n, sizeof *p->labels);
    p->names  = mmcl__alloc(m->context, 2 * p->levels, sizeof *p->names);
    if (p->rows == NULL || p->labels == NULL || p->names == NULL)
        return MMCL_E_NOMEM;
    uint32_t *place = p->names + p->levels;
    for (size_t c = 0; c < p->levels; c++)
        place[c] = UINT32_MAX;
    for (size_t i = first; i < end; i++)
        if (s->weight[i] > 0)
            place[s->classes[i * m->d + factor]] = 0;
    for (size_t c = 0; c < p->levels; c++)
        if (place[c] == 0) {
            p->names[p->count] = (uint32_t) c;
            place[c]           = (uint32_t) p->count++;
        }
    for (size_t i = first; i < end; i++)
        for (double copies = s->weight[i]; copies > 0; copies--) {
            standardise(m, s->rows + i * m->p, p->rows + at * m->k);
            p->labels[at++] = place[s->classes[i * m->d + factor]];
        }
    return MMCL_OK;
}

/* out [levels, count]: log probabilities of the classes on the rows that evaluate; NaN for a class that no row fits. */
static void rank_rows(mmcl__metric *m, const struct problem *p, const mmcl_classifier *fitted, double *score, double *out)
{
    const mmcl__sample *s     = &m->sample;
    size_t              first = s->first[MMCL__EVALUATE], n = s->count[MMCL__EVALUATE];
    double             *row   = m->work;
    for (size_t i = 0; i < p->levels * n; i++)
        out[i] = NAN;
    for (size_t i = 0; i < n; i++) {
        standardise(m, s->rows + (first + i) * m->p, row);
        for (size_t c = 0; c < p->count; c++)
            score[c] = mmcl__dot_f64(m->k, fitted->weights + c * m->k, row) + fitted->intercepts[c];
        for (size_t c = 0; c < p->count; c++) { /* -log p = log1p(sum over the others of exp(s - s_c)) keeps the order near p = 1 */
            double others = 0;
            for (size_t o = 0; o < p->count; o++)
                others += o == c ? 0 : exp(fmin(score[o] - score[c], 700));
            out[p->names[c] * n + i] = -log1p(others);
        }
    }
}

static mmcl_status fit_factor(mmcl__metric *m, size_t factor, double *out)
{
    struct problem   p      = {0};
    mmcl_classifier *fitted = NULL;
    mmcl_logreg_info info;
    mmcl_status      status = open_problem(m, factor, &p);
    double          *score  = NULL;
    if (status == MMCL_OK && p.count < 2)
        status = MMCL_E_NUMERIC; /* a resample with one class */
    if (status == MMCL_OK) {
        /* Two classes: softmax has twice the penalty of the binary form at equal C. */
        const mmcl_logreg_options options = {.c = p.count == 2 ? 0.5 : 1, .tolerance = 1e-13, .max_iterations = 1000, .precision = MMCL_PRECISION_F64};
        const mmcl_labelled       train   = {{.data = p.rows, .rows = p.n, .cols = m->k, .dtype = MMCL_F64}, p.labels};
        score                             = mmcl__alloc(m->context, p.count, sizeof *score);
        status = score == NULL ? MMCL_E_NOMEM : mmcl__logreg_fit(&fitted, m->context, &train, p.count, &options, NULL, &info);
    }
    if (status == MMCL_OK)
        rank_rows(m, &p, fitted, score, out);
    mmcl__free(m->context, score, p.count, sizeof *score);
    mmcl__classifier_destroy(fitted);
    close_problem(m, &p);
    return status;
}

/* Area under the curve of a class against the rest, ties at half; below 0 where one of the two has no rows. */
static double area(const mmcl__metric *m, size_t factor, uint32_t class, const double *score, uint32_t *order)
{
    const mmcl__sample *s     = &m->sample;
    size_t              first = s->first[MMCL__EVALUATE], n = s->count[MMCL__EVALUATE];
    double              below = 0, pairs = 0, in = 0, out = 0;
    mmcl__sorted_order(n, score, order, order + n);
    for (size_t begin = 0, end; begin < n; begin = end) {
        double here[2] = {0, 0};
        for (end = begin; end < n && score[order[end]] == score[order[begin]]; end++)
            here[s->classes[(first + order[end]) * m->d + factor] == class] += s->weight[first + order[end]];
        pairs += here[1] * (below + here[0] / 2);
        below += here[0];
        in += here[1];
        out += here[0];
    }
    return in > 0 && out > 0 ? pairs / (in * out) : -1;
}

static mmcl_status measure_factor(mmcl__metric *m, size_t factor, uint32_t *order, double *value)
{
    size_t n = m->sample.count[MMCL__EVALUATE], begin = m->counts.first[factor], counted = 0;
    double sum = 0;
    for (size_t c = begin; c < m->counts.first[factor + 1]; c++) {
        const double *score = m->sample.fitted + c * n;
        double        one   = isnan(score[0]) ? -1 : area(m, factor, (uint32_t) (c - begin), score, order);
        sum += fmax(one, 0);
        counted += one >= 0;
    }
    *value = sum / (double) counted;
    return counted > 0 ? MMCL_OK : MMCL_E_NUMERIC;
}

mmcl_status mmcl__metric_explicitness(mmcl__metric *m, const mmcl_metric_details *details, double *value)
{
    mmcl__sample *s = &m->sample;
    size_t        n = s->count[MMCL__EVALUATE], size;
    mmcl_status   status = MMCL_OK;
    if (!mmcl__mul(m->counts.levels, n, &size))
        return MMCL_E_NOMEM;
    MMCL__TRY(mmcl__sample_keep(m, size));
    for (size_t j = 0; j < m->d && s->stale; j++)
        MMCL__TRY(fit_factor(m, j, s->fitted + m->counts.first[j] * n));
    s->stale        = false;
    uint32_t *order = mmcl__alloc(m->context, 2 * n, sizeof *order);
    if (order == NULL)
        return MMCL_E_NOMEM;
    *value = 0;
    for (size_t j = 0; j < m->d && status == MMCL_OK; j++) {
        double one = 0;
        status     = measure_factor(m, j, order, &one);
        *value += one / (double) m->d;
        if (details->per_factor != NULL && status == MMCL_OK)
            details->per_factor[j] = one;
    }
    mmcl__free(m->context, order, 2 * n, sizeof *order);
    return status;
}
