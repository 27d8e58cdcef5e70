/*
 * cpus - the mask as the system has it, narrowed to every single CPU of it
 *
 * Test:
 */
#ifdef __linux__
#define _GNU_SOURCE
#include <sched.h>
#endif
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "local/lib/cpus.h"

static bool has(const struct cpus *cpus, int cpu)
{
    return cpus->words[cpu / 64] >> cpu % 64 & 1;
}

static void counts(void **state)
{
    static const struct {
        int word;
        uint64_t bits;
        int count;
    } rows[] = {
        { 0, 0, 0 }, { 0, 1, 1 }, { 0, UINT64_MAX, 64 }, { 1, 5, 2 },
        { CPUS_WORDS - 1, UINT64_C(1) << 63, 1 }, { CPUS_WORDS - 1, UINT64_MAX, 64 },
    };
    struct cpus cpus;
    (void)state;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        memset(&cpus, 0, sizeof cpus);
        cpus.words[rows[i].word] = rows[i].bits;
        assert_int_equal(cpus_count(&cpus), rows[i].count);
    }
    memset(&cpus, 0xff, sizeof cpus);
    assert_int_equal(cpus_count(&cpus), 64 * CPUS_WORDS);
}

static void online(void **state)
{
    (void)state;
    assert_true(cpus_online() >= 1);
    assert_int_equal(cpus_online(), sysconf(_SC_NPROCESSORS_ONLN));
}

#ifdef __linux__
static void check_mask(const cpu_set_t *expected)
{
    struct cpus got;

    memset(&got, 0xff, sizeof got);
    assert_int_equal(cpus_granted(&got), 0);
    assert_int_equal(cpus_count(&got), CPU_COUNT(expected));
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        assert_int_equal(has(&got, cpu), CPU_ISSET(cpu, expected) != 0);
    assert_true(CPU_ISSET(cpu_now(), expected));
}

static void granted(void **state)
{
    cpu_set_t all, one;
    (void)state;

    assert_int_equal(sched_getaffinity(0, sizeof all, &all), 0);
    check_mask(&all);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &all))
            continue;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
        check_mask(&one);
        assert_int_equal(cpu_now(), cpu);
    }
    assert_int_equal(sched_setaffinity(0, sizeof all, &all), 0);
    check_mask(&all);
}
#else
static void granted(void **state)
{
    struct cpus cpus;
    (void)state;

    assert_int_equal(cpus_granted(&cpus), -1);
    assert_int_equal(errno, ENOSYS);
    assert_int_equal(cpu_now(), -1);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts),
        cmocka_unit_test(online),
        cmocka_unit_test(granted),
    };

    return cmocka_run_group_tests_name("cpus", tests, NULL, NULL) != 0;
}
