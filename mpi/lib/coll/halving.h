/*
 * halving - the half of Rabenseifner's algorithms: combining a vector so that each rank ends with a
 * part of the result (Rabenseifner, "Optimization of collective reduction operations", ICCS 2004).
 */
#ifndef MPI_LIB_COLL_HALVING_H
#define MPI_LIB_COLL_HALVING_H

#include "mpi/lib/coll/team.h"

/*
 * The vectors of all ranks lie in `work`; of a folded pair's odd rank, it goes to the even one.
 * Afterwards folded rank i has the result's elements starts[i] ... starts[i + 1] - 1 in their place
 * in `work`, whose other elements are overwritten; the odd ranks of pairs have nothing. The vector
 * has `starts[fold->count]` elements. lg p (a + (p-1)/p n (b + c)); reorders. Returns 0, or -1 with
 * ENOMEM.
 */
int coll_halve(void *work, const int *starts, MPI_Datatype datatype, MPI_Op op,
               const struct coll_fold *fold, const struct coll_team *team);

/* The inverse of the way of the data: from what coll_halve() left each folded rank has it all. */
void coll_double(void *work, const int *starts, MPI_Datatype datatype,
                 const struct coll_fold *fold, const struct coll_team *team);

/* The same, for one folded rank alone. */
void coll_collect(void *work, const int *starts, MPI_Datatype datatype, int folded_root,
                  const struct coll_fold *fold, const struct coll_team *team);

/* fold->count parts of about the same size. NULL with ENOMEM; the caller frees it. */
int *coll_even_starts(int count, const struct coll_fold *fold);

#endif
