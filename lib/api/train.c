/* Edge of train.h: validate, import options, call. */
#include "train/trainer.h"

#define INFO_V1 MMCL__V1(mmcl_train_info, reserved)

mmcl_status mmcl_trainer_create(mmcl_trainer **out, mmcl_context *context, mmcl_encoder *x, mmcl_encoder *t, mmcl_objective *objective,
                                const mmcl_source *source, const mmcl_trainer_options *options)
{
    mmcl_source          our_source;
    mmcl_trainer_options our_options;
    if (out == NULL || context == NULL)
        return MMCL_E_INVAL;
    *out = NULL;
    if (x == NULL || t == NULL || objective == NULL || source == NULL || options == NULL)
        return mmcl__fail(context, MMCL_E_INVAL, "%s: NULL", x == NULL ? "x" : t == NULL ? "t" : objective == NULL ? "objective"
                                                             : source == NULL ? "source" : "options");
    MMCL__TRY(mmcl__import(context, &our_source, sizeof our_source, MMCL__V1(mmcl_source, reserved), source, "mmcl_source"));
    MMCL__TRY(mmcl__import(context, &our_options, sizeof our_options, MMCL__V1(mmcl_trainer_options, freeze_t), options,
                           "mmcl_trainer_options"));
    return mmcl__trainer_create(out, context, x, t, objective, &our_source, &our_options);
}

void mmcl_trainer_destroy(mmcl_trainer *trainer)
{
    mmcl__trainer_destroy(trainer);
}

mmcl_status mmcl_trainer_run(mmcl_trainer *trainer, uint64_t until, mmcl_train_info *info)
{
    if (trainer == NULL)
        return MMCL_E_INVAL;
    mmcl_context *context = trainer->context;
    if (info != NULL && info->struct_size < INFO_V1)
        return mmcl__fail(context, MMCL_E_ABI, "mmcl_train_info: struct_size is %zu, expected at least %zu", info->struct_size, INFO_V1);
    mmcl_status status = mmcl__trainer_run(trainer, until);
    if (info != NULL) {
        mmcl_status exported = mmcl__export(context, info, &trainer->info, sizeof trainer->info, INFO_V1, "mmcl_train_info");
        return status != MMCL_OK ? status : exported;
    }
    return status;
}

mmcl_status mmcl_trainer_get_info(const mmcl_trainer *trainer, mmcl_train_info *out)
{
    if (trainer == NULL || out == NULL)
        return MMCL_E_INVAL;
    return mmcl__export(NULL, out, &trainer->info, sizeof trainer->info, INFO_V1, "mmcl_train_info");
}

const mmcl_encoder *mmcl_trainer_average(const mmcl_trainer *trainer, uint32_t side)
{
    if (trainer == NULL || side > 1)
        return NULL;
    const mmcl__side *s = &trainer->sides[side];
    return s->average != NULL ? s->average : s->encoder;
}
