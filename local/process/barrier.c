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
 * forked; each then waits alone at its own (--fault private). A process dies: the others would wait
 * for it for ever, so the parent, which is told of the death, ends them.
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
 * Test:    --fault private --phases 0 --limit 100ms
 * Test(2): --workers 0
 * Test(2): --workers 64 --phases 2305843009213693952
 */
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "local/lib/children.h"
#include "local/lib/clock.h"
#include "local/lib/program.h"
#include "local/lib/size.h"
#include "local/lib/stats.h"

static struct {
    size_t workers, phases;
    double late, limit;
    const char *fault;
} opt = { .workers = 4, .phases = 100, .late = 20e-3, .limit = 2 };

static const struct arg options[] = {
    { "workers", ARG_SIZE, &opt.workers, "processes", .min = 1, .max = CHILDREN_MAX },
    { "phases", ARG_SIZE, &opt.phases, "phases, of two barriers each", .max = 1 << 20 },
    { "late", ARG_SECS, &opt.late, "how long one process is held back in the first phase" },
    { "fault", ARG_CHOICE, &opt.fault, "make a mistake on purpose", .choices = "private" },
    { "limit", ARG_SECS, &opt.limit, "private: nobody goes on for so long: nobody ever will" },
    ARGS_END,
};

/* The stall is found by the parent: a barrier has no timed wait. */
struct shared {
    pthread_barrier_t barrier;
    atomic_size_t serial, wrong;
    atomic_size_t come; /* arrivals at barriers, of all: whether anybody goes on */
    int64_t *arrived, *left; /* of each process, in the first phase */
    size_t *slots;
    int64_t *phase_ns;       /* of process 0, for each phase */
};

struct job {
    struct shared *shared;
    pthread_barrier_t *barrier; /* NULL: none */
    bool stalled;
    char died[128]; /* who did, and how */
};

static void wait_at(struct job *job)
{
    atomic_fetch_add(&job->shared->come, 1);
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

/*
 * --fault private: waits until all have ended, or until all have come to the first barrier and
 * nobody has gone on for the limit. A process that is only slow has not come yet, and is waited
 * for; who is alone goes on, however late.
 */
static void watch(struct job *job, struct children *children)
{
    atomic_size_t *const come = &job->shared->come;
    int64_t since = clock_ns();
    size_t before = 0, who;

    while (children_next(children, 10e-3, &who) == 0 || errno == ETIMEDOUT) {
        if (children_fell(children, &who)) {
            children_tell(children, who, job->died, sizeof job->died);
            return;
        }
        const size_t now = atomic_load(come);
        if (now != before || now != opt.workers || opt.workers == 1)
            since = clock_ns();
        before = now;
        job->stalled = clock_secs(since, clock_ns()) > opt.limit;
        if (job->stalled)
            return;
    }
}

/* Starts all and waits for them. 0, or -1 with errno. */
static int run(struct job *job)
{
    struct children children;
    size_t who;

    job->shared->come = 0;
    if (children_begin(&children, opt.workers, work, job))
        return -1;
    if (opt.fault)
        watch(job, &children);
    if (!job->stalled && !*job->died && !children_join(&children, NULL, NULL, &who))
        children_tell(&children, who, job->died, sizeof job->died);
    children_close(&children);
    return 0;
}

static enum status check(struct program *program, const struct job *job)
{
    const struct shared *const s = job->shared;

    if (job->stalled) {
        program_verdict(program, false, "private: %zu of %zu processes wait at a barrier for %zu "
                        "others, who wait at theirs: each has a copy of it", opt.workers,
                        opt.workers, opt.workers - 1);
        return STALLED;
    }
    if (*job->died)
        return program_verdict(program, false, "%s: the others, who would wait for it for ever, "
                               "have been ended", job->died);
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
    struct job with = { .shared = s, .barrier = &s->barrier }, without = { .shared = s };
    pthread_barrier_t private;
    pthread_barrierattr_t kind;
    struct summary phase = { 0 };

    pthread_barrierattr_init(&kind);
    int error = pthread_barrierattr_setpshared(&kind, PTHREAD_PROCESS_SHARED);
    if (opt.fault)
        with.barrier = &private;
    error = error ? error : pthread_barrier_init(with.barrier, &kind, (unsigned)opt.workers);
    pthread_barrierattr_destroy(&kind);
    if (error || run(&with)) {
        program_error("%zu processes: %s: give fewer --workers", opt.workers,
                      strerror(error ? error : errno));
        return UNABLE;
    }
    enum status status = check(program, &with);
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
    if (run(&without)) {
        program_error("%zu processes: %s: give fewer --workers", opt.workers, strerror(errno));
        return UNABLE;
    }
    if (*without.died)
        status = program_verdict(program, false, "%s", without.died);
    struct summary none = { 0 };
    add_row(program, "none", s, &none, status == PASS);
    if (status == PASS)
        program_note(program, "early: so long before the last one came the first one left "
                     "(negative: after it); spread: from the first to the last that left");
    return status;
}

int main(int argc, char **argv)
{
    struct program program;
    enum status status = program_open(&program, argc, argv, options, &opt.workers);
    const size_t numbers = size_sum(size_product(3, opt.workers), size_sum(opt.phases, 1));
    const size_t bytes = size_sum(sizeof(struct shared), size_product(numbers, sizeof(int64_t)));
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
    program_fault(&program, opt.fault, status == PASS, opt.phases == 0 ? "there are no phases"
                                                            : "who is alone waits for nobody");
    if (status == PASS)
        program_verdict(&program, true, "%zu processes, %zu phases: each slot held its phase when it "
                        "was read", opt.workers, opt.phases);
    return program_close(&program, status);
}
