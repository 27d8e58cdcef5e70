/*
 * alltoall - every rank has a block for every other: the transpose of a matrix of blocks
 *
 * Seen as a matrix with a row a rank, MPI_Alltoall turns rows into columns: what rank r had for
 * rank j, rank j has from r. Here that is (r + 1) j in each element of the block. It is the
 * operation that moves the most data: p (p - 1) blocks cross the network, and no tree can save one
 * of them; Bruck's algorithm, which sends lg p long messages instead of p - 1 short ones, moves
 * each block several times.
 *
 * What can go wrong: the count is that of one block, not of the buffer; --bytes is that of the
 * buffer, and is rounded up so that each rank has a whole element for each. --fault transposed
 * sends the blocks that one wants to receive, as if both were the same.
 *
 * Run:     make run P=alltoall N=4 ARGS="--show"
 * Try:     --algorithm all --bytes 64:1M: up to which size does bruck win, and why not beyond?
 * Try:     --fault transposed --show: which rank holds what it should after all?
 * Test:    -n 1 --show
 * Test:    -n 3 --bytes 0 --algorithm all
 * Test:    -n 5 --bytes 1000 --algorithm all --in-place --show
 * Test:    -n 7 --bytes 8:16K --seconds 0.01
 * Test(1): -n 3 --fault transposed
 * Test:    -n 1 --fault transposed
 * Test(1): -n 3 --fault corrupt
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "mpi/lib/coll/alltoall.h"
#include "mpi/lib/coll/bound.h"
#include "mpi/lib/compare.h"
#include "mpi/lib/show.h"

static struct {
    struct compare_options compare;
    bool in_place, show;
    const char *fault;
} opt = { .compare = COMPARE_DEFAULTS(32) };

static const struct arg options[] = {
    { "bytes", ARG_RANGE, &opt.compare.bytes, "size of a rank's buffer, in elements of 8 bytes" },
    { "in-place", ARG_FLAG, &opt.in_place, "what arrives takes the place of what was sent" },
    { "show", ARG_FLAG, &opt.show, "print what each rank holds before and after" },
    { "fault", ARG_CHOICE, &opt.fault, "fill in what should arrive, or spoil an element",
      .choices = "transposed|corrupt" },
    COMPARE_ARGS(&opt.compare),
    ARGS_END,
};

struct alltoall {
    struct world *world;
    int count; /* elements for one rank */
    uint64_t *out, *in;
};

static int call(void *arg, const struct coll_algorithm *algorithm,
                const struct coll_options *coll)
{
    const struct alltoall *a = arg;
    const void *const sendbuf = opt.in_place ? MPI_IN_PLACE : (void *)a->out;

    if (algorithm)
        return algorithm->alltoall(sendbuf, a->count, MPI_UINT64_T, a->in, a->world->comm, coll);
    return MPI_Alltoall(sendbuf, a->count, MPI_UINT64_T, a->in, a->count, MPI_UINT64_T,
                        a->world->comm);
}

static uint64_t open_buffers(void *arg, uint64_t bytes)
{
    struct alltoall *a = arg;
    const uint64_t ranks = (uint64_t)a->world->size, row = ranks * sizeof *a->in;

    a->count = (int)((bytes + row - 1) / row);
    a->in = world_alloc(a->world, (size_t)a->count * ranks, sizeof *a->in);
    a->out = opt.in_place ? a->in : world_alloc(a->world, (size_t)a->count * ranks, sizeof *a->in);
    return (uint64_t)a->count * row;
}

static void close_buffers(void *arg)
{
    struct alltoall *a = arg;

    if (!opt.in_place)
        free(a->out);
    free(a->in);
}

/* Element k of what rank `from` has for rank `to`. */
static uint64_t item(int from, int to, int k)
{
    return ((uint64_t)from + 1) * (uint64_t)to + ((uint64_t)k << 32);
}

static void fill(void *arg)
{
    const struct alltoall *a = arg;
    const int rank = a->world->rank, size = a->world->size;

    memset(a->in, 0xee, (size_t)a->count * (size_t)size * sizeof *a->in);
    for (int other = 0; other < size; other++)
        for (int k = 0; k < a->count; k++)
            a->out[(size_t)other * (size_t)a->count + (size_t)k] =
                arg_is(opt.fault, "transposed") ? item(other, rank, k) : item(rank, other, k);
    if (arg_is(opt.fault, "corrupt") && rank == size - 1 && a->count > 0)
        a->out[0] ^= 1;
}

static struct verdict check(void *arg)
{
    const struct alltoall *a = arg;
    const int rank = a->world->rank, size = a->world->size;
    int wrong = -1;

    for (int from = size - 1; from >= 0; from--)
        for (int k = 0; k < a->count; k++)
            if (a->in[(size_t)from * (size_t)a->count + (size_t)k] != item(from, rank, k))
                wrong = from;
    return verify_places(a->world, wrong < 0 ? UINT64_MAX : (uint64_t)rank,
                         "rank %d does not hold what rank %d had for it", rank, wrong);
}

static void show(void *arg, const char *when)
{
    const struct alltoall *a = arg;

    show_elements(a->world, when, strcmp(when, "before") == 0 ? a->out : a->in,
                  (uint64_t)a->count * (uint64_t)a->world->size);
}

int main(int argc, char **argv)
{
    struct world w;
    enum status status = world_open(&w, argc, argv, MPI_THREAD_SINGLE, 1, options);
    struct alltoall a = { .world = &w };
    const struct compare compare = {
        .algorithms = coll_alltoall_algorithms,
        .op = MPI_OP_NULL,
        .unit = sizeof *a.in,
        .bound = coll_bound_blocks,
        .arg = &a,
        .open = open_buffers,
        .close = close_buffers,
        .fill = fill,
        .call = call,
        .check = check,
        .show = opt.show ? show : NULL,
    };
    char sizes[64], what[128];

    snprintf(what, sizeof what, "%s bytes, each block where it belongs",
             range_text(&opt.compare.bytes, sizes));
    if (status == PASS)
        status = compare_run(&w, &compare, &opt.compare, what);
    if (status == PASS)
        program_fault(&w.program, opt.fault, true, arg_is(opt.fault, "corrupt") || w.size > 1
                      ? "there is no element" : "one rank's matrix is its own transpose");
    return world_close(&w, status);
}
