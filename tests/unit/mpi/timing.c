/*
 * timing - budgets, the stop, the slowest rank, and that all ranks leave together
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
#include <math.h>
#include <string.h>
#include <time.h>

#include "local/lib/clock.h"
#include "mpi/lib/timing.h"
#include "tests/unit/mpi/run.h"

#define LENGTH(array) (sizeof(array) / sizeof *(array))

static struct world w;

/* An operation that one rank is late with, and that counts how often it ran. */
struct work {
    int sleeper; /* -1: none */
    long millis;
    size_t calls;
};

static void work(void *arg)
{
    struct work *work = arg;
    const struct timespec pause = { 0, work->millis * 1000000 };

    work->calls++;
    if (w.rank == work->sleeper)
        nanosleep(&pause, NULL);
}

/* Rank 0 decides how often; the others must have done the same. */
static void check_calls(const struct work *work, size_t least)
{
    int64_t ends[2] = { (int64_t)work->calls, -(int64_t)work->calls };

    MPI_Allreduce(MPI_IN_PLACE, ends, 2, MPI_INT64_T, MPI_MIN, w.comm);
    assert_true(ends[0] == -ends[1]);
    assert_true(work->calls >= least);
}

static void check_start(const struct timing *timing, const char *asked)
{
    const bool window = strcmp(asked, "window") == 0;

    assert_int_equal(timing->refused, window && w.oversubscribed);
    if (!window || w.oversubscribed || timing->late_share > 0.1)
        assert_string_equal(timing->start, "barrier");
    else
        assert_string_equal(timing->start, "window");
    assert_true(window || timing->late_share == 0);
    assert_true(timing->late_share >= 0 && timing->late_share <= 1);
    assert_true(timing->skew_secs >= 0);
}

static void check_summary(const struct summary *got, size_t count)
{
    assert_true(got->count >= 1);
    assert_int_equal(got->has_ci, got->count >= STATS_CI_MIN);
    assert_true(got->median >= 0 && got->p10 <= got->median && got->median <= got->p90);
    if (count > 0)
        assert_int_equal(got->count, count);
}

/* On a machine that others keep busy the budget may end a row before its iterations do. */
static bool is_over(int64_t begin, const struct timing_options *options)
{
    return clock_secs(begin, clock_ns()) >= options->secs;
}

static const struct row {
    struct timing_options options;
    long millis;      /* that the last rank sleeps */
    size_t count;     /* samples, 0: as many as it takes */
    enum stop stop;   /* STOP_NOT: whichever */
} rows[] = {
    { { 2, 1, 0, "barrier" }, 2, 1, STOP_ITERATIONS },
    { { 2, 7, 0, "barrier" }, 2, 7, STOP_ITERATIONS },
    { { 2, 7, 40, "window" }, 2, 7, STOP_ITERATIONS },
    { { 2, 1, 3, "window" }, 0, 1, STOP_ITERATIONS },
    { { 1e-9, 100000, 0, "barrier" }, 2, 1, STOP_TIME },
    { { 0, 100000, 0, "barrier" }, 0, 1, STOP_TIME },
    { { 0, 100000, 5, "window" }, 0, 0, STOP_NOT },
    { { 0.1, 100000, 5, "barrier" }, 2, 0, STOP_NOT },
    { { 0.1, 100000, 5, "window" }, 2, 0, STOP_NOT },
    { { 0.1, 20000, 5, "barrier" }, 0, 0, STOP_NOT },
    { { 0.1, 20000, 5, "window" }, 0, 0, STOP_NOT },
    { { 0.01, 3, 100, "barrier" }, 0, 0, STOP_NOT },
};

static void runs(void **state)
{
    const struct row *row = *state;
    const struct timing_options options = row->options;
    struct work mine = { .sleeper = row->millis ? w.size - 1 : -1, .millis = row->millis };

    const int64_t begin = clock_ns();
    const struct timing timing = timing_run(&w, &options, 0, work, &mine);
    const bool over = row->stop == STOP_ITERATIONS && is_over(begin, &options);
    const struct summary none = { 0 };

    check_calls(&mine, timing.summary.count + (options.warmup > 0));
    assert_int_equal(timing.clocks, 1);
    assert_true(timing.residual_secs == 0);
    if (w.rank > 0) {
        assert_memory_equal(&timing.summary, &none, sizeof none);
        return;
    }
    check_start(&timing, options.start);
    check_summary(&timing.summary, over ? 0 : row->count);
    assert_true(timing.summary.count <= options.iterations);
    assert_int_not_equal(timing.stop, STOP_NOT);
    if (row->stop && !over)
        assert_int_equal(timing.stop, row->stop);
    assert_true(timing.summary.median >= 1e-3 * (double)row->millis);
}

/* Each rank in turn is the one that the others wait for: longer and longer, until that is longer
 * than a busy machine keeps another rank from its core. */
static void slowest(void **state)
{
    const struct timing_options options = { .secs = 0.5, .iterations = 5, .warmup = 1,
                                            .start = "barrier" };
    (void)state;

    for (int rank = 0; rank < w.size; rank++) {
        struct work mine = { .sleeper = rank, .millis = 20 };
        int slowest = -1;
        for (int i = 0; i < 10 && slowest != rank; i++, mine.millis *= 2) {
            slowest = timing_run(&w, &options, 0, work, &mine).slowest_rank;
            MPI_Bcast(&slowest, 1, MPI_INT, 0, w.comm);
        }
        assert_int_equal(slowest, rank);
    }
}

/* At least as many as asked before the first sample, within the budget. */
static void warms_up(void **state)
{
    static const size_t warmups[] = { 0, 1, 33, 100 };
    (void)state;

    for (size_t i = 0; i < LENGTH(warmups); i++) {
        const struct timing_options options = { .secs = 2, .iterations = 1, .warmup = warmups[i],
                                                .start = "barrier" };
        struct work mine = { .sleeper = -1 };
        const int64_t begin = clock_ns();
        timing_run(&w, &options, 0, work, &mine);
        const bool decides = w.rank == 0 && !is_over(begin, &options);
        check_calls(&mine, decides ? warmups[i] + 1 : 1);
    }
}

static const struct field *field(const struct record *record, const char *name)
{
    for (int i = 0; i < record->count; i++)
        if (strcmp(record->fields[i].name, name) == 0)
            return &record->fields[i];
    fail_msg("no field %s", name);
    return NULL;
}

static void fields(void **state)
{
    static const struct {
        double median;
        uint64_t bytes;
        bool verified;
        double rate; /* NAN: null */
    } table[] = {
        { 2, 8, true, 4 },   { 2, 8, false, NAN }, { 2, 0, true, 0 },
        { 0, 0, true, NAN }, { 0, 8, true, NAN }, /* quicker than the clock can tell */
    };
    (void)state;

    for (size_t i = 0; i < LENGTH(table); i++) {
        const double median = table[i].median;
        const struct timing timing = {
            .summary = { 10, median, median, median, true, median, median },
            .stop = STOP_TIME, .slowest_rank = 3, .start = "window", .late_share = 0.05,
            .clocks = 2, .residual_secs = 1e-6,
        };
        struct record record = { 0 };

        timing_fields(&record, &timing, table[i].bytes, table[i].verified);
        assert_int_equal(field(&record, "bytes")->number, table[i].bytes);
        assert_int_equal(field(&record, "iterations")->number, 10);
        assert_int_equal(field(&record, "median_s")->kind,
                         table[i].verified ? FIELD_REAL : FIELD_NULL);
        const struct field *rate = field(&record, "bytes_per_s");
        assert_int_equal(rate->kind, isnan(table[i].rate) ? FIELD_NULL : FIELD_REAL);
        assert_true(rate->kind == FIELD_NULL || rate->real == table[i].rate);
        assert_int_equal(field(&record, "slowest_rank")->number, 3);
        assert_string_equal(field(&record, "stop")->text, "time");
        assert_string_equal(field(&record, "start")->text, "window");
        assert_true(field(&record, "late_share")->real == 0.05);
        assert_int_equal(field(&record, "clocks")->number, 2);
        assert_true(field(&record, "residual_s")->real == 1e-6);
        assert_false(field(&record, "residual_s")->aside); /* two clocks: people must see it */
        assert_true(field(&record, "stop")->aside);
        assert_false(record.aside);
    }
}

/* What must be said is said, and nothing else. */
static void notes(void **state)
{
    static const struct {
        struct timing timing;
        const char *part; /* NULL: nothing is said */
    } table[] = {
        { { .clocks = 1, .start = "barrier" }, NULL },
        { { .clocks = 1, .start = "window", .late_share = 0.1 }, NULL },
        { { .clocks = 1, .start = "barrier", .late_share = 0.25 }, "25 %" },
        { { .clocks = 1, .start = "barrier", .refused = true }, "oversubscribed" },
        { { .clocks = 4, .residual_secs = 2e-6, .summary.median = 1 }, NULL },
        { { .clocks = 4, .residual_secs = 2e-6, .summary.median = 1e-5 },
          "4 clocks differ by up to 2.0 us" },
    };
    (void)state;

    for (size_t i = 0; i < LENGTH(table); i++) {
        char text[1024];
        struct program program = { .speaks = true, .report.file = tmpfile() };

        timing_notes(&program, &table[i].timing);
        rewind(program.report.file);
        text[fread(text, 1, sizeof text - 1, program.report.file)] = '\0';
        fclose(program.report.file);
        assert_true(table[i].part ? strstr(text, table[i].part) != NULL : *text == '\0');
    }
}

/* As many operations as the suite does, and the figures that it prints: means of the ranks. */
static void follows_suites(void **state)
{
    static const struct {
        const char *as;
        uint64_t bytes;
        size_t iterations, calls;
    } suites[] = {
        { "osu", 8, 100000, 1100 },   { "osu", 8193, 100000, 110 },    { "osu", 8, 3, 103 },
        { "imb", 0, 100000, 1004 },   { "imb", 4 << 20, 100000, 14 },  { "imb", 8, 3, 7 },
    };
    struct work mine = { .sleeper = 0 };
    (void)state;

    for (size_t i = 0; i < LENGTH(suites); i++) {
        const struct timing_options options = { .iterations = suites[i].iterations,
                                                .as = suites[i].as, .start = "barrier" };
        mine.calls = 0;
        mine.millis = suites[i].calls < 20; /* the others may leave early: nothing is exchanged */
        const struct timing timing = timing_run(&w, &options, suites[i].bytes, work, &mine);
        assert_int_equal(mine.calls, suites[i].calls);
        if (w.rank > 0)
            continue;
        assert_true(timing.quoted_min <= timing.quoted && timing.quoted <= timing.quoted_max);
        assert_true(timing.quoted_max >= 1e-3 * (double)mine.millis);
        struct record record = { 0 };
        timing_fields(&record, &timing, suites[i].bytes, true);
        assert_string_equal(record_field(&record, "as")->text, suites[i].as);
        assert_true(record_field(&record, "mean_s")->real == timing.quoted);
        assert_null(record_field(&record, "median_s"));
    }
}

int main(int argc, char **argv)
{
    static const struct arg none[] = { ARGS_END };
    const struct CMUnitTest others[] = {
        cmocka_unit_test(slowest), cmocka_unit_test(warms_up), cmocka_unit_test(notes),
        cmocka_unit_test(fields), cmocka_unit_test(follows_suites),
    };
    struct CMUnitTest tests[LENGTH(rows) + LENGTH(others)];
    static char names[LENGTH(rows)][64];
    enum status status = world_open(&w, argc, argv, MPI_THREAD_SINGLE, 1, none);

    for (size_t i = 0; i < LENGTH(rows); i++) {
        const struct timing_options *options = &rows[i].options;
        snprintf(names[i], sizeof names[i], "%gs, %zu iterations, warm-up %zu, %s", options->secs,
                 options->iterations, options->warmup, options->start);
        tests[i] = (struct CMUnitTest){ .name = names[i], .test_func = runs,
                                        .initial_state = (void *)(uintptr_t)&rows[i] };
    }
    memcpy(tests + LENGTH(rows), others, sizeof others);
    if (status == PASS)
        status = run(&w, tests, LENGTH(tests));
    return world_close(&w, status);
}
