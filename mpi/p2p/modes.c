/*
 * modes - what has happened when MPI_Send, MPI_Ssend, MPI_Bsend and MPI_Rsend return
 *
 * Rank 0 sends to rank 1, which posts its receive only after --hold. The four modes carry the same
 * bytes; they differ in what it means that the call has returned (MPI 3.1, section 3.4):
 *
 *   standard     the buffer may be used again; the message may be received, or copied somewhere
 *   synchronous  the receiver has begun to receive: it takes as long as the receiver is late
 *   buffered     the message is in memory that this program gave to MPI: it returns at once
 *   ready        the sender promised that the receive was posted before: no asking is needed
 *
 * The table gives the time in the call, and until rank 1 said that it has the message. While it is
 * late rank 1 is outside MPI, as if it computed. Some libraries need the receiver's help even for a
 * message that they have copied: Open MPI 4.1 keeps a standard send of some hundred bytes in shared
 * memory waiting for it now and then, though eager finds that no receive is needed.
 *
 * What can go wrong: MPI_Bsend finds its buffer too small, for MPI_BSEND_OVERHEAD is needed for each
 * message (--fault small_buffer); MPI_Rsend without a posted receive is an error that libraries
 * need not notice, and mostly do not (--fault unready).
 *
 * Ranks: 2
 * Run:     make run P=modes N=2
 * Try:     --bytes 1K:64K: which mode changes its behaviour, and at which size?
 * Try:     --hold 200ms: which of the times follow?
 * Test:    -n 2 --bytes 0:1 --hold 1ms
 * Test:    -n 3 --bytes 1M --hold 1ms --variant synchronous
 * Test:    -n 2 --bytes 64M --hold 0 --iterations 1
 * Test(1): -n 2 --bytes 1M --fault small_buffer
 * Test(1): -n 2 --fault corrupt
 * Test(2): -n 2 --variant fast
 * Test(2): -n 2 --bytes 3G
 */
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "local/lib/clock.h"
#include "local/lib/data.h"
#include "mpi/lib/timing.h"
#include "mpi/lib/verify.h"
#include "mpi/lib/world.h"

static struct {
    struct range bytes;
    const char *variant, *fault;
    double hold;
    size_t iterations, seed;
} opt = { .bytes = { 1024, 1024 }, .variant = "all", .hold = 10e-3, .iterations = 7 };

static struct plot plot = {
    .title = "When does a send return, if the receiver is late?",
    .x = "bytes", .x_label = "size of the message (bytes)",
    .y = "median_s", .low = "p10_s", .high = "p90_s",
    .y_label = "time in the call (us): median, p10 to p90",
    .series = "variant",
};

static const struct arg options[] = {
    { "bytes", ARG_RANGE, &opt.bytes, "sizes of the message" },
    { "variant", ARG_CHOICE, &opt.variant, "the mode",
      .choices = "standard|synchronous|buffered|ready|all" },
    { "hold", ARG_SECS, &opt.hold, "how late the receiver is" },
    { "iterations", ARG_SIZE, &opt.iterations, "samples of each row", .min = 1 },
    { "seed", ARG_SIZE, &opt.seed, "other bytes" },
    { "fault", ARG_CHOICE, &opt.fault, "make a mistake on purpose",
      .choices = "small_buffer|unready|corrupt" },
    PLOT_ARG(&plot),
    ARGS_END,
};

enum { DATA = 0, WORD = 1 }; /* tags; a word is a message without bytes */

static void say(const struct world *w, int rank)
{
    MPI_Send(NULL, 0, MPI_BYTE, rank, WORD, w->comm);
}

static void hear(const struct world *w, int rank)
{
    MPI_Recv(NULL, 0, MPI_BYTE, rank, WORD, w->comm, MPI_STATUS_IGNORE);
}

/* Rank 0 sends in one of these ways. */

static void standard(const struct world *w, const void *message, int bytes)
{
    MPI_Send(message, bytes, MPI_BYTE, 1, DATA, w->comm);
}

static void synchronous(const struct world *w, const void *message, int bytes)
{
    MPI_Ssend(message, bytes, MPI_BYTE, 1, DATA, w->comm);
}

static void buffered(const struct world *w, const void *message, int bytes)
{
    MPI_Bsend(message, bytes, MPI_BYTE, 1, DATA, w->comm);
}

static void ready(const struct world *w, const void *message, int bytes)
{
    MPI_Rsend(message, bytes, MPI_BYTE, 1, DATA, w->comm);
}

static const struct mode {
    const char *name;
    void (*send)(const struct world *, const void *, int);
    bool posted_first; /* the receiver posts its receive before rank 0 sends, and says so */
} modes[] = {
    { "standard", standard, false },
    { "synchronous", synchronous, false },
    { "buffered", buffered, false },
    { "ready", ready, true },
};

struct sample {
    double in_call, until_told, since_told; /* seconds; the last from the word to the return */
};

/* Rank 0. Its word goes out before rank 1 begins to be late, so from the word to the return of a
 * synchronous send no less than --hold can pass. */
static struct sample send_once(const struct world *w, const struct mode *mode, const void *message,
                               int bytes)
{
    const int64_t word = clock_ns();

    say(w, 1);
    if (mode->posted_first && !arg_is(opt.fault, "unready"))
        hear(w, 1);
    const int64_t before = clock_ns();
    mode->send(w, message, bytes);
    const int64_t after = clock_ns();
    hear(w, 1);
    return (struct sample){ clock_secs(before, after), clock_secs(before, clock_ns()),
                            clock_secs(word, after) };
}

/* Rank 1: the first wrong byte, or UINT64_MAX. */
static uint64_t receive_once(const struct world *w, const struct mode *mode, void *message, int bytes)
{
    const struct timespec hold = { (time_t)opt.hold,
                                   (long)(1e9 * (opt.hold - (double)(time_t)opt.hold)) };
    const bool posted_first = mode->posted_first && !arg_is(opt.fault, "unready");
    MPI_Request request;

    memset(message, 0, (size_t)bytes);
    hear(w, 0);
    if (posted_first) {
        MPI_Irecv(message, bytes, MPI_BYTE, 0, DATA, w->comm, &request);
        say(w, 0);
    }
    nanosleep(&hold, NULL);
    if (!posted_first)
        MPI_Irecv(message, bytes, MPI_BYTE, 0, DATA, w->comm, &request);
    MPI_Wait(&request, MPI_STATUS_IGNORE);
    say(w, 0);
    const uint64_t place = bytes_check(message, 0, (uint64_t)bytes, opt.seed);
    return place < (uint64_t)bytes ? place : UINT64_MAX;
}

/* Room for one message: rank 1 has it before the next is sent. */
static void *attach(const struct world *w, int bytes)
{
    const int size = arg_is(opt.fault, "small_buffer") ? bytes : bytes + MPI_BSEND_OVERHEAD;
    void *buffer = world_alloc(w, (size_t)size, 1);

    MPI_Buffer_attach(buffer, size);
    return buffer;
}

static void add_row(struct world *w, const struct mode *mode, const struct timing *timing,
                    double told_secs, size_t bytes, bool right)
{
    struct record row = w->program.record;

    record_text(&row, "variant", mode->name);
    record_real(&row, "hold_s", opt.hold);
    timing_fields(&row, timing, bytes, right);
    record_real(&row, "told_s", right ? told_secs : NAN);
    record_bool(&row, "verified", right);
    program_row(&w->program, &row);
}

static struct verdict run_mode(struct world *w, const struct mode *mode, size_t bytes)
{
    struct timing timing = { .stop = STOP_ITERATIONS, .start = "late receiver", .slowest_rank = -1 };
    double *in_call = world_alloc(w, opt.iterations, sizeof *in_call);
    double *told = world_alloc(w, opt.iterations, sizeof *told);
    void *message = world_alloc(w, bytes, 1), *buffer = attach(w, (int)bytes);
    struct summary told_summary = { 0 };
    uint64_t wrong = UINT64_MAX;
    bool early = false;
    int detached;

    bytes_fill(message, 0, bytes, opt.seed);
    if (arg_is(opt.fault, "corrupt") && bytes > 0 && w->rank == 0)
        ((unsigned char *)message)[bytes / 2] ^= 1;
    for (size_t i = 0; i < opt.iterations && w->rank == 0; i++) {
        const struct sample sample = send_once(w, mode, message, (int)bytes);
        in_call[i] = sample.in_call;
        told[i] = sample.until_told;
        early = early || (mode->send == synchronous && sample.since_told < opt.hold);
    }
    for (size_t i = 0; i < opt.iterations && w->rank == 1; i++) {
        const uint64_t place = receive_once(w, mode, message, (int)bytes);
        wrong = place < wrong ? place : wrong;
    }
    world_rest(w);
    if (w->rank == 0) {
        stats_summarize(in_call, opt.iterations, &timing.summary);
        stats_summarize(told, opt.iterations, &told_summary);
    }
    MPI_Buffer_detach(&buffer, &detached);
    free(buffer);
    free(message);
    free(told);
    free(in_call);
    const struct verdict verdict = verdict_both(
        verify_places(w, wrong, "%s: byte %" PRIu64 " of %zu is wrong", mode->name, wrong, bytes),
        verify_places(w, early ? 0 : UINT64_MAX, "a synchronous send of %zu bytes returned before "
                      "its receive was posted", bytes));
    add_row(w, mode, &timing, told_summary.median, bytes, verdict.right);
    return verdict;
}

static enum status run(struct world *w)
{
    struct verdict verdict = { .right = true };
    size_t bytes = opt.bytes.from;
    char sizes[64];

    do
        for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
            if (arg_is(opt.variant, "all") || arg_is(opt.variant, modes[i].name))
                verdict = verdict_both(verdict, run_mode(w, &modes[i], bytes));
    while ((bytes = range_next(&opt.bytes, bytes)) > 0);

    program_fault(&w->program, opt.fault, verdict.right,
                  arg_is(opt.fault, "unready") ? "the library did not notice that no receive was posted; "
                                                 "another may lose the message or end the job"
                                               : "no byte is sent, or the library had room for the message elsewhere");
    if (!verdict.right)
        return program_verdict(&w->program, false, "%s", verdict.wrong);
    return program_verdict(&w->program, true, "%s bytes from rank 0 to rank 1, %s mode%s, received as "
                           "sent", range_text(&opt.bytes, sizes), opt.variant,
                           arg_is(opt.variant, "all") ? "s" : "");
}

int main(int argc, char **argv)
{
    struct world w;
    enum status status = world_open(&w, argc, argv, MPI_THREAD_SINGLE, 1, options);

    if (status == PASS)
        status = world_needs(&w, 2);
    if (status == PASS && opt.bytes.to > INT_MAX - MPI_BSEND_OVERHEAD)
        status = world_usage(&w, "--bytes %zu: the buffer of MPI_Bsend has an int size: give at most %d",
                             opt.bytes.to, INT_MAX - MPI_BSEND_OVERHEAD);
    if (status == PASS)
        status = world_agree(&w, program_plot(&w.program, &plot));
    if (status == PASS)
        status = run(&w);
    return world_close(&w, status);
}
