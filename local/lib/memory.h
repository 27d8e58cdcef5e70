/* memory - how much memory this process has used, and may use. Thread-safe. */
#ifndef LOCAL_LIB_MEMORY_H
#define LOCAL_LIB_MEMORY_H

#include <stddef.h>
#include <stdint.h>

/* The most memory that was resident at once since the program began, in bytes. */
uint64_t memory_peak_bytes(void);

/*
 * Whether a program may touch `bytes` more: at most three quarters of what the machine could give
 * now without swapping. The system itself promises more than it has, and ends the process that
 * takes it at its word, or another one. Ask for all that is needed at once, before it is allocated.
 * Returns 0, or -1 with errno ENOMEM.
 */
int memory_room(size_t bytes);

#endif
