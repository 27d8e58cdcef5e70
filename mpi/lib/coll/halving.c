#include "mpi/lib/coll/halving.h"

#include <stdlib.h>

int *coll_even_starts(int count, const struct coll_fold *fold)
{
    int *starts = malloc(((size_t)fold->count + 1) * sizeof *starts);

    for (int i = 0; starts && i <= fold->count; i++)
        starts[i] = (int)((long long)count * i / fold->count);
    return starts;
}

int coll_halve(void *work, const int *starts, MPI_Datatype datatype, MPI_Op op,
               const struct coll_fold *fold, const struct coll_team *team)
{
    const int all = starts[fold->count];

    if (fold->rank < 0)
        return MPI_Send(work, all, datatype, fold->other, 0, team->comm);
    void *const incoming = coll_alloc((size_t)all, datatype);
    if (!incoming)
        return -1;
    if (fold->other >= 0) {
        MPI_Recv(incoming, all, datatype, fold->other, 0, team->comm, MPI_STATUS_IGNORE);
        MPI_Reduce_local(incoming, work, all, datatype, op);
    }
    for (int half = fold->count / 2; half > 0; half /= 2) {
        const int peer = coll_unfold(fold, fold->rank ^ half);
        const int keep = fold->rank & ~(half - 1), give = keep ^ half;
        const int kept = starts[keep + half] - starts[keep];
        MPI_Sendrecv(coll_at(work, starts[give], datatype), starts[give + half] - starts[give],
                     datatype, peer, 0, incoming, kept, datatype, peer, 0, team->comm,
                     MPI_STATUS_IGNORE);
        MPI_Reduce_local(incoming, coll_at(work, starts[keep], datatype), kept, datatype, op);
    }
    coll_free(incoming, datatype);
    return 0;
}

void coll_double(void *work, const int *starts, MPI_Datatype datatype,
                 const struct coll_fold *fold, const struct coll_team *team)
{
    const int all = starts[fold->count];

    if (fold->rank < 0) {
        MPI_Recv(work, all, datatype, fold->other, 0, team->comm, MPI_STATUS_IGNORE);
        return;
    }
    for (int bit = 1; bit < fold->count; bit *= 2) {
        const int peer = coll_unfold(fold, fold->rank ^ bit);
        const int mine = fold->rank & ~(bit - 1), theirs = mine ^ bit;
        MPI_Sendrecv(coll_at(work, starts[mine], datatype), starts[mine + bit] - starts[mine],
                     datatype, peer, 0, coll_at(work, starts[theirs], datatype),
                     starts[theirs + bit] - starts[theirs], datatype, peer, 0, team->comm,
                     MPI_STATUS_IGNORE);
    }
    if (fold->other >= 0)
        MPI_Send(work, all, datatype, fold->other, 0, team->comm);
}

/* A rank whose distance to the root has a bit gives what it has to the one without. */
void coll_collect(void *work, const int *starts, MPI_Datatype datatype, int folded_root,
                  const struct coll_fold *fold, const struct coll_team *team)
{
    for (int bit = 1; fold->rank >= 0 && bit < fold->count; bit *= 2) {
        const int peer = coll_unfold(fold, fold->rank ^ bit);
        const int mine = fold->rank & ~(bit - 1), theirs = mine ^ bit;
        if ((fold->rank ^ folded_root) & bit) {
            MPI_Send(coll_at(work, starts[mine], datatype), starts[mine + bit] - starts[mine],
                     datatype, peer, 0, team->comm);
            return;
        }
        MPI_Recv(coll_at(work, starts[theirs], datatype), starts[theirs + bit] - starts[theirs],
                 datatype, peer, 0, team->comm, MPI_STATUS_IGNORE);
    }
}
