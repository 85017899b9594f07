/* Edge of analysis.h: validate, import options, call. */
#include "analysis/analysis.h"

#include <string.h>

#define STEP_V1 MMCL__V1(mmcl_step_options, lbfgs_memory)

/* Resolved as a chain would have it: Picard to 1e-4 where the caller gives no step. */
static mmcl_status resolve_step(mmcl_context *context, const mmcl_step_options *given, mmcl_step_options *out)
{
    mmcl_step_options ours = {.struct_size = sizeof ours, .kind = MMCL_STEP_ICA, .algorithm = MMCL_ICA_PICARD, .tolerance = 1e-4};
    mmcl_transform   *chain;
    if (given != NULL)
        MMCL__TRY(mmcl__import(context, &ours, sizeof ours, STEP_V1, given, "mmcl_step_options"));
    if (ours.kind != MMCL_STEP_ICA)
        return mmcl__fail(context, MMCL_E_INVAL, "step: kind %d, expected an ICA step", (int) ours.kind);
    ours.start = NULL;
    MMCL__TRY(mmcl__transform_create(&chain, context));
    mmcl_status status = mmcl__transform_add(chain, &ours);
    if (status == MMCL_OK)
        *out = chain->steps[0].options;
    mmcl__transform_destroy(chain);
    return status;
}

static mmcl_status check_options(mmcl_context *context, mmcl_stability_options *options)
{
    if (options->runs == 0)
        options->runs = 20;
    if (options->runs < 2 || options->runs > MMCL__MOST_ITEMS)
        return mmcl__fail(context, MMCL_E_INVAL, "runs: %llu, expected 2 to %zu", (unsigned long long) options->runs, MMCL__MOST_ITEMS);
    if (options->bootstrap > 1)
        return mmcl__fail(context, MMCL_E_INVAL, "bootstrap: %u, expected 0 or 1", options->bootstrap);
    return MMCL_OK;
}

mmcl_status mmcl_stability_create(mmcl_stability **out, mmcl_context *context, const mmcl_matrix *parts, size_t n_parts,
                                  const mmcl_stability_options *options)
{
    mmcl_stability_options ours;
    mmcl_step_options      step;
    mmcl__rows             rows;
    if (out == NULL || context == NULL)
        return MMCL_E_INVAL;
    *out = NULL;
    MMCL__TRY(mmcl__import(context, &ours, sizeof ours, MMCL__V1(mmcl_stability_options, reserved), options, "mmcl_stability_options"));
    MMCL__TRY(check_options(context, &ours));
    MMCL__TRY(resolve_step(context, ours.step, &step));
    MMCL__TRY(mmcl__rows_open(context, &rows, parts, n_parts, "parts"));
    mmcl_status status = rows.rows == 0 ? mmcl__fail(context, MMCL_E_INVAL, "parts: no rows, expected at least one")
                                        : mmcl__stability_create(out, context, &rows, &ours, &step);
    mmcl__rows_close(context, &rows);
    return status;
}

void mmcl_stability_destroy(mmcl_stability *stability)
{
    mmcl__stability_destroy(stability);
}

mmcl_status mmcl_stability_get_info(const mmcl_stability *stability, mmcl_stability_info *out)
{
    if (stability == NULL || out == NULL)
        return MMCL_E_INVAL;
    return mmcl__export(NULL, out, &stability->info, sizeof stability->info, MMCL__V1(mmcl_stability_info, seconds), "mmcl_stability_info");
}

static size_t count_of(const mmcl_stability *s, mmcl_stability_field_kind field)
{
    switch (field) {
    case MMCL_STABILITY_INDEX:
    case MMCL_STABILITY_SIZE:    return s->k;
    case MMCL_STABILITY_MATRIX:  return s->k * s->cols;
    case MMCL_STABILITY_MEAN:    return s->cols;
    case MMCL_STABILITY_CLUSTER: return s->items;
    default:                     return 0;
    }
}

static void copy_field(const mmcl_stability *s, mmcl_stability_field_kind field, size_t count, double *out)
{
    if (field == MMCL_STABILITY_INDEX || field == MMCL_STABILITY_MEAN)
        memcpy(out, field == MMCL_STABILITY_INDEX ? s->index : s->mean, count * sizeof *out);
    for (size_t i = 0; i < count && field == MMCL_STABILITY_SIZE; i++)
        out[i] = (double) s->size[i];
    for (size_t i = 0; i < count && field == MMCL_STABILITY_CLUSTER; i++)
        out[i] = s->cluster[i];
    for (size_t c = 0; c < s->k && field == MMCL_STABILITY_MATRIX; c++)
        memcpy(out + c * s->cols, s->maps + s->centre[c] * s->cols, s->cols * sizeof *out);
}

mmcl_status mmcl_stability_field(const mmcl_stability *stability, mmcl_stability_field_kind field, double *out, size_t capacity,
                                 size_t *needed)
{
    if (stability == NULL)
        return MMCL_E_INVAL;
    size_t count = count_of(stability, field);
    if (count == 0)
        return MMCL_E_INVAL;
    if (needed != NULL)
        *needed = count;
    if (capacity == 0)
        return MMCL_OK;
    if (out == NULL || capacity < count)
        return MMCL_E_INVAL;
    copy_field(stability, field, count, out);
    return MMCL_OK;
}

mmcl_status mmcl_stability_transform(const mmcl_stability *stability, double least, mmcl_transform **out)
{
    if (out == NULL)
        return MMCL_E_INVAL;
    *out = NULL;
    return stability == NULL ? MMCL_E_INVAL : mmcl__stability_transform(stability, least, out);
}

/* ------------------------------------------------------------------------------------------------------- axes, how many --- */

static mmcl_status check_axes(mmcl_context *context, mmcl_axes_options *options)
{
    if (options->rotations == 0)
        options->rotations = 50;
    if (options->rotations < 2)
        return mmcl__fail(context, MMCL_E_INVAL, "rotations: 1, expected at least 2");
    if (!(options->holdout >= 0 && options->holdout < 1))
        return mmcl__fail(context, MMCL_E_INVAL, "holdout: %g, expected 0 to below 1", options->holdout);
    if (options->holdout == 0)
        options->holdout = 0.5;
    return MMCL_OK;
}

mmcl_status mmcl_axes_test(mmcl_context *context, const mmcl_matrix *parts, size_t n_parts, const mmcl_axes_options *options,
                           mmcl_axes_info *info)
{
    mmcl_axes_options ours;
    mmcl_step_options step;
    mmcl_axes_info    found = {.struct_size = sizeof found};
    mmcl__rows        rows;
    if (context == NULL)
        return MMCL_E_INVAL;
    MMCL__TRY(mmcl__import(context, &ours, sizeof ours, MMCL__V1(mmcl_axes_options, holdout), options, "mmcl_axes_options"));
    if (info == NULL)
        return mmcl__fail(context, MMCL_E_INVAL, "info: NULL");
    MMCL__CHECK_INFO(context, info, mmcl_axes_info, reserved);
    MMCL__TRY(check_axes(context, &ours));
    MMCL__TRY(resolve_step(context, ours.step, &step));
    MMCL__TRY(mmcl__rows_open(context, &rows, parts, n_parts, "parts"));
    mmcl_status status = rows.rows < 2 ? mmcl__fail(context, MMCL_E_INVAL, "parts: %zu rows, expected at least 2", rows.rows)
                                       : mmcl__axes_test(context, &rows, &ours, &step, &found);
    mmcl__rows_close(context, &rows);
    return status == MMCL_OK ? mmcl__export(context, info, &found, sizeof found, MMCL__V1(mmcl_axes_info, reserved), "mmcl_axes_info") : status;
}

static bool has_fixed_signs(const mmcl_step_options *step)
{
    return (step->algorithm == MMCL_ICA_PICARD || step->algorithm == MMCL_ICA_PICARD_FREE) && step->density != MMCL_DENSITY_AUTO;
}

mmcl_status mmcl_signs_test(mmcl_context *context, const mmcl_matrix *parts, size_t n_parts, const mmcl_signs_options *options,
                            mmcl_signs_info *info)
{
    mmcl_signs_options ours;
    mmcl_step_options  step;
    mmcl_signs_info    found = {.struct_size = sizeof found};
    mmcl__rows         rows;
    if (context == NULL)
        return MMCL_E_INVAL;
    MMCL__TRY(mmcl__import(context, &ours, sizeof ours, MMCL__V1(mmcl_signs_options, most_rows), options, "mmcl_signs_options"));
    if (info == NULL)
        return mmcl__fail(context, MMCL_E_INVAL, "info: NULL");
    MMCL__CHECK_INFO(context, info, mmcl_signs_info, advice);
    ours.margin    = ours.margin == 0 ? 1.5 : ours.margin;
    ours.most_rows = ours.most_rows == 0 ? 10000 : ours.most_rows;
    if (!(ours.margin >= 1))
        return mmcl__fail(context, MMCL_E_INVAL, "margin: %g, expected at least 1", ours.margin);
    MMCL__TRY(resolve_step(context, ours.step, &step));
    if (has_fixed_signs(&step))
        return mmcl__fail(context, MMCL_E_INVAL, "step: its signs are fixed, expected MMCL_DENSITY_AUTO");
    MMCL__TRY(mmcl__rows_open(context, &rows, parts, n_parts, "parts"));
    mmcl_status status = rows.rows == 0 ? mmcl__fail(context, MMCL_E_INVAL, "parts: no rows, expected at least one")
                                        : mmcl__signs_test(context, &rows, &ours, &step, &found);
    mmcl__rows_close(context, &rows);
    return status == MMCL_OK ? mmcl__export(context, info, &found, sizeof found, MMCL__V1(mmcl_signs_info, advice), "mmcl_signs_info") : status;
}

mmcl_status mmcl_parallel_analysis(const mmcl_moments *moments, const mmcl_parallel_options *options, uint64_t *components,
                                   double *eigenvalues, double *thresholds)
{
    mmcl_parallel_options ours;
    if (moments == NULL || components == NULL)
        return MMCL_E_INVAL;
    mmcl_context *context = moments->context;
    MMCL__TRY(mmcl__import(context, &ours, sizeof ours, MMCL__V1(mmcl_parallel_options, draws), options, "mmcl_parallel_options"));
    if (!(ours.quantile >= 0 && ours.quantile < 1))
        return mmcl__fail(context, MMCL_E_INVAL, "quantile: %g, expected 0 to below 1", ours.quantile);
    if (ours.draws > 1000)
        return mmcl__fail(context, MMCL_E_INVAL, "draws: %llu, expected at most 1000", (unsigned long long) ours.draws);
    if (moments->count == 0)
        return mmcl__fail(context, MMCL_E_STATE, "moments: of no rows");
    ours.quantile = ours.quantile == 0 ? 0.95 : ours.quantile;
    ours.draws    = ours.draws == 0 ? 20 : ours.draws;
    return mmcl__parallel_analysis(moments, &ours, components, eigenvalues, thresholds);
}

mmcl_status mmcl_retrieval(mmcl_context *context, const mmcl_matrix *x, const mmcl_matrix *t, mmcl_retrieval_info *info, double *ranks)
{
    mmcl_retrieval_info found = {.struct_size = sizeof found};
    if (context == NULL)
        return MMCL_E_INVAL;
    MMCL__TRY(mmcl__matrix_check(context, x, "x"));
    MMCL__TRY(mmcl__matrix_check(context, t, "t"));
    if (x->rows != t->rows || x->cols != t->cols)
        return mmcl__fail(context, MMCL_E_INVAL, "t: %zu rows of %zu columns, expected %zu of %zu as x has", t->rows, t->cols, x->rows, x->cols);
    if (x->rows == 0)
        return mmcl__fail(context, MMCL_E_INVAL, "x: no rows, expected at least one pair");
    if (info == NULL)
        return mmcl__fail(context, MMCL_E_INVAL, "info: NULL");
    MMCL__CHECK_INFO(context, info, mmcl_retrieval_info, mean_reciprocal_rank);
    MMCL__TRY(mmcl__retrieval(context, x, t, &found, ranks));
    return mmcl__export(context, info, &found, sizeof found, MMCL__V1(mmcl_retrieval_info, mean_reciprocal_rank), "mmcl_retrieval_info");
}
