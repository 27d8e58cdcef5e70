/*
 * place - ranks and threads onto the CPUs of a node: plan, apply, verify, report.
 *
 * A program needs three calls:
 *
 *     place_open(&place, &w, threads, "balanced");      collective, after MPI_Init
 *     #pragma omp parallel num_threads(threads)
 *     {
 *         place_thread(&place, omp_get_thread_num());   each thread, at the start of each region
 *         ...
 *     }
 *     place_close(&place);                              collective
 *
 * Rank 0 of each node loads the topology, plans for all ranks of the node (plan.h) within what the
 * launcher granted to each, and hands out the masks; the others need no topology.
 */
#ifndef HYBRID_LIB_PLACE_H
#define HYBRID_LIB_PLACE_H

#include <hwloc.h>
#include <stdbool.h>

#include "hybrid/lib/plan.h"
#include "mpi/lib/world.h"

/* The names of the policies and "none", as an ARG_CHOICE has them: what --place takes. */
#define PLACE_CHOICES "balanced|compact|spread|numa|none"

/* What --threads takes, beyond any node: no process has many more threads. */
#define PLACE_THREADS_MOST 4096
#define PLACE_THREADS_ARG(threads)                                                                 \
    { "threads", ARG_INT, threads, "threads of each rank", .min = 1, .max = PLACE_THREADS_MOST }

/* How masks are set and read: the system, or a machine that one does not have, in tests. */
struct place_kernel {
    int (*get)(hwloc_bitmap_t set);
    int (*set)(hwloc_const_bitmap_t set);
};

struct place {
    int threads;             /* of this rank */
    hwloc_bitmap_t *masks;   /* of each thread, by the system's numbers; NULL: nothing is bound */
    hwloc_bitmap_t granted;  /* what the launcher gave to this rank */
    bool applied;            /* false: "none", oversubscribed, or this system cannot bind */
    char reason[96];         /* why not applied; "" */
    const struct place_kernel *kernel;
    unsigned generation;     /* the library's own: by which place_open() a thread was bound */
};

/*
 * Collective over w->node_comm. Plans `threads` threads for this rank by `policy` (one of
 * PLACE_CHOICES). Where there are more threads than CPUs, or this system cannot bind, nothing is
 * bound: place->applied is false, on all ranks of the node alike, and place->reason says why. Ranks
 * may differ in `threads`. An error of memory, or a system that does not give so many threads, ends
 * the job. place_close() frees, and gives the
 * calling thread what was granted to the rank.
 */
void place_open(struct place *place, const struct world *w, int threads, const char *policy);
void place_close(struct place *place);

/*
 * Binds the calling thread to the mask of `thread` (0 to threads - 1), once: later calls by the
 * same thread with the same number cost a comparison. Call it in every region, for a team that
 * shrank and grew again has new threads, with the mask of who made them. Threads of OpenMP and
 * POSIX alike. Thread-safe. Returns 0, also where nothing is bound; or -1 with errno: of the
 * system; EPERM: it left out a part of the mask; EINVAL: no such thread.
 */
int place_thread(struct place *place, int thread);

/* What the calling thread may run on at this moment, read from the system. Thread-safe. Returns 0,
 * or -1 with errno. */
int place_read(const struct place *place, hwloc_bitmap_t set);

#endif
