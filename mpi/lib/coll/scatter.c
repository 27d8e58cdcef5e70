#include "mpi/lib/coll/scatter.h"
#include "mpi/lib/coll/shared.h"
#include "mpi/lib/coll/tree.h"

#include <stdlib.h>

int coll_scatter_linear(const void *sendbuf, const int counts[], MPI_Datatype datatype,
                        void *recvbuf, int root, MPI_Comm comm, const struct coll_options *options)
{
    const struct coll_team *team = coll_team(comm);

    (void)options;
    if (!team)
        return -1;
    if (team->rank != root)
        return MPI_Recv(recvbuf, counts[team->rank], datatype, root, 0, team->comm,
                        MPI_STATUS_IGNORE);
    MPI_Request *requests = malloc((size_t)team->size * sizeof *requests);
    if (!requests)
        return -1;
    for (int rank = 0, start = 0; rank < team->size; start += counts[rank++]) {
        const void *block = coll_at(sendbuf, start, datatype);
        MPI_Isend(block, counts[rank], datatype, rank == root ? MPI_PROC_NULL : rank, 0,
                  team->comm, &requests[rank]);
        if (rank == root && recvbuf != MPI_IN_PLACE)
            coll_copy(block, recvbuf, counts[rank], datatype);
    }
    MPI_Waitall(team->size, requests, MPI_STATUSES_IGNORE);
    free(requests);
    return 0;
}

static double linear_secs(const struct coll_case *c)
{
    return (c->ranks - 1) * (c->cost.a + c->bytes / c->ranks * c->cost.b);
}

int coll_scatter_binomial(const void *sendbuf, const int counts[], MPI_Datatype datatype,
                          void *recvbuf, int root, MPI_Comm comm,
                          const struct coll_options *options)
{
    const struct coll_team *team = coll_team(comm);
    struct coll_tree tree;
    struct coll_run runs[2];

    (void)options;
    if (!team || coll_tree_open(&tree, counts, root, team))
        return -1;
    /* The root's blocks are there, a leaf has one alone. */
    void *const room = tree.v > 0 && tree.span > 1
                           ? coll_alloc((size_t)coll_tree_count(&tree), datatype) : NULL;
    const void *const blocks = tree.v == 0 ? sendbuf : room;
    const bool able = room || tree.v == 0 || tree.span == 1;

    if (able && tree.v > 0) {
        const int parent = tree.v - tree.bit;
        const int n = coll_tree_runs(&tree, tree.v, tree.span, parent == 0, runs);
        for (int i = 0; i < n; i++)
            MPI_Recv(coll_at(room ? room : recvbuf, runs[i].start, datatype), runs[i].count,
                     datatype, coll_tree_rank(&tree, parent), 0, team->comm, MPI_STATUS_IGNORE);
    }
    for (int bit = tree.bit / 2; able && bit > 0; bit /= 2) {
        const int span = coll_tree_child(&tree, bit);
        const int n =
            span > 0 ? coll_tree_runs(&tree, tree.v + bit, span, tree.v == 0, runs) : 0;
        for (int i = 0; i < n; i++)
            MPI_Send(coll_at(blocks, runs[i].start, datatype), runs[i].count, datatype,
                     coll_tree_rank(&tree, tree.v + bit), 0, team->comm);
    }
    if (able && blocks && recvbuf != MPI_IN_PLACE) {
        coll_tree_runs(&tree, tree.v, 1, tree.v == 0, runs);
        coll_copy(coll_at(blocks, runs[0].start, datatype), recvbuf, runs[0].count, datatype);
    }
    coll_free(room, datatype);
    free(tree.starts);
    return able ? 0 : -1;
}

static double binomial_secs(const struct coll_case *c)
{
    return coll_lg(c->ranks) * c->cost.a +
           c->bytes * (c->ranks - 1) / c->ranks * c->cost.b;
}

const struct coll_algorithm coll_scatter_algorithms[] = {
    { .name = "mpi" },
    { .name = "linear", .scatter = coll_scatter_linear, .secs = linear_secs },
    { .name = "binomial", .scatter = coll_scatter_binomial, .secs = binomial_secs },
    { .name = "shared", .scatter = coll_scatter_shared, .needs = COLL_SHARED },
    { .name = NULL },
};
