/*
 * Kernel ridge regression of one-hot labels on cosines: values (G + I / c)^-1 Y + alpha M at the shots, G_ij = exp(-beta (1 - u_i . u_j)); the
 * score of class k is sum_j exp(-beta (1 - u . u_j)) values_jk. Sharpness 0 in the limit gives ridge regression on the rows, a
 * large one the nearest shot. M leads towards the nearest class mean in the space of the kernel: its column k holds 1 / (n_k m_k) for the n_k shots
 * of class k, m_k the length of their mean there.
 */
#include "classify/adapt.h"
#include "classify/kernel.h"
#include "linalg/blas.h"

#include <math.h>
#include <string.h>

#define DEFAULT_BETA 2
#define DEFAULT_C 10
#define DEFAULT_ALPHA 0.3

/* The defaults first: the others have to beat them. */
static const double betas[] = {DEFAULT_BETA, 1, 4}, ridges[] = {DEFAULT_C, 3, 30, 100};

struct ridge {
    mmcl__adapt *adapt;
    size_t       n, m, classes;
    double      *cosines;     /* [n, n] of the shots */
    double      *val_cosines; /* [m, n] */
    double      *gram;        /* [n, n] workspace */
    double      *kernel;      /* [m, n] of the val rows at the sharpness in hand */
    double      *values;      /* [n, classes] of the fit in hand */
    double      *weights;     /* [classes, n] of the best fit */
    double      *scores;      /* [m, classes] */
    double      *right;       /* [m] 1 where the defaults are right, otherwise 0 */
    double      *means;       /* [classes] 1 / (n_k m_k) at the sharpness in hand */
};

/* One block for all. */
static size_t carve(struct ridge *r, double *block)
{
    const size_t n = r->n, m = r->m, k = r->classes;
    double     **parts[] = {&r->cosines, &r->gram, &r->val_cosines, &r->kernel, &r->values, &r->weights, &r->scores, &r->right, &r->means};
    const size_t sizes[] = {n * n, n * n, m * n, m * n, n * k, n * k, m * k, m, k};
    size_t       at      = 0;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        if (block != NULL)
            *parts[i] = block + at;
        at += sizes[i];
    }
    return at;
}

static mmcl_status take_cosines(struct ridge *r)
{
    const mmcl__rowset *train = &r->adapt->train, *val = &r->adapt->val;
    mmcl_context       *context = r->adapt->context;
    const size_t        d = r->adapt->cols, size = (r->n + r->m) * d;
    double             *rows = mmcl__alloc(context, size, sizeof *rows), *val_rows = rows + r->n * d;
    if (rows == NULL)
        return MMCL_E_NOMEM;
    for (size_t i = 0; i < r->n * d; i++)
        rows[i] = (double) train->x[i];
    for (size_t i = 0; i < r->m * d; i++)
        val_rows[i] = (double) val->x[i];
    mmcl__gemm_f64(false, true, r->n, r->n, d, 1, rows, d, rows, d, 0, r->cosines, r->n);
    mmcl__gemm_f64(false, true, r->m, r->n, d, 1, val_rows, d, rows, d, 0, r->val_cosines, r->n);
    mmcl__free(context, rows, size, sizeof *rows);
    return MMCL_OK;
}

/* r->means, from the gram: n_k m_k is the root of the sum over the pairs of class k. */
static void lengths_of_means(struct ridge *r)
{
    const int32_t *labels = r->adapt->train.labels;
    memset(r->means, 0, r->classes * sizeof *r->means);
    for (size_t i = 0; i < r->n; i++)
        for (size_t j = 0; j < r->n; j++)
            r->means[labels[i]] += labels[i] == labels[j] ? r->gram[i * r->n + j] : 0;
    for (size_t k = 0; k < r->classes; k++)
        r->means[k] = 1 / sqrt(r->means[k]);
}

/* r->values for one pair; r->gram and r->val_cosines are left as they were but for the workspace. */
static mmcl_status solve(struct ridge *r, double beta, double c)
{
    const size_t n = r->n;
    for (size_t i = 0; i < n * n; i++)
        r->gram[i] = exp(beta * (r->cosines[i] - 1));
    lengths_of_means(r);
    memset(r->values, 0, n * r->classes * sizeof *r->values);
    for (size_t i = 0; i < n; i++) {
        r->gram[i * n + i] += 1 / c;
        r->values[i * r->classes + (size_t) r->adapt->train.labels[i]] = 1;
    }
    mmcl_status status = mmcl__solve_spd(r->adapt->context, n, r->classes, r->gram, r->values);
    if (status != MMCL_OK)
        return mmcl__fail(r->adapt->context, status, "c: %g leaves the shots' kernel singular; a smaller one helps", c);
    for (size_t i = 0; i < n; i++) {
        size_t class = (size_t) r->adapt->train.labels[i];
        r->values[i * r->classes + class] += r->adapt->info->alpha * r->means[class];
    }
    return MMCL_OK;
}

static bool is_right(const struct ridge *r, size_t row)
{
    const double *scores = r->scores + row * r->classes;
    size_t        best   = 0;
    for (size_t k = 1; k < r->classes; k++)
        if (scores[k] > scores[best])
            best = k;
    return best == (size_t) r->adapt->val.labels[row];
}

/*
 * How many more val rows the pair in hand has right than the defaults, less the standard error of that number if chance alone told them
 * apart: the root of how many rows they differ on. With a handful of val rows the best of a dozen is mostly the luckiest.
 */
static double advantage(struct ridge *r, bool defaults)
{
    double gain = 0, differ = 0;
    mmcl__gemm_f64(false, false, r->m, r->classes, r->n, 1, r->kernel, r->n, r->values, r->classes, 0, r->scores, r->classes);
    for (size_t i = 0; i < r->m; i++) {
        double right = is_right(r, i);
        if (defaults)
            r->right[i] = right;
        gain += right - r->right[i];
        differ += right != r->right[i];
    }
    return gain - sqrt(differ);
}

static void keep(struct ridge *r, double beta, double c)
{
    for (size_t k = 0; k < r->classes; k++)
        for (size_t j = 0; j < r->n; j++)
            r->weights[k * r->n + j] = r->values[j * r->classes + k];
    r->adapt->info->beta = beta;
    r->adapt->info->c    = c;
}

/* Every pair of the grids, or the numbers that the options fix; without val rows the defaults. */
static mmcl_status search(struct ridge *r)
{
    const mmcl_adapt_options *options = r->adapt->options;
    const double *beta = options->beta > 0 ? &options->beta : betas, *c = options->c > 0 ? &options->c : ridges;
    const size_t  n_betas = options->beta > 0 || r->m == 0 ? 1 : sizeof betas / sizeof *betas;
    const size_t  n_ridges = options->c > 0 || r->m == 0 ? 1 : sizeof ridges / sizeof *ridges;
    double        best     = 0;
    r->adapt->info->alpha  = options->alpha > 0 ? options->alpha : DEFAULT_ALPHA;
    for (size_t b = 0; b < n_betas; b++) {
        for (size_t i = 0; i < r->m * r->n; i++)
            r->kernel[i] = exp(beta[b] * (r->val_cosines[i] - 1));
        for (size_t i = 0; i < n_ridges; i++) {
            MMCL__TRY(mmcl__check_cancel(r->adapt->context));
            MMCL__TRY(solve(r, beta[b], c[i]));
            double more = advantage(r, b == 0 && i == 0);
            if ((b == 0 && i == 0) || more > best) {
                best = more;
                keep(r, beta[b], c[i]);
            }
        }
    }
    if (n_betas * n_ridges > 1)
        r->adapt->info->flags |= MMCL_ADAPT_PARAMETERS_ON_VAL;
    return MMCL_OK;
}

static mmcl_status finish(const struct ridge *r, mmcl_classifier **out)
{
    const mmcl__adapt *adapt = r->adapt;
    mmcl_classifier   *head;
    MMCL__TRY(mmcl__classifier_create(&head, adapt->context, r->classes, r->n, r->weights, NULL));
    head->unit_rows    = true;
    head->inputs       = adapt->inputs;
    mmcl_status status = mmcl__kernel_create(&head->kernel, adapt->context, r->n, adapt->cols, adapt->info->beta, adapt->train.x);
    if (status == MMCL_OK && adapt->data->transform != NULL)
        status = mmcl__classifier_set_map(head, adapt->data->transform, true);
    if (status == MMCL_OK)
        *out = head;
    else
        mmcl__classifier_destroy(head);
    return status;
}

mmcl_status mmcl__head_kernel_ridge(mmcl__adapt *adapt, mmcl_classifier **out)
{
    struct ridge r = {.adapt = adapt, .n = adapt->train.rows, .m = adapt->val.rows, .classes = adapt->classes};
    if (r.n > MMCL_MAX_COLUMNS)
        return mmcl__fail(adapt->context, MMCL_E_INVAL, "train: %zu rows, expected at most %d for kernel-ridge", r.n, MMCL_MAX_COLUMNS);
    const size_t size  = carve(&r, NULL);
    double      *block = mmcl__alloc(adapt->context, size, sizeof *block);
    if (block == NULL)
        return MMCL_E_NOMEM;
    carve(&r, block);
    mmcl_status status = take_cosines(&r);
    if (status == MMCL_OK)
        status = search(&r);
    if (status == MMCL_OK)
        status = finish(&r, out);
    mmcl__free(adapt->context, block, size, sizeof *block);
    return status;
}
