/*
 * tile - a matrix transposed piece by piece, so that each line of memory is read and written once.
 *
 * In the plain double loop one side goes through memory by whole rows apart: of each line of 64
 * bytes 8 are used before it is thrown out, and a stride that is a power of 2 has all lines of a
 * column meet in a few places of the cache. Tiles of 8 x 8 doubles are eight lines in and eight
 * lines out; blocks of tiles keep to few pages (Lam, Rothberg, Wolf, "The cache performance and
 * optimizations of blocked algorithms", ASPLOS 1991). Thread-safe.
 */
#ifndef HYBRID_LIB_TILE_H
#define HYBRID_LIB_TILE_H

#include <stddef.h>

/*
 * out[j * out_stride + i] = in[i * in_stride + j] for i < rows, j < columns; strides in elements.
 * The two do not overlap. Any sizes, any alignment.
 */
void tile_transpose(double *restrict out, size_t out_stride, const double *restrict in,
                    size_t in_stride, size_t rows, size_t columns);

#endif
