/*
 * others - processes of other jobs that are bound to our cores and run there. Linux; elsewhere none
 * are found. Thread-safe.
 */
#ifndef HYBRID_LIB_OTHERS_H
#define HYBRID_LIB_OTHERS_H

#include <hwloc.h>
#include <stddef.h>
#include <sys/types.h>

/*
 * Looks ten times within a tenth of a second at all threads of this system that are bound (to fewer
 * CPUs than are on line), and names those that ran on a CPU of `cpus` at least half of the times.
 * Threads of the kernel and of the processes in `own` are left out. Writes "NAME (process N) on CPU
 * n, ..." into `text`, an empty text if there are none, and sets `busy`, if not NULL, to their
 * CPUs. Returns how many processes, or -1 with errno.
 */
int others_on(hwloc_const_bitmap_t cpus, const pid_t *own, int own_count, char *text, size_t size,
              hwloc_bitmap_t busy);

#endif
