#include "local/lib/stats.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* The smallest sample that at least share * count samples do not exceed. */
static double quantile(const double *sorted, size_t count, double share)
{
    const size_t rank = (size_t)ceil(share * (double)count - 1e-9);

    return sorted[rank > 0 ? rank - 1 : 0];
}

size_t stats_ci_rank(size_t count, double *coverage)
{
    const double log_all = (double)count * log(2);
    double below = 0; /* P(B < rank + 1) for B ~ Binomial(count, 1/2) */
    double tail = 0;
    size_t rank = 0;

    while (rank < count) {
        const double log_ways = lgamma((double)count + 1) - lgamma((double)rank + 1) -
                                lgamma((double)(count - rank) + 1);
        below += exp(log_ways - log_all);
        if (below > 0.025)
            break;
        tail = below;
        rank++;
    }
    if (coverage)
        *coverage = rank ? 1 - 2 * tail : 0;
    return rank;
}

int stats_summarize(double *samples, size_t count, struct summary *summary)
{
    if (count == 0) {
        errno = EINVAL;
        return -1;
    }
    qsort(samples, count, sizeof *samples, by_value);

    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += samples[i];
    const size_t rank = stats_ci_rank(count, NULL);
    *summary = (struct summary){
        .count = count,
        .median = quantile(samples, count, 0.5),
        .p10 = quantile(samples, count, 0.1),
        .p90 = quantile(samples, count, 0.9),
        .mean = sum / (double)count,
        .has_ci = rank > 0,
        .ci_low = rank ? samples[rank - 1] : NAN,
        .ci_high = rank ? samples[count - rank] : NAN,
    };
    return 0;
}

void stats_scale(struct summary *summary, double factor)
{
    double *const figures[] = { &summary->median, &summary->p10,     &summary->p90,
                                &summary->ci_low, &summary->ci_high, &summary->mean };

    for (size_t i = 0; i < sizeof figures / sizeof *figures; i++)
        *figures[i] *= factor;
}

enum stop stats_stop(const struct stop_rule *rule, double *samples, size_t count,
                     double elapsed_secs)
{
    struct summary summary;

    if (count >= rule->max_iterations)
        return STOP_ITERATIONS;
    if (count > 0 && elapsed_secs >= rule->secs)
        return STOP_TIME;
    if (count < rule->min_iterations || elapsed_secs < rule->secs / 10 ||
        stats_summarize(samples, count, &summary))
        return STOP_NOT;
    if (summary.has_ci && summary.ci_high - summary.ci_low <= rule->width * summary.median)
        return STOP_CONVERGED;
    return STOP_NOT;
}

const char *stats_stop_name(enum stop stop)
{
    switch (stop) {
    case STOP_CONVERGED: return "converged";
    case STOP_TIME: return "time";
    case STOP_ITERATIONS: return "iterations";
    default: return "not yet";
    }
}
