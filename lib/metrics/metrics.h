/*
 * Metrics of codes against factors. Data flow: rows -> a pass with weights -> sums (moments, moments of ranks, counts) -> the measure.
 * Owner of struct mmcl__metric.
 */
#ifndef MMCL_METRICS_METRICS_H
#define MMCL_METRICS_METRICS_H

#include "core/core.h"

#include <mmcl/metrics.h>

#define MMCL__MOST_CLASSES 1000 /* of a factor, for estimators with a model each */
#define MMCL__METRIC_TILE ((size_t) 256) /* rows that are read at once */

typedef struct mmcl__metric mmcl__metric;

/* Weighted sums over rows; columns are the codes [k], then the factors [d]: p = k + d. */
typedef struct mmcl__joint {
    double  weight;
    double *mean, *scatter; /* [p], [p, p] */
} mmcl__joint;

typedef enum mmcl__part { MMCL__FIT, MMCL__EVALUATE } mmcl__part;

enum {
    MMCL__TAKES_HOLDOUT    = 1,
    MMCL__TAKES_PER_FACTOR = 2,
    MMCL__TAKES_MATRIX     = 4,
    MMCL__TAKES_ASSIGNMENT = 8,
    MMCL__TAKES_BINS       = 16,
    MMCL__DISTINCT_ROWS    = 32, /* resamples are halves, without a row twice */
    MMCL__CENTRED          = 64, /* rows that repeat raise or lower the estimate: intervals are moved by the resamples' mean offset */
    MMCL__TAKES_DISCRETE   = 128,
    MMCL__LABELS           = 256, /* factors are classes, whatever `discrete` says */
    MMCL__NEEDS_HOLDOUT    = 512
};

typedef struct mmcl__metric_kind {
    mmcl_status (*prepare)(mmcl__metric *m);                                   /* once; may be NULL */
    mmcl_status (*gather)(mmcl__metric *m, mmcl__part part, uint32_t draw);    /* draw 0: the rows as they are, else a resample */
    mmcl_status (*measure)(mmcl__metric *m, const mmcl_metric_details *details, double *value);
    unsigned flags;
    uint64_t most_rows; /* that are looked at without the option; 0: all, whatever the option */
} mmcl__metric_kind;

/* NULL for an unknown kind. */
const mmcl__metric_kind *mmcl__metric_kind_of(mmcl_metric_kind kind);

/* Ranks of all columns, and what gives them for any weights. */
typedef struct mmcl__ranks {
    double   *rank;  /* [p, n] */
    uint32_t *order; /* [p, n] rows by ascending value; the top bit marks the first of equal ones */
} mmcl__ranks;

/* Joint counts of every code with every factor. */
typedef struct mmcl__counts {
    size_t  bins, levels; /* of a code; of all factors together */
    double *table;        /* [k, bins, levels] weights; NULL where only the bins are wanted */
    double *least, *step; /* [p] a bin begins at least + i step */
    size_t *first;        /* [d + 1] a factor's levels are first[j] ... first[j + 1] - 1 */
    size_t *bin;          /* [p] of a row */
} mmcl__counts;

/* Rows in memory, for an estimator: those that fit, then those that evaluate; without a holdout both are the same. */
typedef struct mmcl__sample {
    size_t    first[2], count[2], total;
    double   *rows;      /* [total, p] */
    double   *weight;    /* [total] of the current draw */
    uint32_t *classes;   /* [total, d] bins of the factors, where the kind has bins; NULL otherwise */
    bool      stale;     /* the rows that fit have other weights than when `fitted` was made */
    double   *fitted;    /* [fitted_count] what the measure wants to keep from draw to draw */
    size_t    fitted_count;
} mmcl__sample;

/* Sums over rows, k and z the squared norms of centred codes and factors. */
typedef struct mmcl__norms {
    double k, z, kk, kz, zz;
} mmcl__norms;

struct mmcl__metric {
    mmcl_context              *context;
    const mmcl_matrix         *codes, *factors;
    const mmcl_metric_options *options;
    const mmcl__metric_kind   *kind;
    size_t                     n, k, d, p;
    double                     epsilon;    /* of the codes' type */
    double                     share;      /* of the rows that are looked at */
    bool                       discrete;   /* factors are classes */
    mmcl__joint                part[2];    /* without a holdout both are one */
    double                    *block;      /* everything below, and the parts */
    double                    *tile, *read, *weights;
    double                    *square, *basis, *values; /* [max(k, d)^2] twice, [p] */
    double                    *map, *product, *score;   /* [max(k, d), d] each */
    double                    *work;       /* [2 (max(k, d) + d + 2)] */
    double                    *samples;    /* [resamples] */
    size_t                    *index;      /* [4 (max(k, d) + d + 1)] */
    mmcl__ranks                ranks;
    mmcl__counts               counts;
    mmcl__norms                norms;
    mmcl__sample               sample;
};

/* Arguments are checked; buffers of `details` may be NULL. */
mmcl_status mmcl__metric_evaluate(mmcl_context *context, mmcl_metric_kind kind, const mmcl_matrix *codes, const mmcl_matrix *factors,
                                  const mmcl_metric_options *options, mmcl_metric_result *result, const mmcl_metric_details *details);

/* Calls visit for the rows of a part, tile by tile: n rows of m->tile with m->weights. */
mmcl_status mmcl__metric_pass(mmcl__metric *m, mmcl__part part, uint32_t draw, void (*visit)(mmcl__metric *m, mmcl__part part, size_t n));
/* A row's weight in a part, 0 outside of it. */
double mmcl__metric_weight(const mmcl__metric *m, mmcl__part part, uint32_t draw, size_t row);
/* How often a resample draws a row, whatever its part. */
double mmcl__metric_redraw(const mmcl__metric *m, uint32_t draw, size_t row);

/* Gathers the moments of a part. */
mmcl_status mmcl__metric_moments(mmcl__metric *m, mmcl__part part, uint32_t draw);
/* The two steps of it, for rows that do not come from a pass: sums at 0; n rows of the tile, which it overwrites; both triangles. */
void mmcl__metric_moments_begin(mmcl__metric *m, mmcl__part part);
void mmcl__metric_moments_add(mmcl__metric *m, mmcl__part part, size_t n);
void mmcl__metric_moments_end(mmcl__metric *m, mmcl__part part);
/* A column whose spread is what rounding of its mean makes. */
bool mmcl__metric_constant(const mmcl__metric *m, const mmcl__joint *joint, size_t column);

mmcl_status mmcl__ranks_prepare(mmcl__metric *m);
mmcl_status mmcl__ranks_gather(mmcl__metric *m, mmcl__part part, uint32_t draw);
void        mmcl__ranks_close(mmcl__metric *m);

mmcl_status mmcl__counts_prepare(mmcl__metric *m);
mmcl_status mmcl__counts_gather(mmcl__metric *m, mmcl__part part, uint32_t draw);
void        mmcl__counts_close(mmcl__metric *m);

/* The bins alone; the place of a value among those of its column. */
mmcl_status mmcl__bins_prepare(mmcl__metric *m);
void        mmcl__bins_close(mmcl__metric *m);
size_t      mmcl__bin_of(const mmcl__metric *m, size_t column, double value);

/* Rows in memory; with the classes of the factors. */
mmcl_status mmcl__sample_prepare(mmcl__metric *m);
mmcl_status mmcl__sample_prepare_classes(mmcl__metric *m);
mmcl_status mmcl__dci_prepare(mmcl__metric *m);
mmcl_status mmcl__sample_gather(mmcl__metric *m, mmcl__part part, uint32_t draw);
/* Room for `fitted`, the first time. */
mmcl_status mmcl__sample_keep(mmcl__metric *m, size_t count);
void        mmcl__sample_close(mmcl__metric *m);

mmcl_status mmcl__norms_gather(mmcl__metric *m, mmcl__part part, uint32_t draw);

/*
 * One metric each, from what was gathered. MMCL_E_NUMERIC without a message when that leaves it undefined; the callers have seen to
 * the reasons that have one.
 */
mmcl_status mmcl__metric_r2(mmcl__metric *m, const mmcl_metric_details *details, double *value);
mmcl_status mmcl__metric_cca(mmcl__metric *m, const mmcl_metric_details *details, double *value);
mmcl_status mmcl__metric_svcca(mmcl__metric *m, const mmcl_metric_details *details, double *value);
mmcl_status mmcl__metric_procrustes(mmcl__metric *m, const mmcl_metric_details *details, double *value);
mmcl_status mmcl__metric_orthogonality(mmcl__metric *m, const mmcl_metric_details *details, double *value);
mmcl_status mmcl__metric_permutation(mmcl__metric *m, const mmcl_metric_details *details, double *value);
mmcl_status mmcl__metric_cka(mmcl__metric *m, const mmcl_metric_details *details, double *value);
mmcl_status mmcl__metric_cka_debiased(mmcl__metric *m, const mmcl_metric_details *details, double *value);
mmcl_status mmcl__metric_mcc(mmcl__metric *m, const mmcl_metric_details *details, double *value);
mmcl_status mmcl__metric_mcc_weak(mmcl__metric *m, const mmcl_metric_details *details, double *value);
mmcl_status mmcl__metric_sap(mmcl__metric *m, const mmcl_metric_details *details, double *value);
mmcl_status mmcl__metric_mig(mmcl__metric *m, const mmcl_metric_details *details, double *value);
mmcl_status mmcl__metric_modularity(mmcl__metric *m, const mmcl_metric_details *details, double *value);

mmcl_status mmcl__metric_disentanglement(mmcl__metric *m, const mmcl_metric_details *details, double *value);
mmcl_status mmcl__metric_completeness(mmcl__metric *m, const mmcl_metric_details *details, double *value);
mmcl_status mmcl__metric_informativeness(mmcl__metric *m, const mmcl_metric_details *details, double *value);
mmcl_status mmcl__metric_explicitness(mmcl__metric *m, const mmcl_metric_details *details, double *value);
mmcl_status mmcl__metric_factor_vae(mmcl__metric *m, const mmcl_metric_details *details, double *value);
mmcl_status mmcl__metric_irs(mmcl__metric *m, const mmcl_metric_details *details, double *value);
mmcl_status mmcl__metric_r2_kernel(mmcl__metric *m, const mmcl_metric_details *details, double *value);
mmcl_status mmcl__metric_sap_discrete(mmcl__metric *m, const mmcl_metric_details *details, double *value);

/* map [k, d]: coefficients of minimal norm of the regression of the factors on the codes, on the part that fits. */
mmcl_status mmcl__metric_regress(mmcl__metric *m, size_t *rank);

/* Mean over the factors of the gap between the two largest of their scores [k, d] over `unit` (NULL: 1); the gaps to per_factor. */
double mmcl__metric_gap(const mmcl__metric *m, const double *score, const double *unit, double *per_factor);

/*
 * Gives each of `rows` rows another of `cols` >= rows columns such that the sum of score [rows, cols] is largest: shortest augmenting
 * paths (Jonker and Volgenant 1987). work [2 (rows + cols + 2)], index [3 (cols + 1)]; out [rows].
 */
void mmcl__assign(size_t rows, size_t cols, const double *score, double *work, size_t *index, size_t *out);

#endif
