/* mmcl analyse: how many components features have, whether there are axes to find, how stable they are, and what follows. */
#include "analyse.h"

#include "memory.h"
#include "output.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MOST_COMPONENTS 128 /* that are analysed without --components: time grows with their square */
#define HELD            0.9 /* share of the variance that whitening is recommended for: the rest is many directions that hold little */
#define AXES_SCORE      4   /* above it there are axes */
#define FLAT            1.5 /* largest over smallest variance of components that need no whitening */

typedef struct settings {
    common_settings common;
    const char     *report, *classes;
    uint64_t        components, runs;
    double          tolerance;
    bool            bootstrap;
} settings;

static const cli_option options[] = {
    {"components", OPTION_COUNT, offsetof(settings, components), "K", "of the ICA (default: below, at most 128)", NULL, 2, 4096},
    {"runs", OPTION_COUNT, offsetof(settings, runs), "N", "of the ICA, for the stability (default: 10)", NULL, 2, 1000},
    {"tolerance", OPTION_REAL, offsetof(settings, tolerance), "X", "at which a run of the ICA stops, on the gradient (default: 1e-4)", NULL, 0, 0},
    {"bootstrap", OPTION_FLAG, offsetof(settings, bootstrap), NULL, "each run sees rows drawn with replacement", NULL, 0, 0},
    {"classes", OPTION_TEXT, offsetof(settings, classes), "DATA", "tell components by the class means of a few-shot data set (its val rows)", NULL, 0, 0},
    {"report", OPTION_TEXT, offsetof(settings, report), "F.html", "write a page with pictures", NULL, 0, 0},
    {0},
};

/* ------------------------------------------------------------------------------------------------------------ parts --- */

static int count_components(analysis *a)
{
    mmcl_moments *moments = NULL;
    size_t        cols    = a->rows.view.cols;
    a->spectrum           = memory_array(cols, sizeof *a->spectrum);
    a->thresholds         = memory_array(cols, sizeof *a->thresholds);
    const mmcl_parallel_options how = {.struct_size = sizeof how, .seed = a->session->common->seed};
    terminal_stage("components that stand out");
    mmcl_status status = mmcl_moments_create(&moments, a->session->context, cols);
    if (status == MMCL_OK)
        status = mmcl_moments_update(moments, &a->rows.view);
    if (status == MMCL_OK)
        status = mmcl_parallel_analysis(moments, &how, &a->standing, a->spectrum, a->thresholds);
    mmcl_moments_destroy(moments);
    return status == MMCL_OK ? EXIT_OK : session_fail(a->session, status, a->rows.name);
}

/*
 * How many leading directions lie above a noise floor: direction k is noise when it and those after it spread no more than as many rows
 * of white noise would, whose largest variance is near its mean times (1 + sqrt(directions / rows))^2 (Marchenko and Pastur 1967).
 */
static size_t above_noise(const double *spectrum, size_t cols, size_t rows)
{
    double rest = 0;
    for (size_t k = 0; k < cols; k++)
        rest += spectrum[k];
    for (size_t k = 0; k < cols; k++) {
        double left = (double) (cols - k), edge = rest / left * pow(1 + sqrt(left / (double) rows), 2);
        if (spectrum[k] <= edge)
            return k;
        rest -= spectrum[k];
    }
    return cols;
}

static size_t holding(const double *spectrum, size_t cols, double share)
{
    double sum = 0, held = 0;
    size_t k   = 0;
    for (size_t i = 0; i < cols; i++)
        sum += spectrum[i];
    while (k < cols && held < share * sum)
        held += spectrum[k++];
    return k;
}

/* At least those that stand out of unrelated columns; up to a share of the variance, as far as there is more than noise. */
static void choose_components(analysis *a, const settings *s)
{
    size_t cols = a->rows.view.cols;
    a->signal   = above_noise(a->spectrum, cols, a->rows.view.rows);
    a->held     = holding(a->spectrum, cols, HELD);
    uint64_t least = a->signal < a->held ? a->signal : a->held;
    a->wanted      = s->components > 0 ? s->components : a->standing > least ? a->standing : least;
    a->components  = s->components > 0 || a->wanted < MOST_COMPONENTS ? a->wanted : MOST_COMPONENTS;
}

static int find_axes(analysis *a, const settings *s)
{
    mmcl_step_options ica = {.struct_size = sizeof ica, .kind = MMCL_STEP_ICA, .components = a->components,
                             .algorithm = MMCL_ICA_PICARD, .tolerance = s->tolerance > 0 ? s->tolerance : 1e-4};
    if (a->unit_rows == a->rows.view.rows)
        TRY(signs_run(a->session, &a->rows.view, 1, &ica, a->rows.name, &a->signs));
    if (a->signs.done)
        ica.density = a->signs.info.advice;
    const mmcl_axes_options      axes   = {.struct_size = sizeof axes, .step = &ica, .seed = a->session->common->seed};
    const mmcl_stability_options repeat = {.struct_size = sizeof repeat, .step = &ica, .seed = a->session->common->seed,
                                           .runs = s->runs > 0 ? s->runs : 10, .bootstrap = s->bootstrap};
    mmcl_stability *stability = NULL;
    a->axes      = (mmcl_axes_info){.struct_size = sizeof a->axes};
    a->stability = (mmcl_stability_info){.struct_size = sizeof a->stability};
    a->index     = memory_array(a->components, sizeof *a->index);
    terminal_stage("axes against random rotations");
    mmcl_status status = mmcl_axes_test(a->session->context, &a->rows.view, 1, &axes, &a->axes);
    terminal_stage("stability of components");
    if (status == MMCL_OK)
        status = mmcl_stability_create(&stability, a->session->context, &a->rows.view, 1, &repeat);
    if (status == MMCL_OK)
        status = mmcl_stability_get_info(stability, &a->stability);
    if (status == MMCL_OK)
        status = mmcl_stability_field(stability, MMCL_STABILITY_INDEX, a->index, a->components, NULL);
    int code = status == MMCL_OK ? EXIT_OK : session_fail(a->session, status, a->rows.name);
    if (code == EXIT_OK && s->classes != NULL)
        code = analyse_classes(a, stability, s->classes);
    mmcl_stability_destroy(stability);
    return code;
}

/* What the evidence speaks for. */
static void recommend(analysis *a)
{
    bool        unit = a->unit_rows == a->rows.view.rows, flat = a->spectrum[0] < FLAT * a->spectrum[a->wanted - 1];
    const char *tail = unit ? "+normalize" : "";
    const char *signs = signs_advice(&a->signs);
    if (signs != NULL) {
        a->advice = memory_format("ica:%llu:picard:%s%s", (unsigned long long) a->wanted, signs, tail);
        a->reason = "axes of fixed signs stand out against random rotations; ICA that chooses the signs itself does not find them on rows of norm 1";
    } else if (a->axes.score > AXES_SCORE) {
        a->advice = memory_format("ica:%llu%s", (unsigned long long) a->wanted, tail);
        a->reason = "axes that ICA found on half of the rows stand out on the other half against random rotations and against principal axes";
    } else if (!flat) {
        a->advice = memory_format("whiten:%llu%s", (unsigned long long) a->wanted, tail);
        a->reason = "no axes stand out against rotations, so ICA would add nothing to whitening; the components' variances differ";
    } else {
        a->advice = memory_text("raw");
        a->reason = "no axes stand out against rotations, and the components' variances are alike, so there is nothing to whiten";
    }
}

static int analyse_rows(analysis *a, const settings *s)
{
    TRY(count_components(a)); /* which also says where a row holds NaN */
    TRY(signs_unit_rows(a->session, &a->rows, &a->unit_rows));
    if (s->components > a->rows.view.cols)
        return terminal_fail(EXIT_ERROR, "--components %llu: %s has %zu columns", (unsigned long long) s->components, a->rows.name, a->rows.view.cols);
    choose_components(a, s);
    if (a->components < 2)
        return terminal_fail(EXIT_ERROR, "%s: %llu components stand out of unrelated columns, and two are needed; --components K asks for K", a->rows.name,
                             (unsigned long long) a->components);
    TRY(find_axes(a, s));
    recommend(a);
    return EXIT_OK;
}

/* ---------------------------------------------------------------------------------------------------------- outputs --- */

static void write_json(const void *given, json_writer *out)
{
    const analysis *a = given;
    session_open_json(a->session, out, "analyse");
    json_text(out, "features", a->rows.name);
    json_count(out, "rows", a->rows.view.rows);
    json_count(out, "columns", a->rows.view.cols);
    json_count(out, "unit_rows", a->unit_rows);
    json_count(out, "standing_out", a->standing);
    json_count(out, "above_noise", a->signal);
    json_count(out, "hold_90_percent", a->held);
    json_count(out, "components", a->components);
    json_text(out, "recommendation", a->advice);
    json_text(out, "reason", a->reason);
    signs_json(&a->signs, out);
    json_open_object(out, "axes");
    json_real(out, "score", a->axes.score);
    json_real(out, "contrast", a->axes.contrast);
    json_real(out, "principal", a->axes.principal);
    json_real(out, "random_mean", a->axes.random_mean);
    json_real(out, "random_deviation", a->axes.random_deviation);
    json_flag(out, "converged", a->axes.converged != 0);
    json_close(out);
    json_open_object(out, "stability");
    json_count(out, "runs", a->stability.runs);
    json_count(out, "converged", a->stability.converged);
    json_count(out, "passes", a->stability.passes);
    json_real(out, "seconds", a->stability.seconds);
    json_real(out, "mean", a->stability.mean_index);
    json_open_list(out, "index");
    for (uint64_t i = 0; i < a->components; i++)
        json_real(out, NULL, a->index[i]);
    json_close(out);
    json_close(out);
    analyse_classes_json(a, out);
    for (int which = 0; which < 2; which++) {
        json_open_list(out, which == 0 ? "spectrum" : "thresholds");
        for (size_t i = 0; i < a->rows.view.cols; i++)
            json_real(out, NULL, which == 0 ? a->spectrum[i] : a->thresholds[i]);
        json_close(out);
    }
    json_real(out, "seconds", a->seconds);
    json_close(out);
}

static void print_findings(const analysis *a)
{
    size_t stable = 0;
    while (stable < a->components && a->index[stable] > 0.9)
        stable++;
    printf("%s: %zu rows of %zu columns, %zu of norm 1\n", a->rows.name, a->rows.view.rows, a->rows.view.cols, a->unit_rows);
    printf("components   %llu directions have more variance than unrelated columns would, %llu lie above noise, %llu hold 90 %%; %llu are analysed\n",
           (unsigned long long) a->standing, (unsigned long long) a->signal, (unsigned long long) a->held, (unsigned long long) a->components);
    if (signs_advice(&a->signs) != NULL)
        printf("signs        fixed %s-Gaussian, as automatic ones mislead here\n", signs_advice(&a->signs));
    printf("axes         score %.1f against random rotations on unseen rows; above %d there are axes\n", a->axes.score, AXES_SCORE);
    printf("stability    %zu of %llu components above 0.9, mean %.2f; %llu of %llu runs converged\n", stable, (unsigned long long) a->components,
           a->stability.mean_index, (unsigned long long) a->stability.converged, (unsigned long long) a->stability.runs);
    size_t shown[MEANINGS_SHOWN], count = 0;
    if (a->meanings != NULL)
        analyse_classes_shown(a, shown, &count);
    for (size_t i = 0; i < count; i++) {
        const meaning *m = &a->meanings[shown[i]];
        printf("component    %zu, from %s and %s to %s and %s\n", shown[i] + 1, a->class_names[m->low.classes[0]], a->class_names[m->low.classes[1]],
               a->class_names[m->high.classes[0]], a->class_names[m->high.classes[1]]);
    }
    printf("recommended  %s: %s\n", a->advice, a->reason);
}

/* ---------------------------------------------------------------------------------------------------------- command --- */

static int work(analysis *a, const settings *s, const char *name, text_output *json, text_output *report)
{
    TRY(output_open(json, "json", s->common.json));
    TRY(output_open(report, "report", s->report));
    TRY(features_open(a->session, name, &a->rows));
    double begin = session_seconds();
    TRY(analyse_rows(a, s));
    a->seconds = session_seconds() - begin;
    terminal_clear();
    terminal_flush_notes();
    if (json->file != stdout)
        print_findings(a);
    if (report->file != NULL) {
        analyse_write_report(report->file, a);
        TRY(output_commit(report));
    }
    return output_json(json, write_json, a);
}

static int run_analyse(cli_session *session, const void *given, const text_list *operands)
{
    const settings *s = given;
    analysis        a = {.session = session};
    text_output     json = {0}, report = {0};
    if (s->common.json != NULL && s->report != NULL && strcmp(s->common.json, s->report) == 0)
        return terminal_fail(EXIT_USAGE, "two outputs have the same name: %s", s->report);
    int code = work(&a, s, operands->items[0], &json, &report);
    output_discard(&json);
    output_discard(&report);
    features_close(&a.rows);
    analyse_classes_free(&a);
    free(a.spectrum);
    free(a.thresholds);
    free(a.index);
    free(a.advice);
    return code;
}

const cli_command analyse_command = {
    .name     = "analyse",
    .summary  = "which transform fits these features: components, axes, stability",
    .synopsis = "A [--components K] [--runs N] [--bootstrap] [--classes DATA] [--report F.html] [--json FILE]",
    .text     = "Looks at unlabelled features alone:\n"
                "  components  those with more variance than columns without relation would show (parallel analysis), or, if these are\n"
                "              more, those that hold 90 % of the variance, as far as they lie above white noise\n"
                "  axes        whether ICA's axes, found on half of the rows, stand out on the other half against random rotations\n"
                "  stability   which components every start finds (ICASSO); with --bootstrap, every sample too\n"
                "With --classes it also tells which classes lie far out on a component, and what the mean row comes to look like\n"
                "when it is moved along it. It recommends a transform for `mmcl disentangle` and `mmcl probe`. A classifier with an L2 penalty does not see\n"
                "rotations: for it ica:K and whiten:K are the same.",
    .example  = "mmcl analyse pool.npy --report pool.html --json pool.json",
    .options        = options,
    .settings_size  = sizeof(settings),
    .operands_least = 1,
    .operands_most  = 1,
    .operands       = "one array",
    .run            = run_analyse,
};
