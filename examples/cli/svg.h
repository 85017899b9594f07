/* A line plot in small multiples, as SVG. */
#ifndef MMCL_CLI_SVG_H
#define MMCL_CLI_SVG_H

#include <stddef.h>
#include <stdio.h>

typedef struct plot_point {
    double x, y; /* y from 0 to 1; NaN: no such point */
    double spread; /* drawn as a bar from y - spread to y + spread; 0: none */
} plot_point;

/* One line of a panel; line i has the same name and colour in all of them. */
typedef struct plot_line {
    const plot_point *points; /* [count] by ascending x */
    size_t            count;
} plot_line;

typedef struct plot_panel {
    const char      *title;
    const plot_line *lines; /* [line_count of the plot] */
} plot_panel;

typedef struct svg_plot {
    const char        *title, *x_label, *y_label;
    const plot_panel  *panels; /* [panel_count] */
    size_t             panel_count;
    const char *const *names; /* [line_count] */
    size_t             line_count;
} svg_plot;

/* Writes the drawing: x on a logarithmic axis with a tick at each value that occurs, y in percent. */
void svg_write(FILE *file, const svg_plot *plot);

/* A matrix of values from 0 to 1 as shaded fields, within a drawing of the caller's. */
typedef struct svg_matrix {
    const double *values; /* [rows, cols] */
    size_t        rows, cols;
    double        left, top, width, height;
    const char   *title, *row_label, *col_label;
} svg_matrix;

/* Darker is larger; 100 times the value stands in each field where there is room. */
void svg_write_matrix(FILE *file, const svg_matrix *matrix);

/* A line of text; `attributes` begin with a space or are empty. */
void svg_write_text(FILE *file, double x, double y, const char *attributes, const char *text);

/* Opens a drawing on white; "</svg>" ends it. */
void svg_open(FILE *file, double width, double height);

#endif
