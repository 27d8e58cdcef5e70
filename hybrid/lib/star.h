/*
 * star - the star stencil of a radius in two dimensions, on rows of doubles.
 *
 * A point becomes a weighted mean of itself and of its `radius` nearest points upwards, downwards,
 * to the left and to the right. Directions have different weights, so that an edge from a wrong
 * side shows; nearer points count more; and all weights are multiples of a power of two and add up
 * to 1. So nothing grows, and a field that is linear stays linear, exactly: a step adds the same
 * number to all of its points, star_drift().
 *
 * The terms of a point are added in one order, and no multiplication is fused with an addition: all
 * compilers, all widths of vectors and all cuts of the field give the same bits. Thread-safe.
 */
#ifndef HYBRID_LIB_STAR_H
#define HYBRID_LIB_STAR_H

#include <stdbool.h>
#include <stddef.h>

enum { STAR_RADIUS_MOST = 32 };

/* Weights; [k] is of the points k away, [0] is not used. */
struct star {
    int radius;
    double unit; /* all weights are whole multiples of this power of 2 */
    double centre;
    double up[STAR_RADIUS_MOST + 1], down[STAR_RADIUS_MOST + 1];
    double left[STAR_RADIUS_MOST + 1], right[STAR_RADIUS_MOST + 1];
};

/* `radius` is 1 to STAR_RADIUS_MOST. */
struct star star_make(int radius);

/* What a step adds to the field row_slope * row + column_slope * column. */
double star_drift(const struct star *star, double row_slope, double column_slope);

/*
 * One step for `rows` x `columns` points. `out` and `in` point to the first of them, in fields
 * whose rows begin `stride` doubles apart; around the points in `in` there are `radius` more on
 * each side. The fields do not overlap. With `stream` the stores go past the caches where there
 * are such stores: a third less to move for fields that no cache can hold, worse for others. When
 * it returns, the points are where other threads and processes see them after the usual barrier.
 */
void star_step(const struct star *star, double *out, const double *in, ptrdiff_t stride,
               size_t rows, size_t columns, bool stream);

/* Additions and multiplications a point. */
int star_flops(const struct star *star);

/* Bytes a point that must move between memory and a core: the point is read, and written; and where
 * stores do not go past the caches its line is read before it is written. */
int star_bytes(bool stream);

#endif
