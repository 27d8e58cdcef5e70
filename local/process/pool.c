/*
 * pool - worker processes that compute a map, and survive the death of one of them
 *
 * The squares of 0 to --count - 1 are computed by W processes, in chunks of --chunk items, and come
 * back into their places, whoever ends first:
 *
 *   dynamic  a process that is done is given the next chunk
 *   static   each process is given its share beforehand
 *
 * A process that is killed takes its chunk with it. The parent sees the end of its channel,
 * collects its status, starts another process in its place, and gives that the chunk again: no item
 * is lost and none is delivered twice (--kill N kills N processes, each with a chunk in hand). Who
 * dies besides was killed by somebody else, or has a mistake that the next one would have too: the
 * job ends.
 *
 * An item that is quicker computed than sent gains nothing: the table sets the pool beside a plain
 * loop, and tells from how long an item on it gains. --work makes items longer.
 *
 * What can go wrong: nobody looks for dead workers (--fault forget). The result is waited for
 * though no worker has it in hand.
 *
 * Run:     make run P=process/pool ARGS="--workers 2 --chunk 10"
 * Try:     --work 100us --chunk 1, 10, 50 --variant all: which chunk is best for 100 items?
 * Try:     --kill 3: nothing is missing
 * Test:    --variant all
 * Test:    --variant all --workers 64 --count 1001 --chunk 7
 * Test:    --variant all --workers 3 --count 1
 * Test:    --variant all --count 0
 * Test:    --variant all --kill 1
 * Test:    --variant all --kill 5 --workers 1 --count 7
 * Test:    --kill 64 --workers 8 --count 100
 * Test(3): --fault forget --limit 100ms
 * Test(3): --fault forget --limit 100ms --workers 1
 * Test(3): --fault forget --limit 10ms --work 20ms --count 20
 * Test:    --fault forget --count 0
 * Test(2): --chunk 0
 * Test(2): --workers 0
 * Test(2): --limit 1e19
 * Test(2): --chunk 4097
 */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "local/lib/children.h"
#include "local/lib/clock.h"
#include "local/lib/cpus.h"
#include "local/lib/data.h"
#include "local/lib/program.h"
#include "local/lib/turns.h"

enum { CHUNK_MAX = 4096 };

static struct {
    size_t workers, count, chunk, kill, iterations;
    double work, limit, secs;
    const char *variant, *fault;
} opt = { .workers = 4, .count = 100, .chunk = 1, .iterations = 10000, .work = 0, .limit = 2,
          .secs = 0.3, .variant = "dynamic" };

static const struct arg options[] = {
    { "workers", ARG_SIZE, &opt.workers, "worker processes", .min = 1, .max = CHILDREN_MAX },
    { "count", ARG_SIZE, &opt.count, "items", .max = 1 << 20 },
    { "chunk", ARG_SIZE, &opt.chunk, "dynamic: items that a worker is given at a time", .min = 1,
      .max = CHUNK_MAX },
    { "work", ARG_SECS, &opt.work, "computing that each item takes besides" },
    { "kill", ARG_SIZE, &opt.kill, "so many workers are killed, each with a chunk in hand",
      .max = CHILDREN_MAX },
    { "variant", ARG_CHOICE, &opt.variant, "how items are shared out",
      .choices = "dynamic|static|all" },
    { "fault", ARG_CHOICE, &opt.fault, "make a mistake on purpose", .choices = "forget" },
    { "limit", ARG_SECS, &opt.limit, "forget: how long a result is waited for that nobody computes",
      .max = 1000000 },
    { "seconds", ARG_SECS, &opt.secs, "time budget for one row" },
    { "iterations", ARG_SIZE, &opt.iterations, "samples of one row at most", .min = 1,
      .max = SAMPLES_MAX },
    ARGS_END,
};

/* What goes to a worker; count 0: it may go. Back come `count` results, in one piece. */
struct order {
    uint64_t first, count;
    bool dies; /* --kill: with this chunk in hand */
};

struct worker {
    pid_t pid;
    int channel;
    struct order order; /* in hand; count 0: none */
    bool dies;          /* it was told to, with that */
};

struct pool {
    bool dynamic;
    struct worker *workers;
    struct pollfd *files;
    uint64_t *results;
    unsigned char *delivered;
    uint64_t next;     /* dynamic: the first item that nobody was given */
    struct block *left; /* static: of each worker, what it was not given yet */
    size_t done, to_kill, replaced;
    bool stalled;
    bool failed; /* an error, or something wrong: no more runs */
    int error;
    char wrong[160];
};

static bool transfer(int file, void *data, size_t bytes, bool out)
{
    for (char *at = data; bytes > 0;) {
        const ssize_t n = out ? send(file, at, bytes, MSG_NOSIGNAL) : recv(file, at, bytes, 0);
        if (n == 0 || (n < 0 && errno != EINTR))
            return false;
        at += n > 0 ? n : 0;
        bytes -= n > 0 ? (size_t)n : 0;
    }
    return true;
}

static uint64_t square(uint64_t i)
{
    const int64_t begin = clock_ns();

    while (opt.work > 0 && clock_secs(begin, clock_ns()) < opt.work)
        continue;
    return i * i;
}

static int serve(void *arg, size_t unused)
{
    const int channel = *(const int *)arg;
    struct order order;
    uint64_t results[CHUNK_MAX];

    (void)unused;
    while (transfer(channel, &order, sizeof order, false) && order.count > 0) {
        if (order.dies)
            raise(SIGKILL);
        for (uint64_t i = 0; i < order.count; i++)
            results[i] = square(order.first + i);
        if (!transfer(channel, results, order.count * sizeof *results, true))
            return 1;
    }
    return 0;
}

/* 0, or -1 with errno. */
static int start(struct worker *worker)
{
    int ends[2];

    worker->pid = worker->channel = -1;
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends))
        return -1;
    worker->pid = child_start(serve, &ends[1], 0);
    const int error = errno;
    close(ends[1]); /* the worker's alone: so its death ends the channel */
    worker->channel = ends[0];
    worker->order.count = 0;
    worker->dies = false;
    errno = error;
    return worker->pid < 0 ? -1 : 0;
}

/* What this worker is to do next; count 0: nothing. */
static struct order next_order(struct pool *pool, size_t worker)
{
    struct order order = { 0 };

    if (pool->dynamic) {
        const uint64_t rest = opt.count - pool->next;
        order = (struct order){ pool->next, opt.chunk < rest ? opt.chunk : rest, false };
        pool->next += order.count;
    } else {
        struct block *const left = &pool->left[worker];
        order.first = left->start;
        order.count = left->count < CHUNK_MAX ? left->count : CHUNK_MAX;
        left->start += order.count;
        left->count -= order.count;
    }
    return order;
}

/* False if the worker is gone: then the order stays in its hand. */
static bool give(struct pool *pool, struct worker *worker, struct order order)
{
    worker->order = order;
    if (order.count == 0)
        return true;
    order.dies = pool->to_kill > 0;
    pool->to_kill -= order.dies;
    worker->dies = order.dies;
    return transfer(worker->channel, &order, sizeof order, true);
}

static bool deliver(struct pool *pool, struct worker *worker)
{
    const struct order *const order = &worker->order;
    uint64_t results[CHUNK_MAX];

    if (!transfer(worker->channel, results, order->count * sizeof *results, false))
        return false;
    for (uint64_t i = 0; i < order->count; i++) {
        pool->results[order->first + i] = results[i];
        pool->delivered[order->first + i]++;
    }
    pool->done += order->count;
    return true;
}

static void tell_death(struct pool *pool, const struct worker *worker, pid_t pid, int ended)
{
    char what[64];

    snprintf(what, sizeof what, "worker %td", worker - pool->workers);
    child_tell(what, pid, ended, pool->wrong, sizeof pool->wrong);
}

/* Another one in its place, with what it held. */
static void replace(struct pool *pool, struct worker *worker)
{
    const struct order order = worker->order;

    close(worker->channel);
    worker->channel = -1;
    const pid_t pid = worker->pid;
    const int ended = child_wait(pid);
    worker->pid = -1;
    if (ended != 128 + SIGKILL || !worker->dies) {
        tell_death(pool, worker, pid, ended);
        return;
    }
    pool->replaced++;
    if (start(worker))
        pool->error = errno;
    else
        give(pool, worker, order); /* if this one is gone too, its channel will tell */
}

static void wait_for_results(struct pool *pool)
{
    bool computes = false;

    for (size_t i = 0; i < opt.workers; i++) {
        const struct worker *const worker = &pool->workers[i];
        computes |= worker->order.count > 0;
        pool->files[i] = (struct pollfd){ worker->order.count ? worker->channel : -1, POLLIN, 0 };
    }
    /* Who computes will answer, or its channel ends. If nobody does, nothing will ever come. */
    const int ready = poll(pool->files, opt.workers, computes ? -1 : (int)(1e3 * opt.limit + 0.5));
    if (ready == 0)
        pool->stalled = true;
    else if (ready < 0 && errno != EINTR)
        pool->error = errno;
    for (size_t i = 0; ready > 0 && i < opt.workers && !pool->error && !*pool->wrong; i++) {
        if (!pool->files[i].revents)
            continue;
        struct worker *const worker = &pool->workers[i];
        if (deliver(pool, worker))
            give(pool, worker, next_order(pool, i));
        else if (opt.fault)
            worker->order.count = 0; /* forget: whoever it was, it is out of the game */
        else
            replace(pool, worker);
    }
}

static void map(void *arg)
{
    struct pool *const pool = arg;
    size_t started = 0;

    if (pool->failed)
        return;
    pool->next = pool->done = pool->replaced = 0;
    pool->to_kill = opt.fault ? 1 : opt.kill;
    memset(pool->delivered, 0, opt.count);
    for (size_t i = 0; i < opt.workers; i++)
        pool->left[i] = block_of(opt.count, opt.workers, i);
    while (started < opt.workers && start(&pool->workers[started]) == 0) {
        give(pool, &pool->workers[started], next_order(pool, started));
        started++;
    }
    if (started < opt.workers)
        pool->error = errno;
    while (pool->done < opt.count && !pool->error && !pool->stalled && !*pool->wrong)
        wait_for_results(pool);
    for (size_t i = 0; i < started; i++) {
        struct worker *const worker = &pool->workers[i];
        const bool in_vain = pool->error || pool->stalled || *pool->wrong;
        struct order go = { 0 };
        if (worker->pid > 0) {
            if (in_vain)
                kill(worker->pid, SIGKILL);
            else
                transfer(worker->channel, &go, sizeof go, true);
            const int ended = child_wait(worker->pid);
            if (ended != 0 && !in_vain)
                tell_death(pool, worker, worker->pid, ended);
        }
        if (worker->channel >= 0)
            close(worker->channel);
    }
    pool->failed = pool->error || *pool->wrong;
}

/* The square of i is the sum of the first i odd numbers. */
static enum status check(struct program *program, const struct pool *pool)
{
    uint64_t expected = 0;

    if (pool->stalled) {
        program_verdict(program, false, "forget: a worker was killed with its chunk, nobody looked, "
                        "and %zu of %zu results are waited for", opt.count - pool->done, opt.count);
        return STALLED;
    }
    if (pool->replaced != (opt.count ? opt.kill : 0))
        return program_verdict(program, false, "%zu workers were replaced, and %zu killed",
                               pool->replaced, opt.kill);
    for (size_t i = 0; i < opt.count; i++) {
        if (pool->delivered[i] != 1)
            return program_verdict(program, false, "item %zu was delivered %d times", i,
                                   pool->delivered[i]);
        if (pool->results[i] != expected)
            return program_verdict(program, false, "item %zu: %" PRIu64 ", not %" PRIu64, i,
                                   pool->results[i], expected);
        expected += 2 * i + 1;
    }
    return PASS;
}

static void loop(void *arg)
{
    struct pool *const pool = arg;

    for (size_t i = 0; i < opt.count; i++)
        pool->results[i] = square(i);
}

static void add_row(struct program *program, const char *variant, const struct pool *pool,
                    const struct turn *turn, bool right)
{
    const bool timed = right && turn->summary.count > 0;
    struct record row = program->record;

    record_text(&row, "variant", variant);
    record_int(&row, "count", (int64_t)opt.count);
    record_int(&row, "chunk", (int64_t)opt.chunk);
    record_int(&row, "replaced", (int64_t)pool->replaced);
    record_summary(&row, &turn->summary, timed);
    record_real(&row, "items_per_s",
                timed && opt.count ? (double)opt.count / turn->summary.median : NAN);
    record_real(&row, "speedup", timed ? turn->speedup.median : NAN);
    record_bool(&row, "verified", right);
    program_row(program, &row);
}

/*
 * From how long an item on the workers gain: with n items, a pool that costs T besides the items,
 * and w seconds an item, n w = T + n w / p, where p is the number of those that compute at a time.
 */
static void tell_break_even(struct program *program, const struct pool *pool,
                            const struct turn *serial, const struct turn *turn)
{
    struct cpus granted;
    const size_t cores = cpus_granted(&granted) ? (size_t)cpus_online() : (size_t)cpus_count(&granted);
    const double p = (double)(opt.workers < cores ? opt.workers : cores), n = (double)opt.count;
    const double cost = turn->summary.median - serial->summary.median / p;

    if (opt.count == 0 || opt.kill > 0)
        return;
    if (p < 2)
        program_note(program, "%s: one process at a time gains nothing, however long an item takes",
                     pool->dynamic ? "dynamic" : "static");
    else
        program_note(program, "%s: start and transfer cost %.0f us; %zu items are quicker than in a "
                     "loop if each takes more than %.3g us", pool->dynamic ? "dynamic" : "static",
                     1e6 * cost, opt.count, 1e6 * cost / (n * (1 - 1 / p)));
}

static int open_pool(struct pool *pool, bool dynamic)
{
    *pool = (struct pool){
        .dynamic = dynamic,
        .workers = calloc(opt.workers, sizeof *pool->workers),
        .files = calloc(opt.workers, sizeof *pool->files),
        .results = calloc(opt.count + 1, sizeof *pool->results),
        .delivered = calloc(opt.count + 1, 1),
        .left = calloc(opt.workers, sizeof *pool->left),
    };
    return pool->workers && pool->files && pool->results && pool->delivered && pool->left
               ? 0 : ENOMEM;
}

static void close_pool(struct pool *pool)
{
    free(pool->left);
    free(pool->delivered);
    free(pool->results);
    free(pool->files);
    free(pool->workers);
}

/* A plain loop first, then the chosen ones, in turns. */
static enum status compare(struct program *program, struct pool *pools, size_t count)
{
    const struct stop_rule rule = { 5, opt.iterations, opt.secs, 0.02 };
    struct turn turns[3] = { { .operation = loop, .arg = &pools[0] } };
    enum status status = PASS;
    int error = 0;

    for (size_t i = 1; i < count; i++)
        turns[i] = (struct turn){ .operation = map, .arg = &pools[i], .failed = &pools[i].failed };
    if (opt.fault)
        map(&pools[1]);
    else if (turns_run(turns, count, &rule) && errno != ECANCELED)
        error = errno;
    for (size_t i = 0; i < count; i++)
        error = error ? error : pools[i].error;
    if (error) {
        program_error("%zu processes, %zu items: %s: give smaller numbers", opt.workers, opt.count,
                      strerror(error));
        return UNABLE;
    }
    for (size_t i = 1; i < count; i++)
        if (*pools[i].wrong)
            return program_verdict(program, false, "%s", pools[i].wrong);
    if (!opt.fault)
        add_row(program, "serial", &pools[0], &turns[0], true);
    for (size_t i = 1; i < count && status == PASS; i++) {
        status = check(program, &pools[i]);
        add_row(program, pools[i].dynamic ? "dynamic" : "static", &pools[i], &turns[i],
                status == PASS);
        if (status == PASS && !opt.fault)
            tell_break_even(program, &pools[i], &turns[0], &turns[i]);
    }
    return status;
}

int main(int argc, char **argv)
{
    struct program program;
    enum status status = program_open(&program, argc, argv, options, &opt.workers);
    struct pool pools[3];
    size_t count = 0;
    int error = 0;

    if (status == PASS) {
        error = open_pool(&pools[count++], false);
        if (!arg_is(opt.variant, "static") || opt.fault)
            error = open_pool(&pools[count++], true) ? ENOMEM : error;
        if (!arg_is(opt.variant, "dynamic") && !opt.fault)
            error = open_pool(&pools[count++], false) ? ENOMEM : error;
    }
    if (error) {
        program_error("no memory for %zu items: give a smaller --count", opt.count);
        status = UNABLE;
    }
    if (status == PASS)
        status = compare(&program, pools, count);
    for (size_t i = 0; i < count; i++)
        close_pool(&pools[i]);
    program_fault(&program, opt.fault, status == PASS, "there is no item to lose");
    if (status == PASS)
        program_verdict(&program, true, "%zu squares, each delivered once, into its place",
                        opt.count);
    return program_close(&program, status);
}
