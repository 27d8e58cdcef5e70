/*
 * plot - draws the rows of a report into a file, by gnuplot: curves with a band, or a map of
 * colours.
 *
 *     static struct plot plot = { .title = "...", .x = "bytes", .y = "median_s", ... };
 *     ... PLOT_ARG(&plot) among the options, and after world_open():
 *     status = world_agree(&w, program_plot(&w.program, &plot));
 *
 * From then on every row that program_row() gets is a point, and program_close() draws them. Times
 * (names that end in _s) are drawn in microseconds, bytes_per_s in MB/s (10^6 bytes), as in the
 * tables. Rows whose x or y is not known (or is 0 on a logarithmic axis) are no points.
 */
#ifndef LOCAL_LIB_PLOT_H
#define LOCAL_LIB_PLOT_H

#include <stddef.h>

#include "local/lib/report.h"
#include "local/lib/status.h"

#define PLOT_ARG(plot)                                                                             \
    { "plot", ARG_FILE, &(plot)->file, "draw the results into this .svg or .png file (gnuplot)" }

struct plot_point {
    double x, y, low, high;
    size_t series;
};

struct plot_names { /* in the order met */
    char (*names)[64];
    size_t count, room;
};

struct plot {
    const char *file; /* --plot; NULL: nothing is drawn */
    const char *title;
    const char *x, *y;          /* names of fields */
    const char *x_label, *y_label;
    const char *low, *high;     /* fields, a band around the curve; NULL for none */
    const char *series;         /* field: one curve for each of its values; NULL for one in all */
    const char *map;            /* field: the colour at x and y, which are then categories */
    const char *map_label;
    bool linear_x, linear_y;    /* else logarithmic; x to the base 2 */
    struct plot_point *points;  /* from here on the library's own */
    size_t count, room;
    struct plot_names xs, ys, curves;
    bool lost;                  /* no memory for a point */
};

/*
 * Whether the plot can be made: .svg or .png, a file that can be written (it is made, empty, if
 * there is none; what it holds stays until the plot is drawn) and gnuplot. PASS,
 * also if nothing is to be drawn; else USAGE or UNABLE with a sentence in `error`.
 */
enum status plot_check(const struct plot *plot, char *error, size_t error_size);

/* Adds a row. */
void plot_add(struct plot *plot, const struct record *record);

/* Draws, and frees the points. Returns 0, or -1 with a sentence in `error`. */
int plot_draw(struct plot *plot, char *error, size_t error_size);

#endif
