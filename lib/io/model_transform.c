/* Chains in model files. */
#include "io/model_parts.h"

#include <stdio.h>

/* Elements of "options" and the like: their order is the file's, and only ever grows at the end. */
enum {
    OPTION_KIND,
    OPTION_COMPONENTS,
    OPTION_ALGORITHM,
    OPTION_CONTRAST,
    OPTION_DENSITY,
    OPTION_SCALE,
    OPTION_ORDER,
    OPTION_SIGN,
    OPTION_PRECISION,
    OPTION_CLIP,
    OPTION_START_SEED,
    OPTION_MAX_ITERATIONS,
    OPTION_LBFGS_MEMORY,
    N_OPTIONS
};
enum { TUNING_TOLERANCE, TUNING_ALPHA, N_TUNING };
enum { SHAPING_EXPONENT, SHAPING_SHRINKAGE, SHAPING_NEIGHBOURS, N_SHAPING }; /* of kinds above ICA alone */
enum { INFO_ROWS, INFO_INPUTS, INFO_COMPONENTS, INFO_RANK, INFO_ITERATIONS, INFO_PASSES, INFO_SUPER_GAUSSIAN, INFO_STOP, N_INFO };
enum { MEASURE_RESIDUAL, MEASURE_EXPLAINED, MEASURE_SECONDS, N_MEASURES };

/* A step's key such as "transform/step2/mean". */
typedef struct step_key {
    char text[64];
} step_key;

static step_key key_of(const char *prefix, size_t step, const char *field)
{
    step_key key;
    snprintf(key.text, sizeof key.text, "%sstep%zu/%s", prefix, step, field);
    return key;
}

/* ---------------------------------------------------------------------------------------------------------- writing --- */

static mmcl_status put_row(mmcl_writer *writer, step_key key, mmcl_dtype dtype, uint64_t count, const void *values)
{
    return mmcl__writer_put(writer, key.text, dtype, 1, &count, values);
}

static mmcl_status put_matrix(mmcl_writer *writer, step_key key, uint64_t rows, uint64_t cols, const double *values)
{
    const uint64_t shape[] = {rows, cols};
    return mmcl__writer_put(writer, key.text, MMCL_F64, 2, shape, values);
}

static mmcl_status put_options(mmcl_writer *writer, const char *prefix, size_t index, const mmcl_step_options *options)
{
    const int64_t whole[N_OPTIONS] = {
        [OPTION_KIND]           = options->kind,
        [OPTION_COMPONENTS]     = (int64_t) options->components,
        [OPTION_ALGORITHM]      = options->algorithm,
        [OPTION_CONTRAST]       = options->contrast,
        [OPTION_DENSITY]        = options->density,
        [OPTION_SCALE]          = options->scale,
        [OPTION_ORDER]          = options->order,
        [OPTION_SIGN]           = options->sign,
        [OPTION_PRECISION]      = options->precision,
        [OPTION_CLIP]           = options->clip_components,
        [OPTION_START_SEED]     = (int64_t) options->start_seed,
        [OPTION_MAX_ITERATIONS] = (int64_t) options->max_iterations,
        [OPTION_LBFGS_MEMORY]   = options->lbfgs_memory,
    };
    const double tuning[N_TUNING] = {[TUNING_TOLERANCE] = options->tolerance, [TUNING_ALPHA] = options->alpha};
    MMCL__TRY(put_row(writer, key_of(prefix, index, "options"), MMCL_I64, N_OPTIONS, whole));
    const double shaping[N_SHAPING] = {[SHAPING_EXPONENT]   = options->exponent,
                                       [SHAPING_SHRINKAGE]  = options->shrinkage,
                                       [SHAPING_NEIGHBOURS] = options->neighbours};
    MMCL__TRY(put_row(writer, key_of(prefix, index, "tuning"), MMCL_F64, N_TUNING, tuning));
    if (options->kind > MMCL_STEP_ICA)
        MMCL__TRY(put_row(writer, key_of(prefix, index, "shaping"), MMCL_F64, N_SHAPING, shaping));
    if (options->start == NULL)
        return MMCL_OK;
    return put_matrix(writer, key_of(prefix, index, "start"), options->components, options->components, options->start);
}

static mmcl_status put_info(mmcl_writer *writer, const char *prefix, size_t index, const mmcl_step_info *info)
{
    const int64_t whole[N_INFO] = {
        [INFO_ROWS]           = (int64_t) info->rows,
        [INFO_INPUTS]         = (int64_t) info->inputs,
        [INFO_COMPONENTS]     = (int64_t) info->components,
        [INFO_RANK]           = (int64_t) info->rank,
        [INFO_ITERATIONS]     = (int64_t) info->iterations,
        [INFO_PASSES]         = (int64_t) info->passes,
        [INFO_SUPER_GAUSSIAN] = (int64_t) info->super_gaussian,
        [INFO_STOP]           = info->stop,
    };
    const double measures[N_MEASURES] = {
        [MEASURE_RESIDUAL] = info->residual, [MEASURE_EXPLAINED] = info->explained_variance, [MEASURE_SECONDS] = info->seconds};
    MMCL__TRY(put_row(writer, key_of(prefix, index, "info"), MMCL_I64, N_INFO, whole));
    return put_row(writer, key_of(prefix, index, "measures"), MMCL_F64, N_MEASURES, measures);
}

static mmcl_status put_step(mmcl_writer *writer, const char *prefix, size_t index, const mmcl__step *step)
{
    uint64_t inputs = step->info.inputs, components = step->info.components;
    MMCL__TRY(put_options(writer, prefix, index, &step->options));
    MMCL__TRY(put_info(writer, prefix, index, &step->info));
    if (step->mean != NULL)
        MMCL__TRY(put_row(writer, key_of(prefix, index, "mean"), MMCL_F64, inputs, step->mean));
    if (step->matrix != NULL)
        MMCL__TRY(put_matrix(writer, key_of(prefix, index, "matrix"), components, inputs, step->matrix));
    if (step->variance != NULL)
        MMCL__TRY(put_row(writer, key_of(prefix, index, "variance"), MMCL_F64, components, step->variance));
    if (step->spectrum != NULL)
        MMCL__TRY(put_row(writer, key_of(prefix, index, "spectrum"), MMCL_F64, inputs, step->spectrum));
    if (step->weights != NULL)
        MMCL__TRY(put_row(writer, key_of(prefix, index, "weights"), MMCL_F64, components, step->weights));
    return MMCL_OK;
}

mmcl_status mmcl__model_put_transform(mmcl_writer *writer, const char *prefix, const mmcl_transform *transform)
{
    char          key[32];
    const int64_t columns[] = {(int64_t) transform->inputs, (int64_t) transform->outputs}, steps = (int64_t) transform->n_steps;
    snprintf(key, sizeof key, "%scolumns", prefix);
    MMCL__TRY(mmcl__writer_put(writer, key, MMCL_I64, 1, &(uint64_t){2}, columns));
    snprintf(key, sizeof key, "%ssteps", prefix);
    MMCL__TRY(mmcl__writer_put(writer, key, MMCL_I64, 1, &(uint64_t){1}, &steps));
    for (size_t i = 0; i < transform->n_steps; i++)
        MMCL__TRY(put_step(writer, prefix, i, &transform->steps[i]));
    return MMCL_OK;
}

/* ---------------------------------------------------------------------------------------------------------- reading --- */

static mmcl_status take_shaping(mmcl_archive *archive, const char *prefix, size_t index, mmcl_step_options *options)
{
    const step_key key = key_of(prefix, index, "shaping");
    double         shaping[N_SHAPING];
    MMCL__TRY(mmcl__model_take(archive, key.text, MMCL_F64, N_SHAPING, shaping));
    if (!(shaping[SHAPING_NEIGHBOURS] >= 0 && shaping[SHAPING_NEIGHBOURS] <= UINT32_MAX))
        return mmcl__model_damaged(archive, key.text, "has a value out of range");
    options->exponent   = shaping[SHAPING_EXPONENT];
    options->shrinkage  = shaping[SHAPING_SHRINKAGE];
    options->neighbours = (uint32_t) shaping[SHAPING_NEIGHBOURS];
    return MMCL_OK;
}

static mmcl_status take_options(mmcl_archive *archive, const char *prefix, size_t index, mmcl_step_options *options)
{
    const step_key key = key_of(prefix, index, "options");
    int64_t        whole[N_OPTIONS];
    double         tuning[N_TUNING];
    MMCL__TRY(mmcl__model_take(archive, key.text, MMCL_I64, N_OPTIONS, whole));
    MMCL__TRY(mmcl__model_take(archive, key_of(prefix, index, "tuning").text, MMCL_F64, N_TUNING, tuning));
    for (size_t i = 0; i < N_OPTIONS; i++)
        if (i != OPTION_MAX_ITERATIONS &&
            (whole[i] < 0 || whole[i] > UINT32_MAX || (i != OPTION_START_SEED && whole[i] > INT32_MAX)))
            return mmcl__model_damaged(archive, key.text, "has a value out of range");
    *options = (mmcl_step_options){
        .struct_size     = sizeof *options,
        .kind            = (mmcl_step_kind) whole[OPTION_KIND],
        .components      = (uint64_t) whole[OPTION_COMPONENTS],
        .algorithm       = (mmcl_ica_algorithm) whole[OPTION_ALGORITHM],
        .contrast        = (mmcl_ica_contrast) whole[OPTION_CONTRAST],
        .density         = (mmcl_ica_density) whole[OPTION_DENSITY],
        .scale           = (mmcl_ica_scale) whole[OPTION_SCALE],
        .order           = (mmcl_component_order) whole[OPTION_ORDER],
        .sign            = (mmcl_component_sign) whole[OPTION_SIGN],
        .precision       = (mmcl_precision) whole[OPTION_PRECISION],
        .clip_components = (uint32_t) whole[OPTION_CLIP],
        .start_seed      = (uint64_t) whole[OPTION_START_SEED],
        .max_iterations  = (uint64_t) whole[OPTION_MAX_ITERATIONS],
        .lbfgs_memory    = (uint32_t) whole[OPTION_LBFGS_MEMORY],
        .tolerance       = tuning[TUNING_TOLERANCE],
        .alpha           = tuning[TUNING_ALPHA],
    };
    if (options->components > MMCL_MAX_COLUMNS)
        return mmcl__model_damaged(archive, key.text, "has a value out of range");
    return options->kind > MMCL_STEP_ICA ? take_shaping(archive, prefix, index, options) : MMCL_OK;
}

/* Appends the step that is in the file, unfitted. */
static mmcl_status add_step(mmcl_transform *transform, mmcl_archive *archive, const char *prefix, size_t index)
{
    mmcl_step_options options;
    const step_key    key   = key_of(prefix, index, "start");
    double           *start = NULL;
    MMCL__TRY(take_options(archive, prefix, index, &options));
    size_t k = (size_t) options.components;
    if (mmcl__archive_find(archive, key.text) != NULL) {
        MMCL__TRY(mmcl__model_take_values(archive, key.text, 2, k, k, &start));
        options.start = start;
    }
    mmcl_status status = mmcl__transform_add(transform, &options);
    mmcl__free(archive->context, start, k * k, sizeof *start);
    return mmcl__model_invalid(archive, status);
}

static mmcl_status take_info(mmcl_archive *archive, const char *prefix, size_t index, mmcl_step_kind kind, mmcl_step_info *info)
{
    const step_key key = key_of(prefix, index, "info");
    int64_t        whole[N_INFO];
    double         measures[N_MEASURES];
    MMCL__TRY(mmcl__model_take(archive, key.text, MMCL_I64, N_INFO, whole));
    MMCL__TRY(mmcl__model_take(archive, key_of(prefix, index, "measures").text, MMCL_F64, N_MEASURES, measures));
    /* No step widens rows: with this, what folding the steps takes is bounded by the size of the file. */
    if (whole[INFO_INPUTS] < 1 || whole[INFO_INPUTS] > MMCL_MAX_COLUMNS || whole[INFO_COMPONENTS] < 1 ||
        whole[INFO_COMPONENTS] > whole[INFO_INPUTS] || whole[INFO_STOP] < MMCL_STOP_CLOSED_FORM ||
        whole[INFO_STOP] > MMCL_STOP_NO_PROGRESS)
        return mmcl__model_damaged(archive, key.text, "has a value out of range");
    *info = (mmcl_step_info){
        .struct_size        = sizeof *info,
        .kind               = kind,
        .rows               = (uint64_t) whole[INFO_ROWS],
        .inputs             = (uint64_t) whole[INFO_INPUTS],
        .components         = (uint64_t) whole[INFO_COMPONENTS],
        .rank               = (uint64_t) whole[INFO_RANK],
        .iterations         = (uint64_t) whole[INFO_ITERATIONS],
        .passes             = (uint64_t) whole[INFO_PASSES],
        .super_gaussian     = (uint64_t) whole[INFO_SUPER_GAUSSIAN],
        .stop               = (mmcl_stop_reason) whole[INFO_STOP],
        .residual           = measures[MEASURE_RESIDUAL],
        .explained_variance = measures[MEASURE_EXPLAINED],
        .seconds            = measures[MEASURE_SECONDS],
    };
    return MMCL_OK;
}

/* A field that only some kinds of step have. */
static mmcl_status take_field(mmcl_archive *archive, step_key key, uint32_t dimensions, size_t rows, size_t cols, double **out)
{
    if (mmcl__archive_find(archive, key.text) == NULL)
        return MMCL_OK;
    return mmcl__model_take_values(archive, key.text, dimensions, rows, cols, out);
}

/* Fills in what the fit of a step has found. */
static mmcl_status take_fit(mmcl_archive *archive, const char *prefix, size_t index, mmcl__step *step)
{
    mmcl_step_info info;
    MMCL__TRY(take_info(archive, prefix, index, step->options.kind, &info));
    step->info    = info; /* before the fields: the sizes tell how much there is to release */
    size_t inputs = (size_t) info.inputs, components = (size_t) info.components;
    MMCL__TRY(take_field(archive, key_of(prefix, index, "mean"), 1, inputs, 1, &step->mean));
    MMCL__TRY(take_field(archive, key_of(prefix, index, "matrix"), 2, components, inputs, &step->matrix));
    MMCL__TRY(take_field(archive, key_of(prefix, index, "variance"), 1, components, 1, &step->variance));
    MMCL__TRY(take_field(archive, key_of(prefix, index, "weights"), 1, components, 1, &step->weights));
    return take_field(archive, key_of(prefix, index, "spectrum"), 1, inputs, 1, &step->spectrum);
}

static mmcl_status take_chain(mmcl_transform *transform, mmcl_archive *archive, const char *prefix)
{
    char    columns_key[32], steps_key[32];
    int64_t columns[2], steps;
    snprintf(columns_key, sizeof columns_key, "%scolumns", prefix);
    snprintf(steps_key, sizeof steps_key, "%ssteps", prefix);
    MMCL__TRY(mmcl__model_take(archive, columns_key, MMCL_I64, 2, columns));
    MMCL__TRY(mmcl__model_take(archive, steps_key, MMCL_I64, 1, &steps));
    if (columns[0] < 1 || columns[0] > MMCL_MAX_COLUMNS || steps < 0 || steps > MMCL__MAX_STEPS)
        return mmcl__model_damaged(archive, steps < 0 || steps > MMCL__MAX_STEPS ? steps_key : columns_key,
                                   "has a value out of range");
    for (size_t i = 0; i < (size_t) steps; i++) {
        MMCL__TRY(add_step(transform, archive, prefix, i));
        MMCL__TRY(take_fit(archive, prefix, i, &transform->steps[i]));
    }
    MMCL__TRY(mmcl__model_invalid(archive, mmcl__transform_finish(transform, (size_t) columns[0])));
    return columns[1] == (int64_t) transform->outputs ? MMCL_OK
                                                      : mmcl__model_damaged(archive, columns_key, "does not fit the steps");
}

mmcl_status mmcl__model_take_transform(mmcl_transform **out, mmcl_archive *archive, const char *prefix)
{
    mmcl_transform *transform = NULL;
    MMCL__TRY(mmcl__transform_create(&transform, archive->context));
    mmcl_status status = take_chain(transform, archive, prefix);
    if (status == MMCL_OK)
        *out = transform;
    else
        mmcl__transform_destroy(transform);
    return status;
}
