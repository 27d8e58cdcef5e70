/*
 * queue - producers and consumers, and how a consumer learns that it is over
 *
 * Producers put numbered items into a bounded queue, consumers take them out. An empty queue does
 * not mean the end: a producer may only be slow. Three ways to tell the end:
 *
 *   close     the last producer closes the queue; who finds it closed and empty is done
 *   sentinel  when all producers have ended, one end mark for each consumer goes in
 *   join      every item that has been dealt with is counted; when none is left unfinished, the
 *             consumers are told to go home
 *
 * What can go wrong: nobody tells, and the consumers wait for ever for another item (--fault
 * no_end). One end mark serves one consumer; the others wait for ever (--fault one_sentinel).
 *
 * The times are for one item.
 *
 * Run:     make run P=thread/queue ARGS="--producers 2 --consumers 3 --variant all"
 * Try:     --capacity 1 against 1024: how much do they cost, those who wait for room?
 * Try:     --batch 64: one synchronisation for many items
 * Try:     --fault one_sentinel --consumers 5: how many are left behind?
 * Test:    --variant all
 * Test:    --variant all --producers 3 --consumers 8 --count 1001 --capacity 1
 * Test:    --variant all --producers 8 --consumers 64 --count 1 --batch 7
 * Test:    --variant all --count 0
 * Test:    --variant all --producers 64 --consumers 1 --count 10 --batch 64
 * Test(3): --fault no_end --limit 100ms
 * Test(3): --fault no_end --limit 100ms --count 0 --consumers 1
 * Test(3): --fault one_sentinel --limit 100ms
 * Test(3): --fault one_sentinel --consumers 64 --producers 8 --count 100 --limit 0
 * Test:    --fault one_sentinel --consumers 1
 * Test(2): --producers 0
 * Test(2): --consumers 0
 * Test(2): --capacity 0
 * Test(2): --batch 1025
 * Test(2): --iterations 9223372036854775808
 * Test(2): --count 288230376151711744 --producers 64
 * Test(77): --count 1000G --producers 64
 * Test(2): --capacity 1000G
 */
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "local/lib/clock.h"
#include "local/lib/memory.h"
#include "local/lib/program.h"
#include "local/lib/queue.h"
#include "local/lib/size.h"
#include "local/lib/stats.h"
#include "local/lib/team.h"

enum { BATCH_MAX = 1024, PLACES_MAX = 1 << 26 /* 1 GiB */ };

static struct {
    size_t producers, consumers, count, capacity, batch, iterations;
    double secs, limit;
    const char *variant, *fault;
} opt = { .producers = 1, .consumers = 3, .count = 1000, .capacity = 64, .batch = 1,
          .iterations = 10000, .secs = 1, .limit = 0.2, .variant = "close" };

static const struct arg options[] = {
    { "producers", ARG_SIZE, &opt.producers, "threads that put items in", .min = 1,
      .max = TEAM_MAX },
    { "consumers", ARG_SIZE, &opt.consumers, "threads that take them out", .min = 1,
      .max = TEAM_MAX },
    { "count", ARG_SIZE, &opt.count, "items of each producer", .max = TEAM_COUNT_MAX },
    { "capacity", ARG_SIZE, &opt.capacity, "items that fit, rounded up to a power of 2 from 2 on",
      .min = 1, .max = PLACES_MAX },
    { "batch", ARG_SIZE, &opt.batch, "items put in or taken out at a time", .min = 1,
      .max = BATCH_MAX },
    { "variant", ARG_CHOICE, &opt.variant, "how the end is told",
      .choices = "close|sentinel|join|all" },
    { "fault", ARG_CHOICE, &opt.fault, "make a mistake on purpose",
      .choices = "no_end|one_sentinel" },
    { "limit", ARG_SECS, &opt.limit, "how long to wait before asking if an item can ever come",
      .max = TEAM_SECS_MAX },
    { "seconds", ARG_SECS, &opt.secs, "time budget for one row" },
    { "iterations", ARG_SIZE, &opt.iterations, "samples of one row at most", .min = 1,
      .max = SAMPLES_MAX },
    ARGS_END,
};

static const uint64_t end_mark = UINT64_MAX;

struct traffic {
    const char *way; /* a variant or a fault */
    struct queue *queue;
    size_t total;
    atomic_size_t producing;         /* producers that have not ended */
    _Atomic unsigned char *seen;     /* how often each item was taken */
    size_t *next;                    /* of each consumer and producer */
    atomic_size_t stalled, out_of_order;
    atomic_bool told;                /* the producers have ended, and done what they do about it */
    size_t unfinished;               /* join: items that nobody has dealt with; `lock` guards it */
    pthread_mutex_t lock;
    pthread_cond_t all_finished;
    _Atomic int64_t begin_ns, end_ns; /* first item, last consumer */
};

/* The last producer to end tells the consumers, each variant and fault in its way. */
static void tell_end(struct traffic *t)
{
    if (strcmp(t->way, "close") == 0) {
        queue_close(t->queue);
    } else if (strstr(t->way, "sentinel")) {
        const size_t marks = strcmp(t->way, "one_sentinel") == 0 ? 1 : opt.consumers;
        for (size_t i = 0; i < marks; i++)
            queue_push(t->queue, &end_mark, 1, HUGE_VAL);
    } else if (strcmp(t->way, "join") == 0) {
        pthread_mutex_lock(&t->lock);
        while (t->unfinished > 0)
            pthread_cond_wait(&t->all_finished, &t->lock);
        pthread_mutex_unlock(&t->lock);
        queue_close(t->queue);
    }
}

static void produce(struct traffic *t, size_t me)
{
    uint64_t items[BATCH_MAX];

    for (size_t done = 0; done < opt.count;) {
        size_t n = 0;
        while (n < opt.batch && done + n < opt.count) {
            items[n] = me * opt.count + done + n;
            n++;
        }
        queue_push(t->queue, items, n, HUGE_VAL);
        done += n;
    }
    if (atomic_fetch_sub(&t->producing, 1) == 1) {
        tell_end(t);
        atomic_store(&t->told, true);
    }
}

/* join: what was taken has been dealt with. */
static void finish(struct traffic *t, size_t items)
{
    pthread_mutex_lock(&t->lock);
    t->unfinished -= items;
    if (t->unfinished == 0)
        pthread_cond_broadcast(&t->all_finished);
    pthread_mutex_unlock(&t->lock);
}

/* Counts the items before an end mark; next[p] is the least number of producer p that may come. */
static size_t look_at(struct traffic *t, const uint64_t *items, size_t count, size_t *next)
{
    for (size_t i = 0; i < count; i++) {
        if (items[i] == end_mark)
            return i;
        const size_t producer = items[i] / opt.count, number = items[i] % opt.count;
        if (number < next[producer])
            atomic_fetch_add(&t->out_of_order, 1);
        next[producer] = number + 1;
        atomic_fetch_add(&t->seen[items[i]], 1);
    }
    return count;
}

/* The limit alone says nothing, a producer may only be slow: who gets nothing asks whether there is
 * anybody left to put something in, and looks once more. 0 with errno ETIMEDOUT: for ever. */
static size_t take(struct traffic *t, uint64_t *items, size_t count)
{
    for (;;) {
        const size_t taken = queue_pop(t->queue, items, count, opt.fault ? opt.limit : HUGE_VAL);
        if (taken || errno != ETIMEDOUT)
            return taken;
        if (t->told) {
            const size_t last = queue_try_pop(t->queue, items, count);
            if (!last && errno == EAGAIN)
                errno = ETIMEDOUT;
            return last;
        }
    }
}

static void consume(struct traffic *t, size_t *next)
{
    const size_t batch = strstr(t->way, "sentinel") ? 1 : opt.batch; /* leave the others theirs */
    uint64_t items[BATCH_MAX];

    for (;;) {
        const size_t taken = take(t, items, batch);
        if (taken == 0)
            break;
        const size_t right = look_at(t, items, taken, next);
        if (strcmp(t->way, "join") == 0)
            finish(t, taken);
        if (right < taken) {
            errno = EPIPE; /* told by an end mark */
            break;
        }
    }
    if (errno == ETIMEDOUT)
        atomic_fetch_add(&t->stalled, 1);
    t->end_ns = clock_ns();
}

static void work(void *arg, size_t me)
{
    struct traffic *const t = arg;

    if (me == 0)
        t->begin_ns = clock_ns();
    if (me < opt.producers)
        produce(t, me);
    else
        consume(t, t->next + (me - opt.producers) * opt.producers);
}

/* One time through, checked: *secs is for one item. PASS, or what is wrong, told. */
static enum status transfer(struct program *program, struct traffic *t, double *secs)
{
    t->producing = opt.producers;
    t->unfinished = t->total;
    t->stalled = t->out_of_order = 0;
    t->told = false;
    memset((void *)t->seen, 0, t->total);
    memset(t->next, 0, opt.consumers * opt.producers * sizeof *t->next);
    t->queue = queue_new(opt.capacity, QUEUE_MANY);
    if (!t->queue || team_run(opt.producers + opt.consumers, work, t)) {
        program_error("%zu threads and a queue of %zu items: %s: give smaller numbers",
                      opt.producers + opt.consumers, opt.capacity, strerror(errno));
        queue_free(t->queue);
        return UNABLE;
    }
    const size_t left = queue_length(t->queue);
    queue_free(t->queue);
    *secs = clock_secs(t->begin_ns, t->end_ns) / (double)(t->total ? t->total : 1);
    for (size_t i = 0; i < t->total; i++)
        if (t->seen[i] != 1)
            return program_verdict(program, false, "%s: item %zu of producer %zu was taken %d times",
                                   t->way, i % opt.count, i / opt.count, t->seen[i]);
    if (t->out_of_order > 0)
        return program_verdict(program, false, "%s: %zu items came before an earlier one of their "
                               "producer", t->way, (size_t)t->out_of_order);
    if (t->stalled > 0) {
        program_verdict(program, false, "%s: %zu of %zu consumers wait for an item, and every "
                        "producer has ended: nobody told them", t->way, (size_t)t->stalled,
                        opt.consumers);
        return STALLED;
    }
    return left == 0 ? PASS : program_verdict(program, false, "%s: %zu items are left in the queue",
                                              t->way, left);
}

static void add_row(struct program *program, const char *way, const struct summary *summary,
                    bool right)
{
    struct record row = program->record;

    record_text(&row, "variant", way);
    record_int(&row, "producers", (int64_t)opt.producers);
    record_int(&row, "consumers", (int64_t)opt.consumers);
    record_int(&row, "count", (int64_t)opt.count);
    record_int(&row, "batch", (int64_t)opt.batch);
    record_summary(&row, summary, right);
    record_real(&row, "items_per_s", right && opt.count ? 1 / summary->median : NAN);
    record_bool(&row, "verified", right);
    program_row(program, &row);
}

static enum status run(struct program *program, const char *way)
{
    const struct stop_rule rule = { 30, opt.iterations, opt.secs, 0.02 };
    struct traffic t = { .way = way, .total = opt.producers * opt.count,
                         .lock = PTHREAD_MUTEX_INITIALIZER,
                         .all_finished = PTHREAD_COND_INITIALIZER };
    const size_t pairs = opt.consumers * opt.producers;
    double *const samples = size_alloc(opt.iterations, sizeof *samples);
    struct summary summary = { 0 };
    enum status status = PASS;
    size_t count = 0;

    if (!memory_room(size_sum(t.total, size_product(pairs, sizeof *t.next)))) {
        t.seen = malloc(t.total + 1);
        t.next = calloc(pairs, sizeof *t.next);
    }
    if (!samples || !t.seen || !t.next) {
        program_error("no memory for %zu items and %zu samples: give smaller numbers", t.total,
                      opt.iterations);
        status = UNABLE;
    }
    const int64_t begin = clock_ns();
    while (status == PASS &&
           stats_stop(&rule, samples, count, clock_secs(begin, clock_ns())) == STOP_NOT)
        status = transfer(program, &t, &samples[count++]);
    if (status != UNABLE) {
        stats_summarize(samples, count, &summary);
        add_row(program, way, &summary, status == PASS);
    }
    free(t.next);
    free((void *)t.seen);
    free(samples);
    return status;
}

int main(int argc, char **argv)
{
    static const char *const variants[] = { "close", "sentinel", "join" };
    struct program program;
    enum status status = program_open(&program, argc, argv, options, &opt.consumers);

    if (status == PASS && opt.fault) {
        opt.iterations = 1;
        status = run(&program, opt.fault);
        program_fault(&program, opt.fault, status == PASS, "one consumer alone gets the one mark");
    }
    for (size_t i = 0; !opt.fault && i < sizeof variants / sizeof *variants && status == PASS; i++)
        if (arg_is(opt.variant, variants[i]) || arg_is(opt.variant, "all"))
            status = run(&program, variants[i]);
    if (status == PASS)
        program_verdict(&program, true, "%zu items, each once, those of a producer in order, and "
                        "every consumer ended", opt.producers * opt.count);
    return program_close(&program, status);
}
