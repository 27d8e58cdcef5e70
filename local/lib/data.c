#include "local/lib/data.h"

#include <string.h>

uint64_t element(uint64_t place, uint64_t seed)
{
    return place + 1 + seed * 1000003;
}

void elements_fill(uint64_t *array, uint64_t start, uint64_t count, uint64_t seed)
{
    for (uint64_t i = 0; i < count; i++)
        array[i] = element(start + i, seed);
}

uint64_t elements_check(const uint64_t *array, uint64_t start, uint64_t count, uint64_t seed)
{
    uint64_t i = 0;

    while (i < count && array[i] == element(start + i, seed))
        i++;
    return i;
}

/* Eight bytes of the row at once: mixed, so that neighbours and seeds all differ. */
static uint64_t byte_word(uint64_t index, uint64_t seed)
{
    uint64_t word = (index + 1) * UINT64_C(0x9e3779b97f4a7c15) + seed * UINT64_C(0xd1342543de82ef95);

    word ^= word >> 29;
    return word * UINT64_C(0xbf58476d1ce4e5b9);
}

unsigned char byte_element(uint64_t place, uint64_t seed)
{
    return (unsigned char)(byte_word(place / 8, seed) >> 8 * (place % 8));
}

void bytes_fill(void *bytes, uint64_t start, uint64_t count, uint64_t seed)
{
    unsigned char *to = bytes;
    uint64_t word = byte_word(start / 8, seed);

    for (uint64_t i = 0; i < count; i++) {
        const uint64_t place = start + i;
        if (place % 8 == 0)
            word = byte_word(place / 8, seed);
        to[i] = (unsigned char)(word >> 8 * (place % 8));
    }
}

uint64_t bytes_check(const void *bytes, uint64_t start, uint64_t count, uint64_t seed)
{
    const unsigned char *from = bytes;
    uint64_t word = byte_word(start / 8, seed);
    uint64_t i = 0;

    for (; i < count; i++) {
        const uint64_t place = start + i;
        if (place % 8 == 0)
            word = byte_word(place / 8, seed);
        if (from[i] != (unsigned char)(word >> 8 * (place % 8)))
            break;
    }
    return i;
}

struct block block_of(uint64_t total, uint64_t parts, uint64_t part)
{
    const uint64_t least = total / parts, left_over = total % parts;

    return (struct block){
        .start = part * least + (part < left_over ? part : left_over),
        .count = least + (part < left_over),
    };
}

/* One step: xor, multiply, and fold the high half down; each of them can be undone, so no two
 * words and no two states give the same result. The multiplier is that of FNV-1a, 64 bits. */
static uint64_t absorb(uint64_t state, uint64_t word)
{
    state = (state ^ word) * UINT64_C(0x100000001b3);
    return state ^ state >> 29;
}

uint64_t digest(const void *bytes, uint64_t count)
{
    const unsigned char *next = bytes;
    uint64_t state = absorb(UINT64_C(0xcbf29ce484222325), count);
    uint64_t word = 0;

    for (; count >= sizeof word; count -= sizeof word, next += sizeof word) {
        memcpy(&word, next, sizeof word);
        state = absorb(state, word);
    }
    if (count > 0) {
        word = 0;
        memcpy(&word, next, count);
        state = absorb(state, word);
    }
    return state;
}
