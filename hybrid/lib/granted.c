#include "hybrid/lib/granted.h"

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

void mask_of(hwloc_const_bitmap_t set, struct cpus *mask)
{
    int cpu;

    *mask = (struct cpus){ { 0 } };
    hwloc_bitmap_foreach_begin(cpu, set)
        if (cpu < 64 * CPUS_WORDS)
            mask->words[cpu / 64] |= UINT64_C(1) << cpu % 64;
    hwloc_bitmap_foreach_end();
}

int set_of(const struct cpus *mask, hwloc_bitmap_t set)
{
    hwloc_bitmap_zero(set);
    for (unsigned cpu = 0; cpu < 64 * CPUS_WORDS; cpu++)
        if (mask->words[cpu / 64] >> cpu % 64 & 1)
            if (hwloc_bitmap_set(set, cpu))
                return -1;
    return 0;
}

int thread_cpus(hwloc_bitmap_t set)
{
    struct cpus now;

    return cpus_granted(&now) ? -1 : set_of(&now, set);
}

int granted_cpus(hwloc_bitmap_t set)
{
    return read_at_start ? thread_cpus(set) : set_of(&at_start, set);
}

int bind_thread(hwloc_const_bitmap_t set)
{
    struct cpus mask;

    mask_of(set, &mask);
    return cpus_bind(&mask);
}
