#include "mpi/lib/coll/bound.h"

static double share(const struct coll_case *c)
{
    return (double)(c->ranks - 1) / c->ranks;
}

double coll_bound_barrier(const struct coll_case *c)
{
    return coll_lg(c->ranks) * c->cost.a;
}

double coll_bound_bcast(const struct coll_case *c)
{
    return coll_bound_barrier(c) + (c->ranks > 1) * c->bytes * c->cost.b;
}

double coll_bound_blocks(const struct coll_case *c)
{
    return coll_bound_barrier(c) + share(c) * c->bytes * c->cost.b;
}

double coll_bound_reduce(const struct coll_case *c)
{
    return coll_bound_bcast(c) + share(c) * c->bytes * c->cost.c;
}

double coll_bound_reduce_scatter(const struct coll_case *c)
{
    return coll_bound_blocks(c) + share(c) * c->bytes * c->cost.c;
}

double coll_bound_allreduce(const struct coll_case *c)
{
    return coll_bound_blocks(c) + share(c) * c->bytes * (c->cost.b + c->cost.c);
}
