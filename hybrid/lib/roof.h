/*
 * roof - what the memory of all nodes can give: the triad c = a + 3 b (bandwidth.h), by all threads
 * of all ranks, as a case that takes turns with what is compared with it (timing_run_each()).
 */
#ifndef HYBRID_LIB_ROOF_H
#define HYBRID_LIB_ROOF_H

#include "hybrid/lib/place.h"

struct roof {
    struct place *place;
    float *a, *b, *c;
    size_t count; /* of each array of this rank; three of a node are 192 MiB */
};

/* Each thread of `place` touches its part first. No memory ends the job. roof_close() frees. */
void roof_open(struct roof *roof, const struct world *w, struct place *place);
void roof_close(struct roof *roof);

/* `arg` is a struct roof. Some passes, so that it lasts as long as what it is compared with, and
 * meets the same of what else the machine does. */
void roof_triad(void *arg);

/* Bytes that one roof_triad() moves on all ranks, 12 an element. */
double roof_bytes(const struct world *w);

#endif
