/*
 * SAP for discrete factors (Kumar et al. 2018): the share of rows whose class a linear support vector machine tells from one code alone,
 * the best code's less the second best's. The machine is liblinear's of scikit-learn's LinearSVC(C=0.01, class_weight="balanced"): squared
 * hinge, the intercept penalised as the weight is, one class against the rest; solved exactly, by Newton steps in two variables.
 */
#include "metrics/metrics.h"

#include <math.h>
#include <string.h>

#define COST      0.01
#define MOST_STEPS 100

/* Rows that fit, for one code and one class of one factor. */
struct machine {
    const mmcl__metric *m;
    size_t              code, factor;
    uint32_t            positive;
    double              cost[2]; /* of a row outside and inside of the class */
};

typedef struct derivatives {
    double value, g[2], h[3]; /* in weight and intercept; h: ww, wb, bb */
} derivatives;

/* 1/2 (w^2 + b^2) + sum of cost max(0, 1 - y (w x + b))^2. */
static derivatives evaluate(const struct machine *v, double w, double b)
{
    const mmcl__metric *m = v->m;
    const mmcl__sample *s = &m->sample;
    size_t              first = s->first[MMCL__FIT], end = first + s->count[MMCL__FIT];
    derivatives         at = {.value = (w * w + b * b) / 2, .g = {w, b}, .h = {1, 0, 1}};
    for (size_t i = first; i < end; i++) {
        bool   inside = s->classes[i * m->d + v->factor] == v->positive;
        double x = s->rows[i * m->p + v->code], y = inside ? 1 : -1, slack = 1 - y * (w * x + b), cost = v->cost[inside] * s->weight[i];
        if (slack <= 0)
            continue;
        at.value += cost * slack * slack;
        at.g[0] -= 2 * cost * slack * y * x;
        at.g[1] -= 2 * cost * slack * y;
        at.h[0] += 2 * cost * x * x;
        at.h[1] += 2 * cost * x;
        at.h[2] += 2 * cost;
    }
    return at;
}

/* The objective is convex and quadratic in pieces: Newton's steps, halved where one leads up, end in the piece of the optimum. */
static void train(const struct machine *v, double *w, double *b)
{
    derivatives at = evaluate(v, *w = 0, *b = 0);
    for (int step = 0; step < MOST_STEPS; step++) {
        double determinant = at.h[0] * at.h[2] - at.h[1] * at.h[1], size = 1;
        double dw = (at.h[2] * at.g[0] - at.h[1] * at.g[1]) / determinant, db = (at.h[0] * at.g[1] - at.h[1] * at.g[0]) / determinant;
        if (!(at.g[0] * dw + at.g[1] * db > 1e-20 * at.value))
            return;
        for (; size > 1e-6; size /= 2) {
            derivatives next = evaluate(v, *w - size * dw, *b - size * db);
            if (next.value < at.value) {
                *w -= size * dw;
                *b -= size * db;
                at = next;
                break;
            }
        }
        if (size <= 1e-6)
            return;
    }
}

/* Weights [levels, 2] of a factor's machines on one code; a class without rows gets (0, -infinity). `weight` [levels] is scratch. */
static void train_factor(const mmcl__metric *m, size_t code, size_t factor, double *weight, double *out)
{
    const mmcl__sample *s = &m->sample;
    size_t              first = s->first[MMCL__FIT], end = first + s->count[MMCL__FIT], present = 0;
    size_t              levels = m->counts.first[factor + 1] - m->counts.first[factor];
    memset(weight, 0, levels * sizeof *weight);
    for (size_t i = first; i < end; i++)
        weight[s->classes[i * m->d + factor]] += s->weight[i];
    for (size_t c = 0; c < levels; c++)
        present += weight[c] > 0;
    double total = m->part[MMCL__FIT].weight / (double) present;
    for (size_t c = 0; c < levels; c++) {
        struct machine v = {.m = m, .code = code, .factor = factor, .positive = (uint32_t) c};
        out[2 * c]       = 0;
        out[2 * c + 1]   = -INFINITY;
        if (weight[c] == 0)
            continue;
        /* liblinear weighs the classes of a pair both, but the rest of several as it is. */
        v.cost[1] = COST * total / weight[c];
        v.cost[0] = present == 2 ? COST * total / (m->part[MMCL__FIT].weight - weight[c]) : COST;
        train(&v, &out[2 * c], &out[2 * c + 1]);
    }
}

/* A pair of (code, factor). */
static void train_pair(void *argument, size_t i, uint32_t worker)
{
    mmcl__metric *m    = argument;
    size_t        code = i / m->d, factor = i % m->d, levels = m->counts.levels;
    double       *out  = m->sample.fitted + 3 * (code * levels + m->counts.first[factor]);
    size_t        own  = m->counts.first[factor + 1] - m->counts.first[factor];
    (void) worker;
    train_factor(m, code, factor, out + 2 * own, out);
}

static double accuracy(const mmcl__metric *m, size_t code, size_t factor)
{
    const mmcl__sample *s     = &m->sample;
    const double       *line  = s->fitted + 3 * (code * m->counts.levels + m->counts.first[factor]);
    size_t              first = s->first[MMCL__EVALUATE], end = first + s->count[MMCL__EVALUATE];
    size_t              levels = m->counts.first[factor + 1] - m->counts.first[factor];
    double              right  = 0;
    for (size_t i = first; i < end; i++) {
        double x    = s->rows[i * m->p + code];
        size_t best = 0;
        for (size_t c = 1; c < levels; c++)
            if (line[2 * c] * x + line[2 * c + 1] > line[2 * best] * x + line[2 * best + 1])
                best = c;
        right += s->classes[i * m->d + factor] == best ? s->weight[i] : 0;
    }
    return right / m->part[MMCL__EVALUATE].weight;
}

/* A constant code tells nothing and counts 0, as for continuous factors. */
static void judge_pair(void *argument, size_t i, uint32_t worker)
{
    mmcl__metric *m    = argument;
    size_t        code = i / m->d;
    bool          flat = mmcl__metric_constant(m, &m->part[MMCL__FIT], code);
    (void) worker;
    m->map[i] = flat ? 0 : accuracy(m, code, i % m->d);
}

mmcl_status mmcl__metric_sap_discrete(mmcl__metric *m, const mmcl_metric_details *details, double *value)
{
    size_t size, levels = m->counts.levels;
    for (size_t j = 0; j < m->d; j++)
        if (m->counts.first[j + 1] - m->counts.first[j] > MMCL__MOST_CLASSES)
            return mmcl__fail(m->context, MMCL_E_NUMERIC, "factors: column %zu spans %zu classes, expected at most %d for SAP", j,
                              m->counts.first[j + 1] - m->counts.first[j], MMCL__MOST_CLASSES);
    if (!mmcl__mul(3 * m->k, levels, &size))
        return MMCL_E_NOMEM;
    MMCL__TRY(mmcl__sample_keep(m, size));
    if (m->sample.stale)
        MMCL__TRY(mmcl__parallel(m->context, m->k * m->d, train_pair, m));
    m->sample.stale = false;
    MMCL__TRY(mmcl__parallel(m->context, m->k * m->d, judge_pair, m));
    if (details->matrix != NULL)
        memcpy(details->matrix, m->map, m->k * m->d * sizeof(double));
    *value = mmcl__metric_gap(m, m->map, NULL, details->per_factor);
    return MMCL_OK;
}
