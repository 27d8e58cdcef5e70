#include "mpi/lib/coll/gather.h"
#include "mpi/lib/coll/shared.h"
#include "mpi/lib/coll/tree.h"

#include <stdlib.h>

int coll_gather_linear(const void *sendbuf, void *recvbuf, const int counts[],
                       MPI_Datatype datatype, int root, MPI_Comm comm,
                       const struct coll_options *options)
{
    const struct coll_team *team = coll_team(comm);

    (void)options;
    if (!team)
        return -1;
    if (team->rank != root)
        return MPI_Send(sendbuf, counts[team->rank], datatype, root, 0, team->comm);
    MPI_Request *requests = malloc((size_t)team->size * sizeof *requests);
    if (!requests)
        return -1;
    for (int rank = 0, start = 0; rank < team->size; start += counts[rank++]) {
        void *block = coll_at(recvbuf, start, datatype);
        MPI_Irecv(block, counts[rank], datatype, rank == root ? MPI_PROC_NULL : rank, 0,
                  team->comm, &requests[rank]);
        if (rank == root && sendbuf != MPI_IN_PLACE)
            coll_copy(sendbuf, block, counts[rank], datatype);
    }
    MPI_Waitall(team->size, requests, MPI_STATUSES_IGNORE);
    free(requests);
    return 0;
}

static double linear_secs(const struct coll_case *c)
{
    return (c->ranks - 1) * (c->cost.a + c->bytes / c->ranks * c->cost.b);
}

int coll_gather_binomial(const void *sendbuf, void *recvbuf, const int counts[],
                         MPI_Datatype datatype, int root, MPI_Comm comm,
                         const struct coll_options *options)
{
    const struct coll_team *team = coll_team(comm);
    struct coll_tree tree;
    struct coll_run runs[2];

    (void)options;
    if (!team || coll_tree_open(&tree, counts, root, team))
        return -1;
    /* The root's blocks have their place, a leaf has one alone. */
    void *const room = tree.v > 0 && tree.span > 1
                           ? coll_alloc((size_t)coll_tree_count(&tree), datatype) : NULL;
    void *const blocks = tree.v == 0 ? recvbuf : room;
    const bool able = room || tree.v == 0 || tree.span == 1;

    if (able && blocks && sendbuf != MPI_IN_PLACE) {
        coll_tree_runs(&tree, tree.v, 1, tree.v == 0, runs);
        coll_copy(sendbuf, coll_at(blocks, runs[0].start, datatype), runs[0].count, datatype);
    }
    for (int bit = 1; able && bit < tree.bit; bit *= 2) {
        const int span = coll_tree_child(&tree, bit);
        const int n =
            span > 0 ? coll_tree_runs(&tree, tree.v + bit, span, tree.v == 0, runs) : 0;
        for (int i = 0; i < n; i++)
            MPI_Recv(coll_at(blocks, runs[i].start, datatype), runs[i].count, datatype,
                     coll_tree_rank(&tree, tree.v + bit), 0, team->comm, MPI_STATUS_IGNORE);
    }
    if (able && tree.v > 0) {
        const int parent = tree.v - tree.bit;
        const int n = coll_tree_runs(&tree, tree.v, tree.span, parent == 0, runs);
        for (int i = 0; i < n; i++)
            MPI_Send(coll_at(room ? room : sendbuf, runs[i].start, datatype), runs[i].count,
                     datatype, coll_tree_rank(&tree, parent), 0, team->comm);
    }
    coll_free(room, datatype);
    free(tree.starts);
    return able ? 0 : -1;
}

static double binomial_secs(const struct coll_case *c)
{
    return coll_lg(c->ranks) * c->cost.a + c->bytes * (c->ranks - 1) / c->ranks * c->cost.b;
}

const struct coll_algorithm coll_gather_algorithms[] = {
    { .name = "mpi" },
    { .name = "linear", .gather = coll_gather_linear, .secs = linear_secs },
    { .name = "binomial", .gather = coll_gather_binomial, .secs = binomial_secs },
    { .name = "shared", .gather = coll_gather_shared, .needs = COLL_SHARED },
    { .name = NULL },
};
