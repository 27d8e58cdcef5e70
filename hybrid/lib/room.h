/*
 * room - whether the memory that a program wants is there, before it is touched.
 *
 * A window that ranks share lies in a file system in memory, on Linux /dev/shm, which in a
 * container often has 64 MB. Where a window is larger, Open MPI 4.1 ends the job by an internal
 * error; MPICH 4.0 hands it out all the same, and the first touch of a page that does not exist
 * ends the program by SIGBUS.
 */
#ifndef HYBRID_LIB_ROOM_H
#define HYBRID_LIB_ROOM_H

#include <stdint.h>

#include "mpi/lib/world.h"

/*
 * Collective. Whether every node has room for `own_bytes` of each of its ranks (they may differ)
 * and for `window_bytes` in a window that its ranks share (all ask for the same). Returns PASS, or
 * UNABLE on all ranks, told by one of them.
 */
enum status room_for(const struct world *w, uint64_t own_bytes, uint64_t window_bytes);

#endif
