#include "mpi/lib/pair.h"
#include "local/lib/clock.h"
#include "local/lib/sampler.h"

#include <math.h>

enum { TAG = 32000, TRIALS = 7 }; /* the standard promises tags up to 32767 */

static const double trial_secs = 0.25;

struct run {
    const struct pair *pair;
    void (*operation)(void *, size_t);
    void *arg;
};

/* What the leader asks for: `samples` times `batch` operations; no sample ends it. */
struct request {
    uint64_t batch, samples;
};

static void follow(const struct run *run)
{
    struct request ask;

    for (;;) {
        MPI_Recv(&ask, 2, MPI_UINT64_T, run->pair->peer, TAG, run->pair->world->comm,
                 MPI_STATUS_IGNORE);
        if (ask.samples == 0)
            return;
        for (uint64_t i = 0; i < ask.samples; i++)
            run->operation(run->arg, ask.batch);
    }
}

static void ask_for(const struct run *run, uint64_t batch, uint64_t samples)
{
    const struct request ask = { batch, samples };

    MPI_Send(&ask, 2, MPI_UINT64_T, run->pair->peer, TAG, run->pair->world->comm);
}

/* The seconds that `times` operations last. */
static double lead(const struct run *run, size_t times)
{
    ask_for(run, times, 1);
    const int64_t begin = clock_ns();
    run->operation(run->arg, times);
    return clock_secs(begin, clock_ns());
}

/* As many operations as asked, and a tenth of the budget, but no more than all of it. */
static void warm_up(const struct run *run, const struct timing_options *options)
{
    const int64_t begin = clock_ns();
    size_t done = 0, times = 1;
    double elapsed;

    do {
        const double took = lead(run, times);
        done += times;
        if (took < options->secs / 100)
            times *= 2;
        elapsed = clock_secs(begin, clock_ns());
    } while (elapsed < options->secs && (done < options->warmup || elapsed < options->secs / 10));
}

/* How many samples before the stop rule is asked: no more than the rest of the budget is for. */
static uint64_t samples_ahead(const struct sampler *s, double elapsed)
{
    const double one = s->count > 0 ? elapsed / (double)s->count : INFINITY;
    const double fit = (s->rule.secs - elapsed) / one;
    const size_t ahead = s->next_look > s->count ? s->next_look - s->count : 1;
    const size_t most = s->rule.max_iterations - s->count;

    return (uint64_t)fmax(1, fmin(fmin((double)ahead, (double)most), fit));
}

static void measure(const struct run *run, const struct timing_options *options,
                    struct timing *timing)
{
    const struct stop_rule rule = {
        .min_iterations = 30,
        .max_iterations = options->iterations,
        .secs = options->secs,
        .width = 0.02,
    };
    struct sampler sampler;

    if (sampler_open(&sampler, &rule))
        world_abort(run->pair->world, FAIL, "no memory for %zu samples: give fewer --iterations",
                    options->iterations);
    while (sampler.batch > 0) {
        const size_t batch = sampler.batch;
        const double elapsed = sampler.begin_ns ? clock_secs(sampler.begin_ns, clock_ns()) : 0;
        const uint64_t samples = sampler.count > 0 ? samples_ahead(&sampler, elapsed) : 1;
        ask_for(run, batch, samples);
        for (uint64_t i = 0; i < samples; i++) {
            const int64_t begin = clock_ns();
            run->operation(run->arg, batch);
            const int64_t end = clock_ns();
            if (sampler.batch > 0) /* or the time is up: the rest is not recorded */
                sampler_add(&sampler, begin, end);
        }
    }
    timing->stop = sampler.stop;
    timing->summary = sampler_close(&sampler);
}

static void measure_as(const struct run *run, const struct timing_options *options, uint64_t bytes,
                       struct timing *timing)
{
    const bool netpipe = arg_is(options->as, "netpipe");
    struct timing_as as = { 0 };

    if (netpipe) {
        double one = lead(run, 1);
        for (size_t times = 1; one * (double)times < trial_secs / 10; times *= 2)
            one = lead(run, times) / (double)times;
        as.iterations = (size_t)fmin((double)options->iterations, fmax(1, trial_secs / one));
    } else {
        as = timing_as_iterations(options, bytes,
                                  run->pair->windows ? TIMING_WINDOW : TIMING_ROUND_TRIP);
        lead(run, as.warmup);
    }
    timing->as = options->as;
    timing->stop = STOP_ITERATIONS;
    timing->quoted = INFINITY;
    for (int trial = 0; trial < (netpipe ? TRIALS : 1); trial++) {
        const double mean = lead(run, as.iterations) / (double)as.iterations;
        timing->quoted = fmin(timing->quoted, mean);
        timing->quoted_max = fmax(timing->quoted_max, mean);
    }
    timing->quoted_min = timing->quoted;
    timing->summary.count = as.iterations;
}

struct timing pair_run(const struct pair *pair, const struct timing_options *options,
                       uint64_t bytes, void (*operation)(void *, size_t), void *arg)
{
    const struct run run = { pair, operation, arg };
    struct timing timing = { .start = "back to back", .slowest_rank = -1, .clocks = 1 };

    if (!pair->leads) {
        follow(&run);
        return timing;
    }
    if (options->as) {
        measure_as(&run, options, bytes, &timing);
    } else {
        warm_up(&run, options);
        measure(&run, options, &timing);
    }
    ask_for(&run, 0, 0);
    return timing;
}

void pair_scale(struct timing *timing, double factor)
{
    stats_scale(&timing->summary, factor);
    timing->quoted *= factor;
    timing->quoted_min *= factor;
    timing->quoted_max *= factor;
}
