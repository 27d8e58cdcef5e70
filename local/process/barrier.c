/*
 * barrier - processes that wait for each other at the end of every phase
 *
 * Every process writes its own slot in shared memory, waits at the barrier, reads the slots of all
 * others, and waits again: behind the first wait every slot holds this phase's number. The barrier
 * lies in the shared memory, too, and has to be told so (PTHREAD_PROCESS_SHARED).
 *
 * One process is held back in the first phase (--late). With the barrier all leave after the last
 * one has come; the same without a barrier is shown for contrast.
 *
 * What can go wrong: the barrier is ordinary memory, which every process gets a copy of when it is
 * forked; each then waits alone at its own (--fault private).
 *
 * Run:     make run P=process/barrier ARGS="--workers 4 --late 20ms"
 * Try:     more workers than cores: what becomes of the barriers per second?
 * Try:     --fault private: who is missing?
 * Test:    --late 5ms
 * Test:    --workers 1 --phases 1
 * Test:    --workers 7 --phases 101 --late 1ms
 * Test:    --workers 64 --phases 3 --late 1ms
 * Test:    --phases 0
 * Test(3): --fault private --limit 100ms
 * Test:    --fault private --workers 1 --limit 100ms
 * Test(2): --workers 0
 */
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "local/lib/children.h"
#include "local/lib/clock.h"
#include "local/lib/program.h"
#include "local/lib/stats.h"

static struct {
    size_t workers, phases;
    double late, limit;
    const char *fault;
} opt = { .workers = 4, .phases = 100, .late = 20e-3, .limit = 2 };

static const struct arg options[] = {
    { "workers", ARG_SIZE, &opt.workers, "processes", .min = 1 },
    { "phases", ARG_SIZE, &opt.phases, "phases, of two barriers each" },
    { "late", ARG_SECS, &opt.late, "how long one process is held back in the first phase" },
    { "fault", ARG_CHOICE, &opt.fault, "make a mistake on purpose", .choices = "private" },
    { "limit", ARG_SECS, &opt.limit, "a barrier that does not open for so long never will" },
    ARGS_END,
};

/* The stall is found by the parent: a barrier has no timed wait. */
struct shared {
    pthread_barrier_t barrier;
    atomic_size_t serial, wrong, ended;
    int64_t *arrived, *left; /* of each process, in the first phase */
    size_t *slots;
    int64_t *phase_ns;       /* of process 0, for each phase */
};

struct job {
    struct shared *shared;
    pthread_barrier_t *barrier; /* NULL: none */
};

static void wait_at(struct job *job)
{
    if (job->barrier && pthread_barrier_wait(job->barrier) == PTHREAD_BARRIER_SERIAL_THREAD)
        atomic_fetch_add(&job->shared->serial, 1);
}

static int work(void *arg, size_t me)
{
    struct job *const job = arg;
    struct shared *const s = job->shared;
    const size_t phases = job->barrier ? opt.phases : opt.phases > 0;

    for (size_t phase = 1; phase <= phases; phase++) {
        const int64_t begin = clock_ns();
        if (phase == 1 && me == opt.workers - 1)
            clock_sleep(opt.late);
        s->slots[me] = phase;
        if (phase == 1)
            s->arrived[me] = clock_ns();
        wait_at(job);
        if (phase == 1)
            s->left[me] = clock_ns();
        for (size_t i = 0; i < opt.workers && job->barrier; i++)
            if (s->slots[i] != phase)
                atomic_fetch_add(&s->wrong, 1);
        wait_at(job);
        if (me == 0)
            s->phase_ns[phase - 1] = clock_ns() - begin;
    }
    atomic_fetch_add(&s->ended, 1);
    return 0;
}

static int64_t latest(const int64_t *times)
{
    int64_t last = times[0];

    for (size_t i = 1; i < opt.workers; i++)
        last = times[i] > last ? times[i] : last;
    return last;
}

static int64_t earliest(const int64_t *times)
{
    int64_t first = times[0];

    for (size_t i = 1; i < opt.workers; i++)
        first = times[i] < first ? times[i] : first;
    return first;
}

/* Starts all and waits for them, but not for ever. Returns how many did not end, or -1 with
 * errno. */
static long run(struct job *job)
{
    pid_t *const children = calloc(opt.workers, sizeof *children);
    size_t started = 0;
    int error = children ? 0 : ENOMEM;

    job->shared->ended = 0;
    while (!error && started < opt.workers) {
        children[started] = child_start(work, job, started);
        error = children[started] < 0 ? errno : 0;
        started += !error;
    }
    const int64_t begin = clock_ns();
    const double limit = opt.fault ? opt.limit : HUGE_VAL;
    while (!error && opt.fault && job->shared->ended < opt.workers &&
           clock_secs(begin, clock_ns()) < limit)
        clock_sleep(1e-3);
    const long missing = opt.fault ? (long)(opt.workers - job->shared->ended) : 0;
    for (size_t i = 0; i < started; i++) {
        if (error || missing > 0)
            kill(children[i], SIGKILL);
        const int ended = child_wait(children[i]);
        if (ended != 0 && !error && missing == 0)
            error = ECHILD;
    }
    free(children);
    errno = error;
    return error ? -1 : missing;
}

static enum status check(struct program *program, const struct shared *s, long missing)
{
    if (missing > 0) {
        program_verdict(program, false, "private: %ld of %zu processes wait at a barrier for %zu "
                        "others, who wait at theirs: each has a copy of it", missing, opt.workers,
                        opt.workers - 1);
        return STALLED;
    }
    if (s->wrong > 0)
        return program_verdict(program, false, "%zu times a slot of an older phase was read",
                               (size_t)s->wrong);
    if (s->serial != 2 * opt.phases)
        return program_verdict(program, false, "%zu processes were told that they are the serial "
                               "one, not %zu", (size_t)s->serial, 2 * opt.phases);
    if (opt.phases > 0 && earliest(s->left) < latest(s->arrived))
        return program_verdict(program, false, "a process left the barrier before the last one had "
                               "come");
    return PASS;
}

static void add_row(struct program *program, const char *variant, const struct shared *s,
                    struct summary *phase, bool right)
{
    struct record row = program->record;

    record_text(&row, "variant", variant);
    record_int(&row, "phases", (int64_t)opt.phases);
    record_summary(&row, phase, right && phase->count > 0);
    record_real(&row, "barriers_per_s", right && phase->count > 0 ? 2 / phase->median : NAN);
    record_real(&row, "early_s", opt.phases && right
                    ? clock_secs(earliest(s->left), latest(s->arrived)) : NAN);
    record_real(&row, "spread_s", opt.phases && right
                    ? clock_secs(earliest(s->left), latest(s->left)) : NAN);
    record_bool(&row, "verified", right);
    program_row(program, &row);
}

static enum status compare(struct program *program, struct shared *s)
{
    struct job with = { s, &s->barrier }, without = { s, NULL };
    pthread_barrier_t private;
    pthread_barrierattr_t kind;
    struct summary phase = { 0 };

    pthread_barrierattr_init(&kind);
    int error = pthread_barrierattr_setpshared(&kind, PTHREAD_PROCESS_SHARED);
    if (opt.fault)
        with.barrier = &private;
    error = error ? error : pthread_barrier_init(with.barrier, &kind, (unsigned)opt.workers);
    pthread_barrierattr_destroy(&kind);
    errno = error;
    const long missing = error ? -1 : run(&with);
    if (missing < 0) {
        program_error("%zu processes: %s: give fewer --workers", opt.workers, strerror(errno));
        return UNABLE;
    }
    const enum status status = check(program, s, missing);
    if (opt.phases > 1 && status == PASS) { /* the first one waits for the late process */
        double secs[1024];
        const size_t count = opt.phases - 1 < 1024 ? opt.phases - 1 : 1024;
        for (size_t i = 0; i < count; i++)
            secs[i] = 1e-9 * (double)s->phase_ns[i + 1];
        stats_summarize(secs, count, &phase);
    }
    add_row(program, opt.fault ? opt.fault : "barrier", s, &phase, status == PASS);
    if (status != PASS || opt.fault)
        return status;
    pthread_barrier_destroy(&s->barrier);
    if (run(&without) < 0) {
        program_error("%zu processes: %s: give fewer --workers", opt.workers, strerror(errno));
        return UNABLE;
    }
    struct summary none = { 0 };
    add_row(program, "none", s, &none, true);
    program_note(program, "early: so long before the last one came the first one left (negative: "
                 "after it); spread: from the first to the last that left");
    return PASS;
}

int main(int argc, char **argv)
{
    struct program program;
    enum status status = program_open(&program, argc, argv, options, &opt.workers);
    const size_t times = opt.workers * sizeof(int64_t), phases = (opt.phases + 1) * sizeof(int64_t);
    const size_t bytes = sizeof(struct shared) + 3 * times + phases;
    struct shared *const s = status == PASS ? children_map(bytes) : NULL;

    if (status == PASS && !s) {
        program_error("no memory for %zu phases: give fewer", opt.phases);
        status = UNABLE;
    }
    if (status == PASS) {
        s->arrived = (int64_t *)(s + 1);
        s->left = s->arrived + opt.workers;
        s->slots = (size_t *)(s->left + opt.workers);
        s->phase_ns = (int64_t *)(s->slots + opt.workers);
        status = compare(&program, s);
    }
    children_unmap(s, bytes);
    program_fault(&program, opt.fault, status == PASS, "who is alone waits for nobody");
    if (status == PASS)
        program_verdict(&program, true, "%zu processes, %zu phases: each slot held its phase when it "
                        "was read", opt.workers, opt.phases);
    return program_close(&program, status);
}
