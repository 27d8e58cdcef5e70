/*
 * cycle - everybody sends to a neighbour: two ways to deadlock, and seven ways out
 *
 * Every rank passes --bytes on round a ring (or swaps them with a partner, or with its neighbours
 * on a grid). If all of them receive first, nobody ever sends. If all of them send first, it
 * depends: MPI_Send may copy a small message away and return (it is then "eager"), and the program
 * works; it waits for the receiver with a large one, and the program hangs, on the day the input
 * grows. The standard calls such a program unsafe (MPI 3.1, section 3.5). MPI_Ssend, which always
 * waits for the receive, shows the mistake at any size: --send synchronous.
 *
 * The ways out, each checked and timed:
 *   sendrecv, sendrecv_replace  one call for both; MPI orders them
 *   odd_even                    the even ones send first, the odd ones receive first
 *   one_breaks                  one rank receives first: safe, but the others wait in a row
 *   nonblocking                 post the receive and the send, then wait for both
 *   buffered                    MPI_Bsend, into memory that the program sets aside
 *   neighbor                    a neighbourhood collective on a graph of who sends to whom
 *
 * Run:     make run P=cycle N=4
 * Try:     --fault recv_first: who waits for whom? Also on 1 rank
 * Try:     --fault send_first --bytes 1K, then --bytes 64K: which one "works"?
 * Try:     --fault send_first --bytes 1K --send synchronous: the same mistake, found in time
 * Try:     --variant all --send synchronous on 8 ranks: what does one_breaks cost?
 * Test:    -n 1 --pattern grid --bytes 1000
 * Test:    -n 3 --pattern grid --send synchronous --bytes 0:1 --seconds 0.01
 * Test:    -n 4 --pattern pair --bytes 100001
 * Test:    -n 5 --pattern pair --send synchronous
 * Test:    -n 6 --pattern grid --variant neighbor --bytes 0:64K --seconds 0.01
 * Test:    -n 2 --variant nonblocking --bytes 64M --iterations 1
 * Test:    -n 3 --fault send_first --bytes 0 --limit 0.5
 * Test(1): -n 3 --fault corrupt
 * Test(3): -n 1 --fault recv_first --limit 0.3
 * Test(3): -n 3 --fault recv_first --limit 0.3
 * Test(3): -n 5 --fault recv_first --pattern grid --limit 0.3
 * Test(3): -n 2 --fault send_first --send synchronous --bytes 0 --limit 0.3
 * Test(3): -n 3 --fault send_first --send synchronous --pattern pair --limit 0.3
 * Test(2): -n 2 --variant odd
 * Test(2): -n 2 --bytes 3G
 * Test(2): -n 2 --fault recv_first --limit 0
 */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "local/lib/data.h"
#include "mpi/lib/stall.h"
#include "mpi/lib/timing.h"
#include "mpi/lib/verify.h"
#include "mpi/lib/world.h"

static struct {
    struct range bytes;
    const char *variant, *pattern, *send, *fault;
    double limit;
    size_t seed;
    struct timing_options timing;
} opt = {
    { 64 << 10, 64 << 10 }, "all", "ring", "standard", .limit = 2, .timing = TIMING_DEFAULTS
};

static struct plot plot = {
    .title = "Ways out of a cycle of messages",
    .x = "bytes",
    .x_label = "size of a message (bytes)",
    .y = "median_s",
    .low = "p10_s",
    .high = "p90_s",
    .y_label = "until the last rank has left (us): median, p10 to p90",
    .series = "variant",
};

#define VARIANTS "sendrecv|sendrecv_replace|odd_even|one_breaks|nonblocking|buffered|neighbor"

static const struct arg options[] = {
    { "bytes", ARG_RANGE, &opt.bytes, "sizes of each message" },
    { "variant", ARG_CHOICE, &opt.variant, "the way out", .choices = VARIANTS "|all" },
    { "pattern", ARG_CHOICE, &opt.pattern, "who sends to whom", .choices = "ring|pair|grid" },
    { "send", ARG_CHOICE, &opt.send, "MPI_Send, or MPI_Ssend which waits for the receive",
      .choices = "standard|synchronous" },
    { "fault", ARG_CHOICE, &opt.fault, "deadlock, or send a wrong byte",
      .choices = "recv_first|send_first|corrupt" },
    { "limit", ARG_SECS, &opt.limit, "after which a deadlock ends with status 3" },
    { "seed", ARG_SIZE, &opt.seed, "other bytes" },
    TIMING_ARGS(&opt.timing),
    PLOT_ARG(&plot),
    ARGS_END,
};

enum { LEGS = 4 };

/* One message out and one in. The ranks of a leg form closed cycles; in its own a rank stands at
 * `place` of `length`. */
struct leg {
    int to, from, place, length;
    unsigned char *out, *in;
    MPI_Comm graph; /* with this one edge to each rank and from it */
};

struct cycle {
    const struct world *world;
    int bytes, legs;
    struct leg leg[LEGS];
    struct stall stall; /* started for a fault only */
};

/* ---- Who sends to whom ---- */

static struct leg shifted(MPI_Comm grid, int dimension, int by)
{
    int dims[2], periods[2], coords[2];
    struct leg leg;

    MPI_Cart_get(grid, 2, dims, periods, coords);
    MPI_Cart_shift(grid, dimension, by, &leg.from, &leg.to);
    leg.length = dims[dimension];
    leg.place = by > 0 ? coords[dimension] : leg.length - 1 - coords[dimension];
    return leg;
}

/* All neighbours on a torus, whose dimensions MPI makes as equal as the number of ranks admits. */
static int grid_legs(const struct world *w, struct leg *leg)
{
    int dims[2] = { 0, 0 }, legs = 0;
    MPI_Comm grid;

    MPI_Dims_create(w->size, 2, dims);
    MPI_Cart_create(w->comm, 2, dims, (int[]){ true, true }, false, &grid);
    for (int dimension = 0; dimension < 2; dimension++) {
        leg[legs++] = shifted(grid, dimension, 1);
        leg[legs++] = shifted(grid, dimension, -1);
    }
    MPI_Comm_free(&grid);
    return legs;
}

static int find_legs(const struct world *w, struct leg *leg)
{
    const int rank = w->rank, size = w->size, partner = rank ^ 1;

    if (arg_is(opt.pattern, "grid"))
        return grid_legs(w, leg);
    if (arg_is(opt.pattern, "ring"))
        leg[0] = (struct leg){ (rank + 1) % size, (rank + size - 1) % size, rank, size };
    else if (partner < size)
        leg[0] = (struct leg){ partner, partner, rank % 2, 2 };
    else
        leg[0] = (struct leg){ rank, rank, 0,
                               1 }; /* the last of an odd number is its own partner */
    return 1;
}

/* ---- The ways out ---- */

static void send(const struct cycle *c, const struct leg *leg)
{
    if (arg_is(opt.send, "synchronous"))
        MPI_Ssend(leg->out, c->bytes, MPI_BYTE, leg->to, 0, c->world->comm);
    else
        MPI_Send(leg->out, c->bytes, MPI_BYTE, leg->to, 0, c->world->comm);
}

static void receive(const struct cycle *c, const struct leg *leg)
{
    MPI_Recv(leg->in, c->bytes, MPI_BYTE, leg->from, 0, c->world->comm, MPI_STATUS_IGNORE);
}

static void send_and_receive(const struct cycle *c, const struct leg *leg)
{
    MPI_Sendrecv(leg->out, c->bytes, MPI_BYTE, leg->to, 0, leg->in, c->bytes, MPI_BYTE, leg->from,
                 0, c->world->comm, MPI_STATUS_IGNORE);
}

static void sendrecv(void *arg)
{
    const struct cycle *c = arg;

    for (int i = 0; i < c->legs; i++)
        send_and_receive(c, &c->leg[i]);
}

/* The message comes back into the buffer it left; a copy keeps ours for the next time. */
static void sendrecv_replace(void *arg)
{
    const struct cycle *c = arg;

    for (int i = 0; i < c->legs; i++) {
        const struct leg *leg = &c->leg[i];
        memcpy(leg->in, leg->out, (size_t)c->bytes);
        MPI_Sendrecv_replace(leg->in, c->bytes, MPI_BYTE, leg->to, 0, leg->from, 0, c->world->comm,
                             MPI_STATUS_IGNORE);
    }
}

/* With an odd number of ranks the last and the first both send first; the first one's neighbour
 * receives, so it goes on, and then receives from the last: one step more. Alone, a rank has no
 * neighbour that could be odd. */
static void odd_even(void *arg)
{
    const struct cycle *c = arg;

    for (int i = 0; i < c->legs; i++) {
        const struct leg *leg = &c->leg[i];
        if (leg->length == 1) {
            send_and_receive(c, leg);
        } else if (leg->place % 2 == 0) {
            send(c, leg);
            receive(c, leg);
        } else {
            receive(c, leg);
            send(c, leg);
        }
    }
}

/* Rank after rank is set free: with synchronous sends as many steps as there are ranks. */
static void one_breaks(void *arg)
{
    const struct cycle *c = arg;

    for (int i = 0; i < c->legs; i++) {
        const struct leg *leg = &c->leg[i];
        if (leg->length == 1) {
            send_and_receive(c, leg);
        } else if (leg->place > 0) {
            send(c, leg);
            receive(c, leg);
        } else {
            receive(c, leg);
            send(c, leg);
        }
    }
}

static void nonblocking(void *arg)
{
    const struct cycle *c = arg;
    const bool synchronous = arg_is(opt.send, "synchronous");
    MPI_Request requests[2 * LEGS];

    for (int i = 0; i < c->legs; i++)
        MPI_Irecv(c->leg[i].in, c->bytes, MPI_BYTE, c->leg[i].from, 0, c->world->comm,
                  &requests[i]);
    for (int i = 0; i < c->legs; i++)
        (synchronous ? MPI_Issend : MPI_Isend)(c->leg[i].out, c->bytes, MPI_BYTE, c->leg[i].to, 0,
                                               c->world->comm, &requests[c->legs + i]);
    MPI_Waitall(2 * c->legs, requests, MPI_STATUSES_IGNORE);
}

/* The program sets the memory aside itself: enough for all messages that may be under way. To
 * detach it waits until they have left. */
static void buffered(void *arg)
{
    const struct cycle *c = arg;
    const int size = c->legs * (c->bytes + MPI_BSEND_OVERHEAD);
    void *buffer = world_alloc(c->world, (size_t)size, 1);
    int detached;

    MPI_Buffer_attach(buffer, size);
    for (int i = 0; i < c->legs; i++)
        MPI_Bsend(c->leg[i].out, c->bytes, MPI_BYTE, c->leg[i].to, 0, c->world->comm);
    for (int i = 0; i < c->legs; i++)
        receive(c, &c->leg[i]);
    MPI_Buffer_detach(&buffer, &detached);
    free(buffer);
}

/* A graph for each leg: if one graph has two edges between the same two ranks, as a torus of width
 * 2 has, MPICH and Open MPI do not agree on which message belongs to which edge. */
static void neighbor(void *arg)
{
    const struct cycle *c = arg;

    for (int i = 0; i < c->legs; i++)
        MPI_Neighbor_alltoall(c->leg[i].out, c->bytes, MPI_BYTE, c->leg[i].in, c->bytes, MPI_BYTE,
                              c->leg[i].graph);
}

static const struct variant {
    const char *name;
    void (*exchange)(void *cycle);
} variants[] = {
    { "sendrecv", sendrecv },       { "sendrecv_replace", sendrecv_replace },
    { "odd_even", odd_even },       { "one_breaks", one_breaks },
    { "nonblocking", nonblocking }, { "buffered", buffered },
    { "neighbor", neighbor },
};

/* ---- The mistakes ---- */

static void recv_first(struct cycle *c)
{
    for (int i = 0; i < c->legs; i++) {
        stall_enter(&c->stall, "MPI_Recv", c->leg[i].from, 0);
        receive(c, &c->leg[i]);
        stall_leave(&c->stall);
    }
    for (int i = 0; i < c->legs; i++)
        send(c, &c->leg[i]);
}

static void send_first(struct cycle *c)
{
    const char *call = arg_is(opt.send, "synchronous") ? "MPI_Ssend" : "MPI_Send";

    for (int i = 0; i < c->legs; i++) {
        stall_enter(&c->stall, call, c->leg[i].to, 0);
        send(c, &c->leg[i]);
        stall_leave(&c->stall);
    }
    for (int i = 0; i < c->legs; i++)
        receive(c, &c->leg[i]);
}

/* ---- Buffers and checks ---- */

static void cycle_open(struct cycle *c, const struct world *w, size_t bytes)
{
    const int weight = 1;

    *c = (struct cycle){ .world = w, .bytes = (int)bytes };
    c->legs = find_legs(w, c->leg);
    for (int i = 0; i < c->legs; i++) {
        struct leg *leg = &c->leg[i];
        leg->out = world_alloc(w, bytes, 1);
        leg->in = world_alloc(w, bytes, 1);
        MPI_Dist_graph_create_adjacent(w->comm, 1, &leg->from, &weight, 1, &leg->to, &weight,
                                       MPI_INFO_NULL, false, &leg->graph);
    }
}

static void cycle_close(struct cycle *c)
{
    for (int i = 0; i < c->legs; i++) {
        MPI_Comm_free(&c->leg[i].graph);
        free(c->leg[i].in);
        free(c->leg[i].out);
    }
}

/* What `rank` sends on leg `i` is a part of one long row of bytes. */
static uint64_t start_of(const struct cycle *c, int rank, int i)
{
    return ((uint64_t)i * (uint64_t)c->world->size + (uint64_t)rank) * (uint64_t)c->bytes;
}

static void fill(const struct cycle *c)
{
    const uint64_t bytes = (uint64_t)c->bytes;

    for (int i = 0; i < c->legs; i++) {
        bytes_fill(c->leg[i].out, start_of(c, c->world->rank, i), bytes, opt.seed);
        memset(c->leg[i].in, 0, bytes);
    }
    if (arg_is(opt.fault, "corrupt") && c->world->rank == c->world->size - 1 && bytes > 0)
        c->leg[0].out[bytes / 2] ^= 1;
}

static struct verdict check(const struct cycle *c)
{
    const uint64_t bytes = (uint64_t)c->bytes;
    uint64_t wrong = UINT64_MAX;
    int from = 0;

    for (int i = 0; i < c->legs && wrong == UINT64_MAX; i++) {
        from = c->leg[i].from;
        const uint64_t place = bytes_check(c->leg[i].in, start_of(c, from, i), bytes, opt.seed);
        if (place < bytes)
            wrong = place;
    }
    return verify_places(c->world, wrong, "rank %d: byte %" PRIu64 " of what rank %d sent is wrong",
                         c->world->rank, wrong, from);
}

static void add_row(struct world *w, const char *variant, const char *safety,
                    const struct timing *timing, size_t bytes, bool right)
{
    struct record row = w->program.record;

    record_text(&row, "variant", variant);
    record_text(&row, "pattern", opt.pattern);
    record_text(&row, "send", opt.send);
    record_text(&row, "safe", safety);
    timing_fields(&row, timing, bytes, right && timing->summary.count > 0);
    record_bool(&row, "verified", right);
    program_row(&w->program, &row);
}

/* ---- Runs ---- */

static struct verdict run_variant(struct world *w, const struct variant *variant, size_t bytes)
{
    struct timing timing = { 0 };
    struct cycle c;

    cycle_open(&c, w, bytes);
    fill(&c);
    variant->exchange(&c);
    struct verdict verdict = check(&c);
    if (verdict.right) {
        timing = timing_run(w, &opt.timing, bytes, variant->exchange, &c);
        verdict = check(&c);
    }
    add_row(w, variant->name, "by the standard", &timing, bytes, verdict.right);
    if (!verdict.right)
        snprintf(verdict.wrong + strlen(verdict.wrong),
                 sizeof verdict.wrong - strlen(verdict.wrong), " (%s, %zu bytes)", variant->name,
                 bytes);
    cycle_close(&c);
    return verdict;
}

static enum status run_variants(struct world *w)
{
    struct verdict verdict = { .right = true };
    size_t bytes = opt.bytes.from;
    int run = 0;
    char sizes[64];

    do {
        run = 0;
        for (size_t i = 0; i < sizeof variants / sizeof *variants; i++) {
            if (arg_is(opt.variant, "all") || arg_is(opt.variant, variants[i].name)) {
                verdict = verdict_both(verdict, run_variant(w, &variants[i], bytes));
                run++;
            }
        }
    } while ((bytes = range_next(&opt.bytes, bytes)) > 0);

    if (!verdict.right)
        return program_verdict(&w->program, false, "%s", verdict.wrong);
    return program_verdict(&w->program, true,
                           "%s bytes passed on by %d rank%s in %d way%s, each as "
                           "it was sent",
                           range_text(&opt.bytes, sizes), w->size, w->size == 1 ? "" : "s", run,
                           run == 1 ? "" : "s");
}

/* One exchange without a way out: it ends in stall's report and status 3, or it passes by luck. */
static struct verdict run_fault(struct world *w, size_t bytes)
{
    const bool receives = arg_is(opt.fault, "recv_first");
    struct cycle c;

    cycle_open(&c, w, bytes);
    fill(&c);
    if (stall_start(&c.stall, w, opt.limit))
        world_abort(w, UNABLE, "the limit cannot be watched: %s: leave out --fault",
                    strerror(errno));
    if (receives)
        recv_first(&c);
    else
        send_first(&c);
    const struct verdict verdict = check(&c);
    stall_stop(&c.stall);
    add_row(w, opt.fault, receives ? "no" : "only by buffering",
            &(struct timing){ .slowest_rank = -1 }, bytes, verdict.right);
    cycle_close(&c);
    return verdict;
}

static enum status run_faults(struct world *w)
{
    struct verdict verdict = { .right = true };
    size_t bytes = opt.bytes.from;
    char sizes[64], why[128];

    do
        verdict = verdict_both(verdict, run_fault(w, bytes));
    while ((bytes = range_next(&opt.bytes, bytes)) > 0);

    if (!verdict.right)
        return program_verdict(&w->program, false, "%s", verdict.wrong);
    snprintf(why, sizeof why, "%s bytes are safe here only thanks to buffering; --send synchronous "
             "shows it", range_text(&opt.bytes, sizes));
    program_fault(&w->program, opt.fault, true, why);
    return program_verdict(&w->program, true, "every byte arrived");
}

static enum status check_options(struct world *w)
{
    const size_t most = (size_t)(INT_MAX / LEGS - MPI_BSEND_OVERHEAD);

    if (opt.bytes.to > most)
        return world_usage(w,
                           "--bytes %zu: the buffer of MPI_Bsend has an int size: give at most %zu",
                           opt.bytes.to, most);
    if (!(opt.limit > 0))
        return world_usage(w, "--limit 0: no time to tell a stall: give more than 0");
    return PASS;
}

int main(int argc, char **argv)
{
    struct world w;
    enum status status = world_open(&w, argc, argv, MPI_THREAD_FUNNELED, 1, options);

    if (status == PASS)
        status = check_options(&w);
    if (status == PASS)
        status = world_agree(&w, program_plot(&w.program, &plot));
    if (status == PASS && opt.fault && !arg_is(opt.fault, "corrupt"))
        status = run_faults(&w);
    else if (status == PASS)
        status = run_variants(&w);
    return world_close(&w, status);
}
