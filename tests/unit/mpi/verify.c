/*
 * verify - the first wrong place over all ranks, ties, none, and totals
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
#include <stdlib.h>
#include <string.h>

#include "local/lib/data.h"
#include "mpi/lib/verify.h"
#include "tests/unit/mpi/run.h"

#define LENGTH(array) (sizeof(array) / sizeof *(array))

static struct world w;

static void check(struct verdict got, const char *expected)
{
    assert_string_equal(got.wrong, expected);
    assert_int_equal(got.right, *expected == '\0');
}

/* Who finds what: at place from + step * rank. */
static void places(void **state)
{
    enum who { NOBODY, ALL, FIRST, LAST };
    static const struct {
        enum who finds;
        uint64_t from, step; /* step may be "negative" */
        enum who speaks;
    } rows[] = {
        { NOBODY, 0, 0, NOBODY },     { ALL, 7, 0, FIRST }, /* of several the lowest rank */
        { ALL, 7, 1, FIRST },         { ALL, 100, (uint64_t)-1, LAST },
        { FIRST, 0, 0, FIRST },       { LAST, 0, 0, LAST },
        { LAST, 7, 100, LAST },       { ALL, UINT64_MAX - 1, 0, FIRST },
        { FIRST, UINT64_C(1) << 63, 0, FIRST },
        { ALL, (UINT64_C(1) << 63) + 10, (uint64_t)-1, LAST },
    };
    (void)state;

    for (size_t i = 0; i < LENGTH(rows); i++) {
        const int last = w.size - 1, speaker = rows[i].speaks == LAST ? last : 0;
        const bool finds = rows[i].finds == ALL || (rows[i].finds == FIRST && w.rank == 0) ||
                           (rows[i].finds == LAST && w.rank == last);
        const uint64_t place = rows[i].from + rows[i].step * (uint64_t)w.rank;
        char expected[64] = "";

        if (rows[i].speaks != NOBODY)
            snprintf(expected, sizeof expected, "rank %d said: %zu", speaker, i);
        check(verify_places(&w, finds ? place : UINT64_MAX, "rank %d said: %zu", w.rank, i),
              expected);
    }
}

static void long_sentence(void **state)
{
    char text[400];
    (void)state;

    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    const struct verdict got = verify_places(&w, 0, "%s", text);
    assert_int_equal(strlen(got.wrong), sizeof got.wrong - 1);
}

/* One wrong element at each place in turn, and a second one behind it on the last rank. */
static void elements(void **state)
{
    static const uint64_t totals[] = { 0, 1, 2, 5, 7, 16 };
    const uint64_t seed = 2;
    (void)state;

    for (size_t i = 0; i < LENGTH(totals); i++) {
        const uint64_t total = totals[i];
        const struct block mine = block_of(total, (uint64_t)w.size, (uint64_t)w.rank);
        uint64_t *array = world_alloc(&w, mine.count, sizeof *array);

        for (uint64_t wrong = 0; wrong <= total; wrong++) { /* wrong == total: none is */
            char expected[160] = "";
            int owner = 0;

            elements_fill(array, mine.start, mine.count, seed);
            for (uint64_t k = 0; k < mine.count; k++)
                if (wrong < total && (mine.start + k == wrong || mine.start + k == total - 1))
                    array[k] = 5;
            while (wrong < total && block_of(total, (uint64_t)w.size, (uint64_t)owner).start +
                   block_of(total, (uint64_t)w.size, (uint64_t)owner).count <= wrong)
                owner++;
            if (wrong < total)
                snprintf(expected, sizeof expected,
                         "element %d (rank %d) is 5, it should be %llu", (int)wrong, owner,
                         (unsigned long long)(wrong + 1 + 2 * 1000003));
            check(verify_elements(&w, array, mine.start, mine.count, seed), expected);
        }
        free(array);
    }
}

/* Rank 0 holds `first`, every other rank `others`. */
static void totals(void **state)
{
    const uint64_t huge = UINT64_C(1) << 62;
    const uint64_t ranks = (uint64_t)w.size, rest = ranks - 1;
    const struct {
        uint64_t first, others, total;
        bool right;
    } rows[] = {
        { 0, 0, 0, true },
        { 4, 4, 4 * ranks, true },
        { 3, 4, 4 * ranks, false },
        { 5, 4, 4 * ranks, false },
        { 0, 0, 1, false },
        { 1, 0, 0, false },
        { 7, 0, 7, true },
        { huge, 1, huge + rest, true },
        { huge, 1, huge + rest + 1, false },
    };
    (void)state;

    for (size_t i = 0; i < LENGTH(rows); i++) {
        char sum[32], total[32];
        const uint64_t held = w.rank == 0 ? rows[i].first : rows[i].others;
        const struct verdict got = verify_total(&w, held, rows[i].total, "things");

        snprintf(sum, sizeof sum, "%llu",
                 (unsigned long long)(rows[i].first + rest * rows[i].others));
        snprintf(total, sizeof total, "%llu", (unsigned long long)rows[i].total);
        assert_int_equal(got.right, rows[i].right);
        assert_int_equal(*got.wrong == '\0', rows[i].right);
        if (!got.right) /* the numbers, whatever the words */
            assert_true(strstr(got.wrong, sum) && strstr(got.wrong, total) &&
                        strstr(got.wrong, "things"));
    }
}

static void both(void **state)
{
    const struct verdict right = { .right = true }, a = { .wrong = "a" }, b = { .wrong = "b" };
    (void)state;

    check(verdict_both(right, right), "");
    check(verdict_both(a, right), "a");
    check(verdict_both(right, b), "b");
    check(verdict_both(a, b), "a");
}

int main(int argc, char **argv)
{
    static const struct arg none[] = { ARGS_END };
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(places), cmocka_unit_test(long_sentence), cmocka_unit_test(elements),
        cmocka_unit_test(totals), cmocka_unit_test(both),
    };
    enum status status = world_open(&w, argc, argv, MPI_THREAD_SINGLE, 1, none);

    if (status == PASS)
        status = run(&w, tests, LENGTH(tests));
    return world_close(&w, status);
}
