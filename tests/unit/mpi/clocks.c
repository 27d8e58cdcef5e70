/*
 * clocks - one time for all ranks, also where their clocks are known to differ
 *
 * With --offsets every rank whose number is not 0 enters a time namespace of its own before MPI
 * begins, so that its monotonic clock is ahead by as many seconds: the true offset is then known.
 * That needs root, or namespaces for users.
 *
 * Test: -n 1
 * Test: -n 2
 * Test: -n 3
 * Test: -n 5
 * Test: -n 2 --offsets 0:100
 * Test: -n 2 --offsets 100:0
 * Test: -n 3 --offsets 0:100:-50
 * Test: -n 4 --offsets 0:7:0:-20
 * Test: -n 5 --offsets 30:-40:1000:0:100000
 */
#ifdef __linux__
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#endif
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "local/lib/clock.h"
#include "mpi/lib/clocks.h"
#include "mpi/lib/timing.h"
#include "tests/unit/mpi/run.h"

#define LENGTH(array) (sizeof(array) / sizeof *(array))

enum { MOST = 64, POINTS = 20 };

static struct world w;
static int offsets[MOST]; /* of each rank's clock, in seconds */

/* Offset at time t: base + slope * t, and noise that goes up and down. */
static void fits(void **state)
{
    static const struct {
        double base, slope, noise;
        int count, best;
        double at_base, fitted; /* fitted NAN: level, through the best point */
    } rows[] = {
        { 0, 0, 0, POINTS, 3, 0, 0 },
        { 250, 0, 0, POINTS, 0, 250, 0 },
        { 250, 1e-6, 0, POINTS, 7, 250, 1e-6 },
        { -4e6, -50e-6, 0, POINTS, 19, -4e6, -50e-6 },
        { 250, 10e-6, 100, POINTS, 5, 250, 10e-6 },  /* 9500 ns over it all, noise of 100 */
        { 250, 0, 100, POINTS, 4, 250, NAN },        /* noise alone is no drift */
        { 250, 0.05e-6, 100, POINTS, 5, 250, NAN },  /* nor is a slope that noise may be */
        { 250, 1e-6, 0, 3, 0, 250, 1e-6 },
        { 250, 1e-6, 0, 2, 1, 250, NAN },
        { 250, 1e-6, 0, 1, 0, 250, NAN },
    };
    (void)state;

    for (size_t i = 0; i < LENGTH(rows); i++) {
        double time[POINTS], offset[POINTS];
        for (int k = 0; k < POINTS; k++) {
            const int noise = k * 7 % 5 - 2; /* -2 ... 2, without a trend */
            time[k] = 50e6 * k;
            offset[k] = rows[i].base + rows[i].slope * time[k] + rows[i].noise / 2 * noise;
        }
        const struct line line = clocks_fit(time, offset, rows[i].count, rows[i].best);
        if (isnan(rows[i].fitted)) {
            assert_true(line.slope == 0 && line.at_base == offset[rows[i].best]);
        } else {
            assert_true(fabs(line.slope - rows[i].fitted) <= 0.02 * fabs(rows[i].fitted));
            assert_true(fabs(line.at_base - rows[i].at_base) <= rows[i].noise + 1e-6);
        }
    }
}

static void same_moment(void **state)
{
    const double time[5] = { 4, 4, 4, 4, 4 }, offset[5] = { 1, 2, 3, 2, 1 };
    const struct line line = clocks_fit(time, offset, 5, 2);
    (void)state;

    assert_true(line.slope == 0 && line.at_base == 3);
}

static void converts(void **state)
{
    static const struct {
        struct clocks clocks;
        int64_t local, global;
    } rows[] = {
        { { .base_ns = 0 }, 123, 123 },
        { { .base_ns = 50, .offset_ns = -7 }, 123, 116 },
        { { .base_ns = 1000000000, .offset_ns = 5, .drift = 1e-6 }, 2000000000, 2000001005 },
        { { .base_ns = 1000000000, .offset_ns = 5, .drift = 1e-6 }, 0, -995 },
        { { .base_ns = INT64_C(9000000000000000000), .offset_ns = INT64_C(-8999999999999999999) },
          INT64_C(9000000000000000001), 2 },
    };
    (void)state;

    for (size_t i = 0; i < LENGTH(rows); i++)
        assert_true(clocks_global_ns(&rows[i].clocks, rows[i].local) == rows[i].global);
}

/* Ranks of one node have one clock: nothing is estimated, so nothing is wrong. */
static void one_clock(void **state)
{
    struct clocks clocks;
    int sharing;
    (void)state;

    clocks_open(&clocks, &w);
    for (int i = 0; i < 2; i++) {
        const int64_t local = clock_ns();
        assert_true(clocks_global_ns(&clocks, local) == local);
        assert_true(clocks_residual(&clocks) == 0);
        clocks_sync(&clocks, 0.01);
    }
    assert_int_equal(clocks.count, 1);
    MPI_Comm_size(clocks.sharing, &sharing);
    assert_int_equal(sharing, w.size);
    assert_int_equal(clocks.leaders != MPI_COMM_NULL, w.rank == 0);
    clocks_close(&clocks);
}

static int64_t offset_ns(int rank)
{
    return (int64_t)offsets[rank] * 1000000000;
}

/* How wrong this rank's idea of rank 0's clock is. */
static double error_secs(const struct clocks *clocks)
{
    const int64_t local = clock_ns(), truth = local - offset_ns(w.rank) + offset_ns(0);

    return fabs(clock_secs(truth, clocks_global_ns(clocks, local)));
}

/* The largest error of any rank: right after, and a while later, when a wrong drift would show. */
static double largest_error(const struct clocks *clocks)
{
    const struct timespec pause = { 0, 200000000 };
    double error = fmax(error_secs(clocks), clocks_residual(clocks));

    nanosleep(&pause, NULL);
    error = fmax(error, fmax(error_secs(clocks), clocks_residual(clocks)));
    MPI_Allreduce(MPI_IN_PLACE, &error, 1, MPI_DOUBLE, MPI_MAX, w.comm);
    return error;
}

/* The slowest of some messages at this moment: no estimate from messages can be expected to be much
 * better on a machine that others keep busy. Offsets are whole seconds: a wrong one never comes near. */
static double slowest_message(void)
{
    double slowest = 0;

    for (int i = 0; i < 20; i++) {
        const int64_t begin = clock_ns();
        MPI_Barrier(w.comm);
        slowest = fmax(slowest, clock_secs(begin, clock_ns()));
    }
    MPI_Allreduce(MPI_IN_PLACE, &slowest, 1, MPI_DOUBLE, MPI_MAX, w.comm);
    return fmin(slowest, 0.5);
}

enum { TRIES = 1000 };

static void known_offsets(void **state)
{
    struct clocks clocks;
    double error = INFINITY, good = 0;
    int count = 0, sharing = 0, expected = 0;
    (void)state;

    for (int rank = 0, zeros = 0; rank < w.size; rank++) {
        count += offsets[rank] != 0 || zeros++ == 0;
        expected += offsets[rank] == 0;
    }
    clocks_open(&clocks, &w);
    assert_int_equal(clocks.count, count);
    MPI_Comm_size(clocks.sharing, &sharing);
    assert_int_equal(sharing, offsets[w.rank] == 0 ? expected : 1);
    assert_true(w.size == 1 || clocks_residual(&clocks) > 1); /* not synchronised yet */
    for (int i = 0; i < TRIES && error >= good; i++) {
        clocks_sync(&clocks, 0.2);
        error = largest_error(&clocks);
        good = fmax(1e-3, slowest_message());
    }
    assert_true(error < good);
    clocks_close(&clocks);
}

static void sleep_on_last(void *arg)
{
    const struct timespec pause = { 0, 2000000 };

    (void)arg;
    if (w.rank == w.size - 1)
        nanosleep(&pause, NULL);
}

/* Uncorrected, a sample would be off by the offset: seconds, of either sign. */
static void timing_over_clocks(void **state)
{
    const struct timing_options options = { .secs = 0.2, .iterations = 30, .start = "barrier" };
    int near = false;
    (void)state;

    for (int i = 0; i < TRIES && !near; i++) {
        const struct timing timing = timing_run(&w, &options, 0, sleep_on_last, NULL);
        assert_true(timing.clocks > 1);
        near = timing.summary.median > 1e-3 && timing.summary.median < 0.9;
        MPI_Bcast(&near, 1, MPI_INT, 0, w.comm);
    }
    assert_true(near);
}

/* Moves this process into a time namespace; its children need not follow. */
static bool enter_namespace(int secs)
{
#ifdef __linux__
    const int time_namespace = 0x80; /* CLONE_NEWTIME, which older headers lack */
    bool entered = false;

    if (unshare(time_namespace) && unshare(time_namespace | CLONE_NEWUSER))
        return false;
    FILE *file = fopen("/proc/self/timens_offsets", "w");
    if (!file)
        return false;
    const int printed = fprintf(file, "monotonic %d 0\n", secs);
    if (fclose(file) || printed < 0)
        return false;
    const int fd = open("/proc/self/ns/time_for_children", O_RDONLY);
    if (fd >= 0) {
        entered = setns(fd, time_namespace) == 0;
        close(fd);
    }
    return entered;
#else
    return secs == 0;
#endif
}

/* The rank that this process will have, as launchers tell it. */
static int rank_to_be(void)
{
    static const char *const names[] = { "OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK",
                                         "SLURM_PROCID" };

    for (size_t i = 0; i < LENGTH(names); i++)
        if (getenv(names[i]))
            return atoi(getenv(names[i]));
    return -1;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest plain[] = {
        cmocka_unit_test(fits), cmocka_unit_test(same_moment), cmocka_unit_test(converts),
        cmocka_unit_test(one_clock),
    };
    const struct CMUnitTest shifted[] = {
        cmocka_unit_test(known_offsets), cmocka_unit_test(timing_over_clocks),
    };
    static const char *list;
    static const struct arg options[] = {
        { "offsets", ARG_TEXT, &list, "seconds that each rank's clock is ahead, 0:100:-50" },
        ARGS_END,
    };
    const int rank = rank_to_be();
    int entered = true;

    char *next = argc > 2 ? argv[2] : "0";
    for (int i = 0; i < MOST && *next; i++, next += *next == ':')
        offsets[i] = (int)strtol(next, &next, 10);
    if (argc > 2)
        entered = rank >= 0 && rank < MOST &&
                  (offsets[rank] == 0 || enter_namespace(offsets[rank]));
    enum status status = world_open(&w, argc, argv, MPI_THREAD_SINGLE, 1, options);
    if (status == PASS && !list)
        status = run(&w, plain, LENGTH(plain));
    else if (status == PASS) {
        MPI_Allreduce(MPI_IN_PLACE, &entered, 1, MPI_INT, MPI_MIN, w.comm);
        if (!entered && w.rank == 0)
            program_error("--offsets: no time namespaces here: run it as root, on Linux 5.6"
                          " or newer");
        status = entered ? run(&w, shifted, LENGTH(shifted)) : UNABLE;
    }
    return world_close(&w, status);
}
