/*
 * scan - what MPI_Scan and MPI_Exscan do, by hand (MPI 3.1, section 5.11). All algorithms keep the
 * order of ranks.
 *
 *   linear    (p-1)(a + n b + n c): each rank adds its own and hands the sum on
 *   chain     (p-2 + n/s)(a + s b + s c): the same as a pipeline of segments of s bytes
 *   doubling  lg p (a + n b + n c), exscan up to n c more a step: in step k what 2^k ranks sum up
 *             to goes 2^k places up (Hillis, Steele, "Data parallel algorithms", CACM 29, 1986)
 *
 * Exscan leaves recvbuf on rank 0 alone. Bits of sums: linear and chain add rank by rank, so a
 * rank's are the same for every p; so are those of doubling, whose tree under a rank does not
 * depend on the ranks above.
 */
#ifndef MPI_LIB_COLL_SCAN_H
#define MPI_LIB_COLL_SCAN_H

#include "mpi/lib/coll/coll.h"

extern const struct coll_algorithm coll_scan_algorithms[], coll_exscan_algorithms[];

#endif
