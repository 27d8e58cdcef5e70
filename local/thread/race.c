/*
 * race - threads that add to one counter, with and without losing updates
 *
 * Every worker adds 1 to the same counter, --count times. Adding is a load, an addition and a
 * store; if another worker stores in between, its update is lost. Three cures:
 *
 *   atomic   load, add and store are one step of the memory system (atomic_fetch_add)
 *   lock     a mutex lets one worker at a time do the three
 *   local    each worker counts for itself, and adds its sum once, at the end
 *
 * What can go wrong: a load, then a store, with nothing around them (--fault plain). Whether an
 * update gets lost is chance: so all do this until it happens, a thousand times at most, and eight
 * times in --count a worker offers its core to the others in between, as the system takes it now
 * and then; or one core might show nothing for long. --fault forced lets all workers meet between
 * load and store, so that of every round of W updates one survives.
 *
 * Run:     make run P=race ARGS="--variant all"
 * Try:     --variant all: what does sharing one cache line cost against counting alone?
 * Try:     --fault plain, several times: how many updates are lost, and is it ever none?
 * Test:    --variant all
 * Test:    --variant all --workers 64 --count 1001
 * Test:    --variant all --count 0
 * Test:    --variant all --workers 1 --count 1
 * Test(1): --fault plain
 * Test(1): --fault plain --workers 2 --count 1
 * Test(1): --fault plain --workers 64 --count 1001
 * Test:    --fault plain --workers 1 --count 1001
 * Test:    --fault plain --count 0
 * Test(1): --fault forced --count 1001
 * Test(1): --fault forced --workers 64 --count 3
 * Test:    --fault forced --workers 1
 * Test(2): --workers 0
 * Test(2): --workers 32769
 * Test(2): --count 9223372036854775808
 * Test(2): --iterations 9223372036854775808
 * Test(2): --fault lost
 */
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

#include "local/lib/program.h"
#include "local/lib/team.h"
#include "local/lib/turns.h"

enum { ROUNDS = 1000 };

static struct {
    size_t workers, count, iterations;
    double secs;
    const char *variant, *fault;
} opt = { .workers = 4, .count = 1000000, .iterations = 10000, .secs = 0.5, .variant = "atomic" };

static const struct arg options[] = {
    { "workers", ARG_SIZE, &opt.workers, "threads", .min = 1, .max = TEAM_MAX },
    { "count", ARG_SIZE, &opt.count, "updates of each", .max = TEAM_COUNT_MAX },
    { "variant", ARG_CHOICE, &opt.variant, "how none gets lost", .choices = "atomic|lock|local|all" },
    { "fault", ARG_CHOICE, &opt.fault, "make a mistake on purpose", .choices = "plain|forced" },
    { "seconds", ARG_SECS, &opt.secs, "time budget for one row" },
    { "iterations", ARG_SIZE, &opt.iterations, "samples of one row at most", .min = 1,
      .max = SAMPLES_MAX },
    ARGS_END,
};

#define LENGTH(array) (sizeof(array) / sizeof *(array))

struct shared {
    const char *name;
    void (*count)(struct shared *shared);
    size_t runs, lost; /* lost: in all of them */
    int error;
    atomic_size_t counter; /* of the faults too: a load and a store that are atomic each lose
                            * updates just as well, and mean something in C */
    size_t locked;         /* `lock` guards it */
    pthread_mutex_t lock;
    pthread_barrier_t between; /* forced: load and store, of all workers */
};

static void count_atomic(struct shared *s)
{
    for (size_t i = 0; i < opt.count; i++)
        atomic_fetch_add_explicit(&s->counter, 1, memory_order_relaxed);
}

static void count_lock(struct shared *s)
{
    for (size_t i = 0; i < opt.count; i++) {
        pthread_mutex_lock(&s->lock);
        s->locked++;
        pthread_mutex_unlock(&s->lock);
    }
}

static void count_local(struct shared *s)
{
    volatile size_t mine = 0; /* counted one by one, as the others do */

    for (size_t i = 0; i < opt.count; i++)
        mine = mine + 1;
    atomic_fetch_add(&s->counter, mine);
}

static void count_plain(struct shared *s)
{
    const size_t eighth = opt.count / 8 + 1;

    for (size_t i = 0; i < opt.count; i++) {
        const size_t seen = atomic_load_explicit(&s->counter, memory_order_relaxed);
        if (i % eighth == 0)
            sched_yield();
        atomic_store_explicit(&s->counter, seen + 1, memory_order_relaxed);
    }
}

/* Everybody has loaded before anybody stores, and stored before the next load. */
static void count_forced(struct shared *s)
{
    for (size_t i = 0; i < opt.count; i++) {
        const size_t seen = atomic_load_explicit(&s->counter, memory_order_relaxed);
        pthread_barrier_wait(&s->between);
        atomic_store_explicit(&s->counter, seen + 1, memory_order_relaxed);
        pthread_barrier_wait(&s->between);
    }
}

static const struct choice {
    const char *name;
    void (*count)(struct shared *shared);
    bool is_fault;
} choices[] = {
    { "atomic", count_atomic, false }, { "lock", count_lock, false },
    { "local", count_local, false },   { "plain", count_plain, true },
    { "forced", count_forced, true },
};

static void shared_open(struct shared *shared, const struct choice *choice)
{
    *shared = (struct shared){ .name = choice->name, .count = choice->count };
    pthread_mutex_init(&shared->lock, NULL);
    pthread_barrier_init(&shared->between, NULL, (unsigned)opt.workers);
}

static void shared_close(struct shared *shared)
{
    pthread_barrier_destroy(&shared->between);
    pthread_mutex_destroy(&shared->lock);
}

static void work(void *arg, size_t me)
{
    struct shared *const shared = arg;

    (void)me;
    shared->count(shared);
}

/* All workers once. The counter must be W n. */
static void run(void *arg)
{
    struct shared *const shared = arg;

    atomic_store(&shared->counter, 0);
    shared->locked = 0;
    if (team_run(opt.workers, work, shared))
        shared->error = errno;
    shared->runs++;
    shared->lost += opt.workers * opt.count - shared->counter - shared->locked;
}

static void add_row(struct program *program, const struct shared *shared, const struct turn *turn)
{
    const size_t updates = opt.workers * opt.count;
    const bool right = shared->lost == 0, timed = right && turn->summary.count > 0;
    struct record row = program->record;

    record_text(&row, "variant", shared->name);
    record_int(&row, "count", (int64_t)opt.count);
    record_int(&row, "lost", (int64_t)shared->lost);
    record_summary(&row, &turn->summary, timed);
    record_real(&row, "updates_per_s",
                timed && updates ? (double)updates / turn->summary.median : NAN);
    record_bool(&row, "verified", right);
    program_row(program, &row);
}

/* Until it strikes, where chance decides: two that update are needed. */
static void run_fault(struct shared *shared)
{
    const size_t most = opt.workers > 1 && opt.count > 0 ? ROUNDS : 1;

    while (shared->lost == 0 && shared->runs < most && !shared->error)
        run(shared);
}

/* The chosen ones in turns; a fault until it strikes. */
static enum status race(struct program *program, struct shared *shared, size_t count)
{
    const struct stop_rule rule = { 10, opt.iterations, opt.secs, 0.02 };
    struct turn turns[LENGTH(choices)];
    enum status status = PASS;

    for (size_t i = 0; i < count; i++)
        turns[i] = (struct turn){ .operation = run, .arg = &shared[i] };
    if (opt.fault)
        run_fault(&shared[0]);
    else if (turns_run(turns, count, &rule))
        shared[0].error = errno;
    for (size_t i = 0; i < count && status == PASS; i++) {
        if (shared[i].error) {
            program_error("%zu threads: %s: give fewer --workers", opt.workers,
                          strerror(shared[i].error));
            return UNABLE;
        }
        add_row(program, &shared[i], &turns[i]);
        if (shared[i].lost > 0)
            status = program_verdict(program, false, "%s: %zu of %zu updates are lost",
                                     shared[i].name, shared[i].lost,
                                     shared[i].runs * opt.workers * opt.count);
    }
    return status;
}

int main(int argc, char **argv)
{
    static struct shared shared[LENGTH(choices)];
    struct program program;
    enum status status = program_open(&program, argc, argv, options, &opt.workers);
    size_t count = 0;

    for (size_t i = 0; i < LENGTH(choices) && status == PASS; i++) {
        const bool chosen = opt.fault ? arg_is(opt.fault, choices[i].name)
                                      : arg_is(opt.variant, choices[i].name) ||
                                            (arg_is(opt.variant, "all") && !choices[i].is_fault);
        if (chosen)
            shared_open(&shared[count++], &choices[i]);
    }
    if (status == PASS)
        status = race(&program, shared, count);
    for (size_t i = 0; i < count; i++)
        shared_close(&shared[i]);
    program_fault(&program, opt.fault, status == PASS, opt.workers == 1
                      ? "one worker has nobody to race with"
                      : opt.count == 0 ? "there is nothing to count"
                                       : "no two workers met in 1000 runs: give more --count");
    if (status == PASS)
        program_verdict(&program, true, "the counter is %zu times %zu", opt.workers, opt.count);
    return program_close(&program, status);
}
