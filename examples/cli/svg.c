#include "svg.h"

#include <math.h>
#include <stdlib.h>

#define PANEL_WIDTH  360.0 /* of the area inside the axes */
#define PANEL_HEIGHT 240.0
#define LEFT         64.0 /* room around it for ticks and labels */
#define RIGHT        24.0
#define ABOVE        40.0
#define BELOW        56.0
#define HEADING      44.0
#define MAX_COLUMNS  3
#define LEGEND_LINE  20.0
#define LEGEND_WIDTH 220.0

/* Okabe and Ito's palette, which colour-blind readers can tell apart; shapes and dashes repeat more slowly than colours. */
static const char *const colours[] = {"#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"};
static const char *const dashes[]  = {"none", "7 3", "2 3", "9 3 2 3"};

#define COLOURS (sizeof colours / sizeof *colours)
#define DASHES  (sizeof dashes / sizeof *dashes)
#define SHAPES  4

/* Ranges of the axes: x by its logarithm, y in the data's unit. */
typedef struct axes {
    double left, top;           /* corner of the drawing area */
    double x_low, x_high;       /* log2 */
    double y_low, y_high, step; /* step: between two y ticks */
} axes;

static void put_text(FILE *file, const char *text)
{
    for (; *text != '\0'; text++) {
        switch (*text) {
        case '&': fputs("&amp;", file); break;
        case '<': fputs("&lt;", file); break;
        case '>': fputs("&gt;", file); break;
        default: fputc((unsigned char) *text < 0x20 ? ' ' : *text, file);
        }
    }
}

void svg_write_text(FILE *file, double x, double y, const char *attributes, const char *text)
{
    fprintf(file, "<text x=\"%.1f\" y=\"%.1f\"%s>", x, y, attributes);
    put_text(file, text);
    fputs("</text>\n", file);
}

static double x_at(const axes *a, double x)
{
    double span = a->x_high - a->x_low;
    return a->left + PANEL_WIDTH * (span > 0 ? 0.06 + 0.88 * (log2(x) - a->x_low) / span : 0.5);
}

static double y_at(const axes *a, double y)
{
    return a->top + PANEL_HEIGHT * (a->y_high - y) / (a->y_high - a->y_low);
}

/* ------------------------------------------------------------------------------------------------------------ axes --- */

/* The smallest of 1, 2, 5, 10 ... percent that gives at most six steps. */
static double tick_step(double span)
{
    static const double steps[] = {0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
        if (span / steps[i] <= 6)
            return steps[i];
    return 0.2;
}

static void fit_axes(axes *a, const svg_plot *plot, const plot_panel *panel)
{
    double low = INFINITY, high = -INFINITY;
    a->x_low  = INFINITY;
    a->x_high = -INFINITY;
    for (size_t i = 0; i < plot->line_count; i++) {
        for (size_t j = 0; j < panel->lines[i].count; j++) {
            const plot_point *point = &panel->lines[i].points[j];
            a->x_low                = fmin(a->x_low, log2(point->x));
            a->x_high               = fmax(a->x_high, log2(point->x));
            if (isnan(point->y))
                continue;
            low  = fmin(low, point->y - point->spread);
            high = fmax(high, point->y + point->spread);
        }
    }
    if (low > high)
        low = 0, high = 1;
    a->step   = tick_step(fmax(high - low, 0.01));
    a->y_low  = a->step * floor(low / a->step);
    a->y_high = a->step * ceil(high / a->step);
    if (a->y_high <= a->y_low)
        a->y_high = a->y_low + a->step;
}

static void put_x_tick(FILE *file, const axes *a, double x)
{
    char text[32];
    snprintf(text, sizeof text, "%g", x);
    svg_write_text(file, x_at(a, x), a->top + PANEL_HEIGHT + 18, " text-anchor=\"middle\"", text);
}

/* A tick for each x that occurs in a panel: the first line has all of them. */
static void put_axes(FILE *file, const axes *a, const svg_plot *plot, const plot_panel *panel)
{
    int digits = a->step < 0.01 ? 1 : 0;
    for (int i = 0; a->y_low + i * a->step < a->y_high + 0.5 * a->step; i++) {
        double y = a->y_low + i * a->step;
        char   text[32];
        snprintf(text, sizeof text, "%.*f", digits, 100 * y);
        fprintf(file, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"#ddd\"/>\n", a->left, y_at(a, y),
                a->left + PANEL_WIDTH, y_at(a, y));
        svg_write_text(file, a->left - 8, y_at(a, y) + 4, " text-anchor=\"end\"", text);
    }
    fprintf(file, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"none\" stroke=\"#666\"/>\n", a->left, a->top,
            PANEL_WIDTH, PANEL_HEIGHT);
    for (size_t j = 0; plot->line_count > 0 && j < panel->lines[0].count; j++)
        put_x_tick(file, a, panel->lines[0].points[j].x);
    svg_write_text(file, a->left + PANEL_WIDTH / 2, a->top - 10, " text-anchor=\"middle\" font-weight=\"bold\"", panel->title);
    svg_write_text(file, a->left + PANEL_WIDTH / 2, a->top + PANEL_HEIGHT + 40, " text-anchor=\"middle\"", plot->x_label);
    double middle = a->top + PANEL_HEIGHT / 2;
    fprintf(file, "<g transform=\"rotate(-90 %.1f %.1f)\">", a->left - 44, middle);
    svg_write_text(file, a->left - 44, middle, " text-anchor=\"middle\"", plot->y_label);
    fputs("</g>\n", file);
}

/* ----------------------------------------------------------------------------------------------------------- lines --- */

static void put_marker(FILE *file, size_t line, double x, double y)
{
    const char *colour = colours[line % COLOURS];
    switch (line % SHAPES) {
    case 0: fprintf(file, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"4\" fill=\"%s\"", x, y, colour); break;
    case 1: fprintf(file, "<rect x=\"%.1f\" y=\"%.1f\" width=\"8\" height=\"8\" fill=\"%s\"", x - 4, y - 4, colour); break;
    case 2:
        fprintf(file, "<polygon points=\"%.1f,%.1f %.1f,%.1f %.1f,%.1f\" fill=\"%s\"", x, y - 5, x + 5, y + 4, x - 5, y + 4, colour);
        break;
    default:
        fprintf(file, "<polygon points=\"%.1f,%.1f %.1f,%.1f %.1f,%.1f %.1f,%.1f\" fill=\"%s\"", x, y - 5.5, x + 5.5, y, x, y + 5.5,
                x - 5.5, y, colour);
    }
}

static void put_point(FILE *file, const axes *a, const char *name, size_t line, const plot_point *point)
{
    double x = x_at(a, point->x), y = y_at(a, point->y);
    if (point->spread > 0)
        fprintf(file, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"%s\"/>\n", x, y_at(a, point->y - point->spread),
                x, y_at(a, point->y + point->spread), colours[line % COLOURS]);
    put_marker(file, line, x, y);
    fputs("><title>", file);
    put_text(file, name);
    fprintf(file, ", %g: %.2f %%</title>%s\n", point->x, 100 * point->y,
            line % SHAPES == 0 ? "</circle>" : line % SHAPES == 1 ? "</rect>" : "</polygon>");
}

static void put_line(FILE *file, const axes *a, const char *name, size_t index, const plot_line *line)
{
    fprintf(file, "<polyline fill=\"none\" stroke-width=\"2\" stroke=\"%s\" stroke-dasharray=\"%s\" points=\"",
            colours[index % COLOURS], dashes[index % DASHES]);
    for (size_t j = 0; j < line->count; j++)
        if (!isnan(line->points[j].y))
            fprintf(file, "%.1f,%.1f ", x_at(a, line->points[j].x), y_at(a, line->points[j].y));
    fputs("\"/>\n", file);
    for (size_t j = 0; j < line->count; j++)
        if (!isnan(line->points[j].y))
            put_point(file, a, name, index, &line->points[j]);
}

static void put_legend(FILE *file, const svg_plot *plot, double top, size_t columns)
{
    for (size_t i = 0; i < plot->line_count; i++) {
        double x = LEFT + LEGEND_WIDTH * (double) (i % columns), y = top + LEGEND_LINE * (double) (i / columns);
        fprintf(file, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke-width=\"2\" stroke=\"%s\" stroke-dasharray=\"%s\"/>\n",
                x, y, x + 32, y, colours[i % COLOURS], dashes[i % DASHES]);
        put_marker(file, i, x + 16, y);
        fputs("/>\n", file);
        svg_write_text(file, x + 40, y + 4, "", plot->names[i]);
    }
}

void svg_write(FILE *file, const svg_plot *plot)
{
    size_t columns     = plot->panel_count < MAX_COLUMNS ? plot->panel_count : MAX_COLUMNS;
    size_t rows        = (plot->panel_count + columns - 1) / columns;
    double cell_width  = LEFT + PANEL_WIDTH + RIGHT;
    double cell_height = ABOVE + PANEL_HEIGHT + BELOW;
    double width       = cell_width * (double) columns;
    size_t per_line    = (size_t) fmax(1, floor((width - LEFT) / LEGEND_WIDTH));
    double legend      = HEADING + cell_height * (double) rows + 8;
    double height      = legend + LEGEND_LINE * ceil((double) plot->line_count / (double) per_line) + 12;
    fprintf(file,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" height=\"%.0f\" viewBox=\"0 0 %.0f %.0f\" "
            "font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n",
            width, height, width, height);
    svg_write_text(file, width / 2, 28, " text-anchor=\"middle\" font-size=\"16\"", plot->title);
    for (size_t i = 0; i < plot->panel_count; i++) {
        axes a = {.left = LEFT + cell_width * (double) (i % columns), .top = HEADING + ABOVE + cell_height * (double) (i / columns)};
        fit_axes(&a, plot, &plot->panels[i]);
        put_axes(file, &a, plot, &plot->panels[i]);
        for (size_t j = 0; j < plot->line_count; j++)
            put_line(file, &a, plot->names[j], j, &plot->panels[i].lines[j]);
    }
    put_legend(file, plot, legend, per_line);
    fputs("</svg>\n", file);
}

/* --------------------------------------------------------------------------------------------------------- matrices --- */

#define ROOM 20.0 /* that a field needs for a number */

void svg_open(FILE *file, double width, double height)
{
    fprintf(file,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" height=\"%.0f\" viewBox=\"0 0 %.0f %.0f\" font-family=\"sans-serif\" "
            "font-size=\"12\">\n<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n",
            width, height, width, height);
}

void svg_write_matrix(FILE *file, const svg_matrix *m)
{
    double wide = m->width / (double) m->cols, high = m->height / (double) m->rows, middle = m->top + m->height / 2;
    svg_write_text(file, m->left + m->width / 2, m->top - 12, " text-anchor=\"middle\" font-weight=\"bold\"", m->title);
    for (size_t i = 0; i < m->rows; i++)
        for (size_t j = 0; j < m->cols; j++) {
            double value = fmin(fmax(m->values[i * m->cols + j], 0), 1);
            fprintf(file, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.2f\" height=\"%.2f\" fill=\"rgb(%d,%d,%d)\"><title>%.3f</title></rect>\n",
                    m->left + (double) j * wide, m->top + (double) i * high, wide, high, (int) (255 - 255 * value), (int) (255 - 200 * value),
                    255 - (int) (77 * value), value);
            if (wide >= ROOM && high >= ROOM)
                fprintf(file, "<text x=\"%.1f\" y=\"%.1f\" font-size=\"9\" text-anchor=\"middle\" fill=\"%s\">%.0f</text>\n",
                        m->left + ((double) j + 0.5) * wide, m->top + ((double) i + 0.5) * high + 3, value > 0.6 ? "white" : "#555", 100 * value);
        }
    fprintf(file, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"none\" stroke=\"#666\"/>\n", m->left, m->top, m->width,
            m->height);
    svg_write_text(file, m->left + m->width / 2, m->top + m->height + 18, " text-anchor=\"middle\"", m->col_label);
    fprintf(file, "<g transform=\"rotate(-90 %.1f %.1f)\">", m->left - 8, middle);
    svg_write_text(file, m->left - 8, middle, " text-anchor=\"middle\"", m->row_label);
    fputs("</g>\n", file);
}
