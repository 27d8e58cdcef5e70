/*
 * reduce - many numbers become one: sums, the largest, and pi, by all threads
 *
 * The numbers are shared out, every thread reduces its own part, and the parts are put together.
 * `sum` and `max` read an array of 64-bit integers: what limits them is memory, 8 bytes an element,
 * and the share of its bandwidth that is reached is told (fraction). The limit is measured in
 * turns with the variants, by the widest loads that there are, on all CPUs, over as large an array
 * (but 192 MiB at least and 1 GiB at most); or it is given (--limit-bandwidth), as likwid-bench's
 * load or sum kernel measures it. `pi` reads nothing: the midpoint rule for 4 / (1 + x^2), 0 to 1.
 *
 *   reduction  OpenMP's clause: a private copy a thread, put together at the end, in any order
 *   critical   the same by hand: a private copy, and one critical section a thread
 *   atomic     one shared result, and an atomic operation an element: right, and slow
 *   pairwise   blocks of 4096 elements, put together in pairs: the same bits for any workers
 *
 * What can go wrong: a + b + c in floats depends on the order, so that pi differs in its last bits
 * with the number of workers (bit patterns: how many results 1, 2, 3 and 7 workers give), though
 * pairwise gives one. With W parts of floor(n / W) elements the remainder is lost in silence
 * (--fault remainder). Without any protection additions are lost when two threads meet (--fault
 * plain: until they do, a thousand times at most, and threads offer their core now and then).
 *
 * Run:     make run P=data/reduce ARGS="--term all --variant all --workers 2"
 * Try:     --term pi --variant all --workers 7: which bits change from run to run?
 * Try:     --count 64M --workers 1, 2, 8: one core does not reach the machine's bandwidth
 * Try:     --fault remainder --workers 3 with --count 1000, 1001 and 1002
 * Test:    --term all --variant all
 * Test:    --variant all --count 0
 * Test:    --term all --variant all --count 1 --workers 3
 * Test:    --term all --variant all --count 100003 --workers 7 --seed 5
 * Test:    --term all --variant all --count 5 --workers 64
 * Test:    --pages small --limit-bandwidth 40000000000
 * Test(1): --fault remainder --count 1001
 * Test(1): --fault remainder --count 1001 --term max
 * Test(1): --fault remainder --count 1001 --term pi
 * Test:    --fault remainder --count 1000
 * Test(1): --fault plain
 * Test(1): --fault plain --workers 7 --count 1001 --term pi
 * Test(1): --fault plain --workers 2 --count 2
 * Test(1): --fault plain --workers 3 --count 99 --term max
 * Test:    --fault plain --workers 1
 * Test(2): --term pi --count 0
 * Test(2): --workers 0
 * Test(2): --workers 4097
 * Test(2): --count 9223372036854775807
 * Test(2): --iterations 9223372036854775808
 * Test(77): --count 1000G
 * Test(2): --variant tree
 */
#include <errno.h>
#include <math.h>
#include <omp.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "local/lib/bandwidth.h"
#include "local/lib/cpus.h"
#include "local/lib/data.h"
#include "local/lib/memory.h"
#include "local/lib/pages.h"
#include "local/lib/program.h"
#include "local/lib/size.h"
#include "local/lib/team.h"
#include "local/lib/turns.h"

#ifdef __GNUC__
#define ALWAYS_INLINE __attribute__((always_inline))
#ifdef __x86_64__
#define HAVE_X86 1
#endif
#else
#define ALWAYS_INLINE
#endif

enum { MOST_WORKERS = 4096, BLOCK = 4096, ROUNDS = 1000 };
static const size_t least_limit_bytes = (size_t)192 << 20, most_limit_bytes = (size_t)1 << 30;

static struct {
    size_t workers, count, iterations, seed, limit_bandwidth;
    double secs;
    const char *term, *variant, *fault, *pages;
} opt = { .workers = 4, .count = 1 << 20, .iterations = 1000, .secs = 1, .term = "sum",
          .variant = "reduction", .pages = "huge" };

static const struct arg options[] = {
    { "workers", ARG_SIZE, &opt.workers, "threads", .min = 1, .max = MOST_WORKERS },
    { "count", ARG_SIZE, &opt.count, "elements", .max = TEAM_COUNT_MAX },
    { "term", ARG_CHOICE, &opt.term, "what is computed", .choices = "sum|max|pi|all" },
    { "variant", ARG_CHOICE, &opt.variant, "how parts are put together",
      .choices = "reduction|critical|atomic|pairwise|all" },
    { "fault", ARG_CHOICE, &opt.fault, "make a mistake on purpose", .choices = "remainder|plain" },
    { "pages", ARG_CHOICE, &opt.pages, "pages of memory to ask for", .choices = "huge|small" },
    { "limit-bandwidth", ARG_SIZE, &opt.limit_bandwidth,
      "bytes/s that memory can give, as likwid-bench measures it; 0: measure it here" },
    { "seed", ARG_SIZE, &opt.seed, "other numbers" },
    { "seconds", ARG_SECS, &opt.secs, "time budget for one row" },
    { "iterations", ARG_SIZE, &opt.iterations, "samples of one row at most", .min = 1,
      .max = SAMPLES_MAX },
    ARGS_END,
};

enum term { SUM, MAX, PI };
static const char *const terms[] = { "sum", "max", "pi" };

union result { /* `real` of pi, `whole` of the others */
    uint64_t whole;
    double real;
};

struct job {
    enum term term;
    int threads, took_part;
    const uint64_t *values;
    size_t count;
    union result *blocks; /* pairwise */
    union result result;
};

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static inline ALWAYS_INLINE uint64_t sum_loop(const uint64_t *values, size_t count)
{
    uint64_t sum = 0;

#pragma omp simd reduction(+ : sum)
    for (size_t i = 0; i < count; i++)
        sum += values[i];
    return sum;
}

static inline ALWAYS_INLINE uint64_t max_loop(const uint64_t *values, size_t count)
{
    uint64_t most = 0;

#pragma omp simd reduction(max : most)
    for (size_t i = 0; i < count; i++)
        most = larger(most, values[i]);
    return most;
}

/* Binaries are for any x86, and two integers an instruction are too few for two cores to wait for
 * memory alone: so the same loops again for CPUs that can take more, chosen when they run. */
#ifdef HAVE_X86
__attribute__((target("avx512f")))
static uint64_t sum_avx512(const uint64_t *values, size_t count)
{
    return sum_loop(values, count);
}

__attribute__((target("avx512f")))
static uint64_t max_avx512(const uint64_t *values, size_t count)
{
    return max_loop(values, count);
}

__attribute__((target("avx2")))
static uint64_t sum_avx2(const uint64_t *values, size_t count)
{
    return sum_loop(values, count);
}

__attribute__((target("avx2")))
static uint64_t max_avx2(const uint64_t *values, size_t count)
{
    return max_loop(values, count);
}
#endif

static uint64_t sum_part(const uint64_t *values, size_t count)
{
#ifdef HAVE_X86
    if (__builtin_cpu_supports("avx512f"))
        return sum_avx512(values, count);
    if (__builtin_cpu_supports("avx2"))
        return sum_avx2(values, count);
#endif
    return sum_loop(values, count);
}

static uint64_t max_part(const uint64_t *values, size_t count)
{
#ifdef HAVE_X86
    if (__builtin_cpu_supports("avx512f"))
        return max_avx512(values, count);
    if (__builtin_cpu_supports("avx2"))
        return max_avx2(values, count);
#endif
    return max_loop(values, count);
}

static double pi_term(size_t i, size_t count)
{
    const double x = ((double)i + 0.5) / (double)count;

    return 4 / (1 + x * x) / (double)count;
}

static double pi_part(size_t start, size_t part, size_t count)
{
    double sum = 0;

    for (size_t i = start; i < start + part; i++)
        sum += pi_term(i, count);
    return sum;
}

/* What the elements `start` ... of a part come to, and two such results together. */
static union result part_of(const struct job *job, size_t start, size_t part)
{
    switch (job->term) {
    case SUM: return (union result){ .whole = sum_part(job->values + start, part) };
    case MAX: return (union result){ .whole = max_part(job->values + start, part) };
    default: return (union result){ .real = pi_part(start, part, job->count) };
    }
}

static union result combine(enum term term, union result a, union result b)
{
    switch (term) {
    case SUM: return (union result){ .whole = a.whole + b.whole };
    case MAX: return (union result){ .whole = larger(a.whole, b.whole) };
    default: return (union result){ .real = a.real + b.real };
    }
}

static union result nothing(enum term term)
{
    return term == PI ? (union result){ .real = 0 } : (union result){ .whole = 0 };
}

static struct block my_block(size_t count)
{
    return block_of(count, (uint64_t)omp_get_num_threads(), (uint64_t)omp_get_thread_num());
}

static void by_reduction(void *arg)
{
    struct job *job = arg;
    uint64_t sum = 0, most = 0;
    double pi = 0;
    int took_part = 0;

#pragma omp parallel num_threads(job->threads) reduction(+ : sum, pi, took_part) \
    reduction(max : most)
    {
        const struct block mine = my_block(job->count);
        if (job->term == SUM)
            sum = sum_part(job->values + mine.start, mine.count);
        else if (job->term == MAX)
            most = max_part(job->values + mine.start, mine.count);
        else
            pi = pi_part(mine.start, mine.count, job->count);
        took_part = 1;
    }
    job->took_part = took_part;
    job->result = job->term == PI ? (union result){ .real = pi }
                                  : (union result){ .whole = job->term == SUM ? sum : most };
}

static void by_critical(void *arg)
{
    struct job *job = arg;

    job->result = nothing(job->term);
    job->took_part = 0;
#pragma omp parallel num_threads(job->threads)
    {
        const struct block mine = my_block(job->count);
        const union result part = part_of(job, mine.start, mine.count);
#pragma omp critical
        {
            job->result = combine(job->term, job->result, part);
            job->took_part++;
        }
    }
}

static void atomic_max(_Atomic uint64_t *most, uint64_t value)
{
    uint64_t seen = atomic_load_explicit(most, memory_order_relaxed);

    while (seen < value && !atomic_compare_exchange_weak(most, &seen, value))
        continue; /* `seen` is now what another thread has stored */
}

static void by_atomic(void *arg)
{
    struct job *job = arg;
    const uint64_t *values = job->values;
    uint64_t sum = 0;
    _Atomic uint64_t most = 0;
    double pi = 0;
    int took_part = 0;

#pragma omp parallel num_threads(job->threads) reduction(+ : took_part)
    {
        took_part = 1;
#pragma omp for schedule(static)
        for (size_t i = 0; i < job->count; i++) {
            if (job->term == MAX) {
                atomic_max(&most, values[i]);
            } else if (job->term == SUM) {
#pragma omp atomic
                sum += values[i];
            } else {
                const double term = pi_term(i, job->count);
#pragma omp atomic
                pi += term;
            }
        }
    }
    job->took_part = took_part;
    job->result = job->term == PI ? (union result){ .real = pi }
                                  : (union result){ .whole = job->term == SUM ? sum : most };
}

/* The shape of the tree depends on the number of blocks alone, never on that of the workers. */
static union result pair_up(enum term term, const union result *blocks, size_t count)
{
    if (count == 0)
        return nothing(term);
    if (count == 1)
        return blocks[0];
    return combine(term, pair_up(term, blocks, count / 2),
                   pair_up(term, blocks + count / 2, count - count / 2));
}

static void by_pairs(void *arg)
{
    struct job *job = arg;
    const size_t blocks = (job->count + BLOCK - 1) / BLOCK;
    int took_part = 0;

#pragma omp parallel num_threads(job->threads) reduction(+ : took_part)
    {
        took_part = 1;
#pragma omp for schedule(static)
        for (size_t block = 0; block < blocks; block++) {
            const size_t start = block * BLOCK;
            const size_t left = job->count - start;
            job->blocks[block] = part_of(job, start, left < BLOCK ? left : BLOCK);
        }
    }
    job->took_part = took_part;
    job->result = pair_up(job->term, job->blocks, blocks);
}

/* --fault remainder: parts of one size, and nobody takes what is left over. */
static void without_remainder(void *arg)
{
    struct job *job = arg;

    job->result = nothing(job->term);
    job->took_part = 0;
#pragma omp parallel num_threads(job->threads)
    {
        const size_t part = job->count / (size_t)omp_get_num_threads();
        const union result mine = part_of(job, part * (size_t)omp_get_thread_num(), part);
#pragma omp critical
        {
            job->result = combine(job->term, job->result, mine);
            job->took_part++;
        }
    }
}

/* --fault plain: load, add, store; what another thread stored in between is lost. */
static void unprotected(void *arg)
{
    struct job *job = arg;
    _Atomic uint64_t shared;
    union result now = nothing(job->term);
    int took_part = 0;

    atomic_init(&shared, now.whole);
#pragma omp parallel num_threads(job->threads) private(now) reduction(+ : took_part)
    {
        const struct block mine = my_block(job->count);
        const size_t end = mine.start + mine.count, eighth = mine.count / 8 + 1;
        for (size_t i = mine.start; i < end; i++) {
            const union result element = part_of(job, i, 1);
            now.whole = atomic_load_explicit(&shared, memory_order_relaxed);
            if ((end - 1 - i) % eighth == 0) /* at the last one too, which decides `max` */
                sched_yield();
            now = combine(job->term, now, element);
            atomic_store_explicit(&shared, now.whole, memory_order_relaxed);
        }
        took_part = 1;
    }
    job->took_part = took_part;
    job->result.whole = shared;
}

static const struct variant {
    const char *name;
    void (*reduce)(void *job);
    bool is_fault;
} variants[] = {
    { "reduction", by_reduction, false }, { "critical", by_critical, false },
    { "atomic", by_atomic, false },       { "pairwise", by_pairs, false },
    { "remainder", without_remainder, true }, { "plain", unprotected, true },
};
enum { VARIANTS = sizeof variants / sizeof *variants };

/* The limit: not the code that is measured, and on as many threads as there are CPUs. */
struct limit {
    const uint64_t *words;
    size_t count;
    int threads;
    uint64_t result;
};

static void read_all(void *arg)
{
    struct limit *limit = arg;
    uint64_t result = 0;

#pragma omp parallel num_threads(limit->threads) reduction(^ : result)
    {
        const struct block mine = my_block(limit->count);
        result = bandwidth_read(limit->words + mine.start, mine.count);
    }
    limit->result = result;
}

/* OpenMP starts threads anew where a team is of another size than the last: not to be timed. */
static void gather_team(void *arg)
{
    const struct limit *limit = arg;

#pragma omp parallel num_threads(limit->threads)
    {
    }
}

/* Values by place, each part touched first by the thread that will read it. */
static uint64_t *array_open(size_t count, int threads)
{
    uint64_t *values = pages_alloc(size_product(count, sizeof *values), arg_is(opt.pages, "huge"));

    if (!values)
        return NULL;
#pragma omp parallel num_threads(threads)
    {
        const struct block mine = my_block(count);
        elements_fill(values + mine.start, mine.start, mine.count, opt.seed);
    }
    return values;
}

/* What the closed form says, modulo 2^64; the values grow with their place. */
static uint64_t expected(enum term term)
{
    const uint64_t n = opt.count, first = element(0, opt.seed);

    if (term == MAX)
        return n ? element(n - 1, opt.seed) : 0;
    return n * first + (n % 2 ? (n - 1) / 2 * n : n / 2 * (n - 1));
}

/* Midpoint rule: f'' is at most 8 in absolute value, so the error at most 8 / (24 n^2). Then the
 * rounding of n terms (5 operations each) and of n additions, whose sum is below 4. */
static double pi_bound(void)
{
    const double n = (double)opt.count;

    return 1 / (3 * n * n) + (n + 5) * 0x1p-53 * 4;
}

static double pi_error(const struct job *job)
{
    return fabs(job->result.real - 3.14159265358979323846);
}

static bool came_out(const struct job *job)
{
    return job->term == PI ? pi_error(job) <= pi_bound() : job->result.whole == expected(job->term);
}

static bool is_right(struct program *program, const struct variant *variant, const struct job *job)
{
    const bool right = came_out(job);

    if (!right && job->term == PI)
        program_verdict(program, false, "%s: pi is %.17g: off by %.3g, %.3g is allowed",
                        variant->name, job->result.real, pi_error(job), pi_bound());
    else if (!right)
        program_verdict(program, false, "%s: the %s is %llu, not %llu", variant->name,
                        terms[job->term], (unsigned long long)job->result.whole,
                        (unsigned long long)expected(job->term));
    return right;
}

/* Runs with 1, 2, 3 and 7 workers: how many different results, or 0 if one of them is wrong. */
static int bit_patterns(struct program *program, const struct variant *variant, struct job job)
{
    const int teams[] = { 1, 2, 3, 7 };
    uint64_t seen[4];
    int patterns = 0;

    for (int i = 0; i < 4; i++) {
        job.threads = teams[i];
        variant->reduce(&job);
        if (!is_right(program, variant, &job))
            return 0;
        int k = 0;
        while (k < patterns && seen[k] != job.result.whole)
            k++;
        if (k == patterns)
            seen[patterns++] = job.result.whole;
    }
    if (variant->reduce == by_pairs && patterns > 1) {
        program_verdict(program, false, "pairwise: %d results of 1, 2, 3 and 7 workers", patterns);
        return 0;
    }
    return patterns;
}

static void add_row(struct program *program, const struct variant *variant, const struct job *job,
                    const struct summary *summary, double limit, double fraction, int patterns,
                    bool right)
{
    const double bytes = job->term == PI ? 0 : 8.0 * (double)job->count;
    const bool is_measured = right && summary->count > 0 && job->count > 0;
    struct record row = program->record;
    char result[32];

    if (job->term == PI)
        snprintf(result, sizeof result, "%.17g", job->result.real);
    else
        snprintf(result, sizeof result, "%llu", (unsigned long long)job->result.whole);
    record_text(&row, "term", terms[job->term]);
    record_text(&row, "variant", variant->name);
    record_int(&row, "count", (int64_t)job->count);
    record_int(&row, "bytes", (int64_t)bytes);
    record_int(&row, "took_part", job->took_part);
    record_summary(&row, summary, is_measured);
    record_real(&row, "elements_per_s",
                is_measured ? (double)job->count / summary->median : NAN);
    record_real(&row, "bytes_per_s", is_measured && bytes > 0 ? bytes / summary->median : NAN);
    record_real(&row, "fraction", is_measured && bytes > 0 ? fraction : NAN);
    row.aside = true;
    record_real(&row, "limit_bytes_per_s", is_measured && bytes > 0 ? limit : NAN);
    record_text(&row, "limit_by", opt.limit_bandwidth ? "given" : "read");
    record_text(&row, "pages", opt.pages);
    record_text(&row, "result", result);
    row.aside = false;
    record_int(&row, "bit_patterns", patterns);
    record_bool(&row, "verified", right);
    program_row(program, &row);
}

/* The limit and the variants in turns. */
static enum status measure(struct program *program, struct job jobs[],
                           const struct variant *const chosen[], size_t count, const int patterns[],
                           struct limit *limit)
{
    const struct stop_rule rule = { 10, opt.iterations, opt.secs, 0.02 };
    const size_t limits = limit->words && jobs[0].term != PI ? 1 : 0;
    const double bytes = 8.0 * (double)opt.count, limit_bytes = 8.0 * (double)limit->count;
    struct turn turns[1 + VARIANTS] = { { read_all, gather_team, limit } };

    for (size_t k = 0; k < count; k++)
        turns[limits + k] = (struct turn){ chosen[k]->reduce, NULL, &jobs[k] };
    if (turns_run(turns, limits + count, &rule)) {
        program_error("no memory for %zu samples: give fewer --iterations", opt.iterations);
        return UNABLE;
    }
    for (size_t k = 0; k < count; k++) {
        const struct turn *turn = &turns[limits + k];
        const double given = (double)opt.limit_bandwidth;
        const bool right = is_right(program, chosen[k], &jobs[k]);
        add_row(program, chosen[k], &jobs[k], &turn->summary,
                limits ? limit_bytes / turns[0].summary.median : given,
                limits ? turn->speedup.median * bytes / limit_bytes
                       : bytes / turn->summary.median / given, patterns[k], right);
        if (!right)
            return FAIL;
    }
    return PASS;
}

static enum status run(struct program *program, enum term term, struct job job, struct limit *limit)
{
    const char *wanted = opt.fault ? opt.fault : opt.variant;
    const bool by_chance = arg_is(opt.fault, "plain") && opt.workers > 1 && opt.count > 1;
    const struct variant *chosen[VARIANTS];
    struct job jobs[VARIANTS];
    int patterns[VARIANTS];
    size_t count = 0;

    job.term = term;
    for (size_t i = 0; i < VARIANTS; i++) {
        if (!arg_is(wanted, variants[i].name) && !(arg_is(wanted, "all") && !variants[i].is_fault))
            continue;
        variants[i].reduce(&job);
        for (int k = 1; k < ROUNDS && by_chance && came_out(&job); k++)
            variants[i].reduce(&job);
        bool right = is_right(program, &variants[i], &job);
        /* Integers cannot differ in their order; and a fault needs its number of workers. */
        patterns[count] = term == PI && !opt.fault && right
                              ? bit_patterns(program, &variants[i], job) : right;
        right = patterns[count] > 0;
        if (!right || opt.fault)
            add_row(program, &variants[i], &job, &(struct summary){ 0 }, NAN, NAN, patterns[count],
                    right);
        if (!right)
            return FAIL;
        chosen[count] = &variants[i];
        jobs[count++] = job;
    }
    return opt.fault ? PASS : measure(program, jobs, chosen, count, patterns, limit);
}

/* All terms over one array; the limit has its own. */
static enum status run_all(struct program *program)
{
    const size_t bytes = opt.count > most_limit_bytes / 8 ? most_limit_bytes : 8 * opt.count;
    struct job job = { .threads = (int)opt.workers, .count = opt.count };
    struct limit limit = { .count = (bytes < least_limit_bytes ? least_limit_bytes : bytes) / 8 };
    struct cpus cpus;
    enum status status = UNABLE;
    uint64_t *values = NULL, *words = NULL;
    const bool reads = !arg_is(opt.term, "pi"), needs_limit = reads && !opt.limit_bandwidth &&
                                                              !opt.fault;
    const size_t wanted = size_sum(reads ? size_product(opt.count, sizeof *values) : 0,
                                   size_product(opt.count / BLOCK + 1, sizeof *job.blocks));

    limit.threads = cpus_granted(&cpus) ? cpus_online() : cpus_count(&cpus);
    if (team_try(opt.workers > (size_t)limit.threads ? opt.workers : (size_t)limit.threads)) {
        program_error("%zu threads: %s: give fewer --workers", opt.workers, strerror(errno));
        return UNABLE;
    }
    if (!memory_room(size_sum(wanted, needs_limit ? 8 * limit.count : 0))) {
        values = array_open(reads ? opt.count : 0, (int)opt.workers);
        job.blocks = size_alloc(opt.count / BLOCK + 1, sizeof *job.blocks);
    }
    job.values = values;
    if (needs_limit && values)
        limit.words = words = array_open(limit.count, limit.threads);
    if (!values || !job.blocks || (needs_limit && !words)) {
        program_error("no memory for %zu elements: give a smaller --count", opt.count);
    } else {
        status = PASS;
        for (int term = SUM; term <= PI && status == PASS; term++)
            if (arg_is(opt.term, terms[term]) ||
                (arg_is(opt.term, "all") && (term != PI || opt.count > 0)))
                status = run(program, term, job, &limit);
    }
    pages_free(words, limit.count * sizeof *words);
    free(job.blocks);
    pages_free(values, (reads ? opt.count : 0) * sizeof *values);
    return status;
}

int main(int argc, char **argv)
{
    struct program program;
    enum status status = program_open(&program, argc, argv, options, &opt.workers);

    if (status == PASS && arg_is(opt.term, "pi") && opt.count == 0)
        status = program_usage(&program, "--term pi --count 0: no slice has a midpoint: give more");
    omp_set_dynamic(0);
    if (status == PASS) {
        if (opt.limit_bandwidth)
            program_note(&program, "limit: %.1f GB/s, as given", (double)opt.limit_bandwidth / 1e9);
        else if (!opt.fault && !arg_is(opt.term, "pi"))
            program_note(&program, "limit: reading by %s on all CPUs, in turns", bandwidth_kind());
        status = run_all(&program);
    }
    program_fault(&program, opt.fault, status == PASS,
                  arg_is(opt.fault, "remainder") ? "no element is left over"
                  : opt.workers == 1 || opt.count < 2 ? "one thread has nobody to meet"
                                                      : "no two threads met, in a thousand runs");
    if (status == PASS)
        program_verdict(&program, true, "%zu workers, %zu elements: every result is right",
                        opt.workers, opt.count);
    return program_close(&program, status);
}
