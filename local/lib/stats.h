/*
 * stats - what may be said of a set of timings without assuming their distribution.
 *
 * Quantiles are order statistics; the confidence interval of the median comes from the binomial
 * distribution of the number of samples below it (Hoefler and Belli, SC'15, section 3.1.3). Pure
 * functions, thread-safe.
 */
#ifndef LOCAL_LIB_STATS_H
#define LOCAL_LIB_STATS_H

#include <stdbool.h>
#include <stddef.h>

struct summary {
    size_t count;
    double median, p10, p90; /* the unit of the samples */
    bool has_ci;             /* false below STATS_CI_MIN samples: no interval covers 95 % */
    double ci_low, ci_high;  /* where the median lies in at least 95 of 100 such runs */
    double mean;
};

#define STATS_CI_MIN 6

/* Sorts `samples` and summarises them. Returns 0, or -1 with EINVAL if `count` is 0. */
int stats_summarize(double *samples, size_t count, struct summary *summary);

/* Multiplies all figures by `factor`: a round trip's become half of it. */
void stats_scale(struct summary *summary, double factor);

/*
 * The interval of the median is [x(l), x(count + 1 - l)] in samples sorted and counted from 1:
 * the largest l whose coverage is at least 95 %, or 0 where there is none. `coverage` (may be
 * NULL) receives the true probability.
 */
size_t stats_ci_rank(size_t count, double *coverage);

/* When a measurement has gone on for long enough. */
enum stop { STOP_NOT, STOP_CONVERGED, STOP_TIME, STOP_ITERATIONS };

struct stop_rule {
    size_t min_iterations; /* not converged before, and not before a tenth of the budget: */
    size_t max_iterations;
    double secs;           /* budget for one row of a table; samples of one millisecond alone
                            * would show one moment of the machine, and agree with one another */
    double width;          /* converged when the interval is this share of the median, 0.02 */
};

#define STOP_RULE_DEFAULT { .min_iterations = 30, .max_iterations = 100000, .secs = 1, .width = 0.02 }

/* The largest max_iterations of an option --iterations: samples are kept, memory is reserved for all
 * of them, and so many take a minute at the least. */
#define SAMPLES_MAX ((size_t)1 << 24)

/* Whether to stop after `elapsed_secs`, and why. Sorts `samples`. */
enum stop stats_stop(const struct stop_rule *rule, double *samples, size_t count,
                     double elapsed_secs);

/* "converged", "time", "iterations", or "not yet". */
const char *stats_stop_name(enum stop stop);

#endif
