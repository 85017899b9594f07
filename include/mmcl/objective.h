/* The multimodal contrastive objective: loss and gradients for paired representations. */
#ifndef MMCL_OBJECTIVE_H
#define MMCL_OBJECTIVE_H

#include <mmcl/base.h>
#include <mmcl/context.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifdef __cplusplus
}
#endif

#endif
