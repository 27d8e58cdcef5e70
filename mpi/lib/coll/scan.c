#include "mpi/lib/coll/scan.h"
#include "mpi/lib/coll/team.h"

#include <stdlib.h>

/* Segment by segment: what comes from the left is the exclusive result, with this rank's own it is
 * the inclusive one, which goes on to the right. */
static int walk(const void *sendbuf, void *recvbuf, int count, MPI_Datatype datatype, MPI_Op op,
                bool inclusive, int segment, const struct coll_team *team)
{
    const int left = team->rank > 0 ? team->rank - 1 : MPI_PROC_NULL;
    const int right = team->rank + 1 < team->size ? team->rank + 1 : MPI_PROC_NULL;
    void *const sum = coll_alloc((size_t)count, datatype);
    void *const before = coll_alloc((size_t)segment, datatype);
    MPI_Request *const requests =
        malloc(((size_t)count / (size_t)segment + 1) * sizeof *requests);
    const bool able = sum && before && requests;
    int n = 0;

    if (able)
        coll_copy(sendbuf == MPI_IN_PLACE ? recvbuf : sendbuf, sum, count, datatype);
    for (int start = 0; able && start < count; start += segment) {
        const int length = count - start < segment ? count - start : segment;
        void *const mine = coll_at(sum, start, datatype);
        MPI_Recv(before, length, datatype, left, 0, team->comm, MPI_STATUS_IGNORE);
        if (left != MPI_PROC_NULL)
            MPI_Reduce_local(before, mine, length, datatype, op);
        MPI_Isend(mine, length, datatype, right, 0, team->comm, &requests[n++]);
        if (left != MPI_PROC_NULL || inclusive)
            coll_copy(inclusive ? mine : before, coll_at(recvbuf, start, datatype), length,
                      datatype);
    }
    if (able)
        MPI_Waitall(n, requests, MPI_STATUSES_IGNORE);
    free(requests);
    coll_free(before, datatype);
    coll_free(sum, datatype);
    return able ? 0 : -1;
}

static int linear(const void *sendbuf, void *recvbuf, int count, MPI_Datatype datatype, MPI_Op op,
                  bool inclusive, MPI_Comm comm)
{
    const struct coll_team *team = coll_team(comm);

    return team ? walk(sendbuf, recvbuf, count, datatype, op, inclusive, count > 0 ? count : 1,
                       team) : -1;
}

static int chain(const void *sendbuf, void *recvbuf, int count, MPI_Datatype datatype, MPI_Op op,
                 bool inclusive, MPI_Comm comm, const struct coll_options *options)
{
    const struct coll_team *team = coll_team(comm);

    return team ? walk(sendbuf, recvbuf, count, datatype, op, inclusive,
                       coll_segment_count(options, count, datatype, team->size - 2), team) : -1;
}

/* `sum` is that of the ranks from some place on up to this one, `result` the same without this one
 * or, inclusive, `sum` itself. */
static int doubling(const void *sendbuf, void *recvbuf, int count, MPI_Datatype datatype,
                    MPI_Op op, bool inclusive, MPI_Comm comm)
{
    const struct coll_team *team = coll_team(comm);

    if (!team)
        return -1;
    const int rank = team->rank, size = team->size;
    void *const sum = coll_alloc((size_t)count, datatype);
    void *const incoming = coll_alloc((size_t)count, datatype);
    const bool able = sum && incoming;
    bool empty = true; /* the exclusive result so far */

    if (able)
        coll_copy(sendbuf == MPI_IN_PLACE ? recvbuf : sendbuf, sum, count, datatype);
    for (int far = 1; able && far < size; far *= 2) {
        const int to = rank + far < size ? rank + far : MPI_PROC_NULL;
        const int from = rank - far >= 0 ? rank - far : MPI_PROC_NULL;
        MPI_Sendrecv(sum, count, datatype, to, 0, incoming, count, datatype, from, 0, team->comm,
                     MPI_STATUS_IGNORE);
        if (from == MPI_PROC_NULL)
            continue;
        MPI_Reduce_local(incoming, sum, count, datatype, op);
        if (inclusive)
            continue;
        if (empty)
            coll_copy(incoming, recvbuf, count, datatype);
        else
            MPI_Reduce_local(incoming, recvbuf, count, datatype, op);
        empty = false;
    }
    if (able && inclusive)
        coll_copy(sum, recvbuf, count, datatype);
    coll_free(incoming, datatype);
    coll_free(sum, datatype);
    return able ? 0 : -1;
}

static int scan_linear(const void *sendbuf, void *recvbuf, int count, MPI_Datatype datatype,
                       MPI_Op op, MPI_Comm comm, const struct coll_options *options)
{
    (void)options;
    return linear(sendbuf, recvbuf, count, datatype, op, true, comm);
}

static int exscan_linear(const void *sendbuf, void *recvbuf, int count, MPI_Datatype datatype,
                         MPI_Op op, MPI_Comm comm, const struct coll_options *options)
{
    (void)options;
    return linear(sendbuf, recvbuf, count, datatype, op, false, comm);
}

static double linear_secs(const struct coll_case *c)
{
    return (c->ranks - 1) * (c->cost.a + c->bytes * (c->cost.b + c->cost.c));
}

static int scan_chain(const void *sendbuf, void *recvbuf, int count, MPI_Datatype datatype,
                      MPI_Op op, MPI_Comm comm, const struct coll_options *options)
{
    return chain(sendbuf, recvbuf, count, datatype, op, true, comm, options);
}

static int exscan_chain(const void *sendbuf, void *recvbuf, int count, MPI_Datatype datatype,
                        MPI_Op op, MPI_Comm comm, const struct coll_options *options)
{
    return chain(sendbuf, recvbuf, count, datatype, op, false, comm, options);
}

static double chain_secs(const struct coll_case *c)
{
    const double segment = (double)coll_segment(c->options, c->bytes, c->ranks - 2);
    const double segments = c->bytes > segment ? c->bytes / segment : 1;

    return c->ranks == 1 ? 0 : (c->ranks - 2 + segments) *
           (c->cost.a + c->bytes / segments * (c->cost.b + c->cost.c));
}

static int scan_doubling(const void *sendbuf, void *recvbuf, int count, MPI_Datatype datatype,
                         MPI_Op op, MPI_Comm comm, const struct coll_options *options)
{
    (void)options;
    return doubling(sendbuf, recvbuf, count, datatype, op, true, comm);
}

static int exscan_doubling(const void *sendbuf, void *recvbuf, int count, MPI_Datatype datatype,
                           MPI_Op op, MPI_Comm comm, const struct coll_options *options)
{
    (void)options;
    return doubling(sendbuf, recvbuf, count, datatype, op, false, comm);
}

static double doubling_secs(const struct coll_case *c)
{
    return coll_lg(c->ranks) * (c->cost.a + c->bytes * (c->cost.b + c->cost.c));
}

const struct coll_algorithm coll_scan_algorithms[] = {
    { .name = "mpi" },
    { .name = "linear", .allreduce = scan_linear, .secs = linear_secs },
    { .name = "chain", .allreduce = scan_chain, .secs = chain_secs },
    { .name = "doubling", .allreduce = scan_doubling, .secs = doubling_secs },
    { .name = NULL },
};

const struct coll_algorithm coll_exscan_algorithms[] = {
    { .name = "mpi" },
    { .name = "linear", .allreduce = exscan_linear, .secs = linear_secs },
    { .name = "chain", .allreduce = exscan_chain, .secs = chain_secs },
    { .name = "doubling", .allreduce = exscan_doubling, .secs = doubling_secs },
    { .name = NULL },
};
