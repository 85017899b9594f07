/* Kernels of an ICA pass and their readable twins. */
#include "core/rng.h"
#include "transform/ica_kernels.h"
#include "transform/ica_products.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

START_TEST(kernels_equal_reference)
{
    enum { rows = 37, most = 70 };
    for (size_t cols = 1; cols <= most; cols += 3)
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

/* Products of one shape, with canaries behind each result; no element of x or W is above 1. */
static void products_agree(size_t n, size_t m, size_t k)
{
    const mmcl__ica_product_kernels *sets[2] = {mmcl__ica_products(), &mmcl__ica_products_reference};
    size_t  largest = MMCL__MAX(n * m, m * k) + 1, scratch = MMCL__ICA_SCRATCH(n, m);
    float  *x = calloc(n * k, sizeof *x), *panels = malloc((MMCL__ICA_PANELS(m, k) + 1) * sizeof *panels);
    float  *y[2], *out[2], *spare = malloc((scratch + 1) * sizeof *spare);
    double *wide_x = calloc(n * k, sizeof *wide_x), *w = calloc(m * k, sizeof *w);
    double *wide_panels = malloc((MMCL__ICA_PANELS(m, k) + 1) * sizeof *wide_panels), *wide_spare = malloc((scratch + 1) * sizeof *wide_spare);
    double *wide_y[2], *wide_out[2];
    for (size_t i = 0; i < n * k; i++)
        x[i] = (float) (wide_x[i] = (float) sin((double) (i * i)));
    for (size_t i = 0; i < m * k; i++)
        w[i] = (float) cos((double) (i * i));
    for (int v = 0; v < 2; v++) {
        y[v] = malloc(largest * sizeof *y[v]), out[v] = malloc(largest * sizeof *out[v]);
        wide_y[v] = malloc(largest * sizeof *wide_y[v]), wide_out[v] = malloc(largest * sizeof *wide_out[v]);
        y[v][n * m] = out[v][m * k] = 5;
        wide_y[v][n * m] = wide_out[v][m * k] = 5;
        panels[MMCL__ICA_PANELS(m, k)] = spare[scratch] = 7;
        wide_panels[MMCL__ICA_PANELS(m, k)] = wide_spare[scratch] = 7;
        sets[v]->f32.pack(m, k, w, panels);
        sets[v]->f32.project(n, m, k, x, panels, y[v]);
        sets[v]->f32.correlate(n, m, k, y[0], x, false, out[v], spare);
        sets[v]->f32.correlate(n, m, k, y[0], x, true, out[v], spare);
        sets[v]->f64.pack(m, k, w, wide_panels);
        sets[v]->f64.project(n, m, k, wide_x, wide_panels, wide_y[v]);
        sets[v]->f64.correlate(n, m, k, wide_y[0], wide_x, false, wide_out[v], wide_spare);
        sets[v]->f64.correlate(n, m, k, wide_y[0], wide_x, true, wide_out[v], wide_spare);
        ck_assert(panels[MMCL__ICA_PANELS(m, k)] == 7 && spare[scratch] == 7);
        ck_assert(wide_panels[MMCL__ICA_PANELS(m, k)] == 7 && wide_spare[scratch] == 7);
        ck_assert(y[v][n * m] == 5 && out[v][m * k] == 5 && wide_y[v][n * m] == 5 && wide_out[v][m * k] == 5);
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
    free(x), free(panels), free(spare), free(wide_x), free(w), free(wide_panels), free(wide_spare);
}

START_TEST(products_equal_reference)
{
    const size_t sizes[] = {1, 5, 6, 7, 16, 33, 65};
    for (size_t n = 0; n < 7; n++)
        for (size_t m = 0; m < 7; m++)
            for (size_t k = 0; k < 7; k++)
                products_agree(sizes[n], sizes[m], sizes[k]);
    products_agree(700, 19, 23); /* more terms than are added at a time */
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
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
