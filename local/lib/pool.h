/*
 * pool - threads that run tasks, and tasks that can be waited for. Thread-safe.
 *
 * A task is a part of the caller's own structure, so that submitting allocates nothing:
 *
 *     struct cube { struct task task; uint64_t number, result; };
 *
 *     static int cube(struct task *task)
 *     {
 *         struct cube *const mine = (struct cube *)task;
 *         ...
 *         return 0;
 *     }
 *
 *     mine.task.run = cube;
 *     pool_submit(pool, &mine.task);
 *     pool_wait(pool, &mine.task, HUGE_VAL);      now mine.result and mine.task.error are there
 */
#ifndef LOCAL_LIB_POOL_H
#define LOCAL_LIB_POOL_H

#include <stdatomic.h>
#include <stddef.h>

struct task {
    int (*run)(struct task *task); /* returns 0 or an error number, kept in `error` */
    int error;
    atomic_int state;              /* pool.c's */
};

struct pool;

/* Starts `workers` > 0 threads. Up to `capacity` tasks, rounded up to a power of 2, await their
 * turn. Returns NULL with errno (EAGAIN: the system gives no more threads; ENOMEM). pool_close()
 * frees it. */
struct pool *pool_open(size_t workers, size_t capacity);

/*
 * Hands a task over; it must stay where it is until it has been waited for, or the pool is closed.
 * Workers begin the tasks in the order of submission. In a full pool the caller runs the oldest
 * first, so who submits faster than the workers run is held up, but never for good: a task may
 * submit tasks.
 */
void pool_submit(struct pool *pool, struct task *task);

/*
 * Waits until the task, once submitted, has been run; its results are then visible. Meanwhile the
 * caller runs waiting tasks itself, the oldest first: it may be one of them, and where threads are
 * more than cores nobody takes the caller's place in time. So a task may submit tasks and wait for
 * them, but not for those of others, which may lie unfinished below it on the same stack. Returns 0
 * (the task's own error is in task->error), or -1 with errno ETIMEDOUT when nothing was left to run
 * and `limit_secs` went by (HUGE_VAL: no limit).
 */
int pool_wait(struct pool *pool, struct task *task, double limit_secs);

/* Runs what has been submitted, ends the threads, and frees the pool. When nobody submits any
 * more. */
void pool_close(struct pool *pool);

#endif
