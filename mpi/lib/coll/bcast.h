/*
 * bcast - what MPI_Bcast does, by hand (MPI 3.1, section 5.4).
 *
 *   linear             (p-1)(a + n b): the root sends to one after the other
 *   chain              (p-2 + n/s)(a + s b) in segments of s bytes, near p a + n b: a pipeline
 *                      (Watts, van de Geijn, Parallel Processing Letters 5, 1995)
 *   binomial           lg p (a + n b): who has the data sends on, so those who have it double
 *                      (Johnsson, Ho, IEEE Transactions on Computers 38, 1989)
 *   knomial            lg4 p (a + 3 n b): a tree of radix 4, so that fewer starts lie one behind
 *                      the other while a holder sends (Karp, Sahay, Santos, Schauser, "Optimal
 *                      broadcast and summation in the LogP model", SPAA 1993)
 *   binary             2 (lg p - 1 + n/s)(a + s b): a pipeline with two successors
 *                      (Pjesivac-Grbovic et al., "Performance analysis of MPI collective
 *                      operations", Cluster Computing 10, 2007)
 *   scatter_allgather  (lg p + p-1) a + 2 (p-1)/p n b: a binomial scatter, a ring (van de Geijn, in
 *                      Barnett et al., "Interprocessor collective communication library", SHPCC'94)
 *   scatter_doubling   2 lg p a + 2 (p-1)/p n b: a binomial scatter, recursive doubling; a + n b
 *                      more where p is no power of 2 (Thakur, Rabenseifner, Gropp, "Optimization of
 *                      collective communication operations in MPICH", IJHPCA 19, 2005)
 *   shared             see shared.h
 *
 * The least possible is about lg p a + n b (Chan, Heimlich, Purkayastha, van de Geijn, "Collective
 * communication: theory, practice, and experience", CCPE 19, 2007; also for the other operations).
 */
#ifndef MPI_LIB_COLL_BCAST_H
#define MPI_LIB_COLL_BCAST_H

#include "mpi/lib/coll/coll.h"

extern const struct coll_algorithm coll_bcast_algorithms[];

/* For operations that end with one. */
coll_bcast coll_bcast_linear, coll_bcast_binomial;

#endif
