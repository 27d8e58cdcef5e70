/*
 * coll_bits - what the headers of mpi/lib/coll say of the bits of floating-point sums
 *
 * Eight ranks have numbers of different magnitudes, the ranks above them 0. By every algorithm of
 * reduce and allreduce the sum has the same bits at every call, and allreduce's on all ranks. By
 * those that say so it has the same bits for every number of ranks from eight on; by the others it
 * differs for some, so that the statement is worth something.
 *
 * Test:    -n 13
 */
#include <stdlib.h>
#include <string.h>

#include "local/lib/data.h"
#include "mpi/lib/coll/allreduce.h"
#include "mpi/lib/coll/reduce.h"
#include "mpi/lib/verify.h"
#include "mpi/lib/world.h"

enum { TERMS = 8, COUNT = 192 };

static const struct arg options[] = { ARGS_END };

/* Which algorithms give the same bits for any number of ranks; shared on one node. */
static bool says_same(const char *name)
{
    static const char *const names[] = { "linear", "chain", "binomial", "binary", "shared" };

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

static double term(int rank, int i)
{
    return rank < TERMS ? ((rank * 37 + i * 11) % 101 + 1) / 7.0 * (1 << (rank * 5 + i) % 23) : 0;
}

/* A digest of the sums on this rank; 0 where it has none. */
static uint64_t sums(const struct coll_algorithm *a, bool all, MPI_Comm comm)
{
    const struct coll_options coll = { .segment = 256 };
    double in[COUNT], out[COUNT] = { 0 };
    int rank;

    MPI_Comm_rank(comm, &rank);
    for (int i = 0; i < COUNT; i++)
        in[i] = term(rank, i);
    if (all)
        a->allreduce(in, out, COUNT, MPI_DOUBLE, MPI_SUM, comm, &coll);
    else
        a->reduce(in, out, COUNT, MPI_DOUBLE, MPI_SUM, 0, comm, &coll);
    return all || rank == 0 ? digest(out, sizeof out) : 0;
}

struct outcome {
    bool repeated, on_all, for_all;
};

/* What holds of an algorithm on 8 to size ranks. Collective; the same on all ranks. */
static struct outcome try(const struct world *w, const struct coll_algorithm *a, bool all)
{
    struct outcome outcome = { true, true, true };
    uint64_t first = 0;

    for (int size = TERMS; size <= w->size; size++) {
        MPI_Comm comm;
        MPI_Comm_split(w->comm, w->rank < size ? 0 : MPI_UNDEFINED, w->rank, &comm);
        if (comm != MPI_COMM_NULL) {
            const uint64_t mine = sums(a, all, comm), again = sums(a, all, comm);
            uint64_t root = mine;
            MPI_Bcast(&root, 1, MPI_UINT64_T, 0, comm);
            first = size == TERMS ? root : first;
            outcome.repeated = outcome.repeated && mine == again;
            outcome.on_all = outcome.on_all && (!all || mine == root);
            outcome.for_all = outcome.for_all && (w->rank > 0 || root == first);
            MPI_Comm_free(&comm);
        }
        world_rest(w);
    }
    int found[3] = { outcome.repeated, outcome.on_all, outcome.for_all };
    MPI_Allreduce(MPI_IN_PLACE, found, 3, MPI_INT, MPI_LAND, w->comm);
    return (struct outcome){ found[0], found[1], found[2] };
}

static struct verdict check(const struct world *w, const struct coll_algorithm *a, bool all)
{
    const struct outcome outcome = try(w, a, all);
    const char *const operation = all ? "allreduce" : "reduce";
    const char *const wrong =
        !outcome.repeated ? "other bits at the second call"
        : !outcome.on_all ? "not the same bits on all ranks"
        : outcome.for_all && !says_same(a->name) ? "the same bits for all numbers of ranks"
        : !outcome.for_all && says_same(a->name) ? "other bits for another number of ranks" : NULL;

    return verify_places(w, wrong ? 0 : UINT64_MAX, "%s by %s: %s", operation, a->name, wrong);
}

int main(int argc, char **argv)
{
    struct world w;
    enum status status = world_open(&w, argc, argv, MPI_THREAD_SINGLE, 1, options);
    struct verdict verdict = { .right = true };

    for (const struct coll_algorithm *a = coll_reduce_algorithms + 1; status == PASS && a->name;
         a++)
        verdict = verdict_both(verdict, check(&w, a, false));
    for (const struct coll_algorithm *a = coll_allreduce_algorithms + 1; status == PASS && a->name;
         a++)
        verdict = verdict_both(verdict, check(&w, a, true));
    if (status == PASS)
        status = program_verdict(&w.program, verdict.right, "%s", verdict.wrong);
    return world_close(&w, status);
}
