#include "local/lib/pool.h"
#include "local/lib/clock.h"
#include "local/lib/line.h"
#include "local/lib/queue.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

/* What a task is, in its `state`. */
enum { SUBMITTED, AWAITED, FINISHED };

struct pool {
    struct queue *queue; /* of addresses of tasks */
    size_t workers, started;
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

/* Takes several tasks at once where many wait, yet leaves the others their share. */
static void *work(void *arg)
{
    enum { MOST = 32 };
    struct pool *const pool = arg;
    uint64_t tasks[MOST];

    for (;;) {
        const size_t share = 1 + queue_length(pool->queue) / (2 * pool->workers);
        const size_t count = queue_pop(pool->queue, tasks, share < MOST ? share : MOST, HUGE_VAL);
        if (count == 0)
            return NULL;
        for (size_t i = 0; i < count; i++)
            run(pool, (struct task *)(uintptr_t)tasks[i]);
    }
}

struct pool *pool_open(size_t workers, size_t capacity)
{
    struct pool *const pool = malloc(sizeof *pool + workers * sizeof *pool->threads);

    if (!pool)
        return NULL;
    pool->workers = workers;
    pool->started = 0;
    pool->queue = queue_new(capacity, QUEUE_MANY);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->finished, NULL);
    int error = pool->queue ? 0 : errno;
    while (!error && pool->started < workers) {
        error = pthread_create(&pool->threads[pool->started], NULL, work, pool);
        pool->started += !error;
    }
    if (!error)
        return pool;
    pool_close(pool);
    errno = error;
    return NULL;
}

int pool_submit(struct pool *pool, struct task *task, double limit_secs)
{
    const uint64_t item = (uintptr_t)task;

    atomic_store_explicit(&task->state, SUBMITTED, memory_order_relaxed);
    return queue_push(pool->queue, &item, 1, limit_secs) == 1 ? 0 : -1;
}

static bool is_finished(struct task *task)
{
    return atomic_load_explicit(&task->state, memory_order_acquire) == FINISHED;
}

int pool_wait(struct pool *pool, struct task *task, double limit_secs)
{
    enum { TRIES = 200 };
    int expected = SUBMITTED, error = 0;

    for (int i = 0; i < TRIES && !is_finished(task); i++)
        line_pause();
    atomic_compare_exchange_strong(&task->state, &expected, AWAITED);
    const struct timespec deadline = clock_deadline(isinf(limit_secs) ? 1e9 : limit_secs);
    pthread_mutex_lock(&pool->lock);
    while (!is_finished(task) && error != ETIMEDOUT)
        error = pthread_cond_timedwait(&pool->finished, &pool->lock, &deadline);
    pthread_mutex_unlock(&pool->lock);
    if (is_finished(task))
        return 0;
    errno = ETIMEDOUT;
    return -1;
}

void pool_close(struct pool *pool)
{
    if (pool->queue)
        queue_close(pool->queue);
    for (size_t i = 0; i < pool->started; i++)
        pthread_join(pool->threads[i], NULL);
    pthread_cond_destroy(&pool->finished);
    pthread_mutex_destroy(&pool->lock);
    queue_free(pool->queue);
    free(pool);
}
