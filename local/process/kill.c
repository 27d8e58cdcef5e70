/*
 * kill - ending a child: the signal, the status, and what is in between
 *
 *   term      SIGTERM, which a child that has said nothing about it dies of
 *   graceful  the child catches SIGTERM, sends a last message, and ends with 0
 *   stubborn  the child ignores SIGTERM; after --grace the parent sends SIGKILL, which nobody can
 *             ignore
 *
 * kill() returns when the signal has been sent, not when it has been acted on. A child that is dead
 * stays in the table of processes, a zombie, until its parent has collected its status: its signal
 * or exit status. Then its id is free, and may be given to another process: a signal that comes
 * later could meet a stranger (Linux has pidfd_open() against that).
 *
 * What can go wrong: nobody waits for the dead child, which stays a zombie (--fault no_wait).
 *
 * Run:     make run P=process/kill ARGS="--variant all"
 * Try:     --variant stubborn --grace 1s: how long from the first signal to the end?
 * Try:     --fault no_wait: what does the table of processes say of the dead child?
 * Test:    --variant all --grace 10ms
 * Test:    --variant stubborn --grace 0
 * Test(1): --fault no_wait
 * Test(2): --variant hup
 * Test(2): --grace 1e308
 */
#include <errno.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "local/lib/children.h"
#include "local/lib/clock.h"
#include "local/lib/program.h"
#include "local/lib/turns.h"

#define LENGTH(array) (sizeof(array) / sizeof *(array))

static struct {
    size_t iterations;
    double grace, secs;
    const char *variant, *fault;
} opt = { .iterations = 10000, .grace = 0.1, .secs = 0.5, .variant = "term" };

static const struct arg options[] = {
    { "variant", ARG_CHOICE, &opt.variant, "what the child makes of SIGTERM",
      .choices = "term|graceful|stubborn|all" },
    { "grace", ARG_SECS, &opt.grace, "stubborn: time between SIGTERM and SIGKILL", .max = 1000000 },
    { "fault", ARG_CHOICE, &opt.fault, "make a mistake on purpose", .choices = "no_wait" },
    { "seconds", ARG_SECS, &opt.secs, "time budget for one row" },
    { "iterations", ARG_SIZE, &opt.iterations, "samples of one row at most", .min = 1,
      .max = SAMPLES_MAX },
    ARGS_END,
};

static const char last_message[] = "bye";

struct victim {
    const char *variant;
    int status; /* that is right: of a shell */
    int pipe[2];
    pid_t pid;
    char message[8];
    bool failed; /* an error, or something wrong: no more samples */
    int error;
    char wrong[128];
};

static volatile sig_atomic_t told;

static void note(int signal)
{
    (void)signal;
    told = 1;
}

/* Ready for the signal when it has written a byte. */
static int live(void *arg, size_t worker)
{
    const struct victim *const v = arg;
    struct sigaction action = { .sa_handler = SIG_DFL };
    sigset_t term, before;

    (void)worker;
    if (strcmp(v->variant, "graceful") == 0)
        action.sa_handler = note;
    else if (strcmp(v->variant, "stubborn") == 0)
        action.sa_handler = SIG_IGN;
    sigemptyset(&action.sa_mask);
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    sigprocmask(SIG_BLOCK, &term, &before); /* it is let through by sigsuspend() alone, so that it
                                             * cannot come between the look and the wait */
    sigaction(SIGTERM, &action, NULL);
    if (write(v->pipe[1], "", 1) != 1)
        return 1;
    while (!told)
        sigsuspend(&before);
    return write(v->pipe[1], last_message, sizeof last_message) == sizeof last_message ? 0 : 1;
}

static ssize_t read_some(int file, char *text, size_t size)
{
    ssize_t got;

    do
        got = read(file, text, size);
    while (got < 0 && errno == EINTR);
    return got;
}

static void begin(void *arg)
{
    struct victim *const v = arg;
    char ready;

    if (v->failed)
        return;
    if (pipe(v->pipe)) {
        v->error = errno;
    } else {
        v->pid = child_start(live, v, 0);
        v->error = v->pid < 0 ? errno : 0;
        close(v->pipe[1]);
        if (!v->error && read_some(v->pipe[0], &ready, 1) != 1)
            child_tell("the child", v->pid, child_wait(v->pid), v->wrong, sizeof v->wrong);
        if (v->error || *v->wrong)
            close(v->pipe[0]);
    }
    v->failed = v->error || *v->wrong;
}

/* Whether the child lets its end of the pipe go, by dying, within the time. */
static bool ends_within(const struct victim *v, double secs)
{
    struct pollfd end = { .fd = v->pipe[0], .events = POLLIN };

    return poll(&end, 1, (int)(1e3 * secs + 0.5)) > 0;
}

static void end(void *arg)
{
    struct victim *const v = arg;

    if (v->failed)
        return;
    memset(v->message, 0, sizeof v->message);
    kill(v->pid, SIGTERM);
    if (strcmp(v->variant, "stubborn") == 0 && !ends_within(v, opt.grace))
        kill(v->pid, SIGKILL);
    const ssize_t got = read_some(v->pipe[0], v->message, sizeof v->message);
    const int status = child_wait(v->pid);
    close(v->pipe[0]);
    if (status != v->status)
        child_tell("the child", v->pid, status, v->wrong, sizeof v->wrong);
    else if ((got > 0) != (v->status == 0) ||
             (got > 0 && strcmp(v->message, last_message) != 0))
        snprintf(v->wrong, sizeof v->wrong, "its last message was \"%s\"", v->message);
    else if (waitpid(v->pid, NULL, WNOHANG) != -1) /* kill(pid, 0) may meet a stranger by now */
        snprintf(v->wrong, sizeof v->wrong, "process %ld is still there", (long)v->pid);
    v->failed = *v->wrong;
}

/* The state letter of a process, as ps shows it: Z for a zombie; 0 where that cannot be seen. */
static char state_of(pid_t pid)
{
    char path[64], state = 0;

    snprintf(path, sizeof path, "/proc/%ld/stat", (long)pid);
    FILE *const file = fopen(path, "r");
    if (file && fscanf(file, "%*d (%*[^)]) %c", &state) != 1)
        state = 0;
    if (file)
        fclose(file);
    return state;
}

/* --fault no_wait: the signal is sent, the child dies, and that is taken for the end of it. */
static enum status leave_zombie(struct program *program)
{
    struct victim v = { .variant = "term", .status = 128 + SIGTERM };

    begin(&v);
    if (v.error) {
        program_error("a child and its pipe: %s: raise the limit of processes",
                      strerror(v.error));
        return UNABLE;
    }
    if (v.failed)
        return program_verdict(program, false, "%s", v.wrong);
    kill(v.pid, SIGTERM);
    char byte;
    read_some(v.pipe[0], &byte, 1); /* its end of the pipe is closed: it is dead */
    siginfo_t info;
    int looked;
    do
        looked = waitid(P_PID, (id_t)v.pid, &info, WEXITED | WNOWAIT); /* collects nothing */
    while (looked && errno == EINTR);
    const char state = state_of(v.pid);
    const bool is_there = looked == 0 && kill(v.pid, 0) == 0; /* no stranger: the id is not free */
    child_wait(v.pid);
    close(v.pipe[0]);
    if (!is_there)
        return PASS;
    return program_verdict(program, false, "no_wait: process %ld is dead, and still in the table of "
                           "processes%s: nobody waited for it", (long)v.pid,
                           state == 'Z' ? " (state Z, a zombie)" : "");
}

static void add_row(struct program *program, const struct victim *v, const struct turn *turn)
{
    const bool right = !*v->wrong;
    struct record row = program->record;

    record_text(&row, "variant", v->variant);
    record_int(&row, "status", v->status);
    record_summary(&row, &turn->summary, right);
    record_bool(&row, "verified", right);
    program_row(program, &row);
}

int main(int argc, char **argv)
{
    static struct victim all[] = {
        { .variant = "term", .status = 128 + SIGTERM },
        { .variant = "graceful", .status = 0 },
        { .variant = "stubborn", .status = 128 + SIGKILL },
    };
    struct program program;
    enum status status = program_open(&program, argc, argv, options, NULL);
    const struct stop_rule rule = { 5, opt.iterations, opt.secs, 0.02 };
    struct turn turns[LENGTH(all)];
    size_t count = 0;
    int error = 0;

    if (status == PASS && opt.fault) {
        status = leave_zombie(&program);
        program_fault(&program, opt.fault, status == PASS, "this system reaps the children itself");
        return program_close(&program, status);
    }
    for (size_t i = 0; i < LENGTH(all); i++)
        if (arg_is(opt.variant, all[i].variant) || arg_is(opt.variant, "all"))
            turns[count++] = (struct turn){ .operation = end, .prepare = begin, .arg = &all[i],
                                            .failed = &all[i].failed };
    if (status == PASS && turns_run(turns, count, &rule) && errno != ECANCELED)
        error = errno;
    for (size_t i = 0; i < count; i++) { /* who failed has ended the turns of all */
        const struct victim *const v = turns[i].arg;
        if (*v->wrong)
            return program_close(&program, program_verdict(&program, false, "%s: %s", v->variant,
                                                           v->wrong));
    }
    for (size_t i = 0; i < count && status == PASS; i++) {
        const struct victim *const v = turns[i].arg;
        error = error ? error : v->error;
        if (error) {
            program_error("a child and its pipe: %s: raise the limit of processes",
                          strerror(error));
            status = UNABLE;
            break;
        }
        add_row(&program, v, &turns[i]);
    }
    if (status == PASS)
        program_verdict(&program, true, "every child ended as its signal demands, its status was "
                        "collected, and its id is free");
    return program_close(&program, status);
}
