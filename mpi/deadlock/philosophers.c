/*
 * philosophers - ranks share forks with their neighbours, and nobody waits for ever
 *
 * Every rank is a philosopher at a round table, with a fork between each two of them; to eat takes
 * both forks. A fork is a message: who has received it has it. If all take the left fork and then
 * ask for the right one, no call is wrong and no call is out of order, yet all wait for ever
 * (--fault symmetric).
 *
 * The remedy of Chandy and Misra ("The drinking philosophers problem", ACM TOPLAS 6(4), 1984): a
 * fork that was used is dirty. Who is asked for a dirty fork cleans it and gives it away, even if
 * hungry; a clean fork is kept until it was used. So who has eaten gives way to who has not, and
 * since at the start one rank, rank 0, has two forks and the last has none, there is no circle in
 * who gives way to whom, then or later.
 *
 * Each rank eats --meals times. Who has had enough must go on giving away forks until all have, and
 * learns of that by MPI_Ibarrier. Each fork counts its uses, and each meal notes the counts of its
 * two forks: if two neighbours ever ate at once, some number would stand in both their notes.
 *
 * Run:     make run P=deadlock/philosophers N=5 ARGS="--show"
 * Try:     --fault symmetric: who waits for whom? Why does one rank alone not starve?
 * Try:     --hold 10ms on 2, 4 and 8 ranks: how many eat at once? Why not every second one?
 * Try:     more ranks than cores: what becomes of the longest wait?
 * Test:    -n 1 --meals 3 --show
 * Test:    -n 2 --meals 1000
 * Test:    -n 3 --meals 0 --show
 * Test:    -n 4 --hold 1ms --iterations 1 --show
 * Test:    -n 16 --iterations 2 --warmup 1
 * Test(1): -n 3 --fault copy
 * Test:    -n 1 --fault symmetric
 * Test(3): -n 2 --fault symmetric --limit 0.3
 * Test(3): -n 8 --fault symmetric --limit 0.3
 * Test(2): -n 2 --meals 3G
 * Test(2): -n 2 --fault symmetric --limit 0
 */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "local/lib/clock.h"
#include "mpi/lib/stall.h"
#include "mpi/lib/timing.h"
#include "mpi/lib/verify.h"
#include "mpi/lib/world.h"

static struct {
    size_t meals;
    double hold, limit;
    const char *fault;
    bool show;
    struct timing_options timing;
} opt = { .meals = 20, .limit = 2, .timing = TIMING_DEFAULTS };

static const struct arg options[] = {
    { "meals", ARG_SIZE, &opt.meals, "how often each rank eats in one dinner",
      .max = 1 << 20 },
    { "hold", ARG_SECS, &opt.hold, "how long a meal takes", .max = 3600 },
    { "fault", ARG_CHOICE, &opt.fault, "all keep the left fork; or rank 0 keeps a copy of one",
      .choices = "symmetric|copy" },
    { "limit", ARG_SECS, &opt.limit, "after which a deadlock ends with status 3" },
    { "show", ARG_FLAG, &opt.show, "print what became of each rank" },
    TIMING_ARGS(&opt.timing),
    ARGS_END,
};

enum { FORK, REQUEST, TAGS }; /* tags */

struct message {
    uint64_t fork, uses;
};

/* A fork and the right to ask for it. Each of the two is with one of the two neighbours, or on its
 * way; so at most one message of each tag is under way from here, and a place for it will do. */
struct side {
    int neighbour;
    uint64_t fork; /* its number: fork r is between rank r and the next one */
    bool held, dirty, may_ask;
    uint64_t uses;   /* of the fork in all, known to who holds it */
    uint64_t *noted; /* its uses before each meal of the last dinner */
    struct message out[TAGS];
    MPI_Request sends[TAGS];
};

enum { LEFT, RIGHT };

struct table {
    const struct world *world;
    MPI_Comm comm;
    struct side sides[2];
    bool hungry;
    uint64_t eaten;             /* meals of this dinner */
    uint64_t dinners, messages; /* in all; sent by this rank */
    double longest_wait;        /* seconds, in all dinners */
    struct stall stall;         /* started for --fault symmetric only */
};

/* ---- Forks and requests ---- */

static void send(struct table *t, struct side *side, int tag)
{
    /* The last one has been received, or what it carried would not be here again. */
    MPI_Wait(&side->sends[tag], MPI_STATUS_IGNORE);
    side->out[tag] = (struct message){ side->fork, side->uses };
    MPI_Isend(&side->out[tag], 2, MPI_UINT64_T, side->neighbour, tag, t->comm, &side->sends[tag]);
    t->messages++;
}

/* The rules: give away what was asked for and is dirty; ask for what is missing. */
static void obey(struct table *t)
{
    for (int i = LEFT; i <= RIGHT; i++) {
        struct side *side = &t->sides[i];
        if (side->held && side->dirty && side->may_ask) {
            send(t, side, FORK);
            side->held = false;
            if (arg_is(opt.fault, "copy") && t->world->rank == 0 && i == RIGHT) {
                side->held = true;
                side->may_ask = false;
            }
        }
        if (t->hungry && !side->held && side->may_ask) {
            send(t, side, REQUEST);
            side->may_ask = false;
        }
    }
}

/* Takes one message if there is one. Between two ranks they come in the order sent, so a request
 * never overtakes the fork that it is for. */
static bool take_message(struct table *t)
{
    struct message message;
    MPI_Status status;
    int arrived;

    MPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, t->comm, &arrived, &status);
    if (!arrived)
        return false;
    MPI_Recv(&message, 2, MPI_UINT64_T, status.MPI_SOURCE, status.MPI_TAG, t->comm,
             MPI_STATUS_IGNORE);
    struct side *side = &t->sides[message.fork == t->sides[RIGHT].fork ? RIGHT : LEFT];
    if (status.MPI_TAG == REQUEST) {
        side->may_ask = true; /* who is asked may ask for it back */
    } else {
        side->held = true;
        side->dirty = false;
        side->uses = message.uses;
    }
    obey(t);
    return true;
}

/* ---- A dinner ---- */

/* For the report of a stall: the wait ends when the missing forks are received. */
static void announce(struct table *t)
{
    const struct side *left = &t->sides[LEFT], *right = &t->sides[RIGHT];

    stall_enter(&t->stall, "MPI_Recv", left->held ? right->neighbour : left->neighbour, FORK);
    if (!left->held && !right->held)
        stall_also(&t->stall, right->neighbour, FORK);
}

static void get_forks(struct table *t)
{
    const int64_t begin = clock_ns();

    t->hungry = true;
    while (take_message(t))
        ; /* first who has asked meanwhile */
    obey(t);
    while (!t->sides[LEFT].held || !t->sides[RIGHT].held) {
        announce(t);
        while (!take_message(t))
            sched_yield(); /* the neighbour may need this core */
        stall_leave(&t->stall);
    }
    t->hungry = false;
    t->longest_wait = fmax(t->longest_wait, clock_secs(begin, clock_ns()));
}

static void eat(struct table *t)
{
    for (int i = LEFT; i <= RIGHT; i++)
        t->sides[i].noted[t->eaten] = t->sides[i].uses;
    if (opt.hold > 0)
        clock_sleep(opt.hold);
    for (int i = LEFT; i <= RIGHT; i++) {
        t->sides[i].uses++;
        t->sides[i].dirty = true;
    }
    t->eaten++;
}

/* Everybody has what was asked for once all have eaten, so then no message is under way. */
static void serve_until_all_have_eaten(struct table *t)
{
    MPI_Request all;
    int done = 0;

    obey(t);
    MPI_Ibarrier(t->comm, &all);
    for (MPI_Test(&all, &done, MPI_STATUS_IGNORE); !done; MPI_Test(&all, &done, MPI_STATUS_IGNORE))
        if (!take_message(t))
            sched_yield();
}

static void dine(void *arg)
{
    struct table *t = arg;

    t->eaten = 0;
    while (t->eaten < opt.meals) {
        get_forks(t);
        eat(t);
    }
    serve_until_all_have_eaten(t);
    t->dinners++;
}

/* ---- The start and the end ---- */

static void lay_table(struct table *t, const struct world *w)
{
    const int rank = w->rank, size = w->size;
    const bool symmetric = arg_is(opt.fault, "symmetric") && size > 1;

    *t = (struct table){ .world = w };
    MPI_Comm_dup(w->comm, &t->comm);
    t->sides[LEFT].neighbour = (rank + size - 1) % size;
    t->sides[LEFT].fork = size > 1 ? (uint64_t)t->sides[LEFT].neighbour : 1;
    t->sides[RIGHT].neighbour = (rank + 1) % size;
    t->sides[RIGHT].fork = (uint64_t)rank;
    t->sides[LEFT].held = rank == 0 || symmetric;
    t->sides[RIGHT].held = size == 1 || (rank < size - 1 && !symmetric);
    for (int i = LEFT; i <= RIGHT; i++) {
        struct side *side = &t->sides[i];
        side->dirty = !symmetric;
        side->may_ask = !side->held;
        side->noted = world_alloc(w, opt.meals, sizeof *side->noted);
        for (int tag = 0; tag < TAGS; tag++)
            side->sends[tag] = MPI_REQUEST_NULL;
    }
}

static void clear_table(struct table *t)
{
    for (int i = LEFT; i <= RIGHT; i++) {
        MPI_Waitall(TAGS, t->sides[i].sends, MPI_STATUSES_IGNORE);
        free(t->sides[i].noted);
    }
    MPI_Comm_free(&t->comm);
}

/* ---- Checks ---- */

/* What one of its owners knows of a fork after a dinner. */
struct owner {
    uint64_t held, uses, eaten;
    const uint64_t *noted;
};

/* NULL if the uses of the last dinner, first ... first + uses - 1, are each noted once. */
static const char *wrong_notes(const struct owner *owners, int count, uint64_t first,
                               uint64_t uses, bool *seen)
{
    memset(seen, 0, uses * sizeof *seen);
    for (int i = 0; i < count; i++)
        for (uint64_t meal = 0; meal < owners[i].eaten; meal++) {
            const uint64_t use = owners[i].noted[meal] - first;
            if (use >= uses)
                return "a meal noted a use that cannot be";
            if (seen[use])
                return "both its owners ate with it at the same time";
            seen[use] = true;
        }
    return NULL; /* as many notes as uses, none twice */
}

/* NULL, or what is wrong with a fork after `dinners`. */
static const char *wrong_with(const struct owner *owners, int count, uint64_t dinners, bool *seen)
{
    const uint64_t uses = (uint64_t)count * opt.meals;
    uint64_t held = 0;

    for (int i = 0; i < count; i++) {
        if (owners[i].eaten != opt.meals)
            return "one of its owners has not eaten as often as it should";
        held += owners[i].held;
    }
    const char *const wrong = wrong_notes(owners, count, (dinners - 1) * uses, uses, seen);
    if (wrong)
        return wrong;
    if (held != 1)
        return held == 0 ? "it is lost" : "there are two of it";
    for (int i = 0; i < count; i++)
        if (owners[i].held && owners[i].uses != dinners * uses)
            return "its uses are not the meals of its owners";
    return NULL;
}

/* Each rank judges the fork to its right, and hears from its other owner what that one knows. */
static struct verdict check(const struct table *t)
{
    const struct side *left = &t->sides[LEFT], *right = &t->sides[RIGHT];
    const int meals = (int)opt.meals;
    uint64_t *noted = world_alloc(t->world, opt.meals, sizeof *noted);
    bool *seen = world_alloc(t->world, 2 * opt.meals, sizeof *seen);
    uint64_t mine[3] = { left->held, left->uses, t->eaten }, other[3];

    MPI_Sendrecv(mine, 3, MPI_UINT64_T, left->neighbour, 0, other, 3, MPI_UINT64_T,
                 right->neighbour, 0, t->world->comm, MPI_STATUS_IGNORE);
    MPI_Sendrecv(left->noted, meals, MPI_UINT64_T, left->neighbour, 0, noted, meals, MPI_UINT64_T,
                 right->neighbour, 0, t->world->comm, MPI_STATUS_IGNORE);

    const struct owner owners[2] = { { right->held, right->uses, t->eaten, right->noted },
                                     { other[0], other[1], other[2], noted } };
    const bool alone = t->world->size == 1; /* then both forks have one owner */
    const char *wrong = wrong_with(owners, alone ? 1 : 2, t->dinners, seen);
    if (alone && !wrong)
        wrong = wrong_with(&owners[1], 1, t->dinners, seen);
    free(seen);
    free(noted);
    return verify_places(t->world, wrong ? right->fork : UINT64_MAX,
                         "fork %" PRIu64 ", of ranks %d and %d: %s", right->fork, t->world->rank,
                         right->neighbour, wrong ? wrong : "");
}

/* ---- Runs ---- */

static void show(const struct table *t)
{
    static const char *const forks[] = { "no fork", "the left fork", "the right fork",
                                         "both forks" };
    const char *holds = forks[t->sides[LEFT].held + 2 * t->sides[RIGHT].held];
    char line[128];

    snprintf(line, sizeof line, "rank %d: ate %" PRIu64 " times, waited %.1f us at most, holds "
             "%s\n", t->world->rank, t->eaten, 1e6 * t->longest_wait, holds);
    world_print(t->world, line);
}

static void add_row(struct world *w, const struct table *t, const struct timing *timing, bool right)
{
    const double all_meals = (double)opt.meals * w->size;
    const double secs = timing->as ? timing->quoted : timing->summary.median;
    const bool known = right && all_meals > 0 && secs > 0;
    struct { /* MPI_DOUBLE_INT */
        double secs;
        int rank;
    } mine = { t->longest_wait, w->rank }, longest;
    struct record row = w->program.record;
    uint64_t messages;

    MPI_Allreduce(&mine, &longest, 1, MPI_DOUBLE_INT, MPI_MAXLOC, w->comm);
    MPI_Allreduce(&t->messages, &messages, 1, MPI_UINT64_T, MPI_SUM, w->comm);
    record_int(&row, "meals", (int64_t)opt.meals);
    record_real(&row, "meals_per_s", known ? all_meals / secs : NAN);
    record_real(&row, "at_once", known && opt.hold > 0 ? all_meals * opt.hold / secs : NAN);
    record_real(&row, "messages_per_meal",
                known ? (double)messages / all_meals / (double)t->dinners : NAN);
    record_real(&row, "longest_wait_s", known ? longest.secs : NAN);
    record_int(&row, "longest_wait_rank", longest.rank);
    row.aside = true;
    record_real(&row, "hold_s", opt.hold);
    row.aside = false;
    timing_fields(&row, timing, sizeof(struct message), right);
    record_bool(&row, "verified", right);
    program_row(&w->program, &row);
    if (w->rank == 0 && right)
        timing_notes(&w->program, timing);
}

static enum status run(struct world *w)
{
    struct timing timing = { .slowest_rank = -1 };
    struct table t;

    lay_table(&t, w);
    if (arg_is(opt.fault, "symmetric") && stall_start(&t.stall, w, opt.limit))
        world_abort(w, UNABLE, "the limit cannot be watched: %s: leave out --fault",
                    strerror(errno));
    dine(&t); /* --fault symmetric ends here, with stall's report and status 3 */
    stall_stop(&t.stall);
    struct verdict verdict = check(&t);
    if (verdict.right) {
        timing = timing_run(w, &opt.timing, sizeof(struct message), dine, &t);
        verdict = check(&t);
    }
    if (opt.show)
        show(&t);
    add_row(w, &t, &timing, verdict.right);
    clear_table(&t);
    if (!verdict.right)
        return program_verdict(&w->program, false, "%s", verdict.wrong);
    program_fault(&w->program, opt.fault, true,
                  w->size == 1 ? "1 rank shares no fork" : "nobody eats");
    if (w->size == 1)
        return program_verdict(&w->program, true, "1 rank: it shares no fork, and ate %zu times in "
                               "each of %" PRIu64 " dinners", opt.meals, t.dinners);
    return program_verdict(&w->program, true, "%" PRIu64 " dinners of %d ranks, %zu meals each: no "
                           "two neighbours ate at once, no fork was lost", t.dinners, w->size,
                           opt.meals);
}

int main(int argc, char **argv)
{
    struct world w;
    enum status status = world_open(&w, argc, argv, MPI_THREAD_FUNNELED, 1, options);

    if (status == PASS && opt.meals > INT_MAX)
        status = world_usage(&w, "--meals %zu: a count is an int: give at most %d", opt.meals,
                             INT_MAX);
    if (status == PASS && !(opt.limit > 0))
        status = world_usage(&w, "--limit 0: no time to tell a stall: give more than 0");
    if (status == PASS)
        status = run(&w);
    return world_close(&w, status);
}
