/*
 * CLAP (Silva-Rodriguez et al., CVPR 2024): the probe that starts from the text, with the penalty mean_k lambda_k alpha |w_k - t_k|^2. lambda_k
 * is the mean zero-shot probability of class k on its own shots; the adaptive constraint updates it after each epoch as the
 * multiplier of an augmented Lagrangian (Powell, Hestenes and Rockafellar). Nothing is chosen on val. The authors' text rows are as long as
 * their encoder makes them; alpha is the square of that length, as rows are of unit length here.
 */
#include "classify/cosine.h"

#include "linalg/blas.h"

#include <math.h>
#include <string.h>

#define ALPHA 100

struct clap {
    const mmcl__adapt *adapt;
    double             alpha;
    double            *lambda, *rho; /* [classes] */
};

/* alpha |w_k - t_k|^2. */
static double distance(const struct clap *clap, const double *z, size_t k)
{
    size_t        d = clap->adapt->cols;
    const double *w = z + k * d, *t = clap->adapt->text + k * d;
    double        sum = 0;
    for (size_t j = 0; j < d; j++)
        sum += (w[j] - t[j]) * (w[j] - t[j]);
    return clap->alpha * sum;
}

static void penalty(void *user, const double *z, double *gradient, double *loss)
{
    const struct clap  *clap  = user;
    const mmcl__adapt  *adapt = clap->adapt;
    size_t              d     = adapt->cols;
    for (size_t k = 0; k < adapt->classes; k++) {
        double share = clap->lambda[k] / (double) adapt->classes;
        *loss += share * distance(clap, z, k);
        for (size_t j = k * d; j < (k + 1) * d; j++)
            gradient[j] += 2 * clap->alpha * share * (z[j] - adapt->text[j]);
    }
}

/* lambda = max(0, lambda + rho h) for the violation h, which then becomes rho. */
static void outer_step(void *user, const double *z)
{
    const struct clap *clap = user;
    for (size_t k = 0; k < clap->adapt->classes; k++) {
        double h        = distance(clap, z, k);
        clap->lambda[k] = fmax(0, clap->lambda[k] + clap->rho[k] * h);
        clap->rho[k]    = h;
    }
}

/* Probability of the row's own class by the text alone. `scores` [classes]. */
static double own_probability(const mmcl__adapt *adapt, size_t row, double *scores)
{
    size_t       d = adapt->cols, own = (size_t) adapt->train.labels[row];
    const float *x = adapt->train.x + row * d;
    double       sum = 0;
    for (size_t k = 0; k < adapt->classes; k++) {
        scores[k] = 0;
        for (size_t j = 0; j < d; j++)
            scores[k] += (double) x[j] * adapt->text[k * d + j];
    }
    for (size_t k = 0; k < adapt->classes; k++)
        sum += exp(adapt->options->logit_scale * (scores[k] - scores[own]));
    return 1 / sum;
}

/* lambda = the mean own probability; rho = 0. `scores` [classes]. */
static void start(const struct clap *clap, double *scores)
{
    const mmcl__adapt *adapt = clap->adapt;
    double            *shots = clap->rho;
    for (size_t i = 0; i < adapt->train.rows; i++) {
        clap->lambda[adapt->train.labels[i]] += own_probability(adapt, i, scores);
        shots[adapt->train.labels[i]]++;
    }
    for (size_t k = 0; k < adapt->classes; k++) {
        clap->lambda[k] /= shots[k];
        clap->rho[k] = 0;
    }
}

mmcl_status mmcl__head_clap(mmcl__adapt *adapt, mmcl_classifier **out)
{
    size_t  weights = adapt->classes * adapt->cols, size = weights + 3 * adapt->classes;
    double *z       = mmcl__calloc(adapt->context, size, sizeof *z);
    if (z == NULL)
        return MMCL_E_NOMEM;
    struct clap  clap     = {.adapt = adapt, .alpha = adapt->options->alpha > 0 ? adapt->options->alpha : ALPHA, .lambda = z + weights,
                             .rho = z + weights + adapt->classes};
    mmcl__cosine training = mmcl__cosine_sgd(adapt, z);
    adapt->info->alpha    = clap.alpha;
    memcpy(z, adapt->text, weights * sizeof *z);
    start(&clap, clap.rho + adapt->classes);
    training.penalty     = penalty;
    training.after_epoch = adapt->options->clap == MMCL_CLAP_ADAPTIVE ? outer_step : NULL;
    training.user        = &clap;
    mmcl_status status   = mmcl__cosine_head(&training, out);
    mmcl__free(adapt->context, z, size, sizeof *z);
    return status;
}
