/*
 * semaphore - permits for a limited number, and a count that one thread gives to another
 *
 *   permits  workers enter a room for which there are --permits permits, stay for --hold, and leave;
 *            never are more inside than permits
 *   signal   the semaphore starts at 0; a producer writes a value and posts, a consumer waits and
 *            reads: each post lets one value through
 *
 * A semaphore has no owner: anybody may post, also who never waited. It is no queue either: who
 * waits longest need not be next. A wait that a signal interrupts (EINTR) is begun again.
 *
 * What can go wrong: a worker leaves by an early return and keeps its permit (--fault leak). Every
 * time one permit fewer is left, until all others wait for ever.
 *
 * Run:     make run P=semaphore ARGS="--variant all"
 * Try:     --hold 20ms --workers 5 --permits 1, 2, 5: the time beside its lower bound
 * Try:     --fault leak --permits 3: how many workers got in?
 * Test:    --variant all
 * Test:    --variant all --workers 64 --permits 7 --count 3 --hold 100us
 * Test:    --variant all --workers 1 --permits 3 --count 1001 --hold 0
 * Test:    --variant all --count 0
 * Test(3): --fault leak --limit 100ms
 * Test(3): --fault leak --workers 64 --permits 5 --limit 100ms --hold 0
 * Test:    --fault leak --workers 2 --permits 2 --limit 100ms
 * Test(3): --fault leak --permits 2 --limit 0
 * Test(2): --permits 0
 * Test(2): --permits 2147483648
 * Test(2): --workers 0
 * Test(2): --count 1152921504606846976
 * Test(77): --count 1000G --variant signal
 */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "local/lib/clock.h"
#include "local/lib/data.h"
#include "local/lib/memory.h"
#include "local/lib/program.h"
#include "local/lib/size.h"
#include "local/lib/team.h"
#include "local/lib/turns.h"
#include "local/lib/wait.h"

static struct {
    size_t workers, permits, count, iterations;
    double hold, limit, secs;
    const char *variant, *fault;
} opt = { .workers = 5, .permits = 1, .count = 10, .iterations = 10000, .hold = 1e-3, .limit = 0.2,
          .secs = 0.5, .variant = "permits" };

static const struct arg options[] = {
    { "workers", ARG_SIZE, &opt.workers, "threads that want to enter", .min = 1,
      .max = TEAM_MAX },
    { "permits", ARG_SIZE, &opt.permits, "threads that may be inside", .min = 1, .max = INT_MAX },
    { "count", ARG_SIZE, &opt.count, "permits: entries of each worker; signal: values",
      .max = TEAM_COUNT_MAX },
    { "hold", ARG_SECS, &opt.hold, "how long a worker stays inside", .max = TEAM_SECS_MAX },
    { "variant", ARG_CHOICE, &opt.variant, "what the semaphore counts", .choices = "permits|signal|all" },
    { "fault", ARG_CHOICE, &opt.fault, "make a mistake on purpose", .choices = "leak" },
    { "limit", ARG_SECS, &opt.limit, "how long to wait before asking if a permit can ever come",
      .max = TEAM_SECS_MAX },
    { "seconds", ARG_SECS, &opt.secs, "time budget for one row" },
    { "iterations", ARG_SIZE, &opt.iterations, "samples of one row at most", .min = 1,
      .max = SAMPLES_MAX },
    ARGS_END,
};

struct room {
    const char *variant;
    sem_t permits;    /* signal: values that may be read */
    uint64_t *values; /* signal alone */
    atomic_size_t inside, most, entries;
    atomic_size_t kept, waiting; /* leak: permits of those that left; workers that wait for ever */
    int error;
    char wrong[160];
};

/* False: for ever. The limit alone says nothing, whoever holds a permit may only be slow; when all
 * permits have left with their workers, none can come. */
static bool enter(struct room *room)
{
    int error;

    do {
        const struct timespec deadline = clock_deadline(opt.limit);
        error = wait_semaphore(&room->permits, opt.fault ? &deadline : NULL);
    } while (error == ETIMEDOUT && room->kept < opt.permits);
    if (error)
        atomic_fetch_add(&room->waiting, 1);
    return !error;
}

static void work_in_room(void *arg, size_t me)
{
    struct room *const room = arg;

    (void)me;
    for (size_t i = 0; i < opt.count; i++) {
        if (!enter(room))
            return;
        const size_t inside = atomic_fetch_add(&room->inside, 1) + 1;
        size_t most = room->most;
        while (inside > most && !atomic_compare_exchange_weak(&room->most, &most, inside))
            continue;
        atomic_fetch_add(&room->entries, 1);
        if (opt.hold > 0)
            clock_sleep(opt.hold);
        atomic_fetch_sub(&room->inside, 1);
        if (opt.fault) {
            atomic_fetch_add(&room->kept, 1);
            return; /* leak: with the permit */
        }
        sem_post(&room->permits);
    }
}

static void run_permits(void *arg)
{
    struct room *const room = arg;
    const size_t expected = opt.workers * opt.count;
    const size_t bound = opt.permits < opt.workers ? opt.permits : opt.workers;
    int left = 0;

    if (sem_init(&room->permits, 0, (unsigned)opt.permits)) {
        room->error = errno;
        return;
    }
    room->inside = room->most = room->entries = 0;
    if (team_run(opt.workers, work_in_room, room))
        room->error = errno;
    sem_getvalue(&room->permits, &left);
    sem_destroy(&room->permits);
    if (room->waiting > 0 || room->error)
        return;
    if (room->most > bound)
        snprintf(room->wrong, sizeof room->wrong, "%zu workers were inside, not %zu",
                 (size_t)room->most, bound);
    else if (!opt.fault && room->entries != expected)
        snprintf(room->wrong, sizeof room->wrong, "%zu entries, not %zu", (size_t)room->entries,
                 expected);
    else if (!opt.fault && left != (int)opt.permits)
        snprintf(room->wrong, sizeof room->wrong, "%d permits are left of %zu", left, opt.permits);
}

/* Thread 0 produces, thread 1 consumes: as many posts as values, and no lock. */
static void work_on_stream(void *arg, size_t me)
{
    struct room *const room = arg;

    for (size_t i = 0; i < opt.count; i++) {
        if (me == 0) {
            room->values[i] = element(i, 0);
            sem_post(&room->permits);
            continue;
        }
        enter(room);
        if (room->values[i] != element(i, 0) && !*room->wrong)
            snprintf(room->wrong, sizeof room->wrong, "value %zu is %" PRIu64 ", not %" PRIu64, i,
                     room->values[i], element(i, 0));
        atomic_fetch_add(&room->entries, 1);
    }
}

static void run_signal(void *arg)
{
    struct room *const room = arg;

    room->entries = 0;
    memset(room->values, 0, opt.count * sizeof *room->values);
    if (sem_init(&room->permits, 0, 0) || team_run(2, work_on_stream, room))
        room->error = errno;
    sem_destroy(&room->permits);
    if (room->entries != opt.count && !*room->wrong)
        snprintf(room->wrong, sizeof room->wrong, "%zu values came through, not %zu",
                 (size_t)room->entries, opt.count);
}

/* `permits` cannot take less than ceil(W / permits) rounds of n holds; nothing bounds `signal`. */
static void add_row(struct program *program, const struct room *room, const struct turn *turn)
{
    const bool right = !*room->wrong && room->waiting == 0;
    const bool timed = right && turn->summary.count > 0;
    const size_t rounds = (opt.workers * opt.count + opt.permits - 1) / opt.permits;
    struct record row = program->record;

    record_text(&row, "variant", room->variant);
    record_int(&row, "permits", room->values ? 0 : (int64_t)opt.permits);
    record_int(&row, "count", (int64_t)opt.count);
    record_summary(&row, &turn->summary, timed);
    record_real(&row, "bound_s", room->values ? NAN : opt.hold * (double)rounds);
    record_real(&row, "entries_per_s", timed && room->entries
                    ? (double)room->entries / turn->summary.median : NAN);
    record_bool(&row, "verified", right);
    program_row(program, &row);
}

static enum status compare(struct program *program, struct room *rooms, struct turn *turns,
                           size_t count)
{
    const struct stop_rule rule = { 10, opt.iterations, opt.secs, 0.02 };
    enum status status = PASS;

    if (opt.fault)
        run_permits(&rooms[0]);
    else if (turns_run(turns, count, &rule))
        rooms[0].error = errno;
    for (size_t i = 0; i < count && status == PASS; i++) {
        if (rooms[i].error) {
            program_error("%zu threads and %zu permits: %s: give smaller numbers", opt.workers,
                          opt.permits, strerror(rooms[i].error));
            return UNABLE;
        }
        add_row(program, &rooms[i], &turns[i]);
        if (*rooms[i].wrong)
            status = program_verdict(program, false, "%s: %s", rooms[i].variant, rooms[i].wrong);
    }
    if (status != PASS || rooms[0].waiting == 0)
        return status;
    program_verdict(program, false, "leak: %zu workers wait for a permit, and the %zu that there "
                    "were have been taken away by workers that left", (size_t)rooms[0].waiting,
                    opt.permits);
    return STALLED;
}

int main(int argc, char **argv)
{
    struct program program;
    enum status status = program_open(&program, argc, argv, options, &opt.workers);
    uint64_t *values = NULL;
    struct room rooms[2] = { 0 };
    struct turn turns[2];
    size_t count = 0;

    if (status == PASS && !opt.fault && !arg_is(opt.variant, "permits")) {
        values = memory_room(size_product(opt.count, sizeof *values))
                     ? NULL : calloc(opt.count + 1, sizeof *values);
        status = values ? PASS : UNABLE;
        if (!values)
            program_error("no memory for %zu values: give a smaller --count", opt.count);
    }
    if (opt.fault || !arg_is(opt.variant, "signal")) {
        rooms[count].variant = opt.fault ? opt.fault : "permits";
        turns[count] = (struct turn){ .operation = run_permits, .arg = &rooms[count] };
        count++;
    }
    if (!opt.fault && !arg_is(opt.variant, "permits")) {
        rooms[count].variant = "signal";
        rooms[count].values = values;
        turns[count] = (struct turn){ .operation = run_signal, .arg = &rooms[count] };
        count++;
    }
    if (status == PASS)
        status = compare(&program, rooms, turns, count);
    program_fault(&program, opt.fault, status == PASS, opt.count == 0
                      ? "nobody wants to enter" : "there is a permit for every worker");
    if (status == PASS)
        program_verdict(&program, true, "never more workers inside than permits, all permits given "
                        "back, all values in order");
    free(values);
    return program_close(&program, status);
}
