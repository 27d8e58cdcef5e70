/*
 * allgather - what all ranks have, in rank order on all of them
 *
 * MPI_Allgather is MPI_Gather without a root: every rank gets the whole, --bytes long, of which its
 * own block is one part. So memory grows with the number of ranks, and the data that arrives
 * somewhere grows with its square. Where the elements do not divide, MPI_Allgatherv is told the
 * counts, which all ranks must know.
 *
 * What can go wrong: algorithms for a power of two of ranks are often wrong or slow for others; run
 * 5, 6, 7. --fault mine_only leaves it at the own block, as if the ranks shared the memory.
 *
 * Run:     make run P=allgather N=4 ARGS="--show"
 * Try:     --algorithm all --bytes 64:1M: lg p or p - 1 steps, up to which size does it tell?
 * Try:     --algorithm recursive_doubling on 4, then on 5 ranks: what does the fifth one cost?
 * Test:    -n 1 --show
 * Test:    -n 3 --bytes 0 --algorithm all
 * Test:    -n 5 --bytes 1000 --algorithm all --in-place --show
 * Test:    -n 7 --bytes 8:16K --seconds 0.01
 * Test(1): -n 3 --fault mine_only
 * Test:    -n 1 --fault mine_only
 * Test(1): -n 3 --fault corrupt --bytes 80
 */
#include <stdlib.h>
#include <string.h>

#include "local/lib/data.h"
#include "mpi/lib/blocks.h"
#include "mpi/lib/coll/allgather.h"
#include "mpi/lib/coll/bound.h"
#include "mpi/lib/compare.h"
#include "mpi/lib/show.h"

static struct {
    struct compare_options compare;
    size_t seed;
    bool in_place, show;
    const char *fault;
} opt = { .compare = COMPARE_DEFAULTS(64) };

static const struct arg options[] = {
    { "bytes", ARG_RANGE, &opt.compare.bytes, "size of the whole, in elements of 8 bytes" },
    { "seed", ARG_SIZE, &opt.seed, "other elements" },
    { "in-place", ARG_FLAG, &opt.in_place, "each rank's block lies in its place already" },
    { "show", ARG_FLAG, &opt.show, "print what each rank holds before and after" },
    { "fault", ARG_CHOICE, &opt.fault, "leave out the call, or spoil an element of the last rank",
      .choices = "mine_only|corrupt" },
    COMPARE_ARGS(&opt.compare),
    ARGS_END,
};

struct allgather {
    struct world *world;
    struct blocks blocks;
    int count;      /* elements of the whole */
    uint64_t *mine; /* this rank's block; with --in-place it lies in the whole */
    uint64_t *whole;
};

static int call(void *arg, const struct coll_algorithm *algorithm,
                const struct coll_options *coll)
{
    const struct allgather *g = arg;
    const int mine = g->blocks.counts[g->world->rank];
    const void *const sendbuf = opt.in_place ? MPI_IN_PLACE : (void *)g->mine;

    if (arg_is(opt.fault, "mine_only"))
        return 0;
    if (algorithm)
        return algorithm->allgather(sendbuf, g->whole, g->blocks.counts, MPI_UINT64_T,
                                    g->world->comm, coll);
    if (g->blocks.even)
        return MPI_Allgather(sendbuf, mine, MPI_UINT64_T, g->whole, mine, MPI_UINT64_T,
                             g->world->comm);
    return MPI_Allgatherv(sendbuf, mine, MPI_UINT64_T, g->whole, g->blocks.counts,
                          g->blocks.starts, MPI_UINT64_T, g->world->comm);
}

static uint64_t open_blocks(void *arg, uint64_t bytes)
{
    struct allgather *g = arg;
    const struct world *const w = g->world;

    g->count = (int)(bytes / sizeof *g->whole);
    g->blocks = blocks_open(w, (uint64_t)g->count);
    g->whole = world_alloc(w, (size_t)g->count, sizeof *g->whole);
    g->mine = opt.in_place ? g->whole + g->blocks.starts[w->rank]
                           : world_alloc(w, (size_t)g->blocks.counts[w->rank], sizeof *g->mine);
    return (uint64_t)g->count * sizeof *g->whole;
}

static void close_blocks(void *arg)
{
    struct allgather *g = arg;

    if (!opt.in_place)
        free(g->mine);
    free(g->whole);
    blocks_close(&g->blocks);
}

static void fill(void *arg)
{
    const struct allgather *g = arg;
    const int rank = g->world->rank, own = g->blocks.counts[rank];
    const bool spoil = arg_is(opt.fault, "corrupt") && rank == g->world->size - 1 && own > 0;

    memset(g->whole, 0, (size_t)g->count * sizeof *g->whole);
    elements_fill(g->mine, (uint64_t)g->blocks.starts[rank], (uint64_t)own, opt.seed);
    if (spoil)
        g->mine[own / 2] ^= 1;
    if (arg_is(opt.fault, "mine_only") && own > 0)
        memmove(g->whole + g->blocks.starts[rank], g->mine, (size_t)own * sizeof *g->mine);
}

static struct verdict check(void *arg)
{
    const struct allgather *g = arg;
    const uint64_t count = (uint64_t)g->count;
    const uint64_t right = elements_check(g->whole, 0, count, opt.seed);

    return verify_places(g->world, right == count ? UINT64_MAX : right,
                         "element %d is wrong on rank %d", (int)right, g->world->rank);
}

static void show(void *arg, const char *when)
{
    const struct allgather *g = arg;

    if (strcmp(when, "before") == 0)
        show_elements(g->world, when, g->mine, (uint64_t)g->blocks.counts[g->world->rank]);
    else
        show_elements(g->world, when, g->whole, (uint64_t)g->count);
}

int main(int argc, char **argv)
{
    struct world w;
    enum status status = world_open(&w, argc, argv, MPI_THREAD_SINGLE, 1, options);
    struct allgather g = { .world = &w };
    const struct compare compare = {
        .algorithms = coll_allgather_algorithms,
        .op = MPI_OP_NULL,
        .unit = sizeof *g.whole,
        .bound = coll_bound_blocks,
        .arg = &g,
        .open = open_blocks,
        .close = close_blocks,
        .fill = fill,
        .call = call,
        .check = check,
        .show = opt.show ? show : NULL,
    };
    char sizes[64], what[128];

    snprintf(what, sizeof what, "%s bytes, the whole in rank order",
             range_text(&opt.compare.bytes, sizes));
    if (status == PASS)
        status = compare_run(&w, &compare, &opt.compare, what);
    if (status == PASS)
        program_fault(&w.program, opt.fault, true, arg_is(opt.fault, "corrupt") || w.size > 1
                      ? "there is no element" : "one rank's own block is the whole");
    return world_close(&w, status);
}
