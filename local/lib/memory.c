#include "local/lib/memory.h"

#include <sys/resource.h>

uint64_t memory_peak_bytes(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage); /* cannot fail with these arguments */
#ifdef __APPLE__
    return (uint64_t)usage.ru_maxrss;
#else
    return (uint64_t)usage.ru_maxrss * 1024;
#endif
}
