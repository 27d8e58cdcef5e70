/*
 * custom - a process as an object: start, run, result, join
 *
 * What other languages derive from a class Process is here a structure with what the process is to
 * do, a channel for its result, and two calls: process_start() and process_join(). Each of W
 * processes sums the first --count numbers after its own place.
 *
 * A result needs a channel, since a child's memory is its own. A failure shows in the status alone,
 * so somebody has to look at it: process_join() does (--fail K makes child K fail, and the program
 * says so).
 *
 * What can go wrong: nobody looks at the statuses (--fault ignore). All children die, and the
 * parent speaks of success; the results that never came tell the truth.
 *
 * Run:     make run P=custom ARGS="--workers 4"
 * Try:     --fail 2: the others' results are there
 * Test:
 * Test:    --workers 64 --count 1001
 * Test:    --workers 1 --count 0
 * Test(1): --fail 2
 * Test(1): --fail 0 --workers 1
 * Test:    --fail 9
 * Test(1): --fault ignore
 * Test(2): --workers 0
 */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "local/lib/children.h"
#include "local/lib/data.h"
#include "local/lib/program.h"
#include "local/lib/turns.h"

static struct {
    size_t workers, count, fail, iterations;
    double secs;
    const char *fault;
} opt = { .workers = 4, .count = 1000, .fail = SIZE_MAX, .iterations = 10000, .secs = 0.5 };

static const struct arg options[] = {
    { "workers", ARG_SIZE, &opt.workers, "child processes", .min = 1, .max = CHILDREN_MAX },
    { "count", ARG_SIZE, &opt.count, "numbers that each sums", .max = 1 << 28 },
    { "fail", ARG_SIZE, &opt.fail, "the process of this number fails" },
    { "fault", ARG_CHOICE, &opt.fault, "make a mistake on purpose", .choices = "ignore" },
    { "seconds", ARG_SECS, &opt.secs, "time budget for the row" },
    { "iterations", ARG_SIZE, &opt.iterations, "samples at most", .min = 1,
      .max = SAMPLES_MAX },
    ARGS_END,
};

/* The object. */
struct process {
    int (*run)(struct process *process); /* in the child: sets result; 0, or a status of 1 to 127 */
    size_t number;
    uint64_t result;
    bool has_result;
    int status; /* as a shell tells it, after the join */
    pid_t child;
    int channel[2];
};

static int run_in_child(void *arg, size_t number)
{
    struct process *const process = arg;

    (void)number;
    close(process->channel[0]);
    const int status = process->run(process);
    if (status == 0 && write(process->channel[1], &process->result, sizeof process->result) !=
                           sizeof process->result)
        return 1;
    return status;
}

/* 0, or -1 with errno. */
static int process_start(struct process *process)
{
    if (pipe(process->channel))
        return -1;
    process->child = child_start(run_in_child, process, process->number);
    const int error = errno;
    close(process->channel[1]);
    if (process->child > 0)
        return 0;
    close(process->channel[0]);
    errno = error;
    return -1;
}

static void process_join(struct process *process)
{
    ssize_t got;

    do
        got = read(process->channel[0], &process->result, sizeof process->result);
    while (got < 0 && errno == EINTR);
    process->has_result = got == sizeof process->result;
    close(process->channel[0]);
    process->status = child_wait(process->child);
}

static int sum(struct process *process)
{
    process->result = 0;
    for (uint64_t i = 0; i < opt.count; i++)
        process->result += element(process->number + i, 0);
    return process->number == opt.fail || opt.fault ? 3 : 0;
}

struct group {
    struct process *processes;
    bool failed; /* an error, or something wrong: no more runs */
    int error;
    char wrong[160];
};

/* n numbers from number + 1 on. */
static void check(struct group *group, struct process *p)
{
    const uint64_t n = opt.count, triangle = n % 2 ? (n + 1) / 2 * n : n / 2 * (n + 1);
    const uint64_t expected = triangle + n * p->number;
    char what[64];

    snprintf(what, sizeof what, "process %zu", p->number);
    if (p->status != 0 && !opt.fault)
        child_tell(what, p->child, p->status, group->wrong, sizeof group->wrong);
    else if (!p->has_result)
        snprintf(group->wrong, sizeof group->wrong, "%s left no result%s", what,
                 opt.fault ? ", and its status, which nobody looked at, said why" : "");
    else if (p->result != expected)
        snprintf(group->wrong, sizeof group->wrong, "%s: %" PRIu64 ", not %" PRIu64, what,
                 p->result, expected);
}

/* The first of those who have not been joined that has failed meanwhile: it need not wait for its
 * turn. */
static size_t next_to_join(const struct process *processes, size_t started, size_t joined)
{
    struct pollfd file = { .fd = processes[joined].channel[0], .events = POLLIN };
    int status;

    while (poll(&file, 1, 100) == 0)
        for (size_t i = joined; i < started && !opt.fault; i++)
            if (child_has_ended(processes[i].child, &status) && status != 0)
                return i;
    return joined;
}

static void run(void *arg)
{
    struct group *const group = arg;
    struct process *const all = group->processes;
    size_t started = 0;

    if (group->failed)
        return;
    for (size_t i = 0; i < opt.workers; i++)
        all[i] = (struct process){ .run = sum, .number = i };
    while (started < opt.workers && process_start(&all[started]) == 0)
        started++;
    if (started < opt.workers)
        group->error = errno;
    for (size_t i = 0; i < started; i++) {
        const bool in_vain = group->error || *group->wrong;
        const size_t next = in_vain ? i : next_to_join(all, started, i);
        const struct process process = all[next];
        all[next] = all[i];
        all[i] = process;
        if (in_vain)
            kill(all[i].child, SIGKILL);
        process_join(&all[i]);
        if (!in_vain)
            check(group, &all[i]);
    }
    group->failed = group->error || *group->wrong;
}

int main(int argc, char **argv)
{
    struct program program;
    enum status status = program_open(&program, argc, argv, options, &opt.workers);
    const struct stop_rule rule = { 5, opt.iterations, opt.secs, 0.02 };
    struct group group = { .processes = calloc(opt.workers, sizeof *group.processes) };
    struct turn turn = { .operation = run, .arg = &group, .failed = &group.failed };

    if (status == PASS && !group.processes)
        group.error = errno;
    else if (status == PASS && turns_run(&turn, 1, &rule) && errno != ECANCELED)
        group.error = errno;
    if (status == PASS && group.error) {
        program_error("%zu processes: %s: give fewer --workers", opt.workers, strerror(group.error));
        status = UNABLE;
    }
    if (status == PASS) {
        struct record row = program.record;
        if (*group.wrong)
            status = program_verdict(&program, false, "%s", group.wrong);
        record_int(&row, "count", (int64_t)opt.count);
        record_summary(&row, &turn.summary, status == PASS);
        record_real(&row, "processes_per_s", status == PASS
                        ? (double)opt.workers / turn.summary.median : NAN);
        record_bool(&row, "verified", status == PASS);
        program_row(&program, &row);
    }
    if (status == PASS)
        program_verdict(&program, true, "%zu processes, each with its result, and all ended with 0",
                        opt.workers);
    free(group.processes);
    return program_close(&program, status);
}
