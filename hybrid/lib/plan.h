/*
 * plan - which CPUs each thread of each rank of a node should have. Pure: the same topology, grants
 * and numbers give the same plan, also for a machine that is only described (XML, synthetic).
 * Thread-safe for different plans.
 *
 * Ranks whose grants are equal share them; grants that overlap otherwise are shared out core by
 * core. Cores come before hardware threads: a core gets a second thread only when every core of its
 * rank has one. Where a cut of the same sizes exists that keeps ranks within NUMA nodes, and then
 * within L3 caches, it is taken. Where the machine has no cores, each PU counts as one.
 */
#ifndef HYBRID_LIB_PLAN_H
#define HYBRID_LIB_PLAN_H

#include <hwloc.h>
#include <stdbool.h>

enum plan_policy {
    PLAN_BALANCED, /* ranks in order, each with an equal share of the cores, threads spread over it */
    PLAN_COMPACT,  /* ranks in order, each with as many cores as threads, side by side */
    PLAN_SPREAD,   /* shares as balanced, but neighbouring ranks in different NUMA nodes */
    PLAN_NUMA,     /* whole NUMA nodes for a rank, or whole ranks in a NUMA node */
};

/* Kinds of cores that hwloc ranks by their efficiency. ALL: a rank's cores are of one kind if the
 * shares allow it, and otherwise each rank has as many of each kind as the others. */
enum plan_kind { PLAN_ALL, PLAN_PERFORMANCE, PLAN_EFFICIENCY };

struct plan_request {
    hwloc_topology_t topology;
    int ranks;                            /* of this node, 1 or more */
    const hwloc_const_bitmap_t *granted;  /* of each rank, by the system's numbers */
    const int *threads;                   /* of each rank, 1 or more */
    enum plan_policy policy;
    enum plan_kind kind;
};

struct plan {
    int ranks;
    hwloc_bitmap_t **masks;  /* masks[rank][thread] */
    hwloc_bitmap_t *shares;  /* of each rank: all PUs of its cores */
    int *threads;
    bool shares_pu;          /* some PU has more than one thread: more threads than granted PUs */
    bool grants_differ;      /* grants overlap, and are not equal */
};

/*
 * Returns 0, or -1 with errno: ENOMEM; EINVAL: no ranks, no threads, or *rank (may be NULL) has no
 * CPU that is granted, allowed and of the kind. plan_free() frees what a plan holds.
 */
int plan_make(const struct plan_request *request, struct plan *plan, int *rank);
void plan_free(struct plan *plan);

/* The policy of a name: balanced, compact, spread, numa. */
enum plan_policy plan_policy_of(const char *name);

/* How many cores have a PU in `set`; PUs, where the topology has no cores. */
int plan_cores(hwloc_topology_t topology, hwloc_const_bitmap_t set);

#endif
