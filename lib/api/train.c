/* Edge of train.h: validate, import options, call. */
#include "train/trainer.h"

mmcl_status mmcl_trainer_create(mmcl_trainer **out, mmcl_context *context, mmcl_encoder *x, mmcl_encoder *t,
                                mmcl_objective *objective, const mmcl_source *source, const mmcl_trainer_options *options)
{
    mmcl_trainer_options ours;
    mmcl_source          pairs;
    if (out == NULL || context == NULL)
        return MMCL_E_INVAL;
    *out = NULL;
    const struct {
        const char *name;
        const void *value;
    } needed[] = {{"x", x}, {"t", t}, {"objective", objective}, {"source", source}, {"options", options}};
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++)
        if (needed[i].value == NULL)
            return mmcl__fail(context, MMCL_E_INVAL, "%s: NULL", needed[i].name);
    MMCL__TRY(mmcl__import(context, &ours, sizeof ours, MMCL__V1(mmcl_trainer_options, freeze_t), options, "mmcl_trainer_options"));
    MMCL__TRY(mmcl__import(context, &pairs, sizeof pairs, MMCL__V1(mmcl_source, reserved), source, "mmcl_source"));
    return mmcl__trainer_create(out, context, x, t, objective, &pairs, &ours);
}

void mmcl_trainer_destroy(mmcl_trainer *trainer)
{
    mmcl__trainer_destroy(trainer);
}

#define INFO_V1 MMCL__V1(mmcl_train_info, reserved)

mmcl_status mmcl_trainer_run(mmcl_trainer *trainer, uint64_t until, mmcl_train_info *info)
{
    mmcl_train_info ours;
    if (trainer == NULL)
        return MMCL_E_INVAL;
    mmcl__trainer_info(trainer, &ours);
    if (info != NULL) /* a struct that is too short is refused before anything is done */
        MMCL__TRY(mmcl__export(trainer->context, info, &ours, sizeof ours, INFO_V1, "mmcl_train_info"));
    mmcl_status status = mmcl__trainer_run(trainer, until, &ours), written = MMCL_OK;
    if (info != NULL)
        written = mmcl__export(trainer->context, info, &ours, sizeof ours, INFO_V1, "mmcl_train_info");
    return status != MMCL_OK ? status : written;
}

mmcl_status mmcl_trainer_get_info(const mmcl_trainer *trainer, mmcl_train_info *out)
{
    mmcl_train_info ours;
    if (trainer == NULL || out == NULL)
        return MMCL_E_INVAL;
    mmcl__trainer_info(trainer, &ours);
    return mmcl__export(NULL, out, &ours, sizeof ours, INFO_V1, "mmcl_train_info");
}

const mmcl_encoder *mmcl_trainer_average(const mmcl_trainer *trainer, uint32_t side)
{
    if (trainer == NULL || side > 1)
        return NULL;
    return trainer->sides[side].average != NULL ? trainer->sides[side].average : trainer->sides[side].encoder;
}
