/* Model files: fitted chains, pipelines, encoders and latent partial causal models as .npz; checkpoints are in train/. doc/formats.md describes the layout. */
#ifndef MMCL_IO_MODEL_H
#define MMCL_IO_MODEL_H

#include "core/core.h"

#include <mmcl/classify.h>
#include <mmcl/encoder.h>
#include <mmcl/model.h>

/* The format that is written. Files of a larger major number are refused; a larger minor number only adds keys or elements. */
#define MMCL__MODEL_MAJOR 1
#define MMCL__MODEL_MINOR 0

/* Where a model goes: `path`, or `sink` (imported) when path is NULL. */
typedef struct mmcl__model_target {
    const char      *path;
    const mmcl_sink *sink;
} mmcl__model_target;

mmcl_status mmcl__transform_save(const mmcl_transform *transform, const mmcl__model_target *target);
mmcl_status mmcl__pipeline_save(const mmcl_pipeline *pipeline, const mmcl__model_target *target);
mmcl_status mmcl__encoder_save(const mmcl_encoder *encoder, const mmcl__model_target *target);
mmcl_status mmcl__lpcm_save(const mmcl_model *model, const mmcl__model_target *target);

/* `options` is imported. */
mmcl_status mmcl__transform_load(mmcl_transform **out, mmcl_context *context, const char *path, const mmcl_open_options *options);
mmcl_status mmcl__pipeline_load(mmcl_pipeline **out, mmcl_context *context, const char *path, const mmcl_open_options *options);
mmcl_status mmcl__encoder_load(mmcl_encoder **out, mmcl_context *context, const char *path, const mmcl_open_options *options);
mmcl_status mmcl__lpcm_load(mmcl_model **out, mmcl_context *context, const char *path, const mmcl_open_options *options);

#endif
