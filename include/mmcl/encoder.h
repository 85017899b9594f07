/* Encoders: trainable maps from observations to representations. */
#ifndef MMCL_ENCODER_H
#define MMCL_ENCODER_H

#include <mmcl/base.h>
#include <mmcl/context.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifdef __cplusplus
}
#endif

#endif
