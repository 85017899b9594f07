#include "scores.h"

#include "memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Means of the columns of rows [from, to) of m [.., cols]. */
static void means_of(const float *m, size_t cols, size_t from, size_t to, double *out)
{
    memset(out, 0, cols * sizeof *out);
    for (size_t i = from; i < to; i++)
        for (size_t j = 0; j < cols; j++)
            out[j] += (double) m[i * cols + j] / (double) (to - from);
}

/* a [n, n] = its lower Cholesky factor; a little of the trace on the diagonal lets codes that have collapsed through. */
static void factorize(size_t n, double *a)
{
    double trace = 0;
    for (size_t i = 0; i < n; i++)
        trace += a[i * n + i];
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j <= i; j++) {
            double sum = a[i * n + j] + (i == j ? 1e-10 * trace / (double) n + 1e-300 : 0);
            for (size_t k = 0; k < j; k++)
                sum -= a[i * n + k] * a[j * n + k];
            a[i * n + j] = i == j ? sqrt(fmax(sum, 1e-300)) : sum / a[j * n + j];
        }
}

static void solve(size_t n, const double *factor, double *b)
{
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < i; k++)
            b[i] -= factor[i * n + k] * b[k];
        b[i] /= factor[i * n + i];
    }
    for (size_t i = n; i-- > 0;) {
        for (size_t k = i + 1; k < n; k++)
            b[i] -= factor[k * n + i] * b[k];
        b[i] /= factor[i * n + i];
    }
}

/* R2 of target column j for rows [half, rows), from coefficients [d] around the means of the first half. */
static double judge(size_t rows, const float *codes, size_t d, const float *targets, size_t k, size_t j, const double *weights,
                    const double *code_means, double target_mean)
{
    double mean, residual = 0, total = 0;
    size_t half = rows / 2;
    double sum  = 0;
    for (size_t i = half; i < rows; i++)
        sum += (double) targets[i * k + j];
    mean = sum / (double) (rows - half);
    for (size_t i = half; i < rows; i++) {
        double predicted = target_mean, value = (double) targets[i * k + j];
        for (size_t c = 0; c < d; c++)
            predicted += weights[c] * ((double) codes[i * d + c] - code_means[c]);
        residual += (value - predicted) * (value - predicted);
        total += (value - mean) * (value - mean);
    }
    return total > 0 ? 1 - residual / total : 0;
}

double scores_r2(size_t rows, const float *codes, size_t d, const float *targets, size_t k)
{
    if (k == 0)
        return 0;
    size_t  half       = rows / 2;
    double *code_means = memory_array(d, sizeof *code_means), *target_means = memory_array(k, sizeof *target_means);
    double *gram = memory_array(d * d, sizeof *gram), *cross = memory_array(k * d, sizeof *cross), score = 0;
    means_of(codes, d, 0, half, code_means);
    means_of(targets, k, 0, half, target_means);
    for (size_t i = 0; i < half; i++)
        for (size_t a = 0; a < d; a++) {
            double code = (double) codes[i * d + a] - code_means[a];
            for (size_t b = 0; b <= a; b++)
                gram[a * d + b] += code * ((double) codes[i * d + b] - code_means[b]);
            for (size_t j = 0; j < k; j++)
                cross[j * d + a] += code * ((double) targets[i * k + j] - target_means[j]);
        }
    factorize(d, gram);
    for (size_t j = 0; j < k; j++) {
        solve(d, gram, cross + j * d);
        score += judge(rows, codes, d, targets, k, j, cross + j * d, code_means, target_means[j]) / (double) k;
    }
    free(cross);
    free(gram);
    free(target_means);
    free(code_means);
    return score;
}

void scores_correlations(size_t rows, const float *codes, size_t d, const float *targets, size_t k, double *out)
{
    size_t  half       = rows / 2;
    double *code_means = memory_array(d, sizeof *code_means), *target_means = memory_array(k, sizeof *target_means);
    double *code_squares = memory_array(d, sizeof *code_squares), *target_squares = memory_array(k, sizeof *target_squares);
    means_of(codes, d, half, rows, code_means);
    means_of(targets, k, half, rows, target_means);
    memset(out, 0, d * k * sizeof *out);
    for (size_t i = half; i < rows; i++) {
        for (size_t j = 0; j < k; j++)
            target_squares[j] += pow((double) targets[i * k + j] - target_means[j], 2);
        for (size_t a = 0; a < d; a++) {
            double code = (double) codes[i * d + a] - code_means[a];
            code_squares[a] += code * code;
            for (size_t j = 0; j < k; j++)
                out[a * k + j] += code * ((double) targets[i * k + j] - target_means[j]);
        }
    }
    for (size_t a = 0; a < d; a++)
        for (size_t j = 0; j < k; j++) {
            double scale   = sqrt(code_squares[a] * target_squares[j]);
            out[a * k + j] = scale > 0 ? fabs(out[a * k + j]) / scale : 0;
        }
    free(target_squares);
    free(code_squares);
    free(target_means);
    free(code_means);
}

/*
 * The Hungarian method with potentials (Kuhn 1955; Jonker and Volgenant's shortest augmenting paths): targets are added one by one, each by
 * the cheapest chain of reassignments. Index 0 stands for "none".
 */
double scores_mcc(size_t n, const double *correlations, size_t *order)
{
    double *u = memory_array(n + 1, sizeof *u), *v = memory_array(n + 1, sizeof *v), *least = memory_array(n + 1, sizeof *least);
    size_t *match = memory_array(n + 1, sizeof *match), *way = memory_array(n + 1, sizeof *way);
    char   *used = memory_array(n + 1, 1);
    for (size_t target = 1; target <= n; target++) {
        size_t column = 0;
        match[0]      = target;
        for (size_t j = 0; j <= n; j++) {
            least[j] = INFINITY;
            used[j]  = 0;
        }
        do {
            size_t row = match[column], next = 0;
            double step = INFINITY;
            used[column] = 1;
            for (size_t j = 1; j <= n; j++) {
                if (used[j])
                    continue;
                double cost = -correlations[(j - 1) * n + row - 1] - u[row] - v[j];
                if (cost < least[j]) {
                    least[j] = cost;
                    way[j]   = column;
                }
                if (least[j] < step) {
                    step = least[j];
                    next = j;
                }
            }
            for (size_t j = 0; j <= n; j++) {
                if (used[j]) {
                    u[match[j]] += step;
                    v[j] -= step;
                } else {
                    least[j] -= step;
                }
            }
            column = next;
        } while (match[column] != 0);
        while (column != 0) {
            match[column] = match[way[column]];
            column        = way[column];
        }
    }
    double sum = 0;
    for (size_t j = 1; j <= n; j++) {
        sum += correlations[(j - 1) * n + match[j] - 1];
        if (order != NULL)
            order[match[j] - 1] = j - 1;
    }
    free(used);
    free(way);
    free(match);
    free(least);
    free(v);
    free(u);
    return sum / (double) n;
}
