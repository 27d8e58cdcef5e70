/*
 * gate - sleeping until something may have changed, without a cost for those who change it while
 * nobody sleeps: an event count. Thread-safe; also in memory that processes share.
 *
 * Who waits:                                  Who changes:
 *
 *     gate_enter(&gate);                          change it (an atomic store or more)
 *     if (!it_is_so())                            gate_open(&gate, 1);
 *         gate_sleep(&gate, &deadline);
 *     else
 *         gate_leave(&gate);
 *     and look again
 *
 * Nothing is lost: both count in the same atomic variable, so either the one who changes sees that
 * somebody has entered, or the one who entered sees the change.
 */
#ifndef LOCAL_LIB_GATE_H
#define LOCAL_LIB_GATE_H

#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#include "local/lib/line.h"

struct gate {
    _Alignas(LINE_BYTES) atomic_size_t inside; /* entered, and not called yet */
    sem_t calls;
    bool shared;
};

/* `shared`: for processes; the death of one of them does not keep the others asleep. Returns 0, or
 * -1 with errno (of sem_init()). */
int gate_init(struct gate *gate, bool shared);
void gate_destroy(struct gate *gate);

void gate_enter(struct gate *gate);

/* Both leave; both return whether gate_open() called. gate_sleep() waits for that until `deadline`
 * (of clock_deadline(); NULL: none). */
bool gate_leave(struct gate *gate);
bool gate_sleep(struct gate *gate, const struct timespec *deadline);

/* Calls up to `count` of those inside. */
void gate_open(struct gate *gate, size_t count);

#endif
