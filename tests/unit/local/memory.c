/*
 * memory - the peak follows what is touched, and belongs to this process alone
 *
 * Test:
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "local/lib/memory.h"

static const uint64_t mega = 1 << 20;
static char *self;
extern char **environ;

static void touch(size_t bytes)
{
    char *memory = malloc(bytes);

    assert_non_null(memory);
    memset(memory, 1, bytes);
    __asm__ volatile("" : : "r"(memory) : "memory"); /* the compiler must not drop the writes */
    free(memory);
}

static void grows(void **state)
{
    const uint64_t before = memory_peak_bytes();
    (void)state;

    touch(64 * mega);
    const uint64_t peak = memory_peak_bytes();
    assert_in_range(before, 4096, peak - 48 * mega); /* bytes, not KiB or pages */
    assert_in_range(peak, 64 * mega, 1024 * mega);
    touch(mega);
    assert_in_range(memory_peak_bytes(), peak, peak + 8 * mega); /* stays where it was */
}

/* A program started by a large one has its own peak. */
static void is_our_own(void **state)
{
    char small[] = "small", *argv[] = { self, small, NULL };
    int status = -1;
    pid_t child;
    (void)state;

    touch(512 * mega);
    assert_int_equal(posix_spawn(&child, self, NULL, NULL, argv, environ), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* What is there may be taken, and not what the machine lacks, though malloc() may give it. */
static void has_room(void **state)
{
    (void)state;

    assert_int_equal(memory_room(0), 0);
    assert_int_equal(memory_room(mega), 0);
    assert_int_equal(memory_room(SIZE_MAX), -1);
    assert_int_equal(errno, ENOMEM);
    errno = 0;
    const uint64_t pages = (uint64_t)sysconf(_SC_PHYS_PAGES);
    assert_int_equal(memory_room(pages * (uint64_t)sysconf(_SC_PAGESIZE)), -1);
    assert_int_equal(errno, ENOMEM);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(grows), cmocka_unit_test(is_our_own),
                                        cmocka_unit_test(has_room) };

    self = argv[0];
    if (argc > 1 && strcmp(argv[1], "small") == 0)
        return memory_peak_bytes() >= 256 * mega;
    return cmocka_run_group_tests_name("memory", tests, NULL, NULL) != 0;
}
