#include "mpi/lib/verify.h"
#include "local/lib/data.h"

#include <inttypes.h>
#include <stdarg.h>

struct verdict verify_places(const struct world *world, uint64_t place, const char *format, ...)
{
    /* MPICH 4.0 compares unsigned integers as if they were signed (pmodels/mpich#6083): with the
     * highest bit flipped, signed order is that of the places. */
    const uint64_t flip = UINT64_C(1) << 63;
    const int64_t mine_at = (int64_t)(place ^ flip);
    struct verdict verdict = { .right = true };
    int64_t least;
    va_list values;

    MPI_Allreduce(&mine_at, &least, 1, MPI_INT64_T, MPI_MIN, world->comm);
    const uint64_t first = (uint64_t)least ^ flip;
    if (first == UINT64_MAX)
        return verdict;

    const int mine = place == first ? world->rank : world->size;
    int speaker;
    MPI_Allreduce(&mine, &speaker, 1, MPI_INT, MPI_MIN, world->comm);
    verdict.right = false;
    if (speaker == world->rank) {
        va_start(values, format);
        vsnprintf(verdict.wrong, sizeof verdict.wrong, format, values);
        va_end(values);
    }
    MPI_Bcast(verdict.wrong, sizeof verdict.wrong, MPI_CHAR, speaker, world->comm);
    return verdict;
}

struct verdict verify_elements(const struct world *world, const uint64_t *block, uint64_t start,
                               uint64_t count, uint64_t seed)
{
    const uint64_t i = elements_check(block, start, count, seed);

    if (i == count)
        return verify_places(world, UINT64_MAX, "%s", "");
    return verify_places(world, start + i,
                         "element %" PRIu64 " (rank %d) is %" PRIu64 ", it should be %" PRIu64,
                         start + i, world->rank, block[i], element(start + i, seed));
}

struct verdict verify_total(const struct world *world, uint64_t count, uint64_t total,
                            const char *what)
{
    uint64_t sum;

    MPI_Allreduce(&count, &sum, 1, MPI_UINT64_T, MPI_SUM, world->comm);
    if (sum < total)
        return verify_places(world, sum, "only %" PRIu64 " of %" PRIu64 " %s arrived: nobody has "
                             "number %" PRIu64, sum, total, what, sum);
    return verify_places(world, sum == total ? UINT64_MAX : total,
                         "%" PRIu64 " %s arrived, there are %" PRIu64, sum, what, total);
}

struct verdict verdict_both(struct verdict first, struct verdict second)
{
    return first.right ? second : first;
}
