/*
 * exchange - every rank swaps the edges of its block with its neighbours, in six ways
 *
 * Stencils, images and particles are cut into blocks, one a rank, on a grid of --dims 1 or 2
 * dimensions (MPI_Cart_create). Each block has a halo, one cell wide, that must hold the edge cells
 * of the neighbours' blocks. Rows lie one behind the other in memory; a column is an
 * MPI_Type_vector. With one dimension only the first and the last row travel. All cells are
 * functions of their place in the whole, so each rank knows what its halo must hold; at open ends
 * nothing may be written, and nothing in the block.
 *
 *   sendrecv, replace  one direction after the other: to one side, from the other
 *   odd_even           blocking calls in an order that cannot deadlock
 *   nonblocking        all directions at once
 *   persistent         the same, set up once and started again and again
 *   neighbor           a neighbourhood collective for each direction
 *
 * What can go wrong: a rank may be its own neighbour, or have the same one on both sides (1 or 2
 * ranks on a ring). Then only a tag tells the message that travels up from the one that travels
 * down: --fault no_tags swaps the halos, and only there.
 *
 * Simulated: no, it has no neighbourhood collectives
 * Run:     make run P=exchange N=4 ARGS="--bytes 4 --dims 2 --show"
 * Try:     --dims 2 --periodic --bytes 3 --show on 6 ranks: whose cells are in your halo?
 * Try:     --bytes 8:64K --plot exchange.svg: which way is the fastest, and from which size on?
 * Try:     --variant nonblocking --fault no_tags --periodic on 2 ranks, then on 3
 * Test:    -n 1 --dims 2 --periodic --bytes 5 --show
 * Test:    -n 2 --dims 2 --periodic --bytes 0:3 --seconds 0.01
 * Test:    -n 3 --periodic --bytes 100K --seconds 0.01
 * Test:    -n 6 --dims 2 --bytes 7 --periodic --seconds 0.01
 * Test:    -n 7 --dims 2 --bytes 33 --seconds 0.01
 * Test(1): -n 2 --periodic --variant nonblocking --fault no_tags
 * Test:    -n 3 --periodic --variant nonblocking --fault no_tags
 * Test(1): -n 3 --variant sendrecv --fault corrupt
 * Test(2): -n 2 --dims 3
 * Test(2): -n 2 --dims 2 --bytes 1M
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
    struct range bytes;
    const char *variant, *fault;
    int dims;
    bool periodic, show;
    size_t seed;
    struct timing_options timing;
} opt = { .bytes = { 1024, 1024 }, .variant = "all", .dims = 1, .timing = TIMING_DEFAULTS };

static struct plot plot = {
    .title = "Exchange of edges",
    .x = "bytes", .x_label = "size of an edge (bytes)",
    .y = "median_s", .low = "p10_s", .high = "p90_s",
    .y_label = "until the last rank has left (us): median, p10 to p90",
    .series = "variant",
};

#define VARIANTS "sendrecv|replace|odd_even|nonblocking|persistent|neighbor"

static const struct arg options[] = {
    { "bytes", ARG_RANGE, &opt.bytes, "sizes of an edge, in cells of one byte" },
    { "variant", ARG_CHOICE, &opt.variant, "how the edges travel", .choices = VARIANTS "|all" },
    { "dims", ARG_INT, &opt.dims, "dimensions of the grid of ranks, 1 or 2" },
    { "periodic", ARG_FLAG, &opt.periodic, "the last block is the neighbour of the first" },
    { "seed", ARG_SIZE, &opt.seed, "other cells" },
    { "show", ARG_FLAG, &opt.show, "print each block with its halo, in hexadecimal digits" },
    { "fault", ARG_CHOICE, &opt.fault, "leave out the tags, or send a wrong cell",
      .choices = "no_tags|corrupt" },
    TIMING_ARGS(&opt.timing),
    PLOT_ARG(&plot),
    ARGS_END,
};

enum { DIRECTIONS = 4, HALO = 0xee, SQUARE_MAX = 8192, SHOW_ROWS = 10, SHOW_COLUMNS = 22 };

/* A direction of travel: down and up along dimension 0, then along dimension 1. */
struct direction {
    int to, from;                /* ranks, or MPI_PROC_NULL at an open end */
    int place, length;           /* of this rank among those along the dimension */
    unsigned char *edge, *halo;  /* first cells of what is sent, and of where it arrives */
    MPI_Datatype type;           /* a row, or a column */
    int tag;
    MPI_Comm graph;              /* this direction alone, closed to a ring */
};

struct exchange {
    const struct world *world;
    MPI_Comm grid;
    int coords[2], sizes[2]; /* of ranks */
    int rows, columns;       /* of the block without its halo */
    size_t stride;           /* from row to row */
    unsigned char *cells;
    int directions;
    struct direction direction[DIRECTIONS];
    MPI_Request requests[2 * DIRECTIONS]; /* persistent */
};

/* The cell in row -1 ... rows and column -1 ... columns: those are the halo. */
static unsigned char *cell(const struct exchange *e, int row, int column)
{
    return e->cells + (size_t)(row + 1) * e->stride + (size_t)(column + 1);
}

/* ---- The ways ---- */

static void shift(const struct exchange *e, const struct direction *d)
{
    MPI_Sendrecv(d->edge, 1, d->type, d->to, d->tag, d->halo, 1, d->type, d->from, d->tag, e->grid,
                 MPI_STATUS_IGNORE);
}

static void sendrecv(void *arg)
{
    struct exchange *e = arg;

    for (int i = 0; i < e->directions; i++)
        shift(e, &e->direction[i]);
}

static void copy_edge(const struct exchange *e, const struct direction *d, int dimension)
{
    if (dimension == 0)
        memcpy(d->halo, d->edge, (size_t)e->columns);
    for (int row = 0; dimension == 1 && row < e->rows; row++)
        d->halo[(size_t)row * e->stride] = d->edge[(size_t)row * e->stride];
}

/* What leaves is put where its successor arrives; where nothing arrives, the halo must stay. */
static void replace(void *arg)
{
    struct exchange *e = arg;

    for (int i = 0; i < e->directions; i++) {
        const struct direction *d = &e->direction[i];
        if (d->from == MPI_PROC_NULL) {
            MPI_Send(d->edge, 1, d->type, d->to, d->tag, e->grid);
            continue;
        }
        copy_edge(e, d, i / 2);
        MPI_Sendrecv_replace(d->halo, 1, d->type, d->to, d->tag, d->from, d->tag, e->grid,
                             MPI_STATUS_IGNORE);
    }
}

/* Those at even places send first. On a ring of odd length two of them are neighbours; the first
 * of the two is set free by its other neighbour, so that no cycle is left. */
static void odd_even(void *arg)
{
    struct exchange *e = arg;

    for (int i = 0; i < e->directions; i++) {
        const struct direction *d = &e->direction[i];
        if (d->length == 1) {
            shift(e, d);
            continue;
        }
        if (d->place % 2 == 0)
            MPI_Send(d->edge, 1, d->type, d->to, d->tag, e->grid);
        MPI_Recv(d->halo, 1, d->type, d->from, d->tag, e->grid, MPI_STATUS_IGNORE);
        if (d->place % 2 != 0)
            MPI_Send(d->edge, 1, d->type, d->to, d->tag, e->grid);
    }
}

/* Receives are posted from the lower neighbour first, sends to it first: the order of a program
 * whose author thinks of neighbours, not of directions. The tags make it right. */
static void nonblocking(void *arg)
{
    struct exchange *e = arg;
    MPI_Request requests[2 * DIRECTIONS];
    int count = 0;

    for (int i = 0; i < e->directions; i++) {
        const struct direction *d = &e->direction[i ^ 1];
        MPI_Irecv(d->halo, 1, d->type, d->from, d->tag, e->grid, &requests[count++]);
    }
    for (int i = 0; i < e->directions; i++) {
        const struct direction *d = &e->direction[i];
        MPI_Isend(d->edge, 1, d->type, d->to, d->tag, e->grid, &requests[count++]);
    }
    MPI_Waitall(count, requests, MPI_STATUSES_IGNORE);
}

static void set_up_persistent(struct exchange *e)
{
    for (int i = 0; i < e->directions; i++) {
        const struct direction *d = &e->direction[i];
        MPI_Recv_init(d->halo, 1, d->type, d->from, d->tag, e->grid, &e->requests[2 * i]);
        MPI_Send_init(d->edge, 1, d->type, d->to, d->tag, e->grid, &e->requests[2 * i + 1]);
    }
}

static void persistent(void *arg)
{
    struct exchange *e = arg;

    MPI_Startall(2 * e->directions, e->requests);
    MPI_Waitall(2 * e->directions, e->requests, MPI_STATUSES_IGNORE);
}

/* A graph for each direction: where a rank has the same neighbour on both sides, libraries do not
 * agree on which of two messages between the same ranks belongs to which side. The graph is a ring
 * also where the grid is open, with nothing to send there: MPICH 4.0 delivers nothing to a rank
 * that has neighbours on one side of the graph only. It is not made from the grid: in Open MPI 5 a
 * graph made from a Cartesian communicator keeps that one's topology, and the types of a call are
 * then counted by the grid's neighbours (MPI_ERR_TYPE). Ranks are the same in both. */
static void neighbor(void *arg)
{
    struct exchange *e = arg;
    const MPI_Aint zero = 0;

    for (int i = 0; i < e->directions; i++) {
        const struct direction *d = &e->direction[i];
        const int sent = d->to != MPI_PROC_NULL, received = d->from != MPI_PROC_NULL;
        MPI_Neighbor_alltoallw(d->edge, &sent, &zero, &d->type, d->halo, &received, &zero, &d->type,
                               d->graph);
    }
}

static const struct variant {
    const char *name;
    void (*exchange)(void *exchange);
} variants[] = {
    { "sendrecv", sendrecv },       { "replace", replace },       { "odd_even", odd_even },
    { "nonblocking", nonblocking }, { "persistent", persistent }, { "neighbor", neighbor },
};

/* ---- The grid and its blocks ---- */

/* The rank that is `by` places away along a dimension, as on a ring. */
static int rank_at(const struct exchange *e, int dimension, int by)
{
    int coords[2] = { e->coords[0], e->coords[1] }, rank;

    coords[dimension] = (coords[dimension] + by + e->sizes[dimension]) % e->sizes[dimension];
    MPI_Cart_rank(e->grid, coords, &rank);
    return rank;
}

static void find_direction(struct exchange *e, int dimension, bool up)
{
    struct direction *d = &e->direction[2 * dimension + up];
    const int last = dimension == 0 ? e->rows - 1 : e->columns - 1;
    const int edge = up ? last : 0, halo = up ? -1 : last + 1, weight = 1, by = up ? 1 : -1;
    const int ring_to = rank_at(e, dimension, by), ring_from = rank_at(e, dimension, -by);

    MPI_Cart_shift(e->grid, dimension, by, &d->from, &d->to);
    d->length = e->sizes[dimension];
    d->place = up ? e->coords[dimension] : d->length - 1 - e->coords[dimension];
    d->tag = arg_is(opt.fault, "no_tags") ? 0 : 2 * dimension + up;
    if (dimension == 0) {
        d->edge = cell(e, edge, 0);
        d->halo = cell(e, halo, 0);
        MPI_Type_contiguous(e->columns, MPI_BYTE, &d->type);
    } else {
        d->edge = cell(e, 0, edge);
        d->halo = cell(e, 0, halo);
        MPI_Type_vector(e->rows, 1, (int)e->stride, MPI_BYTE, &d->type);
    }
    MPI_Type_commit(&d->type);
    MPI_Dist_graph_create_adjacent(e->world->comm, 1, &ring_from, &weight, 1, &ring_to, &weight,
                                   MPI_INFO_NULL, false, &d->graph);
}

/* With one dimension a block has two rows of --bytes cells, with two it is a square. */
static void exchange_open(struct exchange *e, const struct world *w, size_t bytes)
{
    const int periods[2] = { opt.periodic, opt.periodic };

    *e = (struct exchange){ .world = w, .rows = opt.dims == 1 ? 2 : (int)bytes,
                            .columns = (int)bytes, .stride = bytes + 2,
                            .directions = 2 * opt.dims };
    e->cells = world_alloc(w, (size_t)e->rows + 2, e->stride);
    MPI_Dims_create(w->size, opt.dims, e->sizes);
    MPI_Cart_create(w->comm, opt.dims, e->sizes, periods, false, &e->grid);
    MPI_Cart_coords(e->grid, w->rank, opt.dims, e->coords); /* not reordered: the same ranks */
    for (int i = 0; i < e->directions; i++)
        find_direction(e, i / 2, i % 2);
    set_up_persistent(e);
}

static void exchange_close(struct exchange *e)
{
    for (int i = 0; i < e->directions; i++) {
        MPI_Request_free(&e->requests[2 * i]);
        MPI_Request_free(&e->requests[2 * i + 1]);
        MPI_Comm_free(&e->direction[i].graph);
        MPI_Type_free(&e->direction[i].type);
    }
    MPI_Comm_free(&e->grid);
    free(e->cells);
}

/* Where in the whole the cell in a row and a column of this block lies; those of the halo belong to
 * a neighbour, on a ring to the one at the other end. */
static uint64_t place_of(const struct exchange *e, int row, int column)
{
    const int64_t all_rows = (int64_t)e->rows * e->sizes[0];
    const int64_t all_columns = opt.dims == 1 ? e->columns : (int64_t)e->columns * e->sizes[1];
    const int64_t in_row = ((int64_t)e->coords[0] * e->rows + row + all_rows) % all_rows;
    const int64_t in_column =
        ((int64_t)e->coords[1] * e->columns + column + all_columns) % all_columns;

    return (uint64_t)(in_row * all_columns + in_column);
}

static void fill(const struct exchange *e)
{
    memset(e->cells, HALO, ((size_t)e->rows + 2) * e->stride);
    for (int row = 0; row < e->rows && e->columns > 0; row++)
        bytes_fill(cell(e, row, 0), place_of(e, row, 0), (uint64_t)e->columns, opt.seed);
    if (arg_is(opt.fault, "corrupt") && e->world->rank == e->world->size - 1 && e->columns > 0)
        *cell(e, 0, e->columns / 2) ^= 1;
}

/* Whether `count` cells of a row hold what they must. They are all of the block, or all of one
 * side of its halo; where nothing arrives, nothing may be written. */
static bool holds(const struct exchange *e, int row, int column, int count)
{
    const bool in_rows = row >= 0 && row < e->rows, in_columns = column >= 0 && column < e->columns;
    const int arrives = in_rows ? 2 + (column < 0) : row < 0; /* by this direction */
    const bool received = in_rows != in_columns && arrives < e->directions &&
                          e->direction[arrives].from != MPI_PROC_NULL;
    const unsigned char *const cells = cell(e, row, column);

    if (received || (in_rows && in_columns))
        return bytes_check(cells, place_of(e, row, column), (uint64_t)count, opt.seed) ==
               (uint64_t)count;
    for (int i = 0; i < count; i++)
        if (cells[i] != HALO)
            return false;
    return true;
}

/* The block and its halo, corners too: a row is its left halo, its cells, and its right halo. */
static struct verdict check(const struct exchange *e)
{
    const char *part = NULL;
    int wrong = 0;

    for (int row = -1; row <= e->rows && !part; row++) {
        wrong = row;
        if (!holds(e, row, -1, 1))
            part = "the left end";
        else if (e->columns > 0 && !holds(e, row, 0, e->columns))
            part = "the middle";
        else if (!holds(e, row, e->columns, 1))
            part = "the right end";
    }
    return verify_places(e->world, part ? (uint64_t)e->world->rank : UINT64_MAX,
                         "rank %d: %s of row %d (the halo is rows -1 and %d and both ends) is not "
                         "what it must be", e->world->rank, part, wrong, e->rows);
}

static void show(const struct exchange *e)
{
    const int rows = e->rows < SHOW_ROWS ? e->rows : SHOW_ROWS;
    const int columns = e->columns < SHOW_COLUMNS ? e->columns : SHOW_COLUMNS;
    char text[2048];
    int length = snprintf(text, sizeof text, "rank %d%s\n", e->world->rank,
                          rows < e->rows || columns < e->columns ? ", the upper left of it" : "");

    for (int row = -1; row <= rows; row++) {
        for (int column = -1; column <= columns; column++) {
            const unsigned char value = *cell(e, row, column);
            const bool own = row >= 0 && row < e->rows && column >= 0 && column < e->columns;
            length += snprintf(text + length, sizeof text - (size_t)length,
                               value == HALO && !own ? " --" : " %02x", value);
        }
        length += snprintf(text + length, sizeof text - (size_t)length, "\n");
    }
    world_print(e->world, text);
}

/* ---- Runs ---- */

/* From a halo that nothing was written to. */
static struct verdict try(struct exchange *e, const struct variant *variant)
{
    fill(e);
    variant->exchange(e);
    return check(e);
}

static struct verdict run_variant(struct world *w, struct exchange *e,
                                  const struct variant *variant, size_t bytes)
{
    struct timing timing = { 0 };
    struct record row = w->program.record;
    struct verdict verdict = try(e, variant);
    char grid[32];

    if (opt.show)
        show(e);
    if (verdict.right) {
        timing = timing_run(w, &opt.timing, bytes, variant->exchange, e);
        verdict = check(e);
        verdict = verdict_both(verdict, try(e, variant));
    }
    snprintf(grid, sizeof grid, opt.dims == 1 ? "%d" : "%dx%d", e->sizes[0], e->sizes[1]);
    record_text(&row, "variant", variant->name);
    record_text(&row, "grid", grid);
    record_bool(&row, "periodic", opt.periodic);
    timing_fields(&row, &timing, bytes, verdict.right);
    record_bool(&row, "verified", verdict.right);
    program_row(&w->program, &row);
    return verdict;
}

static const char *why_not_struck(void)
{
    if (opt.bytes.to == 0)
        return "there are no cells";
    if (!arg_is(opt.variant, "nonblocking") && !arg_is(opt.variant, "all"))
        return "only nonblocking receives in another order than it sends";
    return "no rank has the same neighbour on both sides";
}

static enum status run(struct world *w)
{
    struct verdict verdict = { .right = true };
    struct exchange e;
    size_t bytes = opt.bytes.from;
    char sizes[64];
    int ways = 0;

    do {
        ways = 0;
        exchange_open(&e, w, bytes);
        for (size_t i = 0; i < sizeof variants / sizeof *variants; i++) {
            if (arg_is(opt.variant, "all") || arg_is(opt.variant, variants[i].name)) {
                verdict = verdict_both(verdict, run_variant(w, &e, &variants[i], bytes));
                ways++;
            }
        }
        exchange_close(&e);
    } while ((bytes = range_next(&opt.bytes, bytes)) > 0);

    program_fault(&w->program, opt.fault, verdict.right, why_not_struck());
    if (!verdict.right)
        return program_verdict(&w->program, false, "%s", verdict.wrong);
    return program_verdict(&w->program, true, "edges of %s bytes between %d rank%s in %d way%s, "
                           "each cell of every halo right", range_text(&opt.bytes, sizes), w->size,
                           w->size == 1 ? "" : "s", ways, ways == 1 ? "" : "s");
}

int main(int argc, char **argv)
{
    struct world w;
    enum status status = world_open(&w, argc, argv, MPI_THREAD_SINGLE, 1, options);

    if (status == PASS && (opt.dims < 1 || opt.dims > 2))
        status = world_usage(&w, "--dims %d: the grid has one dimension or two: give 1 or 2",
                             opt.dims);
    if (status == PASS && opt.dims == 2 && opt.bytes.to > SQUARE_MAX)
        status = world_usage(&w, "--bytes %zu: the block is a square of that side: give at most "
                             "%d, or --dims 1", opt.bytes.to, SQUARE_MAX);
    if (status == PASS && opt.bytes.to > INT_MAX - 2)
        status = world_usage(&w, "--bytes %zu: a count is an int: give at most %d", opt.bytes.to,
                             INT_MAX - 2);
    if (status == PASS)
        status = world_agree(&w, program_plot(&w.program, &plot));
    if (status == PASS)
        status = run(&w);
    return world_close(&w, status);
}
