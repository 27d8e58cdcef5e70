/*
 * bandwidth - what memory can give: the loops that likwid-bench and STREAM measure it with.
 *
 * Each does one worker's part of an array; a program runs it in all of its threads and divides the
 * bytes by the time. They take the widest loads and stores that the CPU at hand has (x86: SSE2,
 * AVX or AVX-512, looked up when they run), and stores that go past the caches. Elsewhere they are
 * what the compiler makes of a plain loop. Thread-safe.
 *
 * Sources: J. McCalpin, STREAM (triad); likwid-bench's stream_sp_mem_* and load_* kernels.
 */
#ifndef LOCAL_LIB_BANDWIDTH_H
#define LOCAL_LIB_BANDWIDTH_H

#include <stddef.h>
#include <stdint.h>

/*
 * c[i] = a[i] + 3 b[i] for i < count. 12 bytes an element move where the stores go past the caches,
 * 16 elsewhere: the line that is stored to is read before. Count 12, as STREAM and likwid do.
 */
void bandwidth_triad(float *c, const float *a, const float *b, size_t count);

/* Reads all words once, and returns their exclusive or, or the loads could be left out. */
uint64_t bandwidth_read(const uint64_t *words, size_t count);

/* "AVX-512", "AVX", "SSE2" or "plain": what both use here. */
const char *bandwidth_kind(void);

#endif
