/*
 * nonblocking - start a message, compute, wait for it: does the time of one hide in the other?
 *
 * All ranks pass --bytes on round a ring with MPI_Irecv and MPI_Isend, compute for as long as that
 * takes alone (or --compute), and complete both in one of four ways:
 *
 *   waitall            both at once
 *   waitany, waitsome  whichever is complete first, until none is left
 *   test               MPI_Testall behind each of --parts of the computation, then MPI_Waitall
 *
 * Three times are measured: the message alone, the computation alone, and both. What is saved is
 * message + compute - both; below 0 the two disturb each other, and one after the other would have
 * been quicker. The overlap is that as a share of the shorter one, from 0 % (nothing is hidden) to
 * 100 % (all of the shorter one is).
 *
 * What can go wrong: to believe that a message moves by itself. Large ones need help, which most
 * libraries give only inside MPI calls: waitall may hide nothing, while test, which calls MPI in
 * between, can hide more. And nothing can be hidden where the core that computes must also copy the
 * bytes, as within a node; a network adapter moves them on its own. And to write into the buffer
 * before the message is complete: --fault reuse, which strikes if the library has not read it yet.
 *
 * Run:     make run P=p2p/nonblocking N=2
 * Try:     --bytes 8:4M: at which sizes is there something to hide?
 * Try:     --variant test --parts 1000: what do too many tests cost?
 * Try:     --fault reuse --bytes 8, then 1M: which message had left before the buffer was cleared?
 * Try:     on two nodes: does the network progress on its own?
 * Test:    -n 1 --bytes 0:1 --seconds 0.01
 * Test:    -n 3 --bytes 100001 --compute 1ms --variant waitsome
 * Test:    -n 2 --bytes 64M --iterations 1 --warmup 0 --variant test
 * Test:    -n 2 --bytes 8 --as imb --iterations 10
 * Test(1): -n 3 --fault corrupt
 * Test:    -n 2 --bytes 0 --fault corrupt
 * Test(2): -n 2 --parts 0
 * Test(2): -n 2 --bytes 3G
 */
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "local/lib/clock.h"
#include "local/lib/data.h"
#include "mpi/lib/timing.h"
#include "mpi/lib/verify.h"
#include "mpi/lib/world.h"

static struct {
    struct range bytes;
    const char *variant, *fault;
    double compute;
    size_t parts, seed;
    struct timing_options timing;
} opt = { .bytes = { 1 << 20, 1 << 20 }, .variant = "all", .parts = 20, .timing = TIMING_DEFAULTS };

static struct plot plot = {
    .title = "How much of a message hides behind computing",
    .x = "bytes",
    .x_label = "size of the message (bytes)",
    .y = "overlap_percent",
    .y_label = "overlap (% of the shorter of the two)",
    .series = "variant",
    .linear_y = true,
};

static const struct arg options[] = {
    { "bytes", ARG_RANGE, &opt.bytes, "sizes of the message" },
    { "variant", ARG_CHOICE, &opt.variant, "how the messages are completed",
      .choices = "waitall|waitany|waitsome|test|all" },
    { "compute", ARG_SECS, &opt.compute, "time to compute for; 0: as long as the message takes",
      .max = 3600 },
    { "parts", ARG_SIZE, &opt.parts, "pieces of the computation, a test behind each", .min = 1,
      .max = 1 << 20 },
    { "seed", ARG_SIZE, &opt.seed, "other bytes" },
    { "fault", ARG_CHOICE, &opt.fault, "clear the buffer too early, or send a wrong byte",
      .choices = "reuse|corrupt" },
    TIMING_ARGS(&opt.timing),
    PLOT_ARG(&plot),
    ARGS_END,
};

struct overlap {
    const struct world *world;
    const struct variant *variant;
    int left, right, bytes;
    unsigned char *out, *in;
    uint64_t steps;      /* of the computation */
    uint64_t value;      /* its state: closed form below */
    uint64_t done_steps; /* in all */
    MPI_Request requests[2];
};

static const uint64_t factor = UINT64_C(6364136223846793005), increment = 1442695040888963407;

/* A step cannot begin before the last one has ended, and no compiler can leave one out. */
static void compute(struct overlap *o, uint64_t steps)
{
    uint64_t value = o->value;

    for (uint64_t i = 0; i < steps; i++)
        value = value * factor + increment;
    o->value = value;
    o->done_steps += steps;
}

/* The state after `steps` from 0, in log2(steps) of them: x -> a x + c, squared and composed. */
static uint64_t value_after(uint64_t steps)
{
    uint64_t a = factor, c = increment, value = 0;

    for (; steps > 0; steps >>= 1) {
        if (steps & 1)
            value = value * a + c;
        c = c * a + c;
        a *= a;
    }
    return value;
}

static void start(struct overlap *o)
{
    MPI_Irecv(o->in, o->bytes, MPI_BYTE, o->left, 0, o->world->comm, &o->requests[0]);
    MPI_Isend(o->out, o->bytes, MPI_BYTE, o->right, 0, o->world->comm, &o->requests[1]);
}

static void waitall(struct overlap *o)
{
    compute(o, o->steps);
    MPI_Waitall(2, o->requests, MPI_STATUSES_IGNORE);
}

static void waitany(struct overlap *o)
{
    int index;

    compute(o, o->steps);
    for (int left = 2; left > 0; left--)
        MPI_Waitany(2, o->requests, &index, MPI_STATUS_IGNORE);
}

static void waitsome(struct overlap *o)
{
    int indices[2], count;

    compute(o, o->steps);
    for (int left = 2; left > 0; left -= count)
        MPI_Waitsome(2, o->requests, &count, indices, MPI_STATUSES_IGNORE);
}

static void test(struct overlap *o)
{
    int complete = 0;

    for (uint64_t part = 0; part < opt.parts; part++) {
        compute(o, o->steps / opt.parts + (part < o->steps % opt.parts));
        if (!complete)
            MPI_Testall(2, o->requests, &complete, MPI_STATUSES_IGNORE);
    }
    if (!complete)
        MPI_Waitall(2, o->requests, MPI_STATUSES_IGNORE);
}

static const struct variant {
    const char *name;
    void (*compute_and_complete)(struct overlap *o);
} variants[] = {
    { "waitall", waitall },
    { "waitany", waitany },
    { "waitsome", waitsome },
    { "test", test },
};

/* What is timed. */

static void both(void *arg)
{
    struct overlap *o = arg;

    start(o);
    o->variant->compute_and_complete(o);
}

static void communicate_alone(void *arg)
{
    struct overlap *o = arg;

    start(o);
    MPI_Waitall(2, o->requests, MPI_STATUSES_IGNORE);
}

static void compute_alone(void *arg)
{
    struct overlap *o = arg;

    compute(o, o->steps);
}

/* How many steps last for `secs`: rank 0 tries, at its quickest, and all take its answer. */
static uint64_t steps_for(struct overlap *o, double secs)
{
    const uint64_t some = 1000000;
    double least = INFINITY;

    for (int trial = 0; trial < 5; trial++) {
        const int64_t begin = clock_ns();
        compute(o, some);
        least = fmin(least, clock_secs(begin, clock_ns()));
    }
    uint64_t steps = (uint64_t)fmin(1e18, secs / least * (double)some);
    MPI_Bcast(&steps, 1, MPI_UINT64_T, 0, o->world->comm);
    return steps;
}

static struct verdict check(struct overlap *o)
{
    const uint64_t bytes = (uint64_t)o->bytes;

    bytes_fill(o->out, 0, bytes, opt.seed + (uint64_t)o->world->rank);
    memset(o->in, 0, bytes);
    if (arg_is(opt.fault, "corrupt") && o->world->rank == 0 && bytes > 0)
        o->out[bytes / 2] ^= 1;
    both(o);
    const uint64_t place = bytes_check(o->in, 0, bytes, opt.seed + (uint64_t)o->left);
    const bool computed = o->value == value_after(o->done_steps);
    return verdict_both(verify_places(o->world, place < bytes ? place : UINT64_MAX,
                                      "rank %d: byte %" PRIu64 " of what rank %d sent is wrong",
                                      o->world->rank, place, o->left),
                        verify_places(o->world, computed ? UINT64_MAX : 0,
                                      "rank %d computed a wrong value", o->world->rank));
}

/* The buffer is cleared as soon as MPI_Isend has returned; the receive is posted after that. */
static struct verdict reuse(struct overlap *o)
{
    const uint64_t bytes = (uint64_t)o->bytes;

    bytes_fill(o->out, 0, bytes, opt.seed + (uint64_t)o->world->rank);
    MPI_Isend(o->out, o->bytes, MPI_BYTE, o->right, 0, o->world->comm, &o->requests[1]);
    memset(o->out, 0, bytes);
    MPI_Barrier(o->world->comm);
    MPI_Irecv(o->in, o->bytes, MPI_BYTE, o->left, 0, o->world->comm, &o->requests[0]);
    o->variant->compute_and_complete(o);
    const uint64_t place = bytes_check(o->in, 0, bytes, opt.seed + (uint64_t)o->left);
    return verify_places(o->world, place < bytes ? place : UINT64_MAX,
                         "rank %d: byte %" PRIu64 " was overwritten by rank %d before it had left",
                         o->world->rank, place, o->left);
}

static double secs_of(const struct timing *timing)
{
    return timing->as ? timing->quoted : timing->summary.median;
}

static void add_row(struct world *w, const struct overlap *o, double message, double work,
                    const struct timing *together, bool right)
{
    const double saved = message + work - secs_of(together);
    const double share = saved / fmin(message, work);
    struct record row = w->program.record;

    record_text(&row, "variant", o->variant->name);
    record_real(&row, "message_s", right ? message : NAN);
    record_real(&row, "compute_s", right ? work : NAN);
    record_real(&row, "saved_s", right ? saved : NAN);
    record_real(&row, "overlap_percent", right ? 100 * fmax(0, fmin(1, share)) : NAN);
    timing_fields(&row, together, (uint64_t)o->bytes, right);
    record_bool(&row, "verified", right);
    program_row(&w->program, &row);
    if (w->rank == 0 && right)
        timing_notes(&w->program, together);
}

static struct verdict run_variant(struct world *w, const struct variant *variant, size_t bytes)
{
    struct overlap o = { .world = w,
                         .variant = variant,
                         .bytes = (int)bytes,
                         .left = (w->rank + w->size - 1) % w->size,
                         .right = (w->rank + 1) % w->size };
    struct timing alone = { .as = opt.timing.as }, computing = alone, together = alone;

    o.out = world_alloc(w, bytes, 1);
    o.in = world_alloc(w, bytes, 1);
    struct verdict verdict = arg_is(opt.fault, "reuse") ? reuse(&o) : check(&o);
    if (verdict.right) {
        alone = timing_run(w, &opt.timing, bytes, communicate_alone, &o);
        o.steps = steps_for(&o, opt.compute > 0 ? opt.compute : secs_of(&alone));
        computing = timing_run(w, &opt.timing, bytes, compute_alone, &o);
        together = timing_run(w, &opt.timing, bytes, both, &o);
        verdict = check(&o);
    }
    add_row(w, &o, secs_of(&alone), secs_of(&computing), &together, verdict.right);
    free(o.in);
    free(o.out);
    return verdict;
}

static enum status run(struct world *w)
{
    struct verdict verdict = { .right = true };
    size_t bytes = opt.bytes.from;
    char sizes[64];

    do
        for (size_t i = 0; i < sizeof variants / sizeof *variants; i++)
            if (arg_is(opt.variant, "all") || arg_is(opt.variant, variants[i].name))
                verdict = verdict_both(verdict, run_variant(w, &variants[i], bytes));
    while ((bytes = range_next(&opt.bytes, bytes)) > 0);

    program_fault(&w->program, opt.fault, verdict.right,
                  opt.bytes.to > 0 ? "the library had read the bytes in time"
                                   : "the messages have no byte");
    if (!verdict.right)
        return program_verdict(&w->program, false, "%s", verdict.wrong);
    if (w->oversubscribed)
        program_note(&w->program, "ranks share cores, where others compute while one waits: the "
                                  "overlap says nothing");
    return program_verdict(&w->program, true, "%s bytes and a computation on %d rank%s, both right",
                           range_text(&opt.bytes, sizes), w->size, w->size == 1 ? "" : "s");
}

int main(int argc, char **argv)
{
    struct world w;
    enum status status = world_open(&w, argc, argv, MPI_THREAD_SINGLE, 1, options);

    if (status == PASS && opt.bytes.to > INT_MAX)
        status = world_usage(&w, "--bytes %zu: a count is an int: give at most %d", opt.bytes.to,
                             INT_MAX);
    if (status == PASS)
        status = world_agree(&w, program_plot(&w.program, &plot));
    if (status == PASS)
        status = run(&w);
    return world_close(&w, status);
}
