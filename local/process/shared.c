/*
 * shared - one array that many processes fill
 *
 * A child has a copy of its parent's memory: what it writes there, the parent never sees. Memory
 * that is mapped as shared is one for both:
 *
 *   anonymous  mapped before the fork, without a name (MAP_SHARED | MAP_ANONYMOUS)
 *   named      a name under /dev/shm, which any process may open (shm_open); taken away at the end
 *   file       a file, mapped by each; what is written stays in the file
 *   threads    no processes at all: the same by threads, in ordinary memory, to compare with
 *
 * A page is found missing, and is put in its place by the system, at the first touch: by each
 * process for itself, also where another one has the page already. The table counts these page
 * faults.
 *
 * Each child fills its part, and counts its elements in one counter that a mutex guards. The mutex
 * lies in the shared memory too, is made for processes, and is robust: when a process dies that
 * holds it, the next one to ask is told so (EOWNERDEAD), puts the counter right, and goes on
 * (--kill 1).
 *
 * What can go wrong: the array is ordinary memory (--fault private): the parent's is still empty. A
 * shared file system that is too small kills who writes beyond it; so room is asked for first.
 *
 * Run:     make run P=process/shared ARGS="--workers 4 --variant all"
 * Try:     --kill 1 --show: who found the dead owner's mutex?
 * Try:     --fault private: the children fill their copies in vain
 * Test:    --variant all
 * Test:    --variant all --workers 64 --count 1001
 * Test:    --variant all --workers 3 --count 1
 * Test:    --variant all --count 0
 * Test:    --variant all --kill 1
 * Test:    --kill 1 --workers 1
 * Test:    --variant all --kill 1 --workers 8 --count 7
 * Test(1): --fault private
 * Test(1): --fault private --workers 1 --count 1
 * Test(2): --workers 0
 * Test(2): --variant threads --kill 1
 */
#ifdef __linux__
#define _DEFAULT_SOURCE 1 /* MAP_ANONYMOUS */
#endif
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "local/lib/children.h"
#include "local/lib/data.h"
#include "local/lib/memory.h"
#include "local/lib/program.h"
#include "local/lib/size.h"
#include "local/lib/team.h"
#include "local/lib/turns.h"

#define LENGTH(array) (sizeof(array) / sizeof *(array))

static struct {
    size_t workers, count, kill, seed, iterations;
    double secs;
    bool show;
    const char *variant, *fault;
} opt = { .workers = 4, .count = 1 << 20, .iterations = 10000, .secs = 0.5, .variant = "anonymous" };

static const struct arg options[] = {
    { "workers", ARG_SIZE, &opt.workers, "child processes", .min = 1, .max = CHILDREN_MAX },
    { "count", ARG_SIZE, &opt.count, "elements of the array", .max = 1 << 28 },
    { "kill", ARG_SIZE, &opt.kill, "so many children die while they hold the mutex" },
    { "variant", ARG_CHOICE, &opt.variant, "what the array lies in",
      .choices = "anonymous|named|file|threads|all" },
    { "fault", ARG_CHOICE, &opt.fault, "make a mistake on purpose", .choices = "private" },
    { "seed", ARG_SIZE, &opt.seed, "of the elements" },
    { "show", ARG_FLAG, &opt.show, "what became of the mutex" },
    { "seconds", ARG_SECS, &opt.secs, "time budget for one row" },
    { "iterations", ARG_SIZE, &opt.iterations, "samples of one row at most", .min = 1,
      .max = SAMPLES_MAX },
    ARGS_END,
};

struct shared {
    pthread_mutex_t lock; /* guards the rest */
    bool done[CHILDREN_MAX]; /* which parts are counted: what the counter is put right by */
    size_t filled;
    size_t recovered; /* times that a dead owner's mutex was taken over */
    uint64_t array[];
};

struct job {
    const char *variant;
    struct shared *shared;
    size_t bytes;
    int error;
    size_t killed;
    long faults; /* page faults of those who filled, in the last run */
    bool failed; /* an error, or something wrong: no more runs */
    char wrong[160];
};

static size_t bytes_of(void)
{
    return size_sum(sizeof(struct shared), size_product(opt.count, sizeof(uint64_t)));
}

/* Room for all of it, or -1 with errno: a page beyond the room would kill who writes to it. */
static void *map_file(int file, size_t bytes)
{
    const int error = posix_fallocate(file, 0, (off_t)bytes);

    if (error) {
        errno = error;
        return MAP_FAILED;
    }
    return mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
}

/* NULL with errno. A name is taken away as soon as everybody who needs it has it. */
static struct shared *map(const char *variant, size_t bytes)
{
    void *memory = MAP_FAILED;
    char name[64];
    int file = -1;

    if (memory_room(bytes))
        return NULL;
    if (strcmp(variant, "private") == 0 || strcmp(variant, "threads") == 0) {
        memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    } else if (strcmp(variant, "anonymous") == 0) {
        memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    } else if (strcmp(variant, "named") == 0) {
        do {
            children_name("shared", name);
            file = shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
        } while (file < 0 && errno == EEXIST);
        if (file >= 0) {
            memory = map_file(file, bytes);
            shm_unlink(name);
        }
    } else {
        snprintf(name, sizeof name, "/tmp/lockstep-shared-XXXXXX");
        file = mkstemp(name);
        if (file >= 0) {
            memory = map_file(file, bytes);
            unlink(name);
        }
    }
    if (file >= 0) {
        const int error = errno;
        close(file);
        errno = error;
    }
    return memory == MAP_FAILED ? NULL : memory;
}

static int init(struct shared *shared)
{
    pthread_mutexattr_t kind;

    pthread_mutexattr_init(&kind);
    int error = pthread_mutexattr_setpshared(&kind, PTHREAD_PROCESS_SHARED);
    error = error ? error : pthread_mutexattr_setrobust(&kind, PTHREAD_MUTEX_ROBUST);
    error = error ? error : pthread_mutex_init(&shared->lock, &kind);
    pthread_mutexattr_destroy(&kind);
    shared->filled = shared->recovered = 0;
    memset(shared->done, 0, sizeof shared->done);
    return error;
}

static void lock(struct shared *shared)
{
    if (pthread_mutex_lock(&shared->lock) != EOWNERDEAD)
        return;
    shared->filled = 0; /* the dead one may have left it half done: by the parts that are */
    for (size_t i = 0; i < opt.workers; i++)
        shared->filled += shared->done[i] ? block_of(opt.count, opt.workers, i).count : 0;
    shared->recovered++;
    pthread_mutex_consistent(&shared->lock);
}

static int fill(void *arg, size_t me)
{
    struct shared *const shared = ((struct job *)arg)->shared;
    const struct block block = block_of(opt.count, opt.workers, me);

    elements_fill(shared->array + block.start, block.start, block.count, opt.seed);
    lock(shared);
    shared->filled += block.count;
    if (me < opt.kill)
        raise(SIGKILL); /* holding the lock, with the counter ahead of the parts */
    shared->done[me] = true;
    pthread_mutex_unlock(&shared->lock);
    return 0;
}

static void find(struct job *job, size_t killed)
{
    struct shared *const shared = job->shared;
    size_t expected = 0;

    lock(shared); /* if the last one of all died with it, this is the next to ask */
    for (size_t i = opt.kill; i < opt.workers; i++)
        expected += block_of(opt.count, opt.workers, i).count;
    job->killed = killed;
    const uint64_t at = elements_check(shared->array, 0, opt.count, opt.seed);
    if (killed != opt.kill)
        snprintf(job->wrong, sizeof job->wrong, "%zu children died, not %zu", killed, opt.kill);
    else if (at < opt.count)
        snprintf(job->wrong, sizeof job->wrong, "element %" PRIu64 " is %" PRIu64 ", not %" PRIu64
                 "%s", at, shared->array[at], element(at, opt.seed),
                 opt.fault ? ": the children filled copies of their own" : "");
    else if (shared->filled != expected)
        snprintf(job->wrong, sizeof job->wrong, "%zu elements are counted, not %zu", shared->filled,
                 expected);
    else if (shared->recovered != killed)
        snprintf(job->wrong, sizeof job->wrong, "%zu children died with the mutex, and %zu times "
                 "it was taken over", killed, shared->recovered);
    pthread_mutex_unlock(&shared->lock);
}

static void fill_by_thread(void *arg, size_t me)
{
    fill(arg, me);
}

static long page_faults(int who)
{
    struct rusage usage;

    getrusage(who, &usage);
    return usage.ru_minflt + usage.ru_majflt;
}

/* Those that --kill names. */
static bool may_end(void *arg, size_t who, int status)
{
    size_t *const killed = arg;
    const bool is_named = who < opt.kill && status == 128 + SIGKILL;

    *killed += is_named;
    return is_named;
}

/* The children fill the array. How many were killed; or it is told in `wrong` or `error`. */
static size_t fill_by_children(struct job *job)
{
    struct children children;
    size_t killed = 0, who;

    if (children_begin(&children, opt.workers, fill, job)) {
        job->error = errno;
        return 0;
    }
    if (!children_join(&children, may_end, &killed, &who))
        children_tell(&children, who, job->wrong, sizeof job->wrong);
    children_close(&children);
    return killed;
}

static void run(void *arg)
{
    struct job *const job = arg;
    const bool by_threads = strcmp(job->variant, "threads") == 0;
    const int who = by_threads ? RUSAGE_SELF : RUSAGE_CHILDREN;
    size_t killed = 0;

    if (job->failed)
        return;
    job->shared = map(job->variant, job->bytes);
    if (!job->shared) {
        job->error = errno;
        job->failed = true;
        return;
    }
    job->error = init(job->shared);
    const long before = page_faults(who);
    if (job->error)
        ;
    else if (!by_threads)
        killed = fill_by_children(job);
    else if (team_run(opt.workers, fill_by_thread, job))
        job->error = errno;
    job->faults = page_faults(who) - before;
    if (!job->error && !*job->wrong)
        find(job, killed);
    job->failed = job->error || *job->wrong;
    munmap(job->shared, job->bytes);
}

static void add_row(struct program *program, const struct job *job, const struct turn *turn)
{
    const bool right = !*job->wrong, timed = right && turn->summary.count > 0;
    struct record row = program->record;

    record_text(&row, "variant", job->variant);
    record_int(&row, "count", (int64_t)opt.count);
    record_int(&row, "killed", (int64_t)job->killed);
    record_int(&row, "page_faults", job->faults);
    record_summary(&row, &turn->summary, timed);
    record_real(&row, "speedup", timed ? turn->speedup.median : NAN);
    record_real(&row, "bytes_per_s", timed ? (double)(opt.count * sizeof(uint64_t)) /
                                                 turn->summary.median : NAN);
    record_bool(&row, "verified", right);
    program_row(program, &row);
}

static enum status compare(struct program *program, struct job *jobs, size_t count)
{
    const struct stop_rule rule = { 5, opt.iterations, opt.secs, 0.02 };
    struct turn turns[4] = { 0 };

    for (size_t i = 0; i < count; i++)
        turns[i] = (struct turn){ .operation = run, .arg = &jobs[i], .failed = &jobs[i].failed };
    if (opt.fault)
        run(&jobs[0]);
    else if (turns_run(turns, count, &rule) && errno != ECANCELED)
        jobs[0].error = errno;
    for (size_t i = 0; i < count; i++) /* who failed has ended the turns of all */
        if (jobs[i].failed)
            jobs[0] = jobs[i];
    for (size_t i = 0; i < count; i++) {
        if (jobs[i].error) {
            program_error("%s: %zu processes and %zu bytes: %s: give smaller numbers",
                          jobs[i].variant, opt.workers, jobs[i].bytes, strerror(jobs[i].error));
            return UNABLE;
        }
        add_row(program, &jobs[i], &turns[i]);
        if (*jobs[i].wrong)
            return program_verdict(program, false, "%s: %s", jobs[i].variant, jobs[i].wrong);
        if (opt.show && jobs[i].killed > 0)
            program_note(program, "%s: %zu children died with the mutex; each time the next one was "
                         "told (EOWNERDEAD), and put the counter right", jobs[i].variant,
                         jobs[i].killed);
    }
    return PASS;
}

int main(int argc, char **argv)
{
    static const char *const variants[] = { "threads", "anonymous", "named", "file" };
    struct program program;
    enum status status = program_open(&program, argc, argv, options, &opt.workers);
    struct job jobs[LENGTH(variants)] = { 0 };
    size_t count = 0;

    if (status == PASS && opt.kill > 0 && arg_is(opt.variant, "threads"))
        status = program_usage(&program, "--kill: to kill one thread is to kill the whole process");
    opt.kill = opt.kill < opt.workers ? opt.kill : opt.workers;
    if (opt.fault)
        jobs[count++] = (struct job){ .variant = opt.fault, .bytes = bytes_of() };
    for (size_t i = opt.kill > 0; i < LENGTH(variants) && !opt.fault; i++)
        if (arg_is(opt.variant, variants[i]) || arg_is(opt.variant, "all"))
            jobs[count++] = (struct job){ .variant = variants[i], .bytes = bytes_of() };
    if (status == PASS)
        status = compare(&program, jobs, count);
    program_fault(&program, opt.fault, status == PASS, "the array has no elements");
    if (status == PASS)
        program_verdict(&program, true, "%zu elements, each in its place, filled by %zu workers",
                        opt.count, opt.workers);
    return program_close(&program, status);
}
