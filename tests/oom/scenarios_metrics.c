#include "harness.h"

#include <string.h>

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

/* Metrics that keep rows in memory; FactorVAE's asks for 64 of a class. */
static mmcl_status estimator(world *w, const char *argument)
{
    enum { MANY = 200 };
    static double      codes[MANY * 2], classes[MANY * 2];
    const mmcl_matrix  x = {.data = codes, .rows = MANY, .cols = 2, .dtype = MMCL_F64};
    const mmcl_matrix  z = {.data = classes, .rows = MANY, .cols = 2, .dtype = MMCL_F64};
    mmcl_metric_result result = {.struct_size = sizeof result};
    mmcl_status        status;
    bool               trees  = strcmp(argument, "trees") == 0;
    for (int i = 0; i < MANY * 2; i++) {
        classes[i] = i % 2 == 0 ? i / 2 % 2 : i / 4 % 2;
        codes[i]   = classes[i] + 0.02 * (i * 37 % 101);
    }
    for (mmcl_metric_kind kind = MMCL_METRIC_DCI_DISENTANGLEMENT; kind <= MMCL_METRIC_SAP_DISCRETE; kind++) {
        bool holds = kind == MMCL_METRIC_DCI_INFORMATIVENESS || kind == MMCL_METRIC_EXPLICITNESS || kind >= MMCL_METRIC_R2_KERNEL;
        const mmcl_metric_options options = {.struct_size = sizeof options, .holdout = holds ? 0.5 : 0, .resamples = 1,
                                             .discrete    = kind != MMCL_METRIC_R2_KERNEL};
        if (trees != (kind <= MMCL_METRIC_DCI_INFORMATIVENESS))
            continue;
        TRY(w, CALL(mmcl_metric_evaluate)(w->context, kind, &x, &z, &options, &result, NULL));
        harness_note(w, &result, sizeof result);
    }
end:
    return status;
}

const scenario scenarios_metrics[] = {
    {"every metric", metric, NULL},
    {"metrics by trees", estimator, "trees"},
    {"metrics of rows in memory", estimator, "others"},
    {0},
};
