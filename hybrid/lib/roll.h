/*
 * roll - a roll call: every thread of every rank says who and where it is, and nobody may be
 * missing or answer twice.
 */
#ifndef HYBRID_LIB_ROLL_H
#define HYBRID_LIB_ROLL_H

#include <stdatomic.h>

#include "hybrid/lib/place.h"
#include "hybrid/lib/survey.h"
#include "mpi/lib/verify.h"

struct roll {
    const struct world *world;
    struct place *place;
    const char *name;     /* of the team that is called */
    int threads;          /* that are to answer, on each rank */
    atomic_int answers;   /* may be more: all are counted */
    struct seat *seats;   /* in the order of the answers */
    atomic_int failed;    /* errno of a thread that could not be bound or did not see its mask */
};

/* `threads` is at most place->threads, and the same on all ranks. An error of memory ends the job.
 * roll_close() frees. */
void roll_open(struct roll *roll, const struct world *w, struct place *place, const char *name,
               int threads);
void roll_close(struct roll *roll);

/* The calling thread answers as `thread`; with `bind` it binds itself first. Thread-safe. */
void roll_answer(struct roll *roll, int thread, bool bind);

/*
 * Collective. Adds a row for each answer, in the order of ranks and threads, to the report, with
 * the time `region_s` (NAN: not known) aside. Right if every pair of a rank and a thread answered
 * exactly once, each thread is bound as it was planned and has run where it is bound; where nothing
 * was bound, within what was granted.
 */
struct verdict roll_check(struct world *w, const struct roll *roll, double region_s);

#endif
