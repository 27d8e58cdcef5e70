#include "local/lib/memory.h"

#include <stdio.h>
#include <sys/resource.h>

uint64_t memory_peak_bytes(void)
{
#ifdef __linux__
    /* getrusage() counts what the process was before exec(): a small program that a large one has
     * started would look large. */
    FILE *file = fopen("/proc/self/status", "r");
    unsigned long long peak_kib = 0;
    char line[128];

    while (file && fgets(line, sizeof line, file))
        sscanf(line, "VmHWM: %llu", &peak_kib);
    if (file)
        fclose(file);
    if (peak_kib > 0)
        return peak_kib * 1024;
#endif
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage); /* cannot fail with these arguments */
#ifdef __APPLE__
    return (uint64_t)usage.ru_maxrss;
#else
    return (uint64_t)usage.ru_maxrss * 1024;
#endif
}
