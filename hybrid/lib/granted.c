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

static int to_bitmap(const struct cpus *cpus, hwloc_bitmap_t set)
{
    hwloc_bitmap_zero(set);
    for (unsigned cpu = 0; cpu < 64 * CPUS_WORDS; cpu++)
        if (cpus->words[cpu / 64] >> cpu % 64 & 1)
            if (hwloc_bitmap_set(set, cpu))
                return -1;
    return 0;
}

int thread_cpus(hwloc_bitmap_t set)
{
    struct cpus now;

    return cpus_granted(&now) ? -1 : to_bitmap(&now, set);
}

int granted_cpus(hwloc_bitmap_t set)
{
    return read_at_start ? thread_cpus(set) : to_bitmap(&at_start, set);
}

int bind_thread(hwloc_const_bitmap_t set)
{
    struct cpus cpus = { { 0 } };
    int cpu;

    hwloc_bitmap_foreach_begin(cpu, set)
        if (cpu < 64 * CPUS_WORDS)
            cpus.words[cpu / 64] |= UINT64_C(1) << cpu % 64;
    hwloc_bitmap_foreach_end();
    return cpus_bind(&cpus);
}
