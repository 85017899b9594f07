/* Edge of train.h: validate, import options, call. */
#include <mmcl/train.h>
