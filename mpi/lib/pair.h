/*
 * pair - how long an operation between two ranks takes, on the clock of one of them.
 *
 * The leader repeats the operation, takes the samples and decides when they are enough; its peer
 * follows. Short operations are repeated in batches, so that the clock is not what is measured
 * (local/lib/sampler.h). Nobody else takes part: disjoint pairs can be measured at the same time,
 * and ranks without a pair wait in world_rest().
 */
#ifndef MPI_LIB_PAIR_H
#define MPI_LIB_PAIR_H

#include "mpi/lib/timing.h"

struct pair {
    const struct world *world;
    int peer;
    bool leads;
    bool windows; /* an operation is a window of messages, not a round trip */
};

/* TIMING_ARGS() for a program that uses pair_run(): nobody else begins with it. */
#define PAIR_ARGS(timing)                                                                          \
    { "seconds", ARG_SECS, &(timing)->secs, "time budget for one row",                  \
          .max = TIMING_SECS_MAX },                                                                \
        { "iterations", ARG_SIZE, &(timing)->iterations, "samples of one row at most", .min = 1,   \
          .max = TIMING_ITERATIONS_MAX },                                                          \
        { "warmup", ARG_SIZE, &(timing)->warmup, "iterations before the first sample at least",    \
          .max = TIMING_WARMUP_MAX },                                                              \
    {                                                                                              \
        "as", ARG_CHOICE, &(timing)->as,                                                           \
            "measure as OSU's or Intel's benchmarks or NetPIPE do, to compare with them",          \
            .choices = "osu|imb|netpipe"                                                           \
    }

/*
 * Both ranks of the pair call it. Runs operation(arg, times), which does `times` operations that
 * each move `bytes`, on both of them equally often. On the leader the timing of one operation, its
 * slowest_rank -1; on the peer a timing with a summary of count 0. The options are read on the
 * leader.
 *
 * As osu or imb, one mean over the iterations of timing_as_iterations(). As netpipe (NetPIPE 3.7),
 * the least of seven means, each over as many iterations as last a quarter of a second.
 */
struct timing pair_run(const struct pair *pair, const struct timing_options *options,
                       uint64_t bytes, void (*operation)(void *arg, size_t times), void *arg);

/* An operation was a round trip, or a window of messages: all times of the timing become `factor`
 * of what they are. */
void pair_scale(struct timing *timing, double factor);

#endif
