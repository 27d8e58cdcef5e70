/*
 * gather - what all ranks have, in rank order on the root
 *
 * Element i of the whole is (i + 1)^2. Every rank computes its block of the --bytes and hands it to
 * MPI_Gather, whose root gets the blocks in rank order, whoever came first. Where the elements do
 * not divide, blocks differ by one element, and MPI_Gatherv is told how many come from whom.
 *
 * What can go wrong: the receive count is that of one rank, not of all of them. And the root is one
 * of the ranks: its own block must get into the result as well, as its send buffer, or by
 * MPI_IN_PLACE, which says that it lies there already. --fault skip_own says so, and it does not.
 *
 * Run:     make run P=gather N=4 ARGS="--show"
 * Try:     --bytes 100 --show on 4 ranks: who has more than the others?
 * Try:     --fault skip_own --show: what does the root hold in the place of its own?
 * Try:     --algorithm all --bytes 64:1M: why does nothing beat the bandwidth into one root?
 * Test:    -n 1 --show
 * Test:    -n 3 --bytes 0 --algorithm all
 * Test:    -n 5 --bytes 1000 --algorithm all --root 4 --in-place --show
 * Test:    -n 4 --bytes 8:64K --seconds 0.01
 * Test(1): -n 3 --fault skip_own
 * Test(1): -n 3 --fault corrupt --bytes 80
 * Test(2): -n 2 --root -1
 */
#include <stdlib.h>
#include <string.h>

#include "mpi/lib/blocks.h"
#include "mpi/lib/coll/bound.h"
#include "mpi/lib/coll/gather.h"
#include "mpi/lib/compare.h"
#include "mpi/lib/show.h"

static struct {
    struct compare_options compare;
    int root;
    bool in_place, show;
    const char *fault;
} opt = { .compare = COMPARE_DEFAULTS(32) };

static const struct arg options[] = {
    { "bytes", ARG_RANGE, &opt.compare.bytes, "size of the whole, in elements of 8 bytes" },
    { "root", ARG_INT, &opt.root, "rank that gets the whole" },
    { "in-place", ARG_FLAG, &opt.in_place, "the root's block lies in its place already" },
    { "show", ARG_FLAG, &opt.show, "print the blocks before and the whole after" },
    { "fault", ARG_CHOICE, &opt.fault, "say that the root's block is in its place, or spoil one",
      .choices = "skip_own|corrupt" },
    COMPARE_ARGS(&opt.compare),
    ARGS_END,
};

static const uint64_t nothing = UINT64_C(0xeeeeeeeeeeeeeeee);

struct gather {
    struct world *world;
    struct blocks blocks;
    int count;         /* elements of the whole */
    uint64_t *mine;    /* this rank's block */
    uint64_t *guarded; /* on the root: the whole, with one word before and one behind */
};

static uint64_t square(int place)
{
    return ((uint64_t)place + 1) * ((uint64_t)place + 1);
}

static bool is_in_place(const struct gather *g)
{
    return g->world->rank == opt.root && (opt.in_place || arg_is(opt.fault, "skip_own"));
}

static int call(void *arg, const struct coll_algorithm *algorithm,
                const struct coll_options *coll)
{
    const struct gather *g = arg;
    const int mine = g->blocks.counts[g->world->rank];
    const void *const sendbuf = is_in_place(g) ? MPI_IN_PLACE : (void *)g->mine;
    uint64_t *const whole = g->guarded ? g->guarded + 1 : NULL;

    if (algorithm)
        return algorithm->gather(sendbuf, whole, g->blocks.counts, MPI_UINT64_T, opt.root,
                                 g->world->comm, coll);
    if (g->blocks.even)
        return MPI_Gather(sendbuf, mine, MPI_UINT64_T, whole, mine, MPI_UINT64_T, opt.root,
                          g->world->comm);
    return MPI_Gatherv(sendbuf, mine, MPI_UINT64_T, whole, g->blocks.counts, g->blocks.starts,
                       MPI_UINT64_T, opt.root, g->world->comm);
}

static uint64_t open_blocks(void *arg, uint64_t bytes)
{
    struct gather *g = arg;
    const struct world *const w = g->world;

    g->count = (int)(bytes / sizeof *g->mine);
    g->blocks = blocks_open(w, (uint64_t)g->count);
    g->mine = world_alloc(w, (size_t)g->blocks.counts[w->rank], sizeof *g->mine);
    g->guarded = w->rank == opt.root ? world_alloc(w, (size_t)g->count + 2, sizeof *g->mine) : NULL;
    return (uint64_t)g->count * sizeof *g->mine;
}

static void close_blocks(void *arg)
{
    struct gather *g = arg;

    free(g->guarded);
    free(g->mine);
    blocks_close(&g->blocks);
}

static void fill(void *arg)
{
    const struct gather *g = arg;
    const int rank = g->world->rank, start = g->blocks.starts[rank], own = g->blocks.counts[rank];

    for (int i = 0; i < own; i++)
        g->mine[i] = square(start + i);
    if (arg_is(opt.fault, "corrupt") && rank == g->world->size - 1 && own > 0)
        g->mine[own / 2] ^= 1;
    for (int i = 0; g->guarded && i < g->count + 2; i++)
        g->guarded[i] = nothing;
    if (g->guarded && opt.in_place)
        memcpy(g->guarded + 1 + start, g->mine, (size_t)own * sizeof *g->mine);
}

static struct verdict check(void *arg)
{
    const struct gather *g = arg;
    const struct world *const w = g->world;
    uint64_t wrong = UINT64_MAX;

    for (int i = g->count - 1; g->guarded && i >= 0; i--)
        if (g->guarded[1 + i] != square(i))
            wrong = (uint64_t)i;
    const struct verdict verdict =
        verify_places(w, wrong, "element %d on the root is not %d squared", (int)wrong,
                      (int)wrong + 1);
    const bool intact = !g->guarded || (g->guarded[0] == nothing &&
                                        g->guarded[g->count + 1] == nothing);
    return verdict_both(verdict, verify_places(w, intact ? UINT64_MAX : 0,
                                               "rank %d: written beside the whole", w->rank));
}

static void show(void *arg, const char *when)
{
    const struct gather *g = arg;

    if (strcmp(when, "before") == 0)
        show_elements(g->world, when, g->mine, (uint64_t)g->blocks.counts[g->world->rank]);
    else
        show_elements(g->world, when, g->guarded ? g->guarded + 1 : NULL, (uint64_t)g->count);
}

int main(int argc, char **argv)
{
    struct world w;
    enum status status = world_open(&w, argc, argv, MPI_THREAD_SINGLE, 1, options);
    struct gather g = { .world = &w };
    const struct compare compare = {
        .algorithms = coll_gather_algorithms,
        .op = MPI_OP_NULL,
        .unit = sizeof *g.mine,
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

    snprintf(what, sizeof what, "%s bytes of squares, in rank order on the root",
             range_text(&opt.compare.bytes, sizes));
    if (status == PASS && (opt.root < 0 || opt.root >= w.size))
        status = world_usage(&w, "--root %d: ranks are 0 to %d: choose one of them", opt.root,
                             w.size - 1);
    if (status == PASS)
        status = compare_run(&w, &compare, &opt.compare, what);
    if (status == PASS)
        program_fault(&w.program, opt.fault, true, arg_is(opt.fault, "skip_own") && opt.in_place
                      ? "the root's block is in its place" : "there is no element");
    return world_close(&w, status);
}
