/*
 * hello - every rank tells who it is and where it runs
 *
 * Each rank sends its host, its process id, the CPU it runs on at that moment and how long
 * MPI_Init took to rank 0, which prints the rows in rank order. MPI does not order what ranks
 * print themselves: lines of several ranks arrive as the launcher happens to read them.
 *
 * What can go wrong: a program started by the mpirun of another MPI becomes N jobs of one rank
 * each, which all say "rank 0 of 1" and succeed. LOCKSTEP_RANKS, set by jobs/launch, is compared
 * with MPI_Comm_size at the start of every program.
 *
 * Run:     make run P=hello N=4
 * Try:     LOCKSTEP_RANKS=4 build/mpi/p2p/hello: the job of one rank is caught
 * Try:     more ranks than cores: the heading says so
 * Test:    -n 1
 * Test:    -n 4 --format json
 */
#include <string.h>
#include <unistd.h>

#include "local/lib/cpus.h"
#include "mpi/lib/verify.h"
#include "mpi/lib/world.h"

static const struct arg options[] = { ARGS_END };

struct greeting {
    int rank, node_rank, cpu;
    long process;
    double init_secs;
    char host[64], mpi[64];
};

static void add_row(struct world *w, const struct greeting *from, bool right)
{
    struct record row = w->program.record;

    record_int(&row, "rank", from->rank);
    record_text(&row, "host", from->host);
    record_int(&row, "node_rank", from->node_rank);
    record_int(&row, "process", from->process);
    if (from->cpu >= 0)
        record_int(&row, "cpu", from->cpu);
    else
        record_null(&row, "cpu");
    record_real(&row, "init_s", from->init_secs);
    record_bool(&row, "verified", right);
    program_row(&w->program, &row);
}

/* Rank 0: the greetings in rank order. Returns the first rank whose greeting is wrong, or -1. */
static int receive_greetings(struct world *w, const struct greeting *mine)
{
    int wrong = -1;

    for (int rank = 0; rank < w->size; rank++) {
        struct greeting from = *mine;

        if (rank > 0)
            MPI_Recv(&from, sizeof from, MPI_BYTE, rank, 0, w->comm, MPI_STATUS_IGNORE);
        const bool right = from.rank == rank && strcmp(from.mpi, mine->mpi) == 0;
        if (!right && wrong < 0)
            wrong = rank;
        add_row(w, &from, right);
    }
    return wrong;
}

static enum status run(struct world *w)
{
    struct greeting mine = {
        .rank = w->rank,
        .node_rank = w->node_rank,
        .cpu = cpu_now(),
        .process = (long)getpid(),
        .init_secs = w->init_secs,
    };
    int wrong = -1;

    gethostname(mine.host, sizeof mine.host - 1);
    memcpy(mine.mpi, w->mpi, sizeof mine.mpi);
    if (w->rank > 0)
        MPI_Send(&mine, sizeof mine, MPI_BYTE, 0, 0, w->comm);
    else
        wrong = receive_greetings(w, &mine);

    const struct verdict verdict = verify_places(w, wrong < 0 ? UINT64_MAX : (uint64_t)wrong,
                                                 "the greeting of rank %d is not its own, or not "
                                                 "from %s", wrong, mine.mpi);
    if (!verdict.right)
        return program_verdict(&w->program, false, "%s", verdict.wrong);
    return program_verdict(&w->program, true, "%d rank%s, each said hello once", w->size,
                           w->size == 1 ? "" : "s");
}

int main(int argc, char **argv)
{
    struct world w;
    enum status status = world_open(&w, argc, argv, MPI_THREAD_SINGLE, 1, options);

    if (status == PASS)
        status = run(&w);
    return world_close(&w, status);
}
