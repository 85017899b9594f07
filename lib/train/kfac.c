/*
 * K-FAC (Martens and Grosse 2015): the curvature of a layer is taken for the Kronecker product of A, the mean of a a^T over its
 * inputs a = [h, 1], and G, the mean of g g^T over the gradients of single rows by its outputs before the activation (the empirical
 * Fisher matrix). The gradient D [out, in + 1] then becomes (G + sqrt(c) tg I)^-1 D (A + sqrt(c) ta I)^-1 with the mean
 * eigenvalues ta and tg and the damping c: their product adds about c ta tg to each eigenvalue. Exponential averages of A and G
 * are kept; the inverses are renewed in the first steps and then every `refresh`.
 */
#include "train/trainer.h"

#include "linalg/blas.h"

#include <math.h>
#include <string.h>

#define EAGER_STEPS 4 /* after so many the averages have settled enough for inverses that last */

/* Sizes of a layer's factors. */
static size_t order_of(const mmcl_encoder *encoder, size_t layer, bool outputs)
{
    return (size_t) encoder->widths[layer + outputs] + !outputs;
}

static size_t factor_at(const mmcl_encoder *encoder, size_t layer, bool outputs)
{
    size_t k = (size_t) encoder->widths[layer] + 1;
    return mmcl__workspace_statistics(encoder, layer) + (outputs ? k * k : 0);
}

static size_t packed_at(const mmcl_encoder *encoder, size_t layer)
{
    size_t at = 0;
    for (size_t l = 0; l < layer; l++)
        at += order_of(encoder, l, false) * order_of(encoder, l, true);
    return at;
}

mmcl_status mmcl__kfac_open(mmcl_trainer *trainer, mmcl__side *side)
{
    mmcl__kfac         *kfac    = &side->kfac;
    const mmcl_encoder *encoder = side->encoder;
    mmcl_context       *context = trainer->context;
    kfac->size                  = mmcl__workspace_statistics(encoder, encoder->layers);
    kfac->packed_size           = packed_at(encoder, encoder->layers);
    for (size_t l = 0; l < encoder->layers; l++)
        kfac->largest = MMCL__MAX(kfac->largest, MMCL__MAX(order_of(encoder, l, false), order_of(encoder, l, true)));
    kfac->factors  = mmcl__calloc(context, kfac->size, sizeof *kfac->factors);
    kfac->inverses = mmcl__calloc(context, kfac->size, sizeof *kfac->inverses);
    kfac->packed   = mmcl__alloc(context, 2 * kfac->packed_size, sizeof *kfac->packed);
    kfac->scratch  = mmcl__alloc(context, mmcl__width(context) * kfac->largest * kfac->largest, sizeof *kfac->scratch);
    return kfac->factors != NULL && kfac->inverses != NULL && kfac->packed != NULL && kfac->scratch != NULL ? MMCL_OK : MMCL_E_NOMEM;
}

void mmcl__kfac_close(mmcl_trainer *trainer, mmcl__side *side)
{
    mmcl__kfac   *kfac    = &side->kfac;
    mmcl_context *context = trainer->context;
    mmcl__free(context, kfac->factors, kfac->size, sizeof *kfac->factors);
    mmcl__free(context, kfac->inverses, kfac->size, sizeof *kfac->inverses);
    mmcl__free(context, kfac->packed, 2 * kfac->packed_size, sizeof *kfac->packed);
    mmcl__free(context, kfac->scratch, mmcl__width(context) * kfac->largest * kfac->largest, sizeof *kfac->scratch);
}

/* --------------------------------------------------------------------------------------------------------- factors --- */

/* The factors of all layers of both sides, as numbers 0, 1, ...: which one is `i`? */
struct factor {
    mmcl__side *side;
    size_t      layer;
    bool        outputs;
};

static size_t layers_of(const mmcl__side *side)
{
    return side->workspace != NULL && !side->frozen ? side->encoder->layers : 0;
}

static struct factor factor_of(mmcl_trainer *trainer, size_t i)
{
    size_t first = 2 * layers_of(&trainer->sides[0]);
    if (i < first)
        return (struct factor){&trainer->sides[0], i / 2, i % 2};
    return (struct factor){&trainer->sides[1], (i - first) / 2, (i - first) % 2};
}

/* average = keep average + (1 - keep) times the mean that the lanes' sums give. */
static void average_factor(mmcl_trainer *trainer, const struct factor *f)
{
    const mmcl_workspace *w     = f->side->workspace;
    size_t                at    = factor_at(f->side->encoder, f->layer, f->outputs), n = order_of(f->side->encoder, f->layer, f->outputs);
    double                keep  = trainer->step > 0 ? trainer->options.memory : 0;
    double                scale = f->outputs ? (double) w->rows : 1 / (double) w->rows; /* g of a row is `rows` times that of the mean loss */
    float                *sums  = w->statistics + at, *average = f->side->kfac.factors + at;
    for (size_t lane = 1; lane < w->lanes.count; lane++) /* into the first lane's, which nobody needs any more */
        mmcl__nn()->add(n * n, w->statistics + lane * w->statistics_size + at, sums);
    for (size_t i = 0; i < n * n; i++)
        average[i] = (float) (keep * average[i] + (1 - keep) * scale * sums[i]);
}

/* A factor that rounding has left without an inverse counts as a multiple of the identity. */
static void invert_factor(mmcl_trainer *trainer, const struct factor *f, uint32_t worker)
{
    size_t  at = factor_at(f->side->encoder, f->layer, f->outputs), n = order_of(f->side->encoder, f->layer, f->outputs);
    float  *average = f->side->kfac.factors + at, *inverse = f->side->kfac.inverses + at;
    double *a = f->side->kfac.scratch + worker * f->side->kfac.largest * f->side->kfac.largest, trace = 0;
    for (size_t i = 0; i < n; i++)
        trace += average[i * n + i];
    double mean = fmax(trace / (double) n, 1e-30), damping = sqrt(trainer->options.damping) * mean;
    for (size_t i = 0; i < n * n; i++)
        a[i] = average[i] + (i % (n + 1) == 0 ? damping : 0);
    if (mmcl__inverse_spd(n, a))
        for (size_t i = 0; i < n * n; i++)
            inverse[i] = (float) a[i];
    else
        for (size_t i = 0; i < n * n; i++)
            inverse[i] = i % (n + 1) == 0 ? (float) (1 / (mean + damping)) : 0;
}

static void factor_task(void *argument, size_t i, uint32_t worker)
{
    mmcl_trainer *trainer = argument;
    struct factor f       = factor_of(trainer, i);
    average_factor(trainer, &f);
    if (trainer->step < EAGER_STEPS || trainer->step % trainer->options.refresh == 0)
        invert_factor(trainer, &f, worker);
}

/* ------------------------------------------------------------------------------------------------------ directions --- */

struct direct {
    mmcl_trainer *trainer;
    float         clip;
};

/* The gradient of a layer, weight [out, in] and bias [out], becomes its direction. */
static void direct_task(void *argument, size_t i, uint32_t worker)
{
    const struct direct *direct = argument;
    struct factor        f      = factor_of(direct->trainer, 2 * i);
    const mmcl_encoder  *e      = f.side->encoder;
    mmcl__kfac          *kfac   = &f.side->kfac;
    size_t               m = order_of(e, f.layer, true), k = order_of(e, f.layer, false), at = packed_at(e, f.layer);
    float               *weight = mmcl__encoder_weight(e, f.side->gradient, f.layer), *bias = mmcl__encoder_bias(e, f.side->gradient, f.layer);
    float               *d = kfac->packed + at, *half = kfac->packed + kfac->packed_size + at;
    (void) worker;
    for (size_t r = 0; r < m; r++) {
        memcpy(d + r * k, weight + r * (k - 1), (k - 1) * sizeof *d);
        d[r * k + k - 1] = bias[r];
    }
    mmcl__gemm_f32(false, false, m, k, m, direct->clip, kfac->inverses + factor_at(e, f.layer, true), m, d, k, 0, half, k);
    mmcl__gemm_f32(false, false, m, k, k, 1, half, k, kfac->inverses + factor_at(e, f.layer, false), k, 0, d, k);
    for (size_t r = 0; r < m; r++) {
        memcpy(weight + r * (k - 1), d + r * k, (k - 1) * sizeof *d);
        bias[r] = d[r * k + k - 1];
    }
}

mmcl_status mmcl__kfac_apply(mmcl_trainer *trainer, double clip)
{
    size_t        layers = layers_of(&trainer->sides[0]) + layers_of(&trainer->sides[1]);
    struct direct direct = {.trainer = trainer, .clip = (float) clip};
    mmcl_status   first  = mmcl__complete(trainer, 2 * layers, factor_task, trainer);
    mmcl_status   then   = mmcl__complete(trainer, layers, direct_task, &direct);
    return first != MMCL_OK ? first : then;
}
