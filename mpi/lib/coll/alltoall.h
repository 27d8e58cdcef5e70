/*
 * alltoall - what MPI_Alltoall does, by hand (MPI 3.1, section 5.8); n is a rank's send buffer.
 *
 *   linear    (p-1)(a + n/p b), of which starts overlap: 8 messages are on their way at a time;
 *             nobody is everybody's first target
 *   pairwise  (p-1)(a + n/p b): in step k a rank sends to the one k places up, and receives from
 *             the one k places down, so that no two send to one rank in a step (Thakur,
 *             Rabenseifner, Gropp, IJHPCA 19, 2005)
 *   bruck     lg p (a + n/2 b): blocks travel along the bits of their distance, through others, and
 *             each step carries half of all (Bruck et al., IEEE TPDS 8, 1997)
 *   shared    see shared.h; on one node
 */
#ifndef MPI_LIB_COLL_ALLTOALL_H
#define MPI_LIB_COLL_ALLTOALL_H

#include "mpi/lib/coll/coll.h"

extern const struct coll_algorithm coll_alltoall_algorithms[];

coll_alltoall coll_alltoall_pairwise;

#endif
