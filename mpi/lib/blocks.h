/*
 * blocks - a whole cut into one contiguous block a rank, as the calls with counts and displacements
 * want to be told.
 */
#ifndef MPI_LIB_BLOCKS_H
#define MPI_LIB_BLOCKS_H

#include "mpi/lib/world.h"

struct blocks {
    int *counts, *starts; /* one entry a rank */
    bool even;            /* all counts are the same: the calls without v will do */
};

/* Cuts `total` elements, at most INT_MAX, as block_of() does. blocks_close() frees it. */
struct blocks blocks_open(const struct world *world, uint64_t total);
void blocks_close(struct blocks *blocks);

#endif
