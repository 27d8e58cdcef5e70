#include "local/lib/size.h"

#include <stdint.h>
#include <stdlib.h>

size_t size_product(size_t a, size_t b)
{
    return a > 0 && b > SIZE_MAX / a ? SIZE_MAX : a * b;
}

size_t size_sum(size_t a, size_t b)
{
    return b > SIZE_MAX - a ? SIZE_MAX : a + b;
}

void *size_alloc(size_t count, size_t size)
{
    const size_t bytes = size_product(count, size);

    return malloc(bytes > 0 ? bytes : 1);
}
