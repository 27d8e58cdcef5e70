#include "mpi/lib/show.h"

#include <inttypes.h>

void show_elements(const struct world *world, const char *when, const uint64_t *array,
                   uint64_t count)
{
    char line[64 + 21 * SHOW_MOST + 32] = ""; /* 20 digits and a blank for each element */
    size_t used = 0;

    if (array)
        used = (size_t)snprintf(line, sizeof line, "%.32s rank %d:", when, world->rank);
    for (uint64_t i = 0; array && i < count && i < SHOW_MOST; i++)
        used += (size_t)snprintf(line + used, sizeof line - used, " %" PRIu64, array[i]);
    if (array && count > SHOW_MOST)
        used += (size_t)snprintf(line + used, sizeof line - used, " ... %" PRIu64 " more",
                                 count - SHOW_MOST);
    if (array)
        snprintf(line + used, sizeof line - used, "%s\n", count ? "" : " nothing");
    world_print(world, line);
}

void show_bytes(const struct world *world, const char *when, const unsigned char *bytes,
                uint64_t count)
{
    uint64_t first[SHOW_MOST];

    for (uint64_t i = 0; bytes && i < count && i < SHOW_MOST; i++)
        first[i] = bytes[i];
    show_elements(world, when, bytes ? first : NULL, count);
}
