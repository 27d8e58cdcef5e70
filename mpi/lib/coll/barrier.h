/*
 * barrier - what MPI_Barrier does, by hand (MPI 3.1, section 5.3).
 *
 *   linear         2 (p-1) a: all tell rank 0, which tells all
 *   binomial       2 lg p a: the same along a tree
 *   dissemination  lg p a: in step k a rank tells the one 2^k places up, and waits for the one 2^k
 *                  places down; the least possible (Hensgen, Finkel, Manber, "Two algorithms for
 *                  barrier synchronization", International Journal of Parallel Programming 17,
 *   1988) shared         see shared.h
 */
#ifndef MPI_LIB_COLL_BARRIER_H
#define MPI_LIB_COLL_BARRIER_H

#include "mpi/lib/coll/coll.h"

extern const struct coll_algorithm coll_barrier_algorithms[];

coll_barrier coll_barrier_dissemination;

#endif
