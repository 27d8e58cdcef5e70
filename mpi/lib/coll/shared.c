#include "mpi/lib/coll/shared.h"
#include "mpi/lib/coll/allgather.h"
#include "mpi/lib/coll/allreduce.h"
#include "mpi/lib/coll/alltoall.h"
#include "mpi/lib/coll/barrier.h"
#include "mpi/lib/coll/bcast.h"
#include "mpi/lib/coll/gather.h"
#include "mpi/lib/coll/reduce.h"
#include "mpi/lib/coll/reduce_scatter.h"
#include "mpi/lib/coll/scatter.h"
#include "mpi/lib/coll/window.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    SELF_BYTES = 4096,     /* vectors that each rank combines for itself */
    STRIP_BYTES = 8192,    /* combined at a time, so that the sum stays in the nearest cache */
    START_BYTES = 16 << 10, /* that networks move while a message starts, where it is not known */
};

/* How the elements of a datatype lie in memory, and how many fit into part of a slot. */
struct layout {
    MPI_Datatype datatype;
    size_t size;      /* bytes of data */
    bool dense;       /* and nothing else */
    ptrdiff_t extent;
};

static struct layout layout_of(MPI_Datatype datatype)
{
    MPI_Aint low, extent, true_low, true_extent;

    MPI_Type_get_extent(datatype, &low, &extent);
    MPI_Type_get_true_extent(datatype, &true_low, &true_extent);
    const size_t size = coll_size(datatype);
    return (struct layout){ datatype, size, true_low == 0 && true_extent == extent &&
                            (size_t)extent == size, extent };
}

/* Elements of a piece: of `parts` that share a slot, and no longer than a segment. */
static int piece_count(const struct coll_window *window, const struct layout *layout, int parts,
                       const struct coll_options *options)
{
    size_t bytes = window->slot_bytes;

    if (options->segment > 0 && options->segment < bytes)
        bytes = options->segment > layout->size ? options->segment : layout->size;
    const size_t count = layout->size > 0 ? bytes / (size_t)parts / layout->size : bytes;
    return count > 0 ? (int)count : 1;
}

/* Whether `parts` elements fit into a slot. */
static bool fits(const struct coll_window *window, const struct layout *layout, int parts)
{
    return layout->size * (size_t)parts <= window->slot_bytes;
}

/* Elements start ... start + count - 1 of an array into a slot, without gaps; and back. */
static void put(void *slot, const void *array, ptrdiff_t start, int count,
                const struct layout *layout)
{
    const void *const from = (const char *)array + start * layout->extent;
    int at = 0;

    if (layout->dense)
        memcpy(slot, from, (size_t)count * layout->size);
    else
        MPI_Pack(from, count, layout->datatype, slot, (int)((size_t)count * layout->size), &at,
                 MPI_COMM_SELF);
}

static void get(const void *slot, void *array, ptrdiff_t start, int count,
                const struct layout *layout)
{
    void *const to = (char *)array + start * layout->extent;
    int at = 0;

    if (layout->dense)
        memcpy(to, slot, (size_t)count * layout->size);
    else
        MPI_Unpack(slot, (int)((size_t)count * layout->size), &at, to, count, layout->datatype,
                   MPI_COMM_SELF);
}

static int steps_for(int count, int piece)
{
    return count / piece + (count % piece > 0);
}

static int least(int a, int b)
{
    return a < b ? a : b;
}

/* ---- Within a node; `root` is a rank there. Every rank of the node calls it. ---- */

static void node_barrier(struct coll_window *w)
{
    window_post(w, w->step);
    for (int rank = 0; rank < w->size; rank++)
        window_wait(w, rank, w->step);
    window_done(w, w->step++);
}

static void node_bcast(struct coll_window *w, void *buffer, int count, const struct layout *layout,
                       int root, const struct coll_options *options)
{
    const int piece = piece_count(w, layout, 1, options);

    for (int start = 0; start < count; start += piece, w->step++) {
        const int length = least(piece, count - start);
        if (w->rank == root) {
            window_wait_free(w, w->step);
            put(window_slot(w, root, w->step), buffer, start, length, layout);
            window_post(w, w->step);
        } else {
            window_wait(w, root, w->step);
            get(window_slot(w, root, w->step), buffer, start, length, layout);
        }
        window_done(w, w->step);
    }
}

/* One block after the other: who has got its own needs none of the later steps, and of those before
 * nothing either. `blocks` are the starts of the blocks of the node's ranks in `all`. */
static void node_scatter(struct coll_window *w, const void *all, const int *starts,
                         const int *counts, void *mine, const struct layout *layout, int root,
                         const struct coll_options *options)
{
    const int piece = piece_count(w, layout, 1, options);
    uint64_t step = w->step;

    for (int rank = 0; rank < w->size; rank++) {
        if (rank == root)
            continue;
        if (rank == w->rank && step > w->step)
            window_done(w, step - 1);
        for (int start = 0; start < counts[rank]; start += piece, step++) {
            const int length = least(piece, counts[rank] - start);
            if (w->rank == root) {
                window_wait_free(w, step);
                put(window_slot(w, root, step), all, starts[rank] + start, length, layout);
                window_post(w, step);
            } else if (rank == w->rank) {
                window_wait(w, root, step);
                get(window_slot(w, root, step), mine, start, length, layout);
                window_done(w, step);
            }
        }
    }
    if (step > w->step)
        window_done(w, step - 1);
    w->step = step;
}

/* Each writes its own block, the root reads them all. */
static void node_gather(struct coll_window *w, const void *mine, void *all, const int *starts,
                        const int *counts, const struct layout *layout, int root,
                        const struct coll_options *options)
{
    const int piece = piece_count(w, layout, 1, options);
    int most = 0;

    for (int rank = 0; rank < w->size; rank++)
        most = counts[rank] > most && rank != root ? counts[rank] : most;
    const uint64_t end = w->step + (uint64_t)steps_for(most, piece);
    if (w->rank != root && end > w->step)
        window_done(w, end - 1);
    for (int start = 0; w->step < end; start += piece, w->step++) {
        if (w->rank != root && start < counts[w->rank]) {
            window_wait_free(w, w->step);
            put(window_slot(w, w->rank, w->step), mine, start,
                least(piece, counts[w->rank] - start), layout);
            window_post(w, w->step);
        }
        for (int rank = 0; w->rank == root && rank < w->size; rank++) {
            if (rank == root || start >= counts[rank])
                continue;
            window_wait(w, rank, w->step);
            get(window_slot(w, rank, w->step), all, starts[rank] + start,
                least(piece, counts[rank] - start), layout);
        }
        if (w->rank == root)
            window_done(w, w->step);
    }
}

/* The own block lies in `all` already. */
static void node_allgather(struct coll_window *w, void *all, const int *starts,
                           const struct layout *layout, const struct coll_options *options)
{
    const int piece = piece_count(w, layout, 1, options), me = w->rank;
    int most = 0;

    for (int rank = 0; rank < w->size; rank++)
        most = starts[rank + 1] - starts[rank] > most ? starts[rank + 1] - starts[rank] : most;
    for (int start = 0; start < most; start += piece, w->step++) {
        if (start < starts[me + 1] - starts[me]) {
            window_wait_free(w, w->step);
            put(window_slot(w, me, w->step), all, starts[me] + start,
                least(piece, starts[me + 1] - starts[me] - start), layout);
            window_post(w, w->step);
        }
        for (int i = 1; i < w->size; i++) { /* nobody is everybody's first */
            const int rank = (me + i) % w->size, count = starts[rank + 1] - starts[rank];
            if (start >= count)
                continue;
            window_wait(w, rank, w->step);
            get(window_slot(w, rank, w->step), all, starts[rank] + start,
                least(piece, count - start), layout);
        }
        window_done(w, w->step);
    }
}

/* A slot holds a piece for each rank. */
static void node_alltoall(struct coll_window *w, const void *sendbuf, int count, void *recvbuf,
                          const struct layout *layout, const struct coll_options *options)
{
    const int piece = piece_count(w, layout, w->size, options), me = w->rank;
    const size_t part = (size_t)piece * layout->size;

    for (int start = 0; start < count; start += piece, w->step++) {
        const int length = least(piece, count - start);
        window_wait_free(w, w->step);
        for (int rank = 0; rank < w->size; rank++)
            if (rank != me)
                put((char *)window_slot(w, me, w->step) + (size_t)rank * part, sendbuf,
                    (ptrdiff_t)rank * count + start, length, layout);
        window_post(w, w->step);
        for (int i = 1; i < w->size; i++) {
            const int rank = (me + i) % w->size;
            window_wait(w, rank, w->step);
            get((char *)window_slot(w, rank, w->step) + (size_t)me * part, recvbuf,
                (ptrdiff_t)rank * count + start, length, layout);
        }
        window_done(w, w->step);
    }
}

/*
 * sum = x(0) op (x(1) op (... x(size - 1))), of `count` elements: what the others have lies at
 * `offset` in their slots of `step`, this rank's own at `mine`. Strip by strip.
 */
static void combine(struct coll_window *w, uint64_t step, size_t offset, const void *mine,
                    void *sum, int count, const struct layout *layout, MPI_Op op)
{
    const int strip = layout->size < STRIP_BYTES ? (int)(STRIP_BYTES / layout->size) : 1;

    for (int start = 0; start < count; start += strip) {
        const int length = least(strip, count - start);
        char *const result = (char *)sum + (size_t)start * layout->size;
        for (int rank = w->size - 1; rank >= 0; rank--) {
            const void *const operand =
                (const char *)(rank == w->rank ? mine
                                               : (char *)window_slot(w, rank, step) + offset) +
                (size_t)start * layout->size;
            if (start == 0)
                window_wait(w, rank, step);
            if (rank == w->size - 1)
                memcpy(result, operand, (size_t)length * layout->size);
            else
                MPI_Reduce_local(operand, result, length, layout->datatype, op);
        }
    }
}

/* Who needs the result of a reduction. */
enum { EVERYBODY = -1, ITS_OWNER = -2 };

/* A short vector: each that needs it combines it for itself. */
static void node_reduce_short(struct coll_window *w, const void *mine, void *result, int count,
                              const struct layout *layout, MPI_Op op, int who)
{
    window_wait_free(w, w->step);
    put(window_slot(w, w->rank, w->step), mine, 0, count, layout);
    window_post(w, w->step);
    if (who == EVERYBODY || who == w->rank)
        combine(w, w->step, 0, window_slot(w, w->rank, w->step), result, count, layout, op);
    window_done(w, w->step++);
}

/*
 * Rank r combines elements starts[r] ... starts[r + 1] - 1. In each pair of steps the slots hold a
 * piece of each part, first the operands, then (but for ITS_OWNER) the sums, of which each rank has
 * one. `result` is the whole vector, or for ITS_OWNER the own part of it.
 */
static void node_reduce(struct coll_window *w, const void *mine, void *result, const int *starts,
                        const struct layout *layout, MPI_Op op, int who,
                        const struct coll_options *options)
{
    const int piece = piece_count(w, layout, w->size, options), me = w->rank;
    const size_t part = (size_t)piece * layout->size;
    const int own = starts[me + 1] - starts[me];
    int most = 0;

    for (int rank = 0; rank < w->size; rank++)
        most = starts[rank + 1] - starts[rank] > most ? starts[rank + 1] - starts[rank] : most;
    for (int start = 0; start < most; start += piece, w->step++) {
        const int own_length = start < own ? least(piece, own - start) : 0;
        window_wait_free(w, w->step);
        for (int rank = 0; rank < w->size; rank++) {
            const int count = starts[rank + 1] - starts[rank];
            if (rank != me && start < count)
                put((char *)window_slot(w, me, w->step) + (size_t)rank * part, mine,
                    starts[rank] + start, least(piece, count - start), layout);
        }
        window_post(w, w->step);

        const void *const operand = (const char *)mine + (starts[me] + start) * layout->extent;
        if (who == ITS_OWNER) {
            void *const sum = (char *)result + start * layout->extent;
            combine(w, w->step, (size_t)me * part, operand, sum, own_length, layout, op);
            window_done(w, w->step);
            continue;
        }
        window_wait_free(w, w->step + 1);
        void *const sum = window_slot(w, me, w->step + 1);
        combine(w, w->step, (size_t)me * part, operand, sum, own_length, layout, op);
        window_done(w, w->step++);
        window_post(w, w->step);
        for (int i = 0; i < w->size && (who == EVERYBODY || who == me); i++) {
            const int rank = (me + i) % w->size, count = starts[rank + 1] - starts[rank];
            if (start >= count)
                continue;
            window_wait(w, rank, w->step);
            get(window_slot(w, rank, w->step), result, starts[rank] + start,
                least(piece, count - start), layout);
        }
        window_done(w, w->step);
    }
}

/* ---- The whole communicator ---- */

int coll_barrier_shared(MPI_Comm comm, const struct coll_options *options)
{
    struct coll_team *team = coll_team(comm);
    struct coll_window *w = team ? coll_window(team) : NULL;

    if (!w)
        return -1;
    node_barrier(w);
    if (team->nodes == 1)
        return 0;
    const int status =
        team->node_rank == 0 ? coll_barrier_dissemination(team->leaders, options) : 0;
    node_barrier(w); /* the leader comes when all nodes have come */
    return status;
}

/* To combine a byte takes about this part of the time to send it. */
static const double combined_share = 0.25;
static const double binomial_bonus = 0.8;

/* What the model says is the quickest way between the leaders, of those that keep the order if they
 * must: binomial, unless another one is better by a fifth, because the model does not know what
 * each message costs the processors. */
static const struct coll_algorithm *quickest(const struct coll_algorithm *algorithms, int ranks,
                                             size_t bytes, bool in_order,
                                             const struct coll_options *options)
{
    const double start = options->start_bytes > 0 ? options->start_bytes : START_BYTES;
    const struct coll_case c = { { start, 1, combined_share }, ranks, (double)bytes, options };
    const struct coll_algorithm *best = NULL;

    double least = 0;

    for (const struct coll_algorithm *a = algorithms; a->name; a++) {
        if (!a->secs || (in_order && (a->needs & COLL_COMMUTATIVE)))
            continue;
        const bool binomial = strcmp(a->name, "binomial") == 0;
        const double secs = (binomial ? binomial_bonus : 1) * a->secs(&c);
        if (!best || secs < least) {
            best = a;
            least = secs;
        }
    }
    return best;
}

int coll_bcast_shared(void *buffer, int count, MPI_Datatype datatype, int root, MPI_Comm comm,
                      const struct coll_options *options)
{
    struct coll_team *team = coll_team(comm);
    struct coll_window *w = team ? coll_window(team) : NULL;
    const struct layout layout = layout_of(datatype);
    int status = 0;

    if (!w)
        return -1;
    if (!fits(w, &layout, 1))
        return coll_bcast_binomial(buffer, count, datatype, root, comm, options);
    coll_bcast *const between = quickest(coll_bcast_algorithms, team->nodes,
                                         (size_t)count * layout.size, false, options)->bcast;
    const int node = team->node_of[team->rank], root_node = team->node_of[root];
    if (node == root_node)
        node_bcast(w, buffer, count, &layout, team->place_of[root], options);
    if (team->node_rank == 0 && team->nodes > 1)
        status = between(buffer, count, datatype, root_node, team->leaders, options);
    if (node != root_node)
        node_bcast(w, buffer, count, &layout, 0, options);
    return status;
}

static int leader_of(const struct coll_team *team, int node)
{
    int rank = 0;

    while (team->node_of[rank] != node)
        rank++;
    return rank;
}

/* The blocks of a node's ranks within an array of those of all. */
struct node_blocks {
    int *starts, *counts; /* of each rank of the node, in elements of the array of all */
    int *packed;          /* the same behind one another, and where they end */
};

static int blocks_open(struct node_blocks *b, const struct coll_team *team, const int counts[],
                       int node)
{
    const int size = team->node_sizes[node];

    b->starts = malloc(3 * ((size_t)size + 1) * sizeof *b->starts);
    if (!b->starts)
        return -1;
    b->counts = b->starts + size + 1;
    b->packed = b->counts + size + 1;
    b->packed[0] = 0;
    for (int rank = 0, start = 0, n = 0; rank < team->size; start += counts[rank++]) {
        if (team->node_of[rank] != node)
            continue;
        b->starts[n] = start;
        b->counts[n] = counts[rank];
        b->packed[n + 1] = b->packed[n] + counts[rank];
        n++;
    }
    return 0;
}

static void blocks_close(struct node_blocks *b)
{
    free(b->starts);
}

/* What lies in one block for each rank of a node, as one message: a datatype. */
static MPI_Datatype blocks_type(const struct node_blocks *b, int count, MPI_Datatype datatype)
{
    MPI_Datatype type;

    MPI_Type_indexed(count, b->counts, b->starts, datatype, &type);
    MPI_Type_commit(&type);
    return type;
}

/* The root sends each leader the blocks of its node, or receives them. */
static int root_and_leaders(const struct coll_team *team, void *all, const int counts[],
                            MPI_Datatype datatype, int root, bool gather)
{
    for (int node = 0; node < team->nodes; node++) {
        const int leader = leader_of(team, node);
        struct node_blocks b;

        if (node == team->node_of[root])
            continue;
        if (blocks_open(&b, team, counts, node))
            return -1;
        MPI_Datatype type = blocks_type(&b, team->node_sizes[node], datatype);
        if (gather)
            MPI_Recv(all, 1, type, leader, 0, team->comm, MPI_STATUS_IGNORE);
        else
            MPI_Send(all, 1, type, leader, 0, team->comm);
        MPI_Type_free(&type);
        blocks_close(&b);
    }
    return 0;
}

/* Scatter and gather: the root's node works on the root's array, another on its leader's copy of
 * its part. */
static int through_leaders(const void *sendbuf, void *recvbuf, const int counts[],
                           MPI_Datatype datatype, int root, MPI_Comm comm, bool gather,
                           const struct coll_options *options)
{
    struct coll_team *team = coll_team(comm);
    struct coll_window *w = team ? coll_window(team) : NULL;
    const struct layout layout = layout_of(datatype);
    struct node_blocks b;

    if (!w)
        return -1;
    if (!fits(w, &layout, 1) && gather)
        return coll_gather_binomial(sendbuf, recvbuf, counts, datatype, root, comm, options);
    if (!fits(w, &layout, 1))
        return coll_scatter_binomial(sendbuf, counts, datatype, recvbuf, root, comm, options);
    if (blocks_open(&b, team, counts, team->node_of[team->rank]))
        return -1;
    const bool at_root = team->node_of[team->rank] == team->node_of[root];
    const int *const starts = at_root ? b.starts : b.packed;
    const int local_root = at_root ? team->place_of[root] : 0, all = b.packed[team->node_size];
    void *room = NULL;
    int status = 0;

    if (!at_root && team->node_rank == 0 && !(room = coll_alloc((size_t)all, datatype))) {
        blocks_close(&b);
        return -1;
    }
    if (gather) {
        node_gather(w, sendbuf, room ? room : recvbuf, starts, b.counts, &layout, local_root,
                    options);
        if (room) {
            coll_copy(sendbuf, room, b.counts[0], datatype);
            MPI_Send(room, all, datatype, root, 0, team->comm);
        } else if (team->rank == root) {
            status = root_and_leaders(team, recvbuf, counts, datatype, root, true);
            if (sendbuf != MPI_IN_PLACE)
                coll_copy(sendbuf, coll_at(recvbuf, starts[local_root], datatype),
                          counts[root], datatype);
        }
    } else {
        if (team->rank == root)
            status = root_and_leaders(team, (void *)(uintptr_t)sendbuf, counts, datatype, root,
                                      false);
        if (room)
            MPI_Recv(room, all, datatype, root, 0, team->comm, MPI_STATUS_IGNORE);
        node_scatter(w, room ? room : sendbuf, starts, b.counts, recvbuf, &layout, local_root,
                     options);
        if (room)
            coll_copy(room, recvbuf, b.counts[0], datatype);
        else if (team->rank == root && recvbuf != MPI_IN_PLACE)
            coll_copy(coll_at(sendbuf, starts[local_root], datatype), recvbuf, counts[root],
                      datatype);
    }
    coll_free(room, datatype);
    blocks_close(&b);
    return status;
}

int coll_scatter_shared(const void *sendbuf, const int counts[], MPI_Datatype datatype,
                        void *recvbuf, int root, MPI_Comm comm, const struct coll_options *options)
{
    return through_leaders(sendbuf, recvbuf, counts, datatype, root, comm, false, options);
}

int coll_gather_shared(const void *sendbuf, void *recvbuf, const int counts[],
                       MPI_Datatype datatype, int root, MPI_Comm comm,
                       const struct coll_options *options)
{
    return through_leaders(sendbuf, recvbuf, counts, datatype, root, comm, true, options);
}

/* The leaders pass each other what their nodes hold, round a ring; blocks of a node need not be
 * neighbours. */
static int ring_of_leaders(const struct coll_team *team, void *all, const int counts[],
                           MPI_Datatype datatype)
{
    MPI_Datatype *types = malloc((size_t)team->nodes * sizeof *types);
    const int nodes = team->nodes, me = team->node_of[team->rank];
    int made = 0;

    for (; types && made < nodes; made++) {
        struct node_blocks b;
        if (blocks_open(&b, team, counts, made))
            break;
        types[made] = blocks_type(&b, team->node_sizes[made], datatype);
        blocks_close(&b);
    }
    const bool able = types && made == nodes;
    for (int step = 0; able && step < nodes - 1; step++)
        MPI_Sendrecv(all, 1, types[(me - step + nodes) % nodes], (me + 1) % nodes, 0, all, 1,
                     types[(me - step - 1 + nodes) % nodes], (me - 1 + nodes) % nodes, 0,
                     team->leaders, MPI_STATUS_IGNORE);
    while (made-- > 0)
        MPI_Type_free(&types[made]);
    free(types);
    return able ? 0 : -1;
}

int coll_allgather_shared(const void *sendbuf, void *recvbuf, const int counts[],
                          MPI_Datatype datatype, MPI_Comm comm, const struct coll_options *options)
{
    struct coll_team *team = coll_team(comm);
    struct coll_window *w = team ? coll_window(team) : NULL;
    const struct layout layout = layout_of(datatype);
    int *starts = w ? coll_starts(counts, team->size) : NULL, status = 0;

    if (!starts)
        return -1;
    void *const mine = coll_at(recvbuf, starts[team->rank], datatype);
    if (sendbuf != MPI_IN_PLACE)
        coll_copy(sendbuf, mine, counts[team->rank], datatype);
    if (!fits(w, &layout, 1)) {
        coll_ring(recvbuf, starts, datatype, team);
    } else if (team->nodes == 1) {
        node_allgather(w, recvbuf, starts, &layout, options);
    } else {
        struct node_blocks b;
        status = blocks_open(&b, team, counts, team->node_of[team->rank]);
        if (status == 0) {
            node_gather(w, mine, recvbuf, b.starts, b.counts, &layout, 0, options);
            if (team->node_rank == 0)
                status = ring_of_leaders(team, recvbuf, counts, datatype);
            node_bcast(w, recvbuf, starts[team->size], &layout, 0, options);
            blocks_close(&b);
        }
    }
    free(starts);
    return status;
}

int coll_alltoall_shared(const void *sendbuf, int count, MPI_Datatype datatype, void *recvbuf,
                         MPI_Comm comm, const struct coll_options *options)
{
    struct coll_team *team = coll_team(comm);
    struct coll_window *w = team ? coll_window(team) : NULL;
    const struct layout layout = layout_of(datatype);

    if (!w)
        return -1;
    if (!fits(w, &layout, w->size))
        return coll_alltoall_pairwise(sendbuf, count, datatype, recvbuf, comm, options);
    /* In place what is sent has gone into the slots before its place is written. */
    const ptrdiff_t own = (ptrdiff_t)team->rank * count;
    if (sendbuf != MPI_IN_PLACE)
        coll_copy(coll_at(sendbuf, own, datatype), coll_at(recvbuf, own, datatype), count,
                  datatype);
    node_alltoall(w, sendbuf == MPI_IN_PLACE ? recvbuf : sendbuf, count, recvbuf, &layout,
                  options);
    return 0;
}

/* The reduction of a node's vectors, for one rank of it or for all. */
static int reduce_on_node(struct coll_window *w, const void *mine, void *result, int count,
                          const struct layout *layout, MPI_Op op, int who,
                          const struct coll_options *options)
{
    if ((size_t)count * layout->size <= SELF_BYTES) {
        node_reduce_short(w, mine, result, count, layout, op, who);
        return 0;
    }
    int *starts = malloc(((size_t)w->size + 1) * sizeof *starts);
    if (!starts)
        return -1;
    for (int i = 0; i <= w->size; i++)
        starts[i] = (int)((long long)count * i / w->size);
    node_reduce(w, mine, result, starts, layout, op, who, options);
    free(starts);
    return 0;
}

/* Operations work on elements as they lie in memory, and slots have no gaps. */
static bool can_combine(const struct coll_window *w, const struct layout *layout)
{
    return layout->dense && fits(w, layout, w->size);
}

int coll_reduce_shared(const void *sendbuf, void *recvbuf, int count, MPI_Datatype datatype,
                       MPI_Op op, int root, MPI_Comm comm, const struct coll_options *options)
{
    struct coll_team *team = coll_team(comm);
    struct coll_window *w = team ? coll_window(team) : NULL;
    const struct layout layout = layout_of(datatype);
    const void *const mine = sendbuf == MPI_IN_PLACE ? recvbuf : sendbuf;

    if (!w)
        return -1;
    if (!can_combine(w, &layout))
        return coll_reduce_binomial(sendbuf, recvbuf, count, datatype, op, root, comm, options);
    if (team->nodes == 1)
        return reduce_on_node(w, mine, recvbuf, count, &layout, op, root, options);

    const int root_leads = team->place_of[root] == 0, root_node = team->node_of[root];
    void *const sum = team->rank == root && root_leads ? recvbuf
                      : team->node_rank == 0 ? coll_alloc((size_t)count, datatype) : NULL;
    int status = team->node_rank == 0 && !sum ? -1 : 0;
    if (status == 0)
        status = reduce_on_node(w, mine, sum, count, &layout, op, 0, options);
    if (status == 0 && team->node_rank == 0) {
        int commutes;
        MPI_Op_commutative(op, &commutes);
        coll_reduce *const between = quickest(coll_reduce_algorithms, team->nodes,
                                              (size_t)count * layout.size, !commutes,
                                              options)->reduce;
        status = between(team->node_of[team->rank] == root_node ? MPI_IN_PLACE : sum, sum, count,
                         datatype, op, root_node, team->leaders, options);
        if (team->node_of[team->rank] == root_node && !root_leads)
            MPI_Send(sum, count, datatype, root, 0, team->comm);
    }
    if (status == 0 && team->rank == root && !root_leads)
        MPI_Recv(recvbuf, count, datatype, leader_of(team, root_node), 0, team->comm,
                 MPI_STATUS_IGNORE);
    if (sum != recvbuf)
        coll_free(sum, datatype);
    return status;
}

int coll_allreduce_shared(const void *sendbuf, void *recvbuf, int count, MPI_Datatype datatype,
                          MPI_Op op, MPI_Comm comm, const struct coll_options *options)
{
    struct coll_team *team = coll_team(comm);
    struct coll_window *w = team ? coll_window(team) : NULL;
    const struct layout layout = layout_of(datatype);
    const void *const mine = sendbuf == MPI_IN_PLACE ? recvbuf : sendbuf;
    int commutes;

    if (!w)
        return -1;
    if (!can_combine(w, &layout))
        return coll_allreduce_recursive_doubling(sendbuf, recvbuf, count, datatype, op, comm,
                                                 options);
    if (team->nodes == 1)
        return reduce_on_node(w, mine, recvbuf, count, &layout, op, EVERYBODY, options);
    MPI_Op_commutative(op, &commutes);
    coll_allreduce *const between = quickest(coll_allreduce_algorithms, team->nodes,
                                             (size_t)count * layout.size, !commutes,
                                             options)->allreduce;
    int status = reduce_on_node(w, mine, recvbuf, count, &layout, op, 0, options);
    if (status == 0 && team->node_rank == 0)
        status = between(MPI_IN_PLACE, recvbuf, count, datatype, op, team->leaders, options);
    node_bcast(w, recvbuf, count, &layout, 0, options);
    return status;
}

int coll_reduce_scatter_shared(const void *sendbuf, void *recvbuf, const int counts[],
                               MPI_Datatype datatype, MPI_Op op, MPI_Comm comm,
                               const struct coll_options *options)
{
    struct coll_team *team = coll_team(comm);
    struct coll_window *w = team ? coll_window(team) : NULL;
    const struct layout layout = layout_of(datatype);
    int *starts = w ? coll_starts(counts, team->size) : NULL;

    if (!starts)
        return -1;
    if (!can_combine(w, &layout)) {
        free(starts);
        return coll_reduce_scatter_binomial(sendbuf, recvbuf, counts, datatype, op, comm, options);
    }
    /* In place the result would be written over operands that are still needed. */
    void *const room = sendbuf == MPI_IN_PLACE ? coll_alloc((size_t)starts[team->size], datatype)
                                               : NULL;
    const bool able = room || sendbuf != MPI_IN_PLACE;
    if (room)
        coll_copy(recvbuf, room, starts[team->size], datatype);
    if (able)
        node_reduce(w, room ? room : sendbuf, recvbuf, starts, &layout, op, ITS_OWNER, options);
    coll_free(room, datatype);
    free(starts);
    return able ? 0 : -1;
}
