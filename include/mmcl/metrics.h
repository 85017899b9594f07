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
/* As MCC, with Spearman's rank correlation; equal values share their mean rank. Allocates 12 n (k + d) bytes more; n below 2^31. */
#define MMCL_METRIC_MCC_SPEARMAN         ((mmcl_metric_kind) 7)
/*
 * Weak MCC: as MCC, after least squares has mapped the codes to the factors; with a holdout the map is fitted on the other rows.
 * It asks whether factors are there up to a linear map, one by one; MCC itself is the strong form (Khemakhem et al. 2020).
 */
#define MMCL_METRIC_MCC_WEAK             ((mmcl_metric_kind) 8)
/* SVCCA: CCA of the principal components that hold 99 % of the variance, of codes and factors each (Raghu et al. 2017). */
#define MMCL_METRIC_SVCCA                ((mmcl_metric_kind) 9)
/*
 * Procrustes disparity, 0 to 1: min over rotation, reflection and scale of |X - s Z Q|^2, both centred and X at norm 1, which is 1 -
 * |S_xz|_*^2 / (tr S_xx tr S_zz) with the nuclear norm. The side with fewer columns counts as padded with zeros.
 */
#define MMCL_METRIC_PROCRUSTES           ((mmcl_metric_kind) 10)
/*
 * CKA from the unbiased estimator of HSIC (Song et al. 2012): 0 on average for independent codes of any width; below 0 by chance.
 * n above 3. Reads the rows twice. Resamples are halves drawn without replacement, as duplicates would count as similar rows.
 */
#define MMCL_METRIC_CKA_DEBIASED         ((mmcl_metric_kind) 11)
/*
 * MIG: mean over the factors of (I_1 - I_2) / H, H the factor's entropy and I_1, I_2 its largest two mutual informations with a code
 * (Chen et al. 2018); with one code I_2 is 0. Plug-in estimates from counts in `bins` bins of equal width between a column's least
 * and largest value, of codes and factors alike, in nats; with `discrete` a factor's values are its bins. The bins do not change
 * with resamples. Allocates 8 k bins^2 d bytes more, or as many bins as a discrete factor spans; reads the rows three times.
 */
#define MMCL_METRIC_MIG                  ((mmcl_metric_kind) 12)
/*
 * Modularity: mean over the codes of 1 - (sum of squares of the code's mutual informations but the largest) / (largest^2 (d - 1)), 0
 * for a code without information (Ridgeway and Mozer 2018). Estimates as for MIG. At least two factors.
 */
#define MMCL_METRIC_MODULARITY           ((mmcl_metric_kind) 13)
/*
 * SAP for continuous factors: mean over the factors of the gap between the two largest squared correlations with a code (Kumar et
 * al. 2018); a constant code counts 0, as does the second where there is one code.
 */
#define MMCL_METRIC_SAP                  ((mmcl_metric_kind) 14)
/*
 * The next three are DCI (Eastwood and Williams 2018). R [k, d] is how important each code is to each factor in gradient-boosted trees
 * with scikit-learn's defaults (100 stages of depth 3, rate 0.1; squared error, or the deviance of the classes with `discrete`), each
 * column at sum 1. Of equal splits the first code's counts. Every resample is a fit of all trees anew: they take their time.
 * All hold 12 most_rows (k + 2) bytes and for c > 2 classes 16 most_rows c more; at most 1000 classes.
 *
 * Disentanglement: mean over the codes, weighted by their share of R, of 1 - the entropy to base d of the code's row. At least two factors.
 */
#define MMCL_METRIC_DCI_DISENTANGLEMENT  ((mmcl_metric_kind) 15)
/* Completeness: mean over the factors of 1 - the entropy to base k of the factor's column of R. At least two codes. */
#define MMCL_METRIC_DCI_COMPLETENESS     ((mmcl_metric_kind) 16)
/* Informativeness: mean over the factors of R^2 of the trees' prediction, or with `discrete` the share of classes told right. */
#define MMCL_METRIC_DCI_INFORMATIVENESS  ((mmcl_metric_kind) 17)
/*
 * Explicitness: mean over the factors of the mean over a factor's classes of the area under the curve that ranks rows by the class's
 * probability (Ridgeway and Mozer 2018), by logistic regression at C = 1 on codes at variance 1: 0.5 is chance, ties count half. Classes
 * are the values with `discrete`, else `bins` bins of equal width as for MIG; one that the fit or the judgement lacks does not count.
 */
#define MMCL_METRIC_EXPLICITNESS         ((mmcl_metric_kind) 18)
/*
 * FactorVAE score (Kim and Mnih 2018): share of 5000 votes that a majority classifier of 10,000 others tells right. A vote is the code
 * whose variance, over its variance in all rows, is least in 64 rows drawn with repetition from those that share a class of one factor,
 * drawn at random, with a random row. Classes as for explicitness; those of fewer than 64 rows are passed over. Codes whose deviation is
 * below 0.05 of the largest do not vote. At least two factors.
 */
#define MMCL_METRIC_FACTOR_VAE           ((mmcl_metric_kind) 19)
/*
 * IRS, interventional robustness (Suter et al. 2019): mean over the codes, weighted by their largest deviation from the mean, of the
 * largest over the factors of 1 - (mean over the factor's classes of the 99th percentile of the deviation from the class's mean) /
 * (largest deviation). Classes as for explicitness; those of few rows deviate little, so small classes flatter. Constant codes do
 * not count.
 */
#define MMCL_METRIC_IRS                  ((mmcl_metric_kind) 20)
/*
 * R2 by kernel ridge regression: as R2, by exp(-gamma |x - x'|^2) on codes at variance 1, the penalty alpha among 1, 0.1, 0.01, 0.001 and
 * gamma among 10^(-2, -2/3, 2/3, 2) chosen for each factor by the mean R^2 of three folds of the rows that fit (row i is in fold i mod
 * 3). A holdout is needed. Holds 16 f^2 bytes for f rows that fit.
 */
#define MMCL_METRIC_R2_KERNEL            ((mmcl_metric_kind) 21)
/*
 * SAP for discrete factors: mean over the factors of the gap between the two largest shares of classes told right from one code alone, by
 * the linear support vector machine that Kumar et al. take (squared hinge, C 0.01, classes balanced, one against the rest). A constant
 * code counts 0. Factors are whole numbers, at most 1000 classes.
 */
#define MMCL_METRIC_SAP_DISCRETE         ((mmcl_metric_kind) 22)

/* All zero except struct_size gives the defaults. */
typedef struct mmcl_metric_options {
    size_t   struct_size;
    uint64_t seed;       /* of the split and the resamples */
    double   holdout;    /* R2, weak MCC, informativeness, explicitness, discrete SAP: share of rows, below 1, drawn one by one, that
                            evaluate the fit on the others; 0: in sample */
    double   confidence; /* of the interval, below 1; 0: 0.95 */
    uint32_t resamples;  /* bootstrap: how often the rows are weighted anew, by Poisson(1); 0: no interval. Each reads all rows. */
    uint32_t bins;       /* MIG, modularity, explicitness, FactorVAE, IRS: of a column, 2 to 65536; 0: 20 (Locatello et al. 2019) */
    uint32_t discrete;   /* those and DCI: 1: factors are whole numbers that name classes, spanning at most 65536 */
    uint32_t reserved;
    uint64_t most_rows;  /* kinds from 15 on keep rows in memory: about this many, drawn one by one, at least 64; 0: 10,000, FactorVAE and
                            IRS 100,000, kernel R2 2000 */
} mmcl_metric_options;

/* struct_size is the caller's. */
typedef struct mmcl_metric_result {
    size_t   struct_size;
    double   value;
    double   low, high; /* percentile interval (Efron 1979) over the resamples; both `value` without resamples. MIG, modularity: moved by
                           the distance from the resamples' mean to `value`, as rows that repeat raise plug-in information */
    uint64_t rows;      /* that the value was measured on */
    uint64_t resamples; /* that counted: one in which the metric is undefined does not */
} mmcl_metric_result;

/* Buffers of the caller for more than the value; NULL: not wanted. */
typedef struct mmcl_metric_details {
    size_t    struct_size;
    double   *per_factor; /* [factors] R2s: R^2; the MCCs: |correlation| with the assigned code; MIG, SAPs: the gap; completeness,
                             informativeness, explicitness: the factor's own */
    double   *matrix;     /* [codes, factors] MCC, Spearman's too: signed correlations; MIG, modularity: mutual information; SAP: squares,
                             discrete: shares told right; disentanglement, completeness: R; FactorVAE: votes; IRS: 1 - the quotient */
    uint64_t *assignment; /* [factors] MCC, Spearman's too: the factor's code; UINT64_MAX: none */
} mmcl_metric_details;

/*
 * Measures `codes` [n, k] against `factors` [n, d], row by row the same samples. Options and details may be NULL. Rows are streamed;
 * sums are float64. Codes that depend on each other linearly are fine. With a holdout resamples weight the rows that evaluate, and
 * the fit stays.
 * Thread class: exclusive. Allocates: O((k + d)^2 + resamples) and tiles, and what the kind says, released again.
 * Errors: MMCL_E_INVAL (different lengths, fewer than 3 rows, unknown kind, a holdout or confidence outside 0 to 1, a detail or an
 * option that the metric lacks), MMCL_E_NUMERIC (NaN or infinity, with row and column; a constant factor; no code that varies; as many
 * independent codes as rows, when R2 in sample is 1 whatever they are; factors that depend on each other linearly, which leave the
 * map of a defect open; discrete factors that are not whole numbers), MMCL_E_ABI, MMCL_E_CANCELLED, MMCL_E_CALLBACK,
 * MMCL_E_NOMEM. The result is then left as it was.
 */
MMCL_API MMCL_CHECK mmcl_status mmcl_metric_evaluate(mmcl_context *context, mmcl_metric_kind kind, const mmcl_matrix *codes,
                                                     const mmcl_matrix *factors, const mmcl_metric_options *options,
                                                     mmcl_metric_result *result, const mmcl_metric_details *details);

#ifdef __cplusplus
}
#endif

#endif
