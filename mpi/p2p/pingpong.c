/*
 * pingpong - a message there and back between two ranks: latency, and where protocols change
 *
 * Rank 0 sends --bytes to --partner, which receives them and sends as many back. Half of the round
 * trip is the time of one message; the time that MPI_Send takes to return says little, because it
 * may return as soon as the message is copied somewhere. The first byte of each message is a stamp
 * that the receiver compares, and all bytes are checked before and after each row.
 *
 * The curve has steps: small messages are sent at once ("eager"), into memory that the receiver
 * keeps ready; from some size on the sender asks first ("rendezvous"). mpi/deadlock/eager finds
 * that size.
 *
 * What can go wrong: a mean. One late message in a thousand moves it, and on a busy machine it is
 * several times the median (see mean_s in the JSON). And placement: two ranks on one core take
 * turns, which costs 10000 times as much as a message.
 *
 * Ranks: 2
 * Run:     make run P=pingpong N=2
 * Try:     --bytes 1:64M --plot pingpong.svg: where are the steps?
 * Try:     --bytes 8 beside two busy loops: which of median and mean moves?
 * Try:     --as osu: how far is the mean from the median?
 * Test:    -n 2 --bytes 0:64K
 * Test:    -n 3 --partner 2 --bytes 1000
 * Test:    -n 2 --bytes 8 --as osu --iterations 100
 * Test:    -n 2 --bytes 100K --as imb --iterations 100
 * Test:    -n 2 --bytes 8 --as netpipe --iterations 100
 * Test(1): -n 2 --bytes 100 --fault corrupt
 * Test(1): -n 2 --bytes 100 --fault stale
 * Test(2): -n 2 --bytes 3G
 * Test(2): -n 2 --partner 2
 * Test(2): -n 2 --partner 0
 * Test(2): -n 2 --plot pingpong.pdf
 */
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "local/lib/data.h"
#include "mpi/lib/pair.h"
#include "mpi/lib/verify.h"
#include "mpi/lib/world.h"

static struct {
    struct range bytes;
    int partner;
    size_t seed;
    const char *fault;
    struct timing_options timing;
} opt = { .bytes = { 0, 4 << 20 }, .partner = 1, .timing = TIMING_DEFAULTS };

static struct plot plot = {
    .title = "A message between two ranks",
    .x = "bytes",
    .x_label = "size of the message (bytes)",
    .y = "median_s",
    .low = "p10_s",
    .high = "p90_s",
    .y_label = "half round trip (us): median, p10 to p90",
};

static const struct arg options[] = {
    { "bytes", ARG_RANGE, &opt.bytes, "sizes of the message" },
    { "partner", ARG_INT, &opt.partner, "the rank that answers rank 0" },
    { "seed", ARG_SIZE, &opt.seed, "other bytes" },
    { "fault", ARG_CHOICE, &opt.fault, "answer with a wrong byte, or with an old message",
      .choices = "corrupt|stale" },
    PAIR_ARGS(&opt.timing),
    PLOT_ARG(&plot),
    ARGS_END,
};

struct pingpong {
    const struct world *world;
    unsigned char *out, *in;
    int bytes;
    bool stale; /* --fault stale */
    uint64_t round;
    uint64_t wrong; /* the first round whose message carried another stamp */
};

/* A message of this round is told from an older one by its first byte. */
static void stamp(struct pingpong *p)
{
    if (p->bytes > 0)
        p->out[0] = (unsigned char)p->round;
}

static void check_stamp(struct pingpong *p)
{
    if (p->bytes > 0 && p->in[0] != (unsigned char)p->round && p->wrong == UINT64_MAX)
        p->wrong = p->round;
}

static void pingpong(void *arg, size_t times)
{
    struct pingpong *p = arg;
    const MPI_Comm comm = p->world->comm;

    for (size_t i = 0; i < times; i++) {
        p->round++;
        if (p->world->rank == 0) {
            stamp(p);
            MPI_Send(p->out, p->bytes, MPI_BYTE, opt.partner, 0, comm);
            MPI_Recv(p->in, p->bytes, MPI_BYTE, opt.partner, 0, comm, MPI_STATUS_IGNORE);
        } else {
            MPI_Recv(p->in, p->bytes, MPI_BYTE, 0, 0, comm, MPI_STATUS_IGNORE);
            if (!p->stale)
                stamp(p);
            MPI_Send(p->out, p->bytes, MPI_BYTE, 0, 0, comm);
        }
        check_stamp(p);
    }
}

/* One round trip of which every byte is looked at. Each rank sends bytes of a row of its own. */
static uint64_t check_bytes(struct pingpong *p)
{
    const uint64_t bytes = (uint64_t)p->bytes;
    const uint64_t mine = opt.seed + (p->world->rank == 0),
                   other = opt.seed + (p->world->rank != 0);
    const uint64_t stamped = bytes > 0;

    bytes_fill(p->out, 0, bytes, mine);
    memset(p->in, 0, bytes);
    if (arg_is(opt.fault, "corrupt") && p->world->rank > 0 && bytes > 0)
        p->out[bytes - 1] ^= 1;
    pingpong(p, 1);
    const uint64_t place = stamped + bytes_check(p->in + stamped, stamped, bytes - stamped, other);
    return place < bytes ? place : UINT64_MAX;
}

static void add_row(struct world *w, const struct timing *timing, uint64_t bytes, bool right)
{
    struct record row = w->program.record;

    record_int(&row, "partner", opt.partner);
    timing_fields(&row, timing, bytes, right);
    record_bool(&row, "verified", right);
    program_row(&w->program, &row);
}

static struct verdict run_size(struct world *w, size_t bytes)
{
    const bool takes_part = w->rank == 0 || w->rank == opt.partner;
    struct pair pair = { w, w->rank == 0 ? opt.partner : 0, w->rank == 0 };
    struct pingpong p = {
        .world = w, .bytes = (int)bytes, .wrong = UINT64_MAX, .stale = arg_is(opt.fault, "stale")
    };
    struct timing timing = { 0 };
    uint64_t place = UINT64_MAX;

    p.out = world_alloc(w, bytes, 1);
    p.in = world_alloc(w, bytes, 1);
    if (takes_part) {
        place = check_bytes(&p);
        unsigned char *const in = p.in;
        if (arg_is(opt.timing.as, "netpipe")) /* which has one buffer for both ways */
            p.in = p.out;
        timing = pair_run(&pair, &opt.timing, bytes, pingpong, &p);
        p.in = in;
        pair_scale(&timing, 0.5);
        const uint64_t after = check_bytes(&p);
        place = place < after ? place : after;
    }
    world_rest(w);
    const struct verdict verdict = verdict_both(
        verify_places(w, place,
                      "byte %" PRIu64 " of a message of %zu bytes to rank %d "
                      "is wrong",
                      place, bytes, w->rank),
        verify_places(w, p.wrong,
                      "message %" PRIu64 " of %zu bytes to rank %d is an "
                      "old one",
                      p.wrong, bytes, w->rank));
    add_row(w, &timing, bytes, verdict.right);
    free(p.in);
    free(p.out);
    return verdict;
}

static enum status run(struct world *w)
{
    struct verdict verdict = { .right = true };
    size_t bytes = opt.bytes.from;
    char sizes[64];

    do
        verdict = verdict_both(verdict, run_size(w, bytes));
    while ((bytes = range_next(&opt.bytes, bytes)) > 0);

    program_fault(&w->program, opt.fault, verdict.right, "the messages have no byte");
    if (!verdict.right)
        return program_verdict(&w->program, false, "%s", verdict.wrong);
    return program_verdict(&w->program, true,
                           "%s bytes there and back between ranks 0 and %d, each "
                           "message as it was sent",
                           range_text(&opt.bytes, sizes), opt.partner);
}

int main(int argc, char **argv)
{
    struct world w;
    enum status status = world_open(&w, argc, argv, MPI_THREAD_SINGLE, 1, options);

    if (status == PASS)
        status = world_needs(&w, 2);
    if (status == PASS && (opt.partner < 1 || opt.partner >= w.size))
        status = world_usage(&w, "--partner %d: rank 0 can have ranks 1 to %d: choose one of them",
                             opt.partner, w.size - 1);
    if (status == PASS && opt.bytes.to > INT_MAX)
        status = world_usage(&w, "--bytes %zu: a count is an int: give at most %d", opt.bytes.to,
                             INT_MAX);
    if (status == PASS)
        status = world_agree(&w, program_plot(&w.program, &plot));
    if (status == PASS)
        status = run(&w);
    return world_close(&w, status);
}
