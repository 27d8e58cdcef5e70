#include "mpi/lib/coll/reduce.h"
#include "mpi/lib/coll/halving.h"
#include "mpi/lib/coll/shared.h"
#include "mpi/lib/coll/team.h"

#include <stdlib.h>

int coll_reduce_linear(const void *sendbuf, void *recvbuf, int count, MPI_Datatype datatype,
                       MPI_Op op, int root, MPI_Comm comm, const struct coll_options *options)
{
    const struct coll_team *team = coll_team(comm);

    (void)options;
    if (!team)
        return -1;
    if (team->rank != root)
        return MPI_Send(sendbuf, count, datatype, root, 0, team->comm);
    const void *const mine = sendbuf == MPI_IN_PLACE ? recvbuf : sendbuf;
    void *sum = coll_alloc((size_t)count, datatype), *next = coll_alloc((size_t)count, datatype);
    for (int rank = team->size - 1; sum && next && rank >= 0; rank--) {
        const bool first = rank == team->size - 1;
        if (rank != root)
            MPI_Recv(first ? sum : next, count, datatype, rank, 0, team->comm, MPI_STATUS_IGNORE);
        else if (first)
            coll_copy(mine, sum, count, datatype);
        if (!first) /* sum = x op sum: the order of ranks */
            MPI_Reduce_local(rank == root ? mine : next, sum, count, datatype, op);
    }
    if (sum && next)
        coll_copy(sum, recvbuf, count, datatype);
    const int status = sum && next ? 0 : -1;
    coll_free(next, datatype);
    coll_free(sum, datatype);
    return status;
}

static double linear_secs(const struct coll_case *c)
{
    return (c->ranks - 1) * (c->cost.a + c->bytes * (c->cost.b + c->cost.c));
}

/* Where a tree that counts ranks from its root on keeps their order. */
static int tree_root(MPI_Op op, int root)
{
    int commutes;

    MPI_Op_commutative(op, &commutes);
    return commutes ? root : 0;
}

int coll_reduce_binomial(const void *sendbuf, void *recvbuf, int count, MPI_Datatype datatype,
                         MPI_Op op, int root, MPI_Comm comm, const struct coll_options *options)
{
    const struct coll_team *team = coll_team(comm);

    (void)options;
    if (!team)
        return -1;
    const int size = team->size, top = tree_root(op, root);
    const int v = (team->rank - top + size) % size;
    const void *sum = sendbuf == MPI_IN_PLACE ? recvbuf : sendbuf;
    void *room[2] = { NULL, NULL };

    for (int bit = 1, turn = 0; bit < size && !(v & bit); bit *= 2, turn ^= 1) {
        if (v + bit >= size)
            continue;
        if (!room[turn] && !(room[turn] = coll_alloc((size_t)count, datatype))) {
            coll_free(room[turn ^ 1], datatype);
            return -1;
        }
        MPI_Recv(room[turn], count, datatype, (v + bit + top) % size, 0, team->comm,
                 MPI_STATUS_IGNORE);
        MPI_Reduce_local(sum, room[turn], count, datatype, op);
        sum = room[turn];
    }
    if (v > 0)
        MPI_Send(sum, count, datatype, (v - (v & -v) + top) % size, 0, team->comm);
    else if (top != root)
        MPI_Send(sum, count, datatype, root, 0, team->comm);
    if (team->rank == root && top == root)
        coll_copy(sum, recvbuf, count, datatype);
    else if (team->rank == root)
        MPI_Recv(recvbuf, count, datatype, top, 0, team->comm, MPI_STATUS_IGNORE);
    coll_free(room[0], datatype);
    coll_free(room[1], datatype);
    return 0;
}

static double binomial_secs(const struct coll_case *c)
{
    return coll_lg(c->ranks) * (c->cost.a + c->bytes * (c->cost.b + c->cost.c));
}

/* A pipeline: segment by segment this rank combines its own with those of its children, which comes
 * behind it in rank order, and passes the result on, or keeps it in `result`. */
static int pipeline(const void *mine, void *result, int count, MPI_Datatype datatype, MPI_Op op,
                    int segment, int parent, const int children[2], const struct coll_team *team)
{
    void *in[2][2] = { { NULL, NULL }, { NULL, NULL } }; /* of a turn, of a child */
    MPI_Request incoming[2][2], outgoing[2] = { MPI_REQUEST_NULL, MPI_REQUEST_NULL };
    const int present = (children[0] != MPI_PROC_NULL) + (children[1] != MPI_PROC_NULL);
    bool able = true;

    for (int i = 0; i < 2 * present; i++)
        able = (in[i / present][i % present] = coll_alloc((size_t)segment, datatype)) && able;
    for (int start = 0, turn = 0; able && start < count; start += segment, turn ^= 1) {
        const int length = count - start < segment ? count - start : segment;
        const int left = count - start - length;
        const int next = left < segment ? left : segment;

        for (int i = 0; start == 0 && i < present; i++)
            MPI_Irecv(in[turn][i], length, datatype, children[i], 0, team->comm,
                      &incoming[turn][i]);
        MPI_Wait(&outgoing[turn ^ 1], MPI_STATUS_IGNORE); /* from where the next one arrives */
        for (int i = 0; next > 0 && i < present; i++)
            MPI_Irecv(in[turn ^ 1][i], next, datatype, children[i], 0, team->comm,
                      &incoming[turn ^ 1][i]);
        const void *sum = coll_at(mine, start, datatype);
        for (int i = 0; i < present; i++) {
            MPI_Wait(&incoming[turn][i], MPI_STATUS_IGNORE);
            MPI_Reduce_local(sum, in[turn][i], length, datatype, op);
            sum = in[turn][i];
        }
        MPI_Isend(sum, length, datatype, parent, 0, team->comm, &outgoing[turn]);
        if (parent == MPI_PROC_NULL)
            coll_copy(sum, coll_at(result, start, datatype), length, datatype);
    }
    MPI_Waitall(2, outgoing, MPI_STATUSES_IGNORE);
    for (int i = 0; i < 2 * present; i++)
        coll_free(in[i / present][i % present], datatype);
    return able ? 0 : -1;
}

static int reduce_chain(const void *sendbuf, void *recvbuf, int count, MPI_Datatype datatype,
                        MPI_Op op, int root, MPI_Comm comm, const struct coll_options *options)
{
    const struct coll_team *team = coll_team(comm);

    if (!team)
        return -1;
    const int size = team->size, top = tree_root(op, root);
    const int v = (team->rank - top + size) % size;
    const int parent = v > 0 ? (v - 1 + top) % size : MPI_PROC_NULL;
    const int children[2] = { v + 1 < size ? (v + 1 + top) % size : MPI_PROC_NULL, MPI_PROC_NULL };
    const void *const mine = sendbuf == MPI_IN_PLACE ? recvbuf : sendbuf;
    void *const result = v > 0 || top == root ? recvbuf : coll_alloc((size_t)count, datatype);
    const int segment = coll_segment_count(options, count, datatype, size - 2);
    int status = v == 0 && !result ? -1 : pipeline(mine, result, count, datatype, op, segment,
                                                   parent, children, team);

    if (status == 0 && top != root && v == 0)
        MPI_Send(result, count, datatype, root, 0, team->comm);
    if (status == 0 && top != root && team->rank == root)
        MPI_Recv(recvbuf, count, datatype, top, 0, team->comm, MPI_STATUS_IGNORE);
    if (result != recvbuf)
        coll_free(result, datatype);
    return status;
}

static double pipeline_secs(const struct coll_case *c, int depth)
{
    const double segment = (double)coll_segment(c->options, c->bytes, depth - 1);
    const double segments = c->bytes > segment ? c->bytes / segment : 1;

    return (depth - 1 + segments) *
           (c->cost.a + c->bytes / segments * (c->cost.b + c->cost.c));
}

static double chain_secs(const struct coll_case *c)
{
    return c->ranks > 1 ? pipeline_secs(c, c->ranks - 1) : 0;
}

static int reduce_binary(const void *sendbuf, void *recvbuf, int count, MPI_Datatype datatype,
                         MPI_Op op, int root, MPI_Comm comm, const struct coll_options *options)
{
    const struct coll_team *team = coll_team(comm);

    if (!team)
        return -1;
    const int size = team->size, v = (team->rank - root + size) % size;
    const int parent = v > 0 ? ((v - 1) / 2 + root) % size : MPI_PROC_NULL;
    int children[2];

    for (int i = 0; i < 2; i++)
        children[i] = 2 * v + 1 + i < size ? (2 * v + 1 + i + root) % size : MPI_PROC_NULL;
    return pipeline(sendbuf == MPI_IN_PLACE ? recvbuf : sendbuf, recvbuf, count, datatype, op,
                    coll_segment_count(options, count, datatype, coll_lg(size) - 1), parent,
                    children, team);
}

static double binary_secs(const struct coll_case *c)
{
    return c->ranks > 1 ? 2 * pipeline_secs(c, coll_lg(c->ranks)) : 0;
}

static int reduce_rabenseifner(const void *sendbuf, void *recvbuf, int count,
                               MPI_Datatype datatype, MPI_Op op, int root, MPI_Comm comm,
                               const struct coll_options *options)
{
    const struct coll_team *team = coll_team(comm);

    (void)options;
    if (!team)
        return -1;
    const struct coll_fold fold = coll_fold(team->rank, team->size);
    const struct coll_fold of_root = coll_fold(root, team->size);
    const int folded_root = of_root.rank < 0 ? coll_fold(root - 1, team->size).rank : of_root.rank;
    int *const starts = coll_even_starts(count, &fold);
    void *const work = team->rank == root ? recvbuf : coll_alloc((size_t)count, datatype);
    int status = starts && work ? 0 : -1;

    if (status == 0 && sendbuf != MPI_IN_PLACE)
        coll_copy(sendbuf, work, count, datatype);
    if (status == 0)
        status = coll_halve(work, starts, datatype, op, &fold, team);
    if (status == 0)
        coll_collect(work, starts, datatype, folded_root, &fold, team);
    if (status == 0 && of_root.rank < 0 && fold.rank == folded_root)
        MPI_Send(work, count, datatype, root, 0, team->comm);
    if (status == 0 && of_root.rank < 0 && team->rank == root)
        MPI_Recv(work, count, datatype, root - 1, 0, team->comm, MPI_STATUS_IGNORE);
    if (team->rank != root)
        coll_free(work, datatype);
    free(starts);
    return status;
}

static double rabenseifner_secs(const struct coll_case *c)
{
    const int p = c->ranks, folded = (p & (p - 1)) != 0;
    const double share = (double)(p - 1) / p;

    return (2 * coll_lg(p) + folded) * c->cost.a + (2 * share + folded) * c->bytes * c->cost.b +
           (share + folded) * c->bytes * c->cost.c;
}

const struct coll_algorithm coll_reduce_algorithms[] = {
    { .name = "mpi" },
    { .name = "linear", .reduce = coll_reduce_linear, .secs = linear_secs },
    { .name = "chain", .reduce = reduce_chain, .secs = chain_secs },
    { .name = "binomial", .reduce = coll_reduce_binomial, .secs = binomial_secs },
    { .name = "binary", .reduce = reduce_binary, .needs = COLL_COMMUTATIVE, .secs = binary_secs },
    { .name = "rabenseifner", .reduce = reduce_rabenseifner, .needs = COLL_COMMUTATIVE,
      .secs = rabenseifner_secs },
    { .name = "shared", .reduce = coll_reduce_shared, .needs = COLL_SHARED },
    { .name = NULL },
};
