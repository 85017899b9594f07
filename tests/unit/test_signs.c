/* Latents on the unit sphere under a rotation: which ICA recovers them, and what the test of signs says. */
#include <mmcl/mmcl.h>

#include "suite.h"
#include "core/rng.h"
#include "transform/ica.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { N = 20000, D = 10 };

static mmcl_context *context;
static float         latents[N * D], rotated[N * D], found[N * D];

static void setup(void)
{
    ck_assert_int_eq(mmcl_context_create(&context, NULL), MMCL_OK);
}

static void teardown(void)
{
    mmcl_context_destroy(context);
}

#define OK(call) ck_assert_msg((call) == MMCL_OK, "%s: %s", #call, mmcl_context_message(context))

static mmcl_matrix f32(const float *data)
{
    return (mmcl_matrix){.data = data, .rows = N, .cols = D};
}

static void apply(const char *spec, const float *in, float *out)
{
    const mmcl_matrix rows  = f32(in);
    mmcl_transform   *chain = NULL;
    OK(mmcl_transform_create_spec(&chain, context, spec));
    OK(mmcl_transform_fit(chain, &rows, 1, NULL));
    OK(mmcl_transform_apply(chain, &rows, out, 0));
    mmcl_transform_destroy(chain);
}

/* Latents of a model without mixing, at norm 1, and a rotation of them. */
static void sample(mmcl_space space, mmcl_distribution marginal, uint64_t seed)
{
    const mmcl_model_options options = {.struct_size = sizeof options, .latent = D, .space = space, .marginal = marginal, .lower = -1, .upper = 1,
                                        .center = MMCL_CENTER_ORIGIN, .mixing = MMCL_MIXING_IDENTITY};
    const mmcl_samples       out     = {.struct_size = sizeof out, .rows = N, .z_x = found};
    mmcl_model              *model;
    double                   turn[D * D];
    OK(mmcl_model_create(&model, context, &options));
    OK(mmcl_model_sample(model, seed, 0, &out));
    mmcl_model_destroy(model);
    apply("normalize", found, latents);
    for (int i = 0; i < D * D; i++)
        turn[i] = mmcl__philox_uniform(seed, (uint64_t) i, 0, 9) - 0.5;
    OK(mmcl__decorrelate(context, D, turn));
    for (size_t i = 0; i < N; i++)
        for (size_t j = 0; j < D; j++) {
            double sum = 0;
            for (size_t l = 0; l < D; l++)
                sum += turn[j * D + l] * (double) latents[i * D + l];
            rotated[i * D + j] = (float) sum;
        }
}

static double mcc_after(const char *spec)
{
    const mmcl_matrix  codes = f32(found), factors = f32(latents);
    mmcl_metric_result result = {.struct_size = sizeof result};
    apply(spec, rotated, found);
    OK(mmcl_metric_evaluate(context, MMCL_METRIC_MCC, &codes, &factors, NULL, &result, NULL));
    return result.value;
}

static mmcl_signs_info signs(const mmcl_step_options *step)
{
    const mmcl_matrix        rows    = f32(rotated);
    const mmcl_signs_options options = {.struct_size = sizeof options, .step = step};
    mmcl_signs_info          info    = {.struct_size = sizeof info};
    OK(mmcl_signs_test(context, &rows, 1, &options, &info));
    ck_assert_uint_gt(info.rows, 9000);
    ck_assert_uint_lt(info.rows, 11000);
    ck_assert_uint_eq(info.components, D);
    return info;
}

/* A centred box, projected: every ICA finds its axes but that of the wrong fixed sign. */
START_TEST(projected_boxes)
{
    for (uint64_t seed = 1; seed <= 3; seed++) {
        sample(MMCL_SPACE_BOX, MMCL_DIST_UNIFORM, seed);
        ck_assert_double_gt(mcc_after("ica:fastica"), 0.995);
        ck_assert_double_gt(mcc_after("ica:picard"), 0.995);
        ck_assert_double_lt(mcc_after("ica:picard:super"), 0.7);
        mmcl_signs_info info = signs(NULL);
        ck_assert_int_eq(info.advice, MMCL_DENSITY_AUTO);
        ck_assert_double_gt(info.automatic, 3 * info.super_gaussian);
        ck_assert_double_eq_tol(info.automatic, info.sub_gaussian, 1e-3 * info.automatic);
    }
}
END_TEST

/* Laplace latents around 0, projected: automatic signs converge to axes that are none, and the test says so, of FastICA too. */
START_TEST(projected_laplace)
{
    const mmcl_step_options fastica = {.struct_size = sizeof fastica, .kind = MMCL_STEP_ICA};
    for (uint64_t seed = 1; seed <= 3; seed++) {
        sample(MMCL_SPACE_SPHERE, MMCL_DIST_LAPLACE, seed);
        ck_assert_double_gt(mcc_after("ica:picard:super"), 0.995);
        ck_assert_double_lt(mcc_after("ica:picard"), 0.6);
        ck_assert_double_lt(mcc_after("ica:fastica"), 0.6);
        for (int which = 0; which < 2; which++) {
            mmcl_signs_info info = signs(which == 0 ? NULL : &fastica);
            ck_assert_int_eq(info.advice, MMCL_DENSITY_SUPER);
            ck_assert_double_gt(info.super_gaussian, 3 * info.automatic);
            ck_assert_double_lt(info.random, info.super_gaussian / 3);
        }
    }
}
END_TEST

/* A uniform sphere has no axes: nothing to advise. Nor where latents are on no sphere. */
START_TEST(nothing_to_advise)
{
    for (uint64_t seed = 1; seed <= 3; seed++) {
        sample(MMCL_SPACE_SPHERE, MMCL_DIST_UNIFORM, seed);
        ck_assert_int_eq(signs(NULL).advice, MMCL_DENSITY_AUTO);
    }
    for (size_t i = 0; i < (size_t) N * D; i++)
        rotated[i] *= 1 + (float) (i / D % 7);
    ck_assert_int_eq(signs(NULL).advice, MMCL_DENSITY_AUTO);
}
END_TEST

START_TEST(bad_input_is_named)
{
    const mmcl_step_options fixed = {.struct_size = sizeof fixed, .kind = MMCL_STEP_ICA, .algorithm = MMCL_ICA_PICARD, .density = MMCL_DENSITY_SUB};
    const mmcl_step_options one = {.struct_size = sizeof one, .kind = MMCL_STEP_ICA, .components = 1};
    const mmcl_step_options pca = {.struct_size = sizeof pca, .kind = MMCL_STEP_PCA};
    const struct {
        mmcl_signs_options options;
        const char        *words;
    } cases[] = {{{.step = &fixed}, "its signs are fixed"}, {{.step = &one}, "1 component"}, {{.step = &pca}, "expected an ICA step"},
                 {{.margin = 0.5}, "margin: 0.5, expected at least 1"}};
    const mmcl_matrix rows = f32(rotated);
    sample(MMCL_SPACE_SPHERE, MMCL_DIST_UNIFORM, 1);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mmcl_signs_options options = cases[i].options;
        mmcl_signs_info    info    = {.struct_size = sizeof info, .rows = 42};
        options.struct_size        = sizeof options;
        ck_assert_int_eq(mmcl_signs_test(context, &rows, 1, &options, &info), MMCL_E_INVAL);
        ck_assert_msg(strstr(mmcl_context_message(context), cases[i].words) != NULL, "%s", mmcl_context_message(context));
        ck_assert_uint_eq(info.rows, 42);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("signs");
    TCase *tests = tcase_create("signs");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_set_timeout(tests, 240);
    tcase_add_test(tests, projected_boxes);
    tcase_add_test(tests, projected_laplace);
    tcase_add_test(tests, nothing_to_advise);
    tcase_add_test(tests, bad_input_is_named);
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
