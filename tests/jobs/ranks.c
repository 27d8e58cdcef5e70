/* A rank that says who it is; `fail` ends it with 3, `sleep` lets it wait for a signal. */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    int rank, size;

    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    printf("rank %d of %d, LOCKSTEP_RANKS=%s, OMP_NUM_THREADS=%s\n", rank, size,
           getenv("LOCKSTEP_RANKS"), getenv("OMP_NUM_THREADS"));
    fflush(stdout);
    if (argc > 1 && strcmp(argv[1], "sleep") == 0)
        sleep(60);
    MPI_Finalize();
    return argc > 1 && strcmp(argv[1], "fail") == 0 ? 3 : 0;
}
