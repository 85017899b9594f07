/* The latent partial causal model: paired samples with known latents. */
#ifndef MMCL_MODEL_H
#define MMCL_MODEL_H

#include <mmcl/base.h>
#include <mmcl/context.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifdef __cplusplus
}
#endif

#endif
