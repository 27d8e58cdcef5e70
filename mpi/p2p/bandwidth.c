/*
 * bandwidth - how many bytes a second go from one rank to another, with many messages under way
 *
 * Rank 0 starts --window sends of --bytes each, --partner as many receives; when all are complete
 * the partner answers with a message without bytes. One message alone would measure latency
 * (pingpong); with many the next one is on its way while the last one is copied. With both
 * directions at once (--variant bi) the bytes of both are counted. Times are those of one message.
 *
 * What can go wrong: to use one buffer for all messages of a window. It stays in the cache, and the
 * figure flatters; a program that sends new data each time will not see it. Here each message of a
 * window has a buffer of its own; the larger they are the fewer there are (64 MiB in all for each
 * direction), and the window with them. As long as a whole window fits into the cache this changes
 * nothing. --reuse takes one buffer, as other suites and so --as osu and --as imb do; the standard
 * does not allow to receive two messages into one place at once, and libraries let it pass.
 *
 * Ranks: 2
 * Run:     make run P=bandwidth N=2
 * Try:     --window 1 and --window 64: at which sizes does it matter?
 * Try:     --bytes 1M, then with --reuse: how much does the cache flatter?
 * Try:     --variant all --plot bandwidth.svg: are two directions twice as much?
 * Test:    -n 2 --bytes 0:8 --seconds 0.01
 * Test:    -n 3 --bytes 64M --iterations 1 --warmup 0 --seconds 0.01 --partner 2
 * Test:    -n 2 --bytes 1000 --variant all --window 3 --reuse
 * Test:    -n 2 --bytes 8 --as osu --iterations 10
 * Test(1): -n 2 --bytes 100 --fault corrupt
 * Test(1): -n 2 --bytes 3 --fault corrupt --variant bi --reuse
 * Test:    -n 2 --bytes 2 --fault corrupt
 * Test(1): -n 2 --bytes 100 --fault stale --variant bi
 * Test(2): -n 2 --window 0
 * Test(2): -n 2 --partner 5
 * Test(2): -n 2 --bytes 3G
 */
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "local/lib/data.h"
#include "mpi/lib/pair.h"
#include "mpi/lib/verify.h"
#include "mpi/lib/world.h"

static struct {
    struct range bytes;
    size_t window, seed;
    int partner;
    bool reuse;
    const char *variant, *fault;
    struct timing_options timing;
} opt = { .bytes = { 1024, 4 << 20 },
          .window = 64,
          .partner = 1,
          .variant = "uni",
          .timing = TIMING_DEFAULTS };

static struct plot plot = {
    .title = "Bytes a second between two ranks",
    .x = "bytes",
    .x_label = "size of a message (bytes)",
    .y = "bytes_per_s",
    .y_label = "MB/s (10^6 bytes), of the median",
    .series = "variant",
};

static const struct arg options[] = {
    { "bytes", ARG_RANGE, &opt.bytes, "sizes of a message" },
    { "window", ARG_SIZE, &opt.window, "messages under way at once", .min = 1 },
    { "variant", ARG_CHOICE, &opt.variant, "from rank 0 to its partner, or both ways at once",
      .choices = "uni|bi|all" },
    { "partner", ARG_INT, &opt.partner, "the other rank" },
    { "reuse", ARG_FLAG, &opt.reuse, "one buffer for all messages of a window" },
    { "seed", ARG_SIZE, &opt.seed, "other bytes" },
    { "fault", ARG_CHOICE, &opt.fault, "send a wrong byte, or a window of old messages",
      .choices = "corrupt|stale" },
    PAIR_ARGS(&opt.timing),
    PLOT_ARG(&plot),
    ARGS_END,
};

static const size_t room_max = 64 << 20; /* bytes of all buffers of one direction */

struct traffic {
    const struct world *world;
    int peer, bytes, window;
    bool both, sends, receives;
    bool stale;              /* --fault stale */
    size_t step;             /* from buffer to buffer, 0: they are one */
    unsigned char *out, *in; /* `window` buffers each */
    MPI_Request *requests;
    uint64_t round;
    uint64_t wrong; /* the first round with a message of another stamp */
};

/* What the first and the last byte of message i tell: its round, and which one of the window it is.
 * Buffers that are one carry one stamp. */
static unsigned char stamp_of(const struct traffic *t, int i)
{
    return (unsigned char)(t->round + (t->step > 0 ? 7 * (uint64_t)i : 0));
}

static void stamp(struct traffic *t)
{
    for (int i = 0; i < t->window && t->bytes > 0 && !t->stale; i++) {
        unsigned char *message = t->out + (size_t)i * t->step;
        message[0] = message[t->bytes - 1] = stamp_of(t, i);
    }
}

static void check_stamps(struct traffic *t)
{
    for (int i = 0; i < t->window && t->bytes > 0; i++) {
        const unsigned char *message = t->in + (size_t)i * t->step, wanted = stamp_of(t, i);
        if ((message[0] != wanted || message[t->bytes - 1] != wanted) && t->wrong == UINT64_MAX)
            t->wrong = t->round;
    }
}

static void one_window(struct traffic *t)
{
    const MPI_Comm comm = t->world->comm;
    int count = 0;

    t->round++;
    if (t->receives)
        for (int i = 0; i < t->window; i++)
            MPI_Irecv(t->in + (size_t)i * t->step, t->bytes, MPI_BYTE, t->peer, 0, comm,
                      &t->requests[count++]);
    if (t->sends) {
        stamp(t);
        for (int i = 0; i < t->window; i++)
            MPI_Isend(t->out + (size_t)i * t->step, t->bytes, MPI_BYTE, t->peer, 0, comm,
                      &t->requests[count++]);
    }
    MPI_Waitall(count, t->requests, MPI_STATUSES_IGNORE);
    if (t->receives)
        check_stamps(t);
    /* Sends may be complete before anything has arrived; the answer tells that it has. */
    if (t->world->rank == 0)
        MPI_Recv(NULL, 0, MPI_BYTE, t->peer, 1, comm, MPI_STATUS_IGNORE);
    else
        MPI_Send(NULL, 0, MPI_BYTE, t->peer, 1, comm);
}

static void windows(void *arg, size_t times)
{
    for (size_t i = 0; i < times; i++)
        one_window(arg);
}

/* Each buffer is a part of the sender's long row, so that no two are alike. */
static void fill(const struct traffic *t)
{
    const uint64_t bytes = (uint64_t)t->bytes, mine = opt.seed + (t->world->rank == 0);

    for (int i = 0; i < t->window && t->sends; i++)
        bytes_fill(t->out + (size_t)i * t->step, (uint64_t)i * t->step, bytes, mine);
    if (arg_is(opt.fault, "corrupt") && t->sends && bytes > 0)
        t->out[bytes / 2] ^= 1;
}

/* One window of which every byte between the stamps is looked at. */
static uint64_t check_bytes(struct traffic *t)
{
    const uint64_t bytes = (uint64_t)t->bytes, other = opt.seed + (t->world->rank != 0);
    const uint64_t inner = bytes > 2 ? bytes - 2 : 0;
    uint64_t wrong = UINT64_MAX;

    for (int i = 0; i < t->window && t->receives; i++)
        memset(t->in + (size_t)i * t->step, 0, bytes);
    one_window(t);
    for (int i = 0; i < t->window && t->receives; i++) {
        const size_t start = (size_t)i * t->step;
        const uint64_t place = bytes_check(t->in + start + 1, start + 1, inner, other);
        if (place < inner && place + 1 < wrong)
            wrong = place + 1;
    }
    return wrong;
}

static void traffic_open(struct traffic *t, struct world *w, bool both, size_t bytes)
{
    const size_t fits = bytes > 0 ? room_max / bytes : opt.window;
    const bool reuse = opt.reuse || opt.timing.as; /* as the other suites do */
    const size_t window = reuse || fits >= opt.window ? opt.window : fits > 0 ? fits : 1;

    *t = (struct traffic){ .world = w, .bytes = (int)bytes, .both = both, .wrong = UINT64_MAX };
    t->window = (int)window;
    t->step = reuse ? 0 : bytes;
    t->peer = w->rank == 0 ? opt.partner : 0;
    t->sends = both || w->rank == 0;
    t->receives = both || w->rank > 0;
    t->stale = arg_is(opt.fault, "stale");
    if (w->rank != 0 && w->rank != opt.partner)
        return;
    t->out = world_alloc(w, reuse ? 1 : window, t->sends ? bytes : 0);
    t->in = world_alloc(w, reuse ? 1 : window, t->receives ? bytes : 0);
    t->requests = world_alloc(w, 2 * window, sizeof *t->requests);
}

static void traffic_close(struct traffic *t)
{
    free(t->requests);
    free(t->in);
    free(t->out);
}

static void add_row(struct world *w, const struct traffic *t, struct timing *timing, bool right)
{
    struct record row = w->program.record;
    const double messages = (double)t->window * (t->both ? 2 : 1);

    pair_scale(timing, 1 / messages); /* the time that one message takes of the window's */
    const double secs = timing->as ? timing->quoted : timing->summary.median;
    record_text(&row, "variant", t->both ? "bi" : "uni");
    record_int(&row, "partner", opt.partner);
    record_int(&row, "window", t->window);
    record_text(&row, "buffers", t->step == 0 ? "one" : "rotating");
    timing_fields(&row, timing, (uint64_t)t->bytes, right);
    record_real(&row, "messages_per_s", right ? 1 / secs : NAN);
    record_bool(&row, "verified", right);
    program_row(&w->program, &row);
}

static struct verdict run_size(struct world *w, bool both, size_t bytes)
{
    const struct pair pair = { w, w->rank == 0 ? opt.partner : 0, w->rank == 0, .windows = true };
    struct timing timing = { .slowest_rank = -1, .as = opt.timing.as };
    uint64_t place = UINT64_MAX;
    struct traffic t;

    traffic_open(&t, w, both, bytes);
    if (t.requests) {
        fill(&t);
        place = check_bytes(&t);
        timing = pair_run(&pair, &opt.timing, bytes, windows, &t);
        const uint64_t after = check_bytes(&t);
        place = place < after ? place : after;
    }
    world_rest(w);
    const struct verdict verdict = verdict_both(
        verify_places(w, place, "byte %" PRIu64 " of a message of %zu bytes to rank %d is wrong",
                      place, bytes, w->rank),
        verify_places(w, t.wrong,
                      "window %" PRIu64 ": a message of %zu bytes to rank %d is an old "
                      "one, or of another place",
                      t.wrong, bytes, w->rank));
    add_row(w, &t, &timing, verdict.right);
    traffic_close(&t);
    return verdict;
}

static enum status run(struct world *w)
{
    struct verdict verdict = { .right = true };
    char sizes[64];

    for (int both = 0; both < 2; both++) {
        if (!arg_is(opt.variant, "all") && arg_is(opt.variant, "bi") != both)
            continue;
        size_t bytes = opt.bytes.from;
        do
            verdict = verdict_both(verdict, run_size(w, both, bytes));
        while ((bytes = range_next(&opt.bytes, bytes)) > 0);
    }
    program_fault(&w->program, opt.fault, verdict.right,
                  arg_is(opt.fault, "corrupt") ? "a message has no byte between its stamps"
                                               : "the messages have no byte");
    if (!verdict.right)
        return program_verdict(&w->program, false, "%s", verdict.wrong);
    return program_verdict(&w->program, true,
                           "%s bytes between ranks 0 and %d, every message as it was sent",
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
    if (status == PASS && opt.window > INT_MAX / 2)
        status = world_usage(&w, "--window %zu: messages are counted by an int: give at most %d",
                             opt.window, INT_MAX / 2);
    if (status == PASS)
        status = world_agree(&w, program_plot(&w.program, &plot));
    if (status == PASS)
        status = run(&w);
    return world_close(&w, status);
}
