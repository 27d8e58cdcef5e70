/*
 * turns - competitors measured in turns, sample by sample.
 *
 * A machine's speed changes from second to second, the ratio of two things done one after the other
 * much less: so each round takes one sample of every competitor. One thread calls; what the
 * operations do is theirs. No function is thread-safe.
 */
#ifndef LOCAL_LIB_TURNS_H
#define LOCAL_LIB_TURNS_H

#include "local/lib/stats.h"

struct turn {
    void (*operation)(void *arg);
    void (*prepare)(void *arg); /* before each operation, not timed; NULL: nothing, and then short
                                 * operations are done once unrecorded before they are timed, so
                                 * that each finds the caches as it left them */
    void *arg;
    const bool *failed;         /* set by the operation when to go on is in vain; NULL: it is not */
    struct summary summary;     /* seconds for one operation */
    struct summary speedup;     /* time of the first competitor / own time, round by round */
    size_t batch;               /* operations in a sample; what stands here before is the least */
    double *samples;            /* from here on the library's own */
};

/*
 * Rounds over all `count` competitors, until every interval is narrow enough (rule->width), or
 * rule->secs x count is spent, or rule->max_iterations rounds are done. There is at least one
 * round, behind one or more that are not recorded: they warm up and set the batches, so that a
 * sample lasts for 5 us or more. Writes summary, speedup and batch of each. Returns 0, or -1 with
 * errno (ENOMEM; EINVAL: nothing to measure, or no round allowed; ECANCELED: one has `failed`, and
 * nobody has had a turn after that); nothing is then measured.
 */
int turns_run(struct turn *turns, size_t count, const struct stop_rule *rule);

#endif
