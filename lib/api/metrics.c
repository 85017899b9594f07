/* Edge of metrics.h: validate, import options, call. */
#include "linalg/matrix.h"
#include "metrics/metrics.h"

#define LEAST_ROWS 64 /* so that hardly any draw leaves too few */

static mmcl_status check(mmcl_context *context, const mmcl_matrix *codes, const mmcl_matrix *factors)
{
    MMCL__TRY(mmcl__matrix_check(context, codes, "codes"));
    MMCL__TRY(mmcl__matrix_check(context, factors, "factors"));
    if (codes->rows != factors->rows)
        return mmcl__fail(context, MMCL_E_INVAL, "factors: %zu rows, expected %zu as in codes", factors->rows, codes->rows);
    if (codes->rows < 3)
        return mmcl__fail(context, MMCL_E_INVAL, "codes: %zu rows, expected at least 3", codes->rows);
    return MMCL_OK;
}

static mmcl_status check_options(mmcl_context *context, mmcl_metric_kind kind, const mmcl_metric_options *options,
                                 const mmcl_metric_details *details)
{
    const mmcl__metric_kind *known = mmcl__metric_kind_of(kind);
    if (known == NULL)
        return mmcl__fail(context, MMCL_E_INVAL, "kind: %d is unknown", (int) kind);
    if (details->per_factor != NULL && (known->flags & MMCL__TAKES_PER_FACTOR) == 0)
        return mmcl__fail(context, MMCL_E_INVAL, "details: kind %d has nothing per_factor", (int) kind);
    if (details->matrix != NULL && (known->flags & MMCL__TAKES_MATRIX) == 0)
        return mmcl__fail(context, MMCL_E_INVAL, "details: kind %d has no matrix", (int) kind);
    if (details->assignment != NULL && (known->flags & MMCL__TAKES_ASSIGNMENT) == 0)
        return mmcl__fail(context, MMCL_E_INVAL, "details: kind %d has no assignment", (int) kind);
    if (!(options->holdout >= 0 && options->holdout < 1))
        return mmcl__fail(context, MMCL_E_INVAL, "holdout: %g, expected 0 to below 1", options->holdout);
    if (options->holdout > 0 && (known->flags & MMCL__TAKES_HOLDOUT) == 0)
        return mmcl__fail(context, MMCL_E_INVAL, "holdout: %g, but kind %d fits nothing that could be held from rows", options->holdout, (int) kind);
    if (options->holdout == 0 && (known->flags & MMCL__NEEDS_HOLDOUT) != 0)
        return mmcl__fail(context, MMCL_E_INVAL, "holdout: 0, expected a share of the rows: kind %d comes close to any row that it fits", (int) kind);
    if (options->bins != 0 && (known->flags & MMCL__TAKES_BINS) == 0)
        return mmcl__fail(context, MMCL_E_INVAL, "bins: %u, but kind %d has no bins", options->bins, (int) kind);
    if (options->discrete != 0 && (known->flags & MMCL__TAKES_DISCRETE) == 0)
        return mmcl__fail(context, MMCL_E_INVAL, "discrete: %u, but kind %d knows no classes", options->discrete, (int) kind);
    if (options->most_rows != 0 && known->most_rows == 0)
        return mmcl__fail(context, MMCL_E_INVAL, "most_rows: %llu, but kind %d takes all", (unsigned long long) options->most_rows, (int) kind);
    if (options->most_rows != 0 && options->most_rows < LEAST_ROWS)
        return mmcl__fail(context, MMCL_E_INVAL, "most_rows: %llu, expected at least %d", (unsigned long long) options->most_rows, LEAST_ROWS);
    if (options->bins == 1 || options->bins > 65536)
        return mmcl__fail(context, MMCL_E_INVAL, "bins: %u, expected 2 to 65536", options->bins);
    if (options->discrete > 1)
        return mmcl__fail(context, MMCL_E_INVAL, "discrete: %u, expected 0 or 1", options->discrete);
    if (!(options->confidence >= 0 && options->confidence < 1))
        return mmcl__fail(context, MMCL_E_INVAL, "confidence: %g, expected 0 to below 1", options->confidence);
    return MMCL_OK;
}

mmcl_status mmcl_metric_evaluate(mmcl_context *context, mmcl_metric_kind kind, const mmcl_matrix *codes, const mmcl_matrix *factors,
                                 const mmcl_metric_options *options, mmcl_metric_result *result, const mmcl_metric_details *details)
{
    mmcl_metric_options ours;
    mmcl_metric_details wanted;
    mmcl_metric_result  found = {.struct_size = sizeof found};
    if (context == NULL)
        return MMCL_E_INVAL;
    MMCL__TRY(mmcl__import(context, &ours, sizeof ours, MMCL__V1(mmcl_metric_options, reserved), options, "mmcl_metric_options"));
    MMCL__TRY(mmcl__import(context, &wanted, sizeof wanted, MMCL__V1(mmcl_metric_details, assignment), details, "mmcl_metric_details"));
    if (result == NULL)
        return mmcl__fail(context, MMCL_E_INVAL, "result: NULL");
    MMCL__CHECK_INFO(context, result, mmcl_metric_result, resamples);
    MMCL__TRY(check_options(context, kind, &ours, &wanted));
    MMCL__TRY(check(context, codes, factors));
    MMCL__TRY(mmcl__metric_evaluate(context, kind, codes, factors, &ours, &found, &wanted));
    return mmcl__export(context, result, &found, sizeof found, MMCL__V1(mmcl_metric_result, resamples), "mmcl_metric_result");
}
