#ifdef __linux__
#define _GNU_SOURCE
#include <sched.h>
#endif
#include "local/lib/cpus.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

int cpus_granted(struct cpus *cpus)
{
#ifdef __linux__
    /* struct cpus and cpu_set_t agree where unsigned long has 64 bits or the machine is
     * little-endian: Linux fills an array of words, lowest CPU first. */
    memset(cpus, 0, sizeof *cpus);
    return sched_getaffinity(0, sizeof *cpus, (cpu_set_t *)(void *)cpus);
#else
    (void)cpus;
    errno = ENOSYS;
    return -1;
#endif
}

int cpus_bind(const struct cpus *cpus)
{
#ifdef __linux__
    return sched_setaffinity(0, sizeof *cpus, (const cpu_set_t *)(const void *)cpus);
#else
    (void)cpus;
    errno = ENOSYS;
    return -1;
#endif
}

int cpus_count(const struct cpus *cpus)
{
    int count = 0;

    for (int w = 0; w < CPUS_WORDS; w++)
        for (uint64_t rest = cpus->words[w]; rest; rest &= rest - 1)
            count++;
    return count;
}

int cpu_now(void)
{
#ifdef __linux__
    return sched_getcpu();
#else
    return -1;
#endif
}

int cpus_online(void)
{
    const long count = sysconf(_SC_NPROCESSORS_ONLN);

    return count > 0 ? (int)count : 1;
}
