#include "mpi/lib/coll/reduce_scatter.h"
#include "mpi/lib/coll/halving.h"
#include "mpi/lib/coll/reduce.h"
#include "mpi/lib/coll/scatter.h"
#include "mpi/lib/coll/shared.h"
#include "mpi/lib/coll/team.h"

#include <stdlib.h>

static int reduce_and_scatter(coll_reduce *reduce, coll_scatter *scatter, const void *sendbuf,
                              void *recvbuf, const int counts[], MPI_Datatype datatype, MPI_Op op,
                              MPI_Comm comm, const struct coll_options *options)
{
    const struct coll_team *team = coll_team(comm);
    int all = 0;

    for (int rank = 0; team && rank < team->size; rank++)
        all += counts[rank];
    void *const sum = team && team->rank == 0 ? coll_alloc((size_t)all, datatype) : NULL;
    if (!team || (team->rank == 0 && !sum))
        return -1;
    int status = reduce(sendbuf == MPI_IN_PLACE ? recvbuf : sendbuf, sum, all, datatype, op, 0,
                        comm, options);
    if (status == 0)
        status = scatter(sum, counts, datatype, recvbuf, 0, comm, options);
    coll_free(sum, datatype);
    return status;
}

static int reduce_scatter_linear(const void *sendbuf, void *recvbuf, const int counts[],
                                 MPI_Datatype datatype, MPI_Op op, MPI_Comm comm,
                                 const struct coll_options *options)
{
    return reduce_and_scatter(coll_reduce_linear, coll_scatter_linear, sendbuf, recvbuf, counts,
                              datatype, op, comm, options);
}

static double linear_secs(const struct coll_case *c)
{
    const double n = c->bytes;

    return (c->ranks - 1) *
           (2 * c->cost.a + n * (c->cost.b + c->cost.c) + n / c->ranks * c->cost.b);
}

int coll_reduce_scatter_binomial(const void *sendbuf, void *recvbuf, const int counts[],
                                   MPI_Datatype datatype, MPI_Op op, MPI_Comm comm,
                                   const struct coll_options *options)
{
    return reduce_and_scatter(coll_reduce_binomial, coll_scatter_binomial, sendbuf, recvbuf,
                              counts, datatype, op, comm, options);
}

static double binomial_secs(const struct coll_case *c)
{
    const double n = c->bytes;

    return coll_lg(c->ranks) * (2 * c->cost.a + n * (c->cost.b + c->cost.c)) +
           n * (c->ranks - 1) / c->ranks * c->cost.b;
}

static int reduce_scatter_pairwise(const void *sendbuf, void *recvbuf, const int counts[],
                                   MPI_Datatype datatype, MPI_Op op, MPI_Comm comm,
                                   const struct coll_options *options)
{
    const struct coll_team *team = coll_team(comm);
    int *starts = team ? coll_starts(counts, team->size) : NULL;

    (void)options;
    if (!starts)
        return -1;
    const int rank = team->rank, size = team->size, mine = counts[rank];
    const void *const source = sendbuf == MPI_IN_PLACE ? recvbuf : sendbuf;
    void *sum = coll_alloc((size_t)mine, datatype), *incoming = coll_alloc((size_t)mine, datatype);
    const bool able = sum && incoming;

    if (able)
        coll_copy(coll_at(source, starts[rank], datatype), sum, mine, datatype);
    for (int step = 1; able && step < size; step++) {
        const int to = (rank + step) % size, from = (rank - step + size) % size;
        MPI_Sendrecv(coll_at(source, starts[to], datatype), counts[to], datatype, to, 0, incoming,
                     mine, datatype, from, 0, team->comm, MPI_STATUS_IGNORE);
        MPI_Reduce_local(incoming, sum, mine, datatype, op);
    }
    if (able)
        coll_copy(sum, recvbuf, mine, datatype);
    coll_free(incoming, datatype);
    coll_free(sum, datatype);
    free(starts);
    return able ? 0 : -1;
}

static double direct_secs(const struct coll_case *c)
{
    return (c->ranks - 1) *
           (c->cost.a + c->bytes / c->ranks * (c->cost.b + c->cost.c));
}

int coll_reduce_ring(void *work, const int *starts, MPI_Datatype datatype, MPI_Op op,
                     const struct coll_team *team)
{
    const int rank = team->rank, size = team->size;
    int most = 0;

    for (int i = 0; i < size; i++)
        most = starts[i + 1] - starts[i] > most ? starts[i + 1] - starts[i] : most;
    void *const incoming = coll_alloc((size_t)most, datatype);
    for (int step = 1; incoming && step < size; step++) {
        const int out = (rank - step + size) % size, in = (rank - step - 1 + 2 * size) % size;
        const int length = starts[in + 1] - starts[in];
        MPI_Sendrecv(coll_at(work, starts[out], datatype), starts[out + 1] - starts[out], datatype,
                     (rank + 1) % size, 0, incoming, length, datatype, (rank - 1 + size) % size, 0,
                     team->comm, MPI_STATUS_IGNORE);
        MPI_Reduce_local(incoming, coll_at(work, starts[in], datatype), length, datatype, op);
    }
    coll_free(incoming, datatype);
    return incoming ? 0 : -1;
}

/* A copy of the whole vector, to combine in. */
static void *work_copy(const void *sendbuf, const void *recvbuf, int count, MPI_Datatype datatype)
{
    void *const work = coll_alloc((size_t)count, datatype);

    if (work)
        coll_copy(sendbuf == MPI_IN_PLACE ? recvbuf : sendbuf, work, count, datatype);
    return work;
}

static int reduce_scatter_ring(const void *sendbuf, void *recvbuf, const int counts[],
                               MPI_Datatype datatype, MPI_Op op, MPI_Comm comm,
                               const struct coll_options *options)
{
    const struct coll_team *team = coll_team(comm);
    int *starts = team ? coll_starts(counts, team->size) : NULL;
    void *work = starts ? work_copy(sendbuf, recvbuf, starts[team->size], datatype) : NULL;
    int status = work ? coll_reduce_ring(work, starts, datatype, op, team) : -1;

    (void)options;
    if (status == 0)
        coll_copy(coll_at(work, starts[team->rank], datatype), recvbuf, counts[team->rank],
                  datatype);
    coll_free(work, datatype);
    free(starts);
    return status;
}

/* Folded ranks stand for one rank's part or for a pair's two; the odd one gets its own sent. */
static int reduce_scatter_halving(const void *sendbuf, void *recvbuf, const int counts[],
                                  MPI_Datatype datatype, MPI_Op op, MPI_Comm comm,
                                  const struct coll_options *options)
{
    const struct coll_team *team = coll_team(comm);
    int *starts = team ? coll_starts(counts, team->size) : NULL;
    void *work = starts ? work_copy(sendbuf, recvbuf, starts[team->size], datatype) : NULL;
    struct coll_fold fold = { 0 };
    int *folded = NULL, status = -1;

    (void)options;
    if (work) {
        fold = coll_fold(team->rank, team->size);
        folded = coll_even_starts(0, &fold);
    }
    for (int i = 0; folded && i <= fold.count; i++)
        folded[i] = starts[coll_unfold(&fold, i)];
    if (folded)
        status = coll_halve(work, folded, datatype, op, &fold, team);
    if (status == 0) {
        const int rank = team->rank, other = fold.other;
        if (fold.rank < 0)
            MPI_Recv(recvbuf, counts[rank], datatype, other, 0, team->comm, MPI_STATUS_IGNORE);
        else if (other >= 0)
            MPI_Send(coll_at(work, starts[other], datatype), counts[other], datatype, other, 0,
                     team->comm);
        if (fold.rank >= 0)
            coll_copy(coll_at(work, starts[rank], datatype), recvbuf, counts[rank], datatype);
    }
    free(folded);
    coll_free(work, datatype);
    free(starts);
    return status;
}

static double halving_secs(const struct coll_case *c)
{
    const int p = c->ranks, folded = (p & (p - 1)) != 0;
    const double share = (double)(p - 1) / p, n = c->bytes;

    return (coll_lg(p + 1) - 1 + (p == 1) + 2 * folded) * c->cost.a +
           (share + folded * (1 + 1.0 / p)) * n * c->cost.b + (share + folded) * n * c->cost.c;
}

const struct coll_algorithm coll_reduce_scatter_algorithms[] = {
    { .name = "mpi" },
    { .name = "linear", .reduce_scatter = reduce_scatter_linear, .secs = linear_secs },
    { .name = "binomial", .reduce_scatter = coll_reduce_scatter_binomial, .secs = binomial_secs },
    { .name = "pairwise", .reduce_scatter = reduce_scatter_pairwise, .needs = COLL_COMMUTATIVE,
      .secs = direct_secs },
    { .name = "ring", .reduce_scatter = reduce_scatter_ring, .needs = COLL_COMMUTATIVE,
      .secs = direct_secs },
    { .name = "recursive_halving", .reduce_scatter = reduce_scatter_halving,
      .needs = COLL_COMMUTATIVE, .secs = halving_secs },
    { .name = "shared", .reduce_scatter = coll_reduce_scatter_shared,
      .needs = COLL_SHARED | COLL_ONE_NODE },
    { .name = NULL },
};
