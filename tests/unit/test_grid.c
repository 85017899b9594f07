/* Kernels of the cache and the exact grids, each against its readable twin. */
#include "suite.h"
#include "classify/cache_kernels.h"
#include "classify/grid.h"
#include "linalg/convert.h"

#include <mmcl/mmcl.h>

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LANES MMCL__GRID_LANES

static uint64_t state;

static uint64_t next_word(void)
{
    uint64_t z = (state += 0x9e3779b97f4a7c15u);
    z          = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z          = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static double uniform(void)
{
    return (double) (next_word() >> 11) * 0x1p-53;
}

static size_t below(size_t n)
{
    return (size_t) (next_word() % n);
}

/* --------------------------------------------------------------------------------------------------------- kernels --- */

START_TEST(dots_equal_reference)
{
    const mmcl__cache_kernels *fast = mmcl__cache_kernel(), *slow = &mmcl__cache_reference;
    for (size_t width = 32; width <= 544; width += 32)
        for (size_t n = 0; n < 7; n++) {
            float    row[544], keys[7 * 544], out[2][8];
            uint32_t narrow[7 * 272];
            int16_t  code[544];
            int8_t   coarse[7 * 544];
            float    steps[7], scale = 0;
            for (size_t i = 0; i < width; i++)
                row[i] = (float) (uniform() - 0.5);
            for (size_t i = 0; i < n * width; i++)
                keys[i] = (float) (uniform() - 0.5);
            for (size_t i = 0; i < n * width / 2; i++)
                narrow[i] = mmcl__narrow_pair(keys[2 * i], keys[2 * i + 1]);
            scale = mmcl__code_row(width, row, code);
            for (size_t j = 0; j < n; j++)
                steps[j] = mmcl__code_key(width, keys + j * width, coarse + j * width);
            for (int form = 0; form < 3; form++) {
                out[0][n] = out[1][n] = 7;
                if (form == 0) {
                    fast->dots(width, n, row, keys, out[0]);
                    slow->dots(width, n, row, keys, out[1]);
                } else if (form == 2) {
                    fast->dots_coarse(width, n, code, scale, coarse, steps, out[0]);
                    slow->dots_coarse(width, n, code, scale, coarse, steps, out[1]);
                    for (size_t j = 0; j < n; j++)
                        ck_assert_float_eq(out[0][j], out[1][j]);
                } else {
                    fast->dots_narrow(width, n, row, narrow, out[0]);
                    slow->dots_narrow(width, n, row, narrow, out[1]);
                }
                for (size_t j = 0; j <= n; j++)
                    ck_assert_float_eq_tol(out[0][j], out[1][j], 1e-6f * (float) sqrt((double) width));
                ck_assert_float_eq(out[0][n], 7);
            }
        }
}
END_TEST

START_TEST(pairs_keep_both_columns)
{
    const float corners[] = {0, 1, -1, 1e-30f, -0.15625f, 1 + 0x1p-8f, 1 + 3 * 0x1p-8f, 300};
    for (int i = 0; i < 20000; i++) {
        float    even = i < 64 ? corners[i / 8] : (float) (uniform() - 0.5), odd = i < 64 ? corners[i % 8] : (float) (uniform() - 0.5), got;
        uint32_t pair = mmcl__narrow_pair(even, odd);
        memcpy(&got, &pair, sizeof got);
        ck_assert_float_eq(mmcl__bf16_to_f32((uint16_t) (pair & 0xffff)), mmcl__bf16_to_f32(mmcl__f32_to_bf16(even)));
        ck_assert_float_le(fabsf(got - odd), 0x1p-8f * fabsf(odd) + 1.2e-38f);
    }
}
END_TEST

/* Codes are the nearest there are; what is all zeros, too small or too large for codes is 0; the largest sums stay below 2^31. */
START_TEST(codes_come_near)
{
    enum { most = 16384 };
    static float   row[most], key[most];
    static int16_t row_code[most];
    static int8_t  key_code[most];
    for (size_t width = 32; width <= most; width *= 2)
        for (int kind = 0; kind < 5; kind++) {
            for (size_t i = 0; i < width; i++) {
                row[i] = (float) (kind == 0 ? uniform() - 0.5 : kind == 1 ? 0 : kind == 2 ? 1e-42 : kind == 3 ? 1 : 3e38);
                key[i] = kind == 0 ? (float) (uniform() - 0.5) : row[i];
            }
            float   scale = mmcl__code_row(width, row, row_code), step = mmcl__code_key(width, key, key_code), out;
            int64_t sum = 0;
            for (size_t i = 0; i < width; i++) {
                ck_assert_int_le(abs(key_code[i]), 127);
                if (kind == 0 || kind == 3) {
                    ck_assert_float_le(fabsf((float) row_code[i] * scale - row[i]), 0.50001f * scale + 1e-6f * fabsf(row[i]));
                    ck_assert_float_le(fabsf((float) key_code[i] * step - key[i]), 0.50001f * step + 1e-6f * fabsf(key[i]));
                }
                sum += 127 * abs(row_code[i]);
            }
            ck_assert(sum < INT32_MAX && (kind != 3 || width < 512 || sum > INT32_MAX - INT32_MAX / 100));
            ck_assert((kind == 1 || kind == 2) == (scale == 0 && step == 0) || kind == 4);
            mmcl__cache_kernel()->dots_coarse(width, 1, row_code, scale, key_code, &step, &out);
            ck_assert_float_eq_tol(out, kind == 3 ? (float) width : out, 5e-3f * (float) width);
            ck_assert(isfinite(out) || kind == 4);
        }
}
END_TEST

START_TEST(decay_equals_reference)
{
    float values[2][50], weights[50];
    for (size_t n = 0; n < 50; n++)
        for (int weighted = 0; weighted < 2; weighted++) {
            for (size_t j = 0; j < 50; j++) {
                values[0][j] = values[1][j] = (float) (3 * uniform() - 2);
                weights[j]                  = (float) uniform();
            }
            mmcl__cache_kernel()->decay(n, 5.5f, -5.5f, weighted ? weights : NULL, values[0]);
            mmcl__cache_reference.decay(n, 5.5f, -5.5f, weighted ? weights : NULL, values[1]);
            for (size_t j = 0; j < 50; j++)
                ck_assert_float_eq_tol(values[0][j], values[1][j], 4e-6f * fabsf(values[1][j]));
        }
}
END_TEST

START_TEST(sums_and_bounds_equal_reference)
{
    enum { most = 23, stride = 32, betas = 200 };
    static float affinity[most * stride], weights[most], sums[2][betas * LANES], own[betas * LANES], bounds[2][4][betas * LANES];
    for (size_t keys = 0; keys <= most; keys++) {
        float scale[LANES], offset[LANES], ahead[LANES], error[LANES];
        mmcl__grid_betas grid = {.count = betas, .first = 0.1f, .step = 0.0345f, .constant = 1e-6f, .growth = 1e-7f};
        for (size_t i = 0; i < most * stride; i++)
            affinity[i] = (float) uniform();
        for (size_t j = 0; j < most; j++)
            weights[j] = (float) (1 + uniform());
        for (int l = 0; l < LANES; l++) {
            scale[l]      = (float) (1 + 0.1 * uniform());
            offset[l]     = -1.1f;
            ahead[l]      = (float) (6 * uniform() - 3);
            error[l]      = 1e-5f;
            grid.slope[l] = 1e-5f;
        }
        for (size_t i = 0; i < betas * LANES; i++)
            own[i] = (float) (5 * uniform());
        mmcl__cache_kernel()->sums(keys, stride, affinity, keys % 2 ? weights : NULL, scale, offset, &grid, sums[0]);
        mmcl__cache_reference.sums(keys, stride, affinity, keys % 2 ? weights : NULL, scale, offset, &grid, sums[1]);
        for (size_t i = 0; i < betas * LANES; i++)
            ck_assert_float_eq_tol(sums[0][i], sums[1][i], 1e-30f + 1e-4f * sums[1][i]);
        /* On equal sums, so that the bounds differ by their own rounding alone. */
        for (int v = 0; v < 2; v++) {
            const mmcl__cache_kernels *set = v == 0 ? mmcl__cache_kernel() : &mmcl__cache_reference;
            mmcl__grid_bounds into = {bounds[v][0], bounds[v][1], bounds[v][2], bounds[v][3]};
            for (size_t i = 0; i < betas * LANES; i++) {
                bounds[v][0][i] = bounds[v][2][i] = -INFINITY;
                bounds[v][1][i] = bounds[v][3][i] = INFINITY;
            }
            set->bounds(&grid, ahead, error, sums[1], own, &into);
        }
        for (int side = 0; side < 4; side++)
            for (size_t i = 0; i < betas * LANES; i++)
                if (isfinite(bounds[1][side][i]) && fabsf(sums[1][i] - own[i]) > 0.01f)
                    ck_assert_float_eq_tol(bounds[0][side][i], bounds[1][side][i], 1e-2f * (1e-3f + fabsf(bounds[1][side][i])));
    }
}
END_TEST

/* ----------------------------------------------------------------------------------------------------------- grids --- */

/* A random problem with duplicates of every kind: equal keys in different classes, equal texts, equal rows. */
struct problem {
    mmcl__grid grid;
    float     *x, *u, *key, *key_weights;
    int32_t   *labels;
    double    *weights, *text, *visual;
    size_t    *starts;
};

static void fill_rows(size_t rows, size_t cols, float *out, bool coarse)
{
    for (size_t i = 0; i < rows; i++) {
        double norm = 0;
        for (size_t j = 0; j < cols; j++) {
            double v        = coarse ? (double) below(3) - 0.5 : uniform() - 0.3;
            out[i * cols + j] = (float) v;
            norm += v * v;
        }
        for (size_t j = 0; j < cols; j++)
            out[i * cols + j] = (float) ((double) out[i * cols + j] / sqrt(norm));
        if (i > 0 && below(4) == 0)
            memcpy(out + i * cols, out + below(i) * cols, cols * sizeof *out);
    }
}

static void make(struct problem *problem, mmcl_context *context, bool coarse)
{
    size_t rows = 1 + below(400), classes = 2 + below(6), inputs = 1 + below(9), width = 1 + below(7), keys = 0;
    *problem    = (struct problem){.grid = {.context = context, .rows = rows, .classes = classes, .inputs = inputs, .width = width}};
    mmcl__grid *grid = &problem->grid;
    problem->starts  = calloc(classes + 1, sizeof *problem->starts);
    for (size_t k = 0; k < classes; k++)
        problem->starts[k + 1] = keys += below(5) + (k == 0);
    problem->x           = calloc(rows * inputs, sizeof(float));
    problem->u           = calloc(rows * width, sizeof(float));
    problem->key         = calloc(keys * (width + 3), sizeof(float));
    problem->key_weights = calloc(keys, sizeof(float));
    problem->labels      = calloc(rows, sizeof(int32_t));
    problem->weights     = calloc(classes * inputs, sizeof(double));
    problem->text        = calloc(classes * inputs, sizeof(double));
    problem->visual      = calloc(classes * inputs, sizeof(double));
    float *packed        = calloc(keys * width, sizeof(float)), *words = calloc(classes * inputs, sizeof(float));
    fill_rows(rows, inputs, problem->x, coarse);
    fill_rows(rows, width, problem->u, coarse);
    fill_rows(keys, width, packed, coarse);
    fill_rows(classes, inputs, words, coarse);
    for (size_t j = 0; j < keys; j++) {
        memcpy(problem->key + j * (width + 3), packed + j * width, width * sizeof(float));
        problem->key_weights[j] = coarse ? 1 : (float) (1 + uniform());
    }
    double scale = below(2) ? 100 : 1;
    for (size_t i = 0; i < classes * inputs; i++) {
        problem->text[i]    = (double) words[i];
        problem->weights[i] = scale * (double) words[i];
        problem->visual[i]  = scale * (double) words[classes * inputs - 1 - i];
    }
    for (size_t i = 0; i < rows; i++)
        problem->labels[i] = (int32_t) below(classes);
    grid->keys        = keys;
    grid->key_stride  = width + 3;
    grid->x           = problem->x;
    grid->u           = problem->u;
    grid->u_stride    = width;
    grid->key         = problem->key;
    grid->labels      = problem->labels;
    grid->starts      = problem->starts;
    grid->weights     = below(4) ? problem->weights : NULL;
    grid->text        = below(2) ? problem->text : NULL;
    grid->eta         = grid->text != NULL ? scale * 0.7 : 0;
    grid->key_weights = below(2) ? problem->key_weights : NULL;
    grid->min_max     = below(3) == 0;
    free(packed);
    free(words);
}

static void discard(struct problem *problem)
{
    free(problem->x);
    free(problem->u);
    free(problem->key);
    free(problem->key_weights);
    free(problem->labels);
    free(problem->weights);
    free(problem->text);
    free(problem->visual);
    free(problem->starts);
}

#define ASSERT_SAME(n, fast, slow)                                                                                     \
    do {                                                                                                               \
        for (size_t i_ = 0; i_ < (n); i_++)                                                                            \
            ck_assert_msg((fast)[i_] == (slow)[i_], "problem %d, pair %zu: %llu, expected %llu", _i, i_,               \
                          (unsigned long long) (fast)[i_], (unsigned long long) (slow)[i_]);                           \
        ck_assert_uint_eq(mmcl__grid_best(n, fast), mmcl__grid_best(n, slow));                                         \
    } while (0)

START_TEST(counts_equal_the_twin)
{
    mmcl_context *context = NULL;
    struct problem problem;
    uint64_t       fast[21 * 20], slow[21 * 20];
    state = (uint64_t) _i;
    const mmcl_context_options options = {.struct_size = sizeof options, .threads = 1 + (uint32_t) _i % 3};
    ck_assert_int_eq(mmcl_context_create(&context, &options), MMCL_OK);
    make(&problem, context, _i % 2);
    mmcl__grid_axis betas  = {0.1, below(2) ? 0.345 : 3.3, 21}, alphas = {0.1, below(2) ? 0.145 : 1.5, 20};
    ck_assert_int_eq(mmcl__grid_counts(&problem.grid, &betas, &alphas, fast), MMCL_OK);
    ck_assert_int_eq(mmcl__grid_counts_reference(&problem.grid, &betas, &alphas, slow), MMCL_OK);
    ASSERT_SAME((size_t) 21 * 20, fast, slow);
    discard(&problem);
    mmcl_context_destroy(context);
}
END_TEST

START_TEST(attention_counts_equal_the_twin)
{
    mmcl_context *context = NULL;
    struct problem problem;
    uint64_t       fast[20 * 20], slow[20 * 20];
    state = (uint64_t) _i + 1000000;
    ck_assert_int_eq(mmcl_context_create(&context, NULL), MMCL_OK);
    make(&problem, context, _i % 2);
    problem.grid.text = problem.text;
    mmcl__grid_axis gammas = {2e-4, 5e-2, 20}, etas = {0.02, below(2) ? 0.05 : 5, 20};
    double beta = 0.2 + 3 * uniform(), alpha = 0.1 + 2 * uniform();
    ck_assert_int_eq(mmcl__grid_attention_counts(&problem.grid, beta, alpha, problem.visual, &gammas, &etas, fast), MMCL_OK);
    ck_assert_int_eq(mmcl__grid_attention_reference(&problem.grid, beta, alpha, problem.visual, &gammas, &etas, slow), MMCL_OK);
    ASSERT_SAME((size_t) 20 * 20, fast, slow);
    discard(&problem);
    mmcl_context_destroy(context);
}
END_TEST

int main(void)
{
    Suite *suite   = suite_create("grid");
    TCase *kernels = tcase_create("kernels"), *grids = tcase_create("grids");
    tcase_add_test(kernels, dots_equal_reference);
    tcase_add_test(kernels, pairs_keep_both_columns);
    tcase_add_test(kernels, codes_come_near);
    tcase_add_test(kernels, decay_equals_reference);
    tcase_add_test(kernels, sums_and_bounds_equal_reference);
    tcase_add_loop_test(grids, counts_equal_the_twin, 0, 400);
    tcase_add_loop_test(grids, attention_counts_equal_the_twin, 0, 200);
    suite_add_tcase(suite, kernels);
    suite_add_tcase(suite, grids);
    return suite_run(suite);
}
