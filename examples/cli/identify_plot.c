/* The drawing of `mmcl identify`: scores over steps, and |correlation| of representations and latents before and after. */
#include "identify.h"
#include "svg.h"

#include <math.h>

#define WIDTH  980
#define HEIGHT 380
#define TOP    60.0
#define SIDE   240.0

static const char *const colours[] = {"#0072B2", "#D55E00"};

/* One line: points of (share of the steps, score from 0 to 1). */
static void put_curve(FILE *file, double left, double width, const identify_run *run, int which)
{
    fprintf(file, "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"1.5\"%s points=\"", colours[which],
            which == 1 ? " stroke-dasharray=\"5 3\"" : "");
    for (size_t i = 0; i < run->points; i++) {
        const identify_scores *s = &run->curve[i].scores;
        double value = which == 0 ? (s->r2[0] + s->r2[1]) / 2 : (s->mcc[0] + s->mcc[1]) / 2;
        fprintf(file, "%.1f,%.1f ", left + width * (double) run->curve[i].step / (double) run->steps, TOP + SIDE * (1 - value));
    }
    fputs("\"/>\n", file);
}

static void put_curves(FILE *file, const identify_run *runs, size_t count)
{
    const double left = 60, width = 300;
    char         text[32];
    svg_write_text(file, left + width / 2, TOP - 12, " text-anchor=\"middle\" font-weight=\"bold\"", "R2 and MCC, mean of both sides, %");
    for (int i = 0; i <= 5; i++) {
        double y = TOP + SIDE * (1 - i / 5.0);
        fprintf(file, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"#ddd\"/>\n", left, y, left + width, y);
        snprintf(text, sizeof text, "%d", 20 * i);
        svg_write_text(file, left - 8, y + 4, " text-anchor=\"end\"", text);
    }
    fprintf(file, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"none\" stroke=\"#666\"/>\n", left, TOP, width, SIDE);
    for (int i = 0; i <= 4 && count > 0; i++) {
        snprintf(text, sizeof text, "%.0f", (double) runs[0].steps * i / 4);
        svg_write_text(file, left + width * i / 4, TOP + SIDE + 18, " text-anchor=\"middle\"", text);
    }
    svg_write_text(file, left + width / 2, TOP + SIDE + 38, " text-anchor=\"middle\"", "steps");
    for (size_t i = 0; i < count; i++)
        for (int which = 0; which < 2; which++)
            put_curve(file, left, width, &runs[i], which);
    for (int which = 0; which < 2; which++) {
        double y = TOP + SIDE - 40 + 18 * which;
        fprintf(file, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"%s\" stroke-width=\"2\"%s/>\n", left + width - 90, y,
                left + width - 60, y, colours[which], which == 1 ? " stroke-dasharray=\"5 3\"" : "");
        svg_write_text(file, left + width - 52, y + 4, "", which == 0 ? "R2" : "MCC");
    }
}

static void put_matrix(FILE *file, double left, const char *title, size_t n, const double *values)
{
    svg_write_matrix(file, &(svg_matrix){.values = values, .rows = n, .cols = n, .left = left, .top = TOP, .width = SIDE, .height = SIDE,
                                         .title = title, .row_label = "output of f_x", .col_label = "latent of z_x"});
}

void identify_write_plot(FILE *file, const identify_case *work, const identify_run *runs, size_t count)
{
    size_t n = work->model.latent;
    svg_open(file, WIDTH, HEIGHT);
    char title[256];
    snprintf(title, sizeof title, "Identifying the latents: %s, %zu seed%s", work->name, count, count == 1 ? "" : "s");
    svg_write_text(file, WIDTH / 2, 24, " text-anchor=\"middle\" font-size=\"15\"", title);
    put_curves(file, runs, count);
    if (work->model.space == MMCL_SPACE_SPHERE)
        svg_write_text(file, WIDTH - 20, HEIGHT - 14, " text-anchor=\"end\" fill=\"#555\"",
                 "On a sphere latents come back up to a rotation: R2 is the score, and outputs need not match latents one to one.");
    if (count > 0) {
        put_matrix(file, 430, "|correlation| x 100, before training", n, runs[0].before);
        put_matrix(file, 720, "after, outputs sorted", n, runs[0].after);
    }
    fputs("</svg>\n", file);
}
