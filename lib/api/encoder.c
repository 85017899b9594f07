/* Edge of encoder.h: validate, import options, call. */
#include <mmcl/encoder.h>
