/* The page of `mmcl analyse`. */
#include "analyse.h"

#include <math.h>

#define WIDTH  640.0
#define HEIGHT 220.0
#define LEFT   60.0
#define TOP    16.0

/* Text of the user's, such as a file's name. */
static void put_escaped(FILE *file, const char *text)
{
    for (; *text != 0; text++) {
        const char *entity = *text == '<' ? "&lt;" : *text == '>' ? "&gt;" : *text == '&' ? "&amp;" : *text == '"' ? "&quot;" : NULL;
        if (entity != NULL)
            fputs(entity, file);
        else
            fputc(*text, file);
    }
}

static void begin_picture(FILE *file, const char *x_label, const char *y_label)
{
    fprintf(file, "<svg viewBox=\"0 0 %.0f %.0f\" width=\"%.0f\" role=\"img\" font-size=\"12\">\n", LEFT + WIDTH + 20, TOP + HEIGHT + 50,
            LEFT + WIDTH + 20);
    fprintf(file, "<rect x=\"%.0f\" y=\"%.0f\" width=\"%.0f\" height=\"%.0f\" fill=\"none\" stroke=\"#666\"/>\n", LEFT, TOP, WIDTH, HEIGHT);
    fprintf(file, "<text x=\"%.0f\" y=\"%.0f\" text-anchor=\"middle\">%s</text>\n", LEFT + WIDTH / 2, TOP + HEIGHT + 40, x_label);
    fprintf(file, "<text transform=\"translate(14 %.0f) rotate(-90)\" text-anchor=\"middle\">%s</text>\n", TOP + HEIGHT / 2, y_label);
}

static void put_tick(FILE *file, bool below, double share, const char *format, double value)
{
    char text[32];
    snprintf(text, sizeof text, format, value);
    if (below)
        fprintf(file, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%s</text>\n", LEFT + WIDTH * share, TOP + HEIGHT + 18, text);
    else
        fprintf(file, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n", LEFT - 6, TOP + HEIGHT * (1 - share) + 4, text);
}

/* Logarithmic in height, over powers of ten. */
static void put_spectrum(FILE *file, const analysis *a)
{
    size_t cols = a->rows.view.cols, last = cols;
    double top  = ceil(log10(a->spectrum[0])), floor_value = a->spectrum[0] * 1e-6;
    while (last > 1 && a->spectrum[last - 1] < floor_value)
        last--;
    double bottom = floor(log10(fmin(a->spectrum[last - 1], a->thresholds[last - 1])));
    begin_picture(file, "direction, by variance", "variance");
    for (double power = bottom; power <= top; power++)
        put_tick(file, false, (power - bottom) / (top - bottom), "1e%.0f", power);
    put_tick(file, true, 0, "%.0f", 1);
    put_tick(file, true, 1, "%.0f", (double) last);
    for (int which = 0; which < 2; which++) {
        const double *values = which == 0 ? a->spectrum : a->thresholds;
        fprintf(file, "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"2\"%s points=\"", which == 0 ? "#0072B2" : "#D55E00",
                which == 0 ? "" : " stroke-dasharray=\"5 3\"");
        for (size_t i = 0; i < last; i++)
            fprintf(file, "%.1f,%.1f ", LEFT + WIDTH * (double) i / (double) (last > 1 ? last - 1 : 1),
                    TOP + HEIGHT * (1 - (log10(fmax(values[i], pow(10, bottom))) - bottom) / (top - bottom)));
        fputs("\"/>\n", file);
    }
    fputs("</svg>\n", file);
}

static void put_stability(FILE *file, const analysis *a)
{
    double width = WIDTH / (double) a->components;
    begin_picture(file, "component, by stability", "stability index");
    for (int i = 0; i <= 4; i++)
        put_tick(file, false, i / 4.0, "%.2f", i / 4.0);
    put_tick(file, true, width / 2 / WIDTH, "%.0f", 1);
    put_tick(file, true, 1 - width / 2 / WIDTH, "%.0f", (double) a->components);
    for (uint64_t i = 0; i < a->components; i++) {
        double height = HEIGHT * fmax(a->index[i], 0);
        fprintf(file, "<rect x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\" fill=\"%s\"/>\n", LEFT + width * (double) i, TOP + HEIGHT - height,
                fmax(width - 0.5, 0.5), height, a->index[i] > 0.9 ? "#0072B2" : "#9bbfd6");
    }
    fputs("</svg>\n", file);
}

static const char *const colours[MEANING_CLASSES] = {"#0072B2", "#D55E00", "#009E73", "#CC79A7"};

static void put_classes(FILE *file, const analysis *a, const meaning_end *end)
{
    for (size_t i = 0; i < end->count; i++) {
        fputs(i == 0 ? "" : ", ", file);
        put_escaped(file, a->class_names[end->classes[i]]);
        fprintf(file, " (%+.1f)", end->activations[i]);
    }
}

/* Probabilities over the way, one line a class, which is named below. */
static void put_traversal(FILE *file, const analysis *a, size_t component)
{
    const meaning *m = &a->meanings[component];
    char           label[64];
    snprintf(label, sizeof label, "component %zu, standard deviations from the mean", component + 1);
    begin_picture(file, label, "class probability");
    for (int i = 0; i <= 4; i++) {
        put_tick(file, false, i / 4.0, "%.2f", i / 4.0);
        put_tick(file, true, i / 4.0, "%+.0f", MEANING_REACH * (i / 2.0 - 1));
    }
    for (size_t line = 0; line < m->met.count; line++) {
        fprintf(file, "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"2\" points=\"", colours[line]);
        for (size_t s = 0; s < MEANING_STEPS; s++)
            fprintf(file, "%.1f,%.1f ", LEFT + WIDTH * (double) s / (MEANING_STEPS - 1), TOP + HEIGHT * (1 - m->path[line][s]));
        fputs("\"/>\n", file);
    }
    fputs("</svg>\n<p>", file);
    for (size_t line = 0; line < m->met.count; line++) {
        fprintf(file, "%s<span style=\"color:%s\">&#9644;</span> ", line == 0 ? "" : "&ensp;", colours[line]);
        put_escaped(file, a->class_names[m->met.classes[line]]);
    }
    fputs("</p>\n", file);
}

static void put_meanings(FILE *file, const analysis *a)
{
    size_t shown[MEANINGS_SHOWN], count = 0;
    analyse_classes_shown(a, shown, &count);
    fprintf(file, "<h2>What components mean</h2>\n<p>The classes whose mean lies farthest out on each component, in standard deviations of the\n"
                  "component over the analysed rows. Components are in the order of their stability.</p>\n<table>\n"
                  "<tr><th>component</th><th>stability</th><th>low end</th><th>high end</th></tr>\n");
    for (uint64_t i = 0; i < a->components; i++) {
        fprintf(file, "<tr><td>%llu</td><td>%.2f</td><td>", (unsigned long long) i + 1, a->index[i]);
        put_classes(file, a, &a->meanings[i].low);
        fputs("</td><td>", file);
        put_classes(file, a, &a->meanings[i].high);
        fputs("</td></tr>\n", file);
    }
    fprintf(file, "</table>\n<h2>Traversals</h2>\n<p>The mean of all rows is moved along a component alone. The curves show how probable each class\n"
                  "becomes, by the cosine with the class means at CLIP's logit scale of 100: what the component adds at its high end, and at its\n"
                  "low end. Drawn for the %zu components that say most.</p>\n", count);
    for (size_t i = 0; i < count; i++)
        put_traversal(file, a, shown[i]);
}

static void put_heading(FILE *file, const analysis *a)
{
    fputs("<!DOCTYPE html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>Analysis of ", file);
    put_escaped(file, a->rows.name);
    fputs("</title>\n<style>body{font:16px/1.5 sans-serif;max-width:46em;margin:2em auto;padding:0 1em}", file);
    fputs("code{background:#eee;padding:0 .3em}td,th{text-align:left;padding:0 .6em 0 0;font-size:13px;vertical-align:top}</style>\n<h1>", file);
    put_escaped(file, a->rows.name);
    fprintf(file, "</h1>\n<p>%zu rows of %zu columns, %zu of them of norm 1.</p>\n", a->rows.view.rows, a->rows.view.cols, a->unit_rows);
    fprintf(file, "<h2>Recommended: <code>%s</code></h2>\n<p>Because %s. ", a->advice, a->reason);
    fputs("A classifier with an L2 penalty does not see rotations: for it <code>ica:K</code> and <code>whiten:K</code> are the same.</p>\n", file);
}

void analyse_write_report(FILE *file, const analysis *a)
{
    put_heading(file, a);
    fprintf(file, "<h2>How many components</h2>\n<p>%llu directions (blue) have more variance than columns with the same variances but no relation\n"
                  "to each other would show (red, dashed; Horn's parallel analysis). %llu lie above a floor of white noise, and %llu hold 90 %% of the\n"
                  "variance. %llu are analysed below.</p>\n",
            (unsigned long long) a->standing, (unsigned long long) a->signal, (unsigned long long) a->held, (unsigned long long) a->components);
    put_spectrum(file, a);
    fprintf(file, "<h2>Are there axes</h2>\n<p>ICA was fitted on half of the rows. On the other half its axes have a mean contrast of %.3g, principal\n"
                  "axes %.3g, random rotations %.3g &plusmn; %.2g: a score of <b>%.1f</b>. Above 4 there are axes that no rotation explains;\n"
                  "representations that look the same in every direction score near 0.</p>\n",
            a->axes.contrast, a->axes.principal, a->axes.random_mean, a->axes.random_deviation, a->axes.score);
    fprintf(file, "<h2>Which components can be trusted</h2>\n<p>The ICA was run %llu times (%llu converged) and its components clustered. An index\n"
                  "near 1 means that every run finds the component; dark bars are above 0.9. Mean: %.2f.</p>\n",
            (unsigned long long) a->stability.runs, (unsigned long long) a->stability.converged, a->stability.mean_index);
    put_stability(file, a);
    if (a->meanings != NULL)
        put_meanings(file, a);
    fprintf(file, "<p>mmcl %s, %.1f seconds.</p>\n</html>\n", mmcl_version_string(), a->seconds);
}
