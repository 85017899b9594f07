/*
 * The minimisation: L-BFGS in rotated coordinates with float32 products, and float64 ones for the last digits. Where classes overlap and C
 * is large, the curvature spans more orders than L-BFGS copes with, and truncated Newton steps finish the work.
 * Notation: g gradient, W weights [classes, axes], b intercepts; formulas: doc/numerics-probe.md.
 */
#include "classify/logreg.h"

#include "linalg/blas.h"

#include <math.h>
#include <string.h>

#define RESCALE 20       /* iterations between estimates of the diagonal */
#define PATIENCE 40      /* iterations without a smaller gap after which the arithmetic is at its limit */
#define LBFGS_MOST 400   /* iterations before Newton's method takes over */
#define CG_MOST 400      /* products with the second derivative for one Newton step */
#define CG_RESIDUAL 0.01 /* of the Newton equations, relative, in the preconditioner's norm */
#define TRIALS 20        /* steps that a line search tries */
#define CURVATURE 0.9    /* of the Wolfe conditions (Nocedal and Wright 2006, 3.1) */
#define DECREASE 1e-4

struct state {
    mmcl__logreg  *logreg;
    double         c, tolerance;
    mmcl_precision precision; /* of the products */
    double        *x, *gradient, *next, *next_gradient, *direction;
    double        *residual, *search, *product; /* of conjugate gradients */
    mmcl__softmax_value value, next_value;
    double         gap, best_gap;
    uint64_t       passes, best_at; /* iteration of best_gap */
};

static mmcl_status evaluate(struct state *state, const double *x, double *gradient, mmcl__softmax_value *value)
{
    mmcl__logreg *logreg = state->logreg;
    state->passes++;
    MMCL__TRY(mmcl__softmax_pass(&logreg->softmax, state->precision, state->c, x, gradient, value));
    if (!logreg->intercept)
        memset(gradient + logreg->classes * logreg->rotation.axes, 0, logreg->classes * sizeof *gradient);
    return MMCL_OK;
}

/* Mean of 1 - sum_k p_k^2 over the rows, kept off 0, where nothing would be left of the loss's curvature. */
static double mean_spread(const struct state *state)
{
    return fmax(state->value.spread / (double) state->logreg->rotation.rows, 1e-10);
}

/* Curvature of intercept k: c times its class's share of the spread. */
static double intercept_curvature(const struct state *state, size_t k)
{
    return state->c * state->logreg->counts[k] * mean_spread(state);
}

/*
 * Diagonal of the curvature, 1 + c (n_k / n) spread scatter_j: Boehning's bound (1992) with its 1/2 replaced by the present mean
 * of p (1 - p), split over the classes by their rows.
 */
static mmcl_status rescale(struct state *state)
{
    mmcl__logreg         *logreg   = state->logreg;
    const mmcl__rotation *rotation = &logreg->rotation;
    double               *inverse  = logreg->lbfgs.inverse_diagonal, *intercepts = inverse + logreg->classes * rotation->axes;
    for (size_t k = 0; k < logreg->classes; k++) {
        double weight = intercept_curvature(state, k) / (double) rotation->rows;
        for (size_t j = 0; j < rotation->axes; j++)
            inverse[k * rotation->axes + j] = 1 / (1 + weight * rotation->scatter[j]);
        intercepts[k] = 1 / intercept_curvature(state, k);
    }
    return mmcl__lbfgs_rescale(&logreg->lbfgs);
}

/*
 * Bound of (f - f*) / f*. The objective is strongly convex in W with modulus 1, so |g_W|^2 / 2 bounds f - f* where g_b = 0: it is the
 * duality gap at the dual point p. What the intercepts can still gain is added as their Newton decrement.
 */
static double relative_gap(const struct state *state)
{
    const mmcl__logreg *logreg  = state->logreg;
    size_t              weights = logreg->classes * logreg->rotation.axes;
    double              gap     = 0.5 * mmcl__dot_f64(weights, state->gradient, state->gradient);
    for (size_t k = 0; k < logreg->classes; k++)
        gap += state->gradient[weights + k] * state->gradient[weights + k] / intercept_curvature(state, k);
    return gap < state->value.objective ? gap / (state->value.objective - gap) : INFINITY;
}

/* Changes of a score by rounding to float32, at most: the longest row times the longest weights times the unit. */
static double score_error(const struct state *state)
{
    const mmcl__logreg *logreg  = state->logreg;
    size_t              axes    = logreg->rotation.axes;
    double              longest = 0;
    for (size_t k = 0; k < logreg->classes; k++)
        longest = fmax(longest, mmcl__dot_f64(axes, state->x + k * axes, state->x + k * axes));
    return 2 * sqrt(longest) * logreg->rotation.largest * 0x1p-24;
}

static mmcl_status switch_to_f64(struct state *state, uint64_t iteration)
{
    state->precision = MMCL_PRECISION_F64;
    MMCL__TRY(evaluate(state, state->x, state->gradient, &state->value));
    state->gap = state->best_gap = relative_gap(state);
    state->best_at = iteration;
    return MMCL_OK;
}

/* ----------------------------------------------------------------------------------------------------- line search --- */

/* A step and the slope there; the ends of a bracket. */
struct end {
    double step, slope;
};

/* Where the slope would vanish were it linear between the ends, kept off both. */
static double secant(struct end low, struct end high)
{
    double width = high.step - low.step, share = low.slope / (low.slope - high.slope);
    return low.step + width * (isfinite(share) ? fmin(fmax(share, 0.1), 0.9) : 0.1);
}

/* Beyond the longest step known to be too short. */
static double extrapolate(struct end previous, struct end low)
{
    double ratio = low.slope / (previous.slope - low.slope), growth = low.step - previous.step;
    return low.step + growth * (ratio > 0 && isfinite(ratio) ? fmin(fmax(ratio, 1), 9) : 9);
}

/*
 * Finds a step along `direction` by the slope alone as long as it is negative: a convex function has then decreased, whatever the
 * rounding of its values says. *length is 0 when nothing was found.
 */
static mmcl_status line_search(struct state *state, double slope, double *length)
{
    size_t     size  = mmcl__logreg_size(state->logreg);
    double     slack = (state->precision == MMCL_PRECISION_F32 ? 1e-7 : 1e-14) * state->value.objective, step = 1;
    struct end low = {0, slope}, high = {INFINITY, 0};
    *length = 0;
    for (int trial = 0; trial < TRIALS; trial++) {
        memcpy(state->next, state->x, size * sizeof *state->next);
        mmcl__axpy_f64(size, step, state->direction, state->next);
        MMCL__TRY(evaluate(state, state->next, state->next_gradient, &state->next_value));
        struct end here = {step, mmcl__dot_f64(size, state->next_gradient, state->direction)};
        bool       bad  = !isfinite(state->next_value.objective) || !isfinite(here.slope);
        bool rises = state->next_value.objective > state->value.objective + DECREASE * step * slope + slack;
        if (bad || (here.slope > 0 && rises)) {
            high = (struct end){step, bad ? INFINITY : here.slope};
            step = secant(low, high);
        } else if (here.slope < CURVATURE * slope) {
            step = isinf(high.step) ? extrapolate(low, here) : secant(here, high);
            low  = here;
        } else {
            *length = step;
            return MMCL_OK;
        }
    }
    return MMCL_OK;
}

/* Moves to `next`. */
static void advance(struct state *state)
{
    double *x = state->x, *gradient = state->gradient;
    state->x             = state->next;
    state->gradient      = state->next_gradient;
    state->next          = x;
    state->next_gradient = gradient;
    state->value         = state->next_value;
    state->gap           = relative_gap(state);
}

/* One iteration of L-BFGS; *moved is false when the line search found nothing lower. */
static mmcl_status iterate(struct state *state, bool *moved)
{
    mmcl__lbfgs *lbfgs = &state->logreg->lbfgs;
    double       slope, length;
    MMCL__TRY(mmcl__lbfgs_direction(lbfgs, state->gradient, state->direction, &slope));
    if (!(slope < 0)) {
        mmcl__lbfgs_forget(lbfgs);
        MMCL__TRY(mmcl__lbfgs_direction(lbfgs, state->gradient, state->direction, &slope));
    }
    MMCL__TRY(line_search(state, slope, &length));
    *moved = length > 0;
    if (*moved) {
        MMCL__TRY(mmcl__lbfgs_push(lbfgs, length, state->direction, state->gradient, state->next_gradient));
        advance(state);
    }
    return MMCL_OK;
}

/* ---------------------------------------------------------------------------------------------------------- Newton --- */

/* out = D in, the preconditioner of L-BFGS. */
static void precondition(const struct state *state, const double *in, double *out)
{
    const double *inverse = state->logreg->lbfgs.inverse_diagonal;
    for (size_t i = 0; i < mmcl__logreg_size(state->logreg); i++)
        out[i] = inverse[i] * in[i];
}

static mmcl_status curvature(struct state *state, const double *along, double *out)
{
    mmcl__logreg *logreg = state->logreg;
    state->passes++;
    MMCL__TRY(mmcl__softmax_curvature(&logreg->softmax, state->c, state->x, along, out));
    if (!logreg->intercept)
        memset(out + logreg->classes * logreg->rotation.axes, 0, logreg->classes * sizeof *out);
    return mmcl__check_cancel(logreg->context);
}

/*
 * direction = -H^-1 gradient by conjugate gradients (Hestenes and Stiefel 1952), up to a relative residual: a descent direction wherever it
 * stops. *slope = gradient . direction; -slope / 2 estimates what is left to gain, as at the minimum of a parabola.
 */
static mmcl_status newton_direction(struct state *state, double *slope)
{
    size_t  size = mmcl__logreg_size(state->logreg);
    double *d = state->direction, *r = state->residual, *p = state->search, *product = state->product;
    memset(d, 0, size * sizeof *d);
    for (size_t i = 0; i < size; i++)
        r[i] = -state->gradient[i];
    precondition(state, r, p);
    double square = mmcl__dot_f64(size, r, p), enough = CG_RESIDUAL * CG_RESIDUAL * square;
    for (size_t i = 0; i < CG_MOST && square > enough; i++) {
        MMCL__TRY(curvature(state, p, product));
        double bend = mmcl__dot_f64(size, p, product);
        if (!(bend > 0))
            break;
        mmcl__axpy_f64(size, square / bend, p, d);
        mmcl__axpy_f64(size, -square / bend, product, r);
        precondition(state, r, product);
        double next = mmcl__dot_f64(size, r, product);
        mmcl__scale_f64(size, next / square, p);
        mmcl__axpy_f64(size, 1, product, p);
        square = next;
    }
    *slope = mmcl__dot_f64(size, state->gradient, d);
    return MMCL_OK;
}

/*
 * Newton's method from where L-BFGS stopped. When a full step is taken that promises less than the tolerance, what remains after it is
 * a vanishing part of that promise.
 */
static mmcl_status newton(struct state *state, mmcl__operation *operation, uint64_t max_iterations, mmcl_logreg_info *info)
{
    info->stop = MMCL_STOP_ITERATIONS;
    while (info->iterations < max_iterations && info->stop == MMCL_STOP_ITERATIONS) {
        double slope, length = 0;
        MMCL__TRY(rescale(state));
        MMCL__TRY(newton_direction(state, &slope));
        double promise = -slope / 2, gap = promise < state->value.objective ? promise / (state->value.objective - promise) : INFINITY;
        if (slope < 0)
            MMCL__TRY(line_search(state, slope, &length));
        if (length > 0)
            advance(state);
        state->gap = fmin(state->gap, gap);
        info->iterations++;
        if (length == 0)
            info->stop = state->gap <= state->tolerance ? MMCL_STOP_TOLERANCE : MMCL_STOP_NO_PROGRESS;
        else if (length == 1 && state->gap <= state->tolerance)
            info->stop = MMCL_STOP_TOLERANCE;
        MMCL__TRY(mmcl__tick(operation, info->iterations, state->gap));
    }
    return MMCL_OK;
}

/* ------------------------------------------------------------------------------------------------------------ loop --- */

/* Whether to stop before iteration `iteration`; turns to float64 products when float32 ones have done what they can. */
static mmcl_status decide(struct state *state, uint64_t iteration, bool moved, bool *stop, mmcl_stop_reason *reason)
{
    if (state->gap < state->best_gap || isinf(state->gap)) { /* far away there is no bound yet to be impatient about */
        state->best_gap = state->gap;
        state->best_at  = iteration;
    }
    bool reached = state->gap <= state->tolerance, stuck = !moved || iteration - state->best_at > PATIENCE || iteration >= LBFGS_MOST;
    bool exact   = state->precision == MMCL_PRECISION_F64 || score_error(state) <= 0.1 * state->tolerance;
    if ((reached && !exact) || (stuck && state->precision == MMCL_PRECISION_F32)) {
        if (!moved)
            mmcl__lbfgs_forget(&state->logreg->lbfgs);
        MMCL__TRY(switch_to_f64(state, iteration));
        reached = state->gap <= state->tolerance;
        stuck   = false;
    }
    *stop   = reached || stuck;
    *reason = reached ? MMCL_STOP_TOLERANCE : MMCL_STOP_NO_PROGRESS;
    return MMCL_OK;
}

static mmcl_status lbfgs(struct state *state, mmcl__operation *operation, uint64_t max_iterations, mmcl_logreg_info *info)
{
    bool moved = true, stop = false;
    mmcl__lbfgs_forget(&state->logreg->lbfgs);
    for (info->iterations = 0;; info->iterations++) {
        MMCL__TRY(mmcl__tick(operation, info->iterations, state->gap));
        MMCL__TRY(decide(state, info->iterations, moved, &stop, &info->stop));
        if (stop)
            break;
        if (info->iterations == max_iterations) {
            info->stop = MMCL_STOP_ITERATIONS;
            break;
        }
        if (info->iterations % RESCALE == 0)
            MMCL__TRY(rescale(state));
        MMCL__TRY(iterate(state, &moved));
    }
    return MMCL_OK;
}

static mmcl_status run(struct state *state, mmcl__operation *operation, uint64_t max_iterations, mmcl_logreg_info *info)
{
    MMCL__TRY(evaluate(state, state->x, state->gradient, &state->value));
    if (!isfinite(state->value.objective))
        return mmcl__fail(state->logreg->context, MMCL_E_NUMERIC, "the objective overflows at c = %g", state->c);
    state->gap = state->best_gap = relative_gap(state);
    MMCL__TRY(lbfgs(state, operation, max_iterations, info));
    return info->stop == MMCL_STOP_NO_PROGRESS ? newton(state, operation, max_iterations, info) : MMCL_OK;
}

static void report(const struct state *state, mmcl_logreg_info *info)
{
    size_t size         = mmcl__logreg_size(state->logreg);
    info->c             = state->c;
    info->objective     = state->value.objective;
    info->gradient_norm = sqrt(mmcl__dot_f64(size, state->gradient, state->gradient));
    info->gap           = state->gap;
    info->passes        = state->passes;
    if (info->stop != MMCL_STOP_TOLERANCE)
        mmcl__log(state->logreg->context, MMCL_LOG_WARNING,
                  "logistic regression, c = %g: stopped at a relative gap of %.2g after %llu iterations", info->c, info->gap,
                  (unsigned long long) info->iterations);
}

mmcl_status mmcl__logreg_solve(mmcl__logreg *logreg, const mmcl_logreg_options *options, double *solution, mmcl_logreg_info *info)
{
    size_t       size  = mmcl__logreg_size(logreg);
    double       began = mmcl__seconds();
    struct state state = {
        .logreg        = logreg,
        .c             = options->c,
        .tolerance     = options->tolerance,
        .precision     = options->precision,
        .x             = solution,
        .gradient      = logreg->vectors,
        .next          = logreg->vectors + size,
        .next_gradient = logreg->vectors + 2 * size,
        .direction     = logreg->vectors + 3 * size,
        .residual      = logreg->vectors + 4 * size,
        .search        = logreg->vectors + 5 * size,
        .product       = logreg->vectors + 6 * size,
    };
    mmcl__operation operation;
    mmcl__begin(&operation, logreg->context, "logistic regression", options->max_iterations);
    mmcl_status status = run(&state, &operation, options->max_iterations, info);
    if (status == MMCL_OK) {
        report(&state, info);
        if (state.x != solution)
            memcpy(solution, state.x, size * sizeof *solution);
        info->seconds = mmcl__seconds() - began;
    }
    return mmcl__end(&operation, status);
}
