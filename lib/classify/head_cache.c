/* Tip-Adapter, APE and CCA without training, and the searches that their trained forms share. */
#include "classify/head_cache.h"

#include "classify/classify.h"
#include "linalg/blas.h"
#include "transform/transform.h"

#include <math.h>
#include <string.h>

#define BETAS 200
#define ALPHAS 20
#define ATTENTIONS 100 /* gammas and etas */
#define GAMMAS 5       /* of APE */
#define GAMMA_STEP 0.1

/* --------------------------------------------------------------------------------------------------------- opening --- */

mmcl__cache_form mmcl__caching_form(const mmcl__adapt *adapt, bool attention)
{
    const mmcl_adapt_options *options = adapt->options;
    mmcl__cache_form          form    = {.inputs = adapt->inputs, .map = adapt->data->transform, .unit = !attention, .min_max = attention,
                                         .beta = mmcl__option_or(options->beta, 1), .scale = options->logit_scale};
    form.alpha = adapt->text != NULL ? mmcl__option_or(options->alpha, mmcl__option_or(options->alpha_start, 1.17)) : 1;
    if (attention && adapt->text != NULL) {
        form.text  = adapt->text;
        form.gamma = mmcl__option_or(options->gamma, mmcl__option_or(options->gamma_start, 1e-3));
        form.eta   = mmcl__option_or(options->eta, mmcl__option_or(options->eta_start, 1e-3));
    }
    return form;
}

static mmcl_status see_val(mmcl__caching *caching)
{
    const mmcl__rowset *val = &caching->adapt->val;
    mmcl_context       *context = caching->adapt->context;
    caching->columns = mmcl__cache_columns(caching->cache);
    caching->u       = mmcl__alloc(context, val->rows * caching->columns, sizeof *caching->u);
    if (caching->u == NULL)
        return MMCL_E_NOMEM;
    mmcl_status status = mmcl__cache_see(caching->cache, val->x, val->rows, caching->u, caching->columns);
    return status == MMCL_OK ? MMCL_OK : mmcl__fail(context, status, "val.features: a row overflows float32 in the transform");
}

mmcl_status mmcl__caching_open(mmcl__caching *caching, mmcl__adapt *adapt, const mmcl__cache_form *form)
{
    const size_t size    = adapt->classes * adapt->inputs;
    mmcl_context *context = adapt->context;
    *caching             = (mmcl__caching){.adapt = adapt};
    if (adapt->classes > MMCL__CACHE_SCORES)
        return mmcl__fail(context, MMCL_E_INVAL, "classes: %zu, expected at most %zu for a head with a cache", adapt->classes,
                          MMCL__CACHE_SCORES);
    MMCL__TRY(mmcl__cache_create(&caching->cache, context, adapt->classes, form, adapt->train.rows, adapt->train.x, adapt->train.labels));
    if (adapt->val.rows > 0)
        MMCL__TRY(see_val(caching));
    if (adapt->text == NULL)
        return MMCL_OK;
    caching->weights = mmcl__alloc(context, size, sizeof *caching->weights);
    if (caching->weights == NULL)
        return MMCL_E_NOMEM;
    memcpy(caching->weights, form->base != NULL ? form->base : adapt->text, size * sizeof *caching->weights);
    mmcl__scale_f64(size, form->scale, caching->weights);
    return MMCL_OK;
}

void mmcl__caching_close(mmcl__caching *caching)
{
    const mmcl__adapt *adapt = caching->adapt;
    const size_t       size  = adapt->classes * adapt->inputs;
    mmcl__cache_destroy(caching->cache);
    mmcl__free(adapt->context, caching->u, adapt->val.rows * caching->columns, sizeof *caching->u);
    mmcl__free(adapt->context, caching->weights, size, sizeof *caching->weights);
    mmcl__free(adapt->context, caching->visual, size, sizeof *caching->visual);
}

mmcl_status mmcl__caching_finish(mmcl__caching *caching, mmcl_classifier **out)
{
    mmcl__adapt     *adapt = caching->adapt;
    mmcl__cache     *cache = caching->cache;
    mmcl_classifier *head;
    if (cache->text != NULL)
        MMCL__TRY(mmcl__cache_linear(cache, caching->weights));
    MMCL__TRY(mmcl__cache_set_narrow(cache, adapt->options->narrow_keys));
    MMCL__TRY(mmcl__classifier_create(&head, adapt->context, adapt->classes, adapt->inputs, caching->weights, NULL));
    head->unit_rows    = true;
    head->cache        = cache;
    caching->cache     = NULL;
    adapt->info->alpha = cache->alpha;
    if (cache->text != NULL) {
        adapt->info->gamma = cache->gamma;
        adapt->info->eta   = cache->eta;
    }
    adapt->info->beta  = cache->beta;
    *out               = head;
    return MMCL_OK;
}

/* -------------------------------------------------------------------------------------------------------- searches --- */

static mmcl__grid grid_of(const mmcl__caching *caching)
{
    const mmcl__adapt *adapt = caching->adapt;
    const mmcl__cache *cache = caching->cache;
    return (mmcl__grid){.context = adapt->context, .rows = adapt->val.rows, .classes = adapt->classes, .inputs = adapt->inputs,
                        .x = adapt->val.x, .labels = adapt->val.labels, .weights = caching->weights, .width = cache->width,
                        .keys = cache->keys, .u = caching->u, .u_stride = caching->columns, .key = cache->key, .key_stride = cache->stride,
                        .key_weights = cache->weights, .starts = cache->starts, .min_max = cache->min_max};
}

/* 0.1 + i (range - 0.1) / n, or the one value that the options fix. */
static mmcl__grid_axis axis_of(double fixed, double range, size_t n)
{
    return fixed != 0 ? (mmcl__grid_axis){fixed, 0, 1} : (mmcl__grid_axis){0.1, (range - 0.1) / (double) n, n};
}

static mmcl__grid_axis beta_axis(const mmcl__caching *caching)
{
    const mmcl_adapt_options *options = caching->adapt->options;
    return axis_of(options->beta, mmcl__option_or(options->beta_range, 7), BETAS);
}

static mmcl__grid_axis alpha_axis(const mmcl__caching *caching)
{
    const mmcl_adapt_options *options = caching->adapt->options;
    return axis_of(caching->adapt->text != NULL ? options->alpha : 1, mmcl__option_or(options->alpha_range, 3), ALPHAS);
}

/* Beta and alpha on the val rows, with the terms that `grid` has; *right receives the rows right there. */
static mmcl_status search_pair(mmcl__caching *caching, const mmcl__grid *grid, uint64_t *right)
{
    const mmcl__grid_axis betas = beta_axis(caching), alphas = alpha_axis(caching);
    const size_t          n = betas.count * alphas.count;
    uint64_t             *counts = mmcl__alloc(grid->context, n, sizeof *counts);
    mmcl_status           status = counts != NULL ? mmcl__grid_counts(grid, &betas, &alphas, counts) : MMCL_E_NOMEM;
    if (status == MMCL_OK) {
        size_t best           = mmcl__grid_best(n, counts);
        caching->cache->beta  = mmcl__grid_at(&betas, best / alphas.count);
        caching->cache->alpha = mmcl__grid_at(&alphas, best % alphas.count);
        *right                = counts[best];
        caching->adapt->info->flags |= MMCL_ADAPT_PARAMETERS_ON_VAL;
    }
    mmcl__free(grid->context, counts, n, sizeof *counts);
    return status;
}

mmcl_status mmcl__caching_search(mmcl__caching *caching)
{
    uint64_t   right;
    mmcl__grid grid = grid_of(caching);
    return grid.rows > 0 ? search_pair(caching, &grid, &right) : MMCL_OK;
}

/* The first of the highest of counts [gammas, pairs], in the order of the pairs and then the gammas. */
static size_t best_of(size_t gammas, size_t pairs, const uint64_t *counts, size_t *gamma)
{
    size_t best = 0;
    *gamma      = 0;
    for (size_t i = 0; i < pairs; i++)
        for (size_t g = 0; g < gammas; g++)
            if (counts[g * pairs + i] > counts[*gamma * pairs + best]) {
                best   = i;
                *gamma = g;
            }
    return best;
}

mmcl_status mmcl__caching_search_gamma(mmcl__caching *caching)
{
    const mmcl__grid      grid = grid_of(caching);
    const double          fixed = caching->adapt->options->gamma;
    const mmcl__grid_axis betas = beta_axis(caching), alphas = alpha_axis(caching);
    const mmcl__grid_axis gammas = fixed != 0 ? (mmcl__grid_axis){fixed, 0, 1} : (mmcl__grid_axis){0, GAMMA_STEP, GAMMAS};
    const size_t          pairs = betas.count * alphas.count;
    size_t                gamma;
    if (grid.rows == 0)
        return MMCL_OK;
    uint64_t   *counts = mmcl__alloc(grid.context, gammas.count * pairs, sizeof *counts);
    mmcl_status status = counts != NULL ? MMCL_OK : MMCL_E_NOMEM;
    for (size_t g = 0; g < gammas.count && status == MMCL_OK; g++) {
        mmcl__cache_set_gamma(caching->cache, mmcl__grid_at(&gammas, g));
        status = mmcl__grid_counts(&grid, &betas, &alphas, counts + g * pairs);
    }
    if (status == MMCL_OK) {
        size_t best           = best_of(gammas.count, pairs, counts, &gamma);
        caching->cache->beta  = mmcl__grid_at(&betas, best / alphas.count);
        caching->cache->alpha = mmcl__grid_at(&alphas, best % alphas.count);
        mmcl__cache_set_gamma(caching->cache, mmcl__grid_at(&gammas, gamma));
        caching->adapt->info->flags |= MMCL_ADAPT_PARAMETERS_ON_VAL;
    }
    mmcl__free(grid.context, counts, gammas.count * pairs, sizeof *counts);
    return status;
}

/* ------------------------------------------------------------------------------------------------------ Tip-Adapter --- */

mmcl_status mmcl__head_tip(mmcl__adapt *adapt, mmcl_classifier **out)
{
    mmcl__caching    caching;
    mmcl__cache_form form   = mmcl__caching_form(adapt, false);
    mmcl_status      status = mmcl__caching_open(&caching, adapt, &form);
    if (status == MMCL_OK)
        status = mmcl__caching_search(&caching);
    if (status == MMCL_OK)
        status = mmcl__caching_finish(&caching, out);
    mmcl__caching_close(&caching);
    return status;
}

/* --------------------------------------------------------------------------------------------------------------- CCA --- */

/* linspace(start / 5, 5 start, 100), or the one value that the options fix; times `factor`. */
static mmcl__grid_axis attention_axis(double fixed, double start, double factor)
{
    if (fixed != 0)
        return (mmcl__grid_axis){factor * fixed, 0, 1};
    return (mmcl__grid_axis){factor * start / 5, factor * (5 * start - start / 5) / (ATTENTIONS - 1), ATTENTIONS};
}

mmcl_status mmcl__caching_set_visual(mmcl__caching *caching)
{
    mmcl__adapt *adapt = caching->adapt;
    const size_t size  = adapt->classes * adapt->inputs;
    caching->visual    = mmcl__alloc(adapt->context, size, sizeof *caching->visual);
    if (caching->visual == NULL)
        return MMCL_E_NOMEM;
    MMCL__TRY(mmcl__cache_visual(adapt->context, adapt->classes, adapt->inputs, caching->cache->text, caching->cache->keys,
                                 caching->cache->raw, caching->visual));
    mmcl__scale_f64(size, caching->cache->scale, caching->visual);
    return MMCL_OK;
}

/*
 * Gamma and eta where more val rows are right with them than `right`. The released program multiplies both terms by the logit scale
 * once more than in its scores: `twice`.
 */
static mmcl_status search_attention(mmcl__caching *caching, uint64_t right, bool twice)
{
    const mmcl_adapt_options *options = caching->adapt->options;
    mmcl__cache              *cache   = caching->cache;
    mmcl__grid                grid    = grid_of(caching);
    const double              more    = twice ? cache->scale : 1;
    const mmcl__grid_axis     gammas = attention_axis(options->gamma, mmcl__option_or(options->gamma_start, 1e-3), more);
    const mmcl__grid_axis     etas   = attention_axis(options->eta, mmcl__option_or(options->eta_start, 1e-3), more * cache->scale);
    const size_t              n = gammas.count * etas.count;
    uint64_t                 *counts = mmcl__alloc(grid.context, n, sizeof *counts);
    grid.text          = cache->text;
    mmcl_status status = counts != NULL ? mmcl__grid_attention_counts(&grid, cache->beta, cache->alpha, caching->visual, &gammas, &etas, counts)
                                        : MMCL_E_NOMEM;
    if (status == MMCL_OK && counts[mmcl__grid_best(n, counts)] > right) {
        size_t best  = mmcl__grid_best(n, counts);
        cache->gamma = mmcl__grid_at(&gammas, best / etas.count);
        cache->eta   = mmcl__grid_at(&etas, best % etas.count) / cache->scale;
    }
    mmcl__free(grid.context, counts, n, sizeof *counts);
    return status;
}

/* weights += gamma visual, or takes it away again. */
static void move_weights(mmcl__caching *caching, double gamma)
{
    mmcl__axpy_f64(caching->adapt->classes * caching->adapt->inputs, gamma, caching->visual, caching->weights);
}

/* With the terms of gamma and eta, where the cache has them. */
mmcl_status mmcl__caching_judge(mmcl__caching *caching, uint64_t *right)
{
    const mmcl__cache    *cache = caching->cache;
    const mmcl__grid_axis beta = {cache->beta, 0, 1}, alpha = {cache->alpha, 0, 1};
    mmcl__grid            grid = grid_of(caching);
    if (cache->text == NULL)
        return mmcl__grid_counts(&grid, &beta, &alpha, right);
    grid.text = cache->text;
    grid.eta  = cache->eta * cache->scale;
    move_weights(caching, cache->gamma);
    mmcl_status status = mmcl__grid_counts(&grid, &beta, &alpha, right);
    move_weights(caching, -cache->gamma);
    return status;
}

mmcl_status mmcl__caching_search_attention(mmcl__caching *caching, bool trained)
{
    mmcl__adapt *adapt = caching->adapt;
    mmcl__cache *cache = caching->cache;
    const bool   paper = adapt->options->protocol == MMCL_PROTOCOL_PAPER, terms = trained || !paper;
    uint64_t     right = 0;
    if (adapt->text == NULL || adapt->val.rows == 0)
        return mmcl__caching_search(caching);
    if (caching->visual == NULL)
        MMCL__TRY(mmcl__caching_set_visual(caching));
    mmcl__grid   grid  = grid_of(caching);
    const double gamma = cache->gamma;
    if (terms) {
        grid.text = cache->text;
        grid.eta  = cache->eta * cache->scale;
        move_weights(caching, gamma);
    }
    MMCL__TRY(search_pair(caching, &grid, &right));
    if (terms)
        move_weights(caching, -gamma);
    if (paper)
        adapt->info->flags |= MMCL_ADAPT_AS_RELEASED;
    return search_attention(caching, right, paper);
}

mmcl_status mmcl__head_cca(mmcl__adapt *adapt, mmcl_classifier **out)
{
    mmcl__caching    caching;
    mmcl__cache_form form   = mmcl__caching_form(adapt, true);
    mmcl_status      status = mmcl__caching_open(&caching, adapt, &form);
    if (status == MMCL_OK)
        status = mmcl__caching_search_attention(&caching, false);
    if (status == MMCL_OK)
        status = mmcl__caching_finish(&caching, out);
    mmcl__caching_close(&caching);
    return status;
}
