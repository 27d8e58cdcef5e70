/*
 * window - the shared memory of the ranks of a node, with its slots and counters: what shared.c
 * works with, and nobody else.
 *
 * Work goes in steps, which all ranks of the node count alike. What a rank writes in step g lies in
 * its slot g mod WINDOW_SLOTS.
 */
#ifndef MPI_LIB_COLL_WINDOW_H
#define MPI_LIB_COLL_WINDOW_H

#include <stdatomic.h>
#include <stdint.h>

#include "mpi/lib/coll/team.h"

enum { WINDOW_SLOTS = 8, WINDOW_LINE = 128 }; /* two cache lines: they are fetched in pairs */

struct window_flags {
    _Alignas(WINDOW_LINE) _Atomic uint64_t posted; /* steps that this rank has written */
    _Alignas(WINDOW_LINE) _Atomic uint64_t done;   /* steps that it has read, whoever wrote them */
};

struct coll_window {
    MPI_Win win;
    MPI_Comm node;
    int rank, size;              /* on the node */
    bool crowded;                /* more ranks than CPUs */
    size_t slot_bytes;
    struct window_flags **flags; /* of each rank */
    unsigned char **slots;
    uint64_t step;               /* the next one */
    uint64_t all_done;           /* that all ranks were seen to have done */
};

/* Collective over the node at the first call. NULL with errno. */
struct coll_window *coll_window(struct coll_team *team);

/* The slot of a rank in a step. */
void *window_slot(const struct coll_window *window, int rank, uint64_t step);

/* Returns when this rank's slot may be written in a step: all have read what was in it. */
void window_wait_free(struct coll_window *window, uint64_t step);

/* This rank has written its slot. */
void window_post(struct coll_window *window, uint64_t step);

/* Returns when `rank` has written its slot. */
void window_wait(const struct coll_window *window, int rank, uint64_t step);

/* This rank needs nothing that was written in or before a step. */
void window_done(struct coll_window *window, uint64_t step);

#endif
