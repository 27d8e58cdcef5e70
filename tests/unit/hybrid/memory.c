/*
 * memory - pages are where the system says, loops compute what a plain one does
 *
 * Test:
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hybrid/lib/numa.h"
#include "hybrid/lib/pss.h"
#include "hybrid/lib/stream.h"
#include "local/lib/pages.h"

enum { PAGES = 600 };

static void pages_touched_and_not(void **state)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), bytes = PAGES * page;
    unsigned char *const area = pages_alloc(bytes, false);
    struct numa_pages pages = { 0 };
    (void)state;

    assert_non_null(area);
    const int here = numa_here();
    for (size_t i = 0; i < PAGES / 2; i++)
        area[i * page] = 1;
    if (here < 0 || numa_ask(area, bytes, page, PAGES, here, &pages)) {
        pages_free(area, bytes);
        skip(); /* this system does not tell */
    }
    assert_int_equal(pages.on_node + pages.elsewhere, PAGES / 2);
    assert_int_equal(pages.untouched, PAGES / 2);

    /* The same pages, asked whether they are on a node that does not exist. */
    struct numa_pages none = { 0 };
    assert_int_equal(numa_ask(area, bytes / 2, page, PAGES, 1000, &none), 0);
    assert_int_equal(none.on_node, 0);
    assert_int_equal(none.elsewhere, PAGES / 2);
    pages_free(area, bytes);
}

static void pages_only_in_part(void **state)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    unsigned char *const area = pages_alloc(4 * page, false);
    (void)state;

    assert_non_null(area);
    memset(area, 1, 4 * page);
    static const struct {
        size_t before, cut, most, expected; /* bytes left out at both ends */
    } cases[] = { { 0, 0, 9, 4 }, { 1, 0, 9, 3 }, { 1, 1, 9, 2 }, { 0, 0, 3, 3 }, { 0, 0, 0, 0 } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct numa_pages pages = { 0 };
        if (numa_ask(area + cases[i].before, 4 * page - cases[i].before - cases[i].cut, page,
                     cases[i].most, 0, &pages))
            break;
        assert_int_equal(pages.on_node + pages.elsewhere, cases[i].expected);
    }
    pages_free(area, 4 * page);
    assert_true(numa_nodes() >= 1);
}

/* Every length and every beginning: whole lines, and what is left of them at both ends. */
static void loops_equal_plain_ones(void **state)
{
    const struct stream *const both[] = { stream_past_caches(), stream_ordinary() };
    enum { MOST = 41, SHIFTS = 9, ROOM = MOST + SHIFTS + 1 };
    double to[ROOM], x[ROOM], y[ROOM];
    (void)state;

    for (int i = 0; i < ROOM; i++) {
        x[i] = i + 1;
        y[i] = 100 * i + 7;
    }
    for (int k = 0; k < 2; k++)
        for (size_t shift = 0; shift < SHIFTS; shift++)
            for (size_t count = 0; count <= MOST; count++)
                for (int triad = 0; triad < 2; triad++) {
                    for (int i = 0; i < ROOM; i++)
                        to[i] = -1;
                    if (triad)
                        both[k]->triad(to + shift, x, y + 1, -2, count);
                    else
                        both[k]->scale(to + shift, x + 1, 3, count);
                    for (size_t i = 0; i < ROOM; i++) {
                        const bool inside = i >= shift && i < shift + count;
                        const size_t j = i - shift;
                        const double right = !inside ? -1 : triad ? x[j] - 2 * y[j + 1]
                                                                  : 3 * x[j + 1];
                        assert_true(to[i] == right);
                    }
                }
}

static void memory_behind_an_array(void **state)
{
    const size_t bytes = 32 << 20, slack = 1 << 20; /* of mappings that the system joined to ours */
    unsigned char *const area = pages_alloc(bytes, false);
    uint64_t untouched, touched;
    (void)state;

    assert_non_null(area);
    if (pss_bytes(area, bytes, &untouched)) {
        pages_free(area, bytes);
        skip();
    }
    memset(area, 1, bytes);
    assert_int_equal(pss_bytes(area, bytes, &touched), 0);
    assert_in_range(untouched, 0, slack);
    assert_in_range(touched, bytes, bytes + slack);

    /* Two processes that have the same pages have half of them each. */
    const pid_t child = fork();
    if (child == 0) {
        uint64_t shared;
        const bool half = pss_bytes(area, bytes, &shared) == 0 && shared < touched / 2 + slack &&
                          shared + slack > touched / 2;
        _exit(half ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    pages_free(area, bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_touched_and_not),
        cmocka_unit_test(pages_only_in_part),
        cmocka_unit_test(loops_equal_plain_ones),
        cmocka_unit_test(memory_behind_an_array),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
