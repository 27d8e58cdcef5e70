/*
 * reduce - what MPI_Reduce does, by hand (MPI 3.1, section 5.9).
 *
 *   linear        (p-1)(a + n b + n c): the root takes one after the other, the last rank's first
 *   chain         (p-2 + n/s)(a + s b + s c): a pipeline of segments of s bytes
 *   binomial      lg p (a + n b + n c): the tree of bcast, upwards
 *   binary        2 (lg p - 1 + n/s)(a + s b + s c): a pipeline with two predecessors; reorders
 *                 (chain and binary: Pjesivac-Grbovic et al., Cluster Computing 10, 2007)
 *   rabenseifner  2 lg p a + 2 (p-1)/p n b + (p-1)/p n c: each rank of p combines a part of the
 *                 vector, the root gathers the parts; a + n b + n c more where p is no power of 2;
 *                 reorders (Rabenseifner, "Optimization of collective reduction operations", ICCS
 *                 2004)
 *   shared        see shared.h
 *
 * linear, chain and binomial keep the order of ranks: of an operation that does not commute they
 * form the result on rank 0 (linear: on the root), which sends it to the root.
 *
 * Bits of a sum of floating-point numbers: each algorithm gives the same bits at every run, for the
 * same p, root, segment and (shared) layout. Of a sum whose terms beyond the first k ranks are 0,
 * linear, and with root 0 chain, binomial and binary, and shared on one node give the same bits for
 * all p >= k: more ranks add to their order and change nothing within. The others do not.
 */
#ifndef MPI_LIB_COLL_REDUCE_H
#define MPI_LIB_COLL_REDUCE_H

#include "mpi/lib/coll/coll.h"

extern const struct coll_algorithm coll_reduce_algorithms[];

coll_reduce coll_reduce_linear, coll_reduce_binomial;

#endif
