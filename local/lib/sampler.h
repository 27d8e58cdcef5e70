/*
 * sampler - repeats a short operation in batches, so that the clock is not what is measured, and
 * knows when it has seen enough. One thread uses it; others may read `batch` behind a barrier.
 *
 *     while (sampler.batch > 0) {
 *         const int64_t begin = clock_ns();
 *         for (size_t i = 0; i < sampler.batch; i++)
 *             operation();
 *         sampler_add(&sampler, begin, clock_ns());
 *     }
 */
#ifndef LOCAL_LIB_SAMPLER_H
#define LOCAL_LIB_SAMPLER_H

#include <stdint.h>

#include "local/lib/stats.h"

struct sampler {
    struct stop_rule rule;
    size_t batch;       /* operations in the next sample; 0: enough */
    enum stop stop;
    double *samples;    /* seconds for one operation */
    size_t count;
    size_t next_look;   /* samples at which the stop rule is asked again: it sorts */
    int64_t begin_ns;   /* of the first batch */
};

/* Returns 0, or -1 with ENOMEM. sampler_close() frees it. */
int sampler_open(struct sampler *sampler, const struct stop_rule *rule);

/* Adds the time of one batch, and sets the next. Batches double, and are not recorded, until one
 * lasts for as long as 50 readings of the clock or more (5 us). */
void sampler_add(struct sampler *sampler, int64_t begin_ns, int64_t end_ns);

/* The summary so far (count 0 if there is none), and frees the samples. */
struct summary sampler_close(struct sampler *sampler);

#endif
