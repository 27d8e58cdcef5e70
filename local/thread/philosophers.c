/*
 * philosophers - threads that need two locks each, and three ways not to wait in a circle
 *
 * W philosophers sit around a table with a fork between each two neighbours (one alone has two).
 * Who eats holds the fork at either hand; each eats --meals times.
 *
 *   ordered  takes the fork of the lower number first, so no circle of waiting can close
 *   waiter   sits down only when a waiter lets him: at most W - 1 are seated, one of whom gets both
 *   trylock  does not wait for the second fork: puts the first one back and tries again. No deadlock,
 *            but all may try and fail together for a while (livelock), and nobody promises fairness
 *
 * What can go wrong: everybody takes the left fork and then waits for the right one (--fault cycle).
 *
 * Run:     make run P=thread/philosophers ARGS="--workers 5 --variant all"
 * Try:     --variant all --meals 10000: who waits longest, and where does he sit?
 * Try:     --fault cycle --workers 3: who waits for whom?
 * Test:    --variant all
 * Test:    --variant all --workers 1
 * Test:    --variant all --workers 2 --meals 1001
 * Test:    --variant all --workers 64 --meals 3
 * Test:    --variant all --meals 0
 * Test(3): --fault cycle --limit 100ms
 * Test(3): --fault cycle --workers 64 --limit 100ms
 * Test(3): --fault cycle --workers 2 --limit 100ms
 * Test:    --fault cycle --workers 1 --limit 100ms
 * Test(3): --fault cycle --limit 0
 * Test:    --fault cycle --meals 0
 * Test(2): --workers 0
 * Test(2): --workers 4294967296
 * Test(2): --meals 1152921504606846976
 */
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "local/lib/clock.h"
#include "local/lib/program.h"
#include "local/lib/team.h"
#include "local/lib/turns.h"
#include "local/lib/wait.h"

#define LENGTH(array) (sizeof(array) / sizeof *(array))

static struct {
    size_t workers, meals, iterations;
    double limit, secs;
    const char *variant, *fault;
} opt = { .workers = 4, .meals = 100, .iterations = 10000, .limit = 0.2, .secs = 0.5,
          .variant = "ordered" };

static const struct arg options[] = {
    { "workers", ARG_SIZE, &opt.workers, "philosophers, each a thread", .min = 1, .max = TEAM_MAX },
    { "meals", ARG_SIZE, &opt.meals, "meals of each", .max = TEAM_COUNT_MAX },
    { "variant", ARG_CHOICE, &opt.variant, "how the circle is broken",
      .choices = "ordered|waiter|trylock|all" },
    { "fault", ARG_CHOICE, &opt.fault, "make a mistake on purpose", .choices = "cycle" },
    { "limit", ARG_SECS, &opt.limit, "cycle: how long each waits before all give up",
      .max = TEAM_SECS_MAX },
    { "seconds", ARG_SECS, &opt.secs, "time budget for one row" },
    { "iterations", ARG_SIZE, &opt.iterations, "samples of one row at most", .min = 1,
      .max = SAMPLES_MAX },
    ARGS_END,
};

struct fork {
    pthread_mutex_t lock;
    atomic_size_t owner; /* place + 1 of who eats with it, 0: nobody */
};

struct place {
    size_t meals;
    int64_t longest_wait_ns;
    bool stalled;
};

struct table {
    const struct choice *choice;
    struct fork *forks;
    struct place *places;
    sem_t seats;
    pthread_barrier_t all_have_one; /* cycle */
    atomic_size_t shared;           /* forks that two held */
    int error;
};

static struct fork *left_of(struct table *t, size_t me)
{
    return &t->forks[me];
}

/* One philosopher alone has a second fork, W + 1 forks are laid. */
static struct fork *right_of(struct table *t, size_t me)
{
    return &t->forks[opt.workers == 1 ? 1 : (me + 1) % opt.workers];
}

static bool take_ordered(struct table *t, size_t me)
{
    struct fork *const left = left_of(t, me), *const right = right_of(t, me);

    pthread_mutex_lock(left < right ? &left->lock : &right->lock);
    pthread_mutex_lock(left < right ? &right->lock : &left->lock);
    return true;
}

static bool take_seated(struct table *t, size_t me)
{
    while (sem_wait(&t->seats) && errno == EINTR)
        continue;
    pthread_mutex_lock(&left_of(t, me)->lock);
    pthread_mutex_lock(&right_of(t, me)->lock);
    return true;
}

static bool take_trylock(struct table *t, size_t me)
{
    for (;;) {
        pthread_mutex_lock(&left_of(t, me)->lock);
        if (pthread_mutex_trylock(&right_of(t, me)->lock) == 0)
            return true;
        pthread_mutex_unlock(&left_of(t, me)->lock);
        sched_yield();
    }
}

/* --fault cycle: all have the left fork before anybody reaches for the right one, and nobody puts
 * it back before all have waited in vain: no clock decides. */
static bool take_cycle(struct table *t, size_t me)
{
    pthread_mutex_lock(&left_of(t, me)->lock);
    pthread_barrier_wait(&t->all_have_one);
    const struct timespec deadline = clock_deadline(opt.limit);
    if (wait_mutex(&right_of(t, me)->lock, &deadline) == 0)
        return true;
    t->places[me].stalled = true;
    pthread_barrier_wait(&t->all_have_one); /* all have given up: then they may put forks back */
    pthread_mutex_unlock(&left_of(t, me)->lock);
    return false;
}

static const struct choice {
    const char *name;
    bool (*take)(struct table *table, size_t me);
    bool is_fault;
} choices[] = {
    { "ordered", take_ordered, false }, { "waiter", take_seated, false },
    { "trylock", take_trylock, false }, { "cycle", take_cycle, true },
};

static void eat(struct table *t, size_t me)
{
    struct fork *const forks[] = { left_of(t, me), right_of(t, me) };

    for (int i = 0; i < 2; i++)
        if (atomic_exchange(&forks[i]->owner, me + 1) != 0)
            atomic_fetch_add(&t->shared, 1);
    t->places[me].meals++;
    for (int i = 0; i < 2; i++)
        if (atomic_exchange(&forks[i]->owner, 0) != me + 1)
            atomic_fetch_add(&t->shared, 1);
}

static void dine(void *arg, size_t me)
{
    struct table *const t = arg;
    struct place *const place = &t->places[me];

    for (size_t i = 0; i < opt.meals; i++) {
        const int64_t hungry = clock_ns();
        if (!t->choice->take(t, me))
            return;
        const int64_t waited = clock_ns() - hungry;
        if (waited > place->longest_wait_ns)
            place->longest_wait_ns = waited;
        eat(t, me);
        pthread_mutex_unlock(&right_of(t, me)->lock);
        pthread_mutex_unlock(&left_of(t, me)->lock);
        if (t->choice->take == take_seated)
            sem_post(&t->seats);
    }
}

static void run(void *arg)
{
    struct table *const t = arg;

    for (size_t i = 0; i < opt.workers; i++)
        t->places[i].meals = 0;
    if (team_run(opt.workers, dine, t))
        t->error = errno;
}

static void table_open(struct table *t, const struct choice *choice)
{
    *t = (struct table){ .choice = choice,
                         .forks = calloc(opt.workers + 1, sizeof *t->forks),
                         .places = calloc(opt.workers, sizeof *t->places) };
    t->error = t->forks && t->places ? 0 : ENOMEM;
    for (size_t i = 0; t->forks && i <= opt.workers; i++)
        pthread_mutex_init(&t->forks[i].lock, NULL);
    sem_init(&t->seats, 0, opt.workers > 1 ? (unsigned)opt.workers - 1 : 1);
    pthread_barrier_init(&t->all_have_one, NULL, (unsigned)opt.workers);
}

static void table_close(struct table *t)
{
    pthread_barrier_destroy(&t->all_have_one);
    sem_destroy(&t->seats);
    for (size_t i = 0; t->forks && i <= opt.workers; i++)
        pthread_mutex_destroy(&t->forks[i].lock);
    free(t->places);
    free(t->forks);
}

static enum status check(struct program *program, const struct table *t)
{
    const char *const name = t->choice->name;
    char cycle[160] = "0";

    if (t->shared > 0)
        return program_verdict(program, false, "%s: a fork had two owners, %zu times", name,
                               (size_t)t->shared);
    if (t->places[0].stalled) {
        for (size_t i = 1; i <= opt.workers && i <= 8; i++)
            snprintf(cycle + strlen(cycle), sizeof cycle - strlen(cycle), " -> %zu", i % opt.workers);
        program_verdict(program, false, "%s: each holds the left fork and waits for the right one, "
                        "which the next one holds: %s%s", name, cycle, opt.workers > 8 ? " ..." : "");
        return STALLED;
    }
    for (size_t i = 0; i < opt.workers; i++)
        if (t->places[i].meals != opt.meals)
            return program_verdict(program, false, "%s: philosopher %zu ate %zu times, not %zu",
                                   name, i, t->places[i].meals, opt.meals);
    return PASS;
}

static void add_row(struct program *program, const struct table *t, const struct turn *turn,
                    bool right)
{
    const bool timed = right && turn->summary.count > 0;
    const double meals = (double)(opt.workers * opt.meals);
    struct record row = program->record;
    size_t hungriest = 0;

    for (size_t i = 1; i < opt.workers; i++)
        if (t->places[i].longest_wait_ns > t->places[hungriest].longest_wait_ns)
            hungriest = i;
    record_text(&row, "variant", t->choice->name);
    record_int(&row, "meals", (int64_t)opt.meals);
    record_summary(&row, &turn->summary, timed);
    record_real(&row, "meals_per_s", timed && meals > 0 ? meals / turn->summary.median : NAN);
    record_real(&row, "longest_wait_s", 1e-9 * (double)t->places[hungriest].longest_wait_ns);
    record_int(&row, "at_place", (int64_t)hungriest);
    record_bool(&row, "verified", right);
    program_row(program, &row);
}

static enum status compare(struct program *program, struct table *tables, size_t count)
{
    const struct stop_rule rule = { 10, opt.iterations, opt.secs, 0.02 };
    struct turn turns[LENGTH(choices)] = { 0 };
    enum status status = PASS;
    int error = 0;

    for (size_t i = 0; i < count; i++) {
        turns[i] = (struct turn){ .operation = run, .arg = &tables[i] };
        error = error ? error : tables[i].error;
    }
    if (!error && opt.fault)
        run(&tables[0]);
    else if (!error && turns_run(turns, count, &rule))
        error = errno;
    for (size_t i = 0; i < count; i++)
        error = error ? error : tables[i].error;
    if (error) {
        program_error("%zu threads: %s: give fewer --workers", opt.workers, strerror(error));
        return UNABLE;
    }
    for (size_t i = 0; i < count && status == PASS; i++) {
        status = check(program, &tables[i]);
        add_row(program, &tables[i], &turns[i], status == PASS);
    }
    return status;
}

int main(int argc, char **argv)
{
    struct program program;
    enum status status = program_open(&program, argc, argv, options, &opt.workers);
    struct table tables[LENGTH(choices)];
    size_t count = 0;

    for (size_t i = 0; i < LENGTH(choices) && status == PASS; i++)
        if (opt.fault ? choices[i].is_fault
                      : !choices[i].is_fault && (arg_is(opt.variant, choices[i].name) ||
                                                 arg_is(opt.variant, "all")))
            table_open(&tables[count++], &choices[i]);
    if (status == PASS)
        status = compare(&program, tables, count);
    for (size_t i = 0; i < count; i++)
        table_close(&tables[i]);
    program_fault(&program, opt.fault, status == PASS, opt.meals == 0
                      ? "nobody is hungry" : "who sits alone has both forks to himself");
    if (status == PASS)
        program_verdict(&program, true, "%zu philosophers ate %zu times each, and no fork had two "
                        "owners", opt.workers, opt.meals);
    return program_close(&program, status);
}
