/* The trained linear heads: what has to hold whatever the numbers, and a plain training beside the library's. */
#include "adapt_support.h"

static void scores_of(const mmcl_classifier *head, float *out)
{
    const mmcl_matrix rows = {.data = val_x, .rows = M, .cols = D};
    OK(mmcl_classifier_scores(head, &rows, out, 0));
}

static void fit_scores(mmcl_method method, const mmcl_adapt_data *data, const mmcl_adapt_options *options, mmcl_adapt_info *info,
                       float *out)
{
    mmcl_classifier *head = fit_head(method, data, options, info);
    scores_of(head, out);
    mmcl_classifier_destroy(head);
}

static double largest_difference(const float *a, const float *b)
{
    double worst = 0;
    for (size_t i = 0; i < M * K; i++)
        worst = fmax(worst, fabs((double) a[i] - (double) b[i]));
    return worst;
}

static mmcl_adapt_data without_val(void)
{
    mmcl_adapt_data data   = all_data(NULL);
    data.val.features.rows = 0;
    return data;
}

/* --------------------------------------------------------------------------------------------------- plain training --- */

#define RATE 0.001

/* Everything in float64, one row after the other. */
typedef struct plain {
    double text[K][D], w[K][D], velocity[K][D], gradient[K][D], lambda[K], rho[K];
} plain;

static double dot(const double *a, const double *b)
{
    double sum = 0;
    for (size_t j = 0; j < D; j++)
        sum += a[j] * b[j];
    return sum;
}

static void plain_text(plain *p)
{
    memset(p, 0, sizeof *p);
    for (size_t i = 0; i < PROMPTS; i++)
        for (size_t j = 0; j < D; j++)
            p->text[text_y[i]][j] += (double) text_x[i * D + j];
    for (size_t k = 0; k < K; k++) {
        double length = sqrt(dot(p->text[k], p->text[k]));
        for (size_t j = 0; j < D; j++)
            p->text[k][j] /= length;
    }
    memcpy(p->w, p->text, sizeof p->w);
}

/* Scores 100 x . w / |w| and their probabilities. */
static void plain_probabilities(double w[K][D], const float *row, double *p)
{
    double x[D], sum = 0, top = -INFINITY;
    for (size_t j = 0; j < D; j++)
        x[j] = (double) row[j];
    for (size_t k = 0; k < K; k++) {
        p[k] = 100 * dot(x, w[k]) / sqrt(dot(w[k], w[k]));
        top  = fmax(top, p[k]);
    }
    for (size_t k = 0; k < K; k++)
        sum += p[k] = exp(p[k] - top);
    for (size_t k = 0; k < K; k++)
        p[k] /= sum;
}

static void plain_gradient(plain *p, const size_t *rows, size_t n)
{
    memset(p->gradient, 0, sizeof p->gradient);
    for (size_t i = 0; i < n; i++) {
        double       share[K];
        const float *row = train_x + rows[i] * D;
        plain_probabilities(p->w, row, share);
        share[train_y[rows[i]]] -= 1;
        for (size_t k = 0; k < K; k++) {
            double length = sqrt(dot(p->w[k], p->w[k])), along = 0;
            for (size_t j = 0; j < D; j++)
                along += (double) row[j] * p->w[k][j] / (length * length);
            for (size_t j = 0; j < D; j++)
                p->gradient[k][j] += 100 / length * share[k] / (double) n * ((double) row[j] - along * p->w[k][j]);
        }
    }
}

/* A step of SGD with momentum and decay, with CLAP's penalty where lambda is not 0. */
static void plain_step(plain *p, double rate, double alpha)
{
    for (size_t k = 0; k < K; k++)
        for (size_t j = 0; j < D; j++) {
            double g = p->gradient[k][j] + 2 * alpha * p->lambda[k] / K * (p->w[k][j] - p->text[k][j]) + 5e-4 * p->w[k][j];
            p->velocity[k][j] = 0.9 * p->velocity[k][j] + g;
            p->w[k][j] -= rate * p->velocity[k][j];
        }
}

static void plain_multipliers(plain *p, double alpha)
{
    for (size_t k = 0; k < K; k++) {
        double h = 0;
        for (size_t j = 0; j < D; j++)
            h += alpha * pow(p->w[k][j] - p->text[k][j], 2);
        p->lambda[k] = fmax(0, p->lambda[k] + p->rho[k] * h);
        p->rho[k]    = h;
    }
}

static void plain_train(plain *p, size_t epochs, size_t batch, double alpha, bool adaptive)
{
    mmcl__numpy_rng rng;
    size_t          order[N], scratch[N];
    mmcl__numpy_seed(&rng, 3);
    for (size_t i = 0; i < N; i++)
        order[i] = i;
    for (size_t epoch = 0; epoch < epochs; epoch++) {
        double rate = epoch == 0 ? 1e-5 : RATE / 2 * (1 + cos(M_PI * (double) (epoch - 1) / (double) epochs));
        if (batch < N)
            mmcl__numpy_choice(&rng, N, N, scratch, order);
        for (size_t i = 0; i < N; i += batch) {
            plain_gradient(p, order + i, MMCL__MIN(batch, N - i));
            plain_step(p, rate, alpha);
        }
        if (adaptive)
            plain_multipliers(p, alpha);
    }
}

static void compare_scores(const plain *p, const float *out)
{
    for (size_t i = 0; i < M; i++)
        for (size_t k = 0; k < K; k++) {
            double x[D];
            for (size_t j = 0; j < D; j++)
                x[j] = (double) val_x[i * D + j];
            double expected = 100 * dot(x, p->w[k]) / sqrt(dot(p->w[k], p->w[k]));
            ck_assert_double_eq_tol((double) out[i * K + k], expected, 2e-3);
        }
}

static void start_multipliers(plain *p)
{
    double share[K];
    for (size_t i = 0; i < N; i++) {
        plain_probabilities(p->text, train_x + i * D, share);
        p->lambda[train_y[i]] += share[train_y[i]] / SHOTS;
    }
}

START_TEST(probe_zs_and_clap_as_trained_plainly)
{
    const mmcl_adapt_data data      = without_val();
    const size_t          batches[] = {N, 8};
    float                 out[M * K];
    for (int i = 0; i < 6; i++) {
        bool               clap = i >= 2, adaptive = i >= 4;
        plain              p;
        mmcl_adapt_info    info;
        mmcl_adapt_options options = {.struct_size = sizeof options, .seed = 3, .epochs = 20, .batch = batches[i % 2],
                                      .learning_rate = RATE, .alpha = 30, .precision = MMCL_PRECISION_F64,
                                      .clap = adaptive ? MMCL_CLAP_ADAPTIVE : MMCL_CLAP_L2};
        plain_text(&p);
        if (clap)
            start_multipliers(&p);
        plain_train(&p, 20, batches[i % 2], 30, adaptive);
        fit_scores(clap ? MMCL_METHOD_CLAP : MMCL_METHOD_PROBE_ZS, &data, &options, &info, out);
        compare_scores(&p, out);
        ck_assert_uint_eq(info.epoch, 20);
        ck_assert_double_eq(info.learning_rate, RATE);
    }
}
END_TEST

/* -------------------------------------------------------------------------------------------------------- invariants --- */

START_TEST(no_training_is_zero_shot)
{
    const mmcl_method        methods[] = {MMCL_METHOD_PROBE_ZS, MMCL_METHOD_CLAP, MMCL_METHOD_TASKRES, MMCL_METHOD_WISE_FT};
    const mmcl_adapt_options still     = {.struct_size = sizeof still, .epochs = 1, .learning_rate = 1e-12}; /* one step at 1e-5 */
    const mmcl_adapt_data    data      = without_val();
    float                    zero[M * K], out[M * K];
    fit_scores(MMCL_METHOD_ZEROSHOT, &data, NULL, NULL, zero);
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        mmcl_adapt_info info;
        fit_scores(methods[i], &data, &still, &info, out);
        ck_assert_double_lt(largest_difference(out, zero), 0.1);
        ck_assert_uint_eq(info.iterations, 1);
    }
}
END_TEST

/* The stronger the penalty, the nearer the text; in the limit the text itself. At a scale that leaves no class without a factor. */
START_TEST(clap_goes_to_zero_shot)
{
    const double          strengths[] = {1, 10, 100, 1000, 10000};
    const mmcl_adapt_data data        = without_val();
    float                 zero[M * K], out[M * K];
    double                before = INFINITY;
    const mmcl_adapt_options plain_options = {.struct_size = sizeof plain_options, .logit_scale = 10};
    fit_scores(MMCL_METHOD_ZEROSHOT, &data, &plain_options, NULL, zero);
    for (size_t i = 0; i < sizeof strengths / sizeof *strengths; i++) {
        mmcl_adapt_options options = {.struct_size = sizeof options, .alpha = strengths[i], .learning_rate = 1e-4, .logit_scale = 10};
        fit_scores(MMCL_METHOD_CLAP, &data, &options, NULL, out);
        double distance = largest_difference(out, zero);
        ck_assert_double_lt(distance, before);
        before = distance;
    }
    ck_assert_double_lt(before, 0.5);
}
END_TEST

START_TEST(training_lowers_the_loss)
{
    const mmcl_method     methods[] = {MMCL_METHOD_PROBE_ZS, MMCL_METHOD_CLAP, MMCL_METHOD_TASKRES, MMCL_METHOD_LPP};
    const mmcl_adapt_data data      = without_val();
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        double before = INFINITY;
        for (uint64_t epochs = 3; epochs <= 200; epochs *= 4) {
            mmcl_adapt_options options = {.struct_size = sizeof options, .epochs = epochs};
            mmcl_adapt_info    info;
            mmcl_classifier_destroy(fit_head(methods[i], &data, &options, &info));
            ck_assert_uint_eq(info.epoch, epochs);
            ck_assert_double_lt(info.objective, before);
            before = info.objective;
        }
    }
}
END_TEST

START_TEST(wise_ft_between_its_ends)
{
    mmcl_adapt_data    data    = all_data(NULL);
    mmcl_adapt_options options = {.struct_size = sizeof options, .epochs = 40, .learning_rate = 0.01};
    mmcl_adapt_info    info;
    float              zero[M * K], trained[M * K], out[M * K], expected[M * K];
    fit_scores(MMCL_METHOD_ZEROSHOT, &data, NULL, NULL, zero);
    fit_scores(MMCL_METHOD_PROBE_ZS, &data, &options, NULL, trained);
    const double ratios[] = {1e-9, 0.3, 1};
    for (size_t r = 0; r < 3; r++) {
        options.ratio = ratios[r];
        fit_scores(MMCL_METHOD_WISE_FT, &data, &options, &info, out);
        for (size_t i = 0; i < M * K; i++)
            expected[i] = (float) ((1 - ratios[r]) * (double) zero[i] + ratios[r] * (double) trained[i]);
        ck_assert_double_lt(largest_difference(out, expected), 1e-3);
        ck_assert(info.ratio == ratios[r] && info.flags == 0);
    }
    options.ratio = 0; /* chosen: no grid point is better on val */
    fit_scores(MMCL_METHOD_WISE_FT, &data, &options, &info, out);
    ck_assert_uint_eq(info.flags, MMCL_ADAPT_PARAMETERS_ON_VAL);
    double chosen = info.ratio, best = info.val_accuracy;
    for (int i = 1; i <= 10; i++) {
        options.ratio = i / 10.0;
        fit_scores(MMCL_METHOD_WISE_FT, &data, &options, &info, out);
        ck_assert_double_le(info.val_accuracy, best);
        ck_assert(options.ratio >= chosen - 1e-12 || info.val_accuracy < best);
    }
}
END_TEST

/* With val rows the kept epoch is the best; it is that of a training with this many epochs of the same rates only for LP++. */
START_TEST(epoch_on_val)
{
    mmcl_adapt_data    data = all_data(NULL), blind = without_val();
    mmcl_adapt_options options = {.struct_size = sizeof options};
    mmcl_adapt_info    info, short_info;
    float              kept[M * K], out[M * K];
    for (int paper = 0; paper < 2; paper++) {
        options = (mmcl_adapt_options){.struct_size = sizeof options, .protocol = paper ? MMCL_PROTOCOL_PAPER : MMCL_PROTOCOL_STRICT};
        fit_scores(MMCL_METHOD_LPP, &data, &options, &info, kept);
        ck_assert_uint_eq(info.flags, MMCL_ADAPT_EPOCH_ON_VAL | (paper ? MMCL_ADAPT_AS_RELEASED : 0));
        options.epochs = info.epoch;
        fit_scores(MMCL_METHOD_LPP, &blind, &options, &short_info, out);
        ck_assert_uint_eq(short_info.epoch, info.epoch);
        ck_assert_mem_eq(out, kept, sizeof out);
    }
}
END_TEST

/* ------------------------------------------------------------------------------------------------------------- LP++ --- */

/* The whole method in float64, by its definition. */
static void plain_lpp(size_t epochs, bool paper, double w[K][D], double b[K], double alpha[K], double text[K][D], double top)
{
    double velocity[K][D + 1] = {{0}}, pile[K] = {0}, products[N][K], own = 0, most = 0;
    memset(w, 0, K * sizeof *w);
    memset(b, 0, K * sizeof *b);
    for (size_t k = 0; k < K; k++) {
        double squares = 0;
        for (size_t i = 0; i < N; i++) {
            products[i][k] = 0;
            for (size_t j = 0; j < D; j++)
                products[i][k] += (double) train_x[i * D + j] * text[k][j];
            squares += products[i][k] * products[i][k];
            own += (size_t) train_y[i] == k ? products[i][k] / SHOTS / K : 0;
        }
        most = fmax(most, squares);
    }
    for (size_t i = 0; i < N; i++)
        for (size_t j = 0; j < D; j++)
            w[train_y[i]][j] += (double) train_x[i * D + j];
    for (size_t k = 0; k < K; k++)
        alpha[k] = 250 * own;
    for (size_t epoch = 1; epoch <= epochs; epoch++) {
        double gradient[K][D + 1] = {{0}}, slope[K] = {0};
        for (size_t i = 0; i < N; i++) {
            double p[K], sum = 0, high = -INFINITY;
            for (size_t k = 0; k < K; k++) {
                p[k] = b[k] + alpha[k] * products[i][k];
                for (size_t j = 0; j < D; j++)
                    p[k] += (double) train_x[i * D + j] * w[k][j];
                high = fmax(high, p[k]);
            }
            for (size_t k = 0; k < K; k++)
                sum += p[k] = exp(p[k] - high);
            for (size_t k = 0; k < K; k++) {
                double r = (p[k] / sum - ((size_t) train_y[i] == k)) / N;
                slope[k] += r * products[i][k];
                gradient[k][D] += r;
                for (size_t j = 0; j < D; j++)
                    gradient[k][j] += r * (double) train_x[i * D + j];
            }
        }
        for (size_t k = 0; k < K; k++) {
            pile[k] = slope[k] + (paper ? pile[k] : 0);
            for (size_t j = 0; j <= D; j++) {
                velocity[k][j] = 0.9 * velocity[k][j] + gradient[k][j];
                *(j < D ? &w[k][j] : &b[k]) -= 4 * N / top * velocity[k][j];
            }
            alpha[k] -= epoch % 10 == 0 ? N / (4 * most) * pile[k] : 0;
        }
    }
}

/* Largest eigenvalue of X^T X, by its powers. */
static double power_iteration(void)
{
    double v[D], next[D], length = 0;
    for (size_t j = 0; j < D; j++)
        v[j] = 1;
    for (int round = 0; round < 2000; round++) {
        memset(next, 0, sizeof next);
        for (size_t i = 0; i < N; i++) {
            double along = 0;
            for (size_t j = 0; j < D; j++)
                along += (double) train_x[i * D + j] * v[j];
            for (size_t j = 0; j < D; j++)
                next[j] += along * (double) train_x[i * D + j];
        }
        length = sqrt(dot(next, next));
        for (size_t j = 0; j < D; j++)
            v[j] = next[j] / length;
    }
    return length;
}

START_TEST(lpp_by_its_definition)
{
    const mmcl_adapt_data data = without_val();
    plain                 p;
    double                w[K][D], b[K], alpha[K];
    float                 out[M * K];
    plain_text(&p);
    for (int paper = 0; paper < 2; paper++) {
        const mmcl_adapt_options options = {.struct_size = sizeof options, .epochs = 35, .precision = MMCL_PRECISION_F64,
                                            .protocol = paper ? MMCL_PROTOCOL_PAPER : MMCL_PROTOCOL_STRICT};
        plain_lpp(35, paper, w, b, alpha, p.text, power_iteration());
        fit_scores(MMCL_METHOD_LPP, &data, &options, NULL, out);
        for (size_t i = 0; i < M; i++)
            for (size_t k = 0; k < K; k++) {
                double expected = b[k];
                for (size_t j = 0; j < D; j++)
                    expected += (double) val_x[i * D + j] * (w[k][j] + alpha[k] * p.text[k][j]);
                ck_assert_double_eq_tol((double) out[i * K + k], expected, 1e-4 * (1 + fabs(expected)));
            }
    }
}
END_TEST

START_TEST(too_high_a_rate)
{
    const mmcl_adapt_data    data    = without_val();
    const mmcl_adapt_options options = {.struct_size = sizeof options, .learning_rate = 1e300};
    mmcl_classifier         *head;
    ck_assert_int_eq(mmcl_adapt_fit(&head, context, MMCL_METHOD_LPP, &data, &options, NULL), MMCL_E_NUMERIC);
    ck_assert_ptr_null(head);
    ck_assert_ptr_nonnull(strstr(mmcl_context_message(context), "learning rate"));
}
END_TEST

/* Bit for bit, whatever the number of threads. */
START_TEST(threads_do_not_matter)
{
    const mmcl_method          methods[] = {MMCL_METHOD_PROBE_ZS, MMCL_METHOD_LPP, MMCL_METHOD_TASKRES};
    const mmcl_context_options two       = {.struct_size = sizeof two, .threads = 2};
    const mmcl_adapt_options   options   = {.struct_size = sizeof options, .batch = 7, .epochs = 5};
    const mmcl_adapt_data      data      = all_data(NULL);
    mmcl_context              *other;
    float                      out[M * K], again[M * K];
    OK(mmcl_context_create(&other, &two));
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        mmcl_classifier *head;
        fit_scores(methods[i], &data, &options, NULL, out);
        ck_assert_int_eq(mmcl_adapt_fit(&head, other, methods[i], &data, &options, NULL), MMCL_OK);
        scores_of(head, again);
        ck_assert_mem_eq(again, out, sizeof out);
        mmcl_classifier_destroy(head);
    }
    mmcl_context_destroy(other);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("heads");
    TCase *tcase = tcase_create("heads");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, probe_zs_and_clap_as_trained_plainly);
    tcase_add_test(tcase, no_training_is_zero_shot);
    tcase_add_test(tcase, clap_goes_to_zero_shot);
    tcase_add_test(tcase, training_lowers_the_loss);
    tcase_add_test(tcase, wise_ft_between_its_ends);
    tcase_add_test(tcase, epoch_on_val);
    tcase_add_test(tcase, lpp_by_its_definition);
    tcase_add_test(tcase, too_high_a_rate);
    tcase_add_test(tcase, threads_do_not_matter);
    suite_add_tcase(suite, tcase);
    return suite_run(suite);
}
