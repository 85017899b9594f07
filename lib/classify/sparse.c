#include "classify/sparse.h"

#include "linalg/blas.h"

#include <math.h>
#include <string.h>

#define SWEEPS 6          /* of coordinate descent in a class's step */
#define CYCLES_A_CHECK 10 /* over the classes, between two looks at the gap */
#define HALVINGS 20
#define SMALL 1e-11       /* of the objective: predicted changes that are taken without a line search */

/* -------------------------------------------------------------------------------------------------------- workspace --- */

static size_t weights_of(const mmcl__sparse *sparse)
{
    return sparse->classes * sparse->inputs;
}

static size_t work_of(const mmcl__sparse *sparse)
{
    return 5 * sparse->rows + 2 * sparse->inputs;
}

static bool allocate(mmcl__sparse *s)
{
    mmcl_context *context = s->context;
    size_t        scores = s->classes * s->rows;
    s->x        = mmcl__alloc(context, s->inputs * s->rows, sizeof *s->x);
    s->w        = mmcl__calloc(context, weights_of(s), sizeof *s->w);
    s->b        = mmcl__calloc(context, s->classes, sizeof *s->b);
    s->z        = mmcl__alloc(context, scores, sizeof *s->z);
    s->e        = mmcl__alloc(context, scores, sizeof *s->e);
    s->top      = mmcl__alloc(context, s->rows, sizeof *s->top);
    s->sum      = mmcl__alloc(context, s->rows, sizeof *s->sum);
    s->gradient = mmcl__alloc(context, weights_of(s), sizeof *s->gradient);
    s->active   = mmcl__calloc(context, weights_of(s), sizeof *s->active);
    s->work     = mmcl__alloc(context, work_of(s), sizeof *s->work);
    s->list     = mmcl__alloc(context, s->inputs, sizeof *s->list);
    return s->x != NULL && s->w != NULL && s->b != NULL && s->z != NULL && s->e != NULL && s->top != NULL && s->sum != NULL &&
           s->gradient != NULL && s->active != NULL && s->work != NULL && s->list != NULL;
}

mmcl_status mmcl__sparse_open(mmcl__sparse *sparse, mmcl_context *context, const mmcl__rowset *train, size_t classes, double r)
{
    *sparse = (mmcl__sparse){.context = context, .rows = train->rows, .inputs = train->cols, .classes = classes, .c = 1, .r = r,
                             .labels = train->labels};
    if (!allocate(sparse)) {
        mmcl__sparse_close(sparse);
        return MMCL_E_NOMEM;
    }
    for (size_t i = 0; i < train->rows; i++)
        for (size_t j = 0; j < train->cols; j++)
            sparse->x[j * train->rows + i] = (double) train->x[i * train->cols + j];
    for (size_t i = 0; i < train->rows; i++)
        sparse->b[train->labels[i]]++;
    for (size_t k = 0; k < classes; k++)
        sparse->b[k] = log(sparse->b[k] / (double) train->rows);
    return MMCL_OK;
}

void mmcl__sparse_close(mmcl__sparse *s)
{
    mmcl_context *context = s->context;
    size_t        scores = s->classes * s->rows;
    mmcl__free(context, s->x, s->inputs * s->rows, sizeof *s->x);
    mmcl__free(context, s->w, weights_of(s), sizeof *s->w);
    mmcl__free(context, s->b, s->classes, sizeof *s->b);
    mmcl__free(context, s->z, scores, sizeof *s->z);
    mmcl__free(context, s->e, scores, sizeof *s->e);
    mmcl__free(context, s->top, s->rows, sizeof *s->top);
    mmcl__free(context, s->sum, s->rows, sizeof *s->sum);
    mmcl__free(context, s->gradient, weights_of(s), sizeof *s->gradient);
    mmcl__free(context, s->active, weights_of(s), sizeof *s->active);
    mmcl__free(context, s->work, work_of(s), sizeof *s->work);
    mmcl__free(context, s->list, s->inputs, sizeof *s->list);
    *s = (mmcl__sparse){.context = context};
}

/* ------------------------------------------------------------------------------------------------------------ state --- */

static void exponentials(mmcl__sparse *s)
{
    size_t n = s->rows;
    memset(s->sum, 0, n * sizeof *s->sum);
    for (size_t i = 0; i < n; i++)
        s->top[i] = s->z[i];
    for (size_t k = 1; k < s->classes; k++)
        for (size_t i = 0; i < n; i++)
            s->top[i] = fmax(s->top[i], s->z[k * n + i]);
    for (size_t k = 0; k < s->classes; k++)
        for (size_t i = 0; i < n; i++) {
            s->e[k * n + i] = exp(s->z[k * n + i] - s->top[i]);
            s->sum[i] += s->e[k * n + i];
        }
}

static void scores(mmcl__sparse *s)
{
    size_t n = s->rows;
    mmcl__gemm_f64(false, false, s->classes, n, s->inputs, 1, s->w, s->inputs, s->x, n, 0, s->z, n);
    for (size_t k = 0; k < s->classes; k++)
        for (size_t i = 0; i < n; i++)
            s->z[k * n + i] += s->b[k];
    exponentials(s);
}

/* Sum of e over the classes but k: the difference keeps its digits unless k has most of it. */
static double others(const mmcl__sparse *s, size_t k, size_t i)
{
    double own = s->e[k * s->rows + i], rest = 0;
    if (own <= 0.5 * s->sum[i])
        return s->sum[i] - own;
    for (size_t l = 0; l < s->classes; l++)
        rest += l != k ? s->e[l * s->rows + i] : 0;
    return rest;
}

static double penalty_of(const mmcl__sparse *s, double w)
{
    return s->r * fabs(w) + 0.5 * (1 - s->r) * w * w;
}

static double loss(const mmcl__sparse *s)
{
    double sum = 0;
    for (size_t i = 0; i < s->rows; i++) {
        size_t y = (size_t) s->labels[i];
        sum += log1p(others(s, y, i) / s->e[y * s->rows + i]);
    }
    return sum;
}

static double objective(const mmcl__sparse *s)
{
    double penalty = 0;
    for (size_t p = 0; p < weights_of(s); p++)
        penalty += penalty_of(s, s->w[p]);
    return s->c * loss(s) + penalty;
}

/* --------------------------------------------------------------------------------------------------------------- gap --- */

static double entropy_term(double p)
{
    return p > 0 ? -p * log(p) : 0;
}

/* e becomes p - y. */
static void residuals(mmcl__sparse *s)
{
    for (size_t i = 0; i < s->rows; i++) {
        size_t y    = (size_t) s->labels[i];
        double rest = others(s, y, i), total = rest + s->e[y * s->rows + i];
        for (size_t k = 0; k < s->classes; k++)
            s->e[k * s->rows + i] = k == y ? -rest / total : s->e[k * s->rows + i] / total;
    }
}

/*
 * The dual at residuals share (p - y), which stay those of probabilities: C sum H(y + share (p - y)) less the penalty's conjugate at share
 * times the gradient, less what intercepts of up to `bound` could gain where the residuals of a class do not add up to 0.
 */
static double dual(const mmcl__sparse *s, double share, double bound)
{
    double entropy = 0, conjugate = 0, slack = 0;
    for (size_t k = 0; k < s->classes; k++) {
        double sum = 0;
        for (size_t i = 0; i < s->rows; i++) {
            double residual = share * s->e[k * s->rows + i];
            sum += residual;
            entropy += entropy_term((size_t) s->labels[i] == k ? 1 + residual : residual);
        }
        slack += fabs(sum);
    }
    for (size_t p = 0; p < weights_of(s) && s->r < 1; p++) {
        double over = fabs(share * s->gradient[p]) - s->r;
        conjugate += over > 0 ? over * over / (2 * (1 - s->r)) : 0;
    }
    return s->c * (entropy - bound * slack) - conjugate;
}

void mmcl__sparse_check(mmcl__sparse *s)
{
    double largest = 0, bound = 0;
    scores(s);
    s->objective = objective(s);
    residuals(s);
    mmcl__gemm_f64(false, true, s->classes, s->inputs, s->rows, s->c, s->e, s->rows, s->x, s->rows, 0, s->gradient, s->inputs);
    for (size_t p = 0; p < weights_of(s); p++)
        largest = fmax(largest, fabs(s->gradient[p]));
    for (size_t k = 0; k < s->classes; k++)
        bound = fmax(bound, 2 * fabs(s->b[k]) + 1);
    double share = s->r < 1 || largest <= s->r ? 1 : s->r / largest;
    s->gap       = (s->objective - dual(s, share, bound)) / s->objective;
    exponentials(s);
}

double mmcl__sparse_least_c(mmcl__sparse *s)
{
    double largest = 0, kept = s->c;
    s->c = 1;
    mmcl__sparse_check(s);
    s->c = kept;
    for (size_t p = 0; p < weights_of(s); p++)
        largest = fmax(largest, fabs(s->gradient[p]));
    return s->r / largest;
}

/* ---------------------------------------------------------------------------------------------------- a class's step --- */

/* What a step works on: the class's rows of the state, and its scratch. */
struct step {
    mmcl__sparse *s;
    size_t        k, count;        /* active inputs */
    double       *w, *z, *e;       /* of the class */
    double       *rest, *h, *t, *q; /* [rows] others' sum, p (1 - p), model's slope, change of the scores */
    double       *g;               /* [rows] p - y */
    double       *change, *curve;  /* [inputs] by place in the list */
    double        b_change;
};

static void expand(struct step *step)
{
    const mmcl__sparse *s = step->s;
    for (size_t i = 0; i < s->rows; i++) {
        step->rest[i] = others(s, step->k, i);
        double total = step->rest[i] + step->e[i], p = step->e[i] / total;
        step->g[i] = (size_t) s->labels[i] == step->k ? -step->rest[i] / total : p;
        step->h[i] = p * step->rest[i] / total;
        step->t[i] = step->g[i];
        step->q[i] = 0;
    }
    step->count = 0;
    for (size_t j = 0; j < s->inputs; j++)
        if (s->active[step->k * s->inputs + j])
            s->list[step->count++] = j;
    for (size_t a = 0; a < step->count; a++) {
        const double *x = s->x + s->list[a] * s->rows;
        double        sum = 0;
        for (size_t i = 0; i < s->rows; i++)
            sum += step->h[i] * x[i] * x[i];
        step->curve[a]  = s->c * sum + 1 - s->r;
        step->change[a] = 0;
    }
    step->b_change = 0;
}

static double soft(double value, double by)
{
    return value > by ? value - by : value < -by ? value + by : 0;
}

/* One sweep of coordinate descent on the quadratic model, over all active inputs or those with a weight; returns about what it gained. */
static double sweep(struct step *step, bool all)
{
    mmcl__sparse *s = step->s;
    double        gained = 0, slope = 0, curve = 0;
    for (size_t i = 0; i < s->rows; i++) {
        slope += step->t[i];
        curve += step->h[i];
    }
    if (curve > 1e-300) {
        double by = -slope / curve;
        for (size_t i = 0; i < s->rows; i++) {
            step->q[i] += by;
            step->t[i] += by * step->h[i];
        }
        step->b_change += by;
        gained += s->c * by * by * curve;
    }
    for (size_t a = 0; a < step->count; a++) {
        const double *x = s->x + s->list[a] * s->rows;
        double        w = step->w[s->list[a]] + step->change[a];
        if (!(step->curve[a] > 0) || (!all && w == 0))
            continue;
        double along = s->c * mmcl__dot_f64(s->rows, x, step->t) + (1 - s->r) * w;
        double by    = soft(step->curve[a] * w - along, s->r) / step->curve[a] - w;
        if (by == 0)
            continue;
        for (size_t i = 0; i < s->rows; i++) {
            step->q[i] += by * x[i];
            step->t[i] += by * step->h[i] * x[i];
        }
        step->change[a] += by;
        gained += by * by * step->curve[a];
    }
    return gained;
}

/* Change of the objective when the step is taken by `length`. */
static double rise(const struct step *step, double length)
{
    const mmcl__sparse *s = step->s;
    double              sum = 0, penalty = 0;
    for (size_t i = 0; i < s->rows; i++) { /* log(e exp(l q) + rest) - log(e + rest) - y l q */
        double q     = length * step->q[i], total = step->rest[i] + step->e[i];
        double ratio = step->e[i] * expm1(q) / total;
        sum += (size_t) s->labels[i] == step->k ? log1p(step->rest[i] * expm1(-q) / total) : log1p(ratio);
    }
    for (size_t a = 0; a < step->count; a++) {
        double w = step->w[s->list[a]];
        penalty += penalty_of(s, w + length * step->change[a]) - penalty_of(s, w);
    }
    return s->c * sum + penalty;
}

/* The directional derivative's bound: slope of the smooth part plus the change of the penalty. */
static double predicted(const struct step *step)
{
    const mmcl__sparse *s = step->s;
    double              sum = s->c * mmcl__dot_f64(s->rows, step->g, step->q);
    for (size_t a = 0; a < step->count; a++) {
        double w = step->w[s->list[a]], by = step->change[a];
        sum += (1 - s->r) * w * by + s->r * (fabs(w + by) - fabs(w));
    }
    return sum;
}

static void take(struct step *step, double length)
{
    mmcl__sparse *s = step->s;
    for (size_t i = 0; i < s->rows; i++) {
        step->z[i] += length * step->q[i];
        step->e[i] = exp(step->z[i] - s->top[i]);
        s->sum[i]  = step->rest[i] + step->e[i];
    }
    for (size_t a = 0; a < step->count; a++) {
        double *w = &step->w[s->list[a]];
        *w        = length == 1 && *w + step->change[a] == 0 ? 0 : *w + length * step->change[a];
    }
    s->b[step->k] += length * step->b_change;
}

/* Returns how much the objective fell. */
static double class_step(mmcl__sparse *s, size_t k)
{
    size_t      n    = s->rows;
    struct step step = {.s = s, .k = k, .w = s->w + k * s->inputs, .z = s->z + k * n, .e = s->e + k * n, .rest = s->work, .h = s->work + n,
                        .t = s->work + 2 * n, .q = s->work + 3 * n, .g = s->work + 4 * n, .change = s->work + 5 * n,
                        .curve = s->work + 5 * n + s->inputs};
    expand(&step);
    double first = sweep(&step, true), gained = first;
    for (int i = 1; i < SWEEPS && gained > 1e-2 * first; i++)
        gained = sweep(&step, false);
    double slope = predicted(&step), length = 1;
    if (!(slope < 0))
        return 0;
    if (-slope <= SMALL * s->objective) { /* below what differences of the objective can tell */
        take(&step, 1);
        return -slope;
    }
    for (int i = 0; i < HALVINGS; i++, length *= 0.5) {
        double change = rise(&step, length);
        if (change <= 1e-4 * length * slope) {
            take(&step, length);
            return -change;
        }
    }
    return 0;
}

/* -------------------------------------------------------------------------------------------------- the free shift --- */

/* Interval of the derivative of sum_k penalty(w_k - shift) by -shift. */
static void slopes(const mmcl__sparse *s, size_t j, double shift, double *low, double *high)
{
    double sum = 0, zero = 0;
    for (size_t k = 0; k < s->classes; k++) {
        double w = s->w[k * s->inputs + j] - shift;
        sum += (1 - s->r) * w + s->r * ((w > 0) - (w < 0));
        zero += w == 0 ? s->r : 0;
    }
    *low  = sum - zero;
    *high = sum + zero;
}

/* The shift of all classes' weights on input j that costs least; the probabilities do not see it. */
static double best_shift(const mmcl__sparse *s, size_t j)
{
    double low, high, least = 0, most = 0;
    slopes(s, j, 0, &low, &high);
    if (low <= 0 && high >= 0)
        return 0;
    for (size_t k = 0; k < s->classes; k++) {
        double w = s->w[k * s->inputs + j];
        slopes(s, j, w, &low, &high);
        if (low <= 0 && high >= 0)
            return w;
        least = fmin(least, w);
        most  = fmax(most, w);
    }
    for (int i = 0; i < 100 && least < most; i++) {
        double middle = 0.5 * (least + most);
        slopes(s, j, middle, &low, &high);
        *(low > 0 ? &least : &most) = middle;
    }
    return 0.5 * (least + most);
}

static double shift_all(mmcl__sparse *s)
{
    double gained = 0;
    for (size_t j = 0; j < s->inputs; j++) {
        double shift = best_shift(s, j);
        for (size_t k = 0; k < s->classes && shift != 0; k++) {
            double *w = &s->w[k * s->inputs + j], before = *w;
            *w -= shift;
            gained += penalty_of(s, before) - penalty_of(s, *w);
            s->active[k * s->inputs + j] = 1;
        }
    }
    return gained;
}

/* ------------------------------------------------------------------------------------------------------------ solve --- */

/* Inputs that would leave 0 come in; those that are 0 and would stay go. */
static void screen(mmcl__sparse *s)
{
    for (size_t p = 0; p < weights_of(s); p++)
        s->active[p] = s->w[p] != 0 || fabs(s->gradient[p]) > s->r * (1 - 1e-3);
}

static double round_of_cycles(mmcl__sparse *s, double wanted)
{
    double fallen = 0;
    for (int i = 0; i < CYCLES_A_CHECK; i++) {
        double cycle = 0;
        for (size_t k = 0; k < s->classes; k++)
            cycle += class_step(s, k);
        cycle += shift_all(s);
        fallen += cycle;
        s->cycles++;
        if (cycle <= 0.02 * wanted)
            break;
    }
    return fallen;
}

static void center_intercepts(mmcl__sparse *s)
{
    double mean = 0;
    for (size_t k = 0; k < s->classes; k++)
        mean += s->b[k] / (double) s->classes;
    for (size_t k = 0; k < s->classes; k++)
        s->b[k] -= mean;
}

mmcl_status mmcl__sparse_solve(mmcl__sparse *s, double tolerance, uint64_t max_cycles, mmcl_stop_reason *stop)
{
    mmcl__operation operation;
    mmcl_status     status = MMCL_OK;
    uint64_t        began = s->cycles;
    size_t          stalled = 0;
    *stop = MMCL_STOP_TOLERANCE;
    mmcl__begin(&operation, s->context, "sparse logistic regression", max_cycles);
    for (;;) {
        center_intercepts(s);
        mmcl__sparse_check(s);
        status = isfinite(s->objective) ? mmcl__tick(&operation, s->cycles - began, s->gap)
                                        : mmcl__fail(s->context, MMCL_E_NUMERIC, "the objective overflows at c = %g", s->c);
        if (status != MMCL_OK || s->gap <= tolerance)
            break;
        if (s->cycles - began >= max_cycles || stalled > 2) {
            *stop = stalled > 2 ? MMCL_STOP_NO_PROGRESS : MMCL_STOP_ITERATIONS;
            break;
        }
        screen(s);
        double fallen = round_of_cycles(s, s->gap * s->objective);
        stalled       = fallen <= 1e-22 * s->objective ? stalled + 1 : 0;
    }
    return mmcl__end(&operation, status);
}
