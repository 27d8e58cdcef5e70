/*
 * stats - quantiles, the rank and the coverage of the interval, the stop rule
 *
 * Test:
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "local/lib/stats.h"

#define LENGTH(array) (sizeof(array) / sizeof *(array))

/* Samples 1 ... count, shuffled, have these order statistics. */
static void quantiles(void **state)
{
    static const struct {
        size_t count;
        double median, p10, p90;
        bool has_ci;
        double ci_low, ci_high;
    } rows[] = {
        { 1, 1, 1, 1 },     { 2, 1, 1, 2 },        { 3, 2, 1, 3 },         { 4, 2, 1, 4 },
        { 5, 3, 1, 5 },
        { 6, 3, 1, 6, true, 1, 6 },                { 7, 4, 1, 7, true, 1, 7 },
        { 9, 5, 1, 9, true, 2, 8 },                { 10, 5, 1, 9, true, 2, 9 },
        { 11, 6, 2, 10, true, 2, 10 },             { 20, 10, 2, 18, true, 6, 15 },
        { 21, 11, 3, 19, true, 6, 16 },            { 30, 15, 3, 27, true, 10, 21 },
        { 100, 50, 10, 90, true, 40, 61 },         { 1000, 500, 100, 900, true, 469, 532 },
        { 100000, 50000, 10000, 90000, true, 49690, 50311 },
    };
    (void)state;

    for (size_t i = 0; i < LENGTH(rows); i++) {
        const size_t count = rows[i].count, step = count > 7 ? 7919 : 1; /* a prime: all are met */
        double *samples = malloc(count * sizeof *samples);
        struct summary got;

        for (size_t k = 0; k < count; k++)
            samples[k] = (double)(count - k * step % count);
        assert_int_equal(stats_summarize(samples, count, &got), 0);
        for (size_t k = 0; k < count; k++)
            assert_true(samples[k] == (double)(k + 1));
        free(samples);
        assert_int_equal(got.count, count);
        assert_true(got.mean == (double)(count + 1) / 2);
        assert_true(got.median == rows[i].median);
        assert_true(got.p10 == rows[i].p10 && got.p90 == rows[i].p90);
        assert_int_equal(got.has_ci, rows[i].has_ci);
        if (got.has_ci)
            assert_true(got.ci_low == rows[i].ci_low && got.ci_high == rows[i].ci_high);
    }
}

static void odd_samples(void **state)
{
    double mixed[] = { 3, -1, 0.5, 3, 3 }, same[] = { 2, 2, 2, 2, 2, 2 };
    struct summary got;
    (void)state;

    assert_int_equal(stats_summarize(mixed, 5, &got), 0);
    assert_true(got.median == 3 && got.p10 == -1 && got.p90 == 3 && !got.has_ci);
    assert_int_equal(stats_summarize(same, 6, &got), 0);
    assert_true(got.median == 2 && got.ci_low == 2 && got.ci_high == 2 && got.has_ci);
}

static void no_samples(void **state)
{
    struct summary got = { .count = 42, .median = 7 };
    (void)state;

    errno = 0;
    assert_int_equal(stats_summarize(&got.median, 0, &got), -1);
    assert_int_equal(errno, EINVAL);
    assert_true(got.count == 42 && got.median == 7);
}

/* From exact binomial sums in rational arithmetic, not from a formula of floating point. */
static void interval(void **state)
{
    static const struct {
        size_t count, rank;
        double coverage;
    } rows[] = {
        { 0, 0, 0 },
        { 1, 0, 0 },
        { 2, 0, 0 },
        { 3, 0, 0 },
        { 4, 0, 0 },
        { 5, 0, 0 },
        { 6, 1, 0.96875 },
        { 7, 1, 0.984375 },
        { 8, 1, 0.9921875 },
        { 9, 2, 0.9609375 },
        { 10, 2, 0.978515625 },
        { 11, 2, 0.98828125 },
        { 12, 3, 0.96142578125 },
        { 13, 3, 0.9775390625 },
        { 14, 3, 0.987060546875 },
        { 15, 4, 0.96484375 },
        { 16, 4, 0.978729248046875 },
        { 17, 5, 0.950958251953125 },
        { 18, 5, 0.9691162109375 },
        { 19, 5, 0.980789184570312 },
        { 20, 6, 0.958610534667969 },
        { 21, 6, 0.973396301269531 },
        { 22, 6, 0.983099460601807 },
        { 23, 7, 0.965310335159302 },
        { 24, 7, 0.977344155311584 },
        { 25, 8, 0.956714749336243 },
        { 26, 8, 0.971040725708008 },
        { 27, 8, 0.980842709541321 },
        { 28, 9, 0.964301861822605 },
        { 29, 9, 0.975880455225706 },
        { 30, 10, 0.957226054742932 },
        { 50, 18, 0.967160862435732 },
        { 100, 40, 0.964799799782295 },
        { 1000, 469, 0.953708802639502 },
        { 100000, 49690, 0.9504442853304751 },
    };
    (void)state;

    for (size_t i = 0; i < LENGTH(rows); i++) {
        double coverage = -1;
        assert_int_equal(stats_ci_rank(rows[i].count, &coverage), rows[i].rank);
        assert_int_equal(stats_ci_rank(rows[i].count, NULL), rows[i].rank);
        assert_true(fabs(coverage - rows[i].coverage) < 1e-7);
        assert_int_equal(rows[i].rank > 0, rows[i].count >= STATS_CI_MIN);
    }
}

/* By Pascal's triangle: the interval covers 95 %, and the next narrower one does not. */
static void coverage_of_every_count(void **state)
{
    enum { MOST = 500 };
    static double exactly[MOST + 1] = { 1 }; /* P(B = k) for B ~ Binomial(count, 1/2) */
    (void)state;

    for (size_t count = 1; count <= MOST; count++) {
        double coverage, below = 0;

        for (size_t k = count; k > 0; k--)
            exactly[k] = (exactly[k] + exactly[k - 1]) / 2;
        exactly[0] /= 2;
        const size_t rank = stats_ci_rank(count, &coverage);
        for (size_t k = 0; k < rank; k++)
            below += exactly[k];
        assert_true(below <= 0.025 && below + exactly[rank] > 0.025);
        assert_true(rank == 0 || (coverage >= 0.95 && fabs(coverage - 1 + 2 * below) < 1e-9));
        assert_true(2 * rank <= count);
    }
}

static void stop_rule(void **state)
{
    static const struct stop_rule usual = STOP_RULE_DEFAULT;
    static const struct stop_rule hasty = { .min_iterations = 0, .max_iterations = 8, .secs = 1,
                                            .width = 0.02 };
    static const struct {
        const struct stop_rule *rule;
        size_t count;
        double spread, elapsed; /* samples go evenly from 100 to 100 + spread */
        enum stop expected;
    } rows[] = {
        { &usual, 0, 0, 0, STOP_NOT },
        { &usual, 0, 0, 9, STOP_NOT }, /* there must be something to report */
        { &usual, 1, 0, 0.9, STOP_NOT },
        { &usual, 1, 0, 1, STOP_TIME },
        { &usual, 29, 0, 0.5, STOP_NOT },
        { &usual, 30, 0, 0.5, STOP_CONVERGED },
        { &usual, 30, 0, 1, STOP_TIME },
        { &usual, 30, 5, 0.5, STOP_CONVERGED }, /* 11 of 29 steps: 1.9 of 102.4 */
        { &usual, 30, 6, 0.5, STOP_NOT },       /* 2.3 of 102.9 */
        { &usual, 3000, 6, 0.5, STOP_CONVERGED },
        { &usual, 3000, 900, 0.5, STOP_NOT },
        { &usual, 100000, 0, 0.5, STOP_ITERATIONS },
        { &usual, 100000, 900, 2, STOP_ITERATIONS },
        { &usual, 99999, 90000, 0.1, STOP_CONVERGED },
        { &usual, 99999, 90000, 0.09, STOP_NOT }, /* too short a time to tell */
        { &hasty, 5, 0, 0.5, STOP_NOT }, /* no interval yet */
        { &hasty, 6, 0, 0.5, STOP_CONVERGED },
        { &hasty, 6, 90, 0.5, STOP_NOT },
        { &hasty, 8, 90, 0, STOP_ITERATIONS },
        { &hasty, 9, 90, 0, STOP_ITERATIONS },
    };
    (void)state;

    for (size_t i = 0; i < LENGTH(rows); i++) {
        const size_t count = rows[i].count;
        double *samples = malloc((count + 1) * sizeof *samples);

        for (size_t k = 0; k < count; k++)
            samples[k] = 100 + (count > 1 ? rows[i].spread * (double)k / (double)(count - 1) : 0);
        const enum stop got = stats_stop(rows[i].rule, samples, count, rows[i].elapsed);
        free(samples);
        if (got != rows[i].expected)
            print_error("row %zu: %s\n", i, stats_stop_name(got));
        assert_int_equal(got, rows[i].expected);
    }
}

static void names(void **state)
{
    (void)state;
    assert_string_equal(stats_stop_name(STOP_NOT), "not yet");
    assert_string_equal(stats_stop_name(STOP_CONVERGED), "converged");
    assert_string_equal(stats_stop_name(STOP_TIME), "time");
    assert_string_equal(stats_stop_name(STOP_ITERATIONS), "iterations");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quantiles),  cmocka_unit_test(odd_samples),
        cmocka_unit_test(no_samples), cmocka_unit_test(interval),
        cmocka_unit_test(coverage_of_every_count),
        cmocka_unit_test(stop_rule),  cmocka_unit_test(names),
    };

    return cmocka_run_group_tests_name("stats", tests, NULL, NULL) != 0;
}
