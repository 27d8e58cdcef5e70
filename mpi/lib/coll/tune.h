/*
 * tune - which algorithm was the fastest on this machine, by operation, layout and size: what
 * `auto` looks up.
 *
 * A table is a text file, a line an entry, sorted by nobody:
 *
 *     bcast nodes 1 ranks 4 bytes 65536 algorithm shared
 *
 * holds for one operation on that many nodes and ranks, from that size up to the next one.
 */
#ifndef MPI_LIB_COLL_TUNE_H
#define MPI_LIB_COLL_TUNE_H

#include <stdint.h>
#include <stdio.h>

#include "mpi/lib/coll/coll.h"

struct tune_entry {
    uint64_t bytes; /* and more */
    const struct coll_algorithm *algorithm;
};

struct tune {
    int nodes, ranks; /* the layout that it was measured on: the nearest one in the file */
    struct tune_entry *entries; /* by size */
    int count;
};

/*
 * The entries of `operation` in `text` for the layout that is nearest to this one: of as many
 * nodes, if there is one, and the least different number of ranks. Names that `algorithms` does not
 * have are left out. Returns 0, count 0 if there is none; or -1 with errno ENOMEM, or EINVAL for a
 * line that is no entry, whose number `line` then is. tune_close() frees it.
 */
int tune_read(struct tune *tune, const char *text, const char *operation, int nodes, int ranks,
              const struct coll_algorithm *algorithms, int *line);
void tune_close(struct tune *tune);

/* The entry for `bytes`; NULL if there is none. Below the smallest size it is that one's. */
const struct tune_entry *tune_find(const struct tune *tune, uint64_t bytes);

/*
 * Puts `entries` into the file `path` in place of those of this operation and layout, and keeps the
 * others; the file is made, or replaced as a whole. Returns 0, or -1 with errno.
 */
int tune_write(const char *path, const char *operation, int nodes, int ranks,
               const struct tune_entry *entries, int count);

#endif
