#include "hybrid/lib/roof.h"
#include "local/lib/bandwidth.h"
#include "local/lib/data.h"
#include "local/lib/pages.h"

#include <omp.h>
#include <string.h>

enum { NODE_COUNT = 16 << 20, PASSES = 4 };

static size_t count_of(const struct world *w)
{
    return (size_t)NODE_COUNT / (size_t)w->most_ranks_on_a_node;
}

double roof_bytes(const struct world *w)
{
    return 12.0 * PASSES * w->size * (double)count_of(w);
}

static struct block my_part(size_t count)
{
    return block_of(count, (uint64_t)omp_get_num_threads(), (uint64_t)omp_get_thread_num());
}

static float *touched(const struct world *w, struct place *place, size_t count)
{
    float *const array = pages_alloc(count * sizeof *array, true);

    if (!array)
        world_abort(w, UNABLE, "no memory to measure the limit: leave out --roofline");
#pragma omp parallel num_threads(place->threads)
    {
        place_thread(place, omp_get_thread_num());
        const struct block mine = my_part(count);
        memset(array + mine.start, 0, mine.count * sizeof *array);
    }
    return array;
}

void roof_open(struct roof *roof, const struct world *w, struct place *place)
{
    const size_t count = count_of(w);

    *roof = (struct roof){ place, touched(w, place, count), touched(w, place, count),
                           touched(w, place, count), count };
}

void roof_close(struct roof *roof)
{
    pages_free(roof->c, roof->count * sizeof *roof->c);
    pages_free(roof->b, roof->count * sizeof *roof->b);
    pages_free(roof->a, roof->count * sizeof *roof->a);
}

void roof_triad(void *arg)
{
    const struct roof *const roof = arg;

#pragma omp parallel num_threads(roof->place->threads)
    {
        place_thread(roof->place, omp_get_thread_num());
        const struct block mine = my_part(roof->count);
        for (int pass = 0; pass < PASSES; pass++)
            bandwidth_triad(roof->c + mine.start, roof->a + mine.start, roof->b + mine.start,
                            mine.count);
    }
}
