/*
 * executor - heavy computing beside an event loop: in the loop, on threads, in processes
 *
 * Each of --count items takes --steps steps, of which each needs the one before. Three executors:
 *
 *   serial     in the loop's own thread, one after the other: no other callback runs meanwhile
 *   threads    on libuv's thread pool (uv_queue_work); the loop goes on
 *   processes  each worker a process (uv_spawn of this program with --item), the loop reads results
 *
 * Wall time and CPU time are told apart: CPU time is what all threads and processes have computed,
 * and does not fall when the work is shared out. The clock stops at the last result.
 *
 * What can go wrong: it stops when the work has been handed over, and there are fewer results than
 * items at that moment (--fault early). An empty loop in place of the steps is no work: the compiler
 * leaves it out.
 *
 * Run:     make run P=executor ARGS="--workers 2 --variant all"
 * Try:     --variant all --steps 1000: what does handing over cost, on threads and in processes?
 * Try:     --fault early: which figure would one have believed?
 * Test:    --variant all --steps 100000
 * Test:    --variant all --steps 0 --workers 1
 * Test:    --variant all --count 0
 * Test:    --variant all --count 1 --workers 64 --steps 1000
 * Test:    --variant all --count 17 --workers 3 --steps 1001
 * Test(1): --fault early --steps 100000
 * Test(2): --workers 0
 * Test(2): --iterations 8589934592
 */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <uv.h>

#include "local/lib/children.h"
#include "local/lib/clock.h"
#include "local/lib/program.h"
#include "local/lib/size.h"
#include "local/lib/stats.h"
#include "local/lib/team.h"

#define LENGTH(array) (sizeof(array) / sizeof *(array))

enum { WORKERS_MAX = 1024 }; /* of libuv's pool */

static struct {
    size_t workers, count, steps, item, iterations;
    double secs;
    const char *variant, *fault;
} opt = { .workers = 4, .count = 5, .steps = 10000000, .item = SIZE_MAX, .iterations = 10000,
          .secs = 0.3, .variant = "threads" };

static const struct arg options[] = {
    { "workers", ARG_SIZE, &opt.workers, "threads of the pool, or processes at a time", .min = 1,
      .max = WORKERS_MAX },
    { "count", ARG_SIZE, &opt.count, "items", .max = 1024 },
    { "steps", ARG_SIZE, &opt.steps, "steps of an item", .max = 1 << 28 },
    { "variant", ARG_CHOICE, &opt.variant, "who computes", .choices = "serial|threads|processes|all" },
    { "fault", ARG_CHOICE, &opt.fault, "make a mistake on purpose", .choices = "early" },
    { "item", ARG_SIZE, &opt.item, "be the process of this item: write its result to stdout and end" },
    { "seconds", ARG_SECS, &opt.secs, "time budget for one row" },
    { "iterations", ARG_SIZE, &opt.iterations, "samples of one row at most", .min = 1,
      .max = SAMPLES_MAX },
    ARGS_END,
};

static const uint64_t factor = 6364136223846793005, summand = 1442695040888963407;
static const char *own_path;

static uint64_t compute(size_t item)
{
    uint64_t x = item;

    for (size_t i = 0; i < opt.steps; i++)
        x = x * factor + summand;
    return x;
}

/* The same without going all the way: the map a x + b, squared and multiplied. */
static uint64_t jump_ahead(size_t item)
{
    uint64_t a = 1, b = 0, power_a = factor, power_b = summand;

    for (size_t steps = opt.steps; steps > 0; steps >>= 1) {
        if (steps & 1) {
            a *= power_a;
            b = b * power_a + power_b;
        }
        power_b = power_b * power_a + power_b;
        power_a *= power_a;
    }
    return a * item + b;
}

struct job {
    struct executor *executor;
    size_t item;
    uint64_t result;
    size_t got; /* bytes of it, from a process */
    uv_work_t work;
    uv_process_t process;
    uv_pipe_t out;
};

struct executor {
    const struct choice *choice;
    uv_loop_t loop;
    struct job *jobs;
    size_t next, done, done_at_stop;
    int64_t stop_ns;
    double wall, cpu;
    int error;
    char wrong[160]; /* a process that died, and how */
};

static double cpu_secs(void)
{
    struct rusage self, children;
    const struct rusage *const all[] = { &self, &children };
    double secs = 0;

    getrusage(RUSAGE_SELF, &self);
    getrusage(RUSAGE_CHILDREN, &children);
    for (int i = 0; i < 2; i++)
        secs += (double)(all[i]->ru_utime.tv_sec + all[i]->ru_stime.tv_sec) +
                1e-6 * (double)(all[i]->ru_utime.tv_usec + all[i]->ru_stime.tv_usec);
    return secs;
}

static void finish(struct job *job)
{
    struct executor *const e = job->executor;

    if (++e->done == opt.count)
        e->stop_ns = clock_ns();
}

/* ---- serial ---- */

static void run_serial(struct executor *e)
{
    for (size_t i = 0; i < opt.count; i++) {
        e->jobs[i].result = compute(i + 1);
        finish(&e->jobs[i]);
    }
}

/* ---- threads ---- */

static void on_pool(uv_work_t *work)
{
    struct job *const job = work->data;

    job->result = compute(job->item);
}

/* Back in the loop. */
static void after(uv_work_t *work, int status)
{
    struct job *const job = work->data;

    if (status)
        job->executor->error = status;
    finish(job);
}

static void run_threads(struct executor *e)
{
    for (size_t i = 0; i < opt.count && !e->error; i++) {
        e->jobs[i].work.data = &e->jobs[i];
        e->error = uv_queue_work(&e->loop, &e->jobs[i].work, on_pool, after);
    }
}

/* ---- processes ---- */

static void start_next(struct executor *e);

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
    struct job *const job = handle->data;

    (void)suggested;
    *buffer = uv_buf_init((char *)&job->result + job->got,
                          (unsigned)(sizeof job->result - job->got));
}

static void on_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buffer)
{
    struct job *const job = stream->data;

    (void)buffer;
    if (got > 0)
        job->got += (size_t)got;
    if (got < 0 || job->got == sizeof job->result) {
        uv_close((uv_handle_t *)stream, NULL);
        if (job->got == sizeof job->result)
            finish(job);
    }
}

/* Nobody waits for what the others compute. */
static void end_processes(struct executor *e)
{
    for (size_t i = 0; i < e->next; i++)
        if (uv_is_active((uv_handle_t *)&e->jobs[i].process))
            uv_process_kill(&e->jobs[i].process, SIGKILL);
}

static void on_exit(uv_process_t *process, int64_t status, int signal)
{
    struct job *const job = process->data;

    struct executor *const e = job->executor;
    char what[64];

    if ((status != 0 || signal != 0) && !e->error && !*e->wrong) {
        snprintf(what, sizeof what, "the process of item %zu", job->item - 1);
        child_tell(what, process->pid, signal ? 128 + signal : (int)status, e->wrong,
                   sizeof e->wrong);
        end_processes(e);
    }
    uv_close((uv_handle_t *)process, NULL);
    start_next(e);
}

static void start_next(struct executor *e)
{
    char item[32], steps[32];
    char *arguments[] = { (char *)(uintptr_t)program_name, "--item", item, "--steps", steps, NULL };
    uv_process_options_t options_of = { .exit_cb = on_exit, .file = own_path, .args = arguments };

    if (e->next == opt.count || e->error || *e->wrong)
        return;
    struct job *const job = &e->jobs[e->next++];
    uv_stdio_container_t stdio[3] = { { .flags = UV_IGNORE },
                                      { .flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE },
                                      { .flags = UV_INHERIT_FD, .data.fd = 2 } };
    snprintf(item, sizeof item, "%zu", job->item);
    snprintf(steps, sizeof steps, "%zu", opt.steps);
    uv_pipe_init(&e->loop, &job->out, 0);
    job->out.data = job->process.data = job;
    stdio[1].data.stream = (uv_stream_t *)&job->out;
    options_of.stdio = stdio;
    options_of.stdio_count = 3;
    e->error = uv_spawn(&e->loop, &job->process, &options_of);
    if (e->error) {
        uv_close((uv_handle_t *)&job->process, NULL);
        uv_close((uv_handle_t *)&job->out, NULL);
        end_processes(e);
        return;
    }
    uv_read_start((uv_stream_t *)&job->out, on_alloc, on_read);
}

static void run_processes(struct executor *e)
{
    for (size_t i = 0; i < opt.workers && i < opt.count; i++)
        start_next(e);
}

static const struct choice {
    const char *name;
    void (*run)(struct executor *executor);
} choices[] = {
    { "serial", run_serial }, { "threads", run_threads }, { "processes", run_processes },
};

/* All items once. wall and cpu, in seconds. */
static void run(struct executor *e)
{
    for (size_t i = 0; i < opt.count; i++)
        e->jobs[i] = (struct job){ .executor = e, .item = i + 1 };
    e->next = e->done = 0;
    e->error = uv_loop_init(&e->loop);
    if (e->error)
        return;
    const double cpu = cpu_secs();
    const int64_t begin = clock_ns();
    e->stop_ns = begin;
    e->choice->run(e);
    const int64_t handed_over = clock_ns();
    e->done_at_stop = e->done;
    uv_run(&e->loop, UV_RUN_DEFAULT);
    const int error = uv_loop_close(&e->loop); /* UV_EBUSY: a handle was forgotten */
    e->error = e->error ? e->error : error;
    e->wall = clock_secs(begin, opt.fault ? handed_over : e->stop_ns);
    e->cpu = cpu_secs() - cpu;
}

static enum status check(struct program *program, const struct executor *e)
{
    const char *const name = e->choice->name;

    if (e->error) {
        program_error("%s: %s: give fewer --workers", name, uv_strerror(e->error));
        return UNABLE;
    }
    if (*e->wrong)
        return program_verdict(program, false, "%s: %s", name, e->wrong);
    if (opt.fault && e->done_at_stop < opt.count)
        return program_verdict(program, false, "early: the clock stopped after %.3g s with %zu of %zu "
                               "results", e->wall, e->done_at_stop, opt.count);
    for (size_t i = 0; i < opt.count; i++)
        if (e->jobs[i].result != jump_ahead(i + 1))
            return program_verdict(program, false, "%s: item %zu: %" PRIu64 ", not %" PRIu64, name,
                                   i, e->jobs[i].result, jump_ahead(i + 1));
    return PASS;
}

/* Libuv aborts where its pool cannot be started: so many threads are tried first. */
static enum status check_threads(void)
{
    if (team_try(opt.workers) == 0)
        return PASS;
    program_error("threads: %zu: %s: give fewer --workers, or raise the limit of processes",
                  opt.workers, strerror(errno));
    return UNABLE;
}

static enum status measure(struct program *program, struct executor *e, double *serial)
{
    const struct stop_rule rule = { 3, opt.fault ? 1 : opt.iterations, opt.secs, 0.02 };
    double *const walls = size_alloc(opt.iterations, sizeof *walls);
    enum status status = walls ? PASS : UNABLE;
    struct summary summary = { 0 };
    struct record row = program->record;
    size_t count = 0;
    double cpu = 0;
    const int64_t begin = clock_ns();

    if (!walls)
        program_error("no memory for %zu samples: give fewer --iterations", opt.iterations);
    if (status == PASS && e->choice->run == run_threads)
        status = check_threads();
    while (status == PASS &&
           stats_stop(&rule, walls, count, clock_secs(begin, clock_ns())) == STOP_NOT) {
        run(e);
        status = check(program, e);
        walls[count++] = e->wall;
        cpu = e->cpu;
    }
    if (walls && count > 0)
        stats_summarize(walls, count, &summary);
    free(walls);
    if (status == UNABLE)
        return status;
    if (strcmp(e->choice->name, "serial") == 0)
        *serial = summary.median;
    record_text(&row, "variant", e->choice->name);
    record_int(&row, "count", (int64_t)opt.count);
    record_summary(&row, &summary, status == PASS);
    record_real(&row, "cpu_s", status == PASS ? cpu : NAN);
    record_real(&row, "speedup", status == PASS && *serial > 0 ? *serial / summary.median : NAN);
    record_bool(&row, "verified", status == PASS);
    program_row(program, &row);
    return status;
}

int main(int argc, char **argv)
{
    struct program program;
    enum status status = program_parse(&program, argc, argv, options, true);

    if (status == PASS && opt.item != SIZE_MAX) {
        child_ends_with(getppid());
        const uint64_t result = compute(opt.item);
        return write(STDOUT_FILENO, &result, sizeof result) == sizeof result ? 0 : 1;
    }
    if (status == PASS)
        status = program_open(&program, argc, argv, options, &opt.workers);
    char workers[32], path[4096];
    size_t length = sizeof path;
    snprintf(workers, sizeof workers, "%zu", opt.workers);
    setenv("UV_THREADPOOL_SIZE", workers, 1); /* read when the pool is first used */
    own_path = uv_exepath(path, &length) == 0 ? path : argv[0];
    struct job *const jobs = calloc(opt.count + 1, sizeof *jobs);
    if (status == PASS && !jobs) {
        program_error("no memory for %zu items: give a smaller --count", opt.count);
        status = UNABLE;
    }
    double serial = 0;
    for (size_t i = 0; i < LENGTH(choices) && status == PASS; i++) {
        struct executor e = { .choice = &choices[i], .jobs = jobs };
        if (opt.fault ? i == 1
                      : arg_is(opt.variant, choices[i].name) || arg_is(opt.variant, "all"))
            status = measure(&program, &e, &serial);
    }
    free(jobs);
    program_fault(&program, opt.fault, status == PASS, "there is nothing to wait for");
    if (status == PASS)
        program_verdict(&program, true, "%zu items of %zu steps, each result as by jumping ahead",
                        opt.count, opt.steps);
    return program_close(&program, status);
}
