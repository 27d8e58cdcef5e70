/*
 * spsc - a bounded queue from one producer to one consumer, of 64-bit items: numbers, indices, or
 * pointers within one process. Neither waits: see queue.h for those that do.
 *
 * It holds no address, so it may lie in memory that processes share at different addresses. The
 * producer calls spsc_push() alone, the consumer spsc_pop() alone; they run at the same time. Each
 * writes its own index, on a cache line of its own, and keeps the last value that it saw of the
 * other's, so that a line moves between their cores only when the queue seems full or empty
 * (Lamport, "Proving the correctness of multiprocess programs", 1977; the kept indices as in Lee,
 * Bu, Chandranmenon, "A lock-free, cache-efficient shared ring buffer", ANCS 2009).
 */
#ifndef LOCAL_LIB_SPSC_H
#define LOCAL_LIB_SPSC_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "local/lib/line.h"

struct spsc {
    alignas(LINE_BYTES) size_t capacity;
    size_t mask;
    alignas(LINE_BYTES) atomic_size_t tail; /* items pushed so far; the producer's line */
    size_t head_seen;
    alignas(LINE_BYTES) atomic_size_t head; /* items popped so far; the consumer's line */
    size_t tail_seen;
    alignas(LINE_BYTES) uint64_t items[];
};

/* Bytes that a queue of so many items takes; 0 if that is more than memory can hold. Capacity is
 * exact: as many items fit, and no more. */
static inline size_t spsc_bytes(size_t capacity)
{
    const size_t slots = line_power_of_2(capacity);

    return slots == 0 || slots > (SIZE_MAX - sizeof(struct spsc)) / sizeof(uint64_t)
               ? 0 : sizeof(struct spsc) + slots * sizeof(uint64_t);
}

/* An empty queue in spsc_bytes(capacity) bytes at `queue`, which begin at a multiple of LINE_BYTES.
 * Before the other side touches it. */
static inline void spsc_init(struct spsc *queue, size_t capacity)
{
    queue->capacity = capacity;
    queue->mask = line_power_of_2(capacity) - 1;
    atomic_init(&queue->tail, 0);
    atomic_init(&queue->head, 0);
    queue->head_seen = queue->tail_seen = 0;
}

/* The producer adds the first of `count` items that there is room for. Returns how many. */
static inline size_t spsc_push(struct spsc *queue, const uint64_t *items, size_t count)
{
    const size_t tail = atomic_load_explicit(&queue->tail, memory_order_relaxed);

    if (queue->capacity - (tail - queue->head_seen) < count) {
        queue->head_seen = atomic_load_explicit(&queue->head, memory_order_acquire);
        const size_t room = queue->capacity - (tail - queue->head_seen);
        count = count < room ? count : room;
    }
    for (size_t i = 0; i < count; i++)
        queue->items[(tail + i) & queue->mask] = items[i];
    atomic_store_explicit(&queue->tail, tail + count, memory_order_release);
    return count;
}

/* The consumer takes up to `count` items, the oldest first. Returns how many. */
static inline size_t spsc_pop(struct spsc *queue, uint64_t *items, size_t count)
{
    const size_t head = atomic_load_explicit(&queue->head, memory_order_relaxed);

    if (queue->tail_seen - head < count) {
        queue->tail_seen = atomic_load_explicit(&queue->tail, memory_order_acquire);
        const size_t ready = queue->tail_seen - head;
        count = count < ready ? count : ready;
    }
    for (size_t i = 0; i < count; i++)
        items[i] = queue->items[(head + i) & queue->mask];
    atomic_store_explicit(&queue->head, head + count, memory_order_release);
    return count;
}

#endif
