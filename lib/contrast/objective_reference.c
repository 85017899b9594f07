#include "contrast/objective_reference.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

/* One batch: rows x and t [n, d], labels or NULL; logits and their gradients [n, n]. */
typedef struct batch {
    const mmcl_objective_options *options;
    const float                  *x, *t;
    const int64_t                *labels;
    size_t                        n, d;
    double                        scale, bias, weight; /* weight: 1 / rows of all batches */
    double                       *s, *g;
} batch;

static double norm(const float *a, size_t d)
{
    double sum = 0;
    for (size_t k = 0; k < d; k++)
        sum += (double) a[k] * a[k];
    return sqrt(sum);
}

static double exponent(const mmcl_objective_options *options)
{
    return options->similarity == MMCL_SIMILARITY_SQUARED_L2 ? 2 : options->similarity == MMCL_SIMILARITY_L1 ? 1 : options->exponent;
}

/* v^p for v >= 0; pow would take most of the time of the tests. */
static double power(double v, double p)
{
    double product = 1;
    if (p != floor(p))
        return pow(v, p);
    for (int i = 0; i < (int) p; i++)
        product *= v;
    return product;
}

static double similarity(const batch *b, size_t i, size_t j)
{
    const float *x = b->x + i * b->d, *t = b->t + j * b->d;
    double       sum = 0, p = exponent(b->options);
    bool         distance = b->options->similarity > MMCL_SIMILARITY_COSINE;
    for (size_t k = 0; k < b->d; k++)
        sum += distance ? -power(fabs((double) x[k] - t[k]), p) : (double) x[k] * t[k];
    return b->options->similarity == MMCL_SIMILARITY_COSINE ? sum / (norm(x, b->d) * norm(t, b->d)) : sum;
}

/* da, dc [d] += g times the derivatives of the similarity of a and c. */
static void descend(const batch *b, double g, const float *a, const float *c, double *da, double *dc)
{
    double p = exponent(b->options), size_a = 1, size_c = 1, cosine = 0;
    if (b->options->similarity == MMCL_SIMILARITY_COSINE) {
        size_a = norm(a, b->d);
        size_c = norm(c, b->d);
        for (size_t k = 0; k < b->d; k++)
            cosine += a[k] / size_a * (c[k] / size_c);
    }
    for (size_t k = 0; k < b->d; k++) {
        double v = (double) a[k] - c[k], slope = v == 0 ? 0 : g * p * power(fabs(v), p - 1) * (v > 0 ? 1 : -1);
        if (b->options->similarity == MMCL_SIMILARITY_DOT) {
            da[k] += g * c[k];
            dc[k] += g * a[k];
        } else if (b->options->similarity == MMCL_SIMILARITY_COSINE) {
            da[k] += g * (c[k] / size_c - cosine * a[k] / size_a) / size_a;
            dc[k] += g * (a[k] / size_a - cosine * c[k] / size_c) / size_c;
        } else {
            da[k] -= slope;
            dc[k] += slope;
        }
    }
}

static bool positive(const batch *b, size_t i, size_t j)
{
    return b->labels != NULL ? b->labels[i] == b->labels[j] : i == j;
}

/* Row i of the logits, or column i: step is 1 or n. Returns the loss and adds its derivative, times weight, to g. */
static double side(const batch *b, size_t i, size_t first, size_t step, double weight, double *entropy, double *hit)
{
    const double *s = b->s + first;
    double       *g = b->g + first, top = -INFINITY, sum = 0, all = 0, target = 0, count = 0, negatives = 0;
    double        best_positive = -INFINITY, best_negative = -INFINITY;
    bool          only = b->options->normalizer == MMCL_NORMALIZER_MEAN_NEGATIVES;
    for (size_t j = 0; j < b->n; j++)
        top = fmax(top, s[j * step]);
    for (size_t j = 0; j < b->n; j++) {
        bool pair = positive(b, i, j);
        all += exp(s[j * step] - top);
        sum += only && pair ? 0 : exp(s[j * step] - top);
        target += pair ? s[j * step] : 0;
        count += pair;
        negatives += !pair;
        if (pair)
            best_positive = fmax(best_positive, s[j * step]);
        else
            best_negative = fmax(best_negative, s[j * step]);
    }
    double rest = top + log(sum) - target / count;
    for (size_t j = 0; j < b->n; j++) {
        bool pair = positive(b, i, j);
        g[j * step] += weight * ((only && pair ? 0 : exp(s[j * step] - top) / sum) - (pair ? 1 / count : 0));
    }
    if (count == 1 && !only) { /* the own pair from what is left of it: 1 - p loses its digits where p is almost 1 */
        double others = 0, own = target;
        for (size_t j = 0; j < b->n; j++)
            others += j == i ? 0 : exp(s[j * step] - own);
        g[i * step] += weight * (-others / (1 + others) - (exp(own - top) / sum - 1));
        rest = others < 1 ? log1p(others) : rest;
    }
    *entropy += (top + log(all) - log((double) b->n)) * b->weight;
    *hit += best_positive > best_negative ? b->weight : 0;
    double shift = only ? log(negatives) : b->options->normalizer == MMCL_NORMALIZER_MEAN ? log((double) b->n) : 0;
    return (rest - shift) * b->weight;
}

static void sigmoid(const batch *b, mmcl_objective_info *info)
{
    for (size_t i = 0; i < b->n; i++) {
        for (size_t j = 0; j < b->n; j++) {
            double z = positive(b, i, j) ? 1 : -1, s = b->s[i * b->n + j];
            info->loss += b->weight * (fmax(-z * s, 0) + log1p(exp(-fabs(s))));
            b->g[i * b->n + j] = -b->weight * z / (1 + exp(z * s));
        }
    }
}

static void evaluate(const batch *b, double weight_x, double weight_t, double *dx, double *dt, mmcl__reference_result *result)
{
    mmcl_objective_info *info = &result->info;
    size_t               n = b->n;
    memset(b->g, 0, n * n * sizeof *b->g);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++)
            b->s[i * n + j] = b->scale * similarity(b, i, j) + b->bias;
    for (size_t i = 0; i < n; i++) {
        info->loss_x += side(b, i, i * n, 1, weight_x, &info->entropy_x, &info->accuracy_x);
        info->loss_t += side(b, i, i, n, weight_t, &info->entropy_t, &info->accuracy_t);
        double target = 0, count = 0;
        for (size_t j = 0; j < n; j++) {
            target += positive(b, i, j) ? b->s[i * n + j] : 0;
            count += positive(b, i, j);
        }
        info->alignment -= b->weight * target / count;
    }
    if (b->options->loss == MMCL_LOSS_SIGLIP)
        sigmoid(b, info);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++) {
            double g = b->g[i * n + j];
            result->dbias += b->options->loss == MMCL_LOSS_SIGLIP ? g : 0;
            result->dlog_scale += g * (b->s[i * n + j] - b->bias);
            descend(b, b->scale * g, b->x + i * b->d, b->t + j * b->d, dx + i * b->d, dt + j * b->d);
        }
}

void mmcl__objective_reference(const mmcl_objective_options *options, const mmcl_objective_input *input, double *logits,
                               mmcl__reference_result *result)
{
    size_t rows = input->x->rows, d = input->x->cols, blocks = input->blocks > 1 ? (size_t) input->blocks : 1, n = rows / blocks;
    double weight = 1 / (double) rows, half = options->sides == MMCL_SIDES_BOTH && !options->summed ? 0.5 : 1;
    double by_x = options->sides == MMCL_SIDES_T2X ? 0 : half, by_t = options->sides == MMCL_SIDES_X2T ? 0 : half;
    memset(result->dx, 0, rows * d * sizeof *result->dx);
    memset(result->dt, 0, rows * d * sizeof *result->dt);
    result->dlog_scale = result->dbias = 0;
    result->info                       = (mmcl_objective_info){.rows = rows};
    for (size_t first = 0; first < rows; first += n) {
        const batch b = {.options = options,
                         .x       = (const float *) input->x->data + first * d,
                         .t       = (const float *) input->t->data + first * d,
                         .labels  = input->groups != NULL ? input->groups + first : NULL,
                         .n       = n,
                         .d       = d,
                         .scale   = (input->scale == 0 ? 1 : input->scale) * exp(input->log_scale),
                         .bias    = input->bias,
                         .weight  = weight,
                         .s       = logits,
                         .g       = logits + n * n};
        evaluate(&b, by_x * weight, by_t * weight, result->dx + first * d, result->dt + first * d, result);
    }
    if (options->loss != MMCL_LOSS_SIGLIP)
        result->info.loss = by_x * result->info.loss_x + by_t * result->info.loss_t;
}
