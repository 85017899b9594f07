/* The probes with an L1 and an elastic-net penalty. C is the first best on val of a path upwards, each fit starting from the one before. */
#include "classify/sparse.h"

#include <math.h>
#include <string.h>

#define TOLERANCE 1e-7
#define PATH_TOLERANCE 1e-4 /* of the fits that only choose C; the chosen one goes on to the tolerance */
#define PATH 16 /* quarters of a decade above the C that gives the first weights */
#define APPROACH 3 /* from a C to the next on the way to a given one */
#define APPROACH_TOLERANCE 1e-2

struct path {
    mmcl__adapt  *adapt;
    mmcl__sparse  sparse;
    double        tolerance, best; /* accuracy on val */
    double       *kept;            /* the best solution */
    double       *exported;        /* on the rows as they came: weights, then intercepts */
};

static void keep(struct path *path)
{
    const mmcl__sparse *s = &path->sparse;
    mmcl_adapt_info    *info = path->adapt->info;
    memcpy(path->kept, s->solution, mmcl__sparse_size(s) * sizeof *path->kept);
    info->c         = s->c;
    info->objective = s->objective;
    info->gap       = s->gap;
}

static mmcl_status solve(struct path *path, double c, double tolerance)
{
    mmcl__sparse    *s    = &path->sparse;
    mmcl_adapt_info *info = path->adapt->info;
    s->c = c;
    MMCL__TRY(mmcl__sparse_solve(s, tolerance, path->adapt->options->max_iterations, &info->stop));
    info->iterations = s->iterations;
    if (info->stop != MMCL_STOP_TOLERANCE)
        mmcl__log(s->context, MMCL_LOG_WARNING, "sparse logistic regression, c = %g: stopped at a relative gap of %.2g after %llu iterations", c,
                  s->gap, (unsigned long long) s->iterations);
    return MMCL_OK;
}

/* Takes the kept solution to the tolerance. */
static mmcl_status resume(struct path *path)
{
    memcpy(path->sparse.solution, path->kept, mmcl__sparse_size(&path->sparse) * sizeof *path->kept);
    MMCL__TRY(solve(path, path->adapt->info->c, path->tolerance));
    keep(path);
    return MMCL_OK;
}

static mmcl_status search(struct path *path, double least)
{
    size_t weights = path->adapt->classes * path->adapt->cols;
    double accuracy;
    for (int j = 1; j <= PATH; j++) {
        MMCL__TRY(solve(path, least * pow(10, j / 4.0), fmax(path->tolerance, PATH_TOLERANCE)));
        mmcl__sparse_export(&path->sparse, path->sparse.solution, path->exported);
        MMCL__TRY(mmcl__adapt_judge(path->adapt, path->exported, path->exported + weights, &accuracy));
        if (accuracy > path->best) {
            path->best = accuracy;
            keep(path);
        }
    }
    path->adapt->info->flags |= MMCL_ADAPT_PARAMETERS_ON_VAL;
    return resume(path);
}

/* At one C, which a path leads to: from w = 0 a step would be far from the parabola that it goes by. */
static mmcl_status approach(struct path *path, double least, double c)
{
    for (double from = least * APPROACH; from < c; from *= APPROACH)
        MMCL__TRY(solve(path, from, fmax(path->tolerance, APPROACH_TOLERANCE)));
    MMCL__TRY(solve(path, c, path->tolerance));
    keep(path);
    return MMCL_OK;
}

static uint64_t inputs_used(const mmcl__sparse *s, const double *w)
{
    uint64_t used = 0;
    for (size_t j = 0; j < s->inputs; j++) {
        bool any = false;
        for (size_t k = 0; k < s->classes; k++)
            any = any || w[k * s->inputs + j] != 0;
        used += any;
    }
    return used;
}

static mmcl_status fit(struct path *path, mmcl_classifier **out)
{
    mmcl__adapt *adapt = path->adapt;
    double       given = adapt->options->c, least;
    MMCL__TRY(mmcl__sparse_least_c(&path->sparse, &least));
    if (given == 0 && adapt->val.rows > 0)
        MMCL__TRY(search(path, least));
    else
        MMCL__TRY(approach(path, least, given > 0 ? given : 1));
    adapt->info->inputs_used = inputs_used(&path->sparse, path->kept);
    mmcl__sparse_export(&path->sparse, path->kept, path->exported);
    return mmcl__adapt_linear(adapt, path->exported, path->exported + adapt->classes * adapt->cols, out);
}

static mmcl_status sparse_head(mmcl__adapt *adapt, double r, mmcl_classifier **out)
{
    struct path path = {.adapt = adapt, .best = -1, .tolerance = adapt->options->tolerance > 0 ? adapt->options->tolerance : TOLERANCE};
    size_t      size = adapt->classes * (adapt->cols + 1);
    MMCL__TRY(mmcl__sparse_open(&path.sparse, adapt->context, &adapt->train, adapt->classes, r));
    path.kept          = mmcl__alloc(adapt->context, 2 * size, sizeof *path.kept);
    path.exported      = path.kept + size;
    mmcl_status status = path.kept != NULL ? fit(&path, out) : MMCL_E_NOMEM;
    mmcl__free(adapt->context, path.kept, 2 * size, sizeof *path.kept);
    mmcl__sparse_close(&path.sparse);
    return status;
}

mmcl_status mmcl__head_probe_l1(mmcl__adapt *adapt, mmcl_classifier **out)
{
    return sparse_head(adapt, 1, out);
}

mmcl_status mmcl__head_probe_en(mmcl__adapt *adapt, mmcl_classifier **out)
{
    adapt->info->ratio = adapt->options->ratio > 0 ? adapt->options->ratio : 0.5;
    return sparse_head(adapt, adapt->info->ratio, out);
}
