/* Edge of objective.h: validate, import options, call. */
#include "contrast/contrast.h"

#define OPTIONS_V1 MMCL__V1(mmcl_objective_options, reserved)

mmcl_status mmcl_objective_create(mmcl_objective **out, mmcl_context *context, const mmcl_objective_options *options)
{
    mmcl_objective_options ours;
    if (out == NULL || context == NULL)
        return MMCL_E_INVAL;
    *out = NULL;
    MMCL__TRY(mmcl__import(context, &ours, sizeof ours, OPTIONS_V1, options, "mmcl_objective_options"));
    return mmcl__objective_create(out, context, &ours);
}

void mmcl_objective_destroy(mmcl_objective *objective)
{
    mmcl__objective_destroy(objective);
}

mmcl_status mmcl_objective_get_options(const mmcl_objective *objective, mmcl_objective_options *out)
{
    if (objective == NULL || out == NULL)
        return MMCL_E_INVAL;
    return mmcl__export(NULL, out, mmcl__objective_options(objective), sizeof *out, OPTIONS_V1, "mmcl_objective_options");
}

mmcl_status mmcl_objective_evaluate(mmcl_objective *objective, const mmcl_objective_input *input,
                                    const mmcl_objective_output *output, mmcl_objective_info *info)
{
    mmcl_objective_input  in;
    mmcl_objective_output out;
    mmcl_objective_info   ours = {.struct_size = sizeof ours};
    if (objective == NULL)
        return MMCL_E_INVAL;
    mmcl_context *context = mmcl__objective_context(objective);
    if (input == NULL)
        return mmcl__fail(context, MMCL_E_INVAL, "input: NULL");
    MMCL__TRY(mmcl__import(context, &in, sizeof in, MMCL__V1(mmcl_objective_input, blocks), input, "mmcl_objective_input"));
    MMCL__TRY(mmcl__import(context, &out, sizeof out, MMCL__V1(mmcl_objective_output, dbias), output, "mmcl_objective_output"));
    if (info != NULL)
        MMCL__TRY(mmcl__export(context, info, &ours, sizeof ours, MMCL__V1(mmcl_objective_info, cached), "mmcl_objective_info"));
    MMCL__TRY(mmcl__objective_evaluate(objective, &in, &out, &ours));
    return info == NULL ? MMCL_OK
                        : mmcl__export(context, info, &ours, sizeof ours, MMCL__V1(mmcl_objective_info, cached), "mmcl_objective_info");
}
