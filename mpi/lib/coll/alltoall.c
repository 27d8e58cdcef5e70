#include "mpi/lib/coll/alltoall.h"
#include "mpi/lib/coll/shared.h"
#include "mpi/lib/coll/team.h"

#include <stdlib.h>

/* With MPI_IN_PLACE what is sent lies where the results go: a copy of it, to be freed. */
static int copy_in_place(const void **sendbuf, void *recvbuf, size_t elements,
                         MPI_Datatype datatype, void **copy)
{
    *copy = NULL;
    if (*sendbuf != MPI_IN_PLACE)
        return 0;
    *copy = coll_alloc(elements, datatype);
    if (!*copy)
        return -1;
    coll_copy(recvbuf, *copy, (int)elements, datatype);
    *sendbuf = *copy;
    return 0;
}

static int alltoall_linear(const void *sendbuf, int count, MPI_Datatype datatype, void *recvbuf,
                           MPI_Comm comm, const struct coll_options *options)
{
    const struct coll_team *team = coll_team(comm);
    void *copy;

    (void)options;
    if (!team || copy_in_place(&sendbuf, recvbuf, (size_t)count * (size_t)team->size, datatype,
                               &copy))
        return -1;
    const int rank = team->rank, size = team->size;
    MPI_Request requests[2 * COLL_AT_ONCE];
    for (int i = 0; i < 2 * COLL_AT_ONCE; i++)
        requests[i] = MPI_REQUEST_NULL;
    for (int i = 1; i < size; i++) {
        const int from = (rank - i + size) % size, to = (rank + i) % size;
        MPI_Request *const oldest = &requests[i % COLL_AT_ONCE * 2];
        MPI_Waitall(2, oldest, MPI_STATUSES_IGNORE);
        MPI_Irecv(coll_at(recvbuf, (ptrdiff_t)from * count, datatype), count, datatype, from, 0,
                  team->comm, &oldest[0]);
        MPI_Isend(coll_at(sendbuf, (ptrdiff_t)to * count, datatype), count, datatype, to, 0,
                  team->comm, &oldest[1]);
    }
    coll_copy(coll_at(sendbuf, (ptrdiff_t)rank * count, datatype),
              coll_at(recvbuf, (ptrdiff_t)rank * count, datatype), count, datatype);
    MPI_Waitall(2 * COLL_AT_ONCE, requests, MPI_STATUSES_IGNORE);
    coll_free(copy, datatype);
    return 0;
}

int coll_alltoall_pairwise(const void *sendbuf, int count, MPI_Datatype datatype, void *recvbuf,
                             MPI_Comm comm, const struct coll_options *options)
{
    const struct coll_team *team = coll_team(comm);
    void *copy;

    (void)options;
    if (!team || copy_in_place(&sendbuf, recvbuf, (size_t)count * (size_t)team->size, datatype,
                               &copy))
        return -1;
    const int rank = team->rank, size = team->size;
    coll_copy(coll_at(sendbuf, (ptrdiff_t)rank * count, datatype),
              coll_at(recvbuf, (ptrdiff_t)rank * count, datatype), count, datatype);
    for (int step = 1; step < size; step++) {
        const int from = (rank - step + size) % size, to = (rank + step) % size;
        MPI_Sendrecv(coll_at(sendbuf, (ptrdiff_t)to * count, datatype), count, datatype, to, 0,
                     coll_at(recvbuf, (ptrdiff_t)from * count, datatype), count, datatype, from, 0,
                     team->comm, MPI_STATUS_IGNORE);
    }
    coll_free(copy, datatype);
    return 0;
}

static double direct_secs(const struct coll_case *c)
{
    return (c->ranks - 1) * (c->cost.a + c->bytes / c->ranks * c->cost.b);
}

/* The blocks whose distance has the bit, from slots of `from` to a row in `to`, or back. Returns
 * how many they are. */
static int collect(void *slots, void *row, int bit, bool back, int size, int count,
                   MPI_Datatype datatype)
{
    int n = 0;

    for (int distance = bit; distance < size; distance++) {
        if (!(distance & bit))
            continue;
        void *const slot = coll_at(slots, (ptrdiff_t)distance * count, datatype);
        void *const place = coll_at(row, (ptrdiff_t)n++ * count, datatype);
        coll_copy(back ? place : slot, back ? slot : place, count, datatype);
    }
    return n;
}

/* Slot d of `slots` holds a block that has d mod p places to go up, or what is left of them after
 * the bits that are done; in the end it came from d places down. */
static int alltoall_bruck(const void *sendbuf, int count, MPI_Datatype datatype, void *recvbuf,
                          MPI_Comm comm, const struct coll_options *options)
{
    const struct coll_team *team = coll_team(comm);

    (void)options;
    if (!team)
        return -1;
    const int rank = team->rank, size = team->size;
    const void *const source = sendbuf == MPI_IN_PLACE ? recvbuf : sendbuf;
    const size_t half = (size_t)(size + 1) / 2 * (size_t)count;
    void *const slots = coll_alloc((size_t)size * (size_t)count, datatype);
    void *const out = coll_alloc(half, datatype), *const in = coll_alloc(half, datatype);
    const bool able = slots && out && in;

    if (able) {
        coll_copy(coll_at(source, (ptrdiff_t)rank * count, datatype), slots, (size - rank) * count,
                  datatype);
        coll_copy(source, coll_at(slots, (ptrdiff_t)(size - rank) * count, datatype), rank * count,
                  datatype);
    }
    for (int bit = 1; able && bit < size; bit *= 2) {
        const int n = collect(slots, out, bit, false, size, count, datatype);
        MPI_Sendrecv(out, n * count, datatype, (rank + bit) % size, 0, in, n * count, datatype,
                     (rank - bit + size) % size, 0, team->comm, MPI_STATUS_IGNORE);
        collect(slots, in, bit, true, size, count, datatype);
    }
    for (int distance = 0; able && distance < size; distance++)
        coll_copy(coll_at(slots, (ptrdiff_t)distance * count, datatype),
                  coll_at(recvbuf, (ptrdiff_t)((rank - distance + size) % size) * count, datatype),
                  count, datatype);
    coll_free(in, datatype);
    coll_free(out, datatype);
    coll_free(slots, datatype);
    return able ? 0 : -1;
}

static double bruck_secs(const struct coll_case *c)
{
    return coll_lg(c->ranks) * (c->cost.a + c->bytes / 2 * c->cost.b);
}

const struct coll_algorithm coll_alltoall_algorithms[] = {
    { .name = "mpi" },
    { .name = "linear", .alltoall = alltoall_linear, .needs = COLL_FLOOD,
      .secs = direct_secs },
    { .name = "pairwise", .alltoall = coll_alltoall_pairwise, .secs = direct_secs },
    { .name = "bruck", .alltoall = alltoall_bruck, .secs = bruck_secs },
    { .name = "shared", .alltoall = coll_alltoall_shared, .needs = COLL_SHARED | COLL_ONE_NODE },
    { .name = NULL },
};
