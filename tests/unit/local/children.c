/*
 * children - statuses as a shell tells them, nobody is left, and all begin together
 *
 * Test:
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include "local/lib/children.h"
#include "local/lib/clock.h"

static int end_in_some_way(void *arg, size_t worker)
{
    (void)arg;
    if (worker == 2)
        raise(SIGKILL);
    if (worker == 3)
        raise(SIGTERM);
    return (int)worker;
}

static void nobody_is_left(void)
{
    assert_int_equal(waitpid(-1, NULL, 0), -1);
    assert_int_equal(errno, ECHILD);
}

static void statuses_of_a_shell(void **state)
{
    static const int expected[] = { 0, 1, 137, 143, 4 };
    int statuses[5];
    (void)state;

    assert_int_equal(children_run(5, end_in_some_way, NULL, statuses), 0);
    assert_memory_equal(statuses, expected, sizeof expected);
    nobody_is_left();
    assert_int_equal(children_run(0, end_in_some_way, NULL, NULL), 0);
    const pid_t child = child_start(end_in_some_way, NULL, 3);
    assert_int_equal(child_wait(child), 143);
    assert_int_equal(child_wait(child), -1);
    assert_int_equal(errno, ECHILD);
}

static int count(void *arg, size_t worker)
{
    (void)worker;
    atomic_fetch_add((atomic_int *)arg, 1);
    return 0;
}

static void all_run_once(void **state)
{
    atomic_int *const counter = children_map(sizeof *counter);
    (void)state;

    for (size_t workers = 1; workers <= 64; workers *= 4) {
        atomic_store(counter, 0);
        assert_int_equal(children_run(workers, count, counter, NULL), 0);
        assert_int_equal(atomic_load(counter), workers);
        nobody_is_left();
    }
    children_unmap(counter, sizeof *counter);
}

static int wait_for_ever(void *arg, size_t worker)
{
    (void)worker;
    ((atomic_int *)arg)[1] = (int)getpid();
    for (;;)
        pause();
    return 0;
}

static int start_and_die(void *arg, size_t worker)
{
    (void)worker;
    child_start(wait_for_ever, arg, 0);
    while (((atomic_int *)arg)[1] == 0)
        clock_sleep(1e-3);
    raise(SIGKILL);
    return 0;
}

/* A killed parent takes its child with it. */
static void end_with_their_parent(void **state)
{
    atomic_int *const pids = children_map(2 * sizeof *pids);
    (void)state;

#ifdef __linux__
    assert_int_equal(child_wait(child_start(start_and_die, pids, 0)), 137);
    for (int i = 0; i < 600000 && kill(pids[1], 0) == 0; i++)
        clock_sleep(1e-3); /* until init, or who stands for it, has reaped it */
    assert_int_equal(kill(pids[1], 0), -1);
#else
    (void)start_and_die;
#endif
    children_unmap(pids, 2 * sizeof *pids);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(statuses_of_a_shell), cmocka_unit_test(all_run_once),
        cmocka_unit_test(end_with_their_parent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
