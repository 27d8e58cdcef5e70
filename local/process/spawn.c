/*
 * spawn - start processes, let each do its part, collect results and statuses
 *
 * Each child sums its part of the numbers 1 to n and writes the sum into a pipe. The parent starts
 * all, reads all sums, and waits for all: a child that ended stays a zombie until its status has
 * been collected.
 *
 *   fork    the child is a copy of this process and goes on from here
 *   exec    posix_spawn starts a program's image from the beginning, here this program's
 *           with --part
 *   serial  fork, but each child is waited for before the next one is started
 *
 * What can go wrong: the sum is sent as exit status, of which 8 bits arrive (--fault status). Text
 * that stdio holds when the process is copied is printed twice (--fault buffer); so flush before
 * forking, and let the child _exit.
 *
 * Run:     make run P=spawn ARGS="--workers 4 --variant all"
 * Try:     --variant all --count 0: what a process costs that has nothing to do
 * Try:     --fault status --count 100: which sum does the parent see?
 * Test:    --variant all
 * Test:    --variant all --workers 64 --count 1001
 * Test:    --variant all --workers 3 --count 1
 * Test:    --variant all --count 0
 * Test(1): --fault status
 * Test(1): --fault buffer
 * Test(1): --fault buffer --workers 1
 * Test:    --fault status --count 3 --workers 1
 * Test(2): --workers 0
 * Test(2): --iterations 9223372036854775808
 * Test(2): --part 4 --workers 4
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "local/lib/children.h"
#include "local/lib/data.h"
#include "local/lib/program.h"
#include "local/lib/turns.h"

extern char **environ;

#define LENGTH(array) (sizeof(array) / sizeof *(array))

static struct {
    size_t workers, count, iterations, part;
    double secs;
    const char *variant, *fault;
} opt = { .workers = 4, .count = 1 << 20, .iterations = 10000, .part = SIZE_MAX, .secs = 0.5,
          .variant = "fork" };

static const struct arg options[] = {
    { "workers", ARG_SIZE, &opt.workers, "child processes", .min = 1, .max = CHILDREN_MAX },
    { "count", ARG_SIZE, &opt.count, "numbers to sum: 1 to COUNT", .max = 1 << 28 },
    { "variant", ARG_CHOICE, &opt.variant, "how a child begins", .choices = "fork|exec|serial|all" },
    { "fault", ARG_CHOICE, &opt.fault, "make a mistake on purpose", .choices = "status|buffer" },
    { "part", ARG_SIZE, &opt.part, "be the child of this number: write its sum to stdout and end" },
    { "seconds", ARG_SECS, &opt.secs, "time budget for one row" },
    { "iterations", ARG_SIZE, &opt.iterations, "samples of one row at most", .min = 1,
      .max = SAMPLES_MAX },
    ARGS_END,
};

static const char *own_path;

struct job {
    const struct choice *choice;
    pid_t *children;
    uint64_t sum; /* of all parts, of the last run */
    bool failed;  /* an error, or something wrong: no more runs */
    int error;
    char wrong[160];
};

static uint64_t sum_part(size_t part)
{
    const struct block block = block_of(opt.count, opt.workers, part);
    uint64_t sum = 0;

    for (uint64_t i = 0; i < block.count; i++)
        sum += element(block.start + i, 0);
    return sum;
}

/* 0, or 1 if the parent is gone. */
static int write_sum(int file, size_t part)
{
    const uint64_t sum = sum_part(part);

    return write(file, &sum, sizeof sum) == sizeof sum ? 0 : 1;
}

static pid_t start_fork(const int ends[2], size_t part)
{
    const pid_t parent = getpid(), child = fork();

    if (child == 0) {
        child_ends_with(parent);
        close(ends[0]);
        _exit(write_sum(ends[1], part));
    }
    return child;
}

static pid_t start_exec(const int ends[2], size_t part)
{
    char workers[32], count[32], number[32];
    char *const arguments[] = { (char *)(uintptr_t)program_name, "--workers", workers, "--count",
                                count, "--part", number, NULL };
    posix_spawn_file_actions_t files;
    pid_t child;

    snprintf(workers, sizeof workers, "%zu", opt.workers);
    snprintf(count, sizeof count, "%zu", opt.count);
    snprintf(number, sizeof number, "%zu", part);
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_adddup2(&files, ends[1], STDOUT_FILENO);
    const int error = posix_spawn(&child, own_path, &files, NULL, arguments, environ);
    posix_spawn_file_actions_destroy(&files);
    errno = error;
    return error ? -1 : child;
}

static const struct choice {
    const char *name;
    pid_t (*start)(const int ends[2], size_t part);
    bool serial;
} choices[] = {
    { "fork", start_fork, false }, { "exec", start_exec, false }, { "serial", start_fork, true },
};

/* Waits for the child; its status has to be 0. The first one that is not is told. */
static void collect(struct job *job, size_t part)
{
    char what[64];
    int status;

    while (waitpid(job->children[part], &status, 0) < 0) {
        if (errno != EINTR) {
            job->error = job->error ? job->error : errno;
            return;
        }
    }
    snprintf(what, sizeof what, "child %zu", part);
    if (status != 0 && !job->error && !*job->wrong)
        child_tell(what, job->children[part], WIFSIGNALED(status) ? 128 + WTERMSIG(status)
                   : WEXITSTATUS(status), job->wrong, sizeof job->wrong);
}

/* Whether one of those who were started has died, without collecting anything. */
static bool has_died(const struct job *job, size_t started, size_t *who)
{
    int status;

    for (*who = 0; *who < started; ++*who)
        if (child_has_ended(job->children[*who], &status) && status != 0)
            return true;
    return false;
}

/* Sums arrive in any order, each in one piece: a write of so few bytes to a pipe is never cut. One
 * of them may never come: so it looks, some times a second, who has died, and ends the others. */
static void read_sums(struct job *job, int file, size_t started)
{
    struct pollfd sums = { .fd = file, .events = POLLIN };
    uint64_t sum;
    ssize_t got = 1;
    size_t who;

    while (got != 0) {
        const int ready = poll(&sums, 1, 100);
        if (ready == 0 && has_died(job, started, &who)) {
            const pid_t dead = job->children[who];
            collect(job, who);
            for (size_t i = 0; i < started; i++)
                if (job->children[i] != dead)
                    kill(job->children[i], SIGKILL);
            job->children[who] = 0;
            return;
        }
        if (ready <= 0)
            continue;
        got = read(file, &sum, sizeof sum);
        if (got == sizeof sum)
            job->sum += sum;
        else if (got > 0 || (got < 0 && errno != EINTR))
            job->error = got < 0 ? errno : EIO;
    }
}

static void run(void *arg)
{
    struct job *const job = arg;
    size_t started = 0;
    int ends[2];

    if (job->failed)
        return;
    job->sum = 0;
    job->failed = true; /* unless it gets to the end */
    if (pipe(ends)) {
        job->error = errno;
        return;
    }
    fcntl(ends[0], F_SETFD, FD_CLOEXEC); /* an exec'd child inherits its stdout, nothing else */
    fcntl(ends[1], F_SETFD, FD_CLOEXEC);
    fflush(NULL);
    while (started < opt.workers && !job->error && !*job->wrong) {
        const pid_t child = job->choice->start(ends, started);
        if (child < 0) {
            job->error = errno;
            break;
        }
        job->children[started] = child;
        if (job->choice->serial)
            collect(job, started);
        started++;
    }
    close(ends[1]); /* or the end would never come: this process could still write */
    for (size_t i = 0; job->error && !job->choice->serial && i < started; i++)
        kill(job->children[i], SIGKILL);
    read_sums(job, ends[0], job->choice->serial ? 0 : started);
    close(ends[0]);
    for (size_t i = 0; i < started && !job->choice->serial; i++)
        if (job->children[i] > 0)
            collect(job, i);
    job->failed = job->error || *job->wrong;
}

/* --fault status: what is left of a sum in an exit status. */
static enum status lose_bits(struct program *program)
{
    for (size_t i = 0; i < opt.workers; i++) {
        const pid_t parent = getpid(), child = fork();
        char text[160];
        int status;
        if (child == 0) {
            child_ends_with(parent);
            _exit((int)sum_part(i));
        }
        if (child < 0 || waitpid(child, &status, 0) != child) {
            program_error("%zu processes: %s: give fewer --workers", opt.workers, strerror(errno));
            return UNABLE;
        }
        if (WIFSIGNALED(status)) {
            child_tell("a child", child, 128 + WTERMSIG(status), text, sizeof text);
            return program_verdict(program, false, "%s", text);
        }
        if ((uint64_t)WEXITSTATUS(status) != sum_part(i))
            return program_verdict(program, false, "status: child %zu sent %" PRIu64 ", and %d "
                                   "arrived: a status has 8 bits", i, sum_part(i),
                                   WEXITSTATUS(status));
    }
    return PASS;
}

/* --fault buffer: a line waits in stdio's buffer when the process is copied. */
static enum status print_twice(struct program *program)
{
    FILE *const file = tmpfile();
    char text[4096];

    if (!file) {
        program_error("a temporary file: %s", strerror(errno));
        return UNABLE;
    }
    fprintf(file, "once\n");
    for (size_t i = 0; i < opt.workers; i++) {
        const pid_t child = fork();
        if (child == 0) {
            fflush(file); /* as exit() would */
            _exit(0);
        }
        if (child < 0) {
            program_error("%zu processes: %s: give fewer --workers", opt.workers, strerror(errno));
            fclose(file);
            return UNABLE;
        }
        while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
            continue;
    }
    fflush(file);
    rewind(file);
    size_t lines = 0;
    while (fgets(text, sizeof text, file))
        lines++;
    fclose(file);
    return lines == 1 ? PASS
                      : program_verdict(program, false, "buffer: one line was written, and %zu "
                                        "stand in the file: it was in the buffer of each copy",
                                        lines);
}

static void add_row(struct program *program, const struct job *job, const struct turn *turn,
                    bool right)
{
    struct record row = program->record;

    record_text(&row, "variant", job->choice->name);
    record_int(&row, "count", (int64_t)opt.count);
    record_summary(&row, &turn->summary, right);
    record_real(&row, "processes_per_s",
                right ? (double)opt.workers / turn->summary.median : NAN);
    record_bool(&row, "verified", right);
    program_row(program, &row);
}

static enum status compare(struct program *program, struct job *jobs, size_t count)
{
    const struct stop_rule rule = { 5, opt.iterations, opt.secs, 0.02 };
    const uint64_t n = opt.count, expected = n % 2 ? (n + 1) / 2 * n : n / 2 * (n + 1);
    struct turn turns[LENGTH(choices)];
    enum status status = PASS;

    for (size_t i = 0; i < count; i++)
        turns[i] = (struct turn){ .operation = run, .arg = &jobs[i], .failed = &jobs[i].failed };
    int error = turns_run(turns, count, &rule) && errno != ECANCELED ? errno : 0;
    for (size_t i = 0; i < count; i++) {
        if (*jobs[i].wrong)
            return program_verdict(program, false, "%s: %s", jobs[i].choice->name, jobs[i].wrong);
        error = error ? error : jobs[i].error;
    }
    if (error) {
        program_error("%zu processes: %s: give fewer --workers", opt.workers, strerror(error));
        return UNABLE;
    }
    for (size_t i = 0; i < count && status == PASS; i++) {
        if (jobs[i].sum != expected)
            status = program_verdict(program, false, "%s: the sum is %" PRIu64 ", not %" PRIu64,
                                     jobs[i].choice->name, jobs[i].sum, expected);
        add_row(program, &jobs[i], &turns[i], status == PASS);
    }
    return status;
}

int main(int argc, char **argv)
{
    struct program program;
    struct job jobs[LENGTH(choices)];
    size_t count = 0;
    signal(SIGCHLD, SIG_DFL); /* where it was inherited as ignored, no status is kept for us */
    enum status status = program_parse(&program, argc, argv, options, true);

    if (status == PASS && opt.part != SIZE_MAX) {
        if (opt.part < opt.workers) {
            child_ends_with(getppid());
            return write_sum(STDOUT_FILENO, opt.part);
        }
        return program_usage(&program, "--part %zu: children are 0 to %zu", opt.part,
                             opt.workers - 1);
    }
    if (status == PASS)
        status = program_open(&program, argc, argv, options, &opt.workers);
    own_path = access("/proc/self/exe", X_OK) == 0 ? "/proc/self/exe" : argv[0];
    pid_t *const children = calloc(opt.workers, sizeof *children);
    if (status == PASS && !children) {
        program_error("no memory for %zu processes: give fewer --workers", opt.workers);
        status = UNABLE;
    }
    for (size_t i = 0; i < LENGTH(choices); i++)
        if (arg_is(opt.variant, choices[i].name) || arg_is(opt.variant, "all"))
            jobs[count++] = (struct job){ .choice = &choices[i], .children = children };
    if (status == PASS && opt.fault)
        status = arg_is(opt.fault, "status") ? lose_bits(&program) : print_twice(&program);
    else if (status == PASS)
        status = compare(&program, jobs, count);
    program_fault(&program, opt.fault, status == PASS, "every sum fits into 8 bits");
    if (status == PASS)
        program_verdict(&program, true, "%zu processes, each its part, sum up the numbers 1 to %zu",
                        opt.workers, opt.count);
    free(children);
    return program_close(&program, status);
}
