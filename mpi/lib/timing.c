#include "mpi/lib/timing.h"
#include "local/lib/clock.h"
#include "mpi/lib/clocks.h"

#include <math.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH_MAX = 4096, SKEW_SAMPLES = 31 }; /* samples of a batch, of all cases together */

struct exit_of_rank { /* what MPI_MAXLOC compares, as MPI_DOUBLE_INT lays it out */
    double secs;
    int rank;
};

/* What rank 0 knows of one case. */
struct taken {
    double *samples;
    double *ratios;     /* of the first case's sample to this one's of the same round */
    int *times_slowest; /* one a rank */
};

/* One measurement. Times are seconds since `origin_ns` on the common clock: small, so exact. A
 * round is a sample of each case. */
struct run {
    const struct world *world;
    const struct clocks *clocks;
    const struct timing_case *cases;
    int case_count;
    int64_t origin_ns;
    bool window;
    double margin;  /* how far ahead a window is announced */
    double *entry, *first_entry; /* round by round; the second ones are reduced, on rank 0 */
    struct exit_of_rank *leave, *last_leave;
    int *late, *any_late;
    /* rank 0 only */
    struct taken *taken; /* one a case */
    size_t count;        /* rounds */
    size_t late_count;
};

static double now(const struct run *run)
{
    return clock_secs(run->origin_ns, clocks_global_ns(run->clocks, clock_ns()));
}

/* Waits until all ranks may begin. Returns whether this one came too late to begin with them. */
static bool start_together(const struct run *run)
{
    double when;

    MPI_Barrier(run->world->comm);
    if (!run->window) {
        MPI_Barrier(run->world->comm);
        return false;
    }
    when = now(run) + run->margin; /* counts on rank 0, and only once all have left the last one */
    MPI_Bcast(&when, 1, MPI_DOUBLE, 0, run->world->comm);
    if (now(run) > when)
        return true;
    for (double left; (left = when - now(run)) > 0;)
        if (run->world->simulated)
            clock_sleep(left);
        else if (left > 50e-6)
            sched_yield(); /* a late rank may wait for this very core */
    return false;
}

/* Runs a batch of rounds and brings first entries and last exits together on rank 0. */
static void run_batch(struct run *run, int rounds, const struct timing_case *cases, int case_count)
{
    const MPI_Comm comm = run->world->comm;
    const int size = rounds * case_count;

    for (int i = 0; i < size; i++) {
        const struct timing_case *const c = &cases[i % case_count];
        run->late[i] = start_together(run);
        run->entry[i] = now(run);
        c->operation(c->arg);
        run->leave[i] = (struct exit_of_rank){ now(run), run->world->rank };
    }
    MPI_Reduce(run->entry, run->first_entry, size, MPI_DOUBLE, MPI_MIN, 0, comm);
    MPI_Reduce(run->leave, run->last_leave, size, MPI_DOUBLE_INT, MPI_MAXLOC, 0, comm);
    MPI_Reduce(run->late, run->any_late, size, MPI_INT, MPI_MAX, 0, comm);
}

/* Rank 0 keeps the samples of a batch. A round in which a rank came late is lost for all cases. */
static void keep_batch(struct run *run, int rounds)
{
    for (int round = 0; round < rounds; round++) {
        const int first = round * run->case_count;
        int late = 0;
        for (int i = 0; i < run->case_count; i++)
            late |= run->any_late[first + i];
        if (late) {
            run->late_count++;
            continue;
        }
        for (int i = 0; i < run->case_count; i++) {
            struct taken *const taken = &run->taken[i];
            const struct exit_of_rank last = run->last_leave[first + i];
            taken->samples[run->count] = last.secs - run->first_entry[first + i];
            taken->times_slowest[last.rank]++;
            taken->ratios[run->count] =
                (run->last_leave[first].secs - run->first_entry[first]) /
                taken->samples[run->count];
        }
        run->count++;
    }
}

/*
 * The next batch: as many rounds as fit into `secs` when they go on at the pace so far, and no more
 * than a quarter of those done, so that a stop rule is asked often enough; at least one.
 */
static int next_batch(const struct run *run, size_t done, size_t most, double elapsed, double secs)
{
    double size = fmin(BATCH_MAX / run->case_count, fmax(1, (double)done / 4));

    if (done > 0 && elapsed > 0)
        size = fmin(size, (secs - elapsed) * (double)done / elapsed);
    return (int)fmax(1, fmin(size, (double)most));
}

/* A window must be long enough for its announcement to reach every rank, but no longer. */
static void fit_margin(struct run *run, int rounds)
{
    const double longest = 10e-3;
    const int size = rounds * run->case_count;
    int late = 0;

    for (int i = 0; i < size; i++)
        late += run->any_late[i];
    if (late * 20 > size)
        run->margin = fmin(longest, 1.5 * run->margin);
}

/* Rounds that are not recorded: as many as asked, and a tenth of the budget, but no more than all
 * of it. Rank 0 decides; a batch of 0 ends it for all. */
static void warm_up(struct run *run, const struct timing_options *options)
{
    const double secs = options->secs * run->case_count;
    const int64_t begin = clock_ns();
    size_t done = 0;

    for (;;) {
        const double elapsed = clock_secs(begin, clock_ns());
        const bool enough = done >= options->warmup &&
                            (elapsed >= secs / 10 || run->world->simulated);
        int size = enough || (done > 0 && elapsed >= secs)
                       ? 0 : next_batch(run, done, BATCH_MAX, elapsed, secs);
        MPI_Bcast(&size, 1, MPI_INT, 0, run->world->comm);
        if (size == 0)
            return;
        run_batch(run, size, run->cases, run->case_count);
        done += (size_t)size;
        if (run->window && run->world->rank == 0)
            fit_margin(run, size);
    }
}

/* The reason to stop that holds for all cases, the weakest one. */
static enum stop stop_of_all(const struct run *run, const struct stop_rule *rule, double elapsed,
                             double *sorted)
{
    enum stop stop = STOP_CONVERGED;

    for (int i = 0; i < run->case_count && stop != STOP_NOT; i++) {
        memcpy(sorted, run->taken[i].samples, run->count * sizeof *sorted);
        const enum stop of_case = stats_stop(rule, sorted, run->count, elapsed);
        if (of_case != STOP_CONVERGED)
            stop = of_case;
    }
    return stop;
}

static enum stop measure(struct run *run, const struct timing_options *options)
{
    const struct stop_rule rule = {
        .min_iterations = 30,
        .max_iterations = options->iterations,
        .secs = options->secs * run->case_count,
        .width = 0.02,
    };
    const int64_t begin = clock_ns();
    double *sorted = run->world->rank == 0
                         ? world_alloc(run->world, options->iterations, sizeof *sorted) : NULL;
    enum stop stop = STOP_NOT;

    for (;;) {
        int size = 0;
        if (run->world->rank == 0) {
            const double elapsed = clock_secs(begin, clock_ns());
            const size_t done = run->count + run->late_count;
            stop = stop_of_all(run, &rule, elapsed, sorted);
            if (stop == STOP_NOT && run->late_count > 20 && run->late_count > run->count)
                stop = STOP_TIME; /* hopeless: fall back without spending the whole budget */
            if (stop == STOP_NOT)
                size = next_batch(run, done, options->iterations - run->count, elapsed, rule.secs);
        }
        MPI_Bcast(&size, 1, MPI_INT, 0, run->world->comm);
        if (size == 0)
            break;
        run_batch(run, size, run->cases, run->case_count);
        if (run->world->rank == 0)
            keep_batch(run, size);
    }
    free(sorted);
    return stop;
}

static void nothing(void *arg)
{
    (void)arg;
}

/* How far apart ranks leave the barrier that starts a sample: median of last less first, of as
 * many samples as a tenth of the budget is good for. */
static double barrier_skew(struct run *run, double secs)
{
    const int64_t begin = clock_ns();
    double skews[SKEW_SAMPLES];
    struct summary summary;
    int count = 0, more = 1;

    while (more) {
        run_batch(run, 1, &(struct timing_case){ nothing, NULL }, 1);
        skews[count++] = run->last_leave[0].secs - run->first_entry[0];
        more = count < SKEW_SAMPLES && clock_secs(begin, clock_ns()) < secs;
        MPI_Bcast(&more, 1, MPI_INT, 0, run->world->comm);
    }
    stats_summarize(skews, (size_t)count, &summary);
    return summary.median;
}

struct timing_as timing_as_iterations(const struct timing_options *options, uint64_t bytes,
                                      enum timing_kind kind)
{
    static const size_t osu[][2] = {
        [TIMING_COLLECTIVE] = { 1000, 100 }, [TIMING_ROUND_TRIP] = { 10000, 1000 },
        [TIMING_WINDOW] = { 100, 20 },
    };

    const bool large = bytes > 8192;
    struct timing_as as;

    if (arg_is(options->as, "osu")) {
        as.iterations = osu[kind][large];
        as.warmup = as.iterations / (kind == TIMING_ROUND_TRIP ? 100 : 10);
    } else {
        const uint64_t volume = UINT64_C(40) << 20;
        const uint64_t fit = bytes > 0 ? volume / bytes : 1000;
        as.iterations = fit > 1000 ? 1000 : fit > 0 ? (size_t)fit : 1;
        as.warmup = 4;
    }
    if (as.iterations > options->iterations)
        as.iterations = options->iterations;
    return as;
}

static struct timing run_as(const struct world *world, const struct timing_options *options,
                            uint64_t bytes, void (*operation)(void *), void *arg)
{
    const struct timing_as as = timing_as_iterations(options, bytes, TIMING_COLLECTIVE);
    const bool osu = arg_is(options->as, "osu");
    struct timing timing = { .as = options->as, .stop = STOP_ITERATIONS, .clocks = 1 };
    double mine = 0;

    for (size_t i = 0; i < as.warmup; i++) {
        operation(arg);
        MPI_Barrier(world->comm);
    }
    MPI_Barrier(world->comm);
    MPI_Barrier(world->comm);
    const int64_t begin = clock_ns();
    for (size_t i = 0; i < as.iterations; i++) {
        const int64_t before = osu ? clock_ns() : 0;
        operation(arg);
        if (osu) {
            mine += clock_secs(before, clock_ns());
            MPI_Barrier(world->comm);
        }
    }
    if (!osu)
        mine = clock_secs(begin, clock_ns());
    mine /= (double)as.iterations;
    MPI_Reduce(&mine, &timing.quoted, 1, MPI_DOUBLE, MPI_SUM, 0, world->comm);
    MPI_Reduce(&mine, &timing.quoted_min, 1, MPI_DOUBLE, MPI_MIN, 0, world->comm);
    MPI_Reduce(&mine, &timing.quoted_max, 1, MPI_DOUBLE, MPI_MAX, 0, world->comm);
    timing.quoted /= world->size;
    timing.start = osu ? "barrier each" : "two barriers, then back to back";
    timing.summary.count = as.iterations;
    return timing;
}

static void *array(const struct world *world, size_t size)
{
    return world_alloc(world, BATCH_MAX, size);
}

static struct taken *taken_open(const struct world *world, int cases, size_t iterations)
{
    struct taken *taken = world_alloc(world, (size_t)cases, sizeof *taken);

    for (int i = 0; i < cases; i++) {
        taken[i].samples = world_alloc(world, iterations, sizeof *taken[i].samples);
        taken[i].ratios = world_alloc(world, iterations, sizeof *taken[i].ratios);
        taken[i].times_slowest = calloc((size_t)world->size, sizeof *taken[i].times_slowest);
        if (!taken[i].times_slowest)
            world_abort(world, FAIL, "no memory for %d ranks", world->size);
    }
    return taken;
}

static void taken_close(struct taken *taken, int cases)
{
    for (int i = 0; i < cases; i++) {
        free(taken[i].times_slowest);
        free(taken[i].ratios);
        free(taken[i].samples);
    }
    free(taken);
}

static void forget(struct run *run)
{
    run->count = run->late_count = 0;
    for (int i = 0; run->taken && i < run->case_count; i++)
        memset(run->taken[i].times_slowest, 0,
               (size_t)run->world->size * sizeof *run->taken[i].times_slowest);
}

static void summarize(const struct run *run, struct timing *timings)
{
    for (int i = 0; i < run->case_count; i++) {
        struct taken *const taken = &run->taken[i];
        stats_summarize(taken->samples, run->count, &timings[i].summary);
        stats_summarize(taken->ratios, run->count, &timings[i].ratio);
        for (int rank = 1; rank < run->world->size; rank++)
            if (taken->times_slowest[rank] > taken->times_slowest[timings[i].slowest_rank])
                timings[i].slowest_rank = rank;
    }
}

void timing_run_each(const struct world *world, const struct timing_options *options,
                     uint64_t bytes, const struct timing_case *cases, int count,
                     struct timing *timings)
{
    struct clocks clocks;
    struct timing timing = { 0 };
    const struct timing_options few = { .secs = options->secs, .iterations = 1, .warmup = 0,
                                        .start = options->start, .as = options->as };
    struct run run = {
        .world = world,
        .clocks = &clocks,
        .cases = cases,
        .case_count = count,
        .window = world->simulated ||
                  (strcmp(options->start, "window") == 0 && !world->oversubscribed),
        .margin = world->simulated ? 1 : 20e-6,
    };

    if (world->simulated) /* where nothing is by chance, one sample tells it all */
        options = &few;
    for (int i = 0; options->as && i < count; i++)
        timings[i] = run_as(world, options, bytes, cases[i].operation, cases[i].arg);
    if (options->as)
        return;
    run.entry = array(world, sizeof *run.entry);
    run.first_entry = array(world, sizeof *run.first_entry);
    run.leave = array(world, sizeof *run.leave);
    run.last_leave = array(world, sizeof *run.last_leave);
    run.late = array(world, sizeof *run.late);
    run.any_late = array(world, sizeof *run.any_late);
    if (world->rank == 0)
        run.taken = taken_open(world, count, options->iterations);
    clocks_open(&clocks, world);
    clocks_sync(&clocks, fmin(0.5, options->secs / 2));
    run.origin_ns = clocks_global_ns(&clocks, clock_ns());
    MPI_Bcast(&run.origin_ns, 1, MPI_INT64_T, 0, world->comm);
    timing.clocks = clocks.count;
    timing.residual_secs = clocks_residual(&clocks);

    warm_up(&run, options);
    timing.stop = measure(&run, options);

    int fall_back = run.window && run.late_count * 10 > run.count + run.late_count;
    MPI_Bcast(&fall_back, 1, MPI_INT, 0, world->comm);
    if (world->rank == 0 && run.late_count)
        timing.late_share = (double)run.late_count / (double)(run.count + run.late_count);
    if (fall_back) {
        run.window = false;
        forget(&run);
        timing.stop = measure(&run, options);
    }
    timing.refused = world->oversubscribed && strcmp(options->start, "window") == 0;
    timing.start = run.window ? "window" : "barrier";
    if (!run.window)
        timing.skew_secs = barrier_skew(&run, options->secs / 10);
    timing.residual_secs = fmax(timing.residual_secs, clocks_residual(&clocks));

    for (int i = 0; i < count; i++)
        timings[i] = timing;
    if (world->rank == 0) {
        summarize(&run, timings);
        taken_close(run.taken, count);
    }
    clocks_close(&clocks);
    free(run.any_late);
    free(run.late);
    free(run.last_leave);
    free(run.leave);
    free(run.first_entry);
    free(run.entry);
}

struct timing timing_run(const struct world *world, const struct timing_options *options,
                         uint64_t bytes, void (*operation)(void *), void *arg)
{
    struct timing timing;

    timing_run_each(world, options, bytes, &(struct timing_case){ operation, arg }, 1, &timing);
    return timing;
}

void timing_fields(struct record *record, const struct timing *timing, uint64_t bytes,
                   bool verified)
{
    const double secs = timing->as ? timing->quoted : timing->summary.median;

    record_int(record, "bytes", (int64_t)bytes);
    if (timing->as) {
        record_text(record, "as", timing->as);
        record_real(record, "mean_s", verified ? timing->quoted : NAN);
        record_real(record, "least_mean_s", verified ? timing->quoted_min : NAN);
        record_real(record, "largest_mean_s", verified ? timing->quoted_max : NAN);
        record_int(record, "iterations", (int64_t)timing->summary.count);
    } else {
        record_summary(record, &timing->summary, verified);
    }
    record_real(record, "bytes_per_s", verified ? (double)bytes / secs : NAN);
    if (timing->as || timing->slowest_rank < 0) {
        record->aside = true;
        record_null(record, "slowest_rank");
    } else {
        record_int(record, "slowest_rank", timing->slowest_rank);
    }
    record->aside = timing->clocks <= 1; /* never a synchronised figure without its error */
    record_real(record, "residual_s", timing->residual_secs);
    record->aside = true;
    record_text(record, "stop", stats_stop_name(timing->stop));
    record_text(record, "start", timing->start);
    record_real(record, "late_share", timing->late_share);
    record_real(record, "skew_s", timing->skew_secs);
    record_int(record, "clocks", timing->clocks);
    record->aside = false;
}

void timing_notes(struct program *program, const struct timing *timing)
{
    if (timing->refused)
        program_note(program, "window start: oversubscribed ranks cannot start together, so "
                     "samples began after barriers instead");
    if (timing->late_share > 0.1)
        program_note(program, "window start: a rank came late to %.0f %% of the samples, so they "
                     "began after barriers instead", 100 * timing->late_share);
    if (timing->residual_secs > 0.1 * timing->summary.median)
        program_note(program, "the %d clocks differ by up to %.1f us, more than a tenth of the "
                     "median: it is uncertain by that much", timing->clocks,
                     1e6 * timing->residual_secs);
}
