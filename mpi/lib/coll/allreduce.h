/*
 * allreduce - what MPI_Allreduce does, by hand (MPI 3.1, section 5.9.6).
 *
 *   linear              2 (p-1)(a + n b) + (p-1) n c: reduce and bcast, each by `linear`
 *   binomial            lg p (2 a + 2 n b + n c): reduce and bcast, each along a binomial tree
 *   recursive_doubling  lg p (a + n b + n c): partners swap what they have and combine it; 2 (a + n
 *                       b) + n c more where p is no power of 2 (Thakur, Rabenseifner, Gropp, IJHPCA
 *                       19, 2005)
 *   ring                2 (p-1) a + 2 (p-1)/p n b + (p-1)/p n c: parts of the vector travel round,
 *                       first combined, then copied; reorders (Patarasuk, Yuan, "Bandwidth optimal
 *                       all-reduce algorithms for clusters of workstations", JPDC 69, 2009)
 *   rabenseifner        2 lg p a + 2 (p-1)/p n b + (p-1)/p n c: the same in lg p steps; 2 (a + n b)
 *                       + n c more where p is no power of 2; reorders (Rabenseifner, ICCS 2004)
 *   shared              see shared.h
 *
 * Bits of a sum of floating-point numbers: by each algorithm all ranks get the same bits, and the
 * same ones at every run, for the same p and (shared) layout. Of a sum whose terms beyond the first
 * k ranks are 0, linear, binomial, and shared on one node give the same bits for all p >= k; the
 * others do not. Of MPI_Allreduce the standard only advises the former.
 */
#ifndef MPI_LIB_COLL_ALLREDUCE_H
#define MPI_LIB_COLL_ALLREDUCE_H

#include "mpi/lib/coll/coll.h"

extern const struct coll_algorithm coll_allreduce_algorithms[];

coll_allreduce coll_allreduce_recursive_doubling; /* what `shared` falls back to */

#endif
