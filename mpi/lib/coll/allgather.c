#include "mpi/lib/coll/allgather.h"
#include "mpi/lib/coll/shared.h"
#include "mpi/lib/coll/team.h"

#include <stdlib.h>

/* What all algorithms begin with: the own block in its place. Returns where the blocks start. */
static int *begin(const void *sendbuf, void *recvbuf, const int counts[], MPI_Datatype datatype,
                  const struct coll_team *team)
{
    int *starts = team ? coll_starts(counts, team->size) : NULL;

    if (starts && sendbuf != MPI_IN_PLACE)
        coll_copy(sendbuf, coll_at(recvbuf, starts[team->rank], datatype), counts[team->rank],
                  datatype);
    return starts;
}

static int allgather_linear(const void *sendbuf, void *recvbuf, const int counts[],
                            MPI_Datatype datatype, MPI_Comm comm,
                            const struct coll_options *options)
{
    const struct coll_team *team = coll_team(comm);
    int *starts = begin(sendbuf, recvbuf, counts, datatype, team);

    (void)options;
    if (!starts)
        return -1;
    const int rank = team->rank, size = team->size;
    MPI_Request requests[2 * COLL_AT_ONCE];
    for (int i = 0; i < 2 * COLL_AT_ONCE; i++)
        requests[i] = MPI_REQUEST_NULL;
    for (int i = 1; i < size; i++) { /* no rank is everybody's first */
        const int from = (rank - i + size) % size, to = (rank + i) % size;
        MPI_Request *const oldest = &requests[i % COLL_AT_ONCE * 2];
        MPI_Waitall(2, oldest, MPI_STATUSES_IGNORE);
        MPI_Irecv(coll_at(recvbuf, starts[from], datatype), counts[from], datatype, from, 0,
                  team->comm, &oldest[0]);
        MPI_Isend(coll_at(recvbuf, starts[rank], datatype), counts[rank], datatype, to, 0,
                  team->comm, &oldest[1]);
    }
    MPI_Waitall(2 * COLL_AT_ONCE, requests, MPI_STATUSES_IGNORE);
    free(starts);
    return 0;
}

static double linear_secs(const struct coll_case *c)
{
    return (c->ranks - 1) * (c->cost.a + c->bytes / c->ranks * c->cost.b);
}

void coll_ring(void *recvbuf, const int *starts, MPI_Datatype datatype,
               const struct coll_team *team)
{
    const int rank = team->rank, size = team->size;

    for (int step = 0; step < size - 1; step++) {
        const int out = (rank - step + size) % size, in = (rank - step - 1 + size) % size;
        MPI_Sendrecv(coll_at(recvbuf, starts[out], datatype), starts[out + 1] - starts[out],
                     datatype, (rank + 1) % size, 0, coll_at(recvbuf, starts[in], datatype),
                     starts[in + 1] - starts[in], datatype, (rank - 1 + size) % size, 0,
                     team->comm, MPI_STATUS_IGNORE);
    }
}

static int allgather_ring(const void *sendbuf, void *recvbuf, const int counts[],
                          MPI_Datatype datatype, MPI_Comm comm, const struct coll_options *options)
{
    const struct coll_team *team = coll_team(comm);
    int *starts = begin(sendbuf, recvbuf, counts, datatype, team);

    (void)options;
    if (!starts)
        return -1;
    coll_ring(recvbuf, starts, datatype, team);
    free(starts);
    return 0;
}

/* Of a pair that is folded into one, the odd rank gives its block to the even one, and gets all at
 * the end. */
static int allgather_recursive_doubling(const void *sendbuf, void *recvbuf, const int counts[],
                                        MPI_Datatype datatype, MPI_Comm comm,
                                        const struct coll_options *options)
{
    const struct coll_team *team = coll_team(comm);
    int *starts = begin(sendbuf, recvbuf, counts, datatype, team);

    (void)options;
    if (!starts)
        return -1;
    const struct coll_fold fold = coll_fold(team->rank, team->size);
    const int other = fold.other < 0 ? MPI_PROC_NULL : fold.other;
    const int lent = fold.rank < 0 ? team->rank : other; /* whose block changes hands */
    void *const block = coll_at(recvbuf, lent < 0 ? 0 : starts[lent], datatype);
    const int lent_count = lent < 0 ? 0 : counts[lent], all = starts[team->size];

    if (fold.rank < 0) {
        MPI_Send(block, lent_count, datatype, other, 0, team->comm);
        MPI_Recv(recvbuf, all, datatype, other, 0, team->comm, MPI_STATUS_IGNORE);
        free(starts);
        return 0;
    }
    MPI_Recv(block, lent_count, datatype, other, 0, team->comm, MPI_STATUS_IGNORE);
    for (int bit = 1; bit < fold.count; bit *= 2) {
        const int mine = fold.rank & ~(bit - 1), theirs = mine ^ bit;
        const int peer = coll_unfold(&fold, fold.rank ^ bit);
        const int my_start = starts[coll_unfold(&fold, mine)];
        const int their_start = starts[coll_unfold(&fold, theirs)];
        MPI_Sendrecv(coll_at(recvbuf, my_start, datatype),
                     starts[coll_unfold(&fold, mine + bit)] - my_start, datatype, peer, 0,
                     coll_at(recvbuf, their_start, datatype),
                     starts[coll_unfold(&fold, theirs + bit)] - their_start, datatype, peer, 0,
                     team->comm, MPI_STATUS_IGNORE);
    }
    MPI_Send(recvbuf, all, datatype, other, 0, team->comm);
    free(starts);
    return 0;
}

static double recursive_doubling_secs(const struct coll_case *c)
{
    const int p = c->ranks, folded = (p & (p - 1)) != 0;

    return (coll_lg(p) + folded) * c->cost.a +
           ((double)(p - 1) / p + folded) * c->bytes * c->cost.b;
}

/* Step by step a rank holds the blocks of the 1, 2, 4 ... ranks from its own on, in that order; at
 * the end they are turned into rank order. */
static int allgather_bruck(const void *sendbuf, void *recvbuf, const int counts[],
                           MPI_Datatype datatype, MPI_Comm comm,
                           const struct coll_options *options)
{
    const struct coll_team *team = coll_team(comm);
    int *starts = begin(sendbuf, recvbuf, counts, datatype, team);

    (void)options;
    if (!starts)
        return -1;
    const int rank = team->rank, size = team->size, all = starts[size], first = starts[rank];
    void *const turned = coll_alloc((size_t)all, datatype);
    if (turned)
        coll_copy(coll_at(recvbuf, first, datatype), turned, counts[rank], datatype);
    for (int held = 1; turned && held < size; held *= 2) {
        const int more = 2 * held < size ? held : size - held; /* blocks */
        const int to = (rank - held + size) % size, from = (rank + held) % size;
        /* Elements in `n` blocks from that of rank r on; all blocks are once round the ring. */
        const int sent_end = rank + more, held_end = rank + held, in_end = from + more;
        const int sent = starts[sent_end % size] - first + (sent_end >= size ? all : 0);
        const int here = starts[held_end % size] - first + (held_end >= size ? all : 0);
        const int in = starts[in_end % size] - starts[from] + (in_end >= size ? all : 0);
        MPI_Sendrecv(turned, sent, datatype, to, 0, coll_at(turned, here, datatype), in, datatype,
                     from, 0, team->comm, MPI_STATUS_IGNORE);
    }
    if (turned) {
        coll_copy(turned, coll_at(recvbuf, first, datatype), all - first, datatype);
        coll_copy(coll_at(turned, all - first, datatype), recvbuf, first, datatype);
    }
    coll_free(turned, datatype);
    free(starts);
    return turned ? 0 : -1;
}

static double bruck_secs(const struct coll_case *c)
{
    return coll_lg(c->ranks) * c->cost.a + c->bytes * (c->ranks - 1) / c->ranks * c->cost.b;
}

const struct coll_algorithm coll_allgather_algorithms[] = {
    { .name = "mpi" },
    { .name = "linear", .allgather = allgather_linear, .needs = COLL_FLOOD, .secs = linear_secs },
    { .name = "ring", .allgather = allgather_ring, .secs = linear_secs },
    { .name = "recursive_doubling", .allgather = allgather_recursive_doubling,
      .secs = recursive_doubling_secs },
    { .name = "bruck", .allgather = allgather_bruck, .secs = bruck_secs },
    { .name = "shared", .allgather = coll_allgather_shared, .needs = COLL_SHARED },
    { .name = NULL },
};
