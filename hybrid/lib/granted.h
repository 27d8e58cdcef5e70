/*
 * granted - the CPUs that the launcher gave this process, before anything in it narrowed them.
 *
 * GNU's OpenMP runtime binds the main thread before main() begins when OMP_PROC_BIND, OMP_PLACES
 * or GOMP_CPU_AFFINITY is set, so main() may see one CPU of the many that were granted. Where the
 * system can (Linux with glibc), the mask is read earlier still, by a function in the executable's
 * .preinit_array; elsewhere it is read when asked for. Thread-safe.
 */
#ifndef HYBRID_LIB_GRANTED_H
#define HYBRID_LIB_GRANTED_H

#include <hwloc.h>

#include "local/lib/cpus.h"

/* Sets `set`, which the caller has allocated, to the CPUs by the system's numbers. Returns 0, or -1
 * with errno (ENOSYS: this system has no such masks). */
int granted_cpus(hwloc_bitmap_t set);

/* hwloc's sets as masks of fixed size, which can be sent; CPUs beyond 8191 are left out. set_of()
 * returns -1 without memory. */
void mask_of(hwloc_const_bitmap_t set, struct cpus *mask);
int set_of(const struct cpus *mask, hwloc_bitmap_t set);

/* What the calling thread may run on now; and binds it, as cpus_bind() in local/lib/cpus.h. Both 0,
 * or -1 with errno. */
int thread_cpus(hwloc_bitmap_t set);
int bind_thread(hwloc_const_bitmap_t set);

#endif
