/*
 * cpus - which CPUs the system lets this process use. Linux only; elsewhere the calls answer that
 * nothing is known. Thread-safe.
 */
#ifndef LOCAL_LIB_CPUS_H
#define LOCAL_LIB_CPUS_H

#include <stdint.h>

#define CPUS_WORDS 128 /* 8192 CPUs, as many as Linux can be built for */

/* Bit c % 64 of words[c / 64] stands for CPU c, by the operating system's number. */
struct cpus {
    uint64_t words[CPUS_WORDS];
};

/* The calling thread's mask. Returns 0, or -1 with errno (ENOSYS: this system has no masks). */
int cpus_granted(struct cpus *cpus);

/* Binds the calling thread to the mask. The system may leave out CPUs that it does not give,
 * without a word: read it back. Returns 0, or -1 with errno (EINVAL: none is left; ENOSYS). */
int cpus_bind(const struct cpus *cpus);

/* How many CPUs the mask holds. */
int cpus_count(const struct cpus *cpus);

/* The CPU that the calling thread runs on at this moment, or -1 where the system cannot tell. */
int cpu_now(void);

/* CPUs that are on line in this machine, granted or not; at least 1. */
int cpus_online(void);

#endif
