/*
 * pss - the memory behind an array, a page that n processes share counted as one nth for each of
 * them (proportional set size): so the sum over processes is what they use together. Linux.
 * Thread-safe.
 */
#ifndef HYBRID_LIB_PSS_H
#define HYBRID_LIB_PSS_H

#include <stddef.h>
#include <stdint.h>

/*
 * Bytes of the mappings that `bytes` from `area` on lie in, also of what has been swapped out. The
 * system may have joined a mapping to its neighbours, whose pages are then counted as well. Returns
 * 0, or -1 with errno (ENOSYS: this system does not tell; ENOENT, EACCES: nor does this /proc).
 */
int pss_bytes(const void *area, size_t bytes, uint64_t *pss);

#endif
