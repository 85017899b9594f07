/*
 * Times a training step of two encoders (cosine InfoNCE, Adam) on pairs drawn afresh from a sphere's model with 10 coupled and 5 private
 * latents: bench_train BATCH W1,W2,... [STEPS [THREADS [kfac]]]. One JSON line; a peer for the same work prints a like one.
 */
#include <mmcl/mmcl.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static mmcl_context *context;

static void need(mmcl_status status)
{
    if (status == MMCL_OK)
        return;
    fprintf(stderr, "%s: %s\n", mmcl_status_string(status), mmcl_context_message(context));
    exit(1);
}

static double now(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (double) at.tv_sec + 1e-9 * (double) at.tv_nsec;
}

static size_t parse(const char *text, uint64_t *widths)
{
    size_t n = 0;
    for (char *end; *text != '\0' && n < MMCL_MAX_HIDDEN; text = *end == ',' ? end + 1 : end)
        widths[n++] = strtoull(text, &end, 10);
    return n;
}

int main(int argc, char **argv)
{
    uint64_t widths[MMCL_MAX_HIDDEN];
    if (argc < 3) {
        fprintf(stderr, "usage: %s BATCH W1,W2,... [STEPS [THREADS [kfac]]]\n", argv[0]);
        return 2;
    }
    size_t   batch = strtoull(argv[1], NULL, 10), n = parse(argv[2], widths);
    uint64_t steps = argc > 3 ? strtoull(argv[3], NULL, 10) : 20;
    int      kfac  = argc > 5 && strcmp(argv[5], "kfac") == 0;
    mmcl_context_options   threads = {.struct_size = sizeof threads, .threads = argc > 4 ? (uint32_t) atoi(argv[4]) : 2};
    mmcl_model_options     space   = {.struct_size = sizeof space, .private_x = 5, .private_t = 5, .mixing_seed_t = 1, .condition_draws = 100};
    mmcl_encoder_options   shape   = {.struct_size = sizeof shape, .hidden = widths, .hidden_count = n, .inputs = 15, .outputs = 10};
    mmcl_objective_options loss    = {.struct_size = sizeof loss, .rows = batch, .cols = 10, .similarity = MMCL_SIMILARITY_COSINE};
    mmcl_trainer_options   options = {.struct_size = sizeof options, .batch = batch, .steps = steps + 3,
                                      .optimizer = kfac ? MMCL_OPTIMIZER_KFAC : MMCL_OPTIMIZER_ADAM};
    mmcl_train_info        info    = {.struct_size = sizeof info};
    mmcl_model            *model;
    mmcl_encoder          *x, *t;
    mmcl_objective        *objective;
    mmcl_trainer          *trainer;
    need(mmcl_context_create(&context, &threads));
    need(mmcl_model_create(&model, context, &space));
    need(mmcl_encoder_create(&x, context, &shape));
    shape.seed = 1;
    need(mmcl_encoder_create(&t, context, &shape));
    need(mmcl_objective_create(&objective, context, &loss));
    mmcl_source source = {.struct_size = sizeof source, .model = model};
    need(mmcl_trainer_create(&trainer, context, x, t, objective, &source, &options));
    need(mmcl_trainer_run(trainer, 3, NULL));
    double began = now();
    need(mmcl_trainer_run(trainer, 3 + steps, &info));
    printf("{\"batch\": %zu, \"widths\": [%s], \"optimizer\": \"%s\", \"threads\": %u, \"seconds_per_step\": %g, \"loss\": %g}\n", batch,
           argv[2], kfac ? "kfac" : "adam", threads.threads, (now() - began) / (double) steps, info.loss);
    mmcl_trainer_destroy(trainer);
    mmcl_objective_destroy(objective);
    mmcl_encoder_destroy(x);
    mmcl_encoder_destroy(t);
    mmcl_model_destroy(model);
    mmcl_context_destroy(context);
    return 0;
}
