/*
 * coroutine - many state machines in one thread, as functions that keep their place
 *
 * Each machine goes from `start` by way of s1, s2 and s3 to its end; at every visit a bit of its own
 * random sequence says where to:
 *
 *          start  s1  s2  s3
 *     0     s2    s3  s1  s1
 *     1     s1    s2  s3  end
 *
 * They take turns, a visit each. Written in three ways:
 *
 *   callback  the place is a variable: a step looks it up, does its visit, and returns
 *   context   the place is a place in the code: a coroutine with a stack of its own, which yields
 *             after each visit (local/lib/coroutine, a switch of ten instructions)
 *   ucontext  the same with swapcontext(), which saves the signal mask by system calls
 *
 * What can go wrong: a machine that calls its next state as a function goes deeper with every visit
 * and returns at the end alone, so nobody else has a turn: this is why it has to yield. A step that
 * blocks stops all machines.
 *
 * Run:     make run P=coroutine ARGS="--variant all"
 * Try:     --variant all --machines 1 and 10000: the stacks no longer fit into the cache
 * Try:     --machines 1 --seed 5 --show: a path
 * Test:    --variant all
 * Test:    --variant all --machines 1 --show
 * Test:    --variant all --machines 2 --seed 7
 * Test:    --variant all --machines 0
 * Test:    --variant all --machines 3001 --seed 123
 * Test(2): --variant thread
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include "local/lib/coroutine.h"
#include "local/lib/data.h"
#include "local/lib/program.h"
#include "local/lib/turns.h"

#define LENGTH(array) (sizeof(array) / sizeof *(array))

enum { PATH_MAX_KEPT = 256 };

static struct {
    size_t machines, seed, iterations;
    double secs;
    bool show;
    const char *variant;
} opt = { .machines = 1000, .iterations = 10000, .secs = 0.3, .variant = "context" };

static const struct arg options[] = {
    { "machines", ARG_SIZE, &opt.machines, "state machines at once", .max = 1 << 20 },
    { "seed", ARG_SIZE, &opt.seed, "of their random sequences" },
    { "variant", ARG_CHOICE, &opt.variant, "how a machine keeps its place",
      .choices = "callback|context|ucontext|all" },
    { "show", ARG_FLAG, &opt.show, "the path of the first machine" },
    { "seconds", ARG_SECS, &opt.secs, "time budget for one row" },
    { "iterations", ARG_SIZE, &opt.iterations, "samples of one row at most", .min = 1,
      .max = SAMPLES_MAX },
    ARGS_END,
};

enum state { START, S1, S2, S3, END };

static const enum state next_state[][2] = {
    [START] = { S2, S1 }, [S1] = { S3, S2 }, [S2] = { S1, S3 }, [S3] = { S1, END },
};
static const char *const names[] = { "start", "s1", "s2", "s3", "end" };

struct machine {
    uint64_t random;
    size_t visits;
    uint64_t digest;  /* of the path: every state and its place count */
    enum state state; /* callback's place */
    unsigned char path[PATH_MAX_KEPT];
    struct coroutine *coroutine;
    ucontext_t *context;
    void *stack;
    bool ended;
};

struct crowd {
    const struct choice *choice;
    struct machine *machines;
    size_t steps; /* of all, of the last run */
    bool failed;
    int error;
};

/* A bit of the machine's own sequence (the high bit of a linear congruential generator). */
static int bit_of(struct machine *m)
{
    m->random = m->random * 6364136223846793005 + 1442695040888963407;
    return (int)(m->random >> 63);
}

static void visit(struct machine *m, enum state state)
{
    if (m->visits < PATH_MAX_KEPT)
        m->path[m->visits] = (unsigned char)state;
    m->visits++;
    m->digest = m->digest * 31 + state + 1;
}

static void begin(struct machine *m, size_t number)
{
    m->random = byte_element(number, opt.seed) + 256 * (uint64_t)number + 1000003 * opt.seed;
    for (int i = 0; i < 4; i++)
        bit_of(m); /* neighbours begin alike */
    m->visits = 0;
    m->digest = 0;
    m->state = START;
    m->ended = false;
}

/* ---- callback: one visit, and back ---- */

static bool step_callback(struct machine *m)
{
    visit(m, m->state);
    m->state = next_state[m->state][bit_of(m)];
    return m->state != END;
}

/* ---- context, ucontext: the whole way, with a yield at each visit ---- */

static struct machine *current;
static ucontext_t scheduler;

static void go(struct machine *m, void (*yield)(void))
{
    visit(m, START);
    yield();
    if (bit_of(m))
        goto s1;
    goto s2;
s1:
    visit(m, S1);
    yield();
    if (bit_of(m))
        goto s2;
    goto s3;
s2:
    visit(m, S2);
    yield();
    if (bit_of(m))
        goto s3;
    goto s1;
s3:
    visit(m, S3);
    yield();
    if (bit_of(m))
        return;
    goto s1;
}

static void body_context(void *arg)
{
    go(arg, coroutine_yield);
}

static bool step_context(struct machine *m)
{
    return coroutine_resume(m->coroutine);
}

static void yield_ucontext(void)
{
    swapcontext(current->context, &scheduler);
}

static void body_ucontext(void)
{
    go(current, yield_ucontext);
    current->ended = true;
    swapcontext(current->context, &scheduler);
}

static bool step_ucontext(struct machine *m)
{
    current = m;
    swapcontext(&scheduler, m->context);
    return !m->ended;
}

static const struct choice {
    const char *name;
    bool (*step)(struct machine *machine);
} choices[] = {
    { "callback", step_callback }, { "context", step_context }, { "ucontext", step_ucontext },
};

static void forget(struct machine *m)
{
    coroutine_destroy(m->coroutine);
    free(m->context);
    free(m->stack);
    m->coroutine = NULL;
    m->context = NULL;
    m->stack = NULL;
}

static int open_ucontext(struct machine *m)
{
    const size_t bytes = 32 << 10;

    m->context = malloc(sizeof *m->context);
    m->stack = malloc(bytes);
    if (!m->context || !m->stack)
        return -1;
    getcontext(m->context);
    m->context->uc_stack.ss_sp = m->stack;
    m->context->uc_stack.ss_size = bytes;
    makecontext(m->context, body_ucontext, 0);
    return 0;
}

/* All at their start, with fresh stacks: not timed. */
static void prepare(void *arg)
{
    struct crowd *const crowd = arg;

    for (size_t i = 0; i < opt.machines && !crowd->error; i++) {
        struct machine *const m = &crowd->machines[i];
        forget(m);
        begin(m, i);
        if (crowd->choice->step == step_context) {
            m->coroutine = coroutine_create(body_context, m, 0);
            crowd->error = m->coroutine ? 0 : errno;
        } else if (crowd->choice->step == step_ucontext && open_ucontext(m)) {
            crowd->error = ENOMEM;
        }
    }
    crowd->failed = crowd->error;
}

/* In turns, a visit each, until all have ended. */
static void run(void *arg)
{
    struct crowd *const crowd = arg;
    size_t left = opt.machines;

    crowd->steps = 0;
    for (size_t i = 0; i < opt.machines; i++)
        crowd->machines[i].ended = false;
    while (left > 0 && !crowd->error) {
        for (size_t i = 0; i < opt.machines; i++) {
            struct machine *const m = &crowd->machines[i];
            if (m->ended)
                continue;
            crowd->steps++;
            if (!crowd->choice->step(m)) {
                m->ended = true;
                left--;
            }
        }
    }
}

/* A legal path, and the one that the machine alone would take. */
static enum status check(struct program *program, const struct crowd *crowd)
{
    const char *const name = crowd->choice->name;
    const double n = (double)opt.machines;
    double visits = 0;

    for (size_t i = 0; i < opt.machines; i++) {
        const struct machine *const m = &crowd->machines[i];
        static struct machine alone;
        begin(&alone, i);
        while (step_callback(&alone))
            continue;
        for (size_t k = 0; k + 1 < m->visits && k + 1 < PATH_MAX_KEPT; k++)
            if (next_state[m->path[k]][0] != m->path[k + 1] &&
                next_state[m->path[k]][1] != m->path[k + 1])
                return program_verdict(program, false, "%s: machine %zu goes from %s to %s", name, i,
                                       names[m->path[k]], names[m->path[k + 1]]);
        if (m->visits != alone.visits || m->digest != alone.digest)
            return program_verdict(program, false, "%s: machine %zu made %zu visits, alone %zu, or "
                                   "went another way", name, i, m->visits, alone.visits);
        visits += (double)m->visits;
    }
    if (n >= 30 && fabs(visits / n - 7) > 5 * sqrt(22 / n))
        return program_verdict(program, false, "%s: %.2f visits in the mean, 7 are expected", name,
                               visits / n);
    return PASS;
}

/* ---- The switch alone: there and back ---- */

static ucontext_t there, back;

static void yield_for_ever(void *arg)
{
    (void)arg;
    for (;;)
        coroutine_yield();
}

static void swap_for_ever(void)
{
    for (;;)
        swapcontext(&there, &back);
}

static void resume_once(void *arg)
{
    coroutine_resume(arg);
}

static void swap_once(void *arg)
{
    (void)arg;
    swapcontext(&back, &there);
}

/* Seconds of one switch by coroutine and by swapcontext(), in turns. -1 with errno. */
static int time_switches(struct turn turns[2])
{
    const struct stop_rule rule = { 30, opt.iterations, opt.secs, 0.02 };
    static char stack[64 << 10];
    struct coroutine *const c = coroutine_create(yield_for_ever, NULL, 0);

    if (!c)
        return -1;
    getcontext(&there);
    there.uc_stack.ss_sp = stack;
    there.uc_stack.ss_size = sizeof stack;
    makecontext(&there, swap_for_ever, 0);
    turns[0] = (struct turn){ .operation = resume_once, .arg = c };
    turns[1] = (struct turn){ .operation = swap_once };
    const int status = turns_run(turns, 2, &rule);
    for (int i = 0; i < 2; i++)
        stats_scale(&turns[i].summary, 0.5);
    coroutine_destroy(c);
    return status;
}

static void add_row(struct program *program, const struct crowd *crowd, struct turn *turn,
                    const struct turn switches[2], bool right)
{
    const double steps = crowd->steps ? (double)crowd->steps : 1;
    const struct turn *const of = crowd->choice->step == step_context    ? &switches[0]
                                  : crowd->choice->step == step_ucontext ? &switches[1]
                                                                         : NULL;
    struct record row = program->record;

    stats_scale(&turn->summary, 1 / steps);
    record_text(&row, "variant", crowd->choice->name);
    record_int(&row, "machines", (int64_t)opt.machines);
    record_int(&row, "steps", (int64_t)crowd->steps);
    record_summary(&row, &turn->summary, right);
    record_real(&row, "steps_per_s",
                right && crowd->steps ? 1 / turn->summary.median : NAN);
    record_real(&row, "switch_ns", of ? 1e9 * of->summary.median : NAN);
    record_bool(&row, "verified", right);
    program_row(program, &row);
}

static enum status compare(struct program *program, struct crowd *crowds, size_t count)
{
    const struct stop_rule rule = { 5, opt.iterations, opt.secs, 0.02 };
    struct turn turns[LENGTH(choices)], switches[2];
    enum status status = PASS;
    int error = 0;

    for (size_t i = 0; i < count; i++)
        turns[i] = (struct turn){ .operation = run, .prepare = prepare, .arg = &crowds[i],
                                  .failed = &crowds[i].failed };
    if (turns_run(turns, count, &rule) || time_switches(switches))
        error = errno;
    for (size_t i = 0; i < count; i++)
        error = crowds[i].failed ? crowds[i].error : error;
    if (error) {
        program_error("%zu stacks: %s: give fewer --machines", opt.machines, strerror(error));
        return UNABLE;
    }
    for (size_t i = 0; i < count && status == PASS; i++) {
        status = check(program, &crowds[i]);
        add_row(program, &crowds[i], &turns[i], switches, status == PASS);
    }
    if (status == PASS)
        program_note(program, "a switch: %.3g ns by coroutine (%s), %.3g ns by swapcontext, %.1f "
                     "times as long", 1e9 * switches[0].summary.median, coroutine_kind(),
                     1e9 * switches[1].summary.median, 1 / switches[1].speedup.median);
    return status;
}

static void show_path(struct program *program, const struct machine *m)
{
    fprintf(program_text(program), "machine 0:");
    for (size_t i = 0; i < m->visits && i < PATH_MAX_KEPT; i++)
        fprintf(program_text(program), " %s", names[m->path[i]]);
    fprintf(program_text(program), " %s\n", m->visits < PATH_MAX_KEPT ? names[END] : "...");
}

int main(int argc, char **argv)
{
    struct program program;
    enum status status = program_open(&program, argc, argv, options, NULL);
    struct crowd crowds[LENGTH(choices)];
    size_t count = 0;

    for (size_t i = 0; i < LENGTH(choices) && status == PASS; i++) {
        if (!arg_is(opt.variant, choices[i].name) && !arg_is(opt.variant, "all"))
            continue;
        struct machine *const machines = calloc(opt.machines + 1, sizeof *machines);
        crowds[count++] = (struct crowd){ .choice = &choices[i], .machines = machines,
                                          .error = machines ? 0 : ENOMEM };
        if (!machines) {
            program_error("no memory for %zu machines: give fewer", opt.machines);
            status = UNABLE;
        }
    }
    if (status == PASS)
        status = compare(&program, crowds, count);
    if (status == PASS && opt.show && opt.machines > 0)
        show_path(&program, &crowds[0].machines[0]);
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; crowds[i].machines && k < opt.machines; k++)
            forget(&crowds[i].machines[k]);
        free(crowds[i].machines);
    }
    if (status == PASS)
        program_verdict(&program, true, "%zu machines in turns, each went the way it goes alone",
                        opt.machines);
    return program_close(&program, status);
}
