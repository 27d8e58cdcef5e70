/*
 * clock - goes on, never back, and is one for all processes of a node
 *
 * Test:
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "local/lib/clock.h"

static void goes_on(void **state)
{
    const struct timespec pause = { 0, 10000000 };
    const int64_t begin = clock_ns();
    int64_t last = begin;
    (void)state;

    for (int i = 0; i < 100000; i++) {
        const int64_t now = clock_ns();
        assert_true(now >= last);
        last = now;
    }
    assert_true(last > begin);
    nanosleep(&pause, NULL);
    assert_true(clock_ns() - last >= 10000000);
}

static void is_the_monotonic_clock(void **state)
{
    struct timespec now;
    (void)state;

    const int64_t before = clock_ns();
    clock_gettime(CLOCK_MONOTONIC, &now);
    const int64_t after = clock_ns();
    const int64_t between = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
    assert_true(before <= between && between <= after);
}

static void is_shared(void **state)
{
    int64_t theirs = 0;
    int ends[2], status;
    (void)state;

    assert_int_equal(pipe(ends), 0);
    const int64_t before = clock_ns();
    const pid_t child = fork();
    if (child == 0) {
        theirs = clock_ns();
        _exit(write(ends[1], &theirs, sizeof theirs) != sizeof theirs);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    const int64_t after = clock_ns();
    assert_int_equal(read(ends[0], &theirs, sizeof theirs), sizeof theirs);
    close(ends[0]);
    close(ends[1]);
    assert_true(before <= theirs && theirs <= after); /* one clock, perhaps a coarse one */
}

static void secs(void **state)
{
    static const struct {
        int64_t from, to;
        double secs;
    } rows[] = {
        { 0, 0, 0 },
        { 5, 5, 0 },
        { 0, 1, 1e-9 },
        { 0, 1500000000, 1.5 },
        { 1500000000, 0, -1.5 },
        { -1000000000, 1000000000, 2 },
        { INT64_C(4000000000000000000), INT64_C(4000000000000000007), 7e-9 },
        { 0, INT64_MAX, 9223372036.854775807 },
    };
    (void)state;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_true(fabs(clock_secs(rows[i].from, rows[i].to) - rows[i].secs) <=
                    1e-15 * fabs(rows[i].secs));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(goes_on),
        cmocka_unit_test(is_the_monotonic_clock),
        cmocka_unit_test(is_shared),
        cmocka_unit_test(secs),
    };

    return cmocka_run_group_tests_name("clock", tests, NULL, NULL) != 0;
}
