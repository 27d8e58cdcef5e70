/*
 * tune - tables: what is an entry and what is not, and a file that is written whole
 *
 * Test:
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "local/lib/file.h"
#include "mpi/lib/coll/tune.h"
#include "tests/unit/mpi/run.h"

#define LENGTH(array) (sizeof(array) / sizeof *(array))

static const struct coll_algorithm algorithms[] = { { .name = "mpi" }, { .name = "linear" },
                                                    { .name = NULL } };

/* A line, and what it is: an entry of that many bytes, a remark, or neither. */
static const struct row {
    const char *text;
    int entries; /* -1: refused */
    uint64_t bytes;
} rows[] = {
    { "bcast nodes 1 ranks 4 bytes 65536 algorithm linear", 1, 65536 },
    { "  bcast  nodes 1 ranks 4 bytes 0 algorithm mpi \r", 1, 0 },
    { "bcast nodes 1 ranks 4 bytes 18446744073709551615 algorithm mpi", 1, UINT64_MAX },
    { "bcast nodes 2147483647 ranks 2147483647 bytes 1 algorithm mpi", 1, 1 },
    { "bcast nodes 1 ranks 4 bytes 1 algorithm unknown", 0, 0 },
    { "reduce nodes 1 ranks 4 bytes 1 algorithm mpi", 0, 0 },
    { "", 0, 0 },
    { " \t\r", 0, 0 },
    { "# bcast nodes -1", 0, 0 },
    { "bcast nodes 1 ranks 4 bytes -5 algorithm mpi", -1, 0 },
    { "bcast nodes 1 ranks 4 bytes +5 algorithm mpi", -1, 0 },
    { "bcast nodes 1 ranks 4 bytes 18446744073709551616 algorithm mpi", -1, 0 },
    { "bcast nodes 1 ranks 4 bytes 0x10 algorithm mpi", -1, 0 },
    { "bcast nodes 1 ranks 4 bytes 1.5 algorithm mpi", -1, 0 },
    { "bcast nodes 99999999999 ranks 4 bytes 1 algorithm mpi", -1, 0 },
    { "bcast nodes 2147483648 ranks 4 bytes 1 algorithm mpi", -1, 0 },
    { "bcast nodes 1 ranks 4294967297 bytes 1 algorithm mpi", -1, 0 },
    { "bcast nodes 0 ranks 4 bytes 1 algorithm mpi", -1, 0 },
    { "bcast nodes 1 ranks 0 bytes 1 algorithm mpi", -1, 0 },
    { "bcast nodes 1 ranks -4 bytes 1 algorithm mpi", -1, 0 },
    { "bcast nodes 1 ranks 4 bytes 1 algorithm mpi linear", -1, 0 },
    { "bcast nodes 1 ranks 4 bytes 1 algorithm", -1, 0 },
    { "bcast", -1, 0 },
};

static void lines(void **state)
{
    (void)state;
    for (size_t i = 0; i < LENGTH(rows); i++) {
        struct tune tune;
        int line = 0;
        const int status = tune_read(&tune, rows[i].text, "bcast", 1, 4, algorithms, &line);
        if (rows[i].entries < 0) {
            if (status == 0)
                fail_msg("taken: %s", rows[i].text);
            assert_int_equal(errno, EINVAL);
            assert_int_equal(line, 1);
            continue;
        }
        if (status)
            fail_msg("refused: %s", rows[i].text);
        assert_int_equal(tune.count, rows[i].entries);
        if (tune.count > 0)
            assert_true(tune.entries[0].bytes == rows[i].bytes);
        tune_close(&tune);
    }
}

/* What follows column 255 is not read, so such a line cannot be judged. */
static void long_line(void **state)
{
    char text[400];
    struct tune tune;
    int line;

    (void)state;
    memset(text, ' ', sizeof text - 1);
    memcpy(text, rows[0].text, strlen(rows[0].text));
    strcpy(text + sizeof text - 4, "end");
    assert_int_equal(tune_read(&tune, text, "bcast", 1, 4, algorithms, &line), -1);
    text[0] = '#';
    assert_int_equal(tune_read(&tune, text, "bcast", 1, 4, algorithms, &line), 0);
    tune_close(&tune);
}

static void enter_folder(char folder[64])
{
    strcpy(folder, "/tmp/lockstep-tune.XXXXXX");
    assert_non_null(mkdtemp(folder));
    assert_int_equal(chdir(folder), 0);
}

static void leave_folder(const char *folder)
{
    assert_int_equal(chdir("/"), 0);
    assert_int_equal(rmdir(folder), 0); /* nothing else was left in it */
}

/* Somebody else's link under the name that a temporary file once had, in a folder for all. */
static void links(void **state)
{
    const struct tune_entry entry = { 8, &algorithms[1] };
    char folder[64];
    unsigned char *text;
    size_t length;
    struct stat status;
    const mode_t before = umask(027);

    (void)state;
    enter_folder(folder);
    FILE *file = fopen("victim", "w");
    fputs("mine", file);
    fclose(file);
    assert_int_equal(symlink("victim", "table.new"), 0);
    assert_int_equal(tune_write("table", "bcast", 1, 4, &entry, 1), 0);
    assert_int_equal(file_read("victim", 1, &text, &length), 0);
    assert_string_equal((char *)text, "mine");
    free(text);
    assert_int_equal(lstat("table", &status), 0);
    assert_int_equal(status.st_mode, S_IFREG | 0640);
    assert_int_equal(file_read("table", 1, &text, &length), 0);
    assert_string_equal((char *)text, "bcast nodes 1 ranks 4 bytes 8 algorithm linear\n");
    free(text);
    umask(before);
    unlink("victim");
    unlink("table.new");
    unlink("table");
    leave_folder(folder);
}

/* Jobs that tune at the same time: the table is whole at each moment, and nothing stays beside. */
static void together(void **state)
{
    enum { JOBS = 4, TIMES = 50, SIZES = 60 };
    struct tune_entry entries[SIZES];
    char folder[64];
    int failed = 0;

    (void)state;
    enter_folder(folder);
    for (int i = 0; i < SIZES; i++)
        entries[i] = (struct tune_entry){ (uint64_t)i, &algorithms[i % 2] };
    assert_int_equal(tune_write("table", "bcast", 1, 1, entries, SIZES), 0);
    for (int job = 0; job < JOBS; job++) {
        if (fork() > 0)
            continue;
        for (int i = 0; i < TIMES; i++) {
            unsigned char *text;
            size_t length;
            struct tune tune;
            int line;
            if (tune_write("table", "bcast", 1, 1 + job, entries, SIZES) ||
                file_read("table", 1, &text, &length) ||
                tune_read(&tune, (char *)text, "bcast", 1, 1, algorithms, &line))
                _exit(1);
            const bool whole = tune.count == SIZES && tune.nodes == 1;
            tune_close(&tune);
            free(text);
            if (!whole)
                _exit(1);
        }
        _exit(0);
    }
    for (int job = 0; job < JOBS; job++) {
        int status = -1;
        wait(&status);
        failed += status != 0;
    }
    unlink("table");
    leave_folder(folder);
    assert_int_equal(failed, 0);
}

static void refused(void **state)
{
    const struct tune_entry entry = { 8, &algorithms[1] };

    (void)state;
    assert_int_equal(tune_write("/nowhere/table", "bcast", 1, 4, &entry, 1), -1);
    assert_int_equal(errno, ENOENT);
    assert_int_equal(tune_write("/tmp", "bcast", 1, 4, &entry, 1), -1);
    assert_int_equal(errno, EISDIR);
}

int main(int argc, char **argv)
{
    static const struct arg none[] = { ARGS_END };
    static const struct CMUnitTest tests[] = { cmocka_unit_test(lines), cmocka_unit_test(long_line),
                                               cmocka_unit_test(links), cmocka_unit_test(together),
                                               cmocka_unit_test(refused) };
    struct world w;
    enum status status = world_open(&w, argc, argv, MPI_THREAD_SINGLE, 1, none);

    if (status == PASS)
        status = run(&w, tests, LENGTH(tests));
    return world_close(&w, status);
}
