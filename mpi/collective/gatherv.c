/*
 * gatherv - texts and blocks of different lengths to the root, which does not know the lengths
 *
 * Every rank has a line of text of a length of its own (some have nothing to say), or a block of
 * bytes around --bytes: ranks 0, 4, 8 ... that many, the next ones half, none, and half as many
 * again. The root needs all of them in rank order, but MPI_Gatherv wants to be told each length and
 * where each part shall lie. Three ways:
 *
 *   lengths  MPI_Gather of the lengths; the root adds up those of the ranks before each one (an
 *            exclusive prefix sum) and has the displacements; then MPI_Gatherv
 *   known    MPI_Gatherv alone: where the lengths are known already
 *   padded   MPI_Gather alone: every part is filled up to the longest, which all must know
 *
 * The root has set a newline behind each part; it and all other bytes beside the parts must not be
 * written to. Each part is a function of its rank, and so is its length.
 *
 * What can go wrong: an inclusive prefix sum, which counts a rank's own part too, puts every part
 * where the next one should lie (--fault inclusive). Lengths and displacements are int.
 *
 * Run:     make run P=gatherv N=4 ARGS="--data lines --variant lengths --show"
 * Try:     --data lines --variant padded --show: what is between the lines?
 * Try:     --data lines --variant lengths --fault inclusive --show: where does each line begin?
 * Try:     --data blocks --bytes 1:1M --plot gatherv.svg: up to which size is padding worth while?
 * Test:    -n 1 --show
 * Test:    -n 4 --root 3 --show --seconds 0.01
 * Test:    -n 3 --data blocks --bytes 0:5 --root 1 --in-place
 * Test:    -n 7 --data all --bytes 1001 --in-place
 * Test:    -n 2 --data blocks --bytes 32M --iterations 2
 * Test(1): -n 3 --variant lengths --fault inclusive --show
 * Test(1): -n 1 --data blocks --variant known --bytes 5 --in-place --fault inclusive
 * Test:    -n 2 --data blocks --bytes 0 --fault inclusive
 * Test:    -n 2 --variant padded --fault inclusive
 * Test(2): -n 2 --bytes 1G
 * Test(2): -n 2 --root 2
 */
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "local/lib/data.h"
#include "mpi/lib/timing.h"
#include "mpi/lib/verify.h"
#include "mpi/lib/world.h"

static struct {
    struct range bytes;
    const char *data, *variant, *fault;
    size_t seed;
    int root;
    bool in_place, show;
    struct timing_options timing;
} opt = { .bytes = { 1024, 1024 }, .data = "all", .variant = "all", .timing = TIMING_DEFAULTS };

static struct plot plot = {
    .title = "Parts of different lengths to the root",
    .x = "bytes", .x_label = "all parts together (bytes)",
    .y = "median_s", .low = "p10_s", .high = "p90_s",
    .y_label = "until the last rank has left (us): median, p10 to p90",
    .series = "variant",
};

static const struct arg options[] = {
    { "data", ARG_CHOICE, &opt.data, "what is gathered", .choices = "lines|blocks|all" },
    { "bytes", ARG_RANGE, &opt.bytes, "sizes of a block; some have less, or half as much again" },
    { "variant", ARG_CHOICE, &opt.variant, "how it is gathered",
      .choices = "lengths|known|padded|all" },
    { "root", ARG_INT, &opt.root, "rank that gathers" },
    { "in-place", ARG_FLAG, &opt.in_place, "the root's part lies in the result from the start" },
    { "seed", ARG_SIZE, &opt.seed, "other blocks" },
    { "show", ARG_FLAG, &opt.show, "print where each part lies, and the lines as they arrived" },
    { "fault", ARG_CHOICE, &opt.fault, "make displacements that count a rank's own part too",
      .choices = "inclusive" },
    TIMING_ARGS(&opt.timing),
    PLOT_ARG(&plot),
    ARGS_END,
};

enum { LINE_MOST = 80, BESIDE = '\n' }; /* bytes of a line; what lies beside the parts */

struct gather {
    const struct world *world;
    bool lines;
    size_t size;           /* of a block: --bytes */
    int length, longest;   /* of my part, and of the longest */
    uint64_t bytes;        /* of all parts together */
    unsigned char *part;   /* `longest` bytes: mine, filled up */
    const void *from;      /* my part, or MPI_IN_PLACE */
    int *lengths, *starts; /* one entry a rank; as are `all`, significant on the root only */
    unsigned char *all;
    size_t room;           /* of `all` */
};

/* ---- The three ways ---- */

static void gather_lengths(struct gather *g)
{
    MPI_Gather(&g->length, 1, MPI_INT, g->lengths, 1, MPI_INT, opt.root, g->world->comm);
    int start = 0;
    for (int rank = 0; g->world->rank == opt.root && rank < g->world->size; rank++) {
        const int next = start + g->lengths[rank] + 1; /* a newline behind each part */
        g->starts[rank] = arg_is(opt.fault, "inclusive") ? next : start;
        start = next;
    }
}

static void known(void *arg)
{
    const struct gather *g = arg;

    MPI_Gatherv(g->from, g->length, MPI_BYTE, g->all, g->lengths, g->starts, MPI_BYTE, opt.root,
                g->world->comm);
}

static void lengths(void *arg)
{
    gather_lengths(arg);
    known(arg);
}

static void padded(void *arg)
{
    const struct gather *g = arg;

    MPI_Gather(g->from, g->longest, MPI_BYTE, g->all, g->longest, MPI_BYTE, opt.root,
               g->world->comm);
}

static const struct variant {
    const char *name;
    void (*gather)(void *gather);
} variants[] = { { "lengths", lengths }, { "known", known }, { "padded", padded } };

/* ---- The parts: functions of their rank ---- */

static int line_of(int rank, char line[LINE_MOST])
{
    int length = 0;

    line[0] = '\0';
    if (rank % 4 != 2)
        length = snprintf(line, LINE_MOST, "rank %d goes on", rank);
    for (int i = 0; length > 0 && i < rank % 7; i++)
        length += snprintf(line + length, LINE_MOST - (size_t)length, " and on");
    return length;
}

static int length_of(const struct gather *g, int rank)
{
    const size_t blocks[4] = { g->size, g->size / 2, 0, g->size + g->size / 2 };
    char line[LINE_MOST];

    return g->lines ? line_of(rank, line) : (int)blocks[rank % 4];
}

static void fill_part(const struct gather *g)
{
    char line[LINE_MOST];

    memset(g->part, BESIDE, (size_t)g->longest);
    if (g->lines)
        memcpy(g->part, line, (size_t)line_of(g->world->rank, line));
    else
        bytes_fill(g->part, (uint64_t)g->world->rank << 32, (uint64_t)g->length, opt.seed);
}

/* How many bytes of the part of `rank` are right, from its first on. */
static size_t right_bytes(const struct gather *g, int rank, const unsigned char *part)
{
    const size_t length = (size_t)length_of(g, rank);
    char line[LINE_MOST];
    size_t i = 0;

    if (!g->lines)
        return bytes_check(part, (uint64_t)rank << 32, length, opt.seed);
    line_of(rank, line);
    while (i < length && part[i] == (unsigned char)line[i])
        i++;
    return i;
}

/* ---- The result ---- */

/* As it must be before: newlines, and with --in-place the root's own part. */
static void clear_result(const struct gather *g, const struct variant *variant)
{
    if (g->world->rank != opt.root)
        return;
    memset(g->all, BESIDE, g->room);
    if (g->from == MPI_IN_PLACE) {
        const size_t start = variant->gather == padded ? (size_t)opt.root * (size_t)g->longest
                                                       : (size_t)g->starts[opt.root];
        memcpy(g->all + start, g->part, (size_t)g->length);
    }
}

/* The root walks over all its bytes: each part in its place, where `stride` is how far the parts
 * lie apart (0: one newline), and nothing beside. */
static struct verdict check(const struct gather *g, size_t stride)
{
    size_t place = 0, wrong = SIZE_MAX, end = 0;
    int at = -1;

    for (int rank = 0; g->world->rank == opt.root && rank <= g->world->size; rank++) {
        const bool last = rank == g->world->size;
        const size_t start = last ? g->room : stride ? (size_t)rank * stride : end;
        for (; place < start && wrong == SIZE_MAX; place++)
            if (g->all[place] != BESIDE)
                wrong = place;
        if (wrong != SIZE_MAX || last)
            break;
        place += right_bytes(g, rank, g->all + start);
        end = start + (size_t)length_of(g, rank) + 1;
        if (place < end - 1) {
            wrong = place;
            at = rank;
        }
    }
    if (at < 0)
        return verify_places(g->world, wrong, "byte %zu of the result, beside the parts, was "
                             "written to", wrong);
    return verify_places(g->world, wrong, "byte %zu of the result is not that of the part of rank "
                         "%d", wrong, at);
}

static void show(const struct gather *g, const struct variant *variant)
{
    const size_t size = (size_t)g->world->size, most = 96; /* bytes of a line of numbers */
    size_t end = 0, used = g->lines ? g->room : 0;
    char *const text = world_alloc(g->world, most * size + used + 2, 1);

    text[0] = '\0';
    if (g->world->rank == opt.root) {
        for (int rank = 0; rank < g->world->size; rank++)
            end += (size_t)snprintf(
                text + end, most, "%s: %d bytes of rank %d from %d on\n", variant->name,
                g->lengths[rank], rank,
                variant->gather == padded ? rank * g->longest : g->starts[rank]);
        while (used > 0 && g->all[used - 1] == BESIDE)
            used--;
        memcpy(text + end, g->all, used);
        strcpy(text + end + used, used > 0 ? "\n" : "");
    }
    world_print(g->world, text);
    free(text);
}

/* ---- Runs ---- */

static void gather_open(struct gather *g, const struct world *w, bool lines, size_t size)
{
    *g = (struct gather){ .world = w, .lines = lines, .size = size };
    g->length = length_of(g, w->rank);
    MPI_Allreduce(&g->length, &g->longest, 1, MPI_INT, MPI_MAX, w->comm);
    const uint64_t length = (uint64_t)g->length;
    MPI_Allreduce(&length, &g->bytes, 1, MPI_UINT64_T, MPI_SUM, w->comm);
    g->part = world_alloc(w, (size_t)g->longest, 1);
    fill_part(g);
    g->from = opt.in_place && w->rank == opt.root ? MPI_IN_PLACE : g->part;
    g->lengths = world_alloc(w, (size_t)w->size, sizeof *g->lengths);
    g->starts = world_alloc(w, (size_t)w->size, sizeof *g->starts);
    gather_lengths(g);
    if (w->rank == opt.root) { /* room for the longest more than is needed: for --fault inclusive */
        g->room = (size_t)(g->longest + 1) * (size_t)(w->size + 1);
        g->all = world_alloc(w, g->room, 1);
    }
}

static void gather_close(struct gather *g)
{
    free(g->all);
    free(g->starts);
    free(g->lengths);
    free(g->part);
}

static void add_row(struct world *w, const struct gather *g, const struct variant *variant,
                    const struct timing *timing, bool right)
{
    struct record row = w->program.record;
    int empty = 0;

    for (int rank = 0; rank < w->size; rank++)
        empty += length_of(g, rank) == 0;
    record_text(&row, "variant", variant->name);
    record_text(&row, "data", g->lines ? "lines" : "blocks");
    record_int(&row, "longest", g->longest);
    record_int(&row, "empty", empty);
    timing_fields(&row, timing, g->bytes, right);
    record_bool(&row, "verified", right);
    program_row(&w->program, &row);
}

static struct verdict run_variant(struct world *w, struct gather *g, const struct variant *variant)
{
    const size_t stride = variant->gather == padded ? (size_t)g->longest : 0;
    struct timing timing = { .start = opt.timing.start };

    clear_result(g, variant);
    variant->gather(g);
    if (opt.show)
        show(g, variant);
    struct verdict verdict = check(g, stride);
    if (verdict.right) {
        clear_result(g, variant);
        timing = timing_run(w, &opt.timing, g->bytes, variant->gather, g);
        verdict = check(g, stride);
    }
    add_row(w, g, variant, &timing, verdict.right);
    return verdict;
}

static struct verdict run_data(struct world *w, bool lines, size_t size)
{
    struct verdict verdict = { .right = true };
    struct gather g;

    gather_open(&g, w, lines, size);
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++)
        if (arg_is(opt.variant, "all") || arg_is(opt.variant, variants[i].name))
            verdict = verdict_both(verdict, run_variant(w, &g, &variants[i]));
    gather_close(&g);
    return verdict;
}

static enum status run(struct world *w)
{
    const bool lines = !arg_is(opt.data, "blocks"), blocks = !arg_is(opt.data, "lines");
    struct verdict verdict = { .right = true };
    size_t size = opt.bytes.from;
    char sizes[64], told[96];

    if (lines)
        verdict = run_data(w, true, 0);
    do
        if (blocks)
            verdict = verdict_both(verdict, run_data(w, false, size));
    while ((size = range_next(&opt.bytes, size)) > 0);

    program_fault(&w->program, opt.fault, verdict.right, arg_is(opt.variant, "padded")
                  ? "padded makes no displacements" : "there is nothing to gather");
    if (!verdict.right)
        return program_verdict(&w->program, false, "%s", verdict.wrong);
    snprintf(told, sizeof told, "%s%sblocks of about %s bytes", lines ? "lines" : "",
             lines ? " and " : "", range_text(&opt.bytes, sizes));
    return program_verdict(&w->program, true, "%s of %d rank%s, in rank order and nothing else",
                           blocks ? told : "lines", w->size, w->size == 1 ? "" : "s");
}

int main(int argc, char **argv)
{
    struct world w;
    enum status status = world_open(&w, argc, argv, MPI_THREAD_SINGLE, 1, options);

    if (status == PASS && (opt.root < 0 || opt.root >= w.size))
        status = world_usage(&w, "--root %d: ranks are 0 to %d: choose one of them", opt.root,
                             w.size - 1);
    const size_t most = status == PASS ? (INT_MAX / ((size_t)w.size + 1) - 1) / 3 * 2 : 0;
    if (status == PASS && opt.bytes.to > most)
        status = world_usage(&w, "--bytes %zu: displacements of MPI are int: give at most %zu",
                             opt.bytes.to, most);
    if (status == PASS)
        status = world_agree(&w, program_plot(&w.program, &plot));
    if (status == PASS)
        status = run(&w);
    return world_close(&w, status);
}
