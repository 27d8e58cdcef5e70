/*
 * bound - the least that an operation can take in the model of coll.h, however it is done: each
 * part of it bounds alone, and their sum is what good algorithms reach within a factor of 2 (Chan,
 * Heimlich, Purkayastha, van de Geijn, "Collective communication: theory, practice, and
 * experience", CCPE 19, 2007, section 3). Memory that ranks share, or several networks a node, may
 * beat it.
 */
#ifndef MPI_LIB_COLL_BOUND_H
#define MPI_LIB_COLL_BOUND_H

#include "mpi/lib/coll/coll.h"

double coll_bound_barrier(const struct coll_case *c);   /* lg p a */
double coll_bound_bcast(const struct coll_case *c);     /* lg p a + n b */
double coll_bound_blocks(const struct coll_case *c);    /* lg p a + (p-1)/p n b: scatter, gather,
                                                         * allgather, alltoall */
double coll_bound_reduce(const struct coll_case *c);    /* lg p a + n b + (p-1)/p n c; scan too */
double coll_bound_reduce_scatter(const struct coll_case *c); /* lg p a + (p-1)/p n (b + c) */
double coll_bound_allreduce(const struct coll_case *c); /* lg p a + (p-1)/p n (2 b + c) */

#endif
