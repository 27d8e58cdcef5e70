#include "mpi/lib/world.h"
#include "local/lib/clock.h"
#include "local/lib/cpus.h"
#include "local/lib/size.h"
#include "mpi/lib/components.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

void world_delivered(void)
{
    const double patience_secs = 2;
    int64_t since = clock_ns();
    int before = 0;

    for (;;) {
        int out = 0, err = 0;
        if (ioctl(STDOUT_FILENO, FIONREAD, &out))
            out = 0;
        if (ioctl(STDERR_FILENO, FIONREAD, &err))
            err = 0;
        if (out + err == 0 || clock_secs(since, clock_ns()) > patience_secs)
            return;
        if (out + err != before)
            since = clock_ns();
        before = out + err;
        clock_sleep(1e-3);
    }
}

/* The handler of every communicator derived from world->comm (they inherit it). It must not
 * return: a failed MPI call leaves its buffers undefined. */
static void on_error(MPI_Comm *comm, int *code, ...)
{
    char text[MPI_MAX_ERROR_STRING] = "";
    const char *call = NULL;
    int length, rank;

#ifdef OPEN_MPI /* passes the call's name; in MPICH it is part of the text */
    va_list more;
    va_start(more, code);
    call = va_arg(more, const char *);
    va_end(more);
#endif
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Error_string(*code, text, &length);
    for (char *c = text; *c; c++) /* MPICH's is a stack of lines: one line, outermost call first */
        if (*c == '\n')
            *c = c[1] ? ';' : '\0';
    program_error("rank %d: %s%s%s", rank, call ? call : "", call ? ": " : "", text);
    fflush(stdout);
    world_delivered();
    MPI_Abort(*comm, FAIL);
}

/* Under SimGrid the platform stands in for the machine, so it is named: jobs/simulate tells it. */
static void name_library(char mpi[64])
{
    const char *const platform = getenv("LOCKSTEP_PLATFORM");
    char text[MPI_MAX_LIBRARY_VERSION_STRING];
    char version[32] = "";
    int length;

    MPI_Get_library_version(text, &length);
    if (sscanf(text, "Open MPI v%31[^,]", version) == 1)
        snprintf(mpi, 64, "Open MPI %s", version);
    else if (sscanf(text, "MPICH Version: %31s", version) == 1)
        snprintf(mpi, 64, "MPICH %s", version);
    else if (sscanf(text, "SMPI Version %31[0-9.]", version) == 1)
        snprintf(mpi, 64, "SimGrid %.*s%s%.30s", (int)strcspn(version, ".") + 3, version,
                 platform ? " on " : "", platform ? platform : "");
    else
        snprintf(mpi, 64, "%.*s", (int)strcspn(text, ",\n") < 63 ? (int)strcspn(text, ",\n") : 63,
                 text);
}

/* Who shares a node with whom; nodes are numbered by their lowest ranks. */
static void find_nodes(struct world *world)
{
    MPI_Comm_split_type(world->comm, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &world->node_comm);
    MPI_Comm_rank(world->node_comm, &world->node_rank);
    MPI_Comm_size(world->node_comm, &world->node_size);

    MPI_Comm leaders; /* of each node the lowest rank: their ranks count the nodes */
    int node[2] = { 0, 0 };
    MPI_Comm_split(world->comm, world->node_rank == 0 ? 0 : MPI_UNDEFINED, world->rank, &leaders);
    if (leaders != MPI_COMM_NULL) {
        MPI_Comm_rank(leaders, &node[0]);
        MPI_Comm_size(leaders, &node[1]);
        MPI_Comm_free(&leaders);
    }
    MPI_Bcast(node, 2, MPI_INT, 0, world->node_comm);
    world->node = node[0];
    world->nodes = node[1];
    MPI_Allreduce(&world->node_size, &world->most_ranks_on_a_node, 1, MPI_INT, MPI_MAX,
                  world->comm);
}

/* The CPUs that ranks may run on: as read from the system, not as asked of a launcher. */
static void find_cpus(struct world *world, int threads, struct setting *setting)
{
    struct cpus mine, all;
    const bool known = !world->simulated && cpus_granted(&mine) == 0;
    int low = known ? cpus_count(&mine) : 0, high = low;

    if (!known)
        memset(&mine, 0, sizeof mine);
    MPI_Allreduce(&mine, &all, CPUS_WORDS, MPI_UINT64_T, MPI_BOR, world->node_comm);
    const int on_node = cpus_count(&all);
    int over = on_node > 0 && world->node_size * threads > on_node;

    MPI_Allreduce(MPI_IN_PLACE, &low, 1, MPI_INT, MPI_MIN, world->comm);
    MPI_Allreduce(MPI_IN_PLACE, &high, 1, MPI_INT, MPI_MAX, world->comm);
    MPI_Allreduce(MPI_IN_PLACE, &over, 1, MPI_INT, MPI_LOR, world->comm);
    setting->cpus_min = low;
    setting->cpus_max = high;
    world->oversubscribed = setting->oversubscribed = over;
}

/* A launcher of another MPI starts N jobs of one rank each, and each would report success. */
static enum status check_size(const struct world *world)
{
    const char *expected = getenv("LOCKSTEP_RANKS");

    if (!expected || atoi(expected) == world->size)
        return PASS;
    return program_usage(&world->program,
                         "expected %s ranks, MPI says %d: launcher and library do not match: start "
                         "it by the launcher of %s, or by jobs/launch",
                         expected, world->size, world->mpi);
}

/* What --threads holds, where a program has that option. */
static int threads_of(const struct arg *options, int threads)
{
    for (; options->kind != ARG_END; options++)
        if (options->kind == ARG_INT && strcmp(options->name, "threads") == 0)
            return *(const int *)options->value;
    return threads;
}

enum status world_open(struct world *world, int argc, char **argv, int required, int threads,
                       const struct arg *options)
{
    MPI_Errhandler handler;
    int provided;

    program_descriptors();
    memset(world, 0, sizeof *world);
#ifdef SIMULATED
    world->simulated = true;
#endif
    const int64_t before = clock_ns();
    MPI_Init_thread(&argc, &argv, required, &provided);
    world->init_secs = clock_secs(before, clock_ns());
    components_keep();
    MPI_Comm_dup(MPI_COMM_WORLD, &world->comm);
    MPI_Comm_create_errhandler(on_error, &handler);
    MPI_Comm_set_errhandler(world->comm, handler);
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, handler); /* MPICH asks these two where a call has no */
    MPI_Comm_set_errhandler(MPI_COMM_SELF, handler);  /* communicator, as MPI_Waitall */
    MPI_Errhandler_free(&handler); /* lives on while a communicator has it */
    MPI_Comm_rank(world->comm, &world->rank);
    MPI_Comm_size(world->comm, &world->size);
    name_library(world->mpi);
    find_nodes(world);

    enum status status = program_parse(&world->program, argc, argv, options, world->rank == 0);
    if (status == PASS)
        status = check_size(world);
    if (status == PASS && provided < required) {
        if (world->rank == 0)
            program_error("%s gives thread level %d, %d is needed: use a build of MPI with threads",
                          world->mpi, provided, required);
        status = UNABLE;
    }
    if (status == PASS) {
        threads = threads_of(options, threads);
        struct setting setting = {
            .mpi = world->mpi,
            .ranks = world->size,
            .nodes = world->nodes,
            .ranks_per_node = world->most_ranks_on_a_node,
            .threads = threads,
        };
        find_cpus(world, threads, &setting);
        if (world->rank == 0)
            status = program_begin(&world->program, &setting);
    }
    return world_agree(world, status);
}

/* MPICH 4.0 over UCX and TCP hangs in MPI_Finalize when ranks of several nodes come to it one after
 * the other: a rank asks every peer to confirm what it sent, and once it has their answers it waits
 * where it answers nobody. So all connections are made first, and then all ranks are silent until
 * the last of them has left the barrier: each asks before it answers. (At most 128 ranks: beyond
 * that, connecting all of them costs more than a rare hang.) */
static void finalize_together(const struct world *world)
{
    char sent = 0, received;

    if (world->nodes == 1 || strncmp(world->mpi, "MPICH 4.0", 9) != 0)
        return;
    for (int i = 1; i < world->size && world->size <= 128; i++)
        MPI_Sendrecv(&sent, 1, MPI_CHAR, (world->rank + i) % world->size, 0, &received, 1, MPI_CHAR,
                     (world->rank + world->size - i) % world->size, 0, world->comm,
                     MPI_STATUS_IGNORE);
    MPI_Barrier(world->comm);
    clock_sleep(0.05);
}

int world_close(struct world *world, enum status status)
{
    status = world_agree(world, status); /* or rank 0 prints PASS for a job that has failed */
    const int worst = (int)world_agree(world, (enum status)program_close(&world->program, status));

    finalize_together(world);
    MPI_Comm_free(&world->node_comm);
    MPI_Comm_free(&world->comm);
    MPI_Finalize();
    return worst;
}

enum status world_needs(const struct world *world, int ranks)
{
    if (world->size >= ranks)
        return PASS;
    if (world->rank == 0)
        program_error("%d rank%s: at least %d are needed: start it with -n %d", world->size,
                      world->size == 1 ? "" : "s", ranks, ranks);
    return UNABLE;
}

enum status world_agree(const struct world *world, enum status status)
{
    int worst = (int)status;

    MPI_Allreduce(MPI_IN_PLACE, &worst, 1, MPI_INT, MPI_MAX, world->comm);
    return (enum status)worst;
}

void world_rest(const struct world *world)
{
    MPI_Request request;
    int done = 0;

    MPI_Ibarrier(world->comm, &request);
    for (MPI_Test(&request, &done, MPI_STATUS_IGNORE); !done;
         MPI_Test(&request, &done, MPI_STATUS_IGNORE))
        clock_sleep(2e-3);
}

void world_abort(const struct world *world, enum status status, const char *format, ...)
{
    char sentence[1024];
    va_list values;

    va_start(values, format);
    vsnprintf(sentence, sizeof sentence, format, values);
    va_end(values);
    program_error("rank %d: %s", world->rank, sentence);
    fflush(stdout);
    world_delivered();
    MPI_Abort(world->comm, status);
    abort();
}

void *world_alloc(const struct world *world, size_t count, size_t size)
{
    void *memory = size_alloc(count, size);

    if (!memory)
        world_abort(world, FAIL, "no memory for %zu times %zu bytes: give a smaller size", count,
                    size);
    return memory;
}

void world_print(const struct world *world, const char *text)
{
    const int length = (int)strlen(text);

    if (world->rank > 0) {
        MPI_Send(text, length, MPI_CHAR, 0, 0, world->comm);
        return;
    }
    fputs(text, program_text(&world->program));
    for (int rank = 1; rank < world->size; rank++) {
        MPI_Status status;
        int incoming;

        MPI_Probe(rank, 0, world->comm, &status);
        MPI_Get_count(&status, MPI_CHAR, &incoming);
        char *other = world_alloc(world, (size_t)incoming + 1, 1);
        MPI_Recv(other, incoming, MPI_CHAR, rank, 0, world->comm, MPI_STATUS_IGNORE);
        other[incoming] = '\0';
        fputs(other, program_text(&world->program));
        free(other);
    }
    fflush(program_text(&world->program));
}
