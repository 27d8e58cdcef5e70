/*
 * clocks - one time for all ranks of a job, also across nodes.
 *
 * MPI_Wtime cannot serve: in Open MPI its origin differs from process to process. Ranks of one
 * node share CLOCK_MONOTONIC (local/lib/clock.h), so only one rank of each node, its leader,
 * estimates how its clock stands to that of rank 0, by ping-pongs: the reply to the quickest of
 * many tells the offset to within half its round trip. Leaders learn from leaders that have learnt
 * before, in log2(nodes) rounds, and fit a line where the clocks are seen to drift (Hunold and
 * Carpen-Amarie, "Hierarchical clock synchronization in MPI", CLUSTER 2018).
 */
#ifndef MPI_LIB_CLOCKS_H
#define MPI_LIB_CLOCKS_H

#include <stdint.h>

#include "mpi/lib/world.h"

struct clocks {
    MPI_Comm sharing; /* the ranks that read the same clock as this one */
    MPI_Comm leaders; /* the lowest rank of each `sharing`; MPI_COMM_NULL on the others */
    int count;        /* different clocks in the job */
    /* global = local + offset_ns + drift * (local - base_ns): the clock of rank 0 */
    int64_t base_ns, offset_ns;
    double drift;
};

/* Collective. Finds who shares a clock; the clocks are not synchronised yet. */
void clocks_open(struct clocks *clocks, const struct world *world);

/*
 * Collective. Estimates offset and drift of each clock in about `secs` a round, log2(count)
 * rounds; at once where all ranks share one clock. Drift makes the estimate worse with time:
 * synchronise again every few seconds.
 */
void clocks_sync(struct clocks *clocks, double secs);

/*
 * Collective. The largest error of any clock at this moment, in seconds, on all ranks: measured
 * against rank 0's clock by new ping-pongs; 0 where all share one clock.
 */
double clocks_residual(const struct clocks *clocks);

/* What the clock of rank 0 showed when this rank's clock_ns() was `local_ns`. */
int64_t clocks_global_ns(const struct clocks *clocks, int64_t local_ns);

/* Collective. */
void clocks_close(struct clocks *clocks);

/*
 * Fits offset = line(time) through `count` points by least squares, for clocks_sync(): the slope
 * is taken as 0, and the line through `best`, while it is less than three standard errors away
 * from 0, because noise that looks like drift grows with time. Exposed for its test.
 */
struct line {
    double at_base, slope;
};
struct line clocks_fit(const double *time, const double *offset, int count, int best);

#endif
