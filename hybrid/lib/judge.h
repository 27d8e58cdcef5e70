/*
 * judge - whether the ranks and threads of a node run where they should, and what would cure it.
 * Pure: it looks at masks that were read (or planned), not at the system. Thread-safe.
 *
 * A finding is WRONG only if the same ranks and threads could be placed better on this node:
 * threads share a core while one is idle, or are spread over NUMA nodes for nothing. More threads
 * than the node has cores were asked for: that is WORTH_KNOWING.
 */
#ifndef HYBRID_LIB_JUDGE_H
#define HYBRID_LIB_JUDGE_H

#include <hwloc.h>
#include <stdbool.h>

/* A node as it is used. All sets by the system's numbers. */
struct layout {
    hwloc_topology_t topology;  /* with INCLUDE_DISALLOWED */
    int ranks;                  /* of this node */
    const int *numbers;         /* each rank's number in the job */
    const int *threads;         /* of each rank */
    const hwloc_bitmap_t *granted;
    hwloc_bitmap_t *const *masks; /* masks[rank][thread] */
    bool is_scheduled;          /* a batch system chose the CPUs: more could be asked for */
    const char *others;         /* processes of other jobs that are bound to cores of ours and run
                                 * there, as text; NULL: none */
};

enum severity { WORTH_KNOWING, WRONG };

/* What could be done about a finding. */
enum remedy {
    REMEDY_NONE,
    REMEDY_THREADS,  /* bind the threads one by one within what is granted: OMP_PLACES */
    REMEDY_LAUNCHER, /* have the launcher grant each rank as many cores as threads */
    REMEDY_CPUS,     /* ask the scheduler for more CPUs a rank */
    REMEDY_ELSEWHERE, /* other cores, which nobody uses */
};

struct finding {
    enum severity severity;
    enum remedy remedy;
    char text[256];
};

/*
 * Looks at a layout. Writes the findings into `findings`, `most` at most (the worst come first, and
 * the last one tells of those left out), and returns how many; -1 with errno (ENOMEM).
 */
int judge_layout(const struct layout *layout, struct finding *findings, int most);

#endif
