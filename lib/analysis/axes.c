#include "analysis/analysis.h"

#include "core/rng.h"
#include "linalg/blas.h"

#include <math.h>
#include <string.h>

/* One part of the rows, and the whitening that the other part gave. */
typedef struct axes {
    mmcl_context            *context;
    const mmcl_axes_options *options;
    const mmcl_step_options *step;
    mmcl_transform          *whitening;
    mmcl__stage              stage;    /* the whitening of the rows that judge */
    double                  *w, *work; /* [k, k], [2 k] */
    size_t                   k;
    mmcl__operation         *operation;
} axes;

/* Numbers of the rows that fit, then those of the rows that judge; how many fit. */
static size_t split(size_t n, uint64_t seed, double holdout, size_t *index)
{
    uint32_t key[2] = {(uint32_t) seed, (uint32_t) (seed >> 32)};
    size_t   front = 0, back = n;
    for (size_t i = 0; i < n; i++) {
        uint32_t counter[4] = {(uint32_t) i, (uint32_t) ((uint64_t) i >> 32), 0, 0x73706c74}, word[4];
        mmcl__philox(counter, key, word);
        bool judges                       = word[0] < holdout * 4294967296.0;
        index[judges ? --back : front++] = i;
    }
    return front;
}

static mmcl_status fit_whitening(axes *a, const mmcl__rows *rows)
{
    const mmcl__source source = {.rows = rows, .cols = rows->cols};
    mmcl_moments      *moments;
    MMCL__TRY(mmcl__moments_create(&moments, a->context, rows->cols));
    mmcl_status status = mmcl__moments_add(moments, &source);
    if (status == MMCL_OK)
        status = mmcl__fit_whitening(moments, a->step->components, a->step->clip_components != 0, &a->whitening);
    mmcl__moments_destroy(moments);
    return status;
}

static mmcl_status open_rows(const axes *a, const mmcl__source *source, const mmcl__stage *whitening, mmcl__ica_rows *rows)
{
    return mmcl__ica_rows_open(rows, a->context, source, whitening, a->step->precision, a->options->cache_bytes,
                               a->step->algorithm == MMCL_ICA_PICARD_FREE);
}

static mmcl_status fit(axes *a, const mmcl__rows *data, mmcl_axes_info *info)
{
    const mmcl__source source = {.rows = data, .cols = data->cols};
    mmcl__ica_rows     rows;
    MMCL__TRY(fit_whitening(a, data));
    a->k    = a->whitening->outputs;
    a->w    = mmcl__alloc(a->context, a->k * a->k, sizeof *a->w);
    a->work = mmcl__alloc(a->context, 2 * a->k, sizeof *a->work);
    if (a->w == NULL || a->work == NULL)
        return MMCL_E_NOMEM;
    mmcl__draw_normal((uint32_t) a->options->seed, a->k * a->k, a->w);
    mmcl__ica_problem problem = {.options = a->step, .w = a->w};
    MMCL__TRY(open_rows(a, &source, &a->whitening->stages[0], &rows));
    mmcl_status status = mmcl__ica_solve(&problem, &rows);
    mmcl__ica_rows_close(&rows);
    info->converged  = problem.stop == MMCL_STOP_TOLERANCE || problem.stop == MMCL_STOP_CLOSED_FORM;
    info->components = a->k;
    return status;
}

static mmcl_status contrast_of(axes *a, mmcl__ica_rows *rows, double *out)
{
    double *third = a->work, *logcosh = a->work + a->k;
    MMCL__TRY(mmcl__ica_describe(rows, a->w, a->k, third, logcosh));
    *out = 0;
    for (size_t i = 0; i < a->k; i++) {
        double gap = logcosh[i] - MMCL__GAUSSIAN_LOGCOSH;
        *out += gap * gap / (double) a->k;
    }
    return MMCL_OK;
}

/* ICA's axes first, as they stand in w. */
static mmcl_status compare(axes *a, mmcl__ica_rows *rows, mmcl_axes_info *info)
{
    double sum = 0, squares = 0, n = (double) a->options->rotations;
    MMCL__TRY(contrast_of(a, rows, &info->contrast));
    memset(a->w, 0, a->k * a->k * sizeof *a->w);
    for (size_t i = 0; i < a->k; i++)
        a->w[i * a->k + i] = 1;
    MMCL__TRY(contrast_of(a, rows, &info->principal));
    for (uint64_t r = 1; r <= a->options->rotations; r++) {
        double value;
        mmcl__draw_normal((uint32_t) (a->options->seed + r), a->k * a->k, a->w);
        MMCL__TRY(mmcl__decorrelate(a->context, a->k, a->w));
        MMCL__TRY(contrast_of(a, rows, &value));
        sum += value;
        squares += (value - info->contrast) * (value - info->contrast); /* about a value nearby, to keep digits */
        MMCL__TRY(mmcl__tick(a->operation, r, NAN));
    }
    double mean = sum / n, offset = mean - info->contrast;
    info->random_mean      = mean;
    info->random_deviation = sqrt(fmax(squares / n - offset * offset, 0) * n / (n - 1));
    return MMCL_OK;
}

/* m [k, k] = its inverse square root, of full rank. `vectors` [k, k], `values` [k] are scratch. */
static mmcl_status inverse_root(mmcl_context *context, size_t k, double *m, double *vectors, double *values)
{
    memcpy(vectors, m, k * k * sizeof *m);
    MMCL__TRY(mmcl__eigsym(context, k, vectors, values));
    if (!(values[k - 1] > 1e-12 * values[0]))
        return mmcl__fail(context, MMCL_E_NUMERIC, "holdout: the rows that judge have a lower rank than the %zu components", k);
    for (size_t i = 0; i < k; i++)
        mmcl__scale_f64(k, pow(values[i], -0.25), vectors + i * k);
    mmcl__gemm_f64(true, false, k, k, k, 1, vectors, k, vectors, k, 0, m, k);
    return MMCL_OK;
}

/*
 * The whitening becomes that of the rows that judge, in the axes that it had: M to (M S M^T)^(-1/2) M for their covariance S. Without
 * this a component's contrast would tell its variance on new rows more than its shape. block: [k, cols], [k, k] twice, [k].
 */
static mmcl_status rewhiten(axes *a, const mmcl_moments *moments, double *block)
{
    mmcl__step *step = &a->whitening->steps[0];
    size_t      k = a->k, cols = moments->cols;
    double     *half = block, *inner = half + k * cols, *vectors = inner + k * k, *values = vectors + k * k;
    double     *covariance = moments->scatter; /* of no further use */
    for (size_t i = 0; i < cols * cols; i++)
        covariance[i] /= (double) moments->count;
    mmcl__symmetrize(cols, covariance, cols);
    mmcl__gemm_f64(false, false, k, cols, cols, 1, step->matrix, cols, covariance, cols, 0, half, cols);
    mmcl__gemm_f64(false, true, k, k, cols, 1, half, cols, step->matrix, cols, 0, inner, k);
    MMCL__TRY(inverse_root(a->context, k, inner, vectors, values));
    mmcl__gemm_f64(false, false, k, cols, k, 1, inner, k, step->matrix, cols, 0, half, cols);
    memcpy(step->matrix, half, k * cols * sizeof *half);
    memcpy(step->mean, moments->mean, cols * sizeof *step->mean);
    return mmcl__stage_fold(a->context, &a->stage, step, 1, cols);
}

static mmcl_status whiten_judges(axes *a, const mmcl__rows *data)
{
    const mmcl__source source = {.rows = data, .cols = data->cols};
    size_t             count  = a->k * (data->cols + 2 * a->k + 1);
    double            *block  = mmcl__alloc(a->context, count, sizeof *block);
    mmcl_moments      *moments = NULL;
    mmcl_status        status  = block == NULL ? MMCL_E_NOMEM : mmcl__moments_create(&moments, a->context, data->cols);
    if (status == MMCL_OK)
        status = mmcl__moments_add(moments, &source);
    if (status == MMCL_OK)
        status = rewhiten(a, moments, block);
    mmcl__moments_destroy(moments);
    mmcl__free(a->context, block, count, sizeof *block);
    return status;
}

static mmcl_status judge(axes *a, const mmcl__rows *data, mmcl_axes_info *info)
{
    const mmcl__source source = {.rows = data, .cols = data->cols};
    mmcl__ica_rows     rows;
    MMCL__TRY(whiten_judges(a, data));
    MMCL__TRY(open_rows(a, &source, &a->stage, &rows));
    mmcl_status status = compare(a, &rows, info);
    mmcl__ica_rows_close(&rows);
    MMCL__TRY(status);
    if (!(info->random_deviation > 0))
        return mmcl__fail(a->context, MMCL_E_NUMERIC, "parts: all rotations of %zu components have the same contrast; there is nothing to compare",
                          a->k);
    info->score = (info->contrast - fmax(info->principal, info->random_mean)) / info->random_deviation;
    return MMCL_OK;
}

/* A step on the rows that `index` [count] names. */
static mmcl_status on_part(axes *a, const mmcl__rows *rows, size_t *index, size_t count, mmcl_axes_info *info,
                           mmcl_status (*step)(axes *, const mmcl__rows *, mmcl_axes_info *))
{
    mmcl__drawn       d    = {.rows = rows, .index = index};
    const mmcl_matrix view = mmcl__drawn_view(&d, count);
    mmcl__rows        part;
    if (count == 0)
        return mmcl__fail(a->context, MMCL_E_INVAL, "holdout: %g of %zu rows leaves one side empty", a->options->holdout, rows->rows);
    MMCL__TRY(mmcl__rows_open(a->context, &part, &view, 1, "parts"));
    mmcl_status status = step(a, &part, info);
    mmcl__rows_close(a->context, &part);
    return status;
}

mmcl_status mmcl__axes_test(mmcl_context *context, const mmcl__rows *rows, const mmcl_axes_options *options,
                            const mmcl_step_options *step, mmcl_axes_info *info)
{
    mmcl__operation operation;
    axes            a = {.context = context, .options = options, .step = step, .operation = &operation};
    size_t          n = rows->rows, *index = mmcl__alloc(context, n, sizeof *index);
    if (index == NULL)
        return MMCL_E_NOMEM;
    mmcl__begin(&operation, context, "axes", options->rotations);
    info->fitted_rows  = split(n, options->seed, options->holdout, index);
    info->judged_rows  = n - info->fitted_rows;
    info->rotations    = options->rotations;
    mmcl_status status = on_part(&a, rows, index, (size_t) info->fitted_rows, info, fit);
    if (status == MMCL_OK)
        status = on_part(&a, rows, index + info->fitted_rows, (size_t) info->judged_rows, info, judge);
    mmcl__stage_release(context, &a.stage);
    mmcl__transform_destroy(a.whitening);
    mmcl__free(context, a.w, a.k * a.k, sizeof *a.w);
    mmcl__free(context, a.work, 2 * a.k, sizeof *a.work);
    mmcl__free(context, index, n, sizeof *index);
    return mmcl__end(&operation, status);
}
