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
 * Try:     --count 8:64K --algorithm all: does it pay to let others hand on what they have got?
 * Test:    -n 1 --show
 * Test:    -n 3 --count 1000 --root 2 --in-place
 * Test:    -n 5 --count 77 --root 2 --in-place --algorithm all
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
#include "mpi/lib/blocks.h"
#include "mpi/lib/coll/bound.h"
#include "mpi/lib/coll/scatter.h"
#include "mpi/lib/compare.h"
#include "mpi/lib/show.h"

static struct {
    struct range count;
    int root;
    size_t seed;
    const char *input, *fault;
    bool in_place, show;
    struct compare_options compare;
} opt = { .count = { 1000, 1000 }, .compare = COMPARE_DEFAULTS(0) };

static const struct arg options[] = {
    { "count", ARG_RANGE, &opt.count, "elements of 8 bytes in all" },
    { "root", ARG_INT, &opt.root, "rank that holds the whole array" },
    { "seed", ARG_SIZE, &opt.seed, "other elements" },
    { "input", ARG_INPUT, &opt.input, "scatter the bytes of this file instead" },
    { "in-place", ARG_FLAG, &opt.in_place,
      "the root's block stays in the array (always with --input)" },
    { "show", ARG_FLAG, &opt.show, "print the array before and the blocks after" },
    { "fault", ARG_CHOICE, &opt.fault, "make a mistake on purpose", .choices = "drop|corrupt" },
    COMPARE_ARGS(&opt.compare),
    ARGS_END,
};

struct scatter {
    struct world *world;
    MPI_Datatype type;
    struct blocks blocks; /* in units of `type` */
    void *all;            /* the whole array, on the root only */
    void *block;          /* my part of it, or MPI_IN_PLACE */
    uint64_t *guarded;    /* elements: my part with a guard word on both sides */
    uint64_t count;
};

static int scatter(void *arg, const struct coll_algorithm *algorithm,
                   const struct coll_options *coll)
{
    const struct scatter *s = arg;
    const int mine = s->blocks.counts[s->world->rank];

    if (algorithm)
        return algorithm->scatter(s->all, s->blocks.counts, s->type, s->block, opt.root,
                                  s->world->comm, coll);
    if (s->blocks.even)
        return MPI_Scatter(s->all, mine, s->type, s->block, mine, s->type, opt.root,
                           s->world->comm);
    return MPI_Scatterv(s->all, s->blocks.counts, s->blocks.starts, s->type, s->block, mine,
                        s->type, opt.root, s->world->comm);
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

static void fields(const void *arg, struct record *row)
{
    const struct scatter *s = arg;

    record_text(row, "call", s->blocks.even ? "MPI_Scatter" : "MPI_Scatterv");
    record_int(row, "count", (int64_t)s->count);
}

/* --fault: the mistakes that the check must catch. */
static void make_fault(struct scatter *s, uint64_t total, uint64_t bytes)
{
    struct world *const w = s->world;
    const uint64_t size = (uint64_t)w->size;
    bool strikes = true;

    if (arg_is(opt.fault, "drop")) {
        for (uint64_t rank = 0; rank < size; rank++) {
            s->blocks.counts[rank] = (int)(total / size);
            s->blocks.starts[rank] = (int)(rank * (total / size));
        }
        s->blocks.even = true;
        strikes = total % size > 0;
    } else if (arg_is(opt.fault, "corrupt")) {
        strikes = bytes > 0;
        if (s->all && strikes)
            ((unsigned char *)s->all)[bytes / 2] ^= 1;
    }
    program_fault(&w->program, opt.fault, !strikes,
                  bytes ? "nothing is left over" : "there is nothing to scatter");
}

static const uint64_t guard = UINT64_C(0xdeadbeefdeadbeef);

/* This rank's block: with --in-place the root's stays in the array. */
static uint64_t *my_block(const struct scatter *s)
{
    return s->block == MPI_IN_PLACE ? (uint64_t *)s->all + s->blocks.starts[s->world->rank]
                                    : s->guarded + 1;
}

static uint64_t open_elements(void *arg, uint64_t bytes)
{
    struct scatter *s = arg;
    struct world *const w = s->world;
    const bool root = w->rank == opt.root;

    s->count = bytes / sizeof(uint64_t);
    s->blocks = blocks_open(w, s->count);
    s->type = MPI_UINT64_T;
    s->all = root ? world_alloc(w, s->count, sizeof(uint64_t)) : NULL;
    if (root)
        elements_fill(s->all, 0, s->count, opt.seed);
    make_fault(s, s->count, bytes);
    s->guarded = world_alloc(w, (size_t)s->blocks.counts[w->rank] + 2, sizeof(uint64_t));
    s->block = root && opt.in_place ? MPI_IN_PLACE : (void *)(s->guarded + 1);
    return bytes;
}

static void close_elements(void *arg)
{
    struct scatter *s = arg;

    free(s->guarded);
    free(s->all);
    blocks_close(&s->blocks);
}

static void clear_elements(void *arg)
{
    const struct scatter *s = arg;
    const uint64_t held = (uint64_t)s->blocks.counts[s->world->rank];

    memset(s->guarded, 0, (held + 2) * sizeof *s->guarded);
    s->guarded[0] = s->guarded[held + 1] = guard;
}

/* Whether all elements are where they belong: the blocks right, complete, and nothing beside. */
static struct verdict check_elements(void *arg)
{
    const struct scatter *s = arg;
    const struct world *const w = s->world;
    const uint64_t start = (uint64_t)s->blocks.starts[w->rank];
    const uint64_t held = (uint64_t)s->blocks.counts[w->rank];
    const bool intact = s->guarded[0] == guard && s->guarded[held + 1] == guard;
    struct verdict verdict = verify_elements(w, my_block(s), start, held, opt.seed);

    verdict = verdict_both(verdict, verify_total(w, held, s->count, "elements"));
    return verdict_both(verdict, verify_places(w, intact ? UINT64_MAX : start,
                                               "rank %d: written beside its block", w->rank));
}

static void show_blocks(void *arg, const char *when)
{
    const struct scatter *s = arg;

    if (strcmp(when, "before") == 0)
        show_elements(s->world, when, s->all, s->count);
    else
        show_elements(s->world, when, my_block(s), (uint64_t)s->blocks.counts[s->world->rank]);
}

static enum status run_elements(struct world *w)
{
    struct scatter s = { .world = w };
    const struct compare compare = {
        .algorithms = coll_scatter_algorithms,
        .op = MPI_OP_NULL,
        .unit = sizeof(uint64_t),
        .bound = coll_bound_blocks,
        .arg = &s,
        .open = open_elements,
        .close = close_elements,
        .fill = clear_elements,
        .call = scatter,
        .check = check_elements,
        .fields = fields,
        .show = opt.show ? show_blocks : NULL,
    };
    char counts[64], what[128];

    opt.compare.bytes = (struct range){ opt.count.from * sizeof(uint64_t),
                                        opt.count.to * sizeof(uint64_t) };
    if (opt.count.from == opt.count.to) /* in a sweep the row tells the call, that is enough */
        tell_blocks(w, "elements", opt.count.to);
    snprintf(what, sizeof what, "%s elements, each in its place", range_text(&opt.count, counts));
    return compare_run(w, &compare, &opt.compare, what);
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
    const uint64_t start = (uint64_t)s->blocks.starts[rank] * unit;
    const uint64_t count = (uint64_t)s->blocks.counts[rank] * unit;
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
        if (parts[rank].bytes != expected[rank].bytes ||
            parts[rank].digest != expected[rank].digest)
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

static void scatter_file(void *arg)
{
    scatter(arg, NULL, NULL);
}

static void add_file_row(struct world *w, const struct scatter *s, uint64_t length,
                         const struct timing *timing, bool right)
{
    struct record row = w->program.record;

    fields(s, &row);
    timing_fields(&row, timing, length, right);
    record_bool(&row, "verified", right);
    program_row(&w->program, &row);
    if (w->rank == 0 && right)
        timing_notes(&w->program, timing);
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
    struct scatter s = { .world = w, .type = type, .count = length,
                         .blocks = blocks_open(w, (length + unit - 1) / unit) };
    const size_t mine_count = (size_t)s.blocks.counts[w->rank];
    unsigned char *block = root ? NULL : world_alloc(w, mine_count, (size_t)unit);
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
    make_fault(&s, units, length);
    const struct timing timing = timing_run(w, &opt.compare.timing, length, scatter_file, &s);
    const struct block mine = bytes_of(&s, w->rank, unit, length);
    const struct part held = part_of(root ? all + mine.start : block, mine.count);
    const struct verdict verdict = check_parts(w, expected, held);

    if (opt.show)
        show_part(w, mine, held);
    add_file_row(w, &s, length, &timing, verdict.right);
    tell_memory(w);
    free(expected);
    free(block);
    free(all);
    blocks_close(&s.blocks);
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
    if (status == PASS && opt.input && strcmp(opt.compare.algorithm, "mpi") != 0)
        status = world_usage(&w, "--input goes by MPI's own call alone: leave out --algorithm");
    if (status == PASS)
        status = opt.input ? run_file(&w) : run_elements(&w);
    return world_close(&w, status);
}
