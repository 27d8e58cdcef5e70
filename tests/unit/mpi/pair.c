/*
 * pair - both ranks do as much, the stop, the ways of other suites, and pairs at the same time
 *
 * Test: -n 2
 * Test: -n 3
 * Test: -n 5
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>
#include <time.h>

#include "local/lib/clock.h"
#include "mpi/lib/pair.h"
#include "tests/unit/mpi/run.h"

#define LENGTH(array) (sizeof(array) / sizeof *(array))

static struct world w;

struct work {
    int peer;
    long nanos; /* that the follower sleeps */
    bool leads;
    uint64_t times;
};

static void work(void *arg, size_t times)
{
    struct work *work = arg;

    for (size_t i = 0; i < times; i++) {
        if (!work->leads && work->nanos)
            nanosleep(&(struct timespec){ 0, work->nanos }, NULL);
        MPI_Sendrecv(NULL, 0, MPI_BYTE, work->peer, 0, NULL, 0, MPI_BYTE, work->peer, 0, w.comm,
                     MPI_STATUS_IGNORE);
    }
    work->times += times;
}

/* Ranks 0 and 1, 2 and 3 ... at the same time; the last of an odd number rests. */
static struct timing run_pairs(const struct timing_options *options, uint64_t bytes, long nanos,
                               struct work *mine)
{
    const int peer = w.rank ^ 1;
    const bool leads = w.rank % 2 == 0;
    struct timing timing = { 0 };

    *mine = (struct work){ peer, nanos, leads, 0 };
    if (peer < w.size) {
        const struct pair pair = { &w, peer, leads };
        uint64_t other;
        timing = pair_run(&pair, options, bytes, work, mine);
        MPI_Sendrecv(&mine->times, 1, MPI_UINT64_T, peer, 1, &other, 1, MPI_UINT64_T, peer, 1,
                     w.comm, MPI_STATUS_IGNORE);
        assert_int_equal(mine->times, other);
        assert_true(leads ? timing.summary.count > 0 : timing.summary.count == 0);
    }
    world_rest(&w);
    return timing;
}

static void keeps_samples(void **state)
{
    static const struct {
        struct timing_options options;
        long nanos;
        size_t least, most; /* samples */
    } rows[] = {
        { { .secs = 0, .iterations = 100, .warmup = 5 }, 0, 1, 1 },
        { { .secs = 10, .iterations = 1, .warmup = 0 }, 0, 1, 1 },
        { { .secs = 10, .iterations = 7, .warmup = 3 }, 0, 7, 7 },
        { { .secs = 0.05, .iterations = 1000, .warmup = 3 }, 0, 1, 1000 },
        { { .secs = 0.02, .iterations = 1000, .warmup = 0 }, 5000000, 1, 5 },
    };
    struct work mine;
    (void)state;

    for (size_t i = 0; i < LENGTH(rows); i++) {
        const int64_t begin = clock_ns();
        const struct timing timing = run_pairs(&rows[i].options, 0, rows[i].nanos, &mine);
        /* the budget, which a busy machine uses up sooner, may end the warm-up */
        const bool over = clock_secs(begin, clock_ns()) >= rows[i].options.secs;
        if (timing.summary.count == 0)
            continue;
        assert_in_range(timing.summary.count, over ? 1 : rows[i].least, rows[i].most);
        assert_true(timing.stop != STOP_NOT);
        assert_true(timing.summary.median >= 1e-9 * (double)rows[i].nanos);
        assert_true(timing.summary.p10 <= timing.summary.median &&
                    timing.summary.median <= timing.summary.p90);
        assert_true(mine.times >= rows[i].options.warmup + timing.summary.count || over);
        assert_int_equal(timing.slowest_rank, -1);
    }
}

static void follows_suites(void **state)
{
    static const struct {
        struct timing_options options;
        uint64_t bytes;
        size_t iterations, warmup;
    } rows[] = {
        { { .iterations = 100000, .as = "osu" }, 8192, 10000, 100 },
        { { .iterations = 100000, .as = "osu" }, 8193, 1000, 10 },
        { { .iterations = 50, .as = "osu" }, 8, 50, 100 },
        { { .iterations = 100000, .as = "imb" }, 0, 1000, 4 },
        { { .iterations = 100000, .as = "imb" }, 1 << 20, 40, 4 },
        { { .iterations = 100000, .as = "imb" }, 1 << 30, 1, 4 },
    };
    struct work mine;
    (void)state;

    for (size_t i = 0; i < LENGTH(rows); i++) {
        const struct timing timing = run_pairs(&rows[i].options, rows[i].bytes, 0, &mine);
        if (timing.summary.count == 0)
            continue;
        assert_string_equal(timing.as, rows[i].options.as);
        assert_int_equal(timing.summary.count, rows[i].iterations);
        assert_int_equal(mine.times, rows[i].iterations + rows[i].warmup);
        assert_true(timing.quoted > 0 && isfinite(timing.quoted));
    }
}

static void least_of_means(void **state)
{
    const struct timing_options options = { .iterations = 2, .as = "netpipe" };
    struct work mine;
    struct timing timing = run_pairs(&options, 8, 2000000, &mine);
    (void)state;

    if (timing.summary.count == 0)
        return;
    assert_int_equal(timing.summary.count, 2);
    assert_true(timing.quoted >= 2e-3 && timing.quoted <= timing.quoted_max);
    const double quoted = timing.quoted;
    pair_scale(&timing, 0.5);
    assert_true(timing.quoted == quoted / 2);
}

int main(int argc, char **argv)
{
    static const struct arg none[] = { ARGS_END };
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_samples), cmocka_unit_test(follows_suites),
        cmocka_unit_test(least_of_means),
    };
    enum status status = world_open(&w, argc, argv, MPI_THREAD_SINGLE, 1, none);

    if (status == PASS)
        status = run(&w, tests, LENGTH(tests));
    return world_close(&w, status);
}
