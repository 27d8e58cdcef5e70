/*
 * hello - what each rank sees of where it runs: for the tests of the pretend clusters themselves
 *
 * Run: hello [VARIABLE]...   one line a rank, in rank order, with the values of the variables
 *      hello --wait          and then all ranks wait to be killed
 *
 * "shares" counts the ranks that MPI says can share memory; "clock" is CLOCK_MONOTONIC in seconds.
 */
#define _POSIX_C_SOURCE 200809L
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_BYTES 512

static void describe(char line[LINE_BYTES], int rank, int ranks, char **variables)
{
    char host[MPI_MAX_PROCESSOR_NAME];
    int host_length, sharing;
    MPI_Get_processor_name(host, &host_length);

    MPI_Comm neighbours;
    MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, rank, MPI_INFO_NULL, &neighbours);
    MPI_Comm_size(neighbours, &sharing);
    MPI_Comm_free(&neighbours);

    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);

    size_t used = (size_t)snprintf(line, LINE_BYTES, "rank %d of %d host %s shares %d clock %ld",
                                   rank, ranks, host, sharing, (long)now.tv_sec);
    for (; *variables && used < LINE_BYTES; variables++) {
        const char *value = getenv(*variables);
        used += (size_t)snprintf(line + used, LINE_BYTES - used, " %s=%s", *variables,
                                 value ? value : "(unset)");
    }
}

int main(int argc, char **argv)
{
    const int wait = argc > 1 && strcmp(argv[1], "--wait") == 0;
    int rank, ranks;

    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);

    char mine[LINE_BYTES];
    char(*all)[LINE_BYTES] = rank == 0 ? calloc((size_t)ranks, sizeof *all) : NULL;
    if (rank == 0 && !all)
        MPI_Abort(MPI_COMM_WORLD, 1);
    describe(mine, rank, ranks, argv + 1 + wait);
    MPI_Gather(mine, LINE_BYTES, MPI_CHAR, all, LINE_BYTES, MPI_CHAR, 0, MPI_COMM_WORLD);
    for (int i = 0; rank == 0 && i < ranks; i++)
        puts(all[i]);
    fflush(stdout);
    free(all);
    while (wait)
        pause();
    MPI_Finalize();
    return 0;
}
