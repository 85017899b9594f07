#include "model/tail.h"

#include <math.h>

/* Lower series: P(a, s) = s^a e^-s sum_k s^k / (a (a + 1) ... (a + k)); log_norm = a log s - s - lgamma(a). */
static double lower_mass(double a, double s, double log_norm)
{
    double term = 1 / a, sum = term;
    for (int k = 1; k < 500 && term > sum * 1e-17; k++) {
        term *= s / (a + k);
        sum += term;
    }
    return exp(log_norm) * sum;
}

/* log Q(a, s) by the continued fraction, in Lentz's way from the front. */
static double log_upper(double a, double s, double log_norm)
{
    const double tiny = 1e-300;
    double       b = s + 1 - a, c = 1 / tiny, d = 1 / b, f = d;
    for (int k = 1; k < 1000; k++) {
        double numerator = -k * (k - a), change;
        b += 2;
        d      = numerator * d + b;
        d      = 1 / (fabs(d) < tiny ? tiny : d);
        c      = b + numerator / c;
        c      = fabs(c) < tiny ? tiny : c;
        change = d * c;
        f *= change;
        if (fabs(change - 1) < 1e-16)
            break;
    }
    return log_norm + log(f);
}

double mmcl__tail_exact_h(double beta, double t)
{
    double a = 1 / beta, s = pow(t, beta), log_norm = log(t) - s - lgamma(a); /* a log s = log t */
    return s < a + 1 ? -log1p(-lower_mass(a, s, log_norm)) : -log_upper(a, s, log_norm);
}

/* d log h / d log t = t q(t) / (Q(t) h), q = beta exp(-t^beta) / Gamma(1/beta). */
static double log_slope(double beta, double log_t, double h)
{
    double s = exp(beta * log_t);
    return exp(log_t + log(beta) - s - lgamma(1 / beta) + h) / h;
}

static mmcl_status create_table(mmcl__hermite *out, mmcl_context *context, double first, double last, double step)
{
    out->n            = (size_t) ceil((last - first) / step) + 2;
    out->first        = first;
    out->inverse_step = 1 / step;
    out->nodes        = mmcl__alloc(context, out->n, 2 * sizeof *out->nodes);
    return out->nodes != NULL ? MMCL_OK : MMCL_E_NOMEM;
}

static void fill_forward(mmcl__hermite *table, double beta)
{
    double step = 1 / table->inverse_step;
    for (size_t i = 0; i < table->n; i++) {
        double x = table->first + (double) i * step, h = mmcl__tail_exact_h(beta, exp(x));
        table->nodes[2 * i]     = log(h);
        table->nodes[2 * i + 1] = log_slope(beta, x, h) * step;
    }
}

/* Newton's method on log h(log t) = y, from the node before: the function is increasing and nearly straight. */
static void fill_inverse(mmcl__hermite *table, double beta)
{
    double step = 1 / table->inverse_step, x = table->first + lgamma(1 + 1 / beta); /* h = t / Gamma(1 + 1/beta) for small t */
    for (size_t i = 0; i < table->n; i++) {
        double y = table->first + (double) i * step, slope = 1;
        for (int k = 0; k < 40; k++) {
            double h = mmcl__tail_exact_h(beta, exp(x)), change;
            slope    = log_slope(beta, x, h);
            change   = (y - log(h)) / slope;
            x += change;
            if (fabs(change) < 1e-15 * fmax(1, fabs(x)))
                break;
        }
        table->nodes[2 * i]     = x;
        table->nodes[2 * i + 1] = step / slope;
        x += table->nodes[2 * i + 1];
    }
}

/* Uniform draws of 52 bits ask for h between 2^-53 and 37, the copula's normals for no more; log h is straight below 1e-13. */
#define HIGHEST_H 64

mmcl_status mmcl__tail_create(mmcl__tail *out, mmcl_context *context, double beta)
{
    *out = (mmcl__tail){.beta = beta, .exponential = beta == 1};
    if (out->exponential)
        return MMCL_OK;
    double lowest = -32 / fmin(beta, 1), highest = log(HIGHEST_H + 8) / beta + 0.5; /* h exceeds t^beta - a few */
    MMCL__TRY(create_table(&out->log_h, context, lowest, highest, 1 / (64 * fmax(1, beta / 2))));
    fill_forward(&out->log_h, beta);
    MMCL__TRY(create_table(&out->log_t, context, lowest - lgamma(1 + 1 / beta), log(HIGHEST_H), 1.0 / 64));
    fill_inverse(&out->log_t, beta);
    return MMCL_OK;
}

void mmcl__tail_destroy(mmcl__tail *tail, mmcl_context *context)
{
    mmcl__free(context, tail->log_h.nodes, tail->log_h.n, 2 * sizeof(double));
    mmcl__free(context, tail->log_t.nodes, tail->log_t.n, 2 * sizeof(double));
    *tail = (mmcl__tail){0};
}

double mmcl__tail_h(const mmcl__tail *tail, double t)
{
    return tail->exponential ? t : exp(mmcl__hermite_at(&tail->log_h, log(t)));
}

double mmcl__tail_t(const mmcl__tail *tail, double h)
{
    return tail->exponential ? h : exp(mmcl__hermite_at(&tail->log_t, log(h)));
}
