#define _DEFAULT_SOURCE 1 /* MAP_ANONYMOUS */
#include "local/lib/children.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

/* In the child: to end with `parent`, also if that has ended just before we could ask for it. */
static void end_with(pid_t parent)
{
#ifdef __linux__
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(127);
#else
    (void)parent;
#endif
}

pid_t child_start(int (*work)(void *arg, size_t worker), void *arg, size_t worker)
{
    const pid_t parent = getpid();
    const pid_t child = fork();

    if (child == 0) {
        end_with(parent);
        _exit(work(arg, worker));
    }
    return child;
}

/* waitpid() for `child`, or any if that is -1, with the status as a shell tells it. */
static pid_t wait_for(pid_t child, int *ended)
{
    int status;
    pid_t who;

    do
        who = waitpid(child, &status, 0);
    while (who < 0 && errno == EINTR);
    if (who > 0)
        *ended = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    return who;
}

int child_wait(pid_t child)
{
    int ended;

    return wait_for(child, &ended) < 0 ? -1 : ended;
}

pid_t child_wait_any(int *ended)
{
    return wait_for(-1, ended);
}

struct start {
    int (*work)(void *arg, size_t worker);
    void *arg;
    int gate[2]; /* a pipe, closed by the parent when all have been started */
};

static int begin(void *arg, size_t worker)
{
    const struct start *const start = arg;
    char called_off;
    ssize_t got;

    close(start->gate[1]);
    do
        got = read(start->gate[0], &called_off, 1);
    while (got < 0 && errno == EINTR);
    close(start->gate[0]);
    return got == 0 ? start->work(start->arg, worker) : 127;
}

int children_run(size_t workers, int (*work)(void *arg, size_t worker), void *arg, int *statuses)
{
    struct start start = { work, arg, { -1, -1 } };
    pid_t *const children = calloc(workers ? workers : 1, sizeof *children);
    size_t started = 0;
    int error = 0;

    if (!children || pipe(start.gate)) {
        free(children);
        return -1;
    }
    while (started < workers && !error) {
        children[started] = child_start(begin, &start, started);
        if (children[started] < 0)
            error = errno;
        else
            started++;
    }
    close(start.gate[0]);
    for (size_t i = 0; error && i < started; i++)
        kill(children[i], SIGKILL);
    close(start.gate[1]);
    for (size_t i = 0; i < started; i++) {
        const int status = child_wait(children[i]);
        if (statuses && !error)
            statuses[i] = status;
    }
    free(children);
    errno = error;
    return error ? -1 : 0;
}

void *children_map(size_t bytes)
{
    void *const memory =
        mmap(NULL, bytes ? bytes : 1, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    return memory == MAP_FAILED ? NULL : memory;
}

void children_unmap(void *memory, size_t bytes)
{
    if (memory)
        munmap(memory, bytes ? bytes : 1);
}
