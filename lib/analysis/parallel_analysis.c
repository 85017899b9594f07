#include "analysis/analysis.h"

#include "core/rng.h"
#include "core/sorted.h"
#include "linalg/blas.h"

#include <math.h>
#include <string.h>

/* Eigenvalues of the covariance of one draw of unrelated columns: `draw` [cols] descending. `matrix` [cols, cols] is scratch. */
static mmcl_status draw_spectrum(const mmcl_moments *moments, mmcl__numpy_rng *rng, double *matrix, double *draw)
{
    size_t cols = moments->cols;
    double n    = (double) moments->count;
    for (size_t i = 0; i < cols; i++)
        for (size_t j = i; j < cols; j++) {
            double scale = sqrt(moments->scatter[i * cols + i] / n) * sqrt(moments->scatter[j * cols + j] / n);
            double noise = mmcl__numpy_normal(rng) * (i == j ? sqrt(2 / n) : 1 / sqrt(n));
            matrix[i * cols + j] = scale * ((i == j) + noise);
        }
    return mmcl__eigsym(moments->context, cols, matrix, draw);
}

/* block: [cols, cols], [cols], [cols, draws] */
static mmcl_status analyse(const mmcl_moments *moments, const mmcl_parallel_options *options, uint64_t *components, double *eigenvalues,
                           double *thresholds, double *block, mmcl__operation *operation)
{
    size_t          cols = moments->cols, draws = (size_t) options->draws;
    double         *matrix = block, *values = matrix + cols * cols, *samples = values + cols;
    mmcl__numpy_rng rng;
    mmcl__numpy_seed(&rng, (uint32_t) options->seed);
    for (size_t d = 0; d < draws; d++) {
        MMCL__TRY(draw_spectrum(moments, &rng, matrix, values));
        for (size_t i = 0; i < cols; i++)
            mmcl__sorted_insert(samples + i * draws, d, values[i]);
        MMCL__TRY(mmcl__tick(operation, d + 1, NAN));
    }
    for (size_t i = 0; i < cols * cols; i++)
        matrix[i] = moments->scatter[i] / (double) moments->count;
    MMCL__TRY(mmcl__eigsym(moments->context, cols, matrix, values));
    *components = cols;
    for (size_t i = cols; i-- > 0;) {
        double threshold = mmcl__sorted_quantile(samples + i * draws, draws, options->quantile);
        if (!(values[i] > threshold))
            *components = i;
        if (eigenvalues != NULL)
            eigenvalues[i] = fmax(values[i], 0);
        if (thresholds != NULL)
            thresholds[i] = threshold;
    }
    return MMCL_OK;
}

mmcl_status mmcl__parallel_analysis(const mmcl_moments *moments, const mmcl_parallel_options *options, uint64_t *components,
                                    double *eigenvalues, double *thresholds)
{
    mmcl__operation operation;
    size_t          cols = moments->cols, count = cols * (cols + 1 + (size_t) options->draws);
    double         *block = mmcl__alloc(moments->context, count, sizeof *block);
    if (block == NULL)
        return MMCL_E_NOMEM;
    mmcl__begin(&operation, moments->context, "parallel analysis", options->draws);
    mmcl_status status = analyse(moments, options, components, eigenvalues, thresholds, block, &operation);
    mmcl__free(moments->context, block, count, sizeof *block);
    return mmcl__end(&operation, status);
}
