/*
 * stream - the loops of STREAM on doubles, as quick as memory allows.
 *
 * Each does one thread's part of an array. Where the CPU can (x86: SSE2, AVX or AVX-512, looked up
 * when they run), the stores go past the caches: an ordinary store reads the line first that it
 * writes to, so that a triad moves 32 bytes an element and not 24. Elsewhere they are what the
 * compiler makes of a plain loop. What is stored is seen by other threads behind their next
 * barrier. Thread-safe.
 *
 * Source: J. McCalpin, STREAM. bandwidth.h of local/lib has the same triad on floats.
 */
#ifndef HYBRID_LIB_STREAM_H
#define HYBRID_LIB_STREAM_H

#include <stddef.h>

/* The widest stores past the caches; ordinary stores. */
struct stream {
    const char *kind; /* "AVX-512", "AVX", "SSE2", "plain" */
    /* to[i] = factor * from[i] for i < count: scale, and copy with a factor of 1 */
    void (*scale)(double *to, const double *from, double factor, size_t count);
    /* to[i] = x[i] + factor * y[i]: triad, and add with a factor of 1 */
    void (*triad)(double *to, const double *x, const double *y, double factor, size_t count);
};
const struct stream *stream_past_caches(void);
const struct stream *stream_ordinary(void);

#endif
