/*
 * plane - an n x n field of doubles, cut into parts among ranks, that a star stencil steps through
 * time.
 *
 * There are two fields, and each step reads one and writes the other. A part has room for
 * `radius` more points on each of its sides: the edges of the neighbours' parts, or the frame, the
 * known points around the whole field. Corners are not needed.
 *
 * Parts lie on a grid as MPI_Dims_create makes it, but no part is thinner than the radius, for then
 * an edge would have to come from two ranks away: where there are more ranks than that, or more
 * than rows, some hold nothing and are idle.
 *
 * Two fields to begin with. LINEAR is 3 row + 5 column, whose result after any number of steps is
 * known: each step adds plane->drift, exactly. ROUGH is a number from 0 to 1 of each place, within
 * a frame that never changes.
 */
#ifndef HYBRID_LIB_PLANE_H
#define HYBRID_LIB_PLANE_H

#include <stdatomic.h>

#include "hybrid/lib/place.h"
#include "hybrid/lib/star.h"
#include "local/lib/data.h"
#include "mpi/lib/verify.h"

enum plane_form { PLANE_LINEAR, PLANE_ROUGH };

enum plane_side { PLANE_UP, PLANE_DOWN, PLANE_LEFT, PLANE_RIGHT, PLANE_SIDES };

/* A neighbour's part, in memory that is shared with it. */
struct plane_peer {
    _Atomic uint64_t *step; /* NULL: it shares no memory with this rank */
    double *values[2];
    ptrdiff_t stride;
    struct block rows, columns;
};

struct plane {
    const struct world *world;
    uint64_t n;
    struct star star;
    enum plane_form form;
    uint64_t seed;       /* of ROUGH */
    double drift;        /* that a step adds to LINEAR */
    bool stream;         /* no cache holds the fields: stores go past them */

    MPI_Comm comm;       /* of the ranks that hold a part; MPI_COMM_NULL on the others */
    int parts[2];        /* of rows, of columns */
    struct block rows, columns;    /* of the field: this rank's; empty where it is idle */
    int neighbors[PLANE_SIDES];    /* ranks of comm, or MPI_PROC_NULL beside the frame */
    MPI_Datatype row_edge;         /* a row of the part: `radius` of them are an edge */
    MPI_Datatype column_edge;      /* `radius` points of a row: one a row is an edge */

    ptrdiff_t stride;    /* doubles from row to row */
    double *values[2];   /* row 0, column 0 of this part in both fields */
    uint64_t step;       /* steps done; the field is in values[step % 2] */

    size_t bytes;        /* the library's own, from here on */
    void *memory;
    MPI_Win window;
    MPI_Comm shared_comm;
    _Atomic uint64_t *shared_step; /* window: what this rank has told its neighbours */
    struct plane_peer peers[PLANE_SIDES];
};

/* Point (row, column) of this part after `step` steps; beside the part, of its edges or frame. */
static inline double *plane_at(const struct plane *plane, uint64_t step, ptrdiff_t row,
                               ptrdiff_t column)
{
    return plane->values[step % 2] + row * plane->stride + column;
}

/* Whether the numbers of LINEAR stay exact for so many steps. */
bool plane_exact(uint64_t n, const struct star *star, uint64_t steps);

/*
 * Collective. Cuts the field and allocates this rank's part; plane_fill() must follow. With
 * `window_ranks` > 0 the part lies in a window that this rank shares with others of its node, in
 * groups of so many (at most). Returns 0; or -1 on all ranks alike, with a sentence in `error`: the
 * shared memory of some node is too small. No memory ends the job. plane_close() frees.
 */
int plane_open(struct plane *plane, const struct world *w, uint64_t n, int radius,
               int window_ranks, char *error, size_t error_size);
void plane_close(struct plane *plane);

/*
 * Collective. The frame as it is after `step` steps and one more; within it the field as it begins
 * where step is 0, and otherwise, and on all edges, NaN, so that a point that is read before it
 * came shows. Each of the place's threads touches its rows first.
 */
void plane_fill(struct plane *plane, struct place *place, enum plane_form form, uint64_t seed,
                uint64_t step);

/*
 * The step behind `step` for a block of this part's points, and for what of the frame lies beside
 * them. The points and edges around it must be there. Threads may call it for different blocks.
 */
void plane_compute(const struct plane *plane, uint64_t step, struct block rows,
                   struct block columns);

/* The points that no edge is needed for; what is left of the part is `radius` wide on each side
 * that has a neighbour. Either may be empty. */
struct block plane_inner_rows(const struct plane *plane);
struct block plane_inner_columns(const struct plane *plane);

/* Window: tells the neighbours that this part's points of `step` are there. */
void plane_announce(struct plane *plane, uint64_t step);

/* Window: whether the neighbour on `side`, which shares memory, has got to `step`; and copies its
 * edge from there. */
bool plane_peer_ready(const struct plane *plane, enum plane_side side, uint64_t step);
void plane_copy_edge(const struct plane *plane, enum plane_side side, uint64_t step);

/* Collective. LINEAR: every point is what it must be after plane->step steps, to the last bit. */
struct verdict plane_check_linear(const struct plane *plane, const char *who);

/*
 * Collective. ROUGH: points are, to the last bit, what a serial loop makes of the same field from
 * its beginning; all points where that is quickly done, otherwise five squares a rank, at the
 * corners of its part and in its middle. `*checked` is the number of points that were looked at, on
 * all ranks together: 0 where plane_can_check_rough() says that even the squares are too much.
 */
struct verdict plane_check_rough(const struct plane *plane, const char *who, uint64_t *checked);
bool plane_can_check_rough(uint64_t n, int radius, uint64_t steps);

/* What is known of a point of this part or beside it: LINEAR after `step` steps; ROUGH as it
 * begins, which the frame stays. */
double plane_known(const struct plane *plane, uint64_t step, ptrdiff_t row, ptrdiff_t column);

/* The point (row, column) of the whole field, or of its frame, as it begins. */
double plane_first(enum plane_form form, uint64_t seed, int64_t row, int64_t column);

#endif
