#include "local/lib/turns.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

#include "local/lib/clock.h"
#include "local/lib/size.h"

static const double shortest_secs = 5e-6; /* of a sample: 50 readings of the clock or more */
static const double short_secs = 10e-3;   /* below it an operation is done once more, untimed */

/* Seconds for `batch` operations. What is prepared is prepared for one operation alone. */
static double time_batch(const struct turn *turn, size_t batch)
{
    if (turn->prepare)
        turn->prepare(turn->arg);
    const int64_t begin = clock_ns();
    for (size_t i = 0; i < batch; i++)
        turn->operation(turn->arg);
    return clock_secs(begin, clock_ns());
}

/* Returns the seconds of the last warm-up, in which all of the first costs have been paid. */
static double set_batch(struct turn *turn)
{
    double secs = time_batch(turn, 1);

    if (turn->batch == 0)
        turn->batch = 1;
    if (secs < short_secs)
        secs = time_batch(turn, turn->batch);
    while (!turn->prepare && secs < shortest_secs) {
        turn->batch *= 2;
        secs = time_batch(turn, turn->batch);
    }
    return secs;
}

static bool has_failed(const struct turn *turn)
{
    return turn->failed && *turn->failed;
}

static double sample(const struct turn *turn, bool is_short)
{
    if (is_short && !turn->prepare)
        turn->operation(turn->arg);
    return time_batch(turn, turn->batch) / (double)turn->batch;
}

/* stats_stop() sorts, and the samples must keep the order of their rounds: it gets a copy. */
static bool all_stopped(const struct turn *turns, size_t count, const struct stop_rule *rule,
                        size_t rounds, double elapsed, double *copy)
{
    for (size_t k = 0; k < count; k++) {
        for (size_t i = 0; i < rounds; i++)
            copy[i] = turns[k].samples[i];
        if (stats_stop(rule, copy, rounds, elapsed) == STOP_NOT)
            return false;
    }
    return true;
}

/* Returns how many rounds; 0: somebody failed. */
static size_t run_rounds(struct turn *turns, size_t count, const struct stop_rule *rule,
                         const bool *is_short, double *copy)
{
    const struct stop_rule all = { rule->min_iterations, rule->max_iterations,
                                   rule->secs * (double)count, rule->width };
    const int64_t begin = clock_ns();
    size_t rounds = 0, next_look = rule->min_iterations;

    for (;;) {
        for (size_t k = 0; k < count; k++) {
            turns[k].samples[rounds] = sample(&turns[k], is_short[k]);
            if (has_failed(&turns[k]))
                return 0;
        }
        rounds++;
        const double elapsed = clock_secs(begin, clock_ns());
        if (rounds < next_look && rounds < all.max_iterations && elapsed < all.secs)
            continue;
        next_look = rounds + rounds / 4 + 1;
        if (all_stopped(turns, count, &all, rounds, elapsed, copy))
            return rounds;
    }
}

/* Ratios first: to summarise the samples is to sort them. The first competitor comes last. */
static void summarize(struct turn *turns, size_t count, size_t rounds, double *ratios)
{
    for (size_t k = count; k-- > 0;) {
        for (size_t i = 0; i < rounds; i++)
            ratios[i] = turns[0].samples[i] / turns[k].samples[i];
        stats_summarize(ratios, rounds, &turns[k].speedup);
        stats_summarize(turns[k].samples, rounds, &turns[k].summary);
    }
}

int turns_run(struct turn *turns, size_t count, const struct stop_rule *rule)
{
    if (count == 0 || rule->max_iterations == 0) {
        errno = EINVAL;
        return -1;
    }
    /* A row of samples for each, and one to sort in. Rows that are never written cost no memory. */
    double *rows = calloc(size_product(size_sum(count, 1), rule->max_iterations), sizeof *rows);
    bool *is_short = calloc(count, sizeof *is_short);
    if (!rows || !is_short) {
        free(is_short);
        free(rows);
        errno = ENOMEM;
        return -1;
    }
    double *copy = rows + count * rule->max_iterations;
    bool failed = false;
    for (size_t k = 0; k < count && !failed; k++) {
        turns[k].samples = rows + k * rule->max_iterations;
        is_short[k] = set_batch(&turns[k]) < short_secs;
        failed = has_failed(&turns[k]);
    }
    const size_t rounds = failed ? 0 : run_rounds(turns, count, rule, is_short, copy);
    if (rounds > 0)
        summarize(turns, count, rounds, copy);
    for (size_t k = 0; k < count; k++)
        turns[k].samples = NULL;
    free(is_short);
    free(rows);
    errno = ECANCELED;
    return rounds > 0 ? 0 : -1;
}
