/* Training of two encoders with the contrastive objective. */
#ifndef MMCL_TRAIN_H
#define MMCL_TRAIN_H

#include <mmcl/base.h>
#include <mmcl/context.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifdef __cplusplus
}
#endif

#endif
