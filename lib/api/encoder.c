/* Edge of encoder.h: validate, import options, call. */
#include "io/file.h"
#include "io/model.h"
#include "nn/encoder.h"

#define MAX_BATCH ((size_t) 1 << 24)

/* ------------------------------------------------------------------------------------------------------- encoders --- */

mmcl_status mmcl_encoder_create(mmcl_encoder **out, mmcl_context *context, const mmcl_encoder_options *options)
{
    mmcl_encoder_options ours;
    if (out == NULL || context == NULL)
        return MMCL_E_INVAL;
    *out = NULL;
    if (options == NULL)
        return mmcl__fail(context, MMCL_E_INVAL, "options: NULL, expected at least inputs and outputs");
    MMCL__TRY(mmcl__import(context, &ours, sizeof ours, MMCL__V1(mmcl_encoder_options, reserved), options, "mmcl_encoder_options"));
    return mmcl__encoder_create(out, context, &ours);
}

mmcl_status mmcl_encoder_create_host(mmcl_encoder **out, mmcl_context *context, const mmcl_host_encoder *host)
{
    mmcl_host_encoder ours;
    if (out == NULL || context == NULL)
        return MMCL_E_INVAL;
    *out = NULL;
    if (host == NULL)
        return mmcl__fail(context, MMCL_E_INVAL, "host: NULL");
    MMCL__TRY(mmcl__import(context, &ours, sizeof ours, MMCL__V1(mmcl_host_encoder, update), host, "mmcl_host_encoder"));
    return mmcl__encoder_create_host(out, context, &ours);
}

mmcl_status mmcl_encoder_clone(mmcl_encoder **out, const mmcl_encoder *encoder)
{
    if (out == NULL)
        return MMCL_E_INVAL;
    *out = NULL;
    return encoder != NULL ? mmcl__encoder_clone(out, encoder) : MMCL_E_INVAL;
}

void mmcl_encoder_destroy(mmcl_encoder *encoder)
{
    mmcl__encoder_destroy(encoder);
}

mmcl_status mmcl_encoder_shape(const mmcl_encoder *encoder, size_t *inputs, size_t *outputs)
{
    if (encoder == NULL)
        return MMCL_E_INVAL;
    if (inputs != NULL)
        *inputs = (size_t) encoder->options.inputs;
    if (outputs != NULL)
        *outputs = (size_t) encoder->options.outputs;
    return MMCL_OK;
}

mmcl_status mmcl_encoder_get_options(const mmcl_encoder *encoder, mmcl_encoder_options *out)
{
    if (encoder == NULL || out == NULL)
        return MMCL_E_INVAL;
    if (mmcl__encoder_is_host(encoder))
        return MMCL_E_UNSUPPORTED;
    return mmcl__export(NULL, out, &encoder->options, sizeof *out, MMCL__V1(mmcl_encoder_options, reserved), "mmcl_encoder_options");
}

/* Rows of the encoder's width: a host encoder without inputs takes any number of columns, for it does not look at them. */
static mmcl_status check_rows(mmcl_context *context, const mmcl_encoder *encoder, const mmcl_matrix *rows, const float *out,
                              size_t stride)
{
    size_t inputs = (size_t) encoder->options.inputs, outputs = (size_t) encoder->options.outputs;
    MMCL__TRY(mmcl__matrix_check(context, rows, "rows"));
    if (out == NULL)
        return mmcl__fail(context, MMCL_E_INVAL, "out: NULL");
    if (inputs > 0 && rows->cols != inputs)
        return mmcl__fail(context, MMCL_E_INVAL, "rows: %zu columns, expected %zu", rows->cols, inputs);
    if (stride != 0 && stride < outputs)
        return mmcl__fail(context, MMCL_E_INVAL, "out_stride: %zu, expected at least %zu", stride, outputs);
    return MMCL_OK;
}

mmcl_status mmcl_encoder_forward(const mmcl_encoder *encoder, const mmcl_matrix *rows, float *out, size_t out_stride)
{
    if (encoder == NULL)
        return MMCL_E_INVAL;
    MMCL__TRY(check_rows(NULL, encoder, rows, out, out_stride));
    return mmcl__encoder_forward(encoder, rows, out, out_stride != 0 ? out_stride : (size_t) encoder->options.outputs);
}

/* ----------------------------------------------------------------------------------------------------- parameters --- */

size_t mmcl_encoder_parameter_count(const mmcl_encoder *encoder)
{
    return encoder != NULL ? encoder->n_tensors : 0;
}

size_t mmcl_encoder_size(const mmcl_encoder *encoder)
{
    return encoder != NULL ? encoder->size : 0;
}

mmcl_status mmcl_encoder_parameter(const mmcl_encoder *encoder, size_t index, mmcl_parameter *out)
{
    if (encoder == NULL || out == NULL || index >= encoder->n_tensors)
        return MMCL_E_INVAL;
    const mmcl__tensor  *tensor    = &encoder->tensors[index];
    const mmcl_parameter parameter = {.struct_size = sizeof parameter,
                                      .name        = tensor->name,
                                      .data        = encoder->parameters + tensor->offset,
                                      .rows        = tensor->rows,
                                      .cols        = tensor->cols,
                                      .offset      = tensor->offset};
    return mmcl__export(NULL, out, &parameter, sizeof parameter, MMCL__V1(mmcl_parameter, offset), "mmcl_parameter");
}

static mmcl_status refuse_host(const mmcl_encoder *encoder)
{
    return mmcl__encoder_is_host(encoder)
               ? mmcl__fail(encoder->context, MMCL_E_UNSUPPORTED, "encoder: a host encoder has no parameters here")
               : MMCL_OK;
}

mmcl_status mmcl_encoder_compose(mmcl_encoder *encoder, const double *mean, const double *matrix)
{
    if (encoder == NULL)
        return MMCL_E_INVAL;
    MMCL__TRY(refuse_host(encoder));
    if (matrix == NULL)
        return mmcl__fail(encoder->context, MMCL_E_INVAL, "matrix: NULL");
    return mmcl__encoder_compose(encoder, mean, matrix);
}

mmcl_status mmcl_encoder_set_input(mmcl_encoder *encoder, const double *mean, const double *matrix)
{
    if (encoder == NULL)
        return MMCL_E_INVAL;
    MMCL__TRY(refuse_host(encoder));
    if (matrix == NULL)
        return mmcl__fail(encoder->context, MMCL_E_INVAL, "matrix: NULL");
    if (!encoder->options.input_map)
        return mmcl__fail(encoder->context, MMCL_E_STATE, "encoder: made without input_map");
    return mmcl__encoder_set_input(encoder, mean, matrix);
}

/* ----------------------------------------------------------------------------------------------- training by hand --- */

mmcl_status mmcl_workspace_create(mmcl_workspace **out, const mmcl_encoder *encoder, size_t rows)
{
    if (out == NULL)
        return MMCL_E_INVAL;
    *out = NULL;
    if (encoder == NULL)
        return MMCL_E_INVAL;
    MMCL__TRY(refuse_host(encoder));
    if (rows == 0 || rows > MAX_BATCH)
        return mmcl__fail(encoder->context, MMCL_E_INVAL, "rows: %zu, expected 1 to %zu", rows, MAX_BATCH);
    return mmcl__workspace_create(out, encoder, rows, false);
}

void mmcl_workspace_destroy(mmcl_workspace *workspace)
{
    mmcl__workspace_destroy(workspace);
}

mmcl_status mmcl_workspace_forward(mmcl_workspace *workspace, const mmcl_matrix *rows, float *out, size_t out_stride)
{
    if (workspace == NULL)
        return MMCL_E_INVAL;
    const mmcl_encoder *encoder = workspace->encoder;
    MMCL__TRY(check_rows(encoder->context, encoder, rows, out, out_stride));
    if (rows->rows == 0 || rows->rows > workspace->capacity)
        return mmcl__fail(encoder->context, MMCL_E_INVAL, "rows: %zu rows, expected 1 to %zu", rows->rows, workspace->capacity);
    return mmcl__workspace_forward(workspace, rows, out, out_stride != 0 ? out_stride : (size_t) encoder->options.outputs);
}

mmcl_status mmcl_workspace_backward(mmcl_workspace *workspace, const float *gradient, size_t stride, float *parameters,
                                    float *inputs)
{
    if (workspace == NULL)
        return MMCL_E_INVAL;
    mmcl_context *context = workspace->encoder->context;
    size_t        outputs = (size_t) workspace->encoder->options.outputs;
    if (gradient == NULL)
        return mmcl__fail(context, MMCL_E_INVAL, "gradient: NULL");
    if (stride != 0 && stride < outputs)
        return mmcl__fail(context, MMCL_E_INVAL, "stride: %zu, expected at least %zu", stride, outputs);
    if (workspace->rows == 0)
        return mmcl__fail(context, MMCL_E_STATE, "workspace: no forward yet");
    return mmcl__workspace_backward(workspace, gradient, stride != 0 ? stride : outputs, parameters, inputs);
}
