/*
 * children - statuses as a shell tells them, nobody is left, all begin together, and one that dies
 * ends the others
 *
 * Test:
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
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

/* Number 2 dies, if it is told to; the others wait for ever. */
static int wait_or_die(void *arg, size_t worker)
{
    if (worker == 2)
        raise(*(const int *)arg);
    for (;;)
        pause();
    return 0;
}

static void one_ends_all(void **state)
{
    static int signals[] = { SIGKILL, SIGTERM };
    struct children children;
    char text[64], expected[64];
    (void)state;

    for (int i = 0; i < 2; i++) {
        size_t who = 99;
        assert_int_equal(children_begin(&children, 5, wait_or_die, &signals[i]), 0);
        assert_false(children_join(&children, NULL, NULL, &who));
        assert_int_equal(who, 2);
        assert_int_equal(children.living, 0);
        nobody_is_left();
        children_tell(&children, who, text, sizeof text);
        snprintf(expected, sizeof expected, "process 2 (pid %ld) was killed by signal %d",
                 (long)children.each[2].pid, signals[i]);
        assert_string_equal(text, expected);
        children_close(&children);
    }
    child_tell("the child", 7, 3, text, sizeof text);
    assert_string_equal(text, "the child (pid 7) ended with 3");
}

/* Those that may: the number of ends that it was asked for is in *arg. */
static bool is_expected(void *arg, size_t who, int status)
{
    ++*(int *)arg;
    return who == 2 ? status == 137 : who == 3 ? status == 143 : status == (int)who;
}

static void who_may_end(void **state)
{
    struct children children;
    int asked = 0;
    size_t who;
    (void)state;

    assert_int_equal(children_begin(&children, 5, end_in_some_way, NULL), 0);
    assert_true(children_join(&children, is_expected, &asked, &who));
    assert_int_equal(asked, 4); /* not for the one that ended with 0 */
    children_close(&children);
    nobody_is_left();
}

/* It waits for a byte that would never come: others hold the writing end, too. */
static void a_wait_for_data_ends(void **state)
{
    struct children children;
    int ends[2], signal = SIGKILL;
    char text[64];
    size_t who = 99;
    (void)state;

    assert_int_equal(pipe(ends), 0);
    struct pollfd file = { .fd = ends[0], .events = POLLIN };
    assert_int_equal(children_begin(&children, 3, wait_or_die, &signal), 0);
    assert_int_equal(children_poll(&children, &file, 1, HUGE_VAL, &who), -1);
    assert_int_equal(errno, ECHILD);
    assert_int_equal(who, 2);
    children_tell(&children, who, text, sizeof text);
    assert_non_null(strstr(text, ") was killed by signal 9"));
    assert_int_equal(write(ends[1], "", 1), 1); /* what has come is there all the same */
    assert_int_equal(children_poll(&children, &file, 1, HUGE_VAL, &who), 1);
    assert_true(children_fell(&children, &who));
    children_close(&children);
    nobody_is_left();
    close(ends[0]);
    close(ends[1]);
}

static void limits(void **state)
{
    struct children children;
    int none = 0;
    size_t who;
    (void)state;

    assert_int_equal(children_begin(&children, 2, wait_or_die, &none), 0);
    assert_int_equal(children_next(&children, 0.01, &who), -1);
    assert_int_equal(errno, ETIMEDOUT);
    assert_false(children_fell(&children, &who));
    assert_int_equal(children_poll(&children, NULL, 0, 0.01, &who), 0);
    children_kill(&children);
    assert_int_equal(children_next(&children, HUGE_VAL, &who), -1);
    assert_int_equal(errno, ECHILD);
    children_close(&children);
    children_close(&children); /* as what was never opened */
    nobody_is_left();
}

static void sizes(void **state)
{
    char name[64], other[64];
    (void)state;

    assert_null(children_map(0)); /* what a product says that is no size, too */
    assert_int_equal(errno, EINVAL);
    assert_null(children_map(SIZE_MAX));
    children_unmap(NULL, 0);
    children_name("unit", name);
    children_name("unit", other);
    assert_int_equal(strlen(name), strlen("/lockstep-unit-") + 16);
    assert_string_not_equal(name, other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(statuses_of_a_shell), cmocka_unit_test(all_run_once),
        cmocka_unit_test(end_with_their_parent), cmocka_unit_test(one_ends_all),
        cmocka_unit_test(who_may_end), cmocka_unit_test(a_wait_for_data_ends),
        cmocka_unit_test(limits), cmocka_unit_test(sizes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
