#include "hybrid/lib/plane.h"
#include "local/lib/line.h"
#include "local/lib/pages.h"

#include <inttypes.h>
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

static const double row_slope = 3, column_slope = 5;

enum { LINE_DOUBLES = LINE_BYTES / sizeof(double), PAGE_BYTES = 4096 };

/* ---- Numbers ---- */

double plane_first(enum plane_form form, uint64_t seed, int64_t row, int64_t column)
{
    if (form == PLANE_LINEAR)
        return row_slope * (double)row + column_slope * (double)column;
    /* rows and columns of the frame may be negative: as unsigned numbers they do as well */
    uint64_t word = (uint64_t)row * UINT64_C(0x9e3779b97f4a7c15) +
                    (uint64_t)column * UINT64_C(0xd1342543de82ef95) + seed;
    word ^= word >> 29;
    word *= UINT64_C(0xbf58476d1ce4e5b9);
    word ^= word >> 32;
    return (double)((word * UINT64_C(0x94d049bb133111eb)) >> 11) * 0x1p-53;
}

static double drift_of(const struct star *star)
{
    return star_drift(star, row_slope, column_slope);
}

bool plane_exact(uint64_t n, const struct star *star, uint64_t steps)
{
    const double most = (row_slope + column_slope) * ((double)n + STAR_RADIUS_MOST) +
                        fabs(drift_of(star)) * ((double)steps + 1);

    return most < 0x1p53 * star->unit * star->unit;
}

double plane_known(const struct plane *p, uint64_t step, ptrdiff_t row, ptrdiff_t column)
{
    const double first = plane_first(p->form, p->seed, (int64_t)p->rows.start + row,
                                     (int64_t)p->columns.start + column);

    return p->form == PLANE_LINEAR ? first + p->drift * (double)step : first;
}

/* ---- Who holds what ---- */

static int least(uint64_t a, int b)
{
    return a < (uint64_t)b ? (int)a : b;
}

static void cut(struct plane *p)
{
    const uint64_t thick = p->n / (uint64_t)p->star.radius;
    int dims[2] = { 0, 0 }, coords[2];

    MPI_Dims_create(p->world->size, 2, dims);
    for (int d = 0; d < 2; d++)
        p->parts[d] = thick > 0 ? least(thick, dims[d]) : 1;
    MPI_Cart_create(p->world->comm, 2, p->parts, (int[]){ false, false }, false, &p->comm);
    if (p->comm == MPI_COMM_NULL)
        return;
    int rank;
    MPI_Comm_rank(p->comm, &rank);
    MPI_Cart_coords(p->comm, rank, 2, coords);
    p->rows = block_of(p->n, (uint64_t)p->parts[0], (uint64_t)coords[0]);
    p->columns = block_of(p->n, (uint64_t)p->parts[1], (uint64_t)coords[1]);
    MPI_Cart_shift(p->comm, 0, 1, &p->neighbors[PLANE_UP], &p->neighbors[PLANE_DOWN]);
    MPI_Cart_shift(p->comm, 1, 1, &p->neighbors[PLANE_LEFT], &p->neighbors[PLANE_RIGHT]);
}

/* One row of an edge, with the distance from row to row as its extent: a count makes the edge. */
static MPI_Datatype edge_type(const struct plane *p, uint64_t columns)
{
    MPI_Datatype row, type;

    MPI_Type_contiguous((int)columns, MPI_DOUBLE, &row);
    MPI_Type_create_resized(row, 0, p->stride * (MPI_Aint)sizeof(double), &type);
    MPI_Type_commit(&type);
    MPI_Type_free(&row);
    return type;
}

/* ---- Memory ---- */

/* Left of a row a whole line, and more for large radii, so that column 0 begins one. */
static size_t margin(const struct plane *p)
{
    return ((size_t)p->star.radius + LINE_DOUBLES - 1) / LINE_DOUBLES * LINE_DOUBLES;
}

static size_t field_bytes(const struct plane *p)
{
    const size_t rows = p->rows.count + 2 * (size_t)p->star.radius;

    return rows * (size_t)p->stride * sizeof(double);
}

/* The second field begins half a page away from where the first does, for a store and a load at one
 * place within a page are taken for the same one by many CPUs, which then wait. */
static size_t part_bytes(const struct plane *p)
{
    return 2 * (line_up(field_bytes(p)) + PAGE_BYTES) + LINE_BYTES;
}

static void lay_out(struct plane *p, unsigned char *memory)
{
    const size_t before = (size_t)p->star.radius * (size_t)p->stride + margin(p);
    const size_t first = line_up(field_bytes(p));
    const size_t second = (first + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES + PAGE_BYTES / 2;

    p->values[0] = (double *)memory + before;
    p->values[1] = (double *)(memory + second) + before;
}

/* Where shared memory is too small, its first touch would be the end (SIGBUS). */
static int check_room(const struct plane *p, char *error, size_t error_size)
{
    const struct world *const w = p->world;
    struct statvfs files;
    uint64_t wanted = p->bytes, room = UINT64_MAX;
    int lacks;

    MPI_Allreduce(MPI_IN_PLACE, &wanted, 1, MPI_UINT64_T, MPI_SUM, w->node_comm);
    if (statvfs("/dev/shm", &files) == 0)
        room = (uint64_t)files.f_bavail * files.f_frsize;
    lacks = wanted > room;
    MPI_Allreduce(MPI_IN_PLACE, &lacks, 1, MPI_INT, MPI_MAX, w->comm);
    if (!lacks)
        return 0;
    snprintf(error, error_size, "a window of %" PRIu64 " MB does not fit into /dev/shm of a node: "
             "give a smaller --n, or make it larger", wanted >> 20);
    return -1;
}

/* What lies at the beginning of each rank's piece of the window. */
struct shared_head {
    _Alignas(LINE_BYTES) _Atomic uint64_t step;
    uint64_t values[2]; /* their distance from the head, in bytes */
    int64_t stride;
    struct block rows, columns;
};

static struct shared_head *head_of(const struct plane *p, int rank)
{
    MPI_Aint bytes;
    unsigned char *base;
    int unit;

    MPI_Win_shared_query(p->window, rank, &bytes, &unit, &base);
    return (struct shared_head *)(base + (LINE_BYTES - (uintptr_t)base % LINE_BYTES) % LINE_BYTES);
}

static void find_peers(struct plane *p)
{
    MPI_Group all, node;
    int there[PLANE_SIDES];

    MPI_Comm_group(p->comm, &all);
    MPI_Comm_group(p->shared_comm, &node);
    MPI_Group_translate_ranks(all, PLANE_SIDES, p->neighbors, node, there);
    for (int side = 0; side < PLANE_SIDES; side++) {
        if (there[side] == MPI_UNDEFINED || there[side] == MPI_PROC_NULL)
            continue;
        struct shared_head *const head = head_of(p, there[side]);
        struct plane_peer *const peer = &p->peers[side];
        peer->step = &head->step;
        peer->stride = head->stride;
        peer->rows = head->rows;
        peer->columns = head->columns;
        for (int i = 0; i < 2; i++)
            peer->values[i] = (double *)((unsigned char *)head + head->values[i]);
    }
    MPI_Group_free(&node);
    MPI_Group_free(&all);
}

static void open_window(struct plane *p, int window_ranks)
{
    const struct world *const w = p->world;
    MPI_Info info;
    void *base;

    MPI_Comm_split(w->node_comm, w->node_rank / window_ranks, w->rank, &p->shared_comm);
    MPI_Info_create(&info);
    MPI_Info_set(info, "alloc_shared_noncontig", "true");
    MPI_Win_allocate_shared((MPI_Aint)p->bytes, 1, info, p->shared_comm, &base, &p->window);
    MPI_Info_free(&info);

    int rank;
    MPI_Comm_rank(p->shared_comm, &rank);
    struct shared_head *const head = head_of(p, rank);
    atomic_init(&head->step, 0);
    p->shared_step = &head->step;
    lay_out(p, (unsigned char *)head + line_up(sizeof *head));
    for (int i = 0; i < 2; i++)
        head->values[i] = (uint64_t)((unsigned char *)p->values[i] - (unsigned char *)head);
    head->stride = p->stride;
    head->rows = p->rows;
    head->columns = p->columns;
    MPI_Win_lock_all(MPI_MODE_NOCHECK, p->window); /* until it is freed: loads and stores */
    MPI_Win_sync(p->window);
    MPI_Barrier(p->shared_comm);
    MPI_Win_sync(p->window);
    if (p->comm != MPI_COMM_NULL)
        find_peers(p);
}

/* Whether the fields of this node are more than its last cache holds. */
static bool past_caches(const struct plane *p)
{
    const uint64_t usual = UINT64_C(32) << 20;
    uint64_t bytes = 2 * field_bytes(p);
    long cache = -1;

#ifdef _SC_LEVEL3_CACHE_SIZE
    cache = sysconf(_SC_LEVEL3_CACHE_SIZE);
#endif
    MPI_Allreduce(MPI_IN_PLACE, &bytes, 1, MPI_UINT64_T, MPI_SUM, p->world->node_comm);
    return bytes > (cache > 0 ? (uint64_t)cache : usual);
}

int plane_open(struct plane *p, const struct world *w, uint64_t n, int radius, int window_ranks,
               char *error, size_t error_size)
{
    *p = (struct plane){ .world = w, .n = n, .star = star_make(radius), .comm = MPI_COMM_NULL,
                         .window = MPI_WIN_NULL, .shared_comm = MPI_COMM_NULL };
    p->drift = drift_of(&p->star);
    for (int side = 0; side < PLANE_SIDES; side++)
        p->neighbors[side] = MPI_PROC_NULL;
    cut(p);
    p->stride = (ptrdiff_t)(line_up((p->columns.count + (size_t)radius) * sizeof(double)) /
                            sizeof(double) + margin(p));
    p->bytes = part_bytes(p) + (window_ranks > 0 ? 2 * line_up(sizeof(struct shared_head)) : 0);
    p->stream = past_caches(p);
    if (window_ranks > 0 && check_room(p, error, error_size)) {
        if (p->comm != MPI_COMM_NULL)
            MPI_Comm_free(&p->comm);
        return -1;
    }
    p->row_edge = edge_type(p, p->columns.count);
    p->column_edge = edge_type(p, (uint64_t)radius);
    if (window_ranks > 0) {
        open_window(p, window_ranks);
        return 0;
    }
    p->memory = pages_alloc(p->bytes, true);
    if (!p->memory)
        world_abort(w, UNABLE, "no memory for %zu MB of the field: give a smaller --n",
                    p->bytes >> 20);
    lay_out(p, p->memory);
    return 0;
}

void plane_close(struct plane *p)
{
    MPI_Type_free(&p->column_edge);
    MPI_Type_free(&p->row_edge);
    if (p->window != MPI_WIN_NULL) {
        MPI_Win_unlock_all(p->window);
        MPI_Win_free(&p->window);
        MPI_Comm_free(&p->shared_comm);
    }
    pages_free(p->memory, p->bytes);
    if (p->comm != MPI_COMM_NULL)
        MPI_Comm_free(&p->comm);
}

/* ---- The field ---- */

/* The frame after `step` steps, in as far as it lies beside a block of this part. */
static void set_frame(const struct plane *p, uint64_t step, struct block rows,
                      struct block columns)
{
    const ptrdiff_t radius = p->star.radius;
    const ptrdiff_t top = (ptrdiff_t)rows.start, bottom = top + (ptrdiff_t)rows.count;
    const ptrdiff_t first = (ptrdiff_t)columns.start, last = first + (ptrdiff_t)columns.count;
    const bool at_side[PLANE_SIDES] = {
        top == 0, bottom == (ptrdiff_t)p->rows.count,
        first == 0, last == (ptrdiff_t)p->columns.count,
    };

    for (int side = 0; side < PLANE_SIDES; side++) {
        if (!at_side[side] || p->neighbors[side] != MPI_PROC_NULL)
            continue;
        const bool row_wise = side == PLANE_UP || side == PLANE_DOWN;
        const ptrdiff_t from = side == PLANE_UP     ? -radius
                               : side == PLANE_DOWN ? bottom
                               : side == PLANE_LEFT ? -radius
                                                    : last;
        const ptrdiff_t row = row_wise ? from : top, column = row_wise ? first : from;
        const ptrdiff_t row_end = row_wise ? from + radius : bottom;
        const ptrdiff_t column_end = row_wise ? last : from + radius;
        for (ptrdiff_t i = row; i < row_end; i++)
            for (ptrdiff_t j = column; j < column_end; j++)
                *plane_at(p, step, i, j) = plane_known(p, step, i, j);
    }
}

/* A row of this part or beside it. */
static void fill_row(struct plane *p, uint64_t step, ptrdiff_t row)
{
    const bool inside = row >= 0 && row < (ptrdiff_t)p->rows.count;
    const ptrdiff_t radius = p->star.radius;

    for (ptrdiff_t j = -radius; j < (ptrdiff_t)p->columns.count + radius; j++) {
        const bool holds = inside && j >= 0 && j < (ptrdiff_t)p->columns.count && p->step == 0;
        *plane_at(p, step, row, j) = holds ? plane_known(p, 0, row, j) : NAN;
        *plane_at(p, step + 1, row, j) = NAN;
    }
}

void plane_fill(struct plane *p, struct place *place, enum plane_form form, uint64_t seed,
                uint64_t step)
{
    const ptrdiff_t rows = (ptrdiff_t)p->rows.count, radius = p->star.radius;

    MPI_Barrier(p->world->comm); /* no neighbour still waits for the last field */
    if (p->shared_step)
        atomic_store(p->shared_step, 0);
    p->form = form;
    p->seed = seed;
    p->step = step;
#pragma omp parallel num_threads(place->threads)
    {
        place_thread(place, omp_get_thread_num());
#pragma omp for schedule(static)
        for (ptrdiff_t row = 0; row < rows; row++)
            fill_row(p, step, row);
    }
    for (ptrdiff_t i = 1; i <= radius && p->comm != MPI_COMM_NULL; i++) {
        fill_row(p, step, -i);
        fill_row(p, step, rows - 1 + i);
    }
    const struct block all_rows = { 0, p->rows.count }, all_columns = { 0, p->columns.count };
    if (p->comm != MPI_COMM_NULL) {
        set_frame(p, step, all_rows, all_columns);
        set_frame(p, step + 1, all_rows, all_columns);
    }
    MPI_Barrier(p->world->comm);
}

void plane_compute(const struct plane *p, uint64_t step, struct block rows, struct block columns)
{
    if (rows.count == 0 || columns.count == 0)
        return;
    const ptrdiff_t row = (ptrdiff_t)rows.start, column = (ptrdiff_t)columns.start;

    star_step(&p->star, plane_at(p, step + 1, row, column), plane_at(p, step, row, column),
              p->stride, rows.count, columns.count, p->stream);
    if (p->form == PLANE_LINEAR) /* that of ROUGH stays */
        set_frame(p, step + 1, rows, columns);
}

static struct block inner(struct block all, int radius, bool edge_before, bool edge_behind)
{
    const uint64_t before = edge_before ? (uint64_t)radius : 0;
    const uint64_t behind = edge_behind ? (uint64_t)radius : 0;

    if (all.count <= before + behind) /* all of it is edge: it lies before nothing */
        return (struct block){ all.count < before ? all.count : before, 0 };
    return (struct block){ before, all.count - before - behind };
}

struct block plane_inner_rows(const struct plane *p)
{
    return inner(p->rows, p->star.radius, p->neighbors[PLANE_UP] != MPI_PROC_NULL,
                 p->neighbors[PLANE_DOWN] != MPI_PROC_NULL);
}

struct block plane_inner_columns(const struct plane *p)
{
    return inner(p->columns, p->star.radius, p->neighbors[PLANE_LEFT] != MPI_PROC_NULL,
                 p->neighbors[PLANE_RIGHT] != MPI_PROC_NULL);
}

/* ---- Edges in shared memory ---- */

void plane_announce(struct plane *p, uint64_t step)
{
    atomic_store_explicit(p->shared_step, step, memory_order_release);
}

bool plane_peer_ready(const struct plane *p, enum plane_side side, uint64_t step)
{
    return atomic_load_explicit(p->peers[side].step, memory_order_acquire) >= step;
}

void plane_copy_edge(const struct plane *p, enum plane_side side, uint64_t step)
{
    const struct plane_peer *const peer = &p->peers[side];
    const size_t radius = (size_t)p->star.radius;
    const double *from = peer->values[step % 2];
    size_t rows = p->rows.count, columns = p->columns.count;
    ptrdiff_t row = 0, column = 0;

    if (side == PLANE_UP || side == PLANE_DOWN) {
        rows = radius;
        row = side == PLANE_UP ? -p->star.radius : (ptrdiff_t)p->rows.count;
        from += side == PLANE_UP ? (ptrdiff_t)(peer->rows.count - radius) * peer->stride : 0;
    } else {
        columns = radius;
        column = side == PLANE_LEFT ? -p->star.radius : (ptrdiff_t)p->columns.count;
        from += side == PLANE_LEFT ? (ptrdiff_t)(peer->columns.count - radius) : 0;
    }
    for (size_t i = 0; i < rows; i++)
        memcpy(plane_at(p, step, row + (ptrdiff_t)i, column), from + (ptrdiff_t)i * peer->stride,
               columns * sizeof(double));
}
