#include "hybrid/lib/picture.h"
#include "local/lib/image.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

/* The least and the largest value of all ranks. */
static void find_range(const struct plane *p, double range[2])
{
    double most[2] = { -INFINITY, -INFINITY }; /* of the values, and of the values turned round */

    for (ptrdiff_t i = 0; i < (ptrdiff_t)p->rows.count; i++)
        for (ptrdiff_t j = 0; j < (ptrdiff_t)p->columns.count; j++) {
            const double value = *plane_at(p, p->step, i, j);
            most[0] = fmax(most[0], value);
            most[1] = fmax(most[1], -value);
        }
    MPI_Allreduce(MPI_IN_PLACE, most, 2, MPI_DOUBLE, MPI_MAX, p->world->comm);
    range[0] = -most[1];
    range[1] = most[0];
}

/* This rank's pixels; the others stay 0. */
static void draw(const struct plane *p, int side, unsigned char *rgb)
{
    double range[2];

    find_range(p, range);
    const double width = range[1] > range[0] ? range[1] - range[0] : 1;
    for (int y = 0; y < side; y++)
        for (int x = 0; x < side; x++) {
            const uint64_t row = (uint64_t)y * p->n / (uint64_t)side;
            const uint64_t column = (uint64_t)x * p->n / (uint64_t)side;
            const uint64_t i = row - p->rows.start, j = column - p->columns.start;
            if (i < p->rows.count && j < p->columns.count) /* below the start they are huge */
                image_colour((*plane_at(p, p->step, (ptrdiff_t)i, (ptrdiff_t)j) - range[0]) / width,
                             rgb + 3 * ((size_t)y * (size_t)side + (size_t)x));
        }
}

int picture_write(const struct plane *p, const char *path)
{
    const struct world *const w = p->world;
    const int side = p->n < PICTURE_MOST ? (int)p->n : PICTURE_MOST;
    const size_t bytes = 3 * (size_t)side * (size_t)side;
    unsigned char *const rgb = world_alloc(w, bytes, 1);
    unsigned char *const all = world_alloc(w, w->rank == 0 ? bytes : 0, 1);
    int error = 0;

    for (size_t i = 0; i < bytes; i++)
        rgb[i] = 0;
    draw(p, side, rgb);
    MPI_Reduce(rgb, all, (int)bytes, MPI_UNSIGNED_CHAR, MPI_MAX, 0, w->comm);
    if (w->rank == 0 && image_write_png(path, all, side, side))
        error = errno;
    MPI_Bcast(&error, 1, MPI_INT, 0, w->comm);
    free(all);
    free(rgb);
    errno = error;
    return error ? -1 : 0;
}
