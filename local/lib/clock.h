/* clock - the monotonic clock of this node (POSIX clock_gettime, CLOCK_MONOTONIC). Thread-safe. */
#ifndef LOCAL_LIB_CLOCK_H
#define LOCAL_LIB_CLOCK_H

#include <stdint.h>
#include <time.h>

/*
 * Nanoseconds since a moment that all processes of one node share (one kernel, one time
 * namespace), but two nodes do not: see mpi/lib/clocks.h. Not set back when the date is set.
 */
int64_t clock_ns(void);

/* Seconds between two readings of clock_ns(). */
double clock_secs(int64_t from_ns, int64_t to_ns);

/* Sleeps for `secs`, and goes on with what is left when a signal interrupts it. */
void clock_sleep(double secs);

/* The monotonic clock's time `secs` (up to 10^9) from now: for wait.h, not for POSIX's own timed
 * waits, which go by the time of day. */
struct timespec clock_deadline(double secs);

#endif
