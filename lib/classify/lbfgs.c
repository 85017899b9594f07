#include "classify/lbfgs.h"

#include "linalg/blas.h"

#include <math.h>
#include <string.h>

#define CHUNK ((size_t) 4096)
#define PAIRS MMCL__LBFGS_PAIRS

mmcl_status mmcl__lbfgs_open(mmcl__lbfgs *lbfgs, mmcl_context *context, size_t size, mmcl__lbfgs_apply apply, void *argument)
{
    *lbfgs = (mmcl__lbfgs){
        .context = context, .size = size, .chunks = (size + CHUNK - 1) / CHUNK, .apply = apply, .argument = argument};
    lbfgs->steps            = mmcl__alloc(context, PAIRS * size, sizeof *lbfgs->steps);
    lbfgs->changes          = mmcl__alloc(context, PAIRS * size, sizeof *lbfgs->changes);
    lbfgs->images           = mmcl__alloc(context, PAIRS * size, sizeof *lbfgs->images);
    lbfgs->image            = mmcl__alloc(context, size, sizeof *lbfgs->image);
    lbfgs->next             = mmcl__alloc(context, size, sizeof *lbfgs->next);
    lbfgs->partial          = mmcl__alloc(context, lbfgs->chunks * 3 * PAIRS, sizeof *lbfgs->partial);
    if (lbfgs->steps != NULL && lbfgs->changes != NULL && lbfgs->images != NULL && lbfgs->image != NULL &&
        lbfgs->next != NULL && lbfgs->partial != NULL)
        return MMCL_OK;
    mmcl__lbfgs_close(lbfgs);
    return MMCL_E_NOMEM;
}

void mmcl__lbfgs_close(mmcl__lbfgs *lbfgs)
{
    mmcl_context *context = lbfgs->context;
    mmcl__free(context, lbfgs->steps, PAIRS * lbfgs->size, sizeof *lbfgs->steps);
    mmcl__free(context, lbfgs->changes, PAIRS * lbfgs->size, sizeof *lbfgs->changes);
    mmcl__free(context, lbfgs->images, PAIRS * lbfgs->size, sizeof *lbfgs->images);
    mmcl__free(context, lbfgs->image, lbfgs->size, sizeof *lbfgs->image);
    mmcl__free(context, lbfgs->next, lbfgs->size, sizeof *lbfgs->next);
    mmcl__free(context, lbfgs->partial, lbfgs->chunks * 3 * PAIRS, sizeof *lbfgs->partial);
    *lbfgs = (mmcl__lbfgs){.context = context};
}

void mmcl__lbfgs_forget(mmcl__lbfgs *lbfgs)
{
    lbfgs->count = 0;
}

/* Slot of the pair that is `age` steps old. */
static size_t slot(const mmcl__lbfgs *lbfgs, size_t age)
{
    return (lbfgs->newest + PAIRS - age) % PAIRS;
}

/* ---------------------------------------------------------------------------------------------------------- sweeps --- */

/* What the tasks of a sweep share; each task takes one chunk of every vector. */
struct sweep {
    mmcl__lbfgs  *lbfgs;
    const double *vector;                    /* gradient, or direction when a pair is pushed */
    const double *before, *after;
    double       *direction;
    double        length;
    size_t        target;                    /* slot */
    double        along_s[PAIRS], along_y[PAIRS], scale;
};

static size_t extent(const mmcl__lbfgs *lbfgs, size_t chunk, size_t *first)
{
    *first = chunk * CHUNK;
    return MMCL__MIN(CHUNK, lbfgs->size - *first);
}

static void store_pair(void *argument, size_t chunk, uint32_t worker)
{
    (void) worker;
    const struct sweep *sweep = argument;
    mmcl__lbfgs        *lbfgs = sweep->lbfgs;
    size_t              first, n = extent(lbfgs, chunk, &first);
    double *restrict s = lbfgs->steps + sweep->target * lbfgs->size + first;
    double *restrict y = lbfgs->changes + sweep->target * lbfgs->size + first;
    double *restrict z = lbfgs->images + sweep->target * lbfgs->size + first;
    for (size_t i = 0; i < n; i++) {
        s[i] = sweep->length * sweep->vector[first + i];
        y[i] = sweep->after[first + i] - sweep->before[first + i];
        z[i] = lbfgs->next[first + i] - lbfgs->image[first + i];
    }
}

/* For the pair in slot t: s_i . y_t, s_t . y_i and y_i . H0 y_t for every i. */
static void pair_products(void *argument, size_t chunk, uint32_t worker)
{
    (void) worker;
    const struct sweep *sweep = argument;
    mmcl__lbfgs        *lbfgs = sweep->lbfgs;
    size_t              first, n = extent(lbfgs, chunk, &first);
    double             *out = lbfgs->partial + chunk * 3 * PAIRS;
    const double       *image = lbfgs->images + sweep->target * lbfgs->size + first;
    const double       *s = lbfgs->steps + sweep->target * lbfgs->size + first, *y = lbfgs->changes + sweep->target * lbfgs->size + first;
    for (size_t age = 0; age < lbfgs->count; age++) {
        size_t i = slot(lbfgs, age), at = i * lbfgs->size + first;
        out[i]             = mmcl__dot_f64(n, lbfgs->steps + at, y);
        out[PAIRS + i]     = mmcl__dot_f64(n, s, lbfgs->changes + at);
        out[2 * PAIRS + i] = mmcl__dot_f64(n, lbfgs->changes + at, image);
    }
}

/* s_i . g and y_i . H0 g. */
static void gradient_products(void *argument, size_t chunk, uint32_t worker)
{
    (void) worker;
    const struct sweep *sweep = argument;
    mmcl__lbfgs        *lbfgs = sweep->lbfgs;
    size_t              first, n = extent(lbfgs, chunk, &first);
    double             *out = lbfgs->partial + chunk * 3 * PAIRS;
    for (size_t age = 0; age < lbfgs->count; age++) {
        size_t i = slot(lbfgs, age), at = i * lbfgs->size + first;
        out[i]         = mmcl__dot_f64(n, lbfgs->steps + at, sweep->vector + first);
        out[PAIRS + i] = mmcl__dot_f64(n, lbfgs->changes + at, lbfgs->image + first);
    }
}

/* direction = scale (H0 gradient + sum along_y H0 y_i) + sum along_s s_i. */
static void combine(void *argument, size_t chunk, uint32_t worker)
{
    (void) worker;
    const struct sweep *sweep = argument;
    mmcl__lbfgs        *lbfgs = sweep->lbfgs;
    size_t              first, n = extent(lbfgs, chunk, &first);
    double             *d = sweep->direction + first;
    memcpy(d, lbfgs->image + first, n * sizeof *d);
    for (size_t age = 0; age < lbfgs->count; age++) {
        size_t i = slot(lbfgs, age);
        mmcl__axpy_f64(n, sweep->along_y[i], lbfgs->images + i * lbfgs->size + first, d);
    }
    mmcl__scale_f64(n, sweep->scale, d);
    for (size_t age = 0; age < lbfgs->count; age++) {
        size_t i = slot(lbfgs, age);
        mmcl__axpy_f64(n, sweep->along_s[i], lbfgs->steps + i * lbfgs->size + first, d);
    }
    lbfgs->partial[chunk * 3 * PAIRS] = mmcl__dot_f64(n, d, sweep->vector + first);
}

static double total(const mmcl__lbfgs *lbfgs, size_t which)
{
    double sum = 0;
    for (size_t chunk = 0; chunk < lbfgs->chunks; chunk++)
        sum += lbfgs->partial[chunk * 3 * PAIRS + which];
    return sum;
}

/* ----------------------------------------------------------------------------------------------------------- pairs --- */

static mmcl_status refresh_pair(mmcl__lbfgs *lbfgs, size_t target)
{
    struct sweep sweep = {.lbfgs = lbfgs, .target = target};
    MMCL__TRY(mmcl__parallel(lbfgs->context, lbfgs->chunks, pair_products, &sweep));
    for (size_t age = 0; age < lbfgs->count; age++) {
        size_t i = slot(lbfgs, age);
        lbfgs->sy[i][target]  = total(lbfgs, i);
        lbfgs->sy[target][i]  = total(lbfgs, PAIRS + i);
        lbfgs->ydy[i][target] = lbfgs->ydy[target][i] = total(lbfgs, 2 * PAIRS + i);
    }
    return MMCL_OK;
}

mmcl_status mmcl__lbfgs_refresh(mmcl__lbfgs *lbfgs, const double *gradient, bool changed)
{
    MMCL__TRY(lbfgs->apply(lbfgs->argument, gradient, lbfgs->image));
    for (size_t age = 0; age < lbfgs->count && changed; age++) {
        size_t at = slot(lbfgs, age) * lbfgs->size;
        MMCL__TRY(lbfgs->apply(lbfgs->argument, lbfgs->changes + at, lbfgs->images + at));
    }
    for (size_t age = 0; age < lbfgs->count && changed; age++)
        MMCL__TRY(refresh_pair(lbfgs, slot(lbfgs, age)));
    return MMCL_OK;
}

mmcl_status mmcl__lbfgs_push(mmcl__lbfgs *lbfgs, double length, const double *direction, const double *before, const double *after)
{
    size_t       target = (lbfgs->newest + 1) % PAIRS;
    struct sweep sweep  = {
         .lbfgs = lbfgs, .vector = direction, .before = before, .after = after, .length = length, .target = target};
    MMCL__TRY(lbfgs->apply(lbfgs->argument, after, lbfgs->next));
    MMCL__TRY(mmcl__parallel(lbfgs->context, lbfgs->chunks, store_pair, &sweep));
    double *image = lbfgs->image;
    lbfgs->image  = lbfgs->next;
    lbfgs->next   = image;
    size_t kept   = lbfgs->count;
    lbfgs->newest = target;
    lbfgs->count  = MMCL__MIN(lbfgs->count + 1, PAIRS);
    MMCL__TRY(refresh_pair(lbfgs, target));
    if (!(lbfgs->sy[target][target] > 0) || !isfinite(lbfgs->ydy[target][target])) {
        lbfgs->newest = (target + PAIRS - 1) % PAIRS;
        lbfgs->count  = MMCL__MIN(kept, PAIRS - 1); /* the slot's former pair is gone */
    }
    return MMCL_OK;
}

/* ------------------------------------------------------------------------------------------------------- direction --- */

mmcl_status mmcl__lbfgs_direction(mmcl__lbfgs *lbfgs, const double *gradient, double *direction, double *slope)
{
    struct sweep sweep = {.lbfgs = lbfgs, .vector = gradient, .direction = direction, .scale = -1};
    size_t       count = lbfgs->count;
    double       alpha[PAIRS];
    if (count > 0) {
        MMCL__TRY(mmcl__parallel(lbfgs->context, lbfgs->chunks, gradient_products, &sweep));
        size_t newest = slot(lbfgs, 0);
        double gamma  = lbfgs->sy[newest][newest] / lbfgs->ydy[newest][newest];
        for (size_t age = 0; age < count; age++) { /* newest first: q = g - sum alpha_j y_j */
            size_t i = slot(lbfgs, age);
            alpha[i] = total(lbfgs, i);
            for (size_t newer = 0; newer < age; newer++)
                alpha[i] -= alpha[slot(lbfgs, newer)] * lbfgs->sy[i][slot(lbfgs, newer)];
            alpha[i] /= lbfgs->sy[i][i];
            sweep.along_y[i] = -alpha[i];
        }
        for (size_t age = count; age-- > 0;) { /* oldest first: r = gamma H0 q + sum (alpha_j - beta_j) s_j */
            size_t i    = slot(lbfgs, age);
            double beta = total(lbfgs, PAIRS + i);
            for (size_t other = 0; other < count; other++)
                beta -= alpha[slot(lbfgs, other)] * lbfgs->ydy[i][slot(lbfgs, other)];
            beta *= gamma;
            for (size_t older = age + 1; older < count; older++)
                beta -= sweep.along_s[slot(lbfgs, older)] * lbfgs->sy[slot(lbfgs, older)][i];
            sweep.along_s[i] = -(alpha[i] - beta / lbfgs->sy[i][i]);
        }
        sweep.scale = -gamma;
    }
    MMCL__TRY(mmcl__parallel(lbfgs->context, lbfgs->chunks, combine, &sweep));
    *slope = total(lbfgs, 0);
    return MMCL_OK;
}
