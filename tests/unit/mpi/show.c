/*
 * show - the elements of every rank, in rank order, cut where they are many
 *
 * Test: -n 1
 * Test: -n 2
 * Test: -n 3
 * Test: -n 5
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "mpi/lib/show.h"
#include "tests/unit/mpi/run.h"

#define LENGTH(array) (sizeof(array) / sizeof *(array))

enum { SIZE = 8192 };

static struct world w;

/* What show_elements() prints, on rank 0. */
static void captured(char text[SIZE], const char *when, const uint64_t *array, uint64_t count)
{
    FILE *file = tmpfile();

    fflush(stdout);
    const int saved = dup(STDOUT_FILENO);
    dup2(fileno(file), STDOUT_FILENO);
    show_elements(&w, when, array, count);
    fflush(stdout);
    dup2(saved, STDOUT_FILENO);
    close(saved);
    rewind(file);
    text[fread(text, 1, SIZE - 1, file)] = '\0';
    fclose(file);
}

/* Rank r shows `count` elements start + r, start + r + 1 ... */
static const struct row {
    const char *when;
    uint64_t start, count;
    bool holds[2];       /* whether even and odd ranks have an array */
    uint64_t more;       /* how many are not shown */
} rows[] = {
    { "before", 1, 0, { true, true }, 0 },
    { "after ", 1, 1, { true, true }, 0 },
    { "x", 7, 15, { true, true }, 0 },
    { "x", 7, SHOW_MOST, { true, true }, 0 },
    { "x", 7, SHOW_MOST + 1, { true, true }, 1 },
    { "x", 7, 40, { true, true }, 24 },
    { "x", 1, 3, { true, false }, 0 },
    { "x", 1, 3, { false, true }, 0 },
    { "x", 1, 3, { false, false }, 0 },
    { "before and a lot more words", UINT64_MAX - 45, 40, { true, true }, 24 }, /* 20 digits each */
};

static void shows(void **state)
{
    const struct row *row = *state;
    uint64_t array[40];
    char got[SIZE], expected[SIZE] = "";

    for (uint64_t i = 0; i < LENGTH(array); i++)
        array[i] = row->start + (uint64_t)w.rank + i;
    captured(got, row->when, row->holds[w.rank % 2] ? array : NULL, row->count);
    for (int rank = 0; rank < w.size && w.rank == 0; rank++) {
        char *end = expected + strlen(expected);
        if (!row->holds[rank % 2])
            continue;
        end += sprintf(end, "%s rank %d:", row->when, rank);
        for (uint64_t i = 0; i < row->count - row->more; i++)
            end += sprintf(end, " %" PRIu64, row->start + (uint64_t)rank + i);
        if (row->more)
            end += sprintf(end, " ... %" PRIu64 " more", row->more);
        sprintf(end, "%s\n", row->count ? "" : " nothing");
    }
    assert_string_equal(got, expected);
}

int main(int argc, char **argv)
{
    static const struct arg none[] = { ARGS_END };
    struct CMUnitTest tests[LENGTH(rows)];
    enum status status = world_open(&w, argc, argv, MPI_THREAD_SINGLE, 1, none);

    for (size_t i = 0; i < LENGTH(rows); i++)
        tests[i] = (struct CMUnitTest){ .name = rows[i].when, .test_func = shows,
                                        .initial_state = (void *)(uintptr_t)&rows[i] };
    if (status == PASS)
        status = run(&w, tests, LENGTH(tests));
    return world_close(&w, status);
}
