/*
 * crew - a team of POSIX threads of our own, each pinned by place, with a barrier among them.
 */
#ifndef HYBRID_LIB_CREW_H
#define HYBRID_LIB_CREW_H

#include <stdatomic.h>

#include "hybrid/lib/place.h"
#include "local/lib/line.h"

struct crew {
    int threads;
    _Alignas(LINE_BYTES) atomic_int here;   /* arrived at the barrier */
    _Alignas(LINE_BYTES) atomic_uint turn;  /* barriers passed */
    _Alignas(LINE_BYTES) atomic_int unbound; /* threads that place_thread() could not bind */
};

/*
 * Runs work(arg, crew, 0) ... work(arg, crew, place->threads - 1) at once, number 0 by the calling
 * thread, the others each by a new one, and returns when all have ended. Each is bound first.
 * Returns the number of threads that could not be bound; or -1 with errno (EAGAIN: the system
 * gives no more threads; ENOMEM), and then no work was begun.
 */
int crew_run(struct place *place, void (*work)(void *arg, struct crew *crew, int thread),
             void *arg);

/* Returns when all threads of the crew have called it; what they wrote before is then seen by all.
 * Spins, and leaves the core to others from time to time. */
void crew_wait(struct crew *crew);

#endif
