#include "model/mixing.h"

#include "core/rng.h"
#include "linalg/blas.h"

#include <math.h>
#include <string.h>

/* ---------------------------------------------------------------------------------------------------------- matrices --- */

void mmcl__mixing_matrix(size_t n, const mmcl__mixing_source *source, uint32_t index, double *out)
{
    const uint32_t key[2] = {(uint32_t) source->seed, (uint32_t) (source->seed >> 32)};
    for (size_t at = 0; at < n * n; at += 4) {
        uint32_t words[4];
        mmcl__philox((uint32_t[]){(uint32_t) (at / 4), index, source->layer, 0x4d495800u | source->side}, key, words);
        for (size_t i = 0; i < 4 && at + i < n * n; i++)
            out[at + i] = (words[i] + 0.5) * 0x1p-31 - 1;
    }
    for (size_t j = 0; j < n; j++) {
        double square = 0;
        for (size_t i = 0; i < n; i++)
            square += out[i * n + j] * out[i * n + j];
        for (size_t i = 0; i < n; i++)
            out[i * n + j] /= sqrt(square);
    }
}

/* Makes rows p and q of a orthogonal by a rotation; true when they were not. */
static bool rotate(size_t n, double *p, double *q)
{
    double pp = 0, qq = 0, pq = 0;
    for (size_t i = 0; i < n; i++) {
        pp += p[i] * p[i];
        qq += q[i] * q[i];
        pq += p[i] * q[i];
    }
    if (fabs(pq) <= 1e-15 * sqrt(pp * qq))
        return false;
    double zeta = (qq - pp) / (2 * pq), t = (zeta < 0 ? -1 : 1) / (fabs(zeta) + hypot(1, zeta)), c = 1 / hypot(1, t), s = c * t;
    for (size_t i = 0; i < n; i++) {
        double kept = p[i];
        p[i]        = c * kept - s * q[i];
        q[i]        = s * kept + c * q[i];
    }
    return true;
}

double mmcl__condition(size_t n, double *a)
{
    bool again = true;
    for (int sweep = 0; sweep < 60 && again; sweep++) {
        again = false;
        for (size_t i = 0; i < n; i++)
            for (size_t j = i + 1; j < n; j++)
                again |= rotate(n, a + i * n, a + j * n);
    }
    double least = INFINITY, most = 0;
    for (size_t i = 0; i < n; i++) {
        double square = 0;
        for (size_t j = 0; j < n; j++)
            square += a[i * n + j] * a[i * n + j];
        least = fmin(least, square);
        most  = fmax(most, square);
    }
    return least > 0 ? sqrt(most / least) : INFINITY;
}

static void reference_bound(size_t n, const mmcl__mixing_source *source, uint32_t first, double limit, double *scratch,
                            double bounds[MMCL__MIXING_LANES])
{
    (void) limit;
    for (uint32_t i = 0; i < MMCL__MIXING_LANES; i++) {
        mmcl__mixing_matrix(n, source, first + i, scratch);
        bounds[i] = mmcl__condition(n, scratch);
    }
}

const mmcl__mixing_kernels mmcl__mixing_bounds_reference = {reference_bound};

/* ------------------------------------------------------------------------------------------------------------ memory --- */

mmcl_status mmcl__mixing_create(mmcl__mixing *out, mmcl_context *context, size_t width, size_t layers, double slope)
{
    size_t count = layers * width * width;
    *out         = (mmcl__mixing){.context = context, .width = width, .layers = layers, .slope = slope};
    if (layers == 0)
        return MMCL_OK;
    out->matrices   = mmcl__alloc(context, count, sizeof *out->matrices);
    out->inverses   = mmcl__alloc(context, count, sizeof *out->inverses);
    out->matrices32 = mmcl__alloc(context, count, sizeof *out->matrices32);
    out->conditions = mmcl__alloc(context, layers, sizeof *out->conditions);
    if (out->matrices != NULL && out->inverses != NULL && out->matrices32 != NULL && out->conditions != NULL)
        return MMCL_OK;
    mmcl__mixing_destroy(out);
    return MMCL_E_NOMEM;
}

void mmcl__mixing_destroy(mmcl__mixing *mixing)
{
    size_t count = mixing->layers * mixing->width * mixing->width;
    if (mixing->layers > 0) {
        mmcl__free(mixing->context, mixing->matrices, count, sizeof *mixing->matrices);
        mmcl__free(mixing->context, mixing->inverses, count, sizeof *mixing->inverses);
        mmcl__free(mixing->context, mixing->matrices32, count, sizeof *mixing->matrices32);
        mmcl__free(mixing->context, mixing->conditions, mixing->layers, sizeof *mixing->conditions);
    }
    *mixing = (mmcl__mixing){0};
}

mmcl_status mmcl__mixing_finish(mmcl__mixing *mixing)
{
    size_t      n = mixing->width, square = n * n;
    double     *scratch = mmcl__alloc(mixing->context, square, sizeof *scratch);
    mmcl_status status  = scratch != NULL ? MMCL_OK : MMCL_E_NOMEM;
    mmcl__blas_enter(mixing->context->blas_policy);
    for (size_t layer = 0; layer < mixing->layers && status == MMCL_OK; layer++) {
        const double *matrix  = mixing->matrices + layer * square;
        double       *inverse = mixing->inverses + layer * square;
        for (size_t i = 0; i < square && status == MMCL_OK; i++) {
            mixing->matrices32[layer * square + i] = (float) matrix[i];
            if (!isfinite(mixing->matrices32[layer * square + i]))
                status = mmcl__fail(mixing->context, MMCL_E_NUMERIC, "mixing: layer %zu has an element of %g", layer, matrix[i]);
        }
        if (status != MMCL_OK)
            break;
        memcpy(scratch, matrix, square * sizeof *scratch);
        mixing->conditions[layer] = mmcl__condition(n, scratch);
        for (size_t i = 0; i < square; i++) { /* the inverse of what is applied: the rounded matrix */
            scratch[i] = mixing->matrices32[layer * square + i];
            inverse[i] = i % (n + 1) == 0;
        }
        status = mmcl__solve(mixing->context, n, n, scratch, inverse, NULL);
    }
    mmcl__blas_leave(mixing->context->blas_policy);
    mmcl__free(mixing->context, scratch, square, sizeof *scratch);
    return status;
}

/* ----------------------------------------------------------------------------------------------------------- drawing --- */

#define GROUPS 8  /* of MMCL__MIXING_LANES draws in a task */
#define TASKS 32  /* in a round: between rounds the best so far is passed on, and the host may cancel */
#define PER_TASK (GROUPS * MMCL__MIXING_LANES)
#define PER_ROUND (TASKS * PER_TASK)

typedef struct search {
    mmcl__mixing_source source;
    size_t              n;
    uint32_t            first, draws; /* of this round: first ... first + draws - 1 */
    double              bound;
    double              best;         /* condition number; of the rounds before, then of this one too */
    uint32_t            best_index;
    const mmcl__mixing_kernels *kernels;
    double             *scratch;      /* [workers] of scratch_count */
    size_t              scratch_count;
    struct found {
        double   best;
        uint32_t best_index, met; /* met: the first that meets the bound, or UINT32_MAX */
    } found[TASKS];
} search;

/*
 * What is skipped has a condition number above the best of the rounds before or of this task, and above the bound: the choice does
 * not depend on which task or round a draw belongs to. The factor keeps rounding from skipping a draw that is as good.
 */
static void search_task(void *argument, size_t task, uint32_t worker)
{
    search       *s       = argument;
    struct found *found   = &s->found[task];
    double       *scratch = s->scratch + worker * s->scratch_count, bounds[MMCL__MIXING_LANES];
    *found                = (struct found){.best = s->best, .best_index = s->best_index, .met = UINT32_MAX};
    for (uint32_t at = (uint32_t) task * PER_TASK; at < MMCL__MIN(s->draws, ((uint32_t) task + 1) * PER_TASK);
         at += MMCL__MIXING_LANES) {
        double limit = fmax(found->best, s->bound) * (1 + 1e-9);
        s->kernels->bound(s->n, &s->source, s->first + at, limit, scratch, bounds);
        for (uint32_t i = 0; i < MMCL__MIXING_LANES && at + i < s->draws; i++) {
            if (bounds[i] > limit)
                continue;
            mmcl__mixing_matrix(s->n, &s->source, s->first + at + i, scratch);
            double condition = mmcl__condition(s->n, scratch);
            if (condition < found->best) {
                found->best       = condition;
                found->best_index = s->first + at + i;
            }
            if (condition <= s->bound && found->met == UINT32_MAX)
                found->met = s->first + at + i;
        }
    }
}

/* One round; *met is the first draw that meets the bound, or UINT32_MAX. */
static mmcl_status search_round(mmcl_context *context, search *s, uint32_t *met)
{
    size_t tasks = (s->draws + PER_TASK - 1) / PER_TASK;
    MMCL__TRY(mmcl__parallel(context, tasks, search_task, s));
    *met = UINT32_MAX;
    for (size_t i = 0; i < tasks; i++) {
        if (s->found[i].best < s->best) {
            s->best       = s->found[i].best;
            s->best_index = s->found[i].best_index;
        }
        *met = MMCL__MIN(*met, s->found[i].met);
    }
    return MMCL_OK;
}

/* Chooses one layer's matrix. */
static mmcl_status search_layer(mmcl__operation *operation, search *s, uint64_t draws, uint64_t *done, uint32_t *chosen)
{
    s->best = INFINITY;
    for (uint64_t first = 0; first < draws; first += PER_ROUND) {
        uint32_t met;
        s->first = (uint32_t) first;
        s->draws = (uint32_t) MMCL__MIN(draws - first, PER_ROUND);
        MMCL__TRY(search_round(operation->context, s, &met));
        *done += s->draws;
        MMCL__TRY(mmcl__tick(operation, *done, s->best));
        if (met != UINT32_MAX) {
            *done += draws - first - s->draws;
            *chosen = met;
            return MMCL_OK;
        }
    }
    *chosen = s->best_index;
    return MMCL_OK;
}

static mmcl_status draw_layers(mmcl__mixing *mixing, mmcl__operation *operation, search *s, uint64_t draws, const char *name)
{
    uint64_t done = 0;
    for (size_t layer = 0; layer < mixing->layers; layer++) {
        uint32_t chosen;
        s->source.layer = (uint32_t) layer;
        MMCL__TRY(search_layer(operation, s, draws, &done, &chosen));
        if (s->bound > 0 && s->best > s->bound)
            return mmcl__fail(operation->context, MMCL_E_INVAL,
                              "condition_bound: %g, but the best of %llu draws for layer %zu of %s (%zu columns) has %.6g", s->bound,
                              (unsigned long long) draws, layer, name, s->n, s->best);
        mmcl__mixing_matrix(s->n, &s->source, chosen, mixing->matrices + layer * s->n * s->n);
    }
    return MMCL_OK;
}

mmcl_status mmcl__mixing_draw(mmcl__mixing *mixing, uint64_t seed, uint32_t side, uint64_t draws, double bound, const char *name)
{
    size_t          n = mixing->width, workers = mmcl__width(mixing->context);
    search          s = {.source = {.seed = seed, .side = side}, .n = n, .bound = bound, .kernels = mmcl__mixing_bounds()};
    mmcl__operation operation;
    s.scratch_count = 2 * n * (n + 1) * MMCL__MIXING_LANES;
    s.scratch       = mmcl__alloc(mixing->context, workers * s.scratch_count, sizeof *s.scratch);
    if (s.scratch == NULL)
        return MMCL_E_NOMEM;
    mmcl__begin(&operation, mixing->context, name, mixing->layers * draws);
    mmcl_status status = mmcl__end(&operation, draw_layers(mixing, &operation, &s, draws, name));
    mmcl__free(mixing->context, s.scratch, workers * s.scratch_count, sizeof *s.scratch);
    return status;
}
