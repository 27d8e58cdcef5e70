/*
 * turns - competitors take turns, and are compared round by round
 *
 * Test:
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "local/lib/clock.h"
#include "local/lib/sampler.h"
#include "local/lib/turns.h"

static char order[64];
static size_t calls[3], prepared;

static void count(void *arg)
{
    calls[*(int *)arg]++;
}

static void write_down(void *arg)
{
    strncat(order, arg, sizeof order - strlen(order) - 1);
    clock_sleep(0.012);
}

static void wait_twice(void *arg)
{
    write_down(arg);
    clock_sleep(0.012);
}

static void prepare(void *arg)
{
    (void)arg;
    prepared++;
}

static void takes_turns(void **state)
{
    const struct stop_rule rule = { 5, 5, 1e6, 0.02 };
    char a[] = "a", b[] = "b";
    struct turn turns[] = { { wait_twice, NULL, a }, { write_down, prepare, b } };
    (void)state;

    assert_int_equal(turns_run(turns, 2, &rule), 0);
    assert_string_equal(order, "abababababab"); /* one to warm up, then five rounds */
    assert_int_equal(prepared, 6);
    for (int k = 0; k < 2; k++) {
        assert_int_equal(turns[k].summary.count, 5);
        assert_int_equal(turns[k].speedup.count, 5);
        assert_int_equal(turns[k].batch, 1);
        assert_null(turns[k].samples);
    }
    assert_true(turns[0].speedup.median == 1);
    assert_true(turns[0].summary.median >= 0.024);
    assert_true(turns[1].summary.median >= 0.012);
}

/* What takes no time is done many times a sample, unless something must be prepared each time. Who is
 * off its core while the batch is found takes what is short for long, but not each time. */
static void short_ones_in_batches(void **state)
{
    const struct stop_rule rule = { 10, 10, 1e6, 0.02 };
    int names[] = { 0, 1 };
    bool are_short = false;
    (void)state;

    for (int i = 0; i < 1000 && !are_short; i++) {
        struct turn turns[] = { { count, NULL, &names[0] }, { count, prepare, &names[1] } };
        memset(calls, 0, sizeof calls);
        prepared = 0;
        const int64_t begin = clock_ns();
        assert_int_equal(turns_run(turns, 2, &rule), 0);
        /* Seconds of one operation: a batch of them was not longer than all was. */
        assert_true(turns[0].summary.median * (double)turns[0].batch <= clock_secs(begin, clock_ns()));
        assert_true(calls[0] > 10 * turns[0].batch);
        assert_int_equal(turns[1].batch, 1);
        assert_int_equal(calls[1], prepared);
        are_short = turns[0].batch > 16;
    }
    assert_true(are_short);
}

static void budget_and_refusals(void **state)
{
    struct stop_rule rule = { 30, 1000, 0, 0.02 };
    int name = 2;
    struct turn turn = { count, NULL, &name };
    struct sampler sampler;
    (void)state;

    assert_int_equal(turns_run(&turn, 1, &rule), 0);
    assert_int_equal(turn.summary.count, 1); /* no time: one round all the same */
    assert_int_equal(turns_run(&turn, 0, &rule), -1);
    assert_int_equal(errno, EINVAL);
    rule.max_iterations = 0;
    assert_int_equal(turns_run(&turn, 1, &rule), -1);
    /* The last ones wrap: (1 + 1) * 2^63, and 8 bytes times 2 * 2^60. */
    const size_t rows[] = { SIZE_MAX / 64, SIZE_MAX, SIZE_MAX / 2 + 1, (size_t)1 << 60 };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        rule.max_iterations = rows[i];
        errno = 0;
        assert_int_equal(turns_run(&turn, 1, &rule), -1);
        assert_int_equal(errno, ENOMEM);
        errno = 0;
        assert_int_equal(sampler_open(&sampler, &rule), -1);
        assert_int_equal(errno, ENOMEM);
    }
}

struct fragile {
    size_t calls, fails_at;
    bool failed;
};

static void break_down(void *arg)
{
    struct fragile *const f = arg;

    f->failed |= ++f->calls == f->fails_at; /* and stays so */
}

static void one_that_failed_ends_all(void **state)
{
    const struct stop_rule rule = { 5, 1000, 60, 0 };
    (void)state;

    for (size_t fails_at = 1; fails_at <= 100; fails_at += 33) {
        struct fragile all[2] = { { .fails_at = fails_at }, { .fails_at = SIZE_MAX } };
        struct turn turns[2];
        for (int i = 0; i < 2; i++)
            turns[i] = (struct turn){ .operation = break_down, .prepare = prepare, .arg = &all[i],
                                      .failed = &all[i].failed };
        assert_int_equal(turns_run(turns, 2, &rule), -1);
        assert_int_equal(errno, ECANCELED);
        assert_in_range(all[0].calls, fails_at, fails_at + 1); /* a warm-up may be done twice */
        assert_true(all[1].calls < fails_at + 2);
        assert_null(turns[0].samples);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_turns),
        cmocka_unit_test(short_ones_in_batches),
        cmocka_unit_test(budget_and_refusals),
        cmocka_unit_test(one_that_failed_ends_all),
    };

    return cmocka_run_group_tests_name("turns", tests, NULL, NULL) != 0;
}
