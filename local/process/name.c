/*
 * name - the three names of a process
 *
 * A process has an id, which the system gives and which is its own while it lives; a name of at
 * most 15 bytes that the kernel keeps for ps and top; and the words it was started with, the first
 * of which tools take for its name. Each child gives itself a name and tells it through a pipe; the
 * parent reads it back from the system by the child's id.
 *
 * What can go wrong: a name of more than 15 bytes is cut off without a word (--fault long). Who
 * looks a process up by name may then find none, or another one.
 *
 * Linux; elsewhere there is no name to read back, and the program ends with 77.
 *
 * Run:     make run P=process/name ARGS="--workers 3 --show"
 * Try:     --fault long --show: which end of the name is lost?
 * Test:    --show
 * Test:    --workers 64
 * Test:    --workers 1
 * Test(1): --fault long
 * Test(2): --workers 0
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#include "local/lib/children.h"
#include "local/lib/program.h"

static struct {
    size_t workers;
    bool show;
    const char *fault;
} opt = { .workers = 4 };

static const struct arg options[] = {
    { "workers", ARG_SIZE, &opt.workers, "child processes", .min = 1, .max = CHILDREN_MAX },
    { "show", ARG_FLAG, &opt.show, "id and name of each" },
    { "fault", ARG_CHOICE, &opt.fault, "make a mistake on purpose", .choices = "long" },
    ARGS_END,
};

/* What one child tells of itself; `release` is closed when it may end. */
struct told {
    long pid, parent;
    size_t number;
};

struct ends {
    int told[2], release[2];
};

static void name_of(size_t number, char name[64])
{
    snprintf(name, 64, arg_is(opt.fault, "long") ? "a-very-long-name-of-worker-%zu" : "worker-%zu",
             number);
}

#ifdef __linux__
static int work(void *arg, size_t worker)
{
    const struct ends *const ends = arg;
    const struct told told = { (long)getpid(), (long)getppid(), worker };
    char name[64], end;

    name_of(worker, name);
    prctl(PR_SET_NAME, name);
    close(ends->release[1]);
    close(ends->told[0]);
    if (write(ends->told[1], &told, sizeof told) != sizeof told)
        return 1;
    while (read(ends->release[0], &end, 1) < 0 && errno == EINTR)
        continue;
    return 0;
}

/* The kernel's name of a process, without the newline. False: there is no such process. */
static bool read_name(long pid, char *name, size_t size)
{
    char path[64];

    snprintf(path, sizeof path, "/proc/%ld/comm", pid);
    FILE *const file = fopen(path, "r");
    const bool found = file && fgets(name, (int)size, file);
    if (file)
        fclose(file);
    if (found)
        name[strcspn(name, "\n")] = '\0';
    return found;
}

/* Takes what each child tells, in any order, into its place. */
static enum status hear(struct program *program, int file, struct children *children,
                        struct told *all)
{
    for (size_t i = 0; i < children->count; i++) {
        struct pollfd files = { .fd = file, .events = POLLIN };
        struct told told;
        char text[128];
        size_t who;
        if (children_poll(children, &files, 1, HUGE_VAL, &who) < 0 && errno == ECHILD) {
            children_tell(children, who, text, sizeof text);
            return program_verdict(program, false, "%s", text);
        }
        if (read(file, &told, sizeof told) != sizeof told)
            return program_verdict(program, false, "%zu children have told nothing",
                                   children->count - i);
        if (all[told.number].pid != 0)
            return program_verdict(program, false, "worker %zu told twice", told.number);
        all[told.number] = told;
    }
    return PASS;
}

static enum status look(struct program *program, const struct told *told)
{
    char expected[64], name[64] = "";

    name_of(told->number, expected);
    if (told->parent != (long)getpid())
        return program_verdict(program, false, "process %ld says that its parent is %ld, not %ld",
                               told->pid, told->parent, (long)getpid());
    const bool found = read_name(told->pid, name, sizeof name);
    if (opt.show)
        fprintf(program_text(program), "process %ld: %s\n", told->pid, name);
    if (!found)
        return program_verdict(program, false, "there is no process %ld", told->pid);
    if (strcmp(name, expected) != 0)
        return program_verdict(program, false, "process %ld is called %s, not %s: a name has 15 "
                               "bytes at most", told->pid, name, expected);
    return PASS;
}

static enum status run(struct program *program)
{
    struct ends ends;
    struct children children;
    struct told *const told = calloc(opt.workers, sizeof *told);
    enum status status = PASS;
    char text[128];
    size_t who;

    if (!told || pipe(ends.told) || pipe(ends.release) ||
        children_begin(&children, opt.workers, work, &ends)) {
        program_error("%zu processes: %s: give fewer --workers", opt.workers, strerror(errno));
        free(told);
        return UNABLE;
    }
    close(ends.told[1]);
    status = hear(program, ends.told[0], &children, told);
    for (size_t i = 0; i < children.count && status == PASS; i++)
        status = look(program, &told[i]);
    close(ends.release[1]);
    if (status == PASS && !children_join(&children, NULL, NULL, &who)) {
        children_tell(&children, who, text, sizeof text);
        status = program_verdict(program, false, "%s", text);
    }
    children_close(&children);
    close(ends.release[0]);
    close(ends.told[0]);
    free(told);
    return status;
}
#endif

int main(int argc, char **argv)
{
    struct program program;
    enum status status = program_open(&program, argc, argv, options, &opt.workers);

    if (status != PASS)
        return program_close(&program, status);
#ifdef __linux__
    status = access("/proc/self/comm", R_OK) == 0 ? run(&program) : UNABLE;
#else
    status = UNABLE;
#endif
    if (status == UNABLE && access("/proc/self/comm", R_OK))
        program_error("this system does not tell a process's name: Linux does, by /proc");
    if (status == PASS || status == FAIL) {
        struct record row = program.record;
        record_int(&row, "processes", (int64_t)opt.workers);
        record_bool(&row, "verified", status == PASS);
        program_row(&program, &row);
    }
    if (status == PASS)
        program_verdict(&program, true, "%zu processes, each with an id of its own and the name it "
                        "gave itself", opt.workers);
    return program_close(&program, status);
}
