/* memory - how much memory this process has used. Thread-safe. */
#ifndef LOCAL_LIB_MEMORY_H
#define LOCAL_LIB_MEMORY_H

#include <stdint.h>

/* The most memory that was resident at once since the program began, in bytes. */
uint64_t memory_peak_bytes(void);

#endif
