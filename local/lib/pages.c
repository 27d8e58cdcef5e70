#ifdef __linux__
#define _GNU_SOURCE /* MAP_ANONYMOUS and madvise(), which POSIX does not have */
#endif
#ifdef __APPLE__
#define _DARWIN_C_SOURCE
#endif
#include "local/lib/pages.h"

#include <errno.h>
#include <stdint.h>
#include <sys/mman.h>

static const size_t huge_bytes = 2 << 20;

/* Room for the bytes to begin at a huge page. */
static size_t mapped_bytes(size_t bytes)
{
    return bytes < huge_bytes ? huge_bytes : (bytes + huge_bytes - 1) / huge_bytes * huge_bytes;
}

void *pages_alloc(size_t bytes, bool huge)
{
    if (bytes > SIZE_MAX / 2) {
        errno = ENOMEM;
        return NULL;
    }
    const size_t wanted = mapped_bytes(bytes);
    unsigned char *raw = mmap(NULL, wanted + huge_bytes, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (raw == MAP_FAILED)
        return NULL;
    const size_t before = (huge_bytes - (uintptr_t)raw % huge_bytes) % huge_bytes;
    if (before > 0)
        munmap(raw, before);
    munmap(raw + before + wanted, huge_bytes - before);
#ifdef __linux__
    madvise(raw + before, wanted, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE); /* advice: may fail */
#else
    (void)huge;
#endif
    return raw + before;
}

void pages_free(void *pages, size_t bytes)
{
    if (pages)
        munmap(pages, mapped_bytes(bytes));
}
