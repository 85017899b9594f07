/* Edge of model.h: validate, import options, call. */
#include <mmcl/model.h>
