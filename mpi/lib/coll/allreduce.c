#include "mpi/lib/coll/allreduce.h"
#include "mpi/lib/coll/allgather.h"
#include "mpi/lib/coll/bcast.h"
#include "mpi/lib/coll/halving.h"
#include "mpi/lib/coll/reduce.h"
#include "mpi/lib/coll/reduce_scatter.h"
#include "mpi/lib/coll/shared.h"
#include "mpi/lib/coll/team.h"

#include <stdlib.h>

static int reduce_and_bcast(coll_reduce *reduce, coll_bcast *bcast, const void *sendbuf,
                            void *recvbuf, int count, MPI_Datatype datatype, MPI_Op op,
                            MPI_Comm comm, const struct coll_options *options)
{
    const struct coll_team *team = coll_team(comm);

    if (!team)
        return -1;
    if (sendbuf == MPI_IN_PLACE && team->rank > 0) /* there the reduction has no recvbuf */
        sendbuf = recvbuf;
    if (reduce(sendbuf, recvbuf, count, datatype, op, 0, comm, options))
        return -1;
    return bcast(recvbuf, count, datatype, 0, comm, options);
}

static int allreduce_linear(const void *sendbuf, void *recvbuf, int count, MPI_Datatype datatype,
                            MPI_Op op, MPI_Comm comm, const struct coll_options *options)
{
    return reduce_and_bcast(coll_reduce_linear, coll_bcast_linear, sendbuf, recvbuf, count,
                            datatype, op, comm, options);
}

static double linear_secs(const struct coll_case *c)
{
    return (c->ranks - 1) *
           (2 * (c->cost.a + c->bytes * c->cost.b) + c->bytes * c->cost.c);
}

static int allreduce_binomial(const void *sendbuf, void *recvbuf, int count, MPI_Datatype datatype,
                              MPI_Op op, MPI_Comm comm, const struct coll_options *options)
{
    return reduce_and_bcast(coll_reduce_binomial, coll_bcast_binomial, sendbuf, recvbuf, count,
                            datatype, op, comm, options);
}

static double binomial_secs(const struct coll_case *c)
{
    return coll_lg(c->ranks) *
           (2 * (c->cost.a + c->bytes * c->cost.b) + c->bytes * c->cost.c);
}

static void swap(void **one, void **other)
{
    void *const spare = *one;

    *one = *other;
    *other = spare;
}

/* Both partners form lower op upper, in that order: so all end with the same bits. The result lies
 * where the upper operand lay. */
int coll_allreduce_recursive_doubling(const void *sendbuf, void *recvbuf, int count,
                                      MPI_Datatype datatype, MPI_Op op, MPI_Comm comm,
                                      const struct coll_options *options)
{
    const struct coll_team *team = coll_team(comm);
    void *const room = team ? coll_alloc((size_t)count, datatype) : NULL;

    (void)options;
    if (!room)
        return -1;
    const struct coll_fold fold = coll_fold(team->rank, team->size);
    const int other = fold.other < 0 ? MPI_PROC_NULL : fold.other;
    void *sum = recvbuf, *incoming = room;

    if (sendbuf != MPI_IN_PLACE)
        coll_copy(sendbuf, recvbuf, count, datatype);
    if (fold.rank < 0) {
        MPI_Send(recvbuf, count, datatype, other, 0, team->comm);
        MPI_Recv(recvbuf, count, datatype, other, 0, team->comm, MPI_STATUS_IGNORE);
        coll_free(room, datatype);
        return 0;
    }
    MPI_Recv(incoming, count, datatype, other, 0, team->comm, MPI_STATUS_IGNORE);
    if (other != MPI_PROC_NULL) {
        MPI_Reduce_local(sum, incoming, count, datatype, op);
        swap(&sum, &incoming);
    }
    for (int bit = 1; bit < fold.count; bit *= 2) {
        const int peer = coll_unfold(&fold, fold.rank ^ bit);
        MPI_Sendrecv(sum, count, datatype, peer, 0, incoming, count, datatype, peer, 0, team->comm,
                     MPI_STATUS_IGNORE);
        if (fold.rank & bit) {
            MPI_Reduce_local(incoming, sum, count, datatype, op);
        } else {
            MPI_Reduce_local(sum, incoming, count, datatype, op);
            swap(&sum, &incoming);
        }
    }
    MPI_Send(sum, count, datatype, other, 0, team->comm);
    coll_copy(sum, recvbuf, count, datatype);
    coll_free(room, datatype);
    return 0;
}

static double recursive_doubling_secs(const struct coll_case *c)
{
    const int p = c->ranks, folded = (p & (p - 1)) != 0;
    const double move = c->cost.a + c->bytes * c->cost.b, combine = c->bytes * c->cost.c;

    return (coll_lg(p + 1) - 1 + (p == 1)) * (move + combine) + folded * (2 * move + combine);
}

static int allreduce_ring(const void *sendbuf, void *recvbuf, int count, MPI_Datatype datatype,
                          MPI_Op op, MPI_Comm comm, const struct coll_options *options)
{
    const struct coll_team *team = coll_team(comm);
    int *starts = team ? malloc(((size_t)team->size + 1) * sizeof *starts) : NULL;

    (void)options;
    if (!starts)
        return -1;
    for (int i = 0; i <= team->size; i++)
        starts[i] = (int)((long long)count * i / team->size);
    if (sendbuf != MPI_IN_PLACE)
        coll_copy(sendbuf, recvbuf, count, datatype);
    const int status = coll_reduce_ring(recvbuf, starts, datatype, op, team);
    if (status == 0)
        coll_ring(recvbuf, starts, datatype, team);
    free(starts);
    return status;
}

static double ring_secs(const struct coll_case *c)
{
    const double share = (double)(c->ranks - 1) / c->ranks;

    return 2 * (c->ranks - 1) * c->cost.a + share * c->bytes * (2 * c->cost.b + c->cost.c);
}

static int allreduce_rabenseifner(const void *sendbuf, void *recvbuf, int count,
                                  MPI_Datatype datatype, MPI_Op op, MPI_Comm comm,
                                  const struct coll_options *options)
{
    const struct coll_team *team = coll_team(comm);

    (void)options;
    if (!team)
        return -1;
    const struct coll_fold fold = coll_fold(team->rank, team->size);
    int *const starts = coll_even_starts(count, &fold);
    int status = starts ? 0 : -1;

    if (status == 0 && sendbuf != MPI_IN_PLACE)
        coll_copy(sendbuf, recvbuf, count, datatype);
    if (status == 0)
        status = coll_halve(recvbuf, starts, datatype, op, &fold, team);
    if (status == 0)
        coll_double(recvbuf, starts, datatype, &fold, team);
    free(starts);
    return status;
}

static double rabenseifner_secs(const struct coll_case *c)
{
    const int p = c->ranks, folded = (p & (p - 1)) != 0;
    const double share = (double)(p - 1) / p;

    return 2 * (coll_lg(p + 1) - 1 + (p == 1) + folded) * c->cost.a +
           (share + folded) * c->bytes * (2 * c->cost.b + c->cost.c);
}

const struct coll_algorithm coll_allreduce_algorithms[] = {
    { .name = "mpi" },
    { .name = "linear", .allreduce = allreduce_linear, .secs = linear_secs },
    { .name = "binomial", .allreduce = allreduce_binomial, .secs = binomial_secs },
    { .name = "recursive_doubling", .allreduce = coll_allreduce_recursive_doubling,
      .secs = recursive_doubling_secs },
    { .name = "ring", .allreduce = allreduce_ring, .needs = COLL_COMMUTATIVE, .secs = ring_secs },
    { .name = "rabenseifner", .allreduce = allreduce_rabenseifner,
      .needs = COLL_COMMUTATIVE, .secs = rabenseifner_secs },
    { .name = "shared", .allreduce = coll_allreduce_shared, .needs = COLL_SHARED },
    { .name = NULL },
};
