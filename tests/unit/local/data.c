/*
 * data - elements by place, blocks that tile the whole, the digest
 *
 * Test:
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdbool.h>
#include <string.h>

#include "local/lib/data.h"

#define LENGTH(array) (sizeof(array) / sizeof *(array))

static void elements(void **state)
{
    enum { COUNT = 20, START = 1000 };
    uint64_t array[COUNT + 2] = { 0 };
    (void)state;

    assert_int_equal(element(0, 0), 1);
    assert_int_equal(element(41, 0), 42);
    assert_true(element(5, 1) != element(5, 0) && element(5, 1) != element(5, 2));
    elements_fill(array + 1, START, COUNT, 3);
    assert_true(array[0] == 0 && array[COUNT + 1] == 0);
    for (uint64_t i = 0; i < COUNT; i++)
        assert_int_equal(array[i + 1], element(START + i, 3));
    assert_int_equal(elements_check(array + 1, START, COUNT, 3), COUNT);
    assert_int_equal(elements_check(array + 1, START + 1, COUNT, 3), 0);
    assert_int_equal(elements_check(array + 1, START, COUNT, 4), 0);
    assert_int_equal(elements_check(NULL, START, 0, 3), 0);
    for (uint64_t wrong = 0; wrong < COUNT; wrong++) { /* the first of several is found */
        elements_fill(array + 1, START, COUNT, 3);
        array[COUNT] = 0;
        array[wrong + 1] ^= UINT64_C(1) << (3 * wrong);
        assert_int_equal(elements_check(array + 1, START, COUNT, 3), wrong);
        assert_int_equal(elements_check(array + 1, START, wrong, 3), wrong);
    }
}

/* A part of the row of bytes is the same wherever it begins; each byte of it is looked at. */
static void bytes(void **state)
{
    enum { LENGTH_MAX = 40 };
    unsigned char part[LENGTH_MAX + 2];
    (void)state;

    for (uint64_t start = 0; start < 20; start++) {
        for (uint64_t count = 0; count <= LENGTH_MAX; count++) {
            memset(part, 0x55, sizeof part);
            bytes_fill(part + 1, start, count, 3);
            assert_true(part[0] == 0x55 && part[count + 1] == 0x55);
            for (uint64_t i = 0; i < count; i++)
                assert_int_equal(part[i + 1], byte_element(start + i, 3));
            assert_int_equal(bytes_check(part + 1, start, count, 3), count);
            for (uint64_t wrong = 0; wrong < count; wrong++) {
                part[wrong + 1] ^= 0x80;
                assert_int_equal(bytes_check(part + 1, start, count, 3), wrong);
                part[wrong + 1] ^= 0x80;
            }
        }
    }
    bytes_fill(part, 0, LENGTH_MAX, 3);
    assert_true(bytes_check(part, 1, LENGTH_MAX, 3) < 4); /* moved by one, or of another seed */
    assert_true(bytes_check(part, 8, LENGTH_MAX, 3) < 4);
    assert_true(bytes_check(part, 0, LENGTH_MAX, 4) < 4);
}

static void check_tiling(uint64_t total, uint64_t parts)
{
    uint64_t next = 0, most = 0, least = UINT64_MAX, before = UINT64_MAX;

    for (uint64_t part = 0; part < parts; part++) {
        const struct block block = block_of(total, parts, part);
        assert_true(block.start == next);
        assert_true(block.count <= before); /* the larger ones first */
        before = block.count;
        next += block.count;
        most = block.count > most ? block.count : most;
        least = block.count < least ? block.count : least;
    }
    assert_true(next == total);
    assert_true(most - least <= 1);
}

static void small_tilings(void **state)
{
    (void)state;
    for (uint64_t total = 0; total <= 40; total++)
        for (uint64_t parts = 1; parts <= 12; parts++)
            check_tiling(total, parts);
}

static void huge_tilings(void **state)
{
    static const uint64_t totals[] = { UINT32_MAX, UINT64_C(1) << 32, INT64_MAX, UINT64_MAX - 1,
                                       UINT64_MAX };
    static const uint64_t parts[] = { 1, 2, 3, 7, 1000, 65537 };
    (void)state;

    for (size_t i = 0; i < LENGTH(totals); i++)
        for (size_t j = 0; j < LENGTH(parts); j++)
            check_tiling(totals[i], parts[j]);
}

static void known_blocks(void **state)
{
    static const struct {
        uint64_t total, parts, part, start, count;
    } rows[] = {
        { 10, 4, 0, 0, 3 }, { 10, 4, 1, 3, 3 }, { 10, 4, 2, 6, 2 }, { 10, 4, 3, 8, 2 },
        { 0, 3, 2, 0, 0 },  { 2, 3, 2, 2, 0 },  { 5, 1, 0, 0, 5 },
        { UINT64_MAX, UINT64_MAX, UINT64_MAX - 1, UINT64_MAX - 1, 1 },
        { 3, UINT64_MAX, UINT64_MAX - 1, 3, 0 },
        { UINT64_MAX, 2, 1, UINT64_C(1) << 63, UINT64_MAX >> 1 },
    };
    (void)state;

    for (size_t i = 0; i < LENGTH(rows); i++) {
        const struct block got = block_of(rows[i].total, rows[i].parts, rows[i].part);
        assert_true(got.start == rows[i].start && got.count == rows[i].count);
    }
}

/* Computed by another program from the recurrence; for a little-endian machine. */
static void known_digests(void **state)
{
    static const struct {
        const char *bytes;
        uint64_t count, digest;
    } rows[] = {
        { "", 0, UINT64_C(0xaf63bd49fd1c5dbb) },
        { "a", 1, UINT64_C(0x22cd1ab8014bd463) },
        { "", 1, UINT64_C(0x22cd39b8014afb90) },
        { "12345678", 8, UINT64_C(0x5236df0b468d3888) },
        { "lockstep programs", 17, UINT64_C(0x9c5048ce1169bf4f) },
    };
    const uint16_t one = 1;
    unsigned char low;
    (void)state;

    memcpy(&low, &one, 1);
    if (low == 0)
        skip();
    for (size_t i = 0; i < LENGTH(rows); i++)
        assert_true(digest(rows[i].bytes, rows[i].count) == rows[i].digest);
    assert_true(digest(NULL, 0) == rows[0].digest);
}

enum { BYTES = 40 };

/* Zeros of every length have a digest of their own. */
static void lengths(void **state)
{
    static const unsigned char zeros[BYTES + 1];
    uint64_t seen[BYTES + 2];
    (void)state;

    for (uint64_t count = 0; count < LENGTH(seen); count++) {
        seen[count] = digest(zeros, count);
        for (uint64_t other = 0; other < count; other++)
            assert_true(seen[other] != seen[count]);
    }
}

/* What may happen to a byte on its way. Returns the new number of bytes. */
static uint64_t flip(unsigned char *bytes, uint64_t at, uint64_t count)
{
    bytes[at] ^= (unsigned char)(1u << at % 8);
    return count;
}

static uint64_t move(unsigned char *bytes, uint64_t at, uint64_t count)
{
    const uint64_t to = (at + 9) % count;
    const unsigned char byte = bytes[at];

    bytes[at] = bytes[to];
    bytes[to] = byte;
    return count;
}

static uint64_t lose(unsigned char *bytes, uint64_t at, uint64_t count)
{
    memmove(bytes + at, bytes + at + 1, count - at - 1);
    return count - 1;
}

static uint64_t fill_gap(unsigned char *bytes, uint64_t at, uint64_t count)
{
    lose(bytes, at, count);
    bytes[count - 1] = 0;
    return count;
}

static uint64_t twice(unsigned char *bytes, uint64_t at, uint64_t count)
{
    memmove(bytes + at + 1, bytes + at, count - at);
    return count + 1;
}

static uint64_t trail(unsigned char *bytes, uint64_t at, uint64_t count)
{
    memset(bytes + count, 0, at + 1);
    return count + at + 1;
}

static void changes(void **state)
{
    static uint64_t (*const accidents[])(unsigned char *, uint64_t, uint64_t) = {
        flip, move, lose, fill_gap, twice, trail,
    };
    unsigned char bytes[2 * BYTES];
    (void)state;

    for (size_t i = 0; i < LENGTH(accidents); i++) {
        for (uint64_t count = 1; count <= BYTES; count++) {
            for (uint64_t at = 0; at < count; at++) {
                unsigned char before[BYTES];
                for (uint64_t k = 0; k < count; k++)
                    bytes[k] = before[k] = (unsigned char)(17 * k + 1);
                const uint64_t after = accidents[i](bytes, at, count);
                const bool same = after == count && memcmp(before, bytes, count) == 0;
                assert_true((digest(before, count) == digest(bytes, after)) == same);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(elements),     cmocka_unit_test(small_tilings),
        cmocka_unit_test(huge_tilings), cmocka_unit_test(known_blocks),
        cmocka_unit_test(known_digests), cmocka_unit_test(lengths),
        cmocka_unit_test(changes), cmocka_unit_test(bytes),
    };

    return cmocka_run_group_tests_name("data", tests, NULL, NULL) != 0;
}
