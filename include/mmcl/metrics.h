/* Measures of identifiability: how well codes tell the factors behind the data. */
#ifndef MMCL_METRICS_H
#define MMCL_METRICS_H

#include <mmcl/base.h>
#include <mmcl/context.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef int32_t mmcl_metric_kind;

/* Mean over the factors of R^2 = 1 - SSE / SST of least squares with intercept from codes to the factor: 1 is best. */
#define MMCL_METRIC_R2  ((mmcl_metric_kind) 1)
/*
 * Mean over the factors of |Pearson correlation| with the code that the optimal one-to-one assignment gives it: 0 to 1. A factor
 * without a code, when there are more factors than codes, counts 0; so does a constant code.
 */
#define MMCL_METRIC_MCC ((mmcl_metric_kind) 2)

/* All zero except struct_size gives the defaults. */
typedef struct mmcl_metric_options {
    size_t   struct_size;
    uint64_t seed;    /* of the split */
    double   holdout; /* R2: share of rows, below 1, drawn one by one, that evaluate the fit on the others; 0: in sample */
} mmcl_metric_options;

/* Buffers of the caller for more than the value; NULL: not wanted. */
typedef struct mmcl_metric_details {
    size_t    struct_size;
    double   *per_factor; /* [factors] R^2, or |correlation| with the assigned code */
    double   *matrix;     /* MCC: [codes, factors] signed correlations */
    uint64_t *assignment; /* MCC: [factors] the factor's code; UINT64_MAX: none */
} mmcl_metric_details;

/*
 * Measures `codes` [n, k] against `factors` [n, d], row by row the same samples. Options and details may be NULL. Rows are streamed;
 * sums are float64. Codes that depend on each other linearly are fine.
 * Thread class: exclusive. Allocates: O((k + d)^2) and tiles, released again.
 * Errors: MMCL_E_INVAL (different lengths, fewer than 3 rows, unknown kind, a holdout outside 0 to 1, a detail that the metric
 * lacks), MMCL_E_NUMERIC (NaN or infinity, with row and column; a constant factor; no code that varies; as many independent codes
 * as rows, when R2 in sample is 1 whatever they are), MMCL_E_ABI, MMCL_E_CANCELLED, MMCL_E_CALLBACK, MMCL_E_NOMEM.
 */
MMCL_API MMCL_CHECK mmcl_status mmcl_metric_evaluate(mmcl_context *context, mmcl_metric_kind kind, const mmcl_matrix *codes,
                                                     const mmcl_matrix *factors, const mmcl_metric_options *options, double *value,
                                                     const mmcl_metric_details *details);

#ifdef __cplusplus
}
#endif

#endif
