#define _DEFAULT_SOURCE 1 /* MAP_ANONYMOUS, getentropy() */
#include "local/lib/children.h"
#include "local/lib/clock.h"
#include "local/lib/size.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __APPLE__
#include <sys/random.h>
#endif
#ifdef __linux__
#include <sys/prctl.h>
#endif

/* Also if the parent has ended just before we could ask for it. */
void child_ends_with(pid_t parent)
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
    signal(SIGCHLD, SIG_DFL); /* where it was inherited as ignored, no status is kept for us */
    const pid_t child = fork();

    if (child == 0) {
        child_ends_with(parent);
        _exit(work(arg, worker));
    }
    return child;
}

/* waitpid() for `child`, or any if that is -1, with the status as a shell tells it. */
static pid_t wait_for(pid_t child, int *ended, int flags)
{
    int status;
    pid_t who;

    do
        who = waitpid(child, &status, flags);
    while (who < 0 && errno == EINTR);
    if (who > 0)
        *ended = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    return who;
}

int child_wait(pid_t child)
{
    int ended;

    return wait_for(child, &ended, 0) < 0 ? -1 : ended;
}

pid_t child_wait_any(int *ended)
{
    return wait_for(-1, ended, 0);
}

bool child_has_ended(pid_t child, int *ended)
{
    siginfo_t info = { 0 };

    while (waitid(P_PID, (id_t)child, &info, WEXITED | WNOHANG | WNOWAIT) && errno == EINTR)
        continue;
    if (info.si_pid != child)
        return false;
    *ended = info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
    return true;
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

int children_open(struct children *children, size_t room)
{
    *children = (struct children){ .each = size_alloc(room, sizeof *children->each), .room = room };
    return children->each ? 0 : -1;
}

void children_close(struct children *children)
{
    children_kill(children);
    free(children->each);
    *children = (struct children){ 0 };
}

void children_add(struct children *children, pid_t pid)
{
    children->each[children->count++] = (struct child){ pid, -1 };
    children->living++;
}

int children_begin(struct children *children, size_t workers, int (*work)(void *arg, size_t worker),
                   void *arg)
{
    struct start start = { work, arg, { -1, -1 } };
    int error = 0;

    if (children_open(children, workers))
        return -1;
    if (pipe(start.gate)) {
        error = errno;
    } else {
        while (children->count < workers && !error) {
            const pid_t child = child_start(begin, &start, children->count);
            if (child < 0)
                error = errno;
            else
                children_add(children, child);
        }
        close(start.gate[0]);
        if (error)
            children_kill(children); /* before the gate opens */
        close(start.gate[1]);
    }
    if (error)
        children_close(children);
    errno = error;
    return error ? -1 : 0;
}

static void note_end(struct children *children, size_t who, int status)
{
    children->each[who].status = status;
    children->living--;
}

int children_next(struct children *children, double limit_secs, size_t *who)
{
    const int64_t begin = clock_ns();
    const bool forever = isinf(limit_secs);

    while (children->living > 0) {
        int ended;
        const pid_t child = wait_for(-1, &ended, forever ? 0 : WNOHANG);
        if (child < 0)
            return -1;
        for (size_t i = 0; child > 0 && i < children->count; i++) {
            if (children->each[i].pid == child && children->each[i].status < 0) {
                note_end(children, i, ended);
                *who = i;
                return 0;
            }
        }
        if (child == 0 && clock_secs(begin, clock_ns()) >= limit_secs) {
            errno = ETIMEDOUT;
            return -1;
        }
        if (child == 0)
            clock_sleep(1e-3);
    }
    errno = ECHILD;
    return -1;
}

bool children_fell(struct children *children, size_t *who)
{
    bool found = false;

    for (size_t i = 0; i < children->count; i++) {
        int status = children->each[i].status;
        if (status < 0 && !child_has_ended(children->each[i].pid, &status))
            continue;
        if (status > 128 || (status > 0 && !found))
            *who = i;
        found |= status > 0;
        if (status > 128)
            break;
    }
    return found;
}

int children_poll(struct children *children, struct pollfd *files, size_t count, double limit_secs,
                  size_t *who)
{
    const double slice = 0.1;
    const int64_t begin = clock_ns();

    for (;;) {
        const double left = limit_secs - clock_secs(begin, clock_ns());
        const double secs = fmax(0, fmin(slice, left));
        const int ready = poll(files, (nfds_t)count, (int)ceil(1e3 * secs));
        if (ready > 0 || (ready < 0 && errno != EINTR))
            return ready;
        if (children_fell(children, who)) {
            errno = ECHILD;
            return -1;
        }
        if (left <= 0)
            return 0;
    }
}

bool children_join(struct children *children, bool (*may_end)(void *arg, size_t who, int status),
                   void *arg, size_t *who)
{
    size_t ended;

    while (children_next(children, HUGE_VAL, &ended) == 0) {
        const int status = children->each[ended].status;
        if (status != 0 && !(may_end && may_end(arg, ended, status))) {
            children_kill(children);
            *who = ended;
            return false;
        }
    }
    return true;
}

void children_kill(struct children *children)
{
    for (size_t i = 0; i < children->count; i++)
        if (children->each[i].status < 0)
            kill(children->each[i].pid, SIGKILL);
    for (size_t i = 0; i < children->count; i++) {
        if (children->each[i].status < 0) {
            const int ended = child_wait(children->each[i].pid);
            note_end(children, i, ended < 0 ? 128 + SIGKILL : ended);
        }
    }
}

void child_tell(const char *what, pid_t pid, int status, char *text, size_t size)
{
    if (status > 128)
        snprintf(text, size, "%s (pid %ld) was killed by signal %d", what, (long)pid, status - 128);
    else
        snprintf(text, size, "%s (pid %ld) ended with %d", what, (long)pid, status);
}

void children_tell(const struct children *children, size_t who, char *text, size_t size)
{
    int status = children->each[who].status;
    char what[64];

    if (status < 0) /* it was seen by children_fell(), and has not been waited for */
        child_has_ended(children->each[who].pid, &status);
    snprintf(what, sizeof what, "process %zu", who);
    child_tell(what, children->each[who].pid, status, text, size);
}

int children_run(size_t workers, int (*work)(void *arg, size_t worker), void *arg, int *statuses)
{
    struct children children;
    size_t who;

    if (children_begin(&children, workers, work, arg))
        return -1;
    while (children_next(&children, HUGE_VAL, &who) == 0)
        if (statuses)
            statuses[who] = children.each[who].status;
    children_close(&children);
    return 0;
}

void *children_map(size_t bytes)
{
    void *const memory =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    return memory == MAP_FAILED ? NULL : memory;
}

void children_unmap(void *memory, size_t bytes)
{
    if (memory)
        munmap(memory, bytes);
}

void children_name(const char *what, char name[64])
{
    uint64_t random;

    if (getentropy(&random, sizeof random))
        random = (uint64_t)clock_ns() ^ (uint64_t)getpid() << 40;
    snprintf(name, 64, "/lockstep-%s-%016" PRIx64, what, random);
}
