/*
 * hello_pthread - rank, thread and CPU from POSIX threads that each bind themselves
 *
 * Every rank makes its threads by pthread_create(). Each binds itself to its own CPUs, which were
 * planned for all ranks of the node together, and says who it is, what it is bound to and where it
 * runs. Each pair of a rank and a thread must answer exactly once, and be bound as planned. The
 * main thread, which only waits, stays as the launcher left it.
 *
 * What can go wrong: a thread is born with the mask of the one that makes it. If main binds itself
 * first, all its threads sit on its one CPU (--fault early), and so do the threads that MPI makes
 * for itself if it is started after that: bind after MPI_Init, and each thread for itself.
 *
 * Run:     make run P=hello_pthread N=1 T=2
 * Try:     --threads 2 --fault early: where are they all?
 * Try:     --threads 64: what does it cost to make a thread and to wait for it?
 * Test:    -n 1 -t 1
 * Test:    -n 1 -t 2 --place compact
 * Test:    -n 2 -t 3
 * Test:    -n 3 -t 1 --place none
 * Test:    -n 4 -t 2
 * Test:    -n 1 -t 64
 * Test(1): -n 1 -t 2 --fault early
 * Test(77): -n 4 -t 2048 --fault early
 * Test(2): -n 1 -t 1 --fault early
 */
#include <errno.h>
#include <math.h>
#include <omp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

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
    { "fault", ARG_CHOICE, &opt.fault, "main binds itself first, and its threads do not",
      .choices = "early" },
    TIMING_ARGS(&opt.timing),
    ARGS_END,
};

struct worker {
    pthread_t thread;
    int number;
    struct team *team;
};

struct team {
    const struct world *world;
    struct place *place;
    struct roll *roll; /* NULL: only bind, to be timed */
    struct worker *workers;
};

static void *work(void *arg)
{
    const struct worker *const worker = arg;
    const struct team *const team = worker->team;

    if (team->roll)
        roll_answer(team->roll, worker->number, !opt.fault);
    else
        place_thread(team->place, worker->number);
    return NULL;
}

static void make_and_join(void *arg)
{
    struct team *const team = arg;

    for (int i = 0; i < opt.threads; i++) {
        struct worker *const worker = &team->workers[i];
        worker->number = i;
        worker->team = team;
        const int error = pthread_create(&worker->thread, NULL, work, worker);
        if (error)
            world_abort(team->world, UNABLE, "thread %d of %d cannot be made: %s: give fewer "
                        "--threads", i, opt.threads, strerror(error));
    }
    for (int i = 0; i < opt.threads; i++)
        pthread_join(team->workers[i].thread, NULL);
}

static void tell_time(struct world *w, const struct timing *timing)
{
    const double secs = timing->as ? timing->quoted : timing->summary.median;

    program_note(&w->program, "to make, bind and join %d thread%s on each rank takes %.1f us (%s "
                 "of %zu)", opt.threads, opt.threads == 1 ? "" : "s", 1e6 * secs,
                 timing->as ? "mean" : "median", timing->summary.count);
}

static enum status hello(struct world *w, struct place *place)
{
    struct roll roll;
    struct timing timing = { .summary = { .median = NAN } };

    roll_open(&roll, w, place, "threads", opt.threads);
    struct team team = { w, place, &roll,
                         world_alloc(w, (size_t)opt.threads, sizeof *team.workers) };
    if (opt.fault)
        place_thread(place, 0);
    make_and_join(&team);
    team.roll = NULL;
    if (!opt.fault)
        timing = timing_run(w, &opt.timing, 0, make_and_join, &team);
    const double secs = timing.as ? timing.quoted : timing.summary.median;
    const struct verdict verdict = roll_check(w, &roll, secs);
    if (!opt.fault)
        tell_time(w, &timing);
    program_fault(&w->program, opt.fault, verdict.right, "the threads were made elsewhere");
    free(team.workers);
    roll_close(&roll);
    if (!verdict.right)
        return program_verdict(&w->program, false, "%s", verdict.wrong);
    return program_verdict(&w->program, true, "%d rank%s x %d thread%s: each pair has answered "
                           "once, and is where it should be", w->size, w->size == 1 ? "" : "s",
                           opt.threads, opt.threads == 1 ? "" : "s");
}

static enum status run(struct world *w)
{
    struct place place;
    enum status status = PASS;

    place_open(&place, w, opt.threads, opt.place);
    if (*place.reason)
        program_note(&w->program, "threads are not bound: %s", place.reason);
    if (opt.fault && !place.applied) {
        program_error("rank %d: --fault early: nothing is bound: a CPU for each thread is needed, "
                      "and a --place other than none", w->rank);
        status = UNABLE;
    }
    status = world_agree(w, status);
    if (status == PASS)
        status = hello(w, &place);
    place_close(&place);
    return status;
}

int main(int argc, char **argv)
{
    struct world w;

    opt.threads = omp_get_max_threads();
    enum status status = world_open(&w, argc, argv, MPI_THREAD_FUNNELED, opt.threads, options);
    if (status == PASS && opt.fault && opt.threads < 2)
        status = world_usage(&w, "--fault %s: main's own thread sits right: give --threads 2",
                             opt.fault);
    if (status == PASS)
        status = run(&w);
    return world_close(&w, status);
}
