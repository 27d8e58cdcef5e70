/*
 * scatter - hand every rank its own block of the root's array
 *
 * The root's array of --count elements is cut into one block a rank. When the count does not
 * divide, the first count % ranks blocks are one element longer, and the blocks are handed out by
 * MPI_Scatterv, which takes a count and a displacement for each rank; otherwise MPI_Scatter will
 * do. Every element is a function of its place in the whole array, so each rank can tell alone
 * that its block is the right one; the guard words around it show that nothing was written beside.
 *
 * With --input the array is a file of any length. Each rank digests the bytes it got, the root
 * gathers the digests and compares them with its own: every byte arrived, exactly once.
 *
 * What can go wrong: count / ranks drops the remainder in silence (--fault drop shows it); a
 * receive count that is not the sender's is an error on some ranks and a hang on others; counts
 * are int, so long arrays need a larger datatype (see --input).
 *
 * Run:     make run P=scatter N=4 ARGS="--count 10 --show"
 * Try:     --count 10 --show on 4 ranks: who gets the two elements left over?
 * Try:     --count 10 --fault drop --show: which elements does nobody hold?
 * Try:     --count 8:4M: from which size on does the time grow with the size?
 * Test:    -n 1 --show
 * Test:    -n 3 --count 1000 --root 2 --in-place
 * Test:    -n 4 --count 0 --show
 * Test:    -n 5 --count 1:100 --seconds 0.01
 * Test:    -n 3 --input mpi/collective/scatter.c --show
 * Test(1): -n 3 --input mpi/collective/scatter.c --fault corrupt
 * Test(1): -n 3 --input tests/unit/ten_bytes --fault drop
 * Test:    -n 3 --input /dev/null --root 1
 * Test:    -n 2 --start window --iterations 100
 * Test(1): -n 3 --count 8 --fault drop
 * Test:    -n 4 --count 8 --fault drop
 * Test(1): -n 3 --count 1000 --fault corrupt
 * Test(2): -n 2 --count 10x
 * Test(2): -n 2 --count -1
 * Test(2): -n 2 --count 3G
 * Test(2): -n 2 --root 9
 * Test(2): -n 2 --root -1
 * Test(2): -n 2 --input /nonexistent
 * Test(2): -n 2 --input /
 */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "local/lib/data.h"
#include "local/lib/file.h"
#include "local/lib/memory.h"
#include "mpi/lib/show.h"
#include "mpi/lib/timing.h"
#include "mpi/lib/verify.h"
#include "mpi/lib/world.h"

static struct {
    struct range count;
    int root;
    size_t seed;
    const char *input, *fault;
    bool in_place, show;
    struct timing_options timing;
} opt = { .count = { 1000, 1000 }, .timing = TIMING_DEFAULTS };

static const struct arg options[] = {
    { "count", ARG_RANGE, &opt.count, "elements of 8 bytes in all" },
    { "root", ARG_INT, &opt.root, "rank that holds the whole array" },
    { "seed", ARG_SIZE, &opt.seed, "other elements" },
    { "input", ARG_TEXT, &opt.input, "scatter the bytes of this file instead" },
    { "in-place", ARG_FLAG, &opt.in_place, "the root's block stays in the array (always with --input)" },
    { "show", ARG_FLAG, &opt.show, "print the array before and the blocks after" },
    { "fault", ARG_CHOICE, &opt.fault, "make a mistake on purpose", .choices = "drop|corrupt" },
    TIMING_ARGS(&opt.timing),
    ARGS_END,
};

struct scatter {
    const struct world *world;
    MPI_Datatype type;
    int *counts, *starts; /* one entry a rank, in units of `type` */
    bool even;            /* all counts are the same */
    void *all;            /* the whole array, on the root only */
    void *block;          /* my part of it, or MPI_IN_PLACE */
};

static void scatter(void *arg)
{
    const struct scatter *s = arg;
    const int mine = s->counts[s->world->rank];

    if (s->even)
        MPI_Scatter(s->all, mine, s->type, s->block, mine, s->type, opt.root, s->world->comm);
    else
        MPI_Scatterv(s->all, s->counts, s->starts, s->type, s->block, mine, s->type, opt.root,
                     s->world->comm);
}

/* Cuts `total` units of `type` into one block a rank. */
static struct scatter scatter_open(const struct world *w, uint64_t total, MPI_Datatype type)
{
    const uint64_t size = (uint64_t)w->size;
    struct scatter s = {
        .world = w,
        .type = type,
        .counts = world_alloc(w, (size_t)size, sizeof *s.counts),
        .starts = world_alloc(w, (size_t)size, sizeof *s.starts),
        .even = total % size == 0,
    };

    for (uint64_t rank = 0; rank < size; rank++) {
        const struct block block = block_of(total, size, rank);
        s.counts[rank] = (int)block.count;
        s.starts[rank] = (int)block.start;
    }
    return s;
}

static void scatter_close(struct scatter *s)
{
    free(s->starts);
    free(s->counts);
}

static void tell_blocks(struct world *w, const char *units, uint64_t total)
{
    const uint64_t size = (uint64_t)w->size, least = total / size, longer = total % size;
    char first[32] = "rank 0";

    if (longer > 1)
        snprintf(first, sizeof first, "ranks 0 to %" PRIu64, longer - 1);
    if (longer > 0)
        program_note(&w->program, "%" PRIu64 " %s over %d ranks: %" PRIu64 " on %s, %" PRIu64
                     " on the others (MPI_Scatterv)", total, units, w->size, least + 1, first,
                     least);
    else
        program_note(&w->program, "%" PRIu64 " %s over %d rank%s: %" PRIu64 " on each "
                     "(MPI_Scatter)", total, units, w->size, w->size == 1 ? "" : "s", least);
}

static void add_row(struct world *w, const struct scatter *s, uint64_t count, uint64_t bytes,
                    const struct timing *timing, bool right)
{
    struct record row = w->program.record;

    record_text(&row, "call", s->even ? "MPI_Scatter" : "MPI_Scatterv");
    record_int(&row, "count", (int64_t)count);
    timing_fields(&row, timing, bytes, right);
    record_bool(&row, "verified", right);
    program_row(&w->program, &row);
    if (w->rank == 0 && right)
        timing_notes(&w->program, timing);
}

/* --fault: the mistakes that the check must catch. */
static void make_fault(struct world *w, struct scatter *s, uint64_t total, uint64_t bytes)
{
    const uint64_t size = (uint64_t)w->size;
    bool strikes = true;

    if (arg_is(opt.fault, "drop")) {
        for (uint64_t rank = 0; rank < size; rank++) {
            s->counts[rank] = (int)(total / size);
            s->starts[rank] = (int)(rank * (total / size));
        }
        s->even = true;
        strikes = total % size > 0;
    } else if (arg_is(opt.fault, "corrupt")) {
        strikes = bytes > 0;
        if (s->all && strikes)
            ((unsigned char *)s->all)[bytes / 2] ^= 1;
    }
    if (!strikes)
        program_note(&w->program, "--fault %s does not strike: %s", opt.fault,
                     bytes ? "nothing is left over" : "there is nothing to scatter");
}

static const uint64_t guard = UINT64_C(0xdeadbeefdeadbeef);

/* Whether all elements are where they belong: the blocks right, complete, and nothing beside. */
static struct verdict check_elements(const struct scatter *s, const uint64_t *mine, uint64_t count)
{
    const struct world *w = s->world;
    const uint64_t start = (uint64_t)s->starts[w->rank], held = (uint64_t)s->counts[w->rank];
    struct verdict verdict = verify_elements(w, mine, start, held, opt.seed);

    verdict = verdict_both(verdict, verify_total(w, held, count, "elements"));
    const bool intact = s->block == MPI_IN_PLACE || (mine[-1] == guard && mine[held] == guard);
    return verdict_both(verdict, verify_places(w, intact ? UINT64_MAX : start,
                                               "rank %d: written beside its block", w->rank));
}

static struct verdict run_elements(struct world *w, uint64_t count)
{
    const bool root = w->rank == opt.root;
    struct scatter s = scatter_open(w, count, MPI_UINT64_T);
    uint64_t *all = root ? world_alloc(w, count, sizeof *all) : NULL;
    uint64_t *guarded = world_alloc(w, (size_t)s.counts[w->rank] + 2, sizeof *guarded);
    uint64_t *mine = guarded + 1;
    struct timing timing = { .start = opt.timing.start };

    if (root)
        elements_fill(all, 0, count, opt.seed);
    s.all = all;
    s.block = mine;
    make_fault(w, &s, count, count * sizeof *all);
    const uint64_t held = (uint64_t)s.counts[w->rank];
    memset(mine, 0, held * sizeof *mine);
    mine[-1] = mine[held] = guard;
    if (root && opt.in_place) {
        s.block = MPI_IN_PLACE;
        mine = all + s.starts[w->rank];
    }

    if (opt.count.from == opt.count.to) /* in a sweep the row tells the call, that is enough */
        tell_blocks(w, "elements", count);
    if (opt.show)
        show_elements(w, "before", all, count);
    scatter(&s);
    if (opt.show)
        show_elements(w, "after ", mine, held);
    struct verdict verdict = check_elements(&s, mine, count);
    if (verdict.right) {
        timing = timing_run(w, &opt.timing, count * sizeof *all, scatter, &s);
        verdict = check_elements(&s, mine, count);
    }
    add_row(w, &s, count, count * sizeof *all, &timing, verdict.right);
    free(guarded);
    free(all);
    scatter_close(&s);
    return verdict;
}

static enum status run_range(struct world *w)
{
    struct verdict verdict = { .right = true };
    uint64_t count = opt.count.from;

    do
        verdict = verdict_both(verdict, run_elements(w, count));
    while ((count = range_next(&opt.count, count)) > 0);

    if (!verdict.right)
        return program_verdict(&w->program, false, "%s", verdict.wrong);
    if (opt.count.from < opt.count.to)
        return program_verdict(&w->program, true, "%zu to %zu elements, each in its place on %d "
                               "rank%s", opt.count.from, opt.count.to, w->size,
                               w->size == 1 ? "" : "s");
    return program_verdict(&w->program, true, "%zu elements, each in its place on %d rank%s",
                           opt.count.to, w->size, w->size == 1 ? "" : "s");
}

/* What a rank holds of a file, and what the root expects there. */
struct part {
    uint64_t bytes, digest;
};

static struct part part_of(const void *bytes, uint64_t count)
{
    return (struct part){ count, digest(bytes, count) };
}

/* The bytes of a file in block `rank`: the last unit may be cut short by its end. */
static struct block bytes_of(const struct scatter *s, int rank, uint64_t unit, uint64_t length)
{
    const uint64_t start = (uint64_t)s->starts[rank] * unit;
    const uint64_t count = (uint64_t)s->counts[rank] * unit;
    const uint64_t left = start < length ? length - start : 0;

    return (struct block){ start, count < left ? count : left };
}

/* The root compares what every rank says of its block with what it sent. */
static struct verdict check_parts(const struct world *w, const struct part *expected,
                                  struct part mine)
{
    struct part *parts = world_alloc(w, (size_t)w->size, sizeof *parts);
    int wrong = -1;

    MPI_Gather(&mine, 2, MPI_UINT64_T, parts, 2, MPI_UINT64_T, opt.root, w->comm);
    for (int rank = w->size - 1; w->rank == opt.root && rank >= 0; rank--)
        if (parts[rank].bytes != expected[rank].bytes || parts[rank].digest != expected[rank].digest)
            wrong = rank;
    free(parts);
    return verify_places(w, wrong < 0 ? UINT64_MAX : (uint64_t)wrong,
                         "rank %d does not hold the bytes that the root sent it", wrong);
}

static void show_part(const struct world *w, struct block block, struct part part)
{
    char line[128];

    snprintf(line, sizeof line, "rank %d: %" PRIu64 " bytes from %" PRIu64 " on, digest %016" PRIx64
             "\n", w->rank, block.count, block.start, part.digest);
    world_print(w, line);
}

static void tell_memory(struct world *w)
{
    const double peak = 1e-6 * (double)memory_peak_bytes();
    double root_peak = peak, others = w->rank == opt.root ? 0 : peak;

    MPI_Bcast(&root_peak, 1, MPI_DOUBLE, opt.root, w->comm);
    MPI_Allreduce(MPI_IN_PLACE, &others, 1, MPI_DOUBLE, MPI_MAX, w->comm);
    program_note(&w->program, "peak memory: %.1f MB on the root", root_peak);
    if (w->size > 1)
        program_note(&w->program, "peak memory: at most %.1f MB on the other ranks", others);
}

enum { UNIT_MAX = 4096 }; /* bytes; files of up to 8 TiB */

static enum status run_file(struct world *w)
{
    const bool root = w->rank == opt.root;
    unsigned char *all = NULL;
    size_t read = 0;
    uint64_t length = 0, unit = 1;

    if (root && file_read(opt.input, UNIT_MAX, &all, &read)) {
        program_error("--input %s: %s: name a file that can be read", opt.input, strerror(errno));
        length = UINT64_MAX;
    } else {
        length = read;
    }
    MPI_Bcast(&length, 1, MPI_UINT64_T, opt.root, w->comm);
    if (length == UINT64_MAX)
        return USAGE;

    /* Counts are int: a file past 2 GiB goes in units of 2, 4, 8 ... bytes, filled up with 0. */
    while ((length + unit - 1) / unit > INT_MAX && unit < UNIT_MAX)
        unit *= 2;
    MPI_Datatype type;
    MPI_Type_contiguous((int)unit, MPI_BYTE, &type);
    MPI_Type_commit(&type);
    struct scatter s = scatter_open(w, (length + unit - 1) / unit, type);
    unsigned char *block = root ? NULL : world_alloc(w, (size_t)s.counts[w->rank], (size_t)unit);
    s.all = all;
    s.block = root ? MPI_IN_PLACE : block; /* the root holds the file once */

    struct part *expected = root ? world_alloc(w, (size_t)w->size, sizeof *expected) : NULL;
    for (int rank = 0; root && rank < w->size; rank++) {
        const struct block part = bytes_of(&s, rank, unit, length);
        expected[rank] = part_of(all + part.start, part.count);
    }
    const uint64_t units = (length + unit - 1) / unit;
    char unit_name[32] = "bytes";
    if (unit > 1)
        snprintf(unit_name, sizeof unit_name, "units of %" PRIu64 " bytes", unit);
    tell_blocks(w, unit_name, units);
    make_fault(w, &s, units, length);
    const struct timing timing = timing_run(w, &opt.timing, length, scatter, &s);
    const struct block mine = bytes_of(&s, w->rank, unit, length);
    const struct part held = part_of(root ? all + mine.start : block, mine.count);
    const struct verdict verdict = check_parts(w, expected, held);

    if (opt.show)
        show_part(w, mine, held);
    add_row(w, &s, length, length, &timing, verdict.right);
    tell_memory(w);
    free(expected);
    free(block);
    free(all);
    scatter_close(&s);
    MPI_Type_free(&type);
    if (!verdict.right)
        return program_verdict(&w->program, false, "%s", verdict.wrong);
    return program_verdict(&w->program, true, "%" PRIu64 " bytes of %s, each arrived exactly once "
                           "on %d rank%s", length, opt.input, w->size, w->size == 1 ? "" : "s");
}

int main(int argc, char **argv)
{
    struct world w;
    enum status status = world_open(&w, argc, argv, MPI_THREAD_SINGLE, 1, options);

    if (status == PASS && (opt.root < 0 || opt.root >= w.size))
        status = world_usage(&w, "--root %d: ranks are 0 to %d: choose one of them", opt.root,
                             w.size - 1);
    if (status == PASS && opt.count.to > INT_MAX)
        status = world_usage(&w, "--count %zu: counts of MPI are int: give at most %d",
                             opt.count.to, INT_MAX);
    if (status == PASS)
        status = opt.input ? run_file(&w) : run_range(&w);
    return world_close(&w, status);
}
