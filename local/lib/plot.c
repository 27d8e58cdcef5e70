#include "local/lib/plot.h"
#include "local/lib/file.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { NAMES_MAX = 24 }; /* of categories along one axis of a map */

static bool ends_with(const char *text, const char *end)
{
    const size_t length = strlen(text), end_length = strlen(end);

    return length > end_length && strcmp(text + length - end_length, end) == 0;
}

static bool have_gnuplot(void)
{
    return system("command -v gnuplot >/dev/null 2>&1") == 0;
}

enum status plot_check(const struct plot *plot, char *error, size_t error_size)
{
    if (!plot->file)
        return PASS;
    if (!ends_with(plot->file, ".svg") && !ends_with(plot->file, ".png")) {
        snprintf(error, error_size, "--plot %s: not .svg or .png: end the file's name with one",
                 plot->file);
        return USAGE;
    }
    if (!have_gnuplot()) {
        snprintf(error, error_size, "--plot: there is no gnuplot: install it, or leave --plot out");
        return UNABLE;
    }
    if (file_writable(plot->file)) {
        snprintf(error, error_size, "--plot %s: %s: name a file that can be written", plot->file,
                 strerror(errno));
        return USAGE;
    }
    return PASS;
}

/* The value of a field as people see it; NaN where there is none. */
static double value_of(const struct record *record, const char *name)
{
    const struct field *field = name ? record_field(record, name) : NULL;

    if (field && field->kind == FIELD_INT)
        return (double)field->number;
    if (field && field->kind == FIELD_REAL)
        return field->real * field_scale(name);
    return NAN;
}

static void name_of(const struct record *record, const char *name, char text[64])
{
    const struct field *field = name ? record_field(record, name) : NULL;

    if (field && field->kind == FIELD_TEXT)
        snprintf(text, 64, "%.63s", field->text);
    else if (field && field->kind == FIELD_INT)
        snprintf(text, 64, "%lld", (long long)field->number);
    else
        *text = '\0';
}

/* Makes room for one more in an array of `*room` elements of `size` bytes. */
static bool grow(void **array, size_t count, size_t *room, size_t size)
{
    if (count < *room)
        return true;
    const size_t wanted = *room ? 2 * *room : 64;
    void *larger = realloc(*array, wanted * size);
    if (!larger)
        return false;
    *array = larger;
    *room = wanted;
    return true;
}

/* The place of a field's value among the values met so far. */
static size_t place_of(struct plot *plot, struct plot_names *known, const struct record *record,
                       const char *name)
{
    char text[64];

    name_of(record, name, text);
    for (size_t i = 0; i < known->count; i++)
        if (strcmp(known->names[i], text) == 0)
            return i;
    void *names = known->names;
    if (!grow(&names, known->count, &known->room, sizeof text)) {
        plot->lost = true;
        return 0;
    }
    known->names = names;
    memcpy(known->names[known->count], text, sizeof text);
    return known->count++;
}

void plot_add(struct plot *plot, const struct record *record)
{
    struct plot_point point = {
        .x = value_of(record, plot->x),
        .y = value_of(record, plot->y),
        .low = value_of(record, plot->low),
        .high = value_of(record, plot->high),
        .series = place_of(plot, &plot->curves, record, plot->series),
    };

    if (plot->map) {
        point.x = (double)place_of(plot, &plot->xs, record, plot->x);
        point.y = (double)place_of(plot, &plot->ys, record, plot->y);
        point.low = value_of(record, plot->map);
        if (isnan(point.low) || (!plot->linear_y && point.low <= 0))
            return;
    } else if (isnan(point.x) || isnan(point.y) || (!plot->linear_x && point.x <= 0) ||
               (!plot->linear_y && point.y <= 0)) {
        return;
    }
    void *points = plot->points;
    if (!grow(&points, plot->count, &plot->room, sizeof point)) {
        plot->lost = true;
        return;
    }
    plot->points = points;
    plot->points[plot->count++] = point;
}

/* A string of gnuplot's: between quotes in which a quote is doubled, and nothing else is
 * special. */
static void quote(FILE *out, const char *text)
{
    fputc('\'', out);
    for (; *text; text++) {
        if (*text == '\'')
            fputc('\'', out);
        fputc(*text == '\n' ? ' ' : *text, out);
    }
    fputc('\'', out);
}

static void set(FILE *out, const char *what, const char *text)
{
    fprintf(out, "set %s ", what);
    quote(out, text);
    fputc('\n', out);
}

static void set_up(FILE *out, const struct plot *plot)
{
    fprintf(out, "set terminal %s noenhanced\n", ends_with(plot->file, ".svg")
                     ? "svg size 800,560 font 'sans,14' background rgb 'white'"
                     : "pngcairo size 1200,840 font 'sans,18' background rgb 'white'");
    set(out, "output", plot->file);
    set(out, "title", plot->title);
    set(out, "xlabel", plot->x_label);
    set(out, "ylabel", plot->y_label);
    fputs("set border 3\nset tics nomirror out\n", out);
}

static void draw_curves(FILE *out, const struct plot *plot)
{
    fputs("set grid back lt 1 lc rgb '#dddddd'\nset key top left reverse Left\n", out);
    if (!plot->linear_x)
        fputs("set logscale x 2\nset format x '%.0b %B'\n", out);
    if (!plot->linear_y)
        fputs("set logscale y\n", out);
    for (size_t curve = 0; curve < plot->curves.count; curve++) {
        fprintf(out, "$d%zu << EOD\n", curve);
        for (const struct plot_point *p = plot->points; p < plot->points + plot->count; p++)
            if (p->series == curve)
                fprintf(out, "%.9g %.9g %.9g %.9g\n", p->x, p->y, isnan(p->low) ? p->y : p->low,
                        isnan(p->high) ? p->y : p->high);
        fputs("EOD\n", out);
    }
    for (size_t curve = 0; curve < plot->curves.count; curve++) {
        fputs(curve == 0 ? "plot " : ", ", out);
        if (plot->low)
            fprintf(out, "$d%zu using 1:3:4 with filledcurves fs transparent solid 0.2 noborder "
                    "lc %zu notitle, ", curve, curve + 1);
        fprintf(out, "$d%zu using 1:2 with linespoints pt 7 ps 0.6 lw 2 lc %zu ", curve, curve + 1);
        fputs(plot->series ? "title " : "notitle", out);
        if (plot->series)
            quote(out, plot->curves.names[curve]);
    }
    fputc('\n', out);
}

/* As many names as can be read: with more, those of every second place, or third ... */
static void set_names(FILE *out, char axis, const struct plot_names *known)
{
    const size_t step = (known->count + NAMES_MAX - 1) / NAMES_MAX;

    fprintf(out, "set %ctics ()\n", axis);
    for (size_t i = 0; i < known->count; i += step) {
        fprintf(out, "set %ctics add (", axis);
        quote(out, known->names[i]);
        fprintf(out, " %zu)\n", i);
    }
}

/* Logarithmic colours over a factor of 4 at least, or a difference of 5 % would look like all the
 * difference there can be; and with figures at 1, 2 and 5, or there might be none. */
static void set_colours(FILE *out, const struct plot *plot)
{
    static const double figures[] = { 1, 2, 5 };
    double low = INFINITY, high = 0;

    for (const struct plot_point *p = plot->points; p < plot->points + plot->count; p++) {
        low = fmin(low, p->low);
        high = fmax(high, p->low);
    }
    const double wider = fmax(1, sqrt(4 * low / high));
    low /= wider;
    high *= wider;
    fprintf(out, "set logscale cb\nset cbrange [%.9g:%.9g]\nset cbtics ()\n", low, high);
    const int step = high / low > 1000 ? 3 : 1; /* then powers of ten are enough */
    for (int power = (int)floor(log10(low)); power <= (int)floor(log10(high)); power++)
        for (int i = 0; i < 3; i += step) {
            const double value = figures[i] * pow(10, power);
            fprintf(out, "set cbtics add ('%.9g' %.9g)\n", value, value);
        }
}

static void draw_map(FILE *out, const struct plot *plot)
{
    fputs("set palette defined (0 '#ffffcc', 1 '#41b6c4', 2 '#0c2c84')\nset border 0\n"
          "set tics scale 0\nset yrange [] reverse\nunset key\n"
          /* where nothing is known it is grey, which is no colour of the palette */
          "set object rectangle from graph 0,0 to graph 1,1 behind fs solid noborder "
          "fc rgb '#d8d8d8'\n", out);
    if (!plot->linear_y)
        set_colours(out, plot);
    set(out, "cblabel", plot->map_label);
    /* gnuplot leaves no room beside figures that are set by hand */
    fputs("set rmargin at screen 0.82\nset cblabel offset 1.5\n", out);
    set_names(out, 'x', &plot->xs);
    set_names(out, 'y', &plot->ys);
    fputs("set xtics rotate by -45\n$d << EOD\n", out);
    for (const struct plot_point *p = plot->points; p < plot->points + plot->count; p++)
        fprintf(out, "%.0f %.0f %.9g\n", p->x, p->y, p->low);
    fputs("EOD\nplot $d using 1:2:(0.5):(0.5):3 with boxxyerror fs solid lc palette\n", out);
}

static int draw(const struct plot *plot, char *error, size_t error_size)
{
    FILE *out = popen("gnuplot", "w");

    if (!out) {
        snprintf(error, error_size, "--plot %s: gnuplot: %s", plot->file, strerror(errno));
        return -1;
    }
    set_up(out, plot);
    if (plot->map)
        draw_map(out, plot);
    else
        draw_curves(out, plot);
    const bool sent = fflush(out) == 0 && !ferror(out);
    const int ended = pclose(out);
    if (!sent || ended != 0) {
        snprintf(error, error_size, "--plot %s: gnuplot failed, see above", plot->file);
        return -1;
    }
    return 0;
}

int plot_draw(struct plot *plot, char *error, size_t error_size)
{
    int result = -1;

    if (plot->lost)
        snprintf(error, error_size, "--plot %s: no memory for all points", plot->file);
    else if (plot->count == 0)
        snprintf(error, error_size, "--plot %s: no row can be drawn: give --bytes or more rows",
                 plot->file);
    else
        result = draw(plot, error, error_size);
    free(plot->points);
    free(plot->xs.names);
    free(plot->ys.names);
    free(plot->curves.names);
    plot->points = NULL;
    plot->xs = plot->ys = plot->curves = (struct plot_names){ 0 };
    plot->count = plot->room = 0;
    return result;
}
