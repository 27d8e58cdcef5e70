/*
 * pool - every task is run once, errors stay with their task, waiting ends in time
 *
 * Test:
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <math.h>
#include <sched.h>
#include <stdlib.h>

#include "local/lib/clock.h"
#include "local/lib/pool.h"

struct job {
    struct task task;
    int number;
    atomic_int runs;
    struct pool *pool;
    struct job *sub;
};

static int count(struct task *task)
{
    struct job *const job = (struct job *)task;

    atomic_fetch_add(&job->runs, 1);
    return job->number % 5 == 3 ? EDOM : 0;
}

static void runs_each_once(void **state)
{
    static const size_t workers[] = { 1, 2, 3, 8, 64 };
    (void)state;

    for (size_t w = 0; w < sizeof workers / sizeof *workers; w++) {
        for (int jobs = 0; jobs < 5000; jobs = jobs * 9 + 1) {
            struct job *const all = calloc((size_t)jobs + 1, sizeof *all);
            struct pool *const pool = pool_open(workers[w], 16);
            assert_non_null(pool);
            for (int i = 0; i < jobs; i++) {
                all[i].task.run = count;
                all[i].number = i;
                pool_submit(pool, &all[i].task);
            }
            for (int i = 0; i < jobs; i += 2) {
                assert_int_equal(pool_wait(pool, &all[i].task, HUGE_VAL), 0);
                assert_int_equal(all[i].runs, 1);
            }
            pool_close(pool);
            for (int i = 0; i < jobs; i++) {
                assert_int_equal(all[i].runs, 1);
                assert_int_equal(all[i].task.error, i % 5 == 3 ? EDOM : 0);
            }
            free(all);
        }
    }
}

static int wait_for_sub(struct task *task)
{
    struct job *const job = (struct job *)task;

    pool_submit(job->pool, &job->sub->task);
    return pool_wait(job->pool, &job->sub->task, HUGE_VAL) ? errno : 0;
}

/* A chain of tasks that each wait for the next one, far more than workers: who waits, helps. */
static void waits_for_subtasks(void **state)
{
    enum { DEPTH = 100 };
    static struct job jobs[DEPTH + 1];
    (void)state;

    for (size_t workers = 1; workers <= 3; workers++) {
        struct pool *const pool = pool_open(workers, 4);
        for (int i = 0; i < DEPTH; i++)
            jobs[i] = (struct job){ .task.run = wait_for_sub, .pool = pool, .sub = &jobs[i + 1] };
        jobs[DEPTH] = (struct job){ .task.run = count };
        pool_submit(pool, &jobs[0].task);
        assert_int_equal(pool_wait(pool, &jobs[0].task, HUGE_VAL), 0);
        assert_int_equal(jobs[0].task.error, 0);
        assert_int_equal(jobs[DEPTH].runs, 1);
        pool_close(pool);
    }
}

static int wait_until_told(struct task *task)
{
    struct job *const job = (struct job *)task;

    atomic_store(&job->runs, 1);
    while (atomic_load(&job->sub->runs) == 0)
        sched_yield();
    return 0;
}

/* Longer than the limit, and then after all. */
static void waits_in_vain(void **state)
{
    struct pool *const pool = pool_open(1, 4);
    struct job sub = { .runs = 0 };
    struct job job = { .task.run = wait_until_told, .sub = &sub };
    (void)state;

    pool_submit(pool, &job.task);
    while (atomic_load(&job.runs) == 0) /* by the worker: who waits would run it */
        sched_yield();
    const int64_t before = clock_ns();
    assert_int_equal(pool_wait(pool, &job.task, 0.01), -1);
    assert_int_equal(errno, ETIMEDOUT);
    assert_true(clock_secs(before, clock_ns()) >= 0.01 - 1e-6);
    atomic_store(&sub.runs, 1);
    assert_int_equal(pool_wait(pool, &job.task, HUGE_VAL), 0);
    pool_close(pool);
}

/* Sizes that wrap, that no memory holds, and more threads than there can be. */
static void refuses(void **state)
{
    static const size_t workers[] = { SIZE_MAX, (size_t)1 << 61, (size_t)1 << 60 };
    static const size_t capacities[] = { SIZE_MAX, SIZE_MAX / 16 + 1, (size_t)1 << 59,
                                         (size_t)1 << 44 };
    (void)state;

    for (size_t i = 0; i < sizeof workers / sizeof *workers; i++) {
        assert_null(pool_open(workers[i], 4));
        assert_int_equal(errno, ENOMEM);
    }
    for (size_t i = 0; i < sizeof capacities / sizeof *capacities; i++) {
        assert_null(pool_open(1, capacities[i]));
        assert_int_equal(errno, ENOMEM);
    }
}

/* Each task submits two more, far more than the queue holds: the submitters help. */
struct tree {
    struct task task;
    struct pool *pool;
    struct tree *all;
    size_t number, count;
    atomic_int runs;
};

static int grow(struct task *task)
{
    struct tree *const tree = (struct tree *)task;

    atomic_fetch_add(&tree->runs, 1);
    for (size_t child = 2 * tree->number + 1; child <= 2 * tree->number + 2; child++)
        if (child < tree->count)
            pool_submit(tree->pool, &tree->all[child].task);
    return 0;
}

static void submits_from_tasks(void **state)
{
    const size_t count = 4095;
    (void)state;

    for (size_t workers = 1; workers <= 3; workers++) {
        struct pool *const pool = pool_open(workers, 2);
        struct tree *const all = calloc(count, sizeof *all);
        for (size_t i = 0; i < count; i++)
            all[i] = (struct tree){ .task.run = grow, .pool = pool, .all = all, .number = i,
                                    .count = count };
        pool_submit(pool, &all[0].task);
        for (size_t i = 0; i < count; i++)
            while (all[i].runs == 0) /* not submitted yet, perhaps: nothing to wait for */
                sched_yield();
        pool_close(pool);
        for (size_t i = 0; i < count; i++)
            assert_int_equal(all[i].runs, 1);
        free(all);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_each_once), cmocka_unit_test(waits_for_subtasks),
        cmocka_unit_test(waits_in_vain),          cmocka_unit_test(refuses),
        cmocka_unit_test(submits_from_tasks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
