/*
 * verify - one verdict for a whole job: what each rank found in its own part becomes the first
 * wrong place of all, known to all ranks.
 */
#ifndef MPI_LIB_VERIFY_H
#define MPI_LIB_VERIFY_H

#include <stdint.h>

#include "mpi/lib/world.h"

struct verdict {
    bool right;
    char wrong[160]; /* what is wrong, where first; empty if right */
};

/*
 * Collective. `place` is the first wrong place that this rank knows of, UINT64_MAX if
 * there is none; the rank with the lowest place (of several the lowest rank) describes it in
 * `format`. Returns the same verdict on all ranks.
 */
struct verdict verify_places(const struct world *world, uint64_t place, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Collective. Whether every rank's `block` holds element(start + i, seed) at i < count. */
struct verdict verify_elements(const struct world *world, const uint64_t *block, uint64_t start,
                               uint64_t count, uint64_t seed);

/* Collective. Whether the counts of all ranks add up to `total`, in units named `what`. Says where
 * parts that lie without gap from 0 on end. */
struct verdict verify_total(const struct world *world, uint64_t count, uint64_t total,
                            const char *what);

/* The first of two verdicts that is wrong, or one that is right. */
struct verdict verdict_both(struct verdict first, struct verdict second);

#endif
