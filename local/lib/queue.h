/*
 * queue - a bounded queue of 64-bit items whose users wait for one another: a push for room, a pop
 * for items, until the queue is closed. Thread-safe.
 *
 * The items go through spsc.h or mpmc.h. Who finds the queue full or empty tries again for some
 * microseconds and then sleeps on a POSIX condition; who pushes or pops looks whether anybody
 * sleeps. In memory that processes share (QUEUE_SHARED) it serves processes.
 */
#ifndef LOCAL_LIB_QUEUE_H
#define LOCAL_LIB_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum queue_kind {
    QUEUE_MANY = 0,   /* any number of producers and consumers; capacity becomes a power of 2 >= 2 */
    QUEUE_SINGLE = 1, /* one producer and one consumer: quicker, capacity is exact */
    QUEUE_SHARED = 2, /* with one of these: for processes; otherwise for the threads of one */
};

struct queue;

/* Bytes that a queue of so many items takes, a multiple of LINE_BYTES (line.h); 0 if too many. */
size_t queue_bytes(size_t capacity, unsigned kind);

/*
 * Makes an empty queue in queue_bytes() bytes at `memory`, which begins at a multiple of
 * LINE_BYTES. Before others touch it. Returns it, or NULL with errno (of pthread_mutex_init() and
 * its kin). queue_destroy(), after the last use, in one process, leaves the memory to its owner.
 */
struct queue *queue_init(void *memory, size_t capacity, unsigned kind);
void queue_destroy(struct queue *queue);

/* The same in memory of its own, for threads. queue_free() frees it. NULL with errno. */
struct queue *queue_new(size_t capacity, unsigned kind);
void queue_free(struct queue *queue);

/*
 * Adds `count` items, in order, and waits while there is no room. Returns how many were added: less
 * than `count` if the queue was closed (errno EPIPE) or no room came for `limit_secs` (ETIMEDOUT;
 * HUGE_VAL: no limit).
 */
size_t queue_push(struct queue *queue, const uint64_t *items, size_t count, double limit_secs);

/*
 * Takes at least one and up to `count` items, the oldest first, and waits while there are none.
 * Returns how many; 0 if the queue is closed and empty (errno EPIPE) or nothing came for
 * `limit_secs` (ETIMEDOUT).
 */
size_t queue_pop(struct queue *queue, uint64_t *items, size_t count, double limit_secs);

/* The same without waiting: 0 with errno EAGAIN (or EPIPE). */
size_t queue_try_push(struct queue *queue, const uint64_t *items, size_t count);
size_t queue_try_pop(struct queue *queue, uint64_t *items, size_t count);

/* Nothing can be added any more; what is in can still be taken. Everybody who waits is woken. What
 * is pushed at the very moment of closing may stay in: close when the producers have ended. */
void queue_close(struct queue *queue);

/* Items in the queue at some moment during the call. */
size_t queue_length(struct queue *queue);

#endif
