/* The latent partial causal model: kernels against their twins, purity, mixings and their inverses, refusals, files. */
#include "lpcm_support.h"

/* ------------------------------------------------------------------------------------------- kernels against twins --- */

static const mmcl_model_options settings[] = {
    {.latent = 10, .private_x = 5, .private_t = 4},
    {.latent = 2, .private_x = 3, .direction = MMCL_DIRECTION_MIXED},
    {.latent = 10, .coupling_scale = 1e-3},
    {.latent = 9, .coupling_scale = 1e5, .correlation = 0.3},
    {.latent = 10, .private_x = 2, .private_t = 3, .coupling = MMCL_DIST_LAPLACE, .marginal = MMCL_DIST_GENNORM, .private_dependence = 0.5},
    {.latent = 5, .coupling = MMCL_DIST_GENNORM, .marginal = MMCL_DIST_NORMAL, .center = MMCL_CENTER_ORIGIN},
    {.latent = 7, .private_x = 2, .private_t = 2, .space = MMCL_SPACE_BOX, .private_dependence = 0.25, .direction = MMCL_DIRECTION_T2X},
    {.latent = 10, .space = MMCL_SPACE_BOX, .coupling = MMCL_DIST_NORMAL, .marginal = MMCL_DIST_LAPLACE},
    {.latent = 10, .space = MMCL_SPACE_BOX, .coupling = MMCL_DIST_GENNORM, .correlation = 0.6, .lower = -2, .upper = 3},
    {.latent = 3, .space = MMCL_SPACE_BOX, .marginal = MMCL_DIST_GENNORM, .correlation = -0.2, .coupling_scale = 1e-4},
    {.latent = 3, .space = MMCL_SPACE_BOX, .marginal = MMCL_DIST_NORMAL, .coupling_scale = 1e4},
    {.latent = 4, .space = MMCL_SPACE_BOX, .direction = MMCL_DIRECTION_SYMMETRIC},
    {.latent = 4, .space = MMCL_SPACE_BOX, .direction = MMCL_DIRECTION_SYMMETRIC, .coupling = MMCL_DIST_GENNORM},
    {.latent = 10, .private_x = 5, .private_t = 5, .space = MMCL_SPACE_REAL, .private_dependence = 0.5},
    {.latent = 10, .space = MMCL_SPACE_REAL, .marginal = MMCL_DIST_LAPLACE, .coupling = MMCL_DIST_GENNORM, .correlation = 0.6},
    {.latent = 4, .space = MMCL_SPACE_REAL, .direction = MMCL_DIRECTION_SYMMETRIC},
    {.latent = 4, .space = MMCL_SPACE_REAL, .direction = MMCL_DIRECTION_SYMMETRIC, .marginal = MMCL_DIST_GENNORM, .marginal_beta = 0.5,
     .coupling = MMCL_DIST_LAPLACE, .coupling_scale = 2},
};
#define N_SETTINGS ((int) (sizeof settings / sizeof *settings))

#define LANES MMCL__SAMPLE_ROWS
#define CANARY -12345.0

START_TEST(sample_kernels_equal_reference)
{
    mmcl_model   *model = make(settings[_i]);
    const size_t  d     = model->options.latent;
    static double a[4][16][LANES], b[4][16][LANES];
    for (uint32_t row = 0; row < 4000; row += 16) {
        for (size_t i = 0; i < sizeof a / sizeof(double); i++)
            ((double *) a)[i] = ((double *) b)[i] = CANARY;
        const mmcl__block mine = {{a[0], a[1]}, {a[2], a[3]}}, theirs = {{b[0], b[1]}, {b[2], b[3]}};
        mmcl__sample()->block(&model->sampler, 3 + row, (uint64_t) row << 30, row, &mine);
        mmcl__sample_reference.block(&model->sampler, 3 + row, (uint64_t) row << 30, row, &theirs);
        const size_t counts[4] = {d, d, model->options.private_x, model->options.private_t};
        for (int part = 0; part < 4; part++)
            for (size_t i = 0; i < 16; i++)
                for (int l = 0; l < LANES; l++) {
                    double x = a[part][i][l], y = b[part][i][l];
                    ck_assert_msg(i < counts[part] ? fabs(x - y) <= 1e-11 * (0.01 + fabs(y)) : x == CANARY,
                                  "row %u part %d coordinate %zu lane %d: %.17g, expected %.17g", row, part, i, l, x, y);
                }
    }
    mmcl_model_destroy(model);
}
END_TEST

START_TEST(layer_kernels_equal_reference)
{
    for (size_t n = 1; n < 40; n++) {
        float a[40 * 40], in[40][LANES], out[41][LANES], expected[40][LANES];
        for (size_t i = 0; i < n * n; i++)
            a[i] = (float) sin((double) (i * i));
        for (size_t i = 0; i < n * LANES; i++)
            in[i / LANES][i % LANES] = (float) cos(3.0 * (double) i);
        for (int l = 0; l < LANES; l++)
            out[n][l] = (float) CANARY;
        mmcl__sample()->layer(n, a, 0.2f, (const float (*)[LANES]) in, out);
        mmcl__sample_reference.layer(n, a, 0.2f, (const float (*)[LANES]) in, expected);
        for (size_t i = 0; i < n; i++)
            for (int l = 0; l < LANES; l++)
                ck_assert_double_le(fabs((double) (out[i][l] - expected[i][l])), 1e-6 * (double) n);
        for (int l = 0; l < LANES; l++)
            ck_assert(out[n][l] == (float) CANARY);
    }
}
END_TEST

START_TEST(condition_bounds_hold_and_are_close)
{
    const size_t  widths[] = {1, 2, 3, 7, 15, 32};
    const size_t  n        = widths[_i];
    double       *scratch  = malloc(2 * n * (n + 1) * MMCL__MIXING_LANES * sizeof *scratch), bounds[8], exact[8], ratio = 0;
    const int     groups   = 20;
    for (int group = 0; group < groups; group++) {
        const mmcl__mixing_source source = {.seed = 99, .side = 1, .layer = 2};
        mmcl__mixing_bounds()->bound(n, &source, (uint32_t) group * 8, INFINITY, scratch, bounds);
        mmcl__mixing_bounds_reference.bound(n, &source, (uint32_t) group * 8, INFINITY, scratch, exact);
        for (int i = 0; i < 8; i++) {
            ck_assert_double_le(bounds[i], exact[i] * (1 + 1e-9));
            ratio += bounds[i] / exact[i] / (8 * groups);
        }
    }
    ck_assert_double_ge(ratio, 0.9);
    free(scratch);
}
END_TEST

START_TEST(tails_agree_with_closed_forms)
{
    static const double betas[] = {0.25, 0.5, 1, 1.5, 2, 3, 8, 32};
    mmcl__tail          tail;
    ck_assert_int_eq(mmcl__tail_create(&tail, context, betas[_i]), MMCL_OK);
    for (double log_h = -36; log_h < 3.6; log_h += 0.0123) { /* there and back, against the exact function */
        double h = exp(log_h), t = mmcl__tail_t(&tail, h);
        ck_assert_double_eq_tol(mmcl__tail_exact_h(betas[_i], t) / h, 1, 2e-9);
        ck_assert_double_eq_tol(mmcl__tail_h(&tail, t) / h, 1, 2e-9);
    }
    for (double t = 1e-3; t < 5 && betas[_i] == 2; t *= 1.3)
        ck_assert_double_eq_tol(mmcl__tail_exact_h(2, t) / -log(erfc(t)), 1, 1e-12);
    for (double t = 1e-3; t < 50 && betas[_i] == 1; t *= 1.3)
        ck_assert_double_eq_tol(mmcl__tail_exact_h(1, t) / t, 1, 1e-12);
    mmcl__tail_destroy(&tail, context);
}
END_TEST

/* ------------------------------------------------------------------------------------------------------------ purity --- */

#define ROWS 777

typedef struct buffers {
    float x[ROWS * 16], t[ROWS * 16], z_x[ROWS * 16], z_t[ROWS * 16], m_x[ROWS * 16], m_t[ROWS * 16];
} buffers;

static void fill(const mmcl_model *model, uint64_t seed, uint64_t step, size_t first, size_t rows, buffers *out)
{
    mmcl_model_info i = {.struct_size = sizeof i};
    ck_assert_int_eq(mmcl_model_get_info(model, &i), MMCL_OK);
    mmcl_samples samples = {.struct_size = sizeof samples,
                            .x           = out->x + first * i.width_x,
                            .t           = out->t + first * i.width_t,
                            .z_x         = out->z_x + first * i.latent,
                            .z_t         = out->z_t + first * i.latent,
                            .m_x         = out->m_x + first * i.private_x,
                            .m_t         = out->m_t + first * i.private_t,
                            .rows        = rows,
                            .first_row   = first};
    ck_assert_int_eq(mmcl_model_sample(model, seed, step, &samples), MMCL_OK);
}

START_TEST(rows_depend_on_nothing_but_their_place)
{
    static buffers whole, parts, threaded;
    memset(&whole, 0, sizeof whole);
    memset(&parts, 0, sizeof parts);
    memset(&threaded, 0, sizeof threaded);
    mmcl_model *model = make(settings[_i]);
    fill(model, 11, 12, 0, ROWS, &whole);
    for (size_t at = 0, n = 1; at < ROWS; at += n, n = n * 3 % 41 + 1) /* parts of all sizes from 1 to 41 */
        fill(model, 11, 12, at, n < ROWS - at ? n : ROWS - at, &parts);
    ck_assert_mem_eq(&whole, &parts, sizeof whole);
    mmcl_context              *other;
    const mmcl_context_options two = {.struct_size = sizeof two, .threads = 3};
    mmcl_model                *same;
    mmcl_model_options         options = {.struct_size = sizeof options};
    ck_assert_int_eq(mmcl_context_create(&other, &two), MMCL_OK);
    ck_assert_int_eq(mmcl_model_get_options(model, &options), MMCL_OK);
    ck_assert_int_eq(mmcl_model_create(&same, other, &options), MMCL_OK);
    fill(same, 11, 12, 0, ROWS, &threaded);
    ck_assert_mem_eq(&whole, &threaded, sizeof whole);
    mmcl_model_destroy(same);
    mmcl_context_destroy(other);
    fill(model, 11, 13, 0, ROWS, &parts);
    ck_assert_mem_ne(whole.z_x, parts.z_x, 64);
    fill(model, 11 + ((uint64_t) 1 << 32), 12, 0, ROWS, &parts);
    ck_assert_mem_ne(whole.z_x, parts.z_x, 64);
    fill(model, 11, 12 + ((uint64_t) 1 << 32), 0, ROWS, &parts);
    ck_assert_mem_ne(whole.z_x, parts.z_x, 64);
    mmcl_model_destroy(model);
}
END_TEST

START_TEST(what_is_not_wanted_does_not_matter)
{
    static buffers whole;
    mmcl_model    *model = make(settings[0]);
    static float   z_t[ROWS * 16], x[ROWS * 16];
    fill(model, 1, 2, 0, ROWS, &whole);
    const mmcl_samples one = {.struct_size = sizeof one, .z_t = z_t, .rows = ROWS}, two = {.struct_size = sizeof two, .x = x, .rows = ROWS};
    ck_assert_int_eq(mmcl_model_sample(model, 1, 2, &one), MMCL_OK);
    ck_assert_int_eq(mmcl_model_sample(model, 1, 2, &two), MMCL_OK);
    ck_assert_mem_eq(z_t, whole.z_t, ROWS * 10 * sizeof(float));
    ck_assert_mem_eq(x, whole.x, ROWS * 15 * sizeof(float));
    mmcl_model_destroy(model);
}
END_TEST

/* A mixing in float64, from the layers as the interface gives them. */
static void naive_mixing(const mmcl_model *model, mmcl_side side, size_t width, const float *z, const float *m, double *h)
{
    double matrix[16 * 16], other[16];
    for (size_t i = 0; i < width; i++)
        h[i] = (double) (i < 10 ? z[i] : m[i - 10]);
    for (size_t layer = 0; mmcl_model_layer(model, side, layer, matrix, NULL) == MMCL_OK; layer++) {
        for (size_t i = 0; i < width && layer > 0; i++)
            h[i] = h[i] < 0 ? 0.2 * h[i] : h[i];
        for (size_t i = 0; i < width; i++) {
            other[i] = 0;
            for (size_t j = 0; j < width; j++)
                other[i] += matrix[i * width + j] * h[j];
        }
        memcpy(h, other, width * sizeof *h);
    }
}

START_TEST(mixing_and_back)
{
    double observed[16];
    static buffers whole;
    static float   mixed[ROWS * 16], z[ROWS * 16], m[ROWS * 16];
    mmcl_model_options options = settings[0];
    options.condition_draws    = _i == 0 ? 1000 : 1;
    options.layers             = _i == 0 ? 0 : 5;
    mmcl_model *model          = make(options);
    fill(model, 1, 2, 0, ROWS, &whole);
    for (mmcl_side side = MMCL_SIDE_X; side <= MMCL_SIDE_T; side++) {
        const float *z_true = side == MMCL_SIDE_X ? whole.z_x : whole.z_t, *m_true = side == MMCL_SIDE_X ? whole.m_x : whole.m_t;
        const float *x = side == MMCL_SIDE_X ? whole.x : whole.t;
        size_t       p = side == MMCL_SIDE_X ? 5 : 4, width = 10 + p;
        ck_assert_int_eq(mmcl_model_mix(model, side, ROWS, z_true, m_true, mixed), MMCL_OK);
        ck_assert_mem_eq(mixed, x, ROWS * width * sizeof(float));
        const mmcl_matrix rows = {.data = x, .rows = ROWS, .cols = width};
        ck_assert_int_eq(mmcl_model_unmix(model, side, &rows, z, m), MMCL_OK);
        for (size_t i = 0; i < ROWS; i++) {
            naive_mixing(model, side, width, z + 10 * i, m + p * i, observed);
            for (size_t j = 0; j < width; j++)
                ck_assert_double_eq_tol(observed[j], (double) x[i * width + j], 1e-5);
            for (size_t j = 0; j < 10 && _i == 0; j++) /* how near depends on the condition of the layers */
                ck_assert_double_eq_tol((double) z[10 * i + j], (double) z_true[10 * i + j], 1e-3);
            for (size_t j = 0; j < p && _i == 0; j++)
                ck_assert_double_eq_tol((double) m[p * i + j], (double) m_true[p * i + j], 1e-3);
        }
        ck_assert_int_eq(mmcl_model_unmix(model, side, &rows, NULL, NULL), MMCL_OK);
        const mmcl_matrix narrow = {.data = x, .rows = ROWS, .cols = width - 1};
        ck_assert_int_eq(mmcl_model_unmix(model, side, &narrow, z, m), MMCL_E_INVAL);
    }
    whole.x[20]            = NAN;
    const mmcl_matrix rows = {.data = whole.x, .rows = ROWS, .cols = 15};
    ck_assert_int_eq(mmcl_model_unmix(model, MMCL_SIDE_X, &rows, z, m), MMCL_E_NUMERIC);
    mmcl_model_destroy(model);
}
END_TEST

/* ---------------------------------------------------------------------------------------------------------- mixings --- */

/* Condition number by another way: eigenvalues of A^T A. */
static double condition_of(size_t n, const double *a)
{
    double *gram = malloc(n * n * sizeof *gram), values[64];
    mmcl__gemm_f64(true, false, n, n, n, 1, a, n, a, n, 0, gram, n);
    ck_assert_int_eq(mmcl__eigsym(context, n, gram, values), MMCL_OK);
    free(gram);
    return sqrt(values[0] / values[n - 1]);
}

START_TEST(layers_are_the_best_of_the_draws)
{
    const uint32_t draws = 700;
    mmcl_model    *model = make((mmcl_model_options){.latent = 8, .private_x = 1, .condition_draws = draws, .mixing_seed_x = 4, .mixing_seed_t = 4});
    double         matrix[81], other[81], condition;
    for (mmcl_side side = MMCL_SIDE_X; side <= MMCL_SIDE_T; side++)
        for (size_t layer = 0; layer < 3; layer++) {
            size_t n = side == MMCL_SIDE_X ? 9 : 8;
            ck_assert_int_eq(mmcl_model_layer(model, side, layer, matrix, &condition), MMCL_OK);
            ck_assert_double_eq_tol(condition / condition_of(n, matrix), 1, 1e-9);
            double best = INFINITY;
            for (uint32_t i = 0; i < draws; i++) {
                const mmcl__mixing_source source = {.seed = 4, .side = (uint32_t) side, .layer = (uint32_t) layer};
                mmcl__mixing_matrix(n, &source, i, other);
                best = fmin(best, condition_of(n, other));
            }
            ck_assert_double_eq_tol(condition / best, 1, 1e-9);
            for (size_t j = 0; j < n; j++) {
                double square = 0;
                for (size_t i = 0; i < n; i++)
                    square += matrix[i * n + j] * matrix[i * n + j];
                ck_assert_double_eq_tol(square, 1, 1e-12);
            }
        }
    ck_assert_int_eq(mmcl_model_layer(model, MMCL_SIDE_X, 3, matrix, NULL), MMCL_E_INVAL);
    ck_assert_int_eq(mmcl_model_layer(model, 2, 0, matrix, NULL), MMCL_E_INVAL);
    mmcl_model_destroy(model);
    /* Entries before scaling are uniform: the first of a column over its length has the law of U(-1,1) draws, symmetric about 0. */
    double u[4000];
    for (uint32_t i = 0; i < 4000; i++) {
        double                    two[4];
        const mmcl__mixing_source source = {.seed = 1};
        mmcl__mixing_matrix(2, &source, i, two);
        /* |a / c| of two uniform entries: distribution function r / 2 below 1, 1 - 1 / (2 r) above. */
        double r = fabs(two[0] / two[2]);
        u[i]     = r < 1 ? r / 2 : 1 - 1 / (2 * r);
    }
    ck_assert_double_lt(ks(u, 4000), CRITICAL);
}
END_TEST

START_TEST(a_condition_bound_takes_the_first_that_meets_it)
{
    mmcl_model *model = make((mmcl_model_options){.latent = 6, .condition_bound = 8, .condition_draws = 5000, .mixing_seed_x = 3});
    double      matrix[36], other[36], condition;
    for (size_t layer = 0; layer < 3; layer++) {
        ck_assert_int_eq(mmcl_model_layer(model, MMCL_SIDE_X, layer, matrix, &condition), MMCL_OK);
        ck_assert_double_le(condition, 8);
        uint32_t i = 0;
        do {
            const mmcl__mixing_source source = {.seed = 3, .layer = (uint32_t) layer};
            mmcl__mixing_matrix(6, &source, i++, other);
        } while (condition_of(6, other) > 8);
        ck_assert_mem_eq(matrix, other, sizeof matrix);
    }
    mmcl_model_destroy(model);
    mmcl_model_options options = {.struct_size = sizeof options, .latent = 6, .condition_bound = 1.5, .condition_draws = 3000};
    ck_assert_int_eq(mmcl_model_create(&model, context, &options), MMCL_E_INVAL);
    ck_assert_ptr_null(model);
    const char *message = mmcl_context_message(context);
    ck_assert_msg(strstr(message, "condition_bound: 1.5") != NULL && strstr(message, "best of 3000 draws") != NULL, "%s", message);
    double best = INFINITY, named = strtod(strstr(message, "has ") + 4, NULL);
    for (uint32_t i = 0; i < 3000; i++) {
        const mmcl__mixing_source source = {.seed = 0};
        mmcl__mixing_matrix(6, &source, i, other);
        best = fmin(best, condition_of(6, other));
    }
    ck_assert_double_eq_tol(named / best, 1, 1e-5);
}
END_TEST

/* --------------------------------------------------------------------------------------------------------- refusals --- */

static const double not_definite[] = {1, 0.9, 0.9, 0.9, 1, -0.9, 0.9, -0.9, 1}, not_symmetric[] = {1, 0.5, 0, 0.4, 1, 0, 0, 0, 1};
static const double no_unit[] = {2, 0, 0, 0, 1, 0, 0, 0, 1}, not_a_number[] = {1, NAN, 0, NAN, 1, 0, 0, 0, 1};

static const struct refusal {
    mmcl_model_options options;
    const char        *message;
} refusals[] = {
    {{.latent = 1}, "latent: 1, a sphere needs at least 2"},
    {{.coupling_scale = -1}, "coupling_scale (kappa): -1, expected a positive number"},
    {{.coupling_scale = NAN}, "coupling_scale (kappa): nan"},
    {{.coupling_scale = INFINITY}, "coupling_scale (kappa): inf"},
    {{.space = MMCL_SPACE_BOX, .coupling_scale = -0.05}, "coupling_scale: -0.05, expected a positive number"},
    {{.space = MMCL_SPACE_BOX, .marginal = MMCL_DIST_NORMAL, .marginal_scale = -2}, "marginal_scale: -2"},
    {{.space = MMCL_SPACE_REAL, .marginal = MMCL_DIST_UNIFORM}, "uniform does not exist on R^d"},
    {{.space = MMCL_SPACE_BOX, .coupling = MMCL_DIST_VMF}, "coupling: vmf is not one of the space box"},
    {{.space = MMCL_SPACE_REAL, .coupling = MMCL_DIST_VMF}, "coupling: vmf is not one of the space real"},
    {{.coupling = MMCL_DIST_UNIFORM}, "coupling: uniform is not one of the space sphere"},
    {{.marginal = MMCL_DIST_VMF}, "marginal: vmf is a coupling"},
    {{.space = 3}, "space: 3 is unknown"},
    {{.marginal = 6}, "marginal: 6 is unknown"},
    {{.coupling = -1}, "coupling: -1 is unknown"},
    {{.center = 2}, "center: 2 is unknown"},
    {{.direction = 4}, "direction: 4 is unknown"},
    {{.mixing = 2}, "mixing: 2 is unknown"},
    {{.space = MMCL_SPACE_BOX, .lower = 1, .upper = 1}, "lower, upper: 1, 1"},
    {{.space = MMCL_SPACE_BOX, .lower = 1, .upper = -1}, "lower, upper: 1, -1"},
    {{.space = MMCL_SPACE_BOX, .lower = -INFINITY, .upper = 1}, "lower, upper: -inf, 1"},
    {{.coupling_beta = 0.1}, "coupling_beta: 0.1, expected 0.25 to 32"},
    {{.marginal_beta = 99}, "marginal_beta: 99"},
    {{.private_dependence = 1.5}, "private_dependence: 1.5, expected 0 to 1"},
    {{.slope = -0.2}, "slope: -0.2"},
    {{.condition_bound = 0.5}, "condition_bound: 0.5, expected 1"},
    {{.layers = 17}, "layers: 17"},
    {{.latent = 500, .private_t = 13}, "expected at most 512"},
    {{.latent = 513}, "expected at most 512"},
    {{.latent = 3, .private_x = UINT32_MAX}, "expected at most 512"},
    {{.latent = 3, .correlation = 1}, "correlation: 1, not positive definite"},
    {{.latent = 3, .correlation = -0.5}, "correlation: -0.5, not positive definite for 3 components"},
    {{.latent = 3, .correlation_matrix = not_definite}, "correlation_matrix: not positive definite"},
    {{.latent = 3, .correlation_matrix = not_symmetric}, "correlation_matrix: not symmetric"},
    {{.latent = 3, .correlation_matrix = no_unit}, "correlation_matrix[0, 0]: 2, expected 1"},
    {{.latent = 3, .correlation_matrix = not_a_number}, "correlation_matrix[0, 1]: nan"},
    {{.latent = 3, .correlation_matrix = no_unit, .correlation = 0.1}, "give one of them"},
    {{.direction = MMCL_DIRECTION_SYMMETRIC, .correlation = 0.1}, "needs independent components"},
    {{.direction = MMCL_DIRECTION_SYMMETRIC, .marginal = MMCL_DIST_NORMAL}, "symmetric on the sphere"},
    {{.direction = MMCL_DIRECTION_SYMMETRIC, .coupling = MMCL_DIST_LAPLACE}, "symmetric on the sphere"},
    {{.direction = MMCL_DIRECTION_SYMMETRIC, .space = MMCL_SPACE_BOX, .marginal = MMCL_DIST_NORMAL}, "follows from the coupling"},
};
#define N_REFUSALS ((int) (sizeof refusals / sizeof *refusals))

START_TEST(bad_options_are_named)
{
    mmcl_model        *model   = (void *) context;
    mmcl_model_options options = refusals[_i].options;
    options.struct_size        = sizeof options;
    ck_assert_int_eq(mmcl_model_create(&model, context, &options), MMCL_E_INVAL);
    ck_assert_ptr_null(model);
    ck_assert_msg(strstr(mmcl_context_message(context), refusals[_i].message) != NULL, "got \"%s\", expected \"%s\"",
                  mmcl_context_message(context), refusals[_i].message);
}
END_TEST

START_TEST(bad_sample_calls)
{
    mmcl_model  *model = make((mmcl_model_options){.latent = 3});
    float        z[3], x[3];
    mmcl_samples out = {.struct_size = sizeof out, .z_x = z, .rows = 1, .first_row = (uint64_t) 1 << 32};
    ck_assert_int_eq(mmcl_model_sample(model, 0, 0, &out), MMCL_E_INVAL);
    out.first_row--;
    ck_assert_int_eq(mmcl_model_sample(model, 0, 0, &out), MMCL_OK);
    out.rows = SIZE_MAX;
    ck_assert_int_eq(mmcl_model_sample(model, 0, 0, &out), MMCL_E_INVAL);
    out.rows = 0;
    ck_assert_int_eq(mmcl_model_sample(model, 0, 0, &out), MMCL_OK);
    out.struct_size = 8;
    ck_assert_int_eq(mmcl_model_sample(model, 0, 0, &out), MMCL_E_ABI);
    ck_assert_int_eq(mmcl_model_sample(NULL, 0, 0, &out), MMCL_E_INVAL);
    ck_assert_int_eq(mmcl_model_sample(model, 0, 0, NULL), MMCL_E_INVAL);
    ck_assert_int_eq(mmcl_model_mix(model, 2, 1, z, NULL, x), MMCL_E_INVAL);
    ck_assert_int_eq(mmcl_model_mix(model, MMCL_SIDE_X, 1, NULL, NULL, x), MMCL_E_INVAL);
    ck_assert_int_eq(mmcl_model_mix(model, MMCL_SIDE_X, 1, z, NULL, x), MMCL_OK);
    mmcl_model_destroy(model);
    mmcl_model_destroy(NULL);
}
END_TEST

START_TEST(defaults_are_filled_in)
{
    mmcl_model        *model   = make((mmcl_model_options){.space = MMCL_SPACE_BOX, .lower = 1, .upper = 3, .correlation = 0.25});
    mmcl_model_options options = {.struct_size = sizeof options};
    mmcl_model_info    info    = {.struct_size = sizeof info};
    ck_assert_int_eq(mmcl_model_get_options(model, &options), MMCL_OK);
    ck_assert_int_eq(mmcl_model_get_info(model, &info), MMCL_OK);
    ck_assert(options.latent == 10 && options.layers == 3 && options.marginal == MMCL_DIST_UNIFORM && options.coupling == MMCL_DIST_LAPLACE);
    ck_assert_double_eq_tol(options.coupling_scale, 0.1, 1e-15);
    ck_assert_double_eq_tol(options.marginal_scale, 0.5, 1e-15);
    ck_assert(info.latent == 10 && info.width_x == 10 && info.width_t == 10 && info.layers == 3 && info.condition_x >= 1);
    mmcl_model_destroy(model);
}
END_TEST

/* ------------------------------------------------------------------------------------------------------------ files --- */

#define FILE_PATH "test_lpcm_model.npz"

START_TEST(saved_models_sample_the_same)
{
    static buffers before, after;
    memset(&before, 0, sizeof before);
    memset(&after, 0, sizeof after);
    const double       matrix[] = {1, 0.5, 0, 0.5, 1, 0.25, 0, 0.25, 1};
    mmcl_model_options options  = _i < N_SETTINGS ? settings[_i] : (mmcl_model_options){.latent = 3, .correlation_matrix = matrix};
    options.mixing_seed_x       = UINT64_MAX;
    mmcl_model *model = make(options), *loaded;
    ck_assert_int_eq(mmcl_model_save(model, FILE_PATH), MMCL_OK);
    ck_assert_msg(mmcl_model_load(&loaded, context, FILE_PATH, NULL) == MMCL_OK, "%s", mmcl_context_message(context));
    fill(model, 3, 4, 0, ROWS, &before);
    fill(loaded, 3, 4, 0, ROWS, &after);
    ck_assert_mem_eq(&before, &after, sizeof before);
    mmcl_model_options a = {.struct_size = sizeof a}, b = {.struct_size = sizeof b};
    ck_assert_int_eq(mmcl_model_get_options(model, &a), MMCL_OK);
    ck_assert_int_eq(mmcl_model_get_options(loaded, &b), MMCL_OK);
    ck_assert((a.correlation_matrix == NULL) == (b.correlation_matrix == NULL));
    a.correlation_matrix = b.correlation_matrix = NULL;
    ck_assert_mem_eq(&a, &b, sizeof a);
    mmcl_model_destroy(model);
    mmcl_model_destroy(loaded);
    mmcl_transform *transform;
    ck_assert_int_eq(mmcl_transform_load(&transform, context, FILE_PATH, NULL), MMCL_E_FORMAT);
    ck_assert_ptr_nonnull(strstr(mmcl_context_message(context), "kind 'lpcm', expected a transform"));
    remove(FILE_PATH);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("lpcm_model");
    TCase *t = tcase_create("lpcm_model");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 120);
    tcase_add_loop_test(t, sample_kernels_equal_reference, 0, N_SETTINGS);
    tcase_add_test(t, layer_kernels_equal_reference);
    tcase_add_loop_test(t, condition_bounds_hold_and_are_close, 0, 6);
    tcase_add_loop_test(t, tails_agree_with_closed_forms, 0, 8);
    tcase_add_loop_test(t, rows_depend_on_nothing_but_their_place, 0, N_SETTINGS);
    tcase_add_test(t, what_is_not_wanted_does_not_matter);
    tcase_add_loop_test(t, mixing_and_back, 0, 2);
    tcase_add_test(t, layers_are_the_best_of_the_draws);
    tcase_add_test(t, a_condition_bound_takes_the_first_that_meets_it);
    tcase_add_loop_test(t, bad_options_are_named, 0, N_REFUSALS);
    tcase_add_test(t, bad_sample_calls);
    tcase_add_test(t, defaults_are_filled_in);
    tcase_add_loop_test(t, saved_models_sample_the_same, 0, N_SETTINGS + 1);
    suite_add_tcase(s, t);
    return s;
}

int main(void)
{
    return run_suite(suite());
}
