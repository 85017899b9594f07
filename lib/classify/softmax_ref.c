/* Readable twin of the softmax kernels: everything in float64, one class after the other. */
#include "classify/softmax.h"

#include <math.h>

static double score(const double *s, size_t k, size_t y)
{
    return s[k] - s[y];
}

static void softmax_f64(size_t rows, size_t classes, const int32_t *labels, const double *bias, double *scores, double *column_sums,
                        double *losses, double *normalisers, double *spread)
{
    for (size_t i = 0; i < rows; i++) {
        double *s = scores + i * classes, top = 0, others = 0;
        size_t  y = (size_t) labels[i];
        for (size_t k = 0; k < classes; k++)
            s[k] += bias[k];
        for (size_t k = 0; k < classes; k++)
            top = fmax(top, score(s, k, y));
        for (size_t k = 0; k < classes; k++)
            others += k != y ? exp(score(s, k, y) - top) : 0;
        double own = exp(-top), all = own + others, label_score = s[y];
        losses[i]      = top > 0 ? top + log(all) : log1p(others);
        normalisers[i] = label_score + losses[i];
        for (size_t k = 0; k < classes; k++) {
            double p = k != y ? exp(s[k] - label_score - top) / all : own / all;
            *spread += k != y ? p * (1 - p) : p * (others / all);
            s[k] = k != y ? p : -others / all;
            column_sums[k] += s[k];
        }
    }
}

static void softmax_f32(size_t rows, size_t classes, const int32_t *labels, const float *bias, float *scores, float *column_sums,
                        double *losses, double *normalisers, double *spread)
{
    for (size_t i = 0; i < rows; i++) {
        float *s = scores + i * classes, label_score = s[labels[i]] + bias[labels[i]];
        double top = 0, others = 0;
        for (size_t k = 0; k < classes; k++) {
            s[k] = s[k] + bias[k] - label_score;
            top  = fmax(top, (double) s[k]);
        }
        for (size_t k = 0; k < classes; k++)
            others += k != (size_t) labels[i] ? exp(s[k] - top) : 0;
        double all = exp(-top) + others;
        losses[i]      = top > 0 ? top + log(all) : log1p(others);
        normalisers[i] = (double) label_score + losses[i];
        for (size_t k = 0; k < classes; k++) {
            bool   own = k == (size_t) labels[i];
            double p   = exp(s[k] - top) / all;
            *spread += own ? p * (others / all) : p * (1 - p);
            s[k] = (float) (own ? -others / all : p);
            column_sums[k] += s[k];
        }
    }
}

static double dot(size_t n, const float *row, const double *vector)
{
    double sum = 0;
    for (size_t j = 0; j < n; j++)
        sum += (double) row[j] * vector[j];
    return sum;
}

static void axpy(size_t n, double factor, const float *row, double *vector)
{
    for (size_t j = 0; j < n; j++)
        vector[j] += factor * (double) row[j];
}

const mmcl__softmax_kernels mmcl__softmax_reference = {softmax_f32, softmax_f64, dot, axpy};
