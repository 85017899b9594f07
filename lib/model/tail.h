/*
 * The half-line law with density proportional to exp(-t^beta), t >= 0 (half normal for beta 2, exponential for beta 1): with its
 * survival function Q, h = -log Q(t) is a unit exponential variable, so t(h) draws from it and h(t) cuts it anywhere, both exactly.
 *
 * log h is a smooth function of log t, with slope 1 at the left and beta at the right, and so is its inverse: cubic Hermite tables of
 * both, in equal steps. Q(t) = Gamma(1/beta, t^beta) / Gamma(1/beta), by series and continued fraction (DLMF 8.11.4, 8.9.2).
 */
#ifndef MMCL_MODEL_TAIL_H
#define MMCL_MODEL_TAIL_H

#include "core/core.h"

typedef struct mmcl__hermite {
    double  first, inverse_step; /* of the argument */
    size_t  n;                   /* nodes, at least 2 */
    double *nodes;               /* [n, 2] value, and slope times step */
} mmcl__hermite;

typedef struct mmcl__tail {
    double        beta;
    bool          exponential; /* beta 1: h = t, no tables */
    mmcl__hermite log_h;       /* of log t */
    mmcl__hermite log_t;       /* of log h */
} mmcl__tail;

mmcl_status mmcl__tail_create(mmcl__tail *out, mmcl_context *context, double beta);
void        mmcl__tail_destroy(mmcl__tail *tail, mmcl_context *context);

/* h(t) and t(h) without tables, for the tables and for tests. */
double mmcl__tail_exact_h(double beta, double t);

/* By the tables; arguments above 0. What the kernels compute, one value at a time. */
double mmcl__tail_h(const mmcl__tail *tail, double t);
double mmcl__tail_t(const mmcl__tail *tail, double h);

/* Below and above the table a straight line goes on, as the function does. */
static inline double mmcl__hermite_at(const mmcl__hermite *table, double x)
{
    double q = (x - table->first) * table->inverse_step, last = (double) (table->n - 1);
    double inside = q < 0 ? 0 : q > last ? last : q;
    size_t i      = (size_t) (int64_t) inside;
    i             = i > table->n - 2 ? table->n - 2 : i;
    const double *node = table->nodes + 2 * i;
    double        f = inside - (double) (int64_t) i, v0 = node[0], s0 = node[1], rise = node[2] - v0, s1 = node[3];
    double        inner = v0 + f * (s0 + f * ((3 * rise - 2 * s0 - s1) + f * (s0 + s1 - 2 * rise)));
    return inner + (q - inside) * (q < 0 ? s0 : s1);
}

#endif
