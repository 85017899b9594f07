/* Edge of objective.h: validate, import options, call. */
#include <mmcl/objective.h>
