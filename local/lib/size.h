/*
 * size - sums and products of sizes that cannot wrap.
 *
 * A size that a user gives is multiplied before it is allocated; where the product wraps, too little
 * is allocated, and what is written beyond it is somebody else's. These saturate instead: malloc()
 * and mmap() refuse SIZE_MAX bytes. Thread-safe.
 */
#ifndef LOCAL_LIB_SIZE_H
#define LOCAL_LIB_SIZE_H

#include <stddef.h>

/* a * b, or SIZE_MAX where that is no size_t. */
size_t size_product(size_t a, size_t b);

/* a + b, or SIZE_MAX where that is no size_t. */
size_t size_sum(size_t a, size_t b);

/*
 * An array of `count` elements of `size` bytes each, not initialised; the caller frees it. Never
 * NULL for an array of nothing. NULL with errno ENOMEM where there is no memory, or no such size.
 */
void *size_alloc(size_t count, size_t size);

#endif
