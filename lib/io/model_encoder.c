/* Encoders in model files: the shape, then each tensor under its name. */
#include "io/model_parts.h"

#include <stdio.h>
#include <string.h>

/* Elements of "options" and "tuning": their order is the file's, and only ever grows at the end. */
enum { OPTION_ACTIVATION, OPTION_GEOMETRY, OPTION_LEARN_GEOMETRY, OPTION_RESIDUAL, OPTION_INPUT_MAP, OPTION_SEED, N_OPTIONS };
enum { TUNING_SLOPE, TUNING_GAIN, TUNING_RADIUS, TUNING_LOWER, TUNING_UPPER, N_TUNING };

typedef struct encoder_key {
    char text[64];
} encoder_key;

static encoder_key key_of(const char *prefix, const char *field)
{
    encoder_key key;
    snprintf(key.text, sizeof key.text, "%s%s", prefix, field);
    return key;
}

/* ---------------------------------------------------------------------------------------------------------- writing --- */

mmcl_status mmcl__model_put_vector(mmcl_writer *writer, const char *prefix, const mmcl_encoder *encoder, const float *vector)
{
    for (size_t i = 0; i < encoder->n_tensors; i++) {
        const mmcl__tensor *tensor  = &encoder->tensors[i];
        const uint64_t      shape[] = {tensor->rows, tensor->cols};
        MMCL__TRY(mmcl__writer_put(writer, key_of(prefix, tensor->name).text, MMCL_F32, 2, shape, vector + tensor->offset));
    }
    return MMCL_OK;
}

mmcl_status mmcl__model_put_encoder(mmcl_writer *writer, const char *prefix, const mmcl_encoder *encoder)
{
    const mmcl_encoder_options *options          = &encoder->options;
    const int64_t               whole[N_OPTIONS] = {
                      [OPTION_ACTIVATION]     = options->activation,
                      [OPTION_GEOMETRY]       = options->geometry,
                      [OPTION_LEARN_GEOMETRY] = options->learn_geometry,
                      [OPTION_RESIDUAL]       = options->residual,
                      [OPTION_INPUT_MAP]      = options->input_map,
                      [OPTION_SEED]           = (int64_t) options->seed,
    };
    const double tuning[N_TUNING] = {[TUNING_SLOPE]  = options->slope,
                                     [TUNING_GAIN]   = options->gain,
                                     [TUNING_RADIUS] = options->radius,
                                     [TUNING_LOWER]  = options->lower,
                                     [TUNING_UPPER]  = options->upper};
    const uint64_t n_widths = encoder->layers + 1;
    int64_t        widths[MMCL_MAX_HIDDEN + 2];
    for (size_t i = 0; i < n_widths; i++)
        widths[i] = (int64_t) encoder->widths[i];
    MMCL__TRY(mmcl__writer_put(writer, key_of(prefix, "widths").text, MMCL_I64, 1, &n_widths, widths));
    MMCL__TRY(mmcl__writer_put(writer, key_of(prefix, "options").text, MMCL_I64, 1, &(uint64_t){N_OPTIONS}, whole));
    MMCL__TRY(mmcl__writer_put(writer, key_of(prefix, "tuning").text, MMCL_F64, 1, &(uint64_t){N_TUNING}, tuning));
    return mmcl__model_put_vector(writer, prefix, encoder, encoder->parameters);
}

mmcl_status mmcl__encoder_save(const mmcl_encoder *encoder, const mmcl__model_target *target)
{
    mmcl_writer *writer;
    MMCL__TRY(mmcl__model_begin(&writer, encoder->context, "encoder", target));
    return mmcl__model_end(writer, target, mmcl__model_put_encoder(writer, "", encoder));
}

/* ---------------------------------------------------------------------------------------------------------- reading --- */

mmcl_status mmcl__model_take_vector(mmcl_archive *archive, const char *prefix, const mmcl_encoder *encoder, float *vector)
{
    for (size_t i = 0; i < encoder->n_tensors; i++) {
        const mmcl__tensor *tensor = &encoder->tensors[i];
        const encoder_key   key    = key_of(prefix, tensor->name);
        size_t              count  = tensor->rows * tensor->cols;
        mmcl_array         *array;
        MMCL__TRY(mmcl__model_array(&array, archive, key.text, MMCL_F32, 2));
        const uint64_t *shape  = array->layout.info.shape;
        mmcl_status     status = shape[0] == tensor->rows && shape[1] == tensor->cols
                                     ? mmcl__array_read(array, 0, count, vector + tensor->offset)
                                     : mmcl__model_damaged(archive, key.text, "has another shape than it should");
        mmcl__array_destroy(array);
        MMCL__TRY(status);
        if (!mmcl__convert()->finite_f32(count, vector + tensor->offset))
            return mmcl__model_damaged(archive, key.text, "holds NaN or infinity");
    }
    return MMCL_OK;
}

/* Widths into `widths` [MMCL_MAX_HIDDEN + 2]; *count of them. */
static mmcl_status take_widths(mmcl_archive *archive, const char *prefix, uint64_t *widths, size_t *count)
{
    const encoder_key key = key_of(prefix, "widths");
    int64_t           values[MMCL_MAX_HIDDEN + 2];
    mmcl_array       *array;
    MMCL__TRY(mmcl__model_array(&array, archive, key.text, MMCL_I64, 1));
    *count             = (size_t) array->layout.info.shape[0];
    mmcl_status status = *count >= 2 && *count <= MMCL_MAX_HIDDEN + 2
                             ? mmcl__array_read(array, 0, *count, values)
                             : mmcl__model_damaged(archive, key.text, "has too few or too many elements");
    mmcl__array_destroy(array);
    MMCL__TRY(status);
    for (size_t i = 0; i < *count; i++)
        widths[i] = (uint64_t) values[i];
    return MMCL_OK;
}

/* The tensors have to be there before their memory is taken: a small file must not ask for much. */
static mmcl_status check_tensor(mmcl_archive *archive, encoder_key key, uint64_t rows, uint64_t cols)
{
    mmcl_array *array;
    MMCL__TRY(mmcl__model_array(&array, archive, key.text, MMCL_F32, 2));
    const uint64_t *shape = array->layout.info.shape;
    bool            fits  = shape[0] == rows && shape[1] == cols;
    mmcl__array_destroy(array);
    return fits ? MMCL_OK : mmcl__model_damaged(archive, key.text, "has another shape than it should");
}

static mmcl_status check_present(mmcl_archive *archive, const char *prefix, const uint64_t *widths, size_t count, bool input_map)
{
    char field[32];
    if (input_map)
        MMCL__TRY(check_tensor(archive, key_of(prefix, "input/matrix"), widths[0], widths[0]));
    for (size_t i = 0; i + 1 < count; i++) {
        snprintf(field, sizeof field, "layer%zu/weight", i);
        MMCL__TRY(check_tensor(archive, key_of(prefix, field), widths[i + 1], widths[i]));
    }
    return MMCL_OK;
}

mmcl_status mmcl__model_take_encoder(mmcl_encoder **out, mmcl_archive *archive, const char *prefix)
{
    uint64_t          widths[MMCL_MAX_HIDDEN + 2];
    size_t            count;
    int64_t           whole[N_OPTIONS];
    double            tuning[N_TUNING];
    const encoder_key key = key_of(prefix, "options");
    MMCL__TRY(take_widths(archive, prefix, widths, &count));
    MMCL__TRY(mmcl__model_take(archive, key.text, MMCL_I64, N_OPTIONS, whole));
    MMCL__TRY(mmcl__model_take(archive, key_of(prefix, "tuning").text, MMCL_F64, N_TUNING, tuning));
    for (size_t i = 0; i < OPTION_SEED; i++)
        if (whole[i] < 0 || whole[i] > INT32_MAX)
            return mmcl__model_damaged(archive, key.text, "has a value out of range");
    MMCL__TRY(check_present(archive, prefix, widths, count, whole[OPTION_INPUT_MAP] != 0));
    const mmcl_encoder_options options = {.struct_size    = sizeof options,
                                          .hidden         = widths + 1,
                                          .hidden_count   = count - 2,
                                          .inputs         = widths[0],
                                          .outputs        = widths[count - 1],
                                          .seed           = (uint64_t) whole[OPTION_SEED],
                                          .slope          = tuning[TUNING_SLOPE],
                                          .gain           = tuning[TUNING_GAIN],
                                          .radius         = tuning[TUNING_RADIUS],
                                          .lower          = tuning[TUNING_LOWER],
                                          .upper          = tuning[TUNING_UPPER],
                                          .activation     = (mmcl_activation) whole[OPTION_ACTIVATION],
                                          .geometry       = (mmcl_geometry) whole[OPTION_GEOMETRY],
                                          .learn_geometry = (uint32_t) whole[OPTION_LEARN_GEOMETRY],
                                          .residual       = (uint32_t) whole[OPTION_RESIDUAL],
                                          .input_map      = (uint32_t) whole[OPTION_INPUT_MAP]};
    mmcl_encoder              *encoder = NULL;
    MMCL__TRY(mmcl__model_invalid(archive, mmcl__encoder_create(&encoder, archive->context, &options)));
    mmcl_status status = mmcl__model_take_vector(archive, prefix, encoder, encoder->parameters);
    if (status == MMCL_OK)
        *out = encoder;
    else
        mmcl__encoder_destroy(encoder);
    return status;
}

mmcl_status mmcl__encoder_load(mmcl_encoder **out, mmcl_context *context, const char *path, const mmcl_open_options *options)
{
    mmcl_archive *archive;
    MMCL__TRY(mmcl__model_open(&archive, context, path, options, "encoder"));
    mmcl_status status = mmcl__model_take_encoder(out, archive, "");
    mmcl__archive_destroy(archive);
    return status;
}
