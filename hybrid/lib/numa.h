/*
 * numa - on which NUMA node pages of memory lie, asked of the system. Linux; elsewhere the calls
 * answer that nothing is known. Numbers of nodes are the system's. Thread-safe.
 */
#ifndef HYBRID_LIB_NUMA_H
#define HYBRID_LIB_NUMA_H

#include <stddef.h>

/* Nodes of this machine that have memory; at least 1. */
int numa_nodes(void);

/* The node of the CPU that the calling thread runs on, or -1. */
int numa_here(void);

struct numa_pages {
    size_t on_node;   /* pages that lie on the node asked for */
    size_t elsewhere;
    size_t untouched; /* nobody has touched them, so they lie nowhere yet */
};

/*
 * Asks where the pages that lie wholly within `bytes` from `area` on are, or `most` of them evenly
 * spread, and adds them up in *pages. `page_bytes` may be a multiple of the system's: a page that
 * only begins or ends in the area belongs to the neighbour as well. Returns 0; or -1 with errno
 * (ENOSYS; EPERM: a container may forbid it; ENOMEM), and then *pages stays as it was.
 */
int numa_ask(const void *area, size_t bytes, size_t page_bytes, size_t most, int node,
             struct numa_pages *pages);

#endif
