/*
 * limit - what the memory of this job's nodes can give, to compare a program with.
 */
#ifndef HYBRID_LIB_LIMIT_H
#define HYBRID_LIB_LIMIT_H

#include <stddef.h>

#include "hybrid/lib/place.h"

/* Arrays of 192 MiB on each node, over its ranks and their threads. */
struct limit {
    struct place *place;
    float *a, *b, *c;
    size_t count;
};

/* Collective. Ends the job if there is no memory. limit_close() frees. */
void limit_open(struct limit *limit, const struct world *w, struct place *place);
void limit_close(struct limit *limit);

/* The triad (local/lib/bandwidth.h) once over this rank's part, by all its threads: an operation for
 * timing_run_each(); `limit` is a struct limit. */
void limit_triad(void *limit);

/* Bytes a second of all nodes, when all ranks need `secs` for it. */
double limit_bytes_per_s(const struct world *w, double secs);

#endif
