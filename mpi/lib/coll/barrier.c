#include "mpi/lib/coll/barrier.h"
#include "mpi/lib/coll/bcast.h"
#include "mpi/lib/coll/reduce.h"
#include "mpi/lib/coll/shared.h"
#include "mpi/lib/coll/team.h"

static int barrier_linear(MPI_Comm comm, const struct coll_options *options)
{
    if (coll_reduce_linear(NULL, NULL, 0, MPI_BYTE, MPI_BOR, 0, comm, options))
        return -1;
    return coll_bcast_linear(NULL, 0, MPI_BYTE, 0, comm, options);
}

static double linear_secs(const struct coll_case *c)
{
    return 2 * (c->ranks - 1) * c->cost.a;
}

static int barrier_binomial(MPI_Comm comm, const struct coll_options *options)
{
    if (coll_reduce_binomial(NULL, NULL, 0, MPI_BYTE, MPI_BOR, 0, comm, options))
        return -1;
    return coll_bcast_binomial(NULL, 0, MPI_BYTE, 0, comm, options);
}

static double binomial_secs(const struct coll_case *c)
{
    return 2 * coll_lg(c->ranks) * c->cost.a;
}

int coll_barrier_dissemination(MPI_Comm comm, const struct coll_options *options)
{
    const struct coll_team *team = coll_team(comm);

    (void)options;
    if (!team)
        return -1;
    for (int far = 1; far < team->size; far *= 2)
        MPI_Sendrecv(NULL, 0, MPI_BYTE, (team->rank + far) % team->size, 0, NULL, 0, MPI_BYTE,
                     (team->rank - far + team->size) % team->size, 0, team->comm,
                     MPI_STATUS_IGNORE);
    return 0;
}

static double dissemination_secs(const struct coll_case *c)
{
    return coll_lg(c->ranks) * c->cost.a;
}

const struct coll_algorithm coll_barrier_algorithms[] = {
    { .name = "mpi" },
    { .name = "linear", .barrier = barrier_linear, .secs = linear_secs },
    { .name = "binomial", .barrier = barrier_binomial, .secs = binomial_secs },
    { .name = "dissemination", .barrier = coll_barrier_dissemination, .secs = dissemination_secs },
    { .name = "shared", .barrier = coll_barrier_shared, .needs = COLL_SHARED },
    { .name = NULL },
};
