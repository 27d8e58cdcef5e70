/*
 * file - whole files, pipes, files that tell no size, what cannot be read, and drafts
 *
 * Test:
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <utime.h>
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
        { "/dev/zero", 0, EFBIG },
        { "fifo", 0, ENODATA }, /* that nobody writes to */
        { "huge", 0, ENOMEM },
    };
    unsigned char untouched, *bytes = &untouched;
    size_t count = 42;
    (void)state;

    assert_int_equal(mkfifo("fifo", 0600), 0);
    close(open("huge", O_WRONLY | O_CREAT, 0600));
    assert_int_equal(truncate("huge", (off_t)1 << 43), 0);
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
    unlink("fifo");
    unlink("huge");
}

/* Its writer comes first, waits for the reader, and is slow. */
static void named_pipe(void **state)
{
    static const struct size size = { 100000, 8 };
    unsigned char *expected = pattern(size.count);
    int status, there[2];
    (void)state;

    assert_int_equal(mkfifo("fifo", 0600), 0);
    assert_int_equal(pipe(there), 0);
    const int reader = open("fifo", O_RDONLY | O_NONBLOCK); /* or the writer would not get in */
    const pid_t child = fork();
    if (child == 0) {
        const int fd = open("fifo", O_WRONLY);
        if (write(there[1], "", 1) != 1)
            _exit(1);
        nanosleep(&(struct timespec){ .tv_nsec = 20000000 }, NULL);
        write_slowly(fd, expected, size.count);
    }
    assert_int_equal(read(there[0], &(char){ 0 }, 1), 1); /* it has opened it */
    check("fifo", expected, &size);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    close(reader);
    close(there[0]);
    close(there[1]);
    unlink("fifo");
    free(expected);
}

static void writable(void **state)
{
    unsigned char *bytes;
    size_t count;
    (void)state;

    assert_int_equal(file_writable("made"), 0);
    assert_int_equal(access("made", F_OK), 0);
    FILE *file = fopen("made", "w");
    fputs("old", file);
    fclose(file);
    assert_int_equal(file_writable("made"), 0);
    assert_int_equal(file_read("made", 0, &bytes, &count), 0);
    assert_int_equal(count, 3);
    free(bytes);
    unlink("made");
    assert_int_equal(file_writable("/dev/full"), 0);
    assert_int_equal(mkfifo("fifo", 0600), 0);
    assert_int_equal(file_writable("fifo"), 0); /* and does not wait */
    unlink("fifo");
    assert_int_equal(file_writable("/nonexistent/file"), -1);
    assert_int_equal(errno, ENOENT);
    assert_int_equal(file_writable("/"), -1);
    assert_int_equal(errno, EISDIR);
}

static void same(void **state)
{
    (void)state;
    assert_int_equal(file_writable("one"), 0);
    assert_int_equal(file_writable("other"), 0);
    assert_int_equal(symlink("one", "symbolic"), 0);
    assert_int_equal(link("one", "hard"), 0);
    assert_true(file_same("one", "one"));
    assert_true(file_same("one", "./one"));
    assert_true(file_same("one", "symbolic"));
    assert_true(file_same("hard", "symbolic"));
    assert_false(file_same("one", "other"));
    assert_false(file_same("one", "nothing"));
    assert_true(file_same("nothing", "./nothing"));
    assert_false(file_same("nothing", "nobody"));
    assert_false(file_same("nothing", "/nothing"));
    assert_false(file_same("/nonexistent/nothing", "/nonexistent/nothing"));
    assert_false(file_same("/dev/null", "/dev/null")); /* takes what all of them write */
    assert_false(file_same(".", "."));
    unlink("one");
    unlink("other");
    unlink("symbolic");
    unlink("hard");
}

static int entries(const char *pattern_of_names)
{
    glob_t found;
    const int failed = glob(pattern_of_names, 0, NULL, &found);
    const int count = failed ? 0 : (int)found.gl_pathc;

    if (!failed)
        globfree(&found);
    return count;
}

static void expect(const char *path, const char *text)
{
    unsigned char *bytes;
    size_t count;

    assert_int_equal(file_read(path, 1, &bytes, &count), 0);
    assert_string_equal((char *)bytes, text);
    free(bytes);
}

static void put(const char *path, const char *text)
{
    FILE *const file = fopen(path, "w");

    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void drafts(void **state)
{
    struct file_draft first, second;
    struct stat about;
    (void)state;

    put("result", "old");
    put("precious", "precious");
    const mode_t mask = umask(027);
    assert_int_equal(file_begin(&first, "result"), 0);
    assert_int_equal(file_begin(&second, "result"), 0); /* of another job: not the same one */
    umask(mask);
    assert_string_not_equal(first.name, second.name);
    assert_int_equal(write(first.fd, "first", 5), 5);
    assert_int_equal(write(second.fd, "second", 6), 6);
    expect("result", "old");
    assert_int_equal(file_finish(&first, true), 0);
    expect("result", "first");
    assert_int_equal(stat("result", &about), 0);
    assert_int_equal(about.st_mode & 07777, 0640);
    assert_int_equal(file_finish(&second, false), 0);
    expect("result", "second");

    assert_int_equal(file_begin(&first, "result"), 0);
    errno = EDOM;
    file_drop(&first);
    assert_int_equal(errno, EDOM);
    expect("result", "second");

    /* Another file, a link say, has been put in its place. */
    assert_int_equal(file_begin(&first, "result"), 0);
    unlink(first.name);
    assert_int_equal(symlink("precious", first.name), 0);
    assert_int_equal(file_finish(&first, true), -1);
    assert_int_equal(errno, ESTALE);
    expect("result", "second");
    expect("precious", "precious");
    assert_int_equal(entries("result.tmp.*"), 1); /* the stranger's */
    assert_int_equal(system("rm result.tmp.*"), 0);

    /* The link is replaced, not followed. */
    unlink("result");
    assert_int_equal(symlink("precious", "result"), 0);
    assert_int_equal(file_begin(&first, "result"), 0);
    assert_int_equal(file_finish(&first, false), 0);
    expect("precious", "precious");
    expect("result", "");

    assert_int_equal(file_begin(&first, "/nonexistent/result"), -1);
    assert_int_equal(errno, ENOENT);
    assert_int_equal(mkdir("folder", 0700), 0);
    assert_int_equal(file_begin(&first, "folder"), -1);
    assert_int_equal(errno, EISDIR);
    assert_int_equal(mkfifo("fifo", 0600), 0);
    assert_int_equal(file_begin(&first, "fifo"), -1);
    assert_int_equal(errno, EINVAL);
    unlink("fifo");
    assert_int_equal(entries("*.tmp.*"), 0);
    rmdir("folder");
    unlink("result");
    unlink("precious");
}

/* What killed processes leave, and nothing else. */
static void swept(void **state)
{
    static const char *const foreign[] = { "result.tmp", "result.tmp.2026.12.01", "result.tmp.00000001.1",
                                           "result.tmp.00000001.1.0000000g", "result",
                                           "result.tmp.00000001.1.00000001x",
                                           "result.tmp.00000001.1.0000001",
                                           "result2.tmp.00000001.1.00000001" };
    struct file_draft mine;
    struct utimbuf long_ago = { 1, 1 };
    int status;
    (void)state;

    const pid_t child = fork();
    if (child == 0)
        _exit(file_begin(&mine, "result") != 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(entries("result.tmp.*"), 1);
    assert_int_equal(file_begin(&mine, "result"), 0);
    assert_int_equal(utime(mine.name, &long_ago), 0); /* its process is there: it stays */
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++) {
        put(foreign[i], "");
        assert_int_equal(utime(foreign[i], &long_ago), 0);
    }
    put("result.tmp.00000001.1.00000001", ""); /* of another kernel: today's stays */
    put("result.tmp.00000001.1.00000002", "");
    assert_int_equal(utime("result.tmp.00000001.1.00000002", &long_ago), 0);

    assert_int_equal(file_sweep("./result"), 2);
    assert_int_equal(access(mine.name, F_OK), 0);
    assert_int_equal(access("result.tmp.00000001.1.00000001", F_OK), 0);
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++)
        assert_int_equal(unlink(foreign[i]), 0);
    assert_int_equal(file_sweep("result"), 0);
    file_drop(&mine);
    unlink("result.tmp.00000001.1.00000001");
    assert_int_equal(entries("*"), 0);
    assert_int_equal(file_sweep("/nonexistent/result"), 0);
}

int main(void)
{
    char folder[] = "/tmp/lockstep.XXXXXX";
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files),
        cmocka_unit_test(pipes),
        cmocka_unit_test(without_size),
        cmocka_unit_test(unreadable),
        cmocka_unit_test(named_pipe),
        cmocka_unit_test(writable),
        cmocka_unit_test(same),
        cmocka_unit_test(drafts),
        cmocka_unit_test(swept),
    };

    if (!mkdtemp(folder) || chdir(folder))
        return 1;
    const int failed = cmocka_run_group_tests_name("file", tests, NULL, NULL);
    return failed != 0 || chdir("/") || rmdir(folder);
}
