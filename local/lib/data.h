/*
 * data - the data that programs move and compute with: a function of its place.
 *
 * Because element(i) needs nothing but i, every worker can tell alone whether what it holds is
 * right, and the first wrong place has a number. Pure functions, thread-safe.
 */
#ifndef LOCAL_LIB_DATA_H
#define LOCAL_LIB_DATA_H

#include <stdint.h>

/* The element at `place` of a whole array: place + 1 with seed 0, never 0 for small seeds. */
uint64_t element(uint64_t place, uint64_t seed);

/* Sets array[i] = element(start + i, seed) for i < count. */
void elements_fill(uint64_t *array, uint64_t start, uint64_t count, uint64_t seed);

/* The least i < count with array[i] != element(start + i, seed), or `count` if all are right. */
uint64_t elements_check(const uint64_t *array, uint64_t start, uint64_t count, uint64_t seed);

/* The same for single bytes, of messages of any length: the byte at `place`, 0 to 255. */
unsigned char byte_element(uint64_t place, uint64_t seed);
void bytes_fill(void *bytes, uint64_t start, uint64_t count, uint64_t seed);
uint64_t bytes_check(const void *bytes, uint64_t start, uint64_t count, uint64_t seed);

/* A part of a whole: elements start ... start + count - 1. */
struct block {
    uint64_t start, count;
};

/*
 * Part `part` of `total` elements shared out over `parts` > 0 workers: contiguous, in order, the
 * first total % parts of them one element larger. Right for every total, also 0.
 */
struct block block_of(uint64_t total, uint64_t parts, uint64_t part);

/*
 * A digest of `count` bytes (64 bits, not cryptographic) that changes when a byte changes, moves,
 * is lost or is doubled. The same on every machine of one byte order.
 */
uint64_t digest(const void *bytes, uint64_t count);

#endif
