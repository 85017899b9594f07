/* Measures of identifiability and disentanglement. */
#ifndef MMCL_METRICS_H
#define MMCL_METRICS_H

#include <mmcl/base.h>
#include <mmcl/context.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifdef __cplusplus
}
#endif

#endif
