/*
 * background - who waits for whom when the main process ends
 *
 * Two children write --count lines each into a pipe. One must finish its work, the other may be
 * stopped:
 *
 *   wait    the parent waits for the first, and then for the second one too
 *   stop    the parent waits for the first, stops the second one (SIGTERM) after half of its lines,
 *           and collects its status
 *   detach  the second one goes into a session of its own by a double fork, is nobody's child any
 *           more, and outlives the parent's interest in it; it ends when it has written its lines
 *
 * The lines are handed out one by one, by handshake, so the outcome is no race.
 *
 * What can go wrong: the parent ends and forgets the second child, which goes on by itself (--fault
 * orphan): here it is found, ended, and called wrong. Children of this program end when it is
 * killed, whatever happens (Linux).
 *
 * Run:     make run P=background ARGS="--variant all --show"
 * Try:     --variant stop --show: the lines of the stopped one are a prefix
 * Try:     --fault orphan, and look for it with ps while it is there (--hold 10s)
 * Test:    --variant all --show
 * Test:    --variant all --count 1001
 * Test:    --variant all --count 1
 * Test:    --variant all --count 0
 * Test(1): --fault orphan
 * Test(2): --variant nohup
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#include "local/lib/children.h"
#include "local/lib/clock.h"
#include "local/lib/program.h"

static struct {
    size_t count;
    double hold;
    bool show;
    const char *variant, *fault;
} opt = { .count = 5, .hold = 0, .variant = "wait" };

static const struct arg options[] = {
    { "count", ARG_SIZE, &opt.count, "lines of each child", .max = 1 << 20 },
    { "variant", ARG_CHOICE, &opt.variant, "what becomes of the second child",
      .choices = "wait|stop|detach|all" },
    { "fault", ARG_CHOICE, &opt.fault, "make a mistake on purpose", .choices = "orphan" },
    { "hold", ARG_SECS, &opt.hold, "orphan: how long it is left alone" },
    { "show", ARG_FLAG, &opt.show, "who wrote how many lines, and how it ended" },
    ARGS_END,
};

/* One child's pipes: it asks for a line's turn by reading `turn`, and writes into `lines`. */
struct pipes {
    int turn[2], lines[2];
};

struct line {
    size_t number;
    long pid;
};

static void close_all(struct pipes *p)
{
    int *const files[] = { &p->turn[0], &p->turn[1], &p->lines[0], &p->lines[1] };

    for (int i = 0; i < 4; i++)
        if (*files[i] >= 0)
            close(*files[i]);
}

static int open_all(struct pipes *p)
{
    *p = (struct pipes){ { -1, -1 }, { -1, -1 } };
    return pipe(p->turn) || pipe(p->lines) ? -1 : 0;
}

enum { ONE_MORE = '+', ENOUGH = '.' };

/* A line at each ONE_MORE, until ENOUGH. */
static int write_lines(void *arg, size_t worker)
{
    struct pipes *const p = arg;
    struct line line = { 0, (long)getpid() };
    char turn;

    (void)worker;
    close(p->turn[1]);
    for (;;) {
        const ssize_t got = read(p->turn[0], &turn, 1);
        if (got < 0 && errno == EINTR)
            continue;
        if (got == 1 && turn == ENOUGH)
            return 0;
        if (got != 1 || write(p->lines[1], &line, sizeof line) != sizeof line)
            return 1; /* the parent is gone */
        line.number++;
    }
}

static void tell_enough(struct pipes *p)
{
    const char turn = ENOUGH;

    if (write(p->turn[1], &turn, 1) != 1)
        return; /* it has ended: its status tells */
}

/* Lets the child write its next line. The line's number, or -1. */
static long next_line(struct pipes *p, long *pid)
{
    const char turn = ONE_MORE;
    struct line line;
    ssize_t got;

    if (write(p->turn[1], &turn, 1) != 1)
        return -1;
    do
        got = read(p->lines[0], &line, sizeof line);
    while (got < 0 && errno == EINTR);
    if (got != sizeof line)
        return -1;
    *pid = line.pid;
    return (long)line.number;
}

/* Lets it write `count` lines. Returns how many came in order; *pid: who wrote. */
static size_t take_lines(struct pipes *p, size_t count, long *pid)
{
    for (size_t i = 0; i < count; i++)
        if (next_line(p, pid) != (long)i)
            return i;
    return count;
}

/*
 * A child of a child, which has ended: the system's first process, or whom it has named, is its
 * parent now. Its id comes with its first line; that it ended shows at the end of its pipe.
 */
static int detach(void *arg, size_t worker)
{
    setsid();
    const pid_t grandchild = fork();
    if (grandchild == 0) {
#ifdef __linux__
        prctl(PR_SET_PDEATHSIG, 0); /* it is meant to outlive this one */
#endif
        _exit(write_lines(arg, worker));
    }
    return grandchild > 0 ? 0 : 1;
}

/* Both ends of what the other process has closed. */
static bool has_ended(const struct pipes *p)
{
    char byte;
    ssize_t got;

    do
        got = read(p->lines[0], &byte, 1);
    while (got < 0 && errno == EINTR);
    return got == 0;
}

static enum status expect(struct program *program, const char *variant, const char *who, pid_t pid,
                          size_t lines, size_t expected, int ended, int as)
{
    if (opt.show)
        fprintf(program_text(program), "%s: the %s wrote %zu lines of %zu and ended with %d\n",
                variant, who, lines, opt.count, ended);
    if (ended != as) {
        char text[128];
        child_tell(who, pid, ended, text, sizeof text);
        return program_verdict(program, false, "%s: the %s, after %zu lines of %zu", variant, text,
                               lines, expected);
    }
    if (lines != expected)
        return program_verdict(program, false, "%s: the %s wrote %zu lines in order, not %zu",
                               variant, who, lines, expected);
    return PASS;
}

/* Starts it, and keeps the parent's ends alone. */
static pid_t start(struct pipes *p, int (*work)(void *, size_t))
{
    const pid_t child = child_start(work, p, 0);

    close(p->turn[0]);
    close(p->lines[1]);
    p->turn[0] = p->lines[1] = -1;
    return child;
}

/* Leaves the second child alone for --hold. Whether it lives then, uncollected, so that its id is
 * its own. */
static bool abandon(pid_t child, int *ended)
{
    const int64_t begin = clock_ns();
    bool lives = !child_has_ended(child, ended);

    while (lives && clock_secs(begin, clock_ns()) < opt.hold) {
        clock_sleep(opt.hold < 0.1 ? opt.hold : 0.1);
        lives = !child_has_ended(child, ended);
    }
    return lives;
}

/* What becomes of the second child, *other, when the first one is done; 0 when it was waited for.
 * */
static enum status finish(struct program *program, const char *variant, struct pipes *second,
                          pid_t *other)
{
    const bool detaches = strcmp(variant, "detach") == 0;
    const pid_t child = *other;
    long pid = 0;
    int ended = 0;

    if (strcmp(variant, "orphan") == 0) {
        if (abandon(child, &ended))
            return program_verdict(program, false, "orphan: the parent is done, and process %ld "
                                   "lives on: nobody waits for it (it has been ended)",
                                   (long)child);
        *other = 0;
        return expect(program, variant, "second child", child, 0, 0, child_wait(child), 0);
    }
    if (strcmp(variant, "stop") == 0) {
        const size_t lines = take_lines(second, opt.count / 2, &pid);
        kill(child, SIGTERM);
        *other = 0;
        return expect(program, variant, "second child", child, lines, opt.count / 2,
                      child_wait(child), 128 + SIGTERM);
    }
    if (detaches) /* the one in between */
        ended = child_wait(child);
    const size_t lines = take_lines(second, opt.count, &pid);
    tell_enough(second);
    if (!detaches)
        ended = child_wait(child);
    *other = 0;
    const enum status status = expect(program, variant, "second child", child, lines, opt.count,
                                      ended, 0);
    if (status == PASS && detaches && opt.count > 0 && pid == (long)child)
        return program_verdict(program, false, "detach: it is still our child");
    if (status == PASS && !has_ended(second))
        return program_verdict(program, false, "%s: the second child has not ended", variant);
    return status;
}

static void end_child(pid_t child)
{
    if (child <= 0)
        return;
    kill(child, SIGKILL);
    child_wait(child);
}

static enum status run(struct program *program, const char *variant)
{
    struct pipes first, second;
    long pid = 0;
    enum status status = UNABLE;

    if (open_all(&first) || open_all(&second)) {
        program_error("pipes: %s: close files, or raise the limit of open ones", strerror(errno));
        return UNABLE;
    }
    pid_t firm = start(&first, write_lines);
    pid_t other = firm > 0 ? start(&second, strcmp(variant, "detach") == 0 ? detach : write_lines)
                           : -1;
    if (other > 0) {
        const size_t lines = take_lines(&first, opt.count, &pid);
        tell_enough(&first);
        const int ended = child_wait(firm);
        status = expect(program, variant, "first child", firm, lines, opt.count, ended, 0);
        firm = 0;
    } else {
        program_error("two processes: %s: raise the limit of processes", strerror(errno));
    }
    if (status == PASS)
        status = finish(program, variant, &second, &other);
    end_child(firm);
    end_child(other);
    close_all(&first);
    close_all(&second);
    return status;
}

int main(int argc, char **argv)
{
    static const char *const variants[] = { "wait", "stop", "detach" };
    struct program program;
    enum status status = program_open(&program, argc, argv, options, NULL);

    signal(SIGPIPE, SIG_IGN); /* a child that is gone shows as an error of write() */
    for (size_t i = 0; i < 4 && status == PASS; i++) {
        const char *const variant = i < 3 ? variants[i] : opt.fault;
        if (opt.fault ? i != 3 : i == 3 || !(arg_is(opt.variant, variants[i]) ||
                                              arg_is(opt.variant, "all")))
            continue;
        status = run(&program, variant);
        struct record row = program.record;
        record_text(&row, "variant", variant);
        record_int(&row, "count", (int64_t)opt.count);
        record_bool(&row, "verified", status == PASS);
        program_row(&program, &row);
    }
    if (status == PASS)
        program_verdict(&program, true, "every child wrote the lines that it was let, ended as it "
                        "should, and was waited for");
    return program_close(&program, status);
}
