#include "harness.h"

static mmcl_status metric(world *w, const char *argument)
{
    const mmcl_matrix   codes = fixture_rows(0), factors = fixture_read(w, 1);
    mmcl_metric_options options = {.struct_size = sizeof options, .holdout = 0.5};
    double              per_factor[COLS], value;
    mmcl_metric_details details = {.struct_size = sizeof details, .per_factor = per_factor};
    mmcl_status         status;
    (void) argument;
    TRY(w, CALL(mmcl_metric_evaluate)(w->context, MMCL_METRIC_R2, &codes, &factors, &options, &value, &details));
    harness_note(w, &value, sizeof value);
    TRY(w, CALL(mmcl_metric_evaluate)(w->context, MMCL_METRIC_MCC, &codes, &factors, NULL, &value, &details));
    harness_note(w, &value, sizeof value);
    harness_note(w, per_factor, sizeof per_factor);
end:
    return status;
}

const scenario scenarios_metrics[] = {
    {"r2 and mcc", metric, NULL},
    {0},
};
