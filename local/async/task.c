/*
 * task - several computations in turns in one thread: gather, time-out, cancel
 *
 * Three tasks, each a coroutine (local/lib/coroutine) that gives its turn away after every step:
 * the factorial of --n, the Fibonacci number of --n, and the binomial of 2n over n. Gathering them
 * takes as many rounds as the longest has steps, not the sum: that is concurrency. It is no
 * parallelism: one thread does all the steps, and takes as long as one after another.
 *
 * A task may be cancelled: it is told at its next turn, tidies up, and ends. A time-out is that by a
 * clock, here one that counts rounds: --timeout ROUNDS cancels what has not ended by then.
 *
 * What can go wrong: dividing before multiplying, where integers lose the rest (--fault divide_first:
 * the binomial comes out wrong). An argument whose result does not fit into 64 bits is refused.
 *
 * Run:     make run P=task ARGS="--show"
 * Try:     --n 20 --timeout 15 --show: who ends in time, who is cancelled?
 * Try:     --n 20: rounds against steps
 * Test:    --show
 * Test:    --n 0
 * Test:    --n 1
 * Test:    --n 20
 * Test:    --timeout 4 --show
 * Test:    --timeout 0
 * Test(1): --fault divide_first
 * Test(2): --n 21
 */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "local/lib/coroutine.h"
#include "local/lib/program.h"
#include "local/lib/turns.h"

#define LENGTH(array) (sizeof(array) / sizeof *(array))

static struct {
    size_t n, timeout, iterations;
    double secs;
    bool show;
    const char *fault;
} opt = { .n = 10, .timeout = SIZE_MAX, .iterations = 10000, .secs = 0.3 };

static const struct arg options[] = {
    { "n", ARG_SIZE, &opt.n, "argument of the tasks; more, and a result does not fit into 64 bits",
      .max = 20 },
    { "timeout", ARG_SIZE, &opt.timeout, "rounds after which a task is cancelled" },
    { "fault", ARG_CHOICE, &opt.fault, "make a mistake on purpose", .choices = "divide_first" },
    { "show", ARG_FLAG, &opt.show, "who has which turn" },
    { "seconds", ARG_SECS, &opt.secs, "time budget for the row" },
    { "iterations", ARG_SIZE, &opt.iterations, "samples at most", .min = 1,
      .max = SAMPLES_MAX },
    ARGS_END,
};

struct task {
    const char *name;
    void (*body)(void *arg);
    uint64_t (*expected)(size_t n);
    size_t expected_steps;
    struct coroutine *coroutine;
    uint64_t result;
    size_t steps;
    bool cancelled, has_ended, tidied_up;
};

struct gathering {
    struct task tasks[3];
    size_t rounds;
    struct program *shown; /* NULL: nothing is */
    int error;
};

/* The end of a step: the others have their turns. False: cancelled. */
static bool step(struct task *task)
{
    task->steps++;
    coroutine_yield();
    return !task->cancelled;
}

static void factorial(void *arg)
{
    struct task *const task = arg;

    task->result = 1;
    for (size_t i = 2; i <= opt.n; i++) {
        task->result *= i;
        if (!step(task))
            break;
    }
    task->tidied_up = true;
}

static void fibonacci(void *arg)
{
    struct task *const task = arg;
    uint64_t before = 1;

    task->result = 0;
    for (size_t i = 0; i < opt.n; i++) {
        const uint64_t sum = before + task->result;
        before = task->result;
        task->result = sum;
        if (!step(task))
            break;
    }
    task->tidied_up = true;
}

/* After i steps C(n + i, i): what is divided by i + 1 is a multiple of it, if multiplied before. */
static void binomial(void *arg)
{
    struct task *const task = arg;

    task->result = 1;
    for (size_t i = 1; i <= opt.n; i++) {
        task->result = opt.fault ? task->result / i * (opt.n + i) : task->result * (opt.n + i) / i;
        if (!step(task))
            break;
    }
    task->tidied_up = true;
}

/* n! by the powers of its primes (Legendre). */
static uint64_t expected_factorial(size_t n)
{
    uint64_t product = 1;

    for (size_t p = 2; p <= n; p++) {
        bool is_prime = true;
        for (size_t q = 2; q * q <= p; q++)
            is_prime &= p % q != 0;
        for (size_t power = p; is_prime && power <= n; power *= p)
            for (size_t i = 0; i < n / power; i++)
                product *= p;
    }
    return product;
}

/* By doubling: F(2k) = F(k) (2 F(k+1) - F(k)), F(2k+1) = F(k)^2 + F(k+1)^2. */
static uint64_t expected_fibonacci(size_t n)
{
    uint64_t a = 0, b = 1;

    for (int bit = 6; bit >= 0; bit--) {
        const uint64_t even = a * (2 * b - a), odd = a * a + b * b;
        a = n >> bit & 1 ? odd : even;
        b = n >> bit & 1 ? even + odd : odd;
    }
    return a;
}

/* By Pascal's triangle. */
static uint64_t expected_binomial(size_t n)
{
    uint64_t row[42] = { 1 };

    for (size_t i = 1; i <= 2 * n; i++)
        for (size_t k = i; k > 0; k--)
            row[k] += row[k - 1];
    return row[n];
}

/* Every round a turn for each that has not ended. */
static void gather(void *arg)
{
    struct gathering *const g = arg;
    size_t left = LENGTH(g->tasks);

    for (g->rounds = 0; left > 0; g->rounds++) {
        for (size_t i = 0; i < LENGTH(g->tasks); i++) {
            struct task *const task = &g->tasks[i];
            if (task->has_ended)
                continue;
            task->cancelled |= g->rounds >= opt.timeout;
            if (g->shown)
                fprintf(program_text(g->shown), "round %zu: %s%s\n", g->rounds, task->name,
                        task->cancelled ? ", cancelled" : "");
            /* Cancelled before its first turn, it never begins. */
            task->has_ended = (task->cancelled && g->rounds == 0) ||
                              !coroutine_resume(task->coroutine);
            left -= task->has_ended;
        }
    }
}

static void begin(void *arg)
{
    struct gathering *const g = arg;
    const struct task tasks[] = {
        { .name = "factorial", .body = factorial, .expected = expected_factorial,
          .expected_steps = opt.n > 0 ? opt.n - 1 : 0 },
        { .name = "fibonacci", .body = fibonacci, .expected = expected_fibonacci,
          .expected_steps = opt.n },
        { .name = "binomial", .body = binomial, .expected = expected_binomial,
          .expected_steps = opt.n },
    };

    for (size_t i = 0; i < LENGTH(tasks); i++) {
        coroutine_destroy(g->tasks[i].coroutine);
        g->tasks[i] = tasks[i];
        g->tasks[i].coroutine = coroutine_create(tasks[i].body, &g->tasks[i], 0);
        if (!g->tasks[i].coroutine)
            g->error = errno;
    }
}

static void run(void *arg)
{
    struct gathering *const g = arg;

    if (!g->error)
        gather(g);
}

static enum status check(struct program *program, const struct gathering *g)
{
    size_t longest = 0;

    for (size_t i = 0; i < LENGTH(g->tasks); i++) {
        const struct task *const task = &g->tasks[i];
        const size_t steps = task->expected_steps < opt.timeout ? task->expected_steps : opt.timeout;
        longest = steps > longest ? steps : longest;
        if (!task->tidied_up && !(task->cancelled && task->steps == 0))
            return program_verdict(program, false, "%s did not tidy up", task->name);
        if (task->cancelled != (task->expected_steps >= opt.timeout))
            return program_verdict(program, false, "%s was %scancelled after %zu steps", task->name,
                                   task->cancelled ? "" : "not ", task->steps);
        if (!task->cancelled && task->result != task->expected(opt.n))
            return program_verdict(program, false, "%s: %" PRIu64 ", not %" PRIu64, task->name,
                                   task->result, task->expected(opt.n));
        if (!task->cancelled && task->steps != task->expected_steps)
            return program_verdict(program, false, "%s took %zu steps, not %zu", task->name,
                                   task->steps, task->expected_steps);
    }
    /* One more round than steps: in which the last one is told that it has nothing left. */
    if (g->rounds != longest + 1)
        return program_verdict(program, false, "%zu rounds, not %zu", g->rounds, longest + 1);
    return PASS;
}

int main(int argc, char **argv)
{
    struct program program;
    enum status status = program_open(&program, argc, argv, options, NULL);
    const struct stop_rule rule = { 30, opt.iterations, opt.secs, 0.02 };
    struct gathering g = { 0 };
    struct turn turn = { .operation = run, .prepare = begin, .arg = &g };

    if (status == PASS && turns_run(&turn, 1, &rule))
        g.error = errno;
    if (status == PASS && !g.error) {
        begin(&g);
        g.shown = opt.show ? &program : NULL;
        run(&g);
    }
    if (status == PASS && g.error) {
        program_error("stacks for three tasks: %s: give fewer --iterations, or more memory",
                      strerror(g.error));
        status = UNABLE;
    }
    if (status == PASS) {
        struct record row = program.record;
        size_t steps = 0;
        status = check(&program, &g);
        for (size_t i = 0; i < LENGTH(g.tasks); i++)
            steps += g.tasks[i].steps;
        record_int(&row, "n", (int64_t)opt.n);
        record_int(&row, "steps", (int64_t)steps);
        record_int(&row, "rounds", (int64_t)g.rounds);
        record_summary(&row, &turn.summary, status == PASS);
        record_real(&row, "steps_per_s",
                    status == PASS && steps ? (double)steps / turn.summary.median : NAN);
        record_bool(&row, "verified", status == PASS);
        program_row(&program, &row);
        if (status == PASS)
            program_verdict(&program, true, "three tasks, %zu steps in %zu rounds, each result as "
                            "computed another way", steps, g.rounds);
    }
    for (size_t i = 0; i < LENGTH(g.tasks); i++)
        coroutine_destroy(g.tasks[i].coroutine);
    return program_close(&program, status);
}
