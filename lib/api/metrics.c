/* Edge of metrics.h: validate, import options, call. */
#include "linalg/matrix.h"
#include "metrics/metrics.h"

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

mmcl_status mmcl_metric_evaluate(mmcl_context *context, mmcl_metric_kind kind, const mmcl_matrix *codes, const mmcl_matrix *factors,
                                 const mmcl_metric_options *options, double *value, const mmcl_metric_details *details)
{
    mmcl_metric_options ours;
    mmcl_metric_details wanted;
    double              result;
    if (context == NULL)
        return MMCL_E_INVAL;
    MMCL__TRY(mmcl__import(context, &ours, sizeof ours, MMCL__V1(mmcl_metric_options, holdout), options, "mmcl_metric_options"));
    MMCL__TRY(mmcl__import(context, &wanted, sizeof wanted, MMCL__V1(mmcl_metric_details, assignment), details, "mmcl_metric_details"));
    if (value == NULL)
        return mmcl__fail(context, MMCL_E_INVAL, "value: NULL");
    if (kind != MMCL_METRIC_R2 && kind != MMCL_METRIC_MCC)
        return mmcl__fail(context, MMCL_E_INVAL, "kind: %d is unknown", (int) kind);
    if (kind == MMCL_METRIC_R2 && (wanted.matrix != NULL || wanted.assignment != NULL))
        return mmcl__fail(context, MMCL_E_INVAL, "details: R2 has neither matrix nor assignment");
    if (!(ours.holdout >= 0 && ours.holdout < 1))
        return mmcl__fail(context, MMCL_E_INVAL, "holdout: %g, expected 0 to below 1", ours.holdout);
    if (kind == MMCL_METRIC_MCC && ours.holdout > 0)
        return mmcl__fail(context, MMCL_E_INVAL, "holdout: %g, but MCC fits nothing", ours.holdout);
    MMCL__TRY(check(context, codes, factors));
    MMCL__TRY(mmcl__metric(context, kind, codes, factors, &ours, &result, &wanted));
    *value = result;
    return MMCL_OK;
}
