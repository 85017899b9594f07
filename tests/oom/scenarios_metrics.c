#include "harness.h"

static mmcl_status metric(world *w, const char *argument)
{
    const mmcl_matrix   codes = fixture_rows(0), factors = fixture_read(w, 1);
    double              per_factor[COLS];
    mmcl_metric_options options = {.struct_size = sizeof options, .holdout = 0.5};
    mmcl_metric_details details = {.struct_size = sizeof details, .per_factor = per_factor};
    mmcl_metric_result  result  = {.struct_size = sizeof result};
    mmcl_status         status;
    (void) argument;
    TRY(w, CALL(mmcl_metric_evaluate)(w->context, MMCL_METRIC_R2, &codes, &factors, &options, &result, &details));
    harness_note(w, &result, sizeof result);
    options = (mmcl_metric_options){.struct_size = sizeof options, .resamples = 3};
    for (mmcl_metric_kind kind = MMCL_METRIC_MCC; kind <= MMCL_METRIC_SAP; kind++) {
        TRY(w, CALL(mmcl_metric_evaluate)(w->context, kind, &codes, &factors, &options, &result, NULL));
        harness_note(w, &result, sizeof result);
    }
    harness_note(w, per_factor, sizeof per_factor);
end:
    return status;
}

const scenario scenarios_metrics[] = {
    {"every metric", metric, NULL},
    {0},
};
