/*
 * send_recv - rank 0 sends an array and a text to every other rank
 *
 * The first message of most MPI courses. Rank 0 sends --count integers, and then a text, to each
 * other rank; a tag says which is which. The receiver names the most that it has room for, and
 * reads from the status who sent, with which tag, and how many elements really came: fewer than
 * there is room for is no error. A text has an end only if its last byte, 0, is sent along.
 *
 * What can go wrong: a destination that does not exist, a receive that is too small for its
 * message, and a sender that fails while others wait for it. --fault makes each of these mistakes.
 * MPI tells the first two to an error handler; here it names the rank and the call and ends the
 * whole job (MPI_Abort), so that nobody is left waiting. With one rank there is nobody to send to.
 *
 * Run:     make run P=send_recv N=3 ARGS="--count 5 --show"
 * Try:     --fault truncate on 3 ranks: which ranks notice, and in which call?
 * Try:     --fault die on 4 ranks: what becomes of the three that wait?
 * Try:     2, 4, 8 ranks: rank 0 sends to one after the other; what does that cost? (see bcast)
 * Test:    -n 1 --show
 * Test:    -n 2 --count 0 --show
 * Test:    -n 3 --count 1 --seed 5
 * Test:    -n 5 --count 100001
 * Test(1): -n 3 --fault rank
 * Test(1): -n 3 --fault truncate
 * Test(1): -n 3 --fault die
 * Test(1): -n 3 --fault corrupt
 * Test:    -n 1 --fault rank
 * Test:    -n 2 --count 0 --fault truncate
 * Test(2): -n 2 --count 3G
 */
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "local/lib/data.h"
#include "mpi/lib/show.h"
#include "mpi/lib/timing.h"
#include "mpi/lib/verify.h"
#include "mpi/lib/world.h"

static struct {
    size_t count, seed;
    bool show;
    const char *fault;
    struct timing_options timing;
} opt = { .count = 1000, .timing = TIMING_DEFAULTS };

static const struct arg options[] = {
    { "count", ARG_SIZE, &opt.count, "elements of 8 bytes to each rank" },
    { "seed", ARG_SIZE, &opt.seed, "other elements" },
    { "show", ARG_FLAG, &opt.show, "print what each rank received" },
    { "fault", ARG_CHOICE, &opt.fault,
      "send to a rank that does not exist, receive into too little room, let rank 0 fail before it "
      "sends, or send a wrong element", .choices = "rank|truncate|die|corrupt" },
    TIMING_ARGS(&opt.timing),
    ARGS_END,
};

enum { NUMBERS = 1, TEXT = 2 }; /* tags */
enum { TEXT_ROOM = 64 };        /* bytes */

struct delivery {
    const struct world *world;
    uint64_t *array;           /* rank 0: all that is sent; others: --count elements received */
    char (*texts)[TEXT_ROOM];  /* rank 0: a text for each rank; others: one, received */
    MPI_Status numbers, text;  /* of what was received last */
};

static void write_text(char text[TEXT_ROOM], int rank)
{
    snprintf(text, TEXT_ROOM, "hello rank %d, this is rank 0", rank);
}

/* Rank r gets the elements r to r + count - 1: one array serves all ranks, and what was meant for
 * another rank is seen to be wrong. */
static void send_to(const struct delivery *d, int rank)
{
    const char *text = d->texts[rank];
    const int destination = arg_is(opt.fault, "rank") ? d->world->size : rank;

    MPI_Send(d->array + rank, (int)opt.count, MPI_UINT64_T, destination, NUMBERS, d->world->comm);
    MPI_Send(text, (int)strlen(text) + 1, MPI_CHAR, destination, TEXT, d->world->comm);
}

static void receive(struct delivery *d)
{
    const bool too_small = arg_is(opt.fault, "truncate") && opt.count > 0;
    const int room = (int)opt.count - too_small;

    MPI_Recv(d->array, room, MPI_UINT64_T, 0, NUMBERS, d->world->comm, &d->numbers);
    MPI_Recv(d->texts[0], TEXT_ROOM, MPI_CHAR, 0, TEXT, d->world->comm, &d->text);
}

static void deliver(void *arg)
{
    struct delivery *d = arg;

    if (d->world->rank > 0) {
        receive(d);
        return;
    }
    if (arg_is(opt.fault, "die") && d->world->size > 1)
        world_abort(d->world, FAIL, "failed before it sent anything (--fault die): the job ends");
    for (int rank = 1; rank < d->world->size; rank++)
        send_to(d, rank);
}

static struct delivery delivery_open(const struct world *w)
{
    const size_t ranks = w->rank == 0 ? (size_t)w->size : 1;
    const size_t elements = opt.count + (w->rank == 0 ? ranks : 0);
    struct delivery d = {
        .world = w,
        .array = world_alloc(w, elements, sizeof *d.array),
        .texts = world_alloc(w, ranks, sizeof *d.texts),
    };

    memset(d.array, 0, elements * sizeof *d.array);
    memset(d.texts, 0, ranks * sizeof *d.texts);
    if (w->rank > 0)
        return d;
    elements_fill(d.array, 0, elements, opt.seed);
    if (arg_is(opt.fault, "corrupt"))
        d.array[opt.count] ^= 1; /* the last one of rank 1 */
    for (int rank = 0; rank < w->size; rank++)
        write_text(d.texts[rank], rank);
    return d;
}

/* Whether a status tells what was sent: the source, the tag, and how many elements. */
static bool tells(const MPI_Status *status, MPI_Datatype type, int tag, int expected)
{
    int count;

    MPI_Get_count(status, type, &count);
    return status->MPI_SOURCE == 0 && status->MPI_TAG == tag && count == expected;
}

static struct verdict check(const struct delivery *d)
{
    const struct world *w = d->world;
    const bool receives = w->rank > 0;
    char text[TEXT_ROOM];

    write_text(text, w->rank);
    const bool told = !receives || (tells(&d->numbers, MPI_UINT64_T, NUMBERS, (int)opt.count) &&
                                    tells(&d->text, MPI_CHAR, TEXT, (int)strlen(text) + 1));
    const bool same = !receives || memcmp(d->texts[0], text, strlen(text) + 1) == 0;
    struct verdict verdict =
        verify_elements(w, d->array, (uint64_t)w->rank, receives ? opt.count : 0, opt.seed);

    verdict = verdict_both(verdict, verify_places(w, told ? UINT64_MAX : 0, "rank %d: the status "
                                                  "does not tell what was sent", w->rank));
    return verdict_both(verdict, verify_places(w, same ? UINT64_MAX : 0, "rank %d: the text is not "
                                               "the one that was sent", w->rank));
}

static void show(const struct delivery *d)
{
    const bool receives = d->world->rank > 0;
    char line[2 * TEXT_ROOM] = "";
    int count = 0;

    if (receives) {
        MPI_Get_count(&d->text, MPI_CHAR, &count);
        snprintf(line, sizeof line,
                 "text     rank %d: \"%s\" (%d bytes with tag %d from rank %d)\n", d->world->rank,
                 d->texts[0], count, d->text.MPI_TAG, d->text.MPI_SOURCE);
    }
    show_elements(d->world, "received", receives ? d->array : NULL, opt.count);
    world_print(d->world, line);
}

static void add_row(struct world *w, const struct timing *timing, bool right)
{
    const int receivers = w->size - 1, messages = 2 * receivers;
    const double secs = timing->as ? timing->quoted : timing->summary.median;
    const bool measured = right && messages > 0;
    struct record row = w->program.record;

    record_int(&row, "count", (int64_t)opt.count);
    record_int(&row, "messages", messages);
    record_real(&row, "message_s", measured ? secs / messages : NAN);
    timing_fields(&row, timing, (uint64_t)receivers * opt.count * sizeof(uint64_t), measured);
    record_bool(&row, "verified", right);
    program_row(&w->program, &row);
    if (w->rank == 0 && measured)
        timing_notes(&w->program, timing);
}

static enum status run(struct world *w)
{
    const bool alone = w->size == 1;
    struct delivery d = delivery_open(w);
    struct timing timing = { 0 };

    deliver(&d);
    if (opt.show)
        show(&d);
    struct verdict verdict = check(&d);
    program_fault(&w->program, opt.fault, verdict.right,
                  alone ? "no message is sent" : "there are no elements");
    if (verdict.right && !alone) {
        timing = timing_run(w, &opt.timing, opt.count * sizeof *d.array, deliver, &d);
        verdict = check(&d);
    }
    free(d.texts);
    free(d.array);
    add_row(w, &timing, verdict.right);
    if (!verdict.right)
        return program_verdict(&w->program, false, "%s", verdict.wrong);
    if (alone)
        return program_verdict(&w->program, true, "1 rank has nobody to send to: no message");
    return program_verdict(&w->program, true, "%zu elements and a text arrived at each of %d other "
                           "rank%s", opt.count, w->size - 1, w->size == 2 ? "" : "s");
}

int main(int argc, char **argv)
{
    struct world w;
    enum status status = world_open(&w, argc, argv, MPI_THREAD_SINGLE, 1, options);

    if (status == PASS && opt.count > INT_MAX)
        status = world_usage(&w, "--count %zu: a count is an int: give at most %d", opt.count,
                             INT_MAX);
    if (status == PASS)
        status = run(&w);
    return world_close(&w, status);
}
