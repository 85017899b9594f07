/* The latent partial causal model. Owner of struct mmcl_model. Definitions: doc/numerics.md. */
#ifndef MMCL_MODEL_MODEL_H
#define MMCL_MODEL_MODEL_H

#include "model/mixing.h"
#include "model/sampler.h"

#include <mmcl/model.h>

/* `options` holds no zero that stands for a default; its correlation_matrix is the model's own, NULL where a scalar is given. */
struct mmcl_model {
    mmcl_context      *context;
    mmcl_model_options options;
    mmcl__mixing       mixing[2];   /* by side */
    mmcl__tail         tails[3];    /* of marginal, coupling and normal, where the sampler needs them */
    double            *correlation; /* [latent, latent], or NULL */
    double            *cholesky;    /* [latent, latent] its lower factor, zero above the diagonal */
    mmcl__sampler      sampler;     /* borrows from the others */
    const mmcl__sample_kernels *kernels;
};

/* Imports, checks and fills in defaults. A scalar correlation stays one. */
mmcl_status mmcl__model_resolve(mmcl_context *context, mmcl_model_options *ours, const mmcl_model_options *theirs);

/*
 * A model from resolved options. `mixing` NULL: drawn; otherwise the matrices are moved out of it, whatever the outcome (identity
 * kinds have none).
 */
mmcl_status mmcl__model_create(mmcl_model **out, mmcl_context *context, const mmcl_model_options *options, mmcl__mixing *mixing);
void        mmcl__model_destroy(mmcl_model *model);

static inline size_t mmcl__model_private(const mmcl_model *model, mmcl_side side)
{
    return side == MMCL_SIDE_X ? model->options.private_x : model->options.private_t;
}
static inline size_t mmcl__model_width(const mmcl_model *model, mmcl_side side)
{
    return model->options.latent + mmcl__model_private(model, side);
}

/* `out` is checked. */
mmcl_status mmcl__model_sample(const mmcl_model *model, uint64_t seed, uint64_t step, const mmcl_samples *out);
mmcl_status mmcl__model_mix(const mmcl_model *model, mmcl_side side, size_t rows, const float *z, const float *m, float *out);
mmcl_status mmcl__model_unmix(const mmcl_model *model, mmcl_side side, const mmcl_matrix *observations, float *z, float *m);

#endif
