#ifdef __linux__
#define _GNU_SOURCE /* syscall() */
#endif
#include "hybrid/lib/numa.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#ifdef __linux__
#include <sys/syscall.h>
#include <unistd.h>
#endif

/* How many numbers a list as "0-1,3" holds. */
static int count_list(FILE *file)
{
    int count = 0, first, last;
    char next;

    while (fscanf(file, "%d", &first) == 1) {
        last = first;
        next = '\0';
        if (fscanf(file, "%c", &next) == 1 && next == '-' && fscanf(file, "%d", &last) == 1)
            (void)!fscanf(file, "%c", &next);
        count += last - first + 1;
    }
    return count;
}

int numa_nodes(void)
{
    FILE *const file = fopen("/sys/devices/system/node/has_memory", "r");
    const int count = file ? count_list(file) : 0;

    if (file)
        fclose(file);
    return count > 0 ? count : 1;
}

int numa_here(void)
{
#ifdef SYS_getcpu
    unsigned cpu, node;

    if (syscall(SYS_getcpu, &cpu, &node, NULL) == 0)
        return (int)node;
#endif
    return -1;
}

#ifdef SYS_move_pages
enum { BATCH = 256 }; /* pages in one call */

/* Without target nodes the call moves nothing, and tells where the pages are. */
static int ask_batch(void **addresses, size_t count, int node, struct numa_pages *pages)
{
    int nodes[BATCH];

    if (syscall(SYS_move_pages, 0, count, addresses, NULL, nodes, 0) < 0)
        return -1;
    for (size_t i = 0; i < count; i++)
        if (nodes[i] == node)
            pages->on_node++;
        else if (nodes[i] >= 0)
            pages->elsewhere++;
        else
            pages->untouched++;
    return 0;
}
#endif

int numa_ask(const void *area, size_t bytes, size_t page_bytes, size_t most, int node,
             struct numa_pages *pages)
{
#ifdef SYS_move_pages
    const uintptr_t begin = ((uintptr_t)area + page_bytes - 1) / page_bytes * page_bytes;
    const uintptr_t end = ((uintptr_t)area + bytes) / page_bytes * page_bytes;
    const size_t all = begin < end ? (end - begin) / page_bytes : 0;
    const size_t wanted = all < most ? all : most;
    struct numa_pages found = *pages;
    void *addresses[BATCH];
    size_t batch = 0;

    for (size_t i = 0; i < wanted; i++) {
        addresses[batch++] = (void *)(begin + (size_t)((double)i / (double)wanted * (double)all) *
                                                  page_bytes);
        if (batch == BATCH || i + 1 == wanted) {
            if (ask_batch(addresses, batch, node, &found))
                return -1;
            batch = 0;
        }
    }
    *pages = found;
    return 0;
#else
    (void)area, (void)bytes, (void)page_bytes, (void)most, (void)node, (void)pages;
    errno = ENOSYS;
    return -1;
#endif
}
