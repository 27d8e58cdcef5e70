/*
 * compare - one computation by threads, processes, OpenMP and libuv's pool: what each of them costs
 *
 * Every worker fills a list of --count random numbers; a number is a function of its place, so the
 * lists and their checksum are the same however they were made. Each model runs in a process of
 * its own, all in turns, and there three times: with nothing to do (start: what it costs to begin
 * at all), once more (again: what the next piece of work costs), and with the lists to fill. The
 * lists are in the memory of the process that asked for them when a model is done.
 *
 *   serial     one list after the other
 *   threads    a POSIX thread a list, created and joined each time
 *   processes  a child a list, forked and reaped each time; the lists lie in shared memory
 *   openmp     a team that is kept between two pieces of work; the creator works as well
 *   libuv      the thread pool of the event loop, kept as well; only where it was built with libuv
 *
 * `speedup` is over serial, `cpu` the time of all CPUs, `memory` what all processes together took
 * beyond what was there before, shared pages once.
 *
 * What can go wrong: in Python threads take turns at one interpreter lock and lose where processes
 * win; in C no lock is in the way, and threads are the cheaper ones to start. Forking a process
 * that has threads is unsafe: only the thread that forks lives on, locks of others stay locked; so
 * here every model gets a fresh process. And `create(work())` for `create(work)` calls the work
 * where the thread is made: the answer is right, the threads are empty, and nothing is faster
 * (--fault call_now).
 *
 * Run:     make run P=data/compare ARGS="--workers 2"
 * Try:     --count 100 and --count 10M: from which size on do the workers pay?
 * Try:     --workers 64: what do 64 threads and 64 processes cost before they do anything?
 * Try:     --fault call_now: right, and not parallel at all
 * Test:
 * Test:    --count 0 --workers 3
 * Test:    --count 1 --workers 1
 * Test:    --count 1001 --workers 64
 * Test:    --variant threads --seed 7
 * Test:    --variant processes --count 12345
 * Test(1): --fault call_now
 * Test(1): --fault call_now --workers 1 --count 0
 * Test(2): --workers 0
 * Test(2): --workers 1025
 * Test(2): --count 9223372036854775807
 * Test(2): --iterations 9223372036854775808
 * Test(77): --count 1000G
 * Test(2): --variant asyncio
 */
#ifdef __linux__
#define _GNU_SOURCE /* MAP_ANONYMOUS */
#endif
#ifdef __APPLE__
#define _DARWIN_C_SOURCE
#endif
#include <errno.h>
#include <math.h>
#include <omp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#if defined(__has_include)
#if __has_include(<uv.h>)
#define WITH_UV 1
#include <uv.h>
#endif
#endif

#include "local/lib/clock.h"
#include "local/lib/memory.h"
#include "local/lib/program.h"
#include "local/lib/size.h"
#include "local/lib/team.h"

enum {
    MOST_WORKERS = 1024,    /* of libuv's pool */
    MOST_SAMPLES = 1 << 20, /* each is a process, of some milliseconds */
};

static struct {
    size_t workers, count, seed, iterations;
    double secs;
    const char *variant, *fault;
} opt = { .workers = 4, .count = 100000, .iterations = 200, .secs = 1, .variant = "all" };

static const struct arg options[] = {
    { "workers", ARG_SIZE, &opt.workers, "threads or processes, and lists", .min = 1,
      .max = MOST_WORKERS },
    { "count", ARG_SIZE, &opt.count, "numbers in each list", .max = TEAM_COUNT_MAX },
    { "variant", ARG_CHOICE, &opt.variant, "the model",
      .choices = "serial|threads|processes|openmp|libuv|all" },
    { "fault", ARG_CHOICE, &opt.fault, "make a mistake on purpose", .choices = "call_now" },
    { "seed", ARG_SIZE, &opt.seed, "other numbers" },
    { "seconds", ARG_SECS, &opt.secs, "time budget for one row" },
    { "iterations", ARG_SIZE, &opt.iterations, "samples of one row at most", .min = 1,
      .max = MOST_SAMPLES },
    ARGS_END,
};

/* One worker's work. `list` is the worker's own malloc(), or was there before it (processes). */
struct part {
    size_t first; /* place of the list's first number in the whole */
    double *list;
    bool failed; /* no memory */
    pid_t process;
    pthread_t thread;
    bool is_creator;
    int64_t private_bytes; /* of a process that has ended; -1: not known */
    void (*work)(struct part *part);
#ifdef WITH_UV
    uv_work_t request;
#endif
};

struct whole {
    struct part *parts; /* opt.workers; in memory that children share */
    pid_t process;
    pthread_t creator;
};

static struct whole whole; /* of the process that runs a model */

/* A number by its place: splitmix64 (Steele, Lea and Flood, OOPSLA 2014), which can begin anywhere;
 * 53 of its bits are a double in [0, 1). */
static double random_at(size_t place)
{
    uint64_t z = ((uint64_t)place + 1) * UINT64_C(0x9e3779b97f4a7c15) + (uint64_t)opt.seed;

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return (double)((z ^ z >> 31) >> 11) * 0x1p-53;
}

static void do_nothing(struct part *part)
{
    (void)part;
}

static void fill(struct part *part)
{
    if (!part->list)
        part->list = malloc((opt.count + 1) * sizeof *part->list);
    part->failed = !part->list;
    for (size_t i = 0; i < opt.count && part->list; i++)
        part->list[i] = random_at(part->first + i);
}

/* Who did it is written down by whoever does it. */
static void do_part(struct part *part)
{
    part->process = getpid();
    part->thread = pthread_self();
    part->is_creator = part->process == whole.process &&
                       pthread_equal(part->thread, whole.creator);
    part->work(part);
}

static int run_serial(void)
{
    for (size_t i = 0; i < opt.workers; i++)
        do_part(&whole.parts[i]);
    return 0;
}

static void *thread_main(void *part)
{
    do_part(part);
    return NULL;
}

static int run_threads(void)
{
    pthread_t threads[MOST_WORKERS];
    size_t started = 0;
    int error = 0;

    while (started < opt.workers && !error) {
        error = pthread_create(&threads[started], NULL, thread_main, &whole.parts[started]);
        started += !error;
    }
    for (size_t i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    errno = error;
    return error ? -1 : 0;
}

static void *empty_thread(void *nothing)
{
    return nothing;
}

/* --fault call_now: the work is called to make the thread's argument. */
static int run_call_now(void)
{
    pthread_t threads[MOST_WORKERS];
    size_t started = 0;
    int error = 0;

    while (started < opt.workers && !error) {
        error = pthread_create(&threads[started], NULL, empty_thread,
                               thread_main(&whole.parts[started]));
        started += !error;
    }
    for (size_t i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    errno = error;
    return error ? -1 : 0;
}

/* What this process alone has in memory, but for its list, which is the creator's in the end (until
 * that one reads it, the system counts it here). -1 where the system does not tell. */
static int64_t private_bytes(size_t list_bytes)
{
    FILE *file = fopen("/proc/self/smaps_rollup", "r");
    int64_t kib = 0;
    bool found = false;
    char line[256];
    long long value;

    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "Private_Clean: %lld", &value) == 1 ||
            sscanf(line, "Private_Dirty: %lld", &value) == 1) {
            kib += value;
            found = true;
        }
    if (file)
        fclose(file);
    const int64_t bytes = kib * 1024 - (int64_t)list_bytes;
    return !found ? -1 : bytes > 0 ? bytes : 0;
}

/* Waits for one child. Returns 0, or -1 with errno: ECHILD if it did not end with 0. */
static int reap(pid_t child)
{
    int status;

    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return -1;
    errno = ECHILD;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -1;
}

static int run_processes(void)
{
    pid_t children[MOST_WORKERS];
    size_t started = 0;
    int error = 0;

    while (started < opt.workers && !error) {
        struct part *part = &whole.parts[started];
        const pid_t child = fork();
        if (child == 0) {
            do_part(part);
            if (part->work == fill)
                part->private_bytes = private_bytes(opt.count * sizeof *part->list);
            _exit(0);
        }
        error = child < 0 ? errno : 0;
        children[started] = child;
        started += !error;
    }
    for (size_t i = 0; i < started; i++)
        if (reap(children[i]) && !error)
            error = errno;
    errno = error;
    return error ? -1 : 0;
}

static int run_openmp(void)
{
#pragma omp parallel for num_threads((int)opt.workers) schedule(static, 1)
    for (size_t i = 0; i < opt.workers; i++)
        do_part(&whole.parts[i]);
    return 0;
}

#ifdef WITH_UV
static void uv_part(uv_work_t *request)
{
    do_part(request->data);
}

static void uv_done(uv_work_t *request, int status)
{
    struct part *part = request->data;

    part->failed |= status != 0; /* UV_ECANCELED: it was never begun */
}

static int run_libuv(void)
{
    uv_loop_t loop;
    int error = uv_loop_init(&loop);

    if (error == 0) {
        for (size_t i = 0; i < opt.workers && error == 0; i++) {
            whole.parts[i].request.data = &whole.parts[i];
            error = uv_queue_work(&loop, &whole.parts[i].request, uv_part, uv_done);
        }
        uv_run(&loop, UV_RUN_DEFAULT); /* until all requests that were made are done */
        uv_loop_close(&loop);
    }
    errno = -error;
    return error ? -1 : 0;
}
#endif

static const struct model {
    const char *name;
    int (*run)(void); /* 0, or -1 with errno */
    bool is_apart;    /* no part is the creator's */
    bool has_own;     /* each part has a thread or a process of its own */
    bool is_fault;
} models[] = {
    { "serial", run_serial, false, false, false },
    { "threads", run_threads, true, true, false },
    { "processes", run_processes, true, true, false },
    { "openmp", run_openmp, false, false, false },
#ifdef WITH_UV
    { "libuv", run_libuv, true, false, false },
#endif
    { "call_now", run_call_now, true, true, true },
};
enum { MODELS = sizeof models / sizeof *models };

/* What the process of a model sends back. */
struct outcome {
    int error; /* errno, 0: none */
    double start_secs, again_secs, secs, cpu_secs;
    int64_t memory_bytes; /* -1: not known */
    uint64_t checksum;
    size_t took_part, by_creator;
};

/* Depends on every number and on its place, and not on the order of adding. */
static uint64_t weighed(double number, size_t place)
{
    uint64_t bits;

    memcpy(&bits, &number, sizeof bits);
    return bits * (2 * (uint64_t)place + 1);
}

/* From the places alone, without a list. */
static uint64_t expected_checksum(void)
{
    uint64_t sum = 0;

    for (size_t place = 0; place < opt.workers * opt.count; place++)
        sum += weighed(random_at(place), place);
    return sum;
}

static double cpu_secs(void)
{
    const int whose[] = { RUSAGE_SELF, RUSAGE_CHILDREN };
    double secs = 0;

    for (int i = 0; i < 2; i++) {
        struct rusage usage;
        getrusage(whose[i], &usage); /* cannot fail with these arguments */
        secs += (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                1e-6 * (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
    }
    return secs;
}

/* Seconds for the work in all parts; negative, with errno, if the model fails. */
static double time_model(const struct model *model, void (*work)(struct part *))
{
    for (size_t i = 0; i < opt.workers; i++)
        whole.parts[i].work = work;
    const int64_t begin = clock_ns();
    const int failed = model->run();
    return failed ? -1 : clock_secs(begin, clock_ns());
}

static void look_at_parts(struct outcome *outcome)
{
    for (size_t i = 0; i < opt.workers; i++) {
        const struct part *part = &whole.parts[i];
        size_t same = 0;
        while (whole.parts[same].process != part->process ||
               !pthread_equal(whole.parts[same].thread, part->thread))
            same++;
        outcome->took_part += same == i;
        outcome->by_creator += part->is_creator;
        if (part->failed)
            outcome->error = ENOMEM;
        for (size_t k = 0; k < opt.count && part->list; k++)
            outcome->checksum += weighed(part->list[k], part->first + k);
    }
}

/* The lists of children must outlive them: shared memory, which nobody has touched yet. */
static double *shared_lists(void)
{
    double *lists = mmap(NULL, (opt.workers * opt.count + 1) * sizeof *lists,
                         PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    return lists == MAP_FAILED ? NULL : lists;
}

static int set_up(const struct model *model)
{
    const size_t bytes = opt.workers * sizeof *whole.parts;
    double *lists = NULL;

    whole.process = getpid();
    whole.creator = pthread_self();
    whole.parts = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (whole.parts == MAP_FAILED)
        return -1;
    if (model->run == run_processes && !(lists = shared_lists()))
        return -1;
    for (size_t i = 0; i < opt.workers; i++)
        whole.parts[i] = (struct part){
            .first = i * opt.count,
            .list = lists ? lists + i * opt.count : NULL,
        };
    return 0;
}

static int64_t memory_since(uint64_t before)
{
    int64_t bytes = (int64_t)(memory_peak_bytes() - before);

    for (size_t i = 0; i < opt.workers; i++) {
        if (whole.parts[i].private_bytes < 0)
            return -1;
        bytes += whole.parts[i].private_bytes;
    }
    return bytes;
}

/* In the process of a model. What it allocates ends with it. */
static struct outcome run_model(const struct model *model)
{
    struct outcome outcome = { 0 };
    char workers[24];

    snprintf(workers, sizeof workers, "%zu", opt.workers);
    setenv("UV_THREADPOOL_SIZE", workers, 1); /* before the pool's first use; there is no call */
    omp_set_dynamic(0);
    if (set_up(model)) {
        outcome.error = errno;
        return outcome;
    }
    const uint64_t before = memory_peak_bytes();
    outcome.start_secs = time_model(model, do_nothing);
    outcome.again_secs = outcome.start_secs < 0 ? -1 : time_model(model, do_nothing);
    const double cpu_before = cpu_secs();
    outcome.secs = outcome.again_secs < 0 ? -1 : time_model(model, fill);
    outcome.cpu_secs = cpu_secs() - cpu_before;
    if (outcome.secs < 0) {
        outcome.error = errno;
        return outcome;
    }
    look_at_parts(&outcome); /* reads the lists: those of children are now here as well */
    outcome.memory_bytes = memory_since(before);
    return outcome;
}

/* Reads all of an outcome. Returns false if the pipe ends before. */
static bool receive(int pipe_end, struct outcome *outcome)
{
    size_t have = 0;

    while (have < sizeof *outcome) {
        const ssize_t got = read(pipe_end, (char *)outcome + have, sizeof *outcome - have);
        if (got == 0 || (got < 0 && errno != EINTR))
            return false;
        have += got > 0 ? (size_t)got : 0;
    }
    return true;
}

/* Runs the model in a process of its own; nothing of it can stay behind. PASS, or told. */
static enum status run_apart(const struct model *model, struct outcome *outcome)
{
    int ends[2];

    if (pipe(ends)) {
        program_error("pipe: %s: close files", strerror(errno));
        return UNABLE;
    }
    fflush(NULL); /* or the child would have it, too */
    const pid_t child = fork();
    if (child == 0) {
        const struct outcome own = run_model(model); /* fits into the pipe: one write */
        _exit(write(ends[1], &own, sizeof own) != (ssize_t)sizeof own);
    }
    const int fork_error = errno;
    close(ends[1]);
    const bool received = child > 0 && receive(ends[0], outcome);
    close(ends[0]);
    const int reaped = child > 0 ? reap(child) : -1;
    if (child > 0 && (!received || reaped)) {
        program_error("%s: its process ended without a result: is there memory for %zu x %zu "
                      "numbers?", model->name, opt.workers, opt.count);
        return FAIL;
    }
    const int error = child < 0 ? fork_error : outcome->error;
    if (error) {
        program_error("%s: %zu workers: %s: give fewer --workers or a smaller --count",
                      model->name, opt.workers, strerror(error));
        return UNABLE;
    }
    return PASS;
}

enum measure { WALL, START, AGAIN, CPU, MEMORY, SPEEDUP, MEASURES };

struct contest {
    const struct model *model;
    bool is_row;     /* serial always runs: it is what the others are compared with */
    double *samples[MEASURES];
    struct outcome last;
};

static enum status check(struct program *program, const struct model *model,
                         const struct outcome *outcome, uint64_t checksum)
{
    if (outcome->checksum != checksum)
        return program_verdict(program, false, "%s: the checksum of the lists is %llx, not %llx",
                               model->name, (unsigned long long)outcome->checksum,
                               (unsigned long long)checksum);
    if (model->is_apart && outcome->by_creator > 0)
        return program_verdict(program, false, "%s: %zu of %zu lists were filled by the creator",
                               model->name, outcome->by_creator, opt.workers);
    if (model->has_own && outcome->took_part != opt.workers)
        return program_verdict(program, false, "%s: %zu took part, not %zu", model->name,
                               outcome->took_part, opt.workers);
    return PASS;
}

/* One round: every model once. */
static enum status run_round(struct program *program, struct contest *contests, size_t count,
                             size_t round, uint64_t checksum)
{
    for (size_t k = 0; k < count; k++) {
        struct contest *c = &contests[k];
        struct outcome *outcome = &c->last;
        enum status status = run_apart(c->model, outcome);
        if (status == PASS)
            status = check(program, c->model, outcome, checksum);
        if (status != PASS)
            return status;
        c->samples[WALL][round] = outcome->secs;
        c->samples[START][round] = outcome->start_secs;
        c->samples[AGAIN][round] = outcome->again_secs;
        c->samples[CPU][round] = outcome->cpu_secs;
        c->samples[MEMORY][round] = (double)outcome->memory_bytes;
        c->samples[SPEEDUP][round] = contests[0].last.secs / outcome->secs;
    }
    return PASS;
}

static void add_row(struct program *program, struct contest *c, size_t rounds, bool right)
{
    struct record row = program->record;
    struct summary of[MEASURES] = { 0 };
    char checksum[32];

    for (int i = 0; i < MEASURES; i++)
        stats_summarize(c->samples[i], rounds, &of[i]);
    snprintf(checksum, sizeof checksum, "%016llx", (unsigned long long)c->last.checksum);
    record_text(&row, "variant", c->model->name);
    record_int(&row, "count", (int64_t)opt.count);
    record_int(&row, "took_part", (int64_t)c->last.took_part);
    record_summary(&row, &of[WALL], right);
    record_real(&row, "speedup", right ? of[SPEEDUP].median : NAN);
    row.aside = true;
    record_real(&row, "speedup_low", of[SPEEDUP].has_ci ? of[SPEEDUP].ci_low : NAN);
    record_real(&row, "speedup_high", of[SPEEDUP].has_ci ? of[SPEEDUP].ci_high : NAN);
    row.aside = false;
    record_real(&row, "start_s", of[START].median);
    record_real(&row, "again_s", of[AGAIN].median);
    record_real(&row, "cpu_s", of[CPU].median);
    if (of[MEMORY].p10 < 0)
        record_null(&row, "memory_bytes");
    else
        record_int(&row, "memory_bytes", (int64_t)of[MEMORY].median);
    row.aside = true;
    record_text(&row, "checksum", checksum);
    row.aside = false;
    record_bool(&row, "verified", right);
    program_row(program, &row);
}

/* The rule sorts, and rounds must keep their order until the ratios are taken: it gets a copy. */
static bool is_enough(const struct contest *contests, size_t count, size_t rounds, double elapsed,
                      double *copy)
{
    const struct stop_rule rule = { 10, opt.iterations, opt.secs * (double)count, 0.02 };

    for (size_t k = 0; k < count; k++) {
        memcpy(copy, contests[k].samples[WALL], rounds * sizeof *copy);
        if (stats_stop(&rule, copy, rounds, elapsed) == STOP_NOT)
            return false;
    }
    return true;
}

static enum status run(struct program *program, struct contest *contests, size_t count,
                       double *copy)
{
    const uint64_t checksum = expected_checksum();
    struct outcome warm;
    const int64_t begin = clock_ns();
    enum status status = run_apart(contests[0].model, &warm); /* not recorded */
    size_t rounds = 0;

    while (status == PASS) {
        status = run_round(program, contests, count, rounds, checksum);
        rounds++;
        if (is_enough(contests, count, rounds, clock_secs(begin, clock_ns()), copy))
            break;
    }
    for (size_t k = 0; k < count && status != UNABLE; k++)
        if (contests[k].is_row)
            add_row(program, &contests[k], rounds, status == PASS);
    return status;
}

/* Serial and the models that were asked for, with room for their samples. */
static enum status compare(struct program *program)
{
    const size_t room = opt.iterations * MEASURES;
    struct contest contests[MODELS];
    double *samples = calloc(MODELS * room + opt.iterations, sizeof *samples);
    enum status status = UNABLE;
    size_t count = 0;

    for (size_t i = 0; i < MODELS; i++) {
        const bool is_row = opt.fault ? arg_is(opt.fault, models[i].name)
                                      : arg_is(opt.variant, models[i].name) ||
                                            (arg_is(opt.variant, "all") && !models[i].is_fault);
        if (i > 0 && !is_row)
            continue;
        contests[count] = (struct contest){ .model = &models[i], .is_row = is_row };
        for (int k = 0; k < MEASURES && samples; k++)
            contests[count].samples[k] = samples + i * room + (size_t)k * opt.iterations;
        count++;
    }
    if (samples)
        status = run(program, contests, count, samples + MODELS * room);
    else
        program_error("no memory for %zu samples: give fewer --iterations", opt.iterations);
    free(samples);
    return status;
}

int main(int argc, char **argv)
{
    struct program program;
    enum status status = program_open(&program, argc, argv, options, &opt.workers);

    if (status == PASS && memory_room(size_product(opt.workers * opt.count, sizeof(double)))) {
        program_error("no memory for %zu x %zu numbers: give a smaller --count", opt.workers,
                      opt.count);
        status = UNABLE;
    }
    if (status == PASS && team_try(opt.workers)) {
        program_error("%zu threads: %s: give fewer --workers", opt.workers, strerror(errno));
        status = UNABLE;
    }
#ifndef WITH_UV
    if (status == PASS && arg_is(opt.variant, "libuv")) {
        program_error("this build has no libuv: install it and build again");
        status = UNABLE;
    }
#endif
    if (status == PASS)
        status = compare(&program);
    if (status == PASS)
        program_verdict(&program, true, "all lists of %zu numbers have the checksum that their "
                        "places say", opt.count);
    return program_close(&program, status);
}
