/*
 * barrier - threads that wait for each other at the end of every phase
 *
 * In every phase each worker writes its own slot, waits at the barrier, reads the slots of all
 * others, and waits again. Behind the first barrier every slot holds this phase's number; behind
 * the second all have read, so the slots may be written again. The slots are plain memory: the
 * barrier alone makes the writes of one thread visible to the others. In every wait exactly one
 * thread is told that it is the serial one, for work that one must do.
 *
 * What can go wrong: without the barrier a worker reads what a slower one wrote a phase ago
 * (--fault none). A barrier made of a count and a condition alone cannot be used twice: a quick
 * thread enters the next phase before a slow one has left this one, and both wait for ever
 * (--fault no_generation; the more --phases, the surer). Counting the generations cures it.
 *
 * Run:     make run P=thread/barrier ARGS="--workers 4 --variant all"
 * Try:     --variant all, with as many workers as cores, and one more: which one suffers?
 * Try:     --fault none: whose old slot is read?
 * Test:    --variant all
 * Test:    --workers 1 --variant all
 * Test:    --workers 7 --phases 1000 --variant spin
 * Test:    --phases 0
 * Test(1): --fault none
 * Test(3): --fault no_generation
 * Test(3): --fault no_generation --workers 64
 * Test(3): --fault no_generation --workers 2 --phases 10000
 * Test:    --fault no_generation --workers 1
 * Test:    --fault none --workers 1
 * Test(2): --workers 0
 * Test(2): --variant fence
 * Test(2): --workers 2147483648
 * Test(2): --iterations 9223372036854775808
 */
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "local/lib/clock.h"
#include "local/lib/memory.h"
#include "local/lib/program.h"
#include "local/lib/sampler.h"
#include "local/lib/size.h"
#include "local/lib/team.h"

#define PHASES_MAX ((size_t)1 << 30) /* with the most workers, all reads can be counted */

static struct {
    size_t workers, phases, iterations;
    double secs;
    const char *variant, *fault;
} opt = { .workers = 4, .phases = 100, .iterations = 100000, .secs = 1, .variant = "posix" };

static const struct arg options[] = {
    { "workers", ARG_SIZE, &opt.workers, "threads", .min = 1, .max = TEAM_MAX },
    { "phases", ARG_SIZE, &opt.phases, "phases that are checked", .max = PHASES_MAX },
    { "variant", ARG_CHOICE, &opt.variant, "which barrier", .choices = "posix|cond|spin|all" },
    { "fault", ARG_CHOICE, &opt.fault, "make a mistake on purpose",
      .choices = "none|no_generation" },
    { "seconds", ARG_SECS, &opt.secs, "time budget for one row" },
    { "iterations", ARG_SIZE, &opt.iterations, "samples of one row at most", .min = 1,
      .max = SAMPLES_MAX },
    ARGS_END,
};

struct barrier {
    size_t workers;
    bool (*wait)(struct barrier *barrier); /* true for the serial thread */
#if _POSIX_BARRIERS > 0
    pthread_barrier_t posix;
#endif
    pthread_mutex_t lock; /* cond: guards arrived and generation */
    pthread_cond_t all_here;
    size_t arrived, generation;
    atomic_size_t here, turn; /* spin: the same two without a lock */
    size_t inside;        /* no_generation: workers in this barrier or the one before */
    atomic_bool stalled;
    size_t waiting;       /* of those, in this one, when it stalled */
};

#if _POSIX_BARRIERS > 0
static bool wait_posix(struct barrier *b)
{
    return pthread_barrier_wait(&b->posix) == PTHREAD_BARRIER_SERIAL_THREAD;
}
#endif

static bool wait_cond(struct barrier *b)
{
    pthread_mutex_lock(&b->lock);
    const size_t mine = b->generation;
    const bool last = ++b->arrived == b->workers;
    if (last) {
        b->arrived = 0;
        b->generation++; /* lets this generation go, and no thread of the next one */
        pthread_cond_broadcast(&b->all_here);
    }
    while (b->generation == mine)
        pthread_cond_wait(&b->all_here, &b->lock);
    pthread_mutex_unlock(&b->lock);
    return last;
}

static bool wait_spin(struct barrier *b)
{
    const size_t mine = atomic_load(&b->turn);

    if (atomic_fetch_add(&b->here, 1) + 1 == b->workers) {
        atomic_store(&b->here, 0); /* before the turn: a thread let go may be back at once */
        atomic_fetch_add(&b->turn, 1);
        return true;
    }
    for (unsigned spins = 1; atomic_load(&b->turn) == mine; spins++)
        if (spins % 1024 == 0)
            sched_yield(); /* more threads than cores: let the late one run */
    return false;
}

/*
 * --fault no_generation: waits for `arrived` to be 0 again, which the next phase undoes. When all
 * are inside and some are missing, these are in the barrier before, and do not leave it: nobody will
 * come.
 */
static bool wait_no_generation(struct barrier *b)
{
    pthread_mutex_lock(&b->lock);
    b->inside++;
    const bool last = ++b->arrived == b->workers;
    if (last) {
        b->arrived = 0;
        pthread_cond_broadcast(&b->all_here);
    } else if (b->inside == b->workers && !b->stalled) {
        b->waiting = b->arrived;
        b->stalled = true;
        pthread_cond_broadcast(&b->all_here);
    }
    while (b->arrived != 0 && !b->stalled)
        pthread_cond_wait(&b->all_here, &b->lock);
    b->inside--;
    pthread_mutex_unlock(&b->lock);
    return last;
}

static const struct choice {
    const char *name;
    bool (*wait)(struct barrier *);
    bool is_fault;
} choices[] = {
#if _POSIX_BARRIERS > 0
    { "posix", wait_posix, false },
#endif
    { "cond", wait_cond, false },
    { "spin", wait_spin, false },
    { "none", NULL, true },
    { "no_generation", wait_no_generation, true },
};

struct wrong {
    size_t phase, reader, owner, value;
};

struct team {
    struct barrier barrier;
    size_t *slots;         /* one a worker: the last phase that it wrote */
    atomic_size_t *serial; /* one a phase: threads told that they are the serial one */
    atomic_size_t reads;
    atomic_bool is_wrong;  /* whoever sets it first writes `wrong` */
    struct wrong wrong;
    sem_t has_read;        /* --fault none: posted by each reader of worker 0's slot */
    struct sampler sampler;
};

static void read_slot(struct team *team, size_t phase, size_t reader, size_t owner)
{
    const size_t value = team->slots[owner];

    atomic_fetch_add(&team->reads, 1);
    if (value != phase && !atomic_exchange(&team->is_wrong, true))
        team->wrong = (struct wrong){ phase, reader, owner, value };
}

static void run_phase(struct team *team, size_t phase, size_t me)
{
    struct barrier *barrier = &team->barrier;

    team->slots[me] = phase;
    if (barrier->wait(barrier))
        atomic_fetch_add(&team->serial[phase - 1], 1);
    for (size_t owner = 0; owner < opt.workers && !barrier->stalled; owner++)
        read_slot(team, phase, me, owner);
    barrier->wait(barrier);
}

/* --fault none: worker 0 is held back until all others have read its slot. */
static void run_phase_without_barrier(struct team *team, size_t phase, size_t me)
{
    if (me > 0) {
        read_slot(team, phase, me, 0);
        sem_post(&team->has_read);
        return;
    }
    for (size_t other = 1; other < opt.workers; other++)
        while (sem_wait(&team->has_read) && errno == EINTR)
            continue;
    team->slots[0] = phase;
    read_slot(team, phase, 0, 0);
}

/* Batches of barriers, timed by worker 0, which sets the size of the next one. */
static void measure(struct team *team, size_t me)
{
    struct barrier *barrier = &team->barrier;

    for (;;) {
        barrier->wait(barrier); /* behind it the next batch is known to all */
        const size_t batch = team->sampler.batch;
        if (batch == 0)
            return;
        const int64_t begin = clock_ns();
        for (size_t i = 0; i < batch; i++)
            barrier->wait(barrier);
        if (me == 0)
            sampler_add(&team->sampler, begin, clock_ns());
    }
}

static void work(void *arg, size_t me)
{
    struct team *team = arg;

    if (arg_is(opt.fault, "none")) {
        run_phase_without_barrier(team, 1, me);
        return;
    }
    for (size_t phase = 1; phase <= opt.phases && !team->barrier.stalled; phase++)
        run_phase(team, phase, me);
    if (!opt.fault)
        measure(team, me);
}

static int barrier_open(struct barrier *b, bool (*wait)(struct barrier *))
{
    *b = (struct barrier){ .workers = opt.workers, .wait = wait };
    pthread_mutex_init(&b->lock, NULL);
    pthread_cond_init(&b->all_here, NULL);
#if _POSIX_BARRIERS > 0
    return pthread_barrier_init(&b->posix, NULL, (unsigned)opt.workers);
#else
    return 0;
#endif
}

static void barrier_close(struct barrier *b)
{
#if _POSIX_BARRIERS > 0
    pthread_barrier_destroy(&b->posix);
#endif
    pthread_cond_destroy(&b->all_here);
    pthread_mutex_destroy(&b->lock);
}

/* How the phases went: PASS, or what is wrong, in words. */
static enum status check(const struct team *team, char wrong[160])
{
    const size_t reads = opt.phases * opt.workers * opt.workers;

    if (team->barrier.stalled) {
        snprintf(wrong, 160, "%zu of %zu workers wait for the others, which still wait in the "
                 "barrier before", team->barrier.waiting, opt.workers);
        return STALLED;
    }
    if (team->is_wrong) {
        snprintf(wrong, 160, "phase %zu: worker %zu read %zu in the slot of worker %zu",
                 team->wrong.phase, team->wrong.reader, team->wrong.value, team->wrong.owner);
        return FAIL;
    }
    if (arg_is(opt.fault, "none"))
        return PASS; /* one worker alone reads its own slot */
    for (size_t phase = 0; phase < opt.phases; phase++) {
        if (team->serial[phase] != 1) {
            snprintf(wrong, 160, "phase %zu: %zu serial threads, not 1", phase + 1,
                     (size_t)team->serial[phase]);
            return FAIL;
        }
    }
    snprintf(wrong, 160, "%zu of %zu slots were read", (size_t)team->reads, reads);
    return team->reads == reads ? PASS : FAIL;
}

static void add_row(struct program *program, const char *name, const struct summary *summary,
                    bool right)
{
    struct record row = program->record;

    record_text(&row, "variant", name);
    record_int(&row, "phases", (int64_t)opt.phases);
    record_summary(&row, summary, right && summary->count > 0);
    record_real(&row, "barriers_per_s", right && summary->count ? 1 / summary->median : NAN);
    record_bool(&row, "verified", right);
    program_row(program, &row);
}

static enum status run(struct program *program, const struct choice *choice)
{
    const struct stop_rule rule = { 30, opt.iterations, opt.secs, 0.02 };
    struct team team = {
        .slots = calloc(opt.workers, sizeof *team.slots),
        .serial = memory_room(size_product(opt.phases, sizeof *team.serial))
                      ? NULL : calloc(opt.phases + 1, sizeof *team.serial),
    };
    enum status status = UNABLE;
    char wrong[160];

    if (!team.slots || !team.serial || sampler_open(&team.sampler, &rule)) {
        program_error("no memory for %zu workers, %zu phases and %zu samples: give smaller numbers",
                      opt.workers, opt.phases, opt.iterations);
        goto free_arrays;
    }
    errno = barrier_open(&team.barrier, choice->wait);
    sem_init(&team.has_read, 0, 0);
    if (errno || team_run(opt.workers, work, &team)) {
        program_error("%zu threads: %s: give fewer --workers", opt.workers, strerror(errno));
    } else {
        const struct summary summary = sampler_close(&team.sampler);
        status = check(&team, wrong);
        add_row(program, choice->name, &summary, status == PASS);
        if (status != PASS)
            program_verdict(program, false, "%s: %s", choice->name, wrong);
    }
    sem_destroy(&team.has_read);
    barrier_close(&team.barrier);
free_arrays:
    free(team.sampler.samples);
    free(team.serial);
    free(team.slots);
    return status;
}

int main(int argc, char **argv)
{
    struct program program;
    enum status status = program_open(&program, argc, argv, options, &opt.workers);
    const char *chosen = opt.fault ? opt.fault : opt.variant;
    size_t runs = 0;

    for (size_t i = 0; i < sizeof choices / sizeof *choices && status == PASS; i++) {
        if (arg_is(chosen, choices[i].name) || (arg_is(chosen, "all") && !choices[i].is_fault)) {
            status = run(&program, &choices[i]);
            runs++;
        }
    }
    if (status == PASS && runs == 0) {
        program_error("--variant %s: this system has no pthread_barrier: take another", chosen);
        status = UNABLE;
    }
    program_fault(&program, opt.fault, status == PASS, opt.workers == 1
                      ? "a worker alone has nobody to wait for"
                      : "nobody was back before the slowest had left: give more --phases");
    if (status == PASS)
        program_verdict(&program, true, "%zu workers, %zu phases: each slot held its phase when it "
                        "was read", opt.workers, opt.phases);
    return program_close(&program, status);
}
