#include "hybrid/lib/granted.h"
#include "local/lib/cpus.h"

#include <errno.h>

static struct cpus at_start;
static int read_at_start = -1; /* what cpus_granted() returned then */

#ifdef __GLIBC__
static void read_mask(void)
{
    read_at_start = cpus_granted(&at_start);
}

/* Linked into the executable, not into a shared library: only there the array is run. */
static void (*const before_constructors)(void)
    __attribute__((section(".preinit_array"), used)) = read_mask;
#endif

int granted_cpus(hwloc_bitmap_t set)
{
    struct cpus now;
    const struct cpus *cpus = &at_start;

    if (read_at_start) {
        if (cpus_granted(&now))
            return -1;
        cpus = &now;
    }
    hwloc_bitmap_zero(set);
    for (unsigned cpu = 0; cpu < 64 * CPUS_WORDS; cpu++)
        if (cpus->words[cpu / 64] >> cpu % 64 & 1)
            if (hwloc_bitmap_set(set, cpu))
                return -1;
    return 0;
}
