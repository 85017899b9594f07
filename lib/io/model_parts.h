/* What the files that write and read models share. */
#ifndef MMCL_IO_MODEL_PARTS_H
#define MMCL_IO_MODEL_PARTS_H

#include "classify/cache.h"
#include "io/array.h"
#include "io/model.h"
#include "io/writer.h"
#include "linalg/convert.h"
#include "nn/encoder.h"
#include "transform/transform.h"

/* Begins a model file with its frame; ends it: commits if all went well, hands the bytes to a sink, destroys the writer. */
mmcl_status mmcl__model_begin(mmcl_writer **out, mmcl_context *context, const char *kind, const mmcl__model_target *target);
mmcl_status mmcl__model_end(mmcl_writer *writer, const mmcl__model_target *target, mmcl_status status);

/* Opens a model file and checks its frame. */
mmcl_status mmcl__model_open(mmcl_archive **out, mmcl_context *context, const char *path, const mmcl_open_options *options,
                             const char *kind);

/* Chains, every key of which begins with `prefix`. */
mmcl_status mmcl__model_put_transform(mmcl_writer *writer, const char *prefix, const mmcl_transform *transform);
mmcl_status mmcl__model_take_transform(mmcl_transform **out, mmcl_archive *archive, const char *prefix);

/* Heads: under "classifier/" where they are linear, under "head/" otherwise, which older libraries do not take for linear ones. */
mmcl_status mmcl__model_put_head(mmcl_writer *writer, const mmcl_classifier *head);
mmcl_status mmcl__model_take_head(mmcl_classifier **out, mmcl_archive *archive);

/* The cache of a head, whose other parts are there, under "head/cache/". */
mmcl_status mmcl__model_put_cache(mmcl_writer *writer, const mmcl__cache *cache);
mmcl_status mmcl__model_take_cache(mmcl__cache **out, mmcl_archive *archive, const mmcl_classifier *head);

/* Encoders, with a prefix as chains have: shape and options, then tensors out of `vector`, which is laid out as the parameters. */
mmcl_status mmcl__model_put_encoder(mmcl_writer *writer, const char *prefix, const mmcl_encoder *encoder);
mmcl_status mmcl__model_put_vector(mmcl_writer *writer, const char *prefix, const mmcl_encoder *encoder, const float *vector);
mmcl_status mmcl__model_take_encoder(mmcl_encoder **out, mmcl_archive *archive, const char *prefix);
mmcl_status mmcl__model_take_vector(mmcl_archive *archive, const char *prefix, const mmcl_encoder *encoder, float *vector);

/* MMCL_E_FORMAT, with a message that names the key. */
mmcl_status mmcl__model_damaged(const mmcl_archive *archive, const char *key, const char *what);

/* What other modules call a wrong argument is a wrong file here: such a status becomes MMCL_E_FORMAT. */
mmcl_status mmcl__model_invalid(const mmcl_archive *archive, mmcl_status status);

/* Opens `key`, which has to be there with this type and number of dimensions, row-major. */
mmcl_status mmcl__model_array(mmcl_array **out, mmcl_archive *archive, const char *key, mmcl_dtype dtype, uint32_t dimensions);

/* The first `count` elements of an array of one dimension, which may have more: later versions append. */
mmcl_status mmcl__model_take(mmcl_archive *archive, const char *key, mmcl_dtype dtype, size_t count, void *out);

/* A new block [rows, cols] with the elements of a float64 array of this shape (`cols` 1 for one dimension), all finite. */
mmcl_status mmcl__model_take_values(mmcl_archive *archive, const char *key, uint32_t dimensions, size_t rows, size_t cols,
                                    double **out);

#endif
