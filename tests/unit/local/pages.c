/*
 * pages - memory comes as zeros, begins at a huge page, and is given back whole
 *
 * Test:
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "local/lib/memory.h"
#include "local/lib/pages.h"

static const size_t mega = 1 << 20;

static void is_zero_and_ours(void **state)
{
    const size_t sizes[] = { 0, 1, 4095, 4097, (2 << 20) - 1, 2 << 20, (2 << 20) + 1, 5 << 20 };
    (void)state;

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        for (int huge = 0; huge <= 1; huge++) {
            unsigned char *pages = pages_alloc(sizes[i], huge);
            assert_non_null(pages);
            assert_int_equal((uintptr_t)pages % (2 << 20), 0);
            for (size_t k = 0; k < sizes[i]; k += 1001)
                assert_int_equal(pages[k], 0);
            memset(pages, 1, sizes[i]);
            pages_free(pages, sizes[i]);
        }
    }
    pages_free(NULL, 1);
}

/* 8 GiB in all, of which 16 MiB are there at a time. */
static void comes_when_touched_and_goes(void **state)
{
    (void)state;
    for (int i = 0; i < 512; i++) {
        unsigned char *pages = pages_alloc(16 * mega, i % 2);
        assert_non_null(pages);
        for (size_t k = 0; k < 16 * mega; k += 4096)
            pages[k] = 1;
        pages_free(pages, 16 * mega);
    }
    assert_in_range(memory_peak_bytes(), 16 * mega, 256 * mega);
}

static void too_much(void **state)
{
    (void)state;
    assert_null(pages_alloc(SIZE_MAX, true));
    assert_null(pages_alloc(SIZE_MAX / 2, false));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_zero_and_ours),
        cmocka_unit_test(comes_when_touched_and_goes),
        cmocka_unit_test(too_much),
    };

    return cmocka_run_group_tests_name("pages", tests, NULL, NULL) != 0;
}
