/*
 * coroutine - each keeps its place, its registers and its stack; many, nested, and in threads
 *
 * Test:
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "local/lib/coroutine.h"
#include "local/lib/team.h"

struct counter {
    int steps, at;
    double sum;
};

static void count(void *arg)
{
    struct counter *const counter = arg;
    double a = 1, b = 2, c = 3, d = 4; /* in registers, if the compiler likes */
    char local[1000];

    memset(local, counter->steps, sizeof local);
    for (int i = 0; i < counter->steps; i++) {
        counter->at = i;
        coroutine_yield();
        a += 1, b += a, c += b, d += c;
        assert_int_equal(local[i % 1000], (char)counter->steps);
    }
    counter->sum = d;
}

static double expected_sum(int steps)
{
    double a = 1, b = 2, c = 3, d = 4;

    for (int i = 0; i < steps; i++)
        a += 1, b += a, c += b, d += c;
    return d;
}

/* A thousand in turns, each with another number of steps. */
static void many(void **state)
{
    enum { MANY = 1000 };
    static struct counter counters[MANY];
    static struct coroutine *all[MANY];
    int left = MANY;
    (void)state;

    for (int i = 0; i < MANY; i++) {
        counters[i] = (struct counter){ .steps = i % 50 };
        all[i] = coroutine_create(count, &counters[i], 0);
        assert_non_null(all[i]);
    }
    for (int round = 0; left > 0; round++) {
        for (int i = 0; i < MANY; i++) {
            if (!all[i])
                continue;
            if (coroutine_resume(all[i])) {
                assert_int_equal(counters[i].at, round);
                continue;
            }
            assert_int_equal(round, counters[i].steps);
            assert_true(counters[i].sum == expected_sum(counters[i].steps));
            assert_false(coroutine_resume(all[i]));
            coroutine_destroy(all[i]);
            all[i] = NULL;
            left--;
        }
    }
}

static void outer(void *arg)
{
    struct counter *const counter = arg;
    struct counter mine = { .steps = 3 };
    struct coroutine *const inner = coroutine_create(count, &mine, 0);
    struct coroutine *const me = coroutine_running();

    while (coroutine_resume(inner)) {
        assert_ptr_equal(coroutine_running(), me);
        counter->steps++;
        coroutine_yield();
    }
    coroutine_destroy(inner);
}

static void nested(void **state)
{
    struct counter counter = { 0 };
    struct coroutine *const c = coroutine_create(outer, &counter, 0);
    (void)state;

    assert_null(coroutine_running());
    for (int i = 1; i <= 3; i++) {
        assert_true(coroutine_resume(c));
        assert_int_equal(counter.steps, i);
    }
    assert_false(coroutine_resume(c));
    coroutine_destroy(c);
    coroutine_yield(); /* outside of any */
}

static void ended_early(void **state)
{
    struct counter counter = { .steps = 10 };
    struct coroutine *const never = coroutine_create(count, &counter, 1 << 20);
    struct coroutine *const begun = coroutine_create(count, &counter, 1);
    (void)state;

    assert_true(coroutine_resume(begun));
    coroutine_destroy(begun);
    coroutine_destroy(never);
    coroutine_destroy(NULL);
    assert_null(coroutine_create(count, &counter, SIZE_MAX));
    assert_int_equal(errno, ENOMEM);
}

static void work(void *arg, size_t me)
{
    int *const sums = arg;

    for (int round = 0; round < 100; round++) {
        struct counter counter = { .steps = (int)me + 1 };
        struct coroutine *const c = coroutine_create(count, &counter, 0);
        while (coroutine_resume(c))
            sums[me]++;
        coroutine_destroy(c);
    }
}

static void in_threads(void **state)
{
    int sums[4] = { 0 };
    (void)state;

    assert_int_equal(team_run(4, work, sums), 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(sums[i], 100 * (i + 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many), cmocka_unit_test(nested), cmocka_unit_test(ended_early),
        cmocka_unit_test(in_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
