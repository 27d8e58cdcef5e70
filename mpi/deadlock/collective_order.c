/*
 * collective_order - collective calls match by their order on a communicator, and by nothing else
 *
 * A message has a tag, a collective call has none: the first call of a rank on a communicator meets
 * the first call of every other rank there, the second meets the second. Here rank 0 hands out
 * --count elements by MPI_Bcast, all meet in MPI_Barrier, and sum up by MPI_Allreduce on a second
 * communicator. If a rank leaves a call out, or two ranks order them differently, each waits for
 * the other: no single call is wrong, and no rank is wrong alone.
 *
 * The right ways, each checked:
 *   same_order   all ranks make the same calls in the same order
 *   nonblocking  the calls are started, on two communicators, in whatever order suits a rank, and
 *                waited for together (MPI 3.1, section 5.13)
 *   split        ranks that want another order get a communicator of their own
 *
 * The mistakes, each under --limit. These three always deadlock (status 3), given two ranks and an
 * element:
 *   skip         the last rank leaves out the barrier
 *   comms        rank 0 uses the two communicators in the opposite order
 *   early_exit   rank 0 finds an error, prints it, and leaves alone before the first call
 * These two may go unnoticed by MPI; the program says what became of them:
 *   swap         on one communicator the last rank sums up first, the others last
 *   root         the last rank takes itself for the root of the MPI_Bcast
 *
 * Run:     make run P=collective_order N=4 ARGS="--show"
 * Try:     --fault comms: which rank stands in which call, on which communicator?
 * Try:     --fault swap, then with --count 1M: why does the first one pass?
 * Try:     --fault root: MPI does not complain. Who holds wrong data?
 * Test:    -n 1 --show
 * Test:    -n 1 --fault comms
 * Test:    -n 3 --count 0 --show
 * Test:    -n 4 --count 100001 --seed 7
 * Test:    -n 2 --count 8M --variant same_order
 * Test(1): -n 3 --fault corrupt
 * Test(3): -n 2 --fault skip --limit 0.3
 * Test(3): -n 5 --fault skip --limit 0.3 --count 0
 * Test(3): -n 2 --fault comms --limit 0.3
 * Test(3): -n 5 --fault comms --limit 0.3
 * Test(3): -n 3 --fault early_exit --limit 0.3
 * Test(2): -n 2 --count 3G
 * Test(2): -n 2 --variant other_order
 * Test(2): -n 2 --fault skip --limit 0
 */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "local/lib/data.h"
#include "mpi/lib/stall.h"
#include "mpi/lib/verify.h"
#include "mpi/lib/world.h"

static struct {
    size_t count, seed;
    const char *variant, *fault;
    double limit;
    bool show;
} opt = { .count = 100, .variant = "all", .limit = 2 };

static const struct arg options[] = {
    { "count", ARG_SIZE, &opt.count, "elements of 8 bytes in each collective" },
    { "variant", ARG_CHOICE, &opt.variant, "the right way",
      .choices = "same_order|nonblocking|split|all" },
    { "fault", ARG_CHOICE, &opt.fault, "disagree on purpose, or send a wrong element",
      .choices = "skip|comms|early_exit|swap|root|corrupt" },
    { "limit", ARG_SECS, &opt.limit, "after which a deadlock ends with status 3" },
    { "seed", ARG_SIZE, &opt.seed, "other elements" },
    { "show", ARG_FLAG, &opt.show, "print the calls of each rank in their order" },
    ARGS_END,
};

enum { FIRST, SECOND, GROUP }; /* communicators: two of all ranks, one of the even or odd ranks */

struct order {
    const struct world *world;
    int count;
    int rank, last;       /* among all ranks */
    MPI_Comm comms[3];
    uint64_t *given;      /* by MPI_Bcast */
    uint64_t *mine, *sum; /* of MPI_Allreduce */
    int low, step;        /* who takes part: ranks low, low + step ... */
    char bcast_call[32];  /* as --fault has it reported: a Bcast is another one with another root */
    char calls[256];      /* for --show */
    struct stall stall;   /* started for a fault only */
};

/* ---- The calls. Each is announced to stall, which does nothing unless it was started. ---- */

static void announce(struct order *o, const char *call, int comm)
{
    const size_t used = strlen(o->calls);

    snprintf(o->calls + used, sizeof o->calls - used, "%s%s on communicator %d",
             used > 0 ? ", " : "", call, comm == GROUP ? GROUP + o->low : comm);
    stall_enter(&o->stall, call, STALL_ALL, comm);
}

static void bcast(struct order *o, int comm, int root)
{
    snprintf(o->bcast_call, sizeof o->bcast_call, "MPI_Bcast (root %d)", root);
    announce(o, o->bcast_call, comm);
    MPI_Bcast(o->given, o->count, MPI_UINT64_T, root, o->comms[comm]);
    stall_leave(&o->stall);
}

static void barrier(struct order *o, int comm)
{
    announce(o, "MPI_Barrier", comm);
    MPI_Barrier(o->comms[comm]);
    stall_leave(&o->stall);
}

static void sum_up(struct order *o, int comm)
{
    announce(o, "MPI_Allreduce", comm);
    MPI_Allreduce(o->mine, o->sum, o->count, MPI_UINT64_T, MPI_SUM, o->comms[comm]);
    stall_leave(&o->stall);
}

/* ---- The right ways ---- */

static void same_order(struct order *o)
{
    bcast(o, FIRST, 0);
    barrier(o, FIRST);
    sum_up(o, SECOND);
}

/* Even and odd ranks start in opposite order, and no harm is done: no call waits for another. On
 * one communicator it would be as wrong as with blocking calls. */
static void nonblocking(struct order *o)
{
    MPI_Request requests[2];

    for (int i = 0; i < 2; i++) {
        if ((o->rank + i) % 2 == 0) {
            announce(o, "MPI_Ibcast", FIRST);
            MPI_Ibcast(o->given, o->count, MPI_UINT64_T, 0, o->comms[FIRST], &requests[i]);
        } else {
            announce(o, "MPI_Iallreduce", SECOND);
            MPI_Iallreduce(o->mine, o->sum, o->count, MPI_UINT64_T, MPI_SUM, o->comms[SECOND],
                           &requests[i]);
        }
    }
    MPI_Waitall(2, requests, MPI_STATUSES_IGNORE);
}

/* The even ranks and the odd ones never meet; each group has a root, and a sum, of its own. */
static void split(struct order *o)
{
    o->low = o->rank % 2;
    o->step = 2;
    MPI_Comm_split(o->world->comm, o->low, o->rank, &o->comms[GROUP]);
    if (o->low == 0) {
        bcast(o, GROUP, 0);
        sum_up(o, GROUP);
    } else {
        sum_up(o, GROUP);
        bcast(o, GROUP, 0);
    }
    MPI_Comm_free(&o->comms[GROUP]);
}

/* ---- The mistakes ---- */

/* The barrier and the sum are on different communicators, so neither can be taken for the other:
 * both wait for a rank that is in the other one, whatever the library. */
static void skip(struct order *o)
{
    bcast(o, FIRST, 0);
    if (o->rank != o->last)
        barrier(o, FIRST);
    sum_up(o, SECOND);
}

/* The others wait for the root's data, and the root for their part of the sum. */
static void comms(struct order *o)
{
    if (o->rank == 0) {
        sum_up(o, SECOND);
        bcast(o, FIRST, 0);
    } else {
        bcast(o, FIRST, 0);
        sum_up(o, SECOND);
    }
}

/* A check of the input on one rank, and a way out that the other ranks do not know of. */
static void early_exit(struct order *o)
{
    if (o->rank == 0) {
        program_error("rank 0: finds an error, and leaves alone (--fault early_exit)");
        return;
    }
    bcast(o, FIRST, 0);
    sum_up(o, SECOND);
}

/* Where the root of an MPI_Bcast need not wait for its data to be received, it can go on to the sum
 * in which the last rank stands. */
static void swap(struct order *o)
{
    if (o->rank == o->last) {
        sum_up(o, FIRST);
        bcast(o, FIRST, 0);
    } else {
        bcast(o, FIRST, 0);
        sum_up(o, FIRST);
    }
}

static void root(struct order *o)
{
    bcast(o, FIRST, o->rank == o->last ? o->last : 0);
    sum_up(o, SECOND);
}

static const struct way {
    const char *name;
    void (*run)(struct order *o);
} variants[] = {
    { "same_order", same_order },
    { "nonblocking", nonblocking },
    { "split", split },
};

static const struct way faults[] = {
    { "skip", skip }, { "comms", comms }, { "early_exit", early_exit },
    { "swap", swap }, { "root", root },
};

/* ---- Data and checks ---- */

static void order_open(struct order *o, const struct world *w)
{
    const uint64_t count = opt.count, rank = (uint64_t)w->rank;

    *o = (struct order){ .world = w, .count = (int)count, .rank = w->rank, .last = w->size - 1,
                         .low = 0, .step = 1 };
    for (int comm = FIRST; comm <= SECOND; comm++)
        MPI_Comm_dup(w->comm, &o->comms[comm]);
    o->given = world_alloc(w, count, sizeof *o->given);
    o->mine = world_alloc(w, count, sizeof *o->mine);
    o->sum = world_alloc(w, count, sizeof *o->sum);
    memset(o->given, 0, count * sizeof *o->given);
    memset(o->sum, 0, count * sizeof *o->sum);
    for (uint64_t i = 0; i < count; i++)
        o->mine[i] = (rank + 1) * element(i, opt.seed);
}

static void order_close(struct order *o)
{
    free(o->sum);
    free(o->mine);
    free(o->given);
    for (int comm = FIRST; comm <= SECOND; comm++)
        MPI_Comm_free(&o->comms[comm]);
}

/* Only a root has data before the call: rank 0, and rank 1 among the odd ranks of a split. */
static void fill(struct order *o, bool splits)
{
    if (o->rank == 0 || (splits && o->rank == 1))
        elements_fill(o->given, 0, opt.count, opt.seed);
    if (arg_is(opt.fault, "corrupt") && o->rank == o->last && opt.count > 0)
        o->mine[opt.count / 2] ^= 1;
}

/* The sum over all ranks r that take part of (r + 1) element(i): that of r + 1 is known. */
static uint64_t first_wrong_sum(const struct order *o)
{
    const uint64_t low = (uint64_t)o->low, step = (uint64_t)o->step;
    const uint64_t ranks = ((uint64_t)o->last - low) / step + 1;
    const uint64_t factor = ranks * (low + 1) + step * (ranks * (ranks - 1) / 2);
    uint64_t i = 0;

    while (i < opt.count && o->sum[i] == factor * element(i, opt.seed))
        i++;
    return i;
}

static struct verdict check(const struct order *o)
{
    const uint64_t given = elements_check(o->given, 0, opt.count, opt.seed);
    const uint64_t sum = first_wrong_sum(o);
    const struct verdict verdict =
        verify_places(o->world, given < opt.count ? given : UINT64_MAX,
                      "rank %d: element %" PRIu64 " of the MPI_Bcast is not the root's", o->rank,
                      given);

    return verdict_both(verdict, verify_places(o->world, sum < opt.count ? sum : UINT64_MAX,
                                               "rank %d: element %" PRIu64 " of the sum is wrong",
                                               o->rank, sum));
}

static void show(const struct order *o, const char *name)
{
    char line[sizeof o->calls + 64];

    snprintf(line, sizeof line, "%s, rank %d: %s\n", name, o->rank, o->calls);
    world_print(o->world, line);
}

static struct verdict finish(struct world *w, struct order *o, const char *name, const char *safe)
{
    const struct verdict verdict = check(o);
    struct record row = w->program.record;

    if (opt.show)
        show(o, name);
    record_text(&row, "variant", name);
    record_text(&row, "safe", safe);
    record_int(&row, "count", (int64_t)opt.count);
    record_bool(&row, "verified", verdict.right);
    program_row(&w->program, &row);
    order_close(o);
    return verdict;
}

/* ---- Runs ---- */

static enum status run_variants(struct world *w)
{
    struct verdict verdict = { .right = true };
    int run = 0;

    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++) {
        if (!arg_is(opt.variant, "all") && !arg_is(opt.variant, variants[i].name))
            continue;
        struct order o;
        order_open(&o, w);
        fill(&o, variants[i].run == split);
        variants[i].run(&o);
        verdict = verdict_both(verdict, finish(w, &o, variants[i].name, "by the standard"));
        run++;
    }
    if (!verdict.right)
        return program_verdict(&w->program, false, "%s", verdict.wrong);
    if (arg_is(opt.fault, "corrupt"))
        program_fault(&w->program, opt.fault, true, "there is no element");
    if (w->size == 1)
        return program_verdict(&w->program, true, "1 rank: nobody to disagree with; its own data "
                               "and sum are right");
    return program_verdict(&w->program, true, "%d ranks agree on the order in %d way%s: data and "
                           "sum right on each", w->size, run, run == 1 ? "" : "s");
}

/* It ends in stall's report and status 3; or it passes, and perhaps the data is right. */
static enum status run_fault(struct world *w, const struct way *fault)
{
    struct order o;

    order_open(&o, w);
    fill(&o, false);
    if (stall_start(&o.stall, w, opt.limit))
        world_abort(w, UNABLE, "the limit cannot be watched: %s: leave out --fault",
                    strerror(errno));
    fault->run(&o);
    stall_stop(&o.stall);
    const struct verdict verdict = finish(w, &o, fault->name, "no");
    if (!verdict.right)
        return program_verdict(&w->program, false, "%s: --fault %s struck, and no call failed",
                               verdict.wrong, fault->name);
    program_fault(&w->program, opt.fault, true, opt.count == 0
                  ? "there is nothing to wait for"
                  : "data and sum are right all the same, by luck with this library and --count");
    return program_verdict(&w->program, true, "data and sum are right");
}

static enum status run(struct world *w)
{
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        if (!arg_is(opt.fault, faults[i].name))
            continue;
        if (w->size > 1)
            return run_fault(w, &faults[i]);
        program_fault(&w->program, opt.fault, true, "1 rank has nobody to disagree with");
    }
    return run_variants(w);
}

int main(int argc, char **argv)
{
    struct world w;
    enum status status = world_open(&w, argc, argv, MPI_THREAD_FUNNELED, 1, options);

    if (status == PASS && opt.count > INT_MAX)
        status = world_usage(&w, "--count %zu: a count is an int: give at most %d", opt.count,
                             INT_MAX);
    if (status == PASS && !(opt.limit > 0))
        status = world_usage(&w, "--limit 0: no time to tell a stall: give more than 0");
    if (status == PASS)
        status = run(&w);
    return world_close(&w, status);
}
