/*
 * probe - receive messages of unknown length: ask first, then make room
 *
 * Every rank but 0 sends --count messages to rank 0, each of another length between 0 bytes and
 * --max. Rank 0 asks MPI_Probe for any message, reads its source and its length from the status,
 * makes room for just so many bytes, and receives that message: from that source with that tag, not
 * from any. Messages of one source come in the order sent, so rank 0 knows what the k-th message of
 * each source must be, and counts them.
 *
 * What can go wrong: between the probe and the receive another thread may take the message.
 * MPI_Mprobe takes it out of the queue at once, and MPI_Mrecv receives just this one: with threads
 * it is the only safe way. And a guess instead of a probe: --fault guess makes room for half of
 * --max.
 *
 * Simulated: no, it has no MPI_Mprobe
 * Run:     make run P=probe N=4
 * Try:     --variant all: does the safe way cost more?
 * Try:     --max 1M --count 20: which part of the time is the probe?
 * Test:    -n 1 --fault corrupt
 * Test:    -n 3 --count 0
 * Test:    -n 3 --count 50 --max 0
 * Test:    -n 2 --count 2 --max 64M --iterations 1 --seconds 0
 * Test:    -n 4 --count 7 --max 4097 --variant mprobe
 * Test(1): -n 2 --fault guess
 * Test(1): -n 3 --fault corrupt
 * Test(2): -n 2 --max 3G
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
    size_t count, max, seed;
    const char *variant, *fault;
    struct timing_options timing;
} opt = { 100, 64 << 10, .variant = "all", .timing = TIMING_DEFAULTS };

static const struct arg options[] = {
    { "count", ARG_SIZE, &opt.count, "messages of each rank but 0", .max = 1 << 20 },
    { "max", ARG_SIZE, &opt.max, "bytes of the longest message" },
    { "variant", ARG_CHOICE, &opt.variant, "how rank 0 learns the length",
      .choices = "probe|mprobe|all" },
    { "seed", ARG_SIZE, &opt.seed, "other lengths and bytes" },
    { "fault", ARG_CHOICE, &opt.fault, "guess the length, or send a wrong byte",
      .choices = "guess|corrupt" },
    TIMING_ARGS(&opt.timing),
    ARGS_END,
};

struct mail {
    const struct world *world;
    const struct variant *variant;
    bool check;       /* fill and look at every byte; else only at the lengths */
    uint64_t *counts; /* rank 0: messages received from each rank */
    unsigned char *out;
    int wrong_source; /* rank 0: the first message that was wrong; -1: none */
    uint64_t wrong_number;
};

/* The first message has no byte at all and the second the most; the others are in between. */
static int length_of(int source, uint64_t number)
{
    const uint64_t mixed = element(number, opt.seed + (uint64_t)source) *
                           UINT64_C(0x9e3779b97f4a7c15);

    if (number < 2)
        return number == 0 ? 0 : (int)opt.max;
    return (int)((mixed >> 32) % (opt.max + 1));
}

static uint64_t seed_of(int source, uint64_t number)
{
    return opt.seed + (uint64_t)source * 1000003 + number;
}

static void send_all(const struct mail *m)
{
    for (uint64_t number = 0; number < opt.count; number++) {
        const int length = length_of(m->world->rank, number);
        if (m->check)
            bytes_fill(m->out, 0, (uint64_t)length, seed_of(m->world->rank, number));
        if (m->check && arg_is(opt.fault, "corrupt") && number == 1 && length > 0)
            m->out[length - 1] ^= 1;
        MPI_Send(m->out, length, MPI_BYTE, 0, (int)(number % 1000), m->world->comm);
    }
}

/* Each receives one message from any rank into memory of its own, which the caller frees. */

static unsigned char *probe(const struct world *w, MPI_Status *status, int *length)
{
    MPI_Probe(MPI_ANY_SOURCE, MPI_ANY_TAG, w->comm, status);
    MPI_Get_count(status, MPI_BYTE, length);
    const int room = arg_is(opt.fault, "guess") ? (int)(opt.max / 2) : *length;
    /* of the true length all the same: Open MPI 4.1 tells of the error, and writes past the room */
    unsigned char *message = world_alloc(w, (size_t)*length, 1);
    MPI_Recv(message, room, MPI_BYTE, status->MPI_SOURCE, status->MPI_TAG, w->comm,
             MPI_STATUS_IGNORE);
    return message;
}

static unsigned char *mprobe(const struct world *w, MPI_Status *status, int *length)
{
    MPI_Message matched;

    MPI_Mprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, w->comm, &matched, status);
    MPI_Get_count(status, MPI_BYTE, length);
    unsigned char *message = world_alloc(w, (size_t)*length, 1);
    MPI_Mrecv(message, *length, MPI_BYTE, &matched, MPI_STATUS_IGNORE);
    return message;
}

static const struct variant {
    const char *name;
    unsigned char *(*receive)(const struct world *w, MPI_Status *status, int *length);
} variants[] = { { "probe", probe }, { "mprobe", mprobe } };

static bool is_right(const struct mail *m, const unsigned char *message, const MPI_Status *status,
                     int length, uint64_t number)
{
    const int source = status->MPI_SOURCE;

    if (number >= opt.count || length != length_of(source, number) ||
        status->MPI_TAG != (int)(number % 1000))
        return false;
    return !m->check ||
           bytes_check(message, 0, (uint64_t)length, seed_of(source, number)) == (uint64_t)length;
}

static void receive_all(struct mail *m)
{
    const uint64_t all = opt.count * (uint64_t)(m->world->size - 1);

    memset(m->counts, 0, (size_t)m->world->size * sizeof *m->counts);
    for (uint64_t i = 0; i < all; i++) {
        MPI_Status status;
        int length;
        unsigned char *message = m->variant->receive(m->world, &status, &length);
        const uint64_t number = m->counts[status.MPI_SOURCE]++;

        if (!is_right(m, message, &status, length, number) && m->wrong_source < 0) {
            m->wrong_source = status.MPI_SOURCE;
            m->wrong_number = number;
        }
        free(message);
    }
}

static void exchange(void *arg)
{
    struct mail *m = arg;

    if (m->world->rank > 0)
        send_all(m);
    else
        receive_all(m);
}

static struct verdict check(struct mail *m)
{
    m->check = true;
    exchange(m);
    m->check = false;
    return verify_places(m->world, m->wrong_source < 0 ? UINT64_MAX : (uint64_t)m->wrong_source,
                         "message %" PRIu64
                         " of rank %d has another length, tag or byte than it was "
                         "sent with",
                         m->wrong_number, m->wrong_source);
}

static struct verdict run_variant(struct world *w, const struct variant *variant)
{
    struct mail m = { .world = w, .variant = variant, .wrong_source = -1 };
    struct timing timing = { 0 };
    struct record row = w->program.record;
    const double messages = (double)opt.count * (w->size - 1);
    bool measured = messages > 0;
    uint64_t bytes = 0;

    m.counts = world_alloc(w, (size_t)w->size, sizeof *m.counts);
    m.out = world_alloc(w, w->rank > 0 ? opt.max : 0, 1);
    for (int source = 1; source < w->size; source++)
        for (uint64_t number = 0; number < opt.count; number++)
            bytes += (uint64_t)length_of(source, number);
    struct verdict verdict = check(&m);
    if (verdict.right && measured) {
        timing = timing_run(w, &opt.timing, bytes, exchange, &m);
        verdict = check(&m);
    }
    measured = measured && verdict.right;
    const double secs = timing.as ? timing.quoted : timing.summary.median;
    free(m.out);
    free(m.counts);
    record_text(&row, "variant", variant->name);
    record_int(&row, "messages", (int64_t)messages);
    timing_fields(&row, &timing, bytes, measured);
    record_real(&row, "messages_per_s", measured ? messages / secs : NAN);
    record_bool(&row, "verified", verdict.right);
    program_row(&w->program, &row);
    if (w->rank == 0 && measured)
        timing_notes(&w->program, &timing);
    return verdict;
}

static enum status run(struct world *w)
{
    struct verdict verdict = { .right = true };

    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++)
        if (arg_is(opt.variant, "all") || arg_is(opt.variant, variants[i].name))
            verdict = verdict_both(verdict, run_variant(w, &variants[i]));

    program_fault(&w->program, opt.fault, verdict.right, "there is no message that is long enough");
    if (!verdict.right)
        return program_verdict(&w->program, false, "%s", verdict.wrong);
    if (w->size == 1)
        return program_verdict(&w->program, true,
                               "1 rank: nobody to receive from, no message was sent");
    return program_verdict(&w->program, true,
                           "%zu messages of 0 to %zu bytes from each of %d rank%s, "
                           "each received once",
                           opt.count, opt.max, w->size - 1, w->size == 2 ? "" : "s");
}

int main(int argc, char **argv)
{
    struct world w;
    enum status status = world_open(&w, argc, argv, MPI_THREAD_SINGLE, 1, options);

    if (status == PASS && opt.max > INT_MAX)
        status = world_usage(&w, "--max %zu: a count is an int: give at most %d", opt.max, INT_MAX);
    if (status == PASS)
        status = run(&w);
    return world_close(&w, status);
}
