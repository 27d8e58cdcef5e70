#include "local/lib/pool.h"
#include "local/lib/clock.h"
#include "local/lib/gate.h"
#include "local/lib/memory.h"
#include "local/lib/mpmc.h"
#include "local/lib/size.h"
#include "local/lib/wait.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

/* What a task is, in its `state`. */
enum { SUBMITTED, AWAITED, FINISHED };

struct pool {
    struct mpmc *tasks; /* their addresses */
    struct gate submitted; /* those without a task */
    atomic_bool closed;
    size_t workers; /* started */
    pthread_mutex_t lock; /* for sleeping until a task is FINISHED */
    pthread_cond_t finished;
    pthread_t threads[];
};

static void run(struct pool *pool, struct task *task)
{
    task->error = task->run(task);
    /* From here on the task may be gone. */
    if (atomic_exchange(&task->state, FINISHED) == AWAITED) {
        pthread_mutex_lock(&pool->lock);
        pthread_cond_broadcast(&pool->finished);
        pthread_mutex_unlock(&pool->lock);
    }
}

/* The oldest task, or NULL. */
static struct task *oldest(struct pool *pool)
{
    uint64_t item;

    return mpmc_pop(pool->tasks, &item, 1) ? (struct task *)(uintptr_t)item : NULL;
}

/* The next task for a worker, which sleeps until there is one; NULL when the pool is closed. */
static struct task *next(struct pool *pool)
{
    enum { TRIES = 200 }; /* some microseconds: about what falling asleep costs */

    for (unsigned i = 0; i < TRIES; i++) {
        struct task *const task = oldest(pool);
        if (task)
            return task;
        line_wait(i);
    }
    for (;;) {
        gate_enter(&pool->submitted);
        const bool closed = atomic_load(&pool->closed); /* what came before it will be seen */
        struct task *const task = oldest(pool);
        if (task || closed) {
            gate_leave(&pool->submitted);
            return task;
        }
        gate_sleep(&pool->submitted, NULL);
    }
}

static void *work(void *arg)
{
    struct pool *const pool = arg;

    for (struct task *task = next(pool); task; task = next(pool))
        run(pool, task);
    return NULL;
}

void pool_close(struct pool *pool)
{
    atomic_store(&pool->closed, true);
    gate_open(&pool->submitted, SIZE_MAX);
    for (size_t i = 0; i < pool->workers; i++)
        pthread_join(pool->threads[i], NULL);
    pthread_cond_destroy(&pool->finished);
    pthread_mutex_destroy(&pool->lock);
    gate_destroy(&pool->submitted);
    free(pool->tasks);
    free(pool);
}

struct pool *pool_open(size_t workers, size_t capacity)
{
    const size_t bytes = mpmc_bytes(capacity);
    struct pool *const pool = aligned_alloc(
        LINE_BYTES, line_up(size_sum(sizeof *pool, size_product(workers, sizeof *pool->threads))));
    struct mpmc *const tasks = bytes && pool && !memory_room(bytes)
                                   ? aligned_alloc(LINE_BYTES, line_up(bytes)) : NULL;

    if (!tasks || gate_init(&pool->submitted, false)) {
        free(tasks);
        free(pool);
        errno = ENOMEM;
        return NULL;
    }
    mpmc_init(tasks, capacity);
    pool->tasks = tasks;
    pool->workers = 0;
    atomic_init(&pool->closed, false);
    pthread_mutex_init(&pool->lock, NULL);
    wait_condition_init(&pool->finished, false);
    while (pool->workers < workers) {
        const int error = pthread_create(&pool->threads[pool->workers], NULL, work, pool);
        if (error) {
            pool_close(pool);
            errno = error;
            return NULL;
        }
        pool->workers++;
    }
    return pool;
}

void pool_submit(struct pool *pool, struct task *task)
{
    const uint64_t item = (uintptr_t)task;

    atomic_store_explicit(&task->state, SUBMITTED, memory_order_relaxed);
    while (!mpmc_push(pool->tasks, &item, 1)) {
        struct task *const other = oldest(pool);
        if (other)
            run(pool, other);
    }
    gate_open(&pool->submitted, 1);
}

static bool is_finished(struct task *task)
{
    return atomic_load_explicit(&task->state, memory_order_acquire) == FINISHED;
}

int pool_wait(struct pool *pool, struct task *task, double limit_secs)
{
    const unsigned tries = 200;
    int expected = SUBMITTED, error = 0;

    for (unsigned looks = 0; looks < tries && !is_finished(task); looks++) {
        struct task *const other = oldest(pool);
        if (other) {
            run(pool, other);
            looks = 0;
        } else {
            line_wait(looks);
        }
    }
    if (is_finished(task))
        return 0;
    atomic_compare_exchange_strong(&task->state, &expected, AWAITED); /* or it is, from before */
    const bool has_limit = !isinf(limit_secs);
    const struct timespec deadline = clock_deadline(has_limit ? limit_secs : 0);
    pthread_mutex_lock(&pool->lock);
    while (!is_finished(task) && error != ETIMEDOUT)
        error = wait_condition(&pool->finished, &pool->lock, has_limit ? &deadline : NULL);
    pthread_mutex_unlock(&pool->lock);
    if (is_finished(task))
        return 0;
    errno = ETIMEDOUT;
    return -1;
}
