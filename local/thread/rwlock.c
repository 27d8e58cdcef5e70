/*
 * rwlock - one writes, many read
 *
 * Writers make new versions of a record of several words; readers copy it out and look whether all
 * words belong to one version.
 *
 *   rwlock    readers hold it together, a writer alone (pthread_rwlock); most systems prefer readers,
 *             so a writer may wait for long
 *   mutex     one at a time, reader or writer: for a record as short as this one often quicker
 *   sequence  readers take no lock: they look at a number before and after, which is odd while a
 *             writer is at work, and read again if it has changed (Lameter 2005; without data races
 *             as in Boehm, MSPC 2012)
 *
 * What can go wrong: a reader that wants to write asks for the write lock without giving the read
 * lock back, and waits for itself (--fault upgrade). Without any lock a reader meets half a record
 * (--fault unlocked).
 *
 * Run:     make run P=rwlock ARGS="--readers 2 --variant all"
 * Try:     --variant all --writers 0, 1, 4: from what share of writes on is the mutex the quickest?
 * Try:     --words 64 --variant all: does a longer record change the order?
 * Test:    --variant all --reads 1001
 * Test:    --variant all --readers 8 --writers 3 --reads 501 --words 33
 * Test:    --variant all --readers 64 --writers 1 --reads 7
 * Test:    --variant all --writers 0 --reads 3
 * Test:    --variant all --reads 0
 * Test(3): --fault upgrade --limit 100ms
 * Test(1): --fault unlocked
 * Test(1): --fault unlocked --words 2
 * Test(2): --readers 0
 * Test(2): --words 1
 * Test(2): --words 1025
 * Test(2): --reads 1152921504606846976
 */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "local/lib/clock.h"
#include "local/lib/line.h"
#include "local/lib/program.h"
#include "local/lib/team.h"
#include "local/lib/turns.h"
#include "local/lib/wait.h"

enum { WORDS_MAX = 1024 };

static struct {
    size_t readers, writers, reads, words, iterations;
    double limit, secs;
    const char *variant, *fault;
} opt = { .readers = 3, .writers = 1, .reads = 10000, .words = 8, .iterations = 10000, .limit = 0.2,
          .secs = 0.5, .variant = "rwlock" };

static const struct arg options[] = {
    { "readers", ARG_SIZE, &opt.readers, "threads that read", .min = 1, .max = TEAM_MAX },
    { "writers", ARG_SIZE, &opt.writers, "threads that write, a tenth as often as one reads",
      .max = TEAM_MAX },
    { "reads", ARG_SIZE, &opt.reads, "reads of each reader", .max = TEAM_COUNT_MAX },
    { "words", ARG_SIZE, &opt.words, "words of the record", .min = 2, .max = WORDS_MAX },
    { "variant", ARG_CHOICE, &opt.variant, "what keeps a record whole",
      .choices = "rwlock|mutex|sequence|all" },
    { "fault", ARG_CHOICE, &opt.fault, "make a mistake on purpose", .choices = "upgrade|unlocked" },
    { "limit", ARG_SECS, &opt.limit, "upgrade: how long to wait for oneself",
      .max = TEAM_SECS_MAX },
    { "seconds", ARG_SECS, &opt.secs, "time budget for one row" },
    { "iterations", ARG_SIZE, &opt.iterations, "samples of one row at most", .min = 1,
      .max = SAMPLES_MAX },
    ARGS_END,
};

/* The words are atomic for the readers that take no lock; a relaxed load or store of a word costs
 * what an ordinary one does. */
struct record_of_words {
    const char *name;
    const struct choice *choice;
    pthread_rwlock_t rwlock;
    pthread_mutex_t mutex;
    atomic_size_t sequence;
    _Atomic uint64_t *words;
    sem_t half, looked; /* unlocked: half is written; the reader has looked */
    atomic_size_t torn, backwards;
    int error;
};

static void copy_out(struct record_of_words *r, uint64_t *copy)
{
    for (size_t i = 0; i < opt.words; i++)
        copy[i] = atomic_load_explicit(&r->words[i], memory_order_relaxed);
}

static void next_version(struct record_of_words *r)
{
    for (size_t i = 0; i < opt.words; i++)
        atomic_store_explicit(&r->words[i], 1 + atomic_load_explicit(&r->words[i], memory_order_relaxed),
                              memory_order_relaxed);
}

static void read_rwlock(struct record_of_words *r, uint64_t *copy)
{
    pthread_rwlock_rdlock(&r->rwlock);
    copy_out(r, copy);
    pthread_rwlock_unlock(&r->rwlock);
}

static void write_rwlock(struct record_of_words *r)
{
    pthread_rwlock_wrlock(&r->rwlock);
    next_version(r);
    pthread_rwlock_unlock(&r->rwlock);
}

static void read_mutex(struct record_of_words *r, uint64_t *copy)
{
    pthread_mutex_lock(&r->mutex);
    copy_out(r, copy);
    pthread_mutex_unlock(&r->mutex);
}

static void write_mutex(struct record_of_words *r)
{
    pthread_mutex_lock(&r->mutex);
    next_version(r);
    pthread_mutex_unlock(&r->mutex);
}

/*
 * The loads of the words acquire: none of them, nor the second look at the number behind them, can
 * come before the one in front. A word of a later version was stored (release) after the number
 * became odd, so whoever read it sees the number changed.
 */
static void read_sequence(struct record_of_words *r, uint64_t *copy)
{
    for (unsigned looks = 0;; looks++) {
        const size_t before = atomic_load_explicit(&r->sequence, memory_order_acquire);
        if (before % 2 == 0) {
            for (size_t i = 0; i < opt.words; i++)
                copy[i] = atomic_load_explicit(&r->words[i], memory_order_acquire);
            if (atomic_load_explicit(&r->sequence, memory_order_relaxed) == before)
                return;
        }
        line_wait(looks);
    }
}

static void write_sequence(struct record_of_words *r)
{
    pthread_mutex_lock(&r->mutex); /* writers among themselves */
    const size_t before = atomic_load_explicit(&r->sequence, memory_order_relaxed);
    atomic_store_explicit(&r->sequence, before + 1, memory_order_relaxed);
    for (size_t i = 0; i < opt.words; i++)
        atomic_store_explicit(&r->words[i], 1 + atomic_load_explicit(&r->words[i], memory_order_relaxed),
                              memory_order_release);
    atomic_store_explicit(&r->sequence, before + 2, memory_order_release);
    pthread_mutex_unlock(&r->mutex);
}

/* --fault unlocked: the reader looks when half of the words are new. */
static void read_unlocked(struct record_of_words *r, uint64_t *copy)
{
    while (sem_wait(&r->half) && errno == EINTR)
        continue;
    copy_out(r, copy);
    sem_post(&r->looked);
}

static void write_unlocked(struct record_of_words *r)
{
    for (size_t i = 0; i < opt.words; i++) {
        if (i == opt.words / 2) {
            sem_post(&r->half);
            while (sem_wait(&r->looked) && errno == EINTR)
                continue;
        }
        atomic_store_explicit(&r->words[i], 1, memory_order_relaxed);
    }
}

static const struct choice {
    const char *name;
    void (*read)(struct record_of_words *record, uint64_t *copy);
    void (*write)(struct record_of_words *record);
} choices[] = {
    { "rwlock", read_rwlock, write_rwlock },
    { "mutex", read_mutex, write_mutex },
    { "sequence", read_sequence, write_sequence },
    { "unlocked", read_unlocked, write_unlocked },
};

static void reader(struct record_of_words *r, size_t reads)
{
    uint64_t copy[WORDS_MAX], last = 0;

    for (size_t k = 0; k < reads; k++) {
        r->choice->read(r, copy);
        for (size_t i = 1; i < opt.words; i++) {
            if (copy[i] != copy[0]) {
                atomic_fetch_add(&r->torn, 1);
                break;
            }
        }
        if (copy[0] < last)
            atomic_fetch_add(&r->backwards, 1);
        last = copy[0];
    }
}

static size_t writes_of_each(void)
{
    return (opt.reads + 9) / 10;
}

static void work(void *arg, size_t me)
{
    struct record_of_words *const r = arg;

    if (opt.fault && me > 1)
        return; /* one writer and one reader are enough to show it */
    if (opt.fault ? me == 1 : me >= opt.readers) {
        for (size_t k = 0; k < (opt.fault ? 1 : writes_of_each()); k++)
            r->choice->write(r);
    } else {
        reader(r, opt.fault ? 1 : opt.reads);
    }
}

static void run(void *arg)
{
    struct record_of_words *const r = arg;

    for (size_t i = 0; i < opt.words; i++)
        atomic_store(&r->words[i], 0);
    if (team_run(opt.fault ? 2 : opt.readers + opt.writers, work, r))
        r->error = errno;
}

/* --fault upgrade: the only reader wants to write, and does not let go first. */
static enum status upgrade(struct program *program)
{
    pthread_rwlock_t lock;

    pthread_rwlock_init(&lock, NULL);
    pthread_rwlock_rdlock(&lock);
    /* No other thread knows this lock: nobody will give it back. */
    const struct timespec deadline = clock_deadline(opt.limit);
    const int error = wait_to_write(&lock, &deadline);
    pthread_rwlock_unlock(&lock);
    pthread_rwlock_destroy(&lock);
    if (error == EDEADLK)
        program_note(program, "this system notices it: %s", strerror(error));
    else if (error != ETIMEDOUT)
        return PASS;
    program_verdict(program, false, "upgrade: the writer waits for the last reader to let go, and "
                    "that is its own thread");
    return STALLED;
}

static void open_record(struct record_of_words *r, const struct choice *choice)
{
    *r = (struct record_of_words){ .name = choice->name, .choice = choice,
                                   .words = calloc(opt.words, sizeof *r->words) };
    r->error = r->words ? 0 : ENOMEM;
    pthread_rwlock_init(&r->rwlock, NULL);
    pthread_mutex_init(&r->mutex, NULL);
    sem_init(&r->half, 0, 0);
    sem_init(&r->looked, 0, 0);
}

static void close_record(struct record_of_words *r)
{
    sem_destroy(&r->looked);
    sem_destroy(&r->half);
    pthread_mutex_destroy(&r->mutex);
    pthread_rwlock_destroy(&r->rwlock);
    free((void *)r->words);
}

static enum status check(struct program *program, const struct record_of_words *r)
{
    const uint64_t writes = opt.fault ? 1 : opt.writers * writes_of_each();

    if (r->torn > 0)
        return program_verdict(program, false, "%s: %zu readers met a record whose words are of "
                               "different versions", r->name, (size_t)r->torn);
    if (r->backwards > 0)
        return program_verdict(program, false, "%s: %zu readers met an older version after a newer "
                               "one", r->name, (size_t)r->backwards);
    for (size_t i = 0; i < opt.words; i++)
        if (r->words[i] != writes)
            return program_verdict(program, false, "%s: word %zu is of version %" PRIu64 ", not %"
                                   PRIu64, r->name, i, r->words[i], writes);
    return PASS;
}

static void add_row(struct program *program, const struct record_of_words *r,
                    const struct turn *turn, bool right)
{
    const bool timed = right && turn->summary.count > 0;
    struct record row = program->record;

    record_text(&row, "variant", r->name);
    record_int(&row, "readers", (int64_t)opt.readers);
    record_int(&row, "writers", (int64_t)opt.writers);
    record_int(&row, "reads", (int64_t)opt.reads);
    record_summary(&row, &turn->summary, timed);
    record_real(&row, "reads_per_s", timed && opt.reads
                    ? (double)(opt.readers * opt.reads) / turn->summary.median : NAN);
    record_bool(&row, "verified", right);
    program_row(program, &row);
}

static enum status compare(struct program *program, struct record_of_words *records, size_t count)
{
    const struct stop_rule rule = { 10, opt.iterations, opt.secs, 0.02 };
    struct turn turns[4] = { 0 };
    enum status status = PASS;
    int error = 0;

    for (size_t i = 0; i < count; i++) {
        turns[i] = (struct turn){ .operation = run, .arg = &records[i] };
        error = error ? error : records[i].error;
    }
    if (!error && opt.fault)
        run(&records[0]);
    else if (!error && turns_run(turns, count, &rule))
        error = errno;
    for (size_t i = 0; i < count; i++)
        error = error ? error : records[i].error;
    if (error) {
        program_error("%zu threads: %s: give smaller numbers", opt.readers + opt.writers,
                      strerror(error));
        return UNABLE;
    }
    for (size_t i = 0; i < count && status == PASS; i++) {
        status = check(program, &records[i]);
        add_row(program, &records[i], &turns[i], status == PASS);
    }
    return status;
}

int main(int argc, char **argv)
{
    struct program program;
    enum status status = program_open(&program, argc, argv, options, &opt.readers);
    struct record_of_words records[4];
    size_t count = 0;

    if (status == PASS && arg_is(opt.fault, "upgrade")) {
        status = upgrade(&program);
        program_fault(&program, opt.fault, status == PASS, "this system's lock lets its reader write");
        return program_close(&program, status);
    }
    for (size_t i = 0; i < 4 && status == PASS; i++) {
        const bool is_fault = choices[i].read == read_unlocked;
        if (opt.fault ? is_fault
                      : !is_fault && (arg_is(opt.variant, choices[i].name) ||
                                      arg_is(opt.variant, "all")))
            open_record(&records[count++], &choices[i]);
    }
    if (status == PASS)
        status = compare(&program, records, count);
    for (size_t i = 0; i < count; i++)
        close_record(&records[i]);
    if (status == PASS)
        program_verdict(&program, true, "every record that was read is of one version, and no "
                        "version is older than the one before");
    return program_close(&program, status);
}
