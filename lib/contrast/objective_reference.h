/* The objective by its definition, in float64 with all logits at once: what the tests hold the tiles against. */
#ifndef MMCL_CONTRAST_OBJECTIVE_REFERENCE_H
#define MMCL_CONTRAST_OBJECTIVE_REFERENCE_H

#include <mmcl/objective.h>

typedef struct mmcl__reference_result {
    double *dx, *dt; /* [rows, cols]; given by the caller */
    double  dlog_scale, dbias;
    mmcl_objective_info info; /* without scale, seconds and cached */
} mmcl__reference_result;

/* x and t of the input are dense float32; `logits` is scratch [2 * batch * batch]. Scale bounds and comm are ignored. */
void mmcl__objective_reference(const mmcl_objective_options *options, const mmcl_objective_input *input, double *logits,
                               mmcl__reference_result *result);

#endif
