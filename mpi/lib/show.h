/* show - the data of every rank on the terminal, in rank order: what --show prints. */
#ifndef MPI_LIB_SHOW_H
#define MPI_LIB_SHOW_H

#include <stdint.h>

#include "mpi/lib/world.h"

/* Collective. One line a rank, "when  rank R: 1 2 3 ...", the first SHOW_MOST elements of it
 * and how many more; 32 bytes of `when` at most;
 * a rank with `array` NULL shows nothing. */
void show_elements(const struct world *world, const char *when, const uint64_t *array,
                   uint64_t count);

/* Collective. The same for bytes. */
void show_bytes(const struct world *world, const char *when, const unsigned char *bytes,
                uint64_t count);

#define SHOW_MOST 16

#endif
