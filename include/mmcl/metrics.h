/* Measures of identifiability: how well codes (what an encoder or a transform gives) tell the factors behind the data. */
#ifndef MMCL_METRICS_H
#define MMCL_METRICS_H

#include <mmcl/base.h>
#include <mmcl/context.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef int32_t mmcl_metric_kind;

/*
 * S is the covariance of the rows: xx of the codes, zz of the factors, xz across. Measures of fit are best at 1, defects at 0.
 *
 * R2: mean over the factors of R^2 = 1 - SSE / SST of least squares with intercept from the codes to the factor.
 */
#define MMCL_METRIC_R2                   ((mmcl_metric_kind) 1)
/*
 * MCC: mean over the factors of |Pearson correlation| with the code that the optimal one-to-one assignment gives it: 0 to 1. A
 * factor without a code, when there are more factors than codes, counts 0; so does a constant code.
 */
#define MMCL_METRIC_MCC                  ((mmcl_metric_kind) 2)
/* CKA: linear centred kernel alignment |S_xz|^2 / (|S_xx| |S_zz|) in Frobenius norms (Kornblith et al. 2019); biased for few rows. */
#define MMCL_METRIC_CKA                  ((mmcl_metric_kind) 3)
/* CCA: mean of the canonical correlations, as many as the smaller of the two ranks. */
#define MMCL_METRIC_CCA                  ((mmcl_metric_kind) 4)
/*
 * How far the least-squares map A from the factors to the codes, as they are, is from a multiple of a matrix with orthonormal rows
 * or columns: min over s and Q of |A - s Q| / |A| in Frobenius norms, which is sqrt(1 - (sum of singular values)^2 / (m sum of their
 * squares)), m the smaller side. 0 to 1. The claim of the theorem for hyperspheres is 0.
 */
#define MMCL_METRIC_ORTHOGONALITY_DEFECT ((mmcl_metric_kind) 5)
/*
 * How far the least-squares map from the factors at variance 1 to the codes is from a scaled permutation: 1 - the share of the
 * optimal one-to-one assignment in the squares of the map, each code's row at norm 1. 0 to 1. The claim of the theorem for convex
 * bodies is 0.
 */
#define MMCL_METRIC_PERMUTATION_DEFECT   ((mmcl_metric_kind) 6)

/* All zero except struct_size gives the defaults. */
typedef struct mmcl_metric_options {
    size_t   struct_size;
    uint64_t seed;       /* of the split and the resamples */
    double   holdout;    /* R2: share of rows, below 1, drawn one by one, that evaluate the fit on the others; 0: in sample */
    double   confidence; /* of the interval, below 1; 0: 0.95 */
    uint32_t resamples;  /* bootstrap: how often the rows are weighted anew, by Poisson(1); 0: no interval. Each reads all rows. */
    uint32_t reserved;
} mmcl_metric_options;

/* struct_size is the caller's. */
typedef struct mmcl_metric_result {
    size_t   struct_size;
    double   value;
    double   low, high; /* percentile interval (Efron 1979) over the resamples; both `value` without resamples */
    uint64_t rows;      /* that the value was measured on */
    uint64_t resamples; /* that counted: one in which the metric is undefined does not */
} mmcl_metric_result;

/* Buffers of the caller for more than the value; NULL: not wanted. */
typedef struct mmcl_metric_details {
    size_t    struct_size;
    double   *per_factor; /* R2, MCC: [factors] R^2, or |correlation| with the assigned code */
    double   *matrix;     /* MCC: [codes, factors] signed correlations */
    uint64_t *assignment; /* MCC: [factors] the factor's code; UINT64_MAX: none */
} mmcl_metric_details;

/*
 * Measures `codes` [n, k] against `factors` [n, d], row by row the same samples. Options and details may be NULL. Rows are streamed;
 * sums are float64. Codes that depend on each other linearly are fine. R2 with a holdout: resamples weight the rows that evaluate,
 * the fit stays.
 * Thread class: exclusive. Allocates: O((k + d)^2 + resamples) and tiles, released again.
 * Errors: MMCL_E_INVAL (different lengths, fewer than 3 rows, unknown kind, a holdout or confidence outside 0 to 1, a detail that
 * the metric lacks), MMCL_E_NUMERIC (NaN or infinity, with row and column; a constant factor; no code that varies; as many
 * independent codes as rows, when R2 in sample is 1 whatever they are; factors that depend on each other linearly, which leave the
 * map of a defect open), MMCL_E_ABI, MMCL_E_CANCELLED, MMCL_E_CALLBACK, MMCL_E_NOMEM. The result is then left as it was.
 */
MMCL_API MMCL_CHECK mmcl_status mmcl_metric_evaluate(mmcl_context *context, mmcl_metric_kind kind, const mmcl_matrix *codes,
                                                     const mmcl_matrix *factors, const mmcl_metric_options *options,
                                                     mmcl_metric_result *result, const mmcl_metric_details *details);

#ifdef __cplusplus
}
#endif

#endif
