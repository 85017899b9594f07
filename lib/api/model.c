/* Edge of model.h: validate, import options, call. What it says on saving and loading: files.c. */
#include "model/model.h"

#include "linalg/matrix.h"

#include <string.h>

mmcl_status mmcl_model_create(mmcl_model **out, mmcl_context *context, const mmcl_model_options *options)
{
    mmcl_model_options ours;
    if (out == NULL || context == NULL)
        return MMCL_E_INVAL;
    *out = NULL;
    MMCL__TRY(mmcl__model_resolve(context, &ours, options));
    return mmcl__model_create(out, context, &ours, NULL);
}

void mmcl_model_destroy(mmcl_model *model)
{
    mmcl__model_destroy(model);
}

static double worst(const mmcl__mixing *mixing)
{
    double most = 1;
    for (size_t i = 0; i < mixing->layers; i++)
        most = MMCL__MAX(most, mixing->conditions[i]);
    return most;
}

mmcl_status mmcl_model_get_info(const mmcl_model *model, mmcl_model_info *out)
{
    if (model == NULL || out == NULL)
        return MMCL_E_INVAL;
    const mmcl_model_info info = {.latent      = model->options.latent,
                                  .private_x   = model->options.private_x,
                                  .private_t   = model->options.private_t,
                                  .width_x     = mmcl__model_width(model, MMCL_SIDE_X),
                                  .width_t     = mmcl__model_width(model, MMCL_SIDE_T),
                                  .layers      = model->mixing[0].layers,
                                  .condition_x = worst(&model->mixing[MMCL_SIDE_X]),
                                  .condition_t = worst(&model->mixing[MMCL_SIDE_T])};
    return mmcl__export(NULL, out, &info, sizeof info, MMCL__V1(mmcl_model_info, condition_t), "mmcl_model_info");
}

mmcl_status mmcl_model_get_options(const mmcl_model *model, mmcl_model_options *out)
{
    if (model == NULL || out == NULL)
        return MMCL_E_INVAL;
    return mmcl__export(NULL, out, &model->options, sizeof *out, MMCL__V1(mmcl_model_options, mixing), "mmcl_model_options");
}

static bool is_side(mmcl_side side)
{
    return side == MMCL_SIDE_X || side == MMCL_SIDE_T;
}

mmcl_status mmcl_model_layer(const mmcl_model *model, mmcl_side side, size_t layer, double *matrix, double *condition)
{
    if (model == NULL || !is_side(side) || layer >= model->mixing[side].layers)
        return MMCL_E_INVAL;
    const mmcl__mixing *mixing = &model->mixing[side];
    size_t              square = mixing->width * mixing->width;
    if (matrix != NULL)
        memcpy(matrix, mixing->matrices + layer * square, square * sizeof *matrix);
    if (condition != NULL)
        *condition = mixing->conditions[layer];
    return MMCL_OK;
}

mmcl_status mmcl_model_sample(const mmcl_model *model, uint64_t seed, uint64_t step, const mmcl_samples *out)
{
    mmcl_samples ours;
    if (model == NULL || out == NULL)
        return MMCL_E_INVAL;
    MMCL__TRY(mmcl__import(NULL, &ours, sizeof ours, MMCL__V1(mmcl_samples, first_row), out, "mmcl_samples"));
    if (ours.first_row > (uint64_t) 1 << 32 || ours.rows > ((uint64_t) 1 << 32) - ours.first_row)
        return MMCL_E_INVAL;
    return mmcl__model_sample(model, seed, step, &ours);
}

mmcl_status mmcl_model_mix(const mmcl_model *model, mmcl_side side, size_t rows, const float *z, const float *m, float *out)
{
    if (model == NULL || !is_side(side))
        return MMCL_E_INVAL;
    if (rows > 0 && (z == NULL || out == NULL || (m == NULL && mmcl__model_private(model, side) > 0)))
        return MMCL_E_INVAL;
    return mmcl__model_mix(model, side, rows, z, m, out);
}

mmcl_status mmcl_model_unmix(const mmcl_model *model, mmcl_side side, const mmcl_matrix *observations, float *z, float *m)
{
    if (model == NULL || !is_side(side))
        return MMCL_E_INVAL;
    MMCL__TRY(mmcl__matrix_check(NULL, observations, "observations"));
    if (observations->cols != mmcl__model_width(model, side))
        return MMCL_E_INVAL;
    return mmcl__model_unmix(model, side, observations, z, m);
}
