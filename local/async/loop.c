/*
 * loop - an event loop: callbacks in turn, one thread, and what one that blocks does to all
 *
 * Timers call A, B and C in turn, one every --interval, until --deadline. Meanwhile a second timer
 * fires every millisecond and measures how late it is: the lag of the loop. A callback is not
 * interrupted, so nobody else runs before it has returned. The clock of the loop is read once a turn
 * (uv_now); a timer is due by that clock.
 *
 * What can go wrong: a callback blocks for --hold, for instance in a system call (--fault block).
 * The other timer is late by that much, and so is everybody.
 *
 * Run:     make run P=loop ARGS="--show"
 * Try:     --fault block --hold 50ms, and 200ms: how late is the other timer?
 * Try:     --interval 100us: more calls than a timer can tell apart
 * Test:    --show --deadline 50ms
 * Test:    --interval 1ms --deadline 20ms
 * Test:    --deadline 0
 * Test(1): --fault block --deadline 50ms
 * Test(1): --fault block --hold 100ms --deadline 30ms
 * Test(1): --fault block --hold 2ms --deadline 1ms
 * Test:    --fault block --hold 0
 * Test:    --fault block --deadline 0
 * Test(2): --interval 0
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "local/lib/clock.h"
#include "local/lib/program.h"
#include "local/lib/stats.h"

enum { LAGS_MAX = 100000 };

static struct {
    double interval, deadline, hold;
    bool show;
    const char *fault;
} opt = { .interval = 10e-3, .deadline = 300e-3, .hold = 20e-3 };

static const struct arg options[] = {
    { "interval", ARG_SECS, &opt.interval, "time from one call to the next, whole milliseconds",
      .max = 1000000 },
    { "deadline", ARG_SECS, &opt.deadline, "so long after the first call none begins" },
    { "hold", ARG_SECS, &opt.hold, "block: how long one callback blocks" },
    { "fault", ARG_CHOICE, &opt.fault, "make a mistake on purpose", .choices = "block" },
    { "show", ARG_FLAG, &opt.show, "the calls, with their times" },
    ARGS_END,
};

struct run {
    uv_timer_t turn, beat; /* A, B, C; and the one that measures */
    int64_t begin_ns, due_ns;
    size_t calls, out_of_order;
    char last;
    double *lags;
    size_t lag_count;
    double largest;
    int64_t block_end_ns; /* of the callback that blocks, at the earliest; 0: none has */
    double blocked_lag;   /* of the beat that was due while it did; 0: there was none */
    struct program *program;
};

static double now_secs(const struct run *run)
{
    return clock_secs(run->begin_ns, clock_ns());
}

static void end(struct run *run)
{
    uv_close((uv_handle_t *)&run->turn, NULL);
    uv_close((uv_handle_t *)&run->beat, NULL);
}

static uint64_t millis(double secs)
{
    return (uint64_t)(1e3 * secs + 0.5);
}

static void on_beat(uv_timer_t *timer);

/* Due in a millisecond. */
static void start_beat(struct run *run)
{
    uv_update_time(run->beat.loop); /* the loop's clock is that of the turn's beginning */
    run->due_ns = clock_ns() + 1000000;
    uv_timer_start(&run->beat, on_beat, 1, 0);
}

static void on_beat(uv_timer_t *timer)
{
    struct run *const run = timer->data;
    const double lag = clock_secs(run->due_ns, clock_ns());

    if (run->due_ns < run->block_end_ns)
        run->blocked_lag = fmax(run->blocked_lag, lag);
    if (run->lag_count < LAGS_MAX)
        run->lags[run->lag_count++] = lag;
    run->largest = fmax(run->largest, lag);
    start_beat(run);
}

static void on_turn(uv_timer_t *timer)
{
    struct run *const run = timer->data;
    if (run->calls == 0) { /* however late that is */
        run->begin_ns = clock_ns();
        start_beat(run);
    }
    const double now = now_secs(run);
    const char name = (char)('A' + run->calls % 3);

    if (now >= opt.deadline) {
        end(run);
        return;
    }
    run->out_of_order += run->calls > 0 && name != (run->last == 'C' ? 'A' : run->last + 1);
    run->last = name;
    run->calls++;
    if (opt.show)
        fprintf(program_text(run->program), "%c at %.1f ms\n", name, 1e3 * now);
    if (opt.fault && run->calls == 1) {
        run->block_end_ns = clock_ns() + (int64_t)(1e9 * opt.hold);
        clock_sleep(opt.hold); /* the mistake: the loop stands still */
    }
    /* The next one, or the deadline if that comes before. */
    const double left = opt.deadline - now_secs(run);
    uv_update_time(timer->loop);
    uv_timer_start(timer, on_turn, millis(fmax(0, fmin(opt.interval, left))), 0);
}

static int run_loop(struct run *run)
{
    uv_loop_t loop;

    int error = uv_loop_init(&loop);
    if (error)
        return error;
    uv_timer_init(&loop, &run->turn);
    uv_timer_init(&loop, &run->beat);
    run->turn.data = run->beat.data = run;
    uv_timer_start(&run->turn, on_turn, 0, 0);
    uv_run(&loop, UV_RUN_DEFAULT);
    return uv_loop_close(&loop); /* UV_EBUSY: a handle was forgotten */
}

static enum status check(struct program *program, const struct run *run, int error)
{
    if (error)
        return program_verdict(program, false, "the loop: %s", uv_strerror(error));
    if (run->out_of_order > 0)
        return program_verdict(program, false, "%zu calls came out of turn", run->out_of_order);
    if (opt.deadline > 0 && run->calls == 0)
        return program_verdict(program, false, "nobody was called");
    if (run->blocked_lag > 0)
        return program_verdict(program, false, "block: a callback blocked for %.1f ms, and a timer "
                               "that has nothing to do with it was late by %.1f ms",
                               1e3 * opt.hold, 1e3 * run->blocked_lag);
    return PASS;
}

int main(int argc, char **argv)
{
    struct program program;
    enum status status = program_open(&program, argc, argv, options, NULL);
    struct run run = { .program = &program, .lags = malloc(LAGS_MAX * sizeof *run.lags) };

    if (status == PASS && opt.interval < 1e-3)
        status = program_usage(&program, "--interval: a timer of the loop counts whole "
                               "milliseconds: give 1ms or more");
    if (status == PASS && !run.lags) {
        program_error("no memory for %d lags", LAGS_MAX);
        status = UNABLE;
    }
    if (status == PASS) {
        const int error = run_loop(&run);
        struct summary lag = { 0 };
        struct record row = program.record;
        status = check(&program, &run, error);
        stats_summarize(run.lags, run.lag_count, &lag);
        const size_t p99 = run.lag_count ? (run.lag_count - 1) * 99 / 100 : 0;
        record_int(&row, "calls", (int64_t)run.calls);
        record_summary(&row, &lag, status == PASS && lag.count > 0);
        record_real(&row, "lag_p99_s", run.lag_count ? run.lags[p99] : NAN);
        record_real(&row, "lag_max_s", run.largest);
        record_bool(&row, "verified", status == PASS);
        program_row(&program, &row);
    }
    free(run.lags);
    program_fault(&program, opt.fault, status == PASS, opt.deadline > 0
                      ? "no timer was due while the callback blocked: give --hold 2ms or more"
                      : "before a --deadline of 0 nobody is called");
    if (status == PASS)
        program_verdict(&program, true, "%zu calls in turn, none begun after the deadline",
                        run.calls);
    return program_close(&program, status);
}
