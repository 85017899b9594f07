#include "analysis/analysis.h"

#include "core/rng.h"
#include "linalg/blas.h"

#include <math.h>
#include <string.h>

#define ROTATIONS     10
#define ROWS_A_COLUMN 10 /* fewer would not tell axes */
#define BEYOND        2  /* times what random rotations differ by: less may be the sample's doing */

typedef struct signs {
    mmcl_context            *context;
    const mmcl_step_options *step;
    uint32_t                 seed;
    mmcl__ica_rows          *rows;
    size_t                   k;
    double                  *w;              /* [k, k] */
    double                  *third, *logcosh; /* [k] */
    double                  *drawn;          /* [ROTATIONS, k] mean log cosh of the random ones */
    double                   reference;      /* mean of log cosh y over random rotations */
    mmcl__operation         *operation;
} signs;

/* As a Picard that needs only be good enough to tell the densities apart. */
static mmcl_step_options fixed_signs(const mmcl_step_options *step, mmcl_ica_density density)
{
    mmcl_step_options fixed = *step;
    fixed.algorithm         = MMCL_ICA_PICARD;
    fixed.contrast          = MMCL_CONTRAST_LOGCOSH;
    fixed.density           = density;
    fixed.alpha             = 1;
    fixed.tolerance         = 1e-3;
    fixed.max_iterations    = 200;
    fixed.lbfgs_memory      = step->lbfgs_memory > 0 ? step->lbfgs_memory : 7;
    return fixed;
}

static mmcl_status describe(signs *s, double *mean)
{
    MMCL__TRY(mmcl__ica_describe(s->rows, s->w, s->k, s->third, s->logcosh));
    *mean = 0;
    for (size_t i = 0; i < s->k; i++)
        *mean += s->logcosh[i] / (double) s->k;
    return MMCL_OK;
}

/* Mean |value - reference|. */
static double spread(const signs *s, const double *values, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += fabs(values[i] - s->reference) / (double) n;
    return sum;
}

static mmcl_status compare_rotations(signs *s, mmcl_signs_info *info)
{
    double mean;
    for (uint32_t r = 0; r < ROTATIONS; r++) {
        mmcl__draw_normal(s->seed + 1 + r, s->k * s->k, s->w);
        MMCL__TRY(mmcl__decorrelate(s->context, s->k, s->w));
        MMCL__TRY(describe(s, &mean));
        memcpy(s->drawn + r * s->k, s->logcosh, s->k * sizeof *s->drawn);
        s->reference += mean / ROTATIONS;
    }
    info->random    = spread(s, s->drawn, ROTATIONS * s->k);
    info->reference = s->reference;
    return mmcl__tick(s->operation, 1, NAN);
}

static mmcl_status solve(signs *s, const mmcl_step_options *step, double *contrast, uint32_t *converged)
{
    mmcl__ica_problem problem = {.options = step, .w = s->w};
    double            mean;
    mmcl__draw_normal(s->seed, s->k * s->k, s->w);
    MMCL__TRY(mmcl__ica_solve(&problem, s->rows));
    MMCL__TRY(describe(s, &mean));
    *contrast = spread(s, s->logcosh, s->k);
    *converged += problem.stop == MMCL_STOP_TOLERANCE || problem.stop == MMCL_STOP_CLOSED_FORM;
    return MMCL_OK;
}

static mmcl_status compare(signs *s, double margin, mmcl_signs_info *info)
{
    const mmcl_step_options super = fixed_signs(s->step, MMCL_DENSITY_SUPER), sub = fixed_signs(s->step, MMCL_DENSITY_SUB);
    MMCL__TRY(compare_rotations(s, info));
    MMCL__TRY(solve(s, s->step, &info->automatic, &info->converged));
    MMCL__TRY(mmcl__tick(s->operation, 2, NAN));
    MMCL__TRY(solve(s, &super, &info->super_gaussian, &info->converged));
    MMCL__TRY(mmcl__tick(s->operation, 3, NAN));
    MMCL__TRY(solve(s, &sub, &info->sub_gaussian, &info->converged));
    double most  = fmax(info->super_gaussian, info->sub_gaussian);
    bool   more  = most > margin * info->automatic && most - info->automatic > BEYOND * info->random;
    info->advice = !more                                       ? MMCL_DENSITY_AUTO
                   : info->super_gaussian > info->sub_gaussian ? MMCL_DENSITY_SUPER
                                                               : MMCL_DENSITY_SUB;
    return mmcl__tick(s->operation, 4, NAN);
}

static mmcl_status with_rows(signs *s, const mmcl__rows *data, const mmcl_transform *whitening, const mmcl_signs_options *options,
                             mmcl_signs_info *info)
{
    const mmcl__source source = {.rows = data, .cols = data->cols};
    mmcl__ica_rows     rows;
    s->k             = whitening->outputs;
    s->rows          = &rows;
    info->components = s->k;
    if (s->k < 2)
        return mmcl__fail(s->context, MMCL_E_INVAL, "step: 1 component has no axes to choose, expected at least 2");
    MMCL__TRY(mmcl__ica_rows_open(&rows, s->context, &source, &whitening->stages[0], s->step->precision, options->cache_bytes,
                                  s->step->algorithm == MMCL_ICA_PICARD_FREE));
    size_t      count  = s->k * (s->k + 2 + ROTATIONS);
    mmcl_status status = MMCL_E_NOMEM;
    if ((s->w = mmcl__alloc(s->context, count, sizeof *s->w)) != NULL) {
        s->third   = s->w + s->k * s->k;
        s->logcosh = s->third + s->k;
        s->drawn   = s->logcosh + s->k;
        status     = compare(s, options->margin, info);
    }
    mmcl__free(s->context, s->w, count, sizeof *s->w);
    mmcl__ica_rows_close(&rows);
    return status;
}

static mmcl_status on_rows(signs *s, const mmcl__rows *rows, const mmcl_signs_options *options, mmcl_signs_info *info)
{
    const mmcl__source source    = {.rows = rows, .cols = rows->cols};
    mmcl_transform    *whitening = NULL;
    mmcl_moments      *moments   = NULL;
    mmcl_status        status    = mmcl__moments_create(&moments, s->context, rows->cols);
    if (status == MMCL_OK)
        status = mmcl__moments_add(moments, &source);
    if (status == MMCL_OK)
        status = mmcl__fit_whitening(moments, s->step->components, s->step->clip_components != 0, &whitening);
    if (status == MMCL_OK)
        status = with_rows(s, rows, whitening, options, info);
    info->rows = rows->rows;
    mmcl__transform_destroy(whitening);
    mmcl__moments_destroy(moments);
    return status;
}

/* Many rows: each is taken with the probability that leaves about options->most_rows of them, more where there are many columns. */
static mmcl_status on_some(signs *s, const mmcl__rows *rows, const mmcl_signs_options *options, mmcl_signs_info *info)
{
    size_t n = rows->rows, most = MMCL__MAX((size_t) options->most_rows, ROWS_A_COLUMN * rows->cols), kept = 0;
    if (most >= n)
        return on_rows(s, rows, options, info);
    size_t *index = mmcl__alloc(s->context, n, sizeof *index);
    if (index == NULL)
        return MMCL_E_NOMEM;
    for (size_t i = 0; i < n; i++)
        if (mmcl__philox_uniform(options->seed, i, 0, 0x7369676e) * (double) n < (double) most)
            index[kept++] = i;
    mmcl__drawn       drawn  = {.rows = rows, .index = index};
    const mmcl_matrix view   = mmcl__drawn_view(&drawn, kept);
    mmcl__rows        some;
    mmcl_status       status = mmcl__rows_open(s->context, &some, &view, 1, "parts");
    if (status == MMCL_OK) {
        status = on_rows(s, &some, options, info);
        mmcl__rows_close(s->context, &some);
    }
    mmcl__free(s->context, index, n, sizeof *index);
    return status;
}

mmcl_status mmcl__signs_test(mmcl_context *context, const mmcl__rows *rows, const mmcl_signs_options *options,
                             const mmcl_step_options *step, mmcl_signs_info *info)
{
    mmcl__operation operation;
    signs           s = {.context = context, .step = step, .seed = (uint32_t) options->seed, .operation = &operation};
    mmcl__begin(&operation, context, "signs", 4);
    return mmcl__end(&operation, on_some(&s, rows, options, info));
}
