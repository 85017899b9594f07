/* Edge of metrics.h: validate, import options, call. */
#include <mmcl/metrics.h>
