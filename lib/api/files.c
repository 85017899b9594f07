/* Edge of what transform.h, classify.h, encoder.h, model.h and train.h say on saving and loading: validate, import options, call. */
#include "classify/classifier.h"
#include "io/file.h"
#include "io/model.h"
#include "model/model.h"
#include "nn/encoder.h"
#include "train/trainer.h"
#include "transform/transform.h"

static mmcl_status import_sink(mmcl_context *context, mmcl_sink *ours, const mmcl_sink *theirs)
{
    if (theirs == NULL)
        return mmcl__fail(context, MMCL_E_INVAL, "sink: NULL");
    MMCL__TRY(mmcl__import(context, ours, sizeof *ours, MMCL__V1(mmcl_sink, write), theirs, "mmcl_sink"));
    return ours->write != NULL ? MMCL_OK : mmcl__fail(context, MMCL_E_INVAL, "mmcl_sink: write is NULL");
}

mmcl_status mmcl_transform_save(const mmcl_transform *transform, const char *path)
{
    if (transform == NULL)
        return MMCL_E_INVAL;
    if (path == NULL)
        return mmcl__fail(transform->context, MMCL_E_INVAL, "path: NULL");
    return mmcl__transform_save(transform, &(mmcl__model_target){.path = path});
}

mmcl_status mmcl_transform_save_to(const mmcl_transform *transform, const mmcl_sink *sink)
{
    mmcl_sink ours;
    if (transform == NULL)
        return MMCL_E_INVAL;
    MMCL__TRY(import_sink(transform->context, &ours, sink));
    return mmcl__transform_save(transform, &(mmcl__model_target){.sink = &ours});
}

mmcl_status mmcl_pipeline_save(const mmcl_pipeline *pipeline, const char *path)
{
    if (pipeline == NULL)
        return MMCL_E_INVAL;
    if (path == NULL)
        return mmcl__fail(pipeline->context, MMCL_E_INVAL, "path: NULL");
    return mmcl__pipeline_save(pipeline, &(mmcl__model_target){.path = path});
}

mmcl_status mmcl_pipeline_save_to(const mmcl_pipeline *pipeline, const mmcl_sink *sink)
{
    mmcl_sink ours;
    if (pipeline == NULL)
        return MMCL_E_INVAL;
    MMCL__TRY(import_sink(pipeline->context, &ours, sink));
    return mmcl__pipeline_save(pipeline, &(mmcl__model_target){.sink = &ours});
}

mmcl_status mmcl_model_save(const mmcl_model *model, const char *path)
{
    if (model == NULL)
        return MMCL_E_INVAL;
    if (path == NULL)
        return mmcl__fail(model->context, MMCL_E_INVAL, "path: NULL");
    return mmcl__lpcm_save(model, &(mmcl__model_target){.path = path});
}

mmcl_status mmcl_model_save_to(const mmcl_model *model, const mmcl_sink *sink)
{
    mmcl_sink ours;
    if (model == NULL)
        return MMCL_E_INVAL;
    MMCL__TRY(import_sink(model->context, &ours, sink));
    return mmcl__lpcm_save(model, &(mmcl__model_target){.sink = &ours});
}

/* What all kinds of load check first. */
static mmcl_status check_load(const void *out, mmcl_context *context, const char *path, mmcl__open_options *ours,
                              const mmcl_open_options *options)
{
    if (out == NULL || path == NULL)
        return mmcl__fail(context, MMCL_E_INVAL, "%s: NULL", out == NULL ? "out" : "path");
    return mmcl__open_options_import(context, ours, options);
}

mmcl_status mmcl_transform_load(mmcl_transform **out, mmcl_context *context, const char *path, const mmcl_open_options *options)
{
    mmcl__open_options ours;
    if (out != NULL)
        *out = NULL;
    if (context == NULL)
        return MMCL_E_INVAL;
    MMCL__TRY(check_load(out, context, path, &ours, options));
    return mmcl__transform_load(out, context, path, &ours.options);
}

mmcl_status mmcl_pipeline_load(mmcl_pipeline **out, mmcl_context *context, const char *path, const mmcl_open_options *options)
{
    mmcl__open_options ours;
    if (out != NULL)
        *out = NULL;
    if (context == NULL)
        return MMCL_E_INVAL;
    MMCL__TRY(check_load(out, context, path, &ours, options));
    return mmcl__pipeline_load(out, context, path, &ours.options);
}

/* -------------------------------------------------------------------------------------------------------- encoders --- */

static mmcl_status check_saved(const mmcl_encoder *encoder)
{
    if (mmcl__encoder_is_host(encoder))
        return mmcl__fail(encoder->context, MMCL_E_UNSUPPORTED, "encoder: a host encoder cannot be saved");
    return mmcl__encoder_check(encoder, encoder->parameters, "encoder");
}

mmcl_status mmcl_encoder_save(const mmcl_encoder *encoder, const char *path)
{
    if (encoder == NULL)
        return MMCL_E_INVAL;
    if (path == NULL)
        return mmcl__fail(encoder->context, MMCL_E_INVAL, "path: NULL");
    MMCL__TRY(check_saved(encoder));
    return mmcl__encoder_save(encoder, &(mmcl__model_target){.path = path});
}

mmcl_status mmcl_encoder_save_to(const mmcl_encoder *encoder, const mmcl_sink *sink)
{
    mmcl_sink ours;
    if (encoder == NULL)
        return MMCL_E_INVAL;
    MMCL__TRY(import_sink(encoder->context, &ours, sink));
    MMCL__TRY(check_saved(encoder));
    return mmcl__encoder_save(encoder, &(mmcl__model_target){.sink = &ours});
}

mmcl_status mmcl_encoder_load(mmcl_encoder **out, mmcl_context *context, const char *path, const mmcl_open_options *options)
{
    mmcl__open_options ours;
    if (out != NULL)
        *out = NULL;
    if (context == NULL)
        return MMCL_E_INVAL;
    MMCL__TRY(check_load(out, context, path, &ours, options));
    return mmcl__encoder_load(out, context, path, &ours.options);
}

mmcl_status mmcl_model_load(mmcl_model **out, mmcl_context *context, const char *path, const mmcl_open_options *options)
{
    mmcl__open_options ours;
    if (out != NULL)
        *out = NULL;
    if (context == NULL)
        return MMCL_E_INVAL;
    MMCL__TRY(check_load(out, context, path, &ours, options));
    return mmcl__lpcm_load(out, context, path, &ours.options);
}

/* -------------------------------------------------------------------------------------------------------- training --- */

mmcl_status mmcl_trainer_save(const mmcl_trainer *trainer, const char *path)
{
    if (trainer == NULL)
        return MMCL_E_INVAL;
    if (path == NULL)
        return mmcl__fail(trainer->context, MMCL_E_INVAL, "path: NULL");
    return mmcl__trainer_save(trainer, &(mmcl__model_target){.path = path});
}

mmcl_status mmcl_trainer_save_to(const mmcl_trainer *trainer, const mmcl_sink *sink)
{
    mmcl_sink ours;
    if (trainer == NULL)
        return MMCL_E_INVAL;
    MMCL__TRY(import_sink(trainer->context, &ours, sink));
    return mmcl__trainer_save(trainer, &(mmcl__model_target){.sink = &ours});
}

mmcl_status mmcl_trainer_resume(mmcl_trainer *trainer, const char *path, const mmcl_open_options *options)
{
    mmcl__open_options ours;
    if (trainer == NULL)
        return MMCL_E_INVAL;
    MMCL__TRY(check_load(trainer, trainer->context, path, &ours, options));
    return mmcl__trainer_resume(trainer, path, &ours.options);
}
