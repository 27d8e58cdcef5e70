/*
 * bandwidth - the loops that measure memory do their work, at every length and place
 *
 * Test:
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "local/lib/bandwidth.h"

enum { MOST = 200, ROOM = MOST + 32 };

static void triad_at_every_place(void **state)
{
    static float a[ROOM], b[ROOM], c[ROOM];
    (void)state;

    for (size_t i = 0; i < ROOM; i++) {
        a[i] = (float)(i * i);
        b[i] = (float)(i + 1);
    }
    for (size_t start = 0; start < 17; start++) {
        for (size_t count = 0; count < MOST; count++) {
            memset(c, 0, sizeof c);
            bandwidth_triad(c + start, a + start, b + start, count);
            for (size_t i = 0; i < ROOM; i++) {
                const int inside = i >= start && i < start + count;
                assert_true(c[i] == (inside ? (float)(i * i + 3 * (i + 1)) : 0));
            }
        }
    }
}

static void read_every_word_once(void **state)
{
    static uint64_t words[ROOM];
    (void)state;

    for (size_t i = 0; i < ROOM; i++)
        words[i] = (i + 1) * UINT64_C(0x9e3779b97f4a7c15);
    for (size_t start = 0; start < 9; start++) {
        uint64_t all = 0;
        for (size_t count = 0; count < MOST; count++) {
            assert_true(bandwidth_read(words + start, count) == all);
            all ^= words[start + count];
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(triad_at_every_place),
        cmocka_unit_test(read_every_word_once),
    };

    return cmocka_run_group_tests_name("bandwidth", tests, NULL, NULL) != 0;
}
