/*
 * stall_graph - who waits for whom, and whether the job can still go on: the part of mpi/lib/stall
 * that is a function of the ranks' rows alone. No MPI call, no I/O but to the stream given;
 * thread-safe.
 *
 * A rank can go on if it computes, or entered its call (or finished) no longer than the limit ago,
 * or if all that its call waits for can still come:
 *
 * - a rank: it is in the matching call by now (a send to this rank meets a receive from it, tags
 *   agree: the transfer is merely slow), or it can go on itself;
 * - MPI_ANY_SOURCE: one other rank is in a matching send, or can go on;
 * - STALL_ALL: every other rank is in the same collective call, or can go on;
 * - MPI_PROC_NULL: nobody; it can always go on.
 *
 * Starting from the ranks that surely can, this is repeated until nothing is added. A rank that is
 * left and has not finished is stuck: it waits for ranks that are stuck or have finished, so no
 * later call of any rank can set it free. One stuck rank makes a stalled job.
 *
 * What the graph cannot see (a call that nobody announced, an endless loop) ends at a bound: one
 * call that lasts STALL_BOUND times the limit, or a rank that does not answer for so long.
 */
#ifndef MPI_LIB_STALL_GRAPH_H
#define MPI_LIB_STALL_GRAPH_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum {
    STALL_ALL = -1000, /* a peer: all ranks; no value that an MPI library uses for a rank */
    STALL_PEERS = 8,   /* that one call can wait for, STALL_ALL counting as one */
    STALL_BOUND = 10,
};

enum stall_state {
    STALL_COMPUTING, /* in no call that was announced */
    STALL_CALLING,
    STALL_FINISHED,
    STALL_GONE,   /* its process has ended without finishing */
    STALL_SILENT, /* it was asked and has not answered; it counts as computing */
};

struct stall_row {
    enum stall_state state;
    uint64_t step; /* another one with every change of state */
    double secs;   /* in this state */
    char call[32]; /* "MPI_Recv": whether it sends or receives is read off the name */
    int waits;     /* entries of peers and tags, all waited for */
    int peers[STALL_PEERS], tags[STALL_PEERS];
    char host[64];
};

struct stall_verdict {
    bool stalled;
    int overdue; /* the lowest rank beyond the bound if none is stuck, else -1 */
    int stuck_count;
    bool *stuck; /* count entries */
    /* A cycle: the one that the lowest rank is part of, that rank first (the last waits for the
     * first). Without any: from the lowest stuck rank to one that has finished, or that knows
     * nobody to wait for. */
    bool cycle;
    int path_length;
    int *path; /* count entries */
};

/* Judges the rows of `count` ranks. Returns 0, or -1 with ENOMEM. stall_verdict_free() frees what
 * the verdict holds. */
int stall_judge(const struct stall_row *rows, int count, double limit_secs,
                struct stall_verdict *verdict);
void stall_verdict_free(struct stall_verdict *verdict);

/* Writes for people: a heading, the rows in rank order, the cycle. The verdict must be stalled. */
void stall_describe(FILE *out, const struct stall_row *rows, int count, double limit_secs,
                    const struct stall_verdict *verdict);

#endif
