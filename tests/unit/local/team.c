/*
 * team - each part once, or none; and no thread is left behind
 *
 * Test:
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "local/lib/team.h"

static void mark(void *arg, size_t worker)
{
    atomic_int *const marks = arg;

    atomic_fetch_add(&marks[worker], 1);
}

static void each_part_once(void **state)
{
    static const size_t teams[] = { 0, 1, 2, 7, 64 };
    (void)state;

    for (size_t i = 0; i < sizeof teams / sizeof *teams; i++) {
        atomic_int marks[64] = { 0 };
        assert_int_equal(team_run(teams[i], mark, marks), 0);
        for (size_t k = 0; k < 64; k++)
            assert_int_equal(marks[k], k < teams[i]);
        assert_int_equal(team_try(teams[i]), 0);
    }
}

/* Where no thread can be started for want of address space, no part is begun, and all come back. */
static void all_or_none(void **state)
{
    (void)state;
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
    skip(); /* a sanitizer needs all of the address space itself */
#endif
    const pid_t child = fork();
    if (child == 0) {
        static atomic_int marks[4096];
        const rlim_t bytes = (rlim_t)256 << 20; /* some tens of stacks of 8 MiB */
        const struct rlimit limit = { bytes, bytes };
        int begun = 0;

        if (setrlimit(RLIMIT_AS, &limit))
            _exit(2);
        if (team_run(4096, mark, marks) == 0 || errno != EAGAIN)
            _exit(3);
        for (size_t k = 0; k < 4096; k++)
            begun += marks[k];
        if (begun > 0 || team_try(4096) == 0 || errno != EAGAIN)
            _exit(4);
        _exit(team_run(2, mark, marks) == 0 && marks[0] == 1 ? 0 : 5);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void refuses_sizes(void **state)
{
    (void)state;

    assert_int_equal(team_run(SIZE_MAX, mark, NULL), -1);
    assert_int_equal(errno, ENOMEM);
    assert_int_equal(team_try((size_t)1 << 60), -1);
    assert_int_equal(errno, ENOMEM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_part_once),
        cmocka_unit_test(all_or_none),
        cmocka_unit_test(refuses_sizes),
    };

    return cmocka_run_group_tests_name("team", tests, NULL, NULL) != 0;
}
