#include "hybrid/lib/plane.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#ifdef __clang__ /* gcc's -std=c17 implies it, and warns of the pragma */
#pragma STDC FP_CONTRACT OFF
#endif

static bool same_bits(double a, double b)
{
    return memcmp(&a, &b, sizeof a) == 0;
}

/* Collective. Of all ranks' first wrong points the first one in the field, row by row. */
static struct verdict tell_place(const struct plane *p, const char *who, bool wrong,
                                 struct block at, double should)
{
    const ptrdiff_t row = (ptrdiff_t)at.start, column = (ptrdiff_t)at.count;
    const uint64_t i = p->rows.start + at.start, j = p->columns.start + at.count;

    return verify_places(p->world, wrong ? i * p->n + j : UINT64_MAX, "%s, step %" PRIu64 ": row %"
                         PRIu64 ", column %" PRIu64 " (rank %d) is %.17g, not %.17g", who, p->step,
                         i, j, p->world->rank, wrong ? *plane_at(p, p->step, row, column) : 0,
                         should);
}

struct verdict plane_check_linear(const struct plane *p, const char *who)
{
    for (uint64_t i = 0; i < p->rows.count; i++)
        for (uint64_t j = 0; j < p->columns.count; j++) {
            const ptrdiff_t row = (ptrdiff_t)i, column = (ptrdiff_t)j;
            const double should = plane_known(p, p->step, row, column);
            if (!same_bits(*plane_at(p, p->step, row, column), should))
                return tell_place(p, who, true, (struct block){ i, j }, should);
        }
    return tell_place(p, who, false, (struct block){ 0, 0 }, 0);
}

/* ---- The serial loop, as plain as can be, over a piece of the whole field ---- */

struct serial {
    const struct plane *plane;
    int64_t row, column;   /* of the whole field: where the piece begins, maybe in the frame */
    int64_t rows, columns;
    double *now, *next;
};

static double serial_point(const struct serial *s, int64_t i, int64_t j)
{
    const struct star *const star = &s->plane->star;
    const double *const at = s->now + i * s->columns + j;
    double sum = star->centre * *at;

    for (int k = 1; k <= star->radius; k++) {
        sum += star->up[k] * at[-k * s->columns];
        sum += star->down[k] * at[k * s->columns];
        sum += star->left[k] * at[-k];
        sum += star->right[k] * at[k];
    }
    return sum;
}

/* What has not got all of its points within the piece becomes NaN, and so does all that needs it:
 * the piece must be `radius` wider than what is asked for, for each step. */
static void serial_step(struct serial *s)
{
    const int64_t n = (int64_t)s->plane->n, radius = s->plane->star.radius;

    for (int64_t i = 0; i < s->rows; i++)
        for (int64_t j = 0; j < s->columns; j++) {
            const int64_t row = s->row + i, column = s->column + j;
            const bool in_frame = row < 0 || row >= n || column < 0 || column >= n;
            const bool has_all = i >= radius && i < s->rows - radius && j >= radius &&
                                 j < s->columns - radius;
            s->next[i * s->columns + j] = in_frame  ? s->now[i * s->columns + j]
                                          : has_all ? serial_point(s, i, j)
                                                    : NAN;
        }
    double *const last = s->now;
    s->now = s->next;
    s->next = last;
}

static int64_t within(int64_t value, int64_t from, int64_t to)
{
    return value < from ? from : value > to ? to : value;
}

/* The piece that `steps` steps of the square at (row, column) of the whole field need. */
static struct serial serial_piece(const struct plane *p, struct block rows, struct block columns,
                                  uint64_t steps)
{
    const int64_t n = (int64_t)p->n, radius = p->star.radius;
    const uint64_t reach = steps > p->n ? p->n : steps; /* the frame stops it then */
    const int64_t wide = radius * (int64_t)reach;
    struct serial s = { .plane = p };

    s.row = within((int64_t)rows.start - wide, -radius, n);
    s.column = within((int64_t)columns.start - wide, -radius, n);
    s.rows = within((int64_t)(rows.start + rows.count) + wide, 0, n + radius) - s.row;
    s.columns = within((int64_t)(columns.start + columns.count) + wide, 0, n + radius) - s.column;
    return s;
}

static void serial_run(struct serial *s, uint64_t steps)
{
    const struct plane *const p = s->plane;
    const size_t points = (size_t)s->rows * (size_t)s->columns;

    s->now = world_alloc(p->world, points, sizeof *s->now);
    s->next = world_alloc(p->world, points, sizeof *s->next);
    for (int64_t i = 0; i < s->rows; i++)
        for (int64_t j = 0; j < s->columns; j++)
            s->now[i * s->columns + j] = plane_first(p->form, p->seed, s->row + i, s->column + j);
    for (uint64_t step = 0; step < steps; step++)
        serial_step(s);
}

/* ---- The comparison ---- */

enum { SQUARE = 24, SQUARES = 5 };

/* A square of this part: in a corner, or in the middle. */
static struct block square_of(struct block all, int corner)
{
    const uint64_t side = all.count < SQUARE ? all.count : SQUARE;
    const uint64_t last = all.count - side;

    return (struct block){ corner == 0 ? 0 : corner == 1 ? last : last / 2, side };
}

static double cost_of(const struct serial *s, uint64_t steps)
{
    return (double)s->rows * (double)s->columns * (double)(steps + 1);
}

/* Compares one block of this part with the serial loop. Returns whether all is right; otherwise
 * `*at` is the first place that is not, row and column of this part. */
static bool compare(const struct plane *p, struct block rows, struct block columns,
                    struct block *at, double *should)
{
    struct serial s = serial_piece(
        p, (struct block){ p->rows.start + rows.start, rows.count },
        (struct block){ p->columns.start + columns.start, columns.count }, p->step);
    bool right = true;

    serial_run(&s, p->step);
    for (uint64_t i = rows.start; i < rows.start + rows.count && right; i++)
        for (uint64_t j = columns.start; j < columns.start + columns.count && right; j++) {
            *should = s.now[((int64_t)(p->rows.start + i) - s.row) * s.columns +
                            (int64_t)(p->columns.start + j) - s.column];
            right = same_bits(*plane_at(p, p->step, (ptrdiff_t)i, (ptrdiff_t)j), *should);
            *at = (struct block){ i, j };
        }
    free(s.next);
    free(s.now);
    return right;
}

static const double whole_most = 0x1p25, squares_most = 0x1p32; /* points x steps */

bool plane_can_check_rough(uint64_t n, int radius, uint64_t steps)
{
    const double all = (double)n + 2 * radius;
    const double side = fmin(all, SQUARE + 2.0 * radius * (double)steps);

    return SQUARES * side * side * (double)(steps + 1) <= squares_most;
}

struct verdict plane_check_rough(const struct plane *p, const char *who, uint64_t *checked)
{
    const struct block all_rows = { 0, p->rows.count }, all_columns = { 0, p->columns.count };
    const struct serial all = serial_piece(p, p->rows, p->columns, p->step);
    const bool has_part = p->comm != MPI_COMM_NULL && p->rows.count > 0 && p->columns.count > 0;
    const bool whole = cost_of(&all, p->step) <= whole_most;
    const bool can = whole || plane_can_check_rough(p->n, p->star.radius, p->step);
    struct block at = { 0, 0 };
    bool right = true;
    double should = 0;

    *checked = 0;
    for (int i = 0; i < (whole ? 1 : SQUARES) && has_part && can && right; i++) {
        const struct block rows = whole ? all_rows : square_of(all_rows, i < 4 ? i / 2 : 2);
        const struct block columns =
            whole ? all_columns : square_of(all_columns, i < 4 ? i % 2 : 2);
        right = compare(p, rows, columns, &at, &should);
        *checked += rows.count * columns.count;
    }
    MPI_Allreduce(MPI_IN_PLACE, checked, 1, MPI_UINT64_T, MPI_SUM, p->world->comm);
    return tell_place(p, who, !right, at, should);
}
