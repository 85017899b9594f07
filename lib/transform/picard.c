/*
 * Picard (Ablin, Cardoso, Gramfort 2018): L-BFGS on the likelihood of an ICA model, preconditioned by a sparse approximation of its
 * Hessian; over rotations (Picard-O, Ablin et al. 2018) or without that constraint.
 *
 * The state is W alone: y = W x is made anew in each pass. For rotations the step D, skew-symmetric, is taken along the Cayley
 * curve (I - D/2)^-1 (I + D/2) W, which agrees with exp(D) W to second order, stays orthogonal exactly, and costs one solve.
 */
#include "transform/ica.h"

#include "linalg/blas.h"

#include <float.h>
#include <math.h>
#include <string.h>

#define LAMBDA_MIN 0.01
#define LINE_TRIES 10

struct picard {
    mmcl__ica_problem *problem;
    mmcl__ica_rows    *rows;
    size_t             k, cells, memory;  /* pairs kept at most */
    bool               free;              /* no orthogonality constraint */
    bool               turned;            /* the last step changed signs: losses before and after it are of different densities */
    bool               gaussian;          /* the density is psi's times a Gaussian, as the extended free algorithm has it */
    mmcl__ica_stats    stats;
    double            *sign;              /* [k] +1 or -1 on psi */
    double            *g;                 /* [k, k] gradient at W */
    double            *h;                 /* [k, k] Hessian approximation */
    double            *trial_w, *trial_g, *direction, *scratch; /* [k, k] each */
    double            *s, *y, *rho;       /* [memory, k, k] twice, [memory] */
    size_t             pairs, newest;
    double             loss;
    double            *block;
    size_t             block_count;
};

/* ----------------------------------------------------------------------------------------------------------- state --- */

static mmcl_status allocate(struct picard *p)
{
    size_t k = p->k, cells = p->cells;
    p->block_count = (7 + (p->free ? 1 : 0) + 2 * p->memory) * cells + 3 * k + p->memory;
    double *at     = p->block = mmcl__alloc(p->rows->context, p->block_count, sizeof *p->block);
    if (at == NULL)
        return MMCL_E_NOMEM;
    double **const matrices[] = {&p->stats.psi_x, &p->g, &p->h, &p->trial_w, &p->trial_g, &p->direction, &p->scratch};
    for (size_t i = 0; i < sizeof matrices / sizeof *matrices; i++, at += cells)
        *matrices[i] = at;
    if (p->free) {
        p->stats.curvature = at;
        at += cells;
    }
    p->s = at;
    p->y = p->s + p->memory * cells;
    at   = p->y + p->memory * cells;
    double **const vectors[] = {&p->stats.slope, &p->stats.density, &p->sign};
    for (size_t i = 0; i < 3; i++, at += k)
        *vectors[i] = at;
    p->rho = at;
    return MMCL_OK;
}

/* ------------------------------------------------------------------------------------------------------- objective --- */

/* Sum of w_ij^2 over row i: the variance of y_i, since x is white. */
static double variance(size_t k, const double *w, size_t i)
{
    return mmcl__dot_f64(k, w + i * k, w + i * k);
}

/* The loss at w for the current signs, from the statistics of its pass; infinite at a singular w, where a line search turns back. */
static mmcl_status loss_of(struct picard *p, const double *w, double *loss)
{
    *loss = 0;
    for (size_t i = 0; i < p->k; i++)
        *loss += p->sign[i] * p->stats.density[i] + (p->gaussian ? variance(p->k, w, i) / 2 : 0);
    if (!p->free)
        return MMCL_OK;
    double log_det;
    memcpy(p->scratch, w, p->cells * sizeof *w);
    mmcl_status status = mmcl__solve(p->rows->context, p->k, 0, p->scratch, NULL, &log_det);
    *loss              = status == MMCL_E_NUMERIC ? INFINITY : *loss - log_det;
    return status == MMCL_E_NUMERIC ? MMCL_OK : status;
}

/* A pass at w; its statistics stay in p->stats. */
static mmcl_status evaluate(struct picard *p, const double *w, double *loss)
{
    const mmcl_step_options *options = p->problem->options;
    MMCL__TRY(mmcl__ica_pass(p->rows, w, p->k, options->contrast, options->alpha, &p->stats));
    return loss_of(p, w, loss);
}

/* Chooses the signs from the statistics at w, where that is asked for. True when one changed. */
static bool choose_signs(struct picard *p, const double *w, const double *g)
{
    bool changed = false;
    for (size_t i = 0; i < p->k; i++) {
        double kappa = p->stats.slope[i] * variance(p->k, w, i) - g[i * p->k + i], sign = kappa > 0 ? 1 : -1;
        if (p->problem->options->density != MMCL_DENSITY_AUTO)
            return false;
        changed |= sign != p->sign[i];
        p->sign[i] = sign;
    }
    return changed;
}

/* G of the signed, possibly Gaussian-weighted score, from the unsigned one in place. */
static void signed_scores(struct picard *p, const double *w, double *g)
{
    size_t k = p->k;
    for (size_t i = 0; i < k; i++)
        mmcl__scale_f64(k, p->sign[i], g + i * k);
    if (p->gaussian)
        mmcl__gemm_f64(false, true, k, k, k, 1, w, k, w, k, 1, g, k);
}

/* The gradient over rotations is the skew part of G; h_ij = (a_i + a_j - G_ii - G_jj) / 2 with a the mean slopes. */
static void rotation_gradient(struct picard *p, double *g)
{
    size_t k = p->k;
    for (size_t i = 0; i < k; i++)
        for (size_t j = 0; j < k; j++) {
            double a = p->sign[i] * p->stats.slope[i] - g[i * k + i], b = p->sign[j] * p->stats.slope[j] - g[j * k + j];
            p->h[i * k + j] = fmax((a + b) / 2, LAMBDA_MIN);
        }
    for (size_t i = 0; i < k; i++)
        for (size_t j = 0; j <= i; j++) {
            double skew  = (g[i * k + j] - g[j * k + i]) / 2;
            g[i * k + j] = skew;
            g[j * k + i] = -skew;
        }
}

/*
 * Without the constraint the gradient is G - I and the Hessian falls into blocks [[h_ij, 1], [1, h_ji]]; both entries of a block
 * grow by what its smaller eigenvalue lacks to LAMBDA_MIN.
 */
static void free_gradient(struct picard *p, const double *w, double *g)
{
    size_t k = p->k;
    for (size_t i = 0; i < k; i++)
        for (size_t j = 0; j < k; j++)
            p->h[i * k + j] = p->sign[i] * p->stats.curvature[i * k + j] + (p->gaussian ? variance(k, w, j) : 0);
    for (size_t i = 0; i < k; i++) {
        for (size_t j = 0; j < i; j++) {
            double *a = &p->h[i * k + j], *b = &p->h[j * k + i];
            double  smaller = (*a + *b - hypot(*a - *b, 2)) / 2, lack = fmax(0, LAMBDA_MIN - smaller);
            *a += lack;
            *b += lack;
        }
        p->h[i * k + i] = fmax(p->h[i * k + i], LAMBDA_MIN);
        g[i * k + i] -= 1;
    }
}

/* Gradient and Hessian at w, from the statistics of its pass. *changed: a sign is another than before. */
static mmcl_status gradient(struct picard *p, const double *w, double *g, bool *changed)
{
    MMCL__TRY(mmcl__ica_gradient(p->rows->context, p->k, p->stats.psi_x, w, g));
    *changed = choose_signs(p, w, g);
    signed_scores(p, w, g);
    if (p->free)
        free_gradient(p, w, g);
    else
        rotation_gradient(p, g);
    return MMCL_OK;
}

/* ---------------------------------------------------------------------------------------------------------- L-BFGS --- */

/* z = H^-1 q in place. */
static void precondition(const struct picard *p, double *q)
{
    size_t        k = p->k;
    const double *h = p->h;
    for (size_t i = 0; i < k; i++)
        for (size_t j = 0; j <= i; j++) {
            size_t ij = i * k + j, ji = j * k + i;
            if (!p->free) {
                q[ij] /= h[ij]; /* h is symmetric, so the quotient is skew as q is */
                q[ji] = -q[ij];
            } else if (i == j) {
                q[ij] /= h[ij] + 1;
            } else {
                double determinant = h[ij] * h[ji] - 1, a = q[ij], b = q[ji];
                q[ij] = (h[ji] * a - b) / determinant;
                q[ji] = (h[ij] * b - a) / determinant;
            }
        }
}

/* direction = -H g by the two-loop recursion (Nocedal 1980). */
static void find_direction(struct picard *p)
{
    double alpha[64];
    memcpy(p->direction, p->g, p->cells * sizeof *p->g);
    for (size_t i = 0; i < p->pairs; i++) {
        size_t at = (p->newest + p->memory - i) % p->memory;
        alpha[at] = p->rho[at] * mmcl__dot_f64(p->cells, p->s + at * p->cells, p->direction);
        mmcl__axpy_f64(p->cells, -alpha[at], p->y + at * p->cells, p->direction);
    }
    precondition(p, p->direction);
    for (size_t i = p->pairs; i-- > 0;) {
        size_t at   = (p->newest + p->memory - i) % p->memory;
        double beta = p->rho[at] * mmcl__dot_f64(p->cells, p->y + at * p->cells, p->direction);
        mmcl__axpy_f64(p->cells, alpha[at] - beta, p->s + at * p->cells, p->direction);
    }
    mmcl__scale_f64(p->cells, -1, p->direction);
}

/* Remembers a step and the change of the gradient over it; pairs without positive curvature would break the recursion. */
static void remember(struct picard *p, double step, const double *new_gradient)
{
    size_t  at = p->pairs == 0 ? 0 : (p->newest + 1) % p->memory;
    double *s = p->s + at * p->cells, *y = p->y + at * p->cells;
    for (size_t i = 0; i < p->cells; i++) {
        s[i] = step * p->direction[i];
        y[i] = new_gradient[i] - p->g[i];
    }
    double product = mmcl__dot_f64(p->cells, s, y);
    if (!(product > 0))
        return;
    p->rho[at] = 1 / product;
    p->newest  = at;
    p->pairs   = MMCL__MIN(p->pairs + 1, p->memory);
}

/* ----------------------------------------------------------------------------------------------------- line search --- */

/* trial_w = the point at `step` along the direction. */
static mmcl_status move(struct picard *p, double step)
{
    size_t        k = p->k;
    const double *w = p->problem->w;
    double       *d = p->scratch;
    if (p->free) {
        memcpy(p->trial_w, w, p->cells * sizeof *w);
        mmcl__gemm_f64(false, false, k, k, k, step, p->direction, k, w, k, 1, p->trial_w, k);
        return MMCL_OK;
    }
    MMCL__TRY(mmcl__square_gemm(p->rows->context, false, false, k, p->direction, w, p->trial_w));
    for (size_t i = 0; i < p->cells; i++) {
        p->trial_w[i] = w[i] + step / 2 * p->trial_w[i];
        d[i] = -step / 2 * p->direction[i];
    }
    for (size_t i = 0; i < k; i++)
        d[i * k + i] += 1;
    return mmcl__solve(p->rows->context, k, k, d, p->trial_w, NULL);
}

static double largest(size_t n, const double *values)
{
    double most = 0;
    for (size_t i = 0; i < n; i++)
        most = fmax(most, fabs(values[i]));
    return most;
}

/* What rounding makes of the loss. */
static double slack_of(const struct picard *p)
{
    return (p->rows->precision == MMCL_PRECISION_F64 ? DBL_EPSILON : FLT_EPSILON) * fabs(p->loss) / 4;
}

/*
 * Halves the step until the loss falls. Close to the optimum the fall drowns in the rounding of the loss before the gradient
 * does: there a step also counts that leaves the loss where it was, to that rounding. *step is 0 when nothing was found.
 */
static mmcl_status line_search(struct picard *p, double *step, double *loss)
{
    double slack = slack_of(p);
    *step        = 1;
    for (int i = 0; i < LINE_TRIES; i++, *step /= 2) {
        MMCL__TRY(move(p, *step));
        MMCL__TRY(evaluate(p, p->trial_w, loss));
        if (*loss < p->loss + (i == 0 ? slack : 0))
            return MMCL_OK;
    }
    *step = 0;
    return MMCL_OK;
}

/* ------------------------------------------------------------------------------------------------------------ loop --- */

/* One step of the solver; false in *moved when no direction leads down any more. */
static mmcl_status advance(struct picard *p, bool *moved)
{
    double step = 0, loss = 0;
    find_direction(p);
    MMCL__TRY(line_search(p, &step, &loss));
    if (step == 0 && p->pairs > 0) { /* the remembered curvature misleads: start again from the approximation alone */
        p->pairs = 0;
        find_direction(p);
        MMCL__TRY(line_search(p, &step, &loss));
    }
    *moved = step > 0;
    if (!*moved)
        return MMCL_OK;
    MMCL__TRY(gradient(p, p->trial_w, p->trial_g, &p->turned));
    if (p->turned)
        p->pairs = 0;
    else
        remember(p, step, p->trial_g);
    memcpy(p->problem->w, p->trial_w, p->cells * sizeof *p->trial_w);
    memcpy(p->g, p->trial_g, p->cells * sizeof *p->g);
    p->loss = loss;
    return p->turned ? loss_of(p, p->problem->w, &p->loss) : MMCL_OK; /* the old loss belongs to other signs */
}

#define IDLE_STEPS 20

/*
 * Steps in a row that brought neither a smaller gradient than any before nor a loss below the lowest by more than rounding: when they are
 * many, the arithmetic has come to its end.
 */
typedef struct progress {
    double gradient, loss; /* least so far */
    int    idle;
} progress;

static bool has_stalled(progress *best, const struct picard *p, double gradient)
{
    bool better = p->turned || gradient < best->gradient || p->loss < best->loss - slack_of(p);
    best->idle     = better ? 0 : best->idle + 1;
    best->gradient = fmin(best->gradient, gradient);
    best->loss     = p->turned ? p->loss : fmin(best->loss, p->loss);
    return best->idle >= IDLE_STEPS;
}

static mmcl_status solve(struct picard *p)
{
    mmcl__ica_problem       *problem = p->problem;
    const mmcl_step_options *options = problem->options;
    MMCL__TRY(mmcl__decorrelate(p->rows->context, p->k, problem->w));
    MMCL__TRY(evaluate(p, problem->w, &p->loss));
    bool changed;
    MMCL__TRY(gradient(p, problem->w, p->g, &changed));
    if (changed)
        MMCL__TRY(loss_of(p, problem->w, &p->loss));
    progress best = {.gradient = INFINITY, .loss = INFINITY};
    problem->stop = MMCL_STOP_ITERATIONS;
    for (;;) {
        double size = largest(p->cells, p->g);
        MMCL__TRY(mmcl__tick(problem->operation, problem->iterations, size));
        if (size < options->tolerance)
            problem->stop = MMCL_STOP_TOLERANCE;
        else if (has_stalled(&best, p, size))
            problem->stop = MMCL_STOP_NO_PROGRESS;
        if (problem->stop != MMCL_STOP_ITERATIONS || problem->iterations == options->max_iterations)
            break;
        bool moved;
        MMCL__TRY(advance(p, &moved));
        problem->iterations += moved;
        if (!moved)
            problem->stop = MMCL_STOP_NO_PROGRESS;
    }
    return MMCL_OK;
}

/* Rows of W to unit variance, which the free algorithm does not fix. */
static void unit_variance(size_t k, double *w)
{
    for (size_t i = 0; i < k; i++)
        mmcl__scale_f64(k, 1 / sqrt(variance(k, w, i)), w + i * k);
}

mmcl_status mmcl__picard(mmcl__ica_problem *problem, mmcl__ica_rows *rows)
{
    const mmcl_step_options *options = problem->options;
    bool          positive = options->density == (options->contrast == MMCL_CONTRAST_CUBE ? MMCL_DENSITY_SUB : MMCL_DENSITY_SUPER);
    struct picard p        = {.problem = problem, .rows = rows, .k = rows->k, .cells = rows->k * rows->k,
                              .memory = options->lbfgs_memory, .free = options->algorithm == MMCL_ICA_PICARD_FREE};
    p.gaussian             = p.free && !positive;
    MMCL__TRY(allocate(&p));
    for (size_t i = 0; i < p.k; i++)
        p.sign[i] = options->density == MMCL_DENSITY_AUTO || positive ? 1 : -1;
    mmcl_status status = solve(&p);
    if (status == MMCL_OK) {
        if (p.free)
            unit_variance(p.k, problem->w);
        status = mmcl__ica_examine(problem, rows, &p.stats, p.g);
    }
    mmcl__free(rows->context, p.block, p.block_count, sizeof *p.block);
    return status;
}
