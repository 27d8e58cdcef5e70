/*
 * scan - what the ranks up to this one have, combined: running sums
 *
 * MPI_Scan gives rank r the sum over ranks 0 to r, MPI_Exscan (--variant exclusive) that over ranks
 * 0 to r - 1. The exclusive one answers the question "where does my part begin?" when parts are of
 * different sizes: each rank gives the size of its own. That is done here first, and the parts must
 * tile the whole without a gap; then vectors of --bytes are scanned and checked.
 *
 * What can go wrong: on rank 0 MPI_Exscan leaves the result undefined, not 0: there is nothing
 * before. --fault exscan0 uses what lies there (a mark that the program left) as the start of its
 * part.
 *
 * Run:     make run P=scan N=4 ARGS="--show"
 * Try:     --variant exclusive --show: what does rank 0 have?
 * Try:     --algorithm all --bytes 8:1M: p - 1 steps, or lg p, or a pipeline?
 * Test:    -n 1 --show
 * Test:    -n 3 --bytes 0 --algorithm all
 * Test:    -n 5 --bytes 1000 --algorithm all --in-place --show
 * Test:    -n 5 --bytes 1000 --algorithm all --variant exclusive
 * Test:    -n 7 --bytes 8:16K --variant exclusive --in-place --seconds 0.01
 * Test(1): -n 3 --variant exclusive --fault exscan0
 * Test(1): -n 1 --variant exclusive --fault exscan0
 * Test(1): -n 3 --fault corrupt
 * Test(2): -n 3 --fault exscan0
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "mpi/lib/coll/bound.h"
#include "mpi/lib/coll/scan.h"
#include "mpi/lib/compare.h"
#include "mpi/lib/show.h"

static struct {
    struct compare_options compare;
    const char *variant, *fault;
    bool in_place, show;
} opt = { .compare = COMPARE_DEFAULTS(80), .variant = "inclusive" };

static const struct arg options[] = {
    { "bytes", ARG_RANGE, &opt.compare.bytes, "size of a vector, in elements of 8 bytes" },
    { "variant", ARG_CHOICE, &opt.variant, "MPI_Scan, or MPI_Exscan",
      .choices = "inclusive|exclusive" },
    { "in-place", ARG_FLAG, &opt.in_place, "the vector lies where the result goes" },
    { "show", ARG_FLAG, &opt.show, "print the vectors and the results" },
    { "fault", ARG_CHOICE, &opt.fault, "use rank 0's exclusive result, or spoil an element",
      .choices = "exscan0|corrupt" },
    COMPARE_ARGS(&opt.compare),
    ARGS_END,
};

static const uint64_t nothing = UINT64_C(7777777);

struct scan {
    struct world *world;
    bool exclusive;
    int count;
    uint64_t *in, *out;
};

static int call(void *arg, const struct coll_algorithm *algorithm,
                const struct coll_options *coll)
{
    const struct scan *s = arg;
    const void *const sendbuf = opt.in_place ? MPI_IN_PLACE : (void *)s->in;

    if (algorithm)
        return algorithm->allreduce(sendbuf, s->out, s->count, MPI_UINT64_T, MPI_SUM,
                                    s->world->comm, coll);
    if (s->exclusive)
        return MPI_Exscan(sendbuf, s->out, s->count, MPI_UINT64_T, MPI_SUM, s->world->comm);
    return MPI_Scan(sendbuf, s->out, s->count, MPI_UINT64_T, MPI_SUM, s->world->comm);
}

static uint64_t open_vectors(void *arg, uint64_t bytes)
{
    struct scan *s = arg;

    s->count = (int)(bytes / sizeof *s->in);
    s->in = world_alloc(s->world, (size_t)s->count, sizeof *s->in);
    s->out = world_alloc(s->world, (size_t)s->count, sizeof *s->out);
    return (uint64_t)s->count * sizeof *s->in;
}

static void close_vectors(void *arg)
{
    struct scan *s = arg;

    free(s->out);
    free(s->in);
}

static void fill(void *arg)
{
    const struct scan *s = arg;
    const uint64_t rank = (uint64_t)s->world->rank;

    for (int i = 0; i < s->count; i++) {
        s->in[i] = (rank + 1) * ((uint64_t)i + 1);
        s->out[i] = nothing;
    }
    if (arg_is(opt.fault, "corrupt") && rank == 0 && s->count > 0)
        s->in[s->count / 2] ^= 1;
    if (opt.in_place)
        memcpy(s->out, s->in, (size_t)s->count * sizeof *s->out);
}

static struct verdict check(void *arg)
{
    const struct scan *s = arg;
    const int rank = s->world->rank;
    const uint64_t last = (uint64_t)rank + !s->exclusive, total = last * (last + 1) / 2;
    int wrong = -1;

    for (int i = s->count - 1; i >= 0 && !(s->exclusive && rank == 0); i--)
        if (s->out[i] != total * ((uint64_t)i + 1))
            wrong = i;
    return verify_places(s->world, wrong < 0 ? UINT64_MAX : (uint64_t)rank,
                         "sum %d on rank %d is wrong", wrong, rank);
}

static void show(void *arg, const char *when)
{
    const struct scan *s = arg;
    const bool before = strcmp(when, "before") == 0;
    const bool none = !before && s->exclusive && s->world->rank == 0;

    show_elements(s->world, when, before ? s->in : none ? NULL : s->out, (uint64_t)s->count);
}

/* Rank r has (r + 1) mod 3 items. Where they begin in a list of all is the sum of those before. */
static struct verdict tile(struct world *w)
{
    const uint64_t count = ((uint64_t)w->rank + 1) % 3;
    uint64_t start = nothing, total = 0;
    char line[96];

    MPI_Exscan(&count, &start, 1, MPI_UINT64_T, MPI_SUM, w->comm);
    if (w->rank == 0 && !arg_is(opt.fault, "exscan0"))
        start = 0;
    snprintf(line, sizeof line, "parts  rank %d: %" PRIu64 " items from %" PRIu64 " on\n", w->rank,
             count, start);
    if (opt.show)
        world_print(w, line);
    for (int rank = 0; rank < w->rank; rank++)
        total += ((uint64_t)rank + 1) % 3;
    return verify_places(w, start == total ? UINT64_MAX : (uint64_t)w->rank,
                         "the part of rank %d begins at %" PRIu64 ", it should begin at %" PRIu64,
                         w->rank, start, total);
}

int main(int argc, char **argv)
{
    struct world w;
    enum status status = world_open(&w, argc, argv, MPI_THREAD_SINGLE, 1, options);
    struct scan s = { .world = &w, .exclusive = arg_is(opt.variant, "exclusive") };
    const struct compare compare = {
        .algorithms = s.exclusive ? coll_exscan_algorithms : coll_scan_algorithms,
        .op = MPI_SUM,
        .unit = sizeof *s.in,
        .bound = coll_bound_reduce,
        .arg = &s,
        .open = open_vectors,
        .close = close_vectors,
        .fill = fill,
        .call = call,
        .check = check,
        .show = opt.show ? show : NULL,
    };
    char sizes[64], what[128];

    snprintf(what, sizeof what, "%s bytes of %s running sums, right", range_text(&opt.compare.bytes,
             sizes), opt.variant);
    if (status == PASS && arg_is(opt.fault, "exscan0") && !s.exclusive)
        status = world_usage(&w, "--fault exscan0 is one of MPI_Exscan: add --variant exclusive");
    if (status == PASS) {
        /* SimGrid's MPI_Exscan takes p^2 messages. */
        const bool leave_out = w.simulated && w.size > 64;
        const struct verdict verdict = leave_out ? (struct verdict){ .right = true } : tile(&w);
        status = verdict.right ? compare_run(&w, &compare, &opt.compare, what)
                               : program_verdict(&w.program, false, "%s", verdict.wrong);
    }
    if (status == PASS)
        program_fault(&w.program, opt.fault, true, "there is no element");
    return world_close(&w, status);
}
