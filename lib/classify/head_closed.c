/* The heads that need no training: zero-shot and nearest class mean. */
#include "classify/adapt.h"
#include "linalg/blas.h"

/* Score of class k: logit_scale times the cosine of the row and the class's text. */
mmcl_status mmcl__head_zeroshot(mmcl__adapt *adapt, mmcl_classifier **out)
{
    mmcl__scale_f64(adapt->classes * adapt->cols, adapt->options->logit_scale, adapt->text);
    return mmcl__adapt_linear(adapt, adapt->text, NULL, out);
}

/* Score of class k with mean m: x . m - |m|^2 / 2, which is -|x - m|^2 / 2 less what is the same for every class. */
static void means(const mmcl__rowset *train, size_t classes, double *weights, double *counts, double *intercepts)
{
    size_t d = train->cols;
    for (size_t i = 0; i < train->rows; i++) {
        size_t k = (size_t) train->labels[i];
        counts[k]++;
        for (size_t j = 0; j < d; j++)
            weights[k * d + j] += (double) train->x[i * d + j];
    }
    for (size_t k = 0; k < classes; k++) {
        mmcl__scale_f64(d, 1 / counts[k], weights + k * d);
        intercepts[k] = -0.5 * mmcl__dot_f64(d, weights + k * d, weights + k * d);
    }
}

mmcl_status mmcl__head_ncm(mmcl__adapt *adapt, mmcl_classifier **out)
{
    size_t  classes = adapt->classes, size = classes * (adapt->cols + 2);
    double *weights = mmcl__calloc(adapt->context, size, sizeof *weights), *counts = weights + classes * adapt->cols;
    if (weights == NULL)
        return MMCL_E_NOMEM;
    means(&adapt->train, classes, weights, counts, counts + classes);
    mmcl_status status = mmcl__adapt_linear(adapt, weights, counts + classes, out);
    mmcl__free(adapt->context, weights, size, sizeof *weights);
    return status;
}
