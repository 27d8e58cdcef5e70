/*
 * coll_world - what the algorithms keep for MPI_COMM_WORLD, which nobody frees, ends in time
 *
 * A barrier through shared memory on MPI_COMM_WORLD, on a duplicate that is never freed, and on one
 * that is; then MPI_Finalize, which must find nothing that it cannot free any more.
 *
 * Test: -n 1
 * Test: -n 2
 * Test: -n 5
 */
#include "mpi/lib/coll/barrier.h"
#include "mpi/lib/coll/shared.h"
#include "mpi/lib/verify.h"
#include "mpi/lib/world.h"

static const struct arg options[] = { ARGS_END };

int main(int argc, char **argv)
{
    struct world w;
    enum status status = world_open(&w, argc, argv, MPI_THREAD_SINGLE, 1, options);
    const struct coll_options advice = { 0 };
    MPI_Comm kept, freed, half;
    bool right = true;

    MPI_Comm_dup(MPI_COMM_WORLD, &kept);
    MPI_Comm_dup(MPI_COMM_WORLD, &freed);
    MPI_Comm_split(MPI_COMM_WORLD, w.rank % 2, 0, &half);
    const MPI_Comm comms[] = { half, freed, MPI_COMM_WORLD, kept };
    for (size_t i = 0; i < sizeof comms / sizeof *comms; i++)
        right = right && coll_barrier_shared(comms[i], &advice) == 0 &&
                coll_barrier_dissemination(comms[i], &advice) == 0;
    MPI_Comm_free(&freed);
    const struct verdict verdict = verify_places(&w, right ? UINT64_MAX : 0, "a barrier failed");
    if (status == PASS)
        status = program_verdict(&w.program, verdict.right, "4 communicators, one freed: %s",
                                 verdict.wrong);
    return world_close(&w, status);
}
