#include "nn/kfac.h"

#include "linalg/blas.h"

#include <math.h>
#include <string.h>

static size_t inputs_of(const mmcl_encoder *encoder, size_t layer)
{
    return (size_t) encoder->widths[layer] + 1;
}

static size_t outputs_of(const mmcl_encoder *encoder, size_t layer)
{
    return (size_t) encoder->widths[layer + 1];
}

static size_t offset_of(const mmcl_encoder *encoder, size_t layer)
{
    return mmcl__workspace_statistics(encoder, layer);
}

mmcl_status mmcl__kfac_open(mmcl__kfac *kfac, const mmcl_encoder *encoder)
{
    mmcl_context *context = encoder->context;
    *kfac                 = (mmcl__kfac){.encoder = encoder, .size = offset_of(encoder, encoder->layers)};
    for (size_t l = 0; l <= encoder->layers; l++)
        kfac->widest = MMCL__MAX(kfac->widest, (size_t) encoder->widths[l]);
    kfac->factors  = mmcl__calloc(context, kfac->size, sizeof *kfac->factors);
    kfac->inverses = mmcl__calloc(context, kfac->size, sizeof *kfac->inverses);
    kfac->scratch  = mmcl__alloc(context, 2 * kfac->widest * (kfac->widest + 1), sizeof *kfac->scratch);
    kfac->square   = mmcl__alloc(context, (kfac->widest + 1) * (kfac->widest + 1), sizeof *kfac->square);
    if (kfac->factors != NULL && kfac->inverses != NULL && kfac->scratch != NULL && kfac->square != NULL)
        return MMCL_OK;
    mmcl__kfac_close(kfac);
    return MMCL_E_NOMEM;
}

void mmcl__kfac_close(mmcl__kfac *kfac)
{
    if (kfac->encoder == NULL)
        return;
    mmcl_context *context = kfac->encoder->context;
    mmcl__free(context, kfac->factors, kfac->size, sizeof *kfac->factors);
    mmcl__free(context, kfac->inverses, kfac->size, sizeof *kfac->inverses);
    mmcl__free(context, kfac->scratch, 2 * kfac->widest * (kfac->widest + 1), sizeof *kfac->scratch);
    mmcl__free(context, kfac->square, (kfac->widest + 1) * (kfac->widest + 1), sizeof *kfac->square);
    *kfac = (mmcl__kfac){0};
}

void mmcl__kfac_average(mmcl__kfac *kfac, const mmcl_workspace *workspace, double decay)
{
    const mmcl_encoder *encoder = kfac->encoder;
    double              rows    = (double) workspace->rows;
    for (size_t l = 0; l < encoder->layers; l++) {
        size_t wide = inputs_of(encoder, l), m = outputs_of(encoder, l), begin = offset_of(encoder, l), middle = begin + wide * wide;
        for (size_t i = begin; i < middle + m * m; i++) {
            double sum = 0;
            for (size_t lane = 0; lane < workspace->lanes.count; lane++)
                sum += (double) workspace->statistics[lane * workspace->statistics_size + i];
            sum *= i < middle ? 1 / rows : rows;
            kfac->factors[i] = (float) (decay * (double) kfac->factors[i] + (1 - decay) * sum);
        }
    }
}

/* inverse [n, n] of factor + damping tr(factor) / n I, or, relative, of (1 + damping) factor with a ridge against rank deficiency. */
static mmcl_status invert(const mmcl__kfac *kfac, size_t n, const float *factor, double damping, bool relative, float *inverse)
{
    double *square = kfac->square, trace = 0;
    for (size_t i = 0; i < n; i++)
        trace += (double) factor[i * n + i];
    if (!isfinite(trace))
        return MMCL_E_NUMERIC;
    double ridge = (relative ? 1e-6 : damping) * trace / (double) n + 1e-30, scale = relative ? 1 + damping : 1;
    for (size_t i = 0; i < n * n; i++)
        square[i] = scale * (double) factor[i];
    for (size_t i = 0; i < n; i++)
        square[i * n + i] += ridge;
    MMCL__TRY(mmcl__invert_spd(NULL, n, square));
    for (size_t i = 0; i < n * n; i++)
        inverse[i] = (float) square[i];
    return MMCL_OK;
}

mmcl_status mmcl__kfac_refresh(mmcl__kfac *kfac, double damping)
{
    const mmcl_encoder *encoder = kfac->encoder;
    for (size_t l = 0; l < encoder->layers; l++) {
        size_t wide = inputs_of(encoder, l), m = outputs_of(encoder, l), begin = offset_of(encoder, l), middle = begin + wide * wide;
        MMCL__TRY(invert(kfac, wide, kfac->factors + begin, damping, l == 0, kfac->inverses + begin));
        MMCL__TRY(invert(kfac, m, kfac->factors + middle, damping, false, kfac->inverses + middle));
    }
    return MMCL_OK;
}

double mmcl__kfac_precondition(const mmcl__kfac *kfac, float *gradient)
{
    const mmcl_encoder *encoder = kfac->encoder;
    double              along = 0;
    float              *joined = kfac->scratch, *product = kfac->scratch + kfac->widest * (kfac->widest + 1);
    for (size_t l = 0; l < encoder->layers; l++) {
        size_t       wide = inputs_of(encoder, l), k = wide - 1, m = outputs_of(encoder, l);
        const float *a = kfac->inverses + offset_of(encoder, l), *g = a + wide * wide;
        float       *weight = mmcl__encoder_weight(encoder, gradient, l), *bias = mmcl__encoder_bias(encoder, gradient, l);
        for (size_t i = 0; i < m; i++) {
            memcpy(joined + i * wide, weight + i * k, k * sizeof *joined);
            joined[i * wide + k] = bias[i];
        }
        mmcl__gemm_f32(false, false, m, wide, m, 1, g, m, joined, wide, 0, product, wide);
        mmcl__gemm_f32(false, false, m, wide, wide, 1, product, wide, a, wide, 0, joined, wide);
        for (size_t i = 0; i < m; i++) {
            for (size_t j = 0; j < k; j++)
                along += (double) weight[i * k + j] * (double) joined[i * wide + j];
            along += (double) bias[i] * (double) joined[i * wide + k];
            memcpy(weight + i * k, joined + i * wide, k * sizeof *joined);
            bias[i] = joined[i * wide + k];
        }
    }
    return along;
}
