/*
 * mpmc - a bounded queue of many producers and many consumers, of 64-bit items: numbers, indices,
 * or pointers within one process. Nobody waits: see queue.h for those that do.
 *
 * It holds no address, so it may lie in memory that processes share at different addresses. Any
 * number of threads may call mpmc_push() and mpmc_pop() at the same time. Every slot has a turn: it
 * is free for item number i when its turn is i, and holds it when its turn is i + 1 (Vyukov's
 * bounded queue, 2011). Here a thread takes several numbers in a row by one compare-and-swap. One
 * that is stopped or dies between that and its items keeps those behind them back: the queue is not
 * lock-free by the book.
 */
#ifndef LOCAL_LIB_MPMC_H
#define LOCAL_LIB_MPMC_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "local/lib/line.h"

struct mpmc_slot {
    atomic_size_t turn;
    uint64_t item;
};

struct mpmc {
    alignas(LINE_BYTES) size_t mask;
    alignas(LINE_BYTES) atomic_size_t tail; /* the number of the next item to push */
    alignas(LINE_BYTES) atomic_size_t head; /* and to pop */
    alignas(LINE_BYTES) struct mpmc_slot slots[];
};

/* Bytes that a queue of so many items takes; 0 if that is more than memory can hold. Capacity is
 * rounded up to a power of 2, and is 2 at least: with one slot its turns could not be told
 * apart. */
static inline size_t mpmc_bytes(size_t capacity)
{
    const size_t slots = line_power_of_2(capacity < 2 ? 2 : capacity);

    return slots == 0 || slots > (SIZE_MAX - sizeof(struct mpmc)) / sizeof(struct mpmc_slot)
               ? 0 : sizeof(struct mpmc) + slots * sizeof(struct mpmc_slot);
}

/* An empty queue in mpmc_bytes(capacity) bytes at `queue`, which begin at a multiple of LINE_BYTES.
 * Before others touch it. */
static inline void mpmc_init(struct mpmc *queue, size_t capacity)
{
    queue->mask = line_power_of_2(capacity < 2 ? 2 : capacity) - 1;
    atomic_init(&queue->tail, 0);
    atomic_init(&queue->head, 0);
    for (size_t i = 0; i <= queue->mask; i++)
        atomic_init(&queue->slots[i].turn, i);
}

/*
 * Takes up to `count` numbers from `next` on whose slots have their turn, `ahead` of the number.
 * Returns how many, the first in *first; 0: the queue is full (or empty).
 */
static inline size_t mpmc_take(struct mpmc *queue, atomic_size_t *next, size_t ahead, size_t count,
                               size_t *first)
{
    size_t at = atomic_load_explicit(next, memory_order_relaxed);

    for (;;) {
        size_t ready = 0;
        while (ready < count &&
               atomic_load_explicit(&queue->slots[(at + ready) & queue->mask].turn,
                                    memory_order_acquire) == at + ready + ahead)
            ready++;
        if (ready > 0 && atomic_compare_exchange_weak_explicit(
                next, &at, at + ready, memory_order_relaxed, memory_order_relaxed)) {
            *first = at;
            return ready;
        }
        if (ready == 0) {
            const size_t now = atomic_load_explicit(next, memory_order_relaxed);
            if (now == at)
                return 0;
            at = now;
        }
    }
}

/* Adds the first of `count` items that there is room for. Returns how many. */
static inline size_t mpmc_push(struct mpmc *queue, const uint64_t *items, size_t count)
{
    size_t first = 0;
    const size_t taken = mpmc_take(queue, &queue->tail, 0, count, &first);

    for (size_t i = 0; i < taken; i++) {
        struct mpmc_slot *const slot = &queue->slots[(first + i) & queue->mask];
        slot->item = items[i];
        atomic_store_explicit(&slot->turn, first + i + 1, memory_order_release);
    }
    return taken;
}

/* Takes up to `count` items, the oldest first. Returns how many. */
static inline size_t mpmc_pop(struct mpmc *queue, uint64_t *items, size_t count)
{
    size_t first = 0;
    const size_t taken = mpmc_take(queue, &queue->head, 1, count, &first);

    for (size_t i = 0; i < taken; i++) {
        struct mpmc_slot *const slot = &queue->slots[(first + i) & queue->mask];
        items[i] = slot->item;
        atomic_store_explicit(&slot->turn, first + i + queue->mask + 1, memory_order_release);
    }
    return taken;
}

#endif
