/*
 * rlock - a lock that its owner may take again, and why one seldom needs it
 *
 * A box holds items. One thread adds some, one by one, another removes some; each public step takes
 * the lock, and calls an inner step that needs it as well. With an ordinary mutex the owner would
 * now wait for itself. Two ways:
 *
 *   recursive  the mutex counts how often its owner has taken it (PTHREAD_MUTEX_RECURSIVE); --depth
 *              says how many steps deep it goes
 *   split      the inner step takes no lock: it is only called by those who hold it
 *
 * Who removes waits while the box is empty; a condition cannot be waited for with a lock that was
 * taken twice, so it waits outermost.
 *
 * What can go wrong: the inner step takes an ordinary mutex that its caller holds (--fault normal).
 * It waits for ever; a mutex that checks for errors says EDEADLK instead.
 *
 * Run:     make run P=rlock ARGS="--variant all"
 * Try:     --variant all --depth 64: what does a lock cost that one holds already?
 * Try:     --fault normal: what does the error-checking mutex say?
 * Test:    --variant all
 * Test:    --variant all --add 0 --remove 0
 * Test:    --variant all --add 1001 --remove 1001 --depth 1
 * Test:    --variant all --add 7 --remove 1 --depth 100
 * Test(3): --fault normal --limit 100ms
 * Test(2): --add 3 --remove 4
 * Test(2): --depth 0
 * Test(2): --depth 1M
 * Test(2): --depth 9223372036854775808
 * Test(2): --iterations 9223372036854775808
 */
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "local/lib/clock.h"
#include "local/lib/program.h"
#include "local/lib/team.h"
#include "local/lib/turns.h"
#include "local/lib/wait.h"

#define LENGTH(array) (sizeof(array) / sizeof *(array))

/* A step takes well below so much of a thread's stack, under a sanitizer too. */
enum { STEP_BYTES = 512, DEPTH_MAX = 1 << 20 };

static struct {
    size_t add, remove, depth, iterations;
    double limit, secs;
    const char *variant, *fault;
} opt = { .add = 15, .remove = 10, .depth = 2, .iterations = 10000, .limit = 0.2, .secs = 0.5,
          .variant = "recursive" };

static const struct arg options[] = {
    { "add", ARG_SIZE, &opt.add, "items that are added", .max = TEAM_COUNT_MAX },
    { "remove", ARG_SIZE, &opt.remove, "items that are removed, at most as many",
      .max = TEAM_COUNT_MAX },
    { "depth", ARG_SIZE, &opt.depth, "steps within steps that need the lock; the stack bounds them",
      .min = 1, .max = DEPTH_MAX },
    { "variant", ARG_CHOICE, &opt.variant, "how the inner step gets by", .choices = "recursive|split|all" },
    { "fault", ARG_CHOICE, &opt.fault, "make a mistake on purpose", .choices = "normal" },
    { "limit", ARG_SECS, &opt.limit, "normal: how long to wait for oneself",
      .max = TEAM_SECS_MAX },
    { "seconds", ARG_SECS, &opt.secs, "time budget for one row" },
    { "iterations", ARG_SIZE, &opt.iterations, "samples of one row at most", .min = 1,
      .max = SAMPLES_MAX },
    ARGS_END,
};

struct box {
    const char *variant;
    bool recursive;
    pthread_mutex_t lock;
    pthread_cond_t added;
    long items, least; /* now, and at any time */
    size_t held;       /* how often the owner has taken the lock */
    int error;
};

static void take(struct box *box)
{
    pthread_mutex_lock(&box->lock);
    box->held++;
}

static void give(struct box *box)
{
    box->held--;
    pthread_mutex_unlock(&box->lock);
}

static void change(struct box *box, long by)
{
    box->items += by;
    if (box->items < box->least)
        box->least = box->items;
}

/* The inner step, which is called with the lock held: takes it once more, and goes on inwards. */
static void change_recursive(struct box *box, long by, size_t depth)
{
    if (depth == 0) {
        change(box, by);
        return;
    }
    take(box);
    change_recursive(box, by, depth - 1);
    give(box);
}

/* The same, relying on its caller. */
static void change_split(struct box *box, long by, size_t depth)
{
    if (depth == 0)
        change(box, by);
    else
        change_split(box, by, depth - 1);
}

static void step(struct box *box, long by)
{
    take(box);
    while (box->items + by < 0) {
        box->held--; /* the wait gives the lock up */
        pthread_cond_wait(&box->added, &box->lock);
        box->held++;
    }
    if (box->recursive)
        change_recursive(box, by, opt.depth - 1);
    else
        change_split(box, by, opt.depth - 1);
    if (by > 0)
        pthread_cond_signal(&box->added);
    give(box);
}

static void work(void *arg, size_t me)
{
    struct box *const box = arg;
    const size_t count = me == 0 ? opt.add : opt.remove;

    for (size_t i = 0; i < count; i++)
        step(box, me == 0 ? 1 : -1);
}

static void run(void *arg)
{
    struct box *const box = arg;

    box->items = 0;
    if (team_run(2, work, box))
        box->error = errno;
}

static void box_open(struct box *box, const char *variant)
{
    pthread_mutexattr_t kind;

    *box = (struct box){ .variant = variant, .recursive = strcmp(variant, "recursive") == 0 };
    pthread_mutexattr_init(&kind);
    if (box->recursive)
        pthread_mutexattr_settype(&kind, PTHREAD_MUTEX_RECURSIVE);
    box->error = pthread_mutex_init(&box->lock, &kind);
    pthread_mutexattr_destroy(&kind);
    pthread_cond_init(&box->added, NULL);
}

static void box_close(struct box *box)
{
    pthread_cond_destroy(&box->added);
    pthread_mutex_destroy(&box->lock);
}

static enum status check(struct program *program, const struct box *box)
{
    const long expected = (long)opt.add - (long)opt.remove;

    if (box->items != expected)
        return program_verdict(program, false, "%s: the box holds %ld items, not %ld", box->variant,
                               box->items, expected);
    if (box->least < 0)
        return program_verdict(program, false, "%s: the box once held %ld items", box->variant,
                               box->least);
    if (box->held != 0)
        return program_verdict(program, false, "%s: the lock is still held %zu times", box->variant,
                               box->held);
    return PASS;
}

static void add_row(struct program *program, const struct box *box, const struct turn *turn,
                    bool right)
{
    const size_t locks = (opt.add + opt.remove) * (box->recursive ? opt.depth : 1);
    struct record row = program->record;

    record_text(&row, "variant", box->variant);
    record_int(&row, "depth", (int64_t)opt.depth);
    record_summary(&row, &turn->summary, right);
    record_real(&row, "lock_s", right && locks ? turn->summary.median / (double)locks : NAN);
    record_bool(&row, "verified", right);
    program_row(program, &row);
}

/* --fault normal: the owner asks again, of a mutex that checks and of one that does not. */
static enum status lock_twice(struct program *program)
{
    pthread_mutexattr_t kind;
    pthread_mutex_t checking, normal;

    pthread_mutexattr_init(&kind);
    pthread_mutexattr_settype(&kind, PTHREAD_MUTEX_ERRORCHECK);
    pthread_mutex_init(&checking, &kind);
    pthread_mutexattr_settype(&kind, PTHREAD_MUTEX_NORMAL);
    pthread_mutex_init(&normal, &kind);
    pthread_mutexattr_destroy(&kind);

    pthread_mutex_lock(&checking);
    const int said = pthread_mutex_lock(&checking);
    pthread_mutex_unlock(&checking);
    pthread_mutex_lock(&normal);
    /* No other thread knows this lock: nobody will give it back. */
    const struct timespec deadline = clock_deadline(opt.limit);
    const int error = wait_mutex(&normal, &deadline);
    if (error == 0)
        pthread_mutex_unlock(&normal);
    pthread_mutex_unlock(&normal);
    pthread_mutex_destroy(&normal);
    pthread_mutex_destroy(&checking);

    program_note(program, "an error-checking mutex answers its owner: %s", strerror(said));
    if (error != ETIMEDOUT || said != EDEADLK)
        return PASS;
    program_verdict(program, false, "normal: the inner step waits for the lock, which its own "
                    "thread holds: for ever");
    return STALLED;
}

static enum status compare(struct program *program, struct box *boxes, size_t count)
{
    const struct stop_rule rule = { 10, opt.iterations, opt.secs, 0.02 };
    struct turn turns[2];
    enum status status = PASS;

    for (size_t i = 0; i < count; i++)
        turns[i] = (struct turn){ .operation = run, .arg = &boxes[i] };
    if (turns_run(turns, count, &rule))
        boxes[0].error = errno;
    for (size_t i = 0; i < count && status == PASS; i++) {
        if (boxes[i].error) {
            program_error("two threads: %s", strerror(boxes[i].error));
            return UNABLE;
        }
        status = check(program, &boxes[i]);
        add_row(program, &boxes[i], &turns[i], status == PASS);
    }
    return status;
}

/* Steps that fit half of the stack that a thread gets: by RLIMIT_STACK, on Linux. */
static size_t deepest(void)
{
    pthread_attr_t attributes;
    size_t bytes = 0;

    pthread_attr_init(&attributes);
    pthread_attr_getstacksize(&attributes, &bytes);
    pthread_attr_destroy(&attributes);
    return bytes / 2 / STEP_BYTES;
}

int main(int argc, char **argv)
{
    static const char *const variants[] = { "recursive", "split" };
    static const size_t workers = 2;
    struct program program;
    enum status status = program_open(&program, argc, argv, options, &workers);
    struct box boxes[LENGTH(variants)];
    size_t count = 0;

    if (status == PASS && opt.remove > opt.add)
        status = program_usage(&program, "--remove %zu: the box never holds so many: at most the "
                               "%zu of --add", opt.remove, opt.add);
    if (status == PASS && opt.depth > deepest())
        status = program_usage(&program, "--depth %zu: too deep for a thread's stack: at most %zu, or "
                               "give it more by ulimit -s", opt.depth, deepest());
    if (status == PASS && opt.fault) {
        status = lock_twice(&program);
        program_fault(&program, opt.fault, status == PASS, "this system's mutexes let the owner in");
        return program_close(&program, status);
    }
    for (size_t i = 0; i < LENGTH(variants) && status == PASS; i++)
        if (arg_is(opt.variant, variants[i]) || arg_is(opt.variant, "all"))
            box_open(&boxes[count++], variants[i]);
    if (status == PASS)
        status = compare(&program, boxes, count);
    for (size_t i = 0; i < count; i++)
        box_close(&boxes[i]);
    if (status == PASS)
        program_verdict(&program, true, "%zu items added and %zu removed: %zu are left, and there "
                        "were never less than none", opt.add, opt.remove, opt.add - opt.remove);
    return program_close(&program, status);
}
