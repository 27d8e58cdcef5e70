/*
 * vector_add - c = a + b, shared out over threads, and the bandwidth that limits it
 *
 * Every thread adds its own part of two arrays of floats. An addition costs nothing beside the 12
 * bytes that must come from memory and go there, so what counts is the share of the machine's
 * bandwidth that is reached (fraction). The limit is measured in the same run, in turns with the
 * variants: a triad by the widest loads and stores that there are, on all CPUs, on arrays as large
 * as the largest that are added, but of 192 MiB at least and 1 GiB at most in all; or it is given
 * (--limit-bandwidth), as likwid-bench measures it. Bytes are counted as STREAM and likwid do: 12
 * an element. A fraction far above 1 means that the arrays stay in the caches.
 *
 *   serial    one thread, one element after the other
 *   simd      one thread, several elements by each instruction
 *   threads   all workers, each several elements at once
 *   stream    threads, by stores that go past the caches (non-temporal): an ordinary store first
 *             reads the line it writes to, 16 bytes an element and not 12
 *   offload   a device, with the way there and back; 77 if there is none
 *
 * What can go wrong: for a short array the threads cost more than they save (--count 256:16M tells
 * from where on they win). Whoever times the first run times the system handing out pages (--cold).
 * Small pages cost as well (--pages small): each miss in the page tables is a walk in memory.
 *
 * Run:     make run P=vector_add ARGS="--count 64M --workers 2 --variant all"
 * Try:     --variant all --count 256:16M: from where on do the threads win?
 * Try:     --cold, with --pages small and huge: the first touch costs more than the addition
 * Try:     --workers 1, 2, 8 with --count 64M: does one core reach the machine's bandwidth?
 * Test:    --variant all
 * Test:    --variant all --count 0
 * Test:    --variant all --count 1 --workers 3
 * Test:    --variant all --count 100003 --workers 7 --seed 5
 * Test:    --variant all --count 1:5000 --workers 64
 * Test:    --variant all --cold --pages small --count 10001
 * Test:    --cold --limit-bandwidth 50000000000
 * Test(2): --workers 0
 * Test(2): --workers 1000000
 * Test(2): --count 9223372036854775807
 * Test(2): --iterations 9223372036854775808
 * Test(77): --count 1000G
 * Test(77): --count 8:1000G
 * Test(2): --variant gpu
 */
#include <errno.h>
#include <math.h>
#include <omp.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "local/lib/bandwidth.h"
#include "local/lib/cpus.h"
#include "local/lib/data.h"
#include "local/lib/memory.h"
#include "local/lib/pages.h"
#include "local/lib/program.h"
#include "local/lib/size.h"
#include "local/lib/team.h"
#include "local/lib/turns.h"

enum { MOST_WORKERS = 4096, LINE = 16 /* floats of a cache line */ };
static const size_t least_limit_count = (size_t)16 << 20, most_limit_count = (size_t)85 << 20;
static const double bytes_each = 3 * sizeof(float);

static struct {
    size_t workers, iterations, seed, limit_bandwidth;
    struct range count;
    double secs;
    bool cold;
    const char *variant, *pages;
} opt = { .workers = 4, .iterations = 1000, .count = { 1 << 20, 1 << 20 }, .secs = 1,
          .variant = "stream", .pages = "huge" };

static const struct arg options[] = {
    { "workers", ARG_SIZE, &opt.workers, "threads", .min = 1, .max = MOST_WORKERS },
    { "count", ARG_RANGE, &opt.count, "elements of each array", .max = TEAM_COUNT_MAX },
    { "variant", ARG_CHOICE, &opt.variant, "how to add",
      .choices = "serial|simd|threads|stream|offload|all" },
    { "cold", ARG_FLAG, &opt.cold, "a new array for each result: time the first touch as well" },
    { "pages", ARG_CHOICE, &opt.pages, "pages of memory to ask for", .choices = "huge|small" },
    { "limit-bandwidth", ARG_SIZE, &opt.limit_bandwidth,
      "bytes/s that memory can give, as likwid-bench measures it; 0: measure it here" },
    { "seed", ARG_SIZE, &opt.seed, "other numbers" },
    { "seconds", ARG_SECS, &opt.secs, "time budget for one row" },
    { "iterations", ARG_SIZE, &opt.iterations, "samples of one row at most", .min = 1,
      .max = SAMPLES_MAX },
    ARGS_END,
};

struct vectors {
    float *a, *b, *c;
    size_t count;
    int threads, took_part;
    bool no_memory; /* for a cold array */
};

static void add_serial(void *arg)
{
    struct vectors *v = arg;

    for (size_t i = 0; i < v->count; i++)
        v->c[i] = v->a[i] + v->b[i];
    v->took_part = 1;
}

static void add_simd(void *arg)
{
    struct vectors *v = arg;
    const float *a = v->a, *b = v->b;
    float *c = v->c;

#pragma omp simd
    for (size_t i = 0; i < v->count; i++)
        c[i] = a[i] + b[i];
    v->took_part = 1;
}

static void add_threads(void *arg)
{
    struct vectors *v = arg;
    const float *a = v->a, *b = v->b;
    float *c = v->c;
    int took_part = 0;

#pragma omp parallel num_threads(v->threads) reduction(+ : took_part)
    {
        took_part = 1;
#pragma omp for simd schedule(static)
        for (size_t i = 0; i < v->count; i++)
            c[i] = a[i] + b[i];
    }
    v->took_part = took_part;
}

/* From and to a cache line's beginning. */
static void add_lines(float *c, const float *a, const float *b, size_t count)
{
#ifdef __SSE2__
    for (size_t i = 0; i < count; i += 4)
        _mm_stream_ps(c + i, _mm_add_ps(_mm_load_ps(a + i), _mm_load_ps(b + i)));
    _mm_sfence(); /* such stores are seen by other threads only behind a fence */
#else
#pragma omp simd
    for (size_t i = 0; i < count; i++)
        c[i] = a[i] + b[i];
#endif
}

static void add_stream(void *arg)
{
    struct vectors *v = arg;
    const size_t lines = v->count / LINE;
    int took_part = 0;

#pragma omp parallel num_threads(v->threads) reduction(+ : took_part)
    {
        const struct block mine = block_of(lines, (uint64_t)omp_get_num_threads(),
                                           (uint64_t)omp_get_thread_num());
        const size_t start = mine.start * LINE;
        add_lines(v->c + start, v->a + start, v->b + start, mine.count * LINE);
        took_part = 1;
    }
    for (size_t i = lines * LINE; i < v->count; i++)
        v->c[i] = v->a[i] + v->b[i];
    v->took_part = took_part;
}

static void add_offload(void *arg)
{
    struct vectors *v = arg;
    const size_t count = v->count;
    const float *a = v->a, *b = v->b;
    float *c = v->c;

#pragma omp target teams distribute parallel for map(to : a[:count], b[:count]) \
    map(from : c[:count])
    for (size_t i = 0; i < count; i++)
        c[i] = a[i] + b[i];
    v->took_part = 0; /* none of the host's */
}

/* The limit: not the code that is measured, and on as many threads as there are CPUs. */
static void triad(void *arg)
{
    struct vectors *v = arg;

#pragma omp parallel num_threads(v->threads)
    {
        const struct block mine = block_of(v->count, (uint64_t)omp_get_num_threads(),
                                           (uint64_t)omp_get_thread_num());
        bandwidth_triad(v->c + mine.start, v->a + mine.start, v->b + mine.start, mine.count);
    }
}

/* OpenMP starts threads anew where a team is of another size than the last: not to be timed. */
static void gather_team(void *arg)
{
    const struct vectors *v = arg;

#pragma omp parallel num_threads(v->threads)
    {
    }
}

static const struct variant {
    const char *name;
    void (*add)(void *vectors);
} variants[] = {
    { "serial", add_serial },   { "simd", add_simd },       { "threads", add_threads },
    { "stream", add_stream },   { "offload", add_offload },
};
enum { VARIANTS = sizeof variants / sizeof *variants };

/* Integers below 2^23 as floats: every sum is exact, so that results must be equal bit by bit. */
static uint64_t a_at(size_t place)
{
    return element(place, opt.seed) % 4194301;
}

static uint64_t b_at(size_t place)
{
    return element(place, opt.seed + 1) % 2097143;
}

static void vectors_close(struct vectors *v)
{
    const size_t bytes = v->count * sizeof(float);

    pages_free(v->c, bytes);
    pages_free(v->b, bytes);
    pages_free(v->a, bytes);
    *v = (struct vectors){ 0 };
}

/* Touched first by the threads that will add them, each its own part, as in `threads`. */
static int vectors_open(struct vectors *v, size_t count, int threads)
{
    const size_t bytes = count * sizeof(float);
    const bool huge = arg_is(opt.pages, "huge");

    *v = (struct vectors){ .count = count, .threads = threads };
    v->a = pages_alloc(bytes, huge);
    v->b = pages_alloc(bytes, huge);
    v->c = pages_alloc(bytes, huge);
    if (!v->a || !v->b || !v->c) {
        vectors_close(v);
        return -1;
    }
#pragma omp parallel for schedule(static) num_threads(threads)
    for (size_t i = 0; i < count; i++) {
        v->a[i] = (float)a_at(i);
        v->b[i] = (float)b_at(i);
        v->c[i] = -1;
    }
    return 0;
}

/* --cold: a result that nobody has touched. */
static void renew(void *arg)
{
    struct vectors *v = arg;
    float *fresh = pages_alloc(v->count * sizeof *fresh, arg_is(opt.pages, "huge"));

    v->no_memory |= !fresh;
    if (fresh) {
        pages_free(v->c, v->count * sizeof *fresh);
        v->c = fresh;
    }
}

/* Adds once more, into an array of wrong values. The reference adds integers. */
static bool is_right(struct program *program, const struct variant *variant, struct vectors *v)
{
    for (size_t i = 0; i < v->count; i++)
        v->c[i] = -1;
    variant->add(v);
    for (size_t i = 0; i < v->count; i++) {
        if (v->c[i] != (float)(a_at(i) + b_at(i))) {
            program_verdict(program, false, "%s: c[%zu] is %.9g, not %llu", variant->name, i,
                            v->c[i], (unsigned long long)(a_at(i) + b_at(i)));
            return false;
        }
    }
    return true;
}

static void add_row(struct program *program, const struct variant *variant, const struct turn *turn,
                    const struct vectors *v, double limit, double fraction, bool right)
{
    const double bytes = bytes_each * (double)v->count;
    const bool is_measured = right && v->count > 0;
    struct record row = program->record;

    record_text(&row, "variant", variant->name);
    record_int(&row, "count", (int64_t)v->count);
    record_int(&row, "bytes", (int64_t)bytes);
    record_int(&row, "took_part", v->took_part);
    record_summary(&row, &turn->summary, right);
    record_real(&row, "bytes_per_s", is_measured ? bytes / turn->summary.median : NAN);
    record_real(&row, "fraction", is_measured ? fraction : NAN);
    row.aside = true;
    record_real(&row, "limit_bytes_per_s", is_measured ? limit : NAN);
    record_text(&row, "limit_by", opt.limit_bandwidth ? "given" : "triad");
    record_text(&row, "pages", opt.pages);
    record_bool(&row, "cold", opt.cold);
    row.aside = false;
    record_bool(&row, "verified", right);
    program_row(program, &row);
}

/* From which size on the best of the threads beat the best of one thread; 0: not yet. */
static size_t note_break_even(size_t win_from, const struct turn *turns, size_t count)
{
    double alone = INFINITY, together = INFINITY;

    for (size_t k = 0; k < count; k++) {
        const double secs = turns[k].summary.median;
        if (turns[k].operation == add_serial || turns[k].operation == add_simd)
            alone = fmin(alone, secs);
        else if (turns[k].operation == add_threads || turns[k].operation == add_stream)
            together = fmin(together, secs);
    }
    if (together >= alone)
        return 0;
    return win_from ? win_from : ((const struct vectors *)turns[count - 1].arg)->count;
}

/* Whether this variant is asked for, and can run. */
static bool is_chosen(const struct variant *variant)
{
    if (arg_is(opt.variant, "all") && variant->add == add_offload)
        return omp_get_num_devices() > 0;
    return arg_is(opt.variant, "all") || arg_is(opt.variant, variant->name);
}

/* The limit and the variants in turns, on arrays of one size. */
static enum status measure(struct program *program, struct vectors *v, struct vectors *limit,
                           size_t *win_from)
{
    const struct stop_rule rule = { 10, opt.iterations, opt.secs, 0.02 };
    const size_t limits = opt.limit_bandwidth ? 0 : 1;
    struct turn turns[1 + VARIANTS] = { { triad, gather_team, limit } };
    const struct variant *chosen[1 + VARIANTS];
    size_t count = limits;

    for (size_t i = 0; i < VARIANTS; i++)
        if (is_chosen(&variants[i])) {
            chosen[count] = &variants[i];
            turns[count++] = (struct turn){ variants[i].add, opt.cold ? renew : NULL, v };
        }
    for (size_t k = limits; k < count; k++)
        if (!is_right(program, chosen[k], v))
            return FAIL;
    if (turns_run(turns, count, &rule) || v->no_memory) {
        program_error("no memory for %zu samples: give fewer --iterations", opt.iterations);
        return UNABLE;
    }
    *win_from = note_break_even(*win_from, turns, count);
    const double bytes = bytes_each * (double)v->count;
    const double limit_bytes = bytes_each * (double)limit->count;
    const double given = (double)opt.limit_bandwidth;
    for (size_t k = limits; k < count; k++) {
        const bool right = is_right(program, chosen[k], v);
        add_row(program, chosen[k], &turns[k], v,
                limits ? limit_bytes / turns[0].summary.median : given,
                limits ? turns[k].speedup.median * bytes / limit_bytes
                       : bytes / turns[k].summary.median / given, right);
        if (!right)
            return FAIL;
        if (chosen[k]->add != add_offload && v->took_part < v->threads && v->took_part > 1)
            program_note(program, "%d of %d threads took part: OMP_THREAD_LIMIT?", v->took_part,
                         v->threads);
    }
    return PASS;
}

static enum status run(struct program *program, size_t count, struct vectors *limit,
                       size_t *win_from)
{
    struct vectors v;

    if (vectors_open(&v, count, (int)opt.workers)) {
        program_error("no memory for 3 x %zu floats: give a smaller --count", count);
        return UNABLE;
    }
    const enum status status = measure(program, &v, limit, win_from);
    vectors_close(&v);
    return status;
}

/* Each size in turn; the arrays of the limit stay. */
static enum status run_all(struct program *program)
{
    size_t limit_count = opt.count.to < least_limit_count ? least_limit_count : opt.count.to;
    size_t win_from = 0;
    struct vectors limit = { 0 };
    struct cpus cpus;
    enum status status = PASS;

    if (limit_count > most_limit_count)
        limit_count = most_limit_count;
    const int cores = cpus_granted(&cpus) ? cpus_online() : cpus_count(&cpus);
    if (team_try(opt.workers > (size_t)cores ? opt.workers : (size_t)cores)) {
        program_error("%zu threads: %s: give fewer --workers", opt.workers, strerror(errno));
        return UNABLE;
    }
    /* --cold has two results for a moment. */
    const size_t floats = 4 * opt.count.to + (opt.limit_bandwidth ? 0 : 3 * limit_count);
    if (memory_room(size_product(floats, sizeof(float)))) {
        program_error("no memory for 3 x %zu floats: give a smaller --count", opt.count.to);
        return UNABLE;
    }
    if (!opt.limit_bandwidth && vectors_open(&limit, limit_count, cores)) {
        program_error("no memory for the limit's 3 x %zu floats: give --limit-bandwidth",
                      limit_count);
        return UNABLE;
    }
    for (size_t count = opt.count.from; status == PASS;) {
        status = run(program, count, &limit, &win_from);
        const size_t next = range_next(&opt.count, count);
        if (next <= count)
            break;
        count = next;
    }
    if (status == PASS && arg_is(opt.variant, "all") && opt.count.from < opt.count.to) {
        if (win_from)
            program_note(program, "threads win from %zu elements on", win_from);
        else
            program_note(program, "threads do not win up to %zu elements", opt.count.to);
    }
    vectors_close(&limit);
    return status;
}

static void tell_limit(struct program *program)
{
    if (opt.limit_bandwidth)
        program_note(program, "limit: %.1f GB/s, as given", (double)opt.limit_bandwidth / 1e9);
    else
        program_note(program, "limit: a triad by %s on all CPUs, in turns", bandwidth_kind());
#ifndef __SSE2__
    program_note(program, "stream: no stores past the caches here, it is the same as threads");
#endif
}

int main(int argc, char **argv)
{
    struct program program;
    enum status status = program_open(&program, argc, argv, options, &opt.workers);

    if (status == PASS && arg_is(opt.variant, "offload") && omp_get_num_devices() == 0) {
        program_error("no device to offload to (omp_get_num_devices() is 0): take another variant");
        status = UNABLE;
    }
    omp_set_dynamic(0);
    if (status == PASS) {
        tell_limit(&program);
        status = run_all(&program);
    }
    if (status == PASS)
        program_verdict(&program, true, "each of %s sums is right", range_text(&opt.count,
                        (char[64]){ 0 }));
    return program_close(&program, status);
}
