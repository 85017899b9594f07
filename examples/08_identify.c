/*
 * The theory made runnable: pairs (x, t) from a latent partial causal model, two encoders trained on the pairs alone by the
 * contrastive objective, and how much of the latents they have recovered.
 */
#include <mmcl/mmcl.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { LATENT = 3, PRIVATE = 2, WIDTH = LATENT + PRIVATE, ROWS = 2000, STEPS = 3000, BATCH = 128 };

static int check(mmcl_status status, const mmcl_context *context)
{
    if (status == MMCL_OK)
        return 1;
    fprintf(stderr, "%s: %s\n", mmcl_status_string(status), mmcl_context_message(context));
    return 0;
}

/* Least squares with intercept, code to target, by Gauss and Jordan's elimination; R2 of the fit. */
static double r2(const float *codes, const float *targets, int column)
{
    enum { N = LATENT + 1 };
    double a[N][N + 1] = {{0}}, mean = 0, total = 0, residual = 0;
    for (int i = 0; i < ROWS; i++) {
        double row[N + 1] = {[LATENT] = 1};
        for (int j = 0; j < LATENT; j++)
            row[j] = (double) codes[i * LATENT + j];
        row[N] = (double) targets[i * LATENT + column];
        mean += row[N] / ROWS;
        for (int j = 0; j < N; j++)
            for (int k = 0; k <= N; k++)
                a[j][k] += row[j] * row[k];
    }
    for (int p = 0; p < N; p++)
        for (int i = 0; i < N; i++) {
            double factor = a[i][p] / a[p][p];
            for (int k = 0; k <= N && i != p; k++)
                a[i][k] -= factor * a[p][k];
        }
    for (int i = 0; i < ROWS; i++) {
        double predicted = a[LATENT][N] / a[LATENT][LATENT], value = (double) targets[i * LATENT + column];
        for (int j = 0; j < LATENT; j++)
            predicted += a[j][N] / a[j][j] * (double) codes[i * LATENT + j];
        residual += (value - predicted) * (value - predicted);
        total += (value - mean) * (value - mean);
    }
    return 1 - residual / total;
}

/* Fresh pairs, whose latents the encoders have never seen. */
static int report(const char *when, const mmcl_model *model, const mmcl_encoder *f_x)
{
    static float       x[ROWS * WIDTH], z_x[ROWS * LATENT], codes[ROWS * LATENT];
    const mmcl_samples fresh = {.struct_size = sizeof fresh, .x = x, .z_x = z_x, .rows = ROWS};
    const mmcl_matrix  rows  = {.data = x, .rows = ROWS, .cols = WIDTH};
    if (mmcl_model_sample(model, 99, 0, &fresh) != MMCL_OK || mmcl_encoder_forward(f_x, &rows, codes, 0) != MMCL_OK)
        return 0;
    printf("%s: R2 of the latents from f_x(x): %.3f %.3f %.3f\n", when, r2(codes, z_x, 0), r2(codes, z_x, 1), r2(codes, z_x, 2));
    return 1;
}

int main(void)
{
    const uint64_t             widths[]       = {32, 32};
    const mmcl_model_options   model_options  = {.struct_size     = sizeof model_options,
                                                 .latent          = LATENT,
                                                 .private_x       = PRIVATE,
                                                 .private_t       = PRIVATE,
                                                 .condition_draws = 1000};
    const mmcl_encoder_options encoder_x      = {.struct_size  = sizeof encoder_x,
                                                 .inputs       = WIDTH,
                                                 .outputs      = LATENT,
                                                 .hidden       = widths,
                                                 .hidden_count = 2,
                                                 .slope        = 0.2,
                                                 .seed         = 1,
                                                 .geometry     = MMCL_GEOMETRY_SPHERE};
    mmcl_encoder_options       encoder_t      = encoder_x;
    const mmcl_trainer_options trainer_options = {.struct_size = sizeof trainer_options,
                                                  .batch       = BATCH,
                                                  .steps       = STEPS,
                                                  .warmup      = 100,
                                                  .optimizer   = MMCL_OPTIMIZER_KFAC,
                                                  .scale       = 5,
                                                  .learn_scale = 1};
    mmcl_context   *context   = NULL;
    mmcl_model     *model     = NULL;
    mmcl_encoder   *f_x       = NULL, *f_t = NULL;
    mmcl_objective *objective = NULL;
    mmcl_trainer   *trainer   = NULL;
    mmcl_train_info info      = {.struct_size = sizeof info};
    encoder_t.seed            = 2;

    int ok = check(mmcl_context_create(&context, NULL), context) && check(mmcl_model_create(&model, context, &model_options), context) &&
             check(mmcl_encoder_create(&f_x, context, &encoder_x), context) &&
             check(mmcl_encoder_create(&f_t, context, &encoder_t), context) && check(mmcl_objective_create(&objective, context, NULL), context);
    const mmcl_source source = {.struct_size = sizeof source, .model = model};
    ok = ok && check(mmcl_trainer_create(&trainer, context, f_x, f_t, objective, &source, &trainer_options), context) &&
         report("before", model, f_x) && check(mmcl_trainer_run(trainer, STEPS, &info), context);
    if (ok)
        printf("%llu steps, loss %.3f, log of the batch %.3f\n", (unsigned long long) info.step, info.smooth_loss, log(BATCH));
    ok = ok && report("after ", model, f_x);

    mmcl_trainer_destroy(trainer);
    mmcl_objective_destroy(objective);
    mmcl_encoder_destroy(f_t);
    mmcl_encoder_destroy(f_x);
    mmcl_model_destroy(model);
    mmcl_context_destroy(context);
    return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
