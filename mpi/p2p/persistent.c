/*
 * persistent - set a message up once, start it many times
 *
 * All ranks pass --bytes on round a ring, again and again. MPI_Isend and MPI_Irecv hand all their
 * arguments over each time; MPI_Send_init and MPI_Recv_init do so once, and MPI_Startall then only
 * starts. What can be saved is the library's own work for a request: a part of the time of small
 * messages, nothing of large ones. The two ways take turns, a short block of each, and what is told
 * is the ratio within a turn, because the speed of a machine changes while it is measured.
 *
 * With MPI 4 --variant partitioned sends the message in --parts, each marked ready by MPI_Pready.
 *
 * What can go wrong: to expect a gain and not to measure it. Open MPI 4.1 loses on small messages,
 * because MPI_Isend has a short cut up to 256 bytes that a request to be started does not take.
 * And to start a request that is still active, or to forget to free one: MPI_Wait does not.
 *
 * Run:     make run P=persistent N=2
 * Try:     --bytes 0:64K --plot persistent.svg: where is time saved, where lost, where neither?
 * Try:     the same with the other MPI: make run MPI=mpich P=persistent N=2
 * Try:     --fault forgotten: what if the buffer is filled only once, too?
 * Test:    -n 1 --bytes 0:1 --seconds 0.02
 * Test:    -n 3 --bytes 100001
 * Test:    -n 2 --bytes 64M --iterations 1 --warmup 0 --seconds 0.1
 * Test:    -n 2 --bytes 8:64 --variant all --seconds 0.02
 * Test:    -n 1 --bytes 0 --variant all --parts 3
 * Test(1): -n 3 --fault forgotten
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
    size_t parts, seed;
    struct timing_options timing;
} opt = { .bytes = { 8, 8 }, .variant = "persistent", .parts = 4, .timing = TIMING_DEFAULTS };

static struct plot plot = {
    .title = "Persistent requests against new ones",
    .x = "bytes", .x_label = "size of the message (bytes)",
    .y = "ratio", .low = "ratio_ci_low", .high = "ratio_ci_high",
    .y_label = "time against MPI_Isend and MPI_Irecv, and its interval",
    .series = "variant", .linear_y = true,
};

static const struct arg options[] = {
    { "bytes", ARG_RANGE, &opt.bytes, "sizes of the message" },
    { "variant", ARG_CHOICE, &opt.variant, "what is set against MPI_Isend and MPI_Irecv",
      .choices = "persistent|partitioned|all" },
    { "parts", ARG_SIZE, &opt.parts, "of a partitioned message", .min = 1 },
    { "seed", ARG_SIZE, &opt.seed, "other bytes" },
    { "fault", ARG_CHOICE, &opt.fault, "start the message again without new contents",
      .choices = "forgotten" },
    { "seconds", ARG_SECS, &opt.timing.secs, "time budget for one row", .max = TIMING_SECS_MAX },
    { "iterations", ARG_SIZE, &opt.timing.iterations, "turns of one row at most", .min = 1,
      .max = TIMING_ITERATIONS_MAX },
    { "warmup", ARG_SIZE, &opt.timing.warmup, "iterations before the first turn at least",
      .max = TIMING_WARMUP_MAX },
    PLOT_ARG(&plot),
    ARGS_END,
};

struct ring {
    const struct world *world;
    int left, right, bytes;
    unsigned char *out, *in;
    MPI_Request requests[2]; /* of the variant that is set up */
    uint64_t round;
    uint64_t wrong; /* the first round whose message carried another stamp */
};

/* The first byte tells the round, so that an old message is seen. */
static void stamp(struct ring *r)
{
    r->round++;
    if (r->bytes > 0 && !arg_is(opt.fault, "forgotten"))
        r->out[0] = (unsigned char)r->round;
}

static void check_stamp(struct ring *r)
{
    if (r->bytes > 0 && r->in[0] != (unsigned char)r->round && r->wrong == UINT64_MAX)
        r->wrong = r->round;
}

static void isend(struct ring *r)
{
    MPI_Request requests[2];

    stamp(r);
    MPI_Irecv(r->in, r->bytes, MPI_BYTE, r->left, 0, r->world->comm, &requests[0]);
    MPI_Isend(r->out, r->bytes, MPI_BYTE, r->right, 0, r->world->comm, &requests[1]);
    MPI_Waitall(2, requests, MPI_STATUSES_IGNORE);
    check_stamp(r);
}

static void set_up_persistent(struct ring *r)
{
    MPI_Recv_init(r->in, r->bytes, MPI_BYTE, r->left, 1, r->world->comm, &r->requests[0]);
    MPI_Send_init(r->out, r->bytes, MPI_BYTE, r->right, 1, r->world->comm, &r->requests[1]);
}

static void persistent(struct ring *r)
{
    stamp(r);
    MPI_Startall(2, r->requests);
    MPI_Waitall(2, r->requests, MPI_STATUSES_IGNORE);
    check_stamp(r);
}

#if MPI_VERSION >= 4
/* Parts of equal size: what does not divide is refused before. */
static void set_up_partitioned(struct ring *r)
{
    const int parts = (int)opt.parts;
    const MPI_Count count = r->bytes / parts;

    MPI_Precv_init(r->in, parts, count, MPI_BYTE, r->left, 2, r->world->comm, MPI_INFO_NULL,
                   &r->requests[0]);
    MPI_Psend_init(r->out, parts, count, MPI_BYTE, r->right, 2, r->world->comm, MPI_INFO_NULL,
                   &r->requests[1]);
}

static void partitioned(struct ring *r)
{
    stamp(r);
    MPI_Startall(2, r->requests);
    for (int part = 0; part < (int)opt.parts; part++)
        MPI_Pready(part, r->requests[1]);
    MPI_Waitall(2, r->requests, MPI_STATUSES_IGNORE);
    check_stamp(r);
}
#endif

static const struct variant {
    const char *name;
    void (*set_up)(struct ring *r);
    void (*pass_on)(struct ring *r);
} variants[] = {
    { "persistent", set_up_persistent, persistent },
#if MPI_VERSION >= 4
    { "partitioned", set_up_partitioned, partitioned },
#endif
};

/* One message of which every byte is looked at. */
static uint64_t check_bytes(struct ring *r, const struct variant *variant)
{
    const uint64_t bytes = (uint64_t)r->bytes, stamped = bytes > 0;
    const uint64_t seed = opt.seed + 1 + (uint64_t)r->world->rank;

    bytes_fill(r->out, 0, bytes, seed);
    memset(r->in, 0, bytes);
    variant->pass_on(r);
    const uint64_t place = stamped + bytes_check(r->in + stamped, stamped, bytes - stamped,
                                                 opt.seed + 1 + (uint64_t)r->left);
    return place < bytes ? place : UINT64_MAX;
}

/* ---- Measuring ---- */

/* Seconds for one exchange with each way, one value a turn; the same on all ranks. */
struct turns {
    double *isend, *variant, *saved, *ratio;
    size_t count;
    struct summary isends, variants, savings, ratios;
};

/* `times` exchanges back to back. A rank cannot end before its left neighbour has begun, so the
 * longest time of any rank is that of all, but for how far apart the barrier lets them begin. */
static double block(struct ring *r, void (*pass_on)(struct ring *), size_t times)
{
    MPI_Barrier(r->world->comm);
    const int64_t begin = clock_ns();
    for (size_t i = 0; i < times; i++)
        pass_on(r);
    return clock_secs(begin, clock_ns());
}

/* A block of each, every other turn in the other order. Returns the seconds since `begin_ns`. All
 * ranks learn the same numbers, and so decide alike. */
static double take_turn(struct ring *r, const struct variant *variant, size_t turn, size_t times,
                        int64_t begin_ns, double both[2])
{
    void (*const ways[2])(struct ring *) = { isend, variant->pass_on };
    const size_t first = turn % 2;
    double secs[3];

    secs[first] = block(r, ways[first], times);
    secs[!first] = block(r, ways[!first], times);
    secs[2] = clock_secs(begin_ns, clock_ns());
    MPI_Allreduce(MPI_IN_PLACE, secs, 3, MPI_DOUBLE, MPI_MAX, r->world->comm);
    memcpy(both, secs, 2 * sizeof *both);
    return secs[2];
}

/* How many exchanges make a block that lasts long against a barrier. Warms up meanwhile: as many as
 * asked, and a tenth of the budget, but no more than all of it. */
static size_t warm_up(struct ring *r, const struct variant *variant)
{
    const double long_enough = 200e-6;
    const int64_t begin = clock_ns();
    size_t times = 1, done = 0;
    double both[2], elapsed;

    do {
        elapsed = take_turn(r, variant, 0, times, begin, both);
        done += times;
        if (both[0] < long_enough && both[1] < long_enough)
            times *= 2;
    } while (elapsed < opt.timing.secs &&
             (done < opt.timing.warmup || elapsed < opt.timing.secs / 10));
    return times;
}

static enum stop measure(struct ring *r, const struct variant *variant, struct turns *t)
{
    const struct stop_rule rule = { .min_iterations = 30, .max_iterations = opt.timing.iterations,
                                    .secs = opt.timing.secs, .width = 0.02 };
    const size_t times = warm_up(r, variant);
    const int64_t begin = clock_ns();
    enum stop stop = STOP_NOT;

    for (size_t look = 0; stop == STOP_NOT;) {
        double both[2];
        const double elapsed = take_turn(r, variant, t->count, times, begin, both);
        t->isend[t->count] = both[0] / (double)times;
        t->variant[t->count] = both[1] / (double)times;
        t->saved[t->count] = t->isend[t->count] - t->variant[t->count];
        t->ratio[t->count] = t->variant[t->count] / t->isend[t->count];
        t->count++;
        if (t->count >= look || t->count == rule.max_iterations || elapsed >= rule.secs) {
            stop = stats_stop(&rule, t->ratio, t->count, elapsed); /* which sorts */
            look = t->count + t->count / 4 + 1;
        }
    }
    stats_summarize(t->isend, t->count, &t->isends);
    stats_summarize(t->variant, t->count, &t->variants);
    stats_summarize(t->saved, t->count, &t->savings);
    stats_summarize(t->ratio, t->count, &t->ratios);
    return stop;
}

/* Leaves the summaries in `turns`. Returns the variant's timing. */
static struct timing compare(struct ring *r, const struct variant *variant, struct turns *turns)
{
    const size_t most = opt.timing.iterations;
    double *values = world_alloc(r->world, most, 4 * sizeof *values);

    *turns = (struct turns){ values, values + most, values + 2 * most, values + 3 * most };
    const enum stop stop = measure(r, variant, turns);
    free(values);
    return (struct timing){ .summary = turns->variants, .stop = stop, .slowest_rank = -1,
                            .start = "barrier, then back to back", .clocks = 1 };
}

static void add_row(struct world *w, const struct variant *variant, size_t bytes,
                    const struct timing *timing, const struct turns *turns, bool right)
{
    const bool interval = right && turns->ratios.has_ci;
    struct record row = w->program.record;

    record_text(&row, "variant", variant->name);
    timing_fields(&row, timing, bytes, right);
    record_real(&row, "isend_s", right ? turns->isends.median : NAN);
    record_real(&row, "saved_s", right ? turns->savings.median : NAN);
    record_real(&row, "ratio", right ? turns->ratios.median : NAN);
    record_real(&row, "ratio_ci_low", interval ? turns->ratios.ci_low : NAN);
    record_real(&row, "ratio_ci_high", interval ? turns->ratios.ci_high : NAN);
    record_bool(&row, "verified", right);
    program_row(&w->program, &row);
}

static struct verdict run_variant(struct world *w, const struct variant *variant, size_t bytes)
{
    struct ring r = { .world = w, .bytes = (int)bytes, .wrong = UINT64_MAX,
                      .left = (w->rank + w->size - 1) % w->size, .right = (w->rank + 1) % w->size };
    struct turns turns;

    r.out = world_alloc(w, bytes, 1);
    r.in = world_alloc(w, bytes, 1);
    variant->set_up(&r);
    uint64_t place = check_bytes(&r, variant);
    const struct timing timing = compare(&r, variant, &turns);
    const uint64_t after = check_bytes(&r, variant);
    place = place < after ? place : after;
    MPI_Request_free(&r.requests[0]);
    MPI_Request_free(&r.requests[1]);
    free(r.in);
    free(r.out);

    const struct verdict verdict = verdict_both(
        verify_places(w, place, "rank %d: byte %" PRIu64 " of what rank %d sent is wrong", w->rank,
                      place, r.left),
        verify_places(w, r.wrong, "rank %d: the message of round %" PRIu64 " is an old one",
                      w->rank, r.wrong));
    add_row(w, variant, bytes, &timing, &turns, verdict.right);
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

    program_fault(&w->program, opt.fault, verdict.right, "the messages have no byte");
    if (!verdict.right)
        return program_verdict(&w->program, false, "%s", verdict.wrong);
    return program_verdict(&w->program, true, "%s bytes round %d rank%s by requests that were set "
                           "up once, each message new", range_text(&opt.bytes, sizes), w->size,
                           w->size == 1 ? "" : "s");
}

/* Partitioned messages are MPI 4's; their parts are all of one length. */
static enum status check_partitioned(struct world *w)
{
    const bool alone = arg_is(opt.variant, "partitioned");
    size_t bytes = opt.bytes.from;

    if (arg_is(opt.variant, "persistent"))
        return PASS;
    if (MPI_VERSION < 4 && alone && w->rank == 0)
        program_error("--variant partitioned: %s has no MPI 4: build with a newer library", w->mpi);
    else if (MPI_VERSION < 4)
        program_note(&w->program, "partitioned is left out: %s has no MPI 4", w->mpi);
    if (MPI_VERSION < 4)
        return alone ? UNABLE : PASS;
    if (opt.parts > INT_MAX)
        return world_usage(w, "--parts %zu: a number of parts is an int: give at most %d",
                           opt.parts, INT_MAX);
    do
        if (bytes % opt.parts)
            return world_usage(w, "--bytes %zu: does not divide into --parts %zu of one length: "
                               "give multiples of %zu", bytes, opt.parts, opt.parts);
    while ((bytes = range_next(&opt.bytes, bytes)) > 0);
    return PASS;
}

int main(int argc, char **argv)
{
    struct world w;
    enum status status = world_open(&w, argc, argv, MPI_THREAD_SINGLE, 1, options);

    if (status == PASS && opt.bytes.to > INT_MAX)
        status = world_usage(&w, "--bytes %zu: a count is an int: give at most %d", opt.bytes.to,
                             INT_MAX);
    if (status == PASS)
        status = check_partitioned(&w);
    if (status == PASS)
        status = world_agree(&w, program_plot(&w.program, &plot));
    if (status == PASS)
        status = run(&w);
    return world_close(&w, status);
}
