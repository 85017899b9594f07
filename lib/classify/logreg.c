#include "classify/logreg.h"

#include "linalg/blas.h"

#include <math.h>
#include <string.h>

mmcl_status mmcl__labels_check(mmcl_context *context, const mmcl_labelled *rows, size_t classes, const char *name)
{
    for (size_t i = 0; i < rows->features.rows; i++)
        if (rows->labels[i] < 0 || (uint64_t) rows->labels[i] >= classes)
            return mmcl__fail(context, MMCL_E_INVAL, "%s.labels[%zu] is %lld, expected 0 to %zu", name, i,
                              (long long) rows->labels[i], classes - 1);
    return MMCL_OK;
}

/* ---------------------------------------------------------------------------------------------------- the problem --- */

static mmcl_status take_labels(mmcl__logreg *logreg, const mmcl_labelled *train)
{
    MMCL__TRY(mmcl__labels_check(logreg->context, train, logreg->classes, "train"));
    logreg->labels = mmcl__alloc(logreg->context, train->features.rows, sizeof *logreg->labels);
    logreg->counts = mmcl__calloc(logreg->context, logreg->classes, sizeof *logreg->counts);
    if (logreg->labels == NULL || logreg->counts == NULL)
        return MMCL_E_NOMEM;
    for (size_t i = 0; i < train->features.rows; i++) {
        logreg->labels[i] = (int32_t) train->labels[i];
        logreg->counts[train->labels[i]]++;
    }
    for (size_t k = 0; k < logreg->classes; k++)
        if (logreg->counts[k] == 0)
            return mmcl__fail(logreg->context, MMCL_E_NUMERIC, "train: class %zu has no rows", k);
    return MMCL_OK;
}

size_t mmcl__logreg_size(const mmcl__logreg *logreg)
{
    return logreg->classes * (logreg->rotation.axes + 1);
}

static size_t weights_of(const mmcl__logreg *logreg)
{
    return logreg->classes * logreg->rotation.axes;
}

static mmcl_status build(mmcl__logreg *logreg, const mmcl_labelled *train, mmcl_precision precision)
{
    mmcl_context   *context  = logreg->context;
    mmcl__rotation *rotation = &logreg->rotation;
    MMCL__TRY(mmcl__rotation_open(rotation, context, &train->features, logreg->intercept, precision, "train.features"));
    MMCL__TRY(mmcl__softmax_open(&logreg->softmax, context, rotation->rows, rotation->axes, logreg->classes, rotation->x, precision,
                                 logreg->labels));
    MMCL__TRY(mmcl__lbfgs_open(&logreg->lbfgs, context, mmcl__logreg_size(logreg)));
    logreg->vectors = mmcl__alloc(context, 7 * mmcl__logreg_size(logreg), sizeof *logreg->vectors);
    return logreg->vectors != NULL ? MMCL_OK : MMCL_E_NOMEM;
}

mmcl_status mmcl__logreg_open(mmcl__logreg *logreg, mmcl_context *context, const mmcl_labelled *train, size_t classes,
                              bool intercept, mmcl_precision precision)
{
    *logreg            = (mmcl__logreg){.context = context, .classes = classes, .intercept = intercept};
    mmcl_status status = take_labels(logreg, train);
    if (status == MMCL_OK)
        status = build(logreg, train, precision);
    if (status != MMCL_OK) {
        mmcl__free(context, logreg->labels, train->features.rows, sizeof *logreg->labels);
        logreg->labels = NULL;
        mmcl__logreg_close(logreg);
    }
    return status;
}

void mmcl__logreg_close(mmcl__logreg *logreg)
{
    mmcl_context *context = logreg->context;
    mmcl__free(context, logreg->vectors, 7 * mmcl__logreg_size(logreg), sizeof *logreg->vectors);
    mmcl__lbfgs_close(&logreg->lbfgs);
    mmcl__softmax_close(&logreg->softmax);
    mmcl__free(context, logreg->labels, logreg->rotation.rows, sizeof *logreg->labels);
    mmcl__free(context, logreg->counts, logreg->classes, sizeof *logreg->counts);
    mmcl__rotation_close(&logreg->rotation);
    *logreg = (mmcl__logreg){.context = context};
}

/* ---------------------------------------------------------------------------------------------------- coordinates --- */

static void center_intercepts(const mmcl__logreg *logreg, double *intercepts)
{
    double mean = 0;
    for (size_t k = 0; k < logreg->classes; k++)
        mean += intercepts[k] / (double) logreg->classes;
    for (size_t k = 0; k < logreg->classes; k++)
        intercepts[k] = logreg->intercept ? intercepts[k] - mean : 0;
}

void mmcl__logreg_cold_start(const mmcl__logreg *logreg, double *solution)
{
    double *intercepts = solution + weights_of(logreg);
    memset(solution, 0, weights_of(logreg) * sizeof *solution);
    for (size_t k = 0; k < logreg->classes; k++)
        intercepts[k] = log(logreg->counts[k]);
    center_intercepts(logreg, intercepts);
}

/* x' = V^T (x - mean), so w . x + b = (V^T w) . x' + (b + w . mean); what w has outside the axes only costs penalty. */
mmcl_status mmcl__logreg_import(const mmcl__logreg *logreg, const mmcl_classifier *start, double *solution)
{
    const mmcl__rotation *rotation = &logreg->rotation;
    size_t                d = rotation->inputs, r = rotation->axes;
    double               *intercepts = solution + weights_of(logreg);
    if (start->inputs != d || start->classes != logreg->classes)
        return mmcl__fail(logreg->context, MMCL_E_INVAL, "start: %zu inputs and %zu classes, expected %zu and %zu", start->inputs,
                          start->classes, d, logreg->classes);
    mmcl__gemm_f64(false, true, logreg->classes, r, d, 1, start->weights, d, rotation->basis, d, 0, solution, r);
    for (size_t k = 0; k < logreg->classes; k++)
        intercepts[k] = start->intercepts[k] + mmcl__dot_f64(d, start->weights + k * d, rotation->mean);
    center_intercepts(logreg, intercepts);
    return MMCL_OK;
}

mmcl_status mmcl__logreg_export(const mmcl__logreg *logreg, const double *solution, mmcl_classifier **out)
{
    const mmcl__rotation *rotation = &logreg->rotation;
    size_t                d = rotation->inputs, r = rotation->axes, classes = logreg->classes;
    double               *weights = mmcl__alloc(logreg->context, classes * (d + 1), sizeof *weights);
    if (weights == NULL)
        return MMCL_E_NOMEM;
    double *intercepts = weights + classes * d;
    mmcl__gemm_f64(false, false, classes, d, r, 1, solution, r, rotation->basis, d, 0, weights, d);
    for (size_t k = 0; k < classes; k++)
        intercepts[k] = solution[classes * r + k] - mmcl__dot_f64(d, weights + k * d, rotation->mean);
    mmcl_status status = mmcl__classifier_create(out, logreg->context, classes, d, weights, intercepts);
    mmcl__free(logreg->context, weights, classes * (d + 1), sizeof *weights);
    return status;
}

/* -------------------------------------------------------------------------------------------------- the whole fit --- */

static mmcl_status fit(mmcl__logreg *logreg, const mmcl_logreg_options *options, const mmcl_classifier *start,
                       mmcl_logreg_info *info, mmcl_classifier **out)
{
    double *solution = mmcl__alloc(logreg->context, mmcl__logreg_size(logreg), sizeof *solution);
    if (solution == NULL)
        return MMCL_E_NOMEM;
    mmcl__logreg_cold_start(logreg, solution);
    mmcl_status status = start != NULL ? mmcl__logreg_import(logreg, start, solution) : MMCL_OK;
    if (status == MMCL_OK)
        status = mmcl__logreg_solve(logreg, options, solution, info);
    if (status == MMCL_OK)
        status = mmcl__logreg_export(logreg, solution, out);
    mmcl__free(logreg->context, solution, mmcl__logreg_size(logreg), sizeof *solution);
    return status;
}

mmcl_status mmcl__logreg_fit(mmcl_classifier **out, mmcl_context *context, const mmcl_labelled *train, size_t classes,
                             const mmcl_logreg_options *options, const mmcl_classifier *start, mmcl_logreg_info *info)
{
    mmcl__operation operation;
    mmcl__logreg    logreg;
    double          began = mmcl__seconds();
    mmcl__begin(&operation, context, "logistic regression", 0);
    mmcl_status status = mmcl__logreg_open(&logreg, context, train, classes, !options->no_intercept, options->precision);
    if (status == MMCL_OK) {
        status = fit(&logreg, options, start, info, out);
        mmcl__logreg_close(&logreg);
    }
    info->seconds = mmcl__seconds() - began;
    return mmcl__end(&operation, status);
}

/* ------------------------------------------------------------------------------------------------------ objective --- */

#define TILE 64

/* `tile` [TILE, inputs + classes + 1]: rows, scores, column sums. */
static mmcl_status add_losses(const mmcl_classifier *classifier, const mmcl_labelled *train, double *tile, double *loss)
{
    size_t      d = classifier->inputs, classes = classifier->classes, rows = train->features.rows;
    double     *scores = tile + TILE * d, *columns = scores + TILE * classes, spread = 0;
    int32_t     labels[TILE];
    mmcl__place bad;
    memset(columns, 0, classes * sizeof *columns);
    for (size_t i = 0, n; i < rows; i += n) {
        n                  = MMCL__MIN((size_t) TILE, rows - i);
        mmcl_status status = mmcl__read_f64(&train->features, i, n, tile, &bad);
        if (status != MMCL_OK)
            return mmcl__read_failed(classifier->context, status, "train.features", SIZE_MAX, &bad);
        for (size_t j = 0; j < n; j++)
            labels[j] = (int32_t) train->labels[i + j];
        mmcl__gemm_f64(false, true, n, classes, d, 1, tile, d, classifier->weights, d, 0, scores, classes);
        mmcl__softmax_kernel()->f64(n, classes, labels, classifier->intercepts, scores, columns, loss, &spread);
    }
    return MMCL_OK;
}

mmcl_status mmcl__logreg_objective(const mmcl_classifier *classifier, const mmcl_labelled *train, double c, double *objective)
{
    mmcl_context *context = classifier->context;
    size_t        d = classifier->inputs, classes = classifier->classes;
    MMCL__TRY(mmcl__labels_check(context, train, classes, "train"));
    size_t  size = TILE * (d + classes) + classes;
    double *tile = mmcl__alloc(context, size, sizeof *tile), loss = 0, squares = 0;
    if (tile == NULL)
        return MMCL_E_NOMEM;
    mmcl__blas_enter(context->blas_policy);
    mmcl_status status = add_losses(classifier, train, tile, &loss);
    for (size_t k = 0; k < classes; k++)
        squares += mmcl__dot_f64(d, classifier->weights + k * d, classifier->weights + k * d);
    mmcl__blas_leave(context->blas_policy);
    mmcl__free(context, tile, size, sizeof *tile);
    if (status == MMCL_OK)
        *objective = c * loss + 0.5 * squares;
    return status;
}
