/*
 * create - start threads, let each do its part, wait for all
 *
 * Each worker sums its part of the numbers 1 to n into its own slot, under a name and on a CPU that
 * are shown. Start all, then join all:
 *
 *   parallel  starts all workers, then waits for each
 *   serial    waits for each before it starts the next: as quick as one thread alone
 *   detached  nobody joins; the last one to end says so on a condition
 *
 * What can go wrong: all threads get the address of one variable of the loop that starts them. When
 * they look, the loop is over, and each takes the same part (--fault shared_arg). A name may have
 * 15 bytes at most; the system refuses a longer one.
 *
 * Run:     make run P=create ARGS="--workers 4 --show"
 * Try:     --variant all --count 100M: what does joining too early cost?
 * Try:     --count 0 --workers 64: what a thread costs that has nothing to do
 * Try:     --fault shared_arg --show: whose part was done by whom?
 * Test:    --variant all --show
 * Test:    --variant all --workers 64 --count 1001
 * Test:    --variant all --workers 3 --count 1
 * Test:    --variant all --count 0
 * Test(1): --fault shared_arg
 * Test(1): --fault shared_arg --workers 64
 * Test:    --fault shared_arg --workers 1
 * Test(2): --workers 0
 * Test(2): --workers 65536
 * Test(2): --iterations 9223372036854775808
 */
#ifdef __linux__
#define _GNU_SOURCE 1 /* names of threads */
#endif
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "local/lib/cpus.h"
#include "local/lib/data.h"
#include "local/lib/program.h"
#include "local/lib/team.h"
#include "local/lib/turns.h"

#define LENGTH(array) (sizeof(array) / sizeof *(array))

static struct {
    size_t workers, count, iterations;
    double secs;
    bool show;
    const char *variant, *fault;
} opt = { .workers = 4, .count = 1 << 20, .iterations = 10000, .secs = 0.5, .variant = "parallel" };

static const struct arg options[] = {
    { "workers", ARG_SIZE, &opt.workers, "threads", .min = 1, .max = TEAM_MAX },
    { "count", ARG_SIZE, &opt.count, "numbers to sum: 1 to COUNT", .max = TEAM_COUNT_MAX },
    { "variant", ARG_CHOICE, &opt.variant, "who waits for whom, and when",
      .choices = "parallel|serial|detached|all" },
    { "fault", ARG_CHOICE, &opt.fault, "make a mistake on purpose", .choices = "shared_arg" },
    { "show", ARG_FLAG, &opt.show, "name, CPU and part of each thread" },
    { "seconds", ARG_SECS, &opt.secs, "time budget for one row" },
    { "iterations", ARG_SIZE, &opt.iterations, "samples of one row at most", .min = 1,
      .max = SAMPLES_MAX },
    ARGS_END,
};

struct run;

/* What one thread is given, and what it leaves. */
struct worker {
    struct run *run;
    size_t number;
    pthread_t thread;
    uint64_t sum;
    int cpu;
    char name[16]; /* as read back from the system */
    atomic_uint begun;
};

struct run {
    const char *variant;
    struct worker *workers;
    int error;
    pthread_mutex_t lock;
    pthread_cond_t all_ended;
    size_t running;
    size_t shared_number; /* --fault shared_arg: the variable of the loop; `released` guards it */
    sem_t released;
};

static void name_thread(struct worker *worker)
{
#ifdef __linux__
    char name[32];

    snprintf(name, sizeof name, "worker %zu", worker->number);
    pthread_setname_np(pthread_self(), name);
    pthread_getname_np(pthread_self(), worker->name, sizeof worker->name);
#else
    snprintf(worker->name, sizeof worker->name, "worker %zu", worker->number);
#endif
}

static uint64_t sum_part(size_t part)
{
    const struct block block = block_of(opt.count, opt.workers, part);
    uint64_t sum = 0;

    for (uint64_t i = 0; i < block.count; i++)
        sum += element(block.start + i, 0);
    return sum;
}

static void *work(void *arg)
{
    struct worker *const worker = arg;

    atomic_fetch_add(&worker->begun, 1);
    name_thread(worker);
    worker->cpu = cpu_now();
    worker->sum = sum_part(worker->number);
    return NULL;
}

static void *work_detached(void *arg)
{
    struct run *const run = ((struct worker *)arg)->run;

    work(arg);
    pthread_mutex_lock(&run->lock);
    if (--run->running == 0)
        pthread_cond_signal(&run->all_ended);
    pthread_mutex_unlock(&run->lock); /* after it this thread touches nothing that is shared */
    return NULL;
}

/* --fault shared_arg: reads its number only when the loop that started it is over. */
static void *work_on_shared_arg(void *arg)
{
    struct run *const run = arg;

    while (sem_wait(&run->released) && errno == EINTR)
        continue;
    struct worker *const worker = &run->workers[run->shared_number - 1];
    pthread_mutex_lock(&run->lock); /* they all write to one slot; the lesson is which */
    work(worker);
    pthread_mutex_unlock(&run->lock);
    return NULL;
}

static void join_all(struct run *run, size_t started)
{
    for (size_t i = 0; i < started; i++)
        pthread_join(run->workers[i].thread, NULL);
}

static void run_parallel(void *arg)
{
    struct run *const run = arg;
    size_t started = 0;

    while (started < opt.workers && !run->error) {
        struct worker *const worker = &run->workers[started];
        run->error = pthread_create(&worker->thread, NULL, work, worker);
        started += !run->error;
    }
    join_all(run, started);
}

static void run_serial(void *arg)
{
    struct run *const run = arg;

    for (size_t i = 0; i < opt.workers && !run->error; i++) {
        struct worker *const worker = &run->workers[i];
        run->error = pthread_create(&worker->thread, NULL, work, worker);
        if (!run->error)
            pthread_join(worker->thread, NULL); /* too early: the next one has not been started */
    }
}

static void run_detached(void *arg)
{
    struct run *const run = arg;
    pthread_attr_t detached;

    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    run->running = 1; /* this one: so that it cannot come to 0 before all have been started */
    for (size_t i = 0; i < opt.workers && !run->error; i++) {
        struct worker *const worker = &run->workers[i];
        pthread_mutex_lock(&run->lock);
        run->error = pthread_create(&worker->thread, &detached, work_detached, worker);
        run->running += !run->error;
        pthread_mutex_unlock(&run->lock);
    }
    pthread_attr_destroy(&detached);
    pthread_mutex_lock(&run->lock);
    run->running--;
    while (run->running > 0)
        pthread_cond_wait(&run->all_ended, &run->lock);
    pthread_mutex_unlock(&run->lock);
}

static void run_shared_arg(void *arg)
{
    struct run *const run = arg;

    for (run->shared_number = 0; run->shared_number < opt.workers && !run->error;
         run->shared_number++)
        run->error = pthread_create(&run->workers[run->shared_number].thread, NULL,
                                    work_on_shared_arg, run);
    const size_t started = run->shared_number - (run->error != 0);
    run->shared_number = started;
    for (size_t i = 0; i < started; i++)
        sem_post(&run->released);
    join_all(run, started);
}

static const struct choice {
    const char *name;
    void (*run)(void *arg);
} choices[] = {
    { "parallel", run_parallel }, { "serial", run_serial }, { "detached", run_detached },
    { "shared_arg", run_shared_arg },
};

/* Every part done once or (timed) often, none left out; their sum is n (n + 1) / 2. */
static enum status check(struct program *program, const struct run *run)
{
    const uint64_t n = opt.count, expected = n % 2 ? (n + 1) / 2 * n : n / 2 * (n + 1);
    uint64_t sum = 0;

    for (size_t i = 0; i < opt.workers; i++) {
        const struct worker *const worker = &run->workers[i];
        char name[32];
        sum += worker->sum;
        snprintf(name, sizeof name, "worker %zu", i);
        if (worker->begun == 0)
            return program_verdict(program, false, "%s: nobody did the part of worker %zu; that of "
                                   "worker %zu was done %u times", run->variant, i,
                                   opt.workers - 1, run->workers[opt.workers - 1].begun);
        if (worker->begun != run->workers[0].begun)
            return program_verdict(program, false, "%s: the part of worker %zu was done %u times, "
                                   "that of worker 0 %u times", run->variant, i, worker->begun,
                                   run->workers[0].begun);
        if (strcmp(worker->name, name) != 0)
            return program_verdict(program, false, "%s: worker %zu is called %s", run->variant, i,
                                   worker->name);
    }
    if (sum != expected)
        return program_verdict(program, false, "%s: the sum is %" PRIu64 ", not %" PRIu64,
                               run->variant, sum, expected);
    return PASS;
}

static void show(struct program *program, const struct run *run)
{
    for (size_t i = 0; i < opt.workers; i++) {
        const struct block block = block_of(opt.count, opt.workers, i);
        const struct worker *const worker = &run->workers[i];
        if (worker->begun == 0)
            fprintf(program_text(program), "worker %zu: nobody did its part\n", i);
        else
            fprintf(program_text(program), "%s of process %ld, on CPU %d: %" PRIu64 " numbers from "
                    "%" PRIu64 " on, sum %" PRIu64 "\n", worker->name, (long)getpid(), worker->cpu,
                    block.count, block.start + 1, worker->sum);
    }
}

static void add_row(struct program *program, const struct run *run, const struct turn *turn,
                    bool right)
{
    const bool timed = right && turn->summary.count > 0;
    struct record row = program->record;

    record_text(&row, "variant", run->variant);
    record_int(&row, "count", (int64_t)opt.count);
    record_summary(&row, &turn->summary, timed);
    record_real(&row, "threads_per_s", timed ? (double)opt.workers / turn->summary.median : NAN);
    record_bool(&row, "verified", right);
    program_row(program, &row);
}

static int run_open(struct run *run, const char *variant)
{
    *run = (struct run){ .variant = variant,
                         .workers = calloc(opt.workers, sizeof *run->workers) };
    pthread_mutex_init(&run->lock, NULL);
    pthread_cond_init(&run->all_ended, NULL);
    sem_init(&run->released, 0, 0);
    for (size_t i = 0; run->workers && i < opt.workers; i++) {
        run->workers[i].run = run;
        run->workers[i].number = i;
    }
    return run->workers ? 0 : ENOMEM;
}

static void run_close(struct run *run)
{
    sem_destroy(&run->released);
    pthread_cond_destroy(&run->all_ended);
    pthread_mutex_destroy(&run->lock);
    free(run->workers);
}

/* The chosen ones once each, shown and checked, and then timed in turns; a fault once. */
static enum status compare(struct program *program, struct run *runs, struct turn *turns,
                           size_t count)
{
    const struct stop_rule rule = { 10, opt.iterations, opt.secs, 0.02 };
    enum status status = PASS;
    int error = 0;

    for (size_t i = 0; i < count && !error; i++) {
        if (!runs[i].error)
            turns[i].operation(&runs[i]);
        error = runs[i].error;
        if (opt.show && !error)
            show(program, &runs[i]);
    }
    if (!opt.fault && !error && turns_run(turns, count, &rule))
        error = errno;
    for (size_t i = 0; i < count; i++)
        error = error ? error : runs[i].error;
    if (error) {
        program_error("%zu threads: %s: give fewer --workers", opt.workers, strerror(error));
        return UNABLE;
    }
    for (size_t i = 0; i < count && status == PASS; i++) {
        status = check(program, &runs[i]);
        add_row(program, &runs[i], &turns[i], status == PASS);
    }
    return status;
}

int main(int argc, char **argv)
{
    struct program program;
    enum status status = program_open(&program, argc, argv, options, &opt.workers);
    struct run runs[LENGTH(choices)];
    struct turn turns[LENGTH(choices)];
    size_t count = 0;

    for (size_t i = 0; i < LENGTH(choices) && status == PASS; i++) {
        const bool is_fault = choices[i].run == run_shared_arg;
        if (opt.fault ? !is_fault
                      : is_fault || !(arg_is(opt.variant, choices[i].name) ||
                                      arg_is(opt.variant, "all")))
            continue;
        runs[count].error = run_open(&runs[count], choices[i].name);
        turns[count] = (struct turn){ .operation = choices[i].run, .arg = &runs[count] };
        count++;
    }
    if (status == PASS)
        status = compare(&program, runs, turns, count);
    for (size_t i = 0; i < count; i++)
        run_close(&runs[i]);
    program_fault(&program, opt.fault, status == PASS, "the loop has one thread to start");
    if (status == PASS)
        program_verdict(&program, true, "%zu workers, each its part, sum up the numbers 1 to %zu",
                        opt.workers, opt.count);
    return program_close(&program, status);
}
