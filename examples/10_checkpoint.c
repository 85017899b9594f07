/* A training that is interrupted, and another that goes on from its checkpoint and ends with the same bits as one left alone. */
#include <mmcl/mmcl.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LATENT = 3, PRIVATE = 2, WIDTH = LATENT + PRIVATE, BATCH = 64, STEPS = 300 };

/* What a program sets up anew each time that it starts. */
typedef struct training {
    mmcl_context   *context;
    mmcl_model     *model;
    mmcl_encoder   *encoders[2];
    mmcl_objective *objective;
    mmcl_trainer   *trainer;
} training;

static mmcl_status begin(training *t, const char *checkpoint)
{
    const uint64_t             hidden[] = {32, 32};
    const mmcl_model_options   world    = {.struct_size = sizeof world, .latent = LATENT, .private_x = PRIVATE, .private_t = PRIVATE,
                                           .condition_draws = 500};
    mmcl_encoder_options       shape    = {.struct_size = sizeof shape, .hidden = hidden, .hidden_count = 2, .inputs = WIDTH, .outputs = LATENT,
                                           .geometry = MMCL_GEOMETRY_SPHERE};
    const mmcl_trainer_options options  = {.struct_size = sizeof options, .batch = BATCH, .steps = STEPS, .learn_scale = 1, .average = 0.99,
                                           .checkpoint = checkpoint, .checkpoint_every = checkpoint != NULL ? 100 : 0};
    mmcl_source                source   = {.struct_size = sizeof source};
    mmcl_status                status   = mmcl_context_create(&t->context, NULL);
    if (status == MMCL_OK)
        status = mmcl_model_create(&t->model, t->context, &world);
    for (uint64_t side = 0; status == MMCL_OK && side < 2; side++) {
        shape.seed = side;
        status     = mmcl_encoder_create(&t->encoders[side], t->context, &shape);
    }
    if (status == MMCL_OK)
        status = mmcl_objective_create(&t->objective, t->context, NULL);
    source.model = t->model;
    if (status == MMCL_OK)
        status = mmcl_trainer_create(&t->trainer, t->context, t->encoders[0], t->encoders[1], t->objective, &source, &options);
    return status;
}

static void end(training *t)
{
    mmcl_trainer_destroy(t->trainer);
    mmcl_objective_destroy(t->objective);
    mmcl_encoder_destroy(t->encoders[1]);
    mmcl_encoder_destroy(t->encoders[0]);
    mmcl_model_destroy(t->model);
    mmcl_context_destroy(t->context);
}

static int failed(const training *t, mmcl_status status)
{
    if (status != MMCL_OK)
        fprintf(stderr, "%s: %s\n", mmcl_status_string(status), mmcl_context_message(t->context));
    return status != MMCL_OK;
}

static int same_bits(const training *a, const training *b)
{
    for (int side = 0; side < 2; side++)
        for (size_t i = 0; i < mmcl_encoder_parameter_count(a->encoders[side]); i++) {
            mmcl_parameter one = {.struct_size = sizeof one}, two = one;
            if (mmcl_encoder_parameter(a->encoders[side], i, &one) != MMCL_OK || mmcl_encoder_parameter(b->encoders[side], i, &two) != MMCL_OK ||
                memcmp(one.data, two.data, (size_t) (one.rows * one.cols) * sizeof *one.data) != 0)
                return 0;
        }
    return 1;
}

int main(int count, char **arguments)
{
    const char     *path  = count > 1 ? arguments[1] : "checkpoint.npz";
    training        whole = {0}, first = {0}, second = {0};
    mmcl_train_info info  = {.struct_size = sizeof info};
    int             code  = EXIT_FAILURE;
    if (failed(&whole, begin(&whole, NULL)) || failed(&whole, mmcl_trainer_run(whole.trainer, STEPS, NULL)))
        goto done;
    /* The last of its checkpoints is of step 200; then the power goes. */
    if (failed(&first, begin(&first, path)) || failed(&first, mmcl_trainer_run(first.trainer, 250, NULL)))
        goto done;
    end(&first);
    first = (training){0};
    if (failed(&second, begin(&second, path)) || failed(&second, mmcl_trainer_resume(second.trainer, path, NULL)) ||
        failed(&second, mmcl_trainer_get_info(second.trainer, &info)))
        goto done;
    printf("resumed at step %llu, loss %.3f\n", (unsigned long long) info.step, info.loss);
    if (failed(&second, mmcl_trainer_run(second.trainer, STEPS, &info)))
        goto done;
    printf("step %llu, loss %.3f: %s\n", (unsigned long long) info.step, info.loss,
           same_bits(&whole, &second) ? "the same bits as without the interruption" : "ANOTHER RESULT");
    code = same_bits(&whole, &second) ? EXIT_SUCCESS : EXIT_FAILURE;
done:
    end(&second);
    end(&first);
    end(&whole);
    return code;
}
