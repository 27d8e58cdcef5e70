/*
 * false_sharing - counters that nobody shares, in a cache line that all share
 *
 * Each worker adds to a counter of its own, --count times. Nothing is wrong in any variant:
 *
 *   packed  the counters lie side by side: a core that writes one takes the line away from the
 *           others, which write their own right next to it
 *   padded  each counter has cache lines to itself
 *   local   each worker counts in a register, and stores the sum once
 *
 * What can go wrong: nothing but the time. The line of the cache is 64 bytes on most processors, 128
 * on some; x86 processors fetch lines in pairs, so --pad 128 may be quicker than --pad 64. With one
 * CPU, or on two hardware threads of one core, which share a cache, there is no effect.
 *
 * Run:     make run P=false_sharing ARGS="--workers 2 --variant all"
 * Try:     --variant all --pad 64, 128, 256: from which distance on is it over?
 * Try:     --workers 1: what is left of the difference?
 * Test:    --variant all --count 1001
 * Test:    --variant all --workers 64 --count 101 --pad 8
 * Test:    --variant all --workers 1 --count 1
 * Test:    --variant all --count 0
 * Test(2): --pad 12
 * Test(2): --workers 0
 * Test(2): --pad 1048584
 * Test(2): --iterations 9223372036854775808
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "local/lib/cpus.h"
#include "local/lib/line.h"
#include "local/lib/memory.h"
#include "local/lib/program.h"
#include "local/lib/team.h"
#include "local/lib/turns.h"

enum { PAD_MAX = 1 << 20 }; /* far above any cache line, and any page */

static struct {
    size_t workers, count, pad, iterations;
    double secs;
    const char *variant;
} opt = { .workers = 2, .count = 10000000, .pad = LINE_BYTES, .iterations = 10000, .secs = 0.5,
          .variant = "packed" };

static const struct arg options[] = {
    { "workers", ARG_SIZE, &opt.workers, "threads", .min = 1, .max = TEAM_MAX },
    { "count", ARG_SIZE, &opt.count, "additions of each", .max = TEAM_COUNT_MAX },
    { "pad", ARG_SIZE, &opt.pad, "padded: bytes from one counter to the next, a multiple of 8",
      .min = 8, .max = PAD_MAX },
    { "variant", ARG_CHOICE, &opt.variant, "where the counters lie", .choices = "packed|padded|local|all" },
    { "seconds", ARG_SECS, &opt.secs, "time budget for one row" },
    { "iterations", ARG_SIZE, &opt.iterations, "samples of one row at most", .min = 1,
      .max = SAMPLES_MAX },
    ARGS_END,
};

struct counters {
    const char *variant;
    size_t stride; /* in counters of 8 bytes */
    bool in_register;
    uint64_t *first;
    size_t wrong; /* counters that were not n after a run */
    int error;
};

/* volatile: every addition is a load and a store, as if others had to see it. */
static void work(void *arg, size_t me)
{
    const struct counters *const counters = arg;
    uint64_t *const mine = &counters->first[me * counters->stride];
    volatile uint64_t *const shown = mine;
    uint64_t sum = 0;

    if (!counters->in_register) {
        for (size_t i = 0; i < opt.count; i++)
            *shown = *shown + 1;
        return;
    }
    for (size_t i = 0; i < opt.count; i++) {
        sum++;
        __asm__ volatile("" : "+r"(sum)); /* or the compiler would know the sum */
    }
    *mine = sum;
}

static void run(void *arg)
{
    struct counters *const counters = arg;

    for (size_t i = 0; i < opt.workers; i++)
        counters->first[i * counters->stride] = 0;
    if (team_run(opt.workers, work, counters))
        counters->error = errno;
    for (size_t i = 0; i < opt.workers; i++)
        counters->wrong += counters->first[i * counters->stride] != opt.count;
}

static void add_row(struct program *program, const struct counters *counters,
                    const struct turn *turn)
{
    const bool right = counters->wrong == 0;
    struct record row = program->record;

    record_text(&row, "variant", counters->variant);
    record_int(&row, "count", (int64_t)opt.count);
    record_int(&row, "stride_bytes", (int64_t)(counters->stride * sizeof(uint64_t)));
    record_summary(&row, &turn->summary, right);
    record_real(&row, "update_s",
                right && opt.count ? turn->summary.median / (double)opt.count : NAN);
    record_real(&row, "speedup", right ? turn->speedup.median : NAN);
    record_bool(&row, "verified", right);
    program_row(program, &row);
}

/* What the machine has to do with it; `turns` of all variants, or NULL. */
static void note_machine(struct program *program, const struct turn *turns)
{
    long bytes = -1;
    struct cpus cpus;

#ifdef _SC_LEVEL1_DCACHE_LINESIZE
    bytes = sysconf(_SC_LEVEL1_DCACHE_LINESIZE);
#endif
    if (bytes > 0)
        program_note(program, "a cache line has %ld bytes here", bytes);
    if (cpus_granted(&cpus) == 0 && cpus_count(&cpus) == 1)
        program_note(program, "one CPU: no line moves, so packed costs no more than padded");
    else if (turns && opt.workers > 1 && turns[1].speedup.median < 1.1)
        program_note(program, "no effect here: the workers' CPUs share a cache, as the hardware "
                     "threads of one core do");
}

int main(int argc, char **argv)
{
    static const char *const variants[] = { "packed", "padded", "local" };
    struct program program;
    enum status status = program_open(&program, argc, argv, options, &opt.workers);
    const struct stop_rule rule = { 10, opt.iterations, opt.secs, 0.02 };
    struct counters counters[3];
    struct turn turns[3];
    size_t count = 0;
    int error = 0;

    if (status == PASS && opt.pad % sizeof(uint64_t) != 0)
        status = program_usage(&program, "--pad %zu: not a multiple of 8, a counter's size", opt.pad);
    for (size_t i = 0; i < 3 && status == PASS; i++) {
        if (!arg_is(opt.variant, variants[i]) && !arg_is(opt.variant, "all"))
            continue;
        const size_t stride = i == 0 ? 1 : opt.pad / sizeof(uint64_t);
        const size_t bytes = line_up(opt.workers * stride * sizeof(uint64_t));
        uint64_t *const first = memory_room(3 * bytes) ? NULL : aligned_alloc(LINE_BYTES, bytes);
        counters[count] = (struct counters){ .variant = variants[i], .stride = stride,
                                             .in_register = i == 2, .first = first };
        turns[count] = (struct turn){ .operation = run, .arg = &counters[count] };
        error = first ? error : ENOMEM;
        count++;
    }
    if (status == PASS && !error && turns_run(turns, count, &rule))
        error = errno;
    for (size_t i = 0; i < count; i++)
        error = error ? error : counters[i].error;
    if (status == PASS && error) {
        program_error("%zu threads: %s: give fewer --workers or a smaller --pad", opt.workers,
                      strerror(error));
        status = UNABLE;
    }
    if (status == PASS)
        note_machine(&program, count == 3 ? turns : NULL);
    for (size_t i = 0; i < count && status != UNABLE; i++) {
        add_row(&program, &counters[i], &turns[i]);
        if (counters[i].wrong && status == PASS)
            status = program_verdict(&program, false, "%s: %zu counters were not %zu",
                                     counters[i].variant, counters[i].wrong, opt.count);
    }
    for (size_t i = 0; i < count; i++)
        free(counters[i].first);
    if (status == PASS)
        program_verdict(&program, true, "%zu counters, each %zu", opt.workers, opt.count);
    return program_close(&program, status);
}
