#include "hybrid/lib/room.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* Where the library keeps windows; Open MPI can be told another place. */
static const char *window_folder(void)
{
    const char *const told = getenv("OMPI_MCA_osc_sm_backing_directory");

    return told && *told ? told : "/dev/shm";
}

static uint64_t free_bytes(const char *folder)
{
    struct statvfs system;

    return statvfs(folder, &system) ? UINT64_MAX : (uint64_t)system.f_frsize * system.f_bavail;
}

/* What can be had without the system ending a process for it; where that is not known, all. */
static uint64_t memory_bytes(void)
{
    const long pages = sysconf(_SC_PHYS_PAGES), bytes = sysconf(_SC_PAGESIZE);
    FILE *const file = fopen("/proc/meminfo", "r");
    unsigned long long available_kib = 0;
    char line[128];

    while (file && fgets(line, sizeof line, file))
        sscanf(line, "MemAvailable: %llu", &available_kib);
    if (file)
        fclose(file);
    if (available_kib > 0)
        return available_kib * 1024;
    return pages < 0 || bytes < 0 ? UINT64_MAX : (uint64_t)pages * (uint64_t)bytes;
}

/* On rank 0 of a node; a rank alone on its node needs no file for its window. */
static enum status look(const struct world *w, double own, uint64_t window)
{
    const uint64_t memory = memory_bytes();
    const uint64_t room = w->node_size > 1 ? free_bytes(window_folder()) : UINT64_MAX;

    if (own + (double)window > (double)memory) {
        program_error("rank %d: %.0f MB are wanted of its node, where %.0f MB of memory are free: "
                      "give a smaller size", w->rank, 1e-6 * (own + (double)window),
                      1e-6 * (double)memory);
        return UNABLE;
    }
    if (1.06 * (double)window > (double)room) { /* Open MPI wants a twentieth more than it needs */
        program_error("rank %d: a window of %.0f MB has no room in %s, where %.0f MB are free: "
                      "give a smaller size, or make it larger (docker run --shm-size, mount -o "
                      "remount,size=)", w->rank, 1e-6 * (double)window, window_folder(),
                      1e-6 * (double)room);
        return UNABLE;
    }
    return PASS;
}

enum status room_for(const struct world *w, uint64_t own_bytes, uint64_t window_bytes)
{
    double own = (double)own_bytes, all;
    enum status status = PASS;

    MPI_Reduce(&own, &all, 1, MPI_DOUBLE, MPI_SUM, 0, w->node_comm);
    if (w->node_rank == 0)
        status = look(w, all, window_bytes);
    return world_agree(w, status);
}
