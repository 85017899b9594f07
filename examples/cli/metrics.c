/* mmcl metrics: codes against the factors behind them. */
#include "memory.h"
#include "output.h"
#include "rows.h"
#include "session.h"
#include "svg.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HOLDOUT   0.5
#define RESAMPLES 200
#define REFITS    20 /* resamples that each train all trees anew */

typedef struct settings {
    common_settings common;
    const char     *codes, *factors, *plot;
    text_list       metrics;
    uint64_t        resamples, bins, rows;
    double          confidence, holdout;
    bool            in_sample, discrete;
} settings;

static const cli_option options[] = {
    {"codes", OPTION_TEXT, offsetof(settings, codes), "A", "array of codes: a row a sample, a column a code", NULL, 0, 0},
    {"factors", OPTION_TEXT, offsetof(settings, factors), "A", "array of the factors of the same samples", NULL, 0, 0},
    {"metric", OPTION_PARTS, offsetof(settings, metrics), "NAME[,NAME...]", "only these", NULL, 0, 0},
    {"resamples", OPTION_COUNT, offsetof(settings, resamples), "N", "bootstrap resamples behind low and high (200; 20 for\n"
     "                               disentanglement and completeness, which train anew in each)", NULL, 1, 1000000},
    {"confidence", OPTION_REAL, offsetof(settings, confidence), "P", "of the interval (0.95)", NULL, 0, 0},
    {"holdout", OPTION_REAL, offsetof(settings, holdout), "SHARE", "of the rows evaluates what the others fit, for metrics that fit (0.5)", NULL, 0, 0},
    {"in-sample", OPTION_FLAG, offsetof(settings, in_sample), NULL, "all rows fit and evaluate", NULL, 0, 0},
    {"bins", OPTION_COUNT, offsetof(settings, bins), "N", "of a column: mig, modularity, explicitness, factor_vae, irs (20)", NULL, 2, 65536},
    {"discrete", OPTION_FLAG, offsetof(settings, discrete), NULL, "factors are whole numbers that name classes: those, the DCI ones, sap", NULL, 0, 0},
    {"rows", OPTION_COUNT, offsetof(settings, rows), "N", "that metrics from disentanglement on look at, at most (10,000; factor_vae\n"
     "                               and irs 100,000; r2_kernel 2000)", NULL, 64, 1000000000},
    {"plot", OPTION_TEXT, offsetof(settings, plot), "F.svg", "draw |correlation| of codes and factors, codes in the order of the best match", NULL, 0, 0},
    {0},
};

typedef struct metric_name {
    const char      *name;
    const char      *text;
    mmcl_metric_kind kind;
    unsigned         takes;
} metric_name;

enum { FITS = 1, BINS = 2, CLASSES = 4, SAMPLES = 8, TRAINS = 16 };

static const metric_name metrics[] = {
    {"r2", "linear R2, mean over the factors", MMCL_METRIC_R2, FITS},
    {"mcc", "mean |correlation| of matched pairs", MMCL_METRIC_MCC, 0},
    {"mcc_spearman", "the same, of ranks", MMCL_METRIC_MCC_SPEARMAN, 0},
    {"mcc_weak", "the same, after the best linear map", MMCL_METRIC_MCC_WEAK, FITS},
    {"cca", "mean canonical correlation", MMCL_METRIC_CCA, 0},
    {"svcca", "the same, of the leading 99 % of variance", MMCL_METRIC_SVCCA, 0},
    {"cka", "linear centred kernel alignment", MMCL_METRIC_CKA, 0},
    {"cka_debiased", "the same, without bias for few rows", MMCL_METRIC_CKA_DEBIASED, 0},
    {"procrustes", "Procrustes disparity, 0 is best", MMCL_METRIC_PROCRUSTES, 0},
    {"orthogonality_defect", "of the map: 0 on spheres", MMCL_METRIC_ORTHOGONALITY_DEFECT, 0},
    {"permutation_defect", "of the map: 0 on convex bodies", MMCL_METRIC_PERMUTATION_DEFECT, 0},
    {"mig", "mutual information gap", MMCL_METRIC_MIG, BINS | CLASSES},
    {"modularity", "each code informs on one factor", MMCL_METRIC_MODULARITY, BINS | CLASSES},
    {"sap", "gap of squared correlations", MMCL_METRIC_SAP, 0},
    {"disentanglement", "DCI: each code serves one factor", MMCL_METRIC_DCI_DISENTANGLEMENT, CLASSES | SAMPLES | TRAINS},
    {"completeness", "DCI: each factor is in one code", MMCL_METRIC_DCI_COMPLETENESS, CLASSES | SAMPLES | TRAINS},
    {"informativeness", "DCI: how well trees predict the factors", MMCL_METRIC_DCI_INFORMATIVENESS, FITS | CLASSES | SAMPLES},
    {"explicitness", "area under the curve, by class; 0.5 is chance", MMCL_METRIC_EXPLICITNESS, FITS | BINS | CLASSES | SAMPLES},
    {"factor_vae", "FactorVAE score", MMCL_METRIC_FACTOR_VAE, BINS | CLASSES | SAMPLES},
    {"irs", "interventional robustness", MMCL_METRIC_IRS, BINS | CLASSES | SAMPLES},
    {"r2_kernel", "R2 of kernel ridge regression", MMCL_METRIC_R2_KERNEL, FITS | SAMPLES},
};

/* What `sap` is where factors are classes. */
static const metric_name sap_of_classes = {"sap", "gap of classes told right", MMCL_METRIC_SAP_DISCRETE, FITS | CLASSES | SAMPLES};

#define METRICS (sizeof metrics / sizeof *metrics)

typedef struct score {
    bool               asked, defined;
    mmcl_metric_result result;
    char               reason[256]; /* why it is undefined */
} score;

typedef struct run {
    cli_session    *session;
    const settings *settings;
    features        codes, factors;
    double         *whole; /* the factors, when they are integers; NULL otherwise */
    score           scores[METRICS];
    double          seconds;
} run;

static int choose(run *r)
{
    const char *names[METRICS + 1] = {0};
    for (size_t i = 0; i < METRICS; i++) {
        names[i]           = metrics[i].name;
        r->scores[i].asked = r->settings->metrics.count == 0;
    }
    for (size_t m = 0; m < r->settings->metrics.count; m++) {
        const char *name = r->settings->metrics.items[m];
        size_t      i    = 0;
        while (i < METRICS && strcmp(metrics[i].name, name) != 0)
            i++;
        if (i == METRICS) {
            const char *nearest = args_nearest(name, names);
            return terminal_fail(EXIT_USAGE, "--metric: unknown metric %s%s%s%s", name, nearest != NULL ? "; did you mean " : "",
                                 nearest != NULL ? nearest : "; mmcl help metrics lists them", nearest != NULL ? "?" : "");
        }
        r->scores[i].asked = true;
    }
    return EXIT_OK;
}

/* Integer factors become a matrix of floats. */
static int open_factors(run *r)
{
    const char     *name  = r->settings->factors;
    mmcl_array     *array = NULL;
    mmcl_array_info info  = {.struct_size = sizeof info};
    mmcl_status     status = mmcl_array_open(&array, r->session->context, name, NULL);
    if (status == MMCL_OK)
        status = mmcl_array_get_info(array, &info);
    bool whole = status == MMCL_OK && info.dtype >= MMCL_I8 && info.dtype <= MMCL_BOOL && (info.dimensions == 1 || info.dimensions == 2);
    if (whole) {
        size_t   count  = (size_t) info.elements;
        int64_t *labels = memory_array(count, sizeof *labels);
        r->whole        = memory_array(count, sizeof *r->whole);
        status          = mmcl_array_labels(array, labels, count);
        for (size_t i = 0; i < count; i++)
            r->whole[i] = (double) labels[i];
        free(labels);
        r->factors.view = (mmcl_matrix){.data  = r->whole,
                                        .rows  = (size_t) info.shape[0],
                                        .cols  = info.dimensions == 2 ? (size_t) info.shape[1] : 1,
                                        .dtype = MMCL_F64};
    }
    mmcl_array_destroy(array);
    if (status != MMCL_OK)
        return session_fail(r->session, status, name);
    return whole ? EXIT_OK : features_open(r->session, name, &r->factors);
}

static const metric_name *metric_of(const settings *s, size_t i)
{
    return metrics[i].kind == MMCL_METRIC_SAP && s->discrete ? &sap_of_classes : &metrics[i];
}

static mmcl_status evaluate(run *r, const metric_name *metric, score *out)
{
    const settings           *s       = r->settings;
    bool                      fits    = (metric->takes & FITS) != 0, bins = (metric->takes & BINS) != 0;
    uint64_t                  usual   = (metric->takes & TRAINS) != 0 ? REFITS : RESAMPLES;
    const mmcl_metric_options how = {.struct_size = sizeof how,
                                     .seed        = s->common.seed,
                                     .holdout     = !fits || s->in_sample ? 0 : s->holdout > 0 ? s->holdout : HOLDOUT,
                                     .confidence  = s->confidence,
                                     .resamples   = (uint32_t) (s->resamples > 0 ? s->resamples : usual),
                                     .bins        = bins ? (uint32_t) s->bins : 0,
                                     .discrete    = (metric->takes & CLASSES) != 0 && s->discrete,
                                     .most_rows   = (metric->takes & SAMPLES) != 0 ? s->rows : 0};
    out->result = (mmcl_metric_result){.struct_size = sizeof out->result};
    return mmcl_metric_evaluate(r->session->context, metric->kind, &r->codes.view, &r->factors.view, &how, &out->result, NULL);
}

/* Where all metrics are wanted, one that these arrays leave undefined does not stop the others; but something has to be defined. */
static int evaluate_all(run *r)
{
    size_t defined = 0;
    for (size_t i = 0; i < METRICS; i++) {
        score *s = &r->scores[i];
        if (!s->asked)
            continue;
        terminal_stage("%s", metrics[i].name);
        mmcl_status status  = evaluate(r, metric_of(r->settings, i), s);
        bool        excused = r->settings->metrics.count == 0 && (status == MMCL_E_NUMERIC || (status == MMCL_E_INVAL && defined > 0));
        s->defined          = status == MMCL_OK;
        defined += s->defined;
        if (status != MMCL_OK && !excused)
            return session_fail(r->session, status, metrics[i].name);
        if (status != MMCL_OK)
            snprintf(s->reason, sizeof s->reason, "%s", mmcl_context_message(r->session->context));
    }
    return defined > 0 ? EXIT_OK : terminal_fail(EXIT_ERROR, "%s", r->scores[0].reason);
}

static void write_json(const void *run_of, json_writer *out)
{
    const run *r = run_of;
    const settings *s = r->settings;
    session_open_json(r->session, out, "metrics");
    json_text(out, "codes", s->codes);
    json_text(out, "factors", s->factors);
    json_count(out, "rows", r->codes.view.rows);
    json_count(out, "columns", r->codes.view.cols);
    json_count(out, "factor_columns", r->factors.view.cols);
    json_real(out, "holdout", s->in_sample ? 0 : s->holdout > 0 ? s->holdout : HOLDOUT);
    json_count(out, "resamples", s->resamples > 0 ? s->resamples : RESAMPLES);
    json_real(out, "confidence", s->confidence > 0 ? s->confidence : 0.95);
    json_real(out, "seconds", r->seconds);
    for (size_t i = 0; i < METRICS; i++) {
        const score *one = &r->scores[i];
        if (!one->asked)
            continue;
        json_open_object(out, metrics[i].name);
        if (one->defined) {
            json_real(out, "value", one->result.value);
            json_real(out, "low", one->result.low);
            json_real(out, "high", one->result.high);
            json_count(out, "rows", one->result.rows);
            json_count(out, "resamples", one->result.resamples);
        } else {
            json_real(out, "value", NAN);
            json_text(out, "undefined", one->reason);
        }
        json_close(out);
    }
    json_close(out);
}

static void print_table(const run *r)
{
    printf("%-22s%8s%10s%10s\n", "metric", "value", "low", "high");
    for (size_t i = 0; i < METRICS; i++) {
        const score *s = &r->scores[i];
        if (s->asked && s->defined)
            printf("%-22s%8.4f%10.4f%10.4f  %s\n", metrics[i].name, s->result.value, s->result.low, s->result.high, metric_of(r->settings, i)->text);
        else if (s->asked)
            printf("%-22sundefined: %s\n", metrics[i].name, s->reason);
    }
}

/* ------------------------------------------------------------------------------------------------------------ plot --- */

#define MOST_DRAWN 512 /* codes or factors */

/* The code of each factor first, then those that no factor took. */
static void order_codes(const uint64_t *match, size_t codes, size_t factors, size_t *order)
{
    bool  *taken = memory_array(codes, sizeof *taken);
    size_t count = 0;
    for (size_t j = 0; j < factors; j++)
        if (match[j] < codes) {
            order[count++]  = (size_t) match[j];
            taken[match[j]] = true;
        }
    for (size_t i = 0; i < codes; i++)
        if (!taken[i])
            order[count++] = i;
    free(taken);
}

static void draw(FILE *file, const run *r, const double *correlation, const size_t *order, double mcc)
{
    size_t  k = r->codes.view.cols, d = r->factors.view.cols;
    double *shown = memory_array(k * d, sizeof *shown), side = 24 * (double) (k > d ? k : d), scale = side > 640 ? 640 / side : side < 240 ? 240 / side : 1;
    double  width = 24 * scale * (double) d, height = 24 * scale * (double) k;
    char    title[64];
    for (size_t i = 0; i < k * d; i++)
        shown[i] = fabs(correlation[order[i / d] * d + i % d]);
    snprintf(title, sizeof title, "|correlation| x 100, MCC %.3f", mcc);
    svg_open(file, width + 120, height + 110);
    svg_write_matrix(file, &(svg_matrix){.values = shown, .rows = k, .cols = d, .left = 60, .top = 50, .width = width, .height = height, .title = title,
                                         .row_label = "code, in the order of the match", .col_label = "factor"});
    fputs("</svg>\n", file);
    free(shown);
}

static int plot_correlations(run *r, text_output *plot)
{
    size_t k = r->codes.view.cols, d = r->factors.view.cols;
    if (plot->file == NULL)
        return EXIT_OK;
    if (k > MOST_DRAWN || d > MOST_DRAWN)
        return terminal_fail(EXIT_ERROR, "--plot: %zu codes and %zu factors; it draws at most %d of each", k, d, MOST_DRAWN);
    double                   *correlation = memory_array(k * d, sizeof *correlation);
    uint64_t                 *match       = memory_array(d, sizeof *match);
    size_t                   *order       = memory_array(k, sizeof *order);
    const mmcl_metric_details details     = {.struct_size = sizeof details, .matrix = correlation, .assignment = match};
    mmcl_metric_result        result      = {.struct_size = sizeof result};
    mmcl_status status = mmcl_metric_evaluate(r->session->context, MMCL_METRIC_MCC, &r->codes.view, &r->factors.view, NULL, &result, &details);
    if (status == MMCL_OK) {
        order_codes(match, k, d, order);
        draw(plot->file, r, correlation, order, result.value);
    }
    free(order);
    free(match);
    free(correlation);
    return status == MMCL_OK ? output_commit(plot) : session_fail(r->session, status, "--plot");
}

static int work(run *r, text_output *json, text_output *plot)
{
    TRY(choose(r));
    TRY(output_open(json, "json", r->settings->common.json));
    TRY(output_open(plot, "plot", r->settings->plot));
    TRY(features_open(r->session, r->settings->codes, &r->codes));
    TRY(open_factors(r));
    double begin = session_seconds();
    TRY(evaluate_all(r));
    r->seconds = session_seconds() - begin;
    terminal_clear();
    terminal_flush_notes();
    if (json->file != stdout)
        print_table(r);
    TRY(plot_correlations(r, plot));
    return output_json(json, write_json, r);
}

static int run_metrics(cli_session *session, const void *given, const text_list *operands)
{
    const settings *s = given;
    (void) operands;
    if (s->codes == NULL || s->factors == NULL)
        return terminal_fail(EXIT_USAGE, "%s A is needed", s->codes == NULL ? "--codes" : "--factors");
    if (s->holdout >= 1 || s->confidence >= 1)
        return terminal_fail(EXIT_USAGE, "%s: %g, expected below 1", s->holdout >= 1 ? "--holdout" : "--confidence",
                             s->holdout >= 1 ? s->holdout : s->confidence);
    if (s->common.json != NULL && s->plot != NULL && strcmp(s->common.json, s->plot) == 0)
        return terminal_fail(EXIT_USAGE, "two outputs have the same name: %s", s->plot);
    if (s->holdout > 0 && s->in_sample)
        return terminal_fail(EXIT_USAGE, "--holdout and --in-sample exclude each other");
    run         r    = {.session = session, .settings = s};
    text_output json = {0}, plot = {0};
    int         code = work(&r, &json, &plot);
    output_discard(&json);
    output_discard(&plot);
    features_close(&r.factors);
    free(r.whole);
    features_close(&r.codes);
    return code;
}

const cli_command metrics_command = {
    .name     = "metrics",
    .summary  = "how well codes tell the factors behind the data, with intervals",
    .synopsis = "--codes A --factors A [--metric NAME[,NAME...]] [--resamples N] [--plot F.svg] [--json FILE]",
    .text     = "Codes are what an encoder or a transform gives, factors what is known of the same samples, row by row. Without --metric all are\n"
                "measured: r2 mcc mcc_spearman mcc_weak cca svcca cka cka_debiased procrustes orthogonality_defect permutation_defect mig\n"
                "modularity sap disentanglement completeness informativeness explicitness factor_vae irs r2_kernel; one that these\n"
                "arrays leave undefined says why. low and high are a bootstrap interval.\n"
                "\n"
                "r2, mcc_weak, informativeness, explicitness, r2_kernel and, with --discrete, sap fit on half of the rows and are\n"
                "measured on the others. Leakage is r2 with the private latents as factors.",
    .example  = "mmcl metrics --codes codes.npy --factors latents.npz:z --metric r2,mcc",
    .options        = options,
    .settings_size  = sizeof(settings),
    .operands_least = 0,
    .operands_most  = 0,
    .operands       = "no operand",
    .run            = run_metrics,
};
