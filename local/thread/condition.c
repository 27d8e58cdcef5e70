/*
 * condition - waiting until something is true: a bounded buffer with two conditions
 *
 * Producers put numbered items into a buffer of --capacity places, consumers take them out. Who
 * finds it full waits for `room`, who finds it empty for `items`, and a flag says that nothing more
 * will come. A wait stands in a loop that asks again: when a thread wakes, somebody else may have
 * been quicker, or there was no reason at all (the standard allows that).
 *
 * What can go wrong: `if` in place of `while` - a consumer that is woken without an item takes one
 * from an empty buffer (--fault if). A signal while nobody waits is gone: a condition does not
 * remember, what it is about must be kept in a variable (--fault unlatched). One condition for both
 * kinds of waiting, and a signal to one of them: it may wake the wrong kind (--fault one_signal).
 * The order in which threads come decides: it is tried until all wait, a hundred times at most.
 *
 * Run:     make run P=condition ARGS="--producers 2 --consumers 3 --capacity 1"
 * Try:     --capacity 1 against 1000, with --count 10000: how often does each side wait?
 * Try:     --fault one_signal --producers 4 --consumers 4 --capacity 1 --count 100000
 * Test:    --count 1001
 * Test:    --producers 8 --consumers 8 --capacity 1 --count 101
 * Test:    --producers 1 --consumers 64 --capacity 3 --count 7
 * Test:    --producers 64 --consumers 1 --capacity 1000 --count 3
 * Test:    --count 0 --consumers 5
 * Test(1): --fault if
 * Test(1): --fault if --count 0
 * Test(3): --fault unlatched --limit 100ms
 * Test(3): --fault unlatched --limit 0
 * Test(3): --fault one_signal --producers 4 --consumers 4 --capacity 1 --count 10000
 * Test:    --fault one_signal
 * Test(2): --capacity 0
 * Test(2): --producers 0
 * Test(2): --count 1152921504606846976
 * Test(77): --count 1000G --producers 64
 * Test(2): --capacity 1000G
 */
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>

#include "local/lib/clock.h"
#include "local/lib/memory.h"
#include "local/lib/program.h"
#include "local/lib/size.h"
#include "local/lib/team.h"
#include "local/lib/turns.h"
#include "local/lib/wait.h"

enum { ROUNDS = 100, PLACES_MAX = 1 << 26 /* 1 GiB */ };

static struct {
    size_t producers, consumers, count, capacity, iterations;
    double limit, secs;
    const char *fault;
} opt = { .producers = 1, .consumers = 1, .count = 20, .capacity = 10, .iterations = 10000,
          .limit = 0.2, .secs = 0.5 };

static const struct arg options[] = {
    { "producers", ARG_SIZE, &opt.producers, "threads that put items in", .min = 1,
      .max = TEAM_MAX },
    { "consumers", ARG_SIZE, &opt.consumers, "threads that take them out", .min = 1,
      .max = TEAM_MAX },
    { "count", ARG_SIZE, &opt.count, "items of each producer", .max = TEAM_COUNT_MAX },
    { "capacity", ARG_SIZE, &opt.capacity, "places of the buffer", .min = 1, .max = PLACES_MAX },
    { "fault", ARG_CHOICE, &opt.fault, "make a mistake on purpose",
      .choices = "if|unlatched|one_signal" },
    { "limit", ARG_SECS, &opt.limit, "unlatched: how long to wait for the signal that is over",
      .max = TEAM_SECS_MAX },
    { "seconds", ARG_SECS, &opt.secs, "time budget for the row" },
    { "iterations", ARG_SIZE, &opt.iterations, "samples at most", .min = 1, .max = SAMPLES_MAX },
    ARGS_END,
};

struct item {
    size_t producer, number;
};

struct buffer {
    pthread_mutex_t lock; /* guards all of this */
    pthread_cond_t room, items;
    struct item *places;
    size_t depth, first, producing;
    size_t waits_for_room, waits_for_items;
    /* one_signal: threads that have not ended, those of them that wait, signals to these that are
     * still under way, and whether all wait and nobody has been called. */
    size_t running, asleep, called;
    bool stalled;
    size_t stalled_producers, stalled_consumers;
    size_t *next;         /* of each consumer and producer: the least number that may come */
    unsigned char *taken; /* how often each item was */
    sem_t waiting;        /* if: the consumer waits on the empty buffer */
    int error;
    char wrong[160];
};

/* --fault one_signal: everybody waits on one condition. */
static pthread_cond_t *condition_of(struct buffer *b, pthread_cond_t *right)
{
    return opt.fault ? &b->items : right;
}

/* one_signal: is there anybody who will ever signal? If not, all are let go. */
static void look_for_stall(struct buffer *b)
{
    if (opt.fault && b->running > 0 && b->asleep == b->running && b->called == 0) {
        b->stalled = true;
        pthread_cond_broadcast(&b->items);
    }
}

/* False: in vain, and for ever. */
static bool wait_for(struct buffer *b, pthread_cond_t *right)
{
    b->asleep++;
    look_for_stall(b);
    if (!b->stalled)
        pthread_cond_wait(condition_of(b, right), &b->lock);
    b->asleep--;
    b->called -= b->called > 0;
    return !b->stalled;
}

static void signal_to(struct buffer *b, pthread_cond_t *right)
{
    b->called += b->called < b->asleep;
    pthread_cond_signal(condition_of(b, right));
}

/* A thread ends; the last producer is to tell everybody. */
static void leave(struct buffer *b, bool to_all)
{
    b->running--;
    if (to_all) {
        b->called = b->asleep;
        pthread_cond_broadcast(&b->items);
    }
    look_for_stall(b);
}

/* False after waiting in vain. */
static bool put(struct buffer *b, struct item item)
{
    pthread_mutex_lock(&b->lock);
    while (b->depth == opt.capacity) {
        b->waits_for_room++;
        if (!wait_for(b, &b->room)) {
            b->stalled_producers++;
            pthread_mutex_unlock(&b->lock);
            return false;
        }
    }
    b->places[(b->first + b->depth++) % opt.capacity] = item;
    signal_to(b, &b->items);
    pthread_mutex_unlock(&b->lock);
    return true;
}

/* False at the end, or after waiting in vain. */
static bool get(struct buffer *b, struct item *item)
{
    bool in_vain = false;

    pthread_mutex_lock(&b->lock);
    while (b->depth == 0 && b->producing > 0 && !in_vain) {
        b->waits_for_items++;
        in_vain = !wait_for(b, &b->items);
    }
    const bool got = b->depth > 0 && !in_vain;
    if (got) {
        *item = b->places[b->first];
        b->first = (b->first + 1) % opt.capacity;
        b->depth--;
        signal_to(b, &b->room);
    }
    b->stalled_consumers += in_vain;
    pthread_mutex_unlock(&b->lock);
    return got;
}

static void produce(struct buffer *b, size_t me)
{
    for (size_t i = 0; i < opt.count && put(b, (struct item){ me, i }); i++)
        continue;
    pthread_mutex_lock(&b->lock);
    leave(b, --b->producing == 0); /* all of them have to hear of the end */
    pthread_mutex_unlock(&b->lock);
}

static void consume(struct buffer *b, size_t me)
{
    size_t *const next = b->next + me * opt.producers;
    struct item item;

    while (get(b, &item)) {
        pthread_mutex_lock(&b->lock);
        if (item.number < next[item.producer] && !*b->wrong)
            snprintf(b->wrong, sizeof b->wrong, "consumer %zu got item %zu of producer %zu after "
                     "item %zu", me, item.number, item.producer, next[item.producer] - 1);
        next[item.producer] = item.number + 1;
        b->taken[item.producer * opt.count + item.number]++;
        pthread_mutex_unlock(&b->lock);
    }
    pthread_mutex_lock(&b->lock);
    leave(b, false);
    pthread_mutex_unlock(&b->lock);
}

static void work(void *arg, size_t me)
{
    if (me < opt.producers)
        produce(arg, me);
    else
        consume(arg, me - opt.producers);
}

/* --fault if: thread 0 asks once and waits once; thread 1 wakes it although nothing has come. */
static void work_if(void *arg, size_t me)
{
    struct buffer *const b = arg;

    if (me == 1) {
        while (sem_wait(&b->waiting) && errno == EINTR)
            continue;
        pthread_mutex_lock(&b->lock); /* from here on the other one is inside its wait */
        pthread_cond_broadcast(&b->items);
        pthread_mutex_unlock(&b->lock);
        return;
    }
    pthread_mutex_lock(&b->lock);
    sem_post(&b->waiting);
    if (b->depth == 0)
        pthread_cond_wait(&b->items, &b->lock);
    if (b->depth == 0)
        snprintf(b->wrong, sizeof b->wrong, "if: the consumer was woken, and takes an item from an "
                 "empty buffer");
    pthread_mutex_unlock(&b->lock);
}

/* --fault unlatched: thread 1 signals first, thread 0 waits for that afterwards. */
static void work_unlatched(void *arg, size_t me)
{
    struct buffer *const b = arg;

    if (me == 1) {
        pthread_mutex_lock(&b->lock);
        pthread_cond_signal(&b->items);
        pthread_mutex_unlock(&b->lock);
        sem_post(&b->waiting);
        return;
    }
    while (sem_wait(&b->waiting) && errno == EINTR)
        continue;
    /* The signal is over, and there is no other: who wakes before the deadline was not signalled. */
    const struct timespec deadline = clock_deadline(opt.limit);
    pthread_mutex_lock(&b->lock);
    while (wait_condition(&b->items, &b->lock, &deadline) == 0)
        continue;
    b->stalled_consumers = 1;
    pthread_mutex_unlock(&b->lock);
}

static void run(void *arg)
{
    struct buffer *const b = arg;
    const size_t total = opt.producers * opt.count;
    int status;

    b->producing = opt.producers;
    b->running = opt.producers + opt.consumers;
    b->called = 0;
    memset(b->taken, 0, total);
    memset(b->next, 0, opt.consumers * opt.producers * sizeof *b->next);
    if (arg_is(opt.fault, "if"))
        status = team_run(2, work_if, b);
    else if (arg_is(opt.fault, "unlatched"))
        status = team_run(2, work_unlatched, b);
    else
        status = team_run(opt.producers + opt.consumers, work, b);
    if (status)
        b->error = errno;
    if (opt.fault && !arg_is(opt.fault, "one_signal"))
        return;
    if (b->stalled_producers || b->stalled_consumers)
        return;
    for (size_t i = 0; i < total && !*b->wrong; i++)
        if (b->taken[i] != 1)
            snprintf(b->wrong, sizeof b->wrong, "item %zu of producer %zu was taken %d times",
                     i % opt.count, i / opt.count, b->taken[i]);
}

/* Until it strikes, if the order decides; not where it cannot. */
static void run_fault(struct buffer *b)
{
    const bool by_chance = arg_is(opt.fault, "one_signal") &&
                           opt.producers + opt.consumers > 2 && opt.count > 0;
    int rounds = 0;

    do
        run(b);
    while (by_chance && ++rounds < ROUNDS && !b->stalled && !b->error && !*b->wrong);
}

static int buffer_open(struct buffer *b)
{
    const size_t bytes = size_sum(size_product(opt.capacity, sizeof *b->places),
                                  size_product(opt.consumers * opt.producers, sizeof *b->next));
    const bool has_room = !memory_room(size_sum(bytes, size_product(opt.producers, opt.count)));

    *b = (struct buffer){
        .places = has_room ? calloc(opt.capacity, sizeof *b->places) : NULL,
        .next = has_room ? calloc(opt.consumers, opt.producers * sizeof *b->next) : NULL,
        .taken = has_room ? calloc(opt.producers, opt.count + 1) : NULL,
    };
    pthread_mutex_init(&b->lock, NULL);
    wait_condition_init(&b->room, false);
    wait_condition_init(&b->items, false);
    sem_init(&b->waiting, 0, 0);
    return b->places && b->next && b->taken ? 0 : ENOMEM;
}

static void buffer_close(struct buffer *b)
{
    sem_destroy(&b->waiting);
    pthread_cond_destroy(&b->items);
    pthread_cond_destroy(&b->room);
    pthread_mutex_destroy(&b->lock);
    free(b->taken);
    free(b->next);
    free(b->places);
}

static void add_row(struct program *program, const struct buffer *b, const struct turn *turn)
{
    const bool right = !*b->wrong && !b->stalled_producers && !b->stalled_consumers;
    const bool timed = right && turn->summary.count > 0;
    const double items = (double)(opt.producers * opt.count);
    struct record row = program->record;

    record_int(&row, "producers", (int64_t)opt.producers);
    record_int(&row, "consumers", (int64_t)opt.consumers);
    record_int(&row, "capacity", (int64_t)opt.capacity);
    record_int(&row, "count", (int64_t)opt.count);
    record_summary(&row, &turn->summary, timed);
    record_real(&row, "items_per_s", timed && items > 0 ? items / turn->summary.median : NAN);
    record_int(&row, "waits_for_room", (int64_t)b->waits_for_room);
    record_int(&row, "waits_for_items", (int64_t)b->waits_for_items);
    record_bool(&row, "verified", right);
    program_row(program, &row);
}

static enum status check(struct program *program, const struct buffer *b)
{
    if (b->error) {
        program_error("%zu threads, %zu places, %zu items each: %s: give smaller numbers",
                      opt.producers + opt.consumers, opt.capacity, opt.count, strerror(b->error));
        return UNABLE;
    }
    if (*b->wrong)
        return program_verdict(program, false, "%s", b->wrong);
    if (b->stalled_consumers == 0 && b->stalled_producers == 0)
        return PASS;
    if (arg_is(opt.fault, "unlatched"))
        program_verdict(program, false, "unlatched: the consumer waits for a signal that was sent "
                        "before it waited: no variable tells of it");
    else
        program_verdict(program, false, "%s: %zu producers wait for room and %zu consumers for "
                        "items: the signals went to the wrong ones", opt.fault,
                        b->stalled_producers, b->stalled_consumers);
    return STALLED;
}

int main(int argc, char **argv)
{
    struct program program;
    enum status status = program_open(&program, argc, argv, options, &opt.consumers);
    const struct stop_rule rule = { 10, opt.iterations, opt.secs, 0.02 };
    struct buffer buffer;
    struct turn turn = { .operation = run, .arg = &buffer };

    if (status != PASS)
        return program_close(&program, status);
    buffer.error = buffer_open(&buffer);
    if (!buffer.error && opt.fault)
        run_fault(&buffer);
    else if (!buffer.error && turns_run(&turn, 1, &rule))
        buffer.error = errno;
    if (!buffer.error)
        add_row(&program, &buffer, &turn);
    status = check(&program, &buffer);
    buffer_close(&buffer);
    program_fault(&program, opt.fault, status == PASS, opt.producers + opt.consumers == 2
                      ? "of one producer and one consumer at most one waits: a signal finds it"
                      : opt.count == 0 ? "there is no item to signal"
                                       : "no signal went astray in 100 runs: give --capacity 1 or "
                                         "more --count");
    if (status == PASS)
        program_verdict(&program, true, "%zu items, each once, those of a producer in order",
                        opt.producers * opt.count);
    return program_close(&program, status);
}
