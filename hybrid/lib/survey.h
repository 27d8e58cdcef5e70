/*
 * survey - where the threads of all ranks of a node are, brought together on its rank 0.
 */
#ifndef HYBRID_LIB_SURVEY_H
#define HYBRID_LIB_SURVEY_H

#include <stdbool.h>

#include "hybrid/lib/judge.h"
#include "hybrid/lib/place.h"
#include "local/lib/cpus.h"
#include "mpi/lib/world.h"

/* What a thread reads of itself. -1: not known. */
struct seat {
    int thread;  /* its number in the team; -1: it did not read anything */
    int cpu_os;  /* the CPU that it ran on last, by the system's number */
    int core, package, numa; /* by hwloc's logical numbers; known after survey_node() */
    bool right;  /* it runs on a CPU that it is bound to, and is bound within what was granted */
    struct cpus bound; /* by the system's numbers */
};

struct survey {
    int threads;         /* of this rank */
    struct seat *seats;  /* of this rank */
    char granted[128];   /* of this rank, as a list */
    hwloc_topology_t topology; /* on rank 0 of the node alone, as what follows */
    struct layout layout;
    char others[512];    /* of other jobs, as layout.others */
    hwloc_bitmap_t busy; /* the CPUs of these */
};

/* The calling thread reads its own place, in a team that place_open() knows. Thread-safe. Returns
 * 0, or -1 with errno. */
int survey_thread(const struct place *place, int thread, struct seat *seat);

/*
 * Collective: `seats`, of `threads` threads (allocated by world_alloc(), and the
 * survey's from now on), and what the rank was granted come together; rank 0 of the node looks up
 * cores, packages and NUMA nodes for all, and, if `others`, for processes of other jobs (others.h).
 * survey_close() frees.
 */
void survey_node(struct survey *survey, const struct world *w, const struct place *place, int threads,
                 struct seat *seats, bool others);
void survey_close(struct survey *survey);

#endif
