/* Metrics with an estimator inside: against scikit-learn, and against plain twins of the estimators in float64. */
#include "suite.h"
#include "core/rng.h"

#include "../parity/estimators_golden.h"

#include <check.h>
#include <math.h>
#include <mmcl/mmcl.h>
#include <stdlib.h>
#include <string.h>

enum { N = ESTIMATORS_ROWS, K = ESTIMATORS_CODES, D = ESTIMATORS_FACTORS };

static mmcl_context *context;

static void setup(void)
{
    ck_assert_int_eq(mmcl_context_create(&context, NULL), MMCL_OK);
}

static void teardown(void)
{
    mmcl_context_destroy(context);
}

static mmcl_matrix f64(const double *data, size_t rows, size_t cols)
{
    return (mmcl_matrix){.data = data, .rows = rows, .cols = cols, .dtype = MMCL_F64};
}

static double evaluate(mmcl_metric_kind kind, const mmcl_matrix *codes, const mmcl_matrix *factors, mmcl_metric_options options,
                       double *matrix)
{
    const mmcl_metric_details details = {.struct_size = sizeof details, .matrix = matrix};
    mmcl_metric_result        result  = {.struct_size = sizeof result};
    options.struct_size               = sizeof options;
    mmcl_status status = mmcl_metric_evaluate(context, kind, codes, factors, &options, &result, matrix != NULL ? &details : NULL);
    ck_assert_msg(status == MMCL_OK, "kind %d: %s", kind, mmcl_context_message(context));
    return result.value;
}

/* Of the stored codes; `with` names what the kind takes. */
static double stored(mmcl_metric_kind kind, bool discrete, mmcl_metric_options with, double *matrix)
{
    const mmcl_matrix codes = f64(estimators_codes, N, K), factors = f64(discrete ? estimators_labels : estimators_factors, N, D);
    with.seed     = ESTIMATORS_SEED;
    with.discrete = discrete;
    return evaluate(kind, &codes, &factors, with, matrix);
}

#define PLAIN ((mmcl_metric_options){0})
#define HELD  ((mmcl_metric_options){.holdout = ESTIMATORS_HOLDOUT})
#define TREES 0.02 /* scikit-learn draws which of equally good splits it takes */

START_TEST(equals_scikit_learn)
{
    double matrix[K * D];
    for (int discrete = 0; discrete < 2; discrete++) {
        const double *expected = discrete ? estimators_importances_labels : estimators_importances;
        double        value    = stored(MMCL_METRIC_DCI_DISENTANGLEMENT, discrete, PLAIN, matrix);
        ck_assert_double_eq_tol(value, estimators_disentanglement[discrete], TREES);
        for (int i = 0; i < K * D; i++)
            ck_assert_double_eq_tol(matrix[i], expected[i], TREES);
        ck_assert_double_eq_tol(stored(MMCL_METRIC_DCI_COMPLETENESS, discrete, PLAIN, NULL), estimators_completeness[discrete], TREES);
        ck_assert_double_eq_tol(stored(MMCL_METRIC_DCI_INFORMATIVENESS, discrete, HELD, NULL), estimators_informativeness[discrete], TREES);
        mmcl_metric_options bins = {.bins = discrete ? 0 : ESTIMATORS_BINS}, held = bins, few = {.bins = discrete ? 0 : 3};
        held.holdout = ESTIMATORS_HOLDOUT;
        ck_assert_double_eq_tol(stored(MMCL_METRIC_EXPLICITNESS, discrete, held, NULL), estimators_explicitness[discrete], 1e-6);
        ck_assert_double_eq_tol(stored(MMCL_METRIC_IRS, discrete, bins, NULL), estimators_irs[discrete], 1e-10);
        ck_assert_double_eq_tol(stored(MMCL_METRIC_FACTOR_VAE, discrete, few, NULL), estimators_factor_vae[discrete], 0.02);
    }
    ck_assert_double_eq_tol(stored(MMCL_METRIC_R2_KERNEL, false, HELD, NULL), estimators_r2_kernel[0], 1e-8);
    ck_assert_double_eq_tol(stored(MMCL_METRIC_SAP_DISCRETE, true, HELD, matrix), estimators_sap[0], 1e-6);
    for (int i = 0; i < K * D; i++)
        ck_assert_double_eq_tol(matrix[i], estimators_sap_scores[i], 1e-6);
}
END_TEST

/* ------------------------------------------------------------------------------------------------------------ twins --- */

static bool judged(int row) /* the library's split */
{
    return mmcl__philox_uniform(ESTIMATORS_SEED, (uint64_t) row, 0, 1) < ESTIMATORS_HOLDOUT;
}

/* Boosted trees as their definition has them: every split of every node is tried, with sums made anew for each. */
typedef struct forest {
    bool   in[N];          /* rows that fit */
    double residual[N], step[N]; /* what a tree predicts; curvature of the loss, for the leaves */
    double scale, score[N], importance[K];
} forest;

static double x_of(int row, int column)
{
    return estimators_codes[row * K + column];
}

static double gain_of(const forest *f, const bool *node, int column, double threshold)
{
    double n[2] = {0, 0}, sum[2] = {0, 0};
    for (int i = 0; i < N; i++)
        if (node[i] && f->in[i]) {
            int side = x_of(i, column) > threshold;
            n[side]++;
            sum[side] += f->residual[i];
        }
    return n[0] == 0 || n[1] == 0 ? -1 : n[0] * n[1] / (n[0] + n[1]) * pow(sum[0] / n[0] - sum[1] / n[1], 2);
}

static void plant(forest *f, const bool *node, int depth)
{
    double best = -1, threshold = 0, n = 0, sum = 0, square = 0, step = 0;
    int    column = -1;
    for (int i = 0; i < N; i++)
        if (node[i] && f->in[i]) {
            n++;
            sum += f->residual[i];
            square += f->residual[i] * f->residual[i];
            step += f->step[i];
        }
    for (int j = 0; j < K && depth < 3 && square / n - sum / n * (sum / n) > 2.3e-16; j++) {
        double most = -1, where = 0, from = -INFINITY;
        for (int tried = 0; tried < N; tried++) { /* thresholds in ascending order; gains that agree to 1e-9 are equal */
            double next = INFINITY, after = INFINITY;
            for (int i = 0; i < N; i++)
                if (node[i] && f->in[i] && x_of(i, j) > from)
                    next = fmin(next, x_of(i, j));
            for (int i = 0; i < N; i++)
                if (node[i] && f->in[i] && x_of(i, j) > next)
                    after = fmin(after, x_of(i, j));
            if (isinf(after))
                break;
            double gain = gain_of(f, node, j, (next + after) / 2);
            if (gain > most * (1 + 1e-9))
                most = gain, where = (next + after) / 2;
            from = next;
        }
        if (most >= 0 && most > best * (1 + 1e-9))
            best = most, threshold = where, column = j;
    }
    if (column < 0) {
        for (int i = 0; i < N; i++)
            f->score[i] += node[i] && step > 1e-150 ? 0.1 * f->scale * sum / step : 0;
        return;
    }
    f->importance[column] += best;
    for (int side = 0; side < 2; side++) {
        bool child[N];
        for (int i = 0; i < N; i++)
            child[i] = node[i] && (x_of(i, column) > threshold) == (side == 1);
        plant(f, child, depth + 1);
    }
}

enum { CLASSES = 8 };

/* importance [K], predicted [N] for one factor. */
static void boost(int factor, bool discrete, bool held, double *importance, double *predicted)
{
    static forest f[CLASSES];
    bool          all[N];
    int           outputs = 1, count = 0;
    double        sum[CLASSES] = {0}, total = 0;
    memset(f, 0, sizeof f);
    for (int i = 0; i < N; i++) {
        int label = (int) estimators_labels[i * D + factor];
        all[i]    = true;
        count     = discrete && label >= count ? label + 1 : count;
        if (held && judged(i))
            continue;
        total++;
        for (int c = 0; c < CLASSES; c++)
            sum[c] += discrete ? label == c : estimators_factors[i * D + factor] / CLASSES;
    }
    outputs = count > 2 ? count : 1;
    for (int c = 0; c < outputs; c++)
        for (int i = 0; i < N; i++) {
            double whole = 0;
            for (int o = 0; o < CLASSES; o++)
                whole += sum[o];
            f[c].in[i]    = !(held && judged(i));
            f[c].score[i] = !discrete ? whole / total : outputs == 1 ? log(sum[1] / sum[0]) : log(sum[c] / total);
        }
    for (int stage = 0; stage < 100; stage++) {
        for (int i = 0; i < N; i++) {
            int    label = (int) estimators_labels[i * D + factor];
            double norm  = 0;
            for (int c = 0; c < outputs; c++)
                norm += exp(f[c].score[i]);
            for (int c = 0; c < outputs; c++) {
                double p         = outputs == 1 ? 1 / (1 + exp(-f[c].score[i])) : exp(f[c].score[i]) / norm;
                f[c].residual[i] = !discrete ? estimators_factors[i * D + factor] - f[c].score[i] : (outputs == 1 ? label : label == c) - p;
                f[c].step[i]     = discrete ? p * (1 - p) : 1;
                f[c].scale       = outputs == 1 ? 1 : (outputs - 1.0) / outputs;
            }
        }
        for (int c = 0; c < outputs; c++)
            plant(&f[c], all, 0);
    }
    double whole = 0;
    for (int j = 0; j < K; j++) {
        importance[j] = 0;
        for (int c = 0; c < outputs; c++)
            importance[j] += f[c].importance[j];
        whole += importance[j];
    }
    for (int j = 0; j < K; j++)
        importance[j] /= whole;
    for (int i = 0; i < N; i++) {
        int best = 0;
        for (int c = 1; c < outputs; c++)
            best = f[c].score[i] > f[best].score[i] ? c : best;
        predicted[i] = !discrete ? f[0].score[i] : outputs == 1 ? f[0].score[i] > 0 : best;
    }
}

static double entropy_gap(const double *shares, int n, int step)
{
    double whole = 0, sum = 0;
    for (int i = 0; i < n; i++)
        whole += shares[i * step] + 1e-11;
    for (int i = 0; i < n; i++)
        sum -= (shares[i * step] + 1e-11) / whole * log((shares[i * step] + 1e-11) / whole) / log(n);
    return 1 - sum;
}

START_TEST(trees_equal_their_definition)
{
    for (int discrete = 0; discrete < 2; discrete++) {
        double r[K * D], column[K], predicted[N], disentangled = 0, complete = 0, told = 0, mass = 0, matrix[K * D];
        for (int j = 0; j < D; j++) {
            boost(j, discrete, false, column, predicted);
            for (int i = 0; i < K; i++)
                r[i * D + j] = column[i];
        }
        for (int i = 0; i < K; i++) {
            double share = r[i * D] + r[i * D + 1] + r[i * D + 2];
            disentangled += share * entropy_gap(r + i * D, D, 1);
            mass += share;
        }
        for (int j = 0; j < D; j++)
            complete += entropy_gap(r + j, K, D) / D;
        for (int j = 0; j < D; j++) {
            double right = 0, error = 0, mean = 0, square = 0, n = 0;
            boost(j, discrete, true, column, predicted);
            for (int i = 0; i < N; i++) {
                if (!judged(i))
                    continue;
                double y = estimators_factors[i * D + j];
                right += predicted[i] == estimators_labels[i * D + j];
                error += (y - predicted[i]) * (y - predicted[i]);
                mean += y;
                square += y * y;
                n++;
            }
            told += (discrete ? right / n : 1 - error / (square - mean * mean / n)) / D;
        }
        ck_assert_double_eq_tol(stored(MMCL_METRIC_DCI_DISENTANGLEMENT, discrete, PLAIN, matrix), disentangled / mass, 1e-6);
        for (int i = 0; i < K * D; i++)
            ck_assert_double_eq_tol(matrix[i], r[i], 1e-6);
        ck_assert_double_eq_tol(stored(MMCL_METRIC_DCI_COMPLETENESS, discrete, PLAIN, NULL), complete, 1e-6);
        ck_assert_double_eq_tol(stored(MMCL_METRIC_DCI_INFORMATIVENESS, discrete, HELD, NULL), told, 1e-6);
    }
}
END_TEST

/* b [n, m] = a^-1 b by elimination with pivots. */
static void eliminate(int n, int m, double *a, double *b)
{
    for (int p = 0; p < n; p++) {
        int pivot = p;
        for (int i = p + 1; i < n; i++)
            pivot = fabs(a[i * n + p]) > fabs(a[pivot * n + p]) ? i : pivot;
        for (int j = 0; j < n; j++) {
            double t         = a[p * n + j];
            a[p * n + j]     = a[pivot * n + j];
            a[pivot * n + j] = t;
        }
        for (int j = 0; j < m; j++) {
            double t         = b[p * m + j];
            b[p * m + j]     = b[pivot * m + j];
            b[pivot * m + j] = t;
        }
        for (int i = 0; i < n; i++) {
            double factor = i == p ? 0 : a[i * n + p] / a[p * n + p];
            for (int j = 0; j < n; j++)
                a[i * n + j] -= factor * a[p * n + j];
            for (int j = 0; j < m; j++)
                b[i * m + j] -= factor * b[p * m + j];
        }
    }
    for (int i = 0; i < n; i++)
        for (int j = 0; j < m; j++)
            b[i * m + j] /= a[i * n + i];
}

/* out [N, cols] at mean 0 and variance 1 over the rows that fit. */
static void standardise(const double *data, int cols, double *out)
{
    for (int j = 0; j < cols; j++) {
        double n = 0, mean = 0, square = 0;
        for (int i = 0; i < N; i++)
            if (!judged(i))
                n++, mean += data[i * cols + j];
        mean /= n;
        for (int i = 0; i < N; i++)
            square += judged(i) ? 0 : pow(data[i * cols + j] - mean, 2);
        for (int i = 0; i < N; i++)
            out[i * cols + j] = (data[i * cols + j] - mean) / sqrt(square / n);
    }
}

static double kernel(const double *x, int a, int b, double gamma)
{
    double sum = 0;
    for (int j = 0; j < K; j++)
        sum += pow(x[a * K + j] - x[b * K + j], 2);
    return exp(-gamma * sum);
}

/* R^2 of factor j on the rows `to`, fitted on the rows `from`. */
static double ridge(const double *x, const double *y, int j, double alpha, double gamma, const bool *from, const bool *to)
{
    static double a[N * N], b[N];
    int           index[N], n = 0;
    double        count = 0, mean = 0, square = 0, error = 0;
    for (int i = 0; i < N; i++)
        if (from[i])
            index[n++] = i;
    for (int i = 0; i < n; i++) {
        b[i] = y[index[i] * D + j];
        for (int o = 0; o < n; o++)
            a[i * n + o] = kernel(x, index[i], index[o], gamma) + (i == o ? alpha : 0);
    }
    eliminate(n, 1, a, b);
    for (int i = 0; i < N; i++)
        if (to[i])
            count++, mean += y[i * D + j];
    mean /= count;
    for (int i = 0; i < N; i++) {
        double predicted = 0;
        if (!to[i])
            continue;
        for (int o = 0; o < n; o++)
            predicted += b[o] * kernel(x, i, index[o], gamma);
        error += pow(y[i * D + j] - predicted, 2);
        square += pow(y[i * D + j] - mean, 2);
    }
    return 1 - error / square;
}

START_TEST(kernel_ridge_equals_its_definition)
{
    static double x[N * K], y[N * D];
    const double  alphas[] = {1, 0.1, 0.01, 0.001};
    double        mean = 0;
    bool          fit[N], test[N];
    standardise(estimators_codes, K, x);
    standardise(estimators_factors, D, y);
    for (int i = 0; i < N; i++)
        test[i] = !(fit[i] = !judged(i));
    for (int j = 0; j < D; j++) {
        double best = -INFINITY, alpha = 0, gamma = 0;
        for (int a = 0; a < 4; a++)
            for (int g = 0; g < 4; g++) {
                double sum = 0;
                for (int fold = 0; fold < 3; fold++) {
                    bool from[N], to[N];
                    int  place = 0;
                    for (int i = 0; i < N; i++) {
                        to[i]   = fit[i] && place % 3 == fold;
                        from[i] = fit[i] && place % 3 != fold;
                        place += fit[i];
                    }
                    sum += ridge(x, y, j, alphas[a], pow(10, -2 + 4.0 * g / 3), from, to) / 3;
                }
                if (sum > best)
                    best = sum, alpha = alphas[a], gamma = pow(10, -2 + 4.0 * g / 3);
            }
        mean += ridge(x, y, j, alpha, gamma, fit, test) / D;
    }
    ck_assert_double_eq_tol(stored(MMCL_METRIC_R2_KERNEL, false, HELD, NULL), mean, 1e-6);
}
END_TEST

enum { WIDTH = K + 1 };

/* Newton's method on the whole Hessian; the last class's intercept stays 0. w [classes, K + 1]. */
static void logistic(const double *x, const int *label, int classes, double cost, double *w)
{
    static double h[CLASSES * WIDTH * CLASSES * WIDTH];
    int           size = classes * WIDTH;
    memset(w, 0, (size_t) size * sizeof *w);
    for (int step = 0; step < 50; step++) {
        double g[CLASSES * WIDTH];
        memset(h, 0, sizeof h);
        for (int p = 0; p < size; p++) {
            bool weight      = p % WIDTH < K;
            g[p]             = weight ? w[p] : 0;
            h[p * size + p] = weight;
        }
        for (int i = 0; i < N; i++) {
            double p[CLASSES], norm = 0, one[WIDTH];
            if (judged(i))
                continue;
            for (int j = 0; j < WIDTH; j++)
                one[j] = j < K ? x[i * K + j] : 1;
            for (int c = 0; c < classes; c++) {
                double score = 0;
                for (int j = 0; j < WIDTH; j++)
                    score += w[c * WIDTH + j] * one[j];
                norm += p[c] = exp(score);
            }
            for (int a = 0; a < size; a++) {
                int c = a / WIDTH;
                g[a] += cost * (p[c] / norm - (label[i] == c)) * one[a % WIDTH];
                for (int b = 0; b < size; b++)
                    h[a * size + b] += cost * p[c] / norm * ((c == b / WIDTH) - p[b / WIDTH] / norm) * one[a % WIDTH] * one[b % WIDTH];
            }
        }
        for (int b = 0; b < size; b++)
            h[(size - 1) * size + b] = h[b * size + size - 1] = b == size - 1;
        g[size - 1] = 0;
        eliminate(size, 1, h, g);
        for (int a = 0; a < size; a++)
            w[a] -= g[a];
    }
}

START_TEST(explicitness_equals_its_definition)
{
    static double x[N * K];
    double        mean = 0;
    standardise(estimators_codes, K, x);
    for (int j = 0; j < D; j++) {
        double w[CLASSES * WIDTH], sum = 0;
        int    label[N], classes = 0;
        for (int i = 0; i < N; i++) {
            label[i] = (int) estimators_labels[i * D + j];
            classes  = label[i] >= classes ? label[i] + 1 : classes;
        }
        logistic(x, label, classes, classes == 2 ? 0.5 : 1, w);
        for (int c = 0; c < classes; c++) {
            double p[N], pairs = 0, in = 0, out = 0;
            for (int i = 0; i < N; i++) {
                double norm = 0, own = 0;
                for (int o = 0; o < classes; o++) {
                    double score = w[o * WIDTH + K];
                    for (int a = 0; a < K; a++)
                        score += w[o * WIDTH + a] * x[i * K + a];
                    norm += exp(score);
                    own = o == c ? exp(score) : own;
                }
                p[i] = own / norm;
            }
            for (int a = 0; a < N; a++) {
                in += judged(a) && label[a] == c;
                out += judged(a) && label[a] != c;
                for (int b = 0; b < N; b++)
                    if (judged(a) && judged(b) && label[a] == c && label[b] != c)
                        pairs += p[a] > p[b] ? 1 : p[a] == p[b] ? 0.5 : 0;
            }
            sum += pairs / (in * out) / classes;
        }
        mean += sum / D;
    }
    ck_assert_double_eq_tol(stored(MMCL_METRIC_EXPLICITNESS, true, HELD, NULL), mean, 1e-6);
}
END_TEST

/* Gradient descent at a step that suits the largest curvature; the objective's smallest is 1. */
static void machine(const double *cost, const double *x, const int *sign, double *w, double *b)
{
    double most = 1;
    for (int i = 0; i < N; i++)
        most += 2 * cost[i] * (x[i] * x[i] + 1);
    *w = *b = 0;
    for (int step = 0; step < 3000; step++) {
        double gw = *w, gb = *b;
        for (int i = 0; i < N; i++) {
            double slack = 1 - sign[i] * (*w * x[i] + *b);
            gw -= slack > 0 ? 2 * cost[i] * slack * sign[i] * x[i] : 0;
            gb -= slack > 0 ? 2 * cost[i] * slack * sign[i] : 0;
        }
        *w -= gw / most;
        *b -= gb / most;
    }
}

START_TEST(separation_equals_its_definition)
{
    double matrix[K * D];
    stored(MMCL_METRIC_SAP_DISCRETE, true, HELD, matrix);
    for (int pair = 0; pair < K * D; pair++) {
        int    code = pair / D, factor = pair % D, classes = 0, sign[N];
        double x[N], cost[N], best[N], right = 0, n = 0, fit = 0;
        int    told[N] = {0};
        for (int i = 0; i < N; i++) {
            int label = (int) estimators_labels[i * D + factor];
            classes   = label >= classes ? label + 1 : classes;
            x[i]      = x_of(i, code);
            best[i]   = -INFINITY;
            fit += !judged(i);
            n += judged(i);
        }
        for (int c = 0; c < classes; c++) {
            double size = 0, w, b;
            for (int i = 0; i < N; i++)
                size += !judged(i) && estimators_labels[i * D + factor] == c;
            for (int i = 0; i < N; i++) {
                sign[i] = estimators_labels[i * D + factor] == c ? 1 : -1;
                cost[i] = judged(i) ? 0 : 0.01 * (sign[i] > 0 ? fit / classes / size : classes == 2 ? fit / 2 / (fit - size) : 1);
            }
            machine(cost, x, sign, &w, &b);
            for (int i = 0; i < N; i++)
                if (w * x[i] + b > best[i])
                    best[i] = w * x[i] + b, told[i] = c;
        }
        for (int i = 0; i < N; i++)
            right += judged(i) && told[i] == estimators_labels[i * D + factor];
        ck_assert_double_eq_tol(matrix[pair], right / n, 1e-6);
    }
}
END_TEST

/* The same draws, with everything else made anew for each vote. */
static int vote_of(uint64_t number, int factor)
{
    double least = INFINITY;
    int    best = 0, rows[N], n = 0;
    for (uint32_t try = 0; n < 64; try++) {
        int fixed = (int) (mmcl__philox_uniform(ESTIMATORS_SEED, number, try, 4) * N);
        n         = 0;
        for (int i = 0; i < N; i++)
            if (estimators_labels[i * D + factor] == estimators_labels[fixed * D + factor])
                rows[n++] = i;
    }
    for (int j = 0; j < K; j++) {
        double sum = 0, square = 0, all = 0, whole = 0;
        for (uint32_t i = 0; i < 64; i++) {
            double x = x_of(rows[(int) (mmcl__philox_uniform(ESTIMATORS_SEED, number, i, 5) * n)], j);
            sum += x;
            square += x * x;
        }
        for (int i = 0; i < N; i++) {
            all += x_of(i, j);
            whole += x_of(i, j) * x_of(i, j);
        }
        double ratio = (square - sum * sum / 64) / 63 / ((whole - all * all / N) / (N - 1));
        if (ratio < least)
            least = ratio, best = j;
    }
    return best;
}

START_TEST(factor_vae_equals_its_definition)
{
    double votes[K * D] = {0}, right = 0, matrix[K * D];
    for (uint64_t number = 0; number < 15000; number++) {
        int factor = (int) (mmcl__philox_uniform(ESTIMATORS_SEED, number, 0, 3) * D), code = vote_of(number, factor), most = 0;
        if (number < 10000) {
            votes[code * D + factor]++;
            continue;
        }
        for (int j = 1; j < D; j++)
            most = votes[code * D + j] > votes[code * D + most] ? j : most;
        right += most == factor;
    }
    ck_assert_double_eq_tol(stored(MMCL_METRIC_FACTOR_VAE, true, PLAIN, matrix), right / 5000, 1e-6);
    for (int i = 0; i < K * D; i++)
        ck_assert_double_eq(matrix[i], votes[i]);
}
END_TEST

/* --------------------------------------------------------------------------------------------------------- extremes --- */

enum { ROWS = 1500, FACTORS = 3 };

static double noise(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (double) (*state >> 11) / 9007199254740992.0;
}

static const struct {
    mmcl_metric_kind kind;
    double           holdout, perfect, random; /* least of perfect codes, most of random ones */
    bool             takes_floats, takes_labels;
} kinds[] = {{MMCL_METRIC_DCI_DISENTANGLEMENT, 0, 0.95, 0.2, true, true},  {MMCL_METRIC_DCI_COMPLETENESS, 0, 0.95, 0.2, true, true},
             {MMCL_METRIC_DCI_INFORMATIVENESS, 0.5, 0.98, 0.45, true, true}, {MMCL_METRIC_EXPLICITNESS, 0.5, 0.9, 0.57, true, true},
             {MMCL_METRIC_FACTOR_VAE, 0, 0.99, 0.75, true, true},          {MMCL_METRIC_IRS, 0, 0.7, 0.45, true, true},
             {MMCL_METRIC_R2_KERNEL, 0.5, 0.99, 0.05, true, false},        {MMCL_METRIC_SAP_DISCRETE, 0.5, 0.2, 0.1, false, true}};
#define KINDS (sizeof kinds / sizeof *kinds)

static double measure(size_t kind, bool discrete, const double *codes, size_t k, size_t stride, const double *factors)
{
    mmcl_matrix         x = f64(codes, ROWS, k), z = f64(factors, ROWS, FACTORS);
    mmcl_metric_options options = {.holdout = kinds[kind].holdout, .discrete = discrete};
    if (!discrete && kinds[kind].kind >= MMCL_METRIC_EXPLICITNESS && kinds[kind].kind <= MMCL_METRIC_IRS)
        options.bins = 8;
    x.row_stride = stride;
    return evaluate(kinds[kind].kind, &x, &z, options, NULL);
}

/* Perfect codes, random ones, a constant one beside perfect ones, more codes than factors, fewer. */
START_TEST(extremes)
{
    static double z[ROWS * FACTORS], labels[ROWS * FACTORS], perfect[ROWS * 6], random[ROWS * FACTORS];
    uint64_t      state = 5;
    for (int discrete = 0; discrete < 2; discrete++) {
        const double *truth = discrete ? labels : z;
        for (int i = 0; i < ROWS; i++) {
            for (int j = 0; j < FACTORS; j++) {
                z[i * FACTORS + j]      = noise(&state);
                labels[i * FACTORS + j] = floor(4 * noise(&state));
                random[i * FACTORS + j] = noise(&state);
                perfect[i * 6 + j]      = 2 - 3 * truth[i * FACTORS + j];
            }
            perfect[i * 6 + 3] = 7; /* constant */
            perfect[i * 6 + 4] = noise(&state);
            perfect[i * 6 + 5] = noise(&state);
        }
        for (size_t kind = 0; kind < KINDS; kind++) {
            if (discrete ? !kinds[kind].takes_labels : !kinds[kind].takes_floats)
                continue;
            double whole = measure(kind, discrete, perfect, 3, 6, truth), chance = measure(kind, discrete, random, 3, 3, truth);
            double constant = measure(kind, discrete, perfect, 4, 6, truth), more = measure(kind, discrete, perfect, 6, 6, truth);
            ck_assert_msg(whole >= kinds[kind].perfect && whole <= 1, "kind %d, discrete %d: perfect %g", kinds[kind].kind, discrete, whole);
            ck_assert_msg(chance <= kinds[kind].random, "kind %d, discrete %d: random %g", kinds[kind].kind, discrete, chance);
            ck_assert_msg(fabs(constant - whole) < 0.02, "kind %d, discrete %d: %g, with a constant code %g", kinds[kind].kind, discrete, whole,
                          constant);
            ck_assert_msg(more <= 1 && more > chance, "kind %d, discrete %d: more codes %g", kinds[kind].kind, discrete, more);
            if (kinds[kind].kind != MMCL_METRIC_DCI_COMPLETENESS) {
                double fewer = measure(kind, discrete, perfect, 1, 6, truth);
                ck_assert_msg(isfinite(fewer) && fewer <= 1, "kind %d, discrete %d: fewer codes %g", kinds[kind].kind, discrete, fewer);
            }
        }
    }
}
END_TEST

START_TEST(intervals_hold_the_value)
{
    static double z[ROWS * FACTORS], codes[ROWS * FACTORS];
    uint64_t      state = 8;
    for (int i = 0; i < ROWS * FACTORS; i++)
        z[i] = floor(3 * noise(&state));
    for (int i = 0; i < ROWS * FACTORS; i++)
        codes[i] = z[i] + 2 * noise(&state) + 0.3 * z[i / FACTORS * FACTORS];
    mmcl_matrix x = f64(codes, ROWS, FACTORS), y = f64(z, ROWS, FACTORS);
    for (size_t kind = 0; kind < KINDS; kind++) {
        mmcl_metric_options options = {.struct_size = sizeof options, .holdout = kinds[kind].holdout, .resamples = 12,
                                       .discrete = kinds[kind].takes_labels, .most_rows = 600};
        mmcl_metric_result  result = {.struct_size = sizeof result}, again = result;
        mmcl_status         status = mmcl_metric_evaluate(context, kinds[kind].kind, &x, &y, &options, &result, NULL);
        ck_assert_msg(status == MMCL_OK, "kind %d: %s", kinds[kind].kind, mmcl_context_message(context));
        ck_assert_int_eq(mmcl_metric_evaluate(context, kinds[kind].kind, &x, &y, &options, &again, NULL), MMCL_OK);
        ck_assert_mem_eq(&result, &again, sizeof result);
        ck_assert_uint_eq(result.resamples, 12);
        ck_assert_msg((result.low < result.high || result.low == 1) && result.high - result.low < 0.3, "kind %d: %g to %g",
                      kinds[kind].kind, result.low, result.high);
        ck_assert_msg(fabs(result.value - (result.low + result.high) / 2) < 0.15, "kind %d: %g, %g to %g", kinds[kind].kind, result.value,
                      result.low, result.high);
        ck_assert_uint_le(result.rows, kinds[kind].holdout > 0 ? 400 : 700);
        ck_assert_uint_ge(result.rows, kinds[kind].holdout > 0 ? 200 : 500);
    }
}
END_TEST

/* -------------------------------------------------------------------------------------------------------- bad input --- */

START_TEST(bad_input_is_named)
{
    double              c[200], f[200], labels[200];
    mmcl_metric_result  result  = {.struct_size = sizeof result, .value = 42};
    for (int i = 0; i < 200; i++) {
        c[i]      = sin(i);
        f[i]      = cos(3 * i);
        labels[i] = i % 3;
    }
    const mmcl_matrix one = f64(c, 200, 1), two = f64(c, 100, 2), factor = f64(f, 200, 1), factors = f64(f, 100, 2);
    const mmcl_matrix classes = f64(labels, 200, 1);
    const struct {
        mmcl_metric_kind    kind;
        const mmcl_matrix  *codes, *factors;
        mmcl_metric_options options;
        const char         *words;
    } cases[] = {{MMCL_METRIC_DCI_DISENTANGLEMENT, &one, &factor, {0}, "expected at least 2 for disentanglement"},
                 {MMCL_METRIC_DCI_COMPLETENESS, &one, &factor, {0}, "expected at least 2 for completeness"},
                 {MMCL_METRIC_FACTOR_VAE, &one, &factor, {0}, "expected at least 2 for the FactorVAE score"},
                 {MMCL_METRIC_FACTOR_VAE, &two, &factors, {.bins = 20}, "hardly a class with 64 rows"},
                 {MMCL_METRIC_R2_KERNEL, &one, &factor, {0}, "holdout: 0, expected a share"},
                 {MMCL_METRIC_R2_KERNEL, &one, &classes, {.holdout = 0.5, .discrete = 1}, "knows no classes"},
                 {MMCL_METRIC_SAP_DISCRETE, &one, &factor, {0}, "not whole"},
                 {MMCL_METRIC_DCI_INFORMATIVENESS, &one, &factor, {.discrete = 1}, "not whole"},
                 {MMCL_METRIC_EXPLICITNESS, &one, &factor, {.most_rows = 10}, "most_rows: 10, expected at least 64"},
                 {MMCL_METRIC_MCC, &one, &factor, {.most_rows = 100}, "takes all"},
                 {MMCL_METRIC_SAP_DISCRETE, &one, &classes, {.bins = 4}, "has no bins"},
                 {MMCL_METRIC_IRS, &one, &factor, {.holdout = 0.5}, "fits nothing"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mmcl_metric_options options = cases[i].options;
        options.struct_size         = sizeof options;
        ck_assert_int_ne(mmcl_metric_evaluate(context, cases[i].kind, cases[i].codes, cases[i].factors, &options, &result, NULL), MMCL_OK);
        ck_assert_msg(strstr(mmcl_context_message(context), cases[i].words) != NULL, "%zu: %s", i, mmcl_context_message(context));
        ck_assert_double_eq(result.value, 42);
    }
    for (int i = 0; i < 200; i++)
        labels[i] = 1000 * (i % 3);
    mmcl_metric_options options = {.struct_size = sizeof options, .discrete = 1};
    ck_assert_int_eq(mmcl_metric_evaluate(context, MMCL_METRIC_SAP_DISCRETE, &one, &classes, &options, &result, NULL), MMCL_E_NUMERIC);
    ck_assert_ptr_nonnull(strstr(mmcl_context_message(context), "spans 2001 classes, expected at most 1000"));
    ck_assert_int_eq(mmcl_metric_evaluate(context, MMCL_METRIC_DCI_INFORMATIVENESS, &one, &classes, &options, &result, NULL), MMCL_E_NUMERIC);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("estimators");
    TCase *tests = tcase_create("estimators");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_set_timeout(tests, 240);
    tcase_add_test(tests, equals_scikit_learn);
    tcase_add_test(tests, trees_equal_their_definition);
    tcase_add_test(tests, kernel_ridge_equals_its_definition);
    tcase_add_test(tests, explicitness_equals_its_definition);
    tcase_add_test(tests, separation_equals_its_definition);
    tcase_add_test(tests, factor_vae_equals_its_definition);
    tcase_add_test(tests, extremes);
    tcase_add_test(tests, intervals_hold_the_value);
    tcase_add_test(tests, bad_input_is_named);
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
