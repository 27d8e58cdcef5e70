/*
 * timing - how long an operation of all ranks takes: from the first rank's entry to the last
 * rank's exit, on a common clock (mpi/lib/clocks.h), which is what a user waits for. Local times
 * after a barrier, the usual way, are too small by up to a factor of 26 when ranks share cores:
 * a rank that is scheduled late finds its data present.
 *
 * Every sample is kept; results are order statistics with a confidence interval of the median
 * (local/lib/stats.h).
 */
#ifndef MPI_LIB_TIMING_H
#define MPI_LIB_TIMING_H

#include "local/lib/stats.h"
#include "mpi/lib/world.h"

/* What the user chooses; a program keeps one, lists TIMING_ARGS(it) among its options. */
struct timing_options {
    double secs;        /* budget for the samples of one row */
    size_t iterations;  /* samples at most */
    size_t warmup;      /* iterations at least that are run before, and not recorded */
    const char *start;  /* how the ranks begin a sample together */
    const char *as;     /* NULL, or the suite whose way of measuring is followed: see below */
};

#define TIMING_DEFAULTS { .secs = 1, .iterations = 100000, .warmup = 5, .start = "barrier" }

/* Bounds of the options: a day, and as many samples as are worth keeping. */
enum { TIMING_SECS_MAX = 86400, TIMING_ITERATIONS_MAX = 1 << 30, TIMING_WARMUP_MAX = 1 << 20 };

#define TIMING_ARGS(timing)                                                                        \
    { "seconds", ARG_SECS, &(timing)->secs, "time budget for one row", .max = TIMING_SECS_MAX },   \
    { "iterations", ARG_SIZE, &(timing)->iterations, "samples of one row at most", .min = 1,       \
      .max = TIMING_ITERATIONS_MAX },                                                              \
    { "warmup", ARG_SIZE, &(timing)->warmup, "iterations before the first sample at least",        \
      .max = TIMING_WARMUP_MAX },                                                                  \
    { "start", ARG_CHOICE, &(timing)->start,                                                       \
      "begin samples after two barriers, or at a time told before", .choices = "barrier|window" }, \
    { "as", ARG_CHOICE, &(timing)->as,                                                             \
      "measure as OSU's or Intel's benchmarks do, to compare with them", .choices = "osu|imb" }

struct timing {
    struct summary summary; /* seconds */
    struct summary ratio;   /* the first case's time to this one's, round by round: 2 is twice as
                             * fast; 1 where there is one case */
    enum stop stop;         /* why it ended */
    int slowest_rank;       /* the one that was last to leave most often; -1: not asked */
    const char *start;      /* "barrier" or "window", as used */
    bool refused;           /* a window was asked for, but the ranks are oversubscribed */
    double late_share;      /* window: samples thrown away because a rank came late */
    double skew_secs;       /* barrier: median of last less first exit from a barrier alone */
    int clocks;             /* different clocks among the ranks */
    double residual_secs;   /* largest error of a clock, before or after; 0 for one clock */
    const char *as;         /* NULL, or the suite; then only summary.count and these hold: */
    double quoted, quoted_min, quoted_max; /* seconds, the figure that the suite prints */
};

/*
 * Collective. In simulation one sample is taken, by a window. Runs `operation(arg)`, which moves
 * `bytes`, on all ranks until the interval of the median is within 2 % of it, or the budget or the
 * iterations are used up. Returns the timing on rank 0; on the other ranks its summary is zero.
 * Window starts fall back to barriers where the ranks are oversubscribed (they cannot start
 * together) or more than a tenth of the samples came late.
 */
struct timing timing_run(const struct world *world, const struct timing_options *options,
                         uint64_t bytes, void (*operation)(void *arg), void *arg);

/*
 * Collective. The same for several competitors, that take turns sample by sample, because a
 * machine's speed changes with time and their ratio does not. timings[i] is that of cases[i]; the
 * budget of a row counts for each, and all stop together. At most 1024 cases.
 */
struct timing_case {
    void (*operation)(void *arg);
    void *arg;
};
void timing_run_each(const struct world *world, const struct timing_options *options,
                     uint64_t bytes, const struct timing_case *cases, int count,
                     struct timing *timings);

/*
 * The other suites' ways, so that rows of ours may stand beside theirs (and beside no other row).
 * One buffer, used again and again, a fixed root, and means:
 *
 * - osu (OSU micro-benchmarks 7): a barrier after each iteration; each rank adds up its own times
 *   of the operation alone; the figure is their mean over iterations and ranks, with the least and
 *   the largest rank's. 1000 iterations after 100, above 8 KiB 100 after 10.
 * - imb (Intel MPI Benchmarks): two barriers, then all iterations back to back; a rank's time is
 *   their mean; t_avg, with t_min and t_max over ranks. 1000 iterations, fewer above 40 KiB: 40 MiB
 *   are moved in all.
 *
 * timing_as_iterations() gives the iterations and the warm-up for messages of `bytes`. Between two
 * ranks osu takes ten times as many round trips, and of windows of messages 100 after 10, above
 * 8 KiB 20 after 2. --iterations, where it is smaller, wins.
 */
enum timing_kind { TIMING_COLLECTIVE, TIMING_ROUND_TRIP, TIMING_WINDOW };
struct timing_as {
    size_t iterations, warmup;
};
struct timing_as timing_as_iterations(const struct timing_options *options, uint64_t bytes,
                                      enum timing_kind kind);

/* Appends the fields of a timing: bytes, iterations, median_s ... `bytes` is what a rank's larger
 * buffer holds in all. If `verified` is false no time is given. */
void timing_fields(struct record *record, const struct timing *timing, uint64_t bytes,
                   bool verified);

/* What a reader must know of how it was measured, as lines for people. Only on rank 0. */
void timing_notes(struct program *program, const struct timing *timing);

#endif
