#include "mpi/lib/coll/bcast.h"
#include "mpi/lib/coll/shared.h"
#include "mpi/lib/coll/team.h"

#include <errno.h>
#include <stdlib.h>

int coll_bcast_linear(void *buffer, int count, MPI_Datatype datatype, int root, MPI_Comm comm,
                      const struct coll_options *options)
{
    const struct coll_team *team = coll_team(comm);

    (void)options;
    if (!team)
        return -1;
    if (team->rank != root)
        return MPI_Recv(buffer, count, datatype, root, 0, team->comm, MPI_STATUS_IGNORE);
    MPI_Request *requests = malloc((size_t)team->size * sizeof *requests);
    if (!requests)
        return -1;
    for (int i = 0; i < team->size; i++)
        MPI_Isend(buffer, count, datatype, i == root ? MPI_PROC_NULL : i, 0, team->comm,
                  &requests[i]);
    MPI_Waitall(team->size, requests, MPI_STATUSES_IGNORE);
    free(requests);
    return 0;
}

static double linear_secs(const struct coll_case *c)
{
    return (c->ranks - 1) * (c->cost.a + c->bytes * c->cost.b);
}

/* Relative to the root, rank v gets the data from v less its lowest bit, and has the bits below
 * that for its own sends: the largest part of the tree first. */
int coll_bcast_binomial(void *buffer, int count, MPI_Datatype datatype, int root, MPI_Comm comm,
                        const struct coll_options *options)
{
    const struct coll_team *team = coll_team(comm);

    (void)options;
    if (!team)
        return -1;
    const int size = team->size, v = (team->rank - root + size) % size;
    int bit = 1;

    while (bit < size && !(v & bit))
        bit *= 2;
    if (v > 0)
        MPI_Recv(buffer, count, datatype, (v - bit + root) % size, 0, team->comm,
                 MPI_STATUS_IGNORE);
    for (bit /= 2; bit > 0; bit /= 2)
        if (v + bit < size)
            MPI_Send(buffer, count, datatype, (v + bit + root) % size, 0, team->comm);
    return 0;
}

static double binomial_secs(const struct coll_case *c)
{
    return coll_lg(c->ranks) * (c->cost.a + c->bytes * c->cost.b);
}

/* Parts of the way down the tree at once: sending to a child takes a part of the time that the
 * message is on its way, so it pays to have more than one a level. */
enum { RADIX = 4 };

static int bcast_knomial(void *buffer, int count, MPI_Datatype datatype, int root, MPI_Comm comm,
                         const struct coll_options *options)
{
    const struct coll_team *team = coll_team(comm);
    MPI_Request requests[(RADIX - 1) * 16];
    int n = 0, place = 1;

    (void)options;
    if (!team)
        return -1;
    const int size = team->size, v = (team->rank - root + size) % size;
    while (place < size && v / place % RADIX == 0)
        place *= RADIX;
    if (v > 0) /* the parent has 0 in the lowest place that is not */
        MPI_Recv(buffer, count, datatype, (v - v / place % RADIX * place + root) % size, 0,
                 team->comm, MPI_STATUS_IGNORE);
    for (place /= RADIX; place > 0; place /= RADIX)
        for (int digit = 1; digit < RADIX && v + digit * place < size; digit++)
            MPI_Isend(buffer, count, datatype, (v + digit * place + root) % size, 0, team->comm,
                      &requests[n++]);
    return MPI_Waitall(n, requests, MPI_STATUSES_IGNORE);
}

static double knomial_secs(const struct coll_case *c)
{
    const int levels = (coll_lg(c->ranks) + 1) / 2;

    return c->ranks == 2 ? binomial_secs(c)
                         : levels * (c->cost.a + (RADIX - 1) * c->bytes * c->cost.b);
}

/* A pipeline through a tree: each segment goes on to the children while the next one comes in. */
static int pipeline(void *buffer, int count, MPI_Datatype datatype, int segment, int parent,
                    const int children[2], const struct coll_team *team)
{
    MPI_Request incoming[2] = { MPI_REQUEST_NULL, MPI_REQUEST_NULL };
    MPI_Request outgoing[2] = { MPI_REQUEST_NULL, MPI_REQUEST_NULL };

    for (int start = 0, turn = 0; start < count; start += segment, turn ^= 1) {
        const int length = count - start < segment ? count - start : segment;
        const int next = start + length;
        const int next_length = count - next < segment ? count - next : segment;

        if (start == 0)
            MPI_Irecv(buffer, length, datatype, parent, 0, team->comm, &incoming[turn]);
        if (next < count)
            MPI_Irecv(coll_at(buffer, next, datatype), next_length, datatype, parent, 0,
                      team->comm, &incoming[turn ^ 1]);
        MPI_Wait(&incoming[turn], MPI_STATUS_IGNORE);
        MPI_Waitall(2, outgoing, MPI_STATUSES_IGNORE);
        for (int i = 0; i < 2; i++)
            MPI_Isend(coll_at(buffer, start, datatype), length, datatype, children[i], 0,
                      team->comm, &outgoing[i]);
    }
    return MPI_Waitall(2, outgoing, MPI_STATUSES_IGNORE);
}

static int bcast_chain(void *buffer, int count, MPI_Datatype datatype, int root, MPI_Comm comm,
                       const struct coll_options *options)
{
    const struct coll_team *team = coll_team(comm);

    if (!team)
        return -1;
    const int size = team->size, v = (team->rank - root + size) % size;
    const int parent = v > 0 ? (v - 1 + root) % size : MPI_PROC_NULL;
    const int children[2] = { v + 1 < size ? (v + 1 + root) % size : MPI_PROC_NULL,
                              MPI_PROC_NULL };

    return pipeline(buffer, count, datatype,
                    coll_segment_count(options, count, datatype, size - 2), parent, children, team);
}

/* Steps of a pipeline that is `depth` messages deep. */
static double pipeline_secs(const struct coll_case *c, int depth)
{
    const double segment = (double)coll_segment(c->options, c->bytes, depth - 1);
    const double segments = c->bytes > segment ? c->bytes / segment : 1;

    return (depth - 1 + segments) * (c->cost.a + c->bytes / segments * c->cost.b);
}

static double chain_secs(const struct coll_case *c)
{
    return c->ranks > 1 ? pipeline_secs(c, c->ranks - 1) : 0;
}

static int bcast_binary(void *buffer, int count, MPI_Datatype datatype, int root, MPI_Comm comm,
                        const struct coll_options *options)
{
    const struct coll_team *team = coll_team(comm);

    if (!team)
        return -1;
    const int size = team->size, v = (team->rank - root + size) % size;
    const int parent = v > 0 ? ((v - 1) / 2 + root) % size : MPI_PROC_NULL;
    int children[2];

    for (int i = 0; i < 2; i++)
        children[i] = 2 * v + 1 + i < size ? (2 * v + 1 + i + root) % size : MPI_PROC_NULL;
    return pipeline(buffer, count, datatype,
                    coll_segment_count(options, count, datatype, coll_lg(size) - 1), parent,
                    children, team);
}

static double binary_secs(const struct coll_case *c)
{
    return c->ranks > 1 ? 2 * pipeline_secs(c, coll_lg(c->ranks)) : 0;
}

/* Block i of the buffer belongs to the rank i places behind the root; later ranks may have none. */
static int block_start(int count, int size, int i)
{
    const int most = (count + size - 1) / size;

    return i * (long long)most < count ? i * most : count;
}

/* Hands the blocks of all ranks out among those of `fold`, which are counted from the root on: the
 * upper half of what a rank has goes to the rank half as many places away. */
static void scatter_blocks(void *buffer, int count, MPI_Datatype datatype, int root,
                           const struct coll_fold *fold, const struct coll_team *team)
{
    const int parts = fold->count, v = fold->rank;
    int bit = 1;

    while (bit < parts && !(v & bit))
        bit *= 2;
    if (v > 0) {
        const int start = block_start(count, parts, v);
        MPI_Recv(coll_at(buffer, start, datatype), block_start(count, parts, v + bit) - start,
                 datatype, (coll_unfold(fold, v - bit) + root) % team->size, 0, team->comm,
                 MPI_STATUS_IGNORE);
    }
    for (bit /= 2; bit > 0; bit /= 2) { /* one after the other: the largest part must not wait */
        const int start = block_start(count, parts, v + bit);
        if (v + bit < parts)
            MPI_Send(coll_at(buffer, start, datatype),
                     block_start(count, parts, v + 2 * bit) - start, datatype,
                     (coll_unfold(fold, v + bit) + root) % team->size, 0, team->comm);
    }
}

static int bcast_scatter_allgather(void *buffer, int count, MPI_Datatype datatype, int root,
                                   MPI_Comm comm, const struct coll_options *options)
{
    const struct coll_team *team = coll_team(comm);

    (void)options;
    if (!team)
        return -1;
    const int size = team->size, v = (team->rank - root + size) % size;
    const int right = (team->rank + 1) % size, left = (team->rank - 1 + size) % size;

    scatter_blocks(buffer, count, datatype, root, &(struct coll_fold){ .count = size, .rank = v },
                   team);
    for (int step = 0; step < size - 1; step++) {
        const int out = (v - step + size) % size, in = (v - step - 1 + size) % size;
        const int out_start = block_start(count, size, out);
        const int in_start = block_start(count, size, in);
        MPI_Sendrecv(coll_at(buffer, out_start, datatype),
                     block_start(count, size, out + 1) - out_start, datatype, right, 0,
                     coll_at(buffer, in_start, datatype),
                     block_start(count, size, in + 1) - in_start, datatype, left, 0, team->comm,
                     MPI_STATUS_IGNORE);
    }
    return 0;
}

static double scatter_allgather_secs(const struct coll_case *c)
{
    const int p = c->ranks;

    return (coll_lg(p) + p - 1) * c->cost.a + 2.0 * (p - 1) / p * c->bytes * c->cost.b;
}

/* What a rank holds doubles with each partner. Of the pairs that are folded into one the odd rank
 * looks on, and gets the whole at the end. */
static int bcast_scatter_doubling(void *buffer, int count, MPI_Datatype datatype, int root,
                                  MPI_Comm comm, const struct coll_options *options)
{
    const struct coll_team *team = coll_team(comm);

    (void)options;
    if (!team)
        return -1;
    const int size = team->size, v = (team->rank - root + size) % size;
    const struct coll_fold fold = coll_fold(v, size);
    const int other = fold.other < 0 ? MPI_PROC_NULL : (fold.other + root) % size;

    if (fold.rank < 0)
        return MPI_Recv(buffer, count, datatype, other, 0, team->comm, MPI_STATUS_IGNORE);
    scatter_blocks(buffer, count, datatype, root, &fold, team);
    for (int bit = 1; bit < fold.count; bit *= 2) {
        const int mine = fold.rank & ~(bit - 1), theirs = mine ^ bit;
        const int peer = (coll_unfold(&fold, fold.rank ^ bit) + root) % size;
        const int my_start = block_start(count, fold.count, mine);
        const int their_start = block_start(count, fold.count, theirs);
        MPI_Sendrecv(coll_at(buffer, my_start, datatype),
                     block_start(count, fold.count, mine + bit) - my_start, datatype, peer, 0,
                     coll_at(buffer, their_start, datatype),
                     block_start(count, fold.count, theirs + bit) - their_start, datatype, peer, 0,
                     team->comm, MPI_STATUS_IGNORE);
    }
    return MPI_Send(buffer, count, datatype, other, 0, team->comm);
}

static double scatter_doubling_secs(const struct coll_case *c)
{
    const int p = c->ranks, whole = (p & (p - 1)) != 0;

    return (2 * coll_lg(p) + whole) * c->cost.a +
           (2.0 * (p - 1) / p + whole) * c->bytes * c->cost.b;
}

const struct coll_algorithm coll_bcast_algorithms[] = {
    { .name = "mpi" },
    { .name = "linear", .bcast = coll_bcast_linear, .secs = linear_secs },
    { .name = "chain", .bcast = bcast_chain, .secs = chain_secs },
    { .name = "binomial", .bcast = coll_bcast_binomial, .secs = binomial_secs },
    { .name = "knomial", .bcast = bcast_knomial, .secs = knomial_secs },
    { .name = "binary", .bcast = bcast_binary, .secs = binary_secs },
    { .name = "scatter_allgather", .bcast = bcast_scatter_allgather,
      .secs = scatter_allgather_secs },
    { .name = "scatter_doubling", .bcast = bcast_scatter_doubling, .secs = scatter_doubling_secs },
    { .name = "shared", .bcast = coll_bcast_shared, .needs = COLL_SHARED },
    { .name = NULL },
};
