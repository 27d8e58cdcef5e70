#include "local/lib/queue.h"
#include "local/lib/clock.h"
#include "local/lib/gate.h"
#include "local/lib/memory.h"
#include "local/lib/mpmc.h"
#include "local/lib/spsc.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

struct queue {
    bool single;
    atomic_bool closed;
    struct gate items, room; /* those who wait for them */
    alignas(LINE_BYTES) unsigned char ring[]; /* a struct spsc or mpmc */
};

static struct spsc *spsc(struct queue *queue)
{
    return (struct spsc *)queue->ring;
}

static struct mpmc *mpmc(struct queue *queue)
{
    return (struct mpmc *)queue->ring;
}

size_t queue_bytes(size_t capacity, unsigned kind)
{
    const size_t ring = kind & QUEUE_SINGLE ? spsc_bytes(capacity) : mpmc_bytes(capacity);

    return ring == 0 || ring > SIZE_MAX / 2 ? 0 : line_up(sizeof(struct queue) + ring);
}

struct queue *queue_init(void *memory, size_t capacity, unsigned kind)
{
    struct queue *const queue = memory;

    queue->single = kind & QUEUE_SINGLE;
    atomic_init(&queue->closed, false);
    if (gate_init(&queue->items, kind & QUEUE_SHARED))
        return NULL;
    if (gate_init(&queue->room, kind & QUEUE_SHARED)) {
        gate_destroy(&queue->items);
        return NULL;
    }
    if (queue->single)
        spsc_init(spsc(queue), capacity);
    else
        mpmc_init(mpmc(queue), capacity);
    return queue;
}

void queue_destroy(struct queue *queue)
{
    gate_destroy(&queue->room);
    gate_destroy(&queue->items);
}

struct queue *queue_new(size_t capacity, unsigned kind)
{
    const size_t bytes = queue_bytes(capacity, kind);
    void *const memory = bytes && !memory_room(bytes) ? aligned_alloc(LINE_BYTES, bytes) : NULL;
    struct queue *const queue = memory ? queue_init(memory, capacity, kind) : NULL;

    if (!bytes)
        errno = ENOMEM;
    if (!queue)
        free(memory);
    return queue;
}

void queue_free(struct queue *queue)
{
    if (queue)
        queue_destroy(queue);
    free(queue);
}

static size_t push(struct queue *queue, const uint64_t *items, size_t count)
{
    return queue->single ? spsc_push(spsc(queue), items, count)
                         : mpmc_push(mpmc(queue), items, count);
}

static size_t pop(struct queue *queue, uint64_t *items, size_t count)
{
    return queue->single ? spsc_pop(spsc(queue), items, count)
                         : mpmc_pop(mpmc(queue), items, count);
}

static bool is_closed(const struct queue *queue)
{
    return atomic_load(&queue->closed);
}

size_t queue_try_push(struct queue *queue, const uint64_t *items, size_t count)
{
    if (is_closed(queue)) {
        errno = EPIPE;
        return 0;
    }
    const size_t pushed = push(queue, items, count);
    if (pushed)
        gate_open(&queue->items, pushed);
    else
        errno = EAGAIN;
    return pushed;
}

size_t queue_try_pop(struct queue *queue, uint64_t *items, size_t count)
{
    const bool closed = is_closed(queue); /* first: what came before it must be seen */
    const size_t popped = pop(queue, items, count);

    if (popped)
        gate_open(&queue->room, popped);
    else
        errno = closed ? EPIPE : EAGAIN;
    return popped;
}

/* One side of the queue: what it tries, and the gate at which it waits. */
struct side {
    struct gate *gate;
    size_t (*try)(struct queue *queue, void *items, size_t count);
};

static size_t try_push(struct queue *queue, void *items, size_t count)
{
    return queue_try_push(queue, items, count);
}

static size_t try_pop(struct queue *queue, void *items, size_t count)
{
    return queue_try_pop(queue, items, count);
}

/*
 * Tries for a while without sleeping: for about twice as long as the other side takes to wake up,
 * so that two that sleep by turns get out of it. A thread for whom that was in vain, because the
 * other side has no core or much to do, leaves it out the next 1, 3, 7, ... at most 255 times.
 */
static size_t spin(struct queue *queue, const struct side *side, void *items, size_t count)
{
    enum { TRIES = 2048, LEFT_OUT = 255 };
    static _Thread_local unsigned in_vain, to_leave_out;

    if (to_leave_out > 0) {
        to_leave_out--;
        return 0;
    }
    for (unsigned i = 0; i < TRIES; i++) {
        const size_t done = side->try(queue, items, count);
        if (done || errno != EAGAIN) {
            in_vain = 0;
            return done;
        }
        line_pause(); /* not sched_yield(): the core would go to anybody, for a time slice */
    }
    in_vain = in_vain < LEFT_OUT ? 2 * in_vain + 1 : LEFT_OUT;
    to_leave_out = in_vain;
    return 0;
}

/* Tries until something was done, or errno is not EAGAIN, which it is at first. */
static size_t wait_for(struct queue *queue, const struct side *side, void *items, size_t count,
                       const struct timespec *deadline)
{
    size_t done = spin(queue, side, items, count);

    if (done || errno != EAGAIN)
        return done;
    for (;;) {
        gate_enter(side->gate);
        done = side->try(queue, items, count);
        if (done || errno != EAGAIN) {
            const int error = errno;
            gate_leave(side->gate);
            errno = error;
            return done;
        }
        if (!gate_sleep(side->gate, deadline)) {
            done = side->try(queue, items, count);
            if (!done && errno == EAGAIN)
                errno = ETIMEDOUT;
            return done;
        }
    }
}

static const struct timespec *deadline_in(double secs, struct timespec *deadline)
{
    if (isinf(secs))
        return NULL;
    *deadline = clock_deadline(secs);
    return deadline;
}

size_t queue_push(struct queue *queue, const uint64_t *items, size_t count, double limit_secs)
{
    const struct side side = { &queue->room, try_push };
    struct timespec deadline;
    size_t done = 0;

    while (done < count) {
        size_t more = queue_try_push(queue, items + done, count - done);
        if (!more && errno == EAGAIN)
            more = wait_for(queue, &side, (void *)(uintptr_t)(items + done), count - done,
                            deadline_in(limit_secs, &deadline));
        if (!more)
            break;
        done += more;
    }
    return done;
}

size_t queue_pop(struct queue *queue, uint64_t *items, size_t count, double limit_secs)
{
    const struct side side = { &queue->items, try_pop };
    struct timespec deadline;
    const size_t done = queue_try_pop(queue, items, count);

    if (done || errno != EAGAIN || count == 0)
        return done;
    return wait_for(queue, &side, items, count, deadline_in(limit_secs, &deadline));
}

void queue_close(struct queue *queue)
{
    atomic_store(&queue->closed, true);
    gate_open(&queue->items, SIZE_MAX);
    gate_open(&queue->room, SIZE_MAX);
}

size_t queue_length(struct queue *queue)
{
    const atomic_size_t *const tail = queue->single ? &spsc(queue)->tail : &mpmc(queue)->tail;
    const atomic_size_t *const head = queue->single ? &spsc(queue)->head : &mpmc(queue)->head;
    const size_t popped = atomic_load(head);

    return atomic_load(tail) - popped;
}
