/*
 * task_parallel - different work at the same time, as OpenMP tasks, and what a task costs
 *
 * `mixed` adds the pairs of an array and subtracts them: two kinds of work on the same data, each
 * pair a task of its own. `fib` computes a Fibonacci number by its definition, each call a task
 * down to --cutoff and a plain call below it. One thread makes the tasks (or the first of them),
 * and all run them; each result comes back in its own place, and taskwait is where it is there.
 *
 *   tasks     a task for each piece: any number of threads, any number of pieces
 *   sections  two pieces that the program text names: two threads at most, and as long as the
 *             longer piece takes (of fib(n): fib(n - 1), 1.6 of 2.6 parts)
 *   serial    one after the other, the measure of the others (speedup)
 *
 * What can go wrong: a task costs about as much as some hundred additions, so tasks that are too
 * small make all slower, however many threads there are (mixed; fib with a small --cutoff), and
 * too few leave threads without work (--cutoff near --n). The thread that makes the tasks may run
 * them all itself, when the others wake too late: a note tells, and `largest share` is the share
 * of the thread that ran most.
 *
 * Run:     make run P=task_parallel ARGS="--task fib --variant all --workers 2"
 * Try:     --task fib --n 36 --cutoff 4:32: which cutoff is best? How many tasks a second are made?
 * Try:     --variant all: how much slower are 2000 tiny tasks? Are the sections any better?
 * Try:     --task fib --variant sections with --workers 2 and 8
 * Test:    --task all --variant all
 * Test:    --task all --variant all --count 0 --n 0
 * Test:    --task all --variant all --count 1 --n 1 --workers 3
 * Test:    --task all --variant all --count 777 --n 15 --cutoff 2:15 --workers 7 --seed 3
 * Test:    --task all --variant all --count 5 --n 20 --cutoff 0 --workers 64
 * Test(2): --task fib --n 94
 * Test(2): --task fib --n 61
 * Test(2): --workers 4097
 * Test(2): --count 9223372036854775807
 * Test(2): --iterations 9223372036854775808
 * Test(77): --count 1000G
 * Test(2): --workers 0
 * Test(2): --variant futures
 */
#include <errno.h>
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "local/lib/data.h"
#include "local/lib/memory.h"
#include "local/lib/program.h"
#include "local/lib/size.h"
#include "local/lib/team.h"
#include "local/lib/turns.h"

enum { MOST_WORKERS = 4096, MOST_N = 60 /* some hours of calls; 64 bits hold up to 93 */ };

static struct {
    size_t workers, count, n, iterations, seed;
    struct range cutoff;
    double secs;
    const char *task, *variant;
} opt = { .workers = 4, .count = 1000, .n = 30, .cutoff = { 18, 18 }, .iterations = 10000,
          .secs = 1, .task = "mixed", .variant = "tasks" };

static const struct arg options[] = {
    { "workers", ARG_SIZE, &opt.workers, "threads", .min = 1, .max = MOST_WORKERS },
    { "task", ARG_CHOICE, &opt.task, "what is done", .choices = "mixed|fib|all" },
    { "variant", ARG_CHOICE, &opt.variant, "how it is shared out",
      .choices = "tasks|sections|serial|all" },
    { "count", ARG_SIZE, &opt.count, "mixed: pairs that are added, and subtracted",
      .max = TEAM_COUNT_MAX },
    { "n", ARG_SIZE, &opt.n, "fib: which Fibonacci number", .max = MOST_N },
    { "cutoff", ARG_RANGE, &opt.cutoff, "fib: calls below this number are no tasks",
      .max = MOST_N + 1 },
    { "seed", ARG_SIZE, &opt.seed, "mixed: other numbers" },
    { "seconds", ARG_SECS, &opt.secs, "time budget for one row" },
    { "iterations", ARG_SIZE, &opt.iterations, "samples of one row at most", .min = 1,
      .max = SAMPLES_MAX },
    ARGS_END,
};

/* Pieces that a thread has run; each counter in a cache line of its own, or all would share one. */
struct counter {
    _Alignas(64) size_t ran;
};

struct job {
    int threads;
    size_t count, cutoff;
    uint64_t *sums, *differences; /* mixed: one a pair */
    uint64_t fib;
    struct counter *counters; /* one a thread */
};

static void count_piece(struct job *job)
{
    job->counters[omp_get_thread_num()].ran++;
}

static uint64_t add(size_t pair)
{
    return element(2 * pair, opt.seed) + element(2 * pair + 1, opt.seed);
}

static uint64_t subtract(size_t pair)
{
    return element(2 * pair + 1, opt.seed) - element(2 * pair, opt.seed);
}

static void add_all(struct job *job)
{
    for (size_t i = 0; i < job->count; i++)
        job->sums[i] = add(i);
}

static void subtract_all(struct job *job)
{
    for (size_t i = 0; i < job->count; i++)
        job->differences[i] = subtract(i);
}

static void mixed_serial(void *arg)
{
    struct job *job = arg;

    count_piece(job);
    add_all(job);
    subtract_all(job);
}

static void mixed_sections(void *arg)
{
    struct job *job = arg;

#pragma omp parallel sections num_threads(job->threads)
    {
#pragma omp section
        {
            count_piece(job);
            add_all(job);
        }
#pragma omp section
        {
            count_piece(job);
            subtract_all(job);
        }
    }
}

static void mixed_tasks(void *arg)
{
    struct job *job = arg;

#pragma omp parallel num_threads(job->threads)
#pragma omp single
    for (size_t i = 0; i < job->count; i++) {
#pragma omp task firstprivate(i)
        {
            count_piece(job);
            job->sums[i] = add(i);
        }
#pragma omp task firstprivate(i)
        {
            count_piece(job);
            job->differences[i] = subtract(i);
        }
    } /* the barrier at the end of `single` waits for all tasks */
}

static uint64_t fib_call(size_t n)
{
    return n < 2 ? n : fib_call(n - 1) + fib_call(n - 2);
}

static uint64_t fib_task(struct job *job, size_t n)
{
    uint64_t one_less;

    if (n < 2 || n < job->cutoff)
        return fib_call(n);
#pragma omp task shared(one_less)
    {
        count_piece(job);
        one_less = fib_task(job, n - 1);
    }
    const uint64_t two_less = fib_task(job, n - 2); /* meanwhile, by this thread */
#pragma omp taskwait
    return one_less + two_less;
}

static void fib_serial(void *arg)
{
    struct job *job = arg;

    count_piece(job);
    job->fib = fib_call(opt.n);
}

static void fib_sections(void *arg)
{
    struct job *job = arg;
    uint64_t one_less = opt.n, two_less = 0; /* right for n < 2 */

#pragma omp parallel sections num_threads(job->threads)
    {
#pragma omp section
        {
            count_piece(job);
            if (opt.n >= 2)
                one_less = fib_call(opt.n - 1);
        }
#pragma omp section
        {
            count_piece(job);
            if (opt.n >= 2)
                two_less = fib_call(opt.n - 2);
        }
    }
    job->fib = one_less + two_less;
}

static void fib_tasks(void *arg)
{
    struct job *job = arg;

#pragma omp parallel num_threads(job->threads)
#pragma omp single
    job->fib = fib_task(job, opt.n);
}

static const struct variant {
    const char *name;
    void (*mixed)(void *job), (*fib)(void *job);
} variants[] = {
    { "serial", mixed_serial, fib_serial }, /* the first: the others are measured by it */
    { "tasks", mixed_tasks, fib_tasks },
    { "sections", mixed_sections, fib_sections },
};
enum { VARIANTS = sizeof variants / sizeof *variants };

/* F(n) and F(n + 1) by fast doubling, modulo 2^64: a way of its own, without a sum of calls. */
static void fast_doubling(size_t n, uint64_t pair[2])
{
    if (n == 0) {
        pair[0] = 0;
        pair[1] = 1;
        return;
    }
    fast_doubling(n / 2, pair);
    const uint64_t even = pair[0] * (2 * pair[1] - pair[0]);
    const uint64_t odd = pair[0] * pair[0] + pair[1] * pair[1];
    pair[0] = n % 2 ? odd : even;
    pair[1] = n % 2 ? even + odd : odd;
}

/* T(n) = 1 + T(n - 1) + T(n - 2) from the cutoff on, 0 below it. */
static size_t expected_tasks(size_t n, size_t cutoff)
{
    size_t two_before = 0, before = 0;

    for (size_t i = 2; i <= n; i++) {
        const size_t now = i < cutoff ? 0 : 1 + before + two_before;
        two_before = before;
        before = now;
    }
    return before;
}

static size_t expected_pieces(const struct variant *variant, const struct job *job, bool is_fib)
{
    if (variant->mixed == mixed_serial)
        return 1;
    if (variant->mixed == mixed_sections)
        return 2;
    return is_fib ? expected_tasks(opt.n, job->cutoff) : 2 * job->count;
}

/* The pair (2i, 2i + 1) holds first + 2i and first + 2i + 1. */
static bool results_are_right(struct program *program, const struct variant *variant,
                              const struct job *job, bool is_fib)
{
    const uint64_t first = 1 + opt.seed * 1000003;
    uint64_t pair[2];

    if (is_fib) {
        fast_doubling(opt.n, pair);
        if (job->fib != pair[0])
            program_verdict(program, false, "%s: fib(%zu) is %llu, not %llu", variant->name, opt.n,
                            (unsigned long long)job->fib, (unsigned long long)pair[0]);
        return job->fib == pair[0];
    }
    for (size_t i = 0; i < job->count; i++) {
        if (job->sums[i] != 2 * first + 4 * i + 1 || job->differences[i] != 1) {
            program_verdict(program, false, "%s: pair %zu: sum %llu, not %llu; difference %llu, "
                            "not 1", variant->name, i, (unsigned long long)job->sums[i],
                            (unsigned long long)(2 * first + 4 * i + 1),
                            (unsigned long long)job->differences[i]);
            return false;
        }
    }
    return true;
}

struct shares {
    size_t pieces, took_part, most;
};

static struct shares count_pieces(const struct job *job)
{
    struct shares shares = { 0 };

    for (int i = 0; i < job->threads; i++) {
        const size_t ran = job->counters[i].ran;
        shares.pieces += ran;
        shares.took_part += ran > 0;
        if (ran > shares.most)
            shares.most = ran;
    }
    return shares;
}

/* One run from nothing, whose results and pieces are looked at. */
static bool is_right(struct program *program, const struct variant *variant, struct job *job,
                     bool is_fib, struct shares *shares)
{
    const size_t pieces = expected_pieces(variant, job, is_fib);

    memset(job->counters, 0, (size_t)job->threads * sizeof *job->counters);
    memset(job->sums, 0, job->count * sizeof *job->sums);
    memset(job->differences, 0, job->count * sizeof *job->differences);
    job->fib = ~UINT64_C(0);
    (is_fib ? variant->fib : variant->mixed)(job);
    *shares = count_pieces(job);
    if (!results_are_right(program, variant, job, is_fib))
        return false;
    if (shares->pieces != pieces)
        program_verdict(program, false, "%s: %zu pieces were run, not %zu", variant->name,
                        shares->pieces, pieces);
    return shares->pieces == pieces;
}

static void add_row(struct program *program, const struct variant *variant, const struct turn *turn,
                    const struct job *job, bool is_fib, const struct shares *shares)
{
    struct record row = program->record;
    const double median = turn->summary.median;
    const bool is_tasks = variant->mixed == mixed_tasks;

    record_text(&row, "task", is_fib ? "fib" : "mixed");
    record_text(&row, "variant", variant->name);
    record_int(&row, "items", (int64_t)(is_fib ? opt.n : job->count));
    if (is_fib && is_tasks)
        record_int(&row, "cutoff", (int64_t)job->cutoff);
    else
        record_null(&row, "cutoff");
    record_int(&row, "pieces", (int64_t)shares->pieces);
    record_int(&row, "took_part", (int64_t)shares->took_part);
    record_real(&row, "largest_share",
                shares->pieces ? (double)shares->most / (double)shares->pieces : NAN);
    record_summary(&row, &turn->summary, true);
    record_real(&row, "pieces_per_s", (double)shares->pieces / median);
    record_real(&row, "speedup", turn->speedup.median);
    row.aside = true;
    record_real(&row, "speedup_low", turn->speedup.has_ci ? turn->speedup.ci_low : NAN);
    record_real(&row, "speedup_high", turn->speedup.has_ci ? turn->speedup.ci_high : NAN);
    row.aside = false;
    record_bool(&row, "verified", true);
    program_row(program, &row);
    if (is_tasks && job->threads > 1 && shares->pieces > 1 && shares->took_part == 1)
        program_note(program, "the last run: all %zu tasks by one thread, the other %d came too "
                     "late", shares->pieces, job->threads - 1);
}

/* All variants in turns; those asked for make rows. */
static enum status measure(struct program *program, struct job *job, bool is_fib)
{
    const struct stop_rule rule = { 20, opt.iterations, opt.secs, 0.02 };
    struct turn turns[VARIANTS];
    const struct variant *chosen[VARIANTS];
    struct shares shares;
    size_t count = 0;

    for (size_t i = 0; i < VARIANTS; i++) {
        const bool is_asked = arg_is(opt.variant, "all") || arg_is(opt.variant, variants[i].name);
        if (i > 0 && !is_asked)
            continue;
        if (!is_right(program, &variants[i], job, is_fib, &shares))
            return FAIL;
        chosen[count] = &variants[i];
        turns[count++] = (struct turn){ is_fib ? variants[i].fib : variants[i].mixed, NULL, job };
    }
    if (turns_run(turns, count, &rule)) {
        program_error("no memory for %zu samples: give fewer --iterations", opt.iterations);
        return UNABLE;
    }
    for (size_t k = 0; k < count; k++) {
        if (!is_right(program, chosen[k], job, is_fib, &shares))
            return FAIL;
        if (k > 0 || !(arg_is(opt.variant, "tasks") || arg_is(opt.variant, "sections")))
            add_row(program, chosen[k], &turns[k], job, is_fib, &shares);
    }
    return PASS;
}

static enum status run_all(struct program *program, struct job *job)
{
    enum status status = PASS;

    if (!arg_is(opt.task, "fib"))
        status = measure(program, job, false);
    for (size_t cutoff = opt.cutoff.from; status == PASS && !arg_is(opt.task, "mixed");) {
        job->cutoff = cutoff;
        status = measure(program, job, true);
        const size_t next = range_next(&opt.cutoff, cutoff);
        if (next <= cutoff)
            break;
        cutoff = next;
    }
    return status;
}

int main(int argc, char **argv)
{
    struct program program;
    enum status status = program_open(&program, argc, argv, options, &opt.workers);

    if (status == PASS && team_try(opt.workers)) {
        program_error("%zu threads: %s: give fewer --workers", opt.workers, strerror(errno));
        status = UNABLE;
    }
    if (status != PASS)
        return program_close(&program, status);

    const bool has_room = !memory_room(size_product(2 * opt.count, sizeof(uint64_t)));
    struct job job = {
        .threads = (int)opt.workers,
        .count = opt.count,
        .sums = has_room ? calloc(opt.count + 1, sizeof *job.sums) : NULL,
        .differences = has_room ? calloc(opt.count + 1, sizeof *job.differences) : NULL,
        .counters = aligned_alloc(64, opt.workers * sizeof *job.counters),
    };
    omp_set_dynamic(0);
    if (job.sums && job.differences && job.counters) {
        status = run_all(&program, &job);
    } else {
        program_error("no memory for %zu pairs: give a smaller --count", opt.count);
        status = UNABLE;
    }
    free(job.counters);
    free(job.differences);
    free(job.sums);
    if (status == PASS)
        program_verdict(&program, true, "every result came back, and every piece was run once");
    return program_close(&program, status);
}
