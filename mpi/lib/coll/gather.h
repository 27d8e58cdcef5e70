/*
 * gather - what MPI_Gatherv does, by hand (MPI 3.1, section 5.5): blocks without gaps, whose sizes
 * all ranks know.
 *
 *   linear    (p-1) a + (p-1)/p n b: each sends its block to the root, all at once
 *   binomial  lg p a + (p-1)/p n b: the scatter of scatter.h, backwards
 *   shared    see shared.h
 */
#ifndef MPI_LIB_COLL_GATHER_H
#define MPI_LIB_COLL_GATHER_H

#include "mpi/lib/coll/coll.h"

extern const struct coll_algorithm coll_gather_algorithms[];

coll_gather coll_gather_linear, coll_gather_binomial;

#endif
