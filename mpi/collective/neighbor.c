/*
 * neighbor - one call in which every rank exchanges elements with its neighbours only
 *
 * A communicator can know who is next to whom. Then neighbourhood collectives send along these
 * edges, --count elements of 8 bytes on each:
 *
 *   cart      a grid of --dims dimensions (MPI_Cart_create), open or --periodic; MPI_Dims_create
 *             shares out any number of ranks: five make a grid of 5 x 1
 *   adjacent  a directed graph, a ring with --chords more edges from each rank to ranks drawn by
 *             chance; each rank names those it gets from and those it sends to
 *             (MPI_Dist_graph_create_adjacent)
 *   graph     the same, but each rank names only those it sends to, the library finds out the rest
 *             (MPI_Dist_graph_create), and tells it in an order of its own
 *
 *   allgather  the same elements to all neighbours
 *   alltoall   other elements to each of them
 *   alltoallv  edges of other lengths: none, half, or all of --count elements
 *   alltoallw  the same, each with a datatype of its own
 *   isend      what alltoall does, by MPI_Irecv and MPI_Isend
 *
 * Each element tells its sender, its edge and its place; each rank knows what must arrive.
 *
 * What can go wrong: the order of neighbours. On a grid it is lower, upper, for each dimension; at
 * an open end that is MPI_PROC_NULL, and its part of the buffer stays as it is. Where a dimension
 * has one or two ranks and is closed, both neighbours are the same rank, and MPI 3.1 does not say
 * which of its messages is which. MPI 4 does: by direction, what left downwards comes from above.
 * Some libraries match in order, the first sent with the first received, or mix both; the row says
 * what this one did. isend has tags, and no doubt. And to take where edges come from for where they
 * lead to: --fault reversed.
 *
 * Simulated: no, it has no neighbourhood collectives
 * Run:     make run P=neighbor N=4
 * Try:     --variant cart --dims 2 --count 1 --show on 6 ranks: who is next to whom?
 * Try:     --variant cart --periodic on 2 ranks with Open MPI, then MPICH: which message is which?
 * Try:     --count 1:64K --plot neighbor.svg: is one call quicker than one message each?
 * Test:    -n 1 --dims 3 --periodic --show
 * Test:    -n 2 --periodic --count 10
 * Test:    -n 2 --dims 2 --count 0
 * Test:    -n 3 --periodic --dims 2 --count 1:3 --variant cart
 * Test:    -n 5 --dims 2 --chords 0
 * Test:    -n 8 --dims 3 --variant cart --seed 4
 * Test:    -n 7 --chords 6 --variant adjacent --seed 4
 * Test(1): -n 3 --chords 0 --fault reversed --variant adjacent
 * Test(1): -n 5 --variant graph --fault reversed --count 3
 * Test:    -n 2 --fault reversed
 * Test(1): -n 3 --fault corrupt --variant cart
 * Test(2): -n 2 --dims 4
 * Test(2): -n 2 --count 3G
 */
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "local/lib/data.h"
#include "mpi/lib/timing.h"
#include "mpi/lib/verify.h"
#include "mpi/lib/world.h"

static struct {
    struct range count;
    const char *variant, *call, *fault;
    int dims;
    bool periodic, show;
    size_t chords, seed;
    struct timing_options timing;
} opt = { .count = { 100, 100 }, .variant = "all", .call = "all", .dims = 2, .chords = 2,
          .timing = { .secs = 0.25, .iterations = 100000, .warmup = 5, .start = "barrier" } };

static struct plot plot = {
    .title = "Exchange with neighbours",
    .x = "bytes", .x_label = "what a rank receives (bytes)",
    .y = "median_s", .low = "p10_s", .high = "p90_s",
    .y_label = "until the last rank has left (us): median, p10 to p90",
    .series = "curve",
};

static const struct arg options[] = {
    { "count", ARG_RANGE, &opt.count, "elements of 8 bytes for each neighbour" },
    { "variant", ARG_CHOICE, &opt.variant, "who is next to whom",
      .choices = "cart|adjacent|graph|all" },
    { "call", ARG_CHOICE, &opt.call, "how they exchange",
      .choices = "allgather|alltoall|alltoallv|alltoallw|isend|all" },
    { "dims", ARG_INT, &opt.dims, "dimensions of the grid, 1 to 3" },
    { "periodic", ARG_FLAG, &opt.periodic, "the grid is closed: behind the last comes the first" },
    { "chords", ARG_SIZE, &opt.chords, "edges of the graph from each rank, besides its ring" },
    { "seed", ARG_SIZE, &opt.seed, "other elements, another graph" },
    { "show", ARG_FLAG, &opt.show, "print what each rank got from its neighbours" },
    { "fault", ARG_CHOICE, &opt.fault, "turn the edges of the graph round, or send a wrong element",
      .choices = "reversed|corrupt" },
    TIMING_ARGS(&opt.timing),
    PLOT_ARG(&plot),
    ARGS_END,
};

enum { DIMS_MAX = 3, CHORDS_MAX = 16, EDGES_MAX = 64 };

/* Elements are numbered by the edge that they leave on: `out` counts those of their sender. */
struct edge {
    int rank; /* at the other end, or MPI_PROC_NULL */
    int out;  /* at the sender: the number of this edge among those that lead away */
};

struct neighbors {
    const struct world *world;
    MPI_Comm comm;
    int count;               /* elements for each neighbour */
    int in_count, out_count; /* edges */
    struct edge in[EDGES_MAX], out[EDGES_MAX];
    uint64_t *sent, *received; /* a block of `count` for each edge */
    int sent_counts[EDGES_MAX], received_counts[EDGES_MAX]; /* of alltoallv and alltoallw */
    int starts[EDGES_MAX];
    MPI_Aint byte_starts[EDGES_MAX];
    MPI_Datatype types[EDGES_MAX];
    char form[32]; /* "2x3" */
};

/* ---- The calls ---- */

static void allgather(void *arg)
{
    const struct neighbors *n = arg;

    MPI_Neighbor_allgather(n->sent, n->count, MPI_UINT64_T, n->received, n->count, MPI_UINT64_T,
                           n->comm);
}

static void alltoall(void *arg)
{
    const struct neighbors *n = arg;

    MPI_Neighbor_alltoall(n->sent, n->count, MPI_UINT64_T, n->received, n->count, MPI_UINT64_T,
                          n->comm);
}

static void alltoallv(void *arg)
{
    const struct neighbors *n = arg;

    MPI_Neighbor_alltoallv(n->sent, n->sent_counts, n->starts, MPI_UINT64_T, n->received,
                           n->received_counts, n->starts, MPI_UINT64_T, n->comm);
}

/* Its displacements are bytes, and of a type that holds any address. */
static void alltoallw(void *arg)
{
    const struct neighbors *n = arg;

    MPI_Neighbor_alltoallw(n->sent, n->sent_counts, n->byte_starts, n->types, n->received,
                           n->received_counts, n->byte_starts, n->types, n->comm);
}

/* The tag is the number of the edge at its sender, so no two messages can be mistaken. */
static void isend(void *arg)
{
    const struct neighbors *n = arg;
    const size_t count = (size_t)n->count;
    MPI_Request requests[2 * EDGES_MAX];
    int started = 0;

    for (int i = 0; i < n->in_count; i++)
        MPI_Irecv(n->received + (size_t)i * count, n->count, MPI_UINT64_T, n->in[i].rank,
                  n->in[i].out, n->comm, &requests[started++]);
    for (int i = 0; i < n->out_count; i++)
        MPI_Isend(n->sent + (size_t)i * count, n->count, MPI_UINT64_T, n->out[i].rank,
                  n->out[i].out, n->comm, &requests[started++]);
    MPI_Waitall(started, requests, MPI_STATUSES_IGNORE);
}

static const struct call {
    const char *name;
    void (*exchange)(void *neighbors);
    bool same;   /* elements for all neighbours */
    bool uneven; /* lengths of edges */
    bool exact;  /* says which message is which, also between the same two ranks */
} calls[] = {
    { "allgather", allgather, true, false, true }, { "alltoall", alltoall, false, false, false },
    { "alltoallv", alltoallv, false, true, false }, { "alltoallw", alltoallw, false, true, false },
    { "isend", isend, false, false, true },
};

/* ---- Who is next to whom ---- */

/* What leaves for the lower neighbour reaches it from its upper one: edge i arrives where i ^ 1
 * leaves. */
static void make_cart(struct neighbors *n)
{
    const int periods[DIMS_MAX] = { opt.periodic, opt.periodic, opt.periodic };
    int sizes[DIMS_MAX] = { 0 }, length = 0;

    MPI_Dims_create(n->world->size, opt.dims, sizes);
    MPI_Cart_create(n->world->comm, opt.dims, sizes, periods, false, &n->comm);
    for (int dim = 0; dim < opt.dims; dim++) {
        int lower, upper;
        MPI_Cart_shift(n->comm, dim, 1, &lower, &upper);
        n->in[2 * dim] = (struct edge){ lower, 2 * dim + 1 };
        n->in[2 * dim + 1] = (struct edge){ upper, 2 * dim };
        n->out[2 * dim] = (struct edge){ lower, 2 * dim };
        n->out[2 * dim + 1] = (struct edge){ upper, 2 * dim + 1 };
        length += snprintf(n->form + length, sizeof n->form - (size_t)length, "%s%d",
                           dim ? "x" : "", sizes[dim]);
    }
    n->in_count = n->out_count = 2 * opt.dims;
}

/* The ranks that edges of the graph lead to from `rank`: its right neighbour, and others drawn by
 * chance. The ring gives each rank an edge that arrives and one that leaves: edges of one kind only
 * are where libraries have failed (Open MPI 5.0, issue 14452). */
static int edges_from(const struct world *w, int rank, int to[EDGES_MAX])
{
    int count = 0;

    to[count++] = (rank + 1) % w->size;
    for (size_t chord = 0; chord < opt.chords; chord++) {
        const uint64_t place = 2 * ((uint64_t)rank * opt.chords + chord);
        const int drawn = (byte_element(place, opt.seed) * 256 +
                           byte_element(place + 1, opt.seed)) % w->size;
        bool known = drawn == rank;
        for (int i = 0; i < count; i++)
            known = known || to[i] == drawn;
        if (!known)
            to[count++] = drawn;
    }
    return count;
}

/* The number of the edge from one rank to another, or -1 if there is none. */
static int edge_between(const struct world *w, int from, int to)
{
    int ends[EDGES_MAX];
    const int count = edges_from(w, from, ends);

    for (int i = 0; i < count; i++)
        if (ends[i] == to)
            return i;
    return -1;
}

/* The ranks that this rank's edges come from, and how many, whatever room there is for them. */
static int edges_to(const struct world *w, int from[EDGES_MAX])
{
    int count = 0;

    for (int rank = 0; rank < w->size; rank++)
        if (edge_between(w, rank, w->rank) >= 0) {
            if (count < EDGES_MAX)
                from[count] = rank;
            count++;
        }
    return count;
}

/* Which edges of the graph these are; -1 where there is no such edge, for the check to find. */
static void set_edges(struct neighbors *n, int in_count, const int *from, int out_count,
                      const int *to)
{
    const struct world *w = n->world;
    int all;

    n->in_count = in_count;
    n->out_count = out_count;
    for (int i = 0; i < in_count; i++)
        n->in[i] = (struct edge){ from[i], edge_between(w, from[i], w->rank) };
    for (int i = 0; i < out_count; i++)
        n->out[i] = (struct edge){ to[i], edge_between(w, w->rank, to[i]) };
    MPI_Allreduce(&out_count, &all, 1, MPI_INT, MPI_SUM, w->comm);
    snprintf(n->form, sizeof n->form, "%d edge%s", all, all == 1 ? "" : "s");
}

static void make_adjacent(struct neighbors *n)
{
    const struct world *w = n->world;
    int from[EDGES_MAX], to[EDGES_MAX];
    const int arrive = edges_to(w, from), leave = edges_from(w, w->rank, to);

    if (arg_is(opt.fault, "reversed"))
        MPI_Dist_graph_create_adjacent(w->comm, leave, to, MPI_UNWEIGHTED, arrive, from,
                                       MPI_UNWEIGHTED, MPI_INFO_NULL, false, &n->comm);
    else
        MPI_Dist_graph_create_adjacent(w->comm, arrive, from, MPI_UNWEIGHTED, leave, to,
                                       MPI_UNWEIGHTED, MPI_INFO_NULL, false, &n->comm);
    set_edges(n, arrive, from, leave, to);
}

/* A rank may name any edges, also those of others. Here each names its own, and then asks for its
 * neighbours, in the order in which the library keeps them. */
static void make_graph(struct neighbors *n)
{
    const struct world *w = n->world;
    int from[EDGES_MAX], to[EDGES_MAX], in_count, out_count, weighted;
    const bool reversed = arg_is(opt.fault, "reversed");
    const int degree = reversed ? edges_to(w, to) : edges_from(w, w->rank, to);

    MPI_Dist_graph_create(w->comm, 1, &w->rank, &degree, to, MPI_UNWEIGHTED, MPI_INFO_NULL, false,
                          &n->comm);
    MPI_Dist_graph_neighbors_count(n->comm, &in_count, &out_count, &weighted);
    MPI_Dist_graph_neighbors(n->comm, in_count, from, MPI_UNWEIGHTED, out_count, to,
                             MPI_UNWEIGHTED);
    set_edges(n, in_count, from, out_count, to);
}

static const struct variant {
    const char *name;
    void (*make)(struct neighbors *n);
} variants[] = {
    { "cart", make_cart },
    { "adjacent", make_adjacent },
    { "graph", make_graph },
};

/* Whether the library keeps the edges of the graph that was meant. */
static struct verdict check_edges(const struct neighbors *n, const struct variant *variant)
{
    const struct world *w = n->world;
    int ranks[EDGES_MAX], wrong = -1;
    bool right = true;

    if (!arg_is(variant->name, "cart"))
        right = n->in_count == edges_to(w, ranks) && n->out_count == edges_from(w, w->rank, ranks);
    for (int i = 0; i < n->in_count; i++)
        if (n->in[i].out < 0)
            wrong = n->in[i].rank;
    return verdict_both(
        verify_places(w, wrong < 0 ? UINT64_MAX : (uint64_t)w->rank,
                      "%s: no edge leads from rank %d to rank %d, but one was made",
                      variant->name, wrong, w->rank),
        verify_places(w, right ? UINT64_MAX : (uint64_t)w->rank,
                      "%s: rank %d has too few edges or too many", variant->name, w->rank));
}

/* ---- Data and checks ---- */

enum { UNTOUCHED = 0xee };

/* The first element of what travels on an edge that leaves `rank`. */
static uint64_t place_of(const struct neighbors *n, int rank, int out)
{
    return ((uint64_t)rank * EDGES_MAX + (uint64_t)out) * (uint64_t)n->count;
}

/* Both ends know the length of an edge: nothing, half, or all. Two edges between the same ranks
 * are alike, for libraries may take one for the other. */
static int length_of(const struct neighbors *n, const struct call *call, int rank)
{
    const int halves = call->uneven ? (n->world->rank + rank + 1) % 3 : 2;

    return rank == MPI_PROC_NULL ? 0 : (int)((int64_t)n->count * halves / 2);
}

static void fill(struct neighbors *n, const struct call *call)
{
    const size_t count = (size_t)n->count;
    const int most = n->in_count > n->out_count ? n->in_count : n->out_count, rank = n->world->rank;

    memset(n->received, UNTOUCHED, (size_t)most * count * sizeof *n->received);
    for (int i = 0; i < most; i++) {
        const int out = call->same || i >= n->out_count ? 0 : n->out[i].out;
        uint64_t *const block = n->sent + (size_t)i * count;
        elements_fill(block, place_of(n, rank, out), count, opt.seed);
        if (arg_is(opt.fault, "corrupt") && rank == n->world->size - 1 && count > 0)
            block[0] ^= 1;
        n->starts[i] = i * n->count;
        n->byte_starts[i] = (MPI_Aint)((size_t)i * count * sizeof *block);
        n->types[i] = MPI_UINT64_T;
    }
    for (int i = 0; i < n->in_count; i++)
        n->received_counts[i] = length_of(n, call, n->in[i].rank);
    for (int i = 0; i < n->out_count; i++)
        n->sent_counts[i] = length_of(n, call, n->out[i].rank);
}

/* How a rank got the messages of a neighbour that it has more than once. */
struct order {
    unsigned met, by_direction, in_order; /* 0 or 1 */
};

/* The edge that the message in place of edge `i` left on, or -1: the one that it should have, or
 * another one from the same rank, if that may be and is not yet found (`taken`). */
static int origin_of(const struct neighbors *n, const struct call *call, int i, const bool *taken)
{
    const struct edge *in = n->in;
    const uint64_t *block = n->received + (size_t)i * (size_t)n->count;
    const uint64_t length = (uint64_t)n->received_counts[i];

    for (int step = 0; step < n->in_count; step++) {
        const int j = (i + step) % n->in_count;
        const uint64_t place = place_of(n, in[j].rank, call->same ? 0 : in[j].out);
        if (in[j].rank == in[i].rank && !taken[j] && (step == 0 || !call->exact) &&
            elements_check(block, place, length, opt.seed) == length)
            return j;
    }
    return -1;
}

/* `i` and `from`: edges that arrive from the same rank; the message in place of i belongs to from.
 * In order: the first that was sent is the first that is received. */
static void note_order(const struct neighbors *n, int i, int from, struct order *order)
{
    int edges = 0, earlier = 0, lower = 0;

    for (int j = 0; j < n->in_count; j++)
        if (n->in[j].rank == n->in[i].rank) {
            edges++;
            earlier += j < i;
            lower += n->in[j].out < n->in[from].out;
        }
    if (edges == 1 || n->received_counts[i] == 0)
        return;
    order->met = 1;
    order->by_direction &= from == i;
    order->in_order &= earlier == lower;
}

/* Every message once, whole, from the rank and the edge that it belongs to, and nothing beside. */
static struct verdict check(const struct neighbors *n, const struct call *call, struct order *order)
{
    const size_t count = (size_t)n->count;
    bool taken[EDGES_MAX] = { false };
    int wrong = -1;

    *order = (struct order){ .by_direction = 1, .in_order = 1 };
    for (int i = 0; i < n->in_count; i++) {
        const unsigned char *rest =
            (const unsigned char *)(n->received + (size_t)i * count + n->received_counts[i]);
        const size_t rest_bytes = (count - (size_t)n->received_counts[i]) * sizeof *n->received;
        const int from = origin_of(n, call, i, taken);
        bool intact = from >= 0;
        for (size_t byte = 0; byte < rest_bytes && intact; byte++)
            intact = rest[byte] == UNTOUCHED;
        if (!intact) {
            wrong = i;
            break;
        }
        taken[from] = true;
        if (!call->same)
            note_order(n, i, from, order);
    }
    return verify_places(n->world, wrong < 0 ? UINT64_MAX : (uint64_t)n->world->rank,
                         "rank %d: what %s brought from rank %d, its neighbour %d, is wrong",
                         n->world->rank, call->name, wrong < 0 ? 0 : n->in[wrong].rank, wrong);
}

/* Collective. One answer for all ranks that have a neighbour more than once. */
static const char *order_name(const struct world *w, const struct order *order)
{
    unsigned met, agree[2] = { order->by_direction, order->in_order };

    MPI_Allreduce(&order->met, &met, 1, MPI_UNSIGNED, MPI_BOR, w->comm);
    MPI_Allreduce(MPI_IN_PLACE, agree, 2, MPI_UNSIGNED, MPI_BAND, w->comm);
    return !met ? "-" : agree[0] ? "by direction" : agree[1] ? "in order" : "mixed";
}

static void show(const struct neighbors *n, const struct variant *variant, const struct call *call)
{
    char text[1024];
    int length = snprintf(text, sizeof text, "%s %s, rank %d:", variant->name, call->name,
                          n->world->rank);

    for (int i = 0; i < n->in_count && length < 900; i++) {
        const uint64_t *block = n->received + (size_t)i * (size_t)n->count;
        if (n->in[i].rank == MPI_PROC_NULL) {
            length += snprintf(text + length, sizeof text - (size_t)length, "  from nobody;");
            continue;
        }
        length += snprintf(text + length, sizeof text - (size_t)length, "  from %d:",
                           n->in[i].rank);
        for (int k = 0; k < n->received_counts[i] && k < 3; k++)
            length += snprintf(text + length, sizeof text - (size_t)length, " %" PRIu64, block[k]);
        length += snprintf(text + length, sizeof text - (size_t)length,
                           n->received_counts[i] > 3 ? " ...;" : ";");
    }
    snprintf(text + length, sizeof text - (size_t)length, "\n");
    world_print(n->world, text);
}

/* ---- Runs ---- */

/* What the busiest rank receives or sends. */
static uint64_t bytes_of(const struct neighbors *n)
{
    int64_t in = 0, out = 0;

    for (int i = 0; i < n->in_count; i++)
        in += n->received_counts[i];
    for (int i = 0; i < n->out_count; i++)
        out += n->sent_counts[i];
    int64_t most = in > out ? in : out;
    MPI_Allreduce(MPI_IN_PLACE, &most, 1, MPI_INT64_T, MPI_MAX, n->world->comm);
    return (uint64_t)most * sizeof *n->sent;
}

static void add_row(struct world *w, const struct neighbors *n, const struct variant *variant,
                    const struct call *call, const char *order, const struct timing *timing,
                    uint64_t bytes, bool right)
{
    struct record row = w->program.record;
    char curve[64];

    snprintf(curve, sizeof curve, "%s, %s", variant->name, call->name);
    record_text(&row, "variant", variant->name);
    record_text(&row, "form", n->form);
    record_text(&row, "call", call->name);
    record_text(&row, "same_neighbor", order);
    timing_fields(&row, timing, bytes, right);
    row.aside = true;
    record_int(&row, "count", n->count);
    record_bool(&row, "periodic", opt.periodic);
    record_text(&row, "curve", curve);
    row.aside = false;
    record_bool(&row, "verified", right);
    program_row(&w->program, &row);
    if (w->rank == 0 && right)
        timing_notes(&w->program, timing);
}

static struct verdict run_call(struct world *w, struct neighbors *n, const struct variant *variant,
                               const struct call *call)
{
    struct timing timing = { .as = opt.timing.as };
    struct order order, after;

    fill(n, call);
    call->exchange(n);
    struct verdict verdict = check(n, call, &order);
    if (opt.show)
        show(n, variant, call);
    const char *name = order_name(w, &order);
    const uint64_t bytes = bytes_of(n);
    if (verdict.right) {
        timing = timing_run(w, &opt.timing, bytes, call->exchange, n);
        verdict = check(n, call, &after);
    }
    add_row(w, n, variant, call, name, &timing, bytes, verdict.right);
    return verdict;
}

/* Collective. MPICH 4.0 takes the number of edges that arrive for the number of those that leave
 * when it copies the counts of MPI_Neighbor_alltoallw (issue 6233, mended in 4.1). */
static bool is_broken(const struct world *w, const struct neighbors *n, const struct call *call)
{
    int uneven = n->in_count != n->out_count;

    MPI_Allreduce(MPI_IN_PLACE, &uneven, 1, MPI_INT, MPI_MAX, w->comm);
    return uneven && arg_is(call->name, "alltoallw") && strncmp(w->mpi, "MPICH 4.0", 9) == 0;
}

/* After a wrong result no other call of the variant is tried: on a graph that is not what was
 * meant, the ends of an edge do not agree on its length. */
static struct verdict run_variant(struct world *w, const struct variant *variant, size_t count,
                                  int *rows)
{
    struct neighbors n = { .world = w, .count = (int)count };

    variant->make(&n);
    struct verdict verdict = check_edges(&n, variant);
    const size_t edges = (size_t)(n.in_count > n.out_count ? n.in_count : n.out_count);
    n.sent = world_alloc(w, edges * count, sizeof *n.sent);
    n.received = world_alloc(w, edges * count, sizeof *n.received);
    if (!verdict.right)
        add_row(w, &n, variant, &calls[0], "-", &(struct timing){ .as = opt.timing.as }, 0, false);
    for (size_t i = 0; i < sizeof calls / sizeof *calls && verdict.right; i++) {
        if (!arg_is(opt.call, "all") && !arg_is(opt.call, calls[i].name))
            continue;
        if (is_broken(w, &n, &calls[i])) {
            program_note(&w->program, "%s, %s: left out, because MPICH 4.0 mixes up its counts",
                         variant->name, calls[i].name);
            continue;
        }
        verdict = run_call(w, &n, variant, &calls[i]);
        *rows += 1;
    }
    free(n.received);
    free(n.sent);
    MPI_Comm_free(&n.comm);
    return verdict;
}

static const char *why_not_struck(void)
{
    if (opt.count.to == 0)
        return "there are no elements";
    if (arg_is(opt.fault, "corrupt"))
        return "the last rank has no neighbours";
    if (arg_is(opt.variant, "cart"))
        return "only a graph has edges of one direction";
    if (arg_is(opt.call, "isend"))
        return "isend does not ask the graph";
    return "the graph looks the same from both ends of its edges";
}

static enum status run(struct world *w)
{
    struct verdict verdict = { .right = true };
    size_t count = opt.count.from;
    char counts[64];
    int rows = 0;

    do
        for (size_t i = 0; i < sizeof variants / sizeof *variants; i++)
            if (arg_is(opt.variant, "all") || arg_is(opt.variant, variants[i].name))
                verdict = verdict_both(verdict, run_variant(w, &variants[i], count, &rows));
    while ((count = range_next(&opt.count, count)) > 0);

    program_fault(&w->program, opt.fault, verdict.right, why_not_struck());
    if (!verdict.right)
        return program_verdict(&w->program, false, "%s", verdict.wrong);
    if (rows == 0)
        return UNABLE; /* the notes say why */
    return program_verdict(&w->program, true, "%s elements on each edge among %d rank%s, each "
                           "from the right neighbour", range_text(&opt.count, counts), w->size,
                           w->size == 1 ? "" : "s");
}

/* Whether every rank has room for its edges. */
static enum status check_room(const struct world *w)
{
    int ranks[EDGES_MAX], most = edges_to(w, ranks);

    MPI_Allreduce(MPI_IN_PLACE, &most, 1, MPI_INT, MPI_MAX, w->comm);
    if (most > EDGES_MAX)
        return world_usage(w, "--chords %zu: %d edges lead to one rank, and %d are the most: give "
                           "fewer, or another --seed", opt.chords, most, EDGES_MAX);
    return PASS;
}

int main(int argc, char **argv)
{
    struct world w;
    enum status status = world_open(&w, argc, argv, MPI_THREAD_SINGLE, 1, options);

    if (status == PASS && (opt.dims < 1 || opt.dims > DIMS_MAX))
        status = world_usage(&w, "--dims %d: a grid has 1 to %d dimensions: give one of these",
                             opt.dims, DIMS_MAX);
    if (status == PASS && opt.chords > CHORDS_MAX)
        status = world_usage(&w, "--chords %zu: give at most %d", opt.chords, CHORDS_MAX);
    if (status == PASS && opt.count.to > INT_MAX / EDGES_MAX)
        status = world_usage(&w, "--count %zu: displacements of MPI_Neighbor_alltoallv are int, "
                             "and there may be %d blocks: give at most %d", opt.count.to, EDGES_MAX,
                             INT_MAX / EDGES_MAX);
    if (status == PASS)
        status = check_room(&w);
    if (status == PASS)
        status = world_agree(&w, program_plot(&w.program, &plot));
    if (status == PASS)
        status = run(&w);
    return world_close(&w, status);
}
