#include "hybrid/lib/pss.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>

int pss_bytes(uint64_t *bytes)
{
#ifdef __linux__
    FILE *const file = fopen("/proc/self/smaps_rollup", "r");
    unsigned long long resident = 0, swapped = 0;
    bool found = false;
    char line[256];

    if (!file)
        return -1;
    while (fgets(line, sizeof line, file)) {
        found |= sscanf(line, "Pss: %llu", &resident) == 1;
        sscanf(line, "SwapPss: %llu", &swapped);
    }
    fclose(file);
    if (found) {
        *bytes = (resident + swapped) * 1024;
        return 0;
    }
#else
    (void)bytes;
#endif
    errno = ENOSYS;
    return -1;
}
