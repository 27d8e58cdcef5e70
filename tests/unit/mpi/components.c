/*
 * components - what Open MPI hears from its launcher by is still loaded after MPI_Finalize
 *
 * Test: -n 2
 */
#include "mpi/lib/components.h"
#include "mpi/lib/world.h"

static const struct arg options[] = { ARGS_END };

int main(int argc, char **argv)
{
    struct world w;
    enum status status = world_open(&w, argc, argv, MPI_THREAD_SINGLE, 1, options);
    const int before = components_keep();
    const int rank = w.rank;

    status = world_close(&w, status) == 0 ? PASS : FAIL;
    const int after = components_keep(); /* it finds what is loaded */
    if (after != before) {
        fprintf(stderr, "rank %d: %d components before MPI_Finalize, %d after\n", rank, before, after);
        status = FAIL;
    }
    return (int)status;
}
