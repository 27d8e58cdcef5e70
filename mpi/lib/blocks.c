#include "mpi/lib/blocks.h"
#include "local/lib/data.h"

#include <stdlib.h>

struct blocks blocks_open(const struct world *world, uint64_t total)
{
    const uint64_t size = (uint64_t)world->size;
    struct blocks blocks = {
        .counts = world_alloc(world, (size_t)size, sizeof *blocks.counts),
        .starts = world_alloc(world, (size_t)size, sizeof *blocks.starts),
        .even = total % size == 0,
    };

    for (uint64_t rank = 0; rank < size; rank++) {
        const struct block block = block_of(total, size, rank);
        blocks.counts[rank] = (int)block.count;
        blocks.starts[rank] = (int)block.start;
    }
    return blocks;
}

void blocks_close(struct blocks *blocks)
{
    free(blocks->starts);
    free(blocks->counts);
}
