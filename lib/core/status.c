/* Texts for status codes and element types. */
#include "core/core.h"

#include <mmcl/version.h>

const char *mmcl_status_string(mmcl_status status)
{
    switch (status) {
    case MMCL_OK:            return "success";
    case MMCL_E_NOMEM:       return "out of memory";
    case MMCL_E_INVAL:       return "invalid argument";
    case MMCL_E_ABI:         return "incompatible option struct";
    case MMCL_E_STATE:       return "handle not ready for this call";
    case MMCL_E_CANCELLED:   return "cancelled";
    case MMCL_E_CALLBACK:    return "callback failed";
    case MMCL_E_NUMERIC:     return "data define no result";
    case MMCL_E_IO:          return "input or output error";
    case MMCL_E_FORMAT:      return "damaged or unknown file format";
    case MMCL_E_VERSION:     return "file from a newer version";
    case MMCL_E_UNSUPPORTED: return "not supported";
    case MMCL_E_NOTFOUND:    return "not found";
    default:                 return "unknown status";
    }
}

static const struct {
    const char *name;
    size_t      size;
} dtypes[] = {
    [MMCL_F32] = {"float32", 4}, [MMCL_F64] = {"float64", 8}, [MMCL_F16] = {"float16", 2}, [MMCL_BF16] = {"bfloat16", 2},
    [MMCL_I8] = {"int8", 1},     [MMCL_U8] = {"uint8", 1},    [MMCL_I16] = {"int16", 2},   [MMCL_U16] = {"uint16", 2},
    [MMCL_I32] = {"int32", 4},   [MMCL_U32] = {"uint32", 4},  [MMCL_I64] = {"int64", 8},   [MMCL_U64] = {"uint64", 8},
    [MMCL_BOOL] = {"bool", 1},   [MMCL_STR] = {"text", 0},
};

static bool known(mmcl_dtype dtype)
{
    return dtype >= 0 && (size_t) dtype < sizeof dtypes / sizeof *dtypes && dtypes[dtype].name != NULL;
}

size_t mmcl_dtype_size(mmcl_dtype dtype)
{
    return known(dtype) ? dtypes[dtype].size : 0;
}

const char *mmcl_dtype_name(mmcl_dtype dtype)
{
    return known(dtype) ? dtypes[dtype].name : "unknown type";
}

uint32_t mmcl_version(void)
{
    return MMCL_VERSION_MAJOR * 1000000 + MMCL_VERSION_MINOR * 1000 + MMCL_VERSION_PATCH;
}

#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)

const char *mmcl_version_string(void)
{
    return TEXT(MMCL_VERSION_MAJOR) "." TEXT(MMCL_VERSION_MINOR) "." TEXT(MMCL_VERSION_PATCH);
}
