/*
 * allgather - what MPI_Allgatherv does, by hand (MPI 3.1, section 5.7): blocks without gaps, whose
 * sizes all ranks know; n is what all of them hold.
 *
 *   linear              (p-1) a + (p-1)/p n b: each sends its block to all others, 8 at a time
 *   ring                (p-1)(a + n/p b): what came from the left goes on to the right
 *   recursive_doubling  lg p a + (p-1)/p n b: what a rank holds doubles with each partner; a + n b
 *                       more where p is no power of 2 (Thakur, Rabenseifner, Gropp, IJHPCA 19,
 *   2005) bruck               lg p a + (p-1)/p n b for any p, and two copies of all (Bruck, Ho,
 *   Kipnis,
 *                       Upfal, Weathersby, "Efficient algorithms for all-to-all communications in
 *                       multiport message-passing systems", IEEE TPDS 8, 1997)
 *   shared              see shared.h
 */
#ifndef MPI_LIB_COLL_ALLGATHER_H
#define MPI_LIB_COLL_ALLGATHER_H

#include "mpi/lib/coll/coll.h"

extern const struct coll_algorithm coll_allgather_algorithms[];

/* For operations that end with one: recvbuf holds this rank's block already; `starts` are those of
 * the blocks. */
struct coll_team;
void coll_ring(void *recvbuf, const int *starts, MPI_Datatype datatype,
               const struct coll_team *team);

#endif
