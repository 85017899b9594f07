#include "analysis/analysis.h"

#include "core/rng.h"
#include "linalg/blas.h"

#include <math.h>
#include <string.h>

/* ------------------------------------------------------------------------------------------------------------- runs --- */

static void draw_rows(size_t n, uint64_t seed, uint64_t run, size_t *index)
{
    for (size_t i = 0; i < n; i++)
        index[i] = (size_t) (mmcl__philox_uniform(seed, i, (uint32_t) run, 0x626f6f74) * (double) n);
}

static mmcl_status moments_of(mmcl_stability *s, const mmcl__rows *rows, mmcl_moments **out)
{
    const mmcl__source source = {.rows = rows, .cols = rows->cols};
    MMCL__TRY(mmcl__moments_create(out, s->context, rows->cols));
    return mmcl__moments_add(*out, &source);
}

/* Solves run `run` on whitened rows; its maps on the input go to their place. `w` [k, k]. */
static mmcl_status solve(const mmcl_stability *s, size_t run, const mmcl_transform *whitening, mmcl__ica_rows *rows, double *w, uint64_t *converged)
{
    mmcl__ica_problem problem = {.options = &s->step, .w = w};
    size_t            k = s->k, cols = s->cols;
    mmcl__draw_normal((uint32_t) (s->options.seed + run), k * k, w);
    MMCL__TRY(mmcl__ica_solve(&problem, rows));
    *converged += problem.stop == MMCL_STOP_TOLERANCE || problem.stop == MMCL_STOP_CLOSED_FORM;
    mmcl__gemm_f64(false, false, k, cols, k, 1, w, k, whitening->steps[0].matrix, cols, 0, s->maps + run * k * cols, cols);
    return MMCL_OK;
}

/* Runs first ... last - 1 on the same rows, one after the other, each on all threads. */
static mmcl_status solve_in_turn(mmcl_stability *s, const mmcl_transform *whitening, mmcl__ica_rows *rows, size_t first, size_t last,
                                 mmcl__operation *operation)
{
    double     *w      = mmcl__alloc(s->context, s->k * s->k, sizeof *w);
    mmcl_status status = w == NULL ? MMCL_E_NOMEM : MMCL_OK;
    for (size_t run = first; run < last && status == MMCL_OK; run++) {
        status = solve(s, run, whitening, rows, w, &s->info.converged);
        if (status == MMCL_OK)
            status = mmcl__tick(operation, run + 1, NAN);
    }
    mmcl__free(s->context, w, s->k * s->k, sizeof *w);
    return status;
}

/* ------------------------------------------------------------------------------------------------- runs side by side --- */

/* All runs, each on one thread: nothing that they do waits for another. */
struct runs {
    mmcl_stability       *s;
    const mmcl_transform *whitening;
    mmcl__operation      *operation;
    struct runner        *runner; /* [workers] */
    atomic_size_t         done;
    atomic_int            stop;   /* one failed, or the host wants to stop */
};

struct runner {
    struct runs   *runs;
    bool           first;  /* worker 0, on the thread that the host called on: there it hears how far the runs are */
    mmcl__annex    annex;
    mmcl__ica_rows rows;
    double        *w;
    uint64_t       converged;
    mmcl_status    status;
};

/* What a runner's solver reports to: whether it is to stop. */
static int32_t listen(void *user, const mmcl_progress *event)
{
    struct runner *runner = user;
    struct runs   *runs   = runner->runs;
    if (event->finished)
        return 0;
    if (runner->first && runner->status == MMCL_OK)
        runner->status = mmcl__tick(runs->operation, atomic_load(&runs->done), NAN);
    if (runner->status != MMCL_OK)
        atomic_store(&runs->stop, 1);
    return atomic_load(&runs->stop) || atomic_load(&runs->s->context->cancelled);
}

static void run_alone(void *argument, size_t run, uint32_t worker)
{
    struct runs   *runs   = argument;
    struct runner *runner = &runs->runner[worker];
    if (atomic_load(&runs->stop))
        return;
    mmcl_status status = solve(runs->s, run, runs->whitening, &runner->rows, runner->w, &runner->converged);
    atomic_fetch_add(&runs->done, 1);
    if (status == MMCL_OK || atomic_load(&runs->stop)) /* whose stop may be the reason for the failure */
        return;
    runner->status = status;
    atomic_store(&runs->stop, 1);
}

static mmcl_status open_runner(struct runner *runner, struct runs *runs, const mmcl__ica_rows *rows, bool first)
{
    const size_t   k = runs->s->k;
    const uint64_t room = mmcl__ica_annex_bytes(rows, &runs->s->step) + MMCL__ANNEX_BYTES(k * k * sizeof *runner->w);
    mmcl_context  *context = &runner->annex.context;
    runner->runs  = runs;
    runner->first = first;
    MMCL__TRY(mmcl__annex_open(&runner->annex, runs->s->context, room));
    context->progress      = listen;
    context->progress_user = runner;
    MMCL__TRY(mmcl__ica_rows_share(&runner->rows, rows, context));
    runner->w = mmcl__alloc(context, k * k, sizeof *runner->w);
    return runner->w != NULL ? MMCL_OK : MMCL_E_NOMEM;
}

static void close_runner(struct runner *runner)
{
    mmcl_stability *s = runner->runs->s;
    s->info.passes += runner->rows.passes;
    s->info.converged += runner->converged;
    mmcl__free(&runner->annex.context, runner->w, s->k * s->k, sizeof *runner->w);
    if (runner->rows.shares)
        mmcl__ica_rows_close(&runner->rows);
    mmcl__annex_close(&runner->annex);
}

/* The first failure by number of runner. What it was, the runner's own context says; a callback's cancellation has been told already. */
static mmcl_status outcome(const struct runs *runs, uint32_t workers)
{
    for (uint32_t i = 0; i < workers; i++) {
        const struct runner *runner = &runs->runner[i];
        if (runner->status == MMCL_E_CANCELLED) {
            MMCL__TRY(mmcl__check_cancel(runs->s->context));
            return runner->status;
        }
        if (runner->status != MMCL_OK)
            return mmcl__fail(runs->s->context, runner->status, "%s", runner->annex.context.message);
    }
    return MMCL_OK;
}

static mmcl_status solve_side_by_side(mmcl_stability *s, const mmcl_transform *whitening, const mmcl__ica_rows *rows, mmcl__operation *operation)
{
    uint32_t    workers = (uint32_t) MMCL__MIN(mmcl__width(s->context), s->runs), opened = 0;
    struct runs runs    = {.s = s, .whitening = whitening, .operation = operation};
    runs.runner         = mmcl__calloc(s->context, workers, sizeof *runs.runner);
    mmcl_status status  = runs.runner != NULL ? MMCL_OK : MMCL_E_NOMEM;
    for (; opened < workers && status == MMCL_OK; opened++)
        status = open_runner(&runs.runner[opened], &runs, rows, opened == 0);
    if (status == MMCL_OK)
        status = mmcl__parallel(s->context, s->runs, run_alone, &runs);
    if (status == MMCL_OK)
        status = outcome(&runs, workers);
    for (uint32_t i = 0; i < opened; i++)
        close_runner(&runs.runner[i]);
    mmcl__free(s->context, runs.runner, workers, sizeof *runs.runner);
    return status == MMCL_OK ? mmcl__tick(operation, s->runs, NAN) : status;
}

/* Runs first ... last - 1 on the same rows. */
static mmcl_status solve_runs(mmcl_stability *s, const mmcl__rows *data, const mmcl_transform *whitening, size_t first, size_t last,
                              mmcl__operation *operation)
{
    const mmcl__source source = {.rows = data, .cols = data->cols};
    mmcl__ica_rows     rows;
    MMCL__TRY(mmcl__ica_rows_open(&rows, s->context, &source, &whitening->stages[0], s->step.precision, s->options.cache_bytes,
                                  s->step.algorithm == MMCL_ICA_PICARD_FREE));
    bool        several = last - first > 1 && mmcl__width(s->context) > 1 && mmcl__works_itself(s->context);
    mmcl_status status  = several ? solve_side_by_side(s, whitening, &rows, operation) : solve_in_turn(s, whitening, &rows, first, last, operation);
    s->info.passes += rows.passes;
    mmcl__ica_rows_close(&rows);
    return status;
}

static mmcl_status run_on(mmcl_stability *s, const mmcl__rows *rows, size_t run, mmcl__operation *operation)
{
    mmcl_moments   *moments   = NULL;
    mmcl_transform *whitening = NULL;
    mmcl_status     status    = moments_of(s, rows, &moments);
    if (status == MMCL_OK)
        status = mmcl__fit_whitening(moments, s->k, false, &whitening); /* resampled rows have to give as many */
    if (status == MMCL_OK)
        status = solve_runs(s, rows, whitening, run, run + 1, operation);
    s->info.passes++;
    mmcl__transform_destroy(whitening);
    mmcl__moments_destroy(moments);
    return status;
}

static mmcl_status run_bootstrap(mmcl_stability *s, const mmcl__rows *rows, mmcl__operation *operation)
{
    mmcl__drawn       d      = {.rows = rows, .index = mmcl__alloc(s->context, rows->rows, sizeof(size_t))};
    mmcl_status       status = d.index == NULL ? MMCL_E_NOMEM : MMCL_OK;
    const mmcl_matrix view   = mmcl__drawn_view(&d, rows->rows);
    for (size_t run = 0; run < s->runs && status == MMCL_OK; run++) {
        mmcl__rows resampled;
        draw_rows(rows->rows, s->options.seed, run, d.index);
        status = mmcl__rows_open(s->context, &resampled, &view, 1, "parts");
        if (status == MMCL_OK) {
            status = run_on(s, &resampled, run, operation);
            mmcl__rows_close(s->context, &resampled);
        }
    }
    mmcl__free(s->context, d.index, rows->rows, sizeof(size_t));
    return status;
}

/* --------------------------------------------------------------------------------------------------------- clusters --- */

/* out [items, items] = |correlation| of the items' outputs, from the covariance of the rows. */
static mmcl_status compare(mmcl_stability *s, const mmcl_moments *moments, float *out)
{
    size_t  n = s->items, cols = s->cols, tile = 256;
    double *covariance = mmcl__alloc(s->context, cols * cols, sizeof *covariance), *half = mmcl__alloc(s->context, n * cols, sizeof *half);
    double *piece = mmcl__alloc(s->context, tile * n, sizeof *piece), *scale = mmcl__alloc(s->context, n, sizeof *scale);
    mmcl_status status = covariance == NULL || half == NULL || piece == NULL || scale == NULL ? MMCL_E_NOMEM : MMCL_OK;
    if (status == MMCL_OK) {
        memcpy(covariance, moments->scatter, cols * cols * sizeof *covariance);
        mmcl__symmetrize(cols, covariance, cols);
        mmcl__gemm_f64(false, false, n, cols, cols, 1, s->maps, cols, covariance, cols, 0, half, cols);
        for (size_t i = 0; i < n; i++)
            scale[i] = 1 / sqrt(mmcl__dot_f64(cols, half + i * cols, s->maps + i * cols));
        for (size_t first = 0; first < n; first += tile) {
            size_t rows = MMCL__MIN(tile, n - first);
            mmcl__gemm_f64(false, true, rows, n, cols, 1, half + first * cols, cols, s->maps, cols, 0, piece, n);
            for (size_t i = 0; i < rows; i++)
                for (size_t j = 0; j < n; j++)
                    out[(first + i) * n + j] = (float) fmin(1, fabs(piece[i * n + j]) * scale[first + i] * scale[j]);
        }
    }
    mmcl__free(s->context, covariance, cols * cols, sizeof *covariance);
    mmcl__free(s->context, half, n * cols, sizeof *half);
    mmcl__free(s->context, piece, tile * n, sizeof *piece);
    mmcl__free(s->context, scale, n, sizeof *scale);
    return status;
}

/* Index, size and centrotype of each cluster. */
static void judge(mmcl_stability *s, const float *similarity)
{
    size_t n = s->items;
    memset(s->size, 0, s->k * sizeof *s->size);
    for (size_t i = 0; i < n; i++)
        s->size[s->cluster[i]]++;
    for (size_t c = 0; c < s->k; c++) {
        double within = 0, across = 0, most = -1, size = (double) s->size[c];
        for (size_t i = 0; i < n; i++) {
            double inside = 0, outside = 0;
            if (s->cluster[i] != c)
                continue;
            for (size_t j = 0; j < n; j++)
                *(s->cluster[j] == c ? &inside : &outside) += (double) similarity[i * n + j];
            within += inside;
            across += outside;
            if (inside > most) {
                most         = inside;
                s->centre[c] = (uint32_t) i;
            }
        }
        s->index[c] = within / (size * size) - (n > s->size[c] ? across / (size * ((double) n - size)) : 0);
    }
}

/* Clusters are numbered by descending index. `place` [k] is scratch. */
static void rank_clusters(mmcl_stability *s, uint32_t *place)
{
    for (size_t c = 0; c < s->k; c++)
        place[c] = (uint32_t) c; /* which cluster stands at a rank */
    for (size_t c = 0; c < s->k; c++) {
        size_t best = c;
        for (size_t other = c + 1; other < s->k; other++)
            if (s->index[other] > s->index[best])
                best = other;
        double   index = s->index[best];
        uint64_t size  = s->size[best];
        uint32_t centre = s->centre[best], number = place[best];
        for (size_t i = best; i > c; i--) { /* the others keep their order */
            s->index[i] = s->index[i - 1], s->size[i] = s->size[i - 1];
            s->centre[i] = s->centre[i - 1], place[i] = place[i - 1];
        }
        s->index[c] = index, s->size[c] = size, s->centre[c] = centre, place[c] = number;
    }
    for (size_t i = 0; i < s->items; i++)
        for (uint32_t rank = 0; rank < s->k; rank++)
            if (place[rank] == s->cluster[i]) {
                s->cluster[i] = rank;
                break;
            }
}

static mmcl_status cluster(mmcl_stability *s, const mmcl_moments *moments)
{
    size_t      n = s->items, cells = n * n;
    float      *similarity = mmcl__alloc(s->context, cells, sizeof *similarity), *worn = mmcl__alloc(s->context, cells, sizeof *worn);
    uint32_t   *place  = mmcl__alloc(s->context, s->k, sizeof *place);
    mmcl_status status = similarity == NULL || worn == NULL || place == NULL ? MMCL_E_NOMEM : compare(s, moments, similarity);
    if (status == MMCL_OK) {
        memcpy(worn, similarity, cells * sizeof *worn);
        status = mmcl__average_linkage(s->context, n, worn, s->k, s->cluster);
    }
    if (status == MMCL_OK) {
        judge(s, similarity);
        rank_clusters(s, place);
    }
    mmcl__free(s->context, similarity, cells, sizeof *similarity);
    mmcl__free(s->context, worn, cells, sizeof *worn);
    mmcl__free(s->context, place, s->k, sizeof *place);
    return status;
}

/* ----------------------------------------------------------------------------------------------------------- handle --- */

static mmcl_status reserve(mmcl_stability *s)
{
    if (!mmcl__mul(s->runs, s->k, &s->items) || s->items > MMCL__MOST_ITEMS)
        return mmcl__fail(s->context, MMCL_E_INVAL, "runs: %zu times %zu components, expected at most %zu in all", s->runs, s->k,
                          MMCL__MOST_ITEMS);
    s->mean    = mmcl__alloc(s->context, s->cols, sizeof *s->mean);
    s->maps    = mmcl__alloc(s->context, s->items * s->cols, sizeof *s->maps);
    s->cluster = mmcl__alloc(s->context, s->items, sizeof *s->cluster);
    s->centre  = mmcl__alloc(s->context, s->k, sizeof *s->centre);
    s->size    = mmcl__alloc(s->context, s->k, sizeof *s->size);
    s->index   = mmcl__alloc(s->context, s->k, sizeof *s->index);
    bool all   = s->mean != NULL && s->maps != NULL && s->cluster != NULL && s->centre != NULL && s->size != NULL && s->index != NULL;
    return all ? MMCL_OK : MMCL_E_NOMEM;
}

static mmcl_status analyse(mmcl_stability *s, const mmcl__rows *rows, const mmcl_moments *moments, const mmcl_transform *whitening,
                           mmcl__operation *operation)
{
    s->k = whitening->outputs;
    MMCL__TRY(reserve(s));
    memcpy(s->mean, moments->mean, s->cols * sizeof *s->mean);
    MMCL__TRY(s->options.bootstrap != 0 ? run_bootstrap(s, rows, operation) : solve_runs(s, rows, whitening, 0, s->runs, operation));
    if (s->info.converged < s->runs)
        mmcl__log(s->context, MMCL_LOG_WARNING, "stability: %zu of %zu runs did not converge", (size_t) (s->runs - s->info.converged), s->runs);
    MMCL__TRY(cluster(s, moments));
    double sum = 0;
    for (size_t c = 0; c < s->k; c++)
        sum += s->index[c];
    s->info.mean_index = sum / (double) s->k;
    return MMCL_OK;
}

static mmcl_status fill(mmcl_stability *s, const mmcl__rows *rows, mmcl__operation *operation)
{
    mmcl_moments   *moments   = NULL;
    mmcl_transform *whitening = NULL;
    mmcl_status     status    = moments_of(s, rows, &moments);
    s->info.passes            = 1;
    if (status == MMCL_OK)
        status = mmcl__fit_whitening(moments, s->step.components, s->step.clip_components != 0, &whitening);
    if (status == MMCL_OK)
        status = analyse(s, rows, moments, whitening, operation);
    mmcl__transform_destroy(whitening);
    mmcl__moments_destroy(moments);
    return status;
}

mmcl_status mmcl__stability_create(mmcl_stability **out, mmcl_context *context, const mmcl__rows *rows,
                                   const mmcl_stability_options *options, const mmcl_step_options *step)
{
    mmcl_stability *s = mmcl__calloc(context, 1, sizeof *s);
    mmcl__operation operation;
    double          began = mmcl__seconds();
    if (s == NULL)
        return MMCL_E_NOMEM;
    s->context    = context;
    s->options    = *options;
    s->step       = *step;
    s->step.start = NULL;
    s->runs       = options->runs;
    s->cols       = rows->cols;
    mmcl__begin(&operation, context, "stability", s->runs);
    mmcl_status status = mmcl__end(&operation, fill(s, rows, &operation));
    if (status != MMCL_OK) {
        mmcl__stability_destroy(s);
        return status;
    }
    s->info.struct_size = sizeof s->info;
    s->info.rows        = rows->rows;
    s->info.inputs      = s->cols;
    s->info.components  = s->k;
    s->info.runs        = s->runs;
    s->info.seconds     = mmcl__seconds() - began;
    *out                = s;
    return MMCL_OK;
}

void mmcl__stability_destroy(mmcl_stability *s)
{
    if (s == NULL)
        return;
    mmcl__free(s->context, s->mean, s->cols, sizeof *s->mean);
    mmcl__free(s->context, s->maps, s->items * s->cols, sizeof *s->maps);
    mmcl__free(s->context, s->cluster, s->items, sizeof *s->cluster);
    mmcl__free(s->context, s->centre, s->k, sizeof *s->centre);
    mmcl__free(s->context, s->size, s->k, sizeof *s->size);
    mmcl__free(s->context, s->index, s->k, sizeof *s->index);
    mmcl__free(s->context, s, 1, sizeof *s);
}

/* The centrotypes as a fitted ICA step. */
static mmcl_status fill_step(const mmcl_stability *s, size_t kept, mmcl_transform *transform)
{
    mmcl__step *step = &transform->steps[0]; /* whose info says how large its arrays are */
    step->info = (mmcl_step_info){.struct_size = sizeof step->info, .rows = s->info.rows, .inputs = s->cols, .components = kept,
                                  .kind = MMCL_STEP_ICA, .passes = s->info.passes, .seconds = s->info.seconds};
    step->mean       = mmcl__alloc(s->context, s->cols, sizeof *step->mean);
    step->matrix     = mmcl__alloc(s->context, kept * s->cols, sizeof *step->matrix);
    step->variance   = mmcl__calloc(s->context, kept, sizeof *step->variance);
    step->spectrum   = mmcl__calloc(s->context, s->cols, sizeof *step->spectrum);
    if (step->mean == NULL || step->matrix == NULL || step->variance == NULL || step->spectrum == NULL)
        return MMCL_E_NOMEM;
    memcpy(step->mean, s->mean, s->cols * sizeof *step->mean);
    for (size_t c = 0; c < kept; c++)
        memcpy(step->matrix + c * s->cols, s->maps + s->centre[c] * s->cols, s->cols * sizeof *step->matrix);
    return mmcl__transform_finish(transform, s->cols);
}

mmcl_status mmcl__stability_transform(const mmcl_stability *s, double least, mmcl_transform **out)
{
    size_t            kept = 0;
    mmcl_step_options step = s->step;
    while (kept < s->k && s->index[kept] >= least)
        kept++;
    if (kept == 0)
        return mmcl__fail(s->context, MMCL_E_INVAL, "least: %g, but the largest stability index is %g", least, s->index[0]);
    step.struct_size = sizeof step;
    step.components  = kept;
    mmcl_transform *transform = NULL;
    mmcl_status     status    = mmcl__transform_create(&transform, s->context);
    if (status == MMCL_OK)
        status = mmcl__transform_add(transform, &step);
    if (status == MMCL_OK)
        status = fill_step(s, kept, transform);
    if (status != MMCL_OK) {
        mmcl__transform_destroy(transform);
        return status;
    }
    *out = transform;
    return MMCL_OK;
}
