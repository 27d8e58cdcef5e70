#include "hybrid/lib/limit.h"
#include "local/lib/bandwidth.h"
#include "local/lib/data.h"
#include "local/lib/pages.h"

#include <omp.h>
#include <string.h>

enum { NODE_COUNT = 16 << 20, BYTES = 12 }; /* floats of an array on a node; bytes moved for each */

/* Whoever computes with a page touches it first. */
static float *open_array(const struct world *w, struct place *place, size_t count)
{
    float *const array = pages_alloc(count * sizeof *array, true);

    if (!array)
        world_abort(w, UNABLE, "no memory to measure the limit of the memory");
#pragma omp parallel num_threads(place->threads)
    {
        place_thread(place, omp_get_thread_num());
        const struct block mine = block_of(count, (uint64_t)omp_get_num_threads(),
                                           (uint64_t)omp_get_thread_num());
        memset(array + mine.start, 0, mine.count * sizeof *array);
    }
    return array;
}

void limit_open(struct limit *limit, const struct world *w, struct place *place)
{
    const size_t count = (size_t)NODE_COUNT / (size_t)w->node_size;

    *limit = (struct limit){ .place = place, .count = count };
    limit->a = open_array(w, place, count);
    limit->b = open_array(w, place, count);
    limit->c = open_array(w, place, count);
}

void limit_close(struct limit *limit)
{
    pages_free(limit->c, limit->count * sizeof *limit->c);
    pages_free(limit->b, limit->count * sizeof *limit->b);
    pages_free(limit->a, limit->count * sizeof *limit->a);
}

void limit_triad(void *limit)
{
    const struct limit *const l = limit;

#pragma omp parallel num_threads(l->place->threads)
    {
        place_thread(l->place, omp_get_thread_num());
        const struct block mine = block_of(l->count, (uint64_t)omp_get_num_threads(),
                                           (uint64_t)omp_get_thread_num());
        bandwidth_triad(l->c + mine.start, l->a + mine.start, l->b + mine.start, mine.count);
    }
}

double limit_bytes_per_s(const struct world *w, double secs)
{
    return (double)BYTES * (NODE_COUNT / w->most_ranks_on_a_node) * w->size / secs;
}
