/*
 * pages - memory straight from the system, for large arrays. Thread-safe.
 *
 * The system gives a page when it is first touched, near the thread that touches it, and takes all
 * back at once: so the cost of the first touch can be measured, and a page's place chosen.
 */
#ifndef LOCAL_LIB_PAGES_H
#define LOCAL_LIB_PAGES_H

#include <stdbool.h>
#include <stddef.h>

/*
 * `bytes` bytes of zeros, aligned to a page; the caller frees them with pages_free(). With `huge`
 * the system is asked for pages of 2 MiB (Linux: madvise, MADV_HUGEPAGE), with fewer misses in its
 * page tables; it may decline. Without, it is asked for small ones. Returns NULL with errno (of
 * mmap). 0 bytes are one page.
 */
void *pages_alloc(size_t bytes, bool huge);

/* Gives them back; NULL is allowed. `bytes` as they were asked for. */
void pages_free(void *pages, size_t bytes);

#endif
