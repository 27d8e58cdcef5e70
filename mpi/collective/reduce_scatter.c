/*
 * reduce_scatter - combine what all ranks have, and give each rank its part of the result
 *
 * Each rank has a vector of --bytes. MPI_Reduce_scatter_block (--variant block) adds them up and
 * leaves each rank the part of the result that is its own, all parts of one size;
 * MPI_Reduce_scatter (v) takes counts, which may differ and be 0: here rank r gets r + 1 shares of
 * the elements, and every third rank none. It is the first half of an allreduce of long vectors,
 * and all that one needs where the result is worked on in parts, as are gradients, or rows of a
 * matrix product.
 *
 * What can go wrong: the counts are those of the results, so all ranks give the same ones, and
 * their sum is the length of the vector. --fault first_part takes the first part of the result on
 * every rank, as if it came to where it would lie in the whole.
 *
 * Run:     make run P=reduce_scatter N=4 ARGS="--show"
 * Try:     --variant v --show: who gets nothing?
 * Try:     --algorithm all --bytes 64:1M: against allreduce, what is saved?
 * Test:    -n 1 --show
 * Test:    -n 3 --bytes 0 --algorithm all
 * Test:    -n 5 --bytes 1000 --variant v --algorithm all --show
 * Test:    -n 4 --bytes 1024 --algorithm all --in-place
 * Test:    -n 7 --bytes 8:16K --variant v --seconds 0.01
 * Test(1): -n 3 --fault first_part
 * Test(1): -n 3 --fault corrupt
 */
#include <stdlib.h>
#include <string.h>

#include "mpi/lib/blocks.h"
#include "mpi/lib/coll/bound.h"
#include "mpi/lib/coll/reduce_scatter.h"
#include "mpi/lib/compare.h"
#include "mpi/lib/show.h"

static struct {
    struct compare_options compare;
    const char *variant, *fault;
    bool in_place, show;
} opt = { .compare = COMPARE_DEFAULTS(64), .variant = "block" };

static const struct arg options[] = {
    { "bytes", ARG_RANGE, &opt.compare.bytes, "size of a vector, in elements of 8 bytes" },
    { "variant", ARG_CHOICE, &opt.variant, "equal parts (rounded up), or parts of any size",
      .choices = "block|v" },
    { "in-place", ARG_FLAG, &opt.in_place, "the result takes the place of the vector's beginning" },
    { "show", ARG_FLAG, &opt.show, "print the vectors before and the parts after" },
    { "fault", ARG_CHOICE, &opt.fault, "look for the part where it lies in the whole, or spoil one",
      .choices = "first_part|corrupt" },
    COMPARE_ARGS(&opt.compare),
    ARGS_END,
};

struct reduce_scatter {
    struct world *world;
    bool block;
    struct blocks parts;
    int count;          /* elements of a vector */
    uint64_t *in, *out; /* with --in-place the same */
};

static int call(void *arg, const struct coll_algorithm *algorithm,
                const struct coll_options *coll)
{
    const struct reduce_scatter *r = arg;
    const void *const sendbuf = opt.in_place ? MPI_IN_PLACE : (void *)r->in;

    if (algorithm)
        return algorithm->reduce_scatter(sendbuf, r->out, r->parts.counts, MPI_UINT64_T, MPI_SUM,
                                         r->world->comm, coll);
    if (r->block)
        return MPI_Reduce_scatter_block(sendbuf, r->out, r->parts.counts[0], MPI_UINT64_T, MPI_SUM,
                                        r->world->comm);
    return MPI_Reduce_scatter(sendbuf, r->out, r->parts.counts, MPI_UINT64_T, MPI_SUM,
                              r->world->comm);
}

/* Parts 1, 2, 0, 4, 5, 0 ... in shares of the whole; what is left over goes to the first. */
static void uneven_parts(struct reduce_scatter *r)
{
    const int size = r->world->size;
    int64_t shares = 0;
    int left = r->count;

    for (int rank = 0; rank < size; rank++)
        shares += rank % 3 == 2 ? 0 : rank + 1;
    for (int rank = size - 1; rank >= 0; rank--) {
        const int64_t share = rank % 3 == 2 ? 0 : rank + 1;
        r->parts.counts[rank] = rank == 0 ? left : (int)(r->count * share / shares);
        left -= r->parts.counts[rank];
    }
    for (int rank = 0, start = 0; rank < size; start += r->parts.counts[rank++])
        r->parts.starts[rank] = start;
}

static uint64_t open_vectors(void *arg, uint64_t bytes)
{
    struct reduce_scatter *r = arg;
    const struct world *const w = r->world;
    const uint64_t count = bytes / sizeof *r->in, size = (uint64_t)w->size;

    r->count = (int)(r->block ? (count + size - 1) / size * size : count);
    r->parts = blocks_open(w, (uint64_t)r->count);
    if (!r->block)
        uneven_parts(r);
    r->in = world_alloc(w, (size_t)r->count, sizeof *r->in);
    r->out = opt.in_place ? r->in : world_alloc(w, (size_t)r->count, sizeof *r->out);
    return (uint64_t)r->count * sizeof *r->in;
}

static void close_vectors(void *arg)
{
    struct reduce_scatter *r = arg;

    if (!opt.in_place)
        free(r->out);
    free(r->in);
    blocks_close(&r->parts);
}

static void fill(void *arg)
{
    const struct reduce_scatter *r = arg;
    const int rank = r->world->rank, size = r->world->size;

    memset(r->out, 0xee, (size_t)r->count * sizeof *r->out);
    for (int i = 0; i < r->count; i++)
        r->in[i] = ((uint64_t)rank + 1) * ((uint64_t)i + 1);
    if (arg_is(opt.fault, "corrupt") && rank == size - 1 && r->count > 0)
        r->in[r->count / 2] ^= 1;
}

static const uint64_t *my_part(const struct reduce_scatter *r)
{
    return r->out + (arg_is(opt.fault, "first_part") ? r->parts.starts[r->world->rank] : 0);
}

static struct verdict check(void *arg)
{
    const struct reduce_scatter *r = arg;
    const uint64_t p = (uint64_t)r->world->size, total = p * (p + 1) / 2;
    const int rank = r->world->rank, start = r->parts.starts[rank];
    uint64_t wrong = UINT64_MAX;

    for (int i = r->parts.counts[rank] - 1; i >= 0; i--)
        if (my_part(r)[i] != total * ((uint64_t)(start + i) + 1))
            wrong = (uint64_t)(start + i);
    return verify_places(r->world, wrong, "element %d of the sum, on rank %d, is wrong", (int)wrong,
                         rank);
}

static void show(void *arg, const char *when)
{
    const struct reduce_scatter *r = arg;

    if (strcmp(when, "before") == 0)
        show_elements(r->world, when, r->in, (uint64_t)r->count);
    else
        show_elements(r->world, when, my_part(r), (uint64_t)r->parts.counts[r->world->rank]);
}

int main(int argc, char **argv)
{
    struct world w;
    enum status status = world_open(&w, argc, argv, MPI_THREAD_SINGLE, 1, options);
    struct reduce_scatter r = { .world = &w, .block = arg_is(opt.variant, "block") };
    const struct compare compare = {
        .algorithms = coll_reduce_scatter_algorithms,
        .op = MPI_SUM,
        .unit = sizeof *r.in,
        .bound = coll_bound_reduce_scatter,
        .arg = &r,
        .open = open_vectors,
        .close = close_vectors,
        .fill = fill,
        .call = call,
        .check = check,
        .show = opt.show ? show : NULL,
    };
    char sizes[64], what[128];

    snprintf(what, sizeof what, "%s bytes of sums, each rank's part right",
             range_text(&opt.compare.bytes, sizes));
    if (status == PASS)
        status = compare_run(&w, &compare, &opt.compare, what);
    if (status == PASS)
        program_fault(&w.program, opt.fault, true, arg_is(opt.fault, "corrupt") || w.size > 1
                      ? "there is no element" : "the part of the only rank is the whole");
    return world_close(&w, status);
}
