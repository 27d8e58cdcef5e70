/*
 * persistent - set a message up once, start it many times
 *
 * All ranks pass --bytes on round a ring, again and again. MPI_Isend and MPI_Irecv hand all their
 * arguments over each time; MPI_Send_init and MPI_Recv_init do so once, and MPI_Startall then only
 * starts. What is saved is the library's own work for a request, a part of the time of small
 * messages and nothing of large ones. Both ways take turns, in blocks, and what is told is the ratio
 * within each turn, because the speed of a machine changes while it is measured.
 *
 * With MPI 4 --variant partitioned sends the message in --parts, each marked ready by MPI_Pready.
 *
 * What can go wrong: to start a request that is still active, and to forget to free one: a persistent
 * request lives on after MPI_Wait.
 *
 * Run:     make run P=persistent N=2
 * Try:     --bytes 0:64K: from which size on is nothing saved?
 * Try:     --fault forgotten: what if the buffer is filled only once, too?
 * Test:    -n 1 --bytes 0:1 --seconds 0.02
 * Test:    -n 3 --bytes 100001
 * Test:    -n 2 --bytes 64M --iterations 1 --warmup 0 --seconds 0.1
 * Test(1): -n 3 --fault forgotten
 * Test(2): -n 2 --parts 0
 * Test(2): -n 2 --bytes 3G
 */
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

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
    TIMING_ARGS(&opt.timing),
    PLOT_ARG(&plot),
    ARGS_END,
};

enum { BLOCKS = 6 }; /* the least that gives an interval */

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

static void isend(void *arg)
{
    struct ring *r = arg;
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

static void persistent(void *arg)
{
    struct ring *r = arg;

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

static void partitioned(void *arg)
{
    struct ring *r = arg;

    stamp(r);
    MPI_Startall(2, r->requests);
    MPI_Pready_range(0, (int)opt.parts - 1, r->requests[1]);
    MPI_Waitall(2, r->requests, MPI_STATUSES_IGNORE);
    check_stamp(r);
}
#endif

static const struct variant {
    const char *name;
    void (*set_up)(struct ring *r);
    void (*pass_on)(void *ring);
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

static double secs_of(const struct timing *timing)
{
    return timing->as ? timing->quoted : timing->summary.median;
}

/* Blocks of both in turns. `timing` becomes that of the variant, its samples the blocks' medians. */
static void take_turns(struct world *w, struct ring *r, const struct variant *variant,
                       struct timing *timing, struct summary *ratio, struct summary *against)
{
    struct timing_options block = opt.timing;
    double medians[BLOCKS], others[BLOCKS], ratios[BLOCKS];

    block.secs /= 2 * BLOCKS;
    for (int i = 0; i < BLOCKS; i++) {
        const struct timing isends = timing_run(w, &block, (uint64_t)r->bytes, isend, r);
        *timing = timing_run(w, &block, (uint64_t)r->bytes, variant->pass_on, r);
        others[i] = secs_of(&isends);
        medians[i] = secs_of(timing);
        ratios[i] = medians[i] / others[i];
    }
    if (w->rank > 0)
        return;
    if (!timing->as)
        stats_summarize(medians, BLOCKS, &timing->summary);
    stats_summarize(others, BLOCKS, against);
    stats_summarize(ratios, BLOCKS, ratio);
}

static struct verdict run_variant(struct world *w, const struct variant *variant, size_t bytes)
{
    struct ring r = { .world = w, .bytes = (int)bytes, .wrong = UINT64_MAX,
                      .left = (w->rank + w->size - 1) % w->size, .right = (w->rank + 1) % w->size };
    struct timing timing = { 0 };
    struct summary ratio = { 0 }, against = { 0 };
    struct record row = w->program.record;

    r.out = world_alloc(w, bytes, 1);
    r.in = world_alloc(w, bytes, 1);
    variant->set_up(&r);
    uint64_t place = check_bytes(&r, variant);
    take_turns(w, &r, variant, &timing, &ratio, &against);
    const uint64_t after = check_bytes(&r, variant);
    place = place < after ? place : after;
    MPI_Request_free(&r.requests[0]);
    MPI_Request_free(&r.requests[1]);
    free(r.in);
    free(r.out);

    const struct verdict verdict = verdict_both(
        verify_places(w, place, "rank %d: byte %" PRIu64 " of what rank %d sent is wrong", w->rank, place,
                      r.left),
        verify_places(w, r.wrong, "rank %d: the message of round %" PRIu64 " is an old one", w->rank,
                      r.wrong));
    record_text(&row, "variant", variant->name);
    timing_fields(&row, &timing, bytes, verdict.right);
    record_real(&row, "isend_s", verdict.right ? against.median : NAN);
    record_real(&row, "ratio", verdict.right ? ratio.median : NAN);
    record_real(&row, "ratio_ci_low", verdict.right ? ratio.ci_low : NAN);
    record_real(&row, "ratio_ci_high", verdict.right ? ratio.ci_high : NAN);
    record_bool(&row, "verified", verdict.right);
    program_row(&w->program, &row);
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
    return program_verdict(&w->program, true, "%s bytes round %d rank%s by requests that were set up "
                           "once, each message new", range_text(&opt.bytes, sizes), w->size,
                           w->size == 1 ? "" : "s");
}

/* Partitioned messages are MPI 4's, and are cut into equal parts here. */
static enum status check_partitioned(struct world *w)
{
    if (MPI_VERSION < 4 && arg_is(opt.variant, "partitioned")) {
        if (w->rank == 0)
            program_error("--variant partitioned: %s has no MPI 4: build with a newer library", w->mpi);
        return UNABLE;
    }
    if (MPI_VERSION >= 4 && !arg_is(opt.variant, "persistent") &&
        (opt.bytes.from % opt.parts || opt.bytes.to % opt.parts || opt.parts > INT_MAX))
        return world_usage(w, "--bytes %zu:%zu: not a multiple of --parts %zu: give one", opt.bytes.from,
                           opt.bytes.to, opt.parts);
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
