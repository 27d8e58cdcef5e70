/*
 * reduce_scatter - what MPI_Reduce_scatter does, by hand (MPI 3.1, section 5.10.2); n is the whole
 * vector.
 *
 *   linear             (p-1)(2 a + n b + n c + n/p b): reduce and scatter, each by `linear`
 *   binomial           lg p (2 a + n b + n c) + (p-1)/p n b: reduce and scatter along binomial
 *   trees
 *   pairwise           (p-1)(a + n/p (b + c)): in step k a rank sends the one k places up its part,
 *                      and combines what comes from k places down; reorders (Thakur, Rabenseifner,
 *                      Gropp, IJHPCA 19, 2005)
 *   ring               (p-1)(a + n/p (b + c)): sums travel to the right and grow; reorders
 *                      (Patarasuk, Yuan, JPDC 69, 2009)
 *   recursive_halving  lg p a + (p-1)/p n (b + c); 2 a + (1 + 1/p) n b + n c more where p is no
 *                      power of 2; reorders (Rabenseifner, ICCS 2004)
 *   shared             see shared.h; on one node
 *
 * Bits of sums: see allreduce.h; linear and binomial as there, the others differ with p.
 */
#ifndef MPI_LIB_COLL_REDUCE_SCATTER_H
#define MPI_LIB_COLL_REDUCE_SCATTER_H

#include "mpi/lib/coll/coll.h"

extern const struct coll_algorithm coll_reduce_scatter_algorithms[];

coll_reduce_scatter coll_reduce_scatter_binomial;

/* The first half of allreduce's ring: all vectors lie in `work`; afterwards this rank's part of it
 * is combined, the rest overwritten. Returns 0, or -1 with ENOMEM. */
struct coll_team;
int coll_reduce_ring(void *work, const int *starts, MPI_Datatype datatype, MPI_Op op,
                     const struct coll_team *team);

#endif
