/*
 * hello_omp - rank, thread and CPU from a parallel region, and once more from a grown team
 *
 * Every thread of every rank says who it is, what it is bound to and where it runs, inside the
 * parallel region: what holds before or behind one need not hold in it. First a team of half the
 * threads answers (small), then one of all of them (grown). Each pair of a rank and a thread must
 * answer exactly once in each, and be bound as planned.
 *
 * What can go wrong: a team that grows has new threads, and a thread is born with the mask of the
 * one that made it. GNU's runtime makes them in the master, which is bound to one core by then, and
 * they all share it; LLVM's leaves them unbound. A team that shrinks may lose threads for good, and
 * their masks with them. So each thread binds itself, in each region (place_thread(), which costs a
 * comparison where nothing has changed). --fault grow binds in the first region alone.
 *
 * Fewer threads than asked for (OMP_THREAD_LIMIT, OMP_DYNAMIC) are missed by name.
 *
 * Run:     make run P=hello_omp N=2 T=2
 * Try:     --threads 2 --fault grow on 1 rank: who sits where, with gcc's and with clang's OpenMP?
 * Try:     --threads 16: more threads than cores are not bound, and that is told
 * Try:     OMP_THREAD_LIMIT=1: whom does the check miss?
 * Test:    -n 1 -t 1
 * Test:    -n 1 -t 2
 * Test:    -n 2 -t 3
 * Test:    -n 3 -t 2 --place compact
 * Test:    -n 4 -t 3 --place none
 * Test:    -n 1 -t 64
 * Test:    -n 2 -t 1 --fault grow
 * Test(2): -n 1 --threads 0
 */
#include <math.h>
#include <omp.h>

#include "hybrid/lib/place.h"
#include "hybrid/lib/roll.h"
#include "mpi/lib/timing.h"
#include "mpi/lib/verify.h"

static struct {
    int threads;
    const char *place, *fault;
    struct timing_options timing;
} opt = { .place = "balanced", .timing = TIMING_DEFAULTS };

static const struct arg options[] = {
    PLACE_THREADS_ARG(&opt.threads),
    { "place", ARG_CHOICE, &opt.place, "how to bind them", .choices = PLACE_CHOICES },
    { "fault", ARG_CHOICE, &opt.fault, "bind in the first region alone", .choices = "grow" },
    TIMING_ARGS(&opt.timing),
    ARGS_END,
};

static void say_hello(struct roll *roll, bool bind)
{
#pragma omp parallel num_threads(roll->threads)
    roll_answer(roll, omp_get_thread_num(), bind);
}

static void region(void *arg)
{
    struct place *const place = arg;

#pragma omp parallel num_threads(opt.threads)
    place_thread(place, omp_get_thread_num());
}

static void tell_time(struct world *w, const struct timing *timing)
{
    const double secs = timing->as ? timing->quoted : timing->summary.median;

    program_note(&w->program, "a region of %d thread%s on each rank takes %.1f us from beginning "
                 "to end (%s of %zu)", opt.threads, opt.threads == 1 ? "" : "s", 1e6 * secs,
                 timing->as ? "mean" : "median", timing->summary.count);
}

static enum status run(struct world *w)
{
    const int small_team = (opt.threads + 1) / 2;
    struct place place;
    struct roll small, grown;

    place_open(&place, w, opt.threads, opt.place);
    if (*place.reason)
        program_note(&w->program, "threads are not bound: %s", place.reason);
    roll_open(&small, w, &place, "small", small_team);
    roll_open(&grown, w, &place, "grown", opt.threads);
    say_hello(&small, true);
    say_hello(&grown, !opt.fault);
    struct timing timing = { .summary = { .median = NAN } };
    if (!opt.fault)
        timing = timing_run(w, &opt.timing, 0, region, &place);
    const double secs = timing.as ? timing.quoted : timing.summary.median;
    struct verdict verdict = roll_check(w, &small, NAN);
    verdict = verdict_both(verdict, roll_check(w, &grown, secs));
    if (!opt.fault)
        tell_time(w, &timing);
    program_fault(&w->program, opt.fault, verdict.right,
                  place.applied ? "the team had no new threads, or they got their masks by chance"
                                : "nothing is bound");
    roll_close(&grown);
    roll_close(&small);
    place_close(&place);
    if (!verdict.right)
        return program_verdict(&w->program, false, "%s", verdict.wrong);
    return program_verdict(&w->program, true, "%d rank%s x %d thread%s: each pair has answered "
                           "once, and is where it should be", w->size, w->size == 1 ? "" : "s",
                           opt.threads, opt.threads == 1 ? "" : "s");
}

int main(int argc, char **argv)
{
    struct world w;

    opt.threads = omp_get_max_threads();
    enum status status = world_open(&w, argc, argv, MPI_THREAD_FUNNELED, opt.threads, options);
    if (status == PASS)
        status = run(&w);
    return world_close(&w, status);
}
