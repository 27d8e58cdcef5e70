/*
 * speedup - how much faster more workers are: the laws of Amdahl and Gustafson, measured and fitted
 *
 * A share of the work (--serial) is done by one thread, the rest by a team of 1, 2 ... --workers
 * threads, measured in turns. Each item is a chain of 64 steps that need no memory, so that nothing
 * but the serial share, the start of the team and the number of cores keeps the speed-up down.
 *
 *   strong    the same work for every team. Amdahl: at most 1 / (s + (1 - s) / W), below 1 / s for
 *             any number W of workers
 *   weak      the parallel part grows with the team. Gustafson: s + (1 - s) W times the work in the
 *             same time
 *
 * `law` is what the law says of --serial and W workers, `at cores` what it says of as many workers
 * as there are cores. `serial share` is the share that the measured speed-up betrays (Karp and
 * Flatt; for weak the same question to Gustafson's law), with its interval: where it grows with W,
 * it is not the serial part that costs but the workers. All teams that have a core each are fitted
 * together. --plot draws what was measured beside the law, the fit and the ideal.
 *
 * What can go wrong: with more workers than cores nothing is gained. A speed-up over a slow serial
 * program means little: here one worker runs the same code, without a team's cost.
 *
 * Run:     make run P=speedup ARGS="--workers 4 --scaling all"
 * Try:     --workers 8 --plot speedup.svg: where does the curve leave the law, and why there?
 * Try:     --serial 0, 0.1 and 0.5: what do two workers gain? And --count 100, where work is short?
 * Try:     --scaling weak: why is the same serial share less of a burden?
 * Test:    --scaling all
 * Test:    --workers 2 --serial 0.5
 * Test:    --workers 7 --count 1003 --serial 0.333 --scaling all
 * Test:    --workers 3 --count 0 --scaling all
 * Test:    --workers 5 --count 1 --serial 1 --scaling all
 * Test:    --workers 64 --count 100 --serial 0
 * Test(2): --serial 1.5
 * Test(2): --serial half
 * Test(2): --workers 0
 * Test(2): --scaling linear
 * Test(2): --workers 1025
 * Test(2): --count 9223372036854775807
 * Test(2): --iterations 9223372036854775808
 */
#include <errno.h>
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "local/lib/cpus.h"
#include "local/lib/data.h"
#include "local/lib/program.h"
#include "local/lib/team.h"
#include "local/lib/turns.h"

enum { MOST_WORKERS = 1024, STEPS = 64 };
#define MOST_COUNT ((size_t)1 << 32) /* some minutes of one worker */

/* x -> FACTOR x + ADDEND modulo 2^64 (Knuth's MMIX generator): each step needs the one before. */
static const uint64_t factor = UINT64_C(6364136223846793005);
static const uint64_t addend = UINT64_C(1442695040888963407);

static struct {
    size_t workers, count, iterations, seed;
    double secs;
    const char *scaling, *serial;
} opt = { .workers = 4, .count = 100000, .iterations = 1000, .secs = 1, .scaling = "strong",
          .serial = "0.1" };

static struct plot plot = {
    .title = "Speed-up of a team of threads",
    .x = "team",
    .x_label = "workers",
    .y = "speedup",
    .low = "speedup_low",
    .high = "speedup_high",
    .y_label = "speed-up over one worker: median, 95 % interval",
    .series = "curve",
    .linear_x = true,
    .linear_y = true,
};

static const struct arg options[] = {
    { "workers", ARG_SIZE, &opt.workers, "threads of the largest team", .min = 1,
      .max = MOST_WORKERS },
    { "count", ARG_SIZE, &opt.count, "items of work (weak: of one worker)", .max = MOST_COUNT },
    { "scaling", ARG_CHOICE, &opt.scaling, "the same work, or more with more workers",
      .choices = "strong|weak|all" },
    { "serial", ARG_TEXT, &opt.serial, "share of the work that one worker does alone, 0 to 1" },
    { "seed", ARG_SIZE, &opt.seed, "other numbers" },
    { "seconds", ARG_SECS, &opt.secs, "time budget for one row" },
    { "iterations", ARG_SIZE, &opt.iterations, "samples of one row at most", .min = 1,
      .max = SAMPLES_MAX },
    PLOT_ARG(&plot),
    ARGS_END,
};

struct job {
    int team, took_part;
    size_t serial, parallel; /* items */
    uint64_t result;
};

static uint64_t chain(size_t item)
{
    uint64_t x = element(item, opt.seed);

    for (int i = 0; i < STEPS; i++)
        x = factor * x + addend;
    return x;
}

static void work(void *arg)
{
    struct job *job = arg;
    uint64_t sum = 0;
    int took_part = 0;

    for (size_t i = 0; i < job->serial; i++)
        sum += chain(i);
#pragma omp parallel num_threads(job->team) reduction(+ : sum, took_part)
    {
        took_part = 1;
#pragma omp for schedule(static)
        for (size_t i = 0; i < job->parallel; i++)
            sum += chain(job->serial + i);
    }
    job->took_part = took_part;
    job->result = sum;
}

/* OpenMP starts threads anew where a team is of another size than the last: not to be timed. */
static void gather_team(void *arg)
{
    const struct job *job = arg;

#pragma omp parallel num_threads(job->team)
    {
    }
}

/* STEPS steps at once are x -> A x + C; so the sum over all items is A times theirs, and n C. */
static uint64_t expected(const struct job *job)
{
    const uint64_t n = job->serial + job->parallel, first = element(0, opt.seed);
    const uint64_t items = n * first + (n == 0 ? 0 : n % 2 ? (n - 1) / 2 * n : n / 2 * (n - 1));
    uint64_t all_factor = 1, all_addend = 0;

    for (int i = 0; i < STEPS; i++) {
        all_factor *= factor;
        all_addend = factor * all_addend + addend;
    }
    return all_factor * items + n * all_addend;
}

static bool is_right(struct program *program, struct job *job)
{
    job->result = 0;
    work(job);
    const uint64_t right = expected(job);
    if (job->result != right)
        program_verdict(program, false, "%d workers: the sum of %zu chains is %llu, not %llu",
                        job->team, job->serial + job->parallel, (unsigned long long)job->result,
                        (unsigned long long)right);
    return job->result == right;
}

/* What the law of strong or weak scaling says of a serial share and a number of workers. */
static double law(bool is_weak, double serial, double workers)
{
    return is_weak ? serial + (1 - serial) * workers : 1 / (serial + (1 - serial) / workers);
}

/* The law solved for the serial share. NaN for one worker: anything fits. */
static double betrayed(bool is_weak, double speedup, double workers)
{
    if (workers < 2)
        return NAN;
    return is_weak ? (workers - speedup) / (workers - 1)
                   : (1 / speedup - 1 / workers) / (1 - 1 / workers);
}

/* The share that fits all teams of 2 to `cores` workers best: least squares of the time (strong),
 * or of the speed-up (weak); in both the law is a line in s. NaN without such a team. */
static double fit(bool is_weak, const double *speedups, size_t teams, size_t cores)
{
    double above = 0, below = 0;

    for (size_t team = 2; team <= teams && team <= cores; team++) {
        const double workers = (double)team;
        const double x = is_weak ? workers - 1 : 1 - 1 / workers;
        const double y = betrayed(is_weak, speedups[team - 1], workers) * x;
        above += x * y;
        below += x * x;
    }
    return below > 0 ? above / below : NAN;
}

/* One way of scaling, as measured: a place for each team. */
struct study {
    bool is_weak;
    double serial; /* as it came out in whole items */
    size_t cores;
    struct job *jobs;
    struct turn *turns;
    double *speedups, *lows, *highs; /* NaN: no interval */
    double fitted, fitted_low, fitted_high;
};

static void set_speedups(struct study *study)
{
    for (size_t k = 0; k < opt.workers; k++) {
        const struct job *job = &study->jobs[k], *alone = &study->jobs[0];
        const struct summary *ratio = &study->turns[k].speedup;
        const double more = (double)(job->serial + job->parallel) /
                            fmax(1, (double)(alone->serial + alone->parallel));
        study->speedups[k] = ratio->median * more;
        study->lows[k] = ratio->has_ci ? ratio->ci_low * more : NAN;
        study->highs[k] = ratio->has_ci ? ratio->ci_high * more : NAN;
    }
    study->fitted = fit(study->is_weak, study->speedups, opt.workers, study->cores);
    study->fitted_low = fit(study->is_weak, study->highs, opt.workers, study->cores);
    study->fitted_high = fit(study->is_weak, study->lows, opt.workers, study->cores);
}

static void add_row(struct program *program, const struct study *study, size_t k)
{
    const double workers = (double)(k + 1), speedup = study->speedups[k];
    const double with_core = fmin(workers, (double)study->cores);
    const bool is_measured = opt.count > 0;
    struct record row = program->record;

    record_text(&row, "scaling", study->is_weak ? "weak" : "strong");
    record_int(&row, "team", (int64_t)k + 1);
    record_int(&row, "cores", (int64_t)study->cores);
    record_int(&row, "items", (int64_t)(study->jobs[k].serial + study->jobs[k].parallel));
    record_int(&row, "took_part", study->jobs[k].took_part);
    record_summary(&row, &study->turns[k].summary, is_measured);
    record_real(&row, "speedup", is_measured ? speedup : NAN);
    row.aside = true;
    record_real(&row, "speedup_low", is_measured ? study->lows[k] : NAN);
    record_real(&row, "speedup_high", is_measured ? study->highs[k] : NAN);
    row.aside = false;
    record_real(&row, "efficiency", is_measured ? speedup / workers : NAN);
    record_real(&row, "law", law(study->is_weak, study->serial, workers));
    record_real(&row, "at_cores", law(study->is_weak, study->serial, with_core));
    record_real(&row, "serial_share",
                is_measured ? betrayed(study->is_weak, speedup, workers) : NAN);
    record_real(&row, "share_low",
                is_measured ? betrayed(study->is_weak, study->highs[k], workers) : NAN);
    record_real(&row, "share_high",
                is_measured ? betrayed(study->is_weak, study->lows[k], workers) : NAN);
    row.aside = true;
    record_real(&row, "serial", study->serial);
    record_real(&row, "fitted", is_measured ? study->fitted : NAN);
    record_real(&row, "fitted_low", is_measured ? study->fitted_low : NAN);
    record_real(&row, "fitted_high", is_measured ? study->fitted_high : NAN);
    record_text(&row, "curve", study->is_weak ? "weak, measured" : "strong, measured");
    row.aside = false;
    record_bool(&row, "verified", true);
    program_row(program, &row);
}

/* A point of a curve that was not measured: it is drawn, and stands in no table. */
static void draw_point(struct program *program, const char *curve, double workers, double speedup)
{
    struct record point = { 0 };

    if (!program->plot)
        return;
    record_text(&point, "curve", curve);
    record_real(&point, "team", workers);
    record_real(&point, "speedup", speedup);
    plot_add(program->plot, &point);
}

static void draw_laws(struct program *program, const struct study *study)
{
    const char *name = study->is_weak ? "Gustafson" : "Amdahl";
    char by_law[64], by_fit[64];

    snprintf(by_law, sizeof by_law, "%s, s = %.3f", name, study->serial);
    snprintf(by_fit, sizeof by_fit, "%s fitted, s = %.3f", name, study->fitted);
    const bool is_share = study->fitted >= 0 && study->fitted <= 1;
    for (size_t team = 1; team <= opt.workers; team++) {
        const double workers = (double)team;
        draw_point(program, by_law, workers, law(study->is_weak, study->serial, workers));
        if (is_share)
            draw_point(program, by_fit, workers, law(study->is_weak, study->fitted, workers));
        draw_point(program, "ideal", workers, workers);
    }
}

static void tell_fit(struct program *program, const struct study *study)
{
    const char *name = study->is_weak ? "weak, Gustafson" : "strong, Amdahl";

    if (isnan(study->fitted) || opt.count == 0)
        program_note(program, "%s: nothing to fit, no team of two or more has a core each", name);
    else
        program_note(program, "%s: serial share %.4f was asked for, %.4f fits teams of 2 to %zu "
                     "(%.4f to %.4f)", name, study->serial, study->fitted,
                     study->cores < opt.workers ? study->cores : opt.workers, study->fitted_low,
                     study->fitted_high);
    if (study->fitted > 1 && opt.count > 0)
        program_note(program, "a share above 1: a team was slower than one worker alone; were the "
                     "cores busy, or is the work too short?");
}

static enum status measure(struct program *program, struct study *study)
{
    const struct stop_rule rule = { 10, opt.iterations, opt.secs, 0.02 };

    for (size_t k = 0; k < opt.workers; k++)
        if (!is_right(program, &study->jobs[k]))
            return FAIL;
    if (turns_run(study->turns, opt.workers, &rule)) {
        program_error("no memory for %zu x %zu samples: give fewer --iterations", opt.workers,
                      opt.iterations);
        return UNABLE;
    }
    set_speedups(study);
    for (size_t k = 0; k < opt.workers; k++) {
        if (!is_right(program, &study->jobs[k]))
            return FAIL;
        add_row(program, study, k);
    }
    draw_laws(program, study);
    tell_fit(program, study);
    return PASS;
}

static enum status run(struct program *program, bool is_weak, double serial, size_t cores)
{
    const size_t alone = (size_t)llround(serial * (double)opt.count);
    struct study study = {
        .is_weak = is_weak,
        .serial = opt.count > 0 ? (double)alone / (double)opt.count : serial,
        .cores = cores,
        .jobs = calloc(opt.workers, sizeof *study.jobs),
        .turns = calloc(opt.workers, sizeof *study.turns),
        .speedups = calloc(3 * opt.workers, sizeof *study.speedups),
    };
    enum status status = UNABLE;

    if (study.jobs && study.turns && study.speedups) {
        study.lows = study.speedups + opt.workers;
        study.highs = study.lows + opt.workers;
        for (size_t k = 0; k < opt.workers; k++) {
            const size_t parallel = (opt.count - alone) * (is_weak ? k + 1 : 1);
            study.jobs[k] = (struct job){ .team = (int)k + 1, .serial = alone,
                                          .parallel = parallel };
            study.turns[k] = (struct turn){ work, gather_team, &study.jobs[k] };
        }
        status = measure(program, &study);
    } else {
        program_error("no memory for %zu teams: give fewer --workers", opt.workers);
    }
    free(study.speedups);
    free(study.turns);
    free(study.jobs);
    return status;
}

/* A number from 0 to 1, and nothing else. */
static enum status read_share(const struct program *program, double *share)
{
    char *end;

    errno = 0;
    *share = strtod(opt.serial, &end);
    if (end == opt.serial || *end || errno || !(*share >= 0 && *share <= 1))
        return program_usage(program, "--serial %s: not a share: give a number from 0 to 1",
                             opt.serial);
    return PASS;
}

int main(int argc, char **argv)
{
    struct program program;
    struct cpus cpus;
    double serial = 0;
    enum status status = program_open(&program, argc, argv, options, &opt.workers);
    const int cores = cpus_granted(&cpus) ? cpus_online() : cpus_count(&cpus);

    if (status == PASS)
        status = read_share(&program, &serial);
    if (status == PASS)
        status = program_plot(&program, &plot);
    if (status == PASS && team_try(opt.workers)) {
        program_error("%zu threads: %s: give fewer --workers", opt.workers, strerror(errno));
        status = UNABLE;
    }
    omp_set_dynamic(0);
    if (status == PASS && opt.workers > (size_t)cores)
        program_note(&program, "%d core%s: larger teams take turns on them and cannot gain", cores,
                     cores == 1 ? "" : "s");
    if (status == PASS && !arg_is(opt.scaling, "weak"))
        status = run(&program, false, serial, (size_t)cores);
    if (status == PASS && !arg_is(opt.scaling, "strong"))
        status = run(&program, true, serial, (size_t)cores);
    if (status == PASS)
        program_verdict(&program, true, "teams of 1 to %zu: every sum is right", opt.workers);
    return program_close(&program, status);
}
