/* Kernels of an ICA pass and their readable twins. */
#include "suite.h"
#include "core/rng.h"
#include "transform/ica_kernels.h"
#include "transform/ica_products.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

START_TEST(kernels_equal_reference)
{
    enum { rows = 137, most = MMCL__ICA_LINE };
    for (size_t cols = 1; cols <= most; cols *= 2)
        for (int contrast = 0; contrast < 3; contrast++)
            for (int mode = 0; mode < 3; mode++) {
                float  y[2][rows * most + 1], sums[2][2][most], tiles[2][2][rows * most];
                double wide[2][rows * most + 1], wide_sums[2][2][most], wide_tiles[2][2][rows * most];
                memset(sums, 0, sizeof sums);
                memset(wide_sums, 0, sizeof wide_sums);
                for (size_t i = 0; i < rows * cols; i++)
                    wide[0][i] = wide[1][i] = y[0][i] = y[1][i] = (float) (6 * sin((double) (i * i)) * pow(0.9, (double) (i % 40)));
                y[0][rows * cols] = y[1][rows * cols] = 5;
                wide[0][rows * cols] = wide[1][rows * cols] = 5;
                const mmcl__ica_kernels *sets[2] = {mmcl__ica(), &mmcl__ica_reference};
                for (int v = 0; v < 2; v++) {
                    sets[v]->f32[contrast](rows, cols, 1.3f, y[v], sums[v][0], mode > 0 ? sums[v][1] : NULL,
                                           mode > 1 ? tiles[v][0] : NULL, tiles[v][1]);
                    sets[v]->f64[contrast](rows, cols, 1.3, wide[v], wide_sums[v][0], mode > 0 ? wide_sums[v][1] : NULL,
                                           mode > 1 ? wide_tiles[v][0] : NULL, wide_tiles[v][1]);
                }
                for (size_t i = 0; i <= rows * cols; i++) {
                    ck_assert_float_eq_tol(y[0][i], y[1][i], 1e-6f * (1 + fabsf(y[1][i])));
                    ck_assert_double_eq_tol(wide[0][i], wide[1][i], 1e-14 * (1 + fabs(wide[1][i])));
                }
                for (size_t j = 0; j < cols; j++)
                    for (int q = 0; q < 2; q++) {
                        ck_assert_float_eq_tol(sums[0][q][j], sums[1][q][j], 1e-5f * (30 + fabsf(sums[1][q][j])));
                        ck_assert_double_eq_tol(wide_sums[0][q][j], wide_sums[1][q][j], 1e-13 * (30 + fabs(wide_sums[1][q][j])));
                    }
                for (size_t i = 0; i < rows * cols && mode > 1; i++)
                    for (int q = 0; q < 2; q++) {
                        ck_assert_float_eq_tol(tiles[0][q][i], tiles[1][q][i], 1e-6f * (1 + fabsf(tiles[1][q][i])));
                        ck_assert_double_eq_tol(wide_tiles[0][q][i], wide_tiles[1][q][i], 1e-14 * (1 + fabs(wide_tiles[1][q][i])));
                    }
            }
}
END_TEST

/* x [n, k] in pieces or panels of `width` columns, what is missing 0. */
#define CUT(NAME, REAL)                                                                                                \
    static void NAME(size_t n, size_t k, size_t width, const REAL *x, REAL *out)                                       \
    {                                                                                                                  \
        for (size_t first = 0; first < k; first += width)                                                              \
            for (size_t i = 0; i < n; i++)                                                                             \
                for (size_t j = first; j < first + width; j++)                                                         \
                    *out++ = j < k ? x[i * k + j] : 0;                                                                 \
    }

CUT(cut_f32, float)
CUT(cut_f64, double)

/*
 * Products of one shape by one set, for x [n, k] and W [m, k]: y [n, m], out [m, k] twice y^T x, once from pieces and once from x in panels
 * of the set's width, as it is for the curvature. A canary stands behind each result of the set.
 */
#define PRODUCTS(NAME, REAL, PSI, CUT)                                                                                 \
    static void NAME(const mmcl__ica_product_kernels *set, size_t n, size_t m, size_t k, const REAL *x, const double *w, REAL *y, REAL *out) \
    {                                                                                                                  \
        size_t width = set->PSI.width, padded = MMCL__ICA_IN_PIECES(k), panels = (m + width - 1) / width;              \
        REAL  *pieces = malloc(n * padded * sizeof *pieces), *wide_x = malloc(n * (k + width) * sizeof *wide_x);       \
        REAL  *packed = malloc((panels * width * padded + 1) * sizeof *packed);                                        \
        REAL  *panel  = malloc((n * width + 1) * sizeof *panel), *sum = malloc((k * width + 1) * sizeof *sum);         \
        CUT(n, k, MMCL__ICA_PIECE, x, pieces);                                                                         \
        CUT(n, k, width, x, wide_x);                                                                                   \
        packed[panels * width * padded] = panel[n * width] = sum[k * width] = 7;                                       \
        set->PSI.pack(m, k, w, packed);                                                                                \
        for (size_t p = 0; p < panels; p++) {                                                                          \
            set->PSI.project(n, k, pieces, packed + p * width * padded, panel, pieces, n * padded * sizeof *pieces);   \
            set->PSI.correlate(n, k, MMCL__ICA_PIECE, pieces, panel, false, sum);                                      \
            set->PSI.correlate(n, k, width, wide_x, panel, true, sum);                                                 \
            for (size_t i = p * width; i < m && i < (p + 1) * width; i++) {                                            \
                for (size_t row = 0; row < n; row++)                                                                   \
                    y[row * m + i] = panel[row * width + i % width];                                                   \
                for (size_t j = 0; j < k; j++)                                                                         \
                    out[i * k + j] = sum[j * width + i % width];                                                       \
            }                                                                                                          \
        }                                                                                                              \
        ck_assert(packed[panels * width * padded] == 7 && panel[n * width] == 7 && sum[k * width] == 7);               \
        free(pieces), free(wide_x), free(packed), free(panel), free(sum);                                              \
    }

PRODUCTS(products_f32, float, f32, cut_f32)
PRODUCTS(products_f64, double, f64, cut_f64)

/* No element of x or W is above 1. */
static void products_agree(size_t n, size_t m, size_t k)
{
    const mmcl__ica_product_kernels *sets[2] = {mmcl__ica_products(), &mmcl__ica_products_reference};
    float  *x = calloc(n * k, sizeof *x), *y[2], *out[2];
    double *wide_x = calloc(n * k, sizeof *wide_x), *w = calloc(m * k, sizeof *w), *wide_y[2], *wide_out[2];
    for (size_t i = 0; i < n * k; i++)
        x[i] = (float) (wide_x[i] = (float) sin((double) (i * i)));
    for (size_t i = 0; i < m * k; i++)
        w[i] = (float) cos((double) (i * i));
    for (int v = 0; v < 2; v++) {
        y[v] = malloc(n * m * sizeof *y[v]), out[v] = malloc(m * k * sizeof *out[v]);
        wide_y[v] = malloc(n * m * sizeof *wide_y[v]), wide_out[v] = malloc(m * k * sizeof *wide_out[v]);
        products_f32(sets[v], n, m, k, x, w, y[v], out[v]);
        products_f64(sets[v], n, m, k, wide_x, w, wide_y[v], wide_out[v]);
    }
    for (size_t i = 0; i < n * m; i++) {
        ck_assert_float_eq_tol(y[0][i], y[1][i], 1e-6f * (float) k);
        ck_assert_double_eq_tol(wide_y[0][i], wide_y[1][i], 1e-15 * (double) k);
    }
    for (size_t i = 0; i < m * k; i++) { /* terms of y x, y up to k */
        ck_assert_float_eq_tol(out[0][i], out[1][i], 1e-6f * (float) n * (1 + sqrtf((float) k)));
        ck_assert_double_eq_tol(wide_out[0][i], wide_out[1][i], 1e-15 * (double) n * (1 + sqrt((double) k)));
    }
    for (int v = 0; v < 2; v++)
        free(y[v]), free(out[v]), free(wide_y[v]), free(wide_out[v]);
    free(x), free(wide_x), free(w);
}

START_TEST(products_equal_reference)
{
    const size_t sizes[] = {1, 5, 6, 7, 16, 33, 65};
    for (size_t n = 0; n < 7; n++)
        for (size_t m = 0; m < 7; m++)
            for (size_t k = 0; k < 7; k++)
                products_agree(sizes[n], sizes[m], sizes[k]);
    products_agree(700, 19, 23);
    products_agree(9, 35, 700);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ica_kernels");
    TCase *tests = tcase_create("ica_kernels");
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, kernels_equal_reference);
    tcase_add_test(tests, products_equal_reference);
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
