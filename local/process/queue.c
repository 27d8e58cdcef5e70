/*
 * queue - items from producing processes to consuming ones
 *
 * Producers number their items; each is to be taken once. Four ways between processes:
 *
 *   shm   a queue in shared memory without a lock (local/lib/queue), which the last producer closes
 *   lock  a ring buffer in shared memory with a mutex and two conditions made for processes
 *   mq    a POSIX message queue: the kernel keeps the messages; one end mark for each consumer
 *   pipe  all write into one pipe and read from it; its end comes when the last producer has ended
 *
 * A consumer that dies takes the item that it holds with it, and nothing else: --kill 1 kills one
 * that has an item in hand, and the others begin after that. With `lock` it dies holding the mutex,
 * which is robust: the next one to ask is told so (EOWNERDEAD) and finishes what it began. Those
 * who sleep on a condition do not ask; so the parent, which is told of the death, does. A process
 * that dies without --kill ends the job: who waits for its items would wait for ever.
 *
 * What can go wrong: a consumer takes "empty" for "over". If it comes before the first item, it
 * leaves with none (--fault poll_empty).
 *
 * Run:     make run P=process/queue ARGS="--producers 2 --consumers 3 --variant all"
 * Try:     --variant all --count 100000: what does the kernel's part cost?
 * Try:     --kill 1: which item is lost?
 * Test:    --variant all
 * Test:    --variant all --producers 3 --consumers 8 --count 101
 * Test:    --variant all --producers 8 --consumers 64 --count 1
 * Test:    --variant all --count 0 --kill 1
 * Test:    --variant all --kill 1
 * Test:    --variant all --kill 2 --consumers 3 --count 7
 * Test:    --variant lock --kill 63 --consumers 64 --count 101 --capacity 1
 * Test(1): --fault poll_empty
 * Test(2): --kill 2 --consumers 2
 * Test(2): --producers 0
 * Test(2): --capacity 9223372036854775807
 * Test(2): --producers 64 --count 288230376151711744
 */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <mqueue.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "local/lib/children.h"
#include "local/lib/clock.h"
#include "local/lib/memory.h"
#include "local/lib/program.h"
#include "local/lib/queue.h"
#include "local/lib/size.h"
#include "local/lib/stats.h"

#define LENGTH(array) (sizeof(array) / sizeof *(array))

static struct {
    size_t producers, consumers, count, capacity, kill, iterations;
    double secs;
    const char *variant, *fault;
} opt = { .producers = 1, .consumers = 2, .count = 1000, .capacity = 64, .iterations = 10000,
          .secs = 0.3, .variant = "shm" };

static const struct arg options[] = {
    { "producers", ARG_SIZE, &opt.producers, "processes that put items in", .min = 1,
      .max = 256 },
    { "consumers", ARG_SIZE, &opt.consumers, "processes that take them out", .min = 1,
      .max = 256 },
    { "count", ARG_SIZE, &opt.count, "items of each producer", .max = 1 << 20 },
    { "capacity", ARG_SIZE, &opt.capacity,
      "shm, lock: items that fit; shm: rounded up to a power of 2", .min = 1,
      .max = 1 << 26 },
    { "kill", ARG_SIZE, &opt.kill, "so many consumers die with their first item" },
    { "variant", ARG_CHOICE, &opt.variant, "the way between processes",
      .choices = "shm|lock|mq|pipe|all" },
    { "fault", ARG_CHOICE, &opt.fault, "make a mistake on purpose", .choices = "poll_empty" },
    { "seconds", ARG_SECS, &opt.secs, "time budget for one row" },
    { "iterations", ARG_SIZE, &opt.iterations, "samples of one row at most", .min = 1,
      .max = SAMPLES_MAX },
    ARGS_END,
};

static const uint64_t end_mark = UINT64_MAX;

/* In shared memory, all of it. */
struct counts {
    atomic_size_t producing;       /* processes that have not ended */
    atomic_size_t dying;           /* --kill: consumers that have an item in hand, and die */
    atomic_size_t begun;           /* poll_empty: consumers that have looked */
    _Atomic int64_t begin_ns, end_ns; /* the first item put in, the last one taken */
    _Atomic unsigned char taken[]; /* how often each item was */
};

/* The ring buffer of `lock`. */
struct buffer {
    pthread_mutex_t mutex; /* guards the rest */
    pthread_cond_t items, room;
    size_t capacity, head, tail;
    size_t taken; /* head, and head + 1 while an item is being taken */
    bool closed;
    uint64_t slots[];
};

struct job {
    const struct choice *choice;
    struct counts *counts;
    size_t counts_bytes, memory_bytes;
    void *memory; /* of the queue or the buffer */
    struct queue *queue;
    struct buffer *buffer;
    mqd_t messages;
    int ends[2];
    double *samples; /* seconds of each run */
    size_t runs;
    size_t died; /* of those that --kill names */
    size_t lost; /* with those that were killed, in the last run */
    int error;
    char wrong[160];
};

/* Called by a consumer that has an item in hand. */
static void maybe_die(struct job *job, size_t me)
{
    if (me >= opt.kill)
        return;
    atomic_fetch_add(&job->counts->dying, 1);
    raise(SIGKILL);
}

static bool put_shm(struct job *job, uint64_t item)
{
    return queue_push(job->queue, &item, 1, HUGE_VAL) == 1;
}

static bool get_shm(struct job *job, size_t me, uint64_t *item)
{
    if (queue_pop(job->queue, item, 1, HUGE_VAL) != 1)
        return false;
    maybe_die(job, me);
    return true;
}

static void end_shm(struct job *job)
{
    queue_close(job->queue);
}

/* After the mutex was asked for: finishes what an owner that died with it had begun. What it did
 * not tell, all are told. */
static bool take_over(struct buffer *b, int error)
{
    if (error != EOWNERDEAD)
        return error == 0;
    b->head = b->taken;
    pthread_cond_broadcast(&b->items);
    pthread_cond_broadcast(&b->room);
    return pthread_mutex_consistent(&b->mutex) == 0;
}

static bool put_lock(struct job *job, uint64_t item)
{
    struct buffer *const b = job->buffer;
    bool is_ours = take_over(b, pthread_mutex_lock(&b->mutex));

    while (is_ours && b->tail - b->head == b->capacity)
        is_ours = take_over(b, pthread_cond_wait(&b->room, &b->mutex));
    if (!is_ours)
        return false;
    b->slots[b->tail++ % b->capacity] = item;
    pthread_cond_signal(&b->items);
    pthread_mutex_unlock(&b->mutex);
    return true;
}

static bool get_lock(struct job *job, size_t me, uint64_t *item)
{
    struct buffer *const b = job->buffer;
    bool is_ours = take_over(b, pthread_mutex_lock(&b->mutex));

    while (is_ours && b->tail == b->head && !b->closed)
        is_ours = take_over(b, pthread_cond_wait(&b->items, &b->mutex));
    if (!is_ours)
        return false;
    const bool found = b->tail != b->head;
    if (found) {
        *item = b->slots[b->head % b->capacity];
        b->taken = b->head + 1;
        maybe_die(job, me); /* with the item and the mutex */
        b->head = b->taken;
        pthread_cond_signal(&b->room);
    }
    pthread_mutex_unlock(&b->mutex);
    return found;
}

static void end_lock(struct job *job)
{
    struct buffer *const b = job->buffer;

    if (!take_over(b, pthread_mutex_lock(&b->mutex)))
        return;
    b->closed = true;
    pthread_cond_broadcast(&b->items);
    pthread_mutex_unlock(&b->mutex);
}

static bool put_mq(struct job *job, uint64_t item)
{
    while (mq_send(job->messages, (char *)&item, sizeof item, 0))
        if (errno != EINTR)
            return false;
    return true;
}

static bool get_mq(struct job *job, size_t me, uint64_t *item)
{
    while (mq_receive(job->messages, (char *)item, sizeof *item, NULL) < 0)
        if (errno != EINTR)
            return false;
    if (*item == end_mark)
        return false;
    maybe_die(job, me);
    return true;
}

static void end_mq(struct job *job)
{
    for (size_t i = 0; i < opt.consumers; i++)
        put_mq(job, end_mark);
}

/* So few bytes are written and, from a pipe that holds such pieces alone, read in one piece. */
static bool put_pipe(struct job *job, uint64_t item)
{
    ssize_t put;

    do
        put = write(job->ends[1], &item, sizeof item);
    while (put < 0 && errno == EINTR);
    return put == sizeof item;
}

static bool get_pipe(struct job *job, size_t me, uint64_t *item)
{
    ssize_t got;

    do
        got = read(job->ends[0], item, sizeof *item);
    while (got < 0 && errno == EINTR);
    if (got != sizeof *item)
        return false;
    maybe_die(job, me);
    return true;
}

static void end_pipe(struct job *job)
{
    (void)job; /* the ends close by themselves, when the producers end */
}

static const struct choice {
    const char *name;
    bool (*put)(struct job *job, uint64_t item);
    bool (*get)(struct job *job, size_t me, uint64_t *item);
    void (*end)(struct job *job);
} choices[] = {
    { "shm", put_shm, get_shm, end_shm },
    { "lock", put_lock, get_lock, end_lock },
    { "mq", put_mq, get_mq, end_mq },
    { "pipe", put_pipe, get_pipe, end_pipe },
};

static size_t to_die(void)
{
    const size_t items = opt.producers * opt.count;

    return opt.kill < items ? opt.kill : items;
}

static int produce(struct job *job, size_t me)
{
    int64_t none = 0;

    close(job->ends[0]);
    atomic_compare_exchange_strong(&job->counts->begin_ns, &none, clock_ns());
    for (size_t i = 0; i < opt.count; i++)
        if (!job->choice->put(job, me * opt.count + i))
            return 1;
    if (atomic_fetch_sub(&job->counts->producing, 1) == 1)
        job->choice->end(job);
    return 0;
}

static int consume(struct job *job, size_t me)
{
    struct counts *const counts = job->counts;
    uint64_t item;

    close(job->ends[1]);
    while (me >= opt.kill && atomic_load(&counts->dying) < to_die())
        clock_sleep(1e-4); /* those first, so that each gets an item */
    while (job->choice->get(job, me, &item))
        atomic_fetch_add(&counts->taken[item], 1);
    const int64_t end = clock_ns();
    for (int64_t last = counts->end_ns; last < end;)
        if (atomic_compare_exchange_weak(&counts->end_ns, &last, end))
            break;
    return 0;
}

/* --fault poll_empty: looks before the producer may begin, and takes nothing for the end. */
static int poll_once(struct job *job)
{
    uint64_t item;

    const size_t got = queue_try_pop(job->queue, &item, 1);
    atomic_fetch_add(&job->counts->begun, 1);
    return got == 0 ? 0 : 1;
}

static int work(void *arg, size_t me)
{
    struct job *const job = arg;

    if (me >= opt.producers)
        return opt.fault ? poll_once(job) : consume(job, me - opt.producers);
    while (opt.fault && atomic_load(&job->counts->begun) < opt.consumers)
        clock_sleep(1e-4);
    if (!opt.fault)
        return produce(job, me);
    for (size_t i = 0; i < opt.count; i++) /* as much as fits: nobody takes it */
        queue_try_push(job->queue, &(uint64_t){ me * opt.count + i }, 1);
    return 0;
}

static void check(struct job *job)
{
    size_t missing = 0, first = 0;
    const size_t total = opt.producers * opt.count, died = job->died;

    if (died != to_die() && !opt.fault && !*job->wrong)
        snprintf(job->wrong, sizeof job->wrong, "%zu consumers died with an item, not %zu", died,
                 to_die());
    for (size_t i = 0; i < total && !*job->wrong; i++) {
        if (job->counts->taken[i] > 1)
            snprintf(job->wrong, sizeof job->wrong, "item %zu was taken %d times", i,
                     job->counts->taken[i]);
        if (job->counts->taken[i] == 0 && missing++ == 0)
            first = i;
    }
    job->lost = missing;
    if (missing != died && !*job->wrong)
        snprintf(job->wrong, sizeof job->wrong, "%zu of %zu items were not taken, the first is "
                 "item %zu%s", missing, total, first,
                 opt.fault ? ": the consumers came first, and took empty for over" : "");
}

static int open_queue(struct job *job)
{
    job->memory_bytes = queue_bytes(opt.capacity, QUEUE_MANY | QUEUE_SHARED);
    job->memory = children_map(job->memory_bytes);
    job->queue = job->memory ? queue_init(job->memory, opt.capacity, QUEUE_MANY | QUEUE_SHARED)
                             : NULL;
    return job->queue ? 0 : -1;
}

static int open_buffer(struct job *job)
{
    pthread_mutexattr_t mutex;
    pthread_condattr_t condition;

    job->memory_bytes = size_sum(sizeof(struct buffer),
                                 size_product(opt.capacity, sizeof(uint64_t)));
    job->memory = job->buffer = children_map(job->memory_bytes);
    if (!job->buffer)
        return -1;
    job->buffer->capacity = opt.capacity;
    pthread_mutexattr_init(&mutex);
    pthread_mutexattr_setpshared(&mutex, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&mutex, PTHREAD_MUTEX_ROBUST);
    pthread_condattr_init(&condition);
    pthread_condattr_setpshared(&condition, PTHREAD_PROCESS_SHARED);
    errno = pthread_mutex_init(&job->buffer->mutex, &mutex);
    errno = errno ? errno : pthread_cond_init(&job->buffer->items, &condition);
    errno = errno ? errno : pthread_cond_init(&job->buffer->room, &condition);
    pthread_condattr_destroy(&condition);
    pthread_mutexattr_destroy(&mutex);
    return errno ? -1 : 0;
}

static int open_way(struct job *job)
{
    job->ends[0] = job->ends[1] = -1;
    job->messages = (mqd_t)-1;
    if (job->choice->put == put_shm)
        return open_queue(job);
    if (job->choice->put == put_lock)
        return open_buffer(job);
    if (job->choice->put == put_pipe)
        return pipe(job->ends);
    struct mq_attr attributes = { .mq_maxmsg = 10, .mq_msgsize = sizeof(uint64_t) };
    char name[64];
    do {
        children_name("queue", name);
        job->messages = mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &attributes);
    } while (job->messages == (mqd_t)-1 && errno == EEXIST);
    if (job->messages != (mqd_t)-1)
        mq_unlink(name);
    return job->messages == (mqd_t)-1 ? -1 : 0;
}

/* The conditions are not destroyed: that would wait for who was killed asleep on one. */
static void close_way(struct job *job)
{
    if (job->queue)
        queue_destroy(job->queue);
    children_unmap(job->memory, job->memory_bytes);
    job->queue = NULL;
    job->buffer = NULL;
    job->memory = NULL;
    if (job->messages != (mqd_t)-1)
        mq_close(job->messages);
    for (int i = 0; i < 2; i++)
        if (job->ends[i] >= 0)
            close(job->ends[i]);
}

/* Consumers that --kill names may. Who died may have had the mutex, and nobody may be asking for
 * it. */
static bool may_end(void *arg, size_t who, int status)
{
    struct job *const job = arg;
    const bool is_named = who >= opt.producers && who - opt.producers < opt.kill &&
                          status == 128 + SIGKILL &&
                          ++job->died <= atomic_load(&job->counts->dying);

    if (is_named && job->buffer && take_over(job->buffer, pthread_mutex_lock(&job->buffer->mutex)))
        pthread_mutex_unlock(&job->buffer->mutex);
    return is_named;
}

/* Starts all, then closes its own ends of a pipe: the end comes when nobody can write any more. */
static void run(struct job *job)
{
    struct children children = { 0 };
    size_t who;

    memset(job->counts, 0, job->counts_bytes);
    job->counts->producing = opt.producers;
    job->died = 0;
    if (open_way(job) || children_begin(&children, opt.producers + opt.consumers, work, job))
        job->error = errno;
    for (int i = 0; i < 2 && job->ends[i] >= 0; i++) {
        close(job->ends[i]);
        job->ends[i] = -1;
    }
    if (job->error)
        ;
    else if (children_join(&children, may_end, job, &who))
        check(job);
    else
        children_tell(&children, who, job->wrong, sizeof job->wrong);
    if (!job->error)
        job->samples[job->runs++] = clock_secs(job->counts->begin_ns, job->counts->end_ns);
    children_close(&children);
    close_way(job);
}

static void add_row(struct program *program, const struct job *job)
{
    const bool right = !*job->wrong, timed = right && !opt.fault;
    const double items = (double)(opt.producers * opt.count);
    struct record row = program->record;
    struct summary summary = { 0 };

    stats_summarize(job->samples, job->runs, &summary);
    record_text(&row, "variant", job->choice->name);
    record_int(&row, "producers", (int64_t)opt.producers);
    record_int(&row, "consumers", (int64_t)opt.consumers);
    record_int(&row, "count", (int64_t)opt.count);
    record_int(&row, "lost", (int64_t)job->lost);
    record_summary(&row, &summary, timed);
    record_real(&row, "items_per_s", timed && items > 0 ? items / summary.median : NAN);
    record_bool(&row, "verified", right);
    program_row(program, &row);
}

/* In turns: from the first item in to the last one out, without the start of the processes. */
static enum status compare(struct program *program, struct job *jobs, size_t count)
{
    const double budget = opt.fault ? 0 : (double)count * opt.secs;
    const int64_t begin = clock_ns();
    bool goes_on = true;

    for (size_t round = 0; round < opt.iterations && goes_on; round++) {
        for (size_t i = 0; i < count && goes_on; i++) {
            run(&jobs[i]);
            goes_on = !jobs[i].error && !*jobs[i].wrong;
        }
        goes_on = goes_on && clock_secs(begin, clock_ns()) < budget;
    }
    for (size_t i = 0; i < count; i++) {
        if (jobs[i].error) {
            program_error("%s, %zu processes: %s: give smaller numbers", jobs[i].choice->name,
                          opt.producers + opt.consumers, strerror(jobs[i].error));
            return UNABLE;
        }
        add_row(program, &jobs[i]);
        if (*jobs[i].wrong)
            return program_verdict(program, false, "%s: %s",
                                   opt.fault ? opt.fault : jobs[i].choice->name, jobs[i].wrong);
        if (jobs[i].lost > 0)
            program_note(program, "%s: %zu items were lost with the consumers that held them, no "
                         "other", jobs[i].choice->name, jobs[i].lost);
    }
    return PASS;
}

int main(int argc, char **argv)
{
    struct program program;
    enum status status = program_open(&program, argc, argv, options, &opt.consumers);
    struct job jobs[LENGTH(choices)] = { 0 };
    size_t count = 0;

    if (status == PASS && opt.kill >= opt.consumers)
        status = program_usage(&program, "--kill %zu: one of the %zu consumers at least must live",
                               opt.kill, opt.consumers);
    const size_t bytes = size_sum(sizeof(struct counts), size_product(opt.producers, opt.count));
    const bool fits = status == PASS && memory_room(bytes) == 0;
    struct counts *const counts = fits ? children_map(bytes) : NULL;
    double *const samples = size_alloc(size_product(LENGTH(choices), opt.iterations),
                                       sizeof *samples);
    if (status == PASS && (!counts || !samples)) {
        program_error("no memory for %zu items and %zu samples: give smaller numbers",
                      opt.producers * opt.count, opt.iterations);
        status = UNABLE;
    }
    for (size_t i = 0; i < LENGTH(choices) && status == PASS; i++)
        if (opt.fault ? i == 0
                      : arg_is(opt.variant, choices[i].name) || arg_is(opt.variant, "all"))
            jobs[count++] = (struct job){ .choice = &choices[i], .counts = counts,
                                          .counts_bytes = bytes,
                                          .samples = samples + i * opt.iterations };
    if (status == PASS)
        status = compare(&program, jobs, count);
    free(samples);
    children_unmap(counts, bytes);
    program_fault(&program, opt.fault, status == PASS, "there are no items");
    if (status == PASS)
        program_verdict(&program, true, "%zu items, each taken once%s", opt.producers * opt.count,
                        opt.kill ? ", but those that killed consumers held" : "");
    return program_close(&program, status);
}
