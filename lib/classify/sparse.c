#include "classify/sparse.h"

#include "linalg/blas.h"

#include <math.h>
#include <string.h>

#define ENTER 0.5      /* of the largest slope at a weight of 0: smaller ones wait for a later step */
#define PINNINGS 4     /* solves of a step, each without the weights that would have crossed 0 */
#define PRODUCTS 200   /* of a solve */
#define RESIDUAL 0.1   /* of the Newton equations, in the preconditioner's norm, at most */
#define HALVINGS 6     /* of a step; then it is damped */
#define DAMPINGS 12
#define DAMPING 1e-3   /* the first; */
#define UNDAMPED 1e-10 /* what there is without, where the penalty does not tell all weights of an input apart */
#define DECREASE 1e-4  /* of what the slope promises */
#define SMALL 1e-13    /* of the objective: changes that its digits cannot tell */
#define PATIENCE 4     /* steps without progress */

/* -------------------------------------------------------------------------------------------------------- workspace --- */

static size_t weights_of(const mmcl__sparse *sparse)
{
    return sparse->classes * sparse->inputs;
}

size_t mmcl__sparse_size(const mmcl__sparse *sparse)
{
    return sparse->classes * (sparse->inputs + 1);
}

#define VECTORS 11

static void place_vectors(mmcl__sparse *s)
{
    double **vectors[VECTORS] = {&s->solution, &s->gradient, &s->slope, &s->trial,  &s->trial_gradient, &s->start,
                                 &s->step,     &s->residual, &s->image, &s->search, &s->product};
    for (size_t i = 0; i < VECTORS; i++)
        *vectors[i] = s->vectors + i * mmcl__sparse_size(s);
}

static void center_rows(mmcl__sparse *s, const mmcl__rowset *train)
{
    size_t n = s->rows, d = s->inputs;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < d; j++)
            s->mean[j] += (double) train->x[i * d + j] / (double) n;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < d; j++)
            s->x[i * d + j] = (double) train->x[i * d + j] - s->mean[j];
}

static mmcl_status build(mmcl__sparse *s, const mmcl__rowset *train)
{
    mmcl_context *context = s->context;
    size_t        n = s->rows, d = s->inputs, classes = s->classes;
    s->vectors = mmcl__calloc(context, VECTORS * mmcl__sparse_size(s), sizeof *s->vectors);
    s->x       = mmcl__alloc(context, n * d, sizeof *s->x);
    s->mean    = mmcl__calloc(context, d, sizeof *s->mean);
    s->free    = mmcl__alloc(context, weights_of(s), sizeof *s->free);
    s->whole   = mmcl__alloc(context, d, sizeof *s->whole);
    if (s->vectors == NULL || s->x == NULL || s->mean == NULL || s->free == NULL || s->whole == NULL)
        return MMCL_E_NOMEM;
    place_vectors(s);
    center_rows(s, train);
    MMCL__TRY(mmcl__softmax_open(&s->softmax, context, n, d, classes, s->x, MMCL_PRECISION_F64, train->labels));
    MMCL__TRY(mmcl__face_open(&s->face, context, n, d, classes, s->x, train->labels));
    s->softmax.penalty = 1 - s->r;
    for (size_t i = 0; i < n; i++)
        s->solution[weights_of(s) + (size_t) train->labels[i]]++;
    for (size_t k = 0; k < classes; k++)
        s->solution[weights_of(s) + k] = log(s->solution[weights_of(s) + k] / (double) n);
    return MMCL_OK;
}

mmcl_status mmcl__sparse_open(mmcl__sparse *sparse, mmcl_context *context, const mmcl__rowset *train, size_t classes, double r)
{
    *sparse = (mmcl__sparse){.context = context, .rows = train->rows, .inputs = train->cols, .classes = classes, .c = 1, .r = r};
    mmcl_status status = build(sparse, train);
    if (status != MMCL_OK)
        mmcl__sparse_close(sparse);
    return status;
}

void mmcl__sparse_close(mmcl__sparse *s)
{
    mmcl_context *context = s->context;
    if (s->face.context != NULL)
        mmcl__face_close(&s->face);
    if (s->softmax.context != NULL)
        mmcl__softmax_close(&s->softmax);
    mmcl__free(context, s->vectors, VECTORS * mmcl__sparse_size(s), sizeof *s->vectors);
    mmcl__free(context, s->x, s->rows * s->inputs, sizeof *s->x);
    mmcl__free(context, s->mean, s->inputs, sizeof *s->mean);
    mmcl__free(context, s->free, weights_of(s), sizeof *s->free);
    mmcl__free(context, s->whole, s->inputs, sizeof *s->whole);
    *s = (mmcl__sparse){.context = context};
}

void mmcl__sparse_export(const mmcl__sparse *s, const double *solution, double *out)
{
    double *intercepts = out + weights_of(s);
    memcpy(out, solution, mmcl__sparse_size(s) * sizeof *out);
    for (size_t k = 0; k < s->classes; k++)
        intercepts[k] -= mmcl__dot_f64(s->inputs, out + k * s->inputs, s->mean);
}

/* ------------------------------------------------------------------------------------------------------- optimality --- */

static double absolute_sum(size_t n, const double *values)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += fabs(values[i]);
    return sum;
}

static double largest_of(size_t n, const double *values)
{
    double largest = 0;
    for (size_t i = 0; i < n; i++)
        largest = fmax(largest, fabs(values[i]));
    return largest;
}

/* The objective at `at`, with the gradient of its smooth part. */
static mmcl_status evaluate(mmcl__sparse *s, const double *at, double *gradient, double *objective)
{
    mmcl__softmax_value value;
    MMCL__TRY(mmcl__softmax_pass(&s->softmax, MMCL_PRECISION_F64, s->c, at, gradient, &value));
    *objective = value.objective + s->r * absolute_sum(weights_of(s), at);
    return MMCL_OK;
}

/*
 * Sum over the rows of the entropy of y + share (p - y), from the losses of the last pass: log p_k is z_k - z_y - loss, and what there is of the
 * scores z adds up to the residuals' inner product with them, `along`.
 */
static double entropy(const mmcl__sparse *s, double share, double along)
{
    double sum = -share * along;
    for (size_t i = 0; i < s->rows; i++) {
        double loss = s->softmax.losses[i], miss = -expm1(-loss);
        sum += share * loss * miss - (share < 1 ? share * log(share) * miss : 0);
        sum += share < 1 ? -(1 - share * miss) * log1p(-share * miss) : exp(-loss) * loss;
    }
    return sum;
}

/* The conjugate of the penalty at share times the loss's gradient. */
static double conjugate(const mmcl__sparse *s, double share)
{
    double sum = 0;
    for (size_t p = 0; p < weights_of(s) && s->r < 1; p++) {
        double over = fabs(share * (s->gradient[p] - (1 - s->r) * s->solution[p])) - s->r;
        sum += over > 0 ? over * over / (2 * (1 - s->r)) : 0;
    }
    return sum;
}

/*
 * The gap to the dual at residuals share (p - y), which stay those of probabilities: C times their entropy, less the penalty's conjugate, less what
 * intercepts of up to `bound` could gain where the residuals of a class do not add up to 0.
 */
static double relative_gap(const mmcl__sparse *s)
{
    size_t        weights    = weights_of(s);
    const double *intercepts = s->solution + weights, *slack = s->gradient + weights;
    double        share = 1, bound = 2 * largest_of(s->classes, intercepts) + 1, largest = largest_of(weights, s->gradient);
    double        along = mmcl__dot_f64(mmcl__sparse_size(s), s->gradient, s->solution) -
                   (1 - s->r) * mmcl__dot_f64(weights, s->solution, s->solution);
    if (s->r == 1 && largest > s->r)
        share = s->r / largest;
    double dual = s->c * entropy(s, share, along / s->c) - bound * share * absolute_sum(s->classes, slack) - conjugate(s, share);
    return (s->objective - dual) / s->objective;
}

mmcl_status mmcl__sparse_least_c(mmcl__sparse *s, double *least)
{
    double kept = s->c, objective;
    s->c               = 1;
    mmcl_status status = evaluate(s, s->solution, s->gradient, &objective);
    s->c               = kept;
    *least             = s->r / largest_of(weights_of(s), s->gradient);
    return status;
}

/* ------------------------------------------------------------------------------------------------------ the free shift --- */

/* Interval of the derivative of sum_k penalty(w_k - shift) by -shift. */
static void slopes(const mmcl__sparse *s, size_t j, double shift, double *low, double *high)
{
    double sum = 0, zero = 0;
    for (size_t k = 0; k < s->classes; k++) {
        double w = s->solution[k * s->inputs + j] - shift;
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
        double w = s->solution[k * s->inputs + j];
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

static double penalty_of(const mmcl__sparse *s, double w)
{
    return s->r * fabs(w) + 0.5 * (1 - s->r) * w * w;
}

/* What all classes' weights on an input have in common, which the probabilities do not see, goes to where it costs least. */
static void shift_all(mmcl__sparse *s)
{
    for (size_t j = 0; j < s->inputs; j++) {
        double shift = best_shift(s, j);
        for (size_t k = 0; k < s->classes && shift != 0; k++) {
            double *w = &s->solution[k * s->inputs + j], before = *w;
            *w -= shift;
            s->objective += penalty_of(s, *w) - penalty_of(s, before);
            s->gradient[k * s->inputs + j] -= (1 - s->r) * shift;
        }
    }
}

/* ------------------------------------------------------------------------------------------------------------ a step --- */

static double sign(double value)
{
    return (value > 0) - (value < 0);
}

static double soft(double value, double by)
{
    return value > by ? value - by : value < -by ? value + by : 0;
}

/* The orthant in which a weight moves: its own, or the one into which the objective falls. */
static double orthant(const mmcl__sparse *s, size_t p)
{
    return s->solution[p] != 0 ? sign(s->solution[p]) : -sign(s->slope[p]);
}

static void find_slopes(mmcl__sparse *s)
{
    size_t weights = weights_of(s);
    for (size_t p = 0; p < weights; p++)
        s->slope[p] = s->solution[p] != 0 ? s->gradient[p] + s->r * sign(s->solution[p]) : soft(s->gradient[p], s->r);
    memcpy(s->slope + weights, s->gradient + weights, s->classes * sizeof *s->slope);
}

/* Free are weights other than 0, and those that the steepest slopes drive away from it. */
static void choose_face(mmcl__sparse *s)
{
    double steepest = 0;
    for (size_t p = 0; p < weights_of(s); p++)
        steepest = s->solution[p] == 0 ? fmax(steepest, fabs(s->slope[p])) : steepest;
    for (size_t p = 0; p < weights_of(s); p++)
        s->free[p] = s->solution[p] != 0 || (s->slope[p] != 0 && fabs(s->slope[p]) >= ENTER * steepest);
    mmcl__face_choose(&s->face, s->free);
}

/* Less their mean: `classes` values, `apart` from each other. */
static void center_classes(size_t classes, size_t apart, double *values)
{
    double mean = 0;
    for (size_t k = 0; k < classes; k++)
        mean += values[k * apart] / (double) classes;
    for (size_t k = 0; k < classes; k++)
        values[k * apart] -= mean;
}

/* Takes out what the probabilities do not see, so that rounding does not drive it: intercepts, and weights on an input, that all move alike. */
static void center(const mmcl__sparse *s, double *vector)
{
    size_t u = s->face.used;
    center_classes(s->classes, 1, vector + s->classes * u);
    for (size_t j = 0; j < u; j++)
        if (s->whole[j])
            center_classes(s->classes, u, vector + j);
}

/* image = about the inverse second derivative times the residual. */
static mmcl_status precondition(mmcl__sparse *s)
{
    center(s, s->residual);
    MMCL__TRY(mmcl__face_precondition(&s->face, s->residual, s->image));
    center(s, s->image);
    return MMCL_OK;
}

/* The inputs on which every class is free. */
static void find_whole(mmcl__sparse *s)
{
    size_t u = s->face.used;
    memset(s->whole, 1, u);
    for (size_t k = 0; k < s->classes; k++)
        for (size_t j = 0; j < u; j++)
            s->whole[j] &= s->face.free[k * u + j];
}

/* Preconditioned conjugate gradients on the Newton equations from `step`, to `wanted` of the squared norm; 0: the first norm's share. */
static mmcl_status solve_face(mmcl__sparse *s, double share, double *wanted)
{
    mmcl__face *face = &s->face;
    size_t      size = mmcl__face_size(face);
    MMCL__TRY(precondition(s));
    memcpy(s->search, s->image, size * sizeof *s->search);
    double norm = mmcl__dot_f64(size, s->residual, s->image);
    if (*wanted == 0)
        *wanted = share * share * norm;
    for (int i = 0; i < PRODUCTS && norm > *wanted; i++) {
        MMCL__TRY(mmcl__face_product(face, s->search, s->product));
        double curved = mmcl__dot_f64(size, s->search, s->product), before = norm;
        if (!(curved > 1e-14 * norm))
            break;
        mmcl__axpy_f64(size, norm / curved, s->search, s->step);
        mmcl__axpy_f64(size, -norm / curved, s->product, s->residual);
        MMCL__TRY(precondition(s));
        norm = mmcl__dot_f64(size, s->residual, s->image);
        mmcl__scale_f64(size, norm / before, s->search);
        mmcl__axpy_f64(size, 1, s->image, s->search);
    }
    return MMCL_OK;
}

/* residual = what the Newton equations lack at `step`, which is 0 or not. */
static mmcl_status find_residual(mmcl__sparse *s, bool stepped)
{
    size_t size = mmcl__face_size(&s->face);
    mmcl__face_gather(&s->face, s->slope, s->residual);
    mmcl__scale_f64(size, -1, s->residual);
    if (!stepped)
        return MMCL_OK;
    MMCL__TRY(mmcl__face_product(&s->face, s->step, s->product));
    mmcl__axpy_f64(size, -1, s->product, s->residual);
    return MMCL_OK;
}

/* Weights that the step takes across 0 end there, and are no longer free. Returns how many. */
static size_t pin(mmcl__sparse *s)
{
    mmcl__face *face = &s->face;
    size_t      u = face->used, pinned = 0;
    for (size_t k = 0; k < s->classes; k++)
        for (size_t j = 0; j < u; j++) {
            size_t p = k * u + j;
            if (!face->free[p] || (s->start[p] + s->step[p]) * orthant(s, k * s->inputs + face->input[j]) >= 0)
                continue;
            s->step[p]    = -s->start[p];
            face->free[p] = 0;
            pinned++;
        }
    return pinned;
}

static mmcl_status find_step(mmcl__sparse *s)
{
    size_t size  = mmcl__face_size(&s->face);
    double wanted = 0;
    mmcl__face_gather(&s->face, s->solution, s->start);
    MMCL__TRY(mmcl__face_expand(&s->face, s->c, 1 - s->r, fmax(s->damping, UNDAMPED), s->start));
    memset(s->step, 0, size * sizeof *s->step);
    for (int i = 0; i < PINNINGS; i++) {
        find_whole(s);
        MMCL__TRY(find_residual(s, i > 0));
        MMCL__TRY(solve_face(s, fmin(RESIDUAL, sqrt(fmax(s->gap, 0))), &wanted));
        if (pin(s) == 0)
            break;
    }
    return MMCL_OK;
}

/* trial = solution + length step, kept in the orthant; returns what the slopes promise. */
static double move(mmcl__sparse *s, double length)
{
    double promise = 0;
    memcpy(s->trial, s->solution, mmcl__sparse_size(s) * sizeof *s->trial);
    mmcl__face_add(&s->face, length, s->step, s->trial);
    for (size_t p = 0; p < weights_of(s); p++)
        if (s->trial[p] * orthant(s, p) < 0)
            s->trial[p] = 0;
    for (size_t p = 0; p < mmcl__sparse_size(s); p++)
        promise += s->slope[p] * (s->trial[p] - s->solution[p]);
    return promise;
}

static void swap(double **a, double **b)
{
    double *kept = *a;
    *a = *b;
    *b = kept;
}

static void accept(mmcl__sparse *s, double length, double objective)
{
    swap(&s->solution, &s->trial);
    swap(&s->gradient, &s->trial_gradient);
    center_classes(s->classes, 1, s->solution + weights_of(s));
    s->objective = objective;
    shift_all(s);
    if (length == 1)
        s->damping = s->damping > DAMPING ? s->damping / 10 : 0;
}

/* Tries the step, then halves of it. */
static mmcl_status search_line(mmcl__sparse *s, bool *moved)
{
    double length = 1, objective, digits = SMALL * s->objective;
    *moved = false;
    for (int i = 0; i < HALVINGS && !*moved; i++, length *= 0.5) {
        double promise = move(s, length);
        if (!(promise < 0))
            return MMCL_OK;
        MMCL__TRY(evaluate(s, s->trial, s->trial_gradient, &objective));
        *moved = objective <= s->objective + DECREASE * promise || (-promise <= digits && objective <= s->objective + digits);
        if (*moved)
            accept(s, length, objective);
    }
    return MMCL_OK;
}

static mmcl_status advance(mmcl__sparse *s, bool *moved)
{
    find_slopes(s);
    *moved = false;
    for (int i = 0; i < DAMPINGS && !*moved; i++) {
        choose_face(s);
        MMCL__TRY(find_step(s));
        MMCL__TRY(search_line(s, moved));
        if (!*moved)
            s->damping = fmax(DAMPING, 10 * s->damping);
    }
    return MMCL_OK;
}

/* ------------------------------------------------------------------------------------------------------------- solve --- */

/* Whether the arithmetic is at its limit: neither the objective nor the gap has fallen for a while. */
static bool is_stuck(const mmcl__sparse *s, double before, double *least, size_t *stalled)
{
    bool better = s->gap < *least || before - s->objective > SMALL * s->objective;
    *least      = fmin(*least, s->gap);
    *stalled    = better ? 0 : *stalled + 1;
    return *stalled > PATIENCE;
}

static mmcl_status iterate(mmcl__sparse *s, mmcl__operation *operation, double tolerance, uint64_t most, mmcl_stop_reason *stop)
{
    uint64_t began = s->iterations;
    size_t   stalled = 0;
    double   least = INFINITY;
    for (bool moved = true;; s->iterations++) {
        double before = s->objective;
        MMCL__TRY(mmcl__tick(operation, s->iterations - began, s->gap));
        *stop = s->gap <= tolerance ? MMCL_STOP_TOLERANCE : MMCL_STOP_ITERATIONS;
        if (s->gap <= tolerance || s->iterations - began >= most)
            return MMCL_OK;
        MMCL__TRY(advance(s, &moved));
        s->gap = moved ? relative_gap(s) : s->gap;
        *stop  = MMCL_STOP_NO_PROGRESS;
        if (!moved || is_stuck(s, before, &least, &stalled))
            return MMCL_OK;
    }
}

static mmcl_status begin(mmcl__sparse *s)
{
    MMCL__TRY(evaluate(s, s->solution, s->gradient, &s->objective));
    if (!isfinite(s->objective))
        return mmcl__fail(s->context, MMCL_E_NUMERIC, "the objective overflows at c = %g", s->c);
    s->gap     = relative_gap(s);
    s->damping = 0;
    return MMCL_OK;
}

mmcl_status mmcl__sparse_solve(mmcl__sparse *s, double tolerance, uint64_t max_iterations, mmcl_stop_reason *stop)
{
    mmcl__operation operation;
    mmcl__begin(&operation, s->context, "sparse logistic regression", max_iterations);
    mmcl_status status = begin(s);
    if (status == MMCL_OK)
        status = iterate(s, &operation, tolerance, max_iterations, stop);
    return mmcl__end(&operation, status);
}
