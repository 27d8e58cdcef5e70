/*
 * world - the start and the end of every MPI program, and how its ranks speak with one voice.
 *
 * world_open() initialises MPI, duplicates MPI_COMM_WORLD (so that a library's messages and ours
 * never meet), attaches an error handler that names rank, call and MPI's text and aborts the job,
 * reads the options on every rank, checks LOCKSTEP_RANKS, and opens the report on rank 0. After
 * that an MPI call that returns has succeeded: programs need not look at return codes.
 *
 * "Collective" below means: all ranks of the communicator call it, in the same order.
 */
#ifndef MPI_LIB_WORLD_H
#define MPI_LIB_WORLD_H

#include <mpi.h>
#include <stddef.h>
#include <stdio.h>

#include "local/lib/program.h"

struct world {
    MPI_Comm comm;      /* all ranks */
    int rank, size;
    MPI_Comm node_comm; /* the ranks of this node (MPI_COMM_TYPE_SHARED) */
    int node_rank, node_size;
    int node, nodes;    /* nodes counted in the order of their lowest ranks */
    int most_ranks_on_a_node;
    bool oversubscribed; /* on some node more ranks x threads than CPUs that they may run on */
    bool simulated;     /* by SimGrid: time is virtual, and one for all; CPUs mean nothing */
    double init_secs;   /* how long MPI_Init_thread took here */
    char mpi[64];       /* library and version, "Open MPI 4.1.4" */
    struct program program; /* speaks on rank 0 */
};

/*
 * Collective. Starts MPI at thread level `required` (MPI_THREAD_SINGLE unless the program needs
 * more: in Open MPI any higher level halves the rate of small messages). `threads` a rank, for
 * the heading; an option --threads (ARG_INT) wins. Returns PASS, or on all ranks alike what the job
 * must end with, told: HELPED, USAGE, UNABLE (thread level not given). world_close() must follow in
 * any case.
 */
enum status world_open(struct world *world, int argc, char **argv, int required, int threads,
                       const struct arg *options);

/* Collective. Closes the report, ends MPI. Returns the status for exit(), the worst (largest) of
 * all ranks on each of them. */
int world_close(struct world *world, enum status status);

/* Collective in effect: for a mistake that all ranks see alike. Rank 0 prints "program:
 * sentence"; returns USAGE on all. */
#define world_usage(world, ...) program_usage(&(world)->program, __VA_ARGS__)

/* Collective in effect. PASS where the job has at least `ranks` ranks; else UNABLE on all, told by
 * rank 0. */
enum status world_needs(const struct world *world, int ranks);

/* Collective. The worst (largest) status of all ranks, on each of them. */
enum status world_agree(const struct world *world, enum status status);

/* Collective. Returns when all ranks have called it, like MPI_Barrier, but waits asleep: for ranks
 * that only look on while others are measured. It may return some milliseconds late. */
void world_rest(const struct world *world);

/* Returns when whoever reads this process's stdout and stderr has taken what was written, or has
 * taken nothing for 2 s: a launcher that ends a job need not read any more. Of pipes alone this can
 * be known. Thread-safe. */
void world_delivered(void);

/* For an error of this rank alone: prints "program: rank R: sentence" and aborts the job with
 * `status`. Does not return. */
_Noreturn void world_abort(const struct world *world, enum status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* `count` times `size` bytes, or the end of the job with a sentence. Never NULL, also for 0
 * bytes. The caller frees it. */
void *world_alloc(const struct world *world, size_t count, size_t size);

/* Collective. Rank 0 prints the text of every rank in rank order, to where program_text() says.
 * Texts that are empty print nothing. */
void world_print(const struct world *world, const char *text);

#endif
