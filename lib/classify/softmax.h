/*
 * The data term of multinomial logistic regression, sum_i -log p(label_i | x_i), with its gradient: tiles of rows, each of which
 * becomes scores, then residuals p - y in place, then a product with the rows. No more than a tile of scores exists per worker.
 */
#ifndef MMCL_CLASSIFY_SOFTMAX_H
#define MMCL_CLASSIFY_SOFTMAX_H

#include "core/core.h"
#include "linalg/isa.h"

#include <mmcl/transform.h>

/*
 * In: scores [rows, classes] without bias. Out: residuals p - y in their place; column_sums [classes] += the sums of the columns;
 * losses [rows] = -log p(label_i); normalisers [rows] = log sum_k exp(score_ik + bias_k); spread += sum_i sum_k p_ik (1 - p_ik), the
 * trace of the softmax's second derivative.
 *
 * Everything is relative to the label's score: -log p = log1p(t) with t = sum over the other classes of exp(s_k - s_label), and
 * p_label - 1 = -t / (1 + t), so both keep their relative precision when a row is fitted almost perfectly.
 */
typedef struct mmcl__softmax_kernels {
    void (*f32)(size_t rows, size_t classes, const int32_t *labels, const float *bias, float *scores, float *column_sums,
                double *losses, double *normalisers, double *spread);
    void (*f64)(size_t rows, size_t classes, const int32_t *labels, const double *bias, double *scores, double *column_sums,
                double *losses, double *normalisers, double *spread);
    /* Of a float32 row and a float64 vector: the inner product, and vector += factor row. */
    double (*dot)(size_t n, const float *row, const double *vector);
    void (*axpy)(size_t n, double factor, const float *row, double *vector);
} mmcl__softmax_kernels;

MMCL__ISA_TABLE(mmcl__softmax_kernels, mmcl__softmax_kernel)
extern const mmcl__softmax_kernels mmcl__softmax_reference;

/* Rows, labels and the workspace of a pass over them. Parameters are weights [classes, inputs] followed by intercepts [classes]. */
typedef struct mmcl__softmax {
    mmcl_context  *context;
    size_t         rows, inputs, classes;
    const void    *x;        /* [rows, inputs] */
    mmcl_precision stored;   /* type of x */
    const int32_t *labels;   /* [rows] */
    size_t         capacity; /* rows that there is room for */
    double         penalty;  /* factor of 1/2 |W|^2 in the objective: 1 unless changed */
    mmcl__lanes    lanes;
    size_t         tile;     /* rows of a float32 tile; float64 takes half as many */
    size_t         workers;
    float         *narrow;   /* [classes * inputs + classes] the parameters, rounded */
    double        *scratch;  /* [workers, scratch_size] */
    size_t         scratch_size;
    double        *sums;     /* [lanes, classes * inputs + classes] */
    float         *parts;    /* [lanes, classes * inputs] */
    double        *totals;   /* [lanes, 2] loss and spread */
    double        *squares;  /* [chunks] of the penalty */
    double        *losses, *normalisers; /* [rows] of the last pass, see above */
} mmcl__softmax;

/* Value of the objective at some parameters. */
typedef struct mmcl__softmax_value {
    double objective; /* c loss + penalty/2 |W|^2 */
    double spread;    /* see above */
} mmcl__softmax_value;

mmcl_status mmcl__softmax_open(mmcl__softmax *softmax, mmcl_context *context, size_t rows, size_t inputs, size_t classes,
                               const void *x, mmcl_precision stored, const int32_t *labels);
void        mmcl__softmax_close(mmcl__softmax *softmax);

/* Goes on with the first `rows` of the rows that it was opened with. */
void mmcl__softmax_limit(mmcl__softmax *softmax, size_t rows);

/* Parameters in all: classes * (inputs + 1). */
size_t mmcl__softmax_size(const mmcl__softmax *softmax);

/*
 * out = H direction, H the objective's second derivative at `parameters`, in float64 products. A third product a tile stands for
 * the probabilities, which are computed again rather than kept. Allocates nothing.
 */
mmcl_status mmcl__softmax_curvature(mmcl__softmax *softmax, double c, const double *parameters, const double *direction, double *out);

/*
 * changes [rows, classes], those of scores without `bias`, become those of the probabilities: q_j = p_j (t_j - mean_p t), added up in
 * column_sums. Everything is relative to the label's t, so that rows which are fitted almost perfectly keep their digits. `residuals` are p - y.
 */
void mmcl__probability_changes(size_t rows, size_t classes, const int32_t *labels, const double *residuals, const double *bias,
                               double *changes, double *column_sums);

/* One pass: the objective c loss + penalty/2 |W|^2 and its gradient, with products in `precision`. Allocates nothing. */
mmcl_status mmcl__softmax_pass(mmcl__softmax *softmax, mmcl_precision precision, double c, const double *parameters,
                               double *gradient, mmcl__softmax_value *value);

#endif
