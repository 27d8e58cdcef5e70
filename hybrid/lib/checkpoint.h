/*
 * checkpoint - a plane in a file, by MPI-IO: one file for all ranks, which any number of ranks can
 * read, cut in any way.
 *
 * 128 bytes of header tell what the field is: n, radius, seed, form, step, and digests of the field
 * and of the header itself. Then come n x n doubles, row by row, in this machine's byte order.
 *
 * The file is written beside PATH (local/lib/file: struct file_draft), brought to the disk, and then
 * renamed: whoever is killed in the middle leaves the older PATH as it was.
 */
#ifndef HYBRID_LIB_CHECKPOINT_H
#define HYBRID_LIB_CHECKPOINT_H

#include "hybrid/lib/plane.h"

/*
 * Collective. Returns 0; or -1 on all ranks alike with a sentence in `error` (what MPI says, a full
 * disk ...), and PATH is then what it was before.
 */
int checkpoint_write(const struct plane *plane, const char *path, char *error, size_t error_size);

/*
 * Collective. Fills the plane (plane_fill()) with what is in the file. Returns 0; or -1 on all
 * ranks alike with a sentence in `error`: there is no such file, it is none of these, it was cut
 * off or damaged, or it is of another n, radius, form or seed than asked for.
 */
int checkpoint_read(struct plane *plane, struct place *place, const char *path,
                    enum plane_form form, uint64_t seed, char *error, size_t error_size);

#endif
