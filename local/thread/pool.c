/*
 * pool - a few threads run many tasks, and futures bring the results home
 *
 * Task i computes the cube of i. Submitting it gives a future: a place that will hold the result.
 * The futures are waited for in the order of submission, so the map keeps its order whichever
 * worker ends first. A task that fails leaves its error in its future, where the one who waits
 * finds it, and the others go on (--fail K). Shutting the pool down runs what was submitted before.
 *
 * A task costs something to hand over. The table shows the time of a task of so many steps in the
 * pool and without it: below the break-even grain the pool is slower than a plain loop.
 *
 * A task may submit a subtask and wait for it: pool_wait() runs waiting tasks meanwhile, perhaps
 * the very one.
 *
 * What can go wrong: a task waits for its subtask in another way, here on a semaphore. When every
 * worker stands there, nobody is left to run a subtask (--fault nested).
 *
 * Run:     make run P=thread/pool ARGS="--workers 2"
 * Try:     --grain 1:64K: from which grain on does the pool win, and by how much at last?
 * Try:     --fail 7: the other 99 results are there
 * Try:     --fault nested --workers 3: who waits for whom?
 * Test:    --count 100 --grain 1:4
 * Test:    --count 0
 * Test:    --count 1 --workers 64
 * Test:    --count 4095 --workers 3 --capacity 2
 * Test(1): --fail 7
 * Test:    --fail 100
 * Test(3): --fault nested --limit 100ms
 * Test(3): --fault nested --limit 100ms --workers 1
 * Test(3): --fault nested --limit 0
 * Test(2): --workers 0
 * Test(2): --iterations 9223372036854775808
 * Test(77): --count 100G
 * Test(2): --capacity 1000G
 */
#include <errno.h>
#include <math.h>
#include <sched.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>

#include "local/lib/clock.h"
#include "local/lib/memory.h"
#include "local/lib/pool.h"
#include "local/lib/program.h"
#include "local/lib/size.h"
#include "local/lib/stats.h"
#include "local/lib/team.h"
#include "local/lib/wait.h"

enum {
    PLACES_MAX = 1 << 26, /* 1 GiB */
    GRAIN_MAX = 1 << 24,  /* some tens of milliseconds: far above any break-even */
};

static struct {
    size_t workers, count, capacity, fail, iterations;
    struct range grain;
    double secs, limit;
    const char *fault;
} opt = { .workers = 4, .count = 100, .capacity = 1024, .fail = SIZE_MAX, .iterations = 10000,
          .grain = { 1, 4096 }, .secs = 0.2, .limit = 0.2 };

static const struct arg options[] = {
    { "workers", ARG_SIZE, &opt.workers, "threads of the pool", .min = 1, .max = TEAM_MAX },
    { "count", ARG_SIZE, &opt.count, "tasks", .max = TEAM_COUNT_MAX },
    { "capacity", ARG_SIZE, &opt.capacity, "tasks that await their turn at most", .min = 1,
      .max = PLACES_MAX },
    { "grain", ARG_RANGE, &opt.grain, "steps of a task that is timed: one row each", .min = 1,
      .max = GRAIN_MAX },
    { "fail", ARG_SIZE, &opt.fail, "the task of this number fails" },
    { "fault", ARG_CHOICE, &opt.fault, "make a mistake on purpose", .choices = "nested" },
    { "limit", ARG_SECS, &opt.limit, "how long to wait before asking whether a worker is free",
      .max = TEAM_SECS_MAX },
    { "seconds", ARG_SECS, &opt.secs, "time budget for one row" },
    { "iterations", ARG_SIZE, &opt.iterations, "samples of one row at most", .min = 1,
      .max = SAMPLES_MAX },
    ARGS_END,
};

/* The future of a cube: a task, and the place for its result. */
struct cube {
    struct task task;
    uint64_t number, result;
    size_t steps;
    atomic_int runs;
    struct pool *pool; /* of a task with a subtask */
    struct cube *sub;
    sem_t *done;       /* --fault nested: posted by the subtask */
};

static int cube(struct task *task)
{
    struct cube *const mine = (struct cube *)task;

    atomic_fetch_add(&mine->runs, 1);
    if (mine->number == opt.fail)
        return EDOM;
    mine->result = mine->number * mine->number * mine->number;
    if (mine->done)
        sem_post(mine->done);
    return 0;
}

/* Like the cube, but each step needs the one before: no compiler can leave them out. */
static int steps(struct task *task)
{
    struct cube *const mine = (struct cube *)task;
    uint64_t x = mine->number;

    for (size_t i = 0; i < mine->steps; i++)
        x = x * 6364136223846793005 + 1442695040888963407;
    mine->result = x;
    return 0;
}

static atomic_size_t begun;   /* tasks with a subtask */
static atomic_size_t waiting; /* --fault nested: those that wait on their semaphore, or have */

/* Returns 0, or ETIMEDOUT: all workers of the pool wait, and none is left to run the subtask. That
 * is counted; the limit alone says nothing, a worker may only be slow. */
static int wait_nested(sem_t *done)
{
    int error;

    atomic_fetch_add(&waiting, 1);
    do {
        const struct timespec deadline = clock_deadline(opt.limit);
        error = wait_semaphore(done, &deadline);
    } while (error == ETIMEDOUT && atomic_load(&waiting) < opt.workers);
    return error;
}

/* Leaves the cube to a subtask. All workers get as far before the first one submits: not by chance
 * will one of them be free. */
static int nested(struct task *task)
{
    struct cube *const mine = (struct cube *)task;

    atomic_fetch_add(&mine->runs, 1);
    atomic_fetch_add(&begun, 1);
    while (atomic_load(&begun) < opt.workers)
        sched_yield();
    pool_submit(mine->pool, &mine->sub->task);
    const int error = mine->sub->done ? wait_nested(mine->sub->done) : 0;
    if (error)
        return error;
    if (!mine->sub->done)
        pool_wait(mine->pool, &mine->sub->task, HUGE_VAL);
    mine->result = mine->sub->result;
    return 0;
}

/* Cubes by addition alone: (i + 1)^3 = i^3 + 3 i^2 + 3 i + 1. PASS, or what is wrong, told. */
static enum status check(struct program *program, const struct cube *cubes, size_t count)
{
    uint64_t expected = 0, step = 1, growth = 6;

    for (size_t i = 0; i < count; i++) {
        if (cubes[i].runs != 1)
            return program_verdict(program, false, "task %zu was run %d times", i, cubes[i].runs);
        if (cubes[i].task.error)
            return program_verdict(program, false, "task %zu of %zu failed: %s; the others are done",
                                   i, count, strerror(cubes[i].task.error));
        if (cubes[i].result != expected)
            return program_verdict(program, false, "task %zu: %llu, not %llu", i,
                                   (unsigned long long)cubes[i].result,
                                   (unsigned long long)expected);
        expected += step;
        step += growth;
        growth += 6;
    }
    return PASS;
}

/* The even half is waited for, the odd half left to the shutdown. */
static enum status map(struct program *program, struct cube *cubes)
{
    struct pool *const pool = pool_open(opt.workers, opt.capacity);

    if (!pool)
        return UNABLE;
    for (size_t i = 0; i < opt.count; i++) {
        cubes[i] = (struct cube){ .task.run = cube, .number = i };
        pool_submit(pool, &cubes[i].task);
    }
    for (size_t i = 0; i < opt.count; i += 2)
        pool_wait(pool, &cubes[i].task, HUGE_VAL);
    pool_close(pool);
    return check(program, cubes, opt.count);
}

/* A task for each worker, which leaves its work to a subtask. */
static enum status map_nested(struct program *program)
{
    struct cube *const outer = calloc(2 * opt.workers, sizeof *outer);
    struct cube *const inner = outer + opt.workers;
    sem_t *const done = opt.fault ? calloc(opt.workers, sizeof *done) : NULL;
    struct pool *const pool =
        outer && (done || !opt.fault) ? pool_open(opt.workers, opt.workers) : NULL;
    enum status status = UNABLE;
    bool stalled = false;

    for (size_t i = 0; pool && i < opt.workers; i++) {
        if (done)
            sem_init(&done[i], 0, 0);
        inner[i] = (struct cube){ .task.run = cube, .number = i, .done = done ? &done[i] : NULL };
        outer[i] = (struct cube){ .task.run = nested, .number = i, .pool = pool, .sub = &inner[i] };
        pool_submit(pool, &outer[i].task);
    }
    if (pool) {
        pool_close(pool);
        for (size_t i = 0; i < opt.workers; i++)
            stalled |= outer[i].task.error == ETIMEDOUT;
        status = stalled ? STALLED : check(program, outer, opt.workers);
    }
    if (status == STALLED)
        program_verdict(program, false, "nested: all %zu workers waited on a semaphore, each for "
                        "a subtask in the queue of this pool: none was left to run one",
                        opt.workers);
    free(done);
    free(outer);
    return status;
}

/* Seconds for a task of so many steps, in the pool and in a plain loop. */
struct pair {
    double pool, serial;
};

static struct pair time_once(struct pool *pool, struct cube *cubes, size_t count, size_t grain)
{
    const int64_t begin = clock_ns();
    for (size_t i = 0; i < count; i++) {
        cubes[i].task.run = steps;
        cubes[i].number = i;
        cubes[i].steps = grain;
        pool_submit(pool, &cubes[i].task);
    }
    for (size_t i = 0; i < count; i++)
        pool_wait(pool, &cubes[i].task, HUGE_VAL);
    const int64_t middle = clock_ns();
    for (size_t i = 0; i < count; i++)
        steps(&cubes[i].task);
    const int64_t end = clock_ns();
    return (struct pair){ clock_secs(begin, middle) / (double)count,
                          clock_secs(middle, end) / (double)count };
}

static void add_row(struct program *program, size_t grain, const struct summary *pool,
                    const struct summary *serial)
{
    struct record row = program->record;

    record_int(&row, "steps", (int64_t)grain);
    record_int(&row, "count", (int64_t)opt.count);
    record_summary(&row, pool, true);
    record_real(&row, "tasks_per_s", 1 / pool->median);
    record_real(&row, "serial_s", serial->median);
    record_real(&row, "speedup", serial->median / pool->median);
    record_bool(&row, "verified", true);
    program_row(program, &row);
}

/* Pool and loop take turns; a row for each grain. */
static enum status time_grains(struct program *program, struct cube *cubes)
{
    const struct stop_rule rule = { 30, opt.iterations, opt.secs, 0.02 };
    double *const samples = size_alloc(size_product(2, opt.iterations), sizeof *samples);
    double *const serial = samples + opt.iterations;
    struct pool *const pool = pool_open(opt.workers, opt.capacity);
    size_t break_even = 0;

    for (size_t grain = opt.grain.from; samples && pool && grain;
         grain = range_next(&opt.grain, grain)) {
        struct summary of_pool, of_serial;
        size_t count = 0;
        const int64_t begin = clock_ns();
        while (stats_stop(&rule, samples, count, clock_secs(begin, clock_ns())) == STOP_NOT) {
            const struct pair pair = time_once(pool, cubes, opt.count, grain);
            samples[count] = pair.pool;
            serial[count++] = pair.serial;
        }
        stats_summarize(samples, count, &of_pool);
        stats_summarize(serial, count, &of_serial);
        add_row(program, grain, &of_pool, &of_serial);
        if (of_pool.median > of_serial.median)
            break_even = 0;
        else if (break_even == 0)
            break_even = grain;
    }
    if (pool)
        pool_close(pool);
    free(samples);
    if (!samples || !pool)
        return UNABLE;
    if (break_even)
        program_note(program, "break-even: tasks of %zu steps are worth handing over", break_even);
    else
        program_note(program, "no break-even: a plain loop is quicker at every grain here");
    return PASS;
}

int main(int argc, char **argv)
{
    struct program program;
    enum status status = program_open(&program, argc, argv, options, &opt.workers);
    struct cube *const cubes = memory_room(size_product(opt.count, sizeof *cubes))
                                   ? NULL : calloc(opt.count + 1, sizeof *cubes);

    if (status == PASS && opt.fault)
        status = map_nested(&program);
    else if (status == PASS && !cubes)
        status = UNABLE;
    else if (status == PASS)
        status = map(&program, cubes);
    if (status == PASS && !opt.fault)
        status = map_nested(&program);
    if (status == PASS && !opt.fault && opt.count > 0)
        status = time_grains(&program, cubes);
    if (status == UNABLE)
        program_error("no %zu threads, or no memory for %zu tasks, %zu of them waiting: %s: give "
                      "smaller numbers", opt.workers, opt.count, opt.capacity, strerror(errno));
    if (status == PASS)
        program_verdict(&program, true, "%zu cubes in the order of submission, each computed once",
                        opt.count);
    free(cubes);
    return program_close(&program, status);
}
