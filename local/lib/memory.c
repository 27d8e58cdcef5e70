#include "local/lib/memory.h"

#include <errno.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

/* What the first line that `format` fits says in KiB, as bytes; 0 if there is none. */
static uint64_t bytes_in(const char *path, const char *format)
{
    FILE *file = fopen(path, "r");
    unsigned long long kib = 0;
    char line[128];

    while (file && kib == 0 && fgets(line, sizeof line, file))
        sscanf(line, format, &kib);
    if (file)
        fclose(file);
    return (uint64_t)kib * 1024;
}

uint64_t memory_peak_bytes(void)
{
#ifdef __linux__
    /* getrusage() counts what the process was before exec(): a small program that a large one has
     * started would look large. */
    const uint64_t peak_bytes = bytes_in("/proc/self/status", "VmHWM: %llu");
    if (peak_bytes > 0)
        return peak_bytes;
#endif
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage); /* cannot fail with these arguments */
#ifdef __APPLE__
    return (uint64_t)usage.ru_maxrss;
#else
    return (uint64_t)usage.ru_maxrss * 1024;
#endif
}

int memory_room(size_t bytes)
{
    uint64_t there = 0;

#ifdef __linux__
    there = bytes_in("/proc/meminfo", "MemAvailable: %llu");
#endif
#ifdef _SC_PHYS_PAGES
    const long pages = sysconf(_SC_PHYS_PAGES), page_bytes = sysconf(_SC_PAGESIZE);
    if (there == 0 && pages > 0 && page_bytes > 0)
        there = (uint64_t)pages * (uint64_t)page_bytes;
#endif
    if (there == 0 || bytes <= there / 4 * 3) /* 0: the system does not tell */
        return 0;
    errno = ENOMEM;
    return -1;
}
