#include "hybrid/lib/tile.h"

enum { TILE = 8, BLOCK = 64 };

/* Eight lines in, eight lines out, by way of registers or the nearest cache. */
static inline void full_tile(double *restrict out, size_t out_stride, const double *restrict in,
                             size_t in_stride)
{
    double tile[TILE][TILE];

    for (size_t i = 0; i < TILE; i++)
        for (size_t j = 0; j < TILE; j++)
            tile[j][i] = in[i * in_stride + j];
    for (size_t j = 0; j < TILE; j++)
        for (size_t i = 0; i < TILE; i++)
            out[j * out_stride + i] = tile[j][i];
}

static void any_tile(double *restrict out, size_t out_stride, const double *restrict in,
                     size_t in_stride, size_t rows, size_t columns)
{
    for (size_t j = 0; j < columns; j++)
        for (size_t i = 0; i < rows; i++)
            out[j * out_stride + i] = in[i * in_stride + j];
}

/* A block of tiles; along the rows of `out`, so that its lines are complete one after the other. */
static void block(double *restrict out, size_t out_stride, const double *restrict in,
                  size_t in_stride, size_t rows, size_t columns)
{
    for (size_t j = 0; j < columns; j += TILE)
        for (size_t i = 0; i < rows; i += TILE) {
            const size_t tile_rows = rows - i < TILE ? rows - i : TILE;
            const size_t tile_columns = columns - j < TILE ? columns - j : TILE;
            double *const to = out + j * out_stride + i;
            const double *const from = in + i * in_stride + j;
            if (tile_rows == TILE && tile_columns == TILE)
                full_tile(to, out_stride, from, in_stride);
            else
                any_tile(to, out_stride, from, in_stride, tile_rows, tile_columns);
        }
}

void tile_transpose(double *restrict out, size_t out_stride, const double *restrict in,
                    size_t in_stride, size_t rows, size_t columns)
{
    for (size_t j = 0; j < columns; j += BLOCK)
        for (size_t i = 0; i < rows; i += BLOCK)
            block(out + j * out_stride + i, out_stride, in + i * in_stride + j, in_stride,
                  rows - i < BLOCK ? rows - i : BLOCK, columns - j < BLOCK ? columns - j : BLOCK);
}
