/*
 * modes - what is true when MPI_Send, MPI_Ssend, MPI_Bsend and MPI_Rsend return
 *
 * Rank 0 sends to --partner, which is late: it begins to receive only after --hold, and is outside
 * MPI until then, as if it computed. The four modes carry the same bytes; they differ in what it
 * means that the call has returned (MPI 3.1, section 3.4):
 *
 *   standard     the buffer may be used again; the message was received, or copied somewhere
 *   synchronous  the receiver has begun to receive: the call takes as long as the receiver is late
 *   buffered     the message lies in memory that this program gave to MPI, whoever is late
 *   ready        as standard, but only allowed where the receive is posted: the sender waits for
 *                the receiver's word before the call, instead of in it
 *
 * The table has the time in the call (its median), the wait for the word before it, and the time
 * from when the message was there to send until the receiver had it. No mode makes a late receiver
 * have it sooner; they decide who waits, and where. Right after the call rank 0 overwrites its
 * buffer, as it may in all four modes, and the receiver must get what was in it before.
 *
 * A standard send need not do the same each time: with Open MPI 4.1 in shared memory, one of a
 * kilobyte is now and then as late as its receiver, though eager finds that no receive is needed.
 *
 * What can go wrong: too small a buffer for MPI_Bsend, which needs the message and
 * MPI_BSEND_OVERHEAD (--fault small_buffer: MPI_ERR_BUFFER, but libraries can keep short messages
 * elsewhere); and MPI_Rsend without a posted receive, an error that libraries need not notice
 * (--fault unready, which is therefore left to chance).
 *
 * Ranks: 2
 * Run:     make run P=modes N=2
 * Try:     --variant standard --bytes 1K:64K: which size is the first that waits? (see eager)
 * Try:     --hold 200ms: which of the three times follow?
 * Try:     --bytes 64M --hold 0: the call of MPI_Bsend is over sooner; is the message there sooner?
 * Test:    -n 2 --bytes 0:1
 * Test:    -n 3 --partner 2 --bytes 1M --hold 1ms
 * Test:    -n 2 --bytes 64M --hold 0 --iterations 1 --variant buffered
 * Test(1): -n 2 --bytes 1M --fault small_buffer --variant buffered
 * Test:    -n 2 --bytes 0 --hold 0 --fault small_buffer
 * Test(1): -n 2 --bytes 100 --fault corrupt
 * Test(2): -n 2 --partner 2
 * Test(2): -n 2 --bytes 3G
 * Test(2): -n 2 --variant standard --fault unready
 */
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "local/lib/clock.h"
#include "local/lib/data.h"
#include "mpi/lib/clocks.h"
#include "mpi/lib/verify.h"
#include "mpi/lib/world.h"

static struct {
    struct range bytes;
    int partner;
    const char *variant, *fault;
    double hold, secs;
    size_t iterations, seed;
} opt = { .bytes = { 2 << 10, 8 << 10 }, .partner = 1, .variant = "all", .hold = 20e-3,
          .secs = 0.25, .iterations = 1000 };

static struct plot plot = {
    .title = "When does a send return, if the receiver is late?",
    .x = "bytes", .x_label = "size of the message (bytes)",
    .y = "median_s", .low = "p10_s", .high = "p90_s",
    .y_label = "time in the call (us): median, p10 to p90",
    .series = "variant",
};

static const struct arg options[] = {
    { "bytes", ARG_RANGE, &opt.bytes, "sizes of the message" },
    { "partner", ARG_INT, &opt.partner, "the rank that receives from rank 0" },
    { "variant", ARG_CHOICE, &opt.variant, "the mode",
      .choices = "standard|synchronous|buffered|ready|all" },
    { "hold", ARG_SECS, &opt.hold, "how late the receiver is", .max = 3600 },
    { "seconds", ARG_SECS, &opt.secs, "time budget for one row", .max = 86400 },
    { "iterations", ARG_SIZE, &opt.iterations, "samples of one row at most", .min = 1,
      .max = 1 << 30 },
    { "seed", ARG_SIZE, &opt.seed, "other bytes" },
    { "fault", ARG_CHOICE, &opt.fault,
      "give MPI_Bsend too little room, send ready without the receiver's word, or a wrong byte",
      .choices = "small_buffer|unready|corrupt" },
    PLOT_ARG(&plot),
    ARGS_END,
};

static const struct mode {
    const char *name;
    int (*send)(const void *, int, MPI_Datatype, int, int, MPI_Comm);
    bool buffered, synchronous, on_word;
} modes[] = {
    { .name = "standard", .send = MPI_Send },
    { .name = "synchronous", .send = MPI_Ssend, .synchronous = true },
    { .name = "buffered", .send = MPI_Bsend, .buffered = true },
    { .name = "ready", .send = MPI_Rsend, .on_word = true },
};

enum { DATA = 0, GO = 1, WORD = 2, ARRIVED = 3, RETURNED = 4 }; /* tags */

struct transfer {
    const struct world *world;
    const struct mode *mode;
    const struct clocks *clocks;
    int bytes;
    unsigned char *message;
    void *buffer; /* rank 0, for MPI_Bsend */
    /* rank 0: seconds, one for each sample */
    double *in_call, *word, *arrived;
    size_t count;
    bool early;       /* the receiver: a send returned too soon */
    uint64_t wrong;   /* the receiver: the first wrong byte, UINT64_MAX if there is none */
};

static bool waits_for_word(const struct transfer *t)
{
    return t->mode->on_word && !arg_is(opt.fault, "unready");
}

/* What MPI_Bsend needs for one message. */
static int room_for_one(const struct transfer *t)
{
    int packed;

    MPI_Pack_size(t->bytes, MPI_BYTE, t->world->comm, &packed);
    return (arg_is(opt.fault, "small_buffer") ? packed / 2 : packed) + MPI_BSEND_OVERHEAD;
}

static void fill(const struct transfer *t)
{
    bytes_fill(t->message, 0, (uint64_t)t->bytes, opt.seed);
    if (arg_is(opt.fault, "corrupt") && t->bytes > 0)
        t->message[t->bytes / 2] ^= 1;
}

/* Modes whose call does not return before the receiver has begun to receive. */
static bool returns_late(const struct transfer *t)
{
    return t->mode->synchronous || waits_for_word(t);
}

/* The receiver is late from when it hears the signal to go. A message tells it that the call has
 * returned: that this is not before it has begun to receive needs no clock. */
static void send_once(struct transfer *t, double hold)
{
    const MPI_Comm comm = t->world->comm;
    int64_t arrived;
    void *detached;
    int size;

    if (t->mode->buffered)
        MPI_Buffer_attach(t->buffer, room_for_one(t));
    fill(t);
    const int64_t begin = clock_ns();
    MPI_Send(&hold, 1, MPI_DOUBLE, opt.partner, GO, comm);
    if (waits_for_word(t))
        MPI_Recv(NULL, 0, MPI_BYTE, opt.partner, WORD, comm, MPI_STATUS_IGNORE);
    const int64_t call = clock_ns();
    t->mode->send(t->message, t->bytes, MPI_BYTE, opt.partner, DATA, comm);
    const int64_t returned = clock_ns();
    if (returns_late(t))
        MPI_Send(NULL, 0, MPI_BYTE, opt.partner, RETURNED, comm);
    memset(t->message, 0, (size_t)t->bytes);
    MPI_Recv(&arrived, 1, MPI_INT64_T, opt.partner, ARRIVED, comm, MPI_STATUS_IGNORE);
    if (t->mode->buffered) /* waits until the message has left: the next one finds room */
        MPI_Buffer_detach(&detached, &size);

    t->in_call[t->count] = clock_secs(call, returned);
    t->word[t->count] = clock_secs(begin, call);
    t->arrived[t->count] = clock_secs(begin, arrived);
}

static enum stop send_row(struct transfer *t)
{
    const struct stop_rule rule = { .min_iterations = 30, .max_iterations = opt.iterations,
                                    .secs = opt.secs, .width = 0.02 };
    const double no_more = -1;
    enum stop stop = STOP_NOT;

    send_once(t, 0); /* touches the memory; not counted, so the next one takes its place */
    const int64_t begin = clock_ns();
    while (stop == STOP_NOT) {
        send_once(t, opt.hold);
        t->count++;
        stop = stats_stop(&rule, t->in_call, t->count, clock_secs(begin, clock_ns()));
    }
    MPI_Send(&no_more, 1, MPI_DOUBLE, opt.partner, GO, t->world->comm);
    return stop;
}

/* Whether the sender's call has returned: a message of it may be there only after a look at MPI. */
static bool has_returned(MPI_Comm comm)
{
    int found = 0;

    for (int look = 0; look < 10 && !found; look++)
        MPI_Iprobe(0, RETURNED, comm, &found, MPI_STATUS_IGNORE);
    return found;
}

/* Until rank 0 says that there is no more. */
static void receive_row(struct transfer *t)
{
    const MPI_Comm comm = t->world->comm;
    MPI_Request request;
    double hold;

    for (;;) {
        MPI_Recv(&hold, 1, MPI_DOUBLE, 0, GO, comm, MPI_STATUS_IGNORE);
        if (hold < 0)
            return;
        clock_sleep(hold);
        if (returns_late(t) && has_returned(comm))
            t->early = true;
        MPI_Irecv(t->message, t->bytes, MPI_BYTE, 0, DATA, comm, &request);
        if (waits_for_word(t))
            MPI_Send(NULL, 0, MPI_BYTE, 0, WORD, comm);
        MPI_Wait(&request, MPI_STATUS_IGNORE);
        const int64_t arrived = clocks_global_ns(t->clocks, clock_ns());
        MPI_Send(&arrived, 1, MPI_INT64_T, 0, ARRIVED, comm);
        if (returns_late(t))
            MPI_Recv(NULL, 0, MPI_BYTE, 0, RETURNED, comm, MPI_STATUS_IGNORE);

        const uint64_t place = bytes_check(t->message, 0, (uint64_t)t->bytes, opt.seed);
        if (place < (uint64_t)t->bytes && place < t->wrong)
            t->wrong = place;
        memset(t->message, 0, (size_t)t->bytes);
    }
}

static double median(double *samples, size_t count)
{
    struct summary summary = { 0 };

    stats_summarize(samples, count, &summary);
    return summary.median;
}

static void add_row(struct world *w, const struct transfer *t, enum stop stop, bool right)
{
    const bool told = right && w->rank == 0;
    struct record row = w->program.record;
    struct summary in_call = { 0 };

    stats_summarize(t->in_call, t->count, &in_call);
    record_text(&row, "variant", t->mode->name);
    record_int(&row, "partner", opt.partner);
    record_int(&row, "bytes", t->bytes);
    record_real(&row, "hold_s", opt.hold);
    record_summary(&row, &in_call, right);
    record_real(&row, "word_s", told && waits_for_word(t) ? median(t->word, t->count) : NAN);
    record_real(&row, "arrived_s", told ? median(t->arrived, t->count) : NAN);
    row.aside = t->clocks->count <= 1;
    record_real(&row, "residual_s", clocks_residual(t->clocks));
    row.aside = true;
    record_text(&row, "stop", stats_stop_name(stop));
    row.aside = false;
    record_bool(&row, "verified", right);
    program_row(&w->program, &row);
}

static struct verdict run_mode(struct world *w, struct clocks *clocks, const struct mode *mode,
                               size_t bytes)
{
    struct transfer t = { .world = w, .mode = mode, .clocks = clocks, .bytes = (int)bytes,
                          .wrong = UINT64_MAX };
    const bool takes_part = w->rank == 0 || w->rank == opt.partner;
    const size_t samples = w->rank == 0 ? opt.iterations : 0;
    enum stop stop = STOP_NOT;

    t.message = world_alloc(w, takes_part ? bytes : 0, 1);
    t.buffer = world_alloc(w, w->rank == 0 && mode->buffered ? (size_t)room_for_one(&t) : 0, 1);
    t.in_call = world_alloc(w, samples, sizeof *t.in_call);
    t.word = world_alloc(w, samples, sizeof *t.word);
    t.arrived = world_alloc(w, samples, sizeof *t.arrived);
    clocks_sync(clocks, fmin(0.5, opt.secs / 2));
    if (w->rank == 0)
        stop = send_row(&t);
    else if (w->rank == opt.partner)
        receive_row(&t);
    world_rest(w);
    const struct verdict verdict =
        verdict_both(verify_places(w, t.wrong, "%s: byte %" PRIu64 " of a message of %zu bytes to "
                                   "rank %d is wrong", mode->name, t.wrong, bytes, w->rank),
                     verify_places(w, t.early ? 0 : UINT64_MAX, "%s: a send of %zu bytes returned "
                                   "before rank %d began to receive", mode->name, bytes,
                                   opt.partner));
    add_row(w, &t, stop, verdict.right);
    free(t.arrived);
    free(t.word);
    free(t.in_call);
    free(t.buffer);
    free(t.message);
    return verdict;
}

static bool chosen(const char *mode)
{
    return arg_is(opt.variant, "all") || arg_is(opt.variant, mode);
}

static const char *why_no_strike(void)
{
    if (arg_is(opt.fault, "small_buffer"))
        return "the library kept messages that are this short elsewhere";
    if (arg_is(opt.fault, "unready"))
        return "the library did not notice that no receive was posted; another one may end the job";
    return "the messages have no byte";
}

static enum status run(struct world *w)
{
    struct verdict verdict = { .right = true };
    size_t bytes = opt.bytes.from;
    struct clocks clocks;
    char sizes[64];

    clocks_open(&clocks, w);
    do
        for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
            if (chosen(modes[i].name))
                verdict = verdict_both(verdict, run_mode(w, &clocks, &modes[i], bytes));
    while ((bytes = range_next(&opt.bytes, bytes)) > 0);
    clocks_close(&clocks);

    program_fault(&w->program, opt.fault, verdict.right, why_no_strike());
    if (!verdict.right)
        return program_verdict(&w->program, false, "%s", verdict.wrong);
    return program_verdict(&w->program, true, "%s bytes from rank 0 to rank %d, %s mode%s, "
                           "received as sent%s", range_text(&opt.bytes, sizes), opt.partner,
                           opt.variant, arg_is(opt.variant, "all") ? "s" : "",
                           chosen("synchronous") ? "; no synchronous send returned before its "
                           "receive began" : "");
}

int main(int argc, char **argv)
{
    struct world w;
    enum status status = world_open(&w, argc, argv, MPI_THREAD_SINGLE, 1, options);

    if (status == PASS)
        status = world_needs(&w, 2);
    if (status == PASS && (opt.partner < 1 || opt.partner >= w.size))
        status = world_usage(&w, "--partner %d: rank 0 can send to ranks 1 to %d: choose one of "
                             "them", opt.partner, w.size - 1);
    if (status == PASS && opt.bytes.to > INT_MAX - MPI_BSEND_OVERHEAD)
        status = world_usage(&w, "--bytes %zu: the size of MPI_Bsend's buffer is an int: give at "
                             "most %d", opt.bytes.to, INT_MAX - MPI_BSEND_OVERHEAD);
    if (status == PASS && ((arg_is(opt.fault, "small_buffer") && !chosen("buffered")) ||
                           (arg_is(opt.fault, "unready") && !chosen("ready"))))
        status = world_usage(&w, "--fault %s: mode %s has no such fault: leave --variant away",
                             opt.fault, opt.variant);
    if (status == PASS)
        status = world_agree(&w, program_plot(&w.program, &plot));
    if (status == PASS)
        status = run(&w);
    return world_close(&w, status);
}
