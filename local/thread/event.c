/*
 * event - telling another thread that something has happened
 *
 * A producer makes --count items, one after another, and sets an event for each; a consumer waits
 * for the event and takes the item. The event must remember, because the consumer may be busy when
 * it is set:
 *
 *   latched  a flag that stays set until the consumer has seen it; the producer waits for that
 *   counted  a number of sets that have not been seen, and a queue of items
 *   eventfd  the same number, kept by the kernel behind a file descriptor, which poll() and event
 *            loops can wait for too (Linux)
 *
 * What can go wrong: the producer sets and clears the event like a pulse. Who is not waiting at that
 * moment misses it, and then waits for ever (--fault pulse).
 *
 * Run:     make run P=event ARGS="--variant all"
 * Try:     --variant all --count 1000: what does an event cost by way of the kernel?
 * Try:     --fault pulse --count 7: which item never came?
 * Test:    --variant all
 * Test:    --variant all --count 1001
 * Test:    --variant all --count 1
 * Test:    --variant all --count 0
 * Test(3): --fault pulse --limit 100ms
 * Test(3): --fault pulse --count 1 --limit 100ms
 * Test:    --fault pulse --count 0 --limit 100ms
 * Test(3): --fault pulse --limit 0
 * Test(2): --variant edge
 * Test(2): --count 1152921504606846976
 * Test(77): --count 1000G
 */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/eventfd.h>
#endif

#include "local/lib/clock.h"
#include "local/lib/data.h"
#include "local/lib/memory.h"
#include "local/lib/program.h"
#include "local/lib/size.h"
#include "local/lib/team.h"
#include "local/lib/turns.h"
#include "local/lib/wait.h"

#define LENGTH(array) (sizeof(array) / sizeof *(array))

static struct {
    size_t count, iterations;
    double limit, secs;
    const char *variant, *fault;
} opt = { .count = 5, .iterations = 10000, .limit = 0.2, .secs = 0.5, .variant = "latched" };

static const struct arg options[] = {
    { "count", ARG_SIZE, &opt.count, "items, and events", .max = TEAM_COUNT_MAX },
    { "variant", ARG_CHOICE, &opt.variant, "what remembers that it was set",
      .choices = "latched|counted|eventfd|all" },
    { "fault", ARG_CHOICE, &opt.fault, "make a mistake on purpose", .choices = "pulse" },
    { "limit", ARG_SECS, &opt.limit, "how long to wait for the event that is over",
      .max = TEAM_SECS_MAX },
    { "seconds", ARG_SECS, &opt.secs, "time budget for one row" },
    { "iterations", ARG_SIZE, &opt.iterations, "samples of one row at most", .min = 1,
      .max = SAMPLES_MAX },
    ARGS_END,
};

struct event {
    const struct choice *choice;
    pthread_mutex_t lock; /* guards is_set and sets */
    pthread_cond_t changed;
    bool is_set;
    size_t sets;
    int file;
    sem_t busy, missed; /* pulse: the consumer has not begun to wait; the pulse is over */
    uint64_t *items;
    size_t taken;
    bool stalled;
    int error;
    char wrong[160];
};

static void set_latched(struct event *e)
{
    pthread_mutex_lock(&e->lock);
    while (e->is_set) /* not seen yet */
        pthread_cond_wait(&e->changed, &e->lock);
    e->is_set = true;
    pthread_cond_broadcast(&e->changed);
    pthread_mutex_unlock(&e->lock);
}

static void wait_latched(struct event *e)
{
    pthread_mutex_lock(&e->lock);
    while (!e->is_set)
        pthread_cond_wait(&e->changed, &e->lock);
    e->is_set = false;
    pthread_cond_broadcast(&e->changed);
    pthread_mutex_unlock(&e->lock);
}

static void set_counted(struct event *e)
{
    pthread_mutex_lock(&e->lock);
    e->sets++;
    pthread_cond_signal(&e->changed);
    pthread_mutex_unlock(&e->lock);
}

static void wait_counted(struct event *e)
{
    pthread_mutex_lock(&e->lock);
    while (e->sets == 0)
        pthread_cond_wait(&e->changed, &e->lock);
    e->sets--;
    pthread_mutex_unlock(&e->lock);
}

#ifdef __linux__
static void set_eventfd(struct event *e)
{
    const uint64_t one = 1;

    while (write(e->file, &one, sizeof one) != sizeof one)
        if (errno != EINTR) {
            e->error = errno;
            return;
        }
}

static void wait_eventfd(struct event *e)
{
    uint64_t one; /* EFD_SEMAPHORE: a read takes 1 off, and waits at 0 */

    while (read(e->file, &one, sizeof one) != sizeof one)
        if (errno != EINTR) {
            e->error = errno;
            return;
        }
}
#endif

/* --fault pulse: the consumer is still busy while the event is set, and cleared. */
static void set_pulse(struct event *e)
{
    while (sem_wait(&e->busy) && errno == EINTR)
        continue;
    pthread_mutex_lock(&e->lock);
    e->is_set = true;
    pthread_cond_broadcast(&e->changed);
    e->is_set = false;
    pthread_mutex_unlock(&e->lock);
    sem_post(&e->missed);
}

static void wait_pulse(struct event *e)
{
    sem_post(&e->busy);
    while (sem_wait(&e->missed) && errno == EINTR)
        continue;
    /* The producer has ended: nobody will set the event, however slow. */
    const struct timespec deadline = clock_deadline(opt.limit);
    pthread_mutex_lock(&e->lock);
    while (!e->is_set && !e->stalled)
        e->stalled = wait_condition(&e->changed, &e->lock, &deadline) == ETIMEDOUT;
    pthread_mutex_unlock(&e->lock);
}

static const struct choice {
    const char *name;
    void (*set)(struct event *event), (*wait)(struct event *event);
} choices[] = {
    { "latched", set_latched, wait_latched },
    { "counted", set_counted, wait_counted },
#ifdef __linux__
    { "eventfd", set_eventfd, wait_eventfd },
#endif
    { "pulse", set_pulse, wait_pulse },
};

/* Thread 0 produces, thread 1 consumes. */
static void work(void *arg, size_t me)
{
    struct event *const e = arg;

    for (size_t i = 0; i < opt.count && !e->error; i++) {
        if (me == 0) {
            e->items[i] = element(i, 0);
            e->choice->set(e);
            if (opt.fault)
                return; /* nobody will take the next one */
            continue;
        }
        e->choice->wait(e);
        if (e->stalled)
            return;
        if (e->items[i] != element(i, 0) && !*e->wrong)
            snprintf(e->wrong, sizeof e->wrong, "item %zu is %" PRIu64 ", not %" PRIu64, i,
                     e->items[i], element(i, 0));
        e->taken++;
    }
}

static void run(void *arg)
{
    struct event *const e = arg;

    e->taken = 0;
    memset(e->items, 0, opt.count * sizeof *e->items);
    if (team_run(2, work, e))
        e->error = errno;
    if (!e->stalled && !*e->wrong && (e->taken != opt.count || e->sets != 0 || e->is_set))
        snprintf(e->wrong, sizeof e->wrong, "%zu of %zu items were taken, and %zu events are left",
                 e->taken, opt.count, e->sets + e->is_set);
}

static void event_open(struct event *e, const struct choice *choice)
{
    *e = (struct event){ .choice = choice, .file = -1,
                         .items = memory_room(size_product(size_product(opt.count, LENGTH(choices)),
                                                           sizeof *e->items))
                                      ? NULL : calloc(opt.count + 1, sizeof *e->items) };
    e->error = e->items ? 0 : ENOMEM;
    pthread_mutex_init(&e->lock, NULL);
    wait_condition_init(&e->changed, false);
    sem_init(&e->busy, 0, 0);
    sem_init(&e->missed, 0, 0);
#ifdef __linux__
    e->file = eventfd(0, EFD_SEMAPHORE | EFD_CLOEXEC);
    e->error = e->file < 0 ? errno : e->error;
#endif
}

static void event_close(struct event *e)
{
    if (e->file >= 0)
        close(e->file);
    sem_destroy(&e->missed);
    sem_destroy(&e->busy);
    pthread_cond_destroy(&e->changed);
    pthread_mutex_destroy(&e->lock);
    free(e->items);
}

static void add_row(struct program *program, const struct event *e, const struct turn *turn)
{
    const bool right = !*e->wrong && !e->stalled, timed = right && turn->summary.count > 0;
    struct record row = program->record;

    record_text(&row, "variant", e->choice->name);
    record_int(&row, "count", (int64_t)opt.count);
    record_summary(&row, &turn->summary, timed);
    record_real(&row, "events_per_s",
                timed && opt.count ? (double)opt.count / turn->summary.median : NAN);
    record_bool(&row, "verified", right);
    program_row(program, &row);
}

static enum status compare(struct program *program, struct event *events, size_t count)
{
    const struct stop_rule rule = { 10, opt.iterations, opt.secs, 0.02 };
    struct turn turns[LENGTH(choices)] = { 0 };
    int error = 0;

    for (size_t i = 0; i < count; i++) {
        turns[i] = (struct turn){ .operation = run, .arg = &events[i] };
        error = error ? error : events[i].error;
    }
    if (!error && opt.fault)
        run(&events[0]);
    else if (!error && turns_run(turns, count, &rule))
        error = errno;
    for (size_t i = 0; i < count; i++)
        error = error ? error : events[i].error;
    if (error) {
        program_error("two threads, an event and %zu items: %s: give smaller numbers", opt.count,
                      strerror(error));
        return UNABLE;
    }
    for (size_t i = 0; i < count; i++) {
        const struct event *const e = &events[i];
        add_row(program, e, &turns[i]);
        if (e->stalled) {
            program_verdict(program, false, "%s: the consumer waits for an event that is over: it "
                            "has %zu of %zu items", e->choice->name, e->taken, opt.count);
            return STALLED;
        }
        if (*e->wrong)
            return program_verdict(program, false, "%s: %s", e->choice->name, e->wrong);
    }
    return PASS;
}

int main(int argc, char **argv)
{
    static const size_t workers = 2;
    struct program program;
    enum status status = program_open(&program, argc, argv, options, &workers);
    struct event events[LENGTH(choices)];
    size_t count = 0;

    for (size_t i = 0; i < LENGTH(choices) && status == PASS; i++) {
        const bool is_fault = choices[i].set == set_pulse;
        if (opt.fault ? is_fault
                      : !is_fault && (arg_is(opt.variant, choices[i].name) ||
                                      arg_is(opt.variant, "all")))
            event_open(&events[count++], &choices[i]);
    }
    if (status == PASS && count == 0) {
        program_error("--variant %s: only Linux has it: take another", opt.variant);
        status = UNABLE;
    }
    if (status == PASS)
        status = compare(&program, events, count);
    for (size_t i = 0; i < count; i++)
        event_close(&events[i]);
    program_fault(&program, opt.fault, status == PASS, "there is no item to miss");
    if (status == PASS)
        program_verdict(&program, true, "%zu items, each after its event, in order", opt.count);
    return program_close(&program, status);
}
