/*
 * file - whole files, pipes, files that tell no size, and what cannot be read
 *
 * Test:
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "local/lib/file.h"

static const struct size {
    size_t count, padding;
} sizes[] = {
    { 0, 0 },     { 0, 1 },      { 0, 4096 },     { 1, 0 },      { 1, 4096 },     { 4095, 1 },
    { 4096, 0 },  { 65535, 7 },  { 65536, 0 },    { 65537, 8 },  { 65538, 8 },    { 200000, 4096 },
    { 1000003, 1 },
};

static unsigned char *pattern(size_t count)
{
    unsigned char *bytes = malloc(count + 1);

    for (size_t i = 0; i < count; i++)
        bytes[i] = (unsigned char)(i * 31 + i / 256);
    return bytes;
}

static void check(const char *path, const unsigned char *expected, const struct size *size)
{
    unsigned char *bytes = NULL;
    size_t count = 42;

    assert_int_equal(file_read(path, size->padding, &bytes, &count), 0);
    assert_non_null(bytes);
    assert_int_equal(count, size->count);
    assert_memory_equal(bytes, expected, count);
    for (size_t i = 0; i < size->padding; i++)
        assert_int_equal(bytes[count + i], 0);
    free(bytes);
}

static void files(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        unsigned char *expected = pattern(sizes[i].count);
        char path[] = "/tmp/lockstep.XXXXXX";
        const int fd = mkstemp(path);

        assert_int_equal(write(fd, expected, sizes[i].count), sizes[i].count);
        check(path, expected, &sizes[i]);
        close(fd);
        unlink(path);
        free(expected);
    }
}

/* In pieces, so that a read returns less than was asked for. */
static void write_slowly(int fd, const unsigned char *bytes, size_t count)
{
    while (count > 0) {
        const ssize_t done = write(fd, bytes, count < 1000 ? count : count / 2);
        if (done < 0)
            _exit(1);
        bytes += done;
        count -= (size_t)done;
    }
    _exit(0);
}

static void pipes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        unsigned char *expected = pattern(sizes[i].count);
        char path[32];
        int ends[2], status;

        assert_int_equal(pipe(ends), 0);
        const pid_t child = fork();
        if (child == 0) {
            close(ends[0]); /* so that it ends when nobody reads any more */
            write_slowly(ends[1], expected, sizes[i].count);
        }
        close(ends[1]);
        snprintf(path, sizeof path, "/dev/fd/%d", ends[0]);
        check(path, expected, &sizes[i]);
        close(ends[0]);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
        free(expected);
    }
}

/* Files of /proc tell a size of 0 whatever they hold. */
static void without_size(void **state)
{
    unsigned char expected[65536];
    struct size size = { .padding = 16 };
    FILE *file = fopen("/proc/filesystems", "r");
    (void)state;

    if (!file)
        skip();
    size.count = fread(expected, 1, sizeof expected, file);
    fclose(file);
    assert_in_range(size.count, 2, sizeof expected - 1);
    check("/proc/filesystems", expected, &size);
}

static void unreadable(void **state)
{
    static const struct {
        const char *path;
        size_t padding;
        int error;
    } rows[] = {
        { "", 0, ENOENT },
        { "/nonexistent", 0, ENOENT },
        { "/nonexistent/file", 4096, ENOENT },
        { "/dev/null/file", 0, ENOTDIR },
        { "/", 0, EISDIR },
        { "/tmp", 4096, EISDIR },
        { "/dev/null", SIZE_MAX / 4, ENOMEM },
        { "/proc/self/mem", 0, EIO },
    };
    unsigned char untouched, *bytes = &untouched;
    size_t count = 42;
    (void)state;

    const int free_before = dup(0);
    close(free_before);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        errno = 0;
        assert_int_equal(file_read(rows[i].path, rows[i].padding, &bytes, &count), -1);
        assert_int_equal(errno, rows[i].error);
        assert_true(bytes == &untouched && count == 42);
    }
    const int free_after = dup(0);
    close(free_after);
    assert_int_equal(free_after, free_before); /* every one was closed */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files),
        cmocka_unit_test(pipes),
        cmocka_unit_test(without_size),
        cmocka_unit_test(unreadable),
    };

    return cmocka_run_group_tests_name("file", tests, NULL, NULL) != 0;
}
