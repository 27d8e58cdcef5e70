#include "hybrid/lib/draw.h"
#include "hybrid/lib/plan.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { LABEL = 40, PER_ROW = 8, MOST_PUS = 8 };

/* A core as it is drawn. */
struct cell {
    hwloc_obj_t core;
    int pus;
    char labels[MOST_PUS][LABEL];
    int rank; /* of the first thread on it, counted on the node; -1: nobody */
};

/* Threads that are bound within the core get a label at their first PU, and "=" at the others. */
static void add_threads(const struct layout *layout, struct cell *cell)
{
    for (int r = 0; r < layout->ranks; r++)
        for (int t = 0; t < layout->threads[r]; t++) {
            const hwloc_const_bitmap_t mask = layout->masks[r][t];
            if (hwloc_bitmap_iszero(mask) || !hwloc_bitmap_isincluded(mask, cell->core->cpuset))
                continue;
            bool is_first = true;
            int i = 0, pu;
            hwloc_bitmap_foreach_begin(pu, cell->core->cpuset)
                if (i < MOST_PUS && hwloc_bitmap_isset(mask, (unsigned)pu)) {
                    char *const label = cell->labels[i];
                    const size_t used = strlen(label);
                    if (is_first)
                        snprintf(label + used, LABEL - used, "%s%d.%d", used ? " " : "",
                                 layout->numbers[r], t);
                    else if (used == 0)
                        strcpy(label, "=");
                    is_first = false;
                }
                i++;
            hwloc_bitmap_foreach_end();
            if (cell->rank < 0)
                cell->rank = r;
        }
}

static struct cell fill_cell(const struct layout *layout, hwloc_obj_t core)
{
    const hwloc_const_bitmap_t allowed = hwloc_topology_get_allowed_cpuset(layout->topology);
    struct cell cell = { .core = core, .rank = -1 };
    int pu;

    add_threads(layout, &cell);
    hwloc_bitmap_foreach_begin(pu, core->cpuset)
        if (cell.pus < MOST_PUS) {
            bool granted = false;
            for (int r = 0; r < layout->ranks; r++)
                granted |= hwloc_bitmap_isset(layout->granted[r], (unsigned)pu);
            if (!*cell.labels[cell.pus])
                strcpy(cell.labels[cell.pus], !hwloc_bitmap_isset(allowed, (unsigned)pu) ? "x"
                                              : granted ? "." : "-");
            cell.pus++;
        }
    hwloc_bitmap_foreach_end();
    return cell;
}

/* Package, NUMA nodes and L3 cache of a core, as text. */
static void place_of(hwloc_topology_t topology, hwloc_obj_t core, char *text, size_t size)
{
    const hwloc_obj_t package = hwloc_get_ancestor_obj_by_type(topology, HWLOC_OBJ_PACKAGE, core);
    const hwloc_obj_t l3 = hwloc_get_ancestor_obj_by_type(topology, HWLOC_OBJ_L3CACHE, core);
    hwloc_obj_t node = NULL;
    char nodes[64] = "";
    int at = 0;

    while ((node = hwloc_get_next_obj_by_type(topology, HWLOC_OBJ_NUMANODE, node)))
        if (hwloc_bitmap_intersects(node->cpuset, core->cpuset) && strlen(nodes) < sizeof nodes - 16)
            sprintf(nodes + strlen(nodes), "%s%u", *nodes ? "," : "", node->logical_index);
    if (package)
        at += snprintf(text + at, size - (size_t)at, "package %u, ", package->logical_index);
    at += snprintf(text + at, size - (size_t)at, "NUMA node %s", nodes);
    if (l3)
        snprintf(text + at, size - (size_t)at, ", L3 cache %u", l3->logical_index);
}

static hwloc_obj_type_t core_type(hwloc_topology_t topology)
{
    return hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_CORE) > 0 ? HWLOC_OBJ_CORE : HWLOC_OBJ_PU;
}

static const char *core_word(hwloc_topology_t topology)
{
    return core_type(topology) == HWLOC_OBJ_CORE ? "core" : "PU";
}

static void draw_cell(const char *word, const struct cell *cell, FILE *file)
{
    fprintf(file, "  %s %2u [", word, cell->core->logical_index);
    for (int i = 0; i < cell->pus; i++)
        fprintf(file, "%s%s", i > 0 ? "|" : "", cell->labels[i]);
    fprintf(file, "]");
}

/* Threads that may run on more than one core. */
static void draw_unbound(const struct layout *layout, FILE *file)
{
    for (int r = 0; r < layout->ranks; r++) {
        int count = 0, first = -1;
        char cpus[128];
        for (int t = 0; t < layout->threads[r]; t++)
            if (plan_cores(layout->topology, layout->masks[r][t]) > 1) {
                first = first < 0 ? t : first;
                count++;
            }
        if (count == 0)
            continue;
        hwloc_bitmap_list_snprintf(cpus, sizeof cpus, layout->masks[r][first]);
        fprintf(file, "  rank %d: %d thread%s not bound to one core, but to CPUs %s\n",
                layout->numbers[r], count, count == 1 ? "" : "s", cpus);
    }
}

void draw_text(const struct layout *layout, const char *node, FILE *file)
{
    const hwloc_topology_t topology = layout->topology;
    char last[160] = "", now[160];
    hwloc_obj_t core = NULL;
    int in_row = 0;

    fprintf(file, "node %s\n", node);
    while ((core = hwloc_get_next_obj_by_type(topology, core_type(topology), core))) {
        const struct cell cell = fill_cell(layout, core);
        place_of(topology, core, now, sizeof now);
        if (strcmp(now, last) != 0 || in_row == PER_ROW) {
            fprintf(file, "%s", in_row > 0 ? "\n" : "");
            in_row = 0;
        }
        if (strcmp(now, last) != 0)
            fprintf(file, " %s\n", now);
        strcpy(last, now);
        draw_cell(core_word(topology), &cell, file);
        in_row++;
    }
    fprintf(file, "\n");
    draw_unbound(layout, file);
}

/* ---- SVG ---- */

enum { WIDTH = 960, MARGIN = 16, CELL = 112, LINE = 18, TITLE = 26 };

static int cell_height(const struct layout *layout)
{
    hwloc_obj_t core = NULL;
    int most = 1;

    while ((core = hwloc_get_next_obj_by_type(layout->topology, core_type(layout->topology), core))) {
        const int pus = hwloc_bitmap_weight(core->cpuset);
        most = pus > most ? pus : most;
    }
    return 2 * LINE + (most < MOST_PUS ? most : MOST_PUS) * LINE;
}

static void draw_text_at(FILE *file, int x, int y, const char *style, const char *text)
{
    fprintf(file, "<text x=\"%d\" y=\"%d\"%s>", x, y, style);
    for (; *text; text++) {
        if (*text == '<' || *text == '&')
            fprintf(file, "&#%d;", *text);
        else
            fputc(*text, file);
    }
    fprintf(file, "</text>\n");
}

static void draw_svg_cell(const char *word, const struct cell *cell, int x, int y, int height, FILE *file)
{
    char title[48];

    if (cell->rank < 0)
        fprintf(file, "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"5\" fill=\"#f4f4f4\" "
                "stroke=\"#999\"/>\n", x, y, CELL - 8, height - 8);
    else /* neighbouring ranks get colours far apart */
        fprintf(file, "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"5\" "
                "fill=\"hsl(%d,70%%,85%%)\" stroke=\"#555\"/>\n", x, y, CELL - 8, height - 8,
                cell->rank * 137 % 360);
    snprintf(title, sizeof title, "%s %u", word, cell->core->logical_index);
    draw_text_at(file, x + 8, y + LINE, " class=\"core\"", title);
    for (int i = 0; i < cell->pus; i++)
        draw_text_at(file, x + 8, y + (i + 2) * LINE, "", cell->labels[i]);
}

int draw_svg(const struct layout *layout, const char *node, FILE *file)
{
    const hwloc_topology_t topology = layout->topology;
    const int height = cell_height(layout);
    char title[160], last[160] = "", now[160];
    hwloc_obj_t core = NULL;
    int x = MARGIN, y = TITLE;

    snprintf(title, sizeof title, "node %s", node);
    draw_text_at(file, MARGIN, TITLE - 6, " class=\"node\"", title);
    while ((core = hwloc_get_next_obj_by_type(topology, core_type(topology), core))) {
        const struct cell cell = fill_cell(layout, core);
        place_of(topology, core, now, sizeof now);
        if (strcmp(now, last) != 0) {
            y += x > MARGIN ? height : 0;
            x = MARGIN;
            draw_text_at(file, MARGIN, y + LINE, "", now);
            y += TITLE;
        } else if (x + CELL > WIDTH - MARGIN) {
            x = MARGIN;
            y += height;
        }
        strcpy(last, now);
        draw_svg_cell(core_word(topology), &cell, x, y, height, file);
        x += CELL;
    }
    return y + height + MARGIN;
}

void draw_svg_document(char *const *parts, const int *heights, int count, FILE *file)
{
    int height = 2 * MARGIN, top = MARGIN;

    for (int i = 0; i < count; i++)
        height += heights[i];
    fprintf(file, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
            "font-family=\"sans-serif\" font-size=\"13\">\n<title>rank.thread on the cores of %d "
            "node%s</title>\n<style>.core{fill:#666}.node{font-size:16px;font-weight:bold}</style>\n"
            "<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n", WIDTH, height, count,
            count == 1 ? "" : "s");
    for (int i = 0; i < count; i++) {
        fprintf(file, "<g transform=\"translate(0,%d)\">\n%s</g>\n", top, parts[i]);
        top += heights[i];
    }
    fprintf(file, "</svg>\n");
}
