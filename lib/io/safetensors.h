/*
 * The .safetensors format: 8 bytes with the header's length, a JSON object that describes each tensor, the elements, little
 * endian and row-major, without gaps. https://github.com/huggingface/safetensors documents it.
 */
#ifndef MMCL_IO_SAFETENSORS_H
#define MMCL_IO_SAFETENSORS_H

#include <mmcl/base.h>

#include <stddef.h>

/* The format's name for an element type; NULL when it has none. */
const char *mmcl__safetensors_type(mmcl_dtype dtype);

#endif
