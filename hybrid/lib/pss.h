/*
 * pss - the memory that this process uses, a page that n processes share counted as one nth for
 * each (proportional set size): so the sum over processes is what they use together. Linux.
 * Thread-safe.
 */
#ifndef HYBRID_LIB_PSS_H
#define HYBRID_LIB_PSS_H

#include <stdint.h>

/* Bytes, also of what has been swapped out. Returns 0, or -1 with errno (ENOSYS: this system does
 * not tell; ENOENT, EACCES: nor does this /proc). */
int pss_bytes(uint64_t *bytes);

#endif
