/* The trained heads with a cache, Tip-Adapter-F, APE-T and CCA-FT: AdamW on the mean cross-entropy of minibatches of the shots. */
#include "classify/descent.h"
#include "classify/head_cache.h"
#include "linalg/blas.h"
#include "linalg/convert.h"

#include <math.h>
#include <string.h>

#define BLOCK 128 /* keys of a task */

/* ---------------------------------------------------------------------------------------------------------- training --- */

/* A set of parameters with its optimiser. */
struct tuned {
    size_t          size;
    double         *values, *gradient, *best;
    double          rate; /* the head's, before the schedule */
    mmcl__optimizer optimizer;
};

/*
 * One training, at beta 1: scores = linear . f + extra + alpha sum of weights exp(-(1 - a)), a = key . u, which is brought to 0 ... 1 over
 * the keys where the cache says so. Keys are sorted by class, label[j] is that of key j.
 */
struct training {
    mmcl__caching   *caching;
    mmcl__adapt     *adapt;
    mmcl_method      method;
    double           alpha, gamma, eta; /* while training */
    size_t           keys, width, batch;
    uint64_t         epochs;
    const int32_t   *channels;          /* [n_channels] of APE-T */
    size_t           n_channels;
    float           *seen;              /* [rows, columns] the shots as keys are kept */
    size_t           columns;
    int32_t         *label;             /* [keys] */
    double          *start;             /* [keys, width] the keys before training */
    double          *key, *weight, *linear;             /* [keys, width], [keys], [classes, inputs] of this step */
    double          *key_slope, *weight_slope, *linear_slope;
    double          *visual;            /* [classes, inputs] of CCA-FT's gamma, or NULL */
    double          *f, *u;             /* [batch, inputs], [batch, width] */
    float           *raw;               /* [batch, inputs] */
    double          *scores, *extra;    /* [batch, classes] */
    double          *affinity;          /* [keys, batch]: affinities, then exponentials, then the slopes of the affinities */
    double          *decay;             /* [keys, batch] exponentials */
    double          *lo, *range;        /* [batch] */
    size_t          *lowest, *highest;  /* [batch] keys */
    size_t           n;                 /* rows of the present batch */
    struct tuned     tuned[2];
    size_t           n_tuned;
    double           loss;              /* mean over the last epoch */
    uint64_t         steps;
};

/* Each block of a training. */
static void each_block(struct training *t, void (*visit)(mmcl_context *, void **, size_t, size_t))
{
    mmcl_context *context = t->adapt->context;
    const size_t  inputs = t->adapt->inputs, classes = t->adapt->classes;
    visit(context, (void **) &t->seen, t->adapt->train.rows * t->columns, sizeof *t->seen);
    visit(context, (void **) &t->label, t->keys, sizeof *t->label);
    visit(context, (void **) &t->start, t->keys * t->width, sizeof *t->start);
    visit(context, (void **) &t->key, t->keys * t->width, sizeof *t->key);
    visit(context, (void **) &t->key_slope, t->keys * t->width, sizeof *t->key_slope);
    visit(context, (void **) &t->weight, t->keys, sizeof *t->weight);
    visit(context, (void **) &t->weight_slope, t->keys, sizeof *t->weight_slope);
    visit(context, (void **) &t->linear, classes * inputs, sizeof *t->linear);
    visit(context, (void **) &t->linear_slope, classes * inputs, sizeof *t->linear_slope);
    visit(context, (void **) &t->visual, classes * inputs, sizeof *t->visual);
    visit(context, (void **) &t->f, t->batch * inputs, sizeof *t->f);
    visit(context, (void **) &t->u, t->batch * t->width, sizeof *t->u);
    visit(context, (void **) &t->raw, t->batch * inputs, sizeof *t->raw);
    visit(context, (void **) &t->scores, t->batch * classes, sizeof *t->scores);
    visit(context, (void **) &t->extra, t->batch * classes, sizeof *t->extra);
    visit(context, (void **) &t->affinity, t->keys * t->batch, sizeof *t->affinity);
    visit(context, (void **) &t->decay, t->keys * t->batch, sizeof *t->decay);
    visit(context, (void **) &t->lo, t->batch, sizeof *t->lo);
    visit(context, (void **) &t->range, t->batch, sizeof *t->range);
    visit(context, (void **) &t->lowest, t->batch, sizeof *t->lowest);
    visit(context, (void **) &t->highest, t->batch, sizeof *t->highest);
    for (size_t i = 0; i < t->n_tuned; i++) {
        visit(context, (void **) &t->tuned[i].values, t->tuned[i].size, sizeof(double));
        visit(context, (void **) &t->tuned[i].gradient, t->tuned[i].size, sizeof(double));
        visit(context, (void **) &t->tuned[i].best, t->tuned[i].size, sizeof(double));
    }
}

static void make_block(mmcl_context *context, void **block, size_t count, size_t size)
{
    *block = mmcl__calloc(context, count, size);
}

static void take_block(mmcl_context *context, void **block, size_t count, size_t size)
{
    mmcl__free(context, *block, count, size);
}

static void close_training(struct training *t)
{
    each_block(t, take_block);
    for (size_t i = 0; i < t->n_tuned; i++)
        mmcl__optimizer_close(&t->tuned[i].optimizer);
}

static bool is_made(const struct training *t)
{
    bool made = t->seen && t->label && t->start && t->key && t->key_slope && t->weight && t->weight_slope && t->linear && t->linear_slope &&
                t->visual && t->f && t->u && t->raw && t->scores && t->extra && t->affinity && t->decay && t->lo && t->range && t->lowest &&
                t->highest;
    for (size_t i = 0; i < t->n_tuned; i++)
        made = made && t->tuned[i].values && t->tuned[i].gradient && t->tuned[i].best;
    return made;
}

/* Keys, weights and linear scores before training. */
static mmcl_status fill_start(struct training *t)
{
    const mmcl__cache *cache = t->caching->cache;
    mmcl__adapt       *adapt = t->adapt;
    MMCL__TRY(mmcl__cache_see(cache, adapt->train.x, adapt->train.rows, t->seen, t->columns));
    for (size_t k = 0; k < adapt->classes; k++)
        for (size_t j = cache->starts[k]; j < cache->starts[k + 1]; j++) {
            t->label[j]  = (int32_t) k;
            t->weight[j] = 1;
            for (size_t i = 0; i < t->width; i++)
                t->start[j * t->width + i] = (double) cache->key[j * cache->stride + i];
        }
    memcpy(t->key, t->start, t->keys * t->width * sizeof *t->key);
    if (t->caching->weights != NULL)
        memcpy(t->linear, t->caching->weights, adapt->classes * adapt->inputs * sizeof *t->linear);
    return MMCL_OK;
}

static mmcl_status open_training(struct training *t, double decay, double epsilon)
{
    const mmcl_adapt_options *options = t->adapt->options;
    const mmcl__rule          rule = {.adam = true, .decoupled = true, .epsilon = epsilon, .decay = mmcl__option_or(options->weight_decay, decay)};
    t->keys    = t->caching->cache->keys;
    t->width   = t->caching->cache->width;
    t->columns = mmcl__cache_columns(t->caching->cache);
    t->batch   = MMCL__MIN((size_t) mmcl__or(options->batch, 256), t->adapt->train.rows);
    t->epochs  = mmcl__or(options->epochs, 20);
    t->alpha   = mmcl__option_or(options->alpha_start, 1.17);
    each_block(t, make_block);
    if (!is_made(t))
        return MMCL_E_NOMEM;
    for (size_t i = 0; i < t->n_tuned; i++)
        MMCL__TRY(mmcl__optimizer_open(&t->tuned[i].optimizer, t->adapt->context, &rule, t->tuned[i].size));
    t->adapt->info->weight_decay  = rule.decay;
    t->adapt->info->learning_rate = t->tuned[0].rate;
    return fill_start(t);
}

/* ------------------------------------------------------------------------------------------------------------ forward --- */

static void gather(struct training *t, const size_t *rows, size_t n)
{
    const size_t d = t->adapt->inputs;
    t->n = n;
    for (size_t i = 0; i < n; i++) {
        const float *x = t->adapt->train.x + rows[i] * d, *seen = t->seen + rows[i] * t->columns;
        memcpy(t->raw + i * d, x, d * sizeof *x);
        mmcl__convert()->f32_to_f64(d, x, t->f + i * d);
        mmcl__convert()->f32_to_f64(t->width, seen, t->u + i * t->width);
    }
}

static void multiply_block(void *argument, size_t i, uint32_t worker)
{
    (void) worker;
    struct training *t = argument;
    const size_t     first = i * BLOCK, count = MMCL__MIN((size_t) BLOCK, t->keys - first), w = t->width;
    mmcl__gemm_f64(false, true, count, t->n, w, 1, t->key + first * w, w, t->u, w, 0, t->affinity + first * t->batch, t->batch);
}

/* The range of each row's affinities, or what leaves them as they are. */
static void find_ranges(struct training *t)
{
    for (size_t i = 0; i < t->n; i++) {
        t->lowest[i] = t->highest[i] = 0;
        for (size_t j = 1; j < t->keys; j++) {
            t->lowest[i]  = t->affinity[j * t->batch + i] < t->affinity[t->lowest[i] * t->batch + i] ? j : t->lowest[i];
            t->highest[i] = t->affinity[j * t->batch + i] > t->affinity[t->highest[i] * t->batch + i] ? j : t->highest[i];
        }
        t->lo[i]    = t->affinity[t->lowest[i] * t->batch + i];
        t->range[i] = t->affinity[t->highest[i] * t->batch + i] - t->lo[i];
    }
}

static void add_cache(struct training *t)
{
    const bool min_max = t->caching->cache->min_max;
    if (min_max)
        find_ranges(t);
    for (size_t j = 0; j < t->keys; j++)
        for (size_t i = 0; i < t->n; i++) {
            double *a = &t->affinity[j * t->batch + i];
            if (min_max)
                *a = t->range[i] > 0 ? (*a - t->lo[i]) / t->range[i] : 1;
            t->decay[j * t->batch + i] = exp(*a - 1);
            t->scores[i * t->adapt->classes + (size_t) t->label[j]] += t->alpha * t->weight[j] * t->decay[j * t->batch + i];
        }
}

/* CCA's terms for the batch, which do not depend on what is trained. */
static mmcl_status add_terms(struct training *t)
{
    mmcl__adapt  *adapt = t->adapt;
    const size_t  d = adapt->inputs, classes = adapt->classes;
    const double  scale = adapt->options->logit_scale;
    if (t->method != MMCL_METHOD_CCA_FT || adapt->text == NULL)
        return MMCL_OK;
    if (adapt->options->protocol == MMCL_PROTOCOL_PAPER)
        MMCL__TRY(mmcl__cache_visual(adapt->context, classes, d, adapt->text, t->n, t->raw, t->visual));
    mmcl__gemm_f64(false, true, t->n, classes, d, scale * t->gamma, t->f, d, t->visual, d, 1, t->scores, classes);
    mmcl__gemm_f64(false, true, t->n, classes, d, 1, t->f, d, adapt->text, d, 0, t->extra, classes);
    for (size_t i = 0; i < t->n; i++) {
        double *p = t->extra + i * classes, all = 0;
        for (size_t k = 0; k < classes; k++)
            all += p[k] = exp(p[k]);
        mmcl__scale_f64(classes, 1 / all, p);
    }
    /* t(x) takes the place of the rows, which nothing but the linear slope needs again: that one is gathered anew. */
    mmcl__gemm_f64(false, false, t->n, d, classes, 1, t->extra, classes, adapt->text, d, 0, t->f, d);
    mmcl__gemm_f64(false, true, t->n, classes, d, scale * t->eta, t->f, d, adapt->text, d, 1, t->scores, classes);
    mmcl__convert()->f32_to_f64(t->n * d, t->raw, t->f);
    return MMCL_OK;
}

static mmcl_status forward(struct training *t)
{
    const size_t d = t->adapt->inputs, classes = t->adapt->classes;
    memset(t->scores, 0, t->n * classes * sizeof *t->scores);
    if (t->caching->weights != NULL)
        mmcl__gemm_f64(false, true, t->n, classes, d, 1, t->f, d, t->linear, d, 0, t->scores, classes);
    MMCL__TRY(add_terms(t));
    MMCL__TRY(mmcl__parallel(t->adapt->context, (t->keys + BLOCK - 1) / BLOCK, multiply_block, t));
    add_cache(t);
    return MMCL_OK;
}

/* ----------------------------------------------------------------------------------------------------------- backward --- */

/* The mean cross-entropy; scores become its slopes. */
static double soften(struct training *t, const size_t *rows)
{
    const size_t classes = t->adapt->classes;
    double       loss    = 0;
    for (size_t i = 0; i < t->n; i++) {
        double      *s = t->scores + i * classes, top = -INFINITY, all = 0;
        const size_t label = (size_t) t->adapt->train.labels[rows[i]];
        for (size_t k = 0; k < classes; k++)
            top = fmax(top, s[k]);
        loss += top - s[label];
        for (size_t k = 0; k < classes; k++)
            all += s[k] = exp(s[k] - top);
        loss += log(all);
        for (size_t k = 0; k < classes; k++)
            s[k] = (s[k] / all - (k == label)) / (double) t->n;
    }
    return loss / (double) t->n;
}

/* Slopes of the affinities in their place, and of the weights. */
static void slope_affinities(struct training *t)
{
    const bool min_max = t->caching->cache->min_max;
    double    *to_lo = t->lo, *to_hi = t->extra; /* what the ends of the ranges get */
    memset(to_hi, 0, t->n * sizeof *to_hi);
    memset(to_lo, 0, t->n * sizeof *to_lo);
    for (size_t j = 0; j < t->keys; j++) {
        t->weight_slope[j] = 0;
        for (size_t i = 0; i < t->n; i++) {
            const size_t at    = j * t->batch + i;
            const double slope = t->alpha * t->scores[i * t->adapt->classes + (size_t) t->label[j]] * t->decay[at], a = t->affinity[at];
            t->weight_slope[j] += slope;
            t->affinity[at] = slope * t->weight[j];
            if (!min_max)
                continue;
            t->affinity[at] = t->range[i] > 0 ? t->affinity[at] / t->range[i] : 0;
            to_lo[i] += t->affinity[at] * (a - 1);
            to_hi[i] -= t->affinity[at] * a;
        }
    }
    for (size_t i = 0; i < t->n && min_max; i++) {
        t->affinity[t->lowest[i] * t->batch + i] += to_lo[i];
        t->affinity[t->highest[i] * t->batch + i] += to_hi[i];
    }
}

static void slope_block(void *argument, size_t i, uint32_t worker)
{
    (void) worker;
    struct training *t = argument;
    const size_t     first = i * BLOCK, count = MMCL__MIN((size_t) BLOCK, t->keys - first), w = t->width;
    mmcl__gemm_f64(false, false, count, w, t->n, 1, t->affinity + first * t->batch, t->batch, t->u, w, 0, t->key_slope + first * w, w);
}

static mmcl_status backward(struct training *t)
{
    const size_t d = t->adapt->inputs, classes = t->adapt->classes;
    slope_affinities(t);
    MMCL__TRY(mmcl__parallel(t->adapt->context, (t->keys + BLOCK - 1) / BLOCK, slope_block, t));
    if (t->caching->weights != NULL)
        mmcl__gemm_f64(true, false, classes, d, t->n, 1, t->scores, classes, t->f, d, 0, t->linear_slope, d);
    return MMCL_OK;
}

/* --------------------------------------------------------------------------------------------------- what is trained --- */

/* APE-T: a residual [classes, n_channels] to the keys of a class, and to its text where no map lies between; and weights. */
static void install_residual(struct training *t)
{
    const mmcl__adapt *adapt = t->adapt;
    const double      *residual = t->tuned[0].values, scale = adapt->options->logit_scale;
    memcpy(t->key, t->start, t->keys * t->width * sizeof *t->key);
    memcpy(t->weight, t->tuned[1].values, t->keys * sizeof *t->weight);
    for (size_t i = 0; i < adapt->classes * adapt->inputs; i++)
        t->linear[i] = scale * adapt->text[i];
    for (size_t j = 0; j < t->keys; j++)
        for (size_t c = 0; c < t->n_channels; c++)
            t->key[j * t->width + (size_t) t->channels[c]] += residual[(size_t) t->label[j] * t->n_channels + c];
    for (size_t k = 0; k < adapt->classes && adapt->data->transform == NULL; k++)
        for (size_t c = 0; c < t->n_channels; c++)
            t->linear[k * adapt->inputs + (size_t) t->channels[c]] += scale * residual[k * t->n_channels + c];
}

static void slope_residual(struct training *t)
{
    const mmcl__adapt *adapt = t->adapt;
    double            *slope = t->tuned[0].gradient;
    memset(slope, 0, t->tuned[0].size * sizeof *slope);
    memcpy(t->tuned[1].gradient, t->weight_slope, t->keys * sizeof *slope);
    for (size_t j = 0; j < t->keys; j++)
        for (size_t c = 0; c < t->n_channels; c++)
            slope[(size_t) t->label[j] * t->n_channels + c] += t->key_slope[j * t->width + (size_t) t->channels[c]];
    for (size_t k = 0; k < adapt->classes && adapt->data->transform == NULL; k++)
        for (size_t c = 0; c < t->n_channels; c++)
            slope[k * t->n_channels + c] +=
                adapt->options->logit_scale * t->linear_slope[k * adapt->inputs + (size_t) t->channels[c]];
}

/* CCA-FT: a matrix that the keys are multiplied with, and the text's weights. */
static void install_adapter(struct training *t)
{
    const mmcl__adapt *adapt = t->adapt;
    const size_t       w = t->width;
    mmcl__gemm_f64(false, true, t->keys, w, w, 1, t->start, w, t->tuned[0].values, w, 0, t->key, w);
    for (size_t i = 0; t->n_tuned == 2 && i < adapt->classes * adapt->inputs; i++)
        t->linear[i] = adapt->options->logit_scale * t->tuned[1].values[i];
}

static void slope_adapter(struct training *t)
{
    const mmcl__adapt *adapt = t->adapt;
    const size_t       w = t->width;
    const double      *m = t->tuned[0].values;
    mmcl__gemm_f64(true, false, w, w, t->keys, 1, t->key_slope, w, t->start, w, 0, t->tuned[0].gradient, w);
    for (size_t i = 0; i < w * w; i++)
        t->tuned[0].gradient[i] += 1e-5 * (double) ((m[i] > 0) - (m[i] < 0));
    for (size_t i = 0; t->n_tuned == 2 && i < adapt->classes * adapt->inputs; i++)
        t->tuned[1].gradient[i] = adapt->options->logit_scale * t->linear_slope[i];
}

/* Puts the parameters to where scores are taken from. */
static void install(struct training *t)
{
    if (t->method == MMCL_METHOD_TIP_F)
        memcpy(t->key, t->tuned[0].values, t->tuned[0].size * sizeof *t->key);
    else if (t->method == MMCL_METHOD_APE_T)
        install_residual(t);
    else
        install_adapter(t);
}

static void slope_parameters(struct training *t)
{
    if (t->method == MMCL_METHOD_TIP_F)
        memcpy(t->tuned[0].gradient, t->key_slope, t->tuned[0].size * sizeof *t->key);
    else if (t->method == MMCL_METHOD_APE_T)
        slope_residual(t);
    else
        slope_adapter(t);
}

/* What was trained, and the head's linear scores, into the cache and its head. */
static void hand_over(struct training *t)
{
    mmcl__cache  *cache = t->caching->cache;
    mmcl__adapt  *adapt = t->adapt;
    const size_t  w = t->width, texts = adapt->classes * adapt->inputs;
    for (size_t j = 0; j < t->keys; j++) {
        mmcl__convert()->f64_to_f32(w, t->key + j * w, cache->key + j * cache->stride);
        if (cache->weights != NULL)
            cache->weights[j] = (float) t->weight[j];
    }
    if (cache->adapter != NULL)
        memcpy(cache->adapter, t->tuned[0].values, w * w * sizeof *cache->adapter);
    for (size_t i = 0; cache->base != NULL && i < texts; i++)
        cache->base[i] = t->tuned[1].values[i];
    if (t->caching->weights != NULL)
        memcpy(t->caching->weights, t->linear, texts * sizeof *t->linear);
    mmcl__cache_keys_changed(cache);
}

/* ------------------------------------------------------------------------------------------------------------ the loop --- */

static double rate_of(const struct training *t, const struct tuned *tuned, uint64_t steps)
{
    return t->method == MMCL_METHOD_CCA_FT ? tuned->rate * pow(0.95, (double) (t->steps / 10)) : mmcl__cosine_rate(tuned->rate, t->steps, steps);
}

static mmcl_status take_step(struct training *t, mmcl__batches *batches, uint64_t steps)
{
    size_t        n;
    const size_t *rows = mmcl__batches_next(batches, &n);
    gather(t, rows, n);
    install(t);
    MMCL__TRY(forward(t));
    t->loss += soften(t, rows) * (double) n / (double) t->adapt->train.rows;
    MMCL__TRY(backward(t));
    slope_parameters(t);
    for (size_t i = 0; i < t->n_tuned; i++)
        mmcl__optimizer_step(&t->tuned[i].optimizer, rate_of(t, &t->tuned[i], steps), t->tuned[i].gradient, t->tuned[i].values);
    t->steps++;
    return mmcl__check_cancel(t->adapt->context);
}

/* Keeps the parameters when more val rows are right with them than ever; without val rows always. */
static mmcl_status keep_better(struct training *t, uint64_t epoch, uint64_t *most)
{
    uint64_t     right = 0;
    mmcl__adapt *adapt = t->adapt;
    if (adapt->val.rows > 0) {
        install(t);
        hand_over(t);
        MMCL__TRY(mmcl__caching_judge(t->caching, &right));
    }
    if (epoch == 1 || adapt->val.rows == 0 || right > *most) {
        *most              = right;
        adapt->info->epoch = epoch;
        for (size_t i = 0; i < t->n_tuned; i++)
            memcpy(t->tuned[i].best, t->tuned[i].values, t->tuned[i].size * sizeof(double));
    }
    return MMCL_OK;
}

static mmcl_status run_epochs(struct training *t, mmcl__batches *batches)
{
    mmcl__operation operation;
    mmcl_status     status = MMCL_OK;
    const uint64_t  each = mmcl__batches_count(batches), steps = t->epochs * each;
    uint64_t        most = 0;
    mmcl__begin(&operation, t->adapt->context, "train", t->epochs);
    for (uint64_t epoch = 1; epoch <= t->epochs && status == MMCL_OK; epoch++) {
        t->loss = 0;
        for (uint64_t i = 0; i < each && status == MMCL_OK; i++)
            status = take_step(t, batches, steps);
        if (status == MMCL_OK)
            status = keep_better(t, epoch, &most);
        if (status == MMCL_OK)
            status = mmcl__tick(&operation, epoch, t->loss);
    }
    return mmcl__end(&operation, status);
}

/* Trains from what the parameters are, and puts the best of them into the cache. */
static mmcl_status train(struct training *t)
{
    mmcl__batches    batches;
    mmcl__adapt     *adapt = t->adapt;
    mmcl__cache     *cache = t->caching->cache;
    const double     alpha = cache->alpha, beta = cache->beta;
    MMCL__TRY(mmcl__batches_open(&batches, adapt->context, adapt->train.rows, t->batch, false, (uint32_t) adapt->options->seed));
    cache->alpha       = t->alpha;
    cache->beta        = 1;
    mmcl_status status = run_epochs(t, &batches);
    mmcl__batches_close(&batches);
    cache->alpha = alpha;
    cache->beta  = beta;
    for (size_t i = 0; i < t->n_tuned; i++)
        memcpy(t->tuned[i].values, t->tuned[i].best, t->tuned[i].size * sizeof(double));
    install(t);
    hand_over(t);
    adapt->info->objective  = t->loss;
    adapt->info->iterations = t->steps;
    adapt->info->stop       = MMCL_STOP_ITERATIONS;
    adapt->info->flags |= adapt->val.rows > 0 ? MMCL_ADAPT_EPOCH_ON_VAL : 0;
    return status;
}

/* ------------------------------------------------------------------------------------------------------------- heads --- */

mmcl_status mmcl__head_tip_f(mmcl__adapt *adapt, mmcl_classifier **out)
{
    mmcl__caching    caching;
    mmcl__cache_form form = mmcl__caching_form(adapt, false);
    struct training  t    = {.caching = &caching, .adapt = adapt, .method = MMCL_METHOD_TIP_F, .n_tuned = 1};
    mmcl_status      status = mmcl__caching_open(&caching, adapt, &form);
    if (status == MMCL_OK) {
        t.tuned[0] = (struct tuned){.size = caching.cache->keys * caching.cache->width,
                                    .rate = mmcl__option_or(adapt->options->learning_rate, 1e-3)};
        status = open_training(&t, 0.01, 1e-4);
        if (status == MMCL_OK) {
            memcpy(t.tuned[0].values, t.start, t.tuned[0].size * sizeof(double));
            status = train(&t);
        }
        close_training(&t);
    }
    if (status == MMCL_OK)
        status = mmcl__caching_search(&caching);
    if (status == MMCL_OK)
        status = mmcl__caching_finish(&caching, out);
    mmcl__caching_close(&caching);
    return status;
}

/* Trains the residual of the chosen channels; affinities are taken over all of them, as the authors' program does. */
static mmcl_status train_residual(mmcl__caching *caching, const mmcl__channels *channels)
{
    mmcl__adapt    *adapt = caching->adapt;
    const double    rate  = mmcl__option_or(adapt->options->learning_rate, 1e-3);
    struct training t     = {.caching = caching, .adapt = adapt, .method = MMCL_METHOD_APE_T, .n_tuned = 2, .channels = channels->index,
                             .n_channels = channels->n};
    t.tuned[0]         = (struct tuned){.size = adapt->classes * channels->n, .rate = rate};
    t.tuned[1]         = (struct tuned){.size = caching->cache->keys, .rate = rate};
    mmcl_status status = open_training(&t, 0.1, 1e-3);
    if (status == MMCL_OK) {
        for (size_t j = 0; j < t.keys; j++)
            t.tuned[1].values[j] = 1;
        status = train(&t);
    }
    close_training(&t);
    return status;
}

mmcl_status mmcl__head_ape_t(mmcl__adapt *adapt, mmcl_classifier **out)
{
    mmcl__caching    caching = {.adapt = adapt};
    mmcl__channels   channels;
    mmcl__cache_form form = mmcl__caching_form(adapt, false);
    form.weighted         = true;
    mmcl_status status    = mmcl__channels_choose(&channels, adapt, 0.2, 0.8);
    if (status == MMCL_OK)
        status = mmcl__caching_open(&caching, adapt, &form);
    if (status == MMCL_OK)
        status = train_residual(&caching, &channels);
    if (status == MMCL_OK)
        status = mmcl__caching_search(&caching);
    if (status == MMCL_OK)
        status = mmcl__caching_finish(&caching, out);
    mmcl__caching_close(&caching);
    mmcl__channels_release(&channels);
    return status;
}

static mmcl_status train_adapter(mmcl__caching *caching)
{
    mmcl__adapt    *adapt = caching->adapt;
    const double    rate  = mmcl__option_or(adapt->options->learning_rate, 1e-3);
    const size_t    width = caching->cache->width, texts = adapt->classes * adapt->inputs;
    struct training t = {.caching = caching, .adapt = adapt, .method = MMCL_METHOD_CCA_FT, .n_tuned = adapt->text != NULL ? 2 : 1,
                         .gamma = mmcl__option_or(adapt->options->gamma_start, 1e-3), .eta = mmcl__option_or(adapt->options->eta_start, 1e-3)};
    t.tuned[0]         = (struct tuned){.size = width * width, .rate = rate};
    t.tuned[1]         = (struct tuned){.size = texts, .rate = rate / 10};
    mmcl_status status = open_training(&t, 0.01, 1e-4);
    if (status == MMCL_OK) {
        for (size_t i = 0; i < width; i++)
            t.tuned[0].values[i * width + i] = 1;
        if (adapt->text != NULL) {
            memcpy(t.tuned[1].values, adapt->text, texts * sizeof(double));
            memcpy(t.visual, caching->visual, texts * sizeof(double));
            mmcl__scale_f64(texts, 1 / caching->cache->scale, t.visual);
        }
        status = train(&t);
    }
    close_training(&t);
    return status;
}

mmcl_status mmcl__head_cca_ft(mmcl__adapt *adapt, mmcl_classifier **out)
{
    mmcl__caching    caching;
    mmcl__cache_form form = mmcl__caching_form(adapt, true);
    form.base             = form.text;
    mmcl_status status    = mmcl__caching_open(&caching, adapt, &form);
    if (status == MMCL_OK && adapt->text != NULL)
        status = mmcl__caching_set_visual(&caching);
    if (status == MMCL_OK)
        status = mmcl__cache_set_adapter(caching.cache);
    if (status == MMCL_OK)
        status = train_adapter(&caching);
    if (status == MMCL_OK)
        status = mmcl__caching_search_attention(&caching, true);
    if (status == MMCL_OK)
        status = mmcl__caching_finish(&caching, out);
    mmcl__caching_close(&caching);
    return status;
}
