/* Latent partial causal models in model files: resolved options, and the matrices of the mixings. */
#include "model/model.h"

#include "io/model_parts.h"

#include <stdio.h>

/* Elements of "options" and the like: their order is the file's, and only ever grows at the end. */
enum {
    OPTION_SPACE,
    OPTION_LATENT,
    OPTION_PRIVATE_X,
    OPTION_PRIVATE_T,
    OPTION_LAYERS,
    OPTION_MARGINAL,
    OPTION_COUPLING,
    OPTION_CENTER,
    OPTION_DIRECTION,
    OPTION_MIXING,
    OPTION_DRAWS,
    OPTION_SEED_X,
    OPTION_SEED_T,
    N_OPTIONS
};
enum {
    NUMBER_LOWER,
    NUMBER_UPPER,
    NUMBER_MARGINAL_SCALE,
    NUMBER_MARGINAL_BETA,
    NUMBER_COUPLING_SCALE,
    NUMBER_COUPLING_BETA,
    NUMBER_CORRELATION,
    NUMBER_DEPENDENCE,
    NUMBER_SLOPE,
    NUMBER_BOUND,
    N_NUMBERS
};

static const char *const mixing_keys[] = {"mixing_x", "mixing_t"};

/* ---------------------------------------------------------------------------------------------------------- writing --- */

static mmcl_status put_options(mmcl_writer *writer, const mmcl_model_options *o)
{
    const int64_t whole[N_OPTIONS] = {
        [OPTION_SPACE]     = o->space,
        [OPTION_LATENT]    = o->latent,
        [OPTION_PRIVATE_X] = o->private_x,
        [OPTION_PRIVATE_T] = o->private_t,
        [OPTION_LAYERS]    = o->layers,
        [OPTION_MARGINAL]  = o->marginal,
        [OPTION_COUPLING]  = o->coupling,
        [OPTION_CENTER]    = o->center,
        [OPTION_DIRECTION] = o->direction,
        [OPTION_MIXING]    = o->mixing,
        [OPTION_DRAWS]     = (int64_t) o->condition_draws,
        [OPTION_SEED_X]    = (int64_t) o->mixing_seed_x,
        [OPTION_SEED_T]    = (int64_t) o->mixing_seed_t,
    };
    const double numbers[N_NUMBERS] = {
        [NUMBER_LOWER]          = o->lower,
        [NUMBER_UPPER]          = o->upper,
        [NUMBER_MARGINAL_SCALE] = o->marginal_scale,
        [NUMBER_MARGINAL_BETA]  = o->marginal_beta,
        [NUMBER_COUPLING_SCALE] = o->coupling_scale,
        [NUMBER_COUPLING_BETA]  = o->coupling_beta,
        [NUMBER_CORRELATION]    = o->correlation,
        [NUMBER_DEPENDENCE]     = o->private_dependence,
        [NUMBER_SLOPE]          = o->slope,
        [NUMBER_BOUND]          = o->condition_bound,
    };
    MMCL__TRY(mmcl__writer_put(writer, "options", MMCL_I64, 1, &(uint64_t){N_OPTIONS}, whole));
    return mmcl__writer_put(writer, "numbers", MMCL_F64, 1, &(uint64_t){N_NUMBERS}, numbers);
}

static mmcl_status put_model(mmcl_writer *writer, const mmcl_model *model)
{
    MMCL__TRY(put_options(writer, &model->options));
    if (model->options.correlation == 0 && model->correlation != NULL) {
        const uint64_t shape[] = {model->options.latent, model->options.latent};
        MMCL__TRY(mmcl__writer_put(writer, "correlation", MMCL_F64, 2, shape, model->correlation));
    }
    for (int side = 0; side < 2; side++) {
        const mmcl__mixing *mixing  = &model->mixing[side];
        const uint64_t      shape[] = {mixing->layers * mixing->width, mixing->width};
        if (mixing->layers > 0)
            MMCL__TRY(mmcl__writer_put(writer, mixing_keys[side], MMCL_F64, 2, shape, mixing->matrices));
    }
    return MMCL_OK;
}

mmcl_status mmcl__lpcm_save(const mmcl_model *model, const mmcl__model_target *target)
{
    mmcl_writer *writer;
    MMCL__TRY(mmcl__model_begin(&writer, model->context, "lpcm", target));
    return mmcl__model_end(writer, target, put_model(writer, model));
}

/* ---------------------------------------------------------------------------------------------------------- reading --- */

/* Zero stands for a default where options are resolved, but never in a file. */
static mmcl_status check_whole(mmcl_archive *archive, const int64_t whole[N_OPTIONS])
{
    for (int i = 0; i < OPTION_DRAWS; i++)
        if (whole[i] < 0 || whole[i] > INT32_MAX)
            return mmcl__model_damaged(archive, "options", "has a value out of range");
    if (whole[OPTION_LATENT] == 0 || whole[OPTION_LAYERS] == 0 || whole[OPTION_MARGINAL] == 0 || whole[OPTION_COUPLING] == 0 ||
        whole[OPTION_DRAWS] <= 0)
        return mmcl__model_damaged(archive, "options", "has a value out of range");
    return MMCL_OK;
}

static mmcl_status take_options(mmcl_archive *archive, mmcl_model_options *o)
{
    int64_t whole[N_OPTIONS];
    double  numbers[N_NUMBERS];
    MMCL__TRY(mmcl__model_take(archive, "options", MMCL_I64, N_OPTIONS, whole));
    MMCL__TRY(mmcl__model_take(archive, "numbers", MMCL_F64, N_NUMBERS, numbers));
    MMCL__TRY(check_whole(archive, whole));
    *o = (mmcl_model_options){
        .struct_size        = sizeof *o,
        .space              = (mmcl_space) whole[OPTION_SPACE],
        .latent             = (uint32_t) whole[OPTION_LATENT],
        .private_x          = (uint32_t) whole[OPTION_PRIVATE_X],
        .private_t          = (uint32_t) whole[OPTION_PRIVATE_T],
        .layers             = (uint32_t) whole[OPTION_LAYERS],
        .marginal           = (mmcl_distribution) whole[OPTION_MARGINAL],
        .coupling           = (mmcl_distribution) whole[OPTION_COUPLING],
        .center             = (mmcl_marginal_center) whole[OPTION_CENTER],
        .direction          = (mmcl_direction) whole[OPTION_DIRECTION],
        .mixing             = (mmcl_mixing_kind) whole[OPTION_MIXING],
        .condition_draws    = (uint64_t) whole[OPTION_DRAWS],
        .mixing_seed_x      = (uint64_t) whole[OPTION_SEED_X],
        .mixing_seed_t      = (uint64_t) whole[OPTION_SEED_T],
        .lower              = numbers[NUMBER_LOWER],
        .upper              = numbers[NUMBER_UPPER],
        .marginal_scale     = numbers[NUMBER_MARGINAL_SCALE],
        .marginal_beta      = numbers[NUMBER_MARGINAL_BETA],
        .coupling_scale     = numbers[NUMBER_COUPLING_SCALE],
        .coupling_beta      = numbers[NUMBER_COUPLING_BETA],
        .correlation        = numbers[NUMBER_CORRELATION],
        .private_dependence = numbers[NUMBER_DEPENDENCE],
        .slope              = numbers[NUMBER_SLOPE],
        .condition_bound    = numbers[NUMBER_BOUND],
    };
    return MMCL_OK;
}

static mmcl_status take_mixing(mmcl_archive *archive, mmcl_side side, const mmcl_model_options *o, mmcl__mixing *out)
{
    size_t  width  = o->latent + (side == MMCL_SIDE_X ? o->private_x : o->private_t);
    size_t  layers = o->mixing == MMCL_MIXING_MLP ? o->layers : 0;
    double *values = NULL;
    if (layers > 0) /* before memory of this size is taken: the file has to have it */
        MMCL__TRY(mmcl__model_take_values(archive, mixing_keys[side], 2, layers * width, width, &values));
    mmcl_status status = mmcl__mixing_create(out, archive->context, width, layers, o->slope);
    for (size_t i = 0; i < layers * width * width && status == MMCL_OK; i++)
        out->matrices[i] = values[i];
    mmcl__free(archive->context, values, layers * width * width, sizeof *values);
    return status;
}

static mmcl_status take_model(mmcl_model **out, mmcl_archive *archive)
{
    mmcl_model_options stored, options;
    mmcl__mixing       mixing[2]   = {{0}, {0}};
    double            *correlation = NULL;
    MMCL__TRY(take_options(archive, &stored));
    MMCL__TRY(mmcl__model_invalid(archive, mmcl__model_resolve(archive->context, &options, &stored)));
    size_t      n      = options.latent;
    mmcl_status status = MMCL_OK;
    if (mmcl__archive_find(archive, "correlation") != NULL)
        status = mmcl__model_take_values(archive, "correlation", 2, n, n, &correlation);
    stored.correlation_matrix = correlation;
    if (status == MMCL_OK)
        status = mmcl__model_invalid(archive, mmcl__model_resolve(archive->context, &options, &stored));
    for (int side = 0; side < 2 && status == MMCL_OK; side++)
        status = take_mixing(archive, side, &options, &mixing[side]);
    if (status == MMCL_OK)
        status = mmcl__model_invalid(archive, mmcl__model_create(out, archive->context, &options, mixing));
    for (int side = 0; side < 2; side++)
        mmcl__mixing_destroy(&mixing[side]);
    mmcl__free(archive->context, correlation, n * n, sizeof *correlation);
    return status;
}

mmcl_status mmcl__lpcm_load(mmcl_model **out, mmcl_context *context, const char *path, const mmcl_open_options *options)
{
    mmcl_archive *archive;
    MMCL__TRY(mmcl__model_open(&archive, context, path, options, "lpcm"));
    mmcl_status status = take_model(out, archive);
    mmcl__archive_destroy(archive);
    return status;
}
