#include "local/lib/sampler.h"
#include "local/lib/clock.h"
#include "local/lib/size.h"

#include <stdlib.h>

static const int64_t shortest_ns = 5000;

int sampler_open(struct sampler *sampler, const struct stop_rule *rule)
{
    double *samples = size_alloc(rule->max_iterations, sizeof *samples);

    if (!samples)
        return -1;
    *sampler = (struct sampler){
        .rule = *rule,
        .batch = 1,
        .samples = samples,
        .next_look = rule->min_iterations,
    };
    return 0;
}

void sampler_add(struct sampler *sampler, int64_t begin_ns, int64_t end_ns)
{
    if (sampler->begin_ns == 0)
        sampler->begin_ns = begin_ns;
    const double elapsed = clock_secs(sampler->begin_ns, end_ns);

    if (end_ns - begin_ns < shortest_ns && sampler->count == 0 && elapsed < sampler->rule.secs) {
        sampler->batch *= 2;
        return;
    }
    sampler->samples[sampler->count++] = clock_secs(begin_ns, end_ns) / (double)sampler->batch;
    if (sampler->count < sampler->next_look && sampler->count < sampler->rule.max_iterations &&
        elapsed < sampler->rule.secs)
        return;
    sampler->next_look = sampler->count + sampler->count / 4 + 1;
    sampler->stop = stats_stop(&sampler->rule, sampler->samples, sampler->count, elapsed);
    if (sampler->stop != STOP_NOT)
        sampler->batch = 0;
}

struct summary sampler_close(struct sampler *sampler)
{
    struct summary summary = { 0 };

    stats_summarize(sampler->samples, sampler->count, &summary);
    free(sampler->samples);
    sampler->samples = NULL;
    return summary;
}
