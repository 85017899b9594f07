/* The L2 probe: CoOp's search for C on val, or a given C. */
#include "classify/head_probe.h"

#include "classify/logreg.h"

#define TOLERANCE 1e-7

/* With a given C, or the default. */
static mmcl_status fit(mmcl__adapt *adapt, const mmcl_labelled *train, mmcl_classifier **out)
{
    const mmcl_adapt_options *given   = adapt->options;
    mmcl_adapt_info          *info    = adapt->info;
    mmcl_logreg_info          result  = {.struct_size = sizeof result};
    const mmcl_logreg_options options = {.struct_size = sizeof options, .c = given->c > 0 ? given->c : 1,
                                         .tolerance = given->tolerance > 0 ? given->tolerance : TOLERANCE,
                                         .max_iterations = given->max_iterations, .precision = given->precision};
    MMCL__TRY(mmcl__logreg_fit(out, adapt->context, train, adapt->classes, &options, NULL, &result));
    info->c          = result.c;
    info->objective  = result.objective;
    info->gap        = result.gap;
    info->iterations = result.iterations;
    info->stop       = result.stop;
    return MMCL_OK;
}

static mmcl_status search(mmcl__adapt *adapt, const mmcl_labelled *train, const mmcl_labelled *val, mmcl_classifier **out)
{
    const mmcl_adapt_options *given   = adapt->options;
    mmcl_search_info          result  = {.struct_size = sizeof result};
    const mmcl_search_options options = {.struct_size = sizeof options, .grid = mmcl__coop_grid, .grid_count = MMCL__COOP_GRID,
                                         .steps = MMCL__COOP_STEPS, .tolerance = given->tolerance > 0 ? given->tolerance : TOLERANCE,
                                         .max_iterations = given->max_iterations, .precision = given->precision};
    MMCL__TRY(mmcl__logreg_search(out, adapt->context, train, val, adapt->classes, &options, &result));
    adapt->info->c          = result.c;
    adapt->info->iterations = result.passes;
    adapt->info->stop       = MMCL_STOP_TOLERANCE;
    adapt->info->flags |= MMCL_ADAPT_PARAMETERS_ON_VAL;
    return MMCL_OK;
}

mmcl_status mmcl__probe_fit(mmcl__adapt *adapt, const float *train, const float *val, mmcl_classifier **out)
{
    const mmcl_labelled shots = {.features = {.data = train, .rows = adapt->train.rows, .cols = adapt->cols},
                                 .labels = adapt->data->train.labels};
    const mmcl_labelled rows  = {.features = {.data = val, .rows = adapt->val.rows, .cols = adapt->cols}, .labels = adapt->data->val.labels};
    if (adapt->options->c > 0 || adapt->val.rows == 0)
        return fit(adapt, &shots, out);
    return search(adapt, &shots, &rows, out);
}

mmcl_status mmcl__head_probe(mmcl__adapt *adapt, mmcl_classifier **out)
{
    mmcl_classifier *fitted;
    MMCL__TRY(mmcl__probe_fit(adapt, adapt->train.x, adapt->val.x, &fitted));
    mmcl_status status = mmcl__adapt_linear(adapt, fitted->weights, fitted->intercepts, out);
    mmcl__classifier_destroy(fitted);
    return status;
}
