/*
 * shared - collective operations through memory that the ranks of a node share (MPI 3.1, section
 * 11.2.3), without a message on one node.
 *
 * Each rank has a part of a shared window: two counters and some slots. It copies a piece of its
 * data into a slot and then raises its counter `posted`; the others wait for that, copy the piece
 * out, or combine it with others, and raise `done`. Counters only grow, so nothing is ever reset; a
 * slot is written again when all have done with it. Pieces follow one another, so that writers and
 * readers work at the same time. The scheme of flags is that of Graham and Shipman, "MPI support
 * for multi-core architectures: optimized shared memory collectives", EuroPVM/MPI 2008.
 *
 *   cost  n bytes are copied twice, by two ranks at a time: about n times the time to copy a byte,
 *         and what it takes to see a flag, instead of a and b of messages
 *
 * For allreduce each rank combines one part of the vector for all, so that all copy and combine at
 * once. The operands keep the order of ranks. Vectors of up to 4 KiB each rank combines for itself.
 *
 * Over several nodes the first rank of each is its leader: data goes within the node, between the
 * leaders (bcast and reductions by the algorithm that the model says is the quickest, allgather by
 * a ring, scatter and gather directly from and to the root), and within the nodes again.
 *
 * The window is made at the first call on a communicator (collective), kept as an attribute of it
 * and freed with it. A rank that waits spins for some microseconds, then yields its core each time;
 * where a node has more ranks than CPUs, at once. While it waits it also lets MPI make progress.
 * Elements that are too long for a slot, and reductions of elements with gaps, go by another
 * algorithm (binomial, pairwise, recursive doubling).
 */
#ifndef MPI_LIB_COLL_SHARED_H
#define MPI_LIB_COLL_SHARED_H

#include "mpi/lib/coll/coll.h"

coll_barrier coll_barrier_shared;
coll_bcast coll_bcast_shared;
coll_scatter coll_scatter_shared;
coll_gather coll_gather_shared;
coll_allgather coll_allgather_shared;
coll_alltoall coll_alltoall_shared; /* on one node alone, as reduce_scatter */
coll_reduce coll_reduce_shared;
coll_allreduce coll_allreduce_shared;
coll_reduce_scatter coll_reduce_scatter_shared;

#endif
