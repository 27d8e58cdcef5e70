/*
 * size - sums and products at the edge of size_t
 *
 * Test:
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "local/lib/size.h"

static void products(void **state)
{
    static const struct {
        size_t a, b, product;
    } rows[] = {
        { 0, 0, 0 },
        { 0, SIZE_MAX, 0 },
        { SIZE_MAX, 0, 0 },
        { 1, SIZE_MAX, SIZE_MAX },
        { 3, 5, 15 },
        { SIZE_MAX / 8, 8, SIZE_MAX - 7 },
        { SIZE_MAX / 8 + 1, 8, SIZE_MAX },
        { (size_t)1 << 63, 2, SIZE_MAX },
        { (size_t)1 << 32, (size_t)1 << 32, SIZE_MAX },
        { SIZE_MAX, SIZE_MAX, SIZE_MAX },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(size_product(rows[i].a, rows[i].b), rows[i].product);
        assert_int_equal(size_product(rows[i].b, rows[i].a), rows[i].product);
    }
}

static void sums(void **state)
{
    (void)state;
    assert_int_equal(size_sum(0, 0), 0);
    assert_int_equal(size_sum(SIZE_MAX - 1, 1), SIZE_MAX);
    assert_int_equal(size_sum(SIZE_MAX, 1), SIZE_MAX);
    assert_int_equal(size_sum(2, SIZE_MAX - 1), SIZE_MAX);
    assert_int_equal(size_sum(40, 2), 42);
}

static void arrays(void **state)
{
    (void)state;
    void *nothing = size_alloc(0, 8), *some = size_alloc(3, 8);

    assert_non_null(nothing);
    assert_non_null(some);
    assert_null(size_alloc((size_t)1 << 61, 8));
    assert_null(size_alloc(SIZE_MAX, 1));
    free(some);
    free(nothing);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products),
        cmocka_unit_test(sums),
        cmocka_unit_test(arrays),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
